"""Findings on ways: datagrams that left by another interface than they should have, and those that nobody answered.

What a datagram should have left by is told by the router's routes, where they are given and no other can apply to
it; else only by where the destination is, or its node, or by where traffic of their kind comes in. Ways there and
back may differ, and often do: without a sign that nothing came back, that is no finding.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from vxtool.analysis.findings.evidence import MOST_EVIDENCE, Case, number
from vxtool.analysis.findings.icmp import is_ttl_expired, said, unreachable_name
from vxtool.analysis.knowledge import address_text
from vxtool.analysis.outcomes import CAPTURE_ENDED, NOT_ADDRESSED, Judged
from vxtool.engine.answers import Wanted
from vxtool.engine.tables import ECHO_REPLY, LOOPED, OUT, PLAIN, TCP, TRANSLATED, FlowKey, InterfaceKey

if TYPE_CHECKING:
    from vxtool.analysis.model import Finding, Severity
    from vxtool.cluster.knowledge import PodCidr
    from vxtool.cluster.links import Link
    from vxtool.cluster.routes import Route
    from vxtool.engine.answers import Proof, TopFlow, Unanswered
    from vxtool.engine.tables import Sample

# How long an answer may take: a sender repeats a SYN after that time at first (RFC 6298, section 2).
PATIENCE = 1_000_000_000  # ns

_SYN, _RST, _ACK, _ECN_FLAGS = 0x02, 0x04, 0x10, 0xC0
_ICMP = frozenset({1, 58})
_MOST_ASKED = 200  # cells of unanswered flows that are looked at one by one
_MOST_SUSPECTS = 200  # addresses that are, each by questions that go through all flows
_MOST_COUNTED = (200, 2_000, 20_000)  # cells of unanswered flows that are gone through, in turns
_MOST_NAMED = 3
_TOP_FLOWS = 20
_MOST_ERRORS = 1000  # records of ICMP that are looked through for errors of a kind

# eBPF programs choose the way by these devices, past the routes: Cilium's own, and its pods'.
_BY_PROGRAM = ("cilium_", "lxc", "gke")
_TUNNEL_KINDS = frozenset({"vxlan", "geneve", "wireguard", "ipip", "gre", "sit", "ip6tnl"})

# Private addresses (RFC 1918, RFC 6598, RFC 4193): what two of one block have in common is an administrator. With
# the mask and the value of their first two bytes.
_BLOCKS = {
    4: {
        "10.0.0.0/8": (0xFF00, 0x0A00),
        "172.16.0.0/12": (0xFFF0, 0xAC10),
        "192.168.0.0/16": (0xFFFF, 0xC0A8),
        "100.64.0.0/10": (0xFFC0, 0x6440),
    },
    16: {"fc00::/7": (0xFE00, 0xFC00)},
}
_PODS, _NODES = "pods", "nodes"


class Ways:
    """What the findings here have in common."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self._judge = case.judge
        self._reached: dict[tuple[PodCidr, InterfaceKey], bool] = {}  # what `leads_to_node` found

    @cached_property
    def unanswered(self) -> Unanswered:
        return self.case.tables.queries.unanswered(PATIENCE, self.case.tables.last_time or 0)

    @cached_property
    def stuck(self) -> object | None:
        """Flows that answer a connection which gets no further, for `Wanted`."""
        return self.case.tables.queries.stuck(PATIENCE)

    @cached_property
    def astray(self) -> _Search:
        return _find_astray(self)

    @cached_property
    def kin(self) -> Mapping[str, AbstractSet[str | None]]:
        """By which interfaces datagrams of a kind came in: those of a block of private addresses, of the pods that
        the cluster's files know, and of `_NODES`: what came through a tunnel, or from a node's own address."""
        found: dict[str, set[str | None]] = defaultdict(set)
        cluster = self.case.knowledge.cluster
        for address, interfaces in self._judge.arrivals.items():
            labels = set(map(self.label, interfaces))
            if (block := _block(address)) is not None:
                found[block] |= labels
            if not cluster.sources:
                continue
            if cluster.is_node_address(address_text(address) or ""):
                found[_NODES] |= labels
            elif _pod(self, address) is not None:
                found[_PODS] |= labels
        for group in self.case.groups:
            if group.route.tunnelled and group.route.ingress is not None:
                found[_NODES].add(self.label(group.route.ingress.interface))
        return found

    @cached_property
    def senders(self) -> Mapping[PodCidr, Sequence[bytes]]:
        """The addresses that sent, by the node's range of pod addresses that they are of."""
        found: dict[PodCidr, list[bytes]] = defaultdict(list)
        cluster = self.case.knowledge.cluster
        for address in self._judge.arrivals if cluster.by_pod_cidr is not None else ():
            if (share := cluster.pod_cidr(address_text(address) or "")) is not None:
                found[share].append(address)
        return found

    @cached_property
    def sent_to(self) -> Mapping[tuple[PodCidr, InterfaceKey], Sequence[Judged]]:
        """What left for a node's range of pod addresses, by egress."""
        found: dict[tuple[PodCidr, InterfaceKey], list[Judged]] = defaultdict(list)
        cluster = self.case.knowledge.cluster
        for item in self.passed_on() if cluster.by_pod_cidr is not None else ():
            share = cluster.pod_cidr(address_text(item.bundle.destination) or "")
            if share is not None and item.route.egress is not None:
                found[share, item.route.egress.interface].append(item)
        return found

    @cached_property
    def is_node(self) -> bool:
        """Whether this machine is an end of the tunnel: pods may be behind it, each with a device of its own."""
        return any(
            group.route.ingress is not None
            and group.route.egress is not None
            and (group.route.ingress.wear == PLAIN) != (group.route.egress.wear == PLAIN)
            for group in self.case.groups
        )

    @cached_property
    def links(self) -> Mapping[str, Link]:
        return self.case.knowledge.links.by_name

    @cached_property
    def named(self) -> AbstractSet[str]:
        """The interfaces that were captured, as far as they have names."""
        names = {self.name(key) for key in self.case.tables.interfaces}
        if any(key.number >= 0 for key in self.case.tables.interfaces):
            names |= self.links.keys()  # a capture of all has those too on which nothing was seen
        return {name for name in names if name is not None}

    def asked(self, items: Collection[Judged], most: int = _MOST_ASKED) -> list[Proof]:
        """The first records of unanswered flows among these journeys."""
        if not self.unanswered.datagrams:
            return []
        wanted = Wanted([item.number for item in items], flows=self.unanswered.flows)
        return self._judge.bundles.starts(wanted, most)

    def leads_to_node(self, item: Judged) -> bool:
        """Whether something shows that its egress leads to the node in whose range its destination is: something
        there is reached by it."""
        share = self.case.knowledge.cluster.pod_cidr(address_text(item.bundle.destination) or "")
        if share is None or item.route.egress is None:
            return False
        place = share, item.route.egress.interface
        if place not in self._reached:
            self._reached[place] = self.are_answered(self.sent_to.get(place, ()))
        return self._reached[place]

    def lost(self, items: Collection[Judged], most: int) -> list[Proof]:
        """The first records of flows among these journeys that do not arrive, as something shows: nobody answers
        them, or a connection that they answer gets no further."""
        proofs = self.asked(items, most)
        if self.stuck is not None:
            wanted = Wanted([item.number for item in items], flows=self.stuck)
            proofs = sorted([*proofs, *self._judge.bundles.starts(wanted, most)], key=lambda proof: proof.sample)
        return proofs[:most]

    def are_answered(self, items: Sequence[Judged]) -> bool:
        """Whether something shows that these datagrams reach their destination."""
        return any(_arrives(row) for row in self._top(items))

    def are_lost(self, items: Sequence[Judged]) -> bool:
        """Whether something shows that they do not."""
        return bool(self.lost(items, 1))

    def connect(self, items: Sequence[Judged]) -> bool:
        """Whether connections are among what shows that they do not reach it: pings alone show less."""
        return any(proof.flow.protocol == TCP for proof in self.lost(items, _MOST_ASKED))

    def are_pongs(self, items: Sequence[Judged]) -> bool:
        """Whether they are nothing but replies of pings, of which nothing shows whether they arrive."""
        return all(_is_pong(row) for row in self._top(items))

    def _top(self, items: Sequence[Judged]) -> list[TopFlow]:
        top, _ = self._judge.bundles.top([item.number for item in items], _TOP_FLOWS)
        return top

    def name(self, key: InterfaceKey) -> str | None:
        return self.case.knowledge.interface(key, self.case.tables).name

    def label(self, key: InterfaceKey) -> str | None:
        return self.case.knowledge.interface(key, self.case.tables).label

    def passed_on(self) -> list[Judged]:
        """What went through as it came: neither into a tunnel nor out of one, nor to another address."""
        return [
            item
            for item in self.case.judged
            if item.outcome == "forwarded"
            and item.route.ingress is not None
            and item.route.egress is not None
            and item.route.ingress.wear == item.route.egress.wear
            and not item.route.ingress.loopback
            and not item.route.flags & (TRANSLATED | LOOPED)
        ]


