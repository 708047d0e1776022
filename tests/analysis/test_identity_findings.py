"""Findings on identities: the VNI of a packet beside what the cluster says of its source."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from analysis.scenes import (
    MS,
    NODE_A,
    NODE_B,
    POD_A,
    POD_B,
    VNI_A,
    VNI_B,
    S,
    Seen,
    back,
    endpoints_file,
    exchange,
    finding,
    passed,
    pcap,
    ping,
    records_of,
    tunnel,
)

from vxtool import analyze
from vxtool.analysis.findings.identity import EXPLANATIONS
from vxtool.analysis.model import Report

WORLD = "203.0.113.9"


def run(tmp_path: Path, records: list[Seen], **options: object) -> Report:
    return analyze([pcap(tmp_path / "capture.pcap", records)], **options)  # type: ignore[arg-type]


def endpoints(tmp_path: Path, *rows: tuple[str, int, str, str]) -> list[str]:
    pods = rows or (("curl-pod", VNI_A, POD_A, NODE_A), ("webpod", VNI_B, POD_B, NODE_B))
    return [endpoints_file(tmp_path / "endpoints.json", list(pods))]


def identities(tmp_path: Path, *numbers: int) -> list[str]:
    """What `kubectl get ciliumidentities -o json` prints."""
    items = [
        {
            "apiVersion": "cilium.io/v2",
            "kind": "CiliumIdentity",
            "metadata": {"name": str(number)},
            "security-labels": {"k8s:app": f"app-{number}", "k8s:io.kubernetes.pod.namespace": "default"},
        }
        for number in numbers
    ]
    path = tmp_path / "identities.json"
    path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    return [str(path)]


def ipcache(tmp_path: Path, rows: dict[str, int]) -> list[str]:
    """What `cilium-dbg bpf ipcache list -o json` prints."""
    path = tmp_path / "ipcache.json"
    entry = "identity={} encryptkey=0 tunnelendpoint=0.0.0.0 flags=<none>"
    path.write_text(json.dumps({prefix: [entry.format(number)] for prefix, number in rows.items()}))
    return [str(path)]


def ids(report: Report) -> set[str]:
    return {item["id"] for item in report["findings"] if item["id"].startswith("identity.")}


def pings(vni: int, *times: int, source: str = POD_A) -> list[Seen]:
    return [row for time in times for row in passed(time * MS, tunnel(ping(time + 1, source), vni))]


@pytest.mark.parametrize("name", ["mismatch", "changed", "truncated", "unknown"])
def test_each_is_explained(name: str) -> None:
    assert all(EXPLANATIONS[f"identity.{name}"])


class TestMismatch:
    def test_another_vni_than_the_pods_identity(self, tmp_path: Path) -> None:
        report = run(tmp_path, [*pings(4711, 0, 1), *exchange(9 * MS, 90)[2:]], cluster=endpoints(tmp_path))
        found = finding(report, "identity.mismatch")
        assert found is not None
        assert (found["severity"], found["count"], records_of(found)) == ("warning", 2, [1])
        assert found["title"] == f"default/curl-pod {POD_A} sends under VNI 4711, and its identity is {VNI_A}"
        assert f"`cilium-dbg endpoint list` on the node {NODE_A}" in found["remedy"]
        assert "endpoints.json" in (found["unknown"] or "")
        assert ids(report) == {"identity.mismatch"}  # and not unknown too

    def test_the_right_one_is_none(self, tmp_path: Path) -> None:
        assert not ids(run(tmp_path, exchange(), cluster=endpoints(tmp_path)))

    @pytest.mark.parametrize("vni", [0, 5, 8, 11])
    def test_nor_are_reserved_ones_that_may_stand_for_a_pod(self, tmp_path: Path, vni: int) -> None:
        """Unknown, a pod that starts, Envoy, and a node's mark before encryption."""
        assert not ids(run(tmp_path, pings(vni, 0, 1), cluster=endpoints(tmp_path)))

    @pytest.mark.parametrize(
        ("vni", "name", "severity"),
        [
            (1, "host", "warning"),
            (2, "world", "warning"),
            (3, "unmanaged", "warning"),
            (4, "health", "warning"),
            (6, "remote-node", "info"),
            (7, "kube-apiserver", "info"),
        ],
    )
    def test_a_pod_under_another_reserved_one_is(self, tmp_path: Path, vni: int, name: str, severity: str) -> None:
        report = run(tmp_path, pings(vni, 0, 1), cluster=endpoints(tmp_path))
        found = finding(report, "identity.mismatch")
        assert found is not None
        assert (found["severity"], found["count"]) == (severity, 2)
        assert found["title"] == (
            f"default/curl-pod {POD_A} sends under VNI {vni} ({name}), and its identity is {VNI_A}"
        )
        assert "without the mark of its identity" in found["remedy"]
        assert ("16777217 or 33554433" in (found["unknown"] or "")) == (vni == 1)
        assert ids(report) == {"identity.mismatch"}

    def test_a_reserved_one_is_although_the_right_one_comes_before_or_after(self, tmp_path: Path) -> None:
        """identity.changed tells of pods alone; but unmanaged is a pod until it has an identity of its own."""
        for vni, first in ((1, True), (1, False), (3, False)):
            records = [*pings(vni, 0 if first else 5), *pings(VNI_A, 3)]
            assert ids(run(tmp_path, records, cluster=endpoints(tmp_path))) == {"identity.mismatch"}
        assert not ids(run(tmp_path, [*pings(3, 0), *pings(VNI_A, 3)], cluster=endpoints(tmp_path)))

    def test_the_gravest_is_named_first(self, tmp_path: Path) -> None:
        records = [*pings(6, 0, 1, 2), *pings(1, 5)]
        found = finding(run(tmp_path, records, cluster=endpoints(tmp_path)), "identity.mismatch")
        assert found is not None
        assert (found["severity"], found["count"]) == ("warning", 4)
        assert "under VNI 1 (host)" in found["title"]

    def test_a_cidr_that_an_ipcache_knows_goes_as_world(self, tmp_path: Path) -> None:
        """Its identity means something on one node alone."""
        files = [*endpoints(tmp_path), *ipcache(tmp_path, {f"{WORLD}/32": 1 << 24, f"{POD_A}/32": VNI_A})]
        assert not ids(run(tmp_path, pings(2, 0, source=WORLD), cluster=files))

    def test_nodes_may_send_under_any(self, tmp_path: Path) -> None:
        """An endpoint that stands under a node's own address, as that of a pod in the host's network."""
        pods = endpoints(tmp_path, ("host-pod", VNI_A, NODE_A, NODE_A), ("webpod", VNI_B, POD_B, NODE_B))
        assert not ids(run(tmp_path, pings(VNI_B, 0, 1, source=NODE_A), cluster=pods))

    def test_a_plain_network_has_none(self, tmp_path: Path) -> None:
        assert not ids(run(tmp_path, pings(4711, 0), cluster=endpoints(tmp_path), overlay="vxlan"))

    def test_both_at_once_is_one_although_one_is_right(self, tmp_path: Path) -> None:
        report = run(tmp_path, [*pings(VNI_A, 0, 4), *pings(VNI_B, 2, 6)], cluster=endpoints(tmp_path))
        found = finding(report, "identity.mismatch")
        assert found is not None
        assert (found["count"], records_of(found)) == (2, [3])
        assert ids(report) == {"identity.mismatch"}

    def test_an_ipcache_tells_too(self, tmp_path: Path) -> None:
        files = identities(tmp_path, VNI_A, 4711)
        assert not ids(run(tmp_path, pings(4711, 0), cluster=files))
        files += ipcache(tmp_path, {f"{POD_A}/32": VNI_A})
        assert ids(run(tmp_path, pings(4711, 0), cluster=files)) == {"identity.mismatch"}
        assert not ids(run(tmp_path, pings(VNI_A, 0), cluster=files))

    def test_a_node_that_only_an_ipcache_knows_is_none(self, tmp_path: Path) -> None:
        """An agent's own address (cilium_host) is in no list of endpoints: 1 and 6 are identities of nodes."""
        files = [*endpoints(tmp_path), *ipcache(tmp_path, {"172.20.0.1/32": 6})]
        assert not ids(run(tmp_path, pings(4711, 0, source="172.20.0.1"), cluster=files))

    def test_names_may_hold_braces(self, tmp_path: Path) -> None:
        files = endpoints(tmp_path, ("{flow}", VNI_A, POD_A, NODE_A))
        found = finding(run(tmp_path, pings(4711, 0), cluster=files), "identity.mismatch")
        assert found is not None
        assert found["evidence"][0]["text"].startswith(f"default/{{flow}} {POD_A} under VNI 4711, not {VNI_A}: def")


