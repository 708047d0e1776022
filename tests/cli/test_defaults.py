"""Defaults from the environment and from vxtool.toml: which is over which, and what is refused."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vxtool import cli
from vxtool.cli import analyze, run
from vxtool.cli.analysis import run_analysis


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in list(os.environ):
        if name.startswith("VXTOOL_") and name not in cli.OTHER_VARIABLES:
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What `vxtool analyze` is called with."""
    seen: list[dict[str, Any]] = []

    def remember(files: tuple[str, ...], **options: object) -> int:
        seen.append({"files": files, **options})
        return 0

    monkeypatch.setattr(analyze, "run_analysis", remember)
    return seen


def write(here: Path, text: str, name: str = "vxtool.toml") -> None:
    (here / name).write_text(text, "utf-8")


FILE = """
top = 3
links = ["a.json", "b.json"]
[analyze]
window = "2s"
fail-on = ["error"]
cluster_id_bits = 9
progress = false
"""


def test_a_file_sets_defaults(here: Path, calls: list[dict[str, Any]]) -> None:
    write(here, FILE)
    assert run(["analyze", "a.pcap"]) == 0
    options = calls[0]
    assert (options["top"], options["links"], options["window"]) == (3, ("a.json", "b.json"), 2_000_000_000)
    assert (options["fail_on"], options["cluster_id_bits"], options["progress"]) == (("error",), 9, False)


