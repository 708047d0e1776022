"""vxtool: a packet-level VXLAN codec, and an analyzer for captures taken on a router.

`decode` and `encode` turn one packet's bytes into values and back; `analyze` turns captures into a report, `flows`
lists who talks to whom in them, `summary` their packets, `summary_detail` shows one record byte by byte, `diff`
tells two of them apart; `decap`, `encap` and `extract` make captures of captures; `mtu` reckons what a tunnel
leaves. They are loaded when they are first asked for, so that importing the package costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vxtool.lazy import names_from

if TYPE_CHECKING:
    from vxtool.api import analyze as analyze
    from vxtool.api import decap as decap
    from vxtool.api import diff as diff
    from vxtool.api import encap as encap
    from vxtool.api import extract as extract
    from vxtool.api import flows as flows
    from vxtool.api import mtu as mtu
    from vxtool.api import summary as summary
    from vxtool.api import summary_detail as summary_detail
    from vxtool.packet import decode as decode
    from vxtool.packet import encode as encode

__version__ = "0.1.0"
__all__ = [
    "__version__",
    "analyze",
    "decap",
    "decode",
    "diff",
    "encap",
    "encode",
    "extract",
    "flows",
    "mtu",
    "summary",
    "summary_detail",
]

_HOMES = {
    "api": ("analyze", "decap", "diff", "encap", "extract", "flows", "mtu", "summary", "summary_detail"),
    "packet": ("decode", "encode"),
}

__getattr__, __dir__ = names_from(__name__, _HOMES)