class TestChanged:
    def test_one_after_the_other(self, tmp_path: Path) -> None:
        """Not unknown either: both are in the list."""
        files = [*endpoints(tmp_path), *identities(tmp_path, VNI_A, VNI_B, 4711)]
        report = run(tmp_path, [*pings(4711, 0, 1), *pings(VNI_A, 5, 6)], cluster=files)
        found = finding(report, "identity.changed")
        assert found is not None
        assert (found["severity"], found["count"], records_of(found)) == ("info", 1, [5])
        assert found["title"] == f"{POD_A} sent under identity 4711, then {VNI_A}"
        # the second ping of 4711 came in at 1 ms
        assert "under 4711 until 17:27:50.001000: " in found["evidence"][0]["text"]
        assert found["evidence"][0]["time"] == "2025-08-09T17:27:50.005000000Z"
        assert ids(report) == {"identity.changed"}

    def test_the_day_is_told_where_it_is_another(self, tmp_path: Path) -> None:
        """The captures begin at 17:27:50 UTC; eight hours later it is 01:27:50."""
        records = [*pings(4711, 0), *passed(8 * 3600 * S, tunnel(ping(2)))]
        found = finding(run(tmp_path, records, overlay="cilium"), "identity.changed")
        assert found is not None
        assert "under 4711 until 2025-08-09 17:27:50.000000: " in found["evidence"][0]["text"]

    def test_without_files_too_where_the_overlay_is_ciliums(self, tmp_path: Path) -> None:
        records = [*pings(4711, 0, 1), *pings(VNI_A, 5, 6)]
        assert ids(run(tmp_path, records, overlay="cilium")) == {"identity.changed"}
        assert not ids(run(tmp_path, records, overlay="vxlan"))

    def test_two_networks_at_once_are_none(self, tmp_path: Path) -> None:
        assert not ids(run(tmp_path, [*pings(4711, 0, 4), *pings(VNI_A, 2, 6)], overlay="cilium"))

    def test_a_pod_that_starts_is_none(self, tmp_path: Path) -> None:
        assert not ids(run(tmp_path, [*pings(5, 0), *pings(VNI_A, 5, 6)], overlay="cilium"))

    def test_a_node_is_none(self, tmp_path: Path) -> None:
        records = [*pings(4711, 0, source=NODE_A), *pings(VNI_A, 5, source=NODE_A)]
        assert not ids(run(tmp_path, records, overlay="cilium"))


