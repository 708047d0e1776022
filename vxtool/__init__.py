"""vxtool: a packet-level VXLAN codec, and an analyzer for captures taken on a router.

`decode` and `encode` turn one packet's bytes into values and back; `analyze` turns captures into a report.
They are loaded when they are first asked for, so that importing the package costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vxtool.api import analyze as analyze
    from vxtool.packet import decode as decode
    from vxtool.packet import encode as encode

__version__ = "0.1.0"
__all__ = ["__version__", "analyze", "decode", "encode"]

_HOMES = {"analyze": "vxtool.api", "decode": "vxtool.packet", "encode": "vxtool.packet"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
