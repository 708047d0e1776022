"""Flows one by one: verdicts, which direction answers, who is at the ends, and which are wanted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from analysis.scenes import (
    ETH1,
    ETH2,
    MAC_1,
    MAC_2,
    MAC_A,
    MAC_B,
    MS,
    POD_A,
    POD_B,
    US,
    VNI_A,
    VNI_B,
    Seen,
    back,
    came,
    datagram,
    endpoints_file,
    frame,
    left,
    passed,
    pcap,
    pcapng,
    ping,
    routed,
    router_links,
    segment,
    tunnel,
)
from captures.samples import Sample, sample, samples
from conftest import CAPTURES, CLUSTER_FILES

import vxtool
from vxtool import flows
from vxtool.analysis.model import FlowList, ListedFlow
from vxtool.capture.container import Interface
from vxtool.errors import UsageError

A, B = (POD_A, 32788), (POD_B, 80)
SYN, SYN_ACK, ACK, RST_ACK = 0x02, 0x12, 0x10, 0x14  # RFC 9293, section 3.1
NODES = "192.168.10.100", "192.168.20.100"


def run(tmp_path: Path, records: list[Seen], **options: Any) -> FlowList:
    return flows([pcap(tmp_path / "capture.pcap", records)], **options)


def asked(time: int, inner: bytes) -> list[Seen]:
    return passed(time, tunnel(inner))


def answered(time: int, inner: bytes) -> list[Seen]:
    return passed(time, back(inner), 3 * US, ETH2, ETH1)


def replies(found: FlowList) -> dict[str | None, bool | None]:
    """By the pod that sends."""
    return {flow["source"]["address"]: flow["is_reply"] for flow in found["flows"]}


def cluster(tmp_path: Path) -> list[str]:
    rows = [("curl-pod", VNI_A, POD_A, NODES[0]), ("webpod-6f5cdb7788-xk2vq", VNI_B, POD_B, NODES[1])]
    return [endpoints_file(tmp_path / "endpoints.json", rows)]


class TestWhichDirectionAnswers:
    def test_of_a_handshake_the_later_syn_answers(self, tmp_path: Path, engine: str) -> None:
        records = [
            *asked(0, segment(1, flags=SYN)),
            *answered(MS, segment(9, 0, B, A, flags=SYN_ACK)),
            *asked(2 * MS, segment(2, flags=ACK)),
        ]
        assert replies(run(tmp_path, records)) == {POD_A: False, POD_B: True}

    def test_a_syn_without_an_answer_asks(self, tmp_path: Path, engine: str) -> None:
        assert replies(run(tmp_path, asked(0, segment(1, flags=SYN)))) == {POD_A: False}

    def test_a_refused_connection(self, tmp_path: Path, engine: str) -> None:
        records = [*asked(0, segment(1, flags=SYN)), *answered(MS, segment(0, 0, B, A, flags=RST_ACK))]
        assert replies(run(tmp_path, records)) == {POD_A: False, POD_B: True}

    def test_of_a_connection_that_began_before_the_capture_nothing_tells(self, tmp_path: Path, engine: str) -> None:
        records = [*answered(0, segment(9, 10, B, A)), *asked(MS, segment(1, 10))]
        assert replies(run(tmp_path, records)) == {POD_A: None, POD_B: None}

    def test_nor_where_the_first_syn_was_missed(self, tmp_path: Path, engine: str) -> None:
        records = [*answered(0, segment(9, 0, B, A, flags=SYN_ACK)), *asked(MS, segment(2, flags=ACK))]
        assert replies(run(tmp_path, records)) == {POD_A: None, POD_B: None}

    def test_of_udp_what_was_seen_later_answers(self, tmp_path: Path, engine: str) -> None:
        records = [*asked(0, datagram(100, 1, A, B)), *answered(MS, datagram(200, 2, B, A))]
        assert replies(run(tmp_path, records)) == {POD_A: False, POD_B: True}

    def test_of_udp_one_way_nothing_tells(self, tmp_path: Path, engine: str) -> None:
        assert replies(run(tmp_path, asked(0, datagram(100, 1, A, B)))) == {POD_A: None}

    def test_ping_says_so_itself(self, tmp_path: Path, engine: str) -> None:
        records = [*answered(0, ping(1, POD_B, POD_A, reply=True)), *asked(MS, ping(2))]
        found = run(tmp_path, records)
        assert replies(found) == {POD_A: False, POD_B: True}
        echoes = {flow["source"]["address"]: (flow["icmp_echo"], flow["icmp_id"]) for flow in found["flows"]}
        assert echoes == {POD_A: ("request", 2900), POD_B: ("reply", 2900)}

    def test_two_pings_under_one_identifier_cannot_be_told_apart(self, tmp_path: Path, engine: str) -> None:
        records = [*asked(0, ping(1)), *asked(MS, ping(2, reply=True))]
        (flow,) = run(tmp_path, records)["flows"]
        assert (flow["is_reply"], flow["icmp_echo"]) == (None, None)


class TestVerdicts:
    def test_a_flow_of_both_kinds_has_a_line_for_each(self, tmp_path: Path, engine: str) -> None:
        records = [
            *asked(0, datagram(100, 1)),
            came(MS, tunnel(datagram(300, 2))),
            *asked(2 * MS, datagram(100, 3)),
            *asked(900 * MS, datagram(100, 4)),
        ]
        found = run(tmp_path, records)
        assert [
            (flow["verdict"], flow["observation"], flow["outcomes"], flow["datagrams"], flow["inner_bytes"])
            for flow in found["flows"]
        ] == [
            ("FORWARDED", "to-network", {"forwarded": 3}, 3, 300),
            ("DROPPED", "from-network", {"dropped": 1}, 1, 300),
        ]
        assert (found["flows_shown"], found["flows_matching"], found["flows_total"]) == (1, 1, 1)
        forwarded, dropped = found["flows"]
        assert (forwarded["ingress"], forwarded["egress"]) == ("#3", "#4")
        assert (dropped["ingress"], dropped["egress"]) == ("#3", None)
        assert forwarded["interface"] == {"index": ETH2, "name": None}
        assert dropped["interface"] == {"index": ETH1, "name": None}

    def test_what_the_capture_ends_too_soon_to_tell_is_traced(self, tmp_path: Path, engine: str) -> None:
        records = [*asked(0, datagram(100, 1)), came(MS, tunnel(datagram(100, 2)))]
        found = run(tmp_path, records)["flows"]
        assert [(flow["verdict"], flow["outcomes"]) for flow in found] == [
            ("FORWARDED", {"forwarded": 1}),
            ("TRACED", {"unresolved": 1}),
        ]

    def test_what_is_for_the_router_itself_went_to_the_host(self, tmp_path: Path, engine: str) -> None:
        links = [router_links(tmp_path / "links.json")]
        records = [
            came(0, ping(1, NODES[0], "192.168.10.200")),
            left(US, ping(1, "192.168.10.200", NODES[0], reply=True), ETH1),
        ]
        found = run(tmp_path, records, links=links)["flows"]
        assert {flow["source"]["address"]: (flow["verdict"], flow["observation"]) for flow in found} == {
            NODES[0]: ("FORWARDED", "to-host"),
            "192.168.10.200": ("FORWARDED", "to-network"),
        }
        assert all(flow["tunnel"] is None for flow in found)

    @pytest.mark.parametrize("one", samples(), ids=lambda one: one.name)
    def test_the_verdicts_add_up_to_what_the_kernel_counted(self, one: Sample, engine: str) -> None:
        found = flows(one.paths, cluster=one.cluster, links=one.links)
        counts = {"forwarded": 0, "delivered": 0, "dropped": 0, "originated": 0}
        for flow in found["flows"]:
            for outcome, number in flow["outcomes"].items():
                counts[outcome] = counts.get(outcome, 0) + number
        for outcome, number in counts.items():
            if outcome in one.stated:
                assert number == one.stated[outcome], outcome


class TestEnds:
    def test_names_identities_and_tunnel(self, tmp_path: Path, engine: str) -> None:
        records = [*asked(0, segment(1, flags=SYN)), *answered(MS, segment(9, 0, B, A, flags=SYN_ACK))]
        found = run(tmp_path, records, cluster=cluster(tmp_path), sort="start")
        request, answer = found["flows"]
        assert found["overlay"] == "cilium"
        curl, web = request["source"], request["destination"]
        assert (curl["pod"], curl["namespace"], curl["port"], curl["identity"]) == (
            "curl-pod",
            "default",
            32788,
            VNI_A,
        )
        assert (web["pod"], web["namespace"], web["port"], web["identity"]) == (
            "webpod-6f5cdb7788-xk2vq",
            "default",
            80,
            VNI_B,
        )
        assert (answer["source"], answer["destination"]) == (web, curl)
        assert request["tunnel"] is not None
        assert request["tunnel"]["vni"] == VNI_A
        assert (request["tunnel"]["protocol"], request["tunnel"]["port"]) == ("vxlan", 8472)
        assert (request["tunnel"]["source"], request["tunnel"]["destination"]) == NODES
        assert request["tcp_flags"] == ["SYN"]
        assert answer["tcp_flags"] == ["SYN", "ACK"]

    def test_the_destinations_identity_without_an_answer(self, tmp_path: Path, engine: str) -> None:
        records = asked(0, segment(1, flags=SYN))
        (flow,) = run(tmp_path, records, cluster=cluster(tmp_path))["flows"]
        assert flow["destination"]["identity"] == VNI_B
        (flow,) = run(tmp_path, records, overlay="cilium")["flows"]
        assert (flow["source"]["identity"], flow["destination"]["identity"]) == (VNI_A, None)

    def test_a_vni_of_another_overlay_is_no_identity(self, tmp_path: Path, engine: str) -> None:
        (flow,) = run(tmp_path, asked(0, ping()), overlay="vxlan")["flows"]
        assert (flow["source"]["identity"], flow["destination"]["identity"]) == (None, None)
        assert flow["tunnel"] is not None
        assert flow["tunnel"]["vni"] == VNI_A

    def test_a_pod_without_a_namespace_has_that_of_its_identity(self, tmp_path: Path) -> None:
        table, identities = CLUSTER_FILES / "ciliumendpoints.txt", tmp_path / "identities.json"
        label = "k8s:io.kubernetes.pod.namespace"
        items = [
            {"kind": "CiliumIdentity", "metadata": {"name": name}, "security-labels": {label: "shop"}}
            for name in ("36705", "17701")
        ]
        identities.write_text(json.dumps({"kind": "List", "items": items}))
        capture = [str(CAPTURES / "vxlan.pcap")]
        alone = vxtool.analyze(capture, cluster=[str(table)])
        assert [source["assumed_namespace"] for source in alone["knowledge"]["sources"]] == ["default"]
        assert {flow["source_name"] for flow in alone["flows"]} == {
            "default/curl-pod",
            "default/webpod-697b545f57-8tcp6",
        }
        both = flows(capture, cluster=[str(table), str(identities)])["flows"]
        assert {flow["source"]["namespace"] for flow in both} == {"shop"}
        report = vxtool.analyze(capture, cluster=[str(table), str(identities)])
        assert [source["assumed_namespace"] for source in report["knowledge"]["sources"]] == [None, None]
        assert {flow["source_name"] for flow in report["flows"]} == {
            "shop/curl-pod",
            "shop/webpod-697b545f57-8tcp6",
        }
        assert [item["pods"] for item in report["identities"]] == [
            ["shop/webpod-697b545f57-8tcp6"],
            ["shop/curl-pod"],
        ]


def three(tmp_path: Path) -> list[Seen]:
    """A ping; a large flow to port 80 that loses one and ends last; and more, small packets to port 53."""
    large, small = ((POD_A, 4000), (POD_B, 80)), ((POD_A, 4001), (POD_B, 53))
    return [
        *answered(0, ping(1, POD_B, POD_A)),
        *asked(1 * MS, datagram(1000, 1, *large)),
        came(2 * MS, tunnel(datagram(1000, 2, *large))),
        *(seen for at in range(3, 7) for seen in asked(at * MS, datagram(100, at, *small))),
        *asked(900 * MS, datagram(1000, 7, *large)),
    ]


def who(flow: ListedFlow) -> int | str:
    port = flow["destination"]["port"]
    return flow["protocol"] if port is None else port


class TestChoice:
    @pytest.mark.parametrize(
        ("sort", "order"),
        [
            ("bytes", [80, 80, 53, "icmp"]),
            ("packets", [53, 80, 80, "icmp"]),
            ("drops", [80, 80, 53, "icmp"]),
            ("start", ["icmp", 80, 80, 53]),
            ("end", ["icmp", 80, 53, 80]),  # the dropped one of port 80 ended before
        ],
    )
    def test_sorting(self, tmp_path: Path, sort: Any, order: list[Any], engine: str) -> None:
        found = run(tmp_path, three(tmp_path), sort=sort)
        assert [who(flow) for flow in found["flows"]] == order

    def test_by_drops_what_was_dropped_stands_first_within_its_flow_too(self, tmp_path: Path, engine: str) -> None:
        for sort, verdicts in (("drops", ["DROPPED", "FORWARDED"]), ("bytes", ["FORWARDED", "DROPPED"])):
            found = run(tmp_path, three(tmp_path), sort=sort)
            assert [flow["verdict"] for flow in found["flows"] if who(flow) == 80] == verdicts

    def test_the_top_flows_count_with_all_their_lines(self, tmp_path: Path, engine: str) -> None:
        found = run(tmp_path, three(tmp_path), top=1)
        assert [who(flow) for flow in found["flows"]] == [80, 80]
        assert (found["flows_shown"], found["flows_matching"], found["flows_total"]) == (1, 3, 3)
        found = run(tmp_path, three(tmp_path), top=1, sort="packets")
        assert [who(flow) for flow in found["flows"]] == [53]

    @pytest.mark.parametrize(
        ("wanted", "left_over"),
        [
            ({"pods": ["default/web"]}, {80, 53, "icmp"}),
            ({"pods": ["curl-pod"]}, {80, 53, "icmp"}),
            ({"pods": ["shop/web"]}, set()),
            ({"pods": ["default/"]}, {80, 53, "icmp"}),
            ({"pods": ["shop/web", "default/curl"]}, {80, 53, "icmp"}),
            ({"in_namespaces": ["default"]}, {80, 53, "icmp"}),
            ({"in_namespaces": ["kube-system"]}, set()),
            ({"identities": [str(VNI_B)]}, {80, 53, "icmp"}),
            ({"identities": ["curl-pod"]}, {80, 53, "icmp"}),
            ({"identities": ["1"]}, set()),
            ({"addresses": ["172.20.2.0/24"]}, {80, 53, "icmp"}),
            ({"addresses": [POD_A]}, {80, 53, "icmp"}),
            ({"addresses": ["172.20.1.0/24", "fd00::/8"]}, set()),
            ({"on_ports": [53]}, {53}),
            ({"on_ports": [53, 4000]}, {80, 53}),
            ({"protocols": ["UDP"]}, {80, 53}),
            ({"protocols": ["icmp"]}, {"icmp"}),
            ({"verdicts": ["DROPPED"]}, {80}),
            ({"verdicts": ["DROPPED"], "on_ports": [53]}, set()),
        ],
    )
    def test_filters(self, tmp_path: Path, wanted: dict[str, Any], left_over: set[Any], engine: str) -> None:
        found = run(tmp_path, three(tmp_path), cluster=cluster(tmp_path), **wanted)
        assert {who(flow) for flow in found["flows"]} == left_over
        assert (found["flows_matching"], found["flows_total"]) == (len(left_over), 3)

    def test_a_verdict_alone_leaves_the_other_line_out(self, tmp_path: Path, engine: str) -> None:
        found = run(tmp_path, three(tmp_path), verdicts=["DROPPED"])
        assert [(who(flow), flow["verdict"], flow["datagrams"]) for flow in found["flows"]] == [(80, "DROPPED", 1)]

    @pytest.mark.parametrize(
        ("wanted", "said"),
        [
            ({"addresses": ["172.20.300.1"]}, "address '172.20.300.1'"),
            ({"protocols": ["tpc"]}, "the nearest are tcp, sctp"),
            ({"on_ports": [65_536]}, "port 65536"),
            ({"verdicts": ["LOST"]}, "FORWARDED, DROPPED, TRACED"),
        ],
    )
    def test_what_no_flow_can_have_is_wrong_usage(self, wanted: dict[str, Any], said: str) -> None:
        with pytest.raises(UsageError, match=said):
            flows([str(CAPTURES / "vxlan.pcap")], **wanted)


class TestWhere:
    """The node's capture: pod A pings and asks, the answers come out of the tunnel and leave by its interface."""

    def told(self, one: Sample, **options: Any) -> tuple[set[tuple[str | None, str]], str | None]:
        found = flows(one.paths, scope="tunnel", **options)
        return {(flow["source"]["address"], flow["observation"]) for flow in found["flows"]}, found["node"]

    @pytest.mark.parametrize(("links", "cluster"), [(False, True), (True, False), (True, True)])
    def test_what_leaves_by_a_pods_own_interface_goes_to_an_endpoint(
        self, links: bool, cluster: bool, engine: str
    ) -> None:
        """It is known by its name, lxc..., or by the pod, which the lists have on the node that captured."""
        one = sample("node.pcap")
        options = {**({"links": one.links} if links else {}), **({"cluster": one.cluster} if cluster else {})}
        ends = {("172.20.0.107", "to-network"), ("172.20.2.4", "to-endpoint")}
        assert self.told(one, **options) == (ends, "k8s-ctr" if cluster else None)

    def test_where_nothing_says_that_an_interface_is_a_pods_it_went_to_the_network(self, engine: str) -> None:
        ends = {("172.20.0.107", "to-network"), ("172.20.2.4", "to-network")}
        assert self.told(sample("node.pcap")) == (ends, None)

    def test_a_router_is_no_node(self, engine: str) -> None:
        one = sample("ping-http.pcap")
        ends = {("172.20.0.107", "to-network"), ("172.20.2.4", "to-network")}
        assert self.told(one, links=one.links, cluster=one.cluster) == (ends, None)

    def ethernet(self, tmp_path: Path, packet: bytes) -> FlowList:
        rows = [frame(0, packet, MAC_A, MAC_1), frame(16 * US, routed(packet), MAC_2, MAC_B)._replace(interface=1)]
        return flows([pcapng(tmp_path / "c.pcapng", [Interface(1, 0, "eth1"), Interface(1, 0, "eth2")], rows)])

    def test_the_macs_are_those_where_it_left(self, tmp_path: Path, engine: str) -> None:
        (flow,) = self.ethernet(tmp_path, ping())["flows"]
        assert flow["ethernet"] == {"source": MAC_2.hex(":"), "destination": MAC_B.hex(":")}

    def test_those_of_a_tunnels_packet_are_not_its_own(self, tmp_path: Path, engine: str) -> None:
        (flow,) = self.ethernet(tmp_path, tunnel(ping()))["flows"]
        assert flow["ethernet"] is None

    def test_cooked_captures_tell_none(self, tmp_path: Path, engine: str) -> None:
        (flow,) = run(tmp_path, passed(0, ping()))["flows"]
        assert flow["ethernet"] is None

    def test_of_several_source_ports_none_is_the_flows(self, tmp_path: Path, engine: str) -> None:
        one = run(tmp_path, passed(0, tunnel(ping(), port=50001)) + passed(MS, tunnel(ping(2), port=50001)))
        assert [flow["tunnel"] and flow["tunnel"]["source_port"] for flow in one["flows"]] == [50001]
        two = run(tmp_path, passed(0, tunnel(ping(), port=50001)) + passed(MS, tunnel(ping(2), port=50002)))
        assert [flow["tunnel"] and flow["tunnel"]["source_port"] for flow in two["flows"]] == [None]
