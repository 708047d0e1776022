"""Section endings: Ctrl-C and signals at any moment, disks that are full, readers that go away, reports in between,
streams that never end.

All are processes of their own. Moments count from vxtool's start.py on: what comes before it is Python's own start.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

from torture.jobs import Case, Job
from torture.layout import layout
from torture.tally import Wrong
from torture.ways import CAPTURES, Done, plain, quiet, work_folder

FINISHED, ENDED, SO_FAR, BEGINNING, REFUSED, UNREAD, ALL, BEFORE = (
    "done before it came", "ended, nothing half-written", "ended, with what was read so far",
    "ended where the output was", "refused in one line", "ended without a word", "all of it written",
    "read up to the damage",
)  # fmt: skip
SECONDS = 60.0  # of wall time, for a command to end
_AT_ONCE = 10.0  # s, for a command to end by a signal, on a loaded machine
_COPIES = 40  # of a sample, for a capture that takes a while
_SAMPLE = CAPTURES / "drops.pcap"
_OUTER = ("--outer", "10.0.0.1,10.0.0.2", "--vni", "5")
_PACKETS = ("--from", "10.0.0.1", "--to", "10.0.0.2", "--udp", "1:2", "--count", "20k")

# The console script, but that it tells when it begins: once Ctrl-C does what start.py has it do.
_CHILD = """
import os, signal
from vxtool.start import main
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.write(int(os.environ.pop("TORTURE_BEGUN")), b".")
main()
"""


class Way(NamedTuple):
    """A command, and what its output is."""

    arguments: tuple[str, ...]  # the capture is `{}`
    kind: str  # of what it writes: json, text, capture
    to_file: bool  # else to stdout, whatever of it came
    reports_so_far: bool = False  # a first Ctrl-C ends the reading alone
    row_by_row: bool = False  # a list that is written as it is made: Ctrl-C ends it where it is


WAYS = {
    "analyze, JSON": Way(("analyze", "{}", "--format", "json"), "json", False, True),
    "analyze, text": Way(("analyze", "{}"), "text", False, True),
    "analyze, JUnit into a file": Way(("analyze", "{}", "-o", "junit=OUT", "-o", "other"), "text", True, True),
    "flows, JSON": Way(("flows", "{}", "--format", "json"), "json", False, True, row_by_row=True),
    "flows, packets into a file": Way(("flows", "{}", "--packets", "--format", "jsonpb", "-o", "OUT"), "text", True,
                                      True),
    "summary, text": Way(("summary", "{}"), "text", False, row_by_row=True),
    "summary, JSON into a file": Way(("summary", "{}", "--format", "json", "-o", "OUT"), "json", True),
    "diff, JSON": Way(("diff", str(_SAMPLE), "{}", "--format", "json"), "json", False, True),
    "decap": Way(("decap", "{}", "-o", "OUT"), "capture", True),
    "extract": Way(("extract", "{}", "--outcome", "dropped", "-o", "OUT"), "capture", True),
    "encap": Way(("encap", "{}", *_OUTER, "-o", "OUT"), "capture", True),
    "craft": Way(("craft", *_PACKETS, "-o", "OUT"), "capture", True),
}  # fmt: skip


def jobs() -> Iterator[Job]:
    for name in WAYS:
        yield Job("endings", f"signals-{name}", signals, (name,))
    for name in WAYS:
        yield Job("endings", f"disks-{name}", disks, (name,))
    for name in WAYS:
        if not WAYS[name].to_file:
            yield Job("endings", f"pipes-{name}", pipes, (name,))
    yield Job("endings", "interim", interim)
    yield Job("endings", "endless", endless)


@cache
def _long() -> str:
    """The path of a capture that takes a command some tenths of a second."""
    path = work_folder() / "long.pcap"
    if not path.exists():
        data = _SAMPLE.read_bytes()
        path.write_bytes(data[:24] + data[24:] * _COPIES)
    return str(path)


READ = _SAMPLE.stat().st_size * _COPIES


def _measured(run: Callable[..., str], *arguments: Any) -> tuple[str, Done]:
    """What a case came to, and what the processes took that it ran."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    word = run(*arguments)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return word, Done(0, b"", "", after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def _begin(way: Way, capture: str, folder: Path, **options: Any) -> tuple[subprocess.Popen[bytes], float]:
    """Start a command, and wait until it has begun; when that was."""
    arguments = [argument.replace("{}", capture).replace("OUT", "out") for argument in way.arguments]
    reading, writing = os.pipe()
    try:
        child = subprocess.Popen(
            [sys.executable, "-P", "-c", _CHILD, *arguments],
            cwd=folder, pass_fds=[writing], env={**os.environ, "TORTURE_BEGUN": str(writing)},
            stdin=options.pop("stdin", subprocess.DEVNULL), stdout=options.pop("stdout", subprocess.PIPE),
            stderr=subprocess.PIPE, start_new_session=True, **options,
        )  # fmt: skip
        os.close(writing)
        os.read(reading, 1)
        return child, time.monotonic()
    finally:
        os.close(reading)


