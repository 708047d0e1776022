"""One record as a terminal page: what the capture says of it, the tree of its layers, and its bytes.

Each line of the tree begins with the bytes that it stands for, as `[42..49]`; the dump counts in the same numbers,
and begins a new row with each layer. On a wide terminal the bytes of a layer stand beside its fields, on a narrow
one behind all of them. Where there are colours, those of a layer are the same in both.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from vxtool.report import Target
from vxtool.report.escape import COMMANDS
from vxtool.report.layout import Page, cells
from vxtool.report.units import count, counted

if TYPE_CHECKING:
    from vxtool.listing.detail import FieldDetail, LayerDetail, RecordDetail

WIDE = 140  # columns from which on the dump stands beside the tree
MOST_DUMPED = 4096  # bytes

_ROW = 16  # bytes of a row of the dump
_BETWEEN = 3  # columns between tree and dump
_COLORS = ("cyan", "green", "yellow", "magenta", "blue")
_NAME = 20  # columns that the names of fields take, longer ones aside
_HEAD = 20
# What names of fields spell otherwise than in small letters.
_WORDS = {
    "ip": "IP",
    "mac": "MAC",
    "vni": "VNI",
    "ttl": "TTL",
    "mtu": "MTU",
    "mss": "MSS",
    "dscp": "DSCP",
    "ecn": "ECN",
    "sack": "SACK",
    "vlan": "VLAN",
}
_PLACES = {"in": "in", "out": "out", "other": "seen", "broadcast": "in", "multicast": "in", None: "seen"}


class _Line(NamedTuple):
    """A line before colour: its text, and in which colour it stands from which column on."""

    text: str
    color: str | None
    is_title: bool = False


def render(detail: RecordDetail, target: Target) -> str:
    """The page, ending in a line feed. No line is wider than `target.width` (at least 72)."""
    page = Page(target)
    _head(page, detail)
    data = bytes.fromhex(detail["data"])
    shown = min(len(data), MOST_DUMPED)
    wide = page.width >= WIDE
    digits = len(str(max(len(data) - 1, 0)))
    dump_width = digits + 2 + _ROW * 3 - 1 + 2 + _ROW
    tree_width = page.width - (dump_width + _BETWEEN if wide else 0)
    ranges = 2 * digits + 4  # [42..49]
    page.line()
    rows: list[tuple[str, Sequence[_Line]]] = []
    for number, layer in enumerate(detail["layers"]):
        color = _COLORS[number % len(_COLORS)]
        lines = list(_layer(page, layer, ranges, tree_width, color))
        end = min(layer["offset"] + layer["length"], shown)
        dump = [_dump_row(data, at, min(at + _ROW, end), digits) for at in range(layer["offset"], end, _ROW)]
        if wide:
            _beside(page, lines, dump, tree_width, color)
        else:
            for line in lines:
                page.line(_styled(page, line))
            rows += [(row, lines[:1]) for row in dump]
    hidden = len(data) - shown
    rest = page.clean(f"… {count(hidden)} more bytes, all of them in --format json") if hidden else ""
    if not wide and data:
        page.heading("Bytes")
        for row, (title, *_) in rows:
            page.line("  " + page.style(row, title.color))
    if rest:
        page.line(page.style("  " + rest, dim=True))
    return str(page)


def _head(page: Page, detail: RecordDetail) -> None:
    name = page.clean(detail["input"])
    page.line(page.style(page.shorten(f"Record {count(detail['number'])} of {name}", page.width), bold=True))
    day, _, clock = detail["time"].rstrip("Z").partition("T")
    seconds, fraction = divmod(abs(detail["relative_ns"]), 10**9)
    sign = "-" if detail["relative_ns"] < 0 else ""
    since = f"{sign}{seconds}.{fraction:09} s after the first record"
    _fact(page, "time", f"{day} {clock} UTC, {since}")
    interface = detail["interface"] or "not known"
    direction = detail["direction"]
    told = {"other": "not addressed to this machine", None: "direction not known"}.get(direction, direction or "")
    _fact(page, "interface", f"{interface}, {told}")
    captured, length = detail["captured"], detail["length"]
    kept = "all captured" if captured >= length else f"{count(captured)} of them captured"
    _fact(page, "length", f"{counted(length, 'byte')}, {kept}; {detail['link_type']}")
    if detail["journey"] is not None:
        _fact(page, "journey", detail["journey"]["text"])
    for problem in detail["problems"]:
        _fact(page, "problem", problem, "red")


def _fact(page: Page, label: str, text: str, color: str | None = None) -> None:
    page.prose(text, label=label, hang=13, color=color, label_color=None)


def _layer(page: Page, layer: LayerDetail, ranges: int, width: int, color: str) -> Iterator[_Line]:
    title = " ".join(part for part in (layer["place"], layer["layer"]) if part)
    title = title[:1].upper() + title[1:]
    lead = _range(layer["offset"], layer["length"]).ljust(ranges) + " "
    summary = page.clean(layer["summary"])
    for line in _wrapped(page, lead, f"{page.clean(title)}  {summary}".rstrip(), len(lead) + 2, width):
        yield _Line(line, color, True)
    yield from _fields(page, layer["fields"], ranges, width, color, 1)


def _fields(
    page: Page, fields: Sequence[FieldDetail], ranges: int, width: int, color: str, depth: int
) -> Iterator[_Line]:
    for field in fields:
        if not field["text"]:
            continue
        lead = _range(field["offset"], field["length"]).ljust(ranges) + " " + "  " * depth
        label = _label(field["name"]).ljust(_NAME - 2 * (depth - 1))
        text = page.clean(field["text"], limit=2_000)
        lead += label + " "
        for line in _wrapped(page, lead, text, len(lead), width):
            yield _Line(line, color)
        yield from _fields(page, field["fields"], ranges, width, color, depth + 1)


def _label(name: str) -> str:
    return " ".join(_WORDS.get(word, word) for word in name.split("_"))


def _range(offset: int, length: int) -> str:
    return f"[{offset}]" if length == 1 else f"[{offset}..{offset + length - 1}]"


def _wrapped(page: Page, lead: str, text: str, hang: int, width: int) -> Iterator[str]:
    for piece in page.wrap(text, max(width - hang, 16)):
        yield (lead + piece).rstrip()
        lead = " " * hang


def _styled(page: Page, line: _Line) -> str:
    """The range in the layer's colour; a title in bold too."""
    if line.is_title:
        return page.style(line.text, line.color, bold=True)
    end = line.text.find("]") + 1
    return page.style(line.text[:end], line.color) + line.text[end:] if line.text.startswith("[") else line.text


def _beside(page: Page, lines: Sequence[_Line], dump: Sequence[str], width: int, color: str) -> None:
    for number in range(max(len(lines), len(dump))):
        left = _styled(page, lines[number]) if number < len(lines) else ""
        used = cells(lines[number].text) if number < len(lines) else 0
        if number < len(dump):
            left += " " * (width + _BETWEEN - used) + page.style(dump[number], color)
        page.line(left)


def _dump_row(data: bytes, start: int, end: int, digits: int) -> str:
    row = data[start:end]
    text = "".join(chr(octet) if 0x20 <= octet < 0x7F else "." for octet in row)
    # What a pipeline would obey is no text here either; one column stays one column.
    text = COMMANDS.sub(".", text)
    return f"{start:0{digits}}  {row.hex(' ').ljust(_ROW * 3 - 1)}  {text}".rstrip()
