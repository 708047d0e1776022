"""What the tunnel costs, and what sizes say of the MTU: against arithmetic on paper.

Over IPv4 a datagram costs 14 (inner Ethernet) + 8 (VXLAN) + 8 (UDP) + 20 (IPv4) = 50 bytes, over IPv6 70.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from analysis.scenes import (
    ETH1,
    ETH2,
    ICMP,
    MAC_1,
    MAC_2,
    MAC_A,
    MS,
    POD_A,
    POD_B,
    US,
    Seen,
    back,
    came,
    datagram,
    exchange,
    fragments,
    left,
    links_file,
    passed,
    pcap,
    ping,
    routed,
    router_links,
    segment,
    tunnel,
    tunnel6,
)
from conftest import CAPTURES
from engine.generate import ARP, echo, ethernet, geneve, ipv4, ipv6, mss, timestamps, udp, vxlan

from vxtool import analyze
from vxtool.analysis.model import Report

SYN, SYN_ACK, ACK = 0x02, 0x12, 0x10
CLIENT, SERVER = (POD_A, 32788), (POD_B, 80)
STAMPS = timestamps(1, 2)


def run(tmp_path: Path, records: list[Seen], **options: object) -> Report:
    return analyze([pcap(tmp_path / "capture.pcap", records)], **options)  # type: ignore[arg-type]


class TestOverhead:
    def test_over_ipv4_it_is_50_bytes(self, tmp_path: Path) -> None:
        overhead = run(tmp_path, exchange())["overhead"]
        assert overhead == {
            "datagrams": 2,
            "wire_packets": 2,
            "wire_packets_estimated": False,
            "inner_bytes": 168,
            "outer_bytes": 268,
            "overhead_bytes": 100,
            "wire_overhead_bytes": 100,
            "bytes_per_packet": {"50": 2},
            "percent_of_outer": 37.31,
        }

    def test_over_ipv6_it_is_70_bytes(self, tmp_path: Path) -> None:
        overhead = run(tmp_path, passed(0, tunnel6(ping())))["overhead"]
        assert (overhead["inner_bytes"], overhead["outer_bytes"]) == (84, 154)
        assert overhead["bytes_per_packet"] == {"70": 1}

    def test_ipv6_pods_over_ipv4_cost_50_too(self, tmp_path: Path) -> None:
        ends = b"\xfd" + bytes(14) + b"\x01", b"\xfd" + bytes(14) + b"\x02"
        overhead = run(tmp_path, passed(0, tunnel(ipv6(*ends, 17, udp(1, 2, bytes(100))))))["overhead"]
        assert (overhead["inner_bytes"], overhead["outer_bytes"]) == (148, 198)

    @pytest.mark.parametrize(("tags", "octets"), [([100], 54), ([100, 200], 58)])
    def test_each_inner_vlan_tag_adds_4(self, tmp_path: Path, tags: list[int], octets: int) -> None:
        overhead = run(tmp_path, passed(0, tunnel(ping(), tags=tags)))["overhead"]
        assert overhead["bytes_per_packet"] == {str(octets): 1}

    def test_geneve_costs_50_and_its_options(self, tmp_path: Path) -> None:
        inner = geneve(7, ethernet(ping()), options=bytes(12))
        packet = ipv4("192.168.10.100", "192.168.20.100", 17, udp(50000, 6081, inner), identification=1)
        report = run(tmp_path, passed(0, packet))
        assert report["overhead"]["bytes_per_packet"] == {"62": 1}
        assert report["tunnel"]["protocols"] == {"vxlan": 0, "geneve": 1}
        assert report["tunnel"]["ports"] == {"6081": 1}

    def test_a_frame_without_ip_counts_behind_its_ethernet_header(self, tmp_path: Path) -> None:
        inner = ethernet(bytes(28), ARP)
        packet = ipv4("192.168.10.100", "192.168.20.100", 17, udp(50000, 8472, vxlan(7, inner)))
        overhead = run(tmp_path, passed(0, packet))["overhead"]
        assert (overhead["inner_bytes"], overhead["outer_bytes"]) == (28, 78)

    def test_each_fragment_carries_a_header_of_its_own(self, tmp_path: Path) -> None:
        """1500 inside are 1550 in one piece; in two: 1550 + 20 on the wire."""
        first, second = fragments(tunnel(ping(size=1500)), 1480)
        overhead = run(tmp_path, [*passed(0, first), *passed(MS, second)])["overhead"]
        assert (overhead["datagrams"], overhead["wire_packets"]) == (1, 2)
        assert overhead["overhead_bytes"] == 50
        assert overhead["wire_overhead_bytes"] == 70
        assert not overhead["wire_packets_estimated"]

    def test_a_missing_tail_takes_nothing_from_the_overhead(self, tmp_path: Path) -> None:
        """1,550 bytes in three fragments of which one was not captured: 50 bytes of overhead at least."""
        first, _, third = fragments(tunnel(ping(size=1500)), 696, 1392)
        report = run(tmp_path, [came(0, first), came(US, third)])
        assert report["overhead"]["wire_overhead_bytes"] == 50
        assert report["overhead"]["wire_packets_estimated"]

    def test_hidden_fragments_are_estimated_as_one_more(self, tmp_path: Path) -> None:
        first, _ = fragments(tunnel(ping(size=1500)), 1480)
        overhead = run(tmp_path, passed(0, first))["overhead"]
        assert (overhead["datagrams"], overhead["wire_packets"]) == (1, 2)
        assert (overhead["inner_bytes"], overhead["overhead_bytes"]) == (1500, 50)
        assert overhead["wire_overhead_bytes"] == 70
        assert overhead["wire_packets_estimated"]

    def test_it_is_taken_on_the_ingress_side(self, tmp_path: Path) -> None:
        """The router fragments on egress: two packets leave, one came in."""
        packet = tunnel(ping(size=1450))
        first, second = fragments(routed(packet), 1376)
        overhead = run(tmp_path, [came(0, packet), left(9 * US, first), left(10 * US, second)])["overhead"]
        assert (overhead["datagrams"], overhead["wire_packets"], overhead["wire_overhead_bytes"]) == (1, 1, 50)

    def test_without_a_tunnel_there_is_none(self, tmp_path: Path) -> None:
        overhead = run(tmp_path, passed(0, ping()))["overhead"]
        assert (overhead["datagrams"], overhead["outer_bytes"], overhead["percent_of_outer"]) == (0, 0, None)


class TestSuperFrames:
    """A record of 14,100 bytes of data. With an MSS of 1410 both ways it stands for 10 packets; each adds 50."""

    @staticmethod
    def syns(client: int | None = 1410, server: int | None = 1410) -> list[Seen]:
        records: list[Seen] = []
        if client is not None:
            records += passed(0, tunnel(segment(1, 0, CLIENT, SERVER, flags=SYN, options=mss(client))))
        if server is not None:
            reply = back(segment(1, 0, SERVER, CLIENT, flags=SYN_ACK, options=mss(server)))
            records += passed(MS, reply, 9 * US, ETH2, ETH1)
        return records

    @staticmethod
    def data(size: int, sequence: int = 2, options: bytes = b"", time: int = 2 * MS) -> list[Seen]:
        return passed(time, tunnel(segment(sequence, size, CLIENT, SERVER, options=options)))

    def test_both_syns_tell_the_segment_size(self, tmp_path: Path) -> None:
        report = run(tmp_path, [*self.syns(1460, 1410), *self.data(14100)])
        assert report["mtu"]["super_frames"] == 1
        overhead = report["overhead"]
        # 2 SYNs and 10 segments.
        assert (overhead["datagrams"], overhead["wire_packets"]) == (3, 12)
        assert (overhead["overhead_bytes"], overhead["wire_overhead_bytes"]) == (150, 600)
        assert not overhead["wire_packets_estimated"]

    def test_a_last_segment_that_is_not_full_counts(self, tmp_path: Path) -> None:
        report = run(tmp_path, [*self.syns(), *self.data(14101)])
        assert report["overhead"]["wire_packets"] == 2 + 11

    def test_timestamps_take_12_bytes_of_each_segment(self, tmp_path: Path) -> None:
        """1410 - 12 = 1398: 13,980 bytes are 10 segments."""
        report = run(tmp_path, [*self.syns(), *self.data(13980, options=STAMPS)])
        assert report["overhead"]["wire_packets"] == 2 + 10

    def test_one_syn_alone_is_an_estimate(self, tmp_path: Path) -> None:
        report = run(tmp_path, [*self.syns(server=None), *self.data(14100)])
        assert report["overhead"]["wire_packets"] == 1 + 10
        assert report["overhead"]["wire_packets_estimated"]

    def test_one_syn_alone_gives_way_to_a_smaller_full_segment(self, tmp_path: Path) -> None:
        """The client takes 1460, but what it sends is 1350 at most: the server's SYN, not seen, asked for that."""
        records = [*self.syns(client=1460, server=None), *self.data(1350), *self.data(13500, 1352, time=3 * MS)]
        report = run(tmp_path, records)
        assert report["overhead"]["wire_packets"] == 1 + 1 + 10

    def test_the_mss_of_both_counts_where_the_link_would_carry_more(self, tmp_path: Path) -> None:
        """Pods at 1450 over links of 9000: 7,050 bytes of data are 5 segments of 1,410, though 7,140 fit 9000."""
        report = run(
            tmp_path,
            [*self.syns(), *self.data(7050), *self.data(1410, 7052, time=3 * MS)],
            links=[router_links(tmp_path / "links.json", mtu=9000)],
        )
        overhead, mtu = report["overhead"], report["mtu"]
        assert (mtu["super_frames"], mtu["largest_inner"], mtu["underlay"]) == (1, 1450, 9000)
        assert (overhead["wire_packets"], overhead["wire_packets_estimated"]) == (2 + 5 + 1, False)

    def test_a_jumbo_link_carries_what_both_agreed_on(self, tmp_path: Path) -> None:
        links = [router_links(tmp_path / "links.json", mtu=9000)]
        report = run(tmp_path, [*self.syns(8910, 8910), *self.data(8910)], links=links)
        assert (report["mtu"]["super_frames"], report["overhead"]["wire_packets"]) == (0, 3)

    def ordinary(self, count: int = 10, size: int = 1410) -> list[Seen]:
        return [row for at in range(count) for row in self.data(size, 2 + at * size, time=(2 + at) * MS)]

    def test_no_syn_but_many_full_segments(self, tmp_path: Path) -> None:
        """10 records of 1,410 bytes of data and one of 4 times as much, which stands for 4 of those."""
        report = run(tmp_path, [*self.ordinary(), *self.data(5640, 14102, time=20 * MS)])
        overhead, mtu = report["overhead"], report["mtu"]
        assert (overhead["wire_packets"], overhead["wire_packets_estimated"]) == (14, True)
        assert (mtu["super_frames"], mtu["largest_inner"]) == (1, 1450)
        assert (mtu["underlay"], mtu["overlay"], mtu["at_overlay"]) == (1500, 1450, 10)
        assert mtu["overlay_evidence"] == "10 segments of TCP of just this size, and nothing larger"

    def test_a_lost_super_frame_counts_as_many_packets_without_syns(self, tmp_path: Path) -> None:
        lost = came(20 * MS, tunnel(segment(14102, 5640, CLIENT, SERVER)))
        report = run(tmp_path, [*self.ordinary(), lost, *self.ordinary(), *exchange(4000 * MS)])
        assert report["forwarding"]["wire_packets_lost"] == 4

    def test_a_few_of_one_size_tell_no_mtu(self, tmp_path: Path) -> None:
        mtu = run(tmp_path, self.ordinary(9))["mtu"]
        assert (mtu["underlay"], mtu["underlay_at_least"], mtu["overlay"]) == (None, 1500, None)

    def test_full_segments_that_never_left_tell_no_mtu(self, tmp_path: Path) -> None:
        records = [came(at * MS, tunnel(segment(2 + at * 1460, 1460, CLIENT, SERVER))) for at in range(20)]
        assert run(tmp_path, [*records, *exchange(4000 * MS)])["mtu"]["overlay"] is None

    def test_full_segments_of_a_jumbo_link_are_packets(self, tmp_path: Path) -> None:
        """8,910 is no multiple of 1,410, of which others' segments are."""
        report = run(tmp_path, [*self.ordinary(), *self.ordinary(size=8910)])
        assert (report["overhead"]["wire_packets"], report["overhead"]["wire_packets_estimated"]) == (20, False)
        assert (report["mtu"]["underlay"], report["mtu"]["overlay"]) == (9000, 8950)
        (native,) = (row for row in report["what_if"] if not row["tunnel"])
        assert native["underlay"] == 9000

    def test_records_of_one_size_between_the_usual_links_leave_it_open(self, tmp_path: Path) -> None:
        """A sender that paces may hand over two segments at a time: 2,820 bytes of data tell no MTU."""
        report = run(tmp_path, self.ordinary(size=2820))
        assert report["overhead"]["wire_packets_estimated"]
        assert (report["mtu"]["underlay_at_least"], report["mtu"]["overlay"]) == (None, None)

    def test_no_syn_but_the_links_mtu(self, tmp_path: Path) -> None:
        """1500 - 50 - 40 = 1410."""
        report = run(tmp_path, self.data(14100), links=[router_links(tmp_path / "links.json")])
        assert report["mtu"]["super_frames"] == 1
        assert report["overhead"]["wire_packets"] == 10
        assert report["overhead"]["wire_packets_estimated"]

    def test_no_syn_but_those_of_other_flows(self, tmp_path: Path) -> None:
        other = passed(9 * MS, tunnel(segment(5, 14100, (POD_A, 7), (POD_B, 9))))
        report = run(tmp_path, [*self.syns(), *other])
        assert report["mtu"]["super_frames"] == 1
        assert report["overhead"]["wire_packets"] == 2 + 10
        assert report["overhead"]["wire_packets_estimated"]

    def test_a_loopback_syn_does_not_hide_those_of_the_tunnel(self, tmp_path: Path) -> None:
        ends = ("127.0.0.1", 40000), ("127.0.0.1", 22)
        local = came(5 * MS, segment(1, 0, *ends, flags=SYN, options=mss(65495)), 1, arphrd=772)
        other = passed(9 * MS, tunnel(segment(5, 14100, (POD_A, 7), (POD_B, 9))))
        report = run(tmp_path, [*self.syns(), local, *other])
        assert report["mtu"]["super_frames"] == 1
        assert report["mtu"]["mss"] == [{"value": 1410, "segments": 2}]

    def test_a_udp_flow_tells_by_its_ordinary_datagrams(self, tmp_path: Path) -> None:
        """26,000 bytes in pieces of 1,300 are 20; the overlay MTU leaves room for 1,422, and so for 19."""
        links = [router_links(tmp_path / "links.json")]
        large = passed(0, tunnel(datagram(26_028, 1)))
        report = run(tmp_path, [*large, *passed(MS, tunnel(datagram(1328, 12)))], links=links)
        assert report["mtu"]["super_frames"] == 1
        assert report["overhead"]["wire_packets"] == 20 + 1
        assert report["overhead"]["wire_packets_estimated"]

    def test_a_udp_flow_of_large_datagrams_alone_is_reckoned_by_the_overlay_mtu(self, tmp_path: Path) -> None:
        """15,642 bytes are 11 times 1,422."""
        links = [router_links(tmp_path / "links.json")]
        report = run(tmp_path, passed(0, tunnel(datagram(15_670, 1))), links=links)
        assert report["overhead"]["wire_packets"] == 11
        assert report["overhead"]["wire_packets_estimated"]

    def test_full_segments_are_none(self, tmp_path: Path) -> None:
        report = run(tmp_path, [*self.syns(), *self.data(1410), *self.data(1398, 1412, STAMPS, 3 * MS)])
        assert report["mtu"]["super_frames"] == 0
        assert report["overhead"]["wire_packets"] == 4

    def test_jumbo_frames_are_none_where_nothing_tells_the_mtu(self, tmp_path: Path) -> None:
        report = run(tmp_path, self.data(8900))
        assert report["mtu"]["super_frames"] == 0
        assert report["overhead"]["wire_packets"] == 1

    def test_they_are_no_largest_packet(self, tmp_path: Path) -> None:
        report = run(tmp_path, [*self.syns(), *self.data(1410), *self.data(14100, 1412, time=3 * MS)])
        assert report["mtu"]["largest_inner"] == 1450
        assert sum(row["datagrams"] for row in report["mtu"]["inner_sizes"]) == 3

    def test_flows_count_their_segments(self, tmp_path: Path) -> None:
        report = run(tmp_path, [*self.syns(), *self.data(14100)])
        assert {flow["source"]: flow["wire_packets"] for flow in report["flows"]} == {POD_A: 11, POD_B: 1}


