"""Findings on identities: whether the VNI of a packet is that of its source.

Only for Cilium is a VNI its source's security identity. Nodes send under reserved identities, whatever their
addresses are called in lists, so their addresses are left out throughout: those that the files name, and the ends
of the tunnels themselves.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from vxtool.analysis.findings.evidence import MOST_EVIDENCE, Case, number
from vxtool.analysis.findings.explanation import Explanation
from vxtool.analysis.knowledge import address_text, never_forwarded
from vxtool.analysis.times import time_of_day
from vxtool.cluster.identities import cluster_id_of
from vxtool.engine.answers import Wanted
from vxtool.engine.tables import ANY_VNI

if TYPE_CHECKING:
    from vxtool.analysis.model import Evidence, Finding
    from vxtool.engine.answers import Sent

# Of the reserved identities (cilium, pkg/identity/numericidentity.go) those under which a pod's own address may
# rightly be seen: unknown (nothing is claimed), init (a pod that is starting), ingress (Envoy sends on for
# others) and encrypted-overlay: with IPsec a node's own mark on a pod's packet until it is encrypted, which a
# capture on the node may see (bpf/lib/encrypt.h writes the pod's identity back). Host and health are the node and
# an endpoint of its own, world is outside of the cluster, and unmanaged is a pod only until it has an identity.
_BESIDE_PODS = frozenset({0, 5, 8, 11})
_UNMANAGED = 3
# A node's own packets go under these, and what a proxy on it sends on for a pod may, where its mark gets lost.
_OF_OTHER_NODES = frozenset({6, 7})
_FIRST_OF_PODS = 100  # well-known, user-reserved, of the cluster, of a ClusterMesh
# Numbers that nobody sends rightly: host goes as remote-node, world-ipv4 and world-ipv6 as world, and the rest of
# what is reserved is not assigned.
_NEVER_SENT = frozenset({1, 9, 10, *range(12, 100), *range(116, 128)})
# Unmanaged, init and the well-known components: they are pods, and have a pod's address.
_ONLY_PODS = frozenset({3, 5, *range(100, 116)})
# Identities that only one agent knows begin at 1 << 24 (CIDR) and 2 << 24 (remote nodes): a VNI has 24 bits.
_LOCAL_SCOPE = 1 << 24

EXPLANATIONS: dict[str, Explanation] = {
    "identity.stale-list": Explanation(
        summary="the lists that names come from are of another time than the capture",
        cause="Pods' addresses are reused: a list that was taken later, or long before, may give an address to "
        "another pod than the one that had it when the packets were sent.",
        proof="A pod that the lists name was created more than ten seconds, which clocks may differ by, after its "
        "address was seen in the capture; where that was after the last record, its name is not used. Where "
        "only its CiliumEndpoint tells a time, which may be written anew while the pod lives on, it is an "
        "info. So it is where a list that tells when it was taken (a sysdump does) was taken more than an "
        "hour before the first record or after the last one: that proves no name wrong. A time of an "
        "unknown zone, as in the name of a sysdump, counts only where no zone brings the two together. Lists "
        "without times prove nothing, and are not judged.",
        remedy="Take the lists while the capture runs, and keep them beside it.",
        unknown="Who had the addresses then, and whether the clocks of the cluster and of the machine that "
        "captured agree.",
    ),
    "identity.mismatch": Explanation(
        summary="a pod's packets carry another identity than the cluster gives that pod",
        cause="The node that sends has an older state of the endpoint than the API server (its agent hangs, or "
        "cannot reach the API), two pods have the same address, something else sends under the pod's address, or "
        "the list is of another time than the capture: addresses of pods are used again.",
        proof="The VNI of datagrams, beside the identity that the files give their inner source address. Under a "
        "reserved one too: host (1), world (2), unmanaged (3, unless the pod's own follows), health (4); with "
        "remote-node (6) and kube-apiserver (7) alone it is information, since a proxy on the node may send "
        "on under the pod's address. Not raised for addresses of nodes; for unknown (0), init (5, a pod that "
        "starts), ingress (8, Envoy) and encrypted-overlay (11, a node's mark before IPsec); nor where the "
        "address had the right identity in another part of the capture, and another pod's before or after "
        "(then it is identity.changed).",
        remedy="Compare `cilium-dbg endpoint list` on the sending node with `kubectl get ciliumendpoints -A`; "
        "where they differ, restart that node's agent; where they agree, take the lists again and closer to the "
        "capture.",
        unknown="Whether the list was true at the time of the capture; and of 1, 9 and 10, whether a local "
        "identity was cut to it (see identity.truncated).",
    ),
    "identity.changed": Explanation(
        summary="one address sent under several identities, one after the other",
        cause="A pod was relabelled (its labels make its identity), or it ended and another one got its address.",
        proof="The first and last datagram of the address under each VNI, without an overlap. Not raised where "
        "both were in use at once, nor for reserved identities, which a pod that starts has for a moment.",
        remedy="None is needed; names that the files give to the address hold for one part of the capture only.",
        unknown="Which of the two it was: the capture shows an address and not a pod.",
    ),
    "identity.truncated": Explanation(
        summary="an identity that only the sending node knows was cut to the 24 bits of a VNI",
        cause="Identities of local scope, of CIDRs and of remote nodes, have bit 24 or 25 set and mean nothing "
        "elsewhere; an agent should send world (2) in their place, and one that sends them as they are loses the "
        "upper bits: 16777217 arrives as 1, which is host.",
        proof="A source address that is no pod and no node, under a VNI that nobody sends rightly: 1, 9, 10, 12 to "
        "99 and 116 to 127; or an address in none of the nodes' ranges of pods, where those are given, under a VNI "
        "that only pods have: 3, 5 and 100 to 115. A local identity whose low bits are those of the cluster's is "
        "not recognised.",
        remedy="Look on the sending node with `cilium-dbg identity list` for the identity with bit 24 or 25 and "
        "these low bits, and update Cilium there: policies at the receiver take these packets for another sender.",
        unknown="Which CIDR it was: only the sending node knows.",
    ),
    "identity.unknown": Explanation(
        summary="a VNI that is neither reserved nor in the files",
        cause="The files hold only some identities (those of the listed endpoints), the identity was made or "
        "removed between list and capture, it is another cluster's of a ClusterMesh, or the overlay is no Cilium.",
        proof="Datagrams under that VNI. A warning only where the files hold the full list of identities.",
        remedy="`kubectl get ciliumidentities NUMBER` names it; give all of them with `kubectl get "
        "ciliumidentities -o json > identities.json` and `--cluster identities.json`.",
        unknown="Whether the identity was removed before the list was taken, or belongs to another cluster.",
    ),
}


class _Case(NamedTuple):
    """One address under one VNI, and what is said of it."""

    source: bytes
    vni: int
    sent: Sent
    text: str  # what its evidence says


def find(case: Case) -> Iterator[Finding]:
    if case.overlay == "cilium":
        yield from _find_in_cilium(case)
    if case.knowledge.cluster.sources:
        from vxtool.analysis.findings import stale  # here, because most runs have no such file

        yield from stale.find(case)


def _find_in_cilium(case: Case) -> Iterator[Finding]:
    senders = _senders(case)
    mismatched, truncated = list(_mismatches(case, senders)), list(_truncations(case, senders))
    yield from _mismatch(case, mismatched)
    yield from _changed(case, senders)
    yield from _truncated(case, truncated)
    yield from _unknown(case, {(row.vni, row.source) for row in (*mismatched, *truncated)})


def _senders(case: Case) -> dict[bytes, dict[int, Sent]]:
    """What each address that is no node's sent under which VNI."""
    rows: dict[bytes, dict[int, Sent]] = defaultdict(dict)
    for (vni, source), sent in case.tables.queries.sources.items():
        if vni == ANY_VNI:
            continue
        if source and not never_forwarded(source):
            rows[source][vni] = sent
    nodes = _node_addresses(case)
    return {source: vnis for source, vnis in rows.items() if not _is_node(case, source, nodes)}


