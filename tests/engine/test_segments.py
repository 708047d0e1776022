"""Super-frames that are cut on their way, and packets that are put together: one journey, however they are cut."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from conftest import require_native
from engine.generate import (
    EN10MB,
    EPOCH,
    IPV6,
    SLL2,
    TCP,
    UDP,
    V6_A,
    V6_B,
    Entry,
    Spec,
    build,
    ethernet,
    ipv4,
    ipv6,
    sll2,
    tcp,
    timestamps,
    to_pcap,
    udp,
    vxlan,
)

from vxtool.engine import make_engine
from vxtool.engine.options import EngineOptions
from vxtool.engine.tables import (
    AT_END,
    FIRST_ONLY,
    FRAGMENTS,
    IN,
    JOINED,
    OF_UDP,
    OUT,
    PARTIAL,
    SEGMENTED,
    WHOLE,
    Cell,
    Tables,
)

POD, PEER = "172.20.0.18", "172.20.1.22"
NODE, FAR = "192.168.10.100", "192.168.20.100"
MS = 1_000_000
SIZE = 1398
NAMES = {PARTIAL: "partial", AT_END: "at end", SEGMENTED: "segmented", JOINED: "joined"}


def segment(
    at: int,
    length: int,
    *,
    outer_id: int = 0x1111,
    inner_id: int = 7,
    way: int = IN,
    stamp: int | None = 5,
    wear: str = "vxlan",
    fragmentable: bool = False,
    underlay: int = 4,
) -> bytes:
    """A record of `length` bytes of TCP data from sequence number `at` on."""
    data = bytes(at % 251 for _ in range(64)) + bytes(max(0, length - 64))
    options = b"" if stamp is None else timestamps(stamp, 9)
    packet = ipv4(
        POD,
        PEER,
        TCP,
        tcp(4000, 80, at & 0xFFFFFFFF, data[:length], options=options),
        identification=inner_id & 0xFFFF,
        dont_fragment=not fragmentable,
        ttl=63 if wear == "plain" and way == OUT else 64,
    )
    packet_type, interface, ttl = (4, 2, 63) if way == OUT else (0, 1, 64)
    if wear == "plain":
        return sll2(packet, interface, packet_type)
    payload = udp(51213, 8472, vxlan(36705, ethernet(packet)))
    if underlay == 6:
        return sll2(ipv6(V6_A, V6_B, UDP, payload, hop_limit=ttl), interface, packet_type, IPV6)
    return sll2(ipv4(NODE, FAR, UDP, payload, identification=outer_id & 0xFFFF, ttl=ttl), interface, packet_type)


def pieces(at: int, count: int, **how: object) -> list[bytes]:
    """The packets that a super-frame of `count` full segments and 100 bytes leaves as."""
    outer_id, inner_id = how.pop("outer_id", 0x1111), how.pop("inner_id", 7)
    return [
        segment(
            at + number * SIZE,
            SIZE if number < count else 100,
            outer_id=outer_id + number,  # type: ignore[operator]
            inner_id=inner_id + number,  # type: ignore[operator]
            way=OUT,
            **how,  # type: ignore[arg-type]
        )
        for number in range(count + 1)
    ]


def observe(engine: str, *records: tuple[int, bytes], cut: Sequence[int] = (), later: bool = True) -> Tables:
    """The tables of records given as (time after the epoch, frame), in parts that begin at the records of `cut`."""
    entries = [Entry(EPOCH + time, data) for time, data in records]
    if later:
        entries.append(Entry(EPOCH + 20_000 * MS, sll2(ipv4("9.9.9.9", "8.8.8.8", UDP, udp(1, 2, b"far")), 9, 3)))
    whole = None
    for start, stop in zip((0, *cut), (*cut, len(entries)), strict=True):
        part = make_engine(EngineOptions(part=start > 0), engine)
        part.feed(0, to_pcap(entries[start:stop], SLL2))
        part.end(0)
        if whole is None:
            whole = part
        else:
            whole.merge(part)
    assert whole is not None
    return whole.tables()


def cells(tables: Tables) -> dict[str, Cell]:
    found = {}
    for (flow, path), cell in tables.cells.items():
        if flow.source == bytes([9, 9, 9, 9]):
            continue
        stages = " ".join(
            f"{'out' if stage.direction == OUT else 'in'}{stage.interface.number}" for stage in path.stages
        )
        words = [name for flag, name in NAMES.items() if path.flags & flag]
        found[" ".join([stages, *words])] = cell
    return found


def counts(tables: Tables) -> dict[str, tuple[int, int, int]]:
    """Datagrams, packets that they were, and packets that went out, by path."""
    return {path: (cell.datagrams, cell.wire_packets, cell.egress_packets) for path, cell in cells(tables).items()}


@pytest.fixture(params=["pure", "native"])
def engine(request: pytest.FixtureRequest) -> str:
    if request.param == "native":
        require_native()
    return str(request.param)


WAYS = (
    {},
    {"stamp": None},
    {"underlay": 6},
    {"underlay": 6, "stamp": None},
    {"wear": "plain"},
    {"wear": "plain", "stamp": None},
    {"fragmentable": True},
    {"wear": "plain", "fragmentable": True},
    {"outer_id": 0xFFFE},
)


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("base", [1000, 0xFFFFF000])
def test_a_super_frame_and_its_segments_are_one_journey(engine: str, how: dict[str, object], base: int) -> None:
    whole = segment(base, 10 * SIZE + 100, **how)  # type: ignore[arg-type]
    records = [(0, whole), *((MS + number * 1000, data) for number, data in enumerate(pieces(base, 10, **how)))]
    tables = observe(engine, *records)
    assert counts(tables) == {"in1 out2 segmented": (1, 11, 11)}
    (latencies,) = tables.latencies.values()
    assert (latencies.count, latencies.largest) == (1, MS + 10_000)  # first byte in to last segment out
    (cell,) = cells(tables).values()
    overhead = {"plain": 0}.get(str(how.get("wear")), 70 if how.get("underlay") == 6 else 50)
    assert cell.outer_bytes - cell.inner_bytes == overhead
    inside = 20 + 20 + (0 if how.get("stamp", 5) is None else 12)
    assert cell.wire_bytes == 10 * SIZE + 100 + 11 * (overhead + inside)
    assert not tables.large
    assert sum(tables.sizes.values()) == 1  # the unrelated record: what is known to be no packet has no size
    (flow,) = [row for key, row in tables.flows.items() if key.protocol == TCP]
    assert flow.data_bytes == 10 * SIZE + 100


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("lost", [[0], [3], [10], [9, 10], [0, 1, 2, 3, 4, 5]])
def test_a_loss_of_some_segments_is_partial_and_counts_them(
    engine: str, how: dict[str, object], lost: list[int]
) -> None:
    whole = segment(1000, 10 * SIZE + 100, **how)  # type: ignore[arg-type]
    left = [data for number, data in enumerate(pieces(1000, 10, **how)) if number not in lost]
    tables = observe(engine, (0, whole), *((MS + number, data) for number, data in enumerate(left)))
    assert counts(tables) == {"in1 out2 partial segmented": (1, 11, 11 - len(lost))}


def test_of_a_last_segment_alone_its_identification_tells_how_many_came_before(engine: str) -> None:
    *_, last = pieces(1000, 10)
    tables = observe(engine, (0, segment(1000, 10 * SIZE + 100)), (MS, last))
    assert counts(tables) == {"in1 out2 partial segmented": (1, 11, 1)}


def test_a_super_frame_of_which_nothing_left_only_came_in(engine: str) -> None:
    tables = observe(engine, (0, segment(1000, 5 * SIZE)), (MS, segment(1, 10, way=OUT, inner_id=99)))
    assert counts(tables) == {"in1": (1, 1, 0), "out2 partial": (1, 1, 1)} or counts(tables) == {
        "in1": (1, 1, 0),
        "out2": (1, 1, 1),
    }


@pytest.mark.parametrize("how", [{"stamp": None}, {"stamp": None, "underlay": 6}, {"stamp": None, "wear": "plain"}])
def test_what_is_sent_again_fills_no_gap(engine: str, how: dict[str, object]) -> None:
    """Segment 3 is lost, and all is sent again 300 ms later, with identifications of its own."""
    first = [data for number, data in enumerate(pieces(1000, 10, **how)) if number != 3]
    again = {"outer_id": 0x2222, "inner_id": 300, **how}
    second = pieces(1000, 10, **again)
    tables = observe(
        engine,
        (0, segment(1000, 10 * SIZE + 100, **how)),  # type: ignore[arg-type]
        *((MS + number, data) for number, data in enumerate(first)),
        (300 * MS, segment(1000, 10 * SIZE + 100, **again)),  # type: ignore[arg-type]
        *((301 * MS + number, data) for number, data in enumerate(second)),
    )
    assert counts(tables) == {"in1 out2 partial segmented": (1, 11, 10), "in1 out2 segmented": (1, 11, 11)}


@pytest.mark.parametrize("how", WAYS)
def test_packets_that_are_put_together_are_forwarded_each(engine: str, how: dict[str, object]) -> None:
    way = {key: value for key, value in how.items() if key != "way"}
    outer_id = way.pop("outer_id", 0x1111)
    came = [
        segment(
            1000 + number * SIZE,
            SIZE,
            outer_id=outer_id + number,
            inner_id=7 + number,
            **way,  # type: ignore
        )
        for number in range(10)
    ]
    went = segment(1000, 10 * SIZE, outer_id=outer_id, way=OUT, **way)  # type: ignore[arg-type]
    tables = observe(engine, *((number * 1000, data) for number, data in enumerate(came)), (MS, went))
    assert counts(tables) == {"in1 out2 joined": (10, 10, 10)}
    (latencies,) = tables.latencies.values()
    assert (latencies.smallest, latencies.largest) == (MS - 9000, MS)


@pytest.mark.parametrize(
    "other",
    [
        {"outer_id": 0x1119},  # none that this super-frame's segment there would have
        {"stamp": 6},
        {"at": 1000 + 11 * SIZE},
    ],
)
def test_what_no_super_frame_can_have_become_is_another(engine: str, other: dict[str, int]) -> None:
    how = {"at": 1000 + 2 * SIZE, "outer_id": 0x1113, "inner_id": 9, **other}
    tables = observe(engine, (0, segment(1000, 10 * SIZE)), (MS, segment(how.pop("at"), SIZE, way=OUT, **how)))  # type: ignore
    assert {path.split()[0] for path in counts(tables)} == {"in1", "out2"}


@pytest.mark.parametrize(("wait", "joined"), [(1000 * MS, True), (1000 * MS + 1, False)])
def test_segments_are_waited_for_as_long_as_others(engine: str, wait: int, joined: bool) -> None:
    records = [(0, segment(1000, 10 * SIZE + 100)), *((wait, data) for data in pieces(1000, 10))]
    assert ("in1 out2 segmented" in counts(observe(engine, *records))) == joined


def test_at_the_end_what_is_missing_may_still_leave(engine: str) -> None:
    left = pieces(1000, 10)[:4]
    records = [(0, segment(1000, 10 * SIZE + 100)), *((1000, data) for data in left)]
    assert counts(observe(engine, *records, later=False)) == {"in1 out2 partial at end segmented": (1, 11, 4)}


@pytest.mark.parametrize("gap", [1, 10 * MS, 400 * MS, 1100 * MS, 4000 * MS])
def test_parts_give_what_one_pass_gives(engine: str, gap: int) -> None:
    records: list[tuple[int, bytes]] = []
    for number in range(6):
        how = {"outer_id": 1000 + 20 * number, "stamp": number // 2}
        records.append((number * gap, segment(1000 + number * 4000, 2 * SIZE + 100, **how)))  # type: ignore[arg-type]
        records += [
            (number * gap + 7 * at, data)
            for at, data in enumerate(pieces(1000 + number * 4000, 2, **how))
            if (number, at) != (3, 1)
        ]
    records.sort(key=lambda record: record[0])
    whole = observe(engine, *records)
    assert counts(whole) == {"in1 out2 segmented": (5, 15, 15), "in1 out2 partial segmented": (1, 3, 2)}
    for first in range(1, len(records)):
        parts = observe(engine, *records, cut=[first, min(first + 3, len(records))])
        assert parts._replace(inputs=[]) == whole._replace(inputs=[]), first


def test_a_side_of_a_journey_is_of_its_own_network() -> None:
    """What went out first, plain, stands apart from what came in by the tunnel, once segments are told from it."""
    require_native()
    records = [
        Spec(0, outer_id=1, special=103, direction=OUT),
        *(Spec(1, outer_id=outer_id, special=101) for outer_id in (1, 2)),
        Spec(0, outer_id=1, special=102, direction=OUT),
        Spec(0, outer_id=2, special=101),
    ]
    made = build(records, SLL2, EngineOptions(window=1000, settle=100))
    tables = []
    for name in ("pure", "native"):
        engine = make_engine(made.options, name)
        engine.feed(0, *made.files())
        engine.end(0)
        tables.append(engine.tables())
    assert tables[0] == tables[1]
    assert len(tables[0].flows) == 1


# Segments that the router fragments in turn.


def fragments(record: bytes, size: int = 1376) -> list[bytes]:
    """The two fragments of a record's outer packet, `size` bytes of payload in the first."""
    front, packet = record[:20], record[20:]
    if packet[0] >> 4 == 6:
        header, payload = packet[:40], packet[40:]

        def made(start: int, end: int) -> bytes:
            where = start | int(end < len(payload))
            identification = payload[54:58]  # the sequence number, as one that each has alone
            part = bytes([header[6], 0]) + where.to_bytes(2, "big") + identification + payload[start:end]
            return front + header[:4] + len(part).to_bytes(2, "big") + bytes([44]) + header[7:] + part
    else:
        header, payload = packet[:20], packet[20:]

        def made(start: int, end: int) -> bytes:
            where = (0x2000 if end < len(payload) else 0) | start // 8
            length = (20 + end - start).to_bytes(2, "big")
            changed = header[:2] + length + header[4:6] + where.to_bytes(2, "big") + header[8:]
            return front + changed + payload[start:end]

    return [made(0, size), made(size, len(payload))]


