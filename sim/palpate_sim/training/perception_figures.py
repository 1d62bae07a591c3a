"""Figures of a fusion model: accuracy per condition, number of probes and set of sensors, calibration, properties."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata
from torch import Tensor

from palpate_agents.benchmarks.spectra import expected_calibration_error
from palpate_agents.fusion import FusionOutput, MultimodalFusionNetwork, TokenBatch
from palpate_sim.training.learner import Targets

TWINS = (("brass", "Cu"), ("mild-steel", "SS304"), ("AlSi-cast", "Al6061"))
"""Pairs that no sensor of the cell can tell for sure (PHYSICS.md); merged in the 26-class figure."""
BOOTSTRAPS = 1000


@torch.inference_mode()
def forward(network: MultimodalFusionNetwork, batch: TokenBatch, rows: int = 1024) -> FusionOutput:
    """The network's output over many parts, in pieces, in evaluation mode."""
    network.eval()
    device = next(network.parameters()).device
    starts = range(0, len(batch), rows)
    pieces = [network(batch.rows(torch.arange(s, min(s + rows, len(batch)))).to(device)) for s in starts]
    joined = FusionOutput.joined(pieces)
    return FusionOutput(*(getattr(joined, f.name).cpu() for f in fields(joined)))


def bootstrap(correct: NDArray[np.bool_] | NDArray[np.floating], seed: int = 0) -> dict[str, float]:
    """Mean with a 95 % interval over parts."""
    correct = np.asarray(correct, np.float64)
    rng = np.random.default_rng(seed)
    means = [correct[rng.integers(0, len(correct), len(correct))].mean() for _ in range(BOOTSTRAPS)]
    low, high = np.percentile(means, [2.5, 97.5])
    return {"value": _short(correct.mean()), "low": _short(low), "high": _short(high), "n": len(correct)}


def figures(
    network: MultimodalFusionNetwork, batch: TokenBatch, targets: Targets, condition: NDArray[np.str_]
) -> dict[str, Any]:
    """All figures on parts that were not trained on.

    Args:
        network: calibrated.
        batch: N parts with all their probes, in the order done.
        targets: truth of parts that all have a label.
        condition: (N,) names.
    """
    labels, truth = network.config.labels, targets.label
    out = forward(network, batch)
    answer = out.log_probabilities.argmax(dim=1)
    right = (answer == truth).numpy()
    merged = torch.arange(len(labels))
    for first, second in TWINS:
        if first in labels and second in labels:
            merged[labels.index(second)] = labels.index(first)
    result: dict[str, Any] = {
        "mix": bootstrap(right),
        "mix_twins_merged": bootstrap((merged[answer] == merged[truth]).numpy()),
        "ece": _short(expected_calibration_error(_confidence(out), right)),
    }
    for name in np.unique(condition):
        result[str(name)] = bootstrap(right[condition == name])
    result["after_probes"] = _after_probes(network, batch, truth)
    modalities = list(network.config.modalities)
    result["only"] = {m: bootstrap(_right(network, batch.only([m]), truth)) for m in modalities}
    result["without"] = {
        m: bootstrap(_right(network, batch.only([k for k in modalities if k != m]), truth)) for m in modalities
    }
    result["properties"] = _properties(network, out, targets.properties)
    result["conditions"] = _conditions(network, out, targets.states)
    if network.novelty is not None:
        limit = torch.sigmoid(out.novelty_logit) > network.novelty_limit
        result["novelty_false_alarms"] = bootstrap(limit.numpy())
    result["confused"] = _confused(labels, truth, answer)
    return result


def _after_probes(network: MultimodalFusionNetwork, batch: TokenBatch, truth: Tensor) -> list[dict[str, float]]:
    """Accuracy and calibration after 0, 1, 2 ... probes in the order done."""
    rows = []
    for count in range(batch.primitive.shape[1] + 1):
        keep = (torch.arange(batch.primitive.shape[1]) < count).float().expand(batch.primitive.shape)
        out = forward(network, batch.masked(keep))
        right = (out.log_probabilities.argmax(dim=1) == truth).numpy()
        ece = _short(expected_calibration_error(_confidence(out), right))
        rows.append({"probes": count, "accuracy": _short(right.mean()), "ece": ece})
    return rows


def _properties(network: MultimodalFusionNetwork, out: FusionOutput, truth: Tensor) -> dict[str, dict[str, float]]:
    """Root mean square error, share inside 90 % intervals, and spread of the truth, per property."""
    result = {}
    for k, name in enumerate(network.config.properties):
        known = torch.isfinite(truth[:, k])
        if not bool(known.any()):
            continue
        error = (out.property_mean[known, k] - truth[known, k]).numpy()
        inside = np.abs(error) < 1.645 * out.property_std[known, k].numpy()
        result[name] = {
            "rmse": _short(np.sqrt(np.mean(error**2))),
            "median_error": _short(np.median(np.abs(error))),
            "coverage_90": _short(inside.mean()),
            "spread": _short(truth[known, k].numpy().std()),
        }
    return result


def _conditions(network: MultimodalFusionNetwork, out: FusionOutput, states: Tensor) -> dict[str, dict[str, float]]:
    """How often each condition is found where it holds, and named where it does not."""
    result = {}
    for k, name in enumerate(network.config.conditions):
        said, holds = (out.condition_logit[:, k] > 0.0).numpy(), (states[:, k] > 0.5).numpy()
        if holds.any() and not holds.all():
            result[name] = {"found": _short(said[holds].mean()), "false_alarms": _short(said[~holds].mean())}
    return result


def auroc(known: NDArray[np.floating], novel: NDArray[np.floating]) -> float:
    """Area under the receiver operating characteristic: chance that a novel part scores above a known one."""
    ranks = rankdata(np.concatenate([known, novel]))[len(known) :]
    return float((ranks.sum() - len(novel) * (len(novel) + 1) / 2) / (len(known) * len(novel)))


def _confused(labels: tuple[str, ...], truth: Tensor, answer: Tensor, count: int = 8) -> list[list[Any]]:
    """The most frequent confusions: [true, said, share of the true one's parts]."""
    table = np.zeros((len(labels), len(labels)))
    np.add.at(table, (truth.numpy(), answer.numpy()), 1.0)
    share = table / np.maximum(table.sum(axis=1, keepdims=True), 1.0)
    np.fill_diagonal(share, 0.0)
    order = np.argsort(-share, axis=None, kind="stable")[:count]
    pairs = [np.unravel_index(int(i), share.shape) for i in order]
    return [[labels[i], labels[j], _short(share[i, j])] for i, j in pairs if share[i, j] > 0]


def _right(network: MultimodalFusionNetwork, batch: TokenBatch, truth: Tensor) -> NDArray[np.bool_]:
    return (forward(network, batch).log_probabilities.argmax(dim=1) == truth).numpy()


def _confidence(out: FusionOutput) -> NDArray[np.floating]:
    return out.log_probabilities.exp().amax(dim=1).numpy()


def _short(value: float) -> float:
    return round(float(value), 4)
