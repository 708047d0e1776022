"""Files of packets that are made of one template: what counts, what stays, and what is refused."""

from __future__ import annotations

import io

import pytest
from conftest import require_native

from vxtool.packet import ICMP, TCP, UDP, VXLAN, Ethernet, IPv4, IPv6, PacketError, bulk, encode
from vxtool.packet.choice import native_codec
from vxtool.packet.repeater import repeat

A, B = "02:00:00:00:00:01", "02:00:00:00:00:02"
TEMPLATE = (
    Ethernet(A, B),
    IPv4("192.168.10.100", "192.168.20.100", identification=0xFFFF),
    UDP(40000, 8472, checksum=0),
    VXLAN(0xFFFFFF),
    Ethernet(A, B),
    IPv4("10.0.0.255", "10.1.0.1", ttl=1),
    TCP(1000, 80, sequence=5),
)


@pytest.fixture(params=["pure", "native"])
def template_pcap(request, monkeypatch):
    """template_pcap with the records of each codec that is built."""
    if request.param == "native":
        require_native()
    monkeypatch.setattr(bulk, "repeat", repeat if request.param == "pure" else native_codec()[2])
    return bulk.template_pcap


def records_of(data):
    import dpkt

    return [(round(time * 10**9), frame) for time, frame in dpkt.pcap.Reader(io.BytesIO(data))]


def test_fields_count_and_start_over(template_pcap):
    increments = {
        (1, "identification"): 1,
        (3, "vni"): 1,
        (5, "source"): 1,
        (5, "ttl"): -1,
        (6, "sequence"): 100,
        (4, "source"): 1 << 40,
    }
    data = template_pcap(*TEMPLATE, count=3, payload=b"x", increments=increments, interval_ns=5)
    expected = []
    for number, (identification, vni, source, ttl, mac) in enumerate(
        [
            (0xFFFF, 0xFFFFFF, "10.0.0.255", 1, "02:00:00:00:00:01"),
            (0, 0, "10.0.1.0", 0, "03:00:00:00:00:01"),
            (1, 1, "10.0.1.1", 255, "04:00:00:00:00:01"),
        ]
    ):
        frame = encode(
            TEMPLATE[0],
            TEMPLATE[1]._replace(identification=identification),
            TEMPLATE[2],
            VXLAN(vni),
            Ethernet(mac, B),
            IPv4(source, "10.1.0.1", ttl=ttl),
            TCP(1000, 80, sequence=5 + 100 * number),
            payload=b"x",
        )
        expected.append((5 * number, frame))
    assert records_of(data) == expected


def test_scapy_finds_all_checksums_right(template_pcap):
    scapy = pytest.importorskip("scapy.all", reason="scapy is not installed")
    layers = (Ethernet(A, B), IPv6("fd00::ffff:ffff:ffff:fffe", "fd00::2"), UDP(65535, 8472), *TEMPLATE[3:])
    increments = {(1, "source"): 1, (2, "source_port"): 1, (5, "destination"): 7, (6, "source_port"): 3}
    data = template_pcap(*layers, count=4, payload=bytes(range(99)), increments=increments)
    frames = [scapy.Ether(frame) for _, frame in records_of(data)]
    assert [frame[scapy.IPv6].src for frame in frames][1:3] == ["fd00::ffff:ffff:ffff:ffff", "fd00:0:0:1::"]
    for frame in frames:
        again = frame.copy()
        for layer in (again[scapy.UDP], again.getlayer(scapy.IP), again[scapy.TCP]):
            del layer.chksum
        assert bytes(again) == bytes(frame)


def test_a_checksum_that_the_template_gives_stays(template_pcap):
    layers = (IPv4("10.0.0.1", "10.0.0.2", checksum=7), ICMP(8, rest=0, checksum=9))
    data = template_pcap(*layers, count=3, increments={(0, "ttl"): 1, (1, "rest"): 1}, link_type="RAW")
    assert {(frame[10:12].hex(), frame[22:24].hex()) for _, frame in records_of(data)} == {("0007", "0009")}


def test_parts_together_are_the_whole(template_pcap):
    told = {"increments": {(3, "vni"): -3, (6, "source_port"): 7}, "time_ns": 10**18, "interval_ns": 7 * 10**8}
    whole = template_pcap(*TEMPLATE, count=9, **told)
    parts = [template_pcap(*TEMPLATE, count=4, **told)]
    parts += [template_pcap(*TEMPLATE, count=size, first=at, header=False, **told) for at, size in ((4, 3), (7, 2))]
    assert b"".join(parts) == whole
    assert [time for time, _ in records_of(whole)][-1] == pytest.approx(10**18 + 56 * 10**8, abs=1000)


def test_no_packets_are_an_empty_file(template_pcap):
    data = template_pcap(*TEMPLATE, count=0, link_type=276)
    assert data.hex() == "4d3cb2a10200040000000000000000000000040014010000"


@pytest.mark.parametrize(
    ("named", "problem"),
    [
        ({"increments": {(7, "vni"): 1}}, "increments: expected the index of one of 7 layers, found 7"),
        ({"increments": {(-1, "vni"): 1}}, "increments: expected the index of one of 7 layers, found -1"),
        (
            {"increments": {(3, "flags"): 1}},
            r"increments of layer 3: expected a field that can count \(vni, reserved_low\), found 'flags'",
        ),
        ({"increments": {(3, "vni"): "1"}}, r"increments of layer 3\.vni: expected an integer, found '1'"),
        ({"count": -1}, r"pcap\.count: expected an integer from 0 to 4294967295, found -1"),
        ({"first": 0.5}, r"pcap\.first: expected an integer"),
        ({"interval_ns": -1}, r"pcap\.interval_ns: expected an integer"),
        ({"time_ns": None}, r"pcap\.time_ns: expected an integer"),
        (
            {"time_ns": (1 << 32) * 10**9 - 1, "interval_ns": 1},
            r"pcap\.time_ns: expected times before 2 \*\* 32 s, found 4294967296 s in the last packet",
        ),
        ({"link_type": "WIFI"}, "link type 'WIFI': expected one of"),
    ],
)
def test_what_cannot_be_is_refused(template_pcap, named, problem):
    with pytest.raises(PacketError, match=f"^{problem}"):
        template_pcap(*TEMPLATE, **{"count": 2} | named)


def test_a_wrong_template_is_refused_as_by_encode(template_pcap):
    with pytest.raises(PacketError, match=r"^VXLAN\.vni: expected an integer from 0 to 16777215, found 16777216"):
        template_pcap(*TEMPLATE[:3], VXLAN(1 << 24), count=2, increments={(3, "vni"): 1})
