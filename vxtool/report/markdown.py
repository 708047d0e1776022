"""The report as Markdown for a pull request or a step summary: the verdict, what was expected, what was found.

Names come from packets and files, and a forge makes much of text: links, images, mentions that tell people, HTML.
So a name stands in a code span, in which nothing means anything, and in a sentence every sign that Markdown obeys
is escaped (GitHub Flavored Markdown, sections 6.1 and 6.9; mentions and references to issues, which are looked for
in the rendered text, are cut by an empty comment).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from vxtool.report import Target
from vxtool.report.text import outcome_sentence, stages_of, verdict_word
from vxtool.report.units import count, counted, duration, percent, plural
from vxtool.report.wording import STATUS_WORDS, clean, not_met, records

if TYPE_CHECKING:
    from vxtool.analysis.model import Counts, Expectation, Finding, Path, Report

_LONGEST_CODE = 1_000  # characters
_MARKS = {"met": "✅", "failed": "❌", "unjudged": "❓"}
_SEVERITIES = {"error": "❌ error", "warning": "⚠️ warning", "info": "🔹 info"}

# The last of these matter to GitLab alone, as references, and only where something follows.
_SPECIAL = re.compile(r"[\\`*_{}\[\]<>|~^$&]|:(?=//)|(?<=www)\.|[!%](?=[\w\"])", re.IGNORECASE)
_REFERENCES = re.compile("[@#]")


def render(report: Report, target: Target) -> str:
    """The report as Markdown, ending in a line feed. Tables have at most `target.rows` rows."""
    lines = [f"## vxtool: {verdict_word(report)[0]}", "", escaped(outcome_sentence(report))]
    for item in report["inputs"]:
        if item["error"] is not None or item["truncated"]:
            lines += ["", f"**{code(item['path'])}**: {escaped(item['error'] or 'the file ends early')}"]
    lines += _expectations(report["expectations"], len(not_met(report)))
    lines += _findings(report, target)
    lines += _forwarding(report["forwarding"], target)
    lines += _numbers(report)
    files = ", ".join(code(item["path"]) for item in report["inputs"][: target.rows])
    rest = len(report["inputs"]) - target.rows
    more = f" and {count(rest)} more" if rest > 0 else ""
    lines += ["", f"{counted(report['capture']['records'], 'record')} of {files}{more}, by vxtool "
              f"{code(report['tool']['version'])}."]  # fmt: skip
    return "\n".join(lines) + "\n"


def _expectations(expectations: Sequence[Expectation], unmet: int) -> Iterator[str]:
    if not expectations:
        return
    total = counted(len(expectations), "expectation")
    yield from ("", f"### {total}, {f'{count(unmet)} not met' if unmet else 'all met'}", "")
    yield from _table(
        ("", "expected", "found", "key"),
        [
            (
                f"{_MARKS[item['status']]} {STATUS_WORDS[item['status']]}",
                escaped(item["expected"]),
                escaped(item["found"]),
                code(item["key"], in_table=True),
            )
            for item in expectations
        ],
    )
    for item in expectations:
        if item["evidence"]:
            yield from ("", f"{code(item['key'])}:", "")
            yield from (f"- {code(line)}" for line in records(item["evidence"], short=True))


def _findings(report: Report, target: Target) -> Iterator[str]:
    findings, ignored = report["findings"], report["findings_ignored"]
    if not findings and not ignored:
        return
    yield from ("", f"### {counted(len(findings), 'finding')}")
    for finding in findings:
        yield from _finding(finding)
    if ignored:
        names = ", ".join(code(item["id"]) for item in ignored)
        yield from ("", f"{counted(len(ignored), 'finding')} ignored: {names}")


def _finding(finding: Finding) -> Iterator[str]:
    yield from ("", f"**{_SEVERITIES[finding['severity']]}** {escaped(finding['title'].rstrip('.'))} "
                f"({code(finding['id'])})", "")  # fmt: skip
    yield from (f"- {code(line)}" for line in records(finding["evidence"], finding["count"], short=True))
    yield f"- **Remedy:** {_joined(finding['remedy'])}"
    if finding["unknown"]:
        yield f"- **Not known:** {_joined(finding['unknown'])}"


def _joined(text: str) -> str:
    return "<br>".join(_with_code(part) for part in text.split("\n"))


def _with_code(text: str) -> str:
    """A sentence in which what stands between backticks is to be typed."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return escaped(text)
    return "".join(code(part) if number % 2 else escaped(part) for number, part in enumerate(parts))


