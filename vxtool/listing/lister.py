"""A list of packets as text: what the first pass found and analysis judged is got ready here for the second, which
reads the inputs again and writes the lines.

The native engine does that in C (native/list.c), the other in plain Python (pure.py); both are asked alike and give
equal bytes. What is known only here (names, applications) they ask for.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from vxtool.analysis.knowledge import address_text
from vxtool.engine.tables import UNKNOWN, InterfaceKey
from vxtool.engine.wears import GENEVE, PLAIN
from vxtool.errors import UsageError
from vxtool.listing.facts import OUTCOMES
from vxtool.listing.fields import FIELDS, FORMATS, NUMBERS, TIMES, Column, Format, Times
from vxtool.listing.layout import lay_out, widest
from vxtool.report.escape import escape

if TYPE_CHECKING:
    from vxtool.analysis.knowledge import Knowledge
    from vxtool.analysis.model import Input
    from vxtool.analysis.outcomes import Judge, Judged, Route
    from vxtool.engine.tables import Stage, Tables
    from vxtool.listing.applications import Applications
    from vxtool.listing.filter import Program
    from vxtool.listing.spool import Inputs
    from vxtool.listing.tails import Pairs
    from vxtool.report import Target

_MOST_ADDRESSES = 20_000  # of which widths are found one by one
_MOMENT_WIDTH = 21  # of a time but for the parts of a second
_LATENCY_WIDTH = 6  # "999 µs"
_DROPPED_WIDTH = 7
_DIGITS = {"pcap": 6}  # of a second's parts, by the format of an input; else 9


class Wish(NamedTuple):
    """What is wanted of the list."""

    format: Format = "text"
    fields: Sequence[str] = ()  # none: those that are usual
    time: Times = "relative"
    all: bool = False  # a line for each record, not for each datagram
    filter: str = ""
    most: int = 0  # lines; 0: no limit
    fit: bool = False  # lines to the width of the target


class Machine(Protocol):
    """What writes the lines: `_native.Lister`, or `vxtool.listing.pure.Lister`."""

    @property
    def lines(self) -> int: ...
    def feed(self, input: int, data: bytes | memoryview, /) -> bytes: ...
    def end(self, input: int, /) -> bytes: ...
    def wants(self) -> int | None: ...


def sizes_again(inputs: Sequence[Input]) -> list[int]:
    """How many bytes of each input to read once more: as many as before, however many there are by now."""
    return [item["bytes"] if item["records"] else 0 for item in inputs]


def check_wish(wish: Wish) -> None:
    """UsageError for what no list can be."""
    for field in wish.fields:
        if field not in NUMBERS:
            from vxtool.spelling import nearest_named

            raise UsageError(
                f"field {field!r}: is none of a packet list; {nearest_named(field, FIELDS)}, and "
                "`vxtool fields summary` lists all"
            )
    if wish.format not in FORMATS:
        raise UsageError(f"format {wish.format!r}: expected one of {', '.join(FORMATS)}")
    if wish.time not in TIMES:
        raise UsageError(f"time {wish.time!r}: expected one of {', '.join(TIMES)}")


class Answers:
    """What a machine asks, and texts as the format takes them. It knows nothing of the machine, which holds it:
    Python's collector does not look through the native one, so that a ring of the two would never go away."""

    def __init__(self, tables: Tables, judged: Sequence[Judged], knowledge: Knowledge, format: Format) -> None:
        self._tables = tables
        self._judged = judged
        self._knowledge = knowledge
        self._format = format
        self._applications: Applications | None = None
        self.labels = {key: self._label(key) for key in tables.interfaces}

    # Text as the format takes it.

    def shown(self, text: str) -> str:
        # JSON has ways of its own to say what does not print.
        return text if self._format == "json" else escape(text)

    def encoded(self, text: str) -> bytes:
        return self.shown(text).encode("utf-8", "surrogateescape" if self._format == "json" else "strict")

    def encoded_or_none(self, text: str | None) -> bytes | None:
        return None if text is None else self.encoded(text)

    # What the machine asks.

    def _label(self, key: InterfaceKey) -> str | None:
        label = self._knowledge.interface(key, self._tables).label
        return None if label is None else self.shown(label)

    def name(self, address: bytes) -> str | None:
        knowledge = self._knowledge
        pod = knowledge.pod(address)
        name = str(pod) if pod is not None else knowledge.node(address) or knowledge.service(address, None)
        return None if name is None else self.shown(name)

    def party(self, address: bytes) -> tuple[bytes | None, bytes | None, bytes | None, int] | None:
        knowledge = self._knowledge
        name, pod, text = self.name(address), knowledge.pod(address), address_text(address) or ""
        node = pod.node_name if pod is not None else knowledge.node(address)
        if node is None and pod is not None and pod.node_address is not None:
            node = knowledge.cluster.node(pod.node_address)
        identity = knowledge.cluster.identity_of(text)
        if name is None and identity is None:
            return None
        return (
            self.encoded_or_none(name),
            self.encoded_or_none(str(pod) if pod is not None else None),
            self.encoded_or_none(node),
            -1 if identity is None else identity,
        )

    def identity(self, vni: int) -> bytes | None:
        if not 0 <= vni < 1 << 24:
            return None
        info = self._knowledge.cluster.identity(vni)
        if info is None or info.name is None:
            return None
        return self.encoded(f"{info.namespace}/{info.name}" if info.namespace else info.name)

    def interface(self, index: int, number: int, interface: int) -> bytes | None:
        key = InterfaceKey(index, -1, -1) if index >= 0 else InterfaceKey(-1, number, interface)
        if key not in self.labels:
            return None
        return self.encoded_or_none(self.labels[key])

    def direction(self, bundle: int, number: int, interface: int, macs: bytes) -> int:
        """Which way a record of a bundle went, by what MACs or TTLs told of the stage at which it stands."""
        key = InterfaceKey(-1, number, interface)
        stages: list[Stage] = [stage for stage in self._judged[bundle].route.stages if stage.interface == key]
        exact = [stage for stage in stages if stage.macs == macs]
        told = {stage.direction for stage in exact or stages}
        return told.pop() if len(told) == 1 else UNKNOWN

    def message(
        self,
        transport: int,
        source_port: int,
        destination_port: int,
        payload: bytes,
        length: int,
        stream: int,
        forward: bool,
        remaining: int,
        last: bool,
    ) -> tuple[bytes, bytes, int] | None:
        """What a datagram tells of applications; see `Applications.describe`."""
        if self._applications is None:
            from vxtool.listing.applications import Applications  # here, because most packets hold none

            self._applications = Applications()
        found = self._applications.describe(
            transport, source_port, destination_port, payload, length, stream, bool(forward), remaining, bool(last)
        )
        if found is None:
            return None
        protocol, info, left = found
        return self.encoded(protocol), self.encoded(info), left


