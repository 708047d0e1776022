"""The names that a display filter may use: one table, for the parser, for `vxtool fields filter` and for the docs.

Names are Wireshark's where it has them. All but those of `outer.` speak of the innermost packet, as columns do.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from vxtool.listing.filter import (
    ALL_BITS,
    IPV4_END,
    IPV6_END,
    MAC_END,
    MOST,
    NAMESPACE_OF_TEXT,
    Field,
    Has,
)

Kind = Literal[
    "number",
    "flag",
    "seconds",
    "duration",
    "epoch",
    "time",
    "address",
    "text",
    "pod",
    "outcome",
    "identity",
    "input",
    "condition",
]

_IPV4, _IPV6, _MAC = 1 << IPV4_END, 1 << IPV6_END, 1 << MAC_END
_BYTE, _SHORT, _LONG = 0xFF, 0xFFFF, 0xFFFFFFFF
_TCP, _UDP, _ICMP, _ICMPV6 = 6, 17, 1, 58


# The language in short, as a reader of the list of fields needs it: paragraphs.
LANGUAGE = (
    "A filter is conditions with && (and), || (or), ! (not) and parentheses, where && binds tighter than ||, as in "
    "vni == 36705 && (tcp.port == 80 || icmp). It is the language of Wireshark 4 as far as it goes.",
    "A field is compared by ==, !=, <, <=, > and >= (eq, ne, lt, le, gt, ge), looked for in a set by "
    "in {80, 443, 8000..8080}, and text also by contains. Numbers are decimal, or hexadecimal behind 0x; single "
    "bits are chosen by &, as in tcp.flags & 0x12 == 0x12. Behind == and != a * stands for any text. Text with "
    "spaces or signs stands in quotes.",
    "All but the fields of outer speak of the innermost packet, as columns do. Where a field has several values, "
    "== holds if any is such, != if all differ. On what a record does not have no comparison holds, neither does "
    "!=: but !(tcp.port == 80) also takes what is not TCP. A field alone holds where the record has it, so "
    "tcp.flags.syn holds for all of TCP; tcp.flags.syn == 1 asks for the flag.",
)


class FilterField(NamedTuple):
    name: str
    aliases: tuple[str, ...]
    kind: Kind
    meaning: str
    example: str
    # What the program asks for: filter.h tells of each.
    field: Field
    choice: int = 0
    mask: int = ALL_BITS
    shift: int = 0  # of a number: its bits begin there
    most: int = MOST  # the largest that a number can be
    texts: tuple[str, ...] = ()  # of a condition on text: the field is like one of these


_KINDS: dict[Kind, str] = {
    "number": "number",
    "flag": "1 or 0",
    "seconds": "seconds, or a time with its unit",
    "duration": "time with its unit",
    "epoch": "seconds",
    "time": "date and time",
    "text": "text",
    "pod": "text",
    "outcome": "outcome",
    "identity": "number or name",
    "input": "number or name",
    "condition": "condition",
}
_ADDRESSES = {
    _IPV4: "IPv4 address or network",
    _IPV6: "IPv6 address or network",
    _IPV4 | _IPV6: "address or network",
    _MAC: "MAC address",
}


def kind_named(field: FilterField) -> str:
    """The kind of a field's values, in words."""
    return _ADDRESSES[field.choice] if field.kind == "address" else _KINDS[field.kind]


def _ends(prefix: str, kinds: int, what: str, example: str, outer: bool = False) -> list[FilterField]:
    """The fields for either end, the source and the destination."""
    rows = (
        ("addr", f"{what} of either end.", Field.OUTER_ENDS if outer else Field.ENDS, ()),
        ("src", f"{what} of the source.", Field.OUTER_SOURCE if outer else Field.SOURCE, ("source",)),
        (
            "dst",
            f"{what} of the destination.",
            Field.OUTER_DESTINATION if outer else Field.DESTINATION,
            ("destination",),
        ),
    )
    columns = {"": "", "outer.": "outer_"}
    return [
        FilterField(
            prefix + name,
            tuple(columns[prefix] + alias for alias in aliases) if prefix in columns else (),
            "address",
            meaning,
            f"{prefix}{name} == {example}",
            field,
            kinds,
        )
        for name, meaning, field, aliases in rows
    ]


