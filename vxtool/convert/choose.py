"""Which records are wanted, and what is to be said of each: from what the engine listed and analysis judged."""

from __future__ import annotations

import os
import stat
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple

from vxtool.capture.container import Interface, Record
from vxtool.capture.reader import Capture, merge_by_time
from vxtool.errors import InputError, UsageError

if TYPE_CHECKING:
    from vxtool.analysis.knowledge import Knowledge
    from vxtool.analysis.model import Input
    from vxtool.analysis.outcomes import Route
    from vxtool.capture.source import Source
    from vxtool.engine.tables import InterfaceKey, Stage, Tables


_RECORD_BITS = 48
_RECORD_MASK = (1 << _RECORD_BITS) - 1


class Mark(NamedTuple):
    """What a record is wanted for."""

    note: int  # as the asker chose it
    first: int  # number of the record whose time is the datagram's; in the same input unless said otherwise
    input: int


class Marks:
    """Records of one input, by number, each with a `Mark`: 20 bytes each.

    They are added in any order, and looked for in that of the input.
    """

    def __init__(self) -> None:
        self._records = array("Q")
        self._notes = array("I")
        self._firsts = array("Q")  # the input above _RECORD_BITS
        self._at = 0
        self._sorted = True

    def __len__(self) -> int:
        return len(self._records)

    def add(self, record: int, note: int, first: int, first_input: int) -> None:
        # They come in order of time, so nearly always in that of the file.
        self._sorted = self._sorted and (not self._records or record > self._records[-1])
        self._records.append(record)
        self._notes.append(note)
        self._firsts.append(first_input << _RECORD_BITS | first)

    def add_all(self, others: Marks) -> None:
        self._sorted = self._sorted and not others._records
        self._records += others._records
        self._notes += others._notes
        self._firsts += others._firsts

    def next(self, record: int) -> Mark | None:
        """What this record is wanted for; None where it is not. To be asked for one record after the other."""
        if not self._sorted:
            self._sort()
        records, at = self._records, self._at
        if at == len(records) or records[at] != record:
            return None
        while self._at < len(records) and records[self._at] == record:  # a record may be of several datagrams
            self._at += 1
        return self._mark(at)

    def find(self, record: int) -> Mark | None:
        """The same for any record."""
        if not self._sorted:
            self._sort()
        at = bisect_left(self._records, record)
        return self._mark(at) if at < len(self._records) and self._records[at] == record else None

    def _mark(self, at: int) -> Mark:
        first = self._firsts[at]
        return Mark(self._notes[at], first & _RECORD_MASK, first >> _RECORD_BITS)

    def _sort(self) -> None:
        order = sorted(range(len(self._records)), key=self._records.__getitem__)
        self._records = array("Q", (self._records[at] for at in order))
        self._notes = array("I", (self._notes[at] for at in order))
        self._firsts = array("Q", (self._firsts[at] for at in order))
        self._sorted = True


class Numbered(NamedTuple):
    """A record of several inputs."""

    input: int
    number: int
    interface: Interface
    record: Record


def read_again(inputs: Sequence[Input], open_input: Callable[[int], Source] | None = None) -> Iterator[Numbered]:
    """All records of the inputs that could be read, in the order in which the engine took them. `open_input` opens
    one by its index where its path alone does not do."""
    with ExitStack() as stack:

        def opened(index: int) -> Iterator[tuple[int, int, Interface, Record]]:
            source = inputs[index]["path"] if open_input is None else open_input(index)
            capture = stack.enter_context(Capture(source))
            described = capture.container.interfaces
            # Of those that were damaged later on, as much is read as before, and of those that grow.
            for number, record in zip(range(1, inputs[index]["records"] + 1), capture, strict=False):
                yield index, number, described[record.interface], record

        readable = [index for index, item in enumerate(inputs) if item["records"]]
        if len(readable) == 1:
            yield from map(Numbered._make, opened(readable[0]))
            return
        for _, found in merge_by_time(map(opened, readable), lambda each: each[3].time_ns):
            yield Numbered._make(found)


def check_files(paths: Iterable[str], what: str) -> None:
    """Raise UsageError for an input that cannot be read twice."""
    for path in paths:
        if path == "-":
            raise UsageError(
                f"- (standard input) can be read once, and {what} reads twice; write it to a file first."
            )
        try:
            mode = os.stat(path).st_mode
        except (OSError, ValueError):
            continue  # which opening it will tell
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            raise UsageError(f"{path}: is no file, and {what} reads twice; write it to a file first.")


def mark_sightings(tables: Tables, marks: Sequence[Marks], loops: bool) -> None:
    """Mark the further records of the datagrams whose first ones are marked."""
    # What came round in a loop belongs to a record that may itself be a further one.
    for _ in range(2 if loops else 1):
        more = [Marks() for _ in marks]
        for row in tables.queries.sightings():
            found = marks[row.first_input].find(row.first_record)
            if found is not None and marks[row.input].find(row.record) is None:
                more[row.input].add(row.record, *found)
        for mine, theirs in zip(marks, more, strict=True):
            mine.add_all(theirs)


def start_of(route: Route) -> Stage:
    """The stage of the record whose time is the datagram's."""
    return route.ingress or route.egress or route.stages[0]


def way_of(route: Route, knowledge: Knowledge, tables: Tables) -> Mapping[str, str | None]:
    """By which interfaces datagrams came in and went out, for their comments."""

    def label(stage: Stage | None) -> str | None:
        return knowledge.interface(stage.interface, tables).label if stage is not None else None

    return {"in": label(route.ingress), "out": label(route.egress)}


def interface_label(key: InterfaceKey, knowledge: Knowledge, tables: Tables) -> str | None:
    return knowledge.interface(key, tables).label


def none_could_be_read(inputs: Sequence[Input]) -> InputError | None:
    """The error to end with where not one input gave a record, and one of them gave an error."""
    if any(item["records"] for item in inputs):
        return None
    errors = [item["error"] for item in inputs if item["error"]]
    return InputError(errors[0]) if errors else None
