"""An independent reader: where the records of a capture lie, told by a few lines of struct.

What is tried on a damaged capture is held against this, on the capture before it was damaged: which records must
have been counted all the same. It knows nothing of vxtool, and takes only captures that are whole.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

PCAP_HEADER, PCAP_RECORD = 24, 16
_PCAP_ORDERS = {
    b"\xd4\xc3\xb2\xa1": "<",
    b"\x4d\x3c\xb2\xa1": "<",
    b"\xa1\xb2\xc3\xd4": ">",
    b"\xa1\xb2\x3c\x4d": ">",
}
_SECTION, _INTERFACE, _PACKETS = 0x0A0D0D0A, 1, (2, 3, 6)


class Piece(NamedTuple):
    """A record of pcap or a block of pcapng, from its first byte to behind its last."""

    start: int
    end: int
    kind: str  # "record", or of pcapng "section", "interface", "packet" or "other"


class Layout(NamedTuple):
    """The pieces of a capture, in order."""

    pcapng: bool
    header: int  # bytes without which nothing can be read: pcap's header, or pcapng's first section header
    pieces: list[Piece]

    @property
    def records(self) -> int:
        return sum(piece.kind in ("record", "packet") for piece in self.pieces)

    def before(self, position: int) -> int:
        """How many records end before or at this byte; 0 within the header."""
        if position < self.header:
            return 0
        return sum(piece.kind in ("record", "packet") and piece.end <= position for piece in self.pieces)

    def promised(self, positions: list[int]) -> int:
        """How many records must be counted when the bytes at these positions are changed.

        All that end before the first of them. Behind it those that nobody has touched, where reading can go on: the
        lengths of pcap's records, or both lengths of pcapng's blocks, are as they were, and no block that the later
        ones rest on has lost its kind.
        """
        first = min(positions)
        if first < self.header:
            return 0
        total = self.records
        if not self.pcapng:
            touched = [self._piece_at(position) for position in positions]
            lengths = [
                piece for piece, position in zip(touched, positions, strict=True)
                if piece is not None and piece.start + 8 <= position < piece.start + 12
            ]  # fmt: skip
            return total if not lengths else self.before(min(piece.start for piece in lengths))
        lost = set()
        for position in sorted(positions):
            piece = self._piece_at(position)
            if piece is None:
                continue
            framing = piece.start + 4 <= position < piece.start + 8 or position >= piece.end - 4
            needed = piece.kind == "section" or (piece.kind == "interface" and position < piece.start + 4)
            if framing or needed:
                return self.before(piece.start) - sum(each.end <= piece.start for each in lost)
            # A block of some kind that becomes another's section header changes what follows.
            if (
                position < piece.start + 4
                and sum(piece.start <= other < piece.start + 4 for other in positions) > 1
            ):
                return self.before(piece.start) - sum(each.end <= piece.start for each in lost)
            if piece.kind == "packet":
                lost.add(piece)
        return total - len(lost)

    def _piece_at(self, position: int) -> Piece | None:
        return next((piece for piece in self.pieces if piece.start <= position < piece.end), None)


def layout(data: bytes) -> Layout:
    """Where what lies in a capture; what is cut off at its end is left out."""
    if data[:4] in _PCAP_ORDERS:
        return Layout(False, PCAP_HEADER, _records(data, _PCAP_ORDERS[data[:4]]))
    pieces = _blocks(data)
    return Layout(True, pieces[0].end if pieces else len(data), pieces)


def _records(data: bytes, order: str) -> list[Piece]:
    at, pieces = PCAP_HEADER, []
    while at + PCAP_RECORD <= len(data):
        end = at + PCAP_RECORD + struct.unpack_from(f"{order}I", data, at + 8)[0]
        if end > len(data):
            break
        pieces.append(Piece(at, end, "record"))
        at = end
    return pieces


def _blocks(data: bytes) -> list[Piece]:
    at, order, pieces = 0, "<", []
    while at + 12 <= len(data):
        if data[at : at + 4] == b"\x0a\x0d\x0d\x0a":
            order = "<" if data[at + 8 : at + 12] == b"\x4d\x3c\x2b\x1a" else ">"
        kind, total = struct.unpack_from(f"{order}II", data, at)
        if at + total > len(data):
            break
        name = "packet" if kind in _PACKETS else {_SECTION: "section", _INTERFACE: "interface"}.get(kind, "other")
        pieces.append(Piece(at, at + total, name))
        at += total
    return pieces
