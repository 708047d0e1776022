"""Verdicts: what became of the journeys that the engine counted.

A journey that came in and went out was forwarded. One that only came in was for this machine itself, or was owed an
egress; if that egress was watched it was dropped, else it cannot be told. One that only went out was sent by this
machine, or its ingress was missed. All of this is decided here, once, from paths, addresses and what the operator
knows; nothing else in the program asks which it was.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from typing import Literal, NamedTuple

from vxtool.analysis.conversations import Conversations
from vxtool.analysis.knowledge import Knowledge, never_forwarded, outermost
from vxtool.engine.frame import TCP
from vxtool.engine.tables import (
    AT_END,
    AT_START,
    BROADCAST,
    FIRST_ONLY,
    IN,
    INGRESS,
    MULTICAST,
    OTHER,
    OUT,
    PARTIAL,
    PLAIN,
    UNKNOWN,
    WHOLE,
    Cell,
    FlowKey,
    InterfaceKey,
    PathKey,
    Stage,
    Tables,
)

_HEADERS = 60  # of IPv6 and TCP, which an MSS does not count
_USUAL = 1500  # the largest packet of most links, where no MSS tells it

Outcome = Literal["forwarded", "delivered", "dropped", "originated", "missed", "unresolved"]

# Why a datagram's outcome cannot be told.
CAPTURE_ENDED = "capture-ended"  # within the longest latency of its ingress
CAPTURE_BEGAN = "capture-began"  # within the longest latency before its egress
EGRESS_NOT_CAPTURED = "egress-not-captured"
INGRESS_NOT_CAPTURED = "ingress-not-captured"
NOT_ADDRESSED = "not-addressed"  # seen, but sent to another machine's MAC
NO_DIRECTION = "direction-unknown"
RESEGMENTED = "resegmented"  # cut into segments, or put together, between In and Out: not followed


class Route(NamedTuple):
    """A path with its directions settled."""

    ingress: Stage | None  # the first In
    egress: Stage | None  # the last Out
    via: tuple[Stage, ...]
    tunnelled: bool
    measured: Stage  # where sizes were taken: see `vxtool.engine`
    flags: int

    @property
    def fragmented_at_source(self) -> bool:
        """It came in fragments; or this machine put it into the tunnel and fragmented it there."""
        return self.measured.form != WHOLE

    @property
    def fragmented_by_router(self) -> bool:
        return (
            self.ingress is not None
            and self.egress is not None
            and self.ingress.wear == self.egress.wear
            and self.ingress.form == WHOLE
            and self.egress.form != WHOLE
        )


class Judged(NamedTuple):
    flow: FlowKey
    path: PathKey
    route: Route
    cell: Cell
    outcome: Outcome
    reason: str | None


class Judge:
    """Decides outcomes for one set of tables."""

    def __init__(self, tables: Tables, knowledge: Knowledge, conversations: Conversations) -> None:
        self._tables = tables
        self._conversations = conversations
        self._knowledge = knowledge
        self._routes: dict[PathKey, Route] = {}
        self._own_macs = self._find_own_macs()
        self._own_addresses = knowledge.own_addresses
        self.egresses: dict[bytes, Counter[InterfaceKey]] = defaultdict(Counter)  # by outermost destination
        self._behind: dict[bytes, Counter[InterfaceKey]] = defaultdict(Counter)  # by outermost source
        # Every journey's flow, path, route and count: a path's hash goes deep, so each is looked up once.
        self._rows = [(flow, path, self.route(path), cell) for (flow, path), cell in tables.cells.items()]
        self._look_around()
        self.resegmented = self._find_resegmented()

    def judged(self) -> Iterator[Judged]:
        for flow, path, route, cell in self._rows:
            outcome, reason = self.judge(route, *self.ends(flow))
            if flow in self.resegmented and outcome in ("dropped", "missed"):
                outcome, reason = "unresolved", RESEGMENTED
            yield Judged(flow, path, route, cell, outcome, reason)

    def _find_resegmented(self) -> set[FlowKey]:
        """TCP flows of which super-frames were seen on one side only, and packets on the other side only.

        The router's segmentation offload cut them, or put them together: none of them need be lost.
        """
        largest: dict[tuple[FlowKey, bool], int] = {}
        for flow, _, route, cell in self._rows:
            if flow.protocol == TCP and (route.ingress is None) != (route.egress is None):
                side = (flow, route.ingress is not None)
                largest[side] = max(largest.get(side, 0), cell.largest)
        largest_mss = self._conversations.largest_mss
        usual = {inside: max(_USUAL, largest_mss(inside) + _HEADERS) for inside in (False, True)}
        return {
            flow
            for (flow, came_in), size in largest.items()
            if came_in
            and (other := largest.get((flow, False)))
            and min(size, other) <= usual[flow.vni >= 0] < max(size, other)
        }

    def ends(self, flow: FlowKey) -> tuple[bytes, bytes]:
        """Source and destination as the router sees them."""
        row = self._tables.flows.get(flow)
        if row is None:
            return b"", b""
        return (
            outermost(flow, row.outer_source, flow.source),
            outermost(flow, row.outer_destination, flow.destination),
        )

    def judge(self, route: Route, source: bytes, destination: bytes) -> tuple[Outcome, str | None]:
        """The outcome of a datagram along `route`; the addresses are the outermost packet's."""
        ingress, egress = route.ingress, route.egress
        if ingress and egress:
            if not route.flags & PARTIAL or self._tails_are_hidden(egress):
                return "forwarded", None
            return ("unresolved", CAPTURE_ENDED) if route.flags & AT_END else ("dropped", None)
        if ingress:
            return self._judge_arrived(route, ingress, destination)
        if egress:
            return self._judge_left(route, egress, source)
        return "unresolved", NO_DIRECTION

    def _judge_arrived(self, route: Route, ingress: Stage, destination: bytes) -> tuple[Outcome, str | None]:
        if (
            ingress.loopback
            or ingress.direction in (BROADCAST, MULTICAST)
            or destination in self._own_addresses
            or never_forwarded(destination)
        ):
            return "delivered", None
        if ingress.direction == OTHER:
            return "unresolved", NOT_ADDRESSED
        if not (self._watches_all(ingress) or destination in self.egresses or destination in self._behind):
            return "unresolved", EGRESS_NOT_CAPTURED
        return ("unresolved", CAPTURE_ENDED) if route.flags & AT_END else ("dropped", None)

    def _judge_left(self, route: Route, egress: Stage, source: bytes) -> tuple[Outcome, str | None]:
        if egress.loopback or source in self._own_addresses or never_forwarded(source):
            return "originated", None
        if not (self._watches_all(egress) or source in self._behind):
            return "unresolved", INGRESS_NOT_CAPTURED
        return ("unresolved", CAPTURE_BEGAN) if route.flags & AT_START else ("missed", None)

    @staticmethod
    def _watches_all(stage: Stage) -> bool:
        """Whether the capture was one of all interfaces: only then does the link header say so (SLL, SLL2)."""
        return stage.interface.input < 0

    def _tails_are_hidden(self, egress: Stage) -> bool:
        """Only first fragments went out, and the capture has no other fragment at all: a filter hides them."""
        return egress.form == FIRST_ONLY and not self._tables.counters.tail_fragments

    def route(self, path: PathKey) -> Route:
        route = self._routes.get(path)
        if route is None:
            route = self._routes[path] = self._settle(path)
        return route

    def _settle(self, path: PathKey) -> Route:
        stages = tuple(self._directed(stage) for stage in path.stages)
        came_in = next((at for at, stage in enumerate(stages) if stage.direction in INGRESS), None)
        went_out = max((at for at, stage in enumerate(stages) if stage.direction == OUT), default=None)
        ingress = None if came_in is None else stages[came_in]
        egress = None if went_out is None else stages[went_out]
        tunnelled = [stage for stage in stages if stage.wear != PLAIN]
        measured = ingress or egress or stages[0]
        if tunnelled and measured.wear == PLAIN:
            measured = egress if egress and egress.wear != PLAIN else tunnelled[0]
        via = tuple(stage for at, stage in enumerate(stages) if at not in (came_in, went_out))
        return Route(ingress, egress, via, bool(tunnelled), measured, path.flags)

    # Directions that the capture does not tell: Ethernet captures, by MAC.

    def _directed(self, stage: Stage) -> Stage:
        if stage.direction != UNKNOWN or not stage.macs:
            return stage
        learned: AbstractSet[bytes] = self._own_macs.get(stage.interface, frozenset())
        own = self._knowledge.own_macs
        if not learned and not own:
            return stage
        destination, source = stage.macs[:6], stage.macs[6:]
        # This interface's own before the machine's others: two of its interfaces may be on one link.
        for macs in (learned, own):
            if source in macs:
                return stage._replace(direction=OUT)
            if destination in macs:
                return stage._replace(direction=IN)
        if destination[0] & 1:
            return stage._replace(direction=BROADCAST if destination == b"\xff" * 6 else MULTICAST)
        return stage._replace(direction=OTHER)

    def _find_own_macs(self) -> dict[InterfaceKey, set[bytes]]:
        """Own MACs by interface, as routed journeys show them.

        What a router passes on leaves with its own MAC as source and came with its own MAC as destination.
        A bridge changes neither, and teaches nothing.
        """
        own: dict[InterfaceKey, set[bytes]] = defaultdict(set)
        for path in self._tables.latencies:
            with_macs = [stage for stage in path.stages if stage.macs]
            if len({stage.macs for stage in with_macs}) < 2:
                continue
            for stage in with_macs:
                if stage.direction == OUT:
                    own[stage.interface].add(stage.macs[6:])
                elif stage.direction == IN and not stage.macs[0] & 1:
                    own[stage.interface].add(stage.macs[:6])
        return own

    # Addresses: which are this machine's own, and where the others are.

    def _look_around(self) -> None:
        came_in: set[bytes] = set()
        went_out: set[bytes] = set()
        only_in: set[bytes] = set()
        only_out: set[bytes] = set()
        errors: set[bytes] = set()
        tunnel_ends: set[bytes] = set()
        for flow, _, route, cell in self._rows:
            source, destination = self.ends(flow)
            if route.ingress and route.egress and (route.ingress.wear == PLAIN) != (route.egress.wear == PLAIN):
                # Put into the tunnel here, or taken out of it: this machine is that end of the tunnel.
                tunnel_ends.add(source if route.ingress.wear == PLAIN else destination)
            if route.ingress and not route.ingress.loopback:
                came_in.add(source)
                if route.ingress.direction == IN:
                    self._behind[source][route.ingress.interface] += cell.datagrams
                if not route.egress:
                    only_in.add(destination)
            if route.egress:
                went_out.add(destination)
                if route.ingress:
                    self.egresses[destination][route.egress.interface] += cell.datagrams
                elif not route.flags & AT_START and self._watches_all(route.egress):
                    only_out.add(source)
                    if flow.protocol in (1, 58) and flow.source_port < 0:
                        errors.add(source)
        # Without `ip addr`: an address that sends without ever coming in, and that what came in for goes nowhere.
        silent = only_out - came_in - went_out
        self._own_addresses |= (silent & only_in) | (silent & errors) | tunnel_ends
        for address in self._own_addresses:
            self._behind.pop(address, None)
