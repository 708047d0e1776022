"""filter.c says the same as its plain twin: of random programs and of random texts, on random lines.

VXTOOL_EXAMPLES=5000 asks so many programs, other ones each time.
"""

from __future__ import annotations

import os
import random
import struct
import subprocess
from pathlib import Path

import pytest
from conftest import REPOSITORY, require_tool
from summary.lines import PlainNote, PlainSeen

from vxtool.listing.facts import OUTCOMES, Facts
from vxtool.listing.filter import (
    ACCEPT,
    ALL_BITS,
    LEAST,
    MOST,
    REJECT,
    Field,
    FieldTest,
    Filter,
    Program,
)
from vxtool.listing.filter_fields import FILTER_FIELDS, FilterField
from vxtool.listing.filter_text import FilterNames, compile_filter

_ASKED = os.environ.get("VXTOOL_EXAMPLES")
PROGRAMS = int(_ASKED or 600)
SEED = random.randrange(1 << 40) if _ASKED else 7
LINES = 20

# Alphabets are small, so that values meet.
_PODS = (None, "default/curl", "default/web", "curl", "shop/", "/web", "a*b/c", "")
_NAMES = (None, "eth1", "ETH1", "eth2", "é1", "eth", "aab", "")
_PATTERNS = (
    "*",
    "eth*",
    "*1",
    "e*h*1",
    "eth1",
    "",
    "**",
    "default/*",
    "*/web",
    "curl",
    "a*b",
    "é*",
    "t",
    "TLS*",
    "*a*ab",
)
_OCTETS = {1: (b"\n\0\0\1", b"\n\0\0\2", b"\n\1\0\0"), 2: (b"\xfd" + bytes(15), b"\xfd" + bytes(14) + b"\1")}
_OCTETS[3] = (bytes(6), b"\2\0\0\0\1\1")
_NUMBERS = (0, 1, 2, 4, 6, 8, 17, 63, 64, 80, 255, 1500, 0xFFFF, 36705, 1 << 24, (1 << 32) - 1)


@pytest.fixture(scope="module")
def asker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = tmp_path_factory.mktemp("filter") / "ask_filter"
    command = [require_tool("cc"), "-std=c11", "-Wall", "-Wextra", "-Werror", "-O1"]
    command += [f"-I{REPOSITORY}/vxtool/{part}/native" for part in ("packet", "listing")]
    sources = (REPOSITORY / "tests/summary/native/ask_filter.c", REPOSITORY / "vxtool/listing/native/filter.c")
    subprocess.run([*command, *map(str, sources), "-o", str(program)], check=True)
    return program


def test_random_programs(asker: Path) -> None:
    chance = random.Random(SEED)
    _assert_same(
        asker, [(repr(program), program) for program in (_program(chance) for _ in range(PROGRAMS))], chance
    )


def test_random_texts(asker: Path) -> None:
    chance = random.Random(SEED + 1)
    names = FilterNames(lambda name: [1, 36705], ["eth1.pcap", "b.pcap"])
    texts = [_text(chance, 3) for _ in range(PROGRAMS)]
    _assert_same(asker, [(text, compile_filter(text, names)) for text in texts], chance)


def _assert_same(asker: Path, programs: list[tuple[str, Program]], chance: random.Random) -> None:
    asked, expected = [], []
    for _, program in programs:
        lines = [_line(chance) for _ in range(LINES)]
        packed = program.packed()
        asked += [struct.pack(">I", len(packed)), packed, struct.pack(">I", LINES), *map(_packed, lines)]
        wanted = Filter(program)
        expected.append("".join("1" if wanted.holds(line) else "0" for line in lines))
    done = subprocess.run([str(asker)], input=b"".join(asked), capture_output=True, check=True)
    answers = done.stdout.decode().splitlines()
    assert len(answers) == len(programs)
    for (what, _), answer, wanted_answer in zip(programs, answers, expected, strict=True):
        assert answer == wanted_answer, what
    # Not for want of lines that are chosen.
    ones = "".join(answers).count("1")
    assert 0.1 < ones / (len(programs) * LINES) < 0.9


# Programs.


def _program(chance: random.Random) -> Program:
    count = chance.choice([0, 1, 1, 2, 3, 8])
    texts = b"".join(chance.choice(_PATTERNS).encode() for _ in range(4))
    return Program(tuple(_test(chance, number, count, len(texts)) for number in range(count)), texts)


