"""Defaults of options from the environment and from `vxtool.toml`: a flag is over the environment, that over the
file, and that over what a command does by itself.

`VXTOOL_TOP=20` is for every command that has --top, `VXTOOL_ANALYZE_TOP=20` for `vxtool analyze` alone and over the
other; so are keys at the top of the file and in a table `[analyze]`. The file is the one in the working directory,
or the one that VXTOOL_CONFIG names. Folders with captures come from others too, so a file there may not say where
something is written.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import click

from vxtool.cli import CONFIG_FILE, OTHER_VARIABLES
from vxtool.errors import UsageError
from vxtool.spelling import nearest_named

_PREFIX = "VXTOOL_"
_NOT_IN_FILES = ("output",)
_KINDS = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


class Default(NamedTuple):
    """What an option is without a flag, and where that is said."""

    value: Any  # as the option has it: text, or a list of texts, or a flag
    source: str  # "VXTOOL_TOP", or "vxtool.toml: analyze.top"; empty: the command itself


def options_of(command: click.Command) -> dict[str, click.Option]:
    """The options that may have a default, by their long names without dashes."""
    found = {}
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            name = next((name[2:] for name in parameter.opts if name.startswith("--")), "")
            if name and name not in ("help", "version"):
                found[name] = parameter
    return found


def config_path() -> str | None:
    """The file of defaults, where there is one. Raises UsageError for what is no file, or is not where
    VXTOOL_CONFIG says."""
    named = os.environ.get("VXTOOL_CONFIG")
    path = CONFIG_FILE if named is None else named
    if not path:
        return None
    told = path if named is None else f"VXTOOL_CONFIG={named}"
    advice = "move it away" if named is None else "name a file in TOML, or unset it"
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        if named is None:
            return None
        raise UsageError(f"{told}: no such file; {advice}.") from None
    except OSError as error:
        raise UsageError(f"{told}: cannot be read: {error.strerror}; {advice}.") from None
    # To open a pipe may wait without end, and a device may give without end.
    if not stat.S_ISREG(mode):
        kind = next((kind for is_kind, kind in _KINDS if is_kind(mode)), "no file")
        raise UsageError(f"{told}: is {kind}, expected a file with defaults in TOML; {advice}.")
    return path


def defaults_of(name: str, command: click.Command, commands: Mapping[str, click.Command]) -> dict[str, Default]:
    """What environment and file say of a command's options, by their long names.

    `commands` are those that keys at the top of the file may be for. Raises UsageError for what is no option, and
    for a value that the option does not take.
    """
    found: dict[str, Default] = {}
    options = options_of(command)
    for key, value, source in _in_file(name, options, commands):
        found[key] = Default(value, source)
    for key, option in options.items():
        variable = key.upper().replace("-", "_")
        for full in (_PREFIX + variable, f"{_PREFIX}{name.upper()}_{variable}"):
            if full in os.environ and full not in OTHER_VARIABLES:
                text = os.environ[full]
                value = option.type.split_envvar_value(text) if option.multiple else text
                if full != _PREFIX + variable or not _is_for_others(key, value, option, commands):
                    found[key] = Default(_checked(option, value, full), full)
    return found


def unknown_variables(commands: Mapping[str, click.Command]) -> list[str]:
    """Variables that look as if they were for vxtool, and are not."""
    known = {*OTHER_VARIABLES, "VXTOOL_CONFIG"}
    for name, command in commands.items():
        for key in options_of(command):
            variable = key.upper().replace("-", "_")
            known |= {_PREFIX + variable, f"{_PREFIX}{name.upper()}_{variable}"}
    return sorted(name for name in os.environ if name.startswith(_PREFIX) and name not in known)


def default_map(name: str, command: click.Command, commands: Mapping[str, click.Command]) -> dict[str, Any]:
    """The same as click wants it: by the names of parameters."""
    options = options_of(command)
    return {str(options[key].name): default.value for key, default in defaults_of(name, command, commands).items()}


def _in_file(
    name: str, options: Mapping[str, click.Option], commands: Mapping[str, click.Command]
) -> Iterator[tuple[str, Any, str]]:
    """Key, value and place of what the file says of these options, the more special last."""
    path = config_path()
    if path is None:
        return
    # Here, because few have such a file.
    from vxtool.toml_text import read_toml, shown_key

    values, _ = read_toml(path, "defaults in TOML, such as top = 20", "expected defaults in TOML")
    tables = {key: value for key, value in values.items() if isinstance(value, dict)}
    for key in tables:
        if key not in commands:
            near = nearest_named(key, commands)
            raise UsageError(f"{path}: [{shown_key(key)}]: is no command with defaults; {near}.")
    every = {key for command in commands.values() for key in options_of(command)}
    for where, keys, known in (
        ("", {key: value for key, value in values.items() if key not in tables}, every),
        (f"{name}.", tables.get(name, {}), {*options}),
    ):
        for key, value in keys.items():
            place = f"{path}: {where}{shown_key(key)}"
            plain = key.replace("_", "-")
            if plain in _NOT_IN_FILES:
                raise UsageError(f"{place}: where something is written is no default; give --{plain} itself.")
            if plain not in known:
                raise UsageError(f"{place}: is no option; {nearest_named(plain, known)}.")
            if plain in options:
                given = _as_given(options[plain], value, place)
                if where or not _is_for_others(plain, given, options[plain], commands):
                    yield plain, _checked(options[plain], given, place), place


def _as_given(option: click.Option, value: Any, place: str) -> Any:
    """A value of TOML as it would stand on the command line."""
    if option.is_flag:
        if not isinstance(value, bool):
            raise UsageError(f"{place}: expected true or false, found {value!r}.")
        return value
    if option.multiple:
        items: Sequence[Any] = value if isinstance(value, list) else [value]
        return [_as_text(item, place) for item in items]
    if isinstance(value, list):
        raise UsageError(f"{place}: expected one value, found a list.")
    return _as_text(value, place)


def _as_text(value: Any, place: str) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise UsageError(f"{place}: expected text or a number, found {value!r}.")
    return str(value)


def _is_for_others(key: str, value: Any, option: click.Option, commands: Mapping[str, click.Command]) -> bool:
    """Whether a default for all commands is none that this option takes, but another's does: formats differ."""
    others = [options[key] for command in commands.values() if key in (options := options_of(command))]
    return not _takes(option, value) and any(_takes(other, value) for other in others)


def _takes(option: click.Option, value: Any) -> bool:
    try:
        _checked(option, value, "")
    except UsageError:
        return False
    return True


def _checked(option: click.Option, value: Any, place: str) -> Any:
    """The value itself, if the option takes it."""
    try:
        option.type_cast_value(click.Context(click.Command("")), value)
    except click.BadParameter as error:
        raise UsageError(f"{place}: {error.message}") from None
    return value
