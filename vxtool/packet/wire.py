"""What every layer needs: bytes checked once at the door, values checked once on the way out.

A layer's `parse` calls `need` before it reads, so that nothing behind it can run off the end; its `emit`
passes each number through `fit` and each address through one of the `*_bytes` functions, so that a value that
no packet can carry is refused with the name of its field. All of them raise PacketError with one line. The C
codec writes the same lines, word for word: a change here is a change there.

Addresses are text in values (`10.0.0.1`, `fe80::1`, `02:00:00:00:00:01`), since that is what people write,
read and compare; both codecs leave the text form of IP addresses to the C library's inet_ntop and
inet_pton.
"""

from __future__ import annotations

from socket import AF_INET, AF_INET6, inet_ntop, inet_pton
from typing import Any

from vxtool.errors import PacketError


def short(layer: str, at: int, expected: int, found: int) -> PacketError:
    """The error for bytes that end too early: `expected` and `found` in bytes, from offset `at` on."""
    return PacketError(f"{layer} at offset {at}: expected {expected} bytes, found {found}")


def need(data: bytes, size: int, layer: str, at: int) -> None:
    """Raise PacketError unless `data`, which begins at offset `at` of its record, holds `size` bytes."""
    if len(data) < size:
        raise short(layer, at, size, len(data))


def fit(value: Any, bits: int, layer: str, field: str) -> int:
    """Return `value` if it is an integer that `bits` bits can carry, else raise PacketError."""
    if not isinstance(value, int) or not 0 <= value < 1 << bits:
        raise PacketError(f"{layer}.{field}: expected an integer from 0 to {(1 << bits) - 1}, found {value!r}")
    return value


def raw(value: Any, layer: str, field: str) -> bytes:
    """Return `value` if it is bytes, else raise PacketError."""
    if not isinstance(value, bytes):
        raise PacketError(f"{layer}.{field}: expected bytes, found {value!r}")
    return value


def raw_of(value: Any, size: int, layer: str, field: str) -> bytes:
    """Return `value` if it is exactly `size` bytes, else raise PacketError."""
    if len(raw(value, layer, field)) != size:
        raise PacketError(f"{layer}.{field}: expected {size} bytes, found {len(value)}")
    return bytes(value)


def padded_options(options: bytes, layer: str) -> bytes:
    """Fill header options with zeros to whole 32-bit words (RFC 791 and RFC 9293, section 3.1).

    Raises PacketError above 40 bytes, the most that the 4-bit header length leaves room for.
    """
    if len(options) > 40:
        raise PacketError(f"{layer}.options: expected at most 40 bytes, found {len(options)}")
    return options + bytes(-len(options) % 4)


def mac_text(data: bytes) -> str:
    """The text of a 6-byte MAC address: `02:00:00:00:00:01`."""
    return data.hex(":")


def mac_bytes(value: Any, layer: str, field: str) -> bytes:
    """The 6 bytes of a MAC address written as six pairs of hexadecimal digits with colons between."""
    if isinstance(value, str) and [len(pair) for pair in value.split(":")] == [2] * 6:
        try:
            data = bytes.fromhex(value.replace(":", ""))
        except ValueError:
            data = b""
        if len(data) == 6:
            return data
    raise PacketError(f"{layer}.{field}: expected a MAC address such as 02:00:00:00:00:01, found {value!r}")


def ipv4_text(data: bytes) -> str:
    """The text of a 4-byte IPv4 address."""
    return inet_ntop(AF_INET, data)


def ipv6_text(data: bytes) -> str:
    """The text of a 16-byte IPv6 address."""
    return inet_ntop(AF_INET6, data)


def ipv4_bytes(value: Any, layer: str, field: str) -> bytes:
    """The 4 bytes of an IPv4 address in dotted decimal."""
    return _ip_bytes(value, AF_INET, "IPv4", layer, field)


def ipv6_bytes(value: Any, layer: str, field: str) -> bytes:
    """The 16 bytes of an IPv6 address in text (RFC 4291, section 2.2)."""
    return _ip_bytes(value, AF_INET6, "IPv6", layer, field)


def _ip_bytes(value: Any, family: int, name: str, layer: str, field: str) -> bytes:
    if isinstance(value, str):
        try:
            return inet_pton(family, value)
        except (OSError, ValueError):
            pass
    raise PacketError(f"{layer}.{field}: expected an {name} address, found {value!r}")
