"""A router, as a capture on it sees it: what comes in by one interface goes out by another, or does not.

Each train of packets crosses it by a `Passage`, which says by which interfaces, how fast, and what goes wrong. What
becomes of a packet is drawn from a generator of random numbers that `seed` and the train's number start, one draw a
packet: so the same seed gives the same file, however it is cut into parts while it is written.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from vxtool.capture.container import IN, OUT, UNKNOWN
from vxtool.craft.pieces import fragments, segments
from vxtool.craft.train import HEADER, Train, record, shortened
from vxtool.craft.truth import Truth, facts_of
from vxtool.packet import ICMP, Ethernet, ICMPv6, IPv4, IPv6, Layer, encode
from vxtool.packet.ipv4 import DONT_FRAGMENT

_QUOTED = 548  # bytes of the packet that Linux quotes in an ICMP error (net/ipv4/icmp.c: 576 less headers)


@dataclass(frozen=True)
class Interface:
    """One of the router's own."""

    name: str
    index: int
    mac: str
    addresses: tuple[str, ...] = ()
    mtu: int = 1500

    def address(self, six: bool) -> str | None:
        """Its address of one family, without the prefix length."""
        found = [each.partition("/")[0] for each in self.addresses if (":" in each) == six]
        return found[0] if found else None


@dataclass(frozen=True)
class Passage:
    """How the router treats a train."""

    ingress: Interface
    egress: Interface
    latency_ns: int = 16_000
    drop: float = 0.0
    misroute: Interface | None = None  # out of which some leave instead
    misroute_share: float = 1.0
    mtu: int | None = None  # of the egress, where that matters
    silent: bool = False  # no message where a packet is too large: a black hole
    segment: int | None = None  # TCP data in each segment that a super-frame leaves in


class Lane(NamedTuple):
    """Where records were seen. Without an interface: on a link, direction unknown."""

    interface: Interface | None
    direction: int


class Batch(NamedTuple):
    """Records of one lane, in order of time."""

    lane: Lane
    times: Sequence[int]
    records: list[bytes]


class View(Protocol):
    """What a kind of capture shows before the IP header."""

    def link(self, link: tuple[Layer, ...], lane: Lane) -> tuple[Layer, ...]:
        """The link layers of a packet that was sent with `link`, as seen at a lane."""
        ...


class Stream(Protocol):
    """Records that come in order of time, in batches."""

    @property
    def count(self) -> int: ...
    @property
    def start_ns(self) -> int: ...
    @property
    def last_ns(self) -> int: ...
    def take(self, before: int) -> list[Batch]:
        """All records of packets that are sent before a time, and were not taken before."""
        ...

    def plain(self, together: int) -> Iterator[tuple[int, bytes]] | None:
        """All records, so many together, as the bytes of a pcap file: how many, and their bytes.

        None where they are no plain train.
        """
        ...


class Sighting:
    """A train seen once, on a link: no router."""

    def __init__(self, train: Train, view: View, mtu: int | None = None) -> None:
        self._train = train
        self._lane = Lane(None, UNKNOWN)
        self._link = view.link(train.link, self._lane)
        self._mtu = mtu
        self._taken = 0
        self.count = train.count
        self.start_ns, self.last_ns = train.time_ns, train.last_ns

    def take(self, before: int) -> list[Batch]:
        first, stop = self._taken, self._train.before(before)
        self._taken = stop
        if stop <= first:
            return []
        times: Sequence[int] = self._train.times(first, stop)
        rows = self._train.records(self._link, first, stop)
        if self._mtu is not None:
            times, rows = _fragmented(times, rows, self._link, self._mtu)
        return [Batch(self._lane, times, rows)]

    def plain(self, together: int) -> Iterator[tuple[int, bytes]] | None:
        train = self._train
        if self._mtu is not None or train.cut is not None:
            return None
        parts = ((first, min(first + together, train.count)) for first in range(0, train.count, together))
        return ((stop - first, train.data(self._link, first, stop)) for first, stop in parts)


