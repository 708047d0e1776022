"""Plain tables, as `kubectl get ...` prints them and as they arrive pasted from a terminal.

The header tells which columns there are and where each begins; a row is cut at those places. That is exact
even where a cell is empty, which splitting at blanks is not. It fails where a paste has squeezed the blanks,
or where a row is wider than the header (`kubectl get --watch` prints such): then a cell does not hold what
its column promises, and that row is read by what its words are instead: an IP address is an IP address
wherever it stands. Lines before a header (the prompt and the command), blank lines, and rows of no use cost
nothing; the latter are counted. A file may hold several tables.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import NamedTuple

from vxtool.cluster.files import as_number
from vxtool.cluster.identities import LARGEST_VNI
from vxtool.cluster.knowledge import Backend, Endpoint, Facts, NodeAddress, Service, canonical

_HEADER = re.compile(r"(?:NAMESPACE\s+)?NAME\s+[A-Z]")

# Column names of more than one word, which blanks alone would cut in two.
_COLUMN = re.compile(
    r"(?:SECURITY|ENDPOINT|INGRESS|EGRESS|VISIBILITY|NOMINATED|READINESS|IDENTITY) "
    r"(?:IDENTITY|STATE|ENFORCEMENT|POLICY|NODE|GATES|ID)(?!\S)|\S+"
)

# Each kind of table by columns that only it has; what it says is in the columns named below.
_SIGNATURES = (
    ("ciliumendpoints", frozenset({"IPV4", "ENDPOINT STATE"})),
    ("ciliumendpoints", frozenset({"IPV6", "ENDPOINT STATE"})),
    ("ciliumnodes", frozenset({"CILIUMINTERNALIP", "INTERNALIP"})),
    ("nodes", frozenset({"INTERNAL-IP", "ROLES"})),
    ("pods", frozenset({"IP", "NODE", "READY"})),
    ("services", frozenset({"CLUSTER-IP", "PORT(S)"})),
    ("endpoints", frozenset({"ENDPOINTS", "AGE"})),
)
# These two have no blank and no empty cell before their last columns, and no row is a pod's or a node's.
_SERVICES = ("services", "endpoints")
_IDENTITY_COLUMNS = ("SECURITY IDENTITY", "IDENTITY ID")
_NUMBER_COLUMNS = ("ENDPOINT ID", *_IDENTITY_COLUMNS)
_INTERNAL_COLUMNS = ("INTERNALIP", "INTERNAL-IP")
_ADDRESS_COLUMNS = ("IPV4", "IPV6", "IP", "CILIUMINTERNALIP", "INTERNALIP", "INTERNAL-IP", "EXTERNAL-IP")

_PORT = re.compile(r"([0-9]{1,5})(?::[0-9]{1,5})?/([A-Z]{1,8})")
_NAME = re.compile(r"[a-z0-9][-a-z0-9.]{0,252}")
_NO_VALUE = ("", "<none>", "<unknown>")

# The address of a pod that has finished may long be another pod's.
_FINISHED = ("Completed", "Succeeded", "Failed", "Error", "Evicted")


class _Column(NamedTuple):
    name: str
    start: int


@dataclass(frozen=True)
class _Row:
    """What one row says, whatever its table."""

    namespace: str | None
    name: str
    identity: int | None
    addresses: tuple[str, ...]
    node: str | None
    internal: str | None  # of the addresses the node's InternalIP


class _Misfit(Exception):
    """A cell does not hold what its column promises."""


def parse_tables(text: str, namespace: str | None = None) -> Facts:
    """Return what the tables in `text` tell; no table of use in it leaves `kinds` empty.

    `namespace` is that of pods in tables without a NAMESPACE column.
    """
    facts = Facts()
    kind: str | None = None
    columns: list[_Column] = []
    pods: list[_Row] = []
    for line in text.splitlines():
        # Tables are pasted with blanks before them, and often with none before the first line only.
        line = line.expandtabs().strip()
        if not line:
            continue
        if _HEADER.match(line):
            columns = [_Column(match[0], match.start()) for match in _COLUMN.finditer(line)]
            kind = _kind_of_table(columns)
            if kind is None:
                facts.skipped[line] += 1
            else:
                facts.kinds[kind] += 0
            continue
        if kind is None:
            continue
        if kind in _SERVICES:
            if _take_service(line.split(), columns, namespace, facts):
                facts.kinds[kind] += 1
            else:
                facts.skipped["row"] += 1
            continue
        row = _read_row(line, columns)
        if row is None:
            facts.skipped["row"] += 1
            continue
        facts.kinds[kind] += 1
        if row.namespace is None:
            row = replace(row, namespace=namespace)
        if kind == "pods":
            pods.append(row)
        elif kind == "ciliumendpoints":
            facts.endpoints.append(Endpoint(row.name, row.namespace, row.identity, row.addresses))
        else:
            facts.nodes.extend(NodeAddress(address, row.name, address == row.internal) for address in row.addresses)
    _take_pods(pods, facts)
    return facts


def _kind_of_table(columns: list[_Column]) -> str | None:
    names = {column.name for column in columns}
    # The endpoints of an endpointslice are the table of another kind, whose rows do not name the service.
    if "ADDRESSTYPE" in names:
        return None
    return next((kind for kind, signature in _SIGNATURES if signature <= names), None)


def _read_row(line: str, columns: list[_Column]) -> _Row | None:
    """Return what a row says; None where that is nothing of use."""
    try:
        row = _by_position(line, columns)
    except _Misfit:
        row = _by_words(line.split(), columns)
    if row is None or not _NAME.fullmatch(row.name) or (row.identity is None and not row.addresses):
        return None
    return row


def _by_position(line: str, columns: list[_Column]) -> _Row | None:
    cells: dict[str, str] = {}
    for column, following in zip(columns, [*columns[1:], _Column("", len(line) + 1)], strict=True):
        if 0 < column.start < len(line) and line[column.start - 1] != " ":
            raise _Misfit
        cells[column.name] = line[column.start : following.start].strip()
    for name in ("NAMESPACE", "NAME", "NODE"):
        if len(cells.get(name, "").split()) > 1:
            raise _Misfit
    if cells.get("STATUS") in _FINISHED:
        return None
    identity = None
    for name in _IDENTITY_COLUMNS:
        if cells.get(name, "") not in _NO_VALUE:
            identity = _identity(cells[name])
    addresses = []
    for name in _ADDRESS_COLUMNS:
        if cells.get(name, "") not in _NO_VALUE:
            address = canonical(cells[name])
            if address is None:
                raise _Misfit
            addresses.append(address)
    node = cells.get("NODE", "")
    return _Row(
        cells.get("NAMESPACE") or None,
        _bare(cells["NAME"]),
        identity,
        tuple(dict.fromkeys(addresses)),
        None if node in _NO_VALUE else node,
        next((canonical(cells[name]) for name in _INTERNAL_COLUMNS if name in cells), None),
    )


def _by_words(words: list[str], columns: list[_Column]) -> _Row | None:
    names = [column.name for column in columns]
    at_name = names.index("NAME")
    if len(words) <= at_name or not set(words).isdisjoint(_FINISHED):
        return None
    name, rest = words[at_name], words[at_name + 1 :]
    addresses = [(at, address) for at, word in enumerate(rest) if (address := canonical(word)) is not None]
    numbers = [word for word in rest if word.isascii() and word.isdigit()]
    numbered = [column for column in names if column in _NUMBER_COLUMNS]
    identity = None
    # With a number missing it cannot be told which column the others belong to.
    if numbered and len(numbers) == len(numbered):
        try:
            identity = next(
                _identity(word)
                for column, word in zip(numbered, numbers, strict=True)
                if column in _IDENTITY_COLUMNS
            )
        except (_Misfit, StopIteration):
            return None
    node = None
    if "NODE" in names and addresses and addresses[0][0] + 1 < len(rest):
        node = rest[addresses[0][0] + 1]
    # The columns of addresses are not empty, but for the last one.
    internal = next((at for at, column in enumerate(_addressed(names)) if column in _INTERNAL_COLUMNS), None)
    return _Row(
        words[0] if at_name else None,
        _bare(name),
        identity,
        tuple(dict.fromkeys(address for _, address in addresses)),
        None if node in _NO_VALUE else node,
        addresses[internal][1] if internal is not None and internal < len(addresses) else None,
    )


def _addressed(names: list[str]) -> list[str]:
    return [name for name in names if name in _ADDRESS_COLUMNS]


def _identity(cell: str) -> int:
    number = None
    if cell.isascii() and cell.isdigit() and len(cell) <= len(str(LARGEST_VNI)):
        number = as_number(int(cell), LARGEST_VNI)
    if number is None:
        raise _Misfit
    return number


def _bare(name: str) -> str:
    """Return a name without its kind: asked for several kinds at once, kubectl prints `pod/curl-pod`."""
    return name.rpartition("/")[2]


def _take_service(words: list[str], columns: list[_Column], namespace: str | None, facts: Facts) -> bool:
    """Take a row of services or of endpoints, whose last columns may be missing; False where it is of no use."""
    cells = {column.name: word for column, word in zip(columns, words, strict=False)}
    name = _bare(cells.get("NAME", ""))
    if not _NAME.fullmatch(name):
        return False
    namespace = cells.get("NAMESPACE") or namespace
    if "ENDPOINTS" in cells:
        service = f"{namespace}/{name}" if namespace else name
        backends = [_without_port(entry) for entry in cells["ENDPOINTS"].split(",")]
        facts.backends.extend(Backend(address, service) for address in backends if address is not None)
        return any(backends)
    listed = [cells.get("CLUSTER-IP"), *cells.get("EXTERNAL-IP", "").split(",")]
    addresses = tuple(dict.fromkeys(address for each in listed if (address := canonical(each)) is not None))
    if not addresses:
        return False
    ports = (match for entry in cells.get("PORT(S)", "").split(",") if (match := _PORT.fullmatch(entry)))
    facts.services.append(Service(name, namespace, addresses, tuple((each[2], int(each[1])) for each in ports)))
    return True


def _without_port(entry: str) -> str | None:
    """The address in `172.20.0.37:80` or `[fd00::37]:80`."""
    return canonical(entry.rpartition(":")[0].strip("[]"))


def _take_pods(rows: list[_Row], facts: Facts) -> None:
    """Take a table of pods, telling those that use the host's network by their shared address.

    Only such pods have one address in common; it is the node's own then.
    """
    sharing: dict[str, set[tuple[str | None, str]]] = defaultdict(set)
    for row in rows:
        for address in row.addresses:
            sharing[address].add((row.node, row.name))
    for row in rows:
        own = tuple(address for address in row.addresses if len(sharing[address]) == 1)
        if own:
            facts.endpoints.append(Endpoint(row.name, row.namespace, None, own, node_name=row.node))
    for address, holders in sharing.items():
        nodes = {node for node, _ in holders}
        node = nodes.pop()
        if len(holders) > 1 and not nodes and node is not None:
            facts.nodes.append(NodeAddress(address, node, internal=True))
