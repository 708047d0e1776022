"""`vxtool decap`: what was in the tunnel, as a capture of its own."""

from __future__ import annotations

from typing import Any

import click

from vxtool.cli import EXIT_INPUT, complain
from vxtool.cli.analysis import named_interfaces, tell_unread, why
from vxtool.cli.options import knowledge_options, progress_option, reading_options
from vxtool.cli.output import STDOUT, binary_output, check_output
from vxtool.cli.progress import Progress
from vxtool.cli.types import FileName
from vxtool.report.units import counted


@click.command("decap", short_help="Take the tunnel off: write the inner frames, each once.")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=FileName())
@click.option("-o", "--output", metavar="FILE", default=STDOUT, help="Write there instead of to stdout: pcapng.")
@knowledge_options
@reading_options
@progress_option
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
    output: str,
    progress: bool,
    **options: Any,
) -> int:
    """Write the inner frames of the tunnels in the captures FILE... as pcapng, so that any tool reads pod traffic:
    each datagram once however often it was seen, with its time, its outer fragments put together. The comment of
    each packet keeps VTEPs, ports, VNI, interfaces, outcome and record number; `vxtool encap` reads it.

    The captures are read twice: they have to be files. What was never seen in a tunnel is left out, and told of.

    \b
      vxtool decap vxlan.pcap -o inner.pcapng
      vxtool decap vxlan.pcap --links links.json | tshark -r -
      vxtool decap eth1.pcap eth2.pcap -o inner.pcapng
    """
    check_output(output, files + cluster + links + routes)
    # Imported here, so that a wrong option need not wait for it.
    from vxtool.api import decap

    with Progress(progress) as bar:
        done, inputs = decap(
            list(files),
            binary_output(output),
            cluster=list(cluster),
            links=list(links),
            routes=list(routes),
            interfaces=named_interfaces(interfaces),
            ports=dict(ports) or None,
            window_ns=window,
            settle_ns=settle,
            progress=bar,
            **options,
        )
    unread = tell_unread(inputs)
    for item in inputs:
        if item["truncated"]:
            complain(why(item))
    told = [
        (done.incomplete, "not captured to their ends"),
        (done.not_tunnelled, "left out: never seen in a tunnel"),
        (done.unwritable, "left out: neither Ethernet nor IP was in the tunnel"),
        (done.unlisted, "left out: more than can be listed"),
    ]
    rest = "".join(f"; {count:,} {text}" for count, text in told if count)
    complain(f"{counted(done.datagrams, 'datagram')} of {counted(done.records, 'record')}{rest}.")
    return EXIT_INPUT if unread else 0
