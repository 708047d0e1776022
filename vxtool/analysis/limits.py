"""Which MTU the path has, and what says so.

A capture tells it in several ways, none of them complete: a links file knows this machine's links alone; a message
that a packet was too big names a link's MTU; whoever fragments fills the first fragment, but for up to 7 bytes; a
packet that left in one piece fitted; and what the pods believe stands in the MSS of their SYNs.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

from vxtool.analysis.knowledge import Knowledge, address_text
from vxtool.analysis.outcomes import Group
from vxtool.engine.tables import OUT, PLAIN, WHOLE, InterfaceKey, Tables

if TYPE_CHECKING:
    from vxtool.engine.answers import Bundle

# Linux believes no less (net/ipv4/route.c, ip_rt_min_pmtu).
LEAST_TOLD = 552

_LINKS, _TUNNEL, _WIREGUARD, _TAG = (1500, 9000), (50, 70), (60, 80), 4


class Limit(NamedTuple):
    """One piece of evidence: the MTU is at least, or at most, so large."""

    source: Literal["links", "too-big", "fragments", "largest-packet", "mss"]
    of: Literal["underlay", "pods"]
    at_least: int | None
    at_most: int | None
    text: str


def tell_limits(
    tables: Tables,
    groups: Sequence[Group],
    knowledge: Knowledge,
    tunnelled: bool,
    links: Mapping[str, int],
    super_frames: Collection[int],
) -> list[Limit]:
    """All of them; `links` are the MTUs of the links that this traffic crossed, by name, `super_frames` the lengths
    of what stands for several packets."""
    limits = []
    if links:
        smallest = min(links.values())
        where = ", ".join(sorted(label for label, mtu in links.items() if mtu == smallest))
        limits.append(Limit("links", "underlay", smallest, smallest, f"links file: {where} {smallest}"))
    limits += _told(tables, tunnelled)
    limits += _by_fragments(tables, knowledge, tunnelled)
    limits += _by_largest(groups, super_frames, tunnelled)
    for (inside, ipv6, mss), flows in sorted(tables.queries.told_mss.items()):
        if inside == tunnelled:
            mtu = mss + (60 if ipv6 else 40)
            text = f"MSS {mss} over {'IPv6' if ipv6 else 'IPv4'} in the SYNs of {flows} flow{'s' * (flows != 1)}"
            limits.append(Limit("mss", "pods", mtu, mtu, text))
    return limits


def tightest(limits: Sequence[Limit]) -> Limit | None:
    """The one that leaves the underlay the least, as far as any says how large it is at most."""
    bounds = [limit for limit in limits if limit.of == "underlay" and limit.at_most is not None]
    return min(bounds, key=lambda limit: (limit.at_most or 0, -(limit.at_least or 0)), default=None)


def told_mtus(tables: Tables, tunnelled: bool) -> dict[int, list[bytes]]:
    """Who said of packets of this scope that they were too big for which MTU."""
    told: dict[int, list[bytes]] = {}
    for key in tables.too_big:
        if key.mtu >= LEAST_TOLD and key.quoted_source and not key.tunnelled and (key.wear != PLAIN) == tunnelled:
            senders = told.setdefault(key.mtu, [])
            if key.source not in senders:
                senders.append(key.source)
    return told


def longest_fragments(tables: Tables, tunnelled: bool) -> dict[tuple[InterfaceKey, int], int]:
    """The longest first fragment by interface and direction, as IP length."""
    longest: dict[tuple[InterfaceKey, int], int] = {}
    for key in tables.fragments:
        if (key.wear != PLAIN) == tunnelled:
            stage = key.interface, key.direction
            longest[stage] = max(longest.get(stage, 0), key.length)
    return longest


def nested(mtu: int) -> str | None:
    """What an MTU that no link has by itself is what is left of; None where nothing usual fits."""
    for link in _LINKS:
        less = link - mtu
        for headers in _TUNNEL:
            if less in (headers, 2 * headers, 3 * headers):
                times = ("", "two tunnels of ", "three tunnels of ")[less // headers - 1]
                less_text = f"{mtu:,} is {link:,} less {times}{headers} bytes"
                return f"{less_text}, as where the nodes are on an overlay themselves"
        if less in _WIREGUARD:
            return f"{mtu:,} is {link:,} less the {less} bytes of WireGuard"
        if less == _TAG:
            return f"{mtu:,} is {link:,} less a VLAN tag of {less} bytes"
    return None


def passed_whole(groups: Sequence[Group], tunnelled: bool) -> Iterator[Bundle]:
    """Of what was seen to come in and to leave in one piece."""
    for group in groups:
        route = group.route
        whole = route.ingress is not None and route.egress is not None
        if route.tunnelled != tunnelled or group.outcome != "forwarded" or not whole:
            continue
        if route.resegmented or any(stage.form != WHOLE for stage in route.stages):
            continue
        for item in group.items:
            yield item.bundle


def _told(tables: Tables, tunnelled: bool) -> list[Limit]:
    return [
        Limit(
            "too-big",
            "underlay",
            mtu,
            mtu,
            f"{address_text(senders[0])}{' and others' * (len(senders) > 1)} by ICMP: no more than {mtu} fit",
        )
        for mtu, senders in sorted(told_mtus(tables, tunnelled).items())
    ]


def _by_fragments(tables: Tables, knowledge: Knowledge, tunnelled: bool) -> list[Limit]:
    limits = []
    for (key, direction), length in sorted(longest_fragments(tables, tunnelled).items()):
        label = knowledge.interface(key, tables).label or "an unnamed interface"
        way = "out" if direction == OUT else "in"
        text = f"fragments of {length} bytes {way} by {label}: cut for {length} to {length + 7}"
        limits.append(Limit("fragments", "underlay", length, length + 7, text))
    return limits


def _by_largest(groups: Sequence[Group], super_frames: Collection[int], tunnelled: bool) -> list[Limit]:
    largest = 0
    for bundle in passed_whole(groups, tunnelled):
        if bundle.largest not in super_frames:
            headers = (bundle.outer_bytes - bundle.inner_bytes) // bundle.datagrams
            largest = max(largest, bundle.largest + headers)
    if not largest:
        return []
    return [Limit("largest-packet", "underlay", largest, None, f"a packet of {largest} bytes passed in one piece")]
