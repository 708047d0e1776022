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
    START,
    VNI_A,
    VNI_B,
    Seen,
    datagram,
    exchange,
    finding,
    fragments,
    passed,
    pcap,
    ping,
    records_of,
    router_links,
    tunnel,
)
from engine.generate import Spec, build

from vxtool import analyze
from vxtool.analysis.findings.tunnel import EXPLANATIONS
from vxtool.analysis.model import Report
from vxtool.engine.tables import OUT


def run(tmp_path: Path, records: list[Seen], **options: object) -> Report:
    return analyze([pcap(tmp_path / "capture.pcap", records)], **options)  # type: ignore[arg-type]


def ids(report: Report) -> set[str]:
    return {item["id"] for item in report["findings"] if item["id"].startswith("tunnel.")}


@pytest.mark.parametrize("name", sorted(EXPLANATIONS))
def test_each_is_explained(name: str) -> None:
    assert all(EXPLANATIONS[name])


def test_the_founding_case_has_none(tmp_path: Path) -> None:
    assert not ids(run(tmp_path, exchange()))


def odd(number: int, datagram: int = 0, **fields: int) -> list[Seen]:
    """A record of `engine.generate._special` that came in."""
    entry = build([Spec(0, special=number, datagram=datagram, **fields)]).entries[0]
    return [Seen(START + 9 * MS, entry.data)]


class TestInvalidFlags:
    def test_a_vni_that_is_not_valid_is_an_error(self, tmp_path: Path) -> None:
        found = finding(run(tmp_path, [*exchange(), *odd(21)]), "tunnel.invalid-flags")
        assert found is not None
        assert (found["severity"], found["count"], records_of(found)) == ("error", 1, [5])

    def test_geneve_of_another_version_too(self, tmp_path: Path) -> None:
        found = finding(run(tmp_path, [*exchange(), *odd(25)]), "tunnel.invalid-flags")
        assert found is not None
        assert (found["severity"], found["count"], records_of(found)) == ("error", 1, [5])

    @pytest.mark.parametrize(
        ("number", "what"), [(22, "group policy"), (23, "reserved bits"), (24, "reserved bits")]
    )
    def test_extensions_are_told_and_no_error(self, tmp_path: Path, number: int, what: str) -> None:
        found = finding(run(tmp_path, [*exchange(), *odd(number)]), "tunnel.invalid-flags")
        assert found is not None
        assert (found["severity"], found["count"], records_of(found)) == ("info", 1, [5])
        assert what in found["title"]


class TestMalformed:
    def test_no_room_for_a_header(self, tmp_path: Path) -> None:
        found = finding(run(tmp_path, [*exchange(), *odd(14)]), "tunnel.malformed")
        assert found is not None
        assert (found["severity"], found["count"], records_of(found)) == ("warning", 1, [5])

    def test_a_tunnel_whose_inside_is_no_ip_is_one_all_the_same(self, tmp_path: Path) -> None:
        assert not ids(run(tmp_path, [*exchange(), *odd(8)]))


class TestNested:
    def test_a_tunnel_inside(self, tmp_path: Path) -> None:
        found = finding(run(tmp_path, [*exchange(), *odd(26)]), "tunnel.nested")
        assert found is not None
        assert (found["severity"], found["count"], records_of(found)) == ("info", 1, [5])

    def test_a_warning_where_packets_do_not_fit(self, tmp_path: Path) -> None:
        pieces = fragments(tunnel(ping(50, size=1500)), 1480)
        rows = [row for at, piece in enumerate(pieces) for row in passed((20 + at) * MS, piece)]
        found = finding(run(tmp_path, [*odd(26), *rows]), "tunnel.nested")
        assert found is not None
        assert found["severity"] == "warning"

    @pytest.mark.parametrize(("mtu", "leaves"), [(1400, 1350), (1500, 1450), (9000, 8950)])
    def test_what_is_left_for_it_follows_from_the_links(self, tmp_path: Path, mtu: int, leaves: int) -> None:
        """VXLAN takes 50 bytes over IPv4 and 70 over IPv6."""
        links = router_links(tmp_path / "links.json", mtu=mtu)
        found = finding(run(tmp_path, [*exchange(), *odd(26)], links=[links]), "tunnel.nested")
        assert found is not None
        assert f"no more than the {leaves:,} that fit into this tunnel" in found["remedy"]
        assert f"{leaves - 50} over IPv4, {leaves - 70} over IPv6, less Geneve's options" in found["remedy"]

    def test_without_any_that_tells_the_mtu_there_is_an_example(self, tmp_path: Path) -> None:
        found = finding(run(tmp_path, odd(26)), "tunnel.nested")
        assert found is not None
        assert "(1450 over 1500), and that of its own pods to that less its headers: 1400 over" in found["remedy"]

    def test_other_findings_on_the_mtu_say_the_same(self, tmp_path: Path) -> None:
        pieces = fragments(tunnel(ping(50, size=1500)), 1480)
        rows = [row for at, piece in enumerate(pieces) for row in passed((20 + at) * MS, piece)]
        links = router_links(tmp_path / "links.json")
        found = finding(run(tmp_path, [*odd(26), *rows], links=[links]), "mtu.fragmented-at-source")
        assert found is not None
        assert found["remedy"].startswith(
            "set the pods' MTU to 1450, and that of pods behind a tunnel of their own in this one to 1400 over IPv4"
        )

    def test_the_port_alone_is_none(self, tmp_path: Path) -> None:
        assert not ids(run(tmp_path, [*exchange(), *odd(28)]))


