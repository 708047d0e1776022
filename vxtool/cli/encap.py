"""`vxtool encap`: a plain capture into a tunnel."""

from __future__ import annotations

import click

from vxtool.cli import complain
from vxtool.cli.analysis import check_stdin
from vxtool.cli.output import STDOUT, binary_output, check_output
from vxtool.cli.types import FileName, outer_ends
from vxtool.report.units import counted

_OuterEnds = tuple[str, int | None, str, int | None]


@click.command("encap", short_help="Put a tunnel on: wrap each packet in VXLAN, or as it was before decap.")
@click.argument("file", metavar="FILE", type=FileName())
@click.option("-o", "--output", metavar="FILE", default=STDOUT, help="Write there instead of to stdout: pcapng.")
@click.option(
    "--outer",
    metavar="IP[:PORT],IP[:PORT]",
    type=outer_ends,
    help="The tunnel's ends, from and to; IPv6 with a port as in [fd00::1]:51213. Without ports: the source port "
    "of the comment, else one that follows from the flow; the destination port of the comment, else the tunnel's "
    "own.",
)
@click.option("--vni", metavar="N", type=click.IntRange(0, 0xFFFFFF), help="The VNI.")
@click.option(
    "--tunnel",
    type=click.Choice(["vxlan", "geneve", "vxlan-gpe"]),
    help="The tunnel.  [default: that of the comment, else vxlan]",
)
def command(
    file: str, *, output: str, outer: _OuterEnds | None, vni: int | None, tunnel: str | None
) -> int:
    """Wrap each packet of the capture FILE, and write pcapng. What is around it is told by options, and else by the
    comment that `vxtool decap` gave it: then it wears again what it wore: VTEPs, ports, VNI, the tunnel's header.

    \b
      vxtool encap inner.pcapng -o outer.pcapng
      vxtool encap plain.pcap --outer 192.168.10.100:51213,192.168.20.100 --vni 36705 -o outer.pcapng
      vxtool encap inner.pcapng --vni 100 --tunnel geneve -o outer.pcapng
    """
    check_stdin((file,))
    check_output(output, (file,))
    # Imported here, so that a wrong option need not wait for it.
    from vxtool.api import encap

    source, source_port, destination, destination_port = outer or (None, None, None, None)
    done, problem = encap(
        file,
        binary_output(output),
        source=source,
        destination=destination,
        source_port=source_port,
        destination_port=destination_port,
        vni=vni,
        tunnel=tunnel,
    )
    if problem:
        complain(problem)
    complain(f"{counted(done.packets, 'packet')}, {done.from_comments:,} by their comments.")
    return 0
