"""The report as SARIF 2.1.0 (OASIS), for what collects results of checks.

Each kind of finding, and each expectation, is a rule; each finding, and each expectation that is not met, a result.
A capture is a binary file and has no lines: a record is named in the message of its location. In messages brackets
and braces would mean links and placeholders (sections 3.11.5 and 3.11.6), and are escaped.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from vxtool.analysis.expectation_file import expectation_schema
from vxtool.analysis.findings import explanations
from vxtool.report import Target
from vxtool.report.wording import EVIDENCE, STATUS_WORDS, clean, fails, not_met, where

if TYPE_CHECKING:
    from vxtool.analysis.model import Evidence, Expectation, Finding, Report

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_LEVELS = {"error": "error", "warning": "warning", "info": "note"}
_EXPECTATION = "expectation."


def render(report: Report, target: Target) -> str:
    """The log as JSON in ASCII, ending in a line feed."""
    results = [_of_expectation(item) for item in not_met(report)]
    results += [_of_finding(finding, target) for finding in report["findings"]]
    for result in results:
        # What shows no record is of the capture as a whole.
        result["locations"] = result["locations"] or [_file(report["inputs"][0]["path"])]
    rules = _rules({result["ruleId"] for result in results})
    index = {rule["id"]: number for number, rule in enumerate(rules)}
    for result in results:
        result["ruleIndex"] = index[result["ruleId"]]
    log = {
        "$schema": _SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": {"name": "vxtool", "version": report["tool"]["version"], "rules": rules}},
                "invocations": [_invocation(report)],
                "artifacts": [{"location": {"uri": place}} for place in _places(report)],
                "results": results,
                "columnKind": "unicodeCodePoints",
            }
        ],
    }
    return json.dumps(log, indent=2) + "\n"


def _places(report: Report) -> list[str]:
    return list(dict.fromkeys(uri(item["path"]) for item in report["inputs"]))


def _rules(used: set[str]) -> list[dict[str, Any]]:
    """Those of the results, in the order of the docs; of each what is said of it without a capture."""
    known = explanations()
    expected: dict[str, Any] = expectation_schema()["properties"]
    rules = []
    for name, text in known.items():
        if name in used:
            rules.append(
                {
                    "id": name,
                    "shortDescription": {"text": message(f"{text.summary[:1].upper()}{text.summary[1:]}.")},
                    "fullDescription": {"text": message(text.cause)},
                    "help": {"text": message(f"{text.remedy} Proof: {text.proof}")},
                }
            )
    for key, rule in expected.items():
        if _EXPECTATION + key in used:
            rules.append({"id": _EXPECTATION + key, "shortDescription": {"text": message(rule["description"])}})
    # A report of another version may have kinds that this one knows nothing of.
    rules += [{"id": clean(name)} for name in sorted(used - {rule["id"] for rule in rules})]
    return rules


def _of_expectation(item: Expectation) -> dict[str, Any]:
    place: dict[str, Any] = {"artifactLocation": {"uri": uri(item["path"])}}
    if item["line"] is not None:
        place["region"] = {"startLine": item["line"]}
    related = _locations(item["evidence"])
    return {
        "ruleId": clean(_EXPECTATION + item["key"]),
        "level": "error",
        "message": {
            "text": message(f"Expected {item['expected']}: {STATUS_WORDS[item['status']]}. {item['found']}")
        },
        "locations": [{"physicalLocation": place}],
        "relatedLocations": [row for number, row in enumerate(related) if row not in related[:number]],
    }


def _of_finding(finding: Finding, target: Target) -> dict[str, Any]:
    failing = bool(target.fail_on) and fails(finding, target)
    parts = [f"{finding['title'].rstrip('.')}.", f"Remedy: {finding['remedy']}"]
    if finding["unknown"]:
        parts.append(f"Not known: {finding['unknown']}")
    lines = [message(line) for part in parts for line in part.split("\n")]
    return {
        "ruleId": clean(finding["id"]),
        "level": "error" if failing else _LEVELS[finding["severity"]],
        "message": {"text": "\n".join(lines)},
        "locations": _locations(finding["evidence"]),
        "occurrenceCount": max(1, finding["count"]),
    }


def _file(path: str) -> dict[str, Any]:
    return {"physicalLocation": {"artifactLocation": {"uri": uri(path)}}}


def _locations(evidence: Sequence[Evidence]) -> list[dict[str, Any]]:
    return [
        {
            **_file(item["input"]),
            "message": {"text": message(f"{where(item)}: {item['text']}")},
        }
        for item in evidence[:EVIDENCE]
        if item["input"] is not None
    ]


def _invocation(report: Report) -> dict[str, Any]:
    notes = [
        {
            "level": "warning" if item["records"] or item["truncated"] else "error",
            "message": {"text": message(f"{item['path']}: {item['error'] or 'the file ends early'}")},
        }
        for item in report["inputs"]
        if item["error"] is not None or item["truncated"]
    ]
    done = not any(note["level"] == "error" for note in notes)
    return {"executionSuccessful": done} | ({"toolExecutionNotifications": notes} if notes else {})


def uri(path: str) -> str:
    """A file's path as a URI reference (RFC 3986): relative where the path is."""
    try:
        data = path.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # no file has such a name, but a report may
        data = path.encode("utf-8", "surrogatepass")
    text = quote(data, safe="/-._~")
    if path.startswith("/"):
        return f"file://{text}"
    return text or "."


def message(text: str) -> str:
    """`text` on one line, as it stands in a message."""
    shown = clean(text)
    for sign in "\\[]":
        shown = shown.replace(sign, f"\\{sign}")
    return shown.replace("{", "{{").replace("}", "}}")
