"""One record in full: every field stands at the bytes that tshark reads it from, with the value that it reads."""

from __future__ import annotations

import ipaddress
import json
import re
import subprocess
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, NamedTuple
from xml.etree import ElementTree

import pytest
from conftest import CAPTURES, CLUSTER_FILES, capture_files, require_module, require_tool
from hypothesis import given
from hypothesis import strategies as st

from vxtool import report, summary_detail
from vxtool.capture import read_capture
from vxtool.errors import UsageError
from vxtool.listing.detail import _layer
from vxtool.listing.layers import dissect
from vxtool.listing.tree import Field, LayerTold, Value
from vxtool.packet import (
    ARP,
    ICMP,
    MSS,
    TCP,
    UDP,
    VXLAN,
    Ethernet,
    Geneve,
    ICMPv6,
    IPv4,
    IPv6,
    IPv6Extension,
    IPv6Fragment,
    Timestamps,
    Vlan,
    WindowScale,
    encode,
)
from vxtool.report import RECORD_RENDERERS, Target
from vxtool.report.record import MOST_DUMPED, render

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
    for _, data, layers in dissected(path):
        covered(data, layers)


class TestHeaders:
    """Headers that the sample captures lack, made by hand: expected values are those of the RFCs' diagrams."""

    def test_geneve_options_are_told_apart(self) -> None:
        options = bytes.fromhex("014b8102" + "ac10000700000050" + "01020001" + "aabbccdd")
        data = encode(
            Ethernet("02:00:00:00:00:01", "02:00:00:00:00:02"),
            IPv4("192.0.2.1", "192.0.2.2"),
            UDP(40000, 6081),
            Geneve(36705, options=options),
            Ethernet("02:00:00:00:00:03", "02:00:00:00:00:04"),
            ARP(1, "02:00:00:00:00:03", "10.0.0.1", "00:00:00:00:00:00", "10.0.0.2"),
        )
        (geneve,) = [layer for layer in dissect(data, 1, len(data)).layers if layer.name == "Geneve"]
        assert (geneve.offset, geneve.length) == (42, 28)
        told = [(name, field.text, field.offset, field.length) for name, field in flat(geneve.fields)]
        assert ("vni", "36705", 46, 3) in told
        assert told[-10:] == [
            ("option", "12 bytes", 50, 12),
            ("option.class", "Cilium (0x014b)", 50, 2),
            ("option.type", "0x81, critical", 52, 1),
            ("option.length", "8 bytes", 53, 1),
            ("option.data", "0xac10000700000050", 54, 8),
            ("option", "8 bytes", 62, 8),
            ("option.class", "Open Virtual Networking (0x0102)", 62, 2),
            ("option.type", "0x00", 64, 1),
            ("option.length", "4 bytes", 65, 1),
            ("option.data", "0xaabbccdd", 66, 4),
        ]

    def test_group_policy(self) -> None:
        data = vxlan_over(VXLAN(5, flags=0x88, reserved=0x08_1234))
        (vxlan,) = [layer for layer in dissect(data, 1, len(data)).layers if layer.name == "VXLAN"]
        told = {field.name: (field.text, field.offset, field.length) for field in vxlan.fields}
        assert told["flags"] == ("0x88 (VNI valid, group policy)", 42, 1)
        assert told["policy_flags"] == ("0x08 (policy applied)", 43, 1)
        assert told["group_policy"] == ("4660", 44, 2)
        assert told["vni"] == ("5", 46, 3)

    def test_extension_headers(self) -> None:
        router_alert = bytes.fromhex("050200000100")  # and two bytes of filling
        data = encode(
            IPv6(
                "fd00::1",
                "fd00::2",
                extensions=(
                    IPv6Extension(0, router_alert),
                    IPv6Extension(43, bytes.fromhex("0401") + bytes(4)),
                    IPv6Fragment(0, 0xDEADBEEF, flags=1),
                ),
            ),
            UDP(1, 2),
            payload=bytes(16),
        )
        ip = dissect(data, 229, len(data)).layers[0]
        assert (ip.offset, ip.length) == (0, 64)
        told = {name: (field.text, field.offset, field.length) for name, field in flat(ip.fields)}
        assert told["next_header"] == ("hop-by-hop options (0)", 6, 1)
        assert told["hop_by_hop_options"] == ("8 bytes", 40, 8)
        assert told["hop_by_hop_options.next_header"] == ("routing (43)", 40, 1)
        assert told["hop_by_hop_options.option"] == ("PadN", 46, 2)  # the last of them
        assert told["routing_header.segments_left"] == ("1", 51, 1)
        assert told["fragment_header.more_fragments"] == ("yes", 59, 1)
        assert told["fragment_header.identification"] == ("0xdeadbeef", 60, 4)

    def test_vxlan_gpe_tells_what_it_holds(self) -> None:
        inner = encode(IPv4("10.0.0.1", "10.0.0.2"), ICMP.echo(7, 1), payload=b"x" * 8)
        data = encode(
            Ethernet("02:00:00:00:00:01", "02:00:00:00:00:02"),
            IPv4("192.0.2.1", "192.0.2.2"),
            UDP(40000, 4790),
            payload=bytes.fromhex("0c000001 00002a00".replace(" ", "")) + inner,
        )
        layers = dissect(data, 1, len(data), {4790: "vxlan-gpe"}).layers
        assert [(layer.place, layer.name, layer.offset) for layer in layers] == [
            ("outer", "Ethernet", 0),
            ("outer", "IPv4", 14),
            ("outer", "UDP", 34),
            (None, "VXLAN-GPE", 42),
            ("inner", "IPv4", 50),
            ("inner", "ICMP", 70),
            ("inner", "Payload", 78),
        ]
        assert layers[3].summary == "VNI 42"

    def test_neighbor_solicitation(self) -> None:
        target = bytes.fromhex("fd000000000000000000000000000002")
        data = encode(
            IPv6("fd00::1", "ff02::1:ff00:2", hop_limit=255),
            ICMPv6(135),
            payload=target + bytes.fromhex("0101020000000001"),
        )
        last = dissect(data, 229, len(data)).layers[-1]
        assert [(field.name, field.text, field.offset, field.length) for field in last.fields] == [
            ("target", "fd00::2", 48, 16),
            ("option", "source link-layer address 02:00:00:00:00:01", 64, 8),
        ]


