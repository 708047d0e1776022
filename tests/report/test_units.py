"""Numbers are written in one way, and no rounding makes them look like something else."""

from __future__ import annotations

import pytest

from vxtool.report.units import clock, count, counted, duration, human, percent, size


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0 ns"),
        (999, "999 ns"),
        (1_000, "1 µs"),
        (3_000, "3 µs"),
        (3_140, "3.1 µs"),
        (9_960, "10 µs"),
        (16_000, "16 µs"),
        (475_000, "475 µs"),
        (999_499, "999 µs"),
        (999_500, "1 ms"),
        (1_240_000, "1.2 ms"),
        (3_000_000_000, "3 s"),
        (59_400_000_000, "59 s"),
        (59_500_000_000, "1 min"),
        (125_000_000_000, "2 min 5 s"),
        (3_599_600_000_000, "1 h"),
        (11_520_000_000_000, "3 h 12 min"),
        (180_000_000_000_000, "2 d 2 h"),
    ],
)
def test_a_duration_has_at_most_three_figures_and_the_unit_that_fits(nanoseconds: int, text: str) -> None:
    assert duration(nanoseconds) == text


@pytest.mark.parametrize(
    ("octets", "parts"),
    [
        (0, ("0", "B")),
        (999, ("999", "B")),
        (1_000, ("1.0", "kB")),
        (999_949, ("999.9", "kB")),
        (999_960, ("1.0", "MB")),
        (61_728_350, ("61.7", "MB")),
        (14_802_331_904, ("14.8", "GB")),
        (5 * 10**18, ("5,000.0", "PB")),
    ],
)
def test_bytes_are_decimal_units_of_thousand(octets: int, parts: tuple[str, str]) -> None:
    assert size(octets) == parts


def test_bytes_in_a_sentence_are_exact_while_that_is_short() -> None:
    assert [human(1), human(9_999), human(10_000)] == ["1 byte", "9,999 bytes", "10.0 kB"]


def test_counts_are_grouped_and_agree_with_their_noun() -> None:
    assert count(1_234_567) == "1,234,567"
    assert [counted(0, "record"), counted(1, "record"), counted(2, "record")] == [
        "0 records",
        "1 record",
        "2 records",
    ]
    assert counted(2, "identity", "identities") == "2 identities"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 %"),
        (0.001, "under 0.1 %"),
        (3.71, "3.7 %"),
        (37.31, "37 %"),
        (99.96, "99.9 %"),
        (100, "100 %"),
    ],
)
def test_a_share_is_never_rounded_to_nothing_or_to_all(value: float, text: str) -> None:
    assert percent(value) == text


def test_a_time_of_day_shows_microseconds_and_nanoseconds_only_where_there_are_any() -> None:
    assert clock("2025-08-09T17:27:50.282388000Z") == "17:27:50.282388"
    assert clock("2025-08-09T17:27:50.000000001Z") == "17:27:50.000000001"
