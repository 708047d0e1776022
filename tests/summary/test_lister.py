"""Lists of packets: what gets a line and what not, and that both engines write the same.

VXTOOL_EXAMPLES=5000 compares the engines on so many captures, other ones each time.
"""

from __future__ import annotations

import gc
import json
import random
import re
import struct
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from captures.samples import Sample, samples
from conftest import CAPTURES, CLUSTER_FILES, require_native
from engine.generate import (
    EPOCH,
    IPV6,
    SLL2,
    TCP,
    UDP,
    V6_A,
    V6_B,
    Entry,
    Made,
    captures,
    echo,
    ethernet,
    fragment_header,
    ipv4,
    ipv6,
    sll2,
    super_frames,
    tcp,
    to_pcap,
    udp,
    vxlan,
)
from engine.test_properties import examples
from hypothesis import given
from hypothesis import strategies as st
from summary.lists import both_lists, some_wish, text_of

from vxtool.api import summary
from vxtool.listing.fields import FORMATS
from vxtool.listing.line import duration
from vxtool.report import Target

A, B = "172.20.0.107", "172.20.2.4"
OUTSIDE = "192.168.10.100", "192.168.20.100"
IN, OUT = 0, 4  # packet types of SLL2
MS = 1_000_000


def lines_of(path: Path, entries: Sequence[Entry], fields: str, **asked: Any) -> list[list[str]]:
    """The lines of a capture of these, as lists of the fields that are asked for."""
    path.write_bytes(to_pcap(entries, SLL2))
    table = text_of([str(path)], format="tsv", fields=fields.split(","), **asked)
    return [line.split("\t") for line in table.splitlines()[1:]]


def tunnelled(packet: bytes, identification: int = 7, vni: int = 36705, ends: tuple[str, str] = OUTSIDE) -> bytes:
    outer = udp(50000, 8472, vxlan(vni, ethernet(packet)))
    return ipv4(*ends, UDP, outer, ttl=63, identification=identification)


def passed(time: int, packet: bytes, took: int = 16_000) -> list[Entry]:
    """A packet that came in by interface 3 and went out by 4."""
    return [Entry(time, sll2(packet, 3, IN)), Entry(time + took, sll2(packet, 4, OUT))]


def segment(sequence: int, flags: int = 0x10, payload: bytes = b"", acknowledgement: int = 1) -> bytes:
    message = tcp(40000, 80, sequence, payload, acknowledgement=acknowledgement, flags=flags)
    return ipv4(A, B, TCP, message, identification=sequence)


# Which records get a line.


def test_a_datagram_is_one_line_with_its_way(engine: str, tmp_path: Path) -> None:
    """As of the founding case: 4 records of a request and its reply."""
    lines = text_of([str(CAPTURES / "vxlan.pcap")], links=[str(CAPTURES / "vxlan.links.json")]).splitlines()
    assert [line.split()[:8] for line in lines] == [
        ["1", "0.000000", "eth1→eth2", "16", "µs", "36705", A, B],
        ["3", "0.000472", "eth2→eth1", "3", "µs", "17701", B, A],
    ]


def test_with_all_each_record_is_a_line_that_names_its_datagram(engine: str, tmp_path: Path) -> None:
    entries = passed(0, tunnelled(segment(1)))
    fields = "number,interfaces,datagram,latency_ns,outcome"
    assert lines_of(tmp_path / "x.pcap", entries, fields, all_records=True) == [
        ["1", "#3 in", "1", "16000", "forwarded"],
        ["2", "#4 out", "1", "16000", "forwarded"],
    ]


def test_what_is_no_datagram_has_a_line_too(engine: str, tmp_path: Path) -> None:
    arp = bytes.fromhex("0001080006040001020000000001") + b"\n\0\0\1" + bytes(6) + b"\n\0\0\2"
    entries = [
        Entry(0, sll2(arp, 3, IN, 0x0806)),
        Entry(MS, sll2(arp, 3, OUT, 0x0806)),
        Entry(2 * MS, sll2(bytes([0x45, 0, 0, 4]), 3, IN)),  # an IPv4 header that is too short
        *passed(3 * MS, tunnelled(segment(1))),
    ]
    lines = lines_of(tmp_path / "x.pcap", entries, "number,ingress,egress,datagram,outcome,protocol")
    assert [line[:5] for line in lines] == [
        ["1", "#3", "", "", ""],
        ["2", "", "#3", "", ""],
        ["3", "#3", "", "", ""],
        ["4", "#3", "#4", "4", "forwarded"],
    ]
    assert lines[0][5] == "ARP"


