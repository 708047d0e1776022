"""`vxtool analyze`, with an analysis that is put in its place: options in, exit code and text out."""

from __future__ import annotations

import io
import json
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vxtool.cli import run
from vxtool.errors import InputError

GOLDEN = Path(__file__).parents[1] / "report" / "golden"


class Api:
    """Stands for `vxtool.api`: remembers how it was called, and returns `report`."""

    def __init__(self) -> None:
        self.report: Any = json.loads((GOLDEN / "founding.json").read_text("utf-8"))
        self.paths: list[str] = []
        self.options: dict[str, Any] = {}
        self.error: Exception | None = None

    def analyze(self, paths: list[str], **options: Any) -> Any:
        self.paths, self.options = paths, options
        if self.error is not None:
            raise self.error
        return self.report


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Api:
    fake = Api()
    module = types.ModuleType("vxtool.api")
    module.analyze = fake.analyze  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "vxtool.api", module)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    return fake


class Stream(io.TextIOWrapper):
    def __init__(self, encoding: str, terminal: bool) -> None:
        super().__init__(io.BytesIO(), encoding=encoding)
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal

    def bytes(self) -> bytes:
        self.flush()
        buffer = self.buffer
        assert isinstance(buffer, io.BytesIO)
        return buffer.getvalue()


@pytest.fixture
def stdout(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Stream]:
    def put(encoding: str = "utf-8", terminal: bool = False) -> Stream:
        stream = Stream(encoding, terminal)
        monkeypatch.setattr(sys, "stdout", stream)
        return stream

    return put


def finding(severity: str) -> dict[str, Any]:
    return {
        "id": "forwarding.dropped",
        "severity": severity,
        "title": "Odd",
        "count": 1,
        "evidence": [],
        "remedy": "None.",
        "unknown": None,
    }


def unread(path: str, error: str) -> dict[str, Any]:
    return {
        "path": path,
        "format": None,
        "compression": None,
        "link_types": [],
        "records": 0,
        "bytes": 0,
        "snaplen": None,
        "truncated": False,
        "error": error,
        "skipped_blocks": 0,
        "first_skipped": None,
    }


def test_the_text_page_goes_to_stdout(api: Api, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["analyze", "vxlan.pcap"]) == 0
    assert capfd.readouterr() == ((GOLDEN / "founding.txt").read_text("utf-8"), "")


def test_json_is_the_report(api: Api, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["analyze", "vxlan.pcap", "--format", "json"]) == 0
    assert json.loads(capfd.readouterr().out) == api.report


def test_without_options_the_analysis_gets_the_defaults(api: Api) -> None:
    assert run(["analyze", "a.pcap", "b.pcap", "--no-progress"]) == 0
    assert api.paths == ["a.pcap", "b.pcap"]
    assert callable(api.options.pop("progress"))
    assert api.options.pop("control").reading is False
    assert api.options == {
        "cluster": [],
        "links": [],
        "routes": [],
        "interfaces": {},
        "namespace": None,
        "cluster_id_bits": 8,
        "top": 10,
        "select": [],
        "ignore": [],
        "mtus": (),
        "expect": None,
        "scope": "auto",
        "overlay": "auto",
        "ports": None,
        "window_ns": 1_000_000_000,
        "settle_ns": 10_000_000,
        "jobs": None,
        "memory_bytes": 1 << 30,
    }


def test_every_option_reaches_the_analysis(api: Api) -> None:
    arguments = "analyze a.pcap --cluster c1 --cluster c2 --links l1 --links l2 --routes r1 --routes r2"
    arguments += " --interface 3=eth1 --interface 4=eth2"
    arguments += " --namespace shop --top 7 --scope ip --overlay vxlan --port 4789=vxlan --port 6081=geneve"
    arguments += " --expect overlay.toml"
    arguments += " --select forwarding,mtu.fragmented-at-source --select identity --ignore capture.clipped"
    arguments += " --mtu 1400 --window 2.5s --settle 500us --jobs 2 --memory 512M --cluster-id-bits 9"
    assert run(arguments.split()) == 0
    api.options.pop("progress")
    api.options.pop("control")
    assert api.options == {
        "cluster": ["c1", "c2"],
        "links": ["l1", "l2"],
        "routes": ["r1", "r2"],
        "interfaces": {3: "eth1", 4: "eth2"},
        "namespace": "shop",
        "cluster_id_bits": 9,
        "top": 7,
        "select": ["forwarding", "mtu.fragmented-at-source", "identity"],
        "ignore": ["capture.clipped"],
        "mtus": (1400,),
        "expect": "overlay.toml",
        "scope": "ip",
        "overlay": "vxlan",
        "ports": {4789: "vxlan", 6081: "geneve"},
        "window_ns": 2_500_000_000,
        "settle_ns": 500_000,
        "jobs": 2,
        "memory_bytes": 512 << 20,
    }


