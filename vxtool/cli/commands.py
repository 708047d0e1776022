"""The subcommands and their options, by click.

A subcommand is one file of this package, imported when it is asked for, so that `vxtool --version` costs little
more than importing click.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import click

from vxtool import cli

_COMMANDS = (
    "analyze",
    "config",
    "craft",
    "crosscheck",
    "decap",
    "diff",
    "encap",
    "explain",
    "extract",
    "fields",
    "flows",
    "mtu",
    "summary",
)
# What sends packets, or writes beside its output, is told so each time anew.
_WITHOUT_DEFAULTS = ("config", "craft")


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

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        # Who asks for help gets it, whatever is wrong with the defaults.
        if (
            name is not None
            and command is not None
            and not {"-h", "--help"} & {*rest}
            and not ctx.resilient_parsing
        ):
            ctx.default_map = {name: _defaults(name, command)}
        return name, command, rest

    def invoke(self, ctx: click.Context) -> Any:
        # Handled here because click itself gives an interrupt and a closed pipe other exit codes.
        return cli.exit_code_of(lambda: super(Commands, self).invoke(ctx))


def all_commands() -> dict[str, click.Command]:
    """All subcommands by name, imported."""
    context = click.Context(vxtool)
    return {name: command for name in _COMMANDS if (command := vxtool.get_command(context, name)) is not None}


def commands_with_defaults() -> dict[str, click.Command]:
    """Those of which the environment and a file may set options."""
    return {name: command for name, command in all_commands().items() if name not in _WITHOUT_DEFAULTS}


def _defaults(name: str, command: click.Command) -> dict[str, Any]:
    """Those that the environment and a file set; where there are none, nothing is imported for them."""
    if name in _WITHOUT_DEFAULTS or not cli.defaults_are_set():
        return {}
    from vxtool.cli.defaults import default_map

    return default_map(name, command, commands_with_defaults())


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
    """Read VXLAN and Geneve captures taken on a router: who talks, what was passed on, what it costs.

    \b
      vxtool analyze vxlan.pcap --cluster cluster.json --links links.json
      vxtool analyze vxlan.pcap --expect overlay.toml --format github
      vxtool flows vxlan.pcap --verdict dropped
      vxtool diff monday.pcap tuesday.pcap
      vxtool mtu --underlay 9000
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help(), err=True)
        ctx.exit(cli.EXIT_USAGE)


def run_command(arguments: Sequence[str]) -> int:
    """Run the command that the arguments name, and return its exit code; of wrong ones tell in one line."""
    output = sys.stdout
    try:
        code = vxtool.main(arguments, prog_name="vxtool", standalone_mode=False)
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx is not None else "vxtool"
        cli.complain(f"{error.format_message().rstrip('.')}; see '{where} --help'.")
        return cli.EXIT_USAGE
    except click.Abort as error:
        # click makes one of an interrupt, but also of an EOFError, which nothing here raises on purpose.
        if isinstance(error.__cause__, KeyboardInterrupt):
            return cli.code_of_interrupt(error.__cause__)
        return cli.bug(error.__cause__ or error)
    except SystemExit as error:
        # So click ends when it has completed, and where the reader of a help page, or of the version, went away:
        # then it has put something in the place of the output.
        return int(error.code or 0) if sys.stdout is output else cli.EXIT_PIPE
    return code if isinstance(code, int) else 0
