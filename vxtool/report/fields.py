"""The fields of reports, of files of expectations and of display filters with their meaning: from the JSON Schemas,
and for filters from the table of their parser, in which alone it is written."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any, NamedTuple

from vxtool.analysis.expectation_file import expectation_schema
from vxtool.report import Target
from vxtool.report.layout import INDENT, Page

_HERE = os.path.dirname(__file__)
_NAMES = {"string": "text", "integer": "integer", "number": "number", "boolean": "true or false", "null": "null"}
_FORMATS = {"duration": "time", "way": "way", "finding": "finding"}

# What is asked for -> where its schema begins, and what it is a form of.
_ROOTS = {"report": None, "flows": "FlowList", "summary": "PacketList", "diff": "Difference"}
SUBJECTS = ("report", "expectations", "filter", "flows", "summary", "diff")
_FLAT = ("expectations", "filter")  # whose fields have no parts
TITLES = {
    "report": "The report: `vxtool analyze --format json`",
    "expectations": "Expectations: `vxtool analyze --expect FILE`",
    "filter": "Display filters: `vxtool summary -Y FILTER`",
    "flows": "The list of flows: `vxtool flows --format json`",
    "summary": "The list of packets: `vxtool summary`",
    "diff": "The difference: `vxtool diff --format json`",
}


class Field(NamedTuple):
    path: str  # forwarding.paths[].latency_ns.p99
    kind: str  # integer or null
    meaning: str


def fields(subject: str) -> list[Field]:
    """All fields of one of SUBJECTS, in order."""
    if subject == "filter":
        return [*_of_filter()]
    if subject == "expectations":
        schema = expectation_schema()
        rows = _of_object(schema, schema, "")
        return [field._replace(path=field.path.removesuffix("[]")) for field in rows]
    with open(os.path.join(_HERE, "schema.json"), encoding="utf-8") as file:
        schema = json.load(file)
    root = _ROOTS[subject]
    return list(_of_object(schema if root is None else schema["$defs"][root], schema, ""))


def _of_filter() -> Iterator[Field]:
    from vxtool.listing.filter_fields import FILTER_FIELDS, kind_named  # here, because reports need none of it

    for field in FILTER_FIELDS:
        also = f" Also: {', '.join(field.aliases)}." if field.aliases else ""
        shown = f" As in {field.example}" if field.example != field.name else ""
        yield Field(field.name, kind_named(field), f"{field.meaning}{also}{shown}")


def _introduction(subject: str) -> tuple[str, ...]:
    """What is to be known of all fields of a subject, as paragraphs."""
    if subject != "filter":
        return ()
    from vxtool.listing.filter_fields import LANGUAGE

    return LANGUAGE


def _of_object(rule: Mapping[str, Any], schema: Mapping[str, Any], above: str) -> Iterator[Field]:
    properties: Mapping[str, Any] = rule["properties"]
    for key, given in properties.items():
        meant = _resolved(given, schema)
        items = _resolved(meant["items"], schema) if meant.get("type") == "array" else None
        path = f"{above}{key}" + ("[]" if items is not None else "")
        inner = items if items is not None else meant
        yield Field(path, _kind(given, schema), given.get("description") or meant.get("description", ""))
        # What has the keys of its own parent is told of by that: the counts of other traffic.
        if "properties" in inner and not {*inner["properties"]} <= {*properties}:
            yield from _of_object(inner, schema, f"{path}.")


def _resolved(rule: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a rule says of values that are not null."""
    for part in rule.get("anyOf", ()):
        if part.get("type") != "null":
            rule = {**part, **{key: value for key, value in rule.items() if key != "anyOf"}}
    if "$ref" in rule:
        target: Mapping[str, Any] = schema["$defs"][rule["$ref"].rpartition("/")[2]]
        return target
    return rule


def _kind(rule: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    nullable = any(part.get("type") == "null" for part in rule.get("anyOf", ()))
    rule = _resolved(rule, schema)
    if "const" in rule:
        return str(rule["const"])
    if "enum" in rule:
        return " or ".join("null" if value is None else str(value) for value in rule["enum"])
    if "format" in rule and rule["format"] in _FORMATS:
        return _FORMATS[rule["format"]]
    kinds = rule["type"] if isinstance(rule["type"], list) else [rule["type"]]
    if kinds == ["array"]:
        return f"list of {_kind(rule['items'], schema)}"
    if kinds == ["object"]:
        free = rule.get("additionalProperties")
        name = f"{_kind(free, schema)} by key" if isinstance(free, dict) else "object"
    else:
        name = " or ".join(_NAMES[kind] for kind in kinds)
    return f"{name} or null" if nullable else name


def render(subject: str, target: Target, word: str = "") -> str:
    """The page on one subject; of the fields that `word` stands in, if one is given."""
    page = Page(target)
    if not word:
        for paragraph in _introduction(subject):
            page.prose(paragraph)
            page.line("")
    for field in fields(subject):
        if word.lower() not in f"{field.path} {field.meaning}".lower():
            continue
        page.prose(field.kind, label=field.path, hang=len(field.path) + 2, indent=0, label_color="cyan")
        page.prose(field.meaning, hang=2 * INDENT)
    return str(page)


def render_markdown() -> str:
    """The docs page on all subjects."""
    lines = [
        "# Fields",
        "",
        "What each field means, as the JSON Schemas in `vxtool/report` and `vxtool/analysis` and the table in "
        "`vxtool/listing/filter_fields.py` say it; `vxtool fields` prints the same. This page is made by "
        "`make docs`.",
        "",
        "Times are RFC 3339 with nanoseconds in UTC, names that end in `_ns` are integer nanoseconds, sizes are "
        "bytes. What is not known is null, never 0.",
    ]
    for subject in SUBJECTS:
        lines += ["", f"## {TITLES[subject]}"]
        lines += [line for paragraph in _introduction(subject) for line in ("", paragraph)]
        for top, rows in groupby(fields(subject), lambda field: field.path.split(".")[0]):
            listed = list(rows)
            if subject not in _FLAT and len(listed) > 1:
                lines += ["", f"### {top}"]
                head = listed.pop(0)
                lines += ["", f"{head.meaning} ({head.kind})"]
            if lines[-1][:1] != "|" or (subject not in _FLAT and len(listed) > 1):
                lines += ["", "| field | type | meaning |", "| --- | --- | --- |"]
            lines += [f"| `{field.path}` | {field.kind} | {_cell(field.meaning)} |" for field in listed]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("*", "\\*").replace("<", "\\<")
