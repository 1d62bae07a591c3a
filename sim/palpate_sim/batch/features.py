"""What a probe of n parts gives."""

from __future__ import annotations

from typing import NamedTuple

from palpate_sim.backend import Array


class Features(NamedTuple):
    """Features of one modality for n parts.

    Attributes:
        values: (n, F) in the order of `palpate_agents.encoders.features.feature_names`, NaN where not measured.
        reliability: (n,) 0 (unusable) .. 1.
    """

    values: Array
    reliability: Array


class TouchResult(NamedTuple):
    """A touch of n parts.

    Attributes:
        features: tactile.
        max_force_n: (n,) largest quasi-static force, N.
        dent_m: (n,) depth of the mark that is left, m.
        outcome: (n,) values of `palpate_agents.observation.Outcome`.
    """

    features: Features
    max_force_n: Array
    dent_m: Array
    outcome: Array
