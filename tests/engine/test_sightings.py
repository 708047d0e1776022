"""Further sightings of datagrams one by one: where they were asked for, and no more of them than asked for."""

from __future__ import annotations

import pytest
from captures.samples import Sample, samples
from conftest import CAPTURES

from vxtool.engine import make_engine
from vxtool.engine.options import EngineOptions
from vxtool.engine.tables import SightingRow, Tables

VXLAN = str(CAPTURES / "vxlan.pcap")


def tables_of(engine: str, paths: list[str], most: int = 1 << 20) -> Tables:
    made = make_engine(EngineOptions(inputs=len(paths), most_datagrams=1 << 20, most_sightings=most), engine)
    data = []
    for path in paths:
        with open(path, "rb") as file:
            data.append(file.read())
    while (index := made.wants()) is not None:
        if data[index]:
            made.feed(index, data[index])
            data[index] = b""
        else:
            made.end(index)
    return made.tables()


def test_of_the_founding_case(engine: str) -> None:
    """A request came in as record 1 and went out as record 2; the reply is records 3 and 4."""
    tables = tables_of(engine, [VXLAN])
    assert list(tables.sightings) == [SightingRow(0, 2, 0, 1), SightingRow(0, 4, 0, 3)]
    assert list(tables.queries.sightings()) == list(tables.sightings)


def test_none_without_being_asked(engine: str) -> None:
    assert list(tables_of(engine, [VXLAN], most=0).sightings) == []


def test_a_limit_is_told(engine: str) -> None:
    tables = tables_of(engine, [VXLAN], most=1)
    assert len(tables.sightings) == 1
    assert tables.counters.unlisted_sightings == 1


@pytest.mark.parametrize("sample", samples(), ids=lambda sample: sample.name)
def test_every_record_is_of_some_datagram(sample: Sample, engine: str) -> None:
    """First ones, further ones and tails together are all records that hold IP."""
    tables = tables_of(engine, sample.paths)
    firsts = {row.sample[1:] for row in tables.datagrams}
    further = {row[:2] for row in tables.sightings}
    counters = tables.counters
    others = counters.non_ip_records + counters.unknown_link_records
    assert not firsts & further
    assert len(firsts | further) + counters.tail_fragments + others == counters.records
    assert all(row[2:] in firsts for row in tables.sightings)
