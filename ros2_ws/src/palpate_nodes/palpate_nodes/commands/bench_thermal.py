"""`palpate bench thermal`: measured contact heat of parts that have another temperature than in training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from palpate_nodes.report.svg import Axes, text

if TYPE_CHECKING:
    from palpate_agents.benchmarks.thermal import Separation

HELP = """Materials by contact heat, trained on parts at room temperature, tested on cold ones.

Two temperature channels (one sensor heated) say effusivity and temperature of the part, beside SVM and random forest
on the raw curves. Any folder with a touches.npz serves; see docs/data.md.

Example:  palpate bench thermal --data thermal_ambiguity_toh --json thermal.json --figures docs/images
"""

FIGURE = "thermal_separation.svg"
_STYLE = """<style>
svg{font:12px system-ui,-apple-system,"Segoe UI",Roboto,"Liberation Sans",sans-serif;--ink:#1d2126;--soft:#5a626c;
--grid:#e2e0da;--c0:#1f6fb2;--c1:#d9741a;--c2:#2b9a78;--c3:#b0468e;--c4:#8a7f1f;--c5:#7d8590;
--c6:#b93226;background:#fff}
@media (prefers-color-scheme:dark){svg{--ink:#e8e9ea;--soft:#a2abb5;--grid:#343a41;--c0:#5aa9e6;--c1:#f0a04b;
--c2:#52c7a0;--c3:#d97fbd;--c4:#c9bd55;--c5:#8d96a0;--c6:#f08a7d;background:#14171a}}
text{fill:var(--soft)}text.label,text.name{fill:var(--ink)}path{fill:none;stroke:var(--grid)}
path.axis{stroke:var(--soft)}
.m{fill-opacity:.55;stroke:none}.o{fill:none;stroke-opacity:.8;stroke-width:1.2}
.m0{fill:var(--c0)}.m1{fill:var(--c1)}.m2{fill:var(--c2)}.m3{fill:var(--c3)}.m4{fill:var(--c4)}.m5{fill:var(--c5)}
.m6{fill:var(--c6)}.o0{stroke:var(--c0)}.o1{stroke:var(--c1)}.o2{stroke:var(--c2)}.o3{stroke:var(--c3)}
.o4{stroke:var(--c4)}.o5{stroke:var(--c5)}.o6{stroke:var(--c6)}
</style>"""
_COLOURS = 7


def thermal(
    data: Annotated[Path, typer.Option(help="Folder of measured touches.", show_default=False)],
    seeds: Annotated[int, typer.Option(min=1, max=100, help="How many seeds.")] = 5,
    seed: Annotated[int, typer.Option(min=0, help="Shifts every seed.")] = 0,
    room: Annotated[str, typer.Option(help="Condition to train on: parts at room temperature.")] = "room",
    quick: Annotated[bool, typer.Option(help="One seed.")] = False,
    figures: Annotated[Path | None, typer.Option(help="Folder for the figure.", show_default=False)] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Also write the result file.", show_default=False)
    ] = None,
) -> None:
    """Contact heat of cold parts."""
    from palpate_agents.benchmarks.thermal import bench_thermal, separation
    from palpate_agents.data import TouchDataset, open_dataset
    from palpate_agents.errors import DataError
    from palpate_nodes.benchmarking import finish

    console = Console(highlight=False)
    dataset = open_dataset(data)
    if not isinstance(dataset, TouchDataset):
        raise DataError(f"{data} holds no contact traces (touches.npz)")
    used = [seed + i for i in range(1 if quick else seeds)]
    with console.status("training a model per fold and seed"):
        result = bench_thermal(dataset, used, progress=console.print, room=room)
    finish(result, quick=quick, json_file=json_file, console=console)
    if figures is not None:
        figures.mkdir(parents=True, exist_ok=True)
        (figures / FIGURE).write_text(separation_figure(separation(dataset, seed, room)), encoding="utf-8")
        console.print(f"written  {figures / FIGURE}")


def separation_figure(series: Sequence[Separation]) -> str:
    """An SVG file: effusivity ratio over the part's temperature, one mark per touch; rings are simulated touches."""
    points = [(x, y) for s in series for x, y in zip(s.part_c.tolist(), s.log10_ratio.tolist(), strict=True)]
    known = [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)]
    if not known:
        known = [(0.0, 0.0)]
    xs, ys = sorted(x for x, _ in known), [y for _, y in known]
    # The few temperatures that a poor conductor did not tell well would squeeze all others.
    low, high = xs[len(xs) // 200] - 1.0, xs[-1 - len(xs) // 200] + 1.0
    rows = (len(series) + 1) // 2
    axes = Axes(720.0, 380.0 + 18.0 * rows, (low, high), (min(ys) - 0.1, max(ys) + 0.1), left=52.0)
    axes.top += 18.0 * rows + 8.0
    axes.frame("temperature of the part, °C", "log₁₀ effusivity, part over sensor", x_ticks=8, y_ticks=6)
    measured = [s.name for s in series if "simulated" not in s.name]
    for index, one in enumerate(series):
        # A simulated series has the colour of the measured one that it was made of.
        ring, source = "simulated" in one.name, one.name.split(", simulated", maxsplit=1)[0]
        css = f"{'o o' if ring else 'm m'}{measured.index(source) % _COLOURS}"
        for x, y in zip(one.part_c.tolist(), one.log10_ratio.tolist(), strict=True):
            if math.isfinite(x) and low <= x <= high:
                axes.marks.append(f'<circle class="{css}" cx="{axes.x(x):.1f}" cy="{axes.y(y):.1f}" r="3"/>')
        left, down = 16.0 + 350.0 * (index % 2), 16.0 + 18.0 * (index // 2)
        axes.marks.append(f'<circle class="{css}" cx="{left:g}" cy="{down - 4:g}" r="4"/>')
        axes.marks.append(text(left + 10.0, down, f"{one.name} ({len(one.part_c)})", "name"))
    names = ", ".join(s.name for s in series)
    drawn = axes.render(f"Effusivity ratio over the temperature of the part, by two half-spaces: {names}.")
    return drawn.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1).replace(">", ">" + _STYLE, 1) + "\n"
