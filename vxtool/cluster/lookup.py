"""What analysis asks: which pod, node, identity or interface a number stands for.

The files are merged into these two by `vxtool.cluster.knowledge` and `vxtool.cluster.links`. They stand apart
because a run without files needs no more than them, empty, and should not pay for the loaders.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vxtool.cluster.identities import IdentityInfo, reserved_identity

if TYPE_CHECKING:
    from vxtool.cluster.knowledge import Conflict, Endpoint, Source
    from vxtool.cluster.links import Link


class Cluster:
    """The merged knowledge of `--cluster`.

    `pods` and `nodes` are by address, `identities` by number (only those of the files). `files` tells which
    file a name came from, by address (text) or identity (number).
    """

    def __init__(self) -> None:
        self.pods: dict[str, Endpoint] = {}
        self.nodes: dict[str, str] = {}
        self.identities: dict[int, IdentityInfo] = {}
        self.sources: list[Source] = []
        self.conflicts: list[Conflict] = []
        self.files: dict[str | int, str] = {}

    @property
    def has_identities(self) -> bool:
        """Whether the files name any security identity, so that a VNI can be looked up at all."""
        return bool(self.identities)

    def identity(self, vni: int) -> IdentityInfo | None:
        """Return what `vni` stands for: by the files, else by Cilium's reserved numbers; None where unknown.

        ValueError where `vni` does not fit into 24 bits.
        """
        return self.identities.get(vni) or reserved_identity(vni)

    def pod(self, address: str) -> Endpoint | None:
        """Return the pod at `address` (in the spelling of `ipaddress`); None for nodes and strangers."""
        return self.pods.get(address)

    def node(self, address: str) -> str | None:
        """Return the name of the node that has `address` itself, such as a VTEP's; None where unknown."""
        return self.nodes.get(address)


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

    def name(self, index: int) -> str | None:
        """Return the name of the interface `index`; None where unknown."""
        link = self.by_index.get(index)
        return link.name if link else None
