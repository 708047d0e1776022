"""The routes of the machine that captured, as `ip route` prints them: as JSON (`ip -j route`) or as text.

A capture shows by which interface a datagram left; these files say by which it should have. Both families are
read, and `table all`. Routes in the tables that every datagram is looked up in (local, main, default) count; those
in others apply to what a rule (`ip rule`) sends there, which these files do not tell: they are kept apart, as are
routes for some sources or types of service only. The fields are those of iproute2, ip/iproute.c; what the kernel
makes of them is in its net/ipv4/fib_trie.c and net/ipv6/route.c.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from vxtool.cluster.files import (
    as_list,
    as_mapping,
    as_name,
    as_number,
    looks_like_json,
    parse_json_values,
    read_text,
    split_preamble,
)
from vxtool.cluster.knowledge import Source, canonical
from vxtool.cluster.links import is_links
from vxtool.cluster.lookup import USUAL_TABLES, Routes
from vxtool.cluster.prefixes import canonical_prefix
from vxtool.errors import UsageError

_WANTED = "take `ip -j route show table all` on the machine that captured"
_LARGEST_NUMBER = (1 << 32) - 1
_LONGEST_QUOTE = 60

# ip-route(8), "Route types"; one that is not named is a unicast route.
_KINDS = frozenset(
    {"unicast", "local", "broadcast", "multicast", "anycast", "throw", "unreachable", "prohibit", "blackhole"}
)
# Every datagram is looked up in these, in this order (ip-rule(8)); they stand by name or number.
_TABLES = {"local": "local", "255": "local", "main": "main", "254": "main", "default": "default", "253": "default"}
# What an encapsulation says of itself uses the name of the route's own key: iproute2, ip/iproute_lwtunnel.c.
_ENCAPS_WITH_DST = frozenset({"ip", "ip6", "mpls"})
_SECOND = "second "  # before a key that stood in an object for the second time

_HOP = re.compile(r"\b(?:via|dev) \S")
_COLORS = re.compile(r"\x1b\[[0-9;]*m")  # of `ip -c`
_KERNEL_TABLE = re.compile(r"^Destination\s+(?:Gateway|Next Hop)\s", re.MULTILINE)  # of route and netstat
_OF_ONE_ADDRESS = re.compile(r"^[ \t]+cache\b|\buid \d+[ \t\r]*$", re.MULTILINE)  # of `ip route get`


class Hop(NamedTuple):
    """One way on: the device, and the router behind it (None where the destination is on the link itself)."""

    device: str
    via: str | None = None
    dead: bool = False  # the kernel does not use it
    linkdown: bool = False  # its link has no carrier; the kernel uses it all the same, unless told not to


class Route(NamedTuple):
    """One route. `prefix` is in the spelling of `ipaddress`; `hops` are several where the route has several ways.

    `conditional` routes are for some sources or types of service only. `table` is None for main.
    """

    prefix: str
    kind: str = "unicast"
    hops: tuple[Hop, ...] = ()
    metric: int = 0
    source: str | None = None
    mtu: int | None = None
    table: str | None = None
    encapsulates: bool = False
    conditional: bool = False

    @property
    def is_default(self) -> bool:
        """Whether it is for every address, or for half of them, as VPN clients have it."""
        return int(self.prefix.partition("/")[2]) < 2

    @property
    def refuses(self) -> bool:
        """Whether the kernel drops what takes it: in silence, or with an ICMP error."""
        return self.kind in ("blackhole", "unreachable", "prohibit")

    @property
    def is_usable(self) -> bool:
        """Whether the kernel uses it at all: not where all of its hops are dead."""
        return not self.hops or any(not hop.dead for hop in self.hops)

    @property
    def only_address(self) -> str | None:
        """The address that it is for, where that is one only."""
        address, _, length = self.prefix.partition("/")
        return address if int(length) == (128 if ":" in address else 32) else None

    @property
    def devices(self) -> tuple[str, ...]:
        """By which of them a datagram may leave."""
        found = (hop.device for hop in self.hops if not hop.dead)
        return tuple(dict.fromkeys(found)) if self.kind == "unicast" else ()

    def __str__(self) -> str:
        """As `ip route` prints its beginning: `default via 10.0.2.2 dev eth0`."""
        parts = ["default" if self.prefix.endswith("/0") else self.prefix]
        if self.kind != "unicast":
            parts.insert(0, self.kind)
        for hop in self.hops if self.kind == "unicast" else ():
            parts += ["nexthop"] * (len(self.hops) > 1)
            parts += ["via", hop.via] if hop.via is not None else []
            parts += ["dev", hop.device]
            parts += ["dead"] * hop.dead + ["linkdown"] * hop.linkdown
        return " ".join(parts)


def load_routes(paths: Sequence[str]) -> Routes:
    """Read the files of `--routes`; all their routes count, as those of two families or tables do.

    UsageError names the file that cannot be used, and what to take instead.
    """
    routes = Routes()
    for path in paths:
        found, unread = _read_routes(path)
        if unread and not found:
            raise UsageError(f"{path}: no route in it can be read, {unread[0]}; {_WANTED}")
        routes.sources.append(Source(path, "routes", len(found), len(unread), problem=_problem(found, unread)))
        for route in found:
            routes.add(route)
    if paths and not routes.count:
        raise UsageError(f"{paths[0]}: an empty list of routes; {_WANTED}")
    return routes


def _problem(found: Sequence[Route], unread: Sequence[str]) -> str | None:
    """What keeps conclusions from being drawn, and where."""
    if unread:
        return (
            f"{len(unread):,} of the routes cannot be read ({unread[0]}): what they are for is not known, so none "
            "is relied upon"
        )
    partial = sum(route.conditional or route.table not in USUAL_TABLES for route in found)
    if partial:
        return (
            f"{partial:,} of the routes {'is' if partial == 1 else 'are'} for some datagrams only (another table, "
            "a source, a type of service): none is relied upon for the addresses that they match"
        )
    return None


def _read_routes(path: str) -> tuple[list[Route], list[str]]:
    """The routes of a file, and of what cannot be read, which it is and why."""
    before, text = split_preamble(read_text(path))
    rows: list[Route | str] = []
    if looks_like_json(text):
        if any(_begins_route(line.split()) for line in before):
            rows += _from_text(path, "\n".join(before))
        rows += _from_json(path, text)
    else:
        rows += _from_text(path, _COLORS.sub("", text))
    found = [row for row in rows if isinstance(row, Route)]
    return found, [f"entry {at}: {row}" for at, row in enumerate(rows, 1) if isinstance(row, str)]


def _quoted(value: object) -> str:
    """A value of a file on one short line."""
    text = ascii(value)
    return text if len(text) <= _LONGEST_QUOTE else f"{text[:_LONGEST_QUOTE]}..."


# JSON.


def _from_json(path: str, text: str) -> list[Route | str]:
    documents = parse_json_values(path, text, _keep_both)
    for document in documents:
        if is_links(document):
            raise UsageError(f"{path}: holds interfaces, no routes; give it as --links")
        if as_mapping(document).get("kind") is not None:
            raise UsageError(f"{path}: holds Kubernetes objects, no routes; give it as --cluster")
    items = [item for document in documents for item in as_list(document) if item != {}]
    if any("cache" in as_mapping(item) for item in items):
        raise UsageError(f"{path}: is of `ip route get`, which tells of one address only; {_WANTED}")
    if any(document != [] for document in documents) and not any("dst" in as_mapping(item) for item in items):
        raise UsageError(f"{path}: holds no route; {_WANTED}")
    return [_route_of(item) for item in items]


def _keep_both(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object in which the first of two equal keys keeps its name: the route's own stands before its
    encapsulation's."""
    item = dict(pairs)
    if len(item) == len(pairs):
        return item
    item = {}
    for key, value in pairs:
        item[f"{_SECOND}{key}" if key in item else key] = value
    return item


