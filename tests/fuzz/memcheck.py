"""Tests under valgrind's memcheck, and of what it says what concerns vxtool's own C.

    PYTHONPATH=tests python -P -m fuzz.memcheck [pytest's arguments]

Without arguments these are all tests, of each the first case that the C has part in: the others differ in what they
feed, which the fuzzers do better. Of those that feed most all cases run. Processes that tests start run as ever.

Python reads what it has not written, on purpose: only complaints count in whose calls a source of vxtool's stands.
Exit status: 0 there are none and the tests pass, 1 there are some, else that of the tests.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
LOG = REPOSITORY / "build" / "memcheck" / "log"


WHOLE = {
    "test_tables_are_equal_for_odd_packets",
    "test_tables_are_equal_for_merged_parts",
    "test_tables_are_equal_where_limits_are_hit",
    "test_tables_are_equal_for_flipped_bytes_of_real_captures",
}
# They are about memory and time, which valgrind takes otherwise, or all in Python and long.
LEFT_OUT = (
    "tests/benchmarks/",
    "tests/cluster/test_load.py::test_a_million_lines_that_are_no_routes_are_refused_soon",
    "tests/report/test_json.py::test_what_is_escaped_is_what_the_text_report_escapes",
    "tests/summary/test_crosscheck.py",  # waits for ever: what tells Python that a process ended gets no turn
    "tests/torture/",
)
# As valgrind names a place in them: by its path where there is debugging information, else by the library.
OWN = re.compile(r"vxtool/(?:\w+/native|binding)/\w+\.[ch]:\d+|_native\.[\w.-]*so")


def complaints(log: str) -> Iterator[str]:
    """Each as a paragraph, without the number of the process in front of its lines."""
    lines = (re.sub(r"^==\d+== ?", "", line) for line in log.splitlines())
    for paragraph in "\n".join(lines).split("\n\n"):
        if OWN.search(paragraph):
            yield paragraph


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Choose: this module is a plugin too, where nothing was asked for by name."""
    chosen: list[pytest.Item] = []
    seen: set[str] = set()
    for item in items:
        name, _, case = item.nodeid.partition("[")
        again = name in seen and name.rpartition("::")[2] not in WHOLE
        if not again and "pure" not in case and not name.startswith(LEFT_OUT):
            seen.add(name)
            chosen.append(item)
    kept = set(chosen)
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = chosen


def main() -> int:
    LOG.parent.mkdir(parents=True, exist_ok=True)
    command = [
        "valgrind",
        "--quiet",
        "--fullpath-after=",
        f"--log-file={LOG}",
        sys.executable,
        "-P",
        "-m",
        "pytest",
        "-q",
    ]
    # Python's own allocator would hide what is read too far.
    environment = {**os.environ, "PYTHONMALLOC": "malloc", "VXTOOL_EXAMPLES": "2"}
    if not sys.argv[1:]:
        command += ["-p", "fuzz.memcheck", "--durations=20"]
    status = subprocess.run([*command, "-p", "no:cacheprovider", *sys.argv[1:]], check=False, env=environment)
    found = list(complaints(LOG.read_text(errors="replace")))
    print(*found, sep="\n\n")
    print(f"memcheck: {len(found)} complaints about vxtool's C")
    return 1 if found else status.returncode


if __name__ == "__main__":
    sys.exit(main())
