"""What the common commands import: a short report must not wait for what it does not use.

No time is measured here: it differs from machine to machine, what is imported does not. `make bench` measures it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

CAPTURES = Path(__file__).parents[2] / "captures"
FOUR_RECORDS = str(CAPTURES / "vxlan.pcap")

# Heavy or not needed: other people's packages, and of Python what takes a millisecond and more.
HEAVY = {
    "asyncio", "bz2", "concurrent", "dpkt", "email", "gzip", "http", "importlib.metadata", "ipaddress", "logging",
    "lzma", "multiprocessing", "pathlib", "pyshark", "rich", "scapy", "shutil", "socket", "ssl", "subprocess",
    "tempfile", "traceback", "unittest", "urllib", "zipfile",
}  # fmt: skip
LOADERS = {
    f"vxtool.cluster.{name}"
    for name in (
        "agent", "archive", "files", "knowledge", "links", "load", "objects", "prefixes", "routes", "sysdump",
        "tables", "yaml_text",
    )
} | {"vxtool.analysis.sources", "vxtool.analysis.findings.stale"}  # fmt: skip
PURE = {
    "vxtool.capture.container", "vxtool.capture.reader", "vxtool.engine.frame", "vxtool.engine.plain_queries",
    "vxtool.engine.pure", "vxtool.packet",
}  # fmt: skip
# The large tables as values, which a report asks about and does not look into.
LARGE = {"vxtool.engine.native_tables"}


def imported(arguments: Sequence[str], engine: str = "", before: str = "click") -> set[str]:
    """All modules that the command has imported when it ends, but for those that `before` needs itself."""
    program = (
        f"import sys, {before}; before = set(sys.modules); from vxtool.cli import run; code = run(sys.argv[1:]); "
        "print(*(set(sys.modules) - before), file=sys.stderr); sys.exit(code)"
    )
    environment = {**os.environ, "VXTOOL_ENGINE": engine}
    done = subprocess.run(
        [sys.executable, "-P", "-c", program, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stderr.split())


def among(forbidden: set[str], modules: set[str]) -> set[str]:
    """Those of `modules` that are forbidden, or parts of what is."""
    return {name for name in modules if any(name == one or name.startswith(one + ".") for one in forbidden)}


def test_the_version_costs_click_and_the_extension() -> None:
    modules = imported(["--version"])
    ours = {"vxtool.capture", "vxtool.cluster", "vxtool.analysis", "vxtool.api", "vxtool.engine.tables"}
    assert among(HEAVY | ours | PURE | {"dataclasses", "json"}, modules) == set()


def test_a_report_as_text_imports_nothing_heavy() -> None:
    modules = imported(["analyze", FOUR_RECORDS])
    assert "vxtool.report.text" in modules
    # The model is for type checkers and for the order of the JSON.
    others = {"json", "vxtool.report.json", "vxtool.analysis.model", "vxtool.capture.writer"}
    assert among(HEAVY | LOADERS | others, modules) == set()


@pytest.mark.parametrize("format_", ["text", "json"])
def test_captures_alone_need_no_click(format_: str) -> None:
    modules = imported(["analyze", FOUR_RECORDS, "--format", format_], before="re")
    assert f"vxtool.report.{format_}" in modules
    assert among({"click", "vxtool.cli.commands", "vxtool.cli.analyze"}, modules) == set()


def test_a_report_as_json_does_not_import_the_text_renderer() -> None:
    modules = imported(["analyze", FOUR_RECORDS, "--format", "json"])
    assert "vxtool.report.json" in modules
    others = {"vxtool.report.text", "vxtool.report.layout", "unicodedata"}
    assert among(HEAVY | LOADERS | others, modules) == set()


@pytest.mark.parametrize("format_", ["compact", "jsonpb"])
def test_flows_for_hubble_import_nothing_heavy(format_: str) -> None:
    modules = imported(["flows", FOUR_RECORDS, "--format", format_])
    assert "vxtool.report.hubble" in modules
    others = {"vxtool.report.text", "vxtool.report.layout", "vxtool.report.json", "unicodedata", "difflib"}
    assert among(HEAVY | LOADERS | others, modules) == set()


def test_a_calculation_imports_nothing_of_captures() -> None:
    modules = imported(["mtu"])
    assert "vxtool.report.mtu" in modules
    others = {"vxtool.analysis", "vxtool.report.text", "vxtool.report.json", "json", "difflib"}
    # The codec, which is asked for the sizes of headers, has socket for addresses as text.
    assert among(HEAVY - {"socket"} | LOADERS | others | LARGE, modules) == set()


def test_crafting_from_plain_options_imports_nothing_heavy(tmp_path: Path) -> None:
    plain = ["--from", "10.0.0.1", "--to", "10.0.0.2", "--icmp", "echo", "-o", str(tmp_path / "x.pcap")]
    modules = imported(["craft", *plain])
    assert "vxtool.craft.train" in modules
    others = {"vxtool.craft.expression", "vxtool.craft.inject", "vxtool.craft.scenario", "tomllib"}
    ours = {"vxtool.analysis", "vxtool.api", "vxtool.cluster", "vxtool.engine.tables"}
    heavy = {"scapy", "rich", "dpkt", "numpy", "asyncio"}
    assert among(heavy | others | ours, modules) == set()


def test_the_native_engine_does_not_import_its_twin() -> None:
    pytest.importorskip("vxtool._native", reason="the C extension is not built")
    assert among(PURE | LARGE, imported(["analyze", FOUR_RECORDS], "native")) == set()


def test_the_pure_engine_does_not_import_the_binding() -> None:
    assert among({"vxtool.engine.native_engine"}, imported(["analyze", FOUR_RECORDS], "pure")) == set()


def test_loaders_are_imported_for_the_files_that_need_them() -> None:
    links = imported(["analyze", FOUR_RECORDS, "--links", str(CAPTURES / "vxlan.links.json")])
    assert "vxtool.cluster.links" in links
    assert among({"vxtool.cluster.load", "vxtool.cluster.objects", "vxtool.cluster.tables"}, links) == set()
    cluster = imported(["analyze", FOUR_RECORDS, "--cluster", str(CAPTURES / "cluster" / "ciliumnodes.json")])
    assert "vxtool.cluster.load" in cluster
    # Of others' packages, and of Python, what YAML and archives alone need.
    assert among({"yaml", "zipfile", "vxtool.cluster.archive"}, cluster) == set()
