"""The C extension, or that the pure Python runs in its place: one choice for the codec and the engine."""

from __future__ import annotations

import os
from importlib import import_module
from types import ModuleType

from vxtool.errors import UsageError


def native_extension() -> ModuleType | None:
    """The extension where it was built, else None; VXTOOL_ENGINE=pure or native forces one.

    UsageError where VXTOOL_ENGINE is neither, or asks for what was not built.
    """
    wanted = os.environ.get("VXTOOL_ENGINE", "")
    if wanted not in ("", "pure", "native"):
        raise UsageError(f"VXTOOL_ENGINE={wanted}: expected 'pure' or 'native'")
    if wanted == "pure":
        return None
    try:
        return import_module("vxtool._native")
    except ImportError as error:
        if wanted == "native":
            raise UsageError(
                f"VXTOOL_ENGINE=native: the C extension was not built ({error}); "
                "install with a C compiler at hand, or unset it"
            ) from None
        return None