def _forwarding(counts: Counts, target: Target) -> Iterator[str]:
    paths, drops = counts["paths"], counts["drops"]
    if paths:
        yield from ("", f"### {plural(len(paths), 'Path')}", "")
        head = ("path", "datagrams", "p50", "p99", "max")
        yield from _table(head, [_path(path) for path in paths[: target.rows]], numbers=4)
        yield from _left(len(paths) - target.rows, "path")
    if drops:
        yield from ("", "### Dropped", "")
        yield from _table(
            ("from", "to", "in", "datagrams", "bytes"),
            [
                (
                    code(drop["source"], in_table=True),
                    code(drop["destination"], in_table=True),
                    code(drop["ingress"], in_table=True) if drop["ingress"] else "",
                    count(drop["datagrams"]),
                    str(drop["largest"])
                    if drop["smallest"] == drop["largest"]
                    else f"{drop['smallest']} to {drop['largest']}",
                )
                for drop in drops[: target.rows]
            ],
            numbers=2,
        )
        yield from _left(len(drops) - target.rows, "pair of addresses", "pairs of addresses")


def _path(path: Path) -> tuple[str, ...]:
    latency = path["latency_ns"]
    times = ("", "", "") if latency is None else tuple(duration(latency[key]) for key in ("p50", "p99", "max"))
    return (code(" → ".join(stages_of(path)), in_table=True), count(path["datagrams"]), *times)


def _numbers(report: Report) -> Iterator[str]:
    overhead, mtu, tunnel = report["overhead"], report["mtu"], report["tunnel"]
    rows = []
    if overhead["bytes_per_packet"]:
        sizes = ", ".join(overhead["bytes_per_packet"])
        share = overhead["percent_of_outer"]
        rows.append(
            ("overhead a datagram", f"{sizes} bytes" + (f", {percent(share)} of all sent" if share else ""))
        )
    for name, value in (
        ("underlay MTU", mtu["underlay"]),
        ("overlay MTU", mtu["overlay"]),
        ("largest packet inside" if tunnel["datagrams"] else "largest packet", mtu["largest_inner"]),
    ):
        if value is not None:
            rows.append((name, str(value)))
    if rows:
        yield from ("", "### Sizes", "")
        yield from _table(("", ""), rows)


def _left(number: int, noun: str, many: str | None = None) -> Iterator[str]:
    if number > 0:
        yield from ("", f"… and {counted(number, noun, many).replace(' ', ' more ', 1)}")


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], numbers: int = 0) -> Iterator[str]:
    """Cells must be escaped already; the last `numbers` columns are aligned to the right."""
    yield f"| {' | '.join(head)} |"
    rules = ["---"] * (len(head) - numbers) + ["---:"] * numbers
    yield f"| {' | '.join(rules)} |"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def escaped(text: str) -> str:
    """`text` as part of a line that does not begin with it, on one line."""
    plain = _SPECIAL.sub(lambda sign: f"\\{sign[0]}", clean(text))
    return _REFERENCES.sub(lambda sign: f"{sign[0]}<!-- -->", plain)


def code(text: str, *, in_table: bool = False) -> str:
    """`text` in a code span."""
    shown = clean(text, _LONGEST_CODE) or "(none)"
    # A span ends at as many backticks as it began with: one more than stand together in it.
    longest = max((len(run) for run in re.findall("`+", shown)), default=0)
    fence = "`" * (longest + 1)
    blank = " " if "`" in (shown[0], shown[-1]) else ""
    # A table is cut into cells before anything else is looked at, code spans included.
    return f"{fence}{blank}{shown.replace('|', chr(92) + '|') if in_table else shown}{blank}{fence}"
