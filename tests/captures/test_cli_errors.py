"""Wrong input gets one line that says what is wrong, and an exit code; what can be read is reported.

All through the real command, in a process of its own.
"""

from __future__ import annotations

import fcntl
import gzip
import io
import json
import os
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest
from conftest import CAPTURES, REPOSITORY

VXLAN = CAPTURES / "vxlan.pcap"
PCAPNG = CAPTURES / "four-ways.pcapng"
LINKS = CAPTURES / "vxlan.links.json"


def run(*arguments: str | Path, stdin: bytes = b"") -> subprocess.CompletedProcess[str]:
    """Run `vxtool analyze`."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "vxtool", "analyze", *map(str, arguments)],
        input=stdin,
        capture_output=True,
        cwd=REPOSITORY,
        check=False,
    )
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def complaint(done: subprocess.CompletedProcess[str]) -> str:
    """The one line on stderr, without the program's name."""
    assert "Traceback" not in done.stderr
    assert "bug in vxtool" not in done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("vxtool: ")
    assert done.stderr.endswith("\n")
    return done.stderr.removeprefix("vxtool: ").rstrip("\n")


def refused(done: subprocess.CompletedProcess[str], code: int) -> str:
    """The one line of a run that reported nothing."""
    assert done.stdout == ""
    assert done.returncode == code
    return complaint(done)


def report(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return json.loads(done.stdout)


# Inputs


NO_CAPTURES = {
    "empty": (b"", "empty"),
    "text": (b"02:27:50.282388 eth1  In  IP 192.168.10.100\n", "not a capture"),
    "json": (b'[{"ifindex": 3}]\n', "not a capture"),
    "zeros": (bytes(4096), "not a capture"),
    "half a magic": (b"\xd4\xc3", ""),
    "a cut file header": (VXLAN.read_bytes()[:20], "cut short"),
    "a cut section header": (PCAPNG.read_bytes()[:20], "cut short"),
    "another version": (b"\xd4\xc3\xb2\xa1" + bytes(20), "version"),
    "a snoop capture": (b"snoop\0\0\0" + bytes(24), "snoop"),
    "gzip of text": (gzip.compress(b"no capture\n"), "not a capture"),
    "gzip of nothing": (gzip.compress(b""), "empty"),
    "a gzip header alone": (gzip.compress(b"x")[:10], ""),
    "damaged gzip": (b"\x1f\x8b\x08\x00" + b"\xff" * 64, "gzip"),
    "damaged xz": (b"\xfd7zXZ\x00" + b"\xff" * 64, "xz"),
}


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize(("data", "told"), NO_CAPTURES.values(), ids=NO_CAPTURES)
def test_what_is_no_capture_is_refused(data: bytes, told: str, tmp_path: Path) -> None:
    path = tmp_path / "input"
    path.write_bytes(data)
    line = refused(run(path), 3)
    assert line.startswith(f"{path}: ")
    assert told in line


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize(("data", "told"), [(b"", "empty"), (b"no capture", "not a capture")])
def test_standard_input_that_is_no_capture_is_refused(data: bytes, told: str) -> None:
    line = refused(run("-", stdin=data), 3)
    assert line.startswith("-: ")
    assert told in line


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    missing = tmp_path / "no such\nfile.pcap"
    line = refused(run(missing), 3)
    assert str(tmp_path) in line
    assert "No such file" in line


def test_a_directory_is_refused(tmp_path: Path) -> None:
    line = refused(run(tmp_path), 3)
    assert line.startswith(f"{tmp_path}: is a directory")


@pytest.mark.usefixtures("engine")
def test_a_file_that_cannot_be_read_is_refused() -> None:
    # Opening it works, even for root, and reading at its start does not: no page is mapped there.
    unreadable = Path("/proc/self/mem")
    if not unreadable.exists():
        pytest.skip("this system has no /proc/self/mem")
    line = refused(run(unreadable), 3)
    assert line.startswith(f"{unreadable}: ")


def test_ctrl_c_ends_a_pipe_and_the_report_is_of_what_came() -> None:
    """Ctrl-C reaches the whole pipeline: tcpdump writes what it holds, and closes the pipe."""
    command = [sys.executable, "-P", "-m", "vxtool", "analyze", "-"]
    with subprocess.Popen(
        command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        data = VXLAN.read_bytes()
        process.stdin.write(data[:300])
        process.stdin.flush()
        # It has begun to read once the pipe is empty, and the handler is in place before that.
        while unread(process.stdin):
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        assert b"Ctrl-C once more gives up" in process.stderr.readline()
        out, _ = process.communicate(data[300:])
    assert process.returncode == 130
    assert out.startswith(b"OK  2 datagrams, 2 forwarded")


@pytest.mark.parametrize("jobs", [1, 2])
def test_ctrl_c_ends_a_capture_that_is_still_being_written(tmp_path: Path, jobs: int) -> None:
    fifo = tmp_path / "capture"
    os.mkfifo(fifo)
    command = [sys.executable, "-P", "-m", "vxtool", "analyze", "--jobs", str(jobs), str(fifo)]
    # For reading too, so that to open it waits for nobody.
    with (
        io.FileIO(fifo, "r+") as writer,
        subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process,
    ):
        writer.write(VXLAN.read_bytes())
        while unread(writer) and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, b"")
    assert b"2 datagrams, 2 forwarded, nothing dropped" in out
    assert b"interrupted after 4 records" in b" ".join(out.split())


@pytest.mark.parametrize(
    ("closing", "code"),
    [
        ("analyze captures/vxlan.pcap >&-", 2),
        ("analyze captures/vxlan.pcap >&- 2>&-", 2),
        ("analyze captures/vxlan.pcap 2>&-", 0),
        ("analyze captures/vxlan.pcap --top 1 2>&-", 0),
        ("analyze nothing 2>&-", 3),
        ("analyze - <&-", 3),
    ],
)
def test_a_stream_that_is_closed_is_no_bug(closing: str, code: int) -> None:
    done = subprocess.run(
        ["sh", "-c", f'"$0" -P -m vxtool {closing}', sys.executable],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code
    assert "bug" not in done.stderr
    assert done.stderr.count("\n") <= 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_where_no_error_can_be_written_the_exit_code_still_tells() -> None:
    done = subprocess.run(
        ["sh", "-c", '"$0" -P -m vxtool analyze nothing 2>/dev/full', sys.executable], cwd=REPOSITORY, check=False
    )
    assert done.returncode == 3


def unread(pipe: IO[bytes]) -> int:
    """Bytes in the pipe that nobody has read yet."""
    return struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)))[0]


