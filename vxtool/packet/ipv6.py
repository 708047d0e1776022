"""IPv6 (RFC 8200) with its extension headers, fragments, and jumbograms (RFC 2675).

https://www.rfc-editor.org/rfc/rfc8200#section-3

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    +-------+---------------+---------------------------------------+
    |version| traffic class |              flow label               |
    +-------+---------------+-------+---------------+---------------+
    |        payload length         |  next header  |   hop limit   |
    +-------------------------------+---------------+---------------+
    |                      source (16 bytes)                        |
    +---------------------------------------------------------------+
    |                    destination (16 bytes)                     |
    +---------------------------------------------------------------+

An extension header, 8 bytes or a multiple of 8 (the authentication header counts in words of 4):

    +---------------+---------------+-------------------------------+
    |  next header  |    length     |      data (6 bytes, ...)      |
    +---------------+---------------+-------------------------------+

The fragment header (section 4.5):

    +---------------+---------------+-------------------------+-----+
    |  next header  |   reserved    |   fragment offset / 8   |flags|
    +---------------+---------------+-------------------------+-----+
    |                        identification                         |
    +---------------------------------------------------------------+

On the wire each header names the next. In the value each extension carries its own number, and `protocol`
is the one behind them all, so that the chain follows from the values and cannot contradict them. Extensions
end where one is cut short, or where a fragment begins in the middle of its datagram: `protocol` then names
what the bytes behind are, or would be.
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from vxtool.errors import PacketError
from vxtool.packet.checksum import pseudo_header
from vxtool.packet.wire import fit, ipv6_bytes, ipv6_text, need, raw

HOP_BY_HOP = 0
ROUTING = 43
FRAGMENT = 44
AUTHENTICATION = 51
NO_NEXT_HEADER = 59
DESTINATION_OPTIONS = 60
MOBILITY = 135
EXTENSIONS = frozenset((HOP_BY_HOP, ROUTING, FRAGMENT, AUTHENTICATION, DESTINATION_OPTIONS, MOBILITY))

_HEADER = Struct("!IHBB16s16s")
_FRAGMENT = Struct("!BBHI")
_VERSION = 6
_CLASS_SHIFT = 20
_LABEL_MASK = 0xFFFFF
_OFFSET_UNIT = 8
_MORE_FRAGMENTS = 1
_SMALLEST_EXTENSION = 8
_LARGEST_LENGTH = 0xFFFF
_PAD1 = 0
_JUMBO_PAYLOAD = 0xC2
_JUMBO_SIZE = 4


class IPv6Extension(NamedTuple):
    """An extension header other than the fragment header: its own number, and its bytes behind the length."""

    kind: int
    data: bytes

    def emit(self, next_header: int) -> bytes:
        """Return the header's bytes; PacketError where the data does not fill whole units."""
        data = raw(self.data, "IPv6Extension", "data")
        fit(self.kind, 8, "IPv6Extension", "kind")
        unit, base = (4, 2) if self.kind == AUTHENTICATION else (8, 1)
        units, left = divmod(len(data) + 2, unit)
        if left or not 0 <= units - base <= 0xFF or len(data) + 2 < _SMALLEST_EXTENSION:
            raise PacketError(
                f"IPv6Extension.data: expected 6 bytes and up to 255 times {unit} more, found {len(data)}"
            )
        return bytes((next_header, units - base)) + data


class IPv6Fragment(NamedTuple):
    """The fragment header, 8 bytes. `offset` is in bytes, a multiple of 8; bit 0 of `flags`: more follow."""

    offset: int
    identification: int
    flags: int = 0
    reserved: int = 0

    @property
    def kind(self) -> int:
        """The number of this extension header, 44."""
        return FRAGMENT

    @property
    def more_fragments(self) -> bool:
        """Whether this is not the last fragment."""
        return bool(self.flags & _MORE_FRAGMENTS)

    def emit(self, next_header: int) -> bytes:
        """Return the header's bytes."""
        offset = fit(self.offset, 16, "IPv6Fragment", "offset")
        if offset % _OFFSET_UNIT:
            raise PacketError(f"IPv6Fragment.offset: expected a multiple of 8, found {offset}")
        return _FRAGMENT.pack(
            next_header,
            fit(self.reserved, 8, "IPv6Fragment", "reserved"),
            offset | fit(self.flags, 3, "IPv6Fragment", "flags"),
            fit(self.identification, 32, "IPv6Fragment", "identification"),
        )