FRAGMENTED = ({}, {"stamp": None}, {"fragmentable": True}, {"outer_id": 0xFFFE}, {"underlay": 6})


def fragmented_pieces(**how: object) -> list[list[bytes]]:
    """The same segments with all but the last in fragments."""
    return [fragments(data) for data in pieces(1000, 10, **how)[:-1]] + [pieces(1000, 10, **how)[-1:]]


@pytest.mark.parametrize("how", FRAGMENTED)
def test_segments_that_leave_in_fragments_are_of_their_super_frame(engine: str, how: dict[str, object]) -> None:
    whole = segment(1000, 10 * SIZE + 100, **how)  # type: ignore[arg-type]
    left = [data for parts in fragmented_pieces(**how) for data in parts]
    records = [(0, whole), *((MS + number, data) for number, data in enumerate(left))]
    tables = observe(engine, *records)
    assert counts(tables) == {"in1 out2 segmented": (1, 11, 11)}
    (cell,) = cells(tables).values()
    assert cell.fragmented == 10
    (path,) = [path for flow, path in tables.cells if flow.protocol == TCP]
    assert [stage.form for stage in path.stages] == [WHOLE, FRAGMENTS]
    for first in range(1, len(records)):
        parts = observe(engine, *records, cut=[first])
        assert parts._replace(inputs=[]) == tables._replace(inputs=[]), first
    assert untold_counts(observe_untold(engine, *records)) == [("in out segmented", 1, 11, 11)]


