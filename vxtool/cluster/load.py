"""From the files of `--cluster` to one Cluster: a file's kind is told by its content, never by its name."""

from __future__ import annotations

import re
from collections.abc import Sequence

from vxtool.cluster.files import looks_like_json, parse_json, read_text
from vxtool.cluster.knowledge import Facts, merge
from vxtool.cluster.links import is_links
from vxtool.cluster.lookup import Cluster
from vxtool.cluster.objects import parse_objects
from vxtool.cluster.tables import parse_tables
from vxtool.errors import UsageError

_UNDERSTOOD = (
    "understood are `kubectl get ciliumendpoints -A -o json` (or its plain table), "
    "`kubectl get ciliumidentities -o json`, and ciliumnodes, nodes and pods as JSON or wide table"
)
_YAML = re.compile(r"^(?:apiVersion|kind|items):", re.MULTILINE)
_MOST_NAMED = 4
_LONGEST_QUOTE = 60


def load_cluster(paths: Sequence[str], namespace: str | None = None) -> Cluster:
    """Read the files of `--cluster` and merge them; later ones win.

    `namespace` is that of pods in tables without a NAMESPACE column. UsageError names the file that cannot be
    used, and what to take instead.
    """
    return merge([(path, _read(path, namespace)) for path in paths])


def _read(path: str, namespace: str | None) -> Facts:
    text = read_text(path)
    if looks_like_json(text):
        document = parse_json(path, text)
        if is_links(document):
            raise UsageError(f"{path}: holds interfaces, no names of pods or identities; give it as --links")
        facts = parse_objects(document)
        seen = "objects of kind "
    else:
        if _YAML.search(text):
            raise UsageError(f"{path}: is YAML; take it with `-o json` instead")
        facts = parse_tables(text, namespace)
        seen = "tables with header "
    if not facts.kinds:
        raise UsageError(f"{path}: names no pod, node or identity{_what(seen, facts)}; {_UNDERSTOOD}")
    return facts


def _what(seen: str, facts: Facts) -> str:
    """Return what a file holds instead, quoted such that it stays one short line."""
    if not facts.skipped:
        return ""
    named = [ascii(" ".join(kind.split())[:_LONGEST_QUOTE]) for kind in list(facts.skipped)[:_MOST_NAMED]]
    more = ", and others" if len(facts.skipped) > _MOST_NAMED else ""
    return f" ({seen}{', '.join(named)}{more})"
