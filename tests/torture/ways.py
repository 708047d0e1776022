"""The ways by which a case goes through vxtool: the engines alone, whole reports, commands, and real processes.

Each gives what the input came to, as a word for the table, and raises Wrong where something was not as promised.
"""

from __future__ import annotations

import io
import os
import random
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from unittest.mock import patch

from torture.tally import Wrong

import vxtool
from vxtool.api import summary
from vxtool.capture.source import open_source
from vxtool.engine import make_engine
from vxtool.engine.options import EngineOptions
from vxtool.errors import InputError, UsageError
from vxtool.report import FLOW_RENDERERS, RENDERERS, Target

if TYPE_CHECKING:
    from vxtool.engine.tables import InputRow

REPOSITORY = Path(__file__).resolve().parents[2]
CAPTURES = REPOSITORY / "captures"

EXIT_CODES = (0, 1, 2, 3)  # of what ends by itself; 70 is a bug
WHOLE, CUT, SKIPPED, REFUSED, UNDERSTOOD = (
    "read whole", "read up to the damage", "read on behind the damage", "refused in one line", "understood"
)  # fmt: skip
CHILD_SECONDS = 600  # of wall time
_CHILD_MEMORY = 6 << 30

# Python's own `-P`, so that what is installed is tried, and not what lies in the current folder.
_CHILD = """
import os, sys
from vxtool import cli
leave = os._exit
def leave_with_peak(code):
    with open("/proc/self/status") as status:
        peak = next((line for line in status if line.startswith("VmHWM")), "0 0").split()[1]
    os.write(int(os.environ.pop("TORTURE_PEAK")), peak.encode())
    leave(code)
os._exit = leave_with_peak
cli.main()
"""


class Done(NamedTuple):
    """How a command ended."""

    code: int
    output: bytes
    error: str
    seconds: float = 0.0  # of processor time
    peak: int = 0  # bytes of memory


def samples() -> list[Path]:
    """The sample captures, in order of name."""
    return sorted(path for path in CAPTURES.glob("*.pcap*") if path.suffix in (".pcap", ".pcapng"))


def word_of(row: InputRow) -> str:
    if row.damage is not None:
        return REFUSED if row.damage.unreadable else CUT
    return SKIPPED if row.skipped else WHOLE


def engine_tables(data: bytes, name: str, cuts: random.Random | None = None) -> Any:
    """The tables that an engine makes of bytes, given at once or in pieces."""
    engine = make_engine(EngineOptions(), name)
    at = 0
    while engine.wants() is not None and at < len(data):
        size = cuts.choice([1, 7, 100, 4096, 1 << 20]) if cuts else len(data)
        engine.feed(0, data[at : at + size])
        at += size
    if engine.wants() is not None:
        engine.end(0)
    if engine.wants() is not None:
        raise Wrong("the engine asks for more after the end")
    return engine.tables()


def records_of(data: bytes) -> int:
    """How many records the C engine counts: the cheapest way of all."""
    engine = make_engine(EngineOptions(), "native")
    engine.feed(0, data)
    if engine.wants() is not None:
        engine.end(0)
    if engine.wants() is not None:
        raise Wrong("the engine asks for more after the end")
    return engine.records


def through_engine(
    data: bytes, name: str, least: int, most: int | None = None, cuts: random.Random | None = None
) -> str:
    """One engine: at least (and at most) so many records must be counted."""
    tables = engine_tables(data, name, cuts)
    return _judged(tables.inputs[0], tables.inputs[0].records, least, most)


def _judged(row: InputRow, records: int, least: int, most: int | None) -> str:
    if records < least or (most is not None and records > most):
        raise Wrong(f"{records} records counted, expected {least} to {most}: {row.damage}")
    if row.damage is not None:
        row.damage.text()
    return word_of(row)


def through_both(data: bytes, least: int, most: int | None = None) -> str:
    """Both engines, whose tables must be equal."""
    native, pure = (engine_tables(data, name) for name in ("native", "pure"))
    if native != pure:
        raise Wrong("the engines differ")
    return _judged(pure.inputs[0], pure.inputs[0].records, least, most)


