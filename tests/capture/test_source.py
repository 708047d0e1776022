"""Sources: plain and compressed files, pipes and streams give the same bytes, and failures are one line."""

from __future__ import annotations

import errno
import gzip
import io
import lzma
import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from conftest import require_module

from vxtool.capture import open_source
from vxtool.capture.source import CHUNK
from vxtool.errors import InputError

# Compressible in parts, incompressible in others, and longer than a chunk.
CONTENT = bytes(range(256)) * 5000 + os.urandom(CHUNK) + b"\0" * CHUNK


def all_of(source_path: object) -> bytes:
    with open_source(source_path) as source:  # type: ignore[arg-type]
        parts = []
        while part := source.read():
            assert len(part) <= CHUNK
            parts.append(part)
        assert source.error is None
        return b"".join(parts)


def zstd_compressed(data: bytes) -> bytes:
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        require_module("backports.zstd")
        from backports import zstd
    packed: bytes = zstd.compress(data, options={zstd.CompressionParameter.checksum_flag: 1})
    return packed


def compressed(kind: str, data: bytes) -> bytes:
    if kind == "zstd":
        return zstd_compressed(data)
    return gzip.compress(data, 1) if kind == "gzip" else lzma.compress(data, preset=0)


KINDS = ["gzip", "xz", "zstd"]


def test_a_plain_file_is_given_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "plain"
    path.write_bytes(CONTENT)
    assert all_of(path) == CONTENT
    source = open_source(path)
    assert (source.path, source.size, source.position()) == (str(path), len(CONTENT), 0)
    assert source.read()
    assert source.compression is None
    assert 0 < source.position() <= CHUNK
    source.close()
    assert source.read() == b""


