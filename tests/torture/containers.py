"""Section containers: pcap and pcapng by hand, with lengths, numbers and an order that no program writes."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from engine.generate import echo, ethernet, ipv4, udp, vxlan
from torture.jobs import PATIENCE, Case, Job
from torture.ways import as_file, process, through_both, through_engine, through_list, through_report, word_of_json

LENGTHS = (0, 1, 2, 3, 4, 8, 11, 12, 13, 16, 20, 28, 0xFFFF, 1 << 24, (1 << 24) + 1, 1 << 25, (1 << 25) + 4,
           2_000_000_000, (1 << 31) - 1, 1 << 31, (1 << 32) - 4, (1 << 32) - 1)  # fmt: skip
TIMES = (0, 1, 1_754_760_470_000_000, 1 << 32, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)
OFFSETS = (0, 1, -1, (1 << 63) - 1, -(1 << 63))
SECOND = 1_000_000
MILLION = 1_000_000

SECTION, INTERFACE, OLD_PACKET, SIMPLE_PACKET, NAMES, STATISTICS, PACKET = 0x0A0D0D0A, 1, 2, 3, 4, 5, 6
OTHERS = (7, 9, 10, 0xBAD, 0x40000BAD, 0x80000001, 0xFFFFFFFF)  # journal, secrets, custom blocks, unknown ones
KINDS = (SECTION, INTERFACE, OLD_PACKET, SIMPLE_PACKET, NAMES, STATISTICS, PACKET, *OTHERS)

_PURE = 3 << 20  # bytes of a case at most that the pure engine is given


def frame(number: int = 1) -> bytes:
    """A ping through VXLAN, on Ethernet: 134 bytes."""
    inner = ethernet(ipv4("10.0.1.1", "10.0.2.2", 1, echo(7, number, bytes(26)), identification=number))
    outer = udp(50_000, 8472, vxlan(300, inner))
    return ethernet(ipv4("192.168.1.1", "192.168.2.2", 17, outer, identification=number))


def pcap_header(
    link_type: int = 1, snaplen: int = 262_144, *, magic: int = 0xA1B2C3D4, version: int = 2, order: str = "<"
) -> bytes:
    return struct.pack(f"{order}IHHiIII", magic, version, 4, 0, 0, snaplen, link_type)


def pcap_record(
    data: bytes, time: int = 1_754_760_470_000_000, *, captured: int | None = None, length: int | None = None,
    order: str = "<",
) -> bytes:  # fmt: skip
    size = len(data) if captured is None else captured
    wire = len(data) if length is None else length
    return struct.pack(f"{order}IIII", time // SECOND & 0xFFFFFFFF, time % SECOND, size, wire) + data


def block(
    kind: int, body: bytes, *, total: int | None = None, trailer: int | None = None, order: str = "<"
) -> bytes:
    body += bytes(-len(body) % 4)
    size = len(body) + 12 if total is None else total
    last = size if trailer is None else trailer
    return struct.pack(f"{order}II", kind, size) + body + struct.pack(f"{order}I", last)


def section(order: str = "<", version: int = 1, length: int = -1) -> bytes:
    return block(SECTION, struct.pack(f"{order}IHHq", 0x1A2B3C4D, version, 0, length), order=order)


def option(code: int, value: bytes, size: int | None = None, order: str = "<") -> bytes:
    said = len(value) if size is None else size
    return struct.pack(f"{order}HH", code, said) + value + bytes(-len(value) % 4)


def interface(link_type: int = 1, snaplen: int = 0, options: bytes = b"", order: str = "<") -> bytes:
    return block(INTERFACE, struct.pack(f"{order}HHI", link_type, 0, snaplen) + options, order=order)


def packet_body(
    data: bytes, index: int = 0, time: int = 1_754_760_470_000_000, *, captured: int | None = None,
    length: int | None = None, options: bytes = b"", order: str = "<",
) -> bytes:  # fmt: skip
    size = len(data) if captured is None else captured
    wire = len(data) if length is None else length
    front = struct.pack(f"{order}IIIII", index, time >> 32 & 0xFFFFFFFF, time & 0xFFFFFFFF, size, wire)
    return front + data + bytes(-len(data) % 4) + options


def packet(
    data: bytes, index: int = 0, time: int = 1_754_760_470_000_000, order: str = "<", **more: object
) -> bytes:
    return block(PACKET, packet_body(data, index, time, order=order, **more), order=order)  # type: ignore[arg-type]


def bodies(order: str = "<") -> dict[int, bytes]:
    """A body of each kind of block that is right."""
    data = frame()
    found = {
        SECTION: struct.pack(f"{order}IHHq", 0x1A2B3C4D, 1, 0, -1),
        INTERFACE: struct.pack(f"{order}HHI", 1, 0, 0) + option(2, b"eth1", order=order),
        OLD_PACKET: struct.pack(f"{order}HHIIII", 0, 0, 0, 0, len(data), len(data)) + data,
        SIMPLE_PACKET: struct.pack(f"{order}I", len(data)) + data,
        NAMES: struct.pack(f"{order}HH", 1, 8) + b"\x0a\0\1\1pod\0" + bytes(4),
        STATISTICS: struct.pack(f"{order}III", 0, 0, 0) + option(5, bytes(8), order=order),
        PACKET: packet_body(data, order=order),
    }
    return found | dict.fromkeys(OTHERS, bytes(24))


Data = bytes | Callable[[], bytes]


def every_way(
    label: str, row: str, data: Data, least: int, most: int | None = None, *, patience: float = PATIENCE
) -> Iterator[Case]:
    """A capture through the C engine, at once and in pieces, the pure one, all reports, and a process."""
    made = data if isinstance(data, bytes) else data()
    size = len(made)
    pieces = random.Random(label)
    at_once = partial(through_engine, made, "native", least, most)
    yield Case(label, f"{row}: the C engine", at_once, size)
    if size <= _PURE:
        in_pieces = partial(through_engine, made, "native", least, most, pieces)
        yield Case(f"{label}, in pieces", f"{row}: the C engine", in_pieces, size)
        both = partial(through_both, made, least, most)
        yield Case(label, f"{row}: both engines, tables equal", both, 2 * size)
        lists = partial(_list, made, least, most)
        yield Case(label, f"{row}: packet lists of both engines, equal", lists, 4 * size)
    # As much as five commands would read: an analysis, and the flows in each format.
    run = partial(_report, made, least, most)
    yield Case(label, f"{row}: whole reports and flows", run, 5 * size, patience)
    yield Case(label, f"{row}: processes", partial(_process, made, least, most), size, patience)


def _list(data: bytes, least: int, most: int | None) -> str:
    return through_list(as_file(data), least, most)


def _report(data: bytes, least: int, most: int | None) -> str:
    return through_report(as_file(data), least, most)


def _process(data: bytes, least: int, most: int | None) -> tuple[str, object]:
    done = process(["analyze", as_file(data), "--format", "json"])
    return word_of_json(done, least, most), done


def jobs() -> Iterator[Job]:
    for name, cases in (
        ("pcap", pcap_files),
        ("pcap-link-types", link_types),
        ("block-lengths", block_lengths),
        ("blocks", odd_blocks),
        ("options", odd_options),
        ("times", times),
        ("sections", sections),
        ("many", many),
    ):
        yield Job("containers", name, cases)


def pcap_files() -> Iterator[Case]:
    row = "pcap"
    for order in "<>":
        good = [pcap_record(frame(number), order=order) for number in range(1, 4)]
        front = pcap_header(order=order) + b"".join(good)
        for length in LENGTHS:
            label = f"pcap {order}, record of {length} captured bytes"
            short = pcap_record(b"", captured=length, length=length, order=order)
            yield from every_way(f"{label} that are not there", row, front + short, 3, 4)
            data = frame(4)
            claims = pcap_record(data, captured=length, order=order)
            yield from every_way(f"{label}, {len(data)} there", row, front + claims + b"".join(good), 3)
            whole = pcap_record(data, length=length, order=order) + b"".join(good)
            yield from every_way(f"pcap {order}, record of {length} bytes on the wire", row, front + whole, 7, 7)
            empty = pcap_record(b"", length=length, order=order) + b"".join(good)
            yield from every_way(f"pcap {order}, no bytes of {length} captured", row, front + empty, 7, 7)
            held = pcap_header(snaplen=length, order=order) + b"".join(good)
            yield from every_way(f"pcap {order}, snaplen {length}", row, held, 3, 3)
        for version in (0, 1, 2, 3, 0x200, 0xFFFF):
            least = 3 if version == 2 else 0
            headed = pcap_header(version=version, order=order) + b"".join(good)
            yield from every_way(f"pcap {order}, version {version}", row, headed, least, least)
        for magic in (0xA1B2C3D4, 0xA1B23C4D, 0xA1B2CD34, 0xA1E2CB12, 0xA1B2C3D5, 0):
            least = 3 if magic in (0xA1B2C3D4, 0xA1B23C4D) else 0
            headed = pcap_header(magic=magic, order=order) + b"".join(good)
            yield from every_way(f"pcap {order}, magic {magic:08x}", row, headed, least, least)
    jumps = b"".join(
        pcap_record(frame(number), time=(number * 7919 % 60) * 31_557_600 * SECOND) for number in range(5_000)
    )
    yield from every_way("pcap, times that jump by years", row, pcap_header() + jumps, 5_000, 5_000)
    edges = b"".join(
        struct.pack("<IIII", seconds, fraction, len(frame()), len(frame())) + frame()
        for seconds in (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
        for fraction in (0, 999_999, 1_000_000, 0x7FFFFFFF, 0xFFFFFFFF)
    )
    for magic in (0xA1B2C3D4, 0xA1B23C4D):
        yield from every_way(f"pcap {magic:x}, times at all edges", row, pcap_header(magic=magic) + edges, 25, 25)
    largest = pcap_record(bytes(1 << 24))
    yield from every_way("pcap, the longest records", row, pcap_header() + largest * 2, 2, 2)


def link_types() -> Iterator[Case]:
    """Every link type there is, and every half of the field."""
    packets = b"".join(pcap_record(data) for data in (frame(), b"", b"\0", bytes(64), b"\xff" * 64, b"\x45" * 64))
    for number in (*range(300), 0xFFFF, 0x10000, 0x04000001, 0xF4000114, 0xFFFF0001):
        label = f"link type {number:#x}"
        yield from every_way(label, "link types", pcap_header(link_type=number) + packets, 6, 6)


def _good(order: str = "<") -> tuple[bytes, bytes]:
    """The beginning of a section with three packets, and three packets more."""
    front = section(order) + interface(order=order)
    three = b"".join(packet(frame(number), order=order) for number in range(1, 4))
    return front + three, three


def block_lengths() -> Iterator[Case]:
    """Each length in each kind of block, in front alone, behind alone, and on both ends."""
    row = "pcapng, lengths of blocks"
    for order in "<>":
        front, back = _good(order)
        for kind, body in bodies(order).items():
            for length in LENGTHS:
                label = f"pcapng {order}, block {kind:#x} of length {length}"
                for name, total, trailer in (("in front", length, len(body) + 12), ("behind", None, length),
                                             ("at both ends", length, length)):  # fmt: skip
                    bad = block(kind, body, total=total, trailer=trailer, order=order)
                    data = front + bad + back
                    yield Case(f"{label} {name}", f"{row}: the C engine",
                               partial(through_engine, data, "native", 3), len(data))  # fmt: skip
                    yield Case(f"{label} {name}", f"{row}: both engines, tables equal",
                               partial(through_both, data, 3), 2 * len(data))  # fmt: skip
                if kind in (SECTION, INTERFACE, PACKET, NAMES):
                    yield Case(
                        label, f"{row}: whole reports and flows", partial(_report, data, 3, None), 5 * len(data)
                    )
            # The body cut and filled up, with lengths that fit.
            for size in (*range(0, len(body), 4), len(body) + 4, len(body) + 64, 70_000):
                data = front + block(kind, (body + bytes(size))[:size], order=order) + back
                label = f"pcapng {order}, block {kind:#x} with a body of {size} bytes"
                later = 0 if kind == SECTION else 3  # a new section has no interface yet
                yield from every_way(label, "pcapng, bodies cut and filled up", data, 3 + later)


def odd_blocks() -> Iterator[Case]:
    row = "pcapng, blocks that make no sense"
    for order in "<>":
        front, back = _good(order)
        for length in LENGTHS:
            for name, kind, body in (
                ("packet", PACKET, packet_body(frame(), captured=length, order=order)),
                ("old packet", OLD_PACKET, struct.pack(f"{order}HHIIII", 0, 0, 0, 0, length, 134) + frame()),
            ):
                data = front + block(kind, body, order=order) + back
                label = f"pcapng {order}, {name} with {length} captured bytes"
                # With fewer bytes than there are, the rest of them is read as options.
                yield from every_way(label, row, data, 6, 7)
            data = front + packet(frame(), length=length, order=order) + back
            yield from every_way(f"pcapng {order}, packet of {length} bytes on the wire", row, data, 7, 7)
            simple = block(SIMPLE_PACKET, struct.pack(f"{order}I", length) + frame(), order=order)
            yield from every_way(
                f"pcapng {order}, simple packet of {length} bytes", row, front + simple + back, 6, 7
            )
            held = section(order) + interface(snaplen=length, order=order) + back + simple
            yield from every_way(f"pcapng {order}, snaplen {length}", row, held, 3, 4)
        for index in (1, 2, 0xFFFF, 0x10000, 1 << 31, 0xFFFFFFFF):
            label = f"pcapng {order}, interface {index}, which does not exist"
            wrong = packet(frame(), index, order=order)
            counters = block(STATISTICS, struct.pack(f"{order}III", index, 0, 0), order=order)
            yield from every_way(label, row, front + wrong + counters + back, 6, 6)
        inner = section(order) + interface(order=order) + packet(frame(), order=order)
        yield from every_way(
            f"pcapng {order}, a section within a packet", row, front + packet(inner, order=order) + back, 7, 7
        )
        for kind in KINDS:
            if kind not in (SECTION, PACKET):
                data = front + block(kind, inner, order=order) + back
                yield from every_way(f"pcapng {order}, a section within block {kind:#x}", row, data, 6, 7)
        for shift in (-8, -4, 4, 8):
            body = packet_body(frame(), order=order)
            data = front + block(PACKET, body, total=len(body) + 12 + shift, order=order) + back
            yield from every_way(f"pcapng {order}, a trailer {shift} bytes away", row, data, 3)
        yield from every_way(f"pcapng {order}, packets before any interface", row,
                             section(order) + back + interface(order=order) + back, 3, 3)  # fmt: skip
        yield from every_way(f"pcapng {order}, no section at all", row, interface(order=order) + back, 0, 0)
    biggest = packet(bytes(1 << 24))
    front, back = _good()
    yield from every_way("pcapng, the longest packet", row, front + biggest + back, 7, 7)
    yield from every_way("pcapng, one byte more", row, front + packet(bytes((1 << 24) + 4)) + back, 6, 6)
    yield from every_way("pcapng, the longest block", row, front + block(9, bytes((1 << 25) - 12)) + back, 6, 6)


def odd_options() -> Iterator[Case]:
    row = "pcapng, options"
    front, back = _good()
    sizes = (0, 1, 2, 3, 4, 5, 7, 8, 9, 16, 255, 256, 1000, 0xFFFC, 0xFFFF)
    for code in (0, 1, 2, 3, 4, 5, 8, 9, 11, 14, 2988, 0x8000, 0xFFFF):
        for size in sizes:
            for value in (b"", b"\x80", b"eth1", bytes(8), b"\xff" * 16):
                one = option(code, value, size)
                ended = one + option(0, b"")
                label = f"option {code} of {size} bytes, {len(value)} there"
                for end, options in (("", one), (", ended", ended), (", twice", one + one)):
                    data = section() + interface(options=options) + back
                    data += packet(frame(), options=options) + back
                    data += block(STATISTICS, struct.pack("<III", 0, 0, 0) + options) + block(NAMES, options) + back
                    yield Case(f"{label}{end}", f"{row}: both engines, tables equal",
                               partial(through_both, data, 9, 10), 2 * len(data))  # fmt: skip
                yield Case(label, f"{row}: whole reports and flows", partial(_report, data, 9, 10), 5 * len(data))
    for count in (1_000, 100_000):
        for name, options in (
            ("empty", option(99, b"")),
            ("comments", option(1, b"a")),
            ("names", option(2, b"e")),
        ):
            data = section() + interface(options=options * count) + packet(frame(), options=options * count) + back
            # As a packet's options, those called names are its flags, of a wrong size.
            least = 3 if name == "names" else 4
            yield from every_way(f"{count} options, {name}", row, data, least, least)
    for flags in range(32):
        data = front + packet(frame(), options=option(2, struct.pack("<I", flags)))
        yield from every_way(f"direction flags {flags}", row, data, 4, 4)
    long = option(1, b"c" * 65_535) + option(2, b"n" * 65_535)
    yield from every_way("names and comments of 64 KB", row, section() + interface(options=long) + back, 3, 3)


def times() -> Iterator[Case]:
    """Each resolution there is, with times and offsets at their edges."""
    for resolution in range(256):
        for offset in OFFSETS:
            options = option(9, bytes([resolution])) + option(14, struct.pack("<q", offset))
            data = section() + interface(options=options)
            data += b"".join(packet(frame(number), time=time) for number, time in enumerate(TIMES))
            label = f"resolution {resolution:#x}, offset {offset}"
            yield Case(label, "pcapng, times: both engines, tables equal",
                       partial(through_both, data, len(TIMES), len(TIMES)), 2 * len(data))  # fmt: skip
            yield Case(label, "pcapng, times: whole reports and flows",
                       partial(_report, data, len(TIMES), len(TIMES)), 5 * len(data))  # fmt: skip
    several = b"".join(
        interface(options=option(9, bytes([resolution]))) for resolution in (0, 6, 9, 0x7F, 0x80, 0xFF)
    )
    packets = b"".join(packet(frame(n), n % 6, TIMES[n % len(TIMES)]) for n in range(2_000))
    yield from every_way("six resolutions at once", "pcapng, times", section() + several + packets, 2_000, 2_000)


def sections() -> Iterator[Case]:
    row = "pcapng, sections"
    for length in (0, 1, 24, 1 << 31, (1 << 63) - 1, -2, -(1 << 63)):
        data = section(length=length) + interface() + packet(frame())
        yield from every_way(f"section of length {length}", row, data * 3, 3, 3)
    for version in (0, 2, 3, 0x100, 0xFFFF):
        front, _ = _good()
        yield from every_way(
            f"a second section of version {version}", row, front + section(version=version) + front, 3, 3
        )
    mixed = b"".join(_good(order)[0] for order in "<><>><")
    yield from every_way("sections of both byte orders", row, mixed, 18, 18)
    wrong = _good("<")[0] + section(">") + interface(order="<") + _good("<")[0]
    yield from every_way("a section whose blocks have the other byte order", row, wrong, 3)
    yield from every_way("only sections", row, section() * 3, 0, 0)
    yield from every_way("100,000 empty sections", row, partial(_times, section(), 100_000), 0, 0)
    forth = _good("<")[0]
    yield from every_way("10,000 sections with packets", row, partial(_times, forth, 10_000), 30_000, 30_000)


def _times(part: bytes, count: int) -> bytes:
    return part * count


def many() -> Iterator[Case]:
    """A million of what there are a few of."""
    row = "a million of what there are few of"
    described = 1 << 16
    front = section() + interface() * MILLION
    ends = b"".join(packet(frame(n), index) for n, index in enumerate((0, 1, described - 1)))
    beyond = b"".join(packet(frame(n), index) for n, index in enumerate((described, MILLION - 1)))
    yield from every_way("interfaces", row, front + ends + beyond + ends, 6, 6)
    named = b"".join(interface(options=option(2, b"%0255d" % number)) for number in range(described))
    yield from every_way("65,536 interfaces with names of 255 bytes", row, section() + named + ends, 3, 3)
    parted = (section() + interface() * 1_000 + packet(frame(), 999)) * 100
    yield from every_way("interfaces over sections", row, parted, 66 - 1)
    yield from every_way("names", row, section() + interface() + _names(MILLION) + packet(frame()), 1, 1)
    yield from every_way(
        "records without a byte", row, pcap_header() + pcap_record(b"", length=60) * MILLION, MILLION, MILLION
    )
    yield from every_way(
        "records of one byte", row, pcap_header() + pcap_record(b"\x45", length=60) * MILLION, MILLION, MILLION
    )
    tiny = packet(b"", length=60)
    yield from every_way("packets without a byte", row, section() + interface() + tiny * MILLION, MILLION, MILLION)
    skipped = packet(frame(), 77)
    yield from every_way("blocks to skip", row, section() + interface() + skipped * 200_000 + packet(frame()), 1, 1)
    counters = block(STATISTICS, struct.pack("<III", 0, 0, 0) + option(5, b"\xff" * 8))
    yield from every_way("statistics", row, section() + interface() + counters * MILLION + packet(frame()), 1, 1)


def _names(count: int) -> bytes:
    entries = [
        struct.pack("<HH4s12s", 1, 16, struct.pack(">I", 0x0A000000 + n), b"pod-%07d" % n) for n in range(count)
    ]
    return b"".join(block(NAMES, b"".join(part)) for part in _parts(entries, 50_000))


def _parts(values: Sequence[bytes], size: int) -> Iterator[Sequence[bytes]]:
    return (values[at : at + size] for at in range(0, len(values), size))
