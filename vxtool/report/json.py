"""The report as one JSON object, in the order of the model, so that equal reports are equal bytes.

The text is safe to print: beyond what JSON asks for, characters that do not print (escape.py says which) are
written as escapes, among them lone surrogates (undecodable bytes of a file's name), which makes the text encodable
as UTF-8 whatever it holds. So is one sign of `##[` and `##vso[`, which the runners of pipelines obey; a line that
begins with `::`, as they do too, JSON has none.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import islice
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, get_args, get_origin, get_type_hints, is_typeddict

from vxtool.analysis.model import FlowList, ListedFlow, Report
from vxtool.report import Target
from vxtool.report.escape import safe

if TYPE_CHECKING:
    from vxtool.analysis.model import Difference
    from vxtool.listing.crosscheck import Crosscheck
    from vxtool.listing.detail import RecordDetail
    from vxtool.overheads import MtuPlan

_NESTED = frozenset({dict, list})
_LISTED = 4  # blanks before a flow of a list
_LINES = 256  # of which each is a text at once


def render(report: Report, target: Target | None = None) -> str:
    """The report as JSON text, indented by two, ending in a line feed. `target` changes nothing.

    Raises ValueError for a float that JSON cannot hold (NaN, infinity).
    """
    return safe(_written(report, Report, "\n")) + "\n"


def render_flows(flows: FlowList, target: Target | None = None) -> Iterator[str]:
    """The same of a list of flows, in pieces: there may be millions."""
    # No string holds a line feed as such, so there is one line that begins like this.
    head, key, tail = _written({**flows, "flows": []}, FlowList, "\n").partition('\n  "flows": [')
    inner = "\n" + _LISTED * " "
    between = inner
    yield safe(head) + key
    lines = iter(flows["flows"])
    while some := list(islice(lines, _LINES)):
        yield between + safe(f",{inner}".join([_written(line, ListedFlow, inner) for line in some]))
        between = f",{inner}"
    yield ("\n  " if between != inner else "") + safe(tail) + "\n"


def render_diff(difference: Difference, target: Target | None = None) -> str:
    """The same of what changed between two captures."""
    from vxtool.analysis.model import Difference

    return safe(_written(difference, Difference, "\n")) + "\n"


def render_mtu(plan: MtuPlan, target: Target | None = None) -> str:
    """The same of what an MTU comes to."""
    from vxtool.overheads import MtuPlan

    return safe(_written(plan, MtuPlan, "\n")) + "\n"


def render_record(detail: RecordDetail, target: Target | None = None) -> str:
    """The same of one record in full."""
    from vxtool.listing.detail import RecordDetail

    return safe(_written(detail, RecordDetail, "\n")) + "\n"


def render_crosscheck(result: Crosscheck, target: Target | None = None) -> str:
    """The same of a comparison with Wireshark."""
    from vxtool.listing.crosscheck import Crosscheck

    return safe(_written(result, Crosscheck, "\n")) + "\n"


def _written(value: Any, shape: Any, margin: str) -> str:
    """`value` as `json.dumps` writes it with an indent of two, each line behind the first after `margin`; the keys
    of each object in the order in which `shape` names them, unknown ones behind.

    With an indent, Python's own writer is one in Python. So what holds no further objects or lists, which is nearly
    all of a report, is written by the one in C, told to put the margin between its items.
    """
    inner = margin + "  "
    if isinstance(value, dict) and value:
        known, ordered = _in_order(value, shape)
        if not _is_flat(ordered.values()):
            return f"{{{inner}{f',{inner}'.join(_members(ordered, known, inner))}{margin}}}"
        return f"{{{inner}{_flat(inner)(ordered)[1:-1]}{margin}}}"
    if isinstance(value, list) and value:
        of = get_args(shape)[0] if get_origin(shape) in (list, Sequence) else None
        if all(isinstance(item, dict) and item and _is_flat(item.values()) for item in value):
            between = inner + "  "
            text = _flat(between)([_in_order(item, of)[1] for item in value])[2:-2]
            # No string holds a line feed as such, so these are the ends of objects.
            text = text.replace(f"}},{between}{{", f"{inner}}},{inner}{{{between}")
            return f"[{inner}{{{between}{text}{inner}}}{margin}]"
        if _is_flat(value):
            return f"[{inner}{_flat(inner)(value)[1:-1]}{margin}]"
        return f"[{inner}{f',{inner}'.join([_written(item, of, inner) for item in value])}{margin}]"
    return _flat(inner)(value)


def _members(value: dict[str, Any], known: Any, inner: str) -> list[str]:
    """Each key of an object with what it stands for, the flat ones written at once. `known`: its TypedDict."""
    # What is empty is written as a word is.
    nested = {key: item for key, item in value.items() if item and isinstance(item, dict | list)}
    # No string holds a line feed as such, so each key has a line of its own.
    lines = _flat(inner)(value | dict.fromkeys(nested))[1:-1].split(f",{inner}")
    for at, key in enumerate(value):
        if key in nested:
            lines[at] = lines[at].removesuffix("null") + _written(nested[key], _shape_of(known, key), inner)
    return lines


def _is_flat(values: Iterable[Any]) -> bool:
    return _NESTED.isdisjoint(map(type, values))


@cache
def _flat(inner: str) -> Callable[[Any], str]:
    """Writes what holds no other objects or lists, with `inner` between its items."""
    return json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(f",{inner}", ": ")).encode


def _in_order(value: dict[str, Any], shape: Any) -> tuple[Any, dict[str, Any]]:
    """The TypedDict of this shape, if any, and the object with its keys in order."""
    known = _typed_dict(shape)
    if known is None:
        return None, dict(sorted(value.items(), key=_numbers_first))
    names: Mapping[str, Any] = known.__annotations__
    if list(value) == list(names):
        return known, value
    keys = [key for key in names if key in value] + [key for key in value if key not in names]
    return known, {key: value[key] for key in keys}


@cache
def _typed_dict(shape: Any) -> Any:
    for part in (shape, *get_args(shape)):
        if is_typeddict(part):
            return part
    return None


@cache
def _shape_of(known: Any, key: str) -> Any:
    """What a TypedDict says of one key: to ask for all of them at once takes as long as all else here."""
    if known is None or key not in known.__annotations__:
        return None
    one = SimpleNamespace(__annotations__={key: known.__annotations__[key]})
    return get_type_hints(one, vars(sys.modules[known.__module__]))[key]


def _numbers_first(item: tuple[str, Any]) -> tuple[bool, int, str]:
    number = item[0].isascii() and item[0].isdigit()
    return not number, int(item[0]) if number else 0, item[0]
