"""What of a capture gave way because there was more of it than memory to keep it apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vxtool.engine.tables import ANY_VNI

if TYPE_CHECKING:
    from vxtool.analysis.model import Folded
    from vxtool.engine.tables import Tables


def describe_folded(tables: Tables) -> Folded:
    """Sums stay exact, whatever is folded; this says what they no longer tell apart."""
    counters, queries = tables.counters, tables.queries
    datagrams, octets = queries.folded
    tunnels = queries.tunnels.items()
    tunnelled = sum(row[0] for _, row in tunnels)
    identified = sum(sent.datagrams for (vni, _), sent in queries.sources.items() if vni != ANY_VNI)
    return {
        "flows": counters.folded_flows,
        "datagrams": datagrams,
        "inner_bytes": octets,
        "tunnel_datagrams": sum(row[0] for (source, *_), row in tunnels if not source),
        "identity_datagrams": tunnelled - identified,
        "details": counters.folded_details,
        "interfaces": bool(counters.folded_places),
        "paths": bool(counters.folded_paths),
        "source_ports": bool(counters.folded_ports),
        "evicted_journeys": counters.evicted_journeys,
        "evicted_fragments": counters.evicted_fragments,
    }


def tell_folded(folded: Folded) -> list[str]:
    """What a reader has to know of it, in parts of a sentence; none where nothing was folded."""

    def told(number: int, what: str, plural: str = "") -> str:
        return f"{number:,} {what if number == 1 else plural or what + 's'}"

    parts = []
    if folded["flows"]:
        parts.append(
            f"{told(folded['flows'], 'small flow')} with {told(folded['datagrams'], 'datagram')} of "
            f"{told(folded['inner_bytes'], 'byte')} counted together"
        )
    elif folded["datagrams"]:
        parts.append(f"{told(folded['datagrams'], 'datagram')} counted without their flows")
    if folded["tunnel_datagrams"]:
        parts.append(f"{told(folded['tunnel_datagrams'], 'datagram')} without the addresses of their tunnels")
    if folded["identity_datagrams"]:
        parts.append(f"{told(folded['identity_datagrams'], 'datagram')} without their VNI")
    if folded["evicted_journeys"]:
        parts.append(f"{told(folded['evicted_journeys'], 'datagram')} judged before they had their time to leave")
    if folded["evicted_fragments"]:
        parts.append(
            f"fragments of {told(folded['evicted_fragments'], 'datagram')} no longer waited for"
        )
    if folded["details"]:
        parts.append(f"sizes, or destinations in time, of {told(folded['details'], 'datagram')} rounded")
    if folded["interfaces"]:
        parts.append("some interfaces or MACs not told apart")
    if folded["paths"]:
        parts.append("some paths without their interfaces")
    if folded["source_ports"]:
        parts.append("source ports of some tunnels not counted beyond twelve")
    return parts