@pytest.mark.usefixtures("engine")
def test_one_bad_input_of_two_leaves_a_report_of_the_other(tmp_path: Path) -> None:
    bad = tmp_path / "bad.pcap"
    bad.write_bytes(b"no capture at all")
    for order in ((bad, VXLAN), (VXLAN, bad)):
        done = run("--format", "json", *order)
        assert done.returncode == 3
        assert complaint(done).startswith(f"{bad}: not a capture")
        found = json.loads(done.stdout)
        assert found["forwarding"]["forwarded"] == 2
        errors = {row["path"]: row["error"] for row in found["inputs"]}
        assert errors.pop(str(bad)).startswith(f"{bad}: not a capture")
        assert errors == {str(VXLAN): None}


def test_each_bad_input_gets_its_line(tmp_path: Path) -> None:
    done = run(tmp_path / "a.pcap", tmp_path / "b.pcap")
    assert done.returncode == 3
    assert done.stdout == ""
    first, second = done.stderr.splitlines()
    assert first.startswith(f"vxtool: {tmp_path / 'a.pcap'}: ")
    assert second.startswith(f"vxtool: {tmp_path / 'b.pcap'}: ")


# Captures that end in the middle of something


def boundaries(path: Path) -> list[int]:
    """Where the records of a little-endian pcap begin, and where the last one ends."""
    data = path.read_bytes()
    found = [24]
    while found[-1] < len(data):
        (captured,) = struct.unpack_from("<8xI", data, found[-1])
        found.append(found[-1] + 16 + captured)
    assert found[-1] == len(data)
    return found


RECORDS = boundaries(VXLAN)
# SLL2 20, IPv4 20, UDP 8, VXLAN 8, Ethernet 14, IPv4 20, ICMP 8: 98 bytes of headers in each record.
LAYERS = {
    "the record header": 1,
    "the record's lengths": 11,
    "before the data": 16,
    "the link header": 16 + 7,
    "the outer IP header": 16 + 20 + 9,
    "the UDP header": 16 + 40 + 3,
    "the VXLAN header": 16 + 48 + 5,
    "the inner Ethernet header": 16 + 56 + 13,
    "the inner IP header": 16 + 70 + 19,
    "the ICMP header": 16 + 90 + 1,
    "the last byte": 16 + 153,
}


def cut_capture(data: bytes, tmp_path: Path, name: str = "cut.pcap") -> Path:
    path = tmp_path / name
    path.write_bytes(data)
    return path


