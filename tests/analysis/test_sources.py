"""What the operator's files told: where names come from, services, clusters of a mesh, lists of another time."""

from __future__ import annotations

import json
import struct
import zipfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from analysis.scenes import (
    MS,
    NODE_A,
    NODE_B,
    POD_A,
    POD_B,
    START,
    VNI_A,
    VNI_B,
    S,
    Seen,
    endpoints_file,
    exchange,
    finding,
    passed,
    pcap,
    ping,
    router_links,
    segment,
    tunnel,
)

from vxtool import analyze
from vxtool.analysis.model import Report
from vxtool.errors import UsageError

SERVICE = "10.96.17.34"
DAY = 86_400 * S
HOUR = 3_600 * S


def run(tmp_path: Path, records: list[Seen], **options: object) -> Report:
    return analyze([pcap(tmp_path / "capture.pcap", records)], **options)  # type: ignore[arg-type]


def written(path: Path, *items: object) -> str:
    path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": list(items)}))
    return str(path)


def text_of(time: int) -> str:
    return datetime.fromtimestamp(time // S, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def pod(name: str, address: str, created: int | None = None) -> dict[str, Any]:
    """`created`: in ns since START, which a capture begins with."""
    metadata = {"name": name, "namespace": "default"}
    if created is not None:
        metadata["creationTimestamp"] = text_of(START + created)
    return {"kind": "Pod", "metadata": metadata, "status": {"phase": "Running", "podIP": address}}


def endpoint(name: str, address: str, number: int, created: int) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "default", "creationTimestamp": text_of(START + created)}
    networking = {"addressing": [{"ipv4": address}]}
    return {
        "kind": "CiliumEndpoint",
        "metadata": metadata,
        "status": {"identity": {"id": number}, "networking": networking},
    }


def service(name: str = "webpod", address: str = SERVICE, port: int = 80) -> dict[str, Any]:
    spec = {"clusterIP": address, "ports": [{"port": port, "protocol": "TCP"}]}
    return {"kind": "Service", "metadata": {"name": name, "namespace": "default"}, "spec": spec}


# Where names come from.


def test_the_report_says_which_file_each_name_came_from(tmp_path: Path, engine: str) -> None:
    endpoints = endpoints_file(
        tmp_path / "endpoints.json", [("curl-pod", VNI_A, POD_A, NODE_A), ("web-0", VNI_B, POD_B, NODE_B)]
    )
    nodes = written(
        tmp_path / "nodes.json",
        {"kind": "CiliumNode", "metadata": {"name": "k8s-ctr"}, "spec": {"addresses": [{"ip": NODE_A}]}},
        {"kind": "Secret"},
    )
    links = router_links(tmp_path / "links.json")
    known = run(tmp_path, exchange(), cluster=[endpoints, nodes], links=[links])["knowledge"]
    assert [
        (each["path"], each["kind"], each["items"], each["skipped"], each["names"]) for each in known["sources"]
    ] == [
        (endpoints, "ciliumendpoints", 2, 0, 4),
        (nodes, "ciliumnodes", 1, 1, 1),
        (links, "links", 4, 0, 0),
    ]
    assert {(each["subject"], each["name"], each["path"]) for each in known["names"]} == {
        (str(VNI_A), "curl-pod", endpoints),
        (str(VNI_B), "web-0", endpoints),
        (POD_A, "default/curl-pod", endpoints),
        (POD_B, "default/web-0", endpoints),
        (NODE_A, "k8s-ctr", nodes),
    }
    assert known["conflicts"] == []


def test_without_files_nothing_is_known(tmp_path: Path) -> None:
    assert run(tmp_path, exchange())["knowledge"] == {"sources": [], "conflicts": [], "names": []}


def test_reserved_names_come_from_no_file(tmp_path: Path) -> None:
    records = passed(0, tunnel(ping(), 1))
    report = run(
        tmp_path, records, cluster=[written(tmp_path / "a.json", pod("other", "10.9.9.9"))], overlay="cilium"
    )
    assert report["identities"][0]["name"] == "host"
    assert report["knowledge"]["names"] == []


