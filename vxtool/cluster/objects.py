"""Kubernetes objects, as `kubectl get ... -o json` prints them.

One object or a List of them, kinds mixed at will. Each object tells its own kind; those of other kinds are
counted and left alone, and so are those that lack what makes them useful. The fields are those of Cilium's
CRDs (https://docs.cilium.io/en/stable/network/kubernetes/ciliumendpoint/) and of the Kubernetes API for Pod
and Node.
"""

from __future__ import annotations

from typing import Any

from vxtool.cluster.files import as_list, as_mapping, as_name, as_number
from vxtool.cluster.identities import LARGEST_VNI, labelled_identity
from vxtool.cluster.knowledge import Endpoint, Facts, NodeAddress, canonical

# Lists within lists are no output of kubectl; two levels serve those who paste lists together by hand.
_MAX_DEPTH = 3


def parse_objects(document: object) -> Facts:
    """Return what a JSON document tells; nothing of use in it leaves `kinds` empty."""
    facts = Facts()
    _take(document, facts, _MAX_DEPTH)
    return facts


def _take(value: object, facts: Facts, depth: int) -> None:
    item = as_mapping(value)
    items = item.get("items")
    if isinstance(items, list) and depth:
        kind = as_name(item.get("kind")) or "List"
        if not items:
            facts.kinds["empty list"] += 0
        for entry in items:
            # Items of a typed list (CiliumEndpointList, from the API itself) do not repeat their kind.
            if isinstance(entry, dict) and "kind" not in entry and kind != "List":
                entry = {**entry, "kind": kind.removesuffix("List")}
            _take(entry, facts, depth - 1)
        return
    kind = as_name(item.get("kind")) or "no kind"
    take = _BY_KIND.get(kind)
    if take is not None and take(item, facts):
        facts.kinds[_plural(kind)] += 1
    else:
        facts.skipped[kind] += 1


def _plural(kind: str) -> str:
    name = kind.lower()
    return name.removesuffix("y") + "ies" if name.endswith("y") else name + "s"


def _names(item: dict[str, Any]) -> tuple[str | None, str | None]:
    metadata = as_mapping(item.get("metadata"))
    return as_name(metadata.get("name")), as_name(metadata.get("namespace"))


def _addresses(values: list[object]) -> tuple[str, ...]:
    found = (canonical(value) for value in values)
    return tuple(dict.fromkeys(address for address in found if address is not None))


def _endpoint(item: dict[str, Any], facts: Facts) -> bool:
    name, namespace = _names(item)
    status = as_mapping(item.get("status"))
    networking = as_mapping(status.get("networking"))
    identity = as_mapping(status.get("identity"))
    addresses = _addresses(
        [
            as_mapping(pair).get(family)
            for pair in as_list(networking.get("addressing"))
            for family in ("ipv4", "ipv6")
        ]
    )
    number = as_number(identity.get("id"), LARGEST_VNI)
    if name is None or (number is None and not addresses):
        return False
    labels = [text for label in as_list(identity.get("labels")) if (text := as_name(label)) is not None]
    facts.endpoints.append(
        Endpoint(
            name,
            namespace,
            number,
            addresses,
            canonical(networking.get("node")),
            tuple(sorted(labels)),
        )
    )
    return True


def _identity(item: dict[str, Any], facts: Facts) -> bool:
    name, _ = _names(item)
    if name is None or not (name.isascii() and name.isdigit()) or len(name) > len(str(LARGEST_VNI)):
        return False
    number = as_number(int(name), LARGEST_VNI)
    labels = as_mapping(item.get("security-labels"))
    if number is None or not labels:
        return False
    # A reserved label has no value: it is written without the equals sign, as on endpoints.
    texts = [f"{key}={value}" if value else key for key, value in labels.items() if isinstance(value, str)]
    facts.identities.append(
        labelled_identity(number, [text for label in texts if (text := as_name(label)) is not None])
    )
    return True


def _pod(item: dict[str, Any], facts: Facts) -> bool:
    name, namespace = _names(item)
    spec, status = as_mapping(item.get("spec")), as_mapping(item.get("status"))
    node_name, node_address = as_name(spec.get("nodeName")), canonical(status.get("hostIP"))
    if node_name and node_address:
        facts.nodes.append(NodeAddress(node_address, node_name))
    addresses = _addresses(
        [status.get("podIP"), *(as_mapping(entry).get("ip") for entry in as_list(status.get("podIPs")))]
    )
    # A pod on the host's network has the node's addresses, and a finished pod's may long be another's.
    if spec.get("hostNetwork") is True or status.get("phase") in ("Succeeded", "Failed"):
        return bool(node_name and node_address)
    if name is None or not addresses:
        return False
    facts.endpoints.append(
        Endpoint(name, namespace, None, addresses, node_address, node_name=node_name),
    )
    return True


def _cilium_node(item: dict[str, Any], facts: Facts) -> bool:
    addresses = as_list(as_mapping(item.get("spec")).get("addresses"))
    return _node_addresses(item, facts, [as_mapping(entry).get("ip") for entry in addresses])


def _node(item: dict[str, Any], facts: Facts) -> bool:
    addresses = as_list(as_mapping(item.get("status")).get("addresses"))
    # Host names stand among a Node's addresses; they are no IP addresses and fall out.
    return _node_addresses(item, facts, [as_mapping(entry).get("address") for entry in addresses])


def _node_addresses(item: dict[str, Any], facts: Facts, values: list[object]) -> bool:
    name, _ = _names(item)
    addresses = _addresses(values)
    if name is None or not addresses:
        return False
    facts.nodes.extend(NodeAddress(address, name) for address in addresses)
    return True


_BY_KIND = {
    "CiliumEndpoint": _endpoint,
    "CiliumIdentity": _identity,
    "CiliumNode": _cilium_node,
    "Node": _node,
    "Pod": _pod,
}
