"""What analysis asks: which pod, node, identity or interface a number stands for, and which route an address takes.

The files are merged into these by `vxtool.cluster.knowledge`, `vxtool.cluster.links` and `vxtool.cluster.routes`.
They stand apart because a run without files needs no more than them, empty, and should not pay for the loaders.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from vxtool.cluster.identities import LARGEST_VNI, OF_NODES, IdentityInfo, reserved_identity

if TYPE_CHECKING:
    from vxtool.cluster.knowledge import Conflict, Endpoint, PodCidr, Service, Source
    from vxtool.cluster.links import Link
    from vxtool.cluster.prefixes import Prefixes
    from vxtool.cluster.routes import Route


class Cluster:
    """The merged knowledge of `--cluster`.

    By address: `pods`, `nodes` (their own addresses, to the node's name), `services` (each address's, several
    where they share one by port) and `backends` (to the names of the services that send there). By a node's
    name: `pod_cidrs`, and `node_addresses`, those of the underlay (InternalIP). `identities` are by number, only
    those of the files; `ipcache` has their numbers by address. `files` tells which file a name came from, by
    address (text) or identity (number).

    Addresses and prefixes are texts in the spelling of `ipaddress`; what is asked with another is not found.
    """

    def __init__(self) -> None:
        self.pods: dict[str, Endpoint] = {}
        self.nodes: dict[str, str] = {}
        self.services: dict[str, tuple[Service, ...]] = {}
        self.backends: dict[str, tuple[str, ...]] = {}
        self.pod_cidrs: dict[str, tuple[str, ...]] = {}
        self.node_addresses: dict[str, tuple[str, ...]] = {}
        self.identities: dict[int, IdentityInfo] = {}
        self.ipcache: dict[str, int] = {}
        self.sources: list[Source] = []
        self.conflicts: list[Conflict] = []
        self.files: dict[str | int, str] = {}
        # Whether a list of all identities is among the files: CiliumIdentity objects, or an agent's own list. Those
        # of other clusters in a mesh are in an agent's list only.
        self.has_all_identities = False
        self.has_cilium_objects = False  # CiliumNode and the like, whether or not they name an identity
        self.by_pod_cidr: Prefixes[PodCidr] | None = None
        # The pods that had an address by earlier files, and those files: the last one of a later file is believed.
        self.earlier: dict[str, list[tuple[Endpoint, str]]] = {}
        # How many of a VNI's 24 bits tell the cluster in a ClusterMesh: 8, or 9 with up to 511 clusters.
        self.cluster_id_bits = 8

    @property
    def cluster_id_shift(self) -> int:
        """How many of a VNI's low bits a cluster allots by itself."""
        return LARGEST_VNI.bit_length() - self.cluster_id_bits

    @property
    def has_identities(self) -> bool:
        """Whether the files name any security identity, so that a VNI can be looked up at all."""
        return bool(self.identities)

    @property
    def is_cilium(self) -> bool:
        """Whether the files say that it is a cluster of Cilium's: they hold objects of its own, or identities."""
        return self.has_cilium_objects or self.has_identities

    def identity(self, vni: int) -> IdentityInfo | None:
        """Return what `vni` stands for: by the files, else by Cilium's reserved numbers; None where unknown.

        ValueError where `vni` does not fit into 24 bits.
        """
        return self.identities.get(vni) or reserved_identity(vni)

    def identity_of(self, address: str) -> int | None:
        """Return the security identity that traffic from `address` is to carry: its endpoint's, else by ipcache.

        None where neither tells. Of an ipcache only entries for this one address do.
        """
        pod = self.pods.get(address)
        if pod is not None and pod.identity is not None:
            return pod.identity
        return self.ipcache.get(address)

    def pod(self, address: str) -> Endpoint | None:
        """Return the pod at `address` (in the spelling of `ipaddress`); None for nodes and strangers."""
        return self.pods.get(address)

    def leave_out_later(self, time: int) -> dict[str, Endpoint]:
        """Forget the pods that were not there before `time` (ns since 1970), and return those, by address.

        An address that an earlier file gave to a pod that was there is that one's then, and is not returned.
        """
        later = {}
        for address, pod in [*self.pods.items()]:
            if not _after(pod, time):
                continue
            before = [entry for entry in self.earlier.get(address, ()) if not _after(entry[0], time)]
            if before:
                self.pods[address], path = before[-1]
                self.conflicts = [
                    conflict.turned() if conflict.subject == address and conflict.dropped_file == path else conflict
                    for conflict in self.conflicts
                ]
                self.files[address] = path
            else:
                later[address] = self.pods.pop(address)
        return later

    def node(self, address: str) -> str | None:
        """Return the name of the node that has `address` itself, such as a VTEP's; None where unknown."""
        return self.nodes.get(address)

    def is_node_address(self, address: str) -> bool:
        """Whether `address` is a node's own: of its underlay, Cilium's on it (cilium_host, Ingress), or health's.

        Such addresses are in no list of endpoints, and several identities may send from one.
        """
        return address in self.nodes or (address not in self.pods and self.ipcache.get(address) in OF_NODES)

    def pod_cidr(self, address: str) -> PodCidr | None:
        """Return the node's share of the pods' addresses that `address` is in: the longest; None where unknown."""
        return self.by_pod_cidr.find(address) if self.by_pod_cidr is not None else None

    def service(self, address: str, port: int | None = None) -> Service | None:
        """Return the service at `address`; where several share it, the one that has `port`, else None."""
        services = self.services.get(address, ())
        if len(services) > 1:
            services = tuple(each for each in services if any(port == own for _, own in each.ports))
        return services[0] if len(services) == 1 else None

    def services_of(self, address: str) -> tuple[str, ...]:
        """Return the names (`namespace/name`) of the services that have `address` as a backend, in order."""
        return self.backends.get(address, ())


