"""Plain options to trains: the inner packet, the tunnel around it, and what counts from packet to packet.

What is not said is as Linux and Cilium do it: identifications and echo sequence numbers count, so that no two
packets are equal; the outer UDP checksum is 0 over IPv4 and right over IPv6; the outer source port follows from the
inner flow.
"""

from __future__ import annotations

from dataclasses import replace

from vxtool.craft.packets import Packets, as_given, interval_ns
from vxtool.craft.train import Train
from vxtool.craft.values import located
from vxtool.craft.vary import add_variations
from vxtool.craft.wrong import make_wrong
from vxtool.errors import UsageError
from vxtool.packet import (
    ICMP,
    MSS,
    TCP,
    UDP,
    VXLAN,
    Ethernet,
    Geneve,
    ICMPv6,
    IPv4,
    IPv6,
    Layer,
    Nop,
    SackPermitted,
    Timestamps,
    Vlan,
    WindowScale,
    encode,
    flow_port,
)
from vxtool.packet.geneve import IANA_PORT as GENEVE_PORT
from vxtool.packet.ipv4 import DONT_FRAGMENT
from vxtool.packet.tcp import ACK, SYN, Option
from vxtool.packet.vxlan import GROUP_POLICY, LINUX_PORT, VNI_VALID

NODE_MACS = ("02:00:00:00:00:01", "02:00:00:00:00:02")
POD_MACS = ("02:00:00:00:01:01", "02:00:00:00:01:02")
_ICMP = {"echo": (8, 0), "reply": (0, 0), "unreachable": (3, 0), "too-big": (3, 4), "time-exceeded": (11, 0)}
_ICMPV6 = {"echo": (128, 0), "reply": (129, 0), "unreachable": (1, 0), "too-big": (2, 0), "time-exceeded": (3, 0)}
_ECHOES = ("echo", "reply")
_DATA = 56  # bytes behind an echo's header, as ping sends
_DSR_CLASS, _DSR_TYPE = 0x014B, 0x81  # Cilium's bpf/lib/tunnel.h; the high bit: critical
CRITICAL = 0x40  # RFC 8926, section 3.4: set where an option is critical

_OF_TCP = ("flags", "seq", "ack", "window", "mss", "window_scale", "timestamps", "sack")
_OF_ICMP = ("icmp_id", "icmp_seq")
_OF_TUNNEL = (
    "vni", "tunnel", "tunnel_port", "vxlan_flags", "group_policy", "reserved", "geneve_option", "geneve_dsr",
    "outer_checksum", "inner_mac", "inner_vlan", "inner_ttl", "inner_tos", "inner_df", "inner_id",
)  # fmt: skip
_OF_VXLAN = ("vxlan_flags", "group_policy", "reserved")
_OF_GENEVE = ("geneve_option", "geneve_dsr")


def build_trains(packets: Packets, option: str = "--") -> list[Train]:
    """The trains that `packets` asks for: one, or several where something other than a header field varies.

    `option` is what the user writes before an option's name. Raises UsageError where options contradict each other
    and PacketError where a value fits no packet.
    """
    _check(packets, option)
    layers, payload = _inner(packets, option)
    link: tuple[Layer, ...] = (
        Ethernet(*(packets.mac or NODE_MACS)),
        *(Vlan(vid) for vid in packets.vlan),
    )
    if packets.outer is not None:
        layers = _tunnelled(packets, layers, payload)
    elif layers and isinstance(layers[0], Ethernet):
        link, layers = _split_link(layers, link, packets.mac is not None)
    layers = make_wrong(layers, payload, packets.wrong, option)
    train = Train(
        layers=layers,
        payload=payload,
        link=link,
        count=packets.count,
        time_ns=packets.start,
        interval_ns=interval_ns(packets.rate),
        cut=packets.truncate,
    )
    trains = add_variations(train, packets, option)
    return [replace(each, cut=_cut(each, packets.truncate)) for each in trains]


def _cut(train: Train, left: int | None) -> int | None:
    return None if left is None else min(left, len(train.whole))


