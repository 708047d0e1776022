"""Findings on the tunnels themselves: their headers, ports and checksums."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING

from vxtool.analysis.findings.evidence import MOST_EVIDENCE, Case, nested_fit, number
from vxtool.analysis.findings.explanation import Explanation
from vxtool.analysis.knowledge import address_text
from vxtool.engine.answers import Wanted
from vxtool.engine.tables import MOST_VERIFIED, VXLAN

if TYPE_CHECKING:
    from vxtool.analysis.model import Finding
    from vxtool.engine.tables import Sample

# Fewer flows may share a port by chance, and a small number of ports is no loss where there are few flows. Linux
# and Cilium take the port from 28,000 by a hash of the flow: of 64 flows, chance leaves 60 ports and more.
_ENOUGH_FLOWS = 64
_FLOWS_A_PORT = 8
_FEW_PORTS = 16  # equal-cost paths are seldom more

# Above this share of wrong checksums it is the sender, and not a bit that fell over on a wire.
_MANY_WRONG = 0.01

EXPLANATIONS: dict[str, Explanation] = {
    "tunnel.invalid-flags": Explanation(
        summary="tunnel headers that a receiver may refuse",
        cause="A VXLAN header without the flag that makes its VNI valid, or a Geneve header of a version other "
        "than 0: something else is sent to that port, or a header was damaged. Group policies (the G flag) and "
        "reserved bits come from senders that use an extension of VXLAN.",
        proof="The header of each record (RFC 7348, section 5; RFC 8926, section 3.4). An error only where the VNI "
        "is not valid or the version is another; RFC 7348 has receivers ignore reserved bits, so these are told as "
        "info.",
        remedy="Look at what sends these packets: `ss -lunp` and `ip -d link show type vxlan` on the node of the "
        "outer source address.",
        unknown="Whether the receiver takes them: Linux drops VXLAN without a valid VNI, and, unlike the RFC, also "
        "packets with bits that its device was not told of (`gbp`, `gpe`).",
    ),
    "tunnel.malformed": Explanation(
        summary="UDP to a tunnel's port that is no tunnel packet",
        cause="Something other than a tunnel end sends to that port (a port scan, a health check), or a header was "
        "cut or damaged on the way.",
        proof="The UDP datagram has no room for a tunnel header, or is longer than the packet around it; for "
        "Geneve, its options are longer than the datagram. Records that the capture cut are not judged.",
        remedy="Look at who sends them, and let a firewall take UDP to that port from nodes only.",
        unknown="What the sender meant.",
    ),
    "tunnel.nested": Explanation(
        summary="a tunnel inside the tunnel",
        cause="The pods are nodes of a cluster of their own (virtual machines, Kubernetes in Kubernetes), or a "
        "node's route to the other nodes leads into the tunnel itself.",
        proof="An inner UDP datagram to a tunnel's port that begins with a tunnel header. Not raised on the port "
        "alone. A warning where datagrams of the capture were fragmented or too large for the overlay.",
        remedy="Where it is meant, give the inner overlay what the outer one leaves: the MTU of the outer's links "
        "less the headers of both, such as 1400 over links of 1500 with IPv4 and 8900 over 9000; where "
        "it is not, `ip route get OTHER-NODE` on the sending node shows the route into it.",
        unknown="Which of the two it is.",
    ),
    "tunnel.bad-checksum": Explanation(
        summary="outer UDP checksums that are wrong",
        cause="The sending node leaves checksums to its network card, and the card, its driver or the hypervisor "
        "below cannot do that for tunnels. The receiver drops such packets without a word: connections come up "
        "after 1, 3, 7 ... or 63 seconds, when a SYN is repeated, or never.",
        proof="The checksum is summed up over the whole datagram, of records that came in (not by loopback), are "
        f"whole, unfragmented, of up to {MOST_VERIFIED} bytes, and have one (0 means none, which is allowed). One "
        "that is left to a card is recognised by its value and is not wrong: virtual devices carry such packets.",
        remedy="On the sending node `ethtool -K INTERFACE tx-checksum-ip-generic off`, for the interface by which "
        "its tunnel leaves; then update its kernel or driver.",
        unknown="Checksums of larger packets, and of those that left: the card fills them in behind the capture.",
    ),
    "tunnel.few-source-ports": Explanation(
        summary="two tunnel ends use few outer source ports for many flows",
        cause="Routers choose among equal-cost paths, and network cards among queues, by a hash of the outer "
        "addresses and ports. A sender puts the inner flow into that hash by its source port (RFC 7348, section "
        "5); one that does not, or whose range is narrow, sends all of its flows the same way.",
        proof=f"The number of outer source ports between two outer addresses, beside that of the inner TCP and UDP "
        f"flows: at least {_ENOUGH_FLOWS} flows, {_FLOWS_A_PORT} or more for each port, and fewer than "
        f"{_FEW_PORTS} ports.",
        remedy="Cilium: look at `tunnel-source-port-range` in its ConfigMap (0-0 leaves it to the kernel); other "
        "VXLAN devices: `ip -d link show` prints `srcport`, set by `ip link add ... srcport LOW HIGH`.",
        unknown="Whether there are equal-cost paths at all: without any, only the receiver's queues suffer.",
    ),
    "tunnel.unexpected-port": Explanation(
        summary="VXLAN to several UDP ports in one capture",
        cause="IANA gave port 4789 to VXLAN; 8472 is Linux's old default, which Cilium and Flannel use. Two ends "
        "that send to different ports do not hear each other; two overlays side by side are well with two ports.",
        proof="Datagrams to each port, and the first record to each between the ends concerned. A warning only "
        "where an end sends to another port than it is sent to by the same other end.",
        remedy="Give both ends one port: Cilium `tunnel-port` in its ConfigMap (`tunnelPort` in its Helm values), "
        "Flannel `Port` in its net-conf.json, a device `dstport` when it is made.",
        unknown="Which ports the ends listen on: a capture shows what is sent.",
    ),
}


def find(case: Case) -> Iterator[Finding]:
    yield from _bad_checksum(case)
    yield from _invalid_flags(case)
    yield from _malformed(case)
    yield from _nested(case)
    yield from _few_source_ports(case)
    yield from _unexpected_port(case)


def _bad_checksum(case: Case) -> Iterator[Finding]:
    wrong, verified = case.tables.counters.wrong_checksums, case.tables.counters.verified_checksums
    if not wrong:
        return
    sent: dict[bytes, int] = defaultdict(int)
    for (source, _), count in case.tables.wrong_checksums.items():
        sent[source] += count
    senders = [_node(case, source) for source in sorted(sent, key=lambda source: (-sent[source], source))]
    shown = ", ".join(senders[:MOST_EVIDENCE])
    more = f" and {len(senders) - MOST_EVIDENCE} more" if len(senders) > MOST_EVIDENCE else ""
    yield {
        "id": "tunnel.bad-checksum",
        "severity": "error" if wrong >= _MANY_WRONG * verified else "warning",
        "title": f"{wrong:,} of {verified:,} outer UDP checksums that came in {'is' if wrong == 1 else 'are'} "
        f"wrong, sent by {shown}{more}: the receiving node drops such packets",
        "count": wrong,
        "evidence": case.records("wrong-checksum", "the outer UDP checksum does not fit the datagram"),
        "remedy": f"on {senders[0]} `ethtool -K INTERFACE tx-checksum-ip-generic off`, for the interface by which "
        "its tunnel leaves; then update its kernel or the card's driver",
        "unknown": f"whether larger packets are wrong too: only those of up to {MOST_VERIFIED} bytes were "
        "verified, and only where they were captured whole; and whether a link damaged them rather than the sender",
    }


def _invalid_flags(case: Case) -> Iterator[Finding]:
    counters = case.tables.counters
    invalid, policies, reserved = counters.invalid_headers, counters.group_policy_headers, counters.reserved_bits
    parts = []
    if invalid:
        parts.append(f"{number(invalid, 'tunnel header')} without a valid VNI, or of another version")
    if policies:
        parts.append(f"{number(policies, 'VXLAN header')} with a group policy")
    if reserved:
        parts.append(f"{number(reserved, 'tunnel header')} with reserved bits set")
    if not parts:
        return
    evidence = [
        *case.records("invalid-header", "the VNI is not valid (flag 0x08 is not set), or Geneve is not version 0"),
        *case.records("reserved-bits", "a group policy, or reserved bits that are set"),
    ]
    if invalid:
        remedy = (
            "look at what sends these on the node of the outer source address: `ss -lunp` shows who has the port, "
            "`ip -d link show type vxlan` the devices; Linux drops VXLAN whose VNI is not valid"
        )
    else:
        remedy = (
            "nothing is wrong by RFC 7348, which has receivers ignore these bits; a Linux receiver drops such "
            "packets unless its device has the extension (`ip -d link show type vxlan` prints gbp or gpe)"
        )
    yield {
        "id": "tunnel.invalid-flags",
        "severity": "error" if invalid else "info",
        "title": "; ".join(parts),
        "count": invalid or policies + reserved,
        "evidence": evidence[:MOST_EVIDENCE],
        "remedy": remedy,
        "unknown": "whether the receiver takes them",
    }


def _malformed(case: Case) -> Iterator[Finding]:
    count = case.tables.counters.no_tunnel_records
    if not count:
        return
    yield {
        "id": "tunnel.malformed",
        "severity": "warning",
        "title": f"{number(count, 'record')} of UDP to a tunnel's port that {'is' if count == 1 else 'are'} no "
        "tunnel packet",
        "count": count,
        "evidence": case.records("no-tunnel", "no room for a tunnel header, or longer than the packet around it"),
        "remedy": "look at who sends them: `tshark -r FILE -Y 'frame.number == RECORD' -V` shows one whole; let a "
        "firewall take UDP to that port from nodes only",
        "unknown": "what the sender meant; they count as plain UDP",
    }


def _nested(case: Case) -> Iterator[Finding]:
    count = case.tables.counters.nested_records
    if not count:
        return
    fragmented = any(group.route.fragmented_at_source for group in case.groups_in_scope)
    overlay = case.mtu["overlay"]
    fits = "what fits into this tunnel (1450 over 1500)"
    if overlay is not None:
        fits = f"the {overlay:,} that fit into this tunnel"
    change = (
        f"set the MTU of its nodes' links to no more than {fits}, and that of its own pods to that less its "
        f"headers: {nested_fit(overlay or 1450)}"
    )
    yield {
        "id": "tunnel.nested",
        "severity": "warning" if fragmented or case.mtu["over_overlay"] else "info",
        "title": f"{number(count, 'record')} with a tunnel inside the tunnel: each pays for both",
        "count": count,
        "evidence": case.records("nested", "the inner packet is a tunnel's itself"),
        "remedy": f"where pods are nodes of an overlay of their own, {change}; where none is meant, `ip route get "
        "OTHER-NODE` on the sending node shows the route that leads into the tunnel",
        "unknown": "which of the two it is; what the inner tunnel carries is counted as UDP",
    }


def _few_source_ports(case: Case) -> Iterator[Finding]:
    queries = case.tables.queries
    few = {ends: ports for ends, ports in queries.source_ports.items() if ports < _FEW_PORTS}
    found = []
    for ends, ports in few.items():
        flows = queries.tunnel_flows.get(ends, 0)
        if flows >= max(_ENOUGH_FLOWS, _FLOWS_A_PORT * ports):
            found.append((flows, ports, *ends))
    if not found:
        return
    found.sort(key=lambda row: (-row[0], row[1:]))
    flows, ports, source, destination = found[0]
    more = f", and {number(len(found) - 1, 'other pair')} of ends likewise" if len(found) > 1 else ""
    wanted = _bundles_between(case, {(source, destination)})
    between = f"{address_text(source)} → {address_text(destination)}"
    yield {
        "id": "tunnel.few-source-ports",
        "severity": "warning",
        "title": f"{between}: {number(ports, 'outer source port')} for {number(flows, 'flow')}: equal-cost paths "
        f"stay unused{more}",
        "count": len(found),
        "evidence": case.starts(Wanted(wanted), f"{between}: {{flow}}"),
        "remedy": "Cilium: look at `tunnel-source-port-range` in its ConfigMap (0-0 leaves it to the kernel, which "
        f"spreads flows); other devices: `ip -d link show` on {_node(case, source)} prints their `srcport`",
        "unknown": "whether equal-cost paths lie between them; where none do, the flows still share one receive "
        "queue of the other node's card",
    }


def _unexpected_port(case: Case) -> Iterator[Finding]:
    sent: dict[int, int] = defaultdict(int)
    between: dict[tuple[bytes, bytes], dict[int, Sample]] = defaultdict(dict)  # with the first record to each
    for (source, destination, wear, port), (datagrams, _, first) in case.tables.queries.tunnels.items():
        if wear == VXLAN:
            sent[port] += datagrams
            between[source, destination][port] = first
    if len(sent) < 2:
        return
    crossed = sorted(
        (source, destination)
        for (source, destination), ports in between.items()
        if source < destination and not ports.keys() & between.get((destination, source), ports)
    )
    usual = max(sent, key=lambda port: (sent[port], port))
    others = {port: count for port, count in sent.items() if port != usual}
    ordered = sorted(sent.items(), key=lambda row: (-row[1], row))
    title = f"VXLAN to {number(len(sent), 'port')}: "
    title += ", ".join(f"{number(count, 'datagram')} to {port}" for port, count in ordered)
    if crossed:
        one, other = crossed[0]
        title += (
            f"; {address_text(one)} sends to {_list(between[one, other])} and is sent to on "
            f"{_list(between[other, one])} by {address_text(other)}"
        )
        remedy = (
            "give both ends one port: Cilium `tunnel-port` in its ConfigMap (8472 by default, as Flannel's), "
            "IANA's number is 4789; a device has its `dstport` from when it was made (`ip -d link show`)"
        )
    else:
        remedy = (
            "nothing is wrong where two overlays run side by side: Cilium and Flannel use 8472, IANA's number is "
            "4789"
        )
    ends = {pair for pair, ports in between.items() if ports.keys() & others.keys()}
    if crossed:
        ends = {ends for pair in crossed for ends in (pair, pair[::-1])}
    firsts = [(first, *pair, port) for pair in ends for port, first in between[pair].items()]
    # Those to the other ports first, of as many as are shown.
    firsts = sorted(sorted(firsts, key=lambda row: (row[3] == usual, row[0]))[:MOST_EVIDENCE])
    yield {
        "id": "tunnel.unexpected-port",
        "severity": "warning" if crossed else "info",
        "title": title,
        "count": sum(others.values()),
        "evidence": [
            case.evidence(first, f"{address_text(source)} → {address_text(destination)}, to port {port}")
            for first, source, destination, port in firsts
        ],
        "remedy": remedy,
        "unknown": "which ports the ends listen on: a capture shows what is sent",
    }


def _bundles_between(case: Case, ends: Collection[tuple[bytes, bytes]]) -> list[int]:
    """The bundles in tunnels between these outer addresses."""
    return [
        item.number
        for item in case.judged
        if item.route.tunnelled and (item.bundle.source, item.bundle.destination) in ends
    ]


def _list(ports: Iterable[int]) -> str:
    return " and ".join(map(str, sorted(ports)))


def _node(case: Case, address: bytes) -> str:
    return case.knowledge.node(address) or f"the node {address_text(address)}"
