"""Where a command's text goes: a terminal, a pipe or a file, and what each of them can take."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import BinaryIO

from vxtool.errors import UsageError
from vxtool.report import Target
from vxtool.report.escape import escape
from vxtool.whole_file import whole_file

_PIPED_WIDTH = 80
STDOUT = "-"


def check_output(path: str, inputs: tuple[str, ...]) -> None:
    """Raise UsageError, before the long work, if `path` cannot be written or is one of `inputs`."""
    if path == STDOUT:
        if sys.stdout is None:
            raise UsageError("standard output is closed; open it, or give --output a file.")
        return
    if any(_same_file(path, name) for name in inputs):
        raise UsageError(f"{path}: is an input too; give --output another file.")
    if os.path.isdir(path):
        raise UsageError(f"{path}: is a directory; give --output a file in it.")
    directory = os.path.dirname(path) or "."
    if not os.path.isdir(directory):
        raise UsageError(f"{path}: no directory {directory}; make it, or give --output another file.")


def _same_file(path: str, other: str) -> bool:
    """Whether the file `path` is `other`, or in the folder `other`."""
    # Devices are no inputs to protect: /dev/stdout may well be both.
    if not os.path.isfile(path) or not os.path.exists(other):
        return False
    if os.path.isdir(other):
        return os.path.realpath(path).startswith(os.path.join(os.path.realpath(other), ""))
    return os.path.samefile(path, other)


def target_for(path: str, color: str, rows: int) -> Target:
    """What is written to `path`: width, colour ("auto", "always" or "never") and encoding of its stream."""
    if path != STDOUT:
        return Target(_PIPED_WIDTH, color == "always", "utf-8", rows)
    if sys.stdout is None:
        raise UsageError("standard output is closed; open it.")
    terminal = sys.stdout.isatty()
    width = _PIPED_WIDTH
    if terminal:
        import shutil  # here, because it brings in the compression modules

        width = shutil.get_terminal_size((_PIPED_WIDTH, 24)).columns
    return Target(
        width,
        color == "always" or (color == "auto" and terminal and _color_welcome()),
        sys.stdout.encoding or "utf-8",
        rows,
    )


def _color_welcome() -> bool:
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def write(path: str, pieces: Iterable[str], encoding: str, append: bool = False) -> None:
    """Write a text in `encoding`, or add it to what a file holds. A file is there whole or not at all, and what is
    added too.

    Raises UsageError where the file or stream takes no more.
    """
    try:
        if path == STDOUT:
            sys.stdout.flush()
            for text in pieces:
                sys.stdout.buffer.write(text.encode(encoding))
            sys.stdout.buffer.flush()
        elif append:
            _append(path, "".join(pieces).encode(encoding))
        else:
            with whole_file(path) as file:
                for text in pieces:
                    file.write(text.encode(encoding))
    except BrokenPipeError:
        raise
    except OSError as error:
        # What is added to is the step's summary, which no option names.
        raise _unwritable(path, error, "GITHUB_STEP_SUMMARY" if append else "--output") from error


def say(line: str) -> None:
    """Write a line to stdout, if there is one, at once, and safe for a terminal whatever it quotes."""
    if sys.stdout is not None:
        print(escape(line, sys.stdout.encoding or "utf-8"), flush=True)


def _append(path: str, data: bytes) -> None:
    """Add to a file; where that fails half-way it is as long as before."""
    # Without a buffer, which would write what is left of it when the file is closed.
    with open(path, "ab", buffering=0) as file:
        before = os.fstat(file.fileno()).st_size
        view = memoryview(data)
        try:
            while view:
                view = view[file.write(view) :]
        except BaseException:
            with suppress(OSError):  # a pipe or a device has no length
                file.truncate(before)
            raise


def _unwritable(path: str, error: OSError, option: str = "--output") -> UsageError:
    name = "standard output" if path == STDOUT else path
    return UsageError(f"{name}: cannot write the report: {error.strerror}; give {option} another file.")


def fits(path: str) -> bool:
    """Whether lines are to be fitted to a width: on a terminal."""
    return path == STDOUT and sys.stdout.isatty()


def write_bytes(path: str, blocks: Iterable[bytes]) -> None:
    """Write text that is encoded already, block by block as it comes. Errors are those of `write`."""
    try:
        if path == STDOUT:
            sys.stdout.flush()
            descriptor = sys.stdout.fileno()
            for block in blocks:
                view = memoryview(block)
                while view:
                    view = view[os.write(descriptor, view) :]
        else:
            with whole_file(path) as file:
                for block in blocks:
                    file.write(block)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise _unwritable(path, error) from error


def binary_output(path: str) -> str | BinaryIO:
    """Where a capture is written to: the path, or the stream of stdout. Raises UsageError for a terminal."""
    if path != STDOUT:
        return path
    if sys.stdout.isatty():
        raise UsageError("standard output is a terminal, and a capture is no text; give --output a file.")
    sys.stdout.flush()
    return sys.stdout.buffer
