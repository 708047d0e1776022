"""TOML from anywhere: whatever it holds, it is read or refused in one line, soon and in little memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from vxtool.errors import UsageError
from vxtool.toml_text import LARGEST, parse_toml, read_toml, shown_key

REFUSED: dict[str, tuple[bytes, str]] = {
    "lists in lists": (b"a = " + b"[" * 50_000, "is nested too deeply"),
    "tables in tables": (b"a = " + b"{a = " * 50_000, "is nested too deeply"),
    "a long dotted key": (b".".join([b"a"] * 50_000) + b" = 1", "line 1: a key of more than 32 parts"),
    "a long table's name": (b"\n[" + b" . ".join([b"a"] * 50_000) + b"]", "line 2: a key of more than 32 parts"),
    "a long key within": (b"a = {" + b".".join([b"a"] * 50_000) + b" = 1}", "line 1: a key of more than 32 parts"),
    "digits": (b"a = " + b"9" * 5_000, "is not TOML: a number has more than 4,300 digits"),
    "no text": (b"a = '\xff'", "is not UTF-8 at byte 5"),
    "more than a page": (b"#" * (LARGEST + 1), "is larger than 1 MiB"),
    "prose": (b"max_dropped", "is not TOML: "),
}


@pytest.mark.parametrize(("data", "told"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_used_is_refused_in_one_line(data: bytes, told: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(UsageError) as error:
            parse_toml("a.toml", data, "defaults")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert str(error.value).startswith(f"a.toml: {told}")
    assert str(error.value).endswith("; expected defaults.")
    assert "\n" not in str(error.value)
    assert peak < 30e6


def test_keys_and_numbers_with_points_are_read() -> None:
    many = ", ".join(["1.5"] * 200)
    values, _ = parse_toml("a.toml", f"a.b.c = [{many}]\nd = 'x.y.z'\n".encode(), "values")
    assert values == {"a": {"b": {"c": [1.5] * 200}}, "d": "x.y.z"}


def _missing(folder: Path) -> str:
    return str(folder / "none.toml")


@pytest.mark.parametrize(
    ("path", "why"), [(_missing, "No such file"), (str, "Is a directory"), ("a\0b".format, "null")]
)
def test_a_file_that_cannot_be_read_is_told_of(path: Callable[[Path], str], why: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"cannot be read: .*{why}.*; give another file"):
        read_toml(path(tmp_path), "values", "give another file")


@pytest.mark.parametrize(
    ("key", "shown"), [("max_dropped", "max_dropped"), ("", "''"), ("a\tb", r"'a\tb'"), ("\u202e", r"'\u202e'")]
)
def test_a_key_is_shown_so_that_it_prints(key: str, shown: str) -> None:
    assert shown_key(key) == shown
