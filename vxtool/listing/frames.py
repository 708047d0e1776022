"""The columns of what is neither TCP, UDP nor ICMP: other IP protocols, ARP, and frames without IP.

The plain twin of vxtool/listing/native/frames.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vxtool.packet.ethernet import Vlan
from vxtool.packet.loopback import Loopback
from vxtool.packet.sll import SLL, SLL2
from vxtool.packet.wire import ipv4_text, mac_text

if TYPE_CHECKING:
    from vxtool.listing.seen import Seen

_PROTOCOLS = (
    "IPv6 Hop-by-Hop Option", "ICMP", "IGMP", "GGP", "IPIP", "Stream", "TCP", "CBT", "EGP", "IGRP", "BBN RCC",
    "Network Voice", "PUP", "ARGUS", "EMCON", "XNET", "CHAOS", "UDP", "Multiplex", "DCN Measurement",
    "Host Monitoring", "Packet radio", "IDP", "Trunk-1", "Trunk-2", "Leaf-1", "Leaf-2", "Reliable Data", "IRT",
    "ISO TP4", "Bulk Data", "MFE NSP", "Merit Internodal", "Datagram Congestion Control Protocol",
    "3rd Party Connect", "Inter-Domain Policy Routing Protocol", "XTP", "Datagram delivery", "Control Message",
    "TP++", "IL", "IPv6", "Source demand routing", "Routing Header for IPv6", "Fragment Header for IPv6",
    "Inter-Domain Routing Protocol", "Reservation Protocol", "Generic Routing Encapsulation",
    "Dynamic source routing", "BNA", "Encap Security Payload", "Authentication Header", "INSLP", "SWIPE",
    "NBMA ARP", "IP Mobility", "TLSP Kryptonet", "SKIP", "ICMPv6", "No Next Header for IPv6",
    "Destination Options for IPv6", "any host internal protocol", "Mobile IPv6 (old)", "any local network",
    "SATNET EXPAK", "Kryptolan", "Remote Virtual Disk", "IPPC", "any distributed file system",
    "SATNET Monitoring", "VISA", "IPCV", "CPNX", "CPHB", "Wang Span", "Packet Video", "Backroom SATNET Mon",
    "Sun ND Protocol", "Wideband Mon", "Wideband Expak", "ISO Internet Protocol", "VMTP", "Secure VMTP", "VINES",
    "TTP", "NSFNET IGP", "Dissimilar Gateway", "TCF", "EIGRP", "OSPF IGP", "Sprite RPC", "Locus ARP",
    "Multicast Transport", "AX.25 Frames", "IP in IP", "MICP", "Semaphore", "Ether in IP", "ENCAP",
    "any private encryption scheme", "GMTP", "Ipsilon Flow", "PNNI over IP", "PIM", "ARIS", "SCPS", "QNX",
    "Active Networks", "IPComp", "Sitara Networks", "Compaq Peer", "IPX IN IP", "VRRP", "PGM",
    "any 0-hop protocol", "Layer 2 Tunneling", "DDX", "IATP", "STP", "SpectraLink", "UTI", "SMP", "SM", "PTP",
    "ISIS over IP", "FIRE", "CRTP", "CRUDP", "SSCOPMCE", "IPLT", "Secure Packet", "PIPE", "SCTP", "Fibre Channel",
    "RSVP E2EI", "Mobile IPv6", "UDPLite", "MPLS in IP", "MANET", "HIP", "Shim6 header", "WESP", "ROHC",
    "Ethernet",
)
_FIRST_UNKNOWN = 225
_OTHERS = {173: "AX/4000 Testframe", 224: "Novell NCS Heartbeat"}

_DCCP, _RSVP, _GRE, _ESP, _AH, _NONE, _EIGRP, _OSPF, _PIM = 33, 46, 47, 50, 51, 59, 88, 89, 103
_IGMP, _IPCOMP, _VRRP, _L2TP, _SCTP, _MOBILITY, _UDP_LITE, _HIP = 2, 108, 112, 115, 132, 135, 136, 139
_EXTENSIONS = (0, 43, 44, 60)
_COLUMNS = {
    _DCCP: "DCCP",
    _RSVP: "RSVP",
    _ESP: "ESP",
    _AH: "AH",
    _EIGRP: "EIGRP",
    _OSPF: "OSPF",
    _IPCOMP: "IPComp",
    _VRRP: "VRRP",
    _L2TP: "L2TPv3",
    _SCTP: "SCTP",
    _MOBILITY: "MIPv6",
    _UDP_LITE: "UDP-Lite",
    _HIP: "HIP",
}
_OSPF_TYPES = ("", "Hello Packet", "DB Description", "LS Request", "LS Update", "LS Acknowledge")
_PIM_TYPES = (
    "Hello", "Register", "Register-stop", "Join/Prune", "Bootstrap", "Assert", "Graft", "Graft-Ack",
    "Candidate-RP-Advertisement", "State-Refresh",
)  # fmt: skip
_SCTP_CHUNKS = (
    "DATA", "INIT", "INIT_ACK", "SACK", "HEARTBEAT", "HEARTBEAT_ACK", "ABORT", "SHUTDOWN", "SHUTDOWN_ACK", "ERROR",
    "COOKIE_ECHO", "COOKIE_ACK", "ECNE", "CWR", "SHUTDOWN_COMPLETE", "AUTH",
)  # fmt: skip

_IGMP_QUERY, _IGMP_REPORT_1, _IGMP_REPORT_2, _IGMP_LEAVE, _IGMP_REPORT_3 = 0x11, 0x12, 0x16, 0x17, 0x22
# Of the types of a group record (RFC 3376, section 4.2), 0 standing for any other: for no source, one, several.
_GROUPS = (
    (
        ", unknown record type (?)",
        "",
        " for any sources",
        "",
        " for any sources",
        ", ALLOW_NEW_SOURCES but no source specified (?)",
        ", BLOCK_OLD_SOURCES but no source specified (?)",
    ),
    (
        ", unknown record type (?), sources ",
        " for source ",
        ", for source not ",
        " for source ",
        ", for source not ",
        ", new source ",
        ", block source ",
    ),
    (
        ", unknown record type (?), sources ",
        " for sources in ",
        ", for sources not in ",
        " for sources in ",
        ", for sources not in ",
        ", new sources ",
        ", block sources ",
    ),
)

_ARP_SIZE = 28
_LARGEST_LLC, _SMALLEST_ETHERTYPE = 1500, 0x0600
_LLC_SIZE, _SNAP_SIZE, _BPDU_SIZE = 3, 8, 35
_ETHERTYPES = {
    0x6003: "DEC DNA",
    0x8808: "MAC CTRL",
    0x8809: "Slow Protocols",
    0x8847: "MPLS",
    0x8848: "MPLS",
    0x8863: "PPPoED",
    0x8864: "PPPoES",
    0x888E: "EAPOL",
    0x88CC: "LLDP",
    0x88F7: "PTPv2",
    0x894F: "NSH",
    0x9000: "LOOP",
}
_COOKED = ("Unicast to us", "Broadcast", "Multicast", "Unicast to another host", "Sent by us")
_CHASSIS = ("", "CC", "IA", "PC", "MA", "NA", "IN", "LA")
_PORT = ("", "IA", "PC", "MA", "NA", "IN", "AC", "LA")


def _be16(data: bytes, at: int = 0) -> int:
    return int.from_bytes(data[at : at + 2], "big")


def _be32(data: bytes, at: int = 0) -> int:
    return int.from_bytes(data[at : at + 4], "big")


def shortage(seen: Seen) -> str:
    """Why no more is told: the record was cut, or lengths leave too little."""
    limited = seen.told_captured < seen.told_length
    return "[Packet size limited during capture]" if limited else "[Malformed Packet]"


def ip_protocol_name(protocol: int) -> str:
    """The name of an IP protocol (IANA's numbers, Wireshark's words)."""
    if protocol < len(_PROTOCOLS):
        return _PROTOCOLS[protocol]
    return _OTHERS.get(protocol, "Unassigned" if protocol < _FIRST_UNKNOWN else "Unknown")


def ip_protocol(seen: Seen) -> str:
    """The protocol column of what follows an IP header."""
    told = seen.told
    if seen.told_length == 0:
        return seen.protocol
    if seen.transport == _IGMP:
        return _igmp_protocol(seen)
    if seen.transport == _GRE:
        return "GRE" if len(told) >= 4 else seen.protocol
    if seen.transport == _PIM:
        version = told[0] >> 4 if told else 2
        return f"PIMv{version}" if version in (1, 2) else "PIM"
    return _COLUMNS.get(seen.transport, seen.protocol)


def ip_protocol_info(seen: Seen) -> str:
    """The info of it."""
    told, transport = seen.told, seen.transport
    if transport == _NONE and seen.is_ipv6:
        return "IPv6 no next header"
    if seen.told_length == 0:
        return shortage(seen) if seen.is_ipv6 else ""
    if transport == _IGMP:
        return _igmp_info(seen)
    if transport == _SCTP:
        return _sctp_info(seen)
    if transport in (6, 17) or (transport in _EXTENSIONS and seen.is_ipv6):
        # Not even the ports; extension headers that are not whole.
        return shortage(seen)
    least = {_OSPF: 4, _UDP_LITE: 4, _GRE: 4, _ESP: 4, _AH: 8, _PIM: 1, _VRRP: 1}.get(transport)
    if least is None:
        unknown = "Unknown IP Protocol: " if seen.is_ipv6 else ""
        return f"{unknown}{ip_protocol_name(transport)} ({transport})"
    if len(told) < least:
        return shortage(seen)
    if transport == _OSPF:
        return _OSPF_TYPES[told[1]] if 1 <= told[1] <= 5 else f"Unknown ({told[1]})"
    if transport == _UDP_LITE:
        return f"{_be16(told)} \u2192 {_be16(told, 2)} Len={max(seen.told_length - 8, 0)}"
    if transport == _GRE:
        if _be16(told, 2) == 0:
            return "Encapsulated Possible GRE keepalive packet"
        return f"Encapsulated 0x{_be16(told, 2):04x} (unknown)"
    if transport == _ESP:
        return f"ESP (SPI=0x{_be32(told):08x})"
    if transport == _AH:
        return f"AH (SPI=0x{_be32(told, 4):08x})"
    if transport == _PIM:
        known = told[0] >> 4 == 2 and told[0] & 15 < len(_PIM_TYPES)
        return _PIM_TYPES[told[0] & 15] if known else "Unknown"
    return f"Announcement (v{told[0] >> 4})"


def _igmp_protocol(seen: Seen) -> str:
    told = seen.told
    if len(told) < 2:
        return "IGMP"
    if told[0] == _IGMP_QUERY:
        return "IGMPv3" if seen.told_length >= 12 else "IGMPv2" if told[1] else "IGMPv1"
    versions = {_IGMP_REPORT_1: 1, _IGMP_REPORT_2: 2, _IGMP_LEAVE: 2, _IGMP_REPORT_3: 3}
    return f"IGMPv{versions[told[0]]}" if told[0] in versions else "IGMP"


def _sources(data: bytes, count: int) -> str:
    return "{" + ", ".join(ipv4_text(data[4 * i : 4 * i + 4]) for i in range(count)) + "}"


def _igmp_info(seen: Seen) -> str:
    told = seen.told
    if not told:
        return shortage(seen)
    whole = len(told) >= 8
    kind = told[0]
    if kind == _IGMP_QUERY:
        text = "Membership Query"
        if whole and seen.protocol != "IGMPv1":
            group = _be32(told, 4)
            text += f", specific for group {ipv4_text(told[4:8])}" if group else ", general"
            sources = _be16(told, 10) if len(told) >= 12 else 0
            if sources and len(told) >= 12 + 4 * sources:
                text += f", source{'s' if sources > 1 else ''} {_sources(told[12:], sources)}"
    elif kind == _IGMP_REPORT_1:
        text = "Membership Report"
    elif kind in (_IGMP_REPORT_2, _IGMP_LEAVE):
        text = "Leave Group" if kind == _IGMP_LEAVE else "Membership Report"
        if whole:
            text += f"{' ' if kind == _IGMP_LEAVE else ' group '}{ipv4_text(told[4:8])}"
    elif kind == _IGMP_REPORT_3:
        if whole:
            return _igmp_report(seen)
        text = "Membership Report"
    else:
        text = f"Unknown Type:0x{kind:02x}"
    return text if whole else text + shortage(seen)


def _igmp_report(seen: Seen) -> str:
    groups, rest = _be16(seen.told, 6), seen.told[8:]
    text = "Membership Report" if groups else "Membership Report - General query"
    for _ in range(groups):
        sources = _be16(rest, 2) if len(rest) >= 8 else 0
        size = 8 + 4 * sources
        if len(rest) < size:
            return text + shortage(seen)
        kind = rest[0] if rest[0] <= 6 else 0
        if kind in (1, 3) and not sources:
            text += " / Leave group "
        else:
            text += " / Join group " if 1 <= kind <= 4 else " / Group "
        text += ipv4_text(rest[4:8]) + _GROUPS[min(sources, 2)][kind]
        if sources:
            text += _sources(rest[8:], sources)
        rest = rest[size + 4 * rest[1] :]
    return text


def _sctp_info(seen: Seen) -> str:
    rest = seen.told[12:]
    text = ""
    if len(seen.told) < 12:
        return shortage(seen)
    while len(rest) >= 4:
        kind, size = rest[0], _be16(rest, 2)
        if kind >= len(_SCTP_CHUNKS) or size < 4:
            return text + shortage(seen)
        text += _SCTP_CHUNKS[kind] + " "
        if kind == 0 and len(rest) >= 8:
            text += f"(TSN={_be32(rest, 4)}) "
        elif kind == 3 and len(rest) >= 12:
            text += f"(Ack={_be32(rest, 4)}, Arwnd={_be32(rest, 8)}) "
        size = (size + 3) & ~3
        if size > len(rest):
            break
        rest = rest[size:]
    return text


def arp_protocol(seen: Seen) -> str:
    """The protocol column of ARP (RFC 826) and what shares its format."""
    operation = _be16(seen.told, 6)
    if operation in (3, 4):
        return "RARP"
    if operation in (5, 6, 7):
        return "DRARP"
    return "Inverse ARP" if operation in (8, 9) else "ARP"


def arp_info(seen: Seen) -> str:
    """The info of it."""
    arp = seen.told
    if seen.header is None:
        # Too short, or with addresses of other lengths.
        return shortage(seen) if len(arp) < _ARP_SIZE else f"ARP of address lengths {arp[4]} and {arp[5]}"
    operation = _be16(arp, 6)
    sender_mac, sender = mac_text(arp[8:14]), ipv4_text(arp[14:18])
    target_mac, target = mac_text(arp[18:24]), ipv4_text(arp[24:28])
    if operation == 1:
        if sender == target:
            return f"Gratuitous ARP for {target} (Request)" if any(arp[18:24]) else f"ARP Announcement for {target}"
        return f"Who has {target}? {f'Tell {sender}' if any(arp[14:18]) else '(ARP Probe)'}"
    if operation == 2:
        return f"Gratuitous ARP for {sender} (Reply)" if sender == target else f"{sender} is at {sender_mac}"
    if operation in (3, 5, 8):
        return f"Who is {target_mac}? Tell {sender_mac}"
    if operation in (4, 6):
        return f"{target_mac} is at {target}"
    if operation == 9:
        return f"{sender_mac} is at {sender}"
    words = {0: "Reserved opcode 0", 7: "DRARP Error", 10: "ARP NAK"}
    return words.get(operation, f"Unknown ARP opcode 0x{operation:04x}")


def link_protocol(seen: Seen, is_cooked: bool, ethertype: int) -> str:
    """The protocol column of a frame, by the ethertype or length in its last link layer."""
    if ethertype == 4 if is_cooked else 0 < ethertype <= _LARGEST_LLC:
        return _llc_protocol(seen.told)
    if ethertype < _SMALLEST_ETHERTYPE and (is_cooked or ethertype > 0):
        return "SLL" if is_cooked else "Ethernet"
    return _ETHERTYPES.get(ethertype, f"0x{ethertype:04x}")


def link_info(seen: Seen) -> str:
    """The info of it."""
    if seen.protocol in ("STP", "LLC", "CDP", "VTP"):
        return _llc_info(seen)
    if seen.protocol == "LLDP":
        return _lldp_info(seen)
    # The link header is what is right before.
    before = seen.data[: seen.told_at]
    last = seen.layers[-1] if seen.layers else None
    if last is None:
        return ""
    if isinstance(last, Vlan):
        tag = _be16(before, len(before) - 4)
        return f"PRI: {tag >> 13}  DEI: {tag >> 12 & 1}  ID: {tag & 0xFFF}"
    if isinstance(last, SLL | SLL2):
        kind = _be16(seen.data) if isinstance(last, SLL) else seen.data[10]
        return _COOKED[kind] if kind < len(_COOKED) else "Unknown"
    if isinstance(last, Loopback):
        return "Null/Loopback"
    if len(before) < 14:
        return ""
    ethertype = _be16(before, len(before) - 2)
    if _LARGEST_LLC < ethertype < _SMALLEST_ETHERTYPE:
        return f"Ethernet Unknown: Invalid length/type: 0x{ethertype:04x} ({ethertype})"
    return "Ethernet II"


def cut_link_info(seen: Seen) -> str:
    """The info of a link header that is not whole."""
    return ("Null/Loopback" if seen.protocol == "N/A" else "") + shortage(seen)


def _bpdu(llc: bytes) -> bytes | None:
    if len(llc) >= _LLC_SIZE and llc[:2] == b"\x42\x42":
        return llc[_LLC_SIZE:]
    # One spanning tree for each VLAN.
    return llc[_SNAP_SIZE:] if llc[:_SNAP_SIZE] == b"\xaa\xaa\x03\x00\x00\x0c\x01\x0b" else None


def _llc_protocol(llc: bytes) -> str:
    if _bpdu(llc) is not None:
        return "STP"
    if len(llc) >= _SNAP_SIZE and llc[:6] == b"\xaa\xaa\x03\x00\x00\x0c":
        return {0x2000: "CDP", 0x2003: "VTP"}.get(_be16(llc, 6), "LLC")
    return "LLC"


def _llc_info(seen: Seen) -> str:
    llc = seen.told
    bpdu = _bpdu(llc)
    if bpdu is not None:
        return _bpdu_info(seen, bpdu)
    if len(llc) < _LLC_SIZE:
        return shortage(seen)
    if len(llc) >= _SNAP_SIZE and llc[:3] == b"\xaa\xaa\x03":
        return f"SNAP, OUI 0x{llc[3:6].hex()}, PID 0x{llc[6:8].hex()}"
    return f"DSAP 0x{llc[0]:02x}, SSAP 0x{llc[1]:02x}, control 0x{llc[2]:02x}"


def _bpdu_info(seen: Seen, bpdu: bytes) -> str:
    """A configuration message (IEEE 802.1D, section 9.3): who is the root, how far, through which port."""
    if len(bpdu) < 4:
        return shortage(seen)
    if bpdu[3] == 0x80:
        return "Topology Change Notification"
    if bpdu[3] not in (0, 2):
        return f"Unknown BPDU type ({bpdu[3]})"
    if len(bpdu) < _BPDU_SIZE:
        return shortage(seen)
    kind = "Conf" if bpdu[3] == 0 else "MST" if bpdu[2] >= 3 else "RST"
    changing = "TC + " if bpdu[4] & 1 else ""
    priority = _be16(bpdu, 5)
    root = f"{priority & 0xF000}/{priority & 0x0FFF}/{mac_text(bpdu[7:13])}"
    return f"{kind}. {changing}Root = {root}  Cost = {_be32(bpdu, 13)}  Port = 0x{_be16(bpdu, 25):04x}"


def _words(data: bytes) -> str:
    """Words of a neighbour's; what cannot be printed is a dot."""
    return "".join(chr(octet) if 0x20 <= octet < 0x7F else "." for octet in data)


