"""Whether a line is wanted: a display filter's program, and what it says of a line. The plain twin of filter.c;
filter.h tells what a program is, as bytes too.

`filter_text` makes programs from text.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from enum import IntEnum, IntFlag, auto
from typing import NamedTuple

from vxtool.listing.facts import Facts, NoteLike, SeenLike

ACCEPT, REJECT = 0xFFFF, 0xFFFE
MOST_TESTS = 4096
ANY_VALUE, NO_VALUE = 0, 1
WHOLE_TEXT, NAMESPACE_OF_TEXT, NAME_OF_TEXT = 0, 1, 2
TEXT_CONTAINS, TEXT_ANY_CASE = 1, 2
IPV4_END, IPV6_END, MAC_END = 1, 2, 3  # VX_END_...
ALL_BITS = (1 << 64) - 1
LEAST, MOST = -(1 << 63), (1 << 63) - 1

_TCP, _UDP, _ICMP, _ICMPV6 = 6, 17, 1, 58
_DUPLICATE_ACK = 64  # in streams.h
_END_KINDS = {4: IPV4_END, 16: IPV6_END, 6: MAC_END}


class Field(IntEnum):
    """What is asked of a record, in the order of filter.h: numbers, ends from ENDS on, text from PROTOCOL on."""

    RECORD = 0
    INPUT = auto()
    TIME = auto()
    RELATIVE = auto()
    LATENCY = auto()
    OUTCOME = auto()
    LENGTH = auto()
    CAPTURED = auto()
    PROTOCOLS = auto()
    VNI = auto()
    VXLAN_VNI = auto()
    GENEVE_VNI = auto()
    IDENTITY = auto()
    SOURCE_IDENTITY = auto()
    DESTINATION_IDENTITY = auto()
    PORT = auto()
    SOURCE_PORT = auto()
    DESTINATION_PORT = auto()
    OUTER_PORT = auto()
    OUTER_SOURCE_PORT = auto()
    OUTER_DESTINATION_PORT = auto()
    TTL = auto()
    TRANSPORT = auto()
    IP_LENGTH = auto()
    IP_ID = auto()
    IP_FRAGMENT = auto()
    IP_TRAFFIC = auto()
    TCP_PAYLOAD = auto()
    TCP_FLAGS = auto()
    TCP_WINDOW_VALUE = auto()
    TCP_RAW_SEQUENCE = auto()
    TCP_RAW_ACKNOWLEDGEMENT = auto()
    TCP_STREAM = auto()
    TCP_SEQUENCE = auto()
    TCP_ACKNOWLEDGEMENT = auto()
    TCP_WINDOW = auto()
    TCP_NOTES = auto()
    TCP_DUPLICATE_NUMBER = auto()
    TCP_DUPLICATE_OF = auto()
    UDP_LENGTH = auto()
    ICMP_TYPE = auto()
    ICMP_CODE = auto()
    ARP_OPERATION = auto()
    ENDS = auto()
    SOURCE = auto()
    DESTINATION = auto()
    OUTER_ENDS = auto()
    OUTER_SOURCE = auto()
    OUTER_DESTINATION = auto()
    PROTOCOL = auto()
    POD = auto()
    SOURCE_POD = auto()
    DESTINATION_POD = auto()
    NODE = auto()
    SOURCE_NODE = auto()
    DESTINATION_NODE = auto()
    INTERFACE = auto()
    INGRESS = auto()
    EGRESS = auto()


class Has(IntFlag):
    """What Field.PROTOCOLS is a sum of."""

    IPV4 = 1
    IPV6 = 2
    TCP = 4
    UDP = 8
    ICMP = 16
    ICMPV6 = 32
    ARP = 64
    VXLAN = 128
    GENEVE = 256


class FieldTest(NamedTuple):
    """One test, as filter.h has it. `low` and `high` are numbers, or octets as one number, or of a text where it
    begins and its size."""

    field: Field
    quantifier: int = ANY_VALUE
    choice: int = 0
    how: int = 0
    if_true: int = ACCEPT
    if_false: int = REJECT
    mask: int = ALL_BITS
    low: int = LEAST
    high: int = MOST


class Program(NamedTuple):
    tests: tuple[FieldTest, ...] = ()  # none: every line is wanted
    texts: bytes = b""

    def packed(self) -> bytes:
        """The bytes that vx_filter_new takes."""
        parts = [struct.pack(">HHI", 1, len(self.tests), len(self.texts))]
        for test in self.tests:
            numbers = test.field < Field.ENDS
            parts.append(struct.pack(">4B2HQ", *test[:7]))
            parts += [bound.to_bytes(16, "big", signed=numbers) for bound in (test.low, test.high)]
        return b"".join([*parts, self.texts])

    def asks(self, *fields: Field) -> bool:
        """Whether it asks for one of these at all: a lister need not find out what nobody asks."""
        return any(test.field in fields for test in self.tests)


class Filter:
    """A program that is asked of one line after the other."""

    def __init__(self, program: Program) -> None:
        self._program = program

    def holds(self, facts: Facts) -> bool:
        """Whether the line is wanted."""
        tests = self._program.tests
        at = 0 if tests else ACCEPT
        while at < len(tests):
            test = tests[at]
            at = test.if_true if self._test_holds(test, facts) else test.if_false
        return at == ACCEPT

    def _test_holds(self, test: FieldTest, facts: Facts) -> bool:
        within: list[bool]
        if test.field < Field.ENDS:
            within = [test.low <= _signed(value & test.mask) <= test.high for value in _numbers(test, facts)]
        elif test.field < Field.PROTOCOL:
            within = [
                kind == test.how and test.low <= number <= test.high for kind, number in _ends(test, facts.seen)
            ]
        else:
            wanted = self._program.texts[test.low : test.low + test.high]
            within = [_text_is_in(test.how, wanted, text) for text in _texts(test, facts)]
        return any(within) if test.quantifier == ANY_VALUE else bool(within) and not any(within)


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def _known(*values: int | None) -> Sequence[int]:
    return [value for value in values if value is not None and value >= 0]


def _numbers(test: FieldTest, facts: Facts) -> Sequence[int]:
    """The values of a field that is a number."""
    seen = facts.seen
    field = test.field
    if field in _OF_FACTS:
        return _known(*_OF_FACTS[field](facts))
    if field in _OF_TIME:
        return [_OF_TIME[field](facts)]
    if Field.PORT <= field <= Field.OUTER_DESTINATION_PORT:
        return _ports(test, seen)
    if Field.TTL <= field <= Field.IP_TRAFFIC:
        return _ip_numbers(test, seen)
    if Field.TCP_PAYLOAD <= field <= Field.TCP_DUPLICATE_OF:
        return _tcp_numbers(field, seen, facts.note)
    if field is Field.PROTOCOLS:
        return [_protocols(seen)]
    header: bytes | None
    if field is Field.UDP_LENGTH:
        header = _header(seen, _UDP)
        return [] if header is None else [_be16(header, 4)]
    if field is Field.ARP_OPERATION:
        header = _header(seen, None)
        return [] if header is None else [_be16(header, 6)]
    header = _header(seen, test.choice) if test.choice in (_ICMP, _ICMPV6) else None
    return [] if header is None else [header[1 if field is Field.ICMP_CODE else 0]]


_OF_FACTS: dict[Field, Callable[[Facts], Sequence[int | None]]] = {
    Field.RECORD: lambda facts: [facts.record],
    Field.INPUT: lambda facts: [facts.input],
    Field.LATENCY: lambda facts: [facts.latency_ns],
    Field.OUTCOME: lambda facts: [facts.outcome or None],
    Field.LENGTH: lambda facts: [facts.seen.length],
    Field.CAPTURED: lambda facts: [facts.seen.captured],
    Field.VNI: lambda facts: [facts.seen.vni],
    Field.VXLAN_VNI: lambda facts: [facts.seen.vni if facts.seen.tunnel == "vxlan" else None],
    Field.GENEVE_VNI: lambda facts: [facts.seen.vni if facts.seen.tunnel == "geneve" else None],
    Field.IDENTITY: lambda facts: [facts.source_identity, facts.destination_identity],
    Field.SOURCE_IDENTITY: lambda facts: [facts.source_identity],
    Field.DESTINATION_IDENTITY: lambda facts: [facts.destination_identity],
}
# These may be negative.
_OF_TIME: dict[Field, Callable[[Facts], int]] = {
    Field.TIME: lambda facts: facts.time_ns,
    Field.RELATIVE: lambda facts: facts.relative_ns,
}


def _be16(data: bytes, at: int) -> int:
    return data[at] << 8 | data[at + 1]


def _header(seen: SeenLike, transport: int | None) -> bytes | None:
    """The header of this transport (None: ARP), where it was captured."""
    own = seen.transport if seen.transport is not None and seen.transport >= 0 else None
    return seen.header if own == transport else None


def _protocols(seen: SeenLike) -> int:
    has = Has(0)
    if seen.ip is not None:
        has |= Has.IPV6 if seen.is_ipv6 else Has.IPV4
    for transport, one in (
        (_TCP, Has.TCP),
        (_UDP, Has.UDP),
        (_ICMP, Has.ICMP),
        (_ICMPV6, Has.ICMPV6),
        (None, Has.ARP),
    ):
        if _header(seen, transport) is not None:
            has |= one
    if seen.tunnel is not None:
        has |= Has.VXLAN if seen.tunnel == "vxlan" else Has.GENEVE
    return has


def _ports(test: FieldTest, seen: SeenLike) -> Sequence[int]:
    if test.field >= Field.OUTER_PORT:
        there = seen.outer_source is not None
        ports = seen.outer_source_port, seen.outer_destination_port
    else:
        there = seen.has_ports and test.choice in (0, seen.transport)
        ports = seen.source_port, seen.destination_port
    if not there:
        return []
    if test.field in (Field.SOURCE_PORT, Field.OUTER_SOURCE_PORT):
        return ports[:1]
    if test.field in (Field.DESTINATION_PORT, Field.OUTER_DESTINATION_PORT):
        return ports[1:]
    return ports


def _ip_numbers(test: FieldTest, seen: SeenLike) -> Sequence[int]:
    """What the innermost IP header says."""
    ip = seen.ip
    if ip is None or test.choice not in (0, 6 if seen.is_ipv6 else 4):
        return []
    match test.field:
        case Field.TTL:
            return [seen.ttl]
        case Field.TRANSPORT:
            return [seen.transport if seen.transport is not None else -1]
        case Field.IP_LENGTH:
            return [_be16(ip, 4 if seen.is_ipv6 else 2)]
        case Field.IP_TRAFFIC:
            return [_be16(ip, 0) >> 4 & 0xFF if seen.is_ipv6 else ip[1]]
    if seen.is_ipv6:
        return []
    if test.field is Field.IP_ID:
        return [_be16(ip, 4)]
    fragment = _be16(ip, 6)
    return [fragment >> 13 << 16 | (fragment & 0x1FFF) << 3]


def _tcp_numbers(field: Field, seen: SeenLike, note: NoteLike | None) -> Sequence[int]:
    """What a TCP segment says, or its stream's note."""
    header = _header(seen, _TCP)
    if header is None:
        return []
    match field:
        case Field.TCP_PAYLOAD:
            return [seen.payload_length]
        case Field.TCP_FLAGS:
            return [_be16(header, 12) & 0x0FFF]
        case Field.TCP_WINDOW_VALUE:
            return [_be16(header, 14)]
        case Field.TCP_RAW_SEQUENCE:
            return [int.from_bytes(header[4:8], "big")]
        case Field.TCP_RAW_ACKNOWLEDGEMENT:
            return [int.from_bytes(header[8:12], "big")]
    if note is None:
        return []
    match field:
        case Field.TCP_STREAM:
            return [note.stream]
        case Field.TCP_SEQUENCE:
            return [note.sequence]
        case Field.TCP_ACKNOWLEDGEMENT:
            return [note.acknowledgement]
        case Field.TCP_WINDOW:
            return [note.window]
        case Field.TCP_NOTES:
            return [note.notes]
    if not note.notes & _DUPLICATE_ACK:
        return []
    return [note.duplicate_number if field is Field.TCP_DUPLICATE_NUMBER else note.duplicate_of]


