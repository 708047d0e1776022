"""`vxtool explain`: one finding, a family, or all; a name that is none."""

from __future__ import annotations

import pytest

from vxtool.analysis.findings import explanations
from vxtool.cli import run


def squeezed(text: str) -> str:
    return " ".join(text.split())


def test_one_finding_is_told_in_all_its_parts(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["explain", "mtu.fragmented-by-router"]) == 0
    out = capfd.readouterr().out
    explanation = explanations()["mtu.fragmented-by-router"]
    assert out.startswith("mtu.fragmented-by-router  datagrams left this machine in fragments")
    for label, text in zip(("cause", "proof", "remedy", "not known"), explanation[1:], strict=True):
        assert squeezed(f"{label} {text}") in squeezed(out)
    assert max(map(len, out.splitlines())) <= 80


def test_without_an_id_all_are_listed(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["explain"]) == 0
    out = capfd.readouterr().out
    for name, explanation in explanations().items():
        assert squeezed(f"{name} {explanation.summary}") in squeezed(out)
    assert max(map(len, out.splitlines())) <= 80


def test_a_family_lists_its_own(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["explain", "mtu"]) == 0
    out = capfd.readouterr().out
    assert "mtu.inner-exceeds-overlay" in out
    assert "capture." not in out


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("forwarding.droped", "is forwarding.dropped,"),
        ("Forwarding.Dropped", "is forwarding.dropped,"),
        ("clipped", "is capture.clipped,"),
        ("mtuu", "is mtu,"),
        ("\x1b[31m", "vxtool explain"),
    ],
)
def test_a_name_that_is_none_gets_the_nearest(name: str, near: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["explain", name]) == 2
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert near in err
    assert "\x1b" not in err


def test_markdown_is_the_docs_page(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["explain", "--format", "markdown"]) == 0
    out = capfd.readouterr().out
    assert out.startswith("# Findings\n")
    assert out.count("\n### ") == len(explanations())