def assert_cut(done: subprocess.CompletedProcess[str], path: Path, records: int) -> Any:
    found = report(done)
    (row,) = found["inputs"]
    assert row["truncated"] is True
    assert row["records"] == found["capture"]["records"] == records
    assert row["error"].startswith(f"{path}: ")
    (finding,) = [one for one in found["findings"] if one["id"] == "capture.truncated"]
    assert finding["evidence"][0]["input"] == str(path)
    return found


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("into", LAYERS.values(), ids=LAYERS)
def test_a_pcap_cut_within_its_third_record_is_analyzed_up_to_there(into: int, tmp_path: Path) -> None:
    # The first two records are the request, in eth1 and out eth2.
    path = cut_capture(VXLAN.read_bytes()[: RECORDS[2] + into], tmp_path)
    done = run("--format", "json", "--links", LINKS, path)
    found = assert_cut(done, path, records=2)
    assert found["forwarding"]["datagrams"] == found["forwarding"]["forwarded"] == 1
    (way,) = found["forwarding"]["paths"]
    assert (way["ingress"], way["egress"], way["latency_ns"]["max"]) == ("eth1", "eth2", 16_000)


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("records", range(4))
def test_a_pcap_cut_within_any_record_says_so(records: int, tmp_path: Path) -> None:
    path = cut_capture(VXLAN.read_bytes()[: RECORDS[records + 1] - 1], tmp_path)
    assert_cut(run("--format", "json", path), path, records)


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("records", [0, 2, 4])
def test_a_pcap_that_ends_between_records_is_whole(records: int, tmp_path: Path) -> None:
    path = cut_capture(VXLAN.read_bytes()[: RECORDS[records]], tmp_path)
    found = report(run("--format", "json", path))
    assert found["inputs"][0]["truncated"] is False
    assert found["inputs"][0]["error"] is None
    assert found["capture"]["records"] == records
    assert [one for one in found["findings"] if one["id"] == "capture.truncated"] == []


