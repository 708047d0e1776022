"""Ctrl-C, SIGTERM, SIGHUP, SIGUSR1 and --every, sent to real processes."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from conftest import CAPTURES

import vxtool.analysis
import vxtool.cli
from vxtool.control import Control

PROGRAM = [str(Path(sys.executable).parent / "vxtool")]
SAMPLE = (CAPTURES / "drops.pcap").read_bytes()
HEADER = SAMPLE[:24]
RECORDS = 766  # capinfos -c
PATIENCE = 30  # s, for a loaded machine


@pytest.fixture
def run(engine: str) -> Iterator[Any]:
    """Starts vxtool with its standard input a pipe."""
    running: list[subprocess.Popen[bytes]] = []

    def start(*arguments: str, **options: Any) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [*PROGRAM, *arguments],
            stdin=options.pop("stdin", subprocess.PIPE),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "VXTOOL_ENGINE": engine},
            bufsize=0,
            **options,
        )
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def give(process: subprocess.Popen[bytes], data: bytes) -> None:
    assert process.stdin is not None
    process.stdin.write(data)
    process.stdin.flush()


def report(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    """The next report as JSON that comes out of stdout."""
    assert process.stdout is not None
    text = b""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        if select.select([process.stdout], [], [], 0.1)[0]:
            text += os.read(process.stdout.fileno(), 1 << 16)
            try:
                found: dict[str, Any] = json.loads(text)
            except ValueError:
                continue
            return found
        assert process.poll() is None, process.stderr and process.stderr.read()
    raise AssertionError("no report came")


def ask_until_it_has(process: subprocess.Popen[bytes], records: int) -> dict[str, Any]:
    """Ask for reports until one has so many records: what was written may still be in the pipe."""
    for _ in range(100):
        process.send_signal(signal.SIGUSR1)
        found = report(process)
        if found["capture"]["records"] == records:
            return found
        time.sleep(0.05)
    raise AssertionError("the records did not arrive")


def wait_for(process: subprocess.Popen[bytes], file: str, field: str, done: Callable[[str], bool]) -> None:
    """Wait until a field of a file that Linux keeps of the process is as it should be."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        lines = Path(f"/proc/{process.pid}/{file}").read_text().splitlines()
        if done(next(line for line in lines if line.startswith(f"{field}:")).split()[1]):
            return
        time.sleep(0.001)
    raise AssertionError(f"{field} never was as it should be")


def begun(process: subprocess.Popen[bytes], number: int = signal.SIGUSR1, field: str = "SigCgt") -> None:
    """Wait until the handlers of signals are there."""
    wait_for(process, "status", field, lambda mask: bool(int(mask, 16) >> (number - 1) & 1))


needs_proc = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux' /proc")


