"""Expectations: met only where the capture shows it, failed with the records that prove it, and not met where it
cannot be told.

Counts of sample captures are the kernel's (the truth files beside them); those of scenes are told by hand.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from analysis.scenes import (
    ETH1,
    ETH2,
    MS,
    NODE_A,
    NODE_B,
    POD_A,
    POD_B,
    US,
    VNI_A,
    VNI_B,
    S,
    Seen,
    back,
    came,
    cooked,
    endpoints_file,
    exchange,
    fragments,
    left,
    passed,
    pcap,
    ping,
    router_links,
    too_big,
    tunnel,
)
from captures.samples import samples

from vxtool import analyze
from vxtool.analysis.expectation_file import Way, expectation_schema, load_expectations
from vxtool.analysis.expectations import _JUDGES
from vxtool.analysis.model import Expectation
from vxtool.errors import UsageError


def write(tmp_path: Path, text: str) -> str:
    path = tmp_path / "overlay.toml"
    path.write_text(text, "utf-8")
    return str(path)


def judged(tmp_path: Path, text: str, paths: list[str], **options: object) -> dict[str, Expectation]:
    report = analyze(paths, expect=write(tmp_path, text), **options)  # type: ignore[arg-type]
    return {item["key"]: item for item in report["expectations"]}


def scene(tmp_path: Path, text: str, records: list[Seen], **options: object) -> dict[str, Expectation]:
    links = [router_links(tmp_path / "links.json")]
    return judged(tmp_path, text, [pcap(tmp_path / "a.pcap", records)], links=links, **options)


def pods(tmp_path: Path) -> list[str]:
    rows = [("curl-pod", VNI_A, POD_A, NODE_A), ("webpod", VNI_B, POD_B, NODE_B)]
    return [endpoints_file(tmp_path / "endpoints.json", rows)]


def statuses(rows: dict[str, Expectation]) -> dict[str, str]:
    return {key: row["status"] for key, row in rows.items()}


def records(row: Expectation) -> list[int | None]:
    return [item["record"] for item in row["evidence"]]


FOUNDING = """
min_datagrams = 2
max_dropped = 0
max_latency_p99 = "16us"
paths = ["eth1 -> eth2", "eth2 -> eth1"]
talks = ["curl-pod <-> webpod"]
overlay_mtu = 1450
max_fragmented = 0
overhead_bytes = [50]
no_findings = ["warning"]
complete = true
"""


def test_the_founding_case_is_as_expected(tmp_path: Path) -> None:
    rows = scene(tmp_path, FOUNDING, exchange(), cluster=pods(tmp_path))
    assert {*statuses(rows).values()} == {"met"}
    assert all(row["evidence"] == [] for row in rows.values())
    assert list(rows) == [line.split()[0] for line in FOUNDING.strip().splitlines()]
    assert rows["max_dropped"]["line"] == 3
    assert rows["max_dropped"]["path"] == str(tmp_path / "overlay.toml")


@pytest.mark.parametrize("name", ["drops.pcap", "drops-udp.pcap", "router-mtu-1400-df.pcap"])
def test_the_kernels_drops_are_the_bound(name: str, tmp_path: Path) -> None:
    sample = next(one for one in samples() if one.name == name)
    dropped = int(sample.expect["dropped"])
    exactly = judged(tmp_path, f"max_dropped = {dropped}", sample.paths, links=sample.links)
    assert statuses(exactly) == {"min_datagrams": "met", "max_dropped": "met"}
    one_less = judged(tmp_path, f"max_dropped = {dropped - 1}", sample.paths, links=sample.links)["max_dropped"]
    assert one_less["status"] == "failed"
    assert one_less["evidence"]
    assert one_less["found"].startswith(f"{dropped} datagrams of ")


def test_a_drop_is_named_by_its_record(tmp_path: Path) -> None:
    seen = [*exchange(), came(2 * S, tunnel(ping(2))), *exchange(5 * S, 3)]
    rows = scene(tmp_path, 'max_dropped = 0\nmax_dropped_percent = 20\npaths = ["eth1 <-> eth2"]', seen)
    assert statuses(rows) == {
        "min_datagrams": "met",
        "max_dropped": "failed",
        "max_dropped_percent": "met",
        "paths": "failed",
    }
    assert records(rows["max_dropped"]) == records(rows["paths"]) == [5]
    assert rows["paths"]["found"] == "1 datagram not: 1 eth1 → nowhere"


def test_an_empty_capture_meets_nothing(tmp_path: Path) -> None:
    every = (
        'max_dropped = 9\nmax_dropped_percent = 50\nmax_unresolved = 9\nmax_latency_p50 = "1s"\n'
        'max_latency_p90 = "1s"\nmax_latency_p99 = "1s"\nmax_latency = "1s"\npaths = ["* -> *"]\n'
        'talks = ["* -> *"]\noverlay_mtu = 1450\nunderlay_mtu = 1500\nmax_inner_size = 9000\nmax_fragmented = 9\n'
        'max_packet_too_big = 9\noverhead_bytes = [50]\nno_findings = ["error"]\ncomplete = true'
    )
    rows = judged(tmp_path, every, [pcap(tmp_path / "empty.pcap", [])])
    assert {*rows} == {*_JUDGES}
    assert {key for key, row in rows.items() if row["status"] == "met"} == set()
    assert rows["min_datagrams"]["line"] is None


@pytest.mark.parametrize("side", ["in", "out"])
def test_one_side_alone_meets_neither_the_least_number_nor_what_needs_both(side: str, tmp_path: Path) -> None:
    both = [record for number in range(1, 9) for record in exchange(number * S, number)]
    eth1 = [both[index] for index in range(0 if side == "in" else 1, len(both), 4)]
    links = [router_links(tmp_path / "links.json")]
    from vxtool.capture.writer import PcapWriter

    path = tmp_path / "eth1.pcap"
    with PcapWriter(path, 1, nanoseconds=True) as writer:
        for record in eth1:
            writer.write(record.time, bytes(12) + b"\x08\x00" + record.data[20:])
    text = 'max_dropped = 0\npaths = ["eth1 -> eth2"]\nmax_latency_p99 = "1s"\noverlay_mtu = 1450'
    rows = judged(tmp_path, text, [str(path)], links=links)
    assert rows["min_datagrams"]["status"] == "failed"
    assert {rows[key]["status"] for key in ("max_dropped", "paths", "max_latency_p99")} == {"unjudged"}
    assert rows["overlay_mtu"]["status"] == "met"


def test_none_need_be_there_where_the_file_says_so(tmp_path: Path) -> None:
    assert (
        judged(tmp_path, "min_datagrams = 0", [pcap(tmp_path / "empty.pcap", [])])["min_datagrams"]["status"]
        == "met"
    )


def test_what_came_in_as_the_capture_ended_is_no_doubt(tmp_path: Path) -> None:
    seen = [*exchange(), came(100 * MS, tunnel(ping(2)))]
    assert statuses(scene(tmp_path, "max_dropped = 0\nmax_unresolved = 0", seen)) == {
        "min_datagrams": "met",
        "max_dropped": "met",
        "max_unresolved": "failed",
    }


def test_where_the_capture_lost_packets_a_drop_may_be_none(tmp_path: Path) -> None:
    lost_ingress = left(3 * S, tunnel(ping(9)))
    seen = [*exchange(), came(1 * S, tunnel(ping(2))), lost_ingress, *exchange(5 * S, 3)]
    rows = scene(tmp_path, "max_dropped = 0\ncomplete = true", seen)
    assert rows["max_dropped"]["status"] == "unjudged"
    assert rows["complete"]["status"] == "failed"
    assert scene(tmp_path, "max_dropped = 1", seen)["max_dropped"]["status"] == "met"


@pytest.mark.parametrize(("bound", "status"), [("15us", "failed"), ("15999ns", "failed"), ("16us", "met")])
def test_the_slowest_path_is_held_against_the_bound(bound: str, status: str, tmp_path: Path) -> None:
    for key in ("max_latency_p50", "max_latency_p90", "max_latency_p99", "max_latency"):
        assert scene(tmp_path, f'{key} = "{bound}"', exchange())[key]["status"] == status


def test_a_bound_that_reads_as_the_time_does_is_told_apart(tmp_path: Path) -> None:
    assert (
        scene(tmp_path, 'max_latency = "15999ns"', exchange())["max_latency"]["found"]
        == "max eth1 → eth2 16,000 ns"
    )


def test_clocks_that_differ_leave_a_latency_open(tmp_path: Path) -> None:
    skewed = [record for number in range(1, 5) for record in passed(number * S, tunnel(ping(number)), -2 * US)]
    row = scene(tmp_path, 'max_latency_p99 = "1ms"', skewed)["max_latency_p99"]
    assert row["status"] == "unjudged"
    assert "clocks" in row["found"]


@pytest.mark.parametrize(
    ("ways", "status"),
    [
        ('"eth1 <-> eth2"', "met"),
        ('"eth1 ↔ eth2"', "met"),
        ('"eth1 -> eth2", "eth2 → eth1"', "met"),
        ('"* -> *"', "met"),
        ('"eth1 -> eth2"', "failed"),
        ('"eth1 -> *"', "failed"),
        ('"eth1 <-> eth0"', "failed"),
    ],
)
def test_every_datagram_must_take_a_way_that_is_named(ways: str, status: str, tmp_path: Path) -> None:
    row = scene(tmp_path, f"paths = [{ways}]", exchange())["paths"]
    assert row["status"] == status
    assert bool(row["evidence"]) is (status == "failed")


def test_without_interfaces_no_path_by_name_can_be_told(tmp_path: Path) -> None:
    path = [cooked(tmp_path / "sll1.pcap", exchange())]
    assert judged(tmp_path, 'paths = ["eth1 <-> eth2"]', path)["paths"]["status"] == "unjudged"
    assert judged(tmp_path, 'paths = ["* -> *"]', path)["paths"]["status"] == "met"


def test_what_is_for_the_router_itself_is_local(tmp_path: Path) -> None:
    seen = [
        came(0, ping(1, NODE_A, "192.168.10.200")),
        left(US, ping(1, "192.168.10.200", NODE_A, reply=True), ETH1),
    ]
    assert scene(tmp_path, 'paths = ["eth1 <-> local"]', seen)["paths"]["status"] == "met"
    assert scene(tmp_path, 'paths = ["eth1 -> local"]', seen)["paths"]["status"] == "failed"


@pytest.mark.parametrize(
    ("ways", "status"),
    [
        ('"curl-pod <-> webpod"', "met"),
        ('"default/curl-pod <-> 17701"', "met"),
        ('"k8s:app=curl-pod <-> *"', "met"),
        ('"36705 -> 17701", "17701 -> 36705"', "met"),
        ('"curl-pod -> webpod"', "failed"),
        ('"curl-pod <-> dns"', "failed"),
    ],
)
def test_only_those_named_may_talk(ways: str, status: str, tmp_path: Path) -> None:
    row = scene(tmp_path, f"talks = [{ways}]", exchange(), cluster=pods(tmp_path))["talks"]
    assert row["status"] == status
    if status == "failed":
        assert 3 in records(row)  # the reply, in eth2
        assert "webpod 17701 → curl-pod 36705" in row["found"]


def test_names_that_no_file_tells_leave_it_open_and_numbers_do_not(tmp_path: Path) -> None:
    assert scene(tmp_path, 'talks = ["curl-pod <-> webpod"]', exchange())["talks"]["status"] == "unjudged"
    assert scene(tmp_path, 'talks = ["36705 <-> 17701"]', exchange())["talks"]["status"] == "met"
    assert scene(tmp_path, 'talks = ["1 <-> 2"]', exchange())["talks"]["status"] == "failed"


def test_where_a_vni_is_a_network_nobody_is_known_to_talk(tmp_path: Path) -> None:
    row = scene(tmp_path, 'talks = ["* -> *"]', exchange(), overlay="vxlan")["talks"]
    assert row["status"] == "unjudged"


def test_mtu_and_sizes(tmp_path: Path) -> None:
    seen = exchange()
    assert statuses(scene(tmp_path, "overlay_mtu = 1400\nunderlay_mtu = 1500\nmax_inner_size = 83", seen)) == {
        "min_datagrams": "met",
        "overlay_mtu": "failed",
        "underlay_mtu": "met",
        "max_inner_size": "failed",
    }
    assert records(scene(tmp_path, "max_inner_size = 83", seen)["max_inner_size"]) == [1, 3]
    assert scene(tmp_path, "max_inner_size = 84", seen)["max_inner_size"]["status"] == "met"
    row = judged(tmp_path, "overlay_mtu = 1450", [pcap(tmp_path / "b.pcap", seen)])["overlay_mtu"]
    assert row["status"] == "unjudged"


def test_fragments_are_counted_and_lost_first_ones_leave_it_open(tmp_path: Path) -> None:
    first, tail = fragments(tunnel(ping(2, size=1480)), 1000)
    both = [*exchange(), *passed(S, first), *passed(S + MS, tail)]
    row = scene(tmp_path, "max_fragmented = 0", both)["max_fragmented"]
    assert (row["status"], records(row)) == ("failed", [5])
    assert scene(tmp_path, "max_fragmented = 1", both)["max_fragmented"]["status"] == "met"
    row = scene(tmp_path, "max_fragmented = 0", [*exchange(), *passed(S, tail)])["max_fragmented"]
    assert row["status"] == "unjudged"


def test_messages_that_a_filter_hides_leave_it_open(tmp_path: Path) -> None:
    assert scene(tmp_path, "max_packet_too_big = 0", exchange())["max_packet_too_big"]["status"] == "unjudged"
    unrelated = passed(S, ping(7, NODE_A, NODE_B))
    rows = scene(tmp_path, "max_packet_too_big = 0", [*exchange(), *unrelated])
    assert rows["max_packet_too_big"]["status"] == "met"
    told = [*exchange(), left(S, too_big("192.168.10.200", NODE_A), ETH1)]
    assert scene(tmp_path, "max_packet_too_big = 0", told)["max_packet_too_big"]["status"] == "failed"


@pytest.mark.parametrize(("sizes", "status"), [("50", "met"), ("50, 54", "met"), ("54", "failed")])
def test_what_the_tunnel_adds(sizes: str, status: str, tmp_path: Path) -> None:
    assert scene(tmp_path, f"overhead_bytes = [{sizes}]", exchange())["overhead_bytes"]["status"] == status


@pytest.mark.parametrize(
    ("names", "status"),
    [('"error"', "failed"), ('"forwarding"', "failed"), ('"forwarding.dropped"', "failed"), ('"mtu"', "met")],
)
def test_findings_count_whether_they_are_shown_or_not(names: str, status: str, tmp_path: Path) -> None:
    seen = [*exchange(), came(2 * S, tunnel(ping(2))), *exchange(5 * S, 3)]
    row = scene(tmp_path, f"no_findings = [{names}]", seen, ignore=["forwarding"])["no_findings"]
    assert row["status"] == status
    assert (records(row) == [5]) is (status == "failed")


def test_a_capture_that_is_cut_short_is_not_complete(tmp_path: Path) -> None:
    path = tmp_path / "cut.pcap"
    pcap(path, exchange())
    path.write_bytes(path.read_bytes()[:-7])
    row = judged(tmp_path, "complete = true", [str(path)])["complete"]
    assert row["status"] == "failed"
    assert "cut.pcap" in row["found"]
    assert judged(tmp_path, "complete = false", [str(path)])["complete"]["status"] == "met"


def test_both_engines_judge_alike(tmp_path: Path, engine: str) -> None:
    seen = [*exchange(), came(2 * S, tunnel(ping(2))), *passed(3 * S, back(ping(4, POD_B, POD_A)), ingress=ETH2)]
    rows = scene(tmp_path, 'max_dropped = 0\npaths = ["eth1 -> eth2"]\ntalks = ["36705 -> 17701"]', seen)
    assert statuses(rows) == {
        "min_datagrams": "met",
        "max_dropped": "failed",
        "paths": "failed",
        "talks": "failed",
    }
    assert records(rows["paths"]) == [3, 5, 6]


# The file.


def test_every_key_of_the_schema_is_judged() -> None:
    assert {*expectation_schema()["properties"]} == {*_JUDGES}


def test_values_are_read_as_what_they_mean(tmp_path: Path) -> None:
    text = '# a comment\nmax_latency_p99 = "1.5ms"\n\n"paths" = [\n  "eth1 <-> eth2",\n]\n'
    items = load_expectations(write(tmp_path, text)).items
    assert [(item.key, item.line, item.value) for item in items] == [
        ("min_datagrams", None, 1),
        ("max_latency_p99", 2, 1_500_000),
        ("paths", 4, [Way("eth1", "eth2"), Way("eth2", "eth1")]),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("max_droped = 0", "max_droped: is no expectation; the nearest is max_dropped"),
        ("max_dropped = -1", "max_dropped: expected a whole number of 0 or more, found -1."),
        ("max_dropped = true", "max_dropped: expected a whole number of 0 or more, found true."),
        ("max_dropped = 1.5", "max_dropped: expected a whole number of 0 or more, found 1.5."),
        ('max_dropped = "no"', "max_dropped: expected a whole number of 0 or more, found 'no'."),
        ("max_dropped_percent = nan", "max_dropped_percent: expected a number from 0 to 100, found nan."),
        ("max_dropped_percent = 101", "max_dropped_percent: expected a number from 0 to 100, found 101."),
        ("overlay_mtu = 0", "overlay_mtu: expected a whole number of 1 or more, found 0."),
        ("max_latency = 5", 'max_latency: expected text such as "1ms", found 5.'),
        ('max_latency = "soon"', "max_latency: 'soon' is not a duration; give a number and ns, us, ms, s or m"),
        ('paths = "eth1"', "paths: expected a list such as [\"eth1 -> eth2\"], found 'eth1'."),
        ("paths = []", 'paths: expected a list such as ["eth1 -> eth2"], found [].'),
        (
            'paths = ["eth1"]',
            "paths, item 1: expected two ends and an arrow, as in \"eth1 -> eth2\", found 'eth1'.",
        ),
        ('paths = ["a -> b", "a -> b -> c"]', "paths, item 2: expected two ends and an arrow"),
        ('talks = [" -> b"]', "talks, item 1: expected two ends and an arrow"),
        ("talks = [1]", 'talks, item 1: expected text such as "eth1 -> eth2", found 1.'),
        ("overhead_bytes = [true]", "overhead_bytes, item 1: expected a whole number of 0 or more, found true."),
        ('no_findings = ["mtus"]', "no_findings, item 1: 'mtus': is no finding's id"),
        ("complete = 1", "complete: expected true or false, found 1."),
        ("[forwarding]\nmax = 1", "forwarding: is no expectation"),
        ('"a\\t\\u001b" = 1', "'a\\t\\x1b': is no expectation"),
        ("max_dropped", "is not TOML: "),
    ],
)
def test_what_is_wrong_with_a_file_is_said_in_one_line(text: str, message: str, tmp_path: Path) -> None:
    path = write(tmp_path, text)
    with pytest.raises(UsageError) as error:
        load_expectations(path)
    assert str(error.value).startswith(f"{path}: {message}")
    assert "\n" not in str(error.value)


def test_a_file_that_cannot_be_read_is_told_of(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.toml: cannot be read: No such file"):
        load_expectations(str(tmp_path / "none.toml"))
    with pytest.raises(UsageError, match="cannot be read: Is a directory"):
        load_expectations(str(tmp_path))
    (tmp_path / "b.toml").write_bytes(b"max_dropped = 0 # \xff")
    with pytest.raises(UsageError, match=r"b\.toml: is not UTF-8 at byte 18"):
        load_expectations(str(tmp_path / "b.toml"))
    (tmp_path / "large.toml").write_bytes(b"#" * ((1 << 20) + 1))
    with pytest.raises(UsageError, match="is larger than 1 MiB"):
        load_expectations(str(tmp_path / "large.toml"))
