"""The columns of one record below the applications, as Wireshark writes them.

The plain twin of vxtool/listing/native/info.c. `info_text` and `end_text` write what vxtool.listing.seen has read.
What Wireshark 4.0 writes was seen from tshark, message by message; docs/summary.md lists what differs.
"""

from __future__ import annotations

from typing import Protocol

from vxtool.listing.frames import (
    arp_info,
    cut_link_info,
    ip_protocol_info,
    ip_protocol_name,
    link_info,
    shortage,
)
from vxtool.listing.seen import (
    END_IPV4,
    END_IPV6,
    TELLS_ARP,
    TELLS_BAD_IP,
    TELLS_BAD_IPV4,
    TELLS_BAD_IPV6,
    TELLS_CUT_LINK,
    TELLS_FRAGMENT,
    TELLS_ICMP,
    TELLS_ICMPV6,
    TELLS_IP,
    TELLS_LINK,
    TELLS_TCP,
    TELLS_TUNNEL,
    TELLS_UDP,
    End,
    Seen,
)
from vxtool.packet.ipv6 import EXTENSIONS, extension_size
from vxtool.packet.wire import ipv4_text, ipv6_text, mac_text


class Note(Protocol):
    """What is asked of a stream's note; see vxtool.listing.streams."""

    @property
    def notes(self) -> int: ...
    @property
    def sequence(self) -> int: ...
    @property
    def acknowledgement(self) -> int: ...
    @property
    def window(self) -> int: ...
    @property
    def duplicate_number(self) -> int: ...
    @property
    def duplicate_of(self) -> int: ...


# The notes of vxtool.listing.streams, in the order in which they stand: what is added last stands first.
_NOTES = (
    (512, "[TCP ZeroWindowProbeAck] "),
    (2048, "[TCP Window Full] "),
    (128, "[TCP ZeroWindow] "),
    (256, "[TCP ZeroWindowProbe] "),
    (64, ""),
    (8192, "[TCP Keep-Alive ACK] "),
    (4096, "[TCP Keep-Alive] "),
    (1024, "[TCP Window Update] "),
    (32, "[TCP ACKed unseen segment] "),
    (16, "[TCP Previous segment not captured] "),
    (16384, "[TCP Port numbers reused] "),
    (8, "[TCP Out-Of-Order] "),
    (4, "[TCP Spurious Retransmission] "),
    (2, "[TCP Fast Retransmission] "),
    (1, "[TCP Retransmission] "),
)
_RETRANSMISSION, _FAST, _SPURIOUS, _OUT_OF_ORDER = 1, 2, 4, 8

# A group's address, or the first octets of one: what follows is then written behind the name, from its first
# octet that is not zero on. The last are makers of network cards that are not there, which is most of what an
# overlay runs on.
_GROUPS = (
    (b"\xff\xff\xff\xff\xff\xff", "Broadcast"),
    (b"\x01\x80\xc2\x00\x00\x01", "MAC-specific-ctrl-proto-01"),
    (b"\x01\x80\xc2\x00\x00\x02", "Slow-Protocols"),
    (b"\x01\x80\xc2\x00\x00\x03", "Nearest-non-TPMR-bridge"),
    (b"\x01\x80\xc2\x00\x00\x08", "Provider-Bridge"),
    (b"\x01\x80\xc2\x00\x00\x0e", "LLDP_Multicast"),
    (b"\x01\x00\x0c\xcc\xcc\xcc", "CDP/VTP/DTP/PAgP/UDLD"),
    (b"\x01\x00\x0c\xcc\xcc\xcd", "PVST+"),
    (b"\x01\x80\xc2\x00\x00", "Spanning-tree-(for-bridges)"),
    (b"\x00\x00\x5e\x00\x01", "IETF-VRRP-VRID"),
    (b"\x00\x00\x0c\x07\xac", "All-HSRP-routers"),
    (b"\x01\x00\x5e", "IPv4mcast"),
    (b"\x33\x33", "IPv6mcast"),
    (b"\x08\x00\x27", "PcsCompu"),
    (b"\x52\x54\x00", "RealtekU"),
    (b"\x00\x50\x56", "VMware"),
    (b"\x00\x0c\x29", "VMware"),
    (b"\x00\x15\x5d", "Microsof"),
    (b"\x00\x16\x3e", "Xensourc"),
    (b"\x00\x1c\x42", "Parallel"),
)

