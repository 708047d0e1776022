"""Frames into a tunnel: what `decap` took out goes back by its comments, anything else by what is told."""

from __future__ import annotations

import os
from collections.abc import Mapping
from ipaddress import ip_address
from typing import BinaryIO, NamedTuple

from vxtool.capture.container import Interface, Record
from vxtool.capture.reader import Capture
from vxtool.capture.writer import PcapngWriter
from vxtool.convert.comments import read_comment
from vxtool.engine.frame import (
    EN10MB,
    ETHERTYPE_IPV4,
    ETHERTYPE_IPV6,
    ETHERTYPE_TEB,
    GPE_NEXT,
    GPE_WITH_NEXT,
    IPV4_RAW,
    IPV6_RAW,
    LINUX_SLL,
    LINUX_SLL2,
    LOOP,
    NULL,
    RAW,
)
from vxtool.errors import PacketError, UsageError
from vxtool.packet import Ethernet, IPv4, IPv6, encode, flow_port, vxlan_packet
from vxtool.packet.udp import UDP

DEFAULT_PORTS = {"vxlan": 8472, "geneve": 6081, "vxlan-gpe": 4790}
TUNNELS = tuple(DEFAULT_PORTS)

# Of the frames that are made for packets without an Ethernet header, and of the outer ones: locally administered.
_SOURCE_MAC, _DESTINATION_MAC = "02:00:00:00:00:01", "02:00:00:00:00:02"
_MADE = bytes.fromhex("020000000002020000000001")
_NANOSECONDS = 9
_LOOPBACKS = (NULL, LOOP)
_GPE_OF = {ethertype: number for number, ethertype in GPE_NEXT.items()}
_GENEVE_OPTIONS = 0x3F
_MODULUS = 0xFFFF
_LONGEST_RECORD = 0xFFFFFFFF  # that a capture file can tell


class Outside(NamedTuple):
    """What is to be around the frames; None of what their comments are to tell."""

    source: str | None = None
    destination: str | None = None
    source_port: int | None = None  # told by neither, it follows from the inner flow (RFC 7348, section 5)
    destination_port: int | None = None
    vni: int | None = None
    tunnel: str | None = None  # one of TUNNELS


class Encapsulated(NamedTuple):
    """What was written."""

    packets: int
    from_comments: int  # that had a comment to go by


class _Unfit(Exception):
    """Why a record cannot be wrapped."""


def encapsulate(
    path: str | os.PathLike[str] | BinaryIO, target: str | BinaryIO, outside: Outside
) -> tuple[Encapsulated, str | None]:
    """Wrap each record of a capture; what was done, and what is wrong with the input where it is damaged.

    Raises UsageError for a record that cannot be wrapped, and names it; what stood where the output goes stays.
    """
    written = commented = 0
    with Capture(path, keep_comments=True) as capture:
        comments = capture.container.comments
        assert comments is not None
        described = capture.container.interfaces
        first = next(capture, None)  # before the output is made: there may be nothing to read
        with PcapngWriter(target) as writer:
            names: dict[int, int] = {}
            record = first
            while record is not None:
                values = read_comment(comments.pop(written, ()))
                commented += bool(values)
                interface = described[record.interface]
                if record.interface not in names:
                    names[record.interface] = writer.add_interface(
                        Interface(EN10MB, 0, interface.name, resolution=_NANOSECONDS)
                    )
                try:
                    data, length = _wrap(record, interface.link_type, values, outside)
                except (_Unfit, PacketError) as error:
                    raise UsageError(f"{capture.source.path}: record {written + 1}: {error}") from None
                writer.write(record.time_ns, data, length, names[record.interface], record.direction)
                written += 1
                record = next(capture, None)
    return Encapsulated(written, commented), capture.problem


def _wrap(record: Record, link_type: int, values: Mapping[str, str], outside: Outside) -> tuple[bytes, int]:
    """The bytes that were captured of the wrapped record, and its length on the wire."""
    tunnel = outside.tunnel or values.get("tunnel", "vxlan")
    if tunnel not in TUNNELS:
        raise _Unfit(f"tunnel={tunnel} in its comment, expected one of {', '.join(TUNNELS)}")
    source = _address("source", outside.source, values)
    destination = _address("destination", outside.destination, values)
    vni = _number("vni", outside.vni, values, 0xFFFFFF)
    if source is None or destination is None or vni is None:
        missing = "--vni" if source is not None and destination is not None else "--outer and --vni"
        raise _Unfit(f"no comment of vxtool's tells what was around it: give {missing}")
    if (":" in source) != (":" in destination):
        raise _Unfit(f"source {source} and destination {destination} are not of one family: give --outer")
    port = _number("destination_port", outside.destination_port, values, 0xFFFF)
    # Another tunnel than before has another port, too.
    if port is None or (outside.destination_port is None and tunnel != values.get("tunnel", tunnel)):
        port = DEFAULT_PORTS[tunnel]
    source_port = _number("source_port", outside.source_port, values, 0xFFFF)
    header = _header(tunnel, vni, values)
    inner, inner_length = _inner(record, link_type, _ethertype(tunnel, header))
    left_out = _alike(inner_length - len(inner))
    whole = inner + bytes(left_out)
    if tunnel == "vxlan" and header is None:
        data = vxlan_packet(
            whole,
            source=source,
            destination=destination,
            vni=vni,
            source_port=source_port,
            destination_port=port,
        )
    else:
        header = header if header is not None else _usual_header(tunnel, vni)
        ip = IPv6(source, destination) if ":" in source else IPv4(source, destination)
        udp = UDP(
            flow_port(whole) if source_port is None else source_port,
            port,
            checksum=None if ":" in source else 0,
        )
        data = encode(Ethernet(_SOURCE_MAC, _DESTINATION_MAC), ip, udp, payload=header + whole)
    added = len(data) - len(whole)
    return data[: len(data) - left_out], min(inner_length + added, _LONGEST_RECORD)


