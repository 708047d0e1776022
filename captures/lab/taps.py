"""Captures: tcpdump and dumpcap, started before the traffic and ended after it.

A tap that says that the kernel dropped packets, or a file that does not agree with the counters, is
no sample: `Disagreement` makes the scenario run again from nothing.
"""

from __future__ import annotations

import re
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from topology import Lab, LabError

TUNNEL = "udp port 8472"
TUNNEL_AND_TAILS = "udp port 8472 or (ip[6:2] & 0x1fff != 0)"
TUNNEL_AND_ICMP = "udp port 8472 or icmp"
TUNNEL_AND_ICMPV6 = "udp port 8472 or icmp6 or ip6[6] = 44"


class Disagreement(LabError):
    """The capture lost something, or does not show what the scenario is for: run it again."""


@dataclass(frozen=True)
class Tap:
    """One capture: the file it makes, the tool, where it listens, and its filter."""

    file: str
    interfaces: tuple[str, ...] = ("any",)
    filter: str = TUNNEL
    tool: str = "tcpdump"
    link_type: str | None = None
    snaplen: int = 256

    def argv(self, path: str) -> list[str]:
        """Return the command line that writes to ``path``."""
        listen = [word for interface in self.interfaces for word in ("-i", interface)]
        if self.tool == "dumpcap":
            # dumpcap wants a filter and a snaplen after each interface that they are for.
            each = [
                word
                for interface in self.interfaces
                for word in ("-i", interface, "-s", str(self.snaplen), "-f", self.filter)
            ]
            return ["dumpcap", "-q", "-B", "16", *each, "-w", path]
        link_type = ["-y", self.link_type] if self.link_type else []
        words = [
            "tcpdump",
            *listen,
            *link_type,
            "-s",
            str(self.snaplen),
            "-B",
            "16384",
            "-Z",
            "root",
            "-w",
            path,
        ]
        return [*words, self.filter] if self.filter else words


class Taps:
    """The taps of one scenario, all open at once. A context manager around the traffic."""

    def __init__(self, lab: Lab, namespace: str, taps: list[Tap], directory: Path) -> None:
        self._lab = lab
        self._namespace = namespace
        self._taps = taps
        self._directory = directory
        self._running: list[tuple[Tap, subprocess.Popen[str]]] = []

    def __enter__(self) -> Taps:
        for tap in self._taps:
            command = tap.argv(str(self._directory / tap.file))
            self._running.append((tap, self._lab.start(self._namespace, command)))
        time.sleep(1.2)
        for tap, process in self._running:
            if process.poll() is not None:
                said = " ".join(self._lab.stop(process).split())
                raise LabError(f"{tap.file}: {tap.tool} ended at once: {said}")
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        # The kernel hands blocks over up to a second late.
        time.sleep(1.5)
        for tap, process in self._running:
            said = self._lab.stop(process)
            # dumpcap keeps its files from all other users.
            (self._directory / tap.file).chmod(0o644)
            if kind is None:
                _check_lossless(tap, said)


def _check_lossless(tap: Tap, said: str) -> None:
    if tap.tool == "dumpcap":
        lost = sum(int(n) for n in re.findall(r"received/dropped on interface .*?: \d+/(\d+)", said))
    else:
        found = re.search(r"(\d+) packets? dropped by kernel", said)
        if not found:
            raise LabError(f"{tap.file}: tcpdump did not say what it lost: {' '.join(said.split())}")
        lost = int(found[1])
    if lost:
        raise Disagreement(f"{tap.file}: {tap.tool} lost {lost} packets")
