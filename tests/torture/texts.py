"""Section text: hostile text in every place where captures, files and options carry text, through every command.

What a command writes for hostile text is held against what it writes for harmless text in the same place: the shape
of JSON, the tags of XML, the tokens of Markdown, the commands of GitHub must be the same ones. And nowhere may a
character stand that a terminal obeys.
"""

from __future__ import annotations

import json
import os
import re
import struct
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from torture.containers import (
    INTERFACE,
    NAMES,
    block,
    option,
    packet,
    section,
)
from torture.files import TRACE
from torture.jobs import Case, Job
from torture.layout import layout
from torture.tally import Wrong
from torture.ways import (
    CAPTURES,
    REFUSED,
    UNDERSTOOD,
    Done,
    command,
    ended_well,
    obeyed,
    plain,
    process,
    work_folder,
)

import vxtool.cli.output as output_module

HARMLESS = "harmless"
HOSTILE: dict[str, str] = {
    "colours": "\x1b[31mred\x1b[0m",
    "a title": "\x1b]0;owned\x07",
    "a link of OSC 8": "\x1b]8;;http://evil.example\x1b\\here\x1b]8;;\x1b\\",
    "the clipboard": "\x1b]52;c;ZXZpbA==\x07",
    "a cleared screen": "\x1b[2J\x1b[H",
    "C1 controls": "\x9b31m\x90\x9c\x85\x84",
    "bells and backspaces": "safe\x07\x08\x08\x08\x08evil",
    "carriage return": "eth1\rOK   4 datagrams",
    "line feeds": "eth1\nINJECTED\n\nINJECTED",
    "tabs": "eth1\teth2\tINJECTED",
    "form feeds": "a\x0bb\x0cc\x1cd\x1de\x1ef",
    "line separators": "a\u2028INJECTED\u2029INJECTED",
    "delete": "a\x7fb",
    "right to left": "\u202egnp.exe\u202c\u2066x\u2069\u200f\u200e\u061c",
    "zero width": "ad\u200bm\u200cin\u2060\ufeff",
    "tags of Unicode": "a\U000e0041\U000e007f",
    "private use": "\ue000\U0010ffff",
    "combining": "Z\u0351\u036b\u0343" * 30,
    "a Markdown link": "[click](http://evil.example)",
    "a Markdown image": "![x](http://evil.example/x.png)",
    "an autolink": "<http://evil.example> http://evil.example www.evil.example a@evil.example",
    "Markdown": "# head\n- item | cell | `code` ** __ ~~ > < & $x$ \\",
    "backticks": "``` `` ` ````",
    "pipes": "a|b||c\\|d",
    "mentions": "@everyone #1 GH-1 !1 %1 user/repo#1",
    "HTML": "<script>alert(1)</script><img src=x onerror=alert(1)>&amp;&#60;<!-- -->",
    "CDATA": "]]><![CDATA[<x>]]>&lt;&#0;",
    "an entity": '<!DOCTYPE x [<!ENTITY y SYSTEM "file:///etc/passwd">]>&y;',
    "a command of GitHub": "::error::INJECTED",
    "commands of GitHub behind line feeds": "\n::error file=x::INJECTED\n::set-output name=x::y\n::stop-commands::",
    "an encoded command": "%0A::error::x%0D,title=x:y",
    "a command of GitHub behind a blank": "eth1 ::error::INJECTED",
    "a command of GitHub in a word without end": "x" * 71 + "::error::gone" * 40,
    "a command of GitHub's older form": "a##[error]INJECTED",
    "a command of Azure": "##vso[task.setvariable variable=x]y",
    "JSON": '"}],"findings":[{"id":"x"}]\\',
    "a shell": "$(touch /tmp/torture-was-here) `touch /tmp/torture-was-here`; touch /tmp/torture-was-here",
    "formats": "{0} {x!r} %s %n %(x)s ${x} {{",
    "an option": "--output=/tmp/torture-was-here",
    "rich markup": "[bold red]x[/] [link=http://evil.example]y[/link]",
    "lone surrogates": "a\ud800b\udfff",
    "emoji": "👩‍👩‍👧‍👦🇩🇪",
    "wide": "漢字" * 40,
    "64 KB": "x" * 65_000,
    "64 KB of escapes": "\x1b[31m" * 13_000,
    "512 of quotes": "'\"" * 256,
    "nothing": "",
    "a blank": " ",
    "dots": "../../../etc/passwd",
    "NUL": "a\0b",
}