def through_source(data: bytes, least: int, most: int | None = None) -> str:
    """As a (compressed) file object through the source and the C engine."""
    engine = make_engine(EngineOptions(), "native")
    refused = False
    with open_source(io.BytesIO(data)) as source:
        while engine.wants() is not None:
            try:
                chunk = source.read()
            except InputError as error:
                refused, chunk = True, b""
                one_line(str(error))
            if chunk:
                engine.feed(0, chunk)
            else:
                engine.end(0)
    row = engine.tables().inputs[0]
    word = _judged(row, row.records, least, most)
    return REFUSED if refused else CUT if source.error and word == WHOLE else word


def through_report(path: str, least: int, most: int | None = None, **known: Any) -> str:
    """The whole report, in every format, and the flows in every format."""
    try:
        report = vxtool.analyze([path], **known)
        flows = vxtool.flows([path], **known)
    except UsageError as error:
        one_line(str(error))
        if least:
            raise Wrong(f"refused: {error}") from None
        return REFUSED
    (row,) = report["inputs"]
    if row["records"] < least or (most is not None and row["records"] > most):
        raise Wrong(f"{row['records']} records counted, expected {least} to {most}: {row['error']}")
    target = Target()
    for name, render in RENDERERS.items():
        plain(render(report, target), name)
    for name, render_flows in FLOW_RENDERERS.items():
        plain("".join(render_flows(flows, target)), name)
    if row["error"] is not None and not row["truncated"]:
        return REFUSED
    return CUT if row["truncated"] else SKIPPED if row["skipped_blocks"] else WHOLE


def through_list(path: str, least: int, most: int | None = None) -> str:
    """The packet list of both engines, which must be equal: every record, and each datagram once."""
    try:
        for all_records in (True, False):
            listed = []
            for name in ("native", "pure"):
                with patch.dict(os.environ, {"VXTOOL_ENGINE": name}):
                    found = summary([path], all_records=all_records)
                    listed.append(("".join(found), found.lines, found.inputs))
            text, lines, (row,) = listed[0]
            if (text, lines) != listed[1][:2]:
                raise Wrong(f"the engines' packet lists differ: {_first_difference(text, listed[1][0])}")
            plain(text, "the packet list")
            if all_records and (lines != row["records"] or lines < least or (most is not None and lines > most)):
                raise Wrong(f"{lines} records listed, {row['records']} counted, expected {least} to {most}")
    except InputError as error:
        one_line(str(error))
        if least:
            raise Wrong(f"refused: {error}") from None
        return REFUSED
    return CUT if row["truncated"] else SKIPPED if row["skipped_blocks"] else WHOLE


def _first_difference(one: str, other: str) -> str:
    pairs = zip(one.splitlines(), other.splitlines(), strict=False)
    return next((f"{first!r}, {second!r}" for first, second in pairs if first != second), "in their length")


_CONTROLS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def plain(text: str, name: str) -> None:
    """No character that a terminal obeys, but for line feeds."""
    found = _CONTROLS.search(text)
    if found:
        around = text[max(0, found.start() - 40) : found.end() + 40]
        raise Wrong(f"{name} holds the control character {found[0]!r} in {around!r}")


# After actions/runner, src/Runner.Common/ActionCommand.cs, and Azure's logging commands.
_COMMANDS = re.compile(r"##\[|##vso\[")
_COMMAND = re.compile(r"::[a-zA-Z-]+.*::")


def obeyed(text: str, name: str, own: bool = False) -> None:
    """Nothing that the runner of a pipeline would obey; with `own`, lines that begin with `::` are meant so."""
    for line in text.split("\n"):
        if _COMMANDS.search(line) or (not own and _COMMAND.match(line.lstrip())):
            raise Wrong(f"{name} holds a command for a pipeline: {line[:200]!r}")


def one_line(text: str) -> None:
    if len(text) > 4_000:
        raise Wrong(f"an error of {len(text)} characters: {text[:200]!r}")


