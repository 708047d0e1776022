"""The codec: headers to bytes and back, one module for each protocol, no I/O.

Values are frozen and typed; `parse` and `emit` of each are inverse. `decode` and `encode` do whole packets,
by the C codec where it was built.
"""

from __future__ import annotations

from vxtool.errors import PacketError
from vxtool.packet.arp import ARP
from vxtool.packet.build import flow_port
from vxtool.packet.bulk import template_pcap
from vxtool.packet.checksum import internet_checksum
from vxtool.packet.choice import decode, encode, vxlan_packet
from vxtool.packet.decoder import DEFAULT_PORTS, LINK_TYPES, Layer, Packet, link_number
from vxtool.packet.ethernet import Ethernet, Vlan
from vxtool.packet.geneve import Geneve
from vxtool.packet.icmp import ICMP
from vxtool.packet.icmpv6 import ICMPv6
from vxtool.packet.ipv4 import IPv4
from vxtool.packet.ipv6 import IPv6, IPv6Extension, IPv6Fragment
from vxtool.packet.loopback import Loopback
from vxtool.packet.sll import SLL, SLL2
from vxtool.packet.tcp import (
    MSS,
    TCP,
    BrokenOption,
    EndOfOptions,
    Nop,
    Sack,
    SackPermitted,
    Timestamps,
    UnknownOption,
    WindowScale,
)
from vxtool.packet.udp import UDP
from vxtool.packet.vxlan import VXLAN

__all__ = [
    "ARP",
    "DEFAULT_PORTS",
    "ICMP",
    "LINK_TYPES",
    "MSS",
    "SLL",
    "SLL2",
    "TCP",
    "UDP",
    "VXLAN",
    "BrokenOption",
    "EndOfOptions",
    "Ethernet",
    "Geneve",
    "ICMPv6",
    "IPv4",
    "IPv6",
    "IPv6Extension",
    "IPv6Fragment",
    "Layer",
    "Loopback",
    "Nop",
    "Packet",
    "PacketError",
    "Sack",
    "SackPermitted",
    "Timestamps",
    "UnknownOption",
    "Vlan",
    "WindowScale",
    "decode",
    "encode",
    "flow_port",
    "internet_checksum",
    "link_number",
    "template_pcap",
    "vxlan_packet",
]
