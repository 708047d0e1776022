"""How many packets the same data would have been with another MTU, or without the tunnel.

TCP cuts what it has to send to what fits: full segments are cut anew, with the headers that each of them had, and
smaller ones stay as they are, since nothing more was to be sent just then. Of other protocols the application
decides on the size, so theirs stay too; what does not fit is fragmented. Full segments that had to be fragmented
are fragmented still where they do not fit, since those who sent them did not know better, and are cut anew where
they do. Of all this the sums are a lower bound for larger MTUs: the data of flows that are alike is put together
before it is cut.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from vxtool.analysis.sizes import (
    IPV4_HEADER,
    IPV6_FRAGMENT_HEADER,
    IPV6_HEADER,
    TCP_HEADER,
    SuperFrames,
    full_length,
    headers_inside,
    segment_size,
    tunnel_bytes,
)
from vxtool.engine.tables import TCP, Tables

if TYPE_CHECKING:
    from vxtool.analysis.model import Mtu, Overhead, WhatIf
    from vxtool.analysis.outcomes import Group
    from vxtool.engine.answers import LargeRow, TopFlow
    from vxtool.engine.queries import Bundles, Large

USUAL_MTU, JUMBO_MTU = 1500, 9000
_JUMBO_OPTION = 8
_MOST_FLOWS = 1000  # in fragments, whose full segments are told from other packets: those with the most bytes


class _Bulk(NamedTuple):
    """Full segments of flows that are alike."""

    data: int  # bytes
    inner_header: int  # of IP and TCP, in each packet
    tunnel: int  # and of the tunnel
    packets: int  # that they were in fact
    fragmented: Sequence[_Single] = ()  # the same, where they had to be fragmented


class _Single(NamedTuple):
    """Datagrams of one size."""

    inner: int
    tunnel: int
    datagrams: int
    outer_ipv6: bool
    packets: int  # that each of them was in fact, where it stood for several; else 1


class _Total(NamedTuple):
    packets: int
    bytes: int  # of IP, each packet with all of its headers


class WhatCrossed:
    """All that crossed the wire in tunnels, in pieces that another MTU would have cut in another way."""

    def __init__(
        self,
        tables: Tables,
        large: Large,
        found: SuperFrames,
        mtu: Mtu,
        overhead: Overhead,
        fragmented: Sequence[TopFlow],
    ) -> None:
        """`large` and `found` are those of the tunnel's datagrams; `fragmented`: see `flows_in_fragments`."""
        self.tables = tables
        self.mtu = mtu
        self.bulks, self.singles = _take_apart(tables, large, found, mtu, fragmented)
        self.total = _as_it_was(self.bulks, self.singles, overhead, found)


def tell_what_if(crossed: WhatCrossed, mtus: Collection[int]) -> list[WhatIf]:
    """For no tunnel, and for tunnels over an underlay of 1500, of 9000 and of each of `mtus`; nothing without a
    tunnel."""
    bulks, singles, actual, mtu = crossed.bulks, crossed.singles, crossed.total, crossed.mtu
    if not bulks and not singles:
        return []
    usual = _usual_tunnel(crossed.tables)
    least = mtu["underlay_at_least"] or 0
    underlay = mtu["underlay"] or (least if mtu["underlay_at_most"] else max(least, USUAL_MTU))
    rows = [_describe("native", underlay, 0, _with_mtu(bulks, singles, underlay, native=True), actual)]
    for each in dict.fromkeys((USUAL_MTU, JUMBO_MTU, *mtus)):
        rows.append(_describe("tunnel", each, usual, _with_mtu(bulks, singles, each, native=False), actual))
    return rows


def flows_in_fragments(bundles: Bundles, groups: Collection[Group]) -> list[TopFlow]:
    """The flows of tunnels of which the sender, or this machine, had to fragment packets; of each only those."""
    numbers = [
        item.number
        for group in groups
        if group.route.tunnelled and group.route.fragmented_at_source
        for item in group.items
    ]
    return bundles.top(numbers, _MOST_FLOWS)[0] if numbers else []


def _describe(kind: str, underlay: int, tunnel: int, total: _Total, actual: _Total) -> WhatIf:
    return {
        "tunnel": kind == "tunnel",
        "underlay": underlay,
        "inner": underlay - tunnel,
        "packets": total.packets,
        "bytes": total.bytes,
        "percent_of_packets": round(100 * total.packets / actual.packets, 2),
        "percent_of_bytes": round(100 * total.bytes / actual.bytes, 2),
    }


