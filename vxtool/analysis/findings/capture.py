"""Findings on the capture itself: what it cannot show."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from vxtool.analysis.findings.evidence import MOST_EVIDENCE, Case, number
from vxtool.analysis.findings.explanation import Explanation
from vxtool.analysis.folded import tell_folded
from vxtool.analysis.outcomes import (
    DELIVERED_UNSEEN,
    EGRESS_NOT_CAPTURED,
    INGRESS_NOT_CAPTURED,
    NO_DIRECTION,
    RESEGMENTED,
    Group,
)
from vxtool.engine.answers import Wanted
from vxtool.engine.tables import FIRST_ONLY, UNKNOWN

if TYPE_CHECKING:
    from vxtool.analysis.model import Evidence, Finding

LINUX_SLL = 113

_WHOLE_SNAPLEN = 65535  # from here on a snaplen is no choice of the operator's

EXPLANATIONS: dict[str, Explanation] = {
    "capture.truncated": Explanation(
        summary="an input ends early or is damaged",
        cause="The capturing program was killed, the disk was full, or the file was copied while it was written.",
        proof="The last record or block is not whole, or its lengths cannot be. What came before is counted.",
        remedy="Stop tcpdump with Ctrl-C or SIGTERM and let it finish writing (`-U` writes each packet at once), "
        "check the disk's free space, and copy the file again.",
        unknown="What the missing part held.",
    ),
    "capture.damaged": Explanation(
        summary="blocks of a pcapng file that hold nonsense were skipped",
        cause="The file was damaged on a disk or on its way, or a program wrote it wrongly.",
        proof="A block's length stands at both ends alike, so that what comes behind it can be read, while what it "
        "holds cannot be: more captured bytes than it has room for, an interface that nothing describes, an option "
        "that is too long.",
        remedy="Copy the file again; `editcap IN OUT` tells what it makes of it.",
        unknown="What the skipped blocks held: datagrams may be missing, so that others seem to be dropped.",
    ),
    "capture.clipped": Explanation(
        summary="records hold fewer bytes than the packets had",
        cause="A small snaplen (`tcpdump -s`), usually on purpose.",
        proof="Captured and original length of each record. A warning only where a record ends within the headers, "
        "so that something behind them is not known; else info.",
        remedy="`tcpdump -s 256` holds all headers of a tunnel packet, `-s 0` whole packets.",
        unknown="What the packets held behind the cut.",
    ),
    "capture.one-sided": Explanation(
        summary="datagrams seen on one side only, where the other was not captured",
        cause="The capture was taken on one interface, or its files tell no directions.",
        proof="A datagram came in and no other for its destination was seen to leave, or the reverse, or nothing "
        "tells which way it went. Where the other side was watched, it is a drop and not this. An info: one side "
        "alone is a choice, and no fault of the network.",
        remedy="Capture on all interfaces at once: `tcpdump -i any -w vxlan.pcap`, or one file for each; give "
        "`--links` with the router's `ip -j addr`, whose MACs tell directions in Ethernet captures.",
        unknown="Whether these datagrams were forwarded or dropped.",
    ),
    "capture.super-frames": Explanation(
        summary="records that stand for several packets on the wire",
        cause="Segmentation offload (GSO, TSO, GRO, BIG TCP) hands the capture one large packet before the card "
        "cuts it, or after it was put together.",
        proof="A datagram above the link's MTU, or above the segment size that both SYNs agreed on. A warning "
        "where some left in other pieces than they came in, which cannot be followed.",
        remedy="None is needed; for one record a packet, capture after `ethtool -K INTERFACE tso off gso off gro "
        "off tx-udp_tnl-segmentation off`.",
        unknown="How the card cut them.",
    ),
    "capture.fragments-hidden": Explanation(
        summary="first fragments without those that follow",
        cause="A filter on a port (`udp port 8472`) cannot match later fragments, which have no UDP header; or the "
        "capture lost them.",
        proof="First fragments, while the capture holds no later fragment of them.",
        remedy="Add `or (ip[6:2] & 0x1fff != 0) or ip6[6]=44` to the filter.",
        unknown="How many packets crossed the wire, and whether the other fragments were passed on.",
    ),
    "capture.icmp-hidden": Explanation(
        summary="a capture of tunnel packets alone may have left out the router's ICMP errors",
        cause="A filter on the tunnel's port lets no other packet through.",
        proof="Every packet of the capture is a tunnel's, while there are drops, fragments or packets larger than "
        "the overlay's MTU, of which ICMP would tell the reason. Not raised where any other packet was captured.",
        remedy="Capture with `udp port 8472 or icmp or icmp6 or (ip[6:2] & 0x1fff != 0) or ip6[6]=44`.",
        unknown="Which filter was used: with one that lets ICMP in, none was sent.",
    ),
    "capture.lossy": Explanation(
        summary="the capture itself lost packets",
        cause="The capturing program was slower than the traffic, and its buffer ran over.",
        proof="The interface statistics of a pcapng file count packets that were dropped before they were written "
        "(isb_ifdrop); or datagrams left that were never seen to come in, and that this machine did not send; or "
        "a TCP segment that was not seen to leave was acknowledged by its receiver and never sent again: it left "
        "unseen, and is not counted as dropped.",
        remedy="Give tcpdump a larger buffer (`-B 16384`, in KiB) and less to write (`-s 256`, a filter), and "
        "write to a fast disk; at its end it prints how many packets the kernel dropped.",
        unknown="Which packets those were. forwarding.dropped is then an upper bound: what was not seen to leave "
        "may have left unseen.",
    ),
    "capture.folded": Explanation(
        summary="the capture holds more than the memory has room for: the smallest flows are counted together",
        cause="More flows, open journeys, tunnels or the like than fit into `--memory`: a flood, a scan, or a long "
        "capture of a busy router.",
        proof="The counters of what gave way, in the report's `capture.folded`. Sums of forwarding, overhead, "
        "sizes and time are those of all datagrams; flows, and what rests on single ones (answers, "
        "retransmissions, segment sizes), are those of the flows that stayed, the largest and latest.",
        remedy="Give more memory (`--memory 4G`), or capture less: a filter on the tunnel's port, or on the "
        "addresses in question.",
        unknown="What the folded flows were, one by one; and of datagrams that were judged early, whether they "
        "left later.",
    ),
    "capture.time-reversed": Explanation(
        summary="records older than the one before",
        cause="Each processor writes records on its own, so that neighbours change places; or the clock was set "
        "back while the capture ran, or files were put together in the wrong order.",
        proof="The times of records within the merged inputs. Clocks that were set back also make latencies wrong.",
        remedy="None is needed where they change places by microseconds; `reordercap IN OUT` sorts a file.",
        unknown="Which of the clocks was right.",
    ),
    "capture.no-interface": Explanation(
        summary="the capture does not tell interfaces apart",
        cause="Its link type is LINUX_SLL, the older of the two that `-i any` gives.",
        proof="The link type of the inputs.",
        remedy="`tcpdump -i any -y LINUX_SLL2` (4.99 and later: the default) writes the interface of each record.",
        unknown="By which interfaces datagrams came and left: In and Out are all that is known.",
    ),
}


def find(case: Case) -> Iterator[Finding]:
    yield from _truncated(case)
    yield from _damaged(case)
    yield from _clipped(case)
    yield from _one_sided(case)
    yield from _super_frames(case)
    yield from _fragments_hidden(case)
    yield from _lossy(case)
    yield from _folded(case)
    yield from _icmp_hidden(case)
    yield from _time_reversed(case)
    yield from _no_interface(case)


def _damaged(case: Case) -> Iterator[Finding]:
    damaged = [row for row in case.inputs if row["skipped_blocks"]]
    if not damaged:
        return
    count = sum(row["skipped_blocks"] for row in damaged)
    yield {
        "id": "capture.damaged",
        "severity": "warning",
        "title": f"{number(count, 'damaged block')} skipped: what came behind is counted",
        "count": count,
        "evidence": [
            {"input": row["path"], "record": None, "time": None, "text": f"first: {row['first_skipped']}"}
            for row in damaged
        ],
        "remedy": "copy the file again; `editcap IN OUT` tells what it makes of it",
        "unknown": "what the skipped blocks held: their datagrams may be missing, so that others seem dropped",
    }


def _truncated(case: Case) -> Iterator[Finding]:
    damaged = [row for row in case.inputs if row["truncated"]]
    if not damaged:
        return
    yield {
        "id": "capture.truncated",
        "severity": "warning",
        "title": f"{number(len(damaged), 'input')} cut short or damaged: what came before is counted",
        "count": len(damaged),
        "evidence": [
            {
                "input": row["path"],
                "record": row["records"] or None,
                "time": None,
                "text": row["error"] or "cut short",
            }
            for row in damaged
        ],
        "remedy": "stop tcpdump with Ctrl-C or SIGTERM and let it finish writing (`-U` writes each packet "
        "at once), check the disk's free space, and copy the file again",
        "unknown": "what the missing part held",
    }


def _clipped(case: Case) -> Iterator[Finding]:
    counters = case.tables.counters
    if not counters.clipped_records:
        return
    snaplens = sorted(row["snaplen"] for row in case.inputs if row["snaplen"] and row["snaplen"] < _WHOLE_SNAPLEN)
    cut = counters.cut_records
    text = "captured with fewer bytes than the packet had"
    if cut:
        title = (
            f"{number(cut, 'record')} cut off within the headers: what stood behind the cut is not known of them"
        )
        samples = case.tables.samples["cut"]
        text = "cut off within its headers"
    else:
        title = f"{number(counters.clipped_records, 'record')} cut off behind the headers: no count is affected"
        samples = case.tables.samples["clipped"]
    if cut:
        remedy = "capture with `-s 256`, which holds all headers of a tunnel packet, or `-s 0` for whole packets"
    else:
        remedy = "none is needed; `-s 0` captures whole packets"
    yield {
        "id": "capture.clipped",
        "severity": "warning" if cut else "info",
        "title": title,
        "count": cut or counters.clipped_records,
        "evidence": [case.evidence(sample, text) for sample in samples[: MOST_EVIDENCE if cut else 1]],
        "remedy": remedy + (f" (this one has a snaplen of {snaplens[0]})" if snaplens else ""),
        "unknown": "what the packets held behind the cut",
    }


def _one_sided(case: Case) -> Iterator[Finding]:
    reasons = (EGRESS_NOT_CAPTURED, INGRESS_NOT_CAPTURED, NO_DIRECTION)
    items = [item for group in case.groups_in_scope if group.reason in reasons for item in group.items]
    count = sum(item.bundle.datagrams for item in items)
    if not count:
        return
    without = sum(item.bundle.datagrams for item in items if item.reason == NO_DIRECTION)
    if without == count:
        title = f"{number(count, 'datagram')} seen once, without a direction: whether lost cannot be told"
    elif without:
        title = f"{number(count, 'datagram')} seen on one side only, {without:,} of them without a direction"
    else:
        title = f"{number(count, 'datagram')} seen on one side only: whether lost cannot be told"
    text = {
        EGRESS_NOT_CAPTURED: "{flow}: in {ingress}; where it leaves was not captured",
        INGRESS_NOT_CAPTURED: "{flow}: out {egress}; where it came in was not captured",
        NO_DIRECTION: "{flow}: seen once, and an Ethernet capture does not tell the direction",
    }
    evidence = [
        entry
        for reason in reasons
        for entry in case.samples([i for i in items if i.reason == reason], text[reason])
    ]
    remedy = "capture on all interfaces at once: `tcpdump -i any -w vxlan.pcap`, or one file for each interface"
    if without and any(stage.direction == UNKNOWN for item in items for stage in [item.route.measured]):
        remedy += "; give `--links` with the router's `ip -j addr`, so that its MACs tell the directions"
    yield {
        "id": "capture.one-sided",
        "severity": "info",
        "title": title,
        "count": count,
        "evidence": evidence[:MOST_EVIDENCE],
        "remedy": remedy,
        "unknown": "whether these datagrams were forwarded or dropped",
    }


def _super_frames(case: Case) -> Iterator[Finding]:
    found = case.super_frames
    if not found.datagrams:
        return
    cells = found.cells_of([item.number for item in case.in_scope])
    followed = Wanted(found.cut)  # these were super-frames for sure
    # The records of these are super-frames for sure; else the first of a flow, which may have been small.
    proof = case.earliest(followed, "{flow}, {size} bytes inside") if found.cut else []
    proof += case.earliest(cells._replace(smallest_too=True), "{flow}, {size} bytes inside") if found.sizes else []
    evidence = proof or case.starts(cells, "{flow}: packets of {size} bytes inside, from here on")
    unknown = "how the card cut them: packets on the wire are " + (
        "estimated, since not both SYNs told the segment size"
        if found.estimated
        else "counted from the flow's MSS, or as others of the flow were cut"
        if found.sizes and found.of_udp
        else "counted from the flow's MSS"
        if found.sizes
        else "those that were seen to leave"
    )
    unfollowed = sum(group.datagrams for group in case.groups_in_scope if group.reason == RESEGMENTED)
    if unfollowed:
        unknown += f"; {number(unfollowed, 'datagram')} left in other pieces than they came in: not followed"
    yield {
        "id": "capture.super-frames",
        "severity": "warning" if unfollowed else "info",
        "title": f"{number(found.datagrams, 'record stands', 'records stand')} for several packets: segmentation "
        "offload hands the capture one large packet",
        "count": found.datagrams,
        "evidence": sorted(evidence, key=lambda row: row["time"] or "")[:MOST_EVIDENCE],
        "remedy": "nothing is wrong; for one record a packet, capture after "
        "`ethtool -K INTERFACE tso off gso off gro off tx-udp_tnl-segmentation off`",
        "unknown": unknown,
    }


def _fragments_hidden(case: Case) -> Iterator[Finding]:
    items = [item for group in case.groups if _is_alone(group) for item in group.items]
    count = sum(item.bundle.datagrams for item in items)
    if not count:
        return
    what = f"{number(count, 'first fragment')} without the fragments that follow"
    if case.tables.counters.tail_fragments:
        title = f"{what}, while the capture has those of other datagrams"
        remedy = (
            "see whether the receiving node got them: `nstat -az IpReasmFails` counts datagrams that stayed "
            "incomplete; if it did, the capture lost them, and a larger buffer helps (`tcpdump -B 16384`)"
        )
    else:
        title = f"{what}: the capture has no such fragment at all, so its filter hides them"
        remedy = f"a filter on ports cannot match later fragments: capture with {case.capture_command}"
    yield {
        "id": "capture.fragments-hidden",
        "severity": "warning",
        "title": title,
        "count": count,
        "evidence": case.samples(items, "{flow}, {size} bytes inside: a first fragment alone"),
        "remedy": remedy,
        "unknown": "how many packets crossed the wire, and whether the other fragments were passed on",
    }


def _lossy(case: Case) -> Iterator[Finding]:
    lost = case.lost_records
    missed = [item for group in case.groups if group.outcome == "missed" for item in group.items]
    datagrams = sum(item.bundle.datagrams for item in missed)
    unseen = [item for group in case.groups if group.reason == DELIVERED_UNSEEN for item in group.items]
    acknowledged = sum(item.bundle.datagrams for item in unseen)
    if not lost and not datagrams and not acknowledged:
        return
    evidence: list[Evidence] = [
        {
            "input": row["path"],
            "record": None,
            "time": None,
            "text": f"interface statistics: {number(counted.dropped, 'packet')} dropped by the capture",
        }
        for row, counted in zip(case.inputs, case.tables.inputs, strict=True)
        if counted.dropped
    ]
    evidence += case.samples(missed, "{flow}: out {egress}, never seen to come in")
    evidence += case.samples(unseen, "{flow}: in {ingress}, never seen to go out, and acknowledged")
    parts = []
    if lost:
        parts.append(f"its interfaces count {number(lost, 'packet')} that it dropped")
    if datagrams:
        verb = "was" if datagrams == 1 else "were"
        parts.append(f"{number(datagrams, 'datagram')} went out that {verb} never seen to come in")
    if acknowledged:
        verb = "was" if acknowledged == 1 else "were"
        parts.append(
            f"{number(acknowledged, 'TCP segment')} that {verb} not seen to go out {verb} acknowledged and never "
            "sent again"
        )
    yield {
        "id": "capture.lossy",
        "severity": "warning",
        "title": "the capture itself lost packets: " + ", and ".join(parts),
        "count": lost or datagrams + acknowledged,
        "evidence": evidence[:MOST_EVIDENCE],
        "remedy": "capture with a larger buffer and less to write: `tcpdump -B 16384 -s 256 -i any -w vxlan.pcap "
        "FILTER`; at its end it prints how many packets the kernel dropped",
        "unknown": "which packets were lost: what was not seen to leave may have left, so that the count of "
        "dropped datagrams is an upper bound for those that were seen to come in",
    }


def _folded(case: Case) -> Iterator[Finding]:
    folded = case.folded
    parts = tell_folded(folded)
    if not parts:
        return
    path = case.inputs[0]["path"]
    yield {
        "id": "capture.folded",
        "severity": "warning",
        "title": "the capture holds more than the memory has room for: " + parts[0],
        "count": folded["flows"] or folded["evicted_journeys"] or folded["evicted_fragments"] or 1,
        "evidence": [{"input": path, "record": None, "time": None, "text": part} for part in parts],
        "remedy": "run again with more memory, as in `--memory 4G`, or filter the capture: "
        "`tcpdump -r IN -w OUT FILTER`",
        "unknown": "the folded flows one by one, and whether datagrams that were judged early left later",
    }


def _icmp_hidden(case: Case) -> Iterator[Finding]:
    """ICMP errors would say why, and a filter on the tunnel's port keeps them out."""
    counters = case.tables.counters
    if counters.ip_records or counters.non_ip_records or not counters.tunnel_records:
        return
    items = [
        item
        for group in case.groups_in_scope
        if group.outcome == "dropped" or group.route.fragmented_at_source
        for item in group.items
    ]
    reasons = []
    if dropped := case.counts["dropped"]:
        reasons.append(f"{number(dropped, 'datagram')} dropped")
    if any(group.route.fragmented_at_source for group in case.groups_in_scope):
        reasons.append("datagrams sent in fragments")
    over = case.mtu["over_overlay"] or 0
    if over:
        reasons.append(f"{number(over, 'packet')} larger than the overlay's MTU")
    if not reasons:
        return
    wanted = Wanted([item.number for item in items or case.in_scope])
    yield {
        "id": "capture.icmp-hidden",
        "severity": "info",
        "title": "nothing outside the tunnel was captured: unless the filter let ICMP in, it proves nothing that "
        f"no error tells of {' and '.join(reasons)}",
        "count": sum(item.bundle.datagrams for item in items) or over,
        "evidence": case.earliest(wanted, "{flow}, {size} bytes: an ICMP error on it may be left out", most=1),
        "remedy": f"capture with {case.capture_command}",
        "unknown": "which filter was used, and so whether the router sent ICMP errors such as packet too big",
    }


