"""Packets that are wrong on purpose: checksums that do not fit, lengths that lie.

A wrong checksum is the right one of the first packet with some bits turned over, and the same in all packets of a
train: where fields vary, one packet in 65,536 may meet it by chance.
"""

from __future__ import annotations

from collections.abc import Sequence

from vxtool.errors import UsageError
from vxtool.packet import ICMP, TCP, UDP, VXLAN, Geneve, ICMPv6, IPv4, IPv6, Layer, encode
from vxtool.spelling import nearest_named

_TURNED = 0x5555
_SHORTER = 4  # by how many bytes a length lies, unless it is said

WRONGS = (
    "ip-checksum",
    "checksum",
    "ip-length",
    "udp-length",
    "outer-ip-checksum",
    "outer-checksum",
    "outer-ip-length",
    "outer-udp-length",
)


def make_wrong(
    layers: tuple[Layer, ...], payload: bytes, wrongs: Sequence[tuple[str, int | None]], option: str = "--"
) -> tuple[Layer, ...]:
    """The layers with what is wanted wrong in them; the names are `WRONGS`, those without `outer-` inside."""
    # The inside first: what is outside sums it up.
    for name, value in sorted(wrongs, key=lambda each: each[0].startswith("outer-")):
        if name not in WRONGS:
            known = nearest_named(name, WRONGS)
            raise UsageError(f"{option}wrong: {name!r} cannot be made wrong; {known}, of {', '.join(WRONGS)}")
        index = _find(layers, name, option)
        changed = list(layers)
        changed[index] = _changed(layers, index, payload, name, value)
        layers = tuple(changed)
    return layers


def _find(layers: tuple[Layer, ...], name: str, option: str) -> int:
    wanted: tuple[type, ...]
    if name.endswith("ip-checksum"):
        wanted = (IPv4,)
    elif name.endswith("ip-length"):
        wanted = (IPv4, IPv6)
    elif name.endswith("udp-length"):
        wanted = (UDP,)
    else:
        wanted = (TCP, UDP, ICMP, ICMPv6)
    tunnel = next((at for at, layer in enumerate(layers) if isinstance(layer, VXLAN | Geneve)), None)
    outer = name.startswith("outer-")
    if outer and tunnel is None:
        raise UsageError(f"{option}wrong: {name} needs {option}outer: there is no tunnel")
    part = layers[:tunnel] if outer else layers
    found = [at for at, layer in enumerate(part) if isinstance(layer, wanted)]
    if not found or (not outer and tunnel is not None and found[-1] < tunnel):
        raise UsageError(f"{option}wrong: {name}: the packet has no such field")
    return found[-1]


def _changed(layers: tuple[Layer, ...], index: int, payload: bytes, name: str, value: int | None) -> Layer:
    layer = layers[index]
    data = _bytes_from(layers, index, payload)
    if name.endswith("checksum"):
        assert isinstance(layer, IPv4 | TCP | UDP | ICMP | ICMPv6)
        if value is None:
            at = {IPv4: 10, TCP: 16, UDP: 6}.get(type(layer), 2)
            filled = layer._replace(checksum=None)
            right = _bytes_from((*layers[:index], filled, *layers[index + 1 :]), index, payload)[at : at + 2]
            value = int.from_bytes(right, "big") ^ _TURNED
        return layer._replace(checksum=value)
    if isinstance(layer, IPv4):
        return layer._replace(total_length=len(data) - _SHORTER if value is None else value)
    if isinstance(layer, IPv6):
        return layer._replace(payload_length=len(data) - 40 - _SHORTER if value is None else value)
    assert isinstance(layer, UDP)
    return layer._replace(length=len(data) - _SHORTER if value is None else value)


def _bytes_from(layers: tuple[Layer, ...], index: int, payload: bytes) -> bytes:
    """The bytes from layer `index` on, whose checksum may need the layer before it."""
    before = layers[index - 1] if index and not isinstance(layers[index], IPv4 | IPv6) else None
    data = encode(*(layers[index:] if before is None else layers[index - 1 :]), payload=payload)
    if isinstance(before, IPv4):
        return data[before.header_length :]
    if isinstance(before, IPv6):
        return data[40 + sum(len(each.emit(0)) for each in before.extensions) :]
    return data
