"""Where the packet list of vxtool and that of Wireshark differ, column by column.

Both are given the same records: by default those that came in, since Wireshark takes what a router passed on for
retransmissions. What Wireshark adds to the info column and vxtool tells in columns of its own, or not at all, is
set aside in both: see `without_notes`.
"""

from __future__ import annotations

import re
import tempfile
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Literal, TypedDict

from vxtool.analysis.model import Tool
from vxtool.capture.reader import Capture
from vxtool.capture.writer import PcapngWriter
from vxtool.convert.choose import Numbered
from vxtool.convert.extract import place_of
from vxtool.engine.tables import OUT
from vxtool.errors import InputError
from vxtool.listing.info import named_mac
from vxtool.listing.notes import without_notes
from vxtool.listing.spool import no_copy
from vxtool.listing.wireshark import Row, Wireshark

if TYPE_CHECKING:
    from vxtool.capture.container import Interface

Column = Literal["source", "destination", "protocol", "length", "info"]

COLUMNS: Sequence[Column] = ("source", "destination", "protocol", "length", "info")
_ENDS: Sequence[Column] = ("source", "destination")
# Of these protocols info is to be equal; of what is above them as far as can be.
BASIC = ("ARP", "ICMP", "ICMPv6", "TCP", "UDP")

_NANOSECONDS = 9
_MAC = re.compile(r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}")


class ColumnCount(TypedDict):
    same: int
    differing: int
    percent_same: float  # rounded down, so that 100 means all


class Difference(TypedDict):
    record: int
    column: Column
    protocol: str  # as Wireshark has it
    vxtool: str
    wireshark: str


class Crosscheck(TypedDict):
    schema: str  # "vxtool.crosscheck/1"
    tool: Tool
    wireshark: str  # version of tshark
    input: str
    records: int
    left_out: int  # records that went out, and were left to their datagram's first
    compared: int
    columns: dict[Column, ColumnCount]
    info: dict[str, ColumnCount]  # the info column by protocol, as Wireshark has it
    notes_set_aside: int  # records of which Wireshark notes something that was set aside
    differences: list[Difference]  # the first ones
    differences_total: int


def same_end(mine: str, other: str) -> bool:
    """Whether two sources or destinations are one: a MAC may be written with the name of its maker for the octets
    that are the maker's, `PcsCompu_42:a3:c1`, and that of a group by its name, `Broadcast`."""
    if mine == other:
        return True
    for mac, named in ((mine, other), (other, mine)):
        if _MAC.fullmatch(mac):
            _, _, own = named.rpartition("_")
            return named == named_mac(bytes.fromhex(mac.replace(":", ""))) or (
                own != named and mac.endswith(f":{own}")
            )
    return False


class Comparison:
    """Counts what is the same, row by row."""

    def __init__(self, most: int | None) -> None:
        """`most` differences are kept; None: all."""
        self.compared = 0
        self.notes = 0
        self.differences: list[Difference] = []
        self.differences_total = 0
        self._most = most
        self._same: dict[Column, int] = dict.fromkeys(COLUMNS, 0)
        self._info: dict[str, tuple[int, int]] = {}  # by protocol: records, same

    def take(self, ours: Row, theirs: Row, record: int) -> None:
        """The columns of one record; `record` is its number in the capture."""
        self.compared += 1
        told = without_notes(theirs.info)
        self.notes += told != theirs.info
        pairs: Mapping[Column, tuple[str, str]] = {
            "source": (ours.source, theirs.source),
            "destination": (ours.destination, theirs.destination),
            "protocol": (ours.protocol, theirs.protocol),
            "length": (str(ours.length), str(theirs.length)),
            "info": (without_notes(ours.info), told),
        }
        for column, (mine, other) in pairs.items():
            if mine == other or (column in _ENDS and same_end(mine, other)):
                self._same[column] += 1
                continue
            self.differences_total += 1
            if self._most is None or len(self.differences) < self._most:
                self.differences.append(
                    {
                        "record": record,
                        "column": column,
                        "protocol": theirs.protocol,
                        "vxtool": mine,
                        "wireshark": other,
                    }
                )
        records, same = self._info.get(theirs.protocol, (0, 0))
        self._info[theirs.protocol] = records + 1, same + (pairs["info"][0] == pairs["info"][1])

    def columns(self) -> dict[Column, ColumnCount]:
        return {column: counted(self._same[column], self.compared) for column in COLUMNS}

    def info(self) -> dict[str, ColumnCount]:
        """By protocol, those with the most records first."""
        order = sorted(self._info.items(), key=lambda item: (-item[1][0], item[0]))
        return {protocol: counted(same, records) for protocol, (records, same) in order}


