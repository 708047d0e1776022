"""Captures of random small networks: every kind of traffic that analysis treats apart, and several at once.

Unlike the packets of `engine/generate.py`, these fit together: conversations with both directions, routers that
pass on, nodes that wrap and unwrap, and things that go wrong with some of it. Nothing is said of what a report
should hold; two ways to the same report are held against each other.
"""

from __future__ import annotations

import random
import struct
from pathlib import Path
from typing import NamedTuple

from analysis.scenes import (
    BROADCAST,
    ETH0,
    ETH1,
    ETH2,
    HOST,
    MAC_1,
    MAC_2,
    MAC_A,
    MAC_B,
    MS,
    MULTICAST,
    OTHER_HOST,
    ROUTER_1,
    ROUTER_2,
    S,
    Seen,
    came,
    cooked,
    endpoints_file,
    ethertype,
    fragments,
    frame,
    left,
    links_file,
    passed,
    pcap,
    rewritten,
    routed,
)
from engine.generate import (
    ARP,
    ICMP,
    TCP,
    UDP,
    echo,
    ethernet,
    icmp,
    ipv4,
    ipv6,
    mss,
    tcp,
    timestamps,
    udp,
    vxlan,
)

CILIUM_VXLAN, CALICO = 7, 8


class Network(NamedTuple):
    """A capture in files, and what an operator has beside it: the others are empty where nothing."""

    files: list[str]
    links: list[str]
    cluster: list[str]
    routes: list[str]


class _Pod(NamedTuple):
    address: str
    vni: int
    node: str


def _ipv6_of(address: str) -> bytes:
    """An IPv6 address with the last byte of an IPv4 one."""
    return b"\xfd" + bytes(14) + bytes([int(address.split(".")[3])])


