"""What became of a datagram, as DESIGN's table of outcomes tells it, in each way of capturing it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from analysis.scenes import (
    BROADCAST,
    ETH0,
    ETH1,
    ETH2,
    IN,
    LO,
    MAC_1,
    MAC_2,
    MAC_A,
    MAC_B,
    MS,
    MULTICAST,
    NODE_A,
    NODE_B,
    OTHER_HOST,
    OUT,
    POD_A,
    POD_B,
    ROUTER_1,
    US,
    VNI_A,
    S,
    Seen,
    back,
    came,
    cooked,
    datagram,
    exchange,
    finding,
    fragments,
    frame,
    left,
    outcomes,
    passed,
    pcap,
    pcapng,
    ping,
    records_of,
    rewritten,
    routed,
    router_links,
    segment,
    too_big,
    tunnel,
)

from vxtool import analyze
from vxtool.analysis.model import Report
from vxtool.capture.container import Interface

LOST = tunnel(ping(50))
LATER = 100 * MS  # far from both ends of the capture


def run(tmp_path: Path, records: list[Seen], *, links: bool | str = False, write=pcap, **options: object) -> Report:
    path = write(tmp_path / "capture.pcap", records)
    files = [links] if isinstance(links, str) else [router_links(tmp_path / "links.json")] if links else []
    return analyze([path], links=files, **options)  # type: ignore[arg-type]


@pytest.fixture(params=[False, True], ids=["without links", "with links"])
def links(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


class TestAnyCapture:
    def test_in_and_out_is_forwarded(self, tmp_path: Path, links: bool) -> None:
        report = run(tmp_path, exchange(), links=links)
        assert outcomes(report) == {"forwarded": 2}
        assert report["capture"]["vantage"] == "router"

    def test_in_and_never_out_is_dropped(self, tmp_path: Path, links: bool) -> None:
        report = run(tmp_path, [*exchange(), came(LATER, LOST), *exchange(2 * LATER, 2)], links=links)
        assert outcomes(report) == {"forwarded": 4, "dropped": 1}
        assert report["forwarding"]["wire_packets_lost"] == 1

    def test_a_drop_says_where_it_came_in_between_whom_how_large_and_when(self, tmp_path: Path) -> None:
        records = [
            *exchange(),
            came(LATER, tunnel(ping(50))),
            came(LATER + MS, tunnel(ping(51, size=1450))),
            *exchange(2 * LATER, 2),
        ]
        (drop,) = run(tmp_path, records, links=True)["forwarding"]["drops"]
        assert drop == {
            "ingress": "eth1",
            "source": POD_A,
            "destination": POD_B,
            "datagrams": 2,
            "smallest": 84,
            "largest": 1450,
            "first_time": "2025-08-09T17:27:50.100000000Z",
            "last_time": "2025-08-09T17:27:50.101000000Z",
        }

    def test_sll_version_1_tells_the_same_without_interfaces(self, tmp_path: Path) -> None:
        records = [*exchange(), came(LATER, LOST), *exchange(2 * LATER, 2)]
        report = run(tmp_path, records, write=cooked)
        assert outcomes(report) == {"forwarded": 4, "dropped": 1}
        (path,) = report["forwarding"]["paths"]
        assert (path["ingress"], path["egress"], path["datagrams"]) == (None, None, 4)

    def test_in_right_before_the_end_cannot_be_told(self, tmp_path: Path) -> None:
        report = run(tmp_path, [*exchange(), came(LATER, LOST)])
        assert outcomes(report) == {"forwarded": 2, "unresolved": 1}
        assert report["forwarding"]["unresolved_because"] == {"capture-ended": 1}

    def test_within_a_millisecond_of_the_end_cannot_be_told_beyond_it_can(self, tmp_path: Path) -> None:
        last = exchange(LATER + MS - 475 * US, 2)  # its last record is 1 ms after the lost one
        assert outcomes(run(tmp_path, [*exchange(), came(LATER, LOST), *last])) == {"forwarded": 4, "unresolved": 1}
        last = exchange(LATER + MS - 474 * US, 2)
        assert outcomes(run(tmp_path, [*exchange(), came(LATER, LOST), *last])) == {"forwarded": 4, "dropped": 1}

    def test_the_longest_latency_seen_makes_the_end_longer(self, tmp_path: Path) -> None:
        slow = passed(0, tunnel(ping(7)), latency=30 * MS)
        report = run(tmp_path, [*slow, came(LATER, LOST), *exchange(LATER + 20 * MS, 2)])
        assert outcomes(report) == {"forwarded": 3, "unresolved": 1}

    def test_out_of_the_first_records_cannot_be_told(self, tmp_path: Path) -> None:
        report = run(tmp_path, [left(0, routed(LOST)), *exchange(LATER)])
        assert outcomes(report) == {"forwarded": 2, "unresolved": 1}
        assert report["forwarding"]["unresolved_because"] == {"capture-began": 1}

    def test_out_and_never_in_from_elsewhere_was_missed(self, tmp_path: Path, links: bool) -> None:
        report = run(tmp_path, [*exchange(), left(LATER, routed(LOST)), *exchange(2 * LATER, 2)], links=links)
        assert outcomes(report) == {"forwarded": 4, "missed": 1}

    def test_hairpin_is_forwarded_out_of_the_interface_that_it_came_by(self, tmp_path: Path) -> None:
        report = run(tmp_path, passed(0, tunnel(ping()), egress=ETH1), links=True)
        assert outcomes(report) == {"forwarded": 1}
        (path,) = report["forwarding"]["paths"]
        assert (path["ingress"], path["egress"]) == ("eth1", "eth1")

    def test_a_rewritten_outer_source_is_forwarded_and_translated(self, tmp_path: Path, links: bool) -> None:
        packet = tunnel(ping())
        records = [came(0, packet), left(9 * US, routed(rewritten(packet, "192.168.20.200")))]
        report = run(tmp_path, records, links=links)
        assert outcomes(report) == {"forwarded": 1}
        assert report["forwarding"]["translated"] == 1

    def test_native_misrouting_shows_as_a_path_to_the_uplink(self, tmp_path: Path) -> None:
        report = run(tmp_path, passed(0, ping(), egress=ETH0), links=True)
        assert report["forwarding"]["scope"] == "ip"
        assert outcomes(report) == {"forwarded": 1}
        (path,) = report["forwarding"]["paths"]
        assert (path["ingress"], path["egress"]) == ("eth1", "eth0")

    def test_scope_ip_judges_what_stands_outside_of_tunnels(self, tmp_path: Path) -> None:
        records = [*exchange(), *passed(LATER, ping(9))]
        report = run(tmp_path, records)
        assert (report["forwarding"]["scope"], outcomes(report)) == ("tunnel", {"forwarded": 2})
        assert report["forwarding"]["other"] is not None
        assert outcomes(report["forwarding"]["other"]) == {"forwarded": 1}
        report = run(tmp_path, records, scope="ip")
        assert (report["forwarding"]["scope"], outcomes(report)) == ("ip", {"forwarded": 1})
        assert report["forwarding"]["other"] is not None
        assert report["forwarding"]["other"]["scope"] == "tunnel"


class TestDelivered:
    @pytest.mark.parametrize(
        "record",
        [
            pytest.param(came(LATER, ping(3, NODE_A, "192.168.10.255"), packet_type=BROADCAST), id="broadcast"),
            pytest.param(came(LATER, ping(3, NODE_A, "224.0.0.5"), packet_type=MULTICAST), id="multicast"),
            pytest.param(came(LATER, ping(3, NODE_A, "224.0.0.5")), id="multicast address"),
            pytest.param(came(LATER, ping(3, NODE_A, "255.255.255.255")), id="broadcast address"),
            pytest.param(came(LATER, ping(3, NODE_A, "169.254.7.7")), id="link-local"),
            pytest.param(came(LATER, ping(3, "127.0.0.1", "127.0.0.1"), LO, arphrd=772), id="loopback"),
            pytest.param(came(LATER, ping(3, "10.9.9.9", "10.9.9.9"), LO, arphrd=772), id="loopback device"),
        ],
    )
    def test_what_is_never_forwarded_is_delivered(self, tmp_path: Path, links: bool, record: Seen) -> None:
        report = run(tmp_path, [*exchange(), record, *exchange(2 * LATER, 2)], links=links, scope="ip")
        assert outcomes(report) == {"delivered": 1}

    def test_to_an_own_address_of_the_links_file(self, tmp_path: Path) -> None:
        records = [*exchange(), came(LATER, ping(3, NODE_A, ROUTER_1)), *exchange(2 * LATER, 2)]
        assert outcomes(run(tmp_path, records, scope="ip", links=True)) == {"delivered": 1}

    def test_an_address_that_answers_is_own_without_links(self, tmp_path: Path) -> None:
        records = [
            *exchange(),
            came(LATER, ping(3, NODE_A, ROUTER_1)),
            left(LATER + 20 * US, ping(3, ROUTER_1, NODE_A, reply=True), ETH1),
            *exchange(2 * LATER, 2),
        ]
        report = run(tmp_path, records, scope="ip")
        assert outcomes(report) == {"delivered": 1, "originated": 1}

    def test_a_session_with_the_router_itself_is_no_loss(self, tmp_path: Path, links: bool) -> None:
        operator, router = ("192.168.10.7", 40000), (ROUTER_1, 22)
        records = exchange()
        for number in range(5):
            records.append(came(LATER + number * MS, segment(100 + number, 20, operator, router)))
            records.append(left(LATER + number * MS + 50 * US, segment(900 + number, 40, router, operator), ETH1))
        report = run(tmp_path, [*records, *exchange(2 * LATER, 2)], links=links)
        assert outcomes(report) == {"forwarded": 4}
        assert report["forwarding"]["other"] is not None
        assert outcomes(report["forwarding"]["other"]) == {"delivered": 5, "originated": 5}

    def test_a_host_that_only_loses_is_not_taken_for_the_router(self, tmp_path: Path) -> None:
        """Its packets come in, and what is sent to it vanishes: that is a loss, not a delivery."""
        records = [
            *exchange(),
            *(came(LATER + number * MS, tunnel(ping(60 + number))) for number in range(5)),
            *exchange(2 * LATER, 2),
        ]
        assert outcomes(run(tmp_path, records)) == {"forwarded": 4, "dropped": 5}


class TestOriginated:
    def test_an_icmp_error_of_the_router(self, tmp_path: Path, links: bool) -> None:
        records = [*exchange(), left(LATER, too_big(ROUTER_1, NODE_A), ETH1), *exchange(2 * LATER, 2)]
        report = run(tmp_path, records, links=links, scope="ip")
        assert outcomes(report) == {"originated": 1}
        assert report["mtu"]["packet_too_big"] == 1

    def test_of_an_own_address_at_the_very_start(self, tmp_path: Path) -> None:
        records = [left(0, ping(3, ROUTER_1, NODE_A), ETH1), *exchange(LATER)]
        assert outcomes(run(tmp_path, records, links=True, scope="ip")) == {"originated": 1}

    def test_a_foreign_address_that_also_came_in_was_missed(self, tmp_path: Path, links: bool) -> None:
        records = [*passed(0, ping(1)), left(LATER, routed(ping(2))), *passed(2 * LATER, ping(3))]
        assert outcomes(run(tmp_path, records, links=links)) == {"forwarded": 2, "missed": 1}


class TestNotAddressed:
    def test_seen_on_its_way_to_another_machine_is_never_dropped(self, tmp_path: Path, links: bool) -> None:
        record = came(LATER, ping(3, NODE_A, "192.168.10.7"), packet_type=OTHER_HOST)
        report = run(tmp_path, [*exchange(), record, *exchange(2 * LATER, 2)], links=links, scope="ip")
        assert outcomes(report) == {"unresolved": 1}
        assert report["forwarding"]["unresolved_because"] == {"not-addressed": 1}

    def test_but_a_bridge_passes_it_on(self, tmp_path: Path) -> None:
        packet = tunnel(ping())
        records = [came(0, packet, ETH1, OTHER_HOST), left(9 * US, packet, ETH2)]
        assert outcomes(run(tmp_path, records)) == {"forwarded": 1}


class TestStackedDevices:
    def test_a_bridge_under_the_router_is_on_the_way(self, tmp_path: Path) -> None:
        packet, bridge = tunnel(ping()), 9
        records = [came(0, packet, ETH1), came(2 * US, packet, bridge), left(9 * US, routed(packet), ETH2)]
        report = run(tmp_path, records, interfaces={ETH1: "eth1", ETH2: "eth2", bridge: "br0"})
        assert outcomes(report) == {"forwarded": 1}
        (path,) = report["forwarding"]["paths"]
        assert (path["ingress"], path["via"], path["egress"]) == ("eth1", ["br0"], "eth2")
        assert path["latency_ns"] is not None
        assert path["latency_ns"]["max"] == 9 * US

    def test_a_stage_of_unknown_direction_is_on_the_way_too(self, tmp_path: Path) -> None:
        """Packet type 7 says no direction: the TTL says out, and so this is the same stage twice."""
        packet = tunnel(ping())
        again = came(11 * US, routed(packet), ETH2, packet_type=7)
        records = [came(0, packet), left(9 * US, routed(packet)), again]
        report = run(tmp_path, records)
        assert outcomes(report) == {"forwarded": 1}
        (path,) = report["forwarding"]["paths"]
        assert (path["ingress"], path["via"], path["egress"]) == ("#3", ["#4"], "#4")

    def test_dropped_behind_the_bridge_is_one_datagram(self, tmp_path: Path) -> None:
        records = [*exchange(), came(LATER, LOST, ETH1), came(LATER + US, LOST, 9), *exchange(2 * LATER, 2)]
        assert outcomes(run(tmp_path, records)) == {"forwarded": 4, "dropped": 1}


class TestCarriers:
    """Leaving by a device that only hands on is not leaving the machine."""

    VXLAN_DEVICE = 9

    def through(self, time: int, sequence: int) -> list[Seen]:
        """Out of the pod's veth (7), into the tunnel device, and out of eth1."""
        packet = routed(ping(sequence))
        return [*self.lost(time, sequence), left(time + 11 * US, tunnel(packet), ETH1)]

    def lost(self, time: int, sequence: int) -> list[Seen]:
        return [came(time, ping(sequence), 7), left(time + 5 * US, routed(ping(sequence)), self.VXLAN_DEVICE)]

    def test_what_leaves_the_tunnel_device_alone_is_dropped_behind_it(self, tmp_path: Path) -> None:
        records = [*self.through(0, 1), *self.lost(LATER, 2), *self.through(2 * LATER, 3)]
        report = run(tmp_path, records)
        assert outcomes(report) == {"forwarded": 2}
        other = report["forwarding"]["other"]
        assert other is not None
        assert outcomes(other) == {"dropped": 1}
        found = finding(report, "forwarding.dropped")
        assert found is not None
        assert (found["severity"], found["count"], records_of(found)) == ("error", 1, [4])

    def test_what_leaves_a_bridge_without_its_port_is_dropped(self, tmp_path: Path) -> None:
        """br0 (9) has eth2 as its port: two of three datagrams leave by it."""
        rows = [{"ifindex": 3, "ifname": "eth1"}, {"ifindex": 4, "ifname": "eth2", "master": "br0"}]
        links = tmp_path / "bridge.json"
        links.write_text(json.dumps([*rows, {"ifindex": 9, "ifname": "br0"}]))
        records = []
        for at, passes in enumerate((True, False, True)):
            packet, time = tunnel(ping(at + 1)), at * LATER
            records += [came(time, packet), left(time + 5 * US, routed(packet), 9)]
            records += [left(time + 6 * US, routed(packet), ETH2)] if passes else []
        assert outcomes(run(tmp_path, records, links=str(links))) == {"forwarded": 2, "dropped": 1}

    def test_what_comes_out_of_the_tunnel_and_goes_no_further_is_dropped(self, tmp_path: Path) -> None:
        inner = [ping(number, POD_B, POD_A, reply=True) for number in (1, 2)]
        records = [
            *self.through(0, 1),
            came(MS, back(inner[0]), ETH1),
            came(MS + 4 * US, inner[0], self.VXLAN_DEVICE),
            left(MS + 9 * US, routed(inner[0]), 7),
            came(LATER, back(inner[1]), ETH1),
            came(LATER + 4 * US, inner[1], self.VXLAN_DEVICE),
            *self.through(2 * LATER, 2),
        ]
        assert outcomes(run(tmp_path, records)) == {"forwarded": 3, "dropped": 1}


