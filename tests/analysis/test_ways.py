"""Findings on ways: what left by the wrong interface, what nobody answered, and what comes back or goes round."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from analysis.scenes import (
    ETH0,
    ETH1,
    ETH2,
    MS,
    NODE_A,
    NODE_B,
    POD_A,
    POD_B,
    ROUTER_1,
    US,
    Seen,
    back,
    came,
    cooked,
    datagram,
    endpoints_file,
    exchange,
    finding,
    left,
    outcomes,
    passed,
    pcap,
    ping,
    records_of,
    routed,
    router_links,
    segment,
    too_big,
    tunnel,
)
from conftest import CAPTURES, CLUSTER_FILES
from engine.generate import ICMP, icmp, ipv4

from vxtool import analyze
from vxtool.analysis.findings.forwarding import EXPLANATIONS
from vxtool.analysis.model import Finding, Report

SECOND = 1_000 * MS

# The founding case: `ip route` of its router, its pods and its nodes, as they were pasted.
ROUTES = """\
root@router:~# ip route
default via 10.0.2.2 dev eth0 proto dhcp src 10.0.2.15 metric 100
10.0.2.0/24 dev eth0 proto kernel scope link src 10.0.2.15 metric 100
10.0.2.2 dev eth0 proto dhcp scope link src 10.0.2.15 metric 100
192.168.10.0/24 dev eth1 proto kernel scope link src 192.168.10.200
192.168.20.0/24 dev eth2 proto kernel scope link src 192.168.20.200
"""
POD_ROUTE = "172.20.2.0/24 via 192.168.20.100 dev eth2\n"
PODS = """\
NAME                      READY   STATUS    RESTARTS   AGE   IP             NODE      NOMINATED NODE
curl-pod                  1/1     Running   0          21m   172.20.0.107   k8s-ctr   <none>
webpod-697b545f57-8tcp6   1/1     Running   0          21m   172.20.2.4     k8s-w0    <none>
"""
NODES = {
    "kind": "List",
    "items": [
        {
            "kind": "CiliumNode",
            "metadata": {"name": name},
            "spec": {"addresses": [{"ip": address, "type": "InternalIP"}], "ipam": {"podCIDRs": [share]}},
        }
        for name, address, share in (
            ("k8s-ctr", NODE_A, "172.20.0.0/24"),
            ("k8s-w0", NODE_B, "172.20.2.0/24"),
        )
    ],
}


def run(
    tmp_path: Path,
    records: list[Seen],
    *,
    routes: str | None = None,
    pods: bool = False,
    nodes: object = None,
    links: bool = True,
    write=pcap,
) -> Report:
    files = []
    if pods:
        (tmp_path / "pods.txt").write_text(PODS)
        files.append(str(tmp_path / "pods.txt"))
    if nodes is not None:
        (tmp_path / "nodes.json").write_text(json.dumps(nodes))
        files.append(str(tmp_path / "nodes.json"))
    if routes is not None:
        (tmp_path / "routes.txt").write_text(routes)
    return analyze(
        [write(tmp_path / "capture.pcap", records)],
        cluster=files,
        links=[router_links(tmp_path / "links.json")] if links else [],
        routes=[str(tmp_path / "routes.txt")] if routes is not None else [],
    )


def syn(
    time: int, sequence: int = 1, egress: int = ETH0, source: str = POD_A, destination: str = POD_B
) -> list[Seen]:
    packet = segment(1, 0, (source, 32788), (destination, 80), flags=2, identification=sequence)
    return passed(time, packet, 12 * US, ETH1, egress)


def founding(egress: int = ETH0) -> list[Seen]:
    """Native routing: a ping, and the SYNs that the router saw at the times that Hubble tells of."""
    times = (0, 7_199, 19_359, 35_743, 67_999)
    records = passed(0, ping(1, identifier=1119), 12 * US, ETH1, egress)
    for at, time in enumerate(times):
        records += syn(10 * SECOND + time * MS, at + 1, egress)
    return records


def misrouted(report: Report) -> Finding:
    found = finding(report, "forwarding.misrouted")
    assert found is not None
    return found


def loud(report: Report) -> list[str]:
    return [item["id"] for item in report["findings"] if item["severity"] != "info"]


class TestTheFoundingCase:
    def test_says_where_the_pod_is_which_route_took_it_and_what_to_add(self, tmp_path: Path) -> None:
        report = run(tmp_path, founding(), routes=ROUTES, pods=True, nodes=NODES)
        found = misrouted(report)
        assert found["severity"] == "error"
        assert found["title"].startswith(
            "pod 172.20.2.4 is on k8s-w0 (192.168.20.100), the router has no route for it, so default via 10.0.2.2 "
            "takes it out eth0"
        )
        assert found["remedy"].startswith(
            "add `ip route add 172.20.2.0/24 via 192.168.20.100 dev eth2`, or use a tunnel"
        )
        assert (found["count"], records_of(found)) == (6, [1, 3, 5, 7, 9])
        assert found["evidence"][1]["text"] == (
            f"default/curl-pod {POD_A}:32788 → default/webpod-697b545f57-8tcp6 {POD_B}:80 tcp: in eth1, out eth0"
        )

    def test_the_answers_need_a_route_as_well(self, tmp_path: Path) -> None:
        """The other pod's range has no route either: with one of the two alone nothing would come back."""
        found = misrouted(run(tmp_path, founding(), routes=ROUTES, pods=True, nodes=NODES))
        assert (
            "the answers need `ip route add 172.20.0.0/24 via 192.168.10.100 dev eth1` as well" in found["remedy"]
        )
        there = "172.20.0.0/24 via 192.168.10.100 dev eth1\n"
        found = misrouted(run(tmp_path, founding(), routes=ROUTES + there, pods=True, nodes=NODES))
        assert "the answers" not in found["remedy"]

    def test_without_the_nodes_it_names_the_node_of_the_pod_and_proposes_one_address(self, tmp_path: Path) -> None:
        found = misrouted(run(tmp_path, founding(), routes=ROUTES, pods=True))
        assert found["title"].startswith(
            "pod 172.20.2.4 is on k8s-w0, the router has no route for it, so default via 10.0.2.2 takes it out eth0"
        )
        assert "`ip route add 172.20.2.4/32 via ADDRESS` with the address of k8s-w0" in found["remedy"]

    def test_the_range_alone_tells_that_it_is_a_pods(self, tmp_path: Path) -> None:
        """A pod made after the list was taken is in none, but in its node's range."""
        found = misrouted(run(tmp_path, founding(), routes=ROUTES, nodes=NODES))
        assert found["title"].startswith("pod 172.20.2.4 is on k8s-w0 (192.168.20.100), the router has no route")

    @pytest.mark.parametrize(("connects", "severity"), [(True, "error"), (False, "warning")])
    def test_an_address_that_the_list_of_pods_lacks_is_in_a_range(
        self, tmp_path: Path, connects: bool, severity: str
    ) -> None:
        """A scan, or a pod that is younger than the list: the range has no route, which is no news to a scanner."""
        pings = [ping(at + 1, POD_A, "172.20.2.9") for at in range(3)]
        records = [row for at, packet in enumerate(pings) for row in passed(at * SECOND, packet, egress=ETH0)]
        if connects:
            records += [row for at in range(2) for row in syn(at * SECOND, at + 1, destination="172.20.2.9")]
        found = misrouted(run(tmp_path, records, routes=ROUTES, pods=True, nodes=NODES))
        assert found["severity"] == severity
        assert found["title"].startswith(
            "172.20.2.9 is in the range of k8s-w0 (192.168.20.100), the router has no route for it, so default via "
            "10.0.2.2 takes it out eth0"
        )
        assert "`ip route add 172.20.2.0/24 via 192.168.20.100 dev eth2`" in found["remedy"]
        # One that is named is a pod's, and pings that nobody answers say enough.
        records = [row for at in range(3) for row in passed(at * SECOND, ping(at + 1), egress=ETH0)]
        found = misrouted(run(tmp_path, records, routes=ROUTES, pods=True, nodes=NODES))
        assert (found["severity"], found["title"][:25]) == ("error", "pod 172.20.2.4 is on k8s-")

    def test_a_node_behind_another_router_is_reached_by_that(self, tmp_path: Path) -> None:
        routes = ROUTES.replace("192.168.20.0/24 dev eth2", "192.168.20.0/24 via 10.9.9.9 dev eth2")
        found = misrouted(run(tmp_path, founding(), routes=routes, nodes=NODES))
        assert "`ip route add 172.20.2.0/24 via 10.9.9.9 dev eth2`" in found["remedy"]

    def test_of_several_pods_the_one_with_most_is_named_and_the_others_counted(self, tmp_path: Path) -> None:
        others = [row for at in range(2) for row in syn(at * SECOND, at + 1, destination="172.20.2.9")]
        found = misrouted(run(tmp_path, [*founding(), *others], routes=ROUTES, nodes=NODES))
        assert found["title"].startswith("pod 172.20.2.4 is on k8s-w0")
        assert found["title"].endswith("(6 datagrams, and so it is with 1 other address: 8 in all)")
        assert found["remedy"].count("ip route add 172.20.2.0/24") == 1

    def test_a_route_that_only_the_answers_lack(self, tmp_path: Path) -> None:
        """SYNs arrive, and are answered again and again by the default route, which leads elsewhere."""
        records = [seen for at in range(3) for seen in syn(at * SECOND, at + 1, ETH2)]
        for at in range(3):
            answer = segment(1, 0, (POD_B, 80), (POD_A, 32788), flags=0x12, identification=9 + at)
            records += passed(at * SECOND + MS, answer, 3 * US, ETH2, ETH0)
        found = misrouted(run(tmp_path, records, routes=ROUTES + POD_ROUTE, pods=True, nodes=NODES))
        assert found["severity"] == "error"
        assert found["title"] == (
            "pod 172.20.0.107 is on k8s-ctr (192.168.10.100), the router has no route for it, so default via "
            "10.0.2.2 takes it out eth0 (3 datagrams)"
        )
        assert found["remedy"].startswith("add `ip route add 172.20.0.0/24 via 192.168.10.100 dev eth1`")

    def test_answers_of_pings_alone_are_told_as_information(self, tmp_path: Path) -> None:
        """They may arrive: nothing would show it."""
        records = [seen for at in range(4) for seen in passed(at * MS, ping(at + 1), egress=ETH2)]
        for at in range(4):
            reply = ping(at + 1, POD_B, POD_A, reply=True)
            records += passed(at * MS + 300 * US, reply, 3 * US, ETH2, ETH0)
        found = misrouted(run(tmp_path, records, routes=ROUTES + POD_ROUTE, pods=True, nodes=NODES))
        assert found["severity"] == "info"
        assert found["count"] == 4

    def test_the_gravest_is_named_first(self, tmp_path: Path) -> None:
        """One that nobody answers before more that are answered."""
        routes = ROUTES + POD_ROUTE + "172.20.0.0/24 dev eth1\n"
        records = founding()
        for at in range(9):
            records += passed(at * MS, ping(at + 1, destination="192.168.20.9", identifier=7), egress=ETH0)
            reply = ping(at + 1, "192.168.20.9", POD_A, reply=True, identifier=7)
            records += passed(at * MS + 300 * US, reply, 3 * US, ETH0, ETH1)
        found = misrouted(run(tmp_path, records, routes=routes))
        assert found["severity"] == "error"
        assert f"datagrams to {POD_B} left by eth0, and not by eth2" in found["title"]

    def test_is_so_in_the_labs_own_capture(self) -> None:
        """Of real kernels, with `ip -j route` of the router and what kubectl prints as JSON."""
        report = analyze(
            [str(CAPTURES / "native-misroute.pcap")],
            cluster=[str(CLUSTER_FILES / name) for name in ("ciliumnodes.json", "ciliumendpoints.json")],
            links=[str(CAPTURES / "native-misroute.links.json")],
            routes=[str(CAPTURES / "native-misroute.routes.json")],
        )
        found = misrouted(report)
        assert found["count"] == 7
        assert found["title"].startswith(
            "pod 172.20.2.4 is on k8s-w0 (192.168.20.100), the router has no route for it, so default via 10.0.2.2 "
            "takes it out eth0"
        )
        assert "`ip route add 172.20.2.0/24 via 192.168.20.100 dev eth2`" in found["remedy"]

    @pytest.mark.parametrize(
        "routes",
        [
            ROUTES + POD_ROUTE,  # as it should be; the capture is of eth2 then
            ROUTES.replace(
                "192.168.20.0/24 dev eth2", "192.168.20.0/24 via 10.0.2.2 dev eth0"
            ),  # the node's way too
            "default via 192.168.20.100 dev eth0\n192.168.20.0/24 dev eth0\n",  # the node is the gateway
            ROUTES + "10.7.0.0/16 encap ip id 5 dst 10.0.2.9\n",  # a route that cannot be read may be the pod's
            ROUTES + "172.20.2.0/24 via 10.0.2.2 dev eth0 table 100\n",  # a rule may have sent it there
            ROUTES.replace("default", "default via 10.0.2.9 dev eth0 table 100\ndefault")
            + "192.168.20.100 via 10.0.2.9 dev eth0 table 100\n",  # nor may it be told what leads to the node
        ],
    )
    def test_a_default_route_that_may_be_right_is_none(self, tmp_path: Path, routes: str) -> None:
        egress = ETH2 if POD_ROUTE in routes else ETH0
        report = run(tmp_path, founding(egress), routes=routes, pods=True, nodes=NODES)
        assert finding(report, "forwarding.misrouted") is None

    @pytest.mark.parametrize(
        "other",
        [
            "default via 10.0.3.1 dev eth1 table 101\n",
            "0.0.0.0/1 via 10.0.3.1 dev eth0 table 101\ndefault dev eth1 table 7\n",
            "172.20.2.0/24 dev eth2 table 101 dead linkdown\n",  # not in use
            "172.20.2.0/25 dev eth2 table 101\n".replace("172.20.2", "172.20.3"),
        ],
    )
    def test_other_tables_without_a_route_for_the_pod_change_nothing(self, tmp_path: Path, other: str) -> None:
        found = misrouted(run(tmp_path, founding(), routes=ROUTES + other, pods=True, nodes=NODES))
        assert found["severity"] == "error"
        assert found["title"].startswith(
            "pod 172.20.2.4 is on k8s-w0 (192.168.20.100), the router has no route for it, so default via 10.0.2.2 "
            "takes it out eth0"
        )
        assert found["remedy"].startswith("add `ip route add 172.20.2.0/24 via 192.168.20.100 dev eth2`, or use")
        assert found["remedy"].endswith("need `ip route add 172.20.0.0/24 via 192.168.10.100 dev eth1` as well")

    def test_the_default_route_of_another_table_that_took_it_is_named(self, tmp_path: Path) -> None:
        routes = ROUTES + "default via 10.0.3.1 dev eth1 table 101\n"
        records = [row for at in range(3) for row in syn(at * SECOND, at + 1, ETH1)]
        found = misrouted(run(tmp_path, records, routes=routes, pods=True))
        assert "no route for it, so default via 10.0.3.1 takes it out eth1" in found["title"]

    def test_a_route_of_another_table_that_leads_elsewhere_does_not_take_away_what_the_links_tell(
        self, tmp_path: Path
    ) -> None:
        """Whatever rule applies, none led it to where it went but the default route."""
        routes = ROUTES + "172.20.2.0/24 via 192.168.20.100 dev eth2 table 100\n"
        found = misrouted(run(tmp_path, founding(), routes=routes, pods=True, nodes=NODES))
        assert (found["severity"], found["count"]) == ("warning", 6)
        assert "is on the link of eth2 (192.168.20.0/24), and what goes to it leaves by eth0" in found["title"]
        assert "--routes" not in found["remedy"] + (found["unknown"] or "")
        assert "`ip rule show`" in (found["unknown"] or "")

    def test_routes_of_the_other_family_take_nothing_away_either(self, tmp_path: Path) -> None:
        routes = "fd00::/8 dev eth2 metric 1024 pref medium\n"
        found = misrouted(run(tmp_path, founding(), routes=routes, nodes=NODES))
        assert "which is on the link of eth2" in found["title"]
        assert (found["unknown"] or "").startswith("the routes: give `--routes`")

    def test_an_answer_shows_that_the_default_route_leads_there(self, tmp_path: Path) -> None:
        answer = segment(1, 0, (POD_B, 80), (POD_A, 32788), flags=0x12, identification=9)
        records = [*syn(0), *passed(MS, answer, 3 * US, ETH0, ETH1)]
        routes = ROUTES + "172.20.0.0/24 via 192.168.10.100 dev eth1\n"
        report = run(tmp_path, records, routes=routes, pods=True, nodes=NODES)
        assert report["findings"] == []

    def test_so_does_a_connection_whose_answers_take_another_way(self, tmp_path: Path) -> None:
        acknowledged = segment(2, 100, flags=0x18, identification=7)
        records = [*syn(0), *passed(MS, acknowledged, 12 * US, ETH1, ETH0)]
        report = run(tmp_path, records, routes=ROUTES, pods=True, nodes=NODES)
        assert report["findings"] == []

    def test_one_syn_does_not_tell_yet_but_the_nodes_own_route_does(self, tmp_path: Path) -> None:
        found = misrouted(run(tmp_path, syn(0), routes=ROUTES, pods=True, nodes=NODES))
        assert found["severity"] == "warning"
        assert finding(run(tmp_path, syn(0), routes=ROUTES, pods=True), "forwarding.misrouted") is None

    def test_what_is_no_pod_may_take_the_default_route(self, tmp_path: Path) -> None:
        records = [row for at in range(3) for row in syn(at * SECOND, at + 1, destination="93.184.216.34")]
        report = run(tmp_path, records, routes=ROUTES, pods=True, nodes=NODES)
        assert finding(report, "forwarding.misrouted") is None

    @pytest.mark.parametrize("other", ["", "default via 10.0.3.1 dev eth1 table 101\n"])
    def test_so_may_a_private_address_that_is_no_pod(self, tmp_path: Path, other: str) -> None:
        records = [row for at in range(3) for row in syn(at * SECOND, at + 1, destination="172.16.5.9")]
        assert finding(run(tmp_path, records, nodes=NODES), "forwarding.misrouted") is not None
        report = run(tmp_path, records, routes=ROUTES + other, pods=True, nodes=NODES)
        assert finding(report, "forwarding.misrouted") is None

    def test_within_a_tunnel_the_nodes_are_the_ends(self, tmp_path: Path) -> None:
        assert run(tmp_path, exchange(), routes=ROUTES, pods=True, nodes=NODES)["findings"] == []