FORMATS = ("text", "json", "markdown", "junit", "github", "sarif")
FLOWS = ("text", "json", "compact", "jsonpb")
DIFFS = ("text", "json", "markdown")


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def jobs() -> Iterator[Job]:
    for place in PLACES:
        yield Job("text", place.replace(" ", "-"), through_commands, (place,))
    yield Job("text", "options", through_options)
    yield Job("text", "environment", through_environment)


# Where text may stand: each writes files with it, and gives the arguments that name these.


def _capture(
    folder: Path,
    *,
    interface: bytes = b"eth1",
    resolved: bytes = b"name",
    comment: bytes = b"c",
    name: str = "a.pcapng",
) -> str:
    """vxlan.pcap as pcapng, with text in each of its places."""
    data = (CAPTURES / "vxlan.pcap").read_bytes()
    pieces = layout(data).pieces
    options = option(1, comment[:65_535]) + option(2, interface[:65_535]) + option(3, comment[:65_535])
    parts = [section(), block(INTERFACE, struct.pack("<HHI", 276, 0, 0) + options)]
    for address in ("172.20.0.107", "172.20.2.4", "192.168.10.100"):
        octets = bytes(map(int, address.split(".")))
        value = octets + resolved[:60_000] + b"\0"
        parts.append(block(NAMES, struct.pack("<HH", 1, len(value)) + value + bytes(-len(value) % 4) + bytes(4)))
    for piece in pieces:
        seconds, micro = struct.unpack_from("<II", data, piece.start)
        parts.append(packet(data[piece.start + 16 : piece.end], time=seconds * 1_000_000 + micro,
                            options=option(1, comment[:65_535])))  # fmt: skip
    path = folder / name
    path.write_bytes(b"".join(parts))
    return str(path)


def _in_pcapng(place: str, text: str, folder: Path) -> list[str]:
    return [_capture(folder, **{place: _encoded(text)})]


def _file_name(text: str, folder: Path) -> list[str]:
    name = os.fsdecode(_encoded(text).replace(b"/", b"_").replace(b"\0", b"_")[:200] or b"_")
    return [_capture(folder, name=f"{name}.pcapng")]


def _links(text: str, folder: Path) -> list[str]:
    rows = json.loads((CAPTURES / "vxlan.links.json").read_text())
    for row in rows:
        if row.get("ifname") == "eth1":
            row |= {"ifname": text, "master": text, "linkinfo": {"info_kind": text}, "operstate": text}
    path = folder / "links.json"
    path.write_text(json.dumps(rows))
    return [str(CAPTURES / "vxlan.pcap"), "--links", str(path)]


def _routes(text: str, folder: Path) -> list[str]:
    rows = json.loads((CAPTURES / "vxlan.routes.json").read_text())
    for row in rows:
        row |= {"dev": text, "protocol": text, "table": text}
    path = folder / "routes.json"
    path.write_text(json.dumps(rows))
    return [str(CAPTURES / "vxlan.pcap"), "--routes", str(path)]


def _endpoint(text: str, folder: Path, **where: str) -> list[str]:
    value = json.loads((CAPTURES / "cluster" / "ciliumendpoints.json").read_text())
    for item in value["items"]:
        for key in ("name", "namespace"):
            if key in where:
                item["metadata"][key] = text
        if "label" in where:
            item["status"]["identity"]["labels"] = [f"k8s:{text}={text}", text, "k8s:app=web"]
            item["metadata"]["labels"] = {text: text}
        if "node" in where:
            item["status"]["networking"]["node"] = text
    path = folder / "cluster.json"
    path.write_text(json.dumps(value))
    return [str(CAPTURES / "vxlan.pcap"), "--cluster", str(path), "--links", str(CAPTURES / "vxlan.links.json")]


