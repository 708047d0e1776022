"""Inputs: several, unreadable, empty, cut, of link types that are not known; and options that make no sense."""

from __future__ import annotations

from pathlib import Path

import pytest
from analysis.scenes import (
    MS,
    Seen,
    came,
    exchange,
    finding,
    left,
    outcomes,
    pcap,
    ping,
    routed,
    tunnel,
)

from vxtool import analyze
from vxtool.errors import UsageError


def empty(path: Path) -> str:
    return pcap(path, [])


def test_a_capture_without_records_is_an_empty_report(tmp_path: Path) -> None:
    report = analyze([empty(tmp_path / "eth1.pcap")])
    (item,) = report["inputs"]
    assert (item["format"], item["records"], item["error"], item["truncated"]) == ("pcap-ns", 0, None, False)
    assert report["capture"]["records"] == 0
    assert report["capture"]["first_time"] is None
    assert report["capture"]["duration_ns"] is None
    assert report["capture"]["vantage"] is None
    assert report["forwarding"]["scope"] == "ip"
    assert outcomes(report) == {}
    assert report["forwarding"]["other"] is None
    assert report["mtu"]["largest_inner"] is None
    for name in ("flows", "identities", "identity_pairs", "timeline", "findings"):
        assert report[name] == []  # type: ignore[literal-required]


def test_several_inputs_are_one_capture_merged_by_time(tmp_path: Path) -> None:
    records = exchange()
    files = [pcap(tmp_path / "a.pcap", records[::2]), pcap(tmp_path / "b.pcap", records[1::2])]
    report = analyze(files)
    assert outcomes(report) == {"forwarded": 2}
    assert [item["records"] for item in report["inputs"]] == [2, 2]
    assert report["capture"]["records"] == 4


def test_evidence_names_the_input_and_the_record_in_it(tmp_path: Path) -> None:
    lost = came(100 * MS, tunnel(ping(50)))
    files = [pcap(tmp_path / "a.pcap", exchange()), pcap(tmp_path / "b.pcap", [lost, *exchange(200 * MS, 2)])]
    found = finding(analyze(files), "forwarding.dropped")
    assert found is not None
    (evidence,) = found["evidence"]
    assert (evidence["input"], evidence["record"]) == (files[1], 1)


def test_one_that_cannot_be_read_does_not_keep_the_others_back(tmp_path: Path) -> None:
    good = pcap(tmp_path / "good.pcap", exchange())
    report = analyze([str(tmp_path / "missing.pcap"), good])
    bad, fine = report["inputs"]
    assert bad["error"] is not None
    assert "missing.pcap" in bad["error"]
    assert (bad["format"], bad["records"], bad["truncated"]) == (None, 0, False)
    assert (fine["error"], fine["records"]) == (None, 4)
    assert outcomes(report) == {"forwarded": 2}


@pytest.mark.parametrize("content", [b"", b"not a capture, only text of some length\n" * 9])
def test_what_is_no_capture_says_so(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.pcap"
    path.write_bytes(content)
    (item,) = analyze([str(path)])["inputs"]
    assert item["error"] is not None
    assert (item["records"], item["truncated"]) == (0, False)


def test_a_directory_is_no_capture(tmp_path: Path) -> None:
    (item,) = analyze([str(tmp_path)])["inputs"]
    assert item["error"] is not None
    assert "directory" in item["error"]


@pytest.mark.parametrize("missing", [1, 20, 150])
def test_a_cut_capture_is_analysed_up_to_the_cut(tmp_path: Path, missing: int) -> None:
    path = Path(pcap(tmp_path / "cut.pcap", exchange()))
    path.write_bytes(path.read_bytes()[:-missing])
    report = analyze([str(path)])
    (item,) = report["inputs"]
    assert (item["records"], item["truncated"]) == (3, True)
    assert item["error"] is not None
    assert report["capture"]["records"] == 3
    assert [found["id"] for found in report["findings"]] == ["capture.truncated"]


def test_a_link_type_that_is_not_known_is_said_and_counted(tmp_path: Path) -> None:
    path = pcap(tmp_path / "wifi.pcap", [Seen(0, bytes(60)), Seen(1, bytes(60))], link_type=105)
    report = analyze([path])
    (item,) = report["inputs"]
    assert item["link_types"] == ["LINKTYPE_105"]
    assert item["error"] is not None
    assert "link type 105" in item["error"]
    assert report["capture"]["records"] == 2
    assert outcomes(report) == {}


def test_frames_without_ip_are_other_records(tmp_path: Path) -> None:
    """Two of ARP beside the four of the tunnel."""
    arp = bytes.fromhex("0806000000000003000100060200000000010000") + bytes(28)
    report = analyze([pcap(tmp_path / "c.pcap", [*exchange(), Seen(0, arp), Seen(1, arp)])])
    assert (report["capture"]["tunnel_records"], report["capture"]["other_records"]) == (4, 2)
    assert outcomes(report) == {"forwarded": 2}


def test_a_wrong_tunnel_protocol_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"port 4789=gre: expected one of vxlan, geneve"):
        analyze([empty(tmp_path / "c.pcap")], ports={4789: "gre"})


def test_the_window_is_how_long_a_datagram_may_take(tmp_path: Path) -> None:
    packet = tunnel(ping(9))
    slow = [*exchange(), came(100 * MS, packet), left(150 * MS, routed(packet)), *exchange(900 * MS, 2)]
    path = pcap(tmp_path / "c.pcap", slow)
    assert outcomes(analyze([path])) == {"forwarded": 5}
    assert outcomes(analyze([path], window_ns=40 * MS)) == {"forwarded": 4, "dropped": 1, "missed": 1}


def test_progress_is_told_in_bytes_and_records(tmp_path: Path) -> None:
    path = pcap(tmp_path / "c.pcap", exchange())
    told: list[tuple[int, int | None, int]] = []
    analyze([path], progress=lambda *row: told.append(row))
    size = Path(path).stat().st_size
    assert told[-1] == (size, size, 4)
