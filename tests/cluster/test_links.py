"""Interfaces from iproute2's JSON, and names from the command line."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from conftest import require_tool

from vxtool.cluster import Link, load_links, parse_interface_options
from vxtool.errors import UsageError

LO = {
    "ifindex": 1,
    "ifname": "lo",
    "flags": ["LOOPBACK", "UP", "LOWER_UP"],
    "mtu": 65536,
    "link_type": "loopback",
    "address": "00:00:00:00:00:00",
    "addr_info": [{"family": "inet", "local": "127.0.0.1", "prefixlen": 8}],
}
ETH1 = {
    "ifindex": 3,
    "ifname": "eth1",
    "flags": ["BROADCAST", "MULTICAST", "UP", "LOWER_UP"],
    "mtu": 1500,
    "link_type": "ether",
    "address": "08:00:27:AA:bb:01",
    "master": "br1",
    "linkinfo": {"info_kind": "veth", "info_slave_kind": "bridge"},
    "addr_info": [
        {"family": "inet", "local": "192.168.10.200", "prefixlen": 24},
        {"family": "inet6", "local": "fd00:10:0:0:0:0:0:c8", "prefixlen": 64},
    ],
}


def written(folder: Path, *documents: object) -> list[str]:
    paths = []
    for number, document in enumerate(documents):
        path = folder / f"links-{number}.json"
        path.write_text(document if isinstance(document, str) else json.dumps(document))
        paths.append(str(path))
    return paths


def test_an_interface_gives_index_name_mtu_mac_and_addresses(tmp_path: Path) -> None:
    links = load_links(written(tmp_path, [LO, ETH1]))
    assert links.by_index[3] == Link(
        3,
        "eth1",
        1500,
        bytes.fromhex("080027aabb01"),
        ("192.168.10.200", "fd00:10::c8"),
        "veth",
        False,
        "br1",
        ("192.168.10.0/24", "fd00:10::/64"),
    )
    assert links.by_name["eth1"] is links.by_index[3]
    assert links.name(3) == "eth1"
    assert links.name(4) is None


def test_networks_on_links_are_found_by_the_longest_and_the_peers_count(tmp_path: Path) -> None:
    """`ip -j addr` of a tunnel between two routers: the prefix is that of the other end."""
    peer = {"family": "inet", "local": "10.9.0.1", "address": "10.9.1.1", "prefixlen": 30}
    tun = {"ifindex": 7, "ifname": "tun7", "addr_info": [peer]}
    one = {"ifindex": 8, "ifname": "dummy0", "addr_info": [{"local": "192.168.10.7", "prefixlen": 32}]}
    entries = [{"local": "192.168.0.1", "prefixlen": 16}, {"local": "x"}, {"local": "10.1.1.1", "prefixlen": 33}]
    wide = {"ifindex": 9, "ifname": "eth9", "addr_info": entries}
    twin = {"ifindex": 10, "ifname": "eth10", "addr_info": [{"local": "192.168.0.2", "prefixlen": 16}]}
    links = load_links(written(tmp_path, [LO, ETH1, tun, one, wide, twin]))
    assert links.behind("192.168.10.7") == ("192.168.10.0/24", {"eth1"})
    assert links.behind("192.168.11.7") == ("192.168.0.0/16", {"eth9", "eth10"})
    assert links.behind("10.9.1.2") == ("10.9.1.0/30", {"tun7"})
    assert links.behind("10.9.0.2") is None
    assert links.behind("fd00:10::9") == ("fd00:10::/64", {"eth1"})


def test_loopback_has_addresses_but_no_mac(tmp_path: Path) -> None:
    links = load_links(written(tmp_path, [LO, ETH1]))
    assert links.by_index[1].loopback
    assert links.macs == {bytes.fromhex("080027aabb01")}
    assert links.addresses == {"127.0.0.1", "192.168.10.200", "fd00:10::c8"}


def test_link_and_addr_of_one_machine_complete_each_other(tmp_path: Path) -> None:
    link = {key: value for key, value in ETH1.items() if key != "addr_info"} | {"mtu": 1400}
    addr = {key: value for key, value in ETH1.items() if key not in ("master", "linkinfo", "mtu")}
    links = load_links(written(tmp_path, [link], [addr]))
    assert links.by_index[3].mtu == 1400
    assert links.by_index[3].addresses == ("192.168.10.200", "fd00:10::c8")
    assert links.by_index[3].networks == ("192.168.10.0/24", "fd00:10::/64")
    assert links.by_index[3].master == "br1"
    assert not links.conflicts


def test_one_index_with_two_names_is_a_conflict_that_the_later_file_wins(tmp_path: Path) -> None:
    paths = written(tmp_path, [ETH1], [{"ifindex": 3, "ifname": "ens3"}])
    links = load_links(paths)
    assert links.name(3) == "ens3"
    (conflict,) = links.conflicts
    assert (conflict.kept, conflict.kept_file) == ("ens3", paths[1])
    assert (conflict.dropped, conflict.dropped_file) == ("eth1", paths[0])


def test_empty_objects_are_nothing_and_useless_ones_are_counted(tmp_path: Path) -> None:
    links = load_links(written(tmp_path, [{}, ETH1, {"ifindex": "4", "ifname": "x"}, {"ifindex": 5}, 6, {}]))
    assert list(links.by_index) == [3]
    assert [(source.items, source.skipped) for source in links.sources] == [(1, 3)]


def test_fields_of_wrong_types_are_unknown(tmp_path: Path) -> None:
    odd = {
        "ifindex": 9,
        "ifname": "tun0",
        "mtu": "1500",
        "address": "10.1.1.1",
        "flags": "UP",
        "addr_info": {"a": 1},
    }
    assert load_links(written(tmp_path, [odd])).by_index[9] == Link(9, "tun0")


def test_names_from_the_command_line_win_over_files(tmp_path: Path) -> None:
    links = load_links(written(tmp_path, [ETH1]), {3: "uplink", 8: "eth8"})
    assert links.name(3) == "uplink"
    assert links.by_index[3].mtu == 1500
    assert links.by_index[8] == Link(8, "eth8")


def test_a_name_given_to_another_index_takes_its_facts_along(tmp_path: Path) -> None:
    links = load_links(written(tmp_path, [ETH1]), {7: "eth1"})
    assert links.name(3) is None
    assert links.by_index[7].mtu == 1500


def test_swapped_names_keep_both_interfaces(tmp_path: Path) -> None:
    eth2 = ETH1 | {"ifindex": 4, "ifname": "eth2", "mtu": 1400}
    links = load_links(written(tmp_path, [ETH1, eth2]), {3: "eth2", 4: "eth1"})
    assert {index: (link.name, link.mtu) for index, link in links.by_index.items()} == {
        3: ("eth2", 1400),
        4: ("eth1", 1500),
    }


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536 qdisc noqueue\n    link/loopback\n", "ip -j addr"),
        ("eth0: flags=4163<UP,BROADCAST> mtu 1500\n", "ip -j addr"),
        ("[]", "no interface"),
        ("[{}]", "no interface"),
        ('[{"dst": "default", "gateway": "10.0.2.2", "dev": "eth0"}]', "no interface"),
        ('{"kind": "List", "items": []}', "--cluster"),
        ('[{"ifindex": -1, "ifname": ""}]', "no interface"),
        ('[{"ifindex": 1, "ifname": "lo"', "cut short"),
        ("", "empty"),
    ],
)
def test_what_is_no_interface_list_is_refused_in_one_line(tmp_path: Path, content: str, told: str) -> None:
    (path,) = written(tmp_path, content)
    with pytest.raises(UsageError, match=told) as caught:
        load_links([path])
    assert str(caught.value).startswith(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("arguments", [["link"], ["addr"], ["-d", "-s", "addr"]])
def test_what_ip_prints_here_is_read_as_python_reads_it(tmp_path: Path, arguments: list[str]) -> None:
    printed = subprocess.run(
        [require_tool("ip"), "-j", *arguments], check=True, capture_output=True, text=True
    ).stdout
    links = load_links(written(tmp_path, printed))
    assert {(link.index, link.name, link.mtu) for link in links.by_index.values()} == {
        (item["ifindex"], item["ifname"], item["mtu"]) for item in json.loads(printed)
    }


def test_interface_options_name_indexes() -> None:
    assert parse_interface_options(["3=eth1", "#4=eth2", " 0 = ens3 ", "3=eth1"]) == {
        3: "eth1",
        4: "eth2",
        0: "ens3",
    }


@pytest.mark.parametrize(
    "option",
    [
        "",
        "eth1",
        "3",
        "3=",
        "=eth1",
        "x=eth1",
        "-3=eth1",
        "3=a b",
        "3=\x1b[2J",
        "3=any",
        "4294967296=a",
        "9" * 5000 + "=a",
    ],
)
def test_other_interface_options_are_refused(option: str) -> None:
    with pytest.raises(UsageError, match="--interface"):
        parse_interface_options([option])


def test_two_names_for_one_index_are_refused() -> None:
    with pytest.raises(UsageError, match="already called 'eth1'"):
        parse_interface_options(["3=eth1", "3=eth2"])
