"""A table `traffic` of a scenario's file, read: a conversation between two ends of a world, and what goes wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from vxtool.craft import values
from vxtool.craft.packets import count as read_count
from vxtool.craft.packets import tunnel as read_tunnel
from vxtool.craft.through import misroute
from vxtool.craft.values import End
from vxtool.craft.world import Readers, read_table, text
from vxtool.errors import UsageError

_KINDS = ("ping", "tcp", "udp")


@dataclass(frozen=True)
class Traffic:
    """One table `traffic`. What is given twice, as [forth, back], differs by direction."""

    kind: str
    from_: str
    to: str
    at: int = 0  # ns after the capture's start
    repeat: int = 1
    every: int = 10_000_000  # ns from one repetition to the next
    family: int = 4
    # The conversation.
    count: int = 1
    interval: int | None = None
    size: int | None = None
    payload: bytes | None = None
    icmp_id: int = 2900
    port: tuple[int, int] = (32788, 80)
    request: int | None = None
    response: int | None = None
    mss: tuple[int, int] = (1410, 1410)
    super_frames: int = 1
    window: int = 10
    answered: bool = True
    turnaround: int | None = None
    lose: tuple[int, ...] = ()
    too_large: int | None = None
    retries: int = 4
    # The tunnel.
    tunnel: str = "vxlan"
    underlay: int = 4
    vni: tuple[int | None, int | None] = (None, None)
    source_port: tuple[int | None, int | None] = (None, None)
    source_ports: int | None = None  # so few are used
    id: tuple[int, int] = (0x1000, 0x8000)
    inner_id: tuple[int, int] = (0x2000, 0x9000)
    inner_ttl: int = 63
    inner_df: tuple[bool, bool] = (True, True)
    df: bool = False
    vlan: tuple[int, ...] = ()
    node: tuple[str | None, str | None] = (None, None)  # of ends that are no pods
    fragment: int | None = None
    geneve_dsr: End | None = None  # the service's address: answers leave from it, outside the tunnel
    # The router.
    egress: tuple[str | None, str | None] = (None, None)  # where it is not that of the other's node
    latency: tuple[int, int] = (16_000, 16_000)
    drop: float = 0.0
    misroute: tuple[str, float] | None = None
    mtu: int | None = None
    silent: bool = False


def _pair(one: Callable[[object], Any]) -> Callable[[object], tuple[Any, Any]]:
    """A value for both directions, or a list of two."""

    def read(value: object) -> tuple[Any, Any]:
        if isinstance(value, list):
            if len(value) != 2:
                raise UsageError(f"{value!r} is not one value, nor two as [forth, back]")
            return one(value[0]), one(value[1])
        return one(value), one(value)

    return read


def _choice(*known: object) -> Callable[[object], Any]:
    def read(value: object) -> object:
        if value not in known:
            raise UsageError(f"{value!r} is none of {', '.join(map(str, known))}")
        return value

    return read


def _within(least: int, most: int) -> Callable[[object], int]:
    return lambda value: values.number(value, least, most)


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise UsageError(f"{value!r} is not true or false")
    return value


def _numbers(value: object) -> tuple[int, ...]:
    if not isinstance(value, list):
        raise UsageError(f"{value!r} is no list")
    return tuple(values.number(each, 1, 1 << 32) for each in value)


def _interface(value: object) -> str | None:
    """An interface's name; "" for the usual one."""
    return None if value == "" else text(value)


def _tags(value: object) -> tuple[int, ...]:
    return tuple(values.number(each, 0, 4095) for each in (value if isinstance(value, list) else [value]))


def _no_file(value: object) -> bytes:
    """A payload, but not from a file: a scenario may come from a stranger."""
    if isinstance(value, str) and value.startswith("@"):
        raise UsageError(f"{value!r}: a scenario takes no files; give text or hex:DIGITS")
    return values.payload(value)


_WORD = _within(0, 0xFFFF)
_READERS: Readers = {
    "kind": _choice(*_KINDS),
    "from": text,
    "to": text,
    "at": values.duration,
    "repeat": read_count,
    "every": values.duration,
    "family": _choice(4, 6),
    "count": read_count,
    "interval": values.duration,
    "size": _within(0, 262_000),
    "payload": _no_file,
    "icmp_id": _WORD,
    "port": _pair(_WORD),
    "request": _within(0, 100_000_000),
    "response": _within(0, 100_000_000),
    "mss": _pair(_within(64, 0xFFFF)),
    "super_frames": _within(1, 180),
    "window": _within(1, 1000),
    "answered": _flag,
    "turnaround": values.duration,
    "lose": _numbers,
    "too_large": _within(1, 0xFFFF),
    "retries": _within(0, 15),
    "tunnel": lambda value: "none" if value == "none" else read_tunnel(value),
    "underlay": _choice(4, 6),
    "vni": _pair(_within(0, 0xFFFFFF)),
    "source_port": _pair(_WORD),
    "source_ports": _within(1, 4096),
    "id": _pair(_WORD),
    "inner_id": _pair(_WORD),
    "inner_ttl": _within(1, 255),
    "inner_df": _pair(_flag),
    "df": _flag,
    "vlan": _tags,
    "node": _pair(text),
    "fragment": _within(576, 65_535),
    "geneve_dsr": values.end,
    "egress": _pair(_interface),
    "latency": _pair(values.duration),
    "drop": values.share,
    "misroute": misroute,
    "mtu": _within(576, 65_535),
    "silent": _flag,
}


def read_traffic(given: object, where: str) -> Traffic:
    """A table `traffic`. Raises UsageError."""
    read = read_table(given, _READERS, where, ("kind", "from", "to"))
    read["from_"] = read.pop("from")
    return Traffic(**read)