def _arrives(top: TopFlow) -> bool:
    """Whether something shows that what a flow sends reaches its destination: traffic back, or a connection that
    got beyond its beginning. That a flow is itself the answer shows nothing."""
    if _is_stuck(top) or _is_pong(top):
        return False
    flags = top.row.tcp_flags if top.row is not None else 0
    return top.reverse_vni is not None or (top.flow.protocol == TCP and bool(flags & _ACK))


def _is_stuck(top: TopFlow) -> bool:
    """Whether it is one of `Ways.stuck`."""
    if top.flow.protocol != TCP or top.row is None or top.reverse is None:
        return False
    answers = top.row.tcp_flags & ~_ECN_FLAGS == _SYN | _ACK and not top.reverse.tcp_flags & (_ACK | _RST)
    times = [time for share in top.shares for time in (share.first_time, share.last_time)]
    return answers and max(times) - min(times) >= PATIENCE


def _is_pong(top: TopFlow) -> bool:
    return top.flow.protocol in _ICMP and top.row is not None and top.row.tcp_flags == ECHO_REPLY


# Misrouted.


class _Astray(NamedTuple):
    """Datagrams to one address that took a wrong way, and what is to be said of them."""

    items: list[Judged]
    verdict: str
    remedy: str
    severity: Severity
    doubt: str = ""  # what else it may be, where no route tells
    is_guess: bool = False  # nothing tells where the address is


