"""Random traffic across the router of the lab: whatever is asked for, the report says what the truth says."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from craft.crafting import part_of

import vxtool
from vxtool.craft.plan import write_plan
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


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("seed", range(60))
def test_the_report_is_the_truth(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    given = {
        "world": "lab",
        "traffic": [conversation(rng) for _ in range(rng.choice([1, 1, 2]))],
        "capture": {"format": rng.choice(["sll2", "pcapng", "ethernet"])},
    }
    plan = plan_scenario(read_scenario(given, "random", "random"), seed)
    written = write_plan(plan, str(tmp_path / "random.pcap"))
    links, routes = ([str(tmp_path / f"random.{kind}.json")] for kind in ("links", "routes"))
    report = vxtool.analyze(written.captures, links=links, routes=routes)
    assert part_of(report, written.truth) == written.truth, given
