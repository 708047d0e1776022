"""DHCP (RFC 2131) with BOOTP below it, read by dpkt, and DHCPv6 (RFC 8415), which dpkt does not know."""

from __future__ import annotations

import socket

from .columns import CUT, MALFORMED, MOST_TEXT, shorten

PORTS = (67, 68)
PORTS6 = (546, 547)

_MOST_READ = 2048  # bytes of a message: dpkt copies the rest for each option
_REQUEST = 1

_MESSAGES = {
    1: "Discover", 2: "Offer", 3: "Request", 4: "Decline", 5: "ACK", 6: "NAK", 7: "Release", 8: "Inform",
    9: "Force Renew", 10: "Lease query", 11: "Lease Unassigned", 12: "Lease Unknown", 13: "Lease Active",
    14: "Bulk Lease Query", 15: "Lease Query Done", 16: "Active LeaseQuery", 17: "Lease Query Status", 18: "TLS",
}  # fmt: skip

_MESSAGES6 = {
    1: "Solicit", 2: "Advertise", 3: "Request", 4: "Confirm", 5: "Renew", 6: "Rebind", 7: "Reply", 8: "Release",
    9: "Decline", 10: "Reconfigure", 11: "Information-request", 12: "Relay-forw", 13: "Relay-reply",
    14: "Leasequery", 15: "Leasequery-reply", 16: "Leasequery-done", 17: "Leasequery-data",
    18: "Reconfigure-request", 19: "Reconfigure-reply",
}  # fmt: skip
_RELAYED = (12, 13)
_MOST_NESTED = 8
_CLIENT, _ADDRESSES, _TEMPORARY, _ADDRESS, _MESSAGE = 1, 3, 4, 5, 9


def describe(message: bytes) -> tuple[str, str] | None:
    """The protocol and info columns of a message, or None where it is none or not whole."""
    import dpkt.dhcp

    read = dpkt.dhcp.DHCP(message[:_MOST_READ])
    if read.magic != dpkt.dhcp.DHCP_MAGIC:
        return None
    kind = None
    for option, value in read.opts:
        if option == dpkt.dhcp.DHCP_OPT_MSGTYPE and value:
            kind = value[0]
    if kind is not None:
        name = _MESSAGES.get(kind) or f"Unknown Message Type (0x{kind:02x})"
        return "DHCP", f"DHCP {name:<8} - Transaction ID 0x{read.xid:x}"
    if read.op == _REQUEST:
        hardware = read.chaddr.hex(":")
        return "BOOTP", f"Boot Request from {hardware} ({hardware})"
    return "BOOTP", "Boot Reply"


def describe6(message: bytes, cut: bool) -> tuple[str, str] | None:
    """The protocol and info columns of a DHCPv6 message. `cut`: it went on behind what was captured."""
    if not message:
        return None
    parts: list[str] = []
    whole = _message6(message, parts, _MOST_NESTED)
    if not whole:
        parts.append(CUT if cut else MALFORMED)
    return "DHCPv6", shorten("".join(parts))


def _message6(message: bytes, parts: list[str], depth: int) -> bool:
    """Add what a message says. False: it is not whole."""
    kind = message[0]
    parts.append(f"{_MESSAGES6.get(kind) or f'Message Type {kind}'} ")
    if kind not in _RELAYED:
        if len(message) < 4:
            return False
        parts.append(f"XID: 0x{message[1:4].hex()} ")
        return _options6(message, 4, parts, depth)
    if len(message) < 34:
        return False
    parts.append(f"L: {socket.inet_ntop(socket.AF_INET6, message[2:18])} ")
    return _options6(message, 34, parts, depth)


def _options6(message: bytes, at: int, parts: list[str], depth: int) -> bool:
    while at + 4 <= len(message) and len(parts) < MOST_TEXT:
        kind, size = int.from_bytes(message[at : at + 2], "big"), int.from_bytes(message[at + 2 : at + 4], "big")
        value = message[at + 4 : at + 4 + size]
        if len(value) < size:
            return True  # Wireshark leaves such an option, and what follows, unsaid
        if kind == _CLIENT:
            parts.append(f"CID: {value.hex()} ")
        elif kind == _ADDRESSES and size > 12 and depth:
            _options6(value, 12, parts, depth - 1)
        elif kind == _TEMPORARY and size > 4 and depth:
            _options6(value, 4, parts, depth - 1)
        elif kind == _ADDRESS and size >= 16:
            parts.append(f"IAA: {socket.inet_ntop(socket.AF_INET6, value[:16])} ")
        elif kind == _MESSAGE and value and depth:
            _message6(value, parts, depth - 1)
        at += 4 + size
    return True
