"""Records copied as they were, each with a comment that says what became of it.

Datagrams are chosen by what analysis says of them; then all their records are: each sighting, each fragment, each
segment. Records may also be chosen by number, whatever they are.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping, Sequence
from struct import Struct
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from vxtool.analysis.flows import choose_flows
from vxtool.analysis.outcomes import Outcome
from vxtool.capture import container
from vxtool.capture.container import Interface
from vxtool.capture.writer import PcapngWriter
from vxtool.convert.choose import Mark, Marks, Numbered, mark_sightings, read_again, way_of
from vxtool.convert.comments import MARK, write_pairs
from vxtool.convert.decap import DIRECTIONS
from vxtool.convert.unwrap import fragment_key
from vxtool.engine.answers import Wanted
from vxtool.engine.frame import EN10MB, LINUX_SLL, LINUX_SLL2, PACKET_TYPES, read_underlay
from vxtool.engine.tables import LOOPED, UNKNOWN, WHOLE, InterfaceKey
from vxtool.errors import UsageError

if TYPE_CHECKING:
    from vxtool.analysis.flows import Describer, FlowFilter
    from vxtool.analysis.knowledge import Knowledge
    from vxtool.analysis.model import Input
    from vxtool.analysis.outcomes import Judge, Judged, Route
    from vxtool.engine.tables import Stage, Tables

OUTCOMES: tuple[Outcome, ...] = ("forwarded", "delivered", "dropped", "originated", "missed", "unresolved")

_ANY, _NONE = "*", "-"
_NANOSECONDS = 9
_MOST_OPEN = 65_536  # fragmented packets of which more may come
_SLL_SIZE, _SLL2_SIZE = 16, 20
_U16 = Struct(">H").unpack_from
_U32 = Struct(">I").unpack_from


class Way(NamedTuple):
    """By which interfaces datagrams are to have come in and gone out: names, `*` for any and `-` for none."""

    came_in: str
    went_out: str

    def takes(self, labels: Mapping[str, str | None], route: Route) -> bool:
        sides = ((self.came_in, route.ingress, labels["in"]), (self.went_out, route.egress, labels["out"]))
        return all(
            wanted == _ANY or (stage is None if wanted == _NONE else stage is not None and label == wanted)
            for wanted, stage, label in sides
        )


class Choice(NamedTuple):
    """What is wanted; of several values of one kind any may fit, and each kind that is given must."""

    outcomes: Collection[str] = ()
    ways: Collection[Way] = ()
    flows: FlowFilter | None = None  # None: any
    records: Sequence[tuple[int, int]] = ()  # first and last number

    @property
    def of_records_alone(self) -> bool:
        return not any(self[:3])


class Extracted(NamedTuple):
    """What was written."""

    records: int
    datagrams: int | None  # whose records these are; None where records were chosen by number too
    unlisted: int  # datagrams, or sightings of them, beyond what the engine lists: some may be missing


def check_choice(
    outcomes: Collection[str], ways: Collection[str], flows: FlowFilter, records: Sequence[tuple[int, int]]
) -> Choice:
    """The choice of these values; UsageError for one that nothing can fit, or that leaves nothing out."""
    for outcome in outcomes:
        if outcome not in OUTCOMES:
            raise UsageError(f"outcome {outcome!r}: expected one of {', '.join(OUTCOMES)}")
    for first, last in records:
        if not 1 <= first <= last:
            raise UsageError(f"records {first} to {last}: expected numbers from 1 on, the smaller first")
    choice = Choice(outcomes, [_way(text) for text in ways], None if flows.takes_all else flows, records)
    if not any(choice):
        raise UsageError(
            "nothing is chosen: give an outcome, a path, a flow's end or records (--outcome dropped, --path "
            "eth1,-, --pod NAME, --record 3-7)."
        )
    return choice


def _way(text: str) -> Way:
    came_in, comma, went_out = text.partition(",")
    if not comma or not came_in or not went_out:
        raise UsageError(
            f"path {text!r}: expected two interfaces, in and out, as in eth1,eth2; * is any, and - none"
        )
    return Way(came_in, went_out)


class Extractor:
    """Finds the records that are wanted, and reads the inputs again to copy them."""

    def __init__(
        self,
        tables: Tables,
        judge: Judge,
        among: Sequence[Judged],
        judged: Sequence[Judged],
        describer: Describer,
        knowledge: Knowledge,
        inputs: Sequence[Input],
        choice: Choice,
        window: int,
    ) -> None:
        """`judged`: all bundles, by number; `among`: those that may be chosen."""
        self._tables = tables
        self._judged = judged
        self._knowledge = knowledge
        self._inputs = inputs
        self._records = choice.records
        self._window = window
        self._labels: dict[int, Mapping[str, str | None]] = {}  # by route
        self._interfaces: dict[tuple[str | None, int, int], int] = {}
        self._directions: dict[tuple[int, InterfaceKey, bytes], int] = {}
        self._texts: dict[int, str] = {}  # by bundle
        self._names = [write_pairs({"input": item["path"]}) for item in inputs]
        self._marks = [Marks() for _ in inputs]
        found = [
            item
            for item in among
            if (not choice.outcomes or item.outcome in choice.outcomes)
            and (not choice.ways or any(way.takes(self._label(item.route), item.route) for way in choice.ways))
        ]
        self._datagrams = 0
        for _, index, record, bundle in _datagrams(judge, describer, found, choice.flows):
            self._datagrams += 1
            self._marks[index].add(record, bundle, record, index)
        chosen = [item.route for item in found]
        if self._datagrams:
            mark_sightings(tables, self._marks, any(route.flags & LOOPED for route in chosen))
            if any(stage.form != WHOLE for route in chosen for stage in route.stages):
                self._mark_tails()
        self._by_record_alone = choice.of_records_alone

    def write(self, target: str | BinaryIO) -> Extracted:
        written = 0
        with PcapngWriter(target) as writer:
            for found in read_again(self._inputs):
                mark = self._marks[found.input].next(found.number)
                if self._records and not any(first <= found.number <= last for first, last in self._records):
                    continue
                if mark is None and not self._by_record_alone:
                    continue
                self._put(writer, found, mark)
                written += 1
        counters = self._tables.counters
        unlisted = counters.unlisted_datagrams + counters.unlisted_sightings
        return Extracted(written, None if self._records else self._datagrams, unlisted)

    def _put(self, writer: PcapngWriter, found: Numbered, mark: Mark | None) -> None:
        record, described = found.record, found.interface
        key, direction, macs = place_of(found)
        name = self._knowledge.interface(key, self._tables).label
        number = self._interfaces.get((name, described.link_type, described.snaplen))
        if number is None:
            number = writer.add_interface(
                Interface(described.link_type, described.snaplen, name, resolution=_NANOSECONDS)
            )
            self._interfaces[name, described.link_type, described.snaplen] = number
        comment = MARK
        where = f"{self._names[found.input]} record={found.number}"
        if mark is not None:
            item = self._judged[mark.note]
            if direction == UNKNOWN:
                direction = self._inferred(mark.note, item.route, key, macs)
            if (mark.first, mark.input) != (found.number, found.input):
                where += f" first_record={mark.first}"
            if mark.input != found.input:
                where += write_pairs({"first_input": self._inputs[mark.input]["path"]})
            comment += self._told(item)
        # The length is at least that of the bytes, whatever the file says.
        writer.write(
            record.time_ns,
            record.data,
            record.length,
            number,
            DIRECTIONS.get(direction, container.UNKNOWN),
            comment + where,
        )

    def _told(self, item: Judged) -> str:
        """What comments say of all datagrams of a bundle."""
        text = self._texts.get(item.number)
        if text is None:
            values = {"outcome": item.outcome, "reason": item.reason, **self._label(item.route)}
            text = self._texts[item.number] = write_pairs(values)
        return text

    def _label(self, route: Route) -> Mapping[str, str | None]:
        labels = self._labels.get(id(route))
        if labels is None:
            labels = self._labels[id(route)] = way_of(route, self._knowledge, self._tables)
        return labels

    def _inferred(self, number: int, route: Route, key: InterfaceKey, macs: bytes) -> int:
        """The direction that MACs or TTLs told of a stage at which the record may stand."""
        direction = self._directions.get((number, key, macs))
        if direction is None:
            stages: list[Stage] = [stage for stage in route.stages if stage.interface == key]
            exact = [stage for stage in stages if stage.macs == macs]
            told = {stage.direction for stage in exact or stages}
            direction = told.pop() if len(told) == 1 else UNKNOWN
            self._directions[number, key, macs] = direction
        return direction

    def _mark_tails(self) -> None:
        """Mark the fragments behind the first of what is marked: they follow it at its stage, in any order."""
        # What is known of the latest first fragment of each kind, and tails that wait for one.
        firsts: OrderedDict[tuple[object, ...], tuple[int, Mark | None]] = OrderedDict()
        waiting: OrderedDict[tuple[object, ...], tuple[int, list[tuple[int, int]]]] = OrderedDict()
        more = [Marks() for _ in self._marks]
        for found in read_again(self._inputs):
            record = found.record
            time = record.time_ns
            for table in (firsts, waiting):
                while table and (
                    len(table) > _MOST_OPEN or time - next(iter(table.values()))[0] > self._window
                ):
                    table.popitem(last=False)
            read = read_underlay(record.data, record.length, found.interface.link_type, record.direction)
            if read is None or not (read[1].fragment_offset or read[1].more_fragments):
                continue
            frame, ip, _ = read
            key = (found.input, record.interface, *fragment_key(frame, ip))
            if not ip.fragment_offset:
                mark = self._marks[found.input].find(found.number)
                firsts.pop(key, None)
                firsts[key] = time, mark
                tails = waiting.pop(key, (0, []))[1]
            elif key in firsts:
                mark, tails = firsts[key][1], [(found.input, found.number)]
            else:
                waiting.setdefault(key, (time, []))[1].append((found.input, found.number))
                continue
            if mark is not None:
                for index, number in tails:
                    more[index].add(number, *mark)
        for mine, theirs in zip(self._marks, more, strict=True):
            mine.add_all(theirs)


def _datagrams(
    judge: Judge, describer: Describer, among: Sequence[Judged], flows: FlowFilter | None
) -> Iterator[tuple[int, int, int, int]]:
    """Time, input and number of the first record of each datagram that is wanted, and its bundle."""
    if flows is None:
        found = judge.bundles.datagrams(Wanted([item.number for item in among])) if among else iter(())
    else:
        chosen = choose_flows(among, judge, describer, flows, "bytes", None)
        found = (each for _, each in chosen.ranked.sent(chosen.bundles, chosen.flags))
    for each in found:
        yield *each.sample, each.bundle


def place_of(found: Numbered) -> tuple[InterfaceKey, int, bytes]:
    """The interface of a record, its direction, and where nothing tells that its MACs, as the engine has them."""
    data, link_type = found.record.data, found.interface.link_type
    if link_type == LINUX_SLL2 and len(data) >= _SLL2_SIZE:
        return InterfaceKey(_U32(data, 4)[0], -1, -1), PACKET_TYPES.get(data[10], UNKNOWN), b""
    if link_type == LINUX_SLL and len(data) >= _SLL_SIZE:
        return InterfaceKey(-1, -1, -1), PACKET_TYPES.get(_U16(data, 0)[0], UNKNOWN), b""
    if link_type in (LINUX_SLL, LINUX_SLL2):  # cut within
        return InterfaceKey(-1, -1, -1), UNKNOWN, b""
    direction = _OF_CONTAINER[found.record.direction]
    macs = data[:12] if link_type == EN10MB and direction == UNKNOWN else b""
    return InterfaceKey(-1, found.input, found.record.interface), direction, macs


_OF_CONTAINER = {theirs: ours for ours, theirs in DIRECTIONS.items()} | {container.UNKNOWN: UNKNOWN}