class _Traffic:
    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.time = 0
        self.identification = 0
        self.records: list[Seen] = []
        nodes = [f"192.168.{10 * (number % 2 + 1)}.{100 + number}" for number in range(chance.choice([2, 3, 6]))]
        vnis = chance.choice(
            [
                [7],  # one network
                [7, 8],  # two, with addresses of their own or not
                list(range(1000, 1020)),  # an identity for each pod
                [cluster << 16 | number for cluster in (1, 2, 3) for number in range(300, 306)],  # ClusterMesh
                [1, 2, 6, 4000, 4001],
            ]
        )
        same = chance.random() < 0.2
        self.pods = [
            _Pod(f"172.20.{0 if same else number % 3}.{number // (2 if same else 1) + 1}", chance.choice(vnis),
                 chance.choice(nodes))
            for number in range(chance.choice([2, 3, 8, 20]))
        ]  # fmt: skip
        self.vnis = vnis
        self.latency = chance.choice([16_000, 400_000, 3 * MS])

    # Packets.

    def number(self) -> int:
        self.identification += 1
        return self.identification & 0xFFFF

    def inner(self, source: _Pod, destination: _Pod) -> list[tuple[bytes, bool]]:
        """The packets of a conversation, each with whether it goes back."""
        chance = self.chance
        kind = chance.randrange(10)
        ports = chance.choice([40000, 40001, 50000]), chance.choice([80, 443])
        count = chance.choice([1, 1, 2, 5])
        if kind <= 3:
            return self.tcp(source, destination, ports, count)
        if kind == 4:
            identifier = chance.choice([1, 2, 2900])
            packets = []
            for sequence in range(count):
                for reply in (False, True):
                    ends = (destination, source) if reply else (source, destination)
                    packets.append((self.ip(*ends, ICMP, echo(identifier, sequence, bytes(56), reply)), reply))
            return packets
        if kind == 5:
            return [(self.ip(source, destination, ICMP, icmp(3, chance.choice([0, 1, 4]), 1400, bytes(28))), False)]
        if kind == 6:
            packet = self.ip(source, destination, UDP, udp(*ports, bytes(chance.choice([400, 2400]))))
            return [(piece, False) for piece in fragments(packet, 200)]
        if kind == 7:
            ends = [_ipv6_of(pod.address) for pod in (source, destination)]
            size = chance.choice([40, 1392, 5000])
            return [
                (ipv6(ends[back], ends[not back], UDP, udp(*ports[:: -1 if back else 1], bytes(size) + bytes([n]))),
                 bool(back))
                for n in range(count) for back in range(chance.choice([1, 2]))
            ]  # fmt: skip
        size = chance.choice([10, 1000, 1422, 1472, 4000, 20000])
        answered = chance.random() < 0.6
        packets = [(self.ip(source, destination, UDP, udp(*ports, bytes(size))), False) for _ in range(count)]
        if answered:
            packets.append((self.ip(destination, source, UDP, udp(ports[1], ports[0], bytes(10))), True))
        return packets

    def tcp(self, source: _Pod, destination: _Pod, ports: tuple[int, int], count: int) -> list[tuple[bytes, bool]]:
        chance = self.chance
        told = chance.choice([1410, 1460, 8948])
        packets = []
        if chance.random() < 0.6:
            syn = tcp(*ports, 0, flags=2, options=mss(told))
            packets.append((self.ip(source, destination, TCP, syn), False))
        if chance.random() < 0.6:
            syn = tcp(ports[1], ports[0], 0, flags=0x12, options=mss(chance.choice([told, told - 12])))
            packets.append((self.ip(destination, source, TCP, syn), True))
        options = chance.choice([b"", timestamps(1, 2)])
        size = chance.choice([10, 1398, 1448, 2796, 30000])
        for number in range(count):
            segment = tcp(*ports, 1 + size * chance.choice([number, number, 0]), bytes(size), options=options)
            packets.append((self.ip(source, destination, TCP, segment), False))
        return packets

    def ip(self, source: _Pod, destination: _Pod, protocol: int, payload: bytes) -> bytes:
        return ipv4(source.address, destination.address, protocol, payload, identification=self.number())

    def wrap(self, inner: bytes, source: _Pod, destination: _Pod, vni: int | None = None) -> bytes:
        chance = self.chance
        tags = (5,) if chance.random() < 0.05 else ()
        kind = ethertype(inner)
        if chance.random() < 0.02:
            inner, kind = bytes(28), ARP
        header = vxlan(source.vni if vni is None else vni, ethernet(inner, kind, tags=tags))
        payload = udp(50000 + chance.randrange(20), 8472, header)
        if len(self.pods) == 3:  # a network over IPv6
            ends = [_ipv6_of(pod.node) for pod in (source, destination)]
            return ipv6(*ends, UDP, payload)
        return ipv4(source.node, destination.node, UDP, payload, identification=self.number())

    # What becomes of a packet.

    def happen(self, outer: bytes, inner: bytes, back: bool, fate: str) -> None:
        chance = self.chance
        self.time += chance.choice([10_000, 100_000, MS, 30 * MS])
        time = self.time
        ports = (ETH2, ETH1) if back else (ETH1, ETH2)
        latency = self.latency + chance.randrange(1000)
        records: list[Seen]
        if fate == "dropped":
            records = [came(time, outer, ports[0])]
        elif fate == "missed":
            records = [left(time, routed(outer), ports[1])]
        elif fate == "other":
            records = [came(time, outer, ports[0], chance.choice([OTHER_HOST, BROADCAST, MULTICAST]))]
        elif fate == "fragments" and outer[0] >> 4 == 4 and len(outer) > 120:
            pieces = fragments(outer, 96)
            kept = chance.choice([pieces, pieces, pieces[:1]])
            gone = chance.choice([pieces, kept, kept[:1]])
            records = [came(time + at, piece, ports[0]) for at, piece in enumerate(kept)]
            time += latency
            records += [left(time + at, routed(piece), ports[1]) for at, piece in enumerate(gone)]
        elif fate == "cut-here" and outer[0] >> 4 == 4 and len(outer) > 120:
            pieces = fragments(outer, 96)[: chance.choice([1, 2])]
            records = [came(time, outer, ports[0])]
            time += latency
            records += [left(time + at, routed(piece), ports[1]) for at, piece in enumerate(pieces)]
        elif fate == "loop":
            records = [came(time, outer, ports[0]), came(time + latency, routed(routed(outer)), ports[0])]
        elif fate == "late":
            records = [came(time, outer, ports[0]), left(time + 3 * S, routed(outer), ports[1])]
        elif fate == "rewritten" and outer[0] >> 4 == 4:
            records = [
                came(time, outer, ports[0]),
                left(time + latency, routed(rewritten(outer, chance.choice([ROUTER_2, "10.0.2.15"]))), ports[1]),
            ]
        elif fate == "wrapped":
            records = [came(time, inner, ETH1), left(time + latency, outer, ETH2)]
        elif fate == "unwrapped":
            records = [came(time, outer, ETH2)]
            if chance.random() < 0.8:
                records.append(left(time + latency, inner, ETH1))
        elif fate == "carried":
            records = [came(time, inner, ETH1), left(time + latency, routed(inner), CILIUM_VXLAN)]
            if chance.random() < 0.6:
                records.append(left(time + 2 * latency, outer, ETH2))
        elif fate == "native":
            records = passed(time, inner, latency, *chance.choice([ports, (ETH1, ETH0)]))
        elif fate == "native-lost":
            records = [came(time, inner, ports[0])]
        else:
            records = passed(time, outer, latency, *ports)
        self.records += records

    def converse(self, fates: list[str]) -> None:
        source, destination = self.chance.choice(self.pods), self.chance.choice(self.pods)
        moved = self.chance.random() < 0.05
        for inner, back in self.inner(source, destination):
            ends = (destination, source) if back else (source, destination)
            fate = self.chance.choice(fates)
            vni = self.chance.choice(self.vnis) if moved else None
            self.happen(self.wrap(inner, *ends, vni), inner, back, fate)

    def translate(self) -> None:
        """A plain flow that leaves under the router's address, and its answer."""
        pod = self.chance.choice(self.pods)
        self.time += MS
        number = self.number()
        packet = ipv4(pod.address, "8.8.8.8", UDP, udp(4000, 53, bytes(30)), identification=number)
        answer = ipv4("8.8.8.8", "10.0.2.15", UDP, udp(53, 4000, bytes(60)), identification=self.number())
        self.records += [
            came(self.time, packet, ETH1),
            left(self.time + self.latency, routed(rewritten(packet, "10.0.2.15")), ETH0),
            came(self.time + 5 * MS, answer, ETH0),
            left(self.time + 5 * MS + self.latency, routed(answer[:16] + packet[12:16] + answer[20:]), ETH1),
        ]

    def segmented(self) -> None:
        """A flow of super-frames that leave in segments."""
        source, destination = self.pods[0], self.pods[-1]
        self.time += MS
        size = 1398
        for number in range(3):
            sequence = 1 + number * 4 * size
            whole = self.ip(source, destination, TCP, tcp(5000, 80, sequence, bytes(4 * size)))
            self.records.append(came(self.time + number, self.wrap(whole, source, destination), ETH1))
            for at in range(4):
                piece = self.ip(source, destination, TCP, tcp(5000, 80, sequence + at * size, bytes(size)))
                outer = routed(self.wrap(piece, source, destination))
                self.records.append(left(self.time + self.latency + 4 * number + at, outer, ETH2))

    def own(self) -> None:
        """To and from the router itself."""
        chance = self.chance
        self.time += MS
        pod = chance.choice(self.pods)
        request = ipv4(pod.node, ROUTER_1, TCP, tcp(4000, 22, 1, bytes(20)), identification=self.number())
        answer = ipv4(ROUTER_1, pod.node, TCP, tcp(22, 4000, 1, bytes(30)), identification=self.number())
        error = ipv4(ROUTER_1, pod.node, ICMP, icmp(*chance.choice([(3, 4), (11, 0)]), 1400, bytes(28)))
        self.records += [came(self.time, request, ETH1), left(self.time + 9_000, answer, ETH1)]
        if chance.random() < 0.5:
            self.records.append(left(self.time + 10_000, error, ETH1))


