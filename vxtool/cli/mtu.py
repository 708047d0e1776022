"""`vxtool mtu`: a calculator of MTUs and overheads, without a capture."""

from __future__ import annotations

from typing import Any

import click

from vxtool.cli.output import STDOUT, target_for, write
from vxtool.report import MTU_RENDERERS

_FAMILY = click.Choice(["ipv4", "ipv6"])


@click.command("mtu", short_help="Reckon without a capture: the MTU that a tunnel leaves, its cost, the MSS.")
@click.option("--underlay", metavar="BYTES", type=int, help="MTU of the links between the nodes.  [default: 1500]")
@click.option("--overlay", metavar="BYTES", type=int, help="MTU that the pods shall have: say what the links need.")
@click.option(
    "--tunnel",
    metavar="LAYER",
    default="vxlan",
    show_default=True,
    help="What wraps the pods' packets: vxlan, geneve, wireguard, ipsec or none.",
)
@click.option(
    "--beneath",
    metavar="LAYER",
    multiple=True,
    help="What wraps that: encryption, or another tunnel below the nodes. Repeatable, each beneath the one before.",
)
@click.option(
    "--family",
    type=_FAMILY,
    default="ipv4",
    show_default=True,
    help="Of the outer IP headers, where a layer does not tell its own.",
)
@click.option("--inner", type=_FAMILY, help="Family of the pods' packets.  [default: both]")
@click.option(
    "--link-vlan",
    "link_vlans",
    metavar="N",
    type=int,
    default=0,
    help="VLAN tags on the links' frames: they come on top of the MTU.  [default: 0]",
)
@click.option(
    "--size",
    "sizes",
    metavar="BYTES",
    type=int,
    multiple=True,
    help="A size of the pods' packets to tell the cost of, beside the common ones. Repeatable.",
)
@click.option("--cilium", is_flag=True, help="Tell what Cilium sets by itself, and the Helm value to give it.")
@click.option(
    "--format",
    "format_",
    type=click.Choice(sorted(MTU_RENDERERS)),
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
def command(format_: str, color: str, **options: Any) -> int:
    """Reckon what a tunnel leaves of the links' MTU, or with --overlay what it needs: layer by layer, with the MSS,
    the cost at common sizes, and the one setting to make.

    LAYER is vxlan, geneve, wireguard or ipsec (ESP with AES-GCM), with details behind commas: ipv4 or ipv6; vlan=N
    (tags on the frames inside vxlan or geneve); options=N (bytes of Geneve's options); transport, nat-t (of ipsec).

    \b
      vxtool mtu --underlay 9000
      vxtool mtu --overlay 1500 --family ipv6
      vxtool mtu --beneath wireguard --cilium
      vxtool mtu --tunnel geneve,options=12 --beneath vxlan,ipv6,vlan=1
    """
    # Imported here, so that a wrong option need not wait for it.
    from vxtool.api import mtu

    plan = mtu(**options)
    target = target_for(STDOUT, color, rows=0)
    encoding = "utf-8" if format_ == "json" else target.encoding
    write(STDOUT, [MTU_RENDERERS[format_](plan, target)], encoding)
    return 0
