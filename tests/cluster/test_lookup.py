"""What analysis asks a Cluster: who an address is, whose share of the pods' addresses it is in."""

from __future__ import annotations

import json
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from conftest import CLUSTER_FILES
from hypothesis import given
from hypothesis import strategies as st

from vxtool.cluster.agent import parse_agent
from vxtool.cluster.knowledge import Facts, PodCidr, Service, merge
from vxtool.cluster.load import load_cluster
from vxtool.cluster.lookup import Cluster
from vxtool.cluster.objects import parse_objects
from vxtool.cluster.prefixes import Prefixes, canonical_prefix


def cluster_of(*objects: dict[str, Any]) -> Cluster:
    """One file for each object, in this order."""
    return merge((f"{number}.json", parse_objects(one)) for number, one in enumerate(objects))


def cilium_node(name: str, *addresses: str, **spec: Any) -> dict[str, Any]:
    listed = [{"ip": address, "type": "InternalIP"} for address in addresses]
    return {"kind": "CiliumNode", "metadata": {"name": name}, "spec": {"addresses": listed} | spec}


def test_the_longest_prefix_wins() -> None:
    # As a routing table does: 10.0.1.5 is in all four, 10.0.2.5 in the two shortest alone.
    prefixes: Prefixes[str] = Prefixes()
    assert not prefixes
    for prefix in ("10.0.0.0/8", "10.0.1.0/24", "0.0.0.0/0", "10.0.1.5/32", "fd00::/16"):
        prefixes[prefix] = prefix
    assert prefixes.find("10.0.1.5") == "10.0.1.5/32"
    assert prefixes.find("10.0.1.6") == "10.0.1.0/24"
    assert prefixes.find("10.0.2.5") == "10.0.0.0/8"
    assert prefixes.find("192.0.2.1") == "0.0.0.0/0"
    assert prefixes.find("fd00::1") == "fd00::/16"
    assert prefixes.find("fe80::1") is None
    assert prefixes.find("no address") is None


@given(st.ip_addresses(), st.integers(0, 128), st.booleans(), st.booleans())
def test_prefixes_are_spelled_as_ipaddress_spells_them(address: Any, length: int, clear: bool, long: bool) -> None:
    text = f"{address.exploded if long else address}/{length}"
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        assert canonical_prefix(text) is None
        return
    shown = str(network) if clear else text
    assert canonical_prefix(shown) == str(network)
    prefixes: Prefixes[int] = Prefixes()
    prefixes[shown] = 1
    assert list(prefixes.matches(str(network[-1]))) == [(length, 1)]


@pytest.mark.parametrize(
    ("prefix", "spelled"),
    [
        ("10.0.0.01", None),
        ("10.0.0.0/08", "10.0.0.0/8"),
        ("10.0.0.0/255.0.0.0", "10.0.0.0/8"),
        ("10.0.0", None),
        ("::ffff:10.0.0.1/128", str(ip_network("::ffff:10.0.0.1/128"))),
        ("::0102:0304", "::102:304/128"),
        ("172.20.2.4/24", "172.20.2.0/24"),
        ("172.20.2.4", "172.20.2.4/32"),
        ("FD00:172:20:0::/64", "fd00:172:20::/64"),
        ("172.20.2.0/33", None),
        ("", None),
        (7, None),
        ("fe80::1%eth0", None),
    ],
)
def test_a_prefix_has_one_spelling(prefix: object, spelled: str | None) -> None:
    assert canonical_prefix(prefix) == spelled


def test_a_pods_address_tells_its_node_and_the_way_there() -> None:
    cluster = cluster_of(
        cilium_node(
            "k8s-w0", "192.168.20.100", "fd00:20::100", ipam={"podCIDRs": ["172.20.2.0/24", "fd00:2::/64"]}
        ),
        cilium_node("k8s-w1", ipam={"podCIDRs": ["172.20.1.0/24"]}),
    )
    assert cluster.pod_cidr("172.20.2.4") == PodCidr("172.20.2.0/24", "k8s-w0", "192.168.20.100")
    assert cluster.pod_cidr("fd00:2::4") == PodCidr("fd00:2::/64", "k8s-w0", "fd00:20::100")
    assert cluster.pod_cidr("172.20.1.4") == PodCidr("172.20.1.0/24", "k8s-w1", None)
    assert cluster.pod_cidr("172.20.3.4") is None
    assert cluster.pod_cidrs["k8s-w0"] == ("172.20.2.0/24", "fd00:2::/64")


