"""Times as reports write them."""

from __future__ import annotations

from datetime import datetime, timedelta

_EPOCH = datetime(1970, 1, 1)


def rfc3339(nanoseconds: int) -> str:
    """RFC 3339 in UTC with nanoseconds; a time beyond the years 1 to 9999 is held at their end."""
    seconds, fraction = divmod(nanoseconds, 1_000_000_000)
    try:
        moment = _EPOCH + timedelta(0, seconds)
    except OverflowError:  # a damaged timestamp
        moment = datetime.max.replace(microsecond=0) if seconds > 0 else datetime.min
    # Not by strftime, which writes years before 1000 with fewer digits.
    return f"{moment.isoformat()}.{fraction:09d}Z"
