"""The engine in plain Python: the specification that the C engine is held against.

Bytes are pushed in, input by input; records are taken in order of time across inputs. Each record becomes a
sighting of a datagram, sightings with equal keys are joined into journeys, and a journey that closes is counted in
the tables. Nothing is kept for longer than a journey can still be continued.

The clock that closes journeys is the forward motion of the timestamps, summed: it never runs back, and one wild
timestamp closes what is open and no more. Differences of that clock do not depend on where a capture is cut, which
is what lets the tables of consecutive parts merge to exactly what one pass gives. A part that is not the first
holds back every sighting that an earlier part's journeys could still claim: those whose key was seen within reach
of the part's start, and has been seen again and again since without a gap. `merge` replays them.
"""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Iterable, Mapping
from copy import copy
from functools import partial
from typing import NamedTuple, TypeVar

from vxtool.capture.container import Container, Record
from vxtool.engine.frame import (
    CUT,
    DATAGRAM,
    GROUP_POLICY,
    INVALID_HEADER,
    LINUX_SLL,
    LINUX_SLL2,
    MALFORMED,
    NESTED,
    NO_TUNNEL,
    NON_IP_FRAME,
    RESERVED_BITS,
    TAIL,
    TCP,
    UNKNOWN_LINK,
    VERIFIED_CHECKSUM,
    WRONG_CHECKSUM,
    Frame,
    key_budget,
    read_frame,
)
from vxtool.engine.options import EngineOptions
from vxtool.engine.quote import read_quote
from vxtool.engine.segments import LONGEST_PACKET, Hop, Loose, decide
from vxtool.engine.tables import (
    ACKNOWLEDGED,
    ANY_VNI,
    AT_END,
    AT_START,
    EXACT_LATENCIES,
    FIRST_ONLY,
    FOLDED,
    FOLDED_ICMP,
    FOLDED_OUTER,
    FOLDED_OUTER_ICMP,
    FRAGMENTS,
    IN,
    INGRESS,
    JOINED,
    LARGE,
    LOOPED,
    MOST_DOUBTFUL,
    MOST_TOO_BIG,
    NON_IP,
    OF_UDP,
    OTHER_FLOWS,
    OUT,
    OVERTAKEN,
    PARTIAL,
    PLAIN,
    SAMPLE_KINDS,
    SAMPLES,
    SEGMENTED,
    SEVERAL_PORTS,
    TIMELINE_STEPS,
    TRANSLATED,
    UDP,
    UNKNOWN,
    WHOLE,
    Cell,
    Counters,
    DatagramRow,
    FirstFragments,
    FlowKey,
    FlowRow,
    InputRow,
    InterfaceKey,
    InterfaceRow,
    Latencies,
    PathKey,
    Sample,
    SightingRow,
    Stage,
    Tables,
    TooBig,
    TooBigRow,
    TunnelRow,
    is_folded,
    latency_bucket,
    most_ends,
    timeline_step,
)

LONGEST_TIME = (1 << 63) - 1  # ns, that a row holds
_FLAGS = ("folded_places", "folded_paths", "folded_ports")  # of the counters: 1 where some were
LONGEST_IP = 40 + 65535  # of IPv6 without a jumbo payload, put together from fragments
MOST_STAGES = 16  # of one journey
MOST_VNIS = 8  # under which the same ends send and doubtful journeys are weighed
MOST_RANGES = 32  # gaps in one flow's sequence space that are kept apart
LARGE_WEIGHT = 4  # so many journeys count as one that has more than FEW_SIGHTINGS
FEW_SIGHTINGS = 2
_FLOW_HASHES = 65521  # the largest prime below 2^16
LOOSE_PART, UNDECIDED_PART, DOUBTFUL_PART = 2, 4, 4  # of `most_journeys`, that may wait: one in so many
SMALL_SIZES = 1536  # inner sizes below this are all kept
FEW_PORTS = 12  # source ports of a tunnel that are counted in any case
TUNNELS_OF_A_PORT_SET, FLOWS_OF_A_RANGE_SET = 4, 8  # one in so many has room for more, or for gaps
SHORTEST_END = 1_000_000  # ns: what came in this shortly before the end may have gone out after it

# Which records are kept as evidence of what is odd about them.
_ODD_SAMPLES = (
    (INVALID_HEADER, "invalid-header"),
    (GROUP_POLICY | RESERVED_BITS, "reserved-bits"),
    (NO_TUNNEL, "no-tunnel"),
    (NESTED, "nested"),
    (WRONG_CHECKSUM, "wrong-checksum"),
)

_SYN, _ACK = 0x02, 0x10  # RFC 9293, section 3.1

_Key = TypeVar("_Key")
_Place = tuple[InterfaceKey, int, int, bool, bytes]
_Ends = tuple[bool, int, bytes, int, bytes, int]  # in a tunnel; protocol, addresses and ports as in FlowKey

# As Sample._make, without a Python call for each.
_sample = partial(tuple.__new__, Sample)


class _Sighting:
    """One datagram at one stage: a record, or the records of its fragments."""

    __slots__ = (
        "clock",
        "closed",
        "covered",
        "frame",
        "inner_length",
        "looped",
        "order",
        "outer_length",
        "overtaken",
        "packets",
        "place",
        "sample",
        "ttl",
        "wire_bytes",
    )

    def __init__(
        self, frame: Frame, interface: InterfaceKey, macs: bytes, sample: Sample, clock: int, order: int
    ) -> None:
        self.frame = frame
        self.place: _Place = (interface, frame.direction, frame.wear, frame.loopback, macs)
        self.sample = sample
        self.clock = clock
        self.order = order
        self.ttl = frame.outer_ttl  # the lowest at this stage
        self.packets = 1
        self.covered = frame.covered
        self.wire_bytes = frame.wire_length
        self.inner_length = frame.inner_length
        self.outer_length = frame.outer_length
        self.closed = False
        self.looped = False  # seen again at this stage with a lower TTL
        self.overtaken = False  # as the first fragment, by one that came before it

    @property
    def time(self) -> int:
        return self.sample.time


class _Tails:
    """Tail fragments of one datagram at one stage, whose first fragment may still come."""

    __slots__ = ("clock", "covered", "key", "order", "packets", "sample", "wire_bytes")

    def __init__(self, key: tuple[object, ...], frame: Frame, sample: Sample, clock: int, order: int) -> None:
        self.key = key
        self.sample = sample
        self.clock = clock
        self.order = order
        self.packets = 1
        self.covered = frame.covered
        self.wire_bytes = frame.wire_length


class _Large:
    """That a flow had a super-frame, of which no direction is told."""

    __slots__ = ("clock", "flow_hash", "order")

    def __init__(self, sighting: _Sighting) -> None:
        self.flow_hash = _flow_hash(sighting.frame)
        self.clock = sighting.clock
        self.order = sighting.order


class _Group:
    """The fragments of one datagram at one stage: its first fragment's sighting once seen, tails until then."""

    __slots__ = ("clock", "pending", "sighting")

    def __init__(self, clock: int) -> None:
        self.clock = clock
        self.sighting: _Sighting | None = None
        self.pending: list[_Tails] = []


class _Journey:
    __slots__ = ("clock", "closed", "evicted", "key", "order", "outer_id", "settled", "sightings")

    def __init__(self, sighting: _Sighting) -> None:
        frame = sighting.frame
        self.key = frame.key
        self.clock = sighting.clock
        self.order = sighting.order
        self.settled: int | None = None
        self.closed = False
        self.evicted = False  # counted among those for which there was no room
        self.outer_id = frame.outer_id  # 0 of what is plain
        self.sightings = [sighting]

    def add(self, sighting: _Sighting) -> None:
        self.sightings.append(sighting)
        if not self.outer_id:
            self.outer_id = sighting.frame.outer_id

    def weight(self) -> int:
        return LARGE_WEIGHT if len(self.sightings) > FEW_SIGHTINGS else 1

    def is_settled(self) -> bool:
        """Came in and went out, as far as directions are known."""
        came_in = went_out = False
        for sighting in self.sightings:
            direction = sighting.place[1]
            if direction == UNKNOWN:
                return len(self.sightings) > 1
            went_out |= direction == OUT
            came_in |= direction != OUT
        return came_in and went_out


class _Sides(NamedTuple):
    ingress: _Sighting | None
    egress: _Sighting | None
    directions: list[int]  # of each sighting, inferred where the capture does not tell


class _Cut(NamedTuple):
    """What a super-frame was cut into."""

    packets: int
    left: int  # how many of them went out as a whole, as far as was seen, and
    fragmented: int  # how many in fragments
    segment: int  # bytes of UDP data in each but the last; 0 of TCP


class _Chain:
    """The open journeys of one key.

    In a flood of equal packets of which one side is seen, no journey takes another of their sightings. What has
    been looked at once is not looked at again: all journeys up to `held_order` hold `held_place` (or are full), and
    none has a TTL there above `held_ttl`. That stays so: journeys only gain stages, and stages only lower TTLs.
    """

    __slots__ = ("held_order", "held_place", "held_ttl", "journeys")

    def __init__(self) -> None:
        self.journeys: dict[_Journey, None] = {}  # oldest first
        self.held_place: _Place | None = None
        self.held_ttl = 0
        self.held_order = 0


class _Path:
    """One path, by whose identity all that is counted along it is found."""

    __slots__ = ("flows", "key", "latencies")

    def __init__(self, key: PathKey) -> None:
        self.key = key
        self.latencies = Latencies(0, 0, 0, 0, {}, [])
        self.flows: dict[tuple[object, ...], tuple[FlowRow, Cell]] = {}  # what is known of those that took it


