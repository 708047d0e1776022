"""The report's shape, as types: what analysis fills in and every renderer reads.

The report is a plain tree of dicts and lists, so that JSON is the report itself and not a translation of it.
Times are RFC 3339 strings with nanoseconds in UTC, `_ns` are integer nanoseconds, sizes are bytes; what is not
known is None, never 0. `report/schema.json` states the same as a JSON Schema.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypedDict

Severity = Literal["error", "warning", "info"]


class Tool(TypedDict):
    version: str
    engine: Literal["native", "pure"]


class Input(TypedDict):
    path: str
    format: str | None  # "pcap", "pcap-ns", "pcapng"
    compression: str | None  # "gzip", "zstd", "xz"
    link_types: list[str]
    records: int
    bytes: int  # bytes of capture data read, after decompression
    snaplen: int | None
    truncated: bool
    error: str | None
    skipped_blocks: int
    first_skipped: str | None


class Interface(TypedDict):
    index: int | None
    name: str | None
    mtu: int | None
    records_in: int
    records_out: int
    records_unknown: int
    records_inferred: int  # of those in and out: their direction is told by MACs or TTLs, not by link headers


class Folded(TypedDict):
    flows: int  # that gave way to others, each time that one did
    datagrams: int  # of these, and
    inner_bytes: int
    tunnel_datagrams: int  # without their tunnel's addresses
    identity_datagrams: int  # without their VNI, in `identities` and `identity_pairs`
    details: int  # datagrams, or records, of which a size, a destination in time or the like is not told
    interfaces: bool  # some, or MACs, are not told apart
    paths: bool  # some have no interfaces
    source_ports: bool  # of some tunnels are more than are counted
    evicted_journeys: int  # datagrams that were judged early
    evicted_fragments: int  # fragmented ones, whose further fragments were not waited for


class Capture(TypedDict):
    records: int
    tunnel_records: int
    other_records: int
    malformed_records: int
    clipped_records: int
    clock_skewed: int
    orphan_fragments: int
    first_time: str | None
    last_time: str | None
    duration_ns: int | None
    vantage: Literal["router", "node", "link"] | None
    interfaces: list[Interface]
    folded: Folded  # what more memory would have told apart


class TunnelPair(TypedDict):
    source: str
    destination: str
    source_node: str | None
    destination_node: str | None
    datagrams: int
    outer_bytes: int
    source_ports: int


class Tunnel(TypedDict):
    datagrams: int
    overlay: Literal["cilium", "vxlan"] | None
    protocols: dict[str, int]  # {"vxlan": n, "geneve": n}
    ports: dict[str, int]  # outer destination port -> datagrams
    tunnels: list[TunnelPair]


class Latency(TypedDict):
    min: int
    p50: int
    p90: int
    p99: int
    max: int
    mean: int


class Path(TypedDict):
    ingress: str | None
    ingress_index: int | None
    egress: str | None
    egress_index: int | None
    via: list[str]
    datagrams: int
    latency_ns: Latency | None


class Drop(TypedDict):
    ingress: str | None
    source: str
    destination: str
    datagrams: int
    smallest: int
    largest: int
    first_time: str
    last_time: str


class Counts(TypedDict):
    """Outcomes of the datagrams of one scope; `datagrams` is the sum of the six."""

    scope: Literal["tunnel", "ip"]
    datagrams: int
    forwarded: int
    delivered: int
    dropped: int
    dropped_at_most: bool  # the capture itself lost packets: some of the dropped may have left unseen
    originated: int
    missed: int
    unresolved: int
    wire_packets_lost: int
    fragmented_at_source: int
    fragmented_by_router: int
    resegmented: int
    translated: int
    paths: list[Path]
    drops: list[Drop]
    unresolved_because: dict[str, int]  # reason -> datagrams


class Forwarding(Counts):
    other: Counts | None


class Identity(TypedDict):
    vni: int
    kind: str  # "endpoint", "reserved", "well-known", "cluster-local", "clustermesh", "network", "unknown"
    cluster_id: int | None
    name: str | None
    namespace: str | None
    labels: list[str]
    sources: list[str]  # inner source addresses seen, at most 16
    pods: list[str]  # at these addresses
    datagrams: int
    inner_bytes: int


class IdentityPair(TypedDict):
    source_vni: int
    destination_vni: int | None
    datagrams: int
    inner_bytes: int


class Flow(TypedDict):
    vni: int | None
    source: str | None
    source_port: int | None
    destination: str | None
    destination_port: int | None
    protocol: str
    icmp_id: int | None  # of ICMP echo
    source_name: str | None
    destination_name: str | None
    source_vtep: str | None
    destination_vtep: str | None
    source_node: str | None
    destination_node: str | None
    ingress: str | None
    egress: str | None
    datagrams: int
    inner_bytes: int
    wire_packets: int
    overhead_bytes: int  # of the tunnel's headers, in each packet that crossed the wire; 0 outside of tunnels
    percent_of_wire_bytes: float | None  # those of all bytes of IP
    forwarded: int
    dropped: int
    retransmitted_bytes: int | None
    first_time: str
    last_time: str
    answered: bool | None


class FlowEnd(TypedDict):
    """Who is at one end of a flow, as far as headers and files tell."""

    address: str | None
    port: int | None
    pod: str | None
    namespace: str | None
    node: str | None  # where the address is a node's own
    service: str | None  # where it is a service's: namespace/name
    backend_of: list[str]  # the services that send to it
    identity: int | None
    identity_name: str | None
    labels: list[str]


class FlowTunnel(TypedDict):
    protocol: Literal["vxlan", "geneve"]
    vni: int
    source: str | None  # outer addresses, of the flow's first datagram
    destination: str | None
    source_node: str | None
    destination_node: str | None
    port: int | None  # UDP destination port, where it is one
    source_port: int | None  # UDP source port; of a flow where it had one only


class FlowInterface(TypedDict):
    index: int | None
    name: str | None


class FlowEthernet(TypedDict):
    source: str
    destination: str


class FlowRecord(TypedDict):
    """Where a packet stands: the record, of an input by its path, that it was first seen in."""

    input: str
    record: int


class IcmpKind(TypedDict):
    type: int
    code: int


class ListedFlow(TypedDict):
    """The datagrams of one flow that had one verdict; or one of them, where they are listed one by one."""

    verdict: Literal["FORWARDED", "DROPPED", "TRACED"]
    observation: Literal["to-network", "from-network", "to-host", "to-endpoint"]  # where Hubble would have seen it
    outcomes: dict[str, int]  # as in `Counts`: datagrams
    is_reply: bool | None
    protocol: str
    icmp_id: int | None  # of ICMP echo
    icmp_echo: Literal["request", "reply"] | None
    icmp: IcmpKind | None  # of a packet
    tcp_flags: list[str]  # of a packet; else seen in the whole flow
    source: FlowEnd
    destination: FlowEnd
    ingress: str | None
    egress: str | None
    interface: FlowInterface | None  # that of `observation`
    ethernet: FlowEthernet | None  # the MACs there, of what was in no tunnel and has one pair of them
    tunnel: FlowTunnel | None
    record: FlowRecord | None  # of a packet
    datagrams: int
    inner_bytes: int
    first_time: str
    last_time: str


class FlowPackets(TypedDict):
    """How many packets there are, where they are listed one by one."""

    shown: int
    matching: int
    unlisted: int  # of all flows: beyond as many as are kept. `matching` counts those of the flows that match


class FlowList(TypedDict):
    schema: str  # "vxtool.flows/1"
    tool: Tool
    inputs: list[Input]
    scope: Literal["tunnel", "ip"]
    overlay: Literal["cilium", "vxlan"] | None
    node: str | None  # the name of the node that captured, where files tell its addresses
    flows: Sequence[ListedFlow]
    packets: FlowPackets | None  # None: `flows` has flows
    flows_shown: int  # a flow with two verdicts is listed twice, and counts once
    flows_matching: int
    flows_total: int  # in the scope
    folded: Folded  # of both scopes


class Overhead(TypedDict):
    datagrams: int
    wire_packets: int
    wire_packets_estimated: bool
    inner_bytes: int
    outer_bytes: int
    overhead_bytes: int
    wire_overhead_bytes: int
    bytes_per_packet: dict[str, int]
    percent_of_outer: float | None


class Mss(TypedDict):
    value: int
    segments: int


class SizeBin(TypedDict):
    up_to: int
    datagrams: int


class Efficiency(TypedDict):
    """What part of all that crosses the wire is the tunnel's: of its datagrams alone."""

    wire_bytes: int  # of IP, each packet with all of its headers
    percent_of_wire_bytes: float | None  # `wire_overhead_bytes` of those
    fragments: int  # packets that there would not be if nothing were fragmented
    percent_of_wire_packets: float | None  # those of `wire_packets`
    ethernet_bytes: int  # `wire_bytes` and 38 a packet: preamble, header, check sequence and gap
    ethernet_overhead_bytes: int  # `wire_overhead_bytes` and what frames those fragments
    percent_of_ethernet_bytes: float | None


