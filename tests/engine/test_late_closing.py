"""A settled journey takes no more sightings once it is due; the C engine closes those that are due by the batch.

What comes between must not show: that the engines agree is checked record by record, and with all of them at once,
in which the C engine closes late. The expected values are counted by hand.
"""

from __future__ import annotations

import pytest
from engine.both import observe
from engine.generate import (
    EN10MB,
    EPOCH,
    SLL2,
    TCP,
    UDP,
    Entry,
    echo,
    ethernet,
    ipv4,
    sll2,
    tcp,
    to_pcap,
    to_pcapng,
    udp,
)

from vxtool.engine.options import EngineOptions
from vxtool.engine.tables import AT_START, Tables

US, MS, S = 1_000, 1_000_000, 1_000_000_000
IN, OUT = 0, 4  # SLL2 packet types
CAME_IN = 1  # direction in pcapng
ONE, OTHER, THIRD = "10.0.0.1", "10.0.0.2", "10.0.0.3"
ARP = 0x0806


def segment(sequence: int, size: int, ttl: int = 64, identification: int = 7, source: str = ONE) -> bytes:
    data = tcp(80, 90, sequence, b"x" * size)
    return ipv4(source, OTHER, TCP, data, ttl=ttl, identification=identification)


def ping(sequence: int, ttl: int = 64) -> bytes:
    return ipv4(THIRD, OTHER, 1, echo(8, sequence), ttl=ttl, identification=sequence)


def on_two_links(packet: bytes, link: int) -> bytes:
    """In Ethernet between other MACs on each link, which then are two places."""
    destination, source = (bytes([2, 0, 0, 0, link, end]) for end in (1, 2))
    return ethernet(packet, destination=destination, source=source)


def seen(*records: tuple[int, bytes], link_type: int = SLL2) -> bytes:
    return to_pcap([Entry(EPOCH + time, data) for time, data in records], link_type)


def datagrams_by_stages(tables: Tables) -> dict[int, int]:
    found: dict[int, int] = {}
    for (_, path), cell in tables.cells.items():
        found[len(path.stages)] = found.get(len(path.stages), 0) + cell.datagrams
    return found


# Where no direction is told, data of another length on the next link may be of a super-frame, if one is close by.
CUT_DOWN = [on_two_links(segment(1, 1000, 64), 1), on_two_links(segment(1, 500, 63), 2)]
SUPER_FRAME = segment(50000, 3000, 64, 9)


def test_a_super_frame_concerns_only_what_closes_behind_it() -> None:
    """Settled at 1 ms, due behind 11 ms: at 20 ms the super-frame is too late."""
    file = seen(
        (0, CUT_DOWN[0]), (MS, CUT_DOWN[1]), (20 * MS, on_two_links(SUPER_FRAME, 1)), link_type=EN10MB
    )
    assert datagrams_by_stages(observe(file)) == {1: 1, 2: 1}
    file = seen((0, CUT_DOWN[0]), (MS, CUT_DOWN[1]), (9 * MS, on_two_links(SUPER_FRAME, 1)), link_type=EN10MB)
    assert datagrams_by_stages(observe(file)) == {1: 3}


def test_a_super_frame_that_goes_round_is_as_old_as_it_was() -> None:
    """It concerns what comes within window and settling time of it, which is 1.01 s, and not of its rounds."""
    rounds = [ipv4_with_ttl(SUPER_FRAME, ttl) for ttl in (64, 60)]
    file = seen(
        (0, on_two_links(rounds[0], 1)),
        (500 * MS, on_two_links(rounds[1], 1)),
        (1011 * MS, CUT_DOWN[0]),
        (1012 * MS, CUT_DOWN[1]),
        (1100 * MS, on_two_links(ping(1), 1)),
        link_type=EN10MB,
    )
    assert datagrams_by_stages(observe(file)) == {1: 2, 2: 1}


