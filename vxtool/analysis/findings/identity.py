"""Findings on identities."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from vxtool.analysis.findings.evidence import Case, number
from vxtool.analysis.findings.explanation import Explanation
from vxtool.engine.answers import Wanted

if TYPE_CHECKING:
    from vxtool.analysis.model import Finding


EXPLANATIONS = {
    "identity.unknown": Explanation(
        summary="a security identity is in no file given, and is none of Cilium's own",
        cause="The list of identities is older or newer than the capture, was taken from another cluster, or holds "
        "only a part of them: plain `kubectl get ciliumendpoints` lists one namespace.",
        proof="A VNI of a Cilium overlay that is neither reserved nor well-known, and that no file of `--cluster` "
        "names. It is not raised where no file names any identity.",
        remedy="`kubectl get ciliumidentities NUMBER` names one; "
        "`kubectl get ciliumidentities -o json > identities.json`, given as `--cluster identities.json`, names "
        "all.",
        unknown="Whether the identity was deleted before the list was taken, or belongs to another cluster of a "
        "ClusterMesh.",
    ),
}


def find(case: Case) -> Iterator[Finding]:
    yield from _unknown(case)


def _unknown(case: Case) -> Iterator[Finding]:
    """VNIs that neither the files nor Cilium's own numbers name. Without files nothing can be called unknown."""
    if case.overlay != "cilium" or not case.knowledge.cluster.has_identities:
        return
    unnamed: Counter[int] = Counter()
    for (vni, _), (datagrams, _) in case.tables.queries.sources.items():
        if case.knowledge.cluster.identity(vni) is None:
            unnamed[vni] += datagrams
    if not unnamed:
        return
    everything = Wanted([item.number for item in case.judged])
    shown = sorted(unnamed)[:5]
    more = f" and {len(unnamed) - len(shown)} more" if len(unnamed) > len(shown) else ""
    vnis = ", ".join(str(vni) for vni in shown)
    yield {
        "id": "identity.unknown",
        "severity": "warning",
        "title": f"{number(len(unnamed), 'identity', 'identities')} in no file given: {vnis}{more}",
        "count": unnamed.total(),
        "evidence": [
            entry
            for vni in shown
            for entry in case.earliest(everything._replace(vni=vni), f"VNI {vni}: {{flow}}", most=1)
        ],
        "remedy": f"`kubectl get ciliumidentities {shown[0]}` names it; give all of them with "
        "`kubectl get ciliumidentities -o json > identities.json` and `--cluster identities.json`",
        "unknown": "whether the identity was deleted before the list was taken, or belongs to another cluster",
    }
