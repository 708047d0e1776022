"""One packet's bytes to its layers, in plain Python: the specification that the C decoder is held against.

The decoder walks down with two marks: `at`, where the next layer begins, and `limit`, where the layer
around it ends on the wire. A length field may only draw the limit closer; what it leaves outside is
padding. Where a field claims more than the layer around it holds, the limit stays and the claim becomes a
problem, once: in a first fragment, and behind an earlier such claim, longer inner lengths are to be
expected. The limit can lie behind the captured bytes, because a capture keeps only the beginning of long
packets; then the length fields are right and the bytes are missing, which is one problem of the record.

Decoding never fails for bytes deeper than the link header. It stops, leaves the rest as payload, and says
why.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple, TypeVar

from vxtool.errors import PacketError
from vxtool.packet.arp import ARP
from vxtool.packet.ethernet import (
    ETHERTYPE_ARP,
    ETHERTYPE_IPV4,
    ETHERTYPE_IPV6,
    ETHERTYPE_QINQ,
    ETHERTYPE_QINQ_OLD,
    ETHERTYPE_VLAN,
    SMALLEST_ETHERTYPE,
    Ethernet,
    Vlan,
)
from vxtool.packet.geneve import ETHERNET as GENEVE_ETHERNET
from vxtool.packet.geneve import Geneve
from vxtool.packet.icmp import ICMP
from vxtool.packet.icmpv6 import ICMPv6
from vxtool.packet.ipv4 import IPv4
from vxtool.packet.ipv6 import EXTENSIONS, NO_NEXT_HEADER, IPv6, extension_size
from vxtool.packet.loopback import FAMILIES_IPV6, FAMILY_IPV4, Loopback
from vxtool.packet.sll import SLL, SLL2
from vxtool.packet.tcp import TCP, BrokenOption
from vxtool.packet.udp import UDP
from vxtool.packet.vxlan import VNI_VALID, VXLAN
from vxtool.packet.wire import fit, short

Layer = Ethernet | Vlan | SLL | SLL2 | Loopback | IPv4 | IPv6 | UDP | TCP | ICMP | ICMPv6 | ARP | VXLAN | Geneve
LayerType = TypeVar(
    "LayerType", Ethernet, Vlan, SLL, SLL2, Loopback, IPv4, IPv6, UDP, TCP, ICMP, ICMPv6, ARP, VXLAN, Geneve
)

# https://www.tcpdump.org/linktypes.html; 12 and 14 are what RAW is called on some systems.
LINK_TYPES: Mapping[str, int] = {
    "NULL": 0,
    "EN10MB": 1,
    "RAW": 101,
    "LOOP": 108,
    "LINUX_SLL": 113,
    "IPV4": 228,
    "IPV6": 229,
    "LINUX_SLL2": 276,
}
DEFAULT_PORTS: Mapping[int, str] = {8472: "vxlan", 4789: "vxlan", 6081: "geneve"}
MAX_LAYERS = 64

_RAW = frozenset((12, 14, 101))
_LOOP = 108
_LINK_LAYERS: Mapping[int, type[Layer]] = {
    0: Loopback,
    1: Ethernet,
    _LOOP: Loopback,
    113: SLL,
    228: IPv4,
    229: IPv6,
    276: SLL2,
}
_LINKS = (Ethernet, SLL, SLL2, Loopback)
_BY_ETHERTYPE: Mapping[int, type[Layer]] = {
    ETHERTYPE_IPV4: IPv4,
    ETHERTYPE_ARP: ARP,
    ETHERTYPE_VLAN: Vlan,
    ETHERTYPE_IPV6: IPv6,
    ETHERTYPE_QINQ: Vlan,
    ETHERTYPE_QINQ_OLD: Vlan,
}
_BY_GENEVE_TYPE: Mapping[int, type[Layer]] = {
    GENEVE_ETHERNET: Ethernet,
    ETHERTYPE_IPV4: IPv4,
    ETHERTYPE_IPV6: IPv6,
}
_BY_IPV4_PROTOCOL: Mapping[int, type[Layer]] = {1: ICMP, 6: TCP, 17: UDP}
_BY_IPV6_PROTOCOL: Mapping[int, type[Layer]] = {6: TCP, 17: UDP, 58: ICMPv6}
_TUNNELS: Mapping[str, type[Layer]] = {"vxlan": VXLAN, "geneve": Geneve}
_LARGEST_LENGTH = 0xFFFF
_IPV6_SIZE = 40
_TCP_SIZE = 20
_UDP_SIZE = 8


@dataclass(frozen=True, slots=True, repr=False)
class Packet:
    """One decoded packet.

    `layers` from the outermost in; `payload` the bytes behind the last of them; `padding` the bytes beyond
    the length that the headers give (Ethernet padding, trailers); `problems` one line for each thing that
    is not as it should be. `encode(*packet.layers, payload=packet.payload, padding=packet.padding)` gives
    the bytes again.

    The fields that are read most stand beside the layers: `packet.vni`, `packet.source`, `packet.ttl` and the
    rest. Those with `outer_` are the underlay's, where there is a tunnel; those without are of the innermost
    header of their kind, tunnelled or not. Each is None where there is no such header. The C codec reads them
    straight from the bytes, and makes a layer's value only when it is asked for.
    """

    layers: tuple[Layer, ...]
    payload: bytes = b""
    padding: bytes = b""
    problems: tuple[str, ...] = ()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Packet):
            return NotImplemented
        return self._values() == other._values()

    def __hash__(self) -> int:
        return hash(self._values())

    def __repr__(self) -> str:
        names = ("layers", "payload", "padding", "problems")
        told = (f"{name}={value!r}" for name, value in zip(names, self._values(), strict=True))
        return f"Packet({', '.join(told)})"

    def __reduce__(self) -> tuple[type[Packet], tuple[Any, ...]]:
        return Packet, self._values()

    def _values(self) -> tuple[tuple[Layer, ...], bytes, bytes, tuple[str, ...]]:
        return self.layers, self.payload, self.padding, self.problems

    def get(self, layer: type[LayerType]) -> LayerType | None:
        """The outermost layer of a type, or None: `packet.get(VXLAN)`."""
        return next((one for one in self.layers if isinstance(one, layer)), None)

    def __getitem__(self, layer: type[LayerType]) -> LayerType:
        """The outermost layer of a type: `packet[VXLAN]`. Raises KeyError if there is none."""
        found = self.get(layer)
        if found is None:
            raise KeyError(layer)
        return found

    def __contains__(self, layer: type[Layer]) -> bool:
        """Whether there is a layer of a type: `VXLAN in packet`."""
        return any(isinstance(one, layer) for one in self.layers)

    @property
    def vxlan(self) -> VXLAN | None:
        """The outermost VXLAN header, or None."""
        return self.get(VXLAN)

    @property
    def geneve(self) -> Geneve | None:
        """The outermost Geneve header, or None."""
        return self.get(Geneve)

    @property
    def tunnel(self) -> VXLAN | Geneve | None:
        """The outermost tunnel header, or None."""
        return next((one for one in self.layers if isinstance(one, VXLAN | Geneve)), None)

    @property
    def outer_ip(self) -> IPv4 | IPv6 | None:
        """The underlay's IP header: the first one of a tunnelled packet. None without a tunnel."""
        return None if self.tunnel is None else _first_ip(self.layers)

    @property
    def outer_udp(self) -> UDP | None:
        """The UDP header that carries the outermost tunnel header, or None."""
        for before, one in pairwise(self.layers):
            if isinstance(one, VXLAN | Geneve):
                return before if isinstance(before, UDP) else None
        return None

    @property
    def inner_ip(self) -> IPv4 | IPv6 | None:
        """The first IP header behind the outermost tunnel header, or None."""
        for index, one in enumerate(self.layers):
            if isinstance(one, VXLAN | Geneve):
                return _first_ip(self.layers[index:])
        return None

    @property
    def ip(self) -> IPv4 | IPv6 | None:
        """The innermost IP header, tunnelled or not."""
        return _first_ip(self.layers[::-1])

    @property
    def transport(self) -> TCP | UDP | ICMP | ICMPv6 | None:
        """The last layer, if it is one that IP carries to its end: TCP, UDP, ICMP or ICMPv6."""
        last = self.layers[-1] if self.layers else None
        return last if isinstance(last, TCP | UDP | ICMP | ICMPv6) else None

    @property
    def interface(self) -> int | None:
        """The interface index of an SLL2 record."""
        first = self.layers[0] if self.layers else None
        return first.interface if isinstance(first, SLL2) else None

    @property
    def vni(self) -> int | None:
        """The outermost tunnel header's VNI."""
        tunnel = self.tunnel
        return None if tunnel is None else tunnel.vni

    @property
    def outer_source(self) -> str | None:
        """The underlay's source address: the VTEP that sent the packet."""
        ip = self.outer_ip
        return None if ip is None else ip.source

    @property
    def outer_destination(self) -> str | None:
        """The underlay's destination address: the VTEP that is to get the packet."""
        ip = self.outer_ip
        return None if ip is None else ip.destination

    @property
    def outer_ttl(self) -> int | None:
        """The underlay's TTL or hop limit."""
        return _ttl(self.outer_ip)

    @property
    def outer_source_port(self) -> int | None:
        """The UDP source port of the tunnel, which spreads flows over paths (RFC 7348, section 5)."""
        udp = self.outer_udp
        return None if udp is None else udp.source_port

    @property
    def outer_destination_port(self) -> int | None:
        """The UDP destination port of the tunnel."""
        udp = self.outer_udp
        return None if udp is None else udp.destination_port

    @property
    def source_mac(self) -> str | None:
        """The source of the innermost Ethernet header."""
        frame = self._frame
        return None if frame is None else frame.source

    @property
    def destination_mac(self) -> str | None:
        """The destination of the innermost Ethernet header."""
        frame = self._frame
        return None if frame is None else frame.destination

    @property
    def ethertype(self) -> int | None:
        """The ethertype of the innermost Ethernet header: that of a tag, if one follows."""
        frame = self._frame
        return None if frame is None else frame.ethertype

    @property
    def source(self) -> str | None:
        """The source address of the innermost IP header."""
        ip = self.ip
        return None if ip is None else ip.source

    @property
    def destination(self) -> str | None:
        """The destination address of the innermost IP header."""
        ip = self.ip
        return None if ip is None else ip.destination

    @property
    def protocol(self) -> int | None:
        """The protocol that the innermost IP header names: 6 for TCP, 17 for UDP."""
        ip = self.ip
        return None if ip is None else ip.protocol

    @property
    def ttl(self) -> int | None:
        """The TTL or hop limit of the innermost IP header."""
        return _ttl(self.ip)

    @property
    def source_port(self) -> int | None:
        """The source port of the transport, where that is TCP or UDP."""
        transport = self.transport
        return transport.source_port if isinstance(transport, TCP | UDP) else None

    @property
    def destination_port(self) -> int | None:
        """The destination port of the transport, where that is TCP or UDP."""
        transport = self.transport
        return transport.destination_port if isinstance(transport, TCP | UDP) else None

    @property
    def icmp_type(self) -> int | None:
        """The type of an ICMP or ICMPv6 message."""
        transport = self.transport
        return transport.type if isinstance(transport, ICMP | ICMPv6) else None

    @property
    def _frame(self) -> Ethernet | None:
        return next((one for one in reversed(self.layers) if isinstance(one, Ethernet)), None)


