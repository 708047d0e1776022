"""Replies to what was sent: read beside the sending, decoded, and told one by one."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable, Collection
from typing import Protocol

from vxtool.craft.inject import bound
from vxtool.errors import PacketError, UsageError
from vxtool.packet import ICMP, UDP, ICMPv6, IPv4, IPv6, Packet, decode, encode

_LARGEST = 1 << 18
_ALL = 3  # ETH_P_ALL
_OUTGOING = 4  # PACKET_OUTGOING
_ERRORS = {ICMP: (3, 11, 12), ICMPv6: (1, 2, 3, 4)}


class Source(Protocol):
    """Where replies come from."""

    def fileno(self) -> int: ...
    def receive(self) -> Packet | None:
        """The next reply; None where it is none."""
        ...

    def close(self) -> None: ...


class UdpSource:
    """The tunnel's port on this machine: what another VTEP sends back to it."""

    def __init__(self, address: str, port: int, ports: dict[int, str]) -> None:
        self._address, self._port, self._ports = address, port, ports
        try:
            self._socket = bound(address, port)
        except UsageError as error:
            raise UsageError(f"--listen: {error}") from None

    def fileno(self) -> int:
        return self._socket.fileno()

    def receive(self) -> Packet | None:
        data, sender = self._socket.recvfrom(_LARGEST)
        udp = UDP(sender[1], self._port, checksum=0)
        if ":" in self._address:
            header = encode(IPv6(sender[0].partition("%")[0], self._address), udp, payload=data)
        else:
            header = encode(IPv4(sender[0], self._address), udp, payload=data)
        return _decoded(header, "RAW", self._ports)

    def close(self) -> None:
        self._socket.close()


class FrameSource:
    """An interface: what comes in from those that something was sent to, and ICMP errors from anyone."""

    def __init__(self, interface: str, expected: Collection[str], ports: dict[int, str]) -> None:
        self._expected, self._ports = frozenset(expected), ports
        try:
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ALL))
            self._socket.bind((interface, 0))
        except OSError as error:
            raise UsageError(f"--listen on {interface}: {error.strerror or error}") from None

    def fileno(self) -> int:
        return self._socket.fileno()

    def receive(self) -> Packet | None:
        data, where = self._socket.recvfrom(_LARGEST)
        if where[2] == _OUTGOING:
            return None
        packet = _decoded(data, "EN10MB", self._ports)
        if packet is None:
            return None
        ip = next((layer for layer in packet.layers if isinstance(layer, IPv4 | IPv6)), None)
        refused = any(
            layer.type in _ERRORS[type(layer)] for layer in packet.layers if isinstance(layer, ICMP | ICMPv6)
        )
        return packet if ip is not None and (ip.source in self._expected or refused) else None

    def close(self) -> None:
        self._socket.close()


class Listener:
    """Waits for replies instead of sleeping, and tells each."""

    def __init__(self, source: Source, tell: Callable[[float, Packet], None]) -> None:
        self._source, self._tell = source, tell
        self.replies = 0

    def wait(self, seconds: float) -> None:
        """Tell the replies that come within so many seconds."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            ready, _, _ = select.select([self._source], [], [], left)
            if not ready:
                return
            try:
                packet = self._source.receive()
            except OSError:
                continue  # an ICMP error that belongs to an earlier packet
            if packet is not None:
                self.replies += 1
                self._tell(time.time(), packet)


def _decoded(data: bytes, link_type: str, ports: dict[int, str]) -> Packet | None:
    try:
        return decode(data, link_type, ports=ports)
    except PacketError:
        return None