class TestAnotherEgressThanTheRoute:
    def test_names_both(self, tmp_path: Path) -> None:
        records = [*exchange(), *passed(SECOND, tunnel(ping(9, identifier=5)), egress=ETH0)]
        found = misrouted(run(tmp_path, records, routes=ROUTES))
        assert found["title"].startswith(
            f"datagrams to {NODE_B} left by eth0, and not by eth2 as their route says (192.168.20.0/24 dev eth2)"
        )
        assert f"`ip route get {NODE_B} from {NODE_A} iif eth1`" in found["remedy"]
        assert records_of(found) == [5]

    def test_never_answered_is_an_error_answered_information(self, tmp_path: Path) -> None:
        routes = ROUTES + POD_ROUTE
        assert misrouted(run(tmp_path, founding(), routes=routes))["severity"] == "error"
        answer = segment(1, 0, (POD_B, 80), (POD_A, 32788), flags=0x12, identification=9)
        report = run(tmp_path, [*syn(0), *passed(MS, answer, 3 * US, ETH0, ETH1)], routes=routes)
        assert misrouted(report)["severity"] == "info"

    @pytest.mark.parametrize(
        "route",
        [
            "192.168.20.0/24 nexthop via 10.0.2.2 dev eth0 nexthop via 192.168.20.1 dev eth2\n",  # either
            "192.168.20.0/24 dev eth7\n",  # of another machine, or time: no such interface here
            "192.168.20.0/24 dev cilium_host\n",  # past which a program sends
            "192.168.20.0/24 dev eth2\n192.168.20.0/24 tos 0x10 dev eth0\n",  # for some only
            "192.168.20.0/24 dev eth2 dead linkdown\n192.168.20.0/24 dev eth0 metric 9\n",
        ],
    )
    def test_a_route_that_may_have_led_there_is_none(self, tmp_path: Path, route: str) -> None:
        records = passed(0, tunnel(ping(9)), egress=ETH0)
        report = run(tmp_path, records, routes="192.168.10.0/24 dev eth1\n" + route)
        assert finding(report, "forwarding.misrouted") is None

    def test_interfaces_without_names_cannot_be_compared(self, tmp_path: Path) -> None:
        records = passed(0, tunnel(ping(9)), egress=ETH0)
        assert finding(run(tmp_path, records, routes=ROUTES, links=False), "forwarding.misrouted") is None

    def test_a_bridge_is_left_by_its_port(self, tmp_path: Path) -> None:
        """Captured on both, and on the port alone."""
        packet = tunnel(ping(9))
        routes = "192.168.20.0/24 dev br1\n192.168.10.0/24 dev eth1\n"
        links = json.loads(Path(router_links(tmp_path / "l.json")).read_text())
        links[-1]["master"] = "br1"
        links.append({"ifindex": 9, "ifname": "br1", "mtu": 1500, "address": "02:00:00:00:ff:09"})
        (tmp_path / "l.json").write_text(json.dumps(links))
        (tmp_path / "r.txt").write_text(routes)
        out = [left(16 * US, routed(packet), 9), left(17 * US, routed(packet), ETH2)]
        for records in ([came(0, packet), *out], [came(0, packet), out[1]]):
            file = pcap(tmp_path / "capture.pcap", records)
            report = analyze([file], links=[str(tmp_path / "l.json")], routes=[str(tmp_path / "r.txt")])
            assert finding(report, "forwarding.misrouted") is None
        ways = [came(0, packet), left(16 * US, routed(packet), ETH0)]
        file = pcap(tmp_path / "capture.pcap", ways)
        report = analyze([file], links=[str(tmp_path / "l.json")], routes=[str(tmp_path / "r.txt")])
        assert misrouted(report)["title"].startswith(f"datagrams to {NODE_B} left by eth0, and not by br1")


