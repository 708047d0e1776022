"""The report as JUnit XML: each expectation, and each family of findings, is a test case.

Elements and attributes are those that CI servers agree on (Jenkins' schema junit-10 is the strictest in use): a
failed expectation is a failure, one that cannot be judged an error, and so is an input that cannot be read. A
family fails by findings that `--fail-on` asks for, without it by errors; its others are told in `system-out`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from vxtool.analysis.findings import explanations, family_of
from vxtool.report import Target
from vxtool.report.wording import clean, fails, records

if TYPE_CHECKING:
    from vxtool.analysis.model import Expectation, Finding, Input, Report

_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&apos;"}


class _Case(NamedTuple):
    name: str
    element: str = ""  # "failure" or "error"; empty: it passed
    kind: str = ""
    message: str = ""
    lines: Sequence[str] = ()
    output: Sequence[str] = ()


def render(report: Report, target: Target) -> str:
    """The XML document, ending in a line feed."""
    suites = {
        "inputs": [_input(item) for item in report["inputs"]],
        "expectations": [_expectation(item) for item in report["expectations"]],
        "findings": _families(report["findings"], target),
    }
    cases = [case for rows in suites.values() for case in rows]
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', f'<testsuites name="vxtool"{_totals(cases)}>']
    stamp = (report["capture"]["first_time"] or "").partition(".")[0]
    for name, rows in suites.items():
        if rows:
            when = f' timestamp="{stamp}"' if stamp else ""
            lines.append(f'  <testsuite name="vxtool.{name}"{_totals(rows)} skipped="0" time="0"{when}>')
            for case in rows:
                lines += _case(f"vxtool.{name}", case)
            lines.append("  </testsuite>")
    return "\n".join([*lines, "</testsuites>"]) + "\n"


def _input(item: Input) -> _Case:
    if item["error"] is None and not item["truncated"]:
        return _Case(item["path"])
    why = item["error"] or "the file ends early"
    # What was read of it is reported: only one that gave nothing is an error.
    if item["records"] or item["truncated"]:
        return _Case(item["path"], output=[why])
    return _Case(item["path"], "error", "unreadable", why, [why])


def _expectation(item: Expectation) -> _Case:
    name = f"{item['key']}: {item['expected']}"
    if item["status"] == "met":
        return _Case(name, output=[item["found"]])
    place = item["path"] + (f", line {item['line']}" if item["line"] is not None else "")
    lines = [f"found: {item['found']}", *records(item["evidence"]), f"expected by {place}"]
    return _Case(name, "failure" if item["status"] == "failed" else "error", item["status"], item["found"], lines)


def _families(findings: Sequence[Finding], target: Target) -> list[_Case]:
    families = dict.fromkeys(map(family_of, [*explanations(), *(finding["id"] for finding in findings)]))
    return [
        _family(name, [each for each in findings if family_of(each["id"]) == name], target) for name in families
    ]


def _family(name: str, findings: Sequence[Finding], target: Target) -> _Case:
    failing = [finding for finding in findings if fails(finding, target)]
    others = [line for finding in findings if finding not in failing for line in _told(finding)]
    if not failing:
        return _Case(name, output=others)
    first = failing[0]
    more = f" (and {len(failing) - 1} more)" if failing[1:] else ""
    lines = [line for finding in failing for line in _told(finding)]
    return _Case(name, "failure", first["id"], first["title"].rstrip(".") + more, lines, others)


def _told(finding: Finding) -> Iterable[str]:
    yield f"{finding['severity']}: {finding['title'].rstrip('.')}. ({finding['id']})"
    yield from (f"  evidence: {line}" for line in records(finding["evidence"], finding["count"]))
    yield from (f"  remedy: {line}" for line in finding["remedy"].split("\n"))
    if finding["unknown"]:
        yield from (f"  not known: {line}" for line in finding["unknown"].split("\n"))


def _totals(cases: Sequence[_Case]) -> str:
    failures, errors = (sum(case.element == element for case in cases) for element in ("failure", "error"))
    return f' tests="{len(cases)}" failures="{failures}" errors="{errors}"'


def _case(class_name: str, case: _Case) -> list[str]:
    start = f'    <testcase classname="{class_name}" name="{escaped(case.name)}" time="0"'
    inside = []
    if case.element:
        attributes = f'type="{escaped(case.kind)}" message="{escaped(case.message)}"'
        inside.append(f"      <{case.element} {attributes}>{_text(case.lines)}</{case.element}>")
    if case.output:
        inside.append(f"      <system-out>{_text(case.output)}</system-out>")
    return [f"{start}>", *inside, "    </testcase>"] if inside else [f"{start}/>"]


def _text(lines: Iterable[str]) -> str:
    return "\n".join(map(escaped, lines))


def escaped(text: str) -> str:
    """`text` on one line, as it may stand between tags and in attributes. What XML 1.0 has no sign for, such as
    most control characters, is spelled out; no CDATA is used that a name could end."""
    return "".join(_ENTITIES.get(sign, sign) for sign in clean(text))
