"""Bars as inline SVG, in the look of `loadtest.runs.chart`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from loadtest.runs.chart import number

_WIDTH: Final = 860
_LEFT: Final = 190
_RIGHT: Final = 90
_ROW: Final = 30
_BAR: Final = 18


@dataclass(frozen=True, slots=True)
class Bar:
    """A figure, with the range of what it is the median of."""

    label: str
    value: float
    lowest: float
    highest: float
    colour: int  # index of a colour of the page


def bar_chart(title: str, bars: Sequence[Bar], unit: str) -> str:
    """The chart as an SVG element, all bars on one scale from zero; a sentence when there is nothing to draw."""
    longest = max((bar.highest for bar in bars), default=0.0)
    if longest <= 0:
        return f'<p class="none">{escape(title)}: nothing was measured.</p>'
    scale = (_WIDTH - _LEFT - _RIGHT) / longest
    rows = "".join(_row(bar, at * _ROW, scale, unit) for at, bar in enumerate(bars))
    height = len(bars) * _ROW
    axis = f'<line class="axis" x1="{_LEFT}" x2="{_LEFT}" y1="0" y2="{height}"/>'
    drawn = f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{escape(title)}">{rows}{axis}</svg>'
    return f"<figure><figcaption>{escape(title)}</figcaption>{drawn}</figure>"


def _row(bar: Bar, top: float, scale: float, unit: str) -> str:
    middle = top + _ROW / 2
    low, end, high = (_LEFT + scale * value for value in (bar.lowest, bar.value, bar.highest))
    told = f"{bar.label}: {number(bar.value)} {unit}, {number(bar.lowest)} to {number(bar.highest)}"
    return (
        f'<text class="tick" x="{_LEFT - 8}" y="{middle + 4:.1f}" text-anchor="end">{escape(bar.label)}</text>'
        f'<rect class="c{bar.colour}" fill="currentColor" x="{_LEFT}" y="{middle - _BAR / 2:.1f}" '
        f'width="{end - _LEFT:.1f}" height="{_BAR}"><title>{escape(told)}</title></rect>'
        f'<line class="axis" x1="{low:.1f}" x2="{high:.1f}" y1="{middle:.1f}" y2="{middle:.1f}"/>'
        f'<text class="tick" x="{max(end, high) + 6:.1f}" y="{middle + 4:.1f}">{escape(number(bar.value))}</text>'
    )
