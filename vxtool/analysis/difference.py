"""What changed from one report to another: figure by figure, so that every format tells the same.

Two captures are rarely of equal length, so beside counts stand shares and percentiles. A figure that neither report
has is left out; one that a report does not know is None there, never 0.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin, get_type_hints, is_typeddict

from vxtool.analysis import model
from vxtool.errors import UsageError, reason_of

if TYPE_CHECKING:
    from vxtool.analysis.model import Change, Counts, Difference, DiffSide, Path, Report
    from vxtool.capture.source import Source

SCHEMA = "vxtool.diff/1"

_REPORT = "vxtool.report/1"
_LARGEST = 256 << 20  # bytes of a report as JSON

# What of a report is compared, and must be as the model has it.
_COMPARED = (
    "tool",
    "inputs",
    "capture",
    "tunnel",
    "forwarding",
    "identities",
    "identity_pairs",
    "overhead",
    "mtu",
    "findings",
)

_Unit = Literal["datagrams", "packets", "bytes", "ns", "percent", "times"]
_Value = int | float | str | None
_OUTCOMES = {
    "datagrams": "datagrams",
    "forwarded": "forwarded",
    "delivered": "delivered",
    "dropped": "dropped",
    "originated": "originated",
    "missed": "missed on the way in",
    "unresolved": "unresolved",
    "fragmented_at_source": "fragmented by the sender",
    "fragmented_by_router": "fragmented by the router",
    "translated": "with a changed outer header",
}


def compare(before: Report, after: Report) -> Difference:
    """The difference, section by section; within each in the order of `before`, what is new behind."""
    rows = [
        *_merged("forwarding", "datagrams", _outcomes(before), _outcomes(after)),
        *_merged("forwarding", "percent", _shares(before), _shares(after)),
        *_merged("paths", "datagrams", _path_counts(before), _path_counts(after)),
        *_merged("latency", "ns", _latencies(before), _latencies(after)),
        *_merged("drops", "datagrams", _drops(before), _drops(after)),
        *_merged("identities", "datagrams", *_by_identity(before, after)),
        *_merged("who talks to whom", "datagrams", *_by_pair(before, after)),
        *_merged("overhead", "bytes", _overhead(before), _overhead(after)),
        *_merged("overhead", "percent", _overhead_share(before), _overhead_share(after)),
        *_merged("mtu", "bytes", _mtu(before), _mtu(after)),
        *_merged("mtu", "packets", _mtu_counts(before), _mtu_counts(after)),
        *_merged("findings", "times", _findings(before), _findings(after)),
    ]
    return {
        "schema": SCHEMA,
        "tool": after["tool"],
        "before": _side(before),
        "after": _side(after),
        "changes": rows,
    }


def _side(report: Report) -> DiffSide:
    return {
        "paths": [item["path"] for item in report["inputs"]],
        "scope": report["forwarding"]["scope"],
        "overlay": report["tunnel"]["overlay"],
        "records": report["capture"]["records"],
        "datagrams": report["forwarding"]["datagrams"],
        "first_time": report["capture"]["first_time"],
        "duration_ns": report["capture"]["duration_ns"],
    }


def _merged(
    section: str, unit: _Unit, before: Mapping[str, _Value], after: Mapping[str, _Value]
) -> Iterator[Change]:
    for what in dict.fromkeys([*before, *after]):
        old, new = before.get(what), after.get(what)
        if old is None and new is None:
            continue
        # A count of 0 is as good as none.
        if not old and not new and unit not in ("ns", "bytes"):
            continue
        kind: Literal["same", "changed", "new", "gone"] = "same" if old == new else "changed"
        if old != new and unit not in ("ns", "percent"):
            kind = "new" if not old else "gone" if not new else "changed"
        yield {"section": section, "what": what, "unit": unit, "before": old, "after": new, "kind": kind}


def _outcomes(report: Report) -> dict[str, _Value]:
    counts: Mapping[str, Any] = report["forwarding"]
    rows: dict[str, _Value] = {name: counts[key] for key, name in _OUTCOMES.items()}
    other = report["forwarding"]["other"]
    rows["dropped of other traffic"] = other["dropped"] if other is not None else 0
    return rows


def _shares(report: Report) -> dict[str, _Value]:
    counts = report["forwarding"]
    total = counts["datagrams"]
    return {
        "share forwarded": 100 * counts["forwarded"] / total if total else None,
        "share dropped": 100 * counts["dropped"] / total if total else None,
    }


def _path_counts(report: Report) -> dict[str, _Value]:
    rows: dict[str, _Value] = {}
    for path in report["forwarding"]["paths"]:
        rows[_way(path)] = path["datagrams"]
    return rows


def _latencies(report: Report) -> dict[str, _Value]:
    rows: dict[str, _Value] = {}
    for path in report["forwarding"]["paths"]:
        latency = path["latency_ns"]
        if latency is not None:
            rows |= {f"{_way(path)} p50": latency["p50"], f"{_way(path)} p99": latency["p99"]}
    return rows


def _way(path: Path) -> str:
    ends = [
        name if name is not None else f"#{index}" if index is not None else side
        for name, index, side in (
            (path["ingress"], path["ingress_index"], "in"),
            (path["egress"], path["egress_index"], "out"),
        )
    ]
    return " → ".join([ends[0], *path["via"], ends[1]])


def _drops(report: Report) -> dict[str, _Value]:
    counts: Counts = report["forwarding"]
    rows: dict[str, _Value] = {}
    for drop in counts["drops"]:
        where = f" in {drop['ingress']}" if drop["ingress"] else ""
        rows[f"{drop['source']} → {drop['destination']}{where}"] = drop["datagrams"]
    return rows


def _names(*reports: Report) -> dict[int, str]:
    """VNIs as both reports call them: by the name that either knows."""
    names: dict[int, str] = {}
    for report in reports:
        for item in report["identities"]:
            if item["name"]:
                names.setdefault(item["vni"], f"{item['name']} {item['vni']}")
    return names


def _by_identity(*reports: Report) -> Sequence[dict[str, _Value]]:
    names = _names(*reports)
    return [
        {names.get(item["vni"], str(item["vni"])): item["datagrams"] for item in report["identities"]}
        for report in reports
    ]


def _by_pair(*reports: Report) -> Sequence[dict[str, _Value]]:
    names = _names(*reports)

    def name(vni: int | None) -> str:
        return "(unknown)" if vni is None else names.get(vni, str(vni))

    return [
        {
            f"{name(pair['source_vni'])} → {name(pair['destination_vni'])}": pair["datagrams"]
            for pair in report["identity_pairs"]
        }
        for report in reports
    ]


def _overhead(report: Report) -> dict[str, _Value]:
    sizes = sorted(map(int, report["overhead"]["bytes_per_packet"]))
    return {"a datagram": None if not sizes else sizes[0] if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"}


def _overhead_share(report: Report) -> dict[str, _Value]:
    return {"share of what was sent": report["overhead"]["percent_of_outer"]}


def _mtu(report: Report) -> dict[str, _Value]:
    mtu = report["mtu"]
    values = sorted(item["value"] for item in mtu["mss"])
    return {
        "underlay MTU": mtu["underlay"],
        "overlay MTU": mtu["overlay"],
        "largest packet inside": mtu["largest_inner"],
        "smallest TCP MSS": values[0] if values else None,
    }


def _mtu_counts(report: Report) -> dict[str, _Value]:
    mtu = report["mtu"]
    return {
        "larger than the overlay MTU": mtu["over_overlay"],
        "super-frames": mtu["super_frames"],
        "messages of a packet too big": mtu["packet_too_big"],
    }


def _findings(report: Report) -> dict[str, _Value]:
    return {f"{item['id']} ({item['severity']})": item["count"] for item in report["findings"]}


# A report from a file.


def holds_report(source: Source) -> bool:
    """Whether it is JSON that is there to read, and so no capture. Raises InputError where nothing can be read."""
    return source.first().lstrip()[:1] == b"{"


def load_report(source: Source) -> Report:
    """A report as `vxtool analyze --format json` wrote it. Raises UsageError for anything else."""
    path, what = source.path, "expected a capture, or what `vxtool analyze --format json` prints"
    data = bytearray()
    while chunk := source.read():
        data += chunk
        if len(data) > _LARGEST:
            raise UsageError(f"{path}: is larger than 256 MiB; {what}.")
    if source.error is not None:
        raise UsageError(f"{source.error}; {what}.")
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: is not JSON: {reason_of(error)}; {what}.") from None
    if not isinstance(value, dict) or value.get("schema") != _REPORT:
        found = value.get("schema") if isinstance(value, dict) else None
        raise UsageError(f"{path}: schema: expected {_REPORT!r}, found {str(found)[:60]!r}; {what}.")
    hints = get_type_hints(model.Report)
    for key in _COMPARED:
        wrong = _misfit(value.get(key), hints[key], key)
        if wrong is None and key == "overhead" and not all(map(_is_size, value[key]["bytes_per_packet"])):
            wrong = "overhead.bytes_per_packet"
        if wrong:
            raise UsageError(f"{path}: {wrong} is not as a report has it; {what}.")
    report: Report = value  # type: ignore[assignment]
    return report


def _is_size(text: str) -> bool:
    """Whether a key is a number of bytes: more of them than this no packet has."""
    digits = text.removeprefix("-")
    return digits.isascii() and digits.isdigit() and len(digits) <= 20


def _misfit(value: Any, hint: Any, where: str) -> str | None:
    """Where a value is not what a type says, if anywhere. What is not there counts as null, and then is."""
    if is_typeddict(hint):
        if not isinstance(value, dict):
            return where
        hints = get_type_hints(hint).items()
        parts = ((value.setdefault(key, None), part, f"{where}.{key}") for key, part in hints)
        return next((wrong for part in parts if (wrong := _misfit(*part))), None)
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is list:
        if not isinstance(value, list):
            return where
        items = (_misfit(item, arguments[0], f"{where}[{number}]") for number, item in enumerate(value))
        return next(filter(None, items), None)
    if origin is dict:
        return None if isinstance(value, dict) and all(type(item) is int for item in value.values()) else where
    if origin in (UnionType, Union):
        fits = any(_misfit(value, part, where) is None for part in arguments if part is not NoneType)
        return None if fits or (value is None and NoneType in arguments) else where
    if origin is Literal:
        return None if value in arguments else where
    # To Python true is a 1.
    kinds = (int, float) if hint is float else (hint,)
    return None if type(value) in kinds else where