_ORDINARY = ["passed"] * 8
_FATES = [
    _ORDINARY,
    _ORDINARY,
    [*_ORDINARY, "dropped"],
    [*_ORDINARY, "dropped", "missed", "late"],
    [*_ORDINARY, "fragments", "cut-here"],
    [*_ORDINARY, "loop", "rewritten", "other"],
    ["wrapped", "unwrapped", "carried", "passed"],
    ["native", "native-lost", "passed", "native"],
    ["dropped"],
    ["passed", "native", "carried", "dropped", "missed", "fragments", "cut-here", "loop", "rewritten", "late"],
]


def random_network(seed: int, folder: Path) -> Network:
    """Written into `folder`, the same for the same seed."""
    chance = random.Random(seed)
    traffic = _Traffic(chance)
    fates = chance.choice(_FATES)
    for _ in range(chance.choice([1, 3, 10, 30])):
        traffic.converse(fates)
        if chance.random() < 0.05:
            chance.choice([traffic.translate, traffic.segmented, traffic.own])()
    records = traffic.records
    stem = folder / f"{seed}"
    files = _write(chance, stem, records)
    links = []
    if chance.random() < 0.5:
        mtu = chance.choice([1400, 1500, 9000])
        addresses = [[ROUTER_1], [ROUTER_2]] if chance.random() < 0.5 else [[], []]
        rows = [
            (1, "lo", 65536, bytes(6), ["127.0.0.1"]),
            (ETH0, "eth0", 1500, b"\x02\0\0\0\xff\0", []),
            (ETH1, "eth1", mtu, MAC_1, addresses[0]),
            (ETH2, "eth2", chance.choice([mtu, 1450]), MAC_2, addresses[1]),
            (CILIUM_VXLAN, chance.choice(["cilium_vxlan", "tun0"]), 1450, b"\x02\0\0\0\xff\7", []),
        ]
        links.append(links_file(stem.with_suffix(".links.json"), rows))
    cluster = []
    if chance.random() < 0.5:
        named = traffic.pods[: chance.randint(1, len(traffic.pods))]
        pods = [(f"pod-{number}", pod.vni, pod.address, pod.node) for number, pod in enumerate(named)]
        cluster.append(endpoints_file(stem.with_suffix(".cluster.json"), pods))
    return Network(files, links, cluster, _routes(random.Random(-seed), stem.with_suffix(".routes.txt"), traffic))


