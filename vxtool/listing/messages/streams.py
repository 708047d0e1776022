"""What is kept of a TCP connection while messages of it are read."""

from __future__ import annotations

from collections.abc import Callable

# What a reader gives: protocol, info, and how many further bytes of the direction are to come before there is
# more to say. An empty protocol: the line stays TCP's own.
Told = tuple[str, str, int]
# Of the connection, the direction, a segment's payload, how many bytes of what was under way were still to come,
# how many bytes of the segment were not captured behind the payload, and whether it is the direction's last.
Reader = Callable[["Stream", "Side", bytes, int, int, bool], Told | None]


class Side:
    """One direction: what is under way in it."""

    __slots__ = (
        "encrypted", "fragment", "held", "left", "protocol", "reader", "some", "stage", "suffix", "waiting",
    )  # fmt: skip

    def __init__(self) -> None:
        # TLS: whether a Change Cipher Spec went by, and a handshake message that goes on in the next record.
        self.encrypted = False
        self.fragment = b""
        self.clear()

    def clear(self) -> None:
        """Forget what was under way."""
        self.reader: Reader | None = None  # of the message under way; None: there is none
        self.stage = 0  # the reader's mark
        self.held = b""  # the beginning of what is under way, where it will be needed
        # HTTP: bytes of the body or chunk still to come, whether there was a body at all, what the line says
        # while the message is under way, and what is added when it is complete and has a body.
        self.left = 0
        self.some = False
        self.waiting = self.suffix = self.protocol = ""


class Stream:
    """A connection."""

    __slots__ = ("is_ssh2", "method", "sides", "version")

    def __init__(self) -> None:
        self.sides = (Side(), Side())  # backward, forward
        self.version = 0  # of TLS, once it is known
        self.method = b""  # of the HTTP request that came last
        self.is_ssh2 = False

    def size(self) -> int:
        """Bytes that are held."""
        backward, forward = self.sides
        return len(backward.held) + len(backward.fragment) + len(forward.held) + len(forward.fragment)