@pytest.mark.parametrize("order", ["in order", "the last first"])
def test_fragments_are_one_line_that_tells_of_the_whole(order: str, engine: str, tmp_path: Path) -> None:
    whole = udp(50000, 8472, vxlan(36705, ethernet(ipv4(A, B, 1, echo(5, 1, bytes(1400))))))
    pieces = [
        ipv4(*OUTSIDE, UDP, whole[:1000], identification=9, more=True),
        ipv4(*OUTSIDE, UDP, whole[1000:], identification=9, offset=1000),
    ]
    first = 0 if order == "in order" else 1
    if first:
        pieces.reverse()
    entries = [Entry(at * 1000, sll2(piece, 3, IN)) for at, piece in enumerate(pieces)]
    entries += [Entry(9000 + at, sll2(piece, 4, OUT)) for at, piece in enumerate(pieces)]
    lines = lines_of(tmp_path / "x.pcap", entries, "number,protocol,latency_ns,info")
    number, protocol, _, info = lines[0]
    assert len(lines) == 1
    assert (number, protocol) == (str(first + 1), "ICMP")
    assert info.startswith("Echo (ping) request  id=0x0005, seq=1/256")


def test_plain_fragments_are_one_line_too(engine: str, tmp_path: Path) -> None:
    message = tcp(40000, 80, 1, bytes(1400))
    pieces = [
        ipv4(A, B, TCP, message[:800], identification=9, more=True),
        ipv4(A, B, TCP, message[800:], identification=9, offset=800),
    ]
    entries = [Entry(at * 1000, sll2(piece, 3, IN)) for at, piece in enumerate(pieces)]
    entries += [Entry(9000 + at, sll2(piece, 4, OUT)) for at, piece in enumerate(pieces)]
    ((number, protocol, info),) = lines_of(tmp_path / "x.pcap", entries, "number,protocol,info")
    assert (number, protocol) == ("1", "TCP")
    assert "Len=1400" in info


def test_fragments_of_ipv6_are_one_line_too(engine: str, tmp_path: Path) -> None:
    message = udp(1000, 2000, bytes(1400))
    pieces = [
        ipv6(V6_A, V6_B, 44, fragment_header(UDP, 9, 0, True) + message[:800]),
        ipv6(V6_A, V6_B, 44, fragment_header(UDP, 9, 800, False) + message[800:]),
    ]
    entries = [Entry(at * 1000, sll2(piece, 3, IN, IPV6)) for at, piece in enumerate(pieces)]
    ((number, protocol, info),) = lines_of(tmp_path / "x.pcap", entries, "number,protocol,info")
    assert (number, protocol, info[:20]) == ("1", "UDP", "1000 → 2000 Len=1400")


def test_with_all_fragments_are_lines_and_the_last_tells_of_the_whole(engine: str, tmp_path: Path) -> None:
    """As tshark shows them."""
    whole = udp(50000, 8472, vxlan(36705, ethernet(ipv4(A, B, 1, echo(5, 1, bytes(1400))))))
    pieces = [
        ipv4(*OUTSIDE, UDP, whole[:1000], identification=9, more=True),
        ipv4(*OUTSIDE, UDP, whole[1000:], identification=9, offset=1000),
    ]
    entries = [Entry(at * 1000, sll2(piece, 3, IN)) for at, piece in enumerate(pieces)]
    lines = lines_of(tmp_path / "x.pcap", entries, "protocol,datagram,info", all_records=True)
    assert [line[:2] for line in lines] == [["IPv4", "1"], ["ICMP", "1"]]
    assert lines[0][2] == "Fragmented IP protocol (proto=UDP 17, off=0, ID=0009)"
    assert lines[1][2].startswith("Echo (ping) request")


