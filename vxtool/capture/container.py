"""Capture containers: pcap and pcapng bytes in, records out.

A push parser without I/O: `feed` takes bytes however they were cut and gives the records that they complete;
`end` says that no more will come. What a container knows of itself (format, interfaces, names, damage) stands
in its attributes. A parser function looks at the bytes from one position on, and either takes a whole header,
record or block, or says how many bytes it needs; what is left is kept until so many are there. So the result
does not depend on the cuts, and no byte is looked at more than twice.

Damage stops the container for good: behind a wrong length nothing can be trusted, and skipping would hide
that packets are missing.

engine/native/container.c is this file's twin in C, and is held equal to it by tests, damage included.

Sources: pcap, https://www.ietf.org/archive/id/draft-ietf-opsawg-pcap-04.html;
pcapng, https://www.ietf.org/archive/id/draft-ietf-opsawg-pcapng-02.html.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple

from vxtool.capture.damage import Damage

MAX_RECORD = 1 << 24
"""Captured bytes of one record. BIG TCP needs 512 KiB; tcpdump's default snaplen is 256 KiB."""
MAX_BLOCK = 1 << 25
"""Bytes of one pcapng block."""
MAX_INTERFACES = 1 << 16
MAX_NAMES = 1 << 16
"""Entries of name resolution blocks that are kept, repeated ones included."""
MAX_TEXT = 255
"""Bytes of a name that are kept: a file cannot make names grow without bound."""

Format = Literal["pcap", "pcap-ns", "pcapng"]
_Order = Literal["<", ">"]

UNKNOWN, IN, OUT, FOREIGN, IN_BROADCAST, IN_MULTICAST = range(6)
"""What a container says of a record's direction. FOREIGN: seen, but not addressed to this machine."""

_MAGIC = 4
_PCAP_HEADER = 24
_PCAP_RECORD = 16
_PCAP_MAGICS: dict[bytes, tuple[Format, _Order]] = {
    bytes.fromhex("a1b2c3d4"): ("pcap", ">"),
    bytes.fromhex("d4c3b2a1"): ("pcap", "<"),
    bytes.fromhex("a1b23c4d"): ("pcap-ns", ">"),
    bytes.fromhex("4d3cb2a1"): ("pcap-ns", "<"),
}
# Alexey Kuznetzov's patched libpcap of 1999 added fields to each record under this magic.
_MODIFIED_MAGICS = (bytes.fromhex("a1b2cd34"), bytes.fromhex("34cdb2a1"))
_PCAP_VERSION = 2

# Every block has its type and length in front and the length again behind; a section's byte-order magic
# follows its length, so 12 bytes say of any block how long it is.
_BLOCK = 12
_SECTION = bytes.fromhex("0a0d0d0a")  # the same in either byte order
_BYTE_ORDERS: dict[bytes, _Order] = {bytes.fromhex("1a2b3c4d"): ">", bytes.fromhex("4d3c2b1a"): "<"}
_BYTE_ORDER_MAGIC = 0x1A2B3C4D
_PCAPNG_VERSION = 1
_INTERFACE, _OLD_PACKET, _SIMPLE_PACKET, _NAMES, _STATISTICS, _PACKET = range(1, 7)

_END_OF_OPTIONS, _COMMENT = 0, 1
_EPB_FLAGS = 2  # in the obsolete packet block too, as pack_flags
_IF_NAME, _IF_TSRESOL, _IF_TSOFFSET = 2, 9, 14
_ISB_IFDROP = 5
_ADDRESS_SIZES = {1: 4, 2: 16}  # name record type -> size of its address

_NO_LINK_TYPE = 0xFFFF  # of an interface whose description does not hold one

_MICROSECONDS = 6
_NANOSECONDS = 9
_SECOND = 10**9
_MIN_TIME, _MAX_TIME = -(1 << 63), (1 << 63) - 1