def vxlan_over(vxlan: VXLAN, udp: UDP | None = None, tcp: TCP | None = None) -> bytes:
    """A frame of a tunnel with a TCP segment in it; checksums are right where none are given."""
    return encode(
        Ethernet("02:00:00:00:00:01", "02:00:00:00:00:02"),
        IPv4("192.0.2.1", "192.0.2.2"),
        udp or UDP(40000, 8472),
        vxlan,
        Ethernet("02:00:00:00:00:03", "02:00:00:00:00:04"),
        IPv4("10.0.0.1", "10.0.0.2"),
        tcp or TCP(1000, 80, 1, 0, 2),
        payload=b"hello!",
    )


def checksums(data: bytes, length: int | None = None) -> dict[str, str]:
    """The status of each checksum, and the one that would be right."""
    told = {}
    for layer in dissect(data, 1, length or len(data)).layers:
        for field in layer.fields:
            if field.name == "checksum_status":
                told[f"{layer.place} {layer.name}"] = str(field.value)
    return told


class TestChecksums:
    RIGHT: ClassVar = dict.fromkeys(("outer IPv4", "outer UDP", "inner IPv4", "inner TCP"), "right")

    def test_right_ones(self) -> None:
        assert checksums(vxlan_over(VXLAN(5))) == self.RIGHT

    def test_a_wrong_one_tells_what_would_be_right(self) -> None:
        data = bytearray(vxlan_over(VXLAN(5)))
        data[-1] -= 1  # in the TCP payload, which the outer checksum covers too
        assert checksums(bytes(data)) == self.RIGHT | {"outer UDP": "wrong", "inner TCP": "wrong"}
        tcp = next(layer for layer in dissect(bytes(data), 1, len(data)).layers if layer.name == "TCP")
        told = {field.name: field.value for field in tcp.fields}
        assert isinstance(told["checksum"], int)
        assert told["checksum_expected"] == told["checksum"] + 1  # the last octet of an even length, complemented

    def test_what_is_left_to_the_network_card(self) -> None:
        """Linux writes the sum of the pseudo-header, and makes the outer one for what will be sent."""
        right = vxlan_over(VXLAN(5))
        words = bytes([10, 0, 0, 1, 10, 0, 0, 2, 0, 6, 0, 26])
        total = sum(int.from_bytes(words[at : at + 2], "big") for at in range(0, 12, 2))
        data = bytearray(right)
        at = 14 + 20 + 8 + 8 + 14 + 20 + 16
        data[at : at + 2] = (total % 0xFFFF).to_bytes(2, "big")
        assert checksums(bytes(data)) == self.RIGHT | {
            "outer UDP": "right_when_filled",
            "inner TCP": "offloaded",
        }

    def test_none_was_made(self) -> None:
        data = vxlan_over(VXLAN(5), UDP(40000, 8472, checksum=0))
        assert checksums(data) == self.RIGHT | {"outer UDP": "none"}

    def test_of_what_was_cut_none_can_be_verified(self) -> None:
        data = vxlan_over(VXLAN(5))
        assert checksums(data[:-4], len(data)) == self.RIGHT | {"outer UDP": "cut", "inner TCP": "cut"}

    def test_nor_of_a_fragment(self) -> None:
        data = encode(
            Ethernet("02:00:00:00:00:01", "02:00:00:00:00:02"),
            IPv4("192.0.2.1", "192.0.2.2", flags=1),
            UDP(1, 2, length=2000, checksum=0x1234),
            payload=bytes(64),
        )
        assert checksums(data) == {"None IPv4": "right", "None UDP": "fragment"}


