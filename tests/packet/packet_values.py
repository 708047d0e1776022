"""Strategies that draw layers, packets and damaged packets. Values are such that emit has nothing to fill in."""

from __future__ import annotations

from ipaddress import IPv6Address

from hypothesis import strategies as st

from vxtool.packet import (
    ARP,
    ICMP,
    MSS,
    SLL,
    SLL2,
    TCP,
    UDP,
    VXLAN,
    EndOfOptions,
    Ethernet,
    Geneve,
    ICMPv6,
    IPv4,
    IPv6,
    IPv6Extension,
    IPv6Fragment,
    Loopback,
    Nop,
    Sack,
    SackPermitted,
    Timestamps,
    UnknownOption,
    Vlan,
    WindowScale,
    encode,
)
from vxtool.packet.wire import ipv6_text


def bits(count: int) -> st.SearchStrategy[int]:
    return st.integers(0, (1 << count) - 1)


def made(kind: type, *arguments: object, **named: object) -> st.SearchStrategy[object]:
    """Values of `kind` from the strategies given; what is left out keeps its default."""
    return st.builds(lambda *drawn, **drawn_named: kind(*drawn, **drawn_named), *arguments, **named)


macs = st.binary(min_size=6, max_size=6).map(lambda data: ":".join(f"{byte:02x}" for byte in data))
ipv4s = st.binary(min_size=4, max_size=4).map(lambda data: ".".join(str(byte) for byte in data))
ipv6s = st.one_of(
    st.binary(min_size=16, max_size=16).map(ipv6_text),
    st.sampled_from(["::", "::1", "fe80::1", "2001:db8::1:0:0:1", "fd00:10::2"]),
).map(lambda text: ipv6_text(IPv6Address(text).packed))
payloads = st.binary(max_size=40)

ethernets = made(Ethernet, macs, macs, bits(16))
vlans = made(Vlan, bits(12), bits(3), bits(1), bits(16))
slls = made(SLL, bits(16), bits(16), bits(16), st.binary(min_size=8, max_size=8), bits(16))
sll2s = made(SLL2, bits(32), bits(8), bits(16), bits(8), st.binary(min_size=8, max_size=8), bits(16), bits(16))
loopbacks = made(Loopback, st.integers(1, 0xFFFF), st.sampled_from(["little", "big"]))
option_bytes = st.integers(0, 10).flatmap(lambda words: st.binary(min_size=4 * words, max_size=4 * words))
ipv4_headers = made(
    IPv4,
    ipv4s,
    ipv4s,
    protocol=bits(8),
    ttl=bits(8),
    tos=bits(8),
    identification=bits(16),
    flags=bits(3),
    fragment_offset=bits(13).map(lambda units: units * 8),
    total_length=bits(16),
    checksum=bits(16),
    options=option_bytes,
)
extensions = made(
    IPv6Extension,
    st.sampled_from([0, 43, 60, 135]),
    st.integers(0, 3).flatmap(lambda n: st.binary(min_size=6 + 8 * n, max_size=6 + 8 * n)),
) | made(
    IPv6Extension,
    st.just(51),
    st.integers(0, 4).flatmap(lambda n: st.binary(min_size=6 + 4 * n, max_size=6 + 4 * n)),
)
fragments = made(IPv6Fragment, bits(13).map(lambda units: units * 8), bits(32), bits(3), bits(8))
# A fragment with an offset ends the chain, so it comes last; the protocol behind must be no extension.
extension_chains = st.tuples(st.lists(extensions, max_size=3), st.lists(fragments, max_size=1)).map(
    lambda parts: tuple(parts[0] + parts[1])
)
ipv6_headers = made(
    IPv6,
    ipv6s,
    ipv6s,
    protocol=st.sampled_from([6, 17, 50, 58, 59, 132, 253]),
    hop_limit=bits(8),
    traffic_class=bits(8),
    flow_label=bits(20),
    payload_length=bits(16),
    extensions=extension_chains,
)
udps = made(UDP, bits(16), bits(16), bits(16), bits(16))
tcp_options = st.one_of(
    st.just(Nop()),
    made(MSS, bits(16)),
    made(WindowScale, bits(8)),
    st.just(SackPermitted()),
    made(Sack, st.lists(st.tuples(bits(32), bits(32)), max_size=3).map(tuple)),
    made(Timestamps, bits(32), bits(32)),
    made(UnknownOption, st.binary(max_size=12), st.sampled_from([6, 7, 19, 28, 30, 34, 254])),
    made(UnknownOption, st.binary(min_size=3, max_size=3), st.sampled_from([2, 3, 4, 5, 8])),
)


@st.composite
def option_lists(draw: st.DrawFn) -> tuple[object, ...]:
    """TCP options that fill whole words: with an end of options and its padding where they would not."""
    options = draw(st.lists(tcp_options, max_size=5))
    while (size := sum(len(option.emit()) for option in options)) > 40:
        options.pop()
    if size % 4:
        options.append(EndOfOptions(bytes(-size % 4 - 1)))
    return tuple(options)


