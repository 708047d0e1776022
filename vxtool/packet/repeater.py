"""The records of many packets of one template, in plain Python: what the C codec's are held against.

It encodes every packet anew. The C codec encodes the first one, and then adds in its bytes: that is what makes
millions of packets a second, and why each field's place in its header is told here, in bits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from struct import Struct
from typing import Any

from vxtool.errors import PacketError
from vxtool.packet.arp import ARP
from vxtool.packet.decoder import Layer
from vxtool.packet.encoder import encode
from vxtool.packet.ethernet import Ethernet, Vlan
from vxtool.packet.geneve import Geneve
from vxtool.packet.icmp import ICMP
from vxtool.packet.icmpv6 import ICMPv6
from vxtool.packet.ipv4 import IPv4
from vxtool.packet.ipv6 import IPv6
from vxtool.packet.sll import SLL2
from vxtool.packet.tcp import TCP
from vxtool.packet.udp import UDP
from vxtool.packet.vxlan import VXLAN
from vxtool.packet.wire import ipv4_bytes, ipv4_text, ipv6_bytes, ipv6_text, mac_bytes, mac_text

# The first bit of each field in its header, and how many there are. Left out are lengths, checksums, and what
# says how to read the rest.
_PORTS = {"source_port": (0, 16), "destination_port": (16, 16)}
PLACES: Mapping[type[Layer], Mapping[str, tuple[int, int]]] = {
    Ethernet: {"destination": (0, 48), "source": (48, 48)},
    Vlan: {"pcp": (0, 3), "vid": (4, 12)},
    SLL2: {"interface": (32, 32)},
    IPv4: {
        "tos": (8, 8),
        "identification": (32, 16),
        "ttl": (64, 8),
        "source": (96, 32),
        "destination": (128, 32),
    },
    IPv6: {
        "traffic_class": (4, 8),
        "flow_label": (12, 20),
        "hop_limit": (56, 8),
        "source": (64, 128),
        "destination": (192, 128),
    },
    UDP: _PORTS,
    TCP: {**_PORTS, "sequence": (32, 32), "acknowledgement": (64, 32), "window": (112, 16)},
    ICMP: {"type": (0, 8), "code": (8, 8), "rest": (32, 32)},
    ICMPv6: {"type": (0, 8), "code": (8, 8), "rest": (32, 32)},
    ARP: {"sender_mac": (64, 48), "sender_ip": (112, 32), "target_mac": (144, 48), "target_ip": (192, 32)},
    VXLAN: {"vni": (32, 24), "reserved_low": (56, 8)},
    Geneve: {"vni": (32, 24)},
}

# A record's header in a little-endian pcap file with times in ns: seconds, the rest, captured and true length.
RECORD_HEADER = Struct("<IIII")
NS = 10**9

# A field that counts: index of its layer, first bit, bits, and two numbers modulo 2 ** bits in 16 bytes,
# big-endian: what is added in the first packet, and what in each packet after it.
Step = tuple[int, int, int, bytes, bytes]

_TEXTS: Mapping[int, tuple[Callable[[Any, str, str], bytes], Callable[[bytes], str]]] = {
    48: (mac_bytes, mac_text),
    32: (ipv4_bytes, ipv4_text),
    128: (ipv6_bytes, ipv6_text),
}


def repeat(
    layers: tuple[Layer, ...],
    payload: bytes,
    padding: bytes,
    steps: list[Step],
    count: int,
    time_ns: int,
    interval_ns: int,
) -> bytes:
    """The records of a pcap file, without its header, in plain Python: what the C codec's is held against."""
    encode(*layers, payload=payload, padding=padding)  # says what is wrong with the template
    records = []
    for number in range(count):
        changed = list(layers)
        for index, bit, bits, start, step in steps:
            add = int.from_bytes(start, "big") + number * int.from_bytes(step, "big")
            changed[index] = _counted(changed[index], bit, bits, add)
        data = encode(*changed, payload=payload, padding=padding)
        seconds, rest = divmod(time_ns + number * interval_ns, NS)
        records.append(RECORD_HEADER.pack(seconds, rest, len(data), len(data)) + data)
    return b"".join(records)


def places_of(layer: Layer) -> Mapping[str, tuple[int, int]]:
    """The fields of a layer that can count, and their places."""
    return next((places for kind, places in PLACES.items() if isinstance(layer, kind)), {})


def advanced(
    layers: tuple[Layer, ...], increments: Mapping[tuple[int, str], int], number: int
) -> tuple[Layer, ...]:
    """The layers of packet `number` of a template: `increments` are those of `template_pcap`.

    Raises PacketError for a field that cannot count.
    """
    changed = list(layers)
    for (index, name), step in increments.items():
        place = places_of(changed[index]).get(name)
        if place is None:
            kind = type(changed[index]).__name__
            raise PacketError(f"increments of {kind}: expected a field that can count, found {name!r}")
        changed[index] = _counted(changed[index], *place, number * step)
    return tuple(changed)


def _counted(layer: Any, bit: int, bits: int, add: int) -> Any:
    field = next(name for name, place in places_of(layer).items() if place == (bit, bits))
    value = getattr(layer, field)
    if isinstance(value, int):
        return layer._replace(**{field: (value + add) % (1 << bits)})
    to_bytes, to_text = _TEXTS[bits]
    number = int.from_bytes(to_bytes(value, type(layer).__name__, field), "big")
    return layer._replace(**{field: to_text(((number + add) % (1 << bits)).to_bytes(bits // 8, "big"))})