def _time_reversed(case: Case) -> Iterator[Finding]:
    count = case.tables.counters.time_reversed
    if not count:
        return
    yield {
        "id": "capture.time-reversed",
        "severity": "info",
        "title": f"{number(count, 'record')} older than the one before",
        "count": count,
        "evidence": case.records("reversed", "older than the record before it"),
        "remedy": "nothing is wrong where records change places by microseconds, as those of several processors "
        "do; else look for a clock that was set back (`journalctl -u chronyd -u systemd-timesyncd`), or for parts "
        "that were put together in the wrong order (`reordercap IN OUT` sorts a file)",
        "unknown": "which of the times are right: latencies across such a step are not",
    }


def _no_interface(case: Case) -> Iterator[Finding]:
    count = sum(
        row.records_in + row.records_out + row.records_unknown
        for key, row in case.tables.interfaces.items()
        if key.number < 0 and key.input < 0
    )
    if not count:
        return
    evidence: list[Evidence] = [
        {"input": row["path"], "record": None, "time": None, "text": "its link type is LINUX_SLL"}
        for row, counted in zip(case.inputs, case.tables.inputs, strict=True)
        if LINUX_SLL in counted.link_types
    ]
    yield {
        "id": "capture.no-interface",
        "severity": "info",
        "title": f"{number(count, 'record')} in LINUX_SLL, which tells In from Out and no interfaces apart",
        "count": count,
        "evidence": evidence[:MOST_EVIDENCE],
        "remedy": "`tcpdump -i any -y LINUX_SLL2 -w vxlan.pcap` (the default from 4.99 on) writes the interface of "
        "each record; dumpcap and Wireshark write LINUX_SLL on `any`",
        "unknown": "by which interfaces datagrams came and left, and so whether they took the right one",
    }


def _is_alone(group: Group) -> bool:
    """A first fragment came in alone, or left so although no fragment was lost on the way."""
    ingress, egress = group.route.ingress, group.route.egress
    came = ingress is not None and ingress.form == FIRST_ONLY
    left = egress is not None and egress.form == FIRST_ONLY
    return came or (left and group.outcome != "dropped")
