"""ICMP (RFC 792).

https://www.rfc-editor.org/rfc/rfc792 and, for the next-hop MTU,
https://www.rfc-editor.org/rfc/rfc1191#section-4

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    +---------------+---------------+-------------------------------+
    |     type      |     code      |           checksum            |
    +---------------+---------------+-------------------------------+
    |           rest: by type identifier and sequence, MTU ...      |
    +---------------------------------------------------------------+

The packet that an error quotes is the payload: `vxtool.decode(packet.payload, "RAW")` reads it.
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from vxtool.packet.checksum import internet_checksum
from vxtool.packet.wire import fit, need

PROTOCOL = 1
ECHO_REPLY = 0
DESTINATION_UNREACHABLE = 3
FRAGMENTATION_NEEDED = 4
ECHO_REQUEST = 8
TIME_EXCEEDED = 11

_HEADER = Struct("!BBHI")


class ICMP(NamedTuple):
    """An ICMP header, 8 bytes. `rest` is its second word; a checksum of None is computed on emit."""

    type: int
    code: int = 0
    rest: int = 0
    checksum: int | None = None

    @classmethod
    def echo(cls, identifier: int, sequence: int, *, reply: bool = False) -> ICMP:
        """An echo request, or its reply."""
        word = fit(identifier, 16, "ICMP", "identifier") << 16 | fit(sequence, 16, "ICMP", "sequence")
        return cls(ECHO_REPLY if reply else ECHO_REQUEST, 0, word)

    @property
    def identifier(self) -> int | None:
        """The identifier of an echo request or reply, else None."""
        return self.rest >> 16 if self.type in (ECHO_REQUEST, ECHO_REPLY) else None

    @property
    def sequence(self) -> int | None:
        """The sequence number of an echo request or reply, else None."""
        return self.rest & 0xFFFF if self.type in (ECHO_REQUEST, ECHO_REPLY) else None

    @property
    def mtu(self) -> int | None:
        """The next-hop MTU in bytes of a "fragmentation needed", else None; 0 from old routers."""
        too_big = self.type == DESTINATION_UNREACHABLE and self.code == FRAGMENTATION_NEEDED
        return self.rest & 0xFFFF if too_big else None

    @classmethod
    def parse(cls, data: bytes, at: int = 0) -> tuple[ICMP, bytes]:
        """Return the header and all bytes behind it; `at` is where `data` begins, for the PacketError."""
        need(data, _HEADER.size, "ICMP", at)
        kind, code, checksum, rest = _HEADER.unpack_from(data)
        return cls(kind, code, rest, checksum), data[_HEADER.size :]

    def emit(self, payload: bytes = b"") -> bytes:
        """Return the message's bytes."""
        kind = fit(self.type, 8, "ICMP", "type")
        code = fit(self.code, 8, "ICMP", "code")
        rest = fit(self.rest, 32, "ICMP", "rest")
        checksum = self.checksum
        if checksum is None:
            checksum = internet_checksum(_HEADER.pack(kind, code, 0, rest) + payload)
        return _HEADER.pack(kind, code, fit(checksum, 16, "ICMP", "checksum"), rest) + payload
