"""The tunnel's share of what crosses the wire: sums by hand, and of the kernel's packets by tshark."""

from __future__ import annotations

from pathlib import Path

import pytest
from analysis.scenes import MS, Seen, exchange, fragments, passed, pcap, ping, segment, tunnel
from captures.samples import sample

from vxtool import analyze
from vxtool.analysis.model import Report


def run(tmp_path: Path, records: list[Seen]) -> Report:
    return analyze([pcap(tmp_path / "capture.pcap", records)])


def test_of_whole_packets_it_is_their_headers(tmp_path: Path) -> None:
    """Two of 84 bytes inside and 134 outside; on an Ethernet of 134 + 38."""
    assert run(tmp_path, exchange())["efficiency"] == {
        "wire_bytes": 268,
        "percent_of_wire_bytes": 37.31,  # 100 of 268
        "fragments": 0,
        "percent_of_wire_packets": 0,
        "ethernet_bytes": 344,
        "ethernet_overhead_bytes": 100,
        "percent_of_ethernet_bytes": 29.07,
    }


def test_fragments_are_packets_that_would_not_be(tmp_path: Path) -> None:
    """1,500 bytes inside are 1,550, in two packets 1,570: 70 are the tunnel's, and 38 frame the second one."""
    pieces = fragments(tunnel(ping(50, size=1500)), 1480)
    report = run(tmp_path, [row for at, piece in enumerate(pieces) for row in passed(at * MS, piece)])
    efficiency = report["efficiency"]
    assert efficiency["wire_bytes"] == 1570
    assert (efficiency["fragments"], efficiency["percent_of_wire_packets"]) == (1, 50)
    assert (efficiency["ethernet_bytes"], efficiency["ethernet_overhead_bytes"]) == (1570 + 76, 70 + 38)
    (flow,) = report["flows"]
    assert (flow["overhead_bytes"], flow["percent_of_wire_bytes"]) == (70, 4.46)


def test_without_a_tunnel_there_is_none(tmp_path: Path) -> None:
    report = run(tmp_path, passed(0, segment(1, 100)))
    assert report["efficiency"]["percent_of_wire_bytes"] is None
    assert report["flows"][0]["overhead_bytes"] == 0


def test_segments_of_a_super_frame_are_no_fragments() -> None:
    """Of 232 packets none is a fragment (tshark finds none), and each has 50 bytes of tunnel; with 38 bytes of
    framing each they are 295,460 bytes. The first flow sent 191 of them."""
    report = sample("iperf-resegmented.pcap").analyze()
    efficiency = report["efficiency"]
    assert (efficiency["fragments"], efficiency["percent_of_wire_packets"]) == (0, 0)
    assert (efficiency["ethernet_overhead_bytes"], efficiency["ethernet_bytes"]) == (11_600, 295_460)
    assert efficiency["percent_of_ethernet_bytes"] == 3.93
    first = report["flows"][0]
    assert (first["wire_packets"], first["overhead_bytes"]) == (191, 191 * 50)


@pytest.mark.parametrize(
    "name",
    [
        "iperf-offload-off",
        "iperf-offload-on",
        "iperf-resegmented",
        "drops-offload-on",
        "drops-offload-on-ipv6",
        "pods-mtu-1500",
        "ipv6-underlay",
    ],
)
def test_flows_sum_up_to_the_whole(name: str) -> None:
    report = sample(f"{name}.pcap").analyze()
    assert report["flows_total"] == len(report["flows"])
    assert sum(flow["overhead_bytes"] for flow in report["flows"]) == report["overhead"]["wire_overhead_bytes"]


@pytest.mark.parametrize(
    ("name", "size"),
    [
        # tshark -r iperf-offload-off.pcap -T fields -e sll.pkttype -e ip.len: the first length where the type is 0.
        ("iperf-offload-off", 304_293),
        ("pods-mtu-1500", 159_005),
    ],
)
def test_bytes_are_those_that_came_in(name: str, size: int) -> None:
    assert sample(f"{name}.pcap").analyze()["efficiency"]["wire_bytes"] == size


def test_rates_are_those_of_each_step(tmp_path: Path) -> None:
    """Steps of 1 ms: one datagram of 134 bytes in the first and in the last of them."""
    records = [*passed(0, tunnel(ping(1))), *passed(150 * MS, tunnel(ping(2)))]
    steps = run(tmp_path, records)["timeline"]
    assert [(at, step["datagrams_per_second"]) for at, step in enumerate(steps) if step["datagrams"]] == [
        (0, 1000),
        (150, 1000),
    ]
    assert steps[0]["bits_per_second"] == 134 * 8 * 1000
    assert steps[1]["bits_per_second"] == 0
