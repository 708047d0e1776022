"""Where the `vxtool` command begins: while what it needs is imported, Ctrl-C ends it at once and without a word.

Python would print a traceback, of whichever module was being imported; as it does before it comes here.
"""

from __future__ import annotations

import signal
from typing import NoReturn


def main() -> NoReturn:
    """The console script."""
    # What is ignored from outside, as a shell has it of what runs in the background, stays so.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from vxtool import cli

    cli.main()
