"""The zip that `cilium sysdump` writes, as it is; and folders, such as an unpacked one."""

from __future__ import annotations

import json
import struct
import zipfile
from pathlib import Path
from typing import Any

import pytest
from conftest import CLUSTER_FILES, require_module

from vxtool.cluster import files as cluster_files
from vxtool.cluster import load_cluster
from vxtool.errors import UsageError

STAMP = "20250809-172750"

# Typed lists, as `cilium sysdump` prints them: their items do not repeat their kind.
PODS = """\
apiVersion: v1
items:
- metadata:
    creationTimestamp: "2025-08-09T16:01:50Z"
    name: curl-pod
    namespace: default
  spec:
    nodeName: k8s-ctr
  status:
    hostIP: 192.168.10.100
    phase: Running
    podIP: 172.20.0.107
kind: PodList
metadata:
  resourceVersion: "51234"
"""
# And lists of Cilium's own kinds may tell no kind at all.
ENDPOINTS = """\
items:
- metadata:
    name: curl-pod
    namespace: default
  status:
    identity:
      id: 36705
      labels:
      - k8s:app=curl
    networking:
      addressing:
      - ipv4: 172.20.0.107
      node: 192.168.10.100
metadata:
  resourceVersion: "51234"
"""
IDENTITIES = """\
apiVersion: cilium.io/v2
items:
- metadata:
    name: "36705"
  security-labels:
    k8s:app: curl
    k8s:io.kubernetes.pod.namespace: default
kind: CiliumIdentityList
"""
SERVICES = """\
apiVersion: v1
items:
- metadata:
    name: webpod
    namespace: default
  spec:
    clusterIP: 10.96.17.34
    ports:
    - port: 80
      protocol: TCP
kind: ServiceList
"""
SLICES = """\
apiVersion: discovery.k8s.io/v1
items:
- addressType: IPv4
  endpoints:
  - addresses:
    - 172.20.2.4
  metadata:
    labels:
      kubernetes.io/service-name: webpod
    name: webpod-x7f2p
    namespace: default
kind: EndpointSliceList
"""
MEMBERS = {
    f"ciliumendpoints-{STAMP}.yaml": ENDPOINTS,
    f"ciliumidentities-{STAMP}.yaml": IDENTITIES,
    f"ciliumnodes-{STAMP}.yaml": None,
    f"k8s-pods-{STAMP}.yaml": PODS,
    f"k8s-services-{STAMP}.yaml": SERVICES,
    f"k8s-endpointslices-{STAMP}.yaml": SLICES,
    # Not of use: never parsed, however large or broken.
    f"ciliumnetworkpolicies-{STAMP}.yaml": "kind: [broken",
    f"k8s-events-{STAMP}.yaml": "items: {",
    f"logs-cilium-abcde-cilium-agent-{STAMP}.log": "level=info",
    f"k8s-pods-{STAMP}.txt": "NAMESPACE NAME READY STATUS",
    f"cilium-bugtool-cilium-abcde-{STAMP}/cmd/cilium-dbg-identity-list.md": "# cilium",
}


def nodes_yaml() -> str:
    import yaml

    items = json.loads((CLUSTER_FILES / "ciliumnodes.json").read_text("utf-8"))["items"]
    for item in items:
        del item["kind"], item["apiVersion"]
    text: str = yaml.safe_dump({"apiVersion": "cilium.io/v2", "kind": "CiliumNodeList", "items": items})
    return text


def members() -> dict[str, str]:
    return {name: text if text is not None else nodes_yaml() for name, text in MEMBERS.items()}


def changed(seconds: int) -> bytes:
    """The header field that Go's archive/zip writes: the time of change, in UTC, in s since 1970."""
    return struct.pack("<HHBI", 0x5455, 5, 1, seconds)


def packed(path: Path, texts: dict[str, str], seconds: int | None = 1_754_760_470) -> str:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in texts.items():
            # The times that every zip has are of the writer's own zone.
            member = zipfile.ZipInfo(f"cilium-sysdump-{STAMP}/{name}", (2025, 8, 10, 2, 27, 50))
            member.compress_type = zipfile.ZIP_DEFLATED
            if seconds is not None:
                member.extra = changed(seconds)
            archive.writestr(member, text)
    return str(path)


