"""What only several journeys together tell of one: corrections of verdicts that each journey alone suggests.

A journey's own stages say that it came in and did not leave. Other journeys may say that it left all the same, in
another shape (segmented, with another address, later than the window), or that what looked like leaving was only a
device on the way (a bridge, a tunnel device) behind which it was lost.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from vxtool.analysis.conversations import TCP, Conversations
from vxtool.analysis.knowledge import Knowledge
from vxtool.engine.tables import OUT, PLAIN, Cell, FlowKey, InterfaceKey, Tables

if TYPE_CHECKING:
    from vxtool.analysis.outcomes import Route

# A device of this name puts what goes out of it into a tunnel: cilium_vxlan, vxlan.calico, cilium_geneve.
_TUNNEL_DEVICE = r"(?i)(^|[_.-])(vxlan|geneve)"
_TUNNEL_KINDS = frozenset({"vxlan", "geneve"})
_HEADERS = 60  # of IPv6 and TCP, which an MSS does not count
_USUAL = 1500  # the largest packet of most links, where no MSS tells it
_FEW = 3  # fewer may be missed by chance


class Seen(NamedTuple):
    """The journeys of one flow along one route."""

    flow: FlowKey
    route: Route
    cell: Cell


def find_resegmented(seen: Sequence[Seen], conversations: Conversations) -> frozenset[FlowKey]:
    """TCP flows of which super-frames were seen on one side only, and packets on the other side only.

    The router's segmentation offload cut them, or put them together: none of them need be lost.
    """
    largest: dict[tuple[FlowKey, bool], int] = {}
    for flow, route, cell in seen:
        if flow.protocol == TCP and (route.ingress is None) != (route.egress is None):
            side = (flow, route.ingress is not None)
            largest[side] = max(largest.get(side, 0), cell.largest)
    usual = {inside: max(_USUAL, conversations.largest_mss(inside) + _HEADERS) for inside in (False, True)}
    return frozenset(
        flow
        for (flow, came_in), size in largest.items()
        if came_in
        and (other := largest.get((flow, False)))
        and min(size, other) <= usual[flow.vni >= 0] < max(size, other)
    )


def find_unmatched(seen: Sequence[Seen]) -> frozenset[FlowKey]:
    """Flows of which about as many went out without having come in as came in without going out.

    A capture that loses records loses them on both sides at random. This is another thing: the way through took
    longer than the window, or the file is not in the order of time.
    """
    counts: dict[FlowKey, list[int]] = defaultdict(lambda: [0, 0])
    for flow, route, cell in seen:
        if (route.ingress is None) != (route.egress is None):
            counts[flow][route.ingress is None] += cell.datagrams
    alike = {flow: out for flow, (only_in, out) in counts.items() if 2 * out >= only_in > 0 and out > 0}
    return frozenset(alike) if sum(alike.values()) >= _FEW else frozenset()


def find_translated(
    seen: Sequence[Seen], conversations: Conversations, own_addresses: frozenset[bytes]
) -> frozenset[FlowKey]:
    """Flows that came in under one address and went out under another: NAT, on the plain IP packet.

    Source NAT keeps destination and ports; where it changes the source port too, the new source is this machine.
    Destination NAT keeps the source and its port. What answers such a flow is translated back.
    """
    only_in: set[FlowKey] = set()
    only_out: set[FlowKey] = set()
    for flow, route, _ in seen:
        if flow.vni < 0 and flow.source_port >= 0 and (route.ingress is None) != (route.egress is None):
            (only_in if route.ingress is not None else only_out).add(flow)
    if not only_in or not only_out:
        return frozenset()
    by_destination: dict[tuple[int, bytes, int], list[FlowKey]] = defaultdict(list)
    by_source: dict[tuple[int, bytes, int], list[FlowKey]] = defaultdict(list)
    for flow in only_out:
        by_destination[flow.protocol, flow.destination, flow.destination_port].append(flow)
        by_source[flow.protocol, flow.source, flow.source_port].append(flow)
    found: set[FlowKey] = set()
    for flow in only_in:
        for other in by_destination.get((flow.protocol, flow.destination, flow.destination_port), ()):
            same_port = other.source_port == flow.source_port
            if other.source != flow.source and (same_port or other.source in own_addresses):
                found |= {flow, other}
        for other in by_source.get((flow.protocol, flow.source, flow.source_port), ()):
            if other.destination != flow.destination:
                found |= {flow, other}
    answers = {reverse for flow in found if (reverse := conversations.reverse(flow)) is not None}
    return frozenset(found | (answers & (only_in | only_out)))


def find_carriers(
    routes: Iterable[Route], tables: Tables, knowledge: Knowledge
) -> tuple[frozenset[InterfaceKey], dict[InterfaceKey, frozenset[InterfaceKey]]]:
    """Devices that only carry: leaving by them is not leaving the machine.

    First those that put what they carry into a tunnel: seen to do so, or told by kind or name. Then those that have
    ports (a bridge, a bond): the links file says which, and they count where a port was captured too.
    """
    tunnel_devices: set[InterfaceKey] = set()
    for route in routes:
        for before, after in pairwise(route.stages):
            if before.direction == OUT and before.wear == PLAIN and after.wear != PLAIN:
                tunnel_devices.add(before.interface)
            if before.wear != PLAIN and after.wear == PLAIN and before.direction != OUT and after.direction != OUT:
                tunnel_devices.add(after.interface)
    named: dict[str, InterfaceKey] = {}
    for key in tables.interfaces:
        name = knowledge.interface(key, tables).name
        if name is None:
            continue
        named[name] = key
        link = knowledge.links.by_name.get(name)
        if re.search(_TUNNEL_DEVICE, name) or (link is not None and link.kind in _TUNNEL_KINDS):
            tunnel_devices.add(key)
    ports: dict[InterfaceKey, set[InterfaceKey]] = defaultdict(set)
    for name, key in named.items():
        link = knowledge.links.by_name.get(name)
        if link is not None and link.master in named:
            ports[named[link.master]].add(key)
    return frozenset(tunnel_devices), {key: frozenset(keys) for key, keys in ports.items()}
