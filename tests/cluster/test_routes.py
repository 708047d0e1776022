"""Routes as iproute2 prints them, and the way that an address takes: as the kernel answers `ip route get`."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import CAPTURES, require_root, require_tool

from vxtool.cluster import Hop, Route, Routes, load_routes
from vxtool.errors import UsageError

# Of iproute2 6.1 on Linux 6.18: `ip route` and `ip -j route` of the same routes, wrapped.
TEXT = """\
root@router:~# ip route
default via 192.168.10.1 dev eth1 metric 100
default via 192.168.20.1 dev eth2 metric 200
blackhole 10.1.0.0/16
unreachable 10.2.0.0/16 metric 5
prohibit 10.3.0.0/16
throw 10.4.0.0/16
10.9.0.0/16
\tnexthop via 192.168.10.1 dev eth1 weight 1
\tnexthop via 192.168.20.1 dev eth2 weight 3
10.10.0.0/16 via 192.168.20.100 dev eth2 src 192.168.20.200 mtu 1450
10.11.0.0/16 via inet6 fd00:20::1 dev eth2
10.13.0.0/16 via 192.168.20.9 dev eth2 mtu lock 1400 advmss 1360
10.15.0.0/16 nhid 9
\tnexthop via 192.168.20.5 dev eth2 weight 1
\tnexthop via 192.168.10.5 dev eth1 weight 1
10.16.0.0/16 tos 0x10 dev eth2 scope link
172.20.2.0/24  encap ip id 36705 src 0.0.0.0 dst 192.168.20.100 ttl 0 tos 0 via 192.168.20.77 dev eth2 onlink
192.168.20.0/24 dev eth2 proto kernel scope link src 192.168.20.200
192.168.30.0/24 dev va proto kernel scope link src 192.168.30.1 linkdown
"""
JSON = """\
[{"dst":"default","gateway":"192.168.10.1","dev":"eth1","metric":100,"flags":[]},
{"dst":"default","gateway":"192.168.20.1","dev":"eth2","metric":200,"flags":[]},
{"type":"blackhole","dst":"10.1.0.0/16","flags":[]},
{"type":"unreachable","dst":"10.2.0.0/16","metric":5,"flags":[]},
{"type":"prohibit","dst":"10.3.0.0/16","flags":[]},
{"type":"throw","dst":"10.4.0.0/16","flags":[]},
{"dst":"10.9.0.0/16","flags":[],"nexthops":[{"gateway":"192.168.10.1","dev":"eth1","weight":1,"flags":[]},
{"gateway":"192.168.20.1","dev":"eth2","weight":3,"flags":[]}]},
{"dst":"10.10.0.0/16","gateway":"192.168.20.100","dev":"eth2","prefsrc":"192.168.20.200","flags":[],
"metrics":[{"mtu":1450}]},
{"dst":"10.11.0.0/16","via":{"family":"inet6","host":"fd00:20::1"},"dev":"eth2","flags":[]},
{"dst":"10.13.0.0/16","gateway":"192.168.20.9","dev":"eth2","flags":[],"metrics":[{"mtu":1400,"advmss":1360}]},
{"dst":"10.15.0.0/16","nhid":9,"flags":[],"nexthops":[{"gateway":"192.168.20.5","dev":"eth2","weight":1,"flags":[]},
{"gateway":"192.168.10.5","dev":"eth1","weight":1,"flags":[]}]},
{"dst":"10.16.0.0/16","tos":"0x10","dev":"eth2","scope":"link","flags":[]},
{"dst":"172.20.2.0/24","encap":"ip","id":36705,"src":"0.0.0.0","dst":"192.168.20.100","ttl":0,"tos":0,
"gateway":"192.168.20.77","dev":"eth2","flags":["onlink"]},
{"dst":"192.168.20.0/24","dev":"eth2","protocol":"kernel","scope":"link","prefsrc":"192.168.20.200","flags":[]},
{"dst":"192.168.30.0/24","dev":"va","protocol":"kernel","scope":"link","prefsrc":"192.168.30.1",
"flags":["linkdown"]}]
"""
TEXT_6 = """\
fd00:10::/64 dev eth1 proto kernel metric 256 pref medium
blackhole fd01::/64 dev lo metric 1024 pref medium
fd02::/64 metric 1024 pref medium
\tnexthop via fd00:10::1 dev eth1 weight 1
\tnexthop via fd00:20::1 dev eth2 weight 1
fd04::/64 from fd00:10::/64 via fd00:20::9 dev eth2 metric 1024 pref medium
default via fe80::1 dev eth1 metric 1024 pref medium
default dev wg0 metric 2048 pref medium
"""
JSON_6 = """\
[{"dst":"fd00:10::/64","dev":"eth1","protocol":"kernel","metric":256,"flags":[],"pref":"medium"},
{"type":"blackhole","dst":"fd01::/64","dev":"lo","metric":1024,"flags":[],"pref":"medium"},
{"dst":"fd02::/64","metric":1024,"flags":[],"pref":"medium","nexthops":[
{"gateway":"fd00:10::1","dev":"eth1","weight":1,"flags":[]},
{"gateway":"fd00:20::1","dev":"eth2","weight":1,"flags":[]}]},
{"dst":"fd04::/64","from":"fd00:10::/64","gateway":"fd00:20::9","dev":"eth2","metric":1024,"flags":[],
"pref":"medium"},
{"dst":"default","gateway":"fe80::1","dev":"eth1","metric":1024,"flags":[],"pref":"medium"},
{"dst":"default","dev":"wg0","metric":2048,"flags":[],"pref":"medium"}]
"""
ALL_TABLES = """\
10.20.0.0/16 via 192.168.20.9 dev eth2 table 100
default via 192.168.10.1 dev eth1
local 192.168.10.200 dev eth1 table local proto kernel scope host src 192.168.10.200
broadcast 192.168.10.255 dev eth1 table local proto kernel scope link src 192.168.10.200
local 127.0.0.0/8 dev lo table local proto kernel scope host src 127.0.0.1
local fd00:10::c8 dev eth1 table local proto kernel metric 0 pref medium
"""


def written(folder: Path, *contents: object) -> list[str]:
    paths = []
    for number, content in enumerate(contents):
        path = folder / f"routes-{number}.txt"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        paths.append(str(path))
    return paths


def ways(routes: Routes, address: str) -> list[str]:
    return [str(route) for route in routes.find(address)]


@pytest.fixture(params=["text", "json"])
def routes(request: pytest.FixtureRequest, tmp_path: Path) -> Routes:
    """The same routes of both families, from what `ip` prints for people and for programs."""
    return load_routes(written(tmp_path, *((TEXT, TEXT_6) if request.param == "text" else (JSON, JSON_6))))


def test_every_route_is_read(routes: Routes) -> None:
    assert [(source.items, source.skipped) for source in routes.sources] == [(15, 0), (6, 0)]


def test_a_route_tells_its_hops_source_and_mtu(routes: Routes) -> None:
    (route,) = routes.find("10.10.7.7")
    assert route == Route("10.10.0.0/16", "unicast", (Hop("eth2", "192.168.20.100"),), 0, "192.168.20.200", 1450)
    (locked,) = routes.find("10.13.0.1")
    assert locked.mtu == 1400


# What `ip route get` answered on the machine that had these routes.
@pytest.mark.parametrize(
    ("address", "way"),
    [
        ("8.8.8.8", "default via 192.168.10.1 dev eth1"),
        ("10.1.1.1", "blackhole 10.1.0.0/16"),
        ("10.2.1.1", "unreachable 10.2.0.0/16"),
        ("10.3.1.1", "prohibit 10.3.0.0/16"),
        ("10.9.1.1", "10.9.0.0/16 nexthop via 192.168.10.1 dev eth1 nexthop via 192.168.20.1 dev eth2"),
        ("10.10.0.1", "10.10.0.0/16 via 192.168.20.100 dev eth2"),
        ("10.11.0.1", "10.11.0.0/16 via fd00:20::1 dev eth2"),
        ("10.15.0.1", "10.15.0.0/16 nexthop via 192.168.20.5 dev eth2 nexthop via 192.168.10.5 dev eth1"),
        ("10.16.0.1", "default via 192.168.10.1 dev eth1"),
        ("172.20.2.4", "172.20.2.0/24 via 192.168.20.77 dev eth2"),
        ("192.168.20.7", "192.168.20.0/24 dev eth2"),
        ("192.168.30.9", "192.168.30.0/24 dev va linkdown"),
        ("fd00:10::5", "fd00:10::/64 dev eth1"),
        ("fd01::1", "blackhole fd01::/64"),
        ("fd02::1", "fd02::/64 nexthop via fd00:10::1 dev eth1 nexthop via fd00:20::1 dev eth2"),
        ("fd04::1", "default via fe80::1 dev eth1"),
        ("2001:db8::1", "default via fe80::1 dev eth1"),
    ],
)
def test_an_address_takes_the_way_that_the_kernel_says(routes: Routes, address: str, way: str) -> None:
    assert ways(routes, address) == [way]


def test_after_throw_this_table_has_no_route(routes: Routes) -> None:
    assert ways(routes, "10.4.1.1") == []


def test_of_several_ways_each_may_be_taken(routes: Routes) -> None:
    (route,) = routes.find("10.9.0.1")
    assert route.devices == ("eth1", "eth2")


def test_what_refuses_has_no_device(routes: Routes) -> None:
    (route,) = routes.find("fd01::1")
    assert route.refuses
    assert route.devices == ()


def test_routes_for_some_datagrams_only_make_the_answer_unsure(routes: Routes) -> None:
    """The kernel sends those of that source, or type of service, elsewhere."""
    assert routes.is_sure("10.10.0.1")
    assert not routes.is_sure("10.16.0.1")
    assert routes.is_sure("fd02::1")
    assert not routes.is_sure("fd04::1")


def test_preferred_sources_are_own_addresses(routes: Routes) -> None:
    assert routes.addresses == {"192.168.20.200", "192.168.30.1"}


class TestAllTables:
    def test_local_and_broadcast_ones_end_here(self, tmp_path: Path) -> None:
        routes = load_routes(written(tmp_path, ALL_TABLES))
        kinds = [routes.find(address)[0].kind for address in ("192.168.10.200", "192.168.10.255", "127.9.9.9")]
        assert kinds == ["local", "broadcast", "local"]
        assert routes.addresses == {"192.168.10.200", "127.0.0.1", "fd00:10::c8"}

    def test_a_table_of_its_own_is_not_for_all_and_makes_unsure(self, tmp_path: Path) -> None:
        routes = load_routes(written(tmp_path, ALL_TABLES))
        assert ways(routes, "10.20.0.1") == ["default via 192.168.10.1 dev eth1"]
        assert not routes.is_sure("10.20.0.1")
        assert (routes.sources[0].problem or "").startswith("1 of the routes is for some datagrams only")
        assert routes.is_sure("10.21.0.1")

    def test_a_family_without_routes_is_unsure(self, tmp_path: Path) -> None:
        routes = load_routes(written(tmp_path, "default via 10.0.2.2 dev eth0\n"))
        assert ways(routes, "2001:db8::1") == []
        assert not routes.is_sure("2001:db8::1")


def test_the_founding_case_by_its_plain_text(tmp_path: Path) -> None:
    """Pods have no route of their own: they take the default one."""
    text = (
        "default via 10.0.2.2 dev eth0 proto dhcp src 10.0.2.15 metric 100 \n"
        "10.0.2.0/24 dev eth0 proto kernel scope link src 10.0.2.15 metric 100 \n"
        "10.0.2.2 dev eth0 proto dhcp scope link src 10.0.2.15 metric 100 \n"
        "192.168.10.0/24 dev eth1 proto kernel scope link src 192.168.10.200 \n"
        "192.168.20.0/24 dev eth2 proto kernel scope link src 192.168.20.200 \n"
    )
    routes = load_routes(written(tmp_path, text))
    assert ways(routes, "172.20.2.4") == ["default via 10.0.2.2 dev eth0"]
    assert routes.find("172.20.2.4")[0].is_default
    assert ways(routes, "192.168.20.100") == ["192.168.20.0/24 dev eth2"]
    assert ways(routes, "10.0.2.2") == ["10.0.2.2/32 dev eth0"]


class TestDead:
    def test_a_dead_hop_is_not_taken(self, tmp_path: Path) -> None:
        text = "default via 10.0.0.1 dev eth1 metric 1 dead linkdown\ndefault via 10.0.1.1 dev eth2 metric 2\n"
        assert ways(load_routes(written(tmp_path, text)), "8.8.8.8") == ["default via 10.0.1.1 dev eth2"]

    def test_of_several_hops_those_alive_are(self, tmp_path: Path) -> None:
        hops = [
            {"gateway": "10.0.0.1", "dev": "eth1", "weight": 1, "flags": ["dead", "linkdown"]},
            {"gateway": "10.0.1.1", "dev": "eth2", "weight": 1, "flags": []},
        ]
        routes = load_routes(written(tmp_path, [{"dst": "10.9.0.0/16", "flags": [], "nexthops": hops}]))
        assert routes.find("10.9.0.1")[0].devices == ("eth2",)


class TestUnreadable:
    def test_an_encapsulation_that_hides_the_destination_is_skipped(self, tmp_path: Path) -> None:
        """Written anew by another program, the second `dst` has taken the place of the first."""
        route = {"dst": "192.168.20.100", "encap": "ip", "id": 5, "gateway": "172.20.2.98", "dev": "vx"}
        other = {"dst": "10.0.0.0/8", "dev": "eth1", "flags": []}
        routes = load_routes(written(tmp_path, [route, other]))
        assert [(source.items, source.skipped) for source in routes.sources] == [(1, 1)]
        assert "none is relied upon" in (routes.sources[0].problem or "")
        assert ways(routes, "192.168.20.100") == []
        assert not routes.is_sure("10.0.0.1")

    def test_odd_values_are_skipped_or_unknown(self, tmp_path: Path) -> None:
        rows = [
            {"dst": "10.0.0.0/8", "dev": "eth1", "metric": "x", "metrics": [7, {"mtu": "9"}], "flags": None},
            {"dst": "10.0.0.0/99", "dev": "eth1", "flags": []},
            {"dst": 7, "flags": []},
            {"dst": "11.0.0.0/8", "flags": []},
            {"dst": "12.0.0.0/8", "dev": "eth1", "type": "odd", "flags": []},
            {"dst": "13.0.0.0/8", "nexthops": [4, {}], "flags": []},
            9,
        ]
        routes = load_routes(written(tmp_path, rows))
        assert [(source.items, source.skipped) for source in routes.sources] == [(1, 6)]
        assert "(entry 2: destination '10.0.0.0/99': expected" in (routes.sources[0].problem or "")
        assert routes.find("10.1.1.1") == (Route("10.0.0.0/8", hops=(Hop("eth1"),)),)


class TestFiles:
    def test_both_families_may_stand_in_one_file(self, tmp_path: Path) -> None:
        """`(ip -j route; ip -j -6 route) > routes.json` writes two JSON values."""
        routes = load_routes(written(tmp_path, JSON + JSON_6))
        assert routes.count == 21

    def test_a_family_without_routes_is_an_empty_list(self, tmp_path: Path) -> None:
        routes = load_routes(written(tmp_path, JSON, "[ ]\n"))
        assert routes.count == 15

    def test_a_prompt_and_warnings_may_stand_before(self, tmp_path: Path) -> None:
        assert load_routes(written(tmp_path, f"router# ip -j route\n{JSON}")).count == 15

    def test_text_and_json_in_one_file_are_two_lists(self, tmp_path: Path) -> None:
        """`(ip -6 route; ip -j route) > routes.json`"""
        routes = load_routes(written(tmp_path, f"fd00:20::/64 via fd00:10::7 dev eth1 metric 1024\n{JSON}"))
        assert routes.count == 16
        assert ways(routes, "fd00:20::1") == ["fd00:20::/64 via fd00:10::7 dev eth1"]

    def test_many_routes_for_one_prefix_are_all_kept(self, tmp_path: Path) -> None:
        rows = [{"dst": "10.0.0.0/8", "dev": f"eth{number}", "metric": number} for number in range(2000, 0, -1)]
        routes = load_routes(written(tmp_path, rows))
        assert routes.count == 2000
        assert ways(routes, "10.1.1.1") == ["10.0.0.0/8 dev eth1"]

    def test_colours_and_one_line_output_are_read(self, tmp_path: Path) -> None:
        text = (
            "default via \x1b[35m10.0.2.2 \x1b[0mdev \x1b[36meth0 \x1b[0mproto dhcp\n"
            "10.15.0.0/16 nhid 9 \\\tnexthop via 192.168.20.5 dev eth2 weight 1 "
            "\\\tnexthop via 192.168.10.5 dev eth1 weight 1\n"
        )
        routes = load_routes(written(tmp_path, text))
        assert ways(routes, "1.1.1.1") == ["default via 10.0.2.2 dev eth0"]
        assert routes.find("10.15.0.1")[0].devices == ("eth2", "eth1")

    @pytest.mark.parametrize(
        ("content", "told"),
        [
            ("", "empty"),
            ("[]", "an empty list of routes"),
            ("[{}]", "an empty list of routes|holds no route"),
            ('[{"ifindex": 1, "ifname": "lo"}]', "--links"),
            ('{"kind": "List", "items": []}', "--cluster"),
            ('[{"dst": "default", "gateway": "10.0.2.2"', "cut short"),
            ('[{"dst": "foo", "dev": "eth1"}]', r'entry 1: destination .foo.: expected "default" or an IP prefix'),
            ('[{}, {"dst": "1.2.3.0/24"}]', r'entry 1: destination .1\.2\.3\.0/24.: expected the name of a device'),
            ('[{"dst": "1.2.3.0/24", "dev": "e", "type": ["a"]}]', "entry 1: type .*: expected one of"),
            ("1.2.3.0/24 proto static\n", r"entry 1: destination .*: expected a device behind it"),
            ("r# ip route\nfoo via 1.2.3.4 dev eth0\n", "line 2: .foo via 1.2.3.4 dev eth0.: expected a line"),
            ("hello\n", "holds no route, line 1"),
            ("1: lo: <LOOPBACK,UP> mtu 65536\n", "holds no route"),
            ("Kernel IP routing table\nDestination   Gateway   Genmask\n0.0.0.0 10.0.2.2 0.0.0.0\n", "netstat"),
            ("10.9.1.1 via 192.168.20.1 dev eth2 src 192.168.20.200 uid 0 \n    cache \n", "ip route get"),
            ('[{"dst":"10.9.1.1","dev":"eth2","flags":[],"uid":0,"cache":[]}]', "ip route get"),
        ],
    )
    def test_what_is_no_list_of_routes_is_refused_in_one_line(
        self, tmp_path: Path, content: str, told: str
    ) -> None:
        (path,) = written(tmp_path, content)
        with pytest.raises(UsageError, match=told) as caught:
            load_routes([path])
        assert str(caught.value).startswith(path)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize("path", sorted(CAPTURES.glob("*.routes.json")), ids=lambda path: path.stem)
    def test_those_of_the_sample_captures_are_read_whole(self, path: Path) -> None:
        routes = load_routes([str(path)])
        assert routes.count
        assert [source.skipped for source in routes.sources] == [0]


@pytest.fixture
def router() -> Iterator[list[str]]:
    """A network namespace with two links and routes of many kinds: the command that runs others in it."""
    require_root()
    ip = require_tool("ip")
    name = f"vxtool-routes-{os.getpid()}"
    run = [ip, "netns", "exec", name]
    commands = [
        "link add eth1 type veth peer name peer1",
        "link add eth2 type veth peer name peer2",
        *(f"link set {device} up" for device in ("eth1", "eth2", "peer1", "peer2", "lo")),
        "addr add 192.168.10.200/24 dev eth1",
        "addr add 192.168.20.200/24 dev eth2",
        "addr add fd00:10::c8/64 dev eth1 nodad",
        "route add default via 192.168.10.1 dev eth1 metric 100",
        "route add default via 192.168.20.1 dev eth2 metric 50",
        "route add 10.0.0.0/8 via 192.168.10.7 dev eth1",
        "route add 10.9.0.0/16 via 192.168.20.7 dev eth2 mtu 1450",
        "route add 10.9.9.0/24 via 192.168.10.9 dev eth1",
        "route add blackhole 10.9.9.64/26",
        "route add 10.9.9.65/32 via 192.168.20.8 dev eth2",
        "-6 route add fd00:20::/64 via fd00:10::7 dev eth1",
        "-6 route add unreachable fd00:20::8000/113",
    ]
    subprocess.run([ip, "netns", "add", name], check=True)
    try:
        for command in commands:
            subprocess.run([*run, ip, *command.split()], check=True, capture_output=True)
        yield [*run, ip]
    finally:
        subprocess.run([ip, "netns", "delete", name], check=True)


@pytest.mark.parametrize("arguments", [["-j"], []])
def test_the_kernel_of_this_machine_agrees(router: list[str], tmp_path: Path, arguments: list[str]) -> None:
    def printed(*words: str) -> str:
        done = subprocess.run([*router, *words], capture_output=True, text=True, check=False)
        return done.stdout + done.stderr

    routes = load_routes(written(tmp_path, printed(*arguments, "route", "show", "table", "all")))
    addresses = [
        "1.1.1.1", "10.8.0.1", "10.9.1.1", "10.9.9.1", "10.9.9.63", "10.9.9.64", "10.9.9.65", "10.9.9.127",
        "10.9.9.128", "192.168.10.5", "192.168.20.255", "192.168.20.200", "fd00:20::1", "fd00:20::8001",
        "fd00:10::9",
    ]  # fmt: skip
    for address in addresses:
        answer = printed("route", "get", address).split("\n")[0]
        (route,) = routes.find(address)
        if route.refuses:
            assert answer.startswith("RTNETLINK answers"), (address, answer)
        elif route.kind != "unicast":
            assert answer.startswith(route.kind), (address, answer)
        else:
            (hop,) = route.hops
            assert f"dev {hop.device} " in answer, (address, answer)
            assert (f"via {hop.via} " if hop.via else f"{address} ") in answer, (address, answer)


def test_all_routes_that_may_apply_are_those_of_every_table_and_condition(tmp_path: Path) -> None:
    """Of each other table the longest, since a rule may look there first; of conditional ones all."""
    text = """\
default via 10.0.2.2 dev eth0
172.20.0.0/16 dev eth1
default dev eth3 table 101
172.20.2.0/24 dev eth4 table 101
172.20.2.0/24 dev eth5 table 102 dead linkdown
172.20.0.0/15 tos 0x10 dev eth6
192.0.2.0/24 dev eth7 table 103
"""
    path = tmp_path / "routes.txt"
    path.write_text(text)
    routes = load_routes([str(path)])

    def devices(address: str) -> list[str]:
        return [device for route in routes.find_any(address) or () for device in route.devices]

    assert devices("172.20.2.4") == ["eth1", "eth6", "eth4"]
    assert devices("172.20.3.4") == ["eth1", "eth6", "eth3"]
    assert devices("192.0.2.1") == ["eth0", "eth3", "eth7"]
    assert devices("fd00::1") == []
    path.write_text(text + "10.7.0.0/16 encap ip id 5 dst 10.0.2.9\n")
    assert load_routes([str(path)]).find_any("172.20.2.4") is None
