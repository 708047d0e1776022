"""The C engine against its pure twin, on captures that no kernel would write.

Packets are put together from parts that need not fit: wrong lengths, chains of extension headers, tunnels that
are none, fragments of anything, every link type, times that jump. Alphabets are small, so that keys meet. What
the tables should hold is the pure engine's to say; here the two are only held equal, for each way to bring the
bytes in. VXTOOL_EXAMPLES=5000 looks at so many captures, other ones each time.
"""

from __future__ import annotations

import io
import os
import random
import struct
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from conftest import capture_files, require_native
from engine.both import observe
from engine.generate import (
    ICMP,
    ICMPV6,
    IPV4,
    IPV6,
    TCP,
    UDP,
    Entry,
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
    to_pcap,
    udp,
    vxlan,
)
from engine.questions import assert_answers_are_plain

from vxtool.engine import Engine, make_engine
from vxtool.engine.options import EngineOptions
from vxtool.engine.tables import Tables

if TYPE_CHECKING:
    from vxtool.engine.native_engine import NativeEngine

_ASKED = os.environ.get("VXTOOL_EXAMPLES")
SEEDS = [random.randrange(1 << 40) for _ in range(int(_ASKED))] if _ASKED else list(range(60))

NULL, EN10MB, RAW, LOOP, SLL, SLL2 = 0, 1, 101, 108, 113, 276
LINK_TYPES = [EN10MB, SLL, SLL2, SLL2, SLL2, RAW, NULL, LOOP, 228, 12, 147]
START = 1_754_760_470_000_000_000


@pytest.fixture(autouse=True)
def _native() -> None:
    require_native()


# Packets.


def _address4(chance: random.Random) -> str:
    return f"10.0.0.{chance.randint(1, 3)}"


def _address6(chance: random.Random) -> bytes:
    return b"\xfd" + bytes(14) + bytes([chance.randint(1, 3)])


def _payload(chance: random.Random) -> bytes:
    return bytes([chance.randint(0, 2)]) * chance.choice([0, 1, 7, 30, 64, 65, 100, 300, 1400])


def _transport(chance: random.Random, deep: int) -> tuple[int, bytes]:
    """A protocol number and what is behind the IP header."""
    ports = chance.choice([80, 4000, 4001]), chance.choice([80, 53])
    kind = chance.randrange(9)
    if kind == 0:
        return UDP, udp(*ports, _payload(chance), chance.choice([None, None, None, 0, 3, 9000]))
    if kind <= 2:
        options = chance.choice([b"", mss(1410), timestamps(chance.randint(0, 2), 7), b"\0\0\0\0", b"\x08\x30\1\1"])
        sequence = chance.choice([0, 100, 200, 0xFFFFFFF0, 0x7FFFFFFF, chance.randrange(0, 100_000, 2000)])
        flags = chance.choice([2, 16, 18, 17])
        return TCP, tcp(*ports, sequence, _payload(chance), flags=flags, options=options)
    if kind == 3:
        number = chance.choice([0, 3, 4, 5, 8, 11, 12, 1, 2])
        return ICMP, icmp(number, chance.choice([0, 4]), chance.choice([1400, 7 << 16 | 1]), _payload(chance))
    if kind == 4:
        number = chance.choice([1, 2, 3, 4, 128, 129, 135])
        return ICMPV6, icmp(number, 0, chance.choice([1400, 7 << 16 | 1]), _payload(chance))
    if kind == 5:
        return chance.choice([33, 132, 136, 89, 50]), struct.pack(">HHI", *ports, 1)[: chance.choice([8, 8, 3])]
    if deep:
        return UDP, udp(*ports, _payload(chance))
    return UDP, _tunnel(chance)


def _tunnel(chance: random.Random) -> bytes:
    ethertype, inner = chance.choice([_ip4, _ip6])(chance, 1)
    tags = tuple(chance.choice([1, 2]) for _ in range(chance.choice([0, 0, 0, 1, 2])))
    frame = ethernet(inner, chance.choice([ethertype, ethertype, ethertype, ethertype, 0x0806, IPV4]), tags=tags)
    vni = chance.randint(1, 3)
    source = chance.choice([50000, chance.randrange(50000, 50040)])
    length = chance.choice([None] * 12 + [0, 8, 20, 60000])
    if chance.random() < 0.7:
        return udp(source, chance.choice([8472, 4789]), vxlan(vni, frame), length)
    options = bytes(chance.choice([0, 0, 8, 16]))
    if chance.random() < 0.3:
        header = geneve(vni, inner, options, chance.choice([ethertype, 0x1234]))
    else:
        header = geneve(vni, frame, options)
    if chance.random() < 0.05:
        header = bytes([chance.randrange(256)]) + header[1:]
    return udp(source, 6081, header, length)


