"""Crafted echo requests to the kernel's own VXLAN: the pod behind it answers, and the answer is decoded.

In the lab of `captures/lab`, the node k8s-ctr has no tunnel of its own: `vxtool craft --send` stands for it. The
other node, its VXLAN device and the pod behind it are the kernel's.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from conftest import CAPTURES, require_module, require_root, require_tool


def topology() -> ModuleType:
    """`captures/lab/topology.py`, which is a script's module and not on the search path."""
    found = importlib.util.spec_from_file_location("topology", CAPTURES / "lab" / "topology.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


@pytest.fixture(scope="module", params=[4, 6], ids=["over IPv4", "over IPv6"])
def lab(request: pytest.FixtureRequest) -> Iterator[tuple[Any, int]]:
    require_root()
    require_tool("ip")
    module = topology()
    with module.Lab() as made:
        try:
            made.build(ipv6=True)
            made.overlay(underlay=request.param, ipv6=True)
        except (module.LabError, OSError) as error:
            pytest.skip(f"this machine cannot have the lab: {error}")
        made.run("k8s-ctr", "ip link delete cilium_vxlan")
        yield made, request.param


@pytest.mark.parametrize("way", ["UDP socket", "frames"])
@pytest.mark.parametrize("inside", [4, 6], ids=["IPv4 pods", "IPv6 pods"])
def test_the_pod_behind_the_kernel_s_tunnel_answers(lab: tuple[Any, int], way: str, inside: int) -> None:
    require_module("scapy")
    made, underlay = lab
    outer = "192.168.10.100:51213,192.168.20.100" if underlay == 4 else "[fd00:10::100]:51213,fd00:20::100"
    pods = ("172.20.0.107", "172.20.2.4") if inside == 4 else ("fd00:172:20::107", "fd00:172:20:2::4")
    command = [
        str(Path(sys.executable).with_name("vxtool")), "craft", "--from", pods[0], "--to", pods[1],
        "--vni", "36705", "--outer", outer, "--inner-mac", "5a:a6:d1:44:0e:93,d6:2f:b8:90:7c:15",
        "--icmp", "echo", "--icmp-id", "2900", "--count", "3", "--rate", "20", "--send", "--listen", "2",
    ]  # fmt: skip
    if way == "frames":
        command += ["--interface", "eth1"]
    said = made.run("k8s-ctr", command)
    replies = [line for line in said.splitlines() if line.startswith("reply ") and "echo reply" in line]
    node, here = ("192.168.20.100", "192.168.10.100") if underlay == 4 else ("[fd00:20::100]", "[fd00:10::100]")
    family = "icmp" if inside == 4 else "icmpv6"
    assert len(replies) == 3, said
    for sequence, line in enumerate(replies, 1):
        assert re.search(
            rf"  {re.escape(node)}:\d+ → {re.escape(here)}:8472  vxlan 17701  {pods[1]} → {pods[0]}  "
            rf"{family} echo reply, id 2900, seq {sequence}$",
            line,
        )
    assert "sent 3, failed 0" in said
    assert said.index("sending 3 packets") < said.index("reply ")
