"""Who talks to whom: overlays, identities, pairs, flows and their names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from analysis.scenes import (
    ETH1,
    ETH2,
    ICMP,
    MS,
    NODE_A,
    NODE_B,
    POD_A,
    POD_B,
    ROUTER_1,
    US,
    VNI_A,
    VNI_B,
    Seen,
    back,
    came,
    datagram,
    endpoints_file,
    exchange,
    fragments,
    left,
    passed,
    pcap,
    ping,
    routed,
    router_links,
    segment,
    too_big,
    tunnel,
)
from engine.generate import ARP, ethernet, ipv4, udp, vxlan

from vxtool import analyze
from vxtool.analysis.model import Flow, Report

A, B = (POD_A, 32788), (POD_B, 80)


def run(tmp_path: Path, records: list[Seen], **options: object) -> Report:
    return analyze([pcap(tmp_path / "capture.pcap", records)], **options)  # type: ignore[arg-type]


def cluster(tmp_path: Path) -> list[str]:
    rows = [("curl-pod", VNI_A, POD_A, NODE_A), ("webpod-6f5cdb7788-xk2vq", VNI_B, POD_B, NODE_B)]
    return [endpoints_file(tmp_path / "endpoints.json", rows)]


def answer(time: int, inner: bytes, vni: int = VNI_B) -> list[Seen]:
    return passed(time, back(inner, vni), 3 * US, ETH2, ETH1)


def flow_of(report: Report, source: str) -> Flow:
    (flow,) = (flow for flow in report["flows"] if flow["source"] == source)
    return flow


class TestOverlay:
    def test_two_vnis_in_one_conversation_are_cilium(self, tmp_path: Path) -> None:
        assert run(tmp_path, exchange())["tunnel"]["overlay"] == "cilium"

    def test_one_vni_both_ways_is_a_network(self, tmp_path: Path) -> None:
        records = [*passed(0, tunnel(ping(), 1)), *answer(MS, ping(1, POD_B, POD_A, reply=True), 1)]
        report = run(tmp_path, records)
        assert report["tunnel"]["overlay"] == "vxlan"
        assert [(row["vni"], row["kind"], row["name"]) for row in report["identities"]] == [(1, "network", None)]
        assert report["identity_pairs"] == []

    def test_the_operators_files_say_so(self, tmp_path: Path) -> None:
        report = run(tmp_path, passed(0, tunnel(ping())), cluster=cluster(tmp_path))
        assert report["tunnel"]["overlay"] == "cilium"

    @pytest.mark.parametrize(("kind", "overlay"), [("CiliumNode", "cilium"), ("Node", "vxlan")])
    def test_so_do_ciliums_nodes_alone(self, tmp_path: Path, kind: str, overlay: str) -> None:
        """Of a node's own packets, which go under one number whoever sends them."""
        addresses = [{"ip": NODE_A, "address": NODE_A, "type": "InternalIP"}]
        nodes = {"kind": kind, "metadata": {"name": "k8s-ctr"}}
        nodes |= {"spec": {"addresses": addresses}, "status": {"addresses": addresses}}
        (tmp_path / "nodes.json").write_text(json.dumps(nodes))
        report = run(tmp_path, passed(0, tunnel(ping(), 6)), cluster=[str(tmp_path / "nodes.json")])
        assert report["tunnel"]["overlay"] == overlay
        assert report["findings"] == []

    @pytest.mark.parametrize("wanted", ["cilium", "vxlan"])
    def test_the_option_says_so(self, tmp_path: Path, wanted: str) -> None:
        assert run(tmp_path, exchange(), overlay=wanted)["tunnel"]["overlay"] == wanted

    def test_two_networks_with_the_same_addresses_are_not_cilium(self, tmp_path: Path) -> None:
        records: list[Seen] = []
        for number, vni in enumerate((10, 20)):
            time = number * 10 * MS
            request, reply = ping(number, identifier=5), ping(number, POD_B, POD_A, reply=True, identifier=5)
            records += passed(time, tunnel(request, vni))
            records += answer(time + MS, reply, vni)
        report = run(tmp_path, records)
        assert report["tunnel"]["overlay"] == "vxlan"
        assert report["flows_total"] == 4
        assert all(flow["answered"] for flow in report["flows"])

    def test_without_a_tunnel_there_is_none(self, tmp_path: Path) -> None:
        assert run(tmp_path, passed(0, ping()))["tunnel"]["overlay"] is None


