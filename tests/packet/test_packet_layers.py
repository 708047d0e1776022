"""Each layer: parse and emit are inverse, bytes by hand mean what the RFCs say, wrong values are refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packet import packet_values as values

from vxtool.packet import (
    ARP,
    ICMP,
    MSS,
    SLL,
    SLL2,
    TCP,
    UDP,
    VXLAN,
    BrokenOption,
    EndOfOptions,
    Ethernet,
    Geneve,
    ICMPv6,
    IPv4,
    IPv6,
    IPv6Extension,
    IPv6Fragment,
    Loopback,
    Nop,
    PacketError,
    Sack,
    SackPermitted,
    Timestamps,
    UnknownOption,
    Vlan,
    WindowScale,
)

ALL = [Ethernet, Vlan, SLL, SLL2, Loopback, IPv4, IPv6, UDP, TCP, ICMP, ICMPv6, ARP, VXLAN, Geneve]


@given(values.any_layer, values.payloads)
def test_what_a_layer_emits_it_parses_to_the_same_value(layer, payload):
    value, rest = type(layer).parse(layer.emit(payload))
    assert value == layer
    assert rest == payload


@given(st.sampled_from(ALL), st.binary(max_size=120))
def test_what_a_layer_parses_it_emits_to_the_same_bytes(kind, data):
    try:
        value, rest = kind.parse(data)
    except PacketError:
        return
    assert value.emit(rest) == data


@given(st.sampled_from([0x45, 0x46, 0x4F]), st.binary(min_size=59, max_size=80))
def test_random_ipv4_headers_survive(first, data):
    value, rest = IPv4.parse(bytes((first,)) + data)
    assert value.emit(rest) == bytes((first,)) + data


@given(
    st.sampled_from([0, 43, 44, 51, 60, 135, 6, 59]),
    st.lists(
        st.tuples(st.sampled_from([0, 43, 44, 51, 60, 6]), st.integers(0, 2), st.binary(min_size=6, max_size=6))
    ),
)
def test_random_ipv6_chains_survive(first, blocks):
    chain = b"".join(bytes((following, units)) + data for following, units, data in blocks)
    data = b"\x60\0\0\0\0\0" + bytes((first, 64)) + bytes(32) + chain
    value, rest = IPv6.parse(data)
    assert value.emit(rest) == data


@given(st.integers(5, 15), st.binary(min_size=40, max_size=60))
def test_random_tcp_options_survive(words, options):
    data = bytes(12) + bytes((words << 4,)) + bytes(7) + options
    value, rest = TCP.parse(data)
    assert value.emit(rest) == data


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_a_layer_that_is_too_short_says_what_it_needs_and_where(kind):
    with pytest.raises(PacketError, match=rf"^{kind.__name__} at offset 14: expected \d+ bytes, found 3$"):
        kind.parse(b"\x45\0\0", 14)


def test_ethernet_has_the_destination_first():
    data = bytes.fromhex("020000000002 020000000001 0800 aa")
    assert Ethernet.parse(data) == (Ethernet("02:00:00:00:00:01", "02:00:00:00:00:02", 0x0800), b"\xaa")


def test_a_vlan_tag_splits_into_priority_indicator_and_identifier():
    # 0xb064 = 101 1 000001100100: priority 5, drop eligible, VLAN 100.
    assert Vlan.parse(bytes.fromhex("b064 86dd"))[0] == Vlan(vid=100, pcp=5, dei=1, ethertype=0x86DD)


def test_sll2_as_tcpdump_writes_it():
    data = bytes.fromhex("0800 0000 00000003 0001 00 06 525400a1b2c3 0000")
    value = SLL2.parse(data)[0]
    assert value == SLL2(3, 0, 1, 6, bytes.fromhex("525400a1b2c30000"), 0, 0x0800)
    assert value.source == "52:54:00:a1:b2:c3"


def test_sll_as_dumpcap_writes_it():
    data = bytes.fromhex("0004 0001 0006 525400a1b2c3 0000 0800")
    value = SLL.parse(data)[0]
    assert (value.packet_type, value.ethertype, value.source) == (4, 0x0800, "52:54:00:a1:b2:c3")


def test_loopback_finds_its_byte_order():
    assert Loopback.parse(bytes.fromhex("02000000"))[0] == Loopback(2, "little")
    assert Loopback.parse(bytes.fromhex("0000001e"))[0] == Loopback(30, "big")


def test_ipv4_fields_and_checksum():
    # The widely printed example header: 192.168.0.1 to 192.168.0.199, UDP, checksum b861.
    data = bytes.fromhex("4500 0073 0000 4000 4011 b861 c0a80001 c0a800c7")
    value, rest = IPv4.parse(data)
    assert value == IPv4(
        "192.168.0.1", "192.168.0.199", protocol=17, ttl=64, flags=2, total_length=115, checksum=0xB861
    )
    assert (value.dont_fragment, value.more_fragments, rest) == (True, False, b"")
    assert value._replace(checksum=None).emit() == data
    assert value._replace(checksum=None, total_length=None).emit(bytes(95))[:20] == data


def test_ipv4_fragment_offset_is_in_bytes():
    data = bytes.fromhex("4500 05dc 1234 20b9 4011 0000 0a000001 0a000002")
    value = IPv4.parse(data)[0]
    assert (value.more_fragments, value.fragment_offset, value.identification) == (True, 1480, 0x1234)


def test_ipv4_refuses_another_version_and_an_impossible_header():
    with pytest.raises(PacketError, match="IPv4 at offset 0: expected version 4, found 6"):
        IPv4.parse(b"\x60" + bytes(39))
    with pytest.raises(PacketError, match="IPv4 at offset 9: expected a header of at least 20 bytes, found 16"):
        IPv4.parse(b"\x44" + bytes(39), 9)
    with pytest.raises(PacketError, match="IPv4 at offset 0: expected 60 bytes, found 40"):
        IPv4.parse(b"\x4f" + bytes(39))


def test_ipv6_extension_headers_and_fragment():
    base = bytes.fromhex("60012345 0018 00 40") + bytes(15) + b"\x01" + bytes(15) + b"\x02"
    hop_by_hop = bytes.fromhex("2c00 0104 00000000")
    fragment = bytes.fromhex("1100 05a9 0000cafe")
    value, rest = IPv6.parse(base + hop_by_hop + fragment + bytes(8))
    assert value.flow_label == 0x12345
    assert value.extensions == (
        IPv6Extension(0, bytes.fromhex("010400000000")),
        IPv6Fragment(offset=1448, identification=0xCAFE, flags=1),
    )
    assert (value.source, value.destination, value.protocol, rest) == ("::1", "::2", 17, bytes(8))
    assert value.fragment is not None
    assert value.fragment.more_fragments


def test_ipv6_jumbo_option_of_rfc_2675():
    base = bytes.fromhex("60000000 0000 00 40") + bytes(32)
    value = IPv6.parse(base + bytes.fromhex("0600 c204 00011170"))[0]
    assert value.jumbo_length == 70000
    assert IPv6.parse(base + bytes.fromhex("0600 0104 00000000"))[0].jumbo_length is None


def test_ipv6_extension_that_is_cut_stays_in_the_rest():
    base = bytes.fromhex("60000000 0008 3c 40") + bytes(32)
    value, rest = IPv6.parse(base + bytes.fromhex("0602 0000"))
    assert (value.protocol, value.extensions, rest) == (60, (), bytes.fromhex("06020000"))


def test_ipv6_extension_data_fills_whole_units():
    with pytest.raises(PacketError, match=r"IPv6Extension.data: expected 6 bytes and up to .*, found 7"):
        IPv6Extension(60, bytes(7)).emit(6)


def test_tcp_options_of_a_linux_syn():
    options = bytes.fromhex("020405a0 0402 080a 00001234 00000000 01 030307")
    data = bytes.fromhex("d431 0050 00000001 00000000 a002 fd20 0000 0000") + options
    value, rest = TCP.parse(data)
    assert value.options == (MSS(1440), SackPermitted(), Timestamps(0x1234, 0), Nop(), WindowScale(7))
    assert (value.source_port, value.destination_port, value.flags, value.window) == (54321, 80, 0x002, 64800)
    assert rest == b""


def test_tcp_options_of_every_other_kind():
    options = bytes.fromhex("050a 00000001 00000002 fe03 aa 0203 05 00 ff")
    data = bytes(12) + bytes.fromhex("a000") + bytes(6) + options + bytes(20 - len(options))
    assert TCP.parse(data)[0].options == (
        Sack(((1, 2),)),
        UnknownOption(b"\xaa", 254),
        UnknownOption(b"\x05", 2),
        EndOfOptions(b"\xff" + bytes(2)),
    )


@pytest.mark.parametrize("tail", ["01010802", "01010801", "01010800", "010101fd", "0101fd05"])
def test_a_tcp_option_with_an_impossible_length_ends_the_list(tail):
    data = bytes(12) + b"\x60" + bytes(7) + bytes.fromhex(tail)
    value = TCP.parse(data)[0]
    if tail == "01010802":
        assert value.options == (Nop(), Nop(), UnknownOption(b"", 8))
    else:
        assert isinstance(value.options[-1], BrokenOption)
    assert value.emit() == data


def test_tcp_fills_its_options_to_whole_words():
    assert TCP(1, 2, checksum=0, options=(WindowScale(7),)).emit()[20:] == bytes.fromhex("03030700")
    with pytest.raises(PacketError, match=r"TCP\.options: expected at most 40 bytes, found 44"):
        TCP(1, 2, checksum=0, options=(MSS(1),) * 11).emit()


def test_icmp_echo_and_too_big():
    value = ICMP.parse(bytes.fromhex("0800 f7ff 0b54 0001"))[0]
    assert (value.identifier, value.sequence, value.mtu) == (2900, 1, None)
    assert value == ICMP.echo(2900, 1)._replace(checksum=0xF7FF)
    assert ICMP.parse(bytes.fromhex("0304 0000 0000 0578"))[0].mtu == 1400
    assert ICMPv6.parse(bytes.fromhex("0200 0000 00000578"))[0].mtu == 1400
    assert ICMPv6.echo(1, 2, reply=True).type == 129


def test_arp_request():
    data = bytes.fromhex("0001 0800 06 04 0001 020000000001 0a000001 000000000000 0a000002")
    assert ARP.parse(data)[0] == ARP(1, "02:00:00:00:00:01", "10.0.0.1", "00:00:00:00:00:00", "10.0.0.2")
    with pytest.raises(PacketError, match="ARP at offset 0: expected address lengths 6 and 4, found 8 and 4"):
        ARP.parse(data[:4] + b"\x08" + data[5:])


def test_vxlan_keeps_flags_group_policy_and_reserved_bits():
    value = VXLAN.parse(bytes.fromhex("88 ff0102 008f61 7e"))[0]
    assert value == VXLAN(vni=36705, flags=0x88, reserved=0xFF0102, reserved_low=0x7E)
    assert (value.vni_valid, value.group_policy_id) == (True, 0x0102)
    assert VXLAN(1).group_policy_id is None
    assert VXLAN(36705).emit() == bytes.fromhex("0800000000 8f61 00")


def test_geneve_options_and_version():
    value, rest = Geneve.parse(bytes.fromhex("01 40 6558 0000c8 00 01038001 ee"))
    assert value == Geneve(vni=200, flags=0x40, options=bytes.fromhex("01038001"))
    assert rest == b"\xee"
    with pytest.raises(PacketError, match="Geneve at offset 0: expected version 0, found 1"):
        Geneve.parse(b"\x40" + bytes(7))


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (VXLAN(1 << 24), "VXLAN.vni: expected an integer from 0 to 16777215, found 16777216"),
        (VXLAN(-1), "VXLAN.vni: expected an integer from 0 to 16777215, found -1"),
        (UDP("80", 1, 8, 0), "UDP.source_port: expected an integer from 0 to 65535, found '80'"),
        (UDP(1, 2), "UDP.checksum: expected an IP layer before it, found none"),
        (Ethernet("x", "02:00:00:00:00:02", 1), "Ethernet.source: expected a MAC address such as .*, found 'x'"),
        (Ethernet("02:00:00:00:00:0g", "02:00:00:00:00:02", 1), "Ethernet.source: expected a MAC"),
        (Ethernet("02:00:00:00:00:01", "02:00:00:00:00:02"), "Ethernet.ethertype: .* found None"),
        (IPv4("10.0.0", "10.0.0.1", 1), "IPv4.source: expected an IPv4 address, found '10.0.0'"),
        (IPv4("10.0.0.1", "10.0.0.1\0", 1), "IPv4.destination: expected an IPv4 address, found"),
        (IPv4("10.0.0.1", "10.0.0.1", 1, fragment_offset=4), "expected a multiple of 8, found 4"),
        (IPv4("10.0.0.1", "10.0.0.1", 1, options=bytes(41)), "IPv4.options: expected at most 40 bytes, found 41"),
        (IPv6("::1", "10.0.0.1", 1), "IPv6.destination: expected an IPv6 address, found '10.0.0.1'"),
        (IPv6("::1", "::2", 1, extensions=(IPv6Fragment(3, 1),)), "IPv6Fragment.offset: expected a multiple of 8"),
        (SLL(address=b"", ethertype=1), "SLL.address: expected 8 bytes, found 0"),
        (SLL2(address="x", ethertype=1), "SLL2.address: expected bytes, found 'x'"),
        (Loopback(2, "middle"), "Loopback.byteorder: expected 'little' or 'big', found 'middle'"),
        (Geneve(1, options=b"abc"), "Geneve.options: expected a multiple of 4 up to 252, found 3"),
        (TCP(1, 2, checksum=0, options=(UnknownOption(bytes(39), 9),)), "UnknownOption.data: expected at most 38"),
    ],
)
def test_a_value_that_no_packet_can_carry_is_refused_by_name(layer, message):
    with pytest.raises(PacketError, match=message):
        layer.emit()