def _node_addresses(case: Case) -> set[bytes]:
    return {address for ends in case.tables.queries.tunnels for address in ends[:2]}


def _is_node(case: Case, address: bytes, nodes: set[bytes]) -> bool:
    return address in nodes or case.knowledge.cluster.is_node_address(address_text(address) or "")


def _mismatches(case: Case, senders: Mapping[bytes, Mapping[int, Sent]]) -> Iterator[_Case]:
    cluster = case.knowledge.cluster
    for source, vnis in senders.items():
        expected = cluster.identity_of(address_text(source) or "")
        if expected is None or expected < _FIRST_OF_PODS:
            continue
        for vni, sent in vnis.items():
            if vni == expected or vni in _BESIDE_PODS:
                continue
            right = vnis.get(expected)
            if right is not None and not _overlap(sent, right) and _may_change(vni, sent, right):
                continue
            name = case.end(source, -1, -1)
            yield _Case(source, vni, sent, f"{name} under {_vni(case, vni)}, not {expected}")


def _may_change(vni: int, sent: Sent, right: Sent) -> bool:
    """Whether an address may rightly have had an identity before or after that of its pod."""
    return vni >= _FIRST_OF_PODS or (vni == _UNMANAGED and sent.last_time < right.first_time)


def _vni(case: Case, vni: int) -> str:
    """`VNI 4711`, `VNI 1 (host)`."""
    identity = case.knowledge.cluster.identity(vni)
    return f"VNI {vni} ({identity.name})" if identity is not None and identity.kind == "reserved" else f"VNI {vni}"