@pytest.mark.parametrize("all_records", [True, False])
def test_what_was_captured_of_a_fragment_is_its_record(all_records: bool, engine: str, tmp_path: Path) -> None:
    """Two fragments inside a tunnel, of 20 + 50 + 20 + 800 and 20 + 50 + 20 + 608 bytes; together they are 1428."""
    message = tcp(40000, 80, 1, bytes(1388))
    pieces = [
        ipv4(A, B, TCP, message[:800], identification=9, more=True),
        ipv4(A, B, TCP, message[800:], identification=9, offset=800),
    ]
    entries = [Entry(at * MS, sll2(tunnelled(piece, at), 3, IN)) for at, piece in enumerate(pieces)]
    asked = {"all_records": all_records}
    path = tmp_path / "x.pcap"
    assert lines_of(path, entries, "number,protocol", filter="frame.cap_len == 890", **asked) == [["1", "IPv4"]]
    assert lines_of(path, entries, "number,protocol", filter="frame.cap_len == 698", **asked) == [["2", "TCP"]]


@pytest.mark.parametrize("sample", samples(), ids=lambda sample: sample.name)
def test_each_datagram_of_a_sample_is_one_line(sample: Sample, engine: str) -> None:
    """Lines of datagrams are as many as the report counts, in order of time, each record at most once."""
    found = json.loads(text_of(sample.paths, format="json"))
    records = found["records"]
    report = sample.analyze()
    forwarding = report["forwarding"]
    counted = forwarding["datagrams"] + (forwarding["other"]["datagrams"] if forwarding["other"] else 0)
    assert sum(record["datagram"] is not None for record in records) == counted
    assert len({(record["input"], record["number"]) for record in records}) == len(records)
    assert found["inputs"] == report["inputs"]


@pytest.mark.parametrize("sample", samples(), ids=lambda sample: sample.name)
def test_with_all_each_record_of_a_sample_is_a_line(sample: Sample, engine: str) -> None:
    records = json.loads(text_of(sample.paths, format="json", all_records=True))["records"]
    for item in sample.analyze()["inputs"]:
        numbers = [record["number"] for record in records if record["input"] == item["path"]]
        assert numbers == list(range(1, item["records"] + 1))


# TCP.


def test_what_was_passed_on_is_no_retransmission_but_what_was_sent_again_is(engine: str, tmp_path: Path) -> None:
    entries = [
        *passed(0, tunnelled(segment(1, 0x02), 1)),
        *passed(10 * MS, tunnelled(segment(2, 0x18, b"some data"), 2)),
        *passed(500 * MS, tunnelled(segment(2, 0x18, b"some data"), 3)),
    ]
    fields = "number,notes"
    assert lines_of(tmp_path / "x.pcap", entries, fields) == [["1", ""], ["3", ""], ["5", "retransmission"]]
    told = lines_of(tmp_path / "x.pcap", entries, fields, all_records=True)
    assert [line[1] for line in told] == ["", "", "", "", "retransmission", ""]


def test_both_directions_are_one_stream_where_a_vni_is_an_identity(engine: str, tmp_path: Path) -> None:
    answer = ipv4(B, A, 6, tcp(80, 40000, 1, acknowledgement=2, flags=0x12), identification=5)
    entries = [
        *passed(0, tunnelled(segment(1, 0x02), 1)),
        *passed(MS, tunnelled(answer, 2, vni=17701, ends=(OUTSIDE[1], OUTSIDE[0]))),
    ]
    path = tmp_path / "x.pcap"
    assert [line[0] for line in lines_of(path, entries, "stream", overlay="cilium")] == ["0", "0"]
    assert [line[0] for line in lines_of(path, entries, "stream", overlay="vxlan")] == ["0", "1"]


