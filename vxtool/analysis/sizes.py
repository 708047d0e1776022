"""What the tunnel costs, and what the packets' sizes say of the MTU.

A record may be a super-frame: segmentation offload hands the tap one packet for many. What is one is told by the
MTU of the link that it came in by, where the operator's files give it; else by the MSS that the two ends agreed on,
else by the largest MSS seen at all. The number of packets it stood for follows from the flow's segment size.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, NamedTuple

from vxtool.analysis.conversations import TCP, Conversations
from vxtool.analysis.knowledge import Knowledge
from vxtool.analysis.outcomes import RESEGMENTED, Group, Judged
from vxtool.engine.tables import FIRST_ONLY, PLAIN, FlowKey, Tables

if TYPE_CHECKING:
    from vxtool.analysis.model import Mtu, Overhead

IPV4_HEADER, IPV6_HEADER, TCP_HEADER, UDP_HEADER = 20, 40, 20, 8
IPV6_FRAGMENT_HEADER = 8
TIMESTAMPS = 12  # the TCP option of RFC 7323 with its padding
USUAL_OVERHEAD = 50
# Without any MTU or MSS to go by: the longest packet that links in the field carry unsegmented.
LARGEST_JUMBO = 9216

SIZE_EDGES = (64, 128, 256, 512, 768, 1024, 1280, 1400, 1450, 1500, 2048, 4096, 9000, 16384, 32768, 65535)

_TOO_BIG = {(4, 3, 4), (6, 2, 0)}  # IP version, ICMP type, code: RFC 1191, RFC 4443


class SegmentSize(NamedTuple):
    size: int
    estimated: bool


class SuperFrames:
    """The super-frames among the unfragmented datagrams of a scope."""

    def __init__(self) -> None:
        self.datagrams = 0
        self.extra_packets: dict[FlowKey, int] = defaultdict(int)
        self.extra_overhead = 0
        self.estimated = False
        self.sizes: Counter[int] = Counter()  # inner length -> datagrams
        self.segments: dict[FlowKey, tuple[int, int]] = {}  # payload of a full one, and its headers

    def packets_of(self, item: Judged) -> int:
        """How many packets these datagrams were on the wire, at least; 0 where none is a super-frame."""
        if item.cell.largest not in self.sizes or item.flow not in self.segments:
            return 0
        payload, headers = self.segments[item.flow]
        return -(-(item.cell.inner_bytes - item.cell.datagrams * headers) // payload)


def find_super_frames(
    tables: Tables,
    groups: Iterable[Group],
    conversations: Conversations,
    knowledge: Knowledge,
    tunnelled: bool,
) -> SuperFrames:
    wanted = {flow for flow, *_ in tables.large if (flow.vni >= 0) == tunnelled}
    mtus = _mtu_by_flow(tables, groups, knowledge, wanted) if wanted else {}
    found = SuperFrames()
    large: list[tuple[FlowKey, int, int, int, int]] = []
    ordinary: dict[FlowKey, int] = {}  # flow -> payload of its largest packet that is one on the wire too
    for (flow, outer, inner, payload), datagrams in tables.large.items():
        if (flow.vni >= 0) != tunnelled or payload <= 0:
            continue
        mtu = mtus.get(flow)
        mss = min(conversations.told_mss(flow), default=conversations.largest_mss(tunnelled))
        if mtu is not None:
            is_super = outer > mtu
        elif mss:
            is_super = inner > mss + _ip_header(flow) + TCP_HEADER
        else:
            is_super = outer > LARGEST_JUMBO
        if is_super:
            large.append((flow, outer, inner, payload, datagrams))
        else:
            ordinary[flow] = max(payload, ordinary.get(flow, 0))
    for flow, outer, inner, payload, datagrams in large:
        inner_mtu = mtus.get(flow, 0) - (outer - inner)
        segment = segment_size(tables, conversations, flow, inner_mtu, ordinary.get(flow, 0))
        packets = max(1, -(-payload // segment.size))
        found.datagrams += datagrams
        found.extra_packets[flow] += (packets - 1) * datagrams
        found.extra_overhead += (packets - 1) * datagrams * (outer - inner)
        found.estimated |= segment.estimated
        found.sizes[inner] += datagrams
        found.segments[flow] = (segment.size, inner - payload)
    return found


def segment_size(
    tables: Tables, conversations: Conversations, flow: FlowKey, inner_mtu: int, ordinary: int
) -> SegmentSize:
    """Bytes of payload in a full segment of this flow.

    `inner_mtu` where positive is what the link carries; `ordinary` is the payload of the flow's largest packet
    that is no super-frame, 0 where there is none. An MSS limits what the *other* side sends, so one SYN alone is
    an upper bound only.
    """
    header = _ip_header(flow)
    if flow.protocol != TCP:
        return SegmentSize(max(1, (inner_mtu if inner_mtu > 0 else 1450) - header - UDP_HEADER), estimated=True)
    row = tables.flows.get(flow)
    options = TIMESTAMPS if row is not None and row.options >= TIMESTAMPS else 0
    told = conversations.told_mss(flow)
    if told:
        size = max(1, min(told) - options)
        if len(told) > 1:
            return SegmentSize(size, estimated=False)
        return SegmentSize(min(size, ordinary or size), estimated=True)
    if inner_mtu > 0:
        return SegmentSize(max(1, inner_mtu - header - TCP_HEADER - options), estimated=True)
    mss = conversations.largest_mss(flow.vni >= 0) or 1450 - header - TCP_HEADER
    return SegmentSize(max(1, mss - options), estimated=True)


def measure_overhead(tables: Tables, groups: Sequence[Group], found: SuperFrames) -> Overhead:
    """The tunnel's cost: once for each datagram, and for each packet that crossed the wire."""
    datagrams = inner = outer = packets = wire = 0
    # What was cut or joined on its way is counted as it came in and as it left: nothing tells them apart yet.
    estimated = found.estimated or any(group.route.tunnelled and group.reason == RESEGMENTED for group in groups)
    for group in groups:
        if not group.route.tunnelled:
            continue
        datagrams += group.datagrams
        inner += sum(item.cell.inner_bytes for item in group.items)
        outer += sum(item.cell.outer_bytes for item in group.items)
        packets += sum(item.cell.wire_packets for item in group.items)
        if group.route.measured.form == FIRST_ONLY:
            # The tails were not captured: at least one more packet, with an IP header of its own.
            packets += group.datagrams
            estimated = True
            for item in group.items:
                cell = item.cell
                wire += cell.outer_bytes - cell.inner_bytes + cell.datagrams * _fragment_header(tables, item.flow)
        else:
            for item in group.items:
                cell = item.cell
                if cell.wire_bytes < cell.outer_bytes:
                    # Where a tail was lost on the way to the capture, less is there than the headers claim.
                    estimated = True
                    wire += cell.outer_bytes - cell.inner_bytes
                else:
                    wire += cell.wire_bytes - cell.inner_bytes
    overhead = outer - inner
    return {
        "datagrams": datagrams,
        "wire_packets": packets + sum(found.extra_packets.values()),
        "wire_packets_estimated": estimated,
        "inner_bytes": inner,
        "outer_bytes": outer,
        "overhead_bytes": overhead,
        "wire_overhead_bytes": wire + found.extra_overhead,
        "bytes_per_packet": {str(size): count for size, count in sorted(tables.overheads.items())},
        "percent_of_outer": round(100 * overhead / outer, 2) if outer else None,
    }


