"""The learning curve of a policy as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from palpate_nodes.report.figure_sheet import MARGIN, WIDTH, key, sheet
from palpate_nodes.report.svg import Axes, text

WINDOW = 5
"""Rounds over which the curves are averaged."""
HEIGHT = 420.0


def learning_figure(history: Sequence[dict[str, float]]) -> str:
    """Share of right answers and seconds until sure over the probes learnt from.

    Args:
        history: one row per round, see `palpate_sim.training.policy.train_policy`.
    """
    steps = np.array([row["steps"] for row in history]) / 1000.0
    right = _smooth(np.array([100.0 * row["accuracy"] for row in history]))
    seconds = _smooth(np.array([row["seconds"] for row in history]))
    top = max(5.0 * np.ceil(seconds.max() / 5.0), 5.0)
    axes = Axes(
        WIDTH, HEIGHT, (0.0, float(steps[-1])), (0.0, 100.0), left=70.0, right=MARGIN + 34, top=110.0, bottom=62.0
    )
    axes.frame("", "", 6, 5)
    axes.line(steps, right, "c0")
    axes.line(steps, 100.0 * seconds / top, "c1")
    for share in np.linspace(0.0, 1.0, 6):
        axes.marks.append(text(WIDTH - MARGIN - 26, axes.y(100.0 * share) + 4, f"{share * top:g}", "tick"))
    axes.marks += key(MARGIN, 84, [("c0", "right, % (left)"), ("c1", "seconds until sure (right)")])
    axes.marks.append(text(WIDTH - MARGIN, HEIGHT - 18, "thousand probes", "label", "end"))
    note = f"parts that ended in each round; mean of {WINDOW} rounds; the hard mix comes after the usual one"
    spoken = f"Learning curve: {right[-1]:.0f} % right, {seconds[-1]:.1f} s until sure at the end."
    return sheet(HEIGHT, "Learning to probe", note, spoken, axes.marks)


def _smooth(values: np.ndarray) -> np.ndarray:
    """Mean of the last WINDOW values, of fewer at the start."""
    total = np.cumsum(np.concatenate(([0.0], values)))
    first = np.maximum(np.arange(len(values)) - WINDOW + 1, 0)
    return np.asarray((total[1:] - total[first]) / (np.arange(len(values)) + 1 - first))


WORDS = {
    "policy": "learnt policy", "fixed": "best fixed sequence", "condition": "best sequence per visible condition",
    "rule": "hand-written rule", "greedy": "greedy", "greedy_macros": "greedy with macros",
    "greedy_map": "greedy that knows the map", "random": "random",
}  # fmt: skip
_COLOURS = ("c0", "c1", "c2", "c3", "c4", "rest")
_PANEL = 330.0


def probing_figure(result: dict[str, Any]) -> str:
    """Accuracy over seconds of every strategy, on the usual and on the hard mix.

    Args:
        result: of `palpate_sim.benchmarks.probing.bench_probing`.
    """
    curves = result["curves"]
    names = [name for name in WORDS if name in curves["hard"] and name != "random"]
    css = {name: _COLOURS[min(k, len(_COLOURS) - 1)] for k, name in enumerate(names)}
    rows = [[(css[name], WORDS[name]) for name in names[k : k + 3]] for k in range(0, len(names), 3)]
    top = 84.0 + 22.0 * len(rows)
    marks = [mark for k, row in enumerate(rows) for mark in key(MARGIN, 84.0 + 22.0 * k, row)]
    points = [(s, 100 * a) for mix in ("mix", "hard") for name in names for _, s, a in curves[mix][name]]
    seconds, right = (np.array(values) for values in zip(*points, strict=True))
    x = (np.floor(seconds.min()), np.ceil(seconds.max()))
    y = (np.floor(right.min()), np.ceil(right.max()))
    for k, (mix, words) in enumerate((("mix", "usual mix"), ("hard", "a quarter of each condition"))):
        left = 62.0 + k * (WIDTH - MARGIN) / 2
        axes = Axes(
            WIDTH, top + _PANEL, x, y, left=left, right=WIDTH - left - _PANEL + 62.0, top=top + 24.0, bottom=56.0
        )
        axes.frame("", "", 5, 5)
        axes.marks.append(text(left, top + 8, f"right, %: {words}", "label"))
        axes.marks.append(text(left + _PANEL - 62.0, top + _PANEL - 16, "seconds until sure", "label", "end"))
        for name in names:
            line = np.array(curves[mix][name])
            axes.line(line[:, 1], 100 * line[:, 2], f"{css[name]} thin")
            at = int(np.argmin(np.abs(line[:, 0] - result["rules"]["sure"])))
            axes.marks.append(
                f'<circle class="{css[name]}" cx="{axes.x(line[at, 1]):.1f}" cy="{axes.y(100 * line[at, 2]):.1f}" '
                f'r="4"><title>{WORDS[name]}</title></circle>'
            )
        marks += axes.marks
    count = result["parts"] * len(result["seeds"])
    note = f"{count:,} new parts each; lines: stop rule from 0.85 to 0.97 sure; dots: {result['rules']['sure']:g}"
    spoken = ", ".join(f"{WORDS[name]} {np.mean(curves['hard'][name], axis=0)[1]:.1f} s" for name in names)
    return sheet(top + _PANEL, "Accuracy over time", note, f"Seconds on the hard mix: {spoken}.", marks)
