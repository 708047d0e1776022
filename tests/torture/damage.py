"""Sections cuts, bytes and flips: the sample captures, damaged in every place."""

from __future__ import annotations

import gzip
import random
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from torture.jobs import Case, Job
from torture.layout import layout
from torture.ways import (
    as_file,
    process,
    records_of,
    samples,
    through_both,
    through_engine,
    through_list,
    through_report,
    through_source,
    word_of_json,
)

EVERY_CUT = 4096  # a sample is cut at each of its first bytes
LATER_CUTS = 1000
CHANGED = 512  # bytes of which each is changed into all 255 others
HEAD = 4096  # of a sample, so that a case costs little
FLIPPED = 2500  # damaged copies of each sample
MOST_FLIPS = 64

# Of so many cases one goes through both engines, a whole report, or a process.
_BOTH, _REPORT, _PROCESS = 40, 250, 10_000


def jobs() -> Iterator[Job]:
    for path in samples():
        yield Job("cuts", path.name, cuts, (path,))
        yield Job("cuts", f"{path.name}.gz", compressed_cuts, (path,))
    for path in samples():
        yield Job("bytes", path.name, changed_bytes, (path,))
    for path in samples():
        yield Job("flips", path.name, flips, (path,))


def _in_process(data: bytes, least: int, most: int | None, name: str = "case.pcap") -> tuple[str, object]:
    done = process(["analyze", as_file(data, name), "--format", "json"])
    return word_of_json(done, least, most), done


def _in_report(data: bytes, least: int, most: int | None, name: str = "case.pcap") -> str:
    return through_report(as_file(data, name), least, most)


def _in_list(data: bytes, least: int, most: int | None) -> str:
    return through_list(as_file(data), least, most)


def _ways(
    chance: random.Random, label: str, data: bytes, least: int, most: int | None, many: tuple[int, int, int]
) -> Iterator[Case]:
    """The dearer ways, for a seeded share of the cases: one of so many each."""
    both, report, one = many
    if chance.random() < 1 / both:
        yield Case(label, "both engines, tables equal", partial(through_both, data, least, most), 2 * len(data))
    if chance.random() < 1 / report:
        run = partial(_in_report, data, least, most)
        yield Case(label, "whole reports and flows, all formats", run, 2 * len(data))
    if chance.random() < 1 / report:
        run = partial(_in_list, data, least, most)
        yield Case(label, "packet lists of both engines, equal", run, 4 * len(data))
    if chance.random() < 1 / one:
        yield Case(label, "processes of their own", partial(_in_process, data, least, most), len(data))


def _places(size: int, chance: random.Random) -> list[int]:
    early = range(min(EVERY_CUT, size))
    later = (
        sorted(chance.sample(range(EVERY_CUT, size), min(LATER_CUTS, size - EVERY_CUT))) if size > EVERY_CUT else []
    )
    return [*early, *later]


def cuts(path: Path) -> Iterator[Case]:
    """A capture that ends at this byte: exactly the records that end before it are there."""
    chance = random.Random(f"cuts {path.name}")
    whole = path.read_bytes()
    where = layout(whole)
    for place in _places(len(whole), chance):
        data = whole[:place]
        least = where.before(place)
        label = f"{path.name} cut at byte {place}"
        pieces = random.Random(place) if chance.random() < 0.1 else None
        run = partial(through_engine, data, "native", least, least, pieces)
        yield Case(label, "the C engine", run, len(data))
        yield from _ways(chance, label, data, least, least, (25, 25, 1000))


def compressed_cuts(path: Path) -> Iterator[Case]:
    """The same of a gzip stream: what zlib makes of so much of it is read."""
    chance = random.Random(f"compressed cuts {path.name}")
    whole = path.read_bytes()
    where = layout(whole)
    packed = gzip.compress(whole, mtime=0)
    for place in _places(len(packed), chance):
        data = packed[:place]
        there = len(zlib.decompressobj(31).decompress(data))
        least = where.before(there)
        label = f"{path.name}.gz cut at byte {place}"
        yield Case(label, "gzip, the C engine", partial(through_source, data, least, least), there)
        if chance.random() < 1 / 100:
            run = partial(_in_report, data, least, least, "case.pcap.gz")
            yield Case(label, "gzip, whole reports and flows, all formats", run, 2 * there)
        if chance.random() < 1 / 1000:
            run = partial(_in_process, data, least, least, "case.pcap.gz")
            yield Case(label, "gzip, processes of their own", run, there)


def changed_bytes(path: Path) -> Iterator[Case]:
    """One byte of the first ones changed, into every other value."""
    chance = random.Random(f"bytes {path.name}")
    whole = path.read_bytes()[:HEAD]
    where = layout(whole)
    # A changed length can make records of what was inside one, and one more of a cut tail.
    most = len(whole) // 16
    for place in range(min(CHANGED, len(whole))):
        least = where.promised([place])
        data = bytearray(whole)
        for value in range(256):
            if value == whole[place]:
                continue
            data[place] = value
            changed = bytes(data)
            label = f"{path.name} with {value:#04x} at byte {place}"
            run = partial(_counted, changed, least, most, where.records)
            yield Case(label, "the C engine", run, len(changed))
            yield from _ways(chance, label, changed, least, most, (_BOTH, _REPORT, _PROCESS))


def _counted(data: bytes, least: int, most: int, all_of_them: int) -> str:
    records = records_of(data)
    if not least <= records <= most:
        return through_engine(data, "native", least, most)  # tells what is wrong
    if records >= all_of_them:
        return "every record read"
    return "read but for the damage" if records else "nothing to be read"


def flips(path: Path) -> Iterator[Case]:
    """1 to 64 bits of a whole sample turned over, anywhere."""
    chance = random.Random(f"flips {path.name}")
    whole = path.read_bytes()
    where = layout(whole)
    most = len(whole) // 16
    for number in range(FLIPPED):
        data = bytearray(whole)
        places = []
        for _ in range(chance.choice([1, 2, 4, 8, 16, 32, MOST_FLIPS])):
            place = chance.randrange(len(data))
            data[place] ^= 1 << chance.randrange(8)
            places.append(place)
        changed = bytes(data)
        least = where.promised([place for place in places if changed[place] != whole[place]] or [len(whole)])
        label = f"{path.name} with bits flipped, number {number}"
        run = partial(_counted, changed, least, most, where.records)
        yield Case(label, "the C engine", run, len(changed))
        yield from _ways(chance, label, changed, least, most, (100, 100, 1500))
