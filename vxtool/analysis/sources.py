"""What the operator's files told: which they are, how old, which names came from them, where they disagree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from vxtool.analysis.times import rfc3339

if TYPE_CHECKING:
    from vxtool.analysis.knowledge import Knowledge
    from vxtool.analysis.model import Flow, Identity, Known, KnownName, Tunnel


def describe_knowledge(
    knowledge: Knowledge, identities: Sequence[Identity], tunnel: Tunnel, flows: Sequence[Flow]
) -> Known:
    """The files that were read, and from which of them each name in these parts of the report came."""
    names = list(_names(knowledge, identities, tunnel, flows))
    used = Counter(entry["path"] for entry in names)
    return {
        "sources": [
            {
                "path": source.path,
                "kind": source.kind,
                "items": source.items,
                "skipped": source.skipped,
                "taken": None if source.taken is None else rfc3339(source.taken),
                "taken_unsure": source.taken_unsure,
                "newest": None if source.newest is None else rfc3339(source.newest),
                "problem": source.problem,
                "assumed_namespace": source.assumed_namespace,
                "names": used[source.path],
            }
            for source in (*knowledge.cluster.sources, *knowledge.links.sources, *knowledge.routes.sources)
        ],
        "conflicts": [str(one) for one in (*knowledge.cluster.conflicts, *knowledge.links.conflicts)],
        "names": names,
    }


def _names(
    knowledge: Knowledge, identities: Sequence[Identity], tunnel: Tunnel, flows: Sequence[Flow]
) -> Iterator[KnownName]:
    files = knowledge.cluster.files
    known = knowledge.cluster.identities if tunnel["overlay"] == "cilium" else {}
    for item in identities:
        if item["vni"] in known and item["name"] is not None:
            yield {"subject": str(item["vni"]), "name": item["name"], "path": files[item["vni"]]}
    seen: set[str] = set()
    ends: list[tuple[str | None, str | None]] = []
    for pair in tunnel["tunnels"]:
        ends += (pair["source"], pair["source_node"]), (pair["destination"], pair["destination_node"])
    for flow in flows:
        ends += (flow["source"], flow["source_name"]), (flow["destination"], flow["destination_name"])
    for address, name in ends:
        # A reserved identity's name comes from its number, not from a file.
        if address is not None and name is not None and address in files and address not in seen:
            seen.add(address)
            yield {"subject": address, "name": name, "path": files[address]}