def test_a_message_in_several_segments_stands_on_the_one_that_completes_it(engine: str, tmp_path: Path) -> None:
    head = b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n"
    rest = len(head) + 2
    entries = [
        *passed(0, tunnelled(segment(1, 0x02), 1)),
        *passed(MS, tunnelled(segment(2, 0x18, head), 2)),
        *passed(2 * MS, tunnelled(segment(rest, 0x18, b"0123456789"), 3)),
    ]
    lines = lines_of(tmp_path / "x.pcap", entries, "protocol,info")
    assert [line[0] for line in lines] == ["TCP", "TCP", "HTTP"]
    assert lines[1][1].endswith("[TCP segment of a reassembled PDU]")
    assert lines[2][1] == "GET / HTTP/1.1 "


# What lines show.


def test_names_stand_for_addresses_where_files_tell_them(engine: str) -> None:
    cluster = [str(CLUSTER_FILES / "ciliumendpoints.json")]
    text = text_of([str(CAPTURES / "vxlan.pcap")], cluster=cluster)
    assert text.splitlines()[0].split()[6:8] == ["default/curl-pod", "default/webpod-697b545f57-8tcp6"]
    table = text_of([str(CAPTURES / "vxlan.pcap")], cluster=cluster, format="tsv")
    assert table.splitlines()[1].split("\t")[7:9] == [A, B]


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ("relative", ["0.000000000", "0.001000000", "0.001500000"]),
        ("delta", ["0.000000000", "0.001000000", "0.000500000"]),
        (
            "absolute",
            [
                "2025-08-09T17:27:50.000000000Z",
                "2025-08-09T17:27:50.001000000Z",
                "2025-08-09T17:27:50.001500000Z",
            ],
        ),
    ],
)
def test_times(time: str, expected: list[str], engine: str, tmp_path: Path) -> None:
    assert EPOCH == 1_754_760_470_000_000_000  # date -u -d 2025-08-09T17:27:50 +%s
    entries = [
        Entry(EPOCH + offset, sll2(tunnelled(segment(number), number), 3, IN))
        for number, offset in ((1, 0), (2, MS), (3, 1_500_000))
    ]
    assert [line[0] for line in lines_of(tmp_path / "x.pcap", entries, "time", time=time)] == expected


def test_a_time_before_the_first_is_negative(engine: str, tmp_path: Path) -> None:
    entries = [Entry(5 * MS, sll2(tunnelled(segment(1)), 3, IN)), Entry(MS, sll2(tunnelled(segment(2), 8), 3, IN))]
    assert [line[0] for line in lines_of(tmp_path / "x.pcap", entries, "time")] == ["0.000000000", "-0.004000000"]


def test_dropped_datagrams_say_so(engine: str) -> None:
    drops = CAPTURES / "drops.pcap"
    links = [str(CAPTURES / "drops.links.json")]
    truth = json.loads((CAPTURES / "drops.json").read_text("utf-8"))
    lines = text_of([str(drops)], links=links).splitlines()
    dropped = [line for line in lines if " dropped " in line]
    assert len(dropped) == truth["expect"]["dropped"]
    assert all(line.split()[2:4] == ["eth1", "dropped"] for line in dropped)


def test_columns_line_up(engine: str) -> None:
    """The protocol begins in the same column of every line."""
    lines = text_of([str(CAPTURES / "drops.pcap")], links=[str(CAPTURES / "drops.links.json")]).splitlines()
    assert len({line.index(" TCP ") if " TCP " in line else line.index(" ICMP ") for line in lines}) == 1


@pytest.mark.parametrize("width", [80, 100, 160])
def test_on_a_terminal_no_line_is_wider_than_that(width: int, engine: str) -> None:
    for name in ("ping-http", "drops", "ipv6-pods", "unfiltered"):
        target = Target(width=width)
        text = text_of([str(CAPTURES / f"{name}.pcap")], target=target, fit=True)
        assert max(map(len, text.splitlines())) <= width, name


def test_nor_where_an_interface_is_left_or_a_value_is_wider_than_its_column(engine: str, tmp_path: Path) -> None:
    """`#4 out` takes a column more than `#3 in`, and HTTP/JSON one more than protocols have."""
    words = f"GET /{'x' * 200} HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}".encode()
    path = tmp_path / "x.pcap"
    path.write_bytes(to_pcap(passed(0, tunnelled(segment(1, payload=words))), SLL2))
    for asked in ({"all_records": True}, {"fields": ["number", "protocol", "length", "info"]}):
        for width in (80, 160):
            text = text_of([str(path)], target=Target(width=width), fit=True, **asked)
            assert ("HTTP/JSON" in text, "…" in text) == (True, True)
            assert max(map(len, text.splitlines())) <= width
    lines = text_of([str(path)], fields=["interfaces", "info"], all_records=True).splitlines()
    assert [line.index("GET") if "GET" in line else line.index("40000") for line in lines] == [7, 7]


