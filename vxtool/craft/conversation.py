"""Who says what when, in a conversation: a ping and its answers, a whole TCP connection, datagrams of UDP.

Times are those at which a packet reaches the router, from the start of the conversation. The client's node is right
beside the router; what goes to the server takes `delay_ns` more behind it, and so does the way back. So an answer
comes in no earlier than what it answers can have arrived, and sequence numbers are what each side knew by then.

A TCP connection is played through: the sender has a window of segments, the receiver acknowledges every second one
and what is out of order; three of those make the sender repeat at once, else it waits, twice as long each time.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from vxtool.packet import ICMP, TCP, UDP, ICMPv6
from vxtool.packet.tcp import ACK, FIN, MSS, PSH, SYN, Nop, Option, Timestamps, WindowScale

_PROCESSING = 20_000  # ns that an end takes to answer
_PAUSE = 2_000_000  # ns between the last data and the end
_ALIGNED = 0x10  # the byte from which ping counts, behind its time


class Message(NamedTuple):
    """One packet of a conversation, without its IP header."""

    time_ns: int
    forth: bool  # from the client
    transport: TCP | UDP | ICMP | ICMPv6
    payload: bytes = b""
    lost: bool = False  # by the router, after it came in


@dataclass(frozen=True)
class Ping:
    """Echo requests and their replies."""

    count: int = 1
    interval_ns: int = 1_000_000_000
    identifier: int = 2900
    size: int = 84  # of the IP packet
    payload: bytes | None = None
    answered: bool = True
    turnaround_ns: int = 456_000  # from the request's leaving the router to the reply's coming
    drop: float = 0.0  # the share of requests that the router drops, and that nobody answers
    too_large: int | None = None  # requests with more data are dropped
    seed: str = "0"


def ping(asked: Ping, six: bool, latency_ns: int) -> Iterator[Message]:
    kind, answer, header = (128, 129, 48) if six else (8, 0, 28)
    echo: Callable[[int, int], ICMP | ICMPv6] = (
        (lambda type_, rest: ICMPv6(type_, 0, rest)) if six else (lambda type_, rest: ICMP(type_, 0, rest))
    )
    size = max(0, asked.size - header)
    data = asked.payload
    if data is None:
        data = (bytes(16) + bytes(each & 0xFF for each in range(_ALIGNED, _ALIGNED + size)))[:size]
    chance = random.Random(f"conversation/{asked.seed}")
    for number in range(asked.count):
        time = number * asked.interval_ns
        rest = asked.identifier << 16 | (number + 1 & 0xFFFF)
        lost = _is_lost(data, asked.drop, asked.too_large, chance)
        yield Message(time, True, echo(kind, rest), data, lost)
        if asked.answered and not lost:
            yield Message(time + latency_ns + asked.turnaround_ns, False, echo(answer, rest), data)


@dataclass(frozen=True)
class Datagrams:
    """UDP: requests, each with an answer or without."""

    count: int = 1
    interval_ns: int = 1_000_000
    ports: tuple[int, int] = (40000, 5353)
    size: int = 512  # of data
    answer: int | None = None  # bytes of the answer's data
    turnaround_ns: int = 200_000
    drop: float = 0.0
    too_large: int | None = None
    seed: str = "0"


def datagrams(asked: Datagrams, latency_ns: int) -> Iterator[Message]:
    source, destination = asked.ports
    chance = random.Random(f"conversation/{asked.seed}")
    for number in range(asked.count):
        time = number * asked.interval_ns
        data = _numbered(number, asked.size)
        lost = _is_lost(data, asked.drop, asked.too_large, chance)
        yield Message(time, True, UDP(source, destination), data, lost)
        if asked.answer is not None and not lost:
            when = time + latency_ns + asked.turnaround_ns
            yield Message(when, False, UDP(destination, source), _numbered(number, asked.answer))


def _numbered(number: int, size: int) -> bytes:
    """Data that begins with a number: over IPv6 nothing else tells one datagram from the next."""
    return (number & 0xFFFFFFFF).to_bytes(4, "big")[-size:].ljust(size, b"\0") if size else b""


def _is_lost(data: bytes, drop: float, too_large: int | None, chance: random.Random) -> bool:
    drawn = bool(drop) and chance.random() < drop
    return drawn or (too_large is not None and len(data) > too_large)


@dataclass(frozen=True)
class Connection:
    """A TCP connection: what the client asks, what the server answers, and how."""

    ports: tuple[int, int] = (32788, 80)
    request: int = 80  # bytes
    response: int = 1_000
    mss: tuple[int, int] = (1410, 1410)  # what client and server say
    timestamps: bool = True
    window: int = 10  # segments sent without an acknowledgement
    super_frames: int = 1  # segments in one record, as an offload hands them over
    delay_ns: int = 200_000  # from the router to the server, and back
    spacing_ns: int = 12_000  # between segments
    timeout_ns: int = 200_000_000
    retries: int = 4
    answered: bool = True  # a SYN without an answer is repeated, and that is all
    lose: tuple[int, ...] = ()  # data segments that the router drops, counted from 1
    drop: float = 0.0  # the share of data segments that it drops
    too_large: int | None = None  # all segments with more data than this are dropped, however often they come
    seed: str = "0"
    sequences: tuple[int, int] = (1_000_000, 3_000_000_000)


@dataclass
class _End:
    """One end's own numbers."""

    port: int
    sequence: int
    received: int = 0  # the next one that is expected of the other
    echo: int = 0  # the other's last clock


