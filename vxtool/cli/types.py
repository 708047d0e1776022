"""Option values that click has no type for: durations, and ports of tunnel protocols.

Each is a function from the text to the value, which raises click.BadParameter with what was expected.
"""

from __future__ import annotations

import click

_UNITS = {"ns": 1, "us": 1_000, "µs": 1_000, "ms": 1_000_000, "s": 1_000_000_000, "m": 60_000_000_000}
_LONGEST = 24 * 60 * _UNITS["m"]
_DIGITS = "0123456789"
_TUNNELS = ("vxlan", "geneve", "vxlan-gpe")


def duration(value: str) -> int:
    """A duration such as 1s, 10ms or 1.5s, in nanoseconds, from 0 to 24 hours."""
    unit = value.lstrip(_DIGITS + ".")
    whole, point, fraction = value.removesuffix(unit).partition(".")
    if unit not in _UNITS or not _is_number(whole, 12) or (point and not _is_number(fraction, 9)):
        raise click.BadParameter(f"{value!r} is not a duration; give a number and ns, us, ms, s or m, as in 10ms.")
    # Integers throughout: a float cannot hold every nanosecond of a day.
    nanoseconds = int(whole + fraction) * _UNITS[unit] // int("1" + "0" * len(fraction))
    if nanoseconds > _LONGEST:
        raise click.BadParameter(f"{value!r} is too long; give at most 24 hours, 1440m.")
    return nanoseconds


def positive_duration(value: str) -> int:
    """A duration in nanoseconds that is not 0."""
    nanoseconds = duration(value)
    if not nanoseconds:
        raise click.BadParameter(f"{value!r} is no time at all; give more than 0.")
    return nanoseconds


def tunnel_port(value: str) -> tuple[int, str]:
    """A UDP port and the tunnel protocol on it: 4789=vxlan is (4789, 'vxlan')."""
    port, _, protocol = value.partition("=")
    number = int(port) if _is_number(port, 5) else 0
    if not (0 < number < 65_536 and protocol in _TUNNELS):
        raise click.BadParameter(
            f"{value!r} is not a tunnel's port; give 1 to 65535, = and vxlan, geneve or vxlan-gpe, as in "
            "4789=vxlan."
        )
    return number, protocol


def _is_number(text: str, longest: int) -> bool:
    # Not by a regular expression: compiling one takes longer than a short report.
    return 0 < len(text) <= longest and not text.strip(_DIGITS)


def outer_ends(value: str) -> tuple[str, int | None, str, int | None]:
    """A tunnel's ends: 192.168.10.100:51213,192.168.20.100 is (.100, 51213, the other, None)."""
    source, comma, destination = value.partition(",")
    ends = (_end(source), _end(destination))
    if not comma or None in ends:
        raise click.BadParameter(
            f"{value!r} are not a tunnel's ends; give two addresses, each with a port or without, as in "
            "192.168.10.100:51213,192.168.20.100 or [fd00::1]:51213,fd00::2."
        )
    (first, first_port), (second, second_port) = (end for end in ends if end is not None)
    if (":" in first) != (":" in second):
        raise click.BadParameter(f"{value!r} are of two families; give two of IPv4, or two of IPv6.")
    return first, first_port, second, second_port


def _end(text: str) -> tuple[str, int | None] | None:
    """An address, and the port behind it; None of anything else."""
    from ipaddress import ip_address  # here, because most commands are given none

    address, port = text, ""
    if text.startswith("["):
        address, bracket, port = text[1:].partition("]")
        if not bracket or (port and not port.startswith(":")):
            return None
        port = port[1:] if port else ""
        if text.endswith(":"):
            return None
    elif text.count(":") == 1:
        address, _, port = text.partition(":")
        if not port:
            return None
    if port and not (_is_number(port, 5) and int(port) < 65_536):
        return None
    try:
        return str(ip_address(address)), int(port) if port else None
    except ValueError:
        return None


def record_numbers(value: str) -> tuple[int, int]:
    """Numbers of records, from and to: 3-7 is (3, 7), and 3 is (3, 3)."""
    first, dash, last = value.partition("-")
    numbers = (first, last if dash else first)
    if not all(_is_number(number, 15) for number in numbers) or not 0 < int(numbers[0]) <= int(numbers[1]):
        raise click.BadParameter(f"{value!r} are no numbers of records; give one from 1 on, or two as in 3-7.")
    return int(numbers[0]), int(numbers[1])
