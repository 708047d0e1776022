"""TCP as it went: what each segment is, given those before it on its stream. The twin of native/streams.c.

Segments are taken in order of time, one for each datagram however often it was captured, so that what a router
passed on is no retransmission. A stream is a connection: both directions between two addresses and ports in one
network, until a SYN with another sequence number opens the next. Of each direction a few numbers are kept:

- base: the SYN's sequence number; where no SYN was seen, one less than the first sequence number, or than what
  the other direction first acknowledged. Relative numbers count from it.
- next: one past the highest sequence number seen; SYN and FIN count as one.
- holes: what lies before next and was not seen, the last MOST_HOLES of them, until it is acknowledged. Of what
  lies before the first segment, too, nothing was seen.
- contiguous: how far it was seen without a hole.
- what it acknowledged and its window, as it said last; how often it repeated itself; when it last sent.

The notes are those of Wireshark's TCP analysis (User's Guide, "TCP Analysis"; equal to tshark 4.0.17 but for what
is said below). "Plain" is a segment without SYN, FIN and RST; "repeats" says that it carries no data, begins at
next, and acknowledges what the one before in its direction did.

- lost segment ("Previous segment not captured"): it begins after next. Never of a RST.
- ACKed unseen segment: it acknowledges more than was seen without a hole. Once for each hole; after one for more
  than all that was seen, the next only after another lost segment. Not where nothing was seen of the direction.
- zero window: plain, its window 0. Window update: plain, it repeats, its window is another and not 0.
- duplicate ACK: plain, it repeats, with the same window, not 0, and it answers no keep-alive. Numbered since what
  is acknowledged changed; named by the segment that changed it.
- window full: plain, its data end where the other direction's window does. Only where the scale is known.
- zero window probe: one byte at next, while the other direction's window is 0. It is told of nothing else but
  being spurious, and moves nothing. Its ACK: plain, it repeats, its window 0 again, and the other direction's last
  segment was a probe.
- keep-alive: plain, no byte or one, one before next. Its ACK: plain, it repeats, with the same window, not 0, and
  the other direction's last segment was a keep-alive.
- Of a segment with data, SYN or FIN, the first of these that is so:
    - spurious retransmission: all its data were acknowledged by the other direction's last segment;
    - none of them: it is a keep-alive, or it begins at next or later; or one byte before and has more than that
      one, as after a keep-alive or probe;
    - fast retransmission: it begins at what the other direction acknowledged at least twice more, the last time
      less than 20 ms ago;
    - out-of-order: something of it is new, it does not end at next, and next moved less than the first round trip
      ago (from the last SYN to the first ACK behind it; 3 ms where that was not seen);
    - retransmission: all others.
- port numbers reused: a SYN whose sequence number is not the base, which opens a new stream; a SYN with ACK whose
  sequence number is not the base, which counts from it from now on in the same stream.

Windows are scaled by the option of the SYNs (RFC 7323), but for those of SYNs themselves: where one SYN was seen
without the option, neither direction's is; where none was seen, nothing is known of it, and the window is left as
it is. A SYN sent again with its own sequence number sets next back to contiguous, since what a RST said in between
need not have been sent.

Where tshark 4.0.17 says something else that is not so:

- It calls all that comes within the first round trip after next moved out-of-order, also what it saw before. Here
  that is a retransmission, in however many pieces it was seen.
- It takes a hole for filled only by a segment that begins exactly with it, and then all later holes as well. Here
  it is filled by what covers it, and the later ones stay.
- Where a probe's byte was taken and the window stays 0, it misses that byte, says that the ACK is of an unseen
  segment, and that the next byte follows one that was not captured. Here the probe is taken for sent.
- A segment without ACK counts there as one that acknowledges 0: after a RST it knows no spurious retransmission.
- A FIN that was overtaken by a later segment is a retransmission there: it has no data, so it was seen before.
- A first round trip of more than a second counts there without its whole seconds.
- A sequence number of 0 stands there for none.
- Window scale options count there in whatever segment. Here in SYNs.
- Of addresses of two networks (VNIs) it makes one stream.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

# What a segment is, beside what it says.
RETRANSMISSION = 1
FAST_RETRANSMISSION = 2
SPURIOUS_RETRANSMISSION = 4
OUT_OF_ORDER = 8
LOST_SEGMENT = 16  # the one before it was not captured
ACKED_LOST_SEGMENT = 32
DUPLICATE_ACK = 64
ZERO_WINDOW = 128
ZERO_WINDOW_PROBE = 256
ZERO_WINDOW_PROBE_ACK = 512
WINDOW_UPDATE = 1024
WINDOW_FULL = 2048
KEEP_ALIVE = 4096
KEEP_ALIVE_ACK = 8192
PORTS_REUSED = 16384

MOST_HOLES = 16

_FIN, _SYN, _RST, _ACK = 1, 2, 4, 16
_END, _NO_OPERATION, _WINDOW_SCALE = 0, 1, 3  # kinds of options
_MOST_SCALE = 14  # RFC 7323, section 2.3
_SCALE_UNKNOWN, _NOT_SCALED = -1, -2
_FAST_NS = 20_000_000
_REORDERED_NS = 3_000_000

_MASK32 = 0xFFFFFFFF
_MASK64 = 0xFFFFFFFFFFFFFFFF


class Segment(NamedTuple):
    """One segment, as it is taken."""

    time_ns: int
    record: int  # number, for "Dup ACK 12#1"
    network: int  # where addresses are those of a VNI: that; else -1
    is_ipv6: bool
    flags: int  # the low 8 bits of TCP's
    source: bytes  # 4 or 16 of them
    destination: bytes
    source_port: int
    destination_port: int
    window: int
    sequence: int
    acknowledgement: int
    payload_length: int
    options: bytes  # as far as captured


class Progress:
    """What follows of an application's message of which some was seen: whoever lists packets keeps it here."""

    __slots__ = ("kind", "message", "remaining")

    def __init__(self) -> None:
        self.remaining = 0  # bytes of it that are still to come; 0: no message is under way
        self.message = 0  # the lister's number for it
        self.kind = 0  # the lister's mark for the direction; 0 at first