def test_in_a_pipe_no_line_is_cut(engine: str) -> None:
    text = text_of([str(CAPTURES / "drops.pcap")])
    assert "…" not in text
    assert "\x1b" not in text


def test_limits_on_lines(engine: str) -> None:
    path = str(CAPTURES / "drops.pcap")
    everything = text_of([path], format="tsv").splitlines()
    assert text_of([path], format="tsv", most=5).splitlines() == everything[:6]


def test_a_filter_chooses_lines(engine: str) -> None:
    path = str(CAPTURES / "ping-http.pcap")
    lines = text_of([path], filter="icmp && ip.src == 172.20.0.107", format="tsv").splitlines()[1:]
    everything = text_of([path], format="tsv").splitlines()[1:]
    assert lines == [line for line in everything if line.split("\t")[7] == A and line.split("\t")[9] == "ICMP"]
    assert lines


def test_a_list_goes_away_with_who_made_it(engine: str) -> None:
    """Without the collector's help, which cannot see that the native one is part of a ring."""
    listed = summary([str(CAPTURES / "vxlan.pcap")])
    lister = weakref.ref(listed._lister)
    assert b"".join(listed.blocks())
    gc.disable()
    try:
        del listed
        assert lister() is None
    finally:
        gc.enable()


def test_times_further_apart_than_64_bits_hold(engine: str, tmp_path: Path) -> None:
    """pcapng has offsets of any number of seconds: 2^63 ns are 9,223,372,036.854775807 s, and more is not shown."""
    path = tmp_path / "x.pcapng"
    path.write_bytes(_of_both_ends_of_time())
    shown = text_of([str(path)], format="tsv", fields=["time"], all_records=True).splitlines()[1:]
    assert shown == ["0.000000000", "9223372036.854775807", "0.000000000"]
    delta = text_of([str(path)], format="tsv", fields=["time"], all_records=True, time="delta").splitlines()[1:]
    assert delta == ["0.000000000", "9223372036.854775807", "-9223372036.854775808"]
    asked = {"format": "tsv", "fields": ["number"], "all_records": True}
    later = text_of([str(path)], filter="frame.time_relative > 1", **asked)
    assert later.splitlines()[1:] == ["2"]


def _of_both_ends_of_time() -> bytes:
    """Records of the earliest time there is, of the latest, and of the earliest."""

    def block(kind: int, body: bytes) -> bytes:
        size = struct.pack("<I", len(body) + 12)
        return struct.pack("<I", kind) + size + body + size

    section = block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))
    interfaces = b"".join(
        block(1, struct.pack("<HHIHHqHH", 1, 0, 0, 14, 8, offset, 0, 0)) for offset in (-(1 << 62), 1 << 62)
    )
    packet = ethernet(ipv4(A, B, UDP, udp(1, 2, b"1234")))
    packet += bytes(-len(packet) % 4)
    records = [
        block(6, struct.pack("<IIIII", interface, 0, 0, len(packet), len(packet)) + packet)
        for interface in (0, 1, 0)
    ]
    return section + interfaces + b"".join(records)


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0 ns"), (999, "999 ns"), (1000, "1 µs"), (1400, "1.4 µs"), (9949, "9.9 µs"), (9950, "10 µs"),
        (16_000, "16 µs"), (999_499, "999 µs"), (999_500, "1 ms"), (1_230_000, "1.2 ms"), (59_400_000_000, "59 s"),
        (59_500_000_000, "1 min"), (125_000_000_000, "2 min 5 s"),
    ],
)  # fmt: skip
def test_latencies(nanoseconds: int, text: str) -> None:
    assert duration(nanoseconds) == text


# Untrusted text.


