"""The rows of which answers to `vxtool.engine.queries` are made, and `Wanted`, which most questions take.

They stand apart from the questions, which nobody needs at run time.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal, NamedTuple

from vxtool.engine.tables import FlowKey, FlowRow, PathKey, Sample

RECORD_BITS = 48  # of a number that names an input and a record of it


class Bundle(NamedTuple):
    """The journeys of all flows that were seen alike. Behind `grew` stand sums and extremes of their cells."""

    path: PathKey
    source: bytes  # the outermost addresses, of the flow's first datagram where it was tunnelled; empty: unknown
    destination: bytes
    inside: bytes  # the innermost destination, along paths for which it was asked; else empty
    apart: int  # what the asker noted of the flow; 0 for all others
    icmp: bool  # ICMP that is no echo
    grew: bool  # more packets went out than came in
    datagrams: int
    inner_bytes: int
    outer_bytes: int
    wire_packets: int
    wire_bytes: int
    whole_bytes: int  # `wire_bytes` of each cell, or `outer_bytes` where those are more
    missing_packets: int  # `wire_packets` less `egress_packets` of each cell, or `datagrams` where those are more
    fragmented: int  # segments that left in fragments
    smallest: int
    largest: int


class Wanted(NamedTuple):
    """Which cells are meant: those of these bundles (by number) for which all that is given holds."""

    bundles: Collection[int]
    vni: int | None = None  # the flow's
    source: bytes | None = None  # its innermost; empty: of flows without addresses
    flows: object | None = None  # as `Large.flows` and `Unanswered.flows` give them
    above: int = -1  # the largest datagram is larger than this, and
    room: int | None = None  # with what the tunnel adds on average larger than this, and
    among: Collection[int] | None = None  # of one of these lengths, and
    beyond: Collection[int] = ()  # of none of these
    smallest_too: bool = False  # `above` and `among` hold for the smallest as well


class Order(NamedTuple):
    """Which flows come first, and which are meant. Of equal ones those with the most inner bytes come first, and of
    equal ones of those the one whose key comes first."""

    by: Literal["bytes", "datagrams", "start", "end"] = "bytes"  # the most of those, or the earliest
    counting: Collection[int] | None = None  # by what they have in these bundles alone; without any there: the last
    among: Collection[int] | None = None  # only those that have something in these


class Proof(NamedTuple):
    """A record of a cell, and what a sentence on it needs."""

    sample: Sample
    flow: FlowKey
    outer_source: bytes  # of the flow's first datagram; empty where plain
    outer_destination: bytes
    bundle: int
    smallest: int
    largest: int


class Share(NamedTuple):
    """What of a flow belongs to one bundle."""

    flow: FlowKey
    bundle: int
    datagrams: int
    inner_bytes: int
    wire_packets: int
    first_time: int
    last_time: int
    outer_bytes: int
    wire_bytes: int


class Datagram(NamedTuple):
    """One datagram of a cell, as `DatagramRow` has it."""

    sample: Sample
    flow: FlowKey
    bundle: int
    inner_length: int
    flags: int
    icmp: int
    source_port: int
    latency: int


class Listed(NamedTuple):
    """All datagrams that are listed, as arrays of one item for each, in the order of `where`."""

    where: memoryview  # "Q": the input above RECORD_BITS, below it the number of the record whose time is its own
    bundle: memoryview  # "I"
    latency: memoryview  # "q": ns, -1 where it is not known
    length: memoryview  # "I": of the innermost IP packet
    vni: memoryview  # "i": of its flow; -1 where plain


class Sighted(NamedTuple):
    """All further sightings that are listed, likewise; a record may be one of several datagrams."""

    where: memoryview  # "Q"
    first: memoryview  # "Q": of the record that is the datagram's, or see `SightingRow`


class TopFlow(NamedTuple):
    """One of the flows with the most bytes."""

    flow: FlowKey
    row: FlowRow | None  # None for OTHER_FLOWS
    reverse_vni: int | None  # the VNI of the other direction (-1 where plain); None where that was not seen
    reverse: FlowRow | None  # the other direction itself
    shares: list[Share]  # fragments without ports that can only be this flow's are among them, under their own key


class Sent(NamedTuple):
    """What one address sent under one VNI."""

    datagrams: int
    inner_bytes: int
    first_time: int  # of its earliest datagram, and
    last_time: int  # of its latest


class Ends(NamedTuple):
    """Datagrams between two innermost addresses; the outer ones where the inside holds no IP."""

    source: bytes
    destination: bytes
    datagrams: int
    smallest: int
    largest: int
    first_time: int
    last_time: int


class LargeRow(NamedTuple):
    """Unfragmented datagrams above LARGE, of all flows that are alike in what tells the size of their segments."""

    tunnelled: bool
    protocol: int
    ipv6: bool
    options: int  # `FlowRow.options`
    told_mss: int  # the smaller MSS in the SYNs of both directions; 0 where none was seen
    both_told: bool
    limit: int  # the largest of those of the flow's paths; -1 where none has any
    segment: int  # `FlowRow.segment`
    outer: int
    inner: int
    payload: int
    datagrams: int


class Unanswered(NamedTuple):
    """The flows that asked again and again without an answer."""

    flows: object  # for `Wanted`
    connections: int  # how many of TCP
    echoes: int  # and of ICMP echo
    datagrams: int  # of them all


class Stalled(NamedTuple):
    """A TCP flow that repeats what hardly anybody answers."""

    flow: FlowKey
    reverse: FlowKey  # the other direction
    repeated: int  # bytes of data that it sent again
    datagrams: int
    largest: int
    answers: int  # datagrams of the other direction
    last_time: int
    answered_time: int  # of the last of `answers`
    closed: bool  # one of those ends the connection: FIN or RST


class TwoSided(NamedTuple):
    """A flow that was seen to come in and not to go out, and to go out without having come in."""

    flow: FlowKey
    in_datagrams: int
    in_largest: int
    out_datagrams: int
    out_largest: int
