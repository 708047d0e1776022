"""All questions of `vxtool.engine.queries`, asked by chance, so that two ways to the answers can be held equal."""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from typing import TypeVar

from vxtool.engine.answers import Order, Wanted
from vxtool.engine.queries import Bundles, Large, Queries, Ranked
from vxtool.engine.tables import IN, OUT, PathKey, Tables

_Item = TypeVar("_Item")


def assert_answers_are_plain(tables: Tables, seed: int) -> None:
    """See that these tables answer as their own flows and cells do, gone through one by one."""
    _Asker(tables.queries, tables.plain_queries(), random.Random(seed)).ask_all()


class _Asker:
    def __init__(self, one: Queries, other: Queries, chance: random.Random) -> None:
        self.one, self.other, self.chance = one, other, chance
        self.paths = list(other.paths)
        self.only_in = [path for path in self.paths if _directions(path) == {IN}]
        self.only_out = [path for path in self.paths if _directions(path) == {OUT}]

    def some(self, items: Sequence[_Item]) -> list[_Item]:
        return [item for item in items if self.chance.random() < self.share]

    def ask_all(self) -> None:
        one, other, chance = self.one, self.other, self.chance
        self.share = chance.choice([0.0, 0.5, 0.9, 1.0])
        assert set(one.paths) == set(self.paths)
        for name in ("folded", "told_mss", "sources", "pairs", "tunnels", "source_ports", "tunnel_flows"):
            assert getattr(one, name) == getattr(other, name), name
        assert one.sighted() == other.sighted()
        for many in (0, 1, 5, 1000):
            assert one.addresses(many) == other.addresses(many)
        paths = self.some(self.paths)
        assert one.agreed_mss == other.agreed_mss
        for few in (0, 2, 1000):
            for least, most in ((0, 1 << 40), (1, 200), (100, 100)):
                stalled = one.stalled(least, most, few)
                assert stalled == other.stalled(least, most, few)
                everyone = range(len(other.bundles().rows))
                flows = [row.flow for row in stalled]
                shares = [side.bundles().shares(Wanted(everyone, flows=side.named(flows))) for side in (one, other)]
                assert shares[0] == shares[1]
                assert {share.flow for share in shares[1]} == set(flows)
        assert one.is_answered(paths) == other.is_answered(paths)
        ends = [cell.last_time for cell in other.cells.values()]  # type: ignore[attr-defined]
        waits = chance.choice([0, 1_000, 1_000_000, 1_000_000_000]), max(ends, default=0)
        asked = one.unanswered(*waits), other.unanswered(*waits)
        assert asked[0][1:] == asked[1][1:]
        everyone = range(len(other.bundles().rows))
        shares = [
            side.bundles().shares(Wanted(everyone, flows=unanswered.flows))
            for side, unanswered in zip((one, other), asked, strict=True)
        ]
        assert shares[0] == shares[1]
        assert sum(share.datagrams for share in shares[1]) == asked[1].datagrams
        stuck = one.stuck(waits[0]), other.stuck(waits[0])
        assert (stuck[0] is None) == (stuck[1] is None)
        if stuck[1] is not None:
            shares = [
                side.bundles().shares(Wanted(everyone, flows=flows))
                for side, flows in zip((one, other), stuck, strict=True)
            ]
            assert shares[0] == shares[1]
            assert shares[1]
        assert one.two_sided(self.only_in, self.only_out) == other.two_sided(self.only_in, self.only_out)
        own = self.some(sorted({flow.source for flow, _ in other.cells}))  # type: ignore[attr-defined]
        rewritten = one.rewritten(self.only_in, self.only_out, own)
        assert rewritten == other.rewritten(self.only_in, self.only_out, own)
        limits = {path: chance.choice([64, 1400, 1500, 9000]) for path in self.some(self.paths)}
        large = one.large(limits), other.large(limits)
        self.ask_of_large(*large)
        self.ask_of_bundles(one.bundles(), other.bundles(), large)
        # Flows that stood in an answer can be set apart.
        everything = range(len(other.bundles().rows))
        named = [row.flow for row in one.bundles().top(everything, 5)[0]] + sorted(rewritten)
        apart = {flow: chance.randint(1, 7) for flow in named}
        inside = self.some(self.paths)
        self.ask_of_bundles(one.bundles(inside, apart), other.bundles(inside, apart), large)

    def ask_of_large(self, one: Large, other: Large) -> None:
        assert list(one.rows) == list(other.rows)
        chosen = self.some(range(len(other.rows)))
        assert one.beside(chosen) == other.beside(chosen)

    def ask_of_bundles(self, one: Bundles, other: Bundles, large: tuple[Large, Large]) -> None:
        assert list(one.rows) == list(other.rows)
        assert one.listed() == other.listed()
        chosen = self.some(range(len(other.rows)))
        most = self.chance.choice([1, 2, 5, 100])
        top = one.top(chosen, most)
        assert top == other.top(chosen, most)
        self.ask_of_ranked(one, other, chosen)
        flows = [row.flow for row in top[0]]
        assert large[0].of(flows) == large[1].of(flows)
        assert one.ends(chosen) == other.ends(chosen)
        rows = self.some(range(len(large[1].rows)))
        for flows_of_large in (False, True):
            for wanted in self.wanted(chosen, [row.largest for row in other.rows]):
                each = [wanted._replace(flows=side.flows(rows)) if flows_of_large else wanted for side in large]
                assert one.shares(each[0]) == other.shares(each[1]), wanted
                assert one.earliest(each[0], most) == other.earliest(each[1], most), wanted
                assert one.starts(each[0], most) == other.starts(each[1], most), wanted
                assert list(one.datagrams(each[0])) == list(other.datagrams(each[1])), wanted

    def ask_of_ranked(self, one: Bundles, other: Bundles, bundles: Sequence[int]) -> None:
        for by in ("bytes", "datagrams", "start", "end"):
            few = self.some(bundles)
            for counting in (None, few, []):
                among = self.chance.choice([None, few, self.some(bundles)])
                order = Order(by, counting, among)
                most = self.chance.choice([0, 1, 3, 1000])
                self.ask_of_flows(one.ranked(bundles, order, most), other.ranked(bundles, order, most), few)

    def ask_of_flows(self, one: Ranked, other: Ranked, bundles: Sequence[int]) -> None:
        assert (one.total, one.matching, one.datagrams) == (other.total, other.matching, other.datagrams)
        assert len(one) == len(other)
        ranks = range(len(other))
        flows = other.pick(ranks)
        assert one.pick(ranks) == flows
        some = self.some(ranks)[::-1]
        assert one.pick(some) == other.pick(some) == [flows[rank] for rank in some]
        moments = other.moments()
        assert len(one.moments()) == len(moments)
        everything = moments.page(0, len(moments))
        assert one.moments().page(0, len(moments)) == everything
        start = self.chance.randint(0, len(moments))
        assert one.moments().page(start, 2) == moments.page(start, 2) == everything[start : start + 2]
        chosen = bytes(rank in some for rank in ranks)
        for flags in (None, chosen, b""):
            assert list(one.sent(bundles, flags)) == list(other.sent(bundles, flags))

    def wanted(self, bundles: Collection[int], sizes: Sequence[int]) -> list[Wanted]:
        few = self.some(sizes)
        size = self.chance.choice([*sizes, 100])
        vni = self.chance.choice([0, 7, 1, *(vni for vni, _ in self.other.sources)])
        source = self.chance.choice([b"", b"\x0a\0\0\x01", *(source for _, source in self.other.sources)])
        return [
            Wanted(bundles),
            Wanted(bundles, vni=vni),
            Wanted(bundles, source=source),
            Wanted(bundles, vni=vni, source=source),
            Wanted(bundles, above=size, room=size + self.chance.choice([-1, 0, 49, 50]), beyond=few),
            Wanted(bundles, above=size, smallest_too=True),
            Wanted(bundles, among=few),
            Wanted(bundles, among=few, smallest_too=True),
        ]


def _directions(path: PathKey) -> set[int]:
    return {stage.direction for stage in path.stages}
