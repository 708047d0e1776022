"""Captures made of chosen packets, byte by byte, with what is true of each record beside it.

Three layers. Headers (`ipv4`, `udp`, `vxlan`, ...) are plain functions from values to bytes; checksums stay 0, as
the engine does not look at them. `to_bytes` writes records into a capture file. `Spec` says in a few small numbers
what one record shows; `build` makes a capture of a list of them, and a `Seen` for each: which datagram it is,
where it stands, what it wears, which fragment it is. The strategies draw specs from small alphabets, so that equal
keys, loops, shared identifications and the edges of the waiting times are common.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import NamedTuple

from hypothesis import strategies as st

from vxtool.engine.options import EngineOptions
from vxtool.engine.tables import GENEVE, IN, OTHER, OUT, PLAIN, UNKNOWN, VXLAN

EN10MB, SLL, SLL2 = 1, 113, 276
ICMP, TCP, UDP, ICMPV6 = 1, 6, 17, 58
IPV4, IPV6, ARP, TEB = 0x0800, 0x86DD, 0x0806, 0x6558
EPOCH = 1_754_760_470_000_000_000

# Headers.


def address(text: str) -> bytes:
    """A dotted IPv4 address as its four bytes."""
    return bytes(int(part) for part in text.split("."))


def ipv4(
    source: str,
    destination: str,
    protocol: int,
    payload: bytes,
    *,
    ttl: int = 64,
    identification: int = 0,
    offset: int = 0,
    more: bool = False,
    dont_fragment: bool = False,
    length: int | None = None,
    options: bytes = b"",
) -> bytes:
    """RFC 791; `offset` in bytes; `length` where the total length is to be another than the true one."""
    header = 20 + len(options)
    flags = (0x4000 if dont_fragment else 0) | (0x2000 if more else 0) | offset // 8
    total = header + len(payload) if length is None else length
    front = struct.pack(">BBHHHBBH", 0x40 | header // 4, 0, total, identification, flags, ttl, protocol, 0)
    return front + address(source) + address(destination) + options + payload


def ipv6(
    source: bytes,
    destination: bytes,
    next_header: int,
    payload: bytes,
    *,
    hop_limit: int = 64,
    length: int | None = None,
) -> bytes:
    """RFC 8200; extension headers are part of `payload`."""
    size = len(payload) if length is None else length
    return struct.pack(">IHBB", 0x60000000, size, next_header, hop_limit) + source + destination + payload


def fragment_header(next_header: int, identification: int, offset: int, more: bool) -> bytes:
    """RFC 8200, section 4.5; `offset` in bytes."""
    return struct.pack(">BBHI", next_header, 0, offset | more, identification)


def udp(source: int, destination: int, payload: bytes, length: int | None = None) -> bytes:
    return struct.pack(">HHHH", source, destination, 8 + len(payload) if length is None else length, 0) + payload


def tcp(
    source: int,
    destination: int,
    sequence: int,
    payload: bytes = b"",
    *,
    acknowledgement: int = 0,
    flags: int = 0x10,
    options: bytes = b"",
) -> bytes:
    """RFC 9293; `options` fill whole words."""
    words = (20 + len(options)) // 4
    front = struct.pack(
        ">HHIIBBHHH", source, destination, sequence, acknowledgement, words << 4, flags, 65535, 0, 0
    )
    return front + options + payload


def mss(size: int) -> bytes:
    return struct.pack(">BBH", 2, 4, size)


def timestamps(value: int, echo: int) -> bytes:
    return struct.pack(">BBBBII", 1, 1, 8, 10, value, echo)


def icmp(kind: int, code: int, rest: int, payload: bytes = b"") -> bytes:
    return struct.pack(">BBHI", kind, code, 0, rest) + payload


def echo(identifier: int, sequence: int, payload: bytes = b"", reply: bool = False) -> bytes:
    return icmp(0 if reply else 8, 0, identifier << 16 | sequence, payload)


def vxlan(vni: int, frame: bytes) -> bytes:
    """RFC 7348, section 5."""
    return struct.pack(">II", 0x08000000, vni << 8) + frame


def geneve(vni: int, frame: bytes, options: bytes = b"", ethertype: int = TEB) -> bytes:
    """RFC 8926, section 3.4."""
    return struct.pack(">BBHI", len(options) // 4, 0, ethertype, vni << 8) + options + frame


def ethernet(
    payload: bytes,
    ethertype: int = IPV4,
    *,
    destination: bytes = b"\x02\0\0\0\0\x02",
    source: bytes = b"\x02\0\0\0\0\x01",
    tags: Sequence[int] = (),
) -> bytes:
    return (
        destination
        + source
        + b"".join(struct.pack(">HH", 0x8100, tag) for tag in tags)
        + struct.pack(">H", ethertype)
        + payload
    )


def sll2(payload: bytes, interface: int, packet_type: int, ethertype: int = IPV4, arphrd: int = 1) -> bytes:
    """https://www.tcpdump.org/linktypes/LINKTYPE_LINUX_SLL2.html"""
    return struct.pack(">HHIHBB8x", ethertype, 0, interface, arphrd, packet_type, 6) + payload


