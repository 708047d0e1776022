"""TLS (RFC 8446, RFC 5246): records, and the handshake in them as far as it goes unencrypted. Hellos by dpkt.

     0       1               3               5
    +-------+---------------+---------------+----------
    | type  | version       | length        | contents
    +-------+---------------+---------------+----------

The protocol column is the version of the connection, which the server's hello says; until then it is the
version in the record. Records of application data are counted and never kept: they are most of the traffic.
"""

from __future__ import annotations

import struct

from .columns import CUT, MALFORMED, MOST_TEXT, PART, shorten, text
from .streams import Side, Stream, Told

_HEADER = 5
_header = struct.Struct(">BHH")
_FEWEST_ENCRYPTED = 16  # bytes: no cipher adds less than that to a handshake message
_LONGEST_MESSAGE = 0xFFFF  # of a handshake; Wireshark takes what claims more for encrypted
_LONGEST_HELLO = 16384  # bytes that dpkt is given

_CHANGE_CIPHER_SPEC, _ALERT, _HANDSHAKE, _APPLICATION_DATA, _HEARTBEAT = 20, 21, 22, 23, 24

_TLS13 = 0x0304
_VERSIONS = {0x0300: "SSLv3", 0x0301: "TLSv1", 0x0302: "TLSv1.1", 0x0303: "TLSv1.2", 0x0304: "TLSv1.3"}
_DRAFTS_OF_TLS13 = 0x7F  # the high byte of their version numbers
_SERVER_NAME, _SUPPORTED_VERSIONS = 0, 43  # extensions
_RETRY = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")  # RFC 8446, 4.1.3

_CLIENT_HELLO, _SERVER_HELLO = 1, 2
_HANDSHAKES = {
    0: "Hello Request", 1: "Client Hello", 2: "Server Hello", 3: "Hello Verify Request", 4: "New Session Ticket",
    5: "End of Early Data", 6: "Hello Retry Request", 8: "Encrypted Extensions", 11: "Certificate",
    12: "Server Key Exchange", 13: "Certificate Request", 14: "Server Hello Done", 15: "Certificate Verify",
    16: "Client Key Exchange", 20: "Finished", 21: "Client Certificate URL", 22: "Certificate Status",
    23: "Supplemental Data", 24: "Key Update", 25: "Compressed Certificate", 67: "Encrypted Extensions",
}  # fmt: skip

_LEVELS = {1: "Warning", 2: "Fatal"}
_ALERTS = {
    0: "Close Notify", 1: "End of Early Data", 10: "Unexpected Message", 20: "Bad Record MAC",
    21: "Decryption Failed", 22: "Record Overflow", 30: "Decompression Failure", 40: "Handshake Failure",
    41: "No Certificate", 42: "Bad Certificate", 43: "Unsupported Certificate", 44: "Certificate Revoked",
    45: "Certificate Expired", 46: "Certificate Unknown", 47: "Illegal Parameter", 48: "Unknown CA",
    49: "Access Denied", 50: "Decode Error", 51: "Decrypt Error", 60: "Export Restriction", 70: "Protocol Version",
    71: "Insufficient Security", 80: "Internal Error", 86: "Inappropriate Fallback", 90: "User Canceled",
    100: "No Renegotiation", 109: "Missing Extension", 110: "Unsupported Extension",
    111: "Certificate Unobtainable", 112: "Unrecognized Name", 113: "Bad Certificate Status Response",
    114: "Bad Certificate Hash Value", 115: "Unknown PSK Identity", 116: "Certificate Required",
    120: "No application Protocol",
}  # fmt: skip

# Stages of what is under way.
_SKIPPING = 1  # application data, of which only the length matters
_HOLDING = 2  # a record that is needed whole
_HOLDING_HEADER = 3  # of which not even the header is there


