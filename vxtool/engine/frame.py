"""One record's headers, as the engine needs them: the pure twin of `native/frame.c`.

A frame is read from the outside in: link header, VLAN tags, IP, and, where it is UDP to a tunnel port, the
tunnel header and the inner frame. The result says where the frame stood (direction, interface index, MACs), what
it wore, and which datagram it is: the key holds only what no hop may change.

Two kinds of damage are told apart: a header that the record's original length has no room for is *malformed*; one
that only the capture cut off is *cut*. Neither is refused: what was readable counts, and the rest is opaque.
"""

from __future__ import annotations

from collections.abc import Mapping
from struct import Struct

from vxtool.engine.tables import (
    BROADCAST,
    ECHO_REPLY,
    ECHO_REQUEST,
    GENEVE,
    IN,
    MOST_VERIFIED,
    MULTICAST,
    NON_IP,
    OPAQUE,
    OTHER,
    OUT,
    PLAIN,
    TAIL_PORT,
    UNKNOWN,
    VXLAN,
    VXLAN_GPE,
)

# Link types, https://www.tcpdump.org/linktypes.html
NULL, EN10MB, LOOP, LINUX_SLL, IPV4_RAW, IPV6_RAW, LINUX_SLL2 = 0, 1, 108, 113, 228, 229, 276
RAW = frozenset({101, 12, 14})

ETHERTYPE_IPV4, ETHERTYPE_IPV6, ETHERTYPE_TEB = 0x0800, 0x86DD, 0x6558
VLAN_ETHERTYPES = frozenset({0x8100, 0x88A8, 0x9100})
ARPHRD_LOOPBACK = 772  # linux/if_arp.h

ICMP, TCP, UDP, ICMPV6 = 1, 6, 17, 58
WITH_PORTS = frozenset({33, 132, 136})  # DCCP, SCTP, UDP-Lite: ports first, as in TCP and UDP
# IPv6 extension headers that are walked over (RFC 8200, RFC 6275, RFC 7401, RFC 5533), and the two special ones.
EXTENSIONS = frozenset({0, 43, 60, 135, 139, 140})
AH, FRAGMENT = 51, 44
MOST_EXTENSIONS = 16

# What VXLAN-GPE holds, by its next protocol (draft-ietf-nvo3-vxlan-gpe, section 3.2), as EtherTypes: IPv4, IPv6,
# Ethernet, NSH (RFC 8300), MPLS.
GPE_NEXT = {1: ETHERTYPE_IPV4, 2: ETHERTYPE_IPV6, 3: ETHERTYPE_TEB, 4: 0x894F, 5: 0x8847}
GPE_WITH_NEXT = 0x04  # flag P

# SLL and SLL2 packet types (linux/if_packet.h PACKET_*) as directions.
PACKET_TYPES = {0: IN, 1: BROADCAST, 2: MULTICAST, 3: OTHER, 4: OUT}

# How much of a datagram's payload belongs to its key, and the most that may lie before its innermost IP header:
# SLL2 20, outer VLAN tags 8, outer IPv6 40, UDP 8, VXLAN 8, inner Ethernet 14, inner VLAN tag 4.
KEY_PAYLOAD = 64
DEEPEST_IP = 102
# Bytes of a packet whose length only the record tells: what records claim beyond that is no packet's, and with a
# tunnel's headers around it would not fit the C engine's 32 bits.
LONGEST_TOLD = (1 << 31) - 1

ICMP_ERRORS = {4: frozenset({3, 4, 5, 11, 12}), 6: frozenset({1, 2, 3, 4})}

TOO_BIG = frozenset({(4, 3, 4), (6, 2, 0)})  # RFC 1191, RFC 4443: IP version, type, code

# What a frame is.
NON_IP_FRAME, MALFORMED, CUT, UNKNOWN_LINK, TAIL, DATAGRAM = range(6)

# Odd things about a tunnel's packet.
INVALID_HEADER, GROUP_POLICY, RESERVED_BITS, NO_TUNNEL, NESTED, VERIFIED_CHECKSUM, WRONG_CHECKSUM = (
    1 << bit for bit in range(7)
)
_CHECKSUM_FIELDS = {TCP: 16, UDP: 6}

