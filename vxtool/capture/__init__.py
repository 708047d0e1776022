"""Capture files, pipes and streams: pcap and pcapng in every variant, compressed or not, read and written.

    for record in read_capture("vxlan.pcap.zst"):
        print(record.time_ns, record.interface, len(record.data))

The parser (`Container`) does no I/O: it is fed bytes by whoever has them. `Source` has them from a path or a
pipe, decompressed. Both stop at the first damage and say why; what came before it counts.

Names are loaded when they are first asked for: the C engine has a parser of its own, and a report writes no
capture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vxtool.lazy import names_from

if TYPE_CHECKING:
    from vxtool.capture.container import MAX_RECORD, Container, Interface, Record
    from vxtool.capture.damage import CODES, Damage
    from vxtool.capture.reader import Capture, merge_by_time, read_capture
    from vxtool.capture.source import Source, open_source
    from vxtool.capture.writer import PcapngWriter, PcapWriter

__all__ = [
    "CODES",
    "MAX_RECORD",
    "Capture",
    "Container",
    "Damage",
    "Interface",
    "PcapWriter",
    "PcapngWriter",
    "Record",
    "Source",
    "merge_by_time",
    "open_source",
    "read_capture",
]

_HOMES = {
    "container": ("MAX_RECORD", "Container", "Interface", "Record"),
    "damage": ("CODES", "Damage"),
    "reader": ("Capture", "merge_by_time", "read_capture"),
    "source": ("Source", "open_source"),
    "writer": ("PcapWriter", "PcapngWriter"),
}

__getattr__, __dir__ = names_from(__name__, _HOMES)