def _test(chance: random.Random, number: int, count: int, size: int) -> FieldTest:
    onward = [ACCEPT, REJECT, *range(number + 1, count)]
    test = FieldTest(
        chance.choice([*Field]),
        chance.randrange(2),
        if_true=chance.choice(onward),
        if_false=chance.choice(onward),
    )
    if test.field < Field.ENDS:
        bounds = sorted((_number(chance), _number(chance)))
        mask = chance.choice([ALL_BITS, ALL_BITS, ALL_BITS, 1, 2, 0xFF, 0, 1 << 63, chance.getrandbits(64)])
        return test._replace(
            choice=chance.choice([0, 0, 1, 4, 6, 17, 58, 255]), mask=mask, low=bounds[0], high=bounds[1]
        )
    if test.field < Field.PROTOCOL:
        kind = chance.choice([1, 2, 3])
        bounds = sorted(int.from_bytes(chance.choice(_OCTETS[kind]), "big") for _ in range(2))
        return test._replace(choice=chance.choice([14, 14, 2, 4, 8, 0]), how=kind, low=bounds[0], high=bounds[1])
    begin = chance.randint(0, size)
    return test._replace(
        choice=chance.randrange(3), how=chance.randrange(4), low=begin, high=chance.randint(0, min(size - begin, 6))
    )


def _number(chance: random.Random) -> int:
    return chance.choice([LEAST, MOST, -1, *_NUMBERS, *_NUMBERS])


# Texts.


def _text(chance: random.Random, deep: int) -> str:
    kind = chance.randrange(4) if deep else 0
    if kind == 1:
        return f"{chance.choice(['!', 'not '])}{_text(chance, deep - 1)}"
    if kind:
        parts = [_text(chance, deep - 1) for _ in range(chance.randint(2, 3))]
        text = chance.choice([" && ", " || ", " and ", " or "]).join(parts)
        return f"({text})" if chance.random() < 0.7 else text
    field = chance.choice(FILTER_FIELDS)
    name = chance.choice([field.name, *field.aliases])
    if field.kind == "condition" or chance.random() < 0.1:
        return name
    if chance.random() < 0.2:
        return f"{name} in {{{', '.join(_value(chance, field) for _ in range(chance.randint(1, 3)))}}}"
    return f"{name} {chance.choice(['==', '==', '!=', 'eq'])} {_value(chance, field)}"


def _value(chance: random.Random, field: FilterField) -> str:
    match field.kind:
        case "number" | "identity":
            return str(chance.choice([number for number in _NUMBERS if number <= field.most]))
        case "flag":
            return chance.choice(["0", "1", "true"])
        case "seconds" | "epoch":
            return chance.choice(["0", "0.000000001", "63", "-1"])
        case "duration":
            return chance.choice(["0ns", "1ns", "64ns", "1ms"])
        case "address":
            return chance.choice(
                {
                    2: ["10.0.0.1", "10.0.0.0/8", "10.0.0.0/24"],
                    4: ["fd00::", "fd00::/8"],
                    8: ["02:00:00:00:01:01"],
                    6: ["10.0.0.1", "10.0.0.0/24", "fd00::/8", "0.0.0.0/0"],
                }[field.choice]
            )
        case "input":
            return chance.choice(["1", "2", "b.pcap", "*"])
        case "outcome":
            return chance.choice(OUTCOMES[1:])
        case "time":
            return "1970-01-01T00:00:00Z"
    return f'"{chance.choice(_PATTERNS)}"'


# Lines.


def _end(chance: random.Random, *kinds: int) -> tuple[int, bytes] | None:
    kind = chance.choice(kinds)
    return (kind, chance.choice(_OCTETS[kind])) if kind else None