class TestWithoutRoutes:
    def test_what_the_destination_sends_comes_in_elsewhere(self, tmp_path: Path) -> None:
        sent = passed(MS, datagram(90, 5, (POD_B, 999), (POD_A, 53)), 3 * US, ETH2, ETH1)
        found = misrouted(run(tmp_path, [*sent, *founding()]))
        assert found["severity"] == "warning"
        assert found["title"].startswith(
            f"what goes to {POD_B} leaves by eth0 and is never answered, while its own traffic comes in by eth2"
        )
        assert f"`ip route get {POD_B}`" in found["remedy"]
        assert "give `--routes`" in (found["unknown"] or "")

    def test_what_others_on_its_node_send_does(self, tmp_path: Path) -> None:
        sent = passed(MS, datagram(90, 5, ("172.20.2.9", 999), (POD_A, 53)), 3 * US, ETH2, ETH1)
        found = misrouted(run(tmp_path, [*sent, *founding()], nodes=NODES))
        assert "while that of others there comes in by eth2" in found["title"]
        # Without the ranges nobody knows who is there, but that none of such addresses is behind eth0.
        found = misrouted(run(tmp_path, [*sent, *founding()]))
        assert "nothing from 172.16.0.0/12 ever comes in by eth0, only by eth1 and eth2" in found["title"]

    def half_open(self, *, last: int = 0, times: int = 4, every: int = SECOND) -> list[Seen]:
        """SYNs that arrive, and their answers by the uplink, each of them again and again."""
        records = []
        for at in range(times):
            answer = segment(5_000, 0, (POD_B, 80), (POD_A, 32788), flags=0x12, identification=at + 1)
            records += syn(at * every, at + 1, ETH2)
            records += passed(at * every + MS, answer, 3 * US, ETH2, ETH0)
        if last:
            records += passed(times * every, segment(2, 0, flags=last, identification=99), egress=ETH2)
        return records

    @pytest.mark.parametrize("known", ["nothing", "nodes", "routes"])
    def test_answers_that_complete_no_handshake_leave_by_where_the_asker_never_sends(
        self, tmp_path: Path, engine: str, known: str
    ) -> None:
        routes = ROUTES + POD_ROUTE if known == "routes" else None
        nodes = NODES if known == "nodes" else None
        found = misrouted(run(tmp_path, self.half_open(), routes=routes, nodes=nodes))
        assert (found["severity"], found["count"], records_of(found)) == ("warning", 4, [3, 7, 11, 15])
        assert found["title"] == (
            f"what goes to {POD_A} leaves by eth0 and never completes a handshake, while its own traffic comes in "
            "by eth1 (4 datagrams)"
        )

    def test_so_they_do_in_a_tunnel(self, tmp_path: Path) -> None:
        records = []
        for at in range(3):
            answer = segment(5_000, 0, (POD_B, 80), (POD_A, 32788), flags=0x12, identification=at + 1)
            records += passed(at * SECOND, tunnel(segment(1, 0, flags=2, identification=at + 1)))
            records += passed(at * SECOND + MS, back(answer), 3 * US, ETH2, ETH0)
        found = misrouted(run(tmp_path, records))
        assert f"what goes to {NODE_A} leaves by eth0 and never completes a handshake" in found["title"]

    def test_answers_that_are_acknowledged_or_not_repeated_are_none(self, tmp_path: Path) -> None:
        for records in (
            self.half_open(last=0x10),
            self.half_open(last=0x04),  # a reset shows as well that they arrive
            self.half_open(times=1),
            self.half_open(every=100 * MS),  # the capture ends before anybody could wait
        ):
            assert run(tmp_path, records, nodes=NODES)["findings"] == []

    def test_an_interface_that_leads_to_others_on_its_node_leads_to_it(self, tmp_path: Path) -> None:
        """Ways there and back differ, and one pod is down: its neighbour, asked by eth0 too, answers by eth2."""
        answer = segment(1, 0, (POD_B, 80), (POD_A, 32788), flags=0x12, identification=9)
        neighbour = [
            *passed(0, segment(1, 0, flags=2, identification=1), egress=ETH0),
            *passed(MS, answer, 3 * US, ETH2, ETH1),
            *passed(2 * MS, segment(2, 0, identification=2), egress=ETH0),
        ]
        down = [row for at in range(4) for row in syn(at * SECOND, at + 7, destination="172.20.2.9")]
        for routes in (None, ROUTES + "172.20.0.0/24 via 192.168.10.100 dev eth1\n"):
            report = run(tmp_path, [*neighbour, *down], nodes=NODES, routes=routes)
            assert loud(report) == ["forwarding.no-answer"]
            assert finding(report, "forwarding.misrouted") is None
        # A neighbour that is reached by another interface shows nothing of this one.
        other = [*passed(0, segment(1, 0, flags=2, identification=1)), *neighbour[2:4]]
        assert "172.20.2.9 leaves by eth0" in misrouted(run(tmp_path, [*other, *down], nodes=NODES))["title"]

    def test_ways_there_and_back_may_differ(self, tmp_path: Path) -> None:
        """Out by eth0, and its answer in by eth2."""
        answer = segment(1, 0, (POD_B, 80), (POD_A, 32788), flags=0x12, identification=9)
        records = [*syn(0), *passed(MS, answer, 3 * US, ETH2, ETH1)]
        assert run(tmp_path, records)["findings"] == []

    def test_a_host_that_is_silent_behind_the_right_interface_may_be_down(self, tmp_path: Path) -> None:
        """Other pods, or the overlay's nodes, send in by that interface; and so may the pod's own node."""
        other = passed(MS, datagram(90, 5, ("172.20.2.9", 999), (POD_A, 53)), 3 * US, ETH2, ETH1)
        node = passed(MS, datagram(90, 5, (NODE_B, 999), (NODE_A, 53)), 3 * US, ETH2, ETH1)
        for records, nodes, links in (
            (other, None, True),
            (other, NODES, True),
            (other, NODES, False),
            (exchange(SECOND), None, True),
            (node, NODES, False),
            ([], NODES, True),  # nobody sends, but the node is on the link of eth2
        ):
            report = run(tmp_path, [*founding(ETH2), *records], nodes=nodes, links=links)
            assert finding(report, "forwarding.misrouted") is None
            assert finding(report, "forwarding.no-answer") is not None

    def test_interfaces_have_to_be_told_apart(self, tmp_path: Path) -> None:
        sent = passed(MS, datagram(90, 5, (POD_B, 999), (POD_A, 53)), 3 * US, ETH2, ETH1)
        report = run(tmp_path, [*sent, *founding()], links=False, write=cooked)
        assert finding(report, "forwarding.misrouted") is None

    def test_the_pods_node_is_on_the_link_of_another_interface(self, tmp_path: Path) -> None:
        """`ip -j addr` has 192.168.20.200/24 on eth2."""
        found = misrouted(run(tmp_path, founding(), nodes=NODES))
        assert (found["severity"], found["count"], records_of(found)) == ("warning", 6, [1, 3, 5, 7, 9])
        assert found["title"] == (
            f"pod {POD_B} is on k8s-w0 ({NODE_B}), which is on the link of eth2 (192.168.20.0/24), and what goes "
            "to it leaves by eth0 and is never answered (6 datagrams)"
        )
        assert f"`ip route get {POD_B}`" in found["remedy"]
        assert f"`ip route add 172.20.2.0/24 via {NODE_B} dev eth2`" in found["remedy"]
        assert found["unknown"] == (
            "the routes: give `--routes` with the router's `ip -j route show table all`; without them it may also "
            "be that k8s-w0 is reached by eth0 too, and the pod does not answer"
        )

    def test_what_the_pods_node_sends_comes_in_by_another(self, tmp_path: Path) -> None:
        """Without the networks of the links: as of `ip -j link`."""
        (tmp_path / "nodes.json").write_text(json.dumps(NODES))
        (tmp_path / "links.json").write_text(
            json.dumps([{"ifindex": index, "ifname": f"eth{index - 2}"} for index in (ETH0, ETH1, ETH2)])
        )
        sent = passed(MS, datagram(90, 5, (NODE_B, 999), (NODE_A, 53)), 3 * US, ETH2, ETH1)
        file = pcap(tmp_path / "capture.pcap", [*founding(), *sent])
        report = analyze([file], cluster=[str(tmp_path / "nodes.json")], links=[str(tmp_path / "links.json")])
        found = misrouted(report)
        assert found["severity"] == "warning"
        assert f"k8s-w0 ({NODE_B}), whose own traffic comes in by eth2, and what goes to it leaves by eth0" in (
            found["title"]
        )
        assert f"`ip route add 172.20.2.0/24 via {NODE_B}`" in found["remedy"]

    def test_a_tunnels_end_on_the_link_of_another_interface(self, tmp_path: Path) -> None:
        """And one on the link that it leaves by, which nobody answers from, is down or has no such pod."""
        knocks = [tunnel(segment(1, 0, flags=2, identification=at + 1)) for at in range(3)]
        astray = [row for at, knock in enumerate(knocks) for row in passed(at * SECOND, knock, egress=ETH0)]
        found = misrouted(run(tmp_path, astray))
        assert found["title"].startswith(
            f"{NODE_B} is on the link of eth2 (192.168.20.0/24), and what goes to it leaves by eth0"
        )
        right = [row for at, knock in enumerate(knocks) for row in passed(at * SECOND, knock)]
        for links in (True, False):
            assert finding(run(tmp_path, right, links=links), "forwarding.misrouted") is None

    def test_nothing_of_its_kind_comes_in_by_that_interface(self, tmp_path: Path) -> None:
        found = misrouted(run(tmp_path, founding()))
        assert (found["severity"], found["count"]) == ("warning", 6)
        assert found["title"] == (
            f"what goes to {POD_B} leaves by eth0 and is never answered, and nothing from 172.16.0.0/12 ever comes "
            "in by eth0, only by eth1 (6 datagrams)"
        )
        assert f"`ip route get {POD_B}` (`--routes` tells it here)" in found["remedy"]
        assert (found["unknown"] or "").endswith(f"it may also be that {POD_B} is behind eth0 and does not answer")

    def test_pods_that_the_cluster_knows_are_of_a_kind_by_any_address(self, tmp_path: Path) -> None:
        """Public ones, as in many clusters on IPv6: without the files nothing makes them alike."""
        source, destination = "198.51.100.7", "203.0.113.4"
        records = [row for at in range(3) for row in syn(at * SECOND, at + 1, ETH0, source, destination)]
        assert finding(run(tmp_path, records), "forwarding.misrouted") is None
        pods = [("curl-pod", 300, source, NODE_A), ("webpod", 301, destination, "192.168.30.9")]
        report = analyze(
            [str(tmp_path / "capture.pcap")],
            cluster=[endpoints_file(tmp_path / "endpoints.json", pods)],
            links=[str(tmp_path / "links.json")],
        )
        assert "no pod's traffic ever comes in by eth0, only by eth1" in misrouted(report)["title"]

    def test_pings_alone_are_information(self, tmp_path: Path) -> None:
        """Their answers may take another way, past this machine."""
        records = [row for at in range(4) for row in passed(at * SECOND, ping(at + 1), egress=ETH0)]
        assert misrouted(run(tmp_path, records))["severity"] == "info"

    def test_a_stranger_that_does_not_answer_is_none(self, tmp_path: Path) -> None:
        """To the Internet by the uplink, or to a private address of another block."""
        for destination in ("93.184.216.34", "10.77.0.1"):
            records = [row for at in range(3) for row in syn(at * SECOND, at + 1, destination=destination)]
            assert finding(run(tmp_path, records), "forwarding.misrouted") is None

    def test_udp_one_way_is_none(self, tmp_path: Path) -> None:
        records = [row for at in range(9) for row in passed(at * SECOND, datagram(90, at + 1), egress=ETH0)]
        assert run(tmp_path, records, nodes=NODES)["findings"] == []

    def test_answered_by_another_way_is_none(self, tmp_path: Path) -> None:
        """One port is closed by a rule; the others show that the way is right."""
        answer = segment(1, 0, (POD_B, 443), (POD_A, 32788), flags=0x12, identification=9)
        other = segment(1, 0, (POD_A, 32788), (POD_B, 443), flags=2, identification=8)
        records = [*founding(), *passed(0, other, egress=ETH0), *passed(MS, answer, 3 * US, ETH2, ETH1)]
        for nodes in (None, NODES):
            assert finding(run(tmp_path, records, nodes=nodes), "forwarding.misrouted") is None

    def test_the_device_of_a_pod_on_its_own_node_is_none(self, tmp_path: Path) -> None:
        """A node's capture: nothing but that pod is behind it, and it carries no address of the node's."""
        device = [*json.loads(Path(router_links(tmp_path / "links.json")).read_text())]
        device.append({"ifindex": 9, "ifname": "veth9", "addr_info": [{"local": "fe80::9", "prefixlen": 64}]})
        (tmp_path / "links.json").write_text(json.dumps(device))
        (tmp_path / "nodes.json").write_text(json.dumps(NODES).replace(NODE_B, ROUTER_1))
        file = pcap(tmp_path / "capture.pcap", founding(9))
        for cluster in ([], [str(tmp_path / "nodes.json")]):
            report = analyze([file], cluster=cluster, links=[str(tmp_path / "links.json")])
            assert finding(report, "forwarding.misrouted") is None
            assert finding(report, "forwarding.no-answer") is not None

    def test_is_so_in_the_labs_own_capture(self) -> None:
        path, links = str(CAPTURES / "native-misroute.pcap"), str(CAPTURES / "native-misroute.links.json")
        nodes = str(CLUSTER_FILES / "ciliumnodes.json")
        found = misrouted(analyze([path], cluster=[nodes], links=[links]))
        assert (found["severity"], found["count"]) == ("warning", 7)
        assert "which is on the link of eth2 (192.168.20.0/24)" in found["title"]
        assert "leaves by #2 and is never answered" in misrouted(analyze([path]))["title"]

    def test_more_addresses_than_are_looked_at_are_told_of(self, tmp_path: Path, engine: str) -> None:
        """210 of them, each asked for twice; the first 200 are looked at."""
        records = [
            row
            for at in range(420)
            for row in syn(at * 10 * MS, at % 2 + 1, destination=f"172.20.3.{at // 2 + 1}")
        ]
        found = misrouted(run(tmp_path, [*records, *passed(9 * SECOND, datagram(90, 5))]))
        assert found["title"].endswith("and so it is with 199 other addresses: 400 in all)")
        assert (found["unknown"] or "").endswith("; 10 more addresses may be concerned, which were not looked at")

    def test_where_those_that_were_looked_at_are_right_too(self, tmp_path: Path) -> None:
        """By the default route, as the pods of another cluster; that nobody answers the last is not missed."""
        records = [
            row
            for at in range(210)
            for row in passed(at * MS, datagram(90, at + 1, destination=(f"172.20.2.{at + 1}", 9)), egress=ETH0)
        ]
        routes = ROUTES.replace("192.168.20.0/24 dev eth2", "192.168.21.0/24 dev eth2").replace(
            "192.168.10.0/24", "172.20.0.0/24 dev eth1\n192.168.10.0/24"
        )
        nodes = json.loads(json.dumps(NODES).replace(NODE_B, "fd00::1"))
        found = misrouted(run(tmp_path, records, routes=routes, nodes=nodes))
        assert (found["severity"], found["count"], records_of(found)[0]) == ("info", 10, 401)
        assert found["title"].startswith("what goes to 10 more addresses may leave by a wrong interface: 200 were")
        asked = [row for at in range(3) for row in syn(at * SECOND, at + 1, destination="172.20.2.250")]
        found = misrouted(run(tmp_path, [*records, *asked], routes=routes, nodes=nodes))
        assert found["title"].startswith("pod 172.20.2.250 is on k8s-w0, the router has no route for it")


