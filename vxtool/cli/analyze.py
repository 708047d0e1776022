"""The options of `vxtool analyze`; what it does is in analysis.py."""

from __future__ import annotations

from typing import Any

import click

from vxtool.cli.analysis import run_analysis
from vxtool.cli.output import STDOUT
from vxtool.cli.types import duration, positive_duration, tunnel_port
from vxtool.report import RENDERERS


@click.command("analyze", short_help="Say what a capture shows: paths, drops, identities, overhead, MTU.")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path())
@click.option(
    "--cluster",
    metavar="FILE|FOLDER",
    multiple=True,
    type=click.Path(),
    help="What the cluster knows: a cilium sysdump, or what kubectl get prints of endpoints, identities, nodes, "
    "pods, services (README.md has the command); or a folder of such. Told by content. Repeatable.",
)
@click.option(
    "--links",
    metavar="FILE",
    multiple=True,
    type=click.Path(),
    help="The router's interfaces: ip -j addr, or ip -j link. Repeatable.",
)
@click.option(
    "--routes",
    metavar="FILE",
    multiple=True,
    type=click.Path(),
    help="The router's routes: ip -j route show table all, or the text of ip route. Repeatable.",
)
@click.option(
    "--interface",
    "interfaces",
    metavar="INDEX=NAME",
    multiple=True,
    help="Name an interface, as in 3=eth1. Repeatable.",
)
@click.option("--namespace", metavar="NAME", help="Namespace of cluster tables that do not name one.")
@click.option(
    "--cluster-id-bits",
    type=click.Choice(["8", "9"]),
    default="8",
    show_default=True,
    callback=lambda _ctx, _option, value: int(value),
    help="Bits of an identity that tell its cluster in a ClusterMesh: 9 with up to 511 clusters.",
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(sorted(RENDERERS)),
    default="text",
    show_default=True,
    help="What to print.",
)
@click.option("-o", "--output", metavar="FILE", default=STDOUT, help="Write the report there instead of to stdout.")
@click.option(
    "--top",
    metavar="N",
    type=click.IntRange(min=1),
    help="Flows reported, and rows of the other tables of the text.  [default: 10; json: 100]",
)
@click.option(
    "--scope",
    type=click.Choice(["auto", "tunnel", "ip"]),
    default="auto",
    show_default=True,
    help="Judge tunnel datagrams or all IP packets; auto: tunnel where there are any.",
)
@click.option(
    "--overlay",
    type=click.Choice(["auto", "cilium", "vxlan"]),
    default="auto",
    show_default=True,
    help="What a VNI means: a Cilium identity, or a network.",
)
@click.option(
    "--port",
    "ports",
    metavar="PORT=PROTOCOL",
    multiple=True,
    type=tunnel_port,
    help="UDP port of a tunnel, as in 4789=vxlan or 6081=geneve. Repeatable.",
)
@click.option(
    "--window",
    metavar="TIME",
    type=positive_duration,
    default="1s",
    show_default=True,
    help="How long a datagram that came in may take to go out.",
)
@click.option(
    "--settle",
    metavar="TIME",
    type=duration,
    default="10ms",
    show_default=True,
    help="How long a datagram that went out may be seen again on stacked devices.",
)
@click.option(
    "--jobs",
    metavar="N",
    type=click.IntRange(min=1),
    help="Threads that may work; the report does not depend on it.  [default: all cores]",
)
@click.option(
    "--fail-on",
    type=click.Choice(["error", "warning"]),
    help="Exit with 1 if there is a finding this severe or worse.",
)
@click.option(
    "--color",
    type=click.Choice(["auto", "always", "never"]),
    default="auto",
    show_default=True,
    help="Colours in the text; auto: on a terminal, unless NO_COLOR is set.",
)
@click.option(
    "--progress/--no-progress",
    default=True,
    show_default=True,
    help="A progress bar, on a terminal after one second.",
)
def command(files: tuple[str, ...], **options: Any) -> int:
    """Say what the captures FILE... show: which path each datagram took and how fast, what was dropped, who
    talks to whom, what the tunnel costs, what is wrong and what to change.

    FILE is a pcap or pcapng file, plain or compressed with gzip, zstd or xz; - is standard input. Several
    files are merged by time.

    \b
      vxtool analyze vxlan.pcap --cluster cluster.json --links links.json
      tcpdump -i any -w - udp port 8472 | vxtool analyze -
    """
    return run_analysis(files, **options)
