"""Findings on ways: datagrams that left by another interface than they should have, and those that nobody answered.

What a datagram should have left by is told by the router's routes, where they are given and no other can apply to
it; else only by where the destination's own traffic comes in. Ways there and back may differ, and often do: without
a sign that nothing came back, that is no finding.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from collections.abc import Set as AbstractSet
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from vxtool.analysis.findings.evidence import MOST_EVIDENCE, Case, number
from vxtool.analysis.knowledge import address_text
from vxtool.analysis.outcomes import NOT_ADDRESSED, Judged
from vxtool.engine.answers import Wanted
from vxtool.engine.tables import LOOPED, OUT, PLAIN, TCP, TRANSLATED, InterfaceKey

if TYPE_CHECKING:
    from vxtool.analysis.model import Finding, Severity
    from vxtool.cluster.routes import Route
    from vxtool.engine.answers import Proof, Unanswered

# How long an answer may take: a sender repeats a SYN after that time at first (RFC 6298, section 2).
PATIENCE = 1_000_000_000  # ns

_ACK = 0x10
_MOST_ASKED = 500  # cells of unanswered flows that are looked at one by one
_MOST_NAMED = 3
_TOP_FLOWS = 20

# eBPF programs choose the way by these devices, past the routes: Cilium's own, and its pods'.
_BY_PROGRAM = ("cilium_", "lxc", "gke")
_TUNNEL_KINDS = frozenset({"vxlan", "geneve", "wireguard", "ipip", "gre", "sit", "ip6tnl"})


class Ways:
    """What the findings here have in common."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self._judge = case.judge

    @cached_property
    def unanswered(self) -> Unanswered:
        return self.case.tables.queries.unanswered(PATIENCE, self.case.tables.last_time or 0)

    @cached_property
    def astray(self) -> list[_Astray]:
        """What took a wrong way."""
        return list(_all_astray(self))

    def asked(self, items: Collection[Judged], most: int = _MOST_ASKED) -> list[Proof]:
        """The first records of unanswered flows among these journeys."""
        if not self.unanswered.datagrams:
            return []
        wanted = Wanted([item.number for item in items], flows=self.unanswered.flows)
        return self._judge.bundles.starts(wanted, most)

    def is_answered(self, item: Judged) -> bool:
        """Whether something shows that these datagrams reach their destination: an answer, or a connection that got
        beyond its beginning, its answers taking another way."""
        top, _ = self._judge.bundles.top([item.number], _TOP_FLOWS)
        return any(
            row.reverse_vni is not None
            or (row.flow.protocol == TCP and row.row is not None and row.row.tcp_flags & _ACK)
            for row in top
        )

    def name(self, key: InterfaceKey) -> str | None:
        return self.case.knowledge.interface(key, self.case.tables).name

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


# Misrouted.


class _Astray(NamedTuple):
    """Datagrams that took a wrong way, and what is to be said of them."""

    item: Judged
    verdict: str
    remedy: str
    severity: Severity


def find_misrouted(ways: Ways) -> Iterator[Finding]:
    case, astray = ways.case, ways.astray
    if not astray:
        return
    severity: Severity = min((row.severity for row in astray), key=("error", "warning", "info").index)
    datagrams: dict[str, int] = {}
    remedies: dict[str, int] = {}
    for row in astray:
        datagrams[row.verdict] = datagrams.get(row.verdict, 0) + row.item.bundle.datagrams
        remedies[row.remedy] = remedies.get(row.remedy, 0) + row.item.bundle.datagrams
    verdicts = sorted(datagrams, key=lambda verdict: (-datagrams[verdict], verdict))
    count = sum(datagrams.values())
    more = f", and {number(len(verdicts) - 1, 'other way', 'other ways')}" if len(verdicts) > 1 else ""
    shown = sorted(remedies, key=lambda remedy: (-remedies[remedy], remedy))[:_MOST_NAMED]
    yield {
        "id": "forwarding.misrouted",
        "severity": severity,
        "title": f"{verdicts[0]} ({number(count, 'datagram')}{more})",
        "count": count,
        "evidence": case.samples([row.item for row in astray], "{flow}: in {ingress}, out {egress}"),
        "remedy": "; ".join(shown),
        "unknown": "whether the routes were those when the capture was taken, and whether a rule (`ip rule show`) "
        "or a program on the interface chose the way"
        if case.knowledge.routes
        else "the routes: give `--routes` with the router's `ip -j route show table all`",
    }


