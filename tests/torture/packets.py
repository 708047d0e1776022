"""Section packets: packets written by hand whose lengths, chains, tunnels and fragments no sender makes."""

from __future__ import annotations

import itertools
import random
import struct
from collections.abc import Iterable, Iterator

from engine.generate import (
    ICMP,
    ICMPV6,
    IPV4,
    IPV6,
    TCP,
    UDP,
    echo,
    ethernet,
    fragment_header,
    geneve,
    icmp,
    ipv4,
    ipv6,
    mss,
    sll,
    sll2,
    tcp,
    timestamps,
    udp,
    vxlan,
)
from torture.containers import SECOND, every_way, frame, pcap_header, pcap_record
from torture.jobs import Case, Job

LENGTHS = (
    0,
    1,
    7,
    8,
    9,
    12,
    16,
    19,
    20,
    21,
    27,
    28,
    40,
    60,
    100,
    500,
    1500,
    0x7FFF,
    0x8000,
    65_528,
    65_534,
    65_535,
)
PORTS = (8472, 4789, 4790, 6081)
PODS = ("10.0.0.1", "10.0.1.1")
NODES = ("192.168.1.1", "192.168.2.1")
V6 = (b"\xfd" + bytes(14) + b"\1", b"\xfd" + bytes(14) + b"\2")
EXTENSIONS = (0, 43, 44, 51, 60, 135, 139, 140, 253, 59, 50)
MESSAGES = ((3, 0), (3, 1), (3, 4), (3, 13), (4, 0), (5, 1), (11, 0), (11, 1), (12, 0), (8, 0), (0, 0), (40, 3))
FLOOD = 300_000


def jobs() -> Iterator[Job]:
    for name, cases in (
        ("lengths", lengths),
        ("chains", chains),
        ("tunnels", tunnels),
        ("fragments", fragments),
        ("icmp", messages),
        ("tcp", segments),
        ("links", links),
        ("floods", floods),
        ("random", random_packets),
    ):
        yield Job("packets", name, cases)


def _file(
    packets: Iterable[bytes], link_type: int = 1, length: int | None = None, snaplen: int | None = None
) -> tuple[bytes, int]:
    """A capture of these, a microsecond between each, and how many they are."""
    made = [
        pcap_record(data[:snaplen], 1_754_760_470 * SECOND + number, length=len(data) if length is None else length)
        for number, data in enumerate(packets)
    ]
    return pcap_header(link_type) + b"".join(made), len(made)


def _cases(label: str, row: str, packets: Iterable[bytes], link_type: int = 1) -> Iterator[Case]:
    """Packets as they are; each cut at every one of its first bytes; and with original lengths that cannot be."""
    packets = list(packets)
    data, count = _file(packets, link_type)
    yield from every_way(label, row, data, count, count)
    least, most = _file(packets, link_type, 0), _file(packets, link_type, 0xFFFFFFFF)
    yield from every_way(f"{label}, 0 bytes on the wire", row, least[0], count, count)
    yield from every_way(f"{label}, 4 GB on the wire", row, most[0], count, count)
    cut = [each[:place] for each in packets[:40] for place in range(0, min(len(each), 200), 3)]
    data, count = _file(cut, link_type)
    yield from every_way(f"{label}, cut short", row, data, count, count)


def _wrapped(packet: bytes, ethertype: int = IPV4) -> Iterator[bytes]:
    """A packet plain, and in each kind of tunnel."""
    yield ethernet(packet, ethertype)
    inner = ethernet(packet, ethertype)
    yield ethernet(ipv4(*NODES, UDP, udp(50_000, 8472, vxlan(300, inner)), identification=7))
    yield ethernet(ipv4(*NODES, UDP, udp(50_000, 6081, geneve(300, inner, bytes(8))), identification=8))
    yield ethernet(ipv6(*V6, UDP, udp(50_000, 8472, vxlan(300, inner))), IPV6)


