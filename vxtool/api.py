"""`vxtool.analyze`, `vxtool.flows`, `vxtool.summary` and `vxtool.diff`: captures and what the operator knows in,
the report, the flows, the packets or the difference out; and `vxtool.decap`, `vxtool.encap` and `vxtool.extract`,
which make captures of such.

`vxtool.mtu` reads nothing: it reckons.
"""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, BinaryIO, Literal

from vxtool import __version__
from vxtool.capture.source import Source, open_source
from vxtool.engine import Engine, engine_name, make_engine
from vxtool.engine.options import (
    DEFAULT_MEMORY,
    DEFAULT_PORTS,
    LEAST_MEMORY,
    EngineOptions,
    most_listed,
    within,
)
from vxtool.engine.wears import PORT_NAMES
from vxtool.errors import InputError, UsageError

if TYPE_CHECKING:
    from vxtool.analysis import Knowledge
    from vxtool.analysis.model import Difference, FlowList, Input, Report, Tool
    from vxtool.control import Control
    from vxtool.convert.decap import Decapsulated
    from vxtool.convert.encap import Encapsulated
    from vxtool.convert.extract import Extracted
    from vxtool.engine.native_engine import NativeEngine
    from vxtool.engine.tables import InputRow, Tables
    from vxtool.listing.crosscheck import Crosscheck
    from vxtool.listing.detail import RecordDetail
    from vxtool.listing.lister import Lister
    from vxtool.listing.wireshark import Row
    from vxtool.overheads import Family, MtuPlan
    from vxtool.report import Target

LINK_TYPES = {
    0: "NULL",
    1: "EN10MB",
    12: "RAW",
    14: "RAW",
    101: "RAW",
    108: "LOOP",
    113: "LINUX_SLL",
    228: "IPV4",
    229: "IPV6",
    276: "LINUX_SLL2",
}

MOST_PACKETS = 8_000_000  # that `flows` lists one by one, in half of the memory
# Of an underlay: what every host takes in one piece (RFC 791), and the longest IPv4 packet.
LEAST_MTU, MOST_MTU = 576, 65535

# Called with the bytes read, the bytes in all (None where that is not known) and the records so far.
ProgressCallback = Callable[[int, int | None, int], None]


def analyze(
    paths: Sequence[str],
    *,
    cluster: Sequence[str] = (),
    links: Sequence[str] = (),
    routes: Sequence[str] = (),
    interfaces: Mapping[int, str] | None = None,
    namespace: str | None = None,
    cluster_id_bits: Literal[8, 9] = 8,
    top: int = 100,
    select: Collection[str] = (),
    ignore: Collection[str] = (),
    mtus: Collection[int] = (),
    expect: str | None = None,
    scope: Literal["auto", "tunnel", "ip"] = "auto",
    overlay: Literal["auto", "cilium", "vxlan"] = "auto",
    ports: Mapping[int, str] | None = None,
    window_ns: int = 1_000_000_000,
    settle_ns: int = 10_000_000,
    jobs: int | None = None,
    memory_bytes: int = DEFAULT_MEMORY,
    progress: ProgressCallback | None = None,
    control: Control | None = None,
    _open: Callable[[int], Source] | None = None,
) -> Report:
    """Analyze captures taken at one place, merged by time.

    `paths` are pcap or pcapng files, plain or compressed, or "-" for standard input. `cluster`, `links` and
    `routes` are files as `kubectl` and `cilium`, `ip -j addr`, and `ip route` print them, `cluster` folders of such
    as well; `interfaces` names interfaces by index; `namespace` is that of tables which name none.
    `cluster_id_bits` is how many of an identity's 24 bits tell its cluster in a ClusterMesh: 8, or 9 with up to 511
    clusters. `top` is how many flows the report lists, by bytes. Of the findings, those are reported that `select`
    names by id or family, or all without any, but for those that `ignore` names; of the others only that they are
    there. `mtus` are MTUs of an underlay for which the report tells how many packets the same data would have been
    (`what_if`), beside 1500 and 9000. `expect` is a file of expectations in TOML, which the report's `expectations`
    hold against the capture. `ports` maps further UDP ports to "vxlan", "geneve" or "vxlan-gpe". Times are ns of
    capture time. `jobs` is how many threads may work: by default as many as there are cores, from a size on that is
    worth a second one. Two are made use of, by the native engine; the report does not depend on it. `memory_bytes`
    is what the process may take: where a capture has more flows than fit in, the smallest are counted together, and
    the report's `capture` says how many and what else is not told apart. Through `control` reading may be stopped
    early, and interim reports be had.

    An input that cannot be read stands in the report's `inputs` with its error, and the others are analyzed.
    Raises UsageError for files of the operator that cannot be used, and for options that make no sense.
    """
    # Files of the operator first: what is wrong with them need not wait for the captures. What builds the report
    # comes last: where two threads are at work, it is imported beside them.
    knowledge = _load_knowledge(paths, cluster, links, routes, interfaces, namespace, cluster_id_bits)
    if select or ignore:
        from vxtool.analysis.findings.choice import check_names

        check_names([*select, *ignore])
    for mtu in mtus:
        if not LEAST_MTU <= mtu <= MOST_MTU:
            raise UsageError(f"an MTU of {mtu}: expected {LEAST_MTU} to {MOST_MTU}")
    expectations = None
    if expect is not None:
        from vxtool.analysis.expectation_file import load_expectations

        expectations = load_expectations(expect)

    def report(tables: Tables, inputs: list[Input], tool: Tool) -> Report:
        from vxtool.analysis import Knowledge, Question, build_report

        question = Question(scope, overlay, top, select, ignore, mtus, window_ns, expectations)
        with _no_collector():
            return build_report(tables, inputs, tool, knowledge or Knowledge(paths), question)

    return report(
        *_observe(
            paths,
            ports,
            window_ns,
            settle_ns,
            jobs,
            memory_bytes,
            progress,
            open_input=_open,
            control=control,
            interim=report,
        )
    )


