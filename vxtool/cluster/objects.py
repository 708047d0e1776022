"""Kubernetes objects, as `kubectl get ... -o json` and `-o yaml` print them.

One object or a List of them, kinds mixed at will. Each object tells its own kind; those of other kinds are
counted and left alone, and so are those that lack what makes them useful. The fields are those of Cilium's
CRDs (https://docs.cilium.io/en/stable/network/kubernetes/ciliumendpoint/) and of the Kubernetes API for Pod,
Node, Service and EndpointSlice.
"""

from __future__ import annotations

from typing import Any

from vxtool.cluster.files import as_list, as_mapping, as_name, as_number, as_time
from vxtool.cluster.identities import LARGEST_VNI, labelled_identity
from vxtool.cluster.knowledge import Backend, Endpoint, Facts, NodeAddress, NodeCidrs, Service, canonical
from vxtool.cluster.prefixes import canonical_prefix

# Lists within lists are no output of kubectl; two levels serve those who paste lists together by hand.
_MAX_DEPTH = 3


def parse_objects(document: object) -> Facts:
    """Return what a JSON document tells; nothing of use in it leaves `kinds` empty."""
    facts = Facts()
    take_objects(document, facts)
    return facts


def take_objects(document: object, facts: Facts, kind: str | None = None) -> None:
    """Add what a JSON document tells. `kind` is that of objects that do not tell their own."""
    _take(document, facts, kind, _MAX_DEPTH)


def _take(value: object, facts: Facts, kind: str | None, depth: int) -> None:
    item = as_mapping(value)
    items = item.get("items")
    if isinstance(items, list) and depth:
        # Items of a typed list (CiliumEndpointList, from the API itself) do not repeat their kind.
        listed = (as_name(item.get("kind")) or "List").removesuffix("List") or kind
        if not items:
            facts.kinds["empty list"] += 0
        identities = len(facts.identities)
        for entry in items:
            _take(entry, facts, listed, depth - 1)
        facts.has_all_identities |= len(facts.identities) > identities
        return
    kind = as_name(item.get("kind")) or kind or "no kind"
    take = _BY_KIND.get(kind)
    if take is not None and take(item, facts):
        facts.kinds[_plural(kind)] += 1
        created = _created(item)
        if created is not None:
            facts.newest = max(created, facts.newest or created)
    else:
        facts.skipped[kind] += 1


def _created(item: dict[str, Any]) -> int | None:
    return as_time(as_mapping(item.get("metadata")).get("creationTimestamp"))


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
    addresses = _endpoint_addresses(networking)
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
            listed=_created(item),
        )
    )
    return True


def _cilium_endpoint_slice(item: dict[str, Any], facts: Facts) -> bool:
    """Many endpoints in one object, without labels (https://docs.cilium.io/en/stable/network/kubernetes/
    ciliumendpointslice/)."""
    namespace = as_name(item.get("namespace"))
    found = False
    for entry in map(as_mapping, as_list(item.get("endpoints"))):
        name, number = as_name(entry.get("name")), as_number(entry.get("id"), LARGEST_VNI)
        networking = as_mapping(entry.get("networking"))
        addresses = _endpoint_addresses(networking)
        if name is not None and (number is not None or addresses):
            # When the slice was created tells nothing of the endpoints in it.
            node = canonical(networking.get("node"))
            facts.endpoints.append(Endpoint(name, namespace, number, addresses, node))
            found = True
    return found


def _endpoint_addresses(networking: dict[str, Any]) -> tuple[str, ...]:
    pairs = map(as_mapping, as_list(networking.get("addressing")))
    return _addresses([pair.get(family) for pair in pairs for family in ("ipv4", "ipv6")])


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
        facts.nodes.append(NodeAddress(node_address, node_name, True))
    addresses = _addresses(
        [status.get("podIP"), *(as_mapping(entry).get("ip") for entry in as_list(status.get("podIPs")))]
    )
    if name is not None:
        facts.kinds[_plural("Pod")] += 0  # a list of pods it is, though they may all be such as follow
    # A pod on the host's network has the node's addresses, and a finished pod's may long be another's.
    if spec.get("hostNetwork") is True or status.get("phase") in ("Succeeded", "Failed"):
        return bool(node_name and node_address)
    if name is None or not addresses:
        return False
    facts.endpoints.append(
        Endpoint(name, namespace, None, addresses, node_address, node_name=node_name, created=_created(item)),
    )
    return True


