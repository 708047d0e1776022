"""The fields of each header, with the bytes that they stand for.

Offsets are those of the diagrams in `vxtool/packet/*.py`; the values are the codec's. What depends on more than the
header, checksums above all, is given by whoever walks the layers (`layers.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from vxtool.listing.tree import At, Field
from vxtool.listing.words import (
    ARP_OPERATIONS,
    DSCP,
    ECN,
    ETHERTYPES,
    GENEVE_CLASSES,
    HARDWARE,
    ICMP_CODES,
    ICMP_TYPES,
    ICMPV6_CODES,
    ICMPV6_TYPES,
    IPV4_OPTIONS,
    IPV6_OPTIONS,
    NEIGHBOR_OPTIONS,
    PACKET_TYPES,
    PROTOCOLS,
    TCP_FLAGS,
    TCP_OPTIONS,
    flags_told,
    named,
    numbered,
)
from vxtool.packet.arp import ARP
from vxtool.packet.decoder import Layer
from vxtool.packet.ethernet import SMALLEST_ETHERTYPE, Ethernet, Vlan
from vxtool.packet.geneve import Geneve
from vxtool.packet.icmp import ICMP
from vxtool.packet.icmpv6 import ICMPv6
from vxtool.packet.ipv4 import IPv4
from vxtool.packet.ipv6 import DESTINATION_OPTIONS, FRAGMENT, HOP_BY_HOP, ROUTING, IPv6, IPv6Extension, IPv6Fragment
from vxtool.packet.loopback import FAMILIES_IPV6, FAMILY_IPV4, Loopback
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
from vxtool.packet.vxlan import VNI_VALID, VXLAN
from vxtool.packet.wire import ipv6_text, mac_text

_IPV4_SIZE, _IPV6_SIZE, _TCP_SIZE, _ICMP_SIZE = 20, 40, 20, 8
_LARGEST_LENGTH = 0xFFFF
_IP_FLAGS = ((4, "reserved bit"), (2, "don't fragment"), (1, "more fragments"))
_VXLAN_FLAGS = ((0x08, "VNI valid"), (0x80, "group policy"))
_GENEVE_FLAGS = ((0x80, "control"), (0x40, "critical options"))
_CRITICAL = 0x80
_SCALES = 14  # RFC 7323, section 2.3: a shift above counts as this
_UNREACHABLE, _REDIRECT, _PROBLEM = 3, 5, 12
_FRAGMENTATION_NEEDED = 4
_ECHO = (0, 8)
_ECHO_V6 = (128, 129)
_TOO_BIG_V6, _PROBLEM_V6 = 2, 4
ROUTER_SOLICITATION, ROUTER_ADVERTISEMENT, NEIGHBOR_SOLICITATION, NEIGHBOR_ADVERTISEMENT = 133, 134, 135, 136
NEIGHBOR_DISCOVERY = frozenset({133, 134, 135, 136, 137})


class Checksum(NamedTuple):
    """What is to be said of a checksum, and what would be right where it is not.

    `status` is "right", "wrong", "offloaded" (left to the network card, which fills it in behind the capture),
    "right_when_filled" (so of an outer one, once the inner is filled in), "none" (0: the sender made none), "cut"
    or "fragment" (cannot be verified).
    """

    status: str
    expected: int | None = None


_CHECKSUM_TEXTS = {
    "right": "right",
    "wrong": "wrong",
    "offloaded": "left to the network card (offload)",
    "right_when_filled": "right once the inner one is filled in (offload)",
    "none": "the sender made none",
    "cut": "not verifiable: not all of it was captured",
    "fragment": "not verifiable: in a fragment",
}


class Names(NamedTuple):
    """How addresses and VNIs are called; None where they have no names."""

    address: Callable[[str, int | None], str | None] = lambda _address, _vni: None  # the VNI that it goes under
    identity: Callable[[int], str | None] = lambda _vni: None


def header_length(layer: Layer) -> int:
    """The bytes that a decoded header takes: the layers of a packet stand one behind the other."""
    match layer:
        case Ethernet():
            return 14
        case Vlan() | Loopback():
            return 4
        case SLL():
            return 16
        case SLL2():
            return 20
        case IPv4():
            return layer.header_length
        case IPv6():
            return _IPV6_SIZE + sum(extension_length(one) for one in layer.extensions)
        case TCP():
            return _TCP_SIZE + sum(len(option.emit()) for option in layer.options)
        case ARP():
            return 28
        case Geneve():
            return 8 + len(layer.options)
        case UDP() | ICMP() | ICMPv6() | VXLAN():
            return 8


def extension_length(extension: IPv6Extension | IPv6Fragment) -> int:
    """The bytes that an IPv6 extension header takes."""
    return 8 if isinstance(extension, IPv6Fragment) else 2 + len(extension.data)


def fields_of(
    layer: Layer, start: int, checksum: Checksum | None, names: Names, vni: int | None
) -> tuple[Field, ...]:
    """The fields of a header that begins at `start` of its record; `vni`: what it is tunnelled under."""
    at = At(start)
    match layer:
        case Ethernet():
            at.add("destination", layer.destination, 0, 6, _mac_told(layer.destination))
            at.add("source", layer.source, 6, 6, _mac_told(layer.source))
            _ethertype(at, layer.ethertype or 0, 12)
        case Vlan():
            at.add("priority", layer.pcp, 0, 1)
            at.add("drop_eligible", bool(layer.dei), 0, 1, _yes(bool(layer.dei)))
            at.add("vlan", layer.vid, 0, 2)
            _ethertype(at, layer.ethertype or 0, 2)
        case SLL():
            at.add("packet_type", layer.packet_type, 0, 2, numbered(layer.packet_type, PACKET_TYPES))
            at.add("hardware_type", layer.hardware_type, 2, 2, named(layer.hardware_type, HARDWARE))
            _cooked_address(at, layer, 4, 2, 6)
            at.add("protocol", layer.ethertype, 14, 2, named(layer.ethertype or 0, ETHERTYPES, 4))
        case SLL2():
            at.add("protocol", layer.ethertype, 0, 2, named(layer.ethertype or 0, ETHERTYPES, 4))
            at.add("reserved", layer.reserved, 2, 2)
            at.add("interface_index", layer.interface, 4, 4)
            at.add("hardware_type", layer.hardware_type, 8, 2, named(layer.hardware_type, HARDWARE))
            at.add("packet_type", layer.packet_type, 10, 1, numbered(layer.packet_type, PACKET_TYPES))
            _cooked_address(at, layer, 11, 1, 12)
        case Loopback():
            family = layer.family or 0
            known = "IPv4" if family == FAMILY_IPV4 else "IPv6" if family in FAMILIES_IPV6 else None
            at.add("family", family, 0, 4, f"{known} ({family})" if known else str(family))
            at.add("byte_order", layer.byteorder, 0, 4, f"{layer.byteorder}-endian")
        case IPv4():
            _ipv4(at, layer, checksum, names, vni)
        case IPv6():
            _ipv6(at, layer, names, vni)
        case UDP():
            at.add("source_port", layer.source_port, 0, 2)
            at.add("destination_port", layer.destination_port, 2, 2)
            at.add("length", layer.length, 4, 2, _length_told(layer.length or 0))
            _checksum(at, layer.checksum or 0, checksum, 6)
        case TCP():
            _tcp(at, layer, checksum)
        case ICMP():
            _icmp(at, layer, checksum)
        case ICMPv6():
            _icmpv6(at, layer, checksum)
        case ARP():
            at.add("hardware_type", layer.hardware_type, 0, 2, named(layer.hardware_type, HARDWARE))
            at.add("protocol_type", layer.protocol_type, 2, 2, named(layer.protocol_type, ETHERTYPES, 4))
            at.add("hardware_size", 6, 4, 1)
            at.add("protocol_size", 4, 5, 1)
            at.add("operation", layer.operation, 6, 2, named(layer.operation, ARP_OPERATIONS))
            at.add("sender_mac", layer.sender_mac, 8, 6)
            at.add("sender_ip", layer.sender_ip, 14, 4, _address_told(layer.sender_ip, names, vni))
            at.add("target_mac", layer.target_mac, 18, 6)
            at.add("target_ip", layer.target_ip, 24, 4, _address_told(layer.target_ip, names, None))
        case VXLAN():
            _vxlan(at, layer, names)
        case Geneve():
            _geneve(at, layer, names)
    return at.all()


def summary_of(layer: Layer, names: Names, vni: int | None) -> str:
    """A header in a few words: who to whom, or what."""
    match layer:
        case Ethernet():
            return f"{layer.source} → {layer.destination}"
        case Vlan():
            return f"VLAN {layer.vid}"
        case SLL() | SLL2():
            return numbered(layer.packet_type, PACKET_TYPES).partition(" (")[0]
        case IPv4() | IPv6():
            source = names.address(layer.source, vni)
            destination = names.address(layer.destination, None)
            fragment = ", fragment" if _is_fragment(layer) else ""
            return f"{source or layer.source} → {destination or layer.destination}{fragment}"
        case UDP():
            return f"{layer.source_port} → {layer.destination_port}"
        case TCP():
            told = ", ".join(name for bit, name in TCP_FLAGS if layer.flags & bit) or "no flags"
            return f"{layer.source_port} → {layer.destination_port}, {told}"
        case ICMP():
            return ICMP_TYPES.get(layer.type, f"type {layer.type}")
        case ICMPv6():
            return ICMPV6_TYPES.get(layer.type, f"type {layer.type}")
        case ARP():
            operation = ARP_OPERATIONS.get(layer.operation, f"operation {layer.operation}")
            return f"{operation}, {layer.sender_ip} → {layer.target_ip}"
        case VXLAN() | Geneve():
            identity = names.identity(layer.vni)
            return f"VNI {layer.vni}" + (f", {identity}" if identity else "")
        case Loopback():
            return ""


def _is_fragment(layer: IPv4 | IPv6) -> bool:
    if isinstance(layer, IPv4):
        return layer.more_fragments or layer.fragment_offset > 0
    return layer.more_fragments or layer.later_fragment


def _mac_told(address: str) -> str:
    if address == "ff:ff:ff:ff:ff:ff":
        return f"{address} (broadcast)"
    return f"{address} (multicast)" if int(address[:2], 16) & 1 else address


def _address_told(address: str, names: Names, vni: int | None) -> str:
    name = names.address(address, vni)
    return f"{address} ({name})" if name else address


def _ethertype(at: At, ethertype: int, offset: int) -> None:
    if ethertype < SMALLEST_ETHERTYPE:  # IEEE 802.3: the frame's length
        at.add("length", ethertype, offset, 2, _bytes(ethertype))
    else:
        at.add("ethertype", ethertype, offset, 2, named(ethertype, ETHERTYPES, 4))


def _cooked_address(at: At, layer: SLL | SLL2, size_at: int, size_of: int, address_at: int) -> None:
    size = layer.address_length
    at.add("address_length", size, size_at, size_of, _bytes(size))
    held = min(size, len(layer.address))
    if held:
        at.add("address", mac_text(layer.address[:held]), address_at, held)
    if held < len(layer.address):
        unused = layer.address[held:]
        at.add("unused", unused.hex(), address_at + held, len(unused))


def _bytes(size: int) -> str:
    return f"{size} byte" if size == 1 else f"{size} bytes"


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _length_told(length: int) -> str:
    return _bytes(length) if length else "0: none is told, as of packets above 65,535 bytes"


def _checksum(at: At, value: int, checksum: Checksum | None, offset: int) -> None:
    told = checksum or Checksum("cut")
    text = f"0x{value:04x}, {_CHECKSUM_TEXTS[told.status]}"
    if told.expected is not None:
        text += f"; 0x{told.expected:04x} would be right"
    at.add("checksum", value, offset, 2, text)
    at.add("checksum_status", told.status, offset, 2, "")
    if told.expected is not None:
        at.add("checksum_expected", told.expected, offset, 2, "")


def _traffic_class(at: At, value: int, offset: int, length: int) -> None:
    at.add("dscp", value >> 2, offset, length, named(value >> 2, DSCP))
    at.add("ecn", value & 3, offset + length - 1, 1, numbered(value & 3, ECN))


def _ipv4(at: At, layer: IPv4, checksum: Checksum | None, names: Names, vni: int | None) -> None:
    at.add("version", 4, 0, 1)
    at.add("header_length", layer.header_length, 0, 1, _bytes(layer.header_length))
    _traffic_class(at, layer.tos, 1, 1)
    at.add("total_length", layer.total_length, 2, 2, _length_told(layer.total_length or 0))
    identification = layer.identification
    at.add("identification", identification, 4, 2, f"0x{identification:04x} ({identification})")
    at.add("flags", layer.flags, 6, 1, flags_told(layer.flags, _IP_FLAGS, 1))
    at.add("fragment_offset", layer.fragment_offset, 6, 2, _bytes(layer.fragment_offset))
    at.add("ttl", layer.ttl, 8, 1)
    at.add("protocol", layer.protocol, 9, 1, named(layer.protocol or 0, PROTOCOLS))
    _checksum(at, layer.checksum or 0, checksum, 10)
    at.add("source", layer.source, 12, 4, _address_told(layer.source, names, vni))
    at.add("destination", layer.destination, 16, 4, _address_told(layer.destination, names, None))
    if layer.options:
        inside = At(at.start + _IPV4_SIZE)
        _option_list(inside, layer.options, IPV4_OPTIONS, single=(0, 1), last=0, counts_head=True)
        size = len(layer.options)
        at.add("options", None, _IPV4_SIZE, size, _bytes(size), inside.all())


def _option_list(
    at: At,
    data: bytes,
    names: dict[int, str] | Any,
    *,
    single: tuple[int, ...],
    last: int | None,
    counts_head: bool,
) -> None:
    """Options of a kind, a length and data: `single` have the kind alone, behind `last` none follows; the length
    counts kind and length itself, or only what follows (`counts_head` false, as in IPv6)."""
    offset = 0
    while offset < len(data):
        kind = data[offset]
        name = names.get(kind, f"option {kind}")
        if kind in single:
            end = len(data) if kind == last else offset + 1
            at.add("option", kind, offset, end - offset, name)
            offset = end
            continue
        size = data[offset + 1] + (0 if counts_head else 2) if offset + 1 < len(data) else 0
        if not 2 <= size <= len(data) - offset:
            at.add("option", kind, offset, len(data) - offset, f"{name}, of an impossible length")
            return
        held = data[offset + 2 : offset + size]
        value = f" 0x{held.hex()}" if held and any(held) else ""
        at.add("option", kind, offset, size, f"{name}{value}")
        offset += size


def _ipv6(at: At, layer: IPv6, names: Names, vni: int | None) -> None:
    first, *following = [*(one.kind for one in layer.extensions), layer.protocol or 0]
    at.add("version", 6, 0, 1)
    _traffic_class(at, layer.traffic_class, 0, 2)
    at.add("flow_label", layer.flow_label, 1, 3, f"0x{layer.flow_label:05x}")
    at.add("payload_length", layer.payload_length, 4, 2, _length_told(layer.payload_length or 0))
    at.add("next_header", first, 6, 1, named(first, PROTOCOLS))
    at.add("hop_limit", layer.hop_limit, 7, 1)
    at.add("source", layer.source, 8, 16, _address_told(layer.source, names, vni))
    at.add("destination", layer.destination, 24, 16, _address_told(layer.destination, names, None))
    offset = _IPV6_SIZE
    for extension, after in zip(layer.extensions, following, strict=True):
        size = extension_length(extension)
        inside = At(at.start + offset)
        inside.add("next_header", after, 0, 1, named(after, PROTOCOLS))
        if isinstance(extension, IPv6Fragment):
            name = "fragment_header"
            inside.add("reserved", extension.reserved, 1, 1)
            inside.add("fragment_offset", extension.offset, 2, 2, _bytes(extension.offset))
            inside.add("more_fragments", extension.more_fragments, 3, 1, _yes(extension.more_fragments))
            inside.add("identification", extension.identification, 4, 4, f"0x{extension.identification:08x}")
        else:
            name = _extension(inside, extension, size)
        at.add(name, extension.kind, offset, size, _bytes(size), inside.all())
        offset += size


def _extension(inside: At, extension: IPv6Extension, size: int) -> str:
    """The fields of an extension header behind its first; returns its name."""
    inside.add("length", size, 1, 1, _bytes(size))
    data = extension.data
    if extension.kind in (HOP_BY_HOP, DESTINATION_OPTIONS):
        options = At(inside.start + 2)
        _option_list(options, data, IPV6_OPTIONS, single=(0,), last=None, counts_head=False)
        inside.fields += options.fields
        return "hop_by_hop_options" if extension.kind == HOP_BY_HOP else "destination_options"
    if extension.kind == ROUTING:
        inside.add("routing_type", data[0], 2, 1)
        inside.add("segments_left", data[1], 3, 1)
        if data[2:]:
            inside.add("data", data[2:].hex(), 4, len(data) - 2)
        return "routing_header"
    inside.add("data", data.hex(), 2, len(data))
    return {51: "authentication_header", 135: "mobility_header", FRAGMENT: "fragment_header"}[extension.kind]


def _tcp(at: At, layer: TCP, checksum: Checksum | None) -> None:
    size = header_length(layer)
    at.add("source_port", layer.source_port, 0, 2)
    at.add("destination_port", layer.destination_port, 2, 2)
    at.add("sequence", layer.sequence, 4, 4)
    at.add("acknowledgement", layer.acknowledgement, 8, 4)
    at.add("header_length", size, 12, 1, _bytes(size))
    at.add("flags", layer.flags, 12, 2, flags_told(layer.flags, TCP_FLAGS, 3))
    at.add("window", layer.window, 14, 2, f"{layer.window} (not scaled)")
    _checksum(at, layer.checksum or 0, checksum, 16)
    at.add("urgent", layer.urgent, 18, 2)
    offset = _TCP_SIZE
    if not layer.options:
        return
    inside = At(at.start)
    for option in layer.options:
        length = len(option.emit())
        match option:
            case EndOfOptions():
                inside.add("end_of_options", None, offset, length, _bytes(length))
            case Nop():
                inside.add("no_operation", None, offset, length, "filling")
            case MSS():
                inside.add("mss", option.value, offset, length, _bytes(option.value))
            case WindowScale():
                scale = f"{option.shift} (times {1 << min(option.shift, _SCALES)})"
                inside.add("window_scale", option.shift, offset, length, scale)
            case SackPermitted():
                inside.add("sack_permitted", True, offset, length, "yes")
            case Sack():
                blocks = ", ".join(f"{left} to {right}" for left, right in option.blocks)
                inside.add("sack", blocks, offset, length)
            case Timestamps():
                told = f"{option.value}, echo {option.echo}"
                value = Field("value", option.value, "", at.start + offset + 2, 4)
                echo = Field("echo", option.echo, "", at.start + offset + 6, 4)
                inside.add("timestamps", option.value, offset, length, told, (value, echo))
            case UnknownOption():
                name = TCP_OPTIONS.get(option.kind, "unknown")
                held = f", 0x{option.data.hex()}" if option.data else ""
                inside.add("option", option.kind, offset, length, f"{name} ({option.kind}){held}")
            case BrokenOption():
                inside.add("broken_option", option.data.hex(), offset, length, f"0x{option.data.hex()}")
        offset += length
    at.add("options", None, _TCP_SIZE, size - _TCP_SIZE, _bytes(size - _TCP_SIZE), inside.all())


def _icmp(at: At, layer: ICMP, checksum: Checksum | None) -> None:
    at.add("type", layer.type, 0, 1, named(layer.type, ICMP_TYPES))
    at.add("code", layer.code, 1, 1, numbered(layer.code, ICMP_CODES.get(layer.type, ())))
    _checksum(at, layer.checksum or 0, checksum, 2)
    if layer.type in _ECHO:
        _echo(at, layer)
    elif layer.type == _UNREACHABLE and layer.code == _FRAGMENTATION_NEEDED:
        at.add("unused", layer.rest >> 16, 4, 2)
        at.add("mtu", layer.mtu, 6, 2, _bytes(layer.mtu or 0))
    elif layer.type == _REDIRECT:
        gateway = ".".join(str(octet) for octet in layer.rest.to_bytes(4, "big"))
        at.add("gateway", gateway, 4, 4)
    elif layer.type == _PROBLEM:
        at.add("pointer", layer.rest >> 24, 4, 1)
        at.add("unused", layer.rest & 0xFFFFFF, 5, 3)
    else:
        at.add("rest", layer.rest, 4, 4, f"0x{layer.rest:08x}")


def _echo(at: At, layer: ICMP | ICMPv6) -> None:
    identifier, sequence = layer.rest >> 16, layer.rest & 0xFFFF
    at.add("identifier", identifier, 4, 2, f"0x{identifier:04x} ({identifier})")
    at.add("sequence", sequence, 6, 2)


def _icmpv6(at: At, layer: ICMPv6, checksum: Checksum | None) -> None:
    at.add("type", layer.type, 0, 1, named(layer.type, ICMPV6_TYPES))
    at.add("code", layer.code, 1, 1, numbered(layer.code, ICMPV6_CODES.get(layer.type, ())))
    _checksum(at, layer.checksum or 0, checksum, 2)
    if layer.type in _ECHO_V6:
        _echo(at, layer)
    elif layer.type == _TOO_BIG_V6:
        at.add("mtu", layer.rest, 4, 4, _bytes(layer.rest))
    elif layer.type == _PROBLEM_V6:
        at.add("pointer", layer.rest, 4, 4)
    elif layer.type == ROUTER_ADVERTISEMENT:
        at.add("hop_limit", layer.rest >> 24, 4, 1)
        flags = layer.rest >> 16 & 0xFF
        at.add("flags", flags, 5, 1, flags_told(flags, ((0x80, "managed"), (0x40, "other")), 2))
        at.add("lifetime", layer.rest & 0xFFFF, 6, 2, f"{layer.rest & 0xFFFF} s")
    elif layer.type == NEIGHBOR_ADVERTISEMENT:
        flags = layer.rest >> 24
        bits = ((0x80, "router"), (0x40, "solicited"), (0x20, "override"))
        at.add("flags", flags, 4, 4, flags_told(flags, bits, 2))
    else:
        at.add("rest", layer.rest, 4, 4, f"0x{layer.rest:08x}")


def neighbor_discovery(kind: int, start: int, data: bytes) -> tuple[Field, ...]:
    """What neighbour discovery says behind the first 8 bytes (RFC 4861, section 4): `data`, at `start`."""
    at = At(start)
    offset = 0
    if kind in (NEIGHBOR_SOLICITATION, NEIGHBOR_ADVERTISEMENT) and len(data) >= 16:
        at.add("target", ipv6_text(data[:16]), 0, 16)
        offset = 16
    elif kind == ROUTER_ADVERTISEMENT and len(data) >= 8:
        for name, where in (("reachable_time", 0), ("retransmission_time", 4)):
            time = int.from_bytes(data[where : where + 4], "big")
            at.add(name, time, where, 4, f"{time} ms")
        offset = 8
    elif kind != ROUTER_SOLICITATION:
        return ()
    while len(data) - offset >= 8:
        option, size = data[offset], data[offset + 1] * 8
        if not 8 <= size <= len(data) - offset:
            break
        held = data[offset + 2 : offset + size]
        match option:
            case 1 | 2:
                text = mac_text(held)
            case 3:
                text = f"{ipv6_text(held[14:30])}/{held[0]}" if len(held) == 30 else f"0x{held.hex()}"
            case 5 if size == 8:
                text = str(int.from_bytes(held[2:], "big"))
            case _:
                text = f"0x{held.hex()}"
        at.add("option", option, offset, size, f"{NEIGHBOR_OPTIONS.get(option, f'option {option}')} {text}")
        offset += size
    return at.all()


def _vxlan(at: At, layer: VXLAN, names: Names) -> None:
    at.add("flags", layer.flags, 0, 1, flags_told(layer.flags, _VXLAN_FLAGS, 2))
    policy = layer.group_policy_id
    if policy is None:
        at.add("reserved", layer.reserved, 1, 3, f"0x{layer.reserved:06x}" if layer.reserved else "0")
    else:
        policy_flags = layer.reserved >> 16
        bits = ((0x40, "don't learn"), (0x08, "policy applied"))
        at.add("policy_flags", policy_flags, 1, 1, flags_told(policy_flags, bits, 2))
        at.add("group_policy", policy, 2, 2)
    _vni(at, layer.vni, names, 4)
    if not layer.flags & VNI_VALID:
        at.add("vni_valid", False, 0, 1, "no: flag 0x08 is not set")
    at.add("reserved_low", layer.reserved_low, 7, 1)


def _vni(at: At, vni: int, names: Names, offset: int) -> None:
    identity = names.identity(vni)
    at.add("vni", vni, offset, 3, f"{vni} ({identity})" if identity else str(vni))
    if identity:
        at.add("identity", identity, offset, 3, "")


def _geneve(at: At, layer: Geneve, names: Names) -> None:
    size = len(layer.options)
    at.add("version", 0, 0, 1)
    at.add("options_length", size, 0, 1, _bytes(size))
    at.add("flags", layer.flags, 1, 1, flags_told(layer.flags, _GENEVE_FLAGS, 2))
    at.add("protocol_type", layer.protocol_type, 2, 2, named(layer.protocol_type, ETHERTYPES, 4))
    _vni(at, layer.vni, names, 4)
    at.add("reserved", layer.reserved, 7, 1)
    offset = 0
    while size - offset >= 4:
        options = layer.options
        kind = int.from_bytes(options[offset : offset + 2], "big")
        held = (options[offset + 3] & 0x1F) * 4
        length = min(4 + held, size - offset)
        inside = At(at.start + 8 + offset)
        inside.add("class", kind, 0, 2, named(kind, GENEVE_CLASSES, 4))
        critical = ", critical" if options[offset + 2] & _CRITICAL else ""
        inside.add("type", options[offset + 2], 2, 1, f"0x{options[offset + 2]:02x}{critical}")
        cut = " (runs beyond the header)" if 4 + held > length else ""
        inside.add("length", held, 3, 1, _bytes(held) + cut)
        if length > 4:
            data = options[offset + 4 : offset + length].hex()
            inside.add("data", data, 4, length - 4, f"0x{data}")
        at.add("option", kind, 8 + offset, length, _bytes(length), inside.all())
        offset += length
