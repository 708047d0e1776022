"""Durations as people write them: 10ms, 1.5s."""

from __future__ import annotations

_UNITS = {"ns": 1, "us": 1_000, "µs": 1_000, "ms": 1_000_000, "s": 1_000_000_000, "m": 60_000_000_000}
_LONGEST = 24 * 60 * _UNITS["m"]
_DIGITS = "0123456789"


def nanoseconds(value: str) -> int:
    """A duration such as 1s, 10ms or 1.5s in nanoseconds, from 0 to 24 hours.

    Raises ValueError, which says what was expected.
    """
    unit = value.lstrip(_DIGITS + ".")
    whole, point, fraction = value.removesuffix(unit).partition(".")
    if unit not in _UNITS or not is_number(whole, 12) or (point and not is_number(fraction, 9)):
        raise ValueError(f"{value!r} is not a duration; give a number and ns, us, ms, s or m, as in 10ms.")
    # Integers throughout: a float cannot hold every nanosecond of a day.
    result = int(whole + fraction) * _UNITS[unit] // int("1" + "0" * len(fraction))
    if result > _LONGEST:
        raise ValueError(f"{value!r} is too long; give at most 24 hours, 1440m.")
    return result


def is_number(text: str, longest: int) -> bool:
    """Whether these are 1 to `longest` ASCII digits."""
    # Not by a regular expression: compiling one takes longer than a short report.
    return 0 < len(text) <= longest and not text.strip(_DIGITS)
