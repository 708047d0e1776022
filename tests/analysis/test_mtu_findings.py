"""Findings on the MTU: each with a capture that raises it, and one close to it that does not."""

from __future__ import annotations

import struct
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
    ROUTER_1,
    S,
    Seen,
    back,
    came,
    datagram,
    exchange,
    finding,
    fragments,
    left,
    passed,
    pcap,
    ping,
    records_of,
    routed,
    router_links,
    segment,
    tunnel,
)
from captures.samples import sample
from engine.generate import ICMP, icmp, ipv4, ipv6, mss, tcp

from vxtool import analyze
from vxtool.analysis.model import Report

HERE, THERE = (POD_A, 32788), (POD_B, 80)
DATA = 1398  # bytes in a full segment of packets of 1450, with 12 of options


def run(tmp_path: Path, records: list[Seen], **options: object) -> Report:
    return analyze([pcap(tmp_path / "capture.pcap", records)], **options)  # type: ignore[arg-type]


def links(tmp_path: Path, **options: int) -> list[str]:
    return [router_links(tmp_path / "links.json", **options)]  # type: ignore[arg-type]


def opening(size: int = 1410, other: int | None = None) -> list[Seen]:
    """Both SYNs and the first acknowledgement, with these MSS: records 1 to 6."""
    return [
        *passed(0, tunnel(segment(0, 0, flags=2, options=mss(size)))),
        *passed(
            MS, back(segment(0, 0, THERE, HERE, flags=0x12, options=mss(other or size))), ingress=ETH2, egress=ETH1
        ),
        *passed(2 * MS, tunnel(segment(1, 0, identification=77))),
    ]


def full(number: int, copy: int = 0) -> bytes:
    """A full segment in the tunnel, or the same again: 12 bytes of options make it 1450 inside."""
    packet = segment(1 + DATA * number, DATA, options=bytes([1]) * 12, identification=1000 + number + 100 * copy)
    return tunnel(packet)


def super_frame(count: int = 3) -> bytes:
    """The first full segments at once, as segmentation offload hands them to the capture."""
    return tunnel(segment(1, DATA * count, options=bytes([1]) * 12, identification=1000))


def told(quoted: bytes, mtu: int = 1400, size: int = 548, number: int = 900) -> bytes:
    """What the router says of a packet that does not fit."""
    return ipv4(ROUTER_1, NODE_A, ICMP, icmp(3, 4, mtu, quoted[:size]), identification=number)


class TestPacketTooBig:
    def lossy(self, size: int = 548) -> list[Seen]:
        packet = full(0)
        return [
            *opening(),
            came(10 * MS, packet),
            left(10 * MS + 9000, told(packet, size=size), ETH1),
            *exchange(2 * S),
        ]

    def test_names_the_flow_that_is_quoted(self, tmp_path: Path) -> None:
        found = finding(run(tmp_path, self.lossy(), links=links(tmp_path, eth2_mtu=1400)), "mtu.packet-too-big")
        assert found is not None
        assert (found["severity"], found["count"], records_of(found)) == ("warning", 1, [8])
        assert found["evidence"][0]["text"] == (
            f"{ROUTER_1} to {NODE_A}: no more than 1,400 bytes fit, of a tunnel packet {NODE_A} → {NODE_B}, 1,500 "
            f"bytes, VNI 36705, inside {POD_A}:32788 → {POD_B}:80 tcp"
        )
        # Less 20 of IPv4, 8 of UDP, 8 of VXLAN and 14 of Ethernet.
        assert found["remedy"].startswith(f"raise the MTU of eth2 to {NODE_B} here, or set the pods' MTU to 1350 ")

    def test_of_28_bytes_the_flow_inside_stays_unknown(self, tmp_path: Path) -> None:
        found = finding(run(tmp_path, self.lossy(28)), "mtu.packet-too-big")
        assert found is not None
        assert "1,500 bytes, the flow inside is not quoted" in found["evidence"][0]["text"]
        assert "which flow inside the tunnel it was" in str(found["unknown"])

    def test_tells_the_underlay_mtu_where_no_file_does(self, tmp_path: Path) -> None:
        mtu = run(tmp_path, self.lossy())["mtu"]
        assert (mtu["underlay"], mtu["overlay"], mtu["packet_too_big"]) == (1400, 1350, 1)
        assert mtu["underlay_evidence"] == f"{ROUTER_1} by ICMP: no more than 1400 fit"

    def test_another_error_is_none(self, tmp_path: Path) -> None:
        packet = full(0)
        error = ipv4(ROUTER_1, NODE_A, ICMP, icmp(3, 1, 0, packet[:548]))
        records = [*opening(), came(10 * MS, packet), left(11 * MS, error, ETH1), *exchange(2 * S)]
        assert finding(run(tmp_path, records), "mtu.packet-too-big") is None

    def test_a_path_outside_that_finds_its_mtu_is_no_more_than_told(self, tmp_path: Path) -> None:
        plain = segment(1, 1400)
        message = ipv4("10.9.9.9", POD_A, ICMP, icmp(3, 4, 1300, plain[:28]))
        records = [*passed(0, plain), *passed(MS, message, ingress=ETH2, egress=ETH1)]
        found = finding(run(tmp_path, records), "mtu.packet-too-big")
        assert found is not None
        assert (found["severity"], found["count"]) == ("info", 1)
        assert f"{POD_A}:32788 → {POD_B}:80 tcp, 1,440 bytes" in found["evidence"][0]["text"]


