"""Flows as Hubble prints them.

The lines are those that `hubble observe` prints, taken from terminals: the founding case's, and the flows in
Cilium's own guides. Fields, their types and numbers are those of Cilium's api/v1/flow/flow.proto, as its README
documents them (https://docs.cilium.io/en/stable/_api/v1/flow/README/), in protobuf's JSON
(https://protobuf.dev/programming-guides/json/).
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from vxtool.report import FLOW_RENDERERS, Target

EMPTY: dict[str, Any] = {
    "address": None, "port": None, "pod": None, "namespace": None, "node": None, "service": None, "backend_of": [],
    "identity": None, "identity_name": None, "labels": [],
}  # fmt: skip

CURL = EMPTY | {
    "address": "172.20.0.107", "pod": "curl-pod", "namespace": "default", "identity": 36705,
    "identity_name": "curl-pod", "labels": ["k8s:app=curl", "k8s:io.kubernetes.pod.namespace=default"],
}  # fmt: skip
WEB = EMPTY | {
    "address": "172.20.2.4", "pod": "webpod-697b545f57-8tcp6", "namespace": "default", "identity": 17701,
    "identity_name": "webpod",
}  # fmt: skip
TUNNEL = {
    "protocol": "vxlan", "vni": 36705, "source": "192.168.10.100", "destination": "192.168.20.100",
    "source_node": "k8s-ctr", "destination_node": "k8s-w0", "port": 8472, "source_port": None,
}  # fmt: skip


def flow(**changes: Any) -> dict[str, Any]:
    """The founding case's SYN from curl-pod to webpod."""
    return {
        "verdict": "FORWARDED", "observation": "to-network", "outcomes": {"forwarded": 1}, "is_reply": False,
        "protocol": "tcp", "icmp_id": None, "icmp_echo": None, "icmp": None, "tcp_flags": ["SYN"],
        "source": CURL | {"port": 32788}, "destination": WEB | {"port": 80},
        "ingress": "eth1", "egress": "eth2", "interface": {"index": 4, "name": "eth2"}, "ethernet": None,
        "tunnel": TUNNEL,
        "record": None, "datagrams": 1, "inner_bytes": 60,
        "first_time": "2025-08-09T16:31:03.834000000Z", "last_time": "2025-08-09T16:31:03.834000000Z",
    } | changes  # fmt: skip


def rendered(format_: str, *flows: dict[str, Any], encoding: str = "utf-8", node: str | None = None) -> str:
    listed: Any = {"flows": list(flows), "node": node}
    return "".join(FLOW_RENDERERS[format_](listed, Target(encoding=encoding)))


def compact(**changes: Any) -> str:
    return rendered("compact", flow(**changes)).removesuffix("\n")


def message(**changes: Any) -> Any:
    return json.loads(rendered("jsonpb", flow(**changes)))