class Crossing:
    """A train that crosses a router, seen on both sides of it."""

    def __init__(
        self,
        train: Train,
        passage: Passage,
        view: View,
        truth: Truth,
        *,
        seed: int = 0,
        number: int = 0,
        mtu: int | None = None,
    ) -> None:
        """`number` tells the train from others, `mtu` is the sender's, which fragments at it."""
        self._train, self._passage, self._view, self._truth = train, passage, view, truth
        self._random = random.Random(f"{seed}/{number}")
        self._mtu = mtu
        self._taken = 0
        self.count = 2 * train.count
        self.start_ns, self.last_ns = train.time_ns, train.last_ns
        self._in = Lane(passage.ingress, IN)
        self._link = view.link(train.link, self._in)
        self._facts = facts_of(train, mtu, passage.ingress.mtu)
        self._too_large = self._refused()
        self._vague = are_equal(train, passage.latency_ns)
        self._ways = [passage.egress] + ([passage.misroute] if passage.misroute else [])

    def take(self, before: int) -> list[Batch]:
        first, stop = self._taken, self._train.before(before)
        self._taken = stop
        if stop <= first:
            return []
        times = self._train.times(first, stop)
        rows = self._train.records(self._link, first, stop)
        seen: Sequence[int] = times
        if self._mtu is not None:
            seen, rows = _fragmented(times, rows, self._link, self._mtu)
        batches = [Batch(self._in, seen, rows)]
        fates = self._fates(stop - first)
        self._truth.came_in(self._facts, self._passage.ingress, stop - first)
        for way, egress in enumerate(self._ways):
            chosen = None if fates is None else [fate == way for fate in fates]
            if (fates is None and way) or (chosen is not None and True not in chosen):
                continue
            batches += self._leaving(egress, times, first, stop, chosen)
        if fates is not None:
            lost = [time for time, fate in zip(times, fates, strict=True) if fate < 0]
            self._truth.lost(self._facts, lost)
            if lost and self._too_large and not self._passage.silent:
                batches += self._messages(lost, rows)
        return batches

    def plain(self, together: int) -> Iterator[tuple[int, bytes]] | None:
        return None

    def _fates(self, count: int) -> list[int] | None:
        """By which of the ways each packet leaves, -1 for none; None where all leave by the first."""
        passage = self._passage
        if self._too_large:
            return [-1] * count
        if not passage.drop and passage.misroute is None:
            return None
        draw = self._random.random
        # One number for each packet: the lowest part of its range drops it, the next sends it the wrong way.
        drop = passage.drop
        wrong = drop + (1 - drop) * passage.misroute_share if passage.misroute else drop
        draws = [draw() for _ in range(count)]
        return [-1 if value < drop else 1 if value < wrong else 0 for value in draws]

    def _leaving(
        self, egress: Interface, times: Sequence[int], first: int, stop: int, chosen: list[bool] | None
    ) -> list[Batch]:
        passage, train = self._passage, self._train
        lane = Lane(egress, OUT)
        link = self._view.link(train.link, lane)
        delay = passage.latency_ns
        left: Sequence[int]
        if isinstance(times, range):
            left = range(times.start + delay, times.stop + delay, times.step)
        else:
            left = [time + delay for time in times]
        cut = [train] if passage.segment is None else segments(train, passage.segment)
        batches: list[Batch] = []
        for piece in cut:
            rows = piece.records(link, first, stop, delay, hops=1)
            seen: Sequence[int] = left
            if chosen is not None:
                rows = [row for row, here in zip(rows, chosen, strict=True) if here]
                seen = [time for time, here in zip(left, chosen, strict=True) if here]
            if self._mtu is not None:
                seen, rows = _fragmented(seen, rows, link, self._mtu)
            if passage.mtu is not None:
                seen, rows = _fragmented(seen, rows, link, passage.mtu)
            batches.append(Batch(lane, seen, rows))
        count = stop - first if chosen is None else chosen.count(True)
        self._truth.left(
            self._facts,
            (passage.ingress, egress),
            count,
            delay,
            fragmented=self._grows(),
            resegmented=len(cut) > 1,
            vague=self._vague,
        )
        return batches

    def _grows(self) -> bool:
        mtu = self._passage.mtu
        return mtu is not None and mtu < min(self._facts.length, self._mtu or self._facts.length)

    def _refused(self) -> bool:
        """Whether the packets are too large for the egress and may not be fragmented by the router."""
        if not self._grows():
            return False
        first = self._train.layers[0] if self._train.layers else None
        return self._passage.silent or isinstance(first, IPv6) or (
            isinstance(first, IPv4) and bool(first.flags & DONT_FRAGMENT)
        )

    def _messages(self, lost: list[int], rows: list[bytes]) -> list[Batch]:
        """The router's answers to packets that are too large: ICMP type 3 code 4, or ICMPv6 type 2."""
        first = self._train.layers[0]
        assert isinstance(first, IPv4 | IPv6)
        six = isinstance(first, IPv6)
        passage = self._passage
        address = passage.ingress.address(six)
        if address is None:
            return []
        lane = Lane(passage.ingress, OUT)
        sent = self._train.link[0]
        back = (
            (Ethernet(sent.destination, sent.source),) if isinstance(sent, Ethernet) else self._train.link
        )
        link = self._view.link(back, lane)
        size = len(encode(*self._link, *self._train.layers, payload=self._train.payload)) - self._facts.length
        made = []
        for number, (time, row) in enumerate(zip(lost, rows, strict=False)):
            quoted = row[HEADER + size :][:_QUOTED]
            layers: tuple[Layer, ...]
            if six:
                layers = (IPv6(address, first.source), ICMPv6(2, 0, passage.mtu or 0))
            else:
                layers = (
                    IPv4(address, first.source, identification=number + 1 & 0xFFFF, tos=0xC0),
                    ICMP(3, 4, passage.mtu or 0),
                )
            made.append(record(time + passage.latency_ns, encode(*link, *layers, payload=quoted)))
        size = len(made[0]) - HEADER - _size_of(link)
        self._truth.originated(passage.ingress, len(made), size)
        return [Batch(lane, [time + passage.latency_ns for time in lost], made)]


