"""Findings: raised on evidence and only then, with the records that prove it, a remedy, and what stays unknown."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from analysis.scenes import (
    ETH1,
    ETH2,
    IN,
    MAC_1,
    MAC_A,
    MS,
    NODE_A,
    NODE_B,
    POD_A,
    POD_B,
    US,
    VNI_A,
    VNI_B,
    Seen,
    back,
    came,
    cooked,
    endpoints_file,
    exchange,
    finding,
    fragments,
    frame,
    left,
    passed,
    pcap,
    pcapng,
    ping,
    records_of,
    routed,
    router_links,
    segment,
    tunnel,
    tunnel6,
)
from engine.generate import mss

from vxtool import analyze
from vxtool.analysis.model import Report
from vxtool.capture.container import Interface
from vxtool.report import RENDERERS, Target

LATER = 100 * MS


def run(tmp_path: Path, records: list[Seen], **options: object) -> Report:
    return analyze([pcap(tmp_path / "capture.pcap", records)], **options)  # type: ignore[arg-type]


def links(tmp_path: Path, **options: int) -> list[str]:
    return [router_links(tmp_path / "links.json", **options)]  # type: ignore[arg-type]


def too_large() -> list[Seen]:
    """Records 1 to 4 are an exchange, 5 and 6 a ping that is too large for the tunnel, and in one piece."""
    return [*exchange(), *passed(LATER, tunnel(ping(60, size=1500, identifier=7)))]


def lossy() -> list[Seen]:
    """Records 1 to 4 are an exchange, 5 and 6 are lost."""
    lost = [came(LATER + number * MS, tunnel(ping(50 + number))) for number in range(2)]
    return [*exchange(), *lost, *exchange(3 * LATER, 2)]


def fragmented(hidden: bool = False) -> list[Seen]:
    """Records 1 to 4: an exchange; from 5 on, a datagram of 1500 bytes in two fragments."""
    pieces = fragments(tunnel(ping(50, size=1500)), 1480)
    records = exchange()
    for at, piece in enumerate(pieces[: 1 if hidden else 2]):
        records += passed(LATER + at * MS, piece)
    return [*records, *exchange(3 * LATER, 2)]


def by_router(hidden: bool = False) -> list[Seen]:
    packet = tunnel(ping(50, size=1450))
    pieces = fragments(routed(packet), 1376)
    records = [*exchange(), came(LATER, packet)]
    records += [left(LATER + (9 + at) * US, piece) for at, piece in enumerate(pieces[: 1 if hidden else 2])]
    return [*records, *exchange(3 * LATER, 2)]


def super_frames() -> list[Seen]:
    syn = passed(0, tunnel(segment(1, 0, flags=2, options=mss(1410))))
    ends = (POD_B, 80), (POD_A, 32788)
    syn_ack = passed(MS, back(segment(1, 0, *ends, flags=0x12, options=mss(1410))), 9 * US, ETH2, ETH1)
    return [*syn, *syn_ack, *passed(2 * MS, tunnel(segment(2, 14100)))]


def cluster(tmp_path: Path) -> list[str]:
    return [endpoints_file(tmp_path / "endpoints.json", [("curl-pod", VNI_A, POD_A, NODE_A)])]


# One scene that raises each finding: (id, severity, count, records of evidence, how to make it).
Scene = Callable[[Path], Report]


def clipped(tmp_path: Path, snaplen: int) -> Report:
    return analyze([pcap(tmp_path / "capture.pcap", exchange(), snaplen=snaplen)])


def truncated(tmp_path: Path) -> Report:
    path = Path(pcap(tmp_path / "capture.pcap", exchange()))
    path.write_bytes(path.read_bytes()[:-10])
    return analyze([str(path)])


def one_sided(tmp_path: Path) -> Report:
    rows = [frame(at * MS, tunnel(ping(at)), MAC_A, MAC_1, direction=IN) for at in range(3)]
    return analyze([pcapng(tmp_path / "c.pcapng", [Interface(1, 0, "eth1")], rows)])


SCENES: dict[str, tuple[str, int, list[int], Scene]] = {
    "forwarding.dropped": ("error", 2, [5, 6], lambda path: run(path, lossy())),
    "mtu.fragmented-at-source": ("warning", 1, [5], lambda path: run(path, fragmented())),
    "mtu.fragmented-by-router": ("warning", 1, [5], lambda path: run(path, by_router())),
    "mtu.inner-exceeds-overlay": ("warning", 1, [5], lambda path: run(path, too_large(), links=links(path))),
    "identity.unknown": ("info", 1, [3], lambda path: run(path, exchange(), cluster=cluster(path))),
    "capture.truncated": ("warning", 1, [3], truncated),
    "capture.clipped": ("info", 4, [1], lambda path: clipped(path, 120)),
    "capture.one-sided": ("info", 3, [1, 2, 3], one_sided),
    "capture.super-frames": ("info", 1, [1], lambda path: run(path, super_frames()[4:], links=links(path))),
    "capture.fragments-hidden": ("warning", 1, [5], lambda path: run(path, fragmented(hidden=True))),
}


@pytest.mark.parametrize("name", SCENES)
class TestEach:
    def test_is_raised_on_evidence_with_all_its_parts(self, tmp_path: Path, name: str) -> None:
        severity, count, records, scene = SCENES[name]
        found = finding(scene(tmp_path), name)
        assert found is not None
        assert (found["severity"], found["count"], records_of(found)) == (severity, count, records)
        assert found["title"]
        assert found["remedy"]
        assert found["unknown"]
        assert all(item["text"] and item["input"] for item in found["evidence"])

    def test_is_not_raised_without(self, tmp_path: Path, name: str) -> None:
        report = run(tmp_path, exchange(), links=links(tmp_path))
        assert finding(report, name) is None

    def test_reads_as_a_sentence(self, tmp_path: Path, name: str) -> None:
        """Nothing of the program shows through: no None, no braces, no exponents."""
        found = finding(SCENES[name][3](tmp_path), name)
        assert found is not None
        texts = [found["title"], found["remedy"], found["unknown"] or ""]
        for text in [*texts, *(item["text"] for item in found["evidence"])]:
            assert not re.search(r"None|[{}]|\de\+|  |dev #", text), text


def test_a_clean_capture_has_none(tmp_path: Path) -> None:
    assert run(tmp_path, exchange(), links=links(tmp_path))["findings"] == []


def test_the_gravest_come_first(tmp_path: Path) -> None:
    records = [*lossy(), *(row for row in fragmented()[4:6])]
    path = pcap(tmp_path / "capture.pcap", records, snaplen=120)
    severities = [item["severity"] for item in analyze([path], links=links(tmp_path))["findings"]]
    assert severities[0] == "error"
    assert severities == sorted(severities, key=["error", "warning", "info"].index)
    assert len(set(severities)) == 3


class TestDropped:
    def test_says_where_and_how_much(self, tmp_path: Path) -> None:
        found = finding(run(tmp_path, lossy(), links=links(tmp_path)), "forwarding.dropped")
        assert found is not None
        assert found["title"] == "2 datagrams (33 %) came in by eth1 and never went out"
        assert "tc -s qdisc show dev eth2" in found["remedy"]
        assert found["evidence"][0]["text"] == f"{POD_A} → {POD_B} icmp, 84 bytes: in eth1, never out"
        assert found["evidence"][0]["time"] == "2025-08-09T17:27:50.100000000Z"

    def test_all_is_100_percent_and_no_egress_is_named(self, tmp_path: Path) -> None:
        lost = [came(number * MS, tunnel(ping(number))) for number in range(3)]
        pings = passed(LATER, ping(1, "10.0.0.1", "10.0.0.2"))
        found = finding(run(tmp_path, [*lost, *pings]), "forwarding.dropped")
        assert found is not None
        assert found["title"] == "3 datagrams (100 %) came in by #3 and never went out"
        assert "nothing for these destinations left at all" in found["remedy"]
        assert f"`ip route get {NODE_B}`" in found["remedy"]

    def test_nearly_all_is_not_called_all(self, tmp_path: Path) -> None:
        lost = [came(number * MS, tunnel(ping(number))) for number in range(400)]
        found = finding(run(tmp_path, [*lost, *passed(500 * MS, tunnel(ping(999)))]), "forwarding.dropped")
        assert found is not None
        assert "(99.7 %)" in found["title"]  # 400 of 401 are 99.75 %

    def test_a_share_has_the_same_digits_in_the_verdict(self, tmp_path: Path) -> None:
        rows = [came(0, tunnel(ping(0)))]
        rows += [row for each in range(1, 300) for row in passed(each * MS, tunnel(ping(each)))]
        report = run(tmp_path, rows)
        found = finding(report, "forwarding.dropped")
        assert found is not None
        assert "(0.3 %)" in found["title"]  # 1 of 300 is 0.333 %
        page = RENDERERS["text"](report, Target(width=200))
        assert "299 forwarded, 1 dropped (0.3 % dropped)" in page
        assert page.count("0.3 %") >= 3
        assert "0.33 %" not in page

    def test_without_interface_names_no_command_names_one(self, tmp_path: Path) -> None:
        """They left, by an interface that SLL version 1 does not tell."""
        found = finding(analyze([cooked(tmp_path / "c.pcap", lossy())]), "forwarding.dropped")
        assert found is not None
        assert found["title"] == "2 datagrams (33 %) came in and never went out"
        assert "nothing for these destinations left" not in found["remedy"]
        assert "tc -s qdisc show dev INTERFACE" in found["remedy"]

    def test_an_index_is_no_name_for_a_command(self, tmp_path: Path) -> None:
        found = finding(run(tmp_path, lossy()), "forwarding.dropped")
        assert found is not None
        assert "dev #" not in found["remedy"]

    def test_only_large_ones_point_at_the_mtu(self, tmp_path: Path) -> None:
        lost = [came(LATER + number * MS, tunnel(ping(50 + number, size=1402))) for number in range(3)]
        records = [*exchange(), *lost, *exchange(3 * LATER, 2)]
        found = finding(run(tmp_path, records, links=links(tmp_path)), "forwarding.dropped")
        assert found is not None
        assert "1,402 bytes or more, and the largest that left for there had 84" in found["remedy"]
        assert "ip link show eth2" in found["remedy"]

    def test_of_several_interfaces_each_is_an_alternative(self, tmp_path: Path) -> None:
        records = [*lossy(), came(LATER + 5 * MS, back(ping(60, POD_B, POD_A)), ETH2)]
        found = finding(run(tmp_path, records, links=links(tmp_path)), "forwarding.dropped")
        assert found is not None
        assert "came in by eth1 or eth2" in found["title"]

    def test_in_part(self, tmp_path: Path) -> None:
        first, second = fragments(tunnel(ping(50, size=1500)), 1480)
        records = [*exchange(), *passed(LATER, first), came(LATER + MS, second), *exchange(3 * LATER, 2)]
        found = finding(run(tmp_path, records, links=links(tmp_path)), "forwarding.dropped")
        assert found is not None
        assert found["title"] == "1 datagram (20 %) came in by eth1 and left in part only"
        assert found["evidence"][0]["text"].endswith("in eth1, only in part out eth2")

    def test_missed_ingresses_make_it_less_sure(self, tmp_path: Path) -> None:
        records = [*lossy(), left(LATER + 5 * MS, routed(tunnel(ping(70))))]
        found = finding(run(tmp_path, records), "forwarding.dropped")
        assert found is not None
        assert found["unknown"] is not None
        assert "missed 1 ingress," in found["unknown"]

    def test_names_of_pods_may_hold_braces(self, tmp_path: Path) -> None:
        files = [endpoints_file(tmp_path / "e.json", [("{size}", VNI_A, POD_A, NODE_A)])]
        found = finding(run(tmp_path, lossy(), cluster=files), "forwarding.dropped")
        assert found is not None
        assert found["evidence"][0]["text"].startswith(f"default/{{size}} {POD_A} → {POD_B}")


class TestFragmented:
    def test_the_overlay_mtu_is_the_remedy(self, tmp_path: Path) -> None:
        found = finding(run(tmp_path, fragmented(), links=links(tmp_path)), "mtu.fragmented-at-source")
        assert found is not None
        assert found["remedy"].startswith("set the pods' MTU to 1450")

    def test_but_not_where_packets_of_that_size_did_not_fit(self, tmp_path: Path) -> None:
        """1450 inside came in fragments though 1500 lie on the router's links: a smaller one is elsewhere."""
        pieces = fragments(tunnel(ping(50, size=1450)), 1376)
        records = exchange()
        for at, piece in enumerate(pieces):
            records += passed(LATER + at * MS, piece)
        found = finding(run(tmp_path, records, links=links(tmp_path)), "mtu.fragmented-at-source")
        assert found is not None
        assert "set the pods' MTU to 1450" not in found["remedy"]
        assert "tracepath" in found["remedy"]

    def test_without_any_mtu_the_remedy_says_by_how_much(self, tmp_path: Path) -> None:
        found = finding(run(tmp_path, fragmented()), "mtu.fragmented-at-source")
        assert found is not None
        assert "50 bytes over IPv4" in found["remedy"]

    def test_by_the_router_names_the_link(self, tmp_path: Path) -> None:
        report = run(tmp_path, by_router(), links=links(tmp_path, eth2_mtu=1400))
        found = finding(report, "mtu.fragmented-by-router")
        assert found is not None
        assert found["title"] == "1 datagram left eth2 in fragments that were made here"
        assert found["remedy"].startswith("raise the MTU of eth2")
        assert "set the pods' MTU to 1350" in found["remedy"]
        assert finding(report, "mtu.fragmented-at-source") is None

    def test_without_links_no_mtu_is_made_up(self, tmp_path: Path) -> None:
        found = finding(run(tmp_path, [*super_frames()[:4], *by_router()[4:7]]), "mtu.fragmented-by-router")
        assert found is not None
        assert "set the pods' MTU" not in found["remedy"]

    def test_plain_fragments_are_no_matter_of_the_tunnel(self, tmp_path: Path) -> None:
        records: list[Seen] = []
        for at, piece in enumerate(fragments(ping(50, size=1600), 1480)):
            records += passed(at * MS, piece)
        found = finding(run(tmp_path, records), "mtu.fragmented-at-source")
        assert found is not None
        assert "tunnel" not in found["title"] + found["remedy"]