def _ip4(chance: random.Random, deep: int = 0) -> tuple[int, bytes]:
    protocol, payload = _transport(chance, deep)
    offset, more = 0, False
    if chance.random() < 0.3:
        cut = chance.choice([8, 48, 64, 128])
        offset, more = chance.choice([(0, True), (cut, False), (cut, True)])
        payload = payload[offset:] if offset else payload[:cut]
    packet = ipv4(
        _address4(chance),
        _address4(chance),
        protocol,
        payload,
        ttl=chance.choice([64, 64, 63, 63, 62]),
        identification=chance.choice([0, 1, 1, 2]),
        offset=offset,
        more=more,
        dont_fragment=chance.random() < 0.3,
        length=chance.choice([None] * 20 + [0, 19, 21, 40, 5000]),
        options=bytes(chance.choice([0, 0, 0, 0, 4, 40])),
    )
    return IPV4, packet


def _ip6(chance: random.Random, deep: int = 0) -> tuple[int, bytes]:
    protocol, payload = _transport(chance, deep)
    for _ in range(chance.choice([0, 0, 0, 1, 2, 3, 17])):
        kind = chance.choice([0, 43, 60, 51, 44])
        if kind == 44:
            offset, more = chance.choice([(0, True), (0, False), (64, False), (128, True)])
            payload = fragment_header(protocol, chance.choice([1, 2, 1 << 30]), offset, more) + payload[offset:]
        else:
            size = chance.choice([0, 0, 0, 1, 255])
            payload = bytes([protocol, size]) + bytes(6 + size * (4 if kind == 51 else 8)) + payload
        protocol = kind
    length = chance.choice([None] * 12 + [0, 1, 5000])
    hops = chance.choice([64, 64, 63, 62])
    return IPV6, ipv6(_address6(chance), _address6(chance), protocol, payload, hop_limit=hops, length=length)


def _frame(chance: random.Random, link_type: int) -> bytes:
    ethertype, packet = chance.choice([_ip4, _ip4, _ip6])(chance)
    if chance.random() < 0.03:
        packet = bytes([chance.choice([0x40, 0x45, 0x60, 0x70])]) + packet[1:]
    if chance.random() < 0.05:
        ethertype, packet = chance.choice(
            [(0x0806, bytes(28)), (0x8100, b"\0\1"), (0x8100, b"\0\1\x08\0" + packet)]
        )
    if link_type == SLL2:
        arphrd = chance.choice([1, 1, 1, 772])
        return sll2(packet, chance.randint(1, 3), chance.choice([0, 4, 4, 0, 1, 2, 3, 9]), ethertype, arphrd)
    if link_type == SLL:
        return sll(packet, chance.choice([0, 4, 4, 0, 1, 2, 3, 9]), ethertype, chance.choice([1, 1, 772]))
    if link_type == EN10MB:
        macs = [b"\x02\0\0\0\0" + bytes([chance.randint(1, 2)]) for _ in range(2)]
        return ethernet(packet, ethertype, destination=macs[0], source=macs[1])
    if link_type in (NULL, LOOP):
        family = chance.choice([2, 2, 10, 24, 28, 30, 7])
        return struct.pack(chance.choice("<>") + "I", family) + packet
    return packet


def _packets(chance: random.Random, link_type: int, count: int) -> list[tuple[bytes, int]]:
    """Captured bytes and original length of `count` records: new frames, and ones seen before."""
    made: list[bytes] = []
    packets = []
    for _ in range(count):
        frame = _frame(chance, link_type)
        if made and chance.random() < 0.5:
            frame = chance.choice(made[-12:])
            if link_type == SLL2:  # elsewhere
                place = bytes([chance.randint(1, 3)]) + frame[8:10] + bytes([chance.choice([0, 4])])
                frame = frame[:7] + place + frame[11:]
        made.append(frame)
        kept = frame
        if chance.random() < 0.1:
            kept = frame[: chance.randint(0, len(frame))]
        length = len(frame) + chance.choice([0] * 30 + [5, -3, 1 << 20])
        packets.append((kept, max(0, length)))
    return packets


def _times(chance: random.Random, count: int, options: EngineOptions) -> list[int]:
    gaps = [0, 1, 1000, options.settle, options.settle + 1, options.window, options.window + 1, -1, -options.settle]
    wild = [3_000_000_000, -2_000_000_000, 400_000_000_000]
    time, times = START, []
    for _ in range(count):
        time += chance.choice(gaps * 4 + wild) if chance.random() < 0.6 else 0
        times.append(time)
    return times


# Files.