def measure_mtu(
    tables: Tables, groups: Sequence[Group], found: SuperFrames, knowledge: Knowledge, tunnelled: bool
) -> Mtu:
    sizes = Counter({size: count for (inside, size), count in tables.sizes.items() if inside == tunnelled})
    sizes.subtract(found.sizes)
    sizes = +sizes
    told = {row.mss for flow, row in tables.flows.items() if row.mss and (flow.vni >= 0) == tunnelled}
    underlay, underlay_evidence = _underlay(tables, groups, knowledge, tunnelled)
    overlay, overlay_evidence = _overlay(tables, groups, underlay, tunnelled)
    if underlay is None and overlay is not None and tunnelled and not _has_fragments(groups):
        underlay = overlay + _usual_overhead(tables)
        underlay_evidence = f"the overlay MTU of {overlay} and the tunnel's {underlay - overlay} bytes"
    return {
        "underlay": underlay,
        "overlay": overlay,
        "underlay_evidence": underlay_evidence,
        "overlay_evidence": overlay_evidence,
        "largest_inner": max(sizes, default=None),
        "at_overlay": None if overlay is None else sizes[overlay],
        "over_overlay": None if overlay is None else sum(count for size, count in sizes.items() if size > overlay),
        "super_frames": found.datagrams,
        "packet_too_big": sum(count for key, count in tables.icmp_error_counts.items() if key[1:4] in _TOO_BIG),
        "mss": [{"value": mss, "segments": count} for mss, count in sorted(tables.mss.items()) if mss in told],
        "inner_sizes": [{"up_to": edge, "datagrams": count} for edge, count in _bins(sizes, overlay)],
    }


