"""What an engine hands to analysis: counts of journeys by flow and path, and what else was observed.

An engine only observes. Nothing here says "dropped" or "forwarded": a path says where a datagram was seen, in
which direction and what it wore there; what that means is decided in `vxtool.analysis`. Tables hold values, not
indexes into each other, so that tables of two engines, or of one pass and of merged parts, compare with `==`.

Sizes are bytes of IP packets (of the frame behind its Ethernet header where the payload is not IP); times are
integer nanoseconds since the epoch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from vxtool.capture.damage import Damage
from vxtool.engine.wears import GENEVE as GENEVE
from vxtool.engine.wears import PLAIN as PLAIN
from vxtool.engine.wears import VXLAN as VXLAN
from vxtool.engine.wears import VXLAN_GPE as VXLAN_GPE
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
ACKNOWLEDGED = 32  # came in alone, with TCP data that its other end acknowledged and that nobody sent again
OVERTAKEN = 64  # at a stage a later fragment came, and was stamped, before its first
SEGMENTED = 128  # a super-frame came in, and packets cut out of it went out: `wire_packets` are those
JOINED = 256  # came in as one of the packets that went out as one super-frame
OF_UDP = 512  # beside one of these two: of UDP, else of TCP

# Protocol numbers from here on are NON_IP + EtherType: inner frames that hold no IP packet.
NON_IP = 1 << 16
# The protocol of an inner frame whose headers were not captured, or are malformed.
OPAQUE = 1 << 17

TCP, UDP = 6, 17  # protocol numbers

# In the place of a flow's outer source port, where it had several.
SEVERAL_PORTS = -2

# What a flow of ICMP echo was seen to hold, in the place of TCP's flags.
ECHO_REQUEST, ECHO_REPLY = 1, 2

MOST_DOUBTFUL = 1 << 16  # journeys that may be ACKNOWLEDGED and are held back until the end
EXACT_LATENCIES = 1000  # a path keeps every latency up to this many
SAMPLES = 4  # record numbers kept as evidence
TIMELINE_STEPS = 200
MOST_VERIFIED = 1280  # outer UDP datagrams above this are not verified: such sizes may be super-frames
MOST_TOO_BIG = 1024  # rows
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


# The protocol of a row that stands for several flows, which gave way to others: between two innermost addresses, or
# between the outer ones of a tunnel; and the same of ICMP that is no echo.
FOLDED, FOLDED_ICMP, FOLDED_OUTER, FOLDED_OUTER_ICMP = -1, -2, -3, -4

# The VNI of such a row where even that is not told.
ANY_VNI = -2

# All flows that were folded into one: the only one without a row in `Tables.flows`.
OTHER_FLOWS = FlowKey(ANY_VNI, FOLDED, b"", -1, b"", -1)


def is_folded(flow: FlowKey) -> bool:
    """Whether it stands for several flows, that gave way to others."""
    return flow.protocol < 0


class Sample(NamedTuple):
    time: int
    input: int
    record: int


class _Row:
    """Values by name that are counted up, and compare by value. To define these as dataclasses took a quarter of
    the time of a short report."""

    __slots__: tuple[str, ...] = ()
    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.__slots__)

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__slots__)
        return f"{type(self).__name__}({values})"


class Cell(_Row):
    """The journeys of one flow along one path."""

    __slots__ = (
        "datagrams",
        "egress_packets",
        "first_time",
        "fragmented",
        "inner_bytes",
        "largest",
        "last_time",
        "outer_bytes",
        "samples",
        "smallest",
        "wire_bytes",
        "wire_packets",
    )

    def __init__(
        self,
        datagrams: int = 0,
        inner_bytes: int = 0,
        outer_bytes: int = 0,  # of whole outer packets, once for each datagram
        wire_packets: int = 0,  # records at the measured side: fragments one by one; what SEGMENTED was cut into
        wire_bytes: int = 0,  # their IP lengths, each with its own headers
        egress_packets: int = 0,  # records at the last Out stage; segments of SEGMENTED, if they left as a whole
        fragmented: int = 0,  # segments of SEGMENTED that left in fragments
        smallest: int = 0,  # inner length
        largest: int = 0,
        first_time: int = 0,
        last_time: int = 0,
        samples: list[Sample] | None = None,  # the earliest, at most SAMPLES
    ) -> None:
        self.datagrams = datagrams
        self.inner_bytes = inner_bytes
        self.outer_bytes = outer_bytes
        self.wire_packets = wire_packets
        self.wire_bytes = wire_bytes
        self.egress_packets = egress_packets
        self.fragmented = fragmented
        self.smallest = smallest
        self.largest = largest
        self.first_time = first_time
        self.last_time = last_time
        self.samples = samples if samples is not None else []


class Latencies(_Row):
    """First In to last Out of the journeys along one path, in ns."""

    __slots__ = ("buckets", "count", "exact", "largest", "smallest", "total")

    def __init__(
        self,
        count: int,
        total: int,
        smallest: int,
        largest: int,
        buckets: dict[int, int],  # see latency_bucket
        exact: list[int] | None,  # sorted; None above EXACT_LATENCIES
    ) -> None:
        self.count = count
        self.total = total
        self.smallest = smallest
        self.largest = largest
        self.buckets = buckets
        self.exact = exact


class FlowRow(_Row):
    """What is known of a flow apart from its journeys' paths."""

    __slots__ = (
        "acknowledged",
        "data_bytes",
        "first",
        "mss",
        "options",
        "outer_destination",
        "outer_source",
        "outer_source_port",
        "ranges",
        "ranges_folded",
        "segment",
        "tcp_flags",
    )

    def __init__(
        self,
        first: Sample,  # its earliest datagram, and the outer addresses of that one (empty where plain)
        outer_source: bytes,
        outer_destination: bytes,
        tcp_flags: int = 0,  # seen, or-ed; of ICMP echo ECHO_REQUEST and ECHO_REPLY
        mss: int = 0,  # smallest MSS option of its SYNs, 0 where none was seen
        options: int = 0,  # largest length of TCP options beside data
        data_bytes: int = 0,  # TCP payload, retransmissions included
        # Sequence space covered, unwrapped by what is nearest. Where a flow's numbers jump by 2^31 and more, as of
        # ports that are used again, parts of a capture may unwrap them otherwise than one pass: only their order
        # tells which of two numbers that far apart is the later one, and parts count in another order.
        ranges: list[tuple[int, int]] | None = None,
        ranges_folded: bool = False,  # more gaps than are kept: data_bytes minus ranges is a lower bound
        acknowledged: int = 0,  # the highest number that it acknowledged, where `tcp_flags` has an ACK (RFC 1982)
        outer_source_port: int = -1,  # of its tunnel: -1 where plain, and SEVERAL_PORTS
        segment: int = 0,  # of UDP: largest payload of the datagrams into which a super-frame was seen to be cut
    ) -> None:
        self.first = first
        self.outer_source = outer_source
        self.outer_destination = outer_destination
        self.tcp_flags = tcp_flags
        self.mss = mss
        self.options = options
        self.data_bytes = data_bytes
        self.ranges = ranges if ranges is not None else []
        self.ranges_folded = ranges_folded
        self.acknowledged = acknowledged
        self.outer_source_port = outer_source_port
        self.segment = segment


