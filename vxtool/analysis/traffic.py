"""Who talks to whom: tunnels, identities, flows, and how much of it when."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from heapq import nlargest, nsmallest
from typing import TYPE_CHECKING, Literal

from vxtool.analysis.conversations import TCP, Conversations
from vxtool.analysis.forwarding import interface_label
from vxtool.analysis.knowledge import Knowledge, address_text
from vxtool.analysis.outcomes import Judge, Judged, Route
from vxtool.analysis.sizes import SuperFrames
from vxtool.analysis.times import rfc3339
from vxtool.cluster.identities import cluster_id_of, kind_of
from vxtool.engine.tables import (
    FIRST_ONLY,
    NON_IP,
    OPAQUE,
    TAIL_PORT,
    WEAR_NAMES,
    FlowKey,
    FlowRow,
    PathKey,
    Tables,
)

if TYPE_CHECKING:
    from vxtool.analysis.model import Flow, Identity, IdentityPair, TimeStep, Tunnel, TunnelPair

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


def describe_tunnel(tables: Tables, knowledge: Knowledge, overlay: Overlay | None) -> Tunnel:
    protocols: Counter[str] = Counter()
    ports: Counter[int] = Counter()
    pairs: dict[tuple[bytes, bytes], list[int]] = defaultdict(lambda: [0, 0])
    source_ports: dict[tuple[bytes, bytes], set[int]] = defaultdict(set)
    for (source, destination, wear, port), row in tables.tunnels.items():
        protocols[WEAR_NAMES[wear]] += row.datagrams
        ports[port] += row.datagrams
        pairs[source, destination][0] += row.datagrams
        pairs[source, destination][1] += row.outer_bytes
        source_ports[source, destination] |= row.source_ports
    rows: list[TunnelPair] = [
        {
            "source": address_text(source) or "?",
            "destination": address_text(destination) or "?",
            "source_node": knowledge.node(source),
            "destination_node": knowledge.node(destination),
            "datagrams": datagrams,
            "outer_bytes": octets,
            "source_ports": len(source_ports[source, destination]),
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
    wanted: Literal["auto", "cilium", "vxlan"], tables: Tables, conversations: Conversations, knowledge: Knowledge
) -> Overlay | None:
    """Whether a VNI is a Cilium identity: the operator's files say so, or the two directions of a conversation
    carry different VNIs. Other overlays use one VNI for a network."""
    if not tables.tunnels:
        return None
    if wanted != "auto":
        return wanted
    if knowledge.cluster.has_identities:
        return "cilium"
    for flow in tables.flows:
        if flow.vni >= 0 and conversations.reverse_vni(flow) not in (None, flow.vni):
            return "cilium"
    return "vxlan"


def describe_identities(judged: Sequence[Judged], knowledge: Knowledge, overlay: Overlay | None) -> list[Identity]:
    totals: dict[int, dict[bytes, list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0]))
    for flow, _, _, cell, _, _ in judged:
        if flow.vni >= 0:
            row = totals[flow.vni][flow.source]
            row[0] += cell.datagrams
            row[1] += cell.inner_bytes
    datagrams = {vni: sum(row[0] for row in rows.values()) for vni, rows in totals.items()}
    identities: list[Identity] = []
    for vni, rows in sorted(totals.items(), key=lambda entry: (-datagrams[entry[0]], entry[0])):
        info = knowledge.cluster.identity(vni) if overlay == "cilium" else None
        named = ((-row[0], address) for address, row in rows.items() if address)
        sources = [address for _, address in nsmallest(MOST_SOURCES, named)]
        identities.append(
            {
                "vni": vni,
                "kind": (info.kind if info else kind_of(vni)) if overlay == "cilium" else "network",
                "cluster_id": cluster_id_of(vni) if overlay == "cilium" else None,
                "name": info.name if info else None,
                "namespace": info.namespace if info else None,
                "labels": list(info.labels) if info else [],
                "sources": [text for address in sources if (text := address_text(address))],
                "datagrams": datagrams[vni],
                "inner_bytes": sum(row[1] for row in rows.values()),
            }
        )
    return identities


def pair_identities(
    tables: Tables,
    judged: Sequence[Judged],
    conversations: Conversations,
    knowledge: Knowledge,
    overlay: Overlay | None,
) -> list[IdentityPair]:
    """Source and destination identities.

    The destination's is that of the answering flow, else what the files say of its address, else the one under
    which that address sends other flows: ICMP errors and inner fragments have no answer of their own.
    """
    if overlay != "cilium":
        return []
    seen: dict[bytes, set[int]] = defaultdict(set)  # address -> the VNIs that it sends under
    for vni, source in {(flow.vni, flow.source) for flow in tables.flows if flow.vni >= 0}:
        if source:
            seen[source].add(vni)
    by_address: dict[bytes, int | None] = {}
    totals: dict[tuple[int, int | None], list[int]] = defaultdict(lambda: [0, 0])
    reverse_vni = conversations.reverse_vni
    for flow, _, _, cell, _, _ in judged:
        if flow.vni < 0:
            continue
        destination = reverse_vni(flow)
        if destination is None:
            address = flow.destination
            if address not in by_address:
                pod = knowledge.cluster.pod(address_text(address) or "")
                by_address[address] = pod.identity if pod else None
                if by_address[address] is None and len(seen.get(address, ())) == 1:
                    (by_address[address],) = seen[address]
            destination = by_address[address]
        row = totals[flow.vni, destination]
        row[0] += cell.datagrams
        row[1] += cell.inner_bytes
    rows = sorted(
        totals.items(),
        key=lambda entry: (-entry[1][0], entry[0][0], -1 if entry[0][1] is None else entry[0][1]),
    )
    return [
        {"source_vni": source, "destination_vni": destination, "datagrams": row[0], "inner_bytes": row[1]}
        for (source, destination), row in rows
    ]


class _FlowTotals:
    """One flow over all its paths."""

    def __init__(self) -> None:
        self.datagrams = 0
        self.inner_bytes = 0
        self.wire_packets = 0
        self.forwarded = 0
        self.dropped = 0
        self.first_time = 0
        self.last_time = 0
        self.paths: dict[tuple[str | None, str | None], int] = {}

    def ends(self) -> tuple[str | None, str | None]:
        """Ingress and egress: of the most used path of those that have both, else each side's most used one."""
        ordered = sorted(self.paths.items(), key=lambda entry: (-entry[1], repr(entry[0])))
        for labels, _ in ordered:
            if None not in labels:
                return labels
        ingress = next((labels[0] for labels, _ in ordered if labels[0] is not None), None)
        egress = next((labels[1] for labels, _ in ordered if labels[1] is not None), None)
        return ingress, egress

    def add(self, item: Judged, labels: tuple[str | None, str | None]) -> None:
        cell = item.cell
        self.first_time = min(self.first_time, cell.first_time) if self.datagrams else cell.first_time
        self.last_time = max(self.last_time, cell.last_time) if self.datagrams else cell.last_time
        self.datagrams += cell.datagrams
        self.inner_bytes += cell.inner_bytes
        self.wire_packets += cell.wire_packets
        if item.route.measured.form == FIRST_ONLY:
            self.wire_packets += cell.datagrams
        self.forwarded += cell.datagrams if item.outcome == "forwarded" else 0
        self.dropped += cell.datagrams if item.outcome == "dropped" else 0
        self.paths[labels] = self.paths.get(labels, 0) + cell.datagrams