_TCP_SIZE, _UDP_SIZE, _ICMP_SIZE = 20, 8, 8
_ACK, _URG = 16, 32
_FLAGS = ("FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR", "AE")
_MOST_SCALE = 14
_FAST_OPEN = 0xF989

_WITH_ID: tuple[str, ...] = ()
_UNREACHABLE = (
    "Network unreachable", "Host unreachable", "Protocol unreachable", "Port unreachable", "Fragmentation needed",
    "Source route failed", "Destination network unknown", "Destination host unknown", "Source host isolated",
    "Network administratively prohibited", "Host administratively prohibited", "Network unreachable for TOS",
    "Host unreachable for TOS", "Communication administratively filtered", "Host precedence violation",
    "Precedence cutoff in effect",
)  # fmt: skip
_REDIRECT = (
    "Redirect for network", "Redirect for host", "Redirect for TOS and network", "Redirect for TOS and host",
)  # fmt: skip
_EXCEEDED = ("Time to live exceeded in transit", "Fragment reassembly time exceeded")
_PARAMETER = ("Pointer indicates the error", "Required option missing", "Bad length")
_ADVERTISEMENT = ("Normal router advertisement", *[""] * 15, "Does not route common traffic")
_PHOTURIS = (
    "Bad SPI", "Authentication Failed", "Decompression Failed", "Decryption Failed", "Need Authentication",
    "Need Authorization",
)  # fmt: skip
# The name of a type, and its codes: None where they are not told, none where an id and a sequence number are.
_ICMP: dict[int, tuple[str, tuple[str, ...] | None]] = {
    0: ("Echo (ping) reply", _WITH_ID),
    1: ("Reserved", None),
    2: ("Reserved", None),
    3: ("Destination unreachable", _UNREACHABLE),
    4: ("Source quench (flow control)", None),
    5: ("Redirect", _REDIRECT),
    6: ("Alternate host address", ("Alternate address for host",)),
    8: ("Echo (ping) request", _WITH_ID),
    9: ("Router advertisement", _ADVERTISEMENT),
    10: ("Router solicitation", None),
    11: ("Time-to-live exceeded", _EXCEEDED),
    12: ("Parameter problem", _PARAMETER),
    13: ("Timestamp request", _WITH_ID),
    14: ("Timestamp reply", _WITH_ID),
    15: ("Information request", _WITH_ID),
    16: ("Information reply", _WITH_ID),
    17: ("Address mask request", _WITH_ID),
    18: ("Address mask reply", _WITH_ID),
    19: ("Reserved (for security)", None),
    30: ("Traceroute", None),
    31: ("Datagram Conversion Error", None),
    32: ("Mobile Host Redirect", None),
    33: ("IPv6 Where-Are-You", None),
    34: ("IPv6 I-Am-Here", None),
    35: ("Mobile Registration Request", None),
    36: ("Mobile Registration Reply", None),
    37: ("Domain Name Request", None),
    38: ("Domain Name Reply", None),
    39: ("SKIP", None),
    40: ("Photuris", _PHOTURIS),
    41: ("Experimental mobility protocols", None),
    42: ("Extended Echo request", ("No error",)),
    43: ("Extended Echo reply", ("No error", "Malformed Query")),
}
_ICMP_NAME_WIDTH = 20
_QUOTING = (3, 4, 5, 11, 12)

