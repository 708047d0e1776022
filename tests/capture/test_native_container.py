"""The C container gives what the pure one gives: records, interfaces, names and damage, for every input and cut.

The C source is built by itself, into a shared library that ctypes drives, so that no extension is needed.
"""

from __future__ import annotations

import ctypes
import itertools
import subprocess
from ctypes import POINTER, c_bool, c_char_p, c_int, c_int64, c_size_t, c_uint8, c_uint32, c_uint64, c_void_p
from ipaddress import ip_address
from pathlib import Path

import pytest
from capture.containers import (
    DAMAGED,
    SHORT,
    SKIPPED,
    WHOLE_PCAP,
    WHOLE_PCAPNG,
    block,
    described,
    option,
    packet,
    section,
)
from conftest import REPOSITORY, capture_files, require_tool
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from vxtool.capture import CODES, Container, Damage, Record

NATIVE = REPOSITORY / "vxtool" / "engine" / "native"
PROGRAM = REPOSITORY / "tests" / "engine" / "native" / "test_container.c"
WARNINGS = ["-std=c11", "-Wall", "-Wextra", "-Werror"]
FORMATS = (None, "pcap", "pcap-ns", "pcapng")


class NativeRecord(ctypes.Structure):
    _fields_ = [
        ("time_ns", c_int64),
        ("data", POINTER(c_uint8)),
        ("captured", c_uint32),
        ("length", c_uint32),
        ("interface", c_uint32),
        ("direction", c_uint8),
    ]


class NativeInterface(ctypes.Structure):
    _fields_ = [
        ("link_type", c_uint32),
        ("snaplen", c_uint32),
        ("name", c_char_p),
        ("dropped", c_uint64),
        ("has_dropped", c_bool),
        ("resolution", c_uint8),
        ("offset_seconds", c_int64),
    ]


class NativeName(ctypes.Structure):
    _fields_ = [("family", c_uint8), ("address", c_uint8 * 16), ("name", c_char_p)]


class NativeDamage(ctypes.Structure):
    _fields_ = [
        ("code", c_int),
        ("offset", c_uint64),
        ("record", c_uint64),
        ("value", c_uint32),
        ("expected", c_uint32),
    ]


FUNCTIONS = {
    "new": (c_void_p, []),
    "free": (None, [c_void_p]),
    "offer": (None, [c_void_p, c_char_p, c_size_t]),
    "next": (c_int, [c_void_p, POINTER(NativeRecord)]),
    "detach": (c_int, [c_void_p]),
    "end": (None, [c_void_p]),
    "format": (c_int, [c_void_p]),
    "damage": (POINTER(NativeDamage), [c_void_p]),
    "skipped": (c_uint64, [c_void_p]),
    "first_skipped": (POINTER(NativeDamage), [c_void_p]),
    "records": (c_uint64, [c_void_p]),
    "offset": (c_uint64, [c_void_p]),
    "interface_count": (c_uint32, [c_void_p]),
    "interface": (POINTER(NativeInterface), [c_void_p, c_uint32]),
    "name_count": (c_uint32, [c_void_p]),
    "name": (POINTER(NativeName), [c_void_p, c_uint32]),
}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    path = tmp_path_factory.mktemp("native") / "container.so"
    command = [require_tool("cc"), *WARNINGS, "-O2", "-shared", "-fPIC", str(NATIVE / "container.c")]
    subprocess.run([*command, "-o", str(path)], check=True)
    library = ctypes.CDLL(str(path))
    for name, (result, arguments) in FUNCTIONS.items():
        function = getattr(library, f"vx_container_{name}")
        function.restype, function.argtypes = result, arguments
    return library