@pytest.mark.parametrize("how", FRAGMENTED)
@pytest.mark.parametrize("part", [0, 1])
def test_a_fragment_of_a_segment_that_is_lost_makes_it_partial(
    engine: str, how: dict[str, object], part: int
) -> None:
    whole = segment(1000, 10 * SIZE + 100, **how)  # type: ignore[arg-type]
    left = fragmented_pieces(**how)
    del left[3][part]
    records = [(0, whole), *((MS + at, data) for at, data in enumerate(data for parts in left for data in parts))]
    assert counts(observe(engine, *records)) == {"in1 out2 partial segmented": (1, 11, 10)}


def test_where_a_filter_hides_the_other_fragments_the_path_says_so(engine: str) -> None:
    whole, left = segment(1000, 10 * SIZE + 100), [parts[0] for parts in fragmented_pieces()]
    tables = observe(engine, (0, whole), *((MS + at, data) for at, data in enumerate(left)))
    assert counts(tables) == {"in1 out2 partial segmented": (1, 11, 1)}
    (path,) = [path for flow, path in tables.cells if flow.protocol == TCP]
    assert path.stages[-1].form == FIRST_ONLY
    # A whole segment less is a loss, whatever is hidden.
    tables = observe(engine, (0, whole), *((MS, data) for data in left[1:]))
    (path,) = [path for flow, path in tables.cells if flow.protocol == TCP]
    assert path.stages[-1].form == WHOLE


