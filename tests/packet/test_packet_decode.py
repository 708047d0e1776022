"""Whole packets: what decode sees, where it stops and why, and that encode gives the bytes again."""

from __future__ import annotations

import pytest
from conftest import require_native
from hypothesis import given
from packet import packet_values as values

import vxtool
from vxtool.packet import (
    ARP,
    DEFAULT_PORTS,
    ICMP,
    SLL2,
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
    Loopback,
    PacketError,
    Vlan,
)
from vxtool.packet.choice import native_codec
from vxtool.packet.decoder import decode as pure_decode
from vxtool.packet.encoder import encode as pure_encode

A, B = "02:00:00:00:00:01", "02:00:00:00:00:02"
NODES = ("192.168.10.100", "192.168.20.100")
PODS = ("172.20.0.107", "172.20.2.4")

# The first record of the founding case's capture: a ping from curl-pod to webpod. Checksums by hand.
PING = bytes.fromhex(
    "0800 0000 00000003 0001 00 06 525400000001 0000"
    "4500 0086 0001 0000 40 11 da4d c0a80a64 c0a81464"
    "c80d 2118 0072 0000"
    "08000000 008f6100"
    "020000000002 020000000001 0800"
    "4500 0054 1c2a 4000 40 01 c3e7 ac14006b ac140204"
    "0800 ecaa 0b54 0001"
) + bytes(56)


@pytest.fixture(params=["pure", "native"])
def codec(request):
    """decode and encode of each codec that is built."""
    if request.param == "pure":
        return pure_decode, pure_encode
    require_native()
    return native_codec()


@pytest.fixture
def decode(codec):
    return codec[0]


@pytest.fixture
def encode(codec):
    return codec[1]


def test_the_founding_ping(decode, encode):
    packet = decode(PING, "LINUX_SLL2")
    assert packet.problems == ()
    assert packet[SLL2].interface == 3
    assert (packet.outer_ip.source, packet.outer_ip.destination) == NODES
    assert (packet[UDP].source_port, packet[UDP].destination_port) == (51213, 8472)
    assert packet.vni == 36705
    assert (packet.inner_ip.source, packet.inner_ip.destination) == PODS
    assert (packet.transport.identifier, packet.transport.sequence) == (2900, 1)
    assert (packet.payload, packet.padding) == (bytes(56), b"")
    assert encode(*packet.layers, payload=packet.payload) == PING


def test_the_fields_that_are_read_most_stand_on_the_packet(decode):
    packet = decode(PING, "LINUX_SLL2")
    assert (packet.interface, packet.vni) == (3, 36705)
    assert (packet.outer_source, packet.outer_destination, packet.outer_ttl) == (*NODES, 64)
    assert (packet.outer_source_port, packet.outer_destination_port) == (51213, 8472)
    assert (packet.source_mac, packet.destination_mac, packet.ethertype) == (A, B, 0x0800)
    assert (packet.source, packet.destination, packet.protocol, packet.ttl) == (*PODS, 1, 64)
    assert (packet.source_port, packet.destination_port, packet.icmp_type) == (None, None, 8)


def test_those_of_an_untunnelled_segment_over_ipv6(decode, encode):
    hop = IPv6Extension(0, bytes(6))
    packet = decode(encode(IPv6("fd00::1", "fd00::2", hop_limit=9, extensions=(hop,)), TCP(1234, 80)), "RAW")
    assert (packet.source, packet.destination, packet.protocol, packet.ttl) == ("fd00::1", "fd00::2", 6, 9)
    assert (packet.source_port, packet.destination_port, packet.icmp_type) == (1234, 80, None)
    assert (packet.interface, packet.vni, packet.outer_source, packet.outer_destination) == (None,) * 4
    assert (packet.outer_ttl, packet.outer_source_port, packet.outer_destination_port) == (None,) * 3
    assert (packet.source_mac, packet.destination_mac, packet.ethertype) == (None,) * 3


