"""`probing`: how soon and how surely parts are known, by the learnt policy and by its rivals, on the same parts.

All strategies have the same belief, stop rule and clock. Seconds count until the belief is sure, and the whole clock
where it never is. Since a hasty strategy could save seconds at the price of accuracy, the time saved is also given at
equal accuracy, where the stop rule of each is moved until both are right equally often.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palpate_agents.observation import MAX_PROBES
from palpate_agents.probing.items import ItemStrategy
from palpate_sim.objects import CONDITIONS
from palpate_sim.probing_cells import ProbingCells
from palpate_sim.probing_runs import Answers, Ground, PartRuns, characterise
from palpate_sim.training.perception import LATER_LOTS
from palpate_sim.training.rivals import training_outlines

Say = Callable[[str], None]
Floats = NDArray[np.float64]
Figure = dict[str, float | int]
Metrics = dict[str, Figure]
Maker = Callable[[ProbingCells, str], ItemStrategy]
"""Makes a strategy for cells and the name of a mix."""

MIXES = {"mix": "", "hard": "_hard"}
"""Mix -> what is added to the names of its metrics."""
ASKED_CONDITIONS = ("clean", "painted", "wet", "black")
OURS, ORACLE = "policy", "greedy_map"
FIXED, GREEDY = ("fixed",), ("greedy",)
NO_RIVALS = (OURS, ORACLE)
TEST_SEED = 7_700_000
"""Added to a seed for the parts that it is tested on."""
SURE = tuple(np.round(np.arange(0.85, 0.9701, 0.01), 2).tolist())
"""Stop rules whose accuracy and seconds are known for every strategy."""
EQUAL = 0.005
"""Accuracies that differ by no more count as equal."""
FORCE_LIMIT_N = 8.0
BOOTSTRAPS = 1000


@dataclass(frozen=True)
class Runs:
    """Of one strategy on one mix: all seeds one after the other.

    Attributes:
        answers: with the usual stop rule.
        sweep: stop rule -> accuracy and seconds, (N,) each.
        condition: (N,) true.
    """

    answers: Answers
    sweep: dict[float, tuple[Floats, Floats]]
    condition: NDArray[np.int64]

    @property
    def right(self) -> Floats:
        """(N,) 0 or 1."""
        return self.answers.right.astype(float)


def bench_probing(
    ground: Ground, strategies: Mapping[str, Maker], seeds: Sequence[int], parts: int = 1000,
    progress: Say | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Runs every strategy on the same new parts.

    Args:
        ground: models and rules.
        strategies: by name; `policy` is ours, `greedy_map` the reference that knows the map, all others are rivals.
        seeds: of the parts.
        parts: per seed and mix.
        progress: called with one line per finished strategy.

    Returns:
        content of the result file.
    """
    say = progress or (lambda _line: None)
    began = time.perf_counter()
    metrics: Metrics = {}
    baselines: dict[str, Metrics] = {name: {} for name in strategies if name != OURS}
    curves: dict[str, dict[str, list[list[float]]]] = {}
    for mix, suffix in MIXES.items():
        runs = {}
        for name, maker in strategies.items():
            runs[name] = one = run_strategy(ground, maker, mix, seeds, parts)
            ours = metrics if name == OURS else baselines[name]
            ours |= figures(one, suffix)
            say(
                f"{mix}: {name} accuracy {one.right.mean():.3f}, {one.answers.seconds.mean():.2f} s, "
                f"{one.answers.probes.mean():.2f} probes"
            )
        curves[mix] = {name: curve(one) for name, one in runs.items()}
        if OURS in runs:
            metrics |= comparisons(runs, suffix)
    for name in (OURS, "greedy", "greedy_macros"):
        if name in strategies:
            found = {"decision_ms": decision_ms(ground, strategies[name])}
            (metrics if name == OURS else baselines[name]).update(found)
    return {
        "benchmark": "probing", "seeds": list(seeds), "parts": parts, "metrics": metrics, "baselines": baselines,
        "curves": curves, "rules": vars(ground.rules), "wall_s": round(time.perf_counter() - began, 1),
    }  # fmt: skip