class TestNoAnswer:
    def test_says_what_left_by_where_and_which_way_an_answer_would_take(self, tmp_path: Path) -> None:
        found = finding(run(tmp_path, founding(), routes=ROUTES), "forwarding.no-answer")
        assert found is not None
        assert (found["severity"], found["count"], records_of(found)) == ("warning", 5, [3])
        assert found["title"] == (
            "1 TCP connection never answered: nothing came back for 5 datagrams; they left by eth0 (default via "
            "10.0.2.2 dev eth0)"
        )
        assert f"tcpdump -ni any host {POD_B}" in found["remedy"]
        assert found["remedy"].endswith(
            f"an answer to {POD_A} would leave here by eth0 (default via 10.0.2.2 dev eth0), and not by eth1, by "
            "which it asked"
        )

    def refused(self, kind: int, code: int, to: str = POD_A) -> list[Seen]:
        records = []
        for at in range(3):
            error = ipv4("10.0.2.2", to, ICMP, icmp(kind, code, 0, bytes(28)), identification=at + 1)
            records += [*syn(at * SECOND, at + 1), *passed(at * SECOND + MS, error, 3 * US, ETH0, ETH1)]
        return records

    @pytest.mark.parametrize(
        ("kind", "code", "told", "name"),
        [
            (3, 1, "host unreachable", "forwarding.unreachable"),
            (3, 13, "prohibited", "forwarding.unreachable"),
            (11, 0, "time to live exceeded", "forwarding.ttl-expired"),
        ],
    )
    def test_icmp_errors_that_came_back_are_told(
        self, tmp_path: Path, engine: str, kind: int, code: int, told: str, name: str
    ) -> None:
        report = run(tmp_path, self.refused(kind, code))
        found = finding(report, "forwarding.no-answer")
        assert found is not None
        assert found["title"] == (
            f"1 TCP connection never answered: nothing but ICMP errors ({told}) came back for 3 datagrams; they "
            "left by eth0"
        )
        assert found["remedy"].startswith(f"see first who sent the errors, of which {name} tells; ")
        assert finding(report, name) is not None
        assert "what they quote is not read" in (found["unknown"] or "")

    def test_icmp_errors_to_others_or_of_another_kind_are_not(self, tmp_path: Path) -> None:
        for records in (self.refused(3, 1, "172.20.0.99"), self.refused(3, 4), self.refused(5, 1)):
            found = finding(run(tmp_path, records), "forwarding.no-answer")
            assert found is not None
            assert "never answered: nothing came back for 3 datagrams" in found["title"]
            assert "the errors" not in found["remedy"]

    def test_without_routes_an_answer_leaves_by_where_it_was_asked(self, tmp_path: Path) -> None:
        found = finding(run(tmp_path, founding()), "forwarding.no-answer")
        assert found is not None
        assert found["remedy"].endswith("an answer that comes this way would leave by eth1")

    def test_in_a_tunnel_the_node_is_named(self, tmp_path: Path) -> None:
        packets = [tunnel(segment(1, 0, flags=2, identification=at + 1)) for at in range(3)]
        records = [row for at, packet in enumerate(packets) for row in passed(at * SECOND, packet)]
        found = finding(run(tmp_path, records, nodes=NODES), "forwarding.no-answer")
        assert found is not None
        assert "arrives on k8s-w0 and is answered" in found["remedy"]

    def test_pings_alone_are_information(self, tmp_path: Path) -> None:
        records = [row for at in range(4) for row in passed(at * SECOND, tunnel(ping(at + 1)))]
        report = run(tmp_path, records)
        found = finding(report, "forwarding.no-answer")
        assert found is not None
        assert (found["severity"], found["count"]) == ("info", 4)
        assert "another way" in (found["unknown"] or "")

    def test_echo_replies_alone_are_no_question(self, tmp_path: Path) -> None:
        """Their requests took another way."""
        replies = [back(ping(at + 1, POD_B, POD_A, reply=True)) for at in range(4)]
        records = [
            row for at, reply in enumerate(replies) for row in passed(at * SECOND, reply, 3 * US, ETH2, ETH1)
        ]
        assert run(tmp_path, records)["findings"] == []

    def test_one_syn_at_the_end_is_none(self, tmp_path: Path) -> None:
        assert run(tmp_path, [*exchange(), *syn(SECOND, egress=ETH2)])["findings"] == []

    def test_a_syn_that_is_answered_at_last_is_none(self, tmp_path: Path) -> None:
        answer = segment(1, 0, (POD_B, 80), (POD_A, 32788), flags=0x12, identification=9)
        records = [*syn(0, 1, ETH2), *syn(SECOND, 2, ETH2), *passed(SECOND + MS, answer, 3 * US, ETH2, ETH1)]
        assert run(tmp_path, records)["findings"] == []

    def test_dropped_here_is_told_of_as_dropped(self, tmp_path: Path) -> None:
        lost = [came(at * SECOND, tunnel(segment(1, 0, flags=2, identification=at + 1))) for at in range(3)]
        report = run(tmp_path, [*lost, *exchange(3 * SECOND)])
        assert loud(report) == ["forwarding.dropped"]
        one = [*lost, *exchange(3 * SECOND), *syn(4 * SECOND, 5, ETH2)]
        assert loud(run(tmp_path, one)) == ["forwarding.dropped"]
        both = [*lost, *exchange(3 * SECOND), *syn(4 * SECOND, 5, ETH2), *syn(5 * SECOND, 6, ETH2)]
        found = finding(run(tmp_path, both), "forwarding.no-answer")
        assert found is not None
        assert (found["count"], found["title"].split(":")[0]) == (2, "1 TCP connection never answered")

    def test_to_the_router_itself_asks_the_router(self, tmp_path: Path) -> None:
        knocks = [segment(1, 0, (NODE_A, 5), (ROUTER_1, 22), flags=2, identification=at + 1) for at in range(3)]
        records = [came(at * SECOND, knock) for at, knock in enumerate(knocks)]
        found = finding(run(tmp_path, records), "forwarding.no-answer")
        assert found is not None
        assert found["remedy"].startswith("see whether something listens there")
        assert found["evidence"][0]["text"].endswith("in eth1, for this machine itself, no answer")


