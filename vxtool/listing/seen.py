"""One record as a packet list sees it: what columns and filters ask of it.

Where there is a tunnel, "inner" is the innermost frame; all that is said without "outer" is of it. The plain twin
of vxtool/listing/native/seen.h and seen.c, by which it is read where the C was built. What are pointers there are
bytes here: from there on, as far as captured and the layers around it reach.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from vxtool.errors import PacketError
from vxtool.listing.frames import arp_protocol, ip_protocol, link_protocol
from vxtool.packet.arp import ARP
from vxtool.packet.decoder import DEFAULT_PORTS, Layer, Places, decode_with_places, link_number
from vxtool.packet.ethernet import Ethernet, Vlan
from vxtool.packet.geneve import Geneve
from vxtool.packet.icmp import ICMP
from vxtool.packet.icmpv6 import ICMPv6
from vxtool.packet.ipv4 import IPv4
from vxtool.packet.ipv6 import IPv6, IPv6Fragment
from vxtool.packet.loopback import Loopback
from vxtool.packet.sll import SLL, SLL2
from vxtool.packet.tcp import TCP
from vxtool.packet.udp import UDP
from vxtool.packet.vxlan import VXLAN

END_IPV4, END_IPV6, END_MAC = 1, 2, 3

# What the info column tells of; `told` is where that begins.
TELLS_NOTHING = 0
"""An unknown link type."""
TELLS_LINK = 1
"""A frame of neither IP nor ARP: what follows its link header."""
TELLS_CUT_LINK = 2
"""A link header that is not whole."""
TELLS_ARP = 3
TELLS_BAD_IPV4 = 4
"""What should be an IP header is not."""
TELLS_BAD_IPV6 = 5
TELLS_BAD_IP = 6
"""Either, on a link that does not say which."""
TELLS_FRAGMENT = 7
"""The IP header of a fragment, the outermost that is one."""
TELLS_IP = 8
"""What follows the innermost IP header, which is none of these:"""
TELLS_TCP = 9
TELLS_UDP = 10
TELLS_ICMP = 11
TELLS_ICMPV6 = 12
TELLS_TUNNEL = 13
"""What follows a UDP header, or a tunnel header in which nothing is known."""

NO_TRANSPORT = -1

_IPV4, _IPV6, _TRANSPARENT = 0x0800, 0x86DD, 0x6558
_ARP = 0x0806
_ICMP, _IP_IN_IP, _TCP, _UDP, _IPV6_IN_IP, _ROUTING, _GRE, _ICMPV6 = 1, 4, 6, 17, 41, 43, 47, 58
_LINK_ETHERNET, _LINK_SLL, _LINK_SLL2, _LINK_IPV4, _LINK_IPV6 = 1, 113, 276, 228, 229
_PORTS_SIZE, _TCP_SIZE, _UDP_SIZE, _ICMP_SIZE = 4, 20, 8, 8
_MOST_ENCAPSULATIONS = 8


class End(NamedTuple):
    """Who sent it, or to whom: an address of 4 or 16 bytes, or a MAC of 6."""

    kind: int
    octets: bytes


class SegmentFields(NamedTuple):
    """What a stream wants to know of a TCP segment beside its time, record and network."""

    is_ipv6: bool
    flags: int
    source: bytes
    destination: bytes
    source_port: int
    destination_port: int
    window: int
    sequence: int
    acknowledgement: int
    payload_length: int
    options: bytes


@dataclass(slots=True)
class Seen:
    """One record. Lengths are in bytes; `length` is the record's on the wire."""

    data: bytes
    captured: int
    length: int
    source: End | None = None
    """As the columns show them: of the innermost IP, or of ARP and frames without IP, MACs."""
    destination: End | None = None
    tells: int = TELLS_NOTHING
    told: bytes = b""
    told_at: int = 0
    """Where in `data` that is."""
    told_length: int = 0
    """On the wire, by the lengths of the headers before it."""
    protocol: str = ""
    """As the column shows it, but for applications."""
    tunnel: str | None = None
    """Of the outermost tunnel: "vxlan", "geneve"."""
    vni: int = -1
    """The innermost; -1: none."""
    network: int = -1
    """The VNI around `ip`: of a fragment, what it carries may have another; -1: none."""
    outer_source: End | None = None
    outer_destination: End | None = None
    outer_source_port: int = 0
    outer_destination_port: int = 0
    ip: bytes | None = None
    ip_at: int = 0
    is_ipv6: bool = False
    ttl: int = 0
    transport: int = NO_TRANSPORT
    has_ports: bool = False
    source_port: int = 0
    destination_port: int = 0
    header: bytes | None = None
    """Of TCP, UDP, ICMP, ICMPv6 or ARP, but for TCP's options whole."""
    payload: bytes | None = None
    payload_length: int = 0
    layers: tuple[Layer, ...] = ()

    @property
    def told_captured(self) -> int:
        """The bytes of it in the record."""
        return len(self.told)


