"""`vxtool diff` on sample captures: options in, exit code and text out."""

from __future__ import annotations

import gzip
import json
import os
import threading
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


def _piped(path: Path) -> int:
    """The descriptor of a pipe that a file comes through."""
    reading, writing = os.pipe()

    def feed() -> None:
        with open(writing, "wb") as pipe:
            pipe.write(path.read_bytes())

    threading.Thread(target=feed).start()
    return reading


@pytest.mark.parametrize("kind", ["capture", "report", "gzip"])
def test_each_side_may_come_by_a_pipe(kind: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """As by `vxtool diff <(ssh node cat vxlan.pcap) ...`: what it is can be told without reading it twice."""
    path = Path(NATIVE)
    if kind == "report":
        path = tmp_path / "native.json"
        assert run(["analyze", NATIVE, "--format", "json", "-o", str(path)]) == 0
    elif kind == "gzip":
        path = tmp_path / "native.pcap.gz"
        path.write_bytes(gzip.compress(Path(NATIVE).read_bytes()))
    assert run(["diff", NATIVE, VXLAN, "--format", "json"]) == 0
    expected = json.loads(capfd.readouterr().out)
    expected["before"]["paths"] = expected["after"]["paths"] = None
    for arguments, side in ((["{}", VXLAN], "before"), ([NATIVE, "{}"], "after")):
        descriptor = _piped(path if side == "before" else Path(VXLAN))
        named = [argument.replace("{}", f"/dev/fd/{descriptor}") for argument in arguments]
        assert run(["diff", *named, "--format", "json"]) == 0
        os.close(descriptor)
        found = json.loads(capfd.readouterr().out)
        found["before"]["paths"] = found["after"]["paths"] = None
        assert found == expected


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
