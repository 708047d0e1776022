"""`vxtool.analyze` as a program calls it: its progress, and what is left behind when it is interrupted."""

from __future__ import annotations

import pkgutil
from pathlib import Path

import pytest
from conftest import require_native
from engine.generate import Entry, to_pcap

import vxtool
from vxtool import api

LINK_TYPE = 276  # SLL2


def capture(path: Path, start: int) -> str:
    """Some megabytes of records, of which one comes every other millisecond."""
    entries = [Entry(start + number * 2_000_000, bytes(200), 200, 0, 0) for number in range(20_000)]
    path.write_bytes(to_pcap(entries, LINK_TYPE))
    return str(path)


class Stop(Exception):
    pass


@pytest.mark.parametrize("jobs", [1, 2])
def test_progress_is_told_of_several_files_and_at_the_end(
    tmp_path: Path, jobs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "_TELLING", 0)
    paths = [capture(tmp_path / "a", 0), capture(tmp_path / "b", 1_000_000)]
    size = sum(Path(path).stat().st_size for path in paths)
    told: list[tuple[int, int | None, int]] = []
    report = vxtool.analyze(paths, jobs=jobs, progress=lambda *progress: told.append(progress))
    assert told == sorted(told)
    assert {total for _, total, _ in told} == {size}
    assert told[-1] == (size, size, 40_000)
    assert report["capture"]["records"] == 40_000
    if jobs == 1:
        assert len(told) > 10


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("late", [False, True])
def test_what_the_progress_raises_is_what_comes_of_it(tmp_path: Path, jobs: int, late: bool) -> None:
    path = capture(tmp_path / "a", 0)
    size = Path(path).stat().st_size

    def stop(done: int, _total: int | None, _records: int) -> None:
        if not late or done == size:
            raise Stop

    with pytest.raises(Stop):
        vxtool.analyze([path], jobs=jobs, progress=stop)


def test_an_interrupted_analysis_reads_no_file_of_others(tmp_path: Path) -> None:
    """Its reading thread may still be at work when others get the numbers of its descriptors."""
    require_native()
    path = capture(tmp_path / "a", 0)

    def stop(*_progress: object) -> None:
        raise Stop

    for _ in range(50):
        with pytest.raises(Stop):
            vxtool.analyze([path], jobs=2, progress=stop)
        with open(path, "rb", buffering=0) as other:
            assert len(other.read(1000)) == 1000
            assert other.tell() == 1000


def test_no_package_stands_where_a_function_is_promised() -> None:
    """A package within takes the place of what has its name, as soon as it is loaded."""
    within = {module.name for module in pkgutil.iter_modules(vxtool.__path__)}
    assert within.isdisjoint(vxtool.__all__)
