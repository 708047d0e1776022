"""ICMP errors, as findings name them."""

from __future__ import annotations

Error = tuple[bool, int, int, int, int]  # as in `Tables.icmp_errors`

# Destination unreachable, by code: RFC 792 and RFC 1812; RFC 4443.
_UNREACHABLE_V4 = {0: "network", 1: "host", 2: "protocol", 3: "port", **dict.fromkeys((9, 10, 13), "prohibited")}
_UNREACHABLE_V6 = {0: "no route", 1: "prohibited", 3: "address", 4: "port", 6: "rejected"}
_THINGS = frozenset({"network", "host", "protocol", "port", "address"})


def is_ttl_expired(error: Error) -> bool:
    _, version, kind, code, _ = error
    return (version, kind, code) in ((4, 11, 0), (6, 3, 0))  # code 1: fragments that did not arrive in time


def unreachable_name(error: Error) -> str | None:
    """What was unreachable; None for another error. Too big a packet (code 4 of IPv4) is the MTU's matter."""
    _, version, kind, code, _ = error
    if (version, kind) == (6, 1):
        return _UNREACHABLE_V6.get(code, f"code {code}")
    if (version, kind) == (4, 3) and code != 4:
        return _UNREACHABLE_V4.get(code, f"code {code}")
    return None


def said(name: str) -> str:
    """`host unreachable`, `prohibited`: what an error of this name says."""
    return f"{name} unreachable" if name in _THINGS else name
