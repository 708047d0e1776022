"""How text from packets stands in Wireshark's columns."""

from __future__ import annotations

MOST_TEXT = 2000  # characters of a column; Wireshark itself stops at 4,095

MALFORMED = "[Malformed Packet]"
CUT = "[Packet size limited during capture]"
PART = "[TCP segment of a reassembled PDU]"

_SHORT = {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v"}


def text(octets: bytes) -> str:
    r"""Bytes of a packet as a column shows them: UTF-8, and what does not print spelled as C would spell it.

    Wireshark writes ``\t`` and its like by letter, other ASCII controls in octal and the rest as ``\u202E``;
    what is no UTF-8 becomes the replacement character.
    """
    string = octets.decode("utf-8", "replace")
    if string.isprintable():
        return string
    return "".join(char if char.isprintable() else _spell(char) for char in string)


def _spell(char: str) -> str:
    code = ord(char)
    if code < 0x80:
        return _SHORT.get(char) or f"\\{code:03o}"
    return f"\\u{code:04X}" if code < 0x10000 else f"\\U{code:08X}"


def shorten(string: str) -> str:
    """No more of a text than a column holds."""
    return string if len(string) <= MOST_TEXT else string[:MOST_TEXT]
