"""Names that may have been misspelled."""

from __future__ import annotations

from collections.abc import Collection


def nearest(name: str, known: Collection[str], most: int = 3, least: float = 0.0) -> list[str]:
    """Those of `known` that are spelled most alike, the nearest first, `most` at most; one at least, unless all are
    less alike than `least` (0 to 1)."""
    from difflib import SequenceMatcher  # here, because most names are right

    def likeness(other: str) -> float:
        # What stands behind a dot alone is a name half remembered.
        parts = (other, other.partition(".")[2])
        return max(SequenceMatcher(None, name.lower(), part).ratio() for part in parts)

    ranked = sorted(known, key=lambda other: (-likeness(other), other))
    best = likeness(ranked[0])
    return [other for other in ranked[:most] if likeness(other) >= max(best - 0.1, least)]


def nearest_named(name: str, known: Collection[str]) -> str:
    """The same in words: `the nearest is mtu`."""
    near = nearest(name, known)
    return f"the nearest is {near[0]}" if len(near) == 1 else f"the nearest are {', '.join(near)}"
