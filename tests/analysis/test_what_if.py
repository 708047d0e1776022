"""How many packets the same data would have been: against what crossed the wire, and against sums by hand."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from analysis.scenes import (
    ETH1,
    ETH2,
    MS,
    NODE_A,
    NODE_B,
    POD_A,
    POD_B,
    VNI_A,
    Seen,
    back,
    datagram,
    fragments,
    passed,
    pcap,
    ping,
    router_links,
    segment,
    tunnel,
)
from captures.samples import sample
from engine.generate import IPV6, ethernet, ipv4, ipv6, mss, tcp, udp, vxlan

from vxtool import analyze
from vxtool.analysis.model import WhatIf
from vxtool.errors import UsageError

HERE, THERE = (POD_A, 32788), (POD_B, 80)


def ask(tmp_path: Path, records: list[Seen], *mtus: int) -> dict[tuple[bool, int], WhatIf]:
    report = analyze([pcap(tmp_path / "c.pcap", records)], links=[router_links(tmp_path / "links.json")], mtus=mtus)
    return {(row["tunnel"], row["underlay"]): row for row in report["what_if"]}


def transfer(segments: int, data: int = 1410) -> list[Seen]:
    """SYN and SYN with ACK, 44 bytes inside each, then full segments without options."""
    rows = [
        *passed(0, tunnel(segment(0, 0, flags=2, options=mss(1410)))),
        *passed(MS, back(segment(0, 0, THERE, HERE, flags=0x12, options=mss(1410))), ingress=ETH2, egress=ETH1),
    ]
    for number in range(segments):
        rows += passed((2 + number) * MS, tunnel(segment(1 + number * data, data)))
    return rows


def test_full_segments_are_cut_anew(tmp_path: Path) -> None:
    """100 segments of 1,410 bytes are 141,000: 1,460 go into 1500 without a tunnel, 8,910 into 9000 less 90."""
    rows = ask(tmp_path, transfer(100), 1400)
    native, usual, jumbo, small = rows[False, 1500], rows[True, 1500], rows[True, 9000], rows[True, 1400]
    assert [row["packets"] for row in (native, usual, jumbo, small)] == [2 + 97, 102, 2 + 16, 2 + 108]
    # 40 bytes of TCP and IP in each packet, 44 in each SYN, 50 of the tunnel.
    assert native["bytes"] == 141_000 + 97 * 40 + 2 * 44
    assert usual["bytes"] == 141_000 + 100 * 90 + 2 * 94
    assert jumbo["bytes"] == 141_000 + 16 * 90 + 2 * 94
    assert (usual["percent_of_packets"], usual["percent_of_bytes"]) == (100, 100)
    assert jumbo["percent_of_packets"] == 17.65  # 18 of 102
    assert [row["inner"] for row in (native, usual, jumbo, small)] == [1500, 1450, 8950, 1350]


def test_what_was_not_full_stays_as_it_is(tmp_path: Path) -> None:
    rows = ask(tmp_path, transfer(10, data=1300))
    assert {row["packets"] for row in rows.values()} == {12}


def test_other_protocols_keep_their_sizes_and_are_fragmented(tmp_path: Path) -> None:
    """1,450 bytes inside are 1,500 outside, so 1,480 behind the header: 1,376 of them fit 1400, 552 fit 576."""
    records = [row for at in range(5) for row in passed(at * MS, tunnel(datagram(1450, at + 1)))]
    rows = ask(tmp_path, records, 1400, 576)
    assert [rows[True, mtu]["packets"] for mtu in (9000, 1500, 1400, 576)] == [5, 5, 10, 15]
    assert rows[True, 1400]["bytes"] == 5 * (1500 + 20)
    assert rows[True, 576]["bytes"] == 5 * (1500 + 40)
    assert rows[False, 1500]["bytes"] == 5 * 1450


def test_full_segments_in_fragments_are_cut_anew_where_they_fit(tmp_path: Path) -> None:
    """Pods at 1500 send 20 segments of 1,460 bytes and 3 pings of 1,500: each is two fragments over 1500. 29,200
    bytes are 4 segments of up to 8,910 over 9000."""
    records = [
        *passed(0, tunnel(segment(0, 0, flags=2, options=mss(1460)))),
        *passed(MS, back(segment(0, 0, THERE, HERE, flags=0x12, options=mss(1460))), ingress=ETH2, egress=ETH1),
    ]
    packets = [segment(1 + number * 1460, 1460) for number in range(20)]
    packets += [ping(number, size=1500) for number in range(3)]
    for number, packet in enumerate(packets):
        for piece in fragments(tunnel(packet, identification=number + 1), 1480):
            records += passed((2 + number) * MS, piece)
    rows = ask(tmp_path, records)
    assert [rows[key]["packets"] for key in ((False, 1500), (True, 1500), (True, 9000))] == [25, 48, 9]
    assert (rows[True, 1500]["percent_of_packets"], rows[True, 1500]["percent_of_bytes"]) == (100, 100)
    assert rows[True, 9000]["bytes"] == 2 * 94 + 29_200 + 4 * 90 + 3 * 1550


V6_A, V6_B = (b"\xfd" + bytes(14) + bytes([last]) for last in (1, 2))


def big_segment(number: int, size: int) -> bytes:
    """A tunnel's packet over 65,535 bytes, with a segment of IPv6 that says its length in an option (RFC 2675)."""
    inner = tcp(40000, 80, 1 + number * size, bytes(size))
    option = struct.pack(">BBBBI", 6, 0, 0xC2, 4, len(inner) + 8)
    frame = ethernet(ipv6(V6_A, V6_B, 0, option + inner, length=0), IPV6)
    packet = udp(50000, 8472, vxlan(VNI_A, frame), length=0)
    return ipv4(NODE_A, NODE_B, 17, packet, identification=100 * (1 + number), length=0)


