"""What does not print is spelled out; what prints stays as it is."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vxtool.report.escape import escape


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("curl-pod", "curl-pod"),
        ("東京", "東京"),
        ("\x1b[2J", r"\x1b[2J"),
        ("a\nb\rc\td", r"a\x0ab\x0dc\x09d"),
        ("\x9b31m", r"\x9b31m"),
        ("\x7f", r"\x7f"),
        ("web\u202edop", r"web\u202edop"),
        ("a\u200bb\ufeff", r"a\u200bb\ufeff"),
        ("a\u2028b", r"a\u2028b"),
        ("\udcff", r"\udcff"),
        ("\U000e0041", r"\U000e0041"),
        ("eth1 ::error::pwned", r"eth1 \x3a:error\x3a:pwned"),
        ("x" * 90 + "::add-mask::y", "x" * 90 + r"\x3a:add-mask\x3a:y"),
        (":::Error file=x::1", r":\x3a:Error file=x::1"),
        ("a##[error]b", r"a#\x23[error]b"),
        ("###[group]", r"##\x23[group]"),
        ("##vso[task.setvariable variable=x]y", r"#\x23vso[task.setvariable variable=x]y"),
    ],
)
def test_known_tricks_are_spelled_out(text: str, safe: str) -> None:
    assert escape(text) == safe


@pytest.mark.parametrize(
    "text",
    ["::", "::1", "fd00::1", "fe80::cafe", "::ffff:10.0.0.1", "::a:b → 2001:db8::dead:beef", "[fe80::add]:80",
     "## heading", "#1 ##2", "a[0]", "#[x]", "k8s:app=web"],
)  # fmt: skip
def test_addresses_and_signs_of_everyday_stay_as_they_are(text: str) -> None:
    assert escape(text) == text


def test_what_is_escaped_stays_so() -> None:
    once = escape("::error::x ##[error] \u202e")
    assert escape(once) == once


def test_what_the_encoding_lacks_is_spelled_out_too() -> None:
    assert escape("µ→", "latin-1") == "µ\\u2192"
    assert escape("µ→", "ascii") == "\\xb5\\u2192"


@given(st.text(st.characters()), st.sampled_from(["utf-8", "latin-1", "ascii", "cp437"]))
def test_every_text_becomes_one_printable_line_that_the_stream_takes(text: str, encoding: str) -> None:
    safe = escape(text, encoding)
    safe.encode(encoding)
    assert not [char for char in safe if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")]