def _line(chance: random.Random) -> Facts:
    is_ipv6 = chance.random() < 0.5
    transport = chance.choice([6, 6, 6, 17, 17, 1, 58, 132, None])
    short = chance.choice([1, 2, 17, 80])
    ip = None
    if transport is not None:
        ip = bytes(chance.choice(_NUMBERS) & 0xFF for _ in range(40 if is_ipv6 else 20))
    header_size = {6: 20, 17: 8, 1: 8, 58: 8, None: 28}.get(transport)
    header = None
    if header_size is not None and chance.random() < 0.8:
        header = bytes(chance.choice(_NUMBERS) & 0xFF for _ in range(header_size))
    kinds = (3, 0) if ip is None else (2,) if is_ipv6 else (1,)
    tunnel = chance.choice([None, "vxlan", "geneve"])
    outer = chance.choice([1, 2]) if tunnel else 0
    seen = PlainSeen(
        captured=chance.choice(_NUMBERS) & 0xFFFF,
        length=chance.choice(_NUMBERS) & 0xFFFFFFFF,
        source=_end(chance, *kinds),
        destination=_end(chance, *kinds),
        tunnel=tunnel,
        vni=chance.choice([1, 36705]) if tunnel else None,
        outer_source=_end(chance, outer),
        outer_destination=_end(chance, outer),
        outer_source_port=short,
        outer_destination_port=80,
        ip=ip,
        is_ipv6=is_ipv6,
        ttl=chance.choice([63, 64]),
        transport=transport,
        has_ports=transport in (6, 17) and header is not None,
        source_port=short,
        destination_port=chance.choice([80, 63]),
        header=header,
        payload_length=chance.choice(_NUMBERS) & 0xFFFF,
    )
    note = PlainNote(*(chance.choice(_NUMBERS) & 0xFFFFFFFF for _ in range(7))) if chance.random() < 0.7 else None
    return Facts(
        seen,
        note,
        record=chance.choice(_NUMBERS),
        input=chance.randrange(2),
        time_ns=chance.choice([0, -1, 63, MOST]),
        relative_ns=chance.choice([0, 1, -1_000_000_000, 63_000_000_000]),
        latency_ns=chance.choice([None, 0, 1, 64, 1_000_000]),
        protocol=chance.choice(["TLSv1.3", "TCP", "DNS", "HTTP/XML", "eth1"]),
        source_pod=chance.choice(_PODS),
        destination_pod=chance.choice(_PODS),
        source_node=chance.choice(_NAMES),
        destination_node=chance.choice(_NAMES),
        ingress=chance.choice(_NAMES),
        egress=chance.choice(_NAMES),
        source_identity=chance.choice([None, 0, 1, 36705]),
        destination_identity=chance.choice([None, 2, 36705]),
        outcome=chance.randrange(len(OUTCOMES)),
    )


def _packed(line: Facts) -> bytes:
    """As ask_filter.c reads it."""
    seen, note = line.seen, line.note or PlainNote()

    def end(value: tuple[int, bytes] | None) -> bytes:
        return b"\0" if value is None else bytes([value[0]]) + value[1]

    def block(data: bytes | None) -> bytes:
        return b"\xff\xff" if data is None else struct.pack(">H", len(data)) + data

    def known(value: int | None) -> int:
        return -1 if value is None else value

    texts = (
        line.protocol,
        line.source_pod,
        line.destination_pod,
        line.source_node,
        line.destination_node,
        line.ingress,
        line.egress,
    )
    tunnel = {None: 0, "vxlan": 1, "geneve": 2}[seen.tunnel]
    return b"".join(
        [
            struct.pack(">II", seen.captured, seen.length),
            end(seen.source),
            end(seen.destination),
            struct.pack(">Bi", tunnel, known(seen.vni)),
            end(seen.outer_source),
            end(seen.outer_destination),
            struct.pack(">HH", seen.outer_source_port, seen.outer_destination_port),
            block(seen.ip),
            struct.pack(">BBhB", seen.is_ipv6, seen.ttl, known(seen.transport), seen.has_ports),
            struct.pack(">HH", seen.source_port, seen.destination_port),
            block(seen.header),
            struct.pack(">IB", seen.payload_length, line.note is not None),
            struct.pack(">5I", note.stream, note.notes, note.sequence, note.acknowledgement, note.window),
            struct.pack(">IQ", note.duplicate_number, note.duplicate_of),
            struct.pack(">QI", line.record, line.input),
            struct.pack(">qqq", line.time_ns, line.relative_ns, known(line.latency_ns)),
            struct.pack(">qqB", known(line.source_identity), known(line.destination_identity), line.outcome),
            *(block(None if text is None else text.encode()) for text in texts),
        ]
    )
