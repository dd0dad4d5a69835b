"""Line charts as inline SVG: no script, no font, no file from anywhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10
from typing import Final

Place = Callable[[float], float]
"""Value -> coordinate."""

_WIDTH: Final = 860
_HEIGHT: Final = 300
_LEFT: Final = 64
_RIGHT: Final = 16
_TOP: Final = 12
_BOTTOM: Final = 44
_TICKS: Final = 6


def number(value: float) -> str:
    """Three figures, or whole thousands."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


@dataclass(frozen=True, slots=True)
class Line:
    """One line; points without a value are left out, and the line is broken there."""

    label: str
    points: Sequence[tuple[float, float | None]]
    colour: int  # index of a colour of the page
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class Axis:
    """A scale from the smallest to the largest value; logarithmic where orders of magnitude matter."""

    label: str
    logarithmic: bool = False
    ticks: Sequence[tuple[float, str]] = ()  # own ticks (value, text) instead of round numbers
    tell: Callable[[float], str] = number  # a value in words


def line_chart(title: str, lines: Sequence[Line], x: Axis, y: Axis) -> str:
    """The chart as an SVG element; a sentence instead when there is nothing to draw."""
    points = [(px, py) for line in lines for px, py in line.points if py is not None and (py > 0 or not y.logarithmic)]
    if not points:
        return f'<p class="none">{escape(title)}: nothing was measured.</p>'
    across = _scale(x, [px for px, _ in points], _LEFT, _WIDTH - _RIGHT, rounded=False)
    up = _scale(y, [py for _, py in points] + ([] if y.logarithmic else [0.0]), _HEIGHT - _BOTTOM, _TOP)
    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title)}">',
        *_grid(across, up),
        *_axis_labels(x, y),
        *(_draw(line, across.place, up.place, (x, y)) for line in lines),
        "</svg>",
    ]
    return f"<figure><figcaption>{escape(title)}</figcaption>{''.join(parts)}{_legend(lines)}</figure>"


@dataclass(frozen=True, slots=True)
class _Scale:
    place: Place
    ticks: Sequence[tuple[float, str]]


def _scale(axis: Axis, values: Sequence[float], start: float, end: float, *, rounded: bool = True) -> _Scale:
    low, high = min(values), max(values)
    if axis.logarithmic:
        low, high = _decades(low, high) if not axis.ticks else (low, high)
        bottom, span = log10(low), max(log10(high) - log10(low), 1e-9)
        ticks = [tick for tick in axis.ticks if low <= tick[0] <= high] or _log_ticks(low, high)
        return _Scale(lambda value: start + (end - start) * (log10(value) - bottom) / span, ticks)
    step = _round_step(max(high - low, 1e-9))
    bottom = floor(low / step) * step
    top = max(ceil(high / step) * step, bottom + step)
    low, high = (bottom, top) if rounded or high <= low else (min(low, 0.0), high)
    ticks = [(bottom + n * step, number(bottom + n * step)) for n in range(round((top - bottom) / step) + 1)]
    ticks = [tick for tick in ticks if low <= tick[0] <= high]
    return _Scale(lambda value: start + (end - start) * (value - low) / (high - low), ticks)


def _round_step(span: float) -> float:
    """About `_TICKS` steps of 1, 2 or 5 times a power of ten."""
    raw = span / _TICKS
    power = 10.0 ** floor(log10(raw))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw * 0.999)


def _decades(low: float, high: float) -> tuple[float, float]:
    """Widened to 1, 2 or 5 times a power of ten."""
    steps = [10.0**exponent * factor for exponent in range(-4, 9) for factor in (1, 2, 5)]
    below = max((step for step in steps if step <= low), default=low)
    above = min((step for step in steps if step >= high), default=high)
    return below, above if above > below else below * 2


def _log_ticks(low: float, high: float) -> list[tuple[float, str]]:
    factors = (1, 2, 5) if high / low < 2000 else (1,)
    steps = [10.0**exponent * factor for exponent in range(-4, 9) for factor in factors]
    return [(step, number(step)) for step in steps if low * 0.999 <= step <= high * 1.001]


def _grid(across: _Scale, up: _Scale) -> list[str]:
    found = []
    for value, text in up.ticks:
        y = up.place(value)
        found.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        found.append(f'<text class="tick" x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{escape(text)}</text>')
    for value, text in across.ticks:
        x = across.place(value)
        found.append(f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{_HEIGHT - _BOTTOM}" y2="{_HEIGHT - 40}"/>')
        found.append(f'<text class="tick" x="{x:.1f}" y="{_HEIGHT - 27}" text-anchor="middle">{escape(text)}</text>')
    base = _HEIGHT - _BOTTOM
    return [*found, f'<line class="axis" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{base}" y2="{base}"/>']


def _axis_labels(x: Axis, y: Axis) -> list[str]:
    middle = (_TOP + _HEIGHT - _BOTTOM) / 2
    return [
        f'<text class="label" x="{(_LEFT + _WIDTH - _RIGHT) / 2}" y="{_HEIGHT - 8}" text-anchor="middle">'
        f"{escape(x.label)}</text>",
        f'<text class="label" transform="translate(14 {middle}) rotate(-90)" text-anchor="middle">'
        f"{escape(y.label)}</text>",
    ]


def _draw(line: Line, across: Place, up: Place, axes: tuple[Axis, Axis]) -> str:
    """One path; a dot for a point with no neighbour, and the value of each point where the mouse rests on it."""
    path, dots, connected = [], [], False
    for x, y in line.points:
        if y is None or (axes[1].logarithmic and y <= 0):
            connected = False
            continue
        left, top = across(x), up(y)
        path.append(f"{'L' if connected else 'M'}{left:.1f} {top:.1f}")
        title = f"{line.label}: {axes[1].tell(y)} at {axes[0].tell(x)}"
        dots.append(
            f'<circle class="c{line.colour}" cx="{left:.1f}" cy="{top:.1f}" r="3">'
            f"<title>{escape(title)}</title></circle>"
        )
        connected = True
    lone = " lone" if len(dots) == 1 else ""
    dash = ' stroke-dasharray="5 4"' if line.dashed else ""
    return f'<path class="l c{line.colour}" d="{"".join(path)}"{dash}/><g class="dots{lone}">{"".join(dots)}</g>'


def _legend(lines: Sequence[Line]) -> str:
    items = [f'<li class="c{line.colour}"><i{" class=dashed" if line.dashed else ""}></i>{escape(line.label)}</li>'
             for line in lines]  # fmt: skip
    return f'<ul class="legend">{"".join(items)}</ul>'
