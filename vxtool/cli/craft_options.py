"""The options of `vxtool craft`, under their headings. What their values mean is said in `vxtool.craft`."""

from __future__ import annotations

from typing import Any

import click

from vxtool.cli.types import Number
from vxtool.craft.capture import FORMATS

_Option = dict[str, Any]


def _option(name: str, metavar: str | None, help: str, **more: Any) -> _Option:
    names = (f"--{name}", name.replace("-", "_") + ("_" if name == "from" else ""))
    return {"names": names, "metavar": metavar, "help": help, **more}


def _flag(name: str, help: str) -> _Option:
    return {"names": (f"--{name}", name.replace("-", "_")), "is_flag": True, "default": False, "help": help}


_INSIDE = [
    _option("from", "IP", "Source inside."),
    _option("to", "IP", "Destination inside."),
    _option("icmp", "KIND", "echo, reply, unreachable, time-exceeded, too-big[:MTU], or TYPE[:CODE]."),
    _option("tcp", "PORT:PORT", "A TCP segment; a SYN, unless --flags or --ack say otherwise."),
    _option("udp", "PORT:PORT", "A UDP datagram."),
    _option(
        "inner",
        "LAYERS",
        'Anything else, as scapy writes it (extra craft): \'IP(src="10.0.0.1", dst="10.0.0.2")/TCP(dport=80)\'. '
        "Layers, keyword arguments and literals only.",
    ),
    _option("flags", "LETTERS", "TCP flags of FSRPAUEC, as in SA."),
    _option("seq", "N", "TCP sequence number."),
    _option("ack", "N", "TCP acknowledgement number."),
    _option("window", "N", "TCP window.  [default: 65535]"),
    _option("mss", "N", "TCP option: maximum segment size."),
    _option("window-scale", "N", "TCP option: window scale."),
    _option("timestamps", "N:N", "TCP option: timestamps, value and echo."),
    _flag("sack", "TCP option: selective acknowledgements permitted."),
    _option("icmp-id", "N", "Identifier of an echo."),
    _option("icmp-seq", "N", "Sequence number of the first echo.  [default: 1]"),
    _option("size", "BYTES", "Length of the inner IP packet, by more or less payload."),
    _option("payload", "TEXT", "Text, hex:DIGITS or @FILE.  [default: 56 bytes in an echo, else none]"),
    _option("inner-ttl", "N", "TTL or hop limit inside.  [default: 64]"),
    _option("inner-tos", "N", "DSCP and ECN inside."),
    _flag("inner-df", "Don't fragment, inside."),
    _option("inner-id", "N", "IPv4 identification inside, of the first packet.  [default: 1]"),
    _option("inner-vlan", "ID", "802.1Q tag inside. Repeatable.", multiple=True),
    _option("inner-mac", "MAC,MAC", "Source and destination of the inner frame."),
]
_TUNNEL = [
    _option("outer", "IP[:PORT],IP", "The nodes. Without a port, one that follows from the inner flow."),
    _option("vni", "N", "Network identifier; for Cilium the identity of the source."),
    _option("tunnel", "PROTOCOL", "vxlan or geneve.  [default: vxlan]"),
    _option("tunnel-port", "PORT", "UDP destination port.  [default: 8472; geneve: 6081]"),
    _option("vxlan-flags", "N", "VXLAN flags.  [default: 0x08]"),
    _option("group-policy", "ID", "VXLAN group policy id."),
    _option("reserved", "N", "VXLAN's 24 reserved bits."),
    _option("geneve-option", "HEX", "A Geneve option with its header. Repeatable.", multiple=True),
    _option("geneve-dsr", "IP:PORT", "Cilium's Geneve option with the service's address, for DSR."),
    _option("ttl", "N", "TTL or hop limit outside.  [default: 64]"),
    _option("tos", "N", "DSCP and ECN outside."),
    _flag("df", "Don't fragment, outside."),
    _option("id", "N", "IPv4 identification outside, of the first packet.  [default: 1]"),
    _flag("outer-checksum", "Compute the outer UDP checksum over IPv4 too; it is 0 otherwise."),
    _option("fragment", "MTU", "The sender fragments at this MTU."),
    _option("mac", "MAC,MAC", "Source and destination outside."),
    _option("vlan", "ID", "802.1Q tag outside, where the link header is shown. Repeatable.", multiple=True),
]
_WRONG = [
    _option(
        "wrong",
        "WHAT[=N]",
        "ip-checksum, checksum, ip-length, udp-length; outer-ip-checksum, outer-checksum, outer-ip-length, "
        "outer-udp-length. Repeatable.",
        multiple=True,
    ),
    _option("truncate", "BYTES", "Send only so many bytes of the IP packet."),
]
_MANY = [
    _option("count", "N", "How many packets.  [default: 1]"),
    _option("rate", "N", "Packets a second: 500, 10k, 1M.  [default: 1000; with --send: 10]"),
    _option("start", "TIME", "When the first one is sent.  [default: 2025-01-01T00:00:00Z]"),
    _option(
        "vary",
        "FIELD[=STEP[xN]]",
        "Let a field go up with each packet, and begin again after N: source-port, vni, outer-from, outer-to, id, "
        "from, to, inner-id, from-port, to-port, seq, ack, icmp-id, icmp-seq, size. Identifications and echo "
        "sequence numbers always do. Repeatable.",
        multiple=True,
    ),
]
_ROUTER = [
    _option("through", "IN,OUT", "Cross a router by these interfaces: both sightings are written, and the truth."),
    _option("latency", "TIME", "From In to Out.  [default: 16us]"),
    _option("drop", "SHARE", "So many do not go out, as in 3%."),
    _option("misroute", "NAME[=SHARE]", "So many leave by this interface instead.  [default: all]"),
    _option("mtu", "BYTES", "The egress's MTU: larger ones leave in fragments; those with DF are refused by ICMP."),
    _flag("silent", "Refused without ICMP, and never fragmented: a black hole."),
    _option("segment", "BYTES", "Super-frames leave in TCP segments of so much data."),
    _option("seed", "N", "Of what is dropped or misrouted: equal seeds, equal files.", default=0, type=int),
]
_SCENARIO = [
    _option("scenario", "NAME|FILE", "A scenario of those in --list, or of a TOML file of your own."),
    {"names": ("--list", "list_"), "is_flag": True, "help": "List the scenarios there are."},
    _option("repeat", "N", "Every exchange of the scenario so many times, each with ports of its own."),
]
_SEND = [
    _flag("send", "Send the packets: by UDP sockets, no root needed, the kernel makes the outer headers."),
    _option("interface", "NAME", "Send whole frames out of this interface instead (root, extra craft)."),
    _option(
        "listen",
        "SECONDS",
        "Show the replies, decoded, until so long after the last packet.",
        type=Number(0, 3600, min_open=True),
    ),
    _flag("anywhere", "Send to addresses that are neither private nor loopback too."),
]
_FILE = [
    {
        "names": ("-o", "--output", "output"),
        "metavar": "FILE",
        "help": "The capture; - for standard output.",
    },
    _option(
        "format",
        None,
        "ethernet: on a router one file for each interface; sll2, sll: as tcpdump -i any; pcapng: with interface "
        "names.  [default: ethernet; through a router sll2; by FILE's name .pcapng pcapng]",
        type=click.Choice(FORMATS),
    ),
    _option("unit", None, "Times in ns or µs.  [default: ns]", type=click.Choice(["ns", "us"])),
    _option("snaplen", "BYTES", "Keep only so many bytes of each packet.", type=click.IntRange(1, 262_144)),
    _option("beside", "FOLDER", "Where truth, links, routes and cluster files go.  [default: beside FILE]"),
]

SECTIONS: list[tuple[str, list[_Option]]] = [
    ("Inside", _INSIDE),
    ("Tunnel and link", _TUNNEL),
    ("Wrong on purpose", _WRONG),
    ("How many", _MANY),
    ("Router", _ROUTER),
    ("Scenarios", _SCENARIO),
    ("Sending", _SEND),
    ("Output", _FILE),
]
PACKET_OPTIONS = frozenset(
    option["names"][-1] for section in (_INSIDE, _TUNNEL, _WRONG, _MANY) for option in section
)
ROUTER_OPTIONS = frozenset(("through", "latency", "drop", "misroute", "mtu", "silent", "segment"))
