"""Findings on identities."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING

from vxtool.analysis.findings.evidence import Case, number
from vxtool.analysis.outcomes import Judged

if TYPE_CHECKING:
    from vxtool.analysis.model import Finding


def find(case: Case) -> Iterator[Finding]:
    yield from _unknown(case)


def _unknown(case: Case) -> Iterator[Finding]:
    """VNIs that neither the files nor Cilium's own numbers name. Without files nothing can be called unknown."""
    if case.overlay != "cilium" or not case.knowledge.cluster.has_identities:
        return
    by_vni: dict[int, list[Judged]] = defaultdict(list)
    for item in case.judged:
        if item.flow.vni >= 0:
            by_vni[item.flow.vni].append(item)
    unnamed = {vni: rows for vni, rows in by_vni.items() if case.knowledge.cluster.identity(vni) is None}
    if not unnamed:
        return
    items = [item for rows in unnamed.values() for item in rows]
    shown = sorted(unnamed)[:5]
    more = f" and {len(unnamed) - len(shown)} more" if len(unnamed) > len(shown) else ""
    vnis = ", ".join(str(vni) for vni in shown)
    yield {
        "id": "identity.unknown",
        "severity": "warning",
        "title": f"{number(len(unnamed), 'identity', 'identities')} in no file given: {vnis}{more}",
        "count": sum(item.cell.datagrams for item in items),
        "evidence": [entry for vni in shown for entry in case.samples(unnamed[vni], f"VNI {vni}: {{flow}}")[:1]],
        "remedy": f"`kubectl get ciliumidentities {shown[0]}` names it; give all of them with "
        "`kubectl get ciliumidentities -o json > identities.json` and `--cluster identities.json`",
        "unknown": "whether the identity was deleted before the list was taken, or belongs to another cluster",
    }
