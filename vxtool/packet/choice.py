"""Which codec runs: the C one where it was built, the plain Python one otherwise, or what VXTOOL_ENGINE says.

The C codec makes values of the same classes, so it is given the classes and imports nothing of the package.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Protocol

from vxtool.errors import PacketError
from vxtool.native import native_extension
from vxtool.packet import (
    arp,
    build,
    decoder,
    encoder,
    ethernet,
    geneve,
    icmp,
    icmpv6,
    ipv4,
    ipv6,
    loopback,
    repeater,
    sll,
    tcp,
    udp,
    vxlan,
)
from vxtool.packet.decoder import Layer, Packet


class Decode(Protocol):
    """The signature of `decode`."""

    def __call__(
        self,
        data: bytes | bytearray | memoryview,
        link_type: int | str = 1,
        length: int | None = None,
        ports: Mapping[int, str] | None = None,
    ) -> Packet: ...


class Encode(Protocol):
    """The signature of `encode`."""

    def __call__(self, *layers: Layer, payload: bytes = b"", padding: bytes = b"") -> bytes: ...


class Repeat(Protocol):
    """The signature of `repeat`."""

    def __call__(
        self,
        layers: tuple[Layer, ...],
        payload: bytes,
        padding: bytes,
        steps: list[repeater.Step],
        count: int,
        time_ns: int,
        interval_ns: int,
        /,
    ) -> bytes: ...


class VxlanPacket(Protocol):
    """The signature of `vxlan_packet`."""

    def __call__(
        self,
        inner: bytes,
        *,
        source: str,
        destination: str,
        vni: int,
        source_port: int | None = None,
        destination_port: int = vxlan.LINUX_PORT,
        source_mac: str = "02:00:00:00:00:01",
        destination_mac: str = "02:00:00:00:00:02",
        identification: int = 0,
        ttl: int = 64,
    ) -> bytes: ...


Codec = tuple[Decode, Encode, Repeat, VxlanPacket]


def native_codec() -> Codec | None:
    """The C codec's functions, or None where the extension was not built."""
    try:
        extension = import_module("vxtool._native")
    except ImportError:
        return None
    # The order is that of enum class_index in binding/codec.c.
    classes = (
        ethernet.Ethernet, ethernet.Vlan, sll.SLL, sll.SLL2, loopback.Loopback, ipv4.IPv4, ipv6.IPv6, udp.UDP,
        tcp.TCP, icmp.ICMP, icmpv6.ICMPv6, arp.ARP, vxlan.VXLAN, geneve.Geneve,
        ipv6.IPv6Extension, ipv6.IPv6Fragment,
        tcp.EndOfOptions, tcp.Nop, tcp.MSS, tcp.WindowScale, tcp.SackPermitted, tcp.Sack, tcp.Timestamps,
        tcp.UnknownOption, tcp.BrokenOption,
        Packet, PacketError, build.vxlan_packet,
    )  # fmt: skip
    codec: Codec = extension.codec(classes)
    return codec


def _chosen() -> Codec:
    native = native_codec() if native_extension() is not None else None
    return native or (decoder.decode, encoder.encode, repeater.repeat, build.vxlan_packet)


decode, encode, repeat, vxlan_packet = _chosen()