def _mismatch(case: Case, rows: Sequence[_Case]) -> Iterator[Finding]:
    if not rows:
        return
    grave = [row for row in rows if row.vni not in _OF_OTHER_NODES]
    shown = (_largest(grave) + _largest([row for row in rows if row.vni in _OF_OTHER_NODES]))[:MOST_EVIDENCE]
    first = shown[0]
    cluster = case.knowledge.cluster
    text = address_text(first.source) or "?"
    expected = cluster.identity_of(text)
    file = cluster.files.get(text)
    addresses = len({row.source for row in rows})
    what = f"{case.end(first.source, -1, -1)} sends under {_vni(case, first.vni)}, and its identity is {expected}"
    if addresses > 1:
        what = f"{number(addresses, 'address', 'addresses')} send under another identity than their own: {what}"
    remedy = (
        f"compare `cilium-dbg endpoint list` on {_sending_node(case, first)} with `kubectl get ciliumendpoints "
        f"-A`: where they differ for {text}, restart that node's agent; where they agree, take the list again"
    )
    unknown = f"whether {file or 'the list'} was true at the time of the capture: addresses of pods are used again"
    if first.vni < _FIRST_OF_PODS:
        remedy += (
            ", and look on that node for what sends on under the pod's address without the mark of its identity: a "
            "proxy, or a rule that sets marks (`nft list ruleset`)"
        )
    if first.vni in _NEVER_SENT:
        unknown += (
            f"; and whether {first.vni} is meant, or a local identity that was cut to 24 bits: "
            f"{_LOCAL_SCOPE + first.vni} or {2 * _LOCAL_SCOPE + first.vni} on that node"
        )
    yield {
        "id": "identity.mismatch",
        "severity": "warning" if grave else "info",
        "title": what,
        "count": sum(row.sent.datagrams for row in rows),
        "evidence": _evidence(case, shown),
        "remedy": remedy,
        "unknown": unknown,
    }


