"""The fuzzers: builds them, makes their seeds, runs them, and says how often each ran.

    PYTHONPATH=tests python -P -m fuzz.run [--seconds 60] [--side-by-side 1] [TARGET ...]
    PYTHONPATH=tests python -P -m fuzz.run --replay

Targets are those of the C core (native/fuzz_*.c), of the Python face (python_face.py, whose names begin with
`python-`), and the differential fuzzer. Each of the C runs under address and undefined-behaviour sanitizers with
libFuzzer, from its corpus in build/fuzz/corpus, which grows from one run to the next. What is found lies in
build/fuzz/finds. Figures are added to build/fuzz/figures.json.

Needs clang with its runtime libraries (Debian: clang, libclang-rt-dev), and for the Python face vxtool installed
with the extra `fuzz`. `--replay` needs a C compiler alone: it runs what was once found (tests/regressions) through
the C targets. Exit status: 0 nothing was found, 1 something was, 2 a fuzzer cannot run.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from fuzz import seeds

REPOSITORY = seeds.REPOSITORY
NATIVE = Path(__file__).resolve().parent / "native"
BUILD = REPOSITORY / "build" / "fuzz"
FIGURES = BUILD / "figures.json"
REGRESSIONS = REPOSITORY / "tests" / "regressions"
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
FLAGS = ("-std=c11", "-g", "-O1", "-Wall", "-Wextra", "-Werror", "-fno-omit-frame-pointer", *SANITIZERS)
SECONDS_OF_ONE = 10  # no input may take longer, nor this many MiB of memory:
MEBIBYTES = 2048
STOPPED = (-signal.SIGTERM, -signal.SIGINT, 72)  # from outside; the last as libFuzzer says it
MOST_OF_PYTHON = 4096  # bytes of an input


class Target(NamedTuple):
    """One of the C core."""

    sources: tuple[str, ...]  # in `native`
    seeds: str  # see `seeds_of`
    longest: int  # input, in bytes
    defines: tuple[str, ...] = ()


_CASES = ("cases.c", "layout.c", "mutate.c", "custom.c")
_ENGINE = (*_CASES, "digest.c", "running.c")
TARGETS = {
    "pcap": Target(("fuzz_container.c", *_CASES), "cases", 8192, ("-DONLY_PCAP",)),
    "pcapng": Target(("fuzz_container.c", *_CASES), "cases", 8192, ("-DONLY_PCAPNG",)),
    "frame": Target(("fuzz_frame.c",), "frames", 4096),
    "decode": Target(("fuzz_decode.c",), "frames", 4096),
    "engine": Target(("fuzz_engine.c", *_ENGINE), "cases", 8192),
    "merge": Target(("fuzz_merge.c", *_ENGINE), "cases", 8192),
    "query": Target(("fuzz_query.c", *_ENGINE), "cases", 8192),
    "seen": Target(("fuzz_seen.c", "cases.c", "layout.c", "programs.c"), "frames", 4096),
    "summary": Target(("fuzz_summary.c", "listed.c", "programs.c", "running.c", *_CASES), "cases", 8192),
}
# By name: what seeds they have.
PYTHON_TARGETS = {
    "python-container": "cases",
    "python-engine": "cases",
    "python-analyze": "cases",
    "python-flows": "cases",
    "python-summary": "cases",
    "python-detail": "cases",
    "python-convert": "cases",
    "python-decode": "frames",
    "python-filters": "filters",
    "python-cluster": "files",
    "python-words": "words",
}
DIFFERENTIAL = "differential"
NAMES = (*TARGETS, *PYTHON_TARGETS, DIFFERENTIAL)


# Building.


def core_sources() -> list[Path]:
    """All C of the package that knows nothing of Python."""
    return sorted((REPOSITORY / "vxtool").glob("*/native/*.c"))


def includes() -> list[str]:
    folders = sorted({path.parent for path in core_sources()})
    return [f"-I{folder}" for folder in [*folders, NATIVE]]


def compile_objects(sources: Sequence[Path], folder: Path, flags: Sequence[str], compiler: str) -> list[Path]:
    """Objects of the sources, made anew where any source or header is newer."""
    headers = [*REPOSITORY.glob("vxtool/*/native/*.h"), *NATIVE.glob("*.h")]
    newest = max(path.stat().st_mtime for path in headers)
    folder.mkdir(parents=True, exist_ok=True)
    objects, waiting = [], []
    for source in sources:
        made = folder / f"{source.stem}.o"
        objects.append(made)
        if not made.exists() or made.stat().st_mtime < max(newest, source.stat().st_mtime):
            waiting.append([compiler, *flags, *includes(), "-c", str(source), "-o", str(made)])
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for command in pool.map(lambda command: subprocess.run(command, check=False), waiting):
            if command.returncode != 0:
                sys.exit(2)
    return objects


def build(name: str, compiler: str = "clang") -> Path:
    """The program of a target, built where it is not there or old."""
    target = TARGETS[name]
    flags = [*FLAGS, "-fsanitize=fuzzer-no-link"]
    core = compile_objects(core_sources(), BUILD / "objects" / "core", flags, compiler)
    sources = [NATIVE / source for source in target.sources]
    own = compile_objects(sources, BUILD / "objects" / name, [*flags, *target.defines], compiler)
    program = BUILD / "bin" / name
    objects = [*core, *own]
    if not program.exists() or program.stat().st_mtime < max(path.stat().st_mtime for path in objects):
        program.parent.mkdir(parents=True, exist_ok=True)
        command = [compiler, *SANITIZERS, "-fsanitize=fuzzer", *map(str, objects), "-o", str(program)]
        if subprocess.run(command, check=False).returncode != 0:
            print(
                "fuzz: the fuzzers were not linked: expected clang with its runtime libraries; on Debian install "
                "clang and libclang-rt-dev (of clang's version)",
                file=sys.stderr,
            )
            sys.exit(2)
    return program


def replay(compiler: str) -> int:
    """Run what was once found through its target; 1 where anything is found again."""
    failed = 0
    for name, target in TARGETS.items():
        inputs = sorted(map(str, REGRESSIONS.glob(f"{name}-*.bin")))
        if not inputs:
            continue
        folder = BUILD / "replay"
        sources = [NATIVE / source for source in target.sources if source not in ("mutate.c", "custom.c")]
        flags = [*FLAGS, *target.defines]
        objects = compile_objects(core_sources(), folder / "core", FLAGS, compiler)
        objects += compile_objects([*sources, NATIVE / "replay.c"], folder / name, flags, compiler)
        program = folder / name / "replay"
        if subprocess.run([compiler, *SANITIZERS, *map(str, objects), "-o", str(program)], check=False).returncode:
            return 2
        failed |= subprocess.run([str(program), *inputs], check=False).returncode != 0
    return int(failed)


# Seeds.


def seeds_of(name: str) -> Iterator[bytes]:
    """Pieces of the sample captures, and what was once found."""
    kind = TARGETS[name].seeds if name in TARGETS else PYTHON_TARGETS[name]
    chance = random.Random(1)
    for path in sorted(REGRESSIONS.glob(f"{name}-*.bin")):
        yield path.read_bytes()
    if kind == "cases":
        for case in seeds.cases(chance):
            is_ng = case[seeds.FRONT :].startswith(b"\n\r\r\n")
            if not (name == "pcap" and is_ng) and not (name == "pcapng" and not is_ng):
                yield case
    else:
        made = {"frames": seeds.frames, "files": seeds.files, "words": seeds.words, "filters": seeds.filters}
        yield from made[kind](chance)


def prepare(name: str) -> tuple[Path, Path]:
    """The folders of a target's corpus and of its seeds, made, and the dictionary beside them."""
    corpus, folder = BUILD / "corpus" / name, BUILD / "seeds" / name
    corpus.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for number, seed in enumerate(seeds_of(name)):
        (folder / f"{number:04}").write_bytes(seed)
    words = BUILD / f"{name}.dict"
    is_filter = PYTHON_TARGETS.get(name) == "filters"
    words.write_text(seeds.filter_dictionary_text() if is_filter else seeds.dictionary_text())
    return corpus, folder


