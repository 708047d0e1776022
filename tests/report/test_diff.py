"""The difference as a page, as Markdown and as JSON. `golden/diff` is of two sample captures: native routing that
went astray, and the same pods over VXLAN."""

from __future__ import annotations

import copy
import json
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from conftest import REPOSITORY
from jsonschema import Draft202012Validator
from report.test_formats import EVIL, page

import vxtool
from vxtool.analysis import model
from vxtool.report import DIFF_RENDERERS, Target

GOLDEN = Path(__file__).parent / "golden" / "diff"
SCHEMA = json.loads((Path(model.__file__).parents[1] / "report" / "schema.json").read_text("utf-8"))
SUFFIXES = {"text": "txt", "markdown": "md", "json": "json"}


@pytest.fixture(scope="module")
def native_to_vxlan() -> Any:
    import os

    before = Path.cwd()
    os.chdir(REPOSITORY)
    try:
        value = vxtool.diff(
            "captures/native-misroute.pcap",
            "captures/ping-http.pcap",
            cluster=["captures/cluster"],
            links=["captures/ping-http.links.json"],
        )
    finally:
        os.chdir(before)
    value["tool"] = {"version": "0.1.0", "engine": "native"}
    return value


@pytest.mark.parametrize("format_", sorted(DIFF_RENDERERS))
def test_the_difference_is_as_it_was_agreed(format_: str, native_to_vxlan: Any) -> None:
    text = DIFF_RENDERERS[format_](native_to_vxlan, Target())
    assert text == (GOLDEN / f"native-to-vxlan.{SUFFIXES[format_]}").read_text("utf-8")


def test_json_is_the_difference_and_fits_the_schema(native_to_vxlan: Any) -> None:
    value = json.loads(DIFF_RENDERERS["json"](native_to_vxlan, Target()))
    assert value == native_to_vxlan
    Draft202012Validator({"$ref": "#/$defs/Difference", "$defs": SCHEMA["$defs"]}).validate(value)


@pytest.mark.parametrize("width", [72, 80, 160])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_no_line_is_wider_than_the_target(width: int, encoding: str, native_to_vxlan: Any) -> None:
    text = DIFF_RENDERERS["text"](native_to_vxlan, Target(width=width, encoding=encoding))
    text.encode(encoding)
    assert max(map(len, text.splitlines())) <= width
    assert all(line == line.rstrip() for line in text.splitlines())


def test_tables_are_no_longer_than_asked_for(native_to_vxlan: Any) -> None:
    assert "… and 2 more that differ" in DIFF_RENDERERS["text"](native_to_vxlan, Target(rows=1))
    assert "… and 2 more that differ" in DIFF_RENDERERS["markdown"](native_to_vxlan, Target(rows=1))


def test_where_nothing_differs_that_is_said(native_to_vxlan: Any) -> None:
    value = copy.deepcopy(native_to_vxlan)
    value["changes"] = [dict(row, kind="same") for row in value["changes"]]
    assert DIFF_RENDERERS["text"](value, Target()).startswith("No difference in 24 figures.\n")
    value["changes"] = []
    assert DIFF_RENDERERS["text"](value, Target()).startswith("Nothing to compare")


@pytest.mark.parametrize("text", [text for text in EVIL if text])
def test_names_cannot_break_out(text: str, native_to_vxlan: Any) -> None:
    value = copy.deepcopy(native_to_vxlan)
    value["before"]["paths"] = [text]
    for row in value["changes"]:
        row["what"] = text
        row["before"] = text if isinstance(row["before"], str) else row["before"]
    for format_ in DIFF_RENDERERS:
        shown = DIFF_RENDERERS[format_](value, Target())
        assert not [char for char in shown if char != "\n" and unicodedata.category(char) in ("Cc", "Cs")]
    tags = page(DIFF_RENDERERS["markdown"](value, Target())).tags
    assert tags == page(DIFF_RENDERERS["markdown"](native_to_vxlan, Target())).tags
