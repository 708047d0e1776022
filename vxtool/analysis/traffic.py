"""Who talks to whom: tunnels, identities, flows, and how much of it when."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from heapq import nsmallest
from typing import TYPE_CHECKING, Literal

from vxtool.analysis.efficiency import percent_of
from vxtool.analysis.forwarding import interface_label
from vxtool.analysis.knowledge import Knowledge, address_text
from vxtool.analysis.outcomes import Judge, Judged, Route
from vxtool.analysis.sizes import SuperFrames, fragment_header, headers_inside, tunnel_bytes
from vxtool.analysis.times import rfc3339
from vxtool.cluster.identities import cluster_id_of, kind_of
from vxtool.engine.tables import (
    ANY_VNI,
    FIRST_ONLY,
    NON_IP,
    OPAQUE,
    SEGMENTED,
    TCP,
    WEAR_NAMES,
    FlowKey,
    FlowRow,
    PathKey,
    Tables,
)

if TYPE_CHECKING:
    from vxtool.analysis.model import Flow, Identity, IdentityPair, TimeStep, Tunnel, TunnelPair
    from vxtool.engine.answers import Sent, Share, TopFlow

Overlay = Literal["cilium", "vxlan"]

MOST_SOURCES = 16  # addresses listed for an identity

_PROTOCOLS = {1: "icmp", 2: "igmp", 6: "tcp", 17: "udp", 47: "gre", 50: "esp", 51: "ah", 58: "icmpv6",
              89: "ospf", 112: "vrrp", 132: "sctp", 136: "udplite"}  # fmt: skip
_ETHERTYPES = {0x0806: "arp", 0x8847: "mpls", 0x88CC: "lldp", 0x8863: "pppoe", 0x8864: "pppoe"}


def protocol_name(protocol: int) -> str:
    if protocol < 0:
        return "other"
    if protocol >= OPAQUE:
        return "unreadable"
    if protocol >= NON_IP:
        return _ETHERTYPES.get(protocol - NON_IP, f"ethertype-{protocol - NON_IP:04x}")
    return _PROTOCOLS.get(protocol, f"ip-{protocol}")


def named_protocols() -> list[str]:
    """The names that `protocol_name` gives, but for those with a number in them."""
    return [*_PROTOCOLS.values(), *dict.fromkeys(_ETHERTYPES.values()), "unreadable", "other"]


def describe_tunnel(tables: Tables, knowledge: Knowledge, overlay: Overlay | None) -> Tunnel:
    protocols: Counter[str] = Counter()
    ports: Counter[int] = Counter()
    pairs: dict[tuple[bytes, bytes], list[int]] = defaultdict(lambda: [0, 0])
    for (source, destination, wear, port), (datagrams, octets, _) in tables.queries.tunnels.items():
        protocols[WEAR_NAMES[wear]] += datagrams
        ports[port] += datagrams
        pairs[source, destination][0] += datagrams
        pairs[source, destination][1] += octets
    source_ports = tables.queries.source_ports
    rows: list[TunnelPair] = [
        {
            "source": address_text(source) or "?",
            "destination": address_text(destination) or "?",
            "source_node": knowledge.node(source),
            "destination_node": knowledge.node(destination),
            "datagrams": datagrams,
            "outer_bytes": octets,
            "source_ports": source_ports[source, destination],
        }
        for (source, destination), (datagrams, octets) in pairs.items()
    ]
    rows.sort(key=lambda row: (-row["datagrams"], row["source"], row["destination"]))
    return {
        "datagrams": protocols.total(),
        "overlay": overlay,
        "protocols": {name: protocols[name] for name in WEAR_NAMES[1:]},
        "ports": {str(port): count for port, count in sorted(ports.items())},
        "tunnels": rows,
    }


def tell_overlay(
    wanted: Literal["auto", "cilium", "vxlan"], tables: Tables, knowledge: Knowledge
) -> Overlay | None:
    """Whether a VNI is a Cilium identity: the operator's files say so, or the two directions of a conversation
    carry different VNIs. Other overlays use one VNI for a network."""
    if not tables.queries.tunnels:
        return None
    if wanted != "auto":
        return wanted
    if knowledge.cluster.is_cilium:
        return "cilium"
    queries = tables.queries
    # Who asks for pairs asks for sources too: those first, while the other directions may still be looked for.
    two = bool(queries.sources) and any(reverse not in (None, vni) for vni, reverse, _ in queries.pairs)
    if not two and queries.folded[0]:
        two = _are_identities(tables)
    return "cilium" if two else "vxlan"


def _are_identities(tables: Tables) -> bool:
    """The same by addresses, where the two directions were folded: whether most of what goes to one that sends goes
    there under another VNI than it sends under. In one network both are the same."""
    senders = tables.queries.sources
    addresses = {address for _, address in senders if address}
    same = other = 0
    for (vni, reverse, address), (datagrams, _) in tables.queries.pairs.items():
        if reverse is None and address in addresses:
            if (vni, address) in senders:
                same += datagrams
            else:
                other += datagrams
    return other > same


def describe_identities(tables: Tables, knowledge: Knowledge, overlay: Overlay | None) -> list[Identity]:
    totals: dict[int, dict[bytes, Sent]] = defaultdict(dict)
    for (vni, source), row in tables.queries.sources.items():
        if vni != ANY_VNI:
            totals[vni][source] = row
    datagrams = {vni: sum(row[0] for row in rows.values()) for vni, rows in totals.items()}
    identities: list[Identity] = []
    shift = knowledge.cluster.cluster_id_shift
    for vni, rows in sorted(totals.items(), key=lambda entry: (-datagrams[entry[0]], entry[0])):
        info = knowledge.cluster.identity(vni) if overlay == "cilium" else None
        named = ((-row[0], address) for address, row in rows.items() if address)
        sources = [address for _, address in nsmallest(MOST_SOURCES, named)]
        identities.append(
            {
                "vni": vni,
                "kind": (info.kind if info else kind_of(vni, cluster_id_shift=shift))
                if overlay == "cilium"
                else "network",
                "cluster_id": cluster_id_of(vni, cluster_id_shift=shift) if overlay == "cilium" else None,
                "name": info.name if info else None,
                "namespace": info.namespace if info else None,
                "labels": list(info.labels) if info else [],
                "sources": [text for address in sources if (text := address_text(address))],
                "pods": list(dict.fromkeys(str(pod) for address in sources if (pod := knowledge.pod(address)))),
                "datagrams": datagrams[vni],
                "inner_bytes": sum(row[1] for row in rows.values()),
            }
        )
    return identities


def pair_identities(tables: Tables, knowledge: Knowledge, overlay: Overlay | None) -> list[IdentityPair]:
    """Source and destination identities.

    The destination's is that of the answering flow, else what the files say of its address, else the one under
    which that address sends other flows: ICMP errors and inner fragments have no answer of their own.
    """
    if overlay != "cilium":
        return []
    queries = tables.queries
    identity_at = identities_by_address(tables, knowledge)
    totals: dict[tuple[int, int | None], list[int]] = defaultdict(lambda: [0, 0])
    for (vni, reverse, address), (datagrams, octets) in queries.pairs.items():
        if vni == ANY_VNI:
            continue
        row = totals[vni, reverse if reverse is not None else identity_at(address)]
        row[0] += datagrams
        row[1] += octets
    rows = sorted(
        (-datagrams, vni, -1 if destination is None else destination, octets)
        for (vni, destination), (datagrams, octets) in totals.items()
    )
    return [
        {
            "source_vni": vni,
            "destination_vni": destination if destination >= 0 else None,
            "datagrams": -less,
            "inner_bytes": octets,
        }
        for less, vni, destination, octets in rows
    ]


def identities_by_address(tables: Tables, knowledge: Knowledge) -> Callable[[bytes], int | None]:
    """What tells the identity at an address: the files, else the one VNI under which it sends. For Cilium alone."""
    seen: dict[bytes, int | None] = {}  # address -> the VNI that it sends under; None: several
    for vni, source in tables.queries.sources:
        if source:
            seen[source] = None if source in seen else vni

    def identity_at(address: bytes) -> int | None:
        text = address_text(address) or ""
        known = knowledge.cluster.identity_of(text)
        # A node answers as itself, or as host, remote-node or kube-apiserver, by who asks.
        if known is not None and not knowledge.cluster.is_node_address(text):
            return known
        return seen.get(address)

    return identity_at


class FlowTotals:
    """One flow over all its paths."""

    def __init__(self, shares: Sequence[Share], judged: Sequence[Judged], labels: Labels) -> None:
        self.datagrams = sum(share.datagrams for share in shares)
        self.inner_bytes = sum(share.inner_bytes for share in shares)
        self.wire_packets = sum(share.wire_packets for share in shares)
        self.first_time = min(share.first_time for share in shares)
        self.last_time = max(share.last_time for share in shares)
        # Where a tail was lost, the headers tell how long the whole was.
        self.wire_bytes = sum(max(share.outer_bytes, share.wire_bytes) for share in shares)
        self.headers = (sum(share.outer_bytes for share in shares) - self.inner_bytes) // max(1, self.datagrams)
        self.overhead = self.wire_bytes - self.inner_bytes
        self.forwarded = self.dropped = 0
        self._paths: dict[tuple[str | None, str | None], int] = {}
        for share in shares:
            item = judged[share.bundle]
            if item.route.measured.form == FIRST_ONLY:
                self.wire_packets += share.datagrams
                self.wire_bytes += share.datagrams * fragment_header(item.bundle.source)
                self.overhead += share.datagrams * fragment_header(item.bundle.source)
            elif item.route.flags & SEGMENTED:
                # Each segment has headers of the pods' own too: those are no overhead.
                self.overhead -= max(share.outer_bytes, share.wire_bytes) - share.inner_bytes
                self.overhead += tunnel_bytes(share) * share.wire_packets
            if item.outcome == "forwarded":
                self.forwarded += share.datagrams
            elif item.outcome == "dropped":
                self.dropped += share.datagrams
            sides = labels.of(item.route)
            self._paths[sides] = self._paths.get(sides, 0) + share.datagrams

    def ends(self) -> tuple[str | None, str | None]:
        """Ingress and egress: of the most used path of those that have both, else each side's most used one."""
        ordered = sorted(self._paths.items(), key=lambda entry: (-entry[1], repr(entry[0])))
        for labels, _ in ordered:
            if None not in labels:
                return labels
        ingress = next((labels[0] for labels, _ in ordered if labels[0] is not None), None)
        egress = next((labels[1] for labels, _ in ordered if labels[1] is not None), None)
        return ingress, egress


