"""Findings on what the router did with datagrams."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from vxtool.analysis.findings.evidence import Case, number
from vxtool.analysis.model import Finding


def find(case: Case) -> Iterator[Finding]:
    yield from _dropped(case)


def _dropped(case: Case) -> Iterator[Finding]:
    dropped = [item for item in case.in_scope if item.outcome == "dropped"]
    count = sum(item.cell.datagrams for item in dropped)
    if not count:
        return
    partial = sum(item.cell.datagrams for item in dropped if item.route.egress is not None)
    ingress = Counter[str]()
    egress = Counter[str]()
    for item in dropped:
        ingress[case.label(item, "ingress")] += item.cell.datagrams
        for key, seen in case.judge.egresses.get(case.judge.ends(item.flow)[1], {}).items():
            label = case.knowledge.interface(key, case.tables).label
            if label is not None:
                egress[label] += seen
    came = " and ".join(sorted(ingress))
    share = 100 * count / case.counts["datagrams"]
    text = "{flow}, {size} bytes: in {ingress}, never out"
    if egress:
        name = egress.most_common(1)[0][0]
        remedy = (
            f"look at the queue of {name}, by which others for these destinations left: "
            f"`tc -s qdisc show dev {name}` counts its drops; if that is 0, read the drop counters of "
            f"`nft list ruleset` and `ip -s link show {name}`"
        )
    else:
        remedy = (
            "nothing for these destinations left at all: ask the router where it sends them with "
            "`ip route get DESTINATION`, then look at the drop counters of `nft list ruleset`"
        )
    unknown = (
        "what dropped them: a capture shows that they did not leave, not whether a queue, a filter or a missing "
        "route stopped them"
    )
    if case.counts["missed"]:
        unknown += (
            f"; and the capture itself missed {number(case.counts['missed'], 'ingress', 'ingresses')}, "
            "so it may have missed some egresses too"
        )
    title = f"{number(count, 'datagram')} ({share:.2g} %) came in {came} and never went out"
    if partial:
        title += f", {partial:,} of them in part"
    yield {
        "id": "forwarding.dropped",
        "severity": "error",
        "title": title,
        "count": count,
        "evidence": case.samples(dropped, text),
        "remedy": remedy,
        "unknown": unknown,
    }