class TestTooBigIgnored:
    def repeated(self, last: int, size: int = DATA, quoted: int = 548) -> list[Seen]:
        """A full segment, the message, and the segment again, the last time this long after the message."""
        packet = full(0)
        again = tunnel(segment(1, size, options=bytes([1]) * 12, identification=5000))
        return [
            *opening(),
            came(10 * MS, packet),
            left(10 * MS, told(packet, size=quoted), ETH1),
            came(200 * MS, full(0, 1)),
            came(10 * MS + last, again),
            *exchange(9 * S),
        ]

    @pytest.mark.parametrize("quoted", [548, 28])
    def test_what_comes_long_after_the_message_is_still_too_large(self, tmp_path: Path, quoted: int) -> None:
        report = run(tmp_path, self.repeated(1600 * MS, quoted=quoted), links=links(tmp_path, eth2_mtu=1400))
        found = finding(report, "mtu.too-big-ignored")
        assert found is not None
        assert found["severity"] == "error"
        assert found["title"] == (
            f"{NODE_A} was told that no more than 1,400 bytes fit, and sent packets of up to 1,500 for 1.6 s more"
        )
        assert records_of(found) == [8, 7]
        assert "let ICMP (type 3 code 4, ICMPv6 type 2) in on 192.168.10.100" in found["remedy"]
        assert "set the pods' MTU to 1350" in found["remedy"]
        assert finding(report, "mtu.black-hole") is None

    def test_a_message_within_the_tunnel_is_for_the_pod(self, tmp_path: Path) -> None:
        """A node tells the pod itself, and the tunnel carries that: what it quotes has none."""
        quoted = full(0)[50:]  # behind IPv4, UDP, VXLAN and Ethernet
        message = ipv4("172.20.2.1", POD_A, ICMP, icmp(3, 4, 1300, quoted[:548]), identification=900)
        records = [
            *opening(),
            *passed(10 * MS, full(0)),
            *passed(11 * MS, back(message), ingress=ETH2, egress=ETH1),
        ]
        report = run(tmp_path, [*records, *passed(2 * S, full(0, 1)), *exchange(9 * S)])
        assert finding(report, "mtu.too-big-ignored") is None  # its small packets are counted along: not sure
        (told,) = (each for each in report["findings"] if each["id"] == "mtu.packet-too-big")
        assert (told["severity"], told["count"]) == ("info", 1)
        assert f"of {POD_A}:32788 → {POD_B}:80 tcp, 1,450 bytes" in told["evidence"][0]["text"]
        late = [came(2 * S + at * MS, full(0, 1 + at)) for at in range(2)]
        found = finding(run(tmp_path, [*records, *late, *exchange(9 * S)]), "mtu.too-big-ignored")
        assert found is not None
        assert found["title"].startswith(
            f"{POD_A} was told that no more than 1,300 bytes fit, and sent packets of up to 1,450"
        )
        assert f"set the MTU of {POD_A} to 1300" in found["remedy"]

    def test_what_was_on_its_way_is_no_sign(self, tmp_path: Path) -> None:
        assert finding(run(tmp_path, self.repeated(900 * MS)), "mtu.too-big-ignored") is None

    def test_smaller_ones_are_what_was_asked_for(self, tmp_path: Path) -> None:
        records = self.repeated(1600 * MS, size=DATA - 100)  # 1350 inside
        assert finding(run(tmp_path, records), "mtu.too-big-ignored") is None

    def test_a_sender_that_fragments_has_heard_it(self, tmp_path: Path) -> None:
        """As a VXLAN device does without DF: the packets inside stay as large, and each fragment fits."""
        packet = full(0)
        pieces = fragments(full(0, 1), 1376)
        records = [*opening(), came(10 * MS, packet), left(10 * MS, told(packet, size=28), ETH1)]
        records += [row for at, piece in enumerate(pieces) for row in passed(2 * S + at * MS, piece)]
        assert finding(run(tmp_path, [*records, *exchange(9 * S)]), "mtu.too-big-ignored") is None

    def test_what_did_not_leave_here_told_nobody(self, tmp_path: Path) -> None:
        packet = full(0)
        lost = came(11 * MS, told(packet), ETH2)
        records = [*opening(), *passed(10 * MS, packet), lost, came(2 * S, full(0, 1)), *exchange(9 * S)]
        assert finding(run(tmp_path, records), "mtu.too-big-ignored") is None

    def far(self, second: int, quoted: int = 548, packet: bytes | None = None) -> list[Seen]:
        """A router behind this one tells it, and so long after that the same again: records 7 to 10, 11 to 14."""
        records = opening()
        for number, time in enumerate((10 * MS, 10 * MS + second)):
            sent = packet or full(0, number)
            message = told(routed(sent), size=quoted, number=900 + number)
            records += passed(time, sent)
            records += passed(time + MS, message, ingress=ETH2, egress=ETH1)
        return [*records, *exchange(10 * MS + second + 9 * S)]

    @pytest.mark.parametrize("quoted", [548, 28])
    def test_a_router_behind_this_one_may_say_it(self, tmp_path: Path, quoted: int) -> None:
        """Its packets leave here, along the path of the SYN, so that cells do not tell large from small."""
        report = run(tmp_path, self.far(2 * S, quoted), links=links(tmp_path))
        found = finding(report, "mtu.too-big-ignored")
        assert found is not None
        assert (found["severity"], found["count"]) == ("warning", 2)
        assert found["title"] == (
            f"{NODE_A} was told that no more than 1,400 bytes fit, and sent packets of up to 1,500 for 2.0 s more"
        )
        assert records_of(found) == [9, 13]
        assert found["evidence"][1]["text"] == "the same again; the last of them 2.0 s after the first"
        assert {each["id"] for each in report["findings"] if each["severity"] != "info"} == {"mtu.too-big-ignored"}

    @pytest.mark.parametrize("second", [900 * MS, 301 * S], ids=["at once", "when it may have forgotten"])
    def test_who_heeds_a_message_may_get_more_of_them(self, tmp_path: Path, second: int) -> None:
        assert finding(run(tmp_path, self.far(second)), "mtu.too-big-ignored") is None

    def test_messages_that_do_not_go_on_told_nobody(self, tmp_path: Path) -> None:
        records = [row for row in self.far(2 * S)[:-4] if row not in (self.far(2 * S)[9], self.far(2 * S)[13])]
        assert finding(run(tmp_path, [*records, *exchange(20 * S)]), "mtu.too-big-ignored") is None

    def test_programs_that_look_for_the_mtu_themselves_ask_again(self, tmp_path: Path) -> None:
        records = [*passed(0, datagram(100, 6)), *self.far(2 * S, packet=datagram(1450, 7))]
        report = run(tmp_path, records)
        assert finding(report, "mtu.packet-too-big") is not None
        assert finding(report, "mtu.too-big-ignored") is None

    def test_of_super_frames_the_messages_tell_it(self, tmp_path: Path) -> None:
        """And what is too large is their segments: a super-frame of such would pass that fitted."""
        records = opening()
        for number, time, packet in (
            (0, 10 * MS, super_frame()),
            (1, 210 * MS, full(0, 1)),
            (2, 2010 * MS, super_frame()),
        ):
            records += [came(time, packet), left(time + MS, told(packet, number=900 + number), ETH1)]
        report = run(tmp_path, [*records, *exchange(9 * S)], links=links(tmp_path, eth2_mtu=1400))
        found = finding(report, "mtu.too-big-ignored")
        assert found is not None
        assert (found["severity"], found["count"], records_of(found)) == ("error", 3, [8, 12])
        assert "sent packets of up to 1,500 for 2.0 s more" in found["title"]
        assert {each["id"] for each in report["findings"] if each["severity"] != "info"} == {"mtu.too-big-ignored"}

    def test_another_flow_of_the_same_size_is_another_matter(self, tmp_path: Path) -> None:
        packet = full(0)
        other = tunnel(segment(1, DATA, (POD_A, 999), THERE, options=bytes([1]) * 12))
        records = [*opening(), came(10 * MS, packet), left(10 * MS, told(packet), ETH1), came(2 * S, other)]
        assert finding(run(tmp_path, [*records, *exchange(9 * S)]), "mtu.too-big-ignored") is None


