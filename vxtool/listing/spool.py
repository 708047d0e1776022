"""Inputs that are read twice: what can be read only once is copied to a temporary file first."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, BinaryIO

from vxtool.capture.source import Source, open_source
from vxtool.errors import InputError

if TYPE_CHECKING:
    from vxtool.control import Control

_PIECE = 1 << 18  # bytes read at once


class Inputs:
    """Opens inputs by their names, as often as they are wanted. Also a context manager that removes the copies."""

    def __init__(self, paths: Sequence[str], control: Control | None = None) -> None:
        """`control` may end the copying early."""
        self.paths = paths
        self._control = control
        self._copies: dict[int, BinaryIO] = {}

    def __enter__(self) -> Inputs:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        for copy in self._copies.values():
            copy.close()
        self._copies.clear()

    def open(self, index: int) -> Source:
        """Raises InputError as `open_source` does."""
        path = self.paths[index]
        if index not in self._copies:
            if not _is_stream(path):
                return open_source(path)
            self._copies[index] = _copied(path, self._control)
        # One reads after the other, so that it does not matter that both move the same position.
        descriptor = os.dup(self._copies[index].fileno())
        os.lseek(descriptor, 0, os.SEEK_SET)
        return Source(open(descriptor, "rb", buffering=0), path, owned=True)

    @contextmanager
    def opened(self, wanted: Sequence[bool]) -> Iterator[Reading]:
        """Those inputs that are wanted."""
        with ExitStack() as stack:
            sources = [
                stack.enter_context(self.open(index)) if wanted[index] else None for index in range(len(wanted))
            ]
            yield Reading(sources)


class Reading:
    """Some of the inputs, open; each is read once from the beginning."""

    def __init__(self, sources: Sequence[Source | None]) -> None:
        self._sources = sources
        self._memory = memoryview(bytearray(_PIECE))

    def read(self, index: int) -> bytes | memoryview:
        """The next bytes of an input, good until the next are read; none at its end, or where it is left out."""
        source = self._sources[index]
        return source.borrow(self._memory) if source is not None else b""


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


def _copied(path: str, control: Control | None) -> BinaryIO:
    """A copy of what comes from a pipe or from standard input, as it was. It has no name: closed, it is gone."""
    with ExitStack() as stack:
        try:
            copy = stack.enter_context(tempfile.TemporaryFile())
        except OSError as error:  # which names the places that were tried, if that is what it is about
            raise no_copy(path, "a temporary file", error) from error
        source = stack.enter_context(open_source(path))
        if control is not None:
            control.reading = True
        try:
            source.copy_to(copy, control)
            copy.flush()
        except OSError as error:
            raise no_copy(path, tempfile.gettempdir(), error) from error
        finally:
            if control is not None:
                control.reading = False
        source.close()
        stack.pop_all()
        return copy
