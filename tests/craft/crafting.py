"""What the tests of crafting share: the command, tshark's eyes, and a report held against a truth."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from conftest import require_tool

import vxtool
from vxtool import cli

PODS = ("--from", "172.20.0.107", "--to", "172.20.2.4")
NODES = ("--vni", "36705", "--outer", "192.168.10.100:51213,192.168.20.100")
PODS6 = ("--from", "fd00:172:20::107", "--to", "fd00:172:20:2::4")
NODES6 = ("--vni", "36705", "--outer", "[fd00:10::100]:51213,fd00:20::100")

# All that tshark may say against a packet, with checksums verified; 6291456 are its warnings.
COMPLAINTS = (
    "_ws.malformed", "ip.checksum.status==0", "udp.checksum.status==0", "tcp.checksum.status==0",
    "icmp.checksum.status==0", "icmpv6.checksum.status==0", "_ws.expert.severity>=6291456",
)  # fmt: skip
CHECKING = ("ip.check_checksum", "udp.check_checksum", "tcp.check_checksum")


def craft(*arguments: str) -> None:
    """Run `vxtool craft`; it must succeed."""
    assert cli.run(["craft", *arguments]) == 0


def tshark(path: Path | str, *options: str, reassemble: bool = True) -> list[str]:
    """The lines that tshark prints of a capture."""
    checks = [word for name in CHECKING for word in ("-o", f"{name}:TRUE")]
    if not reassemble:
        checks += ["-o", "ip.defragment:FALSE", "-o", "ipv6.defragment:FALSE"]
    command = [
        require_tool("tshark"), "-n", "-r", str(path), *checks,
        "-d", "udp.port==8472,vxlan", "-d", "udp.port==6081,geneve", *options,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def fields(path: Path | str, *names: str, reassemble: bool = True) -> list[list[str]]:
    """Fields of each packet, as tshark reads them."""
    options = ["-T", "fields", "-E", "separator=|"]
    for name in names:
        options += ["-e", name]
    return [line.split("|") for line in tshark(path, *options, reassemble=reassemble)]


def complaints(path: Path | str, *more: str, besides: Sequence[str] = ()) -> list[str]:
    """The packets that tshark finds fault with, of the faults named in COMPLAINTS and `more` but not `besides`."""
    faults = [fault for fault in (*COMPLAINTS, *more) if fault not in besides]
    return tshark(path, "-Y", " || ".join(faults))


def truth_of(path: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(path.with_suffix(".truth.json").read_text())
    return told


def part_of(report: Any, truth: Any) -> Any:
    """The part of a report that a truth tells: the same keys of objects, lists whole."""
    if isinstance(truth, dict) and isinstance(report, dict):
        return {key: part_of(report.get(key), value) for key, value in truth.items()}
    if isinstance(truth, list) and isinstance(report, list) and len(truth) == len(report):
        return [part_of(each, told) for each, told in zip(report, truth, strict=True)]
    return report


def assert_true(path: Path, captures: Sequence[Path] = (), **known: Any) -> dict[str, Any]:
    """What vxtool reports of a crafted capture is what its truth tells, in all that it tells."""
    truth = truth_of(path)
    wanted = [finding["id"] for finding in truth.pop("findings", [])]
    files = [str(each) for each in captures or [path]]
    links, routes = (str(path.with_suffix(f".{kind}.json")) for kind in ("links", "routes"))
    report = vxtool.analyze(files, links=[links], routes=[routes], **known)
    assert part_of(report, truth) == truth
    found = {finding["id"]: finding["severity"] for finding in report["findings"]}
    assert set(wanted) <= set(found)
    return truth