def test_fragments_that_came_in_are_put_together_by_nobody(engine: str) -> None:
    came = [data for at in range(3) for data in fragments(segment(1000 + at * SIZE, SIZE, outer_id=0x1111 + at))]
    went = segment(1000, 3 * SIZE, way=OUT)
    found = counts(observe(engine, *((at, data) for at, data in enumerate(came)), (MS, went)))
    assert not any("in1" in path and "out2" in path for path in found)


# UDP: identifications alone tell which piece it is.

GSO = 1400


def datagram(
    length: int,
    *,
    outer_id: int = 0x1111,
    inner_id: int = 7,
    way: int = IN,
    wear: str = "vxlan",
    underlay: int = 4,
    says: int | None = None,
) -> bytes:
    """A record of `length` bytes of UDP data, of a datagram that says it has so many, else `says`."""
    payload = udp(4000, 443, bytes(length), None if says is None else says + 8)
    packet = ipv4(
        POD,
        PEER,
        UDP,
        payload,
        identification=inner_id & 0xFFFF,
        ttl=63 if wear == "plain" and way == OUT else 64,
    )
    packet_type, interface, ttl = (4, 2, 63) if way == OUT else (0, 1, 64)
    if wear == "plain":
        return sll2(packet, interface, packet_type)
    payload = udp(51213, 8472, vxlan(36705, ethernet(packet)))
    if underlay == 6:
        return sll2(ipv6(V6_A, V6_B, UDP, payload, hop_limit=ttl), interface, packet_type, IPV6)
    return sll2(ipv4(NODE, FAR, UDP, payload, identification=outer_id & 0xFFFF, ttl=ttl), interface, packet_type)