class TestBlackHole:
    def lost(self, *extra: Seen) -> list[Seen]:
        """Records 7 to 9: a full segment and twice the same again, which never go out."""
        copies = [came(time * MS, full(0, copy)) for copy, time in enumerate((10, 210, 610))]
        return [*opening(), *copies, *extra, *exchange(5 * S)]

    def test_large_ones_vanish_where_small_ones_of_the_flow_pass(self, tmp_path: Path) -> None:
        found = finding(run(tmp_path, self.lost(), links=links(tmp_path)), "mtu.black-hole")
        assert found is not None
        assert (found["severity"], found["count"], records_of(found)) == ("error", 3, [7, 8, 9])
        assert found["title"] == (
            "3 datagrams of 1,450 bytes or more came in by eth1 and never went out, while those of the same flow "
            "with up to 44 did"
        )
        assert "the MTU of eth2, which the links file gives as 1,500" in found["remedy"]
        assert "the capture holds no ICMP error at all, so its filter may hide" in str(found["unknown"])
        assert "udp port 8472 or icmp or icmp6" in str(found["unknown"])

    def test_the_limit_is_not_taken_for_what_did_not_pass(self, tmp_path: Path) -> None:
        """Those of 1,450 bytes did not, nor need those of 1,449: of ICMP echo, 28 bytes are headers."""
        found = finding(run(tmp_path, self.lost()), "mtu.black-hole")
        assert found is not None
        assert found["remedy"].endswith(
            "until the cause is found, set the pods' MTU to the most that passes, which is less than 1450: the "
            f"largest SIZE that is answered of `ping -M do -s SIZE {POD_B}` from {POD_A}, plus 28"
        )

    def test_what_passed_is_an_mtu_to_set(self, tmp_path: Path) -> None:
        smaller = tunnel(segment(1 + DATA * 9, DATA - 50, options=bytes([1]) * 12))  # 1400 inside
        found = finding(run(tmp_path, self.lost(*passed(S, smaller))), "mtu.black-hole")
        assert found is not None
        assert "set the pods' MTU to 1400" in found["remedy"]
        assert found["remedy"].endswith(": so much passed, and more may, up to 1449")

    def test_icmp_in_the_capture_says_that_no_filter_hides_it(self, tmp_path: Path) -> None:
        error = ipv4(ROUTER_1, "192.168.10.7", ICMP, icmp(11, 0, 0, bytes(28)))
        found = finding(run(tmp_path, self.lost(left(S, error, ETH1))), "mtu.black-hole")
        assert found is not None
        assert "its filter" not in str(found["unknown"])

    def test_not_where_one_of_them_passed(self, tmp_path: Path) -> None:
        records = self.lost(*passed(S, full(0, 3)))
        assert finding(run(tmp_path, records), "mtu.black-hole") is None

    def test_not_where_small_ones_vanish_too(self, tmp_path: Path) -> None:
        small = [came(S + at * MS, tunnel(segment(1 + DATA * 9, 10 + at))) for at in range(3)]
        assert finding(run(tmp_path, self.lost(*small)), "mtu.black-hole") is None

    def test_one_alone_was_lost_by_chance(self, tmp_path: Path) -> None:
        records = [*opening(), came(10 * MS, full(0)), *exchange(5 * S)]
        assert finding(run(tmp_path, records), "mtu.black-hole") is None

    def test_not_where_the_router_said_why(self, tmp_path: Path) -> None:
        records = self.lost(left(11 * MS, told(full(0)), ETH1))
        assert finding(run(tmp_path, records), "mtu.black-hole") is None

    @pytest.mark.parametrize("with_links", [True, False])
    def test_a_super_frame_among_them_does_not_hide_it(self, tmp_path: Path, with_links: bool) -> None:
        records = [*opening(), came(10 * MS, super_frame()), *self.lost()[7:]]
        report = run(tmp_path, records, links=links(tmp_path) if with_links else [])
        found = finding(report, "mtu.black-hole")
        assert found is not None
        assert (found["severity"], found["count"], records_of(found)) == ("error", 3, [7, 8, 9])
        assert found["title"].startswith("3 datagrams of 1,450 bytes or more came in by ")
        dropped = finding(report, "forwarding.dropped")
        assert dropped is not None
        assert dropped["severity"] == "info"

    def test_super_frames_alone_are_told_of_by_their_segments(self, tmp_path: Path) -> None:
        records = [*opening(), *(came(time * MS, super_frame()) for time in (10, 210)), *exchange(5 * S)]
        found = finding(run(tmp_path, records), "mtu.black-hole")
        assert found is not None
        assert found["title"].startswith("2 datagrams of 1,450 bytes or more came in by ")

    @pytest.mark.parametrize("other", [super_frame(2), full(0, 5)], ids=["two segments", "one segment"])
    def test_not_where_smaller_super_frames_or_their_segments_passed(self, tmp_path: Path, other: bytes) -> None:
        lost = [came(time * MS, super_frame(9)) for time in (10, 210)]
        records = [*opening(), *lost, *passed(S, other), *exchange(5 * S)]
        assert finding(run(tmp_path, records), "mtu.black-hole") is None

    def test_behind_this_machine_super_frames_are_told_of_by_their_segments(self, tmp_path: Path) -> None:
        records = [*opening(), *passed(10 * MS, super_frame()), *self.behind()[12:]]
        found = finding(run(tmp_path, records, links=links(tmp_path)), "mtu.black-hole")
        assert found is not None
        assert " in packets of up to 1,450, " in found["title"]

    def behind(self, *extra: Seen, copies: tuple[int, ...] = (300, 700, 1500)) -> list[Seen]:
        """Three full segments leave, the first of them is repeated, and nobody answers."""
        first = [row for number in range(3) for row in passed(10 * MS + number * 9000, full(number))]
        again = [row for copy, time in enumerate(copies, 1) for row in passed(time * MS, full(0, copy))]
        return [*opening(), *first, *again, *extra, *exchange(9 * S)]

    def test_behind_this_machine_segments_are_repeated_without_progress(self, tmp_path: Path) -> None:
        found = finding(run(tmp_path, self.behind(), links=links(tmp_path)), "mtu.black-hole")
        assert found is not None
        assert found["severity"] == "warning"  # it may have died
        # Three times the 1,398 bytes of the first; the last answer came after 1 ms, the last copy after 1,500.
        assert found["title"] == (
            "1 connection sent 4,194 bytes again in packets of up to 1,450, and heard nothing for 1.5 s"
        )
        assert f"`tracepath {NODE_B}`" in found["remedy"]
        assert "set the pods' MTU to the most that passes, which is less than 1450: " in found["remedy"]

    def test_the_other_side_giving_up_is_no_progress(self, tmp_path: Path) -> None:
        """As a server does whose client has sent nothing that arrived: FIN, which the client acknowledges."""
        end = passed(4 * S, back(segment(1, 0, THERE, HERE, flags=0x11)), ingress=ETH2, egress=ETH1)
        last = passed(4 * S + MS, tunnel(segment(1 + 3 * DATA, 0, identification=6000)))
        found = finding(run(tmp_path, self.behind(*end, *last)), "mtu.black-hole")
        assert found is not None
        assert found["title"].endswith("and heard nothing for 4.0 s")

    def test_an_answer_is_progress(self, tmp_path: Path) -> None:
        answer = passed(1400 * MS, back(segment(1, 0, THERE, HERE)), ingress=ETH2, egress=ETH1)
        assert finding(run(tmp_path, self.behind(*answer)), "mtu.black-hole") is None

    def test_one_repetition_is_an_ordinary_loss(self, tmp_path: Path) -> None:
        assert finding(run(tmp_path, self.behind(copies=(1500,))), "mtu.black-hole") is None

    def test_small_ones_that_nobody_acknowledges_are_not_of_the_mtu(self, tmp_path: Path) -> None:
        rows = [
            row
            for copy in range(9)
            for row in passed(10 * MS + copy * 300 * MS, tunnel(segment(1, 900, identification=300 + copy)))
        ]
        assert finding(run(tmp_path, [*opening(), *rows, *exchange(9 * S)]), "mtu.black-hole") is None


