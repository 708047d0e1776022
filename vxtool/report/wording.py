"""What the formats for pipelines have in common: which findings count as failures, and records in words.

Text that comes from packets or files is returned as it is: each format escapes it for where it goes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from vxtool.analysis.findings.choice import is_among
from vxtool.report import Target
from vxtool.report.escape import escape
from vxtool.report.units import clock

if TYPE_CHECKING:
    from vxtool.analysis.model import Evidence, Expectation, Finding, Report

LONGEST = 2_000  # characters of one piece of text
EVIDENCE = 5  # records named for each finding and expectation

STATUS_WORDS: Mapping[str, str] = {"met": "met", "failed": "failed", "unjudged": "cannot be told"}


def clean(text: str, longest: int = LONGEST) -> str:
    """`text` on one line and of bounded length, with all that does not print spelled out."""
    shown = escape(text)
    return shown if len(shown) <= longest else shown[: longest - 1] + "…"


def fails(finding: Finding, target: Target) -> bool:
    """Whether a finding is one that `--fail-on` asks for; without it, whether it is an error."""
    return is_among(finding, target.fail_on or ("error",))


def not_met(report: Report) -> list[Expectation]:
    return [item for item in report["expectations"] if item["status"] != "met"]


def records(evidence: Sequence[Evidence], count: int = 0, short: bool = False) -> Iterator[str]:
    """A line for each of the first records, and one that says how many of `count` are left."""
    shown = evidence[:EVIDENCE]
    for item in shown:
        place = where(item, short)
        yield f"{place}: {item['text']}" if place else item["text"]
    left = count - len(shown)
    if shown and shown[-1]["record"] is not None and left > 0:
        yield f"… {left:,} more"


def where(item: Evidence, short: bool = False) -> str:
    """`a.pcap record 57, 2026-11-22T17:32:44.149532000Z`; in short with the time of day alone."""
    parts = [item["input"] or "", f"record {item['record']}" if item["record"] is not None else ""]
    place = " ".join(part for part in parts if part)
    time = item["time"] or ""
    return ", ".join(part for part in (place, clock(time) if short else time) if part)