def sll(payload: bytes, packet_type: int, ethertype: int = IPV4, arphrd: int = 1) -> bytes:
    """https://www.tcpdump.org/linktypes/LINKTYPE_LINUX_SLL.html"""
    return struct.pack(">HHH8xH", packet_type, arphrd, 6, ethertype) + payload


# Containers.


class Entry(NamedTuple):
    """One record of a capture file."""

    time: int
    data: bytes
    length: int | None = None  # on the wire, where more than was captured
    input: int = 0
    direction: int = UNKNOWN  # pcapng's epb_flags, bits 0 and 1
    lost: int | None = None  # what pcapng's statistics of the interface say behind this record


def to_pcap(entries: Sequence[Entry], link_type: int, snaplen: int = 262144) -> bytes:
    """A little-endian pcap file with nanoseconds."""
    parts = [struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, snaplen, link_type)]
    for entry in entries:
        seconds, nanoseconds = divmod(entry.time, 10**9)
        data = entry.data[:snaplen]
        length = len(entry.data) if entry.length is None else entry.length
        parts.append(struct.pack("<IIII", seconds, nanoseconds, len(data), length) + data)
    return b"".join(parts)


def to_pcapng(entries: Sequence[Entry], link_type: int, snaplen: int = 262144) -> bytes:
    """A big-endian pcapng section with one interface, named eth<input>, in nanoseconds."""

    def block(kind: int, body: bytes) -> bytes:
        total = struct.pack(">I", len(body) + 12)
        return struct.pack(">I", kind) + total + body + total

    def option(code: int, value: bytes) -> bytes:
        return struct.pack(">HH", code, len(value)) + value + bytes(-len(value) % 4)

    number = entries[0].input if entries else 0
    parts = [
        block(0x0A0D0D0A, struct.pack(">IHHq", 0x1A2B3C4D, 1, 0, -1)),
        block(1, struct.pack(">HHI", link_type, 0, snaplen) + option(2, b"eth%d" % number) + option(9, b"\x09")),
    ]
    for entry in entries:
        data = entry.data[:snaplen]
        length = len(entry.data) if entry.length is None else entry.length
        head = struct.pack(">IQII", 0, entry.time, len(data), length)
        flags = option(2, struct.pack(">I", entry.direction)) if entry.direction else b""
        parts.append(block(6, head + data + bytes(-len(data) % 4) + flags))
        if entry.lost is not None:
            parts.append(block(5, struct.pack(">IQ", 0, entry.time) + option(5, struct.pack(">Q", entry.lost))))
    return b"".join(parts)


# Specs.

WHOLE, FIRST, MIDDLE, LAST, INNER_FIRST, INNER_LAST = range(6)


class Spec(NamedTuple):
    """One record, in small numbers."""

    gap: int  # since the record before, in ns
    interface: int = 1
    direction: int = IN  # IN, OUT or OTHER
    wear: int = VXLAN
    datagram: int = 0  # which one: flow and identification
    hop: int = 0  # how much lower the outermost TTL is
    outer_id: int = 1
    vtep: int = 0  # which outer addresses
    piece: int = WHOLE  # of the outermost packet, or, in a tunnel, of the innermost
    special: int = 0  # 0: a datagram as above; else an index into `_special`
    clip: int = 0  # bytes that the capture left out at the end
    lost: int = 0  # how many packets the interface's statistics tell, behind this record; 0: none follow


@dataclass(frozen=True)
class Seen:
    """What is true of one record that is a datagram or a piece of one."""

    clock: int  # forward motion of time since the first record
    place: tuple[object, ...]  # interface, direction (UNKNOWN where the capture does not tell), wear, MACs
    identity: tuple[object, ...]  # equal for all sightings of one datagram
    wear: int
    direction: int
    outer_id: int
    outer: tuple[object, ...]
    outer_ttl: int
    inner_ttl: int
    covered: int  # payload bytes of the outermost packet in this record
    group: tuple[object, ...] | None  # of the outermost packet's fragments; None where it is whole
    is_tail: bool  # of the outermost packet
    is_inner_tail: bool  # of the innermost


