"""The columns below applications: as tshark has them, and the C's equal to the plain twin's."""

from __future__ import annotations

import os
import random
import re
import subprocess
from itertools import groupby
from pathlib import Path

import pytest
from conftest import capture_files, require_tool
from summary.columns import Frame, build_native, known_frames, native_lines, plain_lines, to_pcap

from vxtool.listing.echoes import Echoes
from vxtool.listing.fragments import KEPT_BYTES, MOST_RANGES, Fragments
from vxtool.listing.info import info_text, notes_text
from vxtool.listing.seen import TELLS_FRAGMENT, TELLS_UDP, Seen, read, segment_of

ROUNDS = int(os.environ.get("VXTOOL_EXAMPLES", "20"))
FRAMES = known_frames()
GROUPS = {name: list(group) for name, group in groupby(FRAMES, key=lambda frame: frame.name.split()[0])}
LINK_TYPES = [1, 1, 1, 101, 113, 276, 0, 108, 228, 229, 12, 147]


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_native(tmp_path_factory.mktemp("native"))


def _capture(frames: list[Frame]) -> bytes:
    return to_pcap([(frame.data, frame.length) for frame in frames], frames[0].link_type)


@pytest.mark.parametrize("group", GROUPS)
def test_columns_are_what_tshark_says(group: str) -> None:
    frames = GROUPS[group]
    # A reply's request is told by its record: of those, all are in a test of their own.
    found = [re.sub(r" \(request in \d+\)$", "", line) for line in plain_lines(_capture(frames))]
    for frame, line in zip(frames, found, strict=True):
        _, source, destination, protocol, length, info = line.split("\t")
        said = frame.source, frame.destination, frame.protocol, str(frame.length), frame.info
        assert (source, destination, protocol, length, info) == said, frame.name


@pytest.mark.parametrize("group", GROUPS)
def test_the_c_says_the_same_of_known_frames(group: str, native: Path, tmp_path: Path) -> None:
    _assert_equal(native, tmp_path, _capture(GROUPS[group]))


@pytest.mark.parametrize("path", capture_files(), ids=lambda path: path.name)
def test_the_c_says_the_same_of_captures(path: Path, native: Path) -> None:
    assert native_lines(native, path) == plain_lines(path.read_bytes())


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_the_c_says_the_same_of_broken_frames(seed: int, native: Path, tmp_path: Path) -> None:
    chance = random.Random(seed if "VXTOOL_EXAMPLES" not in os.environ else None)
    link_type = chance.choice(LINK_TYPES)
    frames = []
    for _ in range(400):
        frame = chance.choice(FRAMES)
        data = bytearray(frame.data)
        for _ in range(chance.choice([0, 1, 1, 2, 6])):
            if data:
                at = chance.randrange(min(len(data), chance.choice([20, 60, 1500])))
                data[at] = chance.choice([0, 1, 4, 6, 8, 17, 58, 255, chance.randrange(256)])
        captured = chance.choice([len(data), len(data), chance.randrange(len(data) + 1)])
        length = chance.choice([frame.length, captured, captured + chance.randrange(100_000)])
        frames.append((bytes(data[:captured]), max(length, captured)))
    _assert_equal(native, tmp_path, to_pcap(frames, link_type))


def _assert_equal(native: Path, directory: Path, capture: bytes) -> None:
    path = directory / "frames.pcap"
    path.write_bytes(capture)
    assert native_lines(native, path) == plain_lines(capture)


def _without_notes(info: str) -> str:
    """Without what stands in brackets, but for TCP's flags, and without windows and requests."""
    return re.sub(r" Win=\d+|\[(?![A-Z]{2,3}[],]|<None>)[^]]*\]|\(request in \d+\)", "", info).strip()


@pytest.mark.parametrize("path", capture_files(), ids=lambda path: path.name)
def test_captures_are_as_tshark_lists_them(path: Path) -> None:
    """Where tshark sees no application: all is equal but notes in brackets, and what a stream tells (windows)."""
    fields = ["Source", "Destination", "Protocol", "Length", "Info"]
    command = [require_tool("tshark"), "-r", path, "-d", "udp.port==8472,vxlan", "-T", "fields"]
    for option in ("relative_sequence_numbers", "analyze_sequence_numbers"):
        command += ["-o", f"tcp.{option}:FALSE"]
    for field in fields:
        command += ["-e", f"_ws.col.{field}"]
    said = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=True).stdout
    found = plain_lines(path.read_bytes())
    compared = 0
    for line, other in zip(found, said.splitlines(), strict=True):
        columns, others = line.split("\t")[1:], other.split("\t")
        assert (columns[0], columns[1], columns[3]) == (others[0], others[1], others[3])
        if others[2] in ("HTTP", "SSH", "RTCP") or "reassembled PDU" in others[4]:
            continue
        # A reply that was captured at several places: which request it is given to is the lister's to say.
        assert (columns[2], _without_notes(columns[4])) == (others[2], _without_notes(others[4])), line
        compared += 1
    assert compared > len(found) / 2


# Notes and numbers of a stream


class _Note:
    sequence, acknowledgement, window = 5, 100, 64128
    duplicate_number, duplicate_of = 2, 17

    def __init__(self, notes: int) -> None:
        self.notes = notes


def _segment() -> Seen:
    options = "0101050a0000044c000004b0"  # SACK of 1100 to 1200
    frame = (
        "0200000000020200000000010800450000341234000040065486 0a000001 0a000002"
        "045708ae000003e8000007d0801001f400000000" + options
    )
    return read(bytes.fromhex(frame.replace(" ", "")), 66, 1)