class Record(NamedTuple):
    """One packet entry of a capture."""

    time_ns: int
    """Nanoseconds since 1970-01-01 UTC, clamped to 64 bits."""
    interface: int
    """Index into `Container.interfaces`."""
    data: bytes
    """The captured bytes, from the link header on."""
    length: int
    """Bytes that the packet had on the wire, as the file has it."""
    direction: int
    """UNKNOWN, IN, OUT, FOREIGN, IN_BROADCAST or IN_MULTICAST: pcapng's epb_flags. pcap: always UNKNOWN."""


# As Record._make, without a Python call for each.
_record = partial(tuple.__new__, Record)


@dataclass
class Interface:
    """What a container says of an interface that it captured on. A pcap file has exactly one."""

    link_type: int
    """Number of the tcpdump.org registry of link types, known or not."""
    snaplen: int
    """Captured bytes of a record at most; 0: no limit."""
    name: str | None = None
    dropped: int | None = None
    """Packets that the capture itself lost here (isb_ifdrop of the last statistics), None where not said."""
    resolution: int = _MICROSECONDS
    """Time unit as in if_tsresol: 10^-n s, or 2^-n s with the top bit (0x80) set."""
    offset_seconds: int = 0
    """Added to every time (if_tsoffset)."""

    def time_ns(self, ticks: int) -> int:
        """The time `ticks` units (0 to 2^64 - 1) after the interface's start, in ns since the epoch.

        Rounded down; each of ticks, offset and sum is clamped to 64 bits.
        """
        exponent = self.resolution & 0x7F
        units = 1 << exponent if self.resolution & 0x80 else 10**exponent
        return _clamp(_clamp(ticks * _SECOND // units) + _clamp(self.offset_seconds * _SECOND))


class Container:
    """A push parser for one input; it tells pcap from pcapng by the first bytes."""

    format: Format | None
    """None until it is known."""
    interfaces: list[Interface]
    """In the order of their description, over all sections."""
    names: dict[str, str]
    """Address -> name, from name resolution blocks; the first name of an address counts."""
    damage: Damage | None
    """Why and where reading stopped; None while all is well."""
    skipped: int
    """Blocks of pcapng that hold nonsense between two lengths that agree: reading went on behind them."""
    first_skipped: Damage | None
    """What was wrong with the first of them."""
    records: int
    """Complete records so far."""
    first_interfaces: int
    """How many interfaces were described before the first record."""
    offset: int
    """Bytes that complete headers, records and blocks so far have taken."""
    comments: dict[int, list[str]] | None
    """Comments of records that have some, by number from 0, where they are kept; whoever reads takes them out."""

    def __init__(self, *, keep_comments: bool = False) -> None:
        self.comments = {} if keep_comments else None
        self.format = None
        self.interfaces = []
        self.names = {}
        self.damage = None
        self.skipped = 0
        self.first_skipped = None
        self.records = 0
        self.first_interfaces = 0
        self.offset = 0
        self._rest = bytearray()  # of the header, record or block that is not yet complete
        self._need = _MAGIC  # bytes of it without which nothing can be done
        self._word = struct.Struct("<I")
        self._pcap_record = struct.Struct("<IIII")
        self._order: _Order = "<"
        self._section = 0  # index of the section's first interface
        self._time = 0  # of the last record
        self._names_read = 0

    def feed(self, data: bytes) -> list[Record]:
        """All records that `data`, following the bytes fed before, completes. After damage: none."""
        if self.damage:
            return []
        if self._rest:
            self._rest += data
            if len(self._rest) < self._need:
                return []
            data, self._rest = bytes(self._rest), bytearray()
        records: list[Record] = []
        at = self._read(bytes(data), records)
        if not self.damage:
            self._rest += memoryview(data)[at:]
        return records

    def end(self) -> None:
        """No more bytes will come: what is left of a header or record is damage."""
        left = len(self._rest)
        if self.damage or (self.offset and not left):
            return
        if self.offset:
            self._stop("cut-record", left, self._need)
        elif left:
            self._stop("cut-header", left, _PCAP_HEADER if self.format is None else self._need)
        else:
            self._stop("empty")

    def _read(self, data: bytes, records: list[Record]) -> int:
        """Parse from the first byte on; the position behind the last complete header, record or block."""
        at = 0
        if self.offset == 0:
            if len(data) < _MAGIC or not self._sniff(data):
                return at
            if self.format != "pcapng":
                at = self._read_pcap_header(data)
                if not at:
                    return at
        if self.format == "pcapng":
            return self._read_blocks(data, records)
        return self._read_pcap(data, at, records)

    def _stop(self, code: str, value: int = 0, expected: int = 0) -> None:
        self.damage = Damage(code, self.offset, self.records, value, expected)

    def _sniff(self, data: bytes) -> bool:
        magic = data[:_MAGIC]
        if magic == _SECTION:
            self.format = "pcapng"
        elif magic in _PCAP_MAGICS:
            self.format, self._order = _PCAP_MAGICS[magic]
        elif magic in _MODIFIED_MAGICS:
            self._stop("modified-pcap", int.from_bytes(magic, "big"))
        else:
            self._stop("not-capture", int.from_bytes(magic, "big"))
        return self.damage is None

    # pcap: a file header of 24 bytes, magic, version (major, minor), two unused words, snaplen, link type;
    # then records: seconds, fraction, captured length, original length, data. A fraction may exceed a second.

    def _read_pcap_header(self, data: bytes) -> int:
        self._need = _PCAP_HEADER
        if len(data) < self._need:
            return 0
        major, snaplen, link_type = struct.unpack_from(f"{self._order}4xH10xII", data)
        if major != _PCAP_VERSION:
            self._stop("bad-version", major, _PCAP_VERSION)
            return 0
        # The upper half of the link type says how long the frame check sequence is.
        resolution = _NANOSECONDS if self.format == "pcap-ns" else _MICROSECONDS
        self.interfaces.append(Interface(link_type & 0xFFFF, snaplen, resolution=resolution))
        self._pcap_record = struct.Struct(f"{self._order}IIII")
        self.offset = _PCAP_HEADER
        self._need = _PCAP_RECORD
        return _PCAP_HEADER

    def _read_pcap(self, data: bytes, at: int, records: list[Record]) -> int:
        unpack = self._pcap_record.unpack_from
        unit = 1 if self.format == "pcap-ns" else 1000
        size = len(data)
        start = at
        before = self.offset
        self._need = _PCAP_RECORD
        while size - at >= _PCAP_RECORD:
            seconds, fraction, captured, length = unpack(data, at)
            stop = at + _PCAP_RECORD + captured
            if captured > MAX_RECORD or stop > size:
                break
            body = data[at + _PCAP_RECORD : stop]
            records.append(_record((seconds * _SECOND + fraction * unit, 0, body, length, UNKNOWN)))
            at = stop
        if records and not self.records:
            self.first_interfaces = len(self.interfaces)
        self.offset = before + at - start
        self.records += len(records)
        if size - at >= _PCAP_RECORD:
            if captured > MAX_RECORD:
                self._stop("bad-record-length", captured, MAX_RECORD)
            else:
                self._need = stop - at
        return at

    # pcapng: blocks, the first of each section a section header.

    def _read_blocks(self, data: bytes, records: list[Record]) -> int:
        size = len(data)
        at = 0
        self._need = _BLOCK
        while size - at >= _BLOCK:
            kind = data[at : at + 4]
            if kind == _SECTION and not self._take_byte_order(data[at + 8 : at + 12]):
                break
            (total,) = self._word.unpack_from(data, at + 4)
            if total < _BLOCK or total % 4 or total > MAX_BLOCK:
                self._stop("bad-block-length", total, MAX_BLOCK)
                break
            stop = at + total
            if stop > size:
                self._need = total
                break
            (trailer,) = self._word.unpack_from(data, stop - 4)
            if trailer != total:
                self._stop("bad-block-trailer", trailer, total)
                break
            record = self._read_block(kind, data[at + 8 : stop - 4])
            if self.damage:
                if kind == _SECTION:  # all that follows would be read by it
                    break
                self._skip(self.damage)
                record = None
            if record:
                records.append(record)
                if not self.records:
                    self.first_interfaces = len(self.interfaces)
                self.records += 1
                self._time = record.time_ns
            at = stop
            self.offset += total
        return at

    def _skip(self, damage: Damage) -> None:
        """Go on behind a block whose damage is its own: its length stands at both ends."""
        self.skipped += 1
        self.first_skipped = self.first_skipped or damage
        self.damage = None
        if self.comments is not None:
            self.comments.pop(self.records, None)

    def _take_byte_order(self, magic: bytes) -> bool:
        if magic not in _BYTE_ORDERS:
            self._stop("bad-byte-order", int.from_bytes(magic, "big"), _BYTE_ORDER_MAGIC)
            return False
        self._order = _BYTE_ORDERS[magic]
        self._word = struct.Struct(f"{self._order}I")
        return True

    def _read_block(self, kind: bytes, body: bytes) -> Record | None:
        if kind == _SECTION:
            self._read_section(body)
            return None
        (number,) = self._word.unpack(kind)
        if number == _PACKET:
            return self._read_packet(body, "IIIII")
        if number == _OLD_PACKET:  # its interface has 16 bits, the next 16 count drops
            return self._read_packet(body, "HxxIIII")
        if number == _SIMPLE_PACKET:
            return self._read_simple_packet(body)
        if number == _INTERFACE:
            self._read_interface(body)
        elif number == _STATISTICS:
            self._read_statistics(body)
        elif number == _NAMES:
            self._read_names(body)
        return None

    def _long_enough(self, body: bytes, least: int) -> bool:
        if len(body) < least:
            self._stop("short-block", len(body), least)
        return len(body) >= least

    def _known_interface(self, index: int) -> bool:
        """Whether the section describes an interface with this index."""
        described = len(self.interfaces) - self._section
        if index >= described:
            self._stop("unknown-interface", index, described)
        return index < described

    def _read_section(self, body: bytes) -> None:
        # byte-order magic, version (major, minor), section length, which the blocks' own lengths make idle
        if not self._long_enough(body, 16):
            return
        (major,) = struct.unpack_from(f"{self._order}4xH", body)
        if major != _PCAPNG_VERSION:
            self._stop("bad-version", major, _PCAPNG_VERSION)
        self._section = len(self.interfaces)

    def _read_interface(self, body: bytes) -> None:
        # link type, reserved, snaplen. One that is damaged keeps its number: others are counted behind it.
        if len(self.interfaces) == MAX_INTERFACES:
            self._stop("too-many-interfaces", MAX_INTERFACES + 1, MAX_INTERFACES)
            return
        if not self._long_enough(body, 8):
            self.interfaces.append(Interface(_NO_LINK_TYPE, 0))
            return
        interface = Interface(*struct.unpack_from(f"{self._order}HxxI", body))
        self.interfaces.append(interface)
        for code, value in self._options(body, 8):
            if code == _IF_NAME:
                interface.name = _text(value) or None
            elif code == _IF_TSRESOL and self._sized(value, 1):
                interface.resolution = value[0]
            elif code == _IF_TSOFFSET and self._sized(value, 8):
                (interface.offset_seconds,) = struct.unpack(f"{self._order}q", value)

    def _read_packet(self, body: bytes, layout: str) -> Record | None:
        # interface, time (high and low word), captured length, original length, data, options
        if not self._long_enough(body, 20):
            return None
        index, high, low, captured, length = struct.unpack_from(f"{self._order}{layout}", body)
        if not self._known_interface(index) or not self._fits(captured, len(body) - 20):
            return None
        direction = UNKNOWN
        for code, value in self._options(body, 20 + (captured + 3 & ~3)):
            if code == _EPB_FLAGS and self._sized(value, 4):
                direction = _direction(self._word.unpack(value)[0])
            elif code == _COMMENT and self.comments is not None:
                self.comments.setdefault(self.records, []).append(value.decode(errors="replace"))
        index += self._section
        time_ns = self.interfaces[index].time_ns(high << 32 | low)
        return Record(time_ns, index, body[20 : 20 + captured], length, direction)

    def _read_simple_packet(self, body: bytes) -> Record | None:
        # Original length, data: no time, and always the section's first interface, whose snaplen says how
        # much was captured. The time of the record before is the best that can be said.
        if not self._long_enough(body, 4) or not self._known_interface(0):
            return None
        (length,) = self._word.unpack_from(body)
        captured = min(length, self.interfaces[self._section].snaplen or length)
        if not self._fits(captured, len(body) - 4):
            return None
        return Record(self._time, self._section, body[4 : 4 + captured], length, UNKNOWN)

    def _fits(self, captured: int, room: int) -> bool:
        most = min(room, MAX_RECORD)
        if captured > most:
            self._stop("bad-record-length", captured, most)
        return captured <= most

    def _read_statistics(self, body: bytes) -> None:
        # interface, time (high and low word), options
        if not self._long_enough(body, 12):
            return
        (index,) = self._word.unpack_from(body)
        if not self._known_interface(index):
            return
        dropped = None
        for code, value in self._options(body, 12):
            if code == _ISB_IFDROP and self._sized(value, 8):
                (dropped,) = struct.unpack(f"{self._order}Q", value)
        if not self.damage and dropped is not None:
            self.interfaces[self._section + index].dropped = dropped

    def _read_names(self, body: bytes) -> None:
        from ipaddress import ip_address  # here, because few captures hold names

        for kind, value in self._options(body, 0):
            if kind not in _ADDRESS_SIZES:
                continue
            size = _ADDRESS_SIZES[kind]
            if len(value) < size:
                self._stop("bad-option", len(value), size)
                return
            name = _text(value[size:])
            if name and self._names_read < MAX_NAMES:
                self._names_read += 1
                self.names.setdefault(str(ip_address(value[:size])), name)

    def _options(self, body: bytes, at: int) -> Iterator[tuple[int, bytes]]:
        """Code and value of each option; name records have the same shape. Stops at the end, or at damage."""
        while not self.damage and len(body) - at >= 4:
            code, size = struct.unpack_from(f"{self._order}HH", body, at)
            if code == _END_OF_OPTIONS:
                return
            at += 4
            if size > len(body) - at:
                self._stop("bad-option", size, len(body) - at)
                return
            yield code, body[at : at + size]
            at += size + 3 & ~3

    def _sized(self, value: bytes, size: int) -> bool:
        if len(value) != size:
            self._stop("bad-option", len(value), size)
        return len(value) == size


def _clamp(time_ns: int) -> int:
    return max(_MIN_TIME, min(_MAX_TIME, time_ns))


def _text(value: bytes) -> str:
    """Text of a file, up to its first NUL; it is untrusted, and may not be UTF-8."""
    return value.split(b"\0", 1)[0][:MAX_TEXT].decode(errors="replace")


def _direction(flags: int) -> int:
    """Of epb_flags: bits 0-1 in or out, bits 2-4 reception (2 multicast, 3 broadcast, 4 promiscuous)."""
    match flags & 3, flags >> 2 & 7:
        case 2, _:
            return OUT
        case 1, 2:
            return IN_MULTICAST
        case 1, 3:
            return IN_BROADCAST
        case 1, 4:
            return FOREIGN
        case 1, _:
            return IN
    return UNKNOWN