def _node(text: str, folder: Path) -> list[str]:
    value = json.loads((CAPTURES / "cluster" / "ciliumnodes.json").read_text())
    for item in value["items"]:
        item["metadata"]["name"] = text
    path = folder / "nodes.json"
    path.write_text(json.dumps(value))
    return [str(CAPTURES / "vxlan.pcap"), "--cluster", str(path)]


def _table(text: str, folder: Path) -> list[str]:
    path = folder / "table.txt"
    table = (CAPTURES / "cluster" / "ciliumendpoints.txt").read_bytes()
    path.write_bytes(table.replace(b"curl-pod", _encoded(text)))
    return [str(CAPTURES / "vxlan.pcap"), "--cluster", str(path)]


def _expectation(text: str, folder: Path) -> list[str]:
    path = folder / "expect.toml"
    word = json.dumps(text.encode("utf-8", "replace").decode())
    path.write_text(
        f'talks = [{word[:-1]} -> webpod"]\npaths = [{word[:-1]} -> eth9"]\n'.replace("\x7f", "\\u007f")
    )
    return [str(CAPTURES / "vxlan.pcap"), "--expect", str(path)]


PLACES: dict[str, Any] = {
    "interface name in pcapng": partial(_in_pcapng, "interface"),
    "name in a name resolution block": partial(_in_pcapng, "resolved"),
    "comment of a packet": partial(_in_pcapng, "comment"),
    "file name": _file_name,
    "interface name in links": _links,
    "device in routes": _routes,
    "pod name": partial(_endpoint, name="name"),
    "namespace": partial(_endpoint, namespace="namespace"),
    "labels": partial(_endpoint, label="label"),
    "node address": partial(_endpoint, node="node"),
    "node name": _node,
    "name in a table": _table,
    "expectation": _expectation,
}


# What a command wrote, and the shape of it.


def shape(value: Any) -> Any:
    """The keys and types of a JSON value; how long lists are."""
    if isinstance(value, dict):
        return {
            str(key) if key.isascii() and key.isidentifier() else "?": shape(item) for key, item in value.items()
        }
    if isinstance(value, list):
        return [shape(item) for item in value]
    return type(value).__name__ if not isinstance(value, str) and value is not None else "text"


def tags(text: str) -> Any:
    """The elements of an XML text, and the names of their attributes."""

    def of(element: ElementTree.Element) -> Any:
        return element.tag, sorted(element.attrib), [of(inner) for inner in element]

    return of(ElementTree.fromstring(text))


def tokens(text: str) -> list[str]:
    """What Markdown makes of a text, without its words."""
    from markdown_it import MarkdownIt

    found = []
    for token in MarkdownIt("gfm-like", {"linkify": False}).parse(text):
        found.append(token.type)
        for inner in token.children or ():
            if inner.type == "html_inline" and inner.content in ("<br>", "<!-- -->"):
                continue
            if inner.type not in ("text", "text_special", "softbreak"):
                found.append(f"{inner.type} {inner.attrs.get('href', '')}".strip())
    return found


def structure(kind: str, output: str) -> Any:
    """What of an output must not depend on the text in it."""
    if kind in ("analyze json", "flows json", "diff json", "analyze sarif"):
        return shape(json.loads(output))
    if kind == "flows jsonpb":
        return [shape(json.loads(line)) for line in output.splitlines()]
    if kind == "analyze junit":
        return tags(output)
    if kind in ("analyze markdown", "diff markdown"):
        return [token for token in tokens(output) if token != "code_inline"]
    if kind == "analyze github":
        return [line.partition(" ")[0] for line in output.split("\n")]
    if kind == "flows compact":
        return output.count("\n")
    return None


