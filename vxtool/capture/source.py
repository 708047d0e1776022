"""Where the bytes of a capture come from: a file, a pipe or standard input, plain or compressed.

Compression is told by the first bytes, never by the name. A pipe is read as it arrives: no read waits for
more than one byte, so a live `tcpdump -w -` shows its records at once. Decompression is incremental and
bounded: neither a chunk that unpacks to gigabytes nor a stream without end makes a read larger than CHUNK.

A stream that turns out damaged or cut is not an error but an end: what came before counts, and `error` says
what happened. Only an input that gives nothing at all raises InputError.
"""

from __future__ import annotations

import io
import os
import stat
import sys
from collections.abc import Callable
from types import TracebackType
from typing import BinaryIO, Literal, Protocol

from vxtool.errors import InputError

CHUNK = 1 << 20
"""Bytes of one read at most, compressed and decompressed alike."""

Compression = Literal["gzip", "zstd", "xz"]
_MAGICS: dict[bytes, Compression] = {
    bytes.fromhex("1f8b"): "gzip",
    bytes.fromhex("28b52ffd"): "zstd",
    bytes.fromhex("fd377a585a00"): "xz",
}
# xz -9 needs 65 MiB to unpack; a file that asks for more than this was not made by a person.
_XZ_MEMORY = 512 << 20
# Bytes that are unpacked at once, and how many unpacked ones are given on together.
_PIECE = 512
_ENOUGH = 1 << 16
# To begin a stream takes its time: so many, of fewer bytes than this on average, are no capture.
_MANY_STREAMS, _SHORT_STREAM = 4096, 64
_LOOK = 0.05  # s, for more of a stream, before it is asked whether to wait on


def open_source(path: str | os.PathLike[str] | BinaryIO, make: Callable[..., Source] | None = None) -> Source:
    """A source over a file, a named pipe, standard input (`-`), or a binary file object (which stays open).

    `make` makes the source, as `Source` does. Raises InputError where it cannot be opened, or is a directory or a
    terminal. Nothing is read yet.
    """
    make = make or Source
    if not isinstance(path, (str, os.PathLike)):
        return make(path, str(getattr(path, "name", "<stream>")), owned=False)
    name = os.fspath(path)
    if name == "-":
        return make(_standard_input(), "-", owned=False)
    try:
        # Unbuffered: a buffered file would wait on a pipe until its buffer is full.
        return make(open(name, "rb", buffering=0), name, owned=True)
    except IsADirectoryError:
        raise InputError(f"{name}: is a directory, expected a capture file: name the files in it") from None
    except ValueError as error:
        raise InputError(f"{name!r}: {error}, expected the path of a capture file") from None
    except OSError as error:
        raise _cannot_read(name, error) from None


def _standard_input() -> BinaryIO:
    if sys.stdin is None:
        raise InputError("-: standard input is closed, expected a capture: tcpdump -w - | vxtool ... -")
    if sys.stdin.isatty():
        raise InputError("-: standard input is a terminal, expected a capture: tcpdump -w - | vxtool ... -")
    return sys.stdin.buffer


def _cannot_read(name: str, error: OSError) -> InputError:
    advice = {
        FileNotFoundError: "is the path right?",
        PermissionError: "run as a user who may read it, or change its mode",
    }.get(type(error), "is the disk or file system all right?")
    return InputError(f"{name}: cannot be read: {error.strerror or error}: {advice}")


