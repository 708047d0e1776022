"""Records may claim any length up to 4 GB, and headers believe them: what that costs is the same for all."""

from __future__ import annotations

import struct
import tracemalloc
from pathlib import Path

import pytest
from engine.generate import EPOCH, IPV6, UDP, V6_A, V6_B, Entry, ethernet, ipv6, to_pcap, udp

import vxtool

HOP_BY_HOP = 0
FAR = 0xFFFFFFFF


def jumbo(payload: bytes) -> bytes:
    """An IPv6 packet whose jumbo payload option says 2^32 - 1 bytes (RFC 2675, section 2)."""
    option = struct.pack(">BBBBI", UDP, 0, 0xC2, 4, FAR)
    return ethernet(ipv6(V6_A, V6_B, HOP_BY_HOP, option + payload, length=0), IPV6)


@pytest.mark.usefixtures("engine")
def test_a_packet_of_4_gb_takes_no_memory(tmp_path: Path) -> None:
    entries = [Entry(EPOCH + number, jumbo(udp(1, 2, bytes(60))), FAR) for number in range(3)]
    path = tmp_path / "far.pcap"
    path.write_bytes(to_pcap(entries, 1))
    tracemalloc.start()
    try:
        report = vxtool.analyze([str(path)])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert report["mtu"]["super_frames"] == 3
    assert peak < 50e6