def _without_ports(flow: FlowKey) -> FlowKey:
    return flow._replace(source_port=-1, destination_port=-1)


def describe_flows(
    tables: Tables,
    judged: Sequence[Judged],
    judge: Judge,
    conversations: Conversations,
    found: SuperFrames,
    knowledge: Knowledge,
    overlay: Overlay | None,
    top: int,
) -> tuple[list[Flow], int]:
    """The `top` flows by bytes, and how many there are. `judged` holds the journeys of the scope.

    There may be millions: only the bytes of each are added up, and all else is for those that are shown.
    """
    owners = _owners_of_tails(judged)
    octets: dict[FlowKey, int] = defaultdict(int)
    for flow, _, _, cell, _, _ in judged:
        octets[owners.get(flow, flow) if owners else flow] += cell.inner_bytes
    totals = {flow: _FlowTotals() for flow in _largest(octets, top)}
    labels: dict[int, tuple[str | None, str | None]] = {}  # by route: there is one object for each path
    for item in judged:
        row = totals.get(owners.get(item.flow, item.flow) if owners else item.flow)
        if row is None:
            continue
        route = item.route
        if id(route) not in labels:
            labels[id(route)] = (
                interface_label(route.ingress, tables, knowledge),
                interface_label(route.egress, tables, knowledge),
            )
        row.add(item, labels[id(route)])
    flows = [
        _describe_flow(flow, row, tables, judge, conversations, found, knowledge, overlay)
        for flow, row in totals.items()
    ]
    return flows, len(octets)


def _owners_of_tails(judged: Sequence[Judged]) -> dict[FlowKey, FlowKey]:
    """Fragments behind the first carry no ports: they count with their flow where only one can be theirs."""
    tails = {item.flow for item in judged if item.flow.source_port == TAIL_PORT}
    if not tails:
        return {}
    candidates: dict[FlowKey, set[FlowKey]] = {_without_ports(flow): set() for flow in tails}
    for item in judged:
        if item.flow.source_port >= 0 and (mine := candidates.get(_without_ports(item.flow))) is not None:
            mine.add(item.flow)
    return {flow: next(iter(mine)) for flow in tails if len(mine := candidates[_without_ports(flow)]) == 1}


