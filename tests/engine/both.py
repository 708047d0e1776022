"""Both engines on the same bytes."""

from __future__ import annotations

from conftest import require_native

from vxtool.engine import Engine, make_engine
from vxtool.engine.options import EngineOptions
from vxtool.engine.tables import Tables


def observe(file: bytes, options: EngineOptions | None = None) -> Tables:
    """What both make of a file; the C one is fed at once, where it works by the batch, and by bytes."""
    require_native()
    options = options or EngineOptions()
    plain, at_once, cut = (make_engine(options, name) for name in ("pure", "native", "native"))
    _feed(plain, file, len(file))
    _feed(at_once, file, len(file))
    _feed(cut, file, 1)
    tables = plain.tables()
    for native in (at_once.tables(), cut.tables()):
        for name in Tables._fields:
            assert getattr(native, name) == getattr(tables, name), name
        assert list(native.cells) == list(tables.cells)
    return tables


def _feed(engine: Engine, file: bytes, size: int) -> None:
    for at in range(0, len(file), size):
        engine.feed(0, file[at : at + size])
    engine.end(0)
