"""The two engines as each other's oracle: the same changed captures into both, and all that they say compared.

    PYTHONPATH=tests python -P -m fuzz.differential [--seconds 60] [--cases N] [--seed S] [--show FILE]

A case comes from a seed, a kept case, the C fuzzers' corpora where they are there, or the generator of
tests/engine/test_native_twin.py; it is changed a few times, dealt to one to three inputs and read by both engines:
by the C one in cuts, or at once, where it takes records by the batch. Tables are compared for each case, reports,
answers to all questions and packet lists for some. A case whose tables show something for the first time is kept to
be changed further. Each run continues behind the case at which the last one stopped. What differs is made small and
lies in build/fuzz/finds.
Exit status: 0 no difference, 1 one or more.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import zip_longest
from pathlib import Path
from typing import Any

from engine.questions import assert_answers_are_plain
from fuzz import run, seeds
from fuzz.case_files import FRONT, Case, CaseLibrary
from summary.lists import both_details, both_lists, some_wish

from vxtool.analysis import Knowledge, Question, build_report
from vxtool.analysis.model import Tool
from vxtool.engine import Engine, make_engine
from vxtool.engine.tables import Tables

FOLDER = run.BUILD / "differential"
STATE = FOLDER / "state.json"
MOST_BYTES = 2500  # of a case
MOST_KEPT = 4000
QUESTIONS_OF, REPORTS_OF, LISTS_OF, AT_ONCE_OF = 50, 40, 100, 3  # one case of so many


# Running a case.


def engine_of(case: Case, name: str, cuts: random.Random | None = None) -> Engine:
    engine = make_engine(case.options, name)
    left = list(case.files)
    most = cuts.choice([3, 40, 40, 40, 400, 400, 400, 5000]) if cuts else 0
    while (index := engine.wants()) is not None:
        if not left[index]:
            engine.end(index)
            continue
        size = 1 + int(cuts.random() * most) if cuts else len(left[index])
        engine.feed(index, left[index][:size])
        left[index] = left[index][size:]
    for index, rest in enumerate(left):  # behind damage, where bytes count and nothing else
        engine.feed(index, rest)
    return engine


def report_of(case: Case, tables: Tables) -> str:
    """The whole report as JSON."""
    inputs = [
        {
            "path": f"{number}.pcap",
            "format": row.format,
            "compression": None,
            "link_types": list(map(str, row.link_types)),
            "records": row.records,
            "bytes": row.bytes,
            "snaplen": row.snaplen,
            "truncated": row.damage is not None,
            "error": None,
            "skipped_blocks": row.skipped,
            "first_skipped": row.first_skipped.place() if row.first_skipped is not None else None,
        }
        for number, row in enumerate(tables.inputs)
    ]
    tool: Tool = {"version": "0", "engine": "pure"}
    knowledge = Knowledge([item["path"] for item in inputs])
    question = Question("auto", "auto", window=case.options.window)
    return json.dumps(build_report(tables, inputs, tool, knowledge, question), sort_keys=True)


def list_difference(case: Case) -> str | None:
    """In which line the packet lists of the two engines differ, or what they tell of a record."""
    chance = random.Random(case.seed)
    for all_records in (False, True):
        asked: dict[str, Any] = {**some_wish(chance), "all_records": all_records}
        times = {"window_ns": case.options.window, "settle_ns": case.options.settle}
        plain, native = both_lists(case.files, **times, **asked)
        if plain != native:
            return _first_of(plain, native)
    plain, native = both_details(case.files, chance.choice([1, 1, 2, 3, 7]), **times)
    return None if plain == native else f"detail: {plain[:100]!r} {native[:100]!r}"


def _first_of(plain: str, native: str) -> str:
    for one, other in zip_longest(plain.split("\n"), native.split("\n"), fillvalue=""):
        if one != other:
            return f"{one!r} {other!r}"
    return "nothing"


def difference(
    case: Case, cuts: random.Random | None, *, questions: bool, report: bool, lists: bool
) -> tuple[str | None, Tables]:
    """What the engines differ in, the C one fed in these cuts, and the plain one's tables."""
    plain = engine_of(case, "pure").tables()
    native = engine_of(case, "native", cuts).tables()
    for name in Tables._fields:
        if getattr(plain, name) != getattr(native, name):
            return name, plain
    # Of rows with equal counts, answers with a limit have the first.
    if list(plain.cells) != list(native.cells):
        return "order of cells", plain
    if questions:
        try:
            assert_answers_are_plain(native, case.seed)
        except AssertionError as error:
            return f"answers: {str(error)[:100]}", plain
    if report and report_of(case, plain) != report_of(case, native):
        return "report", plain
    if lists and (differing := list_difference(case)) is not None:
        return f"list: {differing}", plain
    return None, plain


