"""Which fragments follow which: for each record that holds a fragment of the outermost IP packet behind the first,
the record that holds the first one, at the same stage and in any order. The twin of native/tails.c, and who
chooses.

A packet at a stage is known by its addresses and identification, and of IPv4 its protocol. It is remembered for a
window of capture time, at most MOST_PIECES at once, of which the oldest gives way.
"""

from __future__ import annotations

import os
from array import array
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from vxtool.engine.answers import RECORD_BITS
from vxtool.errors import PacketError
from vxtool.listing.records import Intakes
from vxtool.listing.spot import spot_of
from vxtool.packet.decoder import decode
from vxtool.packet.ipv4 import IPv4
from vxtool.packet.ipv6 import IPv6

if TYPE_CHECKING:
    from vxtool.capture.container import Record
    from vxtool.listing.spool import Inputs

MOST_PIECES = 65_536

Pairs = tuple[memoryview, memoryview]
"""Arrays "Q" of records (input << 48 | number) in order, and of one that belongs to the same datagram as each."""


class Finder(Protocol):
    """`_native.Tails`, or `Tails` here."""

    def feed(self, input: int, data: bytes | memoryview, /) -> None: ...
    def end(self, input: int, /) -> None: ...
    def wants(self) -> int | None: ...
    def found(self) -> tuple[bytes, bytes]: ...


def no_tails() -> Pairs:
    return memoryview(array("Q")), memoryview(array("Q"))


def find_tails(inputs: Inputs, sizes: Sequence[int], window: int, engine: str) -> Pairs:
    """Read as many bytes of each input, and pair what they hold."""
    finder: Finder
    if engine == "native":
        from vxtool import _native

        finder = _native.Tails(len(sizes), window, int.from_bytes(os.urandom(8), "little"))
    else:
        finder = Tails(len(sizes), window)
    with inputs.opened(sizes) as reader:
        while (index := finder.wants()) is not None:
            if chunk := reader.read(index):
                finder.feed(index, chunk)
            else:
                finder.end(index)
    where, first = (memoryview(each) for each in finder.found())
    return where.cast("Q"), first.cast("Q")


class _Piece:
    """What is known of a packet at a stage: its first fragment, or tails that wait for that."""

    __slots__ = ("first", "time", "waiting")

    def __init__(self, time: int) -> None:
        self.time = time
        self.first = 0
        self.waiting: list[int] = []


class Tails:
    def __init__(self, inputs: int, window: int) -> None:
        self._intakes = Intakes(inputs)
        self._window = window
        self._numbers = [0] * inputs
        self._pieces: OrderedDict[tuple[object, ...], _Piece] = OrderedDict()  # by their times
        self._found: list[tuple[int, int]] = []

    def feed(self, index: int, data: bytes | memoryview, /) -> None:
        self._intakes.feed(index, data)
        self._take_records()

    def end(self, index: int, /) -> None:
        self._intakes.end(index)
        self._take_records()

    def wants(self) -> int | None:
        return self._intakes.wants()

    def found(self) -> tuple[bytes, bytes]:
        rows = sorted(self._found)
        return array("Q", (row[0] for row in rows)).tobytes(), array("Q", (row[1] for row in rows)).tobytes()

    def _take_records(self) -> None:
        for index, record in self._intakes.records():
            self._numbers[index] += 1
            self._take(index, record)

    def _take(self, index: int, record: Record) -> None:
        where = index << RECORD_BITS | self._numbers[index]
        link_type = self._intakes.interface(index, record.interface).link_type
        read = _read_fragment(record, link_type)
        if read is None:
            return
        spot = spot_of(record, link_type)
        key = (index, record.interface, spot, *read[0])
        pieces, time = self._pieces, record.time_ns
        while pieces:
            if len(pieces) < MOST_PIECES and time - next(iter(pieces.values())).time <= self._window:
                break
            pieces.popitem(last=False)
        piece = pieces.get(key)
        if piece is None:
            piece = pieces[key] = _Piece(time)
        if read[1]:
            pieces.move_to_end(key)
            piece.time, piece.first = time, where
            self._found += [(tail, where) for tail in piece.waiting]
            piece.waiting.clear()
        elif piece.first:
            self._found.append((where, piece.first))
        else:
            piece.waiting.append(where)


def _read_fragment(record: Record, link_type: int) -> tuple[tuple[object, ...], bool] | None:
    """What the fragments of one packet have in common, and whether this is the first; None of what is none."""
    try:
        packet = decode(record.data, link_type, record.length)
    except PacketError:
        return None
    for layer in packet.layers:
        if isinstance(layer, IPv4):
            if not layer.fragment_offset and not layer.more_fragments:
                return None
            key = layer.source, layer.destination, layer.protocol, layer.identification
            return key, not layer.fragment_offset
        if isinstance(layer, IPv6):
            fragment = layer.fragment
            if fragment is None or not (fragment.offset or fragment.more_fragments):
                return None
            return (layer.source, layer.destination, fragment.identification), not fragment.offset
    return None
