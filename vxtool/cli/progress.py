"""A progress bar on stderr, for inputs that take more than a second on a terminal.

rich is imported when the bar is first drawn: most runs end before that.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

_PATIENCE = 1.0  # seconds


class Progress:
    """A context manager; call it with (bytes done, bytes in all or None, records) as reading goes on.

    Nothing is drawn where stderr is no terminal, `wanted` is False, or the work ends within a second; what
    was drawn is removed at the end.
    """

    def __init__(self, wanted: bool, now: Callable[[], float] = time.monotonic) -> None:
        self._wanted = wanted and sys.stderr is not None and sys.stderr.isatty()
        self._now = now
        self._due = now() + _PATIENCE
        self._bar: RichProgress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, done: int, total: int | None, records: int) -> None:
        if self._bar is None:
            if not self._wanted or self._now() < self._due:
                return
            self._bar = _bar()
            self._task = self._bar.add_task("", total=total, records="")
            self._bar.start()
        if self._task is not None:
            self._bar.update(self._task, completed=done, total=total, records=f"{records:,} records")


def _bar() -> RichProgress:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    return RichProgress(
        BarColumn(),
        DownloadColumn(),
        TextColumn("{task.fields[records]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )
