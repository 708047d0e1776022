"""What holds of the engine for every capture: cutting, merging, counting, and that both engines agree.

Expected journeys come from `_by_the_book`, which joins the generator's own knowledge of each record by the rules
of the design, looking at every earlier journey for each record. VXTOOL_EXAMPLES=5000 looks at more captures, and
at other ones each time.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from conftest import require_native
from engine.generate import EN10MB, FIRST, IN, LAST, SLL2, Made, Seen, Spec, build, captures, splits, super_frames
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vxtool.engine import Engine, make_engine
from vxtool.engine.frame import CUT, MALFORMED, read_frame
from vxtool.engine.options import EngineOptions
from vxtool.engine.tables import (
    FIRST_ONLY,
    FRAGMENTS,
    GENEVE,
    LOOPED,
    OUT,
    PARTIAL,
    PLAIN,
    TRANSLATED,
    UNKNOWN,
    WHOLE,
    Stage,
    Tables,
)

_ASKED = os.environ.get("VXTOOL_EXAMPLES")
examples = settings(
    max_examples=int(_ASKED or 100),
    derandomize=_ASKED is None,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@pytest.fixture(scope="module", params=["pure", "native"])
def name(request: pytest.FixtureRequest) -> str:
    if request.param == "native":
        require_native()
    return str(request.param)


def _run(
    name: str, options: EngineOptions, files: Sequence[bytes], choose: Callable[[int], int] | None = None
) -> Engine:
    """An engine that has taken these files, in pieces of the sizes that `choose` gives, else in one."""
    engine = make_engine(options, name)
    left = list(files)
    while (index := engine.wants()) is not None:
        if not left[index]:
            engine.end(index)
            continue
        size = choose(len(left[index])) if choose else len(left[index])
        engine.feed(index, left[index][:size])
        left[index] = left[index][size:]
    for index, rest in enumerate(left):  # behind damage
        assert not rest or engine.wants() is None, index
    return engine


def _tables(name: str, made: Made) -> Tables:
    return _run(name, made.options, made.files()).tables()


def _without_sizes(tables: Tables) -> Tables:
    """Parts have a file header each, so their files are larger together."""
    return tables._replace(inputs=[row._replace(bytes=0) for row in tables.inputs])


def _assert_equal(left: Tables, right: Tables) -> None:
    for name in Tables._fields:  # one by one: a failure then names the table
        assert getattr(left, name) == getattr(right, name), name


# Cutting.


@examples
@given(made=captures(), seed=st.integers(0, 1 << 32))
def test_tables_do_not_depend_on_how_bytes_are_cut(name: str, made: Made, seed: int) -> None:
    chance = random.Random(seed)
    pieces = _run(
        name, made.options, made.files(), lambda left: chance.randint(1, min(left, chance.choice([3, 50, 5000])))
    )
    _assert_equal(_tables(name, made), pieces.tables())


@examples
@given(made=captures(most=12), data=st.data())
def test_bytes_may_come_before_they_are_wanted(name: str, made: Made, data: st.DataObject) -> None:
    files = made.files()
    engine = make_engine(made.options, name)
    for index in data.draw(st.permutations(range(made.inputs))):
        half = len(files[index]) // 2
        engine.feed(index, files[index][:half])
        engine.feed(index, files[index][half:])
        engine.end(index)
    assert engine.wants() is None
    assert engine.records == len(made.entries)
    _assert_equal(_tables(name, made), engine.tables())


# Merging.


def _parts(name: str, made: Made, edges: Sequence[tuple[int, int]]) -> list[Engine]:
    return [
        _run(name, made.options._replace(part=number > 0), made.files(start, stop))
        for number, (start, stop) in enumerate(edges)
    ]


def _assert_merges(name: str, made: Made, edges: Sequence[tuple[int, int]], choose: Callable[[int], int]) -> None:
    """The parts give what one pass gives: from the left, from the right, and as `choose` pairs them."""
    whole = _without_sizes(_tables(name, made))
    groupings: list[Callable[[int], int]] = [lambda last: 0, lambda last: last, choose]
    for grouping in groupings:
        parts = _parts(name, made, edges)
        while len(parts) > 1:
            at = grouping(len(parts) - 2)
            parts[at].merge(parts.pop(at + 1))
        _assert_equal(whole, _without_sizes(parts[0].tables()))


@examples
@given(made=captures(most=40), data=st.data())
def test_parts_merge_in_any_grouping_to_one_pass(name: str, made: Made, data: st.DataObject) -> None:
    edges = data.draw(splits(len(made.entries)))
    _assert_merges(name, made, edges, lambda last: data.draw(st.integers(0, last)))


@examples
@given(made=super_frames(most=40), data=st.data())
def test_parts_of_super_frames_merge_in_any_grouping_to_one_pass(
    name: str, made: Made, data: st.DataObject
) -> None:
    edges = data.draw(splits(len(made.entries)))
    _assert_merges(name, made, edges, lambda last: data.draw(st.integers(0, last)))


_HARD_SPLITS = {
    "a settled journey that outlives the window is older than what opened after it": (
        [0, 4],
        [
            Spec(0),
            Spec(3000),
            Spec(999, interface=2, direction=OUT, wear=GENEVE),
            Spec(350, interface=2, direction=OUT, wear=GENEVE),
            Spec(0, interface=2),
        ],
    ),
    "a first fragment that is held back waits as long as in one pass": (
        [0],
        [
            Spec(0),
            Spec(1400, datagram=3),
            Spec(350, 3, OUT, piece=LAST),
            Spec(700, 3, OUT, datagram=3, piece=FIRST),
            Spec(550, 3, OUT, piece=LAST),
        ],
    ),
    "a tail may come too late for a first fragment that is held back": (
        [0],
        [Spec(0), Spec(1100, wear=PLAIN), Spec(600, outer_id=2, piece=FIRST), Spec(650, outer_id=2, piece=LAST)],
    ),
    "sequence numbers wrap in datagrams that close in another order": (
        [0],
        [
            Spec(0, datagram=1, special=4),
            Spec(700, special=4),
            Spec(250, direction=OUT, datagram=1, special=4),
            Spec(200),
            Spec(1101),
        ],
    ),
}


@pytest.mark.parametrize("case", _HARD_SPLITS)
@pytest.mark.parametrize("settle", [100, 700])
def test_hard_splits_merge_to_one_pass(name: str, case: str, settle: int) -> None:
    cuts, records = _HARD_SPLITS[case]
    for link_type in (SLL2, EN10MB):
        made = build(records, link_type, EngineOptions(window=1000, settle=settle))
        _assert_merges(name, made, list(pairwise([0, *cuts, len(records)])), lambda last: last // 2)


def test_equal_packets_of_two_networks_are_held_back_each_with_its_own(name: str) -> None:
    """Once a fragment in one network joins what was seen in the other, as far as the capture tells them apart."""
    v6_whole, v6_first = 19, 11  # see generate._special: VNI 256 and 300
    records = [
        Spec(0),
        Spec(1100, special=v6_first),
        Spec(100, special=v6_whole),
        Spec(100, datagram=1, special=v6_whole),
        Spec(100, datagram=1, special=v6_first),
    ]
    made = build(records, SLL2, EngineOptions(window=1000, settle=100), snaplens=[166])
    _assert_merges(name, made, [(0, 0), (0, len(records))], lambda last: 0)


def test_a_part_without_records_of_an_input_keeps_that_inputs_snaplen(name: str) -> None:
    """Keys hold what all inputs captured; a part's may not go by its own records alone."""
    records = [Spec(0, 1), Spec(1_000, 2, OUT, hop=1), Spec(1_000, 2, datagram=1), Spec(1_000, 1, OUT, 1, hop=1)]
    made = build(records, EN10MB, snaplens=[166, 262144, 262144])
    _assert_merges(name, made, [(0, 1), (1, 3), (3, 4)], lambda last: 0)