def _after(pod: Endpoint, time: int) -> bool:
    return pod.since is not None and pod.since > time


class Links:
    """All interfaces that the files of `--links` tell of, merged.

    `macs` and `addresses` are all own ones: a packet sent to such a MAC was meant for this machine, a
    datagram for such an address ends in it.
    """

    def __init__(self) -> None:
        self.by_index: dict[int, Link] = {}
        self.sources: list[Source] = []
        self.conflicts: list[Conflict] = []
        self.files: dict[int, str] = {}
        self._networks: Prefixes[tuple[str, frozenset[str]]] | None = None  # made of the above when asked for

    @property
    def by_name(self) -> dict[str, Link]:
        """The interfaces by name."""
        return {link.name: link for link in self.by_index.values()}

    @property
    def macs(self) -> frozenset[bytes]:
        """The machine's own MACs, each 6 bytes; none for loopback."""
        return frozenset(link.mac for link in self.by_index.values() if link.mac is not None)

    @property
    def addresses(self) -> frozenset[str]:
        """The machine's own IP addresses, in the spelling of `ipaddress`."""
        return frozenset(address for link in self.by_index.values() for address in link.addresses)

    def behind(self, address: str) -> tuple[str, frozenset[str]] | None:
        """Return the network on a link of this machine that holds `address`, the longest, and the names of the
        interfaces that are on it; None where it is on none, as far as `ip -j addr` told.
        """
        if self._networks is None:
            from vxtool.cluster.prefixes import Prefixes  # here, because most runs ask for none

            named: dict[str, frozenset[str]] = {}
            for link in self.by_index.values():
                for network in link.networks:
                    named[network] = named.get(network, frozenset()) | {link.name}
            self._networks = Prefixes()
            for network, names in named.items():
                self._networks[network] = network, names
        return self._networks.find(address)

    def name(self, index: int) -> str | None:
        """Return the name of the interface `index`; None where unknown."""
        link = self.by_index.get(index)
        return link.name if link else None


# Every datagram is looked up in these, one after the other, before any other table that a rule may name.
USUAL_TABLES = ("local", None, "default")


