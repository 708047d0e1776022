"""What is odd about a tunnel's packets, as both engines count it: headers, no tunnels, tunnels inside, checksums.

Each packet comes three times, so that a reader who goes by what came lately counts as one who reads header by
header. Expected counts are said by hand, by what RFC 7348, RFC 8926 and RFC 768 say of the bytes.
"""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from conftest import CAPTURES, require_native
from engine.generate import (
    EN10MB,
    FIRST,
    IPV4,
    IPV6,
    SLL2,
    TCP,
    UDP,
    V6_A,
    V6_B,
    Entry,
    Made,
    Spec,
    address,
    build,
    checksummed,
    ethernet,
    internet_sum,
    ipv4,
    ipv6,
    left_to_card,
    sll2,
    tcp,
    to_pcap,
    udp,
    vxlan,
)

from vxtool.engine import make_engine
from vxtool.engine.options import EngineOptions
from vxtool.engine.tables import OTHER, OUT, Tables

_NAMES = (
    "invalid_headers",
    "group_policy_headers",
    "reserved_bits",
    "no_tunnel_records",
    "nested_records",
    "verified_checksums",
    "wrong_checksums",
)
_TIMES = 3


@pytest.fixture(params=["pure", "native"])
def name(request: pytest.FixtureRequest) -> str:
    if request.param == "native":
        require_native()
    return str(request.param)


def tables_of(name: str, made: Made) -> Tables:
    engine = make_engine(made.options, name)
    while (index := engine.wants()) is not None:
        engine.feed(index, made.files()[index])
        engine.end(index)
    return engine.tables()


def counted(tables: Tables) -> Mapping[str, int]:
    counts = {name: getattr(tables.counters, name) for name in _NAMES}
    return {name: count for name, count in counts.items() if count}


def seen(name: str, special: int, link_type: int = SLL2, **fields: int) -> Mapping[str, int]:
    specs = [Spec(1_000_000, special=special, **fields) for _ in range(_TIMES)]
    tables = tables_of(name, build(specs, link_type))
    assert tables.counters.records == _TIMES
    return counted(tables)


def times(*names: str) -> Mapping[str, int]:
    return dict.fromkeys(names, _TIMES)


CHECKED, WRONG = "verified_checksums", "wrong_checksums"


class TestHeaders:
    def test_the_usual_one_is_not_odd(self, name: str) -> None:
        for number in (3, 4, 7, 8, 9, 10, 13, 19):
            assert not seen(name, number)

    def test_without_a_valid_vni(self, name: str) -> None:
        assert seen(name, 21) == times("invalid_headers")

    def test_a_group_policy_with_its_own_bits_alone(self, name: str) -> None:
        assert seen(name, 22) == times("group_policy_headers")

    @pytest.mark.parametrize("datagram", [0, 1, 2])
    def test_reserved_bits_of_vxlan(self, name: str, datagram: int) -> None:
        """In the flags (0x04), in the first and the last of the 24 bits behind them."""
        assert seen(name, 23, datagram=datagram) == times("reserved_bits")

    @pytest.mark.parametrize(("special", "datagram"), [(37, 0), (37, 1), (37, 2), (37, 3), (38, 1), (38, 2)])
    def test_gpe_with_and_without_a_next_protocol(self, name: str, special: int, datagram: int) -> None:
        """draft-ietf-nvo3-vxlan-gpe: flag P says that there is one; without it, its byte is reserved."""
        odd = special == 38 and datagram == 2
        assert seen(name, special, datagram=datagram) == (times("reserved_bits") if odd else {})

    def test_gpe_of_another_version_or_with_reserved_bits(self, name: str) -> None:
        assert seen(name, 38, datagram=3, hop=1) == times("invalid_headers")
        assert seen(name, 37, datagram=0, hop=1) == times("reserved_bits")

    def test_reserved_bits_beside_a_group_policy(self, name: str) -> None:
        assert seen(name, 23, datagram=3) == times("group_policy_headers", "reserved_bits")

    def test_the_reserved_bits_behind_the_vni(self, name: str) -> None:
        assert seen(name, 24) == times("reserved_bits")

    @pytest.mark.parametrize(
        ("datagram", "expected"),
        [(0, ["invalid_headers"]), (1, ["reserved_bits"]), (2, ["reserved_bits"]), (3, ["reserved_bits"])],
    )
    def test_geneve(self, name: str, datagram: int, expected: list[str]) -> None:
        """Version 1; a reserved bit; none but behind the VNI, where all of these end in 1; O and C are none."""
        assert seen(name, 25, datagram=datagram) == times(*expected)

    def test_the_first_of_several_fragments_counts_too(self, name: str) -> None:
        packet = ipv4("192.168.1.1", "192.168.2.1", UDP, udp(5, 8472, bytes(60), 500), more=True, identification=7)
        entries = [Entry(10**18 + at, sll2(packet, 1, 0)) for at in range(_TIMES)]
        assert counted(tables_of(name, Made(SLL2, tuple(entries), (), 1))) == times("invalid_headers")