def _route_of(value: object) -> Route | str:
    """The route, or why it cannot be read."""
    item = as_mapping(value)
    if str(item.get("encap")) in _ENCAPS_WITH_DST and f"{_SECOND}dst" not in item:
        # What wrote the file anew kept one of the two, the encapsulation's: the route's own is lost.
        return 'only one "dst" is left of the two, that of its encapsulation: expected the file as `ip` wrote it'
    several = as_list(item.get("nexthops"))
    hops = [hop for entry in several if (hop := _hop_of(as_mapping(entry))) is not None]
    if not hops and "dev" in item and (hop := _hop_of(item)) is not None:
        hops.append(hop)
    destination, source = item.get("dst"), item.get("prefsrc")
    if source is not None:
        source = canonical(source)
    ipv6 = False
    if destination == "default":
        # Its family has to be told by what else stands there; only IPv6 routes have a preference.
        others = "via" in item or any("via" in as_mapping(entry) for entry in several)
        ipv6 = "pref" in item or _is_ipv6(source, hops, others)
    prefix = _prefix(destination, ipv6=ipv6)
    kind = item.get("type", "unicast")
    if prefix is None:
        return _no_prefix(item["dst"]) if "dst" in item else f'{_quoted(value)}: expected an object with "dst"'
    if not isinstance(kind, str) or kind not in _KINDS:
        return f"type {_quoted(kind)}: expected one of {', '.join(sorted(_KINDS))}"
    if kind == "unicast" and not hops:
        return f'destination {_quoted(destination)}: expected the name of a device in "dev" or "nexthops"'
    metrics = [as_mapping(entry) for entry in as_list(item.get("metrics"))]
    return Route(
        prefix,
        kind,
        tuple(hops),
        as_number(item.get("metric"), _LARGEST_NUMBER) or 0,
        source,
        next((mtu for entry in metrics if (mtu := as_number(entry.get("mtu"), _LARGEST_NUMBER))), None)
        if metrics
        else None,
        _table(item.get("table")),
        "encap" in item,
        _is_conditional(item.get("from"), "encap" not in item and item.get("tos", item.get("dsfield"))),
    )