def test_checksums_left_out_are_those_of_the_founding_ping(encode):
    link = SLL2(3, 0, 1, 6, bytes.fromhex("5254000000010000"))
    layers = (
        link,
        IPv4(*NODES, identification=1),
        UDP(51213, 8472, checksum=0),
        VXLAN(36705),
        Ethernet(A, B),
        IPv4(*PODS, identification=0x1C2A, flags=2),
        ICMP.echo(2900, 1),
    )
    assert encode(*layers, payload=bytes(56)) == PING


@given(values.packets())
def test_a_generated_packet_decodes_to_what_was_encoded(drawn):
    link, layers, payload, padding = drawn
    data = pure_encode(*layers, payload=payload, padding=padding)
    packet = pure_decode(data, link)
    assert [type(layer) for layer in packet.layers] == [type(layer) for layer in layers]
    for got, given_ in zip(packet.layers, layers, strict=True):
        for name, value in given_._asdict().items():
            assert value is None or getattr(got, name) == value
    assert pure_encode(*packet.layers, payload=packet.payload, padding=packet.padding) == data
    # An ARP packet has no length field, so all bytes behind it are padding.
    if ARP in packet:
        assert (packet.payload, packet.padding) == (b"", payload + padding)
    else:
        assert (packet.payload, packet.padding) == (payload, padding)


@given(values.records())
def test_any_bytes_decode_without_an_error_and_encode_to_themselves(drawn):
    link, data, length = drawn
    try:
        packet = pure_decode(data, link, length)
    except PacketError:
        assert len(data) < 20
        return
    assert pure_encode(*packet.layers, payload=packet.payload, padding=packet.padding) == data


@pytest.mark.parametrize("cut", range(len(PING)))
def test_every_cut_stops_with_the_reason_and_loses_no_byte(decode, encode, cut):
    data = PING[:cut]
    if cut < 20:
        with pytest.raises(PacketError, match=f"SLL2 at offset 0: expected 20 bytes, found {cut}"):
            decode(data, "LINUX_SLL2", len(PING))
        return
    packet = decode(data, "LINUX_SLL2", len(PING))
    assert packet.problems[0] == f"record at offset 0: expected {len(PING)} bytes, found {cut}"
    # Cut inside a header there is a second problem, in the payload there is none: lengths were right.
    assert len(packet.problems) == (1 if cut >= len(PING) - 56 else 2)
    assert encode(*packet.layers, payload=packet.payload, padding=packet.padding) == data


def test_a_cut_that_the_record_does_not_tell_is_one_problem(decode):
    assert decode(PING[:130], 276).problems == ("IPv4 at offset 20: expected 134 bytes, found 110",)


def test_ethernet_padding_is_told_from_payload(decode, encode):
    data = encode(Ethernet(A, B), IPv4(*PODS), TCP(1, 2), padding=bytes(6))
    assert len(data) == 60
    packet = decode(data)
    assert (packet.payload, packet.padding, packet.problems) == (b"", bytes(6), ())
    assert encode(*packet.layers, payload=packet.payload, padding=packet.padding) == data
    arp = encode(Ethernet(A, B), ARP(1, A, "10.0.0.1", B, "10.0.0.2"), padding=bytes(18))
    assert (decode(arp).payload, decode(arp).padding) == (b"", bytes(18))


def test_tags_get_their_ethertypes(decode, encode):
    data = encode(Ethernet(A, B), Vlan(7), Vlan(8), IPv6("::1", "::2"), ICMPv6.echo(1, 2))
    assert data[12:20].hex() == "88a80007" + "81000008"
    assert [type(layer).__name__ for layer in decode(data).layers] == [
        "Ethernet",
        "Vlan",
        "Vlan",
        "IPv6",
        "ICMPv6",
    ]


def test_a_later_fragment_stops_at_its_ip_header(decode, encode):
    data = encode(IPv4(*NODES, protocol=17, fragment_offset=1480), payload=bytes(40))
    packet = decode(data, "RAW")
    assert (len(packet.layers), packet.payload, packet.problems) == (1, bytes(40), ())
    data = encode(IPv6("::1", "::2", protocol=17, extensions=(IPv6Fragment(1448, 1),)), payload=bytes(40))
    packet = decode(data, "IPV6")
    assert (len(packet.layers), packet.payload, packet.problems) == (1, bytes(40), ())