class IPv6(NamedTuple):
    """An IPv6 header, 40 bytes, and its extension headers.

    `payload_length` is in bytes and counts the extension headers. A protocol of None is told by the layer
    that follows; a payload length of None is computed on emit.
    """

    source: str
    destination: str
    protocol: int | None = None
    hop_limit: int = 64
    traffic_class: int = 0
    flow_label: int = 0
    payload_length: int | None = None
    extensions: tuple[IPv6Extension | IPv6Fragment, ...] = ()

    @property
    def fragment(self) -> IPv6Fragment | None:
        """The fragment header, or None."""
        return next((one for one in self.extensions if isinstance(one, IPv6Fragment)), None)

    @property
    def later_fragment(self) -> bool:
        """Whether this is a fragment that begins in the middle of its datagram."""
        return any(isinstance(one, IPv6Fragment) and one.offset > 0 for one in self.extensions)

    @property
    def more_fragments(self) -> bool:
        """Whether this is a fragment and not the last one."""
        return any(isinstance(one, IPv6Fragment) and one.more_fragments for one in self.extensions)

    @property
    def jumbo_length(self) -> int | None:
        """The jumbo payload option's length in bytes (RFC 2675, section 2), or None without one."""
        if not self.extensions:
            return None
        first = self.extensions[0]
        if not isinstance(first, IPv6Extension) or first.kind != HOP_BY_HOP:
            return None
        return _jumbo_length(first.data)

    def pseudo_header(self, protocol: int, length: int) -> bytes:
        """The pseudo-header for the checksum of a transport of `length` bytes."""
        source = ipv6_bytes(self.source, "IPv6", "source")
        return pseudo_header(source, ipv6_bytes(self.destination, "IPv6", "destination"), protocol, length)

    @classmethod
    def parse(cls, data: bytes, at: int = 0) -> tuple[IPv6, bytes]:
        """Return the headers and all bytes behind them, those beyond the payload length too.

        `at` is where `data` begins, for the PacketError: too short, or another version.
        """
        need(data, _HEADER.size, "IPv6", at)
        word, length, protocol, hop_limit, source, destination = _HEADER.unpack_from(data)
        if word >> 28 != _VERSION:
            raise PacketError(f"IPv6 at offset {at}: expected version 6, found {word >> 28}")
        extensions: list[IPv6Extension | IPv6Fragment] = []
        rest = data[_HEADER.size :]
        while protocol in EXTENSIONS and len(rest) >= (size := extension_size(protocol, rest)):
            kind, protocol = protocol, rest[0]
            if kind == FRAGMENT:
                _, reserved, offset, identification = _FRAGMENT.unpack_from(rest)
                fragment = IPv6Fragment(offset & ~7, identification, offset & 7, reserved)
                extensions.append(fragment)
                rest = rest[size:]
                if fragment.offset:
                    break
            else:
                extensions.append(IPv6Extension(kind, rest[2:size]))
                rest = rest[size:]
        value = cls(
            source=ipv6_text(source),
            destination=ipv6_text(destination),
            protocol=protocol,
            hop_limit=hop_limit,
            traffic_class=word >> _CLASS_SHIFT & 0xFF,
            flow_label=word & _LABEL_MASK,
            payload_length=length,
            extensions=tuple(extensions),
        )
        return value, rest

    def emit(self, payload: bytes = b"") -> bytes:
        """Return the packet's bytes. Payloads of more than 65,535 bytes get the length 0, as Linux does."""
        following = fit(self.protocol, 8, "IPv6", "protocol")
        for extension in reversed(self.extensions):
            payload = extension.emit(following) + payload
            following = extension.kind
        length = self.payload_length
        if length is None:
            length = len(payload) if len(payload) <= _LARGEST_LENGTH else 0
        return (
            _HEADER.pack(
                _VERSION << 28
                | fit(self.traffic_class, 8, "IPv6", "traffic_class") << _CLASS_SHIFT
                | fit(self.flow_label, 20, "IPv6", "flow_label"),
                fit(length, 16, "IPv6", "payload_length"),
                following,
                fit(self.hop_limit, 8, "IPv6", "hop_limit"),
                ipv6_bytes(self.source, "IPv6", "source"),
                ipv6_bytes(self.destination, "IPv6", "destination"),
            )
            + payload
        )


def extension_size(kind: int, data: bytes) -> int:
    """The bytes that the extension header `kind` at the start of `data` takes; 8 where that is cut off."""
    if kind == FRAGMENT or len(data) < _SMALLEST_EXTENSION:
        return _SMALLEST_EXTENSION
    return (data[1] + 2) * 4 if kind == AUTHENTICATION else (data[1] + 1) * 8


def _jumbo_length(options: bytes) -> int | None:
    at = 0
    while at + 2 <= len(options):
        if options[at] == _PAD1:
            at += 1
            continue
        size = options[at + 1]
        if options[at] == _JUMBO_PAYLOAD and size == _JUMBO_SIZE and at + 2 + size <= len(options):
            return int.from_bytes(options[at + 2 : at + 2 + size], "big")
        at += 2 + size
    return None
