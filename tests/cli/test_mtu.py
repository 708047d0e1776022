"""`vxtool mtu`: the page, the JSON, and wrong options."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints, is_typeddict

import pytest
from jsonschema import Draft202012Validator

import vxtool
from vxtool import overheads
from vxtool.cli import run
from vxtool.report import MTU_RENDERERS, Target

REPOSITORY = Path(__file__).parents[2]
SCHEMA = json.loads((Path(vxtool.__file__).parent / "report" / "mtu.schema.json").read_text("utf-8"))
CASES = [
    [],
    ["--family", "ipv6"],
    ["--underlay", "9000", "--tunnel", "geneve,options=12", "--link-vlan", "2"],
    ["--overlay", "1500", "--family", "ipv6", "--link-vlan", "1"],
    ["--beneath", "vxlan,vlan=1", "--beneath", "wireguard"],
    ["--beneath", "wireguard", "--cilium"],
    ["--beneath", "wireguard", "--cilium", "--family", "ipv6", "--inner", "ipv6"],
    ["--overlay", "1500", "--beneath", "ipsec,nat-t", "--cilium"],
    ["--tunnel", "geneve,options=12", "--cilium", "--size", "90"],
    ["--tunnel", "none", "--cilium"],
    ["--tunnel", "none"],
    ["--tunnel", "ipsec,transport", "--underlay", "1501"],
    ["--tunnel", "wireguard", "--underlay", "1300"],
]


def page(arguments: list[str], capfd: pytest.CaptureFixture[str]) -> str:
    assert run(["mtu", *arguments]) == 0
    out, err = capfd.readouterr()
    assert err == ""
    return out


def squeezed(text: str) -> str:
    return " ".join(text.split())


def test_the_page_leads_from_the_links_to_the_setting(capfd: pytest.CaptureFixture[str]) -> None:
    text = page([], capfd)
    assert text.startswith("Overlay MTU 1450: ")
    assert re.findall(r"^(\w+)(?:  |$)", text, re.MULTILINE) == ["Layers", "TCP", "Cost", "Set"]
    assert "\n  VXLAN over IPv4   -50   1450 left\n     IPv4 20, UDP 8, VXLAN 8, inner Ethernet 14\n" in text
    assert "\n  IPv4   MSS  1410    1398 bytes of data a packet\n" in text
    assert "\n  IPv6   MSS  1390    1378 bytes of data a packet\n" in text
    assert "\n    1450    1500    3.3 %    1488    1538   3.4 %  94.0 %  90.9 %\n" in text
    last = squeezed(text[text.index("\nSet\n") :])
    assert "An MTU of 1450 on the pods' interfaces" in last
    assert "ping -M do -s 1422 POD" in last  # 1450 - 20 - 8


def test_layers_stand_in_order_from_the_links_inwards(capfd: pytest.CaptureFixture[str]) -> None:
    text = page(["--tunnel", "geneve", "--beneath", "vxlan", "--beneath", "wireguard,ipv6"], capfd)
    rows = re.findall(r"^  (\S.*?) +-(\d+) +(\d+) left$", text, re.MULTILINE)
    assert rows == [
        ("WireGuard over IPv6", "80", "1420"),
        ("VXLAN over IPv4", "50", "1370"),
        ("Geneve over IPv4", "50", "1320"),
    ]


def test_the_other_way_round_it_says_what_the_links_need(capfd: pytest.CaptureFixture[str]) -> None:
    text = squeezed(page(["--overlay", "1500", "--family", "ipv6"], capfd))
    assert text.startswith("Underlay MTU 1570: ")
    assert "An MTU of 1570 on every link between the nodes" in text
    assert "frames of 1588 bytes" in text  # 14 + 1570 + 4


def test_cilium_is_told_the_mtu_of_the_devices(capfd: pytest.CaptureFixture[str]) -> None:
    text = squeezed(page(["--cilium", "--beneath", "wireguard"], capfd))
    assert "Cilium before 1.19.5 finds 1500 on the nodes' devices, reserves 50 for the tunnel and 80" in text
    last = text[text.index(" Set ") :]
    assert "Helm value `MTU: 1500`" in last
    assert "`mtu 1370` (before 1.19.5) or `mtu 1355` (1.19.5 and later) towards other nodes" in last


def test_cilium_that_would_leave_too_much_is_given_less(capfd: pytest.CaptureFixture[str]) -> None:
    text = squeezed(page(["--cilium", "--tunnel", "geneve,options=12"], capfd))
    assert "puts 1450 on the routes to other nodes' pods: too much, 1438 is what fits." in text
    assert "Helm value `MTU: 1488`; Cilium takes what it reserves off that." in text


def test_no_ipv6_is_promised_below_its_least(capfd: pytest.CaptureFixture[str]) -> None:
    text = page(["--underlay", "1329"], capfd)
    assert "IPv6   MSS" not in text
    assert "No IPv6 inside: it needs an MTU of 1280 at least (RFC 8200, section 5), not 1279." in squeezed(text)
    assert "No IPv6 inside" not in page(["--underlay", "1329", "--inner", "ipv4"], capfd)


@pytest.mark.parametrize("arguments", CASES, ids=" ".join)
@pytest.mark.parametrize("width", [72, 80, 132])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_no_line_is_wider_than_the_target(
    arguments: list[str], width: int, encoding: str, capfd: pytest.CaptureFixture[str]
) -> None:
    plan = json.loads(page([*arguments, "--format", "json"], capfd))
    text = MTU_RENDERERS["text"](plan, Target(width=width, encoding=encoding))
    text.encode(encoding)
    for line in text.splitlines():
        assert len(line) <= width, line
        assert line == line.rstrip()


@pytest.mark.parametrize("arguments", CASES, ids=" ".join)
def test_the_json_follows_its_schema(arguments: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    plan = json.loads(page([*arguments, "--format", "json"], capfd))
    Draft202012Validator(SCHEMA).validate(plan)
    assert plan["schema"] == "vxtool.mtu/1"
    assert list(plan) == list(overheads.MtuPlan.__annotations__)


def test_the_json_is_what_the_function_gives(capfd: pytest.CaptureFixture[str]) -> None:
    arguments = ["--overlay", "1400", "--tunnel", "geneve", "--beneath", "ipsec", "--family", "ipv6", "--cilium"]
    given = json.loads(
        page([*arguments, "--inner", "ipv6", "--link-vlan", "1", "--size", "90", "--format", "json"], capfd)
    )
    assert given == vxtool.mtu(
        overlay=1400,
        tunnel="geneve",
        beneath=["ipsec"],
        family="ipv6",
        inner="ipv6",
        link_vlans=1,
        sizes=[90],
        cilium=True,
    )


TYPED = sorted({name for name, value in vars(overheads).items() if is_typeddict(value)} - {"TypedDict"})


@pytest.mark.parametrize("name", TYPED)
def test_the_schema_names_the_keys_of_the_plan_and_which_may_be_null(name: str) -> None:
    stated = SCHEMA if name == "MtuPlan" else SCHEMA["$defs"][name]
    hints = get_type_hints(getattr(overheads, name))
    assert list(stated["properties"]) == stated["required"] == list(hints)
    for key, hint in hints.items():
        nullable = get_origin(hint) is not list and type(None) in get_args(hint)
        property_schema = {"$schema": SCHEMA["$schema"], "$defs": SCHEMA["$defs"], **stated["properties"][key]}
        assert Draft202012Validator(property_schema).is_valid(None) is nullable, key


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (("schema",), "vxtool.mtu/2"),
        (("overlay",), "1450"),
        (("layers", 0, "protocol"), "gre"),
        (("layers", 0, "headers", 0, "bytes"), None),
        (("sizes", 0, "wire"), -1),
        (("segments", "ipv4", "mss"), None),
    ],
)
def test_the_schema_refuses_what_no_plan_has(where: tuple[Any, ...], value: Any) -> None:
    wrong: Any = vxtool.mtu()
    inside = wrong
    for step in where[:-1]:
        inside = inside[step]
    inside[where[-1]] = value
    Draft202012Validator.check_schema(SCHEMA)
    assert not Draft202012Validator(SCHEMA).is_valid(wrong)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--underlay", "1000", "--family", "ipv6"], "RFC 8200"),
        (["--underlay", "50"], "RFC 791"),
        (["--underlay", "1500", "--overlay", "1400"], "give one of them"),
        (["--underlay", "big"], "'big' is not a valid integer"),
        (["--tunnel", "\x1b[31m"], "is no layer known here"),
        (["--beneath", "geneve,options=3"], "expected a multiple of 4"),
        (["--format", "xml"], "see 'vxtool mtu --help'."),
        (["9000"], "unexpected extra argument (9000)"),
    ],
)
def test_what_cannot_be_is_one_line_and_2(
    arguments: list[str], line: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(["mtu", *arguments]) == 2
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("vxtool: ")
    assert line in err
    assert "\x1b" not in err


def test_the_help_says_what_a_layer_is(capfd: pytest.CaptureFixture[str]) -> None:
    text = squeezed(page(["--help"], capfd))
    assert "LAYER is vxlan, geneve, wireguard or ipsec" in text
    for option in (
        "--underlay",
        "--overlay",
        "--tunnel",
        "--beneath",
        "--family",
        "--inner",
        "--link-vlan",
        "--cilium",
    ):
        assert option in text
    assert run(["--help"]) == 0
    assert re.search(r"^  mtu  ", capfd.readouterr().out, re.MULTILINE)


def test_the_readme_shows_what_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    readme = (REPOSITORY / "README.md").read_text("utf-8")
    shown = re.findall(r"^\$ vxtool mtu(.*)\n((?:.*\n)*?)```$", readme, re.MULTILINE)
    assert shown
    for arguments, text in shown:
        assert page(arguments.split(), capfd) == text
