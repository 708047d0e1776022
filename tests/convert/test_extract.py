"""`extract`: the records of some datagrams, as they were."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from captures.samples import Sample, samples
from conftest import CAPTURES
from convert.frames import (
    NODE_A,
    NODE_B,
    in_fragments,
    inner_frame,
    packets_of,
    tshark,
    write_router,
)

import vxtool
from vxtool.capture.container import IN, OUT
from vxtool.convert.comments import read_comment
from vxtool.errors import UsageError
from vxtool.packet import vxlan_packet

every_sample = pytest.mark.parametrize("sample", samples(), ids=lambda sample: sample.name)


def extracted(tmp_path: Path, *paths: str, **options: object) -> tuple[Path, list[dict[str, str]]]:
    out = tmp_path / "out.pcapng"
    vxtool.extract(list(paths), str(out), **options)  # type: ignore[arg-type]
    return out, [read_comment(packet.comments) for packet in packets_of(out)]


def numbers(comments: list[dict[str, str]]) -> list[int]:
    return [int(comment["record"]) for comment in comments]


class TestDrops:
    """drops.pcap: a router that drops at random, as the kernel counted it."""

    links = (str(CAPTURES / "drops.links.json"),)

    def test_are_as_many_as_the_kernel_dropped(self, tmp_path: Path, engine: str) -> None:
        path = str(CAPTURES / "drops.pcap")
        report = vxtool.analyze([path], links=self.links)
        out, comments = extracted(tmp_path, path, links=self.links, outcomes=["dropped"])
        assert len(comments) == report["forwarding"]["dropped"] > 0
        assert {comment["outcome"] for comment in comments} == {"dropped"}
        assert all("out" not in comment and "first_record" not in comment for comment in comments)
        assert {packet.direction for packet in packets_of(out)} == {IN}

    def test_and_what_was_not_dropped_make_the_whole(self, tmp_path: Path, engine: str) -> None:
        path = str(CAPTURES / "drops.pcap")
        seen: list[int] = []
        for outcome in ("forwarded", "delivered", "dropped", "originated", "missed", "unresolved"):
            for scope in ("tunnel", "ip"):
                _, comments = extracted(tmp_path, path, links=self.links, outcomes=[outcome], scope=scope)
                seen += numbers(comments)
        report = vxtool.analyze([path])
        others = sum(report["capture"][kind] for kind in ("other_records", "malformed_records"))
        assert len(seen) == len(set(seen)) >= report["capture"]["records"] - others


@every_sample
class TestSamples:
    def test_records_are_as_they_were(self, sample: Sample, tmp_path: Path) -> None:
        """Bytes, lengths and times, of all that was forwarded; and each of its datagrams twice or more."""
        out, comments = extracted(
            tmp_path, *sample.paths, outcomes=["forwarded", "dropped", "unresolved"], links=sample.links
        )
        originals = {path: packets_of(path) for path in sample.paths}
        for packet, comment in zip(packets_of(out), comments, strict=True):
            original = originals[comment["input"]][int(comment["record"]) - 1]
            assert packet[:3] == original[:3]

    def test_tshark_reads_the_same_of_them(self, sample: Sample, tmp_path: Path) -> None:
        out, comments = extracted(tmp_path, *sample.paths, outcomes=["forwarded"], links=sample.links)
        fields = ("frame.time_epoch", "ip.src", "ip.id", "_ws.malformed", "frame.protocols")
        options = ("-o", "ip.defragment:FALSE", "-o", "ipv6.defragment:FALSE")
        originals = {path: tshark(path, *fields, options=options) for path in sample.paths}
        found = tshark(out, *fields, options=options)
        assert found == [originals[comment["input"]][int(comment["record"]) - 1] for comment in comments]

    def test_directions_are_those_of_the_capture(self, sample: Sample, tmp_path: Path) -> None:
        """The interfaces by which a datagram came in and went out are those of its records."""
        out, comments = extracted(tmp_path, *sample.paths, outcomes=["forwarded"], links=sample.links)
        for packet, comment in zip(packets_of(out), comments, strict=True):
            if packet.interface is None or "first_record" not in comment:
                continue
            if packet.direction == OUT and "out" in comment and packet.interface == comment.get("in"):
                assert comment["in"] == comment["out"]  # sent back

    def test_all_records_of_a_capture_are_some_datagrams(self, sample: Sample, tmp_path: Path) -> None:
        """Each that holds IP is a first record, a further sighting or a tail of one that is."""
        _, comments = extracted(tmp_path, *sample.paths, ways=["*,*"], scope="tunnel")
        seen = {(comment["input"], comment["record"]) for comment in comments}
        assert len(seen) == len(comments)
        # Those that are in a tunnel; on a node, plain ones of the same datagrams come on top.
        assert len(seen) >= vxtool.analyze(sample.paths)["capture"]["tunnel_records"]


class TestWhatBelongsTogether:
    def packet(self, identification: int, size: int = 100, ttl: int = 64) -> bytes:
        frame = inner_frame(size, identification)
        return vxlan_packet(
            frame, source=NODE_A, destination=NODE_B, vni=5, identification=identification, ttl=ttl
        )

    def test_both_sightings(self, tmp_path: Path, engine: str) -> None:
        seen = [(0, 0, self.packet(1)), (5, 0, self.packet(2)), (10, 1, self.packet(1, ttl=63))]
        path = write_router(tmp_path / "seen.pcapng", seen)
        out, comments = extracted(tmp_path, path, ways=["eth1,eth2"])
        assert numbers(comments) == [1, 3]
        assert [packet.interface for packet in packets_of(out)] == ["eth1", "eth2"]
        assert [packet.direction for packet in packets_of(out)] == [IN, OUT]
        assert packets_of(out)[1].comments == (
            f"vxtool outcome=forwarded in=eth1 out=eth2 input={path} record=3 first_record=1",
        )
        _, comments = extracted(tmp_path, path, ways=["eth1,-"])
        assert numbers(comments) == [2]

    def test_fragments(self, tmp_path: Path, engine: str) -> None:
        """Those of one datagram, a tail of them ahead of its first; not those of another."""
        one, two = (in_fragments(self.packet(each, 3000), 1400) for each in (1, 2))
        order = [one[1], one[0], two[0], two[2], one[2], two[1]]
        seen = [(at, 0, data) for at, data in enumerate(order)]
        seen += [(50 + at, 1, one[at]) for at in range(3)]
        path = write_router(tmp_path / "seen.pcapng", seen)
        _, comments = extracted(tmp_path, path, ways=["eth1,eth2"])
        assert numbers(comments) == [1, 2, 5, 7, 8, 9]
        _, comments = extracted(tmp_path, path, ways=["eth1,-"])
        assert numbers(comments) == [3, 4, 6]

    def test_a_loop(self, tmp_path: Path, engine: str) -> None:
        """What goes round comes by with a lower TTL each time."""
        seen = [(at * 10, at % 2, self.packet(1, ttl=64 - (at + 1) // 2)) for at in range(6)]
        path = write_router(tmp_path / "seen.pcapng", [*seen, (100, 0, self.packet(2))])
        _, comments = extracted(tmp_path, path, ways=["eth1,eth2"])
        assert numbers(comments) == [1, 2, 3, 4, 5, 6]

    def test_segments(self, tmp_path: Path, engine: str) -> None:
        """As the kernel cut a super-frame: all that went out, of which IP has as many bytes of data as came in."""
        path = str(CAPTURES / "iperf-resegmented.pcap")
        out, comments = extracted(tmp_path, path, ways=["*,*"])
        assert len(comments) == len(packets_of(path))
        assert any("first_record" in comment for comment in comments)
        assert out.exists()

    def test_a_flow(self, tmp_path: Path, engine: str) -> None:
        path = str(CAPTURES / "ping-http.pcap")
        _, comments = extracted(tmp_path, path, protocols=["icmp"])
        fields = ("frame.number", "icmp.type")
        rows = tshark(path, *fields, options=("-d", "udp.port==8472,vxlan"))
        assert numbers(comments) == [int(number) for number, kind in rows if kind]
        assert comments

    def test_across_files(self, tmp_path: Path, engine: str) -> None:
        """Where each interface has a file of its own, one that went out names the file of its first record."""
        paths = [str(CAPTURES / "four-ways-eth1.pcap"), str(CAPTURES / "four-ways-eth2.pcap")]
        _, comments = extracted(tmp_path, *paths, ways=["four-ways-eth1,four-ways-eth2"])
        further = [comment for comment in comments if "first_record" in comment]
        assert len(further) * 2 == len(comments) > 0
        assert {comment["input"] for comment in further} == {paths[1]}
        assert {comment["first_input"] for comment in further} == {paths[0]}


class TestRecords:
    path = str(CAPTURES / "vxlan.pcap")

    def test_by_number(self, tmp_path: Path, engine: str) -> None:
        _, comments = extracted(tmp_path, self.path, records=[(2, 3)])
        assert numbers(comments) == [2, 3]
        assert comments[0]["first_record"] == "1"

    def test_whatever_they_are(self, tmp_path: Path, engine: str) -> None:
        """ARP is no datagram: it is copied, and nothing said of it."""
        path = str(CAPTURES / "unfiltered.pcap")
        arp = [int(number) for (number,) in tshark(path, "frame.number", options=("-Y", "arp && !vxlan"))]
        assert arp
        _, comments = extracted(tmp_path, path, records=[(arp[0], arp[0])])
        assert comments == [{"input": path, "record": str(arp[0])}]

    def test_and_what_else_is_asked(self, tmp_path: Path) -> None:
        _, comments = extracted(tmp_path, self.path, records=[(2, 3)], ways=["-,*"])
        assert comments == []

    def test_wrong_ones(self, tmp_path: Path) -> None:
        out = str(tmp_path / "out.pcapng")
        for options, message in (
            ({}, "^nothing is chosen"),
            ({"outcomes": ["lost"]}, "^outcome 'lost': expected one of forwarded"),
            ({"ways": ["eth1"]}, "^path 'eth1': expected two interfaces"),
            ({"records": [(3, 2)]}, "^records 3 to 2: expected"),
        ):
            with pytest.raises(UsageError, match=message):
                vxtool.extract([self.path], out, **options)  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="name one"):
            vxtool.extract([self.path, self.path], out, records=[(1, 1)])
        with pytest.raises(UsageError, match="reads twice"):
            vxtool.extract(["-"], out, outcomes=["dropped"])


def test_names_come_from_the_links(tmp_path: Path) -> None:
    links = CAPTURES / "vxlan.links.json"
    known = {link["ifname"] for link in json.loads(links.read_text())}
    out, _ = extracted(tmp_path, TestRecords.path, links=[str(links)], ways=["*,*"])
    rows = tshark(out, "frame.interface_name", "frame.p2p_dir", "sll.pkttype")
    assert {row[0] for row in rows} <= known
    assert [row[2] for row in rows] == ["0", "4", "0", "4"]  # the link header, as it was