def _routes(chance: random.Random, path: Path, traffic: _Traffic) -> list[str]:
    """Some of those that the router may have: right and wrong ones, for all datagrams and for some."""
    if chance.random() < 0.4:
        return []
    devices = ["eth0", "eth1", "eth2", "eth2", "cilium_host", "eth7"]
    lines = ["192.168.10.0/24 dev eth1 src 192.168.10.200", "192.168.20.0/24 dev eth2 src 192.168.20.200"]
    lines += [f"default via 10.0.2.2 dev {chance.choice(devices)}", "fd00::/8 dev eth2 metric 1024 pref medium"]
    for pod in traffic.pods:
        dev = f"dev {chance.choice(devices)}"
        share = ".".join(pod.address.split(".")[:3]) + ".0/24"
        lines += [f"{share} via {pod.node} {dev}", f"{pod.node} {dev} metric 5", f"blackhole {pod.address}",
                  f"{pod.address} nexthop via 10.0.0.1 dev eth1 nexthop via 10.0.0.2 {dev}"]  # fmt: skip
    lines += ["172.20.0.0/16 tos 0x10 dev eth0", "172.20.1.0/24 dev eth0 table 7", "unreachable 172.20.0.0/16"]
    path.write_text("\n".join(line for line in lines if chance.random() < chance.choice([0.3, 0.9])) + "\n")
    # A file without any route is refused.
    return [str(path)] if path.read_text().strip() else []


def _write(chance: random.Random, stem: Path, records: list[Seen]) -> list[str]:
    kind = chance.randrange(8)
    path = stem.with_suffix(".pcap")
    if kind == 0:
        return [cooked(path, records)]
    if kind == 1:  # one side alone
        wanted = chance.choice([HOST, 4])
        return [pcap(path, [record for record in records if record.data[10] == wanted])]
    if kind == 2:  # a file for each interface, on Ethernet
        files = []
        for interface, own, other in ((ETH1, MAC_1, MAC_A), (ETH2, MAC_2, MAC_B)):
            rows = [
                frame(0, record.data[20:], *((own, other) if record.data[10] == 4 else (other, own)))._replace(
                    time=record.time
                )
                for record in records
                if struct.unpack_from(">I", record.data, 4)[0] == interface
            ]
            files.append(pcap(stem.with_name(f"{stem.name}-eth{interface - 2}.pcap"), rows, 1))
        return files
    if kind == 3:  # cut short
        return [pcap(path, records, snaplen=chance.choice([110, 90, 160]))]
    return [pcap(path, records)]