# See generate._special: segments in the tunnel and outside, and what acknowledges them.
_ANSWERED = st.fixed_dictionaries(
    {
        "gap": st.sampled_from([0, 100, 300, 700, 1001]),
        "direction": st.sampled_from([IN, IN, OUT]),
        "datagram": st.integers(0, 3),
        "vtep": st.integers(0, 1),
        "special": st.sampled_from([4, 5, 35, 36]),
        "outer_id": st.integers(1, 3),
    }
).map(lambda fields: Spec(**fields))


@examples
@given(specs=st.lists(_ANSWERED, min_size=4, max_size=16), data=st.data())
def test_parts_agree_on_what_was_acknowledged(name: str, specs: list[Spec], data: st.DataObject) -> None:
    made = build(specs, SLL2, EngineOptions(window=1000, settle=100))
    _assert_merges(name, made, data.draw(splits(len(specs))), lambda last: last // 2)
    if name == "native":
        _assert_equal(_tables("pure", made), _tables("native", made))


@examples
@given(made=captures(most=40), data=st.data())
def test_a_part_alone_gives_the_tables_of_its_own_capture(name: str, made: Made, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(made.entries)))
    files = made.files(start)
    part = _run(name, made.options._replace(part=True), files)
    _assert_equal(_run(name, made.options, files).tables(), part.tables())


