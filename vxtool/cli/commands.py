"""The subcommands and their options, by click.

A subcommand is one file of this package, imported when it is asked for, so that `vxtool --version` costs little
more than importing click.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from vxtool import cli

_COMMANDS = ("analyze", "decap", "encap", "explain", "extract", "flows", "mtu")


class Commands(click.Group):
    """A group whose commands are the modules of this package, each holding a `command`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        from importlib import import_module

        command: click.Command = import_module(f"vxtool.cli.{cmd_name}").command
        return command

    def invoke(self, ctx: click.Context) -> Any:
        # Handled here because click itself gives an interrupt and a closed pipe other exit codes.
        return cli.exit_code_of(lambda: super(Commands, self).invoke(ctx))


def _print_version(ctx: click.Context, _option: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from vxtool import __version__
        from vxtool.engine import engine_name

        click.echo(f"vxtool {__version__} ({engine_name()} engine)")
        ctx.exit()


@click.command(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=False,
    invoke_without_command=True,
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the version and which engine runs.",
)
@click.pass_context
def vxtool(ctx: click.Context) -> None:
    """Read VXLAN and Geneve captures taken on a router: who talks, what was passed on, what it costs."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help(), err=True)
        ctx.exit(cli.EXIT_USAGE)


def run_command(arguments: Sequence[str]) -> int:
    """Run the command that the arguments name, and return its exit code; of wrong ones tell in one line."""
    try:
        code = vxtool.main(arguments, prog_name="vxtool", standalone_mode=False)
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx is not None else "vxtool"
        cli.complain(f"{error.format_message().rstrip('.')}; see '{where} --help'.")
        return cli.EXIT_USAGE
    except click.Abort as error:
        # click makes one of an interrupt, but also of an EOFError, which nothing here raises on purpose.
        if isinstance(error.__cause__, KeyboardInterrupt):
            return cli.EXIT_INTERRUPTED
        return cli.bug(error.__cause__ or error)
    return code if isinstance(code, int) else 0
