"""Packets for the tests of what converts captures: tunnels around frames, cut into fragments, written as seen."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from conftest import require_tool

from vxtool.capture import PcapngWriter, read_capture
from vxtool.capture.container import IN, OUT, Interface
from vxtool.packet import UDP, Ethernet, IPv4, encode

NODE_A, NODE_B = "192.168.10.100", "192.168.20.100"
MACS = ("02:00:00:00:0a:01", "02:00:00:00:0b:01")


class Packet(NamedTuple):
    time_ns: int
    data: bytes
    length: int
    interface: str | None
    direction: int
    comments: tuple[str, ...]


def packets_of(path: Path | str) -> list[Packet]:
    """What a capture holds, its comments too."""
    found = []
    with read_capture_with_comments(path) as capture:
        for number, record in enumerate(capture):
            assert capture.container.comments is not None
            name = capture.container.interfaces[record.interface].name
            comments = tuple(capture.container.comments.pop(number, ()))
            found.append(
                Packet(record.time_ns, record.data, record.length, name, record.direction, comments)
            )
        assert capture.problem is None
    return found


def read_capture_with_comments(path: Path | str):  # type: ignore[no-untyped-def]
    from vxtool.capture import Capture

    return Capture(str(path), keep_comments=True)


def link_type_of(path: Path | str) -> set[int]:
    with read_capture(str(path)) as capture:
        list(capture)
        return {interface.link_type for interface in capture.container.interfaces}


def inner_frame(size: int, identification: int = 7, first: int = 0) -> bytes:
    """A frame of UDP between two pods, with `size` bytes that differ from each other."""
    data = bytes((first + at * 7) & 0xFF for at in range(size))
    return encode(
        Ethernet(*MACS),
        IPv4("172.20.0.107", "172.20.2.4", identification=identification),
        UDP(40_000, 9000, checksum=0),
        payload=data,
    )


def in_fragments(packet: bytes, mtu: int) -> list[bytes]:
    """An Ethernet frame of IPv4 as a router cuts it (RFC 791): each fragment but the last a multiple of 8 bytes."""
    header, payload = packet[14:34], packet[34:]
    step = (mtu - 20) // 8 * 8
    pieces = []
    for at in range(0, len(payload), step):
        more = at + step < len(payload)
        body = payload[at : at + step]
        cut = bytearray(header)
        cut[2:4] = (20 + len(body)).to_bytes(2, "big")
        cut[6:8] = ((0x2000 if more else 0) | at // 8).to_bytes(2, "big")
        pieces.append(packet[:14] + bytes(cut) + body)
    return pieces


def in_fragments6(packet: bytes, mtu: int, identification: int) -> list[bytes]:
    """The same for IPv6, whose fragments have a header of their own (RFC 8200, section 4.5)."""
    header, payload = packet[14:54], packet[54:]
    step = (mtu - 48) // 8 * 8
    pieces = []
    for at in range(0, len(payload), step):
        more = at + step < len(payload)
        body = payload[at : at + step]
        fragment = bytes((header[6], 0)) + (at | more).to_bytes(2, "big") + identification.to_bytes(4, "big")
        cut = header[:4] + (8 + len(body)).to_bytes(2, "big") + b"\x2c" + header[7:]
        pieces.append(packet[:14] + cut + fragment + body)
    return pieces


def write_router(path: Path, seen: Sequence[tuple[int, int, bytes]]) -> str:
    """A capture of a router's eth1 and eth2: (time in µs, 0 came in by eth1 or 1 went out by eth2, bytes)."""
    interfaces = [Interface(1, 0, "eth1"), Interface(1, 0, "eth2")]
    with PcapngWriter(str(path), interfaces) as writer:
        for time, side, data in seen:
            writer.write(1_700_000_000_000_000_000 + time * 1000, data, None, side, OUT if side else IN)
    return str(path)


def tshark(path: Path | str, *fields: str, options: Sequence[str] = ()) -> list[list[str]]:
    """Fields of each packet, as tshark reads them."""
    asked = [word for field in fields for word in ("-e", field)]
    done = subprocess.run(
        [require_tool("tshark"), "-n", "-r", str(path), *options, "-T", "fields", *asked],
        capture_output=True,
        text=True,
        check=True,
    )
    return [line.split("\t") for line in done.stdout.splitlines()]
