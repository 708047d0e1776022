"""The world of a scenario: nodes, their pods, and the router between them; and the files that tell of it.

A world is a table of a scenario's file, or a file of its own that several scenarios name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any, TypeVar

from vxtool.craft import values
from vxtool.craft.beside import routes_of, text_of
from vxtool.craft.router import Interface
from vxtool.craft.values import located
from vxtool.errors import UsageError
from vxtool.spelling import nearest_named

Named = TypeVar("Named")
_CREATED = "2024-06-01T00:00:00Z"  # long before any capture of these: an older list is a better one


@dataclass(frozen=True)
class Node:
    name: str
    address: str
    interface: str  # of the router, by which it is reached
    mac: str
    overlay_mac: str
    address6: str | None = None
    pod_cidrs: tuple[str, ...] = ()
    internal: str | None = None  # its own address among the pods
    cluster: str | None = None


@dataclass(frozen=True)
class Pod:
    name: str
    node: str
    address: str
    identity: int
    namespace: str = "default"
    address6: str | None = None
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class World:
    nodes: Mapping[str, Node]
    pods: Mapping[str, Pod]
    interfaces: Mapping[str, Interface]
    routes: tuple[tuple[str, str, str | None], ...]  # destination, interface, gateway

    def node(self, name: str) -> Node:
        return _named(self.nodes, name, "node")

    def interface(self, name: str) -> Interface:
        return _named(self.interfaces, name, "interface")

    def pod(self, name: str) -> Pod | None:
        """The pod of this name, or None where it is an address instead."""
        if name in self.pods:
            return self.pods[name]
        try:
            values.address(name)
        except UsageError:
            return _named(self.pods, name, "pod")
        return None

    def ways(self) -> list[tuple[str, str]]:
        """The routes beside those of the links: networks, and the interface that each leads out by."""
        return [
            (to if to != "default" else "::/0" if gateway and ":" in gateway else "0.0.0.0/0", device)
            for to, device, gateway in self.routes
        ]

    def files(self) -> dict[str, str]:
        """What kubectl and ip print of this world, by the kinds of file that `Plan.beside` has."""
        return {"cluster.json": text_of(self._cluster()), "routes.json": text_of(self._routes())}

    def _cluster(self) -> dict[str, Any]:
        items = [*map(self._endpoint, self.pods.values()), *self._identities(), *map(_node, self.nodes.values())]
        return {"apiVersion": "v1", "kind": "List", "items": items}

    def _endpoint(self, pod: Pod) -> dict[str, Any]:
        addressing = {"ipv4": pod.address, **({"ipv6": pod.address6} if pod.address6 else {})}
        return {
            "apiVersion": "cilium.io/v2",
            "kind": "CiliumEndpoint",
            "metadata": _metadata(pod.name, pod.namespace),
            "status": {
                "identity": {"id": pod.identity, "labels": _labels(pod)},
                "networking": {"addressing": [addressing], "node": self.node(pod.node).address},
                "state": "ready",
            },
        }

    def _identities(self) -> list[dict[str, Any]]:
        by_number = {pod.identity: pod for pod in self.pods.values()}
        return [
            {
                "apiVersion": "cilium.io/v2",
                "kind": "CiliumIdentity",
                "metadata": _metadata(str(number)),
                "security-labels": dict(label.split("=", 1) for label in _labels(pod)),
            }
            for number, pod in sorted(by_number.items())
        ]

    def _routes(self) -> list[dict[str, Any]]:
        others = [
            {"dst": to, **({"gateway": gateway} if gateway else {}), "dev": device, "flags": []}
            for to, device, gateway in self.routes
        ]
        return routes_of(self.interfaces.values()) + others


def _node(node: Node) -> dict[str, Any]:
    addresses = [{"type": "InternalIP", "ip": node.address}]
    if node.address6:
        addresses.append({"type": "InternalIP", "ip": node.address6})
    if node.internal:
        addresses.append({"type": "CiliumInternalIP", "ip": node.internal})
    return {
        "apiVersion": "cilium.io/v2",
        "kind": "CiliumNode",
        "metadata": _metadata(node.name),
        "spec": {"addresses": addresses, "ipam": {"podCIDRs": list(node.pod_cidrs)}},
    }


def _labels(pod: Pod) -> list[str]:
    own = pod.labels or (f"k8s:app={pod.name}",)
    return [*own, f"k8s:io.kubernetes.pod.namespace={pod.namespace}"]


def _metadata(name: str, namespace: str | None = None) -> dict[str, Any]:
    return {"name": name, **({"namespace": namespace} if namespace else {}), "creationTimestamp": _CREATED}


def _named(found: Mapping[str, Named], name: str, what: str) -> Named:
    if name not in found:
        near = nearest_named(name, list(found)) if found else "there are none"
        raise UsageError(f"there is no {what} {name!r} in this world; {near}")
    return found[name]


# Reading.

Readers = Mapping[str, Callable[[object], Any]]


def text(value: object) -> str:
    """A name without surprises: it goes into files, and onto terminals."""
    if not isinstance(value, str) or not value or not value.isprintable() or len(value) > 253:
        raise UsageError(f"{value!r} is no name")
    return value


def several(one: Callable[[object], Any]) -> Callable[[object], tuple[Any, ...]]:
    def read(value: object) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise UsageError(f"{value!r} is no list")
        return tuple(one(each) for each in value)

    return read


def _prefix(value: object) -> str:
    try:
        return str(ip_network(str(value), strict=False))
    except ValueError:
        raise UsageError(f"{value!r} is no network; give one such as 172.20.0.0/24") from None


def _own_address(value: object) -> str:
    host, slash, bits = str(value).partition("/")
    if not slash:
        raise UsageError(f"{value!r} has no prefix length; give one such as 192.168.10.200/24")
    _prefix(value)
    return f"{values.address(host)}/{bits}"


def _label(value: object) -> str:
    label = text(value)
    if "=" not in label:
        raise UsageError(f"{label!r} is no label; give one such as k8s:app=web")
    return label


def _identity(value: object) -> int:
    return values.number(value, 0, 0xFFFFFFFF)


def _index(value: object) -> int:
    return values.number(value, 1, (1 << 31) - 1)


def _mtu(value: object) -> int:
    return values.number(value, 576, 65_536)


_NODE: Readers = {
    "name": text,
    "address": values.address,
    "address6": values.address,
    "interface": text,
    "mac": values.mac,
    "overlay_mac": values.mac,
    "pod_cidrs": several(_prefix),
    "internal": values.address,
    "cluster": text,
}
_POD: Readers = {
    "name": text,
    "node": text,
    "address": values.address,
    "address6": values.address,
    "identity": _identity,
    "namespace": text,
    "labels": several(_label),
}
_INTERFACE: Readers = {
    "name": text,
    "index": _index,
    "mac": values.mac,
    "addresses": several(_own_address),
    "mtu": _mtu,
}
_ROUTE: Readers = {
    "to": lambda value: "default" if value == "default" else _prefix(value),
    "interface": text,
    "via": values.address,
}


def read_world(given: Mapping[str, object], where: str) -> World:
    """A world from its tables: `node`, `pod`, `interface` and `route`. Raises UsageError."""
    for key in given:
        if key not in ("node", "pod", "interface", "route"):
            known = nearest_named(key, ["node", "pod", "interface", "route"])
            raise UsageError(f"{where}: there is no table {key!r}; {known}")
    nodes = {row["name"]: Node(**row) for row in _rows(given, "node", _NODE, where)}
    pods = {row["name"]: Pod(**row) for row in _rows(given, "pod", _POD, where)}
    interfaces = {row["name"]: Interface(**row) for row in _rows(given, "interface", _INTERFACE, where)}
    routes = tuple(
        (row["to"], row["interface"], row.get("via")) for row in _rows(given, "route", _ROUTE, where)
    )
    world = World(nodes, pods, interfaces, routes)
    with located(where):
        for pod in pods.values():
            world.node(pod.node)
        for node in nodes.values():
            world.interface(node.interface)
        for _, device, _ in routes:
            world.interface(device)
    return world


_NEEDED: Mapping[str, tuple[str, ...]] = {
    "node": ("name", "address", "interface", "mac", "overlay_mac"),
    "pod": ("name", "node", "address", "identity"),
    "interface": ("name", "index", "mac"),
    "route": ("to", "interface"),
}


def _rows(given: Mapping[str, object], table: str, readers: Readers, where: str) -> list[dict[str, Any]]:
    rows = given.get(table, [])
    if not isinstance(rows, list):
        raise UsageError(f"{where}: {table} is no list of tables; write [[{table}]]")
    return [
        read_table(row, readers, f"{where}: {table} {number}", _NEEDED[table])
        for number, row in enumerate(rows, 1)
    ]


def read_table(
    given: object, readers: Readers, where: str, needed: tuple[str, ...] = ()
) -> dict[str, Any]:
    """The values of a table by their readers; keys may have dashes for underscores. Raises UsageError."""
    if not isinstance(given, dict):
        raise UsageError(f"{where}: expected a table")
    read: dict[str, Any] = {}
    for key, value in given.items():
        name = key.replace("-", "_")
        if name not in readers:
            raise UsageError(f"{where}: there is no key {key!r}; {nearest_named(key, list(readers))}")
        with located(f"{where}: {key}"):
            read[name] = readers[name](value)
    for key in needed:
        if key not in read:
            raise UsageError(f"{where}: {key} is missing")
    return read
