"""Findings on packet sizes and fragments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

from vxtool.analysis.findings.evidence import Case, number
from vxtool.analysis.findings.explanation import Explanation
from vxtool.analysis.limits import longest_fragments, nested
from vxtool.analysis.outcomes import Judged
from vxtool.analysis.sizes import USUAL_OVERHEAD, link_mtus
from vxtool.engine.answers import Wanted
from vxtool.engine.tables import OVERTAKEN, SEGMENTED, WHOLE

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
        "as 1450 for 1500 (Cilium: `MTU` in its Helm values, which is that of the nodes' links), or raise the MTU "
        "of the links.",
        unknown="Which MTU made the sender fragment: its own link's, or one learned for the path; "
        "`ip route get VTEP` on the node shows the latter. The fragments' length tells it within 8 bytes.",
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
    "mtu.fragments-reordered": Explanation(
        summary="later fragments overtook the first of their datagram",
        cause="Only the first fragment has ports. Where queues, cards or equal-cost paths are chosen by them, the "
        "others go another way, and may be faster.",
        proof="Of a datagram in fragments, a later one was captured at some place, and stamped, before the first. "
        "Records whose times do not tell it do not count: processors that capture side by side may hand them over "
        "in another order.",
        remedy="Avoid fragments: set the pods' MTU to the overlay's (Cilium: `MTU` in its Helm values, which is "
        "that of the nodes' links), or raise the MTU of the links.",
        unknown="Whether the receiving node puts them together: Linux does, Cilium's datapath drops what it cannot "
        "match to a first fragment.",
    ),
    "mtu.inner-exceeds-overlay": Explanation(
        summary="packets of pods are too large to be tunnelled in one packet",
        cause="Pods, or routes to other nodes' pods, have a larger MTU than the underlay leaves: with pods at 1500 "
        "over an underlay of 1500, 50 bytes do not fit. Cilium sets the MTU on routes while devices stay at 1500, "
        "so `ip link` does not show it.",
        proof="Inner packets larger than the underlay MTU less the tunnel's headers. Super-frames, which "
        "segmentation offload hands to the capture as one packet, are not among them; nor is it raised where all "
        "of them passed whole and no links file tells the underlay MTU.",
        remedy="Set the pods' MTU to the overlay's (Cilium: `MTU` in its Helm values, which is that of the nodes' "
        "links), restart its agents and the pods, and see that `ip route` on the nodes shows that mtu on routes "
        "to other nodes' pods.",
        unknown="The MTU of links that this machine does not see.",
    ),
}


_MOST_FLOWS = 100  # that are looked through for who sent them
_MOST_SENDERS = 3  # that are named


def find(case: Case) -> Iterator[Finding]:
    yield from _fragmented_at_source(case)
    yield from _fragmented_by_router(case)
    yield from _fragments_reordered(case)
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
        cut = _cut_for(case, items, "ingress")
        unknown = _which_mtu(case, cut)
        title = f"{number(count, 'datagram')} left the sending node in fragments: the tunnel's headers did not fit"
        title += f" (up to {largest:,} bytes inside, of {_senders(case, items)})"
        sure = f"; {cut.text}{_sure_fit(items, cut)}" if cut else ""
        if overlay is None:
            change = case.set_pods_mtu(_fits(items, cut)) if cut else _to_smallest_link(items)
            family = "IPv6" if len(items[0].bundle.source) == 16 else "IPv4"
            remedy = (
                f"{change}, or raise the MTU of the links between the nodes; the tunnel adds "
                f"{_headers(items)} bytes over {family}{sure}"
            )
        elif largest > overlay:
            remedy = case.set_pods_mtu(overlay)
        else:
            remedy = (
                f"none has more than the {overlay:,} bytes that fit here, so a smaller link lies beyond: "
                "`tracepath` from one node to the other finds it; raise its MTU, or set the pods' MTU to it less "
                f"{USUAL_OVERHEAD} bytes over IPv4{sure}"
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


class _Cut(NamedTuple):
    """The longest first fragments that crossed an interface, and the MTU of its link."""

    label: str
    length: int
    link: int | None

    @property
    def text(self) -> str:
        """Fragments but the last hold multiples of 8 bytes, and Linux fills them."""
        return f"fragments of {self.length:,} bytes come from an MTU of {self.length:,} to {self.length + 7:,}"


def _cut_for(case: Case, items: Sequence[Judged], side: Literal["ingress", "egress"]) -> _Cut | None:
    """What the first fragments of these datagrams tell: of the interface where they are the shortest."""
    longest = longest_fragments(case.tables, case.scope == "tunnel")
    found = []
    for item in items:
        stage = item.route.ingress if side == "ingress" else item.route.egress
        stage = stage or item.route.measured
        length = longest.get((stage.interface, stage.direction))
        if length is not None:
            name = case.knowledge.interface(stage.interface, case.tables)
            found.append(_Cut(name.label or "an unnamed interface", length, name.mtu))
    return min(found, key=lambda cut: (cut.length, cut.label), default=None)


def _which_mtu(case: Case, cut: _Cut | None) -> str:
    """By which MTU a node fragments, as far as its fragments and this machine's end of the link tell."""
    told = "`ip route get VTEP` on the node shows it"
    if cut is None:
        return f"which MTU made the sender fragment: its own link's, or one that it learned for the path ({told})"
    if cut.link is not None and cut.length + 7 < cut.link:
        return (
            f"whether the node learned an MTU for the path ({told}) or has a smaller link itself: {cut.text}, and "
            f"{cut.label} has {cut.link:,} here"
        )
    if cut.link is not None and cut.length <= cut.link:
        return (
            f"whether the node goes by its own link, as the {cut.link:,} of {cut.label} here suggest ({cut.text}), "
            f"or learned the same for the path ({told})"
        )
    return f"whether the node goes by its own link or by an MTU that it learned for the path ({told}): {cut.text}"


