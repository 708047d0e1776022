"""What the C engine counted, as values.

`vxtool._native.Engine` gives its tables as lists of plain tuples that refer to each other by number. Here they
become `Tables` of values, each made once and shared by all that hold it. Those that grow with the flows are left in
the engine, which answers questions about them, until somebody wants to see them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache, cached_property
from itertools import starmap
from typing import TYPE_CHECKING, Any, TypeVar

from vxtool import _native
from vxtool.capture.damage import CODES, Damage
from vxtool.engine.native_queries import NativeQueries
from vxtool.engine.tables import (
    SAMPLE_KINDS,
    Counters,
    FirstFragments,
    FlowKey,
    InputRow,
    InterfaceKey,
    InterfaceRow,
    Latencies,
    PathKey,
    Sample,
    Stage,
    Tables,
    TooBig,
    TooBigRow,
    most_ends,
)

if TYPE_CHECKING:
    from vxtool.capture.container import Format
    from vxtool.engine.native_tables import LargeTables

# By the number of vx_format in container.h.
_FORMATS: tuple[Format | None, ...] = (None, "pcap", "pcap-ns", "pcapng")

_Damage = tuple[int, int, int, int, int]
_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


def _damage(found: _Damage | None) -> Damage | None:
    return Damage(CODES[found[0]], *found[1:]) if found is not None else None


def _input_row(
    file_format: int,
    records: int,
    size: int,
    interfaces: list[tuple[int, int, int | None]],
    damage: _Damage | None,
    skipped: int,
    first_skipped: _Damage | None,
) -> InputRow:
    dropped = [count for _, _, count in interfaces if count is not None]
    return InputRow(
        format=_FORMATS[file_format],
        link_types=tuple(sorted({link_type for link_type, _, _ in interfaces})),
        records=records,
        bytes=size,
        snaplen=max((snaplen for _, snaplen, _ in interfaces), default=None),
        dropped=sum(dropped) if dropped else None,
        damage=_damage(damage),
        skipped=skipped,
        first_skipped=_damage(first_skipped),
    )


class _Later(Mapping[_Key, _Value]):
    """One of the large tables, made when it is first looked into."""

    def __init__(self, large: Callable[[], LargeTables], name: str) -> None:
        self._large = large
        self._name = name

    @cached_property
    def _table(self) -> dict[_Key, _Value]:
        table: dict[_Key, _Value] = getattr(self._large(), self._name)
        return table

    def __getitem__(self, key: _Key) -> _Value:
        return self._table[key]

    def __iter__(self) -> Iterator[_Key]:
        return iter(self._table)

    def __len__(self) -> int:
        return len(self._table)


class _LaterRows(Sequence[Any]):
    """A list of datagrams or sightings, made when it is first looked into."""

    def __init__(self, large: Callable[[], LargeTables], name: str) -> None:
        self._large = large
        self._name = name

    def __getitem__(self, at: Any) -> Any:
        return getattr(self._large(), self._name)[at]

    def __len__(self) -> int:
        return len(getattr(self._large(), self._name))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]


def _latencies(
    count: int,
    total: int,
    carried: int,
    smallest: int,
    largest: int,
    buckets: list[tuple[int, int]],
    exact: list[int] | None,
) -> Latencies:
    return Latencies(count, carried << 64 | total, smallest, largest, dict(buckets), exact)


def tables_of(engine: _native.Engine, names: dict[str, str], most_flows: int, ahead: bool = False) -> Tables:
    """The tables of an engine that is finished, and keeps so many flows; `names` by address. See NativeQueries for
    `ahead`."""
    raw = engine.tables()
    first_time, last_time, step = raw["times"]
    interface_keys = [InterfaceKey(*row[:3]) for row in raw["interfaces"]]
    paths = _paths(raw["paths"], raw["places"], interface_keys)

    @cache
    def large() -> LargeTables:
        from vxtool.engine.native_tables import LargeTables  # here, because a report does not need it

        return LargeTables(engine, paths)

    tables = Tables(
        inputs=list(starmap(_input_row, engine.inputs())),
        names=names,
        interfaces={
            key: InterfaceRow(name.decode(errors="replace") if name else None, *rest)
            for key, (_, _, _, name, *rest) in zip(interface_keys, raw["interfaces"], strict=True)
        },
        counters=Counters(*raw["counters"]),
        first_time=first_time,
        last_time=last_time,
        flows=_Later(large, "flows"),
        cells=_Later(large, "cells"),
        latencies={
            path: _latencies(*row) for path, row in zip(paths, raw["latencies"], strict=True) if row is not None
        },
        tunnels=_Later(large, "tunnels"),
        overheads=raw["overheads"],
        sizes={(key >> 32 == 1, key & 0xFFFFFFFF): count for key, count in raw["sizes"].items()},
        large=_Later(large, "large"),
        mss=raw["mss"],
        icmp_errors={row[:5]: _samples(row[6]) for row in raw["icmp"]},
        icmp_error_counts={row[:5]: row[5] for row in raw["icmp"]},
        timeline_step=step,
        timeline={
            (number, paths[path], destination): (datagrams, octets)
            for number, path, destination, datagrams, octets in raw["timeline"]
        },
        wrong_checksums=_wrong_checksums(raw["wrong"]),
        fragments=_fragments(raw["fragments"], raw["places"], interface_keys),
        too_big=dict(starmap(_too_big, raw["too_big"])),
        samples={name: _samples(samples) for name, samples in zip(SAMPLE_KINDS, raw["samples"], strict=True)},
        datagrams=_LaterRows(large, "datagrams"),
        sightings=_LaterRows(large, "sightings"),
        folded_mss={row[:3]: row[3] for row in raw["folded_mss"]},
        most_ends=most_ends(most_flows),
    )
    tables.queries = NativeQueries(engine, paths, ahead)
    return tables


def _wrong_checksums(rows: Iterable[tuple[bytes, bytes, int]]) -> dict[tuple[bytes, bytes], int]:
    """Over all ports between the same ends."""
    counts: dict[tuple[bytes, bytes], int] = {}
    for source, destination, records in rows:
        counts[source, destination] = counts.get((source, destination), 0) + records
    return counts


def _fragments(
    rows: Iterable[tuple[int, int, int]],
    places: list[tuple[int, int, int, bool, bytes]],
    interfaces: list[InterfaceKey],
) -> dict[FirstFragments, int]:
    """Whatever MACs they had."""
    counts: dict[FirstFragments, int] = {}
    for place, length, records in rows:
        interface, direction, wear = places[place][:3]
        key = FirstFragments(interfaces[interface], direction, wear, length)
        counts[key] = counts.get(key, 0) + records
    return counts


def _too_big(*row: Any) -> tuple[TooBig, TooBigRow]:
    key, counts = (*row[:7], FlowKey(*row[7])), (*row[8:13], _samples(row[13]))
    return TooBig._make(key), TooBigRow(*counts)


def _samples(rows: Iterable[tuple[int, int, int]]) -> list[Sample]:
    return list(starmap(Sample, rows))


def _paths(
    rows: Iterable[tuple[int, list[int]]],
    places: list[tuple[int, int, int, bool, bytes]],
    interfaces: list[InterfaceKey],
) -> list[PathKey]:
    stages: dict[int, Stage] = {}
    for _, codes in rows:
        for code in codes:
            if code not in stages:
                interface, direction, wear, loopback, macs = places[code >> 2]
                stages[code] = Stage(interfaces[interface], direction, wear, code & 3, loopback, macs)
    return [PathKey(tuple(map(stages.__getitem__, codes)), flags) for flags, codes in rows]
