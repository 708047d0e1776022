"""Datagrams that came in IP fragments, put together as far as columns need them.

The plain twin of vxtool/listing/native/fragments.c. What is kept of a datagram is its first bytes, wherever they
came from, and which others were seen. At most so many datagrams are under way at once: the one that was begun first
gives way, which is counted. A datagram is known by its addresses, protocol, identification and network, and by the
stage that the caller saw it at, so that the copies of one datagram at two interfaces are not mixed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from vxtool.listing.info import fragment_header_at
from vxtool.listing.seen import TELLS_FRAGMENT, Seen, read

KEPT_BYTES = 4096
"""Of each datagram, behind its IP header."""
MOST_RANGES = 16
"""Of bytes with holes between them; a datagram with more is given up."""
LEAST_DATAGRAMS = 16

_MOST_NESTED = 4
_LARGEST_DATAGRAM = 0xFFFF
_LARGEST_HEADER = 512
_IPV6_SIZE = 40
_LINK_IPV4, _LINK_IPV6 = 228, 229

_Key = tuple[int, int, bool, bytes, bytes, int, int]


class _Piece(NamedTuple):
    """A fragment, as its IP header has it; of IPv6 `header` is up to the end of the fragment header."""

    key: _Key
    header: bytes
    offset: int
    more: bool
    payload: bytes


class _Datagram:
    """One that is under way, and the place in turn that it holds."""

    def __init__(self, turn: int) -> None:
        self.turn = turn
        self.ranges: list[tuple[int, int]] = []
        self.total = 0
        """Bytes behind the IP header; 0: not known yet."""
        self.header = b""
        self.kept = bytearray(KEPT_BYTES)

    def add(self, piece: _Piece) -> bool | None:
        """Put a piece in: whether the datagram is whole. None: it cannot become so."""
        start, end = piece.offset, piece.offset + len(piece.payload)
        if start == 0 and not self.header:
            self.header = piece.header
        if not piece.more and self.total == 0:
            self.total = end
        room = max(KEPT_BYTES - start, 0)
        self.kept[start : min(end, KEPT_BYTES)] = piece.payload[:room]
        touching = [one for one in self.ranges if one[1] >= start and one[0] <= end]
        if not touching and len(self.ranges) == MOST_RANGES:
            return None
        joined = min([start, *(one[0] for one in touching)]), max([end, *(one[1] for one in touching)])
        self.ranges = sorted([*(one for one in self.ranges if one not in touching), joined])
        first = self.ranges[0]
        return self.total > 0 and bool(self.header) and first[0] == 0 and first[1] >= self.total


class Fragments:
    """Datagrams under way, `most` at once, at least 16 of them."""

    def __init__(self, most: int) -> None:
        self.forgotten = 0
        """Datagrams that gave way, or were given up, so far."""
        self._turns: list[_Key | None] = [None] * max(most, LEAST_DATAGRAMS)
        self._turn = 0
        self._datagrams: dict[_Key, _Datagram] = {}

    def take(self, seen: Seen, stage: int, ports: Mapping[int, str] | None = None) -> Seen:
        """Take what vxtool.listing.seen.read made of a record. Where it is the last fragment that was missing, the
        answer tells of the whole datagram (or of the fragment that this carries): its `length` and `captured` are
        the record's, its tunnel and outer ends those outside. Else `seen` itself."""
        for _ in range(_MOST_NESTED):
            piece = _piece_of(seen, stage)
            if piece is None:
                break
            datagram = self._datagrams.get(piece.key) or self._begin(piece.key)
            whole = datagram.add(piece)
            if whole is not False:
                self._remove(piece.key)
            if whole is None:
                self.forgotten += 1
            if not whole:
                break
            seen = _read_whole(seen, datagram, ports)
        return seen

    def _begin(self, key: _Key) -> _Datagram:
        turn = self._turn
        self._turn = (turn + 1) % len(self._turns)
        before = self._turns[turn]
        if before is not None:
            self._remove(before)
            self.forgotten += 1
        self._turns[turn] = key
        self._datagrams[key] = _Datagram(turn)
        return self._datagrams[key]

    def _remove(self, key: _Key) -> None:
        self._turns[self._datagrams.pop(key).turn] = None


def _piece_of(seen: Seen, stage: int) -> _Piece | None:
    """The fragment that `seen` tells of, where it was captured whole and has bytes."""
    if seen.tells != TELLS_FRAGMENT:
        return None
    ip = seen.told
    if seen.is_ipv6:
        at = fragment_header_at(ip)
        size, claimed = at + 8, _IPV6_SIZE + _be16(ip, 4)
        offset, more = _be16(ip, at + 2) & 0xFFF8, bool(ip[at + 3] & 1)
        source, destination = ip[8:24], ip[24:40]
        identification, protocol = int.from_bytes(ip[at + 4 : at + 8], "big"), ip[at]
    else:
        size, claimed = (ip[0] & 15) * 4, _be16(ip, 2)
        offset, more = (_be16(ip, 6) & 0x1FFF) * 8, bool(ip[6] & 0x20)
        source, destination = ip[12:16], ip[16:20]
        identification, protocol = _be16(ip, 4), ip[9]
    if not size < claimed <= len(ip) or size > _LARGEST_HEADER or offset + claimed - size > _LARGEST_DATAGRAM:
        return None
    key = stage, seen.network, seen.is_ipv6, source, destination, identification, protocol
    return _Piece(key, ip[:size], offset, more, ip[size:claimed])


def _be16(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 2], "big")


def _read_whole(seen: Seen, datagram: _Datagram, ports: Mapping[int, str] | None) -> Seen:
    """Read a whole datagram in the place of its last fragment, with the first one's header made its own."""
    header = bytearray(datagram.header)
    whole = len(header) + datagram.total
    if seen.is_ipv6:
        payload = whole - _IPV6_SIZE
        header[4:6] = (payload if payload <= _LARGEST_DATAGRAM else 0).to_bytes(2, "big")
        header[-6:-4] = bytes(2)
    else:
        header[2:4] = (whole if whole <= _LARGEST_DATAGRAM else 0).to_bytes(2, "big")
        header[6] &= 0xC0
        header[7] = 0
    kept = min(datagram.total, KEPT_BYTES)
    data = bytes(header) + bytes(datagram.kept[:kept])
    answer = read(data, whole, _LINK_IPV6 if seen.is_ipv6 else _LINK_IPV4, ports)
    answer.length = seen.length
    answer.captured = seen.captured
    if seen.tunnel is not None:
        if answer.tunnel is None:
            answer.vni = seen.network
        answer.tunnel = seen.tunnel
        answer.outer_source, answer.outer_destination = seen.outer_source, seen.outer_destination
        answer.outer_source_port = seen.outer_source_port
        answer.outer_destination_port = seen.outer_destination_port
    return answer
