"""One datagram in pieces: fragments at an MTU, and the segments that an offload cuts a super-frame into."""

from __future__ import annotations

from dataclasses import replace
from struct import pack_into, unpack_from

from vxtool.craft.train import Train
from vxtool.packet import TCP, UDP, IPv4, IPv6, Layer, internet_checksum
from vxtool.packet.tcp import FIN, PSH

_FRAGMENT_HEADER = 8


def fragments(packet: bytes, mtu: int) -> list[bytes]:
    """The IP packet in fragments of at most `mtu` bytes; itself where it fits, or where it is no IP packet."""
    if len(packet) <= mtu or not packet:
        return [packet]
    version = packet[0] >> 4
    return _fragments4(packet, mtu) if version == 4 else _fragments6(packet, mtu) if version == 6 else [packet]


def _fragments4(packet: bytes, mtu: int) -> list[bytes]:
    size = (packet[0] & 0x0F) * 4
    header, body = packet[:size], packet[size:]
    (word,) = unpack_from(">H", header, 6)
    most = (mtu - size) // 8 * 8
    pieces = []
    for at in range(0, len(body), most):
        piece = body[at : at + most]
        more = 0x2000 if at + most < len(body) else word & 0x2000
        changed = bytearray(header)
        pack_into(">H", changed, 2, size + len(piece))
        pack_into(">H", changed, 6, (word & 0xC000) | more | ((word & 0x1FFF) + at // 8))
        pack_into(">H", changed, 10, 0)
        pack_into(">H", changed, 10, internet_checksum(bytes(changed)))
        pieces.append(bytes(changed) + piece)
    return pieces


def _fragments6(packet: bytes, mtu: int) -> list[bytes]:
    """RFC 8200, section 4.5; the identification follows from the packet, so that equal runs are equal."""
    from zlib import crc32

    header, body = packet[:40], packet[40:]
    most = (mtu - 40 - _FRAGMENT_HEADER) // 8 * 8
    identification = crc32(packet[8:])  # what no router changes
    pieces = []
    for at in range(0, len(body), most):
        piece = body[at : at + most]
        changed = bytearray(header)
        pack_into(">H", changed, 4, _FRAGMENT_HEADER + len(piece))
        changed[6] = 44
        fragment = bytearray(_FRAGMENT_HEADER)
        fragment[0] = header[6]
        pack_into(">HI", fragment, 2, at | (at + most < len(body)), identification)
        pieces.append(bytes(changed + fragment) + piece)
    return pieces


def segments(train: Train, size: int) -> list[Train]:
    """The TCP segments of at most `size` bytes of data that each super-frame of the train is cut into.

    As the kernel's offloads do it: identifications outside and inside go up by one, FIN and PSH stay on the last.
    """
    index = len(train.layers) - 1
    tcp = train.layers[index]
    if not isinstance(tcp, TCP) or len(train.payload) <= size:
        return [train]
    pieces = [train.payload[at : at + size] for at in range(0, len(train.payload), size)]
    cut: list[Train] = []
    for number, piece in enumerate(pieces):
        layers: list[Layer] = []
        for layer in train.layers:
            if isinstance(layer, IPv4):
                layer = layer._replace(
                    identification=(layer.identification + number) & 0xFFFF, total_length=None
                )
            elif isinstance(layer, IPv6):
                layer = layer._replace(payload_length=None)
            elif isinstance(layer, UDP):
                layer = layer._replace(length=None)
            elif isinstance(layer, TCP):
                flags = layer.flags if number == len(pieces) - 1 else layer.flags & ~(FIN | PSH)
                layer = layer._replace(
                    sequence=(layer.sequence + number * size) & 0xFFFFFFFF, flags=flags
                )
            layers.append(layer)
        cut.append(replace(train, layers=tuple(layers), payload=piece))
    return cut