def lengths() -> Iterator[Case]:
    row = "lengths of headers"
    words = []
    for version, size in itertools.product(range(16), range(16)):
        packet = ipv4(*PODS, UDP, udp(1, 2, bytes(80)), identification=3)
        words += _wrapped(bytes([version << 4 | size]) + packet[1:])
    yield from _cases("IP versions and header lengths 0 to 15", row, words)
    packets = [
        each
        for length in LENGTHS
        for payload in (b"", bytes(8), bytes(80), bytes(1400))
        for protocol in (ICMP, TCP, UDP)
        for each in _wrapped(ipv4(*PODS, protocol, payload, length=length, identification=length))
    ]
    yield from _cases("IPv4 total lengths short and long", row, packets)
    packets = [
        each
        for length in LENGTHS
        for payload in (b"", bytes(8), bytes(80), bytes(1400))
        for protocol in (ICMPV6, TCP, UDP, 44, 0)
        for each in _wrapped(ipv6(*V6, protocol, payload, length=length), IPV6)
    ]
    yield from _cases("IPv6 payload lengths short and long", row, packets)
    packets = [
        each
        for length in LENGTHS
        for port in (53, *PORTS)
        for size in (0, 3, 8, 60, 1400)
        for each in _wrapped(ipv4(*PODS, UDP, udp(5, port, bytes(size), length), identification=length))
    ]
    yield from _cases("UDP lengths below the header and beyond the packet", row, packets)
    empty = [b"" for _ in range(1_000)]
    data, count = _file(empty, length=0xFFFFFFFF)
    yield from every_way("no byte captured of 4 GB", row, data, count, count)


def chains() -> Iterator[Case]:
    row = "IPv6 extension headers"

    def chain(kinds: Iterable[int], size: int = 0, last: int = UDP, payload: bytes = b"") -> bytes:
        packet, following = payload or udp(1, 2, bytes(40)), last
        for kind in reversed(list(kinds)):
            if kind == 44:
                packet = fragment_header(following, 5, 0, False) + packet
            else:
                packet = bytes([following, size]) + bytes(6 + size * (4 if kind == 51 else 8)) + packet
            following = kind
        return ipv6(*V6, following, packet)

    for kind in EXTENSIONS:
        packets = [each for count in (1, 2, 7, 8, 9, 16, 17, 31, 32, 33, 64, 100, 180)
                   for each in _wrapped(chain([kind] * count), IPV6)]  # fmt: skip
        yield from _cases(f"a chain of {kind}, up to 180 long", row, packets)
    packets = [each for size in (1, 30, 254, 255) for kind in EXTENSIONS
               for each in _wrapped(chain([kind, 0], size), IPV6)]  # fmt: skip
    yield from _cases("long ones", row, packets)
    mixed = [chain((EXTENSIONS * 20)[:length]) for length in range(120)]
    yield from _cases("chains of all kinds", row, [ethernet(each, IPV6) for each in mixed])
    packets = []
    for jumbo in (0, 1, 65_535, 65_536, 70_000, 0x7FFFFFFF, 0xFFFFFFFF):
        for kind, size in ((0xC2, 4), (0xC2, 0), (0xC2, 255), (0, 4), (1, 0), (1, 255)):
            for length in (0, 48, 65_535):
                head = bytes([UDP, 0, kind, size]) + struct.pack(">I", jumbo)
                packets.append(ethernet(ipv6(*V6, 0, head + udp(1, 2, bytes(60)), length=length), IPV6))
    yield from _cases("hop-by-hop with jumbo payloads", row, packets)
    loop = [ethernet(ipv6(*V6, kind, bytes([kind, 0]) + bytes(6)) + bytes(60_000), IPV6) for kind in (0, 43, 60)]
    yield from _cases("a header that names itself, with 60,000 zeros behind", row, loop)