class TestHairpin:
    def records(self, egress: int = ETH1) -> list[Seen]:
        """Two nodes on one link, with the router as their gateway."""
        return [
            row
            for at in range(3)
            for row in passed(at * MS, tunnel(ping(at + 1), destination="192.168.10.101"), egress=egress)
        ]

    def test_is_information(self, tmp_path: Path) -> None:
        report = run(tmp_path, self.records())
        found = finding(report, "forwarding.hairpin")
        assert found is not None
        assert (found["severity"], found["count"], records_of(found)) == ("info", 3, [1, 3, 5])
        assert found["title"] == "3 datagrams went out by the interface that they came in by, eth1"
        assert "net.ipv4.conf.eth1.send_redirects" in found["remedy"]
        assert loud(report) == []

    def test_redirects_are_counted(self, tmp_path: Path) -> None:
        redirect = ipv4(ROUTER_1, NODE_A, ICMP, icmp(5, 1, 0, bytes(28)), identification=5)
        found = finding(run(tmp_path, [*self.records(), left(2 * US, redirect, ETH1)]), "forwarding.hairpin")
        assert found is not None
        assert found["title"].endswith("eth1; the capture holds 1 ICMP redirect")

    def test_another_interface_is_none(self, tmp_path: Path) -> None:
        assert finding(run(tmp_path, self.records(ETH2)), "forwarding.hairpin") is None

    def test_where_there_are_no_interfaces_it_cannot_be_told(self, tmp_path: Path) -> None:
        assert finding(run(tmp_path, self.records(), write=cooked), "forwarding.hairpin") is None

    def test_a_pod_behind_a_node_enters_the_tunnel(self, tmp_path: Path) -> None:
        """A node with one interface: plain in, in the tunnel out."""
        inner = ping(1)
        records = [came(0, inner, ETH1), left(9 * US, tunnel(routed(inner)), ETH1)]
        assert finding(run(tmp_path, records), "forwarding.hairpin") is None