_Way = tuple[bytes, InterfaceKey]  # outermost destination and egress


class _Search(NamedTuple):
    found: list[_Astray]
    unseen: list[Judged]  # what may have taken a wrong way too, and was not looked at
    more: bool  # there is still more, which was not even counted


def find_misrouted(ways: Ways) -> Iterator[Finding]:
    case, (astray, unseen, uncounted) = ways.case, ways.astray
    addresses = len({item.bundle.destination for item in unseen})
    not_looked_at = f"{'at least ' if uncounted else ''}{number(addresses, 'more address', 'more addresses')}"
    if not astray:
        if unseen:
            yield _not_looked_at(case, unseen, not_looked_at)
        return
    # The gravest first, and of those what took the most.
    grades = ("error", "warning", "info")
    order = sorted(astray, key=lambda row: (grades.index(row.severity), -_datagrams(row.items), row.verdict))
    remedies = list(dict.fromkeys(row.remedy for row in order))
    count = sum(_datagrams(row.items) for row in astray)
    others = len(astray) - 1
    more = ""
    if others:
        more = f", and so it is with {number(others, 'other address', 'other addresses')}: {count:,} in all"
    unknown = "whether the routes were those when the capture was taken, and whether a rule (`ip rule show`) or a "
    unknown += "program on the interface chose the way"
    if case.knowledge.any_ways(order[0].items[0].bundle.destination) == ():
        unknown = "the routes: give `--routes` with the router's `ip -j route show table all`"
        if order[0].doubt:
            unknown += f"; without them it may also be that {order[0].doubt}"
    elif order[0].doubt:
        unknown = "which route it took, since a rule (`ip rule show`) may prefer another table to the main one; "
        unknown += f"and it may be that {order[0].doubt}"
    if unseen:
        unknown += f"; {not_looked_at} may be concerned, which were not looked at"
    yield {
        "id": "forwarding.misrouted",
        "severity": order[0].severity,
        "title": f"{order[0].verdict} ({number(_datagrams(order[0].items), 'datagram')}{more})",
        "count": count,
        "evidence": case.samples(
            [item for row in astray for item in row.items], "{flow}: in {ingress}, out {egress}"
        ),
        "remedy": "; ".join(remedies[:_MOST_NAMED]),
        "unknown": unknown,
    }


def _datagrams(items: Sequence[Judged]) -> int:
    return sum(item.bundle.datagrams for item in items)


def _not_looked_at(case: Case, unseen: list[Judged], addresses: str) -> Finding:
    return {
        "id": "forwarding.misrouted",
        "severity": "info",
        "title": f"what goes to {addresses} may leave by a wrong interface: {_MOST_SUSPECTS} were looked at one by "
        "one, and found right",
        "count": _datagrams(unseen),
        "evidence": case.samples(unseen, "{flow}: in {ingress}, out {egress}, not looked at"),
        "remedy": "give a part of the capture: `tcpdump -r FILE -w PART net PREFIX` for some of these addresses",
        "unknown": "whether they took a wrong way",
    }


def _find_astray(ways: Ways) -> _Search:
    case = ways.case
    if not case.knowledge.routes and not ways.unanswered.datagrams and ways.stuck is None:
        return _Search([], [], False)
    items = ways.passed_on()
    found: list[_Astray] = []
    suspects = _by_way(
        item
        for item in (items if case.knowledge.routes else ())
        if _is_past_its_route(ways, item) or _has_default_only(ways, item)
    )
    asking, uncounted = _asking(ways, [item for group in suspects.values() for item in group])
    # First those that nobody answers, which send little.
    order = sorted(suspects, key=lambda way: (way not in asking, -_datagrams(suspects[way])))
    for way in order[:_MOST_SUSPECTS]:
        group = suspects[way]
        astray = _past_its_route(ways, group) if _is_past_its_route(ways, group[0]) else _by_default(ways, group)
        if astray is not None:
            found.append(astray)
    unseen = [item for way in order[_MOST_SUSPECTS:] for item in suspects[way]]
    told = {item.number for row in found for item in row.items} | {item.number for item in unseen}
    others = _by_way(item for item in items if item.number not in told)
    asking, more = _asking(ways, [item for group in others.values() for item in group])
    for way in asking[:_MOST_SUSPECTS]:
        if (astray := _without_routes(ways, others[way])) is not None:
            found.append(astray)
    unseen += [item for way in asking[_MOST_SUSPECTS:] for item in others[way]]
    return _Search(found, unseen, uncounted or more)


