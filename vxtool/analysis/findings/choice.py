"""Findings chosen by id or by family."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

from vxtool.errors import UsageError

if TYPE_CHECKING:
    from vxtool.analysis.model import Finding, IgnoredFinding


# What a severity stands for where findings are named: itself, and what is worse.
SEVERITIES = {"error": ("error",), "warning": ("error", "warning"), "info": ("error", "warning", "info")}


def family_of(name: str) -> str:
    """`mtu` of `mtu.black-hole`."""
    return name.partition(".")[0]


def names_one_of(names: Collection[str], name: str) -> bool:
    """Whether a finding's id is one of these ids, or of one of these families."""
    return name in names or family_of(name) in names


def is_among(finding: Finding, names: Collection[str]) -> bool:
    """Whether a finding is of one of these ids, families, or severities or worse."""
    severities = {severity for name in names for severity in SEVERITIES.get(name, ())}
    return finding["severity"] in severities or names_one_of(names, finding["id"])


def check_names(names: Iterable[str], more: Collection[str] = ()) -> None:
    """Raise UsageError for a name that is no finding's id, no family of them and none of `more`."""
    from vxtool.analysis.findings import explanations  # here, because it holds this module
    from vxtool.spelling import nearest_named

    ids = explanations()
    known = list(dict.fromkeys([*ids, *map(family_of, ids), *more]))
    for name in names:
        if name not in known:
            raise UsageError(
                f"{name!r}: is no finding's id and no family of them; {nearest_named(name, known)}, and "
                "`vxtool explain` lists all."
            )


def choose(
    findings: Sequence[Finding], select: Collection[str], ignore: Collection[str]
) -> tuple[list[Finding], list[IgnoredFinding]]:
    """Those that are wanted, and what is left of the others: ids and families in `select`, or all without any, but
    for those in `ignore`."""
    wanted: list[Finding] = []
    ignored: list[IgnoredFinding] = []
    for finding in findings:
        name = finding["id"]
        if (not select or names_one_of(select, name)) and not names_one_of(ignore, name):
            wanted.append(finding)
        else:
            ignored.append({"id": name, "severity": finding["severity"], "count": finding["count"]})
    return wanted, ignored
