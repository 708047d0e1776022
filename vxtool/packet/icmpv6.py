"""ICMPv6 (RFC 4443), neighbour discovery included as far as its first two words.

https://www.rfc-editor.org/rfc/rfc4443#section-2.1

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    +---------------+---------------+-------------------------------+
    |     type      |     code      |           checksum            |
    +---------------+---------------+-------------------------------+
    |           rest: by type identifier and sequence, MTU ...      |
    +---------------------------------------------------------------+

Every message type in use has the second word. Unlike ICMP's, the checksum covers the pseudo-header. The
packet that an error quotes is the payload: `vxtool.decode(packet.payload, "RAW")` reads it.
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from vxtool.errors import PacketError
from vxtool.packet.checksum import internet_checksum
from vxtool.packet.ipv4 import IPv4
from vxtool.packet.ipv6 import IPv6
from vxtool.packet.wire import fit, need

PROTOCOL = 58
PACKET_TOO_BIG = 2
ECHO_REQUEST = 128
ECHO_REPLY = 129

_HEADER = Struct("!BBHI")


class ICMPv6(NamedTuple):
    """An ICMPv6 header, 8 bytes. `rest` is its second word; a checksum of None is computed on emit."""

    type: int
    code: int = 0
    rest: int = 0
    checksum: int | None = None

    @classmethod
    def echo(cls, identifier: int, sequence: int, *, reply: bool = False) -> ICMPv6:
        """An echo request, or its reply."""
        word = fit(identifier, 16, "ICMPv6", "identifier") << 16 | fit(sequence, 16, "ICMPv6", "sequence")
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
        """The next-hop MTU in bytes of a "packet too big", else None."""
        return self.rest if self.type == PACKET_TOO_BIG else None

    @classmethod
    def parse(cls, data: bytes, at: int = 0) -> tuple[ICMPv6, bytes]:
        """Return the header and all bytes behind it; `at` is where `data` begins, for the PacketError."""
        need(data, _HEADER.size, "ICMPv6", at)
        kind, code, checksum, rest = _HEADER.unpack_from(data)
        return cls(kind, code, rest, checksum), data[_HEADER.size :]

    def emit(self, payload: bytes = b"", ip: IPv4 | IPv6 | None = None) -> bytes:
        """Return the message's bytes; a checksum of None needs `ip`, whose addresses it covers."""
        kind = fit(self.type, 8, "ICMPv6", "type")
        code = fit(self.code, 8, "ICMPv6", "code")
        rest = fit(self.rest, 32, "ICMPv6", "rest")
        checksum = self.checksum
        if checksum is None:
            if ip is None:
                raise PacketError("ICMPv6.checksum: expected an IP layer before it, found none")
            pseudo = ip.pseudo_header(PROTOCOL, _HEADER.size + len(payload))
            checksum = internet_checksum(pseudo + _HEADER.pack(kind, code, 0, rest) + payload)
        return _HEADER.pack(kind, code, fit(checksum, 16, "ICMPv6", "checksum"), rest) + payload