def flows(
    paths: Sequence[str],
    *,
    cluster: Sequence[str] = (),
    links: Sequence[str] = (),
    routes: Sequence[str] = (),
    interfaces: Mapping[int, str] | None = None,
    namespace: str | None = None,
    cluster_id_bits: Literal[8, 9] = 8,
    sort: Literal["bytes", "packets", "start", "end", "drops"] = "bytes",
    top: int | None = None,
    pods: Collection[str] = (),
    in_namespaces: Collection[str] = (),
    identities: Collection[str] = (),
    addresses: Collection[str] = (),
    on_ports: Collection[int] = (),
    protocols: Collection[str] = (),
    verdicts: Collection[Literal["FORWARDED", "DROPPED", "TRACED"]] = (),
    packets: bool = False,
    scope: Literal["auto", "tunnel", "ip"] = "auto",
    overlay: Literal["auto", "cilium", "vxlan"] = "auto",
    ports: Mapping[int, str] | None = None,
    window_ns: int = 1_000_000_000,
    settle_ns: int = 10_000_000,
    jobs: int | None = None,
    memory_bytes: int = DEFAULT_MEMORY,
    progress: ProgressCallback | None = None,
    control: Control | None = None,
) -> FlowList:
    """The flows in captures taken at one place, each with its verdict, and with each of them where it has several.

    Arguments that `analyze` has too are as there. `sort` puts first the flows with the most bytes, packets or
    dropped packets, or those that began or ended first; `top` is how many flows are listed, all without it. The
    others choose flows: by `pods` (the beginning of a name, or `namespace/name`), `in_namespaces`, `identities`
    (numbers as text, or names), `addresses` (or networks, as in 172.20.0.0/16) and `on_ports` at either end, by
    `protocols` ("tcp", "icmp") and `verdicts`. Of several values of one kind any may fit, each kind given must.

    With `packets`, their datagrams are listed one by one instead, in order of time, each once and with the record
    that it was first seen in; `top` is then how many of them. As many are kept as fit into half of the memory;
    `packets` in the list says how many there were beyond.

    `flows` of what is given back is a sequence, which need not be a list: of many flows, and of packets, each is
    made when it is looked at, and made anew when it is looked at again. So a million fit into the memory; to go
    through them takes one pass, to index one as much as all that stand before it.

    Errors are those of `analyze`.
    """
    from vxtool.analysis.flow_list import build_flow_list, check_filter

    wanted = check_filter(pods, in_namespaces, identities, addresses, on_ports, protocols, verdicts)
    most = min(MOST_PACKETS, most_listed(memory_bytes)) if packets else 0
    knowledge = _load_knowledge(paths, cluster, links, routes, interfaces, namespace, cluster_id_bits)
    tables, inputs, tool = _observe(
        paths, ports, window_ns, settle_ns, jobs, memory_bytes, progress, most, control=control
    )
    from vxtool.analysis import Knowledge, Question

    question = Question(scope, overlay, window=window_ns)
    knowledge = knowledge or Knowledge(paths)
    with _no_collector():
        return build_flow_list(tables, inputs, tool, knowledge, question, wanted, sort, top, packets)


