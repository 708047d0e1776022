"""What a capture is expected to show, as a file in TOML says it.

Which keys there are, of what type and with which meaning stands in `expectations.schema.json` alone.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from vxtool.durations import nanoseconds
from vxtool.errors import UsageError
from vxtool.spelling import nearest_named
from vxtool.toml_text import read_toml, shown_key

_SCHEMA = os.path.join(os.path.dirname(__file__), "expectations.schema.json")
_ARROWS = re.compile(r"<->|->|↔|→")


class Way(NamedTuple):
    """From one end to the other, each by name or as * for any."""

    source: str
    destination: str


class Expected(NamedTuple):
    """One line of the file. `value` is a number, a bool, a time in ns, or a list of ways, numbers or names."""

    key: str
    line: int | None  # where it stands; None: it holds unless set
    value: Any


class Expectations(NamedTuple):
    path: str
    items: tuple[Expected, ...]


def expectation_schema() -> dict[str, Any]:
    """The JSON Schema of the file."""
    with open(_SCHEMA, encoding="utf-8") as file:
        schema: dict[str, Any] = json.load(file)
    return schema


def load_expectations(path: str) -> Expectations:
    """Read and check a file of expectations. Raises UsageError, which names the file, the key and what was
    expected."""
    values, text = read_toml(path, "expectations in TOML, such as max_dropped = 0", "give --expect a file in TOML")
    known: Mapping[str, Any] = expectation_schema()["properties"]
    items = []
    for key, rule in known.items():
        if key not in values and "default" in rule:
            items.append(Expected(key, None, rule["default"]))
    for key, value in values.items():
        if key not in known:
            raise UsageError(
                f"{path}: {shown_key(key)}: is no expectation; {nearest_named(key, known)}, and "
                "`vxtool fields expectations` lists all."
            )
        items.append(Expected(key, _line_of(key, text), _checked(f"{path}: {key}", value, known[key])))
    return Expectations(path, tuple(items))


def _line_of(key: str, text: str) -> int | None:
    found = re.search(rf"""^[ \t]*["']?{re.escape(key)}["']?[ \t]*=""", text, re.MULTILINE)
    return text.count("\n", 0, found.start()) + 1 if found else None


def _checked(where: str, value: Any, rule: Mapping[str, Any]) -> Any:
    """The value as `Expected` has it, if it is what the schema's `rule` asks for."""
    kind = rule["type"]
    if kind == "array":
        if not isinstance(value, list) or not value:
            example = _example(rule["items"])
            raise UsageError(f"{where}: expected a list such as [{example}], found {_shown(value)}.")
        checked = [_checked(f"{where}, item {number}", item, rule["items"]) for number, item in enumerate(value, 1)]
        return [part for item in checked for part in (item if isinstance(item, list) else [item])]
    if kind == "boolean":
        if not isinstance(value, bool):
            raise UsageError(f"{where}: expected true or false, found {_shown(value)}.")
        return value
    if kind in ("integer", "number"):
        return _checked_number(where, value, rule)
    if not isinstance(value, str):
        raise UsageError(f"{where}: expected text such as {_example(rule)}, found {_shown(value)}.")
    return _checked_text(where, value, rule)


def _checked_number(where: str, value: Any, rule: Mapping[str, Any]) -> float:
    whole = rule["type"] == "integer"
    low, high = rule["minimum"], rule.get("maximum")
    # To Python true is a 1, and nan is a number.
    fits = isinstance(value, int if whole else int | float) and not isinstance(value, bool) and value >= low
    if not fits or (high is not None and value > high):
        what = "a whole number" if whole else "a number"
        room = f"of {low} or more" if high is None else f"from {low} to {high}"
        raise UsageError(f"{where}: expected {what} {room}, found {_shown(value)}.")
    number: float = value
    return number


def _checked_text(where: str, value: str, rule: Mapping[str, Any]) -> Any:
    if rule["format"] == "duration":
        try:
            return nanoseconds(value)
        except ValueError as error:
            raise UsageError(f"{where}: {error}") from None
    if rule["format"] == "way":
        ways = _ways(value)
        if ways is None:
            raise UsageError(f"{where}: expected two ends and an arrow, as in {_example(rule)}, found {value!r}.")
        return ways
    from vxtool.analysis.findings.choice import SEVERITIES, check_names

    try:
        check_names([value], SEVERITIES)
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from None
    return value


def _ways(text: str) -> list[Way] | None:
    ends = [end.strip() for end in _ARROWS.split(text)]
    if len(ends) != 2 or not all(ends):
        return None
    way = Way(*ends)
    return [way, Way(way.destination, way.source)] if "<->" in text or "↔" in text else [way]


def _example(rule: Mapping[str, Any]) -> str:
    if rule["type"] != "string":
        return "50"
    return {"duration": '"1ms"', "way": '"eth1 -> eth2"', "finding": '"error"'}[rule["format"]]


def _shown(value: Any) -> str:
    text = {True: "true", False: "false"}[value] if isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