def tunnels() -> Iterator[Case]:
    row = "tunnels"
    packet = ipv4(*PODS, ICMP, echo(7, 1, bytes(40)), identification=9)
    deep, deeper = packet, packet
    nested, nested_geneve = [], []
    for depth in range(60):
        outer = udp(50_000 + depth, 8472, vxlan(depth, ethernet(deep)))
        deep = ipv4(*NODES, UDP, outer, identification=depth)
        deeper = ipv4(
            *NODES, UDP, udp(5, 6081, geneve(depth, deeper, bytes(4 * (depth % 64)), IPV4)), identification=1
        )
        nested.append(ethernet(deep))
        nested_geneve.append(ethernet(deeper))
    yield from _cases("VXLAN in VXLAN, 1 to 60 deep", row, nested)
    yield from _cases("Geneve in Geneve, 1 to 60 deep", row, nested_geneve)
    packets = []
    for size in range(64):
        for there in (0, 4, 4 * size, 252):
            header = bytes([size]) + b"\0\x65\x58" + struct.pack(">I", 300 << 8) + bytes(there)
            packets.append(
                ethernet(ipv4(*NODES, UDP, udp(5, 6081, header + ethernet(packet)), identification=size))
            )
    yield from _cases("Geneve options past the end", row, packets)
    packets = []
    for length in range(32):
        for value in (0, 4, 31):
            one = struct.pack(">HBB", 0x0102, 0x80, length) + bytes(4 * value)
            sent = geneve(300, ethernet(packet), one)
            packets.append(ethernet(ipv4(*NODES, UDP, udp(5, 6081, sent), identification=length)))
    yield from _cases("lengths of single Geneve options", row, packets)
    packets = [
        ethernet(ipv4(*NODES, UDP, udp(5, port, bytes([flags, version]) + bytes([0, number, 0, 1, 44, 0])
                                       + ethernet(packet)), identification=flags))
        for port in PORTS for flags in range(0, 256, 5) for version in (0, 0x65, 0xFF)
        for number in (0, 1, 2, 3, 4, 255)
    ]  # fmt: skip
    yield from _cases("every flag, version and protocol of a tunnel's header", row, packets)
    for tag in (0x8100, 0x88A8, 0x9100):
        stacks = []
        for count in (1, 2, 3, 8, 29, 30, 31, 300):
            tags = b"".join(struct.pack(">HH", tag, number) for number in range(count))
            mac = bytes(12)
            stacks.append(mac + tags + struct.pack(">H", IPV4) + packet)
            stacks.append(mac + tags)
            inside = mac + tags + struct.pack(">H", IPV4) + packet
            stacks.append(ethernet(ipv4(*NODES, UDP, udp(5, 8472, vxlan(1, inside)), identification=count)))
        yield from _cases(f"stacks of up to 300 tags {tag:#x}", row, stacks)
    packets = [ethernet(ipv4(*NODES, UDP, udp(5, port, bytes(size)), identification=size))
               for port in PORTS for size in range(40)]  # fmt: skip
    yield from _cases("next to nothing in a tunnel", row, packets)
    for kind in (0, 0x05DC, 0x0600, 0x0806, 0x6558, 0x8847, 0x8864, 0x88E5, 0xFFFF):
        yield from _cases(f"EtherType {kind:#x} everywhere", row, _wrapped(packet, kind))


def fragments() -> Iterator[Case]:
    row = "fragments"
    whole = udp(50_000, 8472, vxlan(300, ethernet(ipv4(*PODS, UDP, udp(1, 2, bytes(3_000)), identification=4))))

    def piece(offset: int, size: int, more: bool, identification: int = 1, data: bytes = whole) -> bytes:
        return ethernet(
            ipv4(
                *NODES, UDP, (data[offset:] or data)[:size], identification=identification, offset=offset, more=more
            )
        )

    def piece6(offset: int, size: int, more: bool, identification: int = 1) -> bytes:
        head = fragment_header(UDP, identification, offset, more)
        return ethernet(ipv6(*V6, 44, head + (whole[offset:] or whole)[:size]), IPV6)

    for name, cut in (("IPv4", piece), ("IPv6", piece6)):
        order = [cut(0, 1400, True), cut(1400, 1400, True), cut(2800, 400, False)]
        for number, way in enumerate(itertools.permutations(order)):
            yield from _cases(f"{name}, in order {number}", row, [*way, *way])
        yield from _cases(f"{name}, each five times", row, order * 5)
        yield from _cases(f"{name}, only the last", row, order[2:] * 3)
        overlapping = [cut(offset, 800, offset < 2400) for offset in range(0, 3_000, 200)]
        yield from _cases(f"{name}, overlapping", row, overlapping)
        teardrop = [cut(0, 1400, True), cut(24, 4, False), cut(48, 1400, True), cut(1400, 0, False)]
        yield from _cases(f"{name}, teardrop", row, teardrop * 3)
        beyond = [cut(offset, size, more) for offset in (65_512, 65_520, 65_528) for size in (8, 64, 1400)
                  for more in (False, True)]  # fmt: skip
        yield from _cases(f"{name}, offset and length beyond 65,535", row, [order[0], *beyond, *order])
        tiny = [cut(offset, 8, offset < 3_000) for offset in range(0, 3_008, 8)]
        yield from _cases(f"{name}, 8 bytes each", row, tiny + tiny[::-1])
        yield from _cases(f"{name}, none with data", row, [cut(offset, 0, True) for offset in range(0, 800, 8)])
        lasts = [cut(offset, 400, False) for offset in (400, 800, 1200, 2800)]
        yield from _cases(f"{name}, several ends", row, [order[0], *lasts, *order])


