"""What vxtool reads from the sample captures equals what software that others wrote reads from them.

Every record of every capture: times, lengths and bytes as dpkt and scapy read the files; addresses, ports, VNI
and lengths of each layer as tshark (through pyshark) and scapy dissect the packets.
"""

from __future__ import annotations

import ipaddress
import logging
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import capture_files, require_module, require_tool

import vxtool
from vxtool.capture import Record, read_capture
from vxtool.packet import (
    ARP,
    ICMP,
    SLL,
    SLL2,
    TCP,
    UDP,
    VXLAN,
    Ethernet,
    ICMPv6,
    IPv4,
    IPv6,
    Packet,
    decoder,
)

every_capture = pytest.mark.parametrize("path", capture_files(), ids=lambda path: path.name)

ETHERNET, LINUX_SLL, LINUX_SLL2 = 1, 113, 276
# What is told of one packet: for each protocol its headers, outermost first, as tuples of comparable values.
Told = dict[str, list[tuple[Any, ...]]]


def records_of(path: Path) -> Iterator[tuple[Record, int]]:
    """The records of a capture, each with its link type."""
    with read_capture(path) as capture:
        for record in capture:
            yield record, capture.container.interfaces[record.interface].link_type
        assert capture.problem is None


def decoded(record: Record, link_type: int) -> Packet:
    packet: Packet = vxtool.decode(record.data, link_type, record.length)
    # Without the C extension these are one; with it, the two codecs are held to each other on real packets.
    assert decoder.decode(record.data, link_type, record.length) == packet
    return packet


# Files, as dpkt and scapy read them


@every_capture
def test_records_equal_those_of_dpkt(path: Path) -> None:
    dpkt = pytest.importorskip("dpkt")
    with path.open("rb") as file:
        theirs = list(dpkt.pcap.UniversalReader(file))
    ours = [record for record, _ in records_of(path)]
    assert [record.data for record in ours] == [data for _, data in theirs]
    for record, (time, _) in zip(ours, theirs, strict=True):
        # dpkt tells the time as a float, which today is exact to a quarter of a microsecond.
        assert abs(record.time_ns - round(time * 10**9)) < 1_000


@every_capture
def test_lengths_equal_those_of_scapy(path: Path) -> None:
    require_module("scapy")
    logging.getLogger("scapy").setLevel(logging.ERROR)
    from scapy.utils import RawPcapReader

    with RawPcapReader(str(path)) as reader:
        theirs = [(len(data), metadata.wirelen) for data, metadata in reader]
    assert [(len(record.data), record.length) for record, _ in records_of(path)] == theirs


# Packets, as scapy dissects them


def told_to_scapy(packet: Packet) -> Told:
    """Our layers in the words of scapy."""
    told: Told = defaultdict(list)
    for layer in packet.layers:
        match layer:
            case Ethernet():
                told["Ether"].append((layer.source, layer.destination, layer.ethertype))
            case SLL():
                told["SLL"].append((layer.packet_type, layer.ethertype))
            case SLL2():
                told["SLL2"].append((layer.packet_type, layer.ethertype, layer.interface))
            case IPv4():
                told["IP"].append(
                    (layer.source, layer.destination, layer.total_length, layer.identification, layer.ttl,
                     layer.protocol, layer.flags, layer.fragment_offset)
                )  # fmt: skip
            case IPv6():
                told["IPv6"].append((layer.source, layer.destination, layer.payload_length, layer.hop_limit))
            case UDP():
                told["UDP"].append((layer.source_port, layer.destination_port, layer.length))
            case TCP():
                told["TCP"].append(
                    (layer.source_port, layer.destination_port, layer.sequence, layer.acknowledgement)
                )
            case VXLAN():
                told["VXLAN"].append((layer.vni, layer.flags))
            case ICMP():
                told["ICMP"].append((layer.type, layer.code))
            case ARP():
                told["ARP"].append((layer.operation, layer.sender_ip, layer.target_ip))
    return dict(told)


def told_by_scapy(packet: Any, scapy: Any) -> Told:
    """The layers that scapy finds. What an ICMP error quotes has classes of its own, and is left out."""
    told: Told = defaultdict(list)
    layer = packet
    while layer:
        kind = type(layer)
        if kind is scapy.Ether:
            told["Ether"].append((layer.src, layer.dst, layer.type))
        elif kind is scapy.CookedLinux:
            told["SLL"].append((layer.pkttype, layer.proto))
        elif kind is scapy.CookedLinuxV2:
            told["SLL2"].append((layer.pkttype, layer.proto, layer.ifindex))
        elif kind is scapy.IP:
            told["IP"].append(
                (layer.src, layer.dst, layer.len, layer.id, layer.ttl,
                 layer.proto, int(layer.flags), layer.frag * 8)
            )  # fmt: skip
        elif kind is scapy.IPv6:
            told["IPv6"].append((layer.src, layer.dst, layer.plen, layer.hlim))
        elif kind is scapy.UDP:
            told["UDP"].append((layer.sport, layer.dport, layer.len))
        elif kind is scapy.TCP:
            told["TCP"].append((layer.sport, layer.dport, layer.seq, layer.ack))
        elif kind is scapy.VXLAN:
            told["VXLAN"].append((layer.vni, int(layer.flags)))
        elif kind is scapy.ICMP:
            told["ICMP"].append((layer.type, layer.code))
        elif kind is scapy.ARP:
            told["ARP"].append((layer.op, layer.psrc, layer.pdst))
        elif kind in (scapy.IPerror, scapy.IPerror6):
            break
        layer = layer.payload
    return dict(told)


