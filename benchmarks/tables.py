"""Aligned tables in plain text."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.measure import Spread


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[int] = (0,)) -> str:
    """Columns as wide as their widest cell; those of `left` are flush left, the others flush right."""
    lines = [headers, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headers))]

    def laid_out(cells: Sequence[str]) -> str:
        return "  ".join(
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ).rstrip()

    rule = "  ".join("-" * width for width in widths)
    return "\n".join([laid_out(headers), rule, *map(laid_out, rows)])


def figure(value: float) -> str:
    """Three digits that count: 0.0123, 1.23, 12.3, 123, 12,300."""
    if value >= 1000:
        digits = len(str(int(value)))
        return f"{round(value, 3 - digits):,.0f}"
    for limit, places in ((100, 0), (10, 1), (1, 2), (0.1, 3)):
        if value >= limit:
            return f"{value:.{places}f}"
    return f"{value:.4f}"


def rate(value: float) -> str:
    """Records a second."""
    return f"{value / 1e6:.2f} M" if value >= 1e6 else figure(value)


def seconds(value: float) -> str:
    return f"{value * 1000:.1f} ms" if value < 1 else f"{figure(value)} s"


def megabytes(value: float) -> str:
    return f"{value / 1e6:.1f}"


def percent(value: float) -> str:
    return f"±{value * 100:.0f} %"


def spread(value: Spread) -> str:
    """A median with the least and the most: 1.23 [1.20, 1.31]."""
    return f"{figure(value.median)} [{figure(value.least)}, {figure(value.most)}]"


def count(value: int) -> str:
    return f"{value:,}"