def messages() -> Iterator[Case]:
    row = "ICMP errors"
    chance = random.Random(8)
    quoted = [b"", b"\0", bytes(28), b"\xff" * 60, b"\x45" * 60, b"\x60" * 60, frame()[14:42], frame()[14:],
              chance.randbytes(548), ipv6(*V6, 44, fragment_header(UDP, 1, 8, True)),
              ipv6(*V6, 0, bytes([0, 0]) * 40), ipv4(*PODS, UDP, udp(5, 8472, b""), length=65_535),
              ipv4(*PODS, ICMP, icmp(3, 4, 68, frame()[14:]))]  # fmt: skip
    for kind, code in MESSAGES:
        packets = [
            each
            for rest in (0, 1, 68, 1400, 0xFFFF, 0xFFFFFFFF)
            for data in quoted
            for each in _wrapped(ipv4(*PODS, ICMP, icmp(kind, code, rest, data), identification=rest & 0xFFFF))
        ]
        yield from _cases(f"type {kind}, code {code}, quoting anything", row, packets)
    for kind in (1, 2, 3, 4, 128, 129, 134, 135, 137):
        packets = [
            each
            for rest in (0, 1, 1280, 0xFFFF, 0xFFFFFFFF)
            for data in quoted
            for each in _wrapped(ipv6(*V6, ICMPV6, icmp(kind, 0, rest, data)), IPV6)
        ]
        yield from _cases(f"ICMPv6 type {kind}, quoting anything", row, packets)
    deep = ipv4(*PODS, ICMP, icmp(3, 4, 1400, frame()[14:]))
    nested = []
    for _ in range(40):
        deep = ipv4(*PODS, ICMP, icmp(3, 4, 1400, deep))
        nested.append(ethernet(deep))
    yield from _cases("errors that quote errors, 40 deep", row, nested)


def segments() -> Iterator[Case]:
    row = "TCP"

    def segment(words: int, options: bytes, payload: bytes = bytes(40), flags: int = 0x10) -> bytes:
        head = struct.pack(">HHIIBBHHH", 4000, 80, 1, 1, words << 4, flags, 65_535, 0, 0)
        return head + options + payload

    packets = [
        each
        for words in range(16)
        for size in (0, 4, 20, 40)
        for each in _wrapped(ipv4(*PODS, TCP, segment(words, b"\1" * size), identification=words))
    ]
    yield from _cases("data offsets 0 to 15", row, packets)
    packets = [
        each
        for kind in (*range(36), 253, 254, 255)
        for length in (0, 1, 2, 3, 4, 10, 40, 255)
        for flags in (2, 0x10)
        for each in _wrapped(ipv4(*PODS, TCP, segment(10, (bytes([kind, length]) * 10)[:20], flags=flags)))
    ]
    yield from _cases("options of lengths 0, 1 and 255", row, packets)
    packets = [
        ethernet(ipv4(*PODS, TCP, tcp(4000, 80, sequence, bytes(size), acknowledgement=answer, flags=flags,
                                      options=mss(size) + timestamps(sequence, answer)), identification=number))
        for number, (sequence, answer, size, flags) in enumerate(itertools.product(
            (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF), (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF), (0, 1, 1400),
            (0, 2, 4, 16, 18, 0xFF)))
    ]  # fmt: skip
    yield from _cases("sequence numbers at their edges", row, packets)


def links() -> Iterator[Case]:
    row = "link headers"
    packet = ipv4(*PODS, ICMP, echo(7, 1, bytes(40)), identification=9)
    for arphrd in (0, 1, 772, 774, 778, 65_534, 65_535):
        packets = [sll2(packet, index, kind, ethertype, arphrd) for index in (0, 1, 0x7FFFFFFF, 0xFFFFFFFF)
                   for kind in range(0, 256, 3) for ethertype in (IPV4, IPV6, 0, 4, 0x8100)]  # fmt: skip
        yield from _cases(f"LINUX_SLL2, device type {arphrd}", row, packets, 276)
        packets = [sll(packet, kind, ethertype, arphrd) for kind in (0, 1, 2, 3, 4, 5, 255, 65_535)
                   for ethertype in (IPV4, IPV6, 0, 4, 0x8100)]  # fmt: skip
        yield from _cases(f"LINUX_SLL, device type {arphrd}", row, packets, 113)
    for link_type in (0, 108):
        packets = [
            struct.pack(f"{order}I", family) + packet for order in "<>" for family in (*range(40), 0xFFFFFFFF)
        ]
        yield from _cases(f"loopback {link_type}, every family", row, packets, link_type)
    for link_type in (12, 14, 101, 228, 229):
        packets = [bytes([first]) + packet[1:] for first in range(256)]
        yield from _cases(f"raw {link_type}, every first byte", row, packets, link_type)