class StreamNote(NamedTuple):
    """What is told of it."""

    stream: int  # counted from 0
    notes: int  # RETRANSMISSION and so on
    sequence: int  # relative to the direction's first
    acknowledgement: int  # likewise; as it is in the segment where its flags have no ACK
    window: int  # scaled where both SYNs say how
    duplicate_number: int  # of duplicate ACKs: how many so far, and
    duplicate_of: int  # the record of the first with this number
    progress: Progress  # of this direction


class _Direction:
    __slots__ = (
        "acknowledged",
        "base",
        "contiguous",
        "duplicate_of",
        "duplicates",
        "has_acknowledged",
        "has_base",
        "has_contiguous",
        "has_sent",
        "holes",
        "lost_again",
        "lowest",
        "next",
        "next_ns",
        "notes",
        "progress",
        "scale",
        "time_ns",
        "window",
        "window_of_syn",
    )

    def __init__(self) -> None:
        self.next_ns = 0  # when next moved
        self.time_ns = 0  # of the last segment
        self.duplicate_of = 0
        self.base = 0
        self.next = 0
        self.contiguous = 0
        self.lowest = 0
        self.acknowledged = 0
        self.duplicates = 0
        self.holes: list[tuple[int, int]] = []  # from, up to but without
        self.window = 0
        self.notes = 0  # of the last segment
        self.scale = _SCALE_UNKNOWN
        self.has_base = False
        self.has_sent = False
        self.has_contiguous = False
        self.has_acknowledged = False
        self.lost_again = False
        self.window_of_syn = False
        self.progress = Progress()

    def add_hole(self, begin: int, end: int) -> None:
        self.holes.append((begin, end))
        del self.holes[:-MOST_HOLES]

    def fill_holes(self, sequence: int, end: int) -> None:
        """These sequence numbers were seen."""
        if _before(sequence, self.lowest):
            self.lowest = sequence
        left = []
        for hole in self.holes:
            if not _before(sequence, hole[1]) or not _after(end, hole[0]):
                left.append(hole)
                continue
            if _after(sequence, hole[0]):
                left.append((hole[0], sequence))
            if _before(end, hole[1]):
                left.append((end, hole[1]))
        self.holes = left[-MOST_HOLES:]

    def drop_holes(self, acknowledgement: int) -> None:
        """These are acknowledged: nobody will send what lies before."""
        while self.holes and not _after(self.holes[0][1], acknowledgement):
            del self.holes[0]

    def seen_from(self, sequence: int) -> int:
        """How far it was seen without a hole from there on."""
        return next((hole[0] for hole in self.holes if not _before(hole[0], sequence)), self.next)

    def is_new(self, sequence: int, end: int) -> bool:
        """Whether some of these were not seen so far."""
        if end == sequence:
            end = (end + 1) & _MASK32
        if _before(sequence, self.lowest) or _after(end, self.next):
            return True
        return any(_before(sequence, hole[1]) and _after(end, hole[0]) for hole in self.holes)