def _cilium_node(item: dict[str, Any], facts: Facts) -> bool:
    spec = as_mapping(item.get("spec"))
    name, _ = _names(item)
    found = _node_addresses(item, facts, as_list(spec.get("addresses")), "ip")
    # What health checks and the Ingress listener answer from are the node's as well.
    own = [as_mapping(spec.get(part)).get(family) for part in ("health", "ingress") for family in ("ipv4", "ipv6")]
    if name is not None:
        facts.nodes.extend(NodeAddress(address, name) for address in _addresses(own))
    ipam = as_mapping(spec.get("ipam"))
    pools = as_list(as_mapping(ipam.get("pools")).get("allocated"))
    prefixes = [*as_list(ipam.get("podCIDRs"))]
    for pool in map(as_mapping, pools):
        prefixes += as_list(pool.get("cidrs"))
    return _pod_cidrs(item, facts, prefixes, cilium=True) or found


def _node(item: dict[str, Any], facts: Facts) -> bool:
    # Host names stand among a Node's addresses; they are no IP addresses and fall out.
    found = _node_addresses(item, facts, as_list(as_mapping(item.get("status")).get("addresses")), "address")
    spec = as_mapping(item.get("spec"))
    return _pod_cidrs(item, facts, [spec.get("podCIDR"), *as_list(spec.get("podCIDRs"))], cilium=False) or found


def _node_addresses(item: dict[str, Any], facts: Facts, entries: list[object], key: str) -> bool:
    name, _ = _names(item)
    if name is None:
        return False
    before = len(facts.nodes)
    for entry in map(as_mapping, entries):
        address = canonical(entry.get(key))
        if address is not None:
            facts.nodes.append(NodeAddress(address, name, entry.get("type") == "InternalIP"))
    return len(facts.nodes) > before


def _pod_cidrs(item: dict[str, Any], facts: Facts, values: list[object], *, cilium: bool) -> bool:
    name, _ = _names(item)
    prefixes = tuple(dict.fromkeys(prefix for value in values if (prefix := canonical_prefix(value)) is not None))
    if name is None or not prefixes:
        return False
    facts.pod_cidrs.append(NodeCidrs(name, prefixes, cilium))
    return True


def _service(item: dict[str, Any], facts: Facts) -> bool:
    name, namespace = _names(item)
    spec = as_mapping(item.get("spec"))
    balancer = as_mapping(as_mapping(item.get("status")).get("loadBalancer"))
    # A headless service has "None" for its address, and only backends.
    addresses = _addresses(
        [
            spec.get("clusterIP"),
            *as_list(spec.get("clusterIPs")),
            *as_list(spec.get("externalIPs")),
            *(as_mapping(entry).get("ip") for entry in as_list(balancer.get("ingress"))),
        ]
    )
    if name is None or not addresses:
        return False
    ports = []
    for entry in map(as_mapping, as_list(spec.get("ports"))):
        port = as_number(entry.get("port"), 0xFFFF)
        if port is not None:
            ports.append((as_name(entry.get("protocol")) or "TCP", port))
    facts.services.append(Service(name, namespace, addresses, tuple(ports)))
    return True


def _endpoint_slice(item: dict[str, Any], facts: Facts) -> bool:
    _, namespace = _names(item)
    labels = as_mapping(as_mapping(item.get("metadata")).get("labels"))
    name = as_name(labels.get("kubernetes.io/service-name"))
    addresses = _addresses(
        [
            address
            for entry in as_list(item.get("endpoints"))
            for address in as_list(as_mapping(entry).get("addresses"))
        ]
    )
    if name is None or not addresses:
        return False
    service = f"{namespace}/{name}" if namespace else name
    facts.backends.extend(Backend(address, service) for address in addresses)
    return True


_BY_KIND = {
    "CiliumEndpoint": _endpoint,
    "CiliumEndpointSlice": _cilium_endpoint_slice,
    "CiliumIdentity": _identity,
    "CiliumNode": _cilium_node,
    "EndpointSlice": _endpoint_slice,
    "Node": _node,
    "Pod": _pod,
    "Service": _service,
}
