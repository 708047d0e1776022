"""The pure container: what it reads equals what other programs wrote, and its end is always explained.

Expected values come from dpkt, scapy, tshark and editcap, from bytes laid out by hand, and from the one rule
that the way in which an input is cut may not matter.
"""

from __future__ import annotations

import io
import itertools
import random
import struct
import subprocess
from decimal import Decimal
from pathlib import Path

import dpkt
import pytest
from capture.containers import (
    DAMAGED,
    ONE,
    SHORT,
    SKIPPED,
    START,
    WHOLE_PCAP,
    WHOLE_PCAPNG,
    block,
    described,
    option,
    packet,
    pcap,
    section,
)
from conftest import capture_files, require_module, require_tool
from hypothesis import given, settings
from hypothesis import strategies as st

from vxtool.capture import CODES, MAX_RECORD, Container, Damage, PcapngWriter, PcapWriter, Record, read_capture
from vxtool.capture.container import MAX_NAMES, Interface


def read(data: bytes, *cuts: int) -> tuple[list[Record], Container]:
    """All records of `data`, fed in one piece or cut at the given places."""
    container = Container()
    records: list[Record] = []
    edges = [0, *sorted(cuts), len(data)]
    for start, stop in itertools.pairwise(edges):
        records += container.feed(data[start:stop])
    container.end()
    return records, container


def frames(count: int, seed: int = 1) -> list[bytes]:
    chosen = random.Random(seed)
    return [chosen.randbytes(chosen.choice([14, 60, 61, 62, 63, 1500, 9000])) for _ in range(count)]


