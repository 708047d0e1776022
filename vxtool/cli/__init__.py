"""The `vxtool` command: finds the subcommand, and turns however it ends into an exit code and at most a line.

A subcommand is one file, imported when it is asked for, so that `vxtool --version` costs little more than
importing click. No traceback reaches a user, unless VXTOOL_DEBUG=1 asks for it.

Exit codes: 0 all went well; 1 `--fail-on` found something; 2 wrong options, or files that make no sense; 3 an
input could not be read at all; 70 a bug in vxtool; 130 interrupted; 141 the reader of the output went away.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from vxtool.errors import UsageError, VxtoolError
from vxtool.report.escape import escape

EXIT_USAGE = 2
EXIT_INPUT = 3
EXIT_BUG = 70
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells report it
EXIT_PIPE = 141  # 128 + SIGPIPE

_COMMANDS = ("analyze",)


class _Commands(click.Group):
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
        # Handled here because click itself gives both another exit code.
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except KeyboardInterrupt:
            ctx.exit(EXIT_INTERRUPTED)
        except BrokenPipeError:
            _drop_output()
            ctx.exit(EXIT_PIPE)
        return result


def _print_version(ctx: click.Context, _option: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from vxtool import __version__
        from vxtool.engine import engine_name

        click.echo(f"vxtool {__version__} ({engine_name()} engine)")
        ctx.exit()


@click.command(
    cls=_Commands,
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
        ctx.exit(EXIT_USAGE)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command with `arguments` (those of the process, if None) and return its exit code."""
    try:
        code = vxtool.main(arguments, prog_name="vxtool", standalone_mode=False)
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx is not None else "vxtool"
        complain(f"{error.format_message().rstrip('.')}; see '{where} --help'.")
        return EXIT_USAGE
    except UsageError as error:
        complain(str(error))
        return EXIT_USAGE
    except VxtoolError as error:
        complain(str(error))
        return EXIT_INPUT
    except click.Abort as error:
        # click makes one of an interrupt, but also of an EOFError, which nothing here raises on purpose.
        if isinstance(error.__cause__, KeyboardInterrupt):
            return EXIT_INTERRUPTED
        return _bug(error.__cause__ or error)
    except Exception as error:
        return _bug(error)
    return code if isinstance(code, int) else 0


def main() -> NoReturn:
    """The console script."""
    sys.exit(run())


def complain(message: str) -> None:
    """Write one line to stderr, safe for a terminal whatever the message quotes."""
    encoding = getattr(sys.stderr, "encoding", None) or "utf-8"
    click.echo(f"vxtool: {escape(message, encoding)}", err=True)


def _bug(error: BaseException) -> int:
    if os.environ.get("VXTOOL_DEBUG") == "1":
        import traceback

        traceback.print_exception(error)
    what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    complain(f"unexpected {what}; this is a bug in vxtool, please report it (VXTOOL_DEBUG=1 shows where it is).")
    return EXIT_BUG


def _drop_output() -> None:
    # What is still buffered would fail again when the interpreter closes stdout, with a message of its own.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
