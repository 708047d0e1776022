"""What is said of a kind of finding without a capture: by `vxtool explain`, and in the docs that are made of it."""

from __future__ import annotations

from typing import NamedTuple


class Explanation(NamedTuple):
    """Of one finding id, in sentences. Each family's module has those of its own ids, as `EXPLANATIONS`."""

    summary: str  # one line, without a full stop
    cause: str  # what makes it happen
    proof: str  # what in the capture shows it, and when it is not raised
    remedy: str  # what to do about it
    unknown: str  # what a capture cannot tell of it
