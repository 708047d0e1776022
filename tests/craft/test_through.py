"""A report on a capture that was crafted through a router says exactly what its truth says, in both engines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from craft.crafting import NODES, NODES6, PODS, PODS6, assert_true, complaints, craft, fields, truth_of

from vxtool.craft.pieces import fragments

pytestmark = pytest.mark.usefixtures("engine")

THROUGH = ("--through", "eth1,eth2")
SYN = ("--tcp", "32788:80", "--mss", "1410")


@pytest.mark.parametrize(
    "options",
    [
        (*PODS, *NODES, "--icmp", "echo"),
        (*PODS, *NODES, *SYN, "--count", "2000", "--drop", "3%"),
        (*PODS, *NODES, *SYN, "--count", "300", "--rate", "100k", "--drop", "50%", "--vary", "from-port"),
        (*PODS, *NODES, *SYN, "--count", "50", "--rate", "100k", "--drop", "100%"),
        (*PODS, *NODES, "--udp", "1:2", "--count", "400", "--misroute", "eth0=10%", "--drop", "10%"),
        (*PODS, *NODES, "--icmp", "echo", "--count", "20", "--misroute", "eth0"),
        (*PODS, *NODES, "--udp", "1:2", "--size", "1450", "--count", "30", "--mtu", "1400"),
        (*PODS, *NODES, "--udp", "1:2", "--size", "1450", "--count", "30", "--mtu", "1400", "--df"),
        (*PODS, *NODES, "--udp", "1:2", "--size", "1450", "--count", "3000", "--mtu", "1400", "--silent"),
        (*PODS, *NODES, "--udp", "1:2", "--size", "1500", "--count", "30", "--fragment", "1500"),
        (*PODS, *NODES, "--udp", "1:2", "--size", "1500", "--count", "30", "--fragment", "1500", "--mtu", "1400"),
        (*PODS, *NODES, "--udp", "1:2", "--size", "100", "--count", "99", "--vary", "size=50x9",
         "--vary", "source-port=1x3"),
        (*PODS6, *NODES6, "--icmp", "echo", "--count", "500", "--drop", "5%", "--latency", "2ms"),
        (*PODS6, *NODES6, "--tcp", "1:2", "--size", "1430", "--count", "30", "--mtu", "1400", "--vary", "seq"),
        (*PODS6, *NODES, "--tcp", "1:2", "--count", "30", "--tunnel", "geneve", "--vary", "from-port"),
        (*PODS, "--icmp", "echo", "--count", "70", "--drop", "10%"),
        (*PODS, *NODES, "--icmp", "echo", "--latency", "0ns", "--count", "5"),
        (*PODS, *NODES, "--tcp", "1:2", "--ack", "1", "--size", "4234", "--count", "20", "--vary", "seq=4194"),
        (*PODS6, *NODES6, "--udp", "1:2", "--size", "500", "--count", "20", "--snaplen", "256"),
        (*PODS, *NODES, "--udp", "1:2", "--wrong", "checksum", "--wrong", "ip-checksum", "--count", "5"),
    ],
    ids=" ".join,
)  # fmt: skip
@pytest.mark.parametrize("format", ["sll2", "pcapng", "ethernet"])
def test_the_report_is_the_truth(tmp_path: Path, options: tuple[str, ...], format: str) -> None:
    path = tmp_path / "through.pcap"
    craft(*options, *THROUGH, "--format", format, "-o", str(path))
    captures = sorted(tmp_path.glob("through*.pcap"))
    assert len(captures) == (1 if format != "ethernet" else 3 if "--misroute" in options else 2)
    assert_true(path, captures)


def test_a_seed_decides_what_is_lost(tmp_path: Path) -> None:
    made = {}
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        path = tmp_path / f"{name}.pcap"
        craft(*PODS, *NODES, *SYN, "--count", "500", "--drop", "10%", *THROUGH, "--seed", seed, "-o", str(path))
        made[name] = path.read_bytes()
        assert 20 < truth_of(path)["forwarding"]["dropped"] < 90
    assert made["a"] == made["b"]
    assert made["a"] != made["c"]


def test_how_the_capture_is_cut_while_it_is_made_does_not_show(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    for together in (1 << 16, 7):
        monkeypatch.setattr("vxtool.craft.capture._TOGETHER", together)
        path = tmp_path / "parts.pcap"
        craft(*PODS, *NODES, "--udp", "1:2", "--count", "200", "--drop", "20%", "--misroute", "eth0=20%",
              "--vary", "source-port=1x3", "--latency", "5ms", *THROUGH, "-o", str(path))  # fmt: skip
        made.append(path.read_bytes())
    assert made[0] == made[1]


def test_a_single_train_is_written_as_it_would_be_among_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    for plain in (True, False):
        if not plain:
            monkeypatch.setattr("vxtool.craft.router.Sighting.plain", lambda *_: None)
        path = tmp_path / "single.pcap"
        craft(*PODS, *NODES, "--udp", "1:2", "--count", "40000", "--vary", "source-port", "-o", str(path))
        made.append(path.read_bytes())
    assert made[0] == made[1]


def test_a_router_is_seen_as_a_router_is(tmp_path: Path) -> None:
    path = tmp_path / "seen.pcap"
    craft(*PODS, *NODES, "--icmp", "echo", *THROUGH, "--latency", "16us", "-o", str(path))
    assert fields(path, "sll.ifindex", "sll.pkttype", "ip.ttl", "frame.time_delta") == [
        ["3", "0", "64,64", "0.000000000"], ["4", "4", "63,64", "0.000016000"]
    ]  # fmt: skip
    assert complaints(path) == []


def test_interfaces_have_their_names_and_indexes(tmp_path: Path) -> None:
    path = tmp_path / "named.pcapng"
    craft(*PODS, *NODES, "--icmp", "echo", "--through", "ens5=7,wg0", "-o", str(path))
    assert fields(path, "frame.interface_name", "frame.packet_flags_direction") == [
        ["ens5", "0x00000001"],
        ["wg0", "0x00000002"],
    ]
    links = json.loads((tmp_path / "named.links.json").read_text())
    assert {row["ifname"]: row["ifindex"] for row in links} == {"ens5": 7, "wg0": 3}


def test_the_refusal_of_a_packet_with_df_quotes_it(tmp_path: Path) -> None:
    path = tmp_path / "refused.pcap"
    craft(*PODS, *NODES, "--udp", "1:2", "--size", "1450", "--mtu", "1400", "--df", *THROUGH, "-o", str(path))
    rows = fields(path, "icmp.type", "icmp.mtu", "ip.dst", "sll.pkttype")
    assert rows[1] == ["3", "1400", "192.168.10.100,192.168.20.100,172.20.2.4", "4"]
    assert complaints(path) == []


@pytest.mark.parametrize("outer", [NODES, NODES6], ids=["over IPv4", "over IPv6"])
def test_a_super_frame_leaves_in_segments(tmp_path: Path, outer: tuple[str, ...]) -> None:
    path = tmp_path / "segments.pcap"
    craft(*PODS, *outer, "--tcp", "1:2", "--flags", "PA", "--seq", "1000", "--size", "4234", "--count", "2",
          "--vary", "seq=4194", *THROUGH, "--segment", "1398", "-o", str(path))  # fmt: skip
    # That a router shows each segment twice is all that Wireshark finds.
    assert complaints(path, besides=("_ws.expert.severity>=6291456",)) == []
    rows = fields(path, "tcp.seq_raw", "tcp.len", "tcp.flags.push", "sll.pkttype", "ip.id")
    inner = [[*row[:4], int(row[4].split(",")[-1], 16)] for row in rows]
    one = [["1000", "4194", "1", "0", 1], ["1000", "1398", "0", "4", 1], ["2398", "1398", "0", "4", 2],
           ["3796", "1398", "1", "4", 3]]  # fmt: skip
    assert inner[:4] == one
    assert inner[4] == ["5194", "4194", "1", "0", 4]
    truth = truth_of(path)
    assert truth["forwarding"]["forwarded"] == truth["forwarding"]["resegmented"] == 2


def test_the_report_on_segments_is_the_truth(tmp_path: Path) -> None:
    path = tmp_path / "segments.pcap"
    craft(*PODS, *NODES, "--tcp", "1:2", "--ack", "1", "--size", "4234", "--count", "20", "--vary", "seq=4194",
          *THROUGH, "--segment", "1398", "-o", str(path))  # fmt: skip
    assert_true(path)


def test_fragments_are_multiples_of_eight() -> None:
    # 1400 less 20 is 1380: 1376 is the multiple of 8 below it (RFC 791, section 3.2).
    packet = bytes.fromhex("4500 05dc 0001 0000 4011 0000 c0a80a64 c0a81464") + bytes(1480)
    assert [len(piece) for piece in fragments(packet, 1400)] == [1396, 124]


def test_no_truth_is_told_of_lengths_that_lie(tmp_path: Path) -> None:
    path = tmp_path / "lies.pcap"
    craft(*PODS, *NODES, "--udp", "1:2", "--wrong", "outer-udp-length=9", *THROUGH, "-o", str(path))
    assert sorted(each.name for each in tmp_path.iterdir()) == ["lies.links.json", "lies.pcap", "lies.routes.json"]