@dataclass(frozen=True)
class Made:
    """A capture: its records in order of time, and what is true of those that are datagrams."""

    link_type: int
    entries: tuple[Entry, ...]
    seen: tuple[Seen, ...]
    inputs: int
    pcapng: bool = False
    snaplens: tuple[int, ...] = (262144,)  # of each input
    options: EngineOptions = field(default_factory=EngineOptions)

    def files(self, start: int = 0, stop: int | None = None) -> list[bytes]:
        """The records from `start` to `stop` as files, one for each input, each with its header."""
        write = to_pcapng if self.pcapng else to_pcap
        part = self.entries[start:stop]
        return [
            write([entry for entry in part if entry.input == index], self.link_type, snaplen)
            for index, snaplen in enumerate(self.snaplens)
        ]


_INNER_PAYLOAD = 160  # behind the inner UDP header, so that a first fragment holds the 64 bytes of the key
_INNER_CUT = 88  # where the innermost packet's payload is cut, in two
_PLAIN_CUTS = (88, 128)  # where a plain packet's payload is cut, in three
_TUNNEL_CUTS = (128, 192)
_DATAGRAMS = (  # flow, identification, and the byte that its payload repeats
    (0, 100, 1),
    (0, 101, 1),
    (1, 100, 2),
    (0, 100, 3),  # another datagram under the same identification: its fragments mix with the first one's
)


def build(
    specs: Sequence[Spec],
    link_type: int = SLL2,
    options: EngineOptions | None = None,
    *,
    pcapng: bool = False,
    snaplens: Sequence[int] = (262144,) * 3,
) -> Made:
    """The capture that these specs describe; with link type EN10MB each interface has a file of its own."""
    inputs = 3 if link_type == EN10MB else 1
    queues: list[list[tuple[int, Spec]]] = [[] for _ in range(inputs)]
    time = EPOCH
    for number, spec in enumerate(specs):
        time += spec.gap if number else 0
        queues[spec.interface - 1 if inputs > 1 else 0].append((time, spec))

    entries: list[Entry] = []
    seen: list[Seen] = []
    clock = 0
    while any(queues):
        # The earliest of the files' next records; of equal ones that of the file named first.
        index = min((queue[0][0], at) for at, queue in enumerate(queues) if queue)[1]
        time, spec = queues[index].pop(0)
        clock += max(0, time - entries[-1].time) if entries else 0
        entry, fact = _record(spec, link_type, time, index, clock, pcapng)
        entries.append(entry)
        if fact is not None:
            seen.append(fact)
    return Made(
        link_type,
        tuple(entries),
        tuple(seen),
        inputs,
        pcapng,
        tuple(snaplens[:inputs]),
        (options or EngineOptions())._replace(inputs=inputs),
    )


def _record(
    spec: Spec, link_type: int, time: int, index: int, clock: int, pcapng: bool
) -> tuple[Entry, Seen | None]:
    ethertype, packet, fact = _special(spec) if spec.special else _datagram(spec)
    outward = spec.direction == OUT
    if link_type == SLL2:
        data = sll2(packet, spec.interface, {IN: 0, OTHER: 3, OUT: 4}[spec.direction], ethertype)
        place: tuple[object, ...] = (spec.interface, spec.direction)
    elif link_type == SLL:
        data = sll(packet, {IN: 0, OTHER: 3, OUT: 4}[spec.direction], ethertype)
        place = (None, spec.direction)
    else:
        router, neighbour = b"\x02\0\0\0\xff" + bytes([index]), b"\x02\0\0\0\0" + bytes([index])
        macs = (
            {"destination": neighbour, "source": router}
            if outward
            else {"destination": router, "source": neighbour}
        )
        data = ethernet(packet, ethertype, **macs)
        place = (index, data[:12])
    told = spec.direction if link_type != EN10MB else UNKNOWN
    if pcapng and link_type == EN10MB:
        told = OUT if outward else IN
        place = (index, told)
    kept = data[: len(data) - spec.clip]
    direction = told if pcapng and link_type == EN10MB else UNKNOWN
    entry = Entry(time, kept, len(data), index, direction, spec.lost or None)
    if fact is None:
        return entry, None
    place = (*place, fact.wear)
    group = (*place[:-1], *fact.group) if fact.group is not None else None
    return entry, replace(fact, clock=clock, place=place, direction=told, group=group)


