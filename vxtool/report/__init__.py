"""From a Report to something to read: one renderer for each format, imported only when it is asked for.

A renderer is a function of the report and of the target it is written for; it does no I/O of its own, so that
the command line, a test and another program get the same text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from vxtool.analysis.model import Report


class Target(NamedTuple):
    """What a rendered report is written to.

    `width` is in terminal columns, `rows` is the most that one table of the text page shows, `encoding` is
    the name of the codec that the stream uses: what it cannot take is written in ASCII.
    """

    width: int = 80
    color: bool = False
    encoding: str = "utf-8"
    rows: int = 10


def _text(report: Report, target: Target) -> str:
    from vxtool.report.text import render

    return render(report, target)


def _json(report: Report, target: Target) -> str:
    from vxtool.report.json import render

    return render(report, target)


RENDERERS: Mapping[str, Callable[[Report, Target], str]] = {"text": _text, "json": _json}
