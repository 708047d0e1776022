"""What a security identity's number alone tells, and the name that its labels give it.

Cilium sends the source's security identity as the VNI. Some numbers mean the same in every cluster (reserved
and well-known ones); the ranges behind them say where an identity was allotted. Everything else needs the
operator's files. The numbers are those of Cilium's pkg/identity (numericidentity.go and reserved identities
in its docs, "Identity", https://docs.cilium.io/en/stable/internals/security-identities/).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal, NamedTuple

Kind = Literal["reserved", "well-known", "user-reserved", "cluster-local", "clustermesh"]

LARGEST_VNI = (1 << 24) - 1

_RESERVED = {
    0: "unknown",
    1: "host",
    2: "world",
    3: "unmanaged",
    4: "health",
    5: "init",
    6: "remote-node",
    7: "kube-apiserver",
    8: "ingress",
    9: "world-ipv4",
    10: "world-ipv6",
    11: "encrypted-overlay",
}
# What a node sends from addresses of its own: host, health, remote-node, kube-apiserver, ingress.
OF_NODES = frozenset({1, 4, 6, 7, 8})
# The same eight components twice: the second eight carry a newer form of the namespace's label.
_WELL_KNOWN = (
    "etcd-operator",
    "cilium-kvstore",
    "kube-dns",
    "eks-kube-dns",
    "coredns",
    "cilium-operator",
    "eks-coredns",
    "cilium-etcd-operator",
)
_FIRST_WELL_KNOWN = 100
_FIRST_USER_RESERVED = 128
_FIRST_CLUSTER_LOCAL = 256

# What a workload is called, best first: the labels that people put into policies, then what tools put there.
_NAME_LABELS = ("app", "app.kubernetes.io/name", "k8s-app", "name", "run", "app.kubernetes.io/instance")
_SERVICE_ACCOUNT = "io.cilium.k8s.policy.serviceaccount"
_NAMESPACE = "io.kubernetes.pod.namespace"

# Kubernetes writes generated parts of names in this alphabet (k8s.io/apimachinery, util/rand): no vowels, and
# no digits that look like letters.
_GENERATED = "bcdfghjklmnpqrstvwxz2456789"
_OF_DEPLOYMENT = rf"(.+)-[{_GENERATED}]{{6,10}}-[{_GENERATED}]{{5}}"


class IdentityInfo(NamedTuple):
    """What is known of one security identity.

    `labels` are sorted `source:key=value` texts; `name` is the workload's name, taken from the labels or from
    the names of its pods, or the reserved name; `kind` follows from the number.
    """

    number: int
    labels: tuple[str, ...]
    namespace: str | None
    name: str | None
    kind: Kind


def kind_of(vni: int, *, cluster_id_shift: int = 16) -> Kind:
    """Tell the range that a security identity belongs to.

    `cluster_id_shift` is 16 with up to 255 clusters in a ClusterMesh and 15 where up to 511 are allowed.
    ValueError where `vni` does not fit into 24 bits.
    """
    if not 0 <= vni <= LARGEST_VNI:
        raise ValueError(f"a VNI is 0 to {LARGEST_VNI}, not {vni}")
    if vni >> cluster_id_shift:
        return "clustermesh"
    if vni >= _FIRST_CLUSTER_LOCAL:
        return "cluster-local"
    if vni >= _FIRST_USER_RESERVED:
        return "user-reserved"
    if 0 <= vni - _FIRST_WELL_KNOWN < 2 * len(_WELL_KNOWN):
        return "well-known"
    return "reserved"


def cluster_id_of(vni: int, *, cluster_id_shift: int = 16) -> int | None:
    """Return the ClusterMesh cluster that allotted an identity; None where the number does not name one."""
    return vni >> cluster_id_shift or None


def reserved_identity(vni: int) -> IdentityInfo | None:
    """Return the identity that `vni` is in every cluster; None where that depends on the cluster.

    ValueError where `vni` does not fit into 24 bits.
    """
    kind = kind_of(vni)
    if vni in _RESERVED:
        name = _RESERVED[vni]
        return IdentityInfo(vni, (f"reserved:{name}",), None, name, kind)
    if kind == "well-known":
        name = _WELL_KNOWN[(vni - _FIRST_WELL_KNOWN) % len(_WELL_KNOWN)]
        return IdentityInfo(vni, (), None, name, kind)
    return None


def labelled_identity(number: int, labels: Iterable[str]) -> IdentityInfo:
    """Return the identity `number` with what its labels tell: the namespace and the workload's name.

    ValueError where `number` does not fit into 24 bits.
    """
    labels = tuple(sorted(set(labels)))
    values: dict[str, str] = {}
    reserved = None
    for label in labels:
        source, colon, rest = label.partition(":")
        # A label's source comes before the first colon; a colon behind the equals sign belongs to the value.
        if not colon or "=" in source:
            source, rest = "", label
        if source == "reserved":
            reserved = reserved or rest.removesuffix("=")
            continue
        key, _, value = rest.partition("=")
        values.setdefault(key, value)
    name = next((values[key] for key in _NAME_LABELS if values.get(key)), None)
    if name is None and values.get(_SERVICE_ACCOUNT, "default") != "default":
        name = values[_SERVICE_ACCOUNT]
    return IdentityInfo(number, labels, values.get(_NAMESPACE) or None, name or reserved or None, kind_of(number))


def workload_name(pods: Iterable[str]) -> str | None:
    """Return what pods that share an identity are called together; None for no pods.

    The generated ending of a Deployment's pods is cut off (`webpod-697b545f57-7q4gk` is of `webpod`). Of pods
    of several workloads, the first two are named.
    """
    names: set[str] = set()
    for pod in pods:
        match = re.fullmatch(_OF_DEPLOYMENT, pod)
        names.add(match[1] if match else pod)
    if not names:
        return None
    first = sorted(names)
    return ", ".join(first[:2]) + (", …" if len(first) > 2 else "")
