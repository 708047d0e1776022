"""One record in full: every field stands at the bytes that tshark reads it from, with the value that it reads."""

from __future__ import annotations

import ipaddress
import subprocess
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import pytest
from conftest import capture_files, require_tool

from vxtool.capture import read_capture
from vxtool.summary.layers import dissect
from vxtool.summary.tree import Field, LayerTold, Value

every_capture = pytest.mark.parametrize("path", capture_files(), ids=lambda path: path.name)

MOST_RECORDS = 150  # of each capture: tshark writes some 50 kB for each

# Our layers and fields in tshark's words. Its names are looked for in order, since it has several for some.
COOKED = {
    "protocol": "sll.etype",
    "interface_index": "sll.ifindex",
    "hardware_type": "sll.hatype",
    "packet_type": "sll.pkttype",
    "address_length": "sll.halen",
    "address": "sll.src.eth",
}
NAMES = {
    "SLL": COOKED,
    "SLL2": COOKED,
    "Ethernet": {"destination": "eth.dst", "source": "eth.src", "ethertype": "eth.type"},
    "IPv4": {
        "version": "ip.version",
        "header_length": "ip.hdr_len",
        "dscp": "ip.dsfield.dscp",
        "ecn": "ip.dsfield.ecn",
        "total_length": "ip.len",
        "identification": "ip.id",
        "fragment_offset": "ip.frag_offset",
        "ttl": "ip.ttl",
        "protocol": "ip.proto",
        "checksum": "ip.checksum",
        "source": "ip.src",
        "destination": "ip.dst",
    },
    "IPv6": {
        "version": "ipv6.version",
        "flow_label": "ipv6.flow",
        "payload_length": "ipv6.plen",
        "next_header": "ipv6.nxt",
        "hop_limit": "ipv6.hlim",
        "source": "ipv6.src",
        "destination": "ipv6.dst",
        "fragment_header.next_header": "ipv6.fraghdr.nxt",
        "fragment_header.identification": "ipv6.fraghdr.ident",
    },
    "UDP": {
        "source_port": "udp.srcport",
        "destination_port": "udp.dstport",
        "length": "udp.length",
        "checksum": "udp.checksum",
    },
    "TCP": {
        "source_port": "tcp.srcport",
        "destination_port": "tcp.dstport",
        "sequence": "tcp.seq_raw",
        "acknowledgement": "tcp.ack_raw",
        "header_length": "tcp.hdr_len",
        "flags": "tcp.flags",
        "window": "tcp.window_size_value",
        "checksum": "tcp.checksum",
        "urgent": "tcp.urgent_pointer",
        "options.timestamps.value": "tcp.options.timestamp.tsval",
        "options.timestamps.echo": "tcp.options.timestamp.tsecr",
    },
    "VXLAN": {"vni": "vxlan.vni"},
    "ICMP": {"type": "icmp.type", "code": "icmp.code", "checksum": "icmp.checksum", "mtu": "icmp.mtu"},
    "ICMPv6": {
        "type": "icmpv6.type",
        "code": "icmpv6.code",
        "checksum": "icmpv6.checksum",
        "mtu": "icmpv6.mtu",
        "identifier": "icmpv6.echo.identifier",
        "sequence": "icmpv6.echo.sequence_number",
    },
    "ARP": {
        "hardware_type": "arp.hw.type",
        "protocol_type": "arp.proto.type",
        "operation": "arp.opcode",
        "sender_mac": "arp.src.hw_mac",
        "sender_ip": "arp.src.proto_ipv4",
        "target_mac": "arp.dst.hw_mac",
        "target_ip": "arp.dst.proto_ipv4",
    },
}
THEIRS = {name for names in NAMES.values() for name in names.values()}
STATUSES = {f"{name}.checksum.status": name for name in ("ip", "tcp", "udp", "icmp", "icmpv6")}
STATUS_LAYERS = {"ip": "IPv4", "tcp": "TCP", "udp": "UDP", "icmp": "ICMP", "icmpv6": "ICMPv6"}
# What tshark calls good, bad, and what it cannot or need not verify.
GOOD, BAD, UNVERIFIED, NOT_PRESENT = "1", "0", "2", "3"
STATUS = {
    "right": {GOOD},
    "wrong": {BAD},
    "offloaded": {BAD},
    "right_when_filled": {BAD},
    "none": {UNVERIFIED, NOT_PRESENT},
    "cut": {UNVERIFIED},
    "fragment": {UNVERIFIED},
}


