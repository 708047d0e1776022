"""`vxtool summary` as a command: its output as it was agreed (golden files), on a terminal and in pipes."""

from __future__ import annotations

import fcntl
import gzip
import json
import os
import pty
import re
import resource
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest
from conftest import CAPTURES, CLUSTER_FILES, REPOSITORY, require_module, require_tool
from report.test_json import SCHEMA

from vxtool.api import summary
from vxtool.cli import run
from vxtool.report import Target

VXLAN = str(CAPTURES / "vxlan.pcap")
GOLDEN = REPOSITORY / "tests" / "report" / "golden" / "summary"
CLUSTER = [
    str(CLUSTER_FILES / name) for name in ("ciliumendpoints.json", "ciliumidentities.json", "ciliumnodes.json")
]
NAMES = ["vxlan", "ping-http", "drops"]
SHOWN = {
    "80.txt": {"format": "text", "target": Target(width=80), "fit": True},
    "160.txt": {"format": "text", "target": Target(width=160), "fit": True},
    "txt": {"format": "text"},
    "tsv": {"format": "tsv"},
    "json": {"format": "json"},
}
COMMAND = [sys.executable, "-m", "vxtool", "summary"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("suffix", SHOWN)
def test_as_agreed(name: str, suffix: str, engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """VXTOOL_GOLDEN=1 writes the files anew."""
    monkeypatch.chdir(REPOSITORY)  # paths stand in the output
    found = summary(
        [f"captures/{name}.pcap"], cluster=CLUSTER, links=[f"captures/{name}.links.json"], most=70, **SHOWN[suffix]
    )
    text = re.sub(r'"engine": "\w+"', '"engine": "any"', "".join(found))
    golden = GOLDEN / f"{name}.{suffix}"
    if os.environ.get("VXTOOL_GOLDEN") == "1":
        golden.write_text(text, "utf-8")
    assert text == golden.read_text("utf-8")


@pytest.mark.parametrize("extra", [[], ["--detail", "3"], ["--detail", "4", "--format", "json"]])
def test_what_comes_from_a_pipe_reads_as_the_file_does(extra: list[str]) -> None:
    said = [
        subprocess.run([*COMMAND, path, *extra], input=Path(VXLAN).read_bytes(), capture_output=True, check=True)
        for path in ("-", VXLAN)
    ]
    piped, read = (one.stdout.decode().replace(VXLAN, "-") for one in said)
    assert piped == read
    assert piped


@pytest.mark.parametrize("name", NAMES)
def test_json_follows_the_schema(name: str) -> None:
    require_module("jsonschema")
    import jsonschema

    found = json.loads((GOLDEN / f"{name}.json").read_text("utf-8").replace('"any"', '"native"'))
    jsonschema.validate(found, {**SCHEMA["$defs"]["PacketList"], "$defs": SCHEMA["$defs"]})
    properties = SCHEMA["$defs"]["ListedPacket"]["properties"]
    assert list(found["records"][0]) == list(properties)


def test_a_terminal_gets_lines_of_its_width_in_colour() -> None:
    text = on_terminal([str(CAPTURES / "drops.pcap"), "--count", "60"], columns=80)
    lines = re.sub("\x1b\\[[0-9;]*m", "", text).splitlines()
    assert max(map(len, lines)) <= 80
    assert any("…" in line for line in lines)
    assert "\x1b[31m" in text  # what was dropped
    plain = on_terminal([str(CAPTURES / "drops.pcap"), "--count", "60", "--color", "never"], columns=80)
    assert plain.splitlines() == lines


def on_terminal(arguments: list[str], columns: int) -> str:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS")}
    with subprocess.Popen(
        [*COMMAND, *arguments], stdout=theirs, stdin=subprocess.DEVNULL, env={**environment, "TERM": "xterm"}
    ) as process:
        os.close(theirs)
        text = b""
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # its other end is closed
                break
            if not piece:
                break
            text += piece
        assert process.wait() == 0
    os.close(ours)
    return text.decode().replace("\r\n", "\n")


def test_a_pipe_gets_whole_lines_without_control_codes(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["summary", str(CAPTURES / "drops.pcap")]) == 0
    text = capfd.readouterr().out
    assert "\x1b" not in text
    assert "…" not in text


def test_standard_input_is_read_twice(tmp_path: Path) -> None:
    expected = subprocess.run([*COMMAND, VXLAN], capture_output=True, check=True).stdout
    with open(VXLAN, "rb") as file:
        data = file.read()
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    found = subprocess.run([*COMMAND, "-"], input=data, capture_output=True, check=True, env=environment)
    assert found.stdout == expected
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", ["summary", "crosscheck"])
def test_no_room_for_a_copy_is_one_line(command: str, tmp_path: Path) -> None:
    if command == "crosscheck":
        require_tool("tshark")
        require_module("pyshark")
    with open(VXLAN, "rb") as file, subprocess.Popen(["cat"], stdin=file, stdout=subprocess.PIPE) as cat:
        found = subprocess.run(
            [*COMMAND[:-1], command, "/dev/stdin" if command == "summary" else VXLAN],
            stdin=cat.stdout,
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)),
        )
    assert found.returncode == 3
    assert "cannot be copied" in found.stderr
    assert "give TMPDIR a place with room" in found.stderr
    assert found.stderr.count("\n") == 1


