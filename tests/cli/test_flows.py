"""`vxtool flows`: options in, flows out in four formats; on the founding case and on every sample capture."""

from __future__ import annotations

import json
import re
import sys
import types
from pathlib import Path
from typing import Any

import pytest
from captures.samples import Sample, samples
from conftest import CAPTURES, CLUSTER_FILES
from report.test_hubble import check

from vxtool.analysis.model import Folded
from vxtool.cli import run

VXLAN = str(CAPTURES / "vxlan.pcap")
LINKS = ["--links", str(CAPTURES / "vxlan.links.json")]
# As pasted from a terminal: kubectl names no namespace where it lists one only.
ENDPOINTS = ["--cluster", str(CLUSTER_FILES / "ciliumendpoints.txt")]
PODS = """\
NAME                      READY   STATUS    RESTARTS   AGE   IP             NODE      NOMINATED NODE   READINESS GATES
curl-pod                  1/1     Running   0          21m   172.20.0.107   k8s-ctr   <none>           <none>
webpod-697b545f57-7q4gk   1/1     Running   0          21m   172.20.1.25    k8s-w1    <none>           <none>
webpod-697b545f57-8tcp6   1/1     Running   0          21m   172.20.2.4     k8s-w0    <none>           <none>
webpod-697b545f57-f9zp6   1/1     Running   0          21m   172.20.0.37    k8s-ctr   <none>           <none>
"""  # noqa: E501


@pytest.fixture
def pods(tmp_path: Path) -> list[str]:
    path = tmp_path / "pods.txt"
    path.write_text(PODS)
    return ["--cluster", str(path)]


def out(arguments: list[str], capfd: pytest.CaptureFixture[str], code: int = 0) -> str:
    assert run(["flows", *arguments]) == code
    printed = capfd.readouterr()
    assert code or printed.err == ""
    return printed.out


