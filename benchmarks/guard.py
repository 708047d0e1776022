"""A guard against slow rot: how many instructions the native engine takes for a record.

    python -m benchmarks.guard            # compare with what is recorded; exit 1 where more than 10 % was added
    python -m benchmarks.guard --record   # write down what it takes now

Time differs from run to run and from machine to machine; a count of instructions under callgrind does not, so a
tenth more is a change of the code and not of the weather. Two lengths of each capture are counted, and the
difference is what a record costs: starting, and making tables that grow no more, falls out. Memory that is waited
for does not show in it: that is what `make bench` is for.

Needs a C compiler and valgrind, and nothing but the standard library of Python.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.inputs import CASES, BuildError, Case, build, compiler, make

RECORDED = Path(__file__).with_name("instructions.json")
NATIVE = Path(__file__).resolve().parents[1] / "vxtool"
ROOMS = ("packet", "engine")
WATCHED = ("small", "full", "ipv6", "drops", "fragments", "pcapng")
RECORDS = 40_000  # of the shorter capture; the longer has as many again
FLOWS = 500
TOLERANCE = 0.10


class GuardError(Exception):
    """Nothing could be counted; the text says what is missing."""


def build_engine(directory: Path) -> Path:
    """The engine as a program of its own, compiled as setup.py compiles the extension."""
    sources = [str(path) for room in ROOMS for path in sorted((NATIVE / room / "native").glob("*.c"))]
    headers = [f"-I{NATIVE / room / 'native'}" for room in ROOMS]
    return build("engine_loop", directory, ["-O3", *headers, *sources])


def instructions(program: Path, capture: Path) -> tuple[int, int]:
    """Instructions and records of one run under callgrind."""
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        raise GuardError("valgrind is not installed (Debian: apt install valgrind)")
    command = [valgrind, "--tool=callgrind", "--callgrind-out-file=/dev/null", str(program), str(capture)]
    done = subprocess.run(command, capture_output=True, text=True)
    collected = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode != 0 or collected is None:
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        raise GuardError(f"valgrind: expected a count of instructions, found: {last}")
    return int(collected[1]), int(json.loads(done.stdout)["records"])


def measure(names: Sequence[str], records: int = RECORDS) -> dict[str, float]:
    """Instructions a record of each case, to one decimal."""
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="vxtool-guard-") as name:
        directory = Path(name)
        maker, engine = build("make_input", directory), build_engine(directory)
        for case in (CASES[name] for name in names):
            counts = []
            for length in (records, 2 * records):
                shape = case.with_records(records)  # flows and open journeys are the same in both
                made = make(maker, _longer(shape, length), directory)
                counts.append(instructions(engine, made.paths[0]))
                made.remove()
            (few, short), (many, long) = counts
            figures[case.name] = round((many - few) / (long - short), 1)
    return figures


def _longer(case: Case, records: int) -> Case:
    return replace(case, records=records, flows=min(case.flows, FLOWS))


def grown(now: Mapping[str, float], recorded: Mapping[str, float]) -> list[str]:
    """The cases that take more than the tolerance above what is recorded, or are not recorded at all."""
    return [name for name, figure in now.items() if figure > recorded.get(name, 0) * (1 + TOLERANCE)]


def describe(now: Mapping[str, float], recorded: Mapping[str, float]) -> str:
    lines = [f"{'capture':12} {'recorded':>10} {'now':>10} {'change':>9}"]
    for name, figure in now.items():
        before = recorded.get(name)
        change = f"{100 * (figure / before - 1):+8.1f} %" if before else "  not recorded"
        lines.append(f"{name:12} {before if before is not None else '-':>10} {figure:>10} {change}")
    return "\n".join(lines)


def _compiler_version() -> str:
    command = compiler()
    if command is None:
        raise BuildError("no C compiler: install gcc (Debian: apt install gcc libc6-dev)")
    done = subprocess.run([command, "--version"], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[0]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.guard", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--record", action="store_true", help="write down what it takes now")
    options = parser.parse_args(arguments)
    try:
        version, now = _compiler_version(), measure(WATCHED)
    except (BuildError, GuardError) as error:
        print(f"guard: {error}", file=sys.stderr)
        return 2
    machine = platform.machine()
    if options.record:
        text = json.dumps({"machine": machine, "compiler": version, "instructions_a_record": now}, indent=2)
        RECORDED.write_text(text + "\n", "utf-8")
        print(f"{text}\nwritten to {RECORDED.name}")
        return 0
    known = json.loads(RECORDED.read_text("utf-8"))
    recorded: Mapping[str, float] = known["instructions_a_record"]
    print(describe(now, recorded))
    if known["machine"] != machine:
        print(f"guard: not compared: recorded on {known['machine']}, and this is {machine}")
        return 0
    if version != known["compiler"]:
        print(f"guard: recorded with {known['compiler']}, and this is {version}")
    slower = grown(now, recorded)
    if slower:
        print(
            f"guard: {', '.join(slower)}: more than {TOLERANCE:.0%} above what is recorded. Find what was added; "
            "or, where it is worth its cost, write it down with `make guard GUARD_ARGS=--record` and say why.",
            file=sys.stderr,
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
