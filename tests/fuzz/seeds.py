"""Seeds for the fuzzers: small pieces of each sample capture, in several formats, made when they are needed.

A piece is a few records that follow each other. The long ones among them are captured only in part, their original
length kept, so that a piece stays small. Cases (see native/cases.h) have bytes in front that choose options; frames
have others.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

REPOSITORY = Path(__file__).resolve().parents[2]
FRONT = 16  # of a case
FRAME_FRONT = 8
LINKS = (1, 113, 276, 101, 0, 108, 228, 229, 12, 14, 147, 276)  # as in native/fuzz_frame.c
MOST_BYTES = 3000

# Magic numbers, lengths at their ends, ports and EtherTypes, as libFuzzer reads them.
DICTIONARY = {
    "pcap": b"\xd4\xc3\xb2\xa1",
    "pcap_big": b"\xa1\xb2\xc3\xd4",
    "pcap_ns": b"\x4d\x3c\xb2\xa1",
    "pcap_ns_big": b"\xa1\xb2\x3c\x4d",
    "pcap_modified": b"\x34\xcd\xb2\xa1",
    "pcap_version": b"\x02\0\x04\0",
    "section": b"\x0a\x0d\x0d\x0a",
    "section_order": b"\x4d\x3c\x2b\x1a",
    "section_order_big": b"\x1a\x2b\x3c\x4d",
    "block_interface": b"\1\0\0\0",
    "block_packet_old": b"\2\0\0\0",
    "block_simple": b"\3\0\0\0",
    "block_names": b"\4\0\0\0",
    "block_statistics": b"\5\0\0\0",
    "block_packet": b"\6\0\0\0",
    "option_name": b"\2\0\4\0eth1",
    "option_resolution": b"\x09\0\1\0\x09\0\0\0",
    "option_resolution_binary": b"\x09\0\1\0\xff\0\0\0",
    "option_offset": b"\x0e\0\x08\0\xff\xff\xff\xff\xff\xff\xff\x7f",
    "option_flags": b"\2\0\4\0\2\0\0\0",
    "option_dropped": b"\5\0\x08\0\1\0\0\0\0\0\0\0",
    "link_ethernet": b"\1\0\0\0",
    "link_sll": b"\x71\0\0\0",
    "link_sll2": b"\x14\1\0\0",
    "length_0": bytes(4),
    "length_3": b"\3\0\0\0",
    "length_2_31": b"\0\0\0\x80",
    "length_2_32_1": b"\xff\xff\xff\xff",
    "port_8472": b"\x21\x18",
    "port_4789": b"\x12\xb5",
    "port_4790": b"\x12\xb6",
    "port_6081": b"\x17\xc1",
    "vxlan": b"\x08\0\0\0\0\1\0\0",
    "vxlan_policy": b"\x88\0\0\1\0\1\0\0",
    "geneve": b"\0\0\x65\x58\0\1\0\0",
    "geneve_options": b"\x02\0\x65\x58\0\1\0\0\1\2\3\1\0\0\0\0",
    "ethertype_ipv4": b"\x08\0",
    "ethertype_ipv6": b"\x86\xdd",
    "ethertype_arp": b"\x08\x06",
    "ethertype_vlan": b"\x81\0\0\7",
    "ethertype_qinq": b"\x88\xa8\0\7",
    "ethertype_nsh": b"\x89\x4f",
    "ethertype_mpls": b"\x88\x47",
    "ipv4": b"\x45\0\0\x54\0\1\0\0\x40\x11",
    "ipv4_options": b"\x4f\0",
    "ipv4_more": b"\x20\0",
    "ipv4_tail": b"\0\xb9",
    "ipv6": b"\x60\0\0\0\0\x20\x11\x40",
    "ipv6_hop_by_hop": b"\x2c\0\1\4\0\0\0\0",
    "ipv6_fragment": b"\x11\0\0\1\0\0\0\1",
    "tcp_syn": b"\x60\x02\xff\xff",
    "tcp_mss": b"\2\4\5\x82",
    "tcp_timestamps": b"\1\1\x08\x0a\0\0\0\1\0\0\0\2",
    "too_big": b"\3\4\0\0\0\0\5\x78",
    "too_big_v6": b"\2\0\0\0\0\0\5\0",
}


class Record(NamedTuple):
    time: int  # ns
    data: bytes
    length: int


class Capture(NamedTuple):
    name: str
    link_type: int
    records: list[Record]


def read_pcap(path: Path) -> Capture:
    """A sample capture; all of them are whole."""
    data = path.read_bytes()
    order = "<" if data[:4] in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1") else ">"
    magic, link_type = struct.unpack_from(f"{order}I16xI", data)
    unit = 1 if magic == 0xA1B23C4D else 1000
    records, at = [], 24
    while at + 16 <= len(data):
        seconds, part, captured, length = struct.unpack_from(f"{order}IIII", data, at)
        records.append(Record(seconds * 10**9 + part * unit, data[at + 16 : at + 16 + captured], length))
        at += 16 + captured
    return Capture(path.stem, link_type, records)


def pcap(records: Sequence[Record], link_type: int, order: str = "<", nanoseconds: bool = False) -> bytes:
    magic, unit = (0xA1B23C4D, 1) if nanoseconds else (0xA1B2C3D4, 1000)
    parts = [struct.pack(f"{order}IHHiIII", magic, 2, 4, 0, 0, 262144, link_type)]
    for time, data, length in records:
        head = struct.pack(f"{order}IIII", time // 10**9, time % 10**9 // unit, len(data), length)
        parts.append(head + data)
    return b"".join(parts)


def pcapng(records: Sequence[Record], link_type: int, order: str = "<") -> bytes:
    """Two interfaces, one in µs and one in ns, names, statistics, and a block that nobody knows."""

    def block(kind: int, body: bytes) -> bytes:
        body += bytes(-len(body) % 4)
        total = struct.pack(f"{order}I", len(body) + 12)
        return struct.pack(f"{order}I", kind) + total + body + total

    def option(code: int, value: bytes) -> bytes:
        return struct.pack(f"{order}HH", code, len(value)) + value + bytes(-len(value) % 4)

    end = option(0, b"")
    parts = [block(0x0A0D0D0A, struct.pack(f"{order}IHHq", 0x1A2B3C4D, 1, 0, -1) + option(3, b"linux") + end)]
    for name, resolution in ((b"eth1", b""), (b"eth2", option(9, b"\x09"))):
        described = struct.pack(f"{order}HHI", link_type, 0, 262144) + option(2, name) + resolution + end
        parts.append(block(1, described))
    parts.append(block(4, struct.pack(f"{order}HH", 1, 8) + b"\x0a\0\0\1pod\0" + bytes(4)))
    for number, (time, data, length) in enumerate(records):
        interface = number % 2
        stamp = time if interface else time // 1000
        head = struct.pack(f"{order}IIIII", interface, stamp >> 32, stamp & 0xFFFFFFFF, len(data), length)
        flags = option(2, struct.pack(f"{order}I", 1 + interface)) + end
        parts.append(block(6, head + data + bytes(-len(data) % 4) + flags))
    parts.append(block(5, struct.pack(f"{order}III", 0, 0, 0) + option(5, struct.pack(f"{order}Q", 7)) + end))
    parts.append(block(0xBAD, b"whatever"))
    return b"".join(parts)


def captures() -> list[Capture]:
    return [read_pcap(path) for path in sorted((REPOSITORY / "captures").glob("*.pcap"))]


def pieces(capture: Capture, chance: random.Random, count: int) -> Iterator[list[Record]]:
    """Some records at `count` places of a capture, no more than MOST_BYTES of them."""
    for number in range(count):
        start = 0 if number == 0 else chance.randrange(len(capture.records))
        size, kept = 0, []
        for time, data, length in capture.records[start : start + chance.choice([1, 4, 12, 40])]:
            data = data[: chance.choice([200, 400, 1600])]
            if size + len(data) > MOST_BYTES:
                break
            size += len(data) + 16
            kept.append(Record(time, data, length))
        yield kept


def front(chance: random.Random) -> bytes:
    """Options of a case: half of the time the usual ones."""
    if chance.random() < 0.5:
        return bytes(FRONT)
    return bytes(chance.choice([0, 0, chance.randrange(256)]) for _ in range(FRONT))


def cases(chance: random.Random, count: int = 6) -> Iterator[bytes]:
    for capture in captures():
        for number, records in enumerate(pieces(capture, chance, count)):
            order = chance.choice("<<>")
            if number % 3 == 2:
                made = pcapng(records, capture.link_type, order)
            else:
                made = pcap(records, capture.link_type, order, chance.random() < 0.3)
            yield front(chance) + made


def frames(chance: random.Random, count: int = 12) -> Iterator[bytes]:
    for capture in captures():
        for record in chance.sample(capture.records, min(count, len(capture.records))):
            data = record.data[:1700]
            cut = len(data) < record.length
            head = bytes([LINKS.index(capture.link_type), 0, 0, 2 * cut])
            yield head + struct.pack("<I", record.length if cut else 0) + data


def files(chance: random.Random) -> Iterator[bytes]:
    """What the operator gives beside captures, a byte in front that says as what it is read."""
    folder = REPOSITORY / "captures"
    for kind, paths in (
        (0, (folder / "cluster").iterdir()),
        (2, folder.glob("*.links.json")),
        (3, folder.glob("*.routes.json")),
    ):
        for path in sorted(paths):
            if path.is_file():
                yield bytes([kind]) + path.read_bytes()[:MOST_BYTES]
    yield b"\3default via 10.0.0.1 dev eth0\n172.20.0.0/24 via 192.168.10.100 dev eth1 mtu 1450\n"
    yield b"\0kind: List\nitems:\n- kind: CiliumNode\n  metadata: {name: a}\n"


def words(chance: random.Random) -> Iterator[bytes]:
    """What is typed, a byte in front that says as what."""
    yield b'\0max_dropped = 0\nmax_latency = "10ms"\nreachable = ["a -> b"]\n'
    yield b"\1pod\nnamespace\n300\n172.20.0.0/16\ntcp"
    yield b"\x021.5ms"
    yield b"\3geneve,ipv6,options=12\nwireguard\nipsec,transport,nat-t"
    yield b"\4eth1,eth2\n*,-"
    yield b"\0053=eth1\n4=eth2"


def filters(chance: random.Random) -> Iterator[bytes]:
    """Display filters: the example of each field, and those of which the tests say what is wrong with them."""
    from vxtool.listing.filter_fields import FILTER_FIELDS

    examples = [field.example for field in FILTER_FIELDS]
    yield from (example.encode() for example in dict.fromkeys(examples))
    for _ in range(20):
        first, second, third = chance.sample(examples, 3)
        yield f"!({first} {chance.choice(['&&', 'and'])} {second}) {chance.choice(['||', 'or'])} {third}".encode()
    yield b"tcp.port in {80, 443, 8000..8080} && tcp.flags & 0x12 == 0x12"
    yield b'pod not in {"a b", default/*} && node contains "w\xc3\xb6"'
    golden = REPOSITORY / "tests" / "summary" / "golden" / "filter_errors.txt"
    lines = [line for line in golden.read_bytes().splitlines() if not line.startswith(b"#")]
    yield from lines[::2]


def filter_words() -> Iterator[str]:
    """What a filter is made of."""
    from vxtool.listing.filter_fields import FILTER_FIELDS

    for field in FILTER_FIELDS:
        yield from (field.name, *field.aliases)
    yield from ("&&", "||", "!", "==", "!=", "<=", ">=", "..", "in {", "}", "contains", "not", "and", "or", "&")
    yield from ("172.20.0.0/16", "fd00::/8", "02:00:00:00:00:01", "2025-08-09T17:27:50.282388Z", "10ms", "-1.5")


def dictionary_text() -> str:
    def quoted(value: bytes) -> str:
        return "".join(f"\\x{octet:02x}" for octet in value)

    return "".join(f'{name}="{quoted(value)}"\n' for name, value in DICTIONARY.items())


def filter_dictionary_text() -> str:
    return "".join(f'"{word}"\n' for word in filter_words())
