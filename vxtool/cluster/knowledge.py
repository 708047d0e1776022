"""What the operator's files say about a cluster, merged into look-ups.

Each loader turns one file into `Facts` and knows nothing of the others. Here the facts of all files are laid
upon each other, in the order in which the files were given: what a later file says wins, what it leaves open
stays, and where two files contradict each other the conflict is kept, so that a report can say on whose word
a name stands. Addresses are compared as text, in the one spelling that `ipaddress` gives them; a look-up is
one dict access.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from typing import NamedTuple

from vxtool.cluster.identities import (
    IdentityInfo,
    labelled_identity,
    reserved_identity,
    workload_name,
)
from vxtool.cluster.lookup import Cluster
from vxtool.cluster.prefixes import Prefixes

_MOST_PROBLEMS = 5


DEFAULT_NAMESPACE = "default"


@dataclass(frozen=True)
class Endpoint:
    """One pod: its names, security identity and addresses, as far as the files tell.

    `addresses` and `node_address` are in the spelling of `ipaddress`; `node_address` is its node's underlay
    address, the VTEP of its traffic.

    `created` is when the pod was, `listed` when its CiliumEndpoint was, which may be written anew while the pod
    lives on; both in ns since 1970.
    """

    name: str
    namespace: str | None = None
    identity: int | None = None
    addresses: tuple[str, ...] = ()
    node_address: str | None = None
    labels: tuple[str, ...] = ()
    node_name: str | None = None
    created: int | None = None
    listed: int | None = None

    @property
    def since(self) -> int | None:
        """The time before which its addresses were not this pod's, in ns since 1970; for certain by `created`."""
        return self.created if self.created is not None else self.listed

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


class NodeAddress(NamedTuple):
    """An address that belongs to a node itself: of its underlay, or Cilium's own on it.

    `internal`: it is that of the underlay, the node's InternalIP.
    """

    address: str
    name: str
    internal: bool = False


class NodeCidrs(NamedTuple):
    """The prefixes that a node's pods have addresses of; `cilium`: as Cilium itself allots them."""

    name: str
    prefixes: tuple[str, ...]
    cilium: bool


class PodCidr(NamedTuple):
    """One of these, with the node's InternalIP of the same family: what a route to its pods needs."""

    prefix: str
    node: str
    node_address: str | None


class Service(NamedTuple):
    """A service: `addresses` are those that clients use, `ports` pairs such as ("TCP", 80)."""

    name: str
    namespace: str | None
    addresses: tuple[str, ...]
    ports: tuple[tuple[str, int], ...] = ()

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


class Backend(NamedTuple):
    """An address that a service sends to; `service` as the service's own text."""

    address: str
    service: str


class Source(NamedTuple):
    """One file that was read: what it holds, how many items were used, how many could not be.

    `taken` is when it was taken, where it tells, and `newest` when the newest of its items was created: it
    cannot have been taken before that. Both in ns since 1970. `problem` says what of it could not be used.
    `assumed_namespace` is that of names in it of which nothing tells the namespace. `taken_unsure`: its time is
    of a zone that nothing tells, and taken for UTC.
    """

    path: str
    kind: str
    items: int
    skipped: int
    taken: int | None = None
    newest: int | None = None
    problem: str | None = None
    assumed_namespace: str | None = None
    taken_unsure: bool = False


class Conflict(NamedTuple):
    """Two answers to one question; `kept` is used, because its file came later."""

    subject: str
    kept: str
    kept_file: str
    dropped: str
    dropped_file: str

    def __str__(self) -> str:
        return (
            f"{self.subject} is {self.kept} in {self.kept_file}, but {self.dropped} in {self.dropped_file}; "
            f"{self.kept} is used"
        )

    def turned(self) -> Conflict:
        """The same, where the other answer is used after all."""
        return self._replace(
            kept=self.dropped, kept_file=self.dropped_file, dropped=self.kept, dropped_file=self.kept_file
        )


@dataclass
class Facts:
    """What one file says. `kinds` counts the items that were used by kind, `skipped` the others.

    Times are as a Source has them; `problems` name parts of it that could not be read.
    """

    endpoints: list[Endpoint] = field(default_factory=list)
    identities: list[IdentityInfo] = field(default_factory=list)
    nodes: list[NodeAddress] = field(default_factory=list)
    pod_cidrs: list[NodeCidrs] = field(default_factory=list)
    services: list[Service] = field(default_factory=list)
    backends: list[Backend] = field(default_factory=list)
    ipcache: list[tuple[str, int]] = field(default_factory=list)  # address and identity
    has_all_identities: bool = False
    kinds: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    taken: int | None = None
    taken_unsure: bool = False
    newest: int | None = None
    problems: list[str] = field(default_factory=list)

    @property
    def problem(self) -> str | None:
        """The problems as one text, the first few of them named."""
        more = len(self.problems) - _MOST_PROBLEMS
        named = "; ".join(self.problems[:_MOST_PROBLEMS])
        return f"{named}; and {more} more" if more > 0 else named or None