_U16 = Struct(">H").unpack_from
_U32 = Struct(">I").unpack_from

# What nearly every frame of a tunnel is: a link header, IPv4 without options, UDP, VXLAN, Ethernet, again such an
# IPv4, and the first 8 bytes behind it, in which TCP and UDP have their ports; behind those, the rest of TCP.
_IPV4 = "BxHHHBB2x4s4s"
_TUNNEL = f"{_IPV4}HHHHII12xH{_IPV4}HHI"
_USUAL_SLL2 = Struct(f">H2xIHB9x{_TUNNEL}").unpack_from
_USUAL_ETHERNET = Struct(f">12sH{_TUNNEL}").unpack_from
_USUAL_SIZE = 78  # of all that behind the link header
_REST_OF_TCP = Struct(">IBB").unpack_from
_TIMESTAMPS = Struct(">III").unpack_from
_TIMESTAMPS_ALONE = 0x0101080A  # as Linux aligns them (RFC 7323, appendix A)


class Frame:
    """What one record shows; fields that do not apply keep the values below.

    They stand in the class, not in each frame: to write them all took a sixteenth of the time of a record.
    """

    kind = NON_IP_FRAME
    malformed = False  # also of a DATAGRAM, whose inner headers then are opaque
    cut = False
    odd = 0  # INVALID_HEADER and so on
    direction = UNKNOWN
    index = -1  # SLL2 interface index
    loopback = False
    macs = b""
    wear = PLAIN
    vni = -1
    fragmented = False  # the outermost IP packet is the first fragment of several
    fragment_key: tuple[object, ...] = ()  # of the outermost IP packet, where it is a fragment
    tail_of_datagram = False  # an innermost fragment other than the first
    covered = 0  # payload bytes of the outermost IP packet in this record
    wire_length = 0  # IP length of the outermost packet in this record
    outer_source = b""
    outer_destination = b""
    outer_id = 0
    outer_ttl = 0
    inner_ttl = 0
    outer_length = 0  # of the whole outermost packet, its fragments together
    inner_length = 0
    source_port = -1  # of the tunnel
    destination_port = -1
    key: tuple[object, ...] = ()
    flow: tuple[int, bytes, int, bytes, int] = (OPAQUE, b"", -1, b"", -1)
    payload_length = 0  # behind the innermost TCP or UDP header
    sequence = 0
    acknowledgement = 0
    tcp_flags = 0
    mss = 0
    options = 0
    icmp_kind = -1  # type << 8 | code
    icmp_error: tuple[int, int, int, int] | None = None  # IP version, type, code, MTU
    quote: bytes | None = None  # of an ICMP error of a packet too big: what stands behind its header


class _Short(Exception):
    """A header that is not there: `malformed` where the record itself is too short, else cut by the capture."""

    def __init__(self, malformed: bool) -> None:
        self.malformed = malformed


class _Bytes:
    """The captured bytes of one record, and where it ended before it was clipped."""

    __slots__ = ("captured", "data", "end")

    def __init__(self, data: bytes, length: int) -> None:
        self.data = data
        self.captured = len(data)
        self.end = max(length, len(data))

    def need(self, offset: int, size: int) -> None:
        if offset + size > self.captured:
            raise _Short(offset + size > self.end)

    def limit(self, end: int) -> None:
        """Nothing behind `end` belongs to the packet (Ethernet padding, or the bytes of an outer layer)."""
        self.end = end
        self.captured = min(self.captured, end)


