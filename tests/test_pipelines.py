"""The action for GitHub as its runner would run it, and the examples of the docs."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import CAPTURES, REPOSITORY, require_module, require_tool

from vxtool.analysis.expectation_file import load_expectations
from vxtool.cli.analyze import command
from vxtool.cli.defaults import options_of

PAGE = (REPOSITORY / "docs" / "pipelines.md").read_text("utf-8")


def yaml(text: str) -> Any:
    require_module("yaml")
    import yaml

    return yaml.safe_load(text)


def action() -> Any:
    return yaml((REPOSITORY / "action.yml").read_text("utf-8"))


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def run(tmp_path: Path, **inputs: str) -> tuple[int, str, str]:
    """The exit code of the step, what it printed, and its summary."""
    step = action()["runs"]["steps"][1]
    programs = tmp_path / "temp" / "vxtool" / "bin"
    programs.mkdir(parents=True)
    (programs / "vxtool").symlink_to(Path(sys.executable).parent / "vxtool")
    names = re.findall(
        r"^(\w+): \${{ inputs\.([\w-]+) }}$", "\n".join(f"{k}: {v}" for k, v in step["env"].items()), re.M
    )
    assert {given for _, given in names} == {*action()["inputs"]}
    values = {name: inputs.get(given.replace("-", "_"), "") for name, given in names}
    summary = tmp_path / "summary.md"
    done = subprocess.run(
        # As a runner calls it.
        [require_tool("bash"), "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
        env={"PATH": os.environ["PATH"], "RUNNER_TEMP": str(tmp_path / "temp"), "GITHUB_STEP_SUMMARY": str(summary)}
        | values,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr.count("\n") <= 1
    return done.returncode, done.stdout, summary.read_text("utf-8") if summary.exists() else ""


FILES = {
    "cluster": f"{CAPTURES / 'cluster' / 'ciliumendpoints.json'}\n{CAPTURES / 'cluster' / 'ciliumnodes.json'}\n",
    "expect": str(CAPTURES / "overlay.toml"),
}


def test_the_action_passes_a_capture_that_is_as_expected(tmp_path: Path) -> None:
    code, out, summary = run(
        tmp_path, captures=str(CAPTURES / "vxlan.pcap"), links=str(CAPTURES / "vxlan.links.json"), **FILES
    )
    assert code == 0
    assert out.startswith("::notice title=vxtool%3A OK::2 datagrams")
    assert "### 8 expectations, all met" in summary


def test_the_action_fails_one_that_is_not_and_keeps_the_reports(tmp_path: Path) -> None:
    code, out, summary = run(
        tmp_path,
        captures=str(CAPTURES / "drops.pcap"),
        links=str(CAPTURES / "drops.links.json"),
        junit="report of it.xml",
        sarif="r.sarif",
        json="r.json",
        **FILES,
    )
    assert code == 1
    assert f"::error file={CAPTURES / 'overlay.toml'},line=2,title=vxtool%3A max_dropped::" in out
    assert "❌ failed" in summary
    assert {path.name for path in tmp_path.iterdir()} >= {"report of it.xml", "r.sarif", "r.json"}


def test_values_are_no_part_of_the_script(tmp_path: Path) -> None:
    evil = tmp_path / "$(touch owned); `touch owned`.pcap"
    evil.write_bytes((CAPTURES / "vxlan.pcap").read_bytes())
    assert run(tmp_path, captures=f"{evil.name}\n")[0] == 0
    assert not (tmp_path / "owned").exists()
    assert "${{" not in action()["runs"]["steps"][0]["run"] + action()["runs"]["steps"][1]["run"]


def test_a_name_is_no_option(tmp_path: Path) -> None:
    code, out, _ = run(tmp_path, captures="--help")
    assert (code, out) == (3, "")


def test_findings_may_fail_it(tmp_path: Path) -> None:
    assert run(tmp_path, captures=str(CAPTURES / "drops.pcap"), fail_on="forwarding\nwarning")[0] == 1


def test_the_examples_of_the_docs_name_what_there_is(tmp_path: Path) -> None:
    github, gitlab = map(yaml, blocks("yaml"))
    step = next(each for each in github["jobs"]["overlay"]["steps"] if each["uses"].startswith("OWNER/"))
    assert {*step["with"]} <= {*action()["inputs"]}
    words = shlex.split(gitlab["overlay"]["script"][1])
    assert words[:2] == ["vxtool", "analyze"]
    assert {word[2:] for word in words if word.startswith("--")} <= {*options_of(command)}


@pytest.mark.parametrize("page", ["docs/pipelines.md", "README.md"])
def test_the_expectations_of_the_docs_are_some(page: str, tmp_path: Path) -> None:
    text = (REPOSITORY / page).read_text("utf-8")
    examples = [part for part in re.findall(r"```toml\n(.*?)```", text, re.DOTALL) if "max_dropped" in part]
    assert examples
    for example in examples:
        (tmp_path / "overlay.toml").write_text(example, "utf-8")
        assert load_expectations(str(tmp_path / "overlay.toml")).items


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ("vendor.github-actions", (REPOSITORY / "action.yml").read_text("utf-8")),
        ("vendor.github-workflows", blocks("yaml")[0]),
        ("vendor.gitlab-ci", blocks("yaml")[1]),
    ],
)
def test_they_are_valid_by_the_schemas_of_their_servers(schema: str, text: str, tmp_path: Path) -> None:
    require_module("check_jsonschema")
    file = tmp_path / "file.yml"
    file.write_text(text, "utf-8")
    program = [sys.executable, "-I", "-m", "check_jsonschema", "--builtin-schema", schema]
    if schema == "vendor.gitlab-ci":
        program += ["--data-transform", "gitlab-ci"]
    done = subprocess.run([*program, str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