def canonical(address: object) -> str | None:
    """Return an IP address in the one spelling that look-ups use; None for what is no plain IP address."""
    if not isinstance(address, str) or "%" in address:
        return None
    try:
        return str(ip_address(address))
    except ValueError:
        return None


def merge(files: Iterable[tuple[str, Facts]]) -> Cluster:
    """Lay the facts of several files (path and facts) upon each other; later ones win."""
    cluster = Cluster()
    without_address: list[Endpoint] = []
    cidrs: dict[str, NodeCidrs] = {}
    for path, facts in files:
        kinds = " + ".join(facts.kinds) or "nothing"
        cluster.sources.append(
            Source(
                path,
                kinds,
                facts.kinds.total(),
                facts.skipped.total(),
                facts.taken,
                facts.newest,
                facts.problem,
                taken_unsure=facts.taken_unsure,
            )
        )
        for identity in facts.identities:
            _lay_identity(cluster, identity, path)
        for node in facts.nodes:
            _lay_node(cluster, node, path)
        for share in facts.pod_cidrs:
            # A Node's own prefixes may be others than Cilium's pools give to its pods.
            if share.cilium or share.name not in cidrs or not cidrs[share.name].cilium:
                cidrs[share.name] = share
        _lay_services(cluster, facts, path)
        _lay_ipcache(cluster, facts.ipcache, path)
        cluster.has_all_identities |= facts.has_all_identities
        cluster.has_cilium_objects |= any(kind.startswith("cilium") for kind in facts.kinds)
        for endpoint in facts.endpoints:
            if endpoint.addresses:
                _lay_endpoint(cluster, endpoint, path)
            elif endpoint.identity is not None:
                without_address.append(endpoint)
                cluster.files.setdefault(endpoint.identity, path)
    _name_nodes(cluster)
    _index_pod_cidrs(cluster, cidrs.values())
    for address in cluster.nodes.keys() & cluster.pods.keys():
        # A pod on the host's network is listed with the node's address, which other pods and the node share.
        del cluster.pods[address]
    _assume_namespaces(cluster)
    _name_identities(cluster, without_address)
    return cluster


def _lay_identity(cluster: Cluster, identity: IdentityInfo, path: str) -> None:
    old = cluster.identities.get(identity.number)
    if old is not None and old.labels != identity.labels:
        cluster.conflicts.append(
            Conflict(
                f"identity {identity.number}",
                ",".join(identity.labels),
                path,
                ",".join(old.labels),
                cluster.files[identity.number],
            )
        )
    cluster.identities[identity.number] = identity
    cluster.files[identity.number] = path


def _lay_node(cluster: Cluster, node: NodeAddress, path: str) -> None:
    address, name, internal = node
    old = cluster.nodes.get(address)
    if old is not None and old != name:
        cluster.conflicts.append(Conflict(address, name, path, old, cluster.files[address]))
    cluster.nodes[address] = name
    cluster.files[address] = path
    if internal:
        cluster.node_addresses[name] = tuple(dict.fromkeys((*cluster.node_addresses.get(name, ()), address)))


def _lay_services(cluster: Cluster, facts: Facts, path: str) -> None:
    here: dict[str, dict[str, Service]] = defaultdict(dict)
    for service in facts.services:
        for address in service.addresses:
            here[address][str(service)] = service
    for address, services in here.items():
        old = cluster.services.get(address, ())
        if old and services.keys().isdisjoint(map(str, old)):
            kept, dropped = (", ".join(map(str, each)) for each in (services.values(), old))
            cluster.conflicts.append(Conflict(address, kept, path, dropped, cluster.files[address]))
        cluster.services[address] = tuple(services.values())
        cluster.files[address] = path
    for address, name in facts.backends:
        cluster.backends[address] = tuple(sorted({*cluster.backends.get(address, ()), name}))


def _lay_ipcache(cluster: Cluster, entries: Iterable[tuple[str, int]], path: str) -> None:
    for address, number in entries:
        cluster.ipcache[address] = number
        cluster.files.setdefault(number, path)
        if number not in cluster.identities and reserved_identity(number) is None:
            cluster.identities[number] = labelled_identity(number, ())


def _index_pod_cidrs(cluster: Cluster, shares: Iterable[NodeCidrs]) -> None:
    for share in shares:
        cluster.pod_cidrs[share.name] = share.prefixes
        if cluster.by_pod_cidr is None:
            cluster.by_pod_cidr = Prefixes()
        for prefix in share.prefixes:
            own = (
                address
                for address in cluster.node_addresses.get(share.name, ())
                if (":" in address) == (":" in prefix)
            )
            cluster.by_pod_cidr[prefix] = PodCidr(prefix, share.name, next(own, None))


