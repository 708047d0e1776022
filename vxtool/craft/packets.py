"""What plain options say of packets, checked and typed; command lines and scenario files have the same names.

Values come as text from a command line and as text, numbers and lists from a TOML file. Both are read here, once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from vxtool.craft import values
from vxtool.craft.values import End, located
from vxtool.errors import UsageError
from vxtool.spelling import nearest_named

START = 1_735_689_600 * 10**9  # 2025-01-01: a fixed time, so that equal options make equal files
RATE = 1000.0
_MOST_PACKETS = 4_000_000_000
ICMP_KINDS = ("echo", "reply", "unreachable", "too-big", "time-exceeded")


@dataclass(frozen=True)
class Packets:
    """One train of packets as the user wants it. None: not said, so left to what is usual."""

    # The inner packet; the only one where there is no tunnel.
    from_: str | None = None
    to: str | None = None
    icmp: tuple[str | int, int] | None = None  # kind or type; code or MTU
    tcp: tuple[int, int] | None = None
    udp: tuple[int, int] | None = None
    inner: str | None = None  # layers of scapy
    flags: int | None = None
    seq: int | None = None
    ack: int | None = None
    window: int | None = None
    mss: int | None = None
    window_scale: int | None = None
    timestamps: tuple[int, int] | None = None
    sack: bool = False
    icmp_id: int | None = None
    icmp_seq: int | None = None
    size: int | None = None
    payload: bytes | None = None
    inner_ttl: int | None = None
    inner_tos: int | None = None
    inner_df: bool = False
    inner_id: int | None = None
    inner_vlan: tuple[int, ...] = ()
    inner_mac: tuple[str, str] | None = None
    # The tunnel.
    outer: tuple[End, End] | None = None
    vni: int | None = None
    tunnel: str | None = None
    tunnel_port: int | None = None
    vxlan_flags: int | None = None
    group_policy: int | None = None
    reserved: int | None = None
    geneve_option: tuple[bytes, ...] = ()
    geneve_dsr: End | None = None
    ttl: int | None = None
    tos: int | None = None
    df: bool = False
    id: int | None = None
    outer_checksum: bool = False
    # The link.
    mac: tuple[str, str] | None = None
    vlan: tuple[int, ...] = ()
    # What is wrong on purpose.
    wrong: tuple[tuple[str, int | None], ...] = ()
    truncate: int | None = None
    # How many, how fast, and what differs.
    count: int = 1
    rate: float = RATE
    start: int = START
    vary: tuple[tuple[str, int, int | None], ...] = ()
    fragment: int | None = None  # the sender's MTU


def icmp(text: object) -> tuple[str | int, int]:
    """`echo`, `reply`, `unreachable`, `time-exceeded`, `too-big[:MTU]`, or TYPE[:CODE]."""
    kind, colon, rest = str(text).partition(":")
    if kind == "too-big":
        return kind, values.number(rest, 0, 0xFFFFFFFF) if colon else 1400
    if kind in ICMP_KINDS and not colon:
        return kind, 0
    try:
        return values.number(kind, 0, 255), values.number(rest or 0, 0, 255)
    except UsageError:
        known = ", ".join(ICMP_KINDS)
        raise UsageError(f"{text!r} is no kind of ICMP; give {known}, or TYPE:CODE") from None


def timestamps(text: object) -> tuple[int, int]:
    value, _, echo = str(text).partition(":")
    return values.number(value), values.number(echo or 0)


def tunnel(text: object) -> str:
    if text not in ("vxlan", "geneve"):
        raise UsageError(f"{text!r} is no tunnel protocol; give vxlan or geneve")
    return str(text)


def rate(text: object) -> float:
    """Packets a second; `k` and `M` stand for thousands and millions."""
    factors = {"k": 1e3, "K": 1e3, "M": 1e6}
    word = str(text)
    try:
        value = float(word[:-1]) * factors[word[-1]] if word[-1:] in factors else float(word)
    except ValueError:
        value = 0
    if not 1e-4 <= value <= 1e9:
        raise UsageError(f"{text!r} is not a rate; give packets a second, as in 500 or 10k")
    return value


def count(text: object) -> int:
    """A number of packets; `k` and `M` stand for thousands and millions."""
    factors = {"k": 1_000, "K": 1_000, "M": 1_000_000}
    word, factor = text, 1
    if isinstance(text, str) and text[-1:] in factors:
        word, factor = text[:-1], factors[text[-1]]
    try:
        return values.number(word, 1, _MOST_PACKETS // factor) * factor
    except UsageError:
        raise UsageError(f"{text!r} is not a number from 1 to 4 billion, as in 500 or 10M") from None


def interval_ns(packets_a_second: float) -> int:
    return round(1e9 / packets_a_second)


def vary(text: object) -> tuple[str, int, int | None]:
    """`FIELD[=STEP[xCOUNT]]`: after COUNT values it begins again."""
    name, given, rest = str(text).partition("=")
    step, times, count = rest.partition("x")
    if name.endswith(("=", " ")) or not name or (given and not step) or (times and not count):
        raise UsageError(f"{text!r} is not FIELD[=STEP[xCOUNT]], as in source-port=1x4")
    return (
        name,
        values.number(step, -(1 << 127), 1 << 127) if step else 1,
        values.number(count, 1, 4096) if count else None,
    )


def wrong(text: object) -> tuple[str, int | None]:
    """`WHAT[=VALUE]`."""
    name, given, value = str(text).partition("=")
    return name, values.number(value, 0, 0xFFFF) if given else None


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise UsageError(f"{value!r} is not true or false")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise UsageError(f"{value!r} is no text")
    return value


def _within(least: int, most: int) -> Callable[[object], int]:
    return lambda value: values.number(value, least, most)


def _several(one: Callable[[object], Any]) -> Callable[[object], Any]:
    def read(value: object) -> Any:
        return tuple(one(each) for each in (value if isinstance(value, (list, tuple)) else [value]))

    return read


_BYTE, _WORD = _within(0, 0xFF), _within(0, 0xFFFF)
_VLAN = _within(0, 4095)
READERS: Mapping[str, Callable[[object], Any]] = {
    "from_": values.address,
    "to": values.address,
    "icmp": icmp,
    "tcp": values.two_ports,
    "udp": values.two_ports,
    "inner": _text,
    "flags": values.tcp_flags,
    "seq": _within(0, 0xFFFFFFFF),
    "ack": _within(0, 0xFFFFFFFF),
    "window": _WORD,
    "mss": _WORD,
    "window_scale": _within(0, 14),
    "timestamps": timestamps,
    "sack": _flag,
    "icmp_id": _WORD,
    "icmp_seq": _WORD,
    "size": _within(20, 262_000),
    "payload": values.payload,
    "inner_ttl": _BYTE,
    "inner_tos": _BYTE,
    "inner_df": _flag,
    "inner_id": _WORD,
    "inner_vlan": _several(_VLAN),
    "inner_mac": values.two_macs,
    "outer": values.two_ends,
    "vni": _within(0, 0xFFFFFF),
    "tunnel": tunnel,
    "tunnel_port": _within(1, 0xFFFF),
    "vxlan_flags": _BYTE,
    "group_policy": _WORD,
    "reserved": _within(0, 0xFFFFFF),
    "geneve_option": _several(values.hexadecimal),
    "geneve_dsr": values.end,
    "ttl": _BYTE,
    "tos": _BYTE,
    "df": _flag,
    "id": _WORD,
    "outer_checksum": _flag,
    "mac": values.two_macs,
    "vlan": _several(_VLAN),
    "wrong": _several(wrong),
    "truncate": _within(0, 1_000_000),
    "count": count,
    "rate": rate,
    "start": values.time_ns,
    "vary": _several(vary),
    "fragment": _within(68, 65_535),
}


def read_packets(given: Mapping[str, object], name: Callable[[str], str]) -> Packets:
    """The typed form of what was given under the names of `Packets`' fields, with dashes for underscores or not.

    `name` makes of a field's name what the user calls it, for messages. Raises UsageError.
    """
    read: dict[str, Any] = {}
    known = {field.name.rstrip("_").replace("_", "-"): field.name for field in fields(Packets)}
    for key, value in given.items():
        word = key.rstrip("_").replace("_", "-")
        if word not in known:
            raise UsageError(f"{name(word)}: there is no such option; {nearest_named(word, list(known))}")
        with located(name(word)):
            read[known[word]] = READERS[known[word]](value)
    return Packets(**read)


def as_given(names: Sequence[str], packets: Packets) -> list[str]:
    """Those of the fields that were said, with dashes."""
    usual = Packets()
    return [
        name.rstrip("_").replace("_", "-")
        for name in names
        if getattr(packets, name) != getattr(usual, name)
    ]
