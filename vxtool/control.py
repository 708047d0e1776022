"""What may be asked of an analysis while it reads: to stop with what it has, or to report in between."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from vxtool.whole_file import remove_unfinished

if TYPE_CHECKING:
    from vxtool.analysis.model import Report


_FAILED, _OUTPUT_CLOSED = 1, 2  # how the process of an interim report ends
# What a terminal sends to all processes of a pipeline, or `timeout` to all of a group.
_TO_ALL = {getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)}


class Control:
    """Asked from signal handlers or other threads, and looked at by whoever reads, some ten times a second.

    `tell` is called with each interim report: on `ask`, and every `every` seconds. It runs in a process of its own,
    so that reading goes on; where the system cannot fork there are no interim reports, nor are there more of them
    where `tell` failed, which has told of it. Where the reader of the output went away, the next one raises
    BrokenPipeError.
    """

    def __init__(self, tell: Callable[[Report], None] | None = None, every: float | None = None) -> None:
        self.reading = False
        self.has_read = False  # all there is to read, or until it was to stop
        self.more_follows = False  # behind what is read now, without which it is of no use
        self._tell = tell if hasattr(os, "fork") else None
        self._every = every
        self._next = time.monotonic() + every if every else None
        self._asked = False
        self._deadline: float | None = None
        self._child: int | None = None
        self._output_closed = False

    def stop(self, patience: float = 0.0) -> None:
        """Read no more after so many seconds."""
        self._deadline = time.monotonic() + patience

    def ask(self) -> None:
        """Report what was read so far."""
        self._asked = True

    @property
    def stopping(self) -> bool:
        """Whether it was asked to stop, if only in a while."""
        return self._deadline is not None

    @property
    def stopped(self) -> bool:
        return self._deadline is not None and time.monotonic() >= self._deadline

    @property
    def due(self) -> bool:
        """Whether an interim report is to be made; not before the last one is done."""
        wanted = self._asked or (self._next is not None and time.monotonic() >= self._next)
        return wanted and self.wait(at_once=True) and self._tell is not None

    def report(self, build: Callable[[], Report]) -> None:
        """Make an interim report, which is due, of what `build` gives, in another process."""
        if self._output_closed:
            raise BrokenPipeError
        self._asked = False
        if self._every:
            self._next = time.monotonic() + self._every
        # What Python does behind a fork is not to be interrupted.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _TO_ALL)
        try:
            self._child = os.fork()
        except OSError:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            raise
        if self._child == 0:
            assert self._tell is not None
            code = _FAILED
            try:
                signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is who is meant
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
                self._tell(build())
                code = 0
            except BrokenPipeError:
                code = _OUTPUT_CLOSED
            finally:  # whatever happened: nothing of what the parent holds is this process's to end
                remove_unfinished()
                os._exit(code)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def wait(self, *, at_once: bool = False) -> bool:
        """Wait until no interim report is being made; with `at_once` only say whether that is so."""
        if self._child is not None:
            try:
                ended, status = os.waitpid(self._child, os.WNOHANG if at_once else 0)
            except ChildProcessError:  # somebody else has waited for it
                ended, status = self._child, 0
            if not ended:
                return False
            self._child = None
            code = os.waitstatus_to_exitcode(status)
            self._output_closed = code == _OUTPUT_CLOSED
            if code not in (0, _OUTPUT_CLOSED):
                self._tell = None
        return True
