"""Latencies and the timeline: against the definitions, worked out in the tests themselves."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from analysis.scenes import (
    ETH1,
    ETH2,
    MS,
    POD_A,
    POD_B,
    START,
    US,
    S,
    Seen,
    came,
    datagram,
    exchange,
    fragments,
    left,
    passed,
    pcap,
    ping,
    routed,
    tunnel,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from vxtool import analyze
from vxtool.analysis.forwarding import summarize
from vxtool.analysis.model import Report
from vxtool.analysis.times import rfc3339, time_of_day
from vxtool.engine.tables import Latencies, latency_bucket


def run(tmp_path: Path, records: list[Seen]) -> Report:
    return analyze([pcap(tmp_path / "capture.pcap", records)])


def nearest_rank(values: list[int], percent: int) -> int:
    """The smallest value that at least `percent` % of all do not exceed."""
    ordered = sorted(values)
    return next(value for at, value in enumerate(ordered, 1) if at * 100 >= percent * len(ordered))


def table(values: list[int], exact: bool) -> Latencies:
    row = Latencies(len(values), sum(values), min(values), max(values), {}, sorted(values) if exact else None)
    for value in values:
        row.buckets[latency_bucket(value)] = row.buckets.get(latency_bucket(value), 0) + 1
    return row


class TestLatency:
    def test_the_founding_case(self, tmp_path: Path) -> None:
        paths = run(tmp_path, exchange())["forwarding"]["paths"]
        assert [(path["ingress_index"], path["egress_index"], path["latency_ns"]) for path in paths] == [
            (ETH1, ETH2, {"min": 16000, "p50": 16000, "p90": 16000, "p99": 16000, "max": 16000, "mean": 16000}),
            (ETH2, ETH1, {"min": 3000, "p50": 3000, "p90": 3000, "p99": 3000, "max": 3000, "mean": 3000}),
        ]

    def test_of_a_hundred_the_percentiles_are_the_ranks(self, tmp_path: Path) -> None:
        """1 to 100 µs in disorder: p50 is the 50th, p90 the 90th, p99 the 99th; the mean is 50.5."""
        order = random.Random(7).sample(range(1, 101), 100)
        records = [row for at, value in enumerate(order) for row in passed(at * MS, tunnel(ping(at)), value * US)]
        (path,) = run(tmp_path, records)["forwarding"]["paths"]
        assert path["latency_ns"] == {
            "min": 1000, "p50": 50_000, "p90": 90_000, "p99": 99_000, "max": 100_000, "mean": 50_500,
        }  # fmt: skip

    @given(st.lists(st.integers(0, 10**10), min_size=1, max_size=60), st.integers(1, 20))
    def test_up_to_a_thousand_are_exact_however_they_are_spread(self, values: list[int], cut: int) -> None:
        rows = [table(part, exact=True) for part in (values[:cut], values[cut:]) if part]
        told = summarize(rows)
        assert told is not None
        assert [told["p50"], told["p90"], told["p99"]] == [nearest_rank(values, p) for p in (50, 90, 99)]
        assert (told["min"], told["max"]) == (min(values), max(values))
        assert told["mean"] == sum(values) // len(values)

    @given(st.lists(st.integers(0, 10**12), min_size=1, max_size=200))
    @settings(max_examples=200)
    def test_beyond_that_they_are_at_most_1_percent_off_and_in_range(self, values: list[int]) -> None:
        told = summarize([table(values, exact=False)])
        assert told is not None
        for name, percent in (("p50", 50), ("p90", 90), ("p99", 99)):
            true = nearest_rank(values, percent)
            assert abs(told[name] - true) <= true / 100  # type: ignore[literal-required]
            assert min(values) <= told[name] <= max(values)  # type: ignore[literal-required]

    @pytest.mark.parametrize("count", [1000, 1001])
    def test_a_thousand_are_exact_one_more_within_1_percent(self, tmp_path: Path, count: int) -> None:
        generator = random.Random(count)
        values = [generator.randrange(1000, 900_000) for _ in range(count)]
        records: list[Seen] = []
        for at, value in enumerate(values):
            records += passed(at * MS, tunnel(datagram(100, at + 1)), value)
        (path,) = run(tmp_path, records)["forwarding"]["paths"]
        told = path["latency_ns"]
        assert told is not None
        for name, percent in (("p50", 50), ("p90", 90), ("p99", 99)):
            true = nearest_rank(values, percent)
            allowed = 0 if count <= 1000 else true / 100
            assert abs(told[name] - true) <= allowed  # type: ignore[literal-required]

    def test_paths_of_one_kind_are_one_row(self, tmp_path: Path) -> None:
        """In fragments or whole, a datagram took the same path."""
        pieces = fragments(tunnel(ping(2, size=1500)), 1480)
        records = [*passed(0, tunnel(ping(1)), 10 * US)]
        for at, piece in enumerate(pieces):
            records += passed(5 * MS + at, piece, 30 * US)
        (path,) = run(tmp_path, records)["forwarding"]["paths"]
        assert path["datagrams"] == 2
        assert path["latency_ns"] is not None
        # The latency of fragments is that of the first: in to out of the sighting.
        assert (path["latency_ns"]["min"], path["latency_ns"]["max"]) == (10 * US, 30 * US)

    def test_nothing_forwarded_has_no_path(self, tmp_path: Path) -> None:
        assert run(tmp_path, [came(0, tunnel(ping()))])["forwarding"]["paths"] == []


class TestTimeline:
    @staticmethod
    def spread(count: int, gap: int, lost_every: int = 0) -> list[Seen]:
        records: list[Seen] = []
        for at in range(count):
            packet = tunnel(datagram(100 + at % 7, at + 1))
            records.append(came(at * gap, packet))
            if not lost_every or at % lost_every:
                records.append(left(at * gap + 9 * US, routed(packet)))
        return records

    @pytest.mark.parametrize(
        ("count", "gap"), [(3, 0), (500, 100 * US), (300, 7 * MS), (250, 1777 * MS), (20, 3600 * S)]
    )
    def test_at_most_200_equal_steps_that_sum_to_the_totals(self, tmp_path: Path, count: int, gap: int) -> None:
        report = run(tmp_path, [*self.spread(count, gap, lost_every=5), *exchange(count * gap + 50 * MS, 999)])
        steps = report["timeline"]
        assert len(steps) <= 200
        assert sum(step["datagrams"] for step in steps) == report["forwarding"]["datagrams"] == count + 2
        assert sum(step["dropped"] for step in steps) == report["forwarding"]["dropped"] == -(-count // 5)
        assert sum(step["outer_bytes"] for step in steps) == report["overhead"]["outer_bytes"]
        times = [step["time"] for step in steps]
        assert times == sorted(set(times))

    def test_steps_stand_where_the_datagrams_came_in(self, tmp_path: Path) -> None:
        records = [*passed(0, tunnel(ping(1))), came(2 * MS, tunnel(ping(2))), *passed(4 * MS, tunnel(ping(3)))]
        steps = run(tmp_path, [*records, *passed(20 * MS, tunnel(ping(4)))])["timeline"]
        assert len(steps) == 21
        assert [(at, step["datagrams"], step["dropped"]) for at, step in enumerate(steps) if step["datagrams"]] == [
            (0, 1, 0),
            (2, 1, 1),
            (4, 1, 0),
            (20, 1, 0),
        ]
        assert steps[2] == {
            "time": "2025-08-09T17:27:50.002000000Z", "datagrams": 1, "outer_bytes": 134, "dropped": 1,
            "datagrams_per_second": 1000, "bits_per_second": 134 * 8 * 1000,
        }  # fmt: skip

    def test_only_the_scope_counts(self, tmp_path: Path) -> None:
        report = run(tmp_path, [*exchange(), *passed(50 * MS, ping(9))])
        assert sum(step["datagrams"] for step in report["timeline"]) == 2

    def test_without_datagrams_there_is_none(self, tmp_path: Path) -> None:
        assert run(tmp_path, [])["timeline"] == []

    def test_delivered_and_dropped_of_one_path_are_told_apart(self, tmp_path: Path) -> None:
        """Both came in by eth1 and stayed; where they were sent tells which was lost."""
        records = [
            *passed(0, ping(1)),
            came(20 * MS, ping(2, POD_A, "224.0.0.9")),
            came(40 * MS, ping(3, POD_A, POD_B)),
            *passed(80 * MS, ping(4)),
        ]
        report = run(tmp_path, records)
        assert (report["forwarding"]["delivered"], report["forwarding"]["dropped"]) == (1, 1)
        assert [at for at, step in enumerate(report["timeline"]) if step["dropped"]] == [40]


class TestRfc3339:
    @pytest.mark.parametrize(
        ("nanoseconds", "text"),
        [
            (0, "1970-01-01T00:00:00.000000000Z"),
            (START + 1, "2025-08-09T17:27:50.000000001Z"),
            (-1, "1969-12-31T23:59:59.999999999Z"),
            (253_402_300_799 * S + 999_999_999, "9999-12-31T23:59:59.999999999Z"),
            (253_402_300_800 * S, "9999-12-31T23:59:59.000000000Z"),
            (-62_135_596_800 * S, "0001-01-01T00:00:00.000000000Z"),
            (-(10**30), "0001-01-01T00:00:00.000000000Z"),
        ],
    )
    def test_nanoseconds_in_utc_within_the_years_that_it_can_write(self, nanoseconds: int, text: str) -> None:
        assert rfc3339(nanoseconds) == text


@pytest.mark.parametrize(
    ("nanoseconds", "beside", "text"),
    [
        (START, START + S, "17:27:50.000000"),
        (START + 120_000_010, START, "17:27:50.12000001"),
        (START - 86_400 * S, START, "2025-08-08 17:27:50.000000"),
    ],
)
def test_a_time_of_day_beside_another_has_the_date_where_that_differs(
    nanoseconds: int, beside: int, text: str
) -> None:
    assert time_of_day(nanoseconds, beside=beside) == text
