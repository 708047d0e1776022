"""Captures to measure on, and what is true of them.

`programs/make_input.c` writes a capture of so many records, flows and open journeys, and states its truth;
`differences` holds a report of vxtool against it. A timing whose result is wrong is worth nothing, so every one is
checked.

Slow programs get a shorter capture of the same making: up to its last few records it is the beginning of the
long one.
"""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

SOURCES = Path(__file__).resolve().parent / "programs"
COMPILERS = ("cc", "gcc", "clang")


class BuildError(Exception):
    """A C program of the benchmarks could not be built; the text says what to install."""


@dataclass(frozen=True)
class Case:
    """One kind of traffic in one kind of file."""

    name: str
    title: str
    records: int = 4_000_000
    flows: int = 5_000
    open: int = 60  # journeys open at once: waiting for their egress, or settled less than 10 ms ago
    sizes: Literal["small", "imix", "full"] = "small"
    inner: Literal[4, 6] = 4
    outer: Literal[4, 6] = 4
    drop_every: int = 0  # one datagram in so many is dropped; 0: none
    fragments: bool = False  # every datagram comes and goes in two fragments
    constant: bool = False  # packets of a flow differ in their identifications only
    spacing_ns: int = 0  # between datagrams; 0: as `open` asks
    container: Literal["sll2", "sll", "ethernet", "pcapng"] = "sll2"
    compressed: bool = False

    def with_records(self, records: int) -> Case:
        """The same with another length; flows and open journeys shrink where there are too few datagrams."""
        datagrams = max(4, records // (4 if self.fragments else 2))
        most = datagrams // 2
        return replace(self, records=records, flows=min(self.flows, most), open=min(self.open, most))


CASES: Mapping[str, Case] = {
    case.name: case
    for case in (
        Case("small", "small packets: 52-byte TCP ACKs and UDP inside, 122 bytes captured"),
        Case("imix", "IMIX inside: 52, 576 and 1450 bytes, 7 : 4 : 1", sizes="imix"),
        Case("full", "full-size packets: 1450 bytes inside, 1500 on the wire", sizes="full"),
        Case("flows", "small packets, many flows", flows=1_000_000),
        Case("open", "small packets, many open journeys", open=100_000),
        Case("ipv6", "small packets, IPv6 outside and inside", inner=6, outer=6),
        Case(
            "drops",
            "small packets, 1 % dropped, identifications that wrap while drops still wait",
            flows=4096,
            open=2100,
            spacing_ns=5000,
            drop_every=100,
            constant=True,
        ),
        Case("fragments", "small packets, each in two fragments", fragments=True),
        Case("fragments-full", "packets of 1500 bytes inside, each in two fragments", sizes="full", fragments=True),
        Case("sll", "small packets, SLL (no interfaces)", container="sll"),
        Case("ethernet", "small packets, Ethernet, one file for each of two interfaces", container="ethernet"),
        Case("pcapng", "small packets, pcapng of two Ethernet interfaces", container="pcapng"),
        Case("gzip", "small packets, gzip", compressed=True),
    )
}


@dataclass(frozen=True)
class Input:
    """A capture that was made. `truth` is what `make_input` printed, of all files together."""

    case: Case
    paths: tuple[Path, ...]
    truth: Mapping[str, Any] = field(hash=False)

    @property
    def records(self) -> int:
        return int(self.truth["records"])

    @property
    def bytes(self) -> int:
        """Bytes of capture data, before compression."""
        return sum(int(file["bytes"]) for file in self.truth["files"])

    def remove(self) -> None:
        for path in self.paths:
            path.unlink(missing_ok=True)


def compiler() -> str | None:
    """The C compiler at hand, or None."""
    return next((path for name in COMPILERS if (path := shutil.which(name)) is not None), None)


def build(name: str, directory: Path, libraries: Sequence[str] = ()) -> Path:
    """Compile `programs/NAME.c` into `directory`. Raises BuildError where that is not possible."""
    command = compiler()
    if command is None:
        raise BuildError("no C compiler: install gcc (Debian: apt install gcc libc6-dev)")
    target = directory / name
    flags = ["-std=gnu11", "-O2", "-Wall", "-Wextra"]
    done = subprocess.run(
        [command, *flags, str(SOURCES / f"{name}.c"), "-o", str(target), *libraries], capture_output=True, text=True
    )
    if done.returncode != 0:
        raise BuildError(f"{name}.c does not compile: {done.stderr.strip().splitlines()[0]}")
    return target


def make(maker: Path, case: Case, directory: Path) -> Input:
    """Write the capture of `case` into `directory` with the program `maker`; equal cases give equal bytes."""
    stem = f"{case.name}-{case.records}-{case.flows}-{case.open}"
    paths: tuple[Path, ...]
    if case.container == "ethernet":
        paths = (directory / f"{stem}-eth1.pcap", directory / f"{stem}-eth2.pcap")
    else:
        paths = (directory / f"{stem}.{'pcapng' if case.container == 'pcapng' else 'pcap'}",)
    options = {
        "records": case.records,
        "flows": case.flows,
        "open": case.open,
        "sizes": case.sizes,
        "inner": case.inner,
        "outer": case.outer,
        "drop-every": case.drop_every,
        "spacing": case.spacing_ns,
        "container": case.container,
    }
    command = [str(maker), *(word for name, value in options.items() for word in (f"--{name}", str(value)))]
    command += ["--fragments"] * case.fragments + ["--constant"] * case.constant
    done = subprocess.run([*command, *map(str, paths)], capture_output=True, text=True)
    if done.returncode != 0:
        raise ValueError(f"{case.name}: {done.stderr.strip()}")
    truth = json.loads(done.stdout)
    if case.compressed:
        paths = tuple(_compress(path) for path in paths)
    return Input(case, paths, truth)


def _compress(path: Path) -> Path:
    target = path.with_name(path.name + ".gz")
    if (program := shutil.which("gzip")) is not None:
        with target.open("wb") as output:
            subprocess.run([program, "-n", "-c", str(path)], stdout=output, check=True)
    else:
        with path.open("rb") as source, gzip.GzipFile(target, "wb", 6, mtime=0) as packed:
            shutil.copyfileobj(source, packed, 1 << 20)
    path.unlink()
    return target


def differences(report: Mapping[str, Any], truth: Mapping[str, Any]) -> list[str]:
    """Where a report of `vxtool analyze` says other than the truth; empty where it is right."""
    capture, forwarding, overhead = report["capture"], report["forwarding"], report["overhead"]
    latencies = [path["latency_ns"] for path in forwarding["paths"] if path["latency_ns"]]
    expected_and_found = {
        "records": (truth["records"], capture["records"]),
        "tunnel records": (truth["records"], capture["tunnel_records"]),
        "malformed records": (0, capture["malformed_records"]),
        "fragments without a first": (0, capture["orphan_fragments"]),
        "datagrams": (truth["datagrams"], forwarding["datagrams"]),
        "forwarded": (truth["forwarded"], forwarding["forwarded"]),
        "dropped": (truth["dropped"], forwarding["dropped"]),
        "fragmented at source": (truth["fragmented"], forwarding["fragmented_at_source"]),
        "flows": (truth["flows"], report["flows_total"]),
        "inner bytes": (truth["inner_bytes"], overhead["inner_bytes"]),
        "outer bytes": (truth["outer_bytes"], overhead["outer_bytes"]),
        "packets on the wire": (truth["wire_packets"], overhead["wire_packets"]),
        "first time": (_text(truth["first_time_ns"]), capture["first_time"]),
        "last time": (_text(truth["last_time_ns"]), capture["last_time"]),
        "shortest latency": (truth["latency_ns"][0], min((each["min"] for each in latencies), default=None)),
        "longest latency": (truth["latency_ns"][1], max((each["max"] for each in latencies), default=None)),
        "inputs with an error": (0, sum(each["error"] is not None for each in report["inputs"])),
    }
    return [
        f"{name}: expected {expected}, found {found}"
        for name, (expected, found) in expected_and_found.items()
        if expected != found
    ]


def _text(time_ns: int) -> str:
    moment = datetime.fromtimestamp(time_ns // 1_000_000_000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{time_ns % 1_000_000_000:09d}Z"
