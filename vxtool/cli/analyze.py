"""The options of `vxtool analyze`; what it does is in analysis.py."""

from __future__ import annotations

from typing import Any

import click

from vxtool.cli.analysis import run_analysis
from vxtool.cli.options import complete_findings, judging_options, knowledge_options, look_options
from vxtool.cli.types import FileName, Number
from vxtool.report import RENDERERS

_OFTEN = 0.01  # s: reading looks for what it is asked some ten times a second


@click.command("analyze", short_help="Say what a capture shows: paths, drops, identities, overhead, MTU.")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=FileName())
@knowledge_options
@click.option(
    "--format",
    "format_",
    type=click.Choice(sorted(RENDERERS)),
    default="text",
    show_default=True,
    help="What to print; github: annotations, and Markdown into the step's summary.",
)
@click.option(
    "--top",
    metavar="N",
    type=click.IntRange(min=1),
    help="Flows reported, and rows of the other tables of the text.  [default: 10; json: 100]",
)
@click.option(
    "--mtu",
    "mtus",
    metavar="N",
    multiple=True,
    type=int,
    help="Also say how many packets the same data would have been over links of this MTU; 1500 and 9000 are always "
    "told. Repeatable.",
)
@judging_options
@click.option(
    "--select",
    metavar="ID,...",
    multiple=True,
    shell_complete=complete_findings,
    help="Report these findings alone, by id or family: forwarding,mtu.black-hole. `vxtool explain` lists them. "
    "Repeatable.",
)
@click.option(
    "--ignore",
    metavar="ID,...",
    multiple=True,
    shell_complete=complete_findings,
    help="Leave these findings out, by id or family; the report says that they were there. Repeatable.",
)
@click.option(
    "--fail-on",
    metavar="WHAT,...",
    multiple=True,
    shell_complete=complete_findings,
    help="Exit with 1 if there is a finding this severe or worse (error, warning, info), or of this id or family. "
    "Repeatable.",
)
@click.option(
    "--expect",
    metavar="FILE",
    type=FileName(),
    help="Exit with 1 unless the captures show what this file in TOML expects: at most so many drops, these paths, "
    "this MTU. `vxtool fields expectations` lists what can be expected.",
)
@click.option(
    "-o",
    "--output",
    metavar="[FORMAT=]FILE",
    multiple=True,
    help="Write there instead of to stdout; with FORMAT= write that format there too, as in junit=report.xml. "
    "Repeatable.",
)
@click.option(
    "--every",
    metavar="SECONDS",
    type=Number(min=_OFTEN),
    help="Print an interim report every so many seconds, of a capture that goes on; SIGUSR1 asks for one too "
    "(other commands ignore it).",
)
@look_options
def command(files: tuple[str, ...], **options: Any) -> int:
    """Say what the captures FILE... show: which path each datagram took and how fast, what was dropped, who
    talks to whom, what the tunnel costs, what is wrong and what to change.

    FILE is a pcap or pcapng file, plain or compressed with gzip, zstd or xz; - is standard input. Several
    files are merged by time.

    \b
      vxtool analyze vxlan.pcap --cluster cluster.json --links links.json
      tcpdump -i any -U -w - udp port 8472 | vxtool analyze - --every 60
      vxtool analyze vxlan.pcap --expect overlay.toml --output junit=report.xml --output markdown=report.md
    """
    return run_analysis(files, **options)