class TestWhatOnlyLooksLost:
    def test_source_nat_is_not_followed_and_no_loss(self, tmp_path: Path) -> None:
        ask, answer = (POD_A, 40000, "10.9.9.9", 80), ("10.9.9.9", 80, POD_A, 40000)
        records = []
        for number in range(4):
            out = datagram(100, 50 + number, (ask[0], ask[1]), (ask[2], ask[3]))
            masked = datagram(100, 50 + number, ("10.0.2.15", 40000), (ask[2], ask[3]))
            reply = datagram(100, 90 + number, (answer[0], answer[1]), ("10.0.2.15", 40000))
            unmasked = datagram(100, 90 + number, (answer[0], answer[1]), (answer[2], answer[3]))
            time = number * LATER
            records += [came(time, out), left(time + 9 * US, routed(masked), ETH0)]
            records += [came(time + MS, reply, ETH0), left(time + MS + 9 * US, routed(unmasked), ETH1)]
        report = run(tmp_path, records)
        assert outcomes(report) == {"unresolved": 16}
        assert report["forwarding"]["unresolved_because"] == {"address-translated": 16}
        assert finding(report, "forwarding.dropped") is None

    def test_a_capture_of_the_incoming_side_alone_drops_nothing(self, tmp_path: Path) -> None:
        """tcpdump -Q in: both directions of a conversation come in, and not one record goes out."""
        reply = back(ping(1, POD_B, POD_A, reply=True))
        report = run(tmp_path, [came(0, tunnel(ping(1))), came(MS, reply, ETH2), came(3 * S, tunnel(ping(2)))])
        assert report["forwarding"]["dropped"] == 0
        assert report["forwarding"]["unresolved_because"] == {"egress-not-captured": 3}
        assert finding(report, "capture.one-sided") is not None

    def test_a_router_that_passes_nothing_on_drops_it(self, tmp_path: Path) -> None:
        """No record goes out here either, but nothing is answered."""
        records = [came(number * 2 * S, tunnel(ping(number + 1))) for number in range(3)]
        assert outcomes(run(tmp_path, records)) == {"dropped": 2, "unresolved": 1}

    def test_a_way_longer_than_the_window_is_not_a_loss(self, tmp_path: Path) -> None:
        packets = [tunnel(ping(number + 1)) for number in range(4)]
        records = [came(at * 4 * S, packet) for at, packet in enumerate(packets)]
        records += [left(at * 4 * S + 2 * S, routed(packet)) for at, packet in enumerate(packets)]
        report = run(tmp_path, records)
        assert report["forwarding"]["unresolved_because"] == {"unmatched": 8}
        assert outcomes(run(tmp_path, records, window_ns=3 * S)) == {"forwarded": 4}

    def test_a_capture_that_loses_records_on_both_sides_says_so(self, tmp_path: Path) -> None:
        """Of 60 datagrams, 16 µs on their way, the capture lost five on their way in and five others out."""
        records = []
        for at in range(60):
            packet = tunnel(ping(at + 1))
            if at % 12 != 3:
                records.append(came(at * MS, packet))
            if at % 12 != 7:
                records.append(left(at * MS + 16 * US, routed(packet)))
        records += [*exchange(3 * S, 99)]
        report = run(tmp_path, records)
        assert outcomes(report) == {"forwarded": 52, "missed": 5, "dropped": 5}
        lossy, dropped = finding(report, "capture.lossy"), finding(report, "forwarding.dropped")
        assert lossy is not None
        assert lossy["count"] == 5
        assert dropped is not None
        assert dropped["title"].startswith("up to 5 datagrams")
        assert report["forwarding"]["dropped_at_most"]

    def test_where_a_loop_ends_is_not_told(self, tmp_path: Path) -> None:
        packet = ping(9)
        records = [came(0, packet), came(MS, routed(packet)), *exchange(LATER)]
        other = run(tmp_path, records)["forwarding"]["other"]
        assert other is not None
        assert other["unresolved_because"] == {"in-a-loop": 1}


