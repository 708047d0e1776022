"""The JSON report: in the model's order, safe to print, and as the schema says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints, is_typeddict

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from vxtool.analysis import model
from vxtool.report import RENDERERS, Target
from vxtool.report.escape import escape, safe, safe_bytes

GOLDEN = Path(__file__).parent / "golden"
CASES = sorted(path.stem for path in GOLDEN.glob("*.json"))
SCHEMA = json.loads((Path(model.__file__).parents[1] / "report" / "schema.json").read_text("utf-8"))


def report(name: str = "founding") -> Any:
    return json.loads((GOLDEN / f"{name}.json").read_text("utf-8"))


def render(value: Any) -> str:
    return RENDERERS["json"](value, Target())


@pytest.mark.parametrize("name", CASES)
def test_the_text_holds_the_report_and_nothing_else(name: str) -> None:
    assert json.loads(render(report(name))) == report(name)


def test_keys_stand_in_the_order_of_the_model_whatever_order_they_were_made_in() -> None:
    def reverse(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: reverse(value[key]) for key in reversed(value)}
        return [reverse(item) for item in value] if isinstance(value, list) else value

    text = render(reverse(report("big")))
    assert text == render(report("big"))
    read = json.loads(text)
    assert list(read) == list(get_type_hints(model.Report))
    assert list(read["forwarding"]["other"]) == list(get_type_hints(model.Counts))
    assert list(read["forwarding"]["paths"][0]["latency_ns"]) == ["min", "p50", "p90", "p99", "max", "mean"]


def test_free_keys_are_sorted_as_numbers() -> None:
    value = report()
    value["tunnel"]["ports"] = {"8472": 1, "789": 2, "4789": 3}
    assert list(json.loads(render(value))["tunnel"]["ports"]) == ["789", "4789", "8472"]


def test_names_stay_readable_and_terminal_tricks_are_escaped() -> None:
    value = report()
    value["identities"][0]["name"] = "東京\x1b\x9b\u202e\udcff"
    text = render(value)
    assert '"東京\\u001b\\u009b\\u202e\\udcff"' in text
    assert json.loads(text) == value


def test_what_is_escaped_is_what_the_text_report_escapes() -> None:
    signs = [chr(code) for code in range(0x20, 0x110000)]
    differing = [sign for sign in signs if (safe(sign) == sign) != (escape(sign) == sign)]
    assert differing == []
    whole = json.dumps("".join(signs), ensure_ascii=False)
    assert json.loads(safe(whole)) == json.loads(json.dumps("".join(signs)))
    assert safe(whole).isprintable()
    assert safe_bytes("\x7f\U000e0041 ü".encode()) == "\\u007f\\udb40\\udc41 ü".encode()


@pytest.mark.parametrize(
    "name", ["##[error]x", "a##vso[task.setvariable variable=x]y", "###[x]", "\\##[", "::error::x"]
)
def test_no_name_is_a_command_to_a_pipeline(name: str) -> None:
    value = report()
    value["identities"][0]["name"] = name
    text = render(value)
    assert json.loads(text) == value
    assert "##[" not in text
    assert "##vso[" not in text
    assert not [line for line in text.splitlines() if line.strip().startswith("::")]


@given(st.text(st.characters()))
def test_every_name_survives_as_utf_8(name: str) -> None:
    value = report()
    value["identities"][0]["name"] = name
    assert json.loads(render(value).encode("utf-8")) == json.loads(json.dumps(value))


def test_what_json_cannot_hold_is_refused() -> None:
    value = report()
    value["overhead"]["percent_of_outer"] = float("nan")
    with pytest.raises(ValueError, match="JSON"):
        render(value)


def test_the_schema_is_a_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("name", CASES)
def test_reports_fit_the_schema(name: str) -> None:
    Draft202012Validator(SCHEMA).validate(json.loads(render(report(name))))


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (("capture", "records"), "4"),
        (("capture", "records"), None),
        (("capture", "records"), True),
        (("capture", "records"), -1),
        (("capture", "vantage"), "moon"),
        (("capture", "first_time"), "2025-08-09 17:27:50"),
        (("inputs", 0, "error"), 3),
        (("forwarding", "paths", 0, "latency_ns", "p50"), 1.5),
        (("identities", 0, "vni"), 1 << 24),
        (("tunnel", "ports"), {"http": 1}),
        (("mtu", "overlay"), "1450"),
        (("schema",), "vxtool.report/2"),
    ],
)
def test_the_schema_refuses_what_the_model_does_not_allow(where: tuple[Any, ...], value: Any) -> None:
    wrong = report()
    inside = wrong
    for step in where[:-1]:
        inside = inside[step]
    inside[where[-1]] = value
    assert not Draft202012Validator(SCHEMA).is_valid(wrong)


def test_the_schema_allows_keys_that_later_versions_add() -> None:
    later = report()
    later["capture"]["weather"] = "fair"
    assert Draft202012Validator(SCHEMA).is_valid(later)


TYPED = sorted({name for name, value in vars(model).items() if is_typeddict(value)} - {"TypedDict", "Report"})


@pytest.mark.parametrize("name", [*TYPED, "Report"])
def test_the_schema_names_the_keys_of_the_model_and_which_may_be_null(name: str) -> None:
    stated = SCHEMA if name == "Report" else SCHEMA["$defs"][name]
    hints = get_type_hints(getattr(model, name))
    assert list(stated["properties"]) == list(hints)
    assert stated["required"] == list(hints)
    for key, hint in hints.items():
        nullable = get_origin(hint) is not list and type(None) in get_args(hint)
        property_schema = {"$schema": SCHEMA["$schema"], "$defs": SCHEMA["$defs"], **stated["properties"][key]}
        assert Draft202012Validator(property_schema).is_valid(None) is nullable, key
