"""A list of packets in plain Python: the twin of native/list.c, and of `vxtool._native.Lister`.

An engine has seen the records before: which is the first of which datagram, and which a further sighting, is given
in arrays. Here each record is read once more, in the order in which the engine took them, and those that are wanted
get a line.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from vxtool.engine.answers import RECORD_BITS
from vxtool.engine.tables import BROADCAST, IN, MULTICAST, OTHER, OUT
from vxtool.listing.applications import may_begin
from vxtool.listing.echoes import Echoes
from vxtool.listing.facts import Facts
from vxtool.listing.fields import Column
from vxtool.listing.filter import LEAST, MOST, Filter, Program
from vxtool.listing.fragments import Fragments
from vxtool.listing.line import DELTA, UNKNOWN_PARTY, Line, Look, Party, write
from vxtool.listing.records import Intakes
from vxtool.listing.seen import TELLS_FRAGMENT, TELLS_TCP, TELLS_UDP, End, Seen, read, segment_of
from vxtool.listing.spot import spot_of
from vxtool.listing.streams import (
    FAST_RETRANSMISSION,
    KEEP_ALIVE,
    LOST_SEGMENT,
    RETRANSMISSION,
    SPURIOUS_RETRANSMISSION,
    ZERO_WINDOW_PROBE,
    Progress,
    Segment,
    StreamNote,
    Streams,
)
from vxtool.packet.decoder import Places, decode_with_places
from vxtool.packet.ipv4 import IPv4
from vxtool.packet.ipv6 import FRAGMENT, IPv6, extension_size

if TYPE_CHECKING:
    from vxtool.capture.container import Record

MOST_STREAMS = 1 << 18
MOST_FRAGMENTED = 4096
MOST_ECHOES = 65_536
MOST_HOPS = 4

_AGAIN = RETRANSMISSION | FAST_RETRANSMISSION | SPURIOUS_RETRANSMISSION | KEEP_ALIVE | ZERO_WINDOW_PROBE
_RECORD_MASK = (1 << RECORD_BITS) - 1
_UDP, _UDP_HEADER, _IPV6_HEADER, _FIN = 17, 8, 40, 1
_WAYS = {IN: "in", BROADCAST: "in", MULTICAST: "in", OUT: "out", OTHER: "other"}


class _Standing(Enum):
    """How a record stands to its datagram."""

    FIRST = auto()
    TAIL = auto()  # a fragment that belongs to its first
    FURTHER = auto()  # of a further sighting
    APART = auto()  # it has none


class Lister:
    """See vxtool/listing/native/list.h; arguments are those of the native one, but for the filter."""

    def __init__(
        self,
        paths: Sequence[bytes],
        ports: Sequence[tuple[int, bool]],
        arrays: Sequence[Any],
        ways: Sequence[tuple[bytes | None, bytes | None, bytes | None]],
        columns: Sequence[Sequence[Any]],
        questions: Sequence[Callable[..., Any]],
        filter: Program | None,
        format: int,
        time: int,
        time_digits: int,
        all: bool,
        color: bool,
        ask_names: bool,
        ask_identities: bool,
        vni_is_network: bool,
        vni_is_identity: bool,
        way_width: int,
        tail_width: int,
        info_room: int,
        indent: int,
        most: int,
        seed: int,
    ) -> None:
        self._look = Look(
            list(map(_text, paths)),
            [Column(*column) for column in columns],
            format,
            time,
            time_digits,
            color,
            way_width,
            tail_width,
            info_room,
            indent,
        )
        self._ports = {port: "geneve" if is_geneve else "vxlan" for port, is_geneve in ports}
        where, self._bundle, self._latency, self._length, self._vni, *pairs, self._way_of, outcomes = arrays
        sighted, first, tails, heads = pairs
        self._where = where
        self._datagrams = {each: number for number, each in enumerate(where)}
        self._sighted = _pairs(sighted, first)
        self._tails = _pairs(tails, heads)
        self._outcome_of = outcomes
        self._ways = [tuple(map(_text_or_none, way)) for way in ways]
        self._ask_party, self._ask_identity, self._ask_interface, self._ask_direction, self._ask_message = questions
        self._filter = None if filter is None else Filter(filter)
        self._all = all
        self._asks_names = ask_names
        self._asks_identities = ask_identities
        self._vni_is_network = vni_is_network
        self._vni_is_identity = vni_is_identity
        self._most = most
        self._intakes = Intakes(len(paths))
        self._numbers = [0] * len(paths)
        self._streams = Streams(MOST_STREAMS)
        # Datagrams whose first record stands in the file behind a further sighting, as where each processor wrote
        # its own records: their segments were taken there, and this is what is to be said of them.
        self._overtaken: dict[int | None, StreamNote] = {}
        self._fragments = Fragments(MOST_FRAGMENTED)
        self._echoes = Echoes(MOST_ECHOES)
        self._stages: dict[tuple[object, ...], int] = {}
        self._first_time: int | None = None
        self._last_line = 0
        self._text: list[str] = []
        self.lines = 0

    def feed(self, input: int, data: bytes | memoryview, /) -> bytes:
        self._intakes.feed(input, data)
        return self._list()

    def end(self, input: int, /) -> bytes:
        self._intakes.end(input)
        return self._list()

    def wants(self) -> int | None:
        return None if self._is_full else self._intakes.wants()

    @property
    def _is_full(self) -> bool:
        return 0 < self._most <= self.lines

    def _list(self) -> bytes:
        """The lines of all records that can be read."""
        if not self._is_full:
            for index, record in self._intakes.records():
                self._take(index, record)
                if self._is_full:
                    break
        text = "".join(self._text)
        self._text.clear()
        return text.encode("utf-8", "surrogateescape")

    def _take(self, index: int, record: Record) -> None:
        self._numbers[index] += 1
        number = self._numbers[index]
        if self._first_time is None:
            self._first_time = record.time_ns
        where = index << RECORD_BITS | number
        standing, datagram = self._find_datagram(where)
        is_shown = self._all or standing not in (_Standing.FURTHER, _Standing.TAIL)
        if not is_shown and not self._overtakes(standing, where, datagram):
            return
        seen = self._read(index, record, standing, datagram)
        note = self._follow_stream(seen, standing, record, where, datagram)
        if not is_shown:
            return
        line = Line(seen, note, number, index, record.time_ns, protocol=seen.protocol)
        if standing is not _Standing.FURTHER:
            line.request = self._echoes.take(seen, number)
            self._follow_messages(seen, note, line)
        if datagram is not None:
            bundle = self._bundle[datagram]
            line.latency = self._latency[datagram]
            line.datagram = self._where[datagram] & _RECORD_MASK
            line.outcome = self._outcome_of[bundle]
            line.ingress, line.egress, line.interfaces = self._ways[self._way_of[bundle]]
        if self._all or datagram is None:
            self._tell_spot(record, datagram, line)
        self._write(line)

    def _find_datagram(self, where: int) -> tuple[_Standing, int | None]:
        if where in self._datagrams:
            return _Standing.FIRST, self._datagrams[where]
        first = self._sighted.get(where)
        is_tail = first is None
        if first is None:
            first = self._tails.get(where)
        for hop in range(MOST_HOPS):
            if first is None:
                break
            if first in self._datagrams:
                standing = _Standing.TAIL if is_tail and hop == 0 else _Standing.FURTHER
                return standing, self._datagrams[first]
            first = self._sighted.get(first) or self._tails.get(first)
        return _Standing.APART, None

    def _read(self, index: int, record: Record, standing: _Standing, datagram: int | None) -> Seen:
        link_type = self._intakes.interface(index, record.interface).link_type
        seen = read(record.data, record.length, link_type, self._ports)
        if seen.tells != TELLS_FRAGMENT:
            return seen
        # One line for a datagram tells of all of it; one for each record, when it is complete.
        if not self._all and standing is _Standing.FIRST and datagram is not None:
            seen = self._as_whole(seen, record, link_type, self._length[datagram])
        if seen.tells != TELLS_FRAGMENT:
            return seen
        stage = 0
        if self._all:
            key = index, record.interface, spot_of(record, link_type)
            stage = self._stages.setdefault(key, len(self._stages) + 1)
        return self._fragments.take(seen, stage, self._ports)

    def _as_whole(self, seen: Seen, record: Record, link_type: int, length: int) -> Seen:
        """A record whose outermost packet is the first of several fragments, as if it were the whole, of which the
        rest was not captured. `length` is the whole's where it holds no tunnel."""
        data = bytearray(record.data)
        at = _place_of_ip(decode_with_places(record.data, link_type, record.length, self._ports))
        if at is None:
            return seen
        start, size, version = at
        payload = start + size
        if version == 4:
            if not data[start + 6] & 0x20 or int.from_bytes(data[start + 6 : start + 8], "big") & 0x1FFF:
                return seen
            data[start + 6] &= 0xDF
            protocol, field, base = data[start + 9], start + 2, 0
        else:
            header = _fragment_header(bytes(data[start:payload]))
            if header is None or int.from_bytes(data[start + header + 2 : start + header + 4], "big") & 0xFFF9 != 1:
                return seen
            data[start + header + 3] &= 0xFE
            protocol, field, base = data[start + header], start + 4, _IPV6_HEADER
            length += 8 if length else 0  # the engine leaves that header out
        before = int.from_bytes(data[field : field + 2], "big") + base
        after = length
        if protocol == _UDP and payload + _UDP_HEADER <= len(data):
            after = size + int.from_bytes(data[payload + 4 : payload + 6], "big")
        if after < before or after - base > 0xFFFF:
            return seen
        data[field : field + 2] = (after - base).to_bytes(2, "big")
        length_of_all = min(record.length + after - before, 0xFFFF_FFFF)
        whole = read(bytes(data), length_of_all, link_type, self._ports)
        whole.length = record.length
        return whole

    def _overtakes(self, standing: _Standing, where: int, datagram: int | None) -> bool:
        """Whether a further sighting is met before its datagram's first record, and before any other."""
        if standing is not _Standing.FURTHER or datagram is None:
            return False
        first = self._where[datagram]
        return (
            first > where and first >> RECORD_BITS == where >> RECORD_BITS and datagram not in self._overtaken
        )

    def _follow_stream(
        self, seen: Seen, standing: _Standing, record: Record, where: int, datagram: int | None
    ) -> StreamNote | None:
        found = segment_of(seen)
        if found is None:
            return None
        network = -1
        if self._vni_is_network:
            network = seen.network if datagram is None else self._vni[datagram]
        segment = Segment(record.time_ns, where & _RECORD_MASK, network, *found)
        if datagram is not None and self._overtakes(standing, where, datagram):
            note = self._overtaken[datagram] = self._streams.take(segment)
            return note._replace(notes=0)  # its first record has them
        if standing is _Standing.FURTHER:
            return self._streams.look(segment)
        if datagram in self._overtaken:
            told, looked = self._overtaken[datagram], self._streams.look(segment)
            return looked and looked._replace(
                notes=told.notes,
                duplicate_of=told.duplicate_of,
                duplicate_number=told.duplicate_number,
            )
        return self._streams.take(segment)

    def _follow_messages(self, seen: Seen, note: StreamNote | None, line: Line) -> None:
        """Ask what a datagram that is met for the first time tells of applications, if it is worth it."""
        progress: Progress | None = None
        payload, length = seen.payload or b"", seen.payload_length
        stream, forward, remaining, last = 0, False, 0, False
        if seen.tells == TELLS_TCP:
            if note is None or note.notes & _AGAIN or seen.header is None:
                return
            progress = note.progress
            if note.notes & LOST_SEGMENT:
                progress.remaining = 0
            stream, remaining, last = note.stream, progress.remaining, bool(seen.header[13] & _FIN)
            forward = _is_forward(seen)
            if remaining > length and not last:
                progress.remaining -= length
                line.is_part = length > 0
                return
        elif seen.tells != TELLS_UDP:
            return
        if not remaining and not may_begin(seen.transport, seen.source_port, seen.destination_port, payload):
            return
        found = self._ask_message(
            seen.transport,
            seen.source_port,
            seen.destination_port,
            payload,
            length,
            stream,
            forward,
            remaining,
            last,
        )
        if progress is not None:
            progress.remaining = found[2] if found is not None else 0
        if found is None:
            return
        if not found[0]:
            line.is_part = length > 0
            return
        line.protocol, line.message = _text(found[0]), _text(found[1])

    def _tell_spot(self, record: Record, datagram: int | None, line: Line) -> None:
        """Where this one record was seen: "eth1 in". And of one without a datagram, from where or to where it
        went."""
        link_type = self._intakes.interface(line.input, record.interface).link_type
        spot = spot_of(record, link_type)
        label: str | None = None
        if not spot.is_any:
            number, interface = (0, 0) if spot.interface_index >= 0 else (line.input, record.interface)
            label = _text_or_none(self._ask_interface(spot.interface_index, number, interface))
        direction = spot.direction
        if spot.macs and datagram is not None:
            direction = self._ask_direction(self._bundle[datagram], line.input, record.interface, spot.macs)
        way = _WAYS.get(direction, "")
        if datagram is None:
            line.ingress = label if way == "in" else None
            line.egress = label if way == "out" else None
        line.interfaces = " ".join(filter(None, (label, way))) or None

    def _write(self, line: Line) -> None:
        seen = line.seen
        ends: list[End | None] = [seen.source, seen.destination, seen.outer_source, seen.outer_destination]
        parties = [
            self._party(end) if self._asks_names and (place < 2 or self._filter is not None) else UNKNOWN_PARTY
            for place, end in enumerate(ends)
        ]
        line.source, line.destination = parties[:2]
        of_vni = self._vni_is_identity and seen.vni >= 0
        identity = seen.vni if of_vni else line.source.identity
        first_time = self._first_time or 0
        if self._filter is not None and not self._filter.holds(
            Facts(
                seen=seen,
                note=line.note,
                record=line.number,
                input=line.input,
                time_ns=line.time_ns,
                relative_ns=_between(first_time, line.time_ns),
                latency_ns=line.latency if line.latency >= 0 else None,
                protocol=line.protocol,
                source_pod=line.source.pod,
                destination_pod=line.destination.pod,
                source_node=parties[2].node if parties[2].node is not None else line.source.node,
                destination_node=parties[3].node if parties[3].node is not None else line.destination.node,
                ingress=line.ingress,
                egress=line.egress,
                source_identity=identity,
                destination_identity=line.destination.identity,
                outcome=line.outcome,
            )
        ):
            return
        if self._asks_identities and identity >= 0:
            line.identity = _text_or_none(self._ask_identity(identity))
        since = first_time
        if self._look.time == DELTA:
            since = self._last_line if self.lines else line.time_ns
        line.shown_ns = _between(since, line.time_ns)
        self._last_line = line.time_ns
        self._text.append(write(self._look, line, not self.lines))
        self.lines += 1

    def _party(self, end: End | None) -> Party:
        if end is None or len(end.octets) not in (4, 16):
            return UNKNOWN_PARTY
        found = self._ask_party(end.octets)
        if found is None:
            return UNKNOWN_PARTY
        name, pod, node, identity = found
        return Party(_text_or_none(name), _text_or_none(pod), _text_or_none(node), identity)


