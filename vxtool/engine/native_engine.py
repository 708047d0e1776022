"""The C engine behind the interface of `vxtool.engine.Engine`.

What its tables say is made into values by native_values.py, which is imported once all is read: until then nothing
needs it, and reading is to begin at once.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from vxtool import _native
from vxtool.engine.options import EngineOptions

if TYPE_CHECKING:
    from vxtool.engine.tables import Tables

# Of this process: engines can be merged only where they hash alike, and no file can know how they do.
_SEED = int.from_bytes(os.urandom(8), "little")


class NativeEngine:
    """See `vxtool.engine.Engine` for the interface that both engines share."""

    name = "native"

    def __init__(self, options: EngineOptions) -> None:
        self._options = options
        wears = bytearray(1 << 16)
        for port, wear in options.ports.items():
            if 0 <= port < len(wears):
                wears[port] = wear
        self._engine = _native.Engine(
            inputs=options.inputs,
            wears=bytes(wears),
            window=options.window,
            settle=options.settle,
            part=options.part,
            seed=_SEED,
            most_journeys=options.most_journeys,
            most_fragments=options.most_fragments,
            most_flows=options.most_flows,
            most_tunnels=options.most_tunnels,
            most_places=options.most_places,
            most_paths=options.most_paths,
            most_rows=options.most_rows,
            most_datagrams=options.most_datagrams,
            most_sightings=options.most_sightings,
        )
        self._earlier_names: dict[str, str] = {}
        self._in_two = False

    def feed(self, index: int, data: bytes | memoryview) -> None:
        self._engine.feed(index, data)

    def feed_from(self, index: int, descriptor: int, size: int) -> None:
        """As `feed` with piece after piece of a file, of at most so many bytes, for a moment, or until it ends
        or cannot be read, or another input is wanted. Python is not needed meanwhile."""
        self._engine.feed_from(index, descriptor, size)

    def end(self, index: int) -> None:
        self._engine.end(index)

    def split(self) -> None:
        """Let two threads share the work, until all is taken: one calls `wants`, `read`, `read_from`, `read_end`
        and, whatever happens, `read_all`; another calls `take`. Any may call `stop`."""
        self._engine.split()
        self._in_two = True

    def read(self, index: int, data: bytes | memoryview) -> bool:
        """As `feed`, but only reads, and waits where the other thread is far behind. False: that has stopped."""
        return self._engine.read(index, data)

    def read_from(self, index: int, descriptor: int, size: int) -> bool:
        """As `feed_from`, and otherwise as `read`."""
        return self._engine.read_from(index, descriptor, size)

    def read_end(self, index: int) -> bool:
        """As `end`, and otherwise as `read`."""
        return self._engine.read_end(index)

    def read_all(self) -> None:
        """Nothing more will be read."""
        self._engine.read_all()

    def take(self) -> bool:
        """Count what is read, until all is. False: `stop` came first, and the engine is of no more use."""
        return self._engine.take()

    def provide(self, milliseconds: int) -> bool:
        """Make memory ready that counting may need, for so long: for a third thread, which has nothing else to do.
        False: nothing more is needed."""
        return self._engine.provide(milliseconds)

    def stop(self) -> None:
        """Nothing more is to be taken."""
        self._engine.stop()

    def wants(self) -> int | None:
        return self._engine.wants()

    @property
    def records(self) -> int:
        return self._engine.records

    def merge(self, other: NativeEngine) -> None:
        names = self._names()
        for address, name in other._earlier_names.items():
            names.setdefault(address, name)
        self._engine.merge(other._engine)
        self._earlier_names = names

    def tables(self) -> Tables:
        if self._options.part:
            whole = NativeEngine(self._options._replace(part=False))
            whole.merge(self)
            return whole.tables()
        self._engine.finish()
        from vxtool.engine.native_values import tables_of

        return tables_of(self._engine, self._names(), self._options.most_flows, ahead=self._in_two)

    def _names(self) -> dict[str, str]:
        names = dict(self._earlier_names)
        given = self._engine.names()
        if given:
            from ipaddress import ip_address  # here, because few captures hold names

            for address, name in given:
                names.setdefault(str(ip_address(address)), name.decode(errors="replace"))
        return names
