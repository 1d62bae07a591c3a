"""Tuning of the policy's rivals: the best fixed sequences and settings of the hand-written rule.

A beam over beginnings of sequences, completed with the end of the best one so far, then changes of one item at a time.
Every candidate is run on the same parts: first on some of them, and on all if it is not worse there. What counts is the
reward that the policy is trained on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palpate_agents.probing.items import ItemStrategy
from palpate_agents.probing.menu import MENU, NAMES
from palpate_agents.probing.rivals import GROUPS, FixedItems, HandRule, RuleSettings, visible_groups
from palpate_sim.probing_runs import Ground, characterise
from palpate_sim.training.learner import PerceptionTraining
from palpate_sim.training.perception import LATER_LOTS, outline_split

Say = Callable[[str], None]
Sequence = tuple[str, ...]

START: Sequence = ("look", "tap", "hot", "lift")
LONGEST = 6
BEAM_DEPTH = 3
SPLIT_SEED = 1
"""Of the outlines: the split of the fusion model's training."""
SEED_STRIDE = 1_000_000
RULE_CHOICES: dict[str, tuple[Any, ...]] = {
    "bare": (0.0, 0.15, 0.3, 0.45, 0.6, 2.0),
    "black": (0.3, 0.5, 0.7, 0.9),
    "painted": (0.3, 0.5, 0.8),
    "wet": (0.3, 0.5, 0.8, 1.0),
    "look": (("look_far",), ("look",), (), ("look", "look_far")),
    "touch": (
        ("tap", "hot", "lift"), ("tap", "hot", "slide", "lift"), ("tap", "slide", "hot", "lift"),
        ("hot", "tap", "lift"),
        ("tap", "hot_long", "lift"), ("tap", "hot", "look", "lift"), ("tap_gentle", "hot_long", "look", "lift"),
        ("hot", "look", "tap", "warm", "lift"), ("tap", "slide", "hot", "look_far", "lift"), ("tap", "lift"),
    ),
    "blind": (
        ("tap", "hot", "slide", "lift"), ("tap", "slide", "hot_long", "lift"), ("tap", "hot_long", "slide", "lift"),
        ("hot", "tap", "slide", "lift"), ("tap", "slide", "hot", "lift"),
        ("tap", "slide", "hot_long", "hot_long", "lift"),
        ("slide", "tap", "hot_long", "lift"), ("tap", "press", "slide", "hot_long", "lift"), ("tap", "hot", "lift"),
    ),
    "after_scratch": (
        ("look_treated", "tap_treated", "hot_treated"), ("look_treated", "hot_treated", "tap_treated"),
        ("look_treated",), ("tap_treated", "look_treated", "hot_treated"), ("look_treated", "press_treated"),
    ),
    "scratch": ("scratch", "scratch_long"),
}  # fmt: skip


