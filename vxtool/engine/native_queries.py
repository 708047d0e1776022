"""The answers of `vxtool.engine.queries` from the C engine, which knows flows, paths and bundles by number.

What was found of every flow or cell stays a `bytes` object that only C looks into. Keys are made for the flows that
an answer names, and remembered, so that they can be asked about.
"""

from __future__ import annotations

import threading
from array import array
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache, cached_property, lru_cache
from itertools import islice

from vxtool import _native
from vxtool.engine.answers import (
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
from vxtool.engine.tables import OTHER_FLOWS, FlowKey, FlowRow, PathKey, Sample, SightingRow

_ANY_ROOM = -(1 << 63)
_ONLY_IN, _ONLY_OUT = 1, 2  # as in query.h
_MOST = 0xFFFFFFFF  # that C counts up to
_NO_FLOW = _MOST
_PIECE = 4096  # datagrams at once
_SHARE = 8  # bytes of a share in an array of them
_BY = {"bytes": 0, "datagrams": 1, "start": 2, "end": 3}  # as in query.h
_MANY_FLOWS = 1 << 16  # from here on, what takes long is found ahead where there is another core


class NativeQueries:
    """See `vxtool.engine.queries.Queries`."""

    def __init__(self, engine: _native.Engine, paths: Sequence[PathKey], ahead: bool = False) -> None:
        """`ahead`: another thread may find what is asked later."""
        self.paths = paths
        self.ask = _native.Queries(engine)
        self._engine = engine
        self._path_numbers = {path: number for number, path in enumerate(paths)}
        self._keys: dict[int, FlowKey] = {-1: OTHER_FLOWS}
        self._flow_numbers: dict[FlowKey, int] = {OTHER_FLOWS: -1}
        self._finding: threading.Thread | None = None
        self._found: bytes | None = None
        if ahead and self.ask.flow_count() >= _MANY_FLOWS:
            with suppress(RuntimeError):  # no thread is to be had
                finding = threading.Thread(target=self._find_reverses, daemon=True)
                finding.start()
                self._finding = finding

    # Flows by number.

    def flow(self, number: int) -> FlowKey:
        key = self._keys.get(number)
        if key is None:
            key = self._keys[number] = self.key(number)
            self._flow_numbers[key] = number
        return key

    def key(self, number: int) -> FlowKey:
        """The same without that it is remembered, of one that is not OTHER_FLOWS."""
        (row,) = self._engine.rows("flow_keys", number, 1)
        return FlowKey._make(row)

    def by_flow(self, values: Mapping[FlowKey, int]) -> bytes:
        """A byte for each flow, 0 where there is no value; the last one is that of OTHER_FLOWS."""
        octets = bytearray(self.ask.flow_count() + 1)
        for flow, value in values.items():
            octets[self._flow_numbers[flow]] = value
        return bytes(octets)

    @cached_property
    def _reverses(self) -> bytes:
        """The number of each flow's other direction, or _NO_FLOW."""
        if self._finding is not None:
            self._finding.join()
        return self.ask.reverses() if self._found is None else self._found

    def _find_reverses(self) -> None:
        with suppress(MemoryError):  # who asks will meet it again
            self._found = self.ask.reverses()

    def top_flow(self, number: int, key: Callable[[int], FlowKey], shares: list[Share]) -> TopFlow:
        flow = key(number)
        row = self._row(number)
        reverse = memoryview(self._reverses).cast("I")[number]
        if reverse == _NO_FLOW:
            return TopFlow(flow, row, None, None, shares)
        return TopFlow(flow, row, key(reverse).vni, self._row(reverse), shares)

    def _row(self, number: int) -> FlowRow:
        (row,) = self._engine.rows("flows", number, 1)
        return flow_row(row)

    # Questions.

    def sightings(self) -> Iterator[SightingRow]:
        start = 0
        while rows := self._engine.rows("sightings", start, _PIECE):
            yield from map(SightingRow._make, rows)
            start += _PIECE

    def sighted(self) -> Sighted:
        where, first = self.ask.sighted()
        return Sighted(memoryview(where).cast("Q"), memoryview(first).cast("Q"))

    def addresses(self, most: int) -> list[bytes] | None:
        found = self.ask.addresses(most)
        return None if found is None else sorted(found, key=lambda address: (len(address), address))

    @cached_property
    def tunnels(self) -> dict[tuple[bytes, bytes, int, int], tuple[int, int, Sample]]:
        return {row[:4]: (*row[4:6], Sample._make(row[6])) for row in self.ask.tunnels()}

    @cached_property
    def folded(self) -> tuple[int, int]:
        return self.ask.folded()

    @cached_property
    def source_ports(self) -> dict[tuple[bytes, bytes], int]:
        return {(source, destination): ports for source, destination, ports in self.ask.source_ports()}

    @cached_property
    def tunnel_flows(self) -> dict[tuple[bytes, bytes], int]:
        return {(source, destination): flows for source, destination, flows in self.ask.tunnel_flows()}

    @cached_property
    def told_mss(self) -> dict[tuple[bool, bool, int], int]:
        return {(tunnelled, ipv6, mss): flows for tunnelled, ipv6, mss, flows in self.ask.told_mss()}

    @cached_property
    def agreed_mss(self) -> dict[tuple[bool, bool, int], int]:
        if not self.told_mss:
            return {}
        return {row[:3]: row[3] for row in self.ask.agreed_mss(self._reverses)}

    @cached_property
    def sources(self) -> dict[tuple[int, bytes], Sent]:
        return {(vni, source): Sent(*rest) for vni, _, source, *rest in self.ask.sources()}

    @cached_property
    def pairs(self) -> dict[tuple[int, int | None, bytes], tuple[int, int]]:
        return {
            (vni, reverse if reverse >= 0 else None, destination): (datagrams, octets)
            for vni, reverse, destination, datagrams, octets, *_ in self.ask.pairs(self._reverses)
        }

    def bundles(
        self, inside: Collection[PathKey] = (), apart: Mapping[FlowKey, int] | None = None
    ) -> NativeBundles:
        return NativeBundles(self, self._sides(inside), self.by_flow(apart) if apart else None)

    def large(self, limits: Mapping[PathKey, int]) -> NativeLarge:
        # As their ranks, which are as small as C needs them and in the same order.
        ranked = sorted(set(limits.values()))
        ranks = memoryview(bytearray(4 * len(self.paths))).cast("I")
        for path, limit in limits.items():
            ranks[self._path_numbers[path]] = ranked.index(limit) + 1
        reverses = self._reverses if self.ask.large_count() else None
        return NativeLarge(self, *self.ask.large(bytes(ranks), reverses), [-1, *ranked])

    def two_sided(self, only_in: Collection[PathKey], only_out: Collection[PathKey]) -> list[TwoSided]:
        rows = self.ask.two_sided(self._sides(only_in, only_out))
        return [TwoSided(self.flow(number), *rest) for number, *rest in rows]

    def rewritten(
        self, only_in: Collection[PathKey], only_out: Collection[PathKey], own: Collection[bytes]
    ) -> set[FlowKey]:
        return set(map(self.flow, self.ask.rewritten(self._sides(only_in, only_out), list(own), self._reverses)))

    def unanswered(self, wait: int, end: int) -> Unanswered:
        return Unanswered(*self.ask.unanswered(self._reverses, wait, end))

    def stalled(self, least: int, most: int, few: int) -> list[Stalled]:
        rows = self.ask.stalled(self._reverses, least, most, few)
        return [Stalled._make((self.flow(row[0]), self.flow(row[1]), *row[2:])) for row in rows]

    def named(self, flows: Collection[FlowKey]) -> object:
        return self.by_flow(dict.fromkeys(flows, 1))

    def stuck(self, wait: int) -> object | None:
        return self.ask.stuck(self._reverses, wait)

    def is_answered(self, paths: Collection[PathKey]) -> bool:
        return self.ask.is_answered(self._sides(paths), self._reverses)

    def _sides(self, only_in: Iterable[PathKey], only_out: Iterable[PathKey] = ()) -> bytes:
        sides = bytearray(len(self.paths))
        for side, paths in ((_ONLY_IN, only_in), (_ONLY_OUT, only_out)):
            for path in paths:
                sides[self._path_numbers[path]] = side
        return bytes(sides)


class NativeBundles:
    """See `vxtool.engine.queries.Bundles`."""

    def __init__(self, queries: NativeQueries, inside: bytes, apart: bytes | None) -> None:
        self.queries = queries
        rows, self.of_cells = queries.ask.bundles(inside, apart)
        self.rows: Sequence[Bundle] = [Bundle._make((queries.paths[path], *rest)) for path, *rest in rows]

    def earliest(self, wanted: Wanted, most: int) -> list[Proof]:
        return self._proofs(wanted, False, most)

    def starts(self, wanted: Wanted, most: int) -> list[Proof]:
        return self._proofs(wanted, True, most)

    def _proofs(self, wanted: Wanted, starts: bool, most: int) -> list[Proof]:
        rows = self.queries.ask.earliest(self._cells(wanted), starts, most)
        return [Proof(Sample(*row[:3]), self.queries.flow(row[3]), *row[4:]) for row in rows]

    def shares(self, wanted: Wanted) -> list[Share]:
        rows = self.queries.ask.shares(self._cells(wanted))
        return [Share(self.queries.flow(number), *rest) for _, number, *rest in rows]

    def datagrams(self, wanted: Wanted) -> Iterator[Datagram]:
        return (each for _, each in self.each_datagram(wanted, self.queries.flow))

    def each_datagram(self, wanted: Wanted, key: Callable[[int], FlowKey]) -> Iterator[tuple[int, Datagram]]:
        """Each with the number of its flow."""
        cells = self._cells(wanted)
        at: int | None = 0
        while at is not None:
            rows, at = self.queries.ask.datagrams(cells, at, _PIECE)
            for time, number, record, flow, *rest in rows:
                yield flow, Datagram(Sample(time, number, record), key(flow), *rest)

    def listed(self) -> Listed:
        arrays = self.queries.ask.listed(self.of_cells)
        where, bundle, latency, length, vni = (memoryview(each) for each in arrays)
        return Listed(where.cast("Q"), bundle.cast("I"), latency.cast("q"), length.cast("I"), vni.cast("i"))

    def ends(self, bundles: Collection[int]) -> list[Ends]:
        return list(map(Ends._make, self.queries.ask.ends(self._cells(Wanted(bundles)))))

    def top(self, bundles: Collection[int], most: int) -> tuple[list[TopFlow], int]:
        ranked = self.ranked(bundles, Order(), most)
        return ranked.pick_by(range(len(ranked)), self.queries.flow), ranked.total

    def ranked(self, bundles: Collection[int], order: Order, most: int) -> NativeRanked:
        by = _BY[order.by], _flags_or_none(order.counting), _flags_or_none(order.among)
        return NativeRanked(self, by, *self.queries.ask.ranked(self._cells(Wanted(bundles)), by, min(most, _MOST)))

    def _cells(self, wanted: Wanted) -> tuple[object, ...]:
        """As C takes it."""
        return (
            self.of_cells,
            _flags(wanted.bundles),
            wanted.flows,
            None if wanted.among is None else _in_order(wanted.among),
            _in_order(wanted.beyond),
            wanted.source,
            -1 if wanted.vni is None else wanted.vni,
            wanted.above,
            _ANY_ROOM if wanted.room is None else wanted.room,
            wanted.smallest_too,
        )


class NativeRanked:
    """See `vxtool.engine.queries.Ranked`."""

    def __init__(
        self,
        bundles: NativeBundles,
        order: tuple[int, bytes | None, bytes | None],
        flows: bytes,
        total: int,
        matching: int,
        datagrams: int,
        starts: bytes,
        shares: bytes,
        ranks: bytes,
    ) -> None:
        self.total, self.matching, self.datagrams = total, matching, datagrams
        self._bundles = bundles
        self._order = order
        self._flows = memoryview(flows).cast("I")
        self._starts = memoryview(starts).cast("I")
        self._shares = shares
        self._ranks = ranks

    def __len__(self) -> int:
        return len(self._flows)

    def pick(self, ranks: Sequence[int]) -> list[TopFlow]:
        return self.pick_by(ranks, cache(self._bundles.queries.key))

    def pick_by(self, ranks: Sequence[int], key: Callable[[int], FlowKey]) -> list[TopFlow]:
        queries, starts = self._bundles.queries, self._starts
        mine = memoryview(self._shares)
        chosen = b"".join([mine[_SHARE * starts[rank] : _SHARE * starts[rank + 1]] for rank in ranks])
        rows = iter(queries.ask.shared(self._bundles.of_cells, chosen))
        flows = []
        for rank in ranks:
            of_flow = islice(rows, starts[rank + 1] - starts[rank])
            shares = [Share(key(number), *rest) for _, number, *rest in of_flow]
            flows.append(queries.top_flow(self._flows[rank], key, shares))
        return flows

    def moments(self) -> NativeMoments:
        found = self._bundles.queries.ask.moments(self._bundles.of_cells, self._order, self._shares)
        return NativeMoments(memoryview(found).cast("q"))

    def sent(self, bundles: Collection[int], chosen: bytes | None = None) -> Iterator[tuple[int, Datagram]]:
        wanted = Wanted(bundles, flows=self._bundles.queries.ask.of_ranks(self._ranks, chosen))
        # Few of those in sight of each other are of different flows.
        key = lru_cache(maxsize=_PIECE)(self._bundles.queries.key)
        ranks = memoryview(self._ranks).cast("I")
        for number, datagram in self._bundles.each_datagram(wanted, key):
            yield ranks[number] - 1, datagram


class NativeMoments:
    """See `vxtool.engine.queries.Moments`."""

    def __init__(self, pairs: memoryview) -> None:
        self._pairs = pairs  # time and rank, one behind the other

    def __len__(self) -> int:
        return len(self._pairs) // 2

    def page(self, start: int, most: int) -> list[tuple[int, int]]:
        pairs = self._pairs[2 * start : 2 * (start + most)].tolist()
        return list(zip(pairs[::2], pairs[1::2], strict=True))


class NativeLarge:
    """See `vxtool.engine.queries.Large`."""

    def __init__(
        self, queries: NativeQueries, rows: list[tuple[int, ...]], of_large: bytes, limits: Sequence[int]
    ) -> None:
        self._queries = queries
        self._of_large = of_large
        self.rows: Sequence[LargeRow] = [LargeRow._make((*row[:6], limits[row[6]], *row[7:])) for row in rows]

    def beside(self, rows: Collection[int]) -> dict[tuple[int, int], int]:
        found = self._queries.ask.beside(self._of_large, _flags(rows))
        return {(row, payload): datagrams for row, payload, datagrams in found}

    def flows(self, rows: Collection[int]) -> object:
        return self._queries.ask.large_flows(self._of_large, _flags(rows))

    def of(self, flows: Collection[FlowKey]) -> dict[FlowKey, list[tuple[int, int]]]:
        found: dict[FlowKey, list[tuple[int, int]]] = {}
        wanted = self._queries.by_flow(dict.fromkeys(flows, 1))
        for number, row, datagrams in self._queries.ask.large_of(self._of_large, wanted):
            found.setdefault(self._queries.flow(number), []).append((row, datagrams))
        return found


def flow_row(row: tuple[tuple[int, int, int], *tuple[object, ...]]) -> FlowRow:
    first, *rest = row
    return FlowRow(Sample(*first), *rest)  # type: ignore[arg-type]


def _flags(numbers: Collection[int]) -> bytes:
    """A byte for each number up to the largest, 1 where it is among these."""
    flags = bytearray(max(numbers, default=-1) + 1)
    for number in numbers:
        flags[number] = 1
    return bytes(flags)


def _flags_or_none(numbers: Collection[int] | None) -> bytes | None:
    return None if numbers is None else _flags(numbers)


def _in_order(lengths: Collection[int]) -> bytes:
    """Lengths of packets as 32-bit words: records may claim one of 4 GB, so these are no places in an array."""
    return array("I", sorted(lengths)).tobytes()
