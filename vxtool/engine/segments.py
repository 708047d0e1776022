"""Which packets are segments of which super-frame: the pure twin of `native/segments.c`.

Segmentation offload cuts one super-frame of TCP or UDP into many packets on its way through a router, or puts
many together into one. The pieces have keys of their own, so that their journeys come in and never leave, or leave
without having come in. Such a journey is *loose*. Loose journeys of one flow of TCP with equal acknowledgement and
timestamps, which all pieces of a super-frame share, belong together where the bytes of one lie within the other's,
one came in and the other went out, both opened within the window, and identifications, where there are any, count
up from the first piece (inet_gso_segment in net/ipv4/af_inet.c of Linux).

UDP has no sequence numbers. There identifications alone tell which piece it is, those of the tunnel where both wear
one, and sizes must agree: all pieces are as long but the last, which may be shorter (__udp_gso_segment in
net/ipv4/udp_offload.c). Where the super-frame has no identification its pieces are counted up from 0: then any of
the flow may be meant, and only what is found whole counts.

The numbers of one super-frame of UDP may overlap with those of the next, as where a socket of Linux has a number of
its own: in a flow that never rests all of them hang together, up to a limit.

A router may fragment in turn what it has cut. How long such a segment is, its inner headers tell, which the first
fragment holds; where others of its fragments were not seen, it was lost in part, or a filter hides them.

Where the capture tells no direction, TTLs do, as they do elsewhere: both were seen at different places one hop
apart, and the higher came in. As one side alone could be all that there is, only what no Ethernet packet holds is
taken for a super-frame then.

Whether two belong together depends on nothing but the two. So what hangs together can be decided as soon as nothing
more can be added to it, whenever that is looked at: parts of a capture, and both engines, decide alike.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from typing import Generic, NamedTuple, Protocol, TypeVar

from vxtool.engine.tables import FIRST_ONLY, FRAGMENTS, WHOLE, Sample

MOST_AROUND = 64  # of one flow, that hold one byte: older ones among more are not looked at
MOST_PIECES = 1024  # of one super-frame: more than BIG TCP's 512 KiB hold of 536 bytes
MOST_TOGETHER = 1 << 16  # that hang together: more are not waited for
MOST_NUMBERED = 128  # the same of UDP: UDP_MAX_SEGMENTS in include/linux/udp.h of Linux
LONGEST_PACKET = 1500  # bytes, from the innermost IP header on, of what is no super-frame for sure


class _Sighting(Protocol):
    sample: Sample


class _Sided(Protocol):
    """What of a journey came in, or what of it went out."""

    clock: int  # when it was first seen


class Hop(NamedTuple):
    """Where something was seen whose direction the capture does not tell, and the TTLs that tell it."""

    place: Hashable
    wear: int
    outer_ttl: int
    inner_ttl: int
    is_large: bool


_Journey = TypeVar("_Journey", bound=_Sided)
_End = TypeVar("_End", bound=_Sighting)


class Loose(Generic[_Journey, _End]):
    """One side of a journey, that may be a piece of another, or hold others.

    `end`: the sighting at its first stage where it came in, at its last where it went out;
    `identity`: flow, acknowledgement and timestamps; `start`: the TCP sequence number; `length`: of its payload;
    `numbered`: of UDP, where identifications alone tell the place of a piece;
    `outer_id` and `inner_id`: identifications, 0 where there are none;
    `vni`: -1 where it was plain;
    `form`: WHOLE, FRAGMENTS or FIRST_ONLY, in which it was seen; `lacks`: some of the fragments were not seen;
    `went_out`: None until it is found out, where a `hop` alone can tell it.
    """

    __slots__ = (
        "around",
        "end",
        "form",
        "hop",
        "identity",
        "inner_id",
        "is_open",
        "journey",
        "lacks",
        "length",
        "numbered",
        "outer_id",
        "parent",
        "pieces",
        "start",
        "too_many",
        "vni",
        "went_out",
    )

    def __init__(
        self,
        journey: _Journey,
        end: _End,
        identity: tuple[object, ...],
        start: int,
        length: int,
        outer_id: int,
        inner_id: int,
        vni: int,
        went_out: bool | None,
        is_open: bool,
        numbered: bool,
        hop: Hop | None,
        form: int,
        lacks: bool,
    ) -> None:
        self.journey = journey
        self.end = end
        self.identity = identity
        self.start = start
        self.length = length
        self.outer_id = outer_id
        self.inner_id = inner_id
        self.vni = vni
        self.went_out = went_out
        self.is_open = is_open  # when the capture ended
        self.numbered = numbered
        self.hop = hop
        self.form = form
        self.lacks = lacks
        self.too_many = False  # it is decided although it should have waited too
        self.forget()

    def forget(self) -> None:
        """Belong to none."""
        self.parent: Loose[_Journey, _End] = self
        self.pieces: list[Loose[_Journey, _End]] = []  # what was found to lie within it
        self.around: Loose[_Journey, _End] | None = None  # in what it was found to lie

    @property
    def clock(self) -> int:
        return self.journey.clock

    @property
    def sample(self) -> Sample:
        return self.end.sample

    def is_partial(self) -> bool:
        return sum(piece.length for piece in self.pieces) < self.length

    def root(self) -> Loose[_Journey, _End]:
        """The one that stands for all that hang together with it."""
        item = self
        while item.parent is not item:
            item.parent = item.parent.parent
            item = item.parent
        return item

    def offset_of(self, piece: Loose[_Journey, _End]) -> int:
        return (piece.start - self.start) & 0xFFFFFFFF

    def ends_with(self, piece: Loose[_Journey, _End]) -> bool:
        return self.offset_of(piece) + piece.length == self.length

    def packets(self) -> int:
        """How many packets it was that were cut out of it, going by the pieces found: by all of it, else by the
        size of a piece other than the last, else at least one more than were found."""
        if not self.is_partial():
            return len(self.pieces)
        if self.numbered:
            return -(-self.length // self.segment())
        sizes = [piece.length for piece in self.pieces if not self.ends_with(piece)]
        if not sizes:
            sizes = [size for piece in self.pieces if (size := _size_told(self, piece)) > 0]
        return max(len(self.pieces) + 1, -(-self.length // max(sizes)) if sizes else 0)

    def shown(self) -> Loose[_Journey, _End]:
        """The piece that stands for all on the path: the first of those in fragments. Those of which the first
        fragment alone was seen stand behind where a loss is sure, since a filter may hide the others."""
        sure = self.is_partial() or any(piece.lacks and piece.form == FRAGMENTS for piece in self.pieces)
        order = (FRAGMENTS, WHOLE, FIRST_ONLY) if sure else (FIRST_ONLY, FRAGMENTS, WHOLE)
        return min(self.pieces, key=lambda piece: (order.index(piece.form), piece.sample))

    def segment(self) -> int:
        """The size of the pieces of a super-frame of UDP but the last, going by those found; 0 of TCP. One alone is
        taken for the last only where it can be no other."""
        if not self.numbered:
            return 0
        if len(self.pieces) == 1:
            (piece,) = self.pieces
            number = _number_told(self, piece)
            if not _may_be_full(self, piece, number):
                return _size_before_last(self, piece, number)
        return max(piece.length for piece in self.pieces)


_Edge = tuple[Loose[_Journey, _End], Loose[_Journey, _End]]  # what holds, and what is held


def decide(
    loose: list[Loose[_Journey, _End]], window: int, may_decide: Callable[[int, int], bool]
) -> tuple[list[Loose[_Journey, _End]], list[Loose[_Journey, _End]]]:
    """Find out which are pieces of which. Returns those that are decided, and those that have to wait.

    `may_decide` is asked with the clocks of the first and of the last of what hangs together.
    """
    edges = _find_edges(loose, window)
    for around, inside in edges:
        inside.root().parent = around.root()
    clocks: dict[int, tuple[int, int]] = {}
    for item in loose:
        first, last = clocks.get(id(item.root()), (item.clock, item.clock))
        clocks[id(item.root())] = min(first, item.clock), max(last, item.clock)
    ready = {root for root, (first, last) in clocks.items() if may_decide(first, last)}
    together = Counter(id(item.root()) for item in loose)
    too_many = {root for root, count in together.items() if count > MOST_TOGETHER} - ready
    ready |= too_many
    decided = [item for item in loose if id(item.root()) in ready]
    for item in decided:
        item.too_many = id(item.root()) in too_many
    waiting = [item for item in loose if id(item.root()) not in ready]
    edges = [(around, inside) for around, inside in edges if id(around.root()) in ready]
    # What went out is shared out in the order in which it went, then what came in, in the order in which it came.
    _take_pieces((edge for edge in edges if _leaves(*edge)), went_out=True)
    _take_pieces((edge for edge in edges if not _leaves(*edge)), went_out=False)
    for item in decided:
        if item.pieces and item.numbered and not (item.outer_id or item.inner_id) and item.is_partial():
            for piece in item.pieces:
                piece.around = None
            item.pieces = []
    for item in waiting:
        item.forget()
    return decided, waiting


def _find_edges(loose: list[Loose[_Journey, _End]], window: int) -> list[_Edge[_Journey, _End]]:
    by_identity: dict[tuple[object, ...], list[Loose[_Journey, _End]]] = {}
    for item in loose:
        by_identity.setdefault(item.identity, []).append(item)
    edges: list[_Edge[_Journey, _End]] = []
    for items in by_identity.values():
        if items[0].numbered:
            edges += _find_numbered(items, window, of_tunnels=True)
            edges += _find_numbered(items, window, of_tunnels=False)
            continue
        # Sequence numbers wrap (RFC 9293): what crosses that point stands before it and behind.
        placed = [(item.start, -item.length, item.sample, item) for item in items]
        placed += [
            (item.start - (1 << 32), -item.length, item.sample, item)
            for item in items
            if item.start + item.length > 1 << 32
        ]
        around: list[tuple[int, Loose[_Journey, _End]]] = []  # (end, item) of those that begin no later
        for start, _, _, item in sorted(placed, key=lambda place: place[:3]):
            end = start + item.length
            around = [other for other in around if other[0] > start][-MOST_AROUND:]
            edges += [(other, item) for reach, other in around if reach >= end and _holds(other, item, window)]
            around.append((end, item))
    return edges


def _find_numbered(
    items: list[Loose[_Journey, _End]], window: int, of_tunnels: bool
) -> list[_Edge[_Journey, _End]]:
    """The same of UDP, whose place is its identification; identifications wrap too."""
    placed = []
    for item in items:
        number = item.outer_id if of_tunnels else item.inner_id
        placed.append((number, -item.length, item.sample, item))
        if number + MOST_NUMBERED > 1 << 16:
            placed.append((number - (1 << 16), -item.length, item.sample, item))
    edges: list[_Edge[_Journey, _End]] = []
    # By direction; None: that may be super-frames, where no direction is told.
    before: dict[bool | None, list[tuple[int, Loose[_Journey, _End]]]] = {False: [], True: [], None: []}
    for number, _, _, item in sorted(placed, key=lambda place: place[:3]):
        other_side = before[None if item.hop else not item.went_out]
        other_side[:] = [other for other in other_side if number - other[0] < MOST_NUMBERED][-MOST_AROUND:]
        edges += [
            (other, item)
            for _, other in other_side
            if _is_told_by_tunnel(other, item) == of_tunnels and _holds(other, item, window)
        ]
        if item.hop is None or item.hop.is_large:
            before[None if item.hop else item.went_out].append((number, item))
    return edges


def _holds(around: Loose[_Journey, _End], inside: Loose[_Journey, _End], window: int) -> bool:
    """Whether one may be a piece of the other, in whose bytes its own lie."""
    return (
        _are_opposite(around, inside)
        and around.form == WHOLE
        and (inside.form == WHOLE or _leaves(around, inside))
        and around.length != inside.length
        and (around.vni == inside.vni or around.vni < 0 or inside.vni < 0)
        and abs(around.clock - inside.clock) <= window
        and (_may_be_piece(around, inside) if around.numbered else _size_told(around, inside) >= 0)
    )


def _are_opposite(around: Loose[_Journey, _End], inside: Loose[_Journey, _End]) -> bool:
    """Whether one came in and the other went out."""
    one, other = around.hop, inside.hop
    if one is None or other is None:
        return one is other and around.went_out != inside.went_out
    return one.is_large and one.place != other.place and abs(_hops_behind(one, other)) == 1


def _hops_behind(one: Hop, other: Hop) -> int:
    return one.outer_ttl - other.outer_ttl if one.wear == other.wear else one.inner_ttl - other.inner_ttl


def _leaves(around: Loose[_Journey, _End], inside: Loose[_Journey, _End]) -> bool:
    """Whether it is the piece that went out, of two that are opposite."""
    if around.hop is None or inside.hop is None:
        return bool(inside.went_out)
    return _hops_behind(around.hop, inside.hop) > 0


def _is_told_by_tunnel(around: Loose[_Journey, _End], inside: Loose[_Journey, _End]) -> bool:
    return around.vni >= 0 and inside.vni >= 0 and bool(around.outer_id or inside.outer_id)


def _number_told(around: Loose[_Journey, _End], inside: Loose[_Journey, _End]) -> int:
    """Which piece of a super-frame of UDP it is, from 0, going by identifications alone; -1: none."""
    steps = (inside.inner_id - around.inner_id) & 0xFFFF
    if _is_told_by_tunnel(around, inside):
        outer = (inside.outer_id - around.outer_id) & 0xFFFF
        return outer if steps in (0, outer) and outer < MOST_NUMBERED else -1
    if not (around.inner_id or inside.inner_id or _leaves(around, inside)):
        return -1  # sent without any: what is cut counts up from 0
    return steps if steps < MOST_NUMBERED else -1


def _may_be_piece(around: Loose[_Journey, _End], inside: Loose[_Journey, _End]) -> bool:
    number = _number_told(around, inside)
    return number >= 0 and (_may_be_full(around, inside, number) or _size_before_last(around, inside, number) > 0)


def _may_be_full(around: Loose[_Journey, _End], inside: Loose[_Journey, _End], number: int) -> bool:
    return (number + 1) * inside.length <= around.length <= MOST_NUMBERED * inside.length


def _size_before_last(around: Loose[_Journey, _End], inside: Loose[_Journey, _End], number: int) -> int:
    """The size of the pieces before this one, if this is the last; 0: it cannot be."""
    if number == 0:
        return 0
    size, rest = divmod(around.length - inside.length, number)
    return size if rest == 0 and size >= inside.length else 0


def _fits_numbered(around: Loose[_Journey, _End], inside: Loose[_Journey, _End]) -> bool:
    """Whether it can be a piece beside those that were found: of a number of its own, all as long but the last."""
    if not around.pieces:
        return True
    pieces = [*around.pieces, inside]
    size = max(piece.length for piece in pieces)
    numbers = [_number_told(around, piece) for piece in pieces]
    return (
        numbers[-1] not in numbers[:-1]
        and around.length <= MOST_NUMBERED * size
        and all(
            number * size + piece.length == around.length
            or (piece.length == size and (number + 1) * size <= around.length)
            for number, piece in zip(numbers, pieces, strict=True)
        )
    )


def _size_told(around: Loose[_Journey, _End], inside: Loose[_Journey, _End]) -> int:
    """The size of the segments before a piece, as its identification tells; 0: it does not, -1: it is no piece."""
    if around.outer_id and inside.outer_id:  # both in a tunnel
        steps = (inside.outer_id - around.outer_id) & 0xFFFF
    elif around.inner_id and inside.inner_id:
        steps = (inside.inner_id - around.inner_id) & 0xFFFF
    else:
        return 0
    if steps == 0:
        return 0  # the first, or all have the same
    size, rest = divmod(around.offset_of(inside), steps)
    if rest or size < inside.length or (size > inside.length and not around.ends_with(inside)):
        return -1
    return size


def _take_pieces(edges: Iterable[_Edge[_Journey, _End]], went_out: bool) -> None:
    """Give each piece to one of those that may hold it, and each byte of those to one piece alone, so that what is
    sent again fills no gap.

    Something that went out came of the newest that had come in by then; what came in went with the oldest that
    went out from then on. Clocks may differ a little: else with the nearest on the other side.
    """
    choices: dict[int, list[_Edge[_Journey, _End]]] = {}
    for edge in edges:
        choices.setdefault(id(edge[1]), []).append(edge)
    for choice in sorted(choices.values(), key=lambda choice: choice[0][1].sample):
        inside = choice[0][1]
        if inside.pieces or inside.around is not None:
            continue
        free = [
            around
            for around, _ in choice
            if around.around is None and around.went_out is not went_out and _has_room(around, inside)
        ]
        earlier = [around for around in free if around.sample <= inside.sample]
        later = [around for around in free if around.sample > inside.sample]
        wanted = (earlier or later) if went_out else (later or earlier)
        if wanted:
            best = min(wanted, key=_sample_of) if wanted is later else max(wanted, key=_sample_of)
            best.pieces.append(inside)
            inside.around = best
            best.went_out, inside.went_out = not went_out, went_out


def _sample_of(item: Loose[_Journey, _End]) -> Sample:
    return item.sample


def _has_room(around: Loose[_Journey, _End], inside: Loose[_Journey, _End]) -> bool:
    if around.numbered:
        return _fits_numbered(around, inside)
    start = around.offset_of(inside)
    end = start + inside.length
    return len(around.pieces) < MOST_PIECES and all(
        around.offset_of(piece) >= end or around.offset_of(piece) + piece.length <= start for piece in around.pieces
    )