class TestIdentities:
    def test_sizes_and_sources_by_vni(self, tmp_path: Path) -> None:
        records = [*exchange(), *passed(9 * MS, tunnel(ping(7, "172.20.0.9", size=500)))]
        one, two = run(tmp_path, records)["identities"]
        assert (one["vni"], one["datagrams"], one["inner_bytes"]) == (VNI_A, 2, 584)
        assert sorted(one["sources"]) == [POD_A, "172.20.0.9"]
        assert (two["vni"], two["datagrams"], two["inner_bytes"], two["sources"]) == (VNI_B, 1, 84, [POD_B])
        assert (one["kind"], one["name"]) == ("cluster-local", None)

    def test_names_come_from_the_files(self, tmp_path: Path) -> None:
        report = run(tmp_path, exchange(), cluster=cluster(tmp_path))
        rows = {row["vni"]: (row["name"], row["namespace"], row["kind"]) for row in report["identities"]}
        assert rows == {
            VNI_A: ("curl-pod", "default", "cluster-local"),
            VNI_B: ("webpod", "default", "cluster-local"),
        }

    @pytest.mark.parametrize(
        ("vni", "kind", "name", "cluster_id"),
        [
            (1, "reserved", "host", None),
            (2, "reserved", "world", None),
            (6, "reserved", "remote-node", None),
            (102, "well-known", "kube-dns", None),
            (200, "user-reserved", None, None),
            (256, "cluster-local", None, None),
            ((3 << 16) | 300, "clustermesh", None, 3),
        ],
    )
    def test_ciliums_own_numbers_need_no_files(
        self, tmp_path: Path, vni: int, kind: str, name: str | None, cluster_id: int | None
    ) -> None:
        (row,) = run(tmp_path, passed(0, tunnel(ping(), vni)), overlay="cilium")["identities"]
        assert (row["kind"], row["name"], row["cluster_id"]) == (kind, name, cluster_id)

    def test_at_most_16_sources_are_listed(self, tmp_path: Path) -> None:
        records = [
            row for number in range(20) for row in passed(number * MS, tunnel(ping(number, f"172.20.0.{number}")))
        ]
        (row,) = run(tmp_path, records)["identities"]
        assert (row["datagrams"], len(row["sources"])) == (20, 16)

    def test_without_ip_inside_no_source_is_known(self, tmp_path: Path) -> None:
        packet = ipv4(NODE_A, NODE_B, 17, udp(50000, 8472, vxlan(9, ethernet(bytes(28), ARP))))
        report = run(tmp_path, passed(0, packet))
        assert [(row["vni"], row["sources"]) for row in report["identities"]] == [(9, [])]
        (flow,) = report["flows"]
        assert (flow["protocol"], flow["source"], flow["source_vtep"]) == ("arp", None, NODE_A)


