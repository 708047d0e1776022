"""Findings on what the router did with datagrams."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from vxtool.analysis.findings.evidence import MOST_EVIDENCE, Case, number
from vxtool.analysis.findings.explanation import Explanation
from vxtool.analysis.findings.icmp import Error, is_ttl_expired, said, unreachable_name
from vxtool.analysis.findings.ways import Ways, find_misrouted, find_no_answer
from vxtool.analysis.knowledge import address_text
from vxtool.analysis.outcomes import DELIVERED_UNSEEN, Group, Judged
from vxtool.engine.answers import Wanted
from vxtool.engine.tables import LOOPED, PARTIAL, InterfaceKey
from vxtool.shares import percent

if TYPE_CHECKING:
    from vxtool.analysis.model import Evidence, Finding

_LARGE = 1000  # bytes: what a limit on packet sizes would let pass is no shorter

# What each means on the machine that sent it, and how to see why.
_NO_ROUTE = "it has no route there: `ip route get DESTINATION` on it"
_NO_NEIGHBOUR = (
    "nobody answered for the address on the last link (`ip neigh show DESTINATION` on it), or an `unreachable` "
    "route refuses (`ip route get DESTINATION`)"
)
_RULE = (
    "a rule on it rejects (`nft list ruleset`, or the network policies where it is a node), or a `prohibit` route "
    "does (`ip route get DESTINATION`)"
)
_CLOSED = "nothing listens there: see the service and the port on it with `ss -lntu`"
_MEANINGS = {
    "network": _NO_ROUTE,
    "no route": _NO_ROUTE,
    "rejected": _NO_ROUTE,
    "host": _NO_NEIGHBOUR,
    "address": _NO_NEIGHBOUR,
    "prohibited": _RULE,
    "port": _CLOSED,
    "protocol": _CLOSED,
}
_HARMLESS = frozenset({"port", "protocol"})  # an endpoint's word, not one of the way there
_MOST_ERRORS = 1000  # records of ICMP that are looked through for those that are shown

EXPLANATIONS: dict[str, Explanation] = {
    "forwarding.dropped": Explanation(
        summary="datagrams came in, were owed an egress that was captured, and never went out",
        cause="A queue that is full (`tc`, the driver), a rule that drops (`nft`, a network policy), a route that "
        "refuses or is missing, a packet larger than the next link with DF set, or the reverse-path filter.",
        proof="Each datagram is followed from its ingress to its egress, its fragments and the segments of a "
        "super-frame together. It counts where the capture was of `any`, or of the interface by which others for "
        "that destination leave or its route does. What ends in this machine, what came in so near the end of the "
        "capture that it may have left afterwards, and what was rewritten on the way does not.",
        remedy="The finding names the queue, route or rule to look at: `tc -s qdisc show dev EGRESS`, `ip route "
        "get DESTINATION`, `nft list ruleset`, and the MTU of the egress where only large ones are missing.",
        unknown="What dropped them: the capture shows that they did not leave, not what stopped them. The tap of "
        "the egress stands before the driver, so what a network card loses looks forwarded. Where the capture "
        "itself lost packets, some of these may have left unseen.",
    ),
    "forwarding.misrouted": Explanation(
        summary="datagrams left by another interface than their destination is behind",
        cause="The router has no route for the pods' addresses (native routing needs one for the range of each "
        "node), so that the default route takes them; or a wrong route, or a rule that overrides it.",
        proof="With `--routes`: the longest matching prefix leads to another interface than the one that they left "
        "by; or only default routes, in whatever table, match an address that `--cluster` knows as a pod's, while "
        "the pod's node is reached by another route, or nothing answers. Without, or where the routes leave it "
        "open because a rule may prefer those of another table, and then never as an error: requests to an "
        "address are not answered, or its connections never complete their handshake, and it is behind another "
        "interface, by the first of these that tells "
        "it: what it, or others on its node, send comes in there; the address, or the pod's node "
        "(`--cluster`), is on a link of this machine (`--links` with `ip -j addr`); what that node sends "
        "comes in there; or, of plain packets, nothing of its kind (the cluster's pods, or its block of "
        "private addresses, if the asker is of it too) nor of the overlay ever comes in by the interface that "
        "they leave by, and does by others. The last is a guess, and with pings alone no more than "
        "information. That ways there and back differ is legal and no finding; nor is a default route that "
        "leads to the pod's node, nor an interface by which the address, or others on its node, are reached. Of "
        "more than 200 addresses those with unanswered "
        "requests are looked at first, and the finding counts the others.",
        remedy="Give the router the route: `ip route add POD-CIDR via NODE dev INTERFACE` for each node, a routing "
        "protocol (Cilium's BGP control plane) that does it, or a tunnel, for which it has to know the nodes only.",
        unknown="Whether the routes were those when the capture was taken; rules (`ip rule`), VRFs and eBPF "
        "programs, which choose past the main table. Without routes also whether the interface leads there too, "
        "and the destination is down.",
    ),
    "forwarding.no-answer": Explanation(
        summary="SYNs or echo requests were repeated, and nothing came back by this machine",
        cause="They are lost behind this machine, the destination does not answer or drops them by a rule or "
        "policy, or the answers are lost on their way back.",
        proof="A flow that sent nothing but SYNs, two at least, or nothing but echo requests, three at least, of "
        "which the other direction was never seen, and which had a second or more to be answered. One SYN at the "
        "end of a capture is none. ICMP errors are no answer; the finding says so where some came back to who "
        "asked. Pings alone are told as information: nobody repeats them for want of an answer, so that their "
        "answers may have taken another way.",
        remedy="Follow them: capture at the destination, with the interface that the finding names; then see which "
        "way an answer would take back from there, and through this machine.",
        unknown="What became of them behind this machine.",
    ),
    "forwarding.hairpin": Explanation(
        summary="datagrams went out by the interface that they came in by",
        cause="Both ends are on one link and send by way of their gateway; or a route leads back to where they "
        "came from.",
        proof="The first ingress and the last egress are one interface. Where a tunnel is entered or left on the "
        "way it is none, nor where the capture tells no interfaces (SLL version 1).",
        remedy="None where two nodes share the link. To spare the detour give each a direct route to the other "
        "(Cilium with native routing: `autoDirectNodeRoutes: true`). The router tells senders of a shorter way by "
        "ICMP redirects, unless `send_redirects` is 0; it passes them on only with `ip_forward` at 1.",
        unknown="Whether both ends could reach each other without this machine.",
    ),
    "forwarding.loop": Explanation(
        summary="datagrams passed the same place again with a lower TTL",
        cause="Two routers send them to each other: one by a route for the range, the other by its default route, "
        "since it has none that is longer.",
        proof="The same datagram was seen at one interface in one direction twice, the second time with a lower "
        "TTL or hop limit. It is an error where the capture also holds ICMP errors of a TTL that ran out.",
        remedy="Compare `ip route get DESTINATION` on both. Give the one that returns them the route that it "
        "lacks, and ranges with unused addresses a `blackhole` route.",
        unknown="How often each came round and where it ended. A device that sends datagrams through the same "
        "interface twice on purpose looks the same.",
    ),
    "forwarding.ttl-expired": Explanation(
        summary="ICMP says that datagrams ran out of hops",
        cause="A traceroute, which asks for these errors; a routing loop; or a sender with a very low TTL.",
        proof="ICMP time exceeded in transit (IPv4 type 11 code 0, IPv6 type 3 code 0), sent by this machine or "
        "passing through. It is a warning where the capture shows datagrams in a loop as well. Time exceeded in "
        "reassembly (code 1) is another matter.",
        remedy="Where nobody traced a route, look for a loop at the machine that sent the errors.",
        unknown="To where the datagrams were sent. A filter such as `udp port 8472` hides these errors.",
    ),
    "forwarding.unreachable": Explanation(
        summary="ICMP says that destinations are unreachable",
        cause="By code. Network, no route: the machine that sent them has none. Host, address: nobody answered for "
        "the address on the last link (ARP, neighbour discovery), as when a node is down; Linux says the same of a "
        "route of type `unreachable`. Prohibited: a rule rejects, or a route of type `prohibit`. Port, protocol: "
        "the host is there, and nothing listens.",
        proof="ICMP destination unreachable (IPv4 type 3 but for code 4, IPv6 type 1), sent by this machine or "
        "passing through. Where ports and protocols alone are unreachable it is told as information.",
        remedy="Ask the machine that sent them: `ip route get`, `ip neigh show` and `nft list ruleset` there.",
        unknown="To where the datagrams were sent. A filter such as `udp port 8472` hides these errors.",
    ),
}


def find(case: Case) -> Iterator[Finding]:
    ways = Ways(case)
    yield from _dropped(case)
    yield from find_misrouted(ways)
    yield from find_no_answer(ways)
    yield from _loop(case)
    yield from _hairpin(case)
    yield from _ttl_expired(case)
    yield from _unreachable(case)


def _dropped(case: Case) -> Iterator[Finding]:
    dropped = [item for group in case.groups if group.outcome == "dropped" for item in group.items]
    count = sum(item.bundle.datagrams for item in dropped)
    if not count:
        return
    total = case.counts["datagrams"]
    if any(item.route.tunnelled != (case.scope == "tunnel") for item in dropped):
        total = sum(item.bundle.datagrams for item in case.judged)
    whole = [item for item in dropped if not item.route.flags & PARTIAL]
    partly = [item for item in dropped if item.route.flags & PARTIAL]
    partial = sum(item.bundle.datagrams for item in partly)
    evidence = [
        *case.samples(whole, "{flow}, {size} bytes: in {ingress}, never out"),
        *case.samples(partly, "{flow}, {size} bytes: in {ingress}, only in part out {egress}"),
    ]
    unknown = (
        "what dropped them: a capture shows that they did not leave, not whether a queue, a filter or a missing "
        "route stopped them"
    )
    remedy, by_routes = _where_to_look(case, dropped)
    if by_routes:
        unknown = "what dropped them, and whether the routes were those when the capture was taken"
    losses = []
    if case.lost_records:
        losses.append(f"lost {number(case.lost_records, 'packet')}, as its statistics tell")
    if case.counts["missed"]:
        losses.append(f"missed {number(case.counts['missed'], 'ingress', 'ingresses')}")
    if unseen := case.counts["unresolved_because"].get(DELIVERED_UNSEEN):
        losses.append(f"missed {number(unseen, 'egress', 'egresses')}, as later acknowledgements tell")
    if losses:
        unknown += f"; and the capture itself {' and '.join(losses)}, so it may have missed some egresses too"
    if unweighed := case.tables.counters.unweighed_journeys:
        unknown += f"; {number(unweighed, 'segment')} too many were not compared with later acknowledgements"
    title = f"{number(count, 'datagram')} ({percent(100 * count / total)}) came in{_by(case, dropped)}"
    if losses:
        title = f"up to {title}"
    if partial == count:
        title += " and left in part only"
    else:
        title += " and never went out"
        title += f", {partial:,} of them in part" if partial else ""
    yield {
        "id": "forwarding.dropped",
        "severity": "error",
        "title": title,
        "count": count,
        "evidence": sorted(evidence, key=lambda entry: entry["time"] or "")[:MOST_EVIDENCE],
        "remedy": remedy,
        "unknown": unknown,
    }


def _loop(case: Case) -> Iterator[Finding]:
    items = _items(case, lambda each: bool(each.route.flags & LOOPED))
    count = sum(item.bundle.datagrams for item in items)
    if not count:
        return
    expired = sum(count for key, count in case.tables.icmp_error_counts.items() if is_ttl_expired(key))
    largest = max(items, key=lambda item: (item.bundle.datagrams, -item.number))
    destination = address_text(largest.bundle.destination) or "DESTINATION"
    labels = {case.knowledge.interface(stage.interface, case.tables).label for stage in largest.route.stages}
    where = " and ".join(sorted(label for label in labels if label is not None))
    remedy = f"compare `ip route get {destination}` here and on the next router"
    hops = [hop for route in case.knowledge.sure_ways(largest.bundle.destination) for hop in route.hops]
    if hops and hops[0].via is not None:
        remedy += f" ({hops[0].via}, by the route `{case.knowledge.sure_ways(largest.bundle.destination)[0]}`)"
    yield {
        "id": "forwarding.loop",
        "severity": "error" if expired else "warning",
        "title": f"{number(count, 'datagram')} came round again with a lower TTL"
        + (f" at {where}" if where else "")
        + ": routers send them to each other",
        "count": count,
        "evidence": case.samples(items, "{flow}: seen here again with a lower TTL"),
        "remedy": f"{remedy}: one of them lacks the way to it and returns it by a default route; give it that "
        "route, or a `blackhole` route for the range where nothing has the address",
        "unknown": "how often each came round, and where it ended: it is not followed further",
    }


def _hairpin(case: Case) -> Iterator[Finding]:
    items = _items(case, _is_hairpin)
    count = sum(item.bundle.datagrams for item in items)
    if not count:
        return
    labels = sorted({case.label(item, "egress") for item in items})
    where = " or ".join(labels)
    device = labels[0] if labels[0] in case.knowledge.links.by_name else "INTERFACE"
    redirects = sum(
        each
        for (_, version, kind, _, _), each in case.tables.icmp_error_counts.items()
        if (version, kind) == (4, 5)
    )
    told = f"; the capture holds {number(redirects, 'ICMP redirect')}" if redirects else ""
    remedy = (
        f"nothing is wrong where both ends are on the link of {where} and have this machine as their gateway; a "
        "route from one to the other spares the detour (Cilium with native routing: `autoDirectNodeRoutes: true`)"
    )
    if any(len(item.bundle.destination) == 4 for item in items):
        remedy += (
            f"; `sysctl net.ipv4.conf.{device}.send_redirects net.ipv4.ip_forward` shows whether the router tells "
            "them of it, and whether it passes anything on"
        )
    yield {
        "id": "forwarding.hairpin",
        "severity": "info",
        "title": f"{number(count, 'datagram')} went out by the interface that "
        f"{'it' if count == 1 else 'they'} came in by, {where}{told}",
        "count": count,
        "evidence": case.samples(items, "{flow}: in {ingress}, out {egress}"),
        "remedy": remedy,
        "unknown": "whether both ends could reach each other without this machine",
    }


def _is_hairpin(each: Group) -> bool:
    ingress, egress = each.route.ingress, each.route.egress
    return (
        each.outcome == "forwarded"
        and ingress is not None
        and egress is not None
        and ingress.interface == egress.interface
        # SLL version 1 has no interfaces: they are all one there.
        and (ingress.interface.number >= 0 or ingress.interface.interface >= 0)
        and ingress.wear == egress.wear
        and not ingress.loopback
    )


def _ttl_expired(case: Case) -> Iterator[Finding]:
    errors = [error for error in case.tables.icmp_error_counts if is_ttl_expired(error)]
    count = sum(case.tables.icmp_error_counts[error] for error in errors)
    if not count:
        return
    looped = any(each.route.flags & LOOPED for each in case.groups)
    yield {
        "id": "forwarding.ttl-expired",
        "severity": "warning" if looped else "info",
        "title": f"{number(count, 'ICMP error says', 'ICMP errors say')} that a datagram ran out of hops (TTL)",
        "count": count,
        "evidence": _icmp_evidence(case, errors, lambda _: "time to live exceeded"),
        "remedy": "nothing is wrong where someone ran `traceroute` or `mtr`, which live by these; else look for a "
        "routing loop at the machine that sent them: `ip route get DESTINATION` on it and on its next router",
        "unknown": "to where the datagrams were sent: what an ICMP error quotes is not read",
    }


def _unreachable(case: Case) -> Iterator[Finding]:
    names = {error: name for error in case.tables.icmp_error_counts if (name := unreachable_name(error))}
    codes: Counter[str] = Counter()
    for error, name in names.items():
        codes[name] += case.tables.icmp_error_counts[error]
    if not codes:
        return
    serious = [name for name in codes if name not in _HARMLESS]
    listed = ", ".join(f"{name} ({count:,})" for name, count in codes.most_common(4))
    main = max(serious or codes, key=lambda name: (codes[name], name))
    count = codes.total()
    yield {
        "id": "forwarding.unreachable",
        "severity": "warning" if serious else "info",
        "title": f"{number(count, 'ICMP error')} of a destination unreachable: {listed}",
        "count": count,
        "evidence": _icmp_evidence(case, list(names), lambda error: said(names[error])),
        "remedy": f"ask the machine that sent them why; {main}: {_MEANINGS.get(main, 'see RFC 792 and RFC 4443')}",
        "unknown": "to where the datagrams were sent: what an ICMP error quotes is not read",
    }


def _icmp_evidence(case: Case, errors: Sequence[Error], describe: Callable[[Error], str]) -> list[Evidence]:
    """The earliest of these errors, each with who sent it to whom, as far as its record is known."""
    items = [item.number for item in case.judged if item.bundle.icmp]
    proofs = {proof.sample: proof for proof in case.judge.bundles.earliest(Wanted(items), _MOST_ERRORS)}
    samples = sorted((sample, error) for error in errors for sample in case.tables.icmp_errors[error])
    evidence = []
    for sample, error in samples[:MOST_EVIDENCE]:
        text = describe(error)
        if (proof := proofs.get(sample)) is not None:
            item = case.judged[proof.bundle]
            by = {
                "originated": ", sent by this machine",
                "forwarded": f": in {case.label(item, 'ingress')}, out {case.label(item, 'egress')}",
            }.get(item.outcome, "")
            text = f"{case.flow(proof)}: {text}{by}"
        evidence.append(case.evidence(sample, text))
    return evidence


def _items(case: Case, wanted: Callable[[Group], bool]) -> list[Judged]:
    return [item for each in case.groups if wanted(each) for item in each.items]


def _icmp_tells(case: Case, destination: str) -> str | None:
    """What the ICMP errors in the capture say of the reason; the router, or one behind it, sent them."""
    unreachable = expired = 0
    codes: Counter[str] = Counter()
    for error, count in case.tables.icmp_error_counts.items():
        if error[0]:
            continue  # of a pod, inside of a tunnel
        if is_ttl_expired(error):
            expired += count
        elif (name := unreachable_name(error)) is not None:
            unreachable += count
            codes[name] += count
    if unreachable >= expired and unreachable:
        return (
            f"the capture holds {number(unreachable, 'ICMP error')} of destinations unreachable "
            f"({', '.join(name for name, _ in codes.most_common(2))}): look for a rule that rejects in "
            f"`nft list ruleset`, and for route and neighbour with `ip route get {destination}` and `ip neigh`"
        )
    if expired:
        return (
            f"the capture holds {number(expired, 'ICMP error')} of a TTL that ran out: look for a routing loop "
            f"with `ip route get {destination}` here and on the next router, or for a traceroute"
        )
    return None


def _routes_tell(case: Case, dropped: Sequence[Judged]) -> str | None:
    """Why nothing for the destination of most of these left, where the routes tell it or narrow it down."""
    knowledge = case.knowledge
    lost: Counter[bytes] = Counter()
    for item in dropped:
        lost[item.bundle.destination] += item.bundle.datagrams
    destination = max(lost, key=lambda address: (lost[address], address))
    dropped = [item for item in dropped if item.bundle.destination == destination]
    text = address_text(destination)
    if text is None or not knowledge.routes or not knowledge.routes.is_sure(text):
        return None
    ways = knowledge.sure_ways(destination)
    if not ways:
        return (
            f"the router has no route for {text}, so it drops what is sent there: add one, by way of the node or "
            f"router behind which {text} is (`ip route add {text} via ADDRESS`)"
        )
    if ways[0].refuses:
        return (
            f"the route `{ways[0]}` drops them, such as those for {text}: remove it (`ip route del {ways[0]}`), or "
            "give the router a route with a longer prefix for what should pass"
        )
    devices = sorted({device for way in ways for device in way.devices})
    if not devices:
        return None
    source, came = dropped[0].bundle.source, case.label(dropped[0], "ingress")
    back = {device for way in knowledge.sure_ways(source) for device in way.devices}
    links = knowledge.links.by_name
    # The kernel has such a filter for IPv4 alone: net/ipv4/fib_frontend.c, __fib_validate_source.
    if back and came in links and came not in back and len(source) == 4:
        return (
            f"the route back to {address_text(source)} leads out {' or '.join(sorted(back))}, and these came in by "
            f"{came}: where `sysctl net.ipv4.conf.all.rp_filter net.ipv4.conf.{came}.rp_filter` shows a 1, the "
            "kernel drops them for that (`nstat -az TcpExtIPReversePathFilter` counts it); correct that route, or "
            "set 2"
        )
    device = devices[0]
    return (
        f"by its route (`{ways[0]}`) it should have left by {' or '.join(devices)}: see whether {device} is up and "
        f"the next hop answers (`ip neigh show dev {device}`), then look at `tc -s qdisc show dev {device}` and "
        "the drop counters of `nft list ruleset`"
    )


def _by(case: Case, dropped: Sequence[Judged]) -> str:
    stages = {item.route.ingress.interface for item in dropped if item.route.ingress is not None}
    labels = {case.knowledge.interface(key, case.tables).label for key in stages}
    named = sorted(label for label in labels if label is not None)
    return f" by {' or '.join(named)}" if len(named) == len(labels) else ""


def _where_to_look(case: Case, dropped: Sequence[Judged]) -> tuple[str, bool]:
    """The next command, and whether the routes told it."""
    refused = [item for item in dropped if _is_refused(case, item)]
    if not refused:
        return _look_at_egress(case, dropped)
    told = _routes_tell(case, refused) or ""
    others = [item for item in dropped if not _is_refused(case, item)]
    if _datagrams(others) < _datagrams(refused):
        return told, True
    return f"{_look_at_egress(case, others)[0]}; besides, {told}", True


def _is_refused(case: Case, item: Judged) -> bool:
    """Whether the routes say that what is sent there goes nowhere, and nothing speaks against it."""
    destination = item.bundle.destination
    text = address_text(destination)
    if text is None or not case.knowledge.routes or case.judge.egresses.get(destination):
        return False
    ways = case.knowledge.sure_ways(destination)
    return any(way.refuses for way in ways) or (not ways and case.knowledge.routes.is_sure(text))


def _datagrams(items: Sequence[Judged]) -> int:
    return sum(item.bundle.datagrams for item in items)


def _look_at_egress(case: Case, dropped: Sequence[Judged]) -> tuple[str, bool]:
    """The next command, for the interface by which others for the same destinations left, if any did; and whether
    the routes told it."""
    lost: Counter[bytes] = Counter()
    for item in dropped:
        lost[item.bundle.destination] += item.bundle.datagrams
    most = max(lost, key=lambda address: (lost[address], address))
    destination = address_text(most) or "DESTINATION"
    egresses: Counter[InterfaceKey] = Counter()
    for address in lost:
        egresses.update(case.judge.egresses.get(address, {}))
    if not egresses:
        told = _routes_tell(case, dropped)
        return told or (
            "nothing for these destinations left at all: ask the router where it sends them with "
            f"`ip route get {destination}`, then look at the drop counters of `nft list ruleset`"
        ), told is not None
    key = max(egresses, key=lambda key: (egresses[key], key))
    label = case.knowledge.interface(key, case.tables).label
    if label is None or label.startswith("#"):
        # Only a name can be given to a command.
        device, place = "INTERFACE", f"the interface that `ip route get {destination}` shows"
    else:
        device, place = label, label
    left = max(
        (
            item.bundle.largest
            for item in case.judged
            if item.outcome == "forwarded" and item.bundle.destination in lost
        ),
        default=0,
    )
    smallest = min(item.bundle.smallest for item in dropped)
    if (told := _icmp_tells(case, destination)) is not None:
        return told, False
    if 0 < left < smallest and smallest > _LARGE:
        return (
            f"what was lost has {smallest:,} bytes or more, and the largest that left for there had {left:,}: "
            f"compare with the MTU of {place} (`ip link show {device}`), and look for a rule on the packet's "
            "length in `nft list ruleset`"
        ), False
    return (
        f"look at the queue of {place}, by which others for these destinations left: "
        f"`tc -s qdisc show dev {device}` counts its drops; if that is 0, read the drop counters of "
        f"`nft list ruleset` and `ip -s link show {device}`"
    ), False