def test_an_identity_named_by_its_pods_names_their_file(tmp_path: Path) -> None:
    identity = {"kind": "CiliumIdentity", "metadata": {"name": str(VNI_A)}, "security-labels": {"k8s:app": "curl"}}
    files = [
        endpoints_file(tmp_path / "endpoints.json", [("curl-pod", VNI_A, POD_A, NODE_A)]),
        written(tmp_path / "identities.json", identity),
    ]
    report = run(tmp_path, exchange(), cluster=files)
    (named,) = (each for each in report["knowledge"]["names"] if each["subject"] == str(VNI_A))
    assert (named["name"], named["path"]) == ("curl-pod", files[0])


def test_files_that_contradict_each_other_are_told_of(tmp_path: Path) -> None:
    files = [written(tmp_path / name, pod(name[0], POD_A)) for name in ("a.json", "b.json")]
    known = run(tmp_path, exchange(), cluster=files)["knowledge"]
    assert known["conflicts"] == [
        f"{POD_A} is default/b in {files[1]}, but default/a in {files[0]}; default/b is used"
    ]


# Services.


def test_a_service_is_named_as_one_and_its_backends_stay_pods(tmp_path: Path) -> None:
    inner = segment(1, 0, (POD_A, 32788), (SERVICE, 80))
    answer = segment(1, 0, (POD_B, 80), (POD_A, 32788))
    records = [*passed(0, tunnel(inner)), *passed(MS, tunnel(answer, VNI_B))]
    slices = {
        "kind": "EndpointSlice",
        "metadata": {"namespace": "default", "labels": {"kubernetes.io/service-name": "webpod"}},
        "endpoints": [{"addresses": [POD_B]}],
    }
    path = written(tmp_path / "all.json", service(), slices, pod("web-0", POD_B), pod("curl-pod", POD_A))
    report = run(tmp_path, records, cluster=[path])
    named = {(flow["source_name"], flow["destination_name"]) for flow in report["flows"]}
    assert named == {
        ("default/curl-pod", "default/webpod (service)"),
        ("default/web-0", "default/curl-pod"),
    }
    assert {"subject": SERVICE, "name": "default/webpod (service)", "path": path} in report["knowledge"]["names"]


def test_services_at_one_address_are_told_apart_by_port(tmp_path: Path) -> None:
    records = [
        *passed(0, tunnel(segment(1, 0, (POD_A, 32788), (SERVICE, 443)))),
        *passed(MS, tunnel(segment(2, 0, (POD_A, 32789), (SERVICE, 22)))),
    ]
    path = written(tmp_path / "all.json", service("web", port=80), service("tls", port=443))
    report = run(tmp_path, records, cluster=[path])
    assert {(flow["destination_port"], flow["destination_name"]) for flow in report["flows"]} == {
        (443, "default/tls (service)"),
        (22, None),
    }


# A mesh of clusters. Identities are `cluster id << shift | local part`, so 3 << 16 | 1234 is 197842.


@pytest.mark.parametrize(
    ("vni", "bits", "kind", "cluster_id"),
    [
        (197_842, 8, "clustermesh", 3),
        (197_842, 9, "clustermesh", 6),
        (40_000, 8, "cluster-local", None),
        (40_000, 9, "clustermesh", 1),
        (6, 9, "reserved", None),
    ],
)
@pytest.mark.parametrize("listed", [False, True])
def test_the_cluster_that_allotted_an_identity_is_told(
    vni: int, bits: int, kind: str, cluster_id: int | None, listed: bool, tmp_path: Path
) -> None:
    files = [endpoints_file(tmp_path / "a.json", [("a", vni, POD_A, NODE_A)])] if listed else []
    report = run(tmp_path, passed(0, tunnel(ping(), vni)), cluster=files, cluster_id_bits=bits, overlay="cilium")
    (identity,) = report["identities"]
    assert (identity["kind"], identity["cluster_id"]) == (kind, cluster_id)


def test_another_number_of_bits_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="expected 8, or 9"):
        run(tmp_path, exchange(), cluster_id_bits=7)


# Lists of another time. `exchange` takes less than a second.


def stale(report: Report) -> tuple[str, int, str] | None:
    found = finding(report, "identity.stale-list")
    return (found["severity"], found["count"], found["evidence"][0]["text"]) if found else None


