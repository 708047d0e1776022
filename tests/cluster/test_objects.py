"""Kubernetes objects in JSON, of all the kinds that are understood, and what others make of them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vxtool.cluster.knowledge import Endpoint, NodeAddress
from vxtool.cluster.objects import parse_objects


def endpoint(name: object = "curl-pod", **status: Any) -> dict[str, Any]:
    return {
        "apiVersion": "cilium.io/v2",
        "kind": "CiliumEndpoint",
        "metadata": {"name": name, "namespace": "default"},
        "status": {
            "identity": {"id": 36705, "labels": ["k8s:io.kubernetes.pod.namespace=default", "k8s:app=curl"]},
            "networking": {
                "addressing": [{"ipv4": "172.20.0.107", "ipv6": "fd00:172:20:0::6b"}],
                "node": "192.168.10.100",
            },
            "state": "ready",
        }
        | status,
    }


CURL = Endpoint(
    "curl-pod",
    "default",
    36705,
    ("172.20.0.107", "fd00:172:20::6b"),
    "192.168.10.100",
    ("k8s:app=curl", "k8s:io.kubernetes.pod.namespace=default"),
)


def listed(*items: object, kind: str = "List") -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": kind, "items": list(items), "metadata": {"resourceVersion": ""}}


def test_one_endpoint_stands_alone_or_in_a_list() -> None:
    assert parse_objects(endpoint()).endpoints == [CURL]
    assert parse_objects(listed(endpoint())).endpoints == [CURL]


def test_items_of_a_typed_list_do_not_repeat_their_kind() -> None:
    item = endpoint()
    del item["kind"]
    assert parse_objects(listed(item, kind="CiliumEndpointList")).endpoints == [CURL]


def test_other_kinds_in_a_list_are_counted_and_left_alone() -> None:
    facts = parse_objects(listed({"kind": "Service"}, endpoint(), {"kind": "Service"}, 7, None))
    assert facts.endpoints == [CURL]
    assert facts.kinds == {"ciliumendpoints": 1}
    assert facts.skipped == {"Service": 2, "no kind": 2}


def test_identities_are_named_by_their_number_and_carry_labels() -> None:
    facts = parse_objects(
        {
            "kind": "CiliumIdentity",
            "metadata": {"name": "17701", "labels": {"app": "not-this"}},
            "security-labels": {"k8s:app": "webpod", "k8s:io.kubernetes.pod.namespace": "default"},
        }
    )
    (identity,) = facts.identities
    assert (identity.number, identity.name, identity.namespace) == (17701, "webpod", "default")
    assert identity.labels == ("k8s:app=webpod", "k8s:io.kubernetes.pod.namespace=default")
    assert facts.kinds == {"ciliumidentities": 1}


@pytest.mark.parametrize("name", ["", "abc", "16777216", "1" * 5000, "-1", 17701, None, "²"])
def test_an_identity_with_another_name_is_skipped(name: object) -> None:
    facts = parse_objects(
        {"kind": "CiliumIdentity", "metadata": {"name": name}, "security-labels": {"k8s:app": "a"}}
    )
    assert not facts.identities
    assert facts.skipped == {"CiliumIdentity": 1}


def test_nodes_give_their_own_addresses() -> None:
    cilium = {
        "kind": "CiliumNode",
        "metadata": {"name": "k8s-ctr"},
        "spec": {
            "addresses": [
                {"ip": "192.168.10.100", "type": "InternalIP"},
                {"ip": "172.20.0.229", "type": "CiliumInternalIP"},
            ]
        },
    }
    node = {
        "kind": "Node",
        "metadata": {"name": "k8s-w0"},
        "status": {
            "addresses": [
                {"address": "192.168.20.100", "type": "InternalIP"},
                {"address": "k8s-w0", "type": "Hostname"},
            ]
        },
    }
    assert parse_objects(listed(cilium, node)).nodes == [
        NodeAddress("192.168.10.100", "k8s-ctr", internal=True),
        NodeAddress("172.20.0.229", "k8s-ctr"),
        NodeAddress("192.168.20.100", "k8s-w0", internal=True),
    ]


def pod(phase: str = "Running", **spec: Any) -> dict[str, Any]:
    return {
        "kind": "Pod",
        "metadata": {"name": "curl-pod", "namespace": "default"},
        "spec": {"nodeName": "k8s-ctr"} | spec,
        "status": {
            "phase": phase,
            "hostIP": "192.168.10.100",
            "podIP": "172.20.0.107",
            "podIPs": [{"ip": "172.20.0.107"}, {"ip": "fd00::6b"}],
        },
    }


def test_a_pod_tells_its_node_by_name_and_address() -> None:
    facts = parse_objects(pod())
    assert facts.endpoints == [
        Endpoint(
            "curl-pod",
            "default",
            None,
            ("172.20.0.107", "fd00::6b"),
            "192.168.10.100",
            node_name="k8s-ctr",
        )
    ]
    assert facts.nodes == [NodeAddress("192.168.10.100", "k8s-ctr", internal=True)]


@pytest.mark.parametrize("other", [pod(hostNetwork=True), pod("Succeeded"), pod("Failed")])
def test_a_pod_without_an_address_of_its_own_names_only_its_node(other: dict[str, Any]) -> None:
    facts = parse_objects(other)
    assert not facts.endpoints
    assert facts.nodes == [NodeAddress("192.168.10.100", "k8s-ctr", internal=True)]


@pytest.mark.parametrize(
    "status",
    [
        {"identity": None},
        {"identity": {"id": "36705"}},
        {"identity": {"id": True}},
        {"identity": {"id": -1}},
        {"identity": {"id": 1 << 24}},
        {"identity": {"id": 1.5}},
        {"identity": [36705]},
    ],
)
def test_an_identity_of_a_wrong_type_is_none_and_the_rest_stays(status: dict[str, Any]) -> None:
    (found,) = parse_objects(endpoint(**status)).endpoints
    assert found.identity is None
    assert found.addresses == CURL.addresses


def test_addresses_that_are_none_fall_out() -> None:
    pairs = [
        {"ipv4": "172.20.0.300", "ipv6": "fe80::1%eth0"},
        5,
        {"ipv4": 16909060},
        {"ipv4": "172.20.0.107"},
    ]
    (found,) = parse_objects(endpoint(networking={"addressing": pairs, "node": "k8s-ctr"})).endpoints
    assert found.addresses == ("172.20.0.107",)
    assert found.node_address is None


@pytest.mark.parametrize("name", [None, "", 5, [], "x" * 100_000])
def test_an_endpoint_without_a_usable_name_is_skipped(name: object) -> None:
    facts = parse_objects(endpoint(name))
    assert not facts.endpoints
    assert facts.skipped == {"CiliumEndpoint": 1}


def test_a_name_that_utf8_cannot_carry_is_made_one_that_it_can() -> None:
    (found,) = parse_objects(endpoint("pod\ud800")).endpoints
    assert found.name == "pod?"


def test_an_empty_list_is_an_empty_cluster() -> None:
    facts = parse_objects(listed())
    assert facts.kinds == {"empty list": 0}
    assert not facts.endpoints


def test_lists_within_lists_end() -> None:
    document: object = endpoint()
    for _ in range(50):
        document = listed(document)
    assert parse_objects(document).skipped == {"List": 1}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def _shaped(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Objects with the field names that are looked at, and anything as their values."""
    fields = [
        "metadata",
        "name",
        "namespace",
        "status",
        "identity",
        "id",
        "labels",
        "networking",
        "addressing",
        "ipv4",
        "node",
        "spec",
        "addresses",
    ]
    fields += ["ip", "security-labels", "podIPs", "hostIP", "nodeName", "address"]
    return st.dictionaries(st.sampled_from(fields), inner, max_size=4)


@given(
    st.sampled_from(["CiliumEndpoint", "CiliumIdentity", "CiliumNode", "Node", "Pod", "List"]),
    st.recursive(JSON, lambda inner: _shaped(inner) | st.lists(inner, max_size=2), max_leaves=12),
    _shaped(st.recursive(JSON, lambda inner: _shaped(inner) | st.lists(inner, max_size=2), max_leaves=12)),
)
def test_values_of_any_type_are_used_or_counted(kind: str, items: object, item: dict[str, Any]) -> None:
    facts = parse_objects(listed({**item, "kind": kind}, items))
    assert facts.kinds.total() + facts.skipped.total() >= 1