class TestFoundingCase:
    def test_as_hubble_prints_it(self, pods: list[str], capfd: pytest.CaptureFixture[str], engine: str) -> None:
        arguments = [VXLAN, *ENDPOINTS, *pods, *LINKS, "--namespace", "default", "--format", "compact"]
        # The times are those of the capture, whose first record is 17:27:50.282388 UTC.
        assert out(arguments, capfd) == (
            "Aug  9 17:27:50.282: default/curl-pod (ID:36705) -> default/webpod-697b545f57-8tcp6 (ID:17701) "
            "to-network FORWARDED (ICMPv4 EchoRequest)\n"
            "Aug  9 17:27:50.282: default/curl-pod (ID:36705) <- default/webpod-697b545f57-8tcp6 (ID:17701) "
            "to-network FORWARDED (ICMPv4 EchoReply)\n"
        )

    def test_a_list_without_namespaces_is_taken_to_be_of_the_default_one(
        self, pods: list[str], capfd: pytest.CaptureFixture[str]
    ) -> None:
        """`kubectl get` lists the namespace of the current context: `default`, where nobody set one."""
        text = out([VXLAN, *ENDPOINTS, *pods, "--format", "compact"], capfd)
        assert ": default/curl-pod (ID:36705) -> default/webpod-697b545f57-8tcp6 (ID:17701) " in text
        text = out([VXLAN, *ENDPOINTS, *pods, "--format", "compact", "--namespace", "shop"], capfd)
        assert ": shop/curl-pod (ID:36705) -> shop/webpod-697b545f57-8tcp6 (ID:17701) " in text

    def test_a_backend_is_told_by_its_service_where_no_list_names_the_pod(
        self, pods: list[str], capfd: pytest.CaptureFixture[str], tmp_path: Path
    ) -> None:
        """As `kubectl get services,endpoints` prints them."""
        table = tmp_path / "services.txt"
        table.write_text(
            "NAME     TYPE        CLUSTER-IP    EXTERNAL-IP   PORT(S)   AGE\n"
            "webpod   ClusterIP   10.96.17.34   <none>        80/TCP    11m\n\n"
            "NAME     ENDPOINTS                        AGE\n"
            "webpod   172.20.1.25:80,172.20.2.4:80     11m\n"
        )
        text = out([VXLAN, "--cluster", str(table)], capfd)
        assert "172.20.0.107 (ID:36705) → 172.20.2.4 (ID:17701, backend of default/webpod)\n" in text
        text = out([VXLAN, "--cluster", str(table), *ENDPOINTS, *pods], capfd)
        assert "backend of" not in text

    def test_as_json_for_hubble(self, pods: list[str], capfd: pytest.CaptureFixture[str], engine: str) -> None:
        arguments = [VXLAN, *ENDPOINTS, *pods, *LINKS, "--namespace", "default", "--format", "jsonpb"]
        request, reply = map(json.loads, out(arguments, capfd).splitlines())
        assert request["time"] == "2025-08-09T17:27:50.282388Z"
        assert request["flow"]["l4"] == {"ICMPv4": {"type": 8}}
        assert request["flow"]["interface"] == {"index": 4, "name": "eth2"}
        assert request["flow"]["tunnel"]["vni"] == 36705
        assert reply["flow"]["tunnel"]["vni"] == 17701
        assert (request["flow"]["is_reply"], reply["flow"]["is_reply"]) == (False, True)

    def test_the_json_tells_the_direction_and_the_one_source_port(
        self, pods: list[str], capfd: pytest.CaptureFixture[str], engine: str
    ) -> None:
        request, reply = map(json.loads, out([VXLAN, *ENDPOINTS, *pods, "--format", "jsonpb"], capfd).splitlines())
        # tshark -r vxlan.pcap -Y 'frame.number==1 || frame.number==3' -T fields -e udp.srcport
        assert request["flow"]["tunnel"]["l4"] == {"UDP": {"source_port": 51213, "destination_port": 8472}}
        assert reply["flow"]["tunnel"]["l4"] == {"UDP": {"source_port": 52674, "destination_port": 8472}}
        # Both are of one connection, which leaves here towards the pod that was asked.
        assert (request["flow"]["traffic_direction"], reply["flow"]["traffic_direction"]) == ("EGRESS", "INGRESS")
        # A router is no node, and the MACs are those of the outer frame.
        assert {"node_name", "ethernet"}.isdisjoint(request["flow"])
        assert "node_name" not in request

    def test_as_a_table(self, pods: list[str], capfd: pytest.CaptureFixture[str]) -> None:
        text = out([VXLAN, *ENDPOINTS, *pods, *LINKS, "--namespace", "default"], capfd)
        assert "default/curl-pod (ID:36705) → default/webpod-697b545f57-8tcp6 (ID:17701)\n" in text
        assert "icmp   1 datagram   84 B   eth1 → eth2   FORWARDED\n" in text

    def test_the_identities_of_the_report_have_names_kinds_and_pods(
        self, pods: list[str], capfd: pytest.CaptureFixture[str]
    ) -> None:
        assert run(["analyze", VXLAN, *ENDPOINTS, *pods, "--namespace", "default"]) == 0
        assert (
            "Identities\n"
            "  17701  webpod (cluster-local)     default   1 datagram   84 B   172.20.2.4\n"
            "     pod default/webpod-697b545f57-8tcp6\n"
            "  36705  curl-pod (cluster-local)   default   1 datagram   84 B   172.20.0.107\n"
            "     pod default/curl-pod\n"
        ) in capfd.readouterr().out

    def test_native_routing(self, capfd: pytest.CaptureFixture[str]) -> None:
        path = str(CAPTURES / "native-misroute.pcap")
        text = out([path, "--cluster", str(CLUSTER_FILES / "ciliumendpoints.json"), "--format", "compact"], capfd)
        lines = [line.partition(": ")[2] for line in text.splitlines()]
        assert lines == [
            "default/curl-pod (ID:36705) -> default/webpod-697b545f57-8tcp6 (ID:17701) "
            "to-network FORWARDED (ICMPv4 EchoRequest)",
            "default/curl-pod:42864 (ID:36705) -> default/webpod-697b545f57-8tcp6:80 (ID:17701) "
            "to-network FORWARDED (TCP Flags: SYN)",
        ]


END = r"\S+ \((?:ID:\d+|[a-z-]+)\)"
COMPACT = re.compile(
    rf"[A-Z][a-z]{{2}} [ 123]\d \d\d:\d\d:\d\d\.\d{{3}}: {END} (?:->|<-|<>) {END} "
    r"(?:to-network|from-network|to-host|to-endpoint) (?:FORWARDED|DROPPED|TRACED) \([^)]+\)"
)


