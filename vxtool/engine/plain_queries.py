"""The answers of `vxtool.engine.queries` in plain Python, from dicts: the specification of the C engine's."""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from heapq import nsmallest
from itertools import islice
from typing import TypeVar

from vxtool.engine.answers import (
    RECORD_BITS,
    Bundle,
    Datagram,
    Ends,
    LargeRow,
    Listed,
    Order,
    Proof,
    Sent,
    Share,
    Sighted,
    Stalled,
    TopFlow,
    TwoSided,
    Unanswered,
    Wanted,
)
from vxtool.engine.tables import (
    ANY_VNI,
    ECHO_REQUEST,
    FOLDED_ICMP,
    FOLDED_OUTER,
    FOLDED_OUTER_ICMP,
    TAIL_PORT,
    TCP,
    Cell,
    DatagramRow,
    FlowKey,
    FlowRow,
    PathKey,
    Sample,
    SightingRow,
    TunnelRow,
    is_folded,
)

_ICMP = frozenset({1, 58})
_OTHER_ICMP = frozenset({1, 58, FOLDED_ICMP, FOLDED_OUTER_ICMP})  # without an identifier

_NEVER = (1 << 63) - 1  # behind all times

_Key = TypeVar("_Key")
_Sums = TypeVar("_Sums", bound=tuple[int, ...])
Cells = Mapping[tuple[FlowKey, PathKey], Cell]


