#!/usr/bin/env python3
"""Stand the lab up, run scenarios, and write captures with their truth. Needs root.

Usage: captures/lab/run.py [SCENARIO...] [--out DIR] [--list]

Without a scenario, all of them run (about three minutes). Nothing outlives the run: namespaces and
processes are removed on success, on failure, and on Ctrl-C.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from scenarios import SCENARIOS, play
from taps import Disagreement
from topology import LabError

TOOLS = (
    "ip",
    "tc",
    "nft",
    "ss",
    "ethtool",
    "sysctl",
    "tcpdump",
    "dumpcap",
    "tshark",
    "ping",
    "curl",
    "iperf3",
)
ATTEMPTS = 4


def main() -> int:
    """Run the scenarios that the command line names; return the exit status."""
    parser = argparse.ArgumentParser(description="Make the sample captures in network namespaces (needs root).")
    parser.add_argument("scenario", nargs="*", metavar="SCENARIO", help="which to run (default: all samples)")
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).resolve().parent.parent, help="directory to write to"
    )
    parser.add_argument("--list", action="store_true", help="list the scenarios and exit")
    options = parser.parse_args()
    if options.list:
        for name, function in SCENARIOS.items():
            print(f"{name:24} {(function.__doc__ or '').strip()}")
        return 0
    unknown = [name for name in options.scenario if name not in SCENARIOS]
    if unknown:
        return _refuse(f"no scenario {unknown[0]!r}; --list names them all", 2)
    if os.geteuid() != 0:
        return _refuse("the lab makes network namespaces and needs root: run it with sudo", 3)
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        return _refuse(f"not installed: {', '.join(missing)}; install them and run again", 3)
    # Termination takes the same way out as Ctrl-C, so that the lab is removed.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        for name in options.scenario or SCENARIOS:
            _play(name, options.out)
    except KeyboardInterrupt:
        return _refuse("interrupted; the lab is removed", 130)
    except (LabError, OSError, subprocess.SubprocessError) as error:
        return _refuse(str(error), 1)
    return 0


def _play(name: str, directory: Path) -> None:
    for attempt in range(1, ATTEMPTS + 1):
        try:
            expected = play(name, directory)
        except Disagreement as error:
            if attempt == ATTEMPTS:
                raise
            print(f"{name}: attempt {attempt}: {error}; once more", file=sys.stderr)
        else:
            print(f"{name}: {json.dumps(expected)}", flush=True)
            return


def _refuse(message: str, status: int) -> int:
    print(f"run.py: {message}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
