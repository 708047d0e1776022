"""What analysis asks of the flows and cells, which may be millions, so that it need not go through them itself.

Every question is answered twice: in plain Python from the dicts of `Tables` (`plain_queries.py`, the specification)
and in C from the engine's own tables (`native_queries.py`). Both give equal answers in the same order.

An answer holds sums over what a verdict cannot tell apart. Journeys are put into bundles by all that may decide
what became of them; the few that show something of their own are asked for by name, size or time.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Protocol

from vxtool.engine.answers import (
    Bundle,
    Datagram,
    Ends,
    LargeRow,
    Listed,
    Order,
    Proof,
    Sent,
    Share,
    Sighted,
    Stalled,
    TopFlow,
    TwoSided,
    Unanswered,
    Wanted,
)
from vxtool.engine.tables import FlowKey, PathKey, Sample, SightingRow


class Bundles(Protocol):
    rows: Sequence[Bundle]  # their numbers are their places here

    def earliest(self, wanted: Wanted, most: int) -> list[Proof]:
        """The earliest records of these cells, in order."""

    def starts(self, wanted: Wanted, most: int) -> list[Proof]:
        """The first record of each of these cells, in order: the earliest of them."""

    def shares(self, wanted: Wanted) -> list[Share]:
        """These cells one by one."""

    def datagrams(self, wanted: Wanted) -> Iterator[Datagram]:
        """Those of these cells one by one, in order of their samples, as far as the engine listed them."""

    def listed(self) -> Listed:
        """All datagrams that the engine listed, without an object for each."""

    def ends(self, bundles: Collection[int]) -> list[Ends]:
        """Who sent the datagrams of these bundles to whom."""

    def top(self, bundles: Collection[int], most: int) -> tuple[list[TopFlow], int]:
        """The flows with the most inner bytes in these bundles, in order, and of equal ones those whose key comes
        first; and how many flows there are.

        Innermost fragments behind the first carry no ports (TAIL_PORT): they count with their flow where only one
        of these bundles can be it.
        """

    def ranked(self, bundles: Collection[int], order: Order, most: int) -> Ranked:
        """The flows of these bundles that come first in an order, without an object for each."""


class Ranked(Protocol):
    """Flows in an order, `len` of them, numbered from 0: their ranks. Each is made when it is asked for and is not
    remembered: unlike those of other answers it cannot be named in a question."""

    total: int  # flows in the bundles
    matching: int  # those that have something in the bundles of `Order.among`, of which the first are here
    datagrams: int  # how many datagrams the matching ones have there

    def __len__(self) -> int: ...

    def pick(self, ranks: Sequence[int]) -> list[TopFlow]:
        """The flows of these ranks, each with all that it has in the bundles. The fragments that count with it are
        among its shares."""

    def moments(self) -> Moments:
        """When what these flows have in the bundles of `Order.counting` starts; where `Order.by` is `end`, ends."""

    def sent(self, bundles: Collection[int], chosen: bytes | None = None) -> Iterator[tuple[int, Datagram]]:
        """The datagrams of these flows in some of the bundles one by one as `Bundles.datagrams` has them, each with
        the rank of its flow. `chosen`: a byte for each rank, only of flows for which it is not 0."""


class Moments(Protocol):
    """Times in order, and of equal ones those of the flows that come first; each flow once at each time."""

    def __len__(self) -> int: ...

    def page(self, start: int, most: int) -> list[tuple[int, int]]:
        """So many of them from there on: (time in ns, rank of the flow)."""


class Large(Protocol):
    rows: Sequence[LargeRow]  # their numbers are their places here

    def beside(self, rows: Collection[int]) -> dict[tuple[int, int], int]:
        """The datagrams of each of these rows by the largest payload that the same flow has outside of these rows:
        (row, payload; 0 for none) -> datagrams."""

    def flows(self, rows: Collection[int]) -> object:
        """The flows that have datagrams in these rows, for `Wanted`."""

    def of(self, flows: Collection[FlowKey]) -> dict[FlowKey, list[tuple[int, int]]]:
        """(row, datagrams) of each of these flows that has any, in the order of the engine's table."""


