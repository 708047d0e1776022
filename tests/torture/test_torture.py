"""A small share of `make torture`, on every run of the tests: some cases of each section, and none may fail."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import dpkt
import pytest
from conftest import require_module, require_native
from torture.jobs import Case, Job, run_all, run_quickly
from torture.layout import layout
from torture.page import page, table
from torture.sections import SECTIONS, jobs_of
from torture.tally import Tally, Wrong
from torture.ways import samples

# Section -> jobs that are tried, of each so many cases, and one of so many.
SHARE = {
    "cuts": (["vxlan.pcap", "four-ways.pcapng", "node.pcap.gz"], 400, 3),
    "bytes": (["vxlan.pcap", "four-ways.pcapng"], 1_500, 89),
    "flips": (["vxlan.pcap", "four-ways.pcapng"], 150, 11),
    "containers": (["pcap", "block-lengths", "blocks", "options", "times", "sections"], 25, 37),
    "packets": (["lengths", "tunnels", "fragments", "icmp"], 4, 9),
    "compression": (["damaged-gzip", "damaged-xz", "odd-gzip"], 60, 23),
    "files": (["ciliumendpoints-values", "links-values", "objects-values", "expectations", "reports"], 40, 37),
    "text": (["pod-name", "interface-name-in-pcapng", "labels", "options"], 60, 7),
    "floods": (["tails", "macs"], 2, 1),
    "endings": (["signals-decap", "disks-decap", "pipes-flows, JSON", "interim", "endless"], 3, 5),
}


@pytest.fixture(autouse=True)
def _needs() -> None:
    require_native()
    for module in ("yaml", "markdown_it"):
        require_module(module)
    if not sys.platform.startswith("linux"):
        pytest.skip("peak memory is read as Linux tells it")


def test_each_section_has_its_share() -> None:
    assert set(SHARE) == set(SECTIONS)


@pytest.mark.parametrize(
    ("section", "name"), [(section, name) for section, (names, *_) in SHARE.items() for name in names]
)
def test_nothing_of_a_share_fails(section: str, name: str) -> None:
    _, most, step = SHARE[section]
    job = next(job for job in jobs_of(section) if job.name == name)
    rows = run_quickly(job, most, step)
    assert sum(tally.cases for tally in rows.values()) > 1
    assert [failure for tally in rows.values() for failure in tally.failures] == []


# What the cases are held against.


@pytest.mark.parametrize("path", samples(), ids=lambda path: path.name)
def test_the_independent_reader_counts_what_dpkt_counts(path: Path) -> None:
    data = path.read_bytes()
    with path.open("rb") as file:
        reader = dpkt.pcapng.Reader(file) if path.suffix == ".pcapng" else dpkt.pcap.Reader(file)
        counted = sum(1 for _ in reader)
    where = layout(data)
    assert where.records == counted
    assert where.pieces[-1].end == len(data)
    assert where.before(len(data)) == counted
    assert where.before(len(data) - 1) < counted or where.pieces[-1].kind == "other"
    assert where.promised([0]) == 0


# The workers.


def _fine() -> str:
    return "fine"


def _wrong() -> str:
    raise Wrong("as was feared")


def _hang() -> str:
    import time

    time.sleep(60)
    return "too late"


def _crash() -> str:
    import os
    import signal

    os.kill(os.getpid(), signal.SIGKILL)
    return "never"


def _some() -> list[Case]:
    ways = [_fine, _wrong, _fine, _crash, _fine, _hang, _fine]
    return [Case(f"number {number}", "row", run, 1, 1.5) for number, run in enumerate(ways)]


def test_what_crashes_hangs_or_fails_is_told_and_the_others_are_done(tmp_path: Path) -> None:
    told: list[tuple[Job, dict[str, Tally], float]] = []
    job = Job("cuts", "some", _some)  # type: ignore[arg-type]
    run_all([job], 2, tmp_path, lambda *found: told.append(found))
    ((_, rows, _),) = told
    assert rows["row"].results == Counter({"fine": 4, "failed": 1})
    assert rows["row"].failures == ["number 1: as was feared"]
    lost = rows["ended the worker"]
    assert lost.failed == 2
    assert any("case 3" in failure and "-9" in failure for failure in lost.failures)
    assert any("case 5" in failure and "no answer within" in failure for failure in lost.failures)
    assert "failed" in table({"cuts": rows})
    assert "| row | 5 | 1 |" in page({"cuts": (rows, {})})
    fuzzed = {"merge": {"executions": 41_888, "seconds": 7200, "processor_seconds": 3600, "finds": 2}}
    assert "| merge | 41,888 | 2.0 | 1.0 | 2 |" in page({"cuts": (rows, {})}, fuzzed)


def test_a_case_that_takes_too_long_for_what_it_read_fails() -> None:
    tally = Tally()
    tally.add("quick", "fine", 1.4, 500_000)
    assert tally.failed == 0
    tally.add("slow", "fine", 1.6, 500_000)
    assert tally.failed == 1
