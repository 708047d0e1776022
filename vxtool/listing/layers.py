"""One record as a tree of layers with the bytes that each field stands for.

The codec says which layers there are, and where one begins follows from the lengths of those before it: its layers
stand one behind the other. The same marks as the decoder's tell where each layer ends on the wire, which is what a
checksum covers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from vxtool.errors import PacketError
from vxtool.listing.headers import (
    NEIGHBOR_DISCOVERY,
    Checksum,
    Names,
    fields_of,
    header_length,
    neighbor_discovery,
    summary_of,
)
from vxtool.listing.notes import without_notes
from vxtool.listing.tree import At, Field, LayerTold, Place
from vxtool.listing.words import PROTOCOLS, flags_told
from vxtool.packet.checksum import internet_checksum, ones_complement_sum
from vxtool.packet.choice import decode
from vxtool.packet.decoder import DEFAULT_PORTS, Layer
from vxtool.packet.ethernet import SMALLEST_ETHERTYPE, Ethernet, Vlan
from vxtool.packet.geneve import Geneve
from vxtool.packet.icmp import ICMP
from vxtool.packet.icmpv6 import ICMPv6
from vxtool.packet.ipv4 import IPv4
from vxtool.packet.ipv6 import IPv6
from vxtool.packet.loopback import Loopback
from vxtool.packet.sll import SLL, SLL2
from vxtool.packet.tcp import TCP
from vxtool.packet.udp import UDP
from vxtool.packet.vxlan import VXLAN

_RAW, _EN10MB = 101, 1
_GPE = "vxlan-gpe"
_GPE_SIZE = 8
_GPE_ETHERNET = 3
_GPE_NEXT: Mapping[int, tuple[str, int | None]] = {
    1: ("IPv4", _RAW),
    2: ("IPv6", _RAW),
    _GPE_ETHERNET: ("Ethernet", _EN10MB),
}
_GPE_WITH_NEXT = 0x04
_GPE_FLAGS = ((0x08, "VNI valid"), (0x04, "next protocol"), (0x02, "BUM traffic"), (0x01, "OAM"))
_ICMP_ERRORS = frozenset({3, 4, 5, 11, 12})
_ICMPV6_ERRORS = frozenset({1, 2, 3, 4})
_PROTOCOL_OF: Mapping[type[Layer], int] = {TCP: 6, UDP: 17, ICMPv6: 58}  # of those that cover the pseudo-header
_CHECKSUM_AT: Mapping[type[Layer], int] = {TCP: 16, UDP: 6, ICMP: 2, ICMPv6: 2}
_LAYER_NAMES: Mapping[type[Layer], str] = {Vlan: "VLAN", ICMPv6: "ICMPv6"}
_MOST_QUOTES = 4  # of quotes within quotes


class Dissection(NamedTuple):
    """A record's layers from the outermost in, and what is not as it should be."""

    layers: tuple[LayerTold, ...]
    problems: tuple[str, ...]


def dissect(
    data: bytes,
    link_type: int,
    length: int,
    ports: Mapping[int, str] | None = None,
    names: Names | None = None,
) -> Dissection:
    """The layers of a record's bytes; `length` is what it had on the wire. `ports` as for `vxtool.decode`.

    Never fails: of a record whose link header is cut off, or of an unknown link type, the bytes are all there is.
    """
    walk = _Walk(data, DEFAULT_PORTS if ports is None else ports, names or Names())
    walk.take(link_type, 0, length)
    return Dissection(tuple(walk.layers), tuple(walk.problems))


