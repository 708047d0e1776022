"""The sample captures with their truth: what each holds was counted by the kernel while it was taken.

A truth file lies beside its captures. It may name several captures of the same traffic, each of one or more
files, and each may expect something else where it cannot show all. Nothing here is derived from vxtool.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from conftest import CAPTURES

import vxtool
from vxtool.analysis.model import Report


@dataclass(frozen=True)
class Sample:
    """One capture, of one or more files that were taken together, and what is known of it."""

    truth: Mapping[str, Any]
    entry: Mapping[str, Any]
    expect: Mapping[str, Any]

    @property
    def name(self) -> str:
        return "+".join(self.entry["files"])

    @property
    def paths(self) -> list[str]:
        return [str(CAPTURES / name) for name in self.entry["files"]]

    @property
    def links(self) -> list[str]:
        return [str(CAPTURES / self.truth["links"])]

    @property
    def cluster(self) -> list[str]:
        return [str(CAPTURES / name) for name in self.truth["cluster"]]

    @property
    def stated(self) -> dict[str, Any]:
        """What is expected, without what no counter tells."""
        return {key: value for key, value in self.expect.items() if value is not None}

    @property
    def clean(self) -> bool:
        """Whether the kernel lost nothing."""
        return bool(self.expect["dropped"] == 0 and self.expect.get("other", {}).get("dropped", 0) == 0)

    def analyze(self, links: bool = True) -> Report:
        # The table that kubectl prints does not say that its namespace is the one called default.
        return vxtool.analyze(
            self.paths, cluster=self.cluster, links=self.links if links else [], namespace="default"
        )

    def nameless(self, interface: str | None) -> str | None:
        """What an interface is called where only the capture speaks: its file, its index, or its name."""
        if interface is None or self.entry["files"][0].endswith(".pcapng"):
            return interface
        if "interfaces" in self.entry:
            files = dict(zip(self.entry["interfaces"], self.entry["files"], strict=True))
            return Path(files[interface]).stem
        return f"#{self.indexes[interface]}"

    @property
    def indexes(self) -> dict[str, int]:
        """The interface indexes of the machine, from its own `ip -j`."""
        rows = json.loads((CAPTURES / self.truth["links"]).read_text())
        return {row["ifname"]: row["ifindex"] for row in rows}


@cache
def truths() -> list[dict[str, Any]]:
    """All truth files, in order of name."""
    found = [json.loads(path.read_text()) for path in sorted(CAPTURES.glob("*.json"))]
    return [truth for truth in found if isinstance(truth, dict) and "captures" in truth]


@cache
def samples() -> list[Sample]:
    """All captures of all truth files."""
    return [
        Sample(truth, entry, {**truth["expect"], **entry.get("expect", {})})
        for truth in truths()
        for entry in truth["captures"]
    ]


def sample(name: str) -> Sample:
    """The capture of this name."""
    return next(one for one in samples() if one.name == name)
