"""Options that commands on captures share: what is known beside them, how they are judged, where output goes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from vxtool.cli.output import STDOUT
from vxtool.cli.types import FileName, duration, memory_size, positive_duration, tunnel_port

_Command = TypeVar("_Command", bound=Callable[..., Any])
_Option = Callable[[Any], Any]

_KNOWLEDGE: Sequence[_Option] = (
    click.option(
        "--cluster",
        metavar="FILE|FOLDER",
        multiple=True,
        type=FileName(),
        help="What the cluster knows: a cilium sysdump, or what kubectl get prints of endpoints, identities, "
        "nodes, pods, services (README.md has the command); or a folder of such. Told by content. Repeatable.",
    ),
    click.option(
        "--links",
        metavar="FILE",
        multiple=True,
        type=FileName(),
        help="The router's interfaces: ip -j addr, or ip -j link. Repeatable.",
    ),
    click.option(
        "--routes",
        metavar="FILE",
        multiple=True,
        type=FileName(),
        help="The router's routes: ip -j route show table all, or the text of ip route. Repeatable.",
    ),
    click.option(
        "--interface",
        "interfaces",
        metavar="INDEX=NAME",
        multiple=True,
        help="Name an interface, as in 3=eth1. Repeatable.",
    ),
    click.option("--namespace", metavar="NAME", help="Namespace of cluster tables that do not name one."),
    click.option(
        "--cluster-id-bits",
        type=click.Choice(["8", "9"]),
        default="8",
        show_default=True,
        callback=lambda _ctx, _option, value: int(value),
        help="Bits of an identity that tell its cluster in a ClusterMesh: 9 with up to 511 clusters.",
    ),
)

overlay_option = click.option(
    "--overlay",
    type=click.Choice(["auto", "cilium", "vxlan"]),
    default="auto",
    show_default=True,
    help="What a VNI means: a Cilium identity, or a network.",
)

_JUDGING: Sequence[_Option] = (
    click.option(
        "--scope",
        type=click.Choice(["auto", "tunnel", "ip"]),
        default="auto",
        show_default=True,
        help="Judge tunnel datagrams or all IP packets; auto: tunnel where there are any.",
    ),
    overlay_option,
)

_READING: Sequence[_Option] = (
    click.option(
        "--port",
        "ports",
        metavar="PORT=PROTOCOL",
        multiple=True,
        type=tunnel_port,
        help="UDP port of a tunnel (vxlan, geneve, vxlan-gpe) beside 8472, 4789, 6081 and 4790, as in 8473=vxlan. "
        "Repeatable.",
    ),
    click.option(
        "--window",
        metavar="TIME",
        type=positive_duration,
        default="1s",
        show_default=True,
        help="How long a datagram that came in may take to go out.",
    ),
    click.option(
        "--settle",
        metavar="TIME",
        type=duration,
        default="10ms",
        show_default=True,
        help="How long a datagram that went out may be seen again on stacked devices.",
    ),
    click.option(
        "--jobs",
        metavar="N",
        type=click.IntRange(min=1),
        help="Threads that may work; the report does not depend on it.  [default: all cores]",
    ),
    click.option(
        "--memory",
        "memory_bytes",
        metavar="SIZE",
        type=memory_size,
        default="1G",
        show_default=True,
        help="Memory to stay within, as in 512M: of more flows than fit in, the smallest are counted together.",
    ),
)

_CHOOSING: Sequence[_Option] = (
    click.option(
        "--pod",
        "pods",
        metavar="[NAMESPACE/]NAME",
        multiple=True,
        help="Flows from or to pods whose names begin so. Repeatable, as are all that choose flows: any value of "
        "one option may fit, and each option given must.",
    ),
    click.option(
        "--in-namespace", "in_namespaces", metavar="NAME", multiple=True, help="From or to this namespace."
    ),
    click.option(
        "--identity",
        "identities",
        metavar="ID",
        multiple=True,
        help="From or to this identity: its number or name.",
    ),
    click.option(
        "--address", "addresses", metavar="IP[/BITS]", multiple=True, help="From or to this address or network."
    ),
    click.option(
        "--on-port",
        "on_ports",
        metavar="PORT",
        multiple=True,
        type=click.IntRange(0, 65_535),
        help="From or to this port, inside the tunnel.",
    ),
    click.option("--protocol", "protocols", metavar="NAME", multiple=True, help="As in tcp, udp, icmp or icmpv6."),
    click.option(
        "--verdict",
        "verdicts",
        multiple=True,
        type=click.Choice(["FORWARDED", "DROPPED", "TRACED"], case_sensitive=False),
        help="What became of them; TRACED: that cannot be told.",
    ),
)

_OUTPUT: Sequence[_Option] = (
    click.option("-o", "--output", metavar="FILE", default=STDOUT, help="Write there instead of to stdout."),
)

progress_option = click.option(
    "--progress/--no-progress",
    default=True,
    show_default=True,
    help="A progress bar, on a terminal after one second.",
)

_LOOK: Sequence[_Option] = (
    click.option(
        "--color",
        type=click.Choice(["auto", "always", "never"]),
        default="auto",
        show_default=True,
        help="Colours in the text; auto: on a terminal, unless NO_COLOR is set.",
    ),
    progress_option,
)


def complete_findings(_ctx: click.Context, _option: click.Parameter, incomplete: str) -> list[str]:
    """Ids and families for a shell that completes the last of several, parted by commas."""
    from vxtool.analysis.findings import explanations, family_of

    before, comma, last = incomplete.rpartition(",")
    names = list(dict.fromkeys([*map(family_of, explanations()), *explanations()]))
    return [f"{before}{comma}{name}" for name in names if name.startswith(last)]


def knowledge_options(command: _Command) -> _Command:
    """What the operator knows: --cluster, --links, --interface, --namespace."""
    return _with(_KNOWLEDGE, command)


def judging_options(command: _Command) -> _Command:
    """How records are read and judged: --scope, --overlay, --port, --window, --settle, --jobs, --memory."""
    return _with((*_JUDGING, *_READING), command)


def reading_options(command: _Command) -> _Command:
    """How records are read and joined: --port, --window, --settle, --jobs, --memory."""
    return _with(_READING, command)


def choosing_options(command: _Command) -> _Command:
    """Which flows are meant: --pod, --in-namespace, --identity, --address, --on-port, --protocol, --verdict."""
    return _with(_CHOOSING, command)


def output_options(command: _Command) -> _Command:
    """Where output goes and how it looks there: --output, --color, --progress."""
    return _with(_OUTPUT, look_options(command))


def look_options(command: _Command) -> _Command:
    """How output looks: --color, --progress."""
    return _with(_LOOK, command)


def _with(options: Sequence[_Option], command: _Command) -> _Command:
    for option in reversed(options):
        command = option(command)
    return command