@pytest.mark.parametrize(
    ("text", "environment", "arguments", "top"),
    [
        ("", {}, [], None),
        ("top = 1", {}, [], 1),
        ("top = 1\n[analyze]\ntop = 2", {}, [], 2),
        ("[flows]\ntop = 2", {}, [], None),
        ("[analyze]\ntop = 2", {"VXTOOL_TOP": "3"}, [], 3),
        ("", {"VXTOOL_ANALYZE_TOP": "4", "VXTOOL_TOP": "3"}, [], 4),
        ("", {"VXTOOL_FLOWS_TOP": "4"}, [], None),
        ("top = 1", {"VXTOOL_ANALYZE_TOP": "4"}, ["--top", "5"], 5),
    ],
)
def test_a_flag_is_over_the_environment_and_that_over_the_file(
    text: str,
    environment: dict[str, str],
    arguments: list[str],
    top: int | None,
    here: Path,
    calls: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write(here, text)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert run(["analyze", "a.pcap", *arguments]) == 0
    assert calls[0]["top"] == top


def test_lists_in_the_environment(calls: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VXTOOL_CLUSTER", os.pathsep.join(["a b.json", "c.json"]))
    monkeypatch.setenv("VXTOOL_PORT", "8473=vxlan 8474=geneve")
    monkeypatch.setenv("VXTOOL_PROGRESS", "false")
    assert run(["analyze", "a.pcap"]) == 0
    assert calls[0]["cluster"] == ("a b.json", "c.json")
    assert calls[0]["ports"] == ((8473, "vxlan"), (8474, "geneve"))
    assert calls[0]["progress"] is False


def test_another_file_may_be_named(
    here: Path, calls: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(here, "top = 1")
    write(here, "top = 2", "other.toml")
    monkeypatch.setenv("VXTOOL_CONFIG", "other.toml")
    run(["analyze", "a.pcap"])
    monkeypatch.setenv("VXTOOL_CONFIG", "")
    run(["analyze", "a.pcap"])
    assert [options["top"] for options in calls] == [2, None]


def test_without_any_the_short_way_is_taken(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cli._plain_analysis(["analyze", "a.pcap"]) == (("a.pcap",), "text")
    monkeypatch.setenv("VXTOOL_ENGINE", "pure")
    assert cli._plain_analysis(["analyze", "a.pcap"]) is not None
    monkeypatch.setenv("VXTOOL_TOP", "3")
    assert cli._plain_analysis(["analyze", "a.pcap"]) is None
    monkeypatch.delenv("VXTOOL_TOP")
    write(here, "")
    assert cli._plain_analysis(["analyze", "a.pcap"]) is None
    assert run_analysis is not None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("underley = 1", "vxtool.toml: underley: is no option; the nearest is underlay."),
        ("[analyse]\ntop = 1", "vxtool.toml: [analyse]: is no command with defaults; the nearest is analyze."),
        ("[analyze]\nunderlay = 1", "vxtool.toml: analyze.underlay: is no option;"),
        ('["\\u001b[31m"]\ntop = 1', r"vxtool.toml: ['\x1b[31m']: is no command with defaults;"),
        ('"t\\u200bop" = 1', r"vxtool.toml: 't\u200bop': is no option; the nearest"),
        ("[craft]\nsend = true", "vxtool.toml: [craft]: is no command with defaults;"),
        ("top = 0", "vxtool.toml: top: 0 is not in the range x>=1."),
        ("[analyze]\nwindow = 5", "vxtool.toml: analyze.window: '5' is not a duration;"),
        ("progress = 1", "vxtool.toml: progress: expected true or false, found 1."),
        ("top = [1]", "vxtool.toml: top: expected one value, found a list."),
        ("links = [true]", "vxtool.toml: links: expected text or a number, found True."),
        ('output = "x"', "vxtool.toml: output: where something is written is no default;"),
        ("top", "vxtool.toml: is not TOML: "),
        ("top = " + "[" * 10_000, "vxtool.toml: is nested too deeply;"),
        ("top = " + "9" * 5_000, "vxtool.toml: is not TOML: a number has more than 4,300 digits;"),
        ("[analyze]\nevery = nan", "vxtool.toml: analyze.every: 'nan' is no number to count with;"),
        ("[analyze]\nevery = inf", "vxtool.toml: analyze.every: 'inf' is no number to count with;"),
        ("[analyze]\nevery = 1e-300", "vxtool.toml: analyze.every: 1e-300 is not in the range x>=0.01."),
        ("#" * 2_000_000, "vxtool.toml: is larger than 1 MiB;"),
        ('links = ["a\\u0000b"]', "vxtool.toml: links: 'a\\x00b' is no name of a file:"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_line(
    text: str, message: str, here: Path, calls: list[dict[str, Any]], capfd: pytest.CaptureFixture[str]
) -> None:
    write(here, text)
    for arguments in (["analyze", "a.pcap"], ["config"]):
        assert run(arguments) == 2
        out, err = capfd.readouterr()
        assert out == ""
        assert err.startswith(f"vxtool: {message}")
        assert err.count("\n") == 1
    assert calls == []
    assert run(["analyze", "--help"]) == 0
    assert run(["--version"]) == 0


def test_a_wrong_variable_is_named(
    calls: list[dict[str, Any]], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VXTOOL_TOP", "many")
    assert run(["analyze", "a.pcap"]) == 2
    assert capfd.readouterr().err.startswith("vxtool: VXTOOL_TOP: 'many' is not a valid integer")
    monkeypatch.delenv("VXTOOL_TOP")
    monkeypatch.setenv("VXTOOL_CONFIG", "none.toml")
    assert run(["analyze", "a.pcap"]) == 2
    assert capfd.readouterr().err.startswith("vxtool: VXTOOL_CONFIG=none.toml: no such file")


def test_a_format_that_only_some_commands_know_is_for_those(
    calls: list[dict[str, Any]], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VXTOOL_FORMAT", "junit")
    assert run(["analyze", "a.pcap"]) == 0
    assert calls[0]["format_"] == "junit"
    assert run(["mtu"]) == 0
    assert capfd.readouterr().out.startswith("Overlay MTU 1450")
    monkeypatch.setenv("VXTOOL_FORMAT", "junti")
    assert run(["mtu"]) == 2


def test_config_shows_what_is_set_and_where(
    here: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(here, FILE)
    monkeypatch.setenv("VXTOOL_TOP", "9")
    monkeypatch.setenv("VXTOOL_TPO", "1")
    assert run(["config", "--format", "json"]) == 0
    out, err = capfd.readouterr()
    assert err == "vxtool: VXTOOL_TPO: is set, and no option has that name.\n"
    shown = json.loads(out)
    assert shown["file"] == "vxtool.toml"
    assert shown["commands"]["analyze"]["top"] == {"value": "9", "source": "VXTOOL_TOP"}
    assert shown["commands"]["analyze"]["window"] == {"value": "2s", "source": "vxtool.toml: analyze.window"}
    assert shown["commands"]["flows"]["links"]["source"] == "vxtool.toml: links"
    assert "mtu" not in shown["commands"]


def test_config_shows_nothing_that_a_terminal_or_a_pipeline_would_obey(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    value = "\x1b[31m##[error]\x7f\u202e"
    monkeypatch.setenv("VXTOOL_LINKS", value)
    for options in ([], ["--format", "json"]):
        assert run(["config", *options]) == 0
        out, err = capfd.readouterr()
        assert (out + err).replace("\n", "").isprintable()
        assert "##[" not in out + err
    assert json.loads(out)["commands"]["analyze"]["links"]["value"] == [value]


def test_config_of_one_command_shows_all_its_options(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["config", "mtu"]) == 0
    out = capfd.readouterr().out
    assert "there is no vxtool.toml here" in out
    assert "--tunnel      vxlan   default" in out
    assert run(["config"]) == 0
    assert "no default is set" in capfd.readouterr().out
    assert run(["config", "analyse"]) == 2
    assert "the nearest is analyze" in capfd.readouterr().err


@pytest.mark.parametrize("value", ["nan", "inf", "1e-300", "0", "-1"])
def test_what_is_no_time_between_reports_is_refused(value: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["analyze", "a.pcap", "--every", value]) == 2
    assert capfd.readouterr().err.count("\n") == 1


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _device(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize(("make", "kind"), [(_pipe, "a pipe"), (_device, "a device"), (Path.mkdir, "a directory")])
@pytest.mark.parametrize("named", [False, True])
def test_what_is_no_file_is_not_read_and_told_of(
    make: Callable[[Path], None],
    kind: str,
    named: bool,
    here: Path,
    calls: list[dict[str, Any]],
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make(here / ("other" if named else "vxtool.toml"))
    if named:
        monkeypatch.setenv("VXTOOL_CONFIG", "other")
    for arguments in (["analyze", "a.pcap"], ["config"]):
        assert run(arguments) == 2
        told = "VXTOOL_CONFIG=other" if named else "vxtool.toml"
        err = capfd.readouterr().err
        assert err.startswith(f"vxtool: {told}: is {kind}, expected a file with defaults in TOML; ")
        assert err.count("\n") == 1
    assert calls == []