def _ports(prefix: str, transport: int, what: str, example: int) -> list[FilterField]:
    aliases = {"srcport": ("source_port",), "dstport": ("destination_port",)} if not prefix else {}
    rows = (
        ("port", f"{what} of either end.", Field.PORT),
        ("srcport", f"{what} of the source.", Field.SOURCE_PORT),
        ("dstport", f"{what} of the destination.", Field.DESTINATION_PORT),
    )
    return [
        FilterField(
            prefix + name,
            aliases.get(name, ()),
            "number",
            meaning,
            f"{prefix}{name} == {example}",
            field,
            transport,
            most=_SHORT,
        )
        for name, meaning, field in rows
    ]


def _flag(name: str, bit: int, meaning: str) -> FilterField:
    return FilterField(
        f"tcp.flags.{name}", (), "flag", meaning, f"tcp.flags.{name} == 1", Field.TCP_FLAGS, mask=bit
    )


def _note(name: str, bits: int, meaning: str) -> FilterField:
    full = f"tcp.analysis.{name}"
    return FilterField(full, (), "condition", meaning, full, Field.TCP_NOTES, mask=bits)


def _protocol(name: str, has: int, meaning: str) -> FilterField:
    return FilterField(name, (), "condition", meaning, name, Field.PROTOCOLS, mask=has)


def _application(name: str, *texts: str) -> FilterField:
    meaning = f"The protocol column says {' or '.join(texts)}."
    return FilterField(name, (), "condition", meaning, name, Field.PROTOCOL, texts=texts)


