"""Timing whole processes, side by side.

A `Job` is one program on one capture. Jobs of a group run interleaved: every round runs each of them once, in an
order that turns by one from round to round, so that what disturbs the machine for a while disturbs all alike.
Ratios are taken within a round and then reduced to their median; the spread is shown beside it.

A slow program runs on two shorter captures in each round. The difference gives its time for each record without its
start-up, and from that follows the time that the long capture would take, its start-up counted once.
"""

from __future__ import annotations

import statistics
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.inputs import Input

# Says what is wrong with what a program printed about an input; empty where all is well.
Check = Callable[[bytes, Input], list[str]]


@dataclass(frozen=True)
class Run:
    """One process: its wall and CPU time in seconds, and its peak resident memory in bytes."""

    wall: float
    cpu: float
    peak: int


@dataclass(frozen=True)
class Spread:
    """The median of some rounds, and the least and the most among them."""

    median: float
    least: float
    most: float

    @staticmethod
    def of(values: Sequence[float]) -> Spread:
        return Spread(statistics.median(values), min(values), max(values))

    @property
    def relative(self) -> float:
        """Half the range, as a part of the median."""
        return (self.most - self.least) / 2 / self.median if self.median else 0.0


@dataclass
class Job:
    """A program on a capture: `command` makes its arguments from the capture's paths.

    `inputs` holds the capture itself, or the shorter and the longer beginning of it that a slow program gets; then
    `records` is the length of the whole. Timings that failed or printed what is not true are in `problems`.
    """

    name: str
    command: Callable[[Sequence[Path]], list[str]]
    inputs: tuple[Input, ...]
    records: int
    check: Check | None = None
    environment: dict[str, str] = field(default_factory=dict)
    rounds: list[tuple[Run, ...]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def on_prefix(self) -> bool:
        return len(self.inputs) == 2

    def seconds(self) -> list[float]:
        """For each round the time of the whole capture: measured, or reckoned from the two beginnings."""
        if not self.on_prefix:
            return [runs[0].wall for runs in self.rounds]
        return [
            runs[1].wall + each * (self.records - self.inputs[1].records)
            for runs, each in zip(self.rounds, self._seconds_each(), strict=True)
        ]

    def _seconds_each(self) -> list[float]:
        """For each round the time of one record without start-up, which is taken from the medians of all."""
        startup = self.startup() or 0.0
        return [max(runs[1].wall - startup, 1e-9) / self.inputs[1].records for runs in self.rounds]

    def rate(self) -> Spread:
        """Records a second; of a slow program without its start-up."""
        each = self._seconds_each() if self.on_prefix else [wall / self.records for wall in self.seconds()]
        return Spread.of([1 / value for value in each])

    def startup(self) -> float | None:
        """Of a slow program: what it takes before its first record, in seconds."""
        if not self.on_prefix:
            return None
        fewer, more = (each.records for each in self.inputs)
        short, long = (statistics.median(runs[index].wall for runs in self.rounds) for index in (0, 1))
        # Where start-up is nearly all there is, the longer can come out the faster by chance.
        return max(0.0, short - fewer * max(0.0, long - short) / (more - fewer))

    def time(self) -> Spread:
        return Spread.of(self.seconds())

    def cpu(self) -> float:
        """Seconds of CPU, of what really ran."""
        return statistics.median(runs[-1].cpu for runs in self.rounds)

    def peak(self) -> int:
        """Bytes; the most of all rounds, of what really ran."""
        return max(run.peak for runs in self.rounds for run in runs)


def ratio(job: Job, other: Job, *, by_record: bool = False) -> Spread:
    """How many times as long `job` takes as `other`: round by round, then the median.

    `by_record` compares times for each record, where the two captures differ a little in length.
    """
    scale = other.records / job.records if by_record else 1.0
    return Spread.of([mine / theirs * scale for mine, theirs in zip(job.seconds(), other.seconds(), strict=True)])


class Stopwatch:
    """Runs commands by `programs/run_timed.c`, in `directory`."""

    def __init__(self, runner: Path, directory: Path) -> None:
        self._runner = runner
        self._directory = directory
        self._result = directory / "timing"
        self._output = directory / "output"

    def run(
        self, command: Sequence[str], environment: dict[str, str], *, keep_output: bool
    ) -> tuple[Run, bytes, str]:
        """The cost of one process, what it printed, and what went wrong (empty if nothing)."""
        target = self._output if keep_output else Path("/dev/null")
        with target.open("wb") as output:
            done = subprocess.run(
                [str(self._runner), str(self._result), *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.PIPE,
                env=environment,
                cwd=self._directory,
                text=True,
                errors="replace",
            )
        if done.returncode != 0:
            return Run(0.0, 0.0, 0), b"", f"{command[0]}: {done.stderr.strip()}"
        wall, cpu, peak, status = map(int, self._result.read_text().split())
        problem = ""
        if status != 0:
            said = done.stderr.strip().splitlines()
            problem = f"exit status {status}" + (f": {said[-1]}" if said else "")
        printed = self._output.read_bytes() if keep_output else b""
        return Run(wall / 1e9, cpu / 1e9, peak * 1024), printed, problem


def interleave(
    jobs: Sequence[Job],
    rounds: int,
    stopwatch: Stopwatch,
    base_environment: dict[str, str],
    tell: Callable[[str], None],
) -> list[Job]:
    """Run every job `rounds` times and return those that worked; a job that fails is told and left out."""
    for each in {path for job in jobs for source in job.inputs for path in source.paths}:
        _warm(each)
    working = list(jobs)
    for number in range(rounds):
        turn = number % len(working) if working else 0
        for job in working[turn:] + working[:turn]:
            tell(f"round {number + 1} of {rounds}: {job.name}")
            runs = []
            for source in job.inputs:
                run, printed, problem = stopwatch.run(
                    job.command(source.paths), base_environment | job.environment, keep_output=job.check is not None
                )
                if not problem and job.check is not None:
                    problem = "; ".join(job.check(printed, source))
                if problem:
                    about = f"{source.case.name}, {source.records} records: " if source.paths else ""
                    job.problems.append(about + problem)
                runs.append(run)
            job.rounds.append(tuple(runs))
        working = [job for job in working if not job.problems]
    return working


def _warm(path: Path) -> None:
    """Have the file in the page cache, as far as memory allows."""
    with path.open("rb") as file:
        while file.read(1 << 20):
            pass


@dataclass(frozen=True)
class Line:
    """A straight line through points by least squares, and how well it fits."""

    slope: float
    intercept: float
    r_squared: float

    @staticmethod
    def through(xs: Sequence[float], ys: Sequence[float]) -> Line:
        """Raises ValueError for fewer than two different x."""
        mean_x, mean_y = statistics.fmean(xs), statistics.fmean(ys)
        width = sum((x - mean_x) ** 2 for x in xs)
        if not width:
            raise ValueError("a line needs two different x")
        slope = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True)) / width
        intercept = mean_y - slope * mean_x
        whole = sum((y - mean_y) ** 2 for y in ys)
        left = sum((y - intercept - slope * x) ** 2 for x, y in zip(xs, ys, strict=True))
        return Line(slope, intercept, 1 - left / whole if whole else 1.0)