def test_names_cannot_do_anything_to_a_terminal_or_a_table(engine: str, tmp_path: Path) -> None:
    path = tmp_path / "x.pcap"
    path.write_bytes(to_pcap(passed(0, tunnelled(segment(1))), SLL2))
    evil = "eth\x1b[31m\t\n\u202e\u200b"
    names = {3: evil, 4: 'e"th\\2'}
    for format in ("text", "tsv"):
        text = text_of([str(path)], interfaces=names, format=format)
        assert "eth\\x1b[31m\\x09\\x0a\\u202e\\u200b" in text
        assert text.count("\n") == (1 if format == "text" else 2)
    text = text_of([str(path)], interfaces=names, format="json")
    assert not {"\x1b", "\t", "\u202e", "\u200b"} & {*text}
    (record,) = json.loads(text)["records"]
    assert (record["ingress"], record["egress"]) == (evil, 'e"th\\2')


def test_messages_cannot_either(engine: str, tmp_path: Path) -> None:
    path = tmp_path / "x.pcap"
    request = b"GET /\x1b]0;x\x07\t\xff\xe2\x80\xae HTTP/1.1\r\n\r\n"
    entries = [*passed(0, tunnelled(segment(1, 0x02), 1)), *passed(MS, tunnelled(segment(2, 0x18, request), 2))]
    path.write_bytes(to_pcap(entries, SLL2))
    for format in FORMATS:
        text = text_of([str(path)], format=format)
        assert not {"\x1b", "\x07", "\u202e"} & {*text}
        assert "GET /" in text
    assert len(text_of([str(path)], format="tsv").splitlines()) == 3


def test_nor_is_any_of_them_a_command_to_a_pipeline(engine: str, tmp_path: Path) -> None:
    path = tmp_path / "x.pcap"
    request = b"GET /##vso[x] ::error::y HTTP/1.1\r\n\r\n"
    entries = [*passed(0, tunnelled(segment(1, 0x02), 1)), *passed(MS, tunnelled(segment(2, 0x18, request), 2))]
    path.write_bytes(to_pcap(entries, SLL2))
    names = {3: "::error::z##[error]", 4: "eth4"}
    for format in FORMATS:
        for fields in ([], ["ingress"], ["info"]):
            text = text_of([str(path)], interfaces=names, format=format, fields=fields)
            assert not re.search(r"^ *::[a-z]|##\[|##vso\[", text, re.MULTILINE)
    records = json.loads(text_of([str(path)], interfaces=names, format="json"))["records"]
    assert records[0]["ingress"] == names[3]
    assert "GET /##vso[x] ::error::y" in records[1]["info"]


def test_json_spells_out_what_the_other_formats_do(engine: str, tmp_path: Path) -> None:
    path = tmp_path / "x.pcap"
    path.write_bytes(to_pcap(passed(0, tunnelled(segment(1))), SLL2))
    # One of each kind that does not print, and what does.
    name = "東京\x7f\x85\xa0\xad\u061c\u180e\u2028\u3000\ue000\ufeff\ufff9\U0001d173\U000e0041\U0010ffff👩"
    text = text_of([str(path)], interfaces={3: name, 4: "eth4"}, format="json")
    assert text.replace("\n", "").isprintable()
    assert '"東京\\u007f\\u0085\\u00a0' in text
    assert "\\udb40\\udc41" in text
    assert "👩" in text
    (record,) = json.loads(text)["records"]
    assert record["ingress"] == name


# Both engines.


@examples
@given(made=captures(), seed=st.integers(0, 1 << 32))
def test_both_engines_write_the_same(made: Made, seed: int) -> None:
    assert_alike(made, seed)


@examples
@given(made=super_frames(), seed=st.integers(0, 1 << 32))
def test_both_engines_write_the_same_of_super_frames(made: Made, seed: int) -> None:
    assert_alike(made, seed)


def assert_alike(made: Made, seed: int) -> None:
    require_native()
    asked = some_wish(random.Random(seed))
    plain, native = both_lists(
        list(made.files()), window_ns=made.options.window, settle_ns=made.options.settle, **asked
    )
    assert plain.splitlines() == native.splitlines(), asked
    assert plain == native
