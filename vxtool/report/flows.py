"""The list of flows, or packets, as a terminal table: who, to whom, how much, by which way, with which verdict."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from vxtool.report import Target
from vxtool.report.hubble import identity_text
from vxtool.report.icmp import icmp_name
from vxtool.report.layout import Cell, Page, Row
from vxtool.report.units import clock, count, counted, plural, size

if TYPE_CHECKING:
    from vxtool.analysis.model import FlowEnd, FlowList, ListedFlow

_COLORS = {"FORWARDED": None, "DROPPED": "red", "TRACED": "yellow"}


_LINES = 1024  # of the table that are a text at once


def render(flows: FlowList, target: Target) -> Iterator[str]:
    """The table in pieces, each ending in a line feed. No line is wider than `target.width` (at least 72).

    All rows tell how wide its columns are, so they are looked at twice.
    """
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
    columns = page.columns(map(row_of, flows["flows"]))
    for number, flow in enumerate(flows["flows"], 1):
        page.row(row_of(flow), columns)
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
