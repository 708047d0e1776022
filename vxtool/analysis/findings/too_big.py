"""Findings on packets that are too big for the path: who said so, who did not listen, and where nobody says so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from vxtool.analysis.findings.evidence import MOST_EVIDENCE, Case, number
from vxtool.analysis.findings.explanation import Explanation
from vxtool.analysis.knowledge import address_text
from vxtool.analysis.limits import longest_fragments, nested
from vxtool.analysis.outcomes import Judged, Route
from vxtool.analysis.sizes import IPV4_HEADER, IPV6_HEADER, TCP_HEADER
from vxtool.engine.answers import Wanted
from vxtool.engine.tables import LARGE, PARTIAL, PLAIN, TCP, WHOLE, FlowKey, TooBig, TooBigRow

if TYPE_CHECKING:
    from vxtool.analysis.model import Evidence, Finding
    from vxtool.engine.answers import Proof, Stalled

EXPLANATIONS = {
    "mtu.packet-too-big": Explanation(
        summary="a router says that packets were too big for a link",
        cause="Outer packets carry DF (or are IPv6), and a link on their way has a smaller MTU than they have "
        "bytes. The router at that link drops them and tells their sender which size fits: ICMP type 3 code 4, "
        "ICMPv6 type 2.",
        proof="Such messages in the capture. They quote the packet: at least its addresses, and as far as the "
        "router quotes more (Linux: 548 bytes of it) its VNI and the flow inside. A warning where the packet was a "
        "tunnel's or this machine sent the message; else a path that finds its MTU as it should.",
        remedy="Raise the MTU of the link to that of the others, or set the pods' MTU to the one that was told "
        "less the tunnel's headers (Cilium: `MTU` in its Helm values, which is that of the nodes' links).",
        unknown="Whether the sender heeds the message: see mtu.too-big-ignored. Where only 28 bytes are quoted, "
        "which flow inside the tunnel it was.",
    ),
    "mtu.too-big-ignored": Explanation(
        summary="a sender was told that its packets are too big, and goes on sending such",
        cause="The message does not reach what could act on it: a firewall on the node drops ICMP, the tunnel's "
        "device does not pass the smaller MTU on to the pods, or the message's router has an address that the node "
        "refuses. The connection hangs as soon as it sends full-size packets.",
        proof="The message went to the sender, and more than a second later packets of the same flow (of the same "
        "tunnel, where the flow inside is not quoted) are still larger than what it was told; or the same is said "
        "of them again then, and not as late as a sender that heeds it may try once more (five minutes). An error "
        "where they were dropped here.",
        remedy="Let ICMP type 3 code 4 and ICMPv6 type 2 in on the node, see by `ip route get VTEP` there whether "
        "it learned the MTU, and set the pods' MTU so that it is not needed.",
        unknown="Where between this machine and the sender the message was lost, or whether it arrived and had no "
        "effect.",
    ),
    "mtu.black-hole": Explanation(
        summary="full-size packets vanish while small ones pass, and nobody says why",
        cause="A link with a smaller MTU, or a rule on the packets' length, drops large packets in silence: the "
        "router there sends no ICMP, or a filter drops what it sends. Connections open, and hang with the first "
        "full-size packet.",
        proof="Of the same flow, large datagrams came in and never went out while smaller ones did; or large "
        "segments left this machine and were sent again, three at least, while the other side, which had opened "
        "the connection too, said nothing but that it gave up (a warning, since it may have died). A super-frame "
        "counts by the size of its segments. Not where a message told the sender that they were too big.",
        remedy="Find the link by `tracepath` between the nodes, or the rule by `nft list ruleset`; let ICMP type 3 "
        "code 4 and ICMPv6 type 2 pass, and set the pods' MTU to what passes: `ping -M do -s SIZE` from pod to pod "
        "tells it.",
        unknown="Which size still passes, but for the largest that did. Where the capture holds no ICMP, whether "
        "its filter kept out the answer. Behind this machine, whether the other side died at that moment.",
    ),
    "mtu.mss-too-large": Explanation(
        summary="TCP connections agreed on segments that do not fit the tunnel",
        cause="The pods, or their routes to other nodes' pods, have a larger MTU than the underlay leaves, and TCP "
        "takes its segment size (MSS) from it when a connection opens.",
        proof="The smaller of both sides' MSS with the headers of TCP and IP is more than the underlay's MTU less "
        "the tunnel's headers. A warning where no packet of such a size was seen yet, else the other findings say "
        "what became of those.",
        remedy="Set the pods' MTU to the overlay's (Cilium: `MTU` in its Helm values, which is that of the nodes' "
        "links), or clamp the MSS on the node.",
        unknown="Whether a machine on the way lowers the MSS behind this one.",
    ),
}

_ECHO_HEADER = 8  # of ICMP, RFC 792 and RFC 4443
_SEGMENT = LARGE + 1  # bytes of the smallest packet that counts as full-size: all must carry 1,280 (RFC 8200)
_MOST_FLOWS = 1000  # that are looked into one by one
_MOST_MESSAGES = 64  # for which it is looked whether they were heeded
_HEEDED = 1_000_000_000  # ns: by then, a sender that heeds a message has long done so
# ns: who heeds one may forget it from then on, and try a larger packet again (RFC 1191, section 6.3).
_FORGOTTEN = 300_000_000_000
_SILENCE = 1_000_000_000  # ns without an answer: longer than Linux waits before it repeats for the third time
_COPIES = 3  # full-size segments that were sent again, at least
_IN_FLIGHT = 1 << 17  # bytes that a sender may have sent before the first answer to them
_FEW_ANSWERS = 5  # of which all times are known: the first four and the last


def find(case: Case) -> Iterator[Finding]:
    yield from _packet_too_big(case)
    yield from _too_big_ignored(case)
    yield from _black_hole(case)
    yield from _mss_too_large(case)


# Messages.

_Message = tuple[TooBig, TooBigRow]


def _messages(case: Case) -> list[_Message]:
    return sorted(case.tables.too_big.items(), key=lambda entry: entry[1].samples[0])


def _packet_too_big(case: Case) -> Iterator[Finding]:
    count = case.mtu["packet_too_big"]
    messages = _messages(case)
    if not count or not messages:
        return
    telling = [entry for entry in messages if entry[0].mtu] or messages
    key, row = min(telling, key=lambda entry: (not entry[0].quoted_source, entry[0].mtu, entry[1].samples[0]))
    serious = any(entry[0].wear != PLAIN or _is_own(entry) for entry in messages)
    sender = address_text(key.source)
    others = len({entry[0].source for entry in messages}) - 1
    title = f"{number(count, 'message')} that a packet was too big: {sender} says that " + (
        f"no more than {key.mtu:,} bytes fit" if key.mtu else "it does not fit, and not what would"
    )
    if others:
        title += f"; {number(others, 'other sender')}"
    evidence = [case.evidence(each.samples[0], _say(case, told, each)) for told, each in messages[:MOST_EVIDENCE]]
    if len(evidence) < MOST_EVIDENCE:
        more = sorted((sample, told) for told, each in messages for sample in each.samples[1:])
        evidence += [
            case.evidence(sample, _say(case, told, case.tables.too_big[told]))
            for sample, told in more[: MOST_EVIDENCE - len(evidence)]
        ]
    unknown = "whether the sender heeds it"
    if all(not told.flow.source for told, _ in messages):
        unknown += "; which flow inside the tunnel it was: the messages do not quote so much of the packet"
    if folded := case.tables.counters.folded_quotes:
        unknown += f"; what {number(folded, 'more record')} of such messages quote: there were too many kinds"
    yield {
        "id": "mtu.packet-too-big",
        "severity": "warning" if serious else "info",
        "title": title,
        "count": count,
        "evidence": sorted(evidence, key=lambda entry: entry["time"] or ""),
        "remedy": _remedy(case, key, row),
        "unknown": unknown,
    }


def _is_own(message: _Message) -> bool:
    """Whether this machine sent it: it left, and never came in."""
    return message[1].records_out > 0 and not message[1].records_in


def _say(case: Case, key: TooBig, row: TooBigRow) -> str:
    """`192.168.10.200 to 192.168.10.100: no more than 1,400 bytes fit, of ...`"""
    fits = f"no more than {key.mtu:,} bytes fit" if key.mtu else "a packet did not fit"
    return f"{address_text(key.source)} to {address_text(key.destination)}: {fits}, of {_quoted(case, key, row)}"


def _quoted(case: Case, key: TooBig, row: TooBigRow) -> str:
    """The packet that a message is about, as far as it is quoted."""
    if not key.quoted_source:
        return "a packet that it does not quote"
    if key.wear == PLAIN:
        return f"{case.flow_text(key.flow)}, {row.largest:,} bytes"
    ends = f"{address_text(key.quoted_source)} → {address_text(key.quoted_destination)}"
    inside = ""
    if key.flow.vni >= 0:
        inside += f", VNI {key.flow.vni}"
    inside += f", inside {case.flow_text(key.flow)}" if key.flow.source else ", the flow inside is not quoted"
    return f"a tunnel packet {ends}, {row.largest:,} bytes{inside}"


def _remedy(case: Case, key: TooBig, row: TooBigRow) -> str:
    """The MTU to set, and where."""
    hint = ""
    if _is_own((key, row)):
        egresses = case.judge.egresses.get(key.quoted_destination)
        link = None
        if egresses:
            most = max(egresses, key=lambda each: (egresses[each], each))
            link = case.knowledge.interface(most, case.tables).label
        text = f"raise the MTU of {link or 'the link'} to {address_text(key.quoted_destination)} here"
    else:
        text = f"find the link with the smaller MTU at {address_text(key.source)} and raise it"
        hint = f" ({told})" if (told := nested(key.mtu)) else ""
    if not key.mtu:
        return f"{text}; `tracepath {address_text(key.quoted_destination)}` on the sender finds the MTU that fits"
    if key.wear == PLAIN:
        return f"{text}{hint}, or set the sender's MTU to {key.mtu}"
    fits = key.mtu - case.tunnel_headers(key.quoted_source, key.quoted_destination)
    return f"{text}{hint}, or {case.set_pods_mtu(fits)}"


class _Ignored(NamedTuple):
    key: TooBig
    row: TooBigRow
    last_time: int  # of what is larger than the message says, and was still sent a while later
    largest: int  # of its lengths, with the tunnel's headers
    dropped: bool  # any of it, here
    evidence: Evidence


def _too_big_ignored(case: Case) -> Iterator[Finding]:
    messages = _messages(case)[:_MOST_MESSAGES]
    ignored = [
        found
        for key, row in messages
        if (found := _still_sent(case, key, row) or _told_again(case, key, row)) is not None
    ]
    if not ignored:
        return
    first = ignored[0]
    key, told = first.key, first.row.samples[0].time
    headers = _tunnel_headers(case, key)
    sender = address_text(key.destination)
    node = case.knowledge.node(key.destination)
    where = f"{node} ({sender})" if node else sender
    evidence: list[Evidence] = []
    for found in ignored[: MOST_EVIDENCE - 2]:
        evidence += [case.evidence(found.row.samples[0], _say(case, found.key, found.row)), found.evidence]
    mtu = key.mtu - headers
    remedy = (
        f"let ICMP (type 3 code 4, ICMPv6 type 2) in on {where}, and see whether `ip route get "
        f"{address_text(key.quoted_destination)}` shows mtu {key.mtu} there; "
    )
    remedy += case.set_pods_mtu(mtu) if headers else f"or set the MTU of {where} to {mtu}"
    yield {
        "id": "mtu.too-big-ignored",
        "severity": "error" if any(found.dropped for found in ignored) else "warning",
        "title": f"{where} was told that no more than {key.mtu:,} bytes fit, and sent packets of up to "
        f"{first.largest:,} for {(first.last_time - told) / 1e9:.1f} s more",
        "count": sum(max(each.row.records_in, each.row.records_out, each.row.records_unknown) for each in ignored),
        "evidence": evidence[:MOST_EVIDENCE],
        "remedy": remedy,
        "unknown": "whether the messages were lost behind this machine, or arrived and had no effect",
    }


def _tunnel_headers(case: Case, key: TooBig) -> int:
    """What the tunnel added to the packet that a message is about."""
    return case.tunnel_headers(key.quoted_source, key.quoted_destination) if key.wear != PLAIN else 0


def _told_one(case: Case, key: TooBig, row: TooBigRow) -> bool:
    """Whether a message tells an MTU to the sender of the packet that it quotes."""
    reached = row.records_out or row.records_unknown or key.destination in case.knowledge.own_addresses
    return bool(key.mtu and key.quoted_source and reached)


def _about(case: Case, key: TooBig) -> Wanted:
    """The cells of the flow, or of the tunnel, that a message is about; those of its source, before `_is_of`."""
    tunnelled = key.wear != PLAIN or key.tunnelled
    ends = key.quoted_source, key.quoted_destination
    items = [
        item.number
        for item in case.judged
        if item.route.tunnelled == tunnelled
        and item.route.measured.form == WHOLE  # who fragments has heard the message
        and (key.tunnelled or (item.bundle.source, item.bundle.destination) == ends)
    ]
    flow = key.flow
    return Wanted(
        items,
        vni=flow.vni if flow.vni >= 0 else None,
        source=flow.source or None,
        above=key.mtu - _tunnel_headers(case, key),
    )


def _flows_about(case: Case, key: TooBig, wanted: Wanted) -> set[FlowKey]:
    proofs = case.judge.bundles.starts(wanted, _MOST_FLOWS)
    return {proof.flow for proof in proofs if not key.flow.source or _is_of(proof.flow, key.flow)}


def _still_sent(case: Case, key: TooBig, row: TooBigRow) -> _Ignored | None:
    """What is larger than a message says, of the flow (or the tunnel) that it is about, and was sent well after."""
    if not _told_one(case, key, row):
        return None
    wanted = _about(case, key)._replace(beyond=case.super_frames.sizes.keys(), smallest_too=True)
    told = row.samples[0].time
    bundles, named = case.judge.bundles, case.tables.queries.named
    wanted = wanted._replace(flows=named(_flows_about(case, key, wanted._replace(smallest_too=False))))
    late = [share for share in bundles.shares(wanted) if share.last_time - told > _HEEDED]
    # Those whose small packets are counted along, but which had none at all before the message.
    late += [
        share
        for share in bundles.shares(wanted._replace(smallest_too=False))
        if share.first_time - told > _HEEDED and share not in late
    ]
    if not late:
        return None
    whatever = any(share.first_time - told > _HEEDED for share in late)
    wanted = wanted._replace(
        bundles=sorted({share.bundle for share in late}),
        flows=named({share.flow for share in late}),
        smallest_too=not whatever,
    )
    last = max(share.last_time for share in late)
    largest = max(proof.largest for proof in bundles.starts(wanted, _MOST_FLOWS))
    (evidence,) = case.earliest(
        wanted, f"{{flow}}, {{size}} bytes, sent until {(last - told) / 1e9:.1f} s after the message", most=1
    )
    dropped = any(case.judged[share.bundle].outcome == "dropped" for share in late)
    return _Ignored(key, row, last, largest + _tunnel_headers(case, key), dropped, evidence)


def _told_again(case: Case, key: TooBig, row: TooBigRow) -> _Ignored | None:
    """Whether the same was said again well after: each message is about a packet that was sent just then.

    So it is told where the cells do not: of a flow whose small packets take the same path as its large ones, and of
    super-frames. Programs that look for the MTU themselves, as QUIC does, ask again on purpose.
    """
    if not _told_one(case, key, row) or row.largest <= key.mtu or (key.wear == PLAIN and key.flow.protocol != TCP):
        return None
    told = row.samples[0].time
    again = [sample for sample in row.samples if _HEEDED < sample.time - told < _FORGOTTEN]
    if not again and not _HEEDED < row.last_time - told < _FORGOTTEN:
        return None
    flows = _flows_about(case, key, _about(case, key))
    packets = case.super_frames.largest_packets(flows).values()
    largest = min(row.largest, max(packets, default=row.largest) + _tunnel_headers(case, key))
    after = (row.last_time - told) / 1e9
    proof = again[0] if again else row.samples[-1]
    evidence = case.evidence(proof, f"the same again; the last of them {after:.1f} s after the first")
    return _Ignored(key, row, row.last_time, largest, _is_own((key, row)), evidence)


def _is_of(flow: FlowKey, quoted: FlowKey) -> bool:
    """Whether it is the quoted one: its ports may not have been quoted, nor has a message in a tunnel its VNI."""
    if quoted.source_port == quoted.destination_port == -1:
        return (flow.protocol, flow.source, flow.destination) == (quoted[1], quoted.source, quoted.destination)
    return flow[1:] == quoted[1:]


# Black holes.


class _Hole(NamedTuple):
    """A flow of which only small datagrams pass."""

    lost: Proof
    smallest: int  # inner bytes of its smallest packet that did not: a super-frame's segments
    passed: int  # of its largest that went out


class _Silent(NamedTuple):
    """A connection that sends full-size segments again, and for how long nobody answered."""

    row: Stalled
    largest: int  # inner bytes of its largest packet
    silence: int  # ns


def _black_hole(case: Case) -> Iterator[Finding]:
    holes = _lost_by_size(case)
    stalled = _stalled(case, {hole.lost.flow for hole in holes})
    if not holes and not stalled:
        return
    evidence: list[Evidence] = []
    titles = []
    count = 0
    if holes:
        wanted = _dropped_large(case)._replace(flows=case.tables.queries.named({hole.lost.flow for hole in holes}))
        count += sum(share.datagrams for share in case.judge.bundles.shares(wanted))
        evidence += case.earliest(wanted, "{flow}, {size} bytes: in {ingress}, never out")
        smallest, passed = min(hole.smallest for hole in holes), max(hole.passed for hole in holes)
        by = sorted({case.label(case.judged[hole.lost.bundle], "ingress") for hole in holes})
        titles.append(
            f"{number(count, 'datagram')} of {smallest:,} bytes or more came in by {' and '.join(by)} and never "
            f"went out, while those of the same {'flows' if len(holes) > 1 else 'flow'} with up to {passed:,} did"
        )
        remedy = _find_hole(case, holes)
    if stalled:
        flows = case.tables.queries.named({each.row.flow for each in stalled})
        wanted = Wanted([item.number for item in case.in_scope], flows=flows, above=LARGE)
        evidence += case.earliest(wanted, "{flow}, {size} bytes: of a connection that sends full segments again")
        repeated = sum(each.row.repeated for each in stalled)
        silence = max(each.silence for each in stalled) / 1e9
        titles.append(
            f"{number(len(stalled), 'connection')} sent {repeated:,} bytes again in packets of up to "
            f"{max(each.largest for each in stalled):,}, and heard nothing for {silence:.1f} s"
        )
        if not holes:
            count = sum(each.row.datagrams for each in stalled)
            remedy = _find_hole_behind(case, stalled)
    unknown = "which size still passes"
    if stalled:
        unknown += "; whether the other side of those connections died just then"
    if any(item.bundle.icmp and not item.route.tunnelled for item in case.judged):
        unknown += "; why no too-big message is among the ICMP that was captured"
    else:
        unknown += (
            "; the capture holds no ICMP error at all, so its filter may hide the too-big message that tells the "
            f"MTU: capture with {case.capture_command}"
        )
    yield {
        "id": "mtu.black-hole",
        "severity": "error" if holes else "warning",
        "title": "; and ".join(titles),
        "count": count,
        "evidence": sorted(evidence, key=lambda entry: entry["time"] or "")[:MOST_EVIDENCE],
        "remedy": remedy,
        "unknown": unknown,
    }


def _dropped_large(case: Case) -> Wanted:
    """The cells whose datagrams are all large and were dropped, and not in part."""
    items = [item.number for item in case.in_scope if item.outcome == "dropped" and not item.route.flags & PARTIAL]
    return Wanted(items, above=LARGE, smallest_too=True)


def _lost_by_size(case: Case) -> list[_Hole]:
    bundles, queries = case.judge.bundles, case.tables.queries
    wanted = _dropped_large(case)
    if not wanted.bundles:
        return []
    lost: dict[FlowKey, Proof] = {}
    for proof in bundles.starts(wanted, _MOST_FLOWS):
        if proof.flow not in lost or proof.smallest < lost[proof.flow].smallest:
            lost[proof.flow] = proof
    if not lost:
        return []
    full = case.super_frames.largest_packets(lost.keys())
    smallest = {flow: min(proof.smallest, full.get(flow, proof.smallest)) for flow, proof in lost.items()}
    flows = queries.named(lost.keys())
    datagrams: dict[FlowKey, int] = {}
    for share in bundles.shares(wanted._replace(flows=flows)):
        datagrams[share.flow] = datagrams.get(share.flow, 0) + share.datagrams
    forwarded = [item.number for item in case.in_scope if item.outcome == "forwarded"]
    passed: dict[FlowKey, int] = {}
    for proof in bundles.starts(Wanted(forwarded, flows=flows), 8 * _MOST_FLOWS):
        passed[proof.flow] = max(passed.get(proof.flow, 0), proof.largest)
    return [
        _Hole(proof, smallest[flow], passed[flow])
        for flow, proof in lost.items()
        if datagrams.get(flow, 0) > 1
        and passed.get(flow, smallest[flow]) < smallest[flow]
        and not _told(case, proof)
    ]


def _told(case: Case, proof: Proof) -> bool:
    """Whether a message said of this flow, or of its tunnel, that a packet was too big."""
    ends = proof.outer_source, proof.outer_destination
    return any(
        _is_of(proof.flow, key.flow)
        if key.flow.source
        else (key.quoted_source, key.quoted_destination) == ends and key.wear != PLAIN
        for key in case.tables.too_big
    )


def _stalled(case: Case, besides: set[FlowKey]) -> list[_Silent]:
    """Connections that leave this machine whole, repeat full-size segments, and are not answered for long."""
    rows = [
        row
        for row in case.tables.queries.stalled(_COPIES * _SEGMENT, _IN_FLIGHT, _FEW_ANSWERS)
        if row.largest >= _SEGMENT and (row.flow.vni >= 0) == (case.scope == "tunnel") and row.flow not in besides
    ][:_MOST_FLOWS]
    if not rows:
        return []
    everywhere = [item.number for item in case.judged]
    named = case.tables.queries.named
    mine = Wanted(everywhere, flows=named({row.flow for row in rows}))
    # Where any of it was not passed on, that is what is wrong; and with a message, who was told.
    other = {
        proof.flow
        for proof in case.judge.bundles.starts(mine, 8 * _MOST_FLOWS)
        if case.judged[proof.bundle].outcome not in ("forwarded", "originated") or _told(case, proof)
    }
    theirs = Wanted(everywhere, flows=named({row.reverse for row in rows}))
    times: dict[FlowKey, list[int]] = {}
    for proof in case.judge.bundles.earliest(theirs, _FEW_ANSWERS * len(rows)):
        times.setdefault(proof.flow, []).append(proof.sample.time)
    full = case.super_frames.largest_packets([row.flow for row in rows])
    silent = []
    for row in rows:
        answers = sorted({*times.get(row.reverse, ()), row.answered_time})
        # One that gives the connection up acknowledges nothing of it.
        if row.closed and len(answers) > 1:
            answers.pop()
        silence = row.last_time - answers[-1]
        if silence >= _SILENCE and row.flow not in other:
            silent.append(_Silent(row, full.get(row.flow, row.largest), silence))
    return silent


def _egress(case: Case, items: Sequence[Judged]) -> tuple[str, int | None]:
    """By which interface others for the same destinations left, and its MTU."""
    for item in items:
        egresses = case.judge.egresses.get(item.bundle.destination)
        if egresses:
            name = case.knowledge.interface(max(egresses, key=lambda key: (egresses[key], key)), case.tables)
            if name.label is not None:
                return name.label, name.mtu
    return "the egress", None


def _find_hole(case: Case, holes: Sequence[_Hole]) -> str:
    smallest = min(hole.smallest for hole in holes)
    passed, sure = (choose(hole.passed for hole in holes) for choose in (max, min))
    item = case.judged[holes[0].lost.bundle]
    headers = (item.bundle.outer_bytes - item.bundle.inner_bytes) // item.bundle.datagrams
    link, mtu = _egress(case, [item])
    device = link if link in case.knowledge.links.by_name else "INTERFACE"
    where = f"look for a rule on the packet's length (`nft list ruleset`), and at the MTU of {link}"
    if mtu is not None and smallest + headers <= mtu:
        where += f", which the links file gives as {mtu:,}"
    text = (
        f"{where} (`ip link show {device}`); let ICMP type 3 code 4 and ICMPv6 type 2 leave to the senders; what "
        f"passed has {passed:,} bytes or less"
    )
    if item.route.tunnelled:
        text += f" inside ({passed + headers:,} with the tunnel's headers; {smallest + headers:,} did not pass)"
    return f"{text}; until the cause is found, {_until_found(case, holes[0].lost.flow, item.route, smallest, sure)}"


def _until_found(case: Case, flow: FlowKey, route: Route, smallest: int, passed: int = 0) -> str:
    """The MTU to set: what passed, where that is worth it; else how to find it, as it lies anywhere below what did
    not pass."""
    if passed > LARGE:
        change = case.set_pods_mtu(passed) if route.tunnelled else f"set the sender's MTU to {passed}"
        return f"{change}: so much passed, and more may, up to {smallest - 1}"
    whose = "pods'" if route.tunnelled else "sender's"
    text = f"set the {whose} MTU to the most that passes, which is less than {smallest}"
    if not flow.destination:
        return text
    headers = (IPV6_HEADER if len(flow.destination) == 16 else IPV4_HEADER) + _ECHO_HEADER
    return (
        f"{text}: the largest SIZE that is answered of `ping -M do -s SIZE {address_text(flow.destination)}` from "
        f"{address_text(flow.source)}, plus {headers}"
    )


def _find_hole_behind(case: Case, stalled: Sequence[_Silent]) -> str:
    row, largest, _ = stalled[0]
    flows = case.tables.queries.named({row.flow})
    (proof,) = case.judge.bundles.starts(Wanted([item.number for item in case.in_scope], flows=flows), 1)
    vtep = address_text(proof.outer_destination) or address_text(row.flow.destination)
    return (
        f"they left this machine: look behind it, from the sender's node with `tracepath {vtep}`, for a link with "
        "a smaller MTU and for a firewall that drops ICMP or fragments; until it is found, "
        f"{_until_found(case, row.flow, case.judged[proof.bundle].route, largest)}"
    )


# What TCP agreed on.


def _mss_too_large(case: Case) -> Iterator[Finding]:
    most = case.mtu["underlay"] or case.mtu["underlay_at_most"]
    if case.scope != "tunnel" or most is None or not case.tables.overheads:
        return
    room = most - min(case.tables.overheads)  # for an inner packet, at most
    large = {
        (ipv6, mss): flows
        for (inside, ipv6, mss), flows in case.tables.queries.agreed_mss.items()
        if inside and mss + _headers(ipv6) > room
    }
    if not large:
        return
    connections = -(-sum(large.values()) // 2)  # each has two directions
    most_of = {family: max(mss for six, mss in large if six == family) for family, _ in sorted(large)}
    length = max(mss + _headers(ipv6) for ipv6, mss in most_of.items())
    mtu = (case.mtu["underlay"] or case.mtu["underlay_at_least"] or most) - min(case.tables.overheads)
    fits = {family: mtu - _headers(family) for family in most_of}
    evidence: list[Evidence] = []
    smallest = {family: min(value for six, value in large if six == family) for family, _ in large}
    for top in case.judge.bundles.top([item.number for item in case.in_scope], _MOST_FLOWS)[0]:
        own = top.row.mss if top.row is not None else 0
        if top.row is not None and own >= smallest.get(len(top.flow.source) == 16, own + 1):
            text = f"{case.flow_text(top.flow)}: begins here, with MSS {own:,}"
            evidence.append(case.evidence(top.row.first, text))
    seen = case.mtu["over_overlay"] or longest_fragments(case.tables, tunnelled=True)
    certain = "the links' MTU" if case.mtu["underlay"] else "the fragments seen"
    yield {
        "id": "mtu.mss-too-large",
        "severity": "info" if seen else "warning",
        "title": f"{number(connections, 'TCP connection')} agreed on an MSS of up to {_by_family(most_of)}: "
        f"its packets have {length:,} bytes, and {mtu:,} fit into the tunnel",
        "count": connections,
        "evidence": sorted(evidence, key=lambda entry: entry["time"] or "")[:MOST_EVIDENCE],
        "remedy": f"{case.set_pods_mtu(mtu)}, from which an MSS of {_by_family(fits)} follows; or clamp it on the "
        f"nodes: `nft add rule ... tcp flags syn tcp option maxseg size set {min(fits.values())}`",
        "unknown": f"whether a machine behind this one lowers it; what fits is told by {certain}",
    }


def _by_family(sizes: Mapping[bool, int]) -> str:
    """`1,460`, or where both families are there `1,460 over IPv4 and 1,440 over IPv6`."""
    if len(sizes) == 1:
        return f"{next(iter(sizes.values())):,}"
    return " and ".join(f"{size:,} over {'IPv6' if ipv6 else 'IPv4'}" for ipv6, size in sizes.items())


def _headers(ipv6: bool) -> int:
    return (IPV6_HEADER if ipv6 else IPV4_HEADER) + TCP_HEADER