def read_natively(library: ctypes.CDLL, pieces: list[bytes], detach: bool = False) -> tuple[object, ...]:
    """All that the C container says of an input that comes in `pieces`; with `detach`, it copies each piece."""
    container = library.vx_container_new()
    record = NativeRecord()
    records = []
    status = 0

    def take(most: int) -> int:
        for _ in range(most):
            status: int = library.vx_container_next(container, ctypes.byref(record))
            if status != 1:
                return status
            data = ctypes.string_at(record.data, record.captured)
            records.append(Record(record.time_ns, record.interface, data, record.length, record.direction))
        return 0

    for piece in pieces:
        chunk = ctypes.create_string_buffer(piece, len(piece) or 1)
        library.vx_container_offer(container, ctypes.cast(chunk, c_char_p), len(piece))
        if detach:
            status = take(1)
            library.vx_container_detach(container)
            ctypes.memset(chunk, 0xA5, len(piece))
        status = take(1 << 30)
    library.vx_container_end(container)
    status = take(1 << 30)
    told = state_natively(library, container)
    assert status == (-1 if library.vx_container_damage(container).contents.code else 0)
    library.vx_container_free(container)
    return records, *told


def state_natively(library: ctypes.CDLL, container: int) -> tuple[object, ...]:
    interfaces = []
    for index in range(library.vx_container_interface_count(container)):
        found = library.vx_container_interface(container, index).contents
        name = None if found.name is None else found.name.decode(errors="replace")
        dropped = found.dropped if found.has_dropped else None
        seconds = found.offset_seconds
        interfaces.append((found.link_type, found.snaplen, name, dropped, found.resolution, seconds))
    names: dict[str, str] = {}
    for index in range(library.vx_container_name_count(container)):
        entry = library.vx_container_name(container, index).contents
        address = bytes(entry.address)[: 4 if entry.family == 4 else 16]
        names.setdefault(str(ip_address(address)), entry.name.decode(errors="replace"))
    damage, first_skipped = (
        Damage(CODES[found.code], found.offset, found.record, found.value, found.expected) if found.code else None
        for found in (
            library.vx_container_damage(container).contents,
            library.vx_container_first_skipped(container).contents,
        )
    )
    return (
        FORMATS[library.vx_container_format(container)],
        interfaces,
        names,
        damage,
        library.vx_container_skipped(container),
        first_skipped,
        library.vx_container_records(container),
        library.vx_container_offset(container),
    )


def read_purely(data: bytes) -> tuple[object, ...]:
    container = Container()
    records = container.feed(data)
    container.end()
    interfaces = [
        (found.link_type, found.snaplen, found.name, found.dropped, found.resolution, found.offset_seconds)
        for found in container.interfaces
    ]
    return (
        records,
        container.format,
        interfaces,
        container.names,
        container.damage,
        container.skipped,
        container.first_skipped,
        container.records,
        container.offset,
    )


def pieces_of(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]
    return [data[start:stop] for start, stop in itertools.pairwise(edges)]


@pytest.mark.parametrize(("data", "damage"), DAMAGED + SKIPPED, ids=lambda value: getattr(value, "code", None))
def test_damage_is_the_same(library: ctypes.CDLL, data: bytes, damage: Damage) -> None:
    assert damage in (read_purely(data)[4], read_purely(data)[6])
    assert read_natively(library, [data]) == read_purely(data)


@pytest.mark.parametrize("data", [WHOLE_PCAP, WHOLE_PCAPNG, *SHORT])
def test_a_byte_at_a_time_changes_nothing(library: ctypes.CDLL, data: bytes) -> None:
    assert read_natively(library, pieces_of(data, list(range(1, len(data))))) == read_purely(data)


def test_the_sample_captures_are_the_same(library: ctypes.CDLL) -> None:
    for path in capture_files():
        data = path.read_bytes()
        assert read_natively(library, pieces_of(data, list(range(0, len(data), 1009)))) == read_purely(data), path


def test_limits_are_the_same(library: ctypes.CDLL) -> None:
    names = section() + b"".join(described(option(2, name)) for name in (b"e" * 999, b"\0x", b""))
    assert read_natively(library, [names]) == read_purely(names)
    many = b"".join(option(1, n.to_bytes(4, "big") + b"n\0") for n in range(70_000))
    assert read_natively(library, [section() + block(4, many)]) == read_purely(section() + block(4, many))