_UNREACHABLE6 = (
    "no route to destination", "Administratively prohibited", "Beyond scope of source address",
    "Address unreachable", "Port unreachable", "Source address failed ingress/egress policy",
    "Reject route to destination", "Error in Source Routing Header",
)  # fmt: skip
_EXCEEDED6 = ("hop limit exceeded in transit", "fragment reassembly time exceeded")
_PARAMETER6 = (
    "erroneous header field encountered", "unrecognized Next Header type encountered",
    "unrecognized IPv6 option encountered", "IPv6 First Fragment has incomplete IPv6 Header Chain",
)  # fmt: skip
_ICMPV6 = {
    1: "Destination Unreachable",
    2: "Packet Too Big",
    3: "Time Exceeded",
    4: "Parameter Problem",
    100: "Private experimentation",
    101: "Private experimentation",
    127: "Reserved for expansion of ICMPv6 error messages",
    128: "Echo (ping) request",
    129: "Echo (ping) reply",
    130: "Multicast Listener Query",
    131: "Multicast Listener Report",
    132: "Multicast Listener Done",
    133: "Router Solicitation",
    134: "Router Advertisement",
    135: "Neighbor Solicitation",
    136: "Neighbor Advertisement",
    137: "Redirect",
    138: "Router Renumbering",
    139: "Node Information Query",
    140: "Node Information Reply",
    141: "Inverse Neighbor Discovery Solicitation",
    142: "Inverse Neighbor Discovery Advertisement",
    143: "Multicast Listener Report Message v2",
    144: "Home Agent Address Discovery Request",
    145: "Home Agent Address Discovery Reply",
    146: "Mobile Prefix Solicitation",
    147: "Mobile Prefix Advertisement",
    148: "Certification Path Solicitation",
    149: "Certification Path Advertisement",
    151: "Multicast Router Advertisement",
    152: "Multicast Router Solicitation",
    153: "Multicast Router Termination",
    154: "FMIPv6",
    155: "RPL Control",
    157: "Duplicate Address Request",
    158: "Duplicate Address Confirmation",
    159: "MPL Control Message",
    160: "Extended Echo request",
    161: "Extended Echo reply",
    200: "Private experimentation",
    201: "Private experimentation",
    255: "Reserved for expansion of ICMPv6 informational messages",
}
_SOLICITATION, _ADVERTISEMENT6, _NEIGHBOR_SOLICITATION, _NEIGHBOR_ADVERTISEMENT, _REDIRECT6 = range(133, 138)
# How much of a message is read before it can be told whole.
_LEAST_ICMPV6 = {_ADVERTISEMENT6: 16, _NEIGHBOR_SOLICITATION: 24, _NEIGHBOR_ADVERTISEMENT: 24, _REDIRECT6: 40}
_NEIGHBOR_FLAGS = ("none", "ovr", "sol", "sol, ovr", "rtr", "rtr, ovr", "rtr, sol", "rtr, sol, ovr")
_MOST_NEIGHBOR_OPTIONS = 8


def _be16(data: bytes, at: int = 0) -> int:
    return int.from_bytes(data[at : at + 2], "big")


def _be32(data: bytes, at: int = 0) -> int:
    return int.from_bytes(data[at : at + 4], "big")


def end_text(end: End | None) -> str:
    """An address or MAC as columns show it: nothing for None."""
    if end is None:
        return ""
    if end.kind == END_IPV4:
        return ipv4_text(end.octets)
    return ipv6_text(end.octets) if end.kind == END_IPV6 else named_mac(end.octets)


def named_mac(mac: bytes) -> str:
    """A MAC, that of a group by its name."""
    for octets, name in _GROUPS:
        if mac.startswith(octets):
            rest = mac[len(octets) :]
            while mac[0] & 1 and len(rest) > 1 and rest[0] == 0:
                rest = rest[1:]
            return f"{name}_{rest.hex(':')}" if rest else name
    text = mac_text(mac)
    # The maker of 00:00:00 is named by these digits.
    return text[:8] + "_" + text[9:] if mac[:3] == bytes(3) else text


def notes_text(note: Note | None) -> str:
    """A stream's notes as Wireshark writes them, "[TCP Dup ACK 12#1] ": nothing where there are none."""
    if note is None:
        return ""
    told = note.notes
    # Of what names a retransmission more closely, the plain word would be said twice.
    if told & (_SPURIOUS | _FAST | _OUT_OF_ORDER):
        told &= ~_RETRANSMISSION
    if told & _SPURIOUS:
        told &= ~(_FAST | _OUT_OF_ORDER)
    duplicate = f"[TCP Dup ACK {note.duplicate_of}#{note.duplicate_number}] "
    return "".join(words or duplicate for bit, words in _NOTES if told & bit)