def command(arguments: Sequence[str]) -> Done:
    """The command line within this process."""
    from vxtool.cli import run

    before = sys.stdout, sys.stderr
    out, err = io.BytesIO(), io.BytesIO()
    output = sys.stdout = io.TextIOWrapper(out, encoding="utf-8", write_through=True)
    error = sys.stderr = io.TextIOWrapper(err, encoding="utf-8", errors="backslashreplace", write_through=True)
    try:
        code = run(arguments)
        output.flush()
        error.flush()
    finally:
        sys.stdout, sys.stderr = before
    return Done(code, out.getvalue(), err.getvalue().decode())


def process(
    arguments: Sequence[str],
    stdin: bytes | int | None = None,
    environment: dict[str, str] | None = None,
    seconds: float = CHILD_SECONDS,
    folder: Path | None = None,
) -> Done:
    """The command as a process of its own, with what it took; `stdin`: what is there to read, or its descriptor."""
    import resource

    reading, writing = os.pipe()
    environ = {**os.environ, **(environment or {}), "TORTURE_PEAK": str(writing)}
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, tempfile.TemporaryFile() as given:
        if isinstance(stdin, bytes):
            given.write(stdin)
            given.seek(0)
        child = subprocess.Popen(
            [sys.executable, "-P", "-c", _CHILD, *arguments],
            stdin=stdin if isinstance(stdin, int) else given, stdout=out, stderr=err,
            env=environ, pass_fds=[writing], cwd=folder,
        )  # fmt: skip
        os.close(writing)
        resource.prlimit(child.pid, resource.RLIMIT_AS, (_CHILD_MEMORY, _CHILD_MEMORY))
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        try:
            code = child.wait(seconds)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
            raise Wrong(f"did not end within {seconds} s") from None
        finally:
            told = os.read(reading, 64)
            os.close(reading)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read())
        return Done(code, texts[0], texts[1].decode(errors="replace"), seconds, int(told or b"0") << 10)


def ended_well(done: Done, lines: int = 1) -> None:
    """The exit code is one of those documented, and stderr holds at most so many lines, no traceback among them."""
    if done.code not in EXIT_CODES:
        raise Wrong(f"exit code {done.code}: {done.error[-400:]!r}")
    quiet(done, lines)


def quiet(done: Done, lines: int = 1) -> None:
    """Stderr holds at most so many lines, none too long, no traceback and nothing that a terminal obeys."""
    if "Traceback" in done.error or "bug in vxtool" in done.error:
        raise Wrong(f"a traceback or bug: {done.error[-400:]!r}")
    if done.error.count("\n") > lines:
        raise Wrong(f"{done.error.count(chr(10))} lines on stderr: {done.error[-400:]!r}")
    plain(done.error, "stderr")
    one_line(done.error)


def word_of_json(done: Done, least: int, most: int | None = None) -> str:
    """What `analyze --format json` of one input came to."""
    import json

    ended_well(done)
    if done.code == 3:
        if least:
            raise Wrong(f"refused, although {least} records are intact: {done.error!r}")
        return REFUSED
    if done.code == 2:
        raise Wrong(f"called a wrong use: {done.error!r}")
    report = json.loads(done.output)
    (row,) = report["inputs"]
    if row["records"] < least or (most is not None and row["records"] > most):
        raise Wrong(f"{row['records']} records counted, expected {least} to {most}: {row['error']}")
    return CUT if row["truncated"] else SKIPPED if row["skipped_blocks"] else WHOLE


@cache
def work_folder() -> Path:
    """A folder of this process, for files of cases."""
    folder = Path(os.environ.get("TORTURE_FOLDER") or tempfile.gettempdir()) / f"vxtool-torture-{os.getpid()}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def as_file(data: bytes, name: str = "case.pcap") -> str:
    """The path of a file with these bytes; the next one of this name takes its place."""
    path = work_folder() / name
    path.write_bytes(data)
    return str(path)