def _headers(items: Sequence[Judged]) -> int:
    """What the tunnel adds to one of these, at most."""
    return max((item.bundle.outer_bytes - item.bundle.inner_bytes) // item.bundle.datagrams for item in items)


def _fits(items: Sequence[Judged], cut: _Cut) -> int:
    return cut.length - _headers(items)


def _to_smallest_link(items: Sequence[Judged]) -> str:
    return (
        "set the pods' MTU to that of the smallest link between the nodes (`tracepath` from one to the other finds "
        f"it) less {_headers(items)} bytes for the tunnel"
    )


def _sure_fit(items: Sequence[Judged], cut: _Cut) -> str:
    hint = f", and {told}" if (told := nested(cut.length)) else ""
    return f"{hint}: inside the tunnel {_fits(items, cut)} fit for sure"


def _senders(case: Case, items: Sequence[Judged]) -> str:
    """The pods that sent these, by name or address."""
    proofs = case.judge.bundles.starts(Wanted([item.number for item in items]), _MOST_FLOWS)
    names = dict.fromkeys(case.end(proof.flow.source, -1, -1) for proof in proofs if proof.flow.source)
    shown = list(names)[:_MOST_SENDERS]
    if not shown:
        return "its pods"
    if len(names) > len(shown):
        shown.append(f"{len(names) - len(shown)} more")
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def _fragmented_by_router(case: Case) -> Iterator[Finding]:
    items = [
        item
        for group in case.groups_in_scope
        if group.route.has_fragments
        for item in group.items
        if item.fragmented_by_router
    ]
    count = sum(item.fragmented for item in items)
    if not count:
        return
    egresses = sorted({case.label(item, "egress") for item in items})
    where = " and ".join(egresses)
    cut = _cut_for(case, items, "egress")
    mtu = ""
    if cut is not None:
        mtu = f" ({cut.link:,} by the links file; {cut.text})" if cut.link is not None else f" ({cut.text})"
    remedy = f"raise the MTU of {where}{mtu} to that of the other links"
    if case.scope == "tunnel" and case.mtu["overlay"]:
        remedy += ", or " + case.set_pods_mtu(case.mtu["overlay"])
    elif case.scope == "tunnel" and cut is not None:
        remedy += f"{_sure_fit(items, cut)}, as the pods' MTU"
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


def _fragments_reordered(case: Case) -> Iterator[Finding]:
    items = [item for group in case.groups_in_scope if group.route.flags & OVERTAKEN for item in group.items]
    count = sum(item.bundle.datagrams for item in items)
    if not count:
        return
    here = [item for item in items if item.route.ingress is not None and item.route.ingress.form == WHOLE]
    tunnelled = case.scope == "tunnel"
    fits = case.mtu["overlay"]
    cut = _cut_for(case, items, "egress")
    if fits is None and cut is not None:
        fits = _fits(items, cut)
    remedy = (
        "let nothing be fragmented: "
        + (case.set_pods_mtu(fits) if tunnelled and fits else "lower the sender's packet size")
        + "; fragments change places where queues or equal-cost paths are chosen by ports, which only the first has"
    )
    total = sum(item.bundle.datagrams for item in case.in_scope if item.route.has_fragments)
    yield {
        "id": "mtu.fragments-reordered",
        "severity": "warning" if tunnelled else "info",
        "title": f"of {number(total, 'datagram')} in fragments, {count:,} had a later one that overtook the first"
        + (": Cilium drops such datagrams" if tunnelled else ""),
        "count": count,
        "evidence": case.samples(items, "{flow}, {size} bytes: a later fragment came before this one"),
        "remedy": remedy,
        "unknown": "whether the receiving node puts them together: Linux does, and Cilium's datapath does not"
        + ("" if here else "; where on the way they changed places, unless it was before this machine"),
    }


def _inner_exceeds_overlay(case: Case) -> Iterator[Finding]:
    overlay, count = case.mtu["overlay"], case.mtu["over_overlay"]
    if overlay is None or not count:
        return
    # Not those of a super-frame's size, nor those whose own tunnel headers leave room for them: the overlay MTU is
    # that of the usual ones, and IPv6 beside IPv4, or VLAN tags, cost other numbers of bytes.
    wanted = Wanted(
        [item.number for item in case.in_scope if not item.route.flags & SEGMENTED],
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
    hint = f"; {told}" if (told := nested(case.mtu["underlay"] or 0)) else ""
    yield {
        "id": "mtu.inner-exceeds-overlay",
        "severity": "warning",
        "title": f"{number(count, 'inner packet')} of up to {largest} bytes "
        f"{'exceeds' if count == 1 else 'exceed'} the overlay MTU of {overlay}",
        "count": count,
        "evidence": evidence,
        "remedy": case.set_pods_mtu(overlay) + "; on the nodes `ip route` should show mtu "
        f"{overlay} on routes to other nodes' pods{hint}",
        "unknown": f"the MTU of links that this machine does not see; {overlay} is {case.mtu['overlay_evidence']}",
    }


def _passed_whole(item: Judged) -> bool:
    ingress, egress = item.route.ingress, item.route.egress
    return ingress is not None and egress is not None and ingress.form == egress.form == WHOLE
