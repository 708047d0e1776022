"""Expectations held against what was found: each is met, failed, or cannot be judged.

A gate must not pass because nobody looked. So what the capture cannot tell is told apart from what it shows, and
neither is met: a bound on drops is open while there are datagrams that may have been dropped, one on fragments
while a filter may have hidden them, one on latency where no path shows any.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from vxtool.analysis.expectation_file import Expectations, Way
from vxtool.analysis.findings.choice import is_among
from vxtool.analysis.findings.evidence import MOST_EVIDENCE, Case, number
from vxtool.analysis.forwarding import interface_label
from vxtool.analysis.outcomes import CAPTURE_BEGAN, CAPTURE_ENDED, DELIVERED_UNSEEN, NOT_ADDRESSED, Group
from vxtool.analysis.traffic import identities_by_address
from vxtool.engine.answers import Wanted
from vxtool.shares import figures, percent

if TYPE_CHECKING:
    from vxtool.analysis.model import Evidence, Expectation, Finding, Identity, IdentityPair

Status = Literal["met", "failed", "unjudged"]

# Unresolved, but no sign of a drop: at an edge of the capture, known to have arrived, or never for this machine.
_HARMLESS = (CAPTURE_BEGAN, CAPTURE_ENDED, DELIVERED_UNSEEN, NOT_ADDRESSED)
_LOOKED_AT = 500  # flows looked at for records of one pair of identities


class Found(NamedTuple):
    """What the report says of the capture, as far as expectations ask for it."""

    case: Case
    findings: Sequence[Finding]  # all, wanted or not
    identities: Sequence[Identity]
    pairs: Sequence[IdentityPair]
    orphan_fragments: int
    clock_skewed: int


class _Verdict(NamedTuple):
    expected: str
    status: Status
    found: str
    evidence: Sequence[Evidence] = ()


def judge_expectations(expectations: Expectations, found: Found) -> list[Expectation]:
    """What became of each, in their order."""
    rows: list[Expectation] = []
    for item in expectations.items:
        verdict = _JUDGES[item.key](found, item.value)
        rows.append(
            {
                "key": item.key,
                "path": expectations.path,
                "line": item.line,
                "expected": verdict.expected,
                "status": verdict.status,
                "found": verdict.found,
                "evidence": list(verdict.evidence) if verdict.status != "met" else [],
            }
        )
    return rows


# How many.


def _min_datagrams(found: Found, least: int) -> _Verdict:
    counts = found.case.counts
    known = _known(found)
    what = f"{number(known, 'datagram')} with a known outcome"
    total = counts["datagrams"]
    if known < total:
        what += f", of {total:,}"
    return _Verdict(
        f"at least {number(least, 'datagram')} with a known outcome", "met" if known >= least else "failed", what
    )


def _max_dropped(found: Found, most: int) -> _Verdict:
    counts = found.case.counts
    return _dropped(found, f"{_most(most, 'datagram')} dropped", counts["dropped"] > most, most)


def _max_dropped_percent(found: Found, most: float) -> _Verdict:
    counts = found.case.counts
    bound = most * counts["datagrams"] / 100
    return _dropped(found, f"at most {_plain(most)} % dropped", counts["dropped"] > bound, bound)


def _dropped(found: Found, expected: str, too_many: bool, most: float) -> _Verdict:
    case = found.case
    counts = case.counts
    dropped, total = counts["dropped"], counts["datagrams"]
    bound = "up to " if counts["dropped_at_most"] else ""
    share = f" ({percent(100 * dropped / total)})" if dropped else ""
    what = f"{bound}{number(dropped, 'datagram')} of {total:,} dropped{share}"
    lost = [item for group in case.groups_in_scope if group.outcome == "dropped" for item in group.items]
    records = case.samples(lost, "{flow}, {size} bytes: in {ingress}, never out") if too_many else []
    if not _known(found):
        return _Verdict(expected, "unjudged", _nothing_known(found))
    if too_many:
        if counts["dropped_at_most"]:
            return _Verdict(expected, "unjudged", f"{what}: the capture itself lost packets", records)
        return _Verdict(expected, "failed", what, records)
    doubtful, why = _doubtful(found)
    if dropped + doubtful > most:
        return _Verdict(expected, "unjudged", f"{what}; {doubtful:,} more may be: {why}", _unresolved(found))
    return _Verdict(expected, "met", what)


def _max_unresolved(found: Found, most: int) -> _Verdict:
    counts = found.case.counts
    many = counts["unresolved"]
    status: Status = "failed" if many > most else "met"
    what = f"{number(many, 'datagram')} unresolved"
    if many:
        what += f": {_reasons(counts['unresolved_because'])}"
    if not counts["datagrams"]:
        status, what = "unjudged", "no datagrams"
    return _Verdict(f"{_most(most, 'datagram')} unresolved", status, what, _unresolved(found, harmless=True))


# How fast.


def _latency(key: Literal["p50", "p90", "p99", "max"]) -> Callable[[Found, int], _Verdict]:
    def judge(found: Found, most: int) -> _Verdict:
        case = found.case
        named = "latency" if key == "max" else f"latency {key}"
        expected = f"{named} at most {_time(most)} on every path"
        rows = [(path, path["latency_ns"]) for path in case.counts["paths"]]
        told = [
            (latency[key], path["ingress"] or "in", path["egress"] or "out")
            for path, latency in rows
            if latency is not None
        ]
        if not told:
            return _Verdict(expected, "unjudged", "no path with a latency: no datagram was seen both in and out")
        told.sort(key=lambda row: -row[0])
        slow = [row for row in told if row[0] > most]
        ways = ", ".join(
            f"{ingress} → {egress} {_time(value, beside=most)}" for value, ingress, egress in (slow or told)[:5]
        )
        if slow:
            # Which datagrams were slow is not kept, so the path is all the proof there is.
            return _Verdict(expected, "failed", f"{key} {ways}")
        if len(told) < len(rows):
            return _Verdict(
                expected, "unjudged", f"{key} {ways}; {number(len(rows) - len(told), 'path')} without any"
            )
        # One of 100 that counts as 0 may hide what would be the p99.
        if 100 * found.clock_skewed > case.counts["forwarded"]:
            skewed = f"{number(found.clock_skewed, 'datagram')} out before in"
            return _Verdict(expected, "unjudged", f"{key} {ways}, but {skewed}: the inputs' clocks differ")
        return _Verdict(expected, "met", f"{key} {ways}")

    return judge


# Which way.


def _paths(found: Found, ways: Sequence[Way]) -> _Verdict:
    case = found.case
    expected = f"every datagram by {_listed(ways)}"
    astray: list[Group] = []
    unknown: list[Group] = []
    along = 0
    for group in case.groups_in_scope:
        if group.outcome in ("missed", "unresolved"):
            if group.reason not in _HARMLESS:
                unknown.append(group)
            continue
        source, destination = _ends_of(group, found)
        if group.outcome == "dropped":
            astray.append(group)
        elif any(way.source in ("*", source) and way.destination in ("*", destination) for way in ways):
            along += group.datagrams
        elif None in (_label(group, found, "ingress"), _label(group, found, "egress")) and (
            group.outcome == "forwarded"
        ):
            unknown.append(group)
        else:
            astray.append(group)
    if astray:
        many = sum(group.datagrams for group in astray)
        what = f"{number(many, 'datagram')} not: {_by_way(astray, found)}"
        return _Verdict(expected, "failed", what, _astray(case, astray))
    if unknown:
        many = sum(group.datagrams for group in unknown)
        return _Verdict(
            expected,
            "unjudged",
            f"{number(along, 'datagram')} did; of {many:,} it cannot be told",
            case.samples([item for group in unknown for item in group.items], "{flow}, {size} bytes"),
        )
    if not along:
        return _Verdict(expected, "unjudged", _nothing_known(found))
    return _Verdict(expected, "met", f"{'all ' if along > 1 else ''}{number(along, 'datagram')} did")


def _ends_of(group: Group, found: Found) -> tuple[str, str]:
    """Ingress and egress, or what stands for them."""
    ingress, egress = _label(group, found, "ingress"), _label(group, found, "egress")
    if group.outcome == "originated":
        return "local", egress or "out"
    if group.outcome == "delivered":
        return ingress or "in", "local"
    return ingress or "in", egress or ("nowhere" if group.outcome == "dropped" else "out")


def _astray(case: Case, groups: Iterable[Group]) -> list[Evidence]:
    """The earliest records of these, each with the way that it went."""
    ways = {
        "forwarded": "{flow}: in {ingress}, out {egress}",
        "dropped": "{flow}, {size} bytes: in {ingress}, never out",
        "delivered": "{flow}: in {ingress}, for this machine",
        "originated": "{flow}: from this machine, out {egress}",
    }
    rows = [
        row
        for outcome, text in ways.items()
        for row in case.samples([item for each in groups if each.outcome == outcome for item in each.items], text)
    ]
    return sorted(rows, key=lambda row: (row["time"] or "", row["input"] or "", row["record"] or 0))[:MOST_EVIDENCE]


def _label(group: Group, found: Found, side: Literal["ingress", "egress"]) -> str | None:
    """The name of the interface by which these datagrams came or left; None where it has none."""
    stage = group.route.ingress if side == "ingress" else group.route.egress
    return interface_label(stage, found.case.tables, found.case.knowledge)


def _by_way(groups: Iterable[Group], found: Found) -> str:
    counts: dict[tuple[str, str], int] = {}
    for group in groups:
        ends = _ends_of(group, found)
        counts[ends] = counts.get(ends, 0) + group.datagrams
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    parts = [f"{many:,} {source} → {destination}" for (source, destination), many in ordered[:5]]
    return ", ".join(parts) + (f" and {len(ordered) - 5} more ways" if len(ordered) > 5 else "")


# Who.


def _talks(found: Found, ways: Sequence[Way]) -> _Verdict:
    expected = f"none talk but {_listed(ways)}"
    if not found.pairs:
        why = "no VNI is known to be a Cilium identity" if found.identities else "no tunnel datagrams"
        return _Verdict(expected, "unjudged", why)
    names = {item["vni"]: _names(found, item["vni"], item) for item in found.identities}
    strangers: list[tuple[int, int | None, int]] = []
    unknown: list[tuple[int, int | None, int]] = []
    by_name = any(not _is_any(end) and not end.isdecimal() for way in ways for end in way)
    talked = 0
    for pair in found.pairs:
        source, destination = pair["source_vni"], pair["destination_vni"]
        ends = [
            None if vni is None else names.get(vni) or _names(found, vni, None) for vni in (source, destination)
        ]
        row = (source, destination, pair["datagrams"])
        if any(_fits(way.source, ends[0]) and _fits(way.destination, ends[1]) for way in ways):
            talked += pair["datagrams"]
        elif any(end is None or (by_name and len(end) == 1) for end in ends):
            unknown.append(row)
        else:
            strangers.append(row)
    # Who is no part of any of these ways need not be named.
    rows = strangers or unknown
    if not rows:
        return _Verdict(expected, "met", f"{number(talked, 'datagram')} between these")
    told = ", ".join(
        f"{_called(found, source, names)} → {_called(found, destination, names)} ({number(many, 'datagram')})"
        for source, destination, many in rows[:5]
    ) + (f" and {len(rows) - 5} more pairs" if len(rows) > 5 else "")
    records = list(_records_of_pairs(found, rows))[:MOST_EVIDENCE]
    if strangers:
        return _Verdict(expected, "failed", told, records)
    return _Verdict(expected, "unjudged", f"{told}: not named; --cluster tells who they are", records)


def _names(found: Found, vni: int, item: Identity | None) -> frozenset[str]:
    """All that an identity may be called: its number at least."""
    info = found.case.knowledge.cluster.identity(vni)
    names = {str(vni)}
    for name, namespace, labels in (
        (info.name, info.namespace, info.labels) if info else (None, None, ()),
        (item["name"], item["namespace"], (*item["labels"], *item["pods"])) if item else (None, None, ()),
    ):
        if name:
            names |= {name, f"{namespace}/{name}"} if namespace else {name}
        names.update(labels)
    return frozenset(names)


def _fits(end: str, names: frozenset[str] | None) -> bool:
    return _is_any(end) or (names is not None and end in names)


def _is_any(end: str) -> bool:
    return end == "*"


def _called(found: Found, vni: int | None, names: Mapping[int, frozenset[str]]) -> str:
    if vni is None:
        return "(unknown)"
    info = found.case.knowledge.cluster.identity(vni)
    name = next((item["name"] for item in found.identities if item["vni"] == vni), None)
    name = name or (info.name if info else None)
    return f"{name} {vni}" if name else str(vni)


def _records_of_pairs(found: Found, pairs: Sequence[tuple[int, int | None, int]]) -> Iterator[Evidence]:
    case = found.case
    numbers = [item.number for item in case.judged if item.route.tunnelled]
    identity_at = identities_by_address(case.tables, case.knowledge)
    for source, destination, _ in pairs[:MOST_EVIDENCE]:
        proofs = case.judge.bundles.starts(Wanted(numbers, vni=source), _LOOKED_AT)
        for proof in [each for each in proofs if identity_at(each.flow.destination) == destination][:2]:
            yield case.evidence(proof.sample, f"{case.flow(proof)}, from VNI {source}")


# How large.


def _equal(what: str, value: int | None, wanted: int, why: str | None) -> _Verdict:
    expected = f"{what} {wanted:,}"
    if value is None:
        return _Verdict(expected, "unjudged", "not known")
    told = f"{value:,}" + (f": {why}" if why else "")
    return _Verdict(expected, "met" if value == wanted else "failed", told)


def _overlay_mtu(found: Found, wanted: int) -> _Verdict:
    mtu = found.case.mtu
    return _equal("overlay MTU", mtu["overlay"], wanted, mtu["overlay_evidence"])


def _underlay_mtu(found: Found, wanted: int) -> _Verdict:
    mtu = found.case.mtu
    return _equal("underlay MTU", mtu["underlay"], wanted, mtu["underlay_evidence"])


def _max_inner_size(found: Found, most: int) -> _Verdict:
    case = found.case
    expected = f"no packet inside larger than {most:,} bytes"
    largest = case.mtu["largest_inner"]
    if largest is None:
        return _Verdict(expected, "unjudged", "no packet was measured")
    if largest <= most:
        return _Verdict(expected, "met", f"the largest has {number(largest, 'byte')}")
    wanted = Wanted(
        [item.number for item in case.in_scope],
        above=most,
        beyond=case.super_frames.sizes.keys(),
        smallest_too=True,
    )
    records = case.earliest(wanted, "{flow}, {size} bytes") or case.starts(
        wanted._replace(smallest_too=False), "{flow}: packets of {size} bytes, from here on"
    )
    return _Verdict(expected, "failed", f"the largest has {number(largest, 'byte')}", records)


def _max_fragmented(found: Found, most: int) -> _Verdict:
    case = found.case
    expected = f"{_most(most, 'datagram')} in fragments"
    items = {
        item.number: item
        for group in case.groups_in_scope
        for item in group.items
        if group.route.fragmented_at_source or (group.route.has_fragments and item.fragmented_by_router)
    }
    many = sum(item.bundle.datagrams for item in items.values())
    what = f"{number(many, 'datagram')} in fragments"
    if many > most:
        return _Verdict(expected, "failed", what, case.samples(list(items.values()), "{flow}, {size} bytes"))
    if found.orphan_fragments:
        what += f"; {number(found.orphan_fragments, 'fragment')} without a first one"
        return _Verdict(expected, "unjudged", what, case.records("orphan", "a fragment without its first"))
    if not case.counts["datagrams"]:
        return _Verdict(expected, "unjudged", "no datagrams")
    return _Verdict(expected, "met", what)


def _max_packet_too_big(found: Found, most: int) -> _Verdict:
    case = found.case
    many = case.mtu["packet_too_big"]
    expected = f"{_most(most, 'message')} of a packet too big"
    if many > most:
        return _Verdict(expected, "failed", number(many, "message"))
    counters = case.tables.counters
    if not counters.records:
        return _Verdict(expected, "unjudged", "no records")
    if case.scope == "tunnel" and not many and counters.records == counters.tunnel_records:
        why = "nothing outside the tunnel was captured: a filter may have hidden such messages"
        return _Verdict(expected, "unjudged", why)
    return _Verdict(expected, "met", number(many, "message"))


def _overhead_bytes(found: Found, wanted: Sequence[int]) -> _Verdict:
    told = " or ".join(f"{size:,}" for size in dict.fromkeys(wanted))
    expected = f"{told} bytes of overhead a datagram"
    seen = found.case.overhead["bytes_per_packet"]
    if not seen:
        return _Verdict(expected, "unjudged", "no tunnel datagrams")
    ordered = sorted(((int(size), many) for size, many in seen.items()), key=lambda row: (-row[1], row[0]))
    what = ", ".join(f"{size:,} bytes on {number(many, 'datagram')}" for size, many in ordered[:5])
    return _Verdict(expected, "met" if {size for size, _ in ordered} <= set(wanted) else "failed", what)


# What else.


def _no_findings(found: Found, names: Sequence[str]) -> _Verdict:
    expected = f"no finding of {', '.join(names)}"
    there = [finding for finding in found.findings if is_among(finding, names)]
    if there:
        what = "; ".join(f"{finding['id']}: {finding['title'].rstrip('.')}" for finding in there[:5])
        more = f" and {len(there) - 5} more" if len(there) > 5 else ""
        return _Verdict(
            expected, "failed", what + more, [row for each in there for row in each["evidence"][:2]][:5]
        )
    if not found.case.tables.counters.records:
        return _Verdict(expected, "unjudged", "no records")
    return _Verdict(expected, "met", "none")


def _complete(found: Found, wanted: bool) -> _Verdict:
    if not wanted:
        return _Verdict("nothing", "met", "not asked for")
    expected = "a complete capture"
    broken = [item["path"] for item in found.case.inputs if item["truncated"] or item["error"] is not None]
    if broken:
        return _Verdict(expected, "failed", f"cut short or damaged: {', '.join(broken)}")
    counts = found.case.counts
    if counts["dropped_at_most"]:
        lost = found.case.lost_records
        why = (
            f"its own count tells of {number(lost, 'lost packet')}"
            if lost
            else "packets left that it did not see in"
        )
        return _Verdict(expected, "failed", f"the capture lost packets: {why}")
    if not found.case.tables.counters.records:
        return _Verdict(expected, "unjudged", "no records")
    return _Verdict(expected, "met", "nothing tells of a loss")


# What several ask.


def _known(found: Found) -> int:
    counts = found.case.counts
    return counts["datagrams"] - counts["unresolved"] - counts["missed"]


def _nothing_known(found: Found) -> str:
    counts = found.case.counts
    if not counts["datagrams"]:
        return "no datagrams"
    reasons = _reasons(counts["unresolved_because"])
    return f"the outcome of none of {number(counts['datagrams'], 'datagram')} is known" + (
        f": {reasons}" if reasons else ""
    )


def _doubtful(found: Found) -> tuple[int, str]:
    """How many datagrams may have been dropped, for all that can be told, and why that is."""
    reasons = {
        reason: many for reason, many in found.case.counts["unresolved_because"].items() if reason not in _HARMLESS
    }
    return sum(reasons.values()), _reasons(reasons)


def _reasons(reasons: Mapping[str, int]) -> str:
    ordered = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{many:,} {reason}" for reason, many in ordered)


def _unresolved(found: Found, harmless: bool = False) -> list[Evidence]:
    items = [
        item
        for group in found.case.groups_in_scope
        if group.outcome == "unresolved" and (harmless or group.reason not in _HARMLESS)
        for item in group.items
    ]
    return found.case.samples(items, "{flow}, {size} bytes: what became of it cannot be told")


def _listed(ways: Sequence[Way]) -> str:
    """Ways as they were written, as far as can be: those of both directions by one arrow."""
    parts = []
    left = list(ways)
    while left:
        way = left.pop(0)
        back = Way(way.destination, way.source)
        if back in left:
            left.remove(back)
            parts.append(f"{way.source} ↔ {way.destination}")
        else:
            parts.append(f"{way.source} → {way.destination}")
    return ", ".join(parts)


def _time(nanoseconds: int, beside: int | None = None) -> str:
    """A duration of two or three figures; to the nanosecond where it would else read as `beside` does."""
    if beside is not None and nanoseconds != beside and _time(nanoseconds) == _time(beside):
        return f"{nanoseconds:,} ns"
    for unit, length in (("ns", 1), ("µs", 1_000), ("ms", 1_000_000)):
        if nanoseconds < 1_000 * length:
            return f"{figures(nanoseconds / length)} {unit}"
    return f"{figures(nanoseconds / 1_000_000_000)} s"


def _most(many: int, noun: str) -> str:
    return f"at most {number(many, noun)}" if many else f"no {noun}s"


def _plain(value: float) -> str:
    return f"{value:g}"


_JUDGES: Mapping[str, Callable[[Found, Any], _Verdict]] = {
    "min_datagrams": _min_datagrams,
    "max_dropped": _max_dropped,
    "max_dropped_percent": _max_dropped_percent,
    "max_unresolved": _max_unresolved,
    "max_latency_p50": _latency("p50"),
    "max_latency_p90": _latency("p90"),
    "max_latency_p99": _latency("p99"),
    "max_latency": _latency("max"),
    "paths": _paths,
    "talks": _talks,
    "overlay_mtu": _overlay_mtu,
    "underlay_mtu": _underlay_mtu,
    "max_inner_size": _max_inner_size,
    "max_fragmented": _max_fragmented,
    "max_packet_too_big": _max_packet_too_big,
    "overhead_bytes": _overhead_bytes,
    "no_findings": _no_findings,
    "complete": _complete,
}
