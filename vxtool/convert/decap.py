"""Inner frames out of a tunnel: each datagram once, as it was first seen in one."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from vxtool.capture import container
from vxtool.capture.container import Interface
from vxtool.capture.writer import PcapngWriter
from vxtool.convert.choose import (
    Mark,
    Marks,
    Numbered,
    interface_label,
    mark_sightings,
    read_again,
    start_of,
    way_of,
)
from vxtool.convert.comments import MARK, write_pairs
from vxtool.convert.unwrap import Fragments, Tunnel, fragment_key, unwrap
from vxtool.engine.frame import EN10MB, ETHERTYPE_IPV4, ETHERTYPE_IPV6, ETHERTYPE_TEB, UDP, read_underlay
from vxtool.engine.tables import BROADCAST, IN, MULTICAST, OTHER, OUT, PLAIN, WHOLE
from vxtool.engine.wears import PORT_NAMES, VXLAN

if TYPE_CHECKING:
    from vxtool.analysis.knowledge import Knowledge
    from vxtool.analysis.model import Input
    from vxtool.analysis.outcomes import Judge, Judged
    from vxtool.engine.tables import Tables

RAW = 101
_LINK_TYPES = {ETHERTYPE_TEB: EN10MB, ETHERTYPE_IPV4: RAW, ETHERTYPE_IPV6: RAW}
DIRECTIONS = {
    IN: container.IN,
    OUT: container.OUT,
    BROADCAST: container.IN_BROADCAST,
    MULTICAST: container.IN_MULTICAST,
    OTHER: container.FOREIGN,
}
_NANOSECONDS = 9
_USUAL_FLAGS = bytes.fromhex("08000000")
_MOST_OPEN = 65_536  # fragmented datagrams that wait for more at once
_MOST_QUEUED = 16_384  # datagrams that are held behind those
_MOST_TEXTS = 65_536


class Decapsulated(NamedTuple):
    """What was written, and what was not."""

    records: int  # read
    datagrams: int  # written
    incomplete: int  # of them: fragments, or their ends, were not captured
    not_tunnelled: int  # left out: seen in no tunnel
    unwritable: int  # left out: neither a frame nor an IP packet was in the tunnel
    unlisted: int  # left out: more than the engine lists


class _Place(NamedTuple):
    """What datagrams of one bundle have in common."""

    label: str | None
    direction: int
    way: str  # as comments say it


class _Waiting:
    """A datagram in the order of the output; written when it is ready, and all before it."""

    __slots__ = ("found", "fragments", "place", "ready", "tunnel")

    def __init__(self, found: Numbered, place: _Place, fragments: Fragments | None) -> None:
        self.found = found
        self.place = place
        self.fragments = fragments
        self.tunnel: Tunnel | None = None
        self.ready = False


class Decapsulator:
    """Reads the inputs a second time, and writes what was in the tunnel."""

    def __init__(
        self,
        tables: Tables,
        judge: Judge,
        judged: Sequence[Judged],
        knowledge: Knowledge,
        inputs: Sequence[Input],
        ports: Mapping[int, int],
        window: int,
    ) -> None:
        self._inputs = inputs
        self._ports = ports
        self._window = window
        self._written = self._incomplete = self._unwritable = 0
        self._unlisted = tables.counters.unlisted_datagrams
        self._interfaces: dict[tuple[str | None, int], int] = {}
        self._texts: dict[tuple[object, ...], str] = {}
        self._names = [write_pairs({"input": item["path"]}) for item in inputs]
        self._queue: deque[_Waiting] = deque()
        self._most_queued = _MOST_QUEUED
        self._groups: dict[tuple[object, ...], Fragments] = {}  # oldest first
        self._waiting: dict[tuple[object, ...], _Waiting] = {}
        self._places: dict[int, _Place] = {}
        self._fragmented = False
        self._not_tunnelled = 0
        # Of what was put into the tunnel by the machine that captured, the first record shows none: those bundles,
        # and which of their datagrams were written, by first record, for as long as more of them may come.
        self._late: set[int] = set()
        self._done: OrderedDict[tuple[int, int], int] = OrderedDict()
        for item in judged:
            stage = next((one for one in (start_of(item.route), *item.route.stages) if one.wear != PLAIN), None)
            if not item.route.tunnelled or stage is None:
                self._not_tunnelled += item.bundle.datagrams
                continue
            if stage is not start_of(item.route):
                self._late.add(item.number)
            self._places[item.number] = _Place(
                interface_label(stage.interface, knowledge, tables),
                DIRECTIONS.get(stage.direction, container.UNKNOWN),
                write_pairs(
                    {
                        **way_of(item.route, knowledge, tables),
                        "outcome": item.outcome,
                        "reason": item.reason,
                    }
                ),
            )
            self._fragmented |= any(one.form != WHOLE and one.wear != PLAIN for one in item.route.stages)
        self._marks = [Marks() for _ in inputs]
        if self._places:
            from vxtool.engine.answers import Wanted

            late = [Marks() for _ in inputs]
            for datagram in judge.bundles.datagrams(Wanted(set(self._places))):
                _, index, record = datagram.sample
                marks = late if datagram.bundle in self._late else self._marks
                marks[index].add(record, datagram.bundle, record, index)
            if self._late:
                mark_sightings(tables, late, loops=False)
            for marks_of, others in zip(self._marks, late, strict=True):
                marks_of.add_all(others)

    def write(self, target: str | BinaryIO) -> Decapsulated:
        records = 0
        with PcapngWriter(target) as self._writer:
            for found in read_again(self._inputs):
                records += 1
                mark = self._marks[found.input].next(found.number)
                if mark is not None and mark.note in self._late:
                    self._take_late(found, mark)
                elif mark is not None:
                    self._take(found, self._places[mark.note])
                elif self._fragmented:
                    self._take_fragment(found, None)
                if self._groups:
                    self._expire(found.record.time_ns)
                self._flush()
            for key in list(self._groups):
                self._end(key)
            self._flush()
        return Decapsulated(
            records, self._written, self._incomplete, self._not_tunnelled, self._unwritable, self._unlisted
        )

    def _take(self, found: Numbered, place: _Place) -> None:
        record = found.record
        tunnel = unwrap(record.data, record.length, found.interface.link_type, self._ports)
        if tunnel is None:
            self._take_fragment(found, place)
            return
        waiting = _Waiting(found, place, None)
        waiting.tunnel, waiting.ready = tunnel, True
        self._queue.append(waiting)

    def _take_late(self, found: Numbered, mark: Mark) -> None:
        """Take the first record of a datagram that shows its tunnel."""
        key, time = (mark.input, mark.first), found.record.time_ns
        while self._done and (
            len(self._done) > _MOST_OPEN or time - next(iter(self._done.values())) > 2 * self._window
        ):
            self._done.popitem(last=False)
        if key not in self._done and self._shows_tunnel(found):
            self._done[key] = time
            self._take(found, self._places[mark.note])

    def _shows_tunnel(self, found: Numbered) -> bool:
        record = found.record
        if unwrap(record.data, record.length, found.interface.link_type, self._ports) is not None:
            return True
        read = read_underlay(record.data, record.length, found.interface.link_type, record.direction)
        if read is None or not read[1].more_fragments or read[1].protocol != UDP:
            return False
        port = record.data[read[1].payload + 2 : read[1].payload + 4]
        return self._ports.get(int.from_bytes(port, "big"), PLAIN) != PLAIN

    def _take_fragment(self, found: Numbered, place: _Place | None) -> None:
        """Take a first fragment that is wanted, or with no `place` a record that may be a tail of one."""
        record = found.record
        read = read_underlay(record.data, record.length, found.interface.link_type, record.direction)
        if read is None or not (read[1].fragment_offset or read[1].more_fragments):
            self._unwritable += place is not None
            return
        frame, ip, end = read
        key = (found.input, record.interface, *fragment_key(frame, ip))
        if not ip.fragment_offset and key in self._groups and (self._groups[key].unwanted or key in self._waiting):
            self._end(key)  # its identification has come round
        group = self._groups.get(key)
        if group is None:
            if len(self._groups) == _MOST_OPEN:
                self._end(next(iter(self._groups)))
            group = self._groups[key] = Fragments(record.time_ns)
        if place is None and not ip.fragment_offset:
            group.drop()
        group.add(ip, record.data, end)
        if place is not None:
            waiting = self._waiting[key] = _Waiting(found, place, group)
            self._queue.append(waiting)
        if group.whole and key in self._waiting:
            self._end(key)

    def _expire(self, time: int) -> None:
        """No more is waited for after a window."""
        while self._groups:
            key, group = next(iter(self._groups.items()))
            if time - group.started <= self._window:
                break
            self._end(key)

    def _end(self, key: tuple[object, ...]) -> None:
        group = self._groups.pop(key)
        waiting = self._waiting.pop(key, None)
        if waiting is not None:
            waiting.tunnel, waiting.ready = group.tunnel(self._ports), True

    def _flush(self) -> None:
        queue = self._queue
        while queue and queue[0].ready:
            self._put(queue.popleft())
        # Where too many would be held for those that are not, order gives way: every packet has its time.
        if len(queue) > self._most_queued:
            for waiting in queue:
                if waiting.ready:
                    self._put(waiting)
            self._queue = deque(waiting for waiting in queue if not waiting.ready)
            self._most_queued = max(_MOST_QUEUED, 2 * len(self._queue))

    def _put(self, waiting: _Waiting) -> None:
        tunnel, place, found = waiting.tunnel, waiting.place, waiting.found
        link_type = _LINK_TYPES.get(tunnel.ethertype) if tunnel is not None else None
        if tunnel is None or link_type is None:
            self._unwritable += 1
            return
        missing = tunnel.inner_length - len(tunnel.inner)
        count = waiting.fragments.count if waiting.fragments is not None else 1
        comment = f"{MARK}{self._worn(tunnel)}{place.way}{self._names[found.input]} record={found.number}"
        if count > 1 or missing:
            comment += write_pairs({"fragments": count if count > 1 else None, "missing": missing or None})
        interface = self._interfaces.get((place.label, link_type))
        if interface is None:
            described = Interface(link_type, 0, place.label, resolution=_NANOSECONDS)
            interface = self._writer.add_interface(described)
            self._interfaces[place.label, link_type] = interface
        self._writer.write(
            found.record.time_ns, tunnel.inner, tunnel.inner_length, interface, place.direction, comment
        )
        self._written += 1
        self._incomplete += missing > 0

    def _worn(self, tunnel: Tunnel) -> str:
        """What the comment says of the tunnel, which is the same for all of a flow."""
        key = tunnel[:6]
        text = self._texts.get(key)
        if text is None:
            if len(self._texts) == _MOST_TEXTS:
                self._texts.clear()
            header = tunnel.header
            usual = tunnel.wear == VXLAN and header[:4] == _USUAL_FLAGS and not header[7]
            text = self._texts[key] = write_pairs(
                {
                    "tunnel": PORT_NAMES[tunnel.wear],
                    "source": str(ip_address(tunnel.source)),
                    "source_port": tunnel.source_port,
                    "destination": str(ip_address(tunnel.destination)),
                    "destination_port": tunnel.destination_port,
                    "vni": tunnel.vni,
                    "header": None if usual else header.hex(),
                }
            )
        return text
