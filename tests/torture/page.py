"""The table of what was tried, for a terminal and as a page of the documentation."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torture.jobs import Rows
from torture.sections import SECTIONS

from vxtool import __version__


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return {
        "processor": found[1] if found else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "vxtool": __version__,
    }


def table(sections: Mapping[str, Rows]) -> str:
    """For a terminal."""
    lines = []
    for section, rows in sections.items():
        for row, tally in rows.items():
            lines.append(
                f"{section:12}{row:44}{tally.cases:>11,} cases{tally.failed:>6,} failed"
                f"{tally.slowest * 1000:>9,.0f} ms{tally.peak / 1e6:>8,.0f} MB"
            )
    return "\n".join(lines) + "\n"


def page(sections: Mapping[str, tuple[Rows, Any]]) -> str:
    """The page of the documentation."""
    return table({section: rows for section, (rows, _) in sections.items()})
