"""What a run ran on, so that its figures can be read elsewhere."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

_TOOLS = {
    "tshark": ["tshark", "--version"],
    "tcpdump": ["tcpdump", "--version"],
    "gzip": ["gzip", "--version"],
}


def describe(vxtool_version: str) -> dict[str, Any]:
    """Processor, cores, memory, system, and the versions of all that was run."""
    versions = {"vxtool": vxtool_version, "python": platform.python_version()}
    for name, command in _TOOLS.items():
        said = _first_lines(command)
        if said:
            versions[name] = _number(said.splitlines()[0])
            if name == "tcpdump" and (found := re.search(r"libpcap version ([\d.]+)", said)):
                versions["libpcap"] = found.group(1)
    for module in ("dpkt", "scapy", "pyshark"):
        try:
            versions[module] = metadata.version(module)
        except metadata.PackageNotFoundError:
            continue
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "load_before": os.getloadavg()[0],
        "versions": versions,
    }


def _number(line: str) -> str:
    found = re.search(r"\d+(\.\d+)+", line)
    return found.group() if found else line


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or "unknown"
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found.group(1) if found else platform.machine()


def _first_lines(command: Sequence[str]) -> str:
    if shutil.which(command[0]) is None:
        return ""
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    return done.stdout or done.stderr
