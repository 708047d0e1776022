"""Values by address prefix, found by the longest that holds an address."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from typing import Generic, TypeVar

_T = TypeVar("_T")


def canonical_prefix(prefix: object) -> str | None:
    """Return a prefix in the one spelling that look-ups use (host bits cleared); None for what is none.

    A plain address is the prefix that holds it alone.
    """
    if not isinstance(prefix, str) or "%" in prefix:
        return None
    try:
        return str(ip_network(prefix, strict=False))
    except ValueError:
        return None


class Prefixes(Generic[_T]):
    """A routing table's look-up: of the prefixes that hold an address, the longest one's value."""

    def __init__(self) -> None:
        # By family, then by length, the longest first; a prefix is its leading bits.
        self._by_length: dict[int, dict[int, dict[int, _T]]] = {4: {}, 6: {}}

    def __bool__(self) -> bool:
        return any(self._by_length.values())

    def __setitem__(self, prefix: str, value: _T) -> None:
        """Store a value; ValueError for what is no prefix."""
        network = ip_network(prefix, strict=False)
        lengths = self._by_length[network.version]
        if network.prefixlen not in lengths:
            lengths[network.prefixlen] = {}
            self._by_length[network.version] = dict(sorted(lengths.items(), reverse=True))
            lengths = self._by_length[network.version]
        bits = int(network.network_address) >> (network.max_prefixlen - network.prefixlen)
        lengths[network.prefixlen][bits] = value

    def matches(self, address: str) -> Iterator[tuple[int, _T]]:
        """Length and value of each prefix that holds `address`, the longest first; none for what is no address."""
        try:
            parsed = ip_address(address)
        except ValueError:
            return
        number = int(parsed)
        for length, values in self._by_length[parsed.version].items():
            bits = number >> (parsed.max_prefixlen - length)
            if bits in values:
                yield length, values[bits]

    def find(self, address: str) -> _T | None:
        """The value of the longest prefix that holds `address`; None where none does."""
        return next((value for _, value in self.matches(address)), None)