def diff(
    before: str,
    after: str,
    *,
    cluster: Sequence[str] = (),
    links: Sequence[str] = (),
    routes: Sequence[str] = (),
    interfaces: Mapping[int, str] | None = None,
    namespace: str | None = None,
    cluster_id_bits: Literal[8, 9] = 8,
    scope: Literal["auto", "tunnel", "ip"] = "auto",
    overlay: Literal["auto", "cilium", "vxlan"] = "auto",
    ports: Mapping[int, str] | None = None,
    window_ns: int = 1_000_000_000,
    settle_ns: int = 10_000_000,
    jobs: int | None = None,
    memory_bytes: int = DEFAULT_MEMORY,
    progress: ProgressCallback | None = None,
    control: Control | None = None,
) -> Difference:
    """What changed from one capture to another, each taken at one place: paths, latency, drops, identities,
    overhead, MTU, findings.

    `before` and `after` are captures, or files with a report as JSON. The other arguments are those of `analyze`;
    they have no effect on a report.

    Raises InputError for a capture that cannot be read, and UsageError for a file that holds no report.
    """
    from vxtool.analysis.difference import compare, holds_report, load_report

    def report_of(path: str) -> Report:
        with open_source(path) as source:
            if source.size is None:  # what is wrong with the operator's files need not wait for a pipe
                _load_knowledge([path], cluster, links, routes, interfaces, namespace, cluster_id_bits)
            if control is not None:
                control.reading = True
            comes = control is None or source.comes(lambda: control.stopped)
            if comes and holds_report(source):
                if control is not None:
                    control.reading = False
                return load_report(source)
            report = analyze(
                [path],
                cluster=cluster,
                links=links,
                routes=routes,
                interfaces=interfaces,
                namespace=namespace,
                cluster_id_bits=cluster_id_bits,
                top=1,
                scope=scope,
                overlay=overlay,
                ports=ports,
                window_ns=window_ns,
                settle_ns=settle_ns,
                jobs=jobs,
                memory_bytes=memory_bytes,
                progress=progress,
                control=control,
                _open=lambda _: source,
            )
        item = report["inputs"][0]
        if item["error"] is not None and item["records"] == 0 and not item["truncated"]:
            raise InputError(item["error"] if path in item["error"] else f"{path}: {item['error']}")
        return report

    if control is not None:
        control.more_follows = True
    first = report_of(before)
    if control is not None:
        if control.stopping:
            raise KeyboardInterrupt  # there is nothing to compare with
        control.more_follows = False
    return compare(first, report_of(after))


def decap(
    paths: Sequence[str],
    output: str | BinaryIO,
    *,
    cluster: Sequence[str] = (),
    links: Sequence[str] = (),
    routes: Sequence[str] = (),
    interfaces: Mapping[int, str] | None = None,
    namespace: str | None = None,
    cluster_id_bits: Literal[8, 9] = 8,
    ports: Mapping[int, str] | None = None,
    window_ns: int = 1_000_000_000,
    settle_ns: int = 10_000_000,
    jobs: int | None = None,
    memory_bytes: int = DEFAULT_MEMORY,
    progress: ProgressCallback | None = None,
) -> tuple[Decapsulated, list[Input]]:
    """Write what was in the tunnels of captures taken at one place as a pcapng file: each datagram once, as it was
    first seen in one, its fragments put together. Each packet's comment says what it wore and which way it went:
    see `vxtool.convert.comments`.

    Arguments are those of `analyze`; `output` is a path, or a binary file. The inputs are read twice, so they have
    to be files: UsageError for others. What of the inputs could not be read is said in what is returned.
    """
    from vxtool.convert.choose import check_files

    check_files(paths, "decap")
    knowledge = _load_knowledge(paths, cluster, links, routes, interfaces, namespace, cluster_id_bits)
    most = most_listed(memory_bytes)
    tables, inputs, _ = _observe(paths, ports, window_ns, settle_ns, jobs, memory_bytes, progress, most, most)
    from vxtool.analysis import Knowledge
    from vxtool.analysis.outcomes import Judge
    from vxtool.convert.choose import none_could_be_read
    from vxtool.convert.decap import Decapsulator

    if error := none_could_be_read(inputs):
        raise error
    knowledge = knowledge or Knowledge(paths)
    with _no_collector():
        judge = Judge(tables, knowledge, window_ns)
        wears = _wears_of(ports)
        reader = Decapsulator(tables, judge, judge.judged(), knowledge, inputs, wears, window_ns)
        return reader.write(output), inputs


def encap(
    path: str | BinaryIO,
    output: str | BinaryIO,
    *,
    source: str | None = None,
    destination: str | None = None,
    source_port: int | None = None,
    destination_port: int | None = None,
    vni: int | None = None,
    tunnel: str | None = None,
) -> tuple[Encapsulated, str | None]:
    """Wrap each record of a capture in a tunnel ("vxlan", "geneve" or "vxlan-gpe") and write them as pcapng.

    What is not given is taken from the comment that `decap` gave the packet; then it is put back as it was. Without
    either, the tunnel is VXLAN, its destination port the tunnel's own, and its source port follows from the flow.
    The second value says what is wrong with the input, where it is damaged or cut short.

    Raises InputError for an input that cannot be read, UsageError for a record of which neither tells what is to be
    around it, or that cannot be wrapped.
    """
    from vxtool.convert.encap import TUNNELS, Outside, encapsulate

    if tunnel is not None and tunnel not in TUNNELS:
        raise UsageError(f"tunnel {tunnel!r}: expected one of {', '.join(TUNNELS)}")
    outside = Outside(source, destination, source_port, destination_port, vni, tunnel)
    return encapsulate(path, output, outside)


