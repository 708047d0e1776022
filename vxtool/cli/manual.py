"""The manual page vxtool(1), made from the commands and their options: `python -m vxtool.cli.manual`.

In roff (man(7)): a line that begins with a dot or an apostrophe is a request, and a backslash begins an escape;
both are kept from text.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import click

from vxtool import __version__

_EXIT = {
    "0": "All went well.",
    "1": "A finding that --fail-on asks for, or an expectation that is not met.",
    "2": "Wrong options, files that make no sense, or an output that cannot be written, as on a full disk.",
    "3": "An input could not be read at all; the others are still reported.",
    "70": "A bug in vxtool.",
    "129, 143": "Ended by SIGHUP or SIGTERM: no half-written file stays.",
    "130": "Interrupted.",
    "141": "The reader of the output went away.",
}
_ENVIRONMENT = {
    "VXTOOL_OPTION, VXTOOL_COMMAND_OPTION": "Defaults of options, as VXTOOL_TOP=20 or VXTOOL_ANALYZE_TOP=20.",
    "VXTOOL_CONFIG": "The file of defaults, instead of vxtool.toml in the working directory; empty for none.",
    "VXTOOL_ENGINE": "pure or native: which engine runs.",
    "VXTOOL_DEBUG": "1 shows where in the program an unexpected error is.",
    "NO_COLOR": "If it is set and not empty, no colours.",
    "GITHUB_STEP_SUMMARY": "The file that --format github adds the report as Markdown to.",
}


def render() -> str:
    """The page, ending in a line feed."""
    from vxtool.cli.commands import all_commands, vxtool
    from vxtool.cli.defaults import options_of

    about = inspect.cleandoc(vxtool.help or "").split("\n\n")[0].replace("\n", " ").rstrip(".")
    lines = [
        f'.TH VXTOOL 1 "" "vxtool {__version__}" "User Commands"',
        ".SH NAME",
        f"vxtool \\- {_text(about[:1].lower() + about[1:])}",
        ".SH SYNOPSIS",
        ".B vxtool",
        "COMMAND [OPTIONS] [ARGUMENTS]",
        ".SH DESCRIPTION",
        *_prose(vxtool.help or ""),
        ".PP",
        _text("-h, --help says what a command takes; --version tells the version and which engine runs."),
        ".SH COMMANDS",
    ]
    for name, command in all_commands().items():
        arguments = [each.metavar for each in command.params if isinstance(each, click.Argument) and each.metavar]
        usage = " ".join(["[OPTIONS]", *arguments])
        lines += [f".SS vxtool {name} {_text(usage)}", *_prose(command.help or "")]
        for option in options_of(command).values():
            lines += [".TP", f".B {_text(_names(option))}", _text(_meaning(option))]
    lines += [".SH EXIT STATUS", *_list(_EXIT), ".SH ENVIRONMENT", *_list(_ENVIRONMENT)]
    lines += [".SH FILES", *_list({"vxtool.toml": "Defaults of options; `vxtool config` shows them."})]
    lines += [".SH SEE ALSO", "tcpdump(8), ip(8), tshark(1)"]
    return "\n".join(lines) + "\n"


def _names(option: click.Option) -> str:
    # Not click's own words, which change from version to version.
    names = ", ".join(option.opts)
    if option.secondary_opts:
        return f"{names} / {', '.join(option.secondary_opts)}"
    if option.is_flag:
        return names
    values = "|".join(option.type.choices) if isinstance(option.type, click.Choice) else ""
    return f"{names} {option.metavar or f'[{values}]'}"


def _meaning(option: click.Option) -> str:
    shown = option.show_default and not option.is_flag
    return f"{option.help or ''}{f'  [default: {option.default}]' if shown else ''}"


def _prose(text: str) -> Iterator[str]:
    """Paragraphs; those that click is told not to wrap (by a backspace) are examples, line by line."""
    for number, part in enumerate(inspect.cleandoc(text).split("\n\n")):
        if part.startswith("\b\n"):
            yield from (".PP", ".nf", ".RS 2")
            yield from (_text(line.strip()) for line in part.split("\n")[1:])
            yield from (".RE", ".fi")
        else:
            if number:
                yield ".PP"
            yield _text(" ".join(part.split()))


def _list(items: dict[str, str]) -> Iterator[str]:
    for name, meaning in items.items():
        yield from (".TP", f".B {_text(name)}", _text(meaning))


def _text(text: str) -> str:
    plain = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{plain}" if plain.startswith((".", "'")) else plain


if __name__ == "__main__":
    print(render(), end="")
