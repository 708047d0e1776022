"""What there is to try, in the order of the table."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module

from torture.jobs import Job

# Section -> the module that gives its jobs, and what is tried in it.
SECTIONS = {
    "cuts": ("damage", "captures cut short: at every byte of the first 4 KiB, at 1,000 places later"),
    "bytes": ("damage", "captures with one byte changed: each of the first 512 into all 255 other values"),
    "flips": ("damage", "captures with 1 to 64 bits turned over, anywhere"),
    "containers": ("containers", "containers by hand: lengths, nesting, options, interfaces, times, sections"),
    "packets": ("packets", "packets by hand: lengths, chains, tunnels in tunnels, fragments, errors, floods"),
    "compression": ("compression", "compressed captures: bombs, streams cut, damaged, without end or content"),
    "files": ("files", "files beside the capture: JSON, YAML, tables, archives, TOML, reports"),
    "text": ("texts", "hostile text in names, labels, comments, options and variables, through every command"),
    "floods": ("floods", "more flows, addresses, open journeys, fragments, VNIs, ... than memory has room for"),
    "endings": ("endings", "Ctrl-C and signals at any moment, full disks, readers that leave, streams without end"),
}


def jobs_of(section: str) -> Iterator[Job]:
    """The jobs of a section."""
    module = import_module(f"torture.{SECTIONS[section][0]}")
    return (job for job in module.jobs() if job.section == section)