# Counting.


@examples
@given(made=captures())
def test_every_record_is_counted_as_one_kind(name: str, made: Made) -> None:
    counters = _tables(name, made).counters
    unreadable = 0
    for entry in made.entries:
        data = entry.data[: made.snaplens[entry.input]]
        frame = read_frame(
            data,
            entry.length or len(data),
            made.link_type,
            entry.direction,
            made.options.ports,
            1 << 30,
        )
        unreadable += frame.kind in (MALFORMED, CUT)
    assert counters.records == len(made.entries)
    assert counters.records - unreadable == (
        counters.tunnel_records + counters.ip_records + counters.non_ip_records + counters.unknown_link_records
    )


@examples
@given(made=captures(special=False))
def test_every_datagram_record_is_counted_once(name: str, made: Made) -> None:
    """As a sighting, in a path; as a lap of a loop; or as a fragment of one of these."""
    tables = _tables(name, made)
    book = _by_the_book(made)
    sightings = sum(cell.datagrams * len(path.stages) for (_, path), cell in tables.cells.items())
    tails = sum(fact.is_tail for fact in made.seen)
    assert sightings + book.laps == len(made.seen) - tails
    assert tables.counters.tail_fragments == tails
    assert tables.counters.late_fragments == book.late
    assert tables.counters.orphan_fragments == book.orphans
    assert tables.counters.tunnel_records == book.tunnelled
    assert tables.counters.ip_records == len(made.seen) - book.tunnelled


@examples
@given(made=captures(special=False, most=40))
def test_journeys_are_those_of_the_design(name: str, made: Made) -> None:
    tables = _tables(name, made)
    found: Counter[object] = Counter()
    for (_, path), cell in tables.cells.items():
        found[tuple(_shown(stage) for stage in path.stages), path.flags & (PARTIAL | TRANSLATED | LOOPED)] += (
            cell.datagrams
        )
    book = _by_the_book(made)
    assert found == Counter(journey.path() for journey in book.journeys if journey.counts())
    assert sum(row.count for row in tables.latencies.values()) == sum(
        journey.passed() for journey in book.journeys if journey.counts()
    )
    assert sum(cell.wire_bytes for cell in tables.cells.values()) == sum(
        journey.measured().wire_bytes for journey in book.journeys if journey.counts()
    )


