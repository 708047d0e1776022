#!/usr/bin/env python3
"""Write vxlan.pcap: the exchange of the founding case, record for record.

A ping from curl-pod (node k8s-ctr) to webpod (node k8s-w0), seen by ``tcpdump -i any`` on the
router between the two nodes: the request comes in on eth1 and goes out on eth2 16 us later, the
reply comes in on eth2 and goes out on eth1 3 us later. Every byte is built here with ``struct``
alone, so that the file is an expectation that owes nothing to the codec that is tested with it.

Usage: founding.py [OUTPUT]          (default: vxlan.pcap beside this directory)
"""

from __future__ import annotations

import struct
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

# LINUX_SLL2, as tcpdump writes for `-i any` since 4.99 (tcpdump.org/linktypes/LINKTYPE_LINUX_SLL2.html).
LINK_TYPE_SLL2 = 276
SNAPLEN = 262144
PACKET_IN, PACKET_OUT = 0, 4
ARPHRD_ETHER = 1
ETHERTYPE_IPV4 = 0x0800

ETH1, ETH2 = 3, 4
MAC_NODE_CTR = bytes.fromhex("08002742a3c1")
MAC_NODE_W0 = bytes.fromhex("080027d90b58")
MAC_ROUTER_ETH1 = bytes.fromhex("080027b4cc4c")
MAC_ROUTER_ETH2 = bytes.fromhex("0800273be2f7")
# The inner Ethernet header that Cilium writes: made-up, locally administered addresses.
MAC_OVERLAY_CTR = bytes.fromhex("5aa6d1440e93")
MAC_OVERLAY_W0 = bytes.fromhex("d62fb8907c15")

VTEP_CTR, VTEP_W0 = "192.168.10.100", "192.168.20.100"
CURL_POD, WEBPOD = "172.20.0.107", "172.20.2.4"
CURL_POD_IDENTITY, WEBPOD_IDENTITY = 36705, 17701

JST = timezone(timedelta(hours=9))
SECOND = int(datetime(2025, 8, 10, 2, 27, 50, tzinfo=JST).timestamp())


def checksum(data: bytes) -> int:
    """Return the Internet checksum of ``data`` (RFC 1071)."""
    padded = data + b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f">{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def address(text: str) -> bytes:
    """Return the four bytes of a dotted IPv4 address."""
    return bytes(int(part) for part in text.split("."))


def ipv4(
    source: str,
    destination: str,
    protocol: int,
    ttl: int,
    identification: int,
    payload: bytes,
    *,
    dont_fragment: bool,
) -> bytes:
    """Return an IPv4 packet without options (RFC 791, section 3.1)."""
    fragment_word = 0x4000 if dont_fragment else 0
    fixed = struct.pack(">BBHHHBB", 0x45, 0, 20 + len(payload), identification, fragment_word, ttl, protocol)
    ends = address(source) + address(destination)
    return fixed + struct.pack(">H", checksum(fixed + b"\0\0" + ends)) + ends + payload


def echo(kind: int, identifier: int, sequence: int) -> bytes:
    """Return an ICMP echo message of 64 bytes as ping(8) fills it: a timeval, then counting bytes."""
    data = struct.pack("<QQ", SECOND, 281950) + bytes(range(0x10, 0x38))
    blank = struct.pack(">BBHHH", kind, 0, 0, identifier, sequence)
    return struct.pack(">BBHHH", kind, 0, checksum(blank + data), identifier, sequence) + data


def vxlan(vni: int, frame: bytes) -> bytes:
    """Return a VXLAN header (RFC 7348, section 5) and the frame behind it."""
    return struct.pack(">II", 0x08 << 24, vni << 8) + frame


def udp(source_port: int, destination_port: int, payload: bytes) -> bytes:
    """Return a UDP datagram with the zero checksum that Cilium's tunnel sends over IPv4."""
    return struct.pack(">HHHH", source_port, destination_port, 8 + len(payload), 0) + payload


def sll2(interface: int, packet_type: int, mac: bytes, packet: bytes) -> bytes:
    """Return a LINUX_SLL2 header (20 bytes) and the IPv4 packet behind it."""
    fields = (ETHERTYPE_IPV4, 0, interface, ARPHRD_ETHER, packet_type, len(mac))
    return struct.pack(">HHIHBB8s", *fields, mac) + packet


def exchange() -> list[tuple[int, bytes]]:
    """Return the four records as (microsecond within the second, bytes)."""
    request_inner = ipv4(CURL_POD, WEBPOD, 1, 63, 0x5F3A, echo(8, 2900, 1), dont_fragment=True)
    reply_inner = ipv4(WEBPOD, CURL_POD, 1, 63, 0x91C2, echo(0, 2900, 1), dont_fragment=False)
    ethernet_type = struct.pack(">H", ETHERTYPE_IPV4)
    request_frame = MAC_OVERLAY_W0 + MAC_OVERLAY_CTR + ethernet_type + request_inner
    reply_frame = MAC_OVERLAY_CTR + MAC_OVERLAY_W0 + ethernet_type + reply_inner

    def request(ttl: int) -> bytes:
        payload = udp(51213, 8472, vxlan(CURL_POD_IDENTITY, request_frame))
        return ipv4(VTEP_CTR, VTEP_W0, 17, ttl, 0x2B60, payload, dont_fragment=False)

    def reply(ttl: int) -> bytes:
        payload = udp(52674, 8472, vxlan(WEBPOD_IDENTITY, reply_frame))
        return ipv4(VTEP_W0, VTEP_CTR, 17, ttl, 0xC417, payload, dont_fragment=False)

    return [
        (282388, sll2(ETH1, PACKET_IN, MAC_NODE_CTR, request(64))),
        (282404, sll2(ETH2, PACKET_OUT, MAC_ROUTER_ETH2, request(63))),
        (282860, sll2(ETH2, PACKET_IN, MAC_NODE_W0, reply(64))),
        (282863, sll2(ETH1, PACKET_OUT, MAC_ROUTER_ETH1, reply(63))),
    ]


def main() -> None:
    default = Path(__file__).resolve().parent.parent / "vxlan.pcap"
    output = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    with output.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, SNAPLEN, LINK_TYPE_SLL2))
        for microsecond, data in exchange():
            file.write(struct.pack("<IIII", SECOND, microsecond, len(data), len(data)) + data)


if __name__ == "__main__":
    main()
