"""Lists of flows and packets that are longer than what is held at once: the same lines, in the order that was asked
for, and within bounds."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from analysis.scenes import MS, POD_A, POD_B, US, Seen, came, datagram, fragments, passed, pcap, segment, tunnel

from vxtool import flows
from vxtool.analysis import flows as flow_lines
from vxtool.analysis import packet_list
from vxtool.analysis.model import FlowList, ListedFlow
from vxtool.report import FLOW_RENDERERS, Target
from vxtool.report import flows as flow_table

SORTS = ("bytes", "packets", "start", "end", "drops")
VERDICTS = ("FORWARDED", "DROPPED", "TRACED")
CHOICES: list[dict[str, Any]] = [
    {},
    {"top": 5},
    {"verdicts": ["DROPPED"]},
    {"verdicts": ["DROPPED", "TRACED"], "top": 3},
    {"on_ports": [4001, 4003, 4010, 4011]},
    {"protocols": ["udp"], "top": 4},
    {"protocols": ["tcp"], "verdicts": ["FORWARDED"]},
]


def many(tmp_path: Path) -> str:
    """Some thirty flows of few sizes and times, so that many are equal, with losses now and then; and one with
    fragments."""
    chance = random.Random(5)
    records: list[Seen] = []
    for number in range(150):
        ends = (POD_A, 4000 + chance.randint(0, 24)), (POD_B, 80)
        size, time = chance.choice([100, 200]), number // 3 * 10 * MS
        packet = segment(number, size, *ends) if ends[0][1] % 2 else datagram(size, number, *ends)
        seen = tunnel(packet)
        records += passed(time, seen) if chance.random() < 0.7 else [came(time, seen)]
    for at, piece in enumerate(fragments(datagram(2000, 500, (POD_A, 5000), ("172.20.9.9", 53)), 1400)):
        records += passed(600 * MS + at * US, tunnel(piece))
    records += [came(1_490 * MS, tunnel(datagram(100, 600, (POD_A, 4002), (POD_B, 80))))]
    return pcap(tmp_path / "capture.pcap", sorted(records, key=lambda seen: seen.time))


def in_pieces(monkeypatch: pytest.MonkeyPatch, size: int = 2) -> None:
    for module in (flow_lines, packet_list):
        monkeypatch.setattr(module, "PIECE", size)
    monkeypatch.setattr(packet_list, "_MOST_LINES", size)
    monkeypatch.setattr(flow_lines, "_MOST_ENDS", size)


@pytest.mark.parametrize("room", [0, 100, 1 << 20])
def test_a_table_of_many_rows_is_that_of_few(tmp_path: Path, room: int, monkeypatch: pytest.MonkeyPatch) -> None:
    found = flows([many(tmp_path)])
    for width in (72, 200):
        whole = "".join(flow_table.render(found, Target(width)))
        with monkeypatch.context() as patch:
            patch.setattr(flow_table, "_LINES", 3)
            patch.setattr(flow_table, "_MOST_PACKED", room)
            pieces = list(flow_table.render(found, Target(width)))
        assert len(pieces) > 5
        assert "".join(pieces) == whole


def ends(line: ListedFlow) -> tuple[object, ...]:
    return line["protocol"], line["source"]["port"], line["destination"]["address"]


def expected(lines: list[ListedFlow], sort: str, verdicts: Any, top: int | None) -> list[ListedFlow]:
    """Lines in the order that `flows` promises, from those of all flows by bytes."""
    parts: list[tuple[list[ListedFlow], int]] = []
    for rank, (_, group) in enumerate(groupby(lines, ends)):
        mine = [line for line in group if line["verdict"] in verdicts]
        if mine:
            parts.append((mine, rank))

    def measure(part: tuple[list[ListedFlow], int]) -> tuple[object, int]:
        mine, rank = part
        dropped = [line["datagrams"] for line in mine if line["verdict"] == "DROPPED"]
        return {
            "bytes": -sum(line["inner_bytes"] for line in mine),
            "packets": -sum(line["datagrams"] for line in mine),
            "start": min(line["first_time"] for line in mine),
            "end": max(line["last_time"] for line in mine),
            "drops": -sum(dropped),
        }[sort], rank

    parts.sort(key=measure)
    if sort == "drops":
        for mine, _ in parts:
            mine.sort(key=lambda line: line["verdict"] != "DROPPED")
    found = [line for mine, _ in parts[:top] for line in mine]
    if sort in ("start", "end"):
        found.sort(key=lambda line: line["first_time"] if sort == "start" else line["last_time"])
    return found


@pytest.mark.parametrize("sort", SORTS)
def test_lines_come_in_the_order_that_is_asked_for(tmp_path: Path, sort: Any, engine: str) -> None:
    path = many(tmp_path)
    lines = list(flows([path])["flows"])
    assert {line["verdict"] for line in lines} == set(VERDICTS)
    assert len(lines) > flows([path])["flows_total"] > 20
    for verdicts in (VERDICTS, ["DROPPED"], ["FORWARDED", "TRACED"]):
        for top in (None, 1, 6):
            chosen = () if verdicts == VERDICTS else verdicts
            found = flows([path], sort=sort, verdicts=chosen, top=top)["flows"]
            assert list(found) == expected(lines, sort, verdicts, top)


@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("choice", CHOICES, ids=str)
def test_pages_change_nothing(
    tmp_path: Path, sort: Any, choice: dict[str, Any], engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = many(tmp_path)
    whole = flows([path], sort=sort, **choice)
    in_pieces(monkeypatch)
    assert_equal(flows([path], sort=sort, **choice), whole)


@pytest.mark.parametrize("choice", CHOICES, ids=str)
def test_pages_change_nothing_of_packets(
    tmp_path: Path, choice: dict[str, Any], engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = many(tmp_path)
    whole = flows([path], packets=True, **choice)
    in_pieces(monkeypatch)
    assert_equal(flows([path], packets=True, **choice), whole)


def assert_equal(paged: FlowList, whole: FlowList) -> None:
    lines = list(whole["flows"])
    assert lines
    assert len(paged["flows"]) == len(lines)
    assert {**paged, "flows": list(paged["flows"])} == {**whole, "flows": lines}
    for render in FLOW_RENDERERS.values():
        assert "".join(render(paged, Target())) == "".join(render(whole, Target()))


def test_lines_can_be_looked_at_like_a_list(tmp_path: Path, engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = many(tmp_path)
    lines = list(flows([path])["flows"])
    in_pieces(monkeypatch)
    found = flows([path])["flows"]
    assert not isinstance(found, list)
    assert [found[at] for at in (0, 7, -1)] == [lines[at] for at in (0, 7, -1)]
    steps = slice(None, None, 5), slice(None, None, -1), slice(9, 2, -3)
    for part in (slice(3, 9), slice(-4, None), slice(5, 5), *steps):
        assert found[part] == lines[part]
    for at in (len(lines), -len(lines) - 1):
        with pytest.raises(IndexError):
            found[at]
    assert list(reversed(found)) == lines[::-1]
    assert lines[4] in found


class TestMemory:
    """The peak of a process that lists all flows of many, above that of one that lists twenty of them."""

    BOUND = 48 << 20  # an object for each flow and line is more than 80 MB

    @pytest.mark.parametrize(
        "options",
        [
            ["--format", "json"],
            ["--format", "jsonpb", "--protocol", "udp"],
            ["--format", "compact", "--sort", "end"],
            ["--format", "text", "--top", "100000", "--sort", "drops"],
            ["--format", "compact", "--packets", "--address", "10.0.0.0/8"],
        ],
        ids=" ".join,
    )
    def test_a_list_takes_no_memory_for_its_lines(self, capture: str, twenty: int, options: list[str]) -> None:
        assert peak(["flows", capture, *QUIETLY, *options]) - twenty < self.BOUND


FLOWS = 20_000
QUIETLY = ["--jobs", "1", "--no-progress"]


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> str:
    pytest.importorskip("vxtool._native")
    return pcap(tmp_path_factory.mktemp("memory") / "many.pcap", many_flows(FLOWS))


@pytest.fixture(scope="module")
def twenty(capture: str) -> int:
    return peak(["flows", capture, *QUIETLY])


def many_flows(count: int) -> Iterator[Seen]:
    for number in range(count):
        source = f"10.{number >> 14}.{number >> 7 & 127}.{number & 127}"
        yield came(number * US, tunnel(datagram(100, number, (source, 4000 + number % 100))))


def peak(arguments: list[str]) -> int:
    """Bytes that a process of its own came to. Not by getrusage, which counts what its parent had at the fork."""
    program = (
        "import sys; from vxtool.cli import run; code = run(sys.argv[1:]); "
        "print(open('/proc/self/status').read(), file=sys.stderr); sys.exit(code)"
    )
    if not Path("/proc/self/status").exists():
        pytest.skip("the system does not tell a process's peak")
    done = subprocess.run(
        [sys.executable, "-P", "-c", program, *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=True,
    )
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) << 10