class TestPairs:
    def test_the_answer_tells_the_destinations_identity(self, tmp_path: Path) -> None:
        assert run(tmp_path, exchange())["identity_pairs"] == [
            {"source_vni": VNI_B, "destination_vni": VNI_A, "datagrams": 1, "inner_bytes": 84},
            {"source_vni": VNI_A, "destination_vni": VNI_B, "datagrams": 1, "inner_bytes": 84},
        ]

    def test_without_an_answer_the_files_do(self, tmp_path: Path) -> None:
        pairs = run(tmp_path, passed(0, tunnel(ping())), cluster=cluster(tmp_path))["identity_pairs"]
        assert [(row["source_vni"], row["destination_vni"]) for row in pairs] == [(VNI_A, VNI_B)]

    def test_without_either_it_is_not_known(self, tmp_path: Path) -> None:
        pairs = run(tmp_path, passed(0, tunnel(ping())), overlay="cilium")["identity_pairs"]
        assert [(row["source_vni"], row["destination_vni"]) for row in pairs] == [(VNI_A, None)]

    def test_an_address_that_sends_elsewhere_is_known_by_that(self, tmp_path: Path) -> None:
        """An ICMP error has no answer of its own."""
        error = back(too_big(POD_B, POD_A))
        records = [*exchange(), *passed(9 * MS, error, 3 * US, ETH2, ETH1)]
        pairs = run(tmp_path, records)["identity_pairs"]
        assert {(row["source_vni"], row["destination_vni"]): row["datagrams"] for row in pairs} == {
            (VNI_A, VNI_B): 1,
            (VNI_B, VNI_A): 2,
        }


