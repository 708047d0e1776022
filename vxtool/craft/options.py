"""A plan from plain options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import cast

from vxtool.craft.build import build_trains
from vxtool.craft.capture import Format
from vxtool.craft.packets import Packets, read_packets
from vxtool.craft.pieces import segments
from vxtool.craft.plan import Item, Plan
from vxtool.craft.router import Passage
from vxtool.craft.through import READERS as ROUTER
from vxtool.craft.through import passage_of, read_through
from vxtool.craft.train import Train
from vxtool.craft.values import located
from vxtool.craft.world import World
from vxtool.errors import UsageError
from vxtool.packet import IPv4

_HEADERS = 256  # bytes in which all headers are
_LENGTHS = ("ip-length", "udp-length", "outer-ip-length", "outer-udp-length")


def plan_of_options(
    packets: Mapping[str, object],
    router: Mapping[str, object],
    *,
    seed: int = 0,
    format_: str | None = None,
    unit: str | None = None,
    snaplen: int | None = None,
) -> Plan:
    """The plan that options ask for: `packets` by the names of `Packets`, `router` by those of `Through`.

    Raises UsageError where they make no sense.
    """
    through = read_through(router, _option)
    asked = read_packets(packets, _option)
    trains = build_trains(asked)
    if through is not None and through.segment is not None:
        trains = [_spaced(train, through.segment) for train in trains]
    items = [
        Item(train, None if through is None else passage_of(through, train), asked.fragment) for train in trains
    ]
    return Plan(
        items,
        format=cast(Format, format_ or ("ethernet" if through is None else "sll2")),
        unit="us" if unit == "us" else "ns",
        snaplen=snaplen or 0,
        seed=seed,
        certain=_is_certain(asked, snaplen),
    )


def plan_of_table(
    table: Mapping[str, object], start_ns: int, world: World, where: str
) -> tuple[list[Item], bool]:
    """The items of a scenario's table `packets`, and whether their truth is certain.

    The table has the names of options, those of the router among them. Raises UsageError.
    """
    given = {key.replace("-", "_"): value for key, value in table.items()}
    router = {key: given.pop(key) for key in list(given) if key in ROUTER}

    def named(name: str) -> str:
        return f"{where}: {name.rstrip('_').replace('_', '-')}"

    if str(given.get("payload", "")).startswith("@"):
        raise UsageError(f"{where}: payload: a scenario takes no files; give text or hex:DIGITS")
    through = read_through(router, named)
    asked = read_packets(given, named)
    if "start" not in given:
        asked = replace(asked, start=start_ns)
    with located(where):
        trains = build_trains(asked, "")
        items = [
            Item(train, None if through is None else in_world(passage_of(through, train), world), asked.fragment)
            for train in trains
        ]
        return items, _is_certain(asked, None)


def in_world(passage: Passage, world: World) -> Passage:
    """The passage by the world's own interfaces, where it has those."""
    known = world.interfaces
    wrong = passage.misroute
    return replace(
        passage,
        ingress=known.get(passage.ingress.name, passage.ingress),
        egress=known.get(passage.egress.name, passage.egress),
        misroute=None if wrong is None else known.get(wrong.name, wrong),
    )


def _option(name: str) -> str:
    return f"--{name.rstrip('_').replace('_', '-')}"


def _is_certain(packets: Packets, snaplen: int | None) -> bool:
    """Whether what a right analysis says is known: lengths that lie, and headers that are cut, leave it open."""
    lies = any(name in _LENGTHS for name, _ in packets.wrong)
    return not (lies or packets.truncate is not None or (snaplen is not None and snaplen < _HEADERS))


def _spaced(train: Train, size: int) -> Train:
    """The train with identifications that leave room for the segments of each of its packets, as Linux keeps it."""
    count = len(segments(train, size))
    if count == 1:
        raise UsageError(f"--segment: no packet has more than {size} bytes of TCP data; give a larger --size")
    steps = {
        (index, name): step * count
        if name == "identification" and isinstance(train.layers[index], IPv4)
        else step
        for (index, name), step in train.steps.items()
    }
    return replace(train, steps=steps)