def _check(packets: Packets, option: str) -> None:
    """Refuse what makes no sense together, before something is quietly left out."""
    kinds = [name for name in ("icmp", "tcp", "udp") if getattr(packets, name) is not None]
    if len(kinds) > 1:
        raise UsageError(f"{option}{kinds[0]} and {option}{kinds[1]} cannot be one packet; give one of them")
    if packets.inner is not None:
        names = ("from_", "to", "icmp", "tcp", "udp", "size", "payload", *_OF_TCP, *_OF_ICMP)
        _refuse(packets, names, f"says what {option}inner says already; put it there", option)
    elif packets.from_ is None or packets.to is None:
        raise UsageError(
            f"{option}from and {option}to are missing: the addresses inside; or give {option}inner or a scenario"
        )
    elif (":" in packets.from_) != (":" in packets.to):
        raise UsageError(f"{option}from and {option}to mix IPv4 and IPv6; give two of one family")
    if packets.tcp is None:
        _refuse(packets, _OF_TCP, f"needs {option}tcp", option)
    if packets.icmp is None or packets.icmp[0] not in _ECHOES:
        _refuse(packets, _OF_ICMP, f"needs {option}icmp echo or reply", option)
    if packets.outer is None:
        _refuse(packets, _OF_TUNNEL, f"needs {option}outer, the nodes' addresses", option)
    elif packets.vni is None:
        raise UsageError(f"{option}vni is missing: the network, or the identity of the source for Cilium")
    if packets.tunnel == "geneve":
        _refuse(packets, _OF_VXLAN, f"is VXLAN's; leave out {option}tunnel geneve", option)
    else:
        _refuse(packets, _OF_GENEVE, f"needs {option}tunnel geneve", option)
    if packets.group_policy is not None and packets.reserved is not None:
        raise UsageError(f"{option}group-policy and {option}reserved are the same bits; give one of them")


def _refuse(packets: Packets, names: tuple[str, ...], why: str, option: str) -> None:
    for name in as_given(names, packets):
        raise UsageError(f"{option}{name} {why}")


# Inside.


def _inner(packets: Packets, option: str) -> tuple[tuple[Layer, ...], bytes]:
    """The inner packet from its IP header on; a whole frame, from its Ethernet header on, where scapy made it."""
    if packets.inner is not None:
        from vxtool.craft.expression import frame_layers

        with located(f"{option}inner"):
            return frame_layers(packets.inner)
    assert packets.from_ is not None
    assert packets.to is not None
    tunnelled = packets.outer is not None
    six = ":" in packets.from_
    ip: IPv4 | IPv6
    ttl = packets.inner_ttl if tunnelled else packets.ttl
    tos = packets.inner_tos if tunnelled else packets.tos
    if six:
        ip = IPv6(packets.from_, packets.to, hop_limit=64 if ttl is None else ttl, traffic_class=tos or 0)
    else:
        identification = packets.inner_id if tunnelled else packets.id
        ip = IPv4(
            packets.from_,
            packets.to,
            ttl=64 if ttl is None else ttl,
            tos=tos or 0,
            identification=1 if identification is None else identification,
            flags=DONT_FRAGMENT if (packets.inner_df if tunnelled else packets.df) else 0,
        )
    transport = _transport(packets, six)
    if transport is None:
        ip = ip._replace(protocol=59 if six else 255)
    layers: tuple[Layer, ...] = (ip,) if transport is None else (ip, transport)
    usual = packets.payload
    if usual is None:
        usual = bytes(index & 0xFF for index in range(_DATA)) if isinstance(transport, ICMP | ICMPv6) else b""
    return layers, sized(layers, usual, packets.size, option)