class Labels:
    """What a route's two sides are called."""

    def __init__(self, tables: Tables, knowledge: Knowledge) -> None:
        self._tables = tables
        self._knowledge = knowledge
        self._labels: dict[int, tuple[str | None, str | None]] = {}  # by identity: a route's hash goes deep

    def of(self, route: Route) -> tuple[str | None, str | None]:
        labels = self._labels.get(id(route))
        if labels is None:
            labels = self._labels[id(route)] = (
                interface_label(route.ingress, self._tables, self._knowledge),
                interface_label(route.egress, self._tables, self._knowledge),
            )
        return labels


def describe_flows(
    tables: Tables,
    judged: Sequence[Judged],
    judge: Judge,
    tunnelled: bool,
    found: SuperFrames,
    knowledge: Knowledge,
    overlay: Overlay | None,
    top: int,
) -> tuple[list[Flow], int]:
    """The `top` flows of the scope by bytes, and how many there are. `judged` holds the journeys of all scopes,
    `found` the super-frames of this one."""
    wanted = [item.number for item in judged if item.route.tunnelled == tunnelled]
    rows, total = judge.bundles.top(wanted, top)
    labels = Labels(tables, knowledge)
    extra = found.extra_packets_of([row.flow for row in rows])
    flows = [
        _describe_flow(
            row, FlowTotals(row.shares, judged, labels), judge, extra.get(row.flow, 0), knowledge, overlay
        )
        for row in rows
    ]
    return flows, total


