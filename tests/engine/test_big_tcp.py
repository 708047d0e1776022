"""BIG TCP: packets over 65,535 bytes, whose lengths are 0 in every header, outside and inside (RFC 2675, and Linux
since 6.3 for IPv4). The record's original length tells the truth; all expected numbers are sums done by hand."""

from __future__ import annotations

import struct

import pytest
from conftest import require_native
from engine.generate import (
    EPOCH,
    IPV4,
    IPV6,
    SLL2,
    TCP,
    UDP,
    V6_A,
    V6_B,
    Entry,
    ethernet,
    geneve,
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
from vxtool.engine.tables import SEGMENTED, Tables
from vxtool.engine.tables import TCP as TCP_PROTOCOL

DATA = 100_000
SEGMENT = 1_400  # 71 of them, and 600 bytes
HOP_BY_HOP = 0


def ip(
    version: int, protocol: int, payload: bytes, ends: tuple[str, str], identification: int, jumbo: bool
) -> bytes:
    """An IP packet with its length where the field has room for it, else 0; `jumbo`: with IPv6's option for it."""
    long = len(payload) + 20 > 65_535
    if version == 4:
        return ipv4(*ends, protocol, payload, identification=identification, length=0 if long else None)
    if jumbo and long:
        option = struct.pack(">BBBBI", protocol, 0, 0xC2, 4, len(payload) + 8)
        return ipv6(V6_A, V6_B, HOP_BY_HOP, option + payload, length=0)
    return ipv6(V6_A, V6_B, protocol, payload, length=0 if long else None)


def packet(outer: int, inner: int, wear: str, jumbo: bool, at: int, size: int, number: int) -> bytes:
    """TCP data from sequence number 1 + `at` on, in a tunnel; `number` counts identifications up."""
    segment = tcp(4000, 80, 1 + at, bytes(size), options=timestamps(1, 2))
    frame = ethernet(
        ip(inner, TCP, segment, ("10.0.0.1", "10.0.1.1"), 7 + number, jumbo), IPV4 if inner == 4 else IPV6
    )
    body, port = (vxlan(256, frame), 8472) if wear == "vxlan" else (geneve(256, frame, bytes(8)), 6081)
    long = 8 + len(body) > 65_535
    return ip(
        outer, UDP, udp(50000, port, body, 0 if long else None), ("192.168.1.1", "192.168.2.1"), 9 + number, jumbo
    )


@pytest.fixture(params=["pure", "native"])
def engine(request: pytest.FixtureRequest) -> str:
    if request.param == "native":
        require_native()
    return str(request.param)


def observe(engine: str, outer: int, *packets: tuple[int, bytes], snaplen: int) -> Tables:
    """Packets that come in by interface 1 (packet type 0) or leave by 2 (4)."""
    ethertype = IPV4 if outer == 4 else IPV6
    entries = [
        Entry(EPOCH + number * 1000, sll2(data, 1 if kind == 0 else 2, kind, ethertype))
        for number, (kind, data) in enumerate(packets)
    ]
    made = make_engine(EngineOptions(), engine)
    made.feed(0, to_pcap(entries, SLL2, snaplen))
    made.end(0)
    return made.tables()


@pytest.mark.parametrize("snaplen", [256, 262_144])
@pytest.mark.parametrize("jumbo", [False, True])
@pytest.mark.parametrize("wear", ["vxlan", "geneve"])
@pytest.mark.parametrize("inner", [4, 6])
@pytest.mark.parametrize("outer", [4, 6])
class TestLengthsOf0:
    def lengths(self, outer: int, inner: int, wear: str, jumbo: bool) -> tuple[int, int]:
        """Of the inner packet: data, TCP with timestamps 32, IP. Of the outer one beside that: Ethernet 14, the
        tunnel's header 8, Geneve's options 8, UDP 8, IP."""
        inside = DATA + 32 + {4: 20, 6: 40 + 8 * jumbo}[inner]
        return inside, inside + 14 + {"vxlan": 8, "geneve": 16}[wear] + 8 + {4: 20, 6: 40 + 8 * jumbo}[outer]

    def test_passed_on_whole(
        self, engine: str, outer: int, inner: int, wear: str, jumbo: bool, snaplen: int
    ) -> None:
        whole = packet(outer, inner, wear, jumbo, 0, DATA, 0)
        tables = observe(engine, outer, (0, whole), (4, whole), snaplen=snaplen)
        inside, outside = self.lengths(outer, inner, wear, jumbo)
        assert tables.counters.malformed_records == tables.counters.cut_records == 0
        assert tables.counters.tunnel_records == 2
        (((flow, path), cell),) = tables.cells.items()
        assert (flow.vni, flow.protocol, flow.source_port, len(path.stages)) == (256, TCP_PROTOCOL, 4000, 2)
        assert (cell.datagrams, cell.inner_bytes, cell.outer_bytes) == (1, inside, outside)
        assert [key[1:] for key in tables.large] == [(outside, inside, DATA)]
        (row,) = tables.flows.values()
        assert row.data_bytes == DATA

    def test_cut_into_segments(
        self, engine: str, outer: int, inner: int, wear: str, jumbo: bool, snaplen: int
    ) -> None:
        left = [
            (4, packet(outer, inner, wear, jumbo, at, min(SEGMENT, DATA - at), number))
            for number, at in enumerate(range(0, DATA, SEGMENT))
        ]
        whole = packet(outer, inner, wear, jumbo, 0, DATA, 0)
        inside, outside = self.lengths(outer, inner, wear, jumbo)
        for lost in (0, 1):
            tables = observe(engine, outer, (0, whole), *left[lost:], snaplen=snaplen)
            (((_, path), cell),) = tables.cells.items()
            assert path.flags & SEGMENTED
            assert (cell.datagrams, cell.inner_bytes, cell.outer_bytes) == (1, inside, outside)
            assert (cell.wire_packets, cell.egress_packets) == (72, 72 - lost)