def _alike(missing: int) -> int:
    """How many zeros stand for the bytes that the capture did not keep, which count in all lengths and sums.

    A record may claim gigabytes of them. But lengths above 65,535 are written as 0 (BIG TCP), and checksums are
    sums modulo 65,535: with so many more or less, nothing else is written.
    """
    return missing if missing <= 2 * _MODULUS else _MODULUS + missing % _MODULUS


def _address(key: str, told: str | None, values: Mapping[str, str]) -> str | None:
    text = told if told is not None else values.get(key)
    if text is None:
        return None
    try:
        return str(ip_address(text))
    except ValueError:
        raise _Unfit(f"{key}={text}, expected an IP address") from None


def _number(key: str, told: int | None, values: Mapping[str, str], most: int) -> int | None:
    text = values.get(key)
    if told is not None or text is None:
        return told
    if not (text.isascii() and text.isdigit() and len(text) <= 8 and int(text) <= most):
        raise _Unfit(f"{key}={text} in its comment, expected 0 to {most}")
    return int(text)


def _header(tunnel: str, vni: int, values: Mapping[str, str]) -> bytes | None:
    """The tunnel's header that the comment keeps, with this VNI; None where it keeps none, or of another tunnel."""
    text = values.get("header")
    if text is None or tunnel != values.get("tunnel"):
        return None
    try:
        header = bytes.fromhex(text)
    except ValueError:
        header = b""
    size = 8 + (header[0] & _GENEVE_OPTIONS) * 4 if header and tunnel == "geneve" else 8
    if len(header) != size:
        raise _Unfit(f"header={text} in its comment, expected the bytes of a header in hexadecimal")
    return header[:4] + vni.to_bytes(3, "big") + header[7:]


def _usual_header(tunnel: str, vni: int) -> bytes:
    first = {
        "vxlan": b"\x08\0\0\0",
        "vxlan-gpe": bytes((0x08 | GPE_WITH_NEXT, 0, 0, _GPE_OF[ETHERTYPE_TEB])),
        "geneve": b"\0\0" + ETHERTYPE_TEB.to_bytes(2, "big"),
    }
    return first[tunnel] + vni.to_bytes(3, "big") + b"\0"


def _ethertype(tunnel: str, header: bytes | None) -> int:
    """What the tunnel holds, going by its header."""
    if header is not None and tunnel == "geneve":
        return int.from_bytes(header[2:4], "big")
    if header is not None and tunnel == "vxlan-gpe" and header[0] & GPE_WITH_NEXT:
        return GPE_NEXT.get(header[3], 0)
    return ETHERTYPE_TEB


def _inner(record: Record, link_type: int, ethertype: int) -> tuple[bytes, int]:
    """What goes into the tunnel: a frame, or where the header says so an IP packet; and its length on the wire."""
    data, length = record.data, max(record.length, len(record.data))
    if link_type == EN10MB:
        if ethertype != ETHERTYPE_TEB:
            raise _Unfit("it is a frame, and the header in its comment is one around IP packets")
        return data, length
    sizes = {LINUX_SLL: 16, LINUX_SLL2: 20, NULL: 4, LOOP: 4, IPV4_RAW: 0, IPV6_RAW: 0, **dict.fromkeys(RAW, 0)}
    size = sizes.get(link_type)
    if size is None or len(data) <= size:
        raise _Unfit(f"link type {link_type}, {len(data)} bytes: expected Ethernet, Linux cooked, raw or loopback")
    packet, length = data[size:], length - size
    if link_type == LINUX_SLL:
        macs, inside = _MADE[:6] + data[6:12], data[14:16]
    elif link_type == LINUX_SLL2:
        macs, inside = _MADE[:6] + data[12:18], data[0:2]
    else:
        macs, inside = _MADE, (ETHERTYPE_IPV6 if packet[0] >> 4 == 6 else ETHERTYPE_IPV4).to_bytes(2, "big")
    if ethertype != ETHERTYPE_TEB:
        if inside != ethertype.to_bytes(2, "big"):
            raise _Unfit("the header in its comment is one around packets of another kind")
        return packet, length
    return macs + inside + packet, length + 14
