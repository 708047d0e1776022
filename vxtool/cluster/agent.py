"""What a Cilium agent prints of its own state, with `-o json`.

`cilium-dbg identity list` prints an array of `{"id", "labels", "labelsSHA256"}`, with `--endpoints` of such
objects as `identity` beside a count (Cilium, api/v1/models/identity.go). `cilium-dbg bpf ipcache list` prints
an object: for each prefix an array of one text, `identity=6 encryptkey=0 tunnelendpoint=192.0.2.1 flags=...`,
in which older versions leave the names out (pkg/maps/ipcache/ipcache.go). A prefix of another cluster's address
space ends in `@` and the cluster's id.
"""

from __future__ import annotations

import re
from typing import Any

from vxtool.cluster.files import as_list, as_mapping, as_name, as_number
from vxtool.cluster.identities import LARGEST_VNI, labelled_identity
from vxtool.cluster.knowledge import Facts, canonical

_LARGEST = (1 << 32) - 1
_HOST = 1
_ENTRY = re.compile(r"(?:identity=)?([0-9]{1,10})(?:\s|$)")


def parse_agent(document: object) -> Facts:
    """Return what an agent's list tells; what is none leaves `kinds` empty."""
    facts = Facts()
    if isinstance(document, list):
        _take_identities(document, facts)
    elif isinstance(document, dict):
        _take_ipcache(document, facts)
    return facts


def _take_identities(entries: list[Any], facts: Facts) -> None:
    of_endpoints = False
    for entry in map(as_mapping, entries):
        if isinstance(entry.get("identity"), dict):
            of_endpoints, entry = True, entry["identity"]
        number = as_number(entry.get("id"), _LARGEST)
        labels = [text for label in as_list(entry.get("labels")) if (text := as_name(label)) is not None]
        if number is None or not labels:
            facts.skipped["entry"] += 1
        elif number > LARGEST_VNI:
            # Of local scope: a CIDR's or another node's, never sent as a VNI.
            facts.skipped["identity of local scope"] += 1
        else:
            facts.identities.append(labelled_identity(number, labels))
            facts.kinds["identity list"] += 1
    # A list by labels is a part only, and lacks the host.
    full = any(identity.number == _HOST for identity in facts.identities)
    facts.has_all_identities = full and not of_endpoints


def _take_ipcache(entries: dict[str, Any], facts: Facts) -> None:
    for key, values in entries.items():
        address, _, length = key.partition("/")
        host = canonical(address)
        first = next(iter(as_list(values)), None)
        match = _ENTRY.match(first) if isinstance(first, str) else None
        if host is None or match is None:
            facts.skipped["entry"] += 1
        elif length not in ("", "128" if ":" in host else "32"):
            # What holds for all others of a prefix (the world for all that there is, and for each node's pods)
            # tells nothing of one address: that may be a pod which came later.
            facts.skipped["prefix"] += 1
        elif int(match[1]) > LARGEST_VNI:
            facts.skipped["identity of local scope"] += 1
        else:
            facts.ipcache.append((host, int(match[1])))
            facts.kinds["ipcache"] += 1
