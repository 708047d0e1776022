"""DNS (RFC 1035), and its kin that share the format: mDNS (RFC 6762) and LLMNR (RFC 4795).

dpkt's reader of whole messages is not used: it gives up on each type that it does not know (HTTPS, RRSIG and all
of DNSSEC), and one datagram full of compression pointers kept it busy for 18 seconds. Here a name takes at most
MOST_HOPS pointers, the owners of records are stepped over, and reading ends where the column is full.

     0               2               4               6               8              10
    +---------------+---------------+---------------+---------------+---------------+---------------+
    | id            |QR|opcode|..|rc| questions     | answers       | authorities   | additional    |
    +---------------+---------------+---------------+---------------+---------------+---------------+
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable

from .columns import CUT, MALFORMED, MOST_TEXT, shorten, text
from .streams import Side, Stream, Told

PORTS = {53: "DNS", 5353: "MDNS", 5355: "LLMNR"}

MOST_HOPS = 64  # pointers in one name; no writer needs more than its labels, of which 127 fit
_MOST_NAME = 255
_MOST_REMEMBERED = 4096  # messages
_LONGEST_REMEMBERED = 512  # bytes

_header = struct.Struct(">6H")
_question = struct.Struct(">2H")
_record = struct.Struct(">2HIH")

_OPERATIONS = {
    0: "Standard query", 1: "Inverse query", 2: "Server status request", 4: "Zone change notification",
    5: "Dynamic update", 6: "DNS Stateful operations (DSO)",
}  # fmt: skip
_FAILURES = {
    1: "Format error", 2: "Server failure", 3: "No such name", 4: "Not implemented", 5: "Refused", 6: "Name exists",
    7: "RRset exists", 8: "RRset does not exist", 9: "Not authoritative", 10: "Name out of zone",
    11: "DSO-Type not implemented",
}  # fmt: skip

_TYPES = {
    0: "Unused", 1: "A", 2: "NS", 3: "MD", 4: "MF", 5: "CNAME", 6: "SOA", 7: "MB", 8: "MG", 9: "MR", 10: "NULL",
    11: "WKS", 12: "PTR", 13: "HINFO", 14: "MINFO", 15: "MX", 16: "TXT", 17: "RP", 18: "AFSDB", 19: "X25",
    20: "ISDN", 21: "RT", 22: "NSAP", 23: "NSAP-PTR", 24: "SIG", 25: "KEY", 26: "PX", 27: "GPOS", 28: "AAAA",
    29: "LOC", 30: "NXT", 31: "EID", 32: "NIMLOC", 33: "SRV", 34: "ATMA", 35: "NAPTR", 36: "KX", 37: "CERT",
    38: "A6", 39: "DNAME", 40: "SINK", 41: "OPT", 42: "APL", 43: "DS", 44: "SSHFP", 45: "IPSECKEY", 46: "RRSIG",
    47: "NSEC", 48: "DNSKEY", 49: "DHCID", 50: "NSEC3", 51: "NSEC3PARAM", 52: "TLSA", 55: "HIP", 57: "RKEY",
    58: "TALINK", 59: "CDS", 60: "CDNSKEY", 61: "OPENPGPKEY", 62: "CSYNC", 63: "ZONEMD", 64: "SVCB", 65: "HTTPS",
    99: "SPF", 100: "UINFO", 101: "UID", 102: "GID", 103: "UNSPEC", 104: "NID", 105: "L32", 106: "L64", 107: "LP",
    108: "EUI48", 109: "EUI64", 249: "TKEY", 250: "TSIG", 251: "IXFR", 252: "AXFR", 253: "MAILA", 254: "MAILB",
    255: "ANY", 256: "URI", 257: "CAA", 32768: "TA", 32769: "DLV", 65281: "WINS", 65422: "XPF",
}  # fmt: skip


class _Malformed(Exception):
    """The message ends, or goes astray, within what is being read."""


def _name(message: bytes, at: int) -> tuple[str, int]:
    """The name at an offset, as the columns show it, and the offset behind it."""
    labels = []
    room = _MOST_NAME
    after = -1  # behind the first pointer, once one was followed
    hops = 0
    try:
        while size := message[at]:
            if size < 0x40:
                if (room := room - size - 1) <= 0:
                    return "<Name too long>", after if after >= 0 else _behind(message, at)
                at += 1
                label = message[at : at + size]
                if len(label) < size:
                    raise _Malformed
                labels.append(label)
                at += size
            elif size >= 0xC0:
                if after < 0:
                    after = at + 2
                if (hops := hops + 1) > MOST_HOPS:
                    return "<Name contains a pointer that loops>", after
                at = (size & 0x3F) << 8 | message[at + 1]
            else:
                raise _Malformed
    except IndexError:
        raise _Malformed from None
    return text(b".".join(labels)) if labels else "<Root>", after if after >= 0 else at + 1


def _behind(message: bytes, at: int) -> int:
    """The offset behind the name at an offset."""
    try:
        while size := message[at]:
            if size >= 0xC0:
                message[at + 1]
                return at + 2
            if size >= 0x40:
                raise _Malformed
            at += 1 + size
    except IndexError:
        raise _Malformed from None
    return at + 1


def _take(message: bytes, at: int, size: int) -> bytes:
    taken = message[at : at + size]
    if len(taken) < size:
        raise _Malformed
    return taken


def _number(message: bytes, at: int) -> int:
    return int.from_bytes(_take(message, at, 2), "big")


def _string(message: bytes, at: int) -> tuple[str, int]:
    """The character string (RFC 1035, 3.3) at an offset, and the offset behind it."""
    size = _take(message, at, 1)[0]
    return text(_take(message, at + 1, size)), at + 1 + size


def _address(message: bytes, at: int) -> str:
    return socket.inet_ntop(socket.AF_INET, _take(message, at, 4))


def _address6(message: bytes, at: int) -> str:
    return socket.inet_ntop(socket.AF_INET6, _take(message, at, 16))


def _one_name(message: bytes, at: int) -> str:
    return _name(message, at)[0]


def _numbers_and_name(count: int) -> Callable[[bytes, int], str]:
    def read(message: bytes, at: int) -> str:
        numbers = [str(_number(message, at + 2 * index)) for index in range(count)]
        return " ".join([*numbers, _name(message, at + 2 * count)[0]])

    return read


def _host(message: bytes, at: int) -> str:
    processor, at = _string(message, at)
    return f"{processor} {_string(message, at)[0]}"


def _naming_authority(message: bytes, at: int) -> str:
    return f"{_number(message, at)} {_number(message, at + 2)} {_string(message, at + 4)[0]}"


# What stands behind a record's type, made of its data.
_CONTENTS: dict[int, Callable[[bytes, int], str]] = {
    1: _address, 2: _one_name, 5: _one_name, 6: _one_name, 11: _address, 12: _one_name, 13: _host,
    15: _numbers_and_name(1), 28: _address6, 30: _one_name, 33: _numbers_and_name(3), 35: _naming_authority,
    36: _numbers_and_name(1), 39: _one_name, 47: _one_name,
}  # fmt: skip
# Of these Wireshark shows the owner instead.
_SHOWN_BY_OWNER = frozenset({3, 4, 7, 8, 9, 10, 14, 17, 18, 19, 20, 21, 22, 23, 26, 27, 42, 49, 51, 52, 55})

# What was said of messages, without their identifiers: names are asked for again and again.
_remembered: dict[tuple[bytes, str], str] = {}


def describe(message: bytes, cut: bool, protocol: str) -> tuple[str, str] | None:
    """The protocol and info columns of a message. `cut`: it went on behind what was captured."""
    if not message:
        return None
    if len(message) < 4:
        return protocol, CUT if cut else MALFORMED
    if cut or len(message) > _LONGEST_REMEMBERED:
        before, after = _read(message, protocol, cut)
        if cut and after.endswith(MALFORMED):
            after = after[: -len(MALFORMED)] + CUT
        return protocol, shorten(f"{before} 0x{message[0] << 8 | message[1]:04x}{after}")
    key = message[2:], protocol
    told = _remembered.get(key)
    if told is None:
        before, after = _read(message, protocol, False)
        if len(_remembered) >= _MOST_REMEMBERED:
            _remembered.clear()
        # A surrogate cannot come out of text(), so it marks where the identifier stands.
        told = _remembered[key] = shorten(f"{before} 0x\udcff{after}")
    return protocol, told.replace("\udcff", f"{message[0] << 8 | message[1]:04x}", 1)


def _read(message: bytes, protocol: str, cut: bool) -> tuple[str, str]:
    """What stands before and what behind the identifier."""
    flags = message[2] << 8 | message[3]
    operation = flags >> 11 & 15
    before = _OPERATIONS.get(operation) or f"Unknown operation ({operation})"
    parts = []
    if flags & 0x8000:
        before += " response"
        failure = flags & 15
        if failure:
            parts.append(" " + (_FAILURES.get(failure) or f"Unknown error ({failure})"))
    try:
        _contents(message, protocol == "MDNS", cut, parts)
    except _Malformed:
        parts.append(MALFORMED)
    return before, "".join(parts)


def _contents(message: bytes, multicast: bool, cut: bool, parts: list[str]) -> None:
    """Add what questions and records say."""
    if len(message) < _header.size:
        raise _Malformed
    _, _, questions, *counts = _header.unpack_from(message)
    at = _header.size
    room = MOST_TEXT
    for _ in range(questions):
        name, at = _name(message, at)
        if len(message) < at + 4:
            raise _Malformed
        kind, network = _question.unpack_from(message, at)
        at += 4
        part = f" {_TYPES.get(kind) or f'Unknown ({kind})'} {name}"
        if multicast:
            part += ', "QU" question' if network & 0x8000 else ', "QM" question'
        parts.append(part)
        room -= len(part)
        if room < 0:
            return
    for _ in range(sum(counts)):
        owner = at
        at = _behind(message, at)
        if len(message) < at + 10:
            raise _Malformed
        kind, network, _, size = _record.unpack_from(message, at)
        at += 10
        part = " " + (_TYPES.get(kind) or f"Unknown ({kind})")
        if multicast and network & 0x8000:
            part += ", cache flush"
        parts.append(part)
        room -= len(part)
        if size:
            told = ""
            if kind in _CONTENTS:
                told = " " + _CONTENTS[kind](message, at)
            elif kind in _SHOWN_BY_OWNER and not (cut and at + size > len(message)):
                told = " " + _name(message, owner)[0]
            parts.append(told)
            room -= len(told)
            at += size
            if at > len(message):
                raise _Malformed
        if room < 0:
            return


def read(stream: Stream, side: Side, payload: bytes, remaining: int, lost: int, last: bool) -> Told | None:
    """Read the messages in a TCP segment's payload, each behind its length in two bytes (RFC 7766, 8)."""
    payload = side.held + payload
    side.clear()
    told = ""
    at = 0
    while at + 2 <= len(payload) and len(told) <= MOST_TEXT:
        end = at + 2 + (payload[at] << 8 | payload[at + 1])
        if end > len(payload) and not lost:
            break
        described = describe(payload[at + 2 : end], end > len(payload), "DNS")
        if described:
            told = described[1]  # Wireshark's column tells of the last message alone
        at = end
    if lost or at >= len(payload) or len(told) > MOST_TEXT:
        return ("DNS", told, 0) if told else None
    side.reader = read
    side.held = payload[at:]
    return ("DNS", told, 1) if told else ("", "", 1)
