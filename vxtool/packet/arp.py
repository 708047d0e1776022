"""ARP for IPv4 over Ethernet (RFC 826).

https://www.rfc-editor.org/rfc/rfc826

    +-------------------------------+-------------------------------+
    |         hardware type         |         protocol type         |
    +---------------+---------------+-------------------------------+
    | MAC length 6  |  IP length 4  |           operation           |
    +---------------+---------------+-------------------------------+
    |   sender MAC (6 bytes), sender IP (4 bytes)                   |
    |   target MAC (6 bytes), target IP (4 bytes)                   |
    +---------------------------------------------------------------+

Other address lengths than 6 and 4 do not occur on the links that vxtool reads, and are refused.
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from vxtool.errors import PacketError
from vxtool.packet.wire import fit, ipv4_bytes, ipv4_text, mac_bytes, mac_text, need

REQUEST = 1
REPLY = 2

_HEADER = Struct("!HHBBH6s4s6s4s")
_MAC_SIZE = 6
_IP_SIZE = 4


class ARP(NamedTuple):
    """An ARP packet, 28 bytes."""

    operation: int
    sender_mac: str
    sender_ip: str
    target_mac: str
    target_ip: str
    hardware_type: int = 1
    protocol_type: int = 0x0800

    @classmethod
    def parse(cls, data: bytes, at: int = 0) -> tuple[ARP, bytes]:
        """Return the packet and all bytes behind it; `at` is where `data` begins, for the PacketError."""
        need(data, _HEADER.size, "ARP", at)
        hardware, protocol, mac_size, ip_size, operation, *addresses = _HEADER.unpack_from(data)
        if (mac_size, ip_size) != (_MAC_SIZE, _IP_SIZE):
            raise PacketError(
                f"ARP at offset {at}: expected address lengths 6 and 4, found {mac_size} and {ip_size}"
            )
        value = cls(
            operation,
            mac_text(addresses[0]),
            ipv4_text(addresses[1]),
            mac_text(addresses[2]),
            ipv4_text(addresses[3]),
            hardware,
            protocol,
        )
        return value, data[_HEADER.size :]

    def emit(self, payload: bytes = b"") -> bytes:
        """Return the packet's bytes and the payload."""
        return (
            _HEADER.pack(
                fit(self.hardware_type, 16, "ARP", "hardware_type"),
                fit(self.protocol_type, 16, "ARP", "protocol_type"),
                _MAC_SIZE,
                _IP_SIZE,
                fit(self.operation, 16, "ARP", "operation"),
                mac_bytes(self.sender_mac, "ARP", "sender_mac"),
                ipv4_bytes(self.sender_ip, "ARP", "sender_ip"),
                mac_bytes(self.target_mac, "ARP", "target_mac"),
                ipv4_bytes(self.target_ip, "ARP", "target_ip"),
            )
            + payload
        )
