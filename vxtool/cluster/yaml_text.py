"""YAML, as `kubectl get ... -o yaml` and `cilium sysdump` print it. PyYAML is an extra, imported here alone.

Of YAML only what JSON can say is taken, which is all that Kubernetes writes: no aliases (a few lines of them can
stand for billions of objects), no tags, and no keys but texts. That also allows to build the values from the
parser's events, in a tenth of the time that PyYAML's own constructors take.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from vxtool.errors import UsageError, reason_of

_LONGEST = 120  # characters of PyYAML's own words
_LOOKS_LIKE = re.compile(r"^(?:apiVersion|kind|items):", re.MULTILINE)
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?")
_WORDS = {"": None, "~": None, "null": None, "true": True, "false": False}
_PLAIN_TAGS = (None, "!", "tag:yaml.org,2002:str", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")


def looks_like_yaml(text: str) -> bool:
    """Whether a text that is no JSON is a Kubernetes object in YAML."""
    return _LOOKS_LIKE.search(text) is not None


def parse_yaml(path: str, text: str) -> list[Any]:
    """Return the values of all documents in `text`; UsageError naming the line where it is no YAML of that kind."""
    try:
        import yaml
    except ImportError:
        raise UsageError(
            f"{path}: is YAML, and PyYAML is not installed: `pip install 'vxtool[yaml]'`, or take it with "
            "`-o json` instead"
        ) from None
    # The parser on libyaml is ten times as fast, and not everywhere.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return _built(path, yaml.parse(text, loader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{_place(mark)}: " if mark is not None else ""
        why = " ".join(str(error.problem or error.context or "").split())[:_LONGEST]
        raise UsageError(f"{path}: {where}is no YAML there ({ascii(why)[1:-1]}); take the output anew") from None
    except RecursionError:
        raise UsageError(f"{path}: nested too deeply for anything that kubectl prints") from None
    except (yaml.YAMLError, ValueError, TypeError, LookupError, AttributeError) as error:
        # A character that YAML forbids, a number of thousands of digits, and what PyYAML itself trips over.
        why = reason_of(error)[:_LONGEST]
        raise UsageError(f"{path}: is no YAML that can be used ({ascii(why)[1:-1]})") from None


def _built(path: str, events: Iterable[Any]) -> list[Any]:
    from yaml import events as kinds

    documents: list[Any] = []
    outer: list[tuple[Any, str | None]] = []  # what is around the innermost list or mapping, and the key in it
    inside: Any = None
    key: str | None = None
    for event in events:
        kind = type(event)
        if kind is kinds.ScalarEvent:
            value = _scalar(event.value) if event.implicit[0] else event.value
        elif kind is kinds.MappingStartEvent:
            value = {}
        elif kind is kinds.SequenceStartEvent:
            value = []
        elif kind is kinds.MappingEndEvent or kind is kinds.SequenceEndEvent:
            inside, key = outer.pop()
            continue
        elif kind is kinds.AliasEvent:
            raise _refused(path, event, "an alias")
        else:
            continue
        if event.tag not in _PLAIN_TAGS:
            raise _refused(path, event, "a tag")
        if inside is None:
            documents.append(value)
        elif isinstance(inside, list):
            inside.append(value)
        elif key is None:
            if kind is not kinds.ScalarEvent:
                raise _refused(path, event, "a key that is no text")
            key = event.value
            continue
        else:
            inside[key] = value
            key = None
        if kind is not kinds.ScalarEvent:
            outer.append((inside, key))
            inside, key = value, None
    return documents


def _scalar(text: str) -> object:
    """What an unquoted text is: as JSON has it, or a text; Kubernetes quotes what others might misread."""
    if text in _WORDS:
        return _WORDS[text]
    number = _NUMBER.fullmatch(text)
    if number is None:
        return text
    return float(text) if number[1] else int(text)


def _refused(path: str, event: Any, what: str) -> UsageError:
    return UsageError(
        f"{path}: {_place(event.start_mark)}: {what}, which kubectl never writes; take it with `-o json`"
    )


def _place(mark: Any) -> str:
    return f"line {mark.line + 1}, column {mark.column + 1}"
