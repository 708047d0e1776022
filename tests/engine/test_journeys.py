"""The rules of sightings and journeys, one example each: records in, the path that they make out.

A path is written as the stages in order of arrival: "in 2 vxlan > out 3 vxlan", with the interface's number (or the
input's, where the link header has none), how it was seen if not whole, and the path's flags behind it.
"""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import pytest
from engine.generate import (
    EN10MB,
    EPOCH,
    IPV6,
    SLL,
    SLL2,
    TCP,
    UDP,
    Entry,
    address,
    echo,
    ethernet,
    fragment_header,
    geneve,
    icmp,
    ipv4,
    ipv6,
    mss,
    sll,
    sll2,
    tcp,
    to_pcap,
    udp,
    vxlan,
)

from vxtool.capture import Interface, PcapngWriter
from vxtool.engine import make_engine
from vxtool.engine.options import EngineOptions
from vxtool.engine.tables import (
    AT_END,
    AT_START,
    LOOPED,
    NON_IP,
    OTHER_FLOWS,
    OVERTAKEN,
    PARTIAL,
    TRANSLATED,
    VXLAN,
    WEAR_NAMES,
    FlowKey,
    PathKey,
    Sample,
    Tables,
)

US, MS = 1_000, 1_000_000
IN, OUT, FOREIGN = 0, 4, 3  # SLL and SLL2 packet types
POD, PEER = "172.20.0.107", "172.20.2.4"
NODE, FAR = "192.168.10.100", "192.168.20.100"
FLAGS = {
    PARTIAL: "partial",
    TRANSLATED: "translated",
    LOOPED: "looped",
    AT_END: "at end",
    AT_START: "at start",
    OVERTAKEN: "overtaken",
}


def ping(sequence: int = 1, *, ttl: int = 64, identification: int = 7, size: int = 56, tos: int = 0) -> bytes:
    packet = bytearray(
        ipv4(POD, PEER, 1, echo(2900, sequence, bytes(size)), ttl=ttl, identification=identification)
    )
    packet[1] = tos
    return bytes(packet)


def outer(
    inner: bytes,
    *,
    ttl: int = 64,
    identification: int = 0x1111,
    source: str = NODE,
    vni: int = 36705,
    port: int = 51213,
) -> bytes:
    """An inner IP packet in Ethernet, VXLAN, UDP and IPv4: 50 bytes more."""
    return ipv4(
        source, FAR, UDP, udp(port, 8472, vxlan(vni, ethernet(inner))), ttl=ttl, identification=identification
    )


