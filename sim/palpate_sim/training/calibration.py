"""Calibration of a trained network on validation parts: temperatures, spreads, and what novelty is too much."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from palpate_agents.fusion import MultimodalFusionNetwork, TokenBatch
from palpate_sim.training.learner import Targets
from palpate_sim.training.perception_figures import forward

FALSE_ALARMS = 0.01
"""Share of known parts whose novelty may exceed the limit."""


@torch.no_grad()
def calibrate(network: MultimodalFusionNetwork, batch: TokenBatch, truth: Targets) -> None:
    """Sets temperature, scale of the property spreads, odds of conditions and novelty, and the novelty limit.

    Args:
        network: trained; changed in place.
        batch: validation parts as they will be met: with all and with some of their probes.
        truth: of them.
    """
    known = truth.known
    network.log_temperature.zero_()
    out = forward(network, batch)
    grid = torch.linspace(-1.0, 1.5, 101)
    logs, label = out.log_probabilities[known], truth.label[known]
    losses = [float(functional.nll_loss(functional.log_softmax(logs / t.exp(), dim=1), label)) for t in grid]
    network.log_temperature.fill_(float(grid[int(np.argmin(losses))]))
    if len(network.config.properties):
        errors = (truth.properties - out.property_mean) / out.property_std
        _scale_spreads(network, errors[known], truth.properties[known])
    for k in range(out.condition_logit.shape[1]):
        network.condition_temperature[k] *= _temperature(out.condition_logit[:, k], truth.states[:, k])
    if network.novelty is not None:
        _novelty(network, out.novelty_logit, known)


@torch.no_grad()
def calibrate_novelty(network: MultimodalFusionNetwork, batch: TokenBatch, known: Tensor) -> None:
    """Sets odds and limit of the novelty alone; arguments as of `calibrate`, (N,) bool whether a part is known."""
    _novelty(network, forward(network, batch).novelty_logit, known)


def _scale_spreads(network: MultimodalFusionNetwork, z: Tensor, truth: Tensor) -> None:
    # The median is not fooled by the few parts of another material that were confused.
    for k in range(z.shape[1]):
        there = torch.isfinite(z[:, k])
        values, counts = truth[there, k].unique(return_counts=True)
        if len(counts) and 2 * int(counts.max()) > int(there.sum()):  # of a blend's share: not what is no blend at all
            there &= truth[:, k] != values[counts.argmax()]
        if bool(there.any()):
            network.property_scale[k] *= max(float(z[there, k].abs().median()) / 0.6745, 1e-3)


def _temperature(logit: Tensor, truth: Tensor) -> float:
    """Of a binary answer: least loss on a grid."""
    grid = torch.linspace(-1.0, 1.5, 51).exp()
    losses = [float(functional.binary_cross_entropy_with_logits(logit / t, truth)) for t in grid]
    return float(grid[int(np.argmin(losses))])


def _novelty(network: MultimodalFusionNetwork, logit: Tensor, known: Tensor) -> None:
    """Odds as if every second part were novel, and the limit that few known parts exceed.

    How often new formulations come is not known, so no share of them is assumed beyond even odds.
    """
    if bool(known.all()):
        return
    weight = torch.where(known, 0.5 / known.float().mean(), 0.5 / (~known).float().mean())
    truth = (~known).float()
    best = (np.inf, 1.0, 0.0)
    for t in torch.linspace(-1.0, 1.5, 26).exp():
        for bias in torch.linspace(-3.0, 6.0, 46):
            loss = float(functional.binary_cross_entropy_with_logits(logit / t + bias, truth, weight=weight))
            best = min(best, (loss, float(t), float(bias)))
    # Relative to what the network already has: one that began with calibrated weights is not at 1 and 0.
    network.novelty_temperature.mul_(best[1])
    network.novelty_bias.div_(best[1]).add_(best[2])
    scores = torch.sigmoid(logit / best[1] + best[2])[known]
    network.novelty_limit.fill_(float(torch.quantile(scores, 1.0 - FALSE_ALARMS)))