def _changed(case: Case, senders: Mapping[bytes, Mapping[int, Sent]]) -> Iterator[Finding]:
    changes: list[tuple[bytes, list[tuple[int, Sent]]]] = []
    for source, vnis in senders.items():
        if len(vnis) < 2:
            continue
        rows = sorted(
            ((vni, sent) for vni, sent in vnis.items() if vni >= _FIRST_OF_PODS),
            key=lambda row: (row[1].first_time, row[0]),
        )
        if len(rows) > 1 and not any(_overlap(one[1], two[1]) for one, two in pairwise(rows)):
            changes.append((source, rows))
    if not changes:
        return
    changes.sort(key=lambda change: (change[1][1][1].first_time, change[0]))
    evidence = []
    for source, rows in changes:
        for (before, sent), (vni, later) in pairwise(rows):
            text = (
                f"{case.end(source, -1, -1)} under VNI {vni} from here on; under {before} until "
                f"{time_of_day(sent.last_time, beside=later.first_time)}"
            )
            evidence.append(_Case(source, vni, later, text))
    source, rows = changes[0]
    history = ", then ".join(str(vni) for vni, _ in rows[:MOST_EVIDENCE])
    more = f", and {number(len(changes) - 1, 'other address', 'other addresses')}" if len(changes) > 1 else ""
    yield {
        "id": "identity.changed",
        "severity": "info",
        "title": f"{address_text(source)} sent under identity {history}{more}",
        "count": len(changes),
        "evidence": _evidence(case, evidence[:MOST_EVIDENCE]),
        "remedy": "nothing is wrong where a pod was relabelled, or ended and another got its address: `kubectl get "
        f"pods -A -o wide --field-selector status.podIP={address_text(source)}` shows who has it now; its name "
        "in this report holds for one part of the capture only",
        "unknown": "whether the pod was relabelled or another one got its address",
    }


def _truncations(case: Case, senders: Mapping[bytes, Mapping[int, Sent]]) -> Iterator[_Case]:
    cluster = case.knowledge.cluster
    if not cluster.pods and not cluster.has_identities:
        return  # nothing tells what is no pod
    for source, vnis in senders.items():
        text = address_text(source) or ""
        if cluster.pod(text) is not None or cluster.identity_of(text) is not None:
            continue
        # Where the nodes' ranges of pods are known, what is in none of them is no pod that a list lacks.
        outside = bool(cluster.pod_cidrs) and cluster.pod_cidr(text) is None
        for vni, sent in vnis.items():
            if vni in _NEVER_SENT or (outside and vni in _ONLY_PODS):
                what = f"{text}, no pod and no node, under VNI {vni}, as {_LOCAL_SCOPE + vni} arrives"
                yield _Case(source, vni, sent, what)


def _truncated(case: Case, rows: Sequence[_Case]) -> Iterator[Finding]:
    if not rows:
        return
    shown = _largest(rows)
    first = shown[0]
    alike = [row for row in rows if row.vni == first.vni]
    title = f"{number(_datagrams(alike), 'datagram')} of {number(len(alike), 'address', 'addresses')} outside the "
    title += f"cluster under VNI {first.vni}: a local identity, cut to 24 bits"
    if len(alike) < len(rows):
        others = len({row.vni for row in rows}) - 1
        title += f"; and {number(_datagrams(rows) - _datagrams(alike), 'datagram')} under "
        title += f"{number(others, 'other such VNI', 'other such VNIs')}"
    yield {
        "id": "identity.truncated",
        "severity": "warning",
        "title": title,
        "count": _datagrams(rows),
        "evidence": _evidence(case, shown),
        "remedy": f"look on {_sending_node(case, first)} with `cilium-dbg identity list` for "
        f"{_LOCAL_SCOPE + first.vni} or {2 * _LOCAL_SCOPE + first.vni}, and update Cilium there: such packets "
        "should go as world (2), and policies at the receiver take them for another sender",
        "unknown": "which CIDR or node that identity stands for: only the sending node knows"
        + (
            "; Cilium before 1.16 with enable-remote-node-identity off sends a node's own packets under 1 too, so "
            "give `kubectl get ciliumnodes -o json` as --cluster, which lists the nodes' addresses"
            if first.vni == 1
            else ""
        ),
    }


