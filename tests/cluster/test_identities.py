"""Security identities by number, and names from labels and pods. Numbers are from Cilium's documentation."""

from __future__ import annotations

import pytest

from vxtool.cluster import cluster_id_of, kind_of, reserved_identity
from vxtool.cluster.identities import labelled_identity, workload_name


@pytest.mark.parametrize(
    ("vni", "kind"),
    [
        (0, "reserved"),
        (11, "reserved"),
        (99, "reserved"),
        (100, "well-known"),
        (115, "well-known"),
        (116, "reserved"),
        (127, "reserved"),
        (128, "user-reserved"),
        (255, "user-reserved"),
        (256, "cluster-local"),
        (36705, "cluster-local"),
        (65535, "cluster-local"),
        (65536, "clustermesh"),
        (16777215, "clustermesh"),
    ],
)
def test_the_range_tells_the_kind(vni: int, kind: str) -> None:
    assert kind_of(vni) == kind


def test_with_511_clusters_the_local_part_is_a_bit_shorter() -> None:
    assert kind_of(32768) == "cluster-local"
    assert kind_of(32768, cluster_id_shift=15) == "clustermesh"
    assert cluster_id_of(32768, cluster_id_shift=15) == 1


def test_the_cluster_id_is_above_the_local_part() -> None:
    assert cluster_id_of((3 << 16) | 17701) == 3
    assert cluster_id_of(17701) is None


@pytest.mark.parametrize("vni", [-1, 1 << 24, 0x01000001])
def test_what_no_vni_can_be_is_refused(vni: int) -> None:
    with pytest.raises(ValueError, match="16777215"):
        kind_of(vni)


@pytest.mark.parametrize(
    ("vni", "name"),
    [
        (0, "unknown"),
        (1, "host"),
        (2, "world"),
        (6, "remote-node"),
        (7, "kube-apiserver"),
        (8, "ingress"),
        (100, "etcd-operator"),
        (102, "kube-dns"),
        (107, "cilium-etcd-operator"),
        (112, "coredns"),
    ],
)
def test_reserved_and_well_known_numbers_have_names(vni: int, name: str) -> None:
    identity = reserved_identity(vni)
    assert identity is not None
    assert identity.name == name


@pytest.mark.parametrize("vni", [12, 99, 116, 128, 256, 36705, 1 << 20])
def test_other_numbers_have_none_without_files(vni: int) -> None:
    assert reserved_identity(vni) is None


def test_labels_give_name_and_namespace() -> None:
    identity = labelled_identity(
        17701,
        [
            "k8s:io.kubernetes.pod.namespace=shop",
            "k8s:io.cilium.k8s.policy.serviceaccount=web-account",
            "k8s:app=webpod",
        ],
    )
    assert (identity.name, identity.namespace, identity.kind) == ("webpod", "shop", "cluster-local")
    assert identity.labels[0] == "k8s:app=webpod"


@pytest.mark.parametrize(
    ("labels", "name"),
    [
        (["k8s:app.kubernetes.io/name=db", "k8s:name=other"], "db"),
        (["k8s:k8s-app=kube-dns"], "kube-dns"),
        (["k8s:io.cilium.k8s.policy.serviceaccount=builder"], "builder"),
        (["k8s:io.cilium.k8s.policy.serviceaccount=default"], None),
        (["reserved:ingress"], "ingress"),
        (["k8s:app="], None),
        (["app=a:b"], "a:b"),
        ([], None),
    ],
)
def test_the_most_telling_label_names(labels: list[str], name: str | None) -> None:
    assert labelled_identity(300, labels).name == name


@pytest.mark.parametrize(
    ("pods", "name"),
    [
        (["curl-pod"], "curl-pod"),
        (["webpod-697b545f57-7q4gk", "webpod-697b545f57-8tcp6"], "webpod"),
        (["web-0"], "web-0"),
        (["b", "a"], "a, b"),
        (["c", "b", "a"], "a, b, …"),
        ([], None),
    ],
)
def test_pods_that_share_an_identity_name_it(pods: list[str], name: str | None) -> None:
    assert workload_name(pods) == name
