"""The interfaces of the machine that captured, as `ip -j link` and `ip -j addr` print them.

A capture holds interface indexes and MACs; names, MTUs and own addresses stand in these files only. They are
never looked up on the machine that reads: its interfaces are other ones. Both commands print one JSON array
of objects (iproute2, ip/ipaddress.c); `ip -j addr` adds the addresses, `-d` and `-s` add fields that are of
no use here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from vxtool.cluster.files import (
    as_list,
    as_mapping,
    as_name,
    as_number,
    looks_like_json,
    parse_json,
    read_text,
    split_preamble,
)
from vxtool.cluster.knowledge import Conflict, Source, canonical
from vxtool.cluster.lookup import Links
from vxtool.cluster.prefixes import canonical_prefix
from vxtool.errors import UsageError

_LARGEST_INDEX = (1 << 32) - 1
_MAC = re.compile(r"[0-9a-fA-F]{2}(?::[0-9a-fA-F]{2}){5}")
_PLAIN_IP = re.compile(r"^[ \t]*\d+: \S+: <[A-Z0-9_,-]*>", re.MULTILINE)
_WANTED = "take `ip -j addr` on the machine that captured"


@dataclass(frozen=True)
class Link:
    """One interface. `addresses` are its own ones, without prefix lengths, in the spelling of `ipaddress`;
    `networks` the prefixes that these put on its link, shorter than one address.

    `kind` is the device's (bridge, vlan, veth, vxlan ...; None for hardware and where `-d` was not given),
    `master` the name of the bridge or bond above it.
    """

    index: int
    name: str
    mtu: int | None = None
    mac: bytes | None = None
    addresses: tuple[str, ...] = ()
    kind: str | None = None
    loopback: bool = False
    master: str | None = None
    networks: tuple[str, ...] = ()


def load_links(paths: Sequence[str], interfaces: Mapping[int, str] | None = None) -> Links:
    """Read the files of `--links` and lay them upon each other; later ones win, `interfaces` wins over all.

    `interfaces` are names by index, as `parse_interface_options` gives them. UsageError names the file that
    cannot be used, and what to take instead.
    """
    links = Links()
    for path in paths:
        found, skipped = _read_links(path)
        links.sources.append(Source(path, "links", len(found), skipped))
        for link in found:
            _lay(links, link, path)
    _rename(links, interfaces or {})
    return links


def parse_interface_options(options: Iterable[str]) -> dict[int, str]:
    """Return names by index from options such as `3=eth1`; UsageError where one is not of that form."""
    names: dict[int, str] = {}
    for option in options:
        number, equals, name = option.partition("=")
        number, name = number.strip().removeprefix("#"), name.strip()
        if not (equals and number.isascii() and number.isdigit() and len(number) <= len(str(_LARGEST_INDEX))):
            raise UsageError(f"--interface {option!r}: expected INDEX=NAME, such as 3=eth1")
        if int(number) > _LARGEST_INDEX:
            raise UsageError(f"--interface {option!r}: an interface index is at most {_LARGEST_INDEX}")
        if not name.isprintable() or not name or " " in name:
            raise UsageError(f"--interface {option!r}: expected a name after the equals sign, such as 3=eth1")
        if name == "any":
            raise UsageError(
                f"--interface {option!r}: 'any' stands for all interfaces and is none; "
                "name a real one, such as eth1"
            )
        if names.setdefault(int(number), name) != name:
            raise UsageError(
                f"--interface {option!r}: interface {int(number)} was already called {names[int(number)]!r}; "
                "give each index one name"
            )
    return names


def is_links(document: object) -> bool:
    """Whether a JSON document is what `ip -j link` or `ip -j addr` prints."""
    return any("ifindex" in as_mapping(item) and "ifname" in as_mapping(item) for item in as_list(document))


def _read_links(path: str) -> tuple[list[Link], int]:
    _, text = split_preamble(read_text(path))
    if not looks_like_json(text):
        if _PLAIN_IP.search(text):
            raise UsageError(f"{path}: is the plain text of `ip`, meant for reading; {_WANTED}")
        raise UsageError(f"{path}: holds no JSON; {_WANTED}")
    document = parse_json(path, text)
    if not is_links(document):
        if as_mapping(document).get("kind") is not None:
            raise UsageError(f"{path}: holds Kubernetes objects, no interfaces; give it as --cluster")
        if any("dst" in as_mapping(item) for item in as_list(document)):
            raise UsageError(f"{path}: holds routes, no interface with index and name; give it as --routes")
        raise UsageError(f"{path}: holds no interface with index and name; {_WANTED}")
    found: list[Link] = []
    skipped = 0
    for item in as_list(document):
        # Asked for some interfaces only, ip prints an empty object for each of the others.
        if item == {}:
            continue
        link = _link(item)
        if link is None:
            skipped += 1
        else:
            found.append(link)
    if not found:
        raise UsageError(f"{path}: no interface in it has a usable index and name; {_WANTED}")
    return found, skipped


def _link(value: object) -> Link | None:
    item = as_mapping(value)
    index, name = as_number(item.get("ifindex"), _LARGEST_INDEX), as_name(item.get("ifname"))
    if index is None or name is None:
        return None
    address = item.get("address")
    mac = bytes.fromhex(address.replace(":", "")) if isinstance(address, str) and _MAC.fullmatch(address) else None
    entries = [as_mapping(entry) for entry in as_list(item.get("addr_info"))]
    own = (canonical(entry.get("local")) for entry in entries)
    return Link(
        index,
        name,
        as_number(item.get("mtu"), _LARGEST_INDEX),
        mac if mac and any(mac) else None,
        tuple(dict.fromkeys(address for address in own if address is not None)),
        as_name(as_mapping(item.get("linkinfo")).get("info_kind")),
        "LOOPBACK" in as_list(item.get("flags")) or item.get("link_type") == "loopback",
        as_name(item.get("master")),
        tuple(dict.fromkeys(network for network in map(_network, entries) if network is not None)),
    )


def _network(entry: Mapping[str, object]) -> str | None:
    """The prefix on the link of one address; None for an address of its own.

    With a peer (`local` and `address`) the prefix is the peer's: net/ipv4/devinet.c, inet_insert_ifa.
    """
    end = canonical(entry.get("address")) or canonical(entry.get("local"))
    if end is None:
        return None
    length = as_number(entry.get("prefixlen"), 128 if ":" in end else 32)
    prefix = canonical_prefix(f"{end}/{length}") if length is not None else None
    return None if prefix is None or prefix.endswith("/128" if ":" in end else "/32") else prefix


def _lay(links: Links, link: Link, path: str) -> None:
    old = links.by_index.get(link.index)
    if old is not None and old.name == link.name:
        link = replace(
            link,
            mtu=old.mtu if link.mtu is None else link.mtu,
            mac=link.mac or old.mac,
            addresses=tuple(dict.fromkeys(link.addresses + old.addresses)),
            kind=link.kind or old.kind,
            loopback=link.loopback or old.loopback,
            master=link.master or old.master,
            networks=tuple(dict.fromkeys(link.networks + old.networks)),
        )
    elif old is not None:
        links.conflicts.append(
            Conflict(f"interface {link.index}", link.name, path, old.name, links.files[link.index])
        )
    links.by_index[link.index] = link
    links.files[link.index] = path


def _rename(links: Links, interfaces: Mapping[int, str]) -> None:
    """Call interfaces by the names that the command line gives their indexes, whatever the files say.

    Where the files know a name under another index, the index has changed since (a machine was restarted, a device
    made anew): what they say of the name stays true, and moves. All move at once, so that two can change places.
    """
    by_name, by_index = links.by_name, dict(links.by_index)
    for name in interfaces.values():
        if name in by_name:
            links.by_index.pop(by_name[name].index, None)
    for index, name in interfaces.items():
        known = by_name.get(name) or by_index.get(index) or Link(index, name)
        links.by_index[index] = replace(known, index=index, name=name)