@pytest.mark.parametrize("kind", ["plain", *KINDS])
def test_borrowed_bytes_are_those_of_the_file(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "capture"
    path.write_bytes(CONTENT if kind == "plain" else compressed(kind, CONTENT))
    memory = memoryview(bytearray(1 << 18))
    with open_source(path) as source:
        given = b""
        while part := source.borrow(memory):
            given += part
    assert given == CONTENT


def test_the_rest_of_a_plain_file_can_be_read_by_others(tmp_path: Path) -> None:
    path = tmp_path / "plain"
    path.write_bytes(CONTENT)
    with open_source(path) as source:
        assert source.lend() is None, "what it is has not been looked at"
        given = source.read()
        descriptor = source.lend()
        assert descriptor is not None
        with io.FileIO(descriptor) as lent:
            given += lent.read(1000)
            assert source.position() == len(given)
            given += source.read()
            assert given == CONTENT[: len(given)]
            lent.readall()
            assert source.position() == len(CONTENT)
            assert source.read() == b""
            assert source.lend() is None


def test_what_was_lent_can_be_read_when_the_source_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "plain"
    path.write_bytes(CONTENT)
    with open_source(path) as source:
        given = source.read()
        descriptor = source.lend()
    assert descriptor is not None
    with path.open("rb") as other, io.FileIO(descriptor) as lent:
        given += lent.readall()
        assert other.tell() == 0, "another file has another descriptor"
    assert given == CONTENT


@pytest.mark.parametrize("kind", KINDS)
def test_nobody_else_can_read_what_has_to_be_unpacked(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "packed"
    path.write_bytes(compressed(kind, CONTENT))
    with open_source(path) as source:
        source.read()
        assert source.lend() is None


def test_pipes_and_streams_are_not_lent(tmp_path: Path) -> None:
    path = tmp_path / "plain"
    path.write_bytes(CONTENT)
    out, into = os.pipe()
    os.write(into, b"some bytes")
    os.close(into)
    buffered = path.open("rb")  # its descriptor is ahead of what it has given
    for stream in (io.BytesIO(CONTENT), buffered, io.FileIO(out)):
        with stream:
            source = open_source(stream)  # type: ignore[arg-type]
            assert source.read()
            assert source.lend() is None


def test_a_named_pipe_is_not_lent(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(b"some bytes",))
    writer.start()
    with open_source(path) as source:
        assert source.read()
        assert source.lend() is None
    writer.join()


@pytest.mark.parametrize("kind", KINDS)
def test_compression_is_told_by_content(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "misleading.pcap"
    packed = compressed(kind, CONTENT)
    path.write_bytes(packed)
    assert all_of(path) == CONTENT
    with open_source(path) as source:
        source.read()
        assert source.compression == kind
        assert source.size == len(packed)
        while source.read():
            pass
        assert source.position() == len(packed)


@pytest.mark.parametrize("kind", KINDS)
def test_streams_behind_each_other_are_one(kind: str) -> None:
    packed = compressed(kind, b"first") + compressed(kind, b"second")
    assert all_of(io.BytesIO(packed)) == b"firstsecond"


@pytest.mark.parametrize("kind", ["gzip", "xz"])
def test_padding_with_zeros_is_passed_over(kind: str) -> None:
    packed = compressed(kind, b"first") + bytes(8) + compressed(kind, b"second") + bytes(512)
    assert all_of(io.BytesIO(packed)) == b"firstsecond"


@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_that_is_cut_short_counts_up_to_there(kind: str) -> None:
    packed = compressed(kind, CONTENT)
    source = open_source(io.BytesIO(packed[: len(packed) // 2]))
    got = b""
    while part := source.read():
        got += part
    assert got
    assert CONTENT.startswith(got)
    assert source.error is not None
    assert f"the {kind} stream is cut short" in source.error
    assert source.read() == b""


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_stream_counts_up_to_there(kind: str) -> None:
    packed = bytearray(compressed(kind, b"first") + compressed(kind, CONTENT))
    packed[-3] ^= 0xFF  # in the length that gzip ends with, the footer of xz, the checksum of zstd
    source = open_source(io.BytesIO(packed))
    got = b""
    while part := source.read():
        got += part
    assert got.startswith(b"first")
    assert source.error is not None
    assert f"the {kind} stream is damaged" in source.error
    assert "\n" not in source.error


@pytest.mark.parametrize("kind", KINDS)
def test_what_comes_before_the_damage_within_one_read_counts(kind: str) -> None:
    # Noise does not pack: its first 150,000 bytes are whole in the first 200,000 of the stream, and zstd's blocks
    # of 128 KiB leave one of them whole.
    noise = random.Random(1).randbytes(300_000)
    packed = bytearray(compressed(kind, noise))
    packed[200_000:] = b"\xff" * (len(packed) - 200_000)
    source = open_source(io.BytesIO(packed))
    got = b""
    while part := source.read():
        got += part
    assert noise.startswith(got[:128_000])
    assert len(got) >= 128_000
    assert source.error is not None
    assert f"the {kind} stream is damaged" in source.error


@pytest.mark.parametrize("kind", KINDS)
def test_many_streams_of_next_to_nothing_end_soon(kind: str) -> None:
    empty = compressed(kind, b"")
    source = open_source(io.BytesIO(compressed(kind, b"first") + empty * 500_000))
    begin = time.process_time()
    got = b""
    while part := source.read():
        got += part
    assert got == b"first"
    assert time.process_time() - begin < 3
    assert source.error is not None
    assert "streams of next to nothing" in source.error


@pytest.mark.parametrize("kind", KINDS)
def test_a_few_short_streams_and_zeros_between_are_read(kind: str) -> None:
    packed = b"".join(compressed(kind, bytes([value])) + bytes(4096 * (value % 2)) for value in range(256))
    assert all_of(io.BytesIO(packed)) == bytes(range(256))


@pytest.mark.parametrize("kind", KINDS)
def test_a_small_file_that_unpacks_to_much_is_given_in_chunks(kind: str) -> None:
    assert all_of(io.BytesIO(compressed(kind, bytes(20 * CHUNK)))) == bytes(20 * CHUNK)


def test_zstd_without_a_decompressor_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("compression", "compression.zstd", "backports", "backports.zstd"):
        monkeypatch.setitem(sys.modules, name, None)
    source = open_source(io.BytesIO(bytes.fromhex("28b52ffd") + bytes(20)))
    with pytest.raises(InputError, match=r"pip install 'vxtool\[zstd\]', or pipe it through zstd -dc"):
        source.read()


@pytest.mark.parametrize("first", [b"\x1f", b"\xfd7z", b"(", b"\x0a"])
def test_an_input_shorter_than_a_magic_is_given(first: bytes) -> None:
    assert all_of(io.BytesIO(first)) == first


def test_a_pipe_is_read_as_it_arrives() -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as stream, os.fdopen(writing, "wb", buffering=0) as sender:
        source = open_source(stream)
        for sent in (b"\x0a\x0d\x0d\x0a", b"x", b"y" * 5000):
            sender.write(sent)
            got = b""
            while len(got) < len(sent):
                got += source.read()
            assert got == sent
        assert source.size is None


def test_a_compressed_pipe_is_read_as_it_arrives_byte_by_byte() -> None:
    packed = gzip.compress(b"a capture")
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as stream:
        source = open_source(stream)

        def send() -> None:
            with os.fdopen(writing, "wb", buffering=0) as sender:
                for value in packed:
                    sender.write(bytes([value]))

        sender = threading.Thread(target=send)
        sender.start()
        got = b""
        while part := source.read():
            got += part
        sender.join()
    assert got == b"a capture"
    assert source.compression == "gzip"


def test_a_named_pipe_is_read(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    sender = threading.Thread(target=path.write_bytes, args=(b"through a pipe",))
    sender.start()
    assert all_of(path) == b"through a pipe"
    sender.join()


def test_a_dash_is_standard_input() -> None:
    script = "from vxtool.capture import open_source; s = open_source('-'); print(s.path, s.read())"
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, input=b"piped", capture_output=True, check=True)
    assert done.stdout.strip() == b"- b'piped'"


def test_standard_input_that_is_closed_or_a_terminal_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(InputError, match=r"^-: standard input is closed, .*tcpdump -w - \|"):
        open_source("-")
    leader, follower = os.openpty()
    with os.fdopen(leader, "rb"), os.fdopen(follower, "r") as terminal:
        monkeypatch.setattr(sys, "stdin", terminal)
        with pytest.raises(InputError, match=r"^-: standard input is a terminal, .*tcpdump -w - \|"):
            open_source("-")


def test_what_cannot_be_opened_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"missing\.pcap: cannot be read: No such file or directory"):
        open_source(tmp_path / "missing.pcap")
    with pytest.raises(InputError, match=r"is a directory, expected a capture file"):
        open_source(tmp_path)
    with pytest.raises(InputError, match=r"expected the path of a capture file"):
        open_source("nul\0inside")


def test_a_file_without_permission_is_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "secret"
    path.touch(mode=0)

    def forbidden(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    if os.geteuid() == 0:  # who may read every file
        monkeypatch.setattr("builtins.open", forbidden)
    with pytest.raises(InputError, match=r"secret: cannot be read: Permission denied: run as a user who may"):
        open_source(path)


class FailingDisk(io.RawIOBase):
    """A file that gives some bytes, then an input/output error."""

    def __init__(self, *parts: bytes) -> None:
        self.parts = list(parts)

    def read(self, size: int = -1) -> bytes:
        if self.parts:
            return self.parts.pop(0)
        raise OSError(5, "Input/output error")


def test_a_failing_disk_counts_up_to_there() -> None:
    source = open_source(FailingDisk(b"capture"))  # type: ignore[arg-type]
    assert source.read() == b"capture"
    assert source.read() == b""
    assert source.error == "<stream>: reading failed after 7 bytes: Input/output error"
    with pytest.raises(InputError, match="Input/output error"):
        open_source(FailingDisk()).read()  # type: ignore[arg-type]