def test_pools_are_prefixes_of_the_node_as_well() -> None:
    # Multi-pool IPAM: https://docs.cilium.io/en/stable/network/concepts/ipam/multi-pool/
    pools = {"pools": {"allocated": [{"pool": "default", "cidrs": ["10.10.0.0/27", "10.10.1.0/27"]}]}}
    cluster = cluster_of(cilium_node("a", "192.0.2.1", ipam=pools))
    assert cluster.pod_cidr("10.10.1.3") == PodCidr("10.10.1.0/27", "a", "192.0.2.1")


@pytest.mark.parametrize("cilium_first", [True, False])
def test_ciliums_prefixes_go_before_those_of_kubernetes(cilium_first: bool) -> None:
    kubernetes = {"kind": "Node", "metadata": {"name": "a"}, "spec": {"podCIDR": "10.1.0.0/24"}}
    both = [cilium_node("a", ipam={"podCIDRs": ["10.2.0.0/24"]}), kubernetes]
    cluster = cluster_of(*(both if cilium_first else reversed(both)))
    assert cluster.pod_cidrs == {"a": ("10.2.0.0/24",)}
    assert cluster.pod_cidr("10.1.0.1") is None


def test_kubernetes_prefixes_serve_where_cilium_tells_none() -> None:
    node = {
        "kind": "Node",
        "metadata": {"name": "a"},
        "spec": {"podCIDR": "10.1.0.0/24", "podCIDRs": ["10.1.0.0/24"]},
        "status": {"addresses": [{"type": "InternalIP", "address": "192.0.2.7"}]},
    }
    assert cluster_of(node).pod_cidr("10.1.0.9") == PodCidr("10.1.0.0/24", "a", "192.0.2.7")


def test_addresses_of_nodes_of_cilium_and_of_health_are_a_nodes_own() -> None:
    node = cilium_node("a", "192.0.2.1", health={"ipv4": "10.0.0.9"}, ingress={"ipv4": "10.0.0.8"})
    node["spec"]["addresses"].append({"ip": "10.0.0.1", "type": "CiliumInternalIP"})
    cluster = cluster_of(node)
    assert all(map(cluster.is_node_address, ("192.0.2.1", "10.0.0.1", "10.0.0.8", "10.0.0.9")))
    assert not cluster.is_node_address("10.0.0.7")
    # Only the first of them is where other machines send its tunnel packets to.
    assert cluster.node_addresses == {"a": ("192.0.2.1",)}


def ipcache_of(entries: dict[str, int]) -> Facts:
    return parse_agent({prefix: [f"identity={number} encryptkey=0"] for prefix, number in entries.items()})


def test_an_address_identity_is_its_endpoints_else_that_of_the_ipcache() -> None:
    endpoint = {
        "kind": "CiliumEndpoint",
        "metadata": {"name": "a", "namespace": "x"},
        "status": {"identity": {"id": 300}, "networking": {"addressing": [{"ipv4": "10.0.0.1"}]}},
    }
    ipcache = {
        "10.0.0.1/32": 301,
        "10.0.0.2/32": 302,
        "10.0.0.3/32": 4,
        "192.0.2.1/32": 6,
        "198.51.100.7/32": (1 << 24) + 5,
        # As Cilium itself enters each node's pods, whose own entries come later.
        "10.0.0.0/24": 2,
        "0.0.0.0/0": 2,
    }
    cluster = merge([("a", parse_objects(endpoint)), ("b", ipcache_of(ipcache))])
    assert cluster.identity_of("10.0.0.1") == 300
    assert cluster.identity_of("10.0.0.2") == 302
    assert cluster.is_node_address("10.0.0.3")
    assert cluster.is_node_address("192.0.2.1")
    assert not cluster.is_node_address("10.0.0.2")
    # An identity of local scope is no VNI, and what is not listed may be a pod that came later.
    assert cluster.identity_of("198.51.100.7") is None
    assert cluster.identity_of("10.0.0.9") is None
    assert cluster.identity_of("203.0.113.1") is None


def test_pods_name_the_identities_that_only_the_ipcache_knows() -> None:
    pod = {
        "kind": "Pod",
        "metadata": {"name": "curl-pod", "namespace": "default"},
        "status": {"podIP": "10.0.0.2", "phase": "Running"},
    }
    ipcache = ipcache_of({"10.0.0.2/32": 302, "10.0.0.4/32": 304})
    cluster = merge([("pods.json", parse_objects(pod)), ("ipcache.json", ipcache)])
    info = cluster.identity(302)
    assert info is not None
    assert (info.name, info.namespace) == ("curl-pod", "default")
    # Known to exist, though not by a name.
    nameless = cluster.identity(304)
    assert nameless is not None
    assert nameless.name is None


def service(name: str, *addresses: str, ports: tuple[int, ...] = (80,)) -> dict[str, Any]:
    return {
        "kind": "Service",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "clusterIP": addresses[0],
            "clusterIPs": list(addresses),
            "ports": [{"port": port, "protocol": "TCP", "targetPort": 8080} for port in ports],
        },
    }


