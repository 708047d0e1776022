"""The `vxtool` command: runs what is asked for, and turns however that ends into an exit code and at most a line.

Options are click's business (commands.py). But a third of the time of a short report would be spent on importing
click: files alone, `vxtool analyze FILE...`, and with `--format FORMAT`, go straight to the work. No traceback
reaches a user, unless VXTOOL_DEBUG=1 asks for it.

Exit codes: 0 all went well; 1 `--fail-on` found something, or an expectation is not met; 2 wrong options,
files that make no sense, or an output that cannot be written; 3 an input could not be read at all; 70 a bug in
vxtool; 129, 130 and 143 ended by SIGHUP, Ctrl-C and SIGTERM; 141 the reader of the output went away.
"""

from __future__ import annotations

import _thread
import errno
import gc
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NoReturn

from vxtool.errors import UsageError, VxtoolError
from vxtool.report import RENDERERS
from vxtool.report.escape import escape

# Defaults of options may stand in this file, and in variables VXTOOL_*, of which these mean something else.
CONFIG_FILE = "vxtool.toml"
OTHER_VARIABLES = ("VXTOOL_DEBUG", "VXTOOL_ENGINE", "VXTOOL_EXAMPLES", "VXTOOL_TEST_ALL")

_LONGEST_MESSAGE = 2_000  # characters

# What a stream answers that takes no more: files that are written have their names in such errors, or own messages.
_OUTPUT_ERRORS = (errno.ENOSPC, errno.EFBIG, errno.EIO)

EXIT_USAGE = 2
EXIT_INPUT = 3
EXIT_BUG = 70
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells report it
EXIT_PIPE = 141  # 128 + SIGPIPE
_ENDING = ("SIGTERM", "SIGHUP")  # Windows has no SIGHUP
_A_MOMENT = 0.001  # s, until an interrupt comes again that came where it was of no effect
_ONCE = 1.0  # s: signals to end that come within are one; `timeout` sends each to a process and to its group