def ipv4_with_ttl(packet: bytes, ttl: int) -> bytes:
    return packet[:8] + bytes([ttl]) + packet[9:]


def test_both_sides_of_one_that_waits_take_room() -> None:
    """At 20 ms there are two sides that wait, and three pings: one more than four."""
    file = seen(
        (0, sll2(segment(1, 1000), 1, IN)),
        (1, sll2(segment(1, 500), 1, OUT)),
        (2, sll2(ping(1), 1, IN)),
        (3, sll2(ping(2), 1, IN)),
        (20 * MS, sll2(ping(3), 1, IN)),
    )
    tables = observe(file, EngineOptions(most_journeys=4))
    assert tables.counters.evicted_journeys == 1


def test_each_is_counted_once_among_those_without_room() -> None:
    """Of four, one may wait undecided and two may wait for pieces. The first ping waits undecided, THIRD's segment
    for pieces, and two pings are closed to make room: four. Both sides of the next segment wait too, which makes
    three: all are decided, of which two were not among those before."""
    file = seen(
        (0, sll2(ping(1), 1, OUT)),
        (1, sll2(segment(1, 500, source=THIRD), 1, OUT)),
        (2, sll2(ping(2), 1, IN)),
        (3, sll2(ping(3), 1, IN)),
        (4, sll2(ping(4), 1, IN)),
        (5, sll2(segment(1, 1000), 1, IN)),
        (6, sll2(segment(1, 500), 1, OUT)),
        (50, sll2(bytes(28), 1, IN, ARP)),
        (1003, sll2(bytes(28), 1, IN, ARP)),
    )
    tables = observe(file, EngineOptions(window=1000, settle=10, most_journeys=4))
    assert tables.counters.evicted_journeys == 6


def test_steps_of_the_timeline_are_as_wide_as_when_a_journey_closed() -> None:
    """Two pings that only came in, once where it is told and once where not, 1 ms apart: in two steps of a timeline
    that has room for one. That its steps are wider later is no matter."""
    pings = [
        Entry(EPOCH + at + apart, ethernet(ping(number, ttl)), direction=direction)
        for number, at in ((1, 0), (2, MS))
        for apart, ttl, direction in ((0, 63, CAME_IN), (US, 64, 0))
    ]
    behind = [
        Entry(EPOCH + at, ethernet(bytes(28), ARP), direction=CAME_IN) for at in (1050 * US, 300 * MS, 3000 * S)
    ]
    options = EngineOptions(window=100 * US, settle=10 * US, most_rows=1)
    tables = observe(to_pcapng(pings + behind, EN10MB), options)
    assert tables.counters.folded_details == 1


@pytest.mark.parametrize("earlier", [0, S])
def test_the_start_is_what_it_was_when_a_journey_closed(earlier: int) -> None:
    """What only went out, and had settled: near the start, which an earlier record behind it moves away."""
    went_out = [
        Entry(EPOCH, ethernet(ping(1, 64)), direction=2),
        Entry(EPOCH + US, ethernet(ping(1, 63)), direction=0),
    ]
    behind = [
        Entry(EPOCH + 20 * MS, ethernet(bytes(28), ARP), direction=CAME_IN),
        Entry(EPOCH + 20 * MS - earlier, ethernet(bytes(28), ARP), direction=CAME_IN),
    ]
    tables = observe(to_pcapng(went_out + behind, EN10MB), EngineOptions(most_journeys=2))
    assert [path.flags for _, path in tables.cells] == [AT_START]


def test_lengths_that_are_rounded_add_to_those_that_are_not() -> None:
    records = []
    for at, size in enumerate((1024, 1024, 1600)):
        packet = ipv4(ONE, OTHER, UDP, udp(80, 90, bytes(size - 28)), identification=at + 1)
        records.append((at, sll2(packet, 1, IN)))
    assert observe(seen(*records), EngineOptions(most_rows=0)).sizes == {(False, 1024): 3}
