"""Shares, and numbers of two figures, as reports write them: in findings and everywhere else alike."""

from __future__ import annotations


def percent(value: float) -> str:
    """A share in per cent: '37 %', '3.4 %', 'under 0.1 %' for what would round to nothing, and '99.9 %' for what
    would round to all."""
    if 0 < value < 0.05:
        return "under 0.1 %"
    return f"{figures(value)} %" if value < 99.5 or value == 100 else f"{int(value * 10) / 10} %"


def figures(value: float) -> str:
    """With one digit behind the point below ten, where that is not 0, and without one from there on."""
    return f"{value:.1f}".removesuffix(".0") if value < 9.95 else f"{value:.0f}"
