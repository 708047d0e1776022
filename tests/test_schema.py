"""The report on every sample capture is what the schema that ships with the package says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from captures.samples import Sample, samples
from conftest import require_module

from vxtool.analysis import model

SCHEMA = json.loads((Path(model.__file__).parents[1] / "report" / "schema.json").read_text("utf-8"))


@pytest.mark.parametrize("one", samples(), ids=lambda one: one.name)
def test_the_report_on_a_sample_follows_the_schema(one: Sample, engine: str) -> None:
    require_module("jsonschema")
    import jsonschema

    report = one.analyze()
    assert report["tool"]["engine"] == engine
    jsonschema.validate(report, SCHEMA)
    assert {*report} == {*model.Report.__annotations__}