def read(stream: Stream, side: Side, payload: bytes, remaining: int, lost: int, last: bool) -> Told | None:
    """Read the records in a segment's payload, of which the first `remaining` bytes end one under way.

    `lost`: how many bytes of the segment were not captured.
    """
    names: list[str] = []
    stage = side.stage
    at = 0
    if stage and (lost or (stage == _SKIPPING and remaining > len(payload))):
        side.clear()  # what was under way cannot be put together
        return None
    if stage == _SKIPPING:
        names.append("Application Data")
        at = remaining
    elif stage:
        payload = side.held + payload
    if stage:
        side.clear()
    size = len(payload)
    known = stream.version
    first = version = end = 0
    while at + _HEADER <= size:
        kind, version, length = _header.unpack_from(payload, at)
        end = at + _HEADER + length
        if not _CHANGE_CIPHER_SPEC <= kind <= _HEARTBEAT or version >> 8 != 3 or not length:
            if not names:
                return None
            names.append("Ignored Unknown Record")
            at = size
            break
        if not first:
            first = version
        if end > size:
            break
        if kind == _HANDSHAKE:
            _handshake(stream, side, payload[at + _HEADER : end], names)
            known = stream.version
        else:
            if not known and version < _TLS13:
                known = stream.version = version
            if kind == _APPLICATION_DATA:
                names.append("Application Data")
            else:
                _record(side, kind, payload[at + _HEADER : end], names)
        at = end
        if len(names) > MOST_TEXT:
            break  # each is at least a character
    info = ", ".join(names)
    protocol = _VERSIONS.get(known or first, "TLSv1.2")
    if lost:
        # Of a record that goes on in the next segment Wireshark says nothing, not even that it is not there.
        beyond = at + _HEADER <= size and payload[at] == _APPLICATION_DATA and end > size + lost
        if size <= _HEADER or (beyond and not known):
            protocol = "SSL"
        return protocol, shorten(info) + ("" if beyond else CUT), 0
    remaining = 0
    if at < size and len(names) <= MOST_TEXT:
        side.reader = read
        held = payload[at:] if at else payload
        if len(held) < _HEADER:
            remaining, side.held, side.stage = 1, held, _HOLDING_HEADER
        elif held[0] == _APPLICATION_DATA:
            remaining, side.stage = end - size, _SKIPPING
            if not known and version < _TLS13:
                stream.version = version
        else:
            remaining, side.held, side.stage = 1, held, _HOLDING
        if not names:
            return ("", "", remaining) if stage == _HOLDING else ("TCP", PART, remaining)
    return protocol, shorten(info), remaining


def _record(side: Side, kind: int, contents: bytes, names: list[str]) -> None:
    """Name a record that is neither handshake nor application data."""
    if kind == _CHANGE_CIPHER_SPEC:
        side.encrypted = True
        side.fragment = b""
        names.append("Change Cipher Spec")
    elif kind == _ALERT:
        if len(contents) == 2:
            level = _LEVELS.get(contents[0], "Unknown")
            names.append(f"Alert (Level: {level}, Description: {_ALERTS.get(contents[1], 'Unknown')})")
        else:
            names.append("Encrypted Alert")
    else:
        claimed = int.from_bytes(contents[1:3], "big")
        plain = contents[0] in (1, 2) and len(contents) >= 3 + claimed + 16  # RFC 6520, 4: at least 16 of padding
        names.append(f"Heartbeat {('Request', 'Response')[contents[0] - 1]}" if plain else "Encrypted Heartbeat")


def _handshake(stream: Stream, side: Side, contents: bytes, names: list[str]) -> None:
    """Name the messages in a record of the handshake, and learn from hellos."""
    if side.encrypted and stream.version != _TLS13 and len(contents) >= _FEWEST_ENCRYPTED:
        names.append("Encrypted Handshake Message")
        return
    continued = bool(side.fragment)
    messages = side.fragment + contents
    side.fragment = b""
    at = 0
    while at < len(messages):
        name = _HANDSHAKES.get(messages[at])
        length = int.from_bytes(messages[at + 1 : at + 4], "big")
        if name is None or length > _LONGEST_MESSAGE:
            names.append("Encrypted Handshake Message")
            return
        end = at + 4 + length
        if len(messages) - at < 4 or end > len(messages):
            side.fragment = messages[at:]
            if at == 0 and not continued:
                names.append(f"[{name} Fragment]")
            return
        if length <= _LONGEST_HELLO and messages[at] in (_CLIENT_HELLO, _SERVER_HELLO):
            hello = messages[at + 4 : end]
            name = _client_hello(hello) if messages[at] == _CLIENT_HELLO else _server_hello(stream, hello)
        names.append(name)
        if len(names) > MOST_TEXT:
            return
        at = end


def _client_hello(hello: bytes) -> str:
    import dpkt.ssl

    try:
        read = dpkt.ssl.TLSClientHello(hello)
        for kind, value in getattr(read, "extensions", ()):
            if kind == _SERVER_NAME and len(value) > 5:
                name = value[5 : 5 + int.from_bytes(value[3:5], "big")]
                return f"Client Hello (SNI={text(name)})"
    except Exception:  # dpkt's own errors, and those of struct and of indices past the end
        return "Client Hello" + MALFORMED
    return "Client Hello"


def _server_hello(stream: Stream, hello: bytes) -> str:
    import dpkt.ssl

    try:
        read = dpkt.ssl.TLSServerHello(hello)
        version = read.version
        for kind, value in getattr(read, "extensions", ()):
            if kind == _SUPPORTED_VERSIONS and len(value) >= 2:
                version = int.from_bytes(value[:2], "big")
    except Exception:  # as above
        return "Server Hello" + MALFORMED
    if version >> 8 == _DRAFTS_OF_TLS13:
        version = _TLS13
    if version in _VERSIONS:
        stream.version = version
    return "Hello Retry Request" if read.random == _RETRY else "Server Hello"
