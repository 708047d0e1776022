"""`vxtool summary`: the packets one by one, as Wireshark lists them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import click

from vxtool.cli import EXIT_INPUT, EXIT_INTERRUPTED, complain
from vxtool.cli.analysis import check_stdin, controlled, named_interfaces, tell_unread, why
from vxtool.cli.detail import detail_option, run_detail
from vxtool.cli.options import knowledge_options, output_options, overlay_option, reading_options
from vxtool.cli.output import STDOUT, check_output, target_for, write_bytes
from vxtool.cli.progress import Progress
from vxtool.cli.types import FileName
from vxtool.errors import UsageError
from vxtool.listing.fields import FORMATS, TIMES

if TYPE_CHECKING:
    from vxtool.listing.fields import Format, Times
    from vxtool.report import Target

_SIGNS = {"→": "->", "µ": "u", "…": "..."}


def _names(_ctx: click.Context, _option: click.Parameter, value: str | None) -> list[str]:
    names = [name for part in (value or "").split(",") if (name := part.strip())]
    if value is not None and not names:
        raise click.BadParameter(f"{value!r} names no field; `vxtool fields summary` lists them.")
    return names


def _complete_fields(_ctx: click.Context, _option: click.Parameter, incomplete: str) -> list[str]:
    from vxtool.listing.fields import FIELDS

    before, comma, last = incomplete.rpartition(",")
    return [f"{before}{comma}{name}" for name in FIELDS if name.startswith(last)]


@click.command("summary", short_help="List packets one by one, as Wireshark does: each datagram once.")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=FileName())
@click.option("--all", "all_records", is_flag=True, help="A line for each record, not one for each datagram.")
@click.option(
    "-Y",
    "--filter",
    "filter_",
    metavar="FILTER",
    default="",
    help="Only lines for which this display filter holds, as in 'vni==36705 && tcp.port==80'; `vxtool fields "
    "filter` lists what it may ask.",
)
@click.option(
    "--fields",
    metavar="NAME,...",
    callback=_names,
    shell_complete=_complete_fields,
    help="What a line shows, as in number,source,destination,info; `vxtool fields summary` lists all.",
)
@click.option(
    "--time",
    type=click.Choice(TIMES),
    default="relative",
    show_default=True,
    help="Since the first record, of the clock (UTC), or since the line before.",
)
@click.option("--count", metavar="N", type=click.IntRange(min=1), help="Lines at most.")
@detail_option
@click.option(
    "--format", "format_", type=click.Choice(FORMATS), default="text", show_default=True, help="What to print."
)
@knowledge_options
@overlay_option
@reading_options
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
    all_records: bool,
    filter_: str,
    fields: list[str],
    time: Times,
    count: int | None,
    detail: tuple[int | None, int] | None,
    format_: Format,
    output: str,
    color: str,
    progress: bool,
    **options: Any,
) -> int:
    """List the packets in the captures FILE...: when, by which way and how fast, from whom to whom, and what they
    say. A datagram is one line, with the record that it was first seen in; what was passed on is no retransmission.

    The captures are read twice: what standard input and pipes give is kept in a temporary file for that.

    \b
      vxtool summary vxlan.pcap --links links.json
      vxtool summary vxlan.pcap --cluster endpoints.json -Y 'pod == "default/curl-pod" && tcp'
      vxtool summary drops.pcap -Y 'outcome == dropped' --count 20
      vxtool summary vxlan.pcap --all --fields number,time,interfaces,source,destination,info
      vxtool summary vxlan.pcap --format json | jq '.records[] | select(.vni == 36705)'
      vxtool summary vxlan.pcap --detail 2
    """
    check_stdin(files)
    check_output(output, files + cluster + links + routes)
    options |= {
        "cluster": list(cluster),
        "links": list(links),
        "routes": list(routes),
        "interfaces": named_interfaces(interfaces),
        "ports": dict(ports) or None,
        "window_ns": window,
        "settle_ns": settle,
    }
    if detail is not None:
        if all_records or filter_ or fields or count:
            raise UsageError("--detail shows one record; leave --all, --filter, --fields and --count out.")
        return run_detail(
            files, detail, format_=format_, output=output, color=color, progress=progress, options=options
        )
    # Imported here, so that a wrong option need not wait for it.
    from vxtool.api import summary
    from vxtool.cli.output import fits

    target = target_for(output, color, 0)
    # Of files nothing is written before all were read once: Ctrl-C ends that without a word.
    with Progress(progress) as bar, controlled(files) if STDOUT in files else nullcontext() as control:
        found = summary(
            list(files),
            format=format_,
            fields=fields,
            time=time,
            all_records=all_records,
            filter=filter_,
            most=count or 0,
            target=target,
            fit=fits(output),
            progress=bar,
            control=control,
            **options,
        )
    unread = tell_unread(found.inputs)
    if format_ != "json":
        for item in found.inputs:
            if item["truncated"]:
                complain(why(item))
    write_bytes(output, _encoded(found.blocks(), target) if format_ == "text" else found.blocks())
    if found.unlisted:
        complain(
            f"{found.unlisted:,} datagrams, or further records of such, are more than can be told apart: each is a "
            "line of its own."
        )
    if control is not None and control.stopping:
        return EXIT_INTERRUPTED
    return EXIT_INPUT if unread else 0


def _encoded(blocks: Iterator[bytes], target: Target) -> Iterator[bytes]:
    """The text in the encoding of the target, where that is another than UTF-8."""
    if target.encoding.lower().replace("-", "") in ("utf8", ""):
        return blocks
    missing = {}
    for sign, plain in _SIGNS.items():
        try:
            sign.encode(target.encoding)
        except UnicodeEncodeError:
            missing[ord(sign)] = plain
    return (block.decode().translate(missing).encode(target.encoding, "backslashreplace") for block in blocks)
