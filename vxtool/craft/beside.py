"""What ip prints on a crafted router, for the files beside its capture."""

from __future__ import annotations

import json
from collections.abc import Iterable
from ipaddress import ip_interface
from typing import Any

from vxtool.craft.router import Interface


def links_of(interfaces: Iterable[Interface]) -> list[dict[str, Any]]:
    """What `ip -j addr` prints on the router."""
    return [
        {
            "ifindex": each.index,
            "ifname": each.name,
            "flags": ["BROADCAST", "MULTICAST", "UP", "LOWER_UP"],
            "mtu": each.mtu,
            "operstate": "UP",
            "link_type": "ether",
            "address": each.mac,
            "broadcast": "ff:ff:ff:ff:ff:ff",
            "addr_info": [
                {
                    "family": "inet6" if ":" in address else "inet",
                    "local": address.partition("/")[0],
                    "prefixlen": int(address.partition("/")[2] or (128 if ":" in address else 32)),
                    "scope": "global",
                }
                for address in each.addresses
            ],
        }
        for each in interfaces
    ]


def routes_of(interfaces: Iterable[Interface]) -> list[dict[str, Any]]:
    """What `ip -j route` prints on the router: the networks on its links."""
    return [
        {
            "dst": str(ip_interface(address).network),
            "dev": each.name,
            "protocol": "kernel",
            "scope": "link",
            "prefsrc": address.partition("/")[0],
            "flags": [],
        }
        for each in interfaces
        for address in each.addresses
    ]


def text_of(value: object) -> str:
    """JSON, as these files hold it."""
    return json.dumps(value, indent=2) + "\n"
