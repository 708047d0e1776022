"""Findings by id or family, as options and arguments name them."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from vxtool.errors import UsageError


def split_names(values: Iterable[str]) -> tuple[str, ...]:
    """The names in values that may hold several, parted by commas."""
    return tuple(name for value in values for part in value.split(",") if (name := part.strip()))


def check_names(names: Iterable[str], more: Collection[str] = ()) -> None:
    """Raise UsageError for a name that is no finding's id, no family of them and none of `more`."""
    from vxtool.analysis.findings import explanations, family_of

    known = explanations()
    families = set(map(family_of, known))
    for name in names:
        if name not in known and name not in families and name not in more:
            near = nearest(name, [*known, *families, *more])
            raise UsageError(
                f"{name!r}: is no finding's id and no family of them; the nearest {_are(near)}, and "
                "`vxtool explain` lists all."
            )


def nearest(name: str, known: Collection[str], most: int = 3) -> list[str]:
    """Those of `known` that are spelled most alike, the nearest first; at least one."""
    from difflib import SequenceMatcher  # here, because most names are right

    def likeness(other: str) -> float:
        # What stands behind the dot alone is an id half remembered.
        parts = (other, other.partition(".")[2])
        return max(SequenceMatcher(None, name.lower(), part).ratio() for part in parts)

    ranked = sorted(known, key=lambda other: (-likeness(other), other))
    best = likeness(ranked[0])
    return [other for other in ranked[:most] if likeness(other) >= best - 0.1]


def _are(names: list[str]) -> str:
    return f"is {names[0]}" if len(names) == 1 else "are " + ", ".join(names)