def extract(
    paths: Sequence[str],
    output: str | BinaryIO,
    *,
    outcomes: Collection[str] = (),
    ways: Collection[str] = (),
    records: Sequence[tuple[int, int]] = (),
    cluster: Sequence[str] = (),
    links: Sequence[str] = (),
    routes: Sequence[str] = (),
    interfaces: Mapping[int, str] | None = None,
    namespace: str | None = None,
    cluster_id_bits: Literal[8, 9] = 8,
    pods: Collection[str] = (),
    in_namespaces: Collection[str] = (),
    identities: Collection[str] = (),
    addresses: Collection[str] = (),
    on_ports: Collection[int] = (),
    protocols: Collection[str] = (),
    verdicts: Collection[Literal["FORWARDED", "DROPPED", "TRACED"]] = (),
    scope: Literal["auto", "tunnel", "ip"] = "auto",
    overlay: Literal["auto", "cilium", "vxlan"] = "auto",
    ports: Mapping[int, str] | None = None,
    window_ns: int = 1_000_000_000,
    settle_ns: int = 10_000_000,
    jobs: int | None = None,
    memory_bytes: int = DEFAULT_MEMORY,
    progress: ProgressCallback | None = None,
) -> tuple[Extracted, list[Input]]:
    """Copy the records of some datagrams as they were into a pcapng file, with interface names and directions, and
    in the comment of each what became of its datagram; see `vxtool.convert.comments`.

    Datagrams are chosen by `outcomes` ("dropped" and so on), by `ways` ("eth1,eth2": in by the one and out by the
    other; `*` is any and `-` none), and by what `flows` chooses flows by; then all their records are copied, their
    fragments and segments too. `records` are numbers from and to: only those of the records, and by themselves
    those records whatever they are. Of several values of one kind any may fit, each kind given must. Other
    arguments are as for `flows`; errors are those of `decap`, and UsageError where nothing is chosen.
    """
    from vxtool.analysis.flow_list import check_filter
    from vxtool.convert.choose import check_files, none_could_be_read
    from vxtool.convert.extract import Extractor, check_choice

    wanted = check_filter(pods, in_namespaces, identities, addresses, on_ports, protocols, verdicts)
    choice = check_choice(outcomes, ways, wanted, records)
    check_files(paths, "extract")
    if records and len(paths) > 1:
        raise UsageError(f"record numbers are those of one input, and {len(paths)} were given; name one.")
    knowledge = _load_knowledge(paths, cluster, links, routes, interfaces, namespace, cluster_id_bits)
    most = most_listed(memory_bytes)
    tables, inputs, _ = _observe(paths, ports, window_ns, settle_ns, jobs, memory_bytes, progress, most, most)
    from vxtool.analysis import Knowledge
    from vxtool.analysis.flows import Describer
    from vxtool.analysis.outcomes import Judge
    from vxtool.analysis.report import Question, scope_of
    from vxtool.analysis.traffic import tell_overlay

    if error := none_could_be_read(inputs):
        raise error
    knowledge = knowledge or Knowledge(paths)
    with _no_collector():
        knowledge.leave_out_later(tables.last_time)
        judge = Judge(tables, knowledge, window_ns)
        judged = judge.judged()
        overlay_told = tell_overlay(overlay, tables, knowledge)
        describer = Describer(tables, judged, knowledge, overlay_told, judge.own_addresses)
        tunnelled = scope_of(Question(scope, overlay, window=window_ns), tables) == "tunnel"
        # Records by number alone may be of anything.
        judging = judged if choice.of_records_alone else [one for one in judged if one.route.tunnelled == tunnelled]
        reader = Extractor(tables, judge, judging, judged, describer, knowledge, inputs, choice, window_ns)
        return reader.write(output), inputs


class Summary:
    """A list of packets, as text in pieces: iterate once. `inputs` say what of each could not be read."""

    def __init__(self, lister: Lister, pieces: Iterator[bytes], inputs: list[Input]) -> None:
        self.inputs = inputs
        self.unlisted = lister.unlisted  # datagrams, or sightings of them, beyond what an engine keeps apart
        self._lister = lister
        self._pieces = pieces

    def __iter__(self) -> Iterator[str]:
        return (piece.decode() for piece in self._pieces)

    @property
    def lines(self) -> int:
        """Records that were listed so far."""
        return self._lister.lines

    def blocks(self) -> Iterator[bytes]:
        """The same pieces as they were made, in UTF-8."""
        return self._pieces


