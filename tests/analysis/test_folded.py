"""Where flows are folded, sums stay those of all datagrams: a report within a limit is held against one without."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from analysis.networks import random_network
from analysis.scenes import came, cooked, finding, left, passed, tunnel
from conftest import require_native
from engine.generate import UDP, ipv4, udp

from vxtool import analyze, api
from vxtool.analysis.model import Report
from vxtool.cli import run
from vxtool.engine.options import EngineOptions

Limited = Callable[..., Report]


@pytest.fixture(params=["pure", "native"])
def limited(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Limited:
    """A report with some limits of the engine set."""
    if request.param == "native":
        require_native()
    monkeypatch.setenv("VXTOOL_ENGINE", request.param)

    def report(files: list[str], limits: dict[str, int], **options: Any) -> Report:
        with monkeypatch.context() as patched:
            patched.setattr(api, "within", lambda made, _memory, _engine: made._replace(**limits))
            return analyze(files, **options)

    return report


def _sums(report: Report) -> dict[str, Any]:
    """What does not rest on single flows."""
    forwarding = report["forwarding"]
    counts = ("datagrams", "fragmented_at_source", "fragmented_by_router", "translated", "paths")
    return {
        "forwarding": {key: forwarding[key] for key in counts},  # type: ignore[literal-required]
        "tunnel": {key: value for key, value in report["tunnel"].items() if key != "overlay"},
        # Which of them stood for several packets, their flows told: beyond those it is estimated.
        "sizes": sum(row["datagrams"] for row in report["mtu"]["inner_sizes"]) + report["mtu"]["super_frames"],
        "overhead": {
            key: report["overhead"][key]  # type: ignore[literal-required]
            for key in ("datagrams", "inner_bytes", "outer_bytes", "overhead_bytes", "bytes_per_packet")
        },
        "timeline": [(row["time"], row["datagrams"], row["outer_bytes"]) for row in report["timeline"]],
        "records": [report["capture"]["records"], report["capture"]["interfaces"]],
    }


def _by_vni(report: Report) -> dict[int, tuple[int, int]]:
    return {row["vni"]: (row["datagrams"], row["inner_bytes"]) for row in report["identities"]}


@pytest.mark.parametrize("seed", range(40))
def test_sums_do_not_depend_on_how_many_flows_are_kept(tmp_path: Path, limited: Limited, seed: int) -> None:
    network = random_network(seed, tmp_path)
    chance = random.Random(seed)
    whole = limited(network.files, {})
    few = limited(network.files, {"most_flows": chance.choice([1, 2, 5, 20])})
    assert _sums(few) == _sums(whole)
    # A flow tells the smallest MSS of its SYNs; one that was folded in between tells another later.
    assert all(row in few["mtu"]["mss"] for row in whole["mtu"]["mss"])
    folded = few["capture"]["folded"]
    assert folded["datagrams"] <= whole["capture"]["records"]
    if not folded["identity_datagrams"]:
        assert _by_vni(few) == _by_vni(whole)
    # What is in no row is what is said to be in none.
    missing = sum(row["datagrams"] for row in whole["identities"]) - sum(
        row["datagrams"] for row in few["identities"]
    )
    assert missing == folded["identity_datagrams"]


def _flood(count: int, vni: Callable[[int], int], source: Callable[[int], str]) -> list[Any]:
    """As many datagrams from 192.168.10.100 to .20.100, each of its own flow: every tenth does not leave."""
    seen = []
    for number in range(count):
        inner = ipv4(source(number), "172.20.9.9", UDP, udp(1024 + number, 53, b"q" * 20), identification=number)
        packet = tunnel(inner, vni(number), identification=number + 1)
        seen += [came(number * 50_000_000, packet)] if number % 10 == 0 else passed(number * 50_000_000, packet)
    return sorted(seen, key=lambda one: one.time)


def _many_ports(tmp_path: Path, count: int) -> list[str]:
    return [cooked(tmp_path / "flood.pcap", _flood(count, lambda _: 7, lambda _: "172.20.1.1"))]


def test_of_more_flows_than_are_kept_the_latest_stay_and_all_are_counted(tmp_path: Path, limited: Limited) -> None:
    report = limited(_many_ports(tmp_path, 100), {"most_flows": 10})
    forwarding, folded = report["forwarding"], report["capture"]["folded"]
    assert (forwarding["datagrams"], forwarding["forwarded"], forwarding["dropped"]) == (100, 90, 10)
    assert sum(row["datagrams"] for row in report["flows"]) + folded["datagrams"] == 100
    assert folded["flows"] == folded["datagrams"] > 80
    assert folded["inner_bytes"] == folded["datagrams"] * (20 + 8 + 20)
    assert max(row["source_port"] or 0 for row in report["flows"]) == 1024 + 99
    ((source, destination, datagrams),) = [
        (row["source"], row["destination"], row["datagrams"]) for row in report["tunnel"]["tunnels"]
    ]
    assert (source, destination, datagrams) == ("192.168.10.100", "192.168.20.100", 100)
    assert _by_vni(report) == {7: (100, 4800)}
    assert report["identities"][0]["sources"] == ["172.20.1.1"]


def test_a_large_flow_stays_through_a_flood(tmp_path: Path, limited: Limited) -> None:
    large = [
        one
        for number in range(5)
        for one in passed(
            number, tunnel(ipv4("172.20.1.7", "172.20.9.9", UDP, udp(9, 53, bytes(900)), identification=number), 7)
        )
    ]
    flood = _flood(200, lambda _: 7, lambda _: "172.20.1.1")
    path = cooked(tmp_path / "flood.pcap", sorted([*large, *flood], key=lambda one: one.time))
    report = limited([path], {"most_flows": 10})
    assert (report["flows"][0]["source_port"], report["flows"][0]["datagrams"]) == (9, 5)
    assert report["capture"]["folded"]["flows"] > 190


def test_of_more_addresses_than_are_kept_identities_are_exact_by_vni(tmp_path: Path, limited: Limited) -> None:
    seen = _flood(300, lambda number: number % 3, lambda number: f"172.20.{number // 200}.{number % 200}")
    report = limited([cooked(tmp_path / "flood.pcap", seen)], {"most_flows": 40})
    assert _by_vni(report) == dict.fromkeys(range(3), (100, 4800))
    assert (report["forwarding"]["forwarded"], report["forwarding"]["dropped"]) == (270, 30)
    assert report["capture"]["folded"]["identity_datagrams"] == 0


def test_of_more_vnis_than_are_kept_verdicts_are_exact(tmp_path: Path, limited: Limited) -> None:
    seen = _flood(300, lambda number: number, lambda _: "172.20.1.1")
    report = limited([cooked(tmp_path / "flood.pcap", seen)], {"most_flows": 10})
    assert (report["forwarding"]["forwarded"], report["forwarding"]["dropped"]) == (270, 30)
    told = sum(row["datagrams"] for row in report["identities"])
    assert told + report["capture"]["folded"]["identity_datagrams"] == 300
    assert report["tunnel"]["datagrams"] == 300


def test_the_finding_says_what_was_folded(tmp_path: Path, limited: Limited) -> None:
    files = _many_ports(tmp_path, 100)
    found = finding(limited(files, {"most_flows": 10}), "capture.folded")
    assert found is not None
    assert found["severity"] == "warning"
    assert found["count"] > 80
    assert "small flows with" in found["title"]
    assert "--memory" in found["remedy"]


@pytest.mark.parametrize("packets", [False, True])
def test_a_list_of_flows_says_what_it_lacks(
    packets: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (path,) = _many_ports(tmp_path, 100)
    monkeypatch.setattr(api, "within", lambda made, _memory, _engine: made._replace(most_flows=10))
    found = api.flows([path], packets=packets)
    assert found["flows_total"] < 20
    assert found["flows_total"] + found["folded"]["flows"] == 100
    listed = sum(row["datagrams"] for row in found["flows"])
    assert listed + found["folded"]["datagrams"] == analyze([path])["forwarding"]["datagrams"]
    capsys.readouterr()
    assert run(["flows", path, "--format", "compact", *["--packets"] * packets]) == 0
    assert f"{found['folded']['flows']} small flows with" in capsys.readouterr().err


def test_as_many_flows_as_are_kept_are_not_folded(tmp_path: Path, limited: Limited) -> None:
    report = limited(_many_ports(tmp_path, 100), {"most_flows": 100})
    assert finding(report, "capture.folded") is None
    assert not any(report["capture"]["folded"].values())
    assert report["flows_total"] == 100


def test_journeys_that_are_judged_early_are_told_of(tmp_path: Path, limited: Limited) -> None:
    """Ten come in before the first leaves; there is room for four."""
    inside = [
        tunnel(ipv4("172.20.1.1", "172.20.9.9", UDP, udp(n, 53, b"q"), identification=n), 7) for n in range(10)
    ]
    seen = [came(n, packet) for n, packet in enumerate(inside)]
    seen += [left(100 + n, packet) for n, packet in enumerate(inside)]
    report = limited([cooked(tmp_path / "flood.pcap", seen)], {"most_journeys": 4})
    assert report["capture"]["folded"]["evicted_journeys"] > 0
    found = finding(report, "capture.folded")
    assert found is not None
    assert "judged before they had their time to leave" in found["title"]


def test_more_tunnels_than_are_kept_are_one_without_addresses(tmp_path: Path, limited: Limited) -> None:
    seen = []
    for number in range(20):
        inner = ipv4("172.20.1.1", "172.20.9.9", UDP, udp(1, 53, b"q"), identification=number)
        packet = tunnel(inner, 7, source=f"10.1.1.{number}", identification=number + 1)
        seen += passed(number * 50_000_000, packet)
    report = limited([cooked(tmp_path / "flood.pcap", sorted(seen, key=lambda one: one.time))], {"most_tunnels": 5})
    rows = Counter({row["source"]: row["datagrams"] for row in report["tunnel"]["tunnels"]})
    assert rows == {**{f"10.1.1.{number}": 1 for number in range(5)}, "?": 15}
    assert report["forwarding"]["forwarded"] == report["tunnel"]["datagrams"] == 20
    assert report["capture"]["folded"]["tunnel_datagrams"] == 15


def test_the_text_has_one_line_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def ten(made: EngineOptions, _memory: int, _engine: str) -> EngineOptions:
        return made._replace(most_flows=10)

    monkeypatch.setattr(api, "within", ten)
    assert run(["analyze", *_many_ports(tmp_path, 100)]) == 0
    out = " ".join(capfd.readouterr().out.split())
    assert "More than there was memory for:" in out
    assert "counted together" in out