def _datagram(spec: Spec) -> tuple[int, bytes, Seen]:
    """A UDP datagram, plain or in a tunnel, whole or a fragment of it or of its outer packet."""
    flow, identification, filling = _DATAGRAMS[spec.datagram]
    source, destination = f"10.0.0.{flow + 1}", f"10.0.1.{flow + 1}"
    payload = udp(1000, 2000, bytes([filling]) * _INNER_PAYLOAD)
    ttl = 64 - spec.hop
    identity: tuple[object, ...] = (flow, identification, filling)

    if spec.wear == PLAIN:
        start, stop = _cut(spec.piece, _PLAIN_CUTS, len(payload))
        packet = ipv4(
            source,
            destination,
            UDP,
            payload[start:stop],
            ttl=ttl,
            identification=identification,
            offset=start,
            more=stop < len(payload),
        )
        whole = stop - start == len(payload)
        return (
            IPV4,
            packet,
            Seen(
                clock=0,
                place=(),
                identity=identity if start == 0 else (*identity, start, min(stop, start + 64)),
                wear=PLAIN,
                direction=UNKNOWN,
                outer_id=0,
                outer=(),
                outer_ttl=ttl,
                inner_ttl=ttl,
                covered=stop - start,
                group=None if whole else (flow, identification),
                is_tail=start > 0,
                is_inner_tail=start > 0,
            ),
        )

    inner_start, inner_stop = 0, len(payload)
    if spec.piece == INNER_FIRST:
        inner_stop = _INNER_CUT
    elif spec.piece == INNER_LAST:
        inner_start = _INNER_CUT
        identity = (*identity, inner_start, inner_start + 64)
    inner_ttl = 63
    inner = ethernet(
        ipv4(
            source,
            destination,
            UDP,
            payload[inner_start:inner_stop],
            ttl=inner_ttl,
            identification=identification,
            offset=inner_start,
            more=inner_stop < len(payload),
        )
    )
    vni = 256 + flow
    port, header = (8472, vxlan(vni, inner)) if spec.wear == VXLAN else (6081, geneve(vni, inner))
    outer_source, outer_destination = f"192.168.1.{spec.vtep + 1}", "192.168.2.1"
    outer_payload = udp(50000, port, header)
    start, stop = _cut(spec.piece, _TUNNEL_CUTS, len(outer_payload))
    packet = ipv4(
        outer_source,
        outer_destination,
        UDP,
        outer_payload[start:stop],
        ttl=ttl,
        identification=spec.outer_id,
        offset=start,
        more=stop < len(outer_payload),
    )
    group = (outer_source, spec.outer_id)
    return (
        IPV4,
        packet,
        Seen(
            clock=0,
            place=(),
            # A tail holds nothing of the inner packet: it is known by the outer header alone.
            identity=(group, start, bytes(outer_payload[start : start + 64])) if start else identity,
            wear=PLAIN if start else spec.wear,
            direction=UNKNOWN,
            outer_id=0 if start else spec.outer_id,
            outer=() if start else (outer_source, outer_destination, 50000, port),
            outer_ttl=ttl,
            inner_ttl=ttl if start else inner_ttl,
            covered=stop - start,
            group=None if stop - start == len(outer_payload) else group,
            is_tail=start > 0,
            is_inner_tail=start > 0 or spec.piece == INNER_LAST,
        ),
    )


def _cut(piece: int, cuts: tuple[int, int], size: int) -> tuple[int, int]:
    edges = {FIRST: (0, cuts[0]), MIDDLE: cuts, LAST: (cuts[1], size)}
    return edges.get(piece, (0, size))


V6_A, V6_B = b"\xfd" + bytes(14) + b"\x01", b"\xfd" + bytes(14) + b"\x02"
SPECIALS = 41
SEGMENTS = range(101, 108)  # super-frames of TCP and pieces of them
NUMBERED = range(111, 118)  # the same of UDP


def internet_sum(*parts: bytes) -> int:
    """The one's complement sum of 16-bit words (RFC 1071), each part padded by itself."""
    total = 0
    for part in parts:
        padded = part + bytes(len(part) % 2)
        total += sum(int.from_bytes(padded[at : at + 2], "big") for at in range(0, len(padded), 2))
    return total % 0xFFFF or (0xFFFF if total else 0)


def pseudo_header(packet: bytes, at: int) -> bytes:
    """What a UDP checksum covers of an IP header that ends at `at` (RFC 768; RFC 8200, section 8.1)."""
    addresses = packet[12:20] if packet[0] >> 4 == 4 else packet[8:40]
    return addresses + bytes([0, UDP]) + packet[at + 4 : at + 6]


