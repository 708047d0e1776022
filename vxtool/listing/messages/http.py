"""HTTP/1 (RFC 9112): the first line, the type of the body, and where the message ends.

Four header fields matter, and only for where the body ends and what it is: they are looked for in the block of
headers, which costs a tenth of what reading all of them by dpkt does. Bodies are counted and never kept.
"""

from __future__ import annotations

import re

from .columns import CUT, PART, shorten, text
from .streams import Side, Stream, Told

METHODS = frozenset(
    b"GET POST PUT HEAD DELETE OPTIONS PATCH CONNECT TRACE PROPFIND PROPPATCH MKCOL COPY MOVE LOCK UNLOCK SEARCH"
    b" REPORT NOTIFY SUBSCRIBE UNSUBSCRIBE M-SEARCH".split()
)

_LONGEST_METHOD = 12  # with the space behind it
_LONGEST_HEAD = 16384  # bytes of first line and headers; what has more is no longer followed
_LONGEST_LINE = 256  # bytes of a line between chunks
_MOST_MESSAGES = 64  # told of one segment
_UNTIL_CLOSE = 1 << 62  # bytes to come where only the end of the connection ends a body

_request = re.compile(rb"([A-Z-]+) [^\r\n]* HTTP/[^\r\n]*")
_response = re.compile(rb"HTTP/1\.[^\r\n]*")
_status = re.compile(rb"HTTP/1\.[^ ]* +([0-9]{3})")
_end_of_head = re.compile(rb"\n\r?\n")
_fields = re.compile(
    rb"\n(content-length|transfer-encoding|content-type|content-encoding)[ \t]*:[ \t]*([^\r\n]*)", re.IGNORECASE
)

# Wireshark hands these bodies to other readers, whose names then stand beside HTTP's, or it leaves them unnamed.
_JSON = frozenset({b"application/json", b"application/problem+json", b"application/x-ndjson"})
_XML = frozenset(
    b"text/xml application/xml application/soap+xml application/rss+xml application/atom+xml image/svg+xml".split()
)
_UNNAMED = frozenset({b"", b"application/octet-stream", b"application/grpc", b"application/cbor"})
_DECODED = frozenset({b"", b"gzip", b"x-gzip", b"deflate", b"br", b"identity"})

# Stages of a message whose head was read; 0: none was. Adrift is what follows a segment that was not captured
# whole: where it ends cannot be told, so any segment may begin the next message.
_BODY, _CHUNK, _CHUNK_LINE, _TRAILER, _ADRIFT = 1, 2, 3, 4, 5


class _NotHttp(Exception):
    """No message begins here, or nothing can be made of it."""


class _Unfinished(Exception):
    """More bytes are to come: `missing` of them at least, and those from `at` on are to be kept until then."""

    def __init__(self, missing: int, at: int) -> None:
        self.missing = missing
        self.at = at


def begins(payload: bytes) -> bool:
    """Whether a payload begins as messages do."""
    if payload.startswith(b"HTTP/1."):
        return True
    method, space, _ = payload[:_LONGEST_METHOD].partition(b" ")
    return bool(space) and method in METHODS


def read(stream: Stream, side: Side, payload: bytes, remaining: int, lost: int, last: bool) -> Told | None:
    """Read the messages in a segment's payload, of which the first `remaining` bytes end what is under way.

    `lost`: how many bytes of the segment were not captured. `last`: it is the last of its direction.
    """
    told: list[str] = []
    protocol = "HTTP"
    at = 0
    if side.stage == _ADRIFT or (lost and side.reader):
        side.clear()
        if not begins(payload):
            _set_adrift(side)
            return ("HTTP", "Continuation" + CUT, 1) if lost else ("", "", 1)
    if side.stage == _BODY and side.left < _UNTIL_CLOSE:
        side.left = remaining
    if side.held:
        payload = side.held + payload
        side.held = b""
    try:
        while (at < len(payload) or side.stage) and len(told) < _MOST_MESSAGES:
            if not side.stage:
                at = _head(stream, side, payload, at)
            at = _body(side, payload, at)
            protocol = _complete(side, told)
    except _NotHttp:
        if side.stage:
            told.append(side.waiting)
        elif told:
            told.append("Continuation")
        side.clear()
    except _Unfinished as unfinished:
        held = payload[unfinished.at :]
        if (lost and side.stage == _BODY) or (last and side.stage and side.left >= _UNTIL_CLOSE):
            protocol = _complete(side, told)
        elif lost:
            told.append(side.waiting)
        elif len(held) > _LONGEST_HEAD:
            side.clear()
        else:
            side.reader = read
            side.held = held
            if told:
                return protocol, shorten("".join(told) + side.waiting), unfinished.missing
            if not side.waiting:
                return "", "", unfinished.missing
            return "TCP", f"{side.waiting} {PART}", unfinished.missing
    if not any(told):
        side.clear()
        return None
    if lost:
        _set_adrift(side)
        return protocol, shorten("".join(told)) + CUT, 1
    return protocol, shorten("".join(told)), 0