def run_strategy(ground: Ground, maker: Maker, mix: str, seeds: Sequence[int], parts: int) -> Runs:
    """One strategy on new parts: outlines, seeds and devices that no strategy and no model was trained on."""
    _, outlines = training_outlines()
    strictest = replace(ground.rules, sure=max(ground.rules.sure, *SURE))
    here = replace(ground.on(mix, outlines, (0, LATER_LOTS)), rules=strictest)
    several: list[PartRuns] = []
    for seed in seeds:
        cells = here.cells(parts, TEST_SEED + seed)
        several.append(characterise(cells, maker(cells, mix)))
    usual = [one.at(ground.rules.sure) for one in several]
    sweep = {}
    for sure in SURE:
        answers = [one.at(sure) for one in several]
        sweep[sure] = (
            np.concatenate([a.right for a in answers]).astype(float), np.concatenate([a.seconds for a in answers]),
        )  # fmt: skip
    together = Answers(*(np.concatenate([getattr(a, name) for a in usual]) for name in vars(usual[0])))
    return Runs(together, sweep, np.concatenate([one.condition for one in several]))


def figures(runs: Runs, suffix: str) -> Metrics:
    """Of one strategy on one mix, and on each condition in it."""
    answers, found = runs.answers, {}
    rows_of = {"": np.arange(len(runs.condition))}
    rows_of |= {f"_{name}": np.flatnonzero(runs.condition == CONDITIONS.index(name)) for name in ASKED_CONDITIONS}
    for word, rows in rows_of.items():
        if not len(rows):
            continue
        found[f"accuracy{word}{suffix}"] = mean_of(runs.right[rows])
        found[f"seconds_mean{word}{suffix}"] = mean_of(answers.seconds[rows])
        found[f"probes_mean{word}{suffix}"] = mean_of(answers.probes[rows].astype(float))
    found[f"sure{suffix}"] = mean_of(answers.sure.astype(float))
    found[f"damage_rate{suffix}"] = mean_of((answers.damage > 0.0).astype(float))
    violations = int((answers.force_n > FORCE_LIMIT_N).sum())
    found[f"force_violations{suffix}"] = {
        "value": violations, "low": violations, "high": violations, "n": int((answers.probes - 1).sum()),
    }  # fmt: skip
    found[f"most_probes{suffix}"] = mean_of((answers.probes >= MAX_PROBES).astype(float))
    return found


def comparisons(runs: Mapping[str, Runs], suffix: str) -> Metrics:
    """Time that ours saves against each rival; the best rival is the fastest that is about as accurate."""
    ours = runs[OURS]
    rivals = [name for name in runs if name not in NO_RIVALS]
    found: Metrics = {}
    for name in rivals:
        found |= _against(ours, runs[name], f"vs_{name}", suffix)
    for word, names in (("best_fixed", FIXED), ("greedy", GREEDY), ("best_rival", rivals)):
        known = [name for name in names if name in runs]
        if known and word not in rivals:
            best = min(known, key=lambda name: equal_seconds(ours, runs[name])[1])
            found |= _against(ours, runs[best], f"vs_{word}", suffix)
    if ORACLE in runs:
        found[f"time_over_oracle{suffix}"] = ratio_of(runs[ORACLE].answers.seconds, ours.answers.seconds, over=True)
    return found


def _against(ours: Runs, other: Runs, word: str, suffix: str) -> Metrics:
    one, two = equal_answers(ours, other)
    return {
        f"time_saved_{word}{suffix}": ratio_of(other.answers.seconds, ours.answers.seconds),
        f"accuracy_{word}{suffix}": mean_of(ours.right - other.right),
        f"time_saved_equal_{word}{suffix}": ratio_of(two, one),
    }


