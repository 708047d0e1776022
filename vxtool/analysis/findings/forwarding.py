"""Findings on what the router did with datagrams."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from vxtool.analysis.findings.evidence import MOST_EVIDENCE, Case, number
from vxtool.analysis.knowledge import address_text
from vxtool.analysis.outcomes import Judged
from vxtool.engine.tables import PARTIAL, InterfaceKey

if TYPE_CHECKING:
    from vxtool.analysis.model import Finding

_LARGE = 1000  # bytes: what a limit on packet sizes would let pass is no shorter

# ICMP destination unreachable, by code: RFC 792 and RFC 1812; RFC 4443.
_UNREACHABLE_V4 = {0: "network", 1: "host", 2: "protocol", 3: "port", **dict.fromkeys((9, 10, 13), "prohibited")}
_UNREACHABLE_V6 = {0: "no route", 1: "prohibited", 3: "address", 4: "port", 6: "rejected"}


def find(case: Case) -> Iterator[Finding]:
    yield from _dropped(case)


def _dropped(case: Case) -> Iterator[Finding]:
    dropped = [item for group in case.groups if group.outcome == "dropped" for item in group.items]
    count = sum(item.bundle.datagrams for item in dropped)
    if not count:
        return
    total = case.counts["datagrams"]
    if any(item.route.tunnelled != (case.scope == "tunnel") for item in dropped):
        total = sum(item.bundle.datagrams for item in case.judged)
    whole = [item for item in dropped if not item.route.flags & PARTIAL]
    partly = [item for item in dropped if item.route.flags & PARTIAL]
    partial = sum(item.bundle.datagrams for item in partly)
    evidence = [
        *case.samples(whole, "{flow}, {size} bytes: in {ingress}, never out"),
        *case.samples(partly, "{flow}, {size} bytes: in {ingress}, only in part out {egress}"),
    ]
    unknown = (
        "what dropped them: a capture shows that they did not leave, not whether a queue, a filter or a missing "
        "route stopped them"
    )
    losses = []
    if case.lost_records:
        losses.append(f"lost {number(case.lost_records, 'packet')}, as its statistics tell")
    if case.counts["missed"]:
        losses.append(f"missed {number(case.counts['missed'], 'ingress', 'ingresses')}")
    if losses:
        unknown += f"; and the capture itself {' and '.join(losses)}, so it may have missed some egresses too"
    title = f"{number(count, 'datagram')} ({_share(count, total)}) came in{_by(case, dropped)}"
    if losses:
        title = f"up to {title}"
    if partial == count:
        title += " and left in part only"
    else:
        title += " and never went out"
        title += f", {partial:,} of them in part" if partial else ""
    yield {
        "id": "forwarding.dropped",
        "severity": "error",
        "title": title,
        "count": count,
        "evidence": sorted(evidence, key=lambda entry: entry["time"] or "")[:MOST_EVIDENCE],
        "remedy": _where_to_look(case, dropped),
        "unknown": unknown,
    }


def _icmp_tells(case: Case, destination: str) -> str | None:
    """What the ICMP errors in the capture say of the reason; the router, or one behind it, sent them."""
    unreachable = expired = 0
    codes: Counter[str] = Counter()
    for (_, version, kind, code, _), count in case.tables.icmp_error_counts.items():
        if (version, kind) in ((4, 11), (6, 3)):
            expired += count
        elif (version, kind) == (6, 1) or (version == 4 and kind == 3 and code != 4):
            unreachable += count
            names = _UNREACHABLE_V4 if version == 4 else _UNREACHABLE_V6
            codes[names.get(code, f"code {code}")] += count
    if unreachable >= expired and unreachable:
        return (
            f"the capture holds {number(unreachable, 'ICMP error')} of destinations unreachable "
            f"({', '.join(name for name, _ in codes.most_common(2))}): look for a rule that rejects in "
            f"`nft list ruleset`, and for route and neighbour with `ip route get {destination}` and `ip neigh`"
        )
    if expired:
        return (
            f"the capture holds {number(expired, 'ICMP error')} of a TTL that ran out: look for a routing loop "
            f"with `ip route get {destination}` here and on the next router, or for a traceroute"
        )
    return None


def _share(count: int, total: int) -> str:
    """Two digits; 100 only where it is all of them."""
    return "100 %" if count == total else f"{min(100 * count / total, 99):.2g} %"


def _by(case: Case, dropped: Sequence[Judged]) -> str:
    stages = {item.route.ingress.interface for item in dropped if item.route.ingress is not None}
    labels = {case.knowledge.interface(key, case.tables).label for key in stages}
    named = sorted(label for label in labels if label is not None)
    return f" by {' or '.join(named)}" if len(named) == len(labels) else ""


def _where_to_look(case: Case, dropped: Sequence[Judged]) -> str:
    """The next command: for the interface by which others for the same destinations left, if any did."""
    lost: Counter[bytes] = Counter()
    for item in dropped:
        lost[item.bundle.destination] += item.bundle.datagrams
    destination = address_text(max(lost, key=lambda address: (lost[address], address))) or "DESTINATION"
    egresses: Counter[InterfaceKey] = Counter()
    for address in lost:
        egresses.update(case.judge.egresses.get(address, {}))
    if not egresses:
        return (
            "nothing for these destinations left at all: ask the router where it sends them with "
            f"`ip route get {destination}`, then look at the drop counters of `nft list ruleset`"
        )
    key = max(egresses, key=lambda key: (egresses[key], key))
    label = case.knowledge.interface(key, case.tables).label
    if label is None or label.startswith("#"):
        # Only a name can be given to a command.
        device, place = "INTERFACE", f"the interface that `ip route get {destination}` shows"
    else:
        device, place = label, label
    left = max(
        (
            item.bundle.largest
            for item in case.judged
            if item.outcome == "forwarded" and item.bundle.destination in lost
        ),
        default=0,
    )
    smallest = min(item.bundle.smallest for item in dropped)
    if (told := _icmp_tells(case, destination)) is not None:
        return told
    if 0 < left < smallest and smallest > _LARGE:
        return (
            f"what was lost has {smallest:,} bytes or more, and the largest that left for there had {left:,}: "
            f"compare with the MTU of {place} (`ip link show {device}`), and look for a rule on the packet's "
            "length in `nft list ruleset`"
        )
    return (
        f"look at the queue of {place}, by which others for these destinations left: "
        f"`tc -s qdisc show dev {device}` counts its drops; if that is 0, read the drop counters of "
        f"`nft list ruleset` and `ip -s link show {device}`"
    )
