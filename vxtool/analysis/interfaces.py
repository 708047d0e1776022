"""The interfaces of a capture, and how many records came in and went out by each.

Ethernet captures tell no directions, and an engine counts their records as of unknown direction. Where the MACs or
the TTLs of journeys tell which way they went, those records are counted as such here, and said to be inferred. What
no journey tells of stays unknown: frames without IP, fragments without their first one, and the pieces of datagrams
that left in others than they came in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from vxtool.analysis.knowledge import Knowledge
from vxtool.analysis.outcomes import Judged
from vxtool.engine.tables import INGRESS, OUT, PARTIAL, InterfaceKey, Stage, Tables

if TYPE_CHECKING:
    from vxtool.analysis.model import Interface


def describe_interfaces(tables: Tables, judged: Sequence[Judged], knowledge: Knowledge) -> list[Interface]:
    inferred = _infer(tables, judged)
    rows: list[Interface] = []
    for key, row in sorted(tables.interfaces.items()):
        name = knowledge.interface(key, tables)
        came_in, went_out = inferred.get(key, (0, 0))
        # A stage that saw a datagram twice counts it once, never more.
        came_in = min(came_in, row.records_unknown)
        went_out = min(went_out, row.records_unknown - came_in)
        rows.append(
            {
                "index": name.number,
                "name": name.name,
                "mtu": name.mtu,
                "records_in": row.records_in + came_in,
                "records_out": row.records_out + went_out,
                "records_unknown": row.records_unknown - came_in - went_out,
                "records_inferred": came_in + went_out,
            }
        )
    return rows


def _infer(tables: Tables, judged: Sequence[Judged]) -> dict[InterfaceKey, list[int]]:
    """Records in and out by interface, of those whose direction their link headers do not tell."""
    counts: dict[InterfaceKey, list[int]] = {
        key: [0, 0] for key, row in tables.interfaces.items() if row.records_unknown
    }
    if not counts:
        return {}
    for item in judged:
        for stage in item.route.stages:
            both = counts.get(stage.interface)
            if both is None or not _tells_none(stage, tables):
                continue
            if stage.direction == OUT:
                both[1] += _records(item, stage)
            elif stage.direction in INGRESS:
                both[0] += _records(item, stage)
    return counts


def _tells_none(stage: Stage, tables: Tables) -> bool:
    """Whether its link header tells no direction: there are MACs, or it is of a link type without either."""
    row = tables.interfaces[stage.interface]
    return bool(stage.macs) or not (row.records_in or row.records_out)


def _records(item: Judged, stage: Stage) -> int:
    """How many records the journeys have there: as counted where they were measured, else one for each."""
    route = item.route
    if stage is route.measured:
        return item.bundle.wire_packets
    if stage.form == route.measured.form and not item.bundle.grew and not route.flags & PARTIAL:
        return item.bundle.wire_packets
    return item.bundle.datagrams