def looped() -> list[Seen]:
    """From record 5 on: out, back in by the same interface, out again, each time with a lower TTL."""
    packet, rows = ping(50, destination="172.20.9.9"), []
    time = 20 * MS
    for _ in range(3):
        rows += [came(time, packet, ETH1), left(time + 9 * US, packet := routed(packet), ETH0)]
        packet, time = routed(packet), time + 50 * US
    return [*exchange(), *rows, *exchange(SECOND, 2)]


def expired(time: int = 21 * MS, version: int = 4, code: int = 0) -> Seen:
    return left(time, ipv4(ROUTER_1, POD_A, ICMP, icmp(11, code, 0, bytes(28)), identification=77), ETH1)


class TestLoop:
    def test_names_the_place_and_the_next_router(self, tmp_path: Path) -> None:
        found = finding(run(tmp_path, looped(), routes=ROUTES), "forwarding.loop")
        assert found is not None
        assert (found["severity"], found["count"], records_of(found)) == ("warning", 1, [5])
        assert found["title"].startswith("1 datagram came round again with a lower TTL at eth0 and eth1")
        assert (
            "`ip route get 172.20.9.9` here and on the next router (10.0.2.2, by the route `default"
            in (found["remedy"])
        )

    def test_where_hops_ran_out_it_is_an_error(self, tmp_path: Path) -> None:
        report = run(tmp_path, [*looped(), expired()])
        found = finding(report, "forwarding.loop")
        assert found is not None
        assert found["severity"] == "error"
        assert "forwarding.ttl-expired" in loud(report)

    def test_the_same_datagram_sent_again_is_none(self, tmp_path: Path) -> None:
        """A retransmission with the same TTL, and one more sighting on its way through."""
        records = [*passed(0, tunnel(ping(1))), *passed(20 * MS, tunnel(ping(1)))]
        assert finding(run(tmp_path, records), "forwarding.loop") is None


