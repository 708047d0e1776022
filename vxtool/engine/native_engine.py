"""The C engine behind the interface of `vxtool.engine.Engine`.

`vxtool._native.Engine` gives its tables as lists of plain tuples that refer to each other by number. Here they
become `Tables` of values, each made once and shared by all that hold it.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from itertools import starmap
from typing import Any

from vxtool import _native
from vxtool.capture.container import Format
from vxtool.capture.damage import CODES, Damage
from vxtool.engine.options import EngineOptions
from vxtool.engine.tables import (
    OTHER_FLOWS,
    Cell,
    Counters,
    FlowKey,
    FlowRow,
    InputRow,
    InterfaceKey,
    InterfaceRow,
    Latencies,
    PathKey,
    Sample,
    Stage,
    Tables,
    TunnelRow,
)

# Of this process: engines can be merged only where they hash alike, and no file can know how they do.
_SEED = int.from_bytes(os.urandom(8), "little")

# By the number of vx_format in container.h.
_FORMATS: tuple[Format | None, ...] = (None, "pcap", "pcap-ns", "pcapng")
_PIECE = 4096  # rows
_SAMPLES = ("clipped", "cut", "malformed", "orphan")

# As FlowKey._make and the like, without a Python call for each.
_flow_key = partial(tuple.__new__, FlowKey)
_sample = partial(tuple.__new__, Sample)


class NativeEngine:
    """See `vxtool.engine.Engine` for the interface that both engines share."""

    name = "native"

    def __init__(self, options: EngineOptions) -> None:
        self._options = options
        wears = bytearray(1 << 16)
        for port, wear in options.ports.items():
            if 0 <= port < len(wears):
                wears[port] = wear
        self._engine = _native.Engine(
            inputs=options.inputs,
            wears=bytes(wears),
            window=options.window,
            settle=options.settle,
            part=options.part,
            seed=_SEED,
            most_journeys=options.most_journeys,
            most_flows=options.most_flows,
        )
        self._earlier_names: dict[str, str] = {}

    def feed(self, index: int, data: bytes | memoryview) -> None:
        self._engine.feed(index, data)

    def end(self, index: int) -> None:
        self._engine.end(index)

    def split(self) -> None:
        """Let two threads share the work, until all is taken: one calls `wants`, `read`, `read_end` and, whatever
        happens, `read_all`; another calls `take` until there is nothing more to take, or `stop`."""
        self._engine.split()

    def read(self, index: int, data: bytes | memoryview) -> bool:
        """As `feed`, but only reads, and waits where the other thread is far behind. False: that has stopped."""
        return self._engine.read(index, data)

    def read_end(self, index: int) -> bool:
        """As `end`, and otherwise as `read`."""
        return self._engine.read_end(index)

    def read_all(self) -> None:
        """Nothing more will be read."""
        self._engine.read_all()

    def take(self) -> bool:
        """Count some of what was read, after at most 0.1 s of waiting for any. False: all is taken."""
        return self._engine.take()

    def stop(self) -> None:
        """Nothing more will be taken."""
        self._engine.stop()

    def wants(self) -> int | None:
        return self._engine.wants()

    @property
    def records(self) -> int:
        return self._engine.records

    def merge(self, other: NativeEngine) -> None:
        names = self._names()
        for address, name in other._earlier_names.items():
            names.setdefault(address, name)
        self._engine.merge(other._engine)
        self._earlier_names = names

    def tables(self) -> Tables:
        if self._options.part:
            whole = NativeEngine(replace(self._options, part=False))
            whole.merge(self)
            return whole.tables()
        self._engine.finish()
        inputs = list(starmap(_input_row, self._engine.inputs()))
        # Millions of values that refer to each other in no circle: a collector looking for one takes two thirds of
        # the time.
        collecting = gc.isenabled()
        gc.disable()
        try:
            return _tables(self._engine, inputs, self._names())
        finally:
            if collecting:
                gc.enable()

    def _names(self) -> dict[str, str]:
        names = dict(self._earlier_names)
        given = self._engine.names()
        if given:
            from ipaddress import ip_address  # here, because few captures hold names

            for address, name in given:
                names.setdefault(str(ip_address(address)), name.decode(errors="replace"))
        return names


def _input_row(
    file_format: int,
    records: int,
    size: int,
    interfaces: list[tuple[int, int, int | None]],
    damage: tuple[int, int, int, int, int] | None,
) -> InputRow:
    dropped = [count for _, _, count in interfaces if count is not None]
    return InputRow(
        format=_FORMATS[file_format],
        link_types=tuple(sorted({link_type for link_type, _, _ in interfaces})),
        records=records,
        bytes=size,
        snaplen=max((snaplen for _, snaplen, _ in interfaces), default=None),
        dropped=sum(dropped) if dropped else None,
        damage=Damage(CODES[damage[0]], *damage[1:]) if damage is not None else None,
    )


def _rows(engine: _native.Engine, name: str) -> Iterator[Any]:
    """All rows of a table that grows with the flows. A piece at a time: as a whole it would take as much memory as
    what is made of it."""
    start = 0
    while rows := engine.rows(name, start, _PIECE):
        yield from rows
        start += _PIECE


def _flow_rows(rows: Iterable[Any]) -> Iterator[FlowRow]:
    outer: dict[bytes, bytes] = {}  # few addresses stand in many rows
    for first, source, destination, *rest in rows:
        yield FlowRow(
            _sample(first), outer.setdefault(source, source), outer.setdefault(destination, destination), *rest
        )


def _cells(
    raw: Iterable[Any], flows: list[FlowKey], paths: list[PathKey], rows: list[FlowRow]
) -> Iterator[tuple[tuple[FlowKey, PathKey], Cell]]:
    for flow, path, *counts, last_time, evidence in raw:
        samples = _samples(evidence)
        # Nearly always its first sample is the flow's: one of each will do. Its first time is that of the sample.
        if flow >= 0 and samples[0] == rows[flow].first:
            samples[0] = rows[flow].first
        first_time = samples[0].time
        yield (flows[flow], paths[path]), Cell(*(*counts, first_time, last_time, samples))


def _tables(engine: _native.Engine, inputs: list[InputRow], names: dict[str, str]) -> Tables:
    raw = engine.tables()
    first_time, last_time, step = raw["times"]
    interface_keys = [InterfaceKey(*row[:3]) for row in raw["interfaces"]]
    paths = _paths(raw["paths"], raw["places"], interface_keys)
    flows: list[FlowKey] = list(map(_flow_key, _rows(engine, "flow_keys")))
    by_number = [*flows, OTHER_FLOWS]  # whose number is -1
    rows = list(_flow_rows(_rows(engine, "flows")))
    return Tables(
        inputs=inputs,
        names=names,
        interfaces={
            key: InterfaceRow(name.decode(errors="replace") if name else None, *rest)
            for key, (_, _, _, name, *rest) in zip(interface_keys, raw["interfaces"], strict=True)
        },
        counters=Counters(*raw["counters"]),
        first_time=first_time,
        last_time=last_time,
        flows=dict(zip(flows, rows, strict=True)),
        cells=dict(_cells(_rows(engine, "cells"), by_number, paths, rows)),
        latencies={
            path: Latencies(*(*row[:4], dict(row[4]), row[5]))
            for path, row in zip(paths, raw["latencies"], strict=True)
            if row is not None
        },
        tunnels={row[:4]: TunnelRow(row[4], row[5], set(row[6])) for row in raw["tunnels"] if row is not None},
        overheads=raw["overheads"],
        sizes={(key >> 32 == 1, key & 0xFFFFFFFF): count for key, count in raw["sizes"].items()},
        large={(by_number[flow], *lengths): count for flow, *lengths, count in _rows(engine, "large")},
        mss=raw["mss"],
        icmp_errors={row[:5]: _samples(row[6]) for row in raw["icmp"]},
        icmp_error_counts={row[:5]: row[5] for row in raw["icmp"]},
        timeline_step=step,
        timeline={
            (number, paths[path], destination): (datagrams, octets)
            for number, path, destination, datagrams, octets in raw["timeline"]
        },
        samples={name: _samples(samples) for name, samples in zip(_SAMPLES, raw["samples"], strict=True)},
    )


def _samples(rows: Iterable[tuple[int, int, int]]) -> list[Sample]:
    return list(map(_sample, rows))


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
