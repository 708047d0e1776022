"""What of an info column is Wireshark's own comment, not what the packet says."""

from __future__ import annotations

import re

# What stands in brackets is a note of Wireshark's analysis, but for TCP's flags, which are so written too.
_FLAG = "FIN|SYN|RST|PSH|ACK|URG|ECE|CWR|ECN|NS|AE|Reserved|<None>"
_NOTE = re.compile(rf"\[(?!(?:(?:{_FLAG})(?:, )?)+\])[^\[\]]*\] ?")
# Which record answers which: with several records of one datagram, and both directions, not the same question.
_ANSWER = re.compile(r" \((?:reply in \d+|request in \d+|no response found!|multicast)\)")
# The server's name in a Client Hello, which versions of Wireshark behind 4.0 tell.
_SERVER_NAME = re.compile(r" \(SNI=[^)]*\)")


def without_notes(info: str) -> str:
    """The info column without what is set aside: Wireshark's notes in brackets, which record answers which, and the
    server's name in a Client Hello."""
    if "[" not in info and "(" not in info:
        return info
    for pattern in (_ANSWER, _SERVER_NAME, _NOTE):
        info = pattern.sub("", info)
    return info.rstrip()
