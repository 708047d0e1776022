"""Numbers of headers in words, for the details of one record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

# https://www.iana.org/assignments/ieee-802-numbers
ETHERTYPES: Mapping[int, str] = {
    0x0800: "IPv4",
    0x0806: "ARP",
    0x6558: "Ethernet",
    0x8035: "RARP",
    0x8100: "802.1Q VLAN",
    0x86DD: "IPv6",
    0x8847: "MPLS",
    0x8863: "PPPoE discovery",
    0x8864: "PPPoE session",
    0x888E: "EAPOL",
    0x88A8: "802.1ad VLAN",
    0x88CC: "LLDP",
    0x88E5: "MACsec",
    0x9100: "VLAN (old QinQ)",
}

# https://www.iana.org/assignments/protocol-numbers
PROTOCOLS: Mapping[int, str] = {
    0: "hop-by-hop options",
    1: "ICMP",
    2: "IGMP",
    4: "IPv4",
    6: "TCP",
    17: "UDP",
    41: "IPv6",
    43: "routing",
    44: "fragment",
    47: "GRE",
    50: "ESP",
    51: "authentication",
    58: "ICMPv6",
    59: "nothing",
    60: "destination options",
    89: "OSPF",
    103: "PIM",
    112: "VRRP",
    132: "SCTP",
    135: "mobility",
    136: "UDP-Lite",
}

# linux/if_arp.h
HARDWARE: Mapping[int, str] = {
    1: "Ethernet",
    512: "PPP",
    768: "IPIP tunnel",
    769: "IPv6 tunnel",
    772: "loopback",
    776: "SIT tunnel",
    778: "GRE tunnel",
    823: "GRE over IPv6 tunnel",
    65534: "none",
}

# linux/if_packet.h
PACKET_TYPES: Sequence[str] = (
    "to this host",
    "broadcast",
    "multicast",
    "to another host",
    "sent by this host",
)

DSCP: Mapping[int, str] = {
    0: "default",
    **{8 * number: f"CS{number}" for number in range(1, 8)},
    **{8 * kind + 2 * drop: f"AF{kind}{drop}" for kind in range(1, 5) for drop in range(1, 4)},
    44: "voice admit",
    46: "EF",
}
ECN: Sequence[str] = ("not capable", "capable, ECT(1)", "capable, ECT(0)", "congestion experienced")

# RFC 9293, section 3.1; NS of RFC 3540 and AccECN is bit 8.
TCP_FLAGS: Sequence[tuple[int, str]] = (
    (0x01, "FIN"),
    (0x02, "SYN"),
    (0x04, "RST"),
    (0x08, "PSH"),
    (0x10, "ACK"),
    (0x20, "URG"),
    (0x40, "ECE"),
    (0x80, "CWR"),
    (0x100, "AE"),
)
TCP_OPTIONS: Mapping[int, str] = {19: "MD5 signature", 29: "authentication", 30: "Multipath TCP", 34: "Fast Open"}

# https://www.iana.org/assignments/ip-parameters
IPV4_OPTIONS: Mapping[int, str] = {
    0: "end of options",
    1: "no operation",
    7: "record route",
    68: "timestamp",
    130: "security",
    131: "loose source route",
    137: "strict source route",
    148: "router alert",
}
# https://www.iana.org/assignments/ipv6-parameters
IPV6_OPTIONS: Mapping[int, str] = {
    0: "Pad1",
    1: "PadN",
    5: "router alert",
    0xC2: "jumbo payload",
    0xC9: "home address",
}

ARP_OPERATIONS: Mapping[int, str] = {1: "request", 2: "reply", 3: "reverse request", 4: "reverse reply"}

# https://www.iana.org/assignments/icmp-parameters
ICMP_TYPES: Mapping[int, str] = {
    0: "echo reply",
    3: "destination unreachable",
    4: "source quench",
    5: "redirect",
    8: "echo request",
    9: "router advertisement",
    10: "router solicitation",
    11: "time exceeded",
    12: "parameter problem",
    13: "timestamp request",
    14: "timestamp reply",
}
ICMP_CODES: Mapping[int, Sequence[str]] = {
    3: (
        "network unreachable",
        "host unreachable",
        "protocol unreachable",
        "port unreachable",
        "fragmentation needed",
        "source route failed",
        "network unknown",
        "host unknown",
        "source host isolated",
        "network prohibited",
        "host prohibited",
        "network unreachable for this service",
        "host unreachable for this service",
        "prohibited by filter",
        "host precedence violation",
        "precedence cutoff",
    ),
    5: ("for the network", "for the host", "for the service and network", "for the service and host"),
    11: ("TTL exceeded on the way", "fragments not put together in time"),
    12: ("at the pointer", "an option is missing", "bad length"),
}
# https://www.iana.org/assignments/icmpv6-parameters
ICMPV6_TYPES: Mapping[int, str] = {
    1: "destination unreachable",
    2: "packet too big",
    3: "time exceeded",
    4: "parameter problem",
    128: "echo request",
    129: "echo reply",
    130: "multicast listener query",
    131: "multicast listener report",
    132: "multicast listener done",
    133: "router solicitation",
    134: "router advertisement",
    135: "neighbor solicitation",
    136: "neighbor advertisement",
    137: "redirect",
    143: "multicast listener report v2",
}
ICMPV6_CODES: Mapping[int, Sequence[str]] = {
    1: (
        "no route to destination",
        "prohibited by filter",
        "beyond the source's scope",
        "address unreachable",
        "port unreachable",
        "source address failed the policy",
        "route rejected",
    ),
    3: ("hop limit exceeded on the way", "fragments not put together in time"),
    4: ("erroneous header field", "unknown next header", "unknown option"),
}
# RFC 4861, section 4.6
NEIGHBOR_OPTIONS: Mapping[int, str] = {
    1: "source link-layer address",
    2: "target link-layer address",
    3: "prefix",
    4: "redirected header",
    5: "MTU",
    25: "DNS servers",
    31: "DNS search list",
}

# https://www.iana.org/assignments/nvo3 (Geneve option classes): of those, what is met on clusters.
GENEVE_CLASSES: Mapping[int, str] = {0x0102: "Open Virtual Networking", 0x0108: "Amazon", 0x014B: "Cilium"}


def named(number: int, names: Mapping[int, str], digits: int = 0) -> str:
    """`TCP (6)`, or the number alone; with `digits`, as hexadecimal of so many."""
    written = f"0x{number:0{digits}x}" if digits else str(number)
    return f"{names[number]} ({written})" if number in names else written


def numbered(number: int, names: Sequence[str]) -> str:
    """The same of numbers from 0 on."""
    return f"{names[number]} ({number})" if number < len(names) else str(number)


def flags_told(flags: int, names: Sequence[tuple[int, str]], digits: int) -> str:
    """`0x012 (SYN, ACK)`."""
    told = ", ".join(name for bit, name in names if flags & bit)
    return f"0x{flags:0{digits}x}" + (f" ({told})" if told else "")
