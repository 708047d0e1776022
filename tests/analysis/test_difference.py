"""Two captures side by side: what is new, gone, changed and the same; and reports read from files."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from analysis.scenes import (
    ETH0,
    ETH1,
    US,
    S,
    came,
    endpoints_file,
    exchange,
    passed,
    pcap,
    ping,
    router_links,
    tunnel,
)

import vxtool
from vxtool import diff
from vxtool.analysis.model import Change, Difference
from vxtool.errors import InputError, UsageError
from vxtool.report import RENDERERS, Target


def changes(difference: Difference, section: str) -> dict[str, tuple[object, object, str]]:
    rows: list[Change] = [row for row in difference["changes"] if row["section"] == section]
    return {row["what"]: (row["before"], row["after"], row["kind"]) for row in rows}


@pytest.fixture
def links(tmp_path: Path) -> list[str]:
    return [router_links(tmp_path / "links.json")]


def test_native_routing_against_vxlan(tmp_path: Path, links: list[str]) -> None:
    """The founding case: misrouted to the uplink, then tunnelled."""
    native = pcap(tmp_path / "native.pcap", passed(0, ping(1), 20 * US, ETH1, ETH0))
    vxlan = pcap(tmp_path / "vxlan.pcap", exchange())
    pods = [endpoints_file(tmp_path / "pods.json", [("curl-pod", 36705, "172.20.0.107", "192.168.10.100")])]
    found = diff(native, vxlan, links=links, cluster=pods)
    assert (found["before"]["scope"], found["after"]["scope"]) == ("ip", "tunnel")
    assert (found["before"]["paths"], found["after"]["paths"]) == ([native], [vxlan])
    assert changes(found, "paths") == {
        "eth1 → eth0": (1, None, "gone"),
        "eth1 → eth2": (None, 1, "new"),
        "eth2 → eth1": (None, 1, "new"),
    }
    assert changes(found, "latency")["eth1 → eth0 p99"] == (20_000, None, "changed")
    assert changes(found, "latency")["eth1 → eth2 p50"] == (None, 16_000, "changed")
    assert changes(found, "identities") == {"curl-pod 36705": (None, 1, "new"), "17701": (None, 1, "new")}
    assert changes(found, "who talks to whom")["17701 → curl-pod 36705"] == (None, 1, "new")
    assert changes(found, "overhead")["a datagram"] == (None, 50, "new")
    assert changes(found, "mtu")["overlay MTU"] == (None, 1450, "new")
    assert changes(found, "mtu")["underlay MTU"] == (1500, 1500, "same")
    assert changes(found, "forwarding")["forwarded"] == (1, 2, "changed")
    assert changes(found, "forwarding")["share forwarded"] == (100.0, 100.0, "same")


def test_a_drop_that_is_new(tmp_path: Path, links: list[str]) -> None:
    whole = pcap(tmp_path / "a.pcap", [*exchange(), *exchange(5 * S, 3)])
    lossy = pcap(tmp_path / "b.pcap", [*exchange(), came(S, tunnel(ping(2))), *exchange(5 * S, 3)])
    found = diff(whole, lossy, links=links)
    assert changes(found, "drops") == {"172.20.0.107 → 172.20.2.4 in eth1": (None, 1, "new")}
    assert changes(found, "findings")["forwarding.dropped (error)"] == (None, 1, "new")
    assert changes(found, "forwarding")["share dropped"] == (0.0, 20.0, "changed")
    back = diff(lossy, whole, links=links)
    assert changes(back, "findings")["forwarding.dropped (error)"] == (1, None, "gone")


def test_a_capture_does_not_differ_from_itself(tmp_path: Path, links: list[str]) -> None:
    path = pcap(tmp_path / "a.pcap", exchange())
    found = diff(path, path, links=links)
    assert found["changes"]
    assert {row["kind"] for row in found["changes"]} == {"same"}


def test_two_empty_captures_have_nothing_to_compare(tmp_path: Path) -> None:
    path = pcap(tmp_path / "a.pcap", [])
    assert all(change["before"] == change["after"] for change in diff(path, path)["changes"])


def test_a_report_stands_for_its_capture(tmp_path: Path, links: list[str]) -> None:
    capture = pcap(tmp_path / "a.pcap", exchange())
    other = pcap(tmp_path / "b.pcap", [*exchange(), came(S, tunnel(ping(2))), *exchange(5 * S, 3)])
    saved = tmp_path / "a.json"
    saved.write_text(RENDERERS["json"](vxtool.analyze([capture], links=links), Target()), "utf-8")
    assert diff(str(saved), other, links=links) == diff(capture, other, links=links)


def test_a_capture_that_cannot_be_read_is_an_input_error(tmp_path: Path) -> None:
    good = pcap(tmp_path / "a.pcap", exchange())
    with pytest.raises(InputError, match=r"none\.pcap"):
        diff(good, str(tmp_path / "none.pcap"))


def saved(tmp_path: Path, value: object) -> str:
    path = tmp_path / "report.json"
    path.write_text(value if isinstance(value, str) else json.dumps(value), "utf-8")
    return str(path)


@pytest.fixture
def value(tmp_path: Path) -> Any:
    return copy.deepcopy(vxtool.analyze([pcap(tmp_path / "a.pcap", exchange())]))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON: "),
        ('{"schema": ' + "[" * 100_000, "is not JSON: "),
        ("{}", "schema: expected 'vxtool.report/1', found 'None'"),
        ('{"schema": "vxtool.flows/1"}', "schema: expected 'vxtool.report/1', found 'vxtool.flows/1'"),
        ('{"schema": "vxtool.report/1"}', "tool is not as a report has it"),
    ],
)
def test_what_is_no_report_is_told_in_one_line(text: str, message: str, tmp_path: Path) -> None:
    path = saved(tmp_path, text)
    with pytest.raises(UsageError) as error:
        diff(path, path)
    assert str(error.value).startswith(f"{path}: {message}")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "where",
    [
        ("capture", "first_time"),
        ("tunnel", "overlay"),
        ("forwarding", "other"),
        ("forwarding", "paths", 0, "ingress"),
        ("forwarding", "paths", 0, "latency_ns"),
        ("overhead", "percent_of_outer"),
    ],
)
def test_what_a_report_may_not_know_may_be_left_out(where: tuple[Any, ...], value: Any, tmp_path: Path) -> None:
    inside = value
    for step in where[:-1]:
        inside = inside[step]
    del inside[where[-1]]
    path = saved(tmp_path, value)
    assert all(change["before"] == change["after"] for change in diff(path, path)["changes"])


@pytest.mark.parametrize(
    ("where", "wrong", "named"),
    [
        (("forwarding", "paths", 0, "datagrams"), "many", "forwarding.paths[0].datagrams"),
        (("forwarding", "paths", 0, "latency_ns"), 3, "forwarding.paths[0].latency_ns"),
        (("forwarding", "dropped"), True, "forwarding.dropped"),
        (("mtu", "mss"), None, "mtu.mss"),
        (("identities", 0), 5, "identities[0]"),
        (("overhead", "bytes_per_packet"), {"50": "x"}, "overhead.bytes_per_packet"),
        (("overhead", "bytes_per_packet"), {"fifty": 1}, "overhead.bytes_per_packet"),
        (("overhead", "bytes_per_packet"), {"9" * 5_000: 1}, "overhead.bytes_per_packet"),
        (("findings",), {}, "findings"),
    ],
)
def test_a_report_with_a_wrong_value_is_refused(
    where: tuple[Any, ...], wrong: object, named: str, value: Any, tmp_path: Path
) -> None:
    inside = value
    for step in where[:-1]:
        inside = inside[step]
    inside[where[-1]] = wrong
    path = saved(tmp_path, value)
    with pytest.raises(UsageError) as error:
        diff(path, path)
    assert str(error.value).startswith(f"{path}: {named} is not as a report has it")