def _unknown(case: Case, told: set[tuple[int, bytes]]) -> Iterator[Finding]:
    """VNIs that neither the files nor Cilium's own numbers name. Without files nothing can be called unknown."""
    cluster = case.knowledge.cluster
    if not cluster.has_identities:
        return
    nodes = _node_addresses(case)
    unnamed: Counter[int] = Counter()
    for (vni, source), sent in case.tables.queries.sources.items():
        if vni == ANY_VNI:
            continue
        if cluster.identity(vni) is not None or (vni, source) in told:
            continue
        if not (source and _is_node(case, source, nodes)):
            unnamed[vni] += sent.datagrams
    if not unnamed:
        return
    # A cluster's own list has none of the other clusters of a ClusterMesh.
    shift = cluster.cluster_id_shift
    listed = {cluster_id_of(vni, cluster_id_shift=shift) for vni in cluster.identities}
    others = {cluster_id_of(vni, cluster_id_shift=shift) for vni in unnamed} - listed
    local = [vni for vni in unnamed if cluster_id_of(vni, cluster_id_shift=shift) in listed]
    shown = sorted(local or unnamed)[:MOST_EVIDENCE]
    more = f" and {len(unnamed) - len(shown)} more" if len(unnamed) > len(shown) else ""
    vnis = ", ".join(str(vni) for vni in shown)
    remedy = (
        f"`kubectl get ciliumidentities {shown[0]}` names it; give all of them with "
        "`kubectl get ciliumidentities -o json > identities.json` and `--cluster identities.json`"
    )
    if not local and (foreign := sorted(filter(None, others))):
        names = " and ".join(f"cluster {each}" for each in foreign[:MOST_EVIDENCE])
        remedy = (
            f"they are identities of {names} of the ClusterMesh, whose own lists name them: "
            "`kubectl --context CLUSTER get ciliumidentities -o json > other.json`, given as one more `--cluster`"
        )
    yield {
        "id": "identity.unknown",
        "severity": "warning" if cluster.has_all_identities and local else "info",
        "title": f"{number(len(unnamed), 'identity', 'identities')} in no file given: {vnis}{more}",
        "count": unnamed.total(),
        "evidence": [
            entry
            for vni in shown
            for entry in case.earliest(_everything(case)._replace(vni=vni), f"VNI {vni}: {{flow}}", most=1)
        ],
        "remedy": remedy,
        "unknown": "whether the identity was deleted before the list was taken, or belongs to another cluster",
    }


def _overlap(one: Sent, other: Sent) -> bool:
    return one.first_time <= other.last_time and other.first_time <= one.last_time


def _datagrams(rows: Sequence[_Case]) -> int:
    return sum(row.sent.datagrams for row in rows)


def _largest(rows: Sequence[_Case]) -> list[_Case]:
    return sorted(rows, key=lambda row: (-row.sent.datagrams, row.source, row.vni))[:MOST_EVIDENCE]


def _everything(case: Case) -> Wanted:
    return Wanted([item.number for item in case.judged])


def _evidence(case: Case, rows: Sequence[_Case]) -> list[Evidence]:
    """The first record of each."""
    everything = _everything(case)
    return [
        entry
        for row in rows
        for text in [row.text.replace("{", "{{").replace("}", "}}") + ": {flow}"]  # a pod's name may hold braces
        for entry in case.earliest(everything._replace(vni=row.vni, source=row.source), text, most=1)
    ]


def _sending_node(case: Case, row: _Case) -> str:
    """By the tunnel of its first datagram."""
    wanted = _everything(case)._replace(vni=row.vni, source=row.source)
    for proof in case.judge.bundles.earliest(wanted, 1):
        if address := address_text(proof.outer_source):
            return case.knowledge.node(proof.outer_source) or f"the node {address}"
    return "the sending node"