def endpoint_slice(name: str, *addresses: str) -> dict[str, Any]:
    return {
        "kind": "EndpointSlice",
        "addressType": "IPv4",
        "metadata": {
            "name": f"{name}-x7f2p",
            "namespace": "default",
            "labels": {"kubernetes.io/service-name": name},
        },
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}} for address in addresses],
    }


def test_services_are_known_by_address_and_by_backend() -> None:
    cluster = cluster_of(
        service("webpod", "10.96.17.34", "fd00:96::34"),
        endpoint_slice("webpod", "172.20.0.37", "172.20.2.4"),
        endpoint_slice("other", "172.20.2.4"),
    )
    web = Service("webpod", "default", ("10.96.17.34", "fd00:96::34"), (("TCP", 80),))
    assert cluster.service("10.96.17.34") == cluster.service("fd00:96::34") == web
    assert str(web) == "default/webpod"
    assert cluster.service("172.20.2.4") is None
    assert cluster.services_of("172.20.0.37") == ("default/webpod",)
    assert cluster.services_of("172.20.2.4") == ("default/other", "default/webpod")
    assert cluster.services_of("172.20.2.5") == ()


def test_services_that_share_an_address_are_told_by_port() -> None:
    shared = [service("a", "192.0.2.50", ports=(80,)), service("b", "192.0.2.50", ports=(443,))]
    cluster = cluster_of({"kind": "List", "items": shared})
    assert [str(cluster.service("192.0.2.50", port)) for port in (80, 443, 22, None)] == [
        "default/a",
        "default/b",
        "None",
        "None",
    ]
    assert not cluster.conflicts


def test_a_headless_service_has_no_address_of_its_own() -> None:
    cluster = cluster_of(service("db", "None"), endpoint_slice("db", "172.20.0.9"))
    assert not cluster.services
    assert cluster.services_of("172.20.0.9") == ("default/db",)


def test_a_balancers_and_external_addresses_are_the_services_as_well() -> None:
    one = service("web", "10.96.0.9")
    one["spec"]["externalIPs"] = ["203.0.113.5"]
    one["status"] = {"loadBalancer": {"ingress": [{"ip": "192.0.2.50"}, {"hostname": "lb.example"}]}}
    cluster = cluster_of(one)
    assert {str(cluster.service(address)) for address in ("203.0.113.5", "192.0.2.50")} == {"default/web"}


def test_an_address_that_went_from_one_service_to_another_is_a_conflict() -> None:
    cluster = cluster_of(service("old", "10.96.0.9"), service("new", "10.96.0.9"))
    assert str(cluster.service("10.96.0.9")) == "default/new"
    assert [(conflict.kept, conflict.dropped) for conflict in cluster.conflicts] == [("default/new", "default/old")]


def test_one_identity_is_no_full_list_but_a_list_of_them_is() -> None:
    identity = {"kind": "CiliumIdentity", "metadata": {"name": "300"}, "security-labels": {"k8s:app": "a"}}
    assert not cluster_of(identity).has_all_identities
    assert cluster_of({"kind": "List", "items": [identity]}).has_all_identities
    assert not cluster_of({"kind": "List", "items": []}).has_all_identities


def test_the_founding_cases_nodes_and_pods_agree() -> None:
    from vxtool.cluster import load_cluster

    cluster = load_cluster([str(CLUSTER_FILES / name) for name in ("ciliumnodes.json", "ciliumendpoints.json")])
    # As `ip route` on its nodes has it: k8s-w0 is 172.20.2.0/24 by 192.168.20.100.
    share = cluster.pod_cidr("172.20.2.4")
    assert share is not None
    assert (share.node, share.node_address) == ("k8s-w0", "192.168.20.100")


def test_the_pod_of_an_earlier_list_has_a_namespace_too(tmp_path: Path) -> None:
    """Its own table names none; the later list's pod was created after the capture."""
    table, later = tmp_path / "a.txt", tmp_path / "b.json"
    table.write_text(
        "NAME   SECURITY IDENTITY   ENDPOINT STATE   IPV4         IPV6\n"
        "old    300                 ready            172.20.0.9\n"
    )
    pod = {
        "kind": "Pod",
        "metadata": {"name": "new", "namespace": "shop", "creationTimestamp": "2025-08-09T18:00:00Z"},
        "status": {"podIP": "172.20.0.9"},
    }
    later.write_text(json.dumps(pod))
    cluster = load_cluster([str(table), str(later)])
    assert str(cluster.pod("172.20.0.9")) == "shop/new"
    assert cluster.leave_out_later(1_754_760_470_000_000_000) == {}
    assert str(cluster.pod("172.20.0.9")) == "default/old"