class TestNoTunnel:
    @pytest.mark.parametrize("hop", [0, 1, 2])
    def test_too_short_for_a_header(self, name: str, hop: int) -> None:
        assert seen(name, 14, hop=hop) == times("no_tunnel_records")

    def test_one_that_the_capture_cut_is_not_judged(self, name: str) -> None:
        assert not seen(name, 4, clip=150)


class TestNested:
    @pytest.mark.parametrize("number", [26, 27])
    def test_vxlan_and_geneve(self, name: str, number: int) -> None:
        assert seen(name, number) == times("nested_records")

    @pytest.mark.parametrize("hop", [0, 1, 2])
    def test_the_port_alone_makes_no_tunnel(self, name: str, hop: int) -> None:
        assert not seen(name, 28, hop=hop)


class TestChecksums:
    def test_a_right_one(self, name: str) -> None:
        assert seen(name, 29) == times(CHECKED)
        assert seen(name, 31, datagram=2) == times(CHECKED)
        assert seen(name, 34) == times(CHECKED)

    def test_a_wrong_one(self, name: str) -> None:
        assert seen(name, 30) == times(CHECKED, WRONG)
        assert seen(name, 31, datagram=1) == times(CHECKED, WRONG)
        assert seen(name, 34, vtep=1) == times(CHECKED, WRONG)

    @pytest.mark.parametrize("datagram", [0, 1, 2, 3])
    def test_one_that_was_left_to_the_card_is_not_wrong(self, name: str, datagram: int) -> None:
        assert seen(name, 32, datagram=datagram) == times(CHECKED)

    @pytest.mark.parametrize(("datagram", "length"), [(0, 1279), (1, 1280), (2, 1281), (3, 1282)])
    def test_those_of_a_super_frames_size_are_not_looked_at(self, name: str, datagram: int, length: int) -> None:
        assert seen(name, 33, datagram=datagram) == (times(CHECKED, WRONG) if length <= 1280 else {})

    def test_only_of_what_came_in(self, name: str) -> None:
        assert not seen(name, 30, direction=OUT)
        assert seen(name, 30, direction=OTHER) == times(CHECKED, WRONG)
        assert not seen(name, 30, EN10MB)  # no direction but by MACs

    def test_by_the_ends_between_which_they_were_sent(self, name: str) -> None:
        """Over both tunnels of special 30 and 34: VXLAN and Geneve between the same ends, and IPv6 beside them."""
        specs = [Spec(1_000_000, special=number, datagram=1, vtep=1) for number in (30, 34, 31, 29, 30)]
        tables = tables_of(name, build(specs))
        ends = (address("192.168.1.1"), address("192.168.2.1"))
        assert tables.wrong_checksums == {ends: 3, (V6_A, V6_B): 1}

    def test_not_of_clipped_ones(self, name: str) -> None:
        assert not seen(name, 30, clip=1)

    def test_not_of_fragments(self, name: str) -> None:
        specs = [Spec(1_000_000, piece=FIRST, outer_id=at) for at in range(_TIMES)]
        made = build(specs)
        entries = [entry._replace(data=entry.data[:46] + b"\1\1" + entry.data[48:]) for entry in made.entries]
        assert not counted(tables_of(name, Made(SLL2, tuple(entries), (), 1)))

    def test_not_where_the_inner_packet_does_not_fill_the_datagram(self, name: str) -> None:
        """Segments put together behind one header (linux, UDP_GRO with fraglist) keep the first one's checksum."""
        inner = ipv4("10.0.0.1", "10.0.1.1", TCP, tcp(1, 2, 3))
        payload = vxlan(7, ethernet(inner)) * 2
        packet = checksummed(ipv4("192.168.1.1", "192.168.2.1", UDP, udp(5, 8472, payload)), wrong=True)
        entries = [Entry(10**18 + at, sll2(packet, 1, 0)) for at in range(_TIMES)]
        assert not counted(tables_of(name, Made(SLL2, tuple(entries), (), 1)))

    def test_each_length_and_family(self, name: str) -> None:
        """Sums are made of eight bytes at a time: no rest of a length may be lost."""
        packets = []
        for size in range(24):
            inner4 = ipv4("10.0.0.1", "10.0.1.1", UDP, udp(1, 2, bytes([255]) * size))
            inner6 = ipv6(V6_A, V6_B, UDP, udp(1, 2, bytes([1]) * size))
            for inner, kind in ((inner4, IPV4), (inner6, IPV6)):
                payload = udp(5, 8472, vxlan(7, ethernet(inner, kind)))
                packets.append((IPV4, ipv4("192.168.1.1", "192.168.2.1", UDP, payload)))
                packets.append((IPV6, ipv6(V6_A, V6_B, UDP, payload)))
        for wrong in (False, True):
            entries = [
                Entry(10**18 + at, sll2(checksummed(packet, wrong), 1, 0, kind))
                for at, (kind, packet) in enumerate(packets)
            ]
            counts = counted(tables_of(name, Made(SLL2, tuple(entries), (), 1)))
            assert counts == {CHECKED: 96, WRONG: 96} if wrong else {CHECKED: 96}

    def test_what_was_left_to_the_card_is_right_once_filled_in(self) -> None:
        """Of the generator: the inner checksum, filled in, verifies, and then the outer one does."""
        inner = ipv4("10.0.0.1", "10.0.1.1", TCP, tcp(1, 2, 3, bytes(11)))
        packet = ipv4("192.168.1.1", "192.168.2.1", UDP, udp(5, 8472, vxlan(7, ethernet(inner))))
        left = left_to_card(packet, outer=False)
        at = 20 + 8 + 8 + 14 + 20  # of the TCP header inside
        empty = left[: at + 16] + bytes(2) + left[at + 18 :]
        pseudo = left[62:70] + bytes([0, TCP]) + (len(left) - at).to_bytes(2, "big")
        filled = 0xFFFF - internet_sum(pseudo, empty[at:])
        whole = left[: at + 16] + filled.to_bytes(2, "big") + left[at + 18 :]
        assert left != checksummed(left)
        assert whole == checksummed(whole)


