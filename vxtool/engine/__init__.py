"""Records in, tables out: the one interface that the C engine and its pure-Python twin share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, Self, cast

from vxtool.native import native_extension

if TYPE_CHECKING:
    from vxtool.engine.options import EngineOptions
    from vxtool.engine.tables import Tables


class Engine(Protocol):
    """Takes the bytes of one or more captures and gives the tables of what was observed.

    Without I/O: the caller asks which input is wanted, pushes what it has of that one, and says when it ends.
    Results do not depend on how the bytes were cut.
    """

    name: str

    @property
    def records(self) -> int:
        """Records taken so far."""

    def feed(self, index: int, data: bytes) -> None:
        """Take the next bytes of an input."""

    def end(self, index: int) -> None:
        """No more bytes of this input will come."""

    def wants(self) -> int | None:
        """The input without whose next bytes nothing goes on; None when all have ended or are damaged."""

    def merge(self, other: Self) -> None:
        """Take in the part that directly follows, made with `part=True`; `other` is used up.

        It does not begin with pcapng's simple packets, whose time is that of the record before; all inputs of both
        have ended; and where limits are reached, what is folded may be other than in one pass.
        """

    def tables(self) -> Tables:
        """Close what is open and return the tables; the engine takes nothing more."""


def engine_name() -> str:
    """Which engine runs: "native" where it was built, else "pure"; VXTOOL_ENGINE forces one."""
    return "pure" if native_extension() is None else "native"


def make_engine(options: EngineOptions, name: str | None = None) -> Engine:
    """An engine of the given name, or of the one that runs."""
    if (name or engine_name()) == "native":
        from vxtool.engine.native_engine import NativeEngine

        return cast(Engine, NativeEngine(options))
    from vxtool.engine.pure import PureEngine

    return PureEngine(options)