def _largest(octets: dict[FlowKey, int], top: int) -> list[FlowKey]:
    """The flows with the most bytes, in order; of equal ones those whose key comes first."""
    if len(octets) > top:
        # Numbers first, which are compared faster than keys: most flows are below the least that is shown.
        least = nlargest(top, octets.values())[-1]
        equal = [flow for flow, number in octets.items() if number == least]
        octets = {flow: number for flow, number in octets.items() if number > least}
        octets |= dict.fromkeys(nsmallest(top - len(octets), equal), least)
    return sorted(octets, key=lambda flow: (-octets[flow], flow))


def _describe_flow(
    flow: FlowKey,
    totals: _FlowTotals,
    tables: Tables,
    judge: Judge,
    conversations: Conversations,
    found: SuperFrames,
    knowledge: Knowledge,
    overlay: Overlay | None,
) -> Flow:
    row = tables.flows.get(flow)
    outer_source, outer_destination = (row.outer_source, row.outer_destination) if row else (b"", b"")
    ingress, egress = totals.ends()
    vni = flow.vni if overlay == "cilium" and flow.vni >= 0 else None
    reverse = conversations.reverse(flow)
    is_echo = flow.source_port >= 0 and flow.destination_port < 0
    return {
        "vni": flow.vni if flow.vni >= 0 else None,
        "source": address_text(flow.source),
        "source_port": flow.source_port if flow.source_port >= 0 and not is_echo else None,
        "destination": address_text(flow.destination),
        "destination_port": flow.destination_port if flow.destination_port >= 0 else None,
        "protocol": protocol_name(flow.protocol),
        "icmp_id": flow.source_port if is_echo else None,
        "source_name": knowledge.endpoint_name(flow.source, vni),
        "destination_name": knowledge.endpoint_name(flow.destination, reverse.vni if reverse and vni else None),
        "source_vtep": address_text(outer_source),
        "destination_vtep": address_text(outer_destination),
        "source_node": knowledge.node(outer_source),
        "destination_node": knowledge.node(outer_destination),
        "ingress": ingress,
        "egress": egress,
        "datagrams": totals.datagrams,
        "inner_bytes": totals.inner_bytes,
        "wire_packets": totals.wire_packets + found.extra_packets.get(flow, 0),
        "forwarded": totals.forwarded,
        "dropped": totals.dropped,
        "retransmitted_bytes": None if row is None or flow in judge.resegmented else _retransmitted(flow, row),
        "first_time": rfc3339(totals.first_time),
        "last_time": rfc3339(totals.last_time),
        "answered": reverse is not None if flow.source_port >= 0 else None,
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
    lost = _Losses(judge, judged)
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
        {"time": rfc3339(number * step), "datagrams": row[0], "outer_bytes": row[1], "dropped": row[2]}
        for number in range(min(steps), max(steps) + 1)
        for row in (steps.get(number, [0, 0, 0]),)
    ]


class _Losses:
    """How many of the datagrams of one step were dropped, by path and destination."""

    def __init__(self, judge: Judge, judged: Sequence[Judged]) -> None:
        self._judge = judge
        self._counts: dict[tuple[PathKey, bytes], list[int]] = defaultdict(lambda: [0, 0, 0])
        paths: dict[int, PathKey] = {}  # by identity first: a path's hash goes deep
        counts: dict[tuple[int, bytes], list[int]] = defaultdict(lambda: [0, 0])
        for flow, path, route, cell, outcome, _ in judged:
            # The engine notes the destination only where one side alone was seen: else the path says it all.
            both = route.ingress is not None and route.egress is not None
            row = counts[id(path), b"" if both else judge.ends(flow)[1]]
            row[0] += cell.datagrams
            if outcome == "dropped":
                row[1] += cell.datagrams
            paths[id(path)] = path
        for (number, destination), (datagrams, dropped) in counts.items():
            total = self._counts[paths[number], destination]
            total[0] += datagrams
            total[1] += dropped

    def take(self, path: PathKey, route: Route, destination: bytes, datagrams: int) -> int:
        """Called once for each step, in order; the third count is how many were taken so far."""
        row = self._counts.get((path, destination))
        if row is None:
            # A flow that changed its tunnel's end: counted under the first one.
            return datagrams if self._judge.judge(route, b"", destination)[0] == "dropped" else 0
        total, dropped, before = row
        row[2] = before + datagrams
        return row[2] * dropped // total - before * dropped // total