def _pcap(
    chance: random.Random, packets: Sequence[tuple[bytes, int]], times: Sequence[int], link_type: int
) -> bytes:
    """Nanoseconds, in either byte order."""
    order = chance.choice("<>")
    file = struct.pack(f"{order}IHHIIII", 0xA1B23C4D, 2, 4, 0, 0, chance.choice([0, 65535, 150, 90]), link_type)
    for (data, length), time in zip(packets, times, strict=True):
        file += struct.pack(f"{order}IIII", time // 10**9, time % 10**9, len(data), length) + data
    return file


def _option(order: str, code: int, value: bytes) -> bytes:
    return struct.pack(f"{order}HH", code, len(value)) + value + bytes(-len(value) % 4)


def _block(order: str, kind: int, body: bytes) -> bytes:
    size = struct.pack(f"{order}I", 12 + len(body))
    return struct.pack(f"{order}I", kind) + size + body + size


def _pcapng(
    chance: random.Random, packets: Sequence[tuple[bytes, int]], times: Sequence[int], link_type: int
) -> bytes:
    """With several interfaces, one of them on a clock before 1970, and all kinds of blocks between the records."""
    order = chance.choice("<>")
    file = _block(order, 0x0A0D0D0A, struct.pack(f"{order}IHHq", 0x1A2B3C4D, 1, 0, -1))
    for number in range(3):
        options = _option(order, 2, f"eth{number}".encode()) if number else b""
        options += _option(order, 9, b"\x09")
        if number == 2 and chance.random() < 0.2:
            options += _option(order, 14, struct.pack(f"{order}q", -(1 << 33)))
        kind = link_type if number else chance.choice([link_type, chance.choice(LINK_TYPES)])
        file += _block(order, 1, struct.pack(f"{order}HHI", kind, 0, chance.choice([0, 262144])) + options)
    names = [b"\x0a\0\0\1one\0", b"\x0a\0\0\1two\0", b"\x0a\0\0\2\xff\0"]
    for (data, length), time in zip(packets, times, strict=True):
        interface = chance.choice([0, 1, 1, 1, 2])
        flags = struct.pack(f"{order}I", chance.choice([1, 2, 1, 2, 0, 9, 13, 17]))
        head = struct.pack(f"{order}IIIII", interface, time >> 32, time & 0xFFFFFFFF, len(data), length)
        file += _block(order, 6, head + data + bytes(-len(data) % 4) + _option(order, 2, flags))
        if chance.random() < 0.1:
            file += _block(order, 4, _option(order, 1, chance.choice(names)) + bytes(4))
        if chance.random() < 0.1:
            counts = _option(order, 5, struct.pack(f"{order}Q", chance.randrange(100)))
            file += _block(order, 5, struct.pack(f"{order}III", 1, 0, 0) + counts)
    return file


def _options(chance: random.Random, **given: int) -> EngineOptions:
    unit = chance.choice([1, 10_000, 10_000_000])
    return EngineOptions(window=100 * unit, settle=chance.choice([0, 10, 70]) * unit, **given)


def _capture(chance: random.Random, options: EngineOptions, count: int) -> list[bytes]:
    """The files of one capture, one for each input."""
    link_type = chance.choice(LINK_TYPES)
    packets = _packets(chance, link_type, count)
    times = _times(chance, count, options)
    owners = [chance.randrange(options.inputs) for _ in range(count)]
    write = chance.choice([_pcap, _pcapng])
    files = []
    for number in range(options.inputs):
        own = [at for at in range(count) if owners[at] == number]
        files.append(write(chance, [packets[at] for at in own], [times[at] for at in own], link_type))
    return files


# Running.


def _run(name: str, options: EngineOptions, files: Sequence[bytes], cuts: random.Random | None = None) -> Engine:
    engine = make_engine(options, name)
    left = list(files)
    while (index := engine.wants()) is not None:
        if not left[index]:
            engine.end(index)
            continue
        size = cuts.choice([1, 5, 40, 400, 20000]) if cuts else len(left[index])
        engine.feed(index, left[index][:size])
        left[index] = left[index][size:]
    for index, rest in enumerate(left):  # behind damage, where bytes count and nothing else
        engine.feed(index, rest)
    return engine


def _native_engine(options: EngineOptions) -> NativeEngine:
    # Here, because it cannot be imported where it was not built.
    from vxtool.engine.native_engine import NativeEngine

    return NativeEngine(options)


def _read_beside(engine: NativeEngine, read: Callable[[], None]) -> None:
    """Let one thread read, and this one take."""
    failures: list[BaseException] = []

    def reading() -> None:
        try:
            read()
        except BaseException as failure:
            failures.append(failure)
        finally:
            engine.read_all()

    thread = threading.Thread(target=reading)
    thread.start()
    assert engine.take()
    thread.join()
    for failure in failures:
        raise failure


def _run_in_two(options: EngineOptions, files: Sequence[bytes], cuts: random.Random) -> NativeEngine:
    engine = _native_engine(options)
    engine.split()

    def read() -> None:
        left = list(files)
        while (index := engine.wants()) is not None:
            size = cuts.choice([1, 5, 40, 400, 20000])
            assert engine.read(index, left[index][:size]) if left[index] else engine.read_end(index)
            left[index] = left[index][size:]
        for index, rest in enumerate(left):  # behind damage, where bytes count and nothing else
            assert engine.read(index, rest)

    _read_beside(engine, read)
    return engine


def _assert_equal(pure: Tables, native: Tables) -> None:
    for name in Tables._fields:  # one by one: a failure then names the table
        assert getattr(pure, name) == getattr(native, name), name


def _assert_twins(options: EngineOptions, files: Sequence[bytes], cuts: random.Random | None = None) -> Tables:
    pure = _run("pure", options, files).tables()
    native = _run("native", options, files, cuts).tables()
    _assert_equal(pure, native)
    assert_answers_are_plain(native, len(files[0]))
    if cuts is not None:
        _assert_equal(pure, _run_in_two(options, files, cuts).tables())
    return pure


# Statements.


@pytest.mark.parametrize("seed", SEEDS)
def test_tables_are_equal_for_odd_packets(seed: int) -> None:
    chance = random.Random(seed)
    options = _options(chance, inputs=chance.choice([1, 1, 2, 3]))
    _assert_twins(options, _capture(chance, options, 150), chance)


@pytest.mark.parametrize("seed", SEEDS)
def test_tables_are_equal_for_merged_parts(seed: int) -> None:
    chance = random.Random(seed)
    options = _options(chance, inputs=chance.choice([1, 1, 2]))
    parts = [_capture(chance, options, chance.choice([0, 5, 30])) for _ in range(4)]
    order = [chance.randint(0, last) for last in (2, 1, 0)]
    tables = []
    for name in ("pure", "native"):
        engines = [_run(name, options._replace(part=at > 0), files) for at, files in enumerate(parts)]
        for at in order:
            engines[at].merge(engines.pop(at + 1))
        tables.append(engines[0].tables())
    _assert_equal(*tables)
    assert_answers_are_plain(tables[1], seed)


@pytest.mark.parametrize("seed", SEEDS)
def test_tables_are_equal_where_limits_are_hit(seed: int) -> None:
    chance = random.Random(seed)
    limits = {
        "most_journeys": chance.choice([1, 2, 5, 20]),
        "most_fragments": chance.choice([0, 1, 3, 100]),
        "most_flows": chance.choice([0, 1, 3, 10, 100]),
        "most_tunnels": chance.choice([0, 1, 2, 100]),
        "most_places": chance.choice([0, 1, 2, 100]),
        "most_paths": chance.choice([0, 1, 3, 100]),
        "most_rows": chance.choice([0, 1, 3, 100]),
    }
    options = _options(chance, **limits)
    tables = _assert_twins(options, _capture(chance, options, 150))
    assert tables.counters.records > 0


@pytest.mark.parametrize("seed", SEEDS)
def test_tables_are_equal_for_flipped_bytes_of_real_captures(seed: int) -> None:
    chance = random.Random(seed)
    file = bytearray(chance.choice(capture_files()).read_bytes()[: chance.choice([2_000, 20_000])])
    for _ in range(chance.choice([1, 5, 50])):
        file[chance.randrange(24, len(file))] ^= 1 << chance.randrange(8)
    _assert_twins(EngineOptions(), [bytes(file)], chance)


@pytest.mark.parametrize("capture", capture_files(), ids=lambda path: path.name)
def test_tables_are_equal_for_each_capture(capture: object) -> None:
    file = capture.read_bytes()  # type: ignore[attr-defined]
    _assert_twins(EngineOptions(), [file], random.Random(len(file)))


def _exchange(count: int, packet: object, gap: int = 1000) -> bytes:
    """`count` datagrams, each in eth1 and out eth2; `packet` makes the n-th with a TTL."""
    entries = []
    for number in range(count):
        for interface, kind, ttl in ((1, 0, 64), (2, 4, 63)):
            data = sll2(packet(number, ttl), interface, kind)  # type: ignore[operator]
            entries.append(Entry(START + number * gap * 2 + gap * (interface - 1) + number, data, len(data), 0))
    return to_pcap(entries, SLL2)


@pytest.mark.parametrize("count", [999, 1000, 1001])
def test_latencies_are_exact_up_to_a_thousand(count: int) -> None:
    def packet(number: int, ttl: int) -> bytes:
        return ipv4("10.0.0.1", "10.0.0.2", UDP, udp(1, 2, bytes(8)), ttl=ttl, identification=number)

    tables = _assert_twins(EngineOptions(), [_exchange(count, packet)])
    (latencies,) = tables.latencies.values()
    assert latencies.count == count
    assert (latencies.exact is None) == (count > 1000)


def test_all_source_ports_of_a_tunnel_are_kept() -> None:
    def packet(number: int, ttl: int) -> bytes:
        inner = ethernet(ipv4("10.0.0.1", "10.0.0.2", UDP, udp(1, 2, bytes(8)), identification=number))
        payload = udp(60000 + number, 8472, vxlan(7, inner))
        return ipv4("192.168.1.1", "192.168.2.1", UDP, payload, ttl=ttl, identification=number)

    tables = _assert_twins(EngineOptions(), [_exchange(200, packet)])
    (tunnel,) = tables.tunnels.values()
    assert tunnel.source_ports == set(range(60000, 60200))
    assert [flow.outer_source_port for flow in tables.flows.values()] == [-2]


@pytest.mark.parametrize("name", ["pure", "native"])
@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ([[50000, 50000]], 50000),
        ([[50000], [50000]], 50000),
        ([[], [50000]], 50000),
        ([[50000], []], 50000),
        ([[50000], [50001]], -2),
        ([[50000, 50001], [50000]], -2),
        ([[50001], [50000, 50001]], -2),
        ([[50000], [50000], [50001], [50001]], -2),
    ],
)
def test_a_flows_outer_source_port_is_told_where_it_is_one(name: str, parts: list[list[int]], told: int) -> None:
    engines = []
    for at, ports in enumerate(parts):

        def packet(number: int, ttl: int, at: int = at, ports: list[int] = ports) -> bytes:
            identification = 100 * at + number + 1
            inner = ethernet(ipv4("10.0.0.1", "10.0.0.2", UDP, udp(1, 2, bytes(8)), identification=identification))
            payload = udp(ports[number], 8472, vxlan(7, inner))
            return ipv4("192.168.1.1", "192.168.2.1", UDP, payload, ttl=ttl, identification=identification)

        engines.append(_run(name, EngineOptions(part=at > 0), [_exchange(len(ports), packet)]))
    for later in engines[1:]:
        engines[0].merge(later)
    (flow,) = engines[0].tables().flows.values()
    assert flow.outer_source_port == told


