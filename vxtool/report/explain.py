"""What findings mean, without a capture: as a terminal page, and as the docs page made from the same text."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby

from vxtool.analysis.findings import family_of
from vxtool.analysis.findings.explanation import Explanation
from vxtool.report import Target
from vxtool.report.layout import GAP, INDENT, Page, cells

# The parts of an explanation and what they are called here, in the order in which they are told.
_PARTS = {"cause": "cause", "proof": "proof", "remedy": "remedy", "unknown": "not known"}


def render_one(name: str, explanation: Explanation, target: Target) -> str:
    """The page on one kind of finding, ending in a line feed."""
    page = Page(target)
    page.prose(f"{explanation.summary}.", label=name, hang=cells(name) + 2, indent=0, label_color="cyan")
    for field, label in _PARTS.items():
        page.line()
        page.prose(getattr(explanation, field), label=label, hang=INDENT + len("not known") + 2)
    return str(page)


def render_list(explanations: Mapping[str, Explanation], target: Target) -> str:
    """A line for each kind of finding, family by family."""
    page = Page(target)
    hang = INDENT + max(map(cells, explanations)) + GAP
    for number, (_, names) in enumerate(groupby(explanations, family_of)):
        if number:
            page.line()
        for name in names:
            page.prose(explanations[name].summary, label=name, hang=hang)
    return str(page)


def render_markdown(explanations: Mapping[str, Explanation]) -> str:
    """The docs page on all kinds of findings."""
    lines = [
        "# Findings",
        "",
        "What `vxtool analyze` may find, and what `vxtool explain ID` says of it. A finding is raised on evidence "
        "in the capture, names the records that prove it, and says what a capture cannot tell. `--select` and "
        "`--ignore` choose among them by id or family, `--fail-on` makes them an exit code.",
        "",
        "This page is made by `make docs` from the texts beside the code.",
    ]
    for family, names in groupby(explanations, family_of):
        lines += ["", f"## {family}"]
        for name in names:
            explanation = explanations[name]
            lines += ["", f"### {name}", "", f"{explanation.summary[:1].upper()}{explanation.summary[1:]}.", ""]
            lines += [
                f"- **{label.capitalize()}:** {getattr(explanation, field)}" for field, label in _PARTS.items()
            ]
    return "\n".join(lines) + "\n"