def training_outlines() -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Numbers of outlines that strategies are tuned on, and of those that only benchmarks see.

    The second were in no training of the fusion model either.
    """
    train, validation, test = outline_split(np.arange(64), PerceptionTraining(seed=SPLIT_SEED))
    return tuple(sorted(int(k) for k in (*train, *validation))), tuple(sorted(int(k) for k in test))


@dataclass(frozen=True)
class RivalTuning:
    """Settings.

    Attributes:
        seed: of the parts.
        parts: that a candidate is run on; few: of these first.
        budget: probes for each best sequence over all parts, and for the rule; a group's has a third of it.
        beam: beginnings that are kept.
    """

    seed: int = 1
    parts: int = 2000
    few: int = 500
    budget: int = 1_000_000
    beam: int = 3


class Pool:
    """Parts on which candidates are compared; the same for all of them.

    Attributes:
        spent: probes so far.
    """

    def __init__(self, ground: Ground, seeds: list[int], few: int) -> None:
        """Lays the parts in.

        Args:
            ground: what they are.
            seeds: one for each.
            few: that a candidate is run on first.
        """
        few = min(few, len(seeds))
        self._first, self._rest = seeds[:few], seeds[few:]
        self._cells = [ground.cells(len(part), 0) for part in (self._first, self._rest) if part]
        self.spent = 0

    def few(self, strategy: ItemStrategy) -> float:
        """Mean reward on the first parts."""
        return float(self._rewards(0, strategy).mean())

    def rewards(self, strategy: ItemStrategy) -> NDArray[np.float64]:
        """(N,) rewards of all parts."""
        return np.concatenate([self._rewards(k, strategy) for k in range(len(self._cells))])

    def _rewards(self, which: int, strategy: ItemStrategy) -> NDArray[np.float64]:
        runs = characterise(self._cells[which], strategy, (self._first, self._rest)[which])
        self.spent += runs.probes_spent
        return runs.reward


def best_sequence(pool: Pool, budget: int, beam: int, start: Sequence = START) -> tuple[Sequence, float]:
    """Searches until the budget of probes is spent or no change helps.

    Args:
        pool: of parts.
        budget: probes.
        beam: beginnings that are kept.
        start: sequence to begin with.

    Returns:
        the sequence, and its mean reward.
    """
    limit = pool.spent + budget
    known: dict[Sequence, float] = {}

    def few(sequence: Sequence) -> float:
        if sequence not in known:
            known[sequence] = pool.few(FixedItems(sequence))
        return known[sequence]

    best = start
    beginnings: list[Sequence] = [()]
    for _ in range(BEAM_DEPTH):
        found: dict[Sequence, float] = {}
        for beginning in beginnings:
            for name in NAMES:
                longer = (*beginning, name)
                # The beam takes half of the budget at most.
                if _makes_sense(longer) and pool.spent < limit - budget // 2:
                    whole = _completed(longer, best)
                    found[longer] = few(whole)
                    best = max(best, whole, key=few)
        beginnings = sorted(found, key=lambda s: found[s], reverse=True)[:beam] or beginnings
    means: dict[Sequence, float] = {}

    def mean(sequence: Sequence) -> float:
        if sequence not in means:
            means[sequence] = float(pool.rewards(FixedItems(sequence)).mean())
        return means[sequence]

    here = best
    while pool.spent < limit:
        better = _climbed(here, few, mean, lambda: pool.spent >= limit)
        best = max((best, better), key=mean)
        left = [sequence for sequence in known if sequence not in means]
        if not left:
            break
        here = max(left, key=few)  # the next climb begins at the most promising one that was not run on all parts
    return best, mean(best)


def _climbed(
    start: Sequence, few: Callable[[Sequence], float], mean: Callable[[Sequence], float], spent: Callable[[], bool]
) -> Sequence:
    """Changes one item at a time as long as that helps."""
    best, improved = start, True
    while improved:
        improved = False
        for other in _changed(best):
            if spent():
                return best
            if few(other) >= few(best) and mean(other) > mean(best):
                best, improved = other, True
                break
    return best


def _makes_sense(sequence: Sequence) -> bool:
    """A treated spot is used after a treatment, and nothing is done with a part that is held."""
    treated = False
    for k, name in enumerate(sequence):
        if name.endswith("_treated") and not treated:
            return False
        treated |= name in ("wipe", "scratch", "scratch_long")
        if name == "lift" and k < len(sequence) - 1:
            return False
    return len(sequence) <= LONGEST


def _completed(beginning: Sequence, best: Sequence) -> Sequence:
    """With the items of the best sequence that it does not have yet."""
    if beginning[-1] == "lift":
        return beginning
    rest = tuple(name for name in best if name not in beginning)
    whole = beginning
    for name in rest:
        if _makes_sense((*whole, name)):
            whole = (*whole, name)
    return whole


def _changed(sequence: Sequence) -> Iterator[Sequence]:
    """One item replaced, put in, taken out, or changed with the next, in a fixed order."""
    length = len(sequence)
    several: list[Sequence] = []
    for k in range(length):
        several += [(*sequence[:k], name, *sequence[k + 1 :]) for name in NAMES if name != sequence[k]]
        several.append((*sequence[:k], *sequence[k + 1 :]))
        if k < length - 1:
            several.append((*sequence[:k], sequence[k + 1], sequence[k], *sequence[k + 2 :]))
    several += [(*sequence[:k], name, *sequence[k:]) for k in range(length + 1) for name in NAMES]
    return iter([s for s in dict.fromkeys(several) if s and _makes_sense(s)])


def best_rule(pools: Iterable[Pool], conditions: tuple[str, ...], budget: int) -> tuple[RuleSettings, float]:
    """One setting of the rule after the other, until no change helps or the budget is spent.

    Args:
        pools: of parts; the mean over them counts.
        conditions: names of the belief's.
        budget: probes.
    """
    several = list(pools)
    limit = sum(pool.spent for pool in several) + budget

    def value(settings: RuleSettings) -> float:
        return float(np.mean([pool.rewards(HandRule(conditions, settings)).mean() for pool in several]))

    best, reached = RuleSettings(), value(RuleSettings())
    improved = True
    while improved:
        improved = False
        for name, choices in RULE_CHOICES.items():
            for choice in choices:
                if sum(pool.spent for pool in several) >= limit:
                    return best, reached
                if choice == getattr(best, name):
                    continue
                other = replace(best, **{name: choice})
                mean = value(other)
                if mean > reached:
                    best, reached, improved = other, mean, True
    return best, reached


def group_seeds(ground: Ground, seeds: list[int]) -> list[list[int]]:
    """Seeds of parts that look alike at first, for each of GROUPS."""
    cells = ground.cells(len(seeds), 0)
    cells.reset(seed=seeds)
    group = visible_groups(cells.states, ground.conditions)
    return [[seeds[i] for i in np.flatnonzero(group == k)] for k in range(len(GROUPS))]


def tune_rivals(ground: Ground, settings: RivalTuning | None = None, progress: Say | None = None) -> dict[str, Any]:
    """Finds the best sequences and the best rule.

    Args:
        ground: models and rules; the parts have outlines and lots to train on.
        settings: None: the usual ones.
        progress: called with one line per finished search.

    Returns:
        content of `rivals.json`: `fixed` per mix, `condition` per group, `rule`, and how they were found.
    """
    used, say = settings or RivalTuning(), progress or (lambda _line: None)
    outlines, _ = training_outlines()
    grounds = {mix: ground.on(mix, outlines, (0, LATER_LOTS)) for mix in ("mix", "hard")}
    seeds = [used.seed * SEED_STRIDE + k for k in range(used.parts)]
    spent: dict[str, int] = {}
    fixed: dict[str, list[str]] = {}
    pools = {}
    for mix, here in grounds.items():
        pools[mix] = pool = Pool(here, seeds, used.few)
        sequence, value = best_sequence(pool, used.budget, used.beam)
        fixed[mix], spent[f"fixed_{mix}"] = list(sequence), pool.spent
        say(f"best sequence on {mix}: {', '.join(sequence)} (reward {value:.3f}, {pool.spent} probes)")
    condition: dict[str, list[str]] = {}
    for name, own in zip(GROUPS, group_seeds(grounds["hard"], seeds), strict=True):
        pool = Pool(grounds["hard"], own, used.few)
        sequence, value = best_sequence(pool, used.budget // 3, used.beam, tuple(fixed["hard"]))
        condition[name], spent[f"condition_{name}"] = list(sequence), pool.spent
        say(f"best sequence on parts that look {name}: {', '.join(sequence)} ({value:.3f}, {pool.spent} probes)")
    before = sum(pool.spent for pool in pools.values())
    rule, value = best_rule(pools.values(), ground.conditions, used.budget)
    spent["rule"] = sum(pool.spent for pool in pools.values()) - before
    say(f"best rule: reward {value:.3f}, {spent['rule']} probes")
    return {
        "menu": [item.name for item in MENU],
        "fixed": fixed,
        "condition": condition,
        "rule": asdict(rule),
        "training": {**asdict(used), "probes": spent, "outlines": list(outlines), "lots": [0, LATER_LOTS],
                     "model_sha256": str(ground.network.card.get("sha256", "")), "rules": asdict(ground.rules)},
    }  # fmt: skip
