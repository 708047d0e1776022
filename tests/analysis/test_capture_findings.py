"""Findings on what the capture lost, left out, or does not tell."""

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
    MS,
    START,
    US,
    VNI_A,
    VNI_B,
    Seen,
    back,
    came,
    cooked,
    exchange,
    finding,
    fragments,
    frame,
    left,
    passed,
    pcap,
    ping,
    records_of,
    routed,
    router_links,
    segment,
    tunnel,
)

from vxtool import analyze
from vxtool.analysis.findings.capture import EXPLANATIONS
from vxtool.analysis.model import Report
from vxtool.capture.container import IN, OUT, Interface
from vxtool.capture.writer import PcapngWriter

LATER = 100 * MS


def run(tmp_path: Path, records: list[Seen], **options: object) -> Report:
    return analyze([pcap(tmp_path / "capture.pcap", records)], **options)  # type: ignore[arg-type]


def lossy() -> list[Seen]:
    """Records 1 to 4 are an exchange, 5 and 6 never leave."""
    lost = [came(LATER + number * MS, tunnel(ping(50 + number))) for number in range(2)]
    return [*exchange(), *lost, *exchange(3 * LATER, 2)]


@pytest.mark.parametrize("name", sorted(EXPLANATIONS))
def test_each_is_explained(name: str) -> None:
    assert all(EXPLANATIONS[name])


class TestLossy:
    def statistics(self, tmp_path: Path, dropped: list[int], records: int = 2) -> Report:
        """Two Ethernet interfaces; pings that pass, one that does not, and statistics at the end of each."""
        path = tmp_path / "capture.pcapng"
        interfaces = [Interface(1, 0, "eth1"), Interface(1, 0, "eth2")]
        with PcapngWriter(path, interfaces) as writer:
            for number in range(records):
                packet = tunnel(ping(number))
                one = frame(number * MS, packet, MAC_A, MAC_1)
                writer.write(one.time, one.data, interface=0, direction=IN)
                if number:
                    two = frame(number * MS + 9000, routed(packet), MAC_2, MAC_B)
                    writer.write(two.time, two.data, interface=1, direction=OUT)
            for interface, count in enumerate(dropped):
                writer.write_statistics(interface, START + 1_000 * MS, count)
        return analyze([str(path)])

    def test_statistics_of_the_interfaces_count_it(self, tmp_path: Path) -> None:
        report = self.statistics(tmp_path, [12, 3])
        found = finding(report, "capture.lossy")
        assert found is not None
        assert (found["severity"], found["count"], records_of(found)) == ("warning", 15, [None])
        assert found["evidence"][0]["text"] == "interface statistics: 15 packets dropped by the capture"

    def test_then_drops_are_a_bound(self, tmp_path: Path) -> None:
        found = finding(self.statistics(tmp_path, [12, 3]), "forwarding.dropped")
        assert found is not None
        assert found["title"].startswith("up to 1 datagram (50 %) came in by eth1")
        assert "lost 15 packets" in (found["unknown"] or "")

    def test_none_lost_is_no_loss(self, tmp_path: Path) -> None:
        report = self.statistics(tmp_path, [0, 0])
        assert finding(report, "capture.lossy") is None
        found = finding(report, "forwarding.dropped")
        assert found is not None
        assert found["title"].startswith("1 datagram (50 %) came in by eth1")

    def test_what_left_and_never_came_in_shows_it_too(self, tmp_path: Path) -> None:
        records = [*lossy(), left(LATER + 5 * MS, routed(tunnel(ping(70))))]
        report = run(tmp_path, records)
        assert report["forwarding"]["missed"] == 1
        found = finding(report, "capture.lossy")
        assert found is not None
        assert (found["severity"], found["count"], records_of(found)) == ("warning", 1, [7])
        dropped = finding(report, "forwarding.dropped")
        assert dropped is not None
        assert dropped["title"].startswith("up to 2 datagrams")

    def test_drops_alone_do_not(self, tmp_path: Path) -> None:
        report = run(tmp_path, lossy())
        assert report["forwarding"]["dropped"] == 2
        assert finding(report, "capture.lossy") is None


