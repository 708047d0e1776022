"""What is said of a filter that is none: the column, what was expected there, and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from vxtool.errors import UsageError
from vxtool.listing.filter_text import DEEPEST, LONGEST, FilterNames, compile_filter

NAMES = FilterNames(lambda name: [36705] if name == "default/curl-pod" else [], ["a/eth1.pcap", "eth2.pcap"])

_GOLDEN = Path(__file__).parent / "golden" / "filter_errors.txt"


def _golden() -> Iterator[tuple[str, str]]:
    """Filters, and what is said of each on the line below it."""
    lines = [line for line in _GOLDEN.read_text("utf-8").splitlines() if not line.startswith("#")]
    return zip(lines[::2], lines[1::2], strict=True)


ERRORS = [
    *_golden(),
    ("\x1b[1m == 1", "    column 1: '\\x1b[1m': no such field; `vxtool fields filter` lists all."),
    ('eth == "\\\x1b"', "    column 9: \\'\\x1b' is no escape; expected \\\\, \\\" or \\'."),
    ("(" * (DEEPEST + 1), "    column 65: more than 64 parentheses within each other; ask for less at a time."),
    ("x" * (LONGEST + 1), "    column 8193: is longer than 8192 characters; ask for less at a time."),
]


@pytest.mark.parametrize(("text", "message"), ERRORS)
def test_an_error_says_where_and_what_to_do(text: str, message: str) -> None:
    with pytest.raises(UsageError) as error:
        compile_filter(text, NAMES)
    assert str(error.value) == f"-Y: {message.strip()}"


def test_where_it_stands_may_be_named_otherwise() -> None:
    with pytest.raises(UsageError, match=r"^vxtool\.toml: filter: column 1: "):
        compile_filter("80", where="vxtool.toml: filter")


def test_names_that_stand_for_too_much_are_refused() -> None:
    names = FilterNames(lambda name: range(5000))
    with pytest.raises(UsageError, match="comes to 5000 tests; expected at most 4096"):
        compile_filter("identity == web", names)


def test_the_longest_and_the_deepest_are_taken() -> None:
    assert compile_filter("(" * DEEPEST + "tcp" + ")" * DEEPEST).tests
    assert len(compile_filter("tcp||" * 1637 + "tcp").tests) == 1638
    assert compile_filter("!" * (LONGEST - 3) + "tcp").tests