def summary(
    paths: Sequence[str],
    *,
    format: Literal["text", "tsv", "json"] = "text",
    fields: Sequence[str] = (),
    time: Literal["relative", "absolute", "delta"] = "relative",
    all_records: bool = False,
    filter: str = "",
    most: int = 0,
    target: Target | None = None,
    fit: bool = False,
    cluster: Sequence[str] = (),
    links: Sequence[str] = (),
    routes: Sequence[str] = (),
    interfaces: Mapping[int, str] | None = None,
    namespace: str | None = None,
    cluster_id_bits: Literal[8, 9] = 8,
    overlay: Literal["auto", "cilium", "vxlan"] = "auto",
    ports: Mapping[int, str] | None = None,
    window_ns: int = 1_000_000_000,
    settle_ns: int = 10_000_000,
    jobs: int | None = None,
    memory_bytes: int = DEFAULT_MEMORY,
    progress: ProgressCallback | None = None,
    control: Control | None = None,
) -> Summary:
    """List the packets of captures taken at one place, merged by time, as Wireshark does: each datagram once, with
    the way that it took and what became of it, or with `all_records` each record.

    `fields` are what a line shows, as `vxtool.listing.fields.FIELDS` names them; without any, those that are usual
    for the format. `time` is since the first record, that of the clock in UTC, or since the line before. `filter`
    is a display filter (`vxtool.listing.filter_text`), `most` how many lines there are at most (0: no limit). Text
    has one line for each, as wide as it is; with `fit` it is laid out for the width of `target`, which also tells
    whether it may be coloured. Other arguments are those of `analyze`.

    The inputs are read twice; what standard input and pipes give is kept in a temporary file for that. Raises
    UsageError for options and files that make no sense, and InputError where not one input could be read, or there
    was no room for what it gave.
    """
    from vxtool.engine.tables import WHOLE
    from vxtool.listing.lister import Lister, Wish, check_wish, sizes_again
    from vxtool.listing.spool import Inputs
    from vxtool.listing.tails import find_tails, no_tails

    wish = Wish(format, fields, time, all_records, filter, most, fit)
    check_wish(wish)
    knowledge = _load_knowledge(paths, cluster, links, routes, interfaces, namespace, cluster_id_bits)
    files = Inputs(paths, control)
    try:
        most = most_listed(memory_bytes) // 2  # the lister has arrays of as many
        tables, inputs, tool = _observe(
            paths, ports, window_ns, settle_ns, jobs, memory_bytes, progress, most, most, files.open
        )
        files.check()
        from vxtool.analysis import Knowledge
        from vxtool.analysis.outcomes import Judge
        from vxtool.analysis.traffic import tell_overlay
        from vxtool.convert.choose import none_could_be_read
        from vxtool.report import Target

        if error := none_could_be_read(inputs):
            raise error
        knowledge = knowledge or Knowledge(paths)
        with _no_collector():
            knowledge.leave_out_later(tables.last_time)
            judge = Judge(tables, knowledge, window_ns)
            judged = judge.judged()
            told = tell_overlay(overlay, tables, knowledge)
            tails = no_tails()
            if any(stage.form != WHOLE for path in tables.queries.paths for stage in path.stages):
                tails = find_tails(files, sizes_again(inputs), window_ns, engine_name())
            lister = Lister(
                tables,
                judge,
                judged,
                knowledge,
                told,
                overlay != "auto",
                inputs,
                _wears_of(ports),
                tails,
                wish,
                target or Target(),
                engine_name(),
            )
    except BaseException:
        files.close()
        raise

    def pieces() -> Iterator[bytes]:
        from vxtool.listing.frame import head, tail

        with files:
            yield head(wish, lister.fields, tool, inputs)
            yield from lister.blocks(files)
            yield tail(wish)

    return Summary(lister, pieces(), inputs)


def mtu(
    *,
    underlay: int | None = None,
    overlay: int | None = None,
    tunnel: str = "vxlan",
    beneath: Sequence[str] = (),
    family: Family = "ipv4",
    inner: Family | None = None,
    link_vlans: int = 0,
    sizes: Sequence[int] = (),
    cilium: bool = False,
) -> MtuPlan:
    """Which MTU a tunnel leaves to what is in it, what each layer costs, and the MSS that follows, by sums alone.

    Give the `underlay` MTU (1500 without any), or the `overlay` MTU that is wanted. `tunnel` is what wraps the
    packets first, or "none", and `beneath` what wraps that, each beneath the one before it: "vxlan", "geneve",
    "wireguard" or "ipsec" (ESP with AES-GCM), with details behind commas, as in "geneve,ipv6,options=12",
    "vxlan,vlan=1" (tags on the frames inside) or "ipsec,transport,nat-t". `family` is that of outer IP headers that
    do not tell theirs, `inner` that of the packets inside where only one is used. `link_vlans` are tags on the
    links, `sizes` further sizes of packets to tell the cost of. With `cilium`, tell what Cilium sets by itself, and
    the value to give it.

    Raises UsageError for layers that are none, and for an MTU that a protocol does not allow.
    """
    from vxtool.overheads import plan_mtu

    return plan_mtu(
        underlay=underlay,
        overlay=overlay,
        tunnel=tunnel,
        beneath=beneath,
        family=family,
        inner=inner,
        link_vlans=link_vlans,
        sizes=sizes,
        cilium=cilium,
    )


