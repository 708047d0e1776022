"""Findings chosen by id and by family: what is left out is told of, and names that are none are refused."""

from __future__ import annotations

import pytest
from conftest import CAPTURES

import vxtool
from vxtool.analysis.findings.choice import choose
from vxtool.analysis.model import Finding
from vxtool.cli import run
from vxtool.errors import UsageError

# Pods at 1500 whose nodes fragment, taken with a filter that hides the later fragments, and with a snap length.
PATH = str(CAPTURES / "pods-mtu-1500-filtered.pcap")
CLIPPED, HIDDEN = "capture.clipped", "capture.fragments-hidden"
AT_SOURCE, TOO_LARGE = "mtu.fragmented-at-source", "mtu.inner-exceeds-overlay"


ALL = {CLIPPED, HIDDEN, AT_SOURCE, TOO_LARGE}


def chosen(select: list[str], ignore: list[str]) -> tuple[set[str], set[str]]:
    findings: list[Finding] = [
        {
            "id": name,
            "severity": "warning",
            "title": "Odd",
            "count": 7,
            "evidence": [],
            "remedy": "none",
            "unknown": None,
        }
        for name in sorted(ALL)
    ]
    left, ignored = choose(findings, select, ignore)
    assert all(item == {"id": item["id"], "severity": "warning", "count": 7} for item in ignored)
    return {finding["id"] for finding in left}, {item["id"] for item in ignored}


@pytest.mark.parametrize(
    ("select", "ignore", "left"),
    [
        ([], [], ALL),
        ([AT_SOURCE], [], {AT_SOURCE}),
        (["mtu"], [], {AT_SOURCE, TOO_LARGE}),
        (["mtu", CLIPPED], [], {AT_SOURCE, TOO_LARGE, CLIPPED}),
        ([], [HIDDEN], {CLIPPED, AT_SOURCE, TOO_LARGE}),
        ([], ["mtu", "capture"], set()),
        (["mtu"], [TOO_LARGE], {AT_SOURCE}),
        (["identity"], [], set()),
    ],
)
def test_what_is_not_wanted_is_told_of(select: list[str], ignore: list[str], left: set[str]) -> None:
    assert chosen(select, ignore) == (left, ALL - left)


def test_a_report_holds_what_was_chosen() -> None:
    report = vxtool.analyze([PATH], select=["mtu", "capture"], ignore=[HIDDEN])
    names = [finding["id"] for finding in report["findings"]]
    assert AT_SOURCE in names
    assert HIDDEN not in names
    assert {"id": HIDDEN, "severity": "warning", "count": 94} in report["findings_ignored"]


@pytest.mark.parametrize("option", ["select", "ignore"])
def test_a_name_that_is_none_is_wrong_usage(option: str) -> None:
    with pytest.raises(UsageError, match=r"'mtu\.fragmented': .*mtu\.fragmented-at-source"):
        vxtool.analyze([PATH], **{option: ["mtu.fragmented"]})  # type: ignore[arg-type]


@pytest.mark.parametrize("option", ["--select", "--ignore", "--fail-on"])
def test_the_command_says_so_in_one_line(option: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["analyze", PATH, option, "mtu,capture.cliped"]) == 2
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "'capture.cliped'" in err
    assert "the nearest is capture.clipped," in err


@pytest.mark.parametrize("option", ["--select", "--ignore", "--fail-on"])
@pytest.mark.parametrize("value", ["", " ", ",", " , "])
def test_a_value_without_a_name_is_wrong_usage(
    option: str, value: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """As of a variable that is not set: the gate would stand open."""
    assert run(["analyze", PATH, "--fail-on", "error", option, value]) == 2
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert f"{option}: {value!r} names nothing" in err


def test_a_severity_is_none_of_select(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["analyze", PATH, "--select", "error"]) == 2
    assert "'error': is no finding's id" in capfd.readouterr().err


def test_what_is_ignored_fails_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    arguments = ["analyze", PATH, "--fail-on", "warning", "--fail-on", "mtu"]
    assert run(arguments) == 1
    assert run([*arguments, "--ignore", "mtu,capture"]) == 0
    assert "ignored: " in capfd.readouterr().out
