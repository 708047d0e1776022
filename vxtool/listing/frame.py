"""What stands before and behind the lines of a packet list."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vxtool.analysis.model import Input, Tool
    from vxtool.listing.lister import Wish

SCHEMA = "vxtool.summary/1"


def head(wish: Wish, fields: Sequence[str], tool: Tool, inputs: Sequence[Input]) -> bytes:
    if wish.format == "text":
        return b""
    if wish.format == "tsv":
        return "\t".join(fields).encode() + b"\n"
    from vxtool.report.escape import safe

    told = json.dumps({"schema": SCHEMA, "tool": tool, "inputs": list(inputs)}, indent=2, ensure_ascii=False)
    return safe(told.removesuffix("\n}") + ',\n  "records": [').encode()


def tail(wish: Wish) -> bytes:
    return b"\n  ]\n}\n" if wish.format == "json" else b""