class TestIcmp:
    def error(self, kind: int, code: int, time: int = 0) -> Seen:
        packet = ipv4(ROUTER_1, POD_A, ICMP, icmp(kind, code, 0, bytes(28)), identification=kind * 20 + code)
        return left(time, packet, ETH1)

    def test_ttl_expired_is_information_without_a_loop(self, tmp_path: Path) -> None:
        report = run(tmp_path, [*exchange(), expired()])
        found = finding(report, "forwarding.ttl-expired")
        assert found is not None
        assert (found["severity"], found["count"], records_of(found)) == ("info", 1, [5])
        assert found["evidence"][0]["text"] == (
            f"{ROUTER_1} → {POD_A} icmp: time to live exceeded, sent by this machine"
        )
        assert loud(report) == []

    def test_fragments_that_came_too_late_are_no_hops(self, tmp_path: Path) -> None:
        report = run(tmp_path, [*exchange(), expired(code=1)])
        assert finding(report, "forwarding.ttl-expired") is None

    def test_unreachable_by_code_and_who_said_it(self, tmp_path: Path) -> None:
        passing = ipv4(NODE_B, POD_A, ICMP, icmp(3, 13, 0, bytes(28)), identification=9)
        records = [
            *exchange(),
            self.error(3, 1, 20 * MS),
            self.error(3, 1, 21 * MS),
            *passed(30 * MS, passing, 3 * US, ETH2, ETH1),
        ]
        found = finding(run(tmp_path, records), "forwarding.unreachable")
        assert found is not None
        assert (found["severity"], found["count"]) == ("warning", 3)
        assert found["title"] == "3 ICMP errors of a destination unreachable: host (2), prohibited (1)"
        assert [item["text"] for item in found["evidence"]] == [
            f"{ROUTER_1} → {POD_A} icmp: host unreachable, sent by this machine",
            f"{ROUTER_1} → {POD_A} icmp: host unreachable, sent by this machine",
            f"{NODE_B} → {POD_A} icmp: prohibited: in eth2, out eth1",
        ]
        assert "`ip neigh show DESTINATION`" in found["remedy"]

    def test_a_closed_port_is_information(self, tmp_path: Path) -> None:
        report = run(tmp_path, [*exchange(), self.error(3, 3, MS)])
        found = finding(report, "forwarding.unreachable")
        assert found is not None
        assert found["severity"] == "info"
        assert loud(report) == []

    def test_too_large_a_packet_is_the_mtus_matter(self, tmp_path: Path) -> None:
        records = [*exchange(), left(MS, too_big(ROUTER_1, NODE_A), ETH1)]
        assert finding(run(tmp_path, records), "forwarding.unreachable") is None


