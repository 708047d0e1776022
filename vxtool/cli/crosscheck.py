"""`vxtool crosscheck`: does Wireshark see what vxtool sees?"""

from __future__ import annotations

import click

from vxtool.cli.analysis import EXIT_FOUND
from vxtool.cli.output import STDOUT, target_for, write
from vxtool.cli.types import FileName, Number, tunnel_port
from vxtool.report import CROSSCHECK_RENDERERS

_NAMED = 20  # differences


@click.command("crosscheck", short_help="Compare the packet list with Wireshark's, record by record.")
@click.argument("file", metavar="FILE", type=FileName())
@click.option(
    "--all",
    "all_records",
    is_flag=True,
    help="Compare the records that went out too. Wireshark takes what a router passed on for retransmissions.",
)
@click.option(
    "--differences",
    metavar="N",
    type=click.IntRange(min=0),
    default=_NAMED,
    show_default=True,
    help="How many differences are shown, each with both values.",
)
@click.option(
    "--fail-under",
    metavar="PERCENT",
    type=Number(0, 100),
    help="Exit with 1 where a smaller share of the records is the same in a column; in info, of ARP, ICMP, TCP and "
    "UDP alone.",
)
@click.option(
    "--port",
    "ports",
    metavar="PORT=PROTOCOL",
    multiple=True,
    type=tunnel_port,
    help="UDP port of a tunnel (vxlan, geneve, vxlan-gpe) beside 8472, 4789, 6081 and 4790, as in 8473=vxlan. "
    "Repeatable.",
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(list(CROSSCHECK_RENDERERS)),
    default="text",
    show_default=True,
    help="What to print.",
)
@click.option(
    "--color",
    type=click.Choice(["auto", "always", "never"]),
    default="auto",
    show_default=True,
    help="Colours in the text; auto: on a terminal, unless NO_COLOR is set.",
)
def command(
    file: str,
    *,
    all_records: bool,
    differences: int,
    fail_under: float | None,
    ports: tuple[tuple[int, str], ...],
    format_: str,
    color: str,
) -> int:
    """Hold number, source, destination, protocol, length and info of each record of FILE, as `vxtool summary --all`
    lists them, against what Wireshark shows, and print where the two differ. Needs pyshark (pip install
    'vxtool[wireshark]') and tshark.

    What Wireshark notes in brackets ([TCP Retransmission], ...) is set aside, and so is which record answers which.
    Records that went out are left to their datagram's first, as far as the capture tells directions.

    \b
      vxtool crosscheck vxlan.pcap
      vxtool crosscheck vxlan.pcap --fail-under 98
      vxtool crosscheck vxlan.pcap --all --differences 1000 --format json
    """
    # Imported here, so that a wrong option need not wait for it.
    from vxtool.api import crosscheck

    found = crosscheck(file, ports=dict(ports) or None, all_records=all_records, most=differences)
    target = target_for(STDOUT, color, rows=0)
    encoding = "utf-8" if format_ == "json" else target.encoding
    write(STDOUT, [CROSSCHECK_RENDERERS[format_](found, target)], encoding)
    if fail_under is None:
        return 0
    from vxtool.listing.crosscheck import shares

    # Where nothing was compared, nothing is known to be the same.
    failed = not found["compared"] or any(share < fail_under for _, share in shares(found))
    return EXIT_FOUND if failed else 0
