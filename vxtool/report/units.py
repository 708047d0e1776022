"""Numbers as an operator reads them: counts, bytes, durations, shares and times, each in one way."""

from __future__ import annotations

from vxtool.shares import figures
from vxtool.shares import percent as percent

_DURATIONS = (("ns", 1), ("µs", 1_000), ("ms", 1_000_000))
_SECOND = 1_000_000_000


def count(number: int) -> str:
    """1234567 -> '1,234,567'."""
    return f"{number:,}"


def plural(number: int, singular: str, many: str | None = None) -> str:
    """The noun that goes with `number`: 1 -> 'record', 2 -> 'records'."""
    return singular if number == 1 else many or singular + "s"


def counted(number: int, singular: str, many: str | None = None) -> str:
    """A count with its noun: '1 record', '1,204 records'."""
    return f"{count(number)} {plural(number, singular, many)}"


def size(octets: int) -> tuple[str, str]:
    """Bytes as a value and its decimal unit: 84 -> ('84', 'B'), 61728350 -> ('61.7', 'MB')."""
    value = float(octets)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        # Compared as it will be printed, so that 999,960 is 1.0 MB and not 1000.0 kB.
        if value < (1000 if unit == "B" else 999.95):
            return (str(octets) if unit == "B" else f"{value:.1f}"), unit
        value /= 1000
    return f"{value:,.1f}", "PB"


def human(octets: int) -> str:
    """Bytes in a sentence: exact while that is short ('9,999 bytes'), then rounded ('61.7 MB')."""
    return counted(octets, "byte") if octets < 10_000 else " ".join(size(octets))


def duration(nanoseconds: int) -> str:
    """Two or three figures and a unit: '16 µs', '1.2 ms', '3 s', '2 min 5 s', '3 h 12 min'."""
    for unit, length in _DURATIONS:
        if nanoseconds < 999.5 * length:
            return f"{figures(nanoseconds / length)} {unit}"
    if nanoseconds < 59.5 * _SECOND:
        return f"{figures(nanoseconds / _SECOND)} s"
    minutes, seconds = divmod(round(nanoseconds / _SECOND), 60)
    if minutes < 60:
        return _two(minutes, "min", seconds, "s")
    hours, minutes = divmod(minutes, 60)
    return _two(hours, "h", minutes, "min") if hours < 48 else _two(hours // 24, "d", hours % 24, "h")


def _two(high: int, high_unit: str, low: int, low_unit: str) -> str:
    return f"{count(high)} {high_unit} {low} {low_unit}" if low else f"{count(high)} {high_unit}"


def clock(time: str) -> str:
    """The time of day of an RFC 3339 time: '17:27:50.282388', to the microsecond unless there is more."""
    _, _, of_day = time.rstrip("Z").partition("T")
    seconds, dot, fraction = of_day.partition(".")
    while len(fraction) > 6 and fraction.endswith("0"):
        fraction = fraction[:-1]
    return seconds + dot + fraction


def date(time: str) -> str:
    """The day of an RFC 3339 time: '2025-08-09'."""
    return time.partition("T")[0]