class TestMssTooLarge:
    def test_is_raised_before_any_large_packet(self, tmp_path: Path) -> None:
        found = finding(run(tmp_path, [*opening(1460), *exchange(S)], links=links(tmp_path)), "mtu.mss-too-large")
        assert found is not None
        assert (found["severity"], found["count"], records_of(found)) == ("warning", 1, [1, 3])
        assert found["title"] == (
            "1 TCP connection agreed on an MSS of up to 1,460: its packets have 1,500 bytes, and 1,450 fit into "
            "the tunnel"
        )
        assert "set the pods' MTU to 1450" in found["remedy"]
        assert "maxseg size set 1410" in found["remedy"]

    def test_both_families_are_named(self, tmp_path: Path) -> None:
        """Pods at 1500: 1,460 over IPv4 and 1,440 over IPv6, where 1,410 and 1,390 would fit."""
        ends = [b"\xfd" + bytes(14) + bytes([last]) for last in (1, 2)]
        syn = ipv6(*ends, 6, tcp(40000, 80, 0, b"", flags=2, options=mss(1440)))
        answer = ipv6(*reversed(ends), 6, tcp(80, 40000, 0, b"", flags=0x12, options=mss(1440)))
        six = [
            *passed(500 * MS, tunnel(syn)),
            *passed(501 * MS, back(answer), ingress=ETH2, egress=ETH1),
        ]
        report = run(tmp_path, [*opening(1460), *six, *exchange(S)], links=links(tmp_path))
        found = finding(report, "mtu.mss-too-large")
        assert found is not None
        assert found["title"] == (
            "2 TCP connections agreed on an MSS of up to 1,460 over IPv4 and 1,440 over IPv6: its packets have "
            "1,500 bytes, and 1,450 fit into the tunnel"
        )
        assert "an MSS of 1,410 over IPv4 and 1,390 over IPv6 follows" in found["remedy"]

    @pytest.mark.parametrize(("mine", "theirs"), [(1410, 1410), (1460, 1410), (1410, 8960)])
    def test_the_smaller_of_both_counts(self, tmp_path: Path, mine: int, theirs: int) -> None:
        report = run(tmp_path, [*opening(mine, theirs), *exchange(S)], links=links(tmp_path))
        assert finding(report, "mtu.mss-too-large") is None

    def test_a_jumbo_underlay_has_room(self, tmp_path: Path) -> None:
        report = run(tmp_path, [*opening(1460), *exchange(S)], links=links(tmp_path, mtu=9000))
        assert finding(report, "mtu.mss-too-large") is None

    def test_without_anything_that_tells_the_mtu_nothing_is_said(self, tmp_path: Path) -> None:
        assert finding(run(tmp_path, [*opening(1460), *exchange(S)]), "mtu.mss-too-large") is None


