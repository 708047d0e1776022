"""Option values that click has no type for: names of files, numbers, durations, and ports of tunnel protocols.

But for the first two, each is a function from the text to the value, which raises click.BadParameter with what was
expected.
"""

from __future__ import annotations

from math import isfinite
from typing import Any

import click

from vxtool.durations import is_number, nanoseconds

_TUNNELS = ("vxlan", "geneve", "vxlan-gpe")


class FileName(click.Path):
    """As click's own, but a text that can be no file's name is a wrong value: a file of defaults may hold any."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return super().convert(value, param, ctx)
        except ValueError as error:  # a NUL, or what the file system's encoding lacks
            self.fail(f"{str(value)!r} is no name of a file: {error}.", param, ctx)


class Number(click.FloatRange):
    """As click's own range, which lets through what is no number and lies in every range."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if not isfinite(number):
            self.fail(f"{value!r} is no number to count with; give one such as 2.5.", param, ctx)
        return number


def duration(value: str) -> int:
    """A duration such as 1s, 10ms or 1.5s, in nanoseconds, from 0 to 24 hours."""
    try:
        return nanoseconds(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def positive_duration(value: str) -> int:
    """A duration in nanoseconds that is not 0."""
    length = duration(value)
    if not length:
        raise click.BadParameter(f"{value!r} is no time at all; give more than 0.")
    return length


def memory_size(value: str) -> int:
    """A size such as 512M or 1G (1024 of the next smaller), in bytes."""
    from vxtool.engine.options import LEAST_MEMORY

    number, unit = (value[:-1], value[-1].upper()) if value[-1:].isalpha() else (value, "")
    factor = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}.get(unit)
    size = int(number) * factor if factor is not None and is_number(number, 15) else 0
    if size < LEAST_MEMORY:
        raise click.BadParameter(
            f"{value!r} is no size to work in; give {LEAST_MEMORY >> 20}M or more, as in 512M or 2G."
        )
    return size


def tunnel_port(value: str) -> tuple[int, str]:
    """A UDP port and the tunnel protocol on it: 4789=vxlan is (4789, 'vxlan')."""
    port, _, protocol = value.partition("=")
    number = int(port) if is_number(port, 5) else 0
    if not (0 < number < 65_536 and protocol in _TUNNELS):
        raise click.BadParameter(
            f"{value!r} is not a tunnel's port; give 1 to 65535, = and vxlan, geneve or vxlan-gpe, as in "
            "4789=vxlan."
        )
    return number, protocol


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
    if port and not (is_number(port, 5) and int(port) < 65_536):
        return None
    try:
        return str(ip_address(address)), int(port) if port else None
    except ValueError:
        return None


def record_numbers(value: str) -> tuple[int, int]:
    """Numbers of records, from and to: 3-7 is (3, 7), and 3 is (3, 3)."""
    first, dash, last = value.partition("-")
    numbers = (first, last if dash else first)
    if not all(is_number(number, 15) for number in numbers) or not 0 < int(numbers[0]) <= int(numbers[1]):
        raise click.BadParameter(f"{value!r} are no numbers of records; give one from 1 on, or two as in 3-7.")
    return int(numbers[0]), int(numbers[1])