def through_commands(place: str) -> Iterator[Case]:
    """Every hostile text in one place, through every command and format."""
    folder = work_folder() / "texts"
    folder.mkdir(exist_ok=True)
    harmless: dict[str, Any] = {}
    for text in (HARMLESS, *HOSTILE):
        value = HARMLESS if text == HARMLESS else HOSTILE[text]
        make = partial(PLACES[place], value, folder)
        row = "reports of analyze, flows and diff"
        for name, formats in (("analyze", FORMATS), ("flows", FLOWS), ("diff", DIFFS)):
            for format_ in formats:
                run = partial(_run, place, name, format_, make, harmless, value)
                yield Case(f"{place}: {text}, {name} {format_}", row, run, 200_000)
        for name in ("analyze", "flows", "diff"):
            run = partial(_narrow, name, make)
            yield Case(f"{place}: {text}, {name} wrapped", row, run, 200_000)
        run = partial(_run, place, "analyze", "text", make, harmless, value, ("--color", "always"))
        yield Case(f"{place}: {text}, in colour", row, run, 200_000)
        for name in ("decap", "extract", "encap"):
            yield Case(f"{place}: {text}, {name}", "captures of decap, extract and encap",
                       partial(_made, name, make, folder), 200_000)  # fmt: skip
        yield Case(f"{place}: {text}", "reports: processes", partial(_in_process, make), 200_000)


def _arguments(name: str, format_: str, made: list[str]) -> list[str]:
    if name == "diff":
        return ["diff", str(CAPTURES / "vxlan.pcap"), *made, "--format", format_]
    return [name, *made, "--format", format_]


_COLORS = re.compile(r"\x1b\[[0-9;]*m")


def _run(
    place: str, name: str, format_: str, make: Any, harmless: dict[str, Any], value: str, more: Sequence[str] = ()
) -> str:
    made = make()
    if name == "diff" and "--expect" in made:
        made = made[:1]
    if name == "flows" and "--expect" in made:
        made = made[:1]
    # So wide that no line is broken within a name.
    output_module._PIPED_WIDTH = 2_000
    done = command([*_arguments(name, format_, made), *more])
    output_module._PIPED_WIDTH = 80
    if os.path.exists(TRACE):
        raise Wrong("a shell was run")
    ended_well(done)
    if done.code in (2, 3):
        return REFUSED
    output = done.output.decode()
    if more:
        output = _COLORS.sub("", output)
    plain(output, f"{name} {format_}")
    obeyed(output, f"{name} {format_}", own=format_ == "github")
    if any(line.strip().startswith("INJECTED") for line in output.split("\n")):
        raise Wrong("a line of its own")
    kind = f"{name} {format_}"
    found = structure(kind, output)
    if value == HARMLESS:
        harmless[kind] = found
    elif kind in harmless and found != harmless[kind] and not _may_differ(value, place):
        raise Wrong(f"another structure: {_difference(harmless[kind], found)}")
    return UNDERSTOOD


def _narrow(name: str, make: Any) -> str:
    """As text, with lines broken within names too."""
    made = make()
    if name != "analyze" and "--expect" in made:
        made = made[:1]
    done = command(_arguments(name, "text", made))
    ended_well(done)
    if done.code in (2, 3):
        return REFUSED
    obeyed(done.output.decode(), f"{name} text")
    return UNDERSTOOD


def _may_differ(value: str, place: str) -> bool:
    """Texts that are no names, or too long for one, are left out, and so is what is told of them; from tables all
    that Kubernetes would not call a pod."""
    if place == "name in a table":
        return True
    return not value.strip() or len(value) > 255 or "\0" in value or value.startswith(".")