class DatagramRow(NamedTuple):
    """One datagram, as its journey was counted."""

    sample: Sample  # the record whose time is the journey's
    flow: FlowKey
    path: PathKey
    inner_length: int
    flags: int  # as in `FlowRow.tcp_flags`
    icmp: int  # type << 8 | code; -1 of what is no ICMP, or was cut before it
    source_port: int  # of its tunnel; -1 where plain
    latency: int  # ns from the ingress to the egress, at least 0; -1 where not both were seen


class SightingRow(NamedTuple):
    """That a record is a further sighting of a datagram: of its journey, of a piece of it, or once more at a stage.

    Tail fragments are none: they follow their first fragment, which is. `first_record` is the datagram's own, or of
    one that came round in a loop, where it was seen there first.
    """

    input: int
    record: int
    first_input: int
    first_record: int


class TunnelRow(_Row):
    __slots__ = ("datagrams", "first", "outer_bytes", "source_ports")

    def __init__(
        self, first: Sample, datagrams: int = 0, outer_bytes: int = 0, source_ports: set[int] | None = None
    ) -> None:
        self.first = first  # the earliest record that was measured
        self.datagrams = datagrams
        self.outer_bytes = outer_bytes
        self.source_ports = source_ports if source_ports is not None else set()


class FirstFragments(NamedTuple):
    """First fragments of one length at one stage. Whoever cut them may have filled them: payloads of fragments but
    the last are multiples of 8, so the MTU is the length or up to 7 bytes more."""

    interface: InterfaceKey
    direction: int
    wear: int
    length: int  # of the IP packet


class TooBig(NamedTuple):
    """ICMP messages that a packet was too big (IPv4 type 3 code 4, IPv6 type 2), alike in all that they tell.

    What they quote may end anywhere: `quoted_source` is empty where not even an IP header is there, `flow` has no
    addresses where the innermost packet is not, and its VNI is -1 where that is not or where there is none.
    """

    tunnelled: bool  # the message itself
    source: bytes
    destination: bytes
    mtu: int  # 0: the sender of an old kind does not tell it
    quoted_source: bytes
    quoted_destination: bytes
    wear: int  # of the quoted packet, going by its UDP port
    flow: FlowKey


class TooBigRow(_Row):
    __slots__ = ("largest", "last_time", "records_in", "records_out", "records_unknown", "samples")

    def __init__(
        self,
        largest: int = 0,  # of the lengths in the quoted IP headers
        records_in: int = 0,  # each message once for each stage where it was seen
        records_out: int = 0,
        records_unknown: int = 0,
        last_time: int = 0,
        samples: list[Sample] | None = None,  # the earliest, at most SAMPLES
    ) -> None:
        self.largest = largest
        self.records_in = records_in
        self.records_out = records_out
        self.records_unknown = records_unknown
        self.last_time = last_time
        self.samples = samples if samples is not None else []


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
    skipped: int  # damaged blocks behind which reading went on
    first_skipped: Damage | None


