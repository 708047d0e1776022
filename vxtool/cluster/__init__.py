"""What the operator knows: names of pods, nodes and identities, and the capturing machine's interfaces.

A capture holds numbers only. The operator gives files with what the numbers stand for, as kubectl and ip
print them; each is told by its content, loaded by one loader, and merged into one look-up (`Cluster`,
`Links`). Nothing here asks a cluster or the machine that reads: what is not in a file is not known.
"""

from __future__ import annotations

from vxtool.cluster.identities import IdentityInfo, cluster_id_of, kind_of, reserved_identity
from vxtool.cluster.knowledge import Cluster, Conflict, Endpoint, NodeAddress, Source
from vxtool.cluster.links import Link, Links, load_links, parse_interface_options
from vxtool.cluster.load import load_cluster

__all__ = [
    "Cluster",
    "Conflict",
    "Endpoint",
    "IdentityInfo",
    "Link",
    "Links",
    "NodeAddress",
    "Source",
    "cluster_id_of",
    "kind_of",
    "load_cluster",
    "load_links",
    "parse_interface_options",
    "reserved_identity",
]