FILTER_FIELDS: tuple[FilterField, ...] = (
    # The record.
    FilterField(
        "frame.number",
        ("number", "record"),
        "number",
        "The record's number in its input, from 1 on.",
        "frame.number in {12, 40..60}",
        Field.RECORD,
    ),
    FilterField(
        "input",
        (),
        "input",
        "The input, numbered from 1 on in the order given, or by its path or file name.",
        'input == "eth1.pcap"',
        Field.INPUT,
    ),
    FilterField("frame.len", ("length",), "number", "Bytes on the wire.", "frame.len > 1500", Field.LENGTH),
    FilterField("frame.cap_len", (), "number", "Bytes that were captured.", "frame.cap_len < 96", Field.CAPTURED),
    FilterField(
        "frame.time",
        ("time",),
        "time",
        "When it was captured, as RFC 3339 writes it; UTC where no zone is given.",
        "time >= 2025-08-09T17:27:50.5Z",
        Field.TIME,
    ),
    FilterField(
        "frame.time_epoch",
        (),
        "epoch",
        "When it was captured, in seconds since 1970.",
        "frame.time_epoch < 1754760470.28",
        Field.TIME,
    ),
    FilterField(
        "frame.time_relative",
        (),
        "seconds",
        "How long after the first record it was captured.",
        "frame.time_relative > 1.5",
        Field.RELATIVE,
    ),
    # Its way.
    FilterField(
        "interface",
        ("interfaces",),
        "text",
        "The interface by which it came in, or that by which it left.",
        "interface == eth1",
        Field.INTERFACE,
    ),
    FilterField("ingress", (), "text", "The interface by which it came in.", "ingress == eth1", Field.INGRESS),
    FilterField("egress", (), "text", "The interface by which it left.", 'egress == "eth*"', Field.EGRESS),
    FilterField(
        "outcome",
        (),
        "outcome",
        "What became of the datagram: forwarded, delivered, dropped, originated, missed or unresolved.",
        "outcome == dropped",
        Field.OUTCOME,
    ),
    FilterField(
        "latency",
        (),
        "duration",
        "From the ingress to the egress.",
        "latency > 1ms",
        Field.LATENCY,
    ),
    # The tunnel.
    FilterField(
        "vni",
        (),
        "number",
        "The network identifier of the innermost tunnel.",
        "vni == 36705",
        Field.VNI,
        most=0xFFFFFF,
    ),
    FilterField(
        "vxlan.vni",
        (),
        "number",
        "The same, where the outermost tunnel is VXLAN.",
        "vxlan.vni == 36705",
        Field.VXLAN_VNI,
        most=0xFFFFFF,
    ),
    FilterField(
        "geneve.vni",
        (),
        "number",
        "The same, where the outermost tunnel is Geneve.",
        "geneve.vni == 36705",
        Field.GENEVE_VNI,
        most=0xFFFFFF,
    ),
    *_ends("outer.", _IPV4 | _IPV6, "The tunnel endpoint's (VTEP's) address", "192.168.10.100", outer=True),
    FilterField(
        "outer.port",
        (),
        "number",
        "The tunnel's UDP port of either end.",
        "outer.port == 4789",
        Field.OUTER_PORT,
        most=_SHORT,
    ),
    FilterField(
        "outer.srcport",
        ("outer_source_port",),
        "number",
        "The tunnel's UDP port of the source.",
        "outer.srcport == 50000",
        Field.OUTER_SOURCE_PORT,
        most=_SHORT,
    ),
    FilterField(
        "outer.dstport",
        ("outer_destination_port",),
        "number",
        "The tunnel's UDP port of the destination.",
        "outer.dstport == 8472",
        Field.OUTER_DESTINATION_PORT,
        most=_SHORT,
    ),
    # Who.
    FilterField(
        "identity",
        (),
        "identity",
        "The security identity of either end; a name stands for all numbers that have it.",
        'identity == "default/curl-pod"',
        Field.IDENTITY,
        most=0xFFFFFF,
    ),
    FilterField(
        "source.identity",
        (),
        "identity",
        "The security identity of the source.",
        "source.identity == 36705",
        Field.SOURCE_IDENTITY,
        most=0xFFFFFF,
    ),
    FilterField(
        "destination.identity",
        (),
        "identity",
        "The security identity of the destination.",
        'destination.identity == "webpod"',
        Field.DESTINATION_IDENTITY,
        most=0xFFFFFF,
    ),
    FilterField(
        "pod",
        (),
        "pod",
        "The pod of either end: namespace/name, or its name alone.",
        "pod == default/curl-pod",
        Field.POD,
    ),
    FilterField("source.pod", (), "pod", "The source's pod.", 'source.pod == "curl-*"', Field.SOURCE_POD),
    FilterField(
        "destination.pod", (), "pod", "The destination's pod.", "destination.pod == webpod", Field.DESTINATION_POD
    ),
    FilterField(
        "namespace",
        (),
        "text",
        "The namespace of either end's pod.",
        "namespace == default",
        Field.POD,
        NAMESPACE_OF_TEXT,
    ),
    FilterField(
        "source.namespace",
        (),
        "text",
        "The namespace of the source's pod.",
        "source.namespace == default",
        Field.SOURCE_POD,
        NAMESPACE_OF_TEXT,
    ),
    FilterField(
        "destination.namespace",
        (),
        "text",
        "The namespace of the destination's pod.",
        "destination.namespace != kube-system",
        Field.DESTINATION_POD,
        NAMESPACE_OF_TEXT,
    ),
    FilterField("node", (), "text", "The node of either end.", "node == worker-1", Field.NODE),
    FilterField("source.node", (), "text", "The source's node.", "source.node == worker-1", Field.SOURCE_NODE),
    FilterField(
        "destination.node",
        (),
        "text",
        "The destination's node.",
        'destination.node == "worker-*"',
        Field.DESTINATION_NODE,
    ),
    *_ends("", _IPV4 | _IPV6, "The IP address", "172.20.0.0/16"),
    *_ends("ip.", _IPV4, "The IPv4 address", "172.20.0.0/16"),
    *_ends("ipv6.", _IPV6, "The IPv6 address", "fd00:20::/64"),
    *_ends(
        "eth.", _MAC, "The MAC address, where columns show it (ARP, and frames without IP),", "02:00:00:00:01:01"
    ),
    # IP.
    FilterField(
        "ttl", (), "number", "IPv4's time to live, or IPv6's hop limit.", "ttl <= 1", Field.TTL, most=_BYTE
    ),
    FilterField("ip.ttl", (), "number", "IPv4's time to live.", "ip.ttl == 63", Field.TTL, 4, most=_BYTE),
    FilterField("ipv6.hlim", (), "number", "IPv6's hop limit.", "ipv6.hlim == 63", Field.TTL, 6, most=_BYTE),
    FilterField(
        "ip.proto",
        (),
        "number",
        "The protocol that IPv4 carries.",
        "ip.proto == 132",
        Field.TRANSPORT,
        4,
        most=_BYTE,
    ),
    FilterField(
        "ip.len", (), "number", "IPv4's total length in bytes.", "ip.len > 1400", Field.IP_LENGTH, 4, most=_SHORT
    ),
    FilterField(
        "ipv6.plen",
        (),
        "number",
        "IPv6's payload length in bytes.",
        "ipv6.plen > 1360",
        Field.IP_LENGTH,
        6,
        most=_SHORT,
    ),
    FilterField("ip.id", (), "number", "IPv4's identification.", "ip.id == 0x1c2a", Field.IP_ID, 4, most=_SHORT),
    FilterField(
        "ip.flags.df", (), "flag", "IPv4's flag not to fragment.", "ip.flags.df == 0", Field.IP_FRAGMENT, 4, 0x20000
    ),
    FilterField(
        "ip.flags.mf",
        (),
        "flag",
        "IPv4's flag that more fragments follow.",
        "ip.flags.mf == 1",
        Field.IP_FRAGMENT,
        4,
        0x10000,
    ),
    FilterField(
        "ip.frag_offset",
        (),
        "number",
        "Where an IPv4 fragment begins, in bytes.",
        "ip.frag_offset > 0",
        Field.IP_FRAGMENT,
        4,
        0xFFFF,
        most=_SHORT,
    ),
    FilterField(
        "ip.dsfield",
        (),
        "number",
        "IPv4's DSCP and ECN, 8 bits.",
        "ip.dsfield == 0xb8",
        Field.IP_TRAFFIC,
        4,
        most=_BYTE,
    ),
    FilterField(
        "ip.dsfield.dscp",
        (),
        "number",
        "IPv4's DSCP.",
        "ip.dsfield.dscp == 46",
        Field.IP_TRAFFIC,
        4,
        0xFC,
        2,
        most=63,
    ),
    FilterField(
        "ip.dsfield.ecn", (), "number", "IPv4's ECN.", "ip.dsfield.ecn == 3", Field.IP_TRAFFIC, 4, 0x03, most=3
    ),
    FilterField(
        "ipv6.tclass",
        (),
        "number",
        "IPv6's traffic class, 8 bits.",
        "ipv6.tclass == 0xb8",
        Field.IP_TRAFFIC,
        6,
        most=_BYTE,
    ),
    # Transports.
    *_ports("", 0, "The TCP or UDP port", 53),
    *_ports("tcp.", _TCP, "The TCP port", 80),
    *_ports("udp.", _UDP, "The UDP port", 53),
    FilterField(
        "udp.length",
        (),
        "number",
        "UDP's length, its header included, in bytes.",
        "udp.length > 1400",
        Field.UDP_LENGTH,
        most=_SHORT,
    ),
    FilterField("tcp.len", (), "number", "Bytes of payload in a TCP segment.", "tcp.len > 0", Field.TCP_PAYLOAD),
    FilterField(
        "tcp.stream",
        ("stream",),
        "number",
        "The TCP connection, numbered from 0 on.",
        "tcp.stream == 0",
        Field.TCP_STREAM,
    ),
    FilterField(
        "tcp.seq",
        (),
        "number",
        "TCP's sequence number, from the connection's first on.",
        "tcp.seq == 1",
        Field.TCP_SEQUENCE,
        most=_LONG,
    ),
    FilterField(
        "tcp.ack",
        (),
        "number",
        "TCP's acknowledgement number, likewise.",
        "tcp.ack > 1000",
        Field.TCP_ACKNOWLEDGEMENT,
        most=_LONG,
    ),
    FilterField(
        "tcp.seq_raw",
        (),
        "number",
        "TCP's sequence number as it was sent.",
        "tcp.seq_raw == 305419896",
        Field.TCP_RAW_SEQUENCE,
        most=_LONG,
    ),
    FilterField(
        "tcp.ack_raw",
        (),
        "number",
        "TCP's acknowledgement number as it was sent.",
        "tcp.ack_raw == 305419896",
        Field.TCP_RAW_ACKNOWLEDGEMENT,
        most=_LONG,
    ),
    FilterField(
        "tcp.window_size",
        (),
        "number",
        "TCP's window in bytes, scaled where the connection's SYNs say how.",
        "tcp.window_size < 1000",
        Field.TCP_WINDOW,
    ),
    FilterField(
        "tcp.window_size_value",
        (),
        "number",
        "TCP's window as it was sent.",
        "tcp.window_size_value == 0",
        Field.TCP_WINDOW_VALUE,
        most=_SHORT,
    ),
    FilterField(
        "tcp.flags", (), "number", "TCP's flags, 12 bits.", "tcp.flags == 0x012", Field.TCP_FLAGS, most=0xFFF
    ),
    _flag("fin", 0x01, "TCP's FIN."),
    _flag("syn", 0x02, "TCP's SYN."),
    _flag("reset", 0x04, "TCP's RST."),
    _flag("push", 0x08, "TCP's PSH."),
    _flag("ack", 0x10, "TCP's ACK."),
    _flag("urg", 0x20, "TCP's URG."),
    _flag("ece", 0x40, "TCP's ECE."),
    _flag("cwr", 0x80, "TCP's CWR."),
    # The bits are those of streams.h.
    _note("flags", (1 << 15) - 1, "There is any note on the segment."),
    _note("retransmission", 1 | 2 | 4, "It was sent before; fast and spurious ones are among these."),
    _note("fast_retransmission", 2, "It was sent again because of duplicate ACKs."),
    _note("spurious_retransmission", 4, "It was sent again though it had been acknowledged."),
    _note("out_of_order", 8, "A later one came first."),
    _note("lost_segment", 16, "The one before it was not captured."),
    _note("ack_lost_segment", 32, "It acknowledges what was not captured."),
    _note("duplicate_ack", 64, "It acknowledges the same again."),
    _note("zero_window", 128, "Its sender takes no more bytes for now."),
    _note("zero_window_probe", 256, "It asks whether the window is still zero."),
    _note("zero_window_probe_ack", 512, "It answers such a probe."),
    _note("window_update", 1024, "It tells nothing but a new window."),
    _note("window_full", 2048, "It fills the receiver's window."),
    _note("keep_alive", 4096, "It asks whether the other side is still there."),
    _note("keep_alive_ack", 8192, "It answers a keep-alive."),
    _note("reused_ports", 16384, "A new connection between the ports of an earlier one."),
    FilterField(
        "tcp.analysis.duplicate_ack_num",
        (),
        "number",
        "Of a duplicate ACK: how many there were so far.",
        "tcp.analysis.duplicate_ack_num >= 3",
        Field.TCP_DUPLICATE_NUMBER,
    ),
    FilterField(
        "tcp.analysis.duplicate_ack_frame",
        (),
        "number",
        "Of a duplicate ACK: the record that it repeats.",
        "tcp.analysis.duplicate_ack_frame == 12",
        Field.TCP_DUPLICATE_OF,
    ),
    FilterField(
        "icmp.type", (), "number", "ICMP's type.", "icmp.type in {0, 8}", Field.ICMP_TYPE, _ICMP, most=_BYTE
    ),
    FilterField(
        "icmp.code",
        (),
        "number",
        "ICMP's code.",
        "icmp.type == 3 && icmp.code == 4",
        Field.ICMP_CODE,
        _ICMP,
        most=_BYTE,
    ),
    FilterField(
        "icmpv6.type", (), "number", "ICMPv6's type.", "icmpv6.type == 2", Field.ICMP_TYPE, _ICMPV6, most=_BYTE
    ),
    FilterField(
        "icmpv6.code", (), "number", "ICMPv6's code.", "icmpv6.code == 0", Field.ICMP_CODE, _ICMPV6, most=_BYTE
    ),
    FilterField(
        "arp.opcode",
        (),
        "number",
        "ARP's operation: 1 asks, 2 answers.",
        "arp.opcode == 1",
        Field.ARP_OPERATION,
        most=_SHORT,
    ),
    # Protocols.
    FilterField(
        "protocol",
        (),
        "text",
        "The protocol as the column shows it, in capitals or not.",
        "protocol == TLSv1.3",
        Field.PROTOCOL,
    ),
    _protocol("ip", Has.IPV4, "It is IPv4."),
    _protocol("ipv6", Has.IPV6, "It is IPv6."),
    _protocol("tcp", Has.TCP, "It has a TCP header."),
    _protocol("udp", Has.UDP, "It has a UDP header."),
    _protocol("icmp", Has.ICMP, "It has an ICMP header."),
    _protocol("icmpv6", Has.ICMPV6, "It has an ICMPv6 header."),
    _protocol("arp", Has.ARP, "It is ARP."),
    _protocol("tunnel", Has.VXLAN | Has.GENEVE, "It is in a tunnel."),
    _protocol("vxlan", Has.VXLAN, "It is in a VXLAN tunnel."),
    _protocol("geneve", Has.GENEVE, "It is in a Geneve tunnel."),
    _application("dns", "DNS"),
    _application("mdns", "MDNS"),
    _application("http", "HTTP*"),
    _application("tls", "TLS*", "SSL*"),
    _application("dhcp", "DHCP"),
    _application("dhcpv6", "DHCPv6"),
    _application("ntp", "NTP"),
)

BY_NAME: dict[str, FilterField] = {name: field for field in FILTER_FIELDS for name in (field.name, *field.aliases)}