def _lldp_id(kinds: tuple[str, ...], value: bytes) -> str:
    """The id of a chassis or a port (IEEE 802.1AB, sections 8.5.2 and 8.5.3), by its subtype."""
    kind = kinds[value[0]] if value[0] < len(kinds) else ""
    if not kind:
        return "Rs/Reserved "
    rest = value[1:]
    if kind == "MA" and len(rest) == 6:
        text = mac_text(rest)
    elif kind == "NA" and len(rest) == 5 and rest[0] == 1:
        text = ipv4_text(rest[1:])
    else:
        text = rest.hex() if kind == "PC" else _words(rest)
    return f"{kind}/{text} "


def _lldp_info(seen: Seen) -> str:
    rest = seen.told
    text = ""
    while len(rest) >= 2:
        kind, size = rest[0] >> 1, _be16(rest) & 0x1FF
        value = rest[2 : 2 + size]
        if kind == 0:
            break
        if len(value) < size:
            return text + shortage(seen)
        if kind <= 2 and size >= 2:
            text += _lldp_id(_CHASSIS if kind == 1 else _PORT, value)
        elif kind == 3 and size >= 2:
            text += f"{_be16(value)} "
        elif kind in (5, 6):
            text += f"{'SysN' if kind == 5 else 'SysD'}={_words(value)} "
        rest = rest[2 + size :]
    return text