def info_text(seen: Seen, note: Note | None = None) -> str:
    """The info column, without the stream's notes; `note` is the stream's, None where it is no TCP or is not
    known: then numbers are as they are in the segment."""
    if seen.tells == TELLS_TCP:
        return _tcp(seen, note) + (shortage(seen) if _is_short_tcp(seen) else "")
    if seen.tells == TELLS_UDP:
        bare = not seen.payload and seen.payload_length > 0
        return _udp(seen) + (shortage(seen) if len(seen.told) < _UDP_SIZE or bare else "")
    if seen.tells == TELLS_ICMP:
        return _icmp(seen) + (shortage(seen) if _is_short_icmp(seen) else "")
    if seen.tells == TELLS_ICMPV6:
        return _icmpv6(seen) + (shortage(seen) if _is_short_icmpv6(seen) else "")
    write = {
        TELLS_FRAGMENT: _fragment,
        TELLS_IP: ip_protocol_info,
        TELLS_ARP: arp_info,
        TELLS_LINK: link_info,
        TELLS_CUT_LINK: cut_link_info,
        TELLS_BAD_IPV4: _bad_ipv4,
        TELLS_BAD_IP: _bad_ipv4,
        TELLS_BAD_IPV6: _bad_ipv6,
        TELLS_TUNNEL: _tunnel,
    }.get(seen.tells)
    return write(seen) if write is not None else ""


def _ports(seen: Seen) -> str:
    return f"{seen.source_port} → {seen.destination_port}"


def _option(option: bytes, base: int) -> str:
    """One option of TCP; `base` is what an acknowledgement is counted from."""
    kind, size = option[0], len(option)
    match kind:
        case 2:
            return f" MSS={_be16(option, 2)}" if size == 4 else ""
        case 3:
            return f" WS={1 << min(option[2], _MOST_SCALE)}" if size == 3 else ""
        case 4:
            return " SACK_PERM"
        case 5:
            edges = [(_be32(option, at) - base) & 0xFFFFFFFF for at in range(2, size - (size - 2) % 8, 4)]
            return "".join(f" SLE={one} SRE={other}" for one, other in zip(edges[::2], edges[1::2], strict=True))
        case 6 | 7:
            return f" ECHO={_be32(option, 2)}" if size == 6 else ""
        case 8:
            return f" TSval={_be32(option, 2)} TSecr={_be32(option, 6)}" if size == 10 else ""
        case 11 | 12 | 13:
            return f" CC={_be32(option, 2)}" if size == 6 else ""
        case 19:
            return " MD5" if size == 18 else ""
        case 28:
            return f" USER_TO={_be16(option, 2) & 0x7FFF}" if size == 4 else ""
        case 34:
            return " TFO=C" if size > 2 else " TFO=R"
        case 253 | 254 if size >= 4 and _be16(option, 2) == _FAST_OPEN:
            return " TFO=C" if size > 4 else " TFO=R"
    return ""


def _options(options: bytes, base: int) -> str:
    text = ""
    while options and options[0] != 0:
        size = 1
        if options[0] != 1:
            size = options[1] if len(options) > 1 else 0
            if not 2 <= size <= len(options):
                break
            text += _option(options[:size], base)
        options = options[size:]
    return text


def _tcp(seen: Seen, note: Note | None) -> str:
    header = seen.told
    text = _ports(seen)
    if len(header) < 16:
        return text
    flags = _be16(header, 12) & 0xFFF
    acknowledgement = _be32(header, 8)
    names = [name for bit, name in enumerate(_FLAGS) if flags >> bit & 1]
    if flags >> len(_FLAGS):
        names.append("Reserved")
    text += f" [{', '.join(names) or '<None>'}] Seq={_be32(header, 4) if note is None else note.sequence}"
    if flags & _ACK:
        text += f" Ack={acknowledgement if note is None else note.acknowledgement}"
    text += f" Win={_be16(header, 14) if note is None else note.window}"
    size = (header[12] >> 4) * 4
    if size < _TCP_SIZE:
        return f"{text}, bogus TCP header length ({size}, must be at least 20)"
    if seen.header is None:
        return text
    if flags & _URG:
        text += f" Urg={_be16(header, 18)}"
    base = 0 if note is None else acknowledgement - note.acknowledgement
    return f"{text} Len={seen.payload_length}{_options(header[_TCP_SIZE:size], base)}"