class TestBadChecksum:
    def test_a_wrong_one_that_came_in(self, tmp_path: Path) -> None:
        found = finding(run(tmp_path, [*exchange(), *odd(30)]), "tunnel.bad-checksum")
        assert found is not None
        assert (found["severity"], found["count"], records_of(found)) == ("error", 1, [5])
        # the generator's packet is from 192.168.1.1
        title = "1 of 1 outer UDP checksums that came in is wrong, sent by the node 192.168.1.1:"
        assert found["title"].startswith(title)
        assert "on the node 192.168.1.1 `ethtool -K INTERFACE tx-checksum-ip-generic off`" in found["remedy"]

    def test_one_in_very_many_may_be_a_bit_that_fell_over(self, tmp_path: Path) -> None:
        right = [odd(29)[0]._replace(time=START + (10 + at) * MS) for at in range(100)]
        found = finding(run(tmp_path, [*exchange(), *odd(30), *right]), "tunnel.bad-checksum")
        assert found is not None
        assert (found["severity"], found["count"]) == ("warning", 1)

    def test_a_right_one_and_none_are_well(self, tmp_path: Path) -> None:
        assert not ids(run(tmp_path, [*exchange(), *odd(29), *odd(31)]))

    def test_what_left_is_filled_in_behind_the_capture(self, tmp_path: Path) -> None:
        assert not ids(run(tmp_path, [*exchange(), *odd(30, direction=OUT)]))

    @pytest.mark.parametrize("datagram", [0, 1])
    def test_what_a_virtual_device_left_open_is_well(self, tmp_path: Path, datagram: int) -> None:
        assert not ids(run(tmp_path, [*exchange(), *odd(32, datagram)]))


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
        assert [item["text"] for item in found["evidence"]] == [
            f"{NODE_A} → {NODE_B}, to port 8472",
            f"{NODE_B} → {NODE_A}, to port 4789",
        ]
        assert f"{NODE_A} sends to 8472 and is sent to on 4789 by {NODE_B}" in found["title"]

    def test_one_port_is_as_it_should_be(self, tmp_path: Path) -> None:
        assert not ids(run(tmp_path, self.answers(8472)))

    def test_two_overlays_side_by_side_are_no_fault(self, tmp_path: Path) -> None:
        other = tunnel(ping(1, "10.1.0.1", "10.1.0.2"), 7, NODE_A, NODE_B, to_port=4789)
        found = finding(run(tmp_path, [*exchange(), *passed(9 * MS, other)]), "tunnel.unexpected-port")
        assert found is not None
        assert (found["severity"], found["count"], records_of(found)) == ("info", 1, [1, 5])

    def test_the_evidence_went_to_that_port(self, tmp_path: Path, engine: str) -> None:
        """Of one flow, whose first datagrams went to the usual one."""
        ports = (8472, 8472, 4789, 8472)
        packets = [tunnel(ping(n + 1), VNI_A, to_port=port) for n, port in enumerate(ports)]
        records = [row for n, packet in enumerate(packets) for row in passed(n * MS, packet)]
        found = finding(run(tmp_path, records), "tunnel.unexpected-port")
        assert found is not None
        assert [(item["record"], item["text"]) for item in found["evidence"]] == [
            (1, f"{NODE_A} → {NODE_B}, to port 8472"),
            (5, f"{NODE_A} → {NODE_B}, to port 4789"),
        ]

    def test_of_many_ends_those_to_the_other_ports_are_shown(self, tmp_path: Path) -> None:
        packets = []
        for n in range(7):
            node = f"10.0.0.{n}"
            packets += [tunnel(ping(n + 1), VNI_A, destination=node, to_port=port) for port in (8472, 4789)]
        packets += [tunnel(ping(99), VNI_A)]
        records = [row for n, packet in enumerate(packets) for row in passed(n * MS, packet)]
        found = finding(run(tmp_path, records), "tunnel.unexpected-port")
        assert found is not None
        assert records_of(found) == [3, 7, 11, 15, 19]

    def test_geneve_beside_it_is_another_tunnel(self, tmp_path: Path) -> None:
        packets = [tunnel(ping(n), VNI_A, to_port=8472) for n in range(2)]
        assert not ids(run(tmp_path, [row for n, packet in enumerate(packets) for row in passed(n * MS, packet)]))