def _bins(sizes: Counter[int], overlay: int | None) -> list[tuple[int, int]]:
    """Counts up to each edge, from the first that has any to the last; the overlay MTU is an edge."""
    if not sizes:
        return []
    edges = sorted({*SIZE_EDGES, *([overlay] if overlay else [])})
    largest = max(sizes)
    if largest > edges[-1]:
        edges.append(largest)
    counts = [0] * len(edges)
    for size, count in sizes.items():
        counts[next(at for at, edge in enumerate(edges) if size <= edge)] += count
    filled = [at for at, count in enumerate(counts) if count]
    return list(zip(edges, counts, strict=True))[filled[0] : filled[-1] + 1]


def _underlay(
    tables: Tables, groups: Sequence[Group], knowledge: Knowledge, tunnelled: bool
) -> tuple[int | None, str | None]:
    """The smallest MTU among the links that this traffic crossed."""
    known = link_mtus(tables, groups, knowledge, tunnelled)
    if not known:
        return None, None
    smallest = min(known.values())
    where = ", ".join(sorted(label for label, mtu in known.items() if mtu == smallest))
    return smallest, f"links file: {where} {smallest}"


def link_mtus(tables: Tables, groups: Iterable[Group], knowledge: Knowledge, tunnelled: bool) -> dict[str, int]:
    """The MTUs of the links that this traffic crossed, by interface, as far as the operator's files tell them."""
    known: dict[str, int] = {}
    for route in {id(group.route): group.route for group in groups}.values():
        if route.tunnelled != tunnelled:
            continue
        for stage in (route.ingress, route.egress, *route.via):
            if stage is None or stage.loopback or (tunnelled and stage.wear == PLAIN):
                continue
            name = knowledge.interface(stage.interface, tables)
            if name.mtu is not None:
                known[name.label or "?"] = name.mtu
    return known


def _overlay(
    tables: Tables, groups: Sequence[Group], underlay: int | None, tunnelled: bool
) -> tuple[int | None, str | None]:
    """The largest inner packet that the underlay carries in one piece; else what the pods' MSS says they use."""
    if not tunnelled:
        return None, None
    if underlay is not None:
        overhead = _usual_overhead(tables)
        return underlay - overhead, f"the underlay MTU of {underlay} less {overhead} bytes of tunnel headers"
    if _has_fragments(groups):
        return None, None
    told: Counter[int] = Counter()
    for flow, row in tables.flows.items():
        if row.mss and flow.vni >= 0:
            told[row.mss + _ip_header(flow) + TCP_HEADER] += 1
    if not told:
        return None, None
    mtu, flows = max(told.items(), key=lambda entry: (entry[1], entry[0]))
    return mtu, f"the MSS in the SYNs of {flows} flow{'s' if flows != 1 else ''}"


def _usual_overhead(tables: Tables) -> int:
    """What most datagrams of this capture cost: it differs with the IP version and VLAN tags."""
    counts = tables.overheads
    return max(counts, key=lambda size: (counts[size], size)) if counts else USUAL_OVERHEAD


def _has_fragments(groups: Sequence[Group]) -> bool:
    """Whether packets of the pods' size did not fit: then their MSS tells nothing of what the underlay carries."""
    return any(
        group.route.tunnelled
        and (
            group.route.fragmented_at_source
            or (group.route.has_fragments and any(item.fragmented_by_router for item in group.items))
        )
        for group in groups
    )


def _mtu_by_flow(
    tables: Tables, groups: Iterable[Group], knowledge: Knowledge, wanted: AbstractSet[FlowKey]
) -> dict[FlowKey, int]:
    """The MTU of the link where each of these flows was measured."""
    mtus: dict[FlowKey, int] = {}
    for group in groups:
        mtu = knowledge.interface(group.route.measured.interface, tables).mtu
        if mtu is None:
            continue
        for item in group.items:
            if item.flow in wanted:
                mtus[item.flow] = max(mtu, mtus.get(item.flow, 0))
    return mtus


def _ip_header(flow: FlowKey) -> int:
    return IPV6_HEADER if len(flow.source) == 16 else IPV4_HEADER


def _fragment_header(tables: Tables, flow: FlowKey) -> int:
    row = tables.flows.get(flow)
    if row is not None and len(row.outer_source) == 16:
        return IPV6_HEADER + IPV6_FRAGMENT_HEADER
    return IPV4_HEADER
