"""Columns of the messages of applications: DNS, HTTP/1, TLS, SSH, DHCP and NTP, as Wireshark 4.0 writes them.

Whoever lists packets asks about a UDP datagram once. Of a TCP direction it asks about a segment when

- a message is under way (the `remaining` of the answer before was not 0), and the segment holds the last of those
  bytes, or was not captured whole, or has a FIN: other segments are only counted off `remaining`, unseen; or
- none is under way and `may_begin` holds for the segment's payload.

Segments come once each and in order: no repetitions, no further sightings. Where one is missing, nothing is under
way any more: the next is asked about with `remaining` 0 if `may_begin` holds.

The answer is the line's protocol and info, and how many bytes of the direction are to come before the next
question. Of a message that goes on in later segments Wireshark tells on the segment that completes it; the ones
before are TCP's, with its note (columns.PART).
"""

from __future__ import annotations

from .messages import dhcp, dns, http, ntp, ssh, tls
from .messages.streams import Reader, Stream, Told

TCP, UDP = 6, 17

_MOST_HELD = 1 << 25  # bytes of unfinished messages in all streams
_DNS = 53
_HIGHEST_RECORD_LENGTH = 0x48  # the high byte of 2^14 + 2048, the most that a TLS record may hold (RFC 5246, 6.2.3)
_UDP_PORTS = frozenset((*dns.PORTS, *dhcp.PORTS, *dhcp.PORTS6, ntp.PORT))


def may_begin(transport: int, source_port: int, destination_port: int, payload: bytes) -> bool:
    """Whether a message may begin with this payload: worth a question, no more.

    UDP: either port is one of 53, 67, 68, 123, 546, 547, 5353, 5355, and there is a payload.
    TCP: either port is 22 or 53 and there is a payload; or the payload begins with

    - byte 0 in 20..24, byte 1 = 3, byte 2 <= 4, byte 3 <= 0x48, of which at least byte 0 to 2 are there (a TLS
      record); or
    - "HTTP/1."; or
    - a method of http.METHODS and a space.
    """
    if transport == UDP:
        return bool(payload) and (source_port in _UDP_PORTS or destination_port in _UDP_PORTS)
    return transport == TCP and _reader(source_port, destination_port, payload) is not None


def _reader(source_port: int, destination_port: int, payload: bytes) -> Reader | None:
    """Who reads what begins with this payload."""
    if payload and ssh.PORT in (source_port, destination_port):
        return ssh.read_client if destination_port == ssh.PORT else ssh.read_server
    if len(payload) >= 3 and 20 <= payload[0] <= 24 and payload[1] == 3 and payload[2] <= 4:
        return tls.read if payload[3:4] <= b"\x48" else None
    if payload and (source_port == _DNS or destination_port == _DNS):
        return dns.read
    return http.read if http.begins(payload) else None


class Applications:
    """What is known of the connections whose messages are read; for datagrams nothing is kept.

    TLS needs it for its version, which the server's hello says, and for what is encrypted; HTTP for whether a
    response has a body, and for where it ends. At most `most_streams` connections are followed, and the one that
    said nothing for longest gives way.
    """

    def __init__(self, most_streams: int = 65536) -> None:
        self._most_streams = max(1, most_streams)
        self._streams: dict[int, Stream] = {}
        self._held = 0

    def describe(
        self,
        transport: int,
        source_port: int,
        destination_port: int,
        payload: bytes,
        length: int,
        stream: int = 0,
        forward: bool = True,
        remaining: int = 0,
        last: bool = False,
    ) -> Told | None:
        """The columns of a datagram's or segment's payload: protocol, info, and bytes to come. No bytes raise.

        `payload` is what was captured of `length` bytes. The rest is for TCP: `stream` is the connection's number,
        `forward` the direction; `remaining` is how many of the bytes that the answer before asked for are still to
        come, this segment's among them, 0 where a message is to begin; `last`: the segment has a FIN.

        None: nothing is told, nor is anything under way. With an empty protocol the line is TCP's own, which
        Wireshark marks as columns.PART, as it does those that are only counted off.
        """
        try:
            if transport == TCP:
                return self._segment(
                    source_port, destination_port, payload, length, stream, forward, remaining, last
                )
            if transport == UDP:
                return _datagram(source_port, destination_port, payload, length)
        except Exception:  # whatever dpkt and its like make of such bytes: the line stays what it was
            if transport == TCP:
                self._forget(stream)
        return None

    def _segment(
        self,
        source_port: int,
        destination_port: int,
        payload: bytes,
        length: int,
        number: int,
        forward: bool,
        remaining: int,
        last: bool,
    ) -> Told | None:
        followed = self._streams.pop(number, None)
        reader: Reader | None = None
        if followed is not None:
            side = followed.sides[forward]
            if side.reader is not None:
                if remaining:
                    reader = side.reader
                else:
                    self._held -= len(side.held)
                    side.clear()
        if reader is None:
            reader = _reader(source_port, destination_port, payload)
            remaining = 0
        if reader is None:
            if followed is not None:
                self._streams[number] = followed
            return None
        stream = followed or self._follow()
        side = stream.sides[forward]
        before = len(side.held) + len(side.fragment)
        self._streams[number] = stream  # behind all others, which said nothing since
        try:
            told = reader(stream, side, payload, remaining, max(0, length - len(payload)), last)
        finally:
            self._held += len(side.held) + len(side.fragment) - before
        while self._held > _MOST_HELD and self._streams:
            self._forget(next(iter(self._streams)))
        if told is not None and not payload and told[0] in ("", "TCP"):
            return None  # a FIN alone, which ended nothing
        return told

    def _follow(self) -> Stream:
        if len(self._streams) >= self._most_streams:
            self._forget(next(iter(self._streams)))
        return Stream()

    def _forget(self, number: int) -> None:
        stream = self._streams.pop(number, None)
        if stream is not None:
            self._held -= stream.size()


def _datagram(source_port: int, destination_port: int, payload: bytes, length: int) -> Told | None:
    lost = max(0, length - len(payload))
    # Where both ports are known, Wireshark asks the reader of the lower one first.
    port = min(source_port, destination_port)
    if port not in _UDP_PORTS:
        port = max(source_port, destination_port)
    told = None
    if port in dns.PORTS:
        told = dns.describe(payload, lost > 0, dns.PORTS[port])
    elif port == ntp.PORT:
        told = ntp.describe(payload, lost)
    elif port in dhcp.PORTS:
        told = dhcp.describe(payload)
    elif port in dhcp.PORTS6:
        told = dhcp.describe6(payload, lost > 0)
    return None if told is None else (*told, 0)


def describe(transport: int, source_port: int, destination_port: int, payload: bytes, length: int) -> Told | None:
    """As Applications.describe, of a payload whose connection is not followed."""
    return Applications(1).describe(transport, source_port, destination_port, payload, length)
