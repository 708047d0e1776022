"""From a Report to something to read: one renderer for each format, imported only when it is asked for.

A renderer is a function of the report and of the target it is written for; it does no I/O of its own, so that
the command line, a test and another program get the same text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from vxtool.analysis.model import Difference, FlowList, Report
    from vxtool.listing.crosscheck import Crosscheck
    from vxtool.listing.detail import RecordDetail
    from vxtool.overheads import MtuPlan


class Target(NamedTuple):
    """What a rendered report is written to.

    `width` is in terminal columns, `rows` is the most that one table of the text page shows, `encoding` is
    the name of the codec that the stream uses: what it cannot take is written in ASCII. `fail_on` are the findings,
    by id, family or severity, that count as failures where a format knows of such; errors, if it is empty.
    """

    width: int = 80
    color: bool = False
    encoding: str = "utf-8"
    rows: int = 10
    fail_on: tuple[str, ...] = ()


def _text(report: Report, target: Target) -> str:
    from vxtool.report.text import render

    return render(report, target)


def _json(report: Report, target: Target) -> str:
    from vxtool.report.json import render

    return render(report, target)


def _markdown(report: Report, target: Target) -> str:
    from vxtool.report.markdown import render

    return render(report, target)


def _junit(report: Report, target: Target) -> str:
    from vxtool.report.junit import render

    return render(report, target)


def _github(report: Report, target: Target) -> str:
    from vxtool.report.github import render

    return render(report, target)


def _sarif(report: Report, target: Target) -> str:
    from vxtool.report.sarif import render

    return render(report, target)


RENDERERS: Mapping[str, Callable[[Report, Target], str]] = {
    "text": _text,
    "json": _json,
    "markdown": _markdown,
    "junit": _junit,
    "github": _github,
    "sarif": _sarif,
}


def _flows_as_text(flows: FlowList, target: Target) -> Iterator[str]:
    from vxtool.report.flows import render

    return render(flows, target)


def _flows_as_json(flows: FlowList, target: Target) -> Iterator[str]:
    from vxtool.report.json import render_flows

    return render_flows(flows, target)


def _flows_compact(flows: FlowList, target: Target) -> Iterator[str]:
    from vxtool.report.hubble import render_compact

    return render_compact(flows, target)


def _flows_as_jsonpb(flows: FlowList, target: Target) -> Iterator[str]:
    from vxtool.report.hubble import render_jsonpb

    return render_jsonpb(flows)


# Each gives its text in pieces.
FLOW_RENDERERS: Mapping[str, Callable[[FlowList, Target], Iterable[str]]] = {
    "text": _flows_as_text,
    "json": _flows_as_json,
    "compact": _flows_compact,
    "jsonpb": _flows_as_jsonpb,
}


def _diff_as_text(difference: Difference, target: Target) -> str:
    from vxtool.report.diff import render

    return render(difference, target)


def _diff_as_markdown(difference: Difference, target: Target) -> str:
    from vxtool.report.diff import render_markdown

    return render_markdown(difference, target)


def _diff_as_json(difference: Difference, target: Target) -> str:
    from vxtool.report.json import render_diff

    return render_diff(difference, target)


DIFF_RENDERERS: Mapping[str, Callable[[Difference, Target], str]] = {
    "text": _diff_as_text,
    "json": _diff_as_json,
    "markdown": _diff_as_markdown,
}


def _mtu_as_text(plan: MtuPlan, target: Target) -> str:
    from vxtool.report.mtu import render

    return render(plan, target)


def _mtu_as_json(plan: MtuPlan, target: Target) -> str:
    from vxtool.report.json import render_mtu

    return render_mtu(plan, target)


MTU_RENDERERS: Mapping[str, Callable[[MtuPlan, Target], str]] = {"text": _mtu_as_text, "json": _mtu_as_json}


def _record_as_text(detail: RecordDetail, target: Target) -> str:
    from vxtool.report.record import render

    return render(detail, target)


def _record_as_json(detail: RecordDetail, target: Target) -> str:
    from vxtool.report.json import render_record

    return render_record(detail, target)


RECORD_RENDERERS: Mapping[str, Callable[[RecordDetail, Target], str]] = {
    "text": _record_as_text,
    "json": _record_as_json,
}


def _crosscheck_as_text(result: Crosscheck, target: Target) -> str:
    from vxtool.report.crosscheck import render

    return render(result, target)


def _crosscheck_as_json(result: Crosscheck, target: Target) -> str:
    from vxtool.report.json import render_crosscheck

    return render_crosscheck(result, target)


CROSSCHECK_RENDERERS: Mapping[str, Callable[[Crosscheck, Target], str]] = {
    "text": _crosscheck_as_text,
    "json": _crosscheck_as_json,
}
