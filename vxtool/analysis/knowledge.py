"""What the operator knows, as analysis asks for it: names for interfaces, addresses, pods and nodes.

Names come from files and options alone. An interface is called by the name the operator gave, else as the capture
calls it, else by its number; nothing is ever looked up on the machine that reads.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, NamedTuple

from vxtool.cluster.lookup import Cluster, Links, Routes
from vxtool.engine.tables import InterfaceKey, Tables

if TYPE_CHECKING:
    from vxtool.cluster.knowledge import Endpoint
    from vxtool.cluster.routes import Route

# How far the clocks of a cluster and of the machine that captured may be apart without anything being made of it.
# Those that NTP keeps differ by less than a second, Kubernetes cuts times to whole ones, and a pod sends nothing
# until a few after it was created. More would give its name to packets of the one that had its address before.
CLOCKS = 10_000_000_000  # ns

_SUFFIXES = r"(?i)(\.(pcapng|pcap|cap|dmp|gz|zst|zstd|xz)\d*)+$"
_BETWEEN_PARTS = r"[^A-Za-z0-9@]+"


class InterfaceName(NamedTuple):
    number: int | None
    name: str | None
    mtu: int | None

    @property
    def label(self) -> str | None:
        """As reports show it: the name, else `#3`, else None."""
        if self.name is not None:
            return self.name
        return f"#{self.number}" if self.number is not None else None


class Knowledge:
    """`paths` are the inputs' names as given; a capture of one interface is called by its file's name."""

    def __init__(
        self,
        paths: Sequence[str],
        cluster: Cluster | None = None,
        links: Links | None = None,
        routes: Routes | None = None,
    ) -> None:
        self.paths = paths
        self.cluster = cluster if cluster is not None else Cluster()
        self.links = links if links is not None else Links()
        self.later: dict[str, Endpoint] = {}
        self.routes = routes if routes is not None else Routes()
        self._named_tables: Tables | None = None
        self._names: dict[InterfaceKey, InterfaceName] = {}

    @cached_property
    def own_addresses(self) -> frozenset[bytes]:
        """Of the machine that captured, as far as `ip addr` and `ip route` told."""
        return frozenset(map(packed, self.links.addresses | self.routes.addresses))

    @cached_property
    def own_macs(self) -> frozenset[bytes]:
        """Of the machine that captured: a frame from one of them left it, a frame to one of them reached it."""
        return self.links.macs

    def interface(self, key: InterfaceKey, tables: Tables) -> InterfaceName:
        """What an interface of `tables` is called. Asked for every journey, so each answer is kept."""
        if tables is not self._named_tables:
            self._named_tables = tables
            self._names = {}
        name = self._names.get(key)
        if name is None:
            name = self._names[key] = self._find_name(key, tables)
        return name

    def _find_name(self, key: InterfaceKey, tables: Tables) -> InterfaceName:
        if key.number >= 0:
            link = self.links.by_index.get(key.number)
            return InterfaceName(key.number, link.name if link else None, link.mtu if link else None)
        if key.input < 0:
            return InterfaceName(None, None, None)
        name = tables.interfaces[key].name
        if name is None and sum(other.input == key.input for other in tables.interfaces) == 1:
            name = self._file_name(key.input)
        if name == "any":
            name = None
        # In what is said of it, line feeds part lines.
        name = name and name.replace("\n", "\\n")
        link = self.links.by_name.get(name) if name else None
        return InterfaceName(link.index if link else None, name, link.mtu if link else None)

    def _file_name(self, index: int) -> str | None:
        path = self.paths[index]
        if path == "-":
            return None
        stem = re.sub(_SUFFIXES, "", os.path.basename(path.rstrip("/")))
        known = self.links.by_name
        if stem in known:
            return stem
        # router1-eth1.pcap: a part of the name that is an interface says which.
        named = [part for part in re.split(_BETWEEN_PARTS, stem) if part in known]
        return named[-1] if named else stem or None

    def leave_out_later(self, last_time: int | None) -> None:
        """Forget the pods that were created when the capture (its last record at `last_time`, in ns) had ended:
        whoever had their addresses then, it was not they. What is left out is kept in `later`, by address."""
        if last_time is not None and self.cluster.pods:
            self.later = self.cluster.leave_out_later(last_time + CLOCKS)

    def endpoint_name(self, address: bytes, vni: int | None = None, port: int | None = None) -> str | None:
        """A pod's, node's or service's name (`port` tells services at one address apart); for a reserved identity
        (`host`, `world`) that one's where no file names it."""
        text = address_text(address)
        if text is None:
            return None
        pod = self.cluster.pod(text)
        if pod is not None:
            return str(pod)
        node = self.cluster.node(text)
        if node is not None:
            return node
        service = self.service(address, port)
        if service is not None:
            return f"{service} (service)"
        if vni is not None:
            identity = self.cluster.identity(vni)
            if identity is not None and identity.kind in ("reserved", "well-known"):
                return identity.name
        return None

    def service(self, address: bytes, port: int | None) -> str | None:
        """The service at an address (and port, where several share it), as `namespace/name`."""
        service = self.cluster.service(address_text(address) or "", port)
        return str(service) if service is not None else None

    def backend_of(self, address: bytes) -> Sequence[str]:
        """The services that send to an address, as `namespace/name`."""
        return self.cluster.services_of(address_text(address) or "")

    def pod(self, address: bytes) -> Endpoint | None:
        """The pod at an address, as far as the files name it."""
        text = address_text(address)
        return self.cluster.pod(text) if text else None

    def ways(self, address: bytes) -> Sequence[Route]:
        """The routes that a datagram to `address` takes, as far as files tell."""
        # Without routes no text is made.
        return self.routes.find(address_text(address) or "") if self.routes else ()

    def sure_ways(self, address: bytes) -> Sequence[Route]:
        """The same, and none where others may be for it too, or where a file may lack some."""
        return self.routes.find_sure(address_text(address) or "") if self.routes else ()

    def any_ways(self, address: bytes) -> Sequence[Route] | None:
        """All that it may take, by whatever rule; None where a file may lack some."""
        return self.routes.find_any(address_text(address) or "") if self.routes else ()

    def node(self, address: bytes) -> str | None:
        text = address_text(address)
        return self.cluster.node(text) if text else None


@lru_cache(maxsize=1 << 16)
def address_text(address: bytes) -> str | None:
    """An address as `ipaddress` spells it; None for none."""
    if len(address) == 4:
        first, second, third, fourth = address
        return f"{first}.{second}.{third}.{fourth}"
    if not address:
        return None
    from ipaddress import IPv6Address  # here, because most captures hold IPv4 alone

    return str(IPv6Address(address))


@lru_cache(maxsize=1 << 10)
def packed(address: str) -> bytes:
    """An address as headers hold it, of its text."""
    from ipaddress import ip_address

    return ip_address(address).packed


@lru_cache(maxsize=1 << 16)
def never_forwarded(address: bytes) -> bool:
    """Whether a datagram to this address ends on the link or machine that it reached: it is owed no egress."""
    if not address:
        return False
    first, second = address[0], address[1]
    if len(address) == 4:
        return (
            first >> 4 == 14  # multicast, RFC 5771
            or first == 127
            or (first == 169 and second == 254)  # of the link, RFC 3927
            or address in (b"\x00\x00\x00\x00", b"\xff\xff\xff\xff")
        )
    # RFC 4291, section 2.4: multicast, of the link, loopback and unspecified.
    return first == 0xFF or (first == 0xFE and second >> 6 == 2) or (address[:15] == bytes(15) and address[15] < 2)