A, B = ("172.20.0.107", 32788), ("172.20.2.4", 80)
SYN = 0x02  # RFC 9293, section 3.1


def data(sequence: int, identification: int, source: tuple[str, int] = A, vni: int = VNI_A) -> bytes:
    """A segment of 100 bytes from A to B, in the tunnel."""
    return tunnel(segment(sequence, 100, source, identification=identification), vni)


def acknowledges(number: int, vni: int = VNI_B) -> bytes:
    return back(segment(9, 0, B, A, acknowledgement=number), vni)


def answered(time: int, packet: bytes) -> list[Seen]:
    return passed(time, packet, 3 * US, ETH2, ETH1)


class TestAcknowledged:
    """A segment that was not seen to leave, but that its receiver acknowledges, left all the same (RFC 9293,
    section 3.10.7.4: an acknowledgement covers all numbers before it)."""

    def of(self, tmp_path: Path, *records: list[Seen]) -> tuple[int, dict[str, int], bool]:
        """Dropped, why others cannot be told, and whether capture.lossy was raised."""
        rest = [row for part in records for row in part]
        # What follows shows that there was time enough.
        counts = run(tmp_path, [*rest, *exchange(40_000 * MS)])
        told = counts["forwarding"]
        return told["dropped"], told["unresolved_because"], finding(counts, "capture.lossy") is not None

    def test_it_is_no_drop(self, tmp_path: Path, engine: str) -> None:
        records = [
            passed(0, data(1, 1)),
            [came(MS, data(101, 2))],
            passed(2 * MS, data(201, 3)),
            answered(3 * MS, acknowledges(301)),
        ]
        assert self.of(tmp_path, *records) == (0, {"acknowledged": 1}, True)

    def test_its_last_byte_has_to_be_acknowledged(self, tmp_path: Path, engine: str) -> None:
        records = [passed(0, data(1, 1)), [came(MS, data(101, 2))], answered(3 * MS, acknowledges(200))]
        assert self.of(tmp_path, *records) == (1, {}, False)
        records[2] = answered(3 * MS, acknowledges(201))
        assert self.of(tmp_path, *records) == (0, {"acknowledged": 1}, True)

    @pytest.mark.parametrize("after", [50 * MS, 20_000 * MS])
    def test_one_that_was_sent_again_was_dropped(self, tmp_path: Path, engine: str, after: int) -> None:
        """Within the time that a datagram may take to go out, and long after it."""
        records = [
            passed(0, data(1, 1)),
            [came(MS, data(101, 2))],
            passed(after, data(101, 3)),
            answered(after + MS, acknowledges(201)),
        ]
        assert self.of(tmp_path, *records) == (1, {}, False)

    def test_one_that_was_sent_again_in_part_was_dropped(self, tmp_path: Path, engine: str) -> None:
        records = [
            [came(MS, data(101, 2))],
            passed(50 * MS, data(151, 3)),
            answered(60 * MS, acknowledges(251)),
        ]
        assert self.of(tmp_path, *records) == (1, {}, False)

    def test_of_two_with_the_same_data_none_is_sure(self, tmp_path: Path, engine: str) -> None:
        records = [
            [came(MS, data(101, 2))],
            [came(50 * MS, data(101, 3))],
            answered(60 * MS, acknowledges(201)),
        ]
        assert self.of(tmp_path, *records) == (2, {}, False)

    def test_without_an_answer_it_was_dropped(self, tmp_path: Path, engine: str) -> None:
        assert self.of(tmp_path, passed(0, data(1, 1)), [came(MS, data(101, 2))]) == (1, {}, False)

    def test_another_connection_tells_nothing(self, tmp_path: Path, engine: str) -> None:
        other = data(101, 2, source=(A[0], A[1] + 1))
        records = [passed(0, data(1, 1)), [came(MS, other)], answered(3 * MS, acknowledges(301))]
        assert self.of(tmp_path, *records) == (1, {}, False)

    def test_the_answer_of_its_own_network_counts(self, tmp_path: Path, engine: str) -> None:
        """Two networks with the same addresses: each has its VNI both ways."""
        records = [
            [came(MS, data(101, 2, vni=300))],
            answered(3 * MS, acknowledges(301, vni=200)),
            answered(4 * MS, acknowledges(101, vni=300)),
        ]
        assert self.of(tmp_path, *records) == (1, {}, False)

    def test_one_that_was_sent_again_under_another_vni_was_dropped(self, tmp_path: Path, engine: str) -> None:
        records = [
            passed(0, data(1, 1)),
            [came(MS, data(101, 2))],
            passed(50 * MS, data(101, 3, vni=40_000)),
            answered(60 * MS, acknowledges(201)),
        ]
        assert self.of(tmp_path, *records) == (1, {}, False)

    @pytest.mark.parametrize("later", [500_001, 0x8000_0001])
    def test_ports_are_used_again(self, tmp_path: Path, engine: str, later: int) -> None:
        """The only data of one connection is dropped; the next, with other numbers, is acknowledged."""
        records = [
            passed(0, tunnel(segment(1000, flags=SYN))),
            [came(MS, data(1001, 2))],
            passed(2_000 * MS, tunnel(segment(later - 1, flags=SYN))),
            passed(2_001 * MS, data(later, 3)),
            answered(2_002 * MS, acknowledges(later + 100)),
        ]
        assert self.of(tmp_path, *records) == (1, {}, False)
        # Nor does what another one acknowledged before.
        assert self.of(tmp_path, *records[2:], [came(9_000 * MS, data(1001, 2))]) == (1, {}, False)

    def test_all_between_it_and_the_acknowledgement_has_to_be_seen(self, tmp_path: Path, engine: str) -> None:
        records = [[came(MS, data(101, 2))], passed(2 * MS, data(301, 3)), answered(3 * MS, acknowledges(401))]
        assert self.of(tmp_path, *records) == (1, {}, False)
        records.insert(1, [came(2 * MS, data(201, 4))])
        assert self.of(tmp_path, *records) == (0, {"acknowledged": 2}, True)

    def test_a_fin_takes_a_number(self, tmp_path: Path, engine: str) -> None:
        records = [passed(0, data(1, 1)), [came(MS, data(101, 2))], answered(3 * MS, acknowledges(202))]
        assert self.of(tmp_path, *records) == (0, {"acknowledged": 1}, True)
        records[2] = answered(3 * MS, acknowledges(203))
        assert self.of(tmp_path, *records) == (1, {}, False)

    def test_numbers_wrap(self, tmp_path: Path, engine: str) -> None:
        records = [
            passed(0, data(0xFFFFFF00, 1)),
            [came(MS, data(0xFFFFFFA0, 2))],
            answered(3 * MS, acknowledges(4)),
        ]
        assert self.of(tmp_path, *records) == (0, {"acknowledged": 1}, True)

    def test_at_the_end_of_the_capture_nothing_is_said(self, tmp_path: Path, engine: str) -> None:
        records = [*passed(0, data(1, 1)), came(MS, data(101, 2)), *answered(MS + 5 * US, acknowledges(201))]
        assert run(tmp_path, records)["forwarding"]["unresolved_because"] == {"capture-ended": 1}

    def test_other_drops_are_a_bound_then(self, tmp_path: Path, engine: str) -> None:
        records = [
            [came(MS, data(101, 2)), came(2 * MS, tunnel(ping(50)))],
            answered(3 * MS, acknowledges(201)),
            exchange(40_000 * MS),
        ]
        report = run(tmp_path, [row for part in records for row in part])
        assert (report["forwarding"]["dropped"], report["forwarding"]["dropped_at_most"]) == (1, True)
        dropped, lossy = finding(report, "forwarding.dropped"), finding(report, "capture.lossy")
        assert dropped is not None
        assert dropped["title"].startswith("up to 1 datagram")
        assert "missed 1 egress, as later acknowledgements tell" in (dropped["unknown"] or "")
        assert lossy is not None
        assert (lossy["count"], records_of(lossy)) == (1, [1])
        assert "1 TCP segment that was not seen to go out was acknowledged and never sent again" in lossy["title"]