# Running.


class Outcome(NamedTuple):
    name: str
    executions: int
    seconds: float
    processor: float  # seconds of it: beside other work it gets less than a whole one
    covered: int  # edges
    status: int
    text: str


def run(name: str, seconds: int) -> Outcome:
    finds = BUILD / "finds"
    finds.mkdir(parents=True, exist_ok=True)
    if name == DIFFERENTIAL:
        command = [sys.executable, "-P", "-m", "fuzz.differential", f"--seconds={seconds}"]
    else:
        corpus, seed_folder = prepare(name)
        native = name in TARGETS
        command = [
            *([str(build(name))] if native else [sys.executable, "-P", "-m", "fuzz.python_face", name[7:]]),
            f"-max_total_time={seconds}",
            f"-max_len={TARGETS[name].longest if native else MOST_OF_PYTHON}",
            f"-dict={BUILD / name}.dict",
            f"-timeout={SECONDS_OF_ONE}",
            f"-rss_limit_mb={MEBIBYTES}",
            "-print_final_stats=1",
            "-reload=0",
            "-entropic=0",  # its bookkeeping takes half of the time
            f"-artifact_prefix={finds}/{name}-",
            str(corpus),
            str(seed_folder),
        ]
    began = time.monotonic()
    log = BUILD / f"{name}.log"
    with log.open("wb") as output:
        child = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(child.pid, 0)  # which tells what this one took, and no other
    child.returncode = os.waitstatus_to_exitcode(status)
    text = log.read_text(errors="replace")
    counted = re.search(r"number_of_executed_units: (\d+)|^differential +([\d,]+) cases", text, re.MULTILINE)
    covered = re.findall(r"cov: (\d+)", text)
    return Outcome(
        name,
        int((counted[1] or counted[2]).replace(",", "")) if counted else 0,
        time.monotonic() - began,
        usage.ru_utime + usage.ru_stime,
        int(covered[-1]) if covered else 0,
        child.returncode,
        text,
    )


