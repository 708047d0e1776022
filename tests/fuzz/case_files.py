"""Cases (see native/cases.h) for Python: the C mutator and dealer, built into a library of their own."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path
from typing import NamedTuple

from vxtool.engine.options import EngineOptions

NATIVE = Path(__file__).resolve().parent / "native"
SOURCES = ("layout.c", "cases.c", "mutate.c", "plain.c")
FRONT, MOST_INPUTS, MOST_CASE = 16, 3, 1 << 16


class _Case(ctypes.Structure):
    _fields_ = (
        ("inputs", ctypes.c_uint32),
        ("window", ctypes.c_uint64),
        ("settle", ctypes.c_uint64),
        ("most_journeys", ctypes.c_uint64),
        ("most_fragments", ctypes.c_uint64),
        ("most_flows", ctypes.c_uint64),
        ("most_tunnels", ctypes.c_uint64),
        ("most_places", ctypes.c_uint64),
        ("most_paths", ctypes.c_uint64),
        ("most_rows", ctypes.c_uint64),
        ("most_datagrams", ctypes.c_uint64),
        ("most_sightings", ctypes.c_uint64),
        ("seed", ctypes.c_uint32),
        ("bytes", ctypes.c_void_p),
        ("size", ctypes.c_size_t),
    )


class Case(NamedTuple):
    options: EngineOptions
    files: list[bytes]
    seed: int


class CaseLibrary:
    def __init__(self, folder: Path) -> None:
        """Build it in `folder`, where it is not there or old."""
        path = folder / "cases.so"
        newest = max(source.stat().st_mtime for source in NATIVE.iterdir())
        if not path.exists() or path.stat().st_mtime < newest:
            folder.mkdir(parents=True, exist_ok=True)
            sources = [str(NATIVE / name) for name in SOURCES]
            subprocess.run(["cc", "-std=c11", "-O2", "-shared", "-fPIC", *sources, "-o", str(path)], check=True)
        self._library = ctypes.CDLL(str(path))
        for name in ("mutate_case", "cross_cases"):
            getattr(self._library, name).restype = ctypes.c_size_t
        self._library.read_case.restype = ctypes.c_bool
        self._space = ctypes.create_string_buffer(MOST_CASE)
        self._files = ctypes.create_string_buffer(MOST_CASE * MOST_INPUTS)
        self._sizes = (ctypes.c_size_t * MOST_INPUTS)()

    def mutate(self, data: bytes, most: int, seed: int) -> bytes:
        ctypes.memmove(self._space, data, len(data))
        size = self._library.mutate_case(
            self._space, ctypes.c_size_t(len(data)), ctypes.c_size_t(most), ctypes.c_uint64(seed)
        )
        return self._space.raw[:size]

    def cross(self, data: bytes, other: bytes, most: int, seed: int) -> bytes:
        """Some records of the other put into the one."""
        ctypes.memmove(self._space, data, len(data))
        size = self._library.cross_cases(
            self._space,
            ctypes.c_size_t(len(data)),
            ctypes.c_size_t(most),
            other,
            ctypes.c_size_t(len(other)),
            ctypes.c_uint64(seed),
        )
        return self._space.raw[:size]

    def read(self, data: bytes) -> Case | None:
        """What a case means; None where it is none."""
        row = _Case()
        if not self._library.read_case(data, ctypes.c_size_t(len(data)), ctypes.byref(row)):
            return None
        self._library.deal(ctypes.byref(row), self._files, self._sizes)
        files = [
            ctypes.string_at(ctypes.addressof(self._files) + number * MOST_CASE, self._sizes[number])
            for number in range(row.inputs)
        ]
        options = EngineOptions(
            inputs=row.inputs,
            window=row.window,
            settle=row.settle,
            most_journeys=row.most_journeys,
            most_fragments=row.most_fragments,
            most_flows=row.most_flows,
            most_tunnels=row.most_tunnels,
            most_places=row.most_places,
            most_paths=row.most_paths,
            most_rows=row.most_rows,
            most_datagrams=row.most_datagrams,
            most_sightings=row.most_sightings,
        )
        return Case(options, files, row.seed)
