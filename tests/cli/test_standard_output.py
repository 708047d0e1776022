"""Standard output that is closed, full or read by nobody any more: an exit code and at most a line, in each command
that asks for no capture."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

COMMANDS = (
    ["--help"],
    ["--version"],
    ["analyze", "--help"],
    ["config"],
    ["config", "analyze"],
    ["craft", "--list"],
    ["explain"],
    ["explain", "mtu"],
    ["fields"],
    ["mtu", "--underlay", "9000"],
)
PAGES = (["--help"], ["--version"], ["analyze", "--help"], ["craft", "--list"])


def run(arguments: list[str], redirection: str) -> subprocess.CompletedProcess[str]:
    command = ["sh", "-c", f'"$@" {redirection}', "sh", sys.executable, "-P", "-m", "vxtool", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_closed(arguments: list[str]) -> None:
    done = run(arguments, ">&-")
    if arguments in PAGES:  # which click leaves out
        assert (done.returncode, done.stderr) == (0, "")
    else:
        assert (done.returncode, done.stderr) == (2, "vxtool: standard output is closed; open it.\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_full(arguments: list[str]) -> None:
    done = run(arguments, "> /dev/full")
    assert done.returncode == 2
    assert done.stderr.startswith("vxtool: standard output: cannot ")
    assert "No space left on device" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_read_by_nobody(arguments: list[str]) -> None:
    command = [sys.executable, "-P", "-m", "vxtool", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(60) == 141
    assert process.stderr is not None
    assert process.stderr.read() == ""
