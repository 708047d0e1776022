"""What the tunnel costs, and what the packets' sizes say of the MTU.

A record may be a super-frame: segmentation offload hands the tap one packet for many. What is one is told by the
MTU of the link that it came in by, where the operator's files give it, and by the MSS that the two ends agreed on,
which may be that of a smaller link; where neither is known by the largest MSS seen at all, and in a capture without
any SYN by the length that its full segments have. The number of packets it stood for follows from the flow's
segment size.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from vxtool.analysis.knowledge import Knowledge
from vxtool.analysis.limits import Limit, passed_whole, tell_limits, tightest
from vxtool.analysis.outcomes import RESEGMENTED, Group, Judged
from vxtool.analysis.second_thoughts import largest_mss
from vxtool.engine.answers import Wanted
from vxtool.engine.tables import FIRST_ONLY, OF_UDP, PLAIN, SEGMENTED, TCP, FlowKey, PathKey, Tables

if TYPE_CHECKING:
    from vxtool.analysis.model import Mtu, Overhead
    from vxtool.engine.answers import Bundle, LargeRow, Share
    from vxtool.engine.queries import Large, Queries

IPV4_HEADER, IPV6_HEADER, TCP_HEADER, UDP_HEADER = 20, 40, 20, 8
IPV6_FRAGMENT_HEADER = 8
TIMESTAMPS = 12  # the TCP option of RFC 7323 with its padding
USUAL_OVERHEAD = 50
# Without any MTU or MSS to go by: the longest packet that links in the field carry unsegmented.
LARGEST_JUMBO = 9216
USUAL_LARGEST = 1500

SIZE_EDGES = (64, 128, 256, 512, 768, 1024, 1280, 1400, 1450, 1500, 2048, 4096, 9000, 16384, 32768, 65535)

TOO_BIG = {(4, 3, 4), (6, 2, 0)}  # IP version, ICMP type, code: RFC 1191, RFC 4443


# So many datagrams of one size are full segments: data that happens to be of one length is not so regular. But
# super-frames may be, where the sender paces them: the size is to be that of a usual or a jumbo link.
LEAST_FULL = 10
SMALLEST_JUMBO = 8800


class SegmentSize(NamedTuple):
    size: int
    estimated: bool


class FullSegments(NamedTuple):
    """What the segments of TCP themselves tell, where no SYN does."""

    mss: int  # that of a SYN for such segments
    inner: int  # length of the IP packet
    datagrams: int


class SuperFrames:
    """The super-frames among the unfragmented datagrams of a scope.

    `rows` are those of `large` that are; `largest_mss` is the largest that any flow of the scope told. `cut` are
    bundles of those whose packets were seen to leave: the engine has counted these, and none of them is in `large`.
    `cut_udp` are the numbers of those of UDP.
    `extra_packets` and `extra_overhead` are of `rows` alone, `segments` of both: by how many packets these exceed
    the datagrams. `full` takes the place of `largest_mss` where that is 0.
    """

    def __init__(
        self,
        large: Large,
        rows: AbstractSet[int],
        largest_mss: int,
        cut: Sequence[Judged] = (),
        full: FullSegments | None = None,
        doubtful: bool = False,
    ) -> None:
        self._large = large
        self.rows = rows
        self.full = full
        self.largest_mss = largest_mss or (full.mss if full else 0)
        self.cut = [item.number for item in cut]
        self.cut_bundles = [item.bundle for item in cut]
        self.cut_udp = {item.number for item in cut if item.route.flags & OF_UDP}
        self.datagrams = sum(item.bundle.datagrams for item in cut)
        self.extra_packets = 0
        self.extra_overhead = 0
        self.doubtful = doubtful  # whether some of the other large records are super-frames too
        self.estimated = doubtful
        self.of_udp = any(large.rows[number].protocol != TCP for number in rows)
        self.sizes: Counter[int] = Counter()  # inner length -> datagrams
        for (number, ordinary), datagrams in (large.beside(rows) if rows else {}).items():
            row = large.rows[number]
            segment = self._segment_size(row, ordinary)
            extra = (_packets(row.payload, segment) - 1) * datagrams
            self.datagrams += datagrams
            self.extra_packets += extra
            self.extra_overhead += extra * (row.outer - row.inner)
            self.estimated |= segment.estimated
            self.sizes[row.inner] += datagrams
        self.segments = self.extra_packets + sum(
            bundle.wire_packets - bundle.datagrams for bundle in self.cut_bundles
        )

    @cached_property
    def flows(self) -> object:
        """Those that sent any, for `Wanted`."""
        return self._large.flows(self.rows)

    def cells_of(self, bundles: Collection[int]) -> Wanted:
        """The cells of these bundles that hold super-frames: each one's largest datagram is of such a length."""
        return Wanted(bundles, flows=self.flows, among=self.sizes.keys())

    def extra_packets_of(self, flows: Collection[FlowKey]) -> dict[FlowKey, int]:
        """How many more packets than records these flows were on the wire, as far as they have super-frames."""
        extra: dict[FlowKey, int] = {}
        for flow, parts in (self._large.of(flows) if self.rows else {}).items():
            ordinary = self._ordinary(parts)
            for number, datagrams in parts:
                if number in self.rows:
                    row = self._large.rows[number]
                    packets = _packets(row.payload, self._segment_size(row, ordinary))
                    extra[flow] = extra.get(flow, 0) + (packets - 1) * datagrams
        return extra

    def packets_of(self, shares: Sequence[Share]) -> list[int]:
        """How many packets the datagrams of each of these cells were on the wire, at least."""
        large = self._large.of({share.flow for share in shares})
        packets = []
        for share in shares:
            parts = large[share.flow]
            row = self._large.rows[next(number for number, _ in reversed(parts) if number in self.rows)]
            payload = self._segment_size(row, self._ordinary(parts)).size
            packets.append(-(-(share.inner_bytes - share.datagrams * (row.inner - row.payload)) // payload))
        return packets

    def largest_packets(self, flows: Collection[FlowKey]) -> dict[FlowKey, int]:
        """The length of the largest inner packet that each of these flows put on the wire, of those that have
        datagrams above LARGE: of a super-frame that of a full segment."""
        largest: dict[FlowKey, int] = {}
        for flow, parts in self._large.of(flows).items():
            ordinary = self._ordinary(parts)
            for number, _ in parts:
                row = self._large.rows[number]
                payload = row.payload
                if number in self.rows:
                    payload = min(payload, self._segment_size(row, ordinary).size)
                largest[flow] = max(row.inner - row.payload + payload, largest.get(flow, 0))
        return largest

    def _ordinary(self, parts: Sequence[tuple[int, int]]) -> int:
        return max((self._large.rows[number].payload for number, _ in parts if number not in self.rows), default=0)

    def _segment_size(self, row: LargeRow, ordinary: int) -> SegmentSize:
        return segment_size(row, ordinary, self.largest_mss)


def _packets(payload: int, segment: SegmentSize) -> int:
    return max(1, -(-payload // segment.size))


def find_super_frames(queries: Queries, large: Large, groups: Iterable[Group], tunnelled: bool) -> SuperFrames:
    """`large` has for limits the MTUs of the links where its paths were measured."""
    cut = [
        item
        for group in groups
        if group.route.flags & SEGMENTED and group.route.tunnelled == tunnelled
        for item in group.items
    ]
    rows = [
        (number, row) for number, row in enumerate(large.rows) if row.tunnelled == tunnelled and row.payload > 0
    ]
    told = largest_mss(queries, tunnelled) if rows else 0
    full = None if told else find_full_segments([row for _, row in rows if row.limit < 0])
    mss = told or (full.mss if full else 0)
    found = {number for number, row in rows if _is_super(row, mss)}
    doubtful = not mss and any(
        row.protocol == TCP and row.limit < 0 and row.outer > USUAL_LARGEST and number not in found
        for number, row in rows
    )
    return SuperFrames(large, found, told, cut, full, doubtful)


def find_full_segments(rows: Collection[LargeRow]) -> FullSegments | None:
    """Many datagrams of TCP of one length, and none of more; or if there are, most of these stand for several: they
    hold a multiple of the data. On a larger link they would be of any length, or many of its own."""
    counts: Counter[int] = Counter()
    lengths: dict[int, int] = {}
    data = [row for row in rows if row.protocol == TCP and row.outer <= LARGEST_JUMBO]
    for row in data:
        if USUAL_LARGEST < row.outer < SMALLEST_JUMBO:
            continue
        mss = row.payload + _timestamps(row)
        counts[mss] += row.datagrams
        lengths[mss] = max(row.inner, lengths.get(mss, 0))
    for mss, datagrams in sorted(counts.items()):
        if datagrams < LEAST_FULL:
            continue
        larger = [(row, mss - _timestamps(row)) for row in data if row.payload + _timestamps(row) > mss]
        multiples = sum(row.datagrams for row, size in larger if row.payload % size == 0)
        if 2 * multiples >= sum(row.datagrams for row, _ in larger):
            return FullSegments(mss, lengths[mss], datagrams)
    return None


def _timestamps(row: LargeRow) -> int:
    return TIMESTAMPS if row.options >= TIMESTAMPS else 0


def _is_super(row: LargeRow, largest_mss: int) -> bool:
    agreed = row.protocol == TCP and row.both_told and row.inner > full_length(row.told_mss, row.ipv6)
    if row.limit >= 0:
        return row.outer > row.limit or agreed
    if row.segment:
        return row.payload > row.segment
    if mss := row.told_mss or largest_mss:
        return row.inner > full_length(mss, row.ipv6)
    return row.outer > LARGEST_JUMBO


def full_length(mss: int, ipv6: bool) -> int:
    """Of the IP packet that a full segment is."""
    return mss + _ip_header(ipv6) + TCP_HEADER


def segment_size(row: LargeRow, ordinary: int, largest_mss: int) -> SegmentSize:
    """Bytes of payload in a full segment of these super-frames' flows.

    `ordinary` is the payload of the flow's largest packet that is no super-frame, 0 where there is none;
    `largest_mss` is that of all flows. Of UDP, others of the flow that were seen to be cut tell it. An MSS limits
    what the *other* side sends, so one SYN alone is an upper bound only.
    """
    header = _ip_header(row.ipv6)
    inner_mtu = max(row.limit, 0) - (row.outer - row.inner)  # where positive what the link carries
    if row.segment:
        return SegmentSize(row.segment, estimated=False)
    if row.protocol != TCP:
        full = max(1, (inner_mtu if inner_mtu > 0 else 1450) - header - UDP_HEADER)
        return SegmentSize(ordinary or full, estimated=True)
    options = _timestamps(row)
    if row.told_mss:
        size = max(1, row.told_mss - options)
        if row.both_told:
            return SegmentSize(size, estimated=False)
        return SegmentSize(min(size, ordinary or size), estimated=True)
    if inner_mtu > 0:
        return SegmentSize(max(1, inner_mtu - header - TCP_HEADER - options), estimated=True)
    return SegmentSize(max(1, (largest_mss or 1450 - header - TCP_HEADER) - options), estimated=True)


def tunnel_bytes(bundle: Bundle | Share) -> int:
    """What the tunnel adds to each of these datagrams; on average, where they differ in that."""
    return (bundle.outer_bytes - bundle.inner_bytes) // bundle.datagrams


def measure_overhead(tables: Tables, groups: Sequence[Group], found: SuperFrames) -> Overhead:
    """The tunnel's cost: once for each datagram, and for each packet that crossed the wire."""
    datagrams = inner = outer = packets = wire = 0
    # What was cut or joined on its way and could not be followed is counted as it came in and as it left.
    estimated = found.estimated or any(group.route.tunnelled and group.reason == RESEGMENTED for group in groups)
    for group in groups:
        if not group.route.tunnelled:
            continue
        datagrams += group.datagrams
        for bundle in (item.bundle for item in group.items):
            inner += bundle.inner_bytes
            outer += bundle.outer_bytes
            packets += bundle.wire_packets
            if group.route.measured.form == FIRST_ONLY:
                # The tails were not captured: at least one more packet, with an IP header of its own.
                packets += bundle.datagrams
                estimated = True
                wire += bundle.outer_bytes - bundle.inner_bytes
                wire += bundle.datagrams * fragment_header(bundle.source)
            elif group.route.flags & SEGMENTED:
                wire += tunnel_bytes(bundle) * bundle.wire_packets
            else:
                # Where a tail was lost on the way to the capture, less is there than the headers claim.
                estimated |= bundle.wire_bytes < bundle.whole_bytes
                wire += bundle.whole_bytes - bundle.inner_bytes
    overhead = outer - inner
    return {
        "datagrams": datagrams,
        "wire_packets": packets + found.extra_packets,
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
    links = link_mtus(tables, groups, knowledge, tunnelled)
    limits = tell_limits(tables, groups, knowledge, tunnelled, links, found.sizes)
    tight = tightest(limits)
    told = {mss for inside, _, mss in tables.queries.told_mss if inside == tunnelled}
    underlay, underlay_evidence = _underlay(limits, tunnelled)
    passed = max((limit.at_least or 0 for limit in limits if limit.source == "largest-packet"), default=0)
    overlay, overlay_evidence = _overlay(tables, groups, underlay, tunnelled)
    if overlay is None and underlay is None and tunnelled and not _has_fragments(groups):
        overlay, overlay_evidence = _overlay_by_size(groups, sizes, found.full)
    if underlay is None and overlay is not None and tunnelled and not _has_fragments(groups):
        underlay = overlay + _usual_overhead(tables)
        underlay_evidence = f"the overlay MTU of {overlay} and the tunnel's {underlay - overlay} bytes"
    return {
        "underlay": underlay,
        "underlay_at_least": tight.at_least if tight is not None else (0 if found.doubtful else passed) or None,
        "underlay_at_most": tight.at_most if tight is not None else None,
        "overlay": overlay,
        "underlay_evidence": underlay_evidence,
        "overlay_evidence": overlay_evidence,
        "largest_inner": max(sizes, default=None),
        "at_overlay": None if overlay is None else sizes[overlay],
        "over_overlay": None if overlay is None else sum(count for size, count in sizes.items() if size > overlay),
        "super_frames": found.datagrams,
        "packet_too_big": sum(count for key, count in tables.icmp_error_counts.items() if key[1:4] in TOO_BIG),
        "mss": [{"value": mss, "segments": count} for mss, count in sorted(tables.mss.items()) if mss in told],
        "inner_sizes": [{"up_to": edge, "datagrams": count} for edge, count in _bins(sizes, overlay)],
        "evidence": [limit._asdict() for limit in limits],  # type: ignore[misc]
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


def _underlay(limits: Sequence[Limit], tunnelled: bool) -> tuple[int | None, str | None]:
    """The smallest MTU among the links that this traffic crossed; without a links file, what ICMP tells of it."""
    told = [limit for limit in limits if limit.source == "links" or (tunnelled and limit.source == "too-big")]
    return (told[0].at_most, told[0].text) if told else (None, None)


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
    for (inside, ipv6, mss), flows in tables.queries.told_mss.items():
        if inside:
            told[mss + _ip_header(ipv6) + TCP_HEADER] += flows
    if not told:
        return None, None
    mtu, flows = max(told.items(), key=lambda entry: (entry[1], entry[0]))
    return mtu, f"the MSS in the SYNs of {flows} flow{'s' if flows != 1 else ''}"


def _overlay_by_size(
    groups: Sequence[Group], sizes: Mapping[int, int], full: FullSegments | None
) -> tuple[int | None, str | None]:
    """Full segments that passed, alone or several in one record, tell the pods' MTU as their SYNs would."""
    if full is None or full.inner < max(sizes, default=0):
        return None, None
    if all(bundle.largest < full.inner for bundle in passed_whole(groups, tunnelled=True)):
        return None, None
    return full.inner, f"{full.datagrams:,} segments of TCP of just this size, and nothing larger"


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


def measured_mtus(tables: Tables, groups: Iterable[Group], knowledge: Knowledge) -> dict[PathKey, int]:
    """The MTU of the link where the journeys of each path were measured, as far as it is known."""
    mtus: dict[PathKey, int] = {}
    for group in groups:
        mtu = knowledge.interface(group.route.measured.interface, tables).mtu
        if mtu is not None:
            mtus |= {item.bundle.path: mtu for item in group.items}
    return mtus


def _ip_header(ipv6: bool) -> int:
    return IPV6_HEADER if ipv6 else IPV4_HEADER


def fragment_header(outer_source: bytes) -> int:
    return IPV6_HEADER + IPV6_FRAGMENT_HEADER if len(outer_source) == 16 else IPV4_HEADER


def headers_inside(flow: FlowKey, options: int) -> int:
    """Bytes of IP and transport headers in each packet of a flow that has data, as `options` of TCP go with it."""
    transport = TCP_HEADER + options if flow.protocol == TCP else UDP_HEADER
    return _ip_header(len(flow.source) == 16) + transport
