"""Section compression: bombs, streams that are cut or damaged, streams without end or without content."""

from __future__ import annotations

import gzip
import io
import lzma
import os
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from torture.containers import frame, pcap_header, pcap_record
from torture.jobs import Case, Job
from torture.layout import layout
from torture.ways import (
    CAPTURES,
    Done,
    as_file,
    process,
    through_source,
    word_of_json,
    work_folder,
)

GIGABYTE = 10**9
BOMB = 10  # GB
SMALL = ("vxlan.pcap", "ping-http.pcap", "four-ways.pcapng", "node.pcap", "drops.pcap")
CUTS, FLIPS = 400, 1_500
PIECE = 512  # bytes of a stream of which those that unpack to nothing right may be lost
LONG = 3_600.0  # s of wall time


def _zstd() -> object:
    try:
        from compression import zstd
    except ImportError:
        from backports import zstd
    return zstd


def pack(kind: str, data: bytes) -> bytes:
    if kind == "gzip":
        return gzip.compress(data, mtime=0)
    if kind == "xz":
        return lzma.compress(data)
    return _zstd().compress(data)  # type: ignore[attr-defined, no-any-return]


def unpack_start(kind: str, data: bytes) -> bytes:
    """What a library's own decoder gives of a stream before it ends, or before the piece in which it complains."""
    decoders: dict[str, Callable[[], object]] = {
        "gzip": lambda: zlib.decompressobj(31),
        "xz": lzma.LZMADecompressor,
        "zstd": lambda: _zstd().ZstdDecompressor(),  # type: ignore[attr-defined]
    }
    decoder, parts = decoders[kind](), []
    for at in range(0, len(data), PIECE):
        try:
            parts.append(decoder.decompress(data[at : at + PIECE]))  # type: ignore[attr-defined]
        except Exception:
            break
        if decoder.eof:  # type: ignore[attr-defined]
            break
    return b"".join(parts)


def common(one: bytes, other: bytes) -> int:
    """How many bytes two texts begin with alike."""
    most = min(len(one), len(other))
    if one[:most] == other[:most]:
        return most
    return next(at for at in range(most) if one[at] != other[at])


KINDS = ("gzip", "xz", "zstd")


def jobs() -> Iterator[Job]:
    for kind in KINDS:
        yield Job("compression", f"bombs-{kind}", bombs, (kind,))
        yield Job("compression", f"damaged-{kind}", damaged, (kind,))
        yield Job("compression", f"odd-{kind}", odd, (kind,))


