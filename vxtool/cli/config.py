"""`vxtool config`: which defaults hold here, and where each comes from."""

from __future__ import annotations

import json
import os
from typing import Any

import click

from vxtool.cli import complain
from vxtool.cli.output import STDOUT, target_for, write
from vxtool.report.escape import safe


@click.command("config", short_help="Show the defaults of options here, and where each comes from.")
@click.argument("name", metavar="[COMMAND]", required=False)
@click.option(
    "--format",
    "format_",
    type=click.Choice(["text", "json"]),
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
def command(name: str | None, format_: str, color: str) -> int:
    """Show the defaults that the environment and vxtool.toml set; with COMMAND, those of all its options.

    A flag is over VXTOOL_ANALYZE_TOP, that over VXTOOL_TOP, that over top in a table [analyze] of vxtool.toml, and
    that over top at its beginning. Lists are parted by blanks in the environment, files by colons. The file is that
    of the working directory, or the one that VXTOOL_CONFIG names; it cannot set --output. vxtool craft has none.

    \b
      vxtool config
      vxtool config analyze
      VXTOOL_EXPECT=overlay.toml vxtool config analyze
    """
    from vxtool.cli.commands import commands_with_defaults
    from vxtool.cli.defaults import config_path, defaults_of, options_of, unknown_variables
    from vxtool.errors import UsageError
    from vxtool.spelling import nearest_named

    commands = commands_with_defaults()
    if name is not None and name not in commands:
        raise UsageError(f"{name!r}: is no command with defaults; {nearest_named(name, commands)}.")
    rows: dict[str, dict[str, dict[str, Any]]] = {}
    for each, its in commands.items():
        if name not in (None, each):
            continue
        found = defaults_of(each, its, commands)
        for key, option in options_of(its).items():
            if key in found:
                row = {"value": found[key].value, "source": found[key].source}
            elif name is not None:
                row = {"value": _own(option), "source": "default"}
            else:
                continue
            rows.setdefault(each, {})[key] = row
    for variable in unknown_variables(commands):
        complain(f"{variable}: is set, and no option has that name.")
    target = target_for(STDOUT, color, rows=0)
    if format_ == "json":
        write(STDOUT, [safe(json.dumps({"file": config_path(), "commands": rows}, indent=2)) + "\n"], "utf-8")
        return 0
    from vxtool.report.layout import Cell, Page, Row

    page = Page(target)
    path = config_path()
    page.prose(os.path.abspath(path) if path else "there is no vxtool.toml here", label="file", hang=6, indent=0)
    for each, options in rows.items():
        page.heading(each)
        page.table(
            [Row((f"--{key}",), (Cell(_shown(row["value"])), Cell(row["source"]))) for key, row in options.items()],
            limit=len(options),
        )
    if not rows:
        page.line("no default is set")
    write(STDOUT, [str(page)], target.encoding)
    return 0


def _own(option: click.Option) -> Any:
    # click has a sign of its own for what has no default.
    return option.default if isinstance(option.default, str | int | float | bool | list | tuple) else None


def _shown(value: Any) -> str:
    if value is None or value in ([], ()):
        return "-"
    if isinstance(value, bool):
        return "true" if value else "false"
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