class TestTruncated:
    def test_no_pod_under_host(self, tmp_path: Path) -> None:
        """FACTS: 0x01000001 arrives as 1."""
        report = run(tmp_path, pings(1, 0, 1, source=WORLD), cluster=endpoints(tmp_path))
        found = finding(report, "identity.truncated")
        assert found is not None
        assert (found["severity"], found["count"], records_of(found)) == ("warning", 2, [1])
        assert "16777217 or 33554433" in found["remedy"]
        assert ids(report) == {"identity.truncated"}

    def test_those_under_other_vnis_are_counted_apart(self, tmp_path: Path) -> None:
        records = [*pings(1, 0, 1, source=WORLD), *pings(1, 3, source="203.0.113.10"), *pings(42, 5, source=WORLD)]
        found = finding(run(tmp_path, records, cluster=endpoints(tmp_path), overlay="cilium"), "identity.truncated")
        assert found is not None
        assert found["count"] == 4
        assert found["title"] == (
            "3 datagrams of 2 addresses outside the cluster under VNI 1: a local identity, cut to 24 bits; and 1 "
            "datagram under 1 other such VNI"
        )

    @pytest.mark.parametrize("vni", [3, 5, 104])
    def test_a_pods_number_is_one_only_of_what_is_in_no_range_of_pods(self, tmp_path: Path, vni: int) -> None:
        """FACTS: 0x01000003 arrives as 3, unmanaged; that is a pod's, and a list of pods may lack one."""
        node = {
            "apiVersion": "cilium.io/v2",
            "kind": "CiliumNode",
            "metadata": {"name": "k8s-ctr"},
            "spec": {
                "addresses": [{"ip": NODE_A, "type": "InternalIP"}],
                "ipam": {"podCIDRs": ["172.20.0.0/24", "172.20.2.0/24"]},
            },
        }
        nodes = tmp_path / "nodes.json"
        nodes.write_text(json.dumps({"kind": "List", "items": [node]}))
        files = [*endpoints(tmp_path), str(nodes)]
        assert ids(run(tmp_path, pings(vni, 0, source=WORLD), cluster=files, overlay="cilium")) == {
            "identity.truncated"
        }
        assert not ids(run(tmp_path, pings(vni, 0, source="172.20.0.99"), cluster=files, overlay="cilium"))
        assert not ids(run(tmp_path, pings(vni, 0, source=WORLD), cluster=endpoints(tmp_path), overlay="cilium"))

    def test_an_unassigned_number_is_not_unknown_as_well(self, tmp_path: Path) -> None:
        assert ids(run(tmp_path, pings(42, 0, source=WORLD), cluster=endpoints(tmp_path))) == {"identity.truncated"}

    @pytest.mark.parametrize("vni", [2, 6, 7])
    def test_world_and_nodes_are_none(self, tmp_path: Path, vni: int) -> None:
        assert not ids(run(tmp_path, pings(vni, 0, source=WORLD), cluster=endpoints(tmp_path)))

    def test_a_node_is_none(self, tmp_path: Path) -> None:
        assert not ids(run(tmp_path, pings(1, 0, source=NODE_A), cluster=endpoints(tmp_path)))

    def test_without_files_nothing_tells_what_is_no_pod(self, tmp_path: Path) -> None:
        assert not ids(run(tmp_path, pings(1, 0, source=WORLD), overlay="cilium"))


