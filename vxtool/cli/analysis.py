"""What `vxtool analyze` does: captures in, a report out. Its options are in analyze.py; this does without click."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING

from vxtool.cli import EXIT_INPUT, EXIT_INTERRUPTED, complain
from vxtool.cli.output import STDOUT, check_output, target_for, write
from vxtool.cli.progress import Progress
from vxtool.errors import UsageError
from vxtool.report import RENDERERS, Target

if TYPE_CHECKING:
    from types import FrameType
    from typing import Literal

    from vxtool.analysis.model import Finding, Input, Report
    from vxtool.api import ProgressCallback
    from vxtool.control import Control

EXIT_FOUND = 1
_PATIENCE = 1.0  # s, for the end of standard input

_TOP = {"text": 10, "json": 100}


def run_analysis(
    files: tuple[str, ...],
    *,
    cluster: tuple[str, ...] = (),
    links: tuple[str, ...] = (),
    routes: tuple[str, ...] = (),
    interfaces: tuple[str, ...] = (),
    namespace: str | None = None,
    cluster_id_bits: Literal[8, 9] = 8,
    format_: str = "text",
    output: tuple[str, ...] = (),
    top: int | None = None,
    scope: Literal["auto", "tunnel", "ip"] = "auto",
    overlay: Literal["auto", "cilium", "vxlan"] = "auto",
    ports: tuple[tuple[int, str], ...] = (),
    window: int = 1_000_000_000,
    settle: int = 10_000_000,
    jobs: int | None = None,
    memory_bytes: int = 1 << 30,
    select: tuple[str, ...] = (),
    ignore: tuple[str, ...] = (),
    mtus: tuple[int, ...] = (),
    fail_on: tuple[str, ...] = (),
    expect: str | None = None,
    color: str = "auto",
    progress: bool = True,
    every: float | None = None,
) -> int:
    """Analyze captures, write the report and return the exit code.

    Values and defaults are those of the options. Raises UsageError for what makes no sense.
    """
    check_stdin(files)
    outputs = _outputs(output, format_)
    for path in outputs.values():
        check_output(path, files + cluster + links + routes + ((expect,) if expect else ()))
    failing, selected, ignored = (
        _names(option, values)
        for option, values in (("--fail-on", fail_on), ("--select", select), ("--ignore", ignore))
    )
    if failing:
        from vxtool.analysis.findings.choice import SEVERITIES, check_names

        check_names(failing, SEVERITIES)
    # Imported here, so that a wrong option need not wait for it.
    from vxtool.api import analyze

    def show(report: Report) -> None:
        for each, path in outputs.items():
            target = target_for(path, color, top or _TOP["text"])._replace(fail_on=tuple(failing))
            # All but the page for people are UTF-8 by their own standards, whatever the terminal speaks.
            encoding = target.encoding if each == "text" else "utf-8"
            few: Report = {**report, "flows": report["flows"][: top or _flows_in(each)]}
            write(path, [RENDERERS[each](few, target)], encoding)

    def show_interim(report: Report) -> None:
        try:
            show(report)
        except UsageError as error:
            complain(f"{error} There will be no more reports in between.")
            raise

    with controlled(files, show_interim, every) as control:
        with Progress(progress) as bar:
            report = analyze(
                list(files),
                cluster=list(cluster),
                links=list(links),
                routes=list(routes),
                interfaces=named_interfaces(interfaces),
                namespace=namespace,
                cluster_id_bits=cluster_id_bits,
                top=top or max(_flows_in(each) for each in outputs),
                select=selected,
                ignore=ignored,
                mtus=mtus,
                expect=expect,
                scope=scope,
                overlay=overlay,
                ports=dict(ports) or None,
                window_ns=window,
                settle_ns=settle,
                jobs=jobs,
                memory_bytes=memory_bytes,
                progress=preparing([f"vxtool.report.{each}" for each in outputs], bar),
                control=control,
            )
        if control is not None:
            control.wait()
        unread = tell_unread(report["inputs"])
        if unread == len(report["inputs"]):
            return EXIT_INPUT
        show(report)
        if "github" in outputs:
            _write_step_summary(report, top or _TOP["text"])
    if control is not None and control.stopping:
        return EXIT_INTERRUPTED
    if unread:
        return EXIT_INPUT
    if any(item["status"] != "met" for item in report["expectations"]):
        return EXIT_FOUND
    return EXIT_FOUND if failing and _fails(report["findings"], failing) else 0


def _flows_in(format_: str) -> int:
    return _TOP.get(format_, _TOP["text"])


def _outputs(values: tuple[str, ...], format_: str) -> dict[str, str]:
    """Which formats are written where. A value FILE is where the one of `--format` goes, instead of to stdout, and
    FORMAT=FILE is one more; where that is the one of `--format`, it goes there alone.

    Raises UsageError for a format that is none or is given twice, and for two in one place.
    """
    outputs: dict[str, str] = {}
    for value in values:
        name, equals, path = value.partition("=")
        if not equals or not name.isalpha():
            name, path = format_, value
        elif name not in RENDERERS:
            raise UsageError(
                f"--output {value}: {name} is no format; give one of {', '.join(sorted(RENDERERS))}, or ./{value} "
                "for a file of that name."
            )
        if name in outputs:
            raise UsageError(f"--output {value}: {name} goes to {outputs[name]} already; give each format once.")
        outputs[name] = path or STDOUT
    outputs = {format_: outputs.pop(format_, STDOUT), **outputs}
    taken: dict[str, str] = {}
    for name, path in outputs.items():
        place = path if path == STDOUT else os.path.realpath(path)
        if place in taken:
            where = "standard output" if path == STDOUT else path
            raise UsageError(f"--output {name}={path}: {taken[place]} goes to {where} already; give another file.")
        taken[place] = name
    return outputs


def _write_step_summary(report: Report, rows: int) -> None:
    """Add the report to the summary of the step, where a runner of GitHub Actions names the file for it."""
    path = os.environ.get("GITHUB_STEP_SUMMARY")
    if path:
        write(path, [RENDERERS["markdown"](report, Target(rows=rows))], "utf-8", append=True)


def preparing(renderers: Sequence[str], bar: Progress) -> ProgressCallback:
    """A progress callback that, when the reading has begun, first imports what will write the report: where others
    read meanwhile, nobody has to wait for it afterwards."""

    def tell(done: int, total: int | None, records: int) -> None:
        for renderer in renderers:
            import_module(renderer)
        bar(done, total, records)

    return tell


def _names(option: str, values: tuple[str, ...]) -> list[str]:
    """Names in values that may hold several, parted by commas. UsageError for a value without any, as of a variable
    that is not set: it would switch off what was asked for."""
    names: list[str] = []
    for value in values:
        found = [name for part in value.split(",") if (name := part.strip())]
        if not found:
            raise UsageError(
                f"{option}: {value!r} names nothing; give ids or families of findings"
                f"{' or a severity' if option == '--fail-on' else ''}, or leave the option out."
            )
        names += found
    return names


def _fails(findings: Sequence[Finding], failing: Sequence[str]) -> bool:
    """Whether there is a finding of these severities, or worse, or of these ids and families."""
    from vxtool.analysis.findings.choice import is_among

    return any(is_among(finding, failing) for finding in findings)


def named_interfaces(interfaces: tuple[str, ...]) -> dict[int, str]:
    if not interfaces:
        return {}
    from vxtool.cluster.links import parse_interface_options

    return parse_interface_options(interfaces)


@contextmanager
def controlled(
    files: tuple[str, ...], tell: Callable[[Report], None] | None = None, every: float | None = None
) -> Iterator[Control | None]:
    """What lets Ctrl-C stop the reading, so that the report is of what came until then, and SIGUSR1 ask for a
    report in between, which `tell` prints.

    Ctrl-C reaches every program of a pipeline. tcpdump then writes out what it holds and stops, so standard input
    is read on for a moment. Where all was read, the report is made nevertheless. A second Ctrl-C gives up.
    """
    import signal

    from vxtool.control import Control

    control = Control(tell, every)

    def stop(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, before)
        if not control.reading and not control.has_read and callable(before):
            before(number, frame)
        if control.has_read:
            complain("interrupted: all was read, and the report is made of it; Ctrl-C once more gives up.")
        elif STDOUT in files:
            complain("interrupted: standard input is read on for a moment; Ctrl-C once more gives up.")
        control.stop(_PATIENCE if STDOUT in files else 0)

    before = signal.getsignal(signal.SIGINT)
    try:
        signal.signal(signal.SIGINT, before if before == signal.SIG_IGN else stop)
    except ValueError:  # this is not the main thread, so Ctrl-C is somebody else's
        yield None
        return
    ask = getattr(signal, "SIGUSR1", None) if tell is not None else None
    before_ask = signal.signal(ask, lambda *_: control.ask()) if ask is not None else None
    try:
        yield control
    finally:
        signal.signal(signal.SIGINT, before)
        if ask is not None:
            signal.signal(ask, before_ask)
        control.wait()


def check_stdin(files: tuple[str, ...]) -> None:
    if files.count(STDOUT) > 1:
        raise UsageError("- (standard input) is given twice; it can be read once.")
    if STDOUT in files and sys.stdin is not None and sys.stdin.isatty():
        raise UsageError("- (standard input) is a terminal; pipe a capture into it, as from tcpdump -w -.")


def tell_unread(inputs: Sequence[Input]) -> int:
    """Say of each input that could not be read at all why not; how many there are."""
    unread = [item for item in inputs if _unread(item)]
    for item in unread:
        complain(why(item))
    return len(unread)


def _unread(item: Input) -> bool:
    return item["error"] is not None and item["records"] == 0 and not item["truncated"]


def why(item: Input) -> str:
    """What is wrong with an input, and which it is."""
    error = item["error"] or ""
    return error if item["path"] in error else f"{item['path']}: {error}"
