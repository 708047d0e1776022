"""From the files of `--cluster` to one Cluster: a file's kind is told by its content, never by its name."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

from vxtool.cluster.agent import parse_agent
from vxtool.cluster.files import (
    as_list,
    as_mapping,
    as_text,
    looks_like_json,
    opened,
    parse_json,
    read_rest,
    split_preamble,
)
from vxtool.cluster.identities import kind_of
from vxtool.cluster.knowledge import Facts, merge
from vxtool.cluster.links import is_links
from vxtool.cluster.lookup import Cluster
from vxtool.cluster.objects import take_objects
from vxtool.cluster.sysdump import is_other_file, kind_of_file, time_in_name
from vxtool.cluster.tables import parse_tables
from vxtool.cluster.yaml_text import looks_like_yaml, parse_yaml
from vxtool.errors import UsageError

_UNDERSTOOD = (
    "understood are `kubectl get` of ciliumendpoints, ciliumidentities, ciliumnodes, pods, nodes, services and "
    "endpointslices with `-o json` or `-o yaml`, most of them as wide table too, `cilium sysdump` archives, and "
    "`cilium-dbg identity list` and `bpf ipcache list` with `-o json`"
)
_MOST_NAMED = 4
_LONGEST_QUOTE = 60
_MOST_FILES = 10_000  # in a folder: more are no folder of lists but a mistake


def load_cluster(paths: Sequence[str], namespace: str | None = None, *, cluster_id_bits: int = 8) -> Cluster:
    """Read the files and folders of `--cluster` and merge them; later ones win.

    A folder's files are read by name, its subfolders' among them; those of no use are named in its source.
    `namespace` is that of pods and services in tables without a NAMESPACE column; `cluster_id_bits` as many
    bits of an identity as tell its cluster in a ClusterMesh. UsageError names the file that cannot be used, and
    what to take instead.
    """
    parts: list[tuple[str, Facts]] = []
    for path in paths:
        if os.path.isdir(path):
            parts += _read_folder(path, namespace)
        else:
            parts.append((path, _read(path, namespace)))
    cluster = merge(parts)
    cluster.cluster_id_bits = cluster_id_bits
    for number, info in cluster.identities.items():
        kind = kind_of(number, cluster_id_shift=cluster.cluster_id_shift)
        cluster.identities[number] = info._replace(kind=kind)
    return cluster


def _read_folder(folder: str, namespace: str | None) -> Iterator[tuple[str, Facts]]:
    unused = Facts()
    reasons: dict[str, list[str]] = {}
    read = False
    for path in _files_below(folder, unused):
        name = os.path.relpath(path, folder)
        why = _no_use(path)
        if why is None:
            try:
                yield path, _read(path, namespace)
                read = True
                continue
            except UsageError as error:
                why = str(error).removeprefix(f"{path}: ").removesuffix(f"; {_UNDERSTOOD}")
        unused.skipped["file"] += 1
        reasons.setdefault(why, []).append(name)
    unused.problems += (_listed(names, why) for why, names in reasons.items())
    if not read:
        raise UsageError(
            f"{folder}: a folder without any file of use{f' ({unused.problem})' if unused.problem else ''}; "
            f"{_UNDERSTOOD}"
        )
    if unused.problems:
        yield folder, unused


def _listed(names: list[str], why: str) -> str:
    more = len(names) - _MOST_NAMED
    return f"{', '.join(names[:_MOST_NAMED])}{f' and {more} more' if more > 0 else ''}: {why}"


def _files_below(folder: str, unused: Facts) -> list[str]:
    def skip(error: OSError) -> None:
        unused.skipped["folder"] += 1
        unused.problems.append(f"{error.filename}: cannot be read: {error.strerror}")

    paths: list[str] = []
    for parent, _, names in os.walk(folder, onerror=skip):
        paths += (os.path.join(parent, name) for name in names)
        if len(paths) > _MOST_FILES:
            raise UsageError(
                f"{folder}: holds more than {_MOST_FILES:,} files; name the files, or a smaller folder"
            )
    return sorted(paths)


def _no_use(path: str) -> str | None:
    """Why a folder's file need not even be read; None where it must."""
    if not os.path.isfile(path):
        return "no regular file"
    return "of a sysdump, and of no use here" if is_other_file(os.path.basename(path)) else None


def _read(path: str, namespace: str | None) -> Facts:
    with opened(path) as file:
        head = file.read(4)
        if head.startswith(b"PK"):
            from vxtool.cluster.archive import is_archive, read_sysdump  # here, because it brings zipfile along

            if is_archive(head):
                if not file.seekable():
                    raise UsageError(f"{path}: a zip archive cannot be read from a pipe; give the file itself")
                return _checked(path, read_sysdump(path, file, _take), "objects of kind ")
        data = read_rest(path, file, head)
    return _read_text(path, as_text(path, data), namespace)


def _read_text(path: str, text: str, namespace: str | None) -> Facts:
    before, text = split_preamble(text)
    if looks_like_json(text):
        document = parse_json(path, text)
        if is_links(document):
            raise UsageError(f"{path}: holds interfaces, no names of pods or identities; give it as --links")
        if any("dst" in as_mapping(item) for item in as_list(document)):
            raise UsageError(f"{path}: holds routes, no names of pods or identities; give it as --routes")
        facts = parse_agent(document)
        if not facts.kinds:
            facts = _objects([document], kind_of_file(os.path.basename(path)))
        # A warning changes nothing; with an error, kubectl may have printed only a part.
        facts.problems += (
            f"before the JSON stands {line[:_LONGEST_QUOTE]!a}: it may lack what that tells of"
            for line in before
            if line.lower().startswith("error")
        )
    elif looks_like_yaml(text):
        facts = _objects(parse_yaml(path, text), kind_of_file(os.path.basename(path)))
    else:
        return _checked(path, parse_tables(text, namespace), "tables with header ")
    facts = _checked(path, facts, "objects of kind ")
    if facts.taken is None and kind_of_file(os.path.basename(path)) is not None:
        # Of an unpacked sysdump.
        facts.taken = time_in_name(os.path.basename(path))
        facts.taken_unsure = facts.taken is not None
    return facts


def _take(path: str, text: str, kind: str, facts: Facts) -> None:
    """Add what a file of a sysdump tells."""
    _objects([parse_json(path, text)] if looks_like_json(text) else parse_yaml(path, text), kind, facts)


def _objects(documents: list[Any], kind: str | None, facts: Facts | None = None) -> Facts:
    facts = Facts() if facts is None else facts
    for document in documents:
        # Between two dashed lines of YAML there may be nothing.
        if document is not None:
            take_objects(document, facts, kind)
    return facts


def _checked(path: str, facts: Facts, seen: str) -> Facts:
    if not facts.kinds:
        raise UsageError(f"{path}: names no pod, node, service or identity{_what(seen, facts)}; {_UNDERSTOOD}")
    if "pods" in facts.kinds and not facts.kinds.total() and facts.skipped["Pod"]:
        facts.problems.append(
            f"of the {facts.skipped['Pod']:,} pods in it none has an address of its own: they are finished, not "
            "started, or on their host's network"
        )
    return facts


def _what(seen: str, facts: Facts) -> str:
    """Return what a file holds instead, quoted such that it stays one short line."""
    if facts.problem:
        return f" ({facts.problem})"
    if not facts.skipped:
        return ""
    named = [ascii(" ".join(kind.split())[:_LONGEST_QUOTE]) for kind in list(facts.skipped)[:_MOST_NAMED]]
    more = ", and others" if len(facts.skipped) > _MOST_NAMED else ""
    return f" ({seen}{', '.join(named)}{more})"