class Queries(Protocol):
    """Flows that an asker names must have stood in an answer before."""

    @property
    def paths(self) -> Sequence[PathKey]:
        """All paths that any journey took."""

    @property
    def tunnels(self) -> Mapping[tuple[bytes, bytes, int, int], tuple[int, int, Sample]]:
        """`Tables.tunnels` without the source ports: (datagrams, outer bytes, first record)."""

    @property
    def folded(self) -> tuple[int, int]:
        """Datagrams and inner bytes of all flows that gave way to others."""

    @property
    def source_ports(self) -> Mapping[tuple[bytes, bytes], int]:
        """How many source ports the tunnels from one outer address to another used, all kinds together."""

    @property
    def tunnel_flows(self) -> Mapping[tuple[bytes, bytes], int]:
        """How many flows with ports on both sides had their first datagram between these outer addresses."""

    @property
    def told_mss(self) -> Mapping[tuple[bool, bool, int], int]:
        """How many flows told which MSS: (in a tunnel, IPv6, MSS) -> flows."""

    @property
    def agreed_mss(self) -> Mapping[tuple[bool, bool, int], int]:
        """The same of flows whose other direction told one too: the smaller of both, which is what they use."""

    @property
    def sources(self) -> Mapping[tuple[int, bytes], Sent]:
        """Who sends under which VNI: by VNI and innermost source."""

    @property
    def pairs(self) -> Mapping[tuple[int, int | None, bytes], tuple[int, int]]:
        """Which VNIs talk to which: (VNI, that of the other direction, innermost destination) -> (datagrams, inner
        bytes). Where the other direction was seen the destination is left empty, else its VNI is None.

        The other direction is the flow with the same ends turned round, both in tunnels or both not. It is the one
        of the same VNI where that was seen: two networks may use the same addresses. Else that of the lowest VNI.
        """

    def bundles(self, inside: Collection[PathKey] = (), apart: Mapping[FlowKey, int] | None = None) -> Bundles:
        """All journeys in bundles; along the paths `inside` the innermost destination is told apart too."""

    def large(self, limits: Mapping[PathKey, int]) -> Large:
        """All large datagrams; `limits` are any numbers by path."""

    def sightings(self) -> Iterator[SightingRow]:
        """`Tables.sightings`, one after the other."""

    def sighted(self) -> Sighted:
        """The same without an object for each."""

    def addresses(self, most: int) -> list[bytes] | None:
        """The innermost addresses of flows, each once and in order, IPv4 first; None where there are more than
        `most`."""

    def two_sided(self, only_in: Collection[PathKey], only_out: Collection[PathKey]) -> list[TwoSided]:
        """The flows that have journeys along both kinds of paths."""

    def rewritten(
        self, only_in: Collection[PathKey], only_out: Collection[PathKey], own: Collection[bytes]
    ) -> set[FlowKey]:
        """Plain flows that came in under one address and went out under another, and those that answer them.

        One came in and not out, the other the reverse, and they differ in the destination alone (with its port), or
        in the source alone; in the source's port too where the new source is one of `own`.
        """

    def unanswered(self, wait: int, end: int) -> Unanswered:
        """Flows of which nothing was seen of the other direction, and which had time enough to be answered.

        Of TCP those that sent nothing but SYNs, two at least: nobody repeats one that was answered. Of ICMP echo
        those that sent nothing but requests, three at least. `wait` and `end` in ns: the last time that it was
        asked lies so long behind the first, or before the end.
        """

    def stalled(self, least: int, most: int, few: int) -> list[Stalled]:
        """Flows of TCP, of whose connections both SYNs were seen, that sent at least `least` bytes again, of at
        most `most` in all, and whose other direction has at most `few` datagrams."""

    def named(self, flows: Collection[FlowKey]) -> object:
        """These flows, for `Wanted`."""

    def stuck(self, wait: int) -> object | None:
        """Flows of TCP, for `Wanted`, that send nothing but answers to a SYN, the last `wait` ns or more behind the
        first, while of the other direction neither an acknowledgement nor a reset was seen: their handshake is
        never completed, and nothing shows that they arrive. None where no flow is such.
        """

    def is_answered(self, paths: Collection[PathKey]) -> bool:
        """Whether both directions of any conversation were seen along these paths."""