class Ip:
    """One IP header: where its payload starts, and what of it identifies the packet."""

    __slots__ = (
        "destination",
        "dont_fragment",
        "fragment_header",
        "fragment_offset",
        "header",
        "identification",
        "length",
        "more_fragments",
        "payload",
        "protocol",
        "source",
        "ttl",
        "version",
    )

    def __init__(self, octets: _Bytes, offset: int) -> None:
        octets.need(offset, 1)
        self.fragment_header = 0  # bytes that only a fragment has: the whole datagram is shorter by them
        self.version = octets.data[offset] >> 4
        if self.version == 4:
            self._read_ipv4(octets, offset)
        elif self.version == 6:
            self._read_ipv6(octets, offset)
        else:
            raise _Short(malformed=True)

    def _read_ipv4(self, octets: _Bytes, offset: int) -> None:
        data = octets.data
        octets.need(offset, 20)
        self.header = (data[offset] & 15) * 4
        if self.header < 20:
            raise _Short(malformed=True)
        # Linux writes 0 where the packet is longer than 65,535 bytes (BIG TCP): the record tells the length.
        self.length = _U16(data, offset + 2)[0] or min(octets.end - offset, LONGEST_TOLD)
        if self.length < self.header or offset + self.length > octets.end:
            raise _Short(malformed=True)
        octets.limit(offset + self.length)
        octets.need(offset, self.header)
        self.identification = _U16(data, offset + 4)[0]
        flags = _U16(data, offset + 6)[0]
        self.dont_fragment = bool(flags & 0x4000)
        self.more_fragments = bool(flags & 0x2000)
        self.fragment_offset = (flags & 0x1FFF) * 8
        self.ttl = data[offset + 8]
        self.protocol = data[offset + 9]
        self.source = data[offset + 12 : offset + 16]
        self.destination = data[offset + 16 : offset + 20]
        self.payload = offset + self.header

    def _read_ipv6(self, octets: _Bytes, offset: int) -> None:
        data = octets.data
        octets.need(offset, 40)
        payload_length = _U16(data, offset + 4)[0]
        self.protocol = data[offset + 6]
        self.ttl = data[offset + 7]
        self.source = data[offset + 8 : offset + 24]
        self.destination = data[offset + 24 : offset + 40]
        # 0 with something behind it is a jumbogram (RFC 2675), with or without its option (BIG TCP).
        if payload_length == 0 and self.protocol != 59:
            payload_length = min(octets.end - offset, LONGEST_TOLD) - 40
        self.length = 40 + payload_length
        if offset + self.length > octets.end:
            raise _Short(malformed=True)
        octets.limit(offset + self.length)
        self.identification = 0
        self.dont_fragment = True
        self.more_fragments = False
        self.fragment_offset = 0
        self.header = 40
        at = offset + 40
        for _ in range(MOST_EXTENSIONS):
            if self.protocol in EXTENSIONS:
                octets.need(at, 8)
                self.protocol, at = data[at], at + 8 + data[at + 1] * 8
            elif self.protocol == AH:
                octets.need(at, 8)
                self.protocol, at = data[at], at + 8 + data[at + 1] * 4
            elif self.protocol == FRAGMENT:
                octets.need(at, 8)
                self.protocol = data[at]
                flags = _U16(data, at + 2)[0]
                self.fragment_offset = flags & 0xFFF8
                self.more_fragments = bool(flags & 1)
                self.identification = _U32(data, at + 4)[0]
                at += 8
                self.fragment_header = 8 if self.fragment_offset or self.more_fragments else 0
                if self.fragment_offset:
                    break
            else:
                break
        else:
            raise _Short(malformed=True)
        if at > octets.end:
            raise _Short(malformed=True)
        self.header = at - offset
        self.payload = at


def read_underlay(data: bytes, length: int, link_type: int, direction: int) -> tuple[Frame, Ip, int] | None:
    """The stage and the outermost IP header of one record, and how many of its bytes belong to that packet.

    Arguments are those of `read_frame`. Of the frame, the direction, index, loopback and MACs are filled in. None
    where there is no such header, or not all of it.
    """
    frame = Frame()
    frame.direction = direction
    octets = _Bytes(data, length)
    try:
        ethertype, offset = _read_link(frame, octets, link_type)
        if ethertype not in (ETHERTYPE_IPV4, ETHERTYPE_IPV6):
            return None
        return frame, Ip(octets, offset), octets.end
    except _Short:
        return None