class Told(NamedTuple):
    """A field as one of the two tells it: where, and what."""

    offset: int
    length: int
    value: int | str | None


def comparable(value: Value) -> int | str | None:
    """Numbers as numbers, addresses in one spelling."""
    if value is None or isinstance(value, int):
        return value
    try:
        return int(value, 0)
    except ValueError:
        pass
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        return value


def told_by_tshark(path: Path) -> Iterator[dict[str, list[Told]]]:
    """Of each record: tshark's fields by name, in order."""
    command = [
        require_tool("tshark"), "-r", str(path), "-n", "-T", "pdml", "-c", str(MOST_RECORDS),
        "-d", "udp.port==8472,vxlan",
    ]  # fmt: skip
    for preference in ("ip.defragment:FALSE", "ipv6.defragment:FALSE", "tcp.desegment_tcp_streams:FALSE"):
        command += ["-o", preference]
    for preference in ("ip.check_checksum", "tcp.check_checksum", "udp.check_checksum"):
        command += ["-o", f"{preference}:TRUE"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        for _, packet in ElementTree.iterparse(process.stdout):
            if packet.tag != "packet":
                continue
            told: dict[str, list[Told]] = defaultdict(list)
            for field in packet.iter("field"):
                name = field.get("name", "")
                # A hidden one is another's twin for filters: ip.version of IPv6.
                if (name in THEIRS or name in STATUSES) and field.get("hide") is None:
                    where = int(field.get("pos", "0")), int(field.get("size", "0"))
                    told[name].append(Told(*where, comparable(field.get("show"))))
            packet.clear()
            yield dict(told)


def flat(fields: tuple[Field, ...], before: str = "") -> Iterator[tuple[str, Field]]:
    for field in fields:
        yield before + field.name, field
        yield from flat(field.fields, f"{before}{field.name}.")


def told_by_us(layers: tuple[LayerTold, ...]) -> dict[str, list[Told]]:
    told: dict[str, list[Told]] = defaultdict(list)
    for layer in layers:
        names = NAMES.get(layer.name, {})
        for name, field in flat(layer.fields):
            if name in names:
                value = comparable(field.value)
                if name == "fragment_offset" and isinstance(value, int):
                    value //= 8  # tshark counts as the header does
                told[names[name]].append(Told(field.offset, field.length, value))
    return dict(told)


def dissected(path: Path) -> Iterator[tuple[int, bytes, tuple[LayerTold, ...]]]:
    with read_capture(path) as capture:
        for number, record in zip(range(1, MOST_RECORDS + 1), capture, strict=False):
            link_type = capture.container.interfaces[record.interface].link_type
            yield number, record.data, dissect(record.data, link_type, record.length).layers


@every_capture
def test_fields_stand_where_tshark_reads_them(path: Path) -> None:
    compared: Counter[str] = Counter()
    for (number, _, layers), theirs in zip(dissected(path), told_by_tshark(path), strict=True):
        ours = told_by_us(layers)
        theirs = {name: told for name, told in theirs.items() if name not in STATUSES}
        assert ours == theirs, f"record {number}"
        compared.update(ours.keys())
    assert sum(compared.values()) > 0


@every_capture
def test_checksums_are_judged_as_by_tshark(path: Path) -> None:
    for (number, _, layers), theirs in zip(dissected(path), told_by_tshark(path), strict=True):
        for status, name in STATUSES.items():
            ours = [
                (layer.place, str(field.value))
                for layer in layers
                if layer.name == STATUS_LAYERS[name]
                for field in layer.fields
                if field.name == "checksum_status"
            ]
            told = [str(one.value) for one in theirs.get(status, [])]
            assert len(ours) == len(told), f"record {number}, {name}"
            for (place, mine), other in zip(ours, told, strict=True):
                # tshark takes what an error quotes for all there was of a packet.
                expected = STATUS[mine] | ({BAD} if place == "quoted" and mine == "cut" else set())
                assert other in expected, f"record {number}, {name}: {mine}"


@every_capture
def test_layers_cover_the_record_without_a_gap(path: Path) -> None:
    for number, data, layers in dissected(path):
        at = 0
        for layer in layers:
            assert layer.offset == at, f"record {number}: {layer.name}"
            at += layer.length
            for _, field in flat(layer.fields):
                assert layer.offset <= field.offset, f"record {number}: {layer.name}, {field.name}"
                assert field.offset + field.length <= at, f"record {number}: {layer.name}, {field.name}"
        assert at == len(data), f"record {number}"