# What others write


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("nanoseconds", [False, True])
def test_pcap_is_read_as_dpkt_reads_it(order: str, nanoseconds: bool) -> None:
    data = pcap(order, 0xA1B23C4D if nanoseconds else 0xA1B2C3D4, link_type=276)
    for number, frame in enumerate(frames(50)):
        data += struct.pack(f"{order}IIII", 1_754_760_470 + number, 999_999 - number, len(frame), 9500) + frame
    records, container = read(data)
    theirs = dpkt.pcap.Reader(io.BytesIO(data))
    unit = 10**9 if nanoseconds else 10**6
    expected = [(round(Decimal(time) * unit), frame) for time, frame in theirs]
    assert [(record.time_ns * unit // 10**9, record.data) for record in records] == expected
    assert {record.length for record in records} == {9500}
    assert container.interfaces[0].link_type == theirs.datalink()
    assert container.interfaces[0].snaplen == theirs.snaplen
    assert container.format == ("pcap-ns" if nanoseconds else "pcap")
    assert container.damage is None


@pytest.mark.parametrize("name", ["pcap", "pcapng"])
def test_what_dpkt_writes_is_read(name: str) -> None:
    file = io.BytesIO()
    writer = dpkt.pcap.Writer(file, nano=True) if name == "pcap" else dpkt.pcapng.Writer(file)
    sent = frames(20)
    for number, frame in enumerate(sent):
        writer.writepkt(frame, ts=1_754_760_470 + number)
    records, container = read(file.getvalue())
    assert [record.data for record in records] == sent
    assert [record.time_ns for record in records] == [(1_754_760_470 + number) * 10**9 for number in range(20)]
    assert container.damage is None


def test_what_scapy_writes_is_read(tmp_path: Path) -> None:
    require_module("scapy")
    from scapy.layers.l2 import Ether
    from scapy.utils import PcapNgWriter as ScapyPcapNgWriter
    from scapy.utils import PcapWriter as ScapyPcapWriter

    for writer_type in (ScapyPcapWriter, ScapyPcapNgWriter):
        path = tmp_path / writer_type.__name__
        writer = writer_type(str(path))
        sent = []
        for number, frame in enumerate(frames(20)):
            scapy_packet = Ether(frame)
            scapy_packet.time = 1_754_760_470 + number
            sent.append(bytes(scapy_packet))
            writer.write(scapy_packet)
        writer.close()
        records, container = read(path.read_bytes())
        assert [record.data for record in records] == sent
        assert [record.time_ns // 10**9 for record in records] == [1_754_760_470 + n for n in range(20)]
        assert container.damage is None


def tshark_records(path: Path) -> list[tuple[int, int, int, int, str]]:
    """Time, interface, captured and original length, and direction flag of each record, as tshark reads them."""
    names = ["time_epoch", "interface_id", "cap_len", "len", "packet_flags_direction"]
    fields = [part for name in names for part in ("-e", f"frame.{name}")]
    command = [require_tool("tshark"), "-n", "-r", str(path), "-T", "fields", *fields]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    return [(int(Decimal(t) * 10**9), int(i or 0), int(c), int(n), d) for t, i, c, n, d in rows]


def expected_by_tshark(records: list[Record]) -> list[tuple[int, int, int, int, str]]:
    flags = {0: "", 1: "0x00000001", 2: "0x00000002", 3: "0x00000001", 4: "0x00000001", 5: "0x00000001"}
    return [(r.time_ns, r.interface, len(r.data), r.length, flags[r.direction]) for r in records]


@pytest.mark.parametrize("file_type", ["pcap", "nsecpcap", "pcapng"])
@pytest.mark.parametrize("snaplen", [0, 64])
def test_what_editcap_writes_is_read_as_tshark_reads_it(tmp_path: Path, file_type: str, snaplen: int) -> None:
    original, converted = tmp_path / "original", tmp_path / "converted"
    with PcapWriter(original, nanoseconds=True) as writer:
        for number, frame in enumerate(frames(40)):
            writer.write(START + number * 1001, frame)
    cut = ["-s", str(snaplen)] if snaplen else []
    subprocess.run([require_tool("editcap"), "-F", file_type, *cut, original, converted], check=True)
    records, container = read(converted.read_bytes())
    assert expected_by_tshark(records) == tshark_records(converted)
    assert [record.data for record in records] == [frame[: snaplen or None] for frame in frames(40)]
    assert container.damage is None


def test_several_interfaces_of_a_merged_file_are_read_as_tshark_reads_them(tmp_path: Path) -> None:
    for index, link_type in enumerate([1, 276]):
        with PcapWriter(tmp_path / f"{index}.pcap", link_type, nanoseconds=bool(index)) as writer:
            for number, frame in enumerate(frames(15, seed=index)):
                writer.write(START + number * 2_000 + index * 1_000, frame)
    merged = tmp_path / "merged"
    inputs = [tmp_path / "0.pcap", tmp_path / "1.pcap"]
    subprocess.run([require_tool("mergecap"), "-F", "pcapng", "-w", merged, *inputs], check=True)
    records, container = read(merged.read_bytes())
    assert expected_by_tshark(records) == tshark_records(merged)
    assert [interface.link_type for interface in container.interfaces] == [1, 276]


@pytest.mark.parametrize("order", ["<", ">"])
def test_every_kind_of_pcapng_block_is_read_as_tshark_reads_it(tmp_path: Path, order: str) -> None:
    flags = [option(2, struct.pack(f"{order}I", value), order) for value in (1, 2, 1 | 4 << 2)]
    obsolete = struct.pack(f"{order}HHIIII", 1, 7, 0, 4097, 3, 9) + b"old"
    data = (
        section(order, length=-1)
        + described(option(9, b"\x09", order) + option(2, b"eth1", order), order=order)
        + described(option(9, b"\x8a", order) + option(14, struct.pack(f"{order}q", 100), order), order=order)
        + packet(b"in", START, 0, flags[0], order=order)
        + packet(b"out", 5 << 10 | 512, 1, flags[1], order=order)
        + block(0x1234, b"unknown", order)
        + packet(b"foreign!", START, 0, flags[2], order=order)
        + block(2, obsolete, order)
    )
    path = tmp_path / "blocks.pcapng"
    path.write_bytes(data)
    records, container = read(data)
    assert expected_by_tshark(records) == tshark_records(path)
    assert [record.data for record in records] == [b"in", b"out", b"foreign!", b"old"]
    assert [record.time_ns for record in records] == [START, 105_500_000_000, START, 104_000_976_562]
    assert [record.direction for record in records] == [1, 2, 3, 0]
    assert container.interfaces[0].name == "eth1"
    assert container.damage is None


def test_the_sample_captures_are_read_as_tshark_reads_them() -> None:
    tshark = require_tool("tshark")
    paths = capture_files()
    if not paths:
        pytest.skip("there are no sample captures")
    for path in paths:
        told = subprocess.run([tshark, "-n", "-r", path, "-T", "fields", "-e", "frame.len"], capture_output=True)
        capture = read_capture(path)
        assert [record.length for record in capture] == [int(line) for line in told.stdout.split()], path
        assert (capture.problem is None) == (told.returncode == 0), path


# What the formats say


def test_a_frame_check_sequence_length_above_the_link_type_is_left_out() -> None:
    _, container = read(pcap(link_type=0x2400_0000 | 113))
    assert container.interfaces[0].link_type == 113


def test_a_pcap_fraction_may_exceed_a_second() -> None:
    records, _ = read(pcap() + struct.pack("<IIII", 5, 2_500_000, 0, 0))
    assert records[0].time_ns == 7_500_000_000


def test_interfaces_of_a_new_section_start_anew() -> None:
    data = section("<") + described(link_type=1) + packet(b"first")
    data += section(">") + described(link_type=101, order=">") + packet(b"second", order=">")
    records, container = read(data)
    assert [(record.interface, record.data) for record in records] == [(0, b"first"), (1, b"second")]
    assert [interface.link_type for interface in container.interfaces] == [1, 101]


def test_a_simple_packet_has_the_time_of_the_record_before_and_the_snaplen_of_the_first_interface() -> None:
    simple = block(3, struct.pack("<I", 9) + b"abcd")
    data = section() + described(option(9, b"\x09"), snaplen=4) + simple + packet(b"x", 77) + simple
    records, _ = read(data)
    assert [(r.time_ns, r.data, r.length) for r in records] == [(0, b"abcd", 9), (77, b"x", 1), (77, b"abcd", 9)]


def test_the_last_statistics_of_an_interface_tell_its_drops() -> None:
    statistics = [
        block(5, struct.pack("<III", 1, 0, 0) + option(4, bytes(8)) + option(5, struct.pack("<Q", n)))
        for n in (3, 40)
    ]
    _, container = read(section() + described() + described() + b"".join(statistics))
    assert [interface.dropped for interface in container.interfaces] == [None, 40]


def test_names_of_addresses_are_kept_the_first_of_each() -> None:
    v4, v6 = bytes([172, 20, 0, 107]), bytes.fromhex("fd00017200200000000000000000000b")
    names = option(1, v4 + b"curl-pod\0alias\0") + option(1, v4 + b"later\0") + option(2, v6 + b"webpod")
    _, container = read(section() + block(4, names + option(0, b"") + b"options, left out"))
    assert container.names == {"172.20.0.107": "curl-pod", "fd00:172:20::b": "webpod"}


def test_text_that_is_no_utf8_or_too_long_is_kept_as_far_as_it_goes() -> None:
    _, container = read(section() + described(option(2, b"eth\xff")) + described(option(2, b"e" * 999)))
    assert [interface.name for interface in container.interfaces] == ["eth�", "e" * 255]


def test_names_are_bounded() -> None:
    names = b"".join(option(1, struct.pack(">I", n) + b"n\0") for n in range(70_000))
    _, container = read(section() + block(4, names))
    assert len(container.names) == MAX_NAMES


@pytest.mark.parametrize(
    ("resolution", "offset", "ticks", "expected"),
    [
        (6, 0, 1, 1_000),
        (9, 0, START, START),
        (12, 0, 1_999, 1),
        (0, 0, 3, 3_000_000_000),
        (0x80 | 10, 0, 1, 976_562),  # 10^9 / 1024 = 976,562.5
        (0x80 | 32, 0, 1 << 62, (1 << 30) * 10**9),
        (0xFF, 0, (1 << 64) - 1, 0),
        (127, 0, (1 << 64) - 1, 0),
        (9, -5, 1, -4_999_999_999),
        (9, 0, (1 << 64) - 1, (1 << 63) - 1),
        (6, 1 << 62, 0, (1 << 63) - 1),
        (6, -1 << 62, 0, -1 << 63),
    ],
)
def test_times_are_exact_and_clamped_to_64_bits(resolution: int, offset: int, ticks: int, expected: int) -> None:
    options = option(9, bytes([resolution])) + option(14, struct.pack("<q", offset))
    records, _ = read(section() + described(options) + packet(b"", ticks))
    assert records[0].time_ns == expected


# How reading ends


@pytest.mark.parametrize(("data", "damage"), DAMAGED, ids=lambda value: getattr(value, "code", None))
def test_damage_says_where_and_why(data: bytes, damage: Damage) -> None:
    _, container = read(data)
    assert container.damage == damage
    assert container.offset == damage.offset
    assert container.records == damage.record


@pytest.mark.parametrize(("data", "damage"), SKIPPED, ids=lambda value: getattr(value, "code", None))
def test_a_block_that_holds_nonsense_is_skipped(data: bytes, damage: Damage) -> None:
    """A record behind it is read, by an interface that keeps its number."""
    many = damage.code == "too-many-interfaces"  # then no more can be described
    behind = packet(b"behind") if many else described() + packet(b"behind", interface=len_of_section(data))
    records, container = read(data + behind)
    assert container.damage is None
    assert (container.skipped, container.first_skipped) == (1, damage)
    assert [record.data for record in records] == [b"behind"]


def len_of_section(data: bytes) -> int:
    """How many interfaces the last section of `data` describes, well or badly."""
    last = data[data.rindex(bytes.fromhex("0a0d0d0a")) :]
    at = count = 0
    while at < len(last):
        kind, total = struct.unpack_from("<II", last, at)
        count += kind == 1
        at += total
    return count


def test_the_first_of_several_skipped_blocks_is_told() -> None:
    _, container = read(ONE + packet(b"1234", claimed=5) + block(6, bytes(16)) + packet(b"good"))
    assert (container.skipped, container.records) == (2, 1)
    assert container.first_skipped == Damage("bad-record-length", 48, 0, 5, 4)


def test_comments_of_a_skipped_record_are_not_those_of_the_next() -> None:
    container = Container(keep_comments=True)
    bad = packet(b"", options=option(1, b"gone") + b"\2\0\3\0" + bytes(4))
    container.feed(ONE + bad + packet(b"next"))
    assert container.comments == {}


def test_every_code_of_damage_is_reached() -> None:
    # Only the C container meets a lack of memory as damage; Python has an exception for it.
    assert {damage.code for _, damage in DAMAGED + SKIPPED} == set(CODES) - {"none", "no-memory"}


@pytest.mark.parametrize("code", CODES[1:])
def test_damage_is_told_in_one_line(code: str) -> None:
    first = Damage(code, 0, 0, 0x504B0304, 12).text()
    later = Damage(code, 480, 7, 0x504B0304, 12).text()
    assert later == f"{first} (byte 480, after record 7); what came before counts"
    assert "\n" not in later


def test_a_file_of_another_kind_is_told_by_its_first_bytes() -> None:
    first_bytes = (b"BZh9", b"PK\3\4", b"{\n  ", b"\x04\x22\x4d\x18")
    told = {first: read(first + bytes(30))[1].damage for first in first_bytes}
    texts = {first: damage.text() for first, damage in told.items() if damage}
    assert "bzip2 -dc" in texts[b"BZh9"]
    assert "zip archive" in texts[b"PK\3\4"]
    assert "lz4 -dc" in texts[b"\x04\x22\x4d\x18"]
    assert "tcpdump -w" in texts[b"{\n  "]


def test_the_pcap_of_a_patched_tcpdump_is_refused_by_name(tmp_path: Path) -> None:
    original, modified = tmp_path / "original", tmp_path / "modified"
    with PcapWriter(original) as writer:
        writer.write(START, b"x" * 60)
    subprocess.run([require_tool("editcap"), "-F", "modpcap", original, modified], check=True)
    _, container = read(modified.read_bytes())
    assert container.damage is not None
    assert container.damage.unreadable
    assert "modified pcap" in container.damage.text()


def test_what_came_before_damage_counts_and_nothing_after_it() -> None:
    container = Container()
    bad = struct.pack("<IIII", 0, 0, MAX_RECORD + 1, 5)
    assert len(container.feed(pcap() + bytes(16) + bad)) == 1
    assert container.damage is not None
    assert not container.damage.unreadable
    assert container.feed(bytes(32)) == []
    container.end()
    assert container.damage.code == "bad-record-length"


def test_a_capture_without_records_is_no_damage() -> None:
    assert read(pcap())[1].damage is None
    assert read(section())[1].damage is None


# Cuts


@st.composite
def damaged_captures(draw: st.DrawFn) -> bytes:
    """A capture, whole, cut short, or with a few bytes changed."""
    data = bytearray(draw(st.sampled_from([WHOLE_PCAP, WHOLE_PCAPNG])))
    for at, value in draw(st.lists(st.tuples(st.integers(0, len(data) - 1), st.integers(0, 255)), max_size=3)):
        data[at] = value
    return bytes(data[: draw(st.one_of(st.just(len(data)), st.integers(0, len(data))))])


def state(container: Container) -> tuple[object, ...]:
    return (
        container.format,
        container.interfaces,
        container.names,
        container.damage,
        container.records,
        container.offset,
    )


@settings(deadline=None)
@given(damaged_captures(), st.lists(st.integers(0, 400), max_size=6))
def test_cuts_change_nothing(data: bytes, cuts: list[int]) -> None:
    records, container = read(data)
    cut_records, cut_container = read(data, *(cut for cut in cuts if cut <= len(data)))
    assert cut_records == records
    assert state(cut_container) == state(container)


@pytest.mark.parametrize("data", [WHOLE_PCAP, WHOLE_PCAPNG, *SHORT])
def test_a_byte_at_a_time_changes_nothing(data: bytes) -> None:
    records, container = read(data)
    cut_records, cut_container = read(data, *range(1, len(data)))
    assert cut_records == records
    assert state(cut_container) == state(container)


def test_a_record_is_given_as_soon_as_its_last_byte_is_there() -> None:
    container = Container()
    assert container.feed(WHOLE_PCAP[:-1])[-1].data == b"abc"
    assert container.feed(WHOLE_PCAP[-1:])[0].data == b"x" * 40


TIMES = st.integers(0, (1 << 32) * 10**9 - 1)


@settings(deadline=None)
@given(
    st.lists(st.tuples(TIMES, st.binary(max_size=40), st.integers(0, 1), st.integers(0, 5))),
    st.sampled_from(["little", "big"]),
)
def test_what_the_writers_write_is_read_back(rows: list[tuple[int, bytes, int, int]], order: str) -> None:
    plain, blocks = io.BytesIO(), io.BytesIO()
    interfaces = [Interface(1, 0, "eth1", resolution=9), Interface(276, 0, None, resolution=9)]
    pcap_writer = PcapWriter(plain, 276, nanoseconds=True, byte_order=order)  # type: ignore[arg-type]
    pcapng_writer = PcapngWriter(blocks, interfaces, byte_order=order)  # type: ignore[arg-type]
    for time_ns, data, interface, direction in rows:
        pcap_writer.write(time_ns, data, len(data) + 7)
        pcapng_writer.write(time_ns, data, len(data) + 7, interface, direction)
    expected = [Record(time, interface, data, len(data) + 7, way) for time, data, interface, way in rows]
    assert read(blocks.getvalue())[0] == expected
    assert read(blocks.getvalue())[1].interfaces == interfaces
    assert read(plain.getvalue())[0] == [record._replace(interface=0, direction=0) for record in expected]