def _end(child: subprocess.Popen[bytes], seconds: float = SECONDS) -> tuple[Done, float]:
    """Wait for a command; how it ended, and after how long."""
    begun = time.monotonic()
    try:
        output, error = child.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        child.kill()
        child.communicate()
        raise Wrong(f"did not end within {seconds} s") from None
    return Done(child.returncode, output or b"", error.decode(errors="replace")), time.monotonic() - begun


def _fresh(name: str) -> Path:
    folder = work_folder() / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


class Whole(NamedTuple):
    """What a command does when nothing disturbs it."""

    code: int
    output: bytes  # stdout
    files: dict[str, bytes]
    seconds: float  # of wall time, once it has begun


@cache
def _whole(name: str) -> Whole:
    for _ in range(2):  # the first time takes longer
        folder = _fresh("whole")
        child, begun = _begin(WAYS[name], _long(), folder)
        done, _ = _end(child)
        seconds = time.monotonic() - begun
    if done.code not in (0, 1):
        raise Wrong(f"exit code {done.code}: {done.error}")
    return Whole(done.code, done.output, {path.name: path.read_bytes() for path in folder.iterdir()}, seconds)


def _check_whole(name: str, output: bytes, files: dict[str, bytes]) -> None:
    whole = _whole(name)
    if WAYS[name].to_file and files != whole.files:
        raise Wrong(f"other files: {sorted(files)}")
    if not WAYS[name].to_file and output != whole.output:
        raise Wrong(f"another output: {len(output)} bytes, expected {len(whole.output)}")


_so_far: Counter[str] = Counter()  # by command, how often Ctrl-C ended it with what was read so far


def _signal_all(child: subprocess.Popen[bytes], number: int) -> None:
    """As a terminal or `timeout` does: to the process, and to all that it has started."""
    with suppress(ProcessLookupError):
        os.killpg(child.pid, number)


def _signalled(name: str, number: int, moment: float) -> str:
    way, whole = WAYS[name], _whole(name)
    folder = _fresh("signalled")
    child, begun = _begin(way, _long(), folder)
    time.sleep(max(0.0, begun + moment - time.monotonic()))
    _signal_all(child, number)
    done, seconds = _end(child)
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    quiet(done)
    if done.code == whole.code:
        _check_whole(name, done.output, files)
        if seconds > whole.seconds / 2:  # one that was all but done may end as if there had been none
            raise Wrong(f"went on for {seconds:.1f} s after signal {number}, of {whole.seconds:.1f} s in all")
        return FINISHED
    if done.code not in (128 + number, -number):
        raise Wrong(f"exit code {done.code} by signal {number}: {done.error!r}")
    if seconds > _AT_ONCE:
        raise Wrong(f"ended {seconds:.1f} s after signal {number}")
    if any(file not in whole.files for file in files):
        raise Wrong(f"left behind: {sorted(files)}")
    if way.kind == "capture" and any(files[file] != whole.files[file] for file in files):
        raise Wrong("a capture that is not whole has its name")
    for data in files.values():
        _check_report(way, data)
    begins = whole.output.startswith(done.output)  # where nothing came on stdout, too
    if way.reports_so_far and done.code == 130 and (done.output or files) and not (way.row_by_row and begins):
        if not way.to_file:
            _check_report(way, done.output)
        _so_far[name] += 1
        return SO_FAR
    if not begins:
        raise Wrong(f"{len(done.output)} bytes on stdout that are not how its output begins")
    return BEGINNING if done.output else ENDED