def _take_apart(
    tables: Tables, large: Large, found: SuperFrames, mtu: Mtu, fragmented: Sequence[TopFlow]
) -> tuple[list[_Bulk], list[_Single]]:
    sizes = Counter({size: count for (inside, size), count in tables.sizes.items() if inside})
    usual, usual_ipv6 = _usual_tunnel(tables), _mostly_ipv6(tables)
    bulks, singles = [], []
    for number, row in enumerate(large.rows):
        if not row.tunnelled:
            continue
        sizes[row.inner] -= row.datagrams
        is_super = number in found.rows
        tunnel, header = row.outer - row.inner, row.inner - row.payload
        segment = segment_size(row, 0, found.largest_mss).size if is_super else row.payload
        packets = max(1, -(-row.payload // max(1, segment)))
        if is_super and _has_jumbo_option(row, header):
            header -= _JUMBO_OPTION
        if row.protocol == TCP and row.payload > 0 and (is_super or row.inner >= _full(row, mtu)):
            bulks.append(_Bulk(row.payload * row.datagrams, header, tunnel, packets * row.datagrams))
        else:
            singles.append(_Single(row.inner, tunnel, row.datagrams, tunnel >= 70, packets))
    for number, bundle in zip(found.cut, found.cut_bundles, strict=True):  # whose packets were seen to leave
        tunnel, more = tunnel_bytes(bundle), bundle.wire_packets - bundle.datagrams
        header = (bundle.wire_bytes - bundle.outer_bytes) // more - tunnel
        data = bundle.inner_bytes - bundle.datagrams * header
        if number in found.cut_udp:  # all of the bundle together
            whole = data + bundle.wire_packets * header
            singles.append(_Single(whole, tunnel, 1, tunnel >= 70, bundle.wire_packets))
        else:
            bulks.append(_Bulk(data, header, tunnel, bundle.wire_packets))
    bulks += [bulk for flow in fragmented if (bulk := _fragmented_bulk(flow, sizes)) is not None]
    singles += [_Single(size, usual, count, usual_ipv6, 1) for size, count in sizes.items() if count > 0]
    return bulks, singles


def _has_jumbo_option(row: LargeRow, header: int) -> bool:
    """Whether a super-frame of IPv6 says its length in an option (RFC 2675), which its segments do not need."""
    is_long = row.protocol == TCP and row.ipv6 and row.inner > IPV6_HEADER + 0xFFFF
    return is_long and header == IPV6_HEADER + TCP_HEADER + row.options + _JUMBO_OPTION


def _full(row: LargeRow, mtu: Mtu) -> int:
    """From which length on a segment is full: nothing larger could have been sent."""
    told = full_length(row.told_mss, row.ipv6) if row.told_mss else 0
    if mtu["underlay"] and mtu["underlay_at_most"]:
        # Where a link carries less than both ends told, they learn of it by ICMP.
        fits = mtu["underlay"] - (row.outer - row.inner)
        return min(told or fits, fits)
    return told or mtu["overlay"] or mtu["largest_inner"] or row.inner


def _fragmented_bulk(top: TopFlow, sizes: Counter[int]) -> _Bulk | None:
    """The full segments of a flow of TCP that were fragmented; they are taken out of `sizes`.

    How many datagrams of which length a flow has in fragments is not counted: those nearest to their average, none
    of which is far from it, since all of them are more than one packet holds and no more than a segment does.
    """
    if top.flow.protocol != TCP or top.row is None:
        return None
    count = sum(share.datagrams for share in top.shares)
    average = sum(share.inner_bytes for share in top.shares) / count
    told = [row.mss for row in (top.row, top.reverse) if row is not None and row.mss]
    ipv6 = len(top.flow.source) == 16
    full = full_length(min(told), ipv6) if told else 0
    tunnel = sum(share.outer_bytes - share.inner_bytes for share in top.shares) // count
    pieces = []
    for size in sorted(sizes, key=lambda size: (abs(size - average), size)):
        taken = min(count, max(0, sizes[size]))
        count -= taken
        if taken and size >= full:
            sizes[size] -= taken
            pieces.append(_Single(size, tunnel, taken, tunnel >= 70, 1))
        if not count:
            break
    header = headers_inside(top.flow, top.row.options)
    packets = sum(one.datagrams for one in pieces)
    data = sum(one.datagrams * (one.inner - header) for one in pieces)
    return _Bulk(data, header, tunnel, packets, pieces) if pieces and data > 0 else None


def _as_it_was(
    bulks: Collection[_Bulk], singles: Collection[_Single], overhead: Overhead, found: SuperFrames
) -> _Total:
    """What crossed the wire in fact: fragments one by one, super-frames as their segments."""
    size = sum(bulk.data + bulk.packets * (bulk.inner_header + bulk.tunnel) for bulk in bulks)
    size += sum(one.datagrams * (one.inner + one.packets * one.tunnel) for one in singles)
    fragments = overhead["wire_overhead_bytes"] - overhead["overhead_bytes"] - found.extra_overhead
    fragments -= sum(tunnel_bytes(one) * (one.wire_packets - one.datagrams) for one in found.cut_bundles)
    return _Total(max(1, overhead["wire_packets"]), size + fragments)


def _with_mtu(bulks: Collection[_Bulk], singles: Collection[_Single], underlay: int, native: bool) -> _Total:
    packets = size = 0
    singles = list(singles)
    for bulk in bulks:
        tunnel = 0 if native else bulk.tunnel
        if any(one.inner + tunnel > underlay for one in bulk.fragmented):
            singles += bulk.fragmented
            continue
        headers = bulk.inner_header + tunnel
        count = -(-bulk.data // max(1, underlay - headers))
        packets += count
        size += bulk.data + count * headers
    for one in singles:
        tunnel = 0 if native else one.tunnel
        if one.packets > 1:
            count, each = one.packets, one.inner + one.packets * tunnel
        else:
            count, each = _fragmented(one.inner + tunnel, underlay, one.outer_ipv6 and not native)
        packets += count * one.datagrams
        size += each * one.datagrams
    return _Total(packets, size)


def _fragmented(length: int, mtu: int, ipv6: bool) -> tuple[int, int]:
    """How many packets an IP packet of `length` bytes is with this MTU, and how many bytes they have together."""
    if length <= mtu:
        return 1, length
    header = IPV6_HEADER + IPV6_FRAGMENT_HEADER if ipv6 else IPV4_HEADER
    payload = length - (IPV6_HEADER if ipv6 else IPV4_HEADER)
    room = max(8, (mtu - header) // 8 * 8)
    # The last one need not be a multiple of 8.
    count = 1 + max(0, -(-(payload - (mtu - header)) // room))
    return count, payload + count * header


def _usual_tunnel(tables: Tables) -> int:
    """What most datagrams of this capture cost."""
    counts: Mapping[int, int] = tables.overheads
    return max(counts, key=lambda size: (counts[size], size), default=50)


def _mostly_ipv6(tables: Tables) -> bool:
    return _usual_tunnel(tables) >= 70