def _set_adrift(side: Side) -> None:
    side.clear()
    side.reader = read
    side.stage = _ADRIFT


def _complete(side: Side, told: list[str]) -> str:
    """Tell of the message that is complete; its protocol."""
    protocol = "HTTP"
    told.append(side.waiting)
    if side.some:
        told[-1] += side.suffix
        protocol = side.protocol
    side.clear()
    return protocol


def _head(stream: Stream, side: Side, payload: bytes, at: int) -> int:
    """Read first line and headers; the offset behind them."""
    begun = at
    while payload.startswith(b"\r\n", at):
        at += 2
    end = payload.find(b"\n", at)
    if end < 0:
        raise _Unfinished(1, begun)
    line = payload[at : end - 1 if payload[end - 1] == 13 else end]
    response = _response.fullmatch(line)
    if not response:
        request = _request.fullmatch(line)
        if not request or request[1] not in METHODS:
            raise _NotHttp
        stream.method = request[1]
    side.waiting = shorten(text(line)) + " "
    blank = _end_of_head.search(payload, end)
    if not blank:
        raise _Unfinished(1, begun)
    fields = {name.lower(): value for name, value in _fields.findall(payload, end, blank.end())}
    kind = fields.get(b"content-type", b"").partition(b";")[0].strip().lower()
    decoded = fields.get(b"content-encoding", b"").strip().lower() in _DECODED
    side.protocol, side.suffix = _named(kind) if decoded else ("HTTP", "")
    side.stage = _BODY
    side.left = 0
    length = fields.get(b"content-length", b"").strip()
    if response:
        status = _status.match(line)
        code = status[1] if status else b""
        if code[:1] == b"1" or code in (b"204", b"304") or stream.method == b"HEAD":
            return blank.end()
        if stream.method == b"CONNECT" and code[:1] == b"2":
            return blank.end()
    if fields.get(b"transfer-encoding", b"").strip().lower() == b"chunked":
        side.stage = _CHUNK_LINE
    elif length.isdigit() and len(length) < 18:
        side.left = int(length)
    elif response:
        side.left = _UNTIL_CLOSE
    return blank.end()


def _named(kind: bytes) -> tuple[str, str]:
    """The protocol column, and what info adds, of a body of a media type."""
    if kind in _JSON:
        return "HTTP/JSON", f", JavaScript Object Notation ({text(kind)})"
    if kind in _XML:
        return "HTTP/XML", ""
    if kind in _UNNAMED or kind.startswith(b"multipart/"):
        return "HTTP", ""
    return "HTTP", f" ({text(kind)})"


def _body(side: Side, payload: bytes, at: int) -> int:
    """Step over the body of the message under way; the offset behind it."""
    while True:
        if side.stage in (_BODY, _CHUNK):
            there = len(payload) - at
            if side.left:
                side.some = side.some or there > 0
            if there < side.left:
                if side.left >= _UNTIL_CLOSE:
                    raise _Unfinished(_UNTIL_CLOSE, len(payload))
                side.left -= there
                # Within chunks Wireshark tells of each segment what the first line says.
                raise _Unfinished(side.left if side.stage == _BODY else 1, len(payload))
            at += side.left
            side.left = 0
            if side.stage == _BODY:
                return at
            side.stage = _CHUNK_LINE
        end = payload.find(b"\n", at)
        if end < 0:
            if len(payload) - at > _LONGEST_LINE:
                raise _NotHttp
            raise _Unfinished(1, at)
        line = payload[at:end].partition(b";")[0].strip()
        at = end + 1
        if side.stage == _TRAILER:
            if not line:
                return at
            continue
        try:
            size = int(line, 16) if len(line) <= 15 else -1
        except ValueError:
            size = -1
        if size < 0:
            raise _NotHttp
        if size:
            side.stage = _CHUNK
            side.left = size + 2  # the line end behind it
        else:
            side.stage = _TRAILER