def _between(first: int, last: int) -> int:
    """From one time to another, in ns; what is beyond 64 bits is the most that they hold."""
    return min(max(last - first, LEAST), MOST)


def _text(text: bytes) -> str:
    return text.decode("utf-8", "surrogateescape")


def _text_or_none(text: bytes | None) -> str | None:
    return None if text is None else _text(text)


def _pairs(where: Sequence[int], first: Sequence[int]) -> dict[int, int]:
    """Of a record that is of several datagrams, the first is the one."""
    return dict(zip(reversed(where), reversed(first), strict=True))


def _is_forward(seen: Seen) -> bool:
    """One of the two directions of a connection, always the same."""
    if seen.source is None or seen.destination is None:
        return False
    mine, theirs = (seen.source.octets, seen.source_port), (seen.destination.octets, seen.destination_port)
    return mine < theirs


def _place_of_ip(places: Places) -> tuple[int, int, int] | None:
    """Where the outermost IP header begins, its size with extension headers, and its version."""
    ends = (*places.starts[1:], places.payload)
    for layer, start, end in zip(places.packet.layers, places.starts, ends, strict=True):
        if isinstance(layer, IPv4 | IPv6):
            return start, end - start, 4 if isinstance(layer, IPv4) else 6
    return None


def _fragment_header(header: bytes) -> int | None:
    """Where in an IPv6 header with its extension headers that of a fragment begins."""
    protocol, at = header[6], _IPV6_HEADER
    while at + 8 <= len(header):
        if protocol == FRAGMENT:
            return at
        protocol, at = header[at], at + extension_size(protocol, header[at:])
    return None
