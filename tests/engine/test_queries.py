"""What analysis asks of flows and cells: answers as statements, and the C engine's held against the plain ones.

VXTOOL_EXAMPLES=5000 looks at so many captures, other ones each time.
"""

from __future__ import annotations

import os
import random
import struct
from pathlib import Path

import pytest
from analysis.networks import random_network
from analysis.scenes import (
    ETH1,
    ETH2,
    MS,
    NODE_A,
    NODE_B,
    POD_A,
    POD_B,
    US,
    VNI_A,
    VNI_B,
    Seen,
    back,
    came,
    datagram,
    exchange,
    fragments,
    left,
    passed,
    pcap,
    ping,
    routed,
    segment,
    tunnel,
)
from conftest import capture_files, require_native
from engine.generate import SLL2, TCP, UDP, address, ipv4, mss, sll2, tcp, udp
from engine.questions import assert_answers_are_plain

from vxtool.engine import make_engine
from vxtool.engine.answers import Wanted
from vxtool.engine.options import EngineOptions
from vxtool.engine.queries import Queries
from vxtool.engine.tables import IN, OUT, TAIL_PORT, PathKey, Tables

_ASKED = os.environ.get("VXTOOL_EXAMPLES")
SEEDS = [random.randrange(1 << 40) for _ in range(int(_ASKED))] if _ASKED else list(range(80))


def tables_of(name: str, files: list[bytes], **options: int) -> Tables:
    engine = make_engine(EngineOptions(inputs=len(files), **options), name)
    _feed(engine, files)
    return engine.tables()


def _feed(engine: object, files: list[bytes]) -> None:
    rest = list(files)
    while (index := engine.wants()) is not None:  # type: ignore[attr-defined]
        if rest[index]:
            engine.feed(index, rest[index])  # type: ignore[attr-defined]
        else:
            engine.end(index)  # type: ignore[attr-defined]
        rest[index] = b""


# The C engine's answers are the plain ones.


@pytest.mark.parametrize("seed", SEEDS)
def test_the_c_engine_answers_as_its_tables_do(tmp_path: Path, seed: int) -> None:
    require_native()
    chance = random.Random(seed)
    files = [Path(path).read_bytes() for path in random_network(seed, tmp_path).files]
    most_flows = chance.choice([0, 1, 3, 1000, 1000, 1000])
    most_datagrams = chance.choice([0, 5, 1000])
    tables = tables_of("native", files, most_flows=most_flows, most_datagrams=most_datagrams)
    assert_answers_are_plain(tables, seed)


@pytest.mark.parametrize("seed", SEEDS[:40])
def test_the_c_engine_answers_so_for_merged_parts(tmp_path: Path, seed: int) -> None:
    require_native()
    parts = [random_network(seed + at, tmp_path).files[:1] for at in range(3)]
    options = EngineOptions(most_flows=random.Random(seed).choice([2, 1000]), most_datagrams=1000)
    engines = [make_engine(options._replace(part=at > 0), "native") for at in range(len(parts))]
    for engine, paths in zip(engines, parts, strict=True):
        _feed(engine, [Path(path).read_bytes() for path in paths])
    for engine in engines[1:]:
        engines[0].merge(engine)
    assert_answers_are_plain(engines[0].tables(), seed)


@pytest.mark.parametrize("capture", capture_files(), ids=lambda path: path.name)
def test_the_c_engine_answers_so_for_each_capture(capture: Path) -> None:
    require_native()
    assert_answers_are_plain(tables_of("native", [capture.read_bytes()]), 1)


