"""Where packets may be sent without being told twice: this machine, and networks that nobody else is on."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from vxtool.craft.train import Train
from vxtool.errors import UsageError
from vxtool.packet import IPv4, IPv6
from vxtool.packet.repeater import advanced

# RFC 1918, RFC 3927, RFC 4193, RFC 4291, and loopback.
_PRIVATE: tuple[IPv4Network | IPv6Network, ...] = tuple(
    ip_network(each)
    for each in (
        "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "127.0.0.0/8",
        "fc00::/7", "fe80::/10", "::1/128",
    )
)  # fmt: skip
_MOST = 1 << 16  # destinations that are looked at one by one


def is_private(address: str) -> bool:
    number = ip_address(address)
    return any(number.version == network.version and number in network for network in _PRIVATE)


def check_private(trains: Iterable[Train]) -> None:
    """Raise UsageError where a packet is for an address that is not private, outside the tunnel or inside."""
    for train in trains:
        for address in destinations(train):
            if not is_private(address):
                raise UsageError(
                    f"{address} is neither private nor loopback; --anywhere sends there all the same"
                )


def destinations(train: Train) -> Iterable[str]:
    """The destinations of a train's packets, outside and inside. UsageError where they are too many to look at."""
    for index, layer in enumerate(train.layers):
        if not isinstance(layer, IPv4 | IPv6):
            continue
        step = train.steps.get((index, "destination"), 0)
        if step and train.count > _MOST:
            raise UsageError(f"more than {_MOST} destinations are not looked at; --anywhere sends all the same")
        for number in range(train.count if step else 1):
            there = advanced((layer,), {(0, "destination"): step}, number)[0]
            assert isinstance(there, IPv4 | IPv6)
            yield there.destination
