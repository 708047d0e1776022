"""Reading a knowledge file: bytes to text to JSON values, every failure in one line.

Such a file is an option's value, so whatever is wrong with it is a UsageError. What comes back is still
untrusted: the helpers at the foot take a value out of it only where it has the type that is asked for.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

from vxtool.errors import UsageError, reason_of

# Some 4 KB of JSON for each endpoint make this some 30,000 pods; a capture given by mistake stops here too.
MAX_BYTES = 128 << 20

# Neither a Kubernetes name nor a label is longer; more is not a name but an attempt to flood a terminal.
MAX_NAME = 512

_JSON_START = re.compile(r"\s*(?:\{|\[\s*[\[\]{\"])")
_JSON_LINE = re.compile(r"^(?:\{|\[\s*[\[\]{\"])", re.MULTILINE)
_BLANKS = re.compile(r"[ \t\r\n]*")
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@contextmanager
def opened(path: str) -> Iterator[BinaryIO]:
    """Open a knowledge file; UsageError where that, or anything that is read from it, fails."""
    try:
        with open(path, "rb") as file:
            yield file
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise UsageError(f"{path}: cannot be read: {reason}; name a readable file") from None


def read_rest(path: str, file: BinaryIO, head: bytes = b"") -> bytes:
    """Return `head` and what follows it in the file; UsageError where that is too much to be a list."""
    data = head + file.read(MAX_BYTES + 1 - len(head))
    if len(data) > MAX_BYTES:
        raise UsageError(f"{path}: larger than {MAX_BYTES >> 20} MiB; take fewer objects, such as one namespace's")
    return data


def read_text(path: str) -> str:
    """Return the text of a knowledge file; UsageError where that cannot be done or it is empty."""
    with opened(path) as file:
        data = read_rest(path, file)
    return as_text(path, data)


def as_text(path: str, data: bytes) -> str:
    """Return the text that a knowledge file's bytes are; UsageError where they are none, or empty."""
    # Windows PowerShell writes UTF-16 where a program's output is redirected into a file.
    encoding = "utf-16" if data.startswith(_UTF16) else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{path}: no text at byte {error.start}: expected JSON, YAML or a table in UTF-8, as kubectl and ip "
            "print it"
        ) from None
    if not text.strip():
        raise UsageError(f"{path}: empty; see whether the command that wrote it failed")
    return text


def looks_like_json(text: str) -> bool:
    """Whether a text begins as JSON does (a shell prompt may begin with a bracket, too)."""
    return _JSON_START.match(text) is not None


def split_preamble(text: str) -> tuple[list[str], str]:
    """The lines that stand before JSON, and the text with blank lines in their place; none where there is no JSON.

    Such are what a program writes to its error output (`kubectl ... > FILE 2>&1`), and a prompt with the command.
    """
    if looks_like_json(text):
        return [], text
    begin = _JSON_LINE.search(text)
    if begin is None:
        return [], text
    before = text[: begin.start()].splitlines()
    # Errors in what follows are told by line.
    return [line.strip() for line in before if line.strip()], "\n" * len(before) + text[begin.start() :]


def parse_json(path: str, text: str) -> Any:
    """Return the JSON value that `text` is; UsageError naming line and column where it is not one."""
    with _one_line_errors(path, text):
        return json.loads(text)


def parse_json_values(
    path: str, text: str, make_object: Callable[[list[tuple[str, Any]]], object] | None = None
) -> list[Any]:
    """Return the JSON values that stand in `text` one after another, as of commands that wrote into one file.

    `make_object` is given the pairs of each object, so that keys that stand in it twice are seen.
    """
    decoder = json.JSONDecoder(object_pairs_hook=make_object)
    values = []
    with _one_line_errors(path, text):
        at = _blanks(text, 0)
        while at < len(text):
            value, at = decoder.raw_decode(text, at)
            values.append(value)
            at = _blanks(text, at)
    return values


def _blanks(text: str, at: int) -> int:
    """Where the blanks from `at` on end."""
    match = _BLANKS.match(text, at)
    return match.end() if match else at


@contextmanager
def _one_line_errors(path: str, text: str) -> Iterator[None]:
    try:
        yield
    except json.JSONDecodeError as error:
        cut = "is cut short" if not text[error.pos :].strip() else f"is no JSON there ({error.msg})"
        raise UsageError(
            f"{path}: line {error.lineno}, column {error.colno}: {cut}; take the output anew, one command to a file"
        ) from None
    except RecursionError:
        raise UsageError(f"{path}: nested too deeply for anything that kubectl or ip prints") from None
    except ValueError as error:
        # A number of thousands of digits: Python refuses to convert it.
        raise UsageError(f"{path}: is no JSON that can be used: {reason_of(error)}") from None


def as_mapping(value: object) -> dict[str, Any]:
    """Return `value` where it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}


def as_list(value: object) -> list[Any]:
    """Return `value` where it is a JSON array, else an empty one."""
    return value if isinstance(value, list) else []


def as_name(value: object) -> str | None:
    """Return `value` where it has a name's length, else None; what UTF-8 cannot carry is replaced.

    A name is one line: in what is said of it, line feeds part lines.
    """
    if not isinstance(value, str) or not 0 < len(value) <= MAX_NAME:
        return None
    return value.encode("utf-8", "replace").decode().replace("\n", "\\n")


def as_number(value: object, largest: int) -> int | None:
    """Return `value` where it is a whole number from 0 to `largest`, else None."""
    # True and False are ints to Python.
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= largest:
        return value
    return None


def as_time(value: object) -> int | None:
    """Return `value`, a time as Kubernetes writes it (RFC 3339), in ns since 1970; None where it is none."""
    from datetime import UTC, datetime, timedelta

    if not isinstance(value, str) or len(value) > len("2025-08-09T16:01:52.123456789+00:00"):
        return None
    try:
        time = datetime.fromisoformat(value)
    except ValueError:
        return None
    if time.tzinfo is None:
        return None
    return (time - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000
