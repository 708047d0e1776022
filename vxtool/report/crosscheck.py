"""Where two packet lists differ, as a terminal page: how much is the same, then the first differences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vxtool.report import Target
from vxtool.report.layout import Cell, Page, Row
from vxtool.report.units import count, counted

if TYPE_CHECKING:
    from vxtool.listing.crosscheck import ColumnCount, Crosscheck

_MOST_PROTOCOLS = 20
_LONGEST = 2_000


def render(result: Crosscheck, target: Target) -> str:
    """The page, ending in a line feed. No line is wider than `target.width` (at least 72), but for those that quote
    both infos of a record."""
    page = Page(target)
    page.prose(_verdict(result), hang=0)
    page.heading("Columns", f"of {counted(result['compared'], 'record')}")
    page.table([_row(name, told) for name, told in result["columns"].items()], limit=len(result["columns"]))
    page.heading("Info", "by protocol")
    infos = [_row(name, told) for name, told in result["info"].items()]
    page.table(infos, limit=_MOST_PROTOCOLS, noun="protocols")
    if result["differences"]:
        shown, total = len(result["differences"]), result["differences_total"]
        page.heading("Differences", f"the first {count(shown)} of {count(total)}" if shown < total else "")
        for one in result["differences"]:
            what = f"record {count(one['record'])}, {one['column']} ({one['protocol']})"
            page.line("  " + page.clean(what))
            page.prose(one["vxtool"] or "nothing", label="vxtool", indent=4, hang=15, color="cyan")
            page.prose(one["wireshark"] or "nothing", label="Wireshark", indent=4, hang=15, color="yellow")
    return str(page)


def _verdict(result: Crosscheck) -> str:
    compared = counted(result["compared"], "record")
    left = result["left_out"]
    aside = f" {counted(left, 'record')} that went out {'is' if left == 1 else 'are'} left out." if left else ""
    notes = result["notes_set_aside"]
    noted = f" Notes of Wireshark's were set aside in {counted(notes, 'record')}." if notes else ""
    name = f"Wireshark {result['wireshark']}"
    total = result["differences_total"]
    if not result["compared"]:
        return f"{result['input']}: there is nothing to compare with {name}.{aside}"
    if not total:
        return f"{result['input']}: {compared}, all columns as in {name}.{aside}{noted}"
    return f"{result['input']}: {compared}, {counted(total, 'difference')} to {name}.{aside}{noted}"


def _row(name: str, told: ColumnCount) -> Row:
    differing = told["differing"]
    color = "red" if differing else None
    return Row(
        (name,),
        (
            Cell(f"{told['percent_same']:.2f}".rstrip("0").rstrip("."), "% the same"),
            Cell(count(told["same"]), "same"),
            Cell(count(differing), "differing", color),
        ),
    )