def read_frame(
    data: bytes, length: int, link_type: int, direction: int, ports: Mapping[int, int], key_budget: int
) -> Frame:
    """Read one record.

    `length` is its original length; `direction` what the container says of it, for link types that say nothing;
    `ports` maps UDP destination ports to VXLAN or GENEVE; `key_budget` is how many bytes every input captures,
    counted from the innermost IP header on (see `key_budget`).
    """
    frame = Frame()
    if _read_usual(frame, data, length, link_type, direction, ports, key_budget):
        return frame
    octets = _Bytes(data, length)
    try:
        frame.direction = direction
        ethertype, offset = _read_link(frame, octets, link_type)
        if ethertype < 0:
            return frame
        if ethertype not in (ETHERTYPE_IPV4, ETHERTYPE_IPV6):
            return frame
        frame.kind = CUT
        _read_outermost(frame, octets, offset, ports, key_budget)
    except _Short as short:
        frame.kind = MALFORMED if short.malformed else CUT
    return frame


def _read_usual(
    frame: Frame,
    data: bytes,
    length: int,
    link_type: int,
    direction: int,
    ports: Mapping[int, int],
    budget: int,
) -> bool:
    """Read a frame that has nothing odd, at offsets known beforehand: four times as fast as header by header.

    False, with nothing written: it is another, for the general readers below.
    """
    captured = len(data)
    if link_type == LINUX_SLL2:
        at = 20
        if captured < at + _USUAL_SIZE:
            return False
        (
            ethertype, index, hardware, packet_type,
            outer, outer_length, outer_id, outer_flags, outer_ttl, outer_protocol, outer_source, outer_destination,
            source_port, destination_port, udp_length, checksum, vxlan, vni, inner_ethertype,
            inner, inner_length, inner_id, inner_flags, inner_ttl, protocol, source, destination,
            first_port, second_port, word,
        ) = _USUAL_SLL2(data)  # fmt: skip
        loopback = hardware == ARPHRD_LOOPBACK
        direction = PACKET_TYPES.get(packet_type, UNKNOWN)
        macs = b""
    elif link_type == EN10MB:
        at = 14
        if captured < at + _USUAL_SIZE:
            return False
        (
            macs, ethertype,
            outer, outer_length, outer_id, outer_flags, outer_ttl, outer_protocol, outer_source, outer_destination,
            source_port, destination_port, udp_length, checksum, vxlan, vni, inner_ethertype,
            inner, inner_length, inner_id, inner_flags, inner_ttl, protocol, source, destination,
            first_port, second_port, word,
        ) = _USUAL_ETHERNET(data)  # fmt: skip
        index, loopback = -1, False
        macs = macs if direction == UNKNOWN else b""
    else:
        return False
    end = length if length > captured else captured
    if (
        ethertype != ETHERTYPE_IPV4
        or outer != 0x45
        or outer_flags & 0x3FFF
        or outer_protocol != UDP
        or ports.get(destination_port) != VXLAN
        or vxlan != 0x08000000
        or vni & 0xFF
        or checksum
        or inner_ethertype != ETHERTYPE_IPV4
        or inner != 0x45
        or inner_flags & 0x1FFF
        or not outer_length <= end - at
        or 20 + udp_length > outer_length
        or not 0 < inner_length <= udp_length - 30
    ):
        return False
    begin = at + 50  # of the inner IPv4 header
    there = min(captured - begin, inner_length)
    behind = begin + 28
    transport: tuple[int, ...]
    if protocol == TCP:
        if there < 40:
            return False
        acknowledgement, size, tcp_flags = _REST_OF_TCP(data, begin + 28)
        size = (size >> 4) * 4
        if size < 20 or 20 + size > there:
            return False
        behind = begin + 20 + size
        frame.tcp_flags = tcp_flags
        value = echo = 0
        if size == 32 and _U32(data, begin + 40)[0] == _TIMESTAMPS_ALONE:
            _, value, echo = _TIMESTAMPS(data, begin + 40)
        elif size > 20:
            value, echo = _read_tcp_options(frame, data, begin + 40, behind)
        frame.options = size - 20
        frame.sequence = word
        frame.acknowledgement = acknowledgement
        transport = (word, acknowledgement, value, echo)
    elif protocol == UDP and there >= 28 and second_port not in ports:
        transport = (word >> 16,)
    else:
        return False
    header = behind - begin
    frame.kind = DATAGRAM
    frame.direction = direction
    frame.index = index
    frame.loopback = loopback
    frame.macs = macs
    frame.wear = VXLAN
    frame.vni = vni >> 8
    frame.covered = outer_length - 20
    frame.wire_length = frame.outer_length = outer_length
    frame.outer_source = outer_source
    frame.outer_destination = outer_destination
    frame.outer_id = outer_id
    frame.outer_ttl = outer_ttl
    frame.inner_ttl = inner_ttl
    frame.inner_length = inner_length
    frame.source_port = source_port
    frame.destination_port = destination_port
    frame.payload_length = inner_length - header
    frame.flow = flow = (protocol, source, first_port, destination, second_port)
    taken = max(0, min(KEY_PAYLOAD, there - header, budget - header))
    whole = inner_length if inner_flags & 0x4000 else 0
    frame.key = (4, *flow, inner_id, 0, whole, transport, data[behind : behind + taken])
    return True