class TestNode:
    """A capture on node A: plain on the pod's veth (7), VXLAN on eth1."""

    @staticmethod
    def encapsulated(time: int, sequence: int) -> list[Seen]:
        return [came(time, ping(sequence), 7), left(time + 11 * US, tunnel(routed(ping(sequence))), ETH1)]

    @staticmethod
    def decapsulated(time: int, sequence: int) -> list[Seen]:
        inner = ping(sequence, POD_B, POD_A, reply=True)
        return [came(time, back(inner), ETH1), left(time + 13 * US, routed(inner), 7)]

    def test_encapsulation_and_decapsulation_are_forwarding(self, tmp_path: Path) -> None:
        report = run(tmp_path, [*self.encapsulated(0, 1), *self.decapsulated(MS, 1)])
        assert outcomes(report) == {"forwarded": 2}
        assert report["capture"]["vantage"] == "node"
        assert report["forwarding"]["other"] is None
        assert report["overhead"]["overhead_bytes"] == 100

    def test_what_ends_in_the_node_itself_is_delivered_without_links(self, tmp_path: Path) -> None:
        """Its tunnel address is the one that its own datagrams leave with."""
        to_the_node = back(datagram(100, 77, (POD_B, 4240), ("172.20.0.1", 4240)))
        records = [
            *self.encapsulated(0, 1),
            *self.decapsulated(MS, 1),
            came(LATER, to_the_node, ETH1),
            *self.encapsulated(2 * LATER, 2),
        ]
        assert outcomes(run(tmp_path, records)) == {"forwarded": 3, "delivered": 1}

    def test_fragments_made_there_are_the_sources(self, tmp_path: Path) -> None:
        inner = ping(1, size=1500)
        first, second = fragments(tunnel(routed(inner)), 1480)
        report = run(tmp_path, [came(0, inner, 7), left(9 * US, first, ETH1), left(10 * US, second, ETH1)])
        assert outcomes(report) == {"forwarded": 1}
        assert report["forwarding"]["fragmented_at_source"] == 1
        assert report["forwarding"]["fragmented_by_router"] == 0
        # 1550 bytes in two packets, each with an IPv4 header of its own: 50 + 20 more than the 1500 inside.
        assert report["overhead"]["wire_packets"] == 2
        assert report["overhead"]["wire_overhead_bytes"] == 70

    def test_a_pods_packet_that_never_leaves_is_dropped(self, tmp_path: Path) -> None:
        records = [*self.encapsulated(0, 1), came(LATER, ping(50), 7), *self.encapsulated(2 * LATER, 2)]
        report = run(tmp_path, records)
        assert outcomes(report) == {"forwarded": 2}
        assert report["forwarding"]["other"] is not None
        assert outcomes(report["forwarding"]["other"]) == {"dropped": 1}


