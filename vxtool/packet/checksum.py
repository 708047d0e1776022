"""The Internet checksum of RFC 1071, and the pseudo-header that TCP, UDP and ICMPv6 put before theirs.

https://www.rfc-editor.org/rfc/rfc1071

A one's complement sum of 16-bit words is the number that those words spell, modulo 65535, because 65536 is 1
modulo 65535. So one big-integer remainder does the work of a loop over words. The two differ in one case:
words that are not all zero never add up to zero in one's complement, but to 65535.
"""

from __future__ import annotations


def ones_complement_sum(data: bytes) -> int:
    """The 16-bit one's complement sum of `data`, as if a zero byte followed an odd length (RFC 1071)."""
    number = int.from_bytes(data, "big")
    if len(data) % 2:
        number <<= 8
    return number % 0xFFFF or (0xFFFF if number else 0)


def internet_checksum(data: bytes) -> int:
    """The Internet checksum of `data`: the complement of its one's complement sum.

    Over data that already holds its right checksum the result is 0.
    """
    return 0xFFFF - ones_complement_sum(data)


def pseudo_header(source: bytes, destination: bytes, protocol: int, length: int) -> bytes:
    """The pseudo-header of RFC 768 / RFC 9293 (4-byte addresses) and RFC 8200, section 8.1 (16-byte ones).

    The IPv4 one has a 16-bit length. Writing 32 bits gives the same sum, and the right one for packets of
    more than 65,535 bytes.
    """
    return source + destination + length.to_bytes(4, "big") + protocol.to_bytes(4, "big")
