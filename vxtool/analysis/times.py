"""Times as reports write them."""

from __future__ import annotations

import time

# The seconds of the years 1 to 9999, which RFC 3339 can write.
_FIRST, _LAST = -62_135_596_800, 253_402_300_799


def rfc3339(nanoseconds: int) -> str:
    """RFC 3339 in UTC with nanoseconds; a time beyond the years 1 to 9999 is held at their end."""
    seconds, fraction = divmod(nanoseconds, 1_000_000_000)
    # A damaged timestamp may be far out. Not by datetime, which takes a millisecond to import.
    moment = time.gmtime(min(max(seconds, _FIRST), _LAST))
    date = f"{moment.tm_year:04}-{moment.tm_mon:02}-{moment.tm_mday:02}"
    return f"{date}T{moment.tm_hour:02}:{moment.tm_min:02}:{moment.tm_sec:02}.{fraction:09}Z"


def time_of_day(nanoseconds: int, *, beside: int) -> str:
    """`17:27:50.001000`, to the microsecond unless there is more; with the date where that is not the one of
    `beside`, the time that is told with it."""
    date, _, clock = rfc3339(nanoseconds).rstrip("Z").partition("T")
    seconds, _, fraction = clock.partition(".")
    clock = f"{seconds}.{fraction[:6]}{fraction[6:].rstrip('0')}"
    return clock if rfc3339(beside).startswith(date) else f"{date} {clock}"