def _packed_zeros(kind: str, count: int = GIGABYTE) -> bytes:
    """So many zeros as one stream, made piece by piece."""
    piece = bytes(10_000_000)
    if kind == "gzip":
        packer = zlib.compressobj(6, wbits=31)
        parts = [packer.compress(piece) for _ in range(count // len(piece))]
        return b"".join([*parts, packer.flush()])
    if kind == "xz":
        slow = lzma.LZMACompressor(preset=0)
        parts = [slow.compress(piece) for _ in range(count // len(piece))]
        return b"".join([*parts, slow.flush()])
    quick = _zstd().ZstdCompressor()  # type: ignore[attr-defined]
    parts = [quick.compress(piece) for _ in range(count // len(piece))]
    return b"".join([*parts, quick.flush()])


def _run(path: str, least: int, most: int | None, seconds: float = 600) -> tuple[str, Done]:
    done = process(["analyze", path, "--format", "json"], seconds=seconds)
    return word_of_json(done, least, most), done


def bombs(kind: str) -> Iterator[Case]:
    row = f"bombs of {BOMB} GB"
    folder = work_folder()
    zeros = _packed_zeros(kind)
    header = pack(kind, pcap_header() + pcap_record(frame()))
    plain, with_header, nested = (str(folder / f"{name}.{kind}") for name in ("plain", "header", "nested"))
    Path(plain).write_bytes(zeros * BOMB)
    # Sixteen zeros are a record without a byte, of 1970.
    Path(with_header).write_bytes(header + zeros * BOMB)
    Path(nested).write_bytes(pack(kind, zeros * BOMB))
    packed = os.path.getsize(with_header)
    yield Case(f"{kind}, zeros", row, partial(_run, plain, 0, 0), packed)
    yield Case(f"{kind}, a bomb in a bomb", row, partial(_run, nested, 0, 0), os.path.getsize(nested))
    count = BOMB * GIGABYTE // 16 + 1
    yield Case(f"{kind}, records without a byte", row, partial(_run, with_header, count, count, LONG),
               BOMB * GIGABYTE, LONG)  # fmt: skip


def damaged(kind: str) -> Iterator[Case]:
    row = "streams cut, and with bits flipped"
    for name in SMALL:
        whole = (CAPTURES / name).read_bytes()
        where = layout(whole)
        packed = pack(kind, whole)
        chance = random.Random(f"{kind} {name}")
        places = range(len(packed)) if len(packed) <= CUTS else sorted(chance.sample(range(len(packed)), CUTS))
        for place in places:
            data = packed[:place]
            least = where.before(len(unpack_start(kind, data)))
            yield Case(
                f"{name}, {kind}, cut at byte {place}", row, partial(through_source, data, least), len(whole)
            )
        for number in range(FLIPS):
            changed = bytearray(packed)
            for _ in range(chance.choice([1, 1, 2, 8])):
                changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
            data = bytes(changed)
            there = unpack_start(kind, data)
            least = where.before(common(there, whole))
            label = f"{name}, {kind}, bits flipped, number {number}"
            yield Case(label, row, partial(through_source, data, least), len(whole) + len(there))
            if number % 100 == 0:
                path_of = partial(as_file, data, f"case.pcap.{kind}")
                run = partial(_through_process, path_of, least)
                yield Case(label, f"{row}: processes", run, len(whole) + len(there))


def _through_process(path_of: Callable[[], str], least: int, most: int | None = None) -> tuple[str, Done]:
    return _run(path_of(), least, most)


def odd(kind: str) -> Iterator[Case]:
    row = "streams of no sense"
    whole = (CAPTURES / "vxlan.pcap").read_bytes()
    packed, empty = pack(kind, whole), pack(kind, b"")
    noise = random.Random(3).randbytes(100_000)
    magic = packed[:6]

    def both(label: str, data: bytes, least: int, most: int | None, unpacked: int) -> Iterator[Case]:
        read = max(len(data), unpacked)
        yield Case(f"{kind}, {label}", row, partial(through_source, data, least, most), read)
        path_of = partial(as_file, data, f"case.pcap.{kind}")
        yield Case(f"{kind}, {label}", f"{row}: processes", partial(_through_process, path_of, least, most), read)

    for label, tail in (("noise", noise), ("zeros", bytes(100_000)), ("one byte", b"x"), ("a magic", magic),
                        ("half a stream", packed[: len(packed) // 2]), ("text", b"text\n" * 1000)):  # fmt: skip
        yield from both(f"{label} behind the end", packed + tail, 4, None, len(whole))
        yield from both(f"{label} before a stream", tail + packed, 0, None, len(whole))
    parts = b"".join(pack(kind, whole[at : at + 1]) for at in range(len(whole)))
    yield from both("a stream for each byte", parts, 4, 4, len(whole))
    yield from both("2,000 empty streams", packed + empty * 2_000 + b"", 4, 4, len(whole))
    yield from both("a million empty streams", packed + empty * 1_000_000, 4, 4, len(whole))
    yield from both("only empty streams", empty * 50_000, 0, 0, 0)
    yield from both("zeros between streams", (packed[:0] + pack(kind, whole[:300]) + bytes(4_000_000)
                    + pack(kind, whole[300:])), 4, 4, len(whole))  # fmt: skip
    if kind == "gzip":
        for flags in range(256):
            yield from both(
                f"header flags {flags:#x}", b"\x1f\x8b\x08" + bytes([flags]) + packed[4:], 0, None, len(whole)
            )
        name = b"\x1f\x8b\x08\x08" + bytes(6) + b"n" * 30_000_000
        yield from both("a name of 30 MB", name, 0, 0, 0)
        stored = b"".join(b"\0\0\0\xff\xff" for _ in range(2_000_000))
        yield from both("two million empty blocks", b"\x1f\x8b\x08\0" + bytes(6) + stored, 0, 0, 0)
    if kind == "zstd":
        skipped = struct.pack("<II", 0x184D2A50, 0)
        yield from both("a million frames to skip", packed + skipped * 1_000_000, 4, 4, len(whole))
        yield from both(
            "a frame to skip of 4 GB", packed + struct.pack("<II", 0x184D2A50, 0xFFFFFFFF), 4, 4, len(whole)
        )
        for window in range(0, 256, 1):
            head = b"\x28\xb5\x2f\xfd\0" + bytes([window])
            yield from both(f"window {window:#x}", head + b"\x02\0\0\0" + noise[:1000], 0, 0, 1000)
            zeros = head + struct.pack("<I", (1 << 17) << 3 | 2)[:3] + b"\0"
            yield from both(f"window {window:#x}, zeros", zeros * 3, 0, 0, 1 << 19)
    if kind == "xz":
        for preset in (0, 6, 9, 9 | lzma.PRESET_EXTREME):
            yield from both(f"preset {preset:#x}", lzma.compress(whole, preset=preset), 4, 4, len(whole))
        for size in (1 << 26, 1 << 28, 1 << 30, (1 << 32) - 1 >> 1 | 1):
            try:
                filters = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": size}]
                data = _with_dictionary(whole, filters)
            except (lzma.LZMAError, MemoryError):
                continue
            yield from both(f"a dictionary of {size:,} bytes", data, 0, 4, len(whole))


def _with_dictionary(data: bytes, filters: list[dict[str, int]]) -> bytes:
    out = io.BytesIO()
    with lzma.LZMAFile(out, "w", filters=filters) as file:
        file.write(data)
    return out.getvalue()
