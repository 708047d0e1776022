"""Packets and comments of strangers: whatever they hold, what converts captures ends well, or with one line."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from conftest import CAPTURES
from convert.frames import inner_frame, packets_of

import vxtool
from vxtool.capture import PcapngWriter, PcapWriter, read_capture
from vxtool.capture.container import Interface
from vxtool.errors import UsageError


@pytest.mark.parametrize("name", ["router-mtu-1400.pcap", "ipv6-router-mtu-1400.pcap", "node.pcap"])
@pytest.mark.parametrize("seed", range(6))
def test_broken_packets(name: str, seed: int, tmp_path: Path, engine: str) -> None:
    chance = random.Random(seed)
    broken, out = tmp_path / "broken.pcap", str(tmp_path / "out.pcapng")
    with read_capture(str(CAPTURES / name)) as capture:
        records = list(capture)
        link_type = capture.container.interfaces[0].link_type
    with PcapWriter(str(broken), link_type) as writer:
        for record in records:
            data = bytearray(record.data)
            for _ in range(chance.choice([0, 1, 3])):
                data[chance.randrange(len(data))] = chance.randrange(256)
            length = chance.choice([record.length, len(data), len(data) + 9])
            captured = chance.choice([len(data), chance.randrange(len(data))])
            writer.write(record.time_ns, bytes(data[:captured]), length)
    done, _ = vxtool.decap([str(broken)], out)
    assert done.records == len(records)
    assert len(packets_of(out)) == done.datagrams
    copied, _ = vxtool.extract([str(broken)], out, records=[(1, len(records))])
    assert copied.records == len(records)
    vxtool.extract([str(broken)], out, ways=["*,*", "-,*", "*,-"])


@pytest.mark.parametrize(
    ("comment", "message"),
    [
        ("vxtool source=1.1.1.1 destination=2.2.2.2 vni=16777216", "vni=16777216 in its comment, expected 0 to"),
        ("vxtool source=1.1.1.1 destination=2.2.2.2 vni=-1", "vni=-1 in its comment"),
        ("vxtool source=a destination=2.2.2.2 vni=1", "source=a, expected an IP address"),
        ("vxtool source=::1 destination=2.2.2.2 vni=1", "not of one family"),
        ("vxtool source=1.1.1.1 destination=2.2.2.2 vni=1 source_port=99999", "source_port=99999"),
        ("vxtool source=1.1.1.1 destination=2.2.2.2 vni=1 tunnel=gre", "tunnel=gre in its comment"),
        ("vxtool source=1.1.1.1 destination=2.2.2.2 vni=1 tunnel=vxlan header=zz", "header=zz in its comment"),
        ("vxtool source=1.1.1.1 destination=2.2.2.2 vni=1 tunnel=geneve header=0100655800000100", "header=0100"),
        ("vxtool source=1.1.1.1 destination=2.2.2.2 vni=1 tunnel=geneve header=0000080000000100", "it is a frame"),
        ("vxtool vni", "no comment of vxtool's"),
        ("vxtool", "no comment of vxtool's"),
    ],
)
def test_comments_that_make_no_sense(comment: str, message: str, tmp_path: Path) -> None:
    path, out = str(tmp_path / "inner.pcapng"), str(tmp_path / "out.pcapng")
    with PcapngWriter(path, [Interface(1, 0, "x")]) as writer:
        writer.write(0, inner_frame(20), comment=comment)
    with pytest.raises(UsageError, match=message) as caught:
        vxtool.encap(path, out)
    assert str(caught.value).startswith(f"{path}: record 1: ")
    assert "\n" not in str(caught.value)
