"""The one way by which text from packets and files reaches a terminal.

Interface names, pod names, labels and paths are written by whoever sent the packet or the file. A terminal
obeys control characters, and bidirectional marks let a name pretend to be another one; so every character that
does not print is spelled out, as Python would spell it in a string.

A terminal may be the log of a pipeline, whose runner obeys what it finds there. GitHub's takes a line for a command
that begins, behind blanks, with `::name`, and an older form of it, `##[name]`, anywhere in a line (actions/runner,
src/Runner.Common/ActionCommand.cs); Azure's takes `##[name]` and `##vso[name]`
(https://learn.microsoft.com/azure/devops/pipelines/scripts/logging-commands). Wherever a text is wrapped or cut, a
line may begin; so of each of these one sign is spelled out, at any place. Names of commands begin with a letter and
none is made of up to four hexadecimal digits, so `fd00::cafe` and `::1` stay the addresses that they are.
"""

from __future__ import annotations

import re

# The sign of each command without which it is none.
COMMANDS = re.compile(r"(?<=#)#(?=\[|vso\[)|:(?=:(?![0-9a-f]{1,4}(?![a-z-]))[a-z-])", re.IGNORECASE | re.ASCII)


def escape(text: str, encoding: str = "utf-8") -> str:
    r"""Return `text` on one line, with every character spelled out that does not print or cannot be encoded.

    What prints is what Unicode says does: no control (C0, C1, ESC, line feed), format (bidirectional marks,
    zero-width), surrogate, private-use or unassigned character, and no separator but the plain space. The
    others become ``\xNN``, ``\uNNNN`` or ``\UNNNNNNNN``, and so does one sign of what a pipeline would obey.
    """
    if "::" in text or "##" in text:
        text = COMMANDS.sub(lambda sign: _spell(sign[0]), text)
    if text.isascii() and text.isprintable():
        return text
    return "".join(char if _fits(char, encoding) else _spell(char) for char in text)


def _fits(char: str, encoding: str) -> bool:
    if not char.isprintable():
        return False
    try:
        char.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def _spell(char: str) -> str:
    code = ord(char)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def safe(text: str) -> str:
    """`text` of JSON, with what is not safe to print written as escapes."""
    # Outside strings JSON has none of these but line feeds, and inside a string an escape means the same.
    if "##" in text:
        text = COMMANDS.sub(lambda sign: _spelled(sign[0]) if sign[0] == "#" else sign[0], text)
    if not text.isascii() or "\x7f" in text:
        unsafe = [sign for sign in set(text) if not sign.isprintable() and sign != "\n"]
        if unsafe:
            text = text.translate({ord(sign): _spelled(sign) for sign in unsafe})
    return text


def safe_bytes(text: bytes) -> bytes:
    """The same of UTF-8, which may be long."""
    if text.isascii() and b"\x7f" not in text and b"##" not in text:
        return text
    return safe(text.decode()).encode()


def _spelled(sign: str) -> str:
    """As escapes of JSON: beyond 16 bits, two of UTF-16."""
    code = ord(sign)
    if code < 0x10000:
        return f"\\u{code:04x}"
    code -= 0x10000
    return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"
