"""`vxtool analyze`: captures in, a report out."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from vxtool.cli import EXIT_INPUT, complain
from vxtool.cli.output import STDOUT, check_output, target_for, write
from vxtool.cli.progress import Progress
from vxtool.cli.types import duration, positive_duration, tunnel_port
from vxtool.errors import UsageError
from vxtool.report import RENDERERS

if TYPE_CHECKING:
    from typing import Literal

    from vxtool.analysis.model import Input

EXIT_FOUND = 1

_TOP = {"text": 10, "json": 100}
_FAILING = {"error": ("error",), "warning": ("error", "warning")}


@click.command("analyze", short_help="Say what a capture shows: paths, drops, identities, overhead, MTU.")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path())
@click.option(
    "--cluster",
    metavar="FILE",
    multiple=True,
    type=click.Path(),
    help="What the cluster knows: kubectl get ciliumendpoints (table or -o json), ciliumidentities -o json. "
    "The kind is told by content. Repeatable.",
)
@click.option(
    "--links",
    metavar="FILE",
    multiple=True,
    type=click.Path(),
    help="The router's interfaces: ip -j addr, or ip -j link. Repeatable.",
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
@click.pass_context
def command(
    ctx: click.Context,
    files: tuple[str, ...],
    cluster: tuple[str, ...],
    links: tuple[str, ...],
    interfaces: tuple[str, ...],
    namespace: str | None,
    format_: str,
    output: str,
    top: int | None,
    scope: Literal["auto", "tunnel", "ip"],
    overlay: Literal["auto", "cilium", "vxlan"],
    ports: tuple[tuple[int, str], ...],
    window: int,
    settle: int,
    jobs: int | None,
    fail_on: str | None,
    color: str,
    progress: bool,
) -> None:
    """Say what the captures FILE... show: which path each datagram took and how fast, what was dropped, who
    talks to whom, what the tunnel costs, what is wrong and what to change.

    FILE is a pcap or pcapng file, plain or compressed with gzip, zstd or xz; - is standard input. Several
    files are merged by time.

    \b
      vxtool analyze vxlan.pcap --cluster endpoints.json --links links.json
      tcpdump -i any -w - udp port 8472 | vxtool analyze -
    """
    _check_stdin(files)
    check_output(output, files + cluster + links)
    # Imported here, so that --help need not wait for it.
    from vxtool.api import analyze

    with Progress(progress) as bar, _interrupt_ends_input(files):
        report = analyze(
            list(files),
            cluster=list(cluster),
            links=list(links),
            interfaces=_named(interfaces),
            namespace=namespace,
            top=top or _TOP[format_],
            scope=scope,
            overlay=overlay,
            ports=dict(ports) or None,
            window_ns=window,
            settle_ns=settle,
            jobs=jobs,
            progress=bar,
        )
    unread = [item for item in report["inputs"] if _unread(item)]
    for item in unread:
        complain(_why(item))
    if len(unread) == len(report["inputs"]):
        ctx.exit(EXIT_INPUT)
    target = target_for(output, color, top or _TOP["text"])
    # JSON is UTF-8 by its own standard, whatever the terminal speaks.
    encoding = "utf-8" if format_ == "json" else target.encoding
    write(output, RENDERERS[format_](report, target), encoding)
    if unread:
        ctx.exit(EXIT_INPUT)
    failing = _FAILING[fail_on] if fail_on is not None else ()
    if any(finding["severity"] in failing for finding in report["findings"]):
        ctx.exit(EXIT_FOUND)


def _named(interfaces: tuple[str, ...]) -> dict[int, str]:
    if not interfaces:
        return {}
    from vxtool.cluster.links import parse_interface_options

    return parse_interface_options(interfaces)


@contextmanager
def _interrupt_ends_input(files: tuple[str, ...]) -> Iterator[None]:
    """Let Ctrl-C end what standard input is piped from, and the report be of what came until then.

    Ctrl-C reaches every program of a pipeline. tcpdump then writes out what it holds and stops; giving up here as
    well would throw that away. A second Ctrl-C interrupts.
    """
    if STDOUT not in files or threading.current_thread() is not threading.main_thread():
        yield
        return

    def wait_for_the_end(_number: int, _frame: object) -> None:
        signal.signal(signal.SIGINT, before)
        complain("interrupted: standard input is read to its end; Ctrl-C once more gives up.")

    before = signal.signal(signal.SIGINT, wait_for_the_end)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _check_stdin(files: tuple[str, ...]) -> None:
    if files.count(STDOUT) > 1:
        raise UsageError("- (standard input) is given twice; it can be read once.")
    if STDOUT in files and sys.stdin.isatty():
        raise UsageError("- (standard input) is a terminal; pipe a capture into it, as from tcpdump -w -.")


def _unread(item: Input) -> bool:
    return item["error"] is not None and item["records"] == 0 and not item["truncated"]


def _why(item: Input) -> str:
    why = item["error"] or ""
    return why if item["path"] in why else f"{item['path']}: {why}"