def checksummed(packet: bytes, wrong: bool = False) -> bytes:
    """An IP packet without options whose UDP checksum is filled in."""
    at = 20 if packet[0] >> 4 == 4 else 40
    empty = packet[: at + 6] + b"\0\0" + packet[at + 8 :]
    checksum = 0xFFFF - internet_sum(pseudo_header(empty, at), empty[at:]) or 0xFFFF
    if wrong:
        checksum = checksum % 0xFFFF + 1
    return packet[: at + 6] + checksum.to_bytes(2, "big") + packet[at + 8 :]


def left_to_card(packet: bytes, outer: bool) -> bytes:
    """The same as Linux hands it to a device that fills checksums in itself (udp_set_csum in net/ipv4/udp.c).

    Either the outer checksum is left to it, and its field holds the sum of the pseudo header; or that of the TCP
    segment inside is, and the outer one is right for what will stand there.
    """
    at, inner = 20, 20 + 8 + 8 + 14
    if outer:
        return packet[: at + 6] + internet_sum(pseudo_header(packet, at)).to_bytes(2, "big") + packet[at + 8 :]
    field = inner + 20 + 16
    length = len(packet) - inner - 20
    seed = internet_sum(packet[inner + 12 : inner + 20], bytes([0, TCP]), length.to_bytes(2, "big"))
    partly = packet[:field] + seed.to_bytes(2, "big") + packet[field + 2 :]
    filled = (0xFFFF - internet_sum(partly[inner + 20 :])).to_bytes(2, "big")
    whole = checksummed(packet[:field] + filled + packet[field + 2 :])
    return whole[:field] + seed.to_bytes(2, "big") + whole[field + 2 :]