class TestCompact:
    def test_the_founding_cases_line(self) -> None:
        # founding-case/hubble-native.txt, its first line.
        assert compact() == (
            "Aug  9 16:31:03.834: default/curl-pod:32788 (ID:36705) -> "
            "default/webpod-697b545f57-8tcp6:80 (ID:17701) to-network FORWARDED (TCP Flags: SYN)"
        )

    def test_the_days_of_a_month_are_right_aligned_and_times_cut(self) -> None:
        # Go's time.StampMilli, "Jan _2 15:04:05.000".
        assert compact(first_time="2025-12-28T16:11:48.237999999Z").startswith("Dec 28 16:11:48.237: ")

    def test_an_answer_stands_on_the_right(self) -> None:
        # `default/curl-pod (ID:47080) <- default/netshoot-pod (ID:47080) to-endpoint FORWARDED (ICMPv4 EchoReply)`
        line = compact(source=WEB, destination=CURL, protocol="icmp", icmp_echo="reply", is_reply=True)
        assert line.endswith(
            " default/curl-pod (ID:36705) <- default/webpod-697b545f57-8tcp6 (ID:17701) "
            "to-network FORWARDED (ICMPv4 EchoReply)"
        )

    def test_where_it_is_not_known_which_answers(self) -> None:
        # `default/client (ID:33188) <> default/server-default (ID:61802) ... (ICMPv4 EchoRequest)`
        line = compact(source=CURL, destination=WEB, protocol="icmp", icmp_echo="request", is_reply=None)
        assert " default/curl-pod (ID:36705) <> default/webpod-697b545f57-8tcp6 (ID:17701) " in line

    @pytest.mark.parametrize(
        ("changes", "summary"),
        [
            ({"tcp_flags": ["SYN", "ACK"]}, "TCP Flags: SYN, ACK"),
            ({"tcp_flags": ["ACK", "PSH"]}, "TCP Flags: ACK, PSH"),
            ({"protocol": "udp"}, "UDP"),
            ({"protocol": "icmp", "icmp_echo": "request"}, "ICMPv4 EchoRequest"),
            ({"protocol": "icmpv6", "icmp_echo": "reply"}, "ICMPv6 EchoReply"),
        ],
    )
    def test_summaries(self, changes: dict[str, Any], summary: str) -> None:
        assert compact(**changes).endswith(f" to-network FORWARDED ({summary})")

    @pytest.mark.parametrize(
        ("protocol", "kind", "code", "summary"),
        [
            # As gopacket names types and codes (RFC 792, RFC 4443).
            ("icmp", 3, 4, "ICMPv4 DestinationUnreachable(FragmentationNeeded)"),
            ("icmp", 11, 0, "ICMPv4 TimeExceeded(TTLExceeded)"),
            ("icmp", 3, 99, "ICMPv4 DestinationUnreachable(Code: 99)"),
            ("icmp", 8, 1, "ICMPv4 EchoRequest(Code: 1)"),
            ("icmp", 77, 5, "ICMPv4 77(5)"),
            ("icmpv6", 2, 0, "ICMPv6 PacketTooBig"),
            ("icmpv6", 1, 4, "ICMPv6 DestinationUnreachable(PortUnreachable)"),
        ],
    )
    def test_a_packet_of_icmp(self, protocol: str, kind: int, code: int, summary: str) -> None:
        line = compact(protocol=protocol, icmp={"type": kind, "code": code})
        assert line.endswith(f" to-network FORWARDED ({summary})")

    @pytest.mark.parametrize(
        ("end", "text"),
        [
            # `192.168.49.3:41780 (remote-node)`, `10.0.1.254:4240 (health)`, `192.168.49.3 (host)`, `(world)`
            (EMPTY | {"address": "192.168.49.3", "port": 41780, "identity": 6}, "192.168.49.3:41780 (remote-node)"),
            (EMPTY | {"address": "10.0.1.254", "port": 4240, "identity": 4}, "10.0.1.254:4240 (health)"),
            (EMPTY | {"address": "192.168.49.3", "identity": 1}, "192.168.49.3 (host)"),
            (EMPTY | {"address": "172.217.168.46", "identity": 2}, "172.217.168.46 (world)"),
            # Number 0 is Cilium's IdentityUnknown.
            (EMPTY | {"address": "10.0.0.11", "port": 45040}, "10.0.0.11:45040 (unknown)"),
            # Well-known ones are no reserved ones to Hubble.
            (EMPTY | {"address": "10.0.0.2", "pod": "coredns-x", "identity": 104}, "coredns-x (ID:104)"),
            # Go's net.JoinHostPort, and no port where there is none.
            (EMPTY | {"address": "fd00::1", "port": 53}, "[fd00::1]:53 (unknown)"),
            (EMPTY | {"address": "fd00::1"}, "fd00::1 (unknown)"),
            (EMPTY | {"address": "10.0.0.2", "pod": "curl-pod", "port": 0, "identity": 300}, "curl-pod (ID:300)"),
            (EMPTY, "? (unknown)"),
        ],
    )
    def test_ends(self, end: dict[str, Any], text: str) -> None:
        assert compact(source=end).startswith(f"Aug  9 16:31:03.834: {text} -> ")

    def test_what_was_lost_here(self) -> None:
        line = compact(verdict="DROPPED", observation="from-network", egress=None)
        assert line.endswith(" from-network DROPPED (TCP Flags: SYN)")

    def test_names_cannot_play_tricks(self) -> None:
        line = rendered("compact", flow(source=CURL | {"pod": "a\x1b[2Jb\nc"}), encoding="ascii")
        assert line.count("\n") == 1
        assert "default/a\\x1b[2Jb\\x0ac (ID:36705)" in line


