"""Which two flows are one conversation. Its two directions may have different VNIs: Cilium's always do."""

from __future__ import annotations

from collections import defaultdict
from functools import cached_property

from vxtool.engine.tables import FlowKey, Tables

TCP = 6  # the protocol number


class Conversations:
    """Finds the other direction of a flow, and what only both directions together tell."""

    def __init__(self, tables: Tables) -> None:
        self._flows = tables.flows
        self._vnis: dict[tuple[object, ...], list[int]] = defaultdict(list)  # by what follows the VNI in the key
        for flow in tables.flows:
            self._vnis[flow[1:]].append(flow.vni)
        self._reverses: dict[FlowKey, FlowKey | None] = {}

    def reverse(self, flow: FlowKey) -> FlowKey | None:
        """The other direction, if it was seen; None too where a flow has nothing to be known by."""
        if flow not in self._reverses:
            self._reverses[flow] = self._find_reverse(flow)
        return self._reverses[flow]

    def _find_reverse(self, flow: FlowKey) -> FlowKey | None:
        if flow.source_port < 0:
            return None
        echo = flow.destination_port < 0  # ICMP echo has its identifier as the source port both ways
        key = (
            flow.protocol,
            flow.destination,
            flow.source_port if echo else flow.destination_port,
            flow.source,
            flow.destination_port if echo else flow.source_port,
        )
        same_side = [vni for vni in self._vnis.get(key, ()) if (vni >= 0) == (flow.vni >= 0)]
        if flow.vni in same_side:
            # Two networks may use the same addresses: the answer is in the same one.
            return FlowKey(flow.vni, *key)
        return FlowKey(min(same_side), *key) if same_side else None

    def told_mss(self, flow: FlowKey) -> list[int]:
        """The MSS in the SYNs of both directions, as far as they were seen: none, one or two."""
        keys = (flow, self.reverse(flow))
        rows = [self._flows[key] for key in keys if key is not None and key in self._flows]
        return [row.mss for row in rows if row.mss]

    def largest_mss(self, tunnelled: bool) -> int:
        """The largest MSS that any flow told, in tunnels or outside of them; 0 where none did."""
        return self._largest_mss[tunnelled]

    @cached_property
    def _largest_mss(self) -> dict[bool, int]:
        largest = {False: 0, True: 0}
        for flow, row in self._flows.items():
            if row.mss > largest[flow.vni >= 0]:
                largest[flow.vni >= 0] = row.mss
        return largest
