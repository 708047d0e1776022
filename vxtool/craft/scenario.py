"""Scenarios: readable files that say what goes wrong in a network, and what a report must say of it.

    title = "a ping between two pods, as the router between their nodes sees it"
    world = "lab"                     # or tables: [[node]], [[pod]], [[interface]], [[route]]
    findings = []                     # ids of what vxtool analyze finds, all of them

    [capture]
    format = "sll2"                   # ethernet, sll2, sll, pcapng
    start = "2025-08-09T17:27:50Z"

    [[traffic]]
    kind = "ping"                     # ping, tcp, udp: traffic.Traffic has all keys
    from = "curl-pod"
    to = "webpod"

    [[packets]]                       # or plain ones, by the names of the options
    from = "172.20.0.107"
    to = "172.20.2.4"
    udp = "1:2"
    through = "eth1,eth2"

Nothing in such a file names another file or runs anything: it may come from a stranger.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, NamedTuple

from vxtool.craft import values
from vxtool.craft.capture import FORMATS, Format
from vxtool.craft.exchange import items_of
from vxtool.craft.options import plan_of_table
from vxtool.craft.packets import START
from vxtool.craft.plan import Item, Plan
from vxtool.craft.traffic import Traffic, read_traffic
from vxtool.craft.values import located
from vxtool.craft.world import World, read_table, read_world
from vxtool.errors import UsageError
from vxtool.spelling import nearest_named
from vxtool.toml_text import parse_toml, read_toml

_EXPECTED = "a scenario, which is a page of text in TOML"
_WORLD = ("node", "pod", "interface", "route")
_KEYS = ("title", "about", "world", "findings", "capture", "traffic", "packets", *_WORLD)


class Scenario(NamedTuple):
    """A scenario's file, read."""

    name: str
    title: str
    about: str
    findings: tuple[str, ...] | None
    world: World
    traffic: tuple[Traffic, ...]
    packets: tuple[Mapping[str, object], ...]
    format: Format
    unit: Literal["ns", "us"]
    start_ns: int
    snaplen: int


def shipped() -> list[str]:
    """The names of the scenarios that come with vxtool."""
    folder = files("vxtool.craft") / "scenarios"
    return sorted(each.name.removesuffix(".toml") for each in folder.iterdir() if each.name.endswith(".toml"))


def titles() -> Iterator[tuple[str, str]]:
    for name in shipped():
        yield name, load_scenario(name).title


def load_scenario(name: str) -> Scenario:
    """A scenario that comes with vxtool, by its name, or a user's own, by its path. Raises UsageError."""
    if name.endswith(".toml") or "/" in name:
        values_of_file, _ = read_toml(name, _EXPECTED, f"expected {_EXPECTED}")
        return read_scenario(values_of_file, Path(name).stem, name)
    known = shipped()
    if name not in known:
        raise UsageError(f"there is no scenario {name!r}; {nearest_named(name, known)}; --list names all")
    data = (files("vxtool.craft") / "scenarios" / f"{name}.toml").read_bytes()
    return read_scenario(parse_toml(name, data, _EXPECTED)[0], name, f"scenario {name}")


def read_scenario(given: Mapping[str, Any], name: str, where: str) -> Scenario:
    """`where` names the file in messages. Raises UsageError."""
    for key in given:
        if key not in _KEYS:
            raise UsageError(f"{where}: there is no key {key!r}; {nearest_named(key, _KEYS)}")
    capture = read_table(given.get("capture", {}), _CAPTURE, f"{where}: capture")
    findings = given.get("findings")
    if findings is not None and not (
        isinstance(findings, list) and all(isinstance(each, str) for each in findings)
    ):
        raise UsageError(f"{where}: findings are a list of ids, as in [\"forwarding.dropped\"]")
    traffic = _tables(given, "traffic", where)
    packets = _tables(given, "packets", where)
    if not traffic and not packets:
        raise UsageError(f"{where}: there is no traffic; write [[traffic]] or [[packets]]")
    return Scenario(
        name=name,
        title=_line(given.get("title", name), f"{where}: title"),
        about=str(given.get("about", "")),
        findings=None if findings is None else tuple(findings),
        world=_world(given, where),
        traffic=tuple(read_traffic(row, f"{where}: traffic {n}") for n, row in enumerate(traffic, 1)),
        packets=tuple(packets),
        format=capture.get("format", "sll2"),
        unit=capture.get("unit", "ns"),
        start_ns=capture.get("start", START),
        snaplen=capture.get("snaplen", 0),
    )


def plan_scenario(scenario: Scenario, seed: int = 0, repeat: int | None = None) -> Plan:
    """What goes into the scenario's capture. `repeat` is how often each conversation is held, instead of its own.

    Raises UsageError where the scenario makes no sense.
    """
    items: list[Item] = []
    certain = True
    for number, traffic in enumerate(scenario.traffic):
        with located(f"{scenario.name}: traffic {number + 1}"):
            asked = traffic if repeat is None else replace(traffic, repeat=repeat)
            items += items_of(asked, scenario.world, scenario.start_ns, seed, number)
    for number, table in enumerate(scenario.packets, 1):
        where = f"{scenario.name}: packets {number}"
        made, sure = plan_of_table(table, scenario.start_ns, scenario.world, where)
        items += made
        certain &= sure
    beside = scenario.world.files() if scenario.world.nodes or scenario.world.pods else {}
    return Plan(
        items,
        format=scenario.format,
        unit=scenario.unit,
        snaplen=scenario.snaplen,
        seed=seed,
        interfaces=tuple(scenario.world.interfaces.values()),
        routes=scenario.world.ways(),
        findings=None if repeat is not None else scenario.findings,
        beside=beside,
        certain=certain,
    )


def _tables(given: Mapping[str, Any], key: str, where: str) -> list[dict[str, object]]:
    rows = given.get(key, [])
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise UsageError(f"{where}: {key} is no list of tables; write [[{key}]]")
    return rows


def _world(given: Mapping[str, Any], where: str) -> World:
    own = {key: given[key] for key in _WORLD if key in given}
    name = given.get("world")
    if name is None:
        return read_world(own, where)
    if own:
        raise UsageError(f"{where}: world and {next(iter(own))} cannot be both; leave one out")
    known = sorted(
        each.name.removesuffix(".toml")
        for each in (files("vxtool.craft") / "worlds").iterdir()
        if each.name.endswith(".toml")
    )
    if name not in known:
        raise UsageError(f"{where}: there is no world {name!r}; {nearest_named(str(name), known)}")
    data = (files("vxtool.craft") / "worlds" / f"{name}.toml").read_bytes()
    return read_world(parse_toml(f"world {name}", data, _EXPECTED)[0], f"world {name}")


def _line(value: object, where: str) -> str:
    if not isinstance(value, str) or not value.isprintable():
        raise UsageError(f"{where}: {value!r} is no line of text")
    return value


def _format(value: object) -> Format:
    for known in FORMATS:
        if value == known:
            return known
    raise UsageError(f"{value!r} is none of {', '.join(FORMATS)}")


def _unit(value: object) -> str:
    if value not in ("ns", "us"):
        raise UsageError(f"{value!r} is neither ns nor us")
    return str(value)


_CAPTURE: Mapping[str, Callable[[object], Any]] = {
    "format": _format,
    "unit": _unit,
    "start": values.time_ns,
    "snaplen": lambda value: values.number(value, 0, 262_144),
}
