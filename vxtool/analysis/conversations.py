"""Which two flows are one conversation. Its two directions may have different VNIs: Cilium's always do."""

from __future__ import annotations

from collections import defaultdict

from vxtool.engine.tables import FlowKey, Tables


class Conversations:
    """Finds the other direction of a flow, and what only both directions together tell."""

    def __init__(self, tables: Tables) -> None:
        self._flows = tables.flows
        self._vnis: dict[FlowKey, list[int]] = defaultdict(list)
        for flow in tables.flows:
            self._vnis[flow._replace(vni=0)].append(flow.vni)

    def reverse(self, flow: FlowKey) -> FlowKey | None:
        """The other direction, if it was seen; None too where a flow has nothing to be known by."""
        if flow.source_port < 0:
            return None
        echo = flow.destination_port < 0  # ICMP echo has its identifier as the source port both ways
        key = FlowKey(
            0,
            flow.protocol,
            flow.destination,
            flow.source_port if echo else flow.destination_port,
            flow.source,
            flow.destination_port if echo else flow.source_port,
        )
        same_side = [vni for vni in self._vnis.get(key, ()) if (vni >= 0) == (flow.vni >= 0)]
        return key._replace(vni=min(same_side)) if same_side else None

    def agreed_mss(self, flow: FlowKey) -> int:
        """The smaller MSS of the two SYNs; of one where only one was seen, 0 where none was."""
        both = (self._flows.get(flow), self._flows.get(self.reverse(flow) or flow))
        return min((row.mss for row in both if row is not None and row.mss), default=0)
