"""Where one record was seen: by which interface, and which way it went. The twin of native/spot.h."""

from __future__ import annotations

from typing import NamedTuple

from vxtool.capture.container import Record
from vxtool.engine.frame import EN10MB, LINUX_SLL, LINUX_SLL2, PACKET_TYPES
from vxtool.engine.tables import UNKNOWN

_SLL_SIZE, _SLL2_SIZE, _MACS = 16, 20, 12


class Spot(NamedTuple):
    interface_index: int  # -1: the link header tells none
    is_any: bool  # it cannot be told which interface
    direction: int  # as in vxtool.engine.tables, and containers have the same
    macs: bytes  # where only they may tell the direction; else empty


def spot_of(record: Record, link_type: int) -> Spot:
    data = record.data
    if link_type == LINUX_SLL2 and len(data) >= _SLL2_SIZE:
        return Spot(int.from_bytes(data[4:8], "big"), False, PACKET_TYPES.get(data[10], UNKNOWN), b"")
    if link_type == LINUX_SLL and len(data) >= _SLL_SIZE:
        return Spot(-1, True, PACKET_TYPES.get(int.from_bytes(data[:2], "big"), UNKNOWN), b"")
    if link_type in (LINUX_SLL, LINUX_SLL2):
        return Spot(-1, True, UNKNOWN, b"")
    has_macs = link_type == EN10MB and record.direction == UNKNOWN and len(data) >= _MACS
    return Spot(-1, False, record.direction, bytes(data[:_MACS]) if has_macs else b"")
