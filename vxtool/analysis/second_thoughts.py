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

from vxtool.analysis.knowledge import Knowledge
from vxtool.engine.tables import OUT, PLAIN, TCP, UDP, FlowKey, InterfaceKey, Tables

if TYPE_CHECKING:
    from vxtool.analysis.outcomes import Route
    from vxtool.engine.answers import TwoSided
    from vxtool.engine.queries import Queries

# A device of this name puts what goes out of it into a tunnel: cilium_vxlan, vxlan.calico, cilium_geneve.
_TUNNEL_DEVICE = r"(?i)(^|[_.-])(vxlan|geneve)"
_TUNNEL_KINDS = frozenset({"vxlan", "geneve"})
_HEADERS = 60  # of IPv6 and TCP, which an MSS does not count
_USUAL = 1500  # the largest packet of most links, where no MSS tells it
_FEW = 3  # fewer may be missed by chance


def find_resegmented(flows: Sequence[TwoSided], queries: Queries, followed: int) -> frozenset[FlowKey]:
    """Flows of TCP or UDP of which super-frames were seen on one side only, and packets on the other side only.

    Segmentation offload cut them, or put them together, and the engine could not follow it: none of them need be
    lost. `followed`: TCP datagrams that it did follow; where these are most, what remains was lost. Of UDP nothing
    follows from others: each flow has identifications, or has none.
    """
    if not flows:
        return frozenset()
    usual = {inside: max(_USUAL, largest_mss(queries, inside) + _HEADERS) for inside in (False, True)}
    found = [
        row
        for row in flows
        if row.flow.protocol in (TCP, UDP)
        and row.out_largest
        and min(row.in_largest, row.out_largest) <= usual[row.flow.vni >= 0] < max(row.in_largest, row.out_largest)
    ]
    tcp = [row for row in found if row.flow.protocol == TCP]
    if followed > sum(min(row.in_datagrams, row.out_datagrams) for row in tcp):
        found = [row for row in found if row.flow.protocol != TCP]
    return frozenset(row.flow for row in found)


def largest_mss(queries: Queries, tunnelled: bool) -> int:
    """The largest MSS that any flow told, in tunnels or outside of them; 0 where none did."""
    return max((mss for inside, _, mss in queries.told_mss if inside == tunnelled), default=0)


class Pairing(NamedTuple):
    """How well what came in was matched with what went out."""

    matched: int  # datagrams
    longest: int  # ns: of their latencies
    window: int  # ns
    reversed_records: int


def find_unmatched(flows: Sequence[TwoSided], pairing: Pairing) -> frozenset[FlowKey]:
    """Flows of which about as many went out without having come in as came in without going out: the way through
    took longer than the window, or the file is not in the order of time.

    A capture that loses records loses them on both sides at random, and leaves as many on each as well. It is that
    where most datagrams were matched, none of them took nearly as long as the window, and the records are in order.
    """
    alike = {row.flow: row.out_datagrams for row in flows if 2 * row.out_datagrams >= row.in_datagrams}
    one_sided = sum(alike.values())
    if one_sided < _FEW:
        return frozenset()
    in_order = pairing.reversed_records < one_sided
    if in_order and pairing.matched > one_sided and 2 * pairing.longest < pairing.window:
        return frozenset()
    return frozenset(alike)


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
