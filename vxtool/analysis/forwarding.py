"""Outcomes counted: the forwarding part of the report, for one scope."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

from vxtool.analysis.knowledge import Knowledge, address_text
from vxtool.analysis.outcomes import DELIVERED_UNSEEN, RESEGMENTED, Group, Judge, Outcome, Route
from vxtool.analysis.sizes import SuperFrames
from vxtool.analysis.times import rfc3339
from vxtool.engine.tables import (
    EXACT_LATENCIES,
    FRAGMENTS,
    PARTIAL,
    SEGMENTED,
    TRANSLATED,
    WHOLE,
    Latencies,
    Stage,
    Tables,
    bucket_value,
)

if TYPE_CHECKING:
    from vxtool.analysis.model import Counts, Drop, Latency, Path
    from vxtool.engine.queries import Bundles


class _Hop(NamedTuple):
    ingress: str | None
    ingress_index: int | None
    egress: str | None
    egress_index: int | None
    via: tuple[str, ...]


def lost_records(tables: Tables) -> int:
    """How many packets the capture dropped, as its own statistics tell."""
    return sum(row.dropped or 0 for row in tables.inputs)


def count_outcomes(
    scope: Literal["tunnel", "ip"],
    tables: Tables,
    judge: Judge,
    groups: Sequence[Group],
    knowledge: Knowledge,
    found: SuperFrames,
) -> Counts:
    """The counts of one scope; `groups` holds its journeys alone, `found` its super-frames."""
    outcomes: Counter[Outcome] = Counter()
    reasons: Counter[str] = Counter()
    lost = at_source = by_router = resegmented = translated = 0
    for group in groups:
        outcomes[group.outcome] += group.datagrams
        if group.reason is not None:
            reasons[group.reason] += group.datagrams
        if group.outcome == "dropped":
            lost += _wire_packets_lost(group, judge.bundles, found)
        if group.route.fragmented_at_source:
            at_source += group.datagrams
        if group.route.has_fragments:
            by_router += sum(item.fragmented for item in group.items if item.fragmented_by_router)
        if group.route.resegmented:
            resegmented += group.datagrams
        if group.route.flags & TRANSLATED:
            translated += group.datagrams
    return {
        "scope": scope,
        "datagrams": outcomes.total(),
        "forwarded": outcomes["forwarded"],
        "delivered": outcomes["delivered"],
        "dropped": outcomes["dropped"],
        "dropped_at_most": bool(outcomes["missed"] or reasons[DELIVERED_UNSEEN] or lost_records(tables)),
        "originated": outcomes["originated"],
        "missed": outcomes["missed"],
        "unresolved": outcomes["unresolved"],
        "wire_packets_lost": lost - _tails_that_left(tables, groups),
        "fragmented_at_source": at_source,
        "fragmented_by_router": by_router,
        "resegmented": resegmented + reasons[RESEGMENTED],
        "translated": translated,
        "paths": _paths(tables, judge, groups, knowledge),
        "drops": _drops(tables, groups, judge.bundles, knowledge),
        "unresolved_because": dict(sorted(reasons.items())),
    }


def _tails_that_left(tables: Tables, groups: Sequence[Group]) -> int:
    """Fragments that left while their first one was lost: they follow no first fragment where they were seen."""
    headless = sum(
        group.datagrams
        for group in groups
        if group.outcome == "dropped" and group.route.egress is None and group.route.measured.form == FRAGMENTS
    )
    return min(headless, tables.counters.orphan_fragments)


def _wire_packets_lost(group: Group, bundles: Bundles, found: SuperFrames) -> int:
    """Packets that came in, or were made on the way, and did not leave; at least so many."""
    route, items = group.route, group.items
    if not route.flags & PARTIAL:
        lost = sum(item.bundle.wire_packets for item in items)
        if found.sizes:
            shares = bundles.shares(found.cells_of([item.number for item in items]))
            packets = found.packets_of(shares)
            lost += sum(max(0, more - share.wire_packets) for share, more in zip(shares, packets, strict=True))
        return lost
    if route.ingress is not None and route.ingress.form == WHOLE and not route.flags & SEGMENTED:
        return group.datagrams  # the router fragmented them: at least one fragment of each is missing
    return sum(item.bundle.missing_packets for item in items)


def _paths(tables: Tables, judge: Judge, groups: Sequence[Group], knowledge: Knowledge) -> list[Path]:
    datagrams: Counter[_Hop] = Counter()
    for group in groups:
        if group.outcome == "forwarded":
            datagrams[_hop(group.route, tables, knowledge)] += group.datagrams
    scopes = {group.route.tunnelled for group in groups}
    rows: dict[_Hop, list[Latencies]] = defaultdict(list)
    for path, row in tables.latencies.items():
        route = judge.route(path)
        if route.tunnelled in scopes and judge.judge(route, b"", b"")[0] == "forwarded":
            rows[_hop(route, tables, knowledge)].append(row)
    ordered = sorted(datagrams.items(), key=lambda entry: (-entry[1], repr(entry[0])))
    return [
        {
            "ingress": hop.ingress,
            "ingress_index": hop.ingress_index,
            "egress": hop.egress,
            "egress_index": hop.egress_index,
            "via": list(hop.via),
            "datagrams": count,
            "latency_ns": summarize(rows[hop]),
        }
        for hop, count in ordered
    ]


def _hop(route: Route, tables: Tables, knowledge: Knowledge) -> _Hop:
    assert route.ingress is not None
    assert route.egress is not None
    ingress = knowledge.interface(route.ingress.interface, tables)
    egress = knowledge.interface(route.egress.interface, tables)
    via = [interface_label(stage, tables, knowledge) for stage in route.via]
    return _Hop(ingress.label, ingress.number, egress.label, egress.number, tuple(label for label in via if label))


def interface_label(stage: Stage | None, tables: Tables, knowledge: Knowledge) -> str | None:
    return knowledge.interface(stage.interface, tables).label if stage else None


def _drops(tables: Tables, groups: Sequence[Group], bundles: Bundles, knowledge: Knowledge) -> list[Drop]:
    by_ingress: dict[str | None, list[int]] = defaultdict(list)
    for group in groups:
        if group.outcome == "dropped":
            ingress = interface_label(group.route.ingress, tables, knowledge)
            by_ingress[ingress] += [item.number for item in group.items]
    rows: list[Drop] = [
        {
            "ingress": ingress,
            "source": address_text(ends.source) or "?",
            "destination": address_text(ends.destination) or "?",
            "datagrams": ends.datagrams,
            "smallest": ends.smallest,
            "largest": ends.largest,
            "first_time": rfc3339(ends.first_time),
            "last_time": rfc3339(ends.last_time),
        }
        for ingress, numbers in by_ingress.items()
        for ends in bundles.ends(numbers)
    ]
    return sorted(
        rows, key=lambda row: (-row["datagrams"], row["ingress"] or "", row["source"], row["destination"])
    )


def summarize(rows: Sequence[Latencies]) -> Latency | None:
    """Percentiles by nearest rank: exact where all were kept, else from the histogram (at most 1 % off)."""
    count = sum(row.count for row in rows)
    if not count:
        return None
    smallest = min(row.smallest for row in rows)
    largest = max(row.largest for row in rows)
    exact = [latency for row in rows for latency in row.exact or ()]
    if len(exact) == count and count <= EXACT_LATENCIES:
        values = [(latency, 1) for latency in sorted(exact)]
    else:
        buckets: Counter[int] = Counter()
        for row in rows:
            buckets.update(row.buckets)
        values = [(bucket_value(bucket), number) for bucket, number in sorted(buckets.items())]

    def percentile(percent: int) -> int:
        rank = max(1, -(-count * percent // 100))
        for value, number in values:
            rank -= number
            if rank <= 0:
                return max(smallest, min(largest, value))
        return largest

    return {
        "min": smallest,
        "p50": percentile(50),
        "p90": percentile(90),
        "p99": percentile(99),
        "max": largest,
        "mean": sum(row.total for row in rows) // count,
    }
