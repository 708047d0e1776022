"""`vxtool extract`: the records of some datagrams, as they were."""

from __future__ import annotations

from typing import Any

import click

from vxtool.cli import EXIT_INPUT, complain
from vxtool.cli.analysis import named_interfaces, tell_unread, why
from vxtool.cli.options import choosing_options, judging_options, knowledge_options, progress_option
from vxtool.cli.output import STDOUT, binary_output, check_output
from vxtool.cli.progress import Progress
from vxtool.cli.types import FileName, record_numbers
from vxtool.report.units import counted


@click.command("extract", short_help="Copy the records of some datagrams: the dropped ones, a pod's, a path's.")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=FileName())
@click.option("-o", "--output", metavar="FILE", default=STDOUT, help="Write there instead of to stdout: pcapng.")
@click.option(
    "--outcome",
    "outcomes",
    multiple=True,
    type=click.Choice(["forwarded", "delivered", "dropped", "originated", "missed", "unresolved"]),
    help="What became of them. Repeatable, as are all that choose: any value of one option may fit, and each "
    "option given must.",
)
@click.option(
    "--path",
    "ways",
    metavar="IN,OUT",
    multiple=True,
    help="By which interfaces they came in and went out, as in eth1,eth2; * is any, - none: eth1,- only came in.",
)
@click.option(
    "--record",
    "records",
    metavar="N[-N]",
    multiple=True,
    type=record_numbers,
    help="Only these records, by number; without other options, whatever they are.",
)
@choosing_options
@knowledge_options
@judging_options
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
    """Copy from the captures FILE... the records of the datagrams that are chosen, all of each: where it came in,
    where it went out, its fragments and segments. They are written as they were, as pcapng with interface names and
    directions; the comment of each says what became of its datagram.

    The captures are read twice: they have to be files.

    \b
      vxtool extract drops.pcap --links links.json --outcome dropped -o lost.pcapng
      vxtool extract vxlan.pcap --cluster endpoints.json --pod default/curl-pod -o pod.pcapng
      vxtool extract vxlan.pcap --links links.json --path eth1,eth2 --protocol tcp -o tcp.pcapng
      vxtool extract vxlan.pcap --record 3-4 -o two.pcapng
    """
    check_output(output, files + cluster + links + routes)
    # Imported here, so that a wrong option need not wait for it.
    from vxtool.api import extract

    with Progress(progress) as bar:
        done, inputs = extract(
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
    rest = f"; {done.unlisted:,} more than can be listed, some may be missing" if done.unlisted else ""
    whose = f" of {counted(done.datagrams, 'datagram')}" if done.datagrams is not None else ""
    complain(f"{counted(done.records, 'record')}{whose}{rest}.")
    return EXIT_INPUT if unread else 0