def key_budget(snaplen: int) -> int:
    """How many bytes from the innermost IP header on every record holds that was cut at `snaplen` (0: no limit)."""
    return max(0, snaplen - DEEPEST_IP) if snaplen else 1 << 30


def _read_link(frame: Frame, octets: _Bytes, link_type: int) -> tuple[int, int]:
    """The EtherType behind the link header (-1: nothing to read on) and the offset of what follows."""
    data = octets.data
    if link_type == EN10MB:
        octets.need(0, 14)
        if frame.direction == UNKNOWN:
            frame.macs = data[0:12]
        return _skip_vlan_tags(octets, _U16(data, 12)[0], 14)
    if link_type == LINUX_SLL2:
        octets.need(0, 20)
        frame.index = _U32(data, 4)[0]
        frame.loopback = _U16(data, 8)[0] == ARPHRD_LOOPBACK
        frame.direction = PACKET_TYPES.get(data[10], UNKNOWN)
        return _skip_vlan_tags(octets, _U16(data, 0)[0], 20)
    if link_type == LINUX_SLL:
        octets.need(0, 16)
        frame.direction = PACKET_TYPES.get(_U16(data, 0)[0], UNKNOWN)
        frame.loopback = _U16(data, 2)[0] == ARPHRD_LOOPBACK
        return _skip_vlan_tags(octets, _U16(data, 14)[0], 16)
    if link_type in RAW or link_type in (IPV4_RAW, IPV6_RAW):
        octets.need(0, 1)
        version = data[0] >> 4
        if version not in (4, 6):
            raise _Short(malformed=True)
        return (ETHERTYPE_IPV4 if version == 4 else ETHERTYPE_IPV6), 0
    if link_type in (NULL, LOOP):
        octets.need(0, 4)
        # The address family, in the byte order of the machine that captured: small either way round.
        family = _U32(data, 0)[0]
        family = family if family < 0x10000 else int.from_bytes(data[0:4], "little")
        if family == 2:
            return ETHERTYPE_IPV4, 4
        if family in (10, 24, 28, 30):
            return ETHERTYPE_IPV6, 4
        return 0, 4
    frame.kind = UNKNOWN_LINK
    return -1, 0


def _skip_vlan_tags(octets: _Bytes, ethertype: int, offset: int) -> tuple[int, int]:
    while ethertype in VLAN_ETHERTYPES:
        octets.need(offset, 4)
        ethertype = _U16(octets.data, offset + 2)[0]
        offset += 4
    return ethertype, offset


def _read_outermost(frame: Frame, octets: _Bytes, offset: int, ports: Mapping[int, int], budget: int) -> None:
    ip = Ip(octets, offset)
    frame.outer_source, frame.outer_destination = ip.source, ip.destination
    frame.outer_ttl = frame.inner_ttl = ip.ttl
    frame.wire_length = ip.length
    frame.outer_length = frame.inner_length = ip.length - ip.fragment_header
    frame.covered = ip.length - ip.header
    if ip.fragment_offset or ip.more_fragments:
        frame.fragment_key = (ip.source, ip.destination, ip.protocol, ip.identification)
        if ip.fragment_offset:
            _describe(frame, octets, ip, budget)
            frame.kind = TAIL
            return
        frame.fragmented = True
    if ip.protocol == UDP:
        octets.need(ip.payload, 8)
        wear = ports.get(_U16(octets.data, ip.payload + 2)[0], PLAIN)
        if wear != PLAIN and _read_tunnel(frame, octets, ip, wear, ports, budget):
            frame.kind = DATAGRAM
            return
    _describe(frame, octets, ip, budget)
    frame.kind = DATAGRAM


