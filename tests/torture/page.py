"""The table of what was tried, for a terminal and as a page of the documentation."""

from __future__ import annotations

import os
import platform
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torture.jobs import Rows
from torture.sections import SECTIONS
from torture.tally import MEMORY, SECONDS_PER_MEGABYTE, START_SECONDS, Tally

from vxtool import __version__

_HEAD = f"""\
# What vxtool was put through

Captures, packets and files that are broken or hostile, tried systematically by one command, which anyone can run
again:

    make torture                                  # hours, on two processes; it goes on where it was stopped
    make torture TORTURE_ARGS='--section cuts'    # one section
    make torture TORTURE_ARGS=--page              # this page again, from what was kept in build/torture

Each case must end in an answer or in one line that says what is wrong:

- an exit code that is documented, no traceback, no crash, at most one line on stderr for each input
- within {SECONDS_PER_MEGABYTE:g} second of processor time for each MB read (of compressed captures: unpacked), and
  {START_SECONDS:g} for the start; one that does not come on for two minutes is ended and counts as failed
- in at most {MEMORY >> 20} MiB of memory for a process (files of 120 MB beside a capture: 4 GiB; floods: what
  `--memory` gives)
- with every intact record before the damage counted, and behind blocks of pcapng that can be skipped those after it
  too: an independent reader of a few lines tells from the undamaged file which these are, so that to refuse
  everything is no way out
- without a character that a terminal obeys in any output, whatever names and comments hold

Most cases run in workers of many cases each, which a parent watches: the C engine alone takes some 0.1 ms for a
case. "Both engines" also holds their tables equal. "Reports" are the whole of `analyze` in every format, and of
`flows` in every format. "Packet lists" are those of `summary`, of each record and each datagram. "Processes" are
the command itself, started anew, as all are of `floods` and `endings`. What is changed, cut or drawn by lot comes
from fixed seeds. The changes of single bytes are made to the first 4 KiB of each sample, so that a case costs
little. The memory of workers holds the cases too that they make; that of processes is theirs alone (of
`endings` it is not measured).
"""


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


def total(rows: Rows) -> Tally:
    """All rows as one."""
    whole = Tally()
    for tally in rows.values():
        whole.merge(tally)
    return whole


def table(sections: Mapping[str, Rows]) -> str:
    """For a terminal."""
    lines = []
    for section, rows in sections.items():
        for row, tally in rows.items():
            lines.append(
                f"{section:12}{row[:60]:61}{tally.cases:>10,} cases{tally.failed:>6,} failed"
                f"{tally.slowest * 1000:>8,.0f} ms{tally.peak / 1e6:>7,.0f} MB"
            )
    whole = total({f"{section} {row}": tally for section, rows in sections.items() for row, tally in rows.items()})
    lines.append(f"{'all':73}{whole.cases:>10,} cases{whole.failed:>6,} failed")
    return "\n".join(lines) + "\n"


def page(sections: Mapping[str, tuple[Rows, Any]], fuzzed: Mapping[str, Mapping[str, int]] | None = None) -> str:
    """The page of the documentation; `fuzzed`: the figures of the fuzzers, by target, where there are any."""
    lines = [
        _HEAD,
        "## In short",
        "",
        "| section | what | cases | failed | slowest | memory |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]
    everything: Rows = {}
    for section, (rows, _) in sections.items():
        if not rows:
            continue
        whole = total(rows)
        everything[section] = whole
        lines.append(f"| {section} | {SECTIONS[section][1]} | {_figures(whole)} |")
    whole = total(everything)
    lines.append(f"| **all** | | **{whole.cases:,}** | **{whole.failed:,}** | | |")
    lines += ["", *_machines([on for _, on in sections.values() if on])]
    for section, (rows, _) in sections.items():
        if rows:
            lines += ["", f"## {section}", "", f"{SECTIONS[section][1][0].upper()}{SECTIONS[section][1][1:]}.", ""]
            lines += [
                "| how | cases | failed | slowest | memory | came to |",
                "| --- | ---: | ---: | ---: | ---: | --- |",
            ]
            for row, tally in rows.items():
                lines.append(f"| {row} | {_figures(tally)} | {_results(tally.results)} |")
            failures = [failure for tally in rows.values() for failure in tally.failures]
            if failures:
                lines += ["", "Failed:", "", *(f"- `{_told(failure)}`" for failure in failures)]
    if fuzzed:
        lines += ["", *_fuzzers(fuzzed)]
    return "\n".join(lines) + "\n"


def _fuzzers(fuzzed: Mapping[str, Mapping[str, int]]) -> list[str]:
    lines = [
        "## fuzzers",
        "",
        "Input that changes by what it reaches, without end, of `make fuzz` (tests/fuzz): the C under address and",
        "undefined-behaviour sanitizers, the Python under atheris, and the two engines against each other. Runs",
        "add up; what they found is mended, and begins each later run (tests/regressions).",
        "",
        "| target | executions | hours | of a processor | finds |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for target, row in sorted(fuzzed.items()):
        hours, processor = row["seconds"] / 3600, row["processor_seconds"] / 3600
        lines.append(f"| {target} | {row['executions']:,} | {hours:.1f} | {processor:.1f} | {row['finds']:,} |")
    return lines


def _told(failure: str) -> str:
    """A failure without the paths of the machine."""
    return re.sub(r"/\S*/", "", failure).replace("`", "'")[:300]


def _figures(tally: Tally) -> str:
    slowest = f"{tally.slowest:.1f} s" if tally.slowest >= 1 else f"{tally.slowest * 1000:.0f} ms"
    if tally.slowest >= 1:
        slowest += f" ({tally.slowest_bytes / 1e6:,.0f} MB)"
    return f"{tally.cases:,} | {tally.failed:,} | {slowest} | {tally.peak / 1e6:,.0f} MB"


def _results(results: Counter[str]) -> str:
    return ", ".join(f"{word} {count:,}" for word, count in results.most_common())


def _machines(found: list[Any]) -> list[str]:
    told = []
    for on in found:
        line = (
            f"Run with vxtool {on['vxtool']} and Python {on['python']} on {on['processor']}, {on['cores']} cores, "
            f"{on['memory'] / 2**30:.0f} GiB of memory, {on['system']}, beside other work; processor time."
        )
        if line not in told:
            told.append(line)
    return told