def _ends(test: FieldTest, seen: SeenLike) -> Sequence[tuple[int, int]]:
    """The values of a field that is an end, as (kind, number)."""
    if test.field >= Field.OUTER_ENDS:
        source, destination = seen.outer_source, seen.outer_destination
    else:
        source, destination = seen.source, seen.destination
    ends = [source, destination]
    if test.field in (Field.SOURCE, Field.OUTER_SOURCE):
        ends = [source]
    elif test.field in (Field.DESTINATION, Field.OUTER_DESTINATION):
        ends = [destination]
    octets = [end[1] for end in ends if end is not None]
    values = [(_END_KINDS[len(each)], int.from_bytes(each, "big")) for each in octets]
    return [value for value in values if test.choice >> value[0] & 1]


_TEXTS: dict[Field, Callable[[Facts], Sequence[str | None]]] = {
    Field.PROTOCOL: lambda facts: [facts.protocol],
    Field.POD: lambda facts: [facts.source_pod, facts.destination_pod],
    Field.SOURCE_POD: lambda facts: [facts.source_pod],
    Field.DESTINATION_POD: lambda facts: [facts.destination_pod],
    Field.NODE: lambda facts: [facts.source_node, facts.destination_node],
    Field.SOURCE_NODE: lambda facts: [facts.source_node],
    Field.DESTINATION_NODE: lambda facts: [facts.destination_node],
    Field.INTERFACE: lambda facts: [facts.ingress, facts.egress],
    Field.INGRESS: lambda facts: [facts.ingress],
    Field.EGRESS: lambda facts: [facts.egress],
}


