"""The Python face under atheris: whatever bytes come, an answer or one of vxtool's own errors in one line.

    PYTHONPATH=tests python -P -m fuzz.python_face TARGET [libFuzzer options and corpora ...]

run.py calls it so. Plain Python is traced for what it reaches; the C is not, which has targets of its own.
"""

from __future__ import annotations

import atexit
import itertools
import json
import os
import random
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import atheris
from fuzz.case_files import FRONT, CaseLibrary
from fuzz.run import BUILD
from fuzz.seeds import LINKS, REPOSITORY

with atheris.instrument_imports(include=["vxtool"]):
    import vxtool
    import vxtool.analysis
    import vxtool.analysis.expectation_file
    import vxtool.analysis.flow_list
    import vxtool.api
    import vxtool.capture.container
    import vxtool.capture.source
    import vxtool.cluster
    import vxtool.cluster.links
    import vxtool.cluster.load
    import vxtool.cluster.routes
    import vxtool.convert.extract
    import vxtool.durations
    import vxtool.engine.pure
    import vxtool.listing.applications
    import vxtool.listing.detail
    import vxtool.listing.filter_text
    import vxtool.listing.layers
    import vxtool.listing.lister
    import vxtool.listing.pure
    import vxtool.overheads
    import vxtool.packet.decoder
    import vxtool.packet.encoder
    import vxtool.report
    import vxtool.report.record
    import vxtool.report.text
    from vxtool.errors import PacketError, VxtoolError

from summary.lines import lines_of  # behind what is traced
from summary.lists import both_texts, some_wish

