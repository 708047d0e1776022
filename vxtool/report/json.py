"""The report as one JSON object, in the order of the model, so that equal reports are equal bytes.

The text is safe to print: beyond what JSON asks for, characters that a terminal obeys or that reorder what
stands beside them are written as escapes, and so are lone surrogates (undecodable bytes of a file's name),
which makes the text encodable as UTF-8 whatever it holds.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from typing import Any, get_args, get_origin, get_type_hints, is_typeddict

from vxtool.analysis.model import Report
from vxtool.report import Target

# C1 controls and DEL, zero-width and bidirectional marks, line and paragraph separators, surrogates.
_UNSAFE = re.compile("[\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff]")


def render(report: Report, target: Target | None = None) -> str:
    """The report as JSON text, indented by two, ending in a line feed. `target` changes nothing.

    Raises ValueError for a float that JSON cannot hold (NaN, infinity).
    """
    text = json.dumps(_ordered(report, Report), ensure_ascii=False, indent=2, allow_nan=False)
    # Outside strings JSON has none of these, and inside a string an escape means the same.
    return _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", text) + "\n"


def _ordered(value: Any, shape: Any) -> Any:
    """`value` with the keys of each object in the order in which `shape` names them, unknown ones behind."""
    if isinstance(value, Mapping):
        if (known := _typed_dict(shape)) is not None:
            hints = _hints(known)
            keys = [key for key in hints if key in value] + [key for key in value if key not in hints]
            return {key: _ordered(value[key], hints.get(key)) for key in keys}
        return dict(sorted(value.items(), key=_numbers_first))
    if isinstance(value, list):
        of = get_args(shape)[0] if get_origin(shape) is list else None
        return [_ordered(item, of) for item in value]
    return value


def _typed_dict(shape: Any) -> Any:
    for part in (shape, *get_args(shape)):
        if is_typeddict(part):
            return part
    return None


@cache
def _hints(shape: Any) -> dict[str, Any]:
    return get_type_hints(shape)


def _numbers_first(item: tuple[str, Any]) -> tuple[bool, int, str]:
    number = item[0].isascii() and item[0].isdigit()
    return not number, int(item[0]) if number else 0, item[0]
