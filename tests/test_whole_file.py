"""Files that are there whole or not at all."""

from __future__ import annotations

import errno
import itertools
import os
import resource
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import CAPTURES

from vxtool.whole_file import WholeFile, remove_unfinished, whole_file

PROGRAM = str(Path(sys.executable).parent / "vxtool")
COMMANDS = [
    ["analyze", str(CAPTURES / "drops.pcap"), "--format", "json", "--output"],
    ["flows", str(CAPTURES / "drops.pcap"), "--format", "json", "--output"],
    ["decap", str(CAPTURES / "drops.pcap"), "--output"],
    ["extract", str(CAPTURES / "drops.pcap"), "--outcome", "dropped", "--output"],
    ["encap", str(CAPTURES / "drops.pcap"), "--outer", "10.0.0.1,10.0.0.2", "--vni", "5", "--output"],
    *(["craft", "--scenario", "stale-mtu", "--format", each, "--output"] for each in ("sll2", "sll", "pcapng")),
]
# Half a million datagrams through a router: seconds, of which the first window is written at once.
LONG = [
    *("craft", "--from", "172.20.0.107", "--to", "172.20.2.4", "--tcp", "32788:80", "--vni", "36705"),
    *("--outer", "192.168.10.100,192.168.20.100", "--count", "500k", "--through", "eth1,eth2"),
]
PATIENCE = 30  # s, for a loaded machine


def interrupted(folder: Path, arguments: list[str], number: int) -> int:
    """The exit code of a command that is sent a signal once it has written to a file beside in `folder`."""
    with subprocess.Popen([PROGRAM, *arguments], stderr=subprocess.PIPE, cwd=folder) as process:
        until = time.monotonic() + PATIENCE
        while not any(each.stat().st_size for each in folder.glob(".*.part")):
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.01)
        process.send_signal(number)
        _, said = process.communicate(timeout=PATIENCE)
    assert said == b""
    return process.returncode


def test_it_has_its_name_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "report"
    with whole_file(path) as file:
        file.write(b"whole")
        file.flush()
        assert not path.exists()
    assert path.read_bytes() == b"whole"
    assert os.listdir(tmp_path) == ["report"]


def test_what_was_there_stays_where_it_fails(tmp_path: Path) -> None:
    path = tmp_path / "report"
    path.write_bytes(b"before")

    def write() -> None:
        with whole_file(path) as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert path.read_bytes() == b"before"
    assert os.listdir(tmp_path) == ["report"]


@pytest.mark.parametrize("before", [None, b"before"])
def test_an_interrupt_at_any_line_leaves_no_more_than_the_end_of_the_process_removes(
    before: bytes | None, tmp_path: Path
) -> None:
    path = tmp_path / "report"
    code = sys.modules[WholeFile.__module__].__file__

    def write(line: int) -> None:
        """Write it, with an interrupt at the so manieth line that is run."""
        seen = 0

        def trace(frame: Any, event: str, _: object) -> Any:
            nonlocal seen
            if frame.f_code.co_filename != code:
                return None
            seen += event == "line"
            if event == "line" and seen == line:
                raise KeyboardInterrupt
            return trace

        traced = sys.gettrace()
        sys.settrace(trace)
        try:
            with whole_file(path) as file:
                file.write(b"whole")
        finally:
            sys.settrace(traced)

    for line in range(1, 200):
        path.unlink(missing_ok=True)
        if before is not None:
            path.write_bytes(before)
        try:
            write(line)
        except KeyboardInterrupt:
            remove_unfinished()
            assert path.exists() == (before is not None) or path.read_bytes() == b"whole"
            assert not path.exists() or path.read_bytes() in (before, b"whole")
            assert set(os.listdir(tmp_path)) <= {"report"}
        else:
            break
    assert line > 15
    assert path.read_bytes() == b"whole"


def test_what_a_killed_process_of_this_number_left_is_in_nobodys_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vxtool.whole_file._numbers", itertools.count())
    path = tmp_path / "report"
    path.write_bytes(b"before")
    left = tmp_path / f".report.0.{os.getpid()}.part"
    left.write_bytes(b"left")
    with whole_file(path) as file:
        file.write(b"whole")
        file.flush()
        assert path.read_bytes() == b"before"
    assert path.read_bytes() == b"whole"
    assert left.read_bytes() == b"left"


def test_where_there_is_no_room_for_a_file_beside_what_was_there_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(name: str, mode: str) -> Any:
        if mode == "xb":
            raise OSError(errno.ENOSPC, "No space left on device")
        return open(name, mode)

    monkeypatch.setattr("vxtool.whole_file.open", full, raising=False)
    path = tmp_path / "report"
    path.write_bytes(b"before")
    with pytest.raises(OSError, match="No space left"), whole_file(path) as file:
        file.write(b"half")
    assert path.read_bytes() == b"before"