def test_json_holds_more_flows_than_a_page_has_room_for(api: Api) -> None:
    run(["analyze", "a.pcap", "--format", "json"])
    assert api.options["top"] == 100


def test_top_is_also_the_rows_of_each_table(api: Api, capfd: pytest.CaptureFixture[str]) -> None:
    run(["analyze", "a.pcap", "--top", "1"])
    assert "… and 1 more identity\n" in capfd.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        ["--window", "5"],
        ["--window", "0s"],
        ["--jobs", "0"],
        ["--memory", "1"],
        ["--memory", "127M"],
        ["--memory", "2P"],
        ["--memory", "-1G"],
        ["--settle", "soon"],
        ["--port", "8472"],
        ["--interface", "eth1"],
        ["--top", "0"],
        ["--scope", "all"],
        ["--overlay", "flannel"],
        ["--fail-on", "fatal"],
        ["--color", "blue"],
        ["--output", "no/such/directory/report.txt"],
        ["--output", "."],
    ],
)
def test_a_wrong_value_is_refused_before_any_work(
    arguments: list[str], api: Api, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(["analyze", "a.pcap", *arguments]) == 2
    assert not api.paths
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("vxtool: ")


def test_an_input_that_cannot_be_read_is_told_of_and_the_rest_reported(
    api: Api, capfd: pytest.CaptureFixture[str]
) -> None:
    api.report["inputs"].append(unread("b.pcap", "no such file; check the name"))
    assert run(["analyze", "vxlan.pcap", "b.pcap"]) == 3
    out, err = capfd.readouterr()
    assert out.startswith("OK  2 datagrams")
    assert err == "vxtool: b.pcap: no such file; check the name\n"


def test_where_no_input_can_be_read_there_are_only_error_lines(api: Api, capfd: pytest.CaptureFixture[str]) -> None:
    api.report["inputs"] = [unread("a\x1b.pcap", "empty file"), unread("b.pcap", "b.pcap: not a capture")]
    assert run(["analyze", "a\x1b.pcap", "b.pcap"]) == 3
    assert capfd.readouterr() == ("", "vxtool: a\\x1b.pcap: empty file\nvxtool: b.pcap: not a capture\n")


def test_an_input_error_of_the_analysis_is_exit_3(api: Api, capfd: pytest.CaptureFixture[str]) -> None:
    api.error = InputError("a.pcap: empty file; capture again.")
    assert run(["analyze", "a.pcap"]) == 3
    assert capfd.readouterr() == ("", "vxtool: a.pcap: empty file; capture again.\n")


def test_a_cut_capture_is_no_failure(api: Api, capfd: pytest.CaptureFixture[str]) -> None:
    api.report["inputs"][0].update(truncated=True, error="cut inside record 5 at byte 700")
    assert run(["analyze", "vxlan.pcap"]) == 0
    assert "\nCUT  vxlan.pcap: cut inside record 5 at byte 700." in capfd.readouterr().out


@pytest.mark.parametrize(
    ("severity", "fail_on", "code"),
    [
        ("error", None, 0),
        ("error", "error", 1),
        ("error", "warning", 1),
        ("warning", "error", 0),
        ("warning", "warning", 1),
        ("info", "warning", 0),
        ("info", "info", 1),
        ("info", "mtu", 0),
        ("info", "capture.clipped", 0),
        ("info", "forwarding", 1),
        ("info", "forwarding.dropped", 1),
        ("info", "error, mtu,forwarding.dropped", 1),
    ],
)
def test_findings_fail_the_command_where_asked_to(api: Api, severity: str, fail_on: str | None, code: int) -> None:
    api.report["findings"] = [finding(severity)]
    assert run(["analyze", "a.pcap", *(["--fail-on", fail_on] if fail_on else [])]) == code


def test_an_unread_input_outweighs_findings(api: Api) -> None:
    api.report["findings"] = [finding("error")]
    api.report["inputs"].append(unread("b.pcap", "no such file"))
    assert run(["analyze", "a.pcap", "b.pcap", "--fail-on", "error"]) == 3


@pytest.mark.parametrize(
    ("terminal", "environment", "option", "colored"),
    [
        (True, {}, "auto", True),
        (False, {}, "auto", False),
        (True, {"NO_COLOR": "1"}, "auto", False),
        (True, {"NO_COLOR": ""}, "auto", True),
        (True, {"TERM": "dumb"}, "auto", False),
        (False, {}, "always", True),
        (True, {"NO_COLOR": "1"}, "always", True),
        (True, {}, "never", False),
    ],
)
def test_colour_is_for_terminals_that_want_it(
    terminal: bool,
    environment: dict[str, str],
    option: str,
    colored: bool,
    api: Api,
    stdout: Callable[..., Stream],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    stream = stdout(terminal=terminal)
    assert run(["analyze", "a.pcap", "--color", option]) == 0
    assert (b"\x1b[" in stream.bytes()) is colored


def test_a_terminal_gives_the_width_and_a_pipe_has_80_columns(
    api: Api, stdout: Callable[..., Stream], monkeypatch: pytest.MonkeyPatch
) -> None:
    api.report["tunnel"]["tunnels"][0]["source_node"] = "n" * 60
    monkeypatch.setenv("COLUMNS", "200")
    wide, piped = stdout(terminal=True), None
    run(["analyze", "a.pcap", "--color", "never"])
    piped = stdout(terminal=False)
    run(["analyze", "a.pcap"])
    assert max(map(len, wide.bytes().decode().splitlines())) > 80
    assert max(map(len, piped.bytes().decode().splitlines())) <= 80


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_no_encoding_of_the_stream_stops_the_report(encoding: str, api: Api, stdout: Callable[..., Stream]) -> None:
    api.report = json.loads((GOLDEN / "hostile.json").read_text("utf-8"))
    stream = stdout(encoding)
    assert run(["analyze", "a.pcap"]) == 0
    assert "1 datagram" in stream.bytes().decode(encoding)


def test_json_is_utf_8_whatever_the_stream_speaks(api: Api, stdout: Callable[..., Stream]) -> None:
    api.report["identities"][0]["name"] = "東京"
    stream = stdout("ascii")
    assert run(["analyze", "a.pcap", "--format", "json"]) == 0
    assert json.loads(stream.bytes().decode("utf-8")) == api.report


def test_a_file_takes_the_report_without_colour(api: Api, tmp_path: Path, stdout: Callable[..., Stream]) -> None:
    stream = stdout(terminal=True)
    assert run(["analyze", "vxlan.pcap", "-o", str(tmp_path / "report.txt")]) == 0
    assert stream.bytes() == b""
    assert (tmp_path / "report.txt").read_text("utf-8") == (GOLDEN / "founding.txt").read_text("utf-8")


def test_an_input_is_never_overwritten(api: Api, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    capture = tmp_path / "a.pcap"
    capture.write_bytes(b"precious")
    assert run(["analyze", str(capture), "-o", str(tmp_path / "." / "a.pcap")]) == 2
    assert capture.read_bytes() == b"precious"
    assert "is an input too" in capfd.readouterr().err


def test_nor_is_a_file_in_a_folder_of_inputs(api: Api, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pods = tmp_path / "lists" / "pods.json"
    pods.parent.mkdir()
    pods.write_bytes(b"precious")
    assert run(["analyze", "a.pcap", "--cluster", str(pods.parent), "-o", str(pods)]) == 2
    assert pods.read_bytes() == b"precious"
    assert "is an input too" in capfd.readouterr().err
    assert run(["analyze", "a.pcap", "--cluster", str(pods.parent), "-o", str(tmp_path / "report.txt")]) == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_told_of_in_one_line(api: Api, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["analyze", "a.pcap", "-o", "/dev/full"]) == 2
    err = capfd.readouterr().err
    assert err.startswith("vxtool: /dev/full: cannot write the report: No space left on device")
    assert err.count("\n") == 1


def test_standard_input_is_read_once_and_from_no_terminal(
    api: Api, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", Stream("utf-8", terminal=False))
    assert run(["analyze", "-"]) == 0
    assert api.paths == ["-"]
    assert run(["analyze", "-", "-"]) == 2
    monkeypatch.setattr(sys, "stdin", Stream("utf-8", terminal=True))
    assert run(["analyze", "-"]) == 2
    assert "is a terminal" in capfd.readouterr().err


def expectation(status: str) -> dict[str, Any]:
    return {
        "key": "max_dropped",
        "path": "overlay.toml",
        "line": 1,
        "expected": "no datagrams dropped",
        "status": status,
        "found": "3 datagrams of 9 dropped",
        "evidence": [],
    }


@pytest.mark.parametrize(("status", "code"), [("met", 0), ("failed", 1), ("unjudged", 1)])
def test_an_expectation_that_is_not_met_fails_the_command(
    api: Api, status: str, code: int, capfd: pytest.CaptureFixture[str]
) -> None:
    api.report["expectations"] = [expectation("met"), expectation(status)]
    assert run(["analyze", "a.pcap", "--expect", "overlay.toml"]) == code
    out = capfd.readouterr().out
    assert out.startswith("OK" if status == "met" else "FAILED")
    assert "no datagrams dropped. (max_dropped)" in out


def test_a_file_of_expectations_is_never_overwritten(
    api: Api, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    expected = tmp_path / "overlay.toml"
    expected.write_bytes(b"max_dropped = 0")
    assert run(["analyze", "a.pcap", "--expect", str(expected), "-o", str(expected)]) == 2
    assert expected.read_bytes() == b"max_dropped = 0"
    assert "is an input too" in capfd.readouterr().err


def test_several_formats_are_written_at_once(api: Api, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    xml, markdown, sarif = tmp_path / "r.xml", tmp_path / "r.md", tmp_path / "r.sarif"
    arguments = ["analyze", "vxlan.pcap", "--output", f"junit={xml}", "--output", f"markdown={markdown}"]
    assert run([*arguments, "-o", f"sarif={sarif}"]) == 0
    assert capfd.readouterr() == ((GOLDEN / "founding.txt").read_text("utf-8"), "")
    assert xml.read_text("utf-8") == (GOLDEN / "founding.xml").read_text("utf-8")
    assert markdown.read_text("utf-8") == (GOLDEN / "founding.md").read_text("utf-8")
    assert sarif.read_text("utf-8") == (GOLDEN / "founding.sarif").read_text("utf-8")


def test_each_format_has_as_many_flows_as_it_has_alone(
    api: Api, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    api.report["flows"] = [dict(api.report["flows"][0], source_port=1000 + number) for number in range(30)]
    run(["analyze", "vxlan.pcap", "--output", f"json={tmp_path / 'r.json'}"])
    assert api.options["top"] == 100
    assert len(json.loads((tmp_path / "r.json").read_text("utf-8"))["flows"]) == 30
    shown = capfd.readouterr().out
    del api.report["flows"][10:]
    run(["analyze", "vxlan.pcap"])
    assert shown == capfd.readouterr().out


def test_one_format_may_be_the_only_one(api: Api, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.txt"
    assert run(["analyze", "vxlan.pcap", "--output", f"text={page}"]) == 0
    assert capfd.readouterr().out == ""
    assert page.read_text("utf-8") == (GOLDEN / "founding.txt").read_text("utf-8")


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        (["junt=r.xml"], "--output junt=r.xml: junt is no format; give one of github, json,"),
        (["junit=a.xml", "junit=b.xml"], "--output junit=b.xml: junit goes to a.xml already"),
        (["a.txt", "b.txt"], "--output b.txt: text goes to a.txt already"),
        (["junit=a", "sarif=./a"], "--output sarif=./a: junit goes to ./a already"),
        (["junit=-"], "--output junit=-: text goes to standard output already"),
        (["junit=."], ".: is a directory"),
        (["junit=no/such/r.xml"], "no/such/r.xml: no directory no/such"),
    ],
)
def test_outputs_that_make_no_sense_are_refused(
    outputs: list[str], message: str, api: Api, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(["analyze", "a.pcap", *(part for value in outputs for part in ("--output", value))]) == 2
    assert not api.paths
    err = capfd.readouterr().err
    assert err.startswith(f"vxtool: {message}")
    assert err.count("\n") == 1


def test_a_name_with_an_equals_sign_is_a_file_if_a_folder_stands_before_it(
    api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["analyze", "vxlan.pcap", "-o", "./a=b"]) == 0
    assert (tmp_path / "a=b").read_text("utf-8") == (GOLDEN / "founding.txt").read_text("utf-8")


def test_github_adds_the_page_to_the_steps_summary(
    api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    summary = tmp_path / "summary.md"
    summary.write_text("# Before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    assert run(["analyze", "vxlan.pcap", "--format", "github"]) == 0
    assert capfd.readouterr().out == (GOLDEN / "founding.github").read_text("utf-8")
    assert summary.read_text("utf-8") == "# Before\n" + (GOLDEN / "founding.md").read_text("utf-8")
    assert run(["analyze", "vxlan.pcap", "--format", "markdown"]) == 0
    assert summary.read_text("utf-8").count("## vxtool") == 1


@pytest.mark.parametrize("format_", ["markdown", "junit", "github", "sarif"])
def test_formats_of_pipelines_are_utf_8_without_colour(
    format_: str, api: Api, stdout: Callable[..., Stream], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    stream = stdout("ascii", terminal=True)
    assert run(["analyze", "a.pcap", "--format", format_, "--color", "always"]) == 0
    text = stream.bytes().decode("utf-8")
    assert "\x1b" not in text
    assert text.endswith("\n")
