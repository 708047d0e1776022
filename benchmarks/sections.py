"""What is measured: vxtool beside its peers, lists of packets, kinds of captures beside each other, growth,
start-up, the codec.

Each section measures, prints its tables, and returns its figures as plain values for the JSON. Bars, the limits
that vxtool is held to, are gathered on the way and printed at the end.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks import peers as programs
from benchmarks.inputs import CASES, SOURCES, Case, Input, make
from benchmarks.measure import Job, Line, Spread, Stopwatch, interleave, ratio
from benchmarks.peers import (
    LOOP,
    ONE_CORE,
    PURE_BUDGET,
    SUMMARY,
    SUMMARY_COLUMNS,
    TSHARK,
    VXTOOL,
    Peer,
)
from benchmarks.tables import count, figure, megabytes, percent, rate, seconds, spread, table

FEWEST_RECORDS = 400  # of any capture
BARS_RECORDS = 4_000_000
SUMMARY_RECORDS = 1_000_000
VARIANTS = ("flows", "open", "ipv6", "drops", "fragments", "fragments-full", "sll", "ethernet", "pcapng", "gzip")
PEER_CASES = ("small", "imix", "full")
GROWTH_FLOWS = (1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000)
GROWTH_OPEN = (60, 1_000, 3_000, 10_000, 30_000, 100_000)
GROWTH_RECORDS = (1, 2, 4, 8, 16, 32)  # quarters of --records: 1 to 32 million
REPOSITORY = Path(__file__).resolve().parent.parent
_BOTH = ("native", "pure")
SMALL_CAPTURE = REPOSITORY / "captures" / "vxlan.pcap"


@dataclass(frozen=True)
class Bar:
    """A limit: `found` must be at most (or at least) `limit`."""

    what: str
    found: Spread
    limit: float
    at_most: bool
    unit: str = "x"

    @property
    def met(self) -> bool:
        return self.found.median <= self.limit if self.at_most else self.found.median >= self.limit


@dataclass
class Bench:
    """The run: its options, the programs built for it, and the bars gathered so far."""

    directory: Path
    maker: Path
    stopwatch: Stopwatch
    loop: Path | None
    vxtool: Sequence[str]
    engine: str
    environment: dict[str, str]
    records: int
    rounds: int
    thrift: int  # slow programs get so many times fewer records than their budget
    keep: bool
    wanted: Callable[[str], bool]  # whether a program of this name was asked for
    tell: Callable[[str], None]
    bars: list[Bar] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)

    def say(self, text: str = "") -> None:
        self.tell("")
        print(text, flush=True)

    @contextmanager
    def input(self, case: Case) -> Iterator[Input]:
        """The capture of `case`, removed again unless it is to be kept."""
        self.tell(f"making {case.name}, {count(case.records)} records")
        made = make(self.maker, case, self.directory)
        try:
            yield made
        finally:
            if not self.keep:
                made.remove()

    def available(self, all_peers: Sequence[Peer]) -> list[Peer]:
        chosen = [peer for peer in all_peers if self.wanted(peer.name)]
        self.left_out |= {peer.name: peer.needs for peer in chosen if peer.needs is not None}
        return [peer for peer in chosen if peer.needs is None]

    def run(self, jobs: Sequence[Job], rounds: int | None = None) -> list[Job]:
        worked = interleave(jobs, rounds or self.rounds, self.stopwatch, self.environment, self.tell)
        self.problems += [f"{job.name}: {problem}" for job in jobs for problem in job.problems]
        return worked

    def bar_ratio(
        self, what: str, found: Spread, limit: float, *, at_most: bool, engines: Sequence[str] = ("native",)
    ) -> None:
        """Hold a ratio to its limit, where one of `engines` runs."""
        if self.engine in engines:
            self.bars.append(Bar(what, found, limit, at_most))

    def bar_memory(self, what: str, peak: int, limit: float) -> None:
        """Hold a peak, in bytes, to its limit in MB (1,000,000 bytes)."""
        if self.engine == "native":
            found = peak / 1e6
            self.bars.append(Bar(what, Spread(found, found, found), limit, True, "MB"))


@contextmanager
def _jobs(bench: Bench, case: Case, all_peers: Sequence[Peer], prefix: str = "") -> Iterator[list[Job]]:
    """A job for each program on `case`; captures that several share are made once."""
    made: dict[int, Input] = {}
    opened = []
    try:

        def input_of(records: int) -> Input:
            if records not in made:
                context = bench.input(case.with_records(records))
                made[records] = context.__enter__()
                opened.append(context)
            return made[records]

        jobs = []
        for peer in all_peers:
            if peer.budget is None or peer.budget // bench.thrift >= case.records:
                inputs: tuple[Input, ...] = (input_of(case.records),)
                records = inputs[0].records
            else:
                more = max(FEWEST_RECORDS, peer.budget // bench.thrift)
                inputs = (input_of(more // 4), input_of(more))
                records = made[case.records].records if case.records in made else case.records
            jobs.append(
                Job(prefix + peer.name, peer.command, inputs, records, peer.check, dict(peer.environment))
            )
        yield jobs
    finally:
        for context in opened:
            context.__exit__(None, None, None)


def _by_name(jobs: Sequence[Job]) -> dict[str, Job]:
    return {job.name: job for job in jobs}


def _figures(job: Job, reference: Job | None) -> dict[str, Any]:
    time, per_second = job.time(), job.rate()
    return {
        "program": job.name,
        "records": job.records,
        "measured_on_records": [source.records for source in job.inputs],
        "seconds": {"median": time.median, "least": time.least, "most": time.most},
        "records_per_second": {"median": per_second.median, "least": per_second.least, "most": per_second.most},
        "startup_seconds": job.startup(),
        "cpu_seconds": job.cpu(),
        "peak_bytes": job.peak(),
        "times_vxtool": vars(ratio(job, reference)) if reference is not None else None,
        "rounds": [[vars(run) for run in runs] for runs in job.rounds],
    }


# vxtool beside its peers, on one capture.


def compare_peers(bench: Bench, name: str) -> dict[str, Any]:
    """Every program on the capture of one case."""
    case = CASES[name].with_records(bench.records)
    chosen = programs.vxtool_peers(bench.vxtool, bench.engine) + programs.bare_peers(bench.loop)
    chosen += programs.other_peers()
    with _jobs(bench, case, bench.available(chosen)) as jobs:
        size = max((job.inputs[-1].bytes for job in jobs), default=0)
        worked = bench.run(jobs)
    found = _by_name(worked)
    reference, loop = found.get(VXTOOL), found.get(LOOP)
    does = {peer.name: peer.does for peer in chosen}
    rows = []
    for job in sorted(worked, key=lambda each: each.time().median):
        startup = job.startup()
        note = does[job.name]
        if startup is not None:
            note += f"; on {count(job.inputs[1].records)} records, start-up {seconds(startup)} apart"
        rows.append(
            (
                job.name,
                rate(job.rate().median),
                percent(job.rate().relative),
                seconds(job.time().median),
                spread(ratio(job, reference)) if reference else "",
                figure(ratio(job, loop).median) if loop else "",
                megabytes(job.peak()),
                note,
            )
        )
    bench.say(f"\n{case.title}: {count(case.records)} records, {count(case.flows)} flows, {megabytes(size)} MB\n")
    headers = ("program", "records/s", "spread", "whole file", "x vxtool", "x libpcap", "peak MB", "")
    bench.say(table(headers, rows, left=(0, 7)))
    if name == "small":
        _peer_bars(bench, found)
    figures = [_figures(job, reference) for job in worked]
    return {"case": name, "title": case.title, "bytes": size, "programs": figures}


def _peer_bars(bench: Bench, found: Mapping[str, Job]) -> None:
    reference = found.get(VXTOOL)
    if reference is None:
        return
    if LOOP in found:
        bench.bar_ratio("analyze / libpcap's bare loop", ratio(reference, found[LOOP]), 1.0, at_most=True)
        if ONE_CORE in found:
            one_core = ratio(found[ONE_CORE], found[LOOP])
            bench.bar_ratio("analyze on one core / libpcap's bare loop", one_core, 1.5, at_most=True)
    for name, limit in (("tshark -z conv,ip", 150), ("tcpdump -nn", 150), ("dpkt", 200), ("scapy", 5000)):
        if name in found:
            bench.bar_ratio(f"{name} / analyze", ratio(found[name], reference), limit, at_most=False)
    pure = found.get("vxtool, pure engine", reference if bench.engine == "pure" else None)
    if pure is not None and "dpkt" in found:
        bench.bar_ratio("dpkt / pure engine", ratio(found["dpkt"], pure), 1.0, at_most=False, engines=_BOTH)
    bench.bar_memory("peak memory of analyze", reference.peak(), 80)


# Lists of packets.


def summaries(bench: Bench) -> dict[str, Any]:
    """vxtool summary beside tshark, each with as many lines as there are datagrams or records."""
    case = CASES["small"].with_records(min(bench.records, SUMMARY_RECORDS))
    chosen = programs.summary_peers(bench.vxtool, bench.engine)
    with _jobs(bench, case, bench.available(chosen)) as jobs:
        worked = bench.run(jobs)
    found = _by_name(worked)
    tshark = found.get(TSHARK)
    does = {peer.name: peer.does for peer in chosen}
    rows = [
        (
            job.name,
            rate(job.rate().median),
            percent(job.rate().relative),
            seconds(job.time().median),
            spread(ratio(tshark, job)) if tshark else "",
            megabytes(job.peak()),
            does[job.name],
        )
        for job in sorted(worked, key=lambda each: each.time().median)
    ]
    bench.say(f"\nLists of packets; {case.title}: {count(case.records)} records\n")
    headers = ("program", "records/s", "spread", "whole file", "tshark / it", "peak MB", "")
    bench.say(table(headers, rows, left=(0, 6)))
    for name in (SUMMARY, SUMMARY_COLUMNS):
        if tshark is not None and name in found:
            bench.bar_ratio(f"tshark / {name}", ratio(tshark, found[name]), 10, at_most=False)
    return {job.name: _figures(job, found.get(SUMMARY)) for job in worked}


# Kinds of captures beside each other, in the same rounds.


def compare_variants(bench: Bench, names: Sequence[str]) -> dict[str, Any]:
    """vxtool and the bare loop on the plain capture and on its variants, all interleaved."""
    contexts = []
    jobs: list[Job] = []
    try:
        for name in ("small", *names):
            case = CASES[name].with_records(bench.records)
            chosen = [peer for peer in programs.vxtool_peers(bench.vxtool, bench.engine) if peer.name == VXTOOL]
            # libpcap reads no gzip; gzip itself is what is to be compared with there.
            chosen += [programs.gzip_peer()] if case.compressed else programs.bare_peers(bench.loop)[:1]
            context = _jobs(bench, case, bench.available(chosen), prefix=f"{name}: ")
            jobs += context.__enter__()
            contexts.append(context)
        sizes = {job.name: job.inputs[-1].bytes for job in jobs}
        worked = bench.run(jobs)
    finally:
        for context in contexts:
            context.__exit__(None, None, None)
    found = _by_name(worked)
    plain = found.get(f"small: {VXTOOL}")
    rows = []
    for name in ("small", *names):
        job = found.get(f"{name}: {VXTOOL}")
        if job is None:
            continue
        reader = found.get(f"{name}: {LOOP}") or found.get(f"{name}: gzip -dc")
        rows.append(
            (
                name,
                CASES[name].title,
                count(job.inputs[-1].records) + (f" of {count(job.records)}" if job.on_prefix else ""),
                count(job.inputs[-1].case.flows),
                count(job.inputs[-1].case.open),
                megabytes(sizes[job.name]),
                rate(job.rate().median),
                percent(job.rate().relative),
                seconds(job.time().median),
                spread(ratio(job, plain, by_record=True)) if plain else "",
                spread(ratio(job, reader)) if reader else "",
                megabytes(job.peak()),
            )
        )
    bench.say("\nKinds of captures; x small is by record; x reader: libpcap's bare loop, for gzip `gzip -dc`\n")
    headers = ("case", "", "records", "flows", "open", "MB", "records/s", "spread", "time", "x small", "x reader")
    bench.say(table((*headers, "peak MB"), rows, left=(0, 1)))
    if plain is not None:
        for name, limit in (("open", 2), ("ipv6", 2), ("fragments", 2), ("drops", 2), ("flows", 3)):
            if (job := found.get(f"{name}: {VXTOOL}")) is not None:
                what = f"analyze of {name} / of small"
                bench.bar_ratio(what, ratio(job, plain, by_record=True), limit, at_most=True)
    if (job := found.get(f"gzip: {VXTOOL}")) is not None and "gzip: gzip -dc" in found:
        bench.bar_ratio("analyze of gzip / gzip -dc", ratio(job, found["gzip: gzip -dc"]), 1.2, at_most=True)
    if (job := found.get(f"flows: {VXTOOL}")) is not None:
        bench.bar_memory(f"peak memory of analyze, {count(job.inputs[-1].case.flows)} flows", job.peak(), 400)
    return {"programs": [_figures(job, plain) for job in worked]}


# Cost as work grows.


def growth(bench: Bench) -> dict[str, Any]:
    """Time and memory against records, flows and open journeys."""
    unit = bench.records if bench.engine == "native" else min(bench.records, PURE_BUDGET // 2 // bench.thrift)
    plain = CASES["small"]
    series = {
        "records": [plain.with_records(max(FEWEST_RECORDS, unit * quarters // 4)) for quarters in GROWTH_RECORDS],
        "flows": _distinct(replace(plain, flows=flows).with_records(unit) for flows in GROWTH_FLOWS),
        "open": _distinct(replace(plain, open=journeys).with_records(unit) for journeys in GROWTH_OPEN),
    }
    titles = {"records": "records", "flows": "flows", "open": "open journeys"}
    result: dict[str, Any] = {}
    if unit != bench.records:
        bench.say("\nThe pure engine runs: the cost as work grows is taken on shorter captures.")
    for name, cases in series.items():
        points = [point for case in cases if (point := _grow(bench, name, case)) is not None]
        rows = [
            (
                count(point["x"]),
                count(point["records"]),
                seconds(point["seconds"]["median"]),
                percent(Spread(**point["seconds"]).relative),
                rate(point["records"] / point["seconds"]["median"]),
                megabytes(point["peak_bytes"]),
                seconds(point["libpcap_seconds"]["median"]) if point["libpcap_seconds"] else "",
            )
            for point in points
        ]
        if not points:
            continue
        bench.say(f"\nCost against {titles[name]}\n")
        headers = (titles[name], "records", "time", "spread", "records/s", "peak MB", "libpcap")
        bench.say(table(headers, rows, left=()))
        lines = {}
        if len(points) > 1:
            xs = [point["x"] for point in points]
            time = Line.through(xs, [point["seconds"]["median"] for point in points])
            memory = Line.through(xs, [point["peak_bytes"] for point in points])
            lines = {"seconds": vars(time), "peak_bytes": vars(memory)}
            each = titles[name].removesuffix("s")
            bench.say(
                f"\nleast squares: {time.slope * 1e9:.1f} ns for each {each} over {time.intercept * 1e3:.1f} ms, "
                f"r² {time.r_squared:.4f}; {memory.slope:.2f} bytes of memory for each {each} over "
                f"{megabytes(memory.intercept)} MB, r² {memory.r_squared:.4f}"
            )
        result[name] = {"points": points, "lines": lines}
        if name == "records":
            what = f"peak memory of analyze, {count(points[-1]['records'])} records"
            bench.bar_memory(what, points[-1]["peak_bytes"], 80)
    return result


def _distinct(cases: Iterator[Case]) -> list[Case]:
    return list(dict.fromkeys(cases))


def _grow(bench: Bench, name: str, case: Case) -> dict[str, Any] | None:
    chosen = [peer for peer in programs.vxtool_peers(bench.vxtool, bench.engine) if peer.name == VXTOOL]
    if name == "records":
        chosen += programs.bare_peers(bench.loop)[:1]
    chosen = [replace(peer, budget=None) for peer in bench.available(chosen)]
    with _jobs(bench, case, chosen) as jobs:
        found = _by_name(bench.run(jobs, min(bench.rounds, 3)))
    job, loop = found.get(VXTOOL), found.get(LOOP)
    if job is None:
        return None
    return {
        "x": {"records": job.records, "flows": case.flows, "open": case.open}[name],
        "records": job.records,
        "seconds": vars(job.time()),
        "peak_bytes": job.peak(),
        "libpcap_seconds": vars(loop.time()) if loop else None,
    }


# Start-up.


def startup(bench: Bench) -> dict[str, Any]:
    """Short runs of vxtool beside the start of an interpreter that imports click."""
    click, nothing = "python -c 'import click'", "python -c pass"
    analyze = [*bench.vxtool, "analyze", str(SMALL_CAPTURE)]
    commands = {
        nothing: [sys.executable, "-c", "pass"],
        click: [sys.executable, "-c", "import click"],
        "vxtool --version": [*bench.vxtool, "--version"],
        "vxtool analyze vxlan.pcap": analyze,
        "vxtool analyze vxlan.pcap, JSON": [*analyze, "--format", "json"],
    }
    jobs = [
        Job(name, lambda paths, words=words: list(words), (_NO_INPUT,), 1)  # type: ignore[misc]
        for name, words in commands.items()
    ]
    jobs = bench.run(jobs, 1)  # what is compiled or cached at the first start is not what is asked for
    for job in jobs:
        job.rounds.clear()
    worked = bench.run(jobs, max(11, bench.rounds))
    found = _by_name(worked)
    reference = found.get(click)
    rows = [
        (
            job.name,
            seconds(job.time().median),
            percent(job.time().relative),
            spread(ratio(job, reference)) if reference else "",
            megabytes(job.peak()),
        )
        for job in worked
    ]
    bench.say("\nStart-up; vxlan.pcap has four records\n")
    bench.say(table(("command", "time", "spread", "x import click", "peak MB"), rows))
    if reference is not None:
        for name, limit in zip(list(commands)[2:], (1.3, 2.0, 2.0), strict=True):
            if name in found:
                found_ratio = ratio(found[name], reference)
                bench.bar_ratio(f"{name} / {click}", found_ratio, limit, at_most=True, engines=_BOTH)
    return {job.name: {"seconds": vars(job.time()), "peak_bytes": job.peak()} for job in worked}


_NO_INPUT = Input(CASES["small"], (), {"records": 1, "files": []})


# The codec.


def codec(bench: Bench) -> dict[str, Any]:
    """Nanoseconds for one packet decoded, and encoded in two ways: vxtool's two codecs, dpkt, scapy."""
    libraries: dict[str, tuple[str, dict[str, str]]] = {
        "vxtool, native": ("vxtool", {"VXTOOL_ENGINE": "native"}),
        "vxtool, pure": ("vxtool", {"VXTOOL_ENGINE": "pure"}),
        "dpkt": ("dpkt", {}),
        "scapy": ("scapy", {}),
    }
    if bench.engine == "pure":
        del libraries["vxtool, native"]
    measured: dict[str, dict[str, list[float]]] = {
        name: {"decode": [], "encode": [], "layers": []} for name in libraries
    }
    for number in range(bench.rounds):
        for name, (library, environment) in libraries.items():
            bench.tell(f"round {number + 1} of {bench.rounds}: codec of {name}")
            command = [sys.executable, str(SOURCES / "codec_loop.py"), library]
            whole = bench.environment | environment
            _, printed, problem = bench.stopwatch.run(command, whole, keep_output=True)
            if problem:
                bench.problems.append(f"codec of {name}: {problem}")
                continue
            for what, nanoseconds in json.loads(printed).items():
                measured[name][what].append(nanoseconds)
    worked = {name: each for name, each in measured.items() if len(each["decode"]) == bench.rounds}
    first = next(iter(libraries))
    rows = []
    for name, each in worked.items():
        cells = [name]
        for what in ("decode", "encode", "layers"):
            cells += [figure(Spread.of(each[what]).median), percent(Spread.of(each[what]).relative)]
            cells.append(figure(_quotient(each[what], worked[first][what]).median) if first in worked else "")
        rows.append(tuple(cells))
    bench.say("\nOne packet of SLL2 / IPv4 / UDP / VXLAN / Ethernet / IPv4 / ICMP; ns\n")
    bench.say("decode reads one field of each layer; encode puts the outer headers around an inner frame's bytes;")
    bench.say("layers makes all seven layers from plain values, and then the bytes\n")
    titles = [title for what in ("decode", "encode", "layers") for title in (what, "spread", f"x {first}")]
    bench.say(table(("", *titles), rows))
    if first in worked:
        for other, what, limit in (
            ("dpkt", "decode", 30),
            ("scapy", "decode", 500),
            ("vxtool, pure", "decode", 10),
            ("dpkt", "encode", 50),
            ("scapy", "encode", 500),
        ):
            if other in worked and other != first:
                quotient = _quotient(worked[other][what], worked[first][what])
                bench.bar_ratio(f"{what}: {other} / {first}", quotient, limit, at_most=False)
    return {name: {what: vars(Spread.of(values)) for what, values in each.items()} for name, each in worked.items()}


def _quotient(values: Sequence[float], others: Sequence[float]) -> Spread:
    return Spread.of([value / other for value, other in zip(values, others, strict=True)])


def show_bars(bench: Bench) -> list[dict[str, Any]]:
    """The limits, and whether they were met."""
    if bench.bars:
        rows = [
            (
                bar.what,
                spread(bar.found) if bar.unit == "x" else figure(bar.found.median),
                f"{'at most' if bar.at_most else 'at least'} {bar.limit:g} {bar.unit}",
                "met" if bar.met else "NOT MET",
            )
            for bar in bench.bars
        ]
        scale = "" if bench.records >= BARS_RECORDS else f"; they are meant for {count(BARS_RECORDS)} records"
        bench.say(f"\nBars{scale}\n")
        bench.say(table(("", "found", "bar", ""), rows, left=(0, 2, 3)))
    return [
        {
            "what": bar.what,
            "found": vars(bar.found),
            "limit": bar.limit,
            "at_most": bar.at_most,
            "unit": bar.unit,
            "met": bar.met,
        }
        for bar in bench.bars
    ]