class Source:
    """The bytes of one input, decompressed. Also a context manager that closes it."""

    path: str
    compression: Compression | None
    """Known after the first read."""
    size: int | None
    """Bytes of the (compressed) file, for progress; None where it is no regular file."""
    error: str | None
    """One sentence with the path, where the stream ended by damage; what was read before it counts."""
    damaged_at: int | None
    """Bytes of the file before those that could not be unpacked, where they could not."""

    def __init__(self, stream: BinaryIO | io.RawIOBase, name: str, *, owned: bool) -> None:
        self.path = name
        self.compression = None
        self.error = None
        self.damaged_at = None
        self._stream = stream
        self._owned = owned
        # read1 is a buffered file's way to give what is there; a raw file's read does just that.
        self._read_some: Callable[[int], bytes | None] = getattr(stream, "read1", stream.read)
        self._read_into: Callable[[memoryview], int | None] | None = getattr(
            stream, "readinto1", getattr(stream, "readinto", None)
        )
        self._position = 0
        self._first: bytes | None = None  # looked at, but not yet given
        self._decoder: _Decoder | None = None
        self._begun = False
        self._ended = False
        self.size = _regular_size(stream)
        # Then its descriptor stands where reading does: nothing is read ahead.
        self._is_plain_file = owned and self.size is not None and isinstance(stream, io.FileIO)

    def __enter__(self) -> Source:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file if this source opened it."""
        self._ended = True
        if self._owned:
            self._stream.close()

    def position(self) -> int:
        """Bytes read of the (compressed) file so far, to compare with `size`."""
        # Of a file, since others may read it by what they were lent.
        return self._stream.tell() if self._is_plain_file else self._position

    def lend(self) -> int | None:
        """A descriptor of a plain regular file that has begun. Who reads from it reads what this source would have
        given, also when that is closed meanwhile, and has to close it. None for any other source, which has to be
        asked itself.
        """
        if self._ended or not self._begun or self._first or self._decoder is not None or not self._is_plain_file:
            return None
        try:
            return os.dup(self._stream.fileno())
        except OSError:  # too many are open
            return None

    def ready(self, seconds: float) -> bool:
        """Whether a read would not have to wait; False where there is nothing so many seconds later either."""
        if self._ended or self.size is not None or self._first or (self._decoder and not self._decoder.hungry):
            return True
        try:
            descriptor = self._stream.fileno()
        except (OSError, AttributeError):  # a file object in memory
            return True
        import select  # here, because most captures are files

        # Nothing is held by the stream's own buffer: each read takes more than that has room for.
        return bool(select.select([descriptor], [], [], seconds)[0])

    def comes(self, gives_up: Callable[[], bool]) -> bool:
        """Wait until a read would not have to; False: `gives_up`, asked whenever nothing came for a while, said so
        first."""
        while not self.ready(_LOOK):
            if gives_up():
                return False
        return True

    def read(self) -> bytes:
        """The next bytes, 1 to CHUNK of them, as soon as there are any; b"" at the end and ever after.

        Raises InputError where not one byte can be read, or where zstd is met and cannot be unpacked here.
        """
        return bytes(self.borrow(None))

    def borrow(self, memory: memoryview | None) -> bytes | memoryview:
        """As `read`, but the bytes may lie in `memory`: to use the same for all saves a tenth of the time."""
        if self._ended:
            return b""
        if not self._begun:
            self._begin()
        chunk = self._raw(memory) if self._decoder is None else self._decompressed(self._decoder)
        self._ended = not chunk
        return chunk

    def first(self) -> bytes:
        """What comes first, as it is in the file, which is read nevertheless: some bytes up to one that is no white
        space, unless there is none in as many as a chunk has."""
        if not self._begun:
            self._begin()
        first = self._first or b""
        while not first.strip() and len(first) < CHUNK:
            self._first = None
            more = bytes(self._raw())
            first += more
            if not more:
                break
        self._first = first
        return first

    def _begin(self) -> None:
        first = b""
        # A pipe may give less than a magic at first; what can no longer become one ends the wait.
        while any(len(first) < len(magic) and magic.startswith(first) for magic in _MAGICS):
            more = self._raw()
            if not more:
                break
            first += more
        self._begun = True
        self._first = first
        self.compression = next((kind for magic, kind in _MAGICS.items() if first.startswith(magic)), None)
        if self.compression:
            self._decoder = _decoder(self.compression, self.path)

    def _some(self, into: memoryview | None) -> bytes | memoryview | None:
        """What is there to read; None where the file does not wait for any."""
        if into is None or self._read_into is None:
            return self._read_some(CHUNK)
        count = self._read_into(into)
        return into[:count] if count is not None else None

    def _raw(self, into: memoryview | None = None) -> bytes | memoryview:
        """The next bytes as they are in the file; empty at its end, or where reading fails after some."""
        if self._first:
            first, self._first = self._first, None
            return first
        try:
            chunk = self._some(into)
        except OSError as error:
            if not self.position():
                raise _cannot_read(self.path, error) from None
            why = error.strerror or error
            self.error = f"{self.path}: reading failed after {self.position()} bytes: {why}"
            return b""
        if chunk is None:
            raise InputError(f"{self.path}: is non-blocking, expected what can be waited on: use cat ... |")
        self._position += len(chunk)
        return chunk

    def _decompressed(self, decoder: _Decoder) -> bytes:
        while True:
            if decoder.hungry:
                more = self._raw()
                if not more:
                    if not self.error and not decoder.complete:
                        self._damaged("is cut short")
                    return b""
                decoder.give(more)
            try:
                chunk = decoder.take()
            except decoder.errors as error:
                self.damaged_at = decoder.taken
                self._damaged(f"is damaged ({error})")
                return b""
            if chunk:
                return chunk

    def _damaged(self, how: str) -> None:
        self.error = (
            f"{self.path}: the {self.compression} stream {how} within its first {self.position()} bytes: "
            "what came before counts; copy the file again"
        )


def _regular_size(stream: BinaryIO | io.RawIOBase) -> int | None:
    try:
        status = os.fstat(stream.fileno())
    except (OSError, AttributeError):  # a file object in memory has no descriptor
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


class _Stream(Protocol):
    """One compressed stream, as lzma and compression.zstd give it."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class _GzipStream:
    """One gzip member with the interface that lzma and zstd have."""

    def __init__(self) -> None:
        import zlib

        self._stream = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
        self._full = False

    @property
    def eof(self) -> bool:
        return self._stream.eof

    @property
    def needs_input(self) -> bool:
        # zlib may hold output back without any input left, so only a read that was not filled tells.
        return not self.eof and not self._stream.unconsumed_tail and not self._full

    @property
    def unused_data(self) -> bytes:
        return self._stream.unused_data

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        chunk = self._stream.decompress(self._stream.unconsumed_tail + data, max(max_length, 0))
        self._full = len(chunk) == max_length
        return chunk


