"""What a filter may ask of a line: the twin of facts.h.

What is not known is None here, where C has -1 or NULL.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

# What became of a datagram, in the order of facts.h; the first stands for a record of which it is not known.
OUTCOMES = ("", "forwarded", "delivered", "dropped", "originated", "missed", "unresolved")


class SeenLike(Protocol):
    """What filters ask of a record, of vxtool.listing.seen.Seen.

    An end is a kind and its octets: 4, 16 or 6 of them.
    """

    @property
    def captured(self) -> int: ...
    @property
    def length(self) -> int: ...
    @property
    def source(self) -> tuple[int, bytes] | None: ...
    @property
    def destination(self) -> tuple[int, bytes] | None: ...
    @property
    def tunnel(self) -> str | None: ...
    @property
    def vni(self) -> int | None: ...
    @property
    def outer_source(self) -> tuple[int, bytes] | None: ...
    @property
    def outer_destination(self) -> tuple[int, bytes] | None: ...
    @property
    def outer_source_port(self) -> int: ...
    @property
    def outer_destination_port(self) -> int: ...
    @property
    def ip(self) -> bytes | None: ...
    @property
    def is_ipv6(self) -> bool: ...
    @property
    def ttl(self) -> int: ...
    @property
    def transport(self) -> int | None: ...
    @property
    def has_ports(self) -> bool: ...
    @property
    def source_port(self) -> int: ...
    @property
    def destination_port(self) -> int: ...
    @property
    def header(self) -> bytes | None: ...
    @property
    def payload_length(self) -> int: ...


class NoteLike(Protocol):
    """What filters ask of a TCP segment's place in its stream, of vxtool.listing.streams.StreamNote."""

    @property
    def stream(self) -> int: ...
    @property
    def notes(self) -> int: ...
    @property
    def sequence(self) -> int: ...
    @property
    def acknowledgement(self) -> int: ...
    @property
    def window(self) -> int: ...
    @property
    def duplicate_number(self) -> int: ...
    @property
    def duplicate_of(self) -> int: ...


@dataclass(slots=True)
class Facts:
    seen: SeenLike
    note: NoteLike | None  # None: no TCP
    record: int  # number in its input
    input: int  # from 0
    time_ns: int  # since 1970
    relative_ns: int  # since the first record
    latency_ns: int | None = None  # from the ingress to the egress
    protocol: str = ""  # as the column shows it, applications included
    source_pod: str | None = None
    destination_pod: str | None = None
    source_node: str | None = None
    destination_node: str | None = None
    ingress: str | None = None  # interfaces
    egress: str | None = None
    source_identity: int | None = None
    destination_identity: int | None = None
    outcome: int = 0  # in OUTCOMES