class _Stream:
    __slots__ = ("directions", "number", "opened_ns", "reordered_ns")

    def __init__(self, number: int) -> None:
        self.number = number
        self.directions = (_Direction(), _Direction())
        self.opened_ns: int | None = None  # when the last SYN came
        self.reordered_ns = 0  # 0: not measured


_Key = tuple[int, bool, bytes, int, bytes, int]


def _after(one: int, other: int) -> bool:
    return 0 < (one - other) & _MASK32 < 0x80000000


def _before(one: int, other: int) -> bool:
    return (one - other) & 0x80000000 != 0


def _within(begin: int, end: int, limit: int) -> bool:
    """Whether less than `limit` lie between two times, the first not later."""
    return (end - begin) & _MASK64 < limit


def _key_of(segment: Segment) -> tuple[_Key, int]:
    """The key, and which direction the segment is of."""
    lesser = (segment.source, segment.source_port)
    greater = (segment.destination, segment.destination_port)
    way = int(lesser > greater)
    if way:
        lesser, greater = greater, lesser
    return (segment.network, segment.is_ipv6, *lesser, *greater), way


def _window_scale(options: bytes) -> int:
    at, size = 0, len(options)
    while at < size and options[at] != _END:
        if options[at] == _NO_OPERATION:
            at += 1
            continue
        if size - at < 2 or options[at + 1] < 2 or options[at + 1] > size - at:
            break
        if options[at] == _WINDOW_SCALE and options[at + 1] == 3:
            return min(options[at + 2], _MOST_SCALE)
        at += options[at + 1]
    return _SCALE_UNKNOWN


