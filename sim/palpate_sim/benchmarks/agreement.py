"""`agreement`: the batched cell's features beside those from raw windows, for the same parts, places and actions.

Each part is probed through pictures, 1 kHz streams and `encoders.features.extract`, and again by the functions of
`palpate_sim.batch`. Both have noise of their own, so that single values differ; their distributions should not.

    print(format_table(column_rows(compare(200, seed=1))))
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palpate_agents.benchmarks.spectra import interval_over_objects
from palpate_agents.encoders.features import FeatureConfig, feature_names
from palpate_agents.encoders.reflectance import LEVEL_NAMES
from palpate_agents.observation import Modality, Primitive
from palpate_sim.benchmarks.paired_probes import PairedProbes
from palpate_sim.library import PartLibrary
from palpate_sim.training.generate import SEQUENCE, WindowMaker

Array = NDArray[np.floating]

CHUNK = 50
FOLDS, TREES = 5, 60
MIN_ROWS = 12
"""Fewer values on either side tell nothing."""
SPECTRAL_STEP = 8
"""Channels that the classifier and the table look at: every eighth, beside the levels."""
_CLOSE_LOOK = SEQUENCE.index((Primitive.LOOK, 0), 1)
_LAST_LOOK = len(SEQUENCE) - 1
PROBES: dict[str, tuple[int, Modality]] = {
    "tap": (SEQUENCE.index((Primitive.TAP, 0)), Modality.TACTILE),
    "press": (SEQUENCE.index((Primitive.PRESS, 0)), Modality.TACTILE),
    "slide": (SEQUENCE.index((Primitive.SLIDE, 0)), Modality.TACTILE),
    "lift": (SEQUENCE.index((Primitive.LIFT, 0)), Modality.TACTILE),
    "dwell_hot": (SEQUENCE.index((Primitive.DWELL, 1)), Modality.THERMAL),
    "dwell_warm": (SEQUENCE.index((Primitive.DWELL, 0)), Modality.THERMAL),
    "thermal_look": (0, Modality.THERMAL),
    "vision": (0, Modality.VISUAL),
    "vision_scratched": (_LAST_LOOK, Modality.VISUAL),
    "nir": (_CLOSE_LOOK, Modality.SPECTRAL),
    "nir_wiped": (_CLOSE_LOOK + 2, Modality.SPECTRAL),
    "nir_scratched": (_LAST_LOOK, Modality.SPECTRAL),
}
"""Place in the generator's sequence, and what is compared."""


@dataclass(frozen=True)
class Pair:
    """One probe of n parts, done both ways.

    Attributes:
        names: (F,) columns.
        part: (n,) number of the part.
        raw, batched, again: (n, F) features; `again` is batched with other noise.
        raw_reliability, batched_reliability: (n,).
    """

    names: tuple[str, ...]
    part: NDArray[np.int64]
    raw: Array
    batched: Array
    again: Array
    raw_reliability: Array
    batched_reliability: Array


@dataclass(frozen=True)
class ColumnRow:
    """Agreement of one column.

    Attributes:
        probe, name: which.
        count: parts measured both ways.
        missing_raw, missing_batched: share of parts in which only that side has no value.
        shift: median of batched less raw, over the spread between parts.
        scatter: spread of batched less raw, over the spread between parts; twice batched alone in `own_scatter`.
        statistic, p: of the two-sample test of Kolmogorov and Smirnov.
    """

    probe: str
    name: str
    count: int
    missing_raw: float
    missing_batched: float
    shift: float
    scatter: float
    own_scatter: float
    statistic: float
    p: float


