"""How lines of a packet list are laid out as text: which columns there are, how wide each is, and what does not fit
beside the others goes to a further line. All from what the first pass knows, so that nothing jumps."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from vxtool.listing.fields import FIELDS, NUMBERS, Column
from vxtool.report.layout import cells

LEAST_INFO = 40  # terminal columns; what has less beside the others gets a line of its own
INDENT = 4

_TO_THE_RIGHT = {"number", "latency_ns", "datagram", "source_port", "destination_port", "vni", "length", "stream"}
# What is always alike, or is known well enough.
_WIDTHS = {
    "latency_ns": 9,
    "outcome": 10,
    "source_port": 5,
    "destination_port": 5,
    "protocol": 8,
    "length": 5,
    "stream": 4,
    "notes": 15,
}


class Layout(NamedTuple):
    columns: tuple[Column, ...]
    info_room: int  # terminal columns; 0: no limit
    indent: int


def widest(texts: Collection[str]) -> int:
    return max(map(cells, texts), default=0)


def lay_out(fields: Sequence[str], widths: Mapping[str, int], room: int) -> Layout:
    """Columns of these fields. `widths` are those that the capture decides; `room` is what a terminal has, 0
    without one: then each record is one line."""
    columns = [
        Column(NUMBERS[name], widths.get(name, _WIDTHS.get(name, 0)), name in _TO_THE_RIGHT) for name in fields
    ]
    if columns and not columns[-1].to_the_right:
        columns[-1] = columns[-1]._replace(width=0)  # nothing stands behind it
    if not room:
        return Layout(tuple(columns), 0, INDENT)
    used = info_room = 0
    laid: list[Column] = []
    for column in columns:
        is_info = FIELDS[column.field] == "info"
        needed = min(LEAST_INFO, room - INDENT) if is_info else column.width
        if laid and used + 1 + needed > room:
            column = column._replace(starts_line=True)
            used = INDENT
        elif laid:
            used += 1
        if is_info:
            info_room = max(room - used, 1)
        used += needed if not is_info else info_room
        laid.append(column)
    return Layout(tuple(laid), info_room, INDENT)
