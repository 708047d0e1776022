"""What changed between two captures, as a page and as Markdown: what differs, and how much did not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from vxtool.report import Target
from vxtool.report.layout import Cell, Page, Row
from vxtool.report.markdown import code, escaped
from vxtool.report.units import count, counted, date, duration, percent
from vxtool.shares import figures

if TYPE_CHECKING:
    from vxtool.analysis.model import Change, Difference, DiffSide

_UNKNOWN = {"ns": "no latency", "percent": "not known", "bytes": "not known"}
_COLORS = {"new": "yellow", "gone": "yellow", "changed": None}


def render(difference: Difference, target: Target) -> str:
    """The page, ending in a line feed."""
    page = Page(target)
    page.prose(_verdict(difference), hang=0)
    for name in ("before", "after"):
        page.prose(
            _side(difference["before"] if name == "before" else difference["after"]), label=name, hang=8, indent=0
        )
    for section, rows in _differing(difference):
        page.heading(_titled(section))
        page.table(
            [
                Row(
                    (change["what"],),
                    (
                        Cell(_value(change, change["before"]), page.arrow.strip()),
                        Cell(_value(change, change["after"])),
                        Cell(_by_how_much(change), color=_COLORS[change["kind"]]),
                    ),
                )
                for change in rows
            ],
            limit=target.rows,
            noun="that differ",
        )
    return str(page)


def render_markdown(difference: Difference, target: Target) -> str:
    """The same for a pull request."""
    lines = ["## vxtool diff", "", _verdict(difference), ""]
    for name, side in (("before", difference["before"]), ("after", difference["after"])):
        files = ", ".join(code(path) for path in side["paths"][: target.rows])
        lines.append(f"- **{name}**: {files}: {_about(side)}")
    for section, rows in _differing(difference):
        lines += [
            "",
            f"### {_titled(section)}",
            "",
            "|  | before | after |  |",
            "| --- | ---: | ---: | --- |",
        ]
        lines += [
            f"| {code(change['what'], in_table=True)} | {escaped(_value(change, change['before']))} "
            f"| {escaped(_value(change, change['after']))} | {escaped(_by_how_much(change))} |"
            for change in rows[: target.rows]
        ]
        if len(rows) > target.rows:
            lines += ["", f"… and {count(len(rows) - target.rows)} more that differ"]
    return "\n".join(lines) + "\n"


def _titled(section: str) -> str:
    return "MTU" if section == "mtu" else section[:1].upper() + section[1:]


def _differing(difference: Difference) -> Iterator[tuple[str, Sequence[Change]]]:
    rows = [change for change in difference["changes"] if change["kind"] != "same"]
    for section, group in groupby(rows, lambda change: change["section"]):
        yield section, list(group)


def _verdict(difference: Difference) -> str:
    total = len(difference["changes"])
    differ = sum(change["kind"] != "same" for change in difference["changes"])
    if not total:
        return "Nothing to compare: neither capture holds a datagram."
    if not differ:
        return f"No difference in {counted(total, 'figure')}."
    return f"{count(differ)} of {counted(total, 'figure')} {'differs' if differ == 1 else 'differ'}."


def _side(side: DiffSide) -> str:
    return f"{', '.join(side['paths'])}: {_about(side)}"


def _about(side: DiffSide) -> str:
    kind = {"cilium": "Cilium's tunnels", "vxlan": "tunnels", None: "tunnels"}[side["overlay"]]
    parts = [counted(side["datagrams"], "datagram"), f"in {kind}" if side["scope"] == "tunnel" else "of plain IP"]
    about = " ".join(parts)
    if side["duration_ns"] is not None and side["first_time"]:
        about += f", {duration(side['duration_ns'])} on {date(side['first_time'])}"
    return about


def _value(change: Change, value: float | str | None) -> str:
    unit = change["unit"]
    if value is None:
        return _UNKNOWN.get(unit, "0")
    if isinstance(value, str):
        return value
    if unit == "ns":
        return duration(int(value))
    if unit == "percent":
        return percent(value)
    return count(int(value)) if unit != "bytes" else str(value)


def _by_how_much(change: Change) -> str:
    before, after = change["before"], change["after"]
    if change["kind"] in ("new", "gone"):
        return change["kind"]
    if isinstance(before, str) or isinstance(after, str) or before is None or after is None:
        return ""
    if change["unit"] in ("bytes", "percent"):
        more = after - before
        sign = "+" if more > 0 else "-"
        size = abs(more)
        return f"{sign}{percent(size)}".replace(" %", " points") if change["unit"] == "percent" else f"{sign}{size}"
    if not before:
        return ""
    share = 100 * (after - before) / before
    if share >= 900:
        return f"{count(round(after / before))} times"
    return f"{'+' if share > 0 else '-'}{figures(abs(share))} %"
