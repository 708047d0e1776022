"""Files of `--cluster`, told by content, merged into one look-up, and refused in one line."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import CLUSTER_FILES

from vxtool.cluster import files as cluster_files
from vxtool.cluster import load_cluster
from vxtool.cluster.links import load_links
from vxtool.cluster.routes import load_routes
from vxtool.errors import UsageError

TABLE = """\
NAME                      SECURITY IDENTITY   ENDPOINT STATE   IPV4           IPV6
curl-pod                  36705               ready            172.20.0.107
webpod-697b545f57-8tcp6   17701               ready            172.20.2.4
"""
PODS = """\
NAME       READY   STATUS    RESTARTS   AGE   IP             NODE      NOMINATED NODE   READINESS GATES
curl-pod   1/1     Running   0          21m   172.20.0.107   k8s-ctr   <none>           <none>
"""


class Folder:
    """Writes knowledge files and gives their paths."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0

    def __call__(self, content: object) -> str:
        self.count += 1
        path = self.path / f"{self.count}.txt"
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return str(path)


@pytest.fixture
def file(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def endpoint(name: str, address: str, number: int, namespace: str = "default", **more: Any) -> dict[str, Any]:
    return {
        "kind": "CiliumEndpoint",
        "metadata": {"name": name, "namespace": namespace},
        "status": {
            "identity": {"id": number, **more},
            "networking": {"addressing": [{"ipv4": address}], "node": "192.168.10.100"},
        },
    }


def identity(number: int, **labels: str) -> dict[str, Any]:
    return {
        "kind": "CiliumIdentity",
        "metadata": {"name": str(number)},
        "security-labels": {f"k8s:{key}": value for key, value in labels.items()},
    }


def test_no_file_leaves_only_what_every_cluster_has() -> None:
    cluster = load_cluster([])
    assert not cluster.has_identities
    assert cluster.identity(36705) is None
    assert cluster.pod("172.20.0.107") is None
    host = cluster.identity(1)
    assert host is not None
    assert host.name == "host"


def test_a_pasted_table_names_pods_and_identities(file: Folder) -> None:
    path = file(TABLE)
    cluster = load_cluster([path], "default")
    pod, web = cluster.pod("172.20.2.4"), cluster.identity(17701)
    assert pod is not None
    assert str(pod) == "default/webpod-697b545f57-8tcp6"
    assert web is not None
    assert (web.name, web.namespace) == ("webpod", "default")
    assert cluster.has_identities
    assert [source[:4] for source in cluster.sources] == [(path, "ciliumendpoints", 2, 0)]
    assert cluster.files[17701] == cluster.files["172.20.2.4"] == path


def test_the_founding_cases_files_name_pods_and_nodes() -> None:
    cluster = load_cluster([str(CLUSTER_FILES / "ciliumendpoints.txt"), str(CLUSTER_FILES / "ciliumnodes.json")])
    names = [getattr(cluster.identity(vni), "name", None) for vni in (36705, 17701)]
    assert names == ["curl-pod", "webpod"]
    assert cluster.node("192.168.10.100") == "k8s-ctr"
    assert cluster.node("192.168.20.100") == "k8s-w0"


def test_pods_of_one_workload_name_their_identity_and_its_labels_the_rest(file: Folder) -> None:
    cluster = load_cluster(
        [file(TABLE), file(identity(17701, app="shop", **{"io.kubernetes.pod.namespace": "web"}))]
    )
    info = cluster.identity(17701)
    assert info is not None
    assert (info.name, info.namespace) == ("webpod", "web")
    assert info.labels == ("k8s:app=shop", "k8s:io.kubernetes.pod.namespace=web")


def test_labels_name_an_identity_whose_pods_are_called_differently(file: Folder) -> None:
    pods = [endpoint(f"p-{n}", f"172.20.0.{n}", 400, labels=["k8s:app=shop"]) for n in (1, 2)]
    cluster = load_cluster([file(pod) for pod in pods])
    info = cluster.identity(400)
    assert info is not None
    assert info.name == "shop"


def test_labels_name_an_identity_without_known_pods(file: Folder) -> None:
    cluster = load_cluster([file(identity(400, app="shop"))])
    info = cluster.identity(400)
    assert info is not None
    assert info.name == "shop"


def test_two_files_about_one_pod_complete_each_other(file: Folder) -> None:
    cluster = load_cluster([file(endpoint("curl-pod", "172.20.0.107", 36705)), file(PODS)])
    pod = cluster.pod("172.20.0.107")
    assert pod is not None
    assert (pod.namespace, pod.identity, pod.node_name) == ("default", 36705, "k8s-ctr")
    assert not cluster.conflicts


def test_a_node_is_named_through_a_pod_that_both_files_know(file: Folder) -> None:
    cluster = load_cluster([file(endpoint("curl-pod", "172.20.0.107", 36705)), file(PODS)])
    assert cluster.node("192.168.10.100") == "k8s-ctr"


def test_a_node_that_is_listed_as_a_pod_stays_a_node(file: Folder) -> None:
    node = {
        "kind": "CiliumNode",
        "metadata": {"name": "k8s-ctr"},
        "spec": {"addresses": [{"ip": "172.20.0.107"}]},
    }
    cluster = load_cluster([file(node), file(PODS)])
    assert cluster.pod("172.20.0.107") is None
    assert cluster.node("172.20.0.107") == "k8s-ctr"


def test_one_address_with_two_names_goes_to_the_later_file_and_is_told(file: Folder) -> None:
    first, second = file(TABLE), file(endpoint("other", "172.20.0.107", 500))
    cluster = load_cluster([first, second])
    pod = cluster.pod("172.20.0.107")
    assert pod is not None
    assert pod.name == "other"
    (conflict,) = cluster.conflicts
    assert str(conflict) == (
        f"172.20.0.107 is default/other in {second}, but curl-pod in {first}; default/other is used"
    )


def test_one_name_in_two_namespaces_is_a_conflict(file: Folder) -> None:
    cluster = load_cluster([file(endpoint("a", "10.0.0.1", 300, "x")), file(endpoint("a", "10.0.0.1", 300, "y"))])
    assert [conflict.kept for conflict in cluster.conflicts] == ["y/a"]


def test_one_pod_with_two_identities_is_a_conflict(file: Folder) -> None:
    cluster = load_cluster([file(endpoint("a", "10.0.0.1", 300)), file(endpoint("a", "10.0.0.1", 301))])
    assert [(conflict.kept, conflict.dropped) for conflict in cluster.conflicts] == [
        ("default/a with identity 301", "default/a with identity 300")
    ]


def test_one_identity_with_two_label_sets_is_a_conflict(file: Folder) -> None:
    cluster = load_cluster([file(identity(300, app="old")), file(identity(300, app="new"))])
    info = cluster.identity(300)
    assert info is not None
    assert info.name == "new"
    assert [conflict.subject for conflict in cluster.conflicts] == ["identity 300"]


def test_the_same_file_twice_changes_nothing(file: Folder) -> None:
    path = file(TABLE)
    once, twice = load_cluster([path]), load_cluster([path, path])
    assert once.pods == twice.pods
    assert once.identities == twice.identities
    assert not twice.conflicts


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_what_editors_and_powershell_do_to_a_file_is_no_harm(file: Folder, encoding: str) -> None:
    assert load_cluster([file(TABLE.encode(encoding))]).pod("172.20.2.4") is not None
    text = json.dumps(endpoint("a", "10.0.0.1", 300))
    assert load_cluster([file(text.encode(encoding))]).pod("10.0.0.1") is not None


def test_an_empty_list_is_accepted(file: Folder) -> None:
    cluster = load_cluster([file({"kind": "List", "items": []})])
    assert cluster.sources[0].items == 0


@pytest.mark.parametrize(
    "pod",
    [
        {"status": {"phase": "Succeeded", "podIP": "172.20.0.9"}},
        {"status": {"phase": "Failed", "reason": "Evicted"}},
        {"spec": {"hostNetwork": True}, "status": {"phase": "Running", "podIP": "192.168.10.100"}},
        {"spec": {"nodeName": "k8s-ctr"}, "status": {"phase": "Pending"}},
    ],
)
def test_a_list_of_pods_without_addresses_of_their_own_is_accepted_and_says_why(file: Folder, pod: object) -> None:
    items = [{"kind": "Pod", "metadata": {"name": f"job-{at}", "namespace": "a"}, **pod} for at in range(2)]  # type: ignore[dict-item]
    cluster = load_cluster([file({"kind": "List", "items": items})])
    (source,) = cluster.sources
    assert (cluster.pods, source.kind, source.items, source.skipped) == ({}, "pods", 0, 2)
    assert "of the 2 pods in it none has an address of its own" in (source.problem or "")


def test_with_others_that_have_one_nothing_is_said_of_them(file: Folder) -> None:
    job = {"kind": "Pod", "metadata": {"name": "job"}, "status": {"phase": "Succeeded"}}
    running = {"kind": "Pod", "metadata": {"name": "web"}, "status": {"phase": "Running", "podIP": "172.20.0.9"}}
    (source,) = load_cluster([file({"kind": "List", "items": [job, running]})]).sources
    assert (source.items, source.skipped, source.problem) == (1, 1, None)


@pytest.mark.parametrize(
    ("content", "is_cilium"),
    [
        ({"kind": "CiliumNode", "metadata": {"name": "a"}, "spec": {"addresses": [{"ip": "10.0.0.1"}]}}, True),
        ("NAME   CILIUMINTERNALIP   INTERNALIP   AGE\na   10.1.0.1   10.0.0.1   5d\n", True),
        ({"kind": "Node", "metadata": {"name": "a"}, "status": {"addresses": [{"address": "10.0.0.1"}]}}, False),
        ({"kind": "List", "items": []}, False),
    ],
)
def test_ciliums_own_objects_say_whose_the_cluster_is(file: Folder, content: object, is_cilium: bool) -> None:
    cluster = load_cluster([file(content)])
    assert (cluster.is_cilium, cluster.has_identities) == (is_cilium, False)


@pytest.mark.parametrize(
    "before",
    [
        "Warning: v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice\n",
        "[root@k8s-ctr ~]# kubectl get ciliumendpoints -o json\n",
        'Defaulted container "cilium-agent" out of: cilium-agent, config (init)\n\n',
    ],
)
def test_what_was_written_to_the_error_output_may_stand_before_the_json(file: Folder, before: str) -> None:
    """As of `kubectl ... > FILE 2>&1`."""
    cluster = load_cluster([file(before + json.dumps(endpoint("a", "10.0.0.1", 300), indent=4))])
    assert cluster.pod("10.0.0.1") is not None
    assert cluster.sources[0].problem is None


def test_an_error_before_the_json_is_told(file: Folder) -> None:
    error = "Error from server (Forbidden): pods is forbidden\n"
    (source,) = load_cluster([file(error + json.dumps(endpoint("a", "10.0.0.1", 300)))]).sources
    assert source.problem is not None
    assert "'Error from server (Forbidden)" in source.problem


def test_lines_before_the_json_count_where_it_is_broken(file: Folder) -> None:
    with pytest.raises(UsageError, match="line 4, column 1: is no JSON there"):
        load_cluster([file('Warning: a\nWarning: b\n{"kind": "List"\n"items": []}')])


REFUSED: dict[str, tuple[object, str]] = {
    "empty": ("", "empty"),
    "blank": (" \n\n", "empty"),
    "bytes": (b"\xd4\xc3\xb2\xa1\x02\x00\x04\x00", "no text at byte 0"),
    "half a UTF-16 character": (b"\xff\xfeN\x00A", "no text"),
    "cut JSON": ('{"kind": "List", "items": [{"kind": "Cilium', "line 1"),
    "cut behind a comma": ('{"kind": "List", "items": [{},', "cut short"),
    "two documents": ('{"kind": "List"}\n{"kind": "List"}', "line 2, column 1"),
    "deep nesting": ('{"items": ' + "[" * 200_000, "nested too deeply|no JSON"),
    "a number of many digits": ('{"items": ' + "1" * 5000 + "}", "used: a number has more than 4,300 digits$"),
    "other kinds": (
        {"kind": "List", "items": [{"kind": "Service"}, {"kind": "\x1b[2J"}]},
        "'Service', '.x1b",
    ),
    "pods without names": (
        {"kind": "List", "items": [{"kind": "Pod", "status": {"phase": "Succeeded"}}]},
        "'Pod'",
    ),
    "no object": ("[1, 2]", "understood are"),
    "a string list": ('["a"]', "understood are"),
    "interfaces": ('[{"ifindex": 1, "ifname": "lo"}]', "--links"),
    "YAML": ("apiVersion: v1\nitems:\n- kind: CiliumEndpoint\n", "-o json"),
    "prose": ("No resources found in default namespace.\n", "understood are"),
    "narrow pods": (
        "NAME       READY   STATUS    RESTARTS   AGE\na   1/1   Running   0   1m\n",
        "wide table",
    ),
}


@pytest.mark.parametrize(("content", "told"), REFUSED.values(), ids=REFUSED.keys())
def test_what_names_nothing_is_refused_in_one_line(file: Folder, content: object, told: str) -> None:
    path = file(content)
    with pytest.raises(UsageError, match=told) as caught:
        load_cluster([path])
    message = str(caught.value)
    assert message.startswith(path)
    assert message.isprintable()
    assert len(message) < 600


def test_a_missing_file_and_an_impossible_path_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.json", "a\0b"):
        with pytest.raises(UsageError, match="cannot be read"):
            load_cluster([str(path)])


def test_a_file_beyond_the_limit_is_refused(file: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_files, "MAX_BYTES", 100)
    with pytest.raises(UsageError, match="larger than"):
        load_cluster([file(TABLE)])


@pytest.mark.parametrize("before", ["", "kind: List\nitems: "])
@pytest.mark.parametrize("load", [load_links, load_routes, load_cluster])
def test_a_million_empty_lines_are_refused_soon(load: Any, before: str, tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_text(before + "\n" * 1_000_000 + "x")
    begin = time.process_time()
    with pytest.raises(UsageError):
        load([str(path)])
    assert time.process_time() - begin < 2


def test_a_million_lines_that_are_no_routes_are_refused_soon(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_text("x\n" * 1_000_000)
    begin = time.process_time()
    with pytest.raises(UsageError, match="holds no route"):
        load_routes([str(path)])
    assert time.process_time() - begin < 5


def test_a_name_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "links.json"
    path.write_text(json.dumps([{"ifindex": 3, "ifname": "eth1\nOK  everything is fine"}]))
    assert load_links([str(path)]).by_index[3].name == "eth1\\nOK  everything is fine"
