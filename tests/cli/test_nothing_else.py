"""Nothing is opened, run, connected to or read from the environment but what is documented.

Python's audit hooks see every file that is opened, every process and every connection, in the real commands; the
environment is replaced by one that notes what it is asked for, and holds what others keep their credentials in.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import CAPTURES, REPOSITORY, require_module

WATCH = """
import os, sys

opened, done, asked = [], [], []
STRANGE = ("socket.", "subprocess.", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.putenv",
           "urllib.", "ftplib.", "http.", "smtplib.", "pty.", "webbrowser.", "os.startfile", "ctypes.")


def hook(event, arguments):
    if event == "open":
        opened.append(os.fspath(arguments[0]) if not isinstance(arguments[0], int) else "")
    elif event.startswith(STRANGE):
        done.append(event)


class Environment(type(os.environ)):
    def __getitem__(self, key):
        asked.append(key)
        return super().__getitem__(key)


from vxtool import cli

os.environ.__class__ = Environment
sys.addaudithook(hook)
code = cli.run(sys.argv[2:])
sys.stdout.flush()
with os.fdopen(int(sys.argv[1]), "w") as out:
    import json
    json.dump([code, [os.fsdecode(path) for path in opened], done, asked], out)
"""

# What each of these would tell of a user, were it read.
SECRETS = {
    "KUBECONFIG": "config", "KUBERNETES_SERVICE_HOST": "10.96.0.1", "AWS_SECRET_ACCESS_KEY": "x",
    "GOOGLE_APPLICATION_CREDENTIALS": "config", "AZURE_CONFIG_DIR": "home", "GITHUB_TOKEN": "x",
    "SSH_AUTH_SOCK": "x", "HTTPS_PROXY": "http://10.0.0.1:3128", "NETRC": "config", "CILIUM_NAMESPACE": "x",
}  # fmt: skip
# That Python, click or a terminal is asked about, and vxtool's own.
KNOWN = {"LANG", "LANGUAGE", "LC_ALL", "LC_MESSAGES", "NO_COLOR", "TERM", "COLUMNS", "LINES",
         "_VXTOOL_COMPLETE", "GITHUB_STEP_SUMMARY"}  # fmt: skip

CLUSTER = [
    "--cluster", str(CAPTURES / "cluster"),
    "--links", str(CAPTURES / "vxlan.links.json"),
    "--routes", str(CAPTURES / "vxlan.routes.json"),
]  # fmt: skip
VXLAN = str(CAPTURES / "vxlan.pcap")
COMMANDS: dict[str, list[str]] = {
    "analyze": ["analyze", VXLAN],
    "analyze with all it may be given": ["analyze", VXLAN, *CLUSTER, "--expect", str(CAPTURES / "overlay.toml")],
    "analyze as json": ["analyze", VXLAN, *CLUSTER, "--format", "json"],
    "analyze as junit": ["analyze", VXLAN, *CLUSTER, "--format", "junit"],
    "analyze as sarif": ["analyze", VXLAN, *CLUSTER, "--format", "sarif"],
    "flows": ["flows", VXLAN, *CLUSTER, "--format", "jsonpb"],
    "summary": ["summary", VXLAN, *CLUSTER],
    "summary of what is read once": ["summary", "-"],
    "diff": ["diff", VXLAN, str(CAPTURES / "drops.pcap")],
    "decap": ["decap", VXLAN, *CLUSTER, "-o", "out.pcapng"],
    "extract": ["extract", VXLAN, "--record", "1-2", "-o", "out.pcapng"],
    "explain": ["explain", "forwarding.dropped"],
    "mtu": ["mtu", "--cilium"],
}


@pytest.mark.parametrize("arguments", COMMANDS.values(), ids=COMMANDS)
def test_nothing_is_touched_but_what_was_given(arguments: list[str], tmp_path: Path) -> None:
    home, here = tmp_path / "home", tmp_path / "here"
    for folder in (home / ".kube", home / ".config", here):
        folder.mkdir(parents=True)
    (home / ".kube" / "config").write_text("users: [{user: {token: secret}}]")
    code, opened, done, asked = watched(arguments, here, home)
    assert code in (0, 1)
    assert done == []
    given = [*arguments, str(here), *sys.path, sys.prefix, sys.base_prefix, "/proc/self", "/dev/null"]
    allowed = [os.path.realpath(os.path.join(here, each)) for each in given if each]
    others = [path for path in opened if path and not inside(os.path.join(here, path), allowed)]
    assert others == []
    known = KNOWN | ({"TMPDIR", "TEMP", "TMP"} if arguments == ["summary", "-"] else set())
    assert {key for key in asked if key not in known and not key.startswith(("VXTOOL_", "PYTHON"))} == set()


def test_yaml_is_read_without_making_anything(tmp_path: Path) -> None:
    require_module("yaml")
    trace, cluster = tmp_path / "trace", tmp_path / "a.yaml"
    for tag in ("!!python/object/apply:os.system ['touch {0}']", "!!python/object/new:os.system ['touch {0}']"):
        cluster.write_text(f"kind: List\nitems: {tag.format(trace)}\n")
        code, opened, done, _ = watched(["analyze", VXLAN, "--cluster", str(cluster)], tmp_path, tmp_path)
        assert code == 2
        assert done == []
        assert str(trace) not in opened
        assert not trace.exists()


def test_no_unsafe_loader_of_yaml_is_named() -> None:
    for path in (REPOSITORY / "vxtool").rglob("*.py"):
        text = path.read_text()
        assert "yaml.load" not in text, path
        assert "UnsafeLoader" not in text, path
        assert "FullLoader" not in text, path


def inside(path: str, folders: list[str]) -> bool:
    real = os.path.realpath(path)
    return any(real == folder or real.startswith(os.path.join(folder, "")) for folder in folders)


def watched(arguments: list[str], folder: Path, home: Path) -> Any:
    """Exit code, files opened, what else was done, and variables asked for, of a command in a process."""
    config = str(home / ".kube" / "config")
    secrets = {name: config if value == "config" else value for name, value in SECRETS.items()}
    environment = {"PATH": os.environ.get("PATH", ""), "HOME": str(home), "XDG_CONFIG_HOME": str(home), **secrets}
    environment["TMPDIR"] = str(folder)
    reading, writing = os.pipe()
    with open(VXLAN, "rb") as capture:
        child = subprocess.Popen(
            [sys.executable, "-P", "-c", WATCH, str(writing), *arguments],
            cwd=folder, env=environment, pass_fds=[writing],
            stdin=capture, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip
    os.close(writing)
    with os.fdopen(reading) as told:
        text = told.read()
    _, error = child.communicate()
    assert text, error.decode()
    return json.loads(text)