def test_two_long_names_of_equal_beginnings_are_two_files_beside(tmp_path: Path) -> None:
    first, second = (tmp_path / f"{'é' * 110}{number}" for number in range(2))
    with whole_file(first) as one, whole_file(second) as other:
        one.write(b"one")
        other.write(b"other")
        assert len(os.listdir(tmp_path)) == 2
        assert not first.exists()
        assert not second.exists()
    assert (first.read_bytes(), second.read_bytes()) == (b"one", b"other")
    assert len(os.listdir(tmp_path)) == 2


def test_the_mode_of_what_is_replaced_stays(tmp_path: Path) -> None:
    path = tmp_path / "report"
    path.touch(0o640)
    path.chmod(0o640)
    with whole_file(path) as file:
        file.write(b"new")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("report")
    with whole_file(tmp_path / "link") as file:
        file.write(b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "report").read_bytes() == b"new"


def test_a_device_is_written_to() -> None:
    with whole_file("/dev/null") as file:
        file.write(b"nothing")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_giving_up_twice_is_harmless(tmp_path: Path) -> None:
    file = WholeFile(tmp_path / "report")
    file.give_up()
    file.give_up()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: f"{command[0]} {command[-2]}")
def test_a_full_disk_leaves_what_was_there(command: list[str], tmp_path: Path) -> None:
    """The limit on a file's size is met as a full disk is: a write that fails half-way."""
    path = tmp_path / "out"
    path.write_bytes(b"before")

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

    done = subprocess.run(
        [PROGRAM, *command, str(path)], capture_output=True, text=True, check=False, preexec_fn=limited
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert str(path) in done.stderr
    assert path.read_bytes() == b"before"
    assert os.listdir(tmp_path) == ["out"]


@pytest.mark.parametrize("format_", ["ethernet", "sll2", "pcapng"])
def test_crafted_captures_are_whole_too(format_: str, tmp_path: Path) -> None:
    path = tmp_path / "out.pcap"
    done = subprocess.run(
        [PROGRAM, "craft", "--scenario", "cilium-ping", "--format", format_, "--output", str(path)],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100)),
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert [name for name in os.listdir(tmp_path) if name.endswith(("pcap", "part"))] == []


@pytest.mark.parametrize("format_", ["ethernet", "sll2", "sll", "pcapng"])
def test_an_interrupt_of_craft_leaves_what_was_there(format_: str, tmp_path: Path) -> None:
    names = ["out-eth1.pcap", "out-eth2.pcap"] if format_ == "ethernet" else ["out.pcap"]
    for name in names:
        (tmp_path / name).write_bytes(b"before")
    assert interrupted(tmp_path, [*LONG, "--format", format_, "--output", "out.pcap"], signal.SIGINT) == 130
    assert sorted(os.listdir(tmp_path)) == names
    assert [(tmp_path / name).read_bytes() for name in names] == [b"before"] * len(names)


def test_a_full_disk_leaves_the_summary_of_the_step_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "summary.md"
    before = b"# Before\n" + bytes(900)
    path.write_bytes(before)
    done = subprocess.run(
        [PROGRAM, "analyze", str(CAPTURES / "drops.pcap"), "--format", "github"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "GITHUB_STEP_SUMMARY": str(path)},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)),
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith(f"vxtool: {path}: ")
    assert "give GITHUB_STEP_SUMMARY another file" in done.stderr
    assert path.read_bytes() == before


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
@pytest.mark.parametrize("command", ["craft", "decap", "extract", "summary"])
def test_a_signal_to_end_leaves_what_was_there(command: str, number: int, code: int, tmp_path: Path) -> None:
    arguments = [*LONG, "--format", "sll2"]
    if command != "craft":
        sample = (CAPTURES / "drops.pcap").read_bytes()
        with (tmp_path / "long.pcap").open("wb") as file:
            file.write(sample[:24] + sample[24:] * 200)
        arguments = [command, "long.pcap", *(["--outcome", "forwarded"] if command == "extract" else [])]
    (tmp_path / "out.pcap").write_bytes(b"before")
    assert interrupted(tmp_path, [*arguments, "--output", "out.pcap"], number) == code
    assert (tmp_path / "out.pcap").read_bytes() == b"before"
    assert [name for name in os.listdir(tmp_path) if name not in ("long.pcap", "out.pcap")] == []


def test_a_record_that_cannot_be_wrapped_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "out.pcapng"
    path.write_bytes(b"before")
    arguments = ["encap", str(CAPTURES / "drops.pcap"), "--output", str(path)]
    done = subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "give --outer and --vni" in done.stderr
    assert path.read_bytes() == b"before"
    assert os.listdir(tmp_path) == ["out.pcapng"]