class MtuEvidence(TypedDict):
    """One thing that says how large the MTU is at least, or at most."""

    source: Literal["links", "too-big", "fragments", "largest-packet", "mss"]
    of: Literal["underlay", "pods"]  # what the path carries; or what the pods believe, as an inner size
    at_least: int | None
    at_most: int | None
    text: str


class Mtu(TypedDict):
    underlay: int | None
    underlay_at_least: int | None  # where the tightest evidence gives a range of values: see `evidence`
    underlay_at_most: int | None
    overlay: int | None
    underlay_evidence: str | None
    overlay_evidence: str | None
    largest_inner: int | None
    at_overlay: int | None
    over_overlay: int | None
    super_frames: int
    packet_too_big: int
    mss: list[Mss]
    inner_sizes: list[SizeBin]
    evidence: list[MtuEvidence]


class WhatIf(TypedDict):
    """The same data with another MTU, or without the tunnel: see `vxtool.analysis.what_if`."""

    tunnel: bool  # False: routed as it is
    underlay: int  # the MTU of the links
    inner: int  # what that leaves for a packet inside
    packets: int  # that would have been needed
    bytes: int  # of IP, with all headers of each packet
    percent_of_packets: float  # of those that crossed the wire
    percent_of_bytes: float


class TimeStep(TypedDict):
    time: str
    datagrams: int
    outer_bytes: int
    dropped: int
    datagrams_per_second: float  # over the whole step, and
    bits_per_second: float  # of whole IP packets


