"""Text to values, for options and scenario files alike: addresses, ports, sizes, shares, durations, payloads.

Each function raises UsageError with what was found and what was expected; whoever knows where the text stood puts
that before it (see `located`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import NamedTuple

from vxtool.errors import PacketError, UsageError
from vxtool.packet.tcp import ACK, CWR, ECE, FIN, PSH, RST, SYN, URG
from vxtool.packet.wire import mac_bytes

_UNITS = {"ns": 1, "us": 1_000, "µs": 1_000, "ms": 1_000_000, "s": 1_000_000_000, "m": 60_000_000_000}
_FLAGS = {"F": FIN, "S": SYN, "R": RST, "P": PSH, "A": ACK, "U": URG, "E": ECE, "C": CWR}
_LARGEST_FILE = 1 << 20


class End(NamedTuple):
    """An address, and a port where one was given."""

    address: str
    port: int | None = None


@contextmanager
def located(where: str) -> Iterator[None]:
    """Say where the text stood that a UsageError or PacketError inside is about."""
    try:
        yield
    except (UsageError, PacketError) as error:
        raise UsageError(f"{where}: {error}") from None


def number(text: object, least: int = 0, most: int = (1 << 32) - 1) -> int:
    """A whole number, decimal or 0x..., from `least` to `most`."""
    value: int | None = None
    if isinstance(text, int) and not isinstance(text, bool):
        value = text
    elif isinstance(text, str) and text.isascii():
        digits = text.removeprefix("-")
        if digits.isdigit() and len(digits) < 20:
            value = int(text)
        elif text.lower().startswith("0x") and len(text) < 20:
            value = _hexadecimal(text)
    if value is None or not least <= value <= most:
        raise UsageError(f"{text!r} is not a whole number from {least} to {most}")
    return value


def port(text: object) -> int:
    return number(text, 0, 0xFFFF)


def address(text: object) -> str:
    """An IPv4 or IPv6 address, in its usual form."""
    return str(_address(text))


def _address(text: object) -> IPv4Address | IPv6Address:
    try:
        if isinstance(text, str) and "%" not in text:
            return ip_address(text)
    except ValueError:
        pass
    raise UsageError(f"{text!r} is not an IP address; give one such as 172.20.0.107 or fd00::107")


def end(text: object) -> End:
    """An address and perhaps a port: `10.0.0.1`, `10.0.0.1:51213`, `fd00::1`, `[fd00::1]:51213`."""
    if not isinstance(text, str):
        raise UsageError(f"{text!r} is not ADDRESS[:PORT]")
    if text.startswith("["):
        host, closing, rest = text[1:].partition("]")
        if not closing or (rest and not rest.startswith(":")):
            raise UsageError(f"{text!r} is not an address with a port; write [fd00::1]:51213")
        return End(address(host), port(rest[1:]) if rest else None)
    if text.count(":") == 1:
        host, _, rest = text.partition(":")
        return End(address(host), port(rest))
    return End(address(text))


def two_ends(text: object) -> tuple[End, End]:
    """`FROM[:PORT],TO[:PORT]`, both of one family."""
    parts = text.split(",") if isinstance(text, str) else []
    if len(parts) != 2:
        raise UsageError(f"{text!r} is not two addresses; write FROM[:PORT],TO[:PORT]")
    first, second = end(parts[0].strip()), end(parts[1].strip())
    if (":" in first.address) != (":" in second.address):
        raise UsageError(f"{text!r} mixes IPv4 and IPv6")
    return first, second


def two_ports(text: object) -> tuple[int, int]:
    """`SOURCE:DESTINATION`."""
    first, colon, second = str(text).partition(":")
    if not colon:
        raise UsageError(f"{text!r} is not two ports; write SOURCE:DESTINATION, as in 32788:80")
    return port(first), port(second)


def mac(text: object) -> str:
    try:
        return mac_bytes(text, "Ethernet", "address").hex(":")
    except PacketError:
        raise UsageError(f"{text!r} is not a MAC address; give one such as 02:00:00:00:00:01") from None


def two_macs(text: object) -> tuple[str, str]:
    """`SOURCE,DESTINATION`."""
    parts = str(text).split(",")
    if len(parts) != 2:
        raise UsageError(f"{text!r} is not two MAC addresses; write SOURCE,DESTINATION")
    return mac(parts[0].strip()), mac(parts[1].strip())


def tcp_flags(text: object) -> int:
    """Letters, as tcpdump and scapy write them: S, SA, PA, FA, R ... ; or a number of twelve bits."""
    if isinstance(text, str) and text and not set(text.upper()) - set(_FLAGS):
        return sum(_FLAGS[letter] for letter in set(text.upper()))
    try:
        return number(text, 0, 0xFFF)
    except UsageError:
        raise UsageError(f"{text!r} are not TCP flags; give letters of FSRPAUEC, as in SA") from None


def duration(text: object) -> int:
    """`16us`, `10ms`, `1.5s` in nanoseconds, up to a day."""
    if isinstance(text, str):
        unit = text.lstrip("0123456789.")
        whole, _, fraction = text.removesuffix(unit).partition(".")
        if unit in _UNITS and whole.isdigit() and len(whole) < 13 and (not fraction or fraction.isdigit()):
            digits = fraction[:9]
            value = int(whole + digits) * _UNITS[unit] // int("1" + "0" * len(digits))
            if value <= 24 * 60 * _UNITS["m"]:
                return value
    raise UsageError(f"{text!r} is not a duration up to 24 hours; give a number and ns, us, ms, s or m, as in 16us")


def share(text: object) -> float:
    """`3%` or `0.03`, from 0 to 1."""
    try:
        value = float(text[:-1]) / 100 if isinstance(text, str) and text.endswith("%") else float(str(text))
    except ValueError:
        value = -1
    if not 0 <= value <= 1:
        raise UsageError(f"{text!r} is not a share; give 0% to 100%, as in 3%")
    return value


def hexadecimal(text: object) -> bytes:
    """Bytes as pairs of hexadecimal digits; spaces and colons between them do not count."""
    try:
        return bytes.fromhex(str(text).replace(":", "").removeprefix("0x"))
    except ValueError:
        raise UsageError(f"{text!r} is not hexadecimal; give pairs of digits, as in deadbeef") from None


def payload(text: object, folder: Path | None = None) -> bytes:
    """Text as UTF-8, `hex:...`, or `@FILE` for a file's bytes (relative to `folder`), at most 1 MiB."""
    if not isinstance(text, str):
        raise UsageError(f"{text!r} is no payload; give text, hex:DIGITS or @FILE")
    if text.startswith("hex:"):
        return hexadecimal(text[4:])
    if not text.startswith("@"):
        return text.encode("utf-8", "surrogateescape")
    path = (folder or Path()) / text[1:]
    try:
        with open(path, "rb") as file:
            data = file.read(_LARGEST_FILE + 1)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror or error}") from None
    if len(data) > _LARGEST_FILE:
        raise UsageError(f"{path}: is larger than the {_LARGEST_FILE} bytes that a payload may have")
    return data


def time_ns(text: object) -> int:
    """A time such as 2025-08-09T17:27:50.282388Z, or seconds since the epoch, in nanoseconds since the epoch."""
    from datetime import UTC, datetime

    if isinstance(text, datetime):
        text = text.isoformat()
    whole, _, fraction = str(text).partition(".")
    digits = fraction.rstrip("Zz")[:9]
    zone = "" if "+" in fraction or "-" in fraction else ("Z" if fraction[-1:] in ("Z", "z") else "")
    if whole.isdigit() and (not fraction or fraction.isdigit()):
        return int(whole) * 10**9 + int(digits.ljust(9, "0") or 0)
    try:
        if not fraction.rstrip("Zz").isdigit() and fraction:
            raise ValueError
        when = datetime.fromisoformat(whole + zone)
    except ValueError:
        raise UsageError(
            f"{text!r} is not a time; give one in UTC such as 2025-08-09T17:27:50.282388Z, or seconds since 1970"
        ) from None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return int(when.timestamp()) * 10**9 + int(digits.ljust(9, "0") or 0)


def _hexadecimal(text: str) -> int | None:
    try:
        return int(text, 16)
    except ValueError:
        return None
