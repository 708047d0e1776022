"""Section floods: captures with more of something than memory has room for, piped into `vxtool analyze`.

Nothing is written to disk: a process writes pcap into a pipe, and the peak of the other's memory is what the kernel
counted. Of each flood the report must have as many datagrams as were sent, in no more memory than it was given.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

from torture.jobs import Case, Job
from torture.tally import Wrong
from torture.ways import Done, process

SLL2, ETHERNET = 276, 1
_START = 1_700_000_000


class Flood(NamedTuple):
    what: str
    records: int
    link_type: int
    make: Callable[[int], bytes]  # a record's bytes, by number
    gap: int  # ns from one record to the next
    datagrams: Callable[[int], int]  # of so many records


def _sll2(interface: int, kind: int) -> bytes:
    return struct.pack(">HHIHBB8s", 0x0800, 0, interface, 1, kind, 6, b"\x02\0\0\0\0\x01\0\0")


def _ipv4(
    source: int, destination: int, protocol: int, number: int, ttl: int, payload: bytes, fragment: int = 0
) -> bytes:
    length = 20 + len(payload)
    return (
        struct.pack(
            ">BBHHHBBHII", 0x45, 0, length, number & 0xFFFF, fragment, ttl, protocol, 0, source, destination
        )
        + payload
    )


def _udp(source: int, destination: int, payload: bytes) -> bytes:
    return struct.pack(">HHHH", source, destination, 8 + len(payload), 0) + payload


_MACS = bytes(12) + b"\x08\0"


def _vxlan(
    vni: int,
    outer: tuple[int, int],
    inner: tuple[int, int],
    ports: tuple[int, int],
    number: int,
    ttl: int,
    outer_port: int = 50_000,
) -> bytes:
    packet = _ipv4(*inner, 17, number, 64, _udp(*ports, struct.pack(">Q", number)))
    return _ipv4(
        *outer, 17, number, ttl, _udp(outer_port, 8472, struct.pack(">II", 0x08000000, vni << 8) + _MACS + packet)
    )


_NODES = (0xC0A80A64, 0xC0A81464)


def _both_ways(packet: Callable[[int, int], bytes]) -> Callable[[int], bytes]:
    """Each datagram in by eth1 and out by eth2."""

    def make(at: int) -> bytes:
        number, out = divmod(at, 2)
        return _sll2(1 + out, 4 * out) + packet(number, 64 - out)

    return make


def _flow(number: int, ttl: int) -> bytes:
    inner = (0x0A000000 + number // 60_000, 0x0A800001)
    return _vxlan(7, _NODES, inner, (1024 + number % 60_000, 80), number, ttl)


def _address(number: int, ttl: int) -> bytes:
    return _vxlan(number % 50, _NODES, (0x0A000000 + number, 0x0A800001 + number % 1000), (1024, 80), number, ttl)


def _plain(number: int, ttl: int, which: int = 0) -> bytes:
    payload = struct.pack(">Q", which << 40 | number)
    return _ipv4(0x0A000000 + number, 0x0B000000 + number, 17, number, ttl, _udp(1024, 80, payload))


def _open(at: int) -> bytes:
    return _sll2(1, 0) + _vxlan(7, _NODES, (0x0A000001, 0x0A800001), (1024 + at % 60_000, 80), at, 64)


def _left(at: int) -> bytes:
    return _sll2(2, 4) + _vxlan(7, _NODES, (0x0A000001, 0x0A840001), (1024 + at % 60_000, 80), at, 63)


def _dropped(at: int) -> bytes:
    return _sll2(1, 0) + _address(at, 64)


def _two_sided(at: int) -> bytes:
    """In and out of each flow, but never the same datagram."""
    number, out = divmod(at, 2)
    return _sll2(1 + out, 4 * out) + _plain(number, 64, out)


def _first(at: int) -> bytes:
    return _sll2(1, 0) + _ipv4(0x0A000000 + at // 65_536, 0x0A800001, 17, at, 64, _udp(1024, 80, bytes(16)), 0x2000)


def _tail(at: int) -> bytes:
    return _sll2(1, 0) + _ipv4(0x0A000000 + at // 65_536, 0x0A800001, 17, at, 64, bytes(24), 185)


def _outer(number: int, ttl: int) -> bytes:
    return _vxlan(
        7, (0x0A000000 + number, _NODES[1]), (0x0A000001, 0x0A810001), (1024, 80), number, ttl, number & 0xFFFF
    )


def _ports(number: int, ttl: int) -> bytes:
    """Sixteen source ports of each of many tunnels."""
    return _vxlan(
        7,
        (0x0A000000 + number // 16, _NODES[1]),
        (0x0A000001, 0x0A820001),
        (1024, 80),
        number,
        ttl,
        number & 0xFFFF,
    )


def _vni(number: int, ttl: int) -> bytes:
    return _vxlan(number & 0xFFFFFF, _NODES, (0x0A000001, 0x0A830001), (1024, 80), number, ttl)


def _macs(at: int) -> bytes:
    source = struct.pack(">Q", 0x0200_0000_0000 + at)[2:]
    return (
        b"\x02\0\0\0\0\x01" + source + b"\x08\0" + _vxlan(7, _NODES, (0x0A000001, 0x0A800001), (1024, 80), at, 64)
    )


def _interface(number: int, ttl: int) -> bytes:
    return _vxlan(7, _NODES, (0x0A000001, 0x0A850001), (1024, 80), number, ttl)


def _interfaces(at: int) -> bytes:
    number, out = divmod(at, 2)
    return _sll2(1 + at, 4 * out) + _interface(number, 64 - out)


def _gap(at: int) -> bytes:
    """Segments of TCP that leave gaps, of many flows."""
    flow, segment = at % 500_000, at // 500_000
    tcp = struct.pack(">HHIIBBHHH", 1024 + flow % 60_000, 80, segment * 3000 + 1, 0, 0x50, 0x10, 0, 0, 0) + bytes(8)
    return _sll2(1, 0) + _ipv4(0x0A000000 + flow // 60_000, 0x0A800001, 6, at, 64, tcp)


_MIXED = (
    *map(_both_ways, (_flow, _address, _outer, _ports, _vni)),
    *(_open, _left, _first, _interfaces, _gap),
    _both_ways(_plain),
    _tail,
)


def _mixed(at: int) -> bytes:
    number, which = divmod(at, len(_MIXED))
    return _MIXED[which](number)


def _of_mixed(records: int) -> int:
    """Of those seen on both sides there are half as many datagrams, of tails none."""
    counts = [len(range(which, records, len(_MIXED))) for which in range(len(_MIXED))]
    both = {0, 1, 2, 3, 4, 8, 10}
    return sum(count // 2 + count % 2 if at in both else count for at, count in enumerate(counts[:-1]))


def _many(number: int) -> int:
    return number


def _halves(number: int) -> int:
    return number // 2


FLOODS = {
    "flows": Flood("50 million flows through a router", 100_000_000, SLL2, _both_ways(_flow), 1000, _halves),
    "addresses": Flood("5 million addresses inside tunnels", 10_000_000, SLL2, _both_ways(_address), 1000, _halves),
    "plain": Flood(
        "5 million flows outside tunnels, each of its own ends", 10_000_000, SLL2, _both_ways(_plain), 1000, _halves
    ),
    "open": Flood(
        "10 million datagrams that never leave, within half a second", 10_000_000, SLL2, _open, 50, _many
    ),
    "dropped": Flood(
        "4 million datagrams that never leave, of as many addresses", 4_000_000, SLL2, _dropped, 2000, _many
    ),
    "two-sided": Flood(
        "4 million datagrams each seen on one side, of flows seen on both", 4_000_000, SLL2, _two_sided, 2000, _many
    ),
    "left": Flood("10 million datagrams that never came", 10_000_000, SLL2, _left, 50, _many),
    "first-fragments": Flood("a million first fragments without the others", 1_000_000, SLL2, _first, 100, _many),
    "tails": Flood("a million fragments without the first", 1_000_000, SLL2, _tail, 100, lambda _: 0),
    "outer": Flood("a million addresses of tunnels", 2_000_000, SLL2, _both_ways(_outer), 1000, _halves),
    "ports": Flood("2 million source ports of tunnels", 4_000_000, SLL2, _both_ways(_ports), 1000, _halves),
    "vnis": Flood("16 million VNIs", 32_000_000, SLL2, _both_ways(_vni), 1000, _halves),
    "macs": Flood("a million MAC addresses", 1_000_000, ETHERNET, _macs, 1000, _many),
    "interfaces": Flood("a million interfaces", 1_000_000, SLL2, _interfaces, 1000, _halves),
    "mixed": Flood("all of these at once, 24 million records", 24_000_000, SLL2, _mixed, 100, _of_mixed),
    "gaps": Flood("4 million segments of TCP with gaps between them", 4_000_000, SLL2, _gap, 1000, _many),
}


def write(flood: Flood, records: int, descriptor: int) -> None:
    buffer = bytearray(struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 262_144, flood.link_type))
    make, gap = flood.make, flood.gap
    pack = struct.Struct("<IIII").pack
    for at in range(records):
        data = make(at)
        seconds, rest = divmod(at * gap, 1_000_000_000)
        buffer += pack(_START + seconds, rest, len(data), len(data)) + data
        if len(buffer) > 1 << 20:
            _write_all(descriptor, buffer)
            buffer.clear()
    _write_all(descriptor, buffer)


def _write_all(descriptor: int, data: bytes | bytearray) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


LARGE, SMALL = 1024, 256  # MiB that the report may take: of a whole flood, and of a fiftieth
_SHARE = 50
_SECONDS = 7200.0


def _piped(name: str, records: int, mebibytes: int) -> tuple[str, Done]:
    flood = FLOODS[name]
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        os.close(reader)
        try:
            write(flood, records, writer)
        finally:
            os._exit(0)
    os.close(writer)
    options = ["--format", "json", "--memory", f"{mebibytes}M"]
    try:
        done = process(["analyze", "-", *options], reader, seconds=_SECONDS)
    finally:
        os.close(reader)
        os.waitpid(child, 0)
    if done.code:
        raise Wrong(f"exit code {done.code}: {done.error!r}")
    report = json.loads(done.output)
    if report["capture"]["records"] != records:
        raise Wrong(f"{report['capture']['records']} records of {records}")
    forwarding = report["forwarding"]
    counted = forwarding["datagrams"] + (forwarding["other"] or {"datagrams": 0})["datagrams"]
    if counted != flood.datagrams(records):
        raise Wrong(f"{counted} datagrams of {flood.datagrams(records)}")
    folded = any(report["capture"]["folded"].values())
    if records == flood.records and not folded:
        raise Wrong("nothing was folded: this is no flood")
    return f"every record and datagram counted, {'and told what was folded' if folded else 'none folded'}", done


def jobs() -> Iterator[Job]:
    for name in FLOODS:
        yield Job("floods", name, _cases, (name,))


def _cases(name: str) -> Iterator[Case]:
    flood = FLOODS[name]
    for records, mebibytes in ((flood.records // _SHARE // 2 * 2, SMALL), (flood.records, LARGE)):
        row = f"{flood.what}{'' if records == flood.records else ', a fiftieth of that'}, {mebibytes} MiB"
        size = records * (16 + len(flood.make(0)))
        run = partial(_piped, name, records, mebibytes)
        yield Case(f"{name}, {records:,} records", row, run, size, _SECONDS, mebibytes << 20)