@pytest.mark.parametrize(("capture", "code", "lines"), [("", 3, 0), (VXLAN, 0, 4)])
def test_a_stream_without_end_is_not_kept_behind_what_is_no_capture(capture: str, code: int, lines: int) -> None:
    feed = f"cat '{capture}'; exec yes" if capture else "exec yes"
    with subprocess.Popen(["sh", "-c", feed], stdout=subprocess.PIPE) as endless:
        found = subprocess.run(
            [*COMMAND, "-", "--all"],
            stdin=endless.stdout,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20)),
        )
        assert endless.stdout is not None
        endless.stdout.close()
    assert found.returncode == code
    assert found.stderr.count("\n") == 1
    assert ("what came before counts" if lines else "not a capture") in found.stderr
    assert found.stdout.count("\n") == lines


@pytest.mark.parametrize("first", [1, 100, 200, 511, 513])
def test_what_a_damaged_stream_gave_is_what_is_listed(first: int) -> None:
    """How much of the damaged bytes can be unpacked depends on the pieces in which they come."""
    packed = bytearray(gzip.compress((CAPTURES / "drops.pcap").read_bytes(), mtime=0))
    packed[-8:-4] = bytes(4)  # the checksum
    listed = [*COMMAND, "-", "--format", "json", "--all"]
    with subprocess.Popen(listed, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(packed[:first])
        process.stdin.flush()
        time.sleep(0.3)
        out, err = process.communicate(bytes(packed[first:]), timeout=60)
    found = json.loads(out)
    assert found["inputs"][0]["truncated"]
    assert len(found["records"]) == found["inputs"][0]["records"] > 700
    assert b"Traceback" not in err


def test_a_reader_that_goes_away_ends_it_quietly() -> None:
    with subprocess.Popen(
        [*COMMAND, str(CAPTURES / "drops.pcap"), "--format", "json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 141


def test_an_interrupt_ends_it(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with subprocess.Popen([*COMMAND, str(path)], stderr=subprocess.PIPE) as process:
        writer = os.open(path, os.O_WRONLY)  # waits until it is read
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        assert process.wait() == 130
        os.close(writer)


def test_an_encoding_without_arrows_gets_other_signs() -> None:
    found = subprocess.run(
        [*COMMAND, VXLAN], capture_output=True, check=True, env={**os.environ, "PYTHONIOENCODING": "ascii"}
    )
    assert found.stdout.decode("ascii").split()[2:5] == ["#3->#4", "16", "us"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--fields", "number,sauce"],
            "vxtool: field 'sauce': is none of a packet list; the nearest is source, and `vxtool fields summary` "
            "lists all\n",
        ),
        (["--fields", ","], "vxtool: Invalid value for '--fields': ',' names no field; `vxtool fields summary`"),
        (["-Y", "vni = 5"], "vxtool: -Y: column 5: "),
        (["-o", VXLAN], f"vxtool: {VXLAN}: is an input too; give --output another file.\n"),
        (["--count", "0"], "vxtool: Invalid value for '--count': 0 is not in the range x>=1; see"),
    ],
)
def test_what_makes_no_sense(arguments: list[str], message: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["summary", VXLAN, *arguments]) == 2
    printed = capfd.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(message)


def test_an_input_that_cannot_be_read_is_told_and_the_others_are_listed(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["summary", VXLAN, "nowhere.pcap", "--format", "tsv"]) == 3
    printed = capfd.readouterr()
    assert len(printed.out.splitlines()) == 3
    assert printed.err.startswith("vxtool: nowhere.pcap: cannot be read")
    assert run(["summary", "nowhere.pcap"]) == 3
    assert capfd.readouterr().out == ""


def test_a_file_that_is_cut_short_is_listed_up_to_there(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "cut.pcap"
    path.write_bytes((CAPTURES / "vxlan.pcap").read_bytes()[:-10])
    assert run(["summary", str(path)]) == 0
    printed = capfd.readouterr()
    assert [line.split()[0] for line in printed.out.splitlines()] == ["1", "3"]
    assert printed.err.startswith(f"vxtool: {path}: ")


def test_output_goes_to_a_file(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["summary", VXLAN]) == 0
    expected = capfd.readouterr().out
    path = tmp_path / "list.txt"
    assert run(["summary", VXLAN, "-o", str(path)]) == 0
    assert path.read_text("utf-8") == expected
    assert capfd.readouterr().out == ""


def test_what_is_too_much_to_be_told_apart_is_said(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("vxtool.api.most_listed", lambda _memory: 2)
    assert run(["summary", VXLAN]) == 0
    printed = capfd.readouterr()
    assert [line.split()[0] for line in printed.out.splitlines()] == ["1", "3", "4"]
    assert printed.err == (
        "vxtool: 2 datagrams, or further records of such, are more than can be told apart: each is a line of its "
        "own.\n"
    )