def _check_report(way: Way, data: bytes) -> None:
    if way.kind == "json":
        json.loads(data)
    elif way.kind == "text":
        plain(data.decode(), "the report")
        if not data.endswith(b"\n"):
            raise Wrong(f"cut short: ...{data[-60:]!r}")


def signals(name: str) -> Iterator[Case]:
    """Ctrl-C, SIGTERM and SIGHUP at moments from the first line to behind the end."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        parts = 60 if number == signal.SIGINT else 20
        for part in range(parts):
            label = f"{name}: {number.name} after {part} of {parts - 5} parts of the time"
            row = f"{number.name if number != signal.SIGINT else 'Ctrl-C'} at any moment"
            yield Case(label, row, partial(_measured, _after, name, number, part / (parts - 5)), READ)
        if number == signal.SIGINT and WAYS[name].reports_so_far:
            label = f"{name}: among these are some with what was read so far"
            yield Case(label, row, partial(_some_so_far, name), 0)


def _some_so_far(name: str) -> str:
    if not _so_far[name]:
        raise Wrong("Ctrl-C never left what was read so far")
    return SO_FAR


def _after(name: str, number: int, share: float) -> str:
    return _signalled(name, number, _whole(name).seconds * share)


# Disks.


def _limited(size: int) -> Callable[[], None]:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    return limit


def _short_of(name: str, share: float, before: bytes | None) -> str:
    """A disk on which a file has room for a share of the output alone: no byte more can be written."""
    way = WAYS[name]
    whole = _whole(name).files
    size = max(map(len, whole.values()))
    room = int(size * share)
    folder = _fresh("short")
    if before is not None:
        for file in whole:
            (folder / file).write_bytes(before)
    child, _ = _begin(way, _long(), folder, preexec_fn=_limited(room))
    done, _ = _end(child)
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    if room >= size:
        _check_whole(name, done.output, files)
        return ALL
    _refused(done)
    largest = max(whole, key=lambda file: len(whole[file]))
    if files.get(largest) != before or any(data not in (before, whole.get(file)) for file, data in files.items()):
        raise Wrong(f"left behind: { {file: len(data) for file, data in files.items()} }")
    return REFUSED


def _refused(done: Done) -> None:
    quiet(done)
    if done.code != 2 or not done.error:
        raise Wrong(f"exit code {done.code}: {done.error!r}")


def _full(name: str) -> str:
    """The device that is always full, instead of a file or as standard output."""
    way = WAYS[name]
    folder = _fresh("full")
    arguments = tuple(argument.replace("OUT", "/dev/full") for argument in way.arguments)
    with open("/dev/full", "wb") as full:
        child, _ = _begin(way._replace(arguments=arguments), str(_SAMPLE), folder, stdout=full)
        done, _ = _end(child)
    _refused(done)
    if any(folder.iterdir()) and "other" not in way.arguments:
        raise Wrong(f"left behind: {os.listdir(folder)}")
    return REFUSED


def _no_room_to_copy(name: str, room: int) -> str:
    """What comes by a pipe and is read twice is copied first."""
    way = WAYS[name]
    with _SAMPLE.open("rb") as capture, subprocess.Popen(["cat"], stdin=capture, stdout=subprocess.PIPE) as cat:
        child, _ = _begin(way, "/dev/stdin", _fresh("short"), stdin=cat.stdout, preexec_fn=_limited(room))
        assert cat.stdout is not None
        cat.stdout.close()
        done, _ = _end(child)
        cat.wait()
    quiet(done)
    if done.code not in (2, 3) or not done.error:
        raise Wrong(f"exit code {done.code}: {done.error!r}")
    return REFUSED


def disks(name: str) -> Iterator[Case]:
    """Room for none, some, all but one byte and all of a file; a device that is full."""
    way = WAYS[name]
    if way.to_file:
        for before in (None, b"what was there before"):
            for share in (0, 1e-6, 0.001, *(part / 20 for part in range(1, 20)), 0.99, 1 - 1e-9, 1):
                label = f"{name}: room for {share:.6f} of it{', over another file' if before else ''}"
                run = partial(_measured, _short_of, name, share, before)
                yield Case(label, "a disk that is full at any byte", run, READ)
    yield Case(f"{name}: /dev/full", "a device that is full", partial(_measured, _full, name), READ)
    if name.startswith("summary"):
        for room in (0, 1, 4096, 30_000):
            run = partial(_measured, _no_room_to_copy, name, room)
            yield Case(f"{name}: room for {room} bytes", "no room to copy what comes by a pipe", run, READ)


# Pipes.


def _read_in_part(name: str, size: int) -> str:
    """A reader that takes so many bytes, and goes away."""
    whole = _whole(name)
    child, _ = _begin(WAYS[name], _long(), _fresh("pipe"))
    assert child.stdout is not None
    got = b""
    while len(got) < size and (some := os.read(child.stdout.fileno(), size - len(got))):
        got += some
    child.stdout.close()
    child.stdout = None
    done, _ = _end(child)
    if not whole.output.startswith(got) or (len(got) < size and got != whole.output):
        raise Wrong("what was read is not how it begins, or not all of it")
    quiet(done, lines=0)
    if done.code == whole.code:
        return ALL
    if done.code != 141:
        raise Wrong(f"exit code {done.code}")
    return UNREAD


def pipes(name: str) -> Iterator[Case]:
    """Readers that go away at once, and after more and more of it."""
    for size in (0, 1, 2, 79, 80, 100, 1000, 4095, 4096, 4097, 10_000, 65_535, 65_536, 65_537, 100_000, 1_000_000):
        run = partial(_measured, _read_in_part, name, size)
        yield Case(f"{name}: {size} bytes read", "a reader that goes away", run, READ)


# Reports in between.


def _in_between(seed: int, format_: str) -> str:
    """A capture that comes piece by piece, with a report asked for behind each: every one is whole, their records
    never grow fewer nor are more than came, and the last is that of the capture."""
    chance = random.Random(seed)
    data = _SAMPLE.read_bytes()
    ends = sorted(chance.sample(range(25, len(data)), 5))
    command = ("analyze", "-", "--format", format_, *(("--every", "0.1") if seed % 3 == 0 else ()))
    child, _ = _begin(Way(command, "json", False), "", _fresh("interim"), stdin=subprocess.PIPE)
    assert child.stdin is not None
    got = bytearray()
    reader = threading.Thread(target=_take_all, args=(child, got), daemon=True)
    reader.start()
    begin = 0
    try:
        with suppress(BrokenPipeError):
            _wait(lambda: _catches(child.pid, signal.SIGUSR1))
            for end in ends:
                child.stdin.write(data[begin:end])
                child.stdin.flush()
                begin = end
                length = len(got)
                child.send_signal(signal.SIGUSR1)
                _wait(lambda length=length: len(got) > length)
            child.stdin.write(data[begin:])
            child.stdin.close()
        code = child.wait(SECONDS)
    except subprocess.TimeoutExpired:
        raise Wrong(f"did not end within {SECONDS} s") from None
    finally:
        child.kill()
        child.wait()
        reader.join()
    assert child.stderr is not None
    done = Done(code, bytes(got), child.stderr.read().decode(errors="replace"))
    child.stderr.close()
    quiet(done, lines=0)
    if code != 0:
        raise Wrong(f"exit code {code}")
    text = done.output.decode()
    plain(text, "a report in between")
    if format_ == "text":
        if text.count("INTERIM") < len(ends) or not text.endswith(_undisturbed(format_)):
            raise Wrong(f"{text.count('INTERIM')} reports in between, or another at the end")
    else:
        asked = [layout(data).before(end) for end in ends] if seed % 3 else []
        _check_interim(text, asked)
    return f"{'JSON' if format_ == 'json' else 'text'}, every report whole"


def _check_interim(text: str, most: list[int]) -> None:
    """Reports in JSON, the last of which is not in between; `most`: how many records had come before each."""
    reports, at = [], 0
    decoder = json.JSONDecoder()
    while text[at:].strip():
        report, at = decoder.raw_decode(text, at + len(text[at:]) - len(text[at:].lstrip()))
        reports.append(report)
    if len(reports) < 6 or [report["interim"] for report in reports] != [True] * (len(reports) - 1) + [False]:
        raise Wrong(f"{len(reports)} reports")
    counts = [report["capture"]["records"] for report in reports]
    if counts != sorted(counts) or not any(counts[:-1]):
        raise Wrong(f"records of {counts}")
    if any(count > came for count, came in zip(counts, most, strict=False)):
        raise Wrong(f"records of {counts}, when {most} had come")
    if reports[-1] != json.loads(_undisturbed("json")):
        raise Wrong("another report at the end than of the whole capture at once")


@cache
def _undisturbed(format_: str) -> str:
    with _SAMPLE.open("rb") as capture:
        way = Way(("analyze", "-", "--format", format_), format_, False)
        child, _ = _begin(way, "", _fresh("interim"), stdin=capture)
        return _end(child)[0].output.decode()


def _ended_in_between(number: int, moment: float) -> str:
    """A signal at any moment, to a command that writes reports in between into a file all the time."""
    folder = _fresh("interim")
    way = Way(("analyze", "-", "--format", "json", "--every", "0.05", "-o", "OUT"), "json", True)
    child, begun = _begin(way, "", folder, stdin=subprocess.PIPE)
    assert child.stdin is not None
    child.stdin.write(_SAMPLE.read_bytes()[:60_000])
    child.stdin.flush()
    time.sleep(max(0.0, begun + moment - time.monotonic()))
    _signal_all(child, number)
    done, _ = _end(child)
    quiet(done)
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    if done.code not in (128 + number, -number) or not set(files) <= {"out"}:
        raise Wrong(f"exit code {done.code}, left behind: {sorted(files)}")
    if number == signal.SIGINT and done.code == 130 and "Ctrl-C once more" in done.error and not files:
        raise Wrong("no report of what was read")
    for data in files.values():
        _check_report(way, data)
    return SO_FAR if files else ENDED


def _take_all(child: subprocess.Popen[bytes], got: bytearray) -> None:
    assert child.stdout is not None
    with child.stdout as stream:
        while some := os.read(stream.fileno(), 1 << 16):
            got += some


def _catches(process: int, number: int) -> bool:
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    mask = next(line for line in lines if line.startswith("SigCgt:")).split()[1]
    return bool(int(mask, 16) >> (number - 1) & 1)


def _wait(done: Callable[[], bool]) -> None:
    until = time.monotonic() + SECONDS
    while not done():
        if time.monotonic() > until:
            raise Wrong(f"no answer within {SECONDS} s")
        time.sleep(0.002)


def interim() -> Iterator[Case]:
    for seed in range(60):
        for format_ in ("json", "text"):
            run = partial(_measured, _in_between, seed, format_)
            row = "reports in between, by SIGUSR1 and --every"
            yield Case(f"seed {seed}, {format_}", row, run, _SAMPLE.stat().st_size)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        for part in range(40):
            run = partial(_measured, _ended_in_between, number, part / 60)
            label = f"{number.name} after {part / 60:.2f} s"
            yield Case(label, "signals while reports in between are written", run, _SAMPLE.stat().st_size)


# Streams without end.

_TEXT = b"y\n" * 32768
_MOST_READ = 256 << 20  # bytes of a report
_KEPT = 4 << 20  # bytes that a file may have meanwhile
_FED = {
    "a cluster's objects": ("analyze", str(_SAMPLE), "--cluster", "/dev/stdin"),
    "links": ("analyze", str(_SAMPLE), "--links", "/dev/stdin"),
    "routes": ("analyze", str(_SAMPLE), "--routes", "/dev/stdin"),
    "expectations": ("analyze", str(_SAMPLE), "--expect", "/dev/stdin"),
    "analyze": ("analyze", "-"),
    "flows": ("flows", "-"),
    "flows, packets": ("flows", "-", "--packets"),
    "summary": ("summary", "-"),
    "summary of a pipe with a name": ("summary", "/dev/stdin", "--all"),
    "a record in full": ("summary", "-", "--detail", "1"),
    "diff, before": ("diff", "-", str(_SAMPLE)),
    "diff, after": ("diff", str(_SAMPLE), "/dev/stdin"),
    "encap": ("encap", "-", *_OUTER, "-o", "out"),
    "crosscheck": ("crosscheck", "-"),
}


_OPERATORS = 4  # the first of these are files of the operator


def _streams() -> dict[str, tuple[bytes, bytes, bool | None]]:
    """What comes first, what comes ever after, and whether there are records in it; None: it is a capture of none,
    which one command tells of and another refuses."""
    capture = _SAMPLE.read_bytes()
    packer = zlib.compressobj(wbits=16 + zlib.MAX_WBITS)
    head = packer.compress(_TEXT) + packer.flush(zlib.Z_FULL_FLUSH)
    more = packer.compress(_TEXT) + packer.flush(zlib.Z_FULL_FLUSH)  # nothing of it refers to what was before
    return {
        "zeros": (b"", bytes(1 << 16), False),
        "text": (b"", _TEXT, False),
        "JSON": (b'{"a": [', b"1, " * 20_000, False),
        "a header of pcap, then text": (capture[:24], _TEXT, None),
        "a capture, then text": (capture, _TEXT, True),
        "gzip of text": (head, more, False),
        "gzip of a capture, then text": (gzip.compress(capture), _TEXT, True),
    }


def _feed(descriptor: int, head: bytes, more: bytes) -> None:
    with open(descriptor, "wb", buffering=0) as pipe, suppress(BrokenPipeError):
        pipe.write(head)
        while True:
            pipe.write(more)


def _endless(name: str, stream: str) -> str:
    """A stream that never ends by itself: to read on would show nothing more, nor is it kept anywhere."""
    head, more, has_records = _streams()[stream]
    folder = _fresh("endless")
    reading, writing = os.pipe()
    feeder = threading.Thread(target=_feed, args=(writing, head, more), daemon=True)
    feeder.start()
    try:
        way = Way(_FED[name], "text", False)
        child, _ = _begin(way, "", folder, stdin=reading, preexec_fn=_limited(_KEPT))
    finally:
        os.close(reading)
    done, _ = _end(child)
    feeder.join()
    quiet(done, lines=2)  # encap tells of what it wrote, too
    is_read = done.code in (0, 1) and (done.output or any(folder.iterdir()))
    takes_captures = list(_FED).index(name) >= _OPERATORS
    if is_read and takes_captures and has_records is not False:
        return BEFORE
    if done.code not in (2, 3) or not done.error or "TMPDIR" in done.error or (takes_captures and has_records):
        raise Wrong(f"exit code {done.code}, {len(done.output)} bytes: {done.error!r}")
    return REFUSED


def endless() -> Iterator[Case]:
    for name in _FED:
        for stream in _streams():
            run = partial(_measured, _endless, name, stream)
            yield Case(f"{name}: {stream}", "streams that never end", run, _MOST_READ)