class TestFragments:
    def cut(self, at: int = 1480, size: int = 1500, swap: bool = False) -> list[Seen]:
        pieces = fragments(tunnel(ping(50, size=size)), at)
        order = reversed(pieces) if swap else pieces
        return [row for number, piece in enumerate(order) for row in passed(100 * MS + number * MS, piece)]

    def test_that_overtake_the_first_are_told_of(self, tmp_path: Path) -> None:
        records = [*exchange(), *self.cut(swap=True), *exchange(S, 2)]
        found = finding(run(tmp_path, records, links=links(tmp_path)), "mtu.fragments-reordered")
        assert found is not None
        assert (found["severity"], found["count"], records_of(found)) == ("warning", 1, [7])
        assert found["title"] == (
            "of 1 datagram in fragments, 1 had a later one that overtook the first: Cilium drops such datagrams"
        )
        assert "set the pods' MTU to 1450" in found["remedy"]

    def test_in_order_they_are_not(self, tmp_path: Path) -> None:
        report = run(tmp_path, [*exchange(), *self.cut(), *exchange(S, 2)], links=links(tmp_path))
        assert finding(report, "mtu.fragments-reordered") is None
        assert finding(report, "mtu.fragmented-at-source") is not None

    def test_their_length_tells_the_mtu_within_8_bytes(self, tmp_path: Path) -> None:
        """20 of IPv4 and 1376 of payload: the next multiple of 8 does not fit 1400."""
        report = run(tmp_path, [*exchange(), *self.cut(1376, 1450), *exchange(S, 2)])
        mtu = report["mtu"]
        assert (mtu["underlay"], mtu["underlay_at_least"], mtu["underlay_at_most"]) == (None, 1396, 1403)
        found = finding(report, "mtu.fragmented-at-source")
        assert found is not None
        assert f"(up to 1,450 bytes inside, of {POD_A})" in found["title"]
        assert "fragments of 1,396 bytes come from an MTU of 1,396 to 1,403" in found["remedy"]
        assert "inside the tunnel 1346 fit for sure" in found["remedy"]
        assert found["remedy"].startswith("set the pods' MTU to 1346 ")  # and not to 1450 less 50

    @pytest.mark.parametrize(
        ("mtu", "says"), [(1500, "and eth1 has 1,500 here"), (1400, "as the 1,400 of eth1 here suggest")]
    )
    def test_a_learned_mtu_is_told_from_the_links_own(self, tmp_path: Path, mtu: int, says: str) -> None:
        records = [*exchange(), *self.cut(1376, 1450), *exchange(S, 2)]
        found = finding(run(tmp_path, records, links=links(tmp_path, mtu=mtu)), "mtu.fragmented-at-source")
        assert found is not None
        assert says in str(found["unknown"])

    def test_the_link_at_fault_is_named_with_its_mtu(self, tmp_path: Path) -> None:
        packet = tunnel(ping(50, size=1450))
        out = [left(S + at, piece) for at, piece in enumerate(fragments(routed(packet), 1376))]
        report = run(tmp_path, [*exchange(), came(S - MS, packet), *out], links=links(tmp_path, eth2_mtu=1400))
        found = finding(report, "mtu.fragmented-by-router")
        assert found is not None
        assert "raise the MTU of eth2 (1,400 by the links file; fragments of 1,396 bytes" in found["remedy"]


