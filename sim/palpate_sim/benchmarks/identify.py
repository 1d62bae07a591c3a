"""`identify`: how often the fused belief names the material, per condition, sensor set and device, beside its rivals.

Every network is trained on the same parts; the ceiling is told the true condition and has twice as many. Test parts
have seeds, devices and outlines of their own; later lots, shifted spectrometers and formulations that are in no
training set are told apart. Intervals are over parts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from palpate_agents.benchmarks.spectra import expected_calibration_error, interval_over_objects
from palpate_agents.fusion import FusionOutput, TokenBatch
from palpate_agents.fusion_config import SENSES
from palpate_agents.materials import MATERIALS
from palpate_sim.benchmarks.concatenation import concatenated
from palpate_sim.benchmarks.identify_models import SPECS, Models, committed_model, training_set
from palpate_sim.library import PartLibrary
from palpate_sim.objects import FORMULATIONS
from palpate_sim.randomisation import LOTS
from palpate_sim.training.batched import PROBES, Draw, generate_batched
from palpate_sim.training.learner import PerceptionTraining
from palpate_sim.training.perception import LATER_LOTS, targets_of, tokens
from palpate_sim.training.perception_data import PerceptionData
from palpate_sim.training.perception_figures import auroc, forward

TEST_SEED = 10_000
"""Added to a seed for the parts that it is tested on."""
CONDITIONS = ("mix", "clean", "black", "wet", "painted", "aged")
NICKNAMES = {"visual": "vision", "tactile": "tactile", "spectral": "spectral", "thermal": "thermal"}
SHIFTS = {"shifted_8nm": (8.0, -8.0), "shifted_12nm": (12.0, -12.0)}
"""Training has up to 10 nm either way."""
RELIABILITY_BINS = 12

Say = Callable[[str], None]
Metrics = dict[str, dict[str, float | int]]
Array = NDArray[np.floating]


@dataclass(frozen=True)
class Answer:
    """Of one network on one set of parts.

    Attributes:
        label: (N,) most probable class; confidence: (N,) its probability; right: (N,) 0 or 1.
        out: everything it said.
    """

    label: NDArray[np.int64]
    confidence: Array
    right: Array
    out: FusionOutput


def bench_identify(
    library: PartLibrary, seeds: Sequence[int], parts: int = 170_000, test_parts: int = 3000,
    folder: Path | None = None, jobs: int = 2, committed: str | Path | None = None, epochs: int = 0,
    progress: Say | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Trains all networks and measures them.

    Args:
        library: geometry of the parts.
        seeds: one training of everything each; figures are over the test parts of all.
        parts: known parts that are drawn for training, before the outlines and lots that are held out are taken off.
        test_parts: of each test set.
        folder: keeps parts and trained networks, so that an interrupted run goes on.
        jobs: processes and threads.
        committed: model that counts as ours (trained with the first seed); None: it is trained here.
        epochs: at most; 0: the default.
        progress: called with one line per finished step.

    Returns:
        content of the result file, with what its pictures need under `pictures`.
    """
    say = progress or (lambda _line: None)
    began = time.perf_counter()
    # Before the parts are probed: a model that does not fit must not be found out after minutes.
    ours = None if committed is None else committed_model(committed, seeds[0])
    runs = []
    for seed in seeds:
        settings = PerceptionTraining(seed=seed, **({"epochs": epochs} if epochs else {}))
        training = training_set(library, seed, parts, folder, jobs, say)
        models = Models(training, settings, folder, ours if seed == seeds[0] else None, say)
        tests = test_sets(library, TEST_SEED + seed, training.test_outlines, test_parts)
        runs.append(_Run(models, tests, jobs, say))
    metrics, baselines = _figures(runs)
    return {
        "benchmark": "identify",
        "seeds": list(seeds),
        "training_parts": len(runs[0].models.rows(SPECS[1])[0]),
        "metrics": metrics,
        "baselines": baselines,
        "pictures": _pictures(runs),
        "wall_s": round(time.perf_counter() - began, 1),
    }