class _TooManyStreams(Exception):
    pass


class _Decoder:
    """Streams of one kind, one behind the other, as `cat a.gz b.gz` makes them.

    They are given to the library in small pieces: what a piece unpacks to is lost where it turns out damaged. And
    what stands behind a stream's end is copied by the library, which would take long for many short ones.
    """

    def __init__(self, start: Callable[[], _Stream], errors: tuple[type[Exception], ...]) -> None:
        self.errors: tuple[type[Exception], ...] = (*errors, _TooManyStreams)
        self._start = start
        self._stream: _Stream | None = start()
        self._given = b""
        self._at = 0  # what is before it was taken
        self._streams = 1
        self._before = 0  # bytes given before these
        self.taken = 0  # bytes before the last piece
        self._failure: Exception | None = None

    @property
    def hungry(self) -> bool:
        """Whether nothing can be taken before more is given."""
        given_all = self._at == len(self._given)
        return given_all and self._failure is None and (self._stream is None or self._stream.needs_input)

    @property
    def complete(self) -> bool:
        """Whether all that was given makes whole streams."""
        return self._stream is None and self._at == len(self._given)

    def give(self, data: bytes | memoryview) -> None:
        self._before += len(self._given)
        self._given, self._at = bytes(data), 0

    def take(self) -> bytes:
        """At most CHUNK bytes; b"" does not mean the end. Raises one of `errors` on damage, after all that came
        before it was taken."""
        parts: list[bytes] = []
        size = 0
        while size < _ENOUGH and not self.hungry:
            try:
                if self._failure is not None:
                    raise self._failure
                chunk = self._take(CHUNK - size)
            except self.errors as error:
                self._failure = error
                if not parts:
                    raise
                break
            if chunk:
                parts.append(chunk)
                size += len(chunk)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _take(self, most: int) -> bytes:
        self.taken = self._before + self._at
        if self._stream is None:
            # Between streams there may be padding with zeros: xz has it by its format, tapes add it to gzip.
            piece = self._given[self._at : self._at + _PIECE]
            rest = piece.lstrip(b"\0")
            self._at += len(piece) - len(rest)
            if not rest:
                return b""
            self._begin()
        assert self._stream is not None
        piece = self._given[self._at : self._at + _PIECE] if self._stream.needs_input else b""
        self._at += len(piece)
        chunk = self._stream.decompress(piece, most)
        if self._stream.eof:
            # All that the library holds back is of this piece, or of the one before.
            self._at -= len(self._stream.unused_data)
            self._stream = None
        return chunk

    def _begin(self) -> None:
        self._streams += 1
        if self._streams > _MANY_STREAMS and self._before + self._at < self._streams * _SHORT_STREAM:
            raise _TooManyStreams(f"{self._streams:,} streams of next to nothing")
        self._stream = self._start()


def _decoder(compression: Compression, name: str) -> _Decoder:
    # Imported when met: most captures are not compressed, and start-up is to stay cheap.
    if compression == "gzip":
        import zlib

        return _Decoder(_GzipStream, (zlib.error,))
    if compression == "xz":
        import lzma

        return _Decoder(lambda: lzma.LZMADecompressor(memlimit=_XZ_MEMORY), (lzma.LZMAError,))
    try:
        from compression import zstd  # Python 3.14 and later
    except ImportError:
        try:
            from backports import zstd
        except ImportError:
            raise InputError(
                f"{name}: is zstd-compressed and no decompressor is installed: pip install 'vxtool[zstd]', "
                "or pipe it through zstd -dc"
            ) from None
    return _Decoder(zstd.ZstdDecompressor, (zstd.ZstdError,))