class TestDroppedByRoute:
    def dropped(self, tmp_path: Path, routes: str | None, **options: bool) -> Finding:
        """Nothing for node B left at all; others pass."""
        lost = [came(at * MS, tunnel(ping(at + 1))) for at in range(3)]
        others = passed(SECOND, ping(1, "10.7.0.1", "10.7.0.2"))
        report = run(tmp_path, [*lost, *others], routes=routes, **options)
        assert outcomes(report) == {"dropped": 3}
        found = finding(report, "forwarding.dropped")
        assert found is not None
        return found

    @pytest.mark.parametrize(
        ("routes", "remedy"),
        [
            (ROUTES + "blackhole 192.168.20.0/25\n", "the route `blackhole 192.168.20.0/25` drops them"),
            ("192.168.10.0/24 dev eth1\n", f"the router has no route for {NODE_B}"),
            (ROUTES, "by its route (`192.168.20.0/24 dev eth2`) it should have left by eth2"),
            (
                ROUTES.replace("192.168.10.0/24 dev eth1", "192.168.11.0/24 dev eth1"),
                f"the route back to {NODE_A} leads out eth0, and these came in by eth1",
            ),
            (None, "nothing for these destinations left at all"),
            (ROUTES + "192.168.20.0/25 dev eth0 table 7\n", "nothing for these destinations left at all"),
        ],
    )
    def test_the_route_is_the_reason_where_it_tells_one(
        self, tmp_path: Path, routes: str | None, remedy: str
    ) -> None:
        assert self.dropped(tmp_path, routes)["remedy"].startswith(remedy)

    def test_the_reverse_path_filter_is_named_by_interface(self, tmp_path: Path) -> None:
        routes = ROUTES.replace("192.168.10.0/24 dev eth1", "192.168.11.0/24 dev eth1")
        assert "net.ipv4.conf.eth1.rp_filter" in self.dropped(tmp_path, routes)["remedy"]

    def test_a_few_that_a_route_refuses_are_told_of_beside_the_others(self, tmp_path: Path) -> None:
        lost = [came(SECOND + at * MS, tunnel(ping(9 + at))) for at in range(3)]
        refused = came(SECOND, ping(50, destination="172.20.8.1"))
        records = [*exchange(), *lost, refused, *exchange(2 * SECOND, 2)]
        found = finding(run(tmp_path, records, routes=ROUTES + "blackhole 172.20.8.0/24\n"), "forwarding.dropped")
        assert found is not None
        assert found["remedy"].startswith("look at the queue of eth2")
        assert "; besides, the route `blackhole 172.20.8.0/24` drops them" in found["remedy"]
        found = finding(
            run(
                tmp_path,
                [*exchange(), refused, *exchange(2 * SECOND, 2)],
                routes=ROUTES + "blackhole 172.20.8.0/24\n",
            ),
            "forwarding.dropped",
        )
        assert found is not None
        assert found["remedy"].startswith("the route `blackhole 172.20.8.0/24` drops them")

    def test_where_others_left_the_queue_is_looked_at_first(self, tmp_path: Path) -> None:
        lost = came(SECOND, tunnel(ping(9)))
        report = run(tmp_path, [*exchange(), lost, *exchange(2 * SECOND, 2)], routes=ROUTES)
        found = finding(report, "forwarding.dropped")
        assert found is not None
        assert found["remedy"].startswith("look at the queue of eth2")


def test_every_finding_of_the_family_is_explained() -> None:
    assert set(EXPLANATIONS) == {
        f"forwarding.{name}"
        for name in ("dropped", "misrouted", "no-answer", "hairpin", "loop", "ttl-expired", "unreachable")
    }
    for explanation in EXPLANATIONS.values():
        assert not explanation.summary.endswith(".")
        assert all(part.endswith(".") for part in explanation[1:])


@pytest.mark.parametrize("path", sorted(CAPTURES.glob("*.routes.json")), ids=lambda path: path.name.split(".")[0])
def test_routes_and_cluster_raise_no_false_alarm_on_the_sample_captures(path: Path) -> None:
    """Each was taken with these routes in force; but one is routed as it should be."""
    name = path.name.removesuffix(".routes.json")
    files = sorted(CAPTURES.glob(f"{name}.pcap*")) or sorted(CAPTURES.glob(f"{name}-sll2.pcap"))
    report = analyze(
        [str(file) for file in files[:1]],
        cluster=[str(CLUSTER_FILES / file) for file in ("ciliumnodes.json", "ciliumendpoints.json")],
        links=[str(CAPTURES / f"{name}.links.json")],
        routes=[str(path)],
    )
    found = {item["id"] for item in report["findings"] if item["id"].startswith("forwarding.")}
    expected = {"forwarding.misrouted", "forwarding.no-answer"} if name == "native-misroute" else set()
    if report["forwarding"]["dropped"]:
        expected.add("forwarding.dropped")
    assert found == expected