def test_a_pod_created_after_the_capture_is_not_who_had_its_address_then(tmp_path: Path, engine: str) -> None:
    pods = written(tmp_path / "pods.json", pod("new", POD_B, DAY), pod("curl-pod", POD_A, -DAY))
    endpoints = endpoints_file(
        tmp_path / "endpoints.json", [("new", VNI_B, POD_B, NODE_B), ("curl-pod", VNI_A, POD_A, NODE_A)]
    )
    report = run(tmp_path, exchange(), cluster=[endpoints, pods])
    assert stale(report) == (
        "warning",
        1,
        f"{POD_B} is default/new in {pods}, created at 2025-08-10 17:27:50 UTC, 24 hours after the address was "
        "first seen: that name is not used",
    )
    found = finding(report, "identity.stale-list")
    assert found is not None
    # The echo request to it is the first record of all.
    assert [entry["record"] for entry in found["evidence"]] == [1]
    assert {flow["destination_name"] for flow in report["flows"]} == {None, "default/curl-pod"}


def test_an_earlier_list_names_who_had_the_address_then(tmp_path: Path) -> None:
    old = written(tmp_path / "old.json", pod("old", POD_B, -DAY))
    new = written(tmp_path / "new.json", pod("new", POD_B, DAY))
    report = run(tmp_path, exchange(), cluster=[old, new])
    assert stale(report) is None
    assert "default/old" in {flow["destination_name"] for flow in report["flows"]}
    known = report["knowledge"]
    assert {"subject": POD_B, "name": "default/old", "path": old} in known["names"]
    assert known["conflicts"] == [f"{POD_B} is default/old in {old}, but default/new in {new}; default/old is used"]


def test_a_pod_created_after_the_capture_whose_address_is_not_in_it_says_nothing(tmp_path: Path) -> None:
    pods = written(tmp_path / "pods.json", pod("new", "172.20.2.5", DAY), pod("curl-pod", POD_A, -DAY))
    assert stale(run(tmp_path, exchange(), cluster=[pods])) is None


@pytest.mark.parametrize("created", [-DAY, 0, 5 * S, None])
def test_a_pod_that_was_there_or_whose_time_is_within_what_clocks_differ_is_believed(
    created: int | None, tmp_path: Path
) -> None:
    pods = written(tmp_path / "pods.json", pod("web-0", POD_B, created))
    report = run(tmp_path, exchange(), cluster=[pods])
    assert stale(report) is None
    assert "default/web-0" in {flow["destination_name"] for flow in report["flows"]}


def test_a_pod_created_half_a_minute_later_is_another(tmp_path: Path) -> None:
    """Addresses are used again within that time, and clocks do not differ by so much."""
    pods = written(tmp_path / "pods.json", pod("web-0", POD_B, 30 * S))
    report = run(tmp_path, exchange(), cluster=[pods])
    told = stale(report)
    assert told is not None
    assert told[:2] == ("warning", 1)
    assert told[2].endswith("30 seconds after the address was first seen: that name is not used")
    assert {flow["destination_name"] for flow in report["flows"]} == {None}
    # While the capture runs, the address is that pod's from then on.
    report = run(tmp_path, [*exchange(), *exchange(60 * S, 2)], cluster=[pods])
    told = stale(report)
    assert told is not None
    assert told[2].endswith("before that it was not this pod's")
    assert "default/web-0" in {flow["destination_name"] for flow in report["flows"]}


def test_of_a_pod_created_while_the_capture_ran_earlier_packets_are_anothers(tmp_path: Path) -> None:
    records = [*exchange(), *exchange(20 * 60 * S, 2)]
    pods = written(tmp_path / "pods.json", pod("new", POD_B, 10 * 60 * S))
    report = run(tmp_path, records, cluster=[pods])
    told = stale(report)
    assert told is not None
    assert told[:2] == ("warning", 1)
    assert told[2].endswith("10 minutes after the address was first seen: before that it was not this pod's")
    assert "default/new" in {flow["destination_name"] for flow in report["flows"]}
    # The same pod in a capture that has only its own packets.
    later = [Seen(seen.time + 20 * 60 * S, *seen[1:]) for seen in passed(0, tunnel(ping(2)))]
    alone = [*passed(0, tunnel(ping(1, POD_A, "172.20.2.9"))), *later]
    assert stale(run(tmp_path, alone, cluster=[pods])) is None


