"""Small captures for the tests of analysis: packets as a router, a bridge or a node would see them.

Headers come from `engine.generate`, containers from `vxtool.capture`'s writers. The lab is that of the founding
case: a router (eth0 uplink, eth1 192.168.10.0/24, eth2 192.168.20.0/24) between two nodes with a pod each.
Interface indexes are those of its links file: 2 eth0, 3 eth1, 4 eth2. Times are ns since `START`.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from engine.generate import (
    ICMP,
    IPV4,
    IPV6,
    SLL,
    SLL2,
    TCP,
    UDP,
    address,
    echo,
    ethernet,
    icmp,
    ipv4,
    ipv6,
    sll,
    sll2,
    tcp,
    udp,
    vxlan,
)

from vxtool.analysis.model import Counts, Finding, Report
from vxtool.capture.container import IN as IN
from vxtool.capture.container import OUT as OUT
from vxtool.capture.container import UNKNOWN, Interface
from vxtool.capture.writer import PcapngWriter, PcapWriter

US, MS, S = 1_000, 1_000_000, 1_000_000_000
START = 1_754_760_470 * S

ETH0, ETH1, ETH2 = 2, 3, 4
LO = 1
HOST, BROADCAST, MULTICAST, OTHER_HOST, OUTGOING = range(5)  # SLL packet types

NODE_A, NODE_B = "192.168.10.100", "192.168.20.100"
ROUTER_1, ROUTER_2 = "192.168.10.200", "192.168.20.200"
POD_A, POD_B = "172.20.0.107", "172.20.2.4"
VNI_A, VNI_B = 36705, 17701

MAC_A, MAC_B = b"\x02\0\0\0\x0a\x64", b"\x02\0\0\0\x14\x64"
MAC_1, MAC_2 = b"\x02\0\0\0\xff\x01", b"\x02\0\0\0\xff\x02"


class Seen(NamedTuple):
    """One record: when, its bytes, its length on the wire where less was captured, and pcapng's extras."""

    time: int
    data: bytes
    length: int | None = None
    interface: int = 0
    direction: int = UNKNOWN


# Packets.


def ping(
    sequence: int = 1,
    source: str = POD_A,
    destination: str = POD_B,
    *,
    reply: bool = False,
    size: int = 84,
    identifier: int = 2900,
    **fields: Any,
) -> bytes:
    """An ICMP echo packet of `size` bytes."""
    payload = bytes(size - 28)
    return ipv4(
        source,
        destination,
        ICMP,
        echo(identifier, sequence, payload, reply),
        identification=sequence + (0x8000 if reply else 0),
        **fields,
    )


def segment(
    sequence: int,
    size: int = 0,
    source: tuple[str, int] = (POD_A, 32788),
    destination: tuple[str, int] = (POD_B, 80),
    *,
    flags: int = 0x10,
    options: bytes = b"",
    identification: int | None = None,
    acknowledgement: int = 0,
) -> bytes:
    """A TCP segment with `size` bytes of data."""
    return ipv4(
        source[0],
        destination[0],
        TCP,
        tcp(
            source[1],
            destination[1],
            sequence,
            bytes(size),
            flags=flags,
            options=options,
            acknowledgement=acknowledgement,
        ),
        identification=sequence & 0xFFFF if identification is None else identification,
        dont_fragment=True,
    )


def datagram(
    size: int,
    identification: int,
    source: tuple[str, int] = (POD_A, 4000),
    destination: tuple[str, int] = (POD_B, 5000),
) -> bytes:
    """A UDP datagram, as an IP packet of `size` bytes."""
    payload = udp(source[1], destination[1], bytes(size - 28))
    return ipv4(source[0], destination[0], UDP, payload, identification=identification)


