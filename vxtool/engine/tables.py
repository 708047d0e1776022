"""What an engine hands to analysis: counts of journeys by flow and path, and what else was observed.

An engine only observes. Nothing here says "dropped" or "forwarded": a path says where a datagram was seen, in
which direction and what it wore there; what that means is decided in `vxtool.analysis`. Tables hold values, not
indexes into each other, so that tables of two engines, or of one pass and of merged parts, compare with `==`.

Sizes are bytes of IP packets (of the frame behind its Ethernet header where the payload is not IP); times are
integer nanoseconds since the epoch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from vxtool.capture.damage import Damage
from vxtool.engine.wears import GENEVE as GENEVE
from vxtool.engine.wears import PLAIN as PLAIN
from vxtool.engine.wears import VXLAN as VXLAN
from vxtool.engine.wears import WEAR_NAMES as WEAR_NAMES

if TYPE_CHECKING:
    from vxtool.engine.queries import Queries

# Directions of a stage. The numbers are part of the path keys and equal in both engines.
UNKNOWN, IN, OUT, OTHER, BROADCAST, MULTICAST = range(6)
INGRESS = frozenset({IN, OTHER, BROADCAST, MULTICAST})

# How it was seen there: in one piece, in fragments, or only the first fragment of several.
WHOLE, FRAGMENTS, FIRST_ONLY = range(3)

# Flags of a path.
PARTIAL = 1  # fewer bytes left than came in
TRANSLATED = 2  # outer addresses or ports differ between sightings
LOOPED = 4  # a stage saw it again with a lower TTL
AT_END = 8  # came in, and the capture ended within the longest latency seen
AT_START = 16  # went out within the longest latency of the capture's start

# Protocol numbers from here on are NON_IP + EtherType: inner frames that hold no IP packet.
NON_IP = 1 << 16
# The protocol of an inner frame whose headers were not captured, or are malformed.
OPAQUE = 1 << 17

TCP = 6  # the protocol number

EXACT_LATENCIES = 1000  # a path keeps every latency up to this many
SAMPLES = 4  # record numbers kept as evidence
TIMELINE_STEPS = 200
LARGE = 1280  # above the IPv6 minimum MTU a packet may be a super-frame; its exact size is kept for each flow


class InterfaceKey(NamedTuple):
    """Where a record was captured. `number` is the SLL2 interface index and -1 where the link header has none;
    then (`input`, `interface`) is the capture file and its interface, or -1 for SLL version 1, which has none."""

    number: int
    input: int
    interface: int


class Stage(NamedTuple):
    interface: InterfaceKey
    direction: int
    wear: int
    form: int
    loopback: bool
    macs: bytes  # destination and source MAC where the link header tells no direction, else empty


class PathKey(NamedTuple):
    stages: tuple[Stage, ...]  # in order of arrival
    flags: int


# The source port of innermost fragments behind the first: they carry none.
TAIL_PORT = -2


class FlowKey(NamedTuple):
    """One direction of a conversation. Ports are -1 where there are none; ICMP echo has its identifier as the
    source port. `vni` is -1 for what was never seen in a tunnel."""

    vni: int
    protocol: int
    source: bytes
    source_port: int
    destination: bytes
    destination_port: int


# Where the datagrams of flows beyond the limit are counted.
OTHER_FLOWS = FlowKey(-2, -1, b"", -1, b"", -1)


class Sample(NamedTuple):
    time: int
    input: int
    record: int


@dataclass(slots=True)
class Cell:
    """The journeys of one flow along one path."""

    datagrams: int = 0
    inner_bytes: int = 0
    outer_bytes: int = 0  # of whole outer packets, once for each datagram
    wire_packets: int = 0  # records at the measured side: fragments one by one
    wire_bytes: int = 0  # their IP lengths, each with its own header
    egress_packets: int = 0  # records at the last Out stage
    smallest: int = 0  # inner length
    largest: int = 0
    first_time: int = 0
    last_time: int = 0
    samples: list[Sample] = field(default_factory=list)  # the earliest, at most SAMPLES


@dataclass(slots=True)
class Latencies:
    """First In to last Out of the journeys along one path, in ns."""

    count: int = 0
    total: int = 0
    smallest: int = 0
    largest: int = 0
    buckets: dict[int, int] = field(default_factory=dict)  # see latency_bucket
    exact: list[int] | None = field(default_factory=list)  # sorted; None above EXACT_LATENCIES


@dataclass(slots=True)
class FlowRow:
    """What is known of a flow apart from its journeys' paths."""

    first: Sample  # its earliest datagram, and the outer addresses of that one (empty where plain)
    outer_source: bytes
    outer_destination: bytes
    tcp_flags: int = 0  # seen, or-ed
    mss: int = 0  # smallest MSS option of its SYNs, 0 where none was seen
    options: int = 0  # largest length of TCP options beside data
    data_bytes: int = 0  # TCP payload, retransmissions included
    ranges: list[tuple[int, int]] = field(default_factory=list)  # sequence space covered, unwrapped
    ranges_folded: bool = False  # more gaps than are kept: data_bytes minus ranges is a lower bound


