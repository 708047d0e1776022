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


def find_all(case: Case) -> list[Finding]:
    """All findings, the gravest first."""
    found = [finding for family in _FAMILIES for finding in family.find(case)]
    return sorted(found, key=lambda finding: (_SEVERITIES[finding["severity"]], -finding["count"], finding["id"]))


def explanations() -> dict[str, Explanation]:
    """What is said of each kind of finding, by id: family by family, each of which may be told of in several
    modules."""
    texts = {name: text for module in _FAMILIES for name, text in module.EXPLANATIONS.items()}
    families = list(dict.fromkeys(map(family_of, texts)))
    return dict(sorted(texts.items(), key=lambda entry: families.index(family_of(entry[0]))))
