"""The programs that are compared: vxtool, and what else reads captures.

Each entry says how it is called, how long a capture it can be asked to read, and what it must print to be believed.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.inputs import SOURCES, Input, differences
from benchmarks.measure import Check

VXTOOL, ONE_CORE, LOOP = "vxtool analyze", "vxtool, one core", "libpcap bare loop"
PURE_BUDGET = 80_000
SUMMARY, SUMMARY_COLUMNS, TSHARK = "vxtool summary", "vxtool summary, tshark's columns", "tshark"
SUMMARY_PURE_BUDGET = 8_000


@dataclass(frozen=True)
class Peer:
    """A program. `budget` is the longest capture it gets in a round; None: any."""

    name: str
    does: str
    command: Callable[[Sequence[Path]], list[str]]
    budget: int | None = None
    check: Check | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    needs: str | None = None  # why it cannot run here, and what to install


def vxtool_command(given: Sequence[str] = ()) -> list[str]:
    """How to start vxtool: as `given`, else as installed beside this interpreter, else as a module of it."""
    if given:
        return list(given)
    script = Path(sys.executable).parent / "vxtool"
    return [str(script)] if script.exists() else [sys.executable, "-m", "vxtool"]


def check_report(printed: bytes, source: Input) -> list[str]:
    """Hold the JSON of `vxtool analyze` against what the capture's maker says."""
    try:
        return differences(json.loads(printed), source.truth)
    except (ValueError, KeyError, IndexError, TypeError) as error:
        return [f"not the report that was expected ({type(error).__name__}: {error})"]


def check_counts(printed: bytes, source: Input) -> list[str]:
    """Hold what a reading loop printed against the truth, as far as it counts."""
    found = json.loads(printed)
    return [
        f"{name}: expected {source.truth[name]}, found {count}"
        for name, count in found.items()
        if count != source.truth[name]
    ]


def vxtool_peers(vxtool: Sequence[str], engine: str) -> list[Peer]:
    """vxtool as it comes, on one core, and, where the C engine runs, its pure twin."""

    def command(paths: Sequence[Path]) -> list[str]:
        return [*vxtool, "analyze", "--format", "json", *map(str, paths)]

    budget = PURE_BUDGET if engine == "pure" else None
    taskset = _needs("taskset", "util-linux")
    core = str(min(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else "0"
    peers = [
        Peer(VXTOOL, f"the whole report as JSON, {engine} engine", command, budget, check_report),
        Peer(
            ONE_CORE,
            f"the same by taskset -c {core}",
            lambda paths: ["taskset", "-c", core, *command(paths)],
            budget,
            check_report,
            needs=taskset,
        ),
    ]
    if engine != "pure":
        pure = {"VXTOOL_ENGINE": "pure"}
        peers.append(Peer("vxtool, pure engine", "the same report", command, PURE_BUDGET, check_report, pure))
    return peers


def check_lines(wanted: str) -> Check:
    """That as many lines were printed as the truth has of `wanted`: records, or datagrams."""

    def check(printed: bytes, source: Input) -> list[str]:
        lines, expected = printed.count(b"\n"), source.truth[wanted]
        return [] if lines == expected else [f"lines for {wanted}: expected {expected}, found {lines}"]

    return check


def summary_peers(vxtool: Sequence[str], engine: str) -> list[Peer]:
    """Lists of packets: a line for each datagram or record, by vxtool and by tshark."""
    budget = SUMMARY_PURE_BUDGET if engine == "pure" else None
    columns = "number,source,destination,protocol,length,info"

    def listing(*options: str) -> Callable[[Sequence[Path]], list[str]]:
        return lambda paths: [*vxtool, "summary", *options, *map(str, paths)]

    return [
        Peer(SUMMARY, "a line for each datagram", listing(), budget, check_lines("datagrams")),
        Peer(f"{SUMMARY} --all", "a line for each record", listing("--all"), budget, check_lines("records")),
        Peer(
            SUMMARY_COLUMNS,
            f"the same, --fields {columns}",
            listing("--all", "--fields", columns),
            budget,
            check_lines("records"),
        ),
        Peer(
            TSHARK,
            "a line for each record",
            lambda paths: ["tshark", "-d", "udp.port==8472,vxlan", "-r", str(paths[0])],
            1_000_000,
            check_lines("records"),
            needs=_needs("tshark", "tshark"),
        ),
    ]


def bare_peers(loop: Path | None) -> list[Peer]:
    """What does nothing but read."""
    missing = None if loop else "pcap/pcap.h is not installed: apt install libpcap-dev"
    return [
        Peer(
            LOOP,
            "pcap_next_ex to the end, decodes nothing",
            lambda paths: [str(loop), *map(str, paths)],
            check=check_counts,
            needs=missing,
        ),
        Peer("cat", "> /dev/null", lambda paths: ["cat", *map(str, paths)]),
    ]


def gzip_peer() -> Peer:
    return Peer(
        "gzip -dc",
        "> /dev/null",
        lambda paths: ["gzip", "-dc", *map(str, paths)],
        needs=_needs("gzip", "gzip"),
    )


def other_peers() -> list[Peer]:
    """Everything else; all of it slow but capinfos. They read one SLL2 file of VXLAN over IPv4."""
    decode_as = ["-d", "udp.port==8472,vxlan"]
    tshark, tcpdump = _needs("tshark", "tshark"), _needs("tcpdump", "tcpdump")

    def one(*words: str) -> Callable[[Sequence[Path]], list[str]]:
        return lambda paths: [str(paths[0]) if word == "FILE" else word for word in words]

    def script(name: str) -> Callable[[Sequence[Path]], list[str]]:
        return one(sys.executable, str(SOURCES / f"{name}.py"), "FILE")

    return [
        Peer("capinfos", "counts and times", one("capinfos", "FILE"), needs=_needs("capinfos", "tshark")),
        Peer(
            "plain struct loop",
            "Python: flows, In and Out joined",
            script("struct_loop"),
            1_000_000,
            check_counts,
        ),
        Peer("tcpdump -nn", "> /dev/null", one("tcpdump", "-nn", "-r", "FILE"), 200_000, needs=tcpdump),
        Peer(
            "tshark -z io,stat",
            "-q: one line of totals",
            one("tshark", "-n", *decode_as, "-r", "FILE", "-q", "-z", "io,stat,0"),
            120_000,
            needs=tshark,
        ),
        Peer(
            "tshark -z conv,ip",
            "-q: conversations",
            one("tshark", "-n", *decode_as, "-r", "FILE", "-q", "-z", "conv,ip"),
            120_000,
            needs=tshark,
        ),
        Peer(
            "tshark",
            "a line for each record, > /dev/null",
            one("tshark", "-n", *decode_as, "-r", "FILE"),
            80_000,
            needs=tshark,
        ),
        Peer(
            "dpkt",
            "flows, In and Out joined",
            script("dpkt_loop"),
            100_000,
            check_counts,
            needs=_needs_module("dpkt"),
        ),
        Peer(
            "scapy",
            "RawPcapReader; flows, In and Out joined",
            script("scapy_loop"),
            8_000,
            check_counts,
            needs=_needs_module("scapy"),
        ),
        Peer(
            "pyshark",
            "flows, In and Out joined",
            script("pyshark_loop"),
            2_000,
            check_counts,
            needs=_needs_module("pyshark") or tshark,
        ),
    ]


def _needs(program: str, package: str) -> str | None:
    return None if shutil.which(program) else f"{program} is not installed: apt install {package}"


def _needs_module(name: str) -> str | None:
    return None if importlib.util.find_spec(name) else f"{name} is not installed: pip install {name}"