def test_a_ciliumendpoint_may_be_younger_than_its_pod(tmp_path: Path) -> None:
    endpoints = written(tmp_path / "endpoints.json", endpoint("web-0", POD_B, VNI_B, DAY))
    alone = run(tmp_path, exchange(), cluster=[endpoints])
    told = stale(alone)
    assert told is not None
    assert told[:2] == ("info", 1)
    assert {flow["destination_name"] for flow in alone["flows"]} == {None}
    # The pod itself tells how old it is.
    pods = written(tmp_path / "pods.json", pod("web-0", POD_B, -DAY))
    for files in ([endpoints, pods], [pods, endpoints]):
        both = run(tmp_path, exchange(), cluster=files)
        assert stale(both) is None
        assert "default/web-0" in {flow["destination_name"] for flow in both["flows"]}


def sysdump(path: Path, taken: int, items: Sequence[object]) -> str:
    with zipfile.ZipFile(path, "w") as archive:
        member = zipfile.ZipInfo("dump/k8s-pods-20250809-172750.json")
        member.extra = struct.pack("<HHBI", 0x5455, 5, 1, (START + taken) // S)
        archive.writestr(member, json.dumps({"kind": "PodList", "items": list(items)}))
    return str(path)


@pytest.mark.parametrize(
    ("taken", "told"),
    [
        (3 * DAY, "2025-08-12 17:27:50 UTC, 3 days after the last record"),
        (-3 * DAY, "2025-08-06 17:27:50 UTC, 3 days before the first record"),
        (2 * HOUR, "2025-08-09 19:27:50 UTC, 2 hours after the last record"),
        (HOUR - 60 * S, None),
        (0, None),
        (-HOUR, None),
    ],
)
def test_a_sysdump_tells_how_far_from_the_capture_it_was_taken(
    taken: int, told: str | None, tmp_path: Path
) -> None:
    path = sysdump(tmp_path / "dump.zip", taken, [pod("web-0", POD_B, -9 * DAY)])
    report = run(tmp_path, exchange(), cluster=[path])
    assert report["knowledge"]["sources"][0]["taken"] == text_of(START + taken).replace("Z", ".000000000Z")
    expected = None if told is None else ("info", 1, f"{path} was taken at {told}")
    assert stale(report) == expected
    # That alone makes no name wrong.
    assert "default/web-0" in {flow["destination_name"] for flow in report["flows"]}


@pytest.mark.parametrize(
    ("stamp", "told"),
    [
        # It may have been taken within the hour of the capture (2025-08-09 17:27:50 UTC): in Kiritimati at UTC+14,
        # or on Baker Island at UTC-12.
        ("20250810-082000", None),
        ("20250809-043500", None),
        # And nowhere on earth.
        ("20250810-083000", "2025-08-10 08:30:00 UTC, 15 hours after the last record"),
        ("20250809-041000", "2025-08-09 04:10:00 UTC, 13 hours before the first record"),
    ],
)
def test_a_time_of_an_unknown_zone_is_held_against_no_list_that_may_be_of_the_capture(
    stamp: str, told: str | None, tmp_path: Path
) -> None:
    path = tmp_path / f"k8s-pods-{stamp}.json"
    path.write_text(json.dumps({"kind": "PodList", "items": [pod("web-0", POD_B, -9 * DAY)]}))
    report = run(tmp_path, exchange(), cluster=[str(path)])
    (source,) = report["knowledge"]["sources"]
    assert source["taken_unsure"]
    zone = ", if that is UTC: it tells no time zone"
    assert stale(report) == (None if told is None else ("info", 1, f"{path} was taken at {told}{zone}"))


def test_an_empty_capture_is_of_no_time(tmp_path: Path) -> None:
    path = sysdump(tmp_path / "dump.zip", 3 * DAY, [pod("web-0", POD_B, DAY)])
    assert stale(run(tmp_path, [], cluster=[path])) is None
