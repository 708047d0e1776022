"""Tables and what the operator knows in, the report out: verdicts first, then facts, then findings."""

from __future__ import annotations

from vxtool.analysis.knowledge import Knowledge
from vxtool.analysis.report import Question, build_report

__all__ = ["Knowledge", "Question", "build_report"]
