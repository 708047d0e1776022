"""What differs from packet to packet.

Header fields that go up by a step for ever are the bulk encoder's; for those that begin again after some values,
and for sizes, a train is spread into one for each value.
"""

from __future__ import annotations

from dataclasses import replace
from math import lcm
from typing import TYPE_CHECKING

from vxtool.craft.train import Train
from vxtool.errors import UsageError
from vxtool.packet import ICMP, TCP, UDP, VXLAN, Geneve, ICMPv6, IPv4, IPv6, encode
from vxtool.packet.repeater import advanced
from vxtool.spelling import nearest_named

if TYPE_CHECKING:
    from vxtool.craft.packets import Packets

_MOST_TRAINS = 4096
_ECHOES = ((ICMP, (0, 8)), (ICMPv6, (128, 129)))

# Names of users, to what they stand for: outside or inside, kinds of layer, field.
FIELDS: dict[str, tuple[str, tuple[type, ...], str]] = {
    "source-port": ("outer", (UDP,), "source_port"),
    "vni": ("tunnel", (VXLAN, Geneve), "vni"),
    "outer-from": ("outer", (IPv4, IPv6), "source"),
    "outer-to": ("outer", (IPv4, IPv6), "destination"),
    "id": ("outer", (IPv4,), "identification"),
    "from": ("inner", (IPv4, IPv6), "source"),
    "to": ("inner", (IPv4, IPv6), "destination"),
    "inner-id": ("inner", (IPv4,), "identification"),
    "from-port": ("inner", (TCP, UDP), "source_port"),
    "to-port": ("inner", (TCP, UDP), "destination_port"),
    "seq": ("inner", (TCP,), "sequence"),
    "ack": ("inner", (TCP,), "acknowledgement"),
    "icmp-seq": ("inner", (ICMP, ICMPv6), "rest"),
    "icmp-id": ("inner", (ICMP, ICMPv6), "rest"),
}
NAMES = (*FIELDS, "size")
_ID_STEP = 1 << 16  # the echo identifier is the upper half of `rest`


def add_variations(train: Train, packets: Packets, option: str = "--") -> list[Train]:
    """The trains in which the fields that `packets.vary` names differ, and those that always do.

    Unless they are named, identifications and the sequence numbers of echoes go up by one.
    """
    steps: dict[tuple[int, str], int] = {}
    cyclic: list[tuple[tuple[int, str] | None, int, int]] = []  # field (None: size), step, values
    named: set[str] = set()
    for name, step, values in packets.vary:
        if name not in NAMES:
            raise UsageError(
                f"{option}vary: {name!r} cannot vary; {nearest_named(name, NAMES)}, of {', '.join(NAMES)}"
            )
        if name in named:
            raise UsageError(f"{option}vary: {name} is named twice")
        named.add(name)
        if name == "size":
            if values is None:
                raise UsageError(f"{option}vary: size needs a number of values, as in size=100x10")
            cyclic.append((None, step, values))
            continue
        field = _find(train, name, option)
        step *= _ID_STEP if name == "icmp-id" else 1
        if values is None:
            steps[field] = steps.get(field, 0) + step
        else:
            cyclic.append((field, step, values))
    for field in _usual(train):
        if train.count > 1 and field not in [key for key, _, _ in cyclic]:
            steps.setdefault(field, 1)
    train = replace(train, steps={field: step for field, step in steps.items() if step})
    if train.steps:
        advanced(train.layers, train.steps, 0)
    parts = lcm(*(values for _, _, values in cyclic)) if cyclic else 1
    if parts > _MOST_TRAINS:
        raise UsageError(f"{option}vary: {parts} combinations are more than {_MOST_TRAINS}; choose counts alike")
    if parts == 1:
        return [train]
    return [
        _with_values(each, [(field, part % values * step) for field, step, values in cyclic], option)
        for part, each in enumerate(train.spread(parts))
    ]


def _find(train: Train, name: str, option: str) -> tuple[int, str]:
    where, kinds, field = FIELDS[name]
    tunnel = train.tunnel
    if tunnel is None and where != "inner":
        # Without a tunnel there is one IP header, which is as good an outer one.
        if name != "id":
            raise UsageError(f"{option}vary: {name} needs {option}outer: there is no tunnel")
        where = "inner"
    part: range
    if where == "outer":
        part = range(tunnel or 0)
    elif where == "tunnel":
        part = range(tunnel or 0, (tunnel or 0) + 1)
    else:
        part = range(0 if tunnel is None else tunnel + 1, len(train.layers))
    found = [index for index in part if isinstance(train.layers[index], kinds)]
    if not found:
        raise UsageError(f"{option}vary: {name}: the packet has no such field")
    return found[-1], field


def _usual(train: Train) -> list[tuple[int, str]]:
    fields: list[tuple[int, str]] = []
    for index, layer in enumerate(train.layers):
        if isinstance(layer, IPv4):
            fields.append((index, "identification"))
        if any(isinstance(layer, kind) and layer.type in types for kind, types in _ECHOES):
            fields.append((index, "rest"))
    return fields


def _with_values(train: Train, adds: list[tuple[tuple[int, str] | None, int]], option: str) -> Train:
    for field, add in adds:
        if field is not None:
            train = replace(train, layers=advanced(train.layers, {field: add}, 1))
            continue
        size = len(train.payload) + add
        if size < 0:
            least = len(encode(*train.layers))
            raise UsageError(f"{option}vary: size: packets get shorter than their {least} bytes of headers")
        source = train.payload or b"\0"
        train = replace(train, payload=(source * (size // len(source) + 1))[:size])
    return train