class Evidence(TypedDict):
    input: str | None
    record: int | None
    time: str | None
    text: str


class KnownFile(TypedDict):
    path: str
    kind: str  # what it holds, as "ciliumendpoints + pods"
    items: int
    skipped: int
    taken: str | None  # when it was taken, where it tells
    taken_unsure: bool  # in a time zone that nothing tells, and taken for UTC here
    newest: str | None  # when the newest of its items was created: it was taken later
    problem: str | None  # what of it could not be used
    assumed_namespace: str | None  # of names in it of which nothing tells the namespace
    names: int  # of `Known.names`


class KnownName(TypedDict):
    subject: str  # an address, or a VNI
    name: str
    path: str


class Known(TypedDict):
    """What the operator's files told: where the names in identities, tunnels and flows come from."""

    sources: list[KnownFile]
    conflicts: list[str]
    names: list[KnownName]


class Finding(TypedDict):
    id: str  # "family.what"
    severity: Severity
    title: str
    count: int
    evidence: list[Evidence]
    remedy: str
    unknown: str | None  # what the tool cannot know here


class IgnoredFinding(TypedDict):
    """One that was found, and that the operator did not want to see."""

    id: str
    severity: Severity
    count: int


class Expectation(TypedDict):
    """What a file of the operator expects of the capture, and whether it is so."""

    key: str  # as in the file: "max_dropped"
    path: str  # the file
    line: int | None  # where it stands there; None where it holds without being set
    expected: str
    status: Literal["met", "failed", "unjudged"]  # unjudged: the capture cannot tell, which is not met either
    found: str
    evidence: list[Evidence]  # of what is not met


class Report(TypedDict):
    schema: str  # "vxtool.report/1"
    interim: bool
    tool: Tool
    inputs: list[Input]
    capture: Capture
    tunnel: Tunnel
    forwarding: Forwarding
    identities: list[Identity]
    identity_pairs: list[IdentityPair]
    flows: list[Flow]
    flows_total: int
    overhead: Overhead
    efficiency: Efficiency
    mtu: Mtu
    what_if: list[WhatIf]
    timeline: list[TimeStep]
    knowledge: Known
    findings: list[Finding]
    findings_ignored: list[IgnoredFinding]
    expectations: list[Expectation]


class DiffSide(TypedDict):
    """One of the two captures that are compared."""

    paths: list[str]
    scope: Literal["tunnel", "ip"]
    overlay: Literal["cilium", "vxlan"] | None
    records: int
    datagrams: int
    first_time: str | None
    duration_ns: int | None


class Change(TypedDict):
    """One figure in both captures."""

    section: str
    what: str
    unit: Literal["datagrams", "packets", "bytes", "ns", "percent", "times"]
    before: int | float | str | None  # None: not there, or not known
    after: int | float | str | None
    kind: Literal["same", "changed", "new", "gone"]


class Difference(TypedDict):
    schema: str  # "vxtool.diff/1"
    tool: Tool
    before: DiffSide
    after: DiffSide
    changes: list[Change]