def _is_short_tcp(seen: Seen) -> bool:
    """Whether Wireshark says of TCP that it is not whole."""
    header = seen.told
    return len(header) < 16 or max(_TCP_SIZE - 1, len(header)) < (header[12] >> 4) * 4


def _udp(seen: Seen) -> str:
    header, ip = seen.told, seen.ip or b""
    text = _ports(seen)
    if len(header) < 6:
        return text
    claimed = _be16(header, 4)
    if claimed == 0 and (seen.is_ipv6 or seen.told_length > 0xFFFF):
        text += f" Len={max(seen.told_length - _UDP_SIZE, 0)} [Jumbogram]"
    elif claimed < _UDP_SIZE:
        return f"{text} [BAD UDP LENGTH {claimed} < 8]"
    else:
        # What the IP header leaves; a fragment cannot say.
        before = seen.told_at - seen.ip_at
        least = 40 if seen.is_ipv6 else 0
        packet = _be16(ip, 4) + 40 if seen.is_ipv6 else _be16(ip, 2)
        whole = seen.is_ipv6 or _be16(ip, 6) & 0x3FFF == 0
        if whole and packet > least and packet >= before and claimed > packet - before:
            text += f" [BAD UDP LENGTH {claimed} > IP PAYLOAD LENGTH]"
        text += f" Len={claimed - _UDP_SIZE}"
    unchecked = seen.is_ipv6 and len(header) >= _UDP_SIZE and _be16(header, 6) == 0
    return text + (" [ILLEGAL CHECKSUM (0)]" if unchecked else "")


def _icmp(seen: Seen) -> str:
    message = seen.told
    if len(message) < 4:
        return ""
    kind, code = message[0], message[1]
    if kind not in _ICMP:
        return "Unknown ICMP (obsolete or malformed?)"
    name, codes = _ICMP[kind]
    # These two codes are a mobile agent's as well (RFC 5944, section 2.1), by whose name they go.
    if kind == 9 and code in (0, 16):
        name = "Mobile IP Advertisement"
    text = name.ljust(_ICMP_NAME_WIDTH)
    if codes:
        known = code < len(codes) and codes[code]
        text += f" ({known or f'Unknown code: {code}'})"
    elif codes is not None and len(message) >= _ICMP_SIZE:
        swapped = int.from_bytes(message[6:8], "little")
        text += f" id=0x{_be16(message, 4):04x}, seq={_be16(message, 6)}/{swapped}, ttl={seen.ttl}"
    return text


def _neighbor_options(options: bytes) -> str:
    """The link-layer address options of neighbour discovery (RFC 4861, section 4.6.1)."""
    text = ""
    # Of more than some, as a made-up packet may hold, the first are enough.
    for _ in range(_MOST_NEIGHBOR_OPTIONS):
        size = options[1] * 8 if len(options) >= 8 else 0
        if not 0 < size <= len(options):
            break
        if options[0] in (1, 2):
            text += f"{' from ' if options[0] == 1 else ' is at '}{mac_text(options[2:8])}"
        options = options[size:]
    return text


def _code6(codes: tuple[str, ...], code: int) -> str:
    if code < len(codes):
        return f" ({codes[code]})"
    return " (Unknown)" if codes is _UNREACHABLE6 else f" (Unknown ({code}))"