class TestFlows:
    def test_one_direction_of_a_conversation(self, tmp_path: Path) -> None:
        flow = flow_of(run(tmp_path, exchange(), cluster=cluster(tmp_path)), POD_A)
        assert flow == {
            "vni": VNI_A,
            "source": POD_A,
            "source_port": None,
            "destination": POD_B,
            "destination_port": None,
            "protocol": "icmp",
            "icmp_id": 2900,
            "source_name": "default/curl-pod",
            "destination_name": "default/webpod-6f5cdb7788-xk2vq",
            "source_vtep": NODE_A,
            "destination_vtep": NODE_B,
            "source_node": None,
            "destination_node": None,
            "ingress": "#3",
            "egress": "#4",
            "datagrams": 1,
            "inner_bytes": 84,
            "wire_packets": 1,
            "overhead_bytes": 50,
            "percent_of_wire_bytes": 37.31,  # of 134
            "forwarded": 1,
            "dropped": 0,
            "retransmitted_bytes": None,
            "first_time": "2025-08-09T17:27:50.000000000Z",
            "last_time": "2025-08-09T17:27:50.000000000Z",
            "answered": True,
        }

    def test_ports_and_protocols(self, tmp_path: Path) -> None:
        records = [*passed(0, tunnel(segment(1, 10))), *passed(MS, tunnel(datagram(100, 9)))]
        rows = {
            flow["protocol"]: (flow["source_port"], flow["destination_port"], flow["icmp_id"])
            for flow in run(tmp_path, records)["flows"]
        }
        assert rows == {"tcp": (32788, 80, None), "udp": (4000, 5000, None)}

    def test_a_repeated_segment_is_sent_again_but_not_the_routers_copy(self, tmp_path: Path) -> None:
        records = [
            *passed(0, tunnel(segment(1, 100, identification=1))),
            *passed(MS, tunnel(segment(101, 100, identification=2))),
            *passed(9 * MS, tunnel(segment(51, 100, identification=3))),
        ]
        (flow,) = run(tmp_path, records)["flows"]
        assert flow["retransmitted_bytes"] == 100

    @pytest.mark.parametrize(("wait", "repeated"), [(9 * US, 0), (1_100 * MS, None)])
    def test_a_flow_cut_into_other_segments_tells_of_that_what_could_be_followed(
        self, tmp_path: Path, wait: int, repeated: int | None
    ) -> None:
        records = [
            *exchange(),
            came(50 * MS, tunnel(segment(1000, 2800, identification=1))),
            left(50 * MS + wait, routed(tunnel(segment(1000, 1400, identification=1)))),
            left(50 * MS + wait + US, routed(tunnel(segment(2400, 1400, identification=2)))),
            *exchange(90 * MS + wait, 2),
        ]
        (flow,) = (flow for flow in run(tmp_path, records)["flows"] if flow["protocol"] == "tcp")
        assert flow["retransmitted_bytes"] == repeated
        assert (flow["ingress"], flow["egress"]) == ("#3", "#4")

    def test_the_path_is_one_that_was_taken_even_where_most_was_lost(self, tmp_path: Path) -> None:
        records = [
            *passed(0, tunnel(ping(1))),
            *(came(50 * MS + number * MS, tunnel(ping(10 + number))) for number in range(3)),
            *passed(99 * MS, tunnel(ping(99))),
        ]
        (flow,) = run(tmp_path, records)["flows"]
        assert (flow["ingress"], flow["egress"]) == ("#3", "#4")
        assert (flow["datagrams"], flow["forwarded"], flow["dropped"]) == (5, 2, 3)

    def test_what_gets_no_answer_says_so(self, tmp_path: Path) -> None:
        assert [flow["answered"] for flow in run(tmp_path, passed(0, tunnel(segment(1, 0))))["flows"]] == [False]

    def test_what_can_get_no_answer_says_nothing(self, tmp_path: Path) -> None:
        (flow,) = run(tmp_path, passed(0, tunnel(too_big(POD_A, POD_B))))["flows"]
        assert flow["answered"] is None

    def test_the_largest_by_bytes_come_first_and_top_limits_them(self, tmp_path: Path) -> None:
        records: list[Seen] = []
        for number in range(6):
            records += passed(number * MS, tunnel(datagram(100 + number, 9, (POD_A, 4000 + number))))
        report = run(tmp_path, records, top=2)
        assert [flow["inner_bytes"] for flow in report["flows"]] == [105, 104]
        assert report["flows_total"] == 6

    def test_of_flows_with_equal_bytes_those_with_the_lower_ports_are_shown(self, tmp_path: Path) -> None:
        records: list[Seen] = []
        for number in (3, 0, 4, 1, 2):
            size = 500 if number == 4 else 100
            records += passed(number * MS, tunnel(datagram(size, 9, (POD_A, 4000 + number))))
        report = run(tmp_path, records, top=3)
        assert [flow["source_port"] for flow in report["flows"]] == [4004, 4000, 4001]
        assert report["flows_total"] == 5

    def test_inner_fragments_count_with_the_only_flow_that_they_can_belong_to(self, tmp_path: Path) -> None:
        """The tail of a fragmented inner packet has no ports: it is a datagram of the flow of its first."""
        pieces = fragments(datagram(2000, 77), 1400)
        records = [row for at, piece in enumerate(pieces) for row in passed(at * MS, tunnel(piece))]
        report = run(tmp_path, records)
        (flow,) = report["flows"]
        assert (flow["datagrams"], flow["source_port"]) == (2, 4000)
        assert flow["inner_bytes"] == 2020
        assert report["flows_total"] == 1

    def test_a_reserved_identity_names_an_end_that_no_file_knows(self, tmp_path: Path) -> None:
        records = [
            *passed(0, tunnel(segment(1, 0, (NODE_A, 999), B), 6)),
            *answer(MS, segment(1, 0, B, (NODE_A, 999))),
        ]
        report = run(tmp_path, records, overlay="cilium")
        assert flow_of(report, NODE_A)["source_name"] == "remote-node"
        assert flow_of(report, POD_B)["destination_name"] == "remote-node"

    def test_unknown_protocols_have_their_number(self, tmp_path: Path) -> None:
        packet = ipv4(POD_A, POD_B, 253, bytes(20), identification=3)
        (flow,) = run(tmp_path, passed(0, tunnel(packet)))["flows"]
        assert (flow["protocol"], flow["source_port"], ICMP) == ("ip-253", None, 1)


