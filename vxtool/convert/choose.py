"""Which records are wanted, and what is to be said of each: from what the engine listed and analysis judged."""

from __future__ import annotations

import os
import stat
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple

from vxtool.capture.container import Interface, Record
from vxtool.capture.reader import Capture, merge_by_time
from vxtool.errors import InputError, UsageError

if TYPE_CHECKING:
    from vxtool.analysis.knowledge import Knowledge
    from vxtool.analysis.model import Input
    from vxtool.analysis.outcomes import Route
    from vxtool.engine.tables import InterfaceKey, Stage, Tables


class Marks:
    """Records of one input, by number, each with a number that says what it is wanted for: 12 bytes each."""

    def __init__(self) -> None:
        self._records = array("Q")
        self._notes = array("I")
        self._at = 0
        self._sorted = True

    def __len__(self) -> int:
        return len(self._records)

    def add(self, record: int, note: int) -> None:
        # They come in order of time, so nearly always in that of the file.
        self._sorted = self._sorted and (not self._records or record > self._records[-1])
        self._records.append(record)
        self._notes.append(note)

    def of(self, record: int) -> int | None:
        """What this record is wanted for; None where it is not. To be asked for one record after the other."""
        if not self._sorted:
            self._sort()
        if self._at == len(self._records) or self._records[self._at] != record:
            return None
        self._at += 1
        return self._notes[self._at - 1]

    def _sort(self) -> None:
        order = sorted(range(len(self._records)), key=self._records.__getitem__)
        self._records = array("Q", (self._records[at] for at in order))
        self._notes = array("I", (self._notes[at] for at in order))
        self._sorted = True


class Numbered(NamedTuple):
    """A record of several inputs."""

    input: int
    number: int
    interface: Interface
    record: Record


def read_again(inputs: Sequence[Input]) -> Iterator[Numbered]:
    """All records of the inputs that could be read, in the order in which the engine took them."""
    with ExitStack() as stack:

        def opened(index: int) -> Iterator[tuple[int, int, Interface, Record]]:
            capture = stack.enter_context(Capture(inputs[index]["path"]))
            described = capture.container.interfaces
            for number, record in enumerate(capture, 1):
                yield index, number, described[record.interface], record

        # Of those that were damaged later on, as much is read as before.
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