class TestIcmpHidden:
    def test_drops_of_which_nothing_tells(self, tmp_path: Path) -> None:
        found = finding(run(tmp_path, lossy()), "capture.icmp-hidden")
        assert found is not None
        assert (found["severity"], found["count"], records_of(found)) == ("info", 2, [5])
        assert "'udp port 8472 or icmp or icmp6 or (ip[6:2] & 0x1fff != 0) or ip6[6]=44'" in found["remedy"]

    def test_packets_larger_than_the_overlay(self, tmp_path: Path) -> None:
        pieces = fragments(tunnel(ping(50, size=1500)), 1480)
        records = [row for at, piece in enumerate(pieces) for row in passed(at * MS, piece)]
        report = run(tmp_path, records, links=[router_links(tmp_path / "links.json")])
        found = finding(report, "capture.icmp-hidden")
        assert found is not None
        assert "sent in fragments and 1 packet larger than the overlay's MTU" in found["title"]

    def test_any_other_packet_shows_that_the_filter_is_wider(self, tmp_path: Path) -> None:
        records = [*lossy(), *passed(5 * LATER, ping(1, "10.0.0.1", "10.0.0.2"))]
        assert finding(run(tmp_path, records), "capture.icmp-hidden") is None

    def test_where_all_is_well_nobody_needs_icmp(self, tmp_path: Path) -> None:
        assert finding(run(tmp_path, exchange()), "capture.icmp-hidden") is None