@dataclass
class _Play:
    asked: Connection
    latency_ns: int
    said: list[Message] = field(default_factory=list)

    def __post_init__(self) -> None:
        asked = self.asked
        self.client = _End(asked.ports[0], asked.sequences[0])
        self.server = _End(asked.ports[1], asked.sequences[1])
        self.random = random.Random(f"conversation/{asked.seed}")
        self.segments = 0
        # What both obey is the smaller (RFC 9293, section 3.7.1), less the options in use.
        self.size = min(asked.mss) - (12 if asked.timestamps else 0)
        self.far = asked.delay_ns + self.latency_ns  # from the router's ingress to the server
        self.turn_forth = self.far + _PROCESSING + asked.delay_ns  # the server's answer is back at the router
        self.turn_back = self.latency_ns + _PROCESSING  # the client's answer is at the router

    def say(
        self,
        time: int,
        forth: bool,
        flags: int,
        payload: bytes = b"",
        *,
        sequence: int | None = None,
        lost: bool = False,
        options: tuple[Option, ...] = (),
    ) -> None:
        """A segment at the router; `sequence` where it is not the sender's next one, as in a repetition."""
        own, other = (self.client, self.server) if forth else (self.server, self.client)
        first = own.sequence if sequence is None else sequence
        if self.asked.timestamps:
            clock = _clock(time)
            options = (*options, Nop(), Nop(), Timestamps(clock, own.echo)) if not flags & SYN else options
            if not lost:
                other.echo = clock
        acknowledged = own.received if flags & ACK else 0
        transport = TCP(
            own.port, other.port, first & 0xFFFFFFFF, acknowledged & 0xFFFFFFFF, flags, 64240, options=options
        )
        self.said.append(Message(time, forth, transport, payload, lost))
        if sequence is None:
            own.sequence += len(payload) + bool(flags & SYN) + bool(flags & FIN)

    def hear(self, forth: bool) -> None:
        """All that one end has said has reached the other."""
        own, other = (self.client, self.server) if forth else (self.server, self.client)
        other.received = own.sequence

    def syn_options(self, forth: bool, time: int) -> tuple[Option, ...]:
        clock: tuple[Option, ...] = ()
        if self.asked.timestamps:
            own = self.client if forth else self.server
            clock = (Nop(), Nop(), Timestamps(_clock(time), own.echo))
        return (MSS(self.asked.mss[0 if forth else 1]), *clock, Nop(), WindowScale(7))

    def play(self) -> list[Message]:
        asked = self.asked
        time = 0
        if not asked.answered:
            for retry in range(asked.retries + 1):
                # Linux repeats a SYN after 1, 2, 4 ... seconds (RFC 6298).
                when = ((1 << retry) - 1) * 1_000_000_000
                self.say(
                    when, True, SYN, sequence=asked.sequences[0], options=self.syn_options(True, when)
                )
            return self.said
        self.say(time, True, SYN, options=self.syn_options(True, time))
        self.hear(True)
        self.server.echo = _clock(0) if asked.timestamps else 0
        time += self.turn_forth
        self.say(time, False, SYN | ACK, options=self.syn_options(False, time))
        self.hear(False)
        self.client.echo = _clock(time)
        time += self.turn_back
        self.say(time, True, ACK)
        ended: int | None = time
        for forth, size in ((True, asked.request), (False, asked.response)):
            if ended is not None and size:
                ended = self.transfer(forth, ended + asked.spacing_ns, size)
        if ended is not None:
            self.close(ended)
        return sorted(self.said, key=lambda message: message.time_ns)

    def transfer(self, forth: bool, time: int, total: int) -> int | None:
        """Data one way; when its sender may go on, or None where it gave up."""
        asked = self.asked
        own, other = (self.client, self.server) if forth else (self.server, self.client)
        turn = self.turn_forth if forth else self.turn_back
        behind = self.turn_back if forth else self.turn_forth  # until an acknowledgement's answer is here
        most = self.size * asked.super_frames
        left = total
        while left:
            sent: list[tuple[int, bytes, bool]] = []
            start = own.sequence
            for number in range(asked.window):
                piece = bytes(min(most, left))
                left -= len(piece)
                lost = self.is_lost(piece)
                sent.append((own.sequence, piece, lost))
                last = not left or number == asked.window - 1
                self.say(time + number * asked.spacing_ns, forth, ACK | (PSH if last else 0), piece, lost=lost)
                if not left:
                    break
            done = self.acknowledge(forth, time, start, sent, turn)
            missing = [entry for entry in sent if entry[2]]
            if missing:
                repeated = self.repeat(forth, done, missing, sent, turn, behind)
                if repeated is None:
                    return None
                done = repeated
            other.received = own.sequence
            time = done + behind if left else done
        return time

    def is_lost(self, piece: bytes) -> bool:
        asked = self.asked
        self.segments += 1
        lost = _is_lost(piece, asked.drop, asked.too_large, self.random)
        return lost or self.segments in asked.lose

    def acknowledge(
        self, forth: bool, time: int, start: int, sent: list[tuple[int, bytes, bool]], turn: int
    ) -> int:
        """The receiver's answers to a window as it arrived; when the last of them is at the router."""
        other = self.server if forth else self.client
        other.received = start
        when, held, unanswered = time, False, 0
        for number, (_, piece, lost) in enumerate(sent):
            arrived = time + number * self.asked.spacing_ns + turn
            if lost:
                held = True
                continue
            if not held:
                other.received += len(piece)
                unanswered += 1
                if unanswered < 2 and number < len(sent) - 1:
                    continue
            unanswered = 0
            when = arrived
            self.say(when, not forth, ACK)
        if unanswered:
            when = time + len(sent) * self.asked.spacing_ns + turn
            self.say(when, not forth, ACK)
        return when

    def repeat(
        self,
        forth: bool,
        done: int,
        missing: list[tuple[int, bytes, bool]],
        sent: list[tuple[int, bytes, bool]],
        turn: int,
        behind: int,
    ) -> int | None:
        """Repeat what was lost, one at a time; when all is acknowledged, or None where the sender gave up."""
        asked = self.asked
        own, other = (self.client, self.server) if forth else (self.server, self.client)
        first = sent.index(missing[0])
        told = sum(not lost for _, _, lost in sent[first + 1 :])  # answers that said the same again
        ends = [sequence for sequence, _, _ in missing[1:]] + [own.sequence]
        timeout = asked.timeout_ns
        for number, ((sequence, piece, _), end) in enumerate(zip(missing, ends, strict=True)):
            fast = number > 0 or told >= 3
            when = done + (behind if fast else timeout)
            for _ in range(asked.retries):
                lost = self.is_lost(piece)
                self.say(when, forth, ACK | PSH, piece, sequence=sequence, lost=lost)
                if not lost:
                    break
                timeout *= 2
                when += timeout
            else:
                return None
            other.received = end
            done = when + turn
            self.say(done, not forth, ACK)
        return done

    def close(self, time: int) -> None:
        """The client closes, then the server, each with a FIN that is acknowledged."""
        time += _PAUSE
        self.say(time, True, FIN | ACK)
        self.hear(True)
        time += self.turn_forth
        self.say(time, False, FIN | ACK)
        self.hear(False)
        self.say(time + self.turn_back, True, ACK)


def _clock(time: int) -> int:
    """A clock in µs, as Linux has since 6.7 (tcp_usec_ts): so no two packets of a connection are equal."""
    return 1_000_000 + time // 1_000


def connection(asked: Connection, latency_ns: int) -> Iterator[Message]:
    yield from _Play(asked, latency_ns).play()
