"""The figures of `palpate bench identify`, drawn from its result: no number in them is not in the result file.

write_figures(json.loads(Path("benchmarks/results/identify.json").read_text()), Path("docs/images"))
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from palpate_agents.errors import DataError
from palpate_nodes.report.figure_sheet import MARGIN, WIDTH, key, sheet, turned, whisker
from palpate_nodes.report.svg import Axes, text

Result = dict[str, Any]

CONDITIONS = {
    "mix": "mix", "clean": "clean", "black": "black", "wet": "wet", "painted": "painted", "aged": "aged",
    "shifted_8nm": "±8 nm", "new_lots": "later lots",
}  # fmt: skip
"""Metric -> words."""
RIVALS = (
    ("palpate", "palpate", "c0"), ("gated_late", "gated late fusion", "c2"), ("concat", "concatenation", "c1"),
    ("extra_trees", "extra trees", "c4"), ("best_single", "best single sensor", "rest"),
)  # fmt: skip
"""Key in the result, words, CSS class; the ceiling is a mark over palpate's bar and has none of its own."""
_FORMULATION = "ood_auroc_"


def write_figures(result: Result, folder: Path) -> list[Path]:
    """Draws all figures of a result.

    Args:
        result: content of the result file.
        folder: made if there is none.

    Returns:
        the files.

    Raises:
        DataError: it is no result of `identify`.
    """
    missing = [name for name in ("metrics", "baselines", "pictures") if name not in result]
    if result.get("benchmark") != "identify" or missing:
        raise DataError(
            f"this is a result of {result.get('benchmark', 'no benchmark')!r}"
            + (f" without {', '.join(missing)}" if missing else "")
            + "; 'palpate bench identify --json FILE' writes one that figures can be drawn from"
        )
    try:
        drawn = {name: draw(result) for name, draw in FIGURES.items()}
    except KeyError as error:
        raise DataError(f"the result lacks {error}; run 'palpate bench identify' again") from error
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, content in drawn.items():
        paths.append(folder / name)
        paths[-1].write_text(content, encoding="utf-8")
    return paths


def confusion_figure(result: Result) -> str:
    """Shares of each true material's parts that were called what."""
    pictures = result["pictures"]
    labels: list[str] = pictures["labels"]
    table = np.asarray(pictures["confusion"], float)
    share = table / np.maximum(table.sum(axis=1, keepdims=True), 1.0)
    left, top, cell = 112.0, 152.0, (WIDTH - 112.0 - 44.0) / len(labels)
    marks = [text(left - 7, top - 9, "true \\ named", "label", "end")]
    for i, name in enumerate(labels):
        y = top + i * cell
        marks.append(text(left - 7, y + cell / 2 + 4, name, "tick", "end"))
        marks.append(turned(left + (i + 0.5) * cell + 3, top - 7, name, "tick"))
        for j, other in enumerate(labels):
            marks.append(_cell(left + j * cell, y, cell, share[i, j], f"{name} named {other}"))
    height = top + len(labels) * cell + 46
    worst = _worst(labels, share)
    marks.append(text(left, height - 20, f"Percent of the parts of a row. Most confused: {worst}.", "note"))
    note = f"{_figure(result['metrics']['mix'])} of {int(table.sum()):,} parts of the mix are named right"
    return sheet(height, "What is taken for what", note, f"Confusion matrix; most confused: {worst}.", marks)


def _cell(x: float, y: float, size: float, share: float, title: str) -> str:
    box = f'x="{x + 0.75:.2f}" y="{y + 0.75:.2f}" width="{size - 1.5:.2f}" height="{size - 1.5:.2f}" rx="2.5"'
    if share < 0.005:
        return f'<rect {box} class="wash"/>'
    # The root lets a few percent be seen beside the diagonal.
    opacity = 0.08 + 0.92 * share**0.6
    mark = f'<rect {box} class="c0" fill-opacity="{opacity:.2f}"><title>{title}: {share:.1%}</title></rect>'
    css = "inside" if opacity > 0.6 else "small"
    return mark + text(x + size / 2, y + size / 2 + 3.2, f"{100 * share:.0f}", css, "middle")


def _worst(labels: list[str], share: np.ndarray, count: int = 3) -> str:
    wrong = share.copy()
    np.fill_diagonal(wrong, 0.0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:count]
    pairs = [np.unravel_index(int(k), wrong.shape) for k in order]
    return ", ".join(f"{labels[i]} as {labels[j]} {wrong[i, j]:.0%}" for i, j in pairs if wrong[i, j] > 0) or "none"


