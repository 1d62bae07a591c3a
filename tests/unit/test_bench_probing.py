"""Figures of `bench probing`: clocks, stop rules, and what time saved means."""

import numpy as np
import pytest

from palpate_agents.model_io import load_model, load_surface_reader
from palpate_agents.probing.rivals import FixedItems, RandomItems
from palpate_sim.benchmarks.probing import SURE, Runs, bench_probing, equal_answers, ratio_of, seconds_at
from palpate_sim.library import PartLibrary
from palpate_sim.probing_cells import ProbingRules
from palpate_sim.probing_runs import Answers, Ground, PartRuns


def runs(confidence, clock, right, over=None):
    confidence, clock, right = (np.array(values, float) for values in (confidence, clock, right))
    nothing = np.zeros_like(clock)
    return PartRuns(
        clock, confidence, right > 0.5, nothing > 1 if over is None else np.array(over, bool), nothing, nothing,
        np.zeros(clock.shape[1]), np.zeros(clock.shape[1], int), np.zeros(clock.shape[1], int), ProbingRules(sure=0.97),
        0,
    )  # fmt: skip


def test_seconds_count_until_sure_and_to_the_deadline_where_never():
    one = runs([[0.99, 0.1], [0.93, 0.5], [0.98, 0.6]], [[0.25, 0.25], [3.0, 4.0], [6.0, 9.0]], np.ones((3, 2)))
    answers = one.at(0.9)
    assert answers.seconds == pytest.approx([3.0, 20.0])  # nobody stops before the first probe
    assert answers.sure.tolist() == [True, False]
    assert one.at(0.95).seconds == pytest.approx([6.0, 20.0])
    with pytest.raises(ValueError, match="stricter"):
        one.at(0.99)


def strategy(seconds, right, sweep=None):
    n = len(seconds)
    seconds, right = np.array(seconds, float), np.array(right, float)
    nothing = np.zeros(n)
    answers = Answers(right > 0.5, right > 0.5, seconds, np.ones(n, int), nothing, nothing)
    return Runs(answers, sweep or dict.fromkeys(SURE, (right, seconds)), np.zeros(n, int))


def test_time_saved_is_a_share_of_the_rivals():
    figure = ratio_of(np.full(200, 10.0), np.full(200, 7.0))
    assert figure["value"] == pytest.approx(0.3)
    assert figure["low"] == figure["high"] == pytest.approx(0.3)
    assert ratio_of(np.full(50, 10.0), np.full(50, 11.0), over=True)["value"] == pytest.approx(0.1)


def test_haste_at_the_price_of_accuracy_gains_nothing():
    """Ours is faster and less accurate; at equal accuracy it takes longer."""
    right = np.arange(100) < 90
    sweep = {sure: (np.arange(100) < 80 + 10 * k, np.full(100, 4.0 + 2.0 * k)) for k, sure in enumerate(SURE[:3])}
    sweep |= dict.fromkeys(SURE[3:], sweep[SURE[2]])
    sweep = {sure: (values[0].astype(float), values[1]) for sure, values in sweep.items()}
    ours = strategy(np.full(100, 4.0), np.arange(100) < 80, sweep)
    other = strategy(np.full(100, 5.0), right)
    one, two = equal_answers(ours, other)
    assert one.mean() == pytest.approx(6.0)
    assert two.mean() == pytest.approx(5.0)
    assert seconds_at(ours, 0.85).mean() == pytest.approx(5.0)


def test_the_whole_benchmark_on_a_few_parts():
    ground = Ground.of(PartLibrary.load_or_build(), load_surface_reader())
    strategies = {
        "policy": lambda _c, _m: FixedItems(["look_far", "tap", "hot"]), "random": lambda _c, _m: RandomItems(),
        "fixed": lambda _c, _m: FixedItems(["press", "slide"]),
    }  # fmt: skip
    result = bench_probing(ground, strategies, [0], 40)
    metrics = result["metrics"]
    for mix in ("", "_hard"):
        assert metrics[f"seconds_mean{mix}"]["value"] < result["baselines"]["fixed"][f"seconds_mean{mix}"]["value"]
        assert metrics[f"time_saved_vs_best_fixed{mix}"]["value"] > 0.0
        assert metrics[f"force_violations{mix}"]["value"] == 0
        assert 0.0 <= metrics[f"accuracy{mix}"]["low"] <= metrics[f"accuracy{mix}"]["high"] <= 1.0
    assert load_model("cell29").hash == ground.network.hash
    assert metrics["decision_ms"]["value"] > 0.0