def fragments(packet: bytes, *sizes: int) -> list[bytes]:
    """An IPv4 packet without options, cut behind so many payload bytes each."""
    payload, pieces, start = packet[20:], [], 0
    for size in (*sizes, len(packet)):
        stop = min(start + size, len(payload))
        more = stop < len(payload)
        head = bytearray(packet[:20])
        head[2:4] = (20 + stop - start).to_bytes(2, "big")
        head[6:8] = ((0x2000 if more else 0) | start // 8).to_bytes(2, "big")
        pieces.append(bytes(head) + payload[start:stop])
        start = stop
    return pieces


def far_later(interface: int = 9) -> tuple[int, bytes]:
    """An unrelated record 5 s later, so that the capture does not end close to what is looked at."""
    return 5_000_000_000, sll2(ipv4("9.9.9.9", "8.8.8.8", UDP, udp(1, 2, b"far")), interface, FOREIGN)


def observe(
    *records: tuple[int, bytes], link_type: int = SLL2, later: bool = True, options: EngineOptions | None = None
) -> Tables:
    """The tables of records given as (time after the epoch, frame), in one capture."""
    entries = [Entry(EPOCH + time, data) for time, data in records]
    if later and link_type == SLL2:
        time, data = far_later()
        entries.append(Entry(EPOCH + time, data))
    return observe_files(to_pcap(entries, link_type), options=options)


def observe_files(*files: bytes, options: EngineOptions | None = None) -> Tables:
    engine = make_engine(options or EngineOptions(inputs=len(files)))
    for index, file in enumerate(files):
        engine.feed(index, file)
        engine.end(index)
    return engine.tables()


def paths(tables: Tables) -> dict[str, int]:
    """Datagrams by path, without the unrelated record's."""
    found: dict[str, int] = {}
    for (flow, path), cell in tables.cells.items():
        if flow.source != bytes([9, 9, 9, 9]):
            found[show(path)] = found.get(show(path), 0) + cell.datagrams
    return found


def show(path: PathKey) -> str:
    words = []
    for stage in path.stages:
        direction = ("unknown", "in", "out", "foreign", "broadcast", "multicast")[stage.direction]
        number, source, _ = stage.interface
        place = number if number >= 0 else source if source >= 0 else "any"
        form = ("", " fragments", " first-only")[stage.form]
        words.append(f"{direction} {place} {WEAR_NAMES[stage.wear]}{form}")
    flags = ", ".join(name for flag, name in FLAGS.items() if path.flags & flag)
    return " > ".join(words) + (f" [{flags}]" if flags else "")


def latencies(tables: Tables) -> dict[str, list[int] | None]:
    return {show(path): row.exact for path, row in tables.latencies.items()}


pytestmark = pytest.mark.usefixtures("engine")

THROUGH = "in 2 vxlan > out 3 vxlan"


# Through a router.


def test_a_datagram_in_and_out_is_one_journey() -> None:
    tables = observe((0, sll2(outer(ping()), 2, IN)), (16 * US, sll2(outer(ping(), ttl=63), 3, OUT)))
    assert paths(tables) == {THROUGH: 1}
    assert latencies(tables) == {THROUGH: [16_000]}
    (key, cell) = next((key, cell) for key, cell in tables.cells.items() if key[0].vni == 36705)
    assert key[0] == FlowKey(36705, 1, address(POD), 2900, address(PEER), -1)
    # An inner packet of 20 + 8 + 56 bytes; outside 14 + 8 + 8 + 20 more.
    assert (cell.inner_bytes, cell.outer_bytes, cell.wire_packets, cell.wire_bytes) == (84, 134, 1, 134)
    assert tables.overheads == {50: 1}
    assert cell.samples == [Sample(EPOCH, 0, 1)]
    assert cell.egress_packets == 1


def test_hops_may_change_ttl_and_type_of_service_of_what_is_plain() -> None:
    tables = observe((0, sll2(ping(ttl=64), 2, IN)), (5, sll2(ping(ttl=63, tos=0x13), 3, OUT)))
    assert paths(tables) == {"in 2 plain > out 3 plain": 1}


@pytest.mark.parametrize(
    "other",
    [
        ping(2),
        ping(identification=8),
        ping(size=55),
        ipv4(POD, PEER, 1, echo(2900, 1, b"x" * 56), identification=7),
    ],
    ids=["icmp sequence", "identification", "length", "payload"],
)
def test_what_no_hop_may_change_tells_datagrams_apart(other: bytes) -> None:
    tables = observe((0, sll2(outer(ping()), 2, IN)), (16 * US, sll2(outer(other), 3, OUT)))
    assert paths(tables) == {"in 2 vxlan": 1, "out 3 vxlan [at start]": 1}


def test_equal_inner_packets_are_told_apart_by_the_outer_identification() -> None:
    tables = observe(
        (0, sll2(outer(ping(), identification=1), 2, IN)), (5, sll2(outer(ping(), identification=2), 3, OUT))
    )
    assert paths(tables) == {"in 2 vxlan": 1, "out 3 vxlan [at start]": 1}


def test_an_outer_identification_of_0_says_nothing() -> None:
    tables = observe(
        (0, sll2(outer(ping(), identification=1), 2, IN)), (5, sll2(outer(ping(), identification=0), 3, OUT))
    )
    assert paths(tables) == {THROUGH: 1}


def test_a_bridge_and_its_port_give_one_journey_of_more_stages() -> None:
    packet = outer(ping())
    stages = [(2, IN), (7, IN), (7, OUT), (3, OUT)]
    tables = observe(*((10 * US * n, sll2(packet, index, kind)) for n, (index, kind) in enumerate(stages)))
    path = "in 2 vxlan > in 7 vxlan > out 7 vxlan > out 3 vxlan"
    assert paths(tables) == {path: 1}
    assert latencies(tables) == {path: [30_000]}  # the first In to the last Out


def test_a_node_that_encapsulates_is_measured_where_the_tunnel_is() -> None:
    tables = observe((0, sll2(ping(), 11, IN)), (9 * US, sll2(outer(ping(ttl=63)), 2, OUT)))
    assert paths(tables) == {"in 11 plain > out 2 vxlan": 1}
    assert tables.overheads == {50: 1}
    assert [key[0].vni for key in tables.cells].count(36705) == 1


@pytest.mark.parametrize("later", [True, False])
def test_a_complete_decapsulation_is_complete_at_the_end_too(later: bool) -> None:
    """What leaves is 50 bytes shorter than what came in, and yet nothing is missing."""
    tables = observe((0, sll2(outer(ping()), 2, IN)), (9 * US, sll2(ping(ttl=63), 11, OUT)), later=later)
    assert paths(tables) == {"in 2 vxlan > out 11 plain": 1}


def test_a_router_that_rewrites_outer_addresses_is_translated() -> None:
    tables = observe(
        (0, sll2(outer(ping()), 2, IN)), (5, sll2(outer(ping(), source="203.0.113.9", port=1024), 3, OUT))
    )
    assert paths(tables) == {f"{THROUGH} [translated]": 1}


def test_copies_out_of_several_interfaces_are_one_journey() -> None:
    packet = ipv4(POD, "239.1.1.1", UDP, udp(5, 6, b"to many"), identification=3)
    tables = observe((0, sll2(packet, 2, 2)), (5, sll2(packet, 3, OUT)), (6, sll2(packet, 4, OUT)))
    assert paths(tables) == {"multicast 2 plain > out 3 plain > out 4 plain": 1}


def test_what_is_not_addressed_to_this_host_came_in_as_foreign() -> None:
    assert paths(observe((0, sll2(outer(ping()), 2, FOREIGN)))) == {"foreign 2 vxlan": 1}


def test_loopback_is_told_by_its_hardware_type() -> None:
    tables = observe((0, sll2(ping(), 1, IN, arphrd=772)))
    assert [path.stages[0].loopback for flow, path in tables.cells if flow.protocol == 1] == [True]


def test_without_interfaces_stages_are_in_and_out_alone() -> None:
    tables = observe((0, sll(ping(), IN)), (5, sll(ping(ttl=63), OUT)), link_type=SLL)
    assert paths(tables) == {"in any plain > out any plain": 1}


# Loops, losses, waiting times.


def test_the_same_stage_with_a_lower_ttl_is_a_loop() -> None:
    laps = [(0, 2, IN, 64), (5, 3, OUT, 63), (10, 2, IN, 62), (15, 3, OUT, 61), (20, 2, IN, 60)]
    tables = observe(*((time, sll2(outer(ping(), ttl=ttl), index, kind)) for time, index, kind, ttl in laps))
    assert paths(tables) == {f"{THROUGH} [looped]": 1}


def test_the_same_stage_with_the_same_ttl_is_another_datagram() -> None:
    tables = observe((0, sll2(outer(ping()), 2, IN)), (5, sll2(outer(ping()), 2, IN)))
    assert paths(tables) == {"in 2 vxlan": 2}


def test_after_a_loss_a_sighting_continues_the_newest() -> None:
    """Identifications that wrap within the window: joining the oldest would shift every pair that follows."""
    lost, passed = (0, sll2(ping(), 2, IN)), (500 * MS, sll2(ping(), 2, IN))
    tables = observe(lost, passed, (500 * MS + 7, sll2(ping(ttl=63), 3, OUT)))
    assert paths(tables) == {"in 2 plain": 1, "in 2 plain > out 3 plain": 1}
    assert latencies(tables) == {"in 2 plain > out 3 plain": [7]}


def test_wrapping_identifications_stay_paired_after_a_loss() -> None:
    records = [(0, sll2(ping(), 2, IN))]
    for lap in range(1, 6):
        at = lap * 100 * MS
        records += [(at, sll2(ping(), 2, IN)), (at + lap, sll2(ping(ttl=63), 3, OUT))]
    tables = observe(*records)
    assert latencies(tables) == {"in 2 plain > out 3 plain": [1, 2, 3, 4, 5]}
    assert paths(tables) == {"in 2 plain": 1, "in 2 plain > out 3 plain": 5}


@pytest.mark.parametrize(("wait", "joined"), [(10 * MS, True), (10 * MS + 1, False)])
def test_a_settled_journey_takes_stages_for_10_ms_more(wait: int, joined: bool) -> None:
    packet = outer(ping())
    tables = observe((0, sll2(packet, 2, IN)), (5, sll2(packet, 7, OUT)), (5 + wait, sll2(packet, 3, OUT)))
    first = "in 2 vxlan > out 7 vxlan"
    assert paths(tables) == ({f"{first} > out 3 vxlan": 1} if joined else {first: 1, "out 3 vxlan": 1})


@pytest.mark.parametrize(("wait", "joined"), [(1000 * MS, True), (1000 * MS + 1, False)])
def test_a_journey_waits_a_second_for_its_egress(wait: int, joined: bool) -> None:
    tables = observe((0, sll2(outer(ping()), 2, IN)), (wait, sll2(outer(ping()), 3, OUT)))
    assert paths(tables) == ({THROUGH: 1} if joined else {"in 2 vxlan": 1, "out 3 vxlan": 1})


def test_one_wild_timestamp_closes_what_is_open_and_no_more() -> None:
    packet = outer(ping())
    tables = observe(
        (0, sll2(outer(ping(2)), 2, IN)),
        (10**18, sll2(ping(9), 2, IN)),
        (10, sll2(packet, 2, IN)),
        (20, sll2(packet, 3, OUT)),
    )
    assert paths(tables)[THROUGH] == 1
    assert tables.counters.time_reversed == 1


# The ends of the capture.


@pytest.mark.parametrize(("left", "at_end"), [(MS, True), (MS + 1, False)])
def test_what_came_in_shortly_before_the_end_may_have_gone_out_after_it(left: int, at_end: bool) -> None:
    tables = observe((0, sll2(outer(ping()), 2, IN)), (left, sll2(outer(ping(2)), 2, FOREIGN)), later=False)
    assert paths(tables) == {f"in 2 vxlan{' [at end]' * at_end}": 1, "foreign 2 vxlan [at end]": 1}


def test_the_end_is_as_long_as_the_longest_latency() -> None:
    slow = [(0, sll2(outer(ping()), 2, IN)), (40 * MS, sll2(outer(ping()), 3, OUT))]
    lost = [(n * 100 * MS, sll2(outer(ping(n)), 2, IN)) for n in (7, 8)]
    tables = observe(*slow, *lost, (840 * MS, sll2(outer(ping(9)), 2, IN)), later=False)
    assert paths(tables) == {THROUGH: 1, "in 2 vxlan": 1, "in 2 vxlan [at end]": 2}


def test_a_partial_egress_at_the_end_may_go_on_after_it() -> None:
    first, _ = fragments(outer(ping(size=400)), 240)
    tables = observe((0, sll2(outer(ping(size=400)), 2, IN)), (5, sll2(first, 3, OUT)), later=False)
    assert paths(tables) == {"in 2 vxlan > out 3 vxlan first-only [partial, at end]": 1}


@pytest.mark.parametrize(("start", "at_start"), [(MS, True), (MS + 1, False)])
def test_what_went_out_right_after_the_start_may_have_come_in_before_it(start: int, at_start: bool) -> None:
    tables = observe((0, sll2(outer(ping(2)), 2, IN)), (start, sll2(outer(ping()), 3, OUT)))
    assert paths(tables) == {"in 2 vxlan": 1, f"out 3 vxlan{' [at start]' * at_start}": 1}


# Fragments.


def test_fragments_of_an_outer_datagram_come_in_any_order() -> None:
    pieces = fragments(outer(ping(size=400)), 240, 120)
    for order in permutations(range(3)):
        came = [(n, sll2(pieces[at], 2, IN)) for n, at in enumerate(order)]
        left = [(10 + n, sll2(pieces[at], 3, OUT)) for n, at in enumerate(reversed(order))]
        tables = observe(*came, *left)
        # Whatever came first leaves last, so that the first fragment is overtaken here or there.
        assert paths(tables) == {"in 2 vxlan fragments > out 3 vxlan fragments [overtaken]": 1}
        (cell,) = (cell for (flow, _), cell in tables.cells.items() if flow.vni == 36705)
        # An inner packet of 428, outside 478 in one piece; in three, two more headers of 20.
        assert (cell.datagrams, cell.inner_bytes, cell.outer_bytes) == (1, 428, 478)
        assert (cell.wire_packets, cell.wire_bytes, cell.egress_packets) == (3, 518, 3)
        assert tables.counters.tail_fragments == 4
        assert tables.counters.tunnel_records == 6
        assert tables.counters.orphan_fragments == tables.counters.late_fragments == 0


@pytest.mark.parametrize(("tail", "first", "overtaken"), [(0, 1, True), (1, 1, False), (1, 0, False)])
def test_a_first_fragment_is_overtaken_only_where_a_tails_time_is_earlier(
    tail: int, first: int, overtaken: bool
) -> None:
    """Processors that capture at the same time may hand their records over in another order than the true one."""
    head, rest = fragments(outer(ping(size=400)), 240)
    tables = observe(
        (tail, sll2(rest, 2, IN)), (first, sll2(head, 2, IN)), (5, sll2(outer(ping(size=400)), 3, OUT))
    )
    flag = " [overtaken]" if overtaken else ""
    assert paths(tables) == {f"in 2 vxlan fragments > out 3 vxlan{flag}": 1}


def test_first_fragments_are_counted_by_length_and_stage() -> None:
    whole = outer(ping(size=400))
    for size in (240, 240, 120):
        first, *rest = fragments(whole, size)
        came, left = [(0, sll2(first, 2, IN))], [(9, sll2(first, 3, OUT))]
        tables = observe(*came, *((1, sll2(piece, 2, IN)) for piece in rest), *left)
        assert {
            (key.interface.number, key.direction, key.wear, key.length): n for key, n in tables.fragments.items()
        } == {
            (2, 1, VXLAN, size + 20): 1,
            (3, 2, VXLAN, size + 20): 1,
        }


def test_first_fragments_alone_are_seen_first_only() -> None:
    first = fragments(outer(ping(size=400)), 240)[0]
    tables = observe((0, sll2(first, 2, IN)), (5, sll2(first, 3, OUT)))
    assert paths(tables) == {"in 2 vxlan first-only > out 3 vxlan first-only": 1}
    assert tables.overheads == {50: 1}  # the UDP and inner lengths tell the sizes of the whole


def test_a_lost_tail_leaves_the_datagram_partial() -> None:
    first, second, third = fragments(outer(ping(size=400)), 240, 120)
    came = [(n, sll2(piece, 2, IN)) for n, piece in enumerate((first, second, third))]
    tables = observe(*came, (10, sll2(first, 3, OUT)), (11, sll2(third, 3, OUT)))
    assert paths(tables) == {"in 2 vxlan fragments > out 3 vxlan fragments [partial]": 1}


def test_a_router_that_fragments_a_tunnel_packet_loses_nothing() -> None:
    whole = outer(ping(size=400))
    first, second = fragments(whole, 240)
    tables = observe((0, sll2(whole, 2, IN)), (5, sll2(first, 3, OUT)), (6, sll2(second, 3, OUT)))
    assert paths(tables) == {"in 2 vxlan > out 3 vxlan fragments": 1}


def test_a_router_that_fragments_a_plain_packet_loses_nothing() -> None:
    whole = ping(size=400)
    first, second = fragments(whole, 240)
    tables = observe((0, sll2(whole, 2, IN)), (5, sll2(first, 3, OUT)), (6, sll2(second, 3, OUT)))
    assert paths(tables) == {"in 2 plain > out 3 plain fragments": 1}
    assert sum(tables.sizes.values()) == 2  # this datagram, and the unrelated record


def test_a_plain_datagram_in_fragments_is_as_long_as_the_whole() -> None:
    first, second, third = fragments(ping(size=3000), 1480, 1480)  # 3028 bytes: 20 + 8 + 3000
    tables = observe(
        (0, sll2(first, 2, IN)),
        (1 * US, sll2(third, 2, IN)),
        (2 * US, sll2(second, 2, IN)),
        (3 * US, sll2(first, 3, OUT)),
        (4 * US, sll2(second, 3, OUT)),
        (5 * US, sll2(third, 3, OUT)),
    )
    assert paths(tables) == {"in 2 plain fragments > out 3 plain fragments": 1}
    (cell,) = (cell for (flow, _), cell in tables.cells.items() if flow.source == address(POD))
    assert (cell.inner_bytes, cell.outer_bytes, cell.largest) == (3028, 3028, 3028)
    assert (cell.wire_packets, cell.wire_bytes) == (3, 3028 + 2 * 20)


def test_fragments_of_an_inner_packet_are_datagrams_each() -> None:
    """The source fragmented before the tunnel: each fragment has an outer packet of its own."""
    pieces = fragments(ping(size=400), 240)
    came = [(n, sll2(outer(piece, identification=n + 1), 2, IN)) for n, piece in enumerate(pieces)]
    left = [(5 + n, sll2(outer(piece, identification=n + 1), 3, OUT)) for n, piece in enumerate(pieces)]
    assert paths(observe(*came, *left)) == {THROUGH: 2}


def test_fragments_over_ipv6_follow_their_identification() -> None:
    near, far = b"\xfd" + bytes(14) + b"\x01", b"\xfd" + bytes(14) + b"\x02"
    payload = udp(51213, 8472, vxlan(36705, ethernet(ping(size=400))))
    first = ipv6(near, far, 44, fragment_header(UDP, 77, 0, True) + payload[:240])
    tail = ipv6(near, far, 44, fragment_header(UDP, 77, 240, False) + payload[240:])
    tables = observe(
        *((n, sll2(piece, 2, IN, IPV6)) for n, piece in enumerate((tail, first))),
        *((5 + n, sll2(piece, 3, OUT, IPV6)) for n, piece in enumerate((first, tail))),
    )
    assert paths(tables) == {"in 2 vxlan fragments > out 3 vxlan fragments [overtaken]": 1}


def test_the_header_that_only_a_fragment_has_is_no_part_of_the_whole() -> None:
    """RFC 8200, 4.5: 40 + 8 + 3000 bytes of ping, in fragments with 8 bytes of header each."""
    message = icmp(128, 0, 7 << 16 | 1, bytes(3000))
    first = fragment_header(58, 77, 0, True) + message[:1448]
    second = fragment_header(58, 77, 1448, True) + message[1448:2896]
    third = fragment_header(58, 77, 2896, False) + message[2896:]
    ends = b"\xfd" + bytes(14) + b"\x01", b"\xfd" + bytes(14) + b"\x02"
    packets = [ipv6(*ends, 44, piece) for piece in (first, second, third)]
    tables = observe(*((at * US, sll2(packet, 2, IN, IPV6)) for at, packet in enumerate(packets)))
    (cell,) = (cell for (flow, _), cell in tables.cells.items() if flow.source == ends[0])
    assert (cell.datagrams, cell.inner_bytes) == (1, 3048)
    assert cell.wire_bytes == 3008 + 3 * 48


def test_a_tail_whose_first_fragment_was_not_seen_is_an_orphan() -> None:
    tail = fragments(outer(ping(size=400)), 240)[1]
    tables = observe((0, sll2(tail, 2, IN)))
    assert paths(tables) == {}
    assert tables.counters.orphan_fragments == 1
    assert tables.samples["orphan"] == [Sample(EPOCH, 0, 1)]


def test_a_tail_after_its_journey_has_closed_is_late() -> None:
    first, tail = fragments(outer(ping(size=400)), 240)
    tables = observe((0, sll2(first, 2, IN)), (5, sll2(first, 3, OUT)), (11 * MS, sll2(tail, 3, OUT)))
    assert tables.counters.late_fragments == 1
    assert tables.counters.tunnel_records == 3


# Without a direction in the link header.

HERE, THERE, BEYOND = b"\x02\0\0\0\0\xaa", b"\x02\0\0\0\0\x01", b"\x02\0\0\0\0\x02"


def ethernet_file(*records: tuple[int, bytes]) -> bytes:
    return to_pcap([Entry(EPOCH + time, data) for time, data in records], EN10MB)


def test_on_ethernet_the_higher_ttl_came_in() -> None:
    eth1 = ethernet_file((0, ethernet(ping(ttl=64), destination=HERE, source=THERE)))
    eth2 = ethernet_file((9, ethernet(ping(ttl=63), destination=BEYOND, source=HERE)))
    tables = observe_files(eth1, eth2)
    assert paths(tables) == {"in 0 plain > out 1 plain": 1}
    (path,) = tables.latencies
    assert [stage.macs for stage in path.stages] == [HERE + THERE, BEYOND + HERE]


def test_a_clock_that_is_a_little_late_gives_no_negative_latency() -> None:
    """The egress file's clock is 2 µs behind: its record comes first, and its TTL tells that it went out."""
    eth1 = ethernet_file((2 * US, ethernet(ping(ttl=64), destination=HERE, source=THERE)))
    eth2 = ethernet_file((0, ethernet(ping(ttl=63), destination=BEYOND, source=HERE)))
    tables = observe_files(eth1, eth2)
    assert latencies(tables) == {"out 1 plain > in 0 plain": [0]}
    assert tables.counters.clock_skewed == 1


def test_on_ethernet_a_bridge_passes_from_the_first_to_the_last() -> None:
    frame = ethernet(ping())
    tables = observe_files(ethernet_file((0, frame)), ethernet_file((3, frame)))
    assert latencies(tables) == {"in 0 plain > out 1 plain": [3]}


def test_on_ethernet_one_sighting_alone_has_no_direction() -> None:
    lone = ethernet_file((0, ethernet(ping())), (5 * MS, ethernet(ping(2))))
    assert paths(observe_files(lone)) == {"unknown 0 plain [at start]": 1, "unknown 0 plain [at end]": 1}


def test_a_tunnel_end_on_ethernet_is_judged_by_the_inner_ttl() -> None:
    """Outer and plain TTLs do not compare: 255 outside is younger here than 64 of the pod."""
    plain = ethernet_file((0, ethernet(ping(ttl=64), destination=HERE, source=THERE)))
    wearing = ethernet_file((4, ethernet(outer(ping(ttl=63), ttl=255), destination=BEYOND, source=HERE)))
    assert paths(observe_files(plain, wearing)) == {"in 0 plain > out 1 vxlan": 1}


def test_ethernet_padding_belongs_to_no_packet() -> None:
    short = ipv4(POD, PEER, UDP, udp(5, 6, b"hi"), identification=5)
    padded = ethernet_file((0, ethernet(short) + bytes(16)))
    bare = ethernet_file((4, ethernet(short)))
    tables = observe_files(padded, bare)
    assert paths(tables) == {"in 0 plain > out 1 plain": 1}
    assert tables.sizes == {(False, 30): 1}


# What is inside.


def test_an_inner_frame_without_ip_is_known_by_its_first_bytes() -> None:
    arp = udp(51213, 8472, vxlan(5, ethernet(b"who has 172.20.2.4?".ljust(46, b"\0"), 0x0806)))
    packet = ipv4(NODE, FAR, UDP, arp, identification=9)
    tables = observe((0, sll2(packet, 2, IN)), (5, sll2(packet, 3, OUT)))
    assert paths(tables) == {THROUGH: 1}
    assert FlowKey(5, NON_IP + 0x0806, b"", -1, b"", -1) in tables.flows
    assert tables.sizes[True, 46] == 1
    assert tables.overheads == {50: 1}


@pytest.mark.parametrize(
    ("packet", "ethertype", "overhead"),
    [
        (ipv4(NODE, FAR, UDP, udp(9, 4789, vxlan(5, ethernet(ping(), tags=(7,)))), identification=1), 0x0800, 54),
        (ipv4(NODE, FAR, UDP, udp(9, 6081, geneve(5, ethernet(ping()), bytes(8))), identification=1), 0x0800, 58),
        (ipv4(NODE, FAR, UDP, udp(9, 6081, geneve(5, ping(), b"", 0x0800)), identification=1), 0x0800, 36),
        (ipv6(bytes(16), bytes(16), UDP, udp(9, 8472, vxlan(5, ethernet(ping())))), IPV6, 70),
    ],
    ids=["inner VLAN tag", "Geneve option", "Geneve without Ethernet", "IPv6 underlay"],
)
def test_overhead_is_outer_less_inner_length(packet: bytes, ethertype: int, overhead: int) -> None:
    tables = observe((0, sll2(packet, 2, IN, ethertype)), (5, sll2(packet, 3, OUT, ethertype)))
    assert tables.overheads == {overhead: 1}


def test_lengths_of_0_are_those_of_big_tcp_and_the_record_tells() -> None:
    """Linux writes 0 where a length does not fit 16 bits: outside, in UDP and inside."""
    segment = tcp(4000, 80, 1, bytes(100_000))
    inner = ipv4(POD, PEER, TCP, segment, identification=1, length=0)
    packet = ipv4(NODE, FAR, UDP, udp(9, 8472, vxlan(5, ethernet(inner)), 0), identification=1, length=0)
    tables = observe((0, sll2(packet, 2, IN)), (5, sll2(packet, 3, OUT)))
    assert paths(tables) == {THROUGH: 1}
    assert tables.sizes[True, 100_040] == 1
    assert tables.overheads == {50: 1}
    (large,) = tables.large
    assert large[1:] == (100_090, 100_040, 100_000)
    assert tables.counters.malformed_records == 0


def test_ipv6_lengths_of_0_are_those_of_big_tcp_too() -> None:
    packet = ipv6(bytes(16), bytes(16), TCP, tcp(4000, 80, 1, bytes(90_000)), length=0)
    tables = observe((0, sll2(packet, 2, IN, IPV6)), (5, sll2(packet, 3, OUT, IPV6)))
    assert paths(tables) == {"in 2 plain > out 3 plain": 1}
    assert tables.sizes[False, 90_060] == 1


@pytest.mark.parametrize("payload", [b"", b"tiny", b"7 bytes"])
def test_a_tunnel_port_without_room_for_a_tunnel_is_plain_and_malformed(payload: bytes) -> None:
    packet = ipv4(NODE, FAR, UDP, udp(9, 8472, payload), identification=1)
    tables = observe((0, sll2(packet, 2, IN)), (5, sll2(packet, 3, OUT)))
    assert paths(tables) == {"in 2 plain > out 3 plain": 1}
    assert tables.counters.malformed_records == 2
    assert tables.counters.tunnel_records == 0


def test_an_inner_packet_that_cannot_be_read_is_still_forwarded() -> None:
    packet = ipv4(NODE, FAR, UDP, udp(9, 8472, vxlan(5, b"no Ethernet")), identification=1)
    tables = observe((0, sll2(packet, 2, IN)), (5, sll2(packet, 3, OUT)))
    assert paths(tables) == {THROUGH: 1}
    assert tables.counters.malformed_records == 2
    assert tables.counters.tunnel_records == 2


def test_a_length_that_the_record_has_no_room_for_is_malformed() -> None:
    tables = observe((0, sll2(ipv4(POD, PEER, UDP, bytes(8), length=400), 2, IN)))
    assert paths(tables) == {}
    assert tables.counters.malformed_records == 1
    assert tables.counters.cut_records == 0
    assert tables.samples["malformed"] == [Sample(EPOCH, 0, 1)]


def test_headers_that_the_capture_cut_off_are_cut_not_malformed() -> None:
    frame = sll2(outer(ping()), 2, IN)
    clipped = to_pcap([Entry(EPOCH, frame[:60], len(frame))], SLL2)
    tables = observe_files(clipped)
    assert tables.counters.cut_records == tables.counters.clipped_records == 1
    assert tables.counters.malformed_records == 0
    assert paths(tables) == {"in 2 vxlan [at end]": 1}


def test_inputs_of_two_snaplens_recognise_each_others_datagrams() -> None:
    packet = outer(ipv4(POD, PEER, UDP, udp(5, 6, bytes(range(200))), identification=5))
    whole = to_pcap([Entry(EPOCH, sll2(packet, 2, IN))], SLL2)
    clipped = to_pcap([Entry(EPOCH + 9, sll2(packet, 3, OUT))], SLL2, snaplen=128)
    tables = observe_files(whole, clipped)
    assert paths(tables) == {THROUGH: 1}
    assert tables.counters.clipped_records == 1
    assert tables.counters.cut_records == 0


# Flows.


def test_interfaces_of_two_snaplens_in_one_file_recognise_each_others_datagrams(tmp_path: Path) -> None:
    packet = outer(ping(size=600))
    file = tmp_path / "two.pcapng"
    with PcapngWriter(file, [Interface(SLL2, 262144), Interface(SLL2, 150)]) as writer:
        writer.write(EPOCH, sll2(packet, 2, IN), interface=0)
        out = sll2(packet, 3, OUT)
        writer.write(EPOCH + 10 * US, out[:150], length=len(out), interface=1)
    assert paths(observe_files(file.read_bytes())) == {"in 2 vxlan > out 3 vxlan": 1}


def test_a_retransmission_is_a_datagram_of_its_own_and_covers_nothing_new() -> None:
    segment = tcp(4000, 80, 0xFFFFFFC0, bytes(100))  # wraps
    first, again = (ipv4(POD, PEER, TCP, segment, identification=n) for n in (1, 2))
    tables = observe((0, sll2(first, 2, IN)), (5, sll2(first, 3, OUT)), (MS, sll2(again, 2, IN)))
    assert paths(tables) == {"in 2 plain > out 3 plain": 1, "in 2 plain": 1}
    flow = tables.flows[FlowKey(-1, TCP, address(POD), 4000, address(PEER), 80)]
    assert flow.data_bytes == 200
    assert flow.ranges == [(0xFFFFFFC0, 0x100000024)]


def test_a_syn_says_its_segment_size_and_an_icmp_error_its_mtu() -> None:
    syn = ipv4(POD, PEER, TCP, tcp(4000, 80, 1, flags=2, options=mss(1410)), identification=1)
    error = ipv4("192.168.10.1", POD, 1, icmp(3, 4, 1400, syn), identification=2)
    tables = observe((0, sll2(outer(syn), 2, IN)), (5, sll2(outer(syn), 3, OUT)), (9, sll2(error, 2, OUT)))
    assert tables.mss == {1410: 1}
    assert tables.flows[FlowKey(36705, TCP, address(POD), 4000, address(PEER), 80)].mss == 1410
    assert tables.icmp_error_counts == {(False, 4, 3, 4, 1400): 1}
    assert tables.icmp_errors == {(False, 4, 3, 4, 1400): [Sample(EPOCH + 9, 0, 3)]}


# Limits are reported.


def test_journeys_beyond_the_limit_close_early_and_are_counted() -> None:
    pings = [(n, sll2(outer(ping(n)), 2, IN)) for n in range(5)]
    tables = observe(*pings, options=EngineOptions(most_journeys=2), later=False)
    assert tables.counters.evicted_journeys == 3
    assert sum(paths(tables).values()) == 5


def test_flows_beyond_the_limit_are_counted_together() -> None:
    plain = [ipv4(POD, PEER, UDP, udp(port, 53, b"q"), identification=port) for port in (1000, 2000, 3000)]
    records = [(n, sll2(packet, 2, IN)) for n, packet in enumerate(plain)]
    tables = observe(*records, options=EngineOptions(most_flows=2), later=False)
    assert tables.counters.folded_flows == 1
    assert len(tables.flows) == 2
    assert sum(cell.datagrams for (flow, _), cell in tables.cells.items() if flow == OTHER_FLOWS) == 1
