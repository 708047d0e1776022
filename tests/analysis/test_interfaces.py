"""What an interface is called: as the operator says, as the capture says, by its number, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest
from analysis.scenes import (
    ETH1,
    ETH2,
    MAC_1,
    MAC_2,
    MAC_A,
    MAC_B,
    US,
    Seen,
    cooked,
    exchange,
    frame,
    passed,
    pcap,
    pcapng,
    ping,
    routed,
    router_links,
    tunnel,
)

from vxtool import analyze
from vxtool.analysis.model import Report
from vxtool.capture.container import Interface


def names(report: Report) -> list[str | None]:
    return [row["name"] for row in report["capture"]["interfaces"]]


def ends(report: Report) -> tuple[str | None, int | None, str | None, int | None]:
    (path,) = report["forwarding"]["paths"]
    return path["ingress"], path["ingress_index"], path["egress"], path["egress_index"]


def through_eth1_and_eth2() -> list[Seen]:
    return passed(0, tunnel(ping()))


def ethernet_sides() -> tuple[Seen, Seen]:
    packet = tunnel(ping())
    return frame(0, packet, MAC_A, MAC_1), frame(16 * US, routed(packet), MAC_2, MAC_B)


class TestByIndex:
    def test_without_names_the_number_stands(self, tmp_path: Path) -> None:
        report = analyze([pcap(tmp_path / "any.pcap", through_eth1_and_eth2())])
        assert ends(report) == ("#3", 3, "#4", 4)
        assert names(report) == [None, None]
        assert [row["index"] for row in report["capture"]["interfaces"]] == [ETH1, ETH2]

    def test_a_links_file_names_it_and_tells_its_mtu(self, tmp_path: Path) -> None:
        links = router_links(tmp_path / "links.json", eth2_mtu=1400)
        report = analyze([pcap(tmp_path / "any.pcap", through_eth1_and_eth2())], links=[links])
        assert ends(report) == ("eth1", 3, "eth2", 4)
        assert [row["mtu"] for row in report["capture"]["interfaces"]] == [1500, 1400]

    def test_an_option_names_it(self, tmp_path: Path) -> None:
        report = analyze([pcap(tmp_path / "any.pcap", through_eth1_and_eth2())], interfaces={3: "lan", 4: "wan"})
        assert ends(report) == ("lan", 3, "wan", 4)

    def test_an_option_overrides_the_links_file(self, tmp_path: Path) -> None:
        links = router_links(tmp_path / "links.json")
        report = analyze(
            [pcap(tmp_path / "any.pcap", through_eth1_and_eth2())], links=[links], interfaces={3: "lan"}
        )
        assert ends(report) == ("lan", 3, "eth2", 4)

    def test_records_are_counted_by_direction(self, tmp_path: Path) -> None:
        report = analyze([pcap(tmp_path / "any.pcap", exchange())])
        rows = report["capture"]["interfaces"]
        assert [(row["records_in"], row["records_out"], row["records_unknown"]) for row in rows] == [(1, 1, 0)] * 2


class TestWithoutIndex:
    def test_sll_version_1_has_none(self, tmp_path: Path) -> None:
        report = analyze([cooked(tmp_path / "eth1.pcap", through_eth1_and_eth2())])
        assert ends(report) == (None, None, None, None)
        assert names(report) == [None]

    def test_pcapng_names_its_interfaces(self, tmp_path: Path) -> None:
        one, two = ethernet_sides()
        interfaces = [Interface(1, 0, "lan0"), Interface(1, 0, "wan0")]
        report = analyze([pcapng(tmp_path / "c.pcapng", interfaces, [one, two._replace(interface=1)])])
        assert ends(report) == ("lan0", None, "wan0", None)

    def test_a_links_file_adds_index_and_mtu_by_name(self, tmp_path: Path) -> None:
        one, two = ethernet_sides()
        interfaces = [Interface(1, 0, "eth1"), Interface(1, 0, "eth2")]
        path = pcapng(tmp_path / "c.pcapng", interfaces, [one, two._replace(interface=1)])
        report = analyze([path], links=[router_links(tmp_path / "links.json")])
        assert ends(report) == ("eth1", 3, "eth2", 4)

    def test_pcapng_with_two_unnamed_interfaces_is_not_called_by_its_file(self, tmp_path: Path) -> None:
        one, two = ethernet_sides()
        interfaces = [Interface(1, 0), Interface(1, 0)]
        report = analyze([pcapng(tmp_path / "eth1.pcapng", interfaces, [one, two._replace(interface=1)])])
        assert names(report) == [None, None]

    @pytest.mark.parametrize(
        ("file", "name"),
        [
            ("eth1.pcap", "eth1"),
            ("eth1.pcap0", "eth1"),
            ("eth1.pcap.gz", "eth1"),
            ("br-lan.cap", "br-lan"),
            ("router1-eth1.pcap", "router1-eth1"),
            ("any.pcap", None),
        ],
    )
    def test_a_file_of_one_interface_names_it(self, tmp_path: Path, file: str, name: str | None) -> None:
        report = analyze([pcap(tmp_path / file, ethernet_sides()[:1], link_type=1)])
        assert names(report) == [name]

    @pytest.mark.parametrize("file", ["router1-eth1.pcap", "monday.eth1.pcap", "eth1.pcap"])
    def test_a_part_of_the_files_name_that_is_an_interface_names_it(self, tmp_path: Path, file: str) -> None:
        links = router_links(tmp_path / "links.json")
        report = analyze([pcap(tmp_path / file, ethernet_sides()[:1], link_type=1)], links=[links])
        assert names(report) == ["eth1"]

    def test_any_is_no_interface_even_where_the_capture_says_so(self, tmp_path: Path) -> None:
        one, _ = ethernet_sides()
        assert names(analyze([pcapng(tmp_path / "c.pcapng", [Interface(1, 0, "any")], [one])])) == [None]