@given(
    st.binary(max_size=200),
    st.sampled_from([0, 1, 12, 101, 108, 113, 147, 228, 229, 276]),
    st.integers(0, 400),
)
def test_no_bytes_fail_and_none_are_left_out(data: bytes, link_type: int, more: int) -> None:
    covered(data, dissect(data, link_type, len(data) + more, PORTS).layers)


@given(st.data())
def test_nor_do_broken_headers(drawn: st.DataObject) -> None:
    data = bytearray(drawn.draw(st.sampled_from(FRAMES)))
    for _ in range(drawn.draw(st.integers(1, 4))):
        data[drawn.draw(st.integers(0, len(data) - 1))] = drawn.draw(st.integers(0, 255))
    cut = bytes(data[: drawn.draw(st.integers(0, len(data)))])
    layers = dissect(cut, 1, len(data), PORTS).layers
    covered(cut, layers)
    detail = {**BLANK, "layers": [_layer(layer) for layer in layers], "data": cut.hex(), "captured": len(cut)}
    for width in (80, 160):
        page = render(detail, Target(width))  # type: ignore[arg-type]
        assert max(map(len, page.splitlines())) <= width
        assert all(line.isprintable() for line in page.splitlines())


def covered(data: bytes, layers: tuple[LayerTold, ...]) -> None:
    at = 0
    for layer in layers:
        assert layer.offset == at
        at += layer.length
        for _, field in flat(layer.fields):
            assert layer.offset <= field.offset
            assert field.offset + field.length <= at
    assert at == len(data)


PORTS = {8472: "vxlan", 4790: "vxlan-gpe", 6081: "geneve"}
FRAMES = [
    vxlan_over(VXLAN(5), tcp=TCP(1, 2, options=(MSS(1460), Timestamps(1, 2), WindowScale(7)))),
    encode(
        Ethernet("02:00:00:00:00:01", "02:00:00:00:00:02"),
        IPv6("fd00::1", "fd00::2", extensions=(IPv6Extension(0, bytes(6)), IPv6Fragment(0, 1))),
        UDP(40000, 6081),
        Geneve(1, options=bytes.fromhex("014b81020000000000000000")),
        Ethernet("02:00:00:00:00:03", "02:00:00:00:00:04"),
        IPv6("fd00::3", "fd00::4"),
        ICMPv6(2, rest=1280),
        payload=encode(IPv6("fd00::4", "fd00::3"), UDP(1, 2), payload=bytes(40)),
    ),
    encode(
        Ethernet("02:00:00:00:00:01", "02:00:00:00:00:02"),
        Vlan(7),
        IPv4("192.0.2.1", "192.0.2.2", options=bytes.fromhex("94040000")),
        UDP(40000, 4790),
        payload=bytes.fromhex("0c00000300002a00") + bytes(14) + bytes(40),
    ),
    encode(
        Ethernet("02:00:00:00:00:01", "02:00:00:00:00:02"),
        IPv6("fe80::1", "ff02::1"),
        ICMPv6(134),
        payload=bytes(8) + bytes.fromhex("0304 40c0 00000001 00000001 00000000".replace(" ", "")) + bytes(16),
    ),
]
BLANK = {
    "schema": "vxtool.record/1",
    "input": "x\x1b[31m.pcap",
    "number": 1,
    "time": "2025-08-09T17:27:50.282388000Z",
    "relative_ns": 0,
    "link_type": "EN10MB",
    "interface": "eth\u202e1",
    "direction": "in",
    "length": 500,
    "journey": None,
    "problems": ["bad\x07"],
}