def _lay_endpoint(cluster: Cluster, endpoint: Endpoint, path: str) -> None:
    merged = endpoint
    for address in endpoint.addresses:
        old = cluster.pods.get(address)
        if old is None:
            continue
        if _same_pod(old, endpoint):
            merged = _filled(merged, old)
        else:
            cluster.earlier.setdefault(address, []).append((old, cluster.files[address]))
        difference = _difference(old, endpoint)
        if difference is not None:
            kept, dropped = difference
            cluster.conflicts.append(Conflict(address, kept, path, dropped, cluster.files[address]))
    for address in merged.addresses:
        # An address that only the earlier file gave to this pod may have become another's in between.
        if address in endpoint.addresses or _same_pod(cluster.pods[address], endpoint):
            cluster.pods[address] = merged
            cluster.files[address] = path
    if endpoint.identity is not None:
        cluster.files.setdefault(endpoint.identity, path)


def _same_pod(one: Endpoint, other: Endpoint) -> bool:
    namespaces = {one.namespace, other.namespace} - {None}
    return one.name == other.name and len(namespaces) < 2


def _filled(new: Endpoint, old: Endpoint) -> Endpoint:
    """Return `new`, with what it leaves open taken from `old`, the same pod in an earlier file."""
    return replace(
        new,
        namespace=new.namespace or old.namespace,
        identity=old.identity if new.identity is None else new.identity,
        addresses=tuple(dict.fromkeys(new.addresses + old.addresses)),
        node_address=new.node_address or old.node_address,
        labels=new.labels or old.labels,
        node_name=new.node_name or old.node_name,
        # Whoever follows a pod under its name and at its address is no other to a reader of names.
        created=min((each.created for each in (new, old) if each.created is not None), default=None),
        listed=min((each.listed for each in (new, old) if each.listed is not None), default=None),
    )


def _difference(old: Endpoint, new: Endpoint) -> tuple[str, str] | None:
    """Return how the two files describe one address, new and old, where they contradict each other."""
    if not _same_pod(old, new):
        return str(new), str(old)
    if None not in (old.identity, new.identity) and old.identity != new.identity:
        return f"{new} with identity {new.identity}", f"{old} with identity {old.identity}"
    return None


def _name_nodes(cluster: Cluster) -> None:
    """Name VTEPs through pods: one file tells a pod's node by address, another by name."""
    for address, endpoint in cluster.pods.items():
        if endpoint.node_address and endpoint.node_name and endpoint.node_address not in cluster.nodes:
            cluster.nodes[endpoint.node_address] = endpoint.node_name
            cluster.files[endpoint.node_address] = cluster.files[address]


def _assume_namespaces(cluster: Cluster) -> None:
    """Give those names a namespace that come from plain tables without that column and from nowhere else: kubectl
    then lists the namespace of the current context, which is `default` where nobody set one."""
    guessed: set[str] = set()

    def settled(pod: Endpoint, path: str) -> Endpoint:
        if pod.namespace is not None:
            return pod
        identity = cluster.identities.get(pod.identity) if pod.identity is not None else None
        told = identity.namespace if identity is not None else None
        if told is None:
            guessed.add(path)
        return replace(pod, namespace=told or DEFAULT_NAMESPACE)

    for address, pod in cluster.pods.items():
        cluster.pods[address] = settled(pod, cluster.files[address])
    for entries in cluster.earlier.values():
        entries[:] = [(settled(pod, path), path) for pod, path in entries]
    for address, services in cluster.services.items():
        if any(service.namespace is None for service in services):
            cluster.services[address] = tuple(
                service._replace(namespace=service.namespace or DEFAULT_NAMESPACE) for service in services
            )
            guessed.add(cluster.files[address])
    for address, names in cluster.backends.items():
        cluster.backends[address] = tuple(name if "/" in name else f"{DEFAULT_NAMESPACE}/{name}" for name in names)
    cluster.sources = [
        source._replace(assumed_namespace=DEFAULT_NAMESPACE) if source.path in guessed else source
        for source in cluster.sources
    ]


def _name_identities(cluster: Cluster, without_address: list[Endpoint]) -> None:
    """Add the identities that only endpoints tell of, and name each by its pods where their names agree.

    A pod's own name says more to an operator than the label that a policy selects it by.
    """
    members: dict[int, list[Endpoint]] = defaultdict(list)
    for address, endpoint in cluster.pods.items():
        # Pods' own lists tell no identity; the ipcache has it by address.
        number_of = endpoint.identity if endpoint.identity is not None else cluster.identity_of(address)
        if number_of is not None:
            members[number_of].append(endpoint)
    for endpoint in without_address:
        if endpoint.identity is not None:
            members[endpoint.identity].append(endpoint)
    for number, endpoints in members.items():
        info = cluster.identities.get(number)
        if info is None:
            labels = next((endpoint.labels for endpoint in endpoints if endpoint.labels), ())
            info = labelled_identity(number, labels)
        namespaces = {endpoint.namespace for endpoint in endpoints}
        if info.namespace is None and len(namespaces) == 1:
            info = info._replace(namespace=namespaces.pop())
        workload = workload_name(endpoint.name for endpoint in endpoints)
        if workload is not None and (info.name is None or ", " not in workload):
            info = info._replace(name=workload)
            named_by = (cluster.files.get(address) for each in endpoints for address in each.addresses)
            cluster.files[number] = next(filter(None, named_by), cluster.files.get(number, ""))
        cluster.identities[number] = info
