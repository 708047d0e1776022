"""VXLAN (RFC 7348), and the group policy extension that shares its header.

https://www.rfc-editor.org/rfc/rfc7348#section-5
https://datatracker.ietf.org/doc/html/draft-smith-vxlan-group-policy-05

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    +---------------+---------------+-------------------------------+
    |G . . . I . . .|           reserved (24 bits)                  |
    +---------------+---------------+---------------+---------------+
    |                      VNI                      |   reserved    |
    +-----------------------------------------------+---------------+

With flag G (0x80) the low 16 of the first reserved bits are the group policy id. Receivers ignore reserved
bits, and so does parse: it keeps them all.
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from vxtool.packet.wire import fit, need

IANA_PORT = 4789
LINUX_PORT = 8472
VNI_VALID = 0x08
GROUP_POLICY = 0x80

_HEADER = Struct("!II")


class VXLAN(NamedTuple):
    """A VXLAN header, 8 bytes.

    `reserved` are the 24 bits behind the flags, the group policy id among them; `reserved_low` the 8 bits
    behind the VNI.
    """

    vni: int
    flags: int = VNI_VALID
    reserved: int = 0
    reserved_low: int = 0

    @property
    def vni_valid(self) -> bool:
        """Whether flag I is set, as it must be."""
        return bool(self.flags & VNI_VALID)

    @property
    def group_policy_id(self) -> int | None:
        """The group policy id, or None without flag G."""
        return self.reserved & 0xFFFF if self.flags & GROUP_POLICY else None

    @classmethod
    def parse(cls, data: bytes, at: int = 0) -> tuple[VXLAN, bytes]:
        """Return the header and the inner frame; `at` is where `data` begins, for the PacketError."""
        need(data, _HEADER.size, "VXLAN", at)
        first, second = _HEADER.unpack_from(data)
        return cls(second >> 8, first >> 24, first & 0xFFFFFF, second & 0xFF), data[_HEADER.size :]

    def emit(self, payload: bytes = b"") -> bytes:
        """Return the header's bytes and the inner frame."""
        first = fit(self.flags, 8, "VXLAN", "flags") << 24 | fit(self.reserved, 24, "VXLAN", "reserved")
        second = fit(self.vni, 24, "VXLAN", "vni") << 8 | fit(self.reserved_low, 8, "VXLAN", "reserved_low")
        return _HEADER.pack(first, second) + payload
