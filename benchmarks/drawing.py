"""The growth figures as a picture: SVG, written by hand.

Six small charts of one look: time above, peak memory below; against records, flows and open journeys. Records are
drawn on a linear axis, where a straight line is what is to be seen, with the line of least squares; flows and open
journeys, which span decades, on a logarithmic one. The vertical axes begin at 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 320, 220  # of one chart
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 34, 40
HEAD, FOOT = 46, 30
INK, GRID, MAIN, OTHER = "#24292f", "#d8dee4", "#0969da", "#8c959f"
FONT = "font-family='system-ui, sans-serif'"

_COLUMNS = (("records", "records", False), ("flows", "flows", True), ("open", "open journeys", True))


def draw(growth: Mapping[str, Any], caption: str) -> str:
    """An SVG document of what `sections.growth` returned; `caption` says where the figures come from."""
    columns = [column for column in _COLUMNS if len(growth.get(column[0], {}).get("points", ())) > 1]
    width, height = WIDTH * max(1, len(columns)), HEAD + 2 * HEIGHT + FOOT
    size = f"width='{width}' height='{height}'"
    parts = [
        f"<svg xmlns='http://www.w3.org/2000/svg' {size} viewBox='0 0 {width} {height}'>",
        f"<rect {size} fill='#ffffff'/>",
        _text(LEFT, 26, "vxtool analyze: cost as work grows", size=16, weight="600"),
        _text(LEFT, height - 10, caption, size=10, colour="#57606a"),
    ]
    for number, (name, label, logarithmic) in enumerate(columns):
        points, lines = growth[name]["points"], growth[name]["lines"]
        xs = [point["x"] for point in points]
        series = [("vxtool", MAIN, [point["seconds"]["median"] for point in points])]
        if all(point["libpcap_seconds"] for point in points):
            series.append(("libpcap's bare loop", OTHER, [point["libpcap_seconds"]["median"] for point in points]))
        memory = [("vxtool", MAIN, [point["peak_bytes"] / 1e6 for point in points])]
        fitted = None if logarithmic else (lines["seconds"]["intercept"], lines["seconds"]["slope"])
        note = f"r² {lines['seconds']['r_squared']:.4f}" if fitted else ""
        left = number * WIDTH
        parts.append(_chart(left, HEAD, f"seconds by {label}", xs, series, logarithmic, fitted, note))
        parts.append(_chart(left, HEAD + HEIGHT, f"peak memory, MB, by {label}", xs, memory, logarithmic))
    return "\n".join([*parts, "</svg>", ""])


def _chart(
    left: float,
    top: float,
    title: str,
    xs: Sequence[float],
    series: Sequence[tuple[str, str, Sequence[float]]],
    logarithmic: bool,
    fitted: tuple[float, float] | None = None,
    note: str = "",
) -> str:
    most = max(max(values) for _, _, values in series)
    y_ticks = _ticks(most)
    x_ticks = _decades(min(xs), max(xs)) if logarithmic else _ticks(max(xs))
    x_of = _scale(x_ticks[0], x_ticks[-1], left + LEFT, left + WIDTH - RIGHT, logarithmic)
    y_of = _scale(0, y_ticks[-1], top + HEIGHT - BOTTOM, top + TOP, False)
    parts = [_text(left + LEFT, top + 18, title, size=12, weight="600")]
    for tick in y_ticks:
        y = y_of(tick)
        parts.append(_line([(left + LEFT, y), (left + WIDTH - RIGHT, y)], GRID, 1))
        parts.append(_text(left + LEFT - 6, y + 3.5, _short(tick), size=10, anchor="end"))
    for tick in x_ticks:
        parts.append(_text(x_of(tick), top + HEIGHT - BOTTOM + 14, _short(tick), size=10, anchor="middle"))
    if fitted is not None:
        intercept, slope = fitted
        ends = [(x_of(x), y_of(max(0.0, intercept + slope * x))) for x in (min(xs), max(xs))]
        parts.append(_line(ends, MAIN, 1, dashes="3 3"))
    for number, (name, colour, values) in enumerate(series):
        spots = [(x_of(x), y_of(value)) for x, value in zip(xs, values, strict=True)]
        if fitted is None or number:
            parts.append(_line(spots, colour, 1.5))
        parts += [f"<circle cx='{x:.1f}' cy='{y:.1f}' r='3' fill='{colour}'/>" for x, y in spots]
        if len(series) > 1:
            label = f"{name}, {note}" if note and not number else name
            parts.append(_text(left + LEFT + 8, top + TOP + 12 + 14 * number, label, size=10, colour=colour))
    if note and len(series) == 1:
        parts.append(_text(left + LEFT + 8, top + TOP + 12, note, size=10, colour=MAIN))
    return "\n".join(parts)


def _scale(low: float, high: float, start: float, end: float, logarithmic: bool) -> Callable[[float], float]:
    if logarithmic:
        low, high = math.log10(low), math.log10(high)
        return lambda value: start + (math.log10(value) - low) / (high - low) * (end - start)
    return lambda value: start + (value - low) / (high - low) * (end - start)


def _ticks(most: float) -> list[float]:
    """0 and up in steps of 1, 2 or 5 times a power of ten, to just beyond `most`; at most six steps."""
    if most <= 0:
        return [0.0, 1.0]
    step = 10.0 ** math.floor(math.log10(most / 6))
    while most / step > 6:
        step *= 2.5 if f"{step:e}"[0] == "2" else 2
    return [step * number for number in range(math.ceil(most / step - 1e-9) + 1)]


def _decades(least: float, most: float) -> list[float]:
    low = math.floor(math.log10(least) + 1e-9)
    high = max(low + 1, math.ceil(math.log10(most) - 1e-9))
    return [10.0**power for power in range(low, high + 1)]


def _short(value: float) -> str:
    for limit, unit in ((1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:g}{unit}"
    return f"{value:.3g}"


def _text(
    x: float, y: float, text: str, *, size: int, anchor: str = "start", weight: str = "400", colour: str = INK
) -> str:
    return (
        f"<text x='{x:.1f}' y='{y:.1f}' {FONT} font-size='{size}' font-weight='{weight}' "
        f"text-anchor='{anchor}' fill='{colour}'>{escape(text)}</text>"
    )


def _line(points: Sequence[tuple[float, float]], colour: str, width: float, dashes: str = "") -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dashed = f" stroke-dasharray='{dashes}'" if dashes else ""
    return f"<polyline points='{path}' fill='none' stroke='{colour}' stroke-width='{width}'{dashed}/>"
