"""What part of all that crosses the wire is the tunnel's.

Three answers, since three things are counted. Of the bytes of IP, the tunnel's headers are a share, and more of it
where fragments repeat some. Of the packets, those are its cost that there would not be if nothing had to be
fragmented. And on an Ethernet each packet takes 38 bytes more, which small packets feel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vxtool.analysis.model import Efficiency, Overhead

# IEEE 802.3: preamble and start of frame 8, header 14, check sequence 4, gap 12. What pads a frame of less than 46
# bytes does not count: a tunnel's packet has more, but for the rest that a last fragment may hold.
FRAMING = 8 + 14 + 4 + 12


def measure_efficiency(overhead: Overhead, wire_bytes: int, segments: int) -> Efficiency:
    """`wire_bytes` are all bytes of IP that crossed the wire, `segments` by how many packets those exceed the
    datagrams because some stand for several."""
    packets, tunnel = overhead["wire_packets"], overhead["wire_overhead_bytes"]
    pieces = max(0, packets - overhead["datagrams"] - segments)
    framed = wire_bytes + packets * FRAMING
    lost = tunnel + pieces * FRAMING
    return {
        "wire_bytes": wire_bytes,
        "percent_of_wire_bytes": percent_of(tunnel, wire_bytes),
        "fragments": pieces,
        "percent_of_wire_packets": percent_of(pieces, packets),
        "ethernet_bytes": framed,
        "ethernet_overhead_bytes": lost,
        "percent_of_ethernet_bytes": percent_of(lost, framed),
    }


def percent_of(part: int, whole: int) -> float | None:
    """In percent; None of nothing."""
    return round(100 * part / whole, 2) if whole else None