class Ended(KeyboardInterrupt):
    """SIGTERM or SIGHUP came: what is under way ends as by Ctrl-C, with another exit code."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.code = 128 + number  # as shells report it


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command with `arguments` (those of the process, if None) and return its exit code."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        if (plain := _plain_analysis(given)) is not None:
            return exit_code_of(lambda: _analyze(*plain))
        from vxtool.cli.commands import run_command

        return run_command(given)
    except UsageError as error:
        complain(str(error))
        return EXIT_USAGE
    except VxtoolError as error:
        complain(str(error))
        return EXIT_INPUT
    except KeyboardInterrupt as error:
        return code_of_interrupt(error)
    except Exception as error:
        if isinstance(error, OSError) and error.filename is None and error.errno in _OUTPUT_ERRORS:
            complain(f"standard output: cannot be written: {error.strerror}; give it room.")
            return EXIT_USAGE
        interrupt = _interrupt_behind(error)
        return code_of_interrupt(interrupt) if interrupt is not None else bug(error)


def main() -> NoReturn:
    """Run the command of this process, and end it."""
    # Reports hold no circles to be collected: looking for them takes a tenth of the time of a short one, most of it
    # when the process ends.
    gc.disable()
    try:
        _handle_signals()
        code = run()
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                with suppress(OSError, ValueError):  # it takes no more: what was lost of a report has been told of
                    stream.flush()
        _ignore_signals()
    except KeyboardInterrupt as error:  # at the last moment
        _ignore_signals()
        code = code_of_interrupt(error)
    _leave(code)


def _leave(code: int) -> NoReturn:
    """End the process. All is written, and every file closed: to take the modules down one by one would take as
    long again as to write a short report."""
    if "vxtool.whole_file" in sys.modules:
        from vxtool.whole_file import remove_unfinished

        remove_unfinished()
    os._exit(code)


def _ignore_signals() -> None:
    import signal

    for name in ("SIGINT", *_ENDING):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)


def _handle_signals() -> None:
    """Let Ctrl-C, SIGTERM and SIGHUP end a command in order, so that no half-written file and no hidden cursor
    stays, and SIGUSR1, which asks some commands for a report, end none.

    What is ignored from outside, as `nohup` has it of SIGHUP, stays so.
    """
    import signal
    import time

    if signal.getsignal(signal.SIGINT) == signal.SIG_DFL:  # see start.py
        signal.signal(signal.SIGINT, signal.default_int_handler)

    ended_at: float | None = None

    def end(number: int, _frame: object) -> None:
        nonlocal ended_at
        now = time.monotonic()
        if ended_at is None or now - ended_at > _ONCE:  # what cleans up is not to be interrupted
            ended_at = now
            raise Ended(number)

    for name in _ENDING:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, end)
    main_thread = _thread.get_ident()

    def send_again(number: int) -> None:
        time.sleep(_A_MOMENT)
        if hasattr(signal, "pthread_kill"):
            signal.pthread_kill(main_thread, number)
        else:
            _thread.interrupt_main(signal.Signals(number))

    def tell_lost(lost: sys.UnraisableHookArgs) -> None:
        nonlocal ended_at
        if not issubclass(lost.exc_type, KeyboardInterrupt):
            sys.__unraisablehook__(lost)
            return
        ended_at = None
        number = lost.exc_value.code - 128 if isinstance(lost.exc_value, Ended) else signal.SIGINT
        _thread.start_new_thread(send_again, (number,))

    # Callbacks of weak references, of which importing makes use, can raise nothing.
    sys.unraisablehook = tell_lost
    if hasattr(signal, "SIGUSR1"):
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)


def code_of_interrupt(interrupt: KeyboardInterrupt) -> int:
    """The exit code of a command that Ctrl-C or a signal ended."""
    return interrupt.code if isinstance(interrupt, Ended) else EXIT_INTERRUPTED


def exit_code_of(work: Callable[[], int]) -> int:
    """The exit code that some work gives, or that its end by the user or by the reader of its output asks for."""
    try:
        code = work()
        if sys.stdout is not None:
            sys.stdout.flush()
    except KeyboardInterrupt as error:
        return code_of_interrupt(error)
    except BrokenPipeError:
        _drop_output()
        return EXIT_PIPE
    return code


def complain(message: str) -> None:
    """Write one line to stderr, safe for a terminal whatever the message quotes, and however long that is."""
    if sys.stderr is None:
        return
    if len(message) > _LONGEST_MESSAGE:
        message = f"{message[: _LONGEST_MESSAGE // 2]} … {message[-_LONGEST_MESSAGE // 2 :]}"
    with suppress(OSError):  # where it takes no more, the exit code still tells
        print(f"vxtool: {escape(message, sys.stderr.encoding or 'utf-8')}", file=sys.stderr, flush=True)


def bug(error: BaseException) -> int:
    """Say that an error is none that vxtool knows of."""
    if os.environ.get("VXTOOL_DEBUG") == "1":
        import traceback

        traceback.print_exception(error)
    what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    complain(f"unexpected {what}; this is a bug in vxtool, please report it (VXTOOL_DEBUG=1 shows where it is).")
    return EXIT_BUG


def _analyze(files: tuple[str, ...], format_: str) -> int:
    from vxtool.cli.analysis import run_analysis

    return run_analysis(files, format_=format_)


def _plain_analysis(arguments: Sequence[str]) -> tuple[tuple[str, ...], str] | None:
    """The captures and the format of `analyze FILE... [--format FORMAT]`; None of anything else, right or wrong."""
    # Windows leaves it to click to find the files that a pattern names.
    if os.name != "posix" or arguments[:1] != ["analyze"]:
        return None
    files: list[str] = []
    format_ = "text"
    left = iter(arguments[1:])
    for argument in left:
        if argument == "--format":
            format_ = next(left, "")
        elif argument.startswith("-"):
            return None
        else:
            files.append(argument)
    return (tuple(files), format_) if files and format_ in RENDERERS and not defaults_are_set() else None


def defaults_are_set() -> bool:
    """Whether options may have other defaults here than their own."""
    variables = (name for name in os.environ if name.startswith("VXTOOL_"))
    return any(name not in OTHER_VARIABLES for name in variables) or os.path.exists(CONFIG_FILE)


def _interrupt_behind(error: BaseException) -> KeyboardInterrupt | None:
    """The interrupt that an error came from, if one did.

    Python 3.11 makes a RuntimeError of whatever ends a `__set_name__`, so of an interrupt that comes while a class
    is made, as when a module is imported.
    """
    cause = error.__cause__
    return cause if cause is None or isinstance(cause, KeyboardInterrupt) else _interrupt_behind(cause)


def _drop_output() -> None:
    # What is still buffered would fail again when the interpreter closes stdout, with a message of its own.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