@pytest.fixture(autouse=True)
def _with_yaml() -> None:
    require_module("yaml")


def check(cluster: Any) -> None:
    pod = cluster.pod("172.20.0.107")
    assert (str(pod), pod.identity, pod.node_name) == ("default/curl-pod", 36705, "k8s-ctr")
    assert cluster.node("192.168.20.100") == "k8s-w0"
    assert cluster.pod_cidr("172.20.2.4").node == "k8s-w0"
    assert str(cluster.service("10.96.17.34")) == "default/webpod"
    assert cluster.services_of("172.20.2.4") == ("default/webpod",)
    assert cluster.has_all_identities


def test_an_archive_names_all_that_its_lists_do(tmp_path: Path) -> None:
    path = packed(tmp_path / f"cilium-sysdump-{STAMP}.zip", members())
    cluster = load_cluster([path])
    check(cluster)
    (source,) = cluster.sources
    assert source.kind == "ciliumendpoints + ciliumidentities + ciliumnodes + endpointslices + pods + services"
    assert source.items == 8  # three nodes, and one of each other
    assert source.problem is None
    # 1754760470 is 2025-08-09 17:27:50 UTC, by `date -u -d @1754760470`.
    assert source.taken == 1_754_760_470_000_000_000
    assert source.newest == 1_754_755_310_000_000_000


# `date -u -d '2025-08-09 17:27:50' +%s`, and the others likewise.
AS_STAMPED, AS_DATED, AS_RENAMED = (
    seconds * 1_000_000_000 for seconds in (1_754_760_470, 1_754_792_870, 1_704_067_200)
)


@pytest.mark.parametrize(
    ("name", "stamped", "taken"),
    [
        # `cilium sysdump` names what it writes by the local time.
        ("cilium-sysdump-20240101-000000.zip", True, AS_RENAMED),
        ("a.zip", True, AS_STAMPED),
        # The field that every zip has is of the writer's own zone, too.
        ("a.zip", False, AS_DATED),
        ("cilium-sysdump-20241301-000000.zip", False, AS_DATED),
    ],
)
def test_without_times_in_utc_when_it_was_taken_is_unsure(
    name: str, stamped: bool, taken: int, tmp_path: Path
) -> None:
    texts = members() if stamped else {each.replace(f"-{STAMP}", ""): text for each, text in members().items()}
    (source,) = load_cluster([packed(tmp_path / name, texts, None)]).sources
    assert (source.taken, source.taken_unsure) == (taken, True)


def test_times_in_utc_are_sure_whatever_the_names_say(tmp_path: Path) -> None:
    path = packed(tmp_path / "cilium-sysdump-20240101-000000.zip", members())
    (source,) = load_cluster([path]).sources
    assert (source.taken, source.taken_unsure) == (1_754_760_470_000_000_000, False)


