"""Datagrams one by one, each with its own verdict: what `vxtool flows --packets` lists.

They are put into words as they are looked at, from what is said of their flow: there may be millions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from vxtool.analysis.flows import Describer, FlowFilter, echo_kind, is_echo, tcp_flags
from vxtool.analysis.times import rfc3339
from vxtool.engine.answers import Wanted
from vxtool.engine.tables import TCP

if TYPE_CHECKING:
    from vxtool.analysis.flows import Observation, Verdict
    from vxtool.analysis.model import ListedFlow
    from vxtool.analysis.outcomes import Judge, Judged
    from vxtool.engine.answers import Datagram, Share, TopFlow
    from vxtool.engine.queries import Queries
    from vxtool.engine.tables import FlowKey, Tables

_EVERY = 0xFFFFFFFF  # flows: more than an engine keeps


class _Part(NamedTuple):
    """What all datagrams of one flow in one bundle have in common."""

    top: TopFlow
    verdict: Verdict
    observation: Observation
    share: Share


class PacketListing(NamedTuple):
    packets: Sequence[ListedFlow]
    matching: int
    flows_matching: int
    flows_total: int


class _Packets(Sequence["ListedFlow"]):
    """The packets in order of time. Each look makes them anew, so that only as many are held as are looked at."""

    def __init__(
        self,
        queries: Queries,
        judge: Judge,
        describer: Describer,
        parts: dict[tuple[FlowKey, int], _Part],
        inputs: Sequence[str],
        most: int | None,
        matching: int | None,
    ) -> None:
        """`matching`: how many there are, where the engine listed all; None where it did not."""
        self._bundles = judge.bundles
        self._describer = describer
        self._parts = parts
        self._inputs = inputs
        self._most = most
        bundles = {bundle for _, bundle in parts}
        self._wanted = Wanted(bundles, flows=queries.these({flow for flow, _ in parts}))
        self._lines: dict[tuple[FlowKey, int], ListedFlow] = {}
        all_of_them = matching if matching is not None else sum(1 for _ in self._datagrams())
        self._length = all_of_them if most is None else min(all_of_them, most)

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[ListedFlow]:
        return map(self._packet, self._datagrams())

    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice) or not 0 <= at < len(self):
            return list(self)[at]
        return next(islice(self, at, None))

    def _datagrams(self) -> Iterator[Datagram]:
        found = self._bundles.datagrams(self._wanted)
        return islice((each for each in found if (each.flow, each.bundle) in self._parts), self._most)

    def _packet(self, datagram: Datagram) -> ListedFlow:
        key = datagram.flow, datagram.bundle
        line = self._lines.get(key)
        if line is None:
            part = self._parts[key]
            line = self._describer.line(part.top, part.verdict, part.observation, [part.share])
            self._lines[key] = line
        time = rfc3339(datagram.sample.time)
        echo = echo_kind(datagram.flags) if is_echo(datagram.flow) else None
        return {
            **line,
            "is_reply": line["is_reply"] if echo is None else echo == "reply",
            "outcomes": dict.fromkeys(line["outcomes"], 1),
            "icmp_echo": echo,
            "icmp": {"type": datagram.icmp >> 8, "code": datagram.icmp & 0xFF} if datagram.icmp >= 0 else None,
            "tcp_flags": tcp_flags(datagram.flags) if datagram.flow.protocol == TCP else [],
            "tunnel": {**line["tunnel"], "source_port": datagram.source_port} if line["tunnel"] else None,
            "record": {"input": self._inputs[datagram.sample.input], "record": datagram.sample.record},
            "datagrams": 1,
            "inner_bytes": datagram.inner_length,
            "first_time": time,
            "last_time": time,
        }


def list_packets(
    tables: Tables,
    judged: Sequence[Judged],
    judge: Judge,
    tunnelled: bool,
    describer: Describer,
    wanted: FlowFilter,
    inputs: Sequence[str],
    top: int | None,
) -> PacketListing:
    """The first `top` packets of the flows of one scope that are wanted, or all of them."""
    numbers = [item.number for item in judged if item.route.tunnelled == tunnelled]
    rows, total = judge.bundles.top(numbers, _EVERY)
    parts: dict[tuple[FlowKey, int], _Part] = {}
    flows = matching = 0
    for row in rows:
        found = describer.wanted_parts(row, wanted)
        flows += bool(found)
        for (verdict, observation), shares in found.items():
            for share in shares:
                parts[share.flow, share.bundle] = _Part(row, verdict, observation, share)
                matching += share.datagrams
    known = None if tables.counters.unlisted_datagrams else matching
    packets = _Packets(tables.queries, judge, describer, parts, inputs, top, known)
    return PacketListing(packets, matching, flows, total)