def summary_detail(
    paths: Sequence[str],
    number: int,
    *,
    input: int = 1,
    cluster: Sequence[str] = (),
    links: Sequence[str] = (),
    routes: Sequence[str] = (),
    interfaces: Mapping[int, str] | None = None,
    namespace: str | None = None,
    cluster_id_bits: Literal[8, 9] = 8,
    overlay: Literal["auto", "cilium", "vxlan"] = "auto",
    ports: Mapping[int, str] | None = None,
    window_ns: int = 1_000_000_000,
    settle_ns: int = 10_000_000,
    jobs: int | None = None,
    memory_bytes: int = DEFAULT_MEMORY,
    progress: ProgressCallback | None = None,
) -> RecordDetail:
    """Record `number` (from 1) of the captures' `input` (from 1) in full: every layer with its fields and the bytes
    that they stand for, and where and when its datagram came in and went out.

    Other arguments are as for `analyze`; errors and how inputs are read are as for `summary`, and UsageError for a
    record that is not there.
    """
    from vxtool.convert.choose import none_could_be_read
    from vxtool.listing.spool import Inputs

    if not 1 <= input <= len(paths):
        raise UsageError(f"input {input}: there are {len(paths)}; give a number from 1 on.")
    knowledge = _load_knowledge(paths, cluster, links, routes, interfaces, namespace, cluster_id_bits)
    most = most_listed(memory_bytes)
    with Inputs(paths) as files:
        tables, inputs, tool = _observe(
            paths, ports, window_ns, settle_ns, jobs, memory_bytes, progress, most, most, files.open
        )
        files.check()
        from vxtool.analysis import Knowledge
        from vxtool.analysis.outcomes import Judge
        from vxtool.analysis.traffic import tell_overlay
        from vxtool.listing.detail import Detailer

        if error := none_could_be_read(inputs):
            raise error
        knowledge = knowledge or Knowledge(paths)
        with _no_collector():
            knowledge.leave_out_later(tables.last_time)
            judge = Judge(tables, knowledge, window_ns)
            judged = judge.judged()
            is_cilium = tell_overlay(overlay, tables, knowledge) == "cilium"
            kinds = {port: PORT_NAMES[wear] for port, wear in _wears_of(ports).items()}
            detailer = Detailer(tables, judge, judged, knowledge, inputs, is_cilium, kinds, tool, files.open)
            return detailer.describe(input - 1, number)


def crosscheck(
    path: str,
    *,
    ports: Mapping[int, str] | None = None,
    all_records: bool = False,
    most: int | None = 20,
) -> Crosscheck:
    """Hold what `summary` says of each record of a capture against what Wireshark shows: number, source,
    destination, protocol, length and info; of at most `most` differences tell both values (None: of all).

    Without `all_records`, records that went out are left out, since Wireshark takes what a router passed on for
    retransmissions. `ports` are as for `analyze`. Raises UsageError where pyshark or tshark is missing, and
    InputError where the capture cannot be read at all.
    """
    from vxtool.listing.crosscheck import crosscheck, rows_of_tsv

    kinds = {port: PORT_NAMES[wear] for port, wear in _wears_of(ports).items()}
    name = engine_name()
    tool: Tool = {"version": __version__, "engine": "native" if name == "native" else "pure"}

    def ours(copy: str) -> Iterator[Row]:
        fields = ("number", "source", "destination", "protocol", "length", "info")
        found = summary([copy], format="tsv", fields=fields, all_records=True, ports=ports)
        return rows_of_tsv(found.blocks())

    return crosscheck(path, ours, kinds, tool, all_records=all_records, most=most)


def _observe(
    paths: Sequence[str],
    ports: Mapping[int, str] | None,
    window_ns: int,
    settle_ns: int,
    jobs: int | None,
    memory_bytes: int,
    progress: ProgressCallback | None,
    most_datagrams: int = 0,
    most_sightings: int = 0,
    open_input: Callable[[int], Source] | None = None,
    control: Control | None = None,
    interim: Callable[[Tables, list[Input], Tool], Report] | None = None,
) -> tuple[Tables, list[Input], Tool]:
    """What an engine makes of the captures, what became of each input, and which engine it was."""
    if memory_bytes < LEAST_MEMORY:
        raise UsageError(f"memory of {memory_bytes} bytes: expected {LEAST_MEMORY} at least")
    name = engine_name()
    options = EngineOptions(
        inputs=len(paths),
        ports=_wears_of(ports),
        window=window_ns,
        settle=settle_ns,
        most_datagrams=most_datagrams,
        most_sightings=most_sightings,
    )
    engine = make_engine(within(options, memory_bytes, name), name)
    sources, errors = _open_all(paths, open_input)
    reader = _Reader(sources, errors, progress, control)
    if control is not None:
        control.reading, control.has_read = True, False

    def outcome() -> tuple[Tables, list[Input], Tool]:
        tables = engine.tables()
        inputs = [
            _describe_input(path, source, error, row)
            for path, source, error, row in zip(paths, sources, errors, tables.inputs, strict=True)
        ]
        return tables, inputs, {"version": __version__, "engine": "native" if name == "native" else "pure"}

    def interim_report(make: Callable[[Tables, list[Input], Tool], Report]) -> Report:
        left = _leave(engine)
        tables, inputs, tool = outcome()
        for index in left:  # the record in whose midst it is goes on
            inputs[index] |= {"error": errors[index], "truncated": False}
        return {**make(tables, inputs, tool), "interim": True}

    left: set[int] = set()
    try:
        _pump(engine, reader, jobs)
        while control is not None and engine.wants() is not None:
            if control.stopped:
                left = _leave(engine)
                break
            if interim is not None and control.due:
                control.report(partial(interim_report, interim))
            _pump(engine, reader, jobs)
        tables, inputs, tool = outcome()
        for index in left:
            path, records = paths[index], inputs[index]["records"]
            error = f"{path}: reading was interrupted after {records:,} records: what came before counts"
            inputs[index] |= {"error": error, "truncated": True}
        return tables, inputs, tool
    finally:
        if control is not None:
            control.reading, control.has_read = False, not control.more_follows
        for source in sources:
            if source is not None:
                source.close()