def test_an_archive_without_any_time_tells_none(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(zipfile.ZipInfo("cilium-sysdump/k8s-pods.yaml"), PODS)  # of 1980
    (source,) = load_cluster([str(path)]).sources
    assert (source.taken, source.taken_unsure) == (None, False)


def test_a_file_that_is_broken_is_named_and_the_others_are_used(tmp_path: Path) -> None:
    texts = members() | {f"k8s-services-{STAMP}.yaml": "kind: ServiceList\nitems:\n- {"}
    cluster = load_cluster([packed(tmp_path / "a.zip", texts)])
    assert cluster.pod("172.20.0.107") is not None
    assert not cluster.services
    (source,) = cluster.sources
    assert source.problem is not None
    assert source.problem.startswith(f"k8s-services-{STAMP}.yaml: line ")


def test_an_unpacked_one_says_the_same(tmp_path: Path) -> None:
    for name, text in members().items():
        path = tmp_path / f"cilium-sysdump-{STAMP}" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    cluster = load_cluster([str(tmp_path)])
    check(cluster)
    *used, unused = cluster.sources
    assert [Path(source.path).name for source in used] == sorted(
        name for name, text in MEMBERS.items() if text is None or text.startswith(("api", "items:\n"))
    )
    assert {(source.taken, source.taken_unsure) for source in used} == {(AS_STAMPED, True)}
    assert (unused.path, unused.items, unused.skipped) == (str(tmp_path), 0, 5)
    assert unused.problem is not None
    assert f"logs-cilium-abcde-cilium-agent-{STAMP}.log: of a sysdump, and of no use here" in unused.problem


def test_a_folder_is_read_by_name_and_later_files_win(tmp_path: Path) -> None:
    for name, pod in (("b/1.txt", "second"), ("a.txt", "first"), ("b/0.txt", "between")):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(
            "NAME   SECURITY IDENTITY   ENDPOINT STATE   IPV4      IPV6\n"
            f"{pod:6} 300                 ready            10.0.0.1\n",
            encoding="utf-8",
        )
    (tmp_path / "notes.txt").write_text("call Kim", encoding="utf-8")
    (tmp_path / "empty").touch()
    cluster = load_cluster([str(tmp_path)])
    assert str(cluster.pod("10.0.0.1")) == "default/second"
    assert [source.path.removeprefix(f"{tmp_path}/") for source in cluster.sources[:-1]] == [
        "a.txt",
        "b/0.txt",
        "b/1.txt",
    ]
    unused = cluster.sources[-1]
    assert (unused.kind, unused.items, unused.skipped) == ("nothing", 0, 2)
    assert unused.problem is not None
    assert unused.problem.startswith("empty: empty; ")
    assert "; notes.txt: names no pod" in unused.problem


def test_an_archive_in_a_folder_is_read(tmp_path: Path) -> None:
    packed(tmp_path / "dump.zip", members())
    check(load_cluster([str(tmp_path)]))


@pytest.mark.parametrize("names", [[], ["notes.txt"], ["link"]])
def test_a_folder_of_nothing_of_use_is_refused(names: list[str], tmp_path: Path) -> None:
    for name in names:
        if name == "link":
            (tmp_path / name).symlink_to("nowhere")
        else:
            (tmp_path / name).write_text("call Kim", encoding="utf-8")
    with pytest.raises(UsageError, match="a folder without any file of use") as caught:
        load_cluster([str(tmp_path)])
    assert all(name in str(caught.value) for name in names)


def test_an_archive_of_other_things_is_refused(tmp_path: Path) -> None:
    path = packed(tmp_path / "photos.zip", {"cat.jpg": "meow"})
    with pytest.raises(UsageError, match="without a file of `cilium sysdump`"):
        load_cluster([path])


@pytest.mark.parametrize("kept", [4, 30, 0.5, 0.99])
def test_half_an_archive_is_refused(kept: float, tmp_path: Path) -> None:
    data = Path(packed(tmp_path / "a.zip", members())).read_bytes()
    path = tmp_path / "half.zip"
    path.write_bytes(data[: int(kept if kept >= 1 else kept * len(data))])
    with pytest.raises(UsageError, match="is no whole zip archive"):
        load_cluster([str(path)])


def test_an_archive_with_damaged_content_is_refused(tmp_path: Path) -> None:
    path = Path(packed(tmp_path / "a.zip", {f"ciliumendpoints-{STAMP}.yaml": ENDPOINTS}))
    data = bytearray(path.read_bytes())
    data[120] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(UsageError, match="cannot be unpacked"):
        load_cluster([str(path)])


def test_what_unpacks_to_more_than_a_list_can_be_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_files, "MAX_BYTES", 1 << 20)
    bomb = packed(tmp_path / "bomb.zip", {f"k8s-pods-{STAMP}.yaml": "#" * (64 << 20)})
    # A thousandth of what it stands for.
    assert Path(bomb).stat().st_size < 100_000
    with pytest.raises(UsageError, match=r"k8s-pods-20250809-172750.yaml: unpacks to more than 1 MiB"):
        load_cluster([bomb])
    many = {f"ciliumendpoints-{day}-172750.yaml": "#" * ((1 << 20) - 1) for day in range(20250800, 20250832)}
    with pytest.raises(UsageError, match="the archive's lists unpack to more than 4 MiB together"):
        load_cluster([packed(tmp_path / "many.zip", many)])
