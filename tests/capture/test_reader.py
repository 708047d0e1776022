"""Reading whole captures, and merging several by time."""

from __future__ import annotations

import gzip
import io
import subprocess
from pathlib import Path

import pytest
from conftest import require_tool
from hypothesis import given, settings
from hypothesis import strategies as st

from vxtool.capture import PcapWriter, Record, merge_by_time, read_capture
from vxtool.errors import InputError


def capture_of(*times: int) -> bytes:
    file = io.BytesIO()
    writer = PcapWriter(file, nanoseconds=True)
    for time_ns in times:
        writer.write(time_ns, b"%d" % time_ns)
    return file.getvalue()


def test_a_capture_is_read_from_a_path_compressed_or_not(tmp_path: Path) -> None:
    plain, packed = tmp_path / "plain", tmp_path / "packed"
    plain.write_bytes(capture_of(1, 2, 3))
    packed.write_bytes(gzip.compress(capture_of(1, 2, 3)))
    for path in (plain, packed):
        capture = read_capture(path)
        assert [record.time_ns for record in capture] == [1, 2, 3]
        assert capture.problem is None
        assert capture.container.format == "pcap-ns"


def test_a_capture_that_is_cut_short_is_read_up_to_there(tmp_path: Path) -> None:
    path = tmp_path / "cut.pcap"
    path.write_bytes(capture_of(1, 2, 3)[:-1])
    capture = read_capture(path)
    assert [record.time_ns for record in capture] == [1, 2]
    expected = "cut short within a record: 16 bytes of at least 17 are there"
    assert capture.problem == f"{path}: {expected} (byte 58, after record 2); what came before counts"


def test_a_cut_gzip_stream_is_told_of_rather_than_the_cut_record_in_it() -> None:
    capture = read_capture(io.BytesIO(gzip.compress(capture_of(*range(1000)))[:-500]))
    assert list(capture)
    assert capture.problem is not None
    assert "the gzip stream is cut short" in capture.problem


@pytest.mark.parametrize(
    ("data", "told"),
    [(b"", "empty"), (b"no capture", "it begins with 'no c'"), (capture_of()[:9], "9 bytes, expected at least 24")],
)
def test_what_is_no_capture_is_told_in_one_line(tmp_path: Path, data: bytes, told: str) -> None:
    path = tmp_path / "x.pcap"
    path.write_bytes(data)
    with pytest.raises(InputError) as raised:
        list(read_capture(path))
    assert told in str(raised.value)
    assert str(raised.value).startswith(str(path))
    assert "\n" not in str(raised.value)


def test_a_capture_can_be_left_early() -> None:
    with read_capture(io.BytesIO(capture_of(1, 2))) as capture:
        assert next(capture).time_ns == 1
    assert [record.time_ns for record in capture] == [2]


def test_equal_times_go_in_order_of_input_and_order_within_an_input_is_kept() -> None:
    merged = merge_by_time([iter("bBa"), iter("ab")], time_of=lambda letter: ord(letter.lower()))
    assert list(merged) == [(1, "a"), (0, "b"), (0, "B"), (0, "a"), (1, "b")]


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(0, 9), max_size=6), max_size=4))
def test_next_is_always_the_input_whose_next_record_is_earliest(times: list[list[int]]) -> None:
    inputs = [[Record(time, 0, b"", 0, 0) for time in input_times] for input_times in times]
    merged = [(index, record.time_ns) for index, record in merge_by_time(inputs)]
    left = [list(input_times) for input_times in times]
    for index, time in merged:
        assert (time, index) == min((heads[0], number) for number, heads in enumerate(left) if heads)
        assert left[index].pop(0) == time
    assert not any(left)


def test_merging_gives_the_order_that_mergecap_gives(tmp_path: Path) -> None:
    paths = []
    for index, times in enumerate([(5, 10, 20, 21), (1, 7, 30), (6, 22)]):
        paths.append(tmp_path / f"{index}.pcap")
        paths[-1].write_bytes(capture_of(*(10**18 + time for time in times)))
    merged = tmp_path / "merged.pcap"
    subprocess.run([require_tool("mergecap"), "-F", "nsecpcap", "-w", merged, *paths], check=True)
    ours = [record for _, record in merge_by_time([read_capture(path) for path in paths])]
    assert ours == list(read_capture(merged))