def reliability_figure(result: Result) -> str:
    """How often the belief is right over how sure it is, in bins of as many parts each."""
    metrics = result["metrics"]
    bins = np.asarray(result["pictures"]["reliability"], float)
    low = np.floor(10.0 * min(bins[:, :2].min(), 0.9)) / 10.0
    axes = Axes(WIDTH, 470.0, (low, 1.0), (low, 1.0), left=70.0, right=MARGIN + 8, top=98.0, bottom=78.0)
    axes.frame("", "", 6, 6)
    axes.marks.append(text(MARGIN, 84, "share that is right", "label"))
    axes.marks.append(text(WIDTH - MARGIN - 8, 454, "mean probability of the named material", "label", "end"))
    axes.line([low, 1.0], [low, 1.0], "soft thin dash")
    for sure, right, count in bins:
        # 95 % interval of a share, Wilson (JASA 1927): stays within 0 and 1
        middle, half = _wilson(right, count)
        axes.marks.append(whisker(axes.x(sure), axes.y(min(middle + half, 1.0)), axes.y(max(middle - half, low))))
    axes.line(bins[:, 0], bins[:, 1], "c0 thin")
    for sure, right, count in bins:
        axes.marks.append(
            f'<circle class="ring" cx="{axes.x(sure):.1f}" cy="{axes.y(right):.1f}" r="4.5">'
            f"<title>{int(count)} parts: {right:.1%} right at {sure:.1%}</title></circle>"
        )
    axes.marks += _bin_counts(axes, bins)
    ece, shifted = metrics["ece"], metrics["ece_shifted"]
    box = [
        f"calibration error {_plain(ece)}", f"spectrometers off by ±8 nm {_plain(shifted)}",
        "dashed: as often right as it says",
    ]  # fmt: skip
    axes.marks += [text(axes.x(low) + 16, 126 + 19 * k, words, "tick") for k, words in enumerate(box)]
    note = f"{int(bins[:, 2].sum()):,} parts of the mix in {len(bins)} bins of {_counts(bins)} each, 95 % intervals"
    spoken = f"Reliability diagram: expected calibration error {ece['value']:.3f}, shifted {shifted['value']:.3f}."
    return sheet(470.0, "Is it as often right as it says?", note, spoken, axes.marks)


def _wilson(share: float, count: float, z: float = 1.96) -> tuple[float, float]:
    scale = 1.0 + z * z / count
    half = z * float(np.sqrt(share * (1.0 - share) / count + z * z / (4.0 * count * count))) / scale
    return (share + z * z / (2.0 * count)) / scale, half


def _counts(bins: np.ndarray) -> str:
    few, many = int(bins[:, 2].min()), int(bins[:, 2].max())
    return str(few) if few == many else f"{few} to {many}"


def _bin_counts(axes: Axes, bins: np.ndarray) -> list[str]:
    """A mark under each bin, and how many parts are in it, or in those that lie too close to be told apart."""
    floor = axes.height - axes.bottom
    marks = [f'<path class="line c0 thin" d="M{axes.x(sure):.1f} {floor:.1f}v-7"/>' for sure in bins[:, 0]]
    groups: list[tuple[float, float, int]] = []  # px of the first and of the last bin, parts
    for sure, _, count in bins:
        group = axes.x(sure), axes.x(sure), int(count)
        while groups and _room(groups[-1], group) < 6.0:
            before = groups.pop()
            group = before[0], group[1], before[2] + group[2]
        groups.append(group)
    marks += [text(0.5 * (first + last), floor + 33, f"{n:,}", "tick", "middle") for first, last, n in groups]
    return [*marks, text(MARGIN, floor + 33, "parts", "label")]


def _room(left: tuple[float, float, int], right: tuple[float, float, int]) -> float:
    """Px between the counts of two groups; a digit is about 7 px wide."""
    return 0.5 * (right[0] + right[1] - left[0] - left[1]) - 3.5 * (len(f"{left[2]:,}") + len(f"{right[2]:,}"))


