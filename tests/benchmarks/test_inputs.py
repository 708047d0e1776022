"""The captures that benchmarks are taken on are what their maker says: other readers and both engines agree."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import REPOSITORY, require_tool

import vxtool

# Behind everything else, so that what is installed is what is tested.
sys.path.append(str(REPOSITORY))

from benchmarks.inputs import CASES, Case, Input, build, compiler, differences, make
from benchmarks.measure import Line

RECORDS = 4_000
CASE_NAMES = list(CASES)


@pytest.fixture(scope="module")
def maker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if compiler() is None:
        require_tool("cc")
    return build("make_input", tmp_path_factory.mktemp("programs"))


def made(maker: Path, case: Case, directory: Path) -> Input:
    return make(maker, case.with_records(RECORDS), directory)


@pytest.mark.parametrize("name", CASE_NAMES)
def test_analyze_finds_exactly_what_the_maker_states(name: str, maker: Path, tmp_path: Path, engine: str) -> None:
    source = made(maker, CASES[name], tmp_path)
    report = vxtool.analyze([str(path) for path in source.paths])
    assert report["tool"]["engine"] == engine
    assert differences(report, source.truth) == []


@pytest.mark.parametrize("name", CASE_NAMES)
def test_capinfos_counts_the_records_that_the_maker_states(name: str, maker: Path, tmp_path: Path) -> None:
    capinfos = require_tool("capinfos")
    source = made(maker, CASES[name], tmp_path)
    for path, file in zip(source.paths, source.truth["files"], strict=True):
        printed = subprocess.run([capinfos, "-cM", str(path)], capture_output=True, text=True, check=True).stdout
        assert re.search(rf"Number of packets:\s*{file['records']}\b", printed), printed


@pytest.mark.parametrize("name", CASE_NAMES)
def test_tshark_sees_vxlan_and_nothing_malformed(name: str, maker: Path, tmp_path: Path) -> None:
    tshark = require_tool("tshark")
    source = made(maker, CASES[name], tmp_path)
    records = inner = 0
    for path in source.paths:
        fields = ["-T", "fields", "-e", "vxlan.vni", "-e", "_ws.malformed", "-e", "ip.checksum.status"]
        checks = ["-o", "ip.check_checksum:TRUE", "-d", "udp.port==8472,vxlan"]
        command = [tshark, "-n", "-r", str(path), *checks, *fields]
        lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
        records += len(lines)
        inner += sum(bool(line.split("\t")[0]) for line in lines)
        assert not any(line.split("\t")[1] for line in lines)
        # 0 is bad, 1 good: all IPv4 headers carry their true checksums, outer and inner.
        assert {status for line in lines for status in line.split("\t")[2].split(",")} <= {"1", ""}
    # Of a datagram in fragments tshark shows the inside once, at the last one.
    assert records == source.truth["records"]
    assert inner == records // (2 if source.case.fragments else 1)


def test_one_in_a_hundred_is_dropped_and_keys_return_while_drops_wait(maker: Path, tmp_path: Path) -> None:
    case = replace(CASES["drops"].with_records(300_000), flows=4096, open=2100)
    truth = make(maker, case, tmp_path).truth
    window_in_datagrams = 1_000_000_000 // truth["spacing_ns"]
    assert window_in_datagrams > 65_536
    assert 65_536 % truth["flows"] == 0
    assert truth["dropped"] == pytest.approx(truth["datagrams"] / 100, rel=0.01)
    assert truth["forwarded"] + truth["dropped"] == truth["datagrams"]


@pytest.mark.parametrize("journeys", [60, 1_000, 100_000])
def test_so_many_journeys_are_open_as_were_asked_for(journeys: int, maker: Path, tmp_path: Path) -> None:
    truth = make(maker, replace(CASES["small"], records=400_000, open=journeys), tmp_path).truth
    assert truth["waiting"] + truth["settled"] == journeys
    assert truth["latency_ns"][1] < 1_000_000_000
    assert truth["latency_ns"][1] <= truth["waiting"] * truth["spacing_ns"]


def test_equal_options_give_equal_bytes(maker: Path, tmp_path: Path) -> None:
    contents = []
    for name in ("first", "second"):
        directory = tmp_path / name
        directory.mkdir()
        contents.append([path.read_bytes() for path in made(maker, CASES["gzip"], directory).paths])
    assert contents[0] == contents[1]


@pytest.mark.parametrize("loop", ["struct", "dpkt", "scapy"])
def test_reading_loops_count_what_the_maker_states(loop: str, maker: Path, tmp_path: Path) -> None:
    if loop != "struct":
        pytest.importorskip(loop)
    source = made(maker, CASES["imix"], tmp_path)
    program = REPOSITORY / "benchmarks" / "programs" / f"{loop}_loop.py"
    done = subprocess.run([sys.executable, program, source.paths[0]], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == {name: source.truth[name] for name in ("records", "flows", "forwarded")}


@pytest.mark.parametrize(
    "words",
    [
        ["--records", "4"],
        ["--flows", "0"],
        ["--flows", "3000", "--records", "4000"],
        ["--open", "3000", "--records", "4000"],
        ["--container", "pcap"],
        ["--fragments", "--outer", "6"],
        ["--records"],
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(words: list[str], maker: Path, tmp_path: Path) -> None:
    done = subprocess.run([maker, *words, tmp_path / "refused.pcap"], capture_output=True, text=True)
    assert done.returncode == 2
    assert re.fullmatch(r"make_input: .+\n", done.stderr)


def test_a_line_goes_through_points_on_it_and_says_how_well_it_fits() -> None:
    line = Line.through([1, 2, 4], [5, 7, 11])
    assert (line.slope, line.intercept, line.r_squared) == pytest.approx((2, 3, 1))
    # By hand: mean 2 and 8/3, slope 1, intercept 2/3; 6/9 of 24/9 are left.
    assert Line.through([1, 2, 3], [2, 2, 4]).r_squared == pytest.approx(0.75)
