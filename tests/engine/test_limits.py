"""What is given to each table of a memory, and that its sum stays within."""

from __future__ import annotations

import pytest
from conftest import CAPTURES

from vxtool import analyze
from vxtool.cli import run
from vxtool.engine import options as limits
from vxtool.engine.options import DEFAULT_MEMORY, LEAST_MEMORY, EngineOptions, most_listed, within
from vxtool.errors import UsageError

COSTS = {
    "most_journeys": limits._JOURNEY,
    "most_fragments": limits._FRAGMENT,
    "most_flows": limits._FLOW,
    "most_tunnels": limits._TUNNEL,
    "most_places": limits._PLACE,
    "most_paths": limits._PATH,
    "most_rows": limits._ROW,
}


def _sum(options: EngineOptions) -> int:
    return sum(getattr(options, name) * cost for name, cost in COSTS.items())


@pytest.mark.parametrize("memory", [LEAST_MEMORY, 256 << 20, DEFAULT_MEMORY, 64 << 30])
def test_the_sum_of_all_limits_stays_within(memory: int) -> None:
    assert limits._BASE + _sum(within(EngineOptions(), memory, "native")) <= memory
    assert limits._BASE + limits._PLAIN * _sum(within(EngineOptions(), memory, "pure")) <= memory
    most = most_listed(memory)
    listing = EngineOptions(most_datagrams=most, most_sightings=most)
    listed = most * (limits.LISTED_DATAGRAM + limits.LISTED_SIGHTING)
    assert limits._BASE + listed + _sum(within(listing, memory, "native")) <= memory


def test_a_million_flows_fit_into_the_default() -> None:
    assert within(EngineOptions(), DEFAULT_MEMORY, "native").most_flows >= 1_000_000


def test_everything_has_some_room_in_the_least() -> None:
    options = within(EngineOptions(most_datagrams=10**9), LEAST_MEMORY, "pure")
    assert all(getattr(options, name) > 0 for name in COSTS)


def test_too_little_is_refused() -> None:
    with pytest.raises(UsageError, match="memory of 1000 bytes: expected 134217728 at least"):
        analyze([str(CAPTURES / "vxlan.pcap")], memory_bytes=1000)


def test_the_environment_may_say_how_much(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VXTOOL_MEMORY", "5M")
    assert run(["analyze", str(CAPTURES / "vxlan.pcap")]) == 2
    assert "VXTOOL_MEMORY" in capfd.readouterr().err
    monkeypatch.setenv("VXTOOL_MEMORY", "256m")
    assert run(["analyze", str(CAPTURES / "vxlan.pcap")]) == 0