tcps = made(TCP, bits(16), bits(16), bits(32), bits(32), bits(12), bits(16), bits(16), bits(16), option_lists())
icmps = made(ICMP, bits(8), bits(8), bits(32), bits(16))
icmpv6s = made(ICMPv6, bits(8), bits(8), bits(32), bits(16))
arps = made(ARP, bits(16), macs, ipv4s, macs, ipv4s, bits(16), bits(16))
vxlans = made(VXLAN, bits(24), bits(8), bits(24), bits(8))
geneves = made(Geneve, bits(24), bits(16), bits(8), bits(8), option_bytes)
any_layer = st.one_of(
    ethernets, vlans, slls, sll2s, loopbacks, ipv4_headers, ipv6_headers, udps, tcps, icmps, icmpv6s, arps, vxlans,
    geneves,
)  # fmt: skip


@st.composite
def ip_stacks(draw: st.DrawFn, depth: int) -> list[object]:
    """An IP header and what it carries, tunnels up to `depth` deep; what can be computed is None."""
    ip: object
    if draw(st.booleans()):
        options = draw(st.sampled_from([b"", b"", b"\x94\x04\0\0"]))
        flags = draw(st.sampled_from([0, 0, 0, 1, 2]))
        ip = draw(made(IPv4, ipv4s, ipv4s, ttl=bits(8), identification=bits(16)))
        ip = ip._replace(options=options, flags=flags)
        control = draw(icmps)._replace(checksum=None)
    else:
        ip = draw(made(IPv6, ipv6s, ipv6s, flow_label=bits(20)))
        if draw(st.booleans()):
            ip = ip._replace(extensions=draw(st.lists(extensions, max_size=2).map(tuple)))
        if draw(st.booleans()):
            ip = ip._replace(extensions=(*ip.extensions, IPv6Fragment(0, 7, draw(bits(1)))))
        control = draw(icmpv6s)._replace(checksum=None)
    shape = draw(st.sampled_from(["udp", "tcp", "icmp", "tunnel", "tunnel", "fragment"]))
    if shape == "fragment":
        if isinstance(ip, IPv4):
            return [ip._replace(protocol=17, fragment_offset=1480)]
        return [ip._replace(protocol=17, extensions=(IPv6Fragment(1448, 9),))]
    if shape == "tcp":
        return [ip, draw(tcps)._replace(checksum=None)]
    if shape == "icmp":
        return [ip, control]
    if shape == "udp" or depth == 0:
        return [ip, UDP(draw(bits(16)), draw(st.sampled_from([53, 443])))]
    port = draw(st.sampled_from([8472, 4789, 6081]))
    header: object = draw(geneves)._replace(protocol_type=0x6558) if port == 6081 else draw(vxlans)
    return [ip, UDP(draw(bits(16)), port), header, *draw(frame_stacks(depth - 1))]


@st.composite
def frame_stacks(draw: st.DrawFn, depth: int) -> list[object]:
    """An Ethernet frame's layers."""
    ethernet = draw(made(Ethernet, macs, macs))
    tags = draw(st.lists(made(Vlan, bits(12), bits(3), bits(1)), max_size=2))
    if draw(st.integers(0, 7)) == 0:
        return [ethernet, *tags, draw(arps)]
    return [ethernet, *tags, *draw(ip_stacks(depth))]


@st.composite
def packets(draw: st.DrawFn) -> tuple[int, list[object], bytes, bytes]:
    """A link type, the layers of a packet for it, its payload and padding."""
    link = draw(st.sampled_from([1, 1, 1, 0, 12, 101, 108, 113, 228, 229, 276]))
    if link == 1:
        layers = draw(frame_stacks(2))
    else:
        layers = draw(ip_stacks(2))
        if link in (0, 108):
            layers = [
                Loopback(byteorder="big" if link == 108 else draw(st.sampled_from(["little", "big"]))),
                *layers,
            ]
        elif link == 113:
            layers = [draw(slls)._replace(ethertype=None), *layers]
        elif link == 276:
            layers = [draw(sll2s)._replace(ethertype=None), *layers]
        elif link in (228, 229):
            link = 228 if isinstance(layers[0], IPv4) else 229
    return link, layers, draw(payloads), draw(st.sampled_from([b"", b"", bytes(6)]))


@st.composite
def records(draw: st.DrawFn) -> tuple[int, bytes, int | None]:
    """A link type, a record's bytes, possibly cut and damaged, and its original length if told."""
    link, layers, payload, padding = draw(packets())
    data = encode(*layers, payload=payload, padding=padding)
    length = draw(st.sampled_from([None, len(data), len(data) + 70000]))
    if draw(st.booleans()):
        data = data[: draw(st.integers(0, len(data)))]
    for _ in range(draw(st.integers(0, 4))):
        if data:
            at = draw(st.integers(0, len(data) - 1))
            value = draw(st.sampled_from([0, 1, 4, 8, 44, 60, 0xFF]) | bits(8))
            data = data[:at] + bytes((value,)) + data[at + 1 :]
    return link, data, length
