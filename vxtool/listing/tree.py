"""What one record is told as: layers, each with its fields, each with the bytes that it stands for."""

from __future__ import annotations

from typing import Literal, NamedTuple

Value = int | str | bool | None
Place = Literal["outer", "inner", "quoted"] | None
"""The sides of a tunnel; what an ICMP error quotes; None of what is neither."""


class Field(NamedTuple):
    """One field. `offset` and `length` are bytes of the record; fields of less than a byte share theirs.

    `text` is the value as people read it; empty where the field before says it too (`checksum_status`).
    """

    name: str
    value: Value
    text: str
    offset: int
    length: int
    fields: tuple[Field, ...] = ()


class LayerTold(NamedTuple):
    """One header, or what is behind the last: its name and place, a summary, and its bytes."""

    name: str
    place: Place
    summary: str
    offset: int
    length: int
    fields: tuple[Field, ...] = ()


class At:
    """Makes fields of one header, whose offsets are told from its start."""

    def __init__(self, start: int) -> None:
        self.start = start
        self.fields: list[Field] = []

    def add(
        self,
        name: str,
        value: Value,
        offset: int,
        length: int,
        text: str | None = None,
        fields: tuple[Field, ...] = (),
    ) -> None:
        told = str(value) if text is None else text
        self.fields.append(Field(name, value, told, self.start + offset, length, fields))

    def all(self) -> tuple[Field, ...]:
        return tuple(self.fields)
