"""What the comment of a packet says of it: one line of `key=value` pairs behind the word `vxtool`.

    vxtool tunnel=vxlan source=192.168.10.100 source_port=51213 destination=192.168.20.100 destination_port=8472
        vni=36705 in=eth1 out=eth2 outcome=forwarded input=vxlan.pcap record=1

Keys come in any order, and those that a reader does not know are to be passed over. Values hold neither spaces nor
control characters nor `=`: these, `%` and all that is not ASCII are written as %XX of UTF-8, since names of files
and interfaces may hold anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from urllib.parse import quote, unquote

MARK = "vxtool"
# All of printable ASCII but the space, the percent sign and the equals sign.
_PLAIN = "!\"#$&'()*+,/:;<>?@[\\]^`{|}"


def write_comment(values: Mapping[str, str | int | None]) -> str:
    """The comment; values of None are left out."""
    return MARK + write_pairs(values)


def write_pairs(values: Mapping[str, str | int | None]) -> str:
    """A part of one, to go behind another: as comments are alike in most of what they say, parts may be kept."""
    return "".join(f" {key}={_written(value)}" for key, value in values.items() if value is not None)


def _written(value: str | int) -> str:
    if isinstance(value, int):
        return str(value)
    return value if value.isalnum() and value.isascii() else quote(value, _PLAIN, errors="replace")


def read_comment(comments: Iterable[str]) -> dict[str, str]:
    """The values of the first of a packet's comments that is such a line; {} where none is."""
    for comment in comments:
        first, *pairs = comment.split() or [""]
        if first == MARK:
            parted = (pair.partition("=") for pair in pairs)
            return {key: unquote(value) for key, equals, value in parted if equals}
    return {}