def read(data: bytes, length: int, link_type: int, ports: Mapping[int, str] | None = None) -> Seen:
    """Decode a record and say who sent what to whom. Of one whose link header is cut off, or of an unknown link
    type, only what there is. `ports` as for vxtool.packet.decode."""
    seen = Seen(data, len(data), length, told=data, told_length=max(length, len(data)))
    try:
        link_number(link_type)
    except PacketError:
        return seen
    try:
        places = decode_with_places(data, link_type, length, ports)
    except PacketError:
        _read_cut_link(seen, link_type)
        return seen
    _Reading(seen, places, 0, dict(DEFAULT_PORTS if ports is None else ports)).read_record(link_type)
    return seen


def segment_of(seen: Seen) -> SegmentFields | None:
    """What a stream wants of a TCP segment. None: it is none, or its header was not captured, or it is quoted in
    an ICMP error, or a fragment."""
    header = seen.header
    if seen.tells != TELLS_TCP or header is None or seen.source is None or seen.destination is None:
        return None
    return SegmentFields(
        seen.is_ipv6,
        header[13],
        seen.source.octets,
        seen.destination.octets,
        seen.source_port,
        seen.destination_port,
        int.from_bytes(header[14:16], "big"),
        int.from_bytes(header[4:8], "big"),
        int.from_bytes(header[8:12], "big"),
        seen.payload_length,
        header[_TCP_SIZE : (header[12] >> 4) * 4],
    )


def _read_cut_link(seen: Seen, link_type: int) -> None:
    data = seen.data
    seen.tells = TELLS_CUT_LINK
    if link_type == _LINK_ETHERNET:
        seen.protocol = "Ethernet"
        _read_mac_ends(seen, data)
    elif link_type == _LINK_SLL:
        seen.protocol = "SLL"
        if len(data) >= 14:
            _read_cooked_end(seen, _be16(data, 4), data[6:14])
    elif link_type == _LINK_SLL2:
        seen.protocol = "SLL"
        if len(data) >= 18:
            _read_cooked_end(seen, data[11], data[12:20])
    else:
        seen.protocol = "N/A"


def _be16(data: bytes, at: int = 0) -> int:
    return int.from_bytes(data[at : at + 2], "big")


def _read_mac_ends(seen: Seen, header: bytes) -> None:
    if len(header) >= 6:
        seen.destination = End(END_MAC, header[:6])
    if len(header) >= 12:
        seen.source = End(END_MAC, header[6:12])


def _read_cooked_end(seen: Seen, size: int, octets: bytes) -> None:
    """Cooked headers name the sender only."""
    if size == 6:
        seen.source = End(END_MAC, octets[:6])
    elif size == 4:
        seen.source = End(END_IPV4, octets[:4])


def _routed_to(header: bytes) -> bytes | None:
    """The last address of a routing header that is still on its way (RFC 5095; RFC 8754, where the last is the
    first)."""
    if header[3] == 0 or len(header) < 24:
        return None
    if header[2] in (2, 4):
        return header[8:24]
    last = 8 + (len(header) - 24) // 16 * 16
    return header[last : last + 16] if header[2] == 0 else None


