"""TCP (RFC 9293), with its options as typed values (RFC 7323, RFC 2018).

https://www.rfc-editor.org/rfc/rfc9293#section-3.1

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    +-------------------------------+-------------------------------+
    |          source port          |       destination port        |
    +-------------------------------+-------------------------------+
    |                           sequence                            |
    +---------------------------------------------------------------+
    |                        acknowledgement                        |
    +-------+-----------------------+-------------------------------+
    | words |         flags         |            window             |
    +-------+-----------------------+-------------------------------+
    |           checksum            |            urgent             |
    +-------------------------------+-------------------------------+
    |                   options (0 to 40 bytes)                     |
    +---------------------------------------------------------------+

The header's own length is not a field of the value: the options tell it. `flags` are all twelve bits behind
it, the reserved ones included. Options on the wire are a kind, a length that counts both, and data; kinds 0
and 1 are single bytes. An option that says an impossible length ends the list as BrokenOption, which keeps
all bytes from there on. Each option carries its kind as its last field, so that options of different kinds
never compare equal.
"""

from __future__ import annotations

from struct import Struct
from typing import Literal, NamedTuple

from vxtool.errors import PacketError
from vxtool.packet.checksum import internet_checksum
from vxtool.packet.ipv4 import IPv4
from vxtool.packet.ipv6 import IPv6
from vxtool.packet.wire import fit, need, padded_options, raw

PROTOCOL = 6
FIN = 0x01
SYN = 0x02
RST = 0x04
PSH = 0x08
ACK = 0x10
URG = 0x20
ECE = 0x40
CWR = 0x80

_HEADER = Struct("!HHIIHHHH")
_CHECKSUM = slice(16, 18)
_WORDS_SHIFT = 12
_FLAGS_MASK = 0x0FFF
_END, _NOP, _MSS, _SCALE, _SACK_PERMITTED, _SACK, _TIMESTAMPS = 0, 1, 2, 3, 4, 5, 8
_SACK_BLOCK = Struct("!II")


class EndOfOptions(NamedTuple):
    """The end of the option list, and the bytes behind it, which mean nothing but are kept."""

    padding: bytes = b""
    kind: Literal[0] = 0

    def emit(self) -> bytes:
        """Return the option's bytes."""
        return bytes((_END,)) + raw(self.padding, "EndOfOptions", "padding")


class Nop(NamedTuple):
    """One byte of filling between options."""

    kind: Literal[1] = 1

    def emit(self) -> bytes:
        """Return the option's byte."""
        return bytes((_NOP,))


class MSS(NamedTuple):
    """The largest segment in bytes that the sender of this SYN will take."""

    value: int
    kind: Literal[2] = 2

    def emit(self) -> bytes:
        """Return the option's bytes."""
        return bytes((_MSS, 4)) + fit(self.value, 16, "MSS", "value").to_bytes(2, "big")


class WindowScale(NamedTuple):
    """By how many bits the sender's window field is to be shifted left (RFC 7323, section 2)."""

    shift: int
    kind: Literal[3] = 3

    def emit(self) -> bytes:
        """Return the option's bytes."""
        return bytes((_SCALE, 3, fit(self.shift, 8, "WindowScale", "shift")))


class SackPermitted(NamedTuple):
    """The sender understands selective acknowledgements (RFC 2018, section 2)."""

    kind: Literal[4] = 4

    def emit(self) -> bytes:
        """Return the option's bytes."""
        return bytes((_SACK_PERMITTED, 2))


class Sack(NamedTuple):
    """Blocks that have arrived: first sequence number and the one behind the last (RFC 2018, section 3)."""

    blocks: tuple[tuple[int, int], ...]
    kind: Literal[5] = 5

    def emit(self) -> bytes:
        """Return the option's bytes."""
        pairs = [
            _SACK_BLOCK.pack(fit(left, 32, "Sack", "blocks"), fit(right, 32, "Sack", "blocks"))
            for left, right in self.blocks
        ]
        return _with_length(_SACK, b"".join(pairs), "Sack", "blocks")


class Timestamps(NamedTuple):
    """The sender's clock and the echo of the receiver's (RFC 7323, section 3)."""

    value: int
    echo: int
    kind: Literal[8] = 8

    def emit(self) -> bytes:
        """Return the option's bytes."""
        value = fit(self.value, 32, "Timestamps", "value")
        return bytes((_TIMESTAMPS, 10)) + _SACK_BLOCK.pack(value, fit(self.echo, 32, "Timestamps", "echo"))


class UnknownOption(NamedTuple):
    """An option of another kind, or of a known kind with another length than that kind has."""

    data: bytes
    kind: int

    def emit(self) -> bytes:
        """Return the option's bytes."""
        kind = fit(self.kind, 8, "UnknownOption", "kind")
        return _with_length(kind, raw(self.data, "UnknownOption", "data"), "UnknownOption", "data")