def test_a_first_fragment_may_claim_more_than_it_has(decode, encode):
    inner = encode(Ethernet(A, B), IPv4(*PODS, total_length=1500), TCP(1, 2), payload=bytes(100))
    data = encode(IPv4(*NODES, flags=1), UDP(9, 8472, length=1600, checksum=0), VXLAN(5), payload=inner)
    packet = decode(data, "RAW")
    assert (packet.inner_ip.source, packet.problems) == (PODS[0], ())
    assert packet.payload == bytes(100)


@pytest.mark.parametrize("outside", [IPv4(*NODES), IPv6("fd00::1", "fd00::2")], ids=["v4", "v6"])
@pytest.mark.parametrize("inside", [IPv4(*PODS), IPv6("fd00::3", "fd00::4")], ids=["v4", "v6"])
@pytest.mark.parametrize("tunnel", [VXLAN(5), Geneve(5, options=bytes(8))], ids=["vxlan", "geneve"])
def test_big_tcp_takes_the_record_s_length(decode, encode, outside, inside, tunnel):
    port = 8472 if isinstance(tunnel, VXLAN) else 6081
    layers = (Ethernet(A, B), outside, UDP(9, port), tunnel, Ethernet(A, B), inside, TCP(1, 2))
    data = encode(*layers, payload=bytes(70000))
    packet = decode(data)
    for ip in (packet.outer_ip, packet.inner_ip):
        assert (ip.total_length if isinstance(ip, IPv4) else ip.payload_length) == 0
    assert packet[UDP].length == 0
    assert (packet.vni, packet.problems, len(packet.payload)) == (5, (), 70000)
    cut = decode(data[:200], length=len(data))
    assert cut.problems == (f"record at offset 0: expected {len(data)} bytes, found 200",)


def test_a_jumbo_option_gives_the_length(decode, encode):
    option = bytes.fromhex("c204") + (70000 + 20 + 8).to_bytes(4, "big")
    ip = IPv6("::1", "::2", payload_length=0, extensions=(IPv6Extension(0, option),))
    packet = decode(encode(Ethernet(A, B), ip, TCP(1, 2), payload=bytes(70000), padding=b"fcs."))
    assert (len(packet.payload), packet.padding, packet.problems) == (70000, b"fcs.", ())


def test_a_length_of_zero_in_a_small_packet_is_a_problem(decode, encode):
    packet = decode(encode(IPv4(*PODS, total_length=0), UDP(1, 2), payload=b"x"), "RAW")
    assert packet.problems == ("IPv4 at offset 0: expected a length, found 0 in a packet of 29 bytes",)
    assert packet.payload == b"x"


def test_ports_say_what_is_a_tunnel(decode, encode):
    geneve = encode(IPv4(*NODES), UDP(1, 6081), Geneve(9), Ethernet(A, B), IPv4(*PODS), ICMP(8))
    assert decode(geneve, "RAW").geneve.vni == 9
    assert decode(geneve, "RAW").inner_ip.source == PODS[0]
    assert decode(geneve, "RAW", ports={}).tunnel is None
    moved = encode(IPv4(*NODES), UDP(1, 9000), VXLAN(9), Ethernet(A, B), IPv4(*PODS), ICMP(8))
    assert decode(moved, "RAW").tunnel is None
    assert decode(moved, "RAW", ports={**DEFAULT_PORTS, 9000: "vxlan"}).vni == 9
    with pytest.raises(PacketError, match="port 9000: expected 'vxlan' or 'geneve', found 'gre'"):
        decode(moved, "RAW", ports={9000: "gre"})
    with pytest.raises(PacketError, match=r"ports\.port: expected an integer from 0 to 65535, found 70000"):
        decode(moved, "RAW", ports={70000: "vxlan"})


