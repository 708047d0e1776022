"""Inputs that are read twice: what can be read only once is copied to a temporary file the first time."""

from __future__ import annotations

import io
import os
import stat
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, BinaryIO

from vxtool.capture.source import Source, open_source
from vxtool.errors import InputError

if TYPE_CHECKING:
    from vxtool.control import Control

_PIECE = 1 << 18  # bytes read at once


class Inputs:
    """Opens inputs by their names, as often as they are wanted. Also a context manager that removes the copies.

    What is read of a stream the first time is all there is to it from then on: an input that is no capture, or that
    is damaged, is not copied on, however long it would be.
    """

    def __init__(self, paths: Sequence[str], control: Control | None = None) -> None:
        """`control` may end the streams early."""
        self.paths = paths
        self._control = control
        self._copies: dict[int, BinaryIO] = {}
        self._failures: list[InputError] = []
        self._streams = 0  # that are being copied

    def __enter__(self) -> Inputs:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        for copy in self._copies.values():
            copy.close()
        self._copies.clear()

    def open(self, index: int) -> Source:
        """Raises InputError as `open_source` does. Of a stream, one is to be closed before the next is opened; it
        counts as being read, for `control`, until then."""
        path = self.paths[index]
        if index not in self._copies:
            return self._open_stream(index) if _is_stream(path) else open_source(path)
        # One reads after the other, so that it does not matter that both move the same position.
        descriptor = os.dup(self._copies[index].fileno())
        os.lseek(descriptor, 0, os.SEEK_SET)
        return Source(open(descriptor, "rb", buffering=0), path, owned=True)

    def check(self) -> None:
        """InputError where there was no room for a copy."""
        for failure in self._failures:
            raise failure

    def _open_stream(self, index: int) -> Source:
        path = self.paths[index]
        with ExitStack() as stack:
            try:
                copy = stack.enter_context(tempfile.TemporaryFile(buffering=0))
            except OSError as error:  # which names the places that were tried, if that is what it is about
                raise self._no_room(path, "a temporary file", error) from error
            source = open_source(path, partial(_Stream, copy=copy, inputs=self))
            stack.pop_all()
        self._copies[index] = copy
        self.tell_of_streams(1)
        return source

    def tell_of_streams(self, more: int) -> None:
        self._streams += more
        if self._control is not None:
            self._control.reading = self._streams > 0

    def wait_for(self, source: Source) -> bool:
        """Whether more of a stream is wanted, once there is any."""
        control = self._control
        # A stream that always has more never asks whether to wait on.
        return control is None or (not control.stopped and source.comes(lambda: control.stopped))

    def keep(self, copy: BinaryIO, path: str, chunk: bytes | memoryview) -> None:
        left = memoryview(chunk)
        try:
            while left:
                left = left[copy.write(left) :]
        except OSError as error:
            raise self._no_room(path, tempfile.gettempdir(), error) from error

    def _no_room(self, path: str, where: str, error: OSError) -> InputError:
        self._failures.append(no_copy(path, where, error))
        return self._failures[-1]

    @contextmanager
    def opened(self, sizes: Sequence[int]) -> Iterator[Reading]:
        """As many bytes of each input; where it is none, it is not opened."""
        with ExitStack() as stack:
            sources = [
                stack.enter_context(self.open(index)) if sizes[index] else None for index in range(len(sizes))
            ]
            yield Reading(sources, sizes)


class _Stream(Source):
    """A stream that is copied as it is, compressed or not, while it is read."""

    def __init__(
        self, stream: BinaryIO | io.RawIOBase, name: str, *, owned: bool, copy: BinaryIO, inputs: Inputs
    ) -> None:
        super().__init__(stream, name, owned=owned)
        self._copy = copy
        self._inputs: Inputs | None = inputs  # until it is closed

    def _some(self, into: memoryview | None) -> bytes | memoryview | None:
        if self._inputs is None or not self._inputs.wait_for(self):
            return b""
        chunk = super()._some(into)
        if chunk:
            self._inputs.keep(self._copy, self.path, chunk)
        return chunk

    def close(self) -> None:
        super().close()
        if self._inputs is None:
            return
        self._inputs.tell_of_streams(-1)
        self._inputs = None
        # What damaged bytes unpack to depends on how they are given: next time as little as this time.
        if self.damaged_at is not None:
            self._copy.truncate(self.damaged_at)


class Reading:
    """Some of the inputs, open; each is read once from the beginning."""

    def __init__(self, sources: Sequence[Source | None], sizes: Sequence[int]) -> None:
        self._sources = sources
        self._left = list(sizes)
        self._memory = memoryview(bytearray(_PIECE))

    def read(self, index: int) -> bytes | memoryview:
        """The next bytes of an input, good until the next are read; none at its end, or where it is left out."""
        source, left = self._sources[index], self._left[index]
        chunk = source.borrow(self._memory)[:left] if source is not None and left > 0 else b""
        self._left[index] -= len(chunk)
        return chunk


def _is_stream(path: str) -> bool:
    """Whether it can be read only once, or not at all."""
    if path == "-":
        return True
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return False  # which opening it will tell
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def no_copy(path: str, where: str, error: OSError) -> InputError:
    """The error of an input of which there is no room for a copy."""
    return InputError(
        f"{path}: cannot be copied to {where}: {error.strerror or error}; give TMPDIR a place with room"
    )
