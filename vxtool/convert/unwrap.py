"""The tunnel of a record, and the frame inside; outer fragments are put together.

It reads what the engine's `read_frame` reads, and calls a tunnel what that does; but where that tells what a packet
is, this tells where its bytes are.
"""

from __future__ import annotations

from collections.abc import Mapping
from struct import Struct
from typing import NamedTuple

from vxtool.engine.frame import (
    EN10MB,
    ETHERTYPE_TEB,
    GPE_NEXT,
    GPE_WITH_NEXT,
    LINUX_SLL2,
    UDP,
    Frame,
    Ip,
    read_underlay,
)
from vxtool.engine.wears import GENEVE, PLAIN, VXLAN, VXLAN_GPE

_U16 = Struct(">H").unpack_from
# What nearly every record of a tunnel has: IPv4 without options and UDP, as far as they are read here; with the
# tunnel's header they are 36 bytes.
_USUAL = Struct(">BxHxxHxB2x4s4sHHH").unpack_from
_USUAL_SIZE = 36
_SHORTEST = 16  # a UDP datagram with a tunnel's header and nothing in it
_ETHERNET_SIZES = {EN10MB: (14, 12), LINUX_SLL2: (20, 0)}  # link header, and where its EtherType is
_IPV4 = b"\x08\x00"


class Tunnel(NamedTuple):
    """What a datagram wears."""

    wear: int  # VXLAN, GENEVE or VXLAN_GPE
    source: bytes
    destination: bytes
    source_port: int
    destination_port: int
    header: bytes  # of the tunnel, options included
    ethertype: int  # of what is inside: ETHERTYPE_TEB is a frame
    inner: bytes  # as far as it was captured
    inner_length: int

    @property
    def vni(self) -> int:
        return int.from_bytes(self.header[4:7], "big")


def unwrap(data: bytes, length: int, link_type: int, ports: Mapping[int, int]) -> Tunnel | None:
    """The tunnel of a record whose outermost packet is whole; None where it has none, or is a fragment.

    `length` is the record's on the wire; `ports` maps UDP destination ports to VXLAN, GENEVE or VXLAN_GPE.
    """
    tunnel = _unwrap_usual(data, length, link_type, ports)
    if tunnel is not None:
        return tunnel
    found = read_underlay(data, length, link_type, 0)
    if found is None:
        return None
    _, ip, end = found
    if ip.protocol != UDP or ip.fragment_offset or ip.more_fragments:
        return None
    return read_tunnel(ip.source, ip.destination, data[ip.payload : end], end - ip.payload, ports)


def _unwrap_usual(data: bytes, length: int, link_type: int, ports: Mapping[int, int]) -> Tunnel | None:
    """The same for VXLAN over IPv4 with nothing odd, at offsets known beforehand; None for all others."""
    at, ethertype = _ETHERNET_SIZES.get(link_type, (0, 0))
    if not at or len(data) < at + _USUAL_SIZE or data[ethertype : ethertype + 2] != _IPV4:
        return None
    first, total, flags, protocol, source, destination, source_port, port, size = _USUAL(data, at)
    if (
        first != 0x45
        or protocol != UDP
        or flags & 0x3FFF
        or ports.get(port) != VXLAN
        or not _SHORTEST <= size <= total - 20
        or at + total > max(length, len(data))
    ):
        return None
    inner = at + _USUAL_SIZE
    end = at + 20 + size
    header = data[inner - 8 : inner]
    return Tunnel(
        VXLAN, source, destination, source_port, port, header, ETHERTYPE_TEB, data[inner:end], end - inner
    )


def read_tunnel(
    source: bytes, destination: bytes, udp: bytes, room: int, ports: Mapping[int, int]
) -> Tunnel | None:
    """The tunnel in a UDP datagram, of which `udp` may be the beginning only and `room` is what IP says."""
    if len(udp) < _SHORTEST:
        return None
    port, size = _U16(udp, 2)[0], _U16(udp, 4)[0]
    wear = ports.get(port, PLAIN)
    size = size or room  # BIG TCP
    if wear == PLAIN or not _SHORTEST <= size <= room:
        return None
    inner, ethertype = _SHORTEST, ETHERTYPE_TEB
    if wear == GENEVE:
        if udp[8] >> 6:
            return None
        ethertype = _U16(udp, 10)[0]
        inner += (udp[8] & 0x3F) * 4
    elif wear == VXLAN_GPE and udp[8] & GPE_WITH_NEXT:
        ethertype = GPE_NEXT.get(udp[11], 0)
    if inner > min(size, len(udp)):
        return None
    return Tunnel(
        wear, source, destination, _U16(udp, 0)[0], port, udp[8:inner], ethertype, udp[inner:size], size - inner
    )


class Fragments:
    """The fragments of one outer packet at one stage, as far as they came."""

    __slots__ = ("_destination", "_pieces", "_source", "_total", "started", "unwanted", "whole")

    def __init__(self, started: int) -> None:
        self.started = started  # the time of the first that came
        self.whole = False
        self.unwanted = False  # nothing is kept of them
        self._source = self._destination = b""
        self._pieces: dict[int, tuple[bytes, int]] = {}  # by offset: what was captured, and how much there was
        self._total: int | None = None

    def drop(self) -> None:
        self.unwanted = True
        self._pieces.clear()

    def add(self, ip: Ip, data: bytes, end: int) -> None:
        if self.unwanted:
            return
        self._source, self._destination = ip.source, ip.destination
        size = end - ip.payload
        self._pieces.setdefault(ip.fragment_offset, (data[ip.payload : end], size))
        if not ip.more_fragments:
            self._total = ip.fragment_offset + size
        at = 0
        while at in self._pieces and self._pieces[at][1]:
            at += self._pieces[at][1]
        self.whole = at == self._total

    @property
    def count(self) -> int:
        return len(self._pieces)

    def tunnel(self, ports: Mapping[int, int]) -> Tunnel | None:
        """The tunnel, with as much of the inside as there is without a gap."""
        udp = b""
        while len(udp) in self._pieces:
            piece = self._pieces[len(udp)][0]
            if not piece:
                break
            udp += piece
        # Of a fragment, only the datagram's own length tells how long the whole is.
        size = _U16(udp, 4)[0] if len(udp) >= _SHORTEST else 0
        return read_tunnel(self._source, self._destination, udp, max(size, len(udp)), ports)


def fragment_key(frame: Frame, ip: Ip) -> tuple[object, ...]:
    """What the fragments of one packet at one stage of an interface have in common."""
    return frame.index, frame.direction, frame.macs, ip.source, ip.destination, ip.protocol, ip.identification
