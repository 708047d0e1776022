"""The bar is drawn on a terminal, when the work takes long, and is gone afterwards."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import vxtool
from vxtool.cli.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def attach(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Terminal]:
    """Make stderr a terminal; called by the test itself, since pytest gives each phase streams of its own."""

    def put() -> Terminal:
        stream = Terminal()
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv("COLUMNS", "100")
        monkeypatch.setattr(sys, "stderr", stream)
        return stream

    return put


def test_work_of_less_than_a_second_draws_nothing(attach: Callable[[], Terminal]) -> None:
    terminal, clock = attach(), Clock()
    with Progress(True, clock) as progress:
        clock.seconds = 0.9
        progress(100, 200, 3)
    assert terminal.getvalue() == ""


def test_longer_work_draws_bytes_and_records(attach: Callable[[], Terminal]) -> None:
    terminal, clock = attach(), Clock()
    with Progress(True, clock) as progress:
        clock.seconds = 1.1
        progress(100_000_000, 200_000_000, 1_234_567)
        progress(200_000_000, 200_000_000, 2_345_678)
    assert "2,345,678 records" in terminal.getvalue()
    assert "200.0/200.0 MB" in terminal.getvalue()


def test_a_pipe_has_no_known_end(attach: Callable[[], Terminal]) -> None:
    terminal, clock = attach(), Clock()
    with Progress(True, clock) as progress:
        clock.seconds = 2
        progress(5_000_000, None, 10)
    assert "10 records" in terminal.getvalue()


def test_the_bar_is_removed_also_when_the_work_fails(attach: Callable[[], Terminal]) -> None:
    terminal, clock = attach(), Clock()

    def work() -> None:
        with Progress(True, clock) as progress:
            clock.seconds = 2
            progress(1, 2, 3)
            raise KeyError

    with pytest.raises(KeyError):
        work()
    # Erase the line, and show the cursor again.
    assert terminal.getvalue().rstrip().endswith("\x1b[2K")
    assert "\x1b[?25h" in terminal.getvalue()


def test_nothing_is_drawn_unless_wanted_on_a_terminal(
    attach: Callable[[], Terminal], monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal, clock = attach(), Clock()
    with Progress(False, clock) as unwanted:
        clock.seconds = 2
        unwanted(1, 2, 3)
    pipe = io.StringIO()
    monkeypatch.setattr(sys, "stderr", pipe)
    with Progress(True, clock) as piped:
        clock.seconds = 4
        piped(1, 2, 3)
    assert (terminal.getvalue(), pipe.getvalue()) == ("", "")


def test_rich_is_not_imported_before_it_draws() -> None:
    code = "import sys, vxtool.cli.analyze, vxtool.report.text; print('rich' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(vxtool.__file__).parents[1],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "False\n"
