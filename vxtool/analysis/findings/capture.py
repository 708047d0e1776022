"""Findings on the capture itself: what it cannot show."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from vxtool.analysis.findings.evidence import MOST_EVIDENCE, Case, number
from vxtool.analysis.findings.explanation import Explanation
from vxtool.analysis.outcomes import (
    EGRESS_NOT_CAPTURED,
    INGRESS_NOT_CAPTURED,
    NO_DIRECTION,
    RESEGMENTED,
    Group,
)
from vxtool.engine.tables import FIRST_ONLY, UNKNOWN

if TYPE_CHECKING:
    from vxtool.analysis.model import Finding

# What a filter on the tunnel's port hides: later fragments, which have no UDP header, and the router's ICMP errors.
_BESIDE_PORTS = "icmp or icmp6 or (ip[6:2] & 0x1fff != 0) or ip6[6]=44"
_WHOLE_SNAPLEN = 65535  # from here on a snaplen is no choice of the operator's


EXPLANATIONS = {
    "capture.truncated": Explanation(
        summary="a capture file is cut short or damaged",
        cause="The program that captured was killed, the disk was full, or the file was copied while it was still "
        "being written.",
        proof="The file ends inside a record, or holds bytes that are no record. What came before is counted.",
        remedy="Stop tcpdump with Ctrl-C or SIGTERM and let it finish writing (`-U` writes each packet at once), "
        "check the disk's free space, and copy the file again.",
        unknown="What the missing part held.",
    ),
    "capture.clipped": Explanation(
        summary="records hold fewer bytes than their packets had",
        cause="The capture was taken with a snap length (`tcpdump -s`).",
        proof="Records whose captured length is below their original length. Where only payload is missing this is "
        "for information, and no count is affected; it is a warning where headers are cut off.",
        remedy="Capture with `-s 256`, which holds all headers of a tunnel packet, or `-s 0` for whole packets.",
        unknown="What the packets held behind the cut.",
    ),
    "capture.one-sided": Explanation(
        summary="datagrams were seen on one side only, so whether they were lost cannot be told",
        cause="Not all interfaces were captured, only one direction was (`tcpdump -Q in`), or the capture does not "
        "tell which way a packet went.",
        proof="Datagrams seen once whose other side was not watched, or without a direction.",
        remedy="Capture on all interfaces at once, `tcpdump -i any -w vxlan.pcap`, or one file for each interface; "
        "give `--links` with the router's `ip -j addr`, whose MACs tell the directions.",
        unknown="Whether these datagrams were forwarded or dropped.",
    ),
    "capture.super-frames": Explanation(
        summary="records stand for several packets on the wire",
        cause="Segmentation offload (GSO, TSO, GRO, BIG TCP) hands the capture one large packet that the network "
        "card cuts, or has put together.",
        proof="Records larger than the MTU of their link or than the connection's MSS allows. It is a warning "
        "where the router cut them into other segments than they came in, since those are not followed.",
        remedy="Nothing is wrong. For one record a packet, capture after "
        "`ethtool -K INTERFACE tso off gso off gro off tx-udp_tnl-segmentation off`.",
        unknown="How the card cut them: packets on the wire are counted from the MSS of both SYNs, and estimated "
        "where those were not captured.",
    ),
    "capture.fragments-hidden": Explanation(
        summary="first fragments were captured without those that follow",
        cause="A filter on ports cannot match later fragments, which have no UDP header; or the capture lost them.",
        proof="First fragments of datagrams of which nothing else was seen.",
        remedy="Capture with a filter that lets fragments and ICMP errors pass: "
        "`tcpdump -i any 'udp port 8472 or icmp or icmp6 or (ip[6:2] & 0x1fff != 0) or ip6[6]=44'`.",
        unknown="How many packets crossed the wire, and whether the other fragments were passed on.",
    ),
}


def find(case: Case) -> Iterator[Finding]:
    yield from _truncated(case)
    yield from _clipped(case)
    yield from _one_sided(case)
    yield from _super_frames(case)
    yield from _fragments_hidden(case)


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
        "severity": "warning",
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
    # The records of these are super-frames for sure; else the first of a flow, which may have been small.
    proof = case.earliest(cells._replace(smallest_too=True), "{flow}, {size} bytes inside")
    evidence = proof or case.starts(cells, "{flow}: packets of {size} bytes inside, from here on")
    unknown = "how the card cut them: packets on the wire are " + (
        "estimated, since not both SYNs told the segment size" if found.estimated else "counted from the flow's MSS"
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
        "evidence": evidence,
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
        ports = sorted({port for *_, port in case.tables.queries.tunnels})
        wanted = " or ".join([*(f"udp port {port}" for port in ports), _BESIDE_PORTS])
        remedy = "a filter on ports cannot match later fragments: capture with " + (
            f"`tcpdump -i any '{wanted}'`" if ports else "`tcpdump -i any`, without one"
        )
    yield {
        "id": "capture.fragments-hidden",
        "severity": "warning",
        "title": title,
        "count": count,
        "evidence": case.samples(items, "{flow}, {size} bytes inside: a first fragment alone"),
        "remedy": remedy,
        "unknown": "how many packets crossed the wire, and whether the other fragments were passed on",
    }


def _is_alone(group: Group) -> bool:
    """A first fragment came in alone, or left so although no fragment was lost on the way."""
    ingress, egress = group.route.ingress, group.route.egress
    came = ingress is not None and ingress.form == FIRST_ONLY
    left = egress is not None and egress.form == FIRST_ONLY
    return came or (left and group.outcome != "dropped")