def probes_figure(result: Result) -> str:
    """Accuracy after 0, 1, 2 ... probes."""
    metrics = result["metrics"]
    count = sum(name.startswith("after_") and name.endswith("_probes") for name in metrics)
    found = [metrics[f"after_{k}_probes"] for k in range(count)]
    at = np.arange(count)
    value = np.array([100 * f["value"] for f in found])
    axes = Axes(WIDTH, 420.0, (0.0, count - 1.0), (0.0, 100.0), left=70.0, right=MARGIN + 12, top=96.0, bottom=62.0)
    axes.frame("", "", count, 5)
    axes.marks.append(text(MARGIN, 84, "right, %", "label"))
    axes.marks.append(text(WIDTH - MARGIN - 12, 402, "probes", "label", "end"))
    ceiling = result["baselines"]["ceiling"]["mix"]["value"]
    axes.line([0, count - 1], [100 * ceiling] * 2, "soft thin dash")
    axes.marks.append(
        text(axes.x(0) + 8, axes.y(100 * ceiling) + 16, "ceiling: told the condition, all probes", "tick")
    )
    axes.band(at, [100 * f["low"] for f in found], [100 * f["high"] for f in found], "c0")
    axes.line(at, value, "c0")
    for k, v in zip(at.tolist(), value.tolist(), strict=True):
        axes.marks.append(f'<circle class="ring" cx="{axes.x(k):.1f}" cy="{axes.y(v):.1f}" r="4.5"/>')
        right, down, anchor = (12.0, -2.0, "start") if k == 0 else (8.0, 20.0, "start" if k < count - 1 else "end")
        axes.marks.append(text(axes.x(k) + right, axes.y(v) + down, f"{v:.1f}", "strong", anchor))
    note = f"{found[0]['n']:,} parts of the mix; an overview, then each kind of probe once in random order; band 95 %"
    spoken = ", ".join(f"{v:.0f} % after {k}" for k, v in enumerate(value))
    return sheet(
        420.0, "Accuracy over the number of probes", note, f"Accuracy over the number of probes: {spoken}.", axes.marks
    )


def conditions_figure(result: Result) -> str:
    """Bars per condition: palpate, its ceiling, its rivals."""
    metrics, baselines = result["metrics"], result["baselines"]
    who = {"palpate": metrics, **baselines}
    axes = Axes(WIDTH, 472.0, (0.0, len(CONDITIONS)), (0.0, 100.0), left=62.0, right=MARGIN, top=144.0, bottom=44.0)
    axes.marks += _value_lines(axes, "right, %")
    group = axes.x(1) - axes.x(0)
    width = 0.86 * group / len(RIVALS)
    for place, (name, words) in enumerate(CONDITIONS.items()):
        start = axes.x(place) + 0.07 * group
        axes.marks.append(text(axes.x(place + 0.5), 450, words, "strong" if name == "mix" else "", "middle"))
        for k, (rival, spoken, css) in enumerate(RIVALS):
            figure = who[rival][name]
            axes.marks.append(_bar(axes, start + k * width, width - 1.5, figure, css, f"{spoken}, {words}"))
        axes.marks.append(_ceiling_mark(axes, start, width - 1.5, baselines["ceiling"][name]))
        shown = f"{100 * metrics[name]['value']:.1f}"
        above = 100 * max(metrics[name]["high"], baselines["ceiling"][name]["value"])
        axes.marks.append(text(start + width / 2 - 1, axes.y(above) - 7, shown, "strong", "middle"))
    entries = [(css, words) for _, words, css in RIVALS]
    ceiling = "the same network told the true condition, with twice the training parts"
    axes.marks += key(MARGIN, 84, entries)
    axes.marks.append(f'<path class="ink line" d="M{MARGIN:.1f} 98h11"/>')
    axes.marks.append(text(MARGIN + 16, 102, f"ceiling: {ceiling}", "tick"))
    note = f"{metrics['mix']['n']:,} new parts each, 95 % intervals over parts; all networks trained on the same parts"
    spoken = ", ".join(f"{words} {metrics[name]['value']:.3f}" for name, words in CONDITIONS.items())
    return sheet(472.0, "Right answers by condition", note, f"Accuracy: {spoken}; rivals beside it.", axes.marks)


def _value_lines(axes: Axes, label: str) -> list[str]:
    right = axes.width - axes.right
    marks = [text(MARGIN, axes.top - 14, label, "label")]
    for value in range(0, 101, 20):
        css = "axis" if value == 0 else "grid"
        marks.append(f'<path class="{css}" d="M{axes.left:.1f} {axes.y(value):.1f}H{right:.1f}"/>')
        marks.append(text(axes.left - 7, axes.y(value) + 4, f"{value}", "tick", "end"))
    return marks


