"""Every finding that the code can raise is explained, and nothing else is; the docs page says the same."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from conftest import REPOSITORY

from vxtool.analysis import findings
from vxtool.analysis.findings import explanations, family_of
from vxtool.report.explain import render_markdown

MODULES = sorted(Path(findings.__file__).parent.glob("*.py"))
# The families of the design.
ID = re.compile(r"(?:forwarding|mtu|identity|tunnel|capture)\.[a-z]+(?:-[a-z]+)*")


def ids_raised() -> set[str]:
    """The ids that stand as such in the sources, but for those that only name an explanation."""
    found: set[str] = set()
    for module in MODULES:
        for statement in ast.parse(module.read_text("utf-8")).body:
            target = statement.target if isinstance(statement, ast.AnnAssign) else None
            if isinstance(statement, ast.Assign):
                target = statement.targets[0]
            if isinstance(target, ast.Name) and target.id == "EXPLANATIONS":
                continue
            for node in ast.walk(statement):
                if isinstance(node, ast.Constant) and isinstance(node.value, str) and ID.fullmatch(node.value):
                    found.add(node.value)
    return found


def test_what_is_raised_is_what_is_explained() -> None:
    assert "forwarding.dropped" in ids_raised()
    assert ids_raised() == {*explanations()}


def test_families_stand_together() -> None:
    families = [family_of(name) for name in explanations()]
    assert families == sorted(families, key=families.index)


@pytest.mark.parametrize("name", explanations())
def test_an_explanation_has_all_its_parts(name: str) -> None:
    explanation = explanations()[name]
    assert re.match(r"([a-z]|[A-Z]{2}).*[^.]$", explanation.summary), "one line, without a full stop"
    for sentence in explanation[1:]:
        assert re.match(r"[A-Z`].*\.$", sentence), sentence


def test_the_docs_page_is_the_one_that_make_docs_writes() -> None:
    assert (REPOSITORY / "docs" / "findings.md").read_text("utf-8") == render_markdown(explanations())
