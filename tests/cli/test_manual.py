"""The manual page: made from the commands, complete, and without a complaint of what formats it."""

from __future__ import annotations

import subprocess

import click
import pytest
from conftest import REPOSITORY, require_tool

from vxtool.cli import run
from vxtool.cli.commands import all_commands
from vxtool.cli.defaults import options_of
from vxtool.cli.manual import render


def test_the_page_in_the_docs_is_what_the_commands_say() -> None:
    assert (REPOSITORY / "docs" / "vxtool.1").read_text("utf-8") == render()


def test_it_formats_without_a_warning() -> None:
    # Messages on lines that cannot be broken well depend on the width, not on the page.
    program = require_tool("groff")
    command = [program, "-man", "-Tutf8", "-Kutf8", "-ww", "-Wbreak"]
    done = subprocess.run(command, input=render(), capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert "vxtool analyze" in done.stdout


def test_every_command_and_option_is_in_it() -> None:
    page = render().replace("\\-", "-")
    for name, command in all_commands().items():
        assert f".SS vxtool {name} " in page
        assert all(f"--{option}" in page for option in options_of(command))


def test_no_text_is_taken_for_a_request(monkeypatch: pytest.MonkeyPatch) -> None:
    command = click.Command("x", help=".so /etc/passwd\n\n'ig\n\na\\fBb", params=[])
    monkeypatch.setattr("vxtool.cli.commands.all_commands", lambda: {"x": command})
    lines = render().splitlines()
    assert "\\&.so /etc/passwd" in lines
    assert "\\&'ig" in lines
    assert "a\\efBb" in lines


@pytest.mark.parametrize("name", ["", *all_commands()])
def test_every_help_has_an_example(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert run([*([name] if name else []), "--help"]) == 0
    assert f"\n    vxtool {name}".rstrip() in capfd.readouterr().out