def floods() -> Iterator[Case]:
    row = "floods of 300,000"

    def many(name: str, packets: Iterable[bytes], link_type: int = 1) -> Iterator[Case]:
        data, count = _file(packets, link_type)
        yield from every_way(name, row, data, count, count, patience=1_200)

    numbers = range(FLOOD)
    yield from many("first fragments that are never completed", (
        ethernet(ipv4(f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}", "192.168.2.1", UDP, udp(5, 8472, bytes(16)),
                      identification=n & 0xFFFF, more=True)) for n in numbers))  # fmt: skip
    yield from many("last fragments without a first", (
        ethernet(ipv4(f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}", "192.168.2.1", UDP, bytes(16),
                      identification=n & 0xFFFF, offset=1480)) for n in numbers))  # fmt: skip
    yield from many(
        "fragments of one datagram",
        (
            ethernet(ipv4(*NODES, UDP, bytes(8), identification=1, offset=8 * (n % 8191), more=True))
            for n in numbers
        ),
    )
    yield from many("MAC addresses", (
        ethernet(ipv4(*PODS, ICMP, echo(7, n & 0xFFFF)), source=n.to_bytes(6, "big"),
                 destination=(n * 7).to_bytes(6, "big")) for n in numbers))  # fmt: skip
    yield from many(
        "interfaces of LINUX_SLL2",
        (sll2(ipv4(*PODS, ICMP, echo(7, n & 0xFFFF), identification=n & 0xFFFF), n, 0) for n in numbers),
        276,
    )
    yield from many("tunnel endpoints", (
        ethernet(ipv4(f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}", "192.168.2.1", UDP,
                      udp(5, 8472, vxlan(n & 0xFFFFFF, ethernet(ipv4(*PODS, ICMP, echo(7, n & 0xFFFF)))))))
        for n in numbers))  # fmt: skip
    yield from many("ICMP errors of as many routers", (
        ethernet(ipv4(f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}", "192.168.2.1", ICMP,
                      icmp(3, 4, n & 0xFFFF, frame(n & 0xFFFF)[14:])))
        for n in numbers))  # fmt: skip
    yield from many(
        "sizes of packets",
        (
            ethernet(ipv4(*PODS, UDP, udp(n & 0xFFFF, 2, b""), length=n & 0xFFFF, identification=n & 0xFFFF))
            for n in numbers
        ),
    )
    yield from many(
        "SYNs with as many MSS",
        (ethernet(ipv4(*PODS, TCP, tcp(n & 0xFFFF, 80, n, flags=2, options=mss(n & 0xFFFF)))) for n in numbers),
    )
    yield from many("EtherTypes", (ethernet(bytes(46), n & 0xFFFF) for n in numbers))
    yield from many(
        "protocols and addresses",
        (
            ethernet(ipv4("10.0.0.1", f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}", n % 256, bytes(20)))
            for n in numbers
        ),
    )


def random_packets() -> Iterator[Case]:
    row = "random bytes behind right headers"
    for seed in range(1_500):
        chance = random.Random(seed)
        packets = []
        for _ in range(60):
            noise = chance.randbytes(chance.choice([0, 1, 8, 20, 60, 300]))
            packets += chance.sample([
                ethernet(noise), ethernet(noise, IPV6), ethernet(b"\x45" + noise), ethernet(b"\x60" + noise, IPV6),
                ethernet(ipv4(*PODS, chance.randrange(256), noise, identification=chance.randrange(4))),
                ethernet(ipv6(*V6, chance.choice(EXTENSIONS), noise), IPV6),
                ethernet(ipv4(*NODES, UDP, udp(5, chance.choice(PORTS), noise), identification=len(noise) % 3)),
                ethernet(ipv4(*NODES, UDP, udp(5, 8472, vxlan(1, ethernet(noise))), identification=1)),
                ethernet(ipv4(*PODS, ICMP, noise)), ethernet(ipv4(*PODS, TCP, noise)),
            ], 2)  # fmt: skip
        data, count = _file(packets)
        cases = every_way(f"random {seed}", row, data, count, count)
        yield from (case for case in cases if seed % 50 == 0 or "processes" not in case.row)
