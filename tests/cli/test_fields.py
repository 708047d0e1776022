"""`vxtool fields`: the meaning of every field, from the schemas, and of filters from their parser's table."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import REPOSITORY

from vxtool.analysis.expectation_file import expectation_schema
from vxtool.cli import run
from vxtool.listing.filter_fields import FILTER_FIELDS
from vxtool.report.fields import SUBJECTS, fields, render_markdown


@pytest.mark.parametrize("subject", ["report", "expectations", "filter", "diff"])
def test_every_field_has_a_meaning(subject: str) -> None:
    listed = fields(subject)
    assert [field.path for field in listed if not field.meaning or not field.kind] == []
    assert len({field.path for field in listed}) == len(listed)


def test_paths_and_kinds_are_those_of_the_report() -> None:
    kinds = {field.path: field.kind for field in fields("report")}
    assert kinds["forwarding.paths[].latency_ns.p99"] == "integer"
    assert kinds["forwarding.paths[].latency_ns"] == "object or null"
    assert kinds["capture.vantage"] == "router or node or link or null"
    assert kinds["tunnel.ports"] == "integer by key"
    assert kinds["expectations[].status"] == "met or failed or unjudged"
    assert kinds["forwarding.other"] == "object or null"
    assert "forwarding.other.dropped" not in kinds


def test_expectations_are_listed_by_their_keys() -> None:
    assert [field.path for field in fields("expectations")] == list(expectation_schema()["properties"])


def test_the_fields_of_filters_are_those_of_their_parser(capfd: pytest.CaptureFixture[str]) -> None:
    assert [field.path for field in fields("filter")] == [field.name for field in FILTER_FIELDS]
    assert run(["fields", "filter", "hop limit"]) == 0
    assert capfd.readouterr().out == (
        "ttl  number\n    IPv4's time to live, or IPv6's hop limit. As in ttl <= 1\n"
        "ipv6.hlim  number\n    IPv6's hop limit. As in ipv6.hlim == 63\n"
    )


@pytest.mark.parametrize("subject", SUBJECTS)
def test_each_subject_is_printed(subject: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["fields", subject]) == 0
    out = capfd.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    assert all(field.path in out for field in fields(subject))


def test_a_word_chooses(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["fields", "report", "P99"]) == 0
    assert capfd.readouterr().out == (
        "forwarding.paths[].latency_ns.p99  integer\n    99 of 100 took at most so long.\n"
    )
    assert run(["fields", "report", "weather"]) == 2
    assert run(["fields", "latency"]) == 2
    assert capfd.readouterr().err == (
        "vxtool: 'weather': stands in no field of report; `vxtool fields report` lists all.\n"
        "vxtool: 'latency': expected one of report, expectations, filter, flows, summary, diff; "
        "`vxtool fields report latency` looks for a word.\n"
    )


def test_the_docs_page_is_what_the_schemas_say() -> None:
    page: Path = REPOSITORY / "docs" / "fields.md"
    assert page.read_text("utf-8") == render_markdown()