def _hop_of(item: dict[str, Any]) -> Hop | None:
    flags = item.get("flags")
    via = item.get("gateway")
    if "gateway" not in item and "via" in item:
        via = as_mapping(item["via"]).get("host")
    device = as_name(item.get("dev"))
    if device is None:
        return None
    if not isinstance(flags, list):
        flags = ()
    return _hop(device, via if isinstance(via, str) else None, "dead" in flags, "linkdown" in flags)


@lru_cache(maxsize=1 << 12)
def _hop(device: str, via: str | None, dead: bool, linkdown: bool) -> Hop:
    """A table of a million routes has few hops, so that each is made once."""
    return Hop(device, canonical(via), dead, linkdown)


# Text.


def _from_text(path: str, text: str) -> list[Route | str]:
    if _KERNEL_TABLE.search(text):
        raise UsageError(f"{path}: is the table that `route` or `netstat` prints, which lacks some; {_WANTED}")
    if _OF_ONE_ADDRESS.search(text):
        raise UsageError(f"{path}: is of `ip route get`, which tells of one address only; {_WANTED}")
    rows = [_parse_line(words) for words in _lines(text)]
    if not rows:
        # A prompt with the command may come first.
        at, line = next(_numbered(text))
        at, line = next(((at, line) for at, line in _numbered(text) if _HOP.search(line)), (at, line))
        raise UsageError(
            f"{path}: holds no route, line {at}: {_quoted(line)}: expected a line that begins with \"default\" or "
            f"an IP prefix, such as 172.20.2.0/24; {_WANTED}"
        )
    return rows


def _numbered(text: str) -> Iterator[tuple[int, str]]:
    """The lines that are not empty; not as a list, since there may be a hundred million."""
    return ((at, line.strip()) for at, line in enumerate(text.splitlines(), 1) if line.strip())


def _lines(text: str) -> Iterator[list[str]]:
    """The words of each route: its own line, and those of its next hops behind it."""
    route: list[str] = []
    # With `ip -o` the line feeds within a route are backslashes.
    for line in text.replace("\\", " ").splitlines():
        words = line.split()
        if not words:
            continue
        if words[0] == "nexthop":
            route += words
            continue
        if words[0] == "nh_info":
            continue  # `ip -d`: the next hop's object, whose hops follow
        if len(route) > 1:
            yield route
        # What is no route is a prompt with the command, or of no use.
        route = words if _begins_route(words) else []
    if len(route) > 1:
        yield route


def _begins_route(words: list[str]) -> bool:
    at = words[0] in _KINDS
    return len(words) > at and _prefix(words[at], ipv6=False) is not None


