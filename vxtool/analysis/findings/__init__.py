"""What an operator should know: one module for each family of findings.

A finding is raised on evidence in the capture, names records that prove it, proposes one change or next command,
and says what a capture cannot tell.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vxtool.analysis.findings import capture, forwarding, identity, mtu, too_big, tunnel
from vxtool.analysis.findings.choice import family_of as family_of
from vxtool.analysis.findings.evidence import Case
from vxtool.analysis.findings.explanation import Explanation

if TYPE_CHECKING:
    from vxtool.analysis.model import Finding

# Each has `find` and `EXPLANATIONS`.
_FAMILIES = (forwarding, mtu, too_big, identity, tunnel, capture)

_SEVERITIES = {"error": 0, "warning": 1, "info": 2}


# What also tells all that a finding does, and why: then that is to be mended, and the finding itself is
# information. Those in one tuple tell it together.
_TOLD_BY: dict[str, tuple[tuple[str, ...], ...]] = {
    "forwarding.dropped": (("mtu.black-hole",), ("mtu.too-big-ignored",), ("mtu.packet-too-big",)),
    "mtu.packet-too-big": (("mtu.too-big-ignored",),),
    "mtu.inner-exceeds-overlay": (
        ("mtu.fragmented-by-router", "mtu.fragmented-at-source"),
        ("mtu.too-big-ignored",),
        ("mtu.packet-too-big",),
        ("mtu.black-hole",),
    ),
}


def find_all(case: Case) -> list[Finding]:
    """All findings, the gravest first."""
    found = [finding for family in _FAMILIES for finding in family.find(case)]
    grave = {finding["id"]: finding["count"] for finding in found if finding["severity"] != "info"}
    for finding in found:
        for others in _TOLD_BY.get(finding["id"], ()) if finding["severity"] != "info" else ():
            there = [other for other in others if other in grave]
            # All of it, not some: what remains has another cause.
            if there and sum(grave[other] for other in there) >= finding["count"]:
                finding["severity"] = "info"
                finding["title"] += f" (see {' and '.join(there)})"
                break
    return sorted(found, key=lambda finding: (_SEVERITIES[finding["severity"]], -finding["count"], finding["id"]))


def explanations() -> dict[str, Explanation]:
    """What is said of each kind of finding, by id: family by family, each of which may be told of in several
    modules."""
    texts = {name: text for module in _FAMILIES for name, text in module.EXPLANATIONS.items()}
    families = list(dict.fromkeys(map(family_of, texts)))
    return dict(sorted(texts.items(), key=lambda entry: families.index(family_of(entry[0]))))