LIBRARY = CaseLibrary(BUILD / "differential")
FOLDER = Path(tempfile.mkdtemp(prefix="vxtool-fuzz-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None))
INPUT = FOLDER / "input"
MOST = 1 << 14


@atexit.register
def _clean() -> None:
    INPUT.unlink(missing_ok=True)
    FOLDER.rmdir()


def check_refusal(error: VxtoolError) -> None:
    """One line, and nothing in it that a terminal would obey."""
    text = str(error)
    assert text, type(error)
    assert text.isprintable(), text


def check_page(text: str) -> None:
    """Nothing that a terminal would obey, but for line feeds."""
    assert text.replace("\n", "").isprintable(), [char for char in text if not char.isprintable()][:5]


# Captures.


def container(data: bytes) -> None:
    """The plain reader: whole and cut it gives the same records."""
    data = data[FRONT:]
    readers = [vxtool.capture.container.Container(), vxtool.capture.container.Container(keep_comments=True)]
    whole, cut = readers
    records = [record[:5] for record in whole.feed(data)]
    pieces = []
    for start in range(0, len(data), 37):
        pieces += [record[:5] for record in cut.feed(data[start : start + 37])]
    for reader in readers:
        reader.end()
    assert records == pieces
    assert whole.damage == cut.damage
    assert len(records) * 16 <= len(data)


def engine(data: bytes) -> None:
    """The plain engine: no record is lost, and cutting changes nothing."""
    case = LIBRARY.read(data)
    if case is None:
        return
    tables = []
    for size in (1 << 20, 53):
        made = vxtool.engine.pure.PureEngine(case.options)
        for index, file in enumerate(case.files):
            for start in range(0, len(file), size):
                made.feed(index, file[start : start + size])
            made.end(index)
        tables.append(made.tables())
    for name in tables[0]._fields:
        assert getattr(tables[0], name) == getattr(tables[1], name), name
    assert sum(row.records for row in tables[0].inputs) == tables[0].counters.records


def chosen(data: bytes, among: int) -> int:
    """One of so many, as a byte in front says that the C targets make no use of."""
    return data[14] % among if len(data) > 14 else 0


def analyze(data: bytes) -> None:
    """The whole way through the native engine, and the report in some format."""
    INPUT.write_bytes(data[FRONT:])
    report = vxtool.api.analyze([str(INPUT)], jobs=1, top=5, window_ns=1_000_000 if data[:1] > b"\x7f" else 10**9)
    item = report["inputs"][0]
    assert report["capture"]["records"] == item["records"]
    name = list(vxtool.report.RENDERERS)[chosen(data, len(vxtool.report.RENDERERS))]
    text = vxtool.report.RENDERERS[name](report, vxtool.report.Target(width=60 + data[1] if data[1:] else 80))
    if name in ("text", "json"):
        check_page(text)


def flows(data: bytes) -> None:
    """The list of flows, or of packets."""
    INPUT.write_bytes(data[FRONT:])
    listed = vxtool.api.flows([str(INPUT)], jobs=1, packets=chosen(data, 2) > 0)
    assert listed["flows_shown"] <= listed["flows_matching"] <= listed["flows_total"]
    list(itertools.islice(listed["flows"], 50))


def summary(data: bytes) -> None:
    """The packet list of the native engine, with what messages of applications tell."""
    INPUT.write_bytes(data[FRONT:])
    chance = random.Random(data[:FRONT])
    asked = some_wish(chance)
    listed = vxtool.api.summary([str(INPUT)], jobs=1, **asked)
    text = b"".join(listed.blocks()).decode()
    lines = text.split("\n")
    if asked["format"] == "json":
        check_page(text)
        records = json.loads(text)["records"]
        assert len(records) == listed.lines
        assert len({record["number"] for record in records if "number" in record}) in (0, listed.lines)
    elif asked["format"] == "tsv":
        check_page(text.replace("\t", ""))
        assert len(lines) == listed.lines + 2
        assert len({line.count("\t") for line in lines[:-1]}) == 1
    else:
        check_page(text.replace("\x1b", "") if asked["target"].color else text)
        assert len(lines) > listed.lines
        if not asked["fit"]:
            assert len(lines) == listed.lines + 1


def detail(data: bytes) -> None:
    """One record in full, in both formats."""
    INPUT.write_bytes(data[FRONT:])
    found = vxtool.api.summary_detail([str(INPUT)], 1 + chosen(data, 8), jobs=1)
    check_spans([*found["layers"]], found["captured"])
    for render in vxtool.report.RECORD_RENDERERS.values():
        check_page(render(found, vxtool.report.Target(width=60 + data[1])))


def check_spans(items: Sequence[Any], captured: int) -> None:
    """What is said to stand in the record, does."""
    for item in items:
        assert item["offset"] >= 0, item
        assert item["length"] >= 0, item
        assert item["offset"] + item["length"] <= captured, item
        check_spans(item["fields"], captured)


def convert(data: bytes) -> None:
    """Captures made of captures are captures again."""
    INPUT.write_bytes(data[FRONT:])
    path, made = str(INPUT), FOLDER / "made"
    ways: list[Callable[[], object]] = [
        lambda: vxtool.api.decap([path], str(made), jobs=1),
        lambda: vxtool.api.extract([path], str(made), outcomes=["dropped", "forwarded"], jobs=1),
        lambda: vxtool.api.encap(path, str(made), source="10.0.0.1", destination="10.0.0.2", vni=7),
        lambda: vxtool.api.encap(path, str(made), source="fd00::1", destination="fd00::2", vni=7, tunnel="geneve"),
    ]
    try:
        ways[chosen(data, len(ways))]()
        item = vxtool.api.analyze([str(made)], jobs=1)["inputs"][0]
        assert item["error"] is None, item["error"]
        assert not item["truncated"]
    finally:
        made.unlink(missing_ok=True)


# Packets.


def decode(data: bytes) -> None:
    """Both codecs: equal values, equal refusals; what was decoded without a problem is encoded back."""
    if len(data) < 8:
        return
    link_type = LINKS[data[0] % len(LINKS)]
    if link_type == 147:
        link_type = 1
    frame = data[8:]
    length = len(frame) + data[4] if data[3] & 1 else None
    answers = []
    for codec in (vxtool.packet.decoder.decode, vxtool.decode):
        try:
            answers.append(codec(frame, link_type, length))
        except PacketError as error:
            check_refusal(error)
            answers.append(str(error))
    assert answers[0] == answers[1], answers
    packet = answers[0]
    if isinstance(packet, str) or packet.problems or length is not None:
        return
    encode = vxtool.packet.encoder.encode
    assert encode(*packet.layers, payload=packet.payload, padding=packet.padding) == frame, packet


# The operator's files.


def cluster(data: bytes) -> None:
    INPUT.write_bytes(data[1:])
    kind = data[0] % 4 if data else 0
    if kind == 0 or kind == 1:
        known = vxtool.cluster.load.load_cluster([str(INPUT)], cluster_id_bits=8 + kind)
        for address in ("10.0.0.1", "fd00::1"):
            known.identity_of(address)
            known.is_node_address(address)
            known.pod_cidr(address)
            known.service(address, 80)
    elif kind == 2:
        vxtool.cluster.links.load_links([str(INPUT)])
    else:
        vxtool.cluster.routes.load_routes([str(INPUT)])


def words(data: bytes) -> None:
    """What is typed: filters, durations, layers of a tunnel, expectations."""
    text = data[1:].decode("utf-8", "replace")
    kind = data[0] % 6 if data else 0
    if kind == 0:
        INPUT.write_bytes(data[1:])
        vxtool.analysis.expectation_file.load_expectations(str(INPUT))
    elif kind == 1:
        parts = text.split("\n")
        vxtool.analysis.flow_list.check_filter(
            parts[:1], parts[1:2], parts[2:3], parts[3:4], [len(text)], parts[4:5], ()
        )
    elif kind == 2:
        try:
            vxtool.durations.nanoseconds(text)
        except ValueError:
            return
    elif kind == 3:
        vxtool.overheads.plan_mtu(tunnel=text.split("\n")[0], beneath=text.split("\n")[1:4], sizes=[len(text)])
    elif kind == 4:
        anything = vxtool.analysis.flow_list.check_filter((), (), (), (), (), (), ())
        vxtool.convert.extract.check_choice((), text.split("\n"), anything, ())
    else:
        vxtool.cluster.links.parse_interface_options(text.split("\n"))


SAMPLE = str(REPOSITORY / "captures" / "vxlan.pcap")
LINES = list(lines_of(REPOSITORY / "captures" / "ping-http.pcap"))[:40]


def filters(data: bytes) -> None:
    """A filter is refused, or takes the same lines by either engine, and those that its opposite does not."""
    text = data.decode("utf-8", "surrogateescape")
    names = vxtool.listing.filter_text.FilterNames(lambda name: range(len(name)), ["a/eth1.pcap", "b\x1b.pcap"])
    program = vxtool.listing.filter_text.compile_filter(text, names)
    wanted = vxtool.listing.filter.Filter(program)
    other = vxtool.listing.filter_text.compile_filter(f"!({text})", names) if len(text) < 8000 else None
    unwanted = vxtool.listing.filter.Filter(other) if other is not None else None
    for line in LINES:
        holds = wanted.holds(line)
        assert unwanted is None or unwanted.holds(line) is not holds
    plain, native = both_texts([SAMPLE], filter=text, format="tsv", fields=["number"], all_records=True)
    assert plain == native


TARGETS: dict[str, Callable[[bytes], None]] = {
    made.__name__: made
    for made in (
        container,
        engine,
        analyze,
        flows,
        summary,
        detail,
        convert,
        decode,
        filters,
        cluster,
        words,
    )
}


def main() -> None:
    target = TARGETS[sys.argv[1]]

    def one(data: bytes) -> None:
        try:
            target(data[:MOST])
        except VxtoolError as error:
            check_refusal(error)

    def mutate(data: bytes, most: int, seed: int) -> bytes:
        return LIBRARY.mutate(data[:most], min(most, MOST), seed)

    arguments = [sys.argv[0], *sys.argv[2:]]
    if target in (container, engine, analyze, flows, summary, detail, convert):
        atheris.Setup(arguments, one, custom_mutator=mutate)
    else:
        atheris.Setup(arguments, one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
