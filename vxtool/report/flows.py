"""The list of flows, or packets, as a terminal table: who, to whom, how much, by which way, with which verdict."""

from __future__ import annotations

import marshal
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from vxtool.report import Target
from vxtool.report.hubble import identity_text
from vxtool.report.icmp import icmp_name
from vxtool.report.layout import Cell, Page, Row
from vxtool.report.units import clock, count, counted, plural, size

if TYPE_CHECKING:
    from vxtool.analysis.model import FlowEnd, FlowList, ListedFlow

_COLORS = {"FORWARDED": None, "DROPPED": "red", "TRACED": "yellow"}


_LINES = 1024  # of the table that are a text, or packed, at once
_MOST_PACKED = 24 << 20  # bytes: about a million rows


class _Rows:
    """The rows of a table, clean, which are gone through twice: all of them tell how wide its columns are.

    To make them again takes longer than all else, and to hold them more memory than there may be. So they are
    packed as far as there is room, and those behind are made again.
    """

    def __init__(self, flows: Sequence[ListedFlow], row_of: Callable[[ListedFlow], Row]) -> None:
        self._flows = flows
        self._row_of = row_of
        self._few: list[Row] = []
        self._packed: list[bytes] = []
        self._left_out = False

    def first(self) -> Iterator[Row]:
        rows = map(self._row_of, self._flows)
        self._few = list(islice(rows, _LINES))
        yield from self._few
        room = _MOST_PACKED
        while some := list(islice(rows, _LINES)):
            if room > 0:
                self._packed.append(_pack(some))
                room -= len(self._packed[-1])
            else:
                self._left_out = True
            yield from some

    def again(self) -> Iterator[Row]:
        yield from self._few
        for packed in self._packed:
            yield from _unpack(packed)
        if self._left_out:
            yield from islice(map(self._row_of, self._flows), (1 + len(self._packed)) * _LINES, None)


def _pack(rows: Sequence[Row]) -> bytes:
    """Of rows without notes."""
    import zlib  # here, because most tables have few rows

    return zlib.compress(marshal.dumps([(row.subject, [tuple(cell) for cell in row.cells]) for row in rows]), 1)


def _unpack(packed: bytes) -> Iterator[Row]:
    import zlib

    return (Row(subject, list(map(Cell._make, cells))) for subject, cells in marshal.loads(zlib.decompress(packed)))


def render(flows: FlowList, target: Target) -> Iterator[str]:
    """The table in pieces, each ending in a line feed. No line is wider than `target.width` (at least 72)."""
    page = Page(target)
    total, matching, shown = flows["flows_total"], flows["flows_matching"], flows["flows_shown"]
    if not shown:
        kind = "tunnel" if flows["scope"] == "tunnel" else "IP"
        found = f"None of {counted(total, f'{kind} flow')} matches." if total else f"There is no {kind} flow."
        page.prose(found, hang=0)
        yield page.take()
        return
    packets = flows["packets"]
    row_of = _packet_row if packets else _row
    rows = _Rows(flows["flows"], lambda flow: page.cleaned(row_of(flow)))
    columns = page.columns(rows.first())
    for number, row in enumerate(rows.again(), 1):
        page.row(row, columns)
        if number % _LINES == 0:
            yield page.take()
    rest = []
    if packets:
        if packets["matching"] > packets["shown"]:
            more = packets["matching"] - packets["shown"]
            rest.append(f"… and {count(more)} more {plural(more, 'packet')}")
        if packets["unlisted"]:
            rest.append(f"{count(packets['unlisted'])} of all were too many to be listed")
    elif matching > shown:
        rest.append(f"… and {count(matching - shown)} more {plural(matching - shown, 'flow')}")
    if total > matching:
        rest.append(f"{counted(total - matching, 'flow')} {plural(total - matching, 'does', 'do')} not match")
    if rest:
        page.line(page.style(page.clean(f"  {'; '.join(rest)}"), dim=True))
    yield page.take()


def _row(flow: ListedFlow) -> Row:
    datagrams, (value, unit) = flow["datagrams"], size(flow["inner_bytes"])
    return Row(
        (end_text(flow["source"]), end_text(flow["destination"])),
        (
            Cell(flow["protocol"]),
            Cell(count(datagrams), plural(datagrams, "datagram")),
            Cell(value, unit),
            *_fate(flow),
        ),
    )


def _packet_row(packet: ListedFlow) -> Row:
    record = packet["record"]
    return Row(
        (end_text(packet["source"]), end_text(packet["destination"])),
        (
            Cell(f"#{record['record']}" if record else ""),
            Cell(clock(packet["first_time"])),
            Cell(_kind(packet)),
            Cell(count(packet["inner_bytes"]), "B"),
            *_fate(packet),
        ),
    )


def _kind(packet: ListedFlow) -> str:
    """`tcp SYN, ACK`, `EchoRequest`, `udp`."""
    protocol, icmp = packet["protocol"], packet["icmp"]
    if icmp is not None:
        return icmp_name(protocol, icmp["type"], icmp["code"])
    return f"{protocol} {', '.join(packet['tcp_flags'])}".rstrip()


def _fate(flow: ListedFlow) -> tuple[Cell, Cell]:
    """By which way it went, and what became of it."""
    through = [end for end in (flow["ingress"], flow["egress"]) if end]
    # What ended here left by no interface.
    verdict = f"{flow['verdict']} to-host" if flow["observation"] == "to-host" else flow["verdict"]
    return Cell(" → ".join(through)), Cell(verdict, color=_COLORS[flow["verdict"]])


def end_text(end: FlowEnd) -> str:
    """`default/curl-pod:32788 (ID:36705)`: a pod's, else a node's or service's name, else the address; without an
    identity where none is known."""
    host = f"{end['namespace']}/{end['pod']}" if end["pod"] and end["namespace"] else end["pod"]
    host = host or end["node"] or end["service"] or end["address"] or "?"
    if end["port"] is not None:
        host = f"[{host}]:{end['port']}" if ":" in host else f"{host}:{end['port']}"
    told = [] if end["identity"] is None else [identity_text(end)]
    if end["backend_of"] and end["pod"] is None:
        # All that is known of who is there.
        told.append(f"backend of {end['backend_of'][0]}{', …' if len(end['backend_of']) > 1 else ''}")
    return f"{host} ({', '.join(told)})" if told else host