def equal_answers(ours: Runs, other: Runs) -> tuple[Floats, Floats]:
    """(N,) seconds of both at equal accuracy.

    The stop rule of the less accurate is made stricter, or, where that is not enough, that of the more accurate laxer.
    Accuracies that hardly differ are left as they are.
    """
    difference = float(ours.right.mean() - other.right.mean())
    if abs(difference) <= EQUAL:
        return ours.answers.seconds, other.answers.seconds
    worse, better = (other, ours) if difference > 0.0 else (ours, other)
    wanted = float(better.right.mean())
    reachable = max(float(right.mean()) for right, _ in worse.sweep.values())
    one, two = better.answers.seconds, worse.answers.seconds
    if reachable >= wanted:
        two = seconds_at(worse, wanted)
    else:
        two, one = seconds_at(worse, reachable), seconds_at(better, reachable)
    return (two, one) if difference < 0.0 else (one, two)


def equal_seconds(ours: Runs, other: Runs) -> tuple[float, float]:
    """Means of `equal_answers`; the other's in units in which ours has its usual seconds."""
    one, two = equal_answers(ours, other)
    usual = float(ours.answers.seconds.mean())
    return usual, float(two.mean()) * usual / float(one.mean())


def seconds_at(runs: Runs, accuracy: float) -> Floats:
    """(N,) seconds with the stop rule that reaches an accuracy, between the two that enclose it.

    Where even the laxest rule is more accurate its seconds count, where the strictest is not its own.
    """
    accuracies = np.maximum.accumulate([float(runs.sweep[sure][0].mean()) for sure in SURE])
    above = int(np.searchsorted(accuracies, accuracy - 1e-12))
    if above == 0:
        return runs.sweep[SURE[0]][1]
    if above == len(SURE):
        return runs.sweep[SURE[-1]][1]
    low, high = accuracies[above - 1], accuracies[above]
    share = (accuracy - low) / (high - low) if high > low else 1.0
    return (1.0 - share) * runs.sweep[SURE[above - 1]][1] + share * runs.sweep[SURE[above]][1]


def curve(runs: Runs) -> list[list[float]]:
    """[stop rule, seconds, accuracy] of the sweep."""
    return [
        [sure, round(float(seconds.mean()), 4), round(float(right.mean()), 4)]
        for sure, (right, seconds) in runs.sweep.items()
    ]


def mean_of(values: Floats) -> Figure:
    """Mean of (N,) values with a 95 % bootstrap interval over parts."""
    return _figure(float(values.mean()), _weights(len(values)) @ values, len(values))


def ratio_of(rival: Floats, ours: Floats, *, over: bool = False) -> Figure:
    """Share of a rival's mean seconds that ours saves, or takes over them; paired bootstrap over parts."""
    sign, weights = -1.0 if over else 1.0, _weights(len(ours))
    value = sign * float(1.0 - ours.mean() / rival.mean())
    return _figure(value, sign * (1.0 - (weights @ ours) / (weights @ rival)), len(ours))


@lru_cache(maxsize=4)
def _weights(count: int) -> Floats:
    """(B, N) how much each part counts in each draw of the bootstrap."""
    rng = np.random.default_rng(0)
    return np.stack([np.bincount(rng.integers(0, count, count), minlength=count) / count for _ in range(BOOTSTRAPS)])


def _figure(value: float, drawn: Floats, count: int) -> Figure:
    low, high = np.percentile(drawn, [2.5, 97.5])
    return {"value": round(value, 4), "low": round(float(low), 4), "high": round(float(high), 4), "n": count}


def decision_ms(ground: Ground, maker: Maker, times: int = 200) -> Figure:
    """Median and spread (95 %) of the time from the state of one part to its item, one thread."""
    cells = ground.cells(1, TEST_SEED)
    strategy = maker(cells, "mix")
    strategy.choose(cells.options)
    taken = []
    for _ in range(times):
        begin = time.perf_counter()
        strategy.choose(cells.options)
        taken.append(1e3 * (time.perf_counter() - begin))
    low, middle, high = np.percentile(taken, [2.5, 50.0, 97.5])
    return {"value": round(float(middle), 4), "low": round(float(low), 4), "high": round(float(high), 4), "n": times}
