"""Datagrams one by one, each with its own verdict: what `vxtool flows --packets` lists.

They are put into words as they are looked at, from what is said of their flow: there may be millions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from vxtool.analysis.flows import (
    PIECE,
    Chosen,
    Describer,
    FlowFilter,
    LookedAt,
    choose_flows,
    echo_kind,
    is_echo,
    tcp_flags,
)
from vxtool.analysis.times import rfc3339
from vxtool.engine.tables import TCP

if TYPE_CHECKING:
    from vxtool.analysis.flows import Observation, Verdict
    from vxtool.analysis.model import ListedFlow
    from vxtool.analysis.outcomes import Judge, Judged
    from vxtool.engine.answers import Datagram, Share, TopFlow
    from vxtool.engine.tables import FlowKey, Tables

_MOST_LINES = 1 << 12  # that are remembered, of flows in a bundle


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


class _Packets(LookedAt):
    """The packets in order of time."""

    def __init__(
        self,
        chosen: Chosen,
        describer: Describer,
        wanted: FlowFilter,
        inputs: Sequence[str],
        most: int | None,
        all_listed: bool,
    ) -> None:
        """`all_listed`: whether the engine lists all that it counts."""
        self._chosen = chosen
        self._describer = describer
        self._wanted = wanted
        self._inputs = inputs
        self._most = most
        self._parts: dict[tuple[FlowKey, int], _Part] = {}
        self._lines: dict[tuple[FlowKey, int], ListedFlow] = {}
        all_of_them = chosen.datagrams if all_listed else sum(1 for _ in self._datagrams())
        self._length = all_of_them if most is None else min(all_of_them, most)

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[ListedFlow]:
        datagrams = self._datagrams()
        while some := list(islice(datagrams, PIECE)):
            self._find_parts(some)
            for _, datagram in some:
                yield self._packet(datagram)

    def _datagrams(self) -> Iterator[tuple[int, Datagram]]:
        """With the ranks of their flows."""
        return islice(self._chosen.ranked.sent(self._chosen.bundles, self._chosen.flags), self._most)

    def _find_parts(self, datagrams: Sequence[tuple[int, Datagram]]) -> None:
        """Of these datagrams; what is known from earlier ones stays as long as there is room."""
        if len(self._parts) > _MOST_LINES:
            self._parts.clear()
            self._lines.clear()
        missing = {rank for rank, each in datagrams if (each.flow, each.bundle) not in self._parts}
        for top in self._chosen.ranked.pick(sorted(missing)):
            for (verdict, observation), shares in self._describer.parts(top, self._wanted).items():
                for share in shares:
                    self._parts[share.flow, share.bundle] = _Part(top, verdict, observation, share)

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
    inside = [item for item in judged if item.route.tunnelled == tunnelled]
    chosen = choose_flows(inside, judge, describer, wanted, "bytes", None)
    packets = _Packets(chosen, describer, wanted, inputs, top, not tables.counters.unlisted_datagrams)
    return PacketListing(packets, chosen.datagrams, chosen.matching, chosen.ranked.total)
