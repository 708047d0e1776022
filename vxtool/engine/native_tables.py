"""The C engine's large tables as dicts, for whoever wants to look into them; analysis asks (`native_queries.py`).

`vxtool._native.Engine` gives their rows as plain tuples that refer to each other by number. Here they become
values, each made once and shared by all that hold it.
"""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any

from vxtool import _native
from vxtool.engine.native_queries import flow_row
from vxtool.engine.tables import (
    OTHER_FLOWS,
    Cell,
    DatagramRow,
    FlowKey,
    FlowRow,
    PathKey,
    Sample,
    SightingRow,
    TunnelRow,
)

_PIECE = 4096  # rows

# As FlowKey._make and the like, without a Python call for each.
_flow_key = partial(tuple.__new__, FlowKey)
_sample = partial(tuple.__new__, Sample)


class LargeTables:
    """`Tables.flows`, `.cells`, `.large`, `.tunnels` and `.datagrams` of a finished engine."""

    def __init__(self, engine: _native.Engine, paths: Sequence[PathKey]) -> None:
        # Millions of values that refer to each other in no circle: a collector looking for one takes two thirds of
        # the time.
        collecting = gc.isenabled()
        gc.disable()
        try:
            flows: list[FlowKey] = list(map(_flow_key, _rows(engine, "flow_keys")))
            rows = list(_flow_rows(_rows(engine, "flows")))
            by_number = [*flows, OTHER_FLOWS]  # whose number is -1
            self.flows = dict(zip(flows, rows, strict=True))
            self.cells = dict(_cells(_rows(engine, "cells"), by_number, paths, rows))
            self.large = {(by_number[flow], *lengths): count for flow, *lengths, count in _rows(engine, "large")}
            self.tunnels = {
                row[:4]: TunnelRow(_sample(row[7]), row[4], row[5], set(row[6]))
                for row in _rows(engine, "tunnels")
                if row is not None
            }
            keys = list(self.cells)  # in the order of their numbers
            self.datagrams = [
                DatagramRow(_sample(sample), *keys[cell], *rest)
                for sample, cell, *rest in _rows(engine, "datagrams")
            ]
            self.sightings = list(map(SightingRow._make, _rows(engine, "sightings")))
        finally:
            if collecting:
                gc.enable()


def _rows(engine: _native.Engine, name: str) -> Iterator[Any]:
    """All rows of a table. A piece at a time: as a whole it would take as much memory as what is made of it."""
    start = 0
    while rows := engine.rows(name, start, _PIECE):
        yield from rows
        start += _PIECE


def _flow_rows(rows: Iterable[Any]) -> Iterator[FlowRow]:
    outer: dict[bytes, bytes] = {}  # few addresses stand in many rows
    for row in map(flow_row, rows):
        row.outer_source = outer.setdefault(row.outer_source, row.outer_source)
        row.outer_destination = outer.setdefault(row.outer_destination, row.outer_destination)
        yield row


def _cells(
    raw: Iterable[Any], flows: Sequence[FlowKey], paths: Sequence[PathKey], rows: Sequence[FlowRow]
) -> Iterator[tuple[tuple[FlowKey, PathKey], Cell]]:
    for flow, path, *counts, last_time, evidence in raw:
        samples = list(map(_sample, evidence))
        # Nearly always its first sample is the flow's: one of each will do. Its first time is that of the sample.
        if flow >= 0 and samples[0] == rows[flow].first:
            samples[0] = rows[flow].first
        first_time = samples[0].time
        yield (flows[flow], paths[path]), Cell(*(*counts, first_time, last_time, samples))