def _shown(stage: Stage) -> tuple[object, ...]:
    index, source, _ = stage.interface
    return (
        index if index >= 0 else source if source >= 0 else None,
        stage.direction,
        stage.wear,
        stage.form,
        stage.macs,
    )


@dataclass(eq=False)
class _Sighting:
    fact: Seen
    packets: int = 1
    covered: int = 0
    wire_bytes: int = 0
    lowest_ttl: int = 0
    looped: bool = False
    journey: _Journey | None = None  # None: a lap of a loop

    def add(self, fact: Seen) -> None:
        self.covered += fact.covered
        self.wire_bytes += fact.covered + 20

    def form(self) -> int:
        return WHOLE if self.fact.group is None else FRAGMENTS if self.packets > 1 else FIRST_ONLY


@dataclass(eq=False)
class _Journey:
    sightings: list[_Sighting]
    settled: int | None = None

    def is_open(self, clock: int, options: EngineOptions) -> bool:
        if self.settled is not None:
            return clock <= self.settled + options.settle
        return clock <= self.sightings[0].fact.clock + options.window

    def admits(self, fact: Seen) -> bool:
        """Equal inner packets are one datagram only if their outer identifications agree, where set."""
        return all(
            not fact.outer_id or not other.fact.outer_id or fact.outer_id == other.fact.outer_id
            for other in self.sightings
        )

    def has_settled(self) -> bool:
        directions = [sighting.fact.direction for sighting in self.sightings]
        if UNKNOWN in directions:
            return len(directions) > 1
        return OUT in directions and any(direction != OUT for direction in directions)

    def counts(self) -> bool:
        """A fragment behind the first is a datagram of its own only inside a tunnel."""
        return self.wears() or not self.sightings[0].fact.is_inner_tail

    def wears(self) -> bool:
        return any(sighting.fact.wear != PLAIN for sighting in self.sightings)

    def directions(self) -> list[int]:
        """Where the capture does not tell, the higher TTL came in; of equal ones all but the last."""
        facts = [sighting.fact for sighting in self.sightings]
        if len(facts) == 1 or UNKNOWN not in [fact.direction for fact in facts]:
            return [fact.direction for fact in facts]
        equal_wear = len({fact.wear for fact in facts}) == 1
        ttls = [fact.outer_ttl if equal_wear else fact.inner_ttl for fact in facts]
        if len(set(ttls)) > 1:
            return [1 if ttl == max(ttls) else OUT for ttl in ttls]
        return [1] * (len(facts) - 1) + [OUT]

    def sides(self) -> tuple[_Sighting | None, _Sighting | None]:
        ways = list(zip(self.sightings, self.directions(), strict=True))
        came = [sighting for sighting, direction in ways if direction not in (OUT, UNKNOWN)]
        left = [sighting for sighting, direction in ways if direction == OUT]
        return (came[0] if came else None), (left[-1] if left else None)

    def passed(self) -> bool:
        return None not in self.sides()

    def measured(self) -> _Sighting:
        """The side that overhead is measured at: the ingress, else the egress, where it wears something."""
        ingress, egress = self.sides()
        in_order = [side for side in (ingress, egress) if side is not None] + self.sightings
        wearing = [sighting for sighting in in_order if sighting.fact.wear != PLAIN]
        return wearing[0] if wearing else in_order[0]

    def path(self) -> tuple[object, int]:
        ingress, egress = self.sides()
        flags = 0
        if ingress and egress and ingress.fact.wear == egress.fact.wear and egress.covered < ingress.covered:
            flags |= PARTIAL
        if len({sighting.fact.outer for sighting in self.sightings if sighting.fact.wear != PLAIN}) > 1:
            flags |= TRANSLATED
        if any(sighting.looped for sighting in self.sightings):
            flags |= LOOPED
        stages = []
        for sighting, direction in zip(self.sightings, self.directions(), strict=True):
            interface, way, wear = sighting.fact.place
            stages.append((interface, direction, wear, sighting.form(), way if isinstance(way, bytes) else b""))
        return tuple(stages), flags


