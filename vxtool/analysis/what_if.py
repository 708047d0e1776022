"""How many packets the same data would have been with another MTU, or without the tunnel.

TCP cuts what it has to send to what fits: full segments are cut anew, with the headers that each of them had, and
smaller ones stay as they are, since nothing more was to be sent just then. Of other protocols the application
decides on the size, so theirs stay too; what does not fit is fragmented. Of all this the sums are a lower bound for
larger MTUs: the data of flows that are alike is put together before it is cut.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, NamedTuple

from vxtool.analysis.sizes import (
    IPV4_HEADER,
    IPV6_FRAGMENT_HEADER,
    IPV6_HEADER,
    TCP_HEADER,
    SuperFrames,
    segment_size,
    tunnel_bytes,
)
from vxtool.engine.tables import TCP, Tables

if TYPE_CHECKING:
    from vxtool.analysis.model import Mtu, Overhead, WhatIf
    from vxtool.engine.answers import LargeRow
    from vxtool.engine.queries import Large

USUAL_MTU, JUMBO_MTU = 1500, 9000


class _Bulk(NamedTuple):
    """Full segments of flows that are alike."""

    data: int  # bytes
    inner_header: int  # of IP and TCP, in each packet
    tunnel: int  # and of the tunnel
    packets: int  # that they were in fact


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


def tell_what_if(
    tables: Tables, large: Large, found: SuperFrames, mtu: Mtu, overhead: Overhead, mtus: Collection[int]
) -> list[WhatIf]:
    """For no tunnel, and for tunnels over an underlay of 1500, of 9000 and of each of `mtus`; nothing without a
    tunnel. `large` and `found` are those of the tunnel's datagrams."""
    bulks, singles = _take_apart(tables, large, found, mtu)
    if not bulks and not singles:
        return []
    usual = _usual_tunnel(tables)
    actual = _as_it_was(bulks, singles, overhead, found)
    underlay = mtu["underlay"] or mtu["underlay_at_least"] or USUAL_MTU
    rows = [_describe("native", underlay, 0, _with_mtu(bulks, singles, underlay, native=True), actual)]
    for each in dict.fromkeys((USUAL_MTU, JUMBO_MTU, *mtus)):
        rows.append(_describe("tunnel", each, usual, _with_mtu(bulks, singles, each, native=False), actual))
    return rows


def count_wire_bytes(tables: Tables, large: Large, found: SuperFrames, mtu: Mtu, overhead: Overhead) -> int:
    """Bytes of IP of all packets of tunnels that crossed the wire, each with all of its headers."""
    return _as_it_was(*_take_apart(tables, large, found, mtu), overhead, found).bytes


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


def _take_apart(tables: Tables, large: Large, found: SuperFrames, mtu: Mtu) -> tuple[list[_Bulk], list[_Single]]:
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
    singles += [_Single(size, usual, count, usual_ipv6, 1) for size, count in sizes.items() if count > 0]
    return bulks, singles


def _full(row: LargeRow, mtu: Mtu) -> int:
    """From which length on a segment is full: nothing larger could have been sent."""
    if row.told_mss:
        return row.told_mss + (IPV6_HEADER if row.ipv6 else IPV4_HEADER) + TCP_HEADER
    return mtu["overlay"] or mtu["largest_inner"] or row.inner


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
    for bulk in bulks:
        headers = bulk.inner_header + (0 if native else bulk.tunnel)
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
