"""Both engines lead to the same report, whatever happens in a network and however one asks.

VXTOOL_EXAMPLES=5000 looks at so many captures, other ones each time.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from analysis.networks import random_network
from conftest import require_native

from vxtool import analyze
from vxtool.analysis.model import Report

_ASKED = os.environ.get("VXTOOL_EXAMPLES")
SEEDS = [random.randrange(1 << 40) for _ in range(int(_ASKED))] if _ASKED else list(range(120))


@pytest.mark.parametrize("seed", SEEDS)
def test_the_engine_makes_no_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    require_native()
    network = random_network(seed, tmp_path)
    chance = random.Random(seed)
    scope, overlay = chance.choice(["auto", "tunnel", "ip"]), chance.choice(["auto", "cilium", "vxlan"])
    top = chance.choice([1, 3, 100])

    def report(engine: str) -> Report:
        monkeypatch.setenv("VXTOOL_ENGINE", engine)
        made = analyze(
            network.files,
            cluster=network.cluster,
            links=network.links,
            routes=network.routes,
            scope=scope,  # type: ignore[arg-type]
            overlay=overlay,  # type: ignore[arg-type]
            top=top,
        )
        made["tool"]["engine"] = "pure"
        return made

    assert report("pure") == report("native")
