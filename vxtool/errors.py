"""The errors that vxtool raises. Each message is one line: the input, where, what was expected, what to do."""

from __future__ import annotations

import sys


def reason_of(error: Exception) -> str:
    """Why a reader of JSON, TOML or YAML took no text, in one line."""
    text = " ".join(str(error).split())
    # Python converts no number of thousands of digits, and says how a program could make it.
    if "set_int_max_str_digits" in text:
        return f"a number has more than {sys.get_int_max_str_digits():,} digits"
    return text


class VxtoolError(Exception):
    """Base of all errors that vxtool raises on purpose."""


class PacketError(VxtoolError, ValueError):
    """Bytes that are not the packet they should be, or values that no packet can carry."""


class InputError(VxtoolError):
    """An input that could not be read at all: the command exits with 3."""


class UsageError(VxtoolError):
    """Options or files that make no sense together, or a file that cannot be written: the command exits with 2."""