def test_sets(library: PartLibrary, seed: int, outlines: tuple[int, ...], count: int) -> dict[str, PerceptionData]:
    """Parts with outlines that nobody was trained on: the mix, each condition, other devices, later lots, unknowns."""
    early = (0, LATER_LOTS)
    draws: dict[str, tuple[Draw, ...]] = {
        name: (Draw(condition=None if name == "mix" else name, lots=early),) for name in CONDITIONS
    }
    draws |= {name: tuple(Draw(shift_nm=shift, lots=early) for shift in pair) for name, pair in SHIFTS.items()}
    draws["new_lots"] = (Draw(lots=(LATER_LOTS, LOTS)),)
    draws["formulations"] = (Draw(formulations="named", lots=early),)
    sets, first = {}, 0
    for name, several in draws.items():
        pieces = []
        for draw in several:
            part = Draw(**{**vars(draw), "outlines": outlines, "inductive": True, "first": first})
            pieces.append(generate_batched(count // len(several), seed, library, part))
            first += count
        sets[name] = PerceptionData.concatenate(pieces)
    return sets


class _Run:
    """Answers of all networks trained with one seed."""

    def __init__(self, models: Models, tests: dict[str, PerceptionData], jobs: int, say: Say) -> None:
        self.models, self.tests = models, tests
        self.answers: dict[str, dict[str, Answer]] = {}
        for spec in SPECS:
            network = models.get(spec)
            self.answers[spec.name] = {
                name: self._answer(network, models.view(spec, data), data) for name, data in tests.items()
            }
            say(f"{spec.name}: " + ", ".join(f"{k} {v.right.mean():.3f}" for k, v in self.answers[spec.name].items()))
        ours, network = SPECS[0], models.get(SPECS[0])
        mix = tests["mix"]
        batch = models.view(ours, mix)
        for m in SENSES:
            self.answers[f"only_{m}"] = {"mix": self._answer(network, batch.only([m]), mix)}
            rest = [k for k in SENSES if k != m]
            self.answers[f"dead_{m}"] = {"mix": self._answer(network, batch.only(rest), mix)}
        self.after = []
        for count in range(PROBES + 1):
            keep = (torch.arange(PROBES) < count).float().expand(batch.primitive.shape)
            self.after.append(self._answer(network, batch.masked(keep), mix))
        self.trees = self._trees(jobs, say)

    def _answer(self, network: Any, batch: TokenBatch, data: PerceptionData) -> Answer:
        out = forward(network, batch)
        label = out.log_probabilities.argmax(dim=1).numpy()
        truth = np.array([MATERIALS.index(name) if name in MATERIALS else -1 for name in data.material])
        confidence = out.log_probabilities.exp().amax(dim=1).numpy()
        return Answer(label, confidence, (label == truth).astype(float), out)

    def _trees(self, jobs: int, say: Say) -> dict[str, Array]:
        """Extra trees on the concatenated columns of the same training parts."""
        from sklearn.ensemble import ExtraTreesClassifier

        spec = SPECS[1]
        rows, _ = self.models.rows(spec)
        data = self.models.training.data
        table = _columns(data.rows(rows.numpy()))
        label = targets_of(data, MATERIALS).label[rows].numpy()
        forest = ExtraTreesClassifier(200, random_state=self.models.settings.seed, n_jobs=jobs).fit(table, label)
        right = {}
        for name, test in self.tests.items():
            answer = np.array(MATERIALS)[forest.predict(_columns(test))]
            right[name] = (answer == test.material).astype(float)
        say("extra_trees: " + ", ".join(f"{k} {v.mean():.3f}" for k, v in right.items()))
        return right


def _columns(data: PerceptionData) -> NDArray[np.float32]:
    """(N, F) concatenated columns; far below every value where nothing was measured, so that trees can split on it."""
    table = concatenated(tokens(data, SENSES), SENSES).numpy()
    return np.where(np.isfinite(table), table, np.float32(-1e3))


def _figures(runs: list[_Run]) -> tuple[Metrics, dict[str, Metrics]]:
    def over(pick: Callable[[_Run], Array]) -> dict[str, float | int]:
        values = np.concatenate([pick(run) for run in runs])
        return interval_over_objects(values, np.arange(len(values)).astype(str))

    def right(who: str, name: str) -> Callable[[_Run], Array]:
        return lambda run: run.trees[name] if who == "extra_trees" else run.answers[who][name].right

    named = (*CONDITIONS, *SHIFTS, "new_lots")
    metrics: Metrics = {name: over(right("palpate", name)) for name in named}
    opaque = over(lambda run: right("palpate", "painted")(run)[run.tests["painted"].opaque])
    metrics["painted_opaque"] = opaque
    for m in SENSES:
        metrics[f"{NICKNAMES[m]}_only"] = over(right(f"only_{m}", "mix"))
        metrics[f"{NICKNAMES[m]}_dead"] = over(right(f"dead_{m}", "mix"))
        metrics[f"{NICKNAMES[m]}_dead_drop"] = over(_minus(right(f"without_{m}", "mix"), right(f"dead_{m}", "mix")))
    worst = max((metrics[f"{NICKNAMES[m]}_dead_drop"] for m in SENSES), key=lambda figure: figure["value"])
    metrics["worst_sensor_dead_drop"] = worst
    for name in ("mix", "clean", "shifted_8nm", "shifted_12nm", "new_lots"):
        metrics["ece" if name == "mix" else f"ece_{name}"] = _calibration(runs, name)
    metrics["ece_shifted"] = metrics.pop("ece_shifted_8nm")
    metrics |= _novelty(runs)
    singles = [f"{m}_alone" for m in SENSES]
    best = {name: max(singles, key=lambda who: float(over(right(who, name))["value"])) for name in named}
    for name in named:
        metrics[f"fusion_minus_best_single_{name}"] = over(_minus(right("palpate", name), right(best[name], name)))
        metrics[f"ceiling_minus_fusion_{name}"] = over(_minus(right("ceiling", name), right("palpate", name)))
    for name in named:
        gain = _minus(right("palpate_inductive", name), right("tuned", name))
        metrics[f"inductive_gain_{name}"] = over(gain)
    metrics["shift_8nm_cost"] = {**_difference(metrics["mix"], metrics["shifted_8nm"])}
    metrics |= _details(runs, over)
    baselines = {
        who: {name: over(right(who, name)) for name in named}
        for who in ("ceiling", "concat", "gated_late", "extra_trees", *singles, "tuned", "palpate_inductive")
    }
    baselines["best_single"] = {name: over(right(best[name], name)) for name in named}
    baselines |= {f"without_{m}": {"mix": over(right(f"without_{m}", "mix"))} for m in SENSES}
    return metrics, baselines


def _minus(one: Callable[[_Run], Array], other: Callable[[_Run], Array]) -> Callable[[_Run], Array]:
    return lambda run: one(run) - other(run)


def _difference(one: dict[str, float | int], other: dict[str, float | int]) -> dict[str, float | int]:
    """Of two figures over different parts, intervals added as independent."""
    value = float(one["value"]) - float(other["value"])
    half = float(np.hypot(one["high"] - one["low"], other["high"] - other["low"])) / 2
    return {"value": round(value, 4), "low": round(value - half, 4), "high": round(value + half, 4), "n": one["n"]}


def _calibration(runs: list[_Run], name: str) -> dict[str, float | int]:
    """Expected calibration error with an interval over parts."""
    confidence = np.concatenate([run.answers["palpate"][name].confidence for run in runs])
    right = np.concatenate([run.answers["palpate"][name].right for run in runs]) > 0.5
    rng = np.random.default_rng(0)
    drawn = [rng.integers(0, len(right), len(right)) for _ in range(200)]
    errors = [expected_calibration_error(confidence[rows], right[rows]) for rows in drawn]
    low, high = np.percentile(errors, [2.5, 97.5])
    value = expected_calibration_error(confidence, right)
    return {"value": round(value, 4), "low": round(float(low), 4), "high": round(float(high), 4), "n": len(right)}


def _novelty(runs: list[_Run]) -> Metrics:
    """How well formulations that are in no training set are told from known parts."""

    def scores(name: str) -> Array:
        return np.concatenate([run.answers["palpate"][name].out.novelty_logit.numpy() for run in runs])

    def doubt(name: str) -> Array:
        return np.concatenate([1.0 - run.answers["palpate"][name].confidence for run in runs])

    known, novel = scores("mix"), scores("formulations")
    which = np.concatenate([run.tests["formulations"].material for run in runs])
    metrics: Metrics = {
        "ood_auroc": _area(known, novel),
        "ood_auroc_confidence": _area(doubt("mix"), doubt("formulations")),
    }
    for name in FORMULATIONS:
        metrics[f"ood_auroc_{name}"] = _area(known, novel[which == name])
    limit = [float(run.models.get(SPECS[0]).novelty_limit) for run in runs]
    for metric, name in (
        ("novel_found", "formulations"),
        ("novel_false_alarms", "mix"),
        ("novel_false_alarms_new_lots", "new_lots"),
    ):
        above = [
            (torch.sigmoid(run.answers["palpate"][name].out.novelty_logit) > most).numpy()
            for run, most in zip(runs, limit, strict=True)
        ]
        values = np.concatenate(above).astype(float)
        metrics[metric] = interval_over_objects(values, np.arange(len(values)).astype(str))
    return metrics


def _area(known: Array, novel: Array) -> dict[str, float | int]:
    """Area under the curve with an interval over parts."""
    rng = np.random.default_rng(0)
    areas = [auroc(rng.choice(known, len(known)), rng.choice(novel, len(novel))) for _ in range(200)]
    low, high = np.percentile(areas, [2.5, 97.5])
    value = auroc(known, novel)
    return {"value": round(value, 4), "low": round(float(low), 4), "high": round(float(high), 4), "n": len(novel)}


def _details(runs: list[_Run], over: Callable[[Callable[[_Run], Array]], dict[str, float | int]]) -> Metrics:
    """Accuracy over the number of probes, the share in blends, conditions found."""
    metrics: Metrics = {}
    for count in range(PROBES + 1):

        def after(run: _Run, count: int = count) -> Array:
            return run.after[count].right

        metrics[f"after_{count}_probes"] = over(after)
    network = runs[0].models.get(SPECS[0])
    names = network.config.properties

    def blend_error(run: _Run) -> Array:
        data, k = run.tests["mix"], names.index("blend_fraction")
        blends = data.properties[:, k] > 0.0
        return (
            100.0
            * np.abs(run.answers["palpate"]["mix"].out.property_mean[:, k].numpy() - data.properties[:, k])[blends]
        )

    if "blend_fraction" in names:
        metrics["blend_error_points"] = over(blend_error)
    for k, name in enumerate(network.config.conditions):

        def found(run: _Run, k: int = k, name: str = name) -> Array:
            data = run.tests[name]
            said = run.answers["palpate"][name].out.condition_logit[:, k].numpy() > 0.0
            return said[data.states[:, k] > 0.5].astype(float)

        metrics[f"{name}_found"] = over(found)
    return metrics


def _pictures(runs: list[_Run]) -> dict[str, Any]:
    """Confusion matrix, reliability diagram and curves, as numbers."""
    table = np.zeros((len(MATERIALS), len(MATERIALS)), int)
    confidence, right = [], []
    for run in runs:
        answer, data = run.answers["palpate"]["mix"], run.tests["mix"]
        truth = np.array([MATERIALS.index(name) for name in data.material])
        np.add.at(table, (truth, answer.label), 1)
        confidence.append(answer.confidence)
        right.append(answer.right)
    sure, hits = np.concatenate(confidence), np.concatenate(right)
    bins = np.array_split(np.argsort(sure, kind="stable"), RELIABILITY_BINS)
    return {
        "labels": list(MATERIALS),
        "confusion": table.tolist(),
        "reliability": [[round(float(sure[b].mean()), 4), round(float(hits[b].mean()), 4), len(b)] for b in bins],
    }