class TestFragments:
    PIECES = fragments(tunnel(ping(1, size=1500)), 1480)

    def test_fragments_of_one_packet_are_one_datagram(self, tmp_path: Path) -> None:
        first, second = self.PIECES
        records = [
            *passed(0, first),
            *passed(MS, second),
        ]
        report = run(tmp_path, records)
        assert outcomes(report) == {"forwarded": 1}
        assert report["forwarding"]["fragmented_at_source"] == 1
        assert report["overhead"]["wire_packets"] == 2

    def test_made_by_the_router(self, tmp_path: Path) -> None:
        packet = tunnel(ping(1, size=1450))
        first, second = fragments(routed(packet), 1376)
        report = run(tmp_path, [came(0, packet), left(9 * US, first), left(10 * US, second)])
        assert outcomes(report) == {"forwarded": 1}
        assert report["forwarding"]["fragmented_by_router"] == 1
        assert report["forwarding"]["fragmented_at_source"] == 0

    def test_one_of_two_lost_is_a_dropped_datagram_and_one_lost_packet(self, tmp_path: Path) -> None:
        first, second = self.PIECES
        records = [*exchange(), *passed(LATER, first), came(LATER + MS, second), *exchange(2 * LATER, 2)]
        report = run(tmp_path, records)
        assert outcomes(report) == {"forwarded": 4, "dropped": 1}
        assert report["forwarding"]["wire_packets_lost"] == 1

    def test_all_lost_is_a_dropped_datagram_and_two_lost_packets(self, tmp_path: Path) -> None:
        first, second = self.PIECES
        records = [*exchange(), came(LATER, first), came(LATER + US, second), *exchange(2 * LATER, 2)]
        report = run(tmp_path, records)
        assert outcomes(report) == {"forwarded": 4, "dropped": 1}
        assert report["forwarding"]["wire_packets_lost"] == 2

    def test_one_lost_of_those_that_the_router_made(self, tmp_path: Path) -> None:
        packet = tunnel(ping(1, size=1450))
        first, _ = fragments(routed(packet), 1376)
        other = fragments(routed(tunnel(ping(2, size=1450))), 1376)
        records = [
            came(0, tunnel(ping(2, size=1450))),
            left(9 * US, other[0]),
            left(9 * US, other[1]),
            came(LATER, packet),
            left(LATER + 9 * US, first),
            *exchange(2 * LATER, 3),
        ]
        report = run(tmp_path, records)
        assert outcomes(report) == {"forwarded": 3, "dropped": 1}
        assert report["forwarding"]["wire_packets_lost"] == 1

    def test_tails_that_a_filter_hides_are_no_loss(self, tmp_path: Path) -> None:
        """Whole in, and out only a first fragment: no other fragment is in the capture at all."""
        packet = tunnel(ping(1, size=1450))
        first, _ = fragments(routed(packet), 1376)
        records = [*exchange(), came(LATER, packet), left(LATER + 9 * US, first), *exchange(2 * LATER, 2)]
        report = run(tmp_path, records)
        assert outcomes(report) == {"forwarded": 5}
        assert report["forwarding"]["fragmented_by_router"] == 1