def _by_way(items: Iterable[Judged]) -> dict[_Way, list[Judged]]:
    """By address and egress, since what is said of them is the same."""
    ways: dict[_Way, list[Judged]] = {}
    for item in items:
        assert item.route.egress is not None
        ways.setdefault((item.bundle.destination, item.route.egress.interface), []).append(item)
    return ways


def _asking(ways: Ways, items: list[Judged]) -> tuple[list[_Way], bool]:
    """On which ways something does not arrive, as its being repeated shows, the earliest first; and whether on
    more."""
    found: dict[_Way, None] = {}
    proofs: list[Proof] = []
    for most in _MOST_COUNTED:
        proofs = ways.lost(items, most)
        found |= dict.fromkeys(_by_way(ways.case.judged[proof.bundle] for proof in proofs))
        if len(proofs) < most:
            return list(found), False
        # Thousands of flows may ask for one address: the next turn is for the others.
        items = [item for way, group in _by_way(items).items() if way not in found for item in group]
    return list(found), bool(ways.lost(items, 1))


def _is_past_its_route(ways: Ways, item: Judged) -> bool:
    """Whether the egress is none that the route has."""
    knowledge = ways.case.knowledge
    wanted = {device for route in knowledge.sure_ways(item.bundle.destination) for device in route.devices}
    return bool(wanted) and _left_by_none_of(ways, item, wanted)


def _left_by_none_of(ways: Ways, item: Judged, wanted: AbstractSet[str]) -> bool:
    """Whether it would have been seen at one of these interfaces had it left by that, and was not."""
    egress = ways.name(item.route.egress.interface) if item.route.egress is not None else None
    if egress is None or not wanted <= ways.named:
        return False
    left = {ways.name(stage.interface) for stage in item.route.stages if stage.direction == OUT}
    links = ways.links
    carriers = {links[name].master for name in left if name is not None and name in links}
    return not (
        wanted & (left | carriers)
        or any(name.startswith(_BY_PROGRAM) for name in (egress, *wanted))
        or any(links[name].kind in _TUNNEL_KINDS for name in wanted & links.keys())
    )


def _past_its_route(ways: Ways, items: list[Judged]) -> _Astray:
    bundle, routes = items[0].bundle, ways.case.knowledge.sure_ways(items[0].bundle.destination)
    devices = sorted({device for route in routes for device in route.devices})
    severity: Severity = "info" if ways.are_answered(items) or ways.are_pongs(items) else "warning"
    if ways.are_lost(items):
        severity = "error"
    ingress = ways.case.label(items[0], "ingress")
    return _Astray(
        items,
        f"datagrams to {_end(ways, bundle.destination)} left by {ways.case.label(items[0], 'egress')}, and not by "
        f"{' or '.join(devices)} as their route says ({routes[0]})",
        f"ask the router: `ip route get {address_text(bundle.destination)} from {address_text(bundle.source)} iif "
        f"{ingress if ingress in ways.links else 'INTERFACE'}`, then `ip rule show`",
        severity,
    )


def _has_default_only(ways: Ways, item: Judged) -> bool:
    """Whether no route but the default one, which it took, is for an address that is a pod's."""
    if item.route.ingress is None or item.route.ingress.wear != PLAIN or item.route.egress is None:
        return False
    return bool(_defaults(ways, item)) and _pod(ways, item.bundle.destination) is not None


def _defaults(ways: Ways, item: Judged) -> Sequence[Route]:
    """The default routes that it may have taken; none where a longer one may be for it, in whatever table."""
    knowledge = ways.case.knowledge
    routes = knowledge.any_ways(item.bundle.destination)
    # Without any in the usual tables the files are of others alone.
    if not routes or not knowledge.ways(item.bundle.destination):
        return ()
    if not all(route.is_default and route.devices for route in routes):
        return ()
    egress = ways.name(item.route.egress.interface) if item.route.egress is not None else None
    if egress is None:
        return knowledge.sure_ways(item.bundle.destination)
    return [route for route in routes if egress in route.devices]