@dataclass
class _Book:
    journeys: list[_Journey] = field(default_factory=list)
    laps: int = 0
    late: int = 0
    orphans: int = 0
    tunnelled: int = 0


@dataclass(eq=False)
class _Gathering:
    """Fragments of one datagram at one stage: its first fragment, or tails that wait for it."""

    clock: int
    first: _Sighting | None = None
    waiting: list[Seen] = field(default_factory=list)


def _by_the_book(made: Made) -> _Book:
    """Join what the generator knows, by "Sightings and journeys", each record against all journeys so far."""
    book = _Book()
    gatherings: list[tuple[object, _Gathering]] = []

    def gathering(fact: Seen) -> _Gathering | None:
        """The latest of this group, where it still waits."""
        for group, latest in reversed(gatherings):
            if group == fact.group:
                return latest if fact.clock <= latest.clock + made.options.window else None
        return None

    def follow(first: _Sighting, tail: Seen) -> None:
        first.packets += 1
        first.add(tail)
        book.tunnelled += first.fact.wear != PLAIN

    for fact in made.seen:
        sighting = _Sighting(fact, lowest_ttl=fact.outer_ttl)
        sighting.add(fact)
        book.tunnelled += fact.wear != PLAIN
        if fact.is_tail:
            latest = gathering(fact)
            if latest is None:
                latest = _Gathering(fact.clock)
                gatherings.append((fact.group, latest))
            if latest.first is None:
                latest.waiting.append(fact)
            elif latest.first.journey is not None and latest.first.journey.is_open(fact.clock, made.options):
                follow(latest.first, fact)
            else:
                book.late += 1
                book.tunnelled += latest.first.fact.wear != PLAIN
        elif fact.group is not None:
            latest = gathering(fact)
            if latest is not None:
                for tail in latest.waiting:
                    follow(sighting, tail)
                latest.waiting = []
            gatherings.append((fact.group, _Gathering(fact.clock, sighting)))
        _join(book, sighting, made.options)
    book.orphans = sum(len(latest.waiting) for _, latest in gatherings)
    return book


def _join(book: _Book, sighting: _Sighting, options: EngineOptions) -> None:
    fact = sighting.fact
    for journey in reversed(book.journeys):
        if journey.sightings[0].fact.identity != fact.identity or not journey.is_open(fact.clock, options):
            continue
        if not journey.admits(fact):
            continue
        held = [other for other in journey.sightings if other.fact.place == fact.place]
        if not held:
            journey.sightings.append(sighting)
            sighting.journey = journey
            if journey.settled is None and journey.has_settled():
                journey.settled = fact.clock
            return
        if fact.outer_ttl < held[0].lowest_ttl:
            held[0].lowest_ttl, held[0].looped = fact.outer_ttl, True
            book.laps += not fact.is_tail
            return
    sighting.journey = _Journey([sighting])
    book.journeys.append(sighting.journey)


# Two engines, one answer.


@examples
@given(made=captures(most=40) | super_frames(most=40))
def test_both_engines_give_equal_tables(made: Made) -> None:
    require_native()
    _assert_equal(_tables("pure", made), _tables("native", made))


@examples
@given(
    made=captures(most=15),
    flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), min_size=1, max_size=6),
    cut=st.sampled_from([0, 0, 1, 17, 60]),
)
def test_both_engines_agree_on_damaged_bytes(made: Made, flips: list[tuple[float, int]], cut: int) -> None:
    require_native()
    files = [bytearray(file) for file in made.files()]
    for place, mask in flips:
        at = int(place * sum(map(len, files)))
        for file in files:
            if at < len(file):
                file[at] ^= mask
                break
            at -= len(file)
    damaged = [bytes(file[: len(file) - cut]) for file in files]
    pure, native = (_run(name, made.options, damaged).tables() for name in ("pure", "native"))
    _assert_equal(pure, native)