def cut_datagram(count: int, last: int = 100, **how: object) -> list[bytes]:
    """The datagrams that a super-frame of UDP of `count` full ones and a last one leaves as."""
    outer_id, inner_id = how.pop("outer_id", 0x1111), how.pop("inner_id", 7)
    way = how.pop("way", OUT)
    return [
        datagram(
            GSO if number < count else last,
            outer_id=outer_id + number if outer_id else 0,  # type: ignore[operator]
            inner_id=inner_id + number,  # type: ignore[operator]
            way=way,  # type: ignore[arg-type]
            **how,  # type: ignore[arg-type]
        )
        for number in range(count + 1)
    ]


UDP_WAYS = (
    {},
    {"underlay": 6},
    {"wear": "plain"},
    {"outer_id": 0xFFFE},
    {"outer_id": 0xFFF0, "inner_id": 0},
    {"wear": "plain", "inner_id": 0xFFFE},
)


@pytest.mark.parametrize("last", [100, GSO])
@pytest.mark.parametrize("how", [*UDP_WAYS, {"wear": "plain", "inner_id": 0}, {"underlay": 6, "inner_id": 0}])
def test_a_super_frame_of_udp_and_its_segments_are_one_journey(
    engine: str, how: dict[str, object], last: int
) -> None:
    whole = datagram(20 * GSO + last, **how)  # type: ignore[arg-type]
    cut = enumerate(cut_datagram(20, last, **how))
    tables = observe(engine, (0, whole), *((MS + number * 1000, data) for number, data in cut))
    assert counts(tables) == {"in1 out2 segmented": (1, 21, 21)}
    (latencies,) = tables.latencies.values()
    assert (latencies.count, latencies.largest) == (1, MS + 20_000)
    (cell,) = cells(tables).values()
    overhead = {"plain": 0}.get(str(how.get("wear")), 70 if how.get("underlay") == 6 else 50)
    assert cell.wire_bytes == 20 * GSO + last + 21 * (overhead + 20 + 8)
    assert not tables.large
    assert [row.segment for flow, row in tables.flows.items() if flow.destination_port == 443] == [GSO]


@pytest.mark.parametrize("how", UDP_WAYS)
@pytest.mark.parametrize("lost", [[0], [3], [20], [19, 20], [0, 1, 2], list(range(20)), list(range(1, 21))])
def test_a_loss_of_some_segments_of_udp_is_partial(engine: str, how: dict[str, object], lost: list[int]) -> None:
    left = [data for number, data in enumerate(cut_datagram(20, **how)) if number not in lost]
    whole = datagram(20 * GSO + 100, **how)  # type: ignore[arg-type]
    tables = observe(engine, (0, whole), *((MS + number, data) for number, data in enumerate(left)))
    assert counts(tables) == {"in1 out2 partial segmented": (1, 21, 21 - len(lost))}