# What protobuf's JSON may hold for each message of flow.proto: fields and types. A reader refuses all others.
ENUMS = {
    "Verdict": {"FORWARDED", "DROPPED", "TRACED"},
    "FlowType": {"L3_L4"},
    "IPVersion": {"IPv4", "IPv6"},
    "TraceObservationPoint": {"TO_HOST", "FROM_NETWORK", "TO_NETWORK", "TO_ENDPOINT"},
    "TrafficDirection": {"INGRESS", "EGRESS"},
    "Protocol": {"VXLAN", "GENEVE"},
}
MESSAGES: dict[str, dict[str, str]] = {
    "GetFlowsResponse": {"flow": "Flow", "node_name": "string", "time": "Timestamp"},
    "Flow": {
        "time": "Timestamp", "verdict": "Verdict", "IP": "IP", "l4": "Layer4", "source": "Endpoint",
        "destination": "Endpoint", "Type": "FlowType", "event_type": "CiliumEventType",
        "trace_observation_point": "TraceObservationPoint", "is_reply": "BoolValue",
        "interface": "NetworkInterface", "tunnel": "Tunnel", "Summary": "string",
        "ethernet": "Ethernet", "node_name": "string", "traffic_direction": "TrafficDirection",
    },
    "Ethernet": {"source": "string", "destination": "string"},
    "IP": {"source": "string", "destination": "string", "ipVersion": "IPVersion"},
    "Layer4": {"TCP": "TCP", "UDP": "UDP", "ICMPv4": "ICMP", "ICMPv6": "ICMP", "SCTP": "UDP"},
    "TCP": {"source_port": "uint32", "destination_port": "uint32", "flags": "TCPFlags"},
    "UDP": {"source_port": "uint32", "destination_port": "uint32"},
    "ICMP": {"type": "uint32", "code": "uint32"},
    "TCPFlags": dict.fromkeys(("FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR", "NS"), "bool"),
    "Endpoint": {
        "ID": "uint32", "identity": "uint32", "namespace": "string", "labels": "strings", "pod_name": "string",
    },
    "CiliumEventType": {"type": "int32", "sub_type": "int32"},
    "NetworkInterface": {"index": "uint32", "name": "string"},
    "Tunnel": {"protocol": "Protocol", "IP": "IP", "l4": "Layer4", "vni": "uint32"},
}  # fmt: skip


def check(value: Any, kind: str, where: str = "") -> None:
    """That a value is one of this type in protobuf's JSON, with no field that a reader would not know."""
    if kind in MESSAGES:
        assert isinstance(value, dict), where
        assert {*value} <= {*MESSAGES[kind]}, where
        for field, item in value.items():
            check(item, MESSAGES[kind][field], f"{where}.{field}")
    elif kind in ENUMS:
        assert value in ENUMS[kind], where
    elif kind == "Timestamp":
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.(\d{3}|\d{6}|\d{9}))?Z", value), where
    elif kind in ("uint32", "int32"):
        # Numbers of 32 bits are numbers in JSON, those of 64 bits would be strings; 0 is left out.
        assert type(value) is int, where
        assert 0 < value < 1 << 32, where
    elif kind == "BoolValue":
        assert type(value) is bool, where
    elif kind == "bool":
        assert value is True, where
    elif kind == "strings":
        assert value, where
        assert all(isinstance(item, str) and item for item in value), where
    else:
        assert isinstance(value, str), where
        assert value, where


