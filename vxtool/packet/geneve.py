"""Geneve (RFC 8926), with its options as raw bytes.

https://www.rfc-editor.org/rfc/rfc8926#section-3.4

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    +---+-----------+---------------+-------------------------------+
    |ver|   words   |O C  reserved  |         protocol type         |
    +---+-----------+---------------+---------------+---------------+
    |                      VNI                      |   reserved    |
    +-----------------------------------------------+---------------+
    |                   options (0 to 252 bytes)                    |
    +---------------------------------------------------------------+
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from vxtool.errors import PacketError
from vxtool.packet.wire import fit, need, raw

IANA_PORT = 6081
ETHERNET = 0x6558

_HEADER = Struct("!BBHI")
_LARGEST_OPTIONS = 252


class Geneve(NamedTuple):
    """A Geneve header, 8 to 260 bytes. `flags` are the 8 bits behind the length: O, C, six reserved."""

    vni: int
    protocol_type: int = ETHERNET
    flags: int = 0
    reserved: int = 0
    options: bytes = b""

    @classmethod
    def parse(cls, data: bytes, at: int = 0) -> tuple[Geneve, bytes]:
        """Return the header and the inner packet.

        `at` is where `data` begins, for the PacketError: too short, or another version than 0.
        """
        need(data, _HEADER.size, "Geneve", at)
        first, flags, protocol_type, word = _HEADER.unpack_from(data)
        if first >> 6:
            raise PacketError(f"Geneve at offset {at}: expected version 0, found {first >> 6}")
        size = _HEADER.size + (first & 0x3F) * 4
        need(data, size, "Geneve", at)
        value = cls(word >> 8, protocol_type, flags, word & 0xFF, data[_HEADER.size : size])
        return value, data[size:]

    def emit(self, payload: bytes = b"") -> bytes:
        """Return the header's bytes and the inner packet."""
        options = raw(self.options, "Geneve", "options")
        if len(options) % 4 or len(options) > _LARGEST_OPTIONS:
            raise PacketError(
                f"Geneve.options: expected a multiple of 4 up to {_LARGEST_OPTIONS}, found {len(options)}"
            )
        return (
            _HEADER.pack(
                len(options) // 4,
                fit(self.flags, 8, "Geneve", "flags"),
                fit(self.protocol_type, 16, "Geneve", "protocol_type"),
                fit(self.vni, 24, "Geneve", "vni") << 8 | fit(self.reserved, 8, "Geneve", "reserved"),
            )
            + options
            + payload
        )
