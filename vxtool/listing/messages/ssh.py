"""SSH (RFC 4253): the banner, the messages of the key exchange, and that all behind it is encrypted.

    0               4         5         6
    +---------------+---------+---------+----------
    | packet length | padding | message | contents
    +---------------+---------+---------+----------

Each segment is told by itself: what goes on in the next one is taken for encrypted there.
"""

from __future__ import annotations

import struct

from .columns import shorten, text
from .streams import Side, Stream, Told

PORT = 22

_head = struct.Struct(">IBB")
_LONGEST_PACKET = 35000  # RFC 4253, section 6.1
_NEW_KEYS = 21
# Those that go unencrypted (RFC 4253, section 12; RFC 4419; RFC 5656, section 7.1).
_MESSAGES = {
    1: "Disconnect", 2: "Ignore", 3: "Unimplemented", 4: "Debug", 20: "Key Exchange Init", 21: "New Keys",
    30: "Elliptic Curve Diffie-Hellman Key Exchange Init", 31: "Elliptic Curve Diffie-Hellman Key Exchange Reply",
    32: "Diffie-Hellman Group Exchange Init", 33: "Diffie-Hellman Group Exchange Reply",
    34: "Diffie-Hellman Group Exchange Request",
}  # fmt: skip


def read_client(stream: Stream, side: Side, payload: bytes, remaining: int, lost: int, last: bool) -> Told | None:
    """The columns of a segment to port 22; see `streams.Reader`."""
    return _read(stream, side, payload, lost, "Client")


def read_server(stream: Stream, side: Side, payload: bytes, remaining: int, lost: int, last: bool) -> Told | None:
    """The columns of a segment from port 22."""
    return _read(stream, side, payload, lost, "Server")


def _read(stream: Stream, side: Side, payload: bytes, lost: int, who: str) -> Told | None:
    if payload.startswith(b"SSH-"):
        stream.is_ssh2 = stream.is_ssh2 or payload.startswith((b"SSH-2.", b"SSH-1.99"))
        banner = payload.split(b"\n", 1)[0].rstrip(b"\r")
        told = [f"Protocol ({text(banner)})"]
        at = len(payload)  # what may stand behind it belongs to the same line in Wireshark
    else:
        told, at = _packets(side, payload)
    left = len(payload) - at + lost
    if left > 0:
        told.append(f"Encrypted packet (len={left})")
    return "SSHv2" if stream.is_ssh2 else "SSH", shorten(f"{who}: {', '.join(told)}"), 0


def _packets(side: Side, payload: bytes) -> tuple[list[str], int]:
    """The unencrypted packets at the beginning, and where they end."""
    told: list[str] = []
    at = 0
    while not side.encrypted and len(payload) - at >= _head.size and len(told) < len(_MESSAGES):
        length, padding, message = _head.unpack_from(payload, at)
        if not padding < length <= _LONGEST_PACKET or padding < 4 or message not in _MESSAGES:
            break
        told.append(_MESSAGES[message])
        side.encrypted = message == _NEW_KEYS
        at = min(at + 4 + length, len(payload))
    return told, at
