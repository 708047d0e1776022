"""Lines for filters to be asked about, made without the lister: from values, or from a capture by the codec."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from vxtool.capture.reader import read_capture
from vxtool.listing.facts import Facts
from vxtool.packet import ARP, ICMP, SLL, SLL2, TCP, UDP, Ethernet, Geneve, ICMPv6, IPv4, IPv6, Layer, Vlan, decode

_FIXED = {Ethernet: 14, Vlan: 4, SLL: 16, SLL2: 20, UDP: 8, ICMP: 8, ICMPv6: 8, ARP: 28}


@dataclass
class PlainSeen:
    """As vxtool.listing.seen.Seen, by hand."""

    captured: int = 100
    length: int = 100
    source: tuple[int, bytes] | None = None
    destination: tuple[int, bytes] | None = None
    tunnel: str | None = None
    vni: int | None = None
    outer_source: tuple[int, bytes] | None = None
    outer_destination: tuple[int, bytes] | None = None
    outer_source_port: int = 0
    outer_destination_port: int = 0
    ip: bytes | None = None
    is_ipv6: bool = False
    ttl: int = 0
    transport: int | None = None
    has_ports: bool = False
    source_port: int = 0
    destination_port: int = 0
    header: bytes | None = None
    payload_length: int = 0


@dataclass
class PlainNote:
    """As vxtool.listing.streams.StreamNote, by hand."""

    stream: int = 0
    notes: int = 0
    sequence: int = 0
    acknowledgement: int = 0
    window: int = 0
    duplicate_number: int = 0
    duplicate_of: int = 0


def ipv4(text: str) -> tuple[int, bytes]:
    return 1, ip_address(text).packed


def ipv6(text: str) -> tuple[int, bytes]:
    return 2, ip_address(text).packed


def facts(seen: PlainSeen | None = None, note: PlainNote | None = None, **known: object) -> Facts:
    """A line of which only this much is known."""
    line = Facts(seen or PlainSeen(), note, record=1, input=0, time_ns=0, relative_ns=0)
    for name, value in known.items():
        setattr(line, name, value)
    return line


def lines_of(path: Path) -> Iterator[Facts]:
    """The records of a capture as the codec reads them: no streams, no names, no applications."""
    with read_capture(path) as capture:
        first = None
        for number, record in enumerate(capture, 1):
            first = record.time_ns if first is None else first
            link = capture.container.interfaces[record.interface].link_type
            seen = seen_of(record.data, record.length, link)
            yield Facts(seen, None, number, 0, record.time_ns, record.time_ns - first)


def seen_of(data: bytes, length: int, link: int) -> PlainSeen:
    packet = decode(data, link, length)
    seen = PlainSeen(captured=len(data), length=length)
    if packet.tunnel is not None and packet.outer_ip is not None:
        seen.tunnel = "geneve" if isinstance(packet.tunnel, Geneve) else "vxlan"
        seen.vni = packet.vni
        seen.outer_source, seen.outer_destination = _end(packet.outer_ip.source), _end(packet.outer_ip.destination)
        seen.outer_source_port = packet.outer_source_port or 0
        seen.outer_destination_port = packet.outer_destination_port or 0
    at = 0
    for layer in packet.layers:
        size = _size(layer)
        if isinstance(layer, IPv4 | IPv6):
            seen.ip, seen.is_ipv6 = data[at : at + size], isinstance(layer, IPv6)
            seen.ttl, seen.transport = packet.ttl or 0, layer.protocol
            seen.source, seen.destination = _end(layer.source), _end(layer.destination)
            seen.payload_length = _total(layer, seen.ip) - size
        elif isinstance(layer, ARP):
            seen.ip = seen.transport = None
        at += size
    last = packet.layers[-1]
    if isinstance(last, TCP | UDP | ICMP | ICMPv6 | ARP):
        seen.header = data[at - _size(last) : at]
        seen.payload_length -= len(seen.header)
    if isinstance(last, TCP | UDP):
        seen.has_ports, seen.source_port, seen.destination_port = True, last.source_port, last.destination_port
    return seen


def _total(layer: IPv4 | IPv6, header: bytes) -> int:
    if isinstance(layer, IPv4):
        return int.from_bytes(header[2:4], "big")
    return 40 + int.from_bytes(header[4:6], "big")


def _size(layer: Layer) -> int:
    match layer:
        case IPv4():
            return layer.header_length
        case IPv6():
            return 40 + sum(len(extension.emit(0)) for extension in layer.extensions)
        case TCP():
            return 20 + sum(len(option.emit()) for option in layer.options)
        case Geneve():
            return 8 + len(layer.options)
    return _FIXED.get(type(layer), 8)


def _end(text: str | None) -> tuple[int, bytes]:
    address = ip_address(text or "0.0.0.0")
    return (1 if address.version == 4 else 2), address.packed
