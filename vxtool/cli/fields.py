"""`vxtool fields`: what each field of a report, of expectations or of a filter means."""

from __future__ import annotations

import click

from vxtool.cli.output import STDOUT, target_for, write
from vxtool.errors import UsageError


def _complete(_ctx: click.Context, _argument: click.Parameter, incomplete: str) -> list[str]:
    from vxtool.report.fields import SUBJECTS

    return [name for name in SUBJECTS if name.startswith(incomplete)]


@click.command("fields", short_help="Say what each field of a report, expectations or a filter means.")
@click.argument("subject", metavar="[SUBJECT]", required=False, default="report", shell_complete=_complete)
@click.argument("word", metavar="[WORD]", required=False, default="")
@click.option(
    "--format",
    "format_",
    type=click.Choice(["text", "markdown"]),
    default="text",
    show_default=True,
    help="What to print; markdown: the docs page on all fields.",
)
@click.option(
    "--color",
    type=click.Choice(["auto", "always", "never"]),
    default="auto",
    show_default=True,
    help="Colours in the text; auto: on a terminal, unless NO_COLOR is set.",
)
def command(subject: str, word: str, format_: str, color: str) -> int:
    """Say what each field means: of a report as JSON (SUBJECT report, which may be left out), of a file for
    --expect (expectations), of a display filter (filter), of a list of flows (flows) or of packets (summary), or of
    a difference (diff). With WORD, of the fields that it stands in.

    \b
      vxtool fields
      vxtool fields report latency
      vxtool fields expectations
      vxtool fields filter tcp.analysis
    """
    from vxtool.report.fields import SUBJECTS, render, render_markdown

    if subject not in SUBJECTS:
        hint = f"`vxtool fields report {subject}` looks for a word"
        raise UsageError(f"{subject!r}: expected one of {', '.join(SUBJECTS)}; {hint}.")
    target = target_for(STDOUT, color, rows=0)
    if format_ == "markdown":
        write(STDOUT, [render_markdown()], "utf-8")
        return 0
    text = render(subject, target, word)
    if not text.strip():
        raise UsageError(f"{word!r}: stands in no field of {subject}; `vxtool fields {subject}` lists all.")
    write(STDOUT, [text], target.encoding)
    return 0