# In the order in which the C engine gives them.
_COUNTERS = (
    "records",
    "tunnel_records",
    "ip_records",
    "non_ip_records",
    "unknown_link_records",
    "malformed_records",
    "clipped_records",
    "cut_records",
    "tail_fragments",
    "orphan_fragments",
    "late_fragments",
    "clock_skewed",
    "time_reversed",
    "evicted_journeys",
    "folded_flows",
    "invalid_headers",
    "group_policy_headers",
    "reserved_bits",
    "no_tunnel_records",
    "nested_records",
    "verified_checksums",
    "wrong_checksums",
    "unlisted_datagrams",
    "unweighed_journeys",
    "folded_quotes",
    "unlisted_sightings",
    "evicted_fragments",
    "folded_details",
    "folded_places",
    "folded_paths",
    "folded_ports",
)

# Of what records are kept as evidence, in the order of the C engine.
SAMPLE_KINDS = (
    "clipped",
    "cut",
    "malformed",
    "orphan",
    "reversed",
    "invalid-header",
    "reserved-bits",  # and group policies
    "no-tunnel",
    "nested",
    "wrong-checksum",
)


class Counters(_Row):
    __slots__ = _COUNTERS

    records: int
    tunnel_records: int
    ip_records: int  # IP, not in a tunnel
    non_ip_records: int
    unknown_link_records: int
    malformed_records: int
    clipped_records: int  # fewer bytes captured than there were
    cut_records: int  # clipped so short that headers are missing
    tail_fragments: int  # outermost fragments other than the first
    orphan_fragments: int  # of these, those whose first fragment was not seen
    late_fragments: int  # of these, those that came after their journey was closed
    clock_skewed: int
    time_reversed: int
    evicted_journeys: int  # that closed early, for others to have room
    folded_flows: int  # that gave way to others: see `EngineOptions`
    # Records of tunnels:
    invalid_headers: int  # VXLAN whose VNI is not valid (the I flag), Geneve of another version
    group_policy_headers: int  # VXLAN with a group policy
    reserved_bits: int  # set, where the protocol says that they are 0
    no_tunnel_records: int  # to a tunnel's port, and no tunnel packet
    nested_records: int  # a tunnel inside
    verified_checksums: int  # outer UDP checksums of small packets that came in whole
    wrong_checksums: int  # of these; those that offload left to the sender's card are not wrong
    unweighed_journeys: int  # that might have been ACKNOWLEDGED, beyond MOST_DOUBTFUL
    unlisted_datagrams: int  # beyond `EngineOptions.most_datagrams`, where datagrams are listed
    folded_quotes: int  # records of ICMP messages beyond MOST_TOO_BIG
    unlisted_sightings: int  # beyond `EngineOptions.most_sightings`, where they are listed
    evicted_fragments: int  # groups of them that ended early
    folded_details: int  # datagrams, or records, of which something is not told beyond `EngineOptions.most_rows`
    # More than 0 where they are not told apart beyond a limit:
    folded_places: int  # interfaces, or MACs
    folded_paths: int  # stages of paths
    folded_ports: int  # source ports of tunnels

    def __init__(self, *counts: int) -> None:
        for name, count in zip(_COUNTERS, counts or (0,) * len(_COUNTERS), strict=True):
            setattr(self, name, count)


class _Tables(NamedTuple):
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
    wrong_checksums: dict[tuple[bytes, bytes], int]  # outer source, destination -> `Counters.wrong_checksums`
    fragments: dict[FirstFragments, int]  # records
    too_big: dict[TooBig, TooBigRow]
    samples: dict[str, list[Sample]]  # by SAMPLE_KINDS: the earliest of each
    datagrams: Sequence[DatagramRow]  # in order of their samples; empty unless they were asked for
    sightings: Sequence[SightingRow]  # in order; likewise
    folded_mss: dict[tuple[bool, bool, int], int]  # (in a tunnel, IPv6, MSS) -> flows that told it and were folded
    most_ends: int  # pairs of addresses that answers of `queries` tell apart; identities a quarter of that


class Tables(_Tables):
    """`flows`, `cells`, `large` and the ports in `tunnels` may be millions: `queries` answers what analysis has to
    ask of them. Where an engine has answers of its own, these are made when they are first looked into."""

    @cached_property
    def queries(self) -> Queries:
        """Set by the engine that has answers of its own; no part of what makes tables equal."""
        return self.plain_queries()

    def plain_queries(self) -> Queries:
        """The answers in plain Python, whichever engine made the tables."""
        from vxtool.engine.plain_queries import PlainQueries  # here, because the other engine does not need it

        return PlainQueries(
            self.flows,
            self.cells,
            self.large,
            self.tunnels,
            self.datagrams,
            self.sightings,
            self.folded_mss,
            self.most_ends,
        )


def most_ends(most_flows: int) -> int:
    """`Tables.most_ends` of an engine that keeps so many flows: a report has an object for each."""
    return max(most_flows // 4, 1024)


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