def test_geneve_can_carry_ip_without_a_frame(decode, encode):
    data = encode(IPv4(*NODES), UDP(1, 6081), Geneve(9, 0x0800), IPv4(*PODS), ICMP(8))
    assert decode(data, "RAW").inner_ip.source == PODS[0]


def test_a_vxlan_header_without_its_flag_is_decoded_and_reported(decode):
    data = PING[:48] + b"\0" + PING[49:]
    packet = decode(data, 276)
    assert packet.problems == ("VXLAN at offset 48: expected flag 0x08 (VNI), found flags 0x00",)
    assert packet.inner_ip.source == PODS[0]


@pytest.mark.parametrize(
    ("patch", "problem"),
    [
        ((20, "65"), "IPv4 at offset 20: expected version 4, found 6"),
        ((20, "44"), "IPv4 at offset 20: expected a header of at least 20 bytes, found 16"),
        ((22, "0013"), "IPv4 at offset 20: expected a total length of at least 20, found 19"),
        ((22, "0087"), "IPv4 at offset 20: expected 135 bytes, found 134"),
        ((44, "0007"), "UDP at offset 40: expected a length of at least 8, found 7"),
        ((44, "0000"), "UDP at offset 40: expected a length, found 0 in a packet of 114 bytes"),
        ((44, "0073"), "UDP at offset 40: expected 115 bytes, found 114"),
        ((44, "000f"), "VXLAN at offset 48: expected 8 bytes, found 7"),
        ((72, "0018"), "ICMP at offset 90: expected 8 bytes, found 4"),
    ],
)
def test_each_wrong_field_has_its_line(decode, encode, patch, problem):
    at, text = patch
    data = PING[:at] + bytes.fromhex(text) + PING[at + len(text) // 2 :]
    packet = decode(data, 276)
    assert packet.problems == (problem,)
    assert encode(*packet.layers, payload=packet.payload, padding=packet.padding) == data


def test_ipv6_problems_have_their_lines(decode, encode):
    hop = IPv6Extension(0, bytes(6))
    data = encode(IPv6("::1", "::2", 6, payload_length=4, extensions=(hop,)), payload=bytes(30))
    assert decode(data, 101).problems == ("IPv6 at offset 0: expected a payload length of at least 8, found 4",)
    data = encode(IPv6("::1", "::2", 60), payload=b"\x06\x02")
    assert decode(data, 101).problems == ("IPv6 at offset 40: expected 8 bytes, found 2",)
    data = encode(IPv6("::1", "::2", 60), payload=b"\x06\x02" + bytes(10))
    assert decode(data, 101).problems == ("IPv6 at offset 40: expected 24 bytes, found 12",)


def test_a_broken_tcp_option_has_its_line(decode):
    data = bytes.fromhex("4500 002c 0000 0000 40 06 0000 0a000001 0a000002")
    data += bytes(12) + b"\x60" + bytes(7)
    assert decode(data + bytes.fromhex("01 020500"), 101).problems == (
        "TCP option at offset 41: expected a length from 2 to 3, found 5",
    )
    assert decode(data + bytes.fromhex("01 01 01 02"), 101).problems == (
        "TCP option at offset 43: expected 2 bytes, found 1",
    )


def test_layers_without_end_are_cut_off(decode):
    data = bytes(12) + bytes.fromhex("8100") + bytes.fromhex("00018100") * 100
    packet = decode(data)
    assert len(packet.layers) == 64
    assert packet.problems == ("packet at offset 266: expected at most 64 layers, found more",)


def test_unknown_contents_are_payload_without_complaint(decode):
    assert decode(bytes(12) + b"\x88\xcc" + b"lldp").payload == b"lldp"
    # An ethertype below 0x0600 is a length: what is behind it is padding.
    packet = decode(bytes(12) + b"\x00\x03" + b"abc" + bytes(43))
    assert (packet.payload, packet.padding, packet.problems) == (b"abc", bytes(43), ())


def test_loopback_families(decode, encode):
    ip = (IPv4(*PODS), ICMP(8))
    assert decode(encode(Loopback(), *ip), "NULL").ip.source == PODS[0]
    assert decode(encode(Loopback(byteorder="big"), *ip), "LOOP").ip.source == PODS[0]
    for family in (10, 24, 28, 30):
        data = encode(Loopback(family), IPv6("::1", "::2"), UDP(1, 2))
        assert decode(data, "NULL").ip.source == "::1"
    assert decode(encode(Loopback(7), *ip), "NULL").ip is None


def test_raw_bytes_of_no_ip_version_are_a_problem_not_an_error(decode):
    assert decode(b"", "RAW").problems == ("IPv4 at offset 0: expected 20 bytes, found 0",)
    assert decode(b"\x70" + bytes(30), 12).problems == ("IPv4 at offset 0: expected version 4, found 7",)
    assert decode(bytes(30), "IPV6").problems == ("IPv6 at offset 0: expected 40 bytes, found 30",)


@pytest.mark.parametrize("link_type", [147, "WIFI", None, 2**70, -1])
def test_an_unknown_link_type_names_the_known_ones(decode, link_type):
    with pytest.raises(PacketError, match=r"^link type .*: expected one of NULL \(0\), EN10MB \(1\), .*276\)$"):
        decode(bytes(60), link_type)


@pytest.mark.parametrize("length", [-1, 2**32, "90"])
def test_an_impossible_length_is_refused(decode, length):
    with pytest.raises(PacketError, match=r"^record\.length: expected an integer from 0 to 4294967295, found"):
        decode(bytes(60), 1, length)


def test_any_kind_of_bytes_will_do(decode):
    for kind in (bytearray, memoryview):
        assert decode(kind(PING), 276) == decode(PING, 276)


def test_lookups_of_a_plain_packet(decode, encode):
    packet = decode(encode(Ethernet(A, B), IPv4(*PODS), TCP(1, 80)))
    assert (packet.tunnel, packet.vni, packet.outer_ip, packet.inner_ip) == (None,) * 4
    assert packet.ip.source == PODS[0]
    assert packet.transport.destination_port == 80
    assert TCP in packet
    assert VXLAN not in packet
    with pytest.raises(KeyError):
        packet[VXLAN]


def test_encode_refuses_what_nothing_tells(encode):
    with pytest.raises(PacketError, match=r"Ethernet\.ethertype: expected an integer .*, found None"):
        encode(Ethernet(A, B), payload=b"x")
    with pytest.raises(PacketError, match=r"IPv4\.protocol: expected an integer .*, found None"):
        encode(IPv4(*PODS), VXLAN(1))
    with pytest.raises(PacketError, match=r"UDP\.checksum: expected an IP layer before it, found none"):
        encode(Ethernet(A, B, 0x0800), UDP(1, 2))
    with pytest.raises(PacketError, match=r"layer 1: expected a layer of vxtool\.packet, found 'x'"):
        encode(Ethernet(A, B), "x")


def test_vxlan_packet_builds_what_linux_sends():
    inner = pure_encode(Ethernet(A, B), IPv4(*PODS), TCP(40000, 80))
    data = vxtool.packet.vxlan_packet(inner, source=NODES[0], destination=NODES[1], vni=36705)
    packet = pure_decode(data)
    assert (packet.vni, packet.payload, packet.problems) == (36705, b"", ())
    assert (packet[UDP].destination_port, packet[UDP].checksum) == (8472, 0)
    assert 32768 <= packet[UDP].source_port <= 60999
    assert len(data) - len(inner) == 50
    other = pure_encode(Ethernet(A, B), IPv4(*PODS, ttl=9), TCP(40000, 80, sequence=5), payload=b"more")
    assert vxtool.packet.flow_port(other) == packet[UDP].source_port
    over_ipv6 = pure_decode(vxtool.packet.vxlan_packet(inner, source="fd00::1", destination="fd00::2", vni=1))
    assert over_ipv6[UDP].checksum != 0


def test_the_package_offers_decode_and_encode():
    assert vxtool.decode(PING, 276).vni == 36705
    assert vxtool.encode(*vxtool.decode(PING, 276).layers, payload=bytes(56)) == PING
    assert not hasattr(vxtool, "nothing")