class TestTimeReversed:
    def write(self, tmp_path: Path, records: list[Seen]) -> Report:
        """In the order given, whatever the times."""
        path = tmp_path / "capture.pcapng"
        with PcapngWriter(path, [Interface(276, 0, "any")]) as writer:
            for record in records:
                writer.write(record.time, record.data)
        return analyze([str(path)])

    def test_a_record_older_than_the_one_before(self, tmp_path: Path) -> None:
        records = exchange()
        found = finding(
            self.write(tmp_path, [records[0], records[2], records[1], records[3]]), "capture.time-reversed"
        )
        assert found is not None
        assert (found["severity"], found["count"], records_of(found)) == ("info", 1, [3])

    def test_in_order_and_at_the_same_time_is_none(self, tmp_path: Path) -> None:
        records = exchange()
        records[1] = records[1]._replace(time=records[0].time)
        assert finding(self.write(tmp_path, records), "capture.time-reversed") is None


class TestNoInterface:
    def test_sll_version_1(self, tmp_path: Path) -> None:
        found = finding(analyze([cooked(tmp_path / "c.pcap", exchange())]), "capture.no-interface")
        assert found is not None
        assert (found["severity"], found["count"], records_of(found)) == ("info", 4, [None])

    def test_sll_version_2(self, tmp_path: Path) -> None:
        assert finding(run(tmp_path, exchange()), "capture.no-interface") is None

    def test_beside_another_only_its_own_records_count(self, tmp_path: Path) -> None:
        later = exchange(LATER, 5)
        files = [cooked(tmp_path / "a.pcap", exchange()), pcap(tmp_path / "b.pcap", later)]
        found = finding(analyze(files), "capture.no-interface")
        assert found is not None
        assert (found["count"], [item["input"] for item in found["evidence"]]) == (4, [files[0]])


def test_a_clean_capture_has_none_above_info(tmp_path: Path) -> None:
    assert not run(tmp_path, exchange())["findings"]