def _special(spec: Spec) -> tuple[int, bytes, None]:
    """What real captures hold besides, each under a number: nothing is said of it but its bytes."""
    number, ttl = spec.special, 64 - spec.hop
    pods = ("10.0.0.1", "10.0.1.1")
    identification = 200 + spec.datagram

    def plain(protocol: int, payload: bytes, length: int | None = None) -> bytes:
        return ipv4(*pods, protocol, payload, ttl=ttl, identification=identification, length=length)

    def tunnelled(frame: bytes, port: int = 8472, length: int | None = None) -> bytes:
        header = vxlan(256, frame) if port != 6081 else geneve(256, frame)
        outer = ("192.168.1.1", "192.168.2.1")
        return ipv4(*outer, UDP, udp(50000, port, header, length), ttl=ttl, identification=spec.outer_id)

    def headed(header: bytes, port: int = 8472) -> bytes:
        """A tunnel's packet with this header."""
        frame = ethernet(plain(UDP, udp(1000, 2000, bytes([spec.datagram]) * 70)))
        outer = ("192.168.1.1", "192.168.2.1")
        return ipv4(*outer, UDP, udp(50000, port, header + frame), ttl=ttl, identification=spec.outer_id)

    v6 = ipv6(V6_A, V6_B, UDP, udp(1000, 2000, bytes([spec.datagram]) * 70), hop_limit=ttl)

    def gpe(next_protocol: int, flags: bytes) -> bytes:
        inner = {1: plain(UDP, udp(1000, 2000, bytes(70))), 2: v6}.get(next_protocol) or ethernet(v6, IPV6)
        payload = flags + bytes(2) + bytes([next_protocol]) + b"\0\1\0\0" + inner
        outer = ("192.168.1.1", "192.168.2.1")
        return ipv4(*outer, UDP, udp(50000, 4790, payload), ttl=ttl, identification=spec.outer_id)

    sequence = (0xFFFFFFD8, 60, 160, 0x00FFFFFF)[spec.datagram]
    segment = tcp(4000, 80, sequence, bytes(100), options=timestamps(1, 2))
    big = ipv6(V6_A, V6_B, TCP, tcp(4000, 80, 1, bytes(70000)), hop_limit=ttl, length=0)
    v6_payload = udp(50000, 8472, vxlan(300, ethernet(v6, IPV6)))
    acknowledgement = (60, 160, 260, 0xFFFFFFD8)[spec.datagram]
    answer = ipv4(
        *pods[::-1], TCP, tcp(80, 4000, 9, acknowledgement=acknowledgement), ttl=ttl, identification=identification
    )
    packets: dict[int, tuple[int, bytes]] = {
        1: (ARP, bytes([spec.datagram]) * 28),
        2: (IPV4, plain(UDP, bytes(8), length=400)),
        3: (IPV4, tunnelled(ethernet(plain(TCP, tcp(4000, 80, sequence, flags=2, options=mss(1410 - spec.hop)))))),
        4: (IPV4, tunnelled(ethernet(plain(TCP, segment)))),
        5: (IPV4, plain(TCP, segment)),
        6: (IPV4, plain(ICMP, icmp(3, 4, 1400, bytes(28)))),
        7: (IPV4, tunnelled(ethernet(plain(ICMP, icmp(11, 0, 0, bytes(28)))))),
        8: (IPV4, tunnelled(ethernet(bytes([spec.datagram]) * 28, ARP))),
        9: (IPV4, tunnelled(ethernet(plain(UDP, udp(1000, 2000, bytes(3000)))), 6081)),
        10: (IPV4, tunnelled(ethernet(v6, IPV6, tags=(7,)))),
        11: (
            IPV6,
            ipv6(V6_A, V6_B, 44, fragment_header(UDP, spec.outer_id, 0, True) + v6_payload[:136], hop_limit=ttl),
        ),
        12: (
            IPV6,
            ipv6(V6_A, V6_B, 44, fragment_header(UDP, spec.outer_id, 136, False) + v6_payload[136:], hop_limit=ttl),
        ),
        13: (
            IPV4,
            ipv4(*pods, UDP, udp(1, 6081, geneve(9, plain(UDP, udp(5, 6, b"x")), bytes(8), IPV4)), ttl=ttl),
        ),
        14: (IPV4, plain(UDP, udp(50000, 8472, b"no tunnel"[: 4 + spec.hop]))),
        15: (IPV4, plain(132, struct.pack(">HHII", 7, 8, 9, spec.datagram))),
        16: (IPV6, big),
        17: (IPV4, tunnelled(ethernet(b"\x70" * 60))),
        18: (IPV4, tunnelled(b"short")),
        19: (IPV4, tunnelled(ethernet(v6, IPV6), length=0)),
        20: (IPV4, plain(ICMP, echo(7, spec.datagram, bytes(56), reply=spec.vtep == 1))),
        # Odd headers of tunnels: without the I flag, with a group policy, with each reserved part set.
        21: (IPV4, headed(b"\0\0\0\0\0\1\0\0")),
        22: (IPV4, headed(b"\x88\x48\1\2\0\1\0\0")),
        23: (IPV4, headed((b"\x0c", b"\x08\1", b"\x08\0\0\1", b"\x88\1")[spec.datagram].ljust(8, b"\0"))),
        24: (IPV4, headed(b"\x08\0\0\0\0\1\0\1")),
        25: (IPV4, headed((b"\x40\0", b"\0\1", b"\0\0", b"\0\xc0")[spec.datagram] + b"\x65\x58\0\1\0\1", 6081)),
        # A tunnel inside: VXLAN, Geneve, and two that only go to such a port.
        26: (IPV4, tunnelled(ethernet(plain(UDP, udp(50001, 8472, vxlan(9, ethernet(v6, IPV6))))))),
        27: (IPV4, tunnelled(ethernet(plain(UDP, udp(50001, 6081, geneve(9, ethernet(v6, IPV6))))), 6081)),
        28: (IPV4, tunnelled(ethernet(plain(UDP, udp(50001, 4789, bytes(20 - 10 * spec.hop)))))),
        # Outer checksums: right, wrong, and as offload leaves them, over TCP and UDP, in small and large.
        29: (IPV4, checksummed(tunnelled(ethernet(plain(TCP, segment))))),
        30: (IPV4, checksummed(tunnelled(ethernet(plain(UDP, udp(1000, 2000, bytes(71))))), wrong=True)),
        31: (IPV6, checksummed(ipv6(V6_A, V6_B, UDP, v6_payload, hop_limit=ttl), wrong=spec.datagram == 1)),
        32: (IPV4, left_to_card(tunnelled(ethernet(plain(TCP, segment))), outer=spec.datagram % 2 == 0)),
        33: (IPV4, checksummed(tunnelled(ethernet(plain(UDP, bytes(1229 + spec.datagram)))), wrong=True)),
        # VXLAN-GPE: IP without Ethernet, Ethernet, what is not known; with flags that mean nothing there.
        37: (IPV4, gpe((1, 2, 3, 6)[spec.datagram], (b"\x0c", b"\x4c")[spec.hop % 2])),
        38: (IPV4, gpe((2, 0, 4, 3)[spec.datagram], (b"\x08", b"\x2c")[spec.hop % 2])),
        # Acknowledgements of the segments above, in the tunnel under one of two VNIs, and outside.
        35: (IPV4, ipv4("192.168.2.1", "192.168.1.1", UDP,
                        udp(50000, 8472, vxlan(256 + spec.vtep, ethernet(answer))), ttl=ttl,
                        identification=spec.outer_id)),
        36: (IPV4, answer),
        34: (IPV4, checksummed(tunnelled(ethernet(plain(ICMP, echo(7, 1, b"odd"))), 6081), wrong=spec.vtep == 1)),
        # Messages that a packet was too big, quoting a tunnel's, cut anywhere; in a tunnel; quoting little.
        39: (
            IPV4,
            plain(
                ICMP,
                icmp(3, 4, 1400, tunnelled(ethernet(plain(TCP, segment)))[: (548, 78, 60, 28)[spec.datagram]]),
            ),
        ),
        40: (IPV4, tunnelled(ethernet(ipv6(V6_A, V6_B, 58, icmp(2, 0, 1280, v6), hop_limit=ttl), IPV6))),
        41: (IPV6, ipv6(V6_A, V6_B, 58, icmp(2, 0, 1400 + spec.hop, v6_payload[:20]), hop_limit=ttl)),
    }
    if number in SEGMENTS:
        return IPV4, _piece_of_super_frame(spec), None
    if number in NUMBERED:
        return IPV4, _numbered_piece(spec), None
    return (*packets[number], None)


