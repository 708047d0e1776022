"""Verdicts: what became of the journeys that the engine counted.

A journey that came in and went out was forwarded. One that only came in was for this machine itself, or was owed an
egress; if that egress was watched it was dropped, else it cannot be told. One that only went out was sent by this
machine, or its ingress was missed. All of this is decided here, once, from paths, addresses and what the operator
knows; nothing else in the program asks which it was.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from collections.abc import Set as AbstractSet
from functools import cached_property
from typing import TYPE_CHECKING, Literal, NamedTuple

from vxtool.analysis.knowledge import Knowledge, never_forwarded
from vxtool.analysis.second_thoughts import Pairing, find_carriers, find_resegmented, find_unmatched
from vxtool.engine.tables import (
    ACKNOWLEDGED,
    AT_END,
    AT_START,
    BROADCAST,
    FIRST_ONLY,
    IN,
    INGRESS,
    JOINED,
    LOOPED,
    MULTICAST,
    OF_UDP,
    OTHER,
    OUT,
    PARTIAL,
    PLAIN,
    SEGMENTED,
    UNKNOWN,
    WHOLE,
    FlowKey,
    InterfaceKey,
    PathKey,
    Stage,
    Tables,
)

if TYPE_CHECKING:
    from vxtool.engine.answers import Bundle
    from vxtool.engine.queries import Bundles

Outcome = Literal["forwarded", "delivered", "dropped", "originated", "missed", "unresolved"]

# Why a datagram's outcome cannot be told.
CAPTURE_ENDED = "capture-ended"  # within the longest latency of its ingress
CAPTURE_BEGAN = "capture-began"  # within the longest latency before its egress
EGRESS_NOT_CAPTURED = "egress-not-captured"
INGRESS_NOT_CAPTURED = "ingress-not-captured"
NOT_ADDRESSED = "not-addressed"  # seen, but sent to another machine's MAC
NO_DIRECTION = "direction-unknown"
ADDRESS_TRANSLATED = "address-translated"  # came in under one address and left under another: not followed
UNMATCHED = "unmatched"  # as many came in only as went out only: too far apart in time to be one
IN_A_LOOP = "in-a-loop"  # seen at one stage again with a lower TTL: where it ended is not followed
DELIVERED_UNSEEN = "acknowledged"  # the other end has it, so it left: the capture lost its egress
RESEGMENTED = "resegmented"  # cut into segments, or put together, between In and Out: not followed


class Route(NamedTuple):
    """A path with its directions settled."""

    ingress: Stage | None  # the first In
    egress: Stage | None  # the last Out
    via: tuple[Stage, ...]
    tunnelled: bool
    measured: Stage  # where sizes were taken: see `vxtool.engine`
    flags: int
    stages: tuple[Stage, ...]  # all of them, in order of arrival

    @property
    def decapsulated(self) -> bool:
        """It came in by the tunnel and was taken out of it here."""
        return self.ingress is not None and self.ingress.wear != PLAIN and self.stages[-1].wear == PLAIN

    @property
    def fragmented_at_source(self) -> bool:
        """It came in fragments; or this machine put it into the tunnel and fragmented it there."""
        return self.measured.form != WHOLE

    @property
    def resegmented(self) -> bool:
        """It was cut into segments, or put together, between In and Out."""
        return bool(self.flags & (SEGMENTED | JOINED))

    @property
    def has_fragments(self) -> bool:
        """It was seen in fragments where it came in or where it left."""
        return any(stage is not None and stage.form != WHOLE for stage in (self.ingress, self.egress))


class Judged(NamedTuple):
    """A bundle of journeys, and what became of them."""

    number: int  # the bundle's
    bundle: Bundle
    route: Route
    outcome: Outcome
    reason: str | None

    @property
    def fragmented_by_router(self) -> bool:
        """They left in fragments, whole or in fewer as they came in."""
        route = self.route
        if route.ingress is None or route.egress is None or route.ingress.wear != route.egress.wear:
            return False
        if route.ingress.form == WHOLE:
            return route.egress.form != WHOLE
        return self.bundle.grew

    @property
    def fragmented(self) -> int:
        """How many packets it was that the router fragmented, of those for which that is so."""
        return self.bundle.fragmented or self.bundle.datagrams


class Group(NamedTuple):
    """All journeys along one route that had one outcome."""

    route: Route
    outcome: Outcome
    reason: str | None
    datagrams: int
    items: list[Judged]


def group(judged: Iterable[Judged]) -> list[Group]:
    rows: dict[tuple[int, Outcome, str | None], list[Judged]] = defaultdict(list)
    for item in judged:
        # By identity: there is one object for each route, and a route's hash goes deep.
        rows[id(item.route), item.outcome, item.reason].append(item)
    return [
        Group(items[0].route, outcome, reason, sum(item.bundle.datagrams for item in items), items)
        for (_, outcome, reason), items in rows.items()
    ]


# Kinds of routes that lead nowhere but to this machine itself, or to all on one of its links.
_ENDING = ("local", "broadcast", "multicast", "anycast")

# What is known of a flow beside its own journeys, as notes on its bundles.
_RESEGMENTED, _TRANSLATED, _UNMATCHED = 1, 2, 4


class Judge:
    """Decides outcomes for one set of tables."""

    def __init__(self, tables: Tables, knowledge: Knowledge, window: int) -> None:
        """`window`: how long the engine waited for an egress, in ns."""
        self._tables = tables
        self._knowledge = knowledge
        self._window = window
        self._routes: dict[PathKey, Route] = {}
        self._own_macs = self._find_own_macs()
        self._own_addresses = knowledge.own_addresses
        self.egresses: dict[bytes, Counter[InterfaceKey]] = defaultdict(Counter)  # by outermost destination
        self.arrivals: dict[bytes, Counter[InterfaceKey]] = defaultdict(Counter)  # by outermost source
        decapsulated = self._paths(lambda route: route.decapsulated)
        self.bundles: Bundles = tables.queries.bundles(decapsulated)
        self._look_around()
        # A capture of `any` may still be of one side (`tcpdump -Q in`): no record went out, though answers came in.
        self._holds_ingress = any(row.records_in for row in tables.interfaces.values())
        self._holds_egress = any(
            row.records_out for row in tables.interfaces.values()
        ) or not tables.queries.is_answered(self._paths(lambda route: route.ingress is not None))
        self._tunnel_devices, self._ports = find_carriers(self._routes.values(), tables, knowledge)
        # Where what came out of the tunnel goes: to others than this machine itself.
        self._taken_out = {
            bundle.inside for bundle, route in self._in_bundles() if route.decapsulated
        } - self._own_addresses
        self._bundle_again(decapsulated)

    def _bundle_again(self, decapsulated: Collection[PathKey]) -> None:
        """Tell apart what the first bundles showed to matter: flows of which others tell something, and where pods
        are behind this machine, what came in by the tunnel for each of them."""
        queries = self._tables.queries
        only_in = self._paths(lambda route: route.ingress is not None and route.egress is None)
        only_out = self._paths(lambda route: route.ingress is None and route.egress is not None)
        notes: dict[FlowKey, int] = defaultdict(int)
        self.resegmented: frozenset[FlowKey] = frozenset()
        if only_in and only_out:
            both = queries.two_sided(only_in, only_out)
            followed = sum(
                row.count
                for path, row in self._tables.latencies.items()
                if self.route(path).resegmented and not path.flags & OF_UDP
            )
            self.resegmented = find_resegmented(both, queries, followed)
            for note, flows in (
                (_RESEGMENTED, self.resegmented),
                (_TRANSLATED, queries.rewritten(only_in, only_out, self._own_addresses)),
                (_UNMATCHED, find_unmatched(both, self._pairing())),
            ):
                for flow in flows:
                    notes[flow] |= note
        arrived: list[PathKey] = []
        if self._taken_out:
            arrived = self._paths(
                lambda route: route.tunnelled and route.ingress is not None and route.egress is None
            )
        if notes or arrived:
            self.bundles = queries.bundles([*decapsulated, *arrived], notes)

    def _pairing(self) -> Pairing:
        through = [path for path in self._tables.latencies if self.route(path).egress is not None]
        return Pairing(
            matched=sum(self._tables.latencies[path].count for path in through),
            longest=max((self._tables.latencies[path].largest for path in through), default=0),
            window=self._window,
            reversed_records=self._tables.counters.time_reversed,
        )

    def _paths(self, wanted: Callable[[Route], bool]) -> list[PathKey]:
        """The paths whose route is wanted."""
        return [path for path in self._tables.queries.paths if wanted(self.route(path))]

    def _in_bundles(self) -> Iterator[tuple[Bundle, Route]]:
        routes: dict[int, Route] = {}  # by the path's identity: its hash goes deep, so each is looked up once
        for bundle in self.bundles.rows:
            route = routes.get(id(bundle.path))
            if route is None:
                route = routes[id(bundle.path)] = self.route(bundle.path)
            yield bundle, route

    def _only_left(self, route: Route) -> bool:
        """It went out of a machine that was captured whole, at a time when its ingress would have been seen."""
        return (
            route.ingress is None
            and route.egress is not None
            and not route.flags & AT_START
            and self._watches_all(route.egress)
        )

    @property
    def own_addresses(self) -> frozenset[bytes]:
        """Of the machine that captured: told by files, or shown by what it sent and took out of tunnels."""
        return self._own_addresses

    def judged(self) -> list[Judged]:
        items: list[Judged] = []
        settled: dict[int, tuple[Outcome, str | None]] = {}  # by route, where that alone decides
        for number, (bundle, route) in enumerate(self._in_bundles()):
            verdict = settled.get(id(route))
            if verdict is None:
                verdict = self._judge_in_company(bundle, route)
                if route.ingress and route.egress and (verdict[0] == "forwarded" or not self.resegmented):
                    settled[id(route)] = verdict
            items.append(Judged(number, bundle, route, *verdict))
        return items

    def _judge_in_company(self, bundle: Bundle, route: Route) -> tuple[Outcome, str | None]:
        """The verdict on a bundle of journeys, corrected by what other journeys tell.

        Where they came in and went out, that rests on the route alone, but for flows that were resegmented.
        """
        destination = bundle.destination
        if route.decapsulated and route.egress is None:
            # What is owed an egress is what came out of the tunnel.
            destination = bundle.inside
        outcome, reason = self.judge(route, bundle.source, destination)
        one_sided = (route.ingress is None) != (route.egress is None)
        if outcome == "forwarded" and self._stops_at_a_carrier(route):
            return "dropped", None
        if (
            outcome == "delivered"
            and route.tunnelled
            and destination in self._own_addresses
            and bundle.inside in self._taken_out
        ):
            # This machine is the tunnel's end for that pod, and others for it came out of the tunnel.
            return ("unresolved", CAPTURE_ENDED) if route.flags & AT_END else ("dropped", None)
        if one_sided and bundle.apart & _TRANSLATED:
            return "unresolved", ADDRESS_TRANSLATED
        if outcome in ("dropped", "missed"):
            if bundle.apart & _RESEGMENTED and not route.resegmented:
                return "unresolved", RESEGMENTED
            if one_sided and bundle.apart & _UNMATCHED:
                return "unresolved", UNMATCHED
        return outcome, reason

    def _stops_at_a_carrier(self, route: Route) -> bool:
        """It went out of a device that only hands on, and was not seen behind that."""
        last = route.stages[-1]
        if last.direction != OUT or not self._watches_all(last):
            return False
        if last.wear == PLAIN and last.interface in self._tunnel_devices:
            return True
        ports = self._ports.get(last.interface, frozenset())
        return bool(ports) and not any(
            stage.direction == OUT and stage.interface in ports for stage in route.stages
        )

    def judge(self, route: Route, source: bytes, destination: bytes) -> tuple[Outcome, str | None]:
        """The outcome of a datagram along `route`; the addresses are the outermost packet's."""
        ingress, egress = route.ingress, route.egress
        if route.flags & LOOPED:
            return "unresolved", IN_A_LOOP
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
            or self._ends_here(destination)
        ):
            return "delivered", None
        if ingress.direction == OTHER:
            return "unresolved", NOT_ADDRESSED
        watched = self._holds_egress if self._watches_all(ingress) else self._is_watched(destination)
        if not watched:
            return "unresolved", EGRESS_NOT_CAPTURED
        if route.flags & ACKNOWLEDGED:
            return "unresolved", DELIVERED_UNSEEN
        return ("unresolved", CAPTURE_ENDED) if route.flags & AT_END else ("dropped", None)

    def _judge_left(self, route: Route, egress: Stage, source: bytes) -> tuple[Outcome, str | None]:
        if egress.loopback or source in self._own_addresses or never_forwarded(source):
            return "originated", None
        watched = self._holds_ingress if self._watches_all(egress) else source in self.arrivals
        if not watched:
            return "unresolved", INGRESS_NOT_CAPTURED
        return ("unresolved", CAPTURE_BEGAN) if route.flags & AT_START else ("missed", None)

    def _ends_here(self, destination: bytes) -> bool:
        """Whether a route says that it is this machine's own, or a broadcast on one of its links."""
        return any(route.kind in _ENDING for route in self._knowledge.ways(destination))

    def _is_watched(self, destination: bytes) -> bool:
        """Whether a datagram to there would have been seen to leave, where single interfaces were captured: by its
        route, else by other journeys."""
        left = destination in self.egresses
        seen = left or destination in self.arrivals
        ways = self._knowledge.sure_ways(destination)
        if left or not ways:
            return seen
        if any(route.refuses for route in ways):
            return True  # it leaves by none at all
        devices = {device for route in ways for device in route.devices}
        if devices and devices <= self._captured:
            return True
        # A device that carries others (a bridge, a bond) may have been captured by these, and so may one without a
        # name here.
        links = self._knowledge.links.by_index.values()
        if not devices or None in self._captured or any(link.master in devices for link in links):
            return seen
        return False

    @cached_property
    def _captured(self) -> frozenset[str | None]:
        """The names of the interfaces of which what leaves was captured; None among them where one has none."""
        return frozenset(
            self._knowledge.interface(key, self._tables).name
            for key, row in self._tables.interfaces.items()
            if row.records_out or row.records_unknown or not row.records_in
        )

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
        return Route(ingress, egress, via, bool(tunnelled), measured, path.flags, stages)

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
        tunnel_ends: set[bytes] = set()
        errors: set[bytes] = set()
        for bundle, route in self._in_bundles():
            source, destination, datagrams = bundle.source, bundle.destination, bundle.datagrams
            if route.ingress and route.egress and (route.ingress.wear == PLAIN) != (route.egress.wear == PLAIN):
                # Put into the tunnel here, or taken out of it: this machine is that end of the tunnel.
                tunnel_ends.add(source if route.ingress.wear == PLAIN else destination)
            if route.ingress and not route.ingress.loopback:
                came_in.add(source)
                if route.ingress.direction == IN:
                    self.arrivals[source][route.ingress.interface] += datagrams
                if not route.egress:
                    only_in.add(destination)
            if route.egress:
                went_out.add(destination)
                if route.ingress:
                    self.egresses[destination][route.egress.interface] += datagrams
                elif self._only_left(route):
                    only_out.add(source)
                    if bundle.icmp:
                        errors.add(source)
        # Without `ip addr`: an address that sends without ever coming in, and that what came in for goes nowhere.
        silent = only_out - came_in - went_out
        told = (silent & only_in) | (silent & errors) | tunnel_ends
        self._own_addresses |= told - {b""}  # of flows that were folded, addresses may be unknown
        for address in self._own_addresses:
            self.arrivals.pop(address, None)
