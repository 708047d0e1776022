"""The truth of a crafted capture: what a right analysis of it says, in the report's own keys.

It is counted where packets are made, and nothing of it comes from the engine. Every key that stands in it, at any
depth, is one of `vxtool analyze --format json`, with the value that it must have there; lists are whole. Two rules
of the analysis have to be known to say so. What came in within the longest latency (at least 1 ms) of the end of
the capture might still have left, and is `unresolved`, not `dropped`. And so is what was owed an egress that was
not watched, where single interfaces were captured: by docs/how-it-works.md, one is watched if others for that
address left, if the address's route leads out by interfaces of which the capture shows what leaves, or, without a
route, if packets came from that address.

Packets that are equal in all that no router changes cannot be told apart: where such packets are under way at the
same time, the truth tells no latency.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any, NamedTuple

from vxtool.packet import TCP, UDP, VXLAN, Geneve, IPv4, IPv6, encode
from vxtool.packet.tcp import MSS, SYN

if TYPE_CHECKING:
    from vxtool.craft.router import Interface
    from vxtool.craft.train import Train

_SHORTEST_END = 1_000_000  # ns


class Facts(NamedTuple):
    """What is the same of all packets of a train. Lengths in bytes, from an IP header on."""

    tunnelled: bool
    protocol: str | None
    port: int | None
    length: int  # of the outermost IP packet
    inner: int  # of the innermost
    fragments: int  # that it comes in
    mss: int | None  # of a SYN
    super_frame: bool  # more than one packet on the wire, but one record
    ends: tuple[str, str] | None  # outermost source and destination, of the first packet


def facts_of(train: Train, mtu: int | None = None, link_mtu: int = 1500) -> Facts:
    """`mtu`: at which the sender fragments; `link_mtu`: of the link that they come in by."""
    from vxtool.craft.pieces import fragments

    packet = train.packet
    tunnel, inner = train.tunnel, train.inner_index
    header = None if tunnel is None else train.layers[tunnel]
    protocol = {VXLAN: "vxlan", Geneve: "geneve"}.get(type(header))
    udp = next((layer for layer in train.layers[:tunnel] if isinstance(layer, UDP)), None)
    outer = train.layers[0] if train.layers else None
    tcp = next((layer for layer in train.layers if isinstance(layer, TCP) and layer.flags & SYN), None)
    told = [option.value for option in tcp.options if isinstance(option, MSS)] if tcp else []
    size = len(encode(*train.layers[inner:], payload=train.payload)) if inner is not None else 0
    return Facts(
        tunnelled=tunnel is not None,
        protocol=protocol,
        port=udp.destination_port if udp is not None and tunnel is not None else None,
        length=len(packet),
        inner=size,
        fragments=len(fragments(packet, mtu)) if mtu is not None else 1,
        mss=told[0] if told else None,
        super_frame=isinstance(train.layers[-1], TCP | UDP) and mtu is None and len(packet) > link_mtu,
        ends=(outer.source, outer.destination) if isinstance(outer, IPv4 | IPv6) else None,
    )


@dataclass
class _Scope:
    """The counts of the tunnel's datagrams, or of all others."""

    datagrams: int = 0
    forwarded: int = 0
    originated: int = 0
    lost: dict[str | None, list[int]] = field(default_factory=dict)  # when they came in, by outermost destination
    paths: Counter[tuple[str, int, str, int]] = field(default_factory=Counter)
    latencies: dict[tuple[str, int, str, int], Counter[int]] = field(default_factory=dict)
    at_source: int = 0
    by_router: int = 0
    super_frames: int = 0
    resegmented: int = 0