class TestNestedOverlays:
    @pytest.mark.parametrize(
        ("mtu", "says"),
        [
            (1450, "1,450 is 1,500 less 50 bytes, as where the nodes are on an overlay themselves"),
            (1400, "1,400 is 1,500 less two tunnels of 50 bytes, as where the nodes are on an overlay themselves"),
            (1420, "1,420 is 1,500 less the 80 bytes of WireGuard"),
            (1496, "1,496 is 1,500 less a VLAN tag of 4 bytes"),
        ],
    )
    def test_an_mtu_that_is_left_of_another_is_explained(self, tmp_path: Path, mtu: int, says: str) -> None:
        pieces = fragments(tunnel(datagram(1450, 9)), 1376)
        records = [row for at, piece in enumerate(pieces) for row in passed(at * MS, piece)]
        found = finding(run(tmp_path, records, links=links(tmp_path, mtu=mtu)), "mtu.inner-exceeds-overlay")
        assert found is not None
        assert says in found["remedy"]
        assert f"set the pods' MTU to {mtu - 50}" in found["remedy"]

    def test_others_are_not(self, tmp_path: Path) -> None:
        pieces = fragments(tunnel(datagram(1450, 9)), 1376)
        records = [row for at, piece in enumerate(pieces) for row in passed(at * MS, piece)]
        found = finding(run(tmp_path, records, links=links(tmp_path, mtu=1467)), "mtu.inner-exceeds-overlay")
        assert found is not None
        assert "less" not in found["remedy"].split("; ")[-1]


