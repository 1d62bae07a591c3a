"""The learning curve of a policy as a picture."""

from __future__ import annotations

from collections.abc import Sequence

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