class TestInnerExceedsOverlay:
    def test_counts_and_names_them(self, tmp_path: Path) -> None:
        report = run(tmp_path, too_large(), links=links(tmp_path))
        found = finding(report, "mtu.inner-exceeds-overlay")
        assert found is not None
        assert found["title"] == "1 inner packet of up to 1500 bytes exceeds the overlay MTU of 1450"

    def test_exactly_the_overlay_mtu_does_not_exceed_it(self, tmp_path: Path) -> None:
        report = run(tmp_path, passed(0, tunnel(ping(size=1450))), links=links(tmp_path))
        assert finding(report, "mtu.inner-exceeds-overlay") is None

    def test_super_frames_do_not(self, tmp_path: Path) -> None:
        report = run(tmp_path, super_frames(), links=links(tmp_path))
        assert finding(report, "mtu.inner-exceeds-overlay") is None

    def test_what_fits_by_its_own_headers_does_not(self, tmp_path: Path) -> None:
        """Most tunnels run over IPv6 here, which leaves 1430; over IPv4 there is room for 1450."""
        records = [row for number in range(3) for row in passed(number * MS, tunnel6(ping(number)))]
        records += passed(9 * MS, tunnel(ping(9, size=1450, identifier=7)))
        report = run(tmp_path, records, links=links(tmp_path))
        assert report["mtu"]["overlay"] == 1430
        assert finding(report, "mtu.inner-exceeds-overlay") is None

    def test_what_passed_whole_contradicts_an_mtu_that_only_the_syns_tell(self, tmp_path: Path) -> None:
        """The pods announce 1410, and a ping of 1500 went through in one piece: the underlay carries it."""
        records = [*super_frames()[:4], *passed(9 * MS, tunnel(ping(5, size=1500)))]
        assert finding(run(tmp_path, records), "mtu.inner-exceeds-overlay") is None

    def test_the_evidence_is_large_itself(self, tmp_path: Path) -> None:
        """The flow's first packets are small; the record that is named is that of the fragments."""
        pieces = fragments(tunnel(ping(50, size=1500)), 1480)
        records = [row for number in range(4) for row in passed(number * MS, tunnel(ping(number)))]
        for at, piece in enumerate(pieces):
            records += passed(LATER + at * MS, piece)
        found = finding(run(tmp_path, records, links=links(tmp_path)), "mtu.inner-exceeds-overlay")
        assert records_of(found) == [9]


