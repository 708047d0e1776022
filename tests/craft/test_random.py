"""Random traffic across the router of the lab: whatever is asked for, the report says what the truth says."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from craft.crafting import part_of

import vxtool
from vxtool.craft.options import plan_of_options
from vxtool.craft.plan import Plan, write_plan
from vxtool.craft.scenario import plan_scenario, read_scenario


def conversation(rng: random.Random) -> dict[str, Any]:
    """One table `traffic`, with a few things that go wrong."""
    ends = rng.sample(["curl-pod", "webpod"], 2)
    table: dict[str, Any] = {
        "kind": rng.choice(["ping", "tcp", "udp"]),
        "from": ends[0],
        "to": ends[1],
        "at": f"{rng.randrange(900)}ms",
        "port": [rng.randrange(30_000, 60_000), rng.choice([80, 443, 5201])],
        "icmp-id": rng.randrange(65_536),
        "tunnel": rng.choice(["vxlan", "vxlan", "geneve", "none"]),
        "family": rng.choice([4, 4, 6]),
        "underlay": rng.choice([4, 4, 6]),
        "inner-id": [rng.randrange(65_536), rng.randrange(65_536)],
    }
    perhaps: dict[str, list[Any]] = {
        "latency": ["1us", "100us", "900us", "3ms", ["5us", "50us"]],
        "drop": ["1%", "10%", "60%", "100%"],
        "mtu": [1300, 1400],
        "silent": [True],
        "df": [True],
        "misroute": ["eth0", "eth0=20%"],
        "fragment": [1500, 1400, 1280],
    }
    for key, values in perhaps.items():
        if rng.random() < 0.2:
            table[key] = rng.choice(values)
    if table["kind"] == "tcp":
        table |= {
            "request": rng.choice([0, 100, 5_000, 40_000]),
            "response": rng.choice([0, 100, 5_000, 90_000]),
            "mss": rng.choice([1370, 1410, 1460, [1410, 900]]),
            "lose": rng.choice([[], [], [1, 2, 7]]),
        }
        if rng.random() < 0.3:
            table |= {"repeat": rng.choice([3, 20]), "every": rng.choice(["1ms", "300ms", "7us"])}
    else:
        table |= {"count": rng.choice([1, 3, 50]), "interval": rng.choice(["20us", "1ms", "30ms"])}
        if table["kind"] == "ping":
            table["size"] = rng.choice([84, 1_000, 1_450, 1_500])
        else:
            table |= {"request": rng.choice([1, 512, 1_400]), "response": 10}
    return table


def options(rng: random.Random) -> tuple[dict[str, Any], dict[str, Any]]:
    """Plain options: those of the packets, and those of the router."""
    inside = rng.choice([("172.20.0.107", "172.20.2.4"), ("fd00:a::5", "fd00:b::6")])
    packets: dict[str, Any] = {
        "from": inside[0],
        "to": inside[1],
        **rng.choice([{"icmp": "echo"}, {"tcp": "32788:80", "mss": 1400}, {"udp": "5000:6000"}]),
        "count": rng.choice([1, 5, 300]),
        "rate": rng.choice([1_000, "50k", 20]),
        "size": rng.choice([100, 600, 1_400, 1_450]),
    }
    vary = ["from", "from=3x5", "to=1x3", "size=-3x7"]
    if rng.random() < 0.8:
        nodes = ("192.168.10.100:51213,192.168.20.100", "[fd00:10::100]:51213,fd00:20::100")
        packets |= {"outer": rng.choice(nodes), "vni": 36705, "tunnel": rng.choice(["vxlan", "geneve"])}
        packets |= rng.choice([{}, {"outer_checksum": True}, {"inner_vlan": (7,)}])
        vary += ["source-port", "source-port=1x3", "vni", "outer-from"]
    packets["vary"] = tuple(
        {each.partition("=")[0]: each for each in rng.sample(vary, rng.choice([0, 1, 2]))}.values()
    )
    packets |= rng.choice([{}, {}, {"df": True}, {"vlan": (7,)}, {"fragment": 1400}])
    router: dict[str, Any] = {"through": "eth1,eth2"}
    router |= rng.choice([{}, {"latency": "1us"}, {"latency": "900us"}, {"latency": "3ms"}])
    router |= rng.choice([{}, {"drop": "1%"}, {"drop": "60%"}, {"mtu": 1300}, {"mtu": 1300, "silent": True}])
    router |= rng.choice([{}, {}, {"misroute": "eth0"}, {"misroute": "eth0=20%"}])
    return packets, router


def assert_told(plan: Plan, folder: Path) -> bool:
    """Whether there is a truth; where there is, the report must be it."""
    written = write_plan(plan, str(folder / "random.pcap"))
    links, routes = ([str(folder / f"random.{kind}.json")] for kind in ("links", "routes"))
    report = vxtool.analyze(written.captures, links=links, routes=routes)
    assert written.truth is None or part_of(report, written.truth) == written.truth
    return written.truth is not None


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("seed", range(60))
def test_the_report_on_a_scenario_is_its_truth(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    given = {
        "world": "lab",
        "traffic": [conversation(rng) for _ in range(rng.choice([1, 1, 2]))],
        "capture": {"format": rng.choice(["sll2", "pcapng", "ethernet"])},
    }
    assert assert_told(plan_scenario(read_scenario(given, "random", "random"), seed), tmp_path)


@pytest.mark.usefixtures("engine")
def test_the_report_on_plain_packets_is_their_truth(tmp_path: Path) -> None:
    told = 0
    for seed in range(60):
        rng = random.Random(seed)
        packets, router = options(rng)
        format_ = rng.choice(["sll2", "pcapng", "ethernet"])
        told += assert_told(plan_of_options(packets, router, seed=seed, format_=format_), tmp_path)
    assert told > 50