@pytest.mark.parametrize("step", [1000, 3, -1000])
def test_sequence_space_with_gaps_is_folded_alike(step: int) -> None:
    """Segments of 100 bytes, `step` apart in a shuffled order, around the wrap of the sequence numbers."""
    order = list(range(100))
    random.Random(step).shuffle(order)

    def packet(number: int, ttl: int) -> bytes:
        sequence = (0xFFFFFF00 + order[number] * step) & 0xFFFFFFFF
        segment = tcp(1, 2, sequence, bytes(100))
        return ipv4("10.0.0.1", "10.0.0.2", TCP, segment, ttl=ttl, identification=number)

    tables = _assert_twins(EngineOptions(), [_exchange(100, packet)])
    (flow,) = tables.flows.values()
    assert flow.ranges_folded == (abs(step) > 100)


def test_a_journey_has_at_most_sixteen_stages() -> None:
    packet = ipv4("10.0.0.1", "10.0.0.2", UDP, udp(1, 2, bytes(8)), identification=1)
    entries = [
        Entry(START + number, data, len(data), 0)
        for number in range(40)
        for data in [sll2(packet, number, 4 if number == 39 else 0)]
    ]
    tables = _assert_twins(EngineOptions(), [to_pcap(entries, SLL2)])
    assert sorted(len(path.stages) for path in tables.latencies) == [8]
    assert sorted(len(path.stages) for _, path in tables.cells) == [8, 16, 16]