class TestOneFileForEachInterface:
    """Ethernet captures: no direction in the link header."""

    @staticmethod
    def eth1(time: int, packet: bytes, outward: bool = False, **extras: object) -> Seen:
        ends = (MAC_1, MAC_A) if outward else (MAC_A, MAC_1)
        return frame(time, packet, *ends, **extras)

    @staticmethod
    def eth2(time: int, packet: bytes, outward: bool = True, **extras: object) -> Seen:
        ends = (MAC_2, MAC_B) if outward else (MAC_B, MAC_2)
        return frame(time, packet, *ends, **extras)

    def sides(self, sequence: int, time: int) -> tuple[list[Seen], list[Seen]]:
        """A ping and its reply, as eth1 and as eth2 show it."""
        request, reply = tunnel(ping(sequence)), back(ping(sequence, POD_B, POD_A, reply=True))
        return (
            [self.eth1(time, request), self.eth1(time + 503 * US, routed(reply), outward=True)],
            [self.eth2(time + 16 * US, routed(request)), self.eth2(time + 500 * US, reply, outward=False)],
        )

    def files(self, tmp_path: Path, extra: tuple[list[Seen], list[Seen]] = ([], [])) -> list[str]:
        early, late = self.sides(1, 0), self.sides(2, 2 * LATER)
        return [
            pcap(tmp_path / f"eth{side + 1}.pcap", [*early[side], *extra[side], *late[side]], link_type=1)
            for side in (0, 1)
        ]

    def options(self, tmp_path: Path, links: bool) -> dict[str, list[str]]:
        return {"links": [router_links(tmp_path / "links.json")] if links else []}

    def test_both_files_together_show_forwarding_by_the_ttl(self, tmp_path: Path, links: bool) -> None:
        report = analyze(self.files(tmp_path), **self.options(tmp_path, links))
        assert outcomes(report) == {"forwarded": 4}
        assert [(path["ingress"], path["egress"], path["datagrams"]) for path in report["forwarding"]["paths"]] == [
            ("eth1", "eth2", 2),
            ("eth2", "eth1", 2),
        ]

    def test_what_only_came_in_is_dropped_when_its_egress_was_watched(self, tmp_path: Path, links: bool) -> None:
        files = self.files(tmp_path, ([self.eth1(LATER, LOST)], []))
        assert outcomes(analyze(files, **self.options(tmp_path, links))) == {"forwarded": 4, "dropped": 1}

    def test_what_only_went_out_is_missed(self, tmp_path: Path, links: bool) -> None:
        files = self.files(tmp_path, ([], [self.eth2(LATER, routed(LOST))]))
        assert outcomes(analyze(files, **self.options(tmp_path, links))) == {"forwarded": 4, "missed": 1}

    def test_for_a_destination_that_was_never_seen_nothing_can_be_told(self, tmp_path: Path, links: bool) -> None:
        elsewhere = tunnel(ping(50, destination="172.20.3.9"), destination="192.168.30.100")
        files = self.files(tmp_path, ([self.eth1(LATER, elsewhere)], []))
        report = analyze(files, **self.options(tmp_path, links))
        assert outcomes(report) == {"forwarded": 4, "unresolved": 1}
        assert report["forwarding"]["unresolved_because"] == {"egress-not-captured": 1}

    def judged_by_routes(self, tmp_path: Path, text: str, links: bool) -> dict[str, int]:
        """What becomes of a datagram to where no other went or came from, by these routes."""
        (tmp_path / "routes.txt").write_text(text)
        elsewhere = tunnel(ping(50, destination="172.20.3.9"), destination="192.168.30.100")
        files = self.files(tmp_path, ([self.eth1(LATER, elsewhere)], []))
        report = analyze(files, routes=[str(tmp_path / "routes.txt")], **self.options(tmp_path, links))
        return outcomes(report)

    @pytest.mark.parametrize(
        "routes",
        [
            "192.168.30.0/24 via 192.168.20.7 dev eth2\n",
            "default via 192.168.20.1 dev eth2\n",
            "default via 192.168.10.1 dev eth1\nblackhole 192.168.30.0/24\n",
            "192.168.30.0/24 nexthop via 192.168.10.7 dev eth1 nexthop via 192.168.20.7 dev eth2\n",
        ],
    )
    def test_a_route_by_what_was_captured_tells_that_it_is_lost(
        self, tmp_path: Path, links: bool, routes: str
    ) -> None:
        assert self.judged_by_routes(tmp_path, routes, links) == {"forwarded": 4, "dropped": 1}

    @pytest.mark.parametrize(
        "routes",
        [
            "192.168.30.0/24 dev eth3\n",
            "192.168.20.0/24 dev eth2\n",
            "192.168.30.0/24 nexthop via 192.168.10.7 dev eth1 nexthop via 192.168.40.7 dev eth3\n",
            "default via 192.168.20.1 dev eth2\ndefault via 10.0.2.2 dev eth0 table 100\n",
            "default via 192.168.20.1 dev eth2\n192.168.30.0/24 tos 0x10 dev eth3\n",
        ],
    )
    def test_a_route_by_another_interface_or_none_tells_nothing(
        self, tmp_path: Path, links: bool, routes: str
    ) -> None:
        assert self.judged_by_routes(tmp_path, routes, links) == {"forwarded": 4, "unresolved": 1}

    def test_a_route_elsewhere_wins_over_where_the_destination_sends_from(
        self, tmp_path: Path, links: bool
    ) -> None:
        """Its traffic comes in by eth2, and what goes there leaves by eth0, which was not captured."""
        (tmp_path / "routes.txt").write_text("default via 10.0.2.2 dev eth0\n192.168.10.0/24 dev eth1\n")
        sent = self.eth2(LATER, ping(7, "10.7.7.7", POD_A), outward=False)
        gone = self.eth1(LATER + 20 * MS, ping(8, POD_A, "10.7.7.7"))
        files = self.files(tmp_path, ([gone], [sent]))
        options = {**self.options(tmp_path, links), "scope": "ip"}
        assert outcomes(analyze(files, **options)) == {"dropped": 2}
        report = analyze(files, routes=[str(tmp_path / "routes.txt")], **options)
        assert report["forwarding"]["unresolved_because"] == {"egress-not-captured": 2}

    def test_a_local_route_ends_here(self, tmp_path: Path, links: bool) -> None:
        """`table all` tells what is the machine's own, without its links file too."""
        (tmp_path / "routes.txt").write_text(
            "default via 192.168.20.1 dev eth2\nlocal 192.168.30.0/24 dev lo table local scope host\n"
        )
        asked = self.eth1(LATER, ping(5, NODE_A, "192.168.30.5"))
        report = analyze(
            self.files(tmp_path, ([asked], [])),
            scope="ip",
            routes=[str(tmp_path / "routes.txt")],
            **self.options(tmp_path, links),
        )
        assert outcomes(report) == {"delivered": 1}

    def test_between_other_machines_on_the_link_is_not_this_ones(self, tmp_path: Path, links: bool) -> None:
        """MACs: both are foreign, as routed journeys or the links file show."""
        files = self.files(tmp_path, ([frame(LATER, ping(9, NODE_A, "192.168.10.7"), MAC_A, b"\x02" * 6)], []))
        report = analyze(files, scope="ip", **self.options(tmp_path, links))
        assert report["forwarding"]["unresolved_because"] == {"not-addressed": 1}

    def test_one_file_alone_without_links_tells_no_direction(self, tmp_path: Path) -> None:
        report = analyze(self.files(tmp_path)[:1])
        assert outcomes(report) == {"unresolved": 4}
        assert report["forwarding"]["unresolved_because"] == {"direction-unknown": 4}
        assert report["capture"]["vantage"] == "link"

    def test_one_file_alone_with_links_tells_directions_but_not_outcomes(self, tmp_path: Path) -> None:
        report = analyze(self.files(tmp_path)[:1], **self.options(tmp_path, True))
        assert outcomes(report) == {"unresolved": 4}
        assert report["forwarding"]["unresolved_because"] == {"egress-not-captured": 2, "ingress-not-captured": 2}

    def test_the_machines_macs_tell_directions_whatever_the_file_is_called(self, tmp_path: Path) -> None:
        files = self.files(tmp_path)[:1]
        renamed = tmp_path / "monday.pcap"
        Path(files[0]).rename(renamed)
        report = analyze([str(renamed)], **self.options(tmp_path, True))
        assert report["forwarding"]["unresolved_because"] == {"egress-not-captured": 2, "ingress-not-captured": 2}

    def test_delivered_on_one_interface_with_links(self, tmp_path: Path) -> None:
        files = self.files(tmp_path, ([self.eth1(LATER, ping(3, NODE_A, ROUTER_1))], []))
        report = analyze(files[:1], scope="ip", **self.options(tmp_path, True))
        assert outcomes(report) == {"delivered": 1}

    def test_an_egress_stamped_before_its_ingress_counts_as_no_time(self, tmp_path: Path) -> None:
        request = tunnel(ping())
        files = [
            pcap(tmp_path / "eth1.pcap", [self.eth1(5 * US, request)], link_type=1),
            pcap(tmp_path / "eth2.pcap", [self.eth2(0, routed(request))], link_type=1),
        ]
        report = analyze(files)
        (path,) = report["forwarding"]["paths"]
        assert (path["ingress"], path["egress"]) == ("eth1", "eth2")
        assert path["latency_ns"] is not None
        assert path["latency_ns"]["max"] == 0
        assert report["capture"]["clock_skewed"] == 1


