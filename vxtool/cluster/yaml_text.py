"""YAML, as `kubectl get ... -o yaml` and `cilium sysdump` print it. PyYAML is an extra, imported here alone."""

from __future__ import annotations

import re
from typing import Any, ClassVar

from vxtool.errors import UsageError

_LONGEST = 120  # characters of PyYAML's own words
_LOOKS_LIKE = re.compile(r"^(?:apiVersion|kind|items):", re.MULTILINE)
# Where an alias may stand: few texts have an asterisk there, and only of those it is found out exactly.
_MAYBE_ALIAS = re.compile(r"(?:^|[\s\[{,:-])\*[^\s*/]", re.MULTILINE)
_TIMESTAMP = "tag:yaml.org,2002:timestamp"


def looks_like_yaml(text: str) -> bool:
    """Whether a text that is no JSON is a Kubernetes object in YAML."""
    return _LOOKS_LIKE.search(text) is not None


def parse_yaml(path: str, text: str) -> list[Any]:
    """Return the values of all documents in `text`; UsageError naming the line where it is no YAML.

    Aliases are refused: neither kubectl nor cilium writes any, and a few lines of them can stand for billions
    of objects.
    """
    try:
        import yaml
    except ImportError:
        raise UsageError(
            f"{path}: is YAML, and PyYAML is not installed: `pip install 'vxtool[yaml]'`, or take it with "
            "`-o json` instead"
        ) from None
    # The one on libyaml is ten times as fast, and not everywhere.
    base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    class Loader(base):  # type: ignore[misc]
        """Leaves times as they are written."""

        yaml_implicit_resolvers: ClassVar = {
            first: [(tag, pattern) for tag, pattern in resolvers if tag != _TIMESTAMP]
            for first, resolvers in base.yaml_implicit_resolvers.items()
        }

    try:
        if _MAYBE_ALIAS.search(text) and any(
            isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, base)
        ):
            raise UsageError(
                f"{path}: has YAML aliases, which kubectl never writes; take it anew, or with `-o json`"
            )
        return list(yaml.load_all(text, Loader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark is not None else ""
        why = " ".join(str(error.problem or error.context or "").split())[:_LONGEST]
        raise UsageError(f"{path}: {where}is no YAML there ({ascii(why)[1:-1]}); take the output anew") from None
    except RecursionError:
        raise UsageError(f"{path}: nested too deeply for anything that kubectl prints") from None
    except (yaml.YAMLError, ValueError, TypeError, LookupError, AttributeError, OverflowError) as error:
        # A character that YAML forbids, a number of thousands of digits, and what PyYAML itself trips over.
        why = " ".join(str(error).split())[:_LONGEST]
        raise UsageError(f"{path}: is no YAML that can be used ({ascii(why)[1:-1]})") from None