def tunnel(
    inner: bytes,
    vni: int = VNI_A,
    source: str = NODE_A,
    destination: str = NODE_B,
    *,
    port: int = 50000,
    to_port: int = 8472,
    identification: int = 0,
    tags: Sequence[int] = (),
    ttl: int = 64,
) -> bytes:
    """The outer IPv4 packet around the IP packet `inner`."""
    frame = ethernet(inner, ethertype(inner), tags=tags)
    return ipv4(
        source,
        destination,
        UDP,
        udp(port, to_port, vxlan(vni, frame)),
        identification=identification or identification_of(inner),
        ttl=ttl,
    )


def tunnel6(inner: bytes, vni: int = VNI_A) -> bytes:
    """The outer IPv6 packet around the IP packet `inner`."""
    payload = udp(50000, 8472, vxlan(vni, ethernet(inner, ethertype(inner))))
    return ipv6(b"\xfd" + bytes(14) + b"\x0a", b"\xfd" + bytes(14) + b"\x14", UDP, payload)


def back(inner: bytes, vni: int = VNI_B, **fields: Any) -> bytes:
    """From node B to node A."""
    return tunnel(inner, vni, NODE_B, NODE_A, port=52674, **fields)


def too_big(source: str, destination: str, mtu: int = 1400, identification: int = 900) -> bytes:
    """ICMP type 3 code 4, fragmentation needed."""
    return ipv4(source, destination, ICMP, icmp(3, 4, mtu, bytes(28)), identification=identification)


def ethertype(packet: bytes) -> int:
    return IPV6 if packet[0] >> 4 == 6 else IPV4


def identification_of(packet: bytes) -> int:
    return 0 if packet[0] >> 4 == 6 else int(struct.unpack_from(">H", packet, 4)[0])


def routed(packet: bytes) -> bytes:
    """The same packet behind a router: TTL or hop limit one lower."""
    at = 7 if packet[0] >> 4 == 6 else 8
    return packet[:at] + bytes([packet[at] - 1]) + packet[at + 1 :]


def rewritten(packet: bytes, source: str) -> bytes:
    """The same packet with another IPv4 source."""
    return packet[:12] + address(source) + packet[16:]


