"""What stands in the same bits somewhere in the C engine, and is not the same. The values are counted by hand."""

from __future__ import annotations

import pytest
from engine.both import observe
from engine.generate import (
    EN10MB,
    EPOCH,
    IPV6,
    SLL2,
    TCP,
    UDP,
    Entry,
    address,
    ethernet,
    ipv4,
    ipv6,
    sll2,
    tcp,
    to_pcap,
    to_pcapng,
    udp,
    vxlan,
)

from vxtool.engine.options import EngineOptions
from vxtool.engine.tables import FlowKey

IN, OUT = 0, 4  # SLL2 packet types
ONE, OTHER = "10.0.0.1", "10.0.0.2"
FAR = 1 << 31


def datagram(identification: int = 1, size: int = 40, length: int | None = None) -> bytes:
    data = udp(1, 2, bytes(size))
    return ipv4(ONE, OTHER, UDP, data, identification=identification, length=length, dont_fragment=True)


@pytest.mark.parametrize(("told", "first_byte"), [(1, 2), (2, 4)])
def test_macs_that_read_like_a_told_direction(told: int, first_byte: int) -> None:
    """The second record's direction is untold, whatever its MACs."""
    odd = ethernet(datagram(2), destination=bytes([first_byte]) + bytes(5), source=bytes(6))
    entries = [Entry(EPOCH, ethernet(datagram(1)), direction=told), Entry(EPOCH + 10, odd)]
    (row,) = observe(to_pcapng(entries, EN10MB)).interfaces.values()
    assert (row.records_in + row.records_out, row.records_unknown) == (1, 1)


def test_a_tunnel_of_zeros_is_not_that_of_those_beyond_the_limit() -> None:
    zeros, nearly = bytes(16), bytes(15) + b"\1"
    ends = [(zeros, nearly), (b"\xfd" + nearly[1:], b"\xfe" + nearly[1:]), (zeros, nearly)]
    records = []
    for number, (source, destination) in enumerate(ends):
        data = udp(5, 8472, vxlan(7, ethernet(datagram(number))))
        records.append(Entry(EPOCH + number, sll2(ipv6(source, destination, UDP, data), 1, IN, IPV6)))
    tunnels = observe(to_pcap(records, SLL2), EngineOptions(most_tunnels=1)).tunnels
    assert {key[:2]: row.datagrams for key, row in tunnels.items()} == {
        (zeros, nearly): 2,
        (b"", b""): 1,
    }


def test_lengths_that_differ_by_2_gib() -> None:
    """Where the packet says 0 the record tells how long it is, up to 2 GiB: they are two datagrams."""
    packet = sll2(datagram(length=0), 1, IN)
    records = [Entry(EPOCH, packet), Entry(EPOCH + 1000, sll2(datagram(length=0), 1, OUT), len(packet) + FAR)]
    tables = observe(to_pcap(records, SLL2))
    assert sorted(length for _, length in tables.sizes) == [68, FAR - 1]


def test_what_a_tunnel_adds_to_a_super_frame_of_4_gib() -> None:
    """It came in plain, and one of its pieces left in a tunnel, with 50 bytes more."""
    whole = ipv4(ONE, OTHER, TCP, tcp(4000, 80, 1000, bytes(200)), identification=9, length=0, dont_fragment=True)
    piece = ipv4(ONE, OTHER, TCP, tcp(4000, 80, 1000, bytes(100)), identification=9, ttl=63, dont_fragment=True)
    outer = ipv4("192.168.1.1", "192.168.2.1", UDP, udp(50000, 8472, vxlan(256, ethernet(piece))), identification=7)
    records = [Entry(EPOCH, sll2(whole, 1, IN), (1 << 32) - 1), Entry(EPOCH + 10, sll2(outer, 2, OUT))]
    tables = observe(to_pcap(records, SLL2))
    assert tables.overheads == {50: 1}
    (cell,) = tables.cells.values()
    assert (cell.inner_bytes, cell.outer_bytes) == (FAR - 1, FAR - 1 + 50)


def test_bytes_on_the_wire_of_pieces_of_which_one_was_fragmented() -> None:
    """Three of 600 bytes of data: one takes 640, and 50 in the tunnel, so the others have 90 of headers too."""

    def segment(sequence: int, size: int, ttl: int) -> bytes:
        data = tcp(4000, 80, sequence, bytes(size))
        return ipv4(ONE, OTHER, TCP, data, identification=0, ttl=ttl, dont_fragment=True)

    data = udp(50000, 8472, vxlan(256, ethernet(segment(1000, 600, 63))))
    first = ipv4("192.168.1.1", "192.168.2.1", UDP, data[:560], identification=77, more=True)
    tail = ipv4("192.168.1.1", "192.168.2.1", UDP, data[560:], identification=77, offset=560)
    frames = [
        sll2(segment(1000, 1800, 64), 1, IN),
        sll2(first, 2, OUT),
        sll2(tail, 2, OUT),
        sll2(segment(1600, 600, 63), 3, OUT),
        sll2(segment(2200, 600, 63), 3, OUT),
    ]
    tables = observe(to_pcap([Entry(EPOCH + 10 * at, frame) for at, frame in enumerate(frames)], SLL2))
    assert FlowKey(256, TCP, address(ONE), 4000, address(OTHER), 80) in tables.flows
    (cell,) = tables.cells.values()
    assert (cell.wire_packets, cell.outer_bytes, cell.wire_bytes) == (3, 690, 690 + 2 * 90)