class TestSums:
    """Each datagram is counted once, everywhere."""

    @pytest.fixture
    def report(self, tmp_path: Path) -> Report:
        records: list[Seen] = []
        for number in range(40):
            time, inner = number * 5 * MS, ping(number, f"172.20.0.{number % 7}", size=100 + 30 * number)
            packet = tunnel(inner, 300 + number % 3, source=f"192.168.10.{number % 4}", port=50000 + number % 5)
            records.append(came(time, packet))
            if number % 6:
                records.append(left(time + (10 + number) * US, routed(packet)))
        for number in range(9):
            records.append(left(7 * MS + number * 20 * MS, routed(tunnel(ping(500 + number)))))
            records.append(came(8 * MS + number * 20 * MS, ping(600 + number, NODE_A, ROUTER_1)))
            records.append(left(9 * MS + number * 20 * MS, ping(700 + number, ROUTER_1, NODE_A, reply=True), ETH1))
            records += passed(11 * MS + number * 20 * MS, ping(800 + number, NODE_A, NODE_B))
        links = [router_links(tmp_path / "links.json")]
        return run(tmp_path, [*records, *exchange(500 * MS, 999)], links=links, overlay="cilium", top=1000)

    def test_outcomes_sum_to_the_datagrams(self, report: Report) -> None:
        counts, other = report["forwarding"], report["forwarding"]["other"]
        assert other is not None
        # 40 of which every sixth was lost, 9 missed, 2 of the exchange; 9 delivered, 9 originated, 9 forwarded.
        assert (counts["forwarded"], counts["dropped"], counts["missed"]) == (33 + 2, 7, 9)
        assert counts["datagrams"] == 51
        assert (other["delivered"], other["originated"], other["forwarded"], other["datagrams"]) == (9, 9, 9, 27)

    def test_so_do_tunnels_ports_protocols_identities_pairs_and_flows(self, report: Report) -> None:
        tunnel_part = report["tunnel"]
        assert tunnel_part["datagrams"] == 51
        assert sum(row["datagrams"] for row in tunnel_part["tunnels"]) == 51
        assert sum(tunnel_part["ports"].values()) == sum(tunnel_part["protocols"].values()) == 51
        assert sum(row["datagrams"] for row in report["identities"]) == 51
        assert sum(row["datagrams"] for row in report["identity_pairs"]) == 51
        assert sum(row["datagrams"] for row in report["flows"]) == 51
        assert sum(step["datagrams"] for step in report["timeline"]) == 51
        assert sum(report["overhead"]["bytes_per_packet"].values()) == report["overhead"]["datagrams"] == 51
        assert sum(row["datagrams"] for row in report["mtu"]["inner_sizes"]) == 51

    def test_so_do_bytes(self, report: Report) -> None:
        outer = report["overhead"]["outer_bytes"]
        inner = report["overhead"]["inner_bytes"]
        assert outer - inner == 51 * 50 == report["overhead"]["overhead_bytes"]
        assert sum(row["outer_bytes"] for row in report["tunnel"]["tunnels"]) == outer
        assert sum(row["outer_bytes"] for row in report["timeline"]) == outer
        assert sum(row["inner_bytes"] for row in report["identities"]) == inner
        assert sum(row["inner_bytes"] for row in report["identity_pairs"]) == inner
        assert sum(row["inner_bytes"] for row in report["flows"]) == inner

    def test_flows_paths_drops_and_steps_agree_with_the_outcomes(self, report: Report) -> None:
        counts = report["forwarding"]
        assert sum(flow["forwarded"] for flow in report["flows"]) == counts["forwarded"]
        assert sum(flow["dropped"] for flow in report["flows"]) == counts["dropped"]
        assert sum(path["datagrams"] for path in counts["paths"]) == counts["forwarded"]
        assert sum(drop["datagrams"] for drop in counts["drops"]) == counts["dropped"]
        assert sum(step["dropped"] for step in report["timeline"]) == counts["dropped"]

    def test_source_ports_are_counted_by_tunnel(self, report: Report) -> None:
        ports = {row["source"]: row["source_ports"] for row in report["tunnel"]["tunnels"]}
        # Of 40 numbers, those with n % 4 == 0 have n % 5 of all five kinds.
        assert ports["192.168.10.0"] == 5
        assert ports[NODE_B] == 1
