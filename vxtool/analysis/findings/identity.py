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
    "identity.stale-list": Explanation(
        summary="the lists that names come from are of another time than the capture",
        cause="Pods' addresses are reused: a list that was taken later, or long before, may give an address to "
        "another pod than the one that had it when the packets were sent.",
        proof="A pod that the lists name was created more than a minute after its address was seen in the capture; "
        "where that was after the last record, its name is not used. Where only its CiliumEndpoint tells a time, "
        "which may be written anew while the pod lives on, it is an info. So it is where a list that tells when it "
        "was taken (a sysdump does) was taken more than an hour before the first record or after the last one: "
        "that proves no name wrong. Lists without times prove nothing, and are not judged.",
        remedy="Take the lists while the capture runs, and keep them beside it.",
        unknown="Who had the addresses then, and whether the clocks of the cluster and of the machine that "
        "captured agree.",
    ),
}


def find(case: Case) -> Iterator[Finding]:
    yield from _unknown(case)
    if case.knowledge.cluster.sources:
        from vxtool.analysis.findings import stale  # here, because most runs have no such file

        yield from stale.find(case)


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
