"""`vxtool diff`: what changed from one capture to another."""

from __future__ import annotations

from typing import Any

import click

from vxtool.cli import EXIT_INTERRUPTED
from vxtool.cli.analysis import check_stdin, controlled, named_interfaces, preparing
from vxtool.cli.options import judging_options, knowledge_options, output_options
from vxtool.cli.output import check_output, target_for, write
from vxtool.cli.progress import Progress
from vxtool.cli.types import FileName
from vxtool.report import DIFF_RENDERERS

_ROWS = 20


@click.command("diff", short_help="Say what changed between two captures, or reports of them.")
@click.argument("before", metavar="BEFORE", type=FileName())
@click.argument("after", metavar="AFTER", type=FileName())
@knowledge_options
@click.option(
    "--format",
    "format_",
    type=click.Choice(sorted(DIFF_RENDERERS)),
    default="text",
    show_default=True,
    help="What to print.",
)
@click.option(
    "--top",
    metavar="N",
    type=click.IntRange(min=1),
    default=_ROWS,
    show_default=True,
    help="Rows of each table; JSON has all.",
)
@judging_options
@output_options
def command(
    before: str,
    after: str,
    *,
    cluster: tuple[str, ...],
    links: tuple[str, ...],
    routes: tuple[str, ...],
    interfaces: tuple[str, ...],
    ports: tuple[tuple[int, str], ...],
    window: int,
    settle: int,
    format_: str,
    top: int,
    output: str,
    color: str,
    progress: bool,
    **options: Any,
) -> int:
    """Say what changed from BEFORE to AFTER: paths, latency, drops, identities, overhead, MTU, findings. Each is a
    capture, or a report that `vxtool analyze --format json` wrote, as of several captures of one time.

    \b
      vxtool diff native.pcap vxlan.pcap --links links.json
      vxtool diff monday.json tuesday.json --format markdown
    """
    files = (before, after)
    check_stdin(files)
    check_output(output, files + cluster + links + routes)
    # Imported here, so that a wrong option need not wait for it.
    from vxtool.api import diff

    with controlled((after,)) as control:  # of the first alone nothing is told
        with Progress(progress) as bar:
            found = diff(
                before,
                after,
                cluster=list(cluster),
                links=list(links),
                routes=list(routes),
                interfaces=named_interfaces(interfaces),
                ports=dict(ports) or None,
                window_ns=window,
                settle_ns=settle,
                control=control,
                progress=preparing([f"vxtool.report.{'json' if format_ == 'json' else 'diff'}"], bar),
                **options,
            )
        target = target_for(output, color, top)
        encoding = target.encoding if format_ == "text" else "utf-8"
        write(output, [DIFF_RENDERERS[format_](found, target)], encoding)
    return EXIT_INTERRUPTED if control is not None and control.stopping else 0
