"""What the operator knows, as analysis asks for it: names for interfaces, addresses, pods and nodes.

Names come from files and options alone. An interface is called by the name the operator gave, else as the capture
calls it, else by its number; nothing is ever looked up on the machine that reads.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import PurePath
from typing import NamedTuple

from vxtool.cluster import Cluster, Links
from vxtool.engine.tables import FlowKey, InterfaceKey, Tables

_SUFFIXES = re.compile(r"(\.(pcapng|pcap|cap|dmp|gz|zst|zstd|xz)\d*)+$", re.IGNORECASE)
_PARTS = re.compile(r"[^A-Za-z0-9@]+")


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


@dataclass
class Knowledge:
    """`paths` are the inputs' names as given; a capture of one interface is called by its file's name."""

    paths: Sequence[str]
    cluster: Cluster = field(default_factory=Cluster)
    links: Links = field(default_factory=Links)
    _named_tables: Tables | None = field(default=None, init=False, repr=False)
    _names: dict[InterfaceKey, InterfaceName] = field(default_factory=dict, init=False, repr=False)

    @cached_property
    def own_addresses(self) -> frozenset[bytes]:
        """Of the machine that captured, as far as `ip addr` told."""
        return frozenset(ipaddress.ip_address(address).packed for address in self.links.addresses)

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
        link = self.links.by_name.get(name) if name else None
        return InterfaceName(link.index if link else None, name, link.mtu if link else None)

    def _file_name(self, index: int) -> str | None:
        path = self.paths[index]
        if path == "-":
            return None
        stem = _SUFFIXES.sub("", PurePath(path).name)
        known = self.links.by_name
        if stem in known:
            return stem
        # router1-eth1.pcap: a part of the name that is an interface says which.
        named = [part for part in _PARTS.split(stem) if part in known]
        return named[-1] if named else stem or None

    def endpoint_name(self, address: bytes, vni: int | None = None) -> str | None:
        """A pod's or node's name; for a reserved identity (`host`, `world`) that one's where no file names it."""
        text = address_text(address)
        if text is None:
            return None
        pod = self.cluster.pod(text)
        if pod is not None:
            return str(pod)
        node = self.cluster.node(text)
        if node is not None:
            return node
        if vni is not None:
            identity = self.cluster.identity(vni)
            if identity is not None and identity.kind in ("reserved", "well-known"):
                return identity.name
        return None

    def node(self, address: bytes) -> str | None:
        text = address_text(address)
        return self.cluster.node(text) if text else None


@lru_cache(maxsize=1 << 16)
def address_text(address: bytes) -> str | None:
    return str(ipaddress.ip_address(address)) if address else None


@lru_cache(maxsize=1 << 16)
def never_forwarded(address: bytes) -> bool:
    """Whether a datagram to this address ends on the link or machine that it reached: it is owed no egress."""
    if not address:
        return False
    parsed = ipaddress.ip_address(address)
    return (
        parsed.is_multicast
        or parsed.is_link_local
        or parsed.is_loopback
        or parsed.is_unspecified
        or address == b"\xff\xff\xff\xff"
    )


def outermost(flow: FlowKey, outer: bytes, inner: bytes) -> bytes:
    """The address that a router sees: the outer one where the flow was tunnelled."""
    return outer if flow.vni >= 0 else inner