def test_the_c_engine_answers_so_for_more_ends_than_are_told_apart(tmp_path: Path) -> None:
    """1,024 pairs of addresses and 256 identities are told apart where few flows are kept."""
    require_native()
    seen = []
    for number in range(1500):
        source = f"10.1.{number // 250}.{number % 250}"
        inner = ipv4(source, "10.9.9.9", UDP, udp(1, 2, b"x"), identification=number)
        packet = tunnel(inner, number, identification=number + 1) if number < 600 else inner
        seen.append(came(number, packet))
        if number % 100 == 0:  # some with more than others
            seen += [came(number, tunnel(inner, number, identification=again)) for again in range(2000, 2003)]
    files = [Path(pcap(tmp_path / "capture.pcap", seen)).read_bytes()]
    tables = tables_of("native", files, most_flows=2000)
    assert_answers_are_plain(tables, 1)
    assert 128 <= len(tables.queries.sources) <= 256
    bundles = tables.queries.bundles()
    assert 128 <= len(bundles.ends(range(len(bundles.rows)))) <= 256
    assert sum(sent.datagrams for sent in tables.queries.sources.values()) == sum(
        datagrams for datagrams, _, _ in tables.queries.tunnels.values()
    )
    assert len(bundles.rows) <= 1024 + 2


# What the answers are.


def ask(tmp_path: Path, engine: str, records: list[Seen]) -> Queries:
    return tables_of(engine, [Path(pcap(tmp_path / "capture.pcap", records)).read_bytes()]).queries


def along(queries: Queries, direction: int) -> list[PathKey]:
    return [path for path in queries.paths if {stage.direction for stage in path.stages} == {direction}]


def test_flows_between_the_same_tunnel_ends_are_one_bundle(tmp_path: Path, engine: str) -> None:
    records = [
        record
        for number in range(3)
        for record in passed(number * MS, tunnel(datagram(100, number, (POD_A, 4000 + number))))
    ]
    (bundle,) = ask(tmp_path, engine, records).bundles().rows
    assert (bundle.source, bundle.destination) == (address(NODE_A), address(NODE_B))
    assert (bundle.datagrams, bundle.wire_packets) == (3, 3)
    assert bundle.outer_bytes - bundle.inner_bytes == 3 * 50


def test_flows_that_are_set_apart_are_bundles_of_their_own(tmp_path: Path, engine: str) -> None:
    queries = ask(tmp_path, engine, exchange())
    rows = queries.bundles().top([0, 1], 1)[0]
    noted = queries.bundles(apart={rows[0].flow: 5}).rows
    assert sorted(bundle.apart for bundle in noted) == [0, 5]


def test_the_innermost_destination_is_told_apart_where_it_is_asked_for(tmp_path: Path, engine: str) -> None:
    records = passed(0, tunnel(ping()))
    queries = ask(tmp_path, engine, records)
    assert [bundle.inside for bundle in queries.bundles().rows] == [b""]
    assert [bundle.inside for bundle in queries.bundles(queries.paths).rows] == [address(POD_B)]


def test_evidence_is_the_earliest_of_all_cells(tmp_path: Path, engine: str) -> None:
    records = [came(at * MS, tunnel(datagram(100, at, (POD_A, 4000 + at % 2)))) for at in range(12)]
    bundles = ask(tmp_path, engine, records).bundles()
    wanted = Wanted(range(len(bundles.rows)))
    assert [proof.sample.record for proof in bundles.earliest(wanted, 5)] == [1, 2, 3, 4, 5]
    assert [proof.sample.record for proof in bundles.starts(wanted, 2)] == [1, 2]


def test_the_largest_flows_come_first_and_of_equal_ones_the_first_key(tmp_path: Path, engine: str) -> None:
    sizes = {4003: 100, 4001: 100, 4002: 900, 4000: 50}
    records = [
        record
        for number, (port, size) in enumerate(sizes.items())
        for record in passed(number * MS, tunnel(datagram(size, number, (POD_A, port))))
    ]
    flows, total = ask(tmp_path, engine, records).bundles().top([0], 3)
    assert [row.flow.source_port for row in flows] == [4002, 4001, 4003]
    assert total == 4


def test_fragments_without_ports_count_with_the_only_flow_that_can_be_theirs(tmp_path: Path, engine: str) -> None:
    pieces = fragments(datagram(2000, 1), 1400)
    records = [record for at, piece in enumerate(pieces) for record in passed(at * MS, tunnel(piece))]
    queries = ask(tmp_path, engine, records)
    (flow,), total = queries.bundles().top([0], 10)
    assert total == 1
    assert sorted(share.flow.source_port == TAIL_PORT for share in flow.shares) == [False, True]
    other = passed(9 * MS, tunnel(datagram(40, 9, (POD_A, 4999))))
    assert ask(tmp_path, engine, [*records, *other]).bundles().top([0], 10)[1] == 3