class Lister:
    """Reads the inputs a second time, and gives the lines."""

    def __init__(
        self,
        tables: Tables,
        judge: Judge,
        judged: Sequence[Judged],
        knowledge: Knowledge,
        overlay: str | None,
        overlay_given: bool,
        inputs: Sequence[Input],
        wears: Mapping[int, int],
        tails: Pairs,
        wish: Wish,
        target: Target,
        engine: str,
    ) -> None:
        """`judged`: all bundles, by number; `wears`: UDP ports of tunnels; `tails`: as `find_tails` gives them;
        `engine`: which one is to write."""
        self._tables = tables
        self._judge = judge
        self._judged = judged
        self._knowledge = knowledge
        self._overlay = overlay
        self._overlay_given = overlay_given
        self._inputs = inputs
        self._wears = wears
        self._tails = tails
        self._wish = wish
        self._target = target
        self._engine = engine
        self._answers = Answers(tables, judged, knowledge, wish.format)
        self._names_known = bool(knowledge.cluster.sources)
        self.unlisted = tables.counters.unlisted_datagrams + tables.counters.unlisted_sightings
        self.fields = list(wish.fields) or self._usual_fields()
        self._machine = self._make_machine()

    @property
    def lines(self) -> int:
        return self._machine.lines

    def blocks(self, inputs: Inputs) -> Iterator[bytes]:
        """The lines as UTF-8, some at a time. What of an input cannot be read any more is left out."""
        if self._wish.format != "json":
            yield from self._blocks(inputs)
            return
        from vxtool.report.escape import safe_bytes  # here, because the other formats need none of it

        # A block ends where a line does, so no sign is cut.
        yield from map(safe_bytes, self._blocks(inputs))

    def _blocks(self, inputs: Inputs) -> Iterator[bytes]:
        machine = self._machine
        with inputs.opened(sizes_again(self._inputs)) as reading:
            while (index := machine.wants()) is not None:
                chunk = reading.read(index)
                text = machine.feed(index, chunk) if chunk else machine.end(index)
                if text:
                    yield text

    # What the machine is given.

    def _make_machine(self) -> Machine:
        wish, target, answers = self._wish, self._target, self._answers
        fields = self.fields
        ways, way_of = self._ways()
        dropped = any(item.outcome == "dropped" for item in self._judged)
        way_width = widest([_decoded(way[2]) for way in ways if way[2] is not None])
        if wish.all:
            way_width = max(way_width, widest([f"{label} out" for label in answers.labels.values() if label]))
        tail_width = 0 if wish.all else _DROPPED_WIDTH if dropped else _LATENCY_WIDTH
        digits = max((_DIGITS.get(item["format"] or "", 9) for item in self._inputs if item["records"]), default=9)
        if wish.format == "text":
            widths = self._widths(fields, way_width + tail_width + bool(way_width and tail_width), digits)
            layout = lay_out(fields, widths, target.width if wish.fit else 0)
            columns, room, indent = layout
        else:
            columns, room, indent = tuple(Column(NUMBERS[name]) for name in fields), 0, 0
        program = self._program()
        listed = self._judge.bundles.listed()
        sighted = self._tables.queries.sighted()
        asks_names = {"source_name", "destination_name"} & {*fields} or wish.filter
        arguments: dict[str, Any] = {
            "paths": tuple(answers.encoded(item["path"]) for item in self._inputs),
            "ports": tuple((port, wear == GENEVE) for port, wear in self._wears.items() if wear != PLAIN),
            "arrays": (
                listed.where,
                listed.bundle,
                listed.latency,
                listed.length,
                listed.vni,
                sighted.where,
                sighted.first,
                *self._tails,
                memoryview(way_of),
                bytes(OUTCOMES.index(item.outcome) for item in self._judged),
            ),
            "ways": tuple(ways),
            "columns": tuple(tuple(column) for column in columns),
            "questions": (answers.party, answers.identity, answers.interface, answers.direction, answers.message),
            "filter": program,
            "format": FORMATS.index(wish.format),
            "time": TIMES.index(wish.time),
            "time_digits": digits,
            "all": wish.all,
            "color": target.color and wish.format == "text",
            "ask_names": bool(self._names_known and asks_names),
            "ask_identities": "identity" in fields,
            "vni_is_network": self._overlay == "vxlan" and (self._overlay_given or self._vni_is_mutual()),
            "vni_is_identity": self._overlay == "cilium",
            "way_width": way_width,
            "tail_width": tail_width,
            "info_room": room,
            "indent": indent,
            "most": wish.most,
            "seed": int.from_bytes(os.urandom(8), "little"),
        }
        if self._engine == "native":
            from vxtool import _native

            return _native.Lister(**{**arguments, "filter": program and program.packed()})
        from vxtool.listing.pure import Lister as PureLister

        return PureLister(**arguments)

    def _vni_is_mutual(self) -> bool:
        """Whether any conversation shows one VNI in both directions, so that addresses may be those of a VNI."""
        queries = self._tables.queries
        return bool(queries.sources) and any(reverse == vni for vni, reverse, _ in queries.pairs)

    def _usual_fields(self) -> list[str]:
        wish = self._wish
        if wish.format == "json":
            return list(FIELDS)
        names = self._names_known and wish.format == "text"
        tunnelled = bool(self._tables.queries.tunnels)
        labelled = any(self._answers.labels.values()) or any(item.outcome == "dropped" for item in self._judged)
        fields = {
            "number": True,
            "input": len(self._inputs) > 1,
            "time": True,
            "interfaces": (labelled or wish.all) and wish.format == "text",
            "ingress": wish.format == "tsv",
            "egress": wish.format == "tsv",
            "latency_ns": wish.format == "tsv",
            "outcome": wish.format == "tsv",
            "vni": tunnelled or wish.format == "tsv",
            "source_name" if names else "source": True,
            "destination_name" if names else "destination": True,
            "protocol": True,
            "length": True,
            "info": True,
        }
        return [name for name, wanted in fields.items() if wanted]

    def _program(self) -> Program | None:
        if not self._wish.filter:
            return None
        from vxtool.listing.filter import names_like
        from vxtool.listing.filter_text import FilterNames, compile_filter

        identities = self._knowledge.cluster.identities

        def numbers(name: str) -> list[int]:
            return [number for number, info in identities.items() if info.name and names_like(name, [info.name])]

        paths = [item["path"] for item in self._inputs]
        return compile_filter(self._wish.filter, FilterNames(numbers, paths))

    def _ways(self) -> tuple[list[tuple[bytes | None, bytes | None, bytes | None]], array[int]]:
        """By which interfaces the datagrams of each bundle went: each way once, and its number by bundle."""
        numbers: dict[tuple[bytes | None, bytes | None, bytes | None], int] = {}
        of_route: dict[int, int] = {}  # by identity: a route's hash goes deep
        way_of = array("I")
        for item in self._judged:
            number = of_route.get(id(item.route))
            if number is None:
                number = numbers.setdefault(self._way(item.route), len(numbers))
                of_route[id(item.route)] = number
            way_of.append(number)
        return list(numbers) or [(None, None, None)], way_of

    def _way(self, route: Route) -> tuple[bytes | None, bytes | None, bytes | None]:
        answers = self._answers
        came, went = (
            answers.labels[stage.interface] if stage else None for stage in (route.ingress, route.egress)
        )
        both = None
        if came is not None or went is not None:
            both = came or ("?" if route.ingress else "")
            if route.egress:
                both += f"→{went or '?'}"
        return answers.encoded_or_none(came), answers.encoded_or_none(went), answers.encoded_or_none(both)

    def _widths(self, fields: Sequence[str], interfaces: int, digits: int) -> dict[str, int]:
        """Of the columns that the capture decides."""
        tables, answers = self._tables, self._answers
        number = len(str(max((item["records"] for item in self._inputs), default=0)))
        addresses = tables.queries.addresses(_MOST_ADDRESSES)
        least = 17 if tables.counters.non_ip_records else 7
        if addresses is None:
            address = 39 if any(flow_is_ipv6(key) for key in tables.queries.tunnels) else 15
        else:
            address = max(least, widest([address_text(each) or "" for each in addresses]))
        named = address
        if self._names_known and {"source_name", "destination_name"} & {*fields}:
            named = widest([answers.name(each) or address_text(each) or "" for each in addresses or []]) or address
            named = max(named, least if tables.counters.non_ip_records else 0)
        first, last = tables.first_time or 0, tables.last_time or 0
        seconds = len(str((last - first) // 1_000_000_000))
        time = (_MOMENT_WIDTH if self._wish.time == "absolute" else seconds + 1) + digits
        labels = [label for label in answers.labels.values() if label]
        vnis = {vni for vni, _ in tables.queries.sources} if "vni" in fields else ()
        return {
            "number": number,
            "datagram": number,
            "input": widest([_decoded(answers.encoded(item["path"])) for item in self._inputs]),
            "time": time,
            "interfaces": interfaces,
            "ingress": widest(labels),
            "egress": widest(labels),
            "source": address,
            "destination": address,
            "source_name": named,
            "destination_name": named,
            "vni": len(str(max(vnis, default=0))),
            "identity": widest([_decoded(answers.identity(vni) or b"") for vni in vnis]),
            "outer_source": 15,
            "outer_destination": 15,
        }


def flow_is_ipv6(tunnel: tuple[bytes, bytes, int, int]) -> bool:
    return len(tunnel[0]) == 16


def _decoded(text: bytes) -> str:
    return text.decode("utf-8", "replace")
