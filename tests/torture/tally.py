"""What became of cases: counts by result, what was wrong, what they took."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

MOST_TOLD = 20  # failures of a row that are kept with their words

# Seconds of processor time that a case may take: to start, and for each MB read.
START_SECONDS = 1.0
SECONDS_PER_MEGABYTE = 1.0
MEMORY = 1 << 30  # bytes that a process may take


class Wrong(AssertionError):
    """A case ended otherwise than is promised."""


@dataclass
class Tally:
    """Cases of one row of the table."""

    cases: int = 0
    results: Counter[str] = field(default_factory=Counter)
    failed: int = 0
    failures: list[str] = field(default_factory=list)
    slowest: float = 0.0  # seconds of processor time
    slowest_case: str = ""
    slowest_bytes: int = 0
    seconds: float = 0.0  # processor time of all
    bytes: int = 0  # read by all
    peak: int = 0  # bytes of memory, at the most

    def add(self, label: str, result: str, seconds: float, read: int) -> None:
        self.cases += 1
        self.results[result] += 1
        self.seconds += seconds
        self.bytes += read
        if seconds > self.slowest:
            self.slowest, self.slowest_case, self.slowest_bytes = seconds, label, read
        if seconds > START_SECONDS + SECONDS_PER_MEGABYTE * read / 1e6:
            self.fail(label, f"took {seconds:.2f} s of processor time for {read:,} bytes")

    def fail(self, label: str, why: str) -> None:
        self.failed += 1
        if len(self.failures) < MOST_TOLD:
            self.failures.append(f"{label}: {why}")

    def merge(self, other: Tally) -> None:
        self.cases += other.cases
        self.results += other.results
        self.failed += other.failed
        self.failures = (self.failures + other.failures)[:MOST_TOLD]
        if other.slowest > self.slowest:
            self.slowest, self.slowest_case = other.slowest, other.slowest_case
            self.slowest_bytes = other.slowest_bytes
        self.seconds += other.seconds
        self.bytes += other.bytes
        self.peak = max(self.peak, other.peak)

    def as_json(self) -> dict[str, Any]:
        return {**vars(self), "results": dict(self.results)}

    @staticmethod
    def from_json(value: dict[str, Any]) -> Tally:
        return Tally(**{**value, "results": Counter(value["results"])})
