"""The list of flows as one value, and what an operator may ask of it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from vxtool.analysis.flows import VERDICTS, Describer, FlowFilter, Listing, Sorting, Verdict, list_flows
from vxtool.analysis.folded import describe_folded
from vxtool.analysis.knowledge import Knowledge
from vxtool.analysis.outcomes import Judge
from vxtool.analysis.report import Question, scope_of
from vxtool.analysis.traffic import named_protocols, tell_overlay
from vxtool.engine.tables import Tables
from vxtool.errors import UsageError

if TYPE_CHECKING:
    from ipaddress import IPv4Network, IPv6Network

    from vxtool.analysis.model import FlowList, FlowPackets, Input, Tool

SCHEMA = "vxtool.flows/1"


def build_flow_list(
    tables: Tables,
    inputs: Sequence[Input],
    tool: Tool,
    knowledge: Knowledge,
    question: Question,
    wanted: FlowFilter,
    sorting: Sorting,
    top: int | None,
    packets: bool = False,
) -> FlowList:
    """The flows of one run, or their packets; of `question` scope and overlay are asked."""
    knowledge.leave_out_later(tables.last_time)
    judge = Judge(tables, knowledge, question.window)
    scope = scope_of(question, tables)
    overlay = tell_overlay(question.overlay, tables, knowledge)
    judged, tunnelled = judge.judged(), scope == "tunnel"
    describer = Describer(tables, judged, knowledge, overlay, judge.own_addresses)
    counts: FlowPackets | None = None
    if packets:
        from vxtool.analysis.packet_list import list_packets  # here, because most lists are of flows

        paths = [item["path"] for item in inputs]
        each = list_packets(tables, judged, judge, tunnelled, describer, wanted, paths, top)
        counts = {
            "shown": len(each.packets),
            "matching": each.matching,
            "unlisted": tables.counters.unlisted_datagrams,
        }
        listing = Listing(each.packets, each.flows_matching, each.flows_matching, each.flows_total)
    else:
        listing = list_flows(judged, judge, tunnelled, describer, wanted, sorting, top)
    return {
        "schema": SCHEMA,
        "tool": tool,
        "inputs": list(inputs),
        "scope": scope,
        "overlay": overlay,
        "node": describer.node,
        "flows": listing.flows,
        "packets": counts,
        "flows_shown": listing.shown,
        "flows_matching": listing.matching,
        "flows_total": listing.total,
        "folded": describe_folded(tables),
    }


def check_filter(
    pods: Collection[str],
    namespaces: Collection[str],
    identities: Collection[str],
    addresses: Collection[str],
    ports: Collection[int],
    protocols: Collection[str],
    verdicts: Collection[Verdict],
) -> FlowFilter:
    """The filter of these values; UsageError for one that no flow can have."""
    for port in ports:
        if not 0 <= port < 65_536:
            raise UsageError(f"port {port}: expected 0 to 65535")
    for verdict in verdicts:
        if verdict not in VERDICTS:
            raise UsageError(f"verdict {verdict!r}: expected one of {', '.join(VERDICTS)}")
    names = [protocol.lower() for protocol in protocols]
    known = named_protocols()
    for name in names:
        if name not in known and not name.startswith(("ip-", "ethertype-")):
            from vxtool.spelling import nearest_named

            raise UsageError(
                f"protocol {name!r}: is none that has a name here; {nearest_named(name, known)}, "
                "and ip-N is the IP protocol N"
            )
    networks = [_network(each) for each in addresses]
    return FlowFilter(pods, namespaces, identities, networks, frozenset(ports), names, verdicts)


def _network(text: str) -> IPv4Network | IPv6Network:
    from ipaddress import ip_network  # here, because most lists are not asked for addresses

    try:
        return ip_network(text, strict=False)
    except ValueError:
        raise UsageError(
            f"address {text!r}: expected an IP address or a network, as in 172.20.2.4 or 172.20.0.0/16"
        ) from None
