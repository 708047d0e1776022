"""The writers: what they write is what tshark, capinfos and dpkt read, and a wrong value is refused in one line."""

from __future__ import annotations

import io
import subprocess
from decimal import Decimal
from pathlib import Path

import dpkt
import pytest
from conftest import require_tool

from vxtool.capture import Capture, Interface, PcapngWriter, PcapWriter, read_capture
from vxtool.errors import PacketError, UsageError

START = 1_754_760_470_282_388_123


@pytest.mark.parametrize("byte_order", ["little", "big"])
@pytest.mark.parametrize("nanoseconds", [False, True])
def test_dpkt_reads_what_the_pcap_writer_writes(byte_order: str, nanoseconds: bool) -> None:
    file = io.BytesIO()
    with PcapWriter(file, 113, snaplen=4, nanoseconds=nanoseconds, byte_order=byte_order) as writer:  # type: ignore[arg-type]
        writer.write(START, b"123456")
        writer.write(START + 1_000, b"12", 90)
    file.seek(0)
    reader = dpkt.pcap.Reader(file)
    unit = 10**9 if nanoseconds else 10**6
    expected = [(START * unit // 10**9, b"1234"), ((START + 1_000) * unit // 10**9, b"12")]
    assert [(round(Decimal(time) * unit), data) for time, data in reader] == expected
    assert (reader.datalink(), reader.snaplen) == (113, 4)


@pytest.mark.parametrize("byte_order", ["little", "big"])
def test_tshark_reads_what_the_pcapng_writer_writes(tmp_path: Path, byte_order: str) -> None:
    path = tmp_path / "two.pcapng"
    with PcapngWriter(path, byte_order=byte_order) as writer:  # type: ignore[arg-type]
        eth1 = writer.add_interface(Interface(1, 0, "eth1", resolution=9))
        eth2 = writer.add_interface(Interface(276, 96, "eth2"))
        writer.write_names({"172.20.0.107": "curl-pod", "fd00::1": "webpod"})
        for direction in range(6):
            interface = eth2 if direction % 2 else eth1
            writer.write(START + direction, b"x" * (96 + direction), 200, interface, direction)
        writer.write_statistics(eth2, START, 41)
    fields = ["time_epoch", "interface_name", "cap_len", "len", "packet_flags_direction"]
    fields += ["packet_flags_reception_type"]
    command = [require_tool("tshark"), "-n", "-r", str(path), "-T", "fields"]
    command += [part for name in fields for part in ("-e", f"frame.{name}")]
    output = subprocess.run(command, capture_output=True, text=True, check=True)
    # Reception: 0 not said, 2 multicast, 3 broadcast, 4 promiscuous.
    assert [line.split("\t") for line in output.stdout.splitlines()] == [
        ["1754760470.282388123", "eth1", "96", "200", "", ""],
        ["1754760470.282388000", "eth2", "96", "200", "0x00000001", "0"],
        ["1754760470.282388125", "eth1", "98", "200", "0x00000002", "0"],
        ["1754760470.282388000", "eth2", "96", "200", "0x00000001", "4"],
        ["1754760470.282388127", "eth1", "100", "200", "0x00000001", "3"],
        ["1754760470.282388000", "eth2", "96", "200", "0x00000001", "2"],
    ]
    told = subprocess.run([require_tool("capinfos"), path], capture_output=True, text=True, check=True).stdout
    assert "Number of resolved IPv4 addresses in file: 1" in told
    assert "Number of resolved IPv6 addresses in file: 1" in told
    assert "Number of stat entries = 1" in told


@pytest.mark.parametrize("byte_order", ["little", "big"])
def test_comments(tmp_path: Path, byte_order: str) -> None:
    """As tshark reads them; and as they are read back, where that is asked for."""
    path = tmp_path / "three.pcapng"
    texts = ["of one", None, "of β, with a direction"]
    with PcapngWriter(path, [Interface(1, 0)], byte_order=byte_order) as writer:  # type: ignore[arg-type]
        for direction, text in enumerate(texts):
            writer.write(START, b"123456", direction=direction, comment=text)
        with pytest.raises(PacketError, match="bytes of a comment is 65536"):
            writer.write(START, b"123456", comment="x" * 65536)
    command = [require_tool("tshark"), "-r", str(path), "-T", "fields", "-e", "frame.comment"]
    read = subprocess.run(command, capture_output=True, check=True).stdout.decode()
    assert read.splitlines() == [text or "" for text in texts]
    with Capture(path, keep_comments=True) as capture:
        assert [record.direction for record in capture] == [0, 1, 2]
        assert capture.container.comments == {0: ["of one"], 2: ["of β, with a direction"]}
    with read_capture(path) as capture:
        assert len(list(capture)) == 3
        assert capture.container.comments is None


def test_drops_and_names_are_read_back() -> None:
    file = io.BytesIO()
    writer = PcapngWriter(file, [Interface(1, 0)])
    writer.write_statistics(0, START, 41)
    writer.write_names({"10.0.0.1": "router"})
    writer.write_names({})
    file.seek(0)
    capture = read_capture(file)
    assert list(capture) == []
    assert capture.container.interfaces[0].dropped == 41
    assert capture.container.names == {"10.0.0.1": "router"}
    assert capture.problem is None


def test_values_without_room_in_the_format_are_refused() -> None:
    file = io.BytesIO()
    writer = PcapWriter(file)
    blocks = PcapngWriter(file, [Interface(1, 0)])
    size = len(file.getvalue())
    with pytest.raises(PacketError, match="time of a pcap record in seconds is -1"):
        writer.write(-1, b"")
    with pytest.raises(PacketError, match="seconds is 4294967296"):
        writer.write((1 << 32) * 10**9, b"")
    with pytest.raises(PacketError, match="interface of a pcap record is 1"):
        writer.write(0, b"", interface=1)
    with pytest.raises(PacketError, match="length of a record is -1"):
        writer.write(0, b"", -1)
    with pytest.raises(PacketError, match="captured bytes is 16777217"):
        blocks.write(0, bytes((1 << 24) + 1))
    with pytest.raises(PacketError, match="interface 1 is not described"):
        blocks.write(0, b"", interface=1)
    with pytest.raises(PacketError, match="direction of a record is 6"):
        blocks.write(0, b"", direction=6)
    with pytest.raises(PacketError, match="expected an IP address"):
        blocks.write_names({"router": "10.0.0.1"})
    assert len(file.getvalue()) == size
    with pytest.raises(PacketError, match="link type is 65536"):
        PcapWriter(io.BytesIO(), 1 << 16)


def test_a_file_that_cannot_be_made_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot be written: No such file or directory: name another file$"):
        PcapWriter(tmp_path / "missing" / "out.pcap")


def test_a_full_disk_is_told_in_one_line() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    writer = PcapWriter("/dev/full")
    with pytest.raises(UsageError, match=r"^/dev/full: writing failed: No space left on device"):
        writer.close()