@pytest.mark.parametrize("how", UDP_WAYS)
def test_datagrams_that_are_put_together_are_forwarded_each(engine: str, how: dict[str, object]) -> None:
    came = cut_datagram(20, way=IN, **how)
    went = datagram(20 * GSO + 100, way=OUT, **how)  # type: ignore[arg-type]
    tables = observe(engine, *((number * 1000, data) for number, data in enumerate(came)), (MS, went))
    assert counts(tables) == {"in1 out2 joined": (21, 21, 21)}
    assert {path.flags & OF_UDP for _, path in tables.cells if path.flags & JOINED} == {OF_UDP}


@pytest.mark.parametrize("how", [{"wear": "plain"}, {"underlay": 6}])
def test_super_frames_whose_numbers_overlap_share_their_segments(engine: str, how: dict[str, object]) -> None:
    """A connected socket of Linux numbers each super-frame by one more, and so does cutting it each segment."""
    records, time = [], 0
    for inner_id in range(100, 110):
        records.append((time, datagram(20 * GSO + 100, inner_id=inner_id, **how)))  # type: ignore[arg-type]
        for data in cut_datagram(20, inner_id=inner_id, **how)[: 15 if inner_id == 105 else None]:
            time += 1000
            records.append((time, data))
        time += MS
    assert counts(observe(engine, *records)) == {
        "in1 out2 segmented": (9, 189, 189),
        "in1 out2 partial segmented": (1, 21, 15),
    }


@pytest.mark.parametrize(
    "records",
    [
        [datagram(201, outer_id=0x1113, inner_id=9, way=OUT)],  # 140 of that size; 27,899 is odd
        [datagram(GSO, outer_id=0x1110, inner_id=6, way=OUT)],  # before the first
        [datagram(GSO, outer_id=0x1113, inner_id=12, way=OUT)],  # the tunnel counts on otherwise
        [datagram(GSO, outer_id=0x1111 + 128, inner_id=7 + 128, way=OUT)],  # more than there may be
        [datagram(GSO, way=OUT, says=9000)],  # the first fragment of a larger one
        [datagram(GSO)],  # came in as well
    ],
)
def test_what_no_super_frame_of_udp_can_have_become_is_another(engine: str, records: list[bytes]) -> None:
    whole = datagram(20 * GSO + 100)
    tables = observe(engine, (0, whole), *((MS + number, data) for number, data in enumerate(records)))
    assert not any("out2" in path and "in1" in path for path in counts(tables))


@pytest.mark.parametrize("how", [{"wear": "plain", "inner_id": 0}, {"underlay": 6, "inner_id": 0}])
def test_without_identifications_only_what_is_whole_counts(engine: str, how: dict[str, object]) -> None:
    whole = datagram(20 * GSO + 100, **how)  # type: ignore[arg-type]
    left = cut_datagram(20, **how)[:-1]
    tables = observe(engine, (0, whole), *((2 * MS + at, data) for at, data in enumerate(left)))
    assert counts(tables) == {"in1": (1, 1, 0), "out2": (20, 20, 20)}


def test_parts_with_super_frames_of_udp_give_what_one_pass_gives(engine: str) -> None:
    records: list[tuple[int, bytes]] = []
    for number, gap in enumerate([0, MS, 400 * MS, 1100 * MS, 2600 * MS, 2601 * MS]):
        how = {"outer_id": 1000 + 3 * number, "inner_id": 7 + number}
        records.append((gap, datagram(2 * GSO + 100, **how)))
        records += [
            (gap + 7 * at, data) for at, data in enumerate(cut_datagram(2, **how)) if (number, at) != (3, 1)
        ]
    records.sort(key=lambda record: record[0])
    whole = observe(engine, *records)
    assert counts(whole) == {"in1 out2 segmented": (5, 15, 15), "in1 out2 partial segmented": (1, 3, 2)}
    for first in range(1, len(records)):
        parts = observe(engine, *records, cut=[first, min(first + 3, len(records))])
        assert parts._replace(inputs=[]) == whole._replace(inputs=[]), first