def counted(same: int, of: int) -> ColumnCount:
    return {"same": same, "differing": of - same, "percent_same": (10_000 * same // of) / 100 if of else 100.0}


def compare(
    ours: Iterable[Row], theirs: Iterable[Row], numbers: Sequence[int] | None = None, most: int | None = None
) -> Comparison:
    """Compare the rows of the same records, in the same order; `numbers` are those of the records in the capture.

    Raises InputError where one has more rows than the other.
    """
    comparison = Comparison(most)
    for at, (mine, other) in enumerate(zip_longest(ours, theirs)):
        if mine is None or other is None:
            more, fewer = ("vxtool", "Wireshark") if other is None else ("Wireshark", "vxtool")
            raise InputError(f"record {at + 1}: {more} lists it, and {fewer} does not; report this as a bug.")
        if mine.number != other.number:
            raise InputError(
                f"record {at + 1}: vxtool lists number {mine.number} and Wireshark {other.number}; report this as "
                "a bug."
            )
        comparison.take(mine, other, numbers[at] if numbers is not None else mine.number)
    return comparison


def crosscheck(
    path: str,
    lister: Callable[[str], Iterable[Row]],
    ports: Mapping[int, str],
    tool: Tool,
    *,
    all_records: bool = False,
    most: int | None = 20,
) -> Crosscheck:
    """Compare what `lister` says of a capture with what Wireshark does; `ports`: UDP ports of tunnels, by number.

    Both get a copy that holds the records to be compared: without `all_records` those that did not go out, as far
    as link header or container tell. UsageError where pyshark or tshark is missing.
    """
    wireshark = Wireshark()
    try:
        beside = tempfile.TemporaryDirectory(prefix="vxtool-")
    except OSError as error:
        raise no_copy(path, "a temporary folder", error) from error
    with beside as folder:
        half = f"{folder}/records.pcapng"
        numbers, records = _copy(path, half, all_records)
        comparison = compare(lister(half), wireshark.rows(half, ports), numbers, most)
    return {
        "schema": "vxtool.crosscheck/1",
        "tool": tool,
        "wireshark": wireshark.version,
        "input": path,
        "records": records,
        "left_out": records - comparison.compared,
        "compared": comparison.compared,
        "columns": comparison.columns(),
        "info": comparison.info(),
        "notes_set_aside": comparison.notes,
        "differences": comparison.differences,
        "differences_total": comparison.differences_total,
    }


def _copy(path: str, to: str, all_records: bool) -> tuple[array[int], int]:
    """Write the records to be compared; returns their numbers, and how many there are in all."""
    numbers: array[int] = array("Q")
    number = 0
    with Capture(path) as capture, PcapngWriter(to) as writer:
        interfaces: dict[int, int] = {}
        for number, record in enumerate(capture, 1):
            described = capture.container.interfaces[record.interface]
            if not all_records and _went_out(Numbered(0, number, described, record)):
                continue
            if record.interface not in interfaces:
                interfaces[record.interface] = writer.add_interface(_exact(described))
            writer.write(
                record.time_ns,
                record.data,
                record.length,
                interfaces[record.interface],
                record.direction,
            )
            numbers.append(number)
    return numbers, number


def _went_out(found: Numbered) -> bool:
    return place_of(found)[1] == OUT


def _exact(described: Interface) -> Interface:
    """The same interface with times in ns."""
    from vxtool.capture.container import Interface

    return Interface(described.link_type, described.snaplen, described.name, resolution=_NANOSECONDS)


def rows_of_tsv(lines: Iterable[bytes]) -> Iterator[Row]:
    """Rows of pieces of text that hold number, source, destination, protocol, length and info between tabs, one
    record on each line, with the names of the columns on the first."""
    rest = b""
    is_first = True
    for piece in lines:
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            if is_first:
                is_first = False
                continue
            number, source, destination, protocol, length, info = line.decode("utf-8", "replace").split("\t", 5)
            yield Row(int(number), source, destination, protocol, int(length), info)


def shares(result: Crosscheck) -> Iterator[tuple[str, float]]:
    """What a bar is held against: the share of records that are the same, by column; of info only for the protocols
    below applications."""
    for column in COLUMNS[:-1]:
        yield column, result["columns"][column]["percent_same"]
    basic = [count for protocol, count in result["info"].items() if protocol in BASIC]
    same = sum(count["same"] for count in basic)
    yield "info", counted(same, same + sum(count["differing"] for count in basic))["percent_same"]