class TestPcapng:
    """One file with two interfaces, and directions in `epb_flags`."""

    INTERFACES = (Interface(1, 262144, "eth1", resolution=9), Interface(1, 262144, "eth2", resolution=9))

    def records(self) -> list[Seen]:
        one = TestOneFileForEachInterface
        rows: list[Seen] = []
        for number, time in ((1, 0), (2, 2 * LATER)):
            request = tunnel(ping(number))
            rows.append(one.eth1(time, request, interface=0, direction=IN))
            rows.append(one.eth2(time + 16 * US, routed(request), interface=1, direction=OUT))
        return [*rows, one.eth1(LATER, LOST, interface=0, direction=IN)]

    def test_both_interfaces(self, tmp_path: Path) -> None:
        report = analyze([pcapng(tmp_path / "c.pcapng", self.INTERFACES, self.records())])
        assert outcomes(report) == {"forwarded": 2, "dropped": 1}
        (path,) = report["forwarding"]["paths"]
        assert (path["ingress"], path["egress"]) == ("eth1", "eth2")

    def test_one_interface_with_directions_cannot_tell_where_it_went(self, tmp_path: Path) -> None:
        records = [record for record in self.records() if record.interface == 0]
        report = analyze([pcapng(tmp_path / "c.pcapng", self.INTERFACES[:1], records)])
        assert outcomes(report) == {"unresolved": 3}
        # Not because the capture ended: it would not have shown the egress anyway.
        assert report["forwarding"]["unresolved_because"] == {"egress-not-captured": 3}


