"""`vxtool diff` on sample captures: options in, exit code and text out."""

from __future__ import annotations

import gzip
import json
import os
import threading
import time
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
        with open(writing, "wb", buffering=0) as pipe:
            for at, data in enumerate((path.read_bytes()[:1], path.read_bytes()[1:])):
                time.sleep(0.05 * at)
                pipe.write(data)

    threading.Thread(target=feed, daemon=True).start()
    return reading


@pytest.mark.parametrize("kind", ["capture", "report", "report behind a line", "gzip"])
def test_each_side_may_come_by_a_pipe(kind: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """As by `vxtool diff <(ssh node cat vxlan.pcap) ...`: what it is can be told without reading it twice."""
    path = Path(NATIVE)
    if kind.startswith("report"):
        path = tmp_path / "native.json"
        assert run(["analyze", NATIVE, "--format", "json", "-o", str(path)]) == 0
        if kind != "report":
            path.write_text("\n" + path.read_text())
    elif kind == "gzip":
        path = tmp_path / "native.pcap.gz"
        path.write_bytes(gzip.compress(Path(NATIVE).read_bytes()))
    for arguments in (["{}", VXLAN], [VXLAN, "{}"]):
        assert run(["diff", *(argument.replace("{}", NATIVE) for argument in arguments), "--format", "json"]) == 0
        expected = json.loads(capfd.readouterr().out)
        descriptor = _piped(path)
        named = [argument.replace("{}", f"/dev/fd/{descriptor}") for argument in arguments]
        code = run(["diff", *named, "--format", "json"])
        os.close(descriptor)
        found = json.loads(capfd.readouterr().out)
        expected["before"]["paths"] = expected["after"]["paths"] = None
        found["before"]["paths"] = found["after"]["paths"] = None
        assert (code, found) == (0, expected)


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