def are_equal(train: Train, latency_ns: int) -> bool:
    """Whether packets that are equal in all that no router changes are under way at the same time."""
    inside = 0 if train.tunnel is None else train.tunnel + 1
    differ = any(at >= inside or name == "identification" for at, name in train.steps)
    return train.count > 1 and not differ and train.interval_ns <= latency_ns


def can_be_told(train: Train, passage: Passage) -> bool:
    """Whether a right analysis can tell exactly which packets were lost.

    It cannot where they are equal, nor where some of many destinations may be the router's own.
    """
    if not passage.drop and passage.mtu is None:
        return True
    return not are_equal(train, passage.latency_ns) and (0, "destination") not in train.steps


def _fragmented(
    times: Sequence[int], rows: list[bytes], link: tuple[Layer, ...], mtu: int
) -> tuple[Sequence[int], list[bytes]]:
    """The same records with every packet in fragments that fit `mtu`; those of one packet have one time."""
    size = _size_of(link)
    seen: list[int] = []
    made: list[bytes] = []
    for time, row in zip(times, rows, strict=True):
        at = HEADER + size
        pieces = fragments(row[at:], mtu)
        if len(pieces) == 1:
            made.append(row)
        else:
            made += [shortened(row[:at] + piece, len(row), len(piece) + size) for piece in pieces]
        seen += [time] * len(pieces)
    return seen, made


def _size_of(link: tuple[Layer, ...]) -> int:
    """The bytes of a link header."""
    return len(encode(*link, IPv4("0.0.0.0", "0.0.0.0", protocol=0))) - 20