def _texts(test: FieldTest, facts: Facts) -> Sequence[bytes]:
    parts = [_part(test.choice, text) for text in _TEXTS[test.field](facts) if text is not None]
    return [part.encode("utf-8", "surrogateescape") for part in parts if part is not None]


def _part(choice: int, text: str) -> str | None:
    if choice == WHOLE_TEXT:
        return text
    before, slash, behind = text.partition("/")
    if choice == NAMESPACE_OF_TEXT:
        return before if slash else None
    return behind if slash else text


def _text_is_in(how: int, wanted: bytes, text: bytes) -> bool:
    if how & TEXT_ANY_CASE:
        wanted, text = wanted.lower(), text.lower()  # of bytes: ASCII alone
    return wanted in text if how & TEXT_CONTAINS else _is_like(wanted, text)


def _is_like(wanted: bytes, text: bytes) -> bool:
    """Whether all of a text is like the one wanted, in which * stands for any bytes."""
    first, *others = wanted.split(b"*")
    if not others:
        return text == wanted
    if not text.startswith(first):
        return False
    at = len(first)
    for part in others[:-1]:
        found = text.find(part, at)
        if found < 0:
            return False
        at = found + len(part)
    return len(text) - at >= len(others[-1]) and text.endswith(others[-1])


def names_like(wanted: str, names: Iterable[str]) -> list[str]:
    """Those names that a filter means by `wanted`, in which * stands for any text: all of a name where `wanted` has
    a slash, else what is behind the name's own."""
    choice = WHOLE_TEXT if "/" in wanted else NAME_OF_TEXT
    like = wanted.encode("utf-8", "surrogateescape")
    parts = [(name, _part(choice, name) or "") for name in names]
    return [name for name, part in parts if _is_like(like, part.encode("utf-8", "surrogateescape"))]
