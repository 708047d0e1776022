"""The report as annotations of GitHub Actions: workflow commands, one a line.

A runner obeys every line that begins with `::`. In a message `%` and ends of lines are escaped, in a property `:`
and `,` too, so no name can end a command or begin another. The worst come first: a step shows ten of each kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from vxtool.report import Target
from vxtool.report.text import outcome_sentence, verdict_word
from vxtool.report.wording import clean, fails, not_met, records

if TYPE_CHECKING:
    from vxtool.analysis.model import Report

_LEVELS = {"error": "error", "warning": "warning", "info": "notice"}


def render(report: Report, target: Target) -> str:
    """The commands, each on a line. There is one at least: the verdict."""
    lines = []
    for item in report["inputs"]:
        if item["error"] is not None or item["truncated"]:
            unread = not item["records"] and not item["truncated"]
            why = item["error"] or "the file ends early"
            lines.append(_command("error" if unread else "warning", {"file": item["path"]}, [why]))
    for wanted in not_met(report):
        properties = {"file": wanted["path"], "title": f"vxtool: {wanted['key']}"}
        if wanted["line"] is not None:
            properties = {"file": wanted["path"], "line": str(wanted["line"]), "title": f"vxtool: {wanted['key']}"}
        doubt = "" if wanted["status"] == "failed" else ", which cannot be told"
        message = [f"Expected {wanted['expected']}{doubt}; found: {wanted['found']}", *records(wanted["evidence"])]
        lines.append(_command("error", properties, message))
    for finding in report["findings"]:
        level = "error" if target.fail_on and fails(finding, target) else _LEVELS[finding["severity"]]
        place = next((row["input"] for row in finding["evidence"] if row["input"]), None)
        properties = ({"file": place} if place else {}) | {"title": f"vxtool: {finding['id']}"}
        message = [f"{finding['title'].rstrip('.')}.", *records(finding["evidence"], finding["count"])]
        lines.append(_command(level, properties, [*message, *f"Remedy: {finding['remedy']}".split("\n")]))
    verdict = _command("notice", {"title": f"vxtool: {verdict_word(report)[0]}"}, [outcome_sentence(report)])
    return "\n".join([*lines, verdict]) + "\n"


def _command(level: str, properties: Mapping[str, str], message: list[str]) -> str:
    told = ",".join(f"{name}={_property(value)}" for name, value in properties.items())
    return f"::{level} {told}::{'%0A'.join(map(_data, message))}"


def _data(text: str) -> str:
    return clean(text).replace("%", "%25")


def _property(text: str) -> str:
    # Before anything is spelled out: what is encoded so is no command, and the runner reads the name as it was.
    return clean(text.replace("%", "%25").replace(":", "%3A").replace(",", "%2C"))
