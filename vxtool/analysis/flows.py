"""Flows one by one, each with its verdict, ends and tunnel: what `vxtool flows` lists.

The verdicts are Hubble's words for the outcomes. A router is no node of Cilium's, so where Hubble would have seen a
datagram is told as the nearest that there is: `to-network` where it left by an interface, `from-network` where it
only came in, `to-host` where it was for this machine itself. On a node, what left by a pod's own interface is told
as `to-endpoint`, as far as the interface's name or the cluster's files say that it is one.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from vxtool.analysis.knowledge import Knowledge, address_text, packed
from vxtool.analysis.outcomes import Judge, Judged, Outcome
from vxtool.analysis.times import rfc3339
from vxtool.analysis.traffic import FlowTotals, Labels, Overlay, identities_by_address, protocol_name
from vxtool.engine.answers import Order
from vxtool.engine.tables import (
    ECHO_REPLY,
    ECHO_REQUEST,
    PLAIN,
    TCP,
    WEAR_NAMES,
    FlowKey,
    FlowRow,
    Stage,
    Tables,
)

if TYPE_CHECKING:
    from ipaddress import IPv4Network, IPv6Network

    from vxtool.analysis.model import FlowEnd, FlowEthernet, FlowInterface, FlowTunnel, ListedFlow
    from vxtool.engine.answers import Share, TopFlow
    from vxtool.engine.queries import Ranked

Verdict = Literal["FORWARDED", "DROPPED", "TRACED"]
Observation = Literal["to-network", "from-network", "to-host", "to-endpoint"]
Sorting = Literal["bytes", "packets", "start", "end", "drops"]

VERDICTS: tuple[Verdict, ...] = ("FORWARDED", "DROPPED", "TRACED")

# TRACED is what Hubble calls a flow that was observed and of which no verdict is known.
_VERDICT_OF: dict[Outcome, Verdict] = {
    "forwarded": "FORWARDED",
    "delivered": "FORWARDED",
    "originated": "FORWARDED",
    "missed": "FORWARDED",
    "dropped": "DROPPED",
    "unresolved": "TRACED",
}

# RFC 9293, section 3.1, in the order in which Hubble names them.
_FLAGS = {"SYN": 0x02, "ACK": 0x10, "RST": 0x04, "FIN": 0x01, "PSH": 0x08, "URG": 0x20, "ECE": 0x40, "CWR": 0x80}
_SYN, _ACK = _FLAGS["SYN"], _FLAGS["ACK"]
_ICMP = frozenset({1, 58})
_OF_POD, _OF_CILIUM = "lxc", "cilium_"  # how Cilium names a pod's interface, and its own devices
_EVERY = 0xFFFFFFFF  # flows: more than an engine keeps
_MOST_ENDS = 1 << 13  # of which is remembered who is there
PIECE = 1024  # flows that are held at once, where there are more


class FlowFilter(NamedTuple):
    """Which flows are wanted. Of several values of one kind any may fit, and each kind that is given must; what is
    said of ends holds for either."""

    pods: Collection[str] = ()  # [namespace/]beginning of the name
    namespaces: Collection[str] = ()
    identities: Collection[str] = ()  # number or name
    networks: Sequence[IPv4Network | IPv6Network] = ()
    ports: frozenset[int] = frozenset()
    protocols: Collection[str] = ()
    verdicts: Collection[Verdict] = ()

    @property
    def takes_all(self) -> bool:
        return not any(self)

    @property
    def asks_ends(self) -> bool:
        """Whether anything but verdicts is asked for."""
        return any(self._replace(verdicts=()))

    def takes_end(self, end: FlowEnd, what: str) -> bool:
        """Whether one end fits what is asked of one kind."""
        if what == "pods":
            return any(_is_pod(end, wanted) for wanted in self.pods)
        if what == "namespaces":
            return end["namespace"] in self.namespaces
        if what == "identities":
            return str(end["identity"]) in self.identities or end["identity_name"] in self.identities
        if end["address"] is None:
            return False
        from ipaddress import ip_address

        address = ip_address(end["address"])
        return any(address in network for network in self.networks)


_OF_ENDS = ("pods", "namespaces", "identities", "networks")


def _is_pod(end: FlowEnd, wanted: str) -> bool:
    namespace, slash, name = wanted.rpartition("/")
    return (
        end["pod"] is not None
        and end["pod"].startswith(name)
        and (not slash or not namespace or end["namespace"] == namespace)
    )


class Listing(NamedTuple):
    flows: Sequence[ListedFlow]
    shown: int  # flows, each counted once
    matching: int
    total: int


# What of a flow had one verdict, and would have been seen at one place by Hubble.
_Parts = dict[tuple[Verdict, Observation], list["Share"]]


class Chosen(NamedTuple):
    """The flows that are wanted, by their ranks."""

    ranked: Ranked
    bundles: Sequence[int]  # those that have a verdict that is wanted
    flags: bytes | None  # a byte for each rank, 1 where the flow is wanted; None: all are
    matching: int
    datagrams: int  # of the matching flows, in those bundles

    def ranks(self) -> Iterator[int]:
        flags = self.flags
        return iter(range(len(self.ranked))) if flags is None else (rank for rank, one in enumerate(flags) if one)


def list_flows(
    judged: Sequence[Judged],
    judge: Judge,
    tunnelled: bool,
    describer: Describer,
    wanted: FlowFilter,
    sorting: Sorting,
    top: int | None,
) -> Listing:
    """The flows of one scope that are wanted, at most `top` of them."""
    inside = [item for item in judged if item.route.tunnelled == tunnelled]
    chosen = choose_flows(inside, judge, describer, wanted, sorting, top)
    shown = min(chosen.matching, top) if top is not None else chosen.matching
    lines: Sequence[ListedFlow] = _Lines(chosen, describer, wanted, sorting, shown)
    if shown <= PIECE:
        lines = list(lines)
    return Listing(lines, shown, chosen.matching, chosen.ranked.total)


def choose_flows(
    among: Sequence[Judged],
    judge: Judge,
    describer: Describer,
    wanted: FlowFilter,
    sorting: Sorting,
    top: int | None,
) -> Chosen:
    """The flows that are wanted of these bundles, in order."""
    verdicts = wanted.verdicts or VERDICTS
    told = [item for item in among if _VERDICT_OF[item.outcome] in verdicts]
    bundles = [item.number for item in told]
    counting = [item.number for item in told if sorting != "drops" or _VERDICT_OF[item.outcome] == "DROPPED"]
    if counting == [item.number for item in among]:
        order = Order(_ORDERS[sorting])
    else:
        order = Order(_ORDERS[sorting], counting, bundles if wanted.verdicts else None)
    most = top if top is not None and not wanted.asks_ends else _EVERY
    ranked = judge.bundles.ranked([item.number for item in among], order, most)
    if not wanted.asks_ends:
        return Chosen(ranked, bundles, None, ranked.matching, ranked.datagrams)
    # All flows are looked at, of which there may be millions: nothing is kept of them but whether they are wanted.
    flags = bytearray(len(ranked))
    matching = datagrams = 0
    for rank, flow in picked(ranked, iter(range(len(ranked)))):
        if describer.wants(flow, wanted):
            flags[rank] = top is None or matching < top
            matching += 1
            datagrams += sum(share.datagrams for share in flow.shares if describer.verdict(share) in verdicts)
    return Chosen(ranked, bundles, bytes(flags), matching, datagrams)


_ORDERS: dict[Sorting, Literal["bytes", "datagrams", "start", "end"]] = {
    "bytes": "bytes",
    "packets": "datagrams",
    "start": "start",
    "end": "end",
    "drops": "datagrams",
}


def picked(ranked: Ranked, ranks: Iterator[int]) -> Iterator[tuple[int, TopFlow]]:
    """Flows with their ranks, of which no more than a piece are held at once."""
    while some := list(islice(ranks, PIECE)):
        yield from zip(some, ranked.pick(some), strict=True)


class LookedAt(Sequence["ListedFlow"]):
    """What is made anew by each look at it, in order, so that only as much is held as is looked at."""

    @abstractmethod
    def __iter__(self) -> Iterator[ListedFlow]: ...

    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice):
            places = range(*at.indices(len(self)))
            forward = places if places.step > 0 else places[::-1]
            some = list(islice(self, forward.start, forward.stop, forward.step)) if places else []
            return some if places.step > 0 else some[::-1]
        if not -len(self) <= at < len(self):
            raise IndexError(f"{at} of {len(self)}")
        return next(islice(self, at % len(self), None))


class _Lines(LookedAt):
    """The lines of flows in order."""

    def __init__(
        self, chosen: Chosen, describer: Describer, wanted: FlowFilter, sorting: Sorting, shown: int
    ) -> None:
        self._chosen = chosen
        self._describer = describer
        self._wanted = wanted
        self._sorting = sorting
        self._shown = shown

    @cached_property
    def _length(self) -> int:
        return sum(len(self._describer.parts(flow, self._wanted)) for _, flow in self._flows())

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[ListedFlow]:
        if self._sorting in ("start", "end"):
            return self._by_time()
        return (
            line
            for _, flow in self._flows()
            for line in self._describer.lines(
                flow, self._describer.parts(flow, self._wanted), self._sorting == "drops"
            )
        )

    def _flows(self) -> Iterator[tuple[int, TopFlow]]:
        return picked(self._chosen.ranked, islice(self._chosen.ranks(), self._shown))

    def _by_time(self) -> Iterator[ListedFlow]:
        """The lines in order of their own times, and of equal ones in that of the flows. A line begins or ends with
        one of its shares, so it comes up where those do."""
        ranked, flags = self._chosen.ranked, self._chosen.flags
        moments = ranked.moments()
        for start in range(0, len(moments), PIECE):
            some = [moment for moment in moments.page(start, PIECE) if flags is None or flags[moment[1]]]
            ranks = list(dict.fromkeys(rank for _, rank in some))
            flows = dict(zip(ranks, ranked.pick(ranks), strict=True))
            for time, rank in some:
                flow = flows[rank]
                parts = self._describer.parts(flow, self._wanted)
                yield from self._describer.lines(
                    flow, {part: shares for part, shares in parts.items() if self._time(shares) == time}
                )

    def _time(self, shares: Sequence[Share]) -> int:
        if self._sorting == "start":
            return min(share.first_time for share in shares)
        return max(share.last_time for share in shares)


class Describer:
    """Puts flows into words. What is the same for many of them is found once."""

    def __init__(
        self,
        tables: Tables,
        judged: Sequence[Judged],
        knowledge: Knowledge,
        overlay: Overlay | None,
        own_addresses: Collection[bytes],
    ) -> None:
        self._tables = tables
        self._judged = judged
        self._knowledge = knowledge
        self._overlay = overlay
        self._labels = Labels(tables, knowledge)
        self._identity_at = identities_by_address(tables, knowledge)
        self._ports: dict[tuple[bytes, bytes, int], set[int]] = {}
        for source, destination, wear, port in tables.queries.tunnels:
            self._ports.setdefault((source, destination, wear), set()).add(port)
        self._ends: dict[tuple[bytes, int | None], FlowEnd] = {}
        self._own_addresses = own_addresses
        nodes = {name for address in own_addresses if (name := knowledge.node(address)) is not None}
        self.node = nodes.pop() if len(nodes) == 1 else None  # the one that captured, where the files name it
        self._fits: dict[tuple[str, bytes, int | None], bool] = {}

    def wants(self, top: TopFlow, wanted: FlowFilter) -> bool:
        """Whether a flow's protocol, ports and ends are wanted; its verdicts are not looked at."""
        flow = top.flow
        if wanted.protocols and protocol_name(flow.protocol) not in wanted.protocols:
            return False
        if wanted.ports and not wanted.ports & {*_ports(flow)}:
            return False
        return all(
            self._fits_end(what, flow.source, self._source_identity(flow), wanted)
            or self._fits_end(what, flow.destination, self._destination_identity(top), wanted)
            for what in _OF_ENDS
            if getattr(wanted, what)
        )

    def verdict(self, share: Share) -> Verdict:
        return _VERDICT_OF[self._judged[share.bundle].outcome]

    def parts(self, top: TopFlow, wanted: FlowFilter) -> _Parts:
        """What of a flow has verdicts that are wanted."""
        parts: _Parts = {}
        for share in top.shares:
            verdict = self.verdict(share)
            if not wanted.verdicts or verdict in wanted.verdicts:
                parts.setdefault((verdict, self._observed(self._judged[share.bundle], top.flow)), []).append(share)
        return parts

    def _fits_end(self, what: str, address: bytes, identity: int | None, wanted: FlowFilter) -> bool:
        fits = self._fits.get((what, address, identity))
        if fits is None:
            fits = wanted.takes_end(self._end(address, identity), what)
            if len(self._fits) >= _MOST_ENDS:
                self._fits.clear()
            self._fits[what, address, identity] = fits
        return fits

    def lines(self, top: TopFlow, parts: _Parts, drops_first: bool = False) -> Iterator[ListedFlow]:
        """A line for each verdict, and for each place where Hubble would have seen it."""
        order = sorted(parts, key=lambda part: (VERDICTS.index(part[0]), part[1]))
        if drops_first:
            order.sort(key=lambda part: part[0] != "DROPPED")
        for verdict, observation in order:
            yield self.line(top, verdict, observation, parts[verdict, observation])

    def line(
        self, top: TopFlow, verdict: Verdict, observation: Observation, shares: Sequence[Share]
    ) -> ListedFlow:
        """What of a flow had this verdict and would have been seen there."""
        flow, row = top.flow, top.row
        totals = FlowTotals(shares, self._judged, self._labels)
        ingress, egress = totals.ends()
        echo = is_echo(flow)
        source_port, destination_port = _ports(flow)
        usual = max(shares, key=lambda share: share.datagrams)
        return {
            "verdict": verdict,
            "observation": observation,
            "outcomes": self._outcomes(shares),
            "is_reply": tell_reply(flow, row, top.reverse),
            "protocol": protocol_name(flow.protocol),
            "icmp_id": flow.source_port if echo else None,
            "icmp_echo": echo_kind(row.tcp_flags if row is not None else 0) if echo else None,
            "icmp": None,
            "tcp_flags": tcp_flags(row.tcp_flags) if row is not None and flow.protocol == TCP else [],
            "source": self._end_at(flow.source, self._source_identity(flow), source_port),
            "destination": self._end_at(flow.destination, self._destination_identity(top), destination_port),
            "ingress": ingress,
            "egress": egress,
            "interface": self._interface(self._judged[usual.bundle], observation),
            "ethernet": self._ethernet(flow, shares, observation),
            "tunnel": self._tunnel(flow, row, self._judged[usual.bundle]),
            "record": None,
            "datagrams": totals.datagrams,
            "inner_bytes": totals.inner_bytes,
            "first_time": rfc3339(totals.first_time),
            "last_time": rfc3339(totals.last_time),
        }

    def _outcomes(self, shares: Sequence[Share]) -> dict[str, int]:
        counts: Counter[str] = Counter()
        for share in shares:
            counts[self._judged[share.bundle].outcome] += share.datagrams
        return dict(sorted(counts.items()))

    def _source_identity(self, flow: FlowKey) -> int | None:
        if self._overlay == "cilium" and flow.vni >= 0:
            return flow.vni
        return None if self._overlay == "vxlan" else self._identity_at(flow.source)

    def _destination_identity(self, top: TopFlow) -> int | None:
        """The VNI of the answers, else what is known of the address."""
        if self._overlay == "cilium" and top.reverse_vni is not None and top.reverse_vni >= 0:
            return top.reverse_vni
        return None if self._overlay == "vxlan" else self._identity_at(top.flow.destination)

    def _end_at(self, address: bytes, identity: int | None, port: int | None) -> FlowEnd:
        end = self._end(address, identity)
        service = self._knowledge.service(address, port) if end["pod"] is None and end["node"] is None else None
        return {**end, "port": port, "service": service}

    def _end(self, address: bytes, identity: int | None) -> FlowEnd:
        """Who is there, whatever the port."""
        end = self._ends.get((address, identity))
        if end is None:
            if len(self._ends) >= _MOST_ENDS:
                self._ends.clear()
            end = self._ends[address, identity] = self._describe_end(address, identity)
        return end

    def _describe_end(self, address: bytes, identity: int | None) -> FlowEnd:
        pod = self._knowledge.pod(address)
        info = self._knowledge.cluster.identity(identity) if identity is not None else None
        return {
            "address": address_text(address),
            "port": None,
            "pod": pod.name if pod is not None else None,
            "namespace": (pod.namespace if pod is not None else None)
            or (info.namespace if info is not None else None),
            "node": self._knowledge.node(address) if pod is None else None,
            "service": None,
            "backend_of": list(self._knowledge.backend_of(address)),
            "identity": identity,
            "identity_name": info.name if info is not None else None,
            "labels": list((info.labels if info is not None else ()) or (pod.labels if pod is not None else ())),
        }

    def _interface(self, item: Judged, observation: Observation) -> FlowInterface | None:
        stage = _stage(item, observation)
        name = self._knowledge.interface(stage.interface, self._tables)
        if name.label is None:
            return None
        return {"index": name.number, "name": name.name}

    def _observed(self, item: Judged, flow: FlowKey) -> Observation:
        if item.outcome == "delivered":
            return "to-host"
        if item.outcome == "dropped" or item.route.egress is None:
            return "from-network"
        return "to-endpoint" if self._is_to_pod(item.route.egress, flow) else "to-network"

    def _is_to_pod(self, egress: Stage, flow: FlowKey) -> bool:
        """Whether an interface is a pod's own: by its name, or since what left there was for a pod of this node."""
        if egress.wear != PLAIN:
            return False
        name = self._knowledge.interface(egress.interface, self._tables).name or ""
        if name.startswith(_OF_POD):
            return True
        if not self._own_addresses or name.startswith(_OF_CILIUM):
            return False
        pod = self._knowledge.pod(flow.destination)
        if pod is None:
            return False
        if self.node is not None and pod.node_name == self.node:
            return True
        return pod.node_address is not None and packed(pod.node_address) in self._own_addresses

    def _ethernet(self, flow: FlowKey, shares: Sequence[Share], observation: Observation) -> FlowEthernet | None:
        """The MACs where it was observed. Hubble gives those of the innermost frame, which are not kept of what was
        in a tunnel."""
        if flow.vni >= 0:
            return None
        macs = {_stage(self._judged[share.bundle], observation).macs for share in shares}
        both = macs.pop()
        return None if macs or not both else {"source": both[6:].hex(":"), "destination": both[:6].hex(":")}

    def _tunnel(self, flow: FlowKey, row: FlowRow | None, item: Judged) -> FlowTunnel | None:
        wear = next((stage.wear for stage in item.route.stages if stage.wear != PLAIN), PLAIN)
        if wear == PLAIN or row is None or flow.vni < 0:
            return None
        ends = (row.outer_source, row.outer_destination)
        ports = self._ports.get((*ends, wear), set())
        source, destination = ends
        return {
            "protocol": "geneve" if WEAR_NAMES[wear] == "geneve" else "vxlan",
            "vni": flow.vni,
            "source": address_text(source),
            "destination": address_text(destination),
            "source_node": self._knowledge.node(source),
            "destination_node": self._knowledge.node(destination),
            "port": next(iter(ports)) if len(ports) == 1 else None,
            "source_port": row.outer_source_port if row.outer_source_port >= 0 else None,
        }