def test_numbers_of_a_stream_are_written() -> None:
    # The segment acknowledges 2000, which is 100 of the stream: so blocks are counted from 1900.
    assert info_text(_segment(), _Note(0)) == (
        "1111 → 2222 [ACK] Seq=5 Ack=100 Win=64128 Len=0 SLE=4294966496 SRE=4294966596"
    )


@pytest.mark.parametrize(
    ("notes", "text"),
    [
        (0, ""),
        (1, "[TCP Retransmission] "),
        (1 | 2, "[TCP Fast Retransmission] "),
        (64, "[TCP Dup ACK 17#2] "),
        (1 | 2048, "[TCP Window Full] [TCP Retransmission] "),
        (16, "[TCP Previous segment not captured] "),
    ],
)
def test_notes_are_written_as_wireshark_does(notes: int, text: str) -> None:
    assert notes_text(_Note(notes)) == text


def test_what_a_stream_wants_of_a_segment() -> None:
    segment = segment_of(_segment())
    assert segment is not None
    assert (segment.sequence, segment.acknowledgement, segment.window, segment.flags) == (1000, 2000, 500, 16)
    assert segment.source == bytes([10, 0, 0, 1])
    assert len(segment.options) == 12


# Fragments: header fields by hand


def _fragment(identification: int, offset: int, size: int, more: bool, destination: int = 2) -> Seen:
    header = bytes([0x45, 0]) + (20 + size).to_bytes(2, "big") + identification.to_bytes(2, "big")
    header += ((0x2000 if more else 0) | offset // 8).to_bytes(2, "big") + bytes([64, 17, 0, 0])
    header += bytes([10, 0, 0, 1, 10, 0, 0, destination])
    udp = bytes([0, 1, 0x27, 0x0F, 0xFF, 0, 0, 0]) if offset == 0 else b""
    data = header + udp + bytes(size - len(udp))
    return read(data, len(data), 228)


def test_the_last_fragment_to_come_tells_of_the_datagram() -> None:
    fragments = Fragments(16)
    first = _fragment(1, 0, 800, True)
    assert fragments.take(first, 0) is first
    assert first.tells == TELLS_FRAGMENT
    assert fragments.take(_fragment(1, 1600, 800, False), 0).tells == TELLS_FRAGMENT
    whole = fragments.take(_fragment(1, 800, 800, True), 0)
    assert whole.tells == TELLS_UDP
    assert (whole.source_port, whole.payload_length, whole.length) == (1, 2392, 820)


def test_more_is_not_kept_than_is_promised() -> None:
    fragments = Fragments(16)
    for at in range(0, 40_000, 8000):
        whole = fragments.take(_fragment(1, at, 8000, at < 32_000), 0)
    assert whole.payload_length == 39_992
    assert len(whole.payload or b"") == KEPT_BYTES - 8


@pytest.mark.parametrize("other", ["identification", "destination", "stage"])
def test_fragments_of_others_do_not_complete_a_datagram(other: str) -> None:
    fragments = Fragments(16)
    fragments.take(_fragment(1, 0, 800, True), 0)
    identification, destination = (2 if other == "identification" else 1), (3 if other == "destination" else 2)
    last = _fragment(identification, 800, 8, False, destination)
    assert fragments.take(last, 1 if other == "stage" else 0).tells == TELLS_FRAGMENT


def test_the_first_that_was_begun_gives_way() -> None:
    fragments = Fragments(16)
    for identification in range(17):
        fragments.take(_fragment(identification, 0, 800, True), 0)
    assert fragments.forgotten == 1
    assert fragments.take(_fragment(1, 800, 8, False), 0).tells == TELLS_UDP
    assert fragments.take(_fragment(0, 800, 8, False), 0).tells == TELLS_FRAGMENT


def test_a_datagram_in_too_many_pieces_is_given_up() -> None:
    fragments = Fragments(16)
    for piece in range(MOST_RANGES + 1):
        fragments.take(_fragment(1, 16 * piece, 8, True), 0)
    assert fragments.forgotten == 1


# Pings


def _echo(reply: bool, sequence: int, host: int = 2) -> Seen:
    addresses = bytes([10, 0, 0, 1, 10, 0, 0, host])
    header = bytes([0x45, 0, 0, 28, 0, 0, 0, 0, 64, 1, 0, 0])
    header += addresses[4:] + addresses[:4] if reply else addresses
    return read(header + bytes([0 if reply else 8, 0, 0, 0, 1, 2]) + sequence.to_bytes(2, "big"), 28, 228)


def test_a_reply_is_given_to_its_request_once() -> None:
    echoes = Echoes(16)
    assert echoes.take(_echo(False, 1), 10) == 0
    assert echoes.take(_echo(False, 2), 11) == 0
    assert echoes.take(_echo(True, 1, host=3), 12) == 0
    assert echoes.take(_echo(True, 1), 13) == 10
    assert echoes.take(_echo(True, 1), 14) == 0
    assert echoes.take(_echo(False, 2), 15) == 0
    assert echoes.take(_echo(True, 2), 16) == 15


def test_the_first_request_gives_way() -> None:
    echoes = Echoes(16)
    for sequence in range(17):
        echoes.take(_echo(False, sequence), 1 + sequence)
    assert echoes.take(_echo(True, 0), 99) == 0
    assert echoes.take(_echo(True, 1), 99) == 2