def cut(came_at: int, left_at: int) -> list[Seen]:
    """A super-frame of 2,800 bytes of data comes in, and leaves as two segments."""
    return [
        came(came_at, tunnel(segment(1000, 2800, identification=1000))),
        left(left_at, routed(tunnel(segment(1000, 1400, identification=1000)))),
        left(left_at + US, routed(tunnel(segment(2400, 1400, identification=1001)))),
    ]


class TestResegmented:
    def test_a_super_frame_in_and_its_segments_out_are_no_loss(self, tmp_path: Path) -> None:
        """Segmentation offload on the router's egress."""
        report = run(tmp_path, [*exchange(), *cut(LATER, LATER + 9 * US), *exchange(2 * LATER, 2)])
        assert outcomes(report) == {"forwarded": 5}
        assert report["forwarding"]["resegmented"] == 1
        (path,) = (path for path in report["forwarding"]["paths"] if path["ingress"] == "#3")
        assert path["latency_ns"] is not None
        assert path["latency_ns"]["max"] == 16 * US
        assert report["overhead"]["wire_packets"] == 6
        assert report["overhead"]["wire_overhead_bytes"] == 6 * 50
        assert not report["overhead"]["wire_packets_estimated"]
        assert report["mtu"]["super_frames"] == 1
        assert report["mtu"]["largest_inner"] == 84
        # Neither the super-frame's length, nor anything else of it, says what passed in one piece.
        assert [row["at_least"] for row in report["mtu"]["evidence"]] == [134]
        assert [finding["id"] for finding in report["findings"]] == ["capture.super-frames"]

    def test_a_super_frame_of_which_a_segment_is_missing_was_dropped_in_part(self, tmp_path: Path) -> None:
        records = [*exchange(), *cut(LATER, LATER + 9 * US)[:-1], *exchange(2 * LATER, 2)]
        report = run(tmp_path, records)
        assert outcomes(report) == {"forwarded": 4, "dropped": 1}
        assert report["forwarding"]["wire_packets_lost"] == 1
        assert report["overhead"]["wire_packets"] == 6

    def test_what_is_put_together_is_no_loss(self, tmp_path: Path) -> None:
        records = [
            came(LATER, tunnel(segment(1000, 1400, identification=1000))),
            came(LATER + US, tunnel(segment(2400, 1400, identification=1001))),
            left(LATER + 9 * US, routed(tunnel(segment(1000, 2800, identification=1000)))),
        ]
        report = run(tmp_path, [*exchange(), *records, *exchange(2 * LATER, 2)])
        assert outcomes(report) == {"forwarded": 6}
        assert report["forwarding"]["resegmented"] == 2
        assert report["overhead"]["wire_packets"] == 6
        assert report["mtu"]["super_frames"] == 0
        assert report["findings"] == []

    def test_segments_that_leave_too_late_to_be_followed_are_no_loss(self, tmp_path: Path) -> None:
        records = [*exchange(), *cut(LATER, LATER + 1_100 * MS), *exchange(2 * LATER, 2)]
        report = run(tmp_path, records)
        assert outcomes(report) == {"forwarded": 4, "unresolved": 3}
        assert report["forwarding"]["unresolved_because"] == {"resegmented": 3}
        assert report["forwarding"]["resegmented"] == 3
        assert sum(step["dropped"] for step in report["timeline"]) == 0

    def test_of_udp_without_identifications_it_cannot_be_followed_and_is_no_loss(self, tmp_path: Path) -> None:
        """Segments of UDP have no sequence numbers; a flow that comes in large and leaves small was cut."""
        ends = ((POD_A, 4000), (POD_B, 5000))
        records = [
            came(LATER, tunnel(datagram(2800, 0, *ends))),
            left(LATER + 9 * US, routed(tunnel(datagram(1400, 0, *ends)))),
            left(LATER + 10 * US, routed(tunnel(datagram(1400, 0, *ends)))),
        ]
        report = run(tmp_path, [*exchange(), *records, *exchange(2 * LATER, 2)])
        assert outcomes(report) == {"forwarded": 4, "unresolved": 3}
        assert report["forwarding"]["unresolved_because"] == {"resegmented": 3}

    @pytest.mark.parametrize("lost", [0, 1])
    def test_of_udp_it_is_followed_by_identifications(self, tmp_path: Path, lost: int) -> None:
        """4,000 bytes of data: 1,372 twice, and 1,256."""
        sizes = (1400, 1400, 1284)
        records = [
            came(LATER, tunnel(datagram(4028, 1))),
            *(
                left(LATER + (9 + number) * US, routed(tunnel(datagram(size, 1 + number))))
                for number, size in enumerate(sizes)
                if number >= lost
            ),
        ]
        report = run(tmp_path, [*exchange(), *records, *exchange(2 * LATER, 2)])
        assert outcomes(report) == ({"forwarded": 4, "dropped": 1} if lost else {"forwarded": 5})
        assert report["forwarding"]["wire_packets_lost"] == lost
        assert report["overhead"]["wire_packets"] == 7
        assert report["overhead"]["wire_overhead_bytes"] == 7 * 50
        assert not report["overhead"]["wire_packets_estimated"]

    def test_a_lost_super_frame_of_udp_counts_as_others_of_its_flow_were_cut(self, tmp_path: Path) -> None:
        """Of 1,000 bytes of data each, which no MTU tells: 2,000 were 2, and 9,500 were 10."""
        records = [
            came(LATER, tunnel(datagram(2028, 1))),
            left(LATER + 9 * US, routed(tunnel(datagram(1028, 1)))),
            left(LATER + 10 * US, routed(tunnel(datagram(1028, 2)))),
            came(LATER + MS, tunnel(datagram(9528, 2))),
        ]
        report = run(tmp_path, [*exchange(), *records, *exchange(2 * LATER, 2)])
        assert outcomes(report) == {"forwarded": 5, "dropped": 1}
        assert report["overhead"]["wire_packets"] == 4 + 2 + 10
        assert not report["overhead"]["wire_packets_estimated"]
        assert report["forwarding"]["wire_packets_lost"] == 10
        assert report["mtu"]["super_frames"] == 2
        assert report["mtu"]["largest_inner"] == 84

    def test_datagrams_that_were_cut_stay_as_they_are_with_a_larger_mtu(self, tmp_path: Path) -> None:
        """The application told their size: 2 of 1,000 bytes of data, among 6 packets in all."""
        records = [
            came(LATER, tunnel(datagram(2028, 1))),
            left(LATER + 9 * US, routed(tunnel(datagram(1028, 1)))),
            left(LATER + 10 * US, routed(tunnel(datagram(1028, 2)))),
        ]
        report = run(tmp_path, [*exchange(), *records, *exchange(2 * LATER, 2)])
        rows = {(row["tunnel"], row["underlay"]): row for row in report["what_if"]}
        assert rows[True, 9000]["packets"] == rows[True, 1500]["packets"] == 4 + 2
        assert rows[True, 9000]["percent_of_packets"] == 100
        assert rows[True, 9000]["bytes"] == 4 * (84 + 50) + 2 * (1028 + 50)

    def test_a_lost_super_frame_counts_as_its_segments(self, tmp_path: Path) -> None:
        """MSS 1410 both ways, no timestamps: 14,100 bytes of data were 10 packets."""
        syn, mss = 0x02, b"\x02\x04\x05\x82"
        a, b = (POD_A, 32788), (POD_B, 80)
        records = [
            *passed(0, tunnel(segment(1, 0, a, b, flags=syn, options=mss))),
            *passed(MS, back(segment(1, 0, b, a, flags=syn | 0x10, options=mss)), 9 * US, ETH2, ETH1),
            came(LATER, tunnel(segment(2, 14100, a, b))),
            *exchange(2 * LATER, 2),
        ]
        report = run(tmp_path, records)
        assert outcomes(report) == {"forwarded": 4, "dropped": 1}
        assert report["forwarding"]["wire_packets_lost"] == 10
        assert report["tunnel"]["datagrams"] == 5
        assert VNI_A in [row["vni"] for row in report["identities"]]


def test_nodes_appear_in_the_tunnels(tmp_path: Path) -> None:
    report = run(tmp_path, exchange())
    rows = report["tunnel"]["tunnels"]
    assert [(row["source"], row["destination"], row["datagrams"], row["outer_bytes"]) for row in rows] == [
        (NODE_A, NODE_B, 1, 134),
        (NODE_B, NODE_A, 1, 134),
    ]
