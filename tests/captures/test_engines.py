"""Both engines say the same of every sample capture, however it is packed and however its bytes arrive."""

from __future__ import annotations

import gzip
import json
import lzma
import random
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from captures.samples import Sample, samples
from conftest import CAPTURES, REPOSITORY, capture_files, require_module, require_native

import vxtool
from vxtool.engine import make_engine
from vxtool.engine.options import EngineOptions
from vxtool.engine.tables import Tables
from vxtool.report import RENDERERS, Target

ENGINES = ("pure", "native")
every_sample = pytest.mark.parametrize("one", samples(), ids=lambda one: one.name)
every_file = pytest.mark.parametrize("path", capture_files(), ids=lambda path: path.name)


def zstd_compressed(data: bytes) -> bytes:
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        require_module("backports.zstd")
        from backports import zstd
    packed: bytes = zstd.compress(data)
    return packed


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "xz": lzma.compress,
    "zstd": zstd_compressed,
}


@pytest.fixture
def text_of(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Analyze with one engine, and return the report as JSON text without `tool`, which names the engine."""

    def analyze(engine: str, paths: Iterable[str], **options: Any) -> str:
        monkeypatch.setenv("VXTOOL_ENGINE", engine)
        report: Any = vxtool.analyze(list(paths), **options)
        assert report.pop("tool")["engine"] == engine
        text: str = RENDERERS["json"](report, Target())
        return text

    return analyze


@every_sample
def test_both_engines_give_the_same_bytes(one: Sample, text_of: Callable[..., str]) -> None:
    require_native()
    knowing = {"cluster": one.cluster, "links": one.links}
    assert text_of("native", one.paths, **knowing) == text_of("pure", one.paths, **knowing)
    assert text_of("native", one.paths) == text_of("pure", one.paths)


@every_file
def test_both_engines_give_the_same_bytes_for_each_file_alone(path: Path, text_of: Callable[..., str]) -> None:
    require_native()
    assert text_of("native", [str(path)]) == text_of("pure", [str(path)])


@every_sample
def test_the_bytes_do_not_depend_on_how_many_threads_work(
    one: Sample, engine: str, text_of: Callable[..., str]
) -> None:
    alone = text_of(engine, one.paths, jobs=1)
    assert all(text_of(engine, one.paths, jobs=jobs) == alone for jobs in (2, 3))


@pytest.mark.parametrize("kind", PACKERS)
@every_file
def test_a_packed_capture_gives_the_same_bytes(
    path: Path, kind: str, engine: str, text_of: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The same name in another folder: then the compression is all that may differ.
    (tmp_path / path.name).write_bytes(PACKERS[kind](path.read_bytes()))
    monkeypatch.chdir(tmp_path)
    packed = text_of(engine, [path.name])
    monkeypatch.chdir(CAPTURES)
    plain = text_of(engine, [path.name])
    assert packed == plain.replace('"compression": null', f'"compression": "{kind}"')


def pieces(data: bytes, seed: int) -> Iterator[bytes]:
    """The bytes in pieces of 1 to 400, as a pipe might give them."""
    sizes = random.Random(seed)
    at = 0
    while at < len(data):
        size = sizes.choice((1, 2, 3, 5, 7, 13, 24, 50, 101, 400))
        yield data[at : at + size]
        at += size


def tables_of(engine: str, inputs: list[Iterable[bytes]]) -> Tables:
    """What an engine makes of inputs that arrive piece by piece."""
    made = make_engine(EngineOptions(inputs=len(inputs)), engine)
    arriving = [iter(one) for one in inputs]
    while (index := made.wants()) is not None:
        piece = next(arriving[index], None)
        if piece is None:
            made.end(index)
        else:
            made.feed(index, piece)
    return made.tables()


@every_sample
def test_however_the_bytes_arrive_the_tables_are_the_same(one: Sample, engine: str) -> None:
    contents = [Path(path).read_bytes() for path in one.paths]
    whole = tables_of(engine, [[data] for data in contents])
    for seed in (1, 2):
        assert tables_of(engine, [pieces(data, seed) for data in contents]) == whole


@every_sample
def test_both_engines_make_the_same_tables_of_pieces(one: Sample) -> None:
    require_native()
    contents = [Path(path).read_bytes() for path in one.paths]
    native, pure = (tables_of(engine, [pieces(data, 3) for data in contents]) for engine in ENGINES)
    assert native == pure


def piped(data: bytes) -> str:
    """The report on standard input, written in odd pieces, as JSON text without `tool`."""
    command = [sys.executable, "-P", "-m", "vxtool", "analyze", "--format", "json", "-"]
    with subprocess.Popen(
        command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for piece in pieces(data, 4):
            process.stdin.write(piece)
        process.stdin.close()
        report = json.loads(process.stdout.read())
    assert process.returncode == 0
    del report["tool"]
    return json.dumps(report, indent=2, ensure_ascii=False) + "\n"


@pytest.mark.parametrize("kind", ["plain", *PACKERS])
@pytest.mark.parametrize("name", ["vxlan.pcap", "ping-http.pcap", "four-ways.pcapng"])
def test_standard_input_gives_what_the_file_gives(
    name: str, kind: str, engine: str, text_of: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = (CAPTURES / name).read_bytes()
    monkeypatch.chdir(CAPTURES)
    plain = text_of(engine, [name])
    found = piped(PACKERS[kind](data) if kind != "plain" else data)
    if kind != "plain":
        plain = plain.replace('"compression": null', f'"compression": "{kind}"')
    assert found == plain.replace(f'"path": "{name}"', '"path": "-"').replace(f'"input": "{name}"', '"input": "-"')