class _Walk:
    def __init__(self, data: bytes, ports: Mapping[int, str], names: Names) -> None:
        self.layers: list[LayerTold] = []
        self.problems: list[str] = []
        self._data = data
        # The codec knows no VXLAN-GPE, whose next protocol tells what is inside.
        self._ports = {port: kind for port, kind in ports.items() if kind != _GPE}
        self._gpe_ports = {port for port, kind in ports.items() if kind == _GPE}
        self._names = names

    def take(self, link_type: int, start: int, length: int, quotes: int = 0, place: Place = None) -> None:
        """What begins at `start`: the record, or the packet that an ICMP error quotes (`quotes` counts how deep
        that is) or that VXLAN-GPE holds. `place` is that of all of it."""
        data = self._data[start:]
        try:
            packet = decode(data, link_type, max(length, len(data)), self._ports)
        except PacketError as error:
            self.problems.append(str(error))
            self._bytes("Bytes", None, start, len(data), "not decoded")
            return
        if not quotes:
            self.problems += packet.problems
        layers = list(_placed(packet.layers, start))
        tunnels = [at for at, (layer, _) in enumerate(layers) if isinstance(layer, VXLAN | Geneve)]
        if layers and self._is_gpe(layers[-1][0], packet.payload):
            tunnels.append(len(layers))
        vni: int | None = None
        checksums = self._checksums(layers, start, length, quotes)
        for at, (layer, offset) in enumerate(layers):
            side: Place = place
            if tunnels and not place:
                side = "inner" if at > tunnels[-1] else "outer"
                if isinstance(layer, VXLAN | Geneve | SLL | SLL2 | Loopback):
                    side = None
            if isinstance(layer, VXLAN | Geneve):
                vni = layer.vni
            fields = fields_of(layer, offset, checksums[at], self._names, vni)
            name = _LAYER_NAMES.get(type(layer), type(layer).__name__)
            summary = summary_of(layer, self._names, vni)
            self.layers.append(LayerTold(name, side, summary, offset, header_length(layer), fields))
        if tunnels and not place:
            place = "inner"
        behind = len(self._data) - len(packet.padding) - len(packet.payload)
        _, end, _ = _reach(packet.layers, start, length)
        whole = max(end - behind, len(packet.payload))
        self._behind(packet.layers, place, behind, packet.payload, whole, quotes)
        if packet.padding:
            at = len(self._data) - len(packet.padding)
            self._bytes("Padding", None, at, len(packet.padding), _bytes_told(len(packet.padding)))

    def _behind(
        self, layers: Sequence[Layer], place: Place, start: int, payload: bytes, whole: int, quotes: int
    ) -> None:
        """The payload behind the last layer, in as many layers of its own as can be told; on the wire it had
        `whole` bytes."""
        if not payload:
            return
        last = layers[-1] if layers else None
        size = len(payload)
        match last:
            case ICMP() | ICMPv6() if _is_error(last) and quotes < _MOST_QUOTES:
                self.take(_RAW, start, size, quotes + 1, "quoted")
                return
            case ICMPv6() if last.type in NEIGHBOR_DISCOVERY:
                fields = neighbor_discovery(last.type, start, payload)
                if fields:
                    self.layers.append(LayerTold("Neighbor discovery", place, "", start, size, fields))
                    return
            case UDP() if self._is_gpe(last, payload):
                self._gpe(start, payload, whole, quotes)
                return
            case TCP() | UDP():
                if self._application(last, place, start, payload, whole):
                    return
        self._bytes("Payload", place, start, size, _payload_told(last, size, whole))

    def _is_gpe(self, layer: Layer, payload: bytes) -> bool:
        is_for_it = isinstance(layer, UDP) and layer.destination_port in self._gpe_ports
        return is_for_it and len(payload) >= _GPE_SIZE

    def _gpe(self, start: int, payload: bytes, whole: int, quotes: int) -> None:
        """A VXLAN-GPE header (draft-ietf-nvo3-vxlan-gpe, section 3) and what it holds."""
        flags, following, vni = payload[0], payload[3], int.from_bytes(payload[4:7], "big")
        name, link_type = _GPE_NEXT[_GPE_ETHERNET]
        if flags & _GPE_WITH_NEXT:
            name, link_type = _GPE_NEXT.get(following, (str(following), None))
        identity = self._names.identity(vni)
        at = At(start)
        at.add("flags", flags, 0, 1, flags_told(flags, _GPE_FLAGS, 2))
        at.add("reserved", int.from_bytes(payload[1:3], "big"), 1, 2)
        at.add("next_protocol", following, 3, 1, f"{following} ({name} follows)")
        at.add("vni", vni, 4, 3, f"{vni} ({identity})" if identity else str(vni))
        at.add("reserved_low", payload[7], 7, 1)
        told = f"VNI {vni}" + (f", {identity}" if identity else "")
        self.layers.append(LayerTold("VXLAN-GPE", None, told, start, _GPE_SIZE, at.all()))
        inside, size = start + _GPE_SIZE, len(payload) - _GPE_SIZE
        if link_type is not None and size:
            self.take(link_type, inside, whole - _GPE_SIZE, quotes, "inner")
        elif size:
            self._bytes("Payload", "inner", inside, size, _bytes_told(size))

    def _application(self, layer: TCP | UDP, place: Place, start: int, payload: bytes, length: int) -> bool:
        """An application's message, where one is told. Whether there was one."""
        from vxtool.listing import applications  # here, because most records have none

        transport = _PROTOCOL_OF[type(layer)]
        ports = layer.source_port, layer.destination_port
        if not applications.may_begin(transport, *ports, payload):
            return False
        told = applications.describe(transport, *ports, payload, length)
        if told is None or not told[0]:
            return False
        protocol, info, remaining = told
        info = without_notes(info)
        more = f"; {remaining:,} bytes of it follow in other segments" if remaining else ""
        fields = (Field("message", info, "", start, len(payload)),)
        # In a list, a segment that only begins a message is TCP's.
        name = "Message" if protocol == "TCP" else protocol
        self.layers.append(LayerTold(name, place, info + more, start, len(payload), fields))
        return True

    def _bytes(self, name: str, place: Place, start: int, size: int, summary: str) -> None:
        self.layers.append(LayerTold(name, place, summary, start, size))

    def _checksums(
        self, layers: list[tuple[Layer, int]], start: int, length: int, quotes: int
    ) -> list[Checksum | None]:
        """What is to be said of each layer's checksum; None where it has none."""
        told: list[Checksum | None] = [None] * len(layers)
        filled = bytearray(self._data)  # as the network card will send it
        for at in reversed(range(len(layers))):
            layer, offset = layers[at]
            outside = [one for one, _ in layers[:at]]
            found = _checksum(layer, offset, outside, start, length, self._data)
            if found is None:
                continue
            if found.status == "fragment" and quotes:
                found = Checksum("cut")
            elif found.status == "wrong" and filled != self._data:
                # Linux makes an outer checksum for what the packet will be when the inner one was filled in (local
                # checksum offload, Documentation/networking/checksum-offloads.rst).
                later = _checksum(layer, offset, outside, start, length, bytes(filled))
                if later is not None and later.status == "right":
                    found = Checksum("right_when_filled")
            elif found.status == "offloaded" and found.expected is not None:
                field = offset + _CHECKSUM_AT[type(layer)]
                filled[field : field + 2] = found.expected.to_bytes(2, "big")
            told[at] = found
        return told