class Streams:
    """The streams of a capture, `most` of which are followed at once: the one that was quiet longest gives way."""

    def __init__(self, most: int) -> None:
        self._most = max(most, 1)
        self._streams: OrderedDict[_Key, _Stream] = OrderedDict()  # in the order of last use
        self._count = 0
        self.forgotten = 0  # streams that gave way so far

    def take(self, segment: Segment) -> StreamNote:
        """What this segment is; each later one is judged by it."""
        key, way = _key_of(segment)
        stream = self._use_stream(key)
        forward, backward = stream.directions[way], stream.directions[1 - way]
        flags = segment.flags
        opens = flags & (_SYN | _ACK) == _SYN
        notes = 0

        if flags & _SYN and forward.has_base:
            if segment.sequence != forward.base:
                notes = PORTS_REUSED
                if opens:
                    stream = self._begin(key)
                    forward, backward = stream.directions[way], stream.directions[1 - way]
                else:
                    forward.base = segment.sequence
            elif opens and forward.has_sent and forward.has_contiguous:
                forward.next = forward.contiguous
        if not forward.has_base:
            forward.base = segment.sequence if flags & _SYN else (segment.sequence - 1) & _MASK32
            forward.has_base = True
        if not backward.has_base and flags & _ACK:
            backward.base = (segment.acknowledgement - 1) & _MASK32
            backward.has_base = True
        notes, number, of = _analyze(stream, forward, backward, segment, notes)

        if opens:
            stream.opened_ns = segment.time_ns
        elif flags & (_SYN | _ACK) == _ACK and stream.opened_ns is not None and stream.reordered_ns == 0:
            stream.reordered_ns = min((segment.time_ns - stream.opened_ns) & _MASK64, _MASK32)
        if flags & _SYN:
            scale = _window_scale(segment.options)
            if scale != _SCALE_UNKNOWN:
                forward.scale = scale
            if forward.scale == _SCALE_UNKNOWN:
                forward.scale = backward.scale = _NOT_SCALED
            elif flags & _ACK and backward.scale == _NOT_SCALED:
                forward.scale = _NOT_SCALED
        return _tell(stream, way, segment, notes, number, of)

    def look(self, segment: Segment) -> StreamNote | None:
        """What would be said of one that was taken before, without its notes: a further sighting of a datagram.
        None where its stream is not followed."""
        key, way = _key_of(segment)
        stream = self._streams.get(key)
        return _tell(stream, way, segment) if stream is not None else None

    def _use_stream(self, key: _Key) -> _Stream:
        """The stream with this key, the one used last from now on."""
        stream = self._streams.get(key)
        if stream is not None:
            self._streams.move_to_end(key)
            return stream
        if len(self._streams) >= self._most:
            self._streams.popitem(last=False)
            self.forgotten += 1
        return self._begin(key)

    def _begin(self, key: _Key) -> _Stream:
        stream = self._streams[key] = _Stream(self._count)
        self._count = (self._count + 1) & _MASK32
        return stream


def _again(stream: _Stream, forward: _Direction, backward: _Direction, segment: Segment, notes: int) -> int:
    """Of one with data, SYN or FIN: whether it was sent before, or comes late."""
    sequence, length = segment.sequence, segment.payload_length
    end = (sequence + length) & _MASK32
    behind = forward.has_sent and _before(sequence, forward.next)
    if behind and notes & KEEP_ALIVE:
        return 0
    if length > 1 and sequence == (forward.next - 1) & _MASK32:
        behind = False
    if length > 0 and backward.has_acknowledged and not _after(end, backward.acknowledged):
        return SPURIOUS_RETRANSMISSION
    if not behind:
        return 0
    if (
        backward.duplicates >= 2
        and backward.acknowledged == sequence
        and _within(backward.time_ns, segment.time_ns, _FAST_NS)
    ):
        return FAST_RETRANSMISSION
    reordered = stream.reordered_ns or _REORDERED_NS
    if (
        _within(forward.next_ns, segment.time_ns, reordered)
        and end != forward.next
        and forward.is_new(sequence, end)
    ):
        return OUT_OF_ORDER
    return RETRANSMISSION