@pytest.mark.parametrize("one", samples(), ids=lambda one: one.name)
class TestSamples:
    def arguments(self, one: Sample, *more: str) -> list[str]:
        files = [argument for path in one.cluster for argument in ("--cluster", path)]
        return [*one.paths, *files, "--links", one.links[0], *more]

    def test_hubbles_json_is_what_its_reader_takes(
        self, one: Sample, capfd: pytest.CaptureFixture[str], engine: str
    ) -> None:
        lines = out(self.arguments(one, "--format", "jsonpb"), capfd).splitlines()
        messages = [json.loads(line) for line in lines]
        assert messages
        for message in messages:
            check(message, "GetFlowsResponse")
        # Without zeros at the end of its fraction, a time is no text to be sorted.
        times = [(text[:19], text[20:-1].ljust(9, "0")) for text in (message["time"] for message in messages)]
        assert times == sorted(times)

    def test_each_line_is_one_of_hubbles(self, one: Sample, capfd: pytest.CaptureFixture[str]) -> None:
        for line in out(self.arguments(one, "--format", "compact"), capfd).splitlines():
            assert COMPACT.fullmatch(line), line

    def test_the_table_fits_and_the_json_says_the_same(
        self, one: Sample, capfd: pytest.CaptureFixture[str]
    ) -> None:
        text = out(self.arguments(one, "--top", "1000"), capfd)
        assert max(map(len, text.splitlines())) <= 80
        found = json.loads(out(self.arguments(one, "--format", "json"), capfd))
        for verdict in ("FORWARDED", "DROPPED", "TRACED"):
            assert text.count(verdict) == sum(flow["verdict"] == verdict for flow in found["flows"])


