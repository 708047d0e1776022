"""What an engine is told before the first byte, and how much of what it may keep."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from vxtool.engine.wears import GENEVE, VXLAN, VXLAN_GPE

DEFAULT_PORTS: Mapping[int, int] = {8472: VXLAN, 4789: VXLAN, 4790: VXLAN_GPE, 6081: GENEVE}

DEFAULT_MEMORY = 1 << 30
LEAST_MEMORY = 128 << 20

# What a process takes before the first record, its buffers and code, and a report without rows.
_BASE = 64 << 20

# Bytes that one item may take of the C engine, with all that hangs on it at worst: its share of hash tables while
# they grow, what closing, folding and asking need for it, and what the report makes of it.
#   journey: 256 of its own, 64 in rings, 32 in the index, 24 at the end; 150 where it waits as loose
#   fragment: a group is 64, 32 in the ring, 32 in the index, 32 of its pieces; a tail 40
#   flow: 128, and 1.5 cells of 128; 40 in indexes; 64 of gaps in one of eight; 44 for folding. What answers need is
#     there by then: journeys are gone
#   tunnel: 112 and 64 twice; 8 KiB of ports in one of four; 2 KB as a row of the report
#   place: an interface has 200 bytes of places, and 1 KB as a row of the report
#   path: 700, 8 KB of exact latencies, 30 KB of its histogram
#   row: of sizes, timeline and so on: 56 each in six tables, and 300 as a row in Python
# The plain engine takes about so many times as much: it is given so many times fewer.
_JOURNEY, _FRAGMENT, _FLOW, _TUNNEL, _PLACE, _PATH, _ROW = 530, 160, 460, 4600, 1500, 40_000, 1200
_PLAIN = 8


class EngineOptions(NamedTuple):
    """How records become journeys, and how much is kept. Times are ns of capture time.

    Whatever a capture holds, tables stay within these limits, and each has a defined answer to more:

    - `most_journeys`: the oldest open one closes early, and is counted as it is by then
      (`Counters.evicted_journeys`); one with more than two sightings counts as four. Of all, at most half wait for
      the pieces of their super-frames, and a quarter for the end of the capture.
    - `most_fragments`: groups of fragments, and tails without their first: the oldest groups end early, and what
      follows of them counts as orphaned (`Counters.evicted_fragments`)
    - `most_flows`: the smallest and longest idle half is folded into coarser rows, see `native/fold.h`
      (`Counters.folded_flows`). All cells together are at most half as many more, and one for each path. One flow
      in eight may have gaps in its sequence space; of others only its ends are kept.
    - `most_tunnels`: packets between other outer addresses are of a tunnel without addresses. Source ports beyond
      twelve are counted for a quarter of them (`Counters.folded_ports`).
    - `most_places`: interfaces, and pairs of MACs where these tell directions: others are of an interface that
      stands for the whole input, or without MACs (`Counters.folded_places`)
    - `most_paths`: others have but their ends, at that interface (`Counters.folded_paths`)
    - `most_rows`: of each table of details (`Counters.folded_details`): sizes and overheads are rounded down to
      powers of two, the timeline loses one-sided destinations, ICMP errors their MTU, large datagrams their flow
      and, twice as many, themselves, first fragments their lengths

    `within` sets those that fit into a given memory.
    """

    inputs: int = 1
    ports: Mapping[int, int] = DEFAULT_PORTS  # UDP destination port -> VXLAN, GENEVE or VXLAN_GPE
    window: int = 1_000_000_000  # how long a journey waits for its next sighting
    settle: int = 10_000_000  # how long one that came in and went out stays open for more stages
    part: bool = False  # not the first part of a capture: what an earlier part may continue is kept for `merge`
    most_journeys: int = 4_000_000
    most_fragments: int = 1_000_000
    most_flows: int = 4_000_000
    most_tunnels: int = 65_536
    most_places: int = 65_536
    most_paths: int = 65_536
    most_rows: int = 65_536
    most_datagrams: int = 0  # listed one by one in `Tables.datagrams`; by themselves none are
    most_sightings: int = 0  # of these, listed in `Tables.sightings`


LISTED_DATAGRAM, LISTED_SIGHTING = 40, 16  # bytes


def most_listed(memory: int) -> int:
    """How many datagrams, and as many sightings, may be listed: in half of what is there beside the program."""
    return (max(memory, LEAST_MEMORY) - _BASE) // 2 // (LISTED_DATAGRAM + LISTED_SIGHTING)


def within(options: EngineOptions, memory: int, engine: str) -> EngineOptions:
    """The same with limits within which the engine of this name stays in so many bytes. The sum of them all, each
    at its worst, is nine tenths of what is there beside the program itself and what is listed."""
    listed = options.most_datagrams * LISTED_DATAGRAM + options.most_sightings * LISTED_SIGHTING
    left = max(memory - listed - _BASE, LEAST_MEMORY // 4)
    if engine == "pure":
        left //= _PLAIN
    return options._replace(
        most_journeys=left * 24 // 100 // _JOURNEY,
        most_fragments=left * 4 // 100 // _FRAGMENT,
        most_flows=left * 48 // 100 // _FLOW,
        most_tunnels=left * 5 // 100 // _TUNNEL,
        most_places=min(left * 3 // 100 // _PLACE, 1 << 16),
        most_paths=left * 6 // 100 // _PATH,
        most_rows=left * 3 // 100 // _ROW,
    )