def test_the_answer_in_the_same_network_goes_before_all_others(tmp_path: Path, engine: str) -> None:
    request, reply = ping(), ping(1, POD_B, POD_A, reply=True)
    records = passed(0, tunnel(request, 20))
    for number, vni in enumerate((10, 30, 20)):
        records += passed((number + 1) * MS, back(reply, vni), 3 * US, ETH2, ETH1)
        vnis = {reverse for own, reverse, _ in ask(tmp_path, engine, records).pairs if own == 20}
        assert 10 in vnis if number < 2 else vnis == {20}


def test_without_an_answer_the_destination_is_told(tmp_path: Path, engine: str) -> None:
    queries = ask(tmp_path, engine, passed(0, tunnel(ping())))
    ((key, (datagrams, _)),) = queries.pairs.items()
    assert key == (VNI_A, None, address(POD_B))
    assert datagrams == 1
    answered = ask(tmp_path, engine, exchange())
    assert {(own, reverse) for own, reverse, _ in answered.pairs} == {(VNI_A, VNI_B), (VNI_B, VNI_A)}


def test_a_flow_that_left_under_another_address_is_found(tmp_path: Path, engine: str) -> None:
    arrived = datagram(58, 1, (POD_A, 4000), ("8.8.8.8", 53))
    gone = datagram(58, 2, ("10.0.2.15", 4000), ("8.8.8.8", 53))
    records = [came(0, arrived, ETH1), left(MS, routed(gone), ETH2)]
    queries = ask(tmp_path, engine, records)
    found = queries.rewritten(along(queries, IN), along(queries, OUT), ())
    assert {flow.source for flow in found} == {address(POD_A), address("10.0.2.15")}


def test_another_source_port_is_the_same_flow_only_under_an_own_address(tmp_path: Path, engine: str) -> None:
    arrived = datagram(58, 1, (POD_A, 4000), ("8.8.8.8", 53))
    gone = datagram(58, 2, ("10.0.2.15", 61000), ("8.8.8.8", 53))
    queries = ask(tmp_path, engine, [came(0, arrived, ETH1), left(MS, routed(gone), ETH2)])
    sides = along(queries, IN), along(queries, OUT)
    assert queries.rewritten(*sides, ()) == set()
    assert len(queries.rewritten(*sides, [address("10.0.2.15")])) == 2


def test_the_mss_of_both_directions_is_told_with_large_datagrams(tmp_path: Path, engine: str) -> None:
    records = passed(0, tunnel(segment(0, flags=2, options=mss(1410))))
    records += passed(MS, tunnel(segment(1, 5000)))
    (row,) = ask(tmp_path, engine, records).large({}).rows
    assert (row.told_mss, row.both_told, row.limit, row.payload) == (1410, False, -1, 5000)


SECOND = 1_000 * MS


def syns(count: int, every: int = SECOND, flags: int = 2) -> list[Seen]:
    """A SYN that is sent again and again."""
    return [came(at * every, segment(1, flags=flags, identification=at + 1)) for at in range(count)]


def echoes(count: int, every: int = SECOND, reply: bool = False) -> list[Seen]:
    ends = (POD_B, POD_A) if reply else (POD_A, POD_B)
    return [came(at * every, ping(at + 1, *ends, reply=reply)) for at in range(count)]