def test_a_wild_clock_closes_what_is_open_and_no_more() -> None:
    packet = ipv4("10.0.0.1", "10.0.0.2", UDP, udp(1, 2, bytes(8)), identification=1)
    times = [0, 1, 4_294_967_295, 3, 4_294_967_295, 0, 4_294_967_294, 5, 6]
    entries = [
        Entry(time * 10**9, data, len(data), 0)
        for number, time in enumerate(times)
        for data in [sll2(packet, 1 + number % 2, 4 * (number % 2))]
    ]
    tables = _assert_twins(EngineOptions(), [to_pcap(entries, SLL2)])
    assert tables.counters.time_reversed == 3


@pytest.mark.parametrize("seed", SEEDS)
def test_equal_packets_are_told_apart_alike(seed: int) -> None:
    """One datagram over and over, at few places, with few TTLs and few outer identifications."""
    chance = random.Random(seed)
    plain = ipv4("10.0.0.1", "10.0.0.2", UDP, udp(1, 2, bytes(8)), identification=1)
    places = [(index, kind) for index in (1, 2, 3) for kind in (0, 4)][: chance.randint(1, 6)]
    ttls, identifications = chance.choice([[64], [64, 63], [64, 63, 60]]), range(chance.choice([1, 2, 30]))
    entries = []
    for number in range(300):
        packet = plain
        if chance.random() < 0.9:
            payload = udp(60000, 8472, vxlan(7, ethernet(plain)))
            identification = chance.choice(identifications)
            packet = ipv4(
                "192.168.1.1", "192.168.2.1", UDP, payload, ttl=chance.choice(ttls), identification=identification
            )
        data = sll2(packet, *chance.choice(places))
        entries.append(Entry(START + number * chance.choice([1_000, 1_000_000]), data, len(data), 0))
    options = EngineOptions(window=chance.choice([10**5, 10**9]), settle=chance.choice([1_000, 10**7]))
    _assert_twins(options, [to_pcap(entries, SLL2)], chance)