def test_the_option_of_a_jumbogram_is_not_in_each_segment(tmp_path: Path) -> None:
    """5 of 100 segments of 1,390 bytes, with 60 bytes of TCP and IPv6 in each and 50 of the tunnel."""
    here, there = (V6_A, V6_B), (V6_B, V6_A)
    syn = ipv6(*here, 6, tcp(40000, 80, 0, b"", flags=2, options=mss(1390)))
    answer = ipv6(*there, 6, tcp(80, 40000, 0, b"", flags=0x12, options=mss(1390)))
    records = [*passed(0, tunnel(syn)), *passed(MS, back(answer), ingress=ETH2, egress=ETH1)]
    for number in range(5):
        records += passed((2 + number) * MS, big_segment(number, 139_000))
    row = ask(tmp_path, records)[True, 1500]
    assert (row["packets"], row["percent_of_packets"], row["percent_of_bytes"]) == (502, 100, 100)
    assert row["bytes"] == 500 * (1390 + 60 + 50) + 2 * (64 + 50)


@pytest.mark.parametrize(
    ("name", "packets"),
    [
        # 162 datagrams, of which 88 are segments of 1,448 bytes in fragments: -(-88 * 1448 // 8898) is 15.
        ("pods-mtu-1500", 162 - 88 + 15),
        # 47 of 111 are segments of 1,358 bytes, as a link told the pods: -(-47 * 1358 // 8858) is 8.
        ("ipv6-pods-mtu-1500", 111 - 47 + 8),
        # 5 of 1,398 bytes are lost, 47 of 1,298 follow the message: 1 and 7.
        ("router-mtu-1400-df", 126 - 5 - 47 + 1 + 7),
    ],
)
def test_what_a_smaller_link_made_of_segments_is_cut_anew(name: str, packets: int) -> None:
    rows = sample(f"{name}.pcap").analyze()["what_if"]
    (row,) = (row for row in rows if row["tunnel"] and row["underlay"] == 9000)
    assert row["packets"] == packets


@pytest.mark.parametrize(
    "name", ["iperf-offload-off", "iperf-offload-on", "pods-mtu-1500", "ipv6-pods", "ipv6-underlay", "ping-http"]
)
def test_with_the_mtu_that_there_was_it_is_what_there_was(name: str) -> None:
    """Segments, super-frames and fragments of the kernel's, over links of 1500."""
    report = sample(f"{name}.pcap").analyze()
    (row,) = (row for row in report["what_if"] if row["tunnel"] and row["underlay"] == 1500)
    assert row["packets"] == report["overhead"]["wire_packets"]
    assert (row["percent_of_packets"], row["percent_of_bytes"]) == (100, 100)


def test_without_a_tunnel_there_is_nothing_to_compare(tmp_path: Path) -> None:
    assert ask(tmp_path, passed(0, segment(1, 1000))) == {}


@pytest.mark.parametrize("mtu", [0, 575, 65536])
def test_an_mtu_that_no_link_has_is_refused(tmp_path: Path, mtu: int) -> None:
    with pytest.raises(UsageError, match=f"an MTU of {mtu}: expected 576 to 65535"):
        ask(tmp_path, transfer(1), mtu)