class PureEngine:
    """See `vxtool.engine.Engine` for the interface that both engines share."""

    name = "pure"

    def __init__(self, options: EngineOptions) -> None:
        self._options = options
        self._most_cells = options.most_flows + options.most_flows // 2 + options.most_paths
        self._part = options.part
        self._containers = [Container() for _ in range(options.inputs)]
        self._queues: list[deque[Record]] = [deque() for _ in range(options.inputs)]
        self._ended = [False] * options.inputs
        self._record_numbers = [0] * options.inputs
        self._earlier_records = [0] * options.inputs  # of parts that were merged in
        self._earlier_bytes = [0] * options.inputs
        self._earlier_names: dict[str, str] = {}
        self._budget: int | None = None
        self._bytes = [0] * options.inputs

        self._clock = 0
        self._order = 0
        self._first_record: Sample | None = None
        self._last_record_time: int | None = None
        self._first_time: int | None = None
        self._last_time: int | None = None

        self._chains: dict[tuple[object, ...], _Chain] = {}
        self._open: deque[_Journey] = deque()
        self._settled: deque[_Journey] = deque()
        self._open_count = 0  # by their weights
        self._loose_weight = 0
        self._pending_tails = 0  # that wait for their first fragment
        self._undecided: list[_Journey] = []  # went out right after the start
        self._doubtful: list[_Journey] = []  # came in and not out, and may be acknowledged
        self._loose: list[Loose[_Journey, _Sighting]] = []  # closed, and may be of one super-frame
        self._loose_clock = 0  # when they were last looked at
        self._directions: set[int] = set()  # of all sightings so far
        # When flows last had super-frames of which no direction is told, by their hashes.
        self._may_be_cut: dict[int, int] = {}
        self._groups: dict[tuple[object, ...], _Group] = {}
        self._group_order: deque[tuple[tuple[object, ...], _Group]] = deque()

        self._attached: dict[tuple[object, ...], int] = {}
        self._held: list[_Sighting | _Tails | _Large] = []
        self._last_held: int | None = None  # the clock of the last of them that may be of a super-frame

        self._counters = Counters()
        self._places: set[_Place] = set()  # with MACs
        self._several_ranges: set[int] = set()  # flows that have had more than one range, by identity
        self._port_sets: set[tuple[bytes, bytes, int, int]] = set()  # tunnels with more source ports than a few
        self._tunnel_keys: set[tuple[bytes, bytes, int, int]] = set()  # all that were met
        self._interface_keys: dict[tuple[int, int, int], InterfaceKey] = {}
        self._by_index: dict[int, InterfaceKey] = {}  # those of SLL2
        self._interfaces: dict[InterfaceKey, list[int]] = {}  # in, out, unknown
        self._interface_names: dict[InterfaceKey, tuple[str | None, int]] = {}
        self._flows: dict[FlowKey, FlowRow] = {}
        self._cells: dict[tuple[FlowKey, PathKey], Cell] = {}
        self._paths: dict[PathKey, _Path] = {}
        self._usual_paths: dict[tuple[_Place, _Place, int], _Path] = {}  # of two whole sightings
        self._tunnels: dict[tuple[bytes, bytes, int, int], TunnelRow] = {}
        self._overheads: dict[int, int] = {}
        self._sizes: dict[tuple[bool, int], int] = {}
        self._large: dict[tuple[FlowKey, int, int, int], int] = {}
        self._small_sizes: dict[tuple[bool, int], int] = {}  # which need no limit
        self._mss: dict[int, int] = {}
        self._folded_mss: dict[tuple[bool, bool, int], int] = {}
        self._icmp_errors: dict[tuple[bool, int, int, int, int], list[Sample]] = {}
        self._icmp_error_counts: dict[tuple[bool, int, int, int, int], int] = {}
        self._step = timeline_step(0)
        self._step_span = self._step * (TIMELINE_STEPS - 1)  # from here on, steps must be wider
        self._timeline: dict[tuple[int, _Path, bytes], tuple[int, int]] = {}
        self._wrong_checksums: dict[tuple[bytes, bytes], int] = {}
        self._fragments: dict[FirstFragments, int] = {}
        self._fragment_places: set[tuple[object, ...]] = set()
        self._too_big: dict[TooBig, TooBigRow] = {}
        self._samples: dict[str, list[Sample]] = {name: [] for name in SAMPLE_KINDS}
        self._datagrams: list[DatagramRow] = []
        self._sightings: list[SightingRow] = []

    # Bytes in.

    def feed(self, index: int, data: bytes) -> None:
        self._bytes[index] += len(data)
        records = self._containers[index].feed(data)
        if len(self._queues) == 1:  # nothing to compare with
            for record in records:
                self._take(index, record)
        else:
            self._queues[index].extend(records)
            self._take_records()

    def end(self, index: int) -> None:
        self._containers[index].end()
        self._ended[index] = True
        self._take_records()

    def wants(self) -> int | None:
        for index, queue in enumerate(self._queues):
            if not queue and not self._is_over(index):
                return index
        return None

    @property
    def records(self) -> int:
        return self._counters.records

    def _is_over(self, index: int) -> bool:
        return self._ended[index] or self._containers[index].damage is not None

    def _take_records(self) -> None:
        """Take what can be taken: while every input that goes on has a record to compare."""
        queues = self._queues
        while all(queue or self._is_over(index) for index, queue in enumerate(queues)):
            best = -1
            for index, queue in enumerate(queues):
                if queue and (best < 0 or queue[0].time_ns < queues[best][0].time_ns):
                    best = index
            if best < 0:
                return
            self._take(best, queues[best].popleft())

    def _find_budget(self) -> int:
        """What all inputs capture of a packet, going by the interfaces described before each one's first record.

        An input without records counts with all of its interfaces: other parts of it may have some.
        """
        return min(
            key_budget(described.snaplen)
            for container in self._containers
            for described in (
                container.interfaces[: container.first_interfaces] if container.records else container.interfaces
            )
        )

    # One record.

    def _take(self, index: int, record: Record) -> None:
        time, number, data, length, direction = record
        if self._budget is None:
            self._budget = self._find_budget()
        counters = self._counters
        record_number = self._record_numbers[index] + 1
        self._record_numbers[index] = record_number
        sample = _sample((time, index, record_number))
        self._advance(sample)
        counters.records += 1
        if len(data) < length:
            counters.clipped_records += 1
            _keep(self._samples["clipped"], sample)

        described = self._containers[index].interfaces[number]
        link_type = described.link_type
        frame = read_frame(data, length, link_type, direction, self._options.ports, self._budget)
        if link_type == LINUX_SLL2:
            known = self._by_index.get(frame.index)
            if known is None:
                known = self._by_index[frame.index] = self._interface((frame.index, -1, -1), None, link_type)
            interface = known
        elif link_type == LINUX_SLL:
            interface = self._interface((-1, -1, -1), None, link_type)
        else:
            interface = self._interface((-1, index, number), described.name, link_type)
        side = 1 if frame.direction == OUT else 0 if frame.direction in INGRESS else 2
        self._interfaces[interface][side] += 1

        kind = frame.kind
        macs = frame.macs
        if macs and (kind in (DATAGRAM, TAIL)):
            macs = self._known_macs((interface, frame.direction, frame.wear, frame.loopback, macs))
        if frame.malformed or kind == MALFORMED:
            counters.malformed_records += 1
            _keep(self._samples["malformed"], sample)
        if frame.cut or kind == CUT:
            counters.cut_records += 1
            _keep(self._samples["cut"], sample)
        if kind == DATAGRAM and frame.wear != PLAIN:
            self._meet_tunnel(frame)
        if frame.odd:
            self._count_odd_tunnel(frame, sample)
        if kind == DATAGRAM:
            if frame.wear == PLAIN:
                counters.ip_records += 1
            else:
                counters.tunnel_records += 1
            if frame.fragmented:
                self._count_first_fragment(interface, macs, frame)
            if frame.quote is not None:
                self._count_too_big(frame, frame.quote, side, sample)
            self._order = order = self._order + 1
            sighting = _Sighting(frame, interface, macs, sample, self._clock, order)
            if self._part or frame.fragmented:
                self._see(sighting)
            else:
                self._join(sighting)
        elif kind == TAIL:
            counters.tail_fragments += 1
            self._order += 1
            tails = _Tails(self._group_key(frame, interface), frame, sample, self._clock, self._order)
            self._see_tails(tails)
            self._see(_Sighting(frame, interface, macs, sample, self._clock, self._order))
        elif kind == UNKNOWN_LINK:
            counters.unknown_link_records += 1
        elif kind == NON_IP_FRAME:
            counters.non_ip_records += 1

    def _count_first_fragment(self, interface: InterfaceKey, macs: bytes, frame: Frame) -> None:
        first = FirstFragments(interface, frame.direction, frame.wear, frame.wire_length)
        key = (first, frame.loopback, macs)  # in the C engine there is a row for each place
        if key not in self._fragment_places:
            if len(self._fragment_places) >= self._options.most_rows:
                self._counters.folded_details += 1
                return
            self._fragment_places.add(key)
        self._fragments[first] = self._fragments.get(first, 0) + 1

    def _known_macs(self, place: _Place) -> bytes:
        """The MACs of a place, or none beyond the limit."""
        if place not in self._places:
            if len(self._places) >= self._options.most_places:
                self._counters.folded_places = 1
                return b""
            self._places.add(place)
        return place[4]

    def _group_key(self, frame: Frame, interface: InterfaceKey) -> tuple[object, ...]:
        macs = frame.macs and self._known_macs((interface, frame.direction, PLAIN, False, frame.macs))
        return (interface, frame.direction, macs, *frame.fragment_key)

    def _meet_tunnel(self, frame: Frame) -> None:
        """Take one beyond the limit for a tunnel without addresses."""
        key = (frame.outer_source, frame.outer_destination, frame.wear, frame.destination_port)
        if key in self._tunnel_keys:
            return
        if len(self._tunnel_keys) >= self._options.most_tunnels:
            frame.outer_source = frame.outer_destination = b""
            key = (b"", b"", frame.wear, frame.destination_port)
        self._tunnel_keys.add(key)

    def _count_odd_tunnel(self, frame: Frame, sample: Sample) -> None:
        counters, odd = self._counters, frame.odd
        counters.invalid_headers += odd & INVALID_HEADER > 0
        counters.group_policy_headers += odd & GROUP_POLICY > 0
        counters.reserved_bits += odd & RESERVED_BITS > 0
        counters.no_tunnel_records += odd & NO_TUNNEL > 0
        counters.nested_records += odd & NESTED > 0
        counters.verified_checksums += odd & VERIFIED_CHECKSUM > 0
        counters.wrong_checksums += odd & WRONG_CHECKSUM > 0
        if odd & WRONG_CHECKSUM:
            ends = (frame.outer_source, frame.outer_destination)
            self._wrong_checksums[ends] = self._wrong_checksums.get(ends, 0) + 1
        for bits, name in _ODD_SAMPLES:
            if odd & bits:
                _keep(self._samples[name], sample)

    def _count_too_big(self, frame: Frame, quoted: bytes, side: int, sample: Sample) -> None:
        quote = read_quote(quoted, self._options.ports)
        assert frame.icmp_error is not None
        _, source, _, destination, _ = frame.flow
        mtu = frame.icmp_error[3]
        flow = FlowKey(quote.vni, *quote.flow)
        tunnelled = frame.wear != PLAIN
        key = TooBig(tunnelled, source, destination, mtu, quote.source, quote.destination, quote.wear, flow)
        row = TooBigRow(quote.length, side == 0, side == 1, side == 2, sample.time, [sample])
        self._add_too_big(key, row)

    def _add_too_big(self, key: TooBig, more: TooBigRow) -> None:
        row = self._too_big.get(key)
        if row is None:
            if len(self._too_big) == MOST_TOO_BIG:
                self._counters.folded_quotes += more.records_in + more.records_out + more.records_unknown
                return
            row = self._too_big[key] = TooBigRow(last_time=more.last_time)
        row.largest = max(row.largest, more.largest)
        row.records_in += more.records_in
        row.records_out += more.records_out
        row.records_unknown += more.records_unknown
        row.last_time = max(row.last_time, more.last_time)
        for sample in more.samples:
            _keep(row.samples, sample)

    def _interface(self, key: tuple[int, int, int], name: str | None, link_type: int) -> InterfaceKey:
        """The interface of this key, the same object each time."""
        interface = self._interface_keys.get(key)
        if interface is None:
            if len(self._interface_keys) >= self._options.most_places and key[::2] != (-1, -1):
                self._counters.folded_places = 1
                return self._interface((-1, key[1], -1), None, _link_type_of_all(key[1]))
            if key[::2] == (-1, -1):
                link_type = _link_type_of_all(key[1])
            interface = self._interface_keys[key] = InterfaceKey(*key)
            self._interface_names.setdefault(interface, (name, link_type))
            self._interfaces.setdefault(interface, [0, 0, 0])
        return interface

    def _advance(self, sample: Sample) -> None:
        time = sample.time
        last = self._last_record_time
        if last is None:
            self._first_record = sample
            self._first_time = self._last_time = time
        elif time < last:
            self._count_reversed(sample)
            if time < self._first_time:  # type: ignore[operator]  # set with the first record
                self._first_time = time
        else:
            self._clock += time - last
            if time > self._last_time:  # type: ignore[operator]
                self._last_time = time
        self._last_record_time = time
        self._expire(self._clock)

    def _count_reversed(self, sample: Sample) -> None:
        self._counters.time_reversed += 1
        _keep(self._samples["reversed"], sample)

    # Parts: what an earlier part may claim is held back.

    def _is_attached(self, key: tuple[object, ...], clock: int) -> bool:
        """Whether an earlier part may know this key: seen near the start, and since then without a gap."""
        if not self._options.part:
            return False
        reach = self._options.window + self._options.settle
        last = self._attached.get(key)
        if clock <= reach or (last is not None and clock - last <= reach):
            self._attached[key] = clock
            return True
        if last is not None:
            del self._attached[key]
        return False

    def _see(self, sighting: _Sighting) -> None:
        frame = sighting.frame
        if not self._options.part and not frame.fragmented:
            self._join(sighting)
            return
        held = self._is_attached(frame.key, sighting.clock)
        if frame.fragmented:
            group_key = self._group_key(frame, sighting.place[0])
            if self._is_attached(group_key, sighting.clock):
                # Its tails, and so what is known of its datagram, depend on the earlier part.
                if not held:
                    self._take_back(frame.key)
                    self._attached[frame.key] = sighting.clock
                held = True
            else:
                self._open_group(group_key, sighting)
                if held:
                    self._hold_group(group_key, sighting.clock)
        if held:
            self._hold(sighting)
        else:
            self._join(sighting)

    def _hold(self, sighting: _Sighting) -> None:
        self._held.append(sighting)
        self._directions.add(sighting.place[1])
        if _is_large_untold(sighting):
            self._note_large(_Large(sighting))
        if _has_segment(sighting.frame) and (self._last_held is None or sighting.clock > self._last_held):
            self._last_held = sighting.clock

    def _note_large(self, large: _Large) -> None:
        """Where no direction is told, only flows with a super-frame close by wait for its pieces."""
        self._may_be_cut[large.flow_hash] = max(large.clock, self._may_be_cut.get(large.flow_hash, 0))

    def _take_back(self, key: tuple[object, ...]) -> None:
        """Undo what is open of this key: its sightings are held as if they had been from the start."""
        for journey in self._chains.pop(key, _Chain()).journeys:
            journey.closed = True
            self._open_count -= journey.weight()
            for sighting in journey.sightings:
                self._hold(sighting)
                if sighting.frame.fragmented:
                    group_key = self._group_key(sighting.frame, sighting.place[0])
                    group = self._groups.get(group_key)
                    if group is not None and group.sighting is sighting:
                        self._hold_group(group_key, sighting.clock)

    def _hold_group(self, key: tuple[object, ...], clock: int) -> None:
        """Hold the tails that are still to come: how long their datagram is open depends on the earlier part."""
        del self._groups[key]
        self._attached[key] = clock

    def _see_if_large(self, sighting: _Sighting) -> None:
        if _is_large_untold(sighting):
            self._see_large(_Large(sighting))

    def _see_large(self, large: _Large) -> None:
        """Note it. That also concerns what an earlier part has to close."""
        self._note_large(large)
        if self._options.part:
            self._held.append(large)

    def _see_tails(self, tails: _Tails) -> None:
        if self._is_attached(tails.key, tails.clock):
            self._held.append(tails)
        else:
            self._join_tails(tails)

    # Fragments.

    def _open_group(self, key: tuple[object, ...], sighting: _Sighting) -> None:
        """Its first fragment takes the tails that waited for it, and waits a window for more from here on."""
        self._make_room_for_fragments()
        waiting = self._groups.get(key)
        if waiting is not None:
            for tails in waiting.pending:
                sighting.overtaken |= tails.sample.time < sighting.sample.time
                self._add_tails(sighting, tails)
            self._pending_tails -= len(waiting.pending)
            waiting.pending = []
        group = _Group(sighting.clock)
        group.sighting = sighting
        self._groups[key] = group
        self._group_order.append((key, group))

    def _make_room_for_fragments(self) -> None:
        """Where groups and tails are too many, the oldest groups end."""
        most = self._options.most_fragments
        while self._groups and len(self._groups) + self._pending_tails >= most:
            key, group = self._group_order.popleft()
            if self._groups.get(key) is group:
                self._counters.evicted_fragments += 1
                del self._groups[key]
                self._orphan(group)

    def _join_tails(self, tails: _Tails) -> None:
        self._make_room_for_fragments()
        group = self._groups.get(tails.key)
        if group is None:
            group = _Group(tails.clock)
            self._groups[tails.key] = group
            self._group_order.append((tails.key, group))
        if group.sighting is None:
            group.pending.append(tails)
            self._pending_tails += 1
        else:
            self._add_tails(group.sighting, tails)

    def _add_tails(self, sighting: _Sighting, tails: _Tails) -> None:
        if sighting.frame.wear == PLAIN:
            self._counters.ip_records += tails.packets
        else:
            self._counters.tunnel_records += tails.packets
        if sighting.closed:
            self._counters.late_fragments += tails.packets
            return
        sighting.packets += tails.packets
        sighting.covered += tails.covered
        sighting.wire_bytes += tails.wire_bytes
        if sighting.frame.wear == PLAIN:
            # A tunnel's headers tell how long the whole is; without one, only its fragments do.
            sighting.inner_length = min(sighting.inner_length + tails.covered, LONGEST_IP)
            sighting.outer_length = sighting.inner_length

    def _orphan(self, group: _Group) -> None:
        for tails in group.pending:
            self._counters.orphan_fragments += tails.packets
            self._counters.ip_records += tails.packets
            _keep(self._samples["orphan"], tails.sample)
        self._pending_tails -= len(group.pending)
        group.pending = []

    # Journeys.

    def _join(self, sighting: _Sighting) -> None:
        direction = sighting.place[1]
        self._directions.add(direction)
        ttl = sighting.frame.outer_ttl
        chain = self._chains.get(sighting.frame.key)
        if chain is None:
            chain = self._chains[sighting.frame.key] = _Chain()
        known = chain.held_order if chain.held_place == sighting.place and chain.held_ttl <= ttl else 0
        all_hold, highest = True, chain.held_ttl if known else 0
        for journey in reversed(chain.journeys):
            if journey.order <= known:
                break
            held = None
            for other in journey.sightings:
                if other.place == sighting.place:
                    held = other
                    break
            full = held is None and len(journey.sightings) == MOST_STAGES
            if held is not None and held.ttl <= ttl:
                highest = max(highest, held.ttl)
            elif not full:
                all_hold = False
            if full or not _may_be_same(journey, sighting):
                continue
            if held is None:
                self._see_if_large(sighting)
                journey.add(sighting)
                if journey.settled is None and journey.is_settled():
                    journey.settled = sighting.clock
                    self._settled.append(journey)
                if len(journey.sightings) == FEW_SIGHTINGS + 1:
                    self._open_count += LARGE_WEIGHT - 1
                    self._evict()
                return
            if ttl < held.ttl:
                held.ttl = ttl
                held.looped = True
                sighting.closed = True
                self._list_sighting(sighting.sample, held.sample)
                return
        self._see_if_large(sighting)
        journey = _Journey(sighting)
        if all_hold and chain.journeys:
            chain.held_place, chain.held_ttl = sighting.place, highest
            chain.held_order = next(reversed(chain.journeys)).order
        chain.journeys[journey] = None
        self._open.append(journey)
        self._open_count += 1
        self._evict()

    def _evict(self) -> None:
        """Close the oldest open journeys, where there are more than room is left for beside those that wait."""
        most = self._options.most_journeys
        while self._open and self._open_count + self._loose_weight + len(self._undecided) > most:
            oldest = self._open.popleft()
            if not oldest.closed:
                self._crowd_out(oldest)
                self._close(oldest)

    def _crowd_out(self, journey: _Journey) -> None:
        """There is no room to let it wait as long as it should: count that once."""
        self._counters.evicted_journeys += not journey.evicted
        journey.evicted = True

    def _expire(self, clock: int) -> None:
        """Close what cannot be continued any more. Strictly later: equality still joins."""
        opened, settled, groups = self._open, self._settled, self._group_order
        window = self._options.window
        while opened and (opened[0].closed or opened[0].clock + window < clock):
            journey = opened.popleft()
            if not journey.closed and journey.settled is None:
                self._close(journey)
        while settled:
            journey = settled[0]
            assert journey.settled is not None
            if not journey.closed and journey.settled + self._options.settle >= clock:
                break
            settled.popleft()
            if not journey.closed:
                self._close(journey)
        while groups and groups[0][1].clock + window < clock:
            key, group = groups.popleft()
            if self._groups.get(key) is group:
                del self._groups[key]
            self._orphan(group)
        if clock - self._loose_clock > window:
            self._loose_clock = clock
            self._decide_loose(at_once=False)

    def _close(self, journey: _Journey) -> None:
        journey.closed = True
        self._open_count -= journey.weight()
        chain = self._chains[journey.key]
        del chain.journeys[journey]
        if not chain.journeys:
            del self._chains[journey.key]
        sides = _sides(journey)
        ingress, egress = sides.ingress, sides.egress
        if ingress and egress and ingress.frame.payload_length == egress.frame.payload_length:
            self._count(journey, sides, 0)  # as nearly all are: nothing more is to be known of it
        elif self._may_be_loose(journey, sides):
            self._set_loose(journey, is_open=False)
            if self._loose_weight > self._options.most_journeys // LOOSE_PART:
                for item in self._loose:
                    self._crowd_out(item.journey)
                self._decide_loose(at_once=True)
        else:
            self._count_alone(journey, sides)
        for sighting in journey.sightings:
            sighting.closed = True

    def _count_alone(self, journey: _Journey, sides: _Sides) -> None:
        flags = 0
        if sides.ingress is None and not self._options.part and journey.clock <= self._options.window:
            if len(self._undecided) < self._options.most_journeys // UNDECIDED_PART:
                self._undecided.append(journey)
                return
            self._crowd_out(journey)
            start = _start(journey, sides).time
            flags = AT_START if start - self._first_time <= self._grace() else 0  # type: ignore[operator]
        if not _is_doubtful(journey, sides) or not self._doubt(journey):
            self._count(journey, sides, flags)

    def _grace(self) -> int:
        """How close to an end of the capture a journey's other side may be missing: the longest latency so far."""
        return max(SHORTEST_END, max((path.latencies.largest for path in self._paths.values()), default=0))

    # Super-frames that were cut on their way, or put together: see segments.py.

    def _may_be_loose(self, journey: _Journey, sides: _Sides) -> bool:
        """Whether a journey may be one side of a super-frame's: data of which one side alone was seen, or more on
        one side than on the other. The first segment of TCP may have the super-frame's key, since a router may cut
        IPv4 without DF into fragments, and so its length tells nothing."""
        ingress, egress = sides.ingress, sides.egress
        if ingress and egress:  # nearly all are as long on both sides
            one, other = ingress.frame, egress.frame
            if one.payload_length == other.payload_length or one.wear != other.wear:
                return False
            if _whole(ingress) == _whole(egress) or (egress.frame.fragmented and not _is_partial(ingress, egress)):
                return False
        if any(sighting.place[1] == UNKNOWN for sighting in journey.sightings):
            if not self._may_be_untold(journey):
                return False
        elif OUT not in self._directions or self._directions.isdisjoint(INGRESS):
            return False  # there is nothing that it might belong to
        # A router fragments the tunnel's packets that it has cut. How long the segment inside is, each tells.
        return all(
            _has_segment(sighting.frame)
            and not sighting.looped
            and (not sighting.frame.fragmented or (sighting.frame.wear != PLAIN and direction in (OUT, UNKNOWN)))
            for sighting, direction in zip(journey.sightings, sides.directions, strict=True)
        )

    def _may_be_untold(self, journey: _Journey) -> bool:
        """The same where the capture tells no direction: it was seen once, or else TTLs have to tell the sides; and
        there has to be a super-frame close by."""
        if not self._may_be_cut:
            return False
        large_at = self._may_be_cut.get(_flow_hash(journey.sightings[0].frame))
        reach = self._options.window + self._options.settle  # as of what a part holds back
        if large_at is None or large_at + reach < journey.clock or len(journey.sightings) > 2:
            return False
        if any(sighting.place[1] != UNKNOWN for sighting in journey.sightings):
            return False
        first, last = journey.sightings[0].frame, journey.sightings[-1].frame
        return first is last or abs(first.outer_ttl - last.outer_ttl) == 1

    def _set_loose(self, journey: _Journey, is_open: bool) -> None:
        directions = _sides(journey).directions
        for went_out in (False, True):
            sightings = [
                sighting
                for sighting, direction in zip(journey.sightings, directions, strict=True)
                if (direction == OUT) == went_out
            ]
            if not sightings:
                continue
            side = _Journey(sightings[0])
            side.sightings, side.closed, side.evicted = sightings, journey.closed, journey.evicted
            self._loose_weight += side.weight()
            end = sightings[-1 if went_out else 0]
            frame = end.frame
            hop = None
            if end.place[1] == UNKNOWN:
                is_large = frame.inner_length > LONGEST_PACKET
                hop = Hop(end.place, frame.wear, frame.outer_ttl, frame.inner_ttl, is_large)
            version, identification, transport = frame.key[0], frame.key[6], frame.key[9]
            self._loose.append(
                Loose(
                    journey=side,
                    end=end,
                    identity=(version, frame.flow, transport[1:]),  # type: ignore[index]
                    start=frame.sequence,
                    length=frame.payload_length,
                    outer_id=frame.outer_id,
                    inner_id=identification,  # type: ignore[arg-type]
                    vni=frame.vni,
                    went_out=went_out if hop is None else None,
                    is_open=is_open,
                    numbered=frame.flow[0] == UDP,
                    hop=hop,
                    form=_form(end),
                    lacks=_lacks(end),
                )
            )

    def _decide_loose(self, at_once: bool) -> list[Loose[_Journey, _Sighting]]:
        """Count those of which nothing more can come. Returns those of them that were open at the capture's end and
        whose other side is missing, all of it or a part."""
        if not self._loose:
            return []
        clock, window = self._clock, self._options.window
        closed_by = clock - 2 * window - self._options.settle
        held_by = None if self._last_held is None else self._last_held + window

        def may_decide(first: int, last: int) -> bool:
            return at_once or (last < closed_by and (held_by is None or first > held_by))

        decided, self._loose = decide(self._loose, window, may_decide)
        self._loose_weight = sum(item.journey.weight() for item in self._loose)
        for item in decided:
            if item.too_many:
                self._crowd_out(item.journey)
        rest = []
        for item in decided:
            if not item.pieces and item.around is None:
                if item.is_open:
                    rest.append(item)
                else:
                    self._count_alone(item.journey, _sides(item.journey))
            elif not item.went_out:
                if item.is_open and item.pieces and item.is_partial():
                    rest.append(item)
                else:
                    self._count_super(item, 0)
        return rest

    def _count_super(self, item: Loose[_Journey, _Sighting], flags: int) -> None:
        """Count what came in as one super-frame and went out in pieces, or the reverse."""
        if item.around is not None:
            flags |= JOINED
            first, last, cut = item.around, item.around, None
        else:
            lacking = [piece for piece in item.pieces if piece.lacks]
            flags |= SEGMENTED | (PARTIAL if item.is_partial() or lacking else 0)
            first = item.shown()
            last = max(item.pieces, key=lambda piece: piece.sample)
            fragmented = sum(piece.form != WHOLE for piece in item.pieces)
            cut = _Cut(item.packets(), len(item.pieces) - len(lacking), fragmented, item.segment())
        if item.numbered:
            flags |= OF_UDP
        for piece in item.pieces:
            if piece is not first:
                for sighting in piece.journey.sightings:
                    self._list_sighting(sighting.sample, item.end.sample)
        whole = _Journey(item.end)
        whole.sightings = [*item.journey.sightings, *first.journey.sightings][:MOST_STAGES]
        directions = [
            direction if direction != UNKNOWN else IN if at < len(item.journey.sightings) else OUT
            for at, direction in enumerate(sighting.place[1] for sighting in whole.sightings)
        ]
        self._count(whole, _Sides(item.end, _as_long_as(last.end, item.end), directions), flags, cut)

    def _doubt(self, journey: _Journey) -> bool:
        """Hold back one that is doubtful, unless there are too many."""
        if len(self._doubtful) >= min(MOST_DOUBTFUL, self._options.most_journeys // DOUBTFUL_PART):
            self._counters.unweighed_journeys += 1
            return False
        self._doubtful.append(journey)
        return True

    # Counting.

    def _count(self, journey: _Journey, sides: _Sides, flags: int, cut: _Cut | None = None) -> None:
        """Count a journey along its path; `cut`: what it was cut into."""
        sightings, ingress, egress = journey.sightings, sides.ingress, sides.egress
        tunnelled = [sighting for sighting in sightings if sighting.frame.wear != PLAIN]
        if not tunnelled and sightings[0].frame.tail_of_datagram:
            return  # belongs to the datagram of its first fragment, and was added there
        start = measured = ingress or egress or sightings[0]  # as _start has it
        if tunnelled and measured.frame.wear == PLAIN:
            measured = egress if egress and egress.frame.wear != PLAIN else tunnelled[0]
        frame = measured.frame

        # What was joined is all there: the headers that it was joined under may be longer.
        is_compared = cut is None and not flags & JOINED
        if ingress and egress and is_compared and _is_partial(ingress, egress):
            flags |= PARTIAL
        for other in tunnelled[1:]:
            if _outer(other.frame) != _outer(tunnelled[0].frame):
                flags |= TRANSLATED
        for sighting in sightings:
            if sighting.looped:
                flags |= LOOPED
            if sighting.overtaken:
                flags |= OVERTAKEN
        path = self._path(sightings, sides.directions, flags)
        vni = tunnelled[0].frame.vni if tunnelled else -1
        flow, cell = self._flow_and_cell((vni, *frame.flow), path, start.sample, frame if tunnelled else None)
        if flow is not None:
            self._describe_flow(flow, sightings[0].frame)
            if cut is not None:
                flow.segment = max(flow.segment, cut.segment)
        _add_to_cell(cell, measured, start, egress, cut)
        latency = -1
        if ingress and egress:
            latency = egress.sample.time - ingress.sample.time
            if latency < 0:
                self._counters.clock_skewed += 1
                latency = 0
            _add_latency(path.latencies, latency)

        if cut is None:
            self._count_size(bool(tunnelled), measured.inner_length)
        if measured.inner_length > LARGE and not frame.fragmented and cut is None:
            flow_key = FlowKey(vni, *frame.flow) if flow is not None else OTHER_FLOWS
            self._count_large(flow_key, measured.outer_length, measured.inner_length, frame.payload_length, 1)
        if frame.mss:
            self._mss[frame.mss] = self._mss.get(frame.mss, 0) + 1
        if frame.icmp_error is not None:
            error = (bool(tunnelled), *frame.icmp_error)
            if self._is_too_many(self._icmp_error_counts, error):
                self._counters.folded_details += 1
                error = (*error[:4], 0)
            self._icmp_error_counts[error] = self._icmp_error_counts.get(error, 0) + 1
            _keep(self._icmp_errors.setdefault(error, []), start.sample)
        if tunnelled:
            overhead = measured.outer_length - measured.inner_length
            if self._is_too_many(self._overheads, overhead):
                self._counters.folded_details += 1
                overhead = _rounded(overhead)
            self._overheads[overhead] = self._overheads.get(overhead, 0) + 1
            tunnel_key = (frame.outer_source, frame.outer_destination, frame.wear, frame.destination_port)
            tunnel = self._tunnels.get(tunnel_key)
            if tunnel is None:
                tunnel = self._tunnels[tunnel_key] = TunnelRow(measured.sample)
            if measured.sample < tunnel.first:
                tunnel.first = measured.sample
            tunnel.datagrams += 1
            tunnel.outer_bytes += measured.outer_length
            self._add_port(tunnel_key, tunnel.source_ports, frame.source_port)
            if flow is not None and flow.outer_source_port != frame.source_port:
                flow.outer_source_port = _one_port(flow.outer_source_port, frame.source_port)
        if self._options.most_datagrams:
            flow_key = FlowKey(vni, *frame.flow) if flow is not None else OTHER_FLOWS
            first = sightings[0].frame
            self._list_datagram(
                DatagramRow(
                    start.sample,
                    flow_key,
                    path.key,
                    measured.inner_length,
                    first.tcp_flags,
                    first.icmp_kind,
                    frame.source_port if tunnelled else -1,
                    min(latency, LONGEST_TIME),
                )
            )
            for sighting in sightings:
                if sighting is not start:
                    self._list_sighting(sighting.sample, start.sample)
        one_sided = b"" if ingress and egress else frame.outer_destination
        if self._last_time - self._first_time >= self._step_span:  # type: ignore[operator]
            self._fit_timeline()
        self._add_step(start.sample.time // self._step, path, one_sided, 1, measured.outer_length)

    def _is_too_many(self, table: Mapping[_Key, object], key: _Key, times: int = 1) -> bool:
        return len(table) >= times * self._options.most_rows and key not in table

    def _count_size(self, tunnelled: bool, length: int) -> None:
        size = (tunnelled, length)
        if length < SMALL_SIZES:
            self._small_sizes[size] = self._small_sizes.get(size, 0) + 1
            return
        if self._is_too_many(self._sizes, size):
            self._counters.folded_details += 1
            size = (tunnelled, _rounded(length))
        self._sizes[size] = self._sizes.get(size, 0) + 1

    def _count_large(self, flow: FlowKey, outer: int, inner: int, payload: int, by: int) -> None:
        key = (flow, outer, inner, payload)
        if self._is_too_many(self._large, key):
            self._counters.folded_details += by
            key = (OTHER_FLOWS, outer, inner, payload)
            if self._is_too_many(self._large, key, times=2):
                return
        self._large[key] = self._large.get(key, 0) + by

    def _add_port(self, tunnel: tuple[bytes, bytes, int, int], ports: set[int], port: int) -> None:
        if port not in ports and len(ports) >= FEW_PORTS and tunnel not in self._port_sets:
            if len(self._port_sets) >= self._options.most_tunnels // TUNNELS_OF_A_PORT_SET:
                self._counters.folded_ports = 1
                return
            self._port_sets.add(tunnel)
        ports.add(port)

    def _list_datagram(self, row: DatagramRow) -> None:
        if len(self._datagrams) < self._options.most_datagrams:
            self._datagrams.append(row)
        else:
            self._counters.unlisted_datagrams += 1

    def _list_sighting(self, record: Sample, first: Sample) -> None:
        if not self._options.most_sightings:
            return
        if len(self._sightings) < self._options.most_sightings:
            self._sightings.append(SightingRow(*record[1:], *first[1:]))
        else:
            self._counters.unlisted_sightings += 1

    def _path(self, sightings: list[_Sighting], directions: list[int], flags: int) -> _Path:
        first, last = sightings[0], sightings[-1]
        usual = (
            len(sightings) == 2
            and not first.frame.fragmented
            and not last.frame.fragmented
            and directions[0] == first.place[1]
            and directions[1] == last.place[1]
        )
        if usual:
            path = self._usual_paths.get((first.place, last.place, flags))
            if path is not None:
                return path
        stages = [
            Stage(place[0], direction, place[2], _form(sighting), place[3], place[4])
            for sighting, direction, place in (
                (sighting, direction, sighting.place)
                for sighting, direction in zip(sightings, directions, strict=True)
            )
        ]
        path = self._path_of(PathKey(tuple(stages), flags))
        if usual:
            self._usual_paths[first.place, last.place, flags] = path
        return path

    def _path_of(self, key: PathKey) -> _Path:
        """The path of this key. Beyond the limit it has but its ends, at no interface in particular."""
        if key not in self._paths and len(self._paths) >= self._options.most_paths:
            self._counters.folded_paths = 1
            ends = key.stages if len(key.stages) < 2 else (key.stages[0], key.stages[-1])
            key = PathKey(tuple(map(self._somewhere, ends)), key.flags)
        return self._path_row(key)

    def _somewhere(self, stage: Stage) -> Stage:
        where = InterfaceKey(-1, stage.interface.input, -1)
        if where not in self._interfaces:
            self._interface_names[where] = (None, _link_type_of_all(where.input))
            self._interfaces[where] = [0, 0, 0]
        return stage._replace(interface=where, loopback=False, macs=b"")

    def _path_row(self, key: PathKey) -> _Path:
        path = self._paths.get(key)
        if path is None:
            path = self._paths[key] = _Path(key)
        return path

    def _flow_and_cell(
        self, key: tuple[int, int, bytes, int, bytes, int], path: _Path, first: Sample, tunnel: Frame | None
    ) -> tuple[FlowRow | None, Cell]:
        """The rows of a flow on a path; no row of its own beyond the limit of flows."""
        if len(self._cells) >= self._most_cells:
            self._fold_flows()
        found = path.flows.get(key)
        if found is not None:
            if first < found[0].first:
                self._flow(key, first, tunnel)
            return found
        flow = self._flow(key, first, tunnel)
        flow_key = FlowKey(*key) if flow is not None else OTHER_FLOWS
        cell = self._cells.setdefault((flow_key, path.key), Cell())
        if flow is not None:
            path.flows[key] = (flow, cell)
        return flow, cell

    def _flow(
        self, key: tuple[int, int, bytes, int, bytes, int], first: Sample, tunnel: Frame | None
    ) -> FlowRow | None:
        flow: FlowRow | None = self._flows.get(key)  # type: ignore[call-overload]  # equal to a FlowKey
        if flow is None or first < flow.first:
            outer = (tunnel.outer_source, tunnel.outer_destination) if tunnel else (b"", b"")
            if flow is None:
                if self._options.most_flows == 0:
                    self._counters.folded_flows += 1
                    return None
                if len(self._flows) >= self._options.most_flows:
                    self._fold_flows()
                flow = self._flows[FlowKey(*key)] = FlowRow(first, *outer)
            else:
                flow.first = first
                flow.outer_source, flow.outer_destination = outer
        return flow

    # Folding flows, where there are too many: see native/fold.h for what gives way to what.

    def _fold_flows(self) -> None:
        """Have room for another flow and its cells."""
        flows, cells = self._options.most_flows, self._most_cells
        while self._flows and (
            len(self._flows) > flows // 2 + flows // 4 or len(self._cells) > cells // 2 + cells // 4
        ):
            self._fold_half()

    def _fold_half(self) -> None:
        """Fold the half of all rows with the fewest bytes, in powers of two, and seen last the longest ago."""
        octets: dict[FlowKey, int] = dict.fromkeys(self._flows, 0)
        last: dict[FlowKey, int] = {}
        for (flow, _), cell in self._cells.items():
            if flow != OTHER_FLOWS:
                octets[flow] += cell.inner_bytes
                last[flow] = max(last.get(flow, cell.last_time), cell.last_time)
        ranks = {flow: (octets[flow].bit_length(), last[flow]) for flow in self._flows}
        limit = sorted(ranks.values())[(len(ranks) + 1) // 2 - 1]
        names = list(self._flows)  # by number, which each keeps
        before = {flow: number for number, flow in enumerate(names)}
        now = dict(before)
        into: dict[int, int] = {}
        for number, flow in enumerate(tuple(names)):
            if ranks[flow] <= limit:
                del now[flow]
                key = self._fold_flow(flow)
                if key == OTHER_FLOWS:
                    into[number] = -1
                elif key in now:
                    into[number] = now[key]
                else:
                    now[key] = number
                    names[number] = key
        self._flows = {flow: self._flows[flow] for number, flow in enumerate(names) if number not in into}

        def end_of(flow: FlowKey) -> FlowKey:
            # A row that others went into may have been folded after that.
            number = before.get(flow, -1)
            while number in into:
                number = into[number]
            return names[number] if number >= 0 else OTHER_FLOWS

        cells, self._cells = self._cells, {}
        # What is added to a cell of a row that stays goes to where that stands, be it further behind.
        moved = {named for named in cells if before.get(named[0], -1) in into}
        ends = {named: (end_of(named[0]), named[1]) for named in cells}
        staying = {end for named, end in ends.items() if named not in moved}
        for named, end in sorted(ends.items(), key=lambda item: item[0] in moved and item[1] in staying):
            self._add_cell(end, cells[named])
        for path in self._paths.values():
            path.flows = {}
        large, self._large = self._large, {}
        for (flow, outer, inner, payload), count in large.items():
            self._count_large(end_of(flow), outer, inner, payload, count)
        self._datagrams = [row._replace(flow=end_of(row.flow)) for row in self._datagrams]

    def _fold_flow(self, flow: FlowKey) -> FlowKey:
        """Fold one into the row of the next coarser key, made where there is none: that key."""
        row = self._flows.pop(flow)
        self._several_ranges.discard(id(row))
        self._counters.folded_flows += not is_folded(flow)
        if row.mss:
            told = (flow.vni >= 0, len(flow.source) == 16, row.mss)
            self._folded_mss[told] = self._folded_mss.get(told, 0) + 1
        outer = (row.outer_source, row.outer_destination)
        key = _next_coarser(flow, *outer)
        found = self._flows.get(key)
        is_inside = key.protocol > FOLDED_OUTER
        if found is not None and is_inside and (found.outer_source, found.outer_destination) != outer:
            # Verdicts go by the tunnel's addresses: those of other ones stay apart.
            key = _outside(flow, *outer, flow.vni)
            found = self._flows.get(key)
        if key == OTHER_FLOWS:
            return key
        if found is None:
            self._flows[key] = FlowRow(row.first, *outer)
        elif row.first < found.first:
            found.first = row.first
            found.outer_source, found.outer_destination = outer
        return key

    def _add_cell(self, key: tuple[FlowKey, PathKey], cell: Cell) -> None:
        if key in self._cells:
            _merge_cell(self._cells[key], cell)
        else:
            self._cells[key] = cell

    def _describe_flow(self, flow: FlowRow, frame: Frame) -> None:
        if frame.flow[0] != TCP:
            flow.tcp_flags |= frame.tcp_flags
            return
        if frame.tcp_flags & _ACK and frame.acknowledgement != flow.acknowledged:
            _acknowledge(flow, frame.acknowledgement)
        flow.tcp_flags |= frame.tcp_flags
        if frame.mss and (not flow.mss or frame.mss < flow.mss):
            flow.mss = frame.mss
        if frame.payload_length > 0:
            flow.options = max(flow.options, frame.options)
            flow.data_bytes += frame.payload_length
            start = frame.sequence + (1 if frame.tcp_flags & 2 else 0)  # a SYN takes the first number
            self._cover(flow, start, frame.payload_length)

    def _cover(self, flow: FlowRow, start: int, length: int) -> None:
        """Add to the sequence space that a flow's data has covered; numbers wrap at 32 bits (RFC 9293)."""
        ranges = flow.ranges
        if ranges:
            start = _unwrap(start, ranges[-1][1])
        end = start + length
        if ranges and ranges[-1][0] <= start <= ranges[-1][1]:
            ranges[-1] = (ranges[-1][0], max(end, ranges[-1][1]))
            return
        _insert_range(flow, start, end)
        if len(flow.ranges) > 1 and id(flow) not in self._several_ranges:
            if len(self._several_ranges) >= self._options.most_flows // FLOWS_OF_A_RANGE_SET:
                flow.ranges = [(flow.ranges[0][0], flow.ranges[-1][1])]
                flow.ranges_folded = True
            else:
                self._several_ranges.add(id(flow))

    def _fit_timeline(self) -> None:
        """Make the steps as wide as the time seen so far needs."""
        assert self._first_time is not None
        assert self._last_time is not None
        span = self._last_time - self._first_time
        if span < self._step_span:
            return
        step = timeline_step(span)
        finer, self._timeline = self._timeline, {}
        for (number, path, destination), (count, size) in finer.items():
            self._add_step(number * self._step // step, path, destination, count, size)
        self._step = step
        self._step_span = step * (TIMELINE_STEPS - 1)

    def _add_step(self, number: int, path: _Path, destination: bytes, datagrams: int, octets: int) -> None:
        key = (number, path, destination)
        if destination and self._is_too_many(self._timeline, key):
            self._counters.folded_details += datagrams
            key = (number, path, b"")
        count, size = self._timeline.get(key, (0, 0))
        self._timeline[key] = (count + datagrams, size + octets)

    # Tables out.

    def tables(self) -> Tables:
        """Close everything and return the tables. The engine takes no more bytes afterwards."""
        if self._options.part:
            whole = PureEngine(self._options._replace(part=False))
            whole.merge(self)
            return whole.tables()
        self._count_the_rest()
        for flow in self._flows.values():
            _rebase(flow)
        sizes = dict(self._small_sizes)
        _add_counts(sizes, self._sizes)  # where lengths are rounded, to some of the small ones
        return Tables(
            inputs=[self._input_row(index) for index in range(len(self._containers))],
            names=self._names(),
            interfaces={
                key: InterfaceRow(*self._interface_names[key], *counts) for key, counts in self._interfaces.items()
            },
            counters=self._counters,
            first_time=self._first_time,
            last_time=self._last_time,
            flows=self._flows,
            cells=self._cells,
            latencies={path.key: path.latencies for path in self._paths.values() if path.latencies.count},
            tunnels=self._tunnels,
            overheads=self._overheads,
            sizes=sizes,
            large=self._large,
            mss=self._mss,
            icmp_errors=self._icmp_errors,
            icmp_error_counts=self._icmp_error_counts,
            timeline_step=self._step,
            timeline={
                (number, path.key, destination): counts
                for (number, path, destination), counts in self._timeline.items()
            },
            wrong_checksums=self._wrong_checksums,
            fragments=self._fragments,
            too_big=self._too_big,
            samples=self._samples,
            datagrams=sorted(self._datagrams),
            sightings=sorted(self._sightings),
            folded_mss=self._folded_mss,
            most_ends=most_ends(self._options.most_flows),
        )

    def _count_the_rest(self) -> None:
        """What is still open: told apart by whether the capture went on for long enough to see more of it."""
        for group in self._groups.values():
            self._orphan(group)
        if self._first_time is None or self._last_time is None:
            return
        self._fit_timeline()
        rest = [journey for journey in self._open if not journey.closed]
        rest += [journey for journey in self._settled if not journey.closed and journey.settled is not None]
        alone = []
        for journey in dict.fromkeys(rest):
            if self._may_be_loose(journey, _sides(journey)):
                self._set_loose(journey, is_open=True)
            else:
                alone.append(journey)
        waiting = self._decide_loose(at_once=True)
        alone += [item.journey for item in waiting if not item.pieces]
        later = []
        for journey in alone + self._undecided:
            sides = _sides(journey)
            if sides.ingress and sides.egress and not _is_partial(sides.ingress, sides.egress):
                self._count(journey, sides, 0)
            else:
                later.append((journey, sides))
        grace = self._grace()
        doubtful = self._doubtful
        for journey, sides in later:
            flags = 0
            first = _start(journey, sides)
            # One that closed is undecided: there was time for more, but none before.
            ends = not journey.closed and self._last_time - first.time <= grace
            if ends and (sides.egress is None or sides.ingress is not None):
                flags |= AT_END
            if sides.ingress is None and first.time - self._first_time <= grace:
                flags |= AT_START
            if not flags & AT_END and _is_doubtful(journey, sides):
                doubtful.append(journey)
            else:
                self._count(journey, sides, flags)
        for item in waiting:
            if item.pieces:
                self._count_super(item, AT_END if self._last_time - item.end.time <= grace else 0)
        if doubtful:
            self._count_doubtful(doubtful)

    def _count_doubtful(self, journeys: list[_Journey]) -> None:
        """Count journeys that came in and not out, now that it can be told which of them were acknowledged."""
        acknowledged = self._find_acknowledged(journeys)
        rows = [(journey, _sides(journey)) for journey in journeys]
        for journey, sides in sorted(rows, key=lambda row: _start(*row).sample):
            self._count(journey, sides, ACKNOWLEDGED if journey in acknowledged else 0)

    def _find_acknowledged(self, journeys: list[_Journey]) -> set[_Journey]:
        """Those whose data the other end acknowledged, although it was seen in no other: they must have arrived.

        What tells it is the highest acknowledgement of the flow that answers: that of the same VNI, else that of
        the lowest. All data from theirs up to it must have been seen, since ports are used again: the numbers of
        another connection tell nothing.
        """
        if self._counters.folded_flows:
            return set()
        alike: dict[_Ends, list[_Journey]] = {}
        for journey in journeys:
            alike.setdefault(_ends(_vni(journey), *journey.sightings[0].frame.flow), []).append(journey)
        flows: dict[_Ends, dict[int, FlowRow]] = {ends: {} for one in alike for ends in (one, _turned(one))}
        for key, row in self._flows.items():
            if (ends := _ends(*key)) in flows:
                flows[ends][key.vni] = row
        found: set[_Journey] = set()
        for ends, group in alike.items():
            answers = flows[_turned(ends)]
            vnis = {_vni(journey) for journey in group}
            if not answers or len(vnis) > MOST_VNIS:
                continue
            for vni in vnis:
                answer = answers.get(vni) or answers[min(answers)]
                if answer.tcp_flags & _ACK:
                    covered = _covered(group, flows[ends].values(), answer.acknowledged)
                    found |= {journey for journey in covered if _vni(journey) == vni}
        return found

    def _input_row(self, index: int) -> InputRow:
        container = self._containers[index]
        interfaces = container.interfaces
        dropped = [row.dropped for row in interfaces if row.dropped is not None]
        return InputRow(
            format=container.format,
            link_types=tuple(sorted({row.link_type for row in interfaces})),
            records=self._earlier_records[index] + self._record_numbers[index],
            bytes=self._earlier_bytes[index] + self._bytes[index],
            snaplen=max((row.snaplen for row in interfaces), default=None),
            dropped=sum(dropped) if dropped else None,
            damage=container.damage,
            skipped=container.skipped,
            first_skipped=container.first_skipped,
        )

    def _names(self) -> dict[str, str]:
        names = dict(self._earlier_names)
        for container in self._containers:
            for address, name in container.names.items():
                names.setdefault(address, name)
        return names

    # Parts together.

    def merge(self, other: PureEngine) -> None:
        """Take in the part of the capture that directly follows; `other` is used up.

        Its clock goes on where this one stopped, its records are numbered on, what it held back is seen as if it
        had come here first, and its own open journeys and counts are added.
        """
        base = [earlier + own for earlier, own in zip(self._earlier_records, self._record_numbers, strict=True)]
        shift = self._clock
        if other._first_record is not None:
            first = _renumber(other._first_record, base)
            if self._last_record_time is None:
                self._first_record = first
                self._first_time, self._last_time = other._first_time, other._last_time
            else:
                shift += max(0, first.time - self._last_record_time)
                if first.time < self._last_record_time:
                    self._count_reversed(first)
                self._first_time = min(self._first_time, other._first_time)  # type: ignore[type-var]
                self._last_time = max(self._last_time, other._last_time)  # type: ignore[type-var]
            self._last_record_time = other._last_record_time
            self._take_over_loose(other, shift, base)
            self._replay(other, shift, base)
            self._clock = shift + other._clock
            self._expire(self._clock)
            self._adopt(other, shift, base)
            self._order += other._order
            self._add_tables(other, base)
        for name in Counters.__slots__:
            total = getattr(self._counters, name) + getattr(other._counters, name)
            setattr(self._counters, name, min(total, 1) if name in _FLAGS else total)
        self._earlier_names = self._names()
        for address, named in other._earlier_names.items():
            self._earlier_names.setdefault(address, named)
        for index, container in enumerate(other._containers):
            self._earlier_records[index] += other._earlier_records[index] + other._record_numbers[index]
            self._earlier_bytes[index] += other._earlier_bytes[index] + other._bytes[index]
            if container.format is not None or container.damage is not None:
                before = self._containers[index]
                for later, earlier in zip(container.interfaces, before.interfaces, strict=False):
                    if later.dropped is None:
                        later.dropped = earlier.dropped
                container.skipped += before.skipped
                container.first_skipped = before.first_skipped or container.first_skipped
                self._containers[index] = container

    def _replay(self, other: PureEngine, shift: int, base: list[int]) -> None:
        for event in sorted(other._held, key=lambda event: event.order):
            event.clock += shift
            event.order += self._order
            self._clock = event.clock
            self._expire(event.clock)
            if isinstance(event, _Large):
                self._see_large(event)
                continue
            event.sample = _renumber(event.sample, base)
            if isinstance(event, _Tails):
                self._see_tails(event)
            else:
                self._see(event)

    def _take_over_loose(self, other: PureEngine, shift: int, base: list[int]) -> None:
        """Before anything is replayed: what hangs together with it may be decided then."""
        self._directions |= other._directions
        for item in other._loose:
            item.journey.clock += shift
            for sighting in item.journey.sightings:
                sighting.sample = _renumber(sighting.sample, base)
        self._loose += other._loose
        self._loose_weight += other._loose_weight

    def _adopt(self, other: PureEngine, shift: int, base: list[int]) -> None:
        """Go on with what is open there. None of its keys is open here: it would have been held back."""
        journeys = {id(journey): journey for journey in (*other._open, *other._settled) if not journey.closed}
        for journey in journeys.values():
            journey.clock += shift
            journey.order += self._order
            if journey.settled is not None:
                journey.settled += shift
            for sighting in journey.sightings:
                sighting.clock += shift
                sighting.order += self._order
                sighting.sample = _renumber(sighting.sample, base)
        # Oldest first: a settled one may have left the open ones before those that opened after it.
        for journey in sorted(journeys.values(), key=lambda journey: journey.order):
            self._chains.setdefault(journey.key, _Chain()).journeys[journey] = None
        still_open = [journey for journey in (*self._open, *other._open) if not journey.closed]
        self._open = deque(sorted(still_open, key=lambda journey: journey.order))
        settled = [journey for journey in (*self._settled, *other._settled) if not journey.closed]
        self._settled = deque(sorted(settled, key=lambda journey: journey.settled or 0))
        self._open_count += sum(journey.weight() for journey in journeys.values())
        for journey in other._doubtful:
            for sighting in journey.sightings:
                sighting.sample = _renumber(sighting.sample, base)
            if not self._doubt(journey):
                self._count(journey, _sides(journey), 0)
        for key, group in other._group_order:
            group.clock += shift
            for tails in group.pending:
                tails.clock += shift
                tails.sample = _renumber(tails.sample, base)
            if other._groups.get(key) is group:
                self._groups[key] = group
                self._group_order.append((key, group))
                self._pending_tails += len(group.pending)
        self._group_order = deque(sorted(self._group_order, key=lambda entry: entry[1].clock))

    def _add_tables(self, other: PureEngine, base: list[int]) -> None:
        for interface, counts in other._interfaces.items():
            mine = self._interfaces.setdefault(interface, [0, 0, 0])
            mine[:] = [one + two for one, two in zip(mine, counts, strict=True)]
            self._interface_names.setdefault(interface, other._interface_names[interface])
        for flow_key, flow in other._flows.items():
            flow.first = _renumber(flow.first, base)
            if flow_key in self._flows:
                _merge_flow(self._flows[flow_key], flow)
            else:
                self._flows[flow_key] = flow
        for cell_key, cell in other._cells.items():
            cell.samples = [_renumber(sample, base) for sample in cell.samples]
            if cell_key in self._cells:
                _merge_cell(self._cells[cell_key], cell)
            else:
                self._cells[cell_key] = cell
        for path in other._paths.values():
            _merge_latencies(self._path_row(path.key).latencies, path.latencies)
        for tunnel_key, row in other._tunnels.items():
            first = _renumber(row.first, base)
            tunnel = self._tunnels.setdefault(tunnel_key, TunnelRow(first))
            tunnel.first = min(tunnel.first, first)
            tunnel.datagrams += row.datagrams
            tunnel.outer_bytes += row.outer_bytes
            tunnel.source_ports |= row.source_ports
        _add_counts(self._overheads, other._overheads)
        _add_counts(self._sizes, other._sizes)
        _add_counts(self._small_sizes, other._small_sizes)
        _add_counts(self._large, other._large)
        _add_counts(self._mss, other._mss)
        _add_counts(self._folded_mss, other._folded_mss)
        _add_counts(self._wrong_checksums, other._wrong_checksums)
        _add_counts(self._icmp_error_counts, other._icmp_error_counts)
        _add_counts(self._fragments, other._fragments)
        for told, messages in other._too_big.items():
            messages.samples = [_renumber(sample, base) for sample in messages.samples]
            self._add_too_big(told, messages)
        for error, samples in other._icmp_errors.items():
            for sample in samples:
                _keep(self._icmp_errors.setdefault(error, []), _renumber(sample, base))
        for name, samples in other._samples.items():
            for sample in samples:
                _keep(self._samples[name], _renumber(sample, base))
        for listed in other._datagrams:
            self._list_datagram(listed._replace(sample=_renumber(listed.sample, base)))
        for row_of in other._sightings:
            record = Sample(0, row_of.input, row_of.record)
            first = Sample(0, row_of.first_input, row_of.first_record)
            self._list_sighting(_renumber(record, base), _renumber(first, base))
        self._fit_timeline()
        for (number, path, destination), (count, size) in other._timeline.items():
            mine_too = self._path_row(path.key)
            self._add_step(number * other._step // self._step, mine_too, destination, count, size)
        if len(self._flows) > self._options.most_flows:
            self._fold_flows()


def _sides(journey: _Journey) -> _Sides:
    """Which sighting came in, and which went out.

    Where the capture tells no direction, the TTL does: the higher came in. Without a difference, a bridge passed
    it on: the first came in, the last went out. One sighting alone stays unknown.
    """
    sightings = journey.sightings
    directions = [sighting.place[1] for sighting in sightings]
    if len(sightings) == 2 and directions[1] == OUT and directions[0] not in (OUT, UNKNOWN):
        return _Sides(sightings[0], sightings[1], directions)
    if UNKNOWN in directions and len(sightings) > 1:
        same_wear = len({sighting.frame.wear for sighting in sightings}) == 1
        ttls = [s.frame.outer_ttl if same_wear else s.frame.inner_ttl for s in sightings]
        highest, lowest = max(ttls), min(ttls)
        last = len(sightings) - 1
        for at, direction in enumerate(directions):
            if direction == UNKNOWN:
                came_in = ttls[at] == highest if highest != lowest else at != last
                directions[at] = IN if came_in else OUT
    ingress = egress = None
    for sighting, direction in zip(sightings, directions, strict=True):
        if direction == OUT:
            egress = sighting
        elif direction != UNKNOWN and ingress is None:
            ingress = sighting
    return _Sides(ingress, egress, directions)


def _start(journey: _Journey, sides: _Sides) -> _Sighting:
    """The sighting whose time is the journey's."""
    return sides.ingress or sides.egress or journey.sightings[0]


def _is_doubtful(journey: _Journey, sides: _Sides) -> bool:
    """Whether it came in and not out with TCP data, of which an acknowledgement can tell that it arrived."""
    frame = journey.sightings[0].frame
    alone = sides.ingress is not None and sides.egress is None
    return alone and frame.flow[0] == TCP and frame.payload_length > 0


def _has_segment(frame: Frame) -> bool:
    """Whether it may be of a super-frame. The first of a pod's own fragments has less than UDP says of it."""
    if frame.payload_length <= 0:
        return False
    return frame.flow[0] == TCP or (frame.flow[0] == UDP and frame.key[9] == (frame.payload_length + 8,))


def _lacks(sighting: _Sighting) -> bool:
    """Whether some of a tunnel's fragments were not seen, whose headers tell how long it is."""
    return sighting.frame.fragmented and sighting.covered < _whole(sighting)


def _whole(sighting: _Sighting) -> int:
    """Payload bytes of the outermost IP packet, all of its fragments together, as a tunnel's headers tell it; of a
    fragment without a tunnel its own alone."""
    frame = sighting.frame
    if not frame.fragmented:
        return frame.covered
    header = frame.wire_length - frame.covered - (8 if len(frame.fragment_key[0]) == 16 else 0)  # type: ignore[arg-type]
    return frame.outer_length - header


def _is_large_untold(sighting: _Sighting) -> bool:
    frame = sighting.frame
    return sighting.place[1] == UNKNOWN and frame.inner_length > LONGEST_PACKET and frame.flow[0] in (TCP, UDP)


def _flow_hash(frame: Frame) -> int:
    """As the native engine has it: protocol, ports and addresses as one number, modulo a prime. Flows that share it
    wait alike."""
    protocol, source, source_port, destination, destination_port = frame.flow
    ends = protocol << 32 | max(source_port, 0) << 16 | max(destination_port, 0)
    addresses = source + destination
    return (ends << 8 * len(addresses) | int.from_bytes(addresses, "big")) % _FLOW_HASHES


def _as_long_as(egress: _Sighting, ingress: _Sighting) -> _Sighting:
    """As if all that came in had gone out in one piece, like this piece."""
    whole = copy(egress)
    whole.frame = copy(egress.frame)
    whole.frame.payload_length = ingress.frame.payload_length
    whole.inner_length = ingress.inner_length
    whole.outer_length = ingress.inner_length + egress.outer_length - egress.inner_length
    whole.wire_bytes = whole.outer_length
    whole.covered += whole.outer_length - egress.outer_length
    return whole


def _is_partial(ingress: _Sighting, egress: _Sighting) -> bool:
    """Whether fewer bytes left than came in; sizes compare only where it wears the same."""
    return ingress.frame.wear == egress.frame.wear and egress.covered < ingress.covered


def _may_be_same(journey: _Journey, sighting: _Sighting) -> bool:
    """Equal inner packets are told apart by the outer identification, where both have one."""
    theirs, ours = journey.outer_id, sighting.frame.outer_id
    return not theirs or not ours or theirs == ours


def _outer(frame: Frame) -> tuple[bytes, bytes, int, int]:
    return frame.outer_source, frame.outer_destination, frame.source_port, frame.destination_port


def _form(sighting: _Sighting) -> int:
    if not sighting.frame.fragmented:
        return WHOLE
    return FRAGMENTS if sighting.packets > 1 else FIRST_ONLY


def _keep(samples: list[Sample], sample: Sample) -> None:
    """Keep the earliest few."""
    if len(samples) == SAMPLES and sample > samples[-1]:
        return
    samples.append(sample)
    samples.sort()
    del samples[SAMPLES:]


def _renumber(sample: Sample, base: list[int]) -> Sample:
    return Sample(sample.time, sample.input, sample.record + base[sample.input])


def _add_to_cell(
    cell: Cell, measured: _Sighting, start: _Sighting, egress: _Sighting | None, cut: _Cut | None
) -> None:
    length = measured.inner_length
    time = start.sample.time
    if not cell.datagrams:
        cell.smallest, cell.first_time, cell.last_time = length, time, time
    if length < cell.smallest:
        cell.smallest = length
    if length > cell.largest:
        cell.largest = length
    if time < cell.first_time:
        cell.first_time = time
    if time > cell.last_time:
        cell.last_time = time
    cell.datagrams += 1
    cell.inner_bytes += length
    cell.outer_bytes += measured.outer_length
    if cut is None:
        cell.wire_packets += measured.packets
        cell.wire_bytes += measured.wire_bytes
        cell.egress_packets += egress.packets if egress else 0
    else:
        cell.wire_packets += cut.packets
        headers = measured.outer_length - measured.frame.payload_length
        cell.wire_bytes += measured.outer_length + (cut.packets - 1) * headers
        cell.egress_packets += cut.left
        cell.fragmented += cut.fragmented
    _keep(cell.samples, start.sample)


def _add_latency(row: Latencies, latency: int) -> None:
    if latency < row.smallest or not row.count:
        row.smallest = latency
    if latency > row.largest:
        row.largest = latency
    row.count += 1
    row.total += latency
    bucket = latency_bucket(latency)
    row.buckets[bucket] = row.buckets.get(bucket, 0) + 1
    if row.exact is not None:
        if row.count <= EXACT_LATENCIES:
            insort(row.exact, latency)
        else:
            row.exact = None


def _insert_range(flow: FlowRow, start: int, end: int) -> None:
    apart = []
    for low, high in flow.ranges:
        if high < start or low > end:
            apart.append((low, high))
        else:
            start, end = min(start, low), max(end, high)
    flow.ranges = sorted([*apart, (start, end)])
    while len(flow.ranges) > MOST_RANGES:
        flow.ranges[:2] = [(flow.ranges[0][0], flow.ranges[1][1])]
        flow.ranges_folded = True


def _rebase(flow: FlowRow) -> None:
    """Let the sequence space start below 2^32, whichever of its segments was counted first."""
    if flow.ranges:
        base = flow.ranges[0][0] & ~0xFFFFFFFF
        flow.ranges = [(low - base, high - base) for low, high in flow.ranges]


def _unwrap(number: int, near: int) -> int:
    """The number equal to `number` modulo 2^32 that is nearest to `near`."""
    return near + ((number - near + (1 << 31)) & 0xFFFFFFFF) - (1 << 31)


def _vni(journey: _Journey) -> int:
    return next((sighting.frame.vni for sighting in journey.sightings if sighting.frame.wear != PLAIN), -1)


def _ends(
    vni: int, protocol: int, source: bytes, source_port: int, destination: bytes, destination_port: int
) -> _Ends:
    return vni >= 0, protocol, source, source_port, destination, destination_port


def _turned(ends: _Ends) -> _Ends:
    tunnelled, protocol, source, source_port, destination, destination_port = ends
    return tunnelled, protocol, destination, destination_port, source, source_port


def _covered(group: list[_Journey], flows: Iterable[FlowRow], acknowledged: int) -> list[_Journey]:
    """Those of a group whose bytes were seen once, and from which on all bytes up to `acknowledged` were seen."""
    spans: list[tuple[int, int, _Journey | None]] = []
    for row in flows:
        if row.ranges_folded or (row.ranges and row.ranges[-1][1] - row.ranges[0][0] >= 1 << 31):
            return []  # what was seen is not known exactly, or numbers have come round
        for low, high in row.ranges:
            start = _unwrap(low & 0xFFFFFFFF, acknowledged)
            spans.append((start, start + high - low, None))
    for journey in group:
        frame = journey.sightings[0].frame
        start = frame.sequence + (1 if frame.tcp_flags & _SYN else 0)
        start = _unwrap(start & 0xFFFFFFFF, acknowledged)
        spans.append((start, start + frame.payload_length, journey))
    spans.sort(key=lambda span: span[:2])
    found: list[_Journey] = []
    once: list[tuple[int, _Journey]] = []  # of what hangs together: end, and whose
    before = spans[0][0]  # as far as those before this one reach
    for at, (low, high, whose) in enumerate(spans):
        if low > before:
            found += [each for end, each in once if end <= acknowledged <= before + 1]  # a FIN takes a number
            once = []
        alone = low >= before and (at + 1 == len(spans) or spans[at + 1][0] >= high)
        if whose is not None and alone:
            once.append((high, whose))
        before = max(before, high)
    return found + [each for end, each in once if end <= acknowledged <= before + 1]


def _next_coarser(flow: FlowKey, outer_source: bytes, outer_destination: bytes) -> FlowKey:
    """The key of the row that a flow, or a row of several, is folded into."""
    if flow.protocol <= FOLDED_OUTER:
        return OTHER_FLOWS if flow.vni < 0 else _outside(flow, outer_source, outer_destination, ANY_VNI)
    if 0 <= flow.protocol < NON_IP:
        protocol = FOLDED - _is_other_icmp(flow)
        return FlowKey(flow.vni, protocol, flow.source, -1, flow.destination, -1)
    return OTHER_FLOWS if flow.vni < 0 else _outside(flow, outer_source, outer_destination, flow.vni)


def _outside(flow: FlowKey, outer_source: bytes, outer_destination: bytes, vni: int) -> FlowKey:
    """What is left of a flow with the addresses of its tunnel."""
    return FlowKey(vni, FOLDED_OUTER - _is_other_icmp(flow), outer_source, -1, outer_destination, -1)


def _is_other_icmp(flow: FlowKey) -> bool:
    """ICMP that is no echo."""
    return flow.protocol in (FOLDED_ICMP, FOLDED_OUTER_ICMP) or (flow.protocol in (1, 58) and flow.source_port < 0)


def _link_type_of_all(number: int) -> int:
    """Of an interface that stands for all of its input, or for all cooked captures."""
    return LINUX_SLL if number < 0 else 0


def _rounded(number: int) -> int:
    """The power of two that is not more; -1 of less than 0."""
    return -1 if number < 0 else 1 << (number.bit_length() - 1) if number else 0


def _is_before(number: int, other: int) -> bool:
    """Of two numbers that wrap at 2^32, the later is less than half of that ahead (RFC 1982)."""
    return (number - other) & 0xFFFFFFFF >= 1 << 31


def _acknowledge(flow: FlowRow, number: int) -> None:
    if not flow.tcp_flags & _ACK or not _is_before(number, flow.acknowledged):
        flow.acknowledged = number


def _one_port(known: int, port: int) -> int:
    """The source port of a flow's tunnel, where it is one."""
    return port if known in (-1, port) else SEVERAL_PORTS


def _merge_flow(mine: FlowRow, theirs: FlowRow) -> None:
    if theirs.first < mine.first:
        mine.first = theirs.first
        mine.outer_source, mine.outer_destination = theirs.outer_source, theirs.outer_destination
    if theirs.tcp_flags & _ACK:
        _acknowledge(mine, theirs.acknowledged)
    mine.tcp_flags |= theirs.tcp_flags
    mine.mss = min(mine.mss, theirs.mss) if mine.mss and theirs.mss else mine.mss or theirs.mss
    mine.options = max(mine.options, theirs.options)
    mine.segment = max(mine.segment, theirs.segment)
    mine.data_bytes += theirs.data_bytes
    mine.ranges_folded |= theirs.ranges_folded
    if theirs.outer_source_port != -1:
        mine.outer_source_port = _one_port(mine.outer_source_port, theirs.outer_source_port)
    if mine.ranges and theirs.ranges:
        shift = _unwrap(theirs.ranges[0][0], mine.ranges[-1][1]) - theirs.ranges[0][0]
        for low, high in theirs.ranges:
            _insert_range(mine, low + shift, high + shift)
    elif theirs.ranges:
        mine.ranges = theirs.ranges


def _merge_cell(mine: Cell, theirs: Cell) -> None:
    mine.datagrams += theirs.datagrams
    mine.inner_bytes += theirs.inner_bytes
    mine.outer_bytes += theirs.outer_bytes
    mine.wire_packets += theirs.wire_packets
    mine.wire_bytes += theirs.wire_bytes
    mine.egress_packets += theirs.egress_packets
    mine.fragmented += theirs.fragmented
    mine.smallest = min(mine.smallest, theirs.smallest)
    mine.largest = max(mine.largest, theirs.largest)
    mine.first_time = min(mine.first_time, theirs.first_time)
    mine.last_time = max(mine.last_time, theirs.last_time)
    for sample in theirs.samples:
        _keep(mine.samples, sample)


def _merge_latencies(mine: Latencies, theirs: Latencies) -> None:
    if not theirs.count:
        return
    mine.smallest = min(mine.smallest, theirs.smallest) if mine.count else theirs.smallest
    mine.largest = max(mine.largest, theirs.largest)
    mine.count += theirs.count
    mine.total += theirs.total
    _add_counts(mine.buckets, theirs.buckets)
    if mine.exact is None or theirs.exact is None or mine.count > EXACT_LATENCIES:
        mine.exact = None
    else:
        mine.exact = sorted([*mine.exact, *theirs.exact])


def _add_counts(mine: dict[_Key, int], theirs: dict[_Key, int]) -> None:
    for key, count in theirs.items():
        mine[key] = mine.get(key, 0) + count
