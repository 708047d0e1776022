"""What all tests share: the sample captures, the tools that a test may need, and the two engines.

A test that needs a tool, root or the compiled engine asks for it here. Where it is missing the test is
skipped and says why; with VXTOOL_TEST_ALL=1 (the full run) it fails instead, so that nothing is left out
unnoticed.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import settings

# The same examples on every run, so that a failure is always a change's; VXTOOL_EXAMPLES asks for new ones.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.register_profile("searching", deadline=None)
settings.load_profile("searching" if "VXTOOL_EXAMPLES" in os.environ else "repeatable")

# What a shell starts in the background ignores Ctrl-C, and what nohup starts SIGHUP; so would programs that tests
# start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

REPOSITORY = Path(__file__).resolve().parent.parent
CAPTURES = REPOSITORY / "captures"
CLUSTER_FILES = CAPTURES / "cluster"


def _missing(reason: str) -> NoReturn:
    """Skip the running test for `reason`, or fail it in the full run."""
    if os.environ.get("VXTOOL_TEST_ALL") == "1":
        pytest.fail(f"{reason} (VXTOOL_TEST_ALL=1 demands it)", pytrace=False)
    pytest.skip(reason)


def require_tool(name: str) -> str:
    """The path of the program `name`. Without it the running test is skipped, or fails in the full run."""
    # Where a user's search path leaves the administrator's directories out, tcpdump and ip are still in them.
    search = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
    path = shutil.which(name, path=search)
    if path is None:
        _missing(f"needs the program {name}, which is not installed")
    return path


def require_module(name: str) -> None:
    """See that the Python module `name` (of an extra) is installed; it is not imported."""
    if importlib.util.find_spec(name) is None:
        _missing(f"needs the Python module {name}, which is not installed")


def require_file(path: Path) -> Path:
    """The path of a file that is fetched for the tests. Without it the running test is skipped, or fails in the
    full run."""
    if not path.is_file():
        _missing(f"needs {path.name}, which was not fetched")
    return path


def require_root() -> None:
    """See that the tests run as root."""
    if os.geteuid() != 0:
        _missing("needs root")


def require_native() -> None:
    """See that the C extension is built. VXTOOL_ENGINE=pure asks for none, so the test is then skipped."""
    if os.environ.get("VXTOOL_ENGINE") == "pure":
        pytest.skip("VXTOOL_ENGINE=pure leaves the native engine out")
    if importlib.util.find_spec("vxtool._native") is None:
        _missing("needs the native engine, which was not built")


def capture_files() -> list[Path]:
    """All captures of the repository, in order of name, without the files of truth beside them."""
    return sorted(path for path in CAPTURES.glob("*.pcap*") if path.suffix != ".json")


@pytest.fixture(params=["pure", "native"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of the engine that VXTOOL_ENGINE forces while the test runs: once "pure", once "native"."""
    name: str = request.param
    if name == "native":
        require_native()
    monkeypatch.setenv("VXTOOL_ENGINE", name)
    return name