@pytest.mark.parametrize(("capture", "checksums"), [("ipv6-underlay.pcap", 39), ("router-mtu-1400-df.pcap", 70)])
def test_a_kernels_own_checksums_over_veth_are_not_wrong(name: str, capture: str, checksums: int) -> None:
    """Counted by tshark: In, whole, not 0, up to 1280 bytes; it calls all of them wrong: veth fills none in."""
    engine = make_engine(EngineOptions(), name)
    engine.feed(0, (CAPTURES / capture).read_bytes())
    engine.end(0)
    assert counted(engine.tables()) == {CHECKED: checksums}


class TestSamples:
    def test_the_earliest_records_are_kept(self, name: str) -> None:
        numbers = {"invalid-header": 21, "reserved-bits": 22, "no-tunnel": 14, "nested": 26, "wrong-checksum": 30}
        specs = [Spec(1_000_000, special=number) for _ in range(6) for number in numbers.values()]
        tables = tables_of(name, build(specs))
        for at, kind in enumerate(numbers):
            assert [sample.record for sample in tables.samples[kind]] == [at + 1 + 5 * lap for lap in range(4)]

    def test_a_record_older_than_the_one_before_is_named(self, name: str) -> None:
        specs = [Spec(0), Spec(1_000_000), Spec(-10), Spec(1_000_000), Spec(-10)]
        tables = tables_of(name, build(specs, options=EngineOptions()))
        assert tables.counters.time_reversed == 2
        assert [sample.record for sample in tables.samples["reversed"]] == [3, 5]


@pytest.mark.parametrize("lost", [[0, 0, 0, 0], [3, 0, 0, 0], [3, 0, 7, 0], [0, 0, 7, 9]])
def test_the_last_statistics_of_an_interface_count_in_whichever_part_they_stand(name: str, lost: list[int]) -> None:
    """They count from the start of the capture on."""
    made = build([Spec(1_000_000, lost=count) for count in lost], pcapng=True)
    parts = []
    for number, edges in enumerate([(0, 2), (2, 3), (3, 4)]):
        engine = make_engine(made.options._replace(part=number > 0), name)
        engine.feed(0, made.files(*edges)[0])
        engine.end(0)
        parts.append(engine)
    parts[0].merge(parts[1])
    parts[0].merge(parts[2])
    last = next((count for count in reversed(lost) if count), None)
    assert parts[0].tables().inputs[0].dropped == tables_of(name, made).inputs[0].dropped == last


def test_parts_add_up(name: str) -> None:
    odd = [21, 24, 14, 26, 30, 29]
    specs = [Spec(-5 if at == 4 else 1_000_000, special=special) for at, special in enumerate(odd)]
    made = build(specs)
    parts = []
    for number, edges in enumerate([(0, 2), (2, 4), (4, 6)]):
        engine = make_engine(made.options._replace(part=number > 0), name)
        engine.feed(0, to_pcap(made.entries[slice(*edges)], SLL2))
        engine.end(0)
        parts.append(engine)
    parts[1].merge(parts[2])
    parts[0].merge(parts[1])
    merged, whole = parts[0].tables(), tables_of(name, made)
    assert merged.counters == whole.counters
    assert merged.wrong_checksums == whole.wrong_checksums
    assert merged.samples == whole.samples
    assert counted(whole) == {
        "invalid_headers": 1,
        "reserved_bits": 1,
        "no_tunnel_records": 1,
        "nested_records": 1,
        CHECKED: 2,
        WRONG: 1,
    }
    assert [sample.record for sample in whole.samples["reversed"]] == [5]
