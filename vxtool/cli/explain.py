"""`vxtool explain`: what a finding means, without a capture."""

from __future__ import annotations

import click

from vxtool.cli.options import complete_findings
from vxtool.cli.output import STDOUT, target_for, write


@click.command("explain", short_help="Say what a finding means: cause, proof, remedy.")
@click.argument("name", metavar="[ID]", required=False, shell_complete=complete_findings)
@click.option(
    "--format",
    "format_",
    type=click.Choice(["text", "markdown"]),
    default="text",
    show_default=True,
    help="What to print; markdown: the docs page on all findings.",
)
@click.option(
    "--color",
    type=click.Choice(["auto", "always", "never"]),
    default="auto",
    show_default=True,
    help="Colours in the text; auto: on a terminal, unless NO_COLOR is set.",
)
def command(name: str | None, format_: str, color: str) -> int:
    """Say what a finding means: what makes it happen, what in a capture proves it, what to do about it, and
    what a capture cannot tell. Without an ID, or with a family's name such as mtu, list what there is.

    \b
      vxtool explain
      vxtool explain mtu
      vxtool explain forwarding.dropped
    """
    # Imported here, so that a wrong option need not wait for it.
    from vxtool.analysis.findings import explanations, family_of
    from vxtool.analysis.findings.choice import check_names
    from vxtool.report.explain import render_list, render_markdown, render_one

    if name is not None:
        check_names([name])
    target = target_for(STDOUT, color, rows=0)
    chosen = {key: text for key, text in explanations().items() if name in (None, key, family_of(key))}
    if format_ == "markdown":
        write(STDOUT, [render_markdown(chosen)], "utf-8")
    elif name in chosen:
        write(STDOUT, [render_one(name, chosen[name], target)], target.encoding)
    else:
        write(STDOUT, [render_list(chosen, target)], target.encoding)
    return 0
