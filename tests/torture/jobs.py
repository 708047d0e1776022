"""Jobs: a part of a section that one worker does, and the worker.

A job is a function that gives cases one after another, the same ones each time. A worker notes which case it is at
where the parent sees it. One that crashes, or does not come on for too long, is noted as a failure of that case,
and another worker goes on behind it.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from torture import ways
from torture.tally import MEMORY, Tally, Wrong

PATIENCE = 120.0  # s of wall time that a case within a worker may take
_EVERY = 5.0  # s between notes of what was done


class Case(NamedTuple):
    """One thing to try: `run` gives what it came to, or raises. It may give the processor time and the peak memory
    of a process that it ran."""

    label: str
    row: str  # of the table
    run: Callable[[], str | tuple[str, ways.Done]]
    read: int  # bytes read, or unpacked
    patience: float = PATIENCE
    memory: int = MEMORY


@dataclass(frozen=True)
class Job:
    """Cases of one section, which `cases` gives; `share` of them is tried in the tests of every day."""

    section: str
    name: str
    cases: Callable[..., Iterator[Case]]
    arguments: tuple[Any, ...] = ()
    least_memory: int = 0  # bytes that other jobs leave free

    def all(self) -> Iterator[Case]:
        return self.cases(*self.arguments)


Rows = dict[str, Tally]


def run_case(case: Case, rows: Rows) -> None:
    """Try one case, and count it in its row."""
    tally = rows.setdefault(case.row, Tally())
    begin = time.process_time()
    why, result = None, "failed"
    done = None
    try:
        answer = case.run()
        result, done = answer if isinstance(answer, tuple) else (answer, None)
    except Wrong as error:
        why = str(error)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        why = f"raised {type(error).__name__}: {str(error)[:300]}"
    seconds = time.process_time() - begin
    if done is not None:
        seconds = done.seconds
        tally.peak = max(tally.peak, done.peak)
    tally.add(case.label, result, seconds, case.read)
    if done is not None and done.peak > case.memory:
        tally.fail(case.label, f"took {done.peak / 1e6:.0f} MB of memory, expected {case.memory / 1e6:.0f} at most")
    if why is not None:
        tally.fail(case.label, why)


def run_quickly(job: Job, most: int, step: int) -> Rows:
    """Every so manieth case of a job, at most so many, within this process."""
    rows: Rows = {}
    for number, case in enumerate(job.all()):
        if number % step == 0:
            run_case(case, rows)
            if sum(tally.cases for tally in rows.values()) >= most:
                break
    return rows


def _worker(job: Job, begin: int, notes: str, skipped: set[int], place: Any, known: dict[str, Any]) -> None:
    rows = {row: Tally.from_json(value) for row, value in known.items()}
    written = time.monotonic()

    def note(done: int, ended: bool) -> None:
        text = json.dumps(
            {"done": done, "ended": ended, "rows": {row: each.as_json() for row, each in rows.items()}}
        )
        Path(f"{notes}.part").write_text(text)
        os.replace(f"{notes}.part", notes)

    number = -1
    try:
        for number, case in enumerate(job.all()):
            if number < begin or number in skipped:
                continue
            place[0], place[1], place[2] = number, time.monotonic(), case.patience
            run_case(case, rows)
            if time.monotonic() - written > _EVERY:
                note(number + 1, False)
                written = time.monotonic()
    finally:
        shutil.rmtree(ways.work_folder(), ignore_errors=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    for tally in rows.values():
        tally.peak = tally.peak or peak  # of processes of their own their own is known
    note(number + 1, True)
    os._exit(0)


@dataclass
class _Running:
    job: Job
    notes: str
    place: Any
    worker: Any
    skipped: set[int] = field(default_factory=set)
    lost: list[tuple[str, str]] = field(default_factory=list)


def run_all(jobs: Sequence[Job], side_by_side: int, work: Path, told: Callable[[Job, Rows, float], None]) -> None:
    """Do all jobs, so many at a time; `told` is called with each that is done."""
    context = multiprocessing.get_context("fork")
    left = list(jobs)
    running: list[_Running] = []
    begun: dict[str, float] = {}

    def start(one: _Running, begin: int, known: dict[str, Any]) -> None:
        one.place = context.RawArray("d", [0.0, time.monotonic(), PATIENCE])
        one.worker = context.Process(
            target=_worker, args=(one.job, begin, one.notes, one.skipped, one.place, known), daemon=True
        )
        one.worker.start()

    while left or running:
        while left and len(running) < side_by_side and not (running and running[0].job.least_memory):
            job = left.pop(0)
            one = _Running(job, str(work / f"{job.section}.{job.name}.notes"), None, None)
            begun[one.notes] = time.monotonic()
            Path(one.notes).unlink(missing_ok=True)
            start(one, 0, {})
            running.append(one)
        time.sleep(0.05)
        for one in list(running):
            number, since, patience = one.place
            hangs = time.monotonic() - since > patience
            if one.worker.is_alive() and not hangs:
                continue
            if hangs:
                one.worker.kill()
            one.worker.join()
            if one.worker.exitcode == 1:
                raise RuntimeError(f"{one.job.section}, {one.job.name}: the harness itself failed, see above")
            state = json.loads(Path(one.notes).read_text()) if Path(one.notes).exists() else {"done": 0, "rows": {}}
            if not state.get("ended"):
                # The cases since the last note are tried again, but for the one that ended the worker.
                one.skipped.add(int(number))
                why = (
                    f"no answer within {patience:.0f} s" if hangs else f"the process ended by {one.worker.exitcode}"
                )
                one.lost.append((f"case {int(number)}", why))
                if len(one.lost) < 50:
                    start(one, state["done"], state["rows"])
                    continue
            running.remove(one)
            rows = {row: Tally.from_json(value) for row, value in state["rows"].items()}
            for label, why in one.lost:
                tally = rows.setdefault("ended the worker", Tally())
                tally.cases += 1
                tally.results["failed"] += 1
                tally.fail(f"{one.job.name}, {label}", why)
            Path(one.notes).unlink(missing_ok=True)
            told(one.job, rows, time.monotonic() - begun[one.notes])