def _read_tunnel(frame: Frame, octets: _Bytes, ip: Ip, wear: int, ports: Mapping[int, int], budget: int) -> bool:
    """Read the tunnel header and the inner frame. False: this is no tunnel packet after all."""
    data = octets.data
    udp = ip.payload
    # A UDP length of 0 is that of a datagram over 65,535 bytes (RFC 2675, BIG TCP).
    udp_length = _U16(data, udp + 4)[0] or octets.end - udp
    header = udp + 8
    if udp_length < 16 or (not frame.fragmented and udp + udp_length > octets.end):
        frame.malformed = True
        frame.odd |= NO_TUNNEL
        return False
    octets.need(header, 8)
    ethertype = ETHERTYPE_TEB
    inner = header + 8
    if wear == GENEVE:
        ethertype = _U16(data, header + 2)[0]
        inner += (data[header] & 0x3F) * 4
        if data[header] >> 6:
            frame.malformed = True
            frame.odd |= INVALID_HEADER
            return False
    elif wear == VXLAN_GPE and data[header] & GPE_WITH_NEXT:
        ethertype = GPE_NEXT.get(data[header + 3], 0)
    frame_end = udp + udp_length  # of the inner frame: beyond this record where the outer packet is fragmented
    if inner > frame_end:
        frame.malformed = True
        frame.odd |= NO_TUNNEL
        return False
    frame.odd |= _odd_header(data[header : header + 8], wear)
    frame.wear = VXLAN if wear == VXLAN_GPE else wear
    frame.vni = _U32(data, header + 4)[0] >> 8
    frame.source_port = _U16(data, udp)[0]
    frame.destination_port = _U16(data, udp + 2)[0]
    frame.outer_id = ip.identification
    if frame.fragmented:
        frame.outer_length = ip.header - ip.fragment_header + udp_length
        # The first fragment holds the headers; what it does not hold follows in the tails.
        octets.end = frame_end
    else:
        octets.limit(frame_end)
    frame.inner_length = max(0, frame_end - inner - (14 if ethertype == ETHERTYPE_TEB else 0))
    frame.flow = (OPAQUE, b"", -1, b"", -1)
    frame.inner_ttl = 0
    try:
        _read_inner(frame, octets, inner, ethertype, ip, ports, budget)
    except _Short as short:
        if short.malformed:
            frame.malformed = True
        else:
            frame.cut = True
        # Told apart by what is outside, since the inside cannot be read.
        frame.key = (
            OPAQUE,
            ip.source,
            ip.destination,
            ip.identification,
            frame.source_port,
            frame.vni,
            udp_length,
        )
    return True


def _odd_header(header: bytes, wear: int) -> int:
    """What is odd about the header of a tunnel."""
    if wear == GENEVE:  # RFC 8926, section 3.4
        return RESERVED_BITS if header[1] & 0x3F or header[7] else 0
    if wear == VXLAN_GPE:  # draft-ietf-nvo3-vxlan-gpe, section 3.1: flags R R Ver Ver I P B O
        valid = header[0] & 0x38 == 0x08
        reserved = header[0] & 0xC0 | header[1] | header[2] | header[7]
        reserved |= 0 if header[0] & GPE_WITH_NEXT else header[3]
        return (0 if valid else INVALID_HEADER) | (RESERVED_BITS if reserved else 0)
    # RFC 7348, section 5; draft-smith-vxlan-group-policy, section 2
    policy = header[0] & 0x80
    reserved = header[0] & 0x77 | header[7]
    reserved |= header[1] & 0xB7 if policy else header[1] | header[2] | header[3]
    odd = 0 if header[0] & 0x08 else INVALID_HEADER
    odd |= GROUP_POLICY if policy else 0
    return odd | (RESERVED_BITS if reserved else 0)


