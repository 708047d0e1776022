"""Values by address prefix, found by the longest that holds an address."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from typing import Generic, NamedTuple, TypeVar

_T = TypeVar("_T")

# `ipaddress` takes 5 to 8 microseconds for a prefix, and a full routing table is a million of them: what is spelled
# as usual is read here, and whatever else by `ipaddress`.
_OCTETS = {str(number): number for number in range(256)}
_LENGTHS = {str(number): number for number in range(129)}


class _Usual(NamedTuple):
    version: int
    number: int  # the address
    length: int
    longest: int  # that a prefix can be


def canonical_prefix(prefix: object) -> str | None:
    """Return a prefix in the one spelling that look-ups use (host bits cleared); None for what is none.

    A plain address is the prefix that holds it alone.
    """
    if not isinstance(prefix, str) or "%" in prefix:
        return None
    usual = _usual(prefix)
    if usual is not None and not usual.number & ((1 << (usual.longest - usual.length)) - 1):
        return prefix if "/" in prefix else f"{prefix}/{usual.longest}"
    # `ipaddress` takes its time to refuse what cannot be one, such as each line of a text.
    if prefix.count(".") < 3 and prefix.count(":") < 2:
        return None
    try:
        return str(ip_network(prefix, strict=False))
    except ValueError:
        return None


def _usual(prefix: str) -> _Usual | None:
    """What a prefix is that is spelled as `ipaddress` spells it; None for all others."""
    address, slash, length = prefix.partition("/")
    if ":" in address:
        number, longest = _usual_ipv6(address), 128
    else:
        number, longest = _usual_ipv4(address), 32
    bits = _LENGTHS.get(length) if slash else longest
    if number is None or bits is None or bits > longest:
        return None
    return _Usual(4 if longest == 32 else 6, number, bits, longest)


def _usual_ipv4(address: str) -> int | None:
    try:
        first, second, third, fourth = address.split(".")
        return _OCTETS[first] << 24 | _OCTETS[second] << 16 | _OCTETS[third] << 8 | _OCTETS[fourth]
    except (KeyError, ValueError):
        return None


def _usual_ipv6(address: str) -> int | None:
    from socket import AF_INET6, inet_ntop, inet_pton  # here, because most files hold IPv4 alone

    if "." in address:
        return None
    try:
        packed = inet_pton(AF_INET6, address)
        return int.from_bytes(packed, "big") if inet_ntop(AF_INET6, packed) == address else None
    except (OSError, ValueError):
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
        usual = _usual(prefix)
        if usual is not None:
            version, number, length, longest = usual
        else:
            network = ip_network(prefix, strict=False)
            version, number = network.version, int(network.network_address)
            length, longest = network.prefixlen, network.max_prefixlen
        lengths = self._by_length[version]
        if length not in lengths:
            lengths[length] = {}
            lengths = self._by_length[version] = dict(sorted(lengths.items(), reverse=True))
        lengths[length][number >> (longest - length)] = value

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
