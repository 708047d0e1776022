"""Findings on the tunnels themselves: their headers, ports and checksums."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING

from vxtool.analysis.findings.evidence import MOST_EVIDENCE, Case, number
from vxtool.analysis.findings.explanation import Explanation
from vxtool.analysis.knowledge import address_text
from vxtool.engine.answers import Wanted
from vxtool.engine.tables import VXLAN

if TYPE_CHECKING:
    from vxtool.analysis.model import Finding

# Fewer flows may share a port by chance, and a small number of ports is no loss where there are few flows. Linux
# and Cilium take the port from 28,000 by a hash of the flow: of 64 flows, chance leaves 60 ports and more.
_ENOUGH_FLOWS = 64
_FLOWS_A_PORT = 8
_FEW_PORTS = 16  # equal-cost paths are seldom more

EXPLANATIONS: dict[str, Explanation] = {
    "tunnel.few-source-ports": Explanation(
        summary="two tunnel ends use few outer source ports for many flows",
        cause="routers choose among equal-cost paths, and network cards among queues, by a hash of the outer "
        "addresses and ports. A sender puts the inner flow into that hash by its source port (RFC 7348, section "
        "5); one that does not, or whose range is narrow, sends all of its flows the same way",
        proof=f"the number of outer source ports between two outer addresses, beside that of the inner TCP and UDP "
        f"flows: at least {_ENOUGH_FLOWS} flows, {_FLOWS_A_PORT} or more for each port, and fewer than "
        f"{_FEW_PORTS} ports",
        remedy="Cilium: look at `tunnel-source-port-range` in its ConfigMap (0-0 leaves it to the kernel); other "
        "VXLAN devices: `ip -d link show` prints `srcport`, set by `ip link add ... srcport LOW HIGH`",
        unknown="whether there are equal-cost paths at all: without any, only the receiver's queues suffer",
    ),
    "tunnel.unexpected-port": Explanation(
        summary="VXLAN to several UDP ports in one capture",
        cause="4789 is the number that IANA gave to VXLAN, 8472 is Linux's old default, which Cilium and Flannel "
        "use. Two ends that send to different ports do not hear each other; two overlays side by side are well "
        "with two ports",
        proof="datagrams to each port. A warning only where an end sends to another port than it is sent to by the "
        "same other end",
        remedy="give both ends one port: Cilium `tunnel-port` in its ConfigMap (`tunnelPort` in its Helm values), "
        "Flannel `Port` in its net-conf.json, a device `dstport` when it is made",
        unknown="which ports the ends listen on: a capture shows what is sent",
    ),
}


def find(case: Case) -> Iterator[Finding]:
    yield from _few_source_ports(case)
    yield from _unexpected_port(case)


def _few_source_ports(case: Case) -> Iterator[Finding]:
    queries = case.tables.queries
    found = []
    for ends, flows in queries.tunnel_flows.items():
        ports = queries.source_ports.get(ends, 0)
        if flows >= _ENOUGH_FLOWS and 0 < ports < _FEW_PORTS and flows >= _FLOWS_A_PORT * ports:
            found.append((flows, ports, *ends))
    if not found:
        return
    found.sort(key=lambda row: (-row[0], row[1:]))
    flows, ports, source, destination = found[0]
    more = f", and {number(len(found) - 1, 'other pair')} of ends likewise" if len(found) > 1 else ""
    wanted = [
        item.number
        for item in case.judged
        if (item.bundle.source, item.bundle.destination) == (source, destination)
    ]
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
    between: dict[tuple[bytes, bytes], set[int]] = defaultdict(set)
    for (source, destination, wear, port), (datagrams, _) in case.tables.queries.tunnels.items():
        if wear == VXLAN:
            sent[port] += datagrams
            between[source, destination].add(port)
    if len(sent) < 2:
        return
    crossed = sorted(
        (source, destination)
        for (source, destination), ports in between.items()
        if source < destination and not ports & between.get((destination, source), ports)
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
    ends = {pair for pair, ports in between.items() if ports & others.keys()}
    if crossed:
        ends = {ends for pair in crossed for ends in (pair, pair[::-1])}
    wanted = [item.number for item in case.judged if (item.bundle.source, item.bundle.destination) in ends]
    yield {
        "id": "tunnel.unexpected-port",
        "severity": "warning" if crossed else "info",
        "title": title,
        "count": sum(others.values()),
        "evidence": case.starts(Wanted(wanted), "{flow}")[:MOST_EVIDENCE],
        "remedy": remedy,
        "unknown": "which ports the ends listen on: a capture shows what is sent",
    }


def _list(ports: set[int]) -> str:
    return " and ".join(map(str, sorted(ports)))


def _node(case: Case, address: bytes) -> str:
    return case.knowledge.node(address) or f"the node {address_text(address)}"