def _all_astray(ways: Ways) -> Iterator[_Astray]:
    items = ways.passed_on()
    found: set[int] = set()
    if ways.case.knowledge.routes:
        for item in items:
            astray = _past_its_route(ways, item) or _by_default_only(ways, item)
            if astray is not None:
                found.add(item.number)
                yield astray
    asked: dict[int, Judged] = {}
    for proof in ways.asked([item for item in items if item.number not in found]):
        asked.setdefault(proof.bundle, ways.case.judged[proof.bundle])
    for item in asked.values():
        astray = _away_from_where_it_sends(ways, item)
        if astray is not None:
            yield astray


def _past_its_route(ways: Ways, item: Judged) -> _Astray | None:
    """The egress is none that the route has."""
    knowledge = ways.case.knowledge
    routes = knowledge.sure_ways(item.bundle.destination)
    wanted = {device for route in routes for device in route.devices}
    assert item.route.egress is not None
    egress = ways.name(item.route.egress.interface)
    if not wanted or egress is None or not wanted <= _named(ways):
        return None
    left = {ways.name(stage.interface) for stage in item.route.stages if stage.direction == OUT}
    links = knowledge.links.by_name
    carriers = {links[name].master for name in left if name is not None and name in links}
    if wanted & (left | carriers) or egress.startswith(_BY_PROGRAM):
        return None
    if any(name.startswith(_BY_PROGRAM) for name in wanted):
        return None
    if any(links[name].kind in _TUNNEL_KINDS for name in wanted & links.keys()):
        return None
    severity: Severity = "info" if ways.is_answered(item) else "error" if ways.asked([item], 1) else "warning"
    end = _end(ways, item.bundle.destination)
    destination = address_text(item.bundle.destination)
    return _Astray(
        item,
        f"datagrams to {end} left by {egress}, and not by {' or '.join(sorted(wanted))} as their route says "
        f"({routes[0]})",
        f"ask the router: `ip route get {destination} from {address_text(item.bundle.source)} iif "
        f"{ways.case.label(item, 'ingress')}`, then `ip rule show`",
        severity,
    )


def _named(ways: Ways) -> AbstractSet[str | None]:
    """The interfaces that were captured, by name."""
    return {ways.name(key) for key in ways.case.tables.interfaces} | (
        # A capture of all interfaces has those as well on which nothing was seen.
        ways.case.knowledge.links.by_name.keys()
        if any(key.number >= 0 for key in ways.case.tables.interfaces)
        else set()
    )


def _by_default_only(ways: Ways, item: Judged) -> _Astray | None:
    """No route but the default one is for an address that is a pod's."""
    assert item.route.ingress is not None
    assert item.route.egress is not None
    if item.route.ingress.wear != PLAIN:
        return None
    knowledge = ways.case.knowledge
    routes = knowledge.sure_ways(item.bundle.destination)
    if not routes or not all(route.is_default and route.devices for route in routes):
        return None
    egress = ways.name(item.route.egress.interface)
    if egress is not None and not any(egress in route.devices for route in routes):
        return None
    pod = _pod(ways, item.bundle.destination)
    if pod is None or ways.is_answered(item):
        return None
    onward = _sure_ways(ways, pod.node_address)
    same = {(hop.device, hop.via) for route in routes for hop in route.hops}
    if any((hop.device, hop.via) in same for route in onward for hop in route.hops) or any(
        via == pod.node_address for _, via in same
    ):
        return None  # the default route leads to the pod's node
    if ways.asked([item], 1):
        severity: Severity = "error"
    elif onward:
        severity = "warning"
    else:
        return None
    where = pod.node or "an unknown node"
    if pod.node_address is not None:
        where += f" ({pod.node_address})" if pod.node else f" at {pod.node_address}"
    hop = next(hop for route in routes for hop in route.hops if not hop.dead)
    via = f" via {hop.via}" if hop.via else ""
    return _Astray(
        item,
        f"pod {pod.address} is on {where}, the router has no route for it, so default{via} takes it out "
        f"{hop.device}",
        _add_route(pod, onward) + _route_back(ways, item),
        severity,
    )


class _Pod(NamedTuple):
    address: str
    node: str | None
    node_address: str | None  # of the pod's family
    prefix: str | None  # of the node's pods


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
    return _Pod(text, node, underlay, share.prefix if share is not None and share.node == node else None)


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
    routes = ways.case.knowledge.sure_ways(item.bundle.source)
    if pod is None or pod.node_address is None or not routes or not all(route.is_default for route in routes):
        return ""
    return f"; the answers need `{_route_command(pod, _sure_ways(ways, pod.node_address))}` as well"


