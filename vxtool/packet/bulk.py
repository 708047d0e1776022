"""Many packets of one template: a pcap file in memory, in which chosen fields count up from packet to packet.

What a packet looks like is said once, as the layers that `encode` takes; a field of them that is named in
`increments` grows by its step from one packet to the next and starts over where its bits end. Lengths are the
same in all packets, since no field that can be named changes one; checksums that the template leaves as None
are those of each packet.
"""

from __future__ import annotations

from collections.abc import Mapping
from struct import Struct

from vxtool.errors import PacketError
from vxtool.packet.choice import repeat
from vxtool.packet.decoder import Layer, link_number
from vxtool.packet.repeater import NS, RECORD_HEADER, Step, places_of
from vxtool.packet.wire import fit

# Little-endian pcap, as https://www.ietf.org/archive/id/draft-ietf-opsawg-pcap-05.html has it, times in ns.
_FILE_HEADER = Struct("<IHHIIII")
_MAGIC_NS = 0xA1B23C4D
_SNAPLEN = 262144


def template_pcap(
    *layers: Layer,
    count: int,
    payload: bytes = b"",
    padding: bytes = b"",
    increments: Mapping[tuple[int, str], int] | None = None,
    link_type: int | str = "EN10MB",
    time_ns: int = 0,
    interval_ns: int = 1000,
    first: int = 0,
    header: bool = True,
) -> bytes:
    """Return a pcap file of `count` packets that are made of one template.

    `layers`, `payload` and `padding` are those of `encode`. `increments` gives steps, which may be negative, to
    fields, each named by the index of its layer and its name: `{(2, "source_port"): 1, (3, "vni"): 256}`.
    Packet number n, counted from 0, has n times the step added, modulo the field's size; `repeater.PLACES` lists
    the fields. It was captured at `time_ns` plus n times `interval_ns`, in nanoseconds since the epoch.

    A file larger than memory is made in parts: `first` is the number of a part's first packet, and only the
    first part has `header`.

    Raises PacketError for a template that `encode` refuses, a field that cannot count, and a number out of its
    range.
    """
    link = link_number(link_type)
    fit(count, 32, "pcap", "count")
    fit(first, 48, "pcap", "first")
    fit(interval_ns, 62, "pcap", "interval_ns")
    start = fit(time_ns, 62, "pcap", "time_ns") + first * interval_ns
    last = start + max(count - 1, 0) * interval_ns
    if last // NS >> 32:
        raise PacketError(f"pcap.time_ns: expected times before 2 ** 32 s, found {last // NS} s in the last packet")
    steps = [_step(layers, *key, step, first) for key, step in (increments or {}).items()]
    records = repeat(
        layers, bytes(memoryview(payload)), bytes(memoryview(padding)), steps, count, start, interval_ns
    )
    if not header:
        return records
    size = len(records) // count - RECORD_HEADER.size if count else 0
    return _FILE_HEADER.pack(_MAGIC_NS, 2, 4, 0, 0, max(size, _SNAPLEN), link) + records


def _step(layers: tuple[Layer, ...], index: int, field: str, step: int, first: int) -> Step:
    if not 0 <= index < len(layers):
        raise PacketError(f"increments: expected the index of one of {len(layers)} layers, found {index!r}")
    layer = layers[index]
    places = places_of(layer)
    if field not in places:
        known = ", ".join(places) or "none, for this layer"
        raise PacketError(
            f"increments of layer {index}: expected a field that can count ({known}), found {field!r}"
        )
    if not isinstance(step, int):
        raise PacketError(f"increments of layer {index}.{field}: expected an integer, found {step!r}")
    bit, bits = places[field]
    return index, bit, bits, _modulo(first * step, bits), _modulo(step, bits)


def _modulo(value: int, bits: int) -> bytes:
    return (value % (1 << bits)).to_bytes(16, "big")
