"""`vxtool flows`: who talks to whom, one line for each flow and verdict, or for each packet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from vxtool.cli import EXIT_INPUT, EXIT_INTERRUPTED, complain
from vxtool.cli.analysis import (
    check_stdin,
    controlled,
    named_interfaces,
    preparing,
    tell_unread,
    why,
)
from vxtool.cli.options import choosing_options, judging_options, knowledge_options, output_options
from vxtool.cli.output import check_output, target_for, write
from vxtool.cli.progress import Progress
from vxtool.cli.types import FileName
from vxtool.errors import UsageError
from vxtool.report import FLOW_RENDERERS

if TYPE_CHECKING:
    from vxtool.analysis.flows import Sorting
    from vxtool.analysis.model import FlowList

_ROWS = 20  # flows of the text, unless --top says otherwise
_HUBBLE = ("compact", "jsonpb")
_MODULES = {"text": "flows", "json": "json", "compact": "hubble", "jsonpb": "hubble"}


@click.command("flows", short_help="List who talks to whom, with verdicts; also as Hubble prints them.")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=FileName())
@knowledge_options
@click.option(
    "--format",
    "format_",
    type=click.Choice(sorted(FLOW_RENDERERS)),
    default="text",
    show_default=True,
    help="What to print; compact and jsonpb: as `hubble observe` prints flows.",
)
@click.option(
    "--sort",
    type=click.Choice(["bytes", "packets", "start", "end", "drops"]),
    help="Which flows come first.  [default: bytes; compact, jsonpb: start]",
)
@click.option(
    "--top",
    metavar="N",
    type=click.IntRange(min=1),
    help=f"Flows, or packets, listed.  [default: {_ROWS}; other formats than text: all]",
)
@choosing_options
@click.option(
    "--packets", is_flag=True, help="List the packets of these flows one by one, each once, in order of time."
)
@judging_options
@output_options
def command(
    files: tuple[str, ...],
    *,
    cluster: tuple[str, ...],
    links: tuple[str, ...],
    routes: tuple[str, ...],
    interfaces: tuple[str, ...],
    ports: tuple[tuple[int, str], ...],
    window: int,
    settle: int,
    format_: str,
    sort: Sorting | None,
    top: int | None,
    packets: bool,
    output: str,
    color: str,
    progress: bool,
    **options: Any,
) -> int:
    """List the flows in the captures FILE...: their ends by pod and identity, how much they carried, by which way,
    and with which verdict. A flow of which some datagrams were forwarded and some dropped has a line for each.

    \b
      vxtool flows vxlan.pcap --cluster endpoints.json --links links.json
      vxtool flows vxlan.pcap --verdict dropped --sort drops
      vxtool flows vxlan.pcap --cluster endpoints.json --format jsonpb > flows.json
      hubble observe --input-file flows.json --pod default/curl-pod
      vxtool flows vxlan.pcap --packets --address 172.20.2.4 --format compact
    """
    if packets and sort is not None:
        raise UsageError("--sort does not go with --packets, which come in order of time; leave one of them out.")
    check_stdin(files)
    check_output(output, files + cluster + links + routes)
    # Imported here, so that a wrong option need not wait for it.
    from vxtool.analysis.folded import tell_folded
    from vxtool.api import flows

    with Progress(progress) as bar, controlled(files) as control:
        found: FlowList = flows(
            list(files),
            cluster=list(cluster),
            links=list(links),
            routes=list(routes),
            interfaces=named_interfaces(interfaces),
            sort=sort or ("start" if format_ in _HUBBLE else "bytes"),
            top=top or (_ROWS if format_ == "text" else None),
            packets=packets,
            ports=dict(ports) or None,
            window_ns=window,
            settle_ns=settle,
            control=control,
            progress=preparing([f"vxtool.report.{_MODULES[format_]}"], bar),
            **options,
        )
    unread = tell_unread(found["inputs"])
    if unread == len(found["inputs"]):
        return EXIT_INPUT
    if format_ != "json":
        for item in found["inputs"]:
            if item["truncated"]:
                complain(why(item))
        if folded := tell_folded(found["folded"]):
            complain(f"more than there was memory for: {', '.join(folded)}; a larger --memory lists more.")
    target = target_for(output, color, _ROWS)
    encoding = "utf-8" if format_ == "json" else target.encoding
    write(output, FLOW_RENDERERS[format_](found, target), encoding)
    if control is not None and control.stopping:
        return EXIT_INTERRUPTED
    return EXIT_INPUT if unread else 0