@every_capture
def test_every_packet_is_what_scapy_sees(path: Path) -> None:
    require_module("scapy")
    logging.getLogger("scapy").setLevel(logging.ERROR)
    from scapy import all as scapy_all
    from scapy.layers.vxlan import VXLAN as ScapyVXLAN

    scapy: Any = scapy_all
    scapy.bind_layers(scapy.UDP, ScapyVXLAN, dport=8472)
    classes = {ETHERNET: scapy.Ether, LINUX_SLL: scapy.CookedLinux, LINUX_SLL2: scapy.CookedLinuxV2}
    for count, (record, link_type) in enumerate(records_of(path), 1):
        theirs = told_by_scapy(classes[link_type](record.data), scapy)
        assert told_to_scapy(decoded(record, link_type)) == theirs, f"record {count}"


# Packets, as tshark dissects them


def told_to_tshark(packet: Packet) -> Told:
    """Our layers in the words of tshark."""
    told: Told = defaultdict(list)
    for layer in packet.layers:
        match layer:
            case Ethernet():
                told["eth"].append((layer.source, layer.destination))
            case SLL():
                told["sll"].append((layer.packet_type, None))
            case SLL2():
                told["sll"].append((layer.packet_type, layer.interface))
            case IPv4():
                told["ip"].append(
                    (layer.source, layer.destination, layer.total_length, layer.identification, layer.ttl,
                     layer.protocol, layer.checksum)
                )  # fmt: skip
            case IPv6():
                told["ipv6"].append(
                    (address(layer.source), address(layer.destination), layer.payload_length, layer.hop_limit)
                )
            case UDP():
                told["udp"].append((layer.source_port, layer.destination_port, layer.length))
            case TCP():
                told["tcp"].append(
                    (layer.source_port, layer.destination_port, layer.sequence, layer.acknowledgement, layer.flags)
                )
            case VXLAN():
                told["vxlan"].append((layer.vni,))
            case ICMP():
                told["icmp"].append((layer.type, layer.code))
            case ICMPv6():
                told["icmpv6"].append((layer.type, layer.code))
            case ARP():
                told["arp"].append((layer.operation, layer.sender_ip, layer.target_ip))
    return dict(told)


def address(text: str) -> ipaddress.IPv6Address:
    return ipaddress.IPv6Address(text)


def number(text: str) -> int:
    return int(text, 0)


# For each of tshark's protocols: its fields, each with what makes its text comparable.
FIELDS: dict[str, list[tuple[str, Any]]] = {
    "eth": [("src", str), ("dst", str)],
    "sll": [("pkttype", number), ("ifindex", number)],
    "ip": [
        ("src", str), ("dst", str), ("len", number), ("id", number), ("ttl", number), ("proto", number),
        ("checksum", number),
    ],
    "ipv6": [("src", address), ("dst", address), ("plen", number), ("hlim", number)],
    "udp": [("srcport", number), ("dstport", number), ("length", number)],
    "tcp": [("srcport", number), ("dstport", number), ("seq_raw", number), ("ack_raw", number), ("flags", number)],
    "vxlan": [("vni", number)],
    "icmp": [("type", number), ("code", number)],
    "icmpv6": [("type", number), ("code", number)],
    "arp": [("opcode", number), ("src.proto_ipv4", str), ("dst.proto_ipv4", str)],
}  # fmt: skip


def told_by_tshark(packet: Any) -> Told:
    """The layers that tshark finds, without those that an ICMP error quotes behind its header."""
    protocols = packet.frame_info.get_field("protocols").split(":")
    ends = [at for at, name in enumerate(protocols) if name in ("icmp", "icmpv6")]
    if ends:
        protocols = protocols[: ends[0] + 1]
    layers = {layer.layer_name: [layer, *layer.duplicate_layers] for layer in packet.layers}
    told: Told = {}
    for name in dict.fromkeys(protocols):
        if name in FIELDS:
            told[name] = [values(layer, name) for layer in layers[name][: protocols.count(name)]]
    return told


def values(layer: Any, name: str) -> tuple[Any, ...]:
    found = []
    for field, comparable in FIELDS[name]:
        try:
            found.append(comparable(str(layer.get_field(field))))
        except AttributeError:  # SLL version 1 has no interface
            found.append(None)
    return tuple(found)


@every_capture
def test_every_packet_is_what_tshark_sees(path: Path) -> None:
    tshark = require_tool("tshark")
    require_module("pyshark")
    import pyshark

    # Reassembly would show the inside of a fragmented packet in its last fragment; vxtool tells it at the first.
    seen = pyshark.FileCapture(
        str(path),
        decode_as={"udp.port==8472": "vxlan"},
        override_prefs={"ip.defragment": "FALSE", "ipv6.defragment": "FALSE", "tcp.desegment_tcp_streams": "FALSE"},
        keep_packets=False,
        use_json=True,
        tshark_path=tshark,
    )
    try:
        for count, ((record, link_type), theirs) in enumerate(zip(records_of(path), seen, strict=True), 1):
            where = f"record {count}"
            frame = theirs.frame_info
            seconds, _, fraction = str(frame.get_field("time_epoch")).partition(".")
            assert record.time_ns == int(seconds) * 10**9 + int(fraction.ljust(9, "0")), where
            assert record.length == int(frame.get_field("len")), where
            assert len(record.data) == int(frame.get_field("cap_len")), where
            assert told_to_tshark(decoded(record, link_type)) == told_by_tshark(theirs), where
    finally:
        seen.close()