@pytest.mark.parametrize("one", samples(), ids=lambda one: one.name)
def test_the_list_follows_the_schema_and_both_engines_agree(one: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    import jsonschema
    from conftest import require_native

    import vxtool
    from vxtool.analysis import model

    schema = json.loads((Path(model.__file__).parents[1] / "report" / "schema.json").read_text("utf-8"))
    require_native()
    lists = []
    for name in ("pure", "native"):
        monkeypatch.setenv("VXTOOL_ENGINE", name)
        lists.append(vxtool.flows(one.paths, cluster=one.cluster, links=one.links))
    pure, native = lists
    jsonschema.validate(pure, {"$schema": schema["$schema"], "$defs": schema["$defs"], "$ref": "#/$defs/FlowList"})
    assert pure["flows"] == native["flows"]


class TestOptions:
    @pytest.fixture
    def asked(self, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
        """How the API was called; it finds nothing."""
        calls: list[Any] = []
        module = types.ModuleType("vxtool.api")

        def flows(paths: list[str], **options: Any) -> Any:
            options.pop("progress")
            options.pop("control")
            calls.append((paths, options))
            item = {"path": "a.pcap", "error": None, "truncated": False, "records": 1}
            return {"flows": [], "flows_shown": 0, "flows_matching": 0, "flows_total": 5, "scope": "tunnel",
                    "folded": dict.fromkeys(Folded.__annotations__, 0),
                    "inputs": [item]}  # fmt: skip

        module.flows = flows  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "vxtool.api", module)
        return calls

    def test_the_defaults(self, asked: list[Any], capfd: pytest.CaptureFixture[str]) -> None:
        assert out(["a.pcap"], capfd) == "None of 5 tunnel flows matches.\n"
        assert asked == [
            (
                ["a.pcap"],
                {
                    "cluster": [],
                    "links": [],
                    "routes": [],
                    "interfaces": {},
                    "namespace": None,
                    "cluster_id_bits": 8,
                    "sort": "bytes",
                    "top": 20,
                    "pods": (),
                    "in_namespaces": (),
                    "identities": (),
                    "addresses": (),
                    "on_ports": (),
                    "protocols": (),
                    "verdicts": (),
                    "packets": False,
                    "scope": "auto",
                    "overlay": "auto",
                    "ports": None,
                    "window_ns": 1_000_000_000,
                    "settle_ns": 10_000_000,
                    "jobs": None,
                    "memory_bytes": 1 << 30,
                },
            )
        ]

    @pytest.mark.parametrize(
        ("format_", "sort", "top"),
        [("compact", "start", None), ("jsonpb", "start", None), ("json", "bytes", None), ("text", "bytes", 20)],
    )
    def test_what_goes_to_other_programs_is_whole_and_as_hubble_orders_it(
        self, format_: str, sort: str, top: int | None, asked: list[Any]
    ) -> None:
        assert run(["flows", "a.pcap", "--format", format_]) == 0
        ((_, options),) = asked
        assert (options["sort"], options["top"]) == (sort, top)

    def test_every_option_reaches_the_analysis(self, asked: list[Any]) -> None:
        arguments = "flows a.pcap b.pcap --cluster c1 --links l1 --routes r1 --interface 3=eth1 --namespace shop"
        arguments += " --packets --top 7 --pod shop/web --pod curl --in-namespace shop --identity 36705"
        arguments += " --address 172.20.0.0/16 --on-port 80 --protocol tcp --verdict dropped --verdict TRACED"
        arguments += " --scope ip --overlay cilium --port 6081=geneve --window 2s --settle 1ms --jobs 2 --memory 2g"
        arguments += " --cluster-id-bits 9"
        assert run(arguments.split()) == 0
        assert asked == [
            (
                ["a.pcap", "b.pcap"],
                {
                    "cluster": ["c1"],
                    "links": ["l1"],
                    "routes": ["r1"],
                    "interfaces": {3: "eth1"},
                    "namespace": "shop",
                    "cluster_id_bits": 9,
                    "sort": "bytes",
                    "top": 7,
                    "pods": ("shop/web", "curl"),
                    "in_namespaces": ("shop",),
                    "identities": ("36705",),
                    "addresses": ("172.20.0.0/16",),
                    "on_ports": (80,),
                    "protocols": ("tcp",),
                    "verdicts": ("DROPPED", "TRACED"),
                    "packets": True,
                    "scope": "ip",
                    "overlay": "cilium",
                    "ports": {6081: "geneve"},
                    "window_ns": 2_000_000_000,
                    "settle_ns": 1_000_000,
                    "jobs": 2,
                    "memory_bytes": 2 << 30,
                },
            )
        ]

    def test_flows_can_be_sorted_by_drops(self, asked: list[Any]) -> None:
        assert run(["flows", "a.pcap", "--sort", "drops"]) == 0
        assert asked[0][1]["sort"] == "drops"

    def test_packets_come_in_order_of_time_alone(
        self, asked: list[Any], capfd: pytest.CaptureFixture[str]
    ) -> None:
        assert run(["flows", "a.pcap", "--packets", "--sort", "bytes"]) == 2
        assert "--sort does not go with --packets" in capfd.readouterr().err
        assert asked == []

    @pytest.mark.parametrize(
        "arguments",
        [["--sort", "age"], ["--top", "0"], ["--on-port", "http"], ["--verdict", "LOST"], ["--format", "xml"]],
    )
    def test_a_wrong_value_is_refused_before_any_work(
        self, arguments: list[str], asked: list[Any], capfd: pytest.CaptureFixture[str]
    ) -> None:
        assert run(["flows", "a.pcap", *arguments]) == 2
        assert not asked
        assert capfd.readouterr().err.count("\n") == 1


class TestInputs:
    @pytest.mark.parametrize("arguments", [["--address", "300.1.1.1"], ["--protocol", "tpc"]])
    def test_what_no_flow_can_have_is_one_line(
        self, arguments: list[str], capfd: pytest.CaptureFixture[str]
    ) -> None:
        assert run(["flows", VXLAN, *arguments]) == 2
        printed = capfd.readouterr()
        assert (printed.out, printed.err.count("\n")) == ("", 1)

    def test_an_input_that_cannot_be_read(self, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        missing = str(tmp_path / "no.pcap")
        assert run(["flows", missing]) == 3
        assert capfd.readouterr().out == ""
        assert run(["flows", missing, VXLAN]) == 3
        printed = capfd.readouterr()
        assert "172.20.0.107 (ID:36705) → 172.20.2.4 (ID:17701)" in printed.out
        assert printed.err.startswith(f"vxtool: {missing}: ")

    @pytest.mark.parametrize("format_", ["text", "compact", "jsonpb"])
    def test_a_capture_that_is_cut_short_is_said_to_be(
        self, format_: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        cut = tmp_path / "cut.pcap"
        cut.write_bytes(Path(VXLAN).read_bytes()[:-10])
        assert run(["flows", str(cut), "--format", format_]) == 0
        printed = capfd.readouterr()
        assert "172.20.0.107" in printed.out
        assert str(cut) in printed.err
        assert printed.err.count("\n") == 1

    def test_no_flow_at_all(self, capfd: pytest.CaptureFixture[str]) -> None:
        path = str(CAPTURES / "native-misroute.pcap")
        assert out([path, "--scope", "tunnel"], capfd) == "There is no tunnel flow.\n"
        assert out([path, "--scope", "tunnel", "--format", "jsonpb"], capfd) == ""

    def test_it_can_be_written_to_a_file(self, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        written = tmp_path / "flows.json"
        assert out([VXLAN, "--format", "jsonpb", "-o", str(written)], capfd) == ""
        assert written.read_text().count("\n") == 2