@st.composite
def options(draw: st.DrawFn, order: str) -> bytes:
    """Options of every known code with values of the right and of wrong sizes."""
    sized = {1: st.binary(max_size=24), 2: st.binary(max_size=24), 5: st.binary(min_size=8, max_size=8)}
    sized |= {9: st.binary(min_size=1, max_size=1), 14: st.binary(min_size=8, max_size=8)}
    sized |= {0: st.just(b"")}
    codes = draw(st.lists(st.sampled_from(sorted(sized)), max_size=4))
    right = st.integers(0, 9)
    values = [draw(sized[code] if draw(right) else st.binary(max_size=9)) for code in codes]
    return b"".join(option(code, value, order) for code, value in zip(codes, values, strict=True))


@st.composite
def pcapng_files(draw: st.DrawFn) -> bytes:
    """Blocks of all kinds in both byte orders, most of them right."""
    order = draw(st.sampled_from("<>"))
    data = section(order) + described(draw(options(order)), order=order)
    for kind in draw(st.lists(st.sampled_from("siippppPSTNu"), max_size=8)):
        index = draw(st.integers(0, 2) if draw(st.integers(0, 3)) == 0 else st.just(0))
        body = draw(st.binary(max_size=20))
        ticks = draw(st.integers(0, (1 << 64) - 1))
        flags = option(2, draw(st.integers(0, 31)).to_bytes(4, "little" if order == "<" else "big"), order)
        word = index.to_bytes(4, "little" if order == "<" else "big")
        match kind:
            case "s":
                order = draw(st.sampled_from("<>"))
                data += section(order) + described(draw(options(order)), snaplen=5, order=order)
            case "i":
                snaplen = draw(st.integers(0, 9))
                data += described(draw(options(order)), link_type=index, snaplen=snaplen, order=order)
            case "p":
                data += packet(body, ticks, index, flags, order=order)
            case "P":
                data += packet(body, ticks, index, draw(options(order)), order=order)
            case "S":
                data += block(3, word + body, order)
            case "T":
                data += block(5, word + bytes(8) + draw(options(order)), order)
            case "N":
                data += block(4, draw(options(order)), order)
            case "u":
                data += block(draw(st.integers(2, 9)), body, order)
    return data


@st.composite
def inputs(draw: st.DrawFn) -> bytes:
    """A capture: whole, cut short, with bytes changed, or no capture at all."""
    data = bytearray(draw(st.one_of(st.just(WHOLE_PCAP), pcapng_files(), pcapng_files(), st.binary(max_size=40))))
    if data and draw(st.booleans()):
        changes = st.lists(st.tuples(st.integers(0, len(data) - 1), st.integers(0, 255)), max_size=3)
        for at, value in draw(changes):
            data[at] = value
        data = data[: draw(st.one_of(st.just(len(data)), st.integers(0, len(data))))]
    return bytes(data)


@settings(deadline=None, max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=inputs(), cuts=st.lists(st.integers(0, 600), max_size=5), detach=st.booleans())
@example(data=WHOLE_PCAPNG, cuts=[], detach=True)
def test_both_give_the_same_for_every_input_and_cut(
    library: ctypes.CDLL, data: bytes, cuts: list[int], detach: bool
) -> None:
    assert read_natively(library, pieces_of(data, cuts), detach) == read_purely(data)


@pytest.mark.parametrize("sanitizers", ["", "address,undefined"])
def test_the_tests_in_c_pass(tmp_path: Path, sanitizers: str) -> None:
    program = tmp_path / "test_container"
    command = [require_tool("cc"), *WARNINGS, "-g", f"-I{NATIVE}", str(PROGRAM), "-o", str(program)]
    if sanitizers:
        checked = [f"-fsanitize={sanitizers}", "-fno-sanitize-recover=all"]
        empty = tmp_path / "empty.c"
        empty.write_text("int main(void) { return 0; }\n")
        trial = subprocess.run([command[0], *checked, str(empty), "-o", str(program)], capture_output=True)
        if trial.returncode:
            pytest.skip(f"the compiler has no -fsanitize={sanitizers}")
        command += checked
    subprocess.run(command, check=True)
    done = subprocess.run([str(program)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "0 failures" in done.stdout
