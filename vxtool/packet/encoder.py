"""Layers to bytes, in plain Python: the specification that the C encoder is held against.

Each layer's `emit` puts its header before a payload, so encoding goes from the innermost layer out. What a
layer's value leaves as None is filled in here if another layer tells it (ethertypes, protocol numbers, the
addresses that a checksum covers), and by `emit` if its own bytes do (lengths, checksums). What is given
goes out as given, right or wrong: that is what makes the encoding of a decoded packet its own bytes, and
what allows wrong packets to be made on purpose.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vxtool.errors import PacketError
from vxtool.packet.arp import ARP
from vxtool.packet.decoder import Layer
from vxtool.packet.ethernet import (
    ETHERTYPE_ARP,
    ETHERTYPE_IPV4,
    ETHERTYPE_IPV6,
    ETHERTYPE_QINQ,
    ETHERTYPE_VLAN,
    Ethernet,
    Vlan,
)
from vxtool.packet.geneve import Geneve
from vxtool.packet.icmp import ICMP
from vxtool.packet.icmpv6 import ICMPv6
from vxtool.packet.ipv4 import IPv4
from vxtool.packet.ipv6 import NO_NEXT_HEADER, IPv6
from vxtool.packet.loopback import FAMILY_IPV4, Loopback
from vxtool.packet.sll import SLL, SLL2
from vxtool.packet.tcp import TCP
from vxtool.packet.udp import UDP
from vxtool.packet.vxlan import VXLAN

_LAYERS = (Ethernet, Vlan, SLL, SLL2, Loopback, IPv4, IPv6, UDP, TCP, ICMP, ICMPv6, ARP, VXLAN, Geneve)
_ETHERTYPES: Mapping[type, int] = {
    IPv4: ETHERTYPE_IPV4,
    IPv6: ETHERTYPE_IPV6,
    ARP: ETHERTYPE_ARP,
    Vlan: ETHERTYPE_VLAN,
}
_PROTOCOLS: Mapping[type, int] = {ICMP: 1, TCP: 6, UDP: 17, ICMPv6: 58}
# What OpenBSD and NetBSD, the systems of link type LOOP, call AF_INET6.
_FAMILIES: Mapping[type, int] = {IPv4: FAMILY_IPV4, IPv6: 24}


def encode(*layers: Layer, payload: bytes = b"", padding: bytes = b"") -> bytes:
    """Return the bytes of a packet, whose layers are given from the outermost in.

    `payload` goes behind the last layer. `padding` goes behind the innermost IP packet: into the frame
    around it, so that only lengths outside that frame count it.

    Raises PacketError for a value that its field cannot carry, and for a None that nothing tells.
    """
    payload, padding = bytes(memoryview(payload)), bytes(memoryview(padding))
    ips = [index for index, layer in enumerate(layers) if isinstance(layer, IPv4 | IPv6)]
    innermost = ips[-1] if ips else None
    data = payload if innermost is not None else payload + padding
    for index in range(len(layers) - 1, -1, -1):
        layer = layers[index]
        if not isinstance(layer, _LAYERS):
            raise PacketError(f"layer {index}: expected a layer of vxtool.packet, found {layer!r}")
        if isinstance(layer, UDP | TCP | ICMPv6):
            before = layers[index - 1] if index else None
            data = layer.emit(data, before if isinstance(before, IPv4 | IPv6) else None)
        else:
            data = _filled(layer, layers[index + 1 :]).emit(data)
        if index == innermost:
            data += padding
    return data


def _filled(layer: Any, following: tuple[Layer, ...]) -> Any:
    kind = type(following[0]) if following else None
    match layer:
        case Ethernet(ethertype=None) | Vlan(ethertype=None) | SLL(ethertype=None) | SLL2(ethertype=None):
            return layer._replace(ethertype=_ethertype(following))
        case Loopback(family=None):
            return layer._replace(family=_FAMILIES.get(kind) if kind else None)
        case IPv4(protocol=None):
            return layer._replace(protocol=_PROTOCOLS.get(kind) if kind else None)
        case IPv6(protocol=None):
            return layer._replace(protocol=_PROTOCOLS.get(kind) if kind else NO_NEXT_HEADER)
    return layer


def _ethertype(following: tuple[Layer, ...]) -> int | None:
    if not following:
        return None
    # IEEE 802.1ad: every tag but the innermost is a service tag.
    if isinstance(following[0], Vlan) and len(following) > 1 and isinstance(following[1], Vlan):
        return ETHERTYPE_QINQ
    return _ETHERTYPES.get(type(following[0]))
