"""What is read of the packets that ICMP quotes: as much as there is, alike in both engines."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from conftest import require_native
from engine.generate import (
    EPOCH,
    ICMP,
    ICMPV6,
    IPV6,
    SLL2,
    TCP,
    UDP,
    V6_A,
    V6_B,
    Entry,
    address,
    echo,
    ethernet,
    fragment_header,
    geneve,
    icmp,
    ipv4,
    ipv6,
    sll2,
    tcp,
    to_pcap,
    udp,
    vxlan,
)

from vxtool.engine import make_engine
from vxtool.engine.options import EngineOptions
from vxtool.engine.tables import (
    GENEVE,
    MOST_TOO_BIG,
    OPAQUE,
    PLAIN,
    TAIL_PORT,
    VXLAN,
    FlowKey,
    Sample,
    Tables,
    TooBig,
    TooBigRow,
)

IN, OUT = 0, 4  # SLL2 packet types
POD, PEER, NODE, FAR, ROUTER = "172.20.0.107", "172.20.2.4", "192.168.10.100", "192.168.20.100", "192.168.10.200"
NOTHING = FlowKey(-1, OPAQUE, b"", -1, b"", -1)
CAPTURES = Path(__file__).parents[2] / "captures"


@pytest.fixture(params=["pure", "native"])
def name(request: pytest.FixtureRequest) -> str:
    if request.param == "native":
        require_native()
    return str(request.param)


def observe(name: str, *frames: bytes, start: int = 0, part: bool = False) -> Tables:
    return run(name, frames, start, part).tables()


def run(name: str, frames: tuple[bytes, ...], start: int = 0, part: bool = False):  # type: ignore[no-untyped-def]
    entries = [Entry(EPOCH + start + at, frame) for at, frame in enumerate(frames)]
    engine = make_engine(EngineOptions(part=part), name)
    engine.feed(0, to_pcap(entries, SLL2))
    engine.end(0)
    return engine


def too_big(quoted: bytes, mtu: int = 1400) -> bytes:
    return ipv4(ROUTER, NODE, ICMP, icmp(3, 4, mtu, quoted))


SEGMENT = ipv4(POD, PEER, TCP, tcp(4000, 80, 1, bytes(1398)), dont_fragment=True)
OUTER = ipv4(NODE, FAR, UDP, udp(50000, 8472, vxlan(36705, ethernet(SEGMENT))), dont_fragment=True)
FLOW = FlowKey(36705, TCP, address(POD), 4000, address(PEER), 80)


@pytest.mark.parametrize(
    ("quoted", "wear", "flow"),
    [
        (548, VXLAN, FLOW),  # Linux
        (74, VXLAN, FLOW),  # the inner ports are the last of it
        (73, VXLAN, FLOW._replace(source_port=-1, destination_port=-1)),
        (70, VXLAN, FLOW._replace(source_port=-1, destination_port=-1)),
        (69, VXLAN, NOTHING._replace(vni=36705)),  # less than the inner IP header
        (36, VXLAN, NOTHING._replace(vni=36705)),
        (35, VXLAN, NOTHING),
        (28, VXLAN, NOTHING),  # RFC 792
        (24, VXLAN, NOTHING),
        (23, PLAIN, FlowKey(-1, UDP, address(NODE), -1, address(FAR), -1)),
        (20, PLAIN, FlowKey(-1, UDP, address(NODE), -1, address(FAR), -1)),
    ],
)
def test_what_is_not_quoted_stays_unknown(name: str, quoted: int, wear: int, flow: FlowKey) -> None:
    tables = observe(name, sll2(too_big(OUTER[:quoted]), 2, OUT))
    ends = (address(ROUTER), address(NODE))
    key = TooBig(False, *ends, 1400, address(NODE), address(FAR), wear, flow)
    # 1,398 bytes of data, 20 of TCP, 20 of IP, 50 of the tunnel.
    assert tables.too_big == {key: TooBigRow(1488, 0, 1, 0, EPOCH, [Sample(EPOCH, 0, 1)])}


def test_a_quote_may_be_shorter_than_an_ip_header(name: str) -> None:
    (key,) = observe(name, sll2(too_big(OUTER[:19]), 2, OUT)).too_big
    assert (key.quoted_source, key.wear, key.flow) == (b"", PLAIN, NOTHING)


@pytest.mark.parametrize(
    ("packet", "wear", "flow"),
    [
        (
            ipv4(POD, PEER, ICMP, echo(7, 1, bytes(1400))),
            PLAIN,
            FlowKey(-1, ICMP, address(POD), 7, address(PEER), -1),
        ),
        (
            ipv4(POD, PEER, UDP, bytes(1400), offset=1480),
            PLAIN,
            FlowKey(-1, UDP, address(POD), TAIL_PORT, address(PEER), -1),
        ),
        (
            ipv4(NODE, FAR, UDP, udp(5, 6081, geneve(9, ethernet(SEGMENT, tags=(7,)), bytes(8)))),
            GENEVE,
            FLOW._replace(vni=9),
        ),
        # VXLAN-GPE: next protocol 1 is IPv4 (draft-ietf-nvo3-vxlan-gpe, section 3.2).
        (ipv4(NODE, FAR, UDP, udp(5, 4790, b"\x0c\0\0\1\0\0\x09\0" + SEGMENT)), VXLAN, FLOW._replace(vni=9)),
        (
            ipv4(NODE, FAR, UDP, udp(5, 6081, geneve(9, SEGMENT, ethertype=0x0800))),
            GENEVE,
            FLOW._replace(vni=9),
        ),
        (
            ipv4(NODE, FAR, UDP, udp(5, 8472, vxlan(300, ethernet(ipv6(V6_A, V6_B, UDP, udp(1, 2, b"")), IPV6)))),
            VXLAN,
            FlowKey(300, UDP, V6_A, 1, V6_B, 2),
        ),
        (
            ipv6(V6_A, V6_B, 44, fragment_header(UDP, 1, 0, True) + udp(1, 2, bytes(1200))),
            PLAIN,
            FlowKey(-1, UDP, V6_A, 1, V6_B, 2),
        ),
        (ipv6(V6_A, V6_B, ICMPV6, icmp(128, 0, 9 << 16, bytes(9))), PLAIN, FlowKey(-1, ICMPV6, V6_A, 9, V6_B, -1)),
    ],
)
def test_all_kinds_of_packets_are_quoted(name: str, packet: bytes, wear: int, flow: FlowKey) -> None:
    (key,) = observe(name, sll2(too_big(packet), 2, OUT)).too_big
    assert (key.wear, key.flow) == (wear, flow)


def test_ipv6_says_too_big_by_a_type_of_its_own(name: str) -> None:
    outer = ipv6(V6_A, V6_B, UDP, udp(50000, 8472, vxlan(36705, ethernet(SEGMENT))))
    message = ipv6(V6_B, V6_A, ICMPV6, icmp(2, 0, 1280, outer[:1232]))
    tables = observe(name, sll2(message, 2, IN, IPV6), sll2(message, 3, OUT, IPV6))
    (entry,) = tables.too_big.items()
    # 1,398 bytes of data, 40 of TCP and IPv4, 70 of the tunnel.
    samples = [Sample(EPOCH, 0, 1), Sample(EPOCH + 1, 0, 2)]
    assert entry == (
        TooBig(False, V6_B, V6_A, 1280, V6_A, V6_B, VXLAN, FLOW),
        TooBigRow(1508, 1, 1, 0, EPOCH + 1, samples),
    )
    others = [
        ipv6(V6_B, V6_A, ICMPV6, icmp(kind, code, 1280, outer[:99])) for kind, code in ((1, 0), (2, 1), (3, 0))
    ]
    assert not observe(name, *(sll2(other, 2, IN, IPV6) for other in others)).too_big


def test_rows_beyond_the_limit_are_counted(name: str) -> None:
    messages = [sll2(too_big(OUTER[:100], mtu=600 + at), 2, OUT) for at in range(MOST_TOO_BIG + 3)]
    tables = observe(name, *messages)
    assert len(tables.too_big) == MOST_TOO_BIG
    assert tables.counters.folded_quotes == 3


def test_parts_add_up(name: str) -> None:
    messages = tuple(sll2(too_big(OUTER[:size]), 2, OUT) for size in (548, 28, 548, 548, 28, 548))
    whole = run(name, messages)
    first, second = run(name, messages[:3]), run(name, messages[3:], start=3, part=True)
    first.merge(second)
    assert first.tables().too_big == whole.tables().too_big


def test_both_engines_read_any_bytes_alike() -> None:
    require_native()
    chance = random.Random(1)
    packets = [
        OUTER,
        SEGMENT,
        ipv6(V6_A, V6_B, 0, bytes([44, 0]) + bytes(6) + fragment_header(UDP, 1, 8, True) + bytes(99)),
    ]
    frames = []
    for _ in range(900):
        packet = bytearray(chance.choice(packets))
        for _ in range(chance.randint(0, 4)):
            packet[chance.randrange(min(120, len(packet)))] = chance.choice(
                [0, 1, 0x45, 0x60, 44, 255, chance.randrange(256)]
            )
        frames.append(
            sll2(too_big(bytes(packet)[: chance.randint(0, 160)]), chance.randint(1, 3), chance.choice([IN, OUT]))
        )
    pure, native = (observe(engine, *frames) for engine in ("pure", "native"))
    assert len(pure.too_big) > 100
    assert pure.too_big == native.too_big


def test_a_routers_own_messages_are_read(name: str) -> None:
    """`tshark -r router-mtu-1400-df.pcap -Y icmp`: frames 40, 42, 44, 46 and 48, MTU 1400, of packets of 1500; the
    ends of the inner connection are those of iperf3 in its notes."""
    engine = make_engine(EngineOptions(), name)
    engine.feed(0, (CAPTURES / "router-mtu-1400-df.pcap").read_bytes())
    engine.end(0)
    ((key, row),) = engine.tables().too_big.items()
    assert (key.source, key.destination, key.mtu) == (address(ROUTER), address(NODE), 1400)
    assert key.flow == FlowKey(36705, TCP, address(POD), 43278, address(PEER), 5201)
    assert (row.largest, row.records_in, row.records_out) == (1500, 0, 5)
    assert [sample.record for sample in row.samples] == [40, 42, 44, 46]
