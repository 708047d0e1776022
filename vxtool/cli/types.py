"""Option values that click has no type for: durations, and ports of tunnel protocols.

Each is a function from the text to the value, which raises click.BadParameter with what was expected.
"""

from __future__ import annotations

import click

from vxtool.durations import is_number, nanoseconds

_TUNNELS = ("vxlan", "geneve", "vxlan-gpe")


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