class TestIdentity:
    def test_names_the_number_and_how_to_look_it_up(self, tmp_path: Path) -> None:
        found = finding(run(tmp_path, exchange(), cluster=cluster(tmp_path)), "identity.unknown")
        assert found is not None
        assert found["title"] == f"1 identity in no file given: {VNI_B}"
        assert f"kubectl get ciliumidentities {VNI_B}" in found["remedy"]

    def test_without_files_nothing_is_unknown(self, tmp_path: Path) -> None:
        assert finding(run(tmp_path, exchange(), overlay="cilium"), "identity.unknown") is None

    def test_ciliums_own_numbers_are_known(self, tmp_path: Path) -> None:
        records = [*passed(0, tunnel(ping(1))), *passed(MS, tunnel(ping(2, NODE_A), 6))]
        assert finding(run(tmp_path, records, cluster=cluster(tmp_path)), "identity.unknown") is None

    def test_a_plain_network_has_none(self, tmp_path: Path) -> None:
        report = run(tmp_path, exchange(), cluster=cluster(tmp_path), overlay="vxlan")
        assert finding(report, "identity.unknown") is None

    def test_of_many_five_are_shown(self, tmp_path: Path) -> None:
        records = [
            row
            for number in range(8)
            for row in passed(number * MS, tunnel(ping(number, f"172.20.0.{number + 1}"), 300 + number))
        ]
        found = finding(run(tmp_path, records, cluster=cluster(tmp_path)), "identity.unknown")
        assert found is not None
        assert found["title"] == "8 identities in no file given: 300, 301, 302, 303, 304 and 3 more"
        assert records_of(found) == [1, 3, 5, 7, 9]