def _checksum(
    layer: Layer, offset: int, outside: list[Layer], start: int, length: int, data: bytes
) -> Checksum | None:
    if isinstance(layer, IPv4):
        header = data[offset : offset + layer.header_length]
        return _verified(header, 10, layer.checksum or 0, b"", False)
    if not isinstance(layer, TCP | UDP | ICMP | ICMPv6):
        return None
    if isinstance(layer, UDP) and layer.checksum == 0:
        return Checksum("none")
    ip, end, is_whole = _reach(outside, start, length)
    if ip is None or not is_whole:
        return Checksum("fragment")
    if isinstance(layer, UDP) and layer.length:
        if layer.length > end - offset:
            return Checksum("cut")
        end = offset + layer.length
    if end > len(data):
        return Checksum("cut")
    covered = data[offset:end]
    protocol = _PROTOCOL_OF.get(type(layer))
    pseudo = b"" if protocol is None else ip.pseudo_header(protocol, len(covered))
    return _verified(covered, _CHECKSUM_AT[type(layer)], layer.checksum or 0, pseudo, isinstance(layer, UDP))


def _placed(layers: Iterable[Layer], start: int) -> Iterator[tuple[Layer, int]]:
    for layer in layers:
        yield layer, start
        start += header_length(layer)


def _reach(layers: Sequence[Layer], start: int, length: int) -> tuple[IPv4 | IPv6 | None, int, bool]:
    """Of what is behind these layers: the IP header that carries it, where that packet ends, and whether the record
    holds all of it: no fragment does, nor what a fragment holds."""
    limit = start + length
    ip: IPv4 | IPv6 | None = None
    is_whole = True
    for layer, offset in _placed(layers, start):
        after = offset + header_length(layer)
        end = limit
        match layer:
            case Ethernet() | Vlan() if (layer.ethertype or 0) < SMALLEST_ETHERTYPE:
                end = after + (layer.ethertype or 0)
            case IPv4():
                ip = layer
                end = offset + layer.total_length if layer.total_length else limit
                is_whole = is_whole and not (layer.more_fragments or layer.fragment_offset)
            case IPv6():
                ip = layer
                declared = layer.payload_length or layer.jumbo_length
                end = offset + 40 + declared if declared else limit
                is_whole = is_whole and not (layer.more_fragments or layer.later_fragment)
            case UDP():
                end = offset + layer.length if layer.length else limit
        is_whole = is_whole and end <= limit
        limit = min(limit, end)
    return ip, limit, is_whole


def _verified(covered: bytes, at: int, value: int, pseudo: bytes, is_udp: bool) -> Checksum:
    """Whether a checksum is that of the bytes; or what Linux writes when it leaves it to the network card: the sum
    of the pseudo-header, not complemented (CHECKSUM_PARTIAL)."""
    summed = pseudo + covered[:at] + b"\0\0" + covered[at + 2 :]
    expected = internet_checksum(summed)
    if is_udp and expected == 0:
        expected = 0xFFFF
    if value == expected:
        return Checksum("right")
    # 0 and 0xffff are the same number in one's complement.
    if ones_complement_sum(pseudo + covered) == 0xFFFF and not is_udp:
        return Checksum("right")
    if pseudo and value == ones_complement_sum(pseudo):
        return Checksum("offloaded", expected)
    return Checksum("wrong", expected)


def _is_error(layer: ICMP | ICMPv6) -> bool:
    return layer.type in (_ICMP_ERRORS if isinstance(layer, ICMP) else _ICMPV6_ERRORS)


def _payload_told(last: Layer | None, size: int, whole: int) -> str:
    told = _bytes_told(size) if size == whole else f"{size:,} of {_bytes_told(whole)}"
    if isinstance(last, IPv4 | IPv6) and last.protocol is not None:
        return f"{told} of {PROTOCOLS.get(last.protocol, f'protocol {last.protocol}')}"
    return told


def _bytes_told(size: int) -> str:
    return f"{size:,} byte" if size == 1 else f"{size:,} bytes"
