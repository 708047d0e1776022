"""However a command ends, there is an exit code and at most one line, and never a traceback."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest

import vxtool
from vxtool import cli
from vxtool.cli import commands
from vxtool.errors import InputError, PacketError, UsageError

REPOSITORY = Path(vxtool.__file__).parents[1]


def raising(error: BaseException) -> click.Command:
    def callback() -> None:
        raise error

    return click.Command("analyze", callback=callback)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], None]:
    """Let `vxtool analyze` raise an error."""

    def put(error: BaseException) -> None:
        monkeypatch.setattr(commands.Commands, "get_command", lambda *_: raising(error))

    return put


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (InputError("a.pcap: no such file; check the name."), 3, "vxtool: a.pcap: no such file; check the name.\n"),
        (PacketError("udp: cut short"), 3, "vxtool: udp: cut short\n"),
        (UsageError("b.json: not understood"), 2, "vxtool: b.json: not understood\n"),
        (KeyboardInterrupt(), 130, ""),
        (BrokenPipeError(), 141, ""),
    ],
)
def test_each_kind_of_error_has_its_exit_code(
    error: BaseException,
    code: int,
    line: str,
    command: Callable[[BaseException], None],
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cli, "_drop_output", lambda: None)
    command(error)
    assert cli.run(["analyze"]) == code
    assert capfd.readouterr() == ("", line)


class Interrupted:
    """An attribute that Ctrl-C interrupts while its class is made."""

    def __set_name__(self, owner: type, name: str) -> None:
        raise KeyboardInterrupt


def test_ctrl_c_while_a_class_is_made_is_ctrl_c(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def make(*_: object) -> None:
        type("Made", (), {"attribute": Interrupted()})

    monkeypatch.setattr(commands.Commands, "get_command", make)
    assert cli.run(["analyze"]) == 130
    assert capfd.readouterr() == ("", "")


def test_ctrl_c_while_the_options_are_imported_is_ctrl_c() -> None:
    done = run_python(
        "import sys; from vxtool import cli; from importlib.abc import MetaPathFinder\n"
        "class Interrupt(MetaPathFinder):\n"
        "    def find_spec(self, *_):\n"
        "        raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupt())\n"
        "sys.exit(cli.run(['--version']))\n"
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_ctrl_c_while_an_error_is_told_is_ctrl_c() -> None:
    done = run_python(
        "import sys; from vxtool import cli\n"
        "def interrupt(message):\n"
        "    raise KeyboardInterrupt\n"
        "cli.complain = interrupt\n"
        "sys.argv[1:] = ['decap', 'none.pcap', '-o', 'x']\n"
        "cli.main()\n"
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


@pytest.mark.parametrize("error", [KeyError("x"), EOFError(), RecursionError("deep"), ValueError("a\nb\x1b[2J")])
def test_an_unexpected_error_is_one_line_that_asks_for_a_report(
    error: Exception,
    command: Callable[[BaseException], None],
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("VXTOOL_DEBUG", raising=False)
    command(error)
    assert cli.run(["analyze"]) == 70
    lines = capfd.readouterr().err.strip("\n").split("\n")
    assert len(lines) == 1
    assert lines[0].startswith(f"vxtool: unexpected {type(error).__name__}")
    assert "please report it" in lines[0]
    assert "\x1b" not in lines[0]


def test_a_traceback_is_shown_only_on_request(
    command: Callable[[BaseException], None],
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("VXTOOL_DEBUG", "1")
    command(KeyError("x"))
    assert cli.run(["analyze"]) == 70
    assert "Traceback" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["analyse"], "see 'vxtool --help'."),
        (["--wrong"], "see 'vxtool --help'."),
        (["analyze"], "see 'vxtool analyze --help'."),
        (["analyze", "a.pcap", "--wrong"], "see 'vxtool analyze --help'."),
        (["analyze", "a.pcap", "--format", "xml"], "see 'vxtool analyze --help'."),
    ],
)
def test_a_wrong_option_is_one_line_and_where_to_look(
    arguments: list[str], hint: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(arguments) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("vxtool: ")
    assert err.endswith(f"; {hint}\n")


def test_captures_alone_are_analyzed_with_the_defaults_of_the_options(monkeypatch: pytest.MonkeyPatch) -> None:
    """They pass click by; what click would have made of them must be the same."""
    from vxtool.cli import analysis, analyze

    calls: list[dict[str, object]] = []

    def remember(files: tuple[str, ...], **options: object) -> int:
        calls.append({"files": files, **options})
        return 7

    monkeypatch.setattr(analyze, "run_analysis", remember)
    assert cli.run(["analyze", "--color=auto", "a.pcap", "b c.pcap"]) == 7
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(analysis.run_analysis).parameters.items()
        if parameter.default is not inspect.Parameter.empty
    }
    assert calls == [{"files": ("a.pcap", "b c.pcap"), **defaults}]
    monkeypatch.setattr(analysis, "run_analysis", remember)
    for arguments in (["a.pcap", "--format", "json", "b c.pcap"], ["a.pcap", "b c.pcap"]):
        assert cli.run(["analyze", *arguments]) == 7
    assert calls[1:] == [{"files": ("a.pcap", "b c.pcap"), "format_": each} for each in ("json", "text")]


LEFT = ["--format", "--format json", "a.pcap --format xml", "a.pcap -- -b.pcap", "-"]


@pytest.mark.parametrize("arguments", LEFT)
def test_all_else_is_left_to_click(arguments: str) -> None:
    assert cli._plain_analysis(["analyze", *arguments.split()]) is None


@pytest.mark.parametrize(
    ("end", "code"), [(KeyboardInterrupt(), 130), (BrokenPipeError(), 141), (ValueError("x"), 70)]
)
def test_captures_alone_end_as_a_command_with_options_does(
    end: BaseException, code: int, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from vxtool.cli import analysis

    def fail(_files: tuple[str, ...], **_options: object) -> int:
        raise end

    monkeypatch.setattr(cli, "_drop_output", lambda: None)
    monkeypatch.setattr(analysis, "run_analysis", fail)
    assert cli.run(["analyze", "a.pcap"]) == code
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1 if code == 70 else 0)


def test_without_a_command_the_help_is_shown_as_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.run([]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert "Usage: vxtool" in err
    assert "analyze" in err


@pytest.mark.parametrize("arguments", [["-h"], ["--help"], ["analyze", "-h"], ["analyze", "--help"]])
def test_help_is_at_hand_everywhere(arguments: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.run(arguments) == 0
    assert capfd.readouterr().out.startswith("Usage: vxtool")


def run_python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=REPOSITORY,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_version_names_the_engine_that_runs() -> None:
    done = run_python("from vxtool.cli import run; run(['--version'])", VXTOOL_ENGINE="pure")
    assert done.stdout == f"vxtool {vxtool.__version__} (pure engine)\n"


def test_a_wrong_engine_is_a_usage_error() -> None:
    done = run_python(
        "from vxtool.cli import main; import sys; sys.argv[1:] = ['--version']; main()", VXTOOL_ENGINE="x"
    )
    assert done.returncode == 2
    assert done.stderr.startswith("vxtool: VXTOOL_ENGINE=x")
    assert done.stderr.count("\n") == 1


def test_the_version_costs_no_heavy_import() -> None:
    heavy = "{'rich', 'dpkt', 'scapy', 'lzma', 'json', 'vxtool.api', 'vxtool.cluster', 'vxtool.cli.analyze'}"
    code = "import sys; from vxtool.cli import run; run(['--version'])"
    assert run_python(f"{code}; print(sorted({heavy} & set(sys.modules)))").stdout.endswith("\n[]\n")


def test_the_module_runs_as_the_command_does() -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "vxtool", "--version"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    assert done.stdout.startswith(f"vxtool {vxtool.__version__} (")


def test_a_reader_that_goes_away_is_met_with_silence() -> None:
    code = (
        "import sys, types, click; from vxtool import cli; from vxtool.cli.commands import Commands\n"
        "command = click.Command('analyze', callback=lambda: [print('x' * 1000) for _ in range(1000)])\n"
        "Commands.get_command = lambda *_: command\n"
        "sys.exit(cli.run(['analyze']))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 141


def test_a_message_is_bounded_whatever_it_quotes(capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["analyze", "--format", "x" * 100_000, "a.pcap"]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert len(err) < 2_100
    assert err.startswith("vxtool: ")
    assert err.endswith("see 'vxtool analyze --help'.\n")


@pytest.mark.parametrize("name", ["a\0b", "a\ud800b"])
@pytest.mark.parametrize(
    "arguments",
    [
        ["analyze", "{}", "--top", "1"],
        ["crosscheck", "{}"],
        ["decap", "{}", "-o", "out"],
        ["diff", "{}", "b"],
        ["encap", "{}", "-o", "out", "--vni", "1", "--outer", "10.0.0.1,10.0.0.2"],
        ["extract", "{}", "-o", "out"],
        ["flows", "{}"],
        ["summary", "{}"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_what_can_be_no_name_is_a_wrong_value(
    arguments: list[str], name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert cli.run([argument.format(name) for argument in arguments]) == 2
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "is no name of a file: " in err
