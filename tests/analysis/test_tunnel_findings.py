"""Findings on tunnels: their headers, ports and checksums."""

from __future__ import annotations

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
    VNI_B,
    Seen,
    datagram,
    exchange,
    finding,
    passed,
    pcap,
    ping,
    records_of,
    tunnel,
)

from vxtool import analyze
from vxtool.analysis.findings.tunnel import EXPLANATIONS
from vxtool.analysis.model import Report


def run(tmp_path: Path, records: list[Seen], **options: object) -> Report:
    return analyze([pcap(tmp_path / "capture.pcap", records)], **options)  # type: ignore[arg-type]


def ids(report: Report) -> set[str]:
    return {item["id"] for item in report["findings"] if item["id"].startswith("tunnel.")}


@pytest.mark.parametrize("name", sorted(EXPLANATIONS))
def test_each_is_explained(name: str) -> None:
    assert all(EXPLANATIONS[name])


def test_the_founding_case_has_none(tmp_path: Path) -> None:
    assert not ids(run(tmp_path, exchange()))


class TestFewSourcePorts:
    def flows(self, count: int, ports: int) -> list[Seen]:
        rows = []
        for number in range(count):
            inner = datagram(100, number, (POD_A, 4000 + number))
            rows += passed(number * MS, tunnel(inner, port=50000 + number % ports))
        return rows

    def test_many_flows_by_few_ports(self, tmp_path: Path) -> None:
        found = finding(run(tmp_path, self.flows(64, 8)), "tunnel.few-source-ports")
        assert found is not None
        assert (found["severity"], found["count"], records_of(found)) == ("warning", 1, [1, 3, 5, 7, 9])
        assert found["title"].startswith(f"{NODE_A} → {NODE_B}: 8 outer source ports for 64 flows")

    @pytest.mark.parametrize(("count", "ports"), [(63, 1), (64, 9), (128, 16)])
    def test_few_flows_or_enough_ports(self, tmp_path: Path, count: int, ports: int) -> None:
        assert not ids(run(tmp_path, self.flows(count, ports)))

    def test_pings_have_no_ports_to_hash(self, tmp_path: Path) -> None:
        rows = [row for n in range(80) for row in passed(n * MS, tunnel(ping(n, identifier=n)))]
        assert not ids(run(tmp_path, rows))


class TestUnexpectedPort:
    def answers(self, port: int) -> list[Seen]:
        reply = tunnel(ping(1, POD_B, POD_A, reply=True), VNI_B, NODE_B, NODE_A, to_port=port)
        return [*passed(0, tunnel(ping(1))), *passed(MS, reply, ingress=ETH2, egress=ETH1)]

    def test_two_ends_that_do_not_hear_each_other(self, tmp_path: Path) -> None:
        found = finding(run(tmp_path, self.answers(4789)), "tunnel.unexpected-port")
        assert found is not None
        assert (found["severity"], found["count"], records_of(found)) == ("warning", 1, [1, 3])
        assert f"{NODE_A} sends to 8472 and is sent to on 4789 by {NODE_B}" in found["title"]

    def test_one_port_is_as_it_should_be(self, tmp_path: Path) -> None:
        assert not ids(run(tmp_path, self.answers(8472)))

    def test_two_overlays_side_by_side_are_no_fault(self, tmp_path: Path) -> None:
        other = tunnel(ping(1, "10.1.0.1", "10.1.0.2"), 7, NODE_A, NODE_B, to_port=4789)
        found = finding(run(tmp_path, [*exchange(), *passed(9 * MS, other)]), "tunnel.unexpected-port")
        assert found is not None
        assert (found["severity"], found["count"], records_of(found)) == ("info", 1, [1, 5])

    def test_geneve_beside_it_is_another_tunnel(self, tmp_path: Path) -> None:
        packets = [tunnel(ping(n), VNI_A, to_port=8472) for n in range(2)]
        assert not ids(run(tmp_path, [row for n, packet in enumerate(packets) for row in passed(n * MS, packet)]))