def _wears_of(ports: Mapping[int, str] | None) -> dict[int, int]:
    """The UDP ports of tunnels, those that are always so and those that were given."""
    wears = dict(DEFAULT_PORTS)
    for port, wear in (ports or {}).items():
        if wear not in PORT_NAMES[1:]:
            raise UsageError(f"port {port}={wear}: expected one of {', '.join(PORT_NAMES[1:])}")
        wears[port] = PORT_NAMES.index(wear)
    return wears


@contextmanager
def _no_collector() -> Iterator[None]:
    """No value of a report refers back to what holds it: a collector looks for circles in vain, and where the pure
    engine holds many flows for longer than the report takes."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def _load_knowledge(
    paths: Sequence[str],
    cluster: Sequence[str],
    links: Sequence[str],
    routes: Sequence[str],
    interfaces: Mapping[int, str] | None,
    namespace: str | None,
    cluster_id_bits: int,
) -> Knowledge | None:
    """What the operator's files say, where there is anything; the loaders are imported only then."""
    if cluster_id_bits not in (8, 9):
        raise UsageError(f"cluster_id_bits={cluster_id_bits!r}: expected 8, or 9 with up to 511 clusters")
    if not (cluster or links or routes or interfaces or cluster_id_bits != 8):
        return None
    from vxtool.analysis import Knowledge

    knowledge = Knowledge(paths)
    if cluster:
        from vxtool.cluster.load import load_cluster

        knowledge.cluster = load_cluster(cluster, namespace, cluster_id_bits=cluster_id_bits)
    knowledge.cluster.cluster_id_bits = cluster_id_bits
    if links or interfaces:
        from vxtool.cluster.links import load_links

        knowledge.links = load_links(links, interfaces)
    if routes:
        from vxtool.cluster.routes import load_routes

        knowledge.routes = load_routes(routes)
    return knowledge


def _open_all(
    paths: Sequence[str], open_input: Callable[[int], Source] | None
) -> tuple[list[Source | None], list[str | None]]:
    sources: list[Source | None] = []
    errors: list[str | None] = []
    for index, path in enumerate(paths):
        try:
            sources.append(open_source(path) if open_input is None else open_input(index))
            errors.append(None)
        except InputError as error:
            sources.append(None)
            errors.append(str(error))
    return sources, errors


# What is read before a thread is started for the rest, and what is read at once: little enough to stay in the cache
# of one core until its records have been decoded.
_SMALL = 8 << 20
_PIECE = 1 << 17
_TELLING = 50  # ms, from one progress to the next


class _Reader:
    """Reads whatever the engine wants, and keeps the progress."""

    def __init__(
        self,
        sources: Sequence[Source | None],
        errors: list[str | None],
        progress: ProgressCallback | None,
        control: Control | None,
    ) -> None:
        self.bytes = 0
        self._control = control
        self._sources = sources
        self._errors = errors
        self._progress = progress
        self._told = 0.0
        self._piece = memoryview(bytearray(_PIECE))
        sizes = [source.size if source is not None else 0 for source in sources]
        known = [size for size in sizes if size is not None]
        self.total = sum(known) if len(known) == len(sizes) else None  # bytes of all files, where each is one

    @property
    def paused(self) -> bool:
        """Whether something is to be done before more is read."""
        return self._control is not None and (self._control.stopped or self._control.due)

    def read(self, index: int) -> bytes | None:
        """The next bytes of an input; b"" at its end, or where it cannot be read at all. None: something is to be
        done before there are any."""
        return bytes(chunk) if (chunk := self._borrow(index, None)) is not None else None

    def borrow(self, index: int) -> bytes | memoryview | None:
        """The same, but good only until the next are read."""
        return self._borrow(index, self._piece)

    @contextmanager
    def lend(self, index: int) -> Iterator[int | None]:
        """A descriptor that the rest of an input can be read from, where that is all there is to it."""
        source = self._sources[index]
        descriptor = source.lend() if source is not None else None
        try:
            yield descriptor
        finally:
            if descriptor is not None:
                os.close(descriptor)

    def tell(self, records: int, *, at_end: bool = False) -> None:
        """Tell of the progress, unless that was done just before."""
        now = time.monotonic()
        if self._progress is not None and (at_end or now - self._told >= _TELLING / 1000):
            self._told = now
            position = sum(each.position() for each in self._sources if each is not None)
            self._progress(position, self.total, records)

    def _borrow(self, index: int, memory: memoryview | None) -> bytes | memoryview | None:
        source = self._sources[index]
        chunk: bytes | memoryview = b""
        if source is not None:
            if self._control is not None and not source.comes(lambda: self.paused):
                return None
            try:
                chunk = source.borrow(memory)
            except InputError as error:
                self._errors[index] = str(error)
        self.bytes += len(chunk)
        return chunk


