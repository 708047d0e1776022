"""One line of a list of packets: what is known of a record, and how it is written. The twin of native/line.c."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from vxtool.listing.echoes import echo_text
from vxtool.listing.facts import OUTCOMES
from vxtool.listing.fields import FIELDS, NUMBERS, Column
from vxtool.listing.info import end_text, info_text, notes_text
from vxtool.listing.messages.columns import PART

if TYPE_CHECKING:
    from vxtool.listing.seen import End, Seen
    from vxtool.listing.streams import StreamNote

NOTES = (
    "retransmission",
    "fast-retransmission",
    "spurious-retransmission",
    "out-of-order",
    "lost-segment",
    "acked-lost-segment",
    "duplicate-ack",
    "zero-window",
    "zero-window-probe",
    "zero-window-probe-ack",
    "window-update",
    "window-full",
    "keep-alive",
    "keep-alive-ack",
    "ports-reused",
)  # in the order of their bits

TEXT, TSV, JSON = range(3)
RELATIVE, ABSOLUTE, DELTA = range(3)
DROPPED = OUTCOMES.index("dropped")

_ELLIPSIS = "…"
_RED, _YELLOW, _PLAIN = "\x1b[31m", "\x1b[33m", "\x1b[0m"
_SECOND = 1_000_000_000
_NUMBERS = {
    "number", "latency_ns", "datagram", "source_port", "destination_port", "vni", "length", "stream",
}  # fmt: skip
# Those that terminals give two columns, near enough: the scripts of East Asia, and pictures.
_WIDE = (
    (0x1100, 0x115F), (0x2E80, 0x303E), (0x3041, 0xA4CF), (0xAC00, 0xD7A3), (0xF900, 0xFAFF), (0xFE30, 0xFE6F),
    (0xFF00, 0xFF60), (0xFFE0, 0xFFE6), (0x1F300, 0x1F64F), (0x1F900, 0x1F9FF), (0x20000, 0x3FFFD),
)  # fmt: skip
_JSON = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


class Party(NamedTuple):
    """Who has an address."""

    name: str | None = None
    pod: str | None = None
    node: str | None = None
    identity: int = -1


UNKNOWN_PARTY = Party()


class Look(NamedTuple):
    """How lines are written: of `vx_list_options` what concerns that."""

    paths: Sequence[str]
    columns: Sequence[Column]
    format: int
    time: int
    time_digits: int
    color: bool
    way_width: int
    tail_width: int
    info_room: int
    indent: int


@dataclass(slots=True)
class Line:
    seen: Seen
    note: StreamNote | None
    number: int
    input: int
    time_ns: int
    shown_ns: int = 0
    latency: int = -1
    datagram: int = 0
    outcome: int = 0
    interfaces: str | None = None
    ingress: str | None = None
    egress: str | None = None
    source: Party = UNKNOWN_PARTY
    destination: Party = UNKNOWN_PARTY
    identity: str | None = None
    protocol: str = ""
    message: str | None = None
    request: int = 0
    is_part: bool = False


def write(look: Look, line: Line, is_first: bool) -> str:
    """`is_first`: no record was written before."""
    if look.format == TEXT:
        return _text_line(look, line)
    fields = [FIELDS[column.field] for column in look.columns]
    if look.format == TSV:
        return "\t".join(_value(look, line, field) or "" for field in fields) + "\n"
    members = ", ".join(f'"{field}": {_json(look, line, field)}' for field in fields)
    return f"{'' if is_first else ','}\n    {{{members}}}"


def duration(nanoseconds: int) -> str:
    """How long, in two or three figures: '16 µs', '1.2 ms'."""
    if nanoseconds < 1000:
        return f"{nanoseconds} ns"
    for unit, length in (("µs", 1_000), ("ms", 1_000_000), ("s", _SECOND)):
        if nanoseconds < length * (999.5 if unit != "s" else 59.5):
            if nanoseconds * 20 < length * 199:
                tenths = (nanoseconds * 10 + length // 2) // length
                return f"{tenths // 10}{f'.{tenths % 10}' if tenths % 10 else ''} {unit}"
            return f"{(nanoseconds + length // 2) // length} {unit}"
    minutes, seconds = divmod((nanoseconds + _SECOND // 2) // _SECOND, 60)
    return f"{minutes} min {seconds} s" if seconds else f"{minutes} min"


def columns_of(text: str) -> int:
    """The terminal columns that it takes."""
    return sum(map(_columns_of, text))


def _columns_of(sign: str) -> int:
    return 2 if any(first <= ord(sign) <= last for first, last in _WIDE) else 1


# Values.


def _value(look: Look, line: Line, field: str) -> str | None:
    """The value of a field as it is, without quotes; None: there is none."""
    seen = line.seen
    ports = seen.has_ports
    match field:
        case "number":
            return str(line.number)
        case "input":
            return look.paths[line.input]
        case "time":
            return _time(look, line)
        case "latency_ns":
            return str(line.latency) if line.latency >= 0 else None
        case "outcome":
            return OUTCOMES[line.outcome] or None
        case "datagram":
            return str(line.datagram) if line.datagram else None
        case "source":
            return _end(seen.source)
        case "destination":
            return _end(seen.destination)
        case "source_name":
            return line.source.name if line.source.name is not None else _end(seen.source)
        case "destination_name":
            return line.destination.name if line.destination.name is not None else _end(seen.destination)
        case "source_port":
            return str(seen.source_port) if ports else None
        case "destination_port":
            return str(seen.destination_port) if ports else None
        case "vni":
            return str(seen.vni) if seen.vni >= 0 else None
        case "outer_source":
            return _end(seen.outer_source)
        case "outer_destination":
            return _end(seen.outer_destination)
        case "length":
            return str(seen.length)
        case "stream":
            return str(line.note.stream) if line.note is not None else None
        case "notes":
            return ",".join(_notes(line)) or None
        case "info":
            info = _info(line)
            return info if look.format == JSON else _without_controls(info)
        case _:  # interfaces, ingress, egress, identity, protocol
            value: str | None = getattr(line, field)
            return value


def _end(end: End | None) -> str | None:
    return None if end is None else end_text(end)


def _notes(line: Line) -> list[str]:
    notes = line.note.notes if line.note is not None else 0
    return [name for bit, name in enumerate(NOTES) if notes >> bit & 1]


def _info(line: Line) -> str:
    told = line.message if line.message is not None else info_text(line.seen, line.note)
    part = f" {PART}" if line.is_part else ""
    return f"{notes_text(line.note)}{told}{echo_text(line.request)}{part}"


def _without_controls(text: str) -> str:
    return "".join(f"\\x{ord(sign):02x}" if sign < " " or sign == "\x7f" else sign for sign in text)


def _time(look: Look, line: Line) -> str:
    digits = look.time_digits if look.format == TEXT else 9
    if look.time == ABSOLUTE:
        return _moment(line.time_ns, digits)
    return _seconds(line.shown_ns, digits)


def _seconds(nanoseconds: int, digits: int) -> str:
    parts = abs(nanoseconds) // 10 ** (9 - digits)
    whole, fraction = divmod(parts, 10**digits)
    sign = "-" if nanoseconds < 0 and parts else ""
    return f"{sign}{whole}" + (f".{fraction:0{digits}}" if digits else "")


def _moment(nanoseconds: int, digits: int) -> str:
    seconds, parts = divmod(nanoseconds, _SECOND)
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    fraction = f".{parts // 10 ** (9 - digits):0{digits}}" if digits else ""
    return f"{moment:%Y-%m-%dT%H:%M:%S}{fraction}Z"


# JSON.


def _json(look: Look, line: Line, field: str) -> str:
    if field == "notes":
        return "[" + ", ".join(f'"{name}"' for name in _notes(line)) + "]"
    value = _value(look, line, field)
    if value is None:
        return "null"
    if field in _NUMBERS or (field == "time" and look.time != ABSOLUTE):
        return value
    return '"' + "".join(map(_spelled, value)) + '"'


def _spelled(sign: str) -> str:
    code = ord(sign)
    # Of what else does not print, `Lister.blocks` takes care, but for bytes that are no UTF-8.
    if code < 0x20 or 0xD800 <= code <= 0xDFFF:
        return _JSON.get(sign) or f"\\u{code:04x}"
    return _JSON.get(sign, sign)


# Text.


def _text_line(look: Look, line: Line) -> str:
    written = ""
    # Blanks are written once something follows them, so that no line ends in blanks.
    blanks = 0
    # By how many columns what stands on this line so far is wider than its columns: info has so much less.
    excess = 0
    for place, column in enumerate(look.columns):
        if column.starts_line:
            written += "\n"
            blanks, excess = look.indent, 0
        elif place:
            blanks += 1
        cell = _cell(look, line, column.field, excess)
        columns = columns_of(cell) if column.width else 0
        rest = max(column.width - columns, 0)
        excess += max(columns - column.width, 0)
        if not cell:
            blanks += rest
            continue
        color = _color(line, FIELDS[column.field]) if look.color else ""
        before = blanks + (rest if column.to_the_right else 0)
        written += " " * before + (f"{color}{cell}{_PLAIN}" if color else cell)
        blanks = 0 if column.to_the_right else rest
    return written + "\n"


def _cell(look: Look, line: Line, field: int, excess: int) -> str:
    if field == NUMBERS["interfaces"]:
        return _interfaces(look, line)
    text = _value(look, line, FIELDS[field]) or ""
    if field == NUMBERS["info"]:
        text = text.rstrip(" ")
        return _fitted(text, max(look.info_room - excess, 1)) if look.info_room else text
    return text


def _interfaces(look: Look, line: Line) -> str:
    """The way, and behind it how long it took, or that it ended."""
    way = line.interfaces or ""
    dropped = line.outcome == DROPPED
    if not look.tail_width or (line.latency < 0 and not dropped):
        return way
    tail = "dropped" if dropped else duration(line.latency)
    way += " " * max(look.way_width - columns_of(way), 0)
    gap = " " if look.way_width else ""
    return f"{way}{gap}{' ' * max(look.tail_width - columns_of(tail), 0)}{tail}"


def _fitted(text: str, room: int) -> str:
    """Cut so that it takes at most `room` columns."""
    columns = last = 0
    for at, sign in enumerate(text, 1):
        wide = _columns_of(sign)
        # What still fits with the ellipsis behind it.
        if columns + wide < room:
            last = at
        columns += wide
    return text if columns <= room else text[:last] + _ELLIPSIS


def _color(line: Line, field: str) -> str:
    if field in ("interfaces", "outcome"):
        return _RED if line.outcome == DROPPED else ""
    if field in ("info", "notes"):
        return _YELLOW if line.note is not None and line.note.notes else ""
    return ""