def _look_inside(frame: Frame, octets: _Bytes, outer: Ip, inner: Ip, ports: Mapping[int, int]) -> None:
    """What is odd about the innermost packet of a tunnel's, and its checksum where that can be told."""
    if inner.fragment_offset or frame.cut or frame.malformed:
        return
    data, udp = octets.data, outer.payload
    wear = ports.get(_U16(data, inner.payload + 2)[0], PLAIN) if inner.protocol == UDP else PLAIN
    if _is_nested(octets, inner.payload, wear):
        frame.odd |= NESTED
    length, checksum = _U16(data, udp + 4)[0], _U16(data, udp + 6)[0]
    if (
        frame.direction in (UNKNOWN, OUT)
        or frame.loopback
        or frame.fragmented
        or inner.protocol not in (TCP, UDP, ICMP if inner.version == 4 else ICMPV6)
        or wear != PLAIN
        or inner.more_fragments
        or not checksum
        or not 0 < length <= MOST_VERIFIED
        or udp + length > octets.captured
        or inner.payload - inner.header + inner.length != udp + length
    ):
        return
    frame.odd |= VERIFIED_CHECKSUM
    pseudo = _sum16(outer.source + outer.destination) + UDP + length
    if _fold(pseudo + _sum16(data[udp : udp + length])) == 0xFFFF:
        return
    # The sender may have left it to its card (linux, udp_set_csum in net/ipv4/udp.c): then it is the sum of the
    # pseudo header alone, or right once the innermost one is filled in, whose field holds a like sum.
    if checksum == _fold(pseudo):
        return
    if inner.protocol in _CHECKSUM_FIELDS:
        (field,) = _U16(data, inner.payload + _CHECKSUM_FIELDS[inner.protocol])
        if _fold(pseudo + _sum16(data[udp : inner.payload]) + (~field & 0xFFFF)) == 0xFFFF:
            return
    frame.odd |= WRONG_CHECKSUM


def _is_nested(octets: _Bytes, at: int, wear: int) -> bool:
    """Whether the innermost UDP datagram is a tunnel's, going by its header."""
    data = octets.data
    if wear == PLAIN or at + 16 > octets.captured or _U16(data, at + 4)[0] < 16:
        return False
    if wear != GENEVE:
        return bool(data[at + 8] & 0x08)
    ethertype = _U16(data, at + 10)[0]
    return data[at + 8] >> 6 == 0 and ethertype in (ETHERTYPE_TEB, ETHERTYPE_IPV4, ETHERTYPE_IPV6)


def _sum16(octets: bytes) -> int:
    """The sum of 16-bit words (RFC 1071), which need not be folded yet."""
    padded = octets + b"\0" if len(octets) % 2 else octets
    return sum(Struct(f">{len(padded) // 2}H").unpack(padded))


def _fold(total: int) -> int:
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def _read_inner(
    frame: Frame,
    octets: _Bytes,
    offset: int,
    ethertype: int,
    outer: Ip,
    ports: Mapping[int, int],
    budget: int,
) -> None:
    data = octets.data
    start = offset
    if ethertype == ETHERTYPE_TEB:
        octets.need(offset, 14)
        ethertype, offset = _skip_vlan_tags(octets, _U16(data, offset + 12)[0], offset + 14)
    if ethertype in (ETHERTYPE_IPV4, ETHERTYPE_IPV6):
        ip = Ip(octets, offset)
        frame.inner_ttl = ip.ttl
        frame.inner_length = ip.length
        _describe(frame, octets, ip, budget)
        _look_inside(frame, octets, outer, ip, ports)
        return
    frame.flow = (NON_IP + ethertype, b"", -1, b"", -1)
    taken = min(KEY_PAYLOAD, octets.captured - start, budget)
    frame.key = (NON_IP, ethertype, frame.inner_length, data[start : start + taken])


