"""Linux cooked captures: the headers that captures on the `any` device carry instead of a link header.

https://www.tcpdump.org/linktypes/LINKTYPE_LINUX_SLL.html
https://www.tcpdump.org/linktypes/LINKTYPE_LINUX_SLL2.html

SLL, 16 bytes, names no interface:

    +-------------------------------+-------------------------------+
    |          packet type          |         hardware type         |
    +-------------------------------+-------------------------------+
    |        address length         |                               |
    +-------------------------------+      address (8 bytes)        |
    |                                                               |
    |                               +-------------------------------+
    |                               |           ethertype           |
    +-------------------------------+-------------------------------+

SLL2, 20 bytes, names it by the index that the capturing machine gave it:

    +-------------------------------+-------------------------------+
    |           ethertype           |           reserved            |
    +-------------------------------+-------------------------------+
    |                        interface index                        |
    +-------------------------------+---------------+---------------+
    |         hardware type         |  packet type  | address length|
    +-------------------------------+---------------+---------------+
    |                      address (8 bytes)                        |
    |                                                               |
    +---------------------------------------------------------------+

The address is the sender's. Its field is kept whole, since what lies behind the address length is
unspecified and parse and emit are to be inverse.
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from vxtool.packet.wire import fit, mac_text, need, raw_of

# Packet types, from linux/if_packet.h.
TO_THIS_HOST = 0
BROADCAST = 1
MULTICAST = 2
TO_OTHER_HOST = 3
OUTGOING = 4

_SLL = Struct("!HHH8sH")
_SLL2 = Struct("!HHIHBB8s")
_ADDRESS_SIZE = 8
_MAC_SIZE = 6
_ARPHRD_ETHER = 1


class SLL(NamedTuple):
    """A LINUX_SLL header, 16 bytes. The hardware type is an ARPHRD number of linux/if_arp.h."""

    packet_type: int = TO_THIS_HOST
    hardware_type: int = _ARPHRD_ETHER
    address_length: int = _MAC_SIZE
    address: bytes = bytes(_ADDRESS_SIZE)
    ethertype: int | None = None

    @property
    def source(self) -> str | None:
        """The sender's MAC address, or None where the address has another length than 6."""
        return mac_text(self.address[:_MAC_SIZE]) if self.address_length == _MAC_SIZE else None

    @classmethod
    def parse(cls, data: bytes, at: int = 0) -> tuple[SLL, bytes]:
        """Return the header and all bytes behind it; `at` is where `data` begins, for the PacketError."""
        need(data, _SLL.size, "SLL", at)
        return cls(*_SLL.unpack_from(data)), data[_SLL.size :]

    def emit(self, payload: bytes = b"") -> bytes:
        """Return the header's bytes and the payload."""
        return (
            _SLL.pack(
                fit(self.packet_type, 16, "SLL", "packet_type"),
                fit(self.hardware_type, 16, "SLL", "hardware_type"),
                fit(self.address_length, 16, "SLL", "address_length"),
                raw_of(self.address, _ADDRESS_SIZE, "SLL", "address"),
                fit(self.ethertype, 16, "SLL", "ethertype"),
            )
            + payload
        )


class SLL2(NamedTuple):
    """A LINUX_SLL2 header, 20 bytes. The hardware type is an ARPHRD number of linux/if_arp.h."""

    interface: int = 0
    packet_type: int = TO_THIS_HOST
    hardware_type: int = _ARPHRD_ETHER
    address_length: int = _MAC_SIZE
    address: bytes = bytes(_ADDRESS_SIZE)
    reserved: int = 0
    ethertype: int | None = None

    @property
    def source(self) -> str | None:
        """The sender's MAC address, or None where the address has another length than 6."""
        return mac_text(self.address[:_MAC_SIZE]) if self.address_length == _MAC_SIZE else None

    @classmethod
    def parse(cls, data: bytes, at: int = 0) -> tuple[SLL2, bytes]:
        """Return the header and all bytes behind it; `at` is where `data` begins, for the PacketError."""
        need(data, _SLL2.size, "SLL2", at)
        ethertype, reserved, interface, hardware, kind, length, address = _SLL2.unpack_from(data)
        return cls(interface, kind, hardware, length, address, reserved, ethertype), data[_SLL2.size :]

    def emit(self, payload: bytes = b"") -> bytes:
        """Return the header's bytes and the payload."""
        return (
            _SLL2.pack(
                fit(self.ethertype, 16, "SLL2", "ethertype"),
                fit(self.reserved, 16, "SLL2", "reserved"),
                fit(self.interface, 32, "SLL2", "interface"),
                fit(self.hardware_type, 16, "SLL2", "hardware_type"),
                fit(self.packet_type, 8, "SLL2", "packet_type"),
                fit(self.address_length, 8, "SLL2", "address_length"),
                raw_of(self.address, _ADDRESS_SIZE, "SLL2", "address"),
            )
            + payload
        )
