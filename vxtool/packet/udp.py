"""UDP (RFC 768).

https://www.rfc-editor.org/rfc/rfc768

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    +-------------------------------+-------------------------------+
    |          source port          |       destination port        |
    +-------------------------------+-------------------------------+
    |            length             |           checksum            |
    +-------------------------------+-------------------------------+

A checksum of 0 on the wire means that the sender made none; one that comes out as 0 is sent as 0xffff. A
length of 0 is that of a datagram too long for the field (RFC 2675, section 4; Linux under BIG TCP).
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from vxtool.errors import PacketError
from vxtool.packet.checksum import internet_checksum
from vxtool.packet.ipv4 import IPv4
from vxtool.packet.ipv6 import IPv6
from vxtool.packet.wire import fit, need

PROTOCOL = 17

_HEADER = Struct("!HHHH")
_LARGEST_LENGTH = 0xFFFF


class UDP(NamedTuple):
    """A UDP header, 8 bytes. `length` counts the header; a length or checksum of None is computed on emit."""

    source_port: int
    destination_port: int
    length: int | None = None
    checksum: int | None = None

    @classmethod
    def parse(cls, data: bytes, at: int = 0) -> tuple[UDP, bytes]:
        """Return the header and all bytes behind it; `at` is where `data` begins, for the PacketError."""
        need(data, _HEADER.size, "UDP", at)
        return cls(*_HEADER.unpack_from(data)), data[_HEADER.size :]

    def emit(self, payload: bytes = b"", ip: IPv4 | IPv6 | None = None) -> bytes:
        """Return the datagram's bytes; a checksum of None needs `ip`, whose addresses it covers."""
        size = _HEADER.size + len(payload)
        length = self.length
        if length is None:
            length = size if size <= _LARGEST_LENGTH else 0
        head = (
            fit(self.source_port, 16, "UDP", "source_port"),
            fit(self.destination_port, 16, "UDP", "destination_port"),
            fit(length, 16, "UDP", "length"),
        )
        checksum = self.checksum
        if checksum is None:
            if ip is None:
                raise PacketError("UDP.checksum: expected an IP layer before it, found none")
            summed = ip.pseudo_header(PROTOCOL, size) + _HEADER.pack(*head, 0) + payload
            checksum = internet_checksum(summed) or 0xFFFF
        return _HEADER.pack(*head, fit(checksum, 16, "UDP", "checksum")) + payload
