"""The columns of captures, by the plain twin and by the C, as lines to compare; and frames that tshark judged."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from conftest import REPOSITORY, require_tool

from vxtool.capture.container import Container
from vxtool.listing.echoes import Echoes, echo_text
from vxtool.listing.fragments import Fragments
from vxtool.listing.info import end_text, info_text
from vxtool.listing.seen import read

NATIVE = REPOSITORY / "tests" / "summary" / "native"
WARNINGS = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-O1"]


class Frame(NamedTuple):
    """One frame, and what tshark 4.0 says of it (`-d udp.port==8472,vxlan`, TCP neither analysed nor relative)."""

    name: str
    """The group, of frames that belong together in this order, and the frame's own."""
    link_type: int
    length: int
    data: bytes
    source: str
    destination: str
    protocol: str
    info: str


def known_frames() -> list[Frame]:
    """The frames of frames.tsv."""
    lines = (Path(__file__).with_name("frames.tsv")).read_text(encoding="utf-8").splitlines()
    rows = [line.split("\t") for line in lines]
    return [Frame(row[0], int(row[1]), int(row[2]), bytes.fromhex(row[3]), *row[4:8]) for row in rows]


def plain_lines(capture: bytes) -> list[str]:
    """Number, source, destination, protocol, length and info of each record, between tabs."""
    container = Container()
    fragments, echoes = Fragments(1024), Echoes(1024)
    lines = []
    for number, record in enumerate(container.feed(capture), 1):
        link_type = container.interfaces[record.interface].link_type
        seen = fragments.take(read(record.data, record.length, link_type), 0)
        info = info_text(seen) + echo_text(echoes.take(seen, number))
        ends = end_text(seen.source), end_text(seen.destination)
        lines.append("\t".join((str(number), *ends, seen.protocol, str(seen.length), info)))
    return lines


def build_native(directory: Path) -> Path:
    """Compile the program that prints the same by the C."""
    program = directory / "print_lines"
    engine = [REPOSITORY / f"vxtool/engine/native/{part}.c" for part in ("container", "intake", "table", "stock")]
    sources = [NATIVE / "print_lines.c", *engine]
    for part in ("packet", "listing"):
        sources += sorted((REPOSITORY / "vxtool" / part / "native").glob("*.c"))
    includes = [f"-I{REPOSITORY / 'vxtool' / part / 'native'}" for part in ("packet", "engine", "listing")]
    subprocess.run([require_tool("cc"), *WARNINGS, *includes, *map(str, sources), "-o", program], check=True)
    return program


def native_lines(program: Path, capture: Path) -> list[str]:
    """What the C says."""
    ran = subprocess.run([program, capture], capture_output=True, text=True, encoding="utf-8", check=True)
    return ran.stdout.splitlines()


def to_pcap(frames: Iterable[tuple[bytes, int]], link_type: int) -> bytes:
    """A capture of frames and their lengths on the wire."""
    parts = [struct.pack("<IHHIIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, link_type)]
    for second, (data, length) in enumerate(frames):
        parts += [struct.pack("<IIII", second, 0, len(data), length), data]
    return b"".join(parts)
