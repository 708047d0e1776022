"""Captures laid out by hand, whole and damaged, for the tests of both containers."""

from __future__ import annotations

import struct

from vxtool.capture import MAX_RECORD, Damage
from vxtool.capture.container import MAX_BLOCK, MAX_INTERFACES

START = 1_754_760_470_282_388_123
"""A time: 2025-08-09 17:27:50 UTC and some nanoseconds."""


def pcap(order: str = "<", magic: int = 0xA1B2C3D4, *, link_type: int = 1, snaplen: int = 65535) -> bytes:
    return struct.pack(f"{order}IHHiIII", magic, 2, 4, 0, 0, snaplen, link_type)


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    body += bytes(-len(body) % 4)
    total = struct.pack(f"{order}I", len(body) + 12)
    return struct.pack(f"{order}I", kind) + total + body + total


def section(order: str = "<", *, major: int = 1, length: int = -1) -> bytes:
    return block(0x0A0D0D0A, struct.pack(f"{order}IHHq", 0x1A2B3C4D, major, 0, length), order)


def option(code: int, value: bytes, order: str = "<") -> bytes:
    return struct.pack(f"{order}HH", code, len(value)) + value + bytes(-len(value) % 4)


def described(options: bytes = b"", *, link_type: int = 1, snaplen: int = 0, order: str = "<") -> bytes:
    return block(1, struct.pack(f"{order}HxxI", link_type, snaplen) + options, order)


def packet(
    data: bytes, ticks: int = 0, interface: int = 0, options: bytes = b"", *, order: str = "<", claimed: int = -1
) -> bytes:
    captured = len(data) if claimed < 0 else claimed
    head = struct.pack(f"{order}IIIII", interface, ticks >> 32, ticks & 0xFFFFFFFF, captured, len(data))
    return block(6, head + data + bytes(-len(data) % 4) + options, order)


ONE = section() + described()
DAMAGED: list[tuple[bytes, Damage]] = [
    (b"", Damage("empty", 0, 0)),
    (b"ab", Damage("cut-header", 0, 0, 2, 24)),
    (b"abcdef", Damage("not-capture", 0, 0, 0x61626364)),
    (struct.pack("<I", 0xA1B2CD34) + bytes(40), Damage("modified-pcap", 0, 0, 0x34CDB2A1)),
    (struct.pack(">I", 0xA1B2CD34) + bytes(40), Damage("modified-pcap", 0, 0, 0xA1B2CD34)),
    (pcap()[:23], Damage("cut-header", 0, 0, 23, 24)),
    (struct.pack("<IHH", 0xA1B2C3D4, 543, 4) + bytes(16), Damage("bad-version", 0, 0, 543, 2)),
    (pcap() + bytes(15), Damage("cut-record", 24, 0, 15, 16)),
    (pcap() + bytes(16) + struct.pack("<IIII", 0, 0, 5, 5) + b"1234", Damage("cut-record", 40, 1, 20, 21)),
    (
        pcap() + struct.pack("<IIII", 0, 0, MAX_RECORD + 1, 5),
        Damage("bad-record-length", 24, 0, MAX_RECORD + 1, MAX_RECORD),
    ),
    (section()[:11], Damage("cut-header", 0, 0, 11, 12)),
    (section()[:12], Damage("cut-header", 0, 0, 12, 28)),
    (section(major=2), Damage("bad-version", 0, 0, 2, 1)),
    (b"\n\r\r\n" + bytes(8), Damage("bad-byte-order", 0, 0, 0, 0x1A2B3C4D)),
    (ONE + section()[:11], Damage("cut-record", 48, 0, 11, 12)),
    (ONE + b"\n\r\r\n" + bytes(8), Damage("bad-byte-order", 48, 0, 0, 0x1A2B3C4D)),
    (ONE + packet(b"1234") + packet(b"5678")[:-1], Damage("cut-record", 84, 1, 35, 36)),
    (ONE + struct.pack("<III", 6, 8, 8), Damage("bad-block-length", 48, 0, 8, MAX_BLOCK)),
    (ONE + struct.pack("<III", 6, 14, 14), Damage("bad-block-length", 48, 0, 14, MAX_BLOCK)),
    (ONE + struct.pack("<III", 9, MAX_BLOCK + 4, 0), Damage("bad-block-length", 48, 0, MAX_BLOCK + 4, MAX_BLOCK)),
    (ONE + struct.pack("<III", 9, 12, 16), Damage("bad-block-trailer", 48, 0, 16, 12)),
    (block(0x0A0D0D0A, b"\x4d\x3c\x2b\x1a"), Damage("short-block", 0, 0, 4, 16)),
]
"""Input, and the damage that is to be found in it."""

