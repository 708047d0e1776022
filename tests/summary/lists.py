"""Packet lists of captures that lie in memory, by either engine, and what may be asked of a list."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

from conftest import CLUSTER_FILES

from vxtool.api import summary, summary_detail
from vxtool.errors import VxtoolError
from vxtool.listing.fields import FIELDS, FORMATS, TIMES
from vxtool.report import Target

ENGINES = ("pure", "native")

FILTERS = (
    "",
    "",
    "",
    "vni == 256 || tcp",
    "outcome == dropped",
    "tcp.stream >= 1 && !(tcp.port == 80)",
    "frame.number > 3 && ip",
    'interface == "#1"',
    'pod contains "pod" || node == "k8s-w0"',
)


def text_of(paths: Sequence[str], **asked: Any) -> str:
    return b"".join(summary(list(paths), **asked).blocks()).decode("utf-8", "surrogateescape")


def some_wish(chance: random.Random) -> dict[str, Any]:
    """Arguments of `summary`."""
    return {
        "format": chance.choice(FORMATS),
        "fields": chance.sample(FIELDS, chance.choice([0, 1, 5, len(FIELDS)])),
        "time": chance.choice(TIMES),
        "all_records": chance.random() < 0.5,
        "filter": chance.choice(FILTERS),
        "most": chance.choice([0, 0, 1, 7]),
        "overlay": chance.choice(["auto", "cilium", "vxlan"]),
        "cluster": chance.choice([[], [str(CLUSTER_FILES / "ciliumendpoints.json")]]),
        "target": Target(width=chance.choice([40, 80, 160]), color=chance.random() < 0.5),
        "fit": chance.random() < 0.5,
    }


def both_texts(paths: Sequence[str], **asked: Any) -> list[str]:
    """What the plain and the native engine write, but for their names; or why they do not."""
    return _by_both(lambda: text_of(paths, **asked))


def both_lists(files: Sequence[bytes], **asked: Any) -> list[str]:
    """The same of captures in memory."""
    with _written(files) as paths:
        return both_texts(paths, **asked)


def both_details(files: Sequence[bytes], number: int, **asked: Any) -> list[str]:
    """The same of a record of the first of them in full."""
    with _written(files) as paths:
        return _by_both(lambda: json.dumps(summary_detail(paths, number, **asked)))


@contextmanager
def _written(files: Sequence[bytes]) -> Iterator[list[str]]:
    with TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        paths = []
        for number, data in enumerate(files):
            path = Path(folder) / f"{number}.pcap"
            path.write_bytes(data)
            paths.append(str(path))
        yield paths


def _by_both(make: Callable[[], str]) -> list[str]:
    texts = []
    for engine in ENGINES:
        with patch.dict(os.environ, {"VXTOOL_ENGINE": engine}):
            try:
                text = make()
            except VxtoolError as error:
                text = str(error)
        texts.append(text.replace(f'"engine": "{engine}"', ""))
    return texts