@needs_proc
def test_sigusr1_asks_for_a_report_of_what_has_come(run: Any) -> None:
    process = run("analyze", "-", "--format", "json")
    begun(process)
    give(process, SAMPLE[: len(SAMPLE) // 2])
    process.send_signal(signal.SIGUSR1)
    first = report(process)
    assert first["interim"] is True
    assert first["inputs"][0]["truncated"] is False
    assert first["inputs"][0]["error"] is None
    give(process, SAMPLE[len(SAMPLE) // 2 :])
    second = ask_until_it_has(process, RECORDS)
    process.stdin.close()
    last = report(process)
    assert process.wait(PATIENCE) == 0
    assert last["interim"] is False
    assert {**second, "interim": False} == last


@needs_proc
def test_interim_reports_come_by_themselves(run: Any) -> None:
    process = run("analyze", "-", "--format", "json", "--every", "0.05")
    give(process, SAMPLE)
    for _ in range(3):
        assert report(process)["interim"] is True


@needs_proc
def test_interim_reports_are_possible_with_two_threads_at_work(run: Any) -> None:
    process = run("analyze", "-", "--format", "json", "--jobs", "2")
    begun(process)
    give(process, SAMPLE)
    assert ask_until_it_has(process, RECORDS)["forwarding"]["dropped"] == 94  # the queue's counter
    process.stdin.close()
    assert report(process)["forwarding"]["dropped"] == 94
    assert process.wait(PATIENCE) == 0


@needs_proc
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_an_interrupt_ends_a_stream_that_does_not_end(run: Any, jobs: str) -> None:
    process = run("analyze", "-", "--format", "json", "--jobs", jobs)
    begun(process)
    give(process, SAMPLE)
    ask_until_it_has(process, RECORDS)
    process.send_signal(signal.SIGINT)
    found = report(process)
    assert process.wait(PATIENCE) == 130
    assert found["capture"]["records"] == RECORDS
    assert found["interim"] is False
    assert found["inputs"][0]["truncated"] is True
    assert found["inputs"][0]["error"] == (
        f"-: reading was interrupted after {RECORDS} records: what came before counts"
    )
    assert "capture.truncated" in {each["id"] for each in found["findings"]}


@needs_proc
def test_an_interrupt_that_is_ignored_from_outside_ends_nothing(run: Any) -> None:
    """As a shell has it of what a script runs in the background."""
    ignoring = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)}
    process = run("analyze", "-", "--format", "json", **ignoring)
    begun(process)
    give(process, SAMPLE[:60_000])
    process.send_signal(signal.SIGINT)
    out, said = process.communicate(SAMPLE[60_000:], timeout=PATIENCE)
    assert (process.returncode, said) == (0, b"")
    assert json.loads(out)["capture"]["records"] == RECORDS


@needs_proc
def test_after_an_interrupt_what_the_pipe_still_brings_counts(run: Any) -> None:
    process = run("analyze", "-", "--format", "json")
    begun(process)
    give(process, SAMPLE[:60_000])
    process.send_signal(signal.SIGUSR1)
    assert report(process)["interim"] is True
    process.send_signal(signal.SIGINT)
    give(process, SAMPLE[60_000:])  # as tcpdump does, which the same Ctrl-C ends
    process.stdin.close()
    found = report(process)
    assert process.wait(PATIENCE) == 130
    assert found["inputs"][0]["error"] is None
    assert found["capture"]["records"] == RECORDS


@needs_proc
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_an_interrupt_ends_a_long_file(run: Any, engine: str, jobs: str, tmp_path: Path) -> None:
    """The report is of what was read, and says so; its counts are consistent."""
    long = tmp_path / "long.pcap"
    copies = 2500 if engine == "native" else 500
    with long.open("wb") as file:
        file.write(HEADER)
        for _ in range(copies):
            file.write(SAMPLE[24:])
    process = run("analyze", str(long), "--format", "json", "--jobs", jobs, stdin=subprocess.DEVNULL)
    wait_for(process, "io", "rchar", lambda bytes_read: int(bytes_read) > 30_000_000)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, err) == (130, b"")
    found = json.loads(out)
    assert found["capture"]["records"] < copies * RECORDS
    assert found["inputs"][0]["truncated"] is True
    forwarding = found["forwarding"]
    assert forwarding["datagrams"] == sum(
        forwarding[each] for each in ("forwarded", "delivered", "dropped", "originated", "missed", "unresolved")
    )



@pytest.mark.parametrize("jobs", ["1", "2"])
def test_packets_that_came_before_an_interrupt_are_listed(run: Any, jobs: str) -> None:
    """As of `tcpdump -w - | vxtool summary -`, where Ctrl-C ends tcpdump as well, and so the stream."""
    process = run("summary", "-", "--all", "--jobs", jobs)
    begun(process, signal.SIGINT)
    give(process, SAMPLE)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    process.stdin.close()
    process.stdin = None
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert out.count(b"\n") == RECORDS
    assert err.count(b"\n") == 1


def test_a_comparison_waits_for_what_an_interrupt_brings(run: Any) -> None:
    """tcpdump writes nothing before its buffer is full, or it is ended."""
    process = run("diff", str(CAPTURES / "drops.pcap"), "-")
    begun(process, signal.SIGINT)
    time.sleep(1.0)
    process.send_signal(signal.SIGINT)
    give(process, SAMPLE)
    process.stdin.close()
    process.stdin = None
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert out.startswith(b"No difference")
    assert err.count(b"\n") == 1

@needs_proc
def test_flows_of_what_was_read_are_listed(run: Any) -> None:
    process = run("flows", "-", "--format", "json")
    give(process, SAMPLE)
    wait_for(process, "io", "rchar", lambda bytes_read: int(bytes_read) > len(SAMPLE))
    time.sleep(2)  # rchar also counts Python's own files
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert len(json.loads(out)["flows"]) > 0


# What makes something of all that was read, by the command that asks for it.
MAKING = {"analyze": "vxtool.analysis.build_report", "flows": "vxtool.analysis.flow_list.build_flow_list"}


@pytest.mark.parametrize("command", MAKING)
def test_an_interrupt_behind_the_reading_loses_no_report(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Here in this process, at a moment when all was read and nothing is written yet."""
    arguments = [command, str(CAPTURES / "drops.pcap"), "--format", "json"]
    assert vxtool.cli.run(arguments) == 0
    whole = capsys.readouterr().out
    module, name = MAKING[command].rsplit(".", 1)
    build = getattr(import_module(module), name)

    def interrupted(*given: Any, **options: Any) -> Any:
        signal.raise_signal(signal.SIGINT)
        return build(*given, **options)

    monkeypatch.setattr(MAKING[command], interrupted)
    assert vxtool.cli.run(arguments) == 130
    said = capsys.readouterr()
    assert said.out == whole
    assert said.err == (
        "vxtool: interrupted: all was read, and the report is made of it; Ctrl-C once more gives up.\n"
    )

    def given_up(*given: Any, **options: Any) -> Any:
        signal.raise_signal(signal.SIGINT)
        return interrupted(*given, **options)

    monkeypatch.setattr(MAKING[command], given_up)
    assert vxtool.cli.run(arguments) == 130
    assert capsys.readouterr().out == ""


def test_an_interrupt_before_there_is_anything_to_compare_with_ends_at_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    build, made = vxtool.analysis.build_report, []

    def interrupted(*given: Any) -> Any:
        made.append(given)
        signal.raise_signal(signal.SIGINT)
        return build(*given)

    monkeypatch.setattr("vxtool.analysis.build_report", interrupted)
    assert vxtool.cli.run(["diff", str(CAPTURES / "drops.pcap"), str(CAPTURES / "drops.pcap")]) == 130
    assert len(made) == 1
    assert capsys.readouterr() == ("", "")


def test_a_comparison_that_is_stopped_at_its_first_capture_is_none() -> None:
    control = Control()
    control.stop()
    with pytest.raises(KeyboardInterrupt):
        vxtool.diff(str(CAPTURES / "drops.pcap"), str(CAPTURES / "vxlan.pcap"), control=control)


def test_the_text_says_that_it_goes_on(run: Any) -> None:
    process = run("analyze", "-", "--every", "0.05")
    give(process, SAMPLE)
    line = b""
    while not line.startswith(b"INTERIM  766 records so far; reading goes on."):
        line = process.stdout.readline()
        assert line


@needs_proc
def test_a_stream_ends_when_nobody_reads_its_reports(run: Any) -> None:
    process = run("analyze", "-", "--every", "0.1")
    begun(process)
    process.stdout.close()
    until = time.monotonic() + PATIENCE
    with suppress(BrokenPipeError):
        give(process, SAMPLE)
        while process.poll() is None and time.monotonic() < until:
            time.sleep(0.05)
            give(process, SAMPLE[24:])
    assert process.wait(PATIENCE) == 141
    assert process.stderr.read() == b""


@needs_proc
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_report_in_between_that_cannot_be_written_is_told_of_once(run: Any) -> None:
    process = run("analyze", "-", "-o", "/dev/full", "--every", "0.1")
    begun(process)
    give(process, SAMPLE)
    lines = process.stderr.readline()
    time.sleep(0.5)
    process.stdin.close()
    lines += process.stderr.read()
    assert process.wait(PATIENCE) == 2
    assert lines.count(b"cannot write the report: No space left on device") == 2  # the last report is the other
    assert lines.count(b"There will be no more reports in between.\n") == 1


# Each waits for its standard input. decap and extract take none.
WAITING = {
    "analyze": ["analyze", "-"],
    "analyze with threads": ["analyze", "-", "--jobs", "2"],
    "analyze by itself": ["analyze", "-", "--every", "0.05"],
    "crosscheck": ["crosscheck", "/dev/stdin"],
    "diff": ["diff", "-", str(CAPTURES / "drops.pcap")],
    "encap": ["encap", "/dev/stdin", "--outer", "10.0.0.1,10.0.0.2", "--vni", "5", "-o", "out"],
    "flows": ["flows", "-", "-o", "out"],
    "summary": ["summary", "-", "-o", "out"],
}


@needs_proc
@pytest.mark.parametrize(
    ("name", "number", "code"),
    [*((name, signal.SIGTERM, 143) for name in WAITING), ("summary", signal.SIGHUP, 129)],
)
def test_a_signal_to_end_ends_every_command(run: Any, name: str, number: int, code: int, tmp_path: Path) -> None:
    process = run(*WAITING[name], cwd=tmp_path)
    begun(process, number)
    give(process, SAMPLE)
    time.sleep(0.3)  # some are still being imported then, others read
    process.send_signal(number)
    process.send_signal(number)  # as `timeout` does: to the process, and to its group
    _, said = process.communicate(timeout=PATIENCE)
    assert (process.returncode, said) == (code, b"")
    assert os.listdir(tmp_path) == []


@needs_proc
def test_a_hangup_that_is_ignored_ends_nothing(run: Any) -> None:
    process = run("flows", "-", preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    begun(process, signal.SIGTERM)
    process.send_signal(signal.SIGHUP)
    out, said = process.communicate(SAMPLE, timeout=PATIENCE)
    assert (process.returncode, said) == (0, b"")
    assert out


@needs_proc
@pytest.mark.parametrize("command", ["flows", "summary"])
def test_sigusr1_ends_no_command_that_has_no_report_to_give(run: Any, command: str) -> None:
    process = run(command, "-")
    begun(process, signal.SIGUSR1, "SigIgn")
    give(process, SAMPLE[:60_000])
    process.send_signal(signal.SIGUSR1)
    out, said = process.communicate(SAMPLE[60_000:], timeout=PATIENCE)
    assert (process.returncode, said) == (0, b"")
    assert out


@pytest.mark.parametrize(("ignored", "code"), [(False, -signal.SIGINT), (True, 0)])
def test_an_interrupt_while_the_command_is_imported_ends_it_without_a_word(ignored: bool, code: int) -> None:
    """Unless it is ignored from outside."""
    program = (
        "import os, signal, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, *rest):\n"
        "        if name == 'vxtool.report':\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Finder())\n"
        "from vxtool.start import main\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", program, "--version"],
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN if ignored else signal.default_int_handler),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (code, "")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_where_python_can_raise_nothing_is_not_lost(number: int, code: int) -> None:
    """As in callbacks of weak references, of which importing makes use: Python prints what was raised."""
    code_of_child = (
        "import signal, weakref\n"
        "from vxtool import cli\n"
        "class Thing: pass\n"
        "def run():\n"
        "    thing = Thing()\n"
        f"    reference = weakref.ref(thing, lambda _: signal.raise_signal({int(number)}))\n"
        "    del thing\n"
        "    signal.pause()\n"
        "cli.run = run\n"
        "cli.main()\n"
    )
    found = subprocess.run(
        [sys.executable, "-P", "-c", code_of_child], capture_output=True, check=False, timeout=PATIENCE
    )
    assert (found.returncode, found.stdout, found.stderr) == (code, b"", b"")