def blocks(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Type, start and end of each block of a little-endian pcapng."""
    at = 0
    while at < len(data):
        kind, total = struct.unpack_from("<II", data, at)
        yield kind, at, at + total
        at += total


INTERFACE_BLOCK, PACKET_BLOCK = 1, 6
IN_BLOCK = {"its type": 2, "its length": 6, "its fields": 18, "the packet": 60, "the length behind it": -2}


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("into", IN_BLOCK.values(), ids=IN_BLOCK)
def test_a_pcapng_cut_within_a_packet_block_is_analyzed_up_to_there(into: int, tmp_path: Path) -> None:
    data = PCAPNG.read_bytes()
    packets = [(start, end) for kind, start, end in blocks(data) if kind == PACKET_BLOCK]
    start, end = packets[100]
    path = cut_capture(data[: start + into if into > 0 else end + into], tmp_path, "cut.pcapng")
    assert_cut(run("--format", "json", path), path, records=100)


@pytest.mark.usefixtures("engine")
def test_a_pcapng_cut_within_an_interface_block_says_so(tmp_path: Path) -> None:
    data = PCAPNG.read_bytes()
    start = next(start for kind, start, _ in blocks(data) if kind == INTERFACE_BLOCK)
    path = cut_capture(data[: start + 10], tmp_path, "cut.pcapng")
    assert_cut(run("--format", "json", path), path, records=0)


@pytest.mark.usefixtures("engine")
def test_a_cut_gzip_stream_is_analyzed_up_to_there(tmp_path: Path) -> None:
    data = gzip.compress((CAPTURES / "ping-http.pcap").read_bytes())
    path = cut_capture(data[: len(data) // 2], tmp_path, "cut.pcap.gz")
    found = report(run("--format", "json", path))
    (row,) = found["inputs"]
    assert row["truncated"] is True
    assert 0 < row["records"] < 56
    assert "gzip" in row["error"]
    assert "capture.truncated" in {one["id"] for one in found["findings"]}


@pytest.mark.usefixtures("engine")
def test_a_record_with_an_impossible_length_ends_the_capture_there(tmp_path: Path) -> None:
    data = bytearray(VXLAN.read_bytes())
    struct.pack_into("<I", data, RECORDS[2] + 8, 0xFFFFFFF0)
    path = cut_capture(bytes(data), tmp_path)
    assert_cut(run("--format", "json", path), path, records=2)


@pytest.mark.usefixtures("engine")
def test_the_page_says_that_a_capture_is_cut(tmp_path: Path) -> None:
    path = cut_capture(VXLAN.read_bytes()[:-1], tmp_path)
    done = run(path)
    assert done.returncode == 0
    assert "cut short" in done.stdout


@pytest.mark.usefixtures("engine")
def test_standard_input_that_ends_within_a_record_says_so() -> None:
    done = run("--format", "json", "-", stdin=VXLAN.read_bytes()[: RECORDS[2] + 30])
    found = report(done)
    assert found["inputs"][0]["truncated"] is True
    assert found["capture"]["records"] == 2


# Options, and the files that go with a capture


@pytest.mark.parametrize(
    "arguments",
    [
        ["--no-such-option", VXLAN],
        ["--format", "yaml", VXLAN],
        ["--top", "none", VXLAN],
        ["--window", "soon", VXLAN],
        ["--port", "8472=gre", VXLAN],
        ["--scope", "all", VXLAN],
        [],
    ],
    ids=repr,
)
def test_a_wrong_option_is_refused_and_says_where_to_look(arguments: list[str | Path]) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    (said,) = done.stderr.splitlines()
    assert said.startswith("vxtool: ")
    assert said.endswith("; see 'vxtool analyze --help'.")


@pytest.mark.parametrize(
    "value", ["3", "3=", "=eth1", "eth1=3", "-1=eth1", "3=eth1=eth2\n", "99999999999999999999=eth1"]
)
def test_an_interface_option_that_names_none_is_refused_or_harmless(value: str) -> None:
    done = run("--interface", value, VXLAN)
    if done.returncode == 0:
        assert value == "3=eth1=eth2\n"
        assert done.stderr == ""
    else:
        assert "--interface" in refused(done, 2)


def test_a_wrong_engine_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VXTOOL_ENGINE", "fast")
    assert "VXTOOL_ENGINE=fast" in refused(run(VXLAN), 2)


GARBAGE = {
    "empty": b"",
    "binary": bytes(range(256)) * 4,
    "a capture": VXLAN.read_bytes(),
    "broken UTF-8": b'{"items": "\xff\xfe"}',
    "prose": b"The quick brown fox\njumps over the lazy dog.\n",
    "an error of kubectl": b'error: the server doesn\'t have a resource type "ciliumendpoints"\n',
    "cut JSON": LINKS.read_bytes()[:-100],
    "JSON and more": b"[]\n[]\n",
    "a number": b"5\n",
    "null": b"null\n",
    "no items": b'{"kind": "List", "items": 5}\n',
    "items of nothing": b'{"kind": "CiliumEndpointList", "items": [null, 5, [], {}, {"kind": "CiliumEndpoint"}]}\n',
    "wrong types within": b'{"kind": "CiliumEndpointList", "items": [{"kind": "CiliumEndpoint", "metadata": 3, '
    b'"status": {"identity": {"id": "x"}, "networking": {"addressing": [{"ipv4": 5}, "a"]}}}]}\n',
    "interfaces of wrong types": b'[{"ifindex": "x", "ifname": 5}, [3], null]\n',
    "an interface beyond all numbers": b'[{"ifindex": 1e400, "ifname": "eth1"}]\n',
    "numbers without end": b"[" + b"9" * 5000 + b"]\n",
    "nesting without end": b"[" * 200_000,
    "an escape sequence": b"\x1b]0;owned\x07\x1b[31mNAME\n",
}


@pytest.mark.parametrize("option", ["--cluster", "--links"])
@pytest.mark.parametrize("data", GARBAGE.values(), ids=GARBAGE)
def test_a_file_that_is_no_such_output_is_refused(data: bytes, option: str, tmp_path: Path) -> None:
    path = tmp_path / "garbage"
    path.write_bytes(data)
    line = refused(run(option, path, VXLAN), 2)
    assert line.startswith(f"{path}: ")
    assert "\x1b" not in line
    assert len(line) < 500


@pytest.mark.parametrize("option", ["--cluster", "--links"])
def test_a_file_that_cannot_be_opened_is_refused(option: str, tmp_path: Path) -> None:
    assert "No such file" in refused(run(option, tmp_path / "missing", VXLAN), 2)
    folder = {"--cluster": "a folder without any file of use", "--links": "directory"}
    assert folder[option] in refused(run(option, tmp_path, VXLAN), 2)


@pytest.mark.parametrize(
    ("option", "path", "other"),
    [
        ("--links", CAPTURES / "cluster" / "ciliumendpoints.json", "--cluster"),
        ("--cluster", LINKS, "--links"),
    ],
)
def test_a_file_given_as_the_other_kind_says_which_it_is(option: str, path: Path, other: str) -> None:
    line = refused(run(option, path, VXLAN), 2)
    assert line.startswith(f"{path}: ")
    assert other in line


def test_a_report_that_cannot_be_written_is_refused_before_the_work(tmp_path: Path) -> None:
    assert refused(run("-o", tmp_path, VXLAN), 2).startswith(f"{tmp_path}: is a directory")
    assert "no directory" in refused(run("-o", tmp_path / "none" / "report.txt", VXLAN), 2)
