"""`python -m benchmarks`: make captures, run vxtool and its peers on them, print what it took."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks import machine, sections
from benchmarks.drawing import draw
from benchmarks.inputs import CASES, BuildError, build
from benchmarks.measure import Stopwatch
from benchmarks.peers import vxtool_command
from benchmarks.tables import count, megabytes

SECTIONS = ("peers", "summary", "kinds", "growth", "startup", "codec")
QUICK_RECORDS, QUICK_ROUNDS = 200_000, 3
QUICK_BUDGET = 5  # slow programs get so many times fewer records


def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure vxtool beside its peers on captures that are made for it: whole processes, wall time, "
        "warm page cache, interleaved rounds. Exits with 1 if a program failed or its result was not true.",
    )
    add = result.add_argument
    add("--section", action="append", choices=SECTIONS, metavar="NAME", help=f"only these: {', '.join(SECTIONS)}")
    add("--case", action="append", choices=list(CASES), metavar="NAME", help="only these captures (see --list)")
    add("--program", action="append", metavar="TEXT", help="only programs whose name holds one of these texts")
    add("--records", type=_positive, help="records of a capture (4,000,000); what grows, grows to 8 times that")
    add("--rounds", type=_positive, help="rounds (5)")
    add("--quick", action="store_true", help="about a minute: 200,000 records, 3 rounds, slow programs on less")
    add("--work-dir", type=Path, metavar="DIR", help="where captures go (a temporary directory; about 12 GB)")
    add("--keep", action="store_true", help="leave the captures in --work-dir")
    add("--vxtool", metavar="COMMAND", help="how to start vxtool (as installed beside this Python)")
    add("--json", type=Path, metavar="FILE", help="write all figures there too")
    add("--svg", type=Path, metavar="FILE", help="draw the cost as work grows there")
    add("--list", action="store_true", help="list the captures and end")
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    if options.list:
        for case in CASES.values():
            print(f"{case.name:16}{case.title}")
        return 0
    if options.keep and options.work_dir is None:
        parser().error("--keep: expected with --work-dir DIR")
    started = time.monotonic()
    try:
        with _work_dir(options.work_dir) as directory:
            bench = _prepare(options, directory)
            figures = _measure(bench, options)
    except BuildError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nbenchmarks: interrupted", file=sys.stderr)
        return 130
    for name, why in bench.left_out.items():
        print(f"\nleft out: {name}: {why}")
    for problem in bench.problems:
        print(f"\nWRONG: {problem}")
    print(f"\n{time.monotonic() - started:.0f} s in all")
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    if options.svg is not None and "growth" in figures:
        options.svg.write_text(draw(figures["growth"], _caption(figures["machine"])))
    return 1 if bench.problems else 0


def _positive(text: str) -> int:
    value = int(text.replace(",", "").replace("_", ""))
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected a number above 0, found {text}")
    return value


@contextlib.contextmanager
def _work_dir(given: Path | None) -> Iterator[Path]:
    if given is not None:
        given.mkdir(parents=True, exist_ok=True)
        yield given.resolve()
    else:
        with tempfile.TemporaryDirectory(prefix="vxtool-bench-") as name:
            yield Path(name)


def _prepare(options: argparse.Namespace, directory: Path) -> sections.Bench:
    vxtool = vxtool_command(shlex.split(options.vxtool) if options.vxtool else ())
    environment = dict(os.environ)
    # Programs run in the work directory; what was relative is to mean what it meant.
    if "PYTHONPATH" in environment:
        paths = environment["PYTHONPATH"].split(os.pathsep)
        environment["PYTHONPATH"] = os.pathsep.join(str(Path(path).resolve()) for path in paths)
    maker, runner = build("make_input", directory), build("run_timed", directory)
    try:
        loop = build("libpcap_loop", directory, ["-lpcap"])
    except BuildError:
        loop = None
    wanted = options.program
    return sections.Bench(
        directory=directory,
        maker=maker,
        stopwatch=Stopwatch(runner, directory),
        loop=loop,
        vxtool=vxtool,
        engine=_engine(_version(vxtool, environment, directory)),
        environment=environment,
        records=options.records or (QUICK_RECORDS if options.quick else 4_000_000),
        rounds=options.rounds or (QUICK_ROUNDS if options.quick else 5),
        thrift=QUICK_BUDGET if options.quick else 1,
        keep=options.keep,
        wanted=lambda name: not wanted or any(text.lower() in name.lower() for text in wanted),
        tell=_teller(),
    )


def _teller() -> Callable[[str], None]:
    """Shows one changing line of progress on a terminal, and nothing elsewhere."""
    if not sys.stderr.isatty():
        return lambda text: None
    return lambda text: print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def _version(vxtool: Sequence[str], environment: dict[str, str], directory: Path) -> str:
    try:
        done = subprocess.run(
            [*vxtool, "--version"], capture_output=True, text=True, env=environment, cwd=directory
        )
    except OSError as error:
        raise BuildError(f"{vxtool[0]}: {error.strerror}; install vxtool, or name it by --vxtool") from None
    if done.returncode != 0:
        said = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise BuildError(f"{shlex.join(vxtool)} --version fails: {said}; install vxtool, or name it by --vxtool")
    return done.stdout.strip()


def _engine(version: str) -> str:
    found = re.search(r"\((\w+) engine\)", version)
    return found.group(1) if found else "native"


def _measure(bench: sections.Bench, options: argparse.Namespace) -> dict[str, Any]:
    figures: dict[str, Any] = {
        "machine": machine.describe(_version(bench.vxtool, bench.environment, bench.directory)),
        "records": bench.records,
        "rounds": bench.rounds,
    }
    _introduce(bench, figures["machine"])
    chosen = options.section or SECTIONS
    cases = options.case or list(CASES)
    if "peers" in chosen:
        # A short run has time for one kind of packets only.
        names = [name for name in sections.PEER_CASES if name in cases and (not options.quick or options.case)]
        figures["peers"] = [sections.compare_peers(bench, name) for name in names or ["small"] * options.quick]
    if "summary" in chosen and not options.case:
        figures["summary"] = sections.summaries(bench)
    if "kinds" in chosen:
        names = [name for name in sections.VARIANTS if name in cases]
        figures["kinds"] = sections.compare_variants(bench, names) if names else {}
    if "growth" in chosen and not options.case:
        figures["growth"] = sections.growth(bench)
    if "startup" in chosen and not options.case:
        figures["startup"] = sections.startup(bench)
    if "codec" in chosen and not options.case:
        figures["codec"] = sections.codec(bench)
    figures["bars"] = sections.show_bars(bench)
    figures["left_out"] = bench.left_out
    figures["problems"] = bench.problems
    return figures


def _introduce(bench: sections.Bench, about: dict[str, Any]) -> None:
    versions = about["versions"]
    print(f"{versions['vxtool']}; {about['processor']}, {about['cores']} cores, "
          f"{megabytes(about['memory_bytes'] / 1000)} GB; {about['system']}")  # fmt: skip
    print("; ".join(f"{name} {version}" for name, version in versions.items() if name != "vxtool"))
    print(f"{count(bench.records)} records, {bench.rounds} rounds; medians; spread: half the range; [least, most]")
    if about["load_before"] > about["cores"] / 4:
        print(f"note: the machine was busy before this began (load {about['load_before']:.1f})")


def _caption(about: dict[str, Any]) -> str:
    where = f"{about['processor']}, {about['cores']} cores; {about['versions']['vxtool']}"
    return f"{where}; small packets, 5,000 flows and 60 open journeys where not varied"


if __name__ == "__main__":
    sys.exit(main())