class TestJson:
    def test_a_flow_in_all_its_fields(self) -> None:
        assert message() == {
            "flow": {
                "time": "2025-08-09T16:31:03.834Z",
                "verdict": "FORWARDED",
                "IP": {"source": "172.20.0.107", "destination": "172.20.2.4", "ipVersion": "IPv4"},
                "l4": {"TCP": {"source_port": 32788, "destination_port": 80, "flags": {"SYN": True}}},
                "source": {
                    "identity": 36705,
                    "namespace": "default",
                    "labels": ["k8s:app=curl", "k8s:io.kubernetes.pod.namespace=default"],
                    "pod_name": "curl-pod",
                },
                "destination": {"identity": 17701, "namespace": "default", "pod_name": "webpod-697b545f57-8tcp6"},
                "Type": "L3_L4",
                # pkg/monitor/api: MessageTypeTrace is 4, TraceToNetwork 11.
                "event_type": {"type": 4, "sub_type": 11},
                "traffic_direction": "EGRESS",
                "trace_observation_point": "TO_NETWORK",
                "is_reply": False,
                "interface": {"index": 4, "name": "eth2"},
                "tunnel": {
                    "protocol": "VXLAN",
                    "IP": {"source": "192.168.10.100", "destination": "192.168.20.100", "ipVersion": "IPv4"},
                    "l4": {"UDP": {"destination_port": 8472}},
                    "vni": 36705,
                },
                "Summary": "TCP Flags: SYN",
            },
            "time": "2025-08-09T16:31:03.834Z",
        }

    def test_what_was_lost_here_is_no_drop_of_ciliums(self) -> None:
        found = message(verdict="DROPPED", observation="from-network")["flow"]
        assert found["verdict"] == "DROPPED"
        assert found["event_type"] == {"type": 4, "sub_type": 10}  # TraceFromNetwork
        assert found["trace_observation_point"] == "FROM_NETWORK"
        assert "drop_reason" not in found
        assert "drop_reason_desc" not in found

    def test_what_went_to_a_pod_of_this_node(self) -> None:
        found = message(observation="to-endpoint")["flow"]
        assert found["event_type"] == {"type": 4}  # TraceToLxc is 0, protobuf's default
        assert found["trace_observation_point"] == "TO_ENDPOINT"
        assert " to-endpoint FORWARDED " in compact(observation="to-endpoint")

    @pytest.mark.parametrize(
        ("observation", "is_reply", "direction"),
        [
            # As threefour's decodeTrafficDirection: a source behind the interface asks outwards, and an answer
            # belongs to a connection of the other direction.
            ("to-network", False, "EGRESS"),
            ("to-network", True, "INGRESS"),
            ("to-endpoint", False, "INGRESS"),
            ("to-endpoint", True, "EGRESS"),
            ("from-network", False, "INGRESS"),
            ("from-network", True, "EGRESS"),
            ("to-host", False, "INGRESS"),
            ("to-network", None, None),
            ("from-network", None, None),
        ],
    )
    def test_the_direction_is_that_of_the_connection(
        self, observation: str, is_reply: bool | None, direction: str | None
    ) -> None:
        found = message(observation=observation, is_reply=is_reply)["flow"]
        assert found.get("traffic_direction") == direction

    def test_without_a_direction_of_the_packet_there_is_none_of_the_connection(self) -> None:
        changes = {"verdict": "TRACED", "observation": "from-network", "egress": None}
        assert message(**changes)["flow"]["traffic_direction"] == "INGRESS"
        assert "traffic_direction" not in message(**changes, ingress=None)["flow"]

    def test_the_node_that_captured_is_named_twice(self) -> None:
        found = json.loads(rendered("jsonpb", flow(), node="k8s-ctr"))
        assert (found["node_name"], found["flow"]["node_name"]) == ("k8s-ctr", "k8s-ctr")
        check(found, "GetFlowsResponse")

    def test_macs_where_they_are_known(self) -> None:
        macs = {"source": "02:00:00:00:00:01", "destination": "02:00:00:00:00:02"}
        found = message(ethernet=macs, tunnel=None)
        assert found["flow"]["ethernet"] == macs
        check(found, "GetFlowsResponse")

    def test_what_was_for_this_machine_went_to_the_host(self) -> None:
        found = message(observation="to-host")["flow"]
        assert found["event_type"] == {"type": 4, "sub_type": 2}  # TraceToHost
        assert found["trace_observation_point"] == "TO_HOST"

    @pytest.mark.parametrize(
        ("protocol", "echo", "layer"),
        [
            # RFC 792, RFC 4443; type 0 is protobuf's default.
            ("icmp", "request", {"ICMPv4": {"type": 8}}),
            ("icmp", "reply", {"ICMPv4": {}}),
            ("icmpv6", "request", {"ICMPv6": {"type": 128}}),
            ("icmpv6", "reply", {"ICMPv6": {"type": 129}}),
            # Without a type it would be an echo reply's.
            ("icmp", None, None),
        ],
    )
    def test_icmp(self, protocol: str, echo: str | None, layer: Any) -> None:
        assert message(protocol=protocol, icmp_echo=echo, source=CURL, destination=WEB)["flow"].get("l4") == layer

    def test_a_packet_of_icmp_tells_type_and_code(self) -> None:
        found = message(protocol="icmp", tcp_flags=[], icmp={"type": 3, "code": 4})["flow"]
        assert found["l4"] == {"ICMPv4": {"type": 3, "code": 4}}

    def test_a_packet_tells_the_source_port_of_its_tunnel(self) -> None:
        found = message(tunnel=TUNNEL | {"source_port": 51213})["flow"]
        assert found["tunnel"]["l4"] == {"UDP": {"source_port": 51213, "destination_port": 8472}}

    def test_udp_has_ports_and_no_flags(self) -> None:
        found = message(protocol="udp", tcp_flags=[])["flow"]
        assert found["l4"] == {"UDP": {"source_port": 32788, "destination_port": 80}}

    def test_what_is_not_known_is_left_out(self) -> None:
        unknown = {"source": EMPTY, "destination": EMPTY, "is_reply": None, "interface": None, "tunnel": None}
        found = message(protocol="arp", tcp_flags=[], **unknown)["flow"]
        assert {"IP", "l4", "source", "destination", "is_reply", "interface", "tunnel"}.isdisjoint(found)
        assert (found["verdict"], found["Summary"]) == ("FORWARDED", "ARP")

    def test_a_service_is_named_at_its_end(self) -> None:
        """flow.proto: `Service source_service`, `Service destination_service`, each with name and namespace."""
        service = EMPTY | {"address": "10.96.17.34", "port": 80, "service": "default/webpod"}
        found = message(destination=service)["flow"]
        assert found["destination_service"] == {"name": "webpod", "namespace": "default"}
        assert "source_service" not in found
        assert "destination" not in found, "nothing is known of a pod"
        # Printer.Hostname: the pod, else the service, else the address.
        assert " -> default/webpod:80 (unknown) to-network " in compact(destination=service)

    def test_an_interface_without_a_name_and_geneve_over_ipv6(self) -> None:
        tunnel = TUNNEL | {"protocol": "geneve", "source": "fd00::1", "destination": "fd00::2", "port": None}
        found = message(interface={"index": 3, "name": None}, tunnel=tunnel)["flow"]
        assert found["interface"] == {"index": 3}
        assert found["tunnel"] == {
            "protocol": "GENEVE",
            "IP": {"source": "fd00::1", "destination": "fd00::2", "ipVersion": "IPv6"},
            "vni": 36705,
        }

    @pytest.mark.parametrize(
        ("time", "written"),
        [
            ("2025-08-09T16:31:03.000000000Z", "2025-08-09T16:31:03Z"),
            ("2025-08-09T16:31:03.834000000Z", "2025-08-09T16:31:03.834Z"),
            ("2025-08-09T16:31:03.834100000Z", "2025-08-09T16:31:03.834100Z"),
            ("2025-08-09T16:31:03.834100002Z", "2025-08-09T16:31:03.834100002Z"),
        ],
    )
    def test_times_have_as_many_digits_as_protobuf_gives_them(self, time: str, written: str) -> None:
        found = message(first_time=time)
        assert (found["time"], found["flow"]["time"]) == (written, written)

    def test_an_object_is_a_line_of_ascii(self) -> None:
        text = rendered("jsonpb", flow(source=CURL | {"pod": "a\nb\x1b\u202e"}), flow())
        assert text.isascii()
        assert "\x1b" not in text
        assert [json.loads(line)["flow"]["Type"] for line in text.splitlines()] == ["L3_L4", "L3_L4"]

    @pytest.mark.parametrize(
        "changes",
        [
            {},
            {"verdict": "DROPPED", "observation": "from-network"},
            {"verdict": "TRACED", "is_reply": None, "source": EMPTY, "interface": None},
            {"protocol": "icmp", "icmp_echo": "reply", "tcp_flags": []},
        ],
    )
    def test_a_reader_of_protobuf_takes_it(self, changes: dict[str, Any]) -> None:
        check(message(**changes), "GetFlowsResponse")