def _describe_flow(
    top: TopFlow,
    totals: FlowTotals,
    judge: Judge,
    extra_packets: int,
    knowledge: Knowledge,
    overlay: Overlay | None,
) -> Flow:
    flow, row, reverse_vni = top.flow, top.row, top.reverse_vni
    outer_source, outer_destination = (row.outer_source, row.outer_destination) if row else (b"", b"")
    ingress, egress = totals.ends()
    vni = flow.vni if overlay == "cilium" and flow.vni >= 0 else None
    is_echo = flow.source_port >= 0 and flow.destination_port < 0
    # Of what stands for several packets, each has all of the headers.
    inside = headers_inside(flow, row.options if row is not None else 0)
    wire_bytes = totals.wire_bytes + extra_packets * (inside + totals.headers)
    overhead = totals.overhead + extra_packets * totals.headers if flow.vni >= 0 else 0
    return {
        "vni": flow.vni if flow.vni >= 0 else None,
        "source": address_text(flow.source),
        "source_port": flow.source_port if flow.source_port >= 0 and not is_echo else None,
        "destination": address_text(flow.destination),
        "destination_port": flow.destination_port if flow.destination_port >= 0 else None,
        "protocol": protocol_name(flow.protocol),
        "icmp_id": flow.source_port if is_echo else None,
        "source_name": knowledge.endpoint_name(flow.source, vni, None if is_echo else flow.source_port),
        "destination_name": knowledge.endpoint_name(
            flow.destination, reverse_vni if vni else None, flow.destination_port
        ),
        "source_vtep": address_text(outer_source),
        "destination_vtep": address_text(outer_destination),
        "source_node": knowledge.node(outer_source),
        "destination_node": knowledge.node(outer_destination),
        "ingress": ingress,
        "egress": egress,
        "datagrams": totals.datagrams,
        "inner_bytes": totals.inner_bytes,
        "wire_packets": totals.wire_packets + extra_packets,
        "overhead_bytes": overhead,
        "percent_of_wire_bytes": percent_of(overhead, wire_bytes),
        "forwarded": totals.forwarded,
        "dropped": totals.dropped,
        "retransmitted_bytes": None if row is None or flow in judge.resegmented else _retransmitted(flow, row),
        "first_time": rfc3339(totals.first_time),
        "last_time": rfc3339(totals.last_time),
        "answered": reverse_vni is not None if flow.source_port >= 0 else None,
    }


