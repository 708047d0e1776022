"""One packet in one line, for people: who to whom, by which tunnel, and what is inside."""

from __future__ import annotations

from collections.abc import Sequence

from vxtool.packet import ARP, ICMP, TCP, UDP, VXLAN, Geneve, ICMPv6, IPv4, IPv6, Layer

_ICMP = {
    (ICMP, 0): "echo reply",
    (ICMP, 3): "unreachable",
    (ICMP, 8): "echo request",
    (ICMP, 11): "time exceeded",
    (ICMPv6, 1): "unreachable",
    (ICMPv6, 2): "packet too big",
    (ICMPv6, 3): "time exceeded",
    (ICMPv6, 128): "echo request",
    (ICMPv6, 129): "echo reply",
}
_ECHOES = ((ICMP, 0), (ICMP, 8), (ICMPv6, 128), (ICMPv6, 129))
_LETTERS = ((0x02, "S"), (0x01, "F"), (0x04, "R"), (0x08, "P"), (0x10, "."), (0x20, "U"), (0x40, "E"), (0x80, "W"))


def describe(layers: Sequence[Layer]) -> str:
    """`10.0.1.1:51213 → 10.0.2.1:8472  vxlan 36705  172.20.0.107 → 172.20.2.4  icmp echo request, id 1, seq 1`"""
    tunnel = next((at for at, layer in enumerate(layers) if isinstance(layer, VXLAN | Geneve)), None)
    if tunnel is None:
        return _plain(layers)
    header = layers[tunnel]
    assert isinstance(header, VXLAN | Geneve)
    name = "vxlan" if isinstance(header, VXLAN) else "geneve"
    return f"{_ends(layers[:tunnel])}  {name} {header.vni}  {_plain(layers[tunnel + 1 :])}"


def _plain(layers: Sequence[Layer]) -> str:
    said = _said(layers)
    return f"{_ends(layers)}  {said}" if said else _ends(layers)


def _ends(layers: Sequence[Layer]) -> str:
    ip = next((layer for layer in layers if isinstance(layer, IPv4 | IPv6)), None)
    if ip is None:
        arp = next((layer for layer in layers if isinstance(layer, ARP)), None)
        return f"{arp.sender_ip} → {arp.target_ip}" if arp is not None else "no IP"
    ports = next((layer for layer in layers if isinstance(layer, TCP | UDP)), None)
    if ports is None:
        return f"{ip.source} → {ip.destination}"
    brackets = ("[", "]") if isinstance(ip, IPv6) else ("", "")
    source, destination = (f"{each.join(brackets)}" for each in (ip.source, ip.destination))
    return f"{source}:{ports.source_port} → {destination}:{ports.destination_port}"


def _said(layers: Sequence[Layer]) -> str:
    for layer in layers:
        if isinstance(layer, ICMP | ICMPv6):
            key = (type(layer), layer.type)
            name = _ICMP.get(key, f"type {layer.type} code {layer.code}")
            family = "icmp" if isinstance(layer, ICMP) else "icmpv6"
            if key in _ECHOES:
                return f"{family} {name}, id {layer.rest >> 16}, seq {layer.rest & 0xFFFF}"
            return f"{family} {name}"
        if isinstance(layer, TCP):
            flags = "".join(letter for bit, letter in _LETTERS if layer.flags & bit) or "none"
            return f"tcp flags {flags}, seq {layer.sequence}, ack {layer.acknowledgement}"
        if isinstance(layer, UDP):
            return "udp"
        if isinstance(layer, ARP):
            return "arp"
    return ""
