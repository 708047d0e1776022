"""The sums of `vxtool mtu`, against numbers made by hand from the RFCs and from what Cilium and Linux do."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import vxtool
from vxtool.errors import UsageError
from vxtool.overheads import PROTOCOLS, Family, parse_layer, plan_mtu
from vxtool.packet import TCP, UDP, VXLAN, Ethernet, Geneve, IPv4, IPv6, Vlan, encode

# Worked by hand:
#   VXLAN     20|40 + UDP 8 + VXLAN 8 + Ethernet 14 = 50|70, 4 for each inner tag (RFC 7348)
#   Geneve    the same and its options (RFC 8926)
#   WireGuard 20|40 + UDP 8 + header 16 + tag 16 = 60|80
#   ESP       20|40 + SPI and sequence 8 + IV 8 + tag 16, and a payload that with 2 bytes of trailer fills words of
#             4: of 1500, 1448 are left over IPv4, and 1446 of payload (RFC 4303, RFC 4106)
LEFT = [
    (1500, ["vxlan"], 1450),
    (1500, ["vxlan,ipv6"], 1430),
    (9000, ["vxlan"], 8950),
    (1500, ["vxlan,vlan=1"], 1446),
    (1500, ["vxlan,vlan=2,ipv6"], 1422),
    (1500, ["geneve"], 1450),
    (1500, ["geneve,options=12"], 1438),
    (1500, ["geneve,options=252,ipv6"], 1178),
    (1500, ["wireguard"], 1440),
    (1500, ["wireguard,ipv6"], 1420),
    (1500, ["ipsec"], 1446),
    (1500, ["ipsec,ipv6"], 1426),
    (1500, ["ipsec,nat-t"], 1438),
    (1500, ["ipsec,transport"], 1466),
    (1501, ["ipsec"], 1446),
    (1503, ["ipsec"], 1446),
    (1504, ["ipsec"], 1450),
    (1500, ["vxlan", "vxlan"], 1400),
    (1500, ["vxlan", "vxlan", "vxlan"], 1350),
    (1500, ["vxlan", "wireguard"], 1390),
    (1500, ["vxlan", "ipsec"], 1396),
    (1500, ["vxlan", "ipsec,transport"], 1416),
    (1500, ["geneve,options=12", "vxlan,ipv6,vlan=1"], 1364),
    (1500, [], 1500),
    (118, ["vxlan"], 68),
    (65_535, ["vxlan"], 65_485),
]


@pytest.mark.parametrize(("underlay", "layers", "overlay"), LEFT)
def test_an_underlay_leaves_what_the_headers_do_not_take(underlay: int, layers: list[str], overlay: int) -> None:
    tunnel, *beneath = layers or ["none"]
    plan = vxtool.mtu(underlay=underlay, tunnel=tunnel, beneath=beneath)
    assert plan["overlay"] == overlay
    assert plan["overhead"] + plan["unused"] == underlay - overlay
    assert sum(layer["bytes"] for layer in plan["layers"]) == plan["overhead"]


@pytest.mark.parametrize(
    ("overlay", "family", "layers", "underlay"),
    [
        (1500, "ipv4", ["vxlan"], 1550),
        (1500, "ipv6", ["vxlan"], 1570),
        (1500, "ipv4", ["vxlan", "wireguard"], 1610),
        (1500, "ipv4", ["ipsec"], 1556),  # 1502 fill 1504, with 8 + 8 + 16 and 20
        (1500, "ipv4", ["vxlan", "vxlan"], 1600),
        (576, "ipv6", ["vxlan"], 1280),  # 646 would do, but not for IPv6
        (68, "ipv4", ["vxlan"], 118),
    ],
)
def test_an_overlay_needs_the_headers_on_top(
    overlay: int, family: Family, layers: list[str], underlay: int
) -> None:
    plan = vxtool.mtu(overlay=overlay, family=family, tunnel=layers[0], beneath=layers[1:])
    assert (plan["given"], plan["underlay"], plan["overlay"]) == ("overlay", underlay, overlay)


stacks = st.lists(
    st.sampled_from([*PROTOCOLS, "vxlan,ipv6", "geneve,options=8,vlan=1", "wireguard,ipv6", "ipsec,transport"]),
    max_size=4,
)


@given(stacks, st.integers(2500, 60_000))
def test_what_is_left_needs_no_more_and_one_byte_more_does_not_fit(layers: list[str], underlay: int) -> None:
    tunnel, *beneath = layers or ["none"]
    overlay = plan_mtu(underlay=underlay, tunnel=tunnel, beneath=beneath)["overlay"]
    assert plan_mtu(overlay=overlay, tunnel=tunnel, beneath=beneath)["underlay"] <= underlay
    assert plan_mtu(overlay=overlay + 1, tunnel=tunnel, beneath=beneath)["underlay"] > underlay


@given(stacks, st.integers(2500, 9000), st.data())
def test_every_packet_that_fits_the_overlay_fits_the_underlay(
    layers: list[str], underlay: int, data: st.DataObject
) -> None:
    tunnel, *beneath = layers or ["none"]
    overlay = plan_mtu(underlay=underlay, tunnel=tunnel, beneath=beneath)["overlay"]
    size = data.draw(st.integers(1, overlay))
    costs = plan_mtu(underlay=underlay, tunnel=tunnel, beneath=beneath, sizes=[size])["sizes"]
    assert all(size <= cost["outer"] <= underlay for cost in costs for size in [cost["inner"]])
    assert all(one["outer"] <= two["outer"] for one, two in itertools.pairwise(costs))


@pytest.mark.parametrize(
    ("text", "outer", "header"),
    [
        ("vxlan", IPv4("10.0.0.1", "10.0.0.2"), VXLAN(7)),
        ("vxlan,ipv6", IPv6("fd00::1", "fd00::2"), VXLAN(7)),
        ("vxlan,vlan=1", IPv4("10.0.0.1", "10.0.0.2"), VXLAN(7)),
        ("geneve,options=12", IPv4("10.0.0.1", "10.0.0.2"), Geneve(7, options=bytes(12))),
    ],
)
def test_layers_cost_what_packets_made_by_the_codec_have(
    text: str, outer: IPv4 | IPv6, header: VXLAN | Geneve
) -> None:
    macs = ("02:00:00:00:00:01", "02:00:00:00:00:02")
    tags = [Vlan(5)] if "vlan" in text else []
    inside = [IPv4("10.1.0.1", "10.1.0.2"), TCP(1, 2)]
    wrapped = encode(Ethernet(*macs), outer, UDP(1, 4789), header, Ethernet(*macs), *tags, *inside)
    assert len(wrapped) - len(encode(Ethernet(*macs), *inside)) == parse_layer(text).fixed


def test_the_mss_is_the_mtu_less_the_headers() -> None:
    segments = vxtool.mtu()["segments"]
    # 1450 - 20 - 20, and 12 less of data with the option of RFC 7323.
    assert segments["ipv4"] == {"mss": 1410, "data": 1398}
    assert segments["ipv6"] == {"mss": 1390, "data": 1378}
    assert vxtool.mtu(inner="ipv6")["segments"]["ipv4"] is None
    assert vxtool.mtu(underlay=1329)["segments"]["ipv6"] is None
    assert vxtool.mtu(underlay=1330)["segments"]["ipv6"] == {"mss": 1220, "data": 1208}


def test_packets_cost_their_headers_and_the_frame() -> None:
    plan = vxtool.mtu(sizes=[40, 200])
    assert [cost["inner"] for cost in plan["sizes"]] == [40, 64, 128, 200, 256, 512, 576, 1000, 1280, 1450]
    by_size = {cost["inner"]: cost for cost in plan["sizes"]}
    # 14 + 40 + 4 would be a frame of 58, so it is padded to 64: 8 + 64 + 12. In the tunnel: 8 + 14 + 90 + 4 + 12.
    assert (by_size[40]["wire_native"], by_size[40]["wire"], by_size[40]["tcp_data"]) == (84, 128, None)
    assert by_size[1450] == {
        "inner": 1450,
        "outer": 1500,
        "overhead": 50,
        "overhead_percent": 3.33,  # 50 / 1500
        "wire_native": 1488,  # 1450 + 38
        "wire": 1538,
        "wire_more_percent": 3.36,  # 50 / 1488
        "tcp_data": 1398,
        "tcp_native_percent": 93.95,  # 1398 / 1488
        "tcp_percent": 90.9,  # 1398 / 1538
    }
    bulk = plan["bulk"]
    assert (bulk["native"]["tcp_data"], bulk["native"]["wire"]) == (1448, 1538)
    assert bulk["slower_percent"] == 3.45  # 1 - 1398 / 1448
    assert bulk["packets_more_percent"] == 3.58  # 1448 / 1398 - 1


def test_tags_on_the_links_take_wire_but_no_mtu() -> None:
    plan = vxtool.mtu(link_vlans=2)
    assert plan["overlay"] == 1450
    assert (plan["sizes"][-1]["wire_native"], plan["sizes"][-1]["wire"]) == (1496, 1546)


def test_wireguard_pads_to_16_but_not_beyond_its_device() -> None:
    plan = vxtool.mtu(tunnel="wireguard,ipv6", sizes=[65, 1419, 1420])
    outer = {cost["inner"]: cost["outer"] for cost in plan["sizes"]}
    # 80 + 64, 80 + 80; 1419 would be padded to 1424, but the device has 1420.
    assert (outer[64], outer[65], outer[1419], outer[1420]) == (144, 160, 1500, 1500)


def test_esp_pads_to_words_of_4() -> None:
    plan = vxtool.mtu(tunnel="ipsec", sizes=[65, 66, 67])
    outer = {cost["inner"]: cost["outer"] for cost in plan["sizes"]}
    # 20 + 8 + 8 + 16 = 52, and 66, 67 and 68 fill 68; 69 fill 72.
    assert (outer[64], outer[65], outer[66], outer[67]) == (120, 120, 120, 124)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        # versions, MTU on the devices, on routes by itself, whether it fits, the value to give, on routes then
        ({}, [(None, 1500, 1450, True, 1500, 1450)]),
        ({"family": "ipv6"}, [(None, 1500, 1430, True, 1500, 1430)]),
        ({"underlay": 9000}, [(None, 9000, 8950, True, 9000, 8950)]),
        ({"tunnel": "none"}, [(None, 1500, 1500, True, 1500, 1500)]),
        ({"beneath": ["ipsec"]}, [(None, 1500, 1373, True, 1500, 1373)]),
        # The node's own device is in a tunnel: Cilium sees 1450 there.
        ({"beneath": ["vxlan"]}, [(None, 1450, 1400, True, 1450, 1400)]),
        # It does not reckon with options: 1438 fit, and 50 are taken from what it is given.
        ({"tunnel": "geneve,options=12"}, [(None, 1500, 1450, False, 1488, 1438)]),
        (
            {"beneath": ["wireguard"]},
            [("before 1.19.5", 1500, 1370, True, 1500, 1370), ("1.19.5 and later", 1500, 1355, True, 1500, 1355)],
        ),
        # 1350 and 70 are 1420, padded to 1424 of the 1420 that 80 leave; 1408 are the most that fit, less 70.
        (
            {"beneath": ["wireguard"], "family": "ipv6"},
            [("before 1.19.5", 1500, 1350, False, 1488, 1338), ("1.19.5 and later", 1500, 1335, True, 1500, 1335)],
        ),
        ({"overlay": 1500}, [(None, 1550, 1500, True, 1550, 1500)]),
        (
            {"overlay": 1500, "beneath": ["wireguard"]},
            [("before 1.19.5", 1630, 1500, True, 1630, 1500), ("1.19.5 and later", 1645, 1500, True, 1645, 1500)],
        ),
        # A WireGuard that is not next to the tunnel is none of Cilium's.
        ({"beneath": ["vxlan", "wireguard"]}, [(None, 1390, 1340, True, 1390, 1340)]),
    ],
)
def test_cilium_sets_what_its_source_says(options: dict[str, Any], expected: list[tuple[object, ...]]) -> None:
    found = vxtool.mtu(cilium=True, **options)["cilium"]
    assert found is not None
    assert [
        (
            one["versions"],
            one["device_mtu"],
            one["route_mtu_by_itself"],
            one["fits"],
            one["helm_mtu"],
            one["route_mtu"],
        )
        for one in found
    ] == expected


def test_what_cilium_leaves_unused_counts_in_bulk() -> None:
    bulk = vxtool.mtu(cilium=True, beneath=["wireguard"])["bulk"]
    # 1355 - 52 of data in 1355 + 50 filled to 1408, 60 and 38 on the wire.
    assert (bulk["tunnelled"]["tcp_data"], bulk["tunnelled"]["wire"]) == (1303, 1506)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"underlay": 1500, "overlay": 1400}, "give one of them"),
        ({"underlay": 60}, "IPv4 needs an MTU of 68 at least (RFC 791, section 3.2)"),
        ({"underlay": 117}, "an overlay MTU of 67 is too small: IPv4 needs"),
        ({"underlay": 1279, "family": "ipv6"}, "IPv6 needs an MTU of 1280 at least (RFC 8200, section 5)"),
        ({"underlay": 1329, "inner": "ipv6"}, "an overlay MTU of 1279 is too small: IPv6 needs"),
        (
            {"underlay": 1300, "tunnel": "vxlan,ipv6", "beneath": ["vxlan"]},
            "an MTU of 1250 is too small for VXLAN over",
        ),
        ({"overlay": 67}, "an overlay MTU of 67 is too small"),
        ({"overlay": -1}, "an overlay MTU of -1 is too small"),
        ({"underlay": 65_536}, "too large: an IP packet has up to 65535 bytes"),
        ({"overlay": 65_500}, "an underlay MTU of 65550 is too large"),
        ({"tunnel": "gre"}, "'gre': is no layer known here; expected vxlan, geneve, wireguard or ipsec"),
        ({"tunnel": ""}, "'': is no layer"),
        ({"beneath": ["none"]}, "'none': is no layer"),
        ({"tunnel": "vxlan,options=8"}, "'options=8' is no detail of vxlan; it takes ipv4, ipv6, vlan=N"),
        ({"tunnel": "wireguard,vlan=1"}, "'vlan=1' is no detail of wireguard; it takes ipv4, ipv6."),
        ({"tunnel": "vxlan,transport"}, "'transport' is no detail of vxlan"),
        ({"tunnel": "geneve,options=10"}, "expected a multiple of 4 up to 252, found 10 (RFC 8926, section 3.4)"),
        ({"tunnel": "geneve,options=256"}, "a number from 0 to 252, found '256'"),
        ({"tunnel": "geneve,options=x"}, "a number from 0 to 252, found 'x'"),
        ({"tunnel": "vxlan,vlan="}, "a number from 0 to 4, found ''"),
        ({"tunnel": "ipsec,transport,ipv6"}, "transport mode adds no IP header"),
        ({"family": "ipv5"}, "family='ipv5': expected ipv4 or ipv6"),
        ({"inner": "both"}, "inner='both': expected ipv4 or ipv6"),
        ({"link_vlans": -1}, "-1 VLAN tags on the links: expected 0 to 4"),
        ({"sizes": [1451]}, "a packet of 1451 bytes does not fit; give sizes from 1 to 1450"),
        ({"sizes": [0]}, "does not fit"),
        ({"cilium": True, "underlay": 205, "beneath": ["wireguard"]}, "Cilium would leave an MTU of 60 to pods"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(options: dict[str, Any], line: str) -> None:
    with pytest.raises(UsageError) as caught:
        vxtool.mtu(**options)
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)