def _away_from_where_it_sends(ways: Ways, item: Judged) -> _Astray | None:
    """It was never answered, and the destination, or the others on its node, send by another interface only."""
    assert item.route.egress is not None
    egress = item.route.egress.interface
    destination = item.bundle.destination
    arrivals = ways.case.judge.arrivals
    whose, seen = "its own traffic comes", set(arrivals.get(destination, ()))
    if not seen:
        others = _neighbours(ways, destination)
        whose, seen = "that of others there comes", {key for address in others for key in arrivals[address]}
    label = ways.case.knowledge.interface(egress, ways.case.tables).label
    if not seen or egress in seen or label is None or ways.is_answered(item):
        return None
    named = {ways.case.knowledge.interface(key, ways.case.tables).label for key in seen}
    if None in named or label in named:
        return None
    where = " and ".join(sorted(name for name in named if name is not None))
    return _Astray(
        item,
        f"what goes to {_end(ways, destination)} leaves by {label} and is never answered, while {whose} in by "
        f"{where}",
        f"ask the router where it sends it: `ip route get {address_text(destination)}`; if not by {where}, correct "
        "that route",
        "warning",
    )


def _neighbours(ways: Ways, destination: bytes) -> list[bytes]:
    """Other addresses that are on the same node, by the ranges of pod addresses that the nodes have."""
    cluster = ways.case.knowledge.cluster
    share = cluster.pod_cidr(address_text(destination) or "")
    if share is None:
        return []
    return [
        address
        for address in ways.case.judge.arrivals
        if address != destination and cluster.pod_cidr(address_text(address) or "") == share
    ]


# Not answered.


def find_no_answer(ways: Ways) -> Iterator[Finding]:
    case, unanswered = ways.case, ways.unanswered
    if not unanswered.datagrams:
        return
    # Those that were dropped here are told of as such.
    items = [item for item in case.judged if not _is_apart(item)]
    proofs = ways.asked(items)
    if not proofs:
        return
    connections, echoes, datagrams = unanswered[1:]
    if ways.asked([item for item in case.judged if _is_apart(item)], 1):
        shares = case.judge.bundles.shares(Wanted([item.number for item in items], flows=unanswered.flows))
        flows = {share.flow for share in shares}
        connections = sum(flow.protocol == TCP for flow in flows)
        echoes, datagrams = len(flows) - connections, sum(share.datagrams for share in shares)
    what = []
    if connections:
        what.append(number(connections, "TCP connection"))
    if echoes:
        what.append(number(echoes, "ping"))
    asking = {proof.bundle for proof in proofs}
    gone = sorted({case.label(item, "egress") for item in items if item.number in asking and item.route.egress})
    left = f"; they left by {' and '.join(gone)}" if gone else ""
    first = case.judged[proofs[0].bundle]
    routes = case.knowledge.sure_ways(first.bundle.destination)
    if len(gone) == 1 and routes and gone[0] in routes[0].devices:
        left += f" ({routes[0]})"
    yield {
        "id": "forwarding.no-answer",
        "severity": "warning" if connections else "info",
        "title": f"{' and '.join(what)} never answered: nothing came back for "
        f"{number(datagrams, 'datagram')}{left}",
        "count": datagrams,
        "evidence": [
            case.evidence(proof.sample, f"{case.flow(proof)}: {_fate(case, case.judged[proof.bundle])}")
            for proof in proofs[:MOST_EVIDENCE]
        ],
        "remedy": _follow(ways, first, proofs[0]),
        "unknown": "what became of them behind this machine"
        + ("; pings go on even where their answers take another way, past this machine" if echoes else ""),
    }


def _is_apart(item: Judged) -> bool:
    """Told of elsewhere, or not this machine's to pass on."""
    return item.outcome == "dropped" or item.reason == NOT_ADDRESSED


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
    if any(row.item.number == item.number for row in ways.astray):
        return (
            "put right first what forwarding.misrouted tells of; if there is no answer then either, see on the "
            f"node whether it arrives: `tcpdump -ni any host {destination}`"
        )
    text = f"see whether it arrives {place} and is answered: `tcpdump -ni any host {destination}`"
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


def _sure_ways(ways: Ways, address: str | None) -> Sequence[Route]:
    routes = ways.case.knowledge.routes
    return routes.find(address) if address is not None and routes and routes.is_sure(address) else ()


def _end(ways: Ways, address: bytes) -> str:
    text = address_text(address) or "?"
    name = ways.case.knowledge.endpoint_name(address)
    return f"{name} {text}" if name else text
