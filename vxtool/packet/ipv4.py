"""IPv4 (RFC 791), with its options as raw bytes and its fragments.

https://www.rfc-editor.org/rfc/rfc791#section-3.1

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    +-------+-------+---------------+-------------------------------+
    |version| words |      tos      |         total length          |
    +-------+-------+---------------+-----+-------------------------+
    |        identification         |flags|   fragment offset / 8   |
    +---------------+---------------+-----+-------------------------+
    |      ttl      |   protocol    |           checksum            |
    +---------------+---------------+-------------------------------+
    |                            source                             |
    +---------------------------------------------------------------+
    |                          destination                          |
    +---------------------------------------------------------------+
    |                   options (0 to 40 bytes)                     |
    +---------------------------------------------------------------+

The header's own length is not a field of the value: the options tell it. A total length of 0 is what Linux
writes into packets of more than 65,535 bytes (BIG TCP), and what emit writes for them.
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from vxtool.errors import PacketError
from vxtool.packet.checksum import internet_checksum, pseudo_header
from vxtool.packet.wire import fit, ipv4_bytes, ipv4_text, need, padded_options, raw

DONT_FRAGMENT = 2
MORE_FRAGMENTS = 1

_HEADER = Struct("!BBHHHBBH4s4s")
_CHECKSUM = slice(10, 12)
_VERSION = 4
_FLAGS_SHIFT = 13
_OFFSET_MASK = 0x1FFF
_OFFSET_UNIT = 8
_LARGEST_LENGTH = 0xFFFF


class IPv4(NamedTuple):
    """An IPv4 header, 20 to 60 bytes.

    `fragment_offset` is in bytes, a multiple of 8; `total_length` in bytes, header included; `flags` are
    the three bits DONT_FRAGMENT (2), MORE_FRAGMENTS (1) and the reserved one (4). A protocol of None is
    told by the layer that follows; a total length or checksum of None is computed on emit.
    """

    source: str
    destination: str
    protocol: int | None = None
    ttl: int = 64
    tos: int = 0
    identification: int = 0
    flags: int = 0
    fragment_offset: int = 0
    total_length: int | None = None
    checksum: int | None = None
    options: bytes = b""

    @property
    def dont_fragment(self) -> bool:
        """Whether routers must not fragment this packet."""
        return bool(self.flags & DONT_FRAGMENT)

    @property
    def more_fragments(self) -> bool:
        """Whether this is a fragment and not the last one."""
        return bool(self.flags & MORE_FRAGMENTS)

    @property
    def header_length(self) -> int:
        """The length of the header in bytes, options and their filling included."""
        return _HEADER.size + len(self.options) + -len(self.options) % 4

    def pseudo_header(self, protocol: int, length: int) -> bytes:
        """The pseudo-header for the checksum of a transport of `length` bytes."""
        source = ipv4_bytes(self.source, "IPv4", "source")
        return pseudo_header(source, ipv4_bytes(self.destination, "IPv4", "destination"), protocol, length)

    @classmethod
    def parse(cls, data: bytes, at: int = 0) -> tuple[IPv4, bytes]:
        """Return the header and all bytes behind it, those beyond the total length too.

        `at` is where `data` begins, for the PacketError: too short, another version, an impossible header
        length.
        """
        need(data, _HEADER.size, "IPv4", at)
        first, tos, total, identification, fragment, ttl, protocol, checksum, source, destination = (
            _HEADER.unpack_from(data)
        )
        if first >> 4 != _VERSION:
            raise PacketError(f"IPv4 at offset {at}: expected version 4, found {first >> 4}")
        size = (first & 0x0F) * 4
        if size < _HEADER.size:
            raise PacketError(
                f"IPv4 at offset {at}: expected a header of at least {_HEADER.size} bytes, found {size}"
            )
        need(data, size, "IPv4", at)
        value = cls(
            source=ipv4_text(source),
            destination=ipv4_text(destination),
            protocol=protocol,
            ttl=ttl,
            tos=tos,
            identification=identification,
            flags=fragment >> _FLAGS_SHIFT,
            fragment_offset=(fragment & _OFFSET_MASK) * _OFFSET_UNIT,
            total_length=total,
            checksum=checksum,
            options=data[_HEADER.size : size],
        )
        return value, data[size:]

    def emit(self, payload: bytes = b"") -> bytes:
        """Return the packet's bytes. Options are filled with zeros to whole 32-bit words."""
        options = padded_options(raw(self.options, "IPv4", "options"), "IPv4")
        size = _HEADER.size + len(options)
        total = self.total_length
        if total is None:
            total = size + len(payload)
            if total > _LARGEST_LENGTH:
                total = 0
        offset = fit(self.fragment_offset, 16, "IPv4", "fragment_offset")
        if offset % _OFFSET_UNIT:
            raise PacketError(f"IPv4.fragment_offset: expected a multiple of 8, found {offset}")
        checksum = self.checksum
        header = bytearray(
            _HEADER.pack(
                _VERSION << 4 | size // 4,
                fit(self.tos, 8, "IPv4", "tos"),
                fit(total, 16, "IPv4", "total_length"),
                fit(self.identification, 16, "IPv4", "identification"),
                fit(self.flags, 3, "IPv4", "flags") << _FLAGS_SHIFT | offset // _OFFSET_UNIT,
                fit(self.ttl, 8, "IPv4", "ttl"),
                fit(self.protocol, 8, "IPv4", "protocol"),
                0 if checksum is None else fit(checksum, 16, "IPv4", "checksum"),
                ipv4_bytes(self.source, "IPv4", "source"),
                ipv4_bytes(self.destination, "IPv4", "destination"),
            )
            + options
        )
        if checksum is None:
            header[_CHECKSUM] = internet_checksum(bytes(header)).to_bytes(2, "big")
        return bytes(header) + payload
