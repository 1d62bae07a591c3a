"""The figure of `palpate bench thermal`: what two half-spaces say of each touch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from palpate_nodes.report.figure_sheet import MARGIN, WIDTH, sheet
from palpate_nodes.report.svg import Axes, text

if TYPE_CHECKING:
    from palpate_agents.benchmarks.thermal import Separation

_COLOURS = ("c0", "c1", "c2", "c3", "c4", "rest")


def separation_figure(series: Sequence[Separation]) -> str:
    """An SVG file: effusivity ratio over the part's temperature, one mark per touch; rings are simulated touches."""
    points = [(x, y) for s in series for x, y in zip(s.part_c.tolist(), s.log10_ratio.tolist(), strict=True)]
    known = [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)] or [(0.0, 0.0)]
    xs, ys = sorted(x for x, _ in known), [y for _, y in known]
    # The few temperatures that a poor conductor did not tell well would squeeze all others.
    low, high = xs[len(xs) // 200] - 1.0, xs[-1 - len(xs) // 200] + 1.0
    top = 118.0 + 18.0 * ((len(series) + 1) // 2)
    height, right = top + 390.0, MARGIN + 8
    axes = Axes(WIDTH, height, (low, high), (min(ys) - 0.1, max(ys) + 0.1), 70.0, right, top, bottom=62.0)
    axes.frame("", "", x_ticks=8, y_ticks=6)
    axes.marks.append(text(MARGIN, top - 14, "log₁₀ effusivity, part over sensor", "label"))
    axes.marks.append(text(WIDTH - right, height - 18, "temperature of the part, °C", "label", "end"))
    measured = [s.name for s in series if "simulated" not in s.name]
    for index, one in enumerate(series):
        # A simulated series has the colour of the measured one that it was made of.
        ring, source = "simulated" in one.name, one.name.split(", simulated", maxsplit=1)[0]
        css = _COLOURS[measured.index(source) % len(_COLOURS)]
        for x, y in zip(one.part_c.tolist(), one.log10_ratio.tolist(), strict=True):
            if math.isfinite(x) and low <= x <= high:
                axes.marks.append(_mark(axes.x(x), axes.y(y), 3.0, css, ring))
        left, down = MARGIN + 6 + 350.0 * (index % 2), 84.0 + 18.0 * (index // 2)
        axes.marks.append(_mark(left, down - 4, 4.0, css, ring))
        axes.marks.append(text(left + 10.0, down, f"{one.name} ({len(one.part_c)})"))
    names = ", ".join(s.name for s in series)
    note = "each mark is a touch; rings: simulated from measured touches"
    spoken = f"Effusivity ratio over the temperature of the part, by two half-spaces: {names}."
    return sheet(height, "Effusivity and temperature of the part by two half-spaces", note, spoken, axes.marks)


def _mark(x: float, y: float, radius: float, css: str, ring: bool) -> str:
    look = f'class="{css}" fill-opacity=".55"'
    if ring:
        look = f'style="fill:none;stroke:var(--{css})" stroke-opacity=".8" stroke-width="1.2"'
    return f'<circle {look} cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}"/>'