def decode(
    data: bytes | bytearray | memoryview,
    link_type: int | str = 1,
    length: int | None = None,
    ports: Mapping[int, str] | None = None,
) -> Packet:
    """Decode one packet.

    `link_type` is a number or name of LINK_TYPES. `length` is the packet's length on the wire in bytes
    where the capture kept less (a record's original length). `ports` says which UDP destination ports are
    tunnels, as "vxlan" or "geneve", and replaces DEFAULT_PORTS.

    Raises PacketError for an unknown link type, length or kind of tunnel, and where `data` is too short for
    the link header. Anything deeper stops the decoding and is told in `Packet.problems`.
    """
    return decode_with_places(data, link_type, length, ports).packet


class Places(NamedTuple):
    """A decoded packet, and where in its bytes things are."""

    packet: Packet
    starts: tuple[int, ...]
    """Where each layer begins."""
    payload: int
    """Where the payload begins."""
    limit: int
    """Where it ends by the lengths in the headers: maybe behind what was captured."""


def decode_with_places(
    data: bytes | bytearray | memoryview,
    link_type: int | str = 1,
    length: int | None = None,
    ports: Mapping[int, str] | None = None,
) -> Places:
    """Decode one packet as `decode` does, and say where its layers are."""
    data = bytes(memoryview(data))
    number = link_number(link_type)
    tunnels = _tunnels(ports)
    limit = max(len(data), 0 if length is None else fit(length, 32, "record", "length"))
    problems: list[str] = []
    if limit > len(data):
        problems.append(str(short("record", 0, limit, len(data))))
    layers: list[Layer] = []
    starts: list[int] = []
    at = 0
    # Whether the packet is known to end before its lengths say so, as first fragments do.
    partial = False
    following: type[Layer] | None = _by_version(data) if number in _RAW else _LINK_LAYERS[number]
    while following is not None:
        if len(layers) == MAX_LAYERS:
            problems.append(f"packet at offset {at}: expected at most {MAX_LAYERS} layers, found more")
            break
        window = data[at:limit]
        layer: Layer
        try:
            if number == _LOOP and not layers:
                layer, rest = Loopback.parse(window, at, "big")
            else:
                layer, rest = following.parse(window, at)
        except PacketError as error:
            if not layers and following in _LINKS:
                raise
            problems.append(str(error))
            break
        layers.append(layer)
        starts.append(at)
        start = at
        at += len(window) - len(rest)
        whole = limit - start
        following = None
        claim: str | None = None
        match layer:
            case Ethernet() | Vlan() | SLL() | SLL2():
                ethertype = layer.ethertype or 0
                following = _BY_ETHERTYPE.get(ethertype)
                if isinstance(layer, Ethernet | Vlan) and ethertype < SMALLEST_ETHERTYPE:
                    limit = min(limit, at + ethertype)
            case Loopback():
                if layer.family == FAMILY_IPV4:
                    following = IPv4
                elif layer.family in FAMILIES_IPV6:
                    following = IPv6
            case IPv4():
                total = layer.total_length or 0
                if total == 0:
                    claim = _no_length("IPv4", start, whole)
                elif total < at - start:
                    problems.append(_too_small("IPv4", start, "total length", at - start, total))
                    break
                elif total > whole:
                    claim = str(short("IPv4", start, total, whole))
                else:
                    limit = start + total
                if layer.fragment_offset == 0:
                    following = _BY_IPV4_PROTOCOL.get(layer.protocol or 0)
            case IPv6():
                extensions = at - start - _IPV6_SIZE
                declared = layer.payload_length or layer.jumbo_length or 0
                if declared == 0 and (layer.extensions or layer.protocol != NO_NEXT_HEADER):
                    claim = _no_length("IPv6", start, whole)
                elif declared < extensions:
                    problems.append(_too_small("IPv6", start, "payload length", extensions, declared))
                    break
                elif _IPV6_SIZE + declared > whole:
                    claim = str(short("IPv6", start, _IPV6_SIZE + declared, whole))
                else:
                    limit = start + _IPV6_SIZE + declared
                if not layer.later_fragment:
                    following = _BY_IPV6_PROTOCOL.get(layer.protocol or 0)
            case UDP():
                claimed = layer.length or 0
                if claimed == 0:
                    claim = _no_length("UDP", start, whole)
                elif claimed < _UDP_SIZE:
                    problems.append(_too_small("UDP", start, "length", _UDP_SIZE, claimed))
                    break
                elif claimed > whole:
                    claim = str(short("UDP", start, claimed, whole))
                else:
                    limit = start + claimed
                following = tunnels.get(layer.destination_port)
            case TCP():
                problems.extend(_option_problems(layer, start))
            case ARP():
                limit = at
            case VXLAN():
                if not layer.flags & VNI_VALID:
                    problems.append(
                        f"VXLAN at offset {start}: expected flag 0x08 (VNI), found flags 0x{layer.flags:02x}"
                    )
                following = Ethernet
            case Geneve():
                following = _BY_GENEVE_TYPE.get(layer.protocol_type)
        if claim is not None:
            if not partial:
                problems.append(claim)
            partial = True
        if isinstance(layer, IPv4 | IPv6):
            partial = partial or layer.more_fragments
        if isinstance(layer, IPv6) and layer.protocol in EXTENSIONS and not layer.later_fragment:
            left = data[at:limit]
            problems.append(str(short("IPv6", at, extension_size(layer.protocol, left), len(left))))
    packet = Packet(tuple(layers), data[at:limit], data[limit:], tuple(problems))
    return Places(packet, tuple(starts), at, limit)