@pytest.mark.parametrize(
    ("records", "told"),
    [
        (syns(3), (1, 0, 3)),
        (syns(2, flags=0xC2), (1, 0, 2)),  # with ECN, RFC 3168
        (syns(1), (0, 0, 0)),
        (syns(2, every=MS), (0, 0, 0)),  # not yet waited for
        ([*syns(2, every=MS), came(2 * SECOND, datagram(80, 9))], (1, 0, 2)),
        ([*syns(2), came(3 * SECOND, segment(2, flags=0x10))], (0, 0, 0)),  # goes on: answered by another way
        ([*syns(2), came(MS, segment(9, 0, (POD_B, 80), (POD_A, 32788), flags=0x14))], (0, 0, 0)),  # refused
        (echoes(3), (0, 1, 3)),
        (echoes(2), (0, 0, 0)),
        (echoes(3, reply=True), (0, 0, 0)),  # of requests that went another way
        ([*echoes(3), came(MS, ping(1, POD_B, POD_A, reply=True))], (0, 0, 0)),
        ([*syns(2), *echoes(4)], (1, 1, 6)),
        ([came(at * SECOND, datagram(80, at)) for at in range(5)], (0, 0, 0)),
    ],
)
def test_what_asks_again_and_again_is_unanswered(
    tmp_path: Path, engine: str, records: list[Seen], told: tuple[int, int, int]
) -> None:
    tables = tables_of(engine, [Path(pcap(tmp_path / "c.pcap", records)).read_bytes()])
    assert tables.last_time is not None
    answer = tables.queries.unanswered(SECOND, tables.last_time)
    assert answer[1:] == told
    bundles = tables.queries.bundles()
    shares = bundles.shares(Wanted(range(len(bundles.rows)), flows=answer.flows))
    assert sum(share.datagrams for share in shares) == told[2]
    assert {share.flow.source for share in shares} <= {address(POD_A)}


def test_what_asks_again_after_centuries_is_unanswered(engine: str) -> None:
    """The two SYNs lie at both ends of what 64 bits of nanoseconds hold: pcapng can move times by seconds."""

    def block(kind: int, body: bytes) -> bytes:
        length = struct.pack("<I", len(body) + 12)
        return struct.pack("<I", kind) + length + body + length

    file = block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))
    for offset in (-(1 << 40), 1 << 40):  # if_tsoffset
        file += block(1, struct.pack("<HHIHHq", SLL2, 0, 0, 14, 8, offset))
    for interface in (0, 1):
        packet = ipv4(POD_A, POD_B, TCP, tcp(32788, 80, 1, flags=2), identification=interface + 1)
        frame = sll2(packet, 1, 0)
        head = struct.pack("<IIIII", interface, 0, 0, len(frame), len(frame))
        file += block(6, head + frame + bytes(-len(frame) % 4))
    tables = tables_of(engine, [file])
    assert (tables.first_time, tables.last_time) == (-(1 << 63), (1 << 63) - 1)
    assert tables.queries.unanswered(SECOND, tables.last_time)[1:] == (1, 0, 2)


def answers(times: int, *, every: int = SECOND, flags: int = 0x12, at: int = MS) -> list[Seen]:
    return [
        came(number * every + at, segment(9, 0, (POD_B, 80), (POD_A, 32788), flags=flags, identification=number))
        for number in range(times)
    ]


@pytest.mark.parametrize(
    ("records", "told"),
    [
        ([*syns(3), *answers(3)], 3),
        ([*syns(1), *answers(2)], 2),
        ([*syns(2), *answers(2, flags=0x52)], 2),  # with ECN, RFC 3168
        (answers(3), 0),  # of SYNs that went another way, as may their ACKs
        ([*syns(3), *answers(1)], 0),
        ([*syns(3), *answers(3, every=MS)], 0),  # not yet waited for
        ([*syns(3), *answers(3), came(5 * SECOND, segment(2))], 0),  # acknowledged
        ([*syns(3), *answers(3), came(5 * SECOND, segment(2, flags=4))], 0),  # reset
        ([*syns(3), *answers(3), *answers(1, flags=0x18, at=9 * SECOND)], 0),  # goes on
        (echoes(3, reply=True), 0),
    ],
)
def test_what_answers_a_syn_again_and_again_is_stuck(
    tmp_path: Path, engine: str, records: list[Seen], told: int
) -> None:
    queries = tables_of(engine, [Path(pcap(tmp_path / "c.pcap", records)).read_bytes()]).queries
    stuck = queries.stuck(SECOND)
    assert (stuck is not None) == bool(told)
    bundles = queries.bundles()
    shares = bundles.shares(Wanted(range(len(bundles.rows)), flows=stuck)) if stuck is not None else []
    assert sum(share.datagrams for share in shares) == told
    assert {share.flow.source for share in shares} <= {address(POD_B)}