def difference_in_all(case: Case) -> str | None:
    """What they differ in anywhere, fed in cuts or at once."""
    for cuts in (None, random.Random(case.seed)):
        found, _ = difference(case, cuts, questions=True, report=True, lists=cuts is None)
        if found is not None:
            return found
    return None


# Cases.


class Source:
    """Cases without end, each from its number alone, given the same pool."""

    def __init__(self, changer: CaseLibrary, seed: int) -> None:
        self.changer = changer
        self.seed = seed
        self.pool = list(self._beginnings())
        self.signs: set[int] = set()

    def _beginnings(self) -> Iterator[bytes]:
        yield from (case for case in seeds.cases(random.Random(self.seed), 12) if len(case) <= MOST_BYTES)
        for name in ("engine", "merge", "query", "summary"):
            folder = run.BUILD / "corpus" / name
            for path in sorted(folder.iterdir()) if folder.is_dir() else ():
                with suppress(FileNotFoundError):  # a fuzzer that runs meanwhile found a shorter one
                    data = path.read_bytes()
                    if len(data) <= MOST_BYTES:
                        yield data
        for path in sorted((seeds.REPOSITORY / "tests" / "regressions").glob("*.bin")):
            if path.stat().st_size <= MOST_BYTES:
                yield path.read_bytes()

    def case(self, number: int) -> bytes:
        chance = random.Random(self.seed << 40 | number)
        if chance.random() < 0.1:
            return self._generated(chance)
        data = chance.choice(self.pool)
        if chance.random() < 0.15:
            data = self.changer.cross(data, chance.choice(self.pool), MOST_BYTES, chance.getrandbits(60))
        for _ in range(chance.choice([1, 1, 2, 4, 8])):
            data = self.changer.mutate(data, MOST_BYTES, chance.getrandbits(60))
        return data

    def _generated(self, chance: random.Random) -> bytes:
        from engine import test_native_twin

        options = test_native_twin._options(chance)
        front = bytearray(seeds.front(chance))
        return bytes(front) + test_native_twin._capture(chance, options, chance.choice([4, 8, 16]))[0][: 1 << 14]

    def keep(self, data: bytes, tables: Tables) -> None:
        """Keep a case that shows something for the first time."""
        new = False
        for sign in _signs(tables):
            if sign not in self.signs:
                self.signs.add(sign)
                new = True
        if new and len(data) <= MOST_BYTES:
            if len(self.pool) >= MOST_KEPT:
                self.pool.pop(len(self.pool) // 2)
            self.pool.append(data)


def _signs(tables: Tables) -> Iterator[int]:
    """What a case reached, in hashes: which counters count how much, which kinds of paths and rows there are."""
    for name in tables.counters.__slots__:
        count = getattr(tables.counters, name)
        if count:
            yield hash((name, count.bit_length()))
    for _, path in tables.cells:
        yield hash((path.flags, tuple((stage.direction, stage.wear, stage.form) for stage in path.stages)))
    for flow, row in tables.flows.items():
        yield hash((flow.protocol, len(flow.source), flow.vni < 0, row.tcp_flags, len(row.ranges), row.segment > 0))
    for key in tables.icmp_errors:
        yield hash(key[:4])
    for too_big in tables.too_big:
        yield hash((too_big.tunnelled, len(too_big.quoted_source), too_big.wear, too_big.flow.protocol))
    for input_row in tables.inputs:
        yield hash(
            (input_row.format, input_row.damage.code if input_row.damage else None, len(input_row.link_types))
        )
    yield hash((len(tables.names), len(tables.interfaces), len(tables.fragments), len(tables.large)))


# Making a find small.


def shrink(changer: CaseLibrary, data: bytes, what: str, at_once: bool) -> bytes:
    """A shorter case in which the engines differ in the same, fed alike."""

    def still(candidate: bytes) -> bool:
        case = changer.read(candidate)
        if case is None:
            return False
        kind = what.split(":")[0]
        asked = {"questions": kind == "answers", "report": kind == "report", "lists": kind == "list"}
        found, _ = difference(case, None if at_once else random.Random(case.seed), **asked)
        return found is not None and found.split(":")[0] == kind

    if not still(data):
        return data  # needs the cuts it had
    end = time.monotonic() + 60
    size = len(data) // 2
    while size > 0 and time.monotonic() < end:
        at = FRONT
        while at < len(data) and time.monotonic() < end:
            candidate = data[:at] + data[at + size :]
            if still(candidate):
                data = candidate
            else:
                at += size
        size //= 2
    # Records as a whole, which single bytes cannot take away.
    for _ in range(2000):
        if time.monotonic() > end:
            break
        candidate = changer.mutate(data, len(data), random.getrandbits(60))
        if len(candidate) < len(data) and still(candidate):
            data = candidate
    return data


# The run.


def main() -> int:
    parser = argparse.ArgumentParser(description="Hold the two engines against each other.")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--cases", type=int, help="stop after so many")
    parser.add_argument("--seed", type=int, help="begin anew with this one")
    parser.add_argument("--show", type=Path, help="only say in what the engines differ on this case")
    given = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    changer = CaseLibrary(FOLDER)
    if given.show is not None:
        case = changer.read(given.show.read_bytes())
        found = None if case is None else difference_in_all(case)
        print(found or "no difference")
        return 1 if found else 0

    state = json.loads(STATE.read_text()) if STATE.exists() else {"seed": 1, "next": 0, "executions": 0}
    if given.seed is not None and given.seed != state["seed"]:
        state |= {"seed": given.seed, "next": 0}
    source = Source(changer, state["seed"])
    began, processor = time.monotonic(), time.process_time()
    executions = finds = reports = lists = 0
    number = state["next"]
    while time.monotonic() - began < given.seconds and (given.cases is None or executions < given.cases):
        data = source.case(number)
        case = changer.read(data)
        number += 1
        if case is None:
            continue
        at_once = number % AT_ONCE_OF == 0
        asked = {
            "questions": number % QUESTIONS_OF == 0,
            "report": number % REPORTS_OF == 0,
            "lists": number % LISTS_OF == 1,
        }
        reports += asked["report"]
        lists += asked["lists"]
        executions += 1
        found, tables = difference(case, None if at_once else random.Random(number), **asked)
        if found is None:
            source.keep(data, tables)
            continue
        finds += 1
        small = shrink(changer, data, found, at_once)
        path = run.BUILD / "finds" / f"differential-{hashlib.sha1(small).hexdigest()[:12]}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(small)
        print(f"differential: case {number - 1} of seed {state['seed']} differs in {found}: {path}", flush=True)
        if finds >= 5:
            break
    seconds = time.monotonic() - began
    state |= {"next": number, "executions": state["executions"] + executions}
    STATE.write_text(json.dumps(state))
    run.note("differential", executions, seconds, time.process_time() - processor, finds)
    print(
        f"differential {executions:>8,} cases in {seconds:.0f} s (seed {state['seed']}, to case {number:,}; "
        f"{state['executions']:,} in all), {reports:,} whole reports, {lists:,} packet lists, "
        f"{len(source.pool):,} cases kept" + (f": {finds} DIFFERENCES" if finds else "")
    )
    return 1 if finds else 0


if __name__ == "__main__":
    sys.exit(main())
