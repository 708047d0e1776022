"""Which two flows are one conversation. Its two directions may have different VNIs: Cilium's always do."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import cached_property
from operator import itemgetter

from vxtool.engine.tables import FlowKey, Tables

TCP = 6  # the protocol number

_VNI = itemgetter(0)
_BEHIND_VNI = itemgetter(slice(1, None))


class Conversations:
    """Finds the other direction of a flow, and what only both directions together tell."""

    def __init__(self, tables: Tables) -> None:
        self._flows = tables.flows

    @cached_property
    def _vnis(self) -> dict[tuple[object, ...], Sequence[int]]:
        """By what follows the VNI in the key. Mostly that is one flow's, and then no loop of ours runs."""
        found: dict[tuple[object, ...], Sequence[int]] = dict(
            zip(map(_BEHIND_VNI, self._flows), zip(map(_VNI, self._flows), strict=True), strict=True)
        )
        if len(found) == len(self._flows):
            return found
        several: dict[tuple[object, ...], list[int]] = defaultdict(list)
        for flow in self._flows:
            several[flow[1:]].append(flow.vni)
        return {**several}

    def reverse(self, flow: FlowKey) -> FlowKey | None:
        """The other direction, if it was seen; None too where a flow has nothing to be known by."""
        vni = self.reverse_vni(flow)
        return None if vni is None else FlowKey(vni, *_turned(flow))

    def reverse_vni(self, flow: FlowKey) -> int | None:
        """The VNI of the other direction (-1 where plain), without the cost of its key; None as for `reverse`."""
        if flow.source_port < 0:
            return None
        vnis = self._vnis.get(_turned(flow), ())
        own = flow.vni
        if own in vnis:
            # Two networks may use the same addresses: the answer is in the same one.
            return own
        if len(vnis) == 1:
            return vnis[0] if (vnis[0] >= 0) == (own >= 0) else None
        return min((vni for vni in vnis if (vni >= 0) == (own >= 0)), default=None)

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


def _turned(flow: FlowKey) -> tuple[int, bytes, int, bytes, int]:
    """What follows the VNI in the key of the other direction."""
    _, protocol, source, source_port, destination, destination_port = flow
    if destination_port < 0:  # ICMP echo has its identifier as the source port both ways
        return protocol, destination, source_port, source, destination_port
    return protocol, destination, destination_port, source, source_port
