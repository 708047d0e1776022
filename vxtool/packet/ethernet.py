"""Ethernet II frames, and the tags of IEEE 802.1Q and 802.1ad (QinQ) as layers of their own.

https://www.rfc-editor.org/rfc/rfc894 and IEEE 802.3, clause 3; IEEE 802.1Q, clause 9

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    +---------------------------------------------------------------+
    |                 destination (6 bytes)                         |
    |                               +-------------------------------+
    |                               |                               |
    +-------------------------------+    source (6 bytes)           |
    |                                                               |
    +-------------------------------+-------------------------------+
    |           ethertype           |
    +-------------------------------+

A tag follows where an ethertype says so (0x8100, 0x88a8, 0x9100), and carries the ethertype of what is next:

    +-----+-+-----------------------+-------------------------------+
    | pcp |d|          vid          |           ethertype           |
    +-----+-+-----------------------+-------------------------------+

So the tag protocol identifier belongs to the layer before the tag, as it does on the wire. An ethertype below
0x0600 is the length of an IEEE 802.3 frame.
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from vxtool.packet.wire import fit, mac_bytes, mac_text, need

ETHERTYPE_IPV4 = 0x0800
ETHERTYPE_ARP = 0x0806
ETHERTYPE_VLAN = 0x8100
ETHERTYPE_QINQ = 0x88A8
ETHERTYPE_QINQ_OLD = 0x9100
ETHERTYPE_IPV6 = 0x86DD
SMALLEST_ETHERTYPE = 0x0600

_ETHERNET = Struct("!6s6sH")
_VLAN = Struct("!HH")
_PCP_SHIFT = 13
_DEI_SHIFT = 12
_VID_MASK = 0x0FFF


class Ethernet(NamedTuple):
    """An Ethernet header, 14 bytes. An ethertype of None is told by the layer that follows, on encode."""

    source: str
    destination: str
    ethertype: int | None = None

    @classmethod
    def parse(cls, data: bytes, at: int = 0) -> tuple[Ethernet, bytes]:
        """Return the header and all bytes behind it; `at` is where `data` begins, for the PacketError."""
        need(data, _ETHERNET.size, "Ethernet", at)
        destination, source, ethertype = _ETHERNET.unpack_from(data)
        return cls(mac_text(source), mac_text(destination), ethertype), data[_ETHERNET.size :]

    def emit(self, payload: bytes = b"") -> bytes:
        """Return the frame's bytes, without padding and frame check sequence."""
        return (
            _ETHERNET.pack(
                mac_bytes(self.destination, "Ethernet", "destination"),
                mac_bytes(self.source, "Ethernet", "source"),
                fit(self.ethertype, 16, "Ethernet", "ethertype"),
            )
            + payload
        )


class Vlan(NamedTuple):
    """A VLAN tag, 4 bytes: identifier (12 bits), priority code point (3), drop eligible indicator (1)."""

    vid: int
    pcp: int = 0
    dei: int = 0
    ethertype: int | None = None

    @classmethod
    def parse(cls, data: bytes, at: int = 0) -> tuple[Vlan, bytes]:
        """Return the tag and all bytes behind it; `at` is where `data` begins, for the PacketError."""
        need(data, _VLAN.size, "Vlan", at)
        control, ethertype = _VLAN.unpack_from(data)
        value = cls(control & _VID_MASK, control >> _PCP_SHIFT, control >> _DEI_SHIFT & 1, ethertype)
        return value, data[_VLAN.size :]

    def emit(self, payload: bytes = b"") -> bytes:
        """Return the tag's bytes and the payload."""
        control = (
            fit(self.vid, 12, "Vlan", "vid")
            | fit(self.pcp, 3, "Vlan", "pcp") << _PCP_SHIFT
            | fit(self.dei, 1, "Vlan", "dei") << _DEI_SHIFT
        )
        return _VLAN.pack(control, fit(self.ethertype, 16, "Vlan", "ethertype")) + payload