def is_echo(flow: FlowKey) -> bool:
    return flow.protocol in _ICMP and flow.source_port >= 0 and flow.destination_port < 0


def _ports(flow: FlowKey) -> tuple[int | None, int | None]:
    """Of an ICMP echo, which has an identifier in the place of one, none."""
    return (
        flow.source_port if flow.source_port >= 0 and not is_echo(flow) else None,
        flow.destination_port if flow.destination_port >= 0 else None,
    )


def _stage(item: Judged, observation: Observation) -> Stage:
    """Where that was."""
    route = item.route
    left = observation in ("to-network", "to-endpoint")
    return (route.egress if left else route.ingress) or route.measured


def tcp_flags(flags: int) -> list[str]:
    """The names of TCP's flags, in the order in which Hubble names them."""
    return [name for name, bit in _FLAGS.items() if flags & bit]


def echo_kind(kinds: int) -> Literal["request", "reply"] | None:
    """What ICMP echo is; None of a flow where each of both ends asks the other under one identifier."""
    if kinds == ECHO_REQUEST:
        return "request"
    return "reply" if kinds == ECHO_REPLY else None


def tell_reply(flow: FlowKey, row: FlowRow | None, reverse: FlowRow | None) -> bool | None:
    """Whether this direction answers the other one; None where that cannot be told.

    ICMP echo says so itself. Of TCP, what holds a SYN and never an ACK asks, since only the first segment of a
    connection comes without one (RFC 9293, section 3.10.7); where both directions begin with a SYN, the later one
    answers. Of a connection that began before the capture nothing tells it. Otherwise the direction that was seen
    later answers, as connection tracking has it. Ports that are used again are told by their first connection.
    """
    if row is None or flow.source_port < 0:
        return None
    if flow.protocol in _ICMP:
        echo = echo_kind(row.tcp_flags)
        return None if echo is None else echo == "reply"
    if flow.protocol == TCP:
        if row.tcp_flags & (_SYN | _ACK) == _SYN:
            return False
        if reverse is not None and reverse.tcp_flags & (_SYN | _ACK) == _SYN:
            return True
        if reverse is None or not row.tcp_flags & reverse.tcp_flags & _SYN:
            return None
    return None if reverse is None else row.first > reverse.first
