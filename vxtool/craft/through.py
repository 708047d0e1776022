"""What plain options say of the router that packets cross."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address, ip_interface
from typing import Any

from vxtool.craft import values
from vxtool.craft.router import Interface, Passage
from vxtool.craft.train import Train
from vxtool.craft.values import located
from vxtool.errors import UsageError
from vxtool.packet import IPv4, IPv6

LATENCY = 16_000  # ns, as in the founding case


@dataclass(frozen=True)
class Through:
    """How packets cross a router; the fields are those of options, in their typed form."""

    through: tuple[tuple[str, int | None], ...]  # (name, index) of ingress and egress
    latency: int = LATENCY
    drop: float = 0.0
    misroute: tuple[str, float] | None = None  # another egress, and how many leave by it
    mtu: int | None = None
    silent: bool = False
    segment: int | None = None


def interface_names(text: object) -> tuple[tuple[str, int | None], ...]:
    """`INGRESS,EGRESS`, each `NAME[=INDEX]`."""
    parts = [part.strip() for part in str(text).split(",")]
    named: list[tuple[str, int | None]] = []
    for part in parts:
        name, given, index = part.partition("=")
        _check_name(name)
        named.append((name, values.number(index, 1, (1 << 31) - 1) if given else None))
    if len(named) != 2 or named[0][0] == named[1][0]:
        raise UsageError(f"{text!r} is not two interfaces; write INGRESS,EGRESS, as in eth1,eth2")
    return tuple(named)


def misroute(text: object) -> tuple[str, float]:
    """`NAME[=SHARE]`: by which interface packets leave instead, and how many of them."""
    name, given, part = str(text).partition("=")
    _check_name(name)
    return name, values.share(part) if given else 1.0


def _check_name(name: str) -> None:
    # What Linux takes (dev_valid_name in net/core/dev.c): a name is also part of a file's.
    if not 0 < len(name) < 16 or name in (".", "..") or any(each in "/:" or each.isspace() for each in name):
        raise UsageError(f"{name!r} is no name of an interface; give one such as eth1")


def _mtu(value: object) -> int:
    return values.number(value, 576, 65_535)


def _segment(value: object) -> int:
    return values.number(value, 1, 65_535)


def _flag(value: object) -> bool:
    return bool(value)


READERS: Mapping[str, Callable[[object], Any]] = {
    "through": interface_names,
    "latency": values.duration,
    "drop": values.share,
    "misroute": misroute,
    "mtu": _mtu,
    "silent": _flag,
    "segment": _segment,
}


def read_through(given: Mapping[str, object], name: Callable[[str], str]) -> Through | None:
    """The typed form of the options on the router; None where none were given. Raises UsageError."""
    if not given:
        return None
    if "through" not in given:
        raise UsageError(f"{name(next(iter(given)))} needs {name('through')}, the router's interfaces")
    read: dict[str, Any] = {}
    for key, value in given.items():
        with located(name(key)):
            read[key] = READERS[key](value)
    return Through(**read)


def passage_of(through: Through, train: Train) -> Passage:
    """The router's interfaces, with MACs and addresses that fit the ends of the train, and how it treats it."""
    first = train.layers[0] if train.layers else None
    ends = (first.source, first.destination) if isinstance(first, IPv4 | IPv6) else (None, None)
    names = [*through.through] + ([(through.misroute[0], None)] if through.misroute else [])
    indexes = _indexes(names)
    made = [
        Interface(
            name,
            indexes[name],
            f"02:00:00:00:ff:{indexes[name] & 0xFF:02x}",
            _addresses(ends[number]) if number < 2 else ("10.0.2.15/24",),
            # A black hole is one because nothing tells of it.
            through.mtu if number == 1 and through.mtu is not None and not through.silent else 1500,
        )
        for number, (name, _) in enumerate(names)
    ]
    return Passage(
        ingress=made[0],
        egress=made[1],
        latency_ns=through.latency,
        drop=through.drop,
        misroute=made[2] if through.misroute else None,
        misroute_share=through.misroute[1] if through.misroute else 1.0,
        mtu=through.mtu,
        silent=through.silent,
        segment=through.segment,
    )


def _indexes(names: list[tuple[str, int | None]]) -> dict[str, int]:
    """An index for each name: the one given, else the one that ethN has on a machine with lo and eth0."""
    found = {name: index for name, index in names if index is not None}
    for name, index in names:
        if index is None and name not in found:
            number = name.removeprefix("eth")
            wanted = int(number) + 2 if name.startswith("eth") and number.isdigit() and len(number) < 4 else 3
            while wanted in found.values():
                wanted += 1
            found[name] = wanted
    return found


def _addresses(neighbour: str | None) -> tuple[str, ...]:
    """The router's address in the network of a node: the last but one of its /24, or of its /64's last byte."""
    if neighbour is None:
        return ()
    bits, last = (64, 0xFE) if ":" in neighbour else (24, 0xFE)
    network = ip_interface(f"{neighbour}/{bits}").network
    own = network.network_address + last
    if own == ip_address(neighbour):
        own -= 1
    return (f"{own}/{bits}",)