def _by_default(ways: Ways, items: list[Judged]) -> _Astray | None:
    """The router lacks the pod's route: its node is reached by another, or nobody answers."""
    routes = _defaults(ways, items[0])
    pod = _pod(ways, items[0].bundle.destination)
    if pod is None or ways.are_answered(items) or ways.leads_to_node(items[0]):
        return None
    onward = _any_ways(ways, pod.node_address)
    if _lead_to_node(routes, pod, onward):
        return None
    if ways.are_lost(items):
        # That nobody answers pings at an address of which no list knows a pod is as it should be.
        severity: Severity = "error" if pod.is_named or ways.connect(items) else "warning"
    elif onward:
        severity = "info" if ways.are_pongs(items) else "warning"
    else:
        return None
    egress = ways.case.label(items[0], "egress")
    hops = [hop for route in routes for hop in route.hops if not hop.dead]
    hop = next((hop for hop in hops if hop.device == egress), hops[0])
    via = f" via {hop.via}" if hop.via else ""
    return _Astray(
        items,
        f"{pod.whereabouts}, the router has no route for it, so default{via} takes it out "
        f"{hop.device}",
        _add_route(pod, onward) + _route_back(ways, items[0]),
        severity,
    )


def _lead_to_node(routes: Sequence[Route], pod: _Pod, onward: Sequence[Route]) -> bool:
    """Whether one of these default routes leads to the pod's node, for which `onward` are."""
    same = {(hop.device, hop.via) for route in routes for hop in route.hops}
    return any((hop.device, hop.via) in same for route in onward for hop in route.hops) or any(
        via == pod.node_address for _, via in same
    )


class _Pod(NamedTuple):
    address: str
    node: str | None
    node_address: str | None  # of the pod's family
    prefix: str | None  # of the node's pods
    is_named: bool  # a list has it, or there is no list that could

    @property
    def whereabouts(self) -> str:
        """`pod 172.20.2.4 is on k8s-w0 (192.168.20.100)`, as far as it is known."""
        if self.is_named:
            return f"pod {self.address} is on {_where(self)}"
        return f"{self.address} is in the range of {_where(self)}"


def _pod(ways: Ways, address: bytes) -> _Pod | None:
    """Where the pod of an address is, as far as the cluster's files tell; None where it is no pod's."""
    text = address_text(address)
    if text is None:
        return None
    cluster = ways.case.knowledge.cluster
    if cluster.is_node_address(text):
        return None
    pod, share = cluster.pod(text), cluster.pod_cidr(text)
    if pod is None and share is None:
        return None
    node = (pod.node_name if pod is not None else None) or (share.node if share is not None else None)
    if node is None and pod is not None and pod.node_address is not None:
        node = cluster.node(pod.node_address)
    candidates = [
        share.node_address if share is not None and share.node == node else None,
        pod.node_address if pod is not None else None,
        *(cluster.node_addresses.get(node, ()) if node is not None else ()),
    ]
    underlay = next((each for each in candidates if each is not None and (":" in each) == (":" in text)), None)
    prefix = share.prefix if share is not None and share.node == node else None
    return _Pod(text, node, underlay, prefix, pod is not None or not cluster.pods)


def _add_route(pod: _Pod, onward: Sequence[Route]) -> str:
    """The command that gives the router the route that it lacks."""
    tunnel = "or use a tunnel, for which the router has to know the nodes only"
    if pod.node_address is None:
        node = pod.node or "its node"
        where = f"with the address of {node} (`kubectl get nodes -o wide` shows it)"
        return f"add `{_route_command(pod)} ADDRESS` {where}, {tunnel}"
    return f"add `{_route_command(pod, onward)}`, {tunnel}"


def _route_command(pod: _Pod, onward: Sequence[Route] | None = None) -> str:
    """By way of the pod's node, or of the router before it; up to `via` where that is not known."""
    ipv6 = ":" in pod.address
    prefix = pod.prefix or f"{pod.address}/{128 if ipv6 else 32}"
    command = f"ip {'-6 ' if ipv6 else ''}route add {prefix} via"
    if onward is None:
        return command
    hops = [hop for route in onward if not route.is_default for hop in route.hops if not hop.dead]
    return f"{command} {hops[0].via or pod.node_address} dev {hops[0].device}" if hops else (
        f"{command} {pod.node_address}"
    )  # fmt: skip


def _route_back(ways: Ways, item: Judged) -> str:
    """What the answers need as well: the sender may be a pod for which there is no route either."""
    pod = _pod(ways, item.bundle.source)
    routes = ways.case.knowledge.any_ways(item.bundle.source)
    if pod is None or pod.node_address is None or not routes or not all(route.is_default for route in routes):
        return ""
    return f"; the answers need `{_route_command(pod, _any_ways(ways, pod.node_address))}` as well"


