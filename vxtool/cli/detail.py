"""`vxtool summary --detail`: one record in full. The option, and what is done where it is given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from vxtool.cli.output import target_for, write
from vxtool.cli.progress import Progress
from vxtool.errors import UsageError

_MOST = 1 << 48  # records


def _record_of(value: str) -> tuple[int | None, int]:
    """`7`, or `2:7` for record 7 of the second input: input and number, the input None where none is named."""
    which, colon, number = value.rpartition(":")
    parts = [which, number] if colon else [number]
    if all(part.isascii() and part.isdigit() and 0 < int(part[:20]) < _MOST for part in parts):
        return int(which) if colon else None, int(number)
    raise click.BadParameter(f"{value!r}: expected a record's number from 1 on, or INPUT:NUMBER, as in 7 or 2:7")


detail_option = click.option(
    "--detail",
    metavar="[INPUT:]N",
    callback=lambda _ctx, _option, value: None if value is None else _record_of(value),
    help="Show this record in full instead: each layer's fields with the bytes they stand for, a hex dump, its "
    "datagram's way. 2:7 is record 7 of the second FILE.",
)


def run_detail(
    files: tuple[str, ...],
    detail: tuple[int | None, int],
    *,
    format_: str,
    output: str,
    color: str,
    progress: bool,
    options: Mapping[str, Any],
) -> int:
    """Show one record; `options` go to `vxtool.summary_detail` as they are."""
    from vxtool.api import summary_detail
    from vxtool.report import RECORD_RENDERERS

    if format_ not in RECORD_RENDERERS:
        raise UsageError(f"--detail has no format {format_}; give {' or '.join(RECORD_RENDERERS)}.")
    which, number = detail
    if which is None and len(files) > 1:
        raise UsageError(
            f"--detail {number}: {len(files)} captures were given; say of which, as in --detail 2:{number}."
        )
    if which is not None and which > len(files):
        raise UsageError(f"--detail {which}:{number}: there are only {len(files)} captures.")
    with Progress(progress) as bar:
        found = summary_detail(list(files), number, input=which or 1, progress=bar, **options)
    target = target_for(output, color, rows=0)
    encoding = "utf-8" if format_ == "json" else target.encoding
    write(output, [RECORD_RENDERERS[format_](found, target)], encoding)
    return 0
