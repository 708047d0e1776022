"""What may be asked of an analysis while it reads: to stop with what it has, or to report in between."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vxtool.analysis.model import Report


class Control:
    """Asked from signal handlers or other threads, and looked at by whoever reads, some ten times a second.

    `tell` is called with each interim report: on `ask`, and every `every` seconds. It runs in a process of its own,
    so that reading goes on; where the system cannot fork there are no interim reports.
    """

    def __init__(self, tell: Callable[[Report], None] | None = None, every: float | None = None) -> None:
        self.reading = False
        self._tell = tell if hasattr(os, "fork") else None
        self._every = every
        self._next = time.monotonic() + every if every else None
        self._asked = False
        self._deadline: float | None = None
        self._child: int | None = None

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
        return wanted and self._tell is not None and self.wait(at_once=True)

    def report(self, build: Callable[[], Report]) -> None:
        """Make an interim report, which is due, of what `build` gives, in another process."""
        self._asked = False
        if self._every:
            self._next = time.monotonic() + self._every
        self._child = os.fork()
        if self._child == 0:
            assert self._tell is not None
            code = 1
            try:
                self._tell(build())
                code = 0
            finally:  # whatever happened: nothing of what the parent holds is this process's to end
                os._exit(code)

    def wait(self, *, at_once: bool = False) -> bool:
        """Wait until no interim report is being made; with `at_once` only say whether that is so."""
        if self._child is not None:
            try:
                ended, _ = os.waitpid(self._child, os.WNOHANG if at_once else 0)
            except ChildProcessError:  # somebody else has waited for it
                ended = self._child
            if not ended:
                return False
            self._child = None
        return True