def _analyze(
    stream: _Stream, forward: _Direction, backward: _Direction, segment: Segment, notes: int
) -> tuple[int, int, int]:
    """The notes, and of a duplicate ACK its number and what it duplicates; both directions are brought up to
    date."""
    sequence, acknowledgement = segment.sequence, segment.acknowledgement
    length, window, flags = segment.payload_length, segment.window, segment.flags
    end = (sequence + length) & _MASK32
    plain = not flags & (_SYN | _FIN | _RST)
    is_next = forward.has_sent and sequence == forward.next
    same = forward.has_acknowledged and acknowledgement == forward.acknowledged
    number = of = 0

    if length == 1 and is_next and backward.has_sent and backward.window == 0:
        notes |= ZERO_WINDOW_PROBE
    else:
        if window == 0 and plain:
            notes |= ZERO_WINDOW
        if forward.has_sent and _after(sequence, forward.next) and not flags & _RST:
            notes |= LOST_SEGMENT
        if length <= 1 and forward.has_sent and sequence == (forward.next - 1) & _MASK32 and plain:
            notes |= KEEP_ALIVE
        if length > 0 and plain and backward.scale != _SCALE_UNKNOWN and backward.has_acknowledged:
            shift = 0 if backward.window_of_syn or backward.scale < 0 else backward.scale
            if end == (backward.acknowledged + (backward.window << shift)) & _MASK32:
                notes |= WINDOW_FULL
        if length == 0 and plain and is_next and same:
            if window != forward.window:
                notes |= WINDOW_UPDATE if window else 0
            elif window and backward.notes & KEEP_ALIVE:
                notes |= KEEP_ALIVE_ACK
            elif not window and backward.notes & ZERO_WINDOW_PROBE:
                notes |= ZERO_WINDOW_PROBE_ACK
            elif window:
                notes |= DUPLICATE_ACK
                forward.duplicates += 1
                number, of = forward.duplicates, forward.duplicate_of
    if not same:
        forward.duplicate_of = segment.record
        forward.duplicates = 0

    if backward.has_contiguous and flags & _ACK and _after(acknowledgement, backward.contiguous):
        if backward.notes & ZERO_WINDOW_PROBE and acknowledgement == (backward.next + 1) & _MASK32:
            backward.next = backward.contiguous = acknowledgement
        else:
            notes |= ACKED_LOST_SEGMENT
            backward.has_contiguous = backward.contiguous != backward.next and not backward.lost_again
            backward.contiguous = backward.next

    if length > 0 or flags & (_SYN | _FIN):
        notes |= _again(stream, forward, backward, segment, notes)

    if flags & (_SYN | _FIN):
        end = (end + 1) & _MASK32
    if not forward.has_sent:
        forward.has_sent = forward.has_contiguous = True
        forward.lowest = sequence
        forward.next = forward.contiguous = end
        forward.next_ns = segment.time_ns
    elif not notes & ZERO_WINDOW_PROBE:
        if end != sequence:
            forward.fill_holes(sequence, end)
        if notes & LOST_SEGMENT and not forward.has_contiguous:
            forward.contiguous = forward.next
            forward.has_contiguous = forward.lost_again = True
        joins = not _after(sequence, forward.contiguous) and _after(end, forward.contiguous)
        if _after(end, forward.next):
            if _after(sequence, forward.next):
                forward.add_hole(forward.next, sequence)
            forward.next = end
            forward.next_ns = segment.time_ns
        if joins:
            forward.contiguous = forward.seen_from(end)
    forward.window = window
    forward.window_of_syn = flags & _SYN != 0
    forward.time_ns = segment.time_ns
    forward.notes = notes
    if flags & _ACK:
        forward.acknowledged = acknowledgement
        forward.has_acknowledged = True
        backward.drop_holes(acknowledgement)
    return notes, number, of


def _tell(
    stream: _Stream, way: int, segment: Segment, notes: int = 0, duplicate_number: int = 0, duplicate_of: int = 0
) -> StreamNote:
    """What is the same whether a segment is taken or looked at."""
    forward, backward = stream.directions[way], stream.directions[1 - way]
    sequence = (segment.sequence - forward.base) & _MASK32 if forward.has_base else int(not segment.flags & _SYN)
    acknowledgement = segment.acknowledgement
    if segment.flags & _ACK:
        acknowledgement = (acknowledgement - backward.base) & _MASK32 if backward.has_base else 1
    window = segment.window << (0 if segment.flags & _SYN else max(forward.scale, 0))
    return StreamNote(
        stream.number,
        notes,
        sequence,
        acknowledgement,
        window,
        duplicate_number,
        duplicate_of,
        forward.progress,
    )