class TestUnknown:
    def test_a_warning_only_where_all_are_listed(self, tmp_path: Path) -> None:
        for files, severity in ((endpoints(tmp_path), "info"), (identities(tmp_path, VNI_A, VNI_B), "warning")):
            report = run(tmp_path, pings(4711, 0, source="172.20.0.9"), cluster=files)
            found = finding(report, "identity.unknown")
            assert found is not None
            assert (found["severity"], found["count"], records_of(found)) == (severity, 1, [1])

    def test_a_listed_one_is_none(self, tmp_path: Path) -> None:
        files = identities(tmp_path, VNI_A, VNI_B, 4711)
        assert not ids(run(tmp_path, pings(4711, 0, source="172.20.0.9"), cluster=files))

    def test_nodes_are_left_out(self, tmp_path: Path) -> None:
        records = [*exchange(), *pings(4711, 9, source=NODE_A)]
        assert not ids(run(tmp_path, records, cluster=identities(tmp_path, VNI_A, VNI_B)))


def test_answers_under_two_vnis_are_told_apart_by_source(tmp_path: Path) -> None:
    """Both pods send under 4711, and only one of them is wrong."""
    files = endpoints(tmp_path, ("curl-pod", 4711, POD_A, NODE_A), ("webpod", VNI_B, POD_B, NODE_B))
    records = [*pings(4711, 0), *passed(5 * MS, back(ping(9, POD_B, POD_A, reply=True), 4711))]
    found = finding(run(tmp_path, records, cluster=files), "identity.mismatch")
    assert found is not None
    assert (found["count"], records_of(found)) == (1, [3])


def test_identities_of_another_cluster_of_a_mesh_are_information(tmp_path: Path) -> None:
    """A cluster's own list, as whole as it is, has none of the others': here of cluster 3."""
    foreign = 3 << 16 | 1234
    records = [*pings(VNI_A, 1), *pings(foreign, 3, source="172.30.0.9")]
    report = run(tmp_path, records, cluster=identities(tmp_path, VNI_A, VNI_B), overlay="cilium")
    found = finding(report, "identity.unknown")
    assert found is not None
    assert (found["severity"], found["count"]) == ("info", 1)
    assert "cluster 3 of the ClusterMesh" in found["remedy"]
    own = run(tmp_path, [*records, *pings(777, 5, source="172.20.0.9")], cluster=identities(tmp_path, VNI_A, VNI_B))
    found = finding(own, "identity.unknown")
    assert found is not None
    assert (found["severity"], found["title"].split(": ")[1]) == ("warning", "777 and 1 more")
