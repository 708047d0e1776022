"""The report as a terminal page for an operator: the verdict first, then what it rests on, then what to do.

Each section is one function that adds its lines to the page, and adds none where it has nothing to say; so a
capture of four records gives a short page, and one of ten million a page that is hardly longer. What the
report does not know stays unsaid, and what is an estimate is called one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from vxtool.analysis.folded import tell_folded
from vxtool.report import Target
from vxtool.report.layout import GAP, INDENT, Cell, Page, Row, cells
from vxtool.report.units import clock, count, counted, date, duration, human, percent, plural, size

if TYPE_CHECKING:
    from vxtool.analysis.model import (
        Counts,
        Evidence,
        Expectation,
        Finding,
        Identity,
        Input,
        KnownFile,
        Latency,
        Path,
        Report,
        SizeBin,
    )

_COLORS = {"error": "red", "warning": "yellow", "info": "cyan"}
_SEVERITIES = tuple(_COLORS)
_EVIDENCE = 5  # records named for each finding
_CONFLICTS = 3  # between the operator's files, told one by one
_FILE_WIDTH = 40  # columns of a file's name beside its evidence
_STATUSES = {"met": ("met", "green"), "failed": ("FAILED", "red"), "unjudged": ("CANNOT TELL", "red")}
_OPEN = {"failed": "", "unjudged": " (cannot be told)"}
_BAR = 30  # columns of the longest bar of a histogram
_PROTOCOLS = {"vxlan": "VXLAN", "geneve": "Geneve"}
_VANTAGES = {"router": "taken on a router", "node": "taken on a node", "link": "taken on a link"}


# What the model's `unresolved_because` stands for.
_REASONS = {
    "acknowledged": "acknowledged by the other end and not sent again: the capture lost their egress",
    "address-translated": "the router changed their addresses (NAT), which is not followed",
    "capture-began": "the capture began too shortly before they left",
    "capture-ended": "the capture ended too soon after they came in",
    "direction-unknown": "seen once, and the capture tells no direction",
    "egress-not-captured": "where they leave was not captured",
    "in-a-loop": "seen at one place again with a lower TTL; where they ended is not followed",
    "ingress-not-captured": "where they came in was not captured",
    "not-addressed": "seen on their way to another machine",
    "resegmented": "cut into other segments, or put together, on their way through",
    "unmatched": "in and out too far apart to be matched: a way of more than --window, or a file out of order",
}


def render(report: Report, target: Target) -> str:
    """The page for `report`, ending in a line feed. No line is wider than `target.width` (at least 72)."""
    page = Page(target)
    if report.get("interim"):  # not in reports of earlier versions
        so_far = f"{counted(report['capture']['records'], 'record')} so far; reading goes on."
        page.prose(so_far, label="INTERIM", hang=9, indent=0)
    _verdict(page, report)
    _damage(page, report["inputs"])
    _capture(page, report, target.rows)
    _forwarding(page, report["forwarding"], target.rows)
    _identities(page, report, target.rows)
    _pairs(page, report, target.rows)
    _tunnels(page, report, target.rows)
    _flows(page, report)
    _overhead(page, report)
    _mtu(page, report)
    other = report["forwarding"]["other"]
    if other is not None and other["datagrams"]:
        kind = "IP" if other["scope"] == "ip" else "tunnel"
        page.heading("Other traffic")
        page.prose(f"{count(other['datagrams'])} {kind} datagrams: {_outcomes(other)}.")
        _outcome_details(page, other, target.rows)
    _knowledge(page, report, target.rows)
    _expectations(page, report)
    _findings(page, report)
    return str(page)


def _verdict(page: Page, report: Report) -> None:
    word, color = verdict_word(report)
    findings = _ordered(report["findings"])
    hang = cells(word) + 2
    page.prose(outcome_sentence(report), label=word, hang=hang, indent=0, label_color=color)
    if report["expectations"]:
        page.prose(_expectation_sentence(report["expectations"]), hang=hang)
    serious = [finding for finding in findings if finding["severity"] != "info"]
    if serious:
        rest = len(serious) - 1
        more = f" (and {count(rest)} more {plural(rest, 'finding')} below)" if rest else ""
        page.prose(f"{serious[0]['title'].rstrip('.')}{more}.", hang=hang)


def verdict_word(report: Report) -> tuple[str, str]:
    """The report in a word, and its colour."""
    counts = report["forwarding"]
    severities = {finding["severity"] for finding in report["findings"]}
    if any(item["status"] != "met" for item in report["expectations"]):
        return "FAILED", "red"
    if "error" in severities or counts["dropped"]:
        return "PROBLEM", "red"
    if "warning" in severities:
        return "WARNING", "yellow"
    if not counts["datagrams"]:
        return "EMPTY", "yellow"
    return ("UNKNOWN", "yellow") if 2 * counts["unresolved"] >= counts["datagrams"] else ("OK", "green")


def _expectation_sentence(expectations: Sequence[Expectation]) -> str:
    total = counted(len(expectations), "expectation")
    unmet = [f"{item['key']}{_OPEN[item['status']]}" for item in expectations if item["status"] != "met"]
    if not unmet:
        return f"{total}, all met."
    return f"{total}, {count(len(unmet))} not met: {_listed(unmet, 5)}."


def outcome_sentence(report: Report) -> str:
    """What became of the datagrams, in a sentence."""
    counts = report["forwarding"]
    total = counts["datagrams"]
    if not total:
        records = report["capture"]["records"]
        if not records:
            return "The capture holds no records."
        kind = "tunnel" if counts["scope"] == "tunnel" else "IP"
        return f"Nothing to judge: no {kind} datagram in {counted(records, 'record')}."
    if counts["unresolved"] == total:
        return f"{counted(total, 'datagram')}: what became of {'it' if total == 1 else 'them'} cannot be told."
    other = counts["other"]
    beside = f"; of other traffic {count(other['dropped'])} dropped" if other and other["dropped"] else ""
    return f"{counted(total, 'datagram')}, {_outcomes(counts)}{beside}."


def _outcomes(counts: Counts) -> str:
    most = "up to " if counts["dropped_at_most"] else ""
    parts = [
        f"{most if name == 'dropped' else ''}{count(number)} {name}"
        for name, number in _by_outcome(counts)
        if number
    ]
    dropped, total = counts["dropped"], counts["datagrams"]
    if dropped:
        return ", ".join(parts) + f" ({most}{percent(100 * dropped / total)} dropped)"
    parts.append("nothing seen dropped" if counts["unresolved"] else "nothing dropped")
    return ", ".join(parts)


def _by_outcome(counts: Counts) -> list[tuple[str, int]]:
    return [
        ("forwarded", counts["forwarded"]),
        ("delivered", counts["delivered"]),
        ("dropped", counts["dropped"]),
        ("originated", counts["originated"]),
        ("missed on the way in", counts["missed"]),
        ("unresolved", counts["unresolved"]),
    ]


def _damage(page: Page, inputs: Sequence[Input]) -> None:
    for item in inputs:
        if item["error"] is None and not item["truncated"]:
            continue
        label = "CUT" if item["truncated"] else "NOT READ"
        why = item["error"] or "the file ends early"
        named = why if item["path"] in why else f"{item['path']}: {why}"
        ended = named if named.endswith((".", "?")) else f"{named}."
        page.prose(ended, label=label, hang=cells(label) + 2, indent=0, label_color="yellow")


def _capture(page: Page, report: Report, rows: int) -> None:
    capture, inputs = report["capture"], report["inputs"]
    page.heading("Capture")
    read = [_input_row(item) for item in inputs if item["records"] or item["error"] is None]
    page.table(read, limit=rows, noun=plural(len(read) - rows, "file"))
    facts = []
    if len(read) > 1:
        facts.append(f"{counted(capture['records'], 'record')} together")
    if capture["duration_ns"] is not None and capture["first_time"]:
        first = f"{date(capture['first_time'])} {clock(capture['first_time'])} UTC"
        facts.append(f"{duration(capture['duration_ns'])} from {first}")
    if capture["vantage"]:
        facts.append(_VANTAGES[capture["vantage"]])
    if facts:
        page.prose(", ".join(facts))
    page.table(
        [
            Row(
                (_interface(item["name"], item["index"]) or "(no name)",),
                (
                    Cell(count(item["records_in"]), "in"),
                    Cell(count(item["records_out"]), "out"),
                    _nonzero(item["records_unknown"], "direction unknown"),
                    Cell("by MAC or TTL") if item["records_inferred"] else Cell(""),
                    Cell("mtu", str(item["mtu"])) if item["mtu"] is not None else Cell(""),
                ),
            )
            for item in capture["interfaces"]
        ],
        limit=rows,
        noun=plural(len(capture["interfaces"]) - rows, "interface"),
    )
    odd = [
        f"{count(number)} {what}"
        for number, what in (
            (capture["clipped_records"], "cut short by the snap length"),
            (capture["malformed_records"], "malformed"),
            (capture["orphan_fragments"], "fragments without their first"),
            (capture["clock_skewed"], "stamped out before in (counted as 0 ns)"),
        )
        if number
    ]
    if odd:
        page.prose("Of the records: " + ", ".join(odd) + ".")
    folded = tell_folded(capture["folded"]) if "folded" in capture else []
    if folded:
        page.prose(
            f"More than there was memory for: {', '.join(folded)}. Sums are those of all datagrams; a larger "
            "--memory tells more apart."
        )


def _input_row(item: Input) -> Row:
    kind = ", ".join(part for part in (item["format"], item["compression"], *item["link_types"]) if part)
    return Row((item["path"],), (_counted(item["records"], "record"), _size(item["bytes"]), Cell(kind)))


def _forwarding(page: Page, counts: Counts, rows: int) -> None:
    # Without datagrams there is no outcome to tell of, and the verdict has said so.
    if counts["datagrams"]:
        page.heading("Forwarding")
        _outcome_details(page, counts, rows)


def _outcome_details(page: Page, counts: Counts, rows: int) -> None:
    paths, facts = counts["paths"], _facts(counts)
    page.table([_path_row(path) for path in paths], limit=rows, noun=plural(len(paths) - rows, "path"))
    if facts:
        page.prose(", ".join(facts) + ".")
    if counts["drops"]:
        page.prose("Dropped:", color="red")
        page.table(
            [
                Row(
                    (drop["source"], drop["destination"]),
                    (
                        Cell(f"in {drop['ingress']}" if drop["ingress"] else ""),
                        _counted(drop["datagrams"], "datagram"),
                        Cell(_range(drop["smallest"], drop["largest"]), "bytes"),
                        Cell(_span(drop["first_time"], drop["last_time"])),
                    ),
                )
                for drop in counts["drops"][:rows]
            ],
            limit=rows,
            total=len(counts["drops"]),
            noun="with drops",
        )
    reasons = counts["unresolved_because"]
    if reasons:
        why = "; ".join(
            f"{count(number)}: {_REASONS.get(reason, reason)}" for reason, number in _largest(reasons)[:rows]
        )
        page.prose(f"Unresolved, {why}.")


def _facts(counts: Counts) -> list[str]:
    named = (
        (counts["fragmented_at_source"], "fragmented by the sender"),
        (counts["fragmented_by_router"], "fragmented by the router"),
        (counts["resegmented"], "cut or joined into other segments"),
        (counts["translated"], "with a changed outer header"),
    )
    facts = [f"{count(number)} {what}" for number, what in named if number]
    lost = counts["wire_packets_lost"]
    # Each dropped datagram loses at least one packet: worth a word only where it lost more.
    if lost and lost != counts["dropped"]:
        facts.append(f"{counted(lost, 'packet')} lost")
    return facts


def _path_row(path: Path) -> Row:
    return Row(stages_of(path), (_counted(path["datagrams"], "datagram"), *_latency(path["latency_ns"])))


def stages_of(path: Path) -> tuple[str, ...]:
    """The interfaces of a path in order, or what stands for one that has no name."""
    ingress = _interface(path["ingress"], path["ingress_index"])
    egress = _interface(path["egress"], path["egress_index"])
    # A latency needs both ends: beside one, an end without a name was seen, in a capture without interfaces.
    if path["latency_ns"] is not None:
        return (ingress or "in", *path["via"], egress or "out")
    if ingress and egress:
        return (ingress, *path["via"], egress)
    if ingress:
        return (ingress, *path["via"], "not seen")
    if egress:
        return ("not seen", *path["via"], egress)
    return (*path["via"], "direction unknown")


def _interface(name: str | None, index: int | None) -> str | None:
    return name if name is not None else f"#{index}" if index is not None else None


def _latency(latency: Latency | None) -> tuple[Cell, Cell, Cell]:
    if latency is None:
        return Cell(""), Cell(""), Cell("")
    if latency["min"] == latency["max"]:
        return Cell(duration(latency["min"])), Cell(""), Cell("")
    return (
        Cell(f"p50 {duration(latency['p50'])}"),
        Cell(f"p99 {duration(latency['p99'])}"),
        Cell(f"max {duration(latency['max'])}"),
    )


def _identities(page: Page, report: Report, rows: int) -> None:
    identities = report["identities"]
    if not identities:
        return
    of_cilium = report["tunnel"]["overlay"] == "cilium"
    page.heading("Identities" if of_cilium else "Networks by VNI")
    width = max(len(str(item["vni"])) for item in identities[:rows])
    page.table(
        [
            Row(
                (f"{item['vni']:>{width}}  {_identity_name(item, kind=of_cilium)}",),
                (
                    Cell(item["namespace"] or ""),
                    _counted(item["datagrams"], "datagram"),
                    _size(item["inner_bytes"]),
                    Cell(_listed(item["sources"], 2)),
                ),
                f"{plural(len(item['pods']), 'pod')} {_listed(item['pods'], 3)}" if item["pods"] else "",
            )
            for item in identities[:rows]
        ],
        limit=rows,
        total=len(identities),
        noun=plural(len(identities) - rows, "identity", "identities"),
    )


def _identity_name(item: Identity, kind: bool = False) -> str:
    """By name, else by label, else by kind; with `kind` it stands beside a name too, but where that is one."""
    name = item["name"] or (item["labels"][0] if item["labels"] else f"({item['kind']})")
    if item["cluster_id"]:
        return f"{name} (cluster {item['cluster_id']})"
    return f"{name} ({item['kind']})" if kind and name != f"({item['kind']})" else name


def _pairs(page: Page, report: Report, rows: int) -> None:
    pairs = report["identity_pairs"]
    # While every flow is shown, the flows say the same by name and port.
    if not pairs or report["flows_total"] <= len(report["flows"]):
        return
    names = {item["vni"]: _identity_name(item) for item in report["identities"]}
    page.heading("Who talks to whom")
    page.table(
        [
            Row(
                tuple(
                    "(unknown)" if vni is None else f"{names.get(vni, '(unknown)')} {vni}"
                    for vni in (pair["source_vni"], pair["destination_vni"])
                ),
                (_counted(pair["datagrams"], "datagram"), _size(pair["inner_bytes"])),
            )
            for pair in pairs[:rows]
        ],
        limit=rows,
        total=len(pairs),
        noun=plural(len(pairs) - rows, "pair"),
    )


def _tunnels(page: Page, report: Report, rows: int) -> None:
    tunnel = report["tunnel"]
    tunnels = tunnel["tunnels"]
    if not tunnels:
        return
    kinds = " and ".join(_PROTOCOLS.get(kind, kind) for kind, number in tunnel["protocols"].items() if number)
    ports = [port for port, _ in _largest(tunnel["ports"])]
    where = f"{kinds} on UDP {plural(len(ports), 'port')} {_listed(ports, 4)}" if ports else kinds
    page.heading("Tunnels", f"Cilium, {where}" if tunnel["overlay"] == "cilium" else where)
    page.table(
        [
            Row(
                (
                    _node(item["source_node"], item["source"]),
                    _node(item["destination_node"], item["destination"]),
                ),
                (
                    _counted(item["datagrams"], "datagram"),
                    _size(item["outer_bytes"]),
                    # One datagram has one source port; how many there are tells of ECMP only beyond that.
                    _counted(item["source_ports"], "source port") if item["datagrams"] > 1 else Cell(""),
                ),
            )
            for item in tunnels[:rows]
        ],
        limit=rows,
        total=len(tunnels),
        noun=plural(len(tunnels) - rows, "tunnel"),
    )


def _node(name: str | None, address: str) -> str:
    return f"{name} {address}" if name else address


def _flows(page: Page, report: Report) -> None:
    flows, total = report["flows"], report["flows_total"]
    if not flows:
        return
    page.heading("Flows", f"the largest {count(len(flows))} of {count(total)}" if total > len(flows) else "")
    rows = []
    for flow in flows:
        notes = []
        if flow["dropped"]:
            notes.append(f"{count(flow['dropped'])} dropped")
        if flow["retransmitted_bytes"]:
            notes.append(f"{' '.join(size(flow['retransmitted_bytes']))} sent again")
        if flow["answered"] is False:
            notes.append("never answered")
        through = [end for end in (flow["ingress"], flow["egress"]) if end]
        rows.append(
            Row(
                (
                    _end(flow["source_name"], flow["source"], flow["source_port"]),
                    _end(flow["destination_name"], flow["destination"], flow["destination_port"]),
                ),
                (
                    Cell(flow["protocol"]),
                    _counted(flow["datagrams"], "datagram"),
                    _size(flow["inner_bytes"]),
                    Cell(" → ".join(through)),
                ),
                ", ".join(notes),
                "red" if flow["dropped"] else "yellow",
            )
        )
    page.table(rows, limit=len(rows), total=total, noun=plural(total - len(rows), "flow"))


def _end(name: str | None, address: str | None, port: int | None) -> str:
    if port is None:
        return name or address or "?"
    host = name or (f"[{address}]" if address and ":" in address else address) or "?"
    return f"{host}:{port}"


def _overhead(page: Page, report: Report) -> None:
    overhead = report["overhead"]
    if not overhead["datagrams"]:
        return
    page.heading("Overhead of the tunnel")
    classes = _largest(overhead["bytes_per_packet"])
    exact, rounded = counted(overhead["overhead_bytes"], "byte"), human(overhead["overhead_bytes"])
    details = [] if rounded == exact else [rounded]
    if len(classes) == 1:
        details.append(f"{classes[0][0]} a packet")
    else:
        details += [f"{octets} on {counted(number, 'datagram')}" for octets, number in classes[:4]]
    if overhead["percent_of_outer"] is not None:
        sent = human(overhead["outer_bytes"])
        details.append(f"{percent(overhead['percent_of_outer'])} of the {sent} sent")
    if (framed := report["efficiency"]["percent_of_ethernet_bytes"]) is not None:
        details.append(f"{percent(framed)} with Ethernet's framing")
    page.prose(f"{exact} ({', '.join(details)})")
    packets = overhead["wire_packets"]
    if packets != overhead["datagrams"] or overhead["wire_packets_estimated"]:
        about, mark = ("about ", " (an estimate)") if overhead["wire_packets_estimated"] else ("", "")
        page.prose(
            f"on the wire {about}{counted(packets, 'packet')} "
            f"for {counted(overhead['datagrams'], 'datagram')}, "
            f"{about}{human(overhead['wire_overhead_bytes'])} of tunnel headers{mark}"
        )


def _mtu(page: Page, report: Report) -> None:
    mtu = report["mtu"]
    lines: list[tuple[str, str]] = []
    at_least, at_most = mtu["underlay_at_least"], mtu["underlay_at_most"]
    if mtu["underlay"] is not None:
        lines.append(("underlay", f"{mtu['underlay']}  is the largest packet that the links carry"))
        lines.append(("", _from(mtu["underlay_evidence"])))
    elif at_most is not None:
        told = next((item["text"] for item in mtu["evidence"] if item["at_most"] == at_most), None)
        lines.append(("underlay", f"{at_least} to {at_most}  is the largest packet that the path carries"))
        lines.append(("", _from(told)))
    if mtu["overlay"] is not None:
        lines.append(("overlay", f"{mtu['overlay']}  is the largest that a pod may send through the tunnel"))
        lines.append(("", _from(mtu["overlay_evidence"])))
    if mtu["largest_inner"] is not None:
        against = [
            f"{counted(number, 'datagram')} {where}"
            for number, where in (
                (mtu["at_overlay"], "at the overlay MTU"),
                (mtu["over_overlay"], "over the overlay MTU"),
            )
            if number
        ]
        what = "a pod" if report["tunnel"]["datagrams"] else "anyone"
        lines.append(
            ("largest inner", ", ".join([f"{mtu['largest_inner']}  is the largest that {what} did send", *against]))
        )
    if mtu["mss"]:
        values = [f"{item['value']} ({counted(item['segments'], 'segment')})" for item in mtu["mss"]]
        lines.append(
            ("TCP MSS", f"{_listed(values, 4)}: what TCP puts into a packet, beside 40 bytes of headers (IPv6: 60)")
        )
    if mtu["super_frames"]:
        lines.append(("super-frames", f"{count(mtu['super_frames'])}, each several packets on the wire"))
    if mtu["packet_too_big"]:
        lines.append(
            ("too big", f"{counted(mtu['packet_too_big'], 'ICMP message')} that a packet did not fit a link")
        )
    if told := _what_if(report):
        lines.append(("other MTUs", told))
    lines = [(name, text) for name, text in lines if text]
    if not lines:
        return
    page.heading("MTU")
    hang = INDENT + max(len(name) for name, _ in lines) + GAP
    for name, text in lines:
        page.prose(text, label=name, hang=hang)
    _histogram(page, report)


def _from(evidence: str | None) -> str:
    return f"({evidence})" if evidence else ""


def _what_if(report: Report) -> str:
    """How many packets others would have been, as far as that is another number."""
    packets = report["overhead"]["wire_packets"]
    about = "about " if report["overhead"]["wire_packets_estimated"] else ""
    told = [
        f"{count(row['packets'])} "
        + (f"over links of {row['underlay']}" if row["tunnel"] else "without the tunnel")
        for row in report["what_if"]
        if row["packets"] != packets
    ]
    if not told:
        return ""
    return f"the same data was {about}{counted(packets, 'packet')}; it would be {_listed(told, 4)}"


_MOST_BINS = 8  # so that all that is said of the MTU fits a screen of 24 lines


def _histogram(page: Page, report: Report) -> None:
    limit = report["mtu"]["overlay"]
    bins = report["mtu"]["inner_sizes"]
    shown = _fewer_bins(bins, limit)
    # One bar compares with nothing.
    if sum(item["datagrams"] > 0 for item in shown) < 2:
        return
    most = max(item["datagrams"] for item in shown)
    label = max(len(str(item["up_to"])) for item in shown)
    number = max(len(count(item["datagrams"])) for item in shown)
    unit = page.clean("█")
    upto = page.clean("≤")
    page.line("  inner sizes in bytes, by datagrams")
    first = next(index for index, item in enumerate(bins) if item["datagrams"])
    below = bins[first - 1]["up_to"] if first else 0
    for item in shown:
        # A bin that is not empty shows at least one mark, however small it is beside the largest.
        bar = unit * -(-item["datagrams"] * _BAR // most)
        line = f"    {upto} {item['up_to']:>{label}}  {count(item['datagrams']):>{number}}  "
        over = limit is not None and below >= limit
        page.line((line + page.style(bar, "yellow" if over else "cyan")).rstrip())
        if limit is not None and below < limit <= item["up_to"]:
            where = "" if limit == item["up_to"] else " lies within the bar above"
            page.line(page.style(page.clean(f"    ─── overlay MTU {limit}{where}"), dim=True))
        below = item["up_to"]


def _fewer_bins(bins: Sequence[SizeBin], limit: int | None) -> list[SizeBin]:
    """From the first that is not empty to the last; of empty ones in a row one, and then as few as fit, none of
    which crosses the limit: a bin that takes in the one before it begins where that did."""
    filled = [index for index, item in enumerate(bins) if item["datagrams"]]
    if not filled:
        return []
    shown = list(bins[filled[0] : filled[-1] + 1])

    def joined(at: int) -> int:
        """What the bin at `at` would hold with the one before it."""
        return shown[at - 1]["datagrams"] + shown[at]["datagrams"]

    while True:
        free = [at for at in range(1, len(shown)) if shown[at - 1]["up_to"] != limit]
        empty = [at for at in free if joined(at) == 0]
        if not empty and (len(shown) <= _MOST_BINS or not free):
            return shown
        at = empty[0] if empty else min(free, key=joined)
        shown[at - 1 : at + 1] = [{"up_to": shown[at]["up_to"], "datagrams": joined(at)}]


def _knowledge(page: Page, report: Report, rows: int) -> None:
    known = report["knowledge"]
    if not known["sources"]:
        return
    page.heading("Files of names")
    page.table(
        [
            Row(
                (item["path"],),
                (
                    _counted(item["items"], "item"),
                    _counted(item["names"], "name") if item["names"] else Cell(""),
                    Cell(item["kind"]),
                ),
                _about_file(item),
                "yellow" if item["problem"] else None,
            )
            for item in known["sources"]
        ],
        limit=rows,
        noun=plural(len(known["sources"]) - rows, "file"),
    )
    for conflict in known["conflicts"][:_CONFLICTS]:
        page.prose(conflict, color="yellow")
    more = len(known["conflicts"]) - _CONFLICTS
    if more > 0:
        page.prose(f"… and {count(more)} more where files contradict each other", color="yellow")


def _about_file(item: KnownFile) -> str:
    about = []
    if item["taken"]:
        zone = "in a time zone that it does not tell" if item["taken_unsure"] else "UTC"
        about.append(f"taken {date(item['taken'])} {clock(item['taken'])[:8]} {zone}")
    if item["skipped"]:
        about.append(f"{count(item['skipped'])} {'more ' if item['items'] else ''}of no use here")
    if item["problem"]:
        about.append(item["problem"])
    if item["assumed_namespace"]:
        about.append(f"names no namespace: {item['assumed_namespace']} is assumed, --namespace NAME tells another")
    return ", ".join(about)


def _expectations(page: Page, report: Report) -> None:
    expectations = report["expectations"]
    if not expectations:
        return
    page.heading("Expectations", expectations[0]["path"])
    day = date(report["capture"]["first_time"] or "")
    several = len(report["inputs"]) > 1
    hang = 2 * INDENT + len("evidence") + 2
    for item in expectations:
        label, color = _STATUSES[item["status"]]
        text = f"{item['expected']}. ({item['key']})"
        page.prose(text, label=label, hang=INDENT + cells(label) + 2, label_color=color)
        page.prose(item["found"], label="found", hang=hang, indent=2 * INDENT)
        for number, row in enumerate(item["evidence"][:_EVIDENCE]):
            page.prose(
                _evidence(page, row, day, several), label="" if number else "evidence", hang=hang, indent=2 * INDENT
            )


def _findings(page: Page, report: Report) -> None:
    findings, ignored = _ordered(report["findings"]), report["findings_ignored"]
    if not findings and not ignored:
        return
    page.heading("Findings")
    day = date(report["capture"]["first_time"] or "")
    several = len(report["inputs"]) > 1
    for index, finding in enumerate(findings):
        if index:
            page.line()
        label = finding["severity"].upper()
        page.prose(
            f"{finding['title'].rstrip('.')}. ({finding['id']})",
            label=label,
            hang=INDENT + cells(label) + 2,
            label_color=_COLORS[finding["severity"]],
        )
        shown = finding["evidence"][:_EVIDENCE]
        labelled = [("evidence", _evidence(page, item, day, several)) for item in shown]
        rest = finding["count"] - len(shown)
        if shown and shown[-1]["record"] is not None and rest > 0:
            labelled.append(("", f"… {count(rest)} more"))
        labelled.append(("remedy", finding["remedy"]))
        if finding["unknown"]:
            labelled.append(("not known", finding["unknown"]))
        previous = ""
        for name, text in labelled:
            label = "" if name == previous else name
            hang = 2 * INDENT + len("not known") + 2
            page.prose(text, label=label, hang=hang, indent=2 * INDENT, lines=name in ("remedy", "not known"))
            previous = name or previous
    if ignored:
        if findings:
            page.line()
        names = ", ".join(item["id"] for item in ignored)
        page.prose(f"{counted(len(ignored), 'finding')} ignored: {names}")


def _evidence(page: Page, item: Evidence, day: str, several: bool) -> str:
    where = []
    if item["input"] is not None and several:
        where.append(page.shorten(page.clean(item["input"]), _FILE_WIDTH))
    if item["record"] is not None:
        where.append(f"record {item['record']}")
    if item["time"] is not None:
        other_day = date(item["time"]) != day
        where.append(f"{date(item['time'])} {clock(item['time'])}" if other_day else clock(item["time"]))
    place = ", ".join(where)
    return f"{place}: {item['text']}" if place else item["text"]


def _ordered(findings: Iterable[Finding]) -> list[Finding]:
    return sorted(findings, key=lambda finding: _SEVERITIES.index(finding["severity"]))


def _counted(number: int, noun: str, many: str | None = None) -> Cell:
    return Cell(count(number), plural(number, noun, many))


def _nonzero(number: int, what: str) -> Cell:
    return Cell(count(number), what) if number else Cell("")


def _size(octets: int) -> Cell:
    value, unit = size(octets)
    return Cell(value, unit)


def _range(low: int, high: int) -> str:
    return str(low) if low == high else f"{low} to {high}"


def _span(first: str, last: str) -> str:
    since, until = clock(first), clock(last)
    if since[:8] == until[:8]:
        return since
    return f"{since[:8]} to {until[:8]}"


def _listed(items: Sequence[str], most: int) -> str:
    rest = len(items) - most
    return ", ".join(items[:most]) + (f" and {count(rest)} more" if rest > 0 else "")


def _largest(numbers: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(numbers.items(), key=lambda item: -item[1])