def compare(
    parts: int, seed: int, library: PartLibrary | None = None, maker: WindowMaker | None = None,
    progress: Callable[[int, int], None] | None = None, mix: str = "mix",
) -> dict[str, Pair]:  # fmt: skip
    """Probes the same parts both ways.

    Args:
        parts: how many.
        seed: of a data set of the generator.
        library: geometry; the whole one unless given.
        maker: of raw windows; a new one unless given.
        progress: called with parts done and parts in all.
        mix: shares of conditions.
    """
    own = maker is None
    maker = maker or WindowMaker()
    library = library or PartLibrary.load_or_build()
    done = []
    try:
        for first in range(0, parts, CHUNK):
            count = min(CHUNK, parts - first)
            probed = maker.probe(seed, first, count, mix, settled=True)
            done.append(PairedProbes.of(probed, maker.geometry, library, first, seed).pairs(PROBES))
            if progress is not None:
                progress(first + count, parts)
    finally:
        if own:
            maker.close()
    names = feature_names(FeatureConfig())
    pairs = {}
    for probe, (_, modality) in PROBES.items():
        joined = [np.concatenate([chunk[probe][k] for chunk in done]) for k in range(6)]
        pairs[probe] = Pair(names[modality], *_looked_at(joined, probe, modality))
    return pairs


def _looked_at(joined: list[Array], probe: str, modality: Modality) -> tuple[Any, ...]:
    """Without parts that neither side measured."""
    part, raw, batched, again, raw_reliability, reliability = joined
    some = np.isfinite(raw).any(axis=1) | np.isfinite(batched).any(axis=1)
    return part[some].astype(np.int64), raw[some], batched[some], again[some], raw_reliability[some], reliability[some]


def column_rows(pairs: dict[str, Pair]) -> list[ColumnRow]:
    """Agreement of every column that at least one side measures; of spectra, the levels and every eighth channel."""
    rows = []
    for probe, pair in pairs.items():
        for k in columns_of(pair.names):
            raw, batched, again = pair.raw[:, k], pair.batched[:, k], pair.again[:, k]
            has_raw, has_batched = np.isfinite(raw), np.isfinite(batched)
            both = has_raw & has_batched
            if not (has_raw.any() or has_batched.any()):
                continue
            missing = float(np.mean(has_batched & ~has_raw)), float(np.mean(has_raw & ~has_batched))
            rows.append(ColumnRow(probe, pair.names[k], int(both.sum()), *missing, *_column(raw, batched, again, both)))
    return rows


def columns_of(names: Sequence[str]) -> list[int]:
    """Columns that are looked at: of spectra, the levels and every eighth channel."""
    if LEVEL_NAMES[0] not in names:
        return list(range(len(names)))
    return [*range(len(LEVEL_NAMES)), *range(len(LEVEL_NAMES), len(names), SPECTRAL_STEP)]


def _column(
    raw: Array, batched: Array, again: Array, both: NDArray[np.bool_]
) -> tuple[float, float, float, float, float]:
    if both.sum() < MIN_ROWS:
        return np.nan, np.nan, np.nan, np.nan, np.nan
    from scipy.stats import ks_2samp

    between = max(_spread(raw[both]), 1e-9)
    twice = both & np.isfinite(again)
    shift = float(np.median(batched[both] - raw[both])) / between
    test = ks_2samp(raw[both], batched[both], method="asymp")
    scatter = _spread(batched[both] - raw[both]) / between
    return shift, scatter, _spread(batched[twice] - again[twice]) / between, float(test.statistic), float(test.pvalue)


def _spread(values: Array) -> float:
    """Standard deviation of a normal distribution with the same quartiles, or the plain one where those are equal."""
    low, high = np.percentile(values, [25.0, 75.0])
    return float((high - low) / 1.349 if high > low else values.std())