def sized(layers: tuple[Layer, ...], payload: bytes, size: int | None, option: str = "--") -> bytes:
    """The payload, cut or repeated so that the packet has `size` bytes; zeros where there is nothing to repeat."""
    if size is None:
        return payload
    room = size - len(encode(*layers))
    if room < 0:
        raise UsageError(f"{option}size: {size} bytes are too few; the headers alone take {size - room}")
    if len(payload) >= room:
        return payload[:room]
    source = payload or b"\0"
    return (source * (room // len(source) + 1))[:room]


def _transport(packets: Packets, six: bool) -> TCP | UDP | ICMP | ICMPv6 | None:
    if packets.tcp is not None:
        return TCP(
            *packets.tcp,
            sequence=packets.seq or 0,
            acknowledgement=packets.ack or 0,
            flags=_flags(packets),
            window=65535 if packets.window is None else packets.window,
            options=tcp_options(packets.mss, packets.window_scale, packets.timestamps, packets.sack),
        )
    if packets.udp is not None:
        return UDP(*packets.udp)
    if packets.icmp is None:
        return None
    kind, extra = packets.icmp
    if isinstance(kind, int):
        type_, code, rest = kind, extra, 0
    else:
        type_, code = (_ICMPV6 if six else _ICMP)[kind]
        rest = extra
        if kind in _ECHOES:
            rest = (packets.icmp_id or 0) << 16 | (1 if packets.icmp_seq is None else packets.icmp_seq)
    return ICMPv6(type_, code, rest) if six else ICMP(type_, code, rest)


def _flags(packets: Packets) -> int:
    if packets.flags is not None:
        return packets.flags
    return ACK if packets.ack is not None else SYN


def tcp_options(
    mss: int | None, scale: int | None, clock: tuple[int, int] | None, sack: bool
) -> tuple[Option, ...]:
    """TCP's options in whole words, in Linux's order."""
    options: list[Option] = []
    if mss is not None:
        options.append(MSS(mss))
    if sack and clock is not None:
        options.append(SackPermitted())
    elif sack:
        options += [Nop(), Nop(), SackPermitted()]
    if clock is not None:
        options += [] if sack else [Nop(), Nop()]
        options.append(Timestamps(*clock))
    if scale is not None:
        options += [Nop(), WindowScale(scale)]
    return tuple(options)


def _split_link(
    layers: tuple[Layer, ...], link: tuple[Layer, ...], chosen: bool
) -> tuple[tuple[Layer, ...], tuple[Layer, ...]]:
    """The frame's own link header, unless the user chose another, and what is behind it."""
    size = 1
    while size < len(layers) and isinstance(layers[size], Vlan):
        size += 1
    own = layers[:size]
    if chosen and isinstance(own[0], Ethernet) and isinstance(link[0], Ethernet):
        own = (own[0]._replace(source=link[0].source, destination=link[0].destination), *own[1:])
    return own, layers[size:]


# Outside.


def _tunnelled(packets: Packets, inner: tuple[Layer, ...], payload: bytes) -> tuple[Layer, ...]:
    assert packets.outer is not None
    assert packets.vni is not None
    if not inner or not isinstance(inner[0], Ethernet):
        tags = tuple(Vlan(vid) for vid in packets.inner_vlan)
        inner = (Ethernet(*(packets.inner_mac or POD_MACS)), *tags, *inner)
    source, destination = packets.outer
    header: VXLAN | Geneve
    if packets.tunnel == "geneve":
        options = geneve_options(packets)
        header = Geneve(packets.vni, flags=CRITICAL if packets.geneve_dsr else 0, options=options)
        port = GENEVE_PORT
    else:
        flags = VNI_VALID if packets.vxlan_flags is None else packets.vxlan_flags
        reserved = packets.reserved or 0
        if packets.group_policy is not None:
            flags, reserved = flags | GROUP_POLICY, packets.group_policy
        header = VXLAN(packets.vni, flags, reserved)
        port = LINUX_PORT
    ports = (
        flow_port(encode(*inner, payload=payload)) if source.port is None else source.port,
        destination.port or packets.tunnel_port or port,
    )
    ttl = 64 if packets.ttl is None else packets.ttl
    if ":" in source.address:
        ip6 = IPv6(source.address, destination.address, hop_limit=ttl, traffic_class=packets.tos or 0)
        return (ip6, UDP(*ports), header, *inner)
    ip4 = IPv4(
        source.address,
        destination.address,
        ttl=ttl,
        tos=packets.tos or 0,
        identification=1 if packets.id is None else packets.id,
        flags=DONT_FRAGMENT if packets.df else 0,
    )
    return (ip4, UDP(*ports, checksum=None if packets.outer_checksum else 0), header, *inner)


def geneve_options(packets: Packets) -> bytes:
    """Geneve's options: those given in hexadecimal, and Cilium's that holds the service's address for DSR."""
    options = b"".join(packets.geneve_option)
    if packets.geneve_dsr is not None:
        options += dsr_option(packets.geneve_dsr.address, packets.geneve_dsr.port or 0)
    return options


def dsr_option(address: str, port: int) -> bytes:
    """The option in which Cilium's DSR carries a service's address and port (bpf/lib/tunnel.h)."""
    from ipaddress import ip_address

    packed = ip_address(address).packed
    body = packed + port.to_bytes(2, "big") + bytes(2)
    return _DSR_CLASS.to_bytes(2, "big") + bytes((_DSR_TYPE, len(body) // 4)) + body