class BrokenOption(NamedTuple):
    """An option whose length is impossible: all bytes of the list from its kind on."""

    data: bytes

    def emit(self) -> bytes:
        """Return the bytes as they were."""
        return raw(self.data, "BrokenOption", "data")


Option = EndOfOptions | Nop | MSS | WindowScale | SackPermitted | Sack | Timestamps | UnknownOption | BrokenOption


class TCP(NamedTuple):
    """A TCP header, 20 to 60 bytes. A checksum of None is computed on emit."""

    source_port: int
    destination_port: int
    sequence: int = 0
    acknowledgement: int = 0
    flags: int = 0
    window: int = 65535
    checksum: int | None = None
    urgent: int = 0
    options: tuple[Option, ...] = ()

    @classmethod
    def parse(cls, data: bytes, at: int = 0) -> tuple[TCP, bytes]:
        """Return the header and all bytes behind it.

        `at` is where `data` begins, for the PacketError: too short, or an impossible header length.
        """
        need(data, _HEADER.size, "TCP", at)
        source, destination, sequence, acknowledgement, word, window, checksum, urgent = _HEADER.unpack_from(data)
        size = (word >> _WORDS_SHIFT) * 4
        if size < _HEADER.size:
            raise PacketError(
                f"TCP at offset {at}: expected a header of at least {_HEADER.size} bytes, found {size}"
            )
        need(data, size, "TCP", at)
        options = parse_options(data[_HEADER.size : size])
        flags = word & _FLAGS_MASK
        value = cls(source, destination, sequence, acknowledgement, flags, window, checksum, urgent, options)
        return value, data[size:]

    def emit(self, payload: bytes = b"", ip: IPv4 | IPv6 | None = None) -> bytes:
        """Return the segment's bytes; a checksum of None needs `ip`, whose addresses it covers.

        Options are filled with zeros to whole 32-bit words.
        """
        options = padded_options(b"".join([option.emit() for option in self.options]), "TCP")
        size = _HEADER.size + len(options)
        checksum = self.checksum
        header = bytearray(
            _HEADER.pack(
                fit(self.source_port, 16, "TCP", "source_port"),
                fit(self.destination_port, 16, "TCP", "destination_port"),
                fit(self.sequence, 32, "TCP", "sequence"),
                fit(self.acknowledgement, 32, "TCP", "acknowledgement"),
                size // 4 << _WORDS_SHIFT | fit(self.flags, 12, "TCP", "flags"),
                fit(self.window, 16, "TCP", "window"),
                0 if checksum is None else fit(checksum, 16, "TCP", "checksum"),
                fit(self.urgent, 16, "TCP", "urgent"),
            )
            + options
        )
        if checksum is None:
            if ip is None:
                raise PacketError("TCP.checksum: expected an IP layer before it, found none")
            summed = ip.pseudo_header(PROTOCOL, size + len(payload)) + header + payload
            header[_CHECKSUM] = internet_checksum(summed).to_bytes(2, "big")
        return bytes(header) + payload


def parse_options(data: bytes) -> tuple[Option, ...]:
    """The options in `data`, the bytes of a header behind its first 20. Never fails: see BrokenOption."""
    options: list[Option] = []
    at = 0
    while at < len(data):
        kind = data[at]
        if kind == _END:
            options.append(EndOfOptions(data[at + 1 :]))
            break
        if kind == _NOP:
            options.append(Nop())
            at += 1
            continue
        size = data[at + 1] if at + 1 < len(data) else 0
        if not 2 <= size <= len(data) - at:
            options.append(BrokenOption(data[at:]))
            break
        options.append(_option(kind, data[at + 2 : at + size]))
        at += size
    return tuple(options)


def _option(kind: int, data: bytes) -> Option:
    match kind, len(data):
        case (2, 2):
            return MSS(int.from_bytes(data, "big"))
        case (3, 1):
            return WindowScale(data[0])
        case (4, 0):
            return SackPermitted()
        case (5, size) if size % _SACK_BLOCK.size == 0:
            return Sack(tuple(_SACK_BLOCK.iter_unpack(data)))
        case (8, 8):
            return Timestamps(*_SACK_BLOCK.unpack(data))
        case _:
            return UnknownOption(data, kind)


def _with_length(kind: int, data: bytes, layer: str, field: str) -> bytes:
    # Longer data cannot fit into a header either way; the check keeps the length byte a byte.
    if len(data) > 38:
        raise PacketError(f"{layer}.{field}: expected at most 38 bytes, found {len(data)}")
    return bytes((kind, len(data) + 2)) + data