class Truth:
    """Counts what is put into a capture."""

    def __init__(
        self, everywhere: bool = True, directed: bool = True, routes: Sequence[tuple[str, str]] = ()
    ) -> None:
        """`everywhere`: the capture is one of all interfaces at once, as on `any`; `directed`: it tells directions.

        `routes` are the router's: networks, and the interface that each leads out by.
        """
        self._everywhere, self._directed = everywhere, directed
        self._routes = routes
        self._captured: set[str] = set()  # interfaces of which it is seen what leaves
        self._vague: set[tuple[str, int, str, int]] = set()  # ways of which no latency can be told
        self._left_to: set[str] = set()
        self._came_from: set[str] = set()
        self._scopes = {True: _Scope(), False: _Scope()}
        self._inner = self._outer = self._packets = self._tunnelled = 0
        self._largest: dict[bool, int] = {}
        self._mss: dict[bool, Counter[int]] = {True: Counter(), False: Counter()}
        self._protocols: Counter[str] = Counter()
        self._ports: Counter[int] = Counter()
        self._longest = 0
        self._too_big = 0
        self.records = 0
        self.last_ns = 0  # of the capture's records

    def came_in(self, facts: Facts, interface: Interface, count: int) -> None:
        """So many packets of a train came in."""
        if not self._directed:
            self._captured.add(interface.name)  # a record without a direction may be of either
        scope = self._scopes[facts.tunnelled]
        scope.datagrams += count
        if facts.ends is not None:
            self._came_from.add(facts.ends[0])
        if facts.fragments > 1:
            scope.at_source += count
        if facts.super_frame:
            scope.super_frames += count
        elif facts.inner:
            self._largest[facts.tunnelled] = max(self._largest.get(facts.tunnelled, 0), facts.inner)
        if facts.mss is not None:
            self._mss[facts.tunnelled][facts.mss] += count
        if facts.tunnelled:
            self._tunnelled += count
            self._inner += count * facts.inner
            self._outer += count * facts.length
            self._packets += count * facts.fragments
            self._protocols[facts.protocol or ""] += count
            self._ports[facts.port or 0] += count

    def left(
        self,
        facts: Facts,
        way: tuple[Interface, Interface],
        count: int,
        latency_ns: int,
        *,
        fragmented: bool = False,
        resegmented: bool = False,
        vague: bool = False,
    ) -> None:
        """So many of them went out, by the second interface of `way`; `vague`: with others that are equal."""
        scope = self._scopes[facts.tunnelled]
        scope.forwarded += count
        self._captured.add(way[1].name)
        if facts.ends is not None and count:
            self._left_to.add(facts.ends[1])
        scope.by_router += count if fragmented else 0
        scope.resegmented += count if resegmented else 0
        key = (way[0].name, way[0].index, way[1].name, way[1].index)
        scope.paths[key] += count
        scope.latencies.setdefault(key, Counter())[latency_ns] += count
        if vague:
            self._vague.add(key)
        self._longest = max(self._longest, latency_ns)

    def lost(self, facts: Facts, times: list[int]) -> None:
        """Those that came in at these times did not go out."""
        there = facts.ends[1] if facts.ends else None
        self._scopes[facts.tunnelled].lost.setdefault(there, []).extend(times)

    def originated(self, interface: Interface, count: int, size: int) -> None:
        """The router sent so many ICMP messages that something was too big, IP packets of `size` bytes."""
        self._largest[False] = max(self._largest.get(False, 0), size)
        self._captured.add(interface.name)
        scope = self._scopes[False]
        scope.datagrams += count
        scope.originated += count
        self._too_big += count

    def told(self, findings: list[str] | None = None) -> dict[str, Any]:
        """The truth, in the report's keys. `findings` are the ids of those that must be among the report's."""
        tunnelled = bool(self._scopes[True].datagrams)
        other = self._scopes[not tunnelled]
        told = self._mss[True] + self._mss[False]
        counts = self._counts(self._scopes[tunnelled], "tunnel" if tunnelled else "ip")
        report: dict[str, Any] = {
            "schema": "vxtool.report/1",
            "capture": {"records": self.records},
            "forwarding": {
                **counts,
                "other": self._counts(other, "ip" if tunnelled else "tunnel") if other.datagrams else None,
            },
            "mtu": {
                "largest_inner": self._largest.get(tunnelled),
                "packet_too_big": self._too_big,
                "super_frames": self._scopes[tunnelled].super_frames,
                # Of the values told in this scope, the SYNs of the whole capture.
                "mss": [{"value": mss, "segments": told[mss]} for mss in sorted(self._mss[tunnelled])],
            },
        }
        if tunnelled:
            report["tunnel"] = {
                "datagrams": self._tunnelled,
                "protocols": dict(sorted(self._protocols.items())),
                "ports": {str(port): count for port, count in sorted(self._ports.items())},
            }
            report["overhead"] = {
                "datagrams": self._tunnelled,
                "inner_bytes": self._inner,
                "outer_bytes": self._outer,
                "overhead_bytes": self._outer - self._inner,
            }
            if not self._scopes[True].super_frames:
                report["overhead"]["wire_packets"] = self._packets
        if findings is not None:
            report["findings"] = [{"id": name} for name in findings]
        return report

    def _is_watched(self, destination: str | None) -> bool:
        """Whether a packet for there would have been seen to leave."""
        if self._everywhere:
            return True
        if destination is None or destination in self._left_to:
            return destination in self._left_to
        address = ip_address(destination)
        networks = [(ip_network(to), device) for to, device in self._routes]
        ways = [(net.prefixlen, device) for net, device in networks if address in net]
        if not ways:
            return destination in self._came_from
        return {device for bits, device in ways if bits == max(ways)[0]} <= self._captured

    def _counts(self, scope: _Scope, name: str) -> dict[str, Any]:
        grace = max(self._longest, _SHORTEST_END)
        dropped = sum(
            sum(self.last_ns - time > grace for time in times)
            for there, times in scope.lost.items()
            if self._is_watched(there)
        )
        return {
            "scope": name,
            "datagrams": scope.datagrams,
            "forwarded": scope.forwarded,
            "delivered": 0,
            "dropped": dropped,
            "originated": scope.originated,
            "missed": 0,
            "unresolved": sum(map(len, scope.lost.values())) - dropped,
            "fragmented_at_source": scope.at_source,
            "fragmented_by_router": scope.by_router,
            "resegmented": scope.resegmented,
            **({} if self._vague else {"translated": 0}),
            "paths": [
                {
                    "ingress": key[0],
                    "egress": key[2],
                    "via": [],
                    "datagrams": count,
                    **({} if key in self._vague else {"latency_ns": _summary(scope.latencies[key])}),
                }
                for key, count in sorted(scope.paths.items(), key=lambda entry: (-entry[1], repr(entry[0])))
            ],
        }


def _summary(latencies: Counter[int]) -> dict[str, int]:
    total = latencies.total()
    edges = {
        "min": min(latencies),
        "max": max(latencies),
        "mean": sum(latency * count for latency, count in latencies.items()) // total,
    }
    if len(latencies) == 1:
        edges |= dict.fromkeys(("p50", "p90", "p99"), edges["min"])
    return edges