# What the sample captures show, each made for it in the lab.
_EXPECTED = {
    "black-hole": {"mtu.black-hole"},
    "pods-mtu-1500": {"mtu.fragmented-at-source"},
    "pods-mtu-1500-filtered": {"mtu.fragmented-at-source", "capture.fragments-hidden"},
    "router-mtu-1400": {"mtu.fragmented-by-router", "mtu.fragmented-at-source"},
    "router-mtu-1400-df": {"mtu.packet-too-big"},
    "too-big-ignored": {"mtu.too-big-ignored"},
    "black-hole-behind": {"mtu.black-hole"},
    "ipv6-router-mtu-1400": {"mtu.packet-too-big"},
    "ipv6-pods-mtu-1500": {"mtu.mss-too-large"},
    "ipv6-pods": set(),
    "ipv6-underlay": set(),
    "iperf-offload-on": set(),
    "iperf-offload-off": set(),
}


@pytest.mark.parametrize("name", _EXPECTED)
def test_a_sample_capture_shows_what_it_was_made_for_and_no_more(name: str) -> None:
    report = sample(f"{name}.pcap").analyze()
    assert {each["id"] for each in report["findings"] if each["severity"] != "info"} == _EXPECTED[name]


def test_what_another_finding_tells_all_of_is_information_and_says_so() -> None:
    """Once it is known why datagrams were dropped, or what came of their size, there is one thing to mend."""
    for name, told, by in (
        ("black-hole", "forwarding.dropped", "mtu.black-hole"),
        ("too-big-ignored", "mtu.packet-too-big", "mtu.too-big-ignored"),
        ("router-mtu-1400", "mtu.inner-exceeds-overlay", "mtu.fragmented-by-router and mtu.fragmented-at-source"),
    ):
        found = finding(sample(f"{name}.pcap").analyze(), told)
        assert found is not None
        assert found["severity"] == "info"
        assert found["title"].endswith(f" (see {by})")


