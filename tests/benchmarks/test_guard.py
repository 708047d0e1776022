"""The guard against slow rot counts instructions, and says when there are too many."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import REPOSITORY, require_tool

# Behind everything else, so that what is installed is what is tested.
sys.path.append(str(REPOSITORY))

from benchmarks import guard
from benchmarks.inputs import CASES, build, compiler, make


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    if compiler() is None:
        require_tool("cc")
    directory = tmp_path_factory.mktemp("programs")
    return build("make_input", directory), guard.build_engine(directory)


def test_a_tenth_more_is_too_much_and_a_tenth_is_not() -> None:
    recorded = {"small": 1000.0, "full": 1000.0, "ipv6": 1000.0}
    assert guard.grown({"small": 1100.0, "full": 1100.2, "ipv6": 500.0}, recorded) == ["full"]


def test_a_case_that_is_not_recorded_cannot_pass() -> None:
    assert guard.grown({"small": 1.0}, {}) == ["small"]
    assert "not recorded" in guard.describe({"small": 1.0}, {})


def test_the_change_is_told_in_percent() -> None:
    assert "+25.0 %" in guard.describe({"small": 1250.0}, {"small": 1000.0})


def test_every_watched_case_is_recorded() -> None:
    recorded = json.loads(guard.RECORDED.read_text("utf-8"))["instructions_a_record"]
    assert set(recorded) == set(guard.WATCHED)


def test_equal_runs_take_equally_many_instructions(programs: tuple[Path, Path], tmp_path: Path) -> None:
    require_tool("valgrind")
    maker, engine = programs
    made = make(maker, replace(CASES["small"], records=2_000, flows=50), tmp_path)
    count, records = guard.instructions(engine, made.paths[0])
    assert records == 2_000
    assert guard.instructions(engine, made.paths[0]) == (count, records)
    # No record can be taken in fewer instructions than it has header bytes to look at.
    assert count > 50 * records