def link_number(link_type: int | str) -> int:
    """The number of a link type; raises PacketError for one that vxtool does not read."""
    number = LINK_TYPES.get(link_type) if isinstance(link_type, str) else link_type
    if isinstance(number, int) and (number in _LINK_LAYERS or number in _RAW):
        return number
    known = ", ".join(f"{name} ({number})" for name, number in LINK_TYPES.items())
    raise PacketError(f"link type {link_type!r}: expected one of {known}")


def _tunnels(ports: Mapping[int, str] | None) -> dict[int, type[Layer]]:
    tunnels: dict[int, type[Layer]] = {}
    for port, kind in (DEFAULT_PORTS if ports is None else ports).items():
        if kind not in _TUNNELS:
            raise PacketError(f"port {port!r}: expected 'vxlan' or 'geneve', found {kind!r}")
        tunnels[fit(port, 16, "ports", "port")] = _TUNNELS[kind]
    return tunnels


def _by_version(data: bytes) -> type[Layer]:
    # Bytes of neither version go to IPv4, which says what is wrong with them.
    return IPv6 if data and data[0] >> 4 == 6 else IPv4


def _first_ip(layers: tuple[Layer, ...]) -> IPv4 | IPv6 | None:
    return next((one for one in layers if isinstance(one, IPv4 | IPv6)), None)


def _ttl(ip: IPv4 | IPv6 | None) -> int | None:
    return ip.ttl if isinstance(ip, IPv4) else None if ip is None else ip.hop_limit


def _no_length(layer: str, at: int, whole: int) -> str | None:
    # Beyond 65,535 bytes a length of 0 is the right one (BIG TCP, RFC 2675).
    if whole > _LARGEST_LENGTH:
        return None
    return f"{layer} at offset {at}: expected a length, found 0 in a packet of {whole} bytes"


def _too_small(layer: str, at: int, what: str, expected: int, found: int) -> str:
    return f"{layer} at offset {at}: expected a {what} of at least {expected}, found {found}"


def _option_problems(tcp: TCP, start: int) -> list[str]:
    if not tcp.options or not isinstance(tcp.options[-1], BrokenOption):
        return []
    data = tcp.options[-1].data
    at = start + _TCP_SIZE + sum(len(option.emit()) for option in tcp.options[:-1])
    if len(data) < 2:
        return [str(short("TCP option", at, 2, len(data)))]
    return [f"TCP option at offset {at}: expected a length from 2 to {len(data)}, found {data[1]}"]