def _bar(axes: Axes, x: float, width: float, figure: dict[str, float], css: str, title: str) -> str:
    value, low, high = (100.0 * figure[name] for name in ("value", "low", "high"))
    top = axes.y(value)
    box = f'x="{x:.1f}" y="{top:.1f}" width="{width:.1f}" height="{axes.y(0) - top:.1f}" rx="1.5"'
    bar = f'<rect {box} class="{css}"><title>{title}: {value:.1f} % [{low:.1f}, {high:.1f}]</title></rect>'
    return bar + whisker(x + width / 2, axes.y(high), axes.y(low))


def _ceiling_mark(axes: Axes, x: float, width: float, figure: dict[str, float]) -> str:
    return f'<path class="ink line" d="M{x - 2:.1f} {axes.y(100 * figure["value"]):.1f}h{width + 4:.1f}"/>'


def novelty_figure(result: Result) -> str:
    """How well each formulation that no training set has is told from known parts."""
    metrics = result["metrics"]
    named = {name[len(_FORMULATION) :]: metrics[name] for name in metrics if name.startswith(_FORMULATION)}
    named.pop("confidence")
    rows = sorted(named, key=lambda name: -named[name]["value"])
    low = np.floor(10.0 * min(0.5, *(figure["low"] for figure in named.values()))) / 10.0
    height = 132.0 + 25.0 * (len(rows) + 2) + 30.0
    axes = Axes(WIDTH, height, (low, 1.0), (0.0, 1.0), left=186.0, right=MARGIN + 46, top=92.0, bottom=58.0)
    for value in np.arange(low, 1.01, 0.1):
        x = axes.x(float(value))
        axes.marks.append(f'<path class="grid" d="M{x:.1f} 84V{height - 58:.1f}"/>')
        axes.marks.append(text(x, height - 40, f"{value:.1f}", "tick", "middle"))
    chance = axes.x(0.5)
    axes.marks.append(f'<path class="soft thin dash" d="M{chance:.1f} 84V{height - 58:.1f}"/>')
    axes.marks.append(text(chance + 5, height - 20, "0.5: no better than guessing; 1: never taken for known", "tick"))
    y = 92.0
    axes.marks.append(_row(axes, y, "all together", metrics["ood_auroc"], "c0", "strong"))
    axes.marks.append(_row(axes, y + 25, "by low confidence alone", metrics["ood_auroc_confidence"], "rest", "tick"))
    for k, name in enumerate(rows):
        axes.marks.append(_row(axes, y + 62 + 25 * k, name, named[name], "c0", ""))
    whole = metrics["ood_auroc"]
    note = (
        f"{whole['n']:,} parts of {len(rows)} formulations against {metrics['mix']['n']:,} known parts, 95 % intervals"
    )
    spoken = ", ".join(f"{name} {named[name]['value']:.2f}" for name in rows)
    title = "Does it notice what it has never been taught?"
    return sheet(height, title, note, f"Area under the curve {whole['value']:.3f}: {spoken}.", axes.marks)


def _row(axes: Axes, y: float, words: str, figure: dict[str, float], css: str, weight: str) -> str:
    left, right = axes.x(axes.x_range[0]), axes.x(figure["value"])
    low, high = axes.x(figure["low"]), axes.x(figure["high"])
    middle = y + 8
    return (
        text(axes.left - 10, y + 12, words, weight, "end")
        + f'<rect x="{left:.1f}" y="{y:.1f}" width="{right - left:.1f}" height="16" rx="2" class="{css}" '
        f'fill-opacity=".85"/><path class="whisker" d="M{low:.1f} {middle:.1f}H{high:.1f}M{low:.1f} {middle - 3:.1f}v6'
        f'M{high:.1f} {middle - 3:.1f}v6"/>'
        + text(axes.width - axes.right + 10, y + 12, f"{figure['value']:.3f}", weight or "tick")
    )


def _figure(figure: dict[str, float]) -> str:
    return f"{100 * figure['value']:.1f} % [{100 * figure['low']:.1f}, {100 * figure['high']:.1f}]"


def _plain(figure: dict[str, float]) -> str:
    return f"{figure['value']:.3f} [{figure['low']:.3f}, {figure['high']:.3f}]"


FIGURES: dict[str, Callable[[Result], str]] = {
    "identify_confusion.svg": confusion_figure,
    "identify_reliability.svg": reliability_figure,
    "identify_probes.svg": probes_figure,
    "identify_conditions.svg": conditions_figure,
    "identify_novelty.svg": novelty_figure,
}
"""File -> what draws it."""
