"""What goes into a capture, and writing it with all that belongs beside it.

Beside `NAME.pcap` come `NAME.truth.json`, `NAME.links.json` and `NAME.routes.json` (the router's, as `ip -j addr`
and `ip -j route` print them), and what a scenario adds: the cluster's objects.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple

from vxtool.craft.beside import links_of, routes_of, text_of
from vxtool.craft.capture import CaptureFile, Format, paths_of, view_of
from vxtool.craft.router import Crossing, Interface, Passage, Sighting, Stream, can_be_told
from vxtool.craft.train import Train
from vxtool.craft.truth import Truth
from vxtool.errors import PacketError, UsageError
from vxtool.whole_file import whole_file

_NS = 10**9
_LARGEST = 262_144 - 144  # with a link header before it


class Item(NamedTuple):
    """A train, how it crosses the router (None: there is none), and the MTU at which its sender fragments."""

    train: Train
    passage: Passage | None = None
    mtu: int | None = None


@dataclass(frozen=True)
class Plan:
    """All that one capture holds."""

    items: Sequence[Item]
    format: Format = "ethernet"
    unit: Literal["ns", "us"] = "ns"
    snaplen: int = 0
    seed: int = 0
    interfaces: Sequence[Interface] = ()  # all of the router's; those that are crossed, where it is empty
    routes: Sequence[tuple[str, str]] = ()  # of the router, beside those of its links
    findings: Sequence[str] | None = None  # ids of those that must be among a report's
    beside: dict[str, str] = field(default_factory=dict)  # more files: what they are, and their text
    certain: bool = True  # whether the truth is known: not where lengths were made wrong

    @property
    def routed(self) -> bool:
        return any(item.passage is not None for item in self.items)


class Written(NamedTuple):
    """What was written."""

    captures: list[str]
    beside: list[str]
    records: int
    truth: dict[str, Any] | None


def write_plan(
    plan: Plan,
    output: str | BinaryIO,
    folder: str | None = None,
    progress: Callable[[int], None] | None = None,
) -> Written:
    """Write the capture to `output`, and what belongs beside it there, or into `folder`.

    To a stream goes the capture alone. Raises UsageError where a file cannot be made.
    """
    _check(plan)
    interfaces = _crossed(plan)
    view = view_of(plan.format)
    truth = Truth(plan.format in ("sll2", "sll"), plan.format != "ethernet", _ways(plan, interfaces))
    streams: list[Stream] = []
    for number, item in enumerate(plan.items):
        if item.passage is None:
            streams.append(Sighting(item.train, view, item.mtu))
        else:
            streams.append(
                Crossing(
                    item.train, item.passage, view, truth, seed=plan.seed, number=number, mtu=item.mtu
                )
            )
    with CaptureFile(
        output, plan.format, interfaces, unit=plan.unit, snaplen=plan.snaplen, progress=progress
    ) as file:
        file.write_all(streams)
    truth.records, truth.last_ns = file.records, file.last_ns
    if plan.unit == "us":
        truth.last_ns -= truth.last_ns % 1000
    told = None
    certain = plan.certain and all(can_be_told(train, way) for train, way, _ in plan.items if way is not None)
    if plan.routed and certain:
        told = truth.told(None if plan.findings is None else list(plan.findings))
    captures = paths_of(output, plan.format, interfaces) if isinstance(output, str) else []
    if not isinstance(output, str):
        return Written(captures, [], file.records, told)
    files = dict(plan.beside)
    if told is not None:
        files["truth.json"] = text_of(told)
    if plan.routed:
        files.setdefault("links.json", text_of(links_of(interfaces)))
        files.setdefault("routes.json", text_of(routes_of(interfaces)))
    return Written(captures, _write_beside(files, output, folder), file.records, told)


def _ways(plan: Plan, interfaces: Sequence[Interface]) -> list[tuple[str, str]]:
    """The router's routes: networks, and the interface that each leads out by."""
    return [(route["dst"], route["dev"]) for route in routes_of(interfaces)] + list(plan.routes)


def _check(plan: Plan) -> None:
    """See that every train can be encoded and captured, before a file is made. Raises UsageError."""
    for item in plan.items:
        train = item.train
        if train.time_ns < 0 or train.last_ns // _NS >> 32:
            raise UsageError(
                "the packets' times go beyond the years 1970 to 2106 that a capture can tell: "
                "give another start, fewer packets or a higher rate"
            )
        try:
            size = len(train.whole)
        except PacketError as error:
            raise UsageError(str(error)) from None
        if size > _LARGEST:
            raise UsageError(f"packets of {size:,} bytes are larger than the {_LARGEST:,} that a record holds")


def _crossed(plan: Plan) -> list[Interface]:
    if plan.interfaces:
        return list(plan.interfaces)
    found: dict[str, Interface] = {}
    for item in plan.items:
        if item.passage is not None:
            ways = [item.passage.ingress, item.passage.egress]
            for each in ways + ([item.passage.misroute] if item.passage.misroute else []):
                known = found.get(each.name, each)
                both = dict.fromkeys(known.addresses + each.addresses)
                found[each.name] = replace(known, addresses=tuple(both))
    return sorted(found.values(), key=lambda each: each.index)


def _write_beside(files: dict[str, str], output: str, folder: str | None) -> list[str]:
    path = Path(output)
    place = path.parent if folder is None else Path(folder)
    written = []
    for kind, text in sorted(files.items()):
        name = place / f"{path.stem}.{kind}"
        try:
            place.mkdir(parents=True, exist_ok=True)
            with whole_file(name) as file:
                file.write(text.encode())
        except OSError as error:
            raise UsageError(f"{name}: cannot be written: {error.strerror or error}") from None
        written.append(str(name))
    return written
