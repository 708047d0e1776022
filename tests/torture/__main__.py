"""`python -m torture`: try damage systematically, and tell what became of it.

What was tried is kept in build/torture, a file for each section, so that a run can go on where it was stopped, and
the page be made again without trying anything.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from torture.jobs import Job, Rows, run_all
from torture.page import machine, page, table
from torture.sections import SECTIONS, jobs_of
from torture.tally import Tally
from torture.ways import REPOSITORY

KEPT = REPOSITORY / "build" / "torture"
PAGE = REPOSITORY / "docs" / "torture.md"
FUZZED = REPOSITORY / "build" / "fuzz" / "figures.json"


def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(
        prog="python -m torture",
        description="Give vxtool captures, packets and files that are broken or hostile, by the million. Exits "
        "with 1 if anything ended otherwise than is promised. What is done is kept in build/torture, and not done "
        "again.",
    )
    add = result.add_argument
    add("--section", action="append", choices=SECTIONS, metavar="NAME", help=f"only these: {', '.join(SECTIONS)}")
    add("--job", metavar="TEXT", help="only jobs whose name holds this text; nothing is kept of them")
    add("--again", action="store_true", help="do again what was done")
    add("--page", action="store_true", help="only write the page of what was done")
    add("--jobs", type=int, default=2, metavar="N", help="processes side by side (2)")
    add("--nice", type=int, default=10, metavar="N", help="how much to give way to other work (10)")
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    os.nice(options.nice)
    KEPT.mkdir(parents=True, exist_ok=True)
    os.environ["TORTURE_FOLDER"] = str(KEPT)
    for folder in KEPT.glob("vxtool-torture-*"):  # of workers that were killed
        if not Path(f"/proc/{folder.name.rpartition('-')[2]}").exists():
            shutil.rmtree(folder, ignore_errors=True)
    for name in [name for name in os.environ if name.startswith("VXTOOL_")]:
        del os.environ[name]
    failed = 0
    if not options.page:
        for section in options.section or SECTIONS:
            failed += _run(section, options)
    if options.job:
        return int(failed > 0)
    kept = {section: _kept(section) for section in SECTIONS}
    print(table({section: _rows(one) for section, one in kept.items()}), end="")
    if not options.section or options.page:
        tried = {section: (_rows(one), one.get("on", {})) for section, one in kept.items()}
        PAGE.write_text(page(tried, json.loads(FUZZED.read_text()) if FUZZED.exists() else None))
        print(f"\nwritten: {PAGE.relative_to(REPOSITORY)}")
    return int(any(tally.failed for one in kept.values() for tally in _rows(one).values()))


def _kept(section: str) -> dict[str, object]:
    path = KEPT / f"{section}.json"
    return json.loads(path.read_text()) if path.exists() else {}


def _rows(kept: dict[str, object]) -> Rows:
    rows: Rows = {}
    jobs = kept.get("jobs")
    for job in jobs.values() if isinstance(jobs, dict) else ():
        for row, value in job["rows"].items():
            rows.setdefault(row, Tally()).merge(Tally.from_json(value))
    return rows


def _run(section: str, options: argparse.Namespace) -> int:
    """Do what is left of a section; how many cases failed."""
    kept = {} if options.again and not options.job else _kept(section)
    done = kept.setdefault("jobs", {})
    assert isinstance(done, dict)
    jobs = [job for job in jobs_of(section) if options.job or job.name not in done]
    if options.job:
        jobs = [job for job in jobs if options.job in job.name]
    failed = 0
    begun = time.monotonic()

    def told(job: Job, rows: Rows, seconds: float) -> None:
        nonlocal failed
        cases = sum(tally.cases for tally in rows.values())
        wrong = sum(tally.failed for tally in rows.values())
        failed += wrong
        peak = max((tally.peak for tally in rows.values()), default=0) / 1e6
        slowest = max((tally.slowest for tally in rows.values()), default=0)
        took = f"{seconds:>8.1f} s, a case {slowest:.2f} s, {peak:.0f} MB at the most"
        print(f"{section:12}{job.name:36}{cases:>12,} cases{wrong:>6} failed{took}", flush=True)
        for tally in rows.values():
            for failure in tally.failures:
                print(f"    {failure}", flush=True)
        if options.job:
            return
        done[job.name] = {"seconds": seconds, "rows": {row: tally.as_json() for row, tally in rows.items()}}
        kept["on"] = machine()
        path = KEPT / f"{section}.json"
        path.with_suffix(".part").write_text(json.dumps(kept, indent=1))
        os.replace(path.with_suffix(".part"), path)

    if jobs:
        run_all(jobs, options.jobs, KEPT, told)
        print(f"{section:12}done in {time.monotonic() - begun:.0f} s", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
