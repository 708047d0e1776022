"""What an operator should know: one module for each family of findings.

A finding is raised on evidence in the capture, names records that prove it, proposes one change or next command,
and says what a capture cannot tell.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vxtool.analysis.findings import capture, forwarding, identity, mtu, tunnel
from vxtool.analysis.findings.evidence import Case

if TYPE_CHECKING:
    from vxtool.analysis.model import Finding

_SEVERITIES = {"error": 0, "warning": 1, "info": 2}


def find_all(case: Case) -> list[Finding]:
    """All findings, the gravest first."""
    found = [
        *forwarding.find(case),
        *mtu.find(case),
        *identity.find(case),
        *tunnel.find(case),
        *capture.find(case),
    ]
    return sorted(found, key=lambda finding: (_SEVERITIES[finding["severity"]], -finding["count"], finding["id"]))