def test_drops_of_another_cause_beside_a_black_hole_stay_an_error(tmp_path: Path) -> None:
    """A ping that is lost in the same capture is none of its full-size datagrams."""
    one = sample("black-hole.pcap")
    path = tmp_path / "more.pcap"
    lost = [came(0, tunnel(ping(9)))]
    report = analyze([*one.paths, pcap(path, lost)], links=one.links)
    dropped, hole = finding(report, "forwarding.dropped"), finding(report, "mtu.black-hole")
    assert dropped is not None
    assert hole is not None
    assert (dropped["severity"], dropped["count"]) == ("error", hole["count"] + 1)


@pytest.mark.parametrize("name", ["too-big-ignored", "black-hole-behind", "ipv6-router-mtu-1400"])
def test_the_kernels_own_counts_of_these(name: str) -> None:
    """`counters` of the samples: what the router said by ICMP, what the pod's TCP sent again."""
    one = sample(f"{name}.pcap")
    found = {each["id"]: each for each in one.analyze()["findings"]}
    counters = (one.truth["counters"][each] for each in ("router", "pod-a"))
    router, pod = ({**each.get("snmp", {}), **each.get("snmp6", {})} for each in counters)
    if name == "black-hole-behind":
        assert pod["TcpRetransSegs"] == 5
        # By tshark: the last segment of 1,350 bytes once more, and the first of 1,398 four times.
        assert found["mtu.black-hole"]["title"].startswith("1 connection sent 6,942 bytes again")
    elif name == "too-big-ignored":
        assert found["mtu.too-big-ignored"]["count"] == router["IcmpOutDestUnreachs"]
        assert found["mtu.packet-too-big"]["count"] == router["IcmpOutDestUnreachs"]
    else:
        assert found["mtu.packet-too-big"]["count"] == router["Icmp6OutPktTooBigs"]


def test_the_counts_of_ipv4_lengths_are_those_of_the_packets() -> None:
    """The arithmetic that these captures rest on: 1,398 bytes of data make an outer packet of 1,500."""
    (length,) = struct.unpack_from(">H", full(0), 2)
    assert length == 1500
