"""The BSD loopback headers: link types NULL and LOOP, four bytes that hold an address family.

https://www.tcpdump.org/linktypes/LINKTYPE_NULL.html
https://www.tcpdump.org/linktypes/LINKTYPE_LOOP.html

    +---------------------------------------------------------------+
    |                        address family                         |
    +---------------------------------------------------------------+

LOOP is big-endian. NULL is in the order of the machine that captured, which no field tells: families are
small numbers, so the order that gives a number below 65,536 is the right one.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from vxtool.errors import PacketError
from vxtool.packet.wire import fit, need

FAMILY_IPV4 = 2
# AF_INET6 of Linux; NetBSD and OpenBSD; FreeBSD; Darwin.
FAMILIES_IPV6 = (10, 24, 28, 30)

_SIZE = 4
_LARGEST_FAMILY = 0xFFFF


class Loopback(NamedTuple):
    """A NULL or LOOP header, 4 bytes, and the byte order that it was written in."""

    family: int | None = None
    byteorder: Literal["little", "big"] = "little"

    @classmethod
    def parse(
        cls, data: bytes, at: int = 0, byteorder: Literal["little", "big"] | None = None
    ) -> tuple[Loopback, bytes]:
        """Return the header and all bytes behind it; without `byteorder` the smaller family decides."""
        need(data, _SIZE, "Loopback", at)
        if byteorder is None:
            byteorder = "little" if int.from_bytes(data[:_SIZE], "little") <= _LARGEST_FAMILY else "big"
        return cls(int.from_bytes(data[:_SIZE], byteorder), byteorder), data[_SIZE:]

    def emit(self, payload: bytes = b"") -> bytes:
        """Return the header's bytes and the payload."""
        family = fit(self.family, 32, "Loopback", "family")
        if self.byteorder not in ("little", "big"):
            raise PacketError(f"Loopback.byteorder: expected 'little' or 'big', found {self.byteorder!r}")
        return family.to_bytes(_SIZE, self.byteorder) + payload