def _parse_line(words: list[str]) -> Route | str:
    """The route, or why it cannot be read."""
    kind, at = (words[0], 1) if words[0] in _KINDS else ("unicast", 0)
    told = _told(tuple(words[at + 1 :]))
    prefix = _prefix(words[at], ipv6=told.ipv6)
    if prefix is None:
        return _no_prefix(words[at])
    if kind == "unicast" and not told.hops:
        return f"destination {_quoted(words[at])}: expected a device behind it (`dev eth1`)"
    return Route(
        prefix,
        kind,
        told.hops,
        told.metric,
        told.source,
        told.mtu,
        told.table,
        told.encapsulates,
        told.conditional,
    )


class _Told(NamedTuple):
    """What stands behind a route's destination."""

    hops: tuple[Hop, ...]
    metric: int
    source: str | None
    mtu: int | None
    table: str | None
    encapsulates: bool
    conditional: bool
    ipv6: bool  # so it says, which matters where the destination is "default"


@lru_cache(maxsize=1 << 12)
def _told(words: tuple[str, ...]) -> _Told:
    """A table of a million routes has few hops, so that most of its lines end as others did."""
    parts: list[list[str]] = [[]]
    for word in words:
        if word == "nexthop":
            parts.append([])
        else:
            parts[-1].append(word)
    values = [_values(part) for part in parts]
    own = values[0]
    hops = tuple(
        _hop(device, value.get("via"), "dead" in value, "linkdown" in value)
        for value in values
        if (device := as_name(value.get("dev"))) is not None
    )
    source = canonical(own.get("src"))
    return _Told(
        hops,
        _number(own.get("metric")) or 0,
        source,
        _number(own.get("mtu")),
        _table(own.get("table")),
        "encap" in own,
        _is_conditional(own.get("from"), own.get("tos", own.get("dsfield"))),
        "pref" in own or _is_ipv6(source, hops, any("inet6" in part for part in parts)),
    )


_FLAGS = frozenset({"dead", "linkdown", "onlink", "pervasive", "offload", "trap", "rt_offload", "rt_trap"})
_FAMILIES = frozenset({"inet", "inet6"})


def _values(words: list[str]) -> dict[str, str]:
    """What follows each word that has a value; flags are their own."""
    found: dict[str, str] = {}
    at = 0
    while at < len(words):
        word = words[at]
        if word in _FLAGS:
            found[word] = word
            at += 1
            continue
        following = words[at + 1 : at + 3]
        if word == "encap":
            # It has values of its own, among them a source and a destination, up to the next hop.
            found[word] = following[0] if following else ""
            while at < len(words) and words[at] not in ("via", "dev"):
                at += 1
            continue
        if word == "via" and following and following[0] in _FAMILIES:
            following = following[1:]
            at += 1
        if word == "mtu" and following and following[0] == "lock":
            following = following[1:]
            at += 1
        if following:
            found.setdefault(word, following[0])
        at += 2
    return found


# Both.


def _prefix(value: object, *, ipv6: bool) -> str | None:
    """A destination as `ipaddress` spells it, with its length; None for what is none."""
    if value == "default":
        return "::/0" if ipv6 else "0.0.0.0/0"
    return canonical_prefix(value)


def _no_prefix(value: object) -> str:
    return f'destination {_quoted(value)}: expected "default" or an IP prefix, such as 172.20.2.0/24'


def _is_ipv6(source: str | None, hops: Sequence[Hop], others: bool) -> bool:
    """The family of a route whose destination does not tell it; `others`: its routers may be of the other one."""
    told = [source, *(hop.via for hop in hops if not others)]
    return any(":" in address for address in told if address is not None)


def _table(value: object) -> str | None:
    """The table, None for main; one of which nothing is known is called so."""
    name = "main" if value is None else _TABLES.get(str(value), as_name(value) or "unknown")
    return None if name == "main" else name


def _is_conditional(source: object, service: object) -> bool:
    return source not in (None, "all", "default", "::/0") or service not in (None, False, 0, "0", "0x0", "0x00")


def _number(text: str | None) -> int | None:
    if text is None or not (text.isascii() and text.isdigit() and len(text) <= len(str(_LARGEST_NUMBER))):
        return None
    return as_number(int(text), _LARGEST_NUMBER)
