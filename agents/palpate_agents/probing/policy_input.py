"""The numbers on which learnt strategies decide: a compact vector of what is believed, was done and can be reached."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from palpate_agents.observation import MAX_PROBES, Primitive
from palpate_agents.probing.menu import NAMES, SPOTS, Spots
from palpate_agents.probing.part_state import TREATMENTS, PartStates

INPUT_VERSION = "1"
"""Raised with every change of what the vector holds."""
FLOOR_NATS = 8.0
"""Beliefs below exp(-8) are alike."""


def input_size(labels: int, state: int, conditions: int) -> int:
    """Length of the vector for a belief over so many labels."""
    return 2 * labels + 2 + state + conditions + len(NAMES) + len(Primitive) + len(SPOTS) + 4 + 3 + 4


def policy_input(states: PartStates, spots: Spots) -> NDArray[np.float32]:
    """The vector of n parts.

    Args:
        states: of n parts.
        spots: of them.

    Returns:
        (n, `input_size`) float32: probabilities and their logs, largest probability and entropy, fused state,
        conditions, how often each item was done, kind of the last probe, scores of the spots, mean cover of each layer,
        seen size, and clock.
    """
    n, log = len(states), states.log
    p = np.exp(states.log_probabilities)
    logs = np.maximum(states.log_probabilities, -FLOOR_NATS)
    entropy = -(p * logs).sum(axis=1)
    done = (log.item[:, :, None] == np.arange(len(NAMES))).sum(axis=1)
    last = np.zeros((n, len(Primitive)))
    some = np.flatnonzero(log.count > 0)
    at = np.minimum(log.count[some], log.item.shape[1]) - 1
    last[some, log.primitive[some, at]] = 1.0
    known, _, ago = log.newest(TREATMENTS)
    clock = np.stack(
        (
            states.elapsed_s / states.deadline_s,
            log.count / MAX_PROBES,
            known / (1.0 + np.minimum(ago, 10)),
            states.held,
        ),
        axis=1,
    )
    return np.concatenate(
        (
            p, logs / FLOOR_NATS + 0.5, p.max(axis=1)[:, None], entropy[:, None], states.state, states.conditions, done,
            last, spots.score, states.covers.mean(axis=(1, 2)),
            np.log(np.maximum(states.part.extent_m, 1e-3) / 0.04), clock,
        ),
        axis=1,
    ).astype(np.float32)  # fmt: skip
