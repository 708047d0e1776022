"""Findings on packet sizes and fragments."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from vxtool.analysis.findings.evidence import Case, number
from vxtool.analysis.findings.explanation import Explanation
from vxtool.analysis.outcomes import Judged
from vxtool.analysis.sizes import USUAL_OVERHEAD, link_mtus
from vxtool.engine.answers import Wanted
from vxtool.engine.tables import WHOLE

if TYPE_CHECKING:
    from vxtool.analysis.model import Finding

EXPLANATIONS = {
    "mtu.fragmented-at-source": Explanation(
        summary="datagrams left the sending node in fragments",
        cause="The pods' MTU does not leave room for the tunnel's headers (50 bytes over IPv4, 70 over IPv6), or "
        "the node has learned of a smaller MTU on the path. Linux sends the outer packets of a VXLAN device "
        "without DF unless told so, so they are fragmented silently.",
        proof="The outer packets came in as fragments. Where a filter hides the later ones, the first ones "
        "prove it.",
        remedy="Set the pods' MTU to that of the smallest link between the nodes less the tunnel's headers, such "
        "as 1450 for 1500 (Cilium: `mtu` in its Helm values), or raise the MTU of the links.",
        unknown="Which MTU made the sender fragment: its own link's, or one learned for the path; "
        "`ip route get VTEP` on the node shows the latter.",
    ),
    "mtu.fragmented-by-router": Explanation(
        summary="datagrams left this machine in fragments that were made here",
        cause="The link by which they left has a smaller MTU than the one by which they came, and their outer "
        "packets carry no DF.",
        proof="Datagrams that came in whole and left in fragments, or left in more fragments than they came in.",
        remedy="Raise the MTU of the outgoing link to that of the others (`ip link set INTERFACE mtu N`), or lower "
        "the pods' MTU so that packets and tunnel headers fit it.",
        unknown="Whether the fragments arrive: many networks drop them, and Cilium drops a datagram whose later "
        "fragments overtake the first.",
    ),
    "mtu.inner-exceeds-overlay": Explanation(
        summary="packets of pods are too large to be tunnelled in one packet",
        cause="Pods, or routes to other nodes' pods, have a larger MTU than the underlay leaves: with pods at 1500 "
        "over an underlay of 1500, 50 bytes do not fit. Cilium sets the MTU on routes while devices stay at 1500, "
        "so `ip link` does not show it.",
        proof="Inner packets larger than the underlay MTU less the tunnel's headers. Super-frames, which "
        "segmentation offload hands to the capture as one packet, are not among them; nor is it raised where all "
        "of them passed whole and no links file tells the underlay MTU.",
        remedy="Set the pods' MTU to the overlay's (Cilium: `mtu` in its Helm values), restart its agents and the "
        "pods, and see that `ip route` on the nodes shows that mtu on routes to other nodes' pods.",
        unknown="The MTU of links that this machine does not see.",
    ),
}


# Where a node's pods get their MTU from.
_SET_MTU = (
    "set the pods' MTU to {mtu} (Cilium: `mtu: {mtu}` in its Helm values, then restart its agents and the pods)"
)


def find(case: Case) -> Iterator[Finding]:
    yield from _fragmented_at_source(case)
    yield from _fragmented_by_router(case)
    yield from _inner_exceeds_overlay(case)


def _fragmented_at_source(case: Case) -> Iterator[Finding]:
    items = [item for group in case.groups_in_scope if group.route.fragmented_at_source for item in group.items]
    count = sum(item.bundle.datagrams for item in items)
    if not count:
        return
    largest = max(item.bundle.largest for item in items)
    overlay = case.mtu["overlay"]
    if case.scope == "ip":
        title = f"{number(count, 'datagram')} came in fragments"
        remedy = "lower the sender's packet size, or raise the MTU of its link"
        text = "{flow}, {size} bytes, sent in fragments"
        unknown = f"why the sender fragments; the largest datagram has {largest:,} bytes"
    else:
        text = "{flow}, {size} bytes inside, sent in fragments"
        unknown = (
            "which MTU made the sender fragment: its own link's, or one that it learned for the path "
            f"(`ip route get VTEP` on the node shows it); the largest packet inside has {largest:,} bytes"
        )
        title = f"{number(count, 'datagram')} left the sending node in fragments: the tunnel's headers did not fit"
        if overlay is None:
            remedy = (
                "lower the pods' MTU by what the tunnel adds "
                f"({USUAL_OVERHEAD} bytes over IPv4), or raise the MTU of the links between the nodes"
            )
        elif largest > overlay:
            remedy = _SET_MTU.format(mtu=overlay)
        else:
            remedy = (
                f"none has more than the {overlay:,} bytes that fit here, so a smaller link lies beyond: "
                "`tracepath` from one node to the other finds it; raise its MTU, or set the pods' MTU to it less "
                f"{USUAL_OVERHEAD} bytes over IPv4"
            )
    yield {
        "id": "mtu.fragmented-at-source",
        "severity": "warning",
        "title": title,
        "count": count,
        "evidence": case.samples(items, text),
        "remedy": remedy,
        "unknown": unknown,
    }


def _fragmented_by_router(case: Case) -> Iterator[Finding]:
    items = [
        item
        for group in case.groups_in_scope
        if group.route.has_fragments
        for item in group.items
        if item.fragmented_by_router
    ]
    count = sum(item.bundle.datagrams for item in items)
    if not count:
        return
    egresses = sorted({case.label(item, "egress") for item in items})
    where = " and ".join(egresses)
    remedy = f"raise the MTU of {where} to that of the other links"
    if case.scope == "tunnel" and case.mtu["overlay"]:
        remedy += ", or " + _SET_MTU.format(mtu=case.mtu["overlay"])
    yield {
        "id": "mtu.fragmented-by-router",
        "severity": "warning",
        "title": f"{number(count, 'datagram')} left {where} in fragments that were made here",
        "count": count,
        "evidence": case.samples(items, "{flow}, {size} bytes: in {ingress}, in more pieces out {egress}"),
        "remedy": remedy,
        "unknown": "whether the fragments arrive: many networks drop them, and the receiving node drops a datagram "
        "whose first fragment is overtaken",
    }


def _inner_exceeds_overlay(case: Case) -> Iterator[Finding]:
    overlay, count = case.mtu["overlay"], case.mtu["over_overlay"]
    if overlay is None or not count:
        return
    # Not those of a super-frame's size, nor those whose own tunnel headers leave room for them: the overlay MTU is
    # that of the usual ones, and IPv6 beside IPv4, or VLAN tags, cost other numbers of bytes.
    wanted = Wanted(
        [item.number for item in case.in_scope],
        above=overlay,
        beyond=case.super_frames.sizes.keys(),
        room=case.mtu["underlay"],
    )
    bundles = case.judge.bundles
    if not bundles.starts(wanted, 1):
        return
    in_part = wanted._replace(bundles=[item.number for item in case.in_scope if not _passed_whole(item)])
    if not bundles.starts(in_part, 1) and not link_mtus(
        case.tables, case.groups_in_scope, case.knowledge, tunnelled=True
    ):
        return  # they fitted: what others' MSS says of the overlay is not so for all
    # The records of these are large for sure; else the first of a flow, which may have been small.
    proof = case.earliest(
        wanted._replace(smallest_too=True), "{flow}, {size} bytes inside: too large for one packet of the underlay"
    )
    evidence = proof or case.starts(wanted, "{flow}: packets of {size} bytes inside, from here on")
    largest = case.mtu["largest_inner"]
    yield {
        "id": "mtu.inner-exceeds-overlay",
        "severity": "warning",
        "title": f"{number(count, 'inner packet')} of up to {largest} bytes "
        f"{'exceeds' if count == 1 else 'exceed'} the overlay MTU of {overlay}",
        "count": count,
        "evidence": evidence,
        "remedy": _SET_MTU.format(mtu=overlay) + "; on the nodes `ip route` should show mtu "
        f"{overlay} on routes to other nodes' pods",
        "unknown": f"the MTU of links that this machine does not see; {overlay} is {case.mtu['overlay_evidence']}",
    }


def _passed_whole(item: Judged) -> bool:
    ingress, egress = item.route.ingress, item.route.egress
    return ingress is not None and egress is not None and ingress.form == egress.form == WHOLE
