"""What a Cilium agent prints: its list of identities, and its ipcache."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from vxtool.cluster import load_cluster
from vxtool.cluster.agent import parse_agent
from vxtool.cluster.lookup import Cluster

# As `cilium-dbg identity list -o json` of Cilium 1.18 prints them, cut to a few.
IDENTITIES: list[dict[str, Any]] = [
    {"id": 1, "labels": ["reserved:host"]},
    {"id": 2, "labels": ["reserved:world"]},
    {"id": 7, "labels": ["reserved:kube-apiserver", "reserved:remote-node"]},
    {
        "id": 17701,
        "labels": ["k8s:app=webpod", "k8s:io.kubernetes.pod.namespace=default"],
        "labelsSHA256": "0ad4b3e4a5",
    },
    {"id": 16777217, "labels": ["cidr:192.0.2.0/24", "reserved:world"]},
]
# As `cilium-dbg bpf ipcache list -o json` prints them: of 1.18, with names; of 1.11 and before, without.
IPCACHE = {
    "0.0.0.0/0": ["identity=2 encryptkey=0 tunnelendpoint=0.0.0.0 flags=<none>"],
    "172.20.2.0/24": ["identity=2 encryptkey=0 tunnelendpoint=192.168.20.100 flags=hastunnel"],
    "172.20.0.107/32": ["identity=36705 encryptkey=0 tunnelendpoint=0.0.0.0 flags=<none>"],
    "172.20.2.4/32": ["identity=17701 encryptkey=0 tunnelendpoint=192.168.20.100 flags=hastunnel"],
    "192.168.20.100/32": ["identity=6 encryptkey=0 tunnelendpoint=0.0.0.0 flags=<none>"],
    "fd00:172:20:2::4/128": ["identity=17701 encryptkey=0 tunnelendpoint=192.168.20.100 flags=hastunnel"],
}
OLD_IPCACHE = {"10.0.0.13/32": ["1 0 0.0.0.0"], "10.0.0.14/32": ["36705 0 192.168.20.100"]}


def loaded(path: Path, document: object) -> Cluster:
    path.write_text(json.dumps(document, indent=2), encoding="utf-8")
    return load_cluster([str(path)])


def test_an_agents_identities_are_all_that_there_are(tmp_path: Path) -> None:
    cluster = loaded(tmp_path / "list.json", IDENTITIES)
    web = cluster.identity(17701)
    assert web is not None
    assert (web.name, web.namespace) == ("webpod", "default")
    assert cluster.has_all_identities
    host, server = cluster.identity(1), cluster.identity(7)
    assert host is not None
    assert server is not None
    assert (host.name, server.name) == ("host", "kube-apiserver")
    # The last one is of local scope: as a VNI its low 24 bits would mean another identity.
    assert [source[1:4] for source in cluster.sources] == [("identity list", 4, 1)]


def test_identities_in_use_and_those_with_a_label_are_not_all(tmp_path: Path) -> None:
    in_use = [{"identity": entry, "refCount": 1} for entry in IDENTITIES]
    assert not loaded(tmp_path / "endpoints.json", in_use).has_all_identities
    assert loaded(tmp_path / "endpoints.json", in_use).identities.keys() == {1, 2, 7, 17701}
    assert not loaded(tmp_path / "part.json", IDENTITIES[3:]).has_all_identities


def test_an_ipcache_gives_identities_by_address(tmp_path: Path) -> None:
    cluster = loaded(tmp_path / "ipcache.json", IPCACHE)
    assert cluster.identity_of("172.20.0.107") == 36705
    assert cluster.identity_of("fd00:172:20:2::4") == 17701
    assert cluster.identity_of("172.20.2.5") is None
    assert cluster.is_node_address("192.168.20.100")
    assert not cluster.has_all_identities
    assert [source[1:4] for source in cluster.sources] == [("ipcache", 4, 2)]


def test_an_older_agents_ipcache_is_read_as_well(tmp_path: Path) -> None:
    cluster = loaded(tmp_path / "ipcache.json", OLD_IPCACHE)
    assert cluster.identity_of("10.0.0.14") == 36705
    assert cluster.is_node_address("10.0.0.13")


def test_another_clusters_addresses_may_be_pods_here_and_are_left_out() -> None:
    facts = parse_agent({"10.0.0.1/32@3": ["identity=196999 encryptkey=0 tunnelendpoint=0.0.0.0 flags=<none>"]})
    assert not facts.ipcache
    assert facts.skipped == {"prefix": 1}


@pytest.mark.parametrize(
    "entry",
    [
        {"id": "17701", "labels": ["k8s:app=a"]},
        {"id": True, "labels": ["k8s:app=a"]},
        {"id": -1, "labels": ["k8s:app=a"]},
        {"id": 300},
        {"id": 300, "labels": [7, None]},
        7,
        None,
    ],
)
def test_what_is_no_identity_is_counted(entry: object) -> None:
    facts = parse_agent([entry])
    assert not facts.identities
    assert facts.skipped == {"entry": 1}


@pytest.mark.parametrize(
    ("prefix", "values"),
    [
        ("10.0.0.300/32", ["identity=1"]),
        ("<unknown>", ["identity=1"]),
        ("10.0.0.1/32", []),
        ("10.0.0.1/32", "identity=1"),
        ("10.0.0.1/32", ["encryptkey=1"]),
        ("10.0.0.1/32", ["identity=99999999999"]),
    ],
)
def test_what_is_no_entry_of_an_ipcache_is_counted(prefix: str, values: object) -> None:
    facts = parse_agent({prefix: values})
    assert not facts.ipcache
    assert facts.skipped == {"entry": 1}
