"""Options under headings: for commands that have too many for one list."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import click

Section = tuple[str, Sequence[Callable[[Any], Any]]]


class GroupedCommand(click.Command):
    """A command whose help lists its options under headings, in the order in which they were given."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        sections: dict[str, list[tuple[str, str]]] = {}
        for option in self.get_params(ctx):
            record = option.get_help_record(ctx)
            if record is not None:
                title = getattr(option, "section", "Other")
                sections.setdefault(title, []).append(record)
        for title, records in sections.items():
            with formatter.section(title):
                formatter.write_dl(records)


class GroupedOption(click.Option):
    """An option that knows its heading."""

    def __init__(self, *arguments: Any, section: str, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.section = section


def in_sections(sections: Sequence[tuple[str, Sequence[dict[str, Any]]]]) -> Callable[[Any], Any]:
    """A decorator that adds options: for each heading, the arguments of `click.option`, the names as `names`."""

    def add(command: Any) -> Any:
        for title, options in reversed(sections):
            for option in reversed(options):
                keywords = {key: value for key, value in option.items() if key != "names"}
                command = click.option(*option["names"], cls=GroupedOption, section=title, **keywords)(command)
        return command

    return add