class TestCapture:
    def test_cut_within_headers_is_a_warning(self, tmp_path: Path) -> None:
        found = finding(clipped(tmp_path, 60), "capture.clipped")
        assert found is not None
        assert (found["severity"], found["count"]) == ("warning", 4)
        assert "a snaplen of 60" in found["remedy"]

    def test_of_some_cut_in_headers_and_some_behind_the_former_count(self, tmp_path: Path) -> None:
        rows = exchange()
        short = [rows[0]._replace(data=rows[0].data[:60], length=len(rows[0].data))]
        behind = [rows[1]._replace(data=rows[1].data[:130], length=len(rows[1].data))]
        found = finding(run(tmp_path, [*short, *behind, *rows[2:]]), "capture.clipped")
        assert found is not None
        assert (found["count"], records_of(found)) == (1, [1])
        assert "snaplen" not in found["remedy"]

    def test_one_sided_without_directions_asks_for_links(self, tmp_path: Path) -> None:
        rows = [frame(at * MS, tunnel(ping(at)), MAC_A, MAC_1) for at in range(3)]
        report = analyze([pcap(tmp_path / "capture.pcap", rows, link_type=1)])
        found = finding(report, "capture.one-sided")
        assert found is not None
        assert found["title"].startswith("3 datagrams seen once, without a direction")
        assert "--links" in found["remedy"]

    def test_one_sided_with_directions_does_not(self, tmp_path: Path) -> None:
        found = finding(one_sided(tmp_path), "capture.one-sided")
        assert found is not None
        assert "--links" not in found["remedy"]

    def test_hidden_fragments_come_with_a_filter_that_shows_them(self, tmp_path: Path) -> None:
        records = fragmented(hidden=True)
        found = finding(run(tmp_path, records), "capture.fragments-hidden")
        assert found is not None
        assert "its filter hides them" in found["title"]
        assert "'udp port 8472 or icmp or icmp6 or (ip[6:2] & 0x1fff != 0) or ip6[6]=44'" in found["remedy"]

    def test_the_filter_is_for_the_tunnels_own_port(self, tmp_path: Path) -> None:
        first, _ = fragments(tunnel(ping(50, size=1500), to_port=4789), 1480)
        found = finding(run(tmp_path, passed(0, first)), "capture.fragments-hidden")
        assert found is not None
        assert "udp port 4789 or" in found["remedy"]

    def test_lost_when_the_next_device_sees_them(self, tmp_path: Path) -> None:
        """The capture has fragments of another datagram, so no filter hides them."""
        first, _ = fragments(tunnel(ping(70, size=1500)), 1480)
        records = [*fragmented(), *passed(LATER + 50 * MS, first)]
        found = finding(run(tmp_path, records), "capture.fragments-hidden")
        assert found is not None
        assert found["count"] == 1
        assert "filter" not in found["title"] + found["remedy"]

    def test_a_lost_first_fragment_alone_is_hidden_too(self, tmp_path: Path) -> None:
        first, _ = fragments(tunnel(ping(50, size=1500)), 1480)
        report = run(tmp_path, [*exchange(), came(LATER, first), *exchange(3 * LATER, 2)])
        assert report["forwarding"]["dropped"] == 1
        assert finding(report, "capture.fragments-hidden") is not None

    def test_where_small_packets_are_counted_along_the_flows_start_is_named(self, tmp_path: Path) -> None:
        found = finding(run(tmp_path, super_frames()), "capture.super-frames")
        assert found is not None
        assert records_of(found) == [1]
        assert found["evidence"][0]["text"].endswith("packets of 44 to 14140 bytes inside, from here on")

    def test_super_frames_are_counted_and_explained(self, tmp_path: Path) -> None:
        found = finding(run(tmp_path, super_frames()), "capture.super-frames")
        assert found is not None
        assert "counted from the flow's MSS" in (found["unknown"] or "")
        records = super_frames()[4:]
        found = finding(run(tmp_path, records, links=links(tmp_path)), "capture.super-frames")
        assert found is not None
        assert "estimated" in (found["unknown"] or "")