def _told(text: str) -> str:
    """What was found, out of all that libFuzzer says."""
    lines = text.splitlines()
    first = next(
        (
            at
            for at, line in enumerate(lines)
            if re.search(r"not so:|ERROR|runtime error|Uncaught|differs in|Traceback", line)
        ),
        0,
    )
    noise = re.compile(r"in fuzzer::|libc|DEDUP|0x[0-9a-f]+,0x")
    kept = [line for line in lines[max(0, first - 2) :] if not noise.search(line)]
    return "\n".join(kept[:40])


def note(name: str, executions: int, seconds: float, processor: float, finds: int, **more: int) -> None:
    """Add a run to the figures of its target."""
    figures = json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
    row = figures.setdefault(name, {"executions": 0, "seconds": 0, "processor_seconds": 0, "finds": 0})
    row["executions"] += executions
    row["seconds"] = round(row["seconds"] + seconds)
    row["processor_seconds"] = round(row["processor_seconds"] + processor)
    row["finds"] += finds
    row.update(more)
    FIGURES.parent.mkdir(parents=True, exist_ok=True)
    whole = FIGURES.with_suffix(".new")
    whole.write_text(json.dumps(figures, indent=2, sort_keys=True) + "\n")
    whole.replace(FIGURES)


def main() -> int:
    parser = argparse.ArgumentParser(description="Fuzz vxtool.")
    parser.add_argument("--seconds", type=int, default=60, help="for each target (60)")
    parser.add_argument("--side-by-side", type=int, default=1, metavar="N", help="targets at a time (1)")
    parser.add_argument("--replay", action="store_true", help="only run what was once found")
    parser.add_argument("targets", nargs="*", choices=[[], *NAMES], metavar="TARGET", help=", ".join(NAMES))
    given = parser.parse_args()
    if given.replay:
        return replay(os.environ.get("CC", "cc"))
    names = given.targets or list(NAMES)
    if shutil.which("clang") is None:
        print("fuzz: no clang was found; on Debian install clang and libclang-rt-dev", file=sys.stderr)
        return 2
    for name in names:
        if name in TARGETS:
            build(name)
    failed = 0
    with ThreadPoolExecutor(given.side_by_side) as pool:
        for outcome in pool.map(lambda name: run(name, given.seconds), names):
            if outcome.status in STOPPED:
                print(f"{outcome.name:16} was stopped", flush=True)
                continue
            found = outcome.status != 0
            failed += found
            if outcome.name != DIFFERENTIAL:  # which notes its own
                times = outcome.seconds, outcome.processor
                note(outcome.name, outcome.executions, *times, int(found), edges=outcome.covered)
            print(
                f"{outcome.name:16} {outcome.executions:>12,} executions in {outcome.seconds:.0f} s "
                f"({outcome.processor:.0f} s of a processor)"
                + (f", {outcome.covered:,} edges" if outcome.covered else "")
                + (": FOUND SOMETHING" if found else ""),
                flush=True,
            )
            if found:
                print(_told(outcome.text), flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