def test_a_flood_of_equal_packets_costs_no_more_than_others() -> None:
    """Were each looked at for every other one, this would take minutes."""
    data = sll2(ipv4("10.0.0.1", "10.0.0.2", UDP, udp(1, 2, bytes(8))), 1, 0)
    file = to_pcap([Entry(START + number, data, len(data), 0) for number in range(300_000)], SLL2)
    tables = _run("native", EngineOptions(), [file]).tables()
    assert sum(cell.datagrams for cell in tables.cells.values()) == 300_000


# The engine as an object.


def test_an_engine_that_gave_its_tables_takes_nothing_more() -> None:
    engine = make_engine(EngineOptions(), "native")
    engine.tables()
    with pytest.raises(RuntimeError, match="given its tables"):
        engine.feed(0, b"")


def test_a_flow_that_is_folded_into_another_adds_to_the_cell_that_stands() -> None:
    """Of rows with equal counts an answer with a limit has the first, so all stand in the same order. Some hosts
    have one short flow, later several: what those are folded into is a row that the first made."""
    entries: list[Entry] = []

    def send(host: int, port: int, size: int) -> None:
        number = len(entries) // 2
        source = f"10.0.{host // 250}.{host % 250 + 1}"
        inner = ipv4(source, "10.1.0.1", UDP, udp(port, 53, bytes(size)), identification=number & 0xFFFF)
        data = udp(50000, 8472, vxlan(1, ethernet(inner)))
        packet = ipv4("192.168.0.1", "192.168.1.1", UDP, data, identification=number & 0xFFFF)
        entries.append(Entry(1000 * number, sll2(packet, 1, 0)))
        entries.append(Entry(1000 * number + 100, sll2(packet, 2, 4)))

    for host in range(150):
        send(host, 1000, 572)
    for host in [200 + host for host in range(150) for _ in range(6)]:
        send(host, 1000, 272)
    for host in range(150):
        for port in range(5):
            send(host, 2000 + port, 272)
    for port in [port for port in range(450) for _ in range(6)]:
        send(400, 10000 + port, 1172)
    for port in range(602):
        send(401, 20000 + port, 272)
    tables = observe(to_pcap(entries, 276), EngineOptions(window=10_000_000, settle=1_000, most_flows=1500))
    assert tables.counters.folded_flows > 0
    assert sum(cell.datagrams for cell in tables.cells.values()) == len(entries) // 2


def _parts(*parts: Sequence[Entry], **limits: int) -> tuple[Tables, Tables]:
    """What each engine makes of these parts of one capture, 10 s apart."""
    found = []
    for name in ("pure", "native"):
        engines = []
        for at, entries in enumerate(parts):
            later = [entry._replace(time=entry.time + at * 10**10) for entry in entries]
            engines.append(_run(name, EngineOptions(part=at > 0, **limits), [to_pcap(later, 276)]))
        for part in engines[1:]:
            engines[0].merge(part)
        found.append(engines[0].tables())
    return found[0], found[1]


def _seen(number: int, *places: tuple[int, int, int]) -> list[Entry]:
    """A datagram at these times, interfaces and SLL2 packet types."""
    packet = ipv4("10.0.0.1", "10.0.1.1", UDP, udp(1, 2, bytes(40)), identification=number)
    return [Entry(time, sll2(packet, interface, kind)) for time, interface, kind in places]


def test_what_only_says_that_some_were_folded_is_not_added_up() -> None:
    many = [*_seen(1, (0, 1, 0)), *_seen(2, (10, 2, 0)), *_seen(3, (20, 3, 0))]
    for tables in _parts(many, many, many, most_places=1):
        assert tables.counters.folded_places == 1


