"""`vxtool diff` on sample captures: options in, exit code and text out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import CAPTURES

from vxtool.cli import run

NATIVE, VXLAN = str(CAPTURES / "native-misroute.pcap"), str(CAPTURES / "ping-http.pcap")


def test_text_goes_to_stdout(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["diff", NATIVE, VXLAN]) == 0
    out, err = capfd.readouterr()
    assert err == ""
    assert "figures differ.\n" in out.splitlines(keepends=True)[0]
    assert "\x1b" not in out


def test_each_side_may_be_a_report(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    saved = tmp_path / "native.json"
    assert run(["analyze", NATIVE, "--format", "json", "-o", str(saved)]) == 0
    assert run(["diff", str(saved), VXLAN, "--format", "json"]) == 0
    from_report = json.loads(capfd.readouterr().out)
    assert run(["diff", NATIVE, VXLAN, "--format", "json"]) == 0
    assert json.loads(capfd.readouterr().out) == from_report


def test_what_cannot_be_read_has_an_exit_code_and_a_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["diff", NATIVE, str(tmp_path / "none.pcap")]) == 3
    (tmp_path / "a.json").write_text("{}")
    assert run(["diff", NATIVE, str(tmp_path / "a.json")]) == 2
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 2)


def test_the_output_is_no_input(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    saved = tmp_path / "a.json"
    saved.write_text("{}")
    assert run(["diff", NATIVE, str(saved), "-o", str(saved)]) == 2
    assert saved.read_text() == "{}"
    assert run(["diff", "-", "-"]) == 2
    assert capfd.readouterr().err.count("\n") == 2