def _icmpv6(seen: Seen) -> str:
    message = seen.told
    if not message:
        return ""
    kind = message[0]
    name = _ICMPV6.get(kind)
    if name is None:
        return f"Unknown ({kind})"
    if len(message) < 2:
        return name
    codes = {1: _UNREACHABLE6, 3: _EXCEEDED6, 4: _PARAMETER6}.get(kind)
    if codes is not None:
        return name + _code6(codes, message[1])
    if kind in (128, 129):
        if len(message) < _ICMP_SIZE:
            return name
        limit = f", hop limit={seen.ttl}" if seen.is_ipv6 else ""
        return f"{name} id=0x{_be16(message, 4):04x}, seq={_be16(message, 6)}{limit}"
    if kind == _SOLICITATION:
        return name + _neighbor_options(message[8:])
    if kind == _ADVERTISEMENT6:
        return name + _neighbor_options(message[16:])
    if kind == _REDIRECT6:
        return name + _neighbor_options(message[40:])
    if kind in (_NEIGHBOR_SOLICITATION, _NEIGHBOR_ADVERTISEMENT) and len(message) >= 24:
        target, options = ipv6_text(message[8:24]), _neighbor_options(message[24:])
        if kind == _NEIGHBOR_SOLICITATION:
            return f"{name} for {target}{options}"
        return f"{name} {target} ({_NEIGHBOR_FLAGS[message[4] >> 5]}){options}"
    return name


def _is_short_icmp(seen: Seen) -> bool:
    """Errors quote the packet that they are of: the header of that one at least is read."""
    if len(seen.told) < _ICMP_SIZE:
        return True
    quoted = len(seen.payload or b"")
    return seen.told[0] in _QUOTING and seen.payload_length > 0 and quoted < min(28, seen.payload_length)


def _is_short_icmpv6(seen: Seen) -> bool:
    if len(seen.told) < _ICMP_SIZE:
        return True
    kind, quoted = seen.told[0], len(seen.payload or b"")
    if 1 <= kind <= 4:
        return quoted < 48 and (seen.payload_length < 40 or quoted < seen.payload_length)
    if len(seen.told) < _LEAST_ICMPV6.get(kind, _ICMP_SIZE):
        return True
    return _SOLICITATION <= kind <= _REDIRECT6 and len(seen.told) < seen.told_length


def _fragment(seen: Seen) -> str:
    ip = seen.told
    if not seen.is_ipv6:
        offset, identification = (_be16(ip, 6) & 0x1FFF) * 8, _be16(ip, 4)
        name = ip_protocol_name(ip[9])
        return f"Fragmented IP protocol (proto={name} {ip[9]}, off={offset}, ID={identification:04x})"
    at = fragment_header_at(ip)
    field, identification = _be16(ip, at + 2), _be32(ip, at + 4)
    more = "y" if field & 1 else "n"
    return f"IPv6 fragment (off={field & 0xFFF8} more={more} ident=0x{identification:08x} nxt={ip[at]})"


def fragment_header_at(ip: bytes) -> int:
    """Where in an IPv6 packet that has one its first fragment header is."""
    protocol, at = ip[6], 40
    while protocol in EXTENSIONS and protocol != 44:
        size = extension_size(protocol, ip[at:])
        protocol = ip[at]
        at += size
    return at


def _bad_ipv4(seen: Seen) -> str:
    ip = seen.told
    size = (ip[0] & 15) * 4 if ip else 0
    if ip and ip[0] >> 4 != 4:
        version = ip[0] >> 4
        if seen.tells == TELLS_BAD_IP:
            return f"Bogus IP version ({version})"
        return f"Bogus IPv4 version ({version}, must be 4)"
    if ip and size < 20:
        return f"Bogus IP header length ({size}, must be at least 20)"
    if len(ip) >= 20 and 0 < _be16(ip, 2) < size:
        return f"Bogus IP length ({_be16(ip, 2)}, less than header length {size})"
    return shortage(seen)


def _bad_ipv6(seen: Seen) -> str:
    ip = seen.told
    if ip and ip[0] >> 4 != 6:
        return "IPv6" if seen.layers else f"Bogus IPv6 version ({ip[0] >> 4}, must be 6)"
    if 0 < seen.told_length == len(ip) < 40:
        return f"Invalid IPv6 header ({len(ip)} bytes, need exactly 40){shortage(seen)}"
    return shortage(seen)


def _tunnel(seen: Seen) -> str:
    header = seen.told
    if seen.protocol != "Geneve" or len(header) < 8 or len(header) < 8 + (header[0] & 0x3F) * 4:
        return shortage(seen)
    return f"Encapsulated 0x{_be16(header, 2):04x} (unknown)"
