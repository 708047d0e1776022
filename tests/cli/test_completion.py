"""Completion loads in each shell, and knows commands, options, values and findings."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import require_tool

PROGRAMS = Path(sys.executable).parent


def shell(name: str, script: str, home: Path) -> list[str]:
    """The lines that a shell prints which runs a script without start-up files."""
    program = require_tool(name)
    flags = {"bash": ["--norc", "--noprofile"], "zsh": ["-f"], "fish": ["--no-config"]}[name]
    environment = {"PATH": f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}", "HOME": str(home), "TERM": "dumb"}
    done = subprocess.run(
        [program, *flags, "-c", script], env=environment, cwd=home, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def in_bash(words: list[str], home: Path) -> list[str]:
    quoted = " ".join(f"'{word}'" for word in words)
    return shell(
        "bash",
        f'eval "$(_VXTOOL_COMPLETE=bash_source vxtool)"; complete -p vxtool >/dev/null || exit 1\n'
        f"COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; _vxtool_completion vxtool\n"
        'printf "%s\\n" "${COMPREPLY[@]}"',
        home,
    )


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["vxtool", "an"], ["analyze"]),
        (["vxtool", "analyze", "--exp"], ["--expect"]),
        (["vxtool", "analyze", "--format", "ju"], ["junit"]),
        (["vxtool", "analyze", "--select", "mtu,capture.cl"], ["mtu,capture.clipped"]),
        (["vxtool", "explain", "forwarding.dr"], ["forwarding.dropped"]),
        (["vxtool", "fields", "exp"], ["expectations"]),
        (["vxtool", "summary", "--fields", "number,prot"], ["number,protocol"]),
    ],
)
def test_bash_completes(words: list[str], expected: list[str], tmp_path: Path) -> None:
    assert in_bash(words, tmp_path) == expected


def test_defaults_that_make_no_sense_do_not_stop_completion(tmp_path: Path) -> None:
    (tmp_path / "vxtool.toml").write_text("nonsense")
    assert in_bash(["vxtool", "analyze", "--exp"], tmp_path) == ["--expect"]


def test_zsh_loads_it(tmp_path: Path) -> None:
    script = (
        "autoload -Uz compinit && compinit -u -D\n"
        'eval "$(_VXTOOL_COMPLETE=zsh_source vxtool)"\n'
        "print -r -- $_comps[vxtool] $+functions[_vxtool_completion]\n"
        "COMP_WORDS='vxtool an' COMP_CWORD=1 _VXTOOL_COMPLETE=zsh_complete vxtool"
    )
    assert shell("zsh", script, tmp_path)[:3] == ["_vxtool_completion 1", "plain", "analyze"]


def test_fish_completes(tmp_path: Path) -> None:
    script = "_VXTOOL_COMPLETE=fish_source vxtool | source; complete -C 'vxtool an'"
    assert [line.partition("\t")[0] for line in shell("fish", script, tmp_path)] == ["analyze"]
