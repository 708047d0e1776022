"""How `cilium sysdump` calls its files, in its archive and unpacked.

They are called by what they hold and by when it was taken (`ciliumendpoints-20250809-172750.yaml`; Cilium,
cilium-cli/sysdump/constants.go), and hold lists of objects in YAML, which may tell no kind of their own.
"""

from __future__ import annotations

import re

_KINDS = {
    "ciliumendpoints": "CiliumEndpoint",
    "ciliumendpointslices": "CiliumEndpointSlice",
    "ciliumidentities": "CiliumIdentity",
    "ciliumnodes": "CiliumNode",
    "k8s-endpointslices": "EndpointSlice",
    "k8s-nodes": "Node",
    "k8s-pods": "Pod",
    "k8s-services": "Service",
}
_STAMPED = re.compile(r"(.+?)-[0-9]{8}-[0-9]{6}(?:-[a-z]+)?\.[A-Za-z0-9.]+")
_MEMBER = re.compile(r"([a-z0-9-]+?)(?:-[0-9]{8}-[0-9]{6})?\.(?:yaml|yml|json)")


def kind_of_file(name: str) -> str | None:
    """The kind of the objects in a file of that name, with or without a time in it; None for other files."""
    match = _MEMBER.fullmatch(name)
    return _KINDS.get(match[1]) if match is not None else None


def is_other_file(name: str) -> bool:
    """Whether a file is called as in a sysdump, and as one that is of no use here (logs, policies ...)."""
    return _STAMPED.fullmatch(name) is not None and kind_of_file(name) is None