# What stands between two lengths that agree is skipped, and what comes behind it is read.
SKIPPED: list[tuple[bytes, Damage]] = [
    (section() + block(1, b"1234"), Damage("short-block", 28, 0, 4, 8)),
    (ONE + block(6, bytes(16)), Damage("short-block", 48, 0, 16, 20)),
    (ONE + block(2, bytes(16)), Damage("short-block", 48, 0, 16, 20)),
    (ONE + block(3, b""), Damage("short-block", 48, 0, 0, 4)),
    (ONE + block(5, bytes(8)), Damage("short-block", 48, 0, 8, 12)),
    (ONE + packet(b"1234", claimed=5), Damage("bad-record-length", 48, 0, 5, 4)),
    (ONE + block(3, struct.pack("<I", 5) + b"1234"), Damage("bad-record-length", 48, 0, 5, 4)),
    (ONE + packet(b"", options=b"\2\0\5\0" + bytes(4)), Damage("bad-option", 48, 0, 5, 4)),
    (ONE + packet(b"", options=b"\2\0\3\0" + bytes(4)), Damage("bad-option", 48, 0, 3, 4)),
    (section() + described(option(9, b"\6\6")), Damage("bad-option", 28, 0, 2, 1)),
    (section() + described(option(14, bytes(4))), Damage("bad-option", 28, 0, 4, 8)),
    (ONE + block(5, bytes(12) + option(5, bytes(4))), Damage("bad-option", 48, 0, 4, 8)),
    (ONE + block(4, option(1, b"abc")), Damage("bad-option", 48, 0, 3, 4)),
    (ONE + block(4, option(2, b"fifteen bytes..")), Damage("bad-option", 48, 0, 15, 16)),
    (ONE + packet(b"", interface=1), Damage("unknown-interface", 48, 0, 1, 1)),
    (section() + block(3, bytes(4)), Damage("unknown-interface", 28, 0, 0, 0)),
    (ONE + section() + packet(b""), Damage("unknown-interface", 76, 0, 0, 0)),
    (ONE + block(5, struct.pack("<III", 7, 0, 0)), Damage("unknown-interface", 48, 0, 7, 1)),
    (
        section() + described() * (MAX_INTERFACES + 1),
        Damage("too-many-interfaces", 28 + 20 * MAX_INTERFACES, 0, MAX_INTERFACES + 1, MAX_INTERFACES),
    ),
]
"""Input, and what is wrong with the block that is skipped. Every code but no-memory is among these and DAMAGED."""

SHORT = [data for data, _ in DAMAGED + SKIPPED if len(data) < 200]


WHOLE_PCAP = pcap(">", 0xA1B23C4D) + b"".join(
    struct.pack(">IIII", n, n, len(frame), 70) + frame for n, frame in enumerate([b"", b"abc", b"x" * 40])
)
WHOLE_PCAPNG = (
    section()
    + described(option(2, b"eth1") + option(9, b"\x09"))
    + packet(b"first", START, 0, option(2, struct.pack("<I", 2)))
    + block(4, option(1, b"\1\2\3\4name\0"))
    + section(">")
    + described(snaplen=3, order=">")
    + block(3, struct.pack(">I", 7) + b"abc", ">")
    + block(5, struct.pack(">III", 0, 0, 0) + option(5, struct.pack(">Q", 9), ">"), ">")
)
