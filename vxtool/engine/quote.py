"""What the sender of an ICMP error quotes of the packet that it is about: the pure twin of `native/quote.c`.

Routers quote as much as they like: RFC 792 asks for the IP header and 8 bytes, Linux gives up to 548 bytes over
IPv4 and 1,232 over IPv6. So all that lies behind the quoted IP header may be missing, and no length in it is one of
what is there. What is not there stays unknown; nothing is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from struct import Struct
from typing import NamedTuple

from vxtool.engine.frame import GPE_NEXT, GPE_WITH_NEXT
from vxtool.engine.tables import GENEVE, OPAQUE, PLAIN, TAIL_PORT, VXLAN, VXLAN_GPE

_U16 = Struct(">H").unpack_from
_U32 = Struct(">I").unpack_from

_IPV4, _IPV6, _TEB = 0x0800, 0x86DD, 0x6558
_VLAN_TAGS = frozenset({0x8100, 0x88A8, 0x9100})
_UDP = 17
_WITH_PORTS = frozenset({6, _UDP, 33, 132, 136})
_ECHO = {(1, 4): (0, 8), (58, 6): (128, 129)}  # protocol, IP version -> types
_EXTENSIONS = frozenset({0, 43, 60, 135, 139, 140})
_AH, _FRAGMENT = 51, 44
_MOST_EXTENSIONS = 16

_Flow = tuple[int, bytes, int, bytes, int]
_NO_FLOW: _Flow = (OPAQUE, b"", -1, b"", -1)


class Quote(NamedTuple):
    """Of the quoted packet."""

    source: bytes = b""  # empty where not even its IP header is there
    destination: bytes = b""
    length: int = 0  # as its IP header has it
    wear: int = PLAIN  # going by its UDP port
    vni: int = -1
    flow: _Flow = _NO_FLOW  # of the innermost packet, as in a `FlowKey`


class _Ip(NamedTuple):
    version: int
    source: bytes
    destination: bytes
    length: int
    protocol: int
    is_tail: bool
    payload: int  # offset


def read_quote(data: bytes, ports: Mapping[int, int]) -> Quote:
    """Read what stands behind the 8 bytes of an ICMP error's header; `ports` as for `read_frame`."""
    ip = _read_ip(data, 0)
    if ip is None:
        return Quote()
    quote = Quote(ip.source, ip.destination, ip.length)
    if ip.protocol == _UDP and not ip.is_tail and ip.payload + 4 <= len(data):
        kind = ports.get(_U16(data, ip.payload + 2)[0], PLAIN)
        if kind != PLAIN:
            wear = GENEVE if kind == GENEVE else VXLAN
            return _read_tunnel(quote._replace(wear=wear), data, ip.payload + 8, kind)
    return quote._replace(flow=_read_flow(data, ip))


def _read_tunnel(quote: Quote, data: bytes, header: int, kind: int) -> Quote:
    at = header + 8
    if at > len(data):
        return quote
    ethertype = _TEB
    if kind == VXLAN_GPE and data[header] & GPE_WITH_NEXT:
        ethertype = GPE_NEXT.get(data[header + 3], 0)
    if kind == GENEVE:
        if data[header] >> 6:
            return quote
        at += (data[header] & 0x3F) * 4
        ethertype = _U16(data, header + 2)[0]
    quote = quote._replace(vni=_U32(data, header + 4)[0] >> 8)
    if ethertype == _TEB:
        at += 14
        if at > len(data):
            return quote
        ethertype = _U16(data, at - 2)[0]
        while ethertype in _VLAN_TAGS and at + 4 <= len(data):
            ethertype = _U16(data, at + 2)[0]
            at += 4
    if ethertype in (_IPV4, _IPV6):
        ip = _read_ip(data, at)
        if ip is not None:
            return quote._replace(flow=_read_flow(data, ip))
    return quote


def _read_ip(data: bytes, at: int) -> _Ip | None:
    if at >= len(data):
        return None
    if data[at] >> 4 == 4 and at + 20 <= len(data) and data[at] & 15 >= 5:
        return _Ip(
            version=4,
            source=data[at + 12 : at + 16],
            destination=data[at + 16 : at + 20],
            length=_U16(data, at + 2)[0],
            protocol=data[at + 9],
            is_tail=bool(_U16(data, at + 6)[0] & 0x1FFF),
            payload=at + (data[at] & 15) * 4,
        )
    if data[at] >> 4 == 6 and at + 40 <= len(data):
        return _read_ipv6(data, at)
    return None


def _read_ipv6(data: bytes, start: int) -> _Ip:
    protocol, at, is_tail = data[start + 6], start + 40, False
    for _ in range(_MOST_EXTENSIONS):
        if at + 8 > len(data) or is_tail:
            break
        if protocol in _EXTENSIONS:
            protocol, at = data[at], at + 8 + data[at + 1] * 8
        elif protocol == _AH:
            protocol, at = data[at], at + 8 + data[at + 1] * 4
        elif protocol == _FRAGMENT:
            is_tail = bool(_U16(data, at + 2)[0] & 0xFFF8)
            protocol, at = data[at], at + 8
        else:
            break
    source, destination = data[start + 8 : start + 24], data[start + 24 : start + 40]
    return _Ip(6, source, destination, 40 + _U16(data, start + 4)[0], protocol, is_tail, at)


def _read_flow(data: bytes, ip: _Ip) -> _Flow:
    source_port = destination_port = -1
    if ip.is_tail:
        source_port = TAIL_PORT
    elif ip.protocol in _WITH_PORTS:
        if ip.payload + 4 <= len(data):
            source_port, destination_port = _U16(data, ip.payload)[0], _U16(data, ip.payload + 2)[0]
    elif ip.payload + 8 <= len(data) and data[ip.payload] in _ECHO.get((ip.protocol, ip.version), ()):
        source_port = _U16(data, ip.payload + 4)[0]
    return (ip.protocol, ip.source, source_port, ip.destination, destination_port)