def _difference(one: Any, other: Any) -> str:
    a, b = json.dumps(one, default=str), json.dumps(other, default=str)
    at = next((n for n, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    return f"...{a[max(0, at - 60) : at + 60]} became ...{b[max(0, at - 60) : at + 60]}"


def _made(name: str, make: Any, folder: Path) -> str:
    """The commands that write captures: what they tell, and the comments in what they write."""
    made = make()
    if "--expect" in made:
        made = made[:1]
    output = folder / "made.pcapng"
    output.unlink(missing_ok=True)
    more = {"decap": [], "extract": ["--record", "1-4"],
            "encap": ["--outer", "192.168.10.100:5,192.168.20.100", "--vni", "7"]}[name]  # fmt: skip
    if name == "encap":
        made = made[:1]
    done = command([name, *made, *more, "-o", str(output)])
    ended_well(done, lines=3)
    if done.code:
        return REFUSED
    plain(done.output.decode(), name)
    obeyed(done.output.decode(), name)
    for comment in comments_of(output.read_bytes()):
        plain(comment, f"a comment of {name}")
        if "\n" in comment:
            raise Wrong(f"a comment of several lines: {comment[:100]!r}")
    return UNDERSTOOD


def comments_of(data: bytes) -> Iterator[str]:
    """The comments of packets in a pcapng file."""
    for piece in layout(data).pieces:
        if piece.kind != "packet":
            continue
        captured = struct.unpack_from("<I", data, piece.start + 20)[0]
        at = piece.start + 28 + (captured + 3 & ~3)
        while at + 4 <= piece.end - 4:
            code, size = struct.unpack_from("<HH", data, at)
            if code == 0:
                break
            if code == 1:
                yield data[at + 4 : at + 4 + size].decode()
            at += 4 + (size + 3 & ~3)


def _in_process(make: Any) -> tuple[str, Done]:
    done = process(["analyze", *make()])
    ended_well(done)
    if done.code in (2, 3):
        return REFUSED, done
    plain(done.output.decode(), "analyze text")
    obeyed(done.output.decode(), "analyze text")
    return UNDERSTOOD, done


def through_options() -> Iterator[Case]:
    """Hostile text as the value of every option, as argument, and as the name of a command."""
    import click

    from vxtool.cli.commands import all_commands

    row = "values of options and arguments"
    for name, one in sorted(all_commands().items()):
        options = [parameter.opts[0] for parameter in one.params
                   if isinstance(parameter, click.Option) and not parameter.is_flag]  # fmt: skip
        for text, value in HOSTILE.items():
            if len(value) > 2_000:
                continue
            yield Case(f"{name} {text}", row, partial(_refused, [name, value]), 1_000)
            for each in options:
                if each in ("-o", "--output", "--send", "--interface-name", "--listen"):
                    continue
                arguments = [name, str(CAPTURES / "vxlan.pcap"), each, value]
                if name in ("craft", "mtu", "explain", "fields", "config"):
                    arguments = [name, each, value]
                yield Case(f"{name} {each} {text}", row, partial(_refused, arguments), 1_000)
    for text, value in HOSTILE.items():
        if "\0" not in value and len(value) < 2_000 and "\ud800" not in value:
            yield Case(f"a command {text}", row, partial(_refused, [value]), 1_000)
            yield Case(
                f"a command {text}, in a process", f"{row}: processes", partial(_refused_process, [value]), 1_000
            )


def _refused(arguments: list[str]) -> str:
    done = command(arguments)
    return _told(done)


def _told(done: Done) -> str:
    ended_well(done)
    if os.path.exists(TRACE):
        raise Wrong("a shell was run")
    try:
        plain(done.output.decode(), "output")
    except UnicodeDecodeError:
        if not done.output.startswith(b"\x0a\x0d\x0d\x0a"):
            raise
    return UNDERSTOOD if done.code in (0, 1) else REFUSED


def _refused_process(arguments: list[str]) -> tuple[str, Done]:
    done = process(arguments)
    if done.code == 2 and done.error.startswith("Usage:"):
        return UNDERSTOOD, done  # no arguments at all: the help
    return _told(done), done


def through_environment() -> Iterator[Case]:
    """Hostile text in variables that vxtool, Python or a terminal may look at."""
    row = "environment variables"
    names = ("TERM", "COLUMNS", "LINES", "LANG", "NO_COLOR", "HOME", "KUBECONFIG", "VXTOOL_TOP", "VXTOOL_FORMAT",
             "VXTOOL_ANALYZE_TOP", "VXTOOL_CLUSTER", "VXTOOL_CONFIG", "VXTOOL_ENGINE", "VXTOOL_OTHER")  # fmt: skip
    for name in names:
        for text, value in HOSTILE.items():
            if "\0" in value or "\ud800" in value or len(value) > 2_000:
                continue
            run = partial(_with_variable, name, value)
            yield Case(f"{name}: {text}", row, run, 1_000)


def _with_variable(name: str, value: str) -> tuple[str, Done]:
    done = process(["analyze", str(CAPTURES / "vxlan.pcap")], environment={name: value})
    return _told(done), done
