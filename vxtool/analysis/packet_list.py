"""Datagrams one by one, each with its own verdict: what `vxtool flows --packets` lists.

They are put into words as they are looked at, from what is said of their flow: there may be millions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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
from vxtool.engine.tables import TAIL_PORT, TCP

if TYPE_CHECKING:
    from vxtool.analysis.model import ListedFlow
    from vxtool.analysis.outcomes import Judge, Judged
    from vxtool.engine.answers import Datagram
    from vxtool.engine.tables import FlowKey, Tables

_MOST_LINES = 1 << 13  # that are remembered: what is said of a flow in a bundle


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
        self._lines: dict[int, ListedFlow] = {}  # by place
        all_of_them = chosen.datagrams if all_listed else sum(1 for _ in self._datagrams())
        self._length = all_of_them if most is None else min(all_of_them, most)

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[ListedFlow]:
        datagrams = self._datagrams()
        while some := list(islice(datagrams, PIECE)):
            places = [_place(rank, each.bundle, each.flow) for rank, each in some]
            lines = self._lines_at({place: rank for place, (rank, _) in zip(places, some, strict=True)})
            for place, (_, datagram) in zip(places, some, strict=True):
                yield self._packet(datagram, lines[place])

    def _datagrams(self) -> Iterator[tuple[int, Datagram]]:
        """With the ranks of their flows."""
        return islice(self._chosen.ranked.sent(self._chosen.bundles, self._chosen.flags), self._most)

    def _lines_at(self, ranks: Mapping[int, int]) -> dict[int, ListedFlow]:
        """What is said of flows, given their ranks by place."""
        missing = {place: rank for place, rank in ranks.items() if place not in self._lines}
        some = sorted(set(missing.values()))
        for rank, top in zip(some, self._chosen.ranked.pick(some), strict=True):
            for (verdict, observation), shares in self._describer.parts(top, self._wanted).items():
                for share in shares:
                    place = _place(rank, share.bundle, share.flow)
                    if place in missing:
                        self._lines[place] = self._describer.line(top, verdict, observation, [share])
        lines = {place: self._lines[place] for place in ranks}
        # The oldest go first: they are made again where they are asked for again.
        for place in list(islice(self._lines, max(len(self._lines) - _MOST_LINES, 0))):
            del self._lines[place]
        return lines

    def _packet(self, datagram: Datagram, line: ListedFlow) -> ListedFlow:
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


def _place(rank: int, bundle: int, flow: FlowKey) -> int:
    """What stands for a flow in a bundle; the tails that count with a flow stand beside it."""
    return rank << 33 | bundle << 1 | (flow.source_port == TAIL_PORT)


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