def _retransmitted(flow: FlowKey, row: FlowRow) -> int | None:
    """TCP data that was sent more than once: what was seen less the sequence space that it covers.

    A lower bound where the flow had more gaps than the engine keeps apart: it then counts some as covered.
    """
    if flow.protocol != TCP:
        return None
    return max(0, row.data_bytes - sum(high - low for low, high in row.ranges))


def describe_timeline(tables: Tables, judge: Judge, judged: Sequence[Judged], tunnelled: bool) -> list[TimeStep]:
    """Equal steps from the first datagram of the scope to its last; `judged` holds the journeys of the scope.

    The engine counts steps by path and destination, verdicts may differ by flow: where only some datagrams of a
    path to a destination were dropped, they are spread evenly over its steps.
    """
    step = tables.timeline_step
    steps: dict[int, list[int]] = defaultdict(lambda: [0, 0, 0])
    lost = _Losses(tables, judge, judged)
    for (number, path, destination), (datagrams, octets) in sorted(
        tables.timeline.items(), key=lambda entry: entry[0][0]
    ):
        route = judge.route(path)
        if route.tunnelled != tunnelled:
            continue
        row = steps[number]
        row[0] += datagrams
        row[1] += octets
        row[2] += lost.take(path, route, destination, datagrams)
    if not steps:
        return []
    return [
        {
            "time": rfc3339(number * step),
            "datagrams": row[0],
            "outer_bytes": row[1],
            "dropped": row[2],
            "datagrams_per_second": round(row[0] * 1e9 / step, 3),
            "bits_per_second": round(row[1] * 8e9 / step, 3),
        }
        for number in range(min(steps), max(steps) + 1)
        for row in (steps.get(number, [0, 0, 0]),)
    ]


class _Losses:
    """How many of the datagrams of one step were dropped, by path and destination."""

    def __init__(self, tables: Tables, judge: Judge, judged: Sequence[Judged]) -> None:
        self._judge = judge
        self._counts: dict[tuple[PathKey, bytes], list[int]] = defaultdict(lambda: [0, 0, 0])
        noted: set[tuple[PathKey, bytes]] | None = None
        if tables.counters.folded_details:
            noted = {(path, destination) for _, path, destination in tables.timeline}
        for item in judged:
            # The engine notes the destination only where one side alone was seen: else the path says it all.
            both = item.route.ingress is not None and item.route.egress is not None
            destination = b"" if both else item.bundle.destination
            if noted is not None and (item.bundle.path, destination) not in noted:
                destination = b""  # there were too many to note
            row = self._counts[item.bundle.path, destination]
            row[0] += item.bundle.datagrams
            if item.outcome == "dropped":
                row[1] += item.bundle.datagrams

    def take(self, path: PathKey, route: Route, destination: bytes, datagrams: int) -> int:
        """Called once for each step, in order; the third count is how many were taken so far."""
        row = self._counts.get((path, destination))
        if row is None:
            # A flow that changed its tunnel's end: counted under the first one.
            return datagrams if self._judge.judge(route, b"", destination)[0] == "dropped" else 0
        total, dropped, before = row
        row[2] = before + datagrams
        return row[2] * dropped // total - before * dropped // total
