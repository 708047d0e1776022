"""From a source to records, and from several inputs to one order."""

from __future__ import annotations

import heapq
import os
from collections.abc import Callable, Iterable, Iterator
from operator import attrgetter
from types import TracebackType
from typing import BinaryIO, Self, TypeVar

from vxtool.capture.container import Container, Record
from vxtool.capture.source import Source, open_source
from vxtool.errors import InputError

T = TypeVar("T")


class Capture(Iterator[Record]):
    """The records of one input, in the order of the file.

    Iterating ends at the end of the input or at its damage: `problem` tells which. `container` holds what the
    file says of itself, as far as it was read; `source` holds where it comes from. The file is closed at the
    end, and before it by `close` or as a context manager.
    """

    def __init__(self, path: str | os.PathLike[str] | BinaryIO | Source, *, keep_comments: bool = False) -> None:
        self.source = path if isinstance(path, Source) else open_source(path)
        self.container = Container(keep_comments=keep_comments)
        self._ready: Iterator[Record] = iter(())
        self._ended = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop reading."""
        self._ended = True
        self.source.close()

    def __next__(self) -> Record:
        while True:
            for record in self._ready:
                return record
            if self._ended:
                raise StopIteration
            self._advance()

    @property
    def problem(self) -> str | None:
        """One line that names the input, where it is damaged or cut short; None while all is well."""
        if self.source.error:
            return self.source.error
        damage = self.container.damage
        return f"{self.source.path}: {damage.text()}" if damage else None

    def _advance(self) -> None:
        try:
            chunk = self.source.read()
        except InputError:
            self._finish()
            raise
        self._ready = iter(self.container.feed(chunk))
        if chunk and not self.container.damage:
            return
        self._finish()
        damage = self.container.damage
        if damage and damage.unreadable:
            raise InputError(self.problem)

    def _finish(self) -> None:
        self.container.end()
        self.close()


def read_capture(path: str | os.PathLike[str] | BinaryIO) -> Capture:
    """The records of a capture: a path, `-` for standard input, or a binary file object; compressed or not.

    Raises InputError, here or at the first record, where the input cannot be read at all. A capture that is
    damaged or cut short later ends there, and says so in the iterator's `problem`.
    """
    return Capture(path)


def merge_by_time(
    inputs: Iterable[Iterable[T]], time_of: Callable[[T], int] = attrgetter("time_ns")
) -> Iterator[tuple[int, T]]:
    """Several inputs as one: pairs of input index and record.

    Next is always the input whose next record has the smallest (time, input index). So the order within an
    input is kept, even where its own times run backwards, and one record of each input is held at a time.
    `time_of` gives the time of what the inputs hold, for other things than Record.
    """

    def numbered(index: int, records: Iterable[T]) -> Iterator[tuple[int, T]]:
        return ((index, record) for record in records)

    # heapq.merge takes the smallest head, and the first input's where heads are equal: the rule above.
    streams = [numbered(index, records) for index, records in enumerate(inputs)]
    return heapq.merge(*streams, key=lambda pair: time_of(pair[1]))