def _piece_of_super_frame(spec: Spec) -> bytes:
    """1800 bytes of TCP data, in one piece or several, in a tunnel or plain; its numbers wrap where `vtep` is 1."""
    step, length, wears = {
        101: (0, 1800, True),
        102: (spec.datagram, 600, True),
        103: (0, 1800, False),
        104: (spec.datagram, 600, False),
        105: (0, (1200, 1500, 1794, 6)[spec.datagram], True),
        106: (spec.datagram, 600, True),  # in fragments: the first,
        107: (spec.datagram, 600, True),  # and the other
    }[spec.special]
    start = 0xFFFFFF80 if spec.vtep else 1000
    data = bytes([7]) * length
    segment = tcp(4000, 80, (start + 600 * step) & 0xFFFFFFFF, data, options=timestamps(1, spec.hop // 2))
    identification = 0 if spec.outer_id == 0 else 500 + step
    packet = ipv4("10.0.0.1", "10.0.1.1", TCP, segment, ttl=64 - spec.hop, identification=identification)
    if not wears:
        return packet
    payload = udp(50000, 8472, vxlan(256, ethernet(packet)))
    outer_id = (spec.outer_id + step) & 0xFFFF if spec.outer_id else 0
    start, end = {106: (0, 560), 107: (560, len(payload))}.get(spec.special, (0, len(payload)))
    return ipv4(
        "192.168.1.1",
        "192.168.2.1",
        UDP,
        payload[start:end],
        ttl=64 - spec.hop,
        identification=outer_id,
        offset=start,
        more=end < len(payload),
    )


def _numbered_piece(spec: Spec) -> bytes:
    """1800 or 1980 bytes of UDP data, in one piece or in several of 600, in a tunnel or plain.

    The inner identification differs by `outer_id`, as of another super-frame that the same socket sends; there is
    none where that is 0, but for the counting from 0. It wraps where `vtep` is 1.
    """
    step, length, wears = {
        111: (0, 1800, True),
        112: (spec.datagram, 600, True),
        113: (0, 1800, False),
        114: (spec.datagram, 600, False),
        115: (spec.datagram, (1200, 1500, 1794, 180)[spec.datagram], True),
        116: (0, 1980, spec.hop == 0),
        117: (0, 600, True),  # without any number
    }[spec.special]
    base = 0xFFFE if spec.vtep else 500
    identification = (base + spec.outer_id + step) & 0xFFFF if spec.outer_id else step
    packet = ipv4(
        "10.0.0.1",
        "10.0.1.1",
        UDP,
        udp(1000, 2000, bytes([7]) * length),
        ttl=64 - spec.hop,
        identification=0 if spec.special == 117 else identification,
        dont_fragment=spec.interface == 2,
    )
    if not wears:
        return packet
    payload = udp(50000, 8472, vxlan(256, ethernet(packet)))
    outer_id = (4 * spec.outer_id + step) & 0xFFFF if spec.outer_id else 0
    return ipv4("192.168.1.1", "192.168.2.1", UDP, payload, ttl=64 - spec.hop, identification=outer_id)


# Strategies. Shrinking goes towards few records, whole datagrams, and no gaps.


@st.composite
def waits(draw: st.DrawFn) -> EngineOptions:
    """Options whose waiting times are so short that a few records reach their ends."""
    unit = draw(st.sampled_from([1, 10_000]))
    return EngineOptions(
        window=1000 * unit,
        settle=draw(st.sampled_from([100, 700])) * unit,
        most_datagrams=draw(st.sampled_from([0, 1 << 20])),
        most_sightings=draw(st.sampled_from([0, 1 << 20])),
    )


def gaps(options: EngineOptions) -> Sequence[int]:
    """Times between records: none, tiny, within and at the edges of the waiting times, long, and a little back."""
    window, settle = options.window, options.settle
    within = [0, 0, 1, 1, settle // 2, window // 10, window // 5, window // 3, window // 2]
    edges = [settle - 1, settle, settle + 1, window - settle, window - 1, window, window + 1]
    beyond = [window + settle, window + settle + 1, 3 * window, 3_000_000_000]
    return [*within, *edges, *beyond, -1, -settle, -window]


_DIRECTIONS = (IN, OUT, OUT, IN, OTHER)
_PIECES = (WHOLE, WHOLE, FIRST, MIDDLE, LAST, FIRST, LAST, INNER_FIRST, INNER_LAST)


@st.composite
def records(draw: st.DrawFn, options: EngineOptions, special: bool, most: int) -> list[Spec]:
    """Up to `most` records; with `special`, also such that are no datagram of ours, and clipped ones.

    Each capture draws a few values for each field first, and its records take from those: so records collide
    in some captures often, in others in ways that a single wide alphabet would hardly give.
    """

    def few(values: Sequence[int], most: int = 4) -> st.SearchStrategy[int]:
        return st.sampled_from(draw(st.lists(st.sampled_from(values), min_size=1, max_size=most)))

    odd = st.integers(0, SPECIALS) | st.sampled_from([*SEGMENTS, *NUMBERED])
    numbers = draw(st.lists(odd, max_size=4)) if special else []
    spec = st.builds(
        Spec,
        gap=few(gaps(options), 6),
        interface=few((1, 2, 3)),
        direction=few(_DIRECTIONS),
        wear=few((VXLAN, VXLAN, PLAIN, GENEVE)),
        datagram=few((0, 0, 1, 2, 3)),
        hop=few((0, 0, 1, 2)),
        outer_id=few((1, 1, 2, 0)),
        vtep=few((0, 0, 1)),
        piece=few(_PIECES),
        special=st.sampled_from([0, *numbers]),
        clip=st.sampled_from([0] * 9 + [draw(st.sampled_from([0, 10, 150, 200]))] if special else [0]),
        lost=st.sampled_from([0] * 9 + [1, 2] if special else [0]),
    )
    least = draw(st.sampled_from([1, 1, most // 4, most // 2]))
    return draw(st.lists(spec, min_size=least, max_size=most))


@st.composite
def captures(draw: st.DrawFn, special: bool = True, most: int = 30) -> Made:
    """A capture of up to `most` records; without `special`, the truth of every record is known."""
    options = draw(waits())
    link_type, pcapng = draw(
        st.sampled_from([(SLL2, False), (SLL2, True), (SLL, False), (EN10MB, False), (EN10MB, True)])
    )
    snaplens = draw(st.lists(st.sampled_from([262144, 166]), min_size=3, max_size=3)) if special else [262144] * 3
    return build(draw(records(options, special, most)), link_type, options, pcapng=pcapng, snaplens=snaplens)


@st.composite
def super_frames(draw: st.DrawFn, most: int = 30) -> Made:
    """A capture of TCP or UDP data in large and in small pieces alone."""
    options = draw(waits())
    tcp_kinds = [([101, 102, 102], SEGMENTS), ([101, 102, 106, 107], SEGMENTS)]
    usual, all_kinds = draw(st.sampled_from([*tcp_kinds, ([111, 112, 112], NUMBERED)]))
    waiting = st.sampled_from(draw(st.lists(st.sampled_from(gaps(options)), min_size=1, max_size=6)))
    spec = st.builds(
        Spec,
        gap=waiting,
        interface=st.sampled_from([1, 2]),
        direction=st.sampled_from(_DIRECTIONS),
        datagram=st.sampled_from([0, 1, 2, 3]),
        hop=st.sampled_from([0, 1]),
        outer_id=st.sampled_from(draw(st.sampled_from([(0,), (1,), (1, 2), (0, 1), (0xFFFE,)]))),
        vtep=st.just(draw(st.sampled_from([0, 1]))),
        special=st.sampled_from([*usual, *draw(st.lists(st.sampled_from(all_kinds), max_size=3))]),
    )
    link_type = draw(st.sampled_from([SLL2, EN10MB]))
    return build(draw(st.lists(spec, min_size=most // 4, max_size=most)), link_type, options)


@st.composite
def splits(draw: st.DrawFn, size: int) -> list[tuple[int, int]]:
    """Consecutive parts of `size` records, some of them empty."""
    cuts = sorted(draw(st.lists(st.integers(0, size), min_size=1, max_size=5)))
    edges = [0, *cuts, size]
    return list(pairwise(edges))