def _leave(engine: Engine) -> set[int]:
    """End all inputs where they are: which of them were not at their end."""
    left: set[int] = set()
    while (index := engine.wants()) is not None:
        left.add(index)
        engine.end(index)
    return left


def _pump(engine: Engine, reader: _Reader, jobs: int | None) -> None:
    """Give the engine the bytes that it asks for, until every input has ended, or something is to be done before
    that."""
    if engine.name == "native":
        from vxtool.engine.native_engine import NativeEngine

        if isinstance(engine, NativeEngine):
            _pump_native(engine, reader, jobs)
            return
    while not reader.paused and (index := engine.wants()) is not None:
        if chunk := reader.read(index):
            engine.feed(index, chunk)
        elif chunk is not None:
            engine.end(index)
        reader.tell(engine.records)
    reader.tell(engine.records, at_end=True)


def _pump_native(engine: NativeEngine, reader: _Reader, jobs: int | None) -> None:
    """The same where bytes are borrowed, and a second thread may help from some size on."""
    alone = _SMALL if jobs is None and (reader.total or 0) < _SMALL else 0
    most = _cores() if jobs is None else jobs
    while not reader.paused and (index := engine.wants()) is not None:
        if reader.bytes >= alone and most > 1:
            _pump_in_two(engine, reader)
            break
        with reader.lend(index) as descriptor:
            if descriptor is not None:
                engine.feed_from(index, descriptor, _PIECE)
        # Here its end is met as well, or what went wrong.
        if engine.wants() == index:
            if chunk := reader.borrow(index):
                engine.feed(index, chunk)
            elif chunk is not None:
                engine.end(index)
        reader.tell(engine.records)
    reader.tell(engine.records, at_end=True)


def _cores() -> int:
    """On how many cores this process may run."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _pump_in_two(engine: NativeEngine, reader: _Reader) -> None:
    """The same with a thread that reads, unpacks and decodes, and one that joins and counts.

    This one tells of the progress, and gets ready for the report and memory for the other two.
    """
    import threading

    failures: list[BaseException] = []

    def read() -> None:
        try:
            going = True
            while going and not reader.paused and (index := engine.wants()) is not None:
                with reader.lend(index) as descriptor:
                    if descriptor is not None:
                        going = engine.read_from(index, descriptor, _PIECE)
                # Here its end is met as well, or what went wrong.
                if going and engine.wants() == index:
                    chunk = reader.borrow(index)
                    if chunk is not None:
                        going = engine.read(index, chunk) if chunk else engine.read_end(index)
        except BaseException as error:  # raised again where it is heard of
            failures.append(error)
        finally:
            engine.read_all()

    def take() -> None:
        try:
            engine.take()
        except BaseException as error:
            failures.append(error)
            engine.stop()

    engine.split()
    taking = threading.Thread(target=take, name="vxtool-taker", daemon=True)
    # Daemons, since nothing wakes one that waits for a pipe when the user has had enough.
    reading = threading.Thread(target=read, name="vxtool-reader", daemon=True)
    try:
        reading.start()
        taking.start()
        reader.tell(engine.records)
        import vxtool.analysis
        import vxtool.engine.native_values  # noqa: F401

        while engine.provide(_TELLING):
            reader.tell(engine.records)
        while taking.is_alive():
            taking.join(_TELLING / 1000)
            reader.tell(engine.records)
        reading.join()
    except BaseException:
        engine.stop()
        raise
    for error in failures:
        raise error


def _describe_input(path: str, source: Source | None, error: str | None, row: InputRow) -> Input:
    truncated = False
    if error is None and row.damage is not None:
        error = f"{path}: {row.damage.text()}"
        truncated = not row.damage.unreadable
    if source is not None and source.error is not None:
        # What the decompressor met explains the cut that the container then saw.
        error, truncated = source.error, row.records > 0 or truncated
    unsupported = [link_type for link_type in row.link_types if link_type not in LINK_TYPES]
    if error is None and unsupported:
        listed = ", ".join(str(link_type) for link_type in unsupported)
        error = f"{path}: link type {listed} is not supported, its records are not decoded: capture on `any`"
    return {
        "path": path,
        "format": row.format,
        "compression": source.compression if source is not None else None,
        "link_types": [LINK_TYPES.get(link_type, f"LINKTYPE_{link_type}") for link_type in row.link_types],
        "records": row.records,
        "bytes": row.bytes,
        "snaplen": row.snaplen or None,
        "truncated": truncated,
        "error": error,
        "skipped_blocks": row.skipped,
        "first_skipped": row.first_skipped.place() if row.first_skipped is not None else None,
    }