def test_a_capture_that_begins_behind_the_syns_counts_the_same(tmp_path: Path) -> None:
    """Without its first 30 records. The queue dropped 84 packets, all later, and all four of one super-frame."""
    whole = (CAPTURES / "drops-offload-on.pcap").read_bytes()
    at = 24
    for _ in range(30):
        at += 16 + int.from_bytes(whole[at + 8 : at + 12], "little")
    (tmp_path / "late.pcap").write_bytes(whole[:24] + whole[at:])
    links = [CAPTURES / "drops-offload-on.links.json"]
    for options in ({}, {"links": links}):
        report = analyze([tmp_path / "late.pcap"], **options)  # type: ignore[arg-type]
        assert report["forwarding"]["wire_packets_lost"] == 84
        assert report["overhead"]["wire_packets"] == 374
        assert (report["mtu"]["overlay"], report["mtu"]["largest_inner"]) == (1450, 1450)


class TestMtu:
    def test_the_smallest_link_that_traffic_crossed_is_the_underlay(self, tmp_path: Path) -> None:
        links = router_links(tmp_path / "links.json", mtu=9000, eth2_mtu=1500)
        mtu = run(tmp_path, exchange(), links=[links])["mtu"]
        assert (mtu["underlay"], mtu["overlay"]) == (1500, 1450)
        assert mtu["underlay_evidence"] == "links file: eth2 1500"
        assert mtu["overlay_evidence"] == "the underlay MTU of 1500 less 50 bytes of tunnel headers"

    def test_links_that_it_did_not_cross_do_not_count(self, tmp_path: Path) -> None:
        rows = [(2, "eth0", 1280, MAC_A, []), (3, "eth1", 1500, MAC_1, []), (4, "eth2", 1500, MAC_2, [])]
        assert run(tmp_path, exchange(), links=[links_file(tmp_path / "l.json", rows)])["mtu"]["underlay"] == 1500

    def test_over_ipv6_the_overlay_is_70_less(self, tmp_path: Path) -> None:
        links = router_links(tmp_path / "links.json")
        assert run(tmp_path, passed(0, tunnel6(ping())), links=[links])["mtu"]["overlay"] == 1430

    def test_without_links_the_syns_tell_what_the_pods_use(self, tmp_path: Path) -> None:
        mtu = run(tmp_path, TestSuperFrames.syns())["mtu"]
        assert (mtu["underlay"], mtu["overlay"]) == (1500, 1450)
        assert mtu["overlay_evidence"] == "the MSS in the SYNs of 2 flows"
        assert mtu["mss"] == [{"value": 1410, "segments": 2}]

    def test_without_links_and_syns_nothing_is_known(self, tmp_path: Path) -> None:
        mtu = run(tmp_path, exchange())["mtu"]
        assert (mtu["underlay"], mtu["overlay"], mtu["at_overlay"], mtu["over_overlay"]) == (None,) * 4
        assert mtu["largest_inner"] == 84

    def test_fragments_contradict_what_the_syns_say(self, tmp_path: Path) -> None:
        """Pods at 1500 announce 1460; their packets did not fit, so no overlay of 1500 is claimed."""
        first, second = fragments(tunnel(ping(9, size=1500)), 1480)
        pieces = [*passed(5 * MS, first), *passed(6 * MS, second)]
        mtu = run(tmp_path, [*TestSuperFrames.syns(1460, 1460), *pieces])["mtu"]
        assert (mtu["underlay"], mtu["overlay"]) == (None, None)

    def test_so_do_fragments_that_the_router_makes(self, tmp_path: Path) -> None:
        packet = tunnel(ping(9, size=1450))
        first, second = fragments(routed(packet), 1376)
        pieces = [came(5 * MS, packet), left(5 * MS + 9 * US, first), left(5 * MS + 10 * US, second)]
        mtu = run(tmp_path, [*TestSuperFrames.syns(), *pieces])["mtu"]
        assert (mtu["underlay"], mtu["overlay"]) == (None, None)

    def test_sizes_are_counted_at_and_over_the_overlay_mtu(self, tmp_path: Path) -> None:
        sizes = [84, 1450, 1450, 1451, 1500]
        records: list[Seen] = []
        for number, size in enumerate(sizes):
            records += passed(number * MS, tunnel(ping(number, size=size)))
        mtu = run(tmp_path, records, links=[router_links(tmp_path / "links.json")])["mtu"]
        assert (mtu["largest_inner"], mtu["at_overlay"], mtu["over_overlay"]) == (1500, 2, 2)
        assert mtu["inner_sizes"][0] == {"up_to": 128, "datagrams": 1}
        assert mtu["inner_sizes"][-2:] == [{"up_to": 1450, "datagrams": 2}, {"up_to": 1500, "datagrams": 2}]
        assert sum(row["datagrams"] for row in mtu["inner_sizes"]) == 5

    def test_the_overlay_mtu_is_an_edge_of_the_histogram(self, tmp_path: Path) -> None:
        records = [*passed(0, tunnel(ping(1, size=1340))), *passed(MS, tunnel(ping(2, size=1360)))]
        mtu = run(tmp_path, records, links=[router_links(tmp_path / "links.json", mtu=1400)])["mtu"]
        assert mtu["inner_sizes"] == [{"up_to": 1350, "datagrams": 1}, {"up_to": 1400, "datagrams": 1}]

    def test_native_traffic_has_an_underlay_only(self, tmp_path: Path) -> None:
        mtu = run(tmp_path, passed(0, ping()), links=[router_links(tmp_path / "links.json")])["mtu"]
        assert (mtu["underlay"], mtu["overlay"], mtu["largest_inner"]) == (1500, None, 84)

    def test_a_packet_too_big_over_ipv6_counts(self, tmp_path: Path) -> None:
        ends = b"\xfd" + bytes(14) + b"\x01", b"\xfd" + bytes(14) + b"\x02"
        error = ipv6(*ends, 58, b"\x02\0\0\0\0\0\x05\x78" + bytes(48))
        assert run(tmp_path, [left(0, error)])["mtu"]["packet_too_big"] == 1


def test_the_tunnels_wear_is_what_the_port_says(tmp_path: Path) -> None:
    packet = tunnel(ping(), to_port=4999)
    assert run(tmp_path, passed(0, packet))["tunnel"]["datagrams"] == 0
    report = run(tmp_path, passed(0, packet), ports={4999: "vxlan"})
    assert report["tunnel"]["ports"] == {"4999": 1}


def test_udp_and_icmp_of_a_flow_are_whole_packets(tmp_path: Path) -> None:
    """A large ping without links or SYNs is no super-frame: ICMP is never segmented."""
    big = ipv4(POD_A, POD_B, ICMP, echo(1, 1, bytes(8000)), identification=5)
    report = run(tmp_path, [*passed(0, tunnel(big)), *passed(MS, tunnel(datagram(1450, 6)))])
    assert report["mtu"]["super_frames"] == 0
    assert report["overhead"]["wire_packets"] == 2
