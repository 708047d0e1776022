"""A whole VXLAN packet in one call, for the usual case, in plain Python; `encode` makes all others."""

from __future__ import annotations

from zlib import crc32

from vxtool.packet.decoder import decode
from vxtool.packet.encoder import encode
from vxtool.packet.ethernet import Ethernet
from vxtool.packet.ipv4 import IPv4
from vxtool.packet.ipv6 import IPv6
from vxtool.packet.tcp import TCP
from vxtool.packet.udp import UDP
from vxtool.packet.vxlan import LINUX_PORT, VXLAN

# Linux's default net.ipv4.ip_local_port_range, from which its VXLAN takes source ports.
_FIRST_PORT = 32768
_PORTS = 60999 - 32768 + 1


def vxlan_packet(
    inner: bytes,
    *,
    source: str,
    destination: str,
    vni: int,
    source_port: int | None = None,
    destination_port: int = LINUX_PORT,
    source_mac: str = "02:00:00:00:00:01",
    destination_mac: str = "02:00:00:00:00:02",
    identification: int = 0,
    ttl: int = 64,
) -> bytes:
    """Return an Ethernet frame that carries the frame `inner` from one VTEP to another.

    `source` and `destination` are IPv4 or IPv6 addresses; `identification` is IPv4's. Without a
    `source_port` it follows from the inner flow (RFC 7348, section 5). The outer UDP checksum is 0 over
    IPv4 and computed over IPv6, as Linux does by default. Raises PacketError for values that no packet can
    carry.
    """
    port = flow_port(inner) if source_port is None else source_port
    ip: IPv4 | IPv6
    if ":" in source:
        ip = IPv6(source, destination, hop_limit=ttl)
        udp = UDP(port, destination_port)
    else:
        ip = IPv4(source, destination, ttl=ttl, identification=identification)
        udp = UDP(port, destination_port, checksum=0)
    return encode(Ethernet(source_mac, destination_mac), ip, udp, VXLAN(vni), payload=inner)


def flow_port(inner: bytes) -> int:
    """A UDP source port between 32768 and 60999 for the frame `inner`, the same for all of its flow."""
    packet = decode(inner)
    ip, transport = packet.ip, packet.transport
    ports: tuple[int, ...] = ()
    if isinstance(transport, TCP | UDP):
        ports = (transport.source_port, transport.destination_port)
    addresses = inner[:12] if ip is None else (ip.source, ip.destination, ip.protocol)
    return _FIRST_PORT + crc32(repr((addresses, ports)).encode()) % _PORTS
