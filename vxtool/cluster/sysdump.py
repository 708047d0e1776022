"""How `cilium sysdump` calls its files, in its archive and unpacked.

They are called by what they hold and by when it was taken (`ciliumendpoints-20250809-172750.yaml`; Cilium,
cilium-cli/sysdump/constants.go), and hold lists of objects in YAML, which may tell no kind of their own. The time
in a name is that of the clock on the wall where it was taken, in a zone that nothing tells.
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
_PARTS = ((0, 4), (4, 6), (6, 8), (9, 11), (11, 13), (13, 15))
_TIME = re.compile(r"-([0-9]{8}-[0-9]{6})(?![0-9])")


def kind_of_file(name: str) -> str | None:
    """The kind of the objects in a file of that name, with or without a time in it; None for other files."""
    match = _MEMBER.fullmatch(name)
    return _KINDS.get(match[1]) if match is not None else None


def is_other_file(name: str) -> bool:
    """Whether a file is called as in a sysdump, and as one that is of no use here (logs, policies ...)."""
    return _STAMPED.fullmatch(name) is not None and kind_of_file(name) is None


def time_in_name(name: str) -> int | None:
    """The time in the name of an archive or file, as though it were UTC, in ns since 1970; None for none."""
    found = None
    for match in _TIME.finditer(name):
        found = wall_clock(*(int(match[1][at:to]) for at, to in _PARTS)) or found
    return found


def wall_clock(year: int, month: int, day: int, hour: int, minute: int, second: int) -> int | None:
    """A time of an unknown zone as though it were UTC, in ns since 1970; None for none."""
    from datetime import UTC, datetime

    try:
        return int(datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp()) * 1_000_000_000
    except ValueError:
        return None