class _Reading:
    """A record, or what an IP header or GRE carries, on its way: `base` is where it begins."""

    def __init__(self, seen: Seen, places: Places, base: int, ports: dict[int, str], depth: int = 0) -> None:
        self.seen = seen
        self.places = places
        self.base = base
        self.ports = ports
        self.depth = depth
        self.fragmented = False
        """Columns tell of a fragment: only tunnels are looked for from there on."""
        self.ends: tuple[End | None, End | None] = (None, None)
        """Of the IP header that was last."""

    def read_record(self, link_type: int) -> None:
        seen = self.seen
        if not self.base:
            seen.layers = self.places.packet.layers
        before: Layer | None = None
        for layer, start in zip(self.places.packet.layers, self.places.starts, strict=True):
            header = seen.data[self.base + start :]
            match layer:
                case Ethernet():
                    if not self.fragmented:
                        _read_mac_ends(seen, header)
                case SLL():
                    _read_cooked_end(seen, _be16(header, 4), header[6:14])
                case SLL2():
                    _read_cooked_end(seen, header[11], header[12:20])
                case IPv4() | IPv6():
                    if not self._read_ip(layer, start, header):
                        return
                case VXLAN() | Geneve():
                    seen.vni = layer.vni
                    if seen.tunnel is None and isinstance(before, UDP):
                        seen.tunnel = "vxlan" if isinstance(layer, VXLAN) else "geneve"
                        seen.outer_source, seen.outer_destination = self.ends
                        seen.outer_source_port = before.source_port
                        seen.outer_destination_port = before.destination_port
            before = layer
        if not self.fragmented:
            self._read_end(link_type)

    def _tell(self, tells: int, offset: int, limit: int) -> None:
        """Let the info column tell of what is at an offset, which layers have up to `limit`."""
        seen = self.seen
        at, end = self.base + offset, self.base + max(limit, offset)
        seen.tells = tells
        seen.told_at = at
        seen.told = seen.data[at:end]
        seen.told_length = end - at

    def _tell_rest(self, tells: int) -> None:
        self._tell(tells, self.places.payload, self.places.limit)

    def _read_ip(self, layer: IPv4 | IPv6, start: int, header: bytes) -> bool:
        """False: the header is not to be believed, and nothing follows."""
        seen, limit = self.seen, self.places.limit
        if isinstance(layer, IPv4):
            if 0 < _be16(header, 2) < (header[0] & 15) * 4:
                if not self.fragmented:
                    seen.protocol = "IPv4"
                    self._tell(TELLS_BAD_IPV4, start, limit)
                return False
            self.ends = End(END_IPV4, header[12:16]), End(END_IPV4, header[16:20])
        else:
            self.ends = End(END_IPV6, header[8:24]), End(END_IPV6, header[24:40])
        if self.fragmented:
            return True
        fragment = False
        if isinstance(layer, IPv4):
            total = _be16(header, 2)
            # Wireshark does not wait for the others of a first fragment that was not captured whole, and shows
            # what is in it.
            whole = (header[0] & 15) * 4 < total and self.base + start + total <= seen.captured
            fragment = _be16(header, 6) & 0x1FFF != 0 or (header[6] & 0x20 != 0 and whole)
        else:
            for one in layer.extensions:
                if isinstance(one, IPv6Fragment):
                    fragment = one.offset != 0 or one.more_fragments
                elif one.kind == _ROUTING:
                    routed = _routed_to(one.emit(0))
                    if routed is not None:
                        self.ends = self.ends[0], End(END_IPV6, routed)
        seen.source, seen.destination = self.ends
        seen.ip = header
        seen.ip_at = self.base + start
        seen.network = seen.vni
        seen.is_ipv6 = isinstance(layer, IPv6)
        seen.protocol = "IPv6" if seen.is_ipv6 else "IPv4"
        seen.ttl = header[7 if seen.is_ipv6 else 8]
        seen.transport = layer.protocol or 0
        self.fragmented = fragment
        if fragment:
            self._tell(TELLS_FRAGMENT, start, limit)
        return True

    def _read_ports(self) -> None:
        seen = self.seen
        seen.has_ports = True
        seen.source_port, seen.destination_port = _be16(seen.told), _be16(seen.told, 2)

    def _read_header(self, size: int) -> None:
        seen = self.seen
        seen.header = seen.told
        seen.payload = seen.told[size:]
        seen.payload_length = seen.told_length - size

    def _read_udp(self) -> None:
        seen = self.seen
        if len(seen.told) < _PORTS_SIZE:
            return
        seen.tells, seen.protocol = TELLS_UDP, "UDP"
        self._read_ports()
        if len(seen.told) >= _UDP_SIZE:
            self._read_header(_UDP_SIZE)

    def _read_tcp(self) -> None:
        seen = self.seen
        if len(seen.told) < _PORTS_SIZE:
            return
        seen.tells, seen.protocol = TELLS_TCP, "TCP"
        self._read_ports()
        if len(seen.told) >= _TCP_SIZE:
            size = (seen.told[12] >> 4) * 4
            if _TCP_SIZE <= size <= seen.told_length:
                self._read_header(size)

    def _read_icmp(self, tells: int, protocol: str) -> None:
        self.seen.tells, self.seen.protocol = tells, protocol
        if len(self.seen.told) >= _ICMP_SIZE:
            self._read_header(_ICMP_SIZE)

    def _read_carried(self) -> bool:
        """What a protocol carries that is a packet of its own, as far as it is read: IP in IP, and GRE without
        surprises (RFC 2784, RFC 2890)."""
        seen, told = self.seen, self.seen.told
        at = 0
        if seen.transport == _IP_IN_IP:
            link = _LINK_IPV4
        elif seen.transport == _IPV6_IN_IP:
            link = _LINK_IPV6
        elif seen.transport == _GRE:
            if len(told) < 4 or told[0] & 0x4F or told[1] & 7:
                return False
            at = 4 + 4 * (told[0] & 0xB0).bit_count()
            links = {_IPV4: _LINK_IPV4, _IPV6: _LINK_IPV6, _TRANSPARENT: _LINK_ETHERNET}
            if _be16(told, 2) not in links:
                return False
            link = links[_be16(told, 2)]
        else:
            return False
        # Only what looks like one, so that the header around it can be told of elsewhere.
        least = {_LINK_IPV4: 20, _LINK_IPV6: 40, _LINK_ETHERNET: 14}[link]
        if self.depth >= _MOST_ENCAPSULATIONS or len(told) < at + least:
            return False
        if link != _LINK_ETHERNET and told[at] >> 4 != (4 if link == _LINK_IPV4 else 6):
            return False
        places = decode_with_places(told[at:], link, seen.told_length - at, self.ports)
        inner = _Reading(seen, places, seen.told_at + at, self.ports, self.depth + 1)
        inner.ends = self.ends
        inner.read_record(link)
        return True

    def _read_end(self, link_type: int) -> None:
        """What is last."""
        seen, places = self.seen, self.places
        last = places.packet.layers[-1] if places.packet.layers else None
        start = places.starts[-1] if last is not None else 0
        ethertype: int | None = None
        match last:
            case TCP():
                self._tell(TELLS_TCP, start, places.limit)
                self._read_tcp()
                return
            case ICMP():
                self._tell(TELLS_ICMP, start, places.limit)
                self._read_icmp(TELLS_ICMP, "ICMP")
                return
            case ICMPv6():
                self._tell(TELLS_ICMPV6, start, places.limit)
                self._read_icmp(TELLS_ICMPV6, "ICMPv6")
                return
            case UDP():
                self._tell(TELLS_UDP, start, places.limit)
                self._read_udp()
                # The decoder looks for a tunnel by the port. If there should be one, its header is not whole.
                tunnel = self.ports.get(seen.destination_port)
                if tunnel is not None and seen.payload and (last.length or 0) >= _UDP_SIZE:
                    seen.protocol = "Geneve" if tunnel == "geneve" else "VxLAN"
                    self._tell_rest(TELLS_TUNNEL)
                return
            case IPv4() | IPv6():
                self._tell_rest(TELLS_IP)
                if seen.transport == _TCP:
                    self._read_tcp()
                elif seen.transport == _UDP:
                    self._read_udp()
                elif seen.transport == _ICMP and isinstance(last, IPv4) and seen.told_length > 0:
                    self._read_icmp(TELLS_ICMP, "ICMP")
                elif seen.transport == _ICMPV6 and isinstance(last, IPv6):
                    self._read_icmp(TELLS_ICMPV6, "ICMPv6")
                elif not self._read_carried():
                    seen.protocol = ip_protocol(seen)
                return
            case ARP():
                self._tell(TELLS_ARP, start, places.limit)
                seen.header = seen.told
                seen.protocol = arp_protocol(seen)
                return
            case VXLAN():
                ethertype = _TRANSPARENT
            case Geneve():
                ethertype = last.protocol_type
                if ethertype not in (_TRANSPARENT, _IPV4, _IPV6):
                    seen.protocol = "Geneve"
                    self._tell(TELLS_TUNNEL, start, places.limit)
                    return
            case Ethernet() | Vlan() | SLL() | SLL2():
                ethertype = last.ethertype or 0
        if isinstance(last, VXLAN | Geneve) and ethertype == _TRANSPARENT:
            seen.protocol = "Ethernet"
            self._tell_rest(TELLS_CUT_LINK)
            _read_mac_ends(seen, seen.told)
        elif ethertype == _IPV4:
            self._read_bad_ipv4()
        elif ethertype == _IPV6 or (last is None and link_type == _LINK_IPV6):
            self._read_bad_ipv6(last is not None)
        elif last is None:
            seen.protocol = "IP"
            self._tell_rest(TELLS_BAD_IP)
        elif isinstance(last, Loopback):
            seen.protocol = "N/A"
            self._tell_rest(TELLS_LINK)
        elif ethertype == _ARP:
            seen.protocol = "ARP"
            self._tell_rest(TELLS_ARP)
        else:
            self._tell_rest(TELLS_LINK)
            seen.protocol = link_protocol(seen, isinstance(last, SLL | SLL2), ethertype or 0)

    def _read_bad_ipv4(self) -> None:
        seen = self.seen
        seen.protocol = "IPv4"
        self._tell_rest(TELLS_BAD_IPV4)
        told = seen.told
        if len(told) >= 16 and 0x45 <= told[0] < 0x50 and _be16(told, 2) >= (told[0] & 15) * 4:
            seen.source = End(END_IPV4, told[12:16])

    def _read_bad_ipv6(self, on_link: bool) -> None:
        seen = self.seen
        seen.protocol = "IPv6"
        self._tell_rest(TELLS_BAD_IPV6)
        told = seen.told
        if len(told) >= 24 and told[0] >> 4 == 6:
            seen.source = End(END_IPV6, told[8:24])
        elif told and told[0] >> 4 != 6 and on_link:
            seen.protocol = "0x86dd"
