"""A line chart as SVG text. Colours are CSS classes, so that the page's light and dark colours apply inside charts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape

import numpy as np
from numpy.typing import ArrayLike


def nice_ticks(low: float, high: float, count: int) -> list[float]:
    """Round numbers (1, 2, 2.5 or 5 times a power of ten) within [low, high], about `count` of them."""
    if not (math.isfinite(low) and math.isfinite(high)) or high <= low:
        return [low] if math.isfinite(low) else []
    rough = (high - low) / max(1, count)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1.0, 2.0, 2.5, 5.0, 10.0) if factor * power >= rough * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 12) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def number(value: float) -> str:
    """Short text of a tick or size: no trailing zeros, a true minus sign."""
    text = f"{value:.6g}"
    return text.replace("-", "−") if "e" not in text else text


def path_data(points: Iterable[tuple[float, float]]) -> str:
    """`d` of a path through points; a point that is not finite interrupts it."""
    parts: list[str] = []
    pen_down = False
    for x, y in points:
        if not (math.isfinite(x) and math.isfinite(y)):
            pen_down = False
            continue
        parts.append(f"{'L' if pen_down else 'M'}{x:.1f} {y:.1f}")
        pen_down = True
    return "".join(parts)


def text(x: float, y: float, content: str, css: str = "", anchor: str = "start") -> str:
    """A text element."""
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{css}" text-anchor="{anchor}">{escape(content)}</text>'


def rect(x: float, y: float, width: float, height: float, css: str, title: str = "") -> str:
    """A rectangle, with a tooltip."""
    inner = f"<title>{escape(title)}</title>" if title else ""
    size = f'x="{x:.1f}" y="{y:.1f}" width="{max(0.0, width):.1f}" height="{max(0.0, height):.1f}"'
    return f'<rect {size} class="{css}">{inner}</rect>'


def svg(width: float, height: float, label: str, content: Sequence[str]) -> str:
    """The outer element; `label` is what a screen reader says."""
    head = f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(label)}">'
    return head + "".join(content) + "</svg>"


@dataclass
class Axes:
    """A plot area with scales; marks are appended to `marks` in drawing order.

    Attributes:
        width, height: of the whole chart, px of the view box.
        x_range, y_range: data ranges, in the units of the labels.
        left, right, top, bottom: margins, px.
    """

    width: float
    height: float
    x_range: tuple[float, float]
    y_range: tuple[float, float]
    left: float = 44.0
    right: float = 12.0
    top: float = 24.0
    bottom: float = 36.0
    marks: list[str] = field(default_factory=list)

    def x(self, value: float) -> float:
        """Horizontal position of a value, px."""
        low, high = self.x_range
        return self.left + (value - low) / ((high - low) or 1.0) * (self.width - self.left - self.right)

    def y(self, value: float) -> float:
        """Vertical position of a value, px."""
        low, high = self.y_range
        return (
            self.height - self.bottom - (value - low) / ((high - low) or 1.0) * (self.height - self.top - self.bottom)
        )

    def frame(self, x_label: str, y_label: str, x_ticks: int = 6, y_ticks: int = 4) -> None:
        """Grid lines, tick labels and axis labels."""
        bottom, right = self.height - self.bottom, self.width - self.right
        for value in nice_ticks(*self.y_range, y_ticks):
            y = self.y(value)
            self.marks.append(f'<path class="grid" d="M{self.left:.1f} {y:.1f}H{right:.1f}"/>')
            self.marks.append(text(self.left - 6, y + 4, number(value), "tick", "end"))
        for value in nice_ticks(*self.x_range, x_ticks):
            x = self.x(value)
            self.marks.append(f'<path class="axis" d="M{x:.1f} {bottom:.1f}v4"/>')
            self.marks.append(text(x, bottom + 16, number(value), "tick", "middle"))
        self.marks.append(f'<path class="axis" d="M{self.left:.1f} {bottom:.1f}H{right:.1f}"/>')
        self.marks.append(text(right, self.height - 4, x_label, "label", "end"))
        if y_label:
            self.marks.append(text(0, self.top - 10, y_label, "label"))

    def line(self, xs: ArrayLike, ys: ArrayLike, css: str) -> None:
        """A line through points."""
        points = zip(np.asarray(xs, float).tolist(), np.asarray(ys, float).tolist(), strict=True)
        data = path_data((self.x(x), self.y(y)) for x, y in points)
        self.marks.append(f'<path class="line {css}" d="{data}"/>')

    def band(self, xs: ArrayLike, low: ArrayLike, high: ArrayLike, css: str) -> None:
        """A filled band between two lines."""
        at = np.asarray(xs, float)
        xy = np.concatenate([np.c_[at, np.asarray(low, float)], np.c_[at, np.asarray(high, float)][::-1]])
        data = path_data((self.x(x), self.y(y)) for x, y in xy.tolist())
        self.marks.append(f'<path class="band {css}" d="{data}Z"/>')

    def span(self, start: float, end: float, css: str, title: str) -> None:
        """A vertical stripe over an interval of x."""
        x = self.x(start)
        width = max(1.5, self.x(end) - x)
        self.marks.append(rect(x, self.top, width, self.height - self.top - self.bottom, css, title))

    def render(self, label: str) -> str:
        """The whole chart."""
        return svg(self.width, self.height, label, self.marks)