class TestJourney:
    """vxlan.pcap of the founding case: 16 µs from eth1 to eth2, as tcpdump printed it."""

    PATH = str(CAPTURES / "vxlan.pcap")
    LINKS: ClassVar = [str(CAPTURES / "vxlan.links.json")]

    def test_is_told_whichever_of_its_records_is_asked_for(self, engine: str) -> None:
        for number in (1, 2):
            detail = summary_detail([self.PATH], number, links=self.LINKS)
            journey = detail["journey"]
            assert journey is not None
            assert (journey["outcome"], journey["latency_ns"]) == ("forwarded", 16_000)
            assert journey["text"] == "forwarded: came in eth1 as record 1, went out eth2 as record 2 16 µs later"
            assert [(one["record"], one["interface"], one["direction"]) for one in journey["sightings"]] == [
                (1, "eth1", "in"),
                (2, "eth2", "out"),
            ]
        assert detail["relative_ns"] == 16_000

    def test_of_several_captures(self) -> None:
        paths = [str(CAPTURES / f"four-ways-{name}.pcap") for name in ("eth1", "eth2")]
        detail = summary_detail(paths, 1, input=2)
        assert detail["input"] == paths[1]
        assert detail["journey"] is not None
        assert {one["input"] for one in detail["journey"]["sightings"]} == set(paths)

    def test_segments_of_a_super_frame_are_told_together(self) -> None:
        path = str(CAPTURES / "iperf-resegmented.pcap")
        detail = summary_detail([path], 40, links=[str(CAPTURES / "iperf-resegmented.links.json")])
        assert detail["journey"] is not None
        assert "came in eth1 as record 39, went out eth2 as records 40 to 44 " in detail["journey"]["text"]

    def test_names_are_those_of_the_cluster(self) -> None:
        cluster = [str(CLUSTER_FILES / "ciliumendpoints.txt")]
        layers = summary_detail([self.PATH], 1, cluster=cluster)["layers"]
        (vxlan,) = [layer for layer in layers if layer["layer"] == "VXLAN"]
        assert vxlan["summary"] == "VNI 36705, curl-pod"
        (ip,) = [layer for layer in layers if (layer["place"], layer["layer"]) == ("inner", "IPv4")]
        assert ip["summary"] == "default/curl-pod → default/webpod-697b545f57-8tcp6"

    @pytest.mark.parametrize("number", [0, 5, -1, 1 << 60])
    def test_of_a_record_that_is_not_there_is_one_line(self, number: int) -> None:
        with pytest.raises(UsageError, match=r"vxlan.pcap has 4 records; give one of these.$") as caught:
            summary_detail([self.PATH], number)
        assert "\n" not in str(caught.value)

    def test_of_every_record_of_a_sample(self, engine: str) -> None:
        """Of a router that also answers ICMP and ARP: something is told of each."""
        path = str(CAPTURES / "unfiltered.pcap")
        for number in range(1, 89, 7):
            detail = summary_detail([path], number)
            text = RECORD_RENDERERS["text"](detail, Target(80))
            assert f"Record {number} of " in text


class TestPage:
    def test_json_follows_the_schema(self) -> None:
        require_module("jsonschema")
        import jsonschema

        schema = json.loads((Path(report.__file__).parent / "record.schema.json").read_text("utf-8"))
        for path, number in (("vxlan.pcap", 1), ("router-mtu-1400-df.pcap", 40), ("native-misroute.pcap", 3)):
            detail = summary_detail([str(CAPTURES / path)], number)
            text = RECORD_RENDERERS["json"](detail, Target())
            jsonschema.validate(json.loads(text), schema)
            assert json.loads(text) == detail

    def test_the_dump_stands_beside_the_tree_where_there_is_room(self) -> None:
        detail = summary_detail([str(CAPTURES / "vxlan.pcap")], 1)
        row = "048  08 00 00 00 00 8f 61 00"
        (line,) = [one for one in render(detail, Target(140)).splitlines() if row in one]
        assert line.startswith("[48..55]   VXLAN  VNI 36705")
        (line,) = [one for one in render(detail, Target(139)).splitlines() if row in one]
        assert line.startswith("  048")

    def test_bytes_of_a_layer_have_its_colour_in_both(self) -> None:
        detail = summary_detail([str(CAPTURES / "vxlan.pcap")], 1)
        for width in (80, 160):
            lines = render(detail, Target(width, color=True)).splitlines()
            (title,) = [line for line in lines if "VXLAN  VNI" in line]
            (dump,) = [line for line in lines if "08 00 00 00 00 8f 61 00" in line]
            colours = [set(re.findall(r"\x1b\[(?:1;)?(3\d)m", line)) for line in (title, dump)]
            assert colours == [{"35"}, {"35"}]  # the fourth: magenta

    def test_of_a_long_record_the_dump_is_cut_and_says_so(self) -> None:
        data = vxlan_over(VXLAN(5)) + bytes(65_000)
        layers = [_layer(layer) for layer in dissect(data, 1, len(data)).layers]
        detail = {**BLANK, "layers": layers, "data": data.hex(), "captured": len(data)}
        for width in (80, 160):
            page = render(detail, Target(width))  # type: ignore[arg-type]
            assert f"… {len(data) - MOST_DUMPED:,} more bytes, all of them in --format json" in page
            assert len(page.splitlines()) < 400