class Routes:
    """All routes that the files of `--routes` tell of.

    Addresses are texts in the spelling of `ipaddress`; for what is none there is no route. `addresses` are the
    machine's own ones, as local routes and preferred sources tell.
    """

    def __init__(self) -> None:
        self.count = 0
        self.addresses: set[str] = set()
        self.sources: list[Source] = []
        self._tables: dict[str | None, Prefixes[list[Route]]] = {}
        self._by_prefix: dict[tuple[str | None, str], list[Route]] = {}
        self._families: set[bool] = set()  # of the main table's routes: whether IPv6
        self._answers: dict[str, tuple[Route, ...]] = {}
        self._any: dict[str, tuple[Route, ...]] = {}
        self._sure: dict[str, bool] = {}

    def __bool__(self) -> bool:
        return self.count > 0

    def add(self, route: Route) -> None:
        """Take in a route of a file."""
        key = route.table, route.prefix
        routes = self._by_prefix.get(key)
        if routes is not None:
            routes.append(route)
        else:
            self._by_prefix[key] = self._table(route.table)[route.prefix] = [route]
        if self._answers or self._sure or self._any:
            self._answers, self._sure, self._any = {}, {}, {}
        if route.table is None:
            self._families.add(":" in route.prefix)
        self.count += 1
        if route.source is not None:
            self.addresses.add(route.source)
        if route.kind == "local" and (address := route.only_address) is not None:
            self.addresses.add(address)

    def _table(self, name: str | None) -> Prefixes[list[Route]]:
        table = self._tables.get(name)
        if table is None:
            from vxtool.cluster.prefixes import Prefixes  # here, because most runs have no routes

            table = self._tables[name] = Prefixes()
        return table

    def find(self, address: str) -> tuple[Route, ...]:
        """The routes that a datagram to `address` takes: of those with the longest prefix that holds it the ones
        with the lowest metric, which are several where it may take any. None where there is no route.

        Linux: net/ipv4/fib_trie.c, fib_table_lookup; net/ipv6/route.c, rt6_select.
        """
        answer = self._answers.get(address)
        if answer is None:
            answer = self._answers[address] = self._find(address)
        return answer

    def find_sure(self, address: str) -> tuple[Route, ...]:
        """The same where that is all there is to know, else none."""
        return self.find(address) if self.is_sure(address) else ()

    def is_sure(self, address: str) -> bool:
        """Whether `find` tells all there is to know of `address`: the files hold routes of its family, none that
        could not be read, and none for some datagrams only that these may be.
        """
        sure = self._sure.get(address)
        if sure is None:
            sure = self._sure[address] = self._is_sure(address)
        return sure

    def find_any(self, address: str) -> tuple[Route, ...] | None:
        """Every route that a datagram to `address` may take: those of `find`, and what other tables or routes for
        some datagrams only have for it, which a rule may prefer. None where some could not be read.
        """
        if self._lack_some:
            return None
        answer = self._any.get(address)
        if answer is None:
            answer = self._any[address] = self._find_any(address)
        return answer

    def _find_any(self, address: str) -> tuple[Route, ...]:
        others: list[Route] = []
        for table, prefixes in self._tables.items():
            for _, routes in prefixes.matches(address):
                usable = [route for route in routes if route.is_usable]
                others += [route for route in usable if route.conditional]
                if table not in USUAL_TABLES and (always := [route for route in usable if not route.conditional]):
                    others += always
                    break  # shorter prefixes of this table are not looked at
        return (*self.find(address), *others)

    @property
    def _lack_some(self) -> bool:
        return any(source.skipped for source in self.sources)

    def _is_sure(self, address: str) -> bool:
        if self._lack_some or (":" in address) not in self._families:
            return False
        return not any(
            route.conditional or table not in USUAL_TABLES
            for table, prefixes in self._tables.items()
            for _, routes in prefixes.matches(address)
            for route in routes
        )

    def _find(self, address: str) -> tuple[Route, ...]:
        for _, routes in self._all_matching(address):
            usable = [route for route in routes if not route.conditional and route.is_usable]
            if usable:
                least = min(route.metric for route in usable)
                return tuple(route for route in usable if route.metric == least)
        return ()

    def _all_matching(self, address: str) -> Iterator[tuple[int, list[Route]]]:
        """In the order in which the kernel tries them."""
        for table in USUAL_TABLES:
            for length, routes in self._tables[table].matches(address) if table in self._tables else ():
                if any(route.kind == "throw" for route in routes):
                    break  # as though this table had no route
                yield length, routes