def _without_routes(ways: Ways, items: list[Judged]) -> _Astray | None:
    """What does not arrive, as its being repeated shows, left by an interface behind which its destination is not,
    as far as anything but a route tells that."""
    assert items[0].route.egress is not None
    destination, label = items[0].bundle.destination, ways.label(items[0].route.egress.interface)
    if label is None or ways.are_answered(items) or ways.leads_to_node(items[0]):
        return None
    arrivals = ways.case.judge.arrivals
    whose, seen = "its own traffic comes", set(arrivals.get(destination, ()))
    if not seen:
        others = _neighbours(ways, destination)
        whose, seen = "that of others there comes", {key for address in others for key in arrivals[address]}
    if seen:
        return _away_from_where_it_sends(ways, items, label, whose, seen)
    if _may_be_routed(ways, items[0]) or ways.is_node or label.startswith(_BY_PROGRAM):
        return None
    pod = _pod(ways, destination)
    target = pod.node_address if pod is not None else address_text(destination)
    if target is not None and target in map(address_text, ways.case.knowledge.own_addresses):
        return None  # a pod of this machine
    network = ways.case.knowledge.links.behind(target) if target is not None else None
    came = _arrivals_of(ways, target) if target is not None else set()
    if network is not None or came:
        return _away_from_its_link(ways, items, label, pod, network, came)
    return _away_from_its_kind(ways, items, label, pod)


def _may_be_routed(ways: Ways, item: Judged) -> bool:
    """Whether routes may have led it right: they are believed, and so is each that a rule may prefer. A default
    route tells nothing beside a longer one that leads elsewhere."""
    knowledge = ways.case.knowledge
    routes = knowledge.any_ways(item.bundle.destination)
    if routes is None or knowledge.sure_ways(item.bundle.destination):
        return True
    egress = ways.name(item.route.egress.interface) if item.route.egress is not None else None
    taken = [route for route in routes if egress is None or egress in route.devices]
    if not taken or not all(route.is_default for route in taken):
        return bool(taken)
    pod = _pod(ways, item.bundle.destination)
    return all(route.is_default for route in routes) or (
        pod is not None and _lead_to_node(taken, pod, _any_ways(ways, pod.node_address))
    )


def _away_from_where_it_sends(
    ways: Ways, items: list[Judged], label: str, whose: str, seen: Collection[InterfaceKey]
) -> _Astray | None:
    """The destination, or the others on its node, send by another interface only."""
    destination = items[0].bundle.destination
    named = set(map(ways.label, seen))
    if label in named or None in named:
        return None
    where = _listed(named)
    return _Astray(
        items,
        f"what goes to {_end(ways, destination)} leaves by {label} and {_fails(ways, items)}, while {whose} in by "
        f"{where}",
        f"ask the router where it sends it: `ip route get {address_text(destination)}`; if not by {where}, correct "
        "that route",
        "warning",
    )


def _away_from_its_link(
    ways: Ways,
    items: list[Judged],
    label: str,
    pod: _Pod | None,
    network: tuple[str, AbstractSet[str]] | None,
    came: AbstractSet[str | None],
) -> _Astray | None:
    """Links or traffic tell that the destination, or the pod's node, is behind another interface."""
    if label in came or None in came:
        return None
    if network is not None and not _left_by_none_of(ways, items[0], network[1]):
        return None
    destination = _end(ways, items[0].bundle.destination)
    devices = _listed(network[1] if network is not None else came, "or")
    if pod is None:
        assert network is not None
        verdict = f"{destination} is on the link of {devices} ({network[0]}), and what goes to it leaves by {label}"
    else:
        where = f"whose own traffic comes in by {devices}"
        if network is not None:
            where = f"which is on the link of {devices} ({network[0]})"
        verdict = f"{pod.whereabouts}, {where}, and what goes to it leaves by {label}"
    ask = f"ask the router: `ip route get {address_text(items[0].bundle.destination)}`"
    if pod is None:
        remedy = f"{ask} shows what takes it out {label}: a route or a rule (`ip rule show`); remove that"
    else:
        hop = pod.node_address or "ADDRESS"
        if network is not None and len(network[1]) == 1:
            hop += f" dev {devices}"
        lacking = f"if it has no route for the pod, add `{_route_command(pod)} {hop}`"
        told = "" if ways.case.knowledge.routes else " (`--routes` tells it here)"
        remedy = f"{ask}{told}; {lacking}, or use a tunnel, for which the router has to know "
        remedy += "the nodes only"
    return _Astray(
        items,
        f"{verdict} and {_fails(ways, items)}",
        remedy,
        "warning",  # no route proves it
        f"{pod.node or 'its node'} is reached by {label} too, and the pod does not answer"
        if pod is not None
        else f"it is reached by {label} too, and does not answer",
    )


