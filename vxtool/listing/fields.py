"""What a line of a packet list may show, by name, in the order of list.h."""

from __future__ import annotations

from typing import Literal, NamedTuple

FIELDS = (
    "number",
    "input",
    "time",
    "interfaces",
    "ingress",
    "egress",
    "latency_ns",
    "outcome",
    "datagram",
    "source",
    "destination",
    "source_name",
    "destination_name",
    "source_port",
    "destination_port",
    "vni",
    "identity",
    "outer_source",
    "outer_destination",
    "protocol",
    "length",
    "stream",
    "notes",
    "info",
)
NUMBERS = {name: number for number, name in enumerate(FIELDS)}

Format = Literal["text", "tsv", "json"]
Times = Literal["relative", "absolute", "delta"]
FORMATS: tuple[Format, ...] = ("text", "tsv", "json")
TIMES: tuple[Times, ...] = ("relative", "absolute", "delta")


class Column(NamedTuple):
    field: int  # in FIELDS
    width: int = 0  # terminal columns; 0: as wide as it is
    to_the_right: bool = False  # how it stands in its width
    starts_line: bool = False  # a further line of the same record begins with it