def told_apart(pair: Pair, seed: int = 0, jobs: int = 1) -> NDArray[np.float64]:
    """(2 n,) 1 where a classifier tells raw from batched features of parts that it was not trained on.

    Args:
        pair: one probe.
        seed: of folds and trees.
        jobs: threads.
    """
    from sklearn.ensemble import ExtraTreesClassifier

    keep = columns_of(pair.names)
    table = np.nan_to_num(np.concatenate([pair.raw[:, keep], pair.batched[:, keep]]), nan=-1e3)
    label, part = np.repeat([0, 1], len(pair.part)), np.tile(pair.part, 2)
    fold = np.random.default_rng(seed).permutation(int(part.max()) + 1)[part] % FOLDS
    right = np.zeros(len(label))
    for k in range(FOLDS):
        # both of a part are in the same fold: its twin in the training set would give the answer away
        model = ExtraTreesClassifier(TREES, min_samples_leaf=3, random_state=seed, n_jobs=jobs)
        model.fit(table[fold != k], label[fold != k])
        right[fold == k] = model.predict(table[fold == k]) == label[fold == k]
    return right


def agreement(
    parts: int = 200, seed: int = 1, progress: Callable[[int, int], None] | None = None,
    library: PartLibrary | None = None, maker: WindowMaker | None = None, jobs: int = 1,
) -> dict[str, dict[str, float | int]]:  # fmt: skip
    """How alike raw windows and batched features are.

    Args:
        parts: how many.
        seed: of the data set.
        progress: called with parts done and parts in all.
        library: geometry; the whole one unless given.
        maker: of raw windows; a new one unless given.
        jobs: threads of the classifier.

    Returns:
        `<probe>_told_apart` (accuracy of a classifier, 0.5 = the same) with a bootstrap interval over parts, and
        `<probe>_largest_shift` (over the spread between parts) with that column's interval.
    """
    return metrics_of(compare(parts, seed, library, maker, progress), seed, jobs)


def metrics_of(pairs: dict[str, Pair], seed: int = 0, jobs: int = 1) -> dict[str, dict[str, float | int]]:
    """The metrics of `agreement` from pairs."""
    metrics: dict[str, dict[str, float | int]] = {}
    rows = column_rows(pairs)
    for probe, pair in pairs.items():
        if len(pair.part) < MIN_ROWS:
            continue
        right = told_apart(pair, seed, jobs)
        metrics[f"{probe}_told_apart"] = interval_over_objects(right, np.tile(pair.part, 2).astype(str), seed=seed)
        mine = [row for row in rows if row.probe == probe and np.isfinite(row.shift)]
        if mine:
            worst = max(mine, key=lambda row: abs(row.shift))
            metrics[f"{probe}_largest_shift"] = _shift_interval(pair, pair.names.index(worst.name), seed)
    return metrics


def _shift_interval(pair: Pair, column: int, seed: int) -> dict[str, float | int]:
    difference = pair.batched[:, column] - pair.raw[:, column]
    raw = pair.raw[np.isfinite(difference), column]
    difference = difference[np.isfinite(difference)] / max(_spread(raw), 1e-9)
    drawn = np.random.default_rng(seed).integers(0, len(difference), (1000, len(difference)))
    low, high = np.percentile(np.median(difference[drawn], axis=1), [2.5, 97.5])
    value = float(np.median(difference))
    return {"value": round(value, 4), "low": round(low, 4), "high": round(high, 4), "n": len(difference)}


def format_table(rows: list[ColumnRow], metrics: dict[str, Any] | None = None) -> str:
    """Text: one line per column."""
    lines = [
        f"{'probe':17} {'column':34} {'n':>4} {'only b':>6} {'only r':>6} {'shift':>7} {'scatter':>7} {'own':>7} "
        f"{'KS':>5} {'p':>7}"
    ]
    for row in rows:
        lines.append(
            f"{row.probe:17} {row.name:34} {row.count:4d} {row.missing_raw:6.2f} {row.missing_batched:6.2f} "
            f"{row.shift:7.3f} {row.scatter:7.3f} {row.own_scatter:7.3f} {row.statistic:5.2f} {row.p:7.4f}"
        )
    for name, metric in (metrics or {}).items():
        lines.append(f"{name:34} {metric['value']:7.3f} [{metric['low']:.3f}, {metric['high']:.3f}] n {metric['n']}")
    return "\n".join(lines)