def fragments(packet: bytes, *cuts: int) -> list[bytes]:
    """An IPv4 packet without options in fragments, cut at these offsets of its payload (multiples of 8)."""
    payload = packet[20:]
    edges = [0, *cuts, len(payload)]
    pieces = []
    for start, stop in pairwise(edges):
        more = 0x2000 if stop < len(payload) else 0
        header = bytearray(packet[:20])
        struct.pack_into(">H", header, 2, 20 + stop - start)
        struct.pack_into(">H", header, 6, more | start // 8)
        pieces.append(bytes(header) + payload[start:stop])
    return pieces


# Records of `-i any`, as SLL2.


def came(time: int, packet: bytes, interface: int = ETH1, packet_type: int = HOST, arphrd: int = 1) -> Seen:
    return Seen(START + time, sll2(packet, interface, packet_type, ethertype(packet), arphrd))


def left(time: int, packet: bytes, interface: int = ETH2, arphrd: int = 1) -> Seen:
    return Seen(START + time, sll2(packet, interface, OUTGOING, ethertype(packet), arphrd))


def passed(time: int, packet: bytes, latency: int = 16 * US, ingress: int = ETH1, egress: int = ETH2) -> list[Seen]:
    """A packet that came in and went out."""
    return [came(time, packet, ingress), left(time + latency, routed(packet), egress)]


def exchange(time: int = 0, sequence: int = 1) -> list[Seen]:
    """The founding case: a ping and its reply through the router, 16 µs and 3 µs."""
    reply = back(ping(sequence, POD_B, POD_A, reply=True))
    return [
        *passed(time, tunnel(ping(sequence))),
        *passed(time + 472 * US, reply, 3 * US, ETH2, ETH1),
    ]


# Ethernet captures of one interface.


def frame(time: int, packet: bytes, source: bytes, destination: bytes, **extras: Any) -> Seen:
    data = ethernet(packet, ethertype(packet), source=source, destination=destination)
    return Seen(START + time, data, **extras)


# Files.


def pcap(path: Path, records: Iterable[Seen], link_type: int = SLL2, snaplen: int = 262144) -> str:
    """Write the records in order of time; the path, as text."""
    with PcapWriter(path, link_type, nanoseconds=True, snaplen=snaplen) as writer:
        for record in sorted(records, key=lambda record: record.time):
            writer.write(record.time, record.data, record.length)
    return str(path)


def cooked(path: Path, records: Iterable[Seen]) -> str:
    """The same records as SLL version 1, which has no interfaces."""
    rows = []
    for record in records:
        kind, _, _, arphrd, packet_type = struct.unpack_from(">HHIHB", record.data)
        rows.append(record._replace(data=sll(record.data[20:], packet_type, kind, arphrd)))
    return pcap(path, rows, SLL)


def pcapng(path: Path, interfaces: Sequence[Interface], records: Iterable[Seen]) -> str:
    with PcapngWriter(path, list(interfaces)) as writer:
        for record in sorted(records, key=lambda record: record.time):
            writer.write(
                record.time, record.data, record.length, interface=record.interface, direction=record.direction
            )
    return str(path)


def router_links(path: Path, mtu: int = 1500, eth2_mtu: int | None = None, addresses: bool = True) -> str:
    """What `ip -j addr` prints on the router."""
    rows = [
        (LO, "lo", 65536, bytes(6), ["127.0.0.1"]),
        (ETH0, "eth0", mtu, b"\x02\0\0\0\xff\0", ["10.0.2.15"]),
        (ETH1, "eth1", mtu, MAC_1, [ROUTER_1]),
        (ETH2, "eth2", eth2_mtu or mtu, MAC_2, [ROUTER_2]),
    ]
    return links_file(path, [(*row[:4], row[4] if addresses else []) for row in rows])


def links_file(path: Path, rows: Sequence[tuple[int, str, int, bytes, list[str]]]) -> str:
    document = [
        {
            "ifindex": index,
            "ifname": name,
            "mtu": mtu,
            "flags": ["LOOPBACK"] if name == "lo" else ["UP"],
            "link_type": "loopback" if name == "lo" else "ether",
            "address": mac.hex(":"),
            "addr_info": [{"family": "inet", "local": local, "prefixlen": 24} for local in addresses],
        }
        for index, name, mtu, mac, addresses in rows
    ]
    path.write_text(json.dumps(document))
    return str(path)


def endpoints_file(path: Path, rows: Sequence[tuple[str, int, str, str]]) -> str:
    """What `kubectl get ciliumendpoints -A -o json` prints of pods: name, identity, address, node's address."""
    items = [
        {
            "apiVersion": "cilium.io/v2",
            "kind": "CiliumEndpoint",
            "metadata": {"name": name, "namespace": "default"},
            "status": {
                "identity": {"id": identity, "labels": [f"k8s:app={name}"]},
                "networking": {"addressing": [{"ipv4": pod}], "node": node},
            },
        }
        for name, identity, pod, node in rows
    ]
    path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    return str(path)


def outcomes(counts: Counts | Report) -> dict[str, int]:
    """The outcomes that are not 0; they must sum to the datagrams."""
    row: Any = counts.get("forwarding", counts)
    names = ("forwarded", "delivered", "dropped", "originated", "missed", "unresolved")
    assert sum(row[name] for name in names) == row["datagrams"]
    return {name: row[name] for name in names if row[name]}


def finding(report: Report, name: str) -> Finding | None:
    found = [item for item in report["findings"] if item["id"] == name]
    assert len(found) < 2
    return found[0] if found else None


def records_of(found: Finding | None) -> list[int | None]:
    """The record numbers that a finding names as evidence."""
    assert found is not None
    return [item["record"] for item in found["evidence"]]