def test_a_flow_that_never_rests_is_not_kept_whole() -> None:
    """All of its super-frames hang together, since their numbers overlap: after two windows 70,000 records do."""
    require_native()
    entries = []
    for number in range(45_000):
        time, inner_id = EPOCH + 400 * number, 100 + number
        entries.append(Entry(time, datagram(250, wear="plain", inner_id=inner_id)))
        for at, length in enumerate((100, 100, 50)):
            data = datagram(length, wear="plain", inner_id=inner_id + at, way=OUT)
            entries.append(Entry(time + 100 * at + 100, data))
    engine = make_engine(EngineOptions(window=7 * MS, settle=10_000), "native")
    engine.feed(0, to_pcap(entries, SLL2))
    engine.end(0)
    whole = engine.tables()
    assert whole.counters.evicted_journeys > 1 << 16
    assert counts(whole)["in1 out2 segmented"][0] > 45_000 - 3


# Captures that tell no direction: Ethernet, one file for each interface.

MACS = {1: b"\2\0\0\0\0\1" + b"\2\0\0\0\0\2", 2: b"\2\0\0\0\0\3" + b"\2\0\0\0\0\4"}


def observe_untold(
    engine: str, *records: tuple[int, bytes], cut: Sequence[int] = (), one_place: bool = False
) -> Tables:
    """The same records in files of Ethernet, each interface's in its own, or all with the same MACs in one."""
    queues: list[list[Entry]] = [[], []]
    order = []
    for time, data in records:
        number = 1 if one_place else int.from_bytes(data[4:8], "big")
        frame = MACS[number][6:] + MACS[number][:6] + data[:2] + data[20:]
        order.append(number - 1)
        queues[number - 1].append(Entry(EPOCH + time, frame))
    far = ethernet(ipv4("9.9.9.9", "8.8.8.8", UDP, udp(1, 2, b"far")))
    queues[0].append(Entry(EPOCH + 20_000 * MS, far))
    order.append(0)
    whole = None
    for start, stop in zip((0, *cut), (*cut, len(order)), strict=True):
        part = make_engine(EngineOptions(inputs=2, part=start > 0), engine)
        for index, queue in enumerate(queues):
            first, last = order[:start].count(index), order[:stop].count(index)
            part.feed(index, to_pcap(queue[first:last], EN10MB))
        for index in range(len(queues)):
            part.end(index)
        if whole is None:
            whole = part
        else:
            whole.merge(part)
    assert whole is not None
    return whole.tables()


def untold_counts(tables: Tables) -> list[tuple[str, int, int, int]]:
    """Directions and flags of each path, and datagrams, packets that they were, and packets that went out."""
    found = []
    for (flow, path), cell in tables.cells.items():
        if flow.source != bytes([9, 9, 9, 9]):
            stages = [{OUT: "out", IN: "in"}.get(stage.direction, "?") for stage in path.stages]
            words = [name for flag, name in NAMES.items() if path.flags & flag]
            found.append((" ".join(stages + words), cell.datagrams, cell.wire_packets, cell.egress_packets))
    return sorted(found)


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("lost", [[], [0], [3], [10], [9, 10]])
def test_ttls_tell_which_side_of_a_super_frame_came_in(
    engine: str, how: dict[str, object], lost: list[int]
) -> None:
    whole = segment(1000, 10 * SIZE + 100, **how)  # type: ignore[arg-type]
    left = [data for number, data in enumerate(pieces(1000, 10, **how)) if number not in lost]
    records = [(0, whole), *((MS + number, data) for number, data in enumerate(left))]
    words = "in out partial segmented" if lost else "in out segmented"
    tables = observe_untold(engine, *records)
    assert untold_counts(tables) == [(words, 1, 11, 11 - len(lost))]
    for first in range(1, len(records)):
        parts = observe_untold(engine, *records, cut=[first])
        assert parts._replace(inputs=[]) == tables._replace(inputs=[]), first


@pytest.mark.parametrize("how", WAYS)
def test_ttls_tell_which_packets_were_put_together(engine: str, how: dict[str, object]) -> None:
    way = dict(how)
    outer_id = int(str(way.pop("outer_id", 0x1111)))
    came = [
        segment(1000 + number * SIZE, SIZE, outer_id=outer_id + number, inner_id=7 + number, **way)  # type: ignore
        for number in range(10)
    ]
    went = segment(1000, 10 * SIZE, outer_id=outer_id, way=OUT, **way)  # type: ignore[arg-type]
    tables = observe_untold(engine, *((number * 1000, data) for number, data in enumerate(came)), (MS, went))
    assert untold_counts(tables) == [("in out joined", 10, 10, 10)]