class PlainQueries:
    """See `vxtool.engine.queries.Queries`."""

    def __init__(
        self,
        flows: Mapping[FlowKey, FlowRow],
        cells: Cells,
        large: Mapping[tuple[FlowKey, int, int, int], int],
        tunnels: Mapping[tuple[bytes, bytes, int, int], TunnelRow],
        datagrams: Sequence[DatagramRow] = (),
        sightings: Sequence[SightingRow] = (),
        folded_mss: Mapping[tuple[bool, bool, int], int] | None = None,
        most_ends: int = 1 << 32,
    ) -> None:
        self.flows = flows
        self.cells = cells
        self._large = large
        self._tunnels = tunnels
        self.datagrams = datagrams
        self._sightings = sightings
        self._folded_mss = folded_mss or {}
        self.most_ends = most_ends

    def sightings(self) -> Iterator[SightingRow]:
        return iter(self._sightings)

    def sighted(self) -> Sighted:
        rows = sorted((_where(*row[:2]), _where(*row[2:])) for row in self._sightings)
        where, first = zip(*rows, strict=True) if rows else ((), ())
        return Sighted(memoryview(array("Q", where)), memoryview(array("Q", first)))

    def addresses(self, most: int) -> list[bytes] | None:
        found = {address for flow in self.flows for address in (flow.source, flow.destination) if address}
        return sorted(found, key=lambda address: (len(address), address)) if len(found) <= most else None

    @cached_property
    def objects(self) -> dict[int, PathKey]:
        """The cells' paths by identity: a path's hash goes deep, and there are few objects."""
        return {id(path): path for _, path in self.cells}

    @cached_property
    def paths(self) -> list[PathKey]:
        return list(dict.fromkeys(self.objects.values()))

    @cached_property
    def tunnels(self) -> dict[tuple[bytes, bytes, int, int], tuple[int, int, Sample]]:
        return {key: (row.datagrams, row.outer_bytes, row.first) for key, row in self._tunnels.items()}

    @cached_property
    def folded(self) -> tuple[int, int]:
        cells = [cell for (flow, _), cell in self.cells.items() if is_folded(flow)]
        return sum(cell.datagrams for cell in cells), sum(cell.inner_bytes for cell in cells)

    @cached_property
    def source_ports(self) -> dict[tuple[bytes, bytes], int]:
        ports: dict[tuple[bytes, bytes], set[int]] = defaultdict(set)
        for (source, destination, _, _), row in self._tunnels.items():
            ports[source, destination] |= row.source_ports
        return {ends: len(numbers) for ends, numbers in ports.items()}

    @cached_property
    def tunnel_flows(self) -> dict[tuple[bytes, bytes], int]:
        flows: dict[tuple[bytes, bytes], int] = defaultdict(int)
        for flow, row in self.flows.items():
            if row.outer_source and flow.source_port >= 0 and flow.destination_port >= 0:
                flows[row.outer_source, row.outer_destination] += 1
        return dict(flows)

    @cached_property
    def told_mss(self) -> dict[tuple[bool, bool, int], int]:
        told: dict[tuple[bool, bool, int], int] = defaultdict(int, self._folded_mss)
        for flow, row in self.flows.items():
            if row.mss:
                told[flow.vni >= 0, len(flow.source) == 16, row.mss] += 1
        return dict(told)

    @cached_property
    def agreed_mss(self) -> dict[tuple[bool, bool, int], int]:
        agreed: dict[tuple[bool, bool, int], int] = defaultdict(int)
        for flow, row in self.flows.items():
            reverse = self.reverse(flow) if row.mss else None
            other = self.flows[reverse].mss if reverse is not None else 0
            if other:
                agreed[flow.vni >= 0, len(flow.source) == 16, min(row.mss, other)] += 1
        return dict(agreed)

    @cached_property
    def sources(self) -> dict[tuple[int, bytes], Sent]:
        cells: dict[tuple[int, bytes], list[Cell]] = defaultdict(list)
        for flow, cell in self._tunnelled():
            cells[flow.vni, _inner(flow, flow.source)].append(cell)
        sent = {
            key: Sent(
                sum(cell.datagrams for cell in rows),
                sum(cell.inner_bytes for cell in rows),
                min(cell.first_time for cell in rows),
                max(cell.last_time for cell in rows),
            )
            for key, rows in cells.items()
        }
        for coarser in (lambda key: (key[0], b""), lambda _key: (ANY_VNI, b"")):
            sent = self._fold(sent, coarser, _sent_together)
        return sent

    @cached_property
    def pairs(self) -> dict[tuple[int, int | None, bytes], tuple[int, int]]:
        def pair(flow: FlowKey) -> tuple[int, int | None, bytes]:
            reverse = self.reverse_vni(flow)
            return flow.vni, reverse, _inner(flow, flow.destination) if reverse is None else b""

        sums = _sums((pair(flow), cell) for flow, cell in self._tunnelled())
        for coarser in (lambda key: (key[0], None, b""), lambda _key: (ANY_VNI, None, b"")):
            sums = self._fold(sums, coarser, lambda one, other: (one[0] + other[0], one[1] + other[1]))
        return sums

    def _fold(
        self, rows: dict[_Key, _Sums], coarser: Callable[[_Key], _Key], together: Callable[[_Sums, _Sums], _Sums]
    ) -> dict[_Key, _Sums]:
        """Where identities are too many, tell all but those that stay more coarsely."""
        stays = _Staying([row[0] for row in rows.values()], self.most_ends // 4)
        folded: dict[_Key, _Sums] = {}
        for key, row in rows.items():
            key = key if stays.one_with(row[0]) else coarser(key)
            folded[key] = together(folded[key], row) if key in folded else row
        return folded

    def _tunnelled(self) -> Iterator[tuple[FlowKey, Cell]]:
        return ((flow, cell) for (flow, _), cell in self.cells.items() if flow.vni >= 0)

    def bundles(self, inside: Collection[PathKey] = (), apart: Mapping[FlowKey, int] | None = None) -> PlainBundles:
        return PlainBundles(self, inside, apart or {})

    def large(self, limits: Mapping[PathKey, int]) -> PlainLarge:
        return PlainLarge(self, self._large, limits)

    # Conversations.

    @cached_property
    def _vnis(self) -> dict[tuple[object, ...], list[int]]:
        """By what follows the VNI in the key."""
        found: dict[tuple[object, ...], list[int]] = defaultdict(list)
        for flow in self.flows:
            found[flow[1:]].append(flow.vni)
        return found

    def reverse_vni(self, flow: FlowKey) -> int | None:
        """The VNI of the other direction; None too where a flow has nothing to be known by."""
        if flow.source_port < 0:
            return None
        alike = [vni for vni in self._vnis.get(_turned(flow), ()) if (vni >= 0) == (flow.vni >= 0)]
        return flow.vni if flow.vni in alike else min(alike, default=None)

    def reverse(self, flow: FlowKey) -> FlowKey | None:
        """The other direction itself."""
        vni = self.reverse_vni(flow)
        return None if vni is None else FlowKey(vni, *_turned(flow))

    def unanswered(self, wait: int, end: int) -> Unanswered:
        asking: dict[FlowKey, list[Cell]] = defaultdict(list)
        for (flow, _), cell in self.cells.items():
            if flow in self.flows and _least_of_asking(flow, self.flows[flow]) and self.reverse(flow) is None:
                asking[flow].append(cell)
        found: dict[FlowKey, int] = {}
        for flow, cells in asking.items():
            datagrams = sum(cell.datagrams for cell in cells)
            first = min(cell.first_time for cell in cells)
            last = max(cell.last_time for cell in cells)
            waited = last - first >= wait or end - last >= wait
            if waited and datagrams >= _least_of_asking(flow, self.flows[flow]):
                found[flow] = datagrams
        connections = sum(flow.protocol == TCP for flow in found)
        return Unanswered(set(found), connections, len(found) - connections, sum(found.values()))

    def stalled(self, least: int, most: int, few: int) -> list[Stalled]:
        reverses: dict[FlowKey, FlowKey] = {}
        for flow, row in self.flows.items():
            covered = sum(high - low for low, high in row.ranges)
            if flow.protocol != TCP or covered > most or row.data_bytes - covered < least:
                continue
            reverse = self.reverse(flow)
            if reverse is not None and row.tcp_flags & self.flows[reverse].tcp_flags & _SYN:
                reverses[flow] = reverse
        wanted = {*reverses, *reverses.values()}
        cells: dict[FlowKey, list[Cell]] = defaultdict(list)
        for (flow, _), cell in self.cells.items() if reverses else ():
            if flow in wanted:
                cells[flow].append(cell)
        found = []
        for flow, reverse in reverses.items():
            row, mine, theirs = self.flows[flow], cells[flow], cells[reverse]
            last, answered = (max(cell.last_time for cell in side) for side in (mine, theirs))
            datagrams, answers = (sum(cell.datagrams for cell in side) for side in (mine, theirs))
            if answers <= few:
                repeated = row.data_bytes - sum(high - low for low, high in row.ranges)
                largest = max(cell.largest for cell in mine)
                closed = bool(self.flows[reverse].tcp_flags & _ENDS)
                found.append(Stalled(flow, reverse, repeated, datagrams, largest, answers, last, answered, closed))
        return found[: self.most_ends]

    def named(self, flows: Collection[FlowKey]) -> object:
        return set(flows)

    def stuck(self, wait: int) -> set[FlowKey] | None:
        answering: dict[FlowKey, list[Cell]] = defaultdict(list)
        for (flow, _), cell in self.cells.items():
            if flow in self.flows and self._is_stuck(flow):
                answering[flow].append(cell)
        found = {
            flow
            for flow, cells in answering.items()
            if max(cell.last_time for cell in cells) - min(cell.first_time for cell in cells) >= wait
        }
        return found or None

    def _is_stuck(self, flow: FlowKey) -> bool:
        """Whether it answers SYNs and does nothing else, and nothing acknowledges or refuses that."""
        if flow.protocol != TCP or self.flows[flow].tcp_flags & ~_ECN_FLAGS != _SYN | _ACK:
            return False
        reverse = self.reverse(flow)
        return reverse is not None and not self.flows[reverse].tcp_flags & (_ACK | _RST)

    def is_answered(self, paths: Collection[PathKey]) -> bool:
        seen = self._along(paths)
        return any(self.reverse(flow) in seen for flow in seen)

    # One-sided journeys that may belong together.

    def two_sided(self, only_in: Collection[PathKey], only_out: Collection[PathKey]) -> list[TwoSided]:
        arrived, left = self._along(only_in), self._along(only_out)
        rows = [
            TwoSided(flow, *_count(rows), *_count(left[flow]))
            for flow, rows in arrived.items()
            if flow in left and not is_folded(flow)
        ]
        return rows[: self.most_ends]

    def rewritten(
        self, only_in: Collection[PathKey], only_out: Collection[PathKey], own: Collection[bytes]
    ) -> set[FlowKey]:
        arrived, left = (
            [flow for flow in self._along(paths) if flow.vni < 0 and flow.source_port >= 0]
            for paths in (only_in, only_out)
        )
        by_destination: dict[tuple[int, bytes, int], list[FlowKey]] = defaultdict(list)
        by_source: dict[tuple[int, bytes, int], list[FlowKey]] = defaultdict(list)
        for flow in left:
            by_destination[flow.protocol, flow.destination, flow.destination_port].append(flow)
            by_source[flow.protocol, flow.source, flow.source_port].append(flow)
        found: set[FlowKey] = set()
        for flow in arrived:
            for other in by_destination.get((flow.protocol, flow.destination, flow.destination_port), ()):
                same_port = other.source_port == flow.source_port
                if other.source != flow.source and (same_port or other.source in own):
                    found |= {flow, other}
            for other in by_source.get((flow.protocol, flow.source, flow.source_port), ()):
                if other.destination != flow.destination:
                    found |= {flow, other}
        answers = {reverse for flow in found if (reverse := self.reverse(flow)) is not None}
        found |= answers & {*arrived, *left}
        if len(found) > self.most_ends:
            found = set(islice((flow for flow in self.flows if flow in found), self.most_ends))
        return found

    def _along(self, paths: Collection[PathKey]) -> dict[FlowKey, list[Cell]]:
        objects = {number for number, path in self.objects.items() if path in paths}
        found: dict[FlowKey, list[Cell]] = {}
        for (flow, path), cell in self.cells.items():
            if id(path) in objects:
                found.setdefault(flow, []).append(cell)
        return found


class PlainBundles:
    """See `vxtool.engine.queries.Bundles`."""

    def __init__(self, queries: PlainQueries, inside: Collection[PathKey], apart: Mapping[FlowKey, int]) -> None:
        self._flows = queries.flows
        self._queries = queries
        self._cells: list[tuple[FlowKey, Cell, int]] = []  # the number is the bundle's
        self._bundle_of: dict[tuple[FlowKey, int], int] = {}  # by flow and path
        bundles: dict[tuple[object, ...], list[Cell]] = defaultdict(list)
        numbers: dict[tuple[object, ...], int] = {}
        places = {path: number for number, path in enumerate(queries.paths)}
        paths = {number: (places[path], path in inside) for number, path in queries.objects.items()}
        told_pairs: set[tuple[bytes, bytes]] = set()
        told_inside: set[bytes] = set()
        for (flow, path), cell in queries.cells.items():
            place, asked = paths[id(path)]
            pair = self._outermost(flow)
            if flow.vni == -1 and not _is_told(told_pairs, pair, queries.most_ends):
                pair = (b"", b"")
            inner = _inner(flow, flow.destination) if asked else b""
            if asked and not _is_told(told_inside, inner, queries.most_ends):
                inner = b""
            alike = (
                apart.get(flow, 0),
                flow.protocol in _OTHER_ICMP and flow.source_port < 0,
                cell.egress_packets > cell.wire_packets,
            )
            key: tuple[object, ...] = (place, *pair, inner, *alike)
            if len(numbers) >= queries.most_ends and key not in numbers:
                key = (place, b"", b"", b"", *alike)
            number = numbers.setdefault(key, len(numbers))
            self._cells.append((flow, cell, number))
            self._bundle_of[flow, place] = number
            bundles[key].append(cell)
        self.rows: Sequence[Bundle] = [
            Bundle(queries.paths[place], *key, *_sum(cells))  # type: ignore[arg-type, call-overload]
            for (place, *key), cells in bundles.items()
        ]

    def _outermost(self, flow: FlowKey) -> tuple[bytes, bytes]:
        """Source and destination as a router sees them."""
        if flow.vni == -1:
            return flow.source, flow.destination
        return self._outer(flow)

    def _outer(self, flow: FlowKey) -> tuple[bytes, bytes]:
        row = self._flows.get(flow)
        return (row.outer_source, row.outer_destination) if row is not None else (b"", b"")

    def earliest(self, wanted: Wanted, most: int) -> list[Proof]:
        rows = ((*row, at) for row in self._chosen(wanted) for at in range(len(row[1].samples)))
        return nsmallest(most, (self._proof(*row) for row in rows))

    def starts(self, wanted: Wanted, most: int) -> list[Proof]:
        return nsmallest(most, (self._proof(*row, 0) for row in self._chosen(wanted)))

    def _proof(self, flow: FlowKey, cell: Cell, bundle: int, at: int) -> Proof:
        return Proof(cell.samples[at], flow, *self._outer(flow), bundle, cell.smallest, cell.largest)

    def _chosen(self, wanted: Wanted) -> Iterator[tuple[FlowKey, Cell, int]]:
        chosen = set(wanted.bundles)

        def fits(size: int) -> bool:
            return size > wanted.above and (wanted.among is None or size in wanted.among)

        for flow, cell, bundle in self._cells:
            if (
                bundle in chosen
                and wanted.vni in (None, flow.vni)
                and wanted.source in (None, _inner(flow, flow.source))
                and (wanted.flows is None or flow in wanted.flows)  # type: ignore[operator]
                and fits(cell.largest)
                and cell.largest not in wanted.beyond
                and (not wanted.smallest_too or fits(cell.smallest))
                and (wanted.room is None or cell.largest + _overhead(cell) > wanted.room)
            ):
                yield flow, cell, bundle

    def shares(self, wanted: Wanted) -> list[Share]:
        return [_share(*row) for row in self._chosen(wanted)]

    def datagrams(self, wanted: Wanted) -> Iterator[Datagram]:
        places = {path: number for number, path in enumerate(self._queries.paths)}
        cells = {id(cell) for _, cell, _ in self._chosen(wanted)}
        for sample, flow, path, *rest in self._queries.datagrams:
            if id(self._queries.cells[flow, path]) in cells:
                yield Datagram(sample, flow, self._bundle_of[flow, places[path]], *rest)

    def listed(self) -> Listed:
        places = {path: number for number, path in enumerate(self._queries.paths)}
        rows = sorted(
            (
                _where(*row.sample[1:]),
                self._bundle_of[row.flow, places[row.path]],
                row.latency,
                row.inner_length,
                row.flow.vni,
            )
            for row in self._queries.datagrams
        )
        columns = zip(*rows, strict=True) if rows else [()] * 5
        return Listed(*(memoryview(array(kind, values)) for kind, values in zip("QIqIi", columns, strict=True)))

    def ends(self, bundles: Collection[int]) -> list[Ends]:
        found: dict[tuple[bytes, bytes], list[Cell]] = defaultdict(list)
        for flow, cell, _ in self._chosen(Wanted(bundles)):
            found[(flow.source, flow.destination) if flow.source else self._outer(flow)].append(cell)
        stays = _Staying(
            [sum(cell.datagrams for cell in cells) for cells in found.values()], self._queries.most_ends // 4
        )
        told: dict[tuple[bytes, bytes], list[Cell]] = defaultdict(list)
        for pair, cells in found.items():
            told[pair if stays.one_with(sum(cell.datagrams for cell in cells)) else (b"", b"")] += cells
        return [
            Ends(
                source,
                destination,
                sum(cell.datagrams for cell in cells),
                min(cell.smallest for cell in cells),
                max(cell.largest for cell in cells),
                min(cell.first_time for cell in cells),
                max(cell.last_time for cell in cells),
            )
            for (source, destination), cells in told.items()
        ]

    def top(self, bundles: Collection[int], most: int) -> tuple[list[TopFlow], int]:
        ranked = self.ranked(bundles, Order(), most)
        return ranked.pick(range(len(ranked))), ranked.total

    def ranked(self, bundles: Collection[int], order: Order, most: int) -> PlainRanked:
        chosen = [row for row in self._chosen(Wanted(bundles)) if not is_folded(row[0])]
        return PlainRanked(self, chosen, order, most)

    def top_flow(self, flow: FlowKey, shares: list[Share]) -> TopFlow:
        reverse = self._queries.reverse(flow)
        return TopFlow(
            flow,
            self._flows.get(flow),
            None if reverse is None else reverse.vni,
            None if reverse is None else self._flows.get(reverse),
            shares,
        )


class PlainRanked:
    """See `vxtool.engine.queries.Ranked`."""

    def __init__(
        self, bundles: PlainBundles, rows: Sequence[tuple[FlowKey, Cell, int]], order: Order, most: int
    ) -> None:
        self._bundles = bundles
        self._order = order
        owners = _owners_of_tails({flow for flow, _, _ in rows})
        parts: dict[FlowKey, list[tuple[FlowKey, Cell, int]]] = defaultdict(list)
        for row in rows:
            parts[owners.get(row[0], row[0])].append(row)
        matching = {
            flow: mine
            for flow, mine in parts.items()
            if order.among is None or any(bundle in order.among for _, _, bundle in mine)
        }
        self.total, self.matching = len(parts), len(matching)
        self.datagrams = sum(
            cell.datagrams
            for mine in matching.values()
            for _, cell, bundle in mine
            if order.among is None or bundle in order.among
        )
        values = {flow: (self._measure(mine), -_octets(mine)) for flow, mine in matching.items()}
        self._flows = _first(values, most)
        self._parts = [matching[flow] for flow in self._flows]

    def _counting(self, rows: Sequence[tuple[FlowKey, Cell, int]]) -> list[tuple[FlowKey, Cell, int]]:
        counting = self._order.counting
        return [row for row in rows if counting is None or row[2] in counting]

    def _measure(self, rows: Sequence[tuple[FlowKey, Cell, int]]) -> int:
        """The lower ones come first."""
        counting = self._counting(rows)
        if self._order.by == "bytes":
            return -_octets(counting)
        if self._order.by == "datagrams":
            return -sum(cell.datagrams for _, cell, _ in counting)
        if self._order.by == "start":
            return min((cell.first_time for _, cell, _ in counting), default=_NEVER)
        return max((cell.last_time for _, cell, _ in counting), default=_NEVER)

    def __len__(self) -> int:
        return len(self._flows)

    def pick(self, ranks: Sequence[int]) -> list[TopFlow]:
        return [
            self._bundles.top_flow(self._flows[rank], [_share(*row) for row in self._parts[rank]]) for rank in ranks
        ]

    def moments(self) -> PlainMoments:
        ends = self._order.by == "end"
        return PlainMoments(
            sorted(
                {
                    (cell.last_time if ends else cell.first_time, rank)
                    for rank, rows in enumerate(self._parts)
                    for _, cell, _ in self._counting(rows)
                }
            )
        )

    def sent(self, bundles: Collection[int], chosen: bytes | None = None) -> Iterator[tuple[int, Datagram]]:
        ranks = {
            flow: rank
            for rank, rows in enumerate(self._parts)
            if chosen is None or any(chosen[rank : rank + 1])
            for flow, _, _ in rows
        }
        for each in self._bundles.datagrams(Wanted(bundles, flows=ranks.keys())):
            yield ranks[each.flow], each


class PlainMoments:
    """See `vxtool.engine.queries.Moments`."""

    def __init__(self, pairs: list[tuple[int, int]]) -> None:
        self._pairs = pairs

    def __len__(self) -> int:
        return len(self._pairs)

    def page(self, start: int, most: int) -> list[tuple[int, int]]:
        return self._pairs[start : start + most]


class PlainLarge:
    """See `vxtool.engine.queries.Large`."""

    def __init__(
        self,
        queries: PlainQueries,
        large: Mapping[tuple[FlowKey, int, int, int], int],
        limits: Mapping[PathKey, int],
    ) -> None:
        limit_of: dict[FlowKey, int] = {}
        for flow, path in queries.cells if limits else ():
            limit_of[flow] = max(limits.get(path, -1), limit_of.get(flow, -1))
        self._flows: dict[FlowKey, list[tuple[int, int]]] = defaultdict(list)
        rows: dict[tuple[object, ...], int] = defaultdict(int)
        numbers: dict[tuple[object, ...], int] = {}
        for (flow, *lengths), datagrams in large.items():
            row = queries.flows.get(flow)
            told = [
                queries.flows[key].mss
                for key in (flow, queries.reverse(flow))
                if key is not None and key in queries.flows and queries.flows[key].mss
            ]
            key = (
                flow.vni >= 0 or (flow.vni == ANY_VNI and lengths[0] != lengths[1]),
                flow.protocol,
                len(flow.source) == 16,
                row.options if row is not None else 0,
                min(told, default=0),
                len(told) == 2,
                limit_of.get(flow, -1),
                row.segment if row is not None else 0,
                *lengths,
            )
            rows[key] += datagrams
            self._flows[flow].append((numbers.setdefault(key, len(numbers)), datagrams))
        self.rows: Sequence[LargeRow] = [
            LargeRow(*key, datagrams)  # type: ignore[arg-type, call-arg]
            for key, datagrams in rows.items()
        ]

    def beside(self, rows: Collection[int]) -> dict[tuple[int, int], int]:
        found: dict[tuple[int, int], int] = defaultdict(int)
        for parts in self._flows.values():
            other = max((self.rows[row].payload for row, _ in parts if row not in rows), default=0)
            for row, datagrams in parts:
                if row in rows:
                    found[row, other] += datagrams
        return dict(found)

    def flows(self, rows: Collection[int]) -> object:
        return {flow for flow, parts in self._flows.items() if any(row in rows for row, _ in parts)}

    def of(self, flows: Collection[FlowKey]) -> dict[FlowKey, list[tuple[int, int]]]:
        return {flow: self._flows[flow] for flow in flows if flow in self._flows}


_SYNS, _ECHOES = 2, 3  # at least, to be asking again and again
_SYN, _RST, _ACK, _ENDS, _ECN_FLAGS = 0x02, 0x04, 0x10, 0x05, 0xC0  # of TCP's flags, RFC 9293 and RFC 3168


def _where(number: int, record: int) -> int:
    """Of a record of an input."""
    return number << RECORD_BITS | record


def _least_of_asking(flow: FlowKey, row: FlowRow) -> int:
    """How many datagrams make it one that asks again and again; 0: it does something else."""
    if flow.source_port < 0:
        return 0
    if flow.protocol == TCP:
        return _SYNS if row.tcp_flags & ~_ECN_FLAGS == _SYN else 0
    return _ECHOES if flow.protocol in _ICMP and row.tcp_flags == ECHO_REQUEST else 0


class _Staying:
    """Which of the rows of an answer stay, where they are too many: half as many as may be, those with the most
    datagrams, and of equal ones the first."""

    def __init__(self, counts: list[int], most: int) -> None:
        chosen = sorted(counts, reverse=True)[: most // 2] if len(counts) > most else counts
        self._least = chosen[-1] if len(counts) > most else -1
        self._ties = chosen.count(self._least)

    def one_with(self, datagrams: int) -> bool:
        """Whether the next row stays, which has so many."""
        if datagrams == self._least and self._ties:
            self._ties -= 1
            return True
        return datagrams > self._least


def _is_told(told: set[_Key], key: _Key, most: int) -> bool:
    """Whether it is one of the first so many."""
    if len(told) < most:
        told.add(key)
    return key in told


def _sent_together(one: Sent, other: Sent) -> Sent:
    return Sent(
        one.datagrams + other.datagrams,
        one.inner_bytes + other.inner_bytes,
        min(one.first_time, other.first_time),
        max(one.last_time, other.last_time),
    )


def _inner(flow: FlowKey, address: bytes) -> bytes:
    """One of its addresses, where they are not those of the tunnel."""
    return b"" if flow.protocol in (FOLDED_OUTER, FOLDED_OUTER_ICMP) else address


def _turned(flow: FlowKey) -> tuple[int, bytes, int, bytes, int]:
    """What follows the VNI in the key of the other direction."""
    _, protocol, source, source_port, destination, destination_port = flow
    if destination_port < 0:  # ICMP echo has its identifier as the source port both ways
        return protocol, destination, source_port, source, destination_port
    return protocol, destination, destination_port, source, source_port


def _sums(rows: Iterable[tuple[_Key, Cell]]) -> dict[_Key, tuple[int, int]]:
    sums: dict[_Key, list[int]] = defaultdict(lambda: [0, 0])
    for key, cell in rows:
        row = sums[key]
        row[0] += cell.datagrams
        row[1] += cell.inner_bytes
    return {key: (row[0], row[1]) for key, row in sums.items()}


def _sum(cells: Sequence[Cell]) -> tuple[int, ...]:
    """What follows the key in a Bundle."""
    return (
        sum(cell.datagrams for cell in cells),
        sum(cell.inner_bytes for cell in cells),
        sum(cell.outer_bytes for cell in cells),
        sum(cell.wire_packets for cell in cells),
        sum(cell.wire_bytes for cell in cells),
        sum(max(cell.wire_bytes, cell.outer_bytes) for cell in cells),
        sum(max(cell.wire_packets - cell.egress_packets, cell.datagrams) for cell in cells),
        sum(cell.fragmented for cell in cells),
        min(cell.smallest for cell in cells),
        max(cell.largest for cell in cells),
    )


def _count(cells: Sequence[Cell]) -> tuple[int, int]:
    return sum(cell.datagrams for cell in cells), max(cell.largest for cell in cells)


def _overhead(cell: Cell) -> int:
    return (cell.outer_bytes - cell.inner_bytes) // cell.datagrams


def _share(flow: FlowKey, cell: Cell, bundle: int) -> Share:
    return Share(
        flow,
        bundle,
        cell.datagrams,
        cell.inner_bytes,
        cell.wire_packets,
        cell.first_time,
        cell.last_time,
        cell.outer_bytes,
        cell.wire_bytes,
    )


def _owners_of_tails(flows: Collection[FlowKey]) -> dict[FlowKey, FlowKey]:
    """The flow that each flow of tails belongs to, where only one can be it."""
    tails = [flow for flow in flows if flow.source_port == TAIL_PORT]
    candidates: dict[FlowKey, list[FlowKey]] = {_without_ports(flow): [] for flow in tails}
    for flow in flows if tails else ():
        if flow.source_port >= 0 and (mine := candidates.get(_without_ports(flow))) is not None:
            mine.append(flow)
    return {flow: mine[0] for flow in tails if len(mine := candidates[_without_ports(flow)]) == 1}


def _without_ports(flow: FlowKey) -> FlowKey:
    return flow._replace(source_port=-1, destination_port=-1)


def _octets(rows: Iterable[tuple[FlowKey, Cell, int]]) -> int:
    return sum(cell.inner_bytes for _, cell, _ in rows)


def _first(values: dict[FlowKey, tuple[int, int]], most: int) -> list[FlowKey]:
    """The flows with the lowest values, in order; of equal ones those whose key comes first."""
    if len(values) > most:
        # Numbers first, which are compared faster than keys: most flows are below the least that is shown.
        if not most:
            return []
        least = nsmallest(most, values.values())[-1]
        equal = [flow for flow, value in values.items() if value == least]
        values = {flow: value for flow, value in values.items() if value < least}
        values |= dict.fromkeys(nsmallest(most - len(values), equal), least)
    return sorted(values, key=lambda flow: (values[flow], flow))