@dataclass(slots=True)
class TunnelRow:
    datagrams: int = 0
    outer_bytes: int = 0
    source_ports: set[int] = field(default_factory=set)


class InterfaceRow(NamedTuple):
    name: str | None  # as a pcapng file names it
    link_type: int
    records_in: int
    records_out: int
    records_unknown: int


class InputRow(NamedTuple):
    format: str | None
    link_types: tuple[int, ...]
    records: int
    bytes: int
    snaplen: int | None
    dropped: int | None  # records the capturing side lost, as pcapng statistics tell
    damage: Damage | None


@dataclass(slots=True)
class Counters:
    records: int = 0
    tunnel_records: int = 0
    ip_records: int = 0  # IP, not in a tunnel
    non_ip_records: int = 0
    unknown_link_records: int = 0
    malformed_records: int = 0
    clipped_records: int = 0  # fewer bytes captured than there were
    cut_records: int = 0  # clipped so short that headers are missing
    tail_fragments: int = 0  # outermost fragments other than the first
    orphan_fragments: int = 0  # of these, those whose first fragment was not seen
    late_fragments: int = 0  # of these, those that came after their journey was closed
    clock_skewed: int = 0
    time_reversed: int = 0
    evicted_journeys: int = 0
    folded_flows: int = 0


@dataclass(slots=True)
class Tables:
    """`flows`, `cells`, `large` and the ports in `tunnels` may be millions: `queries` answers what analysis has to
    ask of them. Where an engine has answers of its own, these are made when they are first looked into."""

    inputs: list[InputRow]
    names: dict[str, str]
    interfaces: dict[InterfaceKey, InterfaceRow]
    counters: Counters
    first_time: int | None
    last_time: int | None
    flows: Mapping[FlowKey, FlowRow]
    cells: Mapping[tuple[FlowKey, PathKey], Cell]
    latencies: dict[PathKey, Latencies]
    tunnels: Mapping[tuple[bytes, bytes, int, int], TunnelRow]  # outer source, destination, wear, destination port
    overheads: dict[int, int]  # outer minus inner length -> datagrams
    sizes: dict[tuple[bool, int], int]  # (in a tunnel, inner length) -> datagrams
    large: Mapping[tuple[FlowKey, int, int, int], int]  # flow, outer, inner, payload length
    mss: dict[int, int]  # MSS option of SYNs -> segments
    icmp_errors: dict[tuple[bool, int, int, int, int], list[Sample]]
    icmp_error_counts: dict[tuple[bool, int, int, int, int], int]  # (in a tunnel, IP version, type, code, MTU)
    timeline_step: int  # ns
    timeline: dict[tuple[int, PathKey, bytes], tuple[int, int]]
    # (time // step, path, outer destination where only one side was seen) -> (datagrams, outer bytes)
    samples: dict[str, list[Sample]]  # "malformed", "cut", "clipped", "orphan": the earliest of each
    queries: Queries = field(default=None, compare=False, repr=False)  # type: ignore[assignment]

    def __post_init__(self) -> None:
        if self.queries is None:
            # Here, because the other engine does not need it.
            from vxtool.engine.plain_queries import PlainQueries

            self.queries = PlainQueries(self.flows, self.cells, self.large, self.tunnels)


def latency_bucket(nanoseconds: int) -> int:
    """The bucket of a log-linear histogram: exact below 128, then 64 an octave (at most 0.8 % off)."""
    if nanoseconds < 128:
        return nanoseconds
    shift = nanoseconds.bit_length() - 7
    return (shift << 6) + (nanoseconds >> shift)


def bucket_value(bucket: int) -> int:
    """The middle of what `latency_bucket` puts into this bucket."""
    if bucket < 128:
        return bucket
    shift = (bucket >> 6) - 1
    return ((bucket - (shift << 6)) << shift) + ((1 << shift) >> 1)


def timeline_step(span: int, finest: int = 1_000_000) -> int:
    """The finest step of 1, 2, 10, 20, 100, ... ms that covers `span` ns in TIMELINE_STEPS steps at most.

    Each step is a multiple of the one before, so counts in a finer step fold into a coarser one exactly.
    """
    step, factor = finest, 2
    while span // step >= TIMELINE_STEPS - 1:
        step *= factor
        factor = 5 if factor == 2 else 2
    return step
