"""The report, put together from the parts that the other modules work out."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

from vxtool.analysis.efficiency import measure_efficiency
from vxtool.analysis.findings import find_all
from vxtool.analysis.findings.choice import choose
from vxtool.analysis.findings.evidence import Case
from vxtool.analysis.folded import describe_folded
from vxtool.analysis.forwarding import count_outcomes
from vxtool.analysis.interfaces import describe_interfaces
from vxtool.analysis.knowledge import Knowledge
from vxtool.analysis.outcomes import Group, Judge, Judged, group
from vxtool.analysis.sizes import find_super_frames, measure_mtu, measure_overhead, measured_mtus
from vxtool.analysis.times import rfc3339
from vxtool.analysis.traffic import (
    describe_flows,
    describe_identities,
    describe_timeline,
    describe_tunnel,
    pair_identities,
    tell_overlay,
)
from vxtool.analysis.what_if import WhatCrossed, flows_in_fragments, tell_what_if
from vxtool.engine.tables import PLAIN, Tables

if TYPE_CHECKING:
    from vxtool.analysis.expectation_file import Expectations
    from vxtool.analysis.model import Capture, Expectation, Folded, Input, Known, Report, Tool

SCHEMA = "vxtool.report/1"


class Question(NamedTuple):
    """What the operator wants to see."""

    scope: Literal["auto", "tunnel", "ip"] = "auto"
    overlay: Literal["auto", "cilium", "vxlan"] = "auto"
    top: int = 100
    select: Collection[str] = ()  # findings wanted, by id or family; all, if empty
    ignore: Collection[str] = ()  # and those not wanted
    mtus: Collection[int] = ()  # of an underlay, to tell what if; beside the usual ones
    window: int = 1_000_000_000  # ns: how long an egress was waited for
    expectations: Expectations | None = None


def scope_of(question: Question, tables: Tables) -> Literal["tunnel", "ip"]:
    if question.scope == "auto":
        return "tunnel" if tables.queries.tunnels else "ip"
    return question.scope


def build_report(
    tables: Tables, inputs: Sequence[Input], tool: Tool, knowledge: Knowledge, question: Question
) -> Report:
    """The report on one run. `inputs` are in the order in which the engine numbered them."""
    knowledge.leave_out_later(tables.last_time)
    judge = Judge(tables, knowledge, question.window)
    judged = judge.judged()
    scope = scope_of(question, tables)
    tunnelled = scope == "tunnel"
    groups = group(judged)
    here = [each for each in groups if each.route.tunnelled == tunnelled]
    elsewhere = [each for each in groups if each.route.tunnelled != tunnelled]
    in_scope = [item for item in judged if item.route.tunnelled == tunnelled]
    large = tables.queries.large(measured_mtus(tables, groups, knowledge))
    in_tunnels, outside = (find_super_frames(tables.queries, large, groups, inside) for inside in (True, False))
    found, found_elsewhere = (in_tunnels, outside) if tunnelled else (outside, in_tunnels)
    counts = count_outcomes(scope, tables, judge, here, knowledge, found)
    other_scope: Literal["tunnel", "ip"] = "ip" if tunnelled else "tunnel"
    other = count_outcomes(other_scope, tables, judge, elsewhere, knowledge, found_elsewhere) if elsewhere else None
    overhead = measure_overhead(tables, groups, in_tunnels)
    mtu = measure_mtu(tables, groups, found, knowledge, tunnelled)
    fragmented = flows_in_fragments(judge.bundles, groups)
    crossed = WhatCrossed(tables, large, in_tunnels, mtu, overhead, fragmented)
    overlay = tell_overlay(question.overlay, tables, knowledge)
    flows, flows_total = describe_flows(tables, judged, judge, tunnelled, found, knowledge, overlay, question.top)
    tunnel = describe_tunnel(tables, knowledge, overlay)
    identities = describe_identities(tables, knowledge, overlay)
    folded = describe_folded(tables)
    known: Known = {"sources": [], "conflicts": [], "names": []}
    if knowledge.cluster.sources or knowledge.links.sources or knowledge.routes.sources:
        from vxtool.analysis.sources import describe_knowledge  # here, because most runs have no such file

        known = describe_knowledge(knowledge, identities, tunnel, flows)
    case = Case(
        tables=tables,
        inputs=inputs,
        knowledge=knowledge,
        judge=judge,
        judged=judged,
        in_scope=in_scope,
        groups=groups,
        groups_in_scope=here,
        scope=scope,
        counts=counts,
        overlay=overlay,
        overhead=overhead,
        mtu=mtu,
        super_frames=found,
        folded=folded,
    )
    found_all = find_all(case)
    findings, ignored = choose(found_all, question.select, question.ignore)
    pairs = pair_identities(tables, knowledge, overlay)
    expectations: list[Expectation] = []
    if question.expectations is not None:
        from vxtool.analysis.expectations import Found, judge_expectations  # here, because most runs expect nothing

        counters = tables.counters
        seen = Found(case, found_all, identities, pairs, counters.orphan_fragments, counters.clock_skewed)
        expectations = judge_expectations(question.expectations, seen)
    return {
        "schema": SCHEMA,
        "interim": False,
        "tool": tool,
        "inputs": list(inputs),
        "capture": _describe_capture(tables, judged, groups, knowledge, folded),
        "tunnel": tunnel,
        "forwarding": {**counts, "other": other},
        "identities": identities,
        "identity_pairs": pairs,
        "flows": flows,
        "flows_total": flows_total,
        "overhead": overhead,
        "efficiency": measure_efficiency(overhead, crossed.total.bytes, in_tunnels.segments),
        "mtu": mtu,
        "what_if": tell_what_if(crossed, question.mtus) if tunnelled else [],
        "timeline": describe_timeline(tables, judge, in_scope, tunnelled),
        "knowledge": known,
        "findings": findings,
        "findings_ignored": ignored,
        "expectations": expectations,
    }


def _describe_capture(
    tables: Tables,
    judged: Sequence[Judged],
    groups: Sequence[Group],
    knowledge: Knowledge,
    folded: Folded,
) -> Capture:
    counters = tables.counters
    first, last = tables.first_time, tables.last_time
    return {
        "records": counters.records,
        "tunnel_records": counters.tunnel_records,
        "other_records": counters.records - counters.tunnel_records,
        "malformed_records": counters.malformed_records,
        "clipped_records": counters.clipped_records,
        "clock_skewed": counters.clock_skewed,
        "orphan_fragments": counters.orphan_fragments,
        "first_time": None if first is None else rfc3339(first),
        "last_time": None if last is None else rfc3339(last),
        "duration_ns": None if first is None or last is None else last - first,
        "vantage": _tell_vantage(groups),
        "interfaces": describe_interfaces(tables, judged, knowledge),
        "folded": folded,
    }


def _tell_vantage(groups: Sequence[Group]) -> Literal["router", "node", "link"] | None:
    """Where the capture was taken: a node puts datagrams into the tunnel or takes them out, a router passes them
    on as they are, and on a mirrored link each is seen once, without a direction."""
    passed = changed = once = 0
    for each in groups:
        ingress, egress = each.route.ingress, each.route.egress
        datagrams = each.datagrams
        if ingress and egress and not ingress.loopback:
            if (ingress.wear == PLAIN) != (egress.wear == PLAIN):
                changed += datagrams
            else:
                passed += datagrams
        elif ingress is None and egress is None:
            once += datagrams
    if changed:
        return "node"
    if passed:
        return "router"
    return "link" if once else None
