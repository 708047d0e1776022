"""What the operator knows: names of pods, nodes and identities, and the capturing machine's interfaces and routes.

A capture holds numbers only. The operator gives files with what the numbers stand for, as kubectl and ip
print them; each is told by its content, loaded by one loader, and merged into one look-up (`Cluster`,
`Links`, `Routes`). Nothing here asks a cluster or the machine that reads: what is not in a file is not known.

The loaders are imported when they are first asked for, since most runs have no such file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vxtool.lazy import names_from

if TYPE_CHECKING:
    from vxtool.cluster.identities import IdentityInfo, cluster_id_of, kind_of, reserved_identity
    from vxtool.cluster.knowledge import Conflict, Endpoint, NodeAddress, PodCidr, Service, Source
    from vxtool.cluster.links import Link, load_links, parse_interface_options
    from vxtool.cluster.load import load_cluster
    from vxtool.cluster.lookup import Cluster, Links, Routes
    from vxtool.cluster.routes import Hop, Route, load_routes

__all__ = [
    "Cluster",
    "Conflict",
    "Endpoint",
    "Hop",
    "IdentityInfo",
    "Link",
    "Links",
    "NodeAddress",
    "PodCidr",
    "Route",
    "Routes",
    "Service",
    "Source",
    "cluster_id_of",
    "kind_of",
    "load_cluster",
    "load_links",
    "load_routes",
    "parse_interface_options",
    "reserved_identity",
]

_HOMES = {
    "identities": ("IdentityInfo", "cluster_id_of", "kind_of", "reserved_identity"),
    "knowledge": ("Conflict", "Endpoint", "NodeAddress", "PodCidr", "Service", "Source"),
    "links": ("Link", "load_links", "parse_interface_options"),
    "load": ("load_cluster",),
    "lookup": ("Cluster", "Links", "Routes"),
    "routes": ("Hop", "Route", "load_routes"),
}

__getattr__, __dir__ = names_from(__name__, _HOMES)