def _describe(frame: Frame, octets: _Bytes, ip: Ip, budget: int) -> None:
    """The key and the flow of the innermost IP packet, and what TCP and ICMP say of sizes."""
    frame.flow = (ip.protocol, ip.source, -1, ip.destination, -1)
    transport: tuple[int, ...] = ()
    behind = ip.payload  # the last parsed header's end
    taken = KEY_PAYLOAD
    if ip.fragment_offset:
        frame.tail_of_datagram = True
        frame.flow = (ip.protocol, ip.source, TAIL_PORT, ip.destination, -1)
    else:
        try:
            behind, transport = _read_transport(frame, octets, ip)
        except _Short as short:
            # A router passes such a packet on all the same: it counts, without ports.
            frame.malformed |= short.malformed
            frame.cut |= not short.malformed
            taken = 0
    header = behind - ip.payload + ip.header
    taken = max(0, min(taken, octets.captured - behind, budget - header))
    frame.key = (
        ip.version,
        *frame.flow,
        ip.identification,
        ip.fragment_offset,
        # A router may fragment IPv4 without DF, and then the length of a fragment is not the datagram's.
        ip.length if ip.dont_fragment else 0,
        transport,
        octets.data[behind : behind + taken],
    )


def _read_transport(frame: Frame, octets: _Bytes, ip: Ip) -> tuple[int, tuple[int, ...]]:
    """Where the transport header ends, and what of it identifies the datagram; ports go into the flow."""
    data, at = octets.data, ip.payload
    transport: tuple[int, ...] = ()
    behind = at
    source_port = destination_port = -1
    if ip.protocol == TCP:
        octets.need(at, 20)
        size = (data[at + 12] >> 4) * 4
        if size < 20:
            raise _Short(malformed=True)
        octets.need(at, size)
        behind = at + size
        source_port, destination_port = _U16(data, at)[0], _U16(data, at + 2)[0]
        frame.sequence = _U32(data, at + 4)[0]
        frame.tcp_flags = data[at + 13]
        frame.options = size - 20
        frame.payload_length = ip.length - ip.header - size
        frame.acknowledgement = _U32(data, at + 8)[0]
        transport = (frame.sequence, frame.acknowledgement, *_read_tcp_options(frame, data, at + 20, behind))
    elif ip.protocol == UDP:
        octets.need(at, 8)
        behind = at + 8
        source_port, destination_port = _U16(data, at)[0], _U16(data, at + 2)[0]
        frame.payload_length = ip.length - ip.header - 8
        transport = (_U16(data, at + 4)[0],)
    elif ip.protocol == (ICMP if ip.version == 4 else ICMPV6):
        octets.need(at, 8)
        behind = at + 8
        kind, code, rest = data[at], data[at + 1], _U32(data, at + 4)[0]
        frame.icmp_kind = kind << 8 | code
        if kind in ((0, 8) if ip.version == 4 else (128, 129)):
            source_port = rest >> 16
            frame.tcp_flags = ECHO_REQUEST if kind in (8, 128) else ECHO_REPLY
        elif kind in ICMP_ERRORS[ip.version]:
            mtu = 0
            if ip.version == 6 and kind == 2:
                mtu = rest
            elif ip.version == 4 and (kind, code) == (3, 4):
                mtu = rest & 0xFFFF
            frame.icmp_error = (ip.version, kind, code, mtu)
            if frame.icmp_error[:3] in TOO_BIG:
                frame.quote = data[behind : octets.captured]
        transport = (kind, code, rest)
    elif ip.protocol in WITH_PORTS:
        octets.need(at, 4)
        source_port, destination_port = _U16(data, at)[0], _U16(data, at + 2)[0]
    frame.flow = (ip.protocol, ip.source, source_port, ip.destination, destination_port)
    return behind, transport


def _read_tcp_options(frame: Frame, data: bytes, at: int, end: int) -> tuple[int, int]:
    """MSS of a SYN into the frame; the timestamps (RFC 7323) are returned, 0 where there are none."""
    value = echo = 0
    while at < end:
        kind = data[at]
        if kind == 0:
            break
        if kind == 1:
            at += 1
            continue
        if at + 2 > end or data[at + 1] < 2 or at + data[at + 1] > end:
            break
        size = data[at + 1]
        if kind == 2 and size == 4 and frame.tcp_flags & 2:
            frame.mss = _U16(data, at + 2)[0]
        elif kind == 8 and size == 10:
            value, echo = _U32(data, at + 2)[0], _U32(data, at + 6)[0]
        at += size
    return value, echo