def _away_from_its_kind(ways: Ways, items: list[Judged], label: str, pod: _Pod | None) -> _Astray | None:
    """Nothing tells where it is, but nothing like it ever came in by that interface, and did by others."""
    destination = items[0].bundle.destination
    if any(item.route.ingress is None or item.route.ingress.wear != PLAIN for item in items):
        return None  # a node that is down is no wrong way
    block = _block(destination)
    if block is not None and not (pod is not None or any(_block(item.bundle.source) == block for item in items)):
        block = None
    kinds = [kind for kind in (_PODS if pod is not None else None, block) if kind is not None]
    came = {each for kind in kinds for each in ways.kin.get(kind, ())}
    if not came or None in came or label in came | ways.kin.get(_NODES, set()):
        return None
    if not _may_lead_on(ways, label, ipv6=len(destination) == 16):
        return None
    what = "no pod's traffic ever comes" if pod is not None else f"nothing from {block} ever comes"
    others = _listed(came)
    text = address_text(destination)
    place, lacking = "", f"a route for the range of {text} by way of its node"
    if pod is not None and pod.node is not None:
        place = f", on {_where(pod)},"
        lacking = f"`{_route_command(pod)} {pod.node_address or f'ADDRESS` with the address of {pod.node}'}"
        lacking += "`" if pod.node_address is not None else ""
    told = "" if ways.case.knowledge.routes else " (`--routes` tells it here)"
    return _Astray(
        items,
        f"what goes to {_end(ways, destination)}{place} leaves by {label} and {_fails(ways, items)}, and {what} in "
        f"by {label}, only by {others}",
        f"ask the router where it sends it: `ip route get {text}`{told}; if only its default "
        f"route takes it there, add {lacking}, or use a tunnel",
        "warning" if ways.connect(items) else "info",
        f"{text} is behind {label} and does not answer",
        True,
    )


def _fails(ways: Ways, items: list[Judged]) -> str:
    """What shows that it does not arrive."""
    return "is never answered" if ways.asked(items, 1) else "never completes a handshake"


def _may_lead_on(ways: Ways, label: str, *, ipv6: bool) -> bool:
    """Whether more than one pod can be behind an interface: the devices of pods on their node carry no address of
    the node's, as `ip -j addr` shows."""
    numbered = {
        name
        for name, link in ways.links.items()
        if not link.loopback
        and any((":" in each) == ipv6 and not each.startswith("fe80:") for each in link.addresses)
    }
    return not numbered or label not in ways.links or bool({label, ways.links[label].master} & numbered)


def _block(address: bytes) -> str | None:
    """The block of private addresses that it is of."""
    start = int.from_bytes(address[:2])
    blocks = _BLOCKS.get(len(address), {})
    return next((block for block, (mask, value) in blocks.items() if start & mask == value), None)


def _arrivals_of(ways: Ways, address: str) -> set[str | None]:
    """By which interfaces an address sends."""
    from ipaddress import ip_address  # here, because most captures raise no such question

    return set(map(ways.label, ways.case.judge.arrivals.get(ip_address(address).packed, ())))


def _where(pod: _Pod) -> str:
    """`k8s-w0 (192.168.20.100)`, as far as it is known."""
    where = pod.node or "an unknown node"
    if pod.node_address is not None:
        where += f" ({pod.node_address})" if pod.node else f" at {pod.node_address}"
    return where


def _listed(names: Iterable[str | None], word: str = "and") -> str:
    return f" {word} ".join(sorted(name for name in names if name is not None))


def _neighbours(ways: Ways, destination: bytes) -> Sequence[bytes]:
    """Other addresses that are on the same node, by the ranges of pod addresses that the nodes have."""
    share = ways.case.knowledge.cluster.pod_cidr(address_text(destination) or "")
    return [address for address in ways.senders.get(share, ()) if address != destination] if share else []


# Not answered.


def find_no_answer(ways: Ways) -> Iterator[Finding]:
    case, unanswered = ways.case, ways.unanswered
    if not unanswered.datagrams:
        return
    # Those that were dropped here are told of as such.
    items = [item for item in case.judged if not _is_apart(item)]
    proofs = ways.asked(items)
    connections, echoes, datagrams = unanswered[1:]
    if ways.asked([item for item in case.judged if _is_apart(item)], 1):
        # Of these flows only what went on its way was owed an answer, and one of it is no repetition.
        left_of: Counter[FlowKey] = Counter()
        for share in case.judge.bundles.shares(Wanted([item.number for item in items], flows=unanswered.flows)):
            left_of[share.flow] += share.datagrams
        flows = {flow: count for flow, count in left_of.items() if count > 1}
        connections = sum(flow.protocol == TCP for flow in flows)
        echoes, datagrams = len(flows) - connections, sum(flows.values())
        proofs = [proof for proof in proofs if proof.flow in flows]
    if not proofs:
        return
    what = []
    if connections:
        what.append(number(connections, "TCP connection"))
    if echoes:
        what.append(number(echoes, "ping"))
    asking = {proof.bundle for proof in proofs}
    gone = sorted({case.label(item, "egress") for item in items if item.number in asking and item.route.egress})
    by = f"; they left by {' and '.join(gone)}" if gone else ""
    errors = _errors_back(case, {case.judged[proof.bundle].bundle.source for proof in proofs})
    came = f"nothing but ICMP errors ({', '.join(errors)})" if errors else "nothing"
    first = case.judged[proofs[0].bundle]
    routes = case.knowledge.sure_ways(first.bundle.destination)
    if len(gone) == 1 and routes and gone[0] in routes[0].devices:
        by += f" ({routes[0]})"
    yield {
        "id": "forwarding.no-answer",
        "severity": "warning" if connections else "info",
        "title": f"{' and '.join(what)} never answered: {came} came back for {number(datagrams, 'datagram')}{by}",
        "count": datagrams,
        "evidence": [
            case.evidence(proof.sample, f"{case.flow(proof)}: {_fate(case, case.judged[proof.bundle])}")
            for proof in proofs[:MOST_EVIDENCE]
        ],
        "remedy": "".join(f"see first who sent the errors, of which {name} tells; " for name in
                          dict.fromkeys(errors.values())) + _follow(ways, first, proofs[0]),
        "unknown": "what became of them behind this machine"
        + ("; whether the ICMP errors are of these datagrams: what they quote is not read" if errors else "")
        + ("; pings go on even where their answers take another way, past this machine" if echoes else ""),
    }


