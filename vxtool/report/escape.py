"""The one way by which text from packets and files reaches a terminal.

Interface names, pod names, labels and paths are written by whoever sent the packet or the file. A terminal
obeys control characters, and bidirectional marks let a name pretend to be another one; so every character that
does not print is spelled out, as Python would spell it in a string.
"""

from __future__ import annotations


def escape(text: str, encoding: str = "utf-8") -> str:
    r"""Return `text` on one line, with every character spelled out that does not print or cannot be encoded.

    What prints is what Unicode says does: no control (C0, C1, ESC, line feed), format (bidirectional marks,
    zero-width), surrogate, private-use or unassigned character, and no separator but the plain space. The
    others become ``\xNN``, ``\uNNNN`` or ``\UNNNNNNNN``.
    """
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