@pytest.mark.parametrize("lost", [[], [3], [19, 20]])
@pytest.mark.parametrize("how", UDP_WAYS)
def test_ttls_tell_which_side_of_a_super_frame_of_udp_came_in(
    engine: str, how: dict[str, object], lost: list[int]
) -> None:
    whole = datagram(20 * GSO + 100, **how)  # type: ignore[arg-type]
    left = [data for number, data in enumerate(cut_datagram(20, **how)) if number not in lost]
    tables = observe_untold(engine, (0, whole), *((MS + at, data) for at, data in enumerate(left)))
    words = "in out partial segmented" if lost else "in out segmented"
    assert untold_counts(tables) == [(words, 1, 21, 21 - len(lost))]


def test_small_segments_of_udp_are_found_however_many_there_are(engine: str) -> None:
    """The super-frame is looked for behind more packets than are kept in mind."""
    whole = datagram(100 * 100)
    left = [datagram(100, outer_id=0x1111 + at, inner_id=7 + at, way=OUT) for at in range(100)]
    tables = observe_untold(engine, (0, whole), *((MS + at, data) for at, data in enumerate(left)))
    assert untold_counts(tables) == [("in out segmented", 1, 100, 100)]


def with_ttl(record: bytes, ttl: int) -> bytes:
    """The same with another outer TTL."""
    return record[:28] + bytes([ttl]) + record[29:]


@pytest.mark.parametrize("how", [{}, {"wear": "plain"}])
@pytest.mark.parametrize(("ttl", "one_place"), [(64, False), (62, False), (63, True)])
def test_without_directions_a_hop_between_two_places_has_to_tell_them(
    engine: str, how: dict[str, object], ttl: int, one_place: bool
) -> None:
    whole = segment(1000, 10 * SIZE + 100, **how)  # type: ignore[arg-type]
    left = [(MS + at, with_ttl(data, ttl)) for at, data in enumerate(pieces(1000, 10, **how))]
    tables = observe_untold(engine, (0, whole), *left, one_place=one_place)
    found = untold_counts(tables)
    assert {path for path, *_ in found} == {"?"}
    assert sum(datagrams for _, datagrams, _, _ in found) == 12


@pytest.mark.parametrize(("length", "joined"), [(1449, True), (1448, False)])
def test_without_directions_a_super_frame_is_longer_than_a_packet(engine: str, length: int, joined: bool) -> None:
    """With 52 bytes of headers; what an Ethernet packet can hold may just have gone a way of its own."""
    whole, first = segment(1000, length), segment(1000, 1000, way=OUT)
    second = segment(2000, length - 1000, way=OUT, outer_id=0x1112, inner_id=8)
    found = untold_counts(observe_untold(engine, (0, whole), (MS, first), (MS, second)))
    assert found == ([("in out segmented", 1, 2, 2)] if joined else [("?", 1, 1, 0), ("?", 2, 2, 0)])


@pytest.mark.parametrize(("port", "waits"), [(4000, True), (4001, True), (4002, False)])
def test_flows_that_share_a_hash_wait_for_each_others_pieces_by_both_engines(
    engine: str, port: int, waits: bool
) -> None:
    """Of a flow with a super-frame all small packets wait, and are counted last: 4000 * 65536 + 80 and
    4001 * 65536 + 65 are equal modulo 65521."""
    ports = {4000: 80, 4001: 65, 4002: 65}
    packets = [
        tcp(port, ports[port], 1, bytes(100)),
        tcp(5000, 90, 1, b""),  # no data: of no super-frame
        tcp(4000, 80, 1, bytes(5000)),
    ]
    entries = [Entry(EPOCH + at, ethernet(ipv4(POD, PEER, TCP, packet))) for at, packet in enumerate(packets)]
    whole = make_engine(EngineOptions(most_datagrams=1), engine)
    whole.feed(0, to_pcap(entries, EN10MB))
    whole.end(0)
    tables = whole.tables()
    assert [row.sample.record for row in tables.datagrams] == [2 if waits else 1]
    assert tables.counters.unlisted_datagrams == 2
