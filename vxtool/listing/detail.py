"""One record in full: what the capture says of it, its layers byte by byte, and its datagram's journey."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Literal, NamedTuple, TypedDict

from vxtool.analysis.knowledge import packed
from vxtool.analysis.model import Tool
from vxtool.analysis.outcomes import Outcome
from vxtool.analysis.times import rfc3339
from vxtool.convert.choose import Numbered, read_again
from vxtool.convert.extract import place_of
from vxtool.engine.answers import Wanted
from vxtool.engine.tables import INGRESS, OUT, UNKNOWN, InterfaceKey
from vxtool.errors import InputError, UsageError
from vxtool.listing.headers import Names
from vxtool.listing.layers import dissect
from vxtool.listing.tree import Field, LayerTold, Place, Value
from vxtool.report.units import counted, duration

if TYPE_CHECKING:
    from vxtool.analysis.knowledge import Knowledge
    from vxtool.analysis.model import Input
    from vxtool.analysis.outcomes import Judge, Judged
    from vxtool.capture.source import Source
    from vxtool.engine.tables import Tables

Direction = Literal["in", "out", "other", "broadcast", "multicast"]

_DIRECTIONS: Sequence[Direction | None] = (None, "in", "out", "other", "broadcast", "multicast")
_VERBS: Mapping[Direction | None, str] = {
    None: "seen on",
    "in": "came in",
    "out": "went out",
    "other": "passed by on",
    "broadcast": "came in",
    "multicast": "came in",
}
_MOST_NAMED = 3  # records of a datagram at one place that a sentence names


class FieldDetail(TypedDict):
    name: str
    value: Value
    text: str  # the value as people read it; empty where the field before says it too
    offset: int  # in the record
    length: int
    fields: list[FieldDetail]


class LayerDetail(TypedDict):
    layer: str
    place: Place
    summary: str
    offset: int
    length: int
    fields: list[FieldDetail]


class SightingDetail(TypedDict):
    input: str
    record: int
    time: str
    interface: str | None
    direction: Direction | None


class JourneyDetail(TypedDict):
    outcome: Outcome | None  # None: the engine listed too many datagrams to tell
    reason: str | None
    latency_ns: int | None  # from the first that came in to the first that went out
    sightings: list[SightingDetail]  # in order of time, this record among them
    text: str


class RecordDetail(TypedDict):
    schema: str  # "vxtool.record/1"
    tool: Tool
    input: str
    number: int
    time: str
    relative_ns: int  # since the input's first record
    link_type: str
    interface: str | None
    direction: Direction | None
    captured: int
    length: int
    journey: JourneyDetail | None  # None: of no datagram, or a fragment behind the first
    layers: list[LayerDetail]
    problems: list[str]
    data: str  # hexadecimal


class _Named(NamedTuple):
    """A record of an input, by its index."""

    input: int
    record: int


class Detailer:
    """Tells of records of one set of captures."""

    def __init__(
        self,
        tables: Tables,
        judge: Judge,
        judged: Sequence[Judged],
        knowledge: Knowledge,
        inputs: Sequence[Input],
        is_cilium: bool,
        ports: Mapping[int, str],
        tool: Tool,
        open_input: Callable[[int], Source],
    ) -> None:
        """`is_cilium`: a VNI is the identity of the source; `ports`: the UDP ports of tunnels; `open_input` opens
        an input by its index, once more."""
        self._tables = tables
        self._judge = judge
        self._judged = judged
        self._knowledge = knowledge
        self._inputs = inputs
        self._is_cilium = is_cilium
        self._ports = ports
        self._tool = tool
        self._open_input = open_input

    def describe(self, index: int, number: int) -> RecordDetail:
        """Record `number` of the input with this index. UsageError where there is none, InputError where one that
        was there cannot be found again."""
        wanted = _Named(index, number)
        held = self._inputs[index]["records"]
        if not 1 <= number <= held:
            path = self._inputs[index]["path"]
            error = self._inputs[index]["error"]
            why = f" ({error})" if error is not None else ""
            raise UsageError(f"record {number}: {path} has {counted(held, 'record')}{why}; give one of these.")
        members, item = self._datagram_of(wanted)
        found = self._read({wanted, *members, _Named(index, 1)})
        mine = found[wanted]
        record, described = mine.record, mine.interface
        key, direction = self._place(mine, item)
        layers = dissect(record.data, described.link_type, record.length, self._ports, self._names())
        return {
            "schema": "vxtool.record/1",
            "tool": self._tool,
            "input": self._inputs[index]["path"],
            "number": number,
            "time": rfc3339(record.time_ns),
            "relative_ns": record.time_ns - found[_Named(index, 1)].record.time_ns,
            "link_type": _link_name(described.link_type),
            "interface": self._knowledge.interface(key, self._tables).label,
            "direction": direction,
            "captured": len(record.data),
            "length": record.length,
            "journey": self._journey([found[one] for one in members if one in found], item, wanted),
            "layers": [_layer(one) for one in layers.layers],
            "problems": list(layers.problems),
            "data": record.data.hex(),
        }

    def _names(self) -> Names:
        knowledge = self._knowledge

        def address(text: str, vni: int | None) -> str | None:
            return knowledge.endpoint_name(packed(text), vni if self._is_cilium else None)

        def identity(vni: int) -> str | None:
            info = knowledge.cluster.identity(vni) if self._is_cilium else None
            return info.name if info is not None else None

        return Names(address, identity)

    def _datagram_of(self, wanted: _Named) -> tuple[list[_Named], Judged | None]:
        """The records of its datagram, those that are sightings; and what became of that."""
        first = wanted
        members: list[_Named] = []
        for row in self._tables.queries.sightings():
            if (row.input, row.record) == wanted:
                first = _Named(row.first_input, row.first_record)
                break
        for row in self._tables.queries.sightings():
            if (row.first_input, row.first_record) == first:
                members.append(_Named(row.input, row.record))
        numbers = {item.number for item in self._judged}
        for datagram in self._judge.bundles.datagrams(Wanted(numbers)):
            if (datagram.sample.input, datagram.sample.record) == first:
                return [first, *members], self._judged[datagram.bundle]
        return ([first, *members] if members else []), None

    def _read(self, wanted: Iterable[_Named]) -> dict[_Named, Numbered]:
        left = set(wanted)
        found: dict[_Named, Numbered] = {}
        for one in read_again(self._inputs, self._open_input):
            name = _Named(one.input, one.number)
            if name in left:
                left.remove(name)
                found[name] = one
                if not left:
                    break
        for name in left:
            path = self._inputs[name.input]["path"]
            raise InputError(f"{path}: record {name.record} is not there any more: is the file being written?")
        return found

    def _place(self, found: Numbered, item: Judged | None) -> tuple[InterfaceKey, Direction | None]:
        key, direction, macs = place_of(found)
        if direction == UNKNOWN and item is not None:
            stages = [stage for stage in item.route.stages if stage.interface == key]
            exact = [stage for stage in stages if stage.macs == macs]
            told = {stage.direction for stage in exact or stages}
            direction = told.pop() if len(told) == 1 else UNKNOWN
        return key, _DIRECTIONS[direction]

    def _journey(self, found: list[Numbered], item: Judged | None, wanted: _Named) -> JourneyDetail | None:
        if not found:
            return None
        sightings: list[SightingDetail] = []
        came = went = None
        ordered = sorted(found, key=lambda one: (one.record.time_ns, one.input, one.number))
        for one in ordered:
            key, direction = self._place(one, item)
            if direction is not None and _DIRECTIONS.index(direction) in INGRESS and came is None:
                came = one.record.time_ns
            if direction == _DIRECTIONS[OUT] and went is None:
                went = one.record.time_ns
            sightings.append(
                {
                    "input": self._inputs[one.input]["path"],
                    "record": one.number,
                    "time": rfc3339(one.record.time_ns),
                    "interface": self._knowledge.interface(key, self._tables).label,
                    "direction": direction,
                }
            )
        latency = max(went - came, 0) if came is not None and went is not None else None
        text = self._told(ordered, sightings, item, wanted)
        return {
            "outcome": item.outcome if item is not None else None,
            "reason": item.reason if item is not None else None,
            "latency_ns": latency,
            "sightings": sightings,
            "text": text,
        }

    def _told(
        self, found: list[Numbered], sightings: list[SightingDetail], item: Judged | None, wanted: _Named
    ) -> str:
        """`came in eth1 as record 1, went out eth2 as record 2 16 µs later`."""
        parts: list[str] = []
        both = list(zip(found, sightings, strict=True))
        start = found[0].record.time_ns
        for (verb, interface), group in groupby(
            both, key=lambda pair: (_VERBS[pair[1]["direction"]], pair[1]["interface"])
        ):
            records = [one for one, _ in group]
            words = verb if interface is not None else verb.removesuffix(" on")
            part = f"{words} {interface}" if interface is not None else words
            part += f" as {self._records(records, wanted)}"
            if parts:
                part += f" {duration(max(records[0].record.time_ns - start, 0))} later"
            parts.append(part)
        text = ", ".join(parts)
        return f"{item.outcome}: {text}" if item is not None else text

    def _records(self, found: Sequence[Numbered], wanted: _Named) -> str:
        numbers = [one.number for one in found]
        several = {one.input for one in found} != {wanted.input}
        where = f" of {self._inputs[found[0].input]['path']}" if several else ""
        if len(numbers) == 1:
            return f"record {numbers[0]}{where}"
        if numbers == list(range(numbers[0], numbers[0] + len(numbers))):
            return f"records {numbers[0]} to {numbers[-1]}{where}"
        named = ", ".join(str(number) for number in numbers[:_MOST_NAMED])
        more = f" and {len(numbers) - _MOST_NAMED} more" if len(numbers) > _MOST_NAMED else ""
        return f"records {named}{more}{where}"


def _link_name(link_type: int) -> str:
    from vxtool.api import LINK_TYPES

    return LINK_TYPES.get(link_type, f"LINKTYPE_{link_type}")


def _layer(layer: LayerTold) -> LayerDetail:
    return {
        "layer": layer.name,
        "place": layer.place,
        "summary": layer.summary,
        "offset": layer.offset,
        "length": layer.length,
        "fields": [_field(field) for field in layer.fields],
    }


def _field(field: Field) -> FieldDetail:
    return {
        "name": field.name,
        "value": field.value,
        "text": field.text,
        "offset": field.offset,
        "length": field.length,
        "fields": [_field(one) for one in field.fields],
    }