def test_a_part_without_latencies_changes_none() -> None:
    """Beyond the limit, paths have but their ends: in the first part is a latency of 500, in the second none."""
    first = _seen(1, (0, 1, 0), (500, 2, 4), (900, 3, 0))
    second = [*_seen(3, (0, 9, 0)), *_seen(2, (10**10, 1, 0), (10**10 + 900, 3, 0)), *_seen(4, (3 * 10**10, 9, 0))]
    for tables in _parts(first, second, most_paths=0):
        (row,) = tables.latencies.values()
        assert (row.count, row.smallest, row.largest) == (1, 500, 500)


def test_a_part_that_was_merged_is_used_up() -> None:
    engine = make_engine(EngineOptions(), "native")
    part = make_engine(EngineOptions(part=True), "native")
    engine.merge(part)
    with pytest.raises(RuntimeError, match="merged into another"):
        part.feed(0, b"")


@pytest.mark.parametrize("options", [EngineOptions(), EngineOptions(inputs=2, part=True)], ids=["first", "inputs"])
def test_only_a_part_of_the_same_inputs_is_merged(options: EngineOptions) -> None:
    with pytest.raises(ValueError, match="only a part of the same inputs"):
        make_engine(EngineOptions(), "native").merge(make_engine(options, "native"))


def test_inputs_that_are_not_there_are_refused() -> None:
    engine = make_engine(EngineOptions(inputs=2), "native")
    for index in (-1, 2):
        with pytest.raises(IndexError):
            engine.feed(index, b"")
        with pytest.raises(IndexError):
            engine.end(index)


