"""VXLAN-GPE holds what its next protocol says, and is counted as VXLAN; the overhead is that of what it holds."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from analysis.scenes import POD_A, Seen, datagram, ethertype, passed, pcap
from engine.generate import UDP, ethernet, ipv4, ipv6, udp

from vxtool import analyze

V6_PODS = b"\xfd" + bytes(14) + b"\x01", b"\xfd" + bytes(14) + b"\x02"


def gpe(next_protocol: int, inner: bytes, flags: int = 0x0C, port: int = 4790) -> bytes:
    """RFC 7348's header with flag P and the next protocol in the last of its reserved bytes; VNI 77."""
    header = struct.pack(">BHBI", flags, 0, next_protocol, 77 << 8)
    return ipv4("192.168.10.100", "192.168.20.100", UDP, udp(50000, port, header + inner), identification=1)


def run(tmp_path: Path, packet: bytes, **options: object) -> dict[str, object]:
    records: list[Seen] = passed(0, packet)
    report = analyze([pcap(tmp_path / "capture.pcap", records)], **options)  # type: ignore[arg-type]
    (flow,) = report["flows"]
    return {
        "protocols": report["tunnel"]["protocols"],
        "vni": flow["vni"],
        "source": flow["source"],
        "protocol": flow["protocol"],
        "overhead": report["overhead"]["bytes_per_packet"],
        "forwarded": report["forwarding"]["forwarded"],
    }


def expected(source: str | None, protocol: str, overhead: int) -> dict[str, object]:
    return {
        "protocols": {"vxlan": 1, "geneve": 0},
        "vni": 77,
        "source": source,
        "protocol": protocol,
        "overhead": {str(overhead): 1},
        "forwarded": 1,
    }


@pytest.fixture
def inner() -> bytes:
    return datagram(100, 1)


def test_ip_without_ethernet_costs_36_bytes(tmp_path: Path, engine: str, inner: bytes) -> None:
    """Outer IPv4 20, UDP 8, VXLAN 8."""
    assert run(tmp_path, gpe(1, inner)) == expected(POD_A, "udp", 36)
    v6 = ipv6(*V6_PODS, UDP, udp(1000, 2000, bytes(70)))
    assert run(tmp_path, gpe(2, v6)) == expected("fd00::1", "udp", 36)


def test_ethernet_costs_50_bytes(tmp_path: Path, engine: str, inner: bytes) -> None:
    frame = ethernet(inner, ethertype(inner))
    assert run(tmp_path, gpe(3, frame)) == expected(POD_A, "udp", 50)
    # Without flag P it is as VXLAN.
    assert run(tmp_path, gpe(0, frame, flags=0x08)) == expected(POD_A, "udp", 50)


def test_what_holds_no_ip(tmp_path: Path, engine: str) -> None:
    """NSH (RFC 8300) has EtherType 0x894F."""
    assert run(tmp_path, gpe(4, bytes(60))) == expected(None, "ethertype-894f", 36)


def test_a_port_can_be_given(tmp_path: Path, engine: str, inner: bytes) -> None:
    packet = gpe(1, inner, port=9999)
    assert run(tmp_path, packet, ports={9999: "vxlan-gpe"}) == expected(POD_A, "udp", 36)


def test_on_a_port_of_vxlan_the_flag_is_a_reserved_bit(tmp_path: Path, engine: str, inner: bytes) -> None:
    frame = ethernet(inner, ethertype(inner))
    assert run(tmp_path, gpe(0, frame, port=4789)) == expected(POD_A, "udp", 50)