def _errors_back(case: Case, askers: AbstractSet[bytes]) -> dict[str, str]:
    """What ICMP errors to these (outermost) addresses say, and the finding that tells of each, as far as their
    records were kept."""
    findings: dict[Sample, tuple[str, str]] = {}
    for error, samples in case.tables.icmp_errors.items():
        if (name := unreachable_name(error)) is not None:
            findings |= dict.fromkeys(samples, (said(name), "forwarding.unreachable"))
        elif is_ttl_expired(error):
            findings |= dict.fromkeys(samples, ("time to live exceeded", "forwarding.ttl-expired"))
    if not findings:
        return {}
    items = [item.number for item in case.judged if item.bundle.icmp and item.bundle.destination in askers]
    proofs = case.judge.bundles.earliest(Wanted(items), _MOST_ERRORS)
    return dict(findings[proof.sample] for proof in proofs if proof.sample in findings)


def _is_apart(item: Judged) -> bool:
    """Told of elsewhere, not this machine's to pass on, or too late to be."""
    return item.outcome == "dropped" or item.reason in (NOT_ADDRESSED, CAPTURE_ENDED)


def _fate(case: Case, item: Judged) -> str:
    ingress = f"in {case.label(item, 'ingress')}" if item.route.ingress else ""
    egress = f"out {case.label(item, 'egress')}" if item.route.egress else ""
    told = ", ".join(part for part in (ingress, egress) if part) or "seen without a direction"
    if item.outcome == "delivered":
        told += ", for this machine itself"
    return f"{told}, no answer"


def _follow(ways: Ways, item: Judged, proof: Proof) -> str:
    """Where to look next: behind the egress, and whether an answer would find its way back from here."""
    case = ways.case
    destination = address_text(proof.flow.destination) or "DESTINATION"
    if item.outcome == "delivered":
        return (
            "see whether something listens there (`ss -lntu`), and which rule drops it (`nft list ruleset`), on "
            f"this machine, which has {destination} itself"
        )
    node = case.knowledge.node(proof.outer_destination)
    place = f"on {node or address_text(proof.outer_destination)}" if proof.outer_destination else "there"
    told = [row for row in ways.astray.found if any(other.number == item.number for other in row.items)]
    if told and not told[0].is_guess:
        return (
            "put right first what forwarding.misrouted tells of; if there is no answer then either, see on the "
            f"node whether it arrives: `tcpdump -ni any host {destination}`"
        )
    text = f"see whether it arrives {place} and is answered: `tcpdump -ni any host {destination}`"
    if told:
        text = f"see first whether the way is right, of which forwarding.misrouted tells; if it is, {text}"
    back = _way_back(ways, item)
    return f"{text}; {back}" if back else text


def _way_back(ways: Ways, item: Judged) -> str | None:
    """What an answer would do here, by the routes; else by where the asker's traffic came in."""
    case = ways.case
    source = address_text(item.bundle.source)
    routes = case.knowledge.sure_ways(item.bundle.source)
    came = case.label(item, "ingress") if item.route.ingress else None
    devices = sorted({device for route in routes for device in route.devices})
    if source is None or source in ("0.0.0.0", "::"):
        return None
    if routes and routes[0].refuses:
        return f"an answer to {source} would be refused here by the route `{routes[0]}`"
    named = case.knowledge.links.by_name.keys() >= {came, *devices}
    if devices and named and came not in devices:
        return (
            f"an answer to {source} would leave here by {' or '.join(devices)} ({routes[0]}), "
            f"and not by {came}, by which it asked"
        )
    if devices:
        return f"an answer to {source} would leave here by {' or '.join(devices)}"
    if came is not None and item.route.egress is not None:
        return f"an answer that comes this way would leave by {came}"
    return None


# Both.


def _any_ways(ways: Ways, address: str | None) -> Sequence[Route]:
    """All routes that what goes there may take; none where a file may lack some."""
    routes = ways.case.knowledge.routes
    return routes.find_any(address) or () if address is not None and routes else ()


def _end(ways: Ways, address: bytes) -> str:
    text = address_text(address) or "?"
    name = ways.case.knowledge.endpoint_name(address)
    return f"{name} {text}" if name else text
