"""TOML that may come from anywhere: read within bounds of size and of time, every failure in one line.

Python's own reader goes as deep as a text does, and takes memory with the square of a dotted key's length.
"""

from __future__ import annotations

import re
from typing import Any

from vxtool.errors import UsageError, reason_of

LARGEST = 1 << 20  # bytes: what is larger was not written by hand
_MOST_PARTS = 32  # of a dotted key
_PARTED = re.compile(r"[,=\[\]{}]")


def read_toml(path: str, expected: str, advice: str) -> tuple[dict[str, Any], str]:
    """The values of a file, and its text. Raises UsageError, which names the file; it ends in what was `expected`,
    or in the `advice` that is for one that cannot be read."""
    try:
        with open(path, "rb") as file:
            data = file.read(LARGEST + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise UsageError(f"{path}: cannot be read: {reason}; {advice}.") from None
    return parse_toml(path, data, expected)


def parse_toml(path: str, data: bytes, expected: str) -> tuple[dict[str, Any], str]:
    """The same of bytes; `path` names them."""
    import tomllib  # here, because few runs meet any

    if len(data) > LARGEST:
        raise UsageError(f"{path}: is larger than {LARGEST >> 20} MiB; expected {expected}.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: is not UTF-8 at byte {error.start}; expected {expected}.") from None
    for number, line in enumerate(text.splitlines(), 1):
        if line.count(".") >= _MOST_PARTS and _longest_key(line) > _MOST_PARTS:
            raise UsageError(f"{path}: line {number}: a key of more than {_MOST_PARTS} parts; expected {expected}.")
    try:
        return tomllib.loads(text), text
    except RecursionError:
        raise UsageError(f"{path}: is nested too deeply; expected {expected}.") from None
    except ValueError as error:  # also a number of thousands of digits
        raise UsageError(f"{path}: is not TOML: {reason_of(error)}; expected {expected}.") from None


def shown_key(key: str) -> str:
    """A key as a message has it: in quotes only where it is empty or holds what does not print."""
    return key if key and key.isprintable() else repr(key)


def _longest_key(line: str) -> int:
    """Parts of the longest dotted key that a line may hold; a text with as many dots counts as one."""
    # Blanks may stand around each dot.
    return max(part.count(".") for part in _PARTED.split("".join(line.split()))) + 1
