"""`decap` and `encap`: what was in the tunnel, as others read it; and back into the tunnel, as it was."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest
from captures.samples import Sample, samples
from conftest import CAPTURES
from convert.frames import (
    NODE_A,
    NODE_B,
    in_fragments,
    in_fragments6,
    inner_frame,
    link_type_of,
    packets_of,
    tshark,
    write_router,
)
from hypothesis import given
from hypothesis import strategies as st

import vxtool
from vxtool.capture import PcapngWriter, read_capture
from vxtool.capture.container import IN, Interface
from vxtool.convert.comments import read_comment, write_comment
from vxtool.convert.unwrap import unwrap
from vxtool.engine.frame import DATAGRAM, read_frame
from vxtool.engine.options import DEFAULT_PORTS
from vxtool.engine.tables import PLAIN
from vxtool.errors import UsageError
from vxtool.packet import UDP, VXLAN, Ethernet, Geneve, IPv4, encode, vxlan_packet

VXLAN_PORTS = ("-d", "udp.port==8472,vxlan", "-o", "ip.defragment:FALSE")
every_sample = pytest.mark.parametrize("sample", samples(), ids=lambda sample: sample.name)


def decapsulated(tmp_path: Path, *paths: str, **options: object) -> tuple[Path, list[dict[str, str]]]:
    """The capture that decap writes, and the comments in it."""
    out = tmp_path / "inner.pcapng"
    vxtool.decap(list(paths), str(out), **options)  # type: ignore[arg-type]
    return out, [read_comment(packet.comments) for packet in packets_of(out)]


class TestFoundingCase:
    def test_the_ping_as_tshark_reads_it(self, tmp_path: Path, engine: str) -> None:
        links = [str(CAPTURES / "vxlan.links.json")]
        out, _ = decapsulated(tmp_path, str(CAPTURES / "vxlan.pcap"), links=links)
        fields = ("frame.time_epoch", "frame.interface_name", "ip.src", "ip.dst", "icmp.type", "frame.len")
        assert tshark(out, *fields) == [
            ["1754760470.282388000", "eth1", "172.20.0.107", "172.20.2.4", "8", "98"],
            ["1754760470.282860000", "eth2", "172.20.2.4", "172.20.0.107", "0", "98"],
        ]

    def test_its_comments(self, tmp_path: Path, engine: str) -> None:
        links, path = [str(CAPTURES / "vxlan.links.json")], str(CAPTURES / "vxlan.pcap")
        out, _ = decapsulated(tmp_path, path, links=links)
        assert packets_of(out)[0].comments == (
            "vxtool tunnel=vxlan source=192.168.10.100 source_port=51213 destination=192.168.20.100 "
            "destination_port=8472 vni=36705 in=eth1 out=eth2 outcome=forwarded "
            f"input={path} record=1",
        )
        assert packets_of(out)[0].direction == IN

    def test_back_into_the_tunnel(self, tmp_path: Path) -> None:
        out, _ = decapsulated(tmp_path, str(CAPTURES / "vxlan.pcap"))
        again = tmp_path / "again.pcapng"
        done, problem = vxtool.encap(str(out), str(again))
        assert (done.packets, done.from_comments, problem) == (2, 2, None)
        fields = ("ip.src", "ip.dst", "udp.srcport", "udp.dstport", "vxlan.vni", "icmp.seq")
        options = ("-E", "occurrence=f", *VXLAN_PORTS)
        # As tshark reads the first and the third record of the capture.
        expected = tshark(CAPTURES / "vxlan.pcap", *fields, options=(*options, "-Y", "frame.number in {1,3}"))
        assert tshark(again, *fields, options=options) == expected
        assert expected[0][4] == "36705"


@every_sample
class TestSamples:
    def test_the_inner_fields_are_those_that_tshark_reads_in_the_tunnel(
        self, sample: Sample, tmp_path: Path
    ) -> None:
        out, comments = decapsulated(tmp_path, *sample.paths)
        fields = ("eth.src", "ip.src", "ip.dst", "ip.id", "ipv6.src", "ipv6.dst", "tcp.seq_raw", "udp.length")
        last = ("-E", "occurrence=l", *VXLAN_PORTS)
        originals = {
            (path, number): row
            for path in sample.paths
            for number, row in enumerate(tshark(path, "vxlan.vni", *fields, options=last), 1)
        }
        found = tshark(out, *fields, options=last)
        assert len(found) == len(comments)
        for row, comment in zip(found, comments, strict=True):
            vni, *expected = originals[comment["input"], int(comment["record"])]
            assert comment["vni"] == vni
            # Over another family than inside, and in fragments, tshark's last field is not the inner one.
            inside = [(one, two) for one, two in zip(row, expected, strict=True) if one]
            assert all(one == two for one, two in inside)

    def test_each_datagram_once(self, sample: Sample, tmp_path: Path) -> None:
        report = vxtool.analyze(sample.paths, scope="tunnel")
        done, _ = vxtool.decap(sample.paths, str(tmp_path / "inner.pcapng"))
        other = report["forwarding"]["other"]
        assert done.datagrams == report["forwarding"]["datagrams"]
        assert done.not_tunnelled == (other["datagrams"] if other else 0)
        assert (done.unwritable, done.unlisted) == (0, 0)
        assert done.records == sum(item["records"] for item in report["inputs"])

    def test_there_and_back(self, sample: Sample, tmp_path: Path) -> None:
        out, comments = decapsulated(tmp_path, *sample.paths)
        again, third = tmp_path / "again.pcapng", tmp_path / "third.pcapng"
        vxtool.encap(str(out), str(again))
        before = packets_of(out)
        for packet, inner, comment in zip(packets_of(again), before, comments, strict=True):
            layers = vxtool.decode(packet.data, length=packet.length)
            assert layers.outer_source == comment["source"]
            assert layers.outer_destination == comment["destination"]
            assert str(layers.outer_source_port) == comment["source_port"]
            assert str(layers.outer_destination_port) == comment["destination_port"]
            assert str(layers.vni) == comment["vni"]
            assert packet.data.endswith(inner.data)
            assert (packet.time_ns, packet.interface, packet.direction) == (
                inner.time_ns, inner.interface, inner.direction,
            )  # fmt: skip
        vxtool.decap([str(again)], str(third))
        assert [packet[:3] for packet in packets_of(third)] == [packet[:3] for packet in before]

    def test_a_tunnel_is_what_the_engine_calls_one(self, sample: Sample, tmp_path: Path) -> None:
        for path in sample.paths:
            with read_capture(path) as capture:
                for record in capture:
                    link_type = capture.container.interfaces[record.interface].link_type
                    frame = read_frame(record.data, record.length, link_type, 0, DEFAULT_PORTS, 0)
                    if frame.fragmented or frame.kind != DATAGRAM:
                        continue
                    tunnel = unwrap(record.data, record.length, link_type, DEFAULT_PORTS)
                    assert (tunnel is not None) == (frame.wear != PLAIN)
                    if tunnel is not None:
                        assert (tunnel.source, tunnel.destination) == (
                            frame.outer_source, frame.outer_destination,
                        )  # fmt: skip
                        assert (tunnel.vni, tunnel.source_port) == (frame.vni, frame.source_port)


class TestFragments:
    def seen(self, frame: bytes, mtu: int, family: int, identification: int) -> list[bytes]:
        if family == 6:
            packet = vxlan_packet(frame, source="fd00::a", destination="fd00::b", vni=5)
            return in_fragments6(packet, mtu, identification)
        packet = vxlan_packet(
            frame, source=NODE_A, destination=NODE_B, vni=5, identification=identification
        )
        return in_fragments(packet, mtu)

    @pytest.mark.parametrize("family", [4, 6])
    @pytest.mark.parametrize("order", ["in order", "last first", "between each other"])
    def test_are_put_together(self, family: int, order: str, tmp_path: Path, engine: str) -> None:
        frames = [inner_frame(3000, 7), inner_frame(2900, 8, first=3)]
        one, two = (self.seen(frame, 1400, family, 70 + at) for at, frame in enumerate(frames))
        assert len(one) == len(two) == 3
        came = {
            "in order": [*one, *two],
            "last first": [*one[::-1], *two[::-1]],
            "between each other": [one[0], two[0], two[1], one[2], one[1], two[2]],
        }[order]
        seen = [(at, 0, data) for at, data in enumerate(came)]
        seen += [(at + 50, 1, data) for at, data in enumerate(came)]
        out, comments = decapsulated(tmp_path, write_router(tmp_path / "seen.pcapng", seen))
        assert [packet.data for packet in packets_of(out)] == frames
        assert [comment["fragments"] for comment in comments] == ["3", "3"]
        assert all("missing" not in comment for comment in comments)
        rows = tshark(out, "udp.length", "_ws.malformed")
        assert rows == [["3008", ""], ["2908", ""]]

    def test_what_is_missing_is_told(self, tmp_path: Path, engine: str) -> None:
        frame = inner_frame(3000)
        first, second, third = self.seen(frame, 1400, 4, 9)
        path = write_router(tmp_path / "seen.pcapng", [(0, 0, first), (1, 0, third)])
        out = tmp_path / "inner.pcapng"
        done, _ = vxtool.decap([path], str(out))
        assert (done.datagrams, done.incomplete) == (1, 1)
        (packet,) = packets_of(out)
        # Of the first fragment's 1,376 bytes, 16 are of UDP and VXLAN; the second held 1,376 as well.
        assert packet.data == frame[:1360]
        assert packet.length == len(frame)
        assert read_comment(packet.comments)["missing"] == str(len(frame) - 1360)
        assert second

    def test_of_two_datagrams_with_one_identification(self, tmp_path: Path, engine: str) -> None:
        """Its tails would fit either: they are those of the one that they came behind."""
        frames = [inner_frame(3000, 7), inner_frame(3000, 8, first=9)]
        seen = []
        for at, frame in enumerate(frames):
            seen += [(at * 2_000_000 + each, 0, data) for each, data in enumerate(self.seen(frame, 1400, 4, 9))]
        out, _ = decapsulated(tmp_path, write_router(tmp_path / "seen.pcapng", seen))
        assert [packet.data for packet in packets_of(out)] == frames


    def test_order_gives_way_where_too_much_would_be_held(
        self, tmp_path: Path, engine: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("vxtool.convert.decap._MOST_QUEUED", 4)
        first, _, third = self.seen(inner_frame(3000), 1400, 4, 9)
        others = [
            vxlan_packet(inner_frame(50, each), source=NODE_A, destination=NODE_B, vni=5, identification=each)
            for each in range(10, 22)
        ]
        seen = [(at, 0, data) for at, data in enumerate([first, *others, third])]
        out, comments = decapsulated(tmp_path, write_router(tmp_path / "seen.pcapng", seen))
        numbers = [int(comment["record"]) for comment in comments]
        assert sorted(numbers) == list(range(1, 14))
        assert numbers[0] == 2
        assert out.exists()


class TestOtherTunnels:
    def wrapped(self, header: bytes, port: int, inner: bytes) -> bytes:
        return encode(
            Ethernet("02:00:00:00:00:01", "02:00:00:00:00:02"),
            IPv4(NODE_A, NODE_B, identification=1),
            UDP(50_000, port, checksum=0),
            payload=header + inner,
        )

    @pytest.mark.parametrize(
        ("port", "header", "is_frame"),
        [
            (6081, Geneve(9, options=bytes.fromhex("01020301deadbeef")).emit(), True),
            (6081, Geneve(9, protocol_type=0x0800).emit(), False),
            (4790, bytes.fromhex("0c00000300000900"), True),
            (4790, bytes.fromhex("0c00000100000900"), False),
            (8472, VXLAN(9, flags=0x88, reserved=0x1234).emit(), True),
        ],
        ids=["geneve with options", "geneve around IP", "GPE", "GPE around IP", "group policy"],
    )
    def test_there_and_back(
        self, port: int, header: bytes, is_frame: bool, tmp_path: Path, engine: str
    ) -> None:
        frame = inner_frame(100)
        inner = frame if is_frame else frame[14:]
        packet = self.wrapped(header, port, inner)
        out, (comment,) = decapsulated(tmp_path, write_router(tmp_path / "seen.pcapng", [(0, 0, packet)]))
        assert packets_of(out)[0].data == inner
        assert link_type_of(out) == {1 if is_frame else 101}
        assert tshark(out, "ip.src", "udp.dstport", "_ws.malformed") == [["172.20.0.107", "9000", ""]]
        assert comment["header"] == header.hex()
        again = tmp_path / "again.pcapng"
        vxtool.encap(str(out), str(again))
        assert packets_of(again)[0].data[42:] == packet[42:]  # from the tunnel's header on

    def test_what_is_neither_frame_nor_ip_is_left_out(self, tmp_path: Path, engine: str) -> None:
        packet = self.wrapped(bytes.fromhex("0c00000500000900"), 4790, bytes(40))  # MPLS
        done, _ = vxtool.decap(
            [write_router(tmp_path / "seen.pcapng", [(0, 0, packet)])], str(tmp_path / "inner.pcapng")
        )
        assert (done.datagrams, done.unwritable) == (0, 1)

    def test_a_super_frame_beyond_64_kib(self, tmp_path: Path, engine: str) -> None:
        """IPv4 and UDP then have lengths of 0 (BIG TCP), and the record tells."""
        frame = inner_frame(65_490)
        packet = vxlan_packet(frame, source=NODE_A, destination=NODE_B, vni=5)
        assert packet[16:18] == b"\0\0"
        out, _ = decapsulated(tmp_path, write_router(tmp_path / "seen.pcapng", [(0, 0, packet)]))
        assert packets_of(out)[0].data == frame
        again = tmp_path / "again.pcapng"
        vxtool.encap(str(out), str(again))
        assert packets_of(again)[0].data[42:] == packet[42:]

    @pytest.mark.parametrize("nodes", [(NODE_A, NODE_B), ("fd00::a", "fd00::b")])
    @pytest.mark.parametrize("tunnel", ["vxlan", "geneve"])
    def test_a_length_beyond_all_sense(self, tmp_path: Path, nodes: tuple[str, str], tunnel: str) -> None:
        """Its bytes are not made. Sums modulo 65,535 are those of a length that differs by a multiple of it."""
        lengths = [100_000, 100_000 + 65_535, 100_000 + 65_535 * 60_000, 0xFFFFFFFF]
        frame = inner_frame(200)[:101]
        path, out = tmp_path / "seen.pcapng", tmp_path / "outer.pcapng"
        with PcapngWriter(str(path), [Interface(1, 0, "eth0")]) as writer:
            for length in lengths:
                writer.write(0, frame, length)
        vxtool.encap(str(path), str(out), source=nodes[0], destination=nodes[1], vni=5, tunnel=tunnel)
        packets = packets_of(out)
        added = 70 if ":" in nodes[0] else 50
        assert [packet.length for packet in packets] == [
            min(length + added, 0xFFFFFFFF) for length in lengths
        ]
        assert packets[0].data == packets[1].data == packets[2].data
        assert all(packet.data[-101:] == frame for packet in packets)
        udp = packets[3].data[14 + added - 30 :]
        if ":" not in nodes[0]:
            assert udp[4:8] == bytes(4)  # no length, no checksum
        else:  # RFC 8200, section 8.1, by words
            summed = packets[3].data[22:54] + struct.pack(">HII", 1, 15, 17) + udp
            words = struct.unpack(f">{len(summed) // 2}H", summed[: len(summed) // 2 * 2])
            total = sum(words) + (summed[-1] << 8 if len(summed) % 2 else 0)
            assert total % 0xFFFF == 0


class TestInputs:
    def test_interfaces_in_files_of_their_own(self, tmp_path: Path, engine: str) -> None:
        names = ["four-ways-eth1.pcap", "four-ways-eth2.pcap"]
        out, comments = decapsulated(tmp_path, *(str(CAPTURES / name) for name in names))
        assert {comment["in"] for comment in comments} == {"four-ways-eth1", "four-ways-eth2"}
        times = [packet.time_ns for packet in packets_of(out)]
        assert times == sorted(times)

    def test_a_pipe_is_refused(self, tmp_path: Path) -> None:
        pipe = tmp_path / "pipe"
        os.mkfifo(pipe)
        for path in ("-", str(pipe)):
            with pytest.raises(UsageError, match="reads twice; write it to a file first"):
                vxtool.decap([path], str(tmp_path / "inner.pcapng"))

    def test_what_came_before_the_damage(self, tmp_path: Path, engine: str) -> None:
        cut = tmp_path / "cut.pcap"
        cut.write_bytes((CAPTURES / "vxlan.pcap").read_bytes()[:-10])
        done, inputs = vxtool.decap([str(cut)], str(tmp_path / "inner.pcapng"))
        assert done.datagrams == 2
        assert inputs[0]["truncated"]


class TestComments:
    @given(st.dictionaries(st.from_regex(r"[a-z_]{1,9}", fullmatch=True), st.text(min_size=1, max_size=20)))
    def test_hold_any_text(self, values: dict[str, str]) -> None:
        values = {key: text.encode(errors="replace").decode() for key, text in values.items()}
        line = write_comment(values)
        assert line.isascii()
        assert line.isprintable()
        assert read_comment([line]) == values

    def test_of_others_are_passed_over(self) -> None:
        assert read_comment(["look here: vni=5", "", "vxtool vni=7 and so on"]) == {"vni": "7"}
        assert read_comment(["vxtools vni=7"]) == {}


class TestEncap:
    @pytest.fixture
    def plain(self, tmp_path: Path) -> str:
        return write_router(tmp_path / "plain.pcapng", [(0, 0, inner_frame(100)), (5, 1, inner_frame(90, 8))])

    def test_as_told(self, plain: str, tmp_path: Path) -> None:
        out = tmp_path / "outer.pcapng"
        vxtool.encap(plain, str(out), source="fd00::1", destination="fd00::2", source_port=5555, vni=77)
        fields = ("ipv6.src", "ipv6.dst", "udp.srcport", "udp.dstport", "vxlan.vni", "udp.checksum.status")
        options = ("-E", "occurrence=f", "-o", "udp.check_checksum:TRUE", *VXLAN_PORTS)
        assert tshark(out, *fields, "frame.interface_name", options=options) == [
            ["fd00::1", "fd00::2", "5555", "8472", "77", "1", "eth1"],
            ["fd00::1", "fd00::2", "5555", "8472", "77", "1", "eth2"],
        ]

    def test_options_go_before_comments(self, tmp_path: Path) -> None:
        inner, out = tmp_path / "inner.pcapng", tmp_path / "outer.pcapng"
        vxtool.decap([str(CAPTURES / "vxlan.pcap")], str(inner))
        vxtool.encap(str(inner), str(out), vni=5, tunnel="geneve")
        fields = ("geneve.vni", "udp.srcport", "udp.dstport", "ip.src")
        assert tshark(out, *fields, options=("-E", "occurrence=f")) == [
            ["0x000005", "51213", "6081", "192.168.10.100"],
            ["0x000005", "52674", "6081", "192.168.20.100"],
        ]

    def test_without_either_the_record_is_named(self, plain: str, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"plain\.pcapng: record 1: no comment .* give --outer and --vni$"):
            vxtool.encap(plain, str(tmp_path / "outer.pcapng"))
        assert not (tmp_path / "outer.pcapng").exists()
        with pytest.raises(UsageError, match=r"give --vni$"):
            vxtool.encap(plain, str(tmp_path / "outer.pcapng"), source="1.1.1.1", destination="2.2.2.2")

    def test_a_cooked_capture_gets_frames(self, tmp_path: Path) -> None:
        """Of native routing: the packets of pods, as `tcpdump -i any` sees them."""
        out = tmp_path / "outer.pcapng"
        path = str(CAPTURES / "native-misroute.pcap")
        vxtool.encap(path, str(out), source="1.1.1.1", destination="2.2.2.2", vni=1)
        fields = ("ip.src", "ip.dst", "tcp.srcport", "tcp.seq_raw")
        last = ("-E", "occurrence=l", *VXLAN_PORTS)
        assert tshark(out, *fields, options=last) == tshark(path, *fields, options=last)