def test_an_engine_refuses_a_second_thread_and_stays_whole() -> None:
    file = _exchange(20_000, lambda number, ttl: ipv4("10.0.0.1", "10.0.0.2", UDP, udp(1, 2, bytes(8)), ttl=ttl))
    engine = make_engine(EngineOptions(), "native")
    refused = []

    def feed() -> None:
        for _ in range(5):
            try:
                engine.feed(0, file)
            except RuntimeError as error:
                refused.append(str(error))

    threads = [threading.Thread(target=feed) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(refused) <= {"the engine is in use by another thread"}
    assert engine.tables().counters.records > 0


def _many_records() -> bytes:
    def packet(number: int, ttl: int) -> bytes:
        return ipv4("10.0.0.1", "10.0.0.2", UDP, udp(1, 2, bytes(8)), ttl=ttl, identification=number & 0xFFFF)

    return _exchange(5_000, packet)


def test_two_threads_share_the_work_of_one_engine() -> None:
    file = _many_records()
    engine = _run_in_two(EngineOptions(), [file], random.Random(1))
    _assert_equal(_run("pure", EngineOptions(), [file]).tables(), engine.tables())


def test_a_third_thread_makes_memory_ready_and_changes_nothing() -> None:
    def packet(number: int, ttl: int) -> bytes:
        return ipv4("10.0.0.1", "10.0.0.2", UDP, udp(1 + number % 65_000, 2, bytes(8)), ttl=ttl)

    file = _exchange(40_000, packet)  # as many flows: they grow by blocks
    options = EngineOptions()
    engine = _native_engine(options)
    assert not engine.provide(1000), "nothing is needed of what is not split"
    engine.split()
    assert engine.provide(1), "more may be needed"

    def provide() -> None:
        while engine.provide(10):
            pass

    provider = threading.Thread(target=provide)
    provider.start()

    def read() -> None:
        assert engine.read(0, file)
        assert engine.read_end(0)

    _read_beside(engine, read)
    provider.join()
    _assert_equal(_run("native", options, [file]).tables(), engine.tables())


@pytest.mark.parametrize("threads", [True, False])
def test_other_directions_are_found_ahead_where_a_thread_is_to_be_had(
    monkeypatch: pytest.MonkeyPatch, threads: bool
) -> None:
    from vxtool.engine import native_queries

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    def conversation(number: int, ttl: int) -> bytes:
        ends, ports = ("10.0.0.1", "10.0.0.2"), (1 + number // 2, 80)
        if number % 2:
            ends, ports = ends[::-1], ports[::-1]
        return ipv4("192.168.1.1", "192.168.2.1", UDP, udp(5, 8472, vxlan(number % 2, ethernet(
            ipv4(*ends, UDP, udp(*ports, bytes(8)))))), ttl=ttl)  # fmt: skip

    file = _exchange(200, conversation)
    engine = _run_in_two(EngineOptions(), [file], random.Random(1))
    monkeypatch.setattr(native_queries, "_MANY_FLOWS", 1)
    if not threads:
        monkeypatch.setattr(threading.Thread, "start", refuse)
    pairs = engine.tables().queries.pairs
    assert {(vni, other) for vni, other, _ in pairs} == {(0, 1), (1, 0)}
    assert pairs == _run("pure", EngineOptions(), [file]).tables().queries.pairs


def test_the_rest_of_a_file_is_read_without_python(tmp_path: Path) -> None:
    file = _many_records()
    path = tmp_path / "capture"
    path.write_bytes(file)
    engine = _native_engine(EngineOptions())
    engine.split()

    def read() -> None:
        with io.FileIO(path) as raw:
            assert engine.read(0, raw.read(1000))
            assert engine.read_from(0, raw.fileno(), 777)
            assert raw.read(1) == b""
        assert engine.read_end(0)

    _read_beside(engine, read)
    _assert_equal(_run("pure", EngineOptions(), [file]).tables(), engine.tables())


def test_to_stop_what_has_taken_all_changes_nothing() -> None:
    engine = _native_engine(EngineOptions())
    engine.split()

    def read() -> None:
        assert engine.read_end(0)

    _read_beside(engine, read)
    engine.stop()
    assert engine.tables().counters.records == 0


def test_a_file_is_fed_without_python(tmp_path: Path) -> None:
    file = _many_records()
    path = tmp_path / "capture"
    path.write_bytes(file)
    engine = _native_engine(EngineOptions())
    with io.FileIO(path) as raw:
        engine.feed(0, raw.read(1000))
        engine.feed_from(0, raw.fileno(), 777)
        assert raw.read(1) == b"", "it is less than is read at a time"
    engine.end(0)
    _assert_equal(_run("pure", EngineOptions(), [file]).tables(), engine.tables())
    with pytest.raises(RuntimeError, match="has given its tables"):
        engine.feed_from(0, 0, 1)


def test_a_large_file_is_fed_in_turns(tmp_path: Path) -> None:
    """In between, the user may interrupt, and is told how far it is."""
    path = tmp_path / "capture"
    with path.open("wb") as file:
        file.write(to_pcap([], SLL2))
        file.truncate(1 << 30)  # records of no bytes, more than any machine gets through in a turn
    engine = _native_engine(EngineOptions())
    with io.FileIO(path) as raw:
        engine.feed_from(0, raw.fileno(), 1 << 17)
        first = raw.tell()
        engine.feed_from(0, raw.fileno(), 1 << 17)
        assert 0 < first < raw.tell()


def test_reading_a_file_ends_where_another_input_is_wanted_or_reading_fails(tmp_path: Path) -> None:
    path = tmp_path / "capture"
    path.write_bytes(_exchange(4, lambda _, ttl: ipv4("10.0.0.1", "10.0.0.2", UDP, udp(1, 2, bytes(8)), ttl=ttl)))
    engine = _native_engine(EngineOptions(inputs=2))
    engine.split()
    with io.FileIO(path) as raw:
        assert engine.wants() == 0
        assert engine.read_from(0, raw.fileno(), 100)
        assert engine.wants() == 1
        assert raw.tell() == 100, "the first record of input 0 waits for one of input 1"
        assert engine.read_from(1, -1, 100), "of that no byte can be read"
        assert engine.wants() == 1
    with pytest.raises(ValueError, match="at least one byte"):
        engine.read_from(1, 0, 0)
    with pytest.raises(IndexError):
        engine.read_from(2, 0, 1)


def test_who_reads_waits_for_who_takes_and_hears_of_its_stop() -> None:
    file = _many_records()
    engine = _native_engine(EngineOptions())
    engine.split()
    heard: list[bool] = []
    thread = threading.Thread(target=lambda: heard.append(engine.read(0, file)))
    thread.start()
    thread.join(0.2)
    assert thread.is_alive(), "10,000 records are more than may wait"
    engine.stop()
    thread.join()
    assert heard == [False]


def test_who_takes_waits_for_who_reads_and_can_be_stopped() -> None:
    engine = _native_engine(EngineOptions())
    engine.split()
    heard: list[bool] = []
    thread = threading.Thread(target=lambda: heard.append(engine.take()))
    thread.start()
    thread.join(0.2)
    assert thread.is_alive(), "more may be read"
    engine.stop()
    thread.join()
    assert heard == [False]
    with pytest.raises(RuntimeError, match="has not all been taken"):
        engine.tables()


def test_a_split_engine_is_whole_again_when_all_is_taken() -> None:
    file = _exchange(10, lambda number, ttl: ipv4("10.0.0.1", "10.0.0.2", UDP, udp(1, 2, bytes(8)), ttl=ttl))
    engine = _native_engine(EngineOptions())
    with pytest.raises(RuntimeError, match="is not split"):
        engine.read(0, file)
    with pytest.raises(RuntimeError, match="is not split"):
        engine.take()
    engine.split()
    assert engine.read(0, file[:200])
    for use in (engine.split, engine.tables, lambda: engine.feed(0, file[200:])):
        with pytest.raises(RuntimeError, match="has not all been taken"):
            use()
    engine.read_all()
    assert engine.take()
    engine.feed(0, file[200:])
    engine.end(0)
    assert engine.tables().counters.records == 20
