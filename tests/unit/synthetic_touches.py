"""Touches of two buried thermometers on half-spaces, by the textbook: what calibration and benchmark must recover."""

import numpy as np
from scipy.special import erfc

from palpate_agents.data import TouchDataset

ROOM_C = 22.5
CONDUCTANCE = {"metal": 20.0, "plastic": 1.0, "wood": 0.3}
"""Effusivity over that of the heated sensor."""
LAG_S = (1.5, 0.8)
EFFUSIVITY_RATIO = 0.2
"""Of the unheated sensor over the heated one."""


def reading(time_s, start_c, part_c, conductance, effusivity=1.0, lag_s=1.5):
    """(T,) what a thermometer below a skin reads: a share of the contact's fall, late."""
    contact = start_c - (start_c - part_c) * conductance / (effusivity + conductance)
    with np.errstate(divide="ignore"):
        reach = np.where(time_s > 0, erfc(np.sqrt(lag_s / np.maximum(time_s, 1e-9))), 0.0)
    return start_c - (start_c - contact) * reach


def touches(
    rng, labels=("metal", "wood"), blocks=6, each=3, part_c=ROOM_C, condition="room", time_s=None, spread_k=0.4,
    noise_k=0.003,
):  # fmt: skip
    """A data set as the published one: blocks of `each` touches of every label."""
    time_s = np.arange(-0.5, 5.001, 0.05) if time_s is None else time_s
    signals, label, group = [], [], []
    for block in range(blocks):
        for name in labels:
            for _ in range(each):
                hot = reading(time_s, 30.0 + 0.05 * rng.normal(), part_c, CONDUCTANCE[name], lag_s=LAG_S[0])
                start = ROOM_C + spread_k * rng.normal()
                cold = reading(time_s, start, part_c, CONDUCTANCE[name], EFFUSIVITY_RATIO, LAG_S[1])
                force = np.where(time_s > 0, 4.0, 0.0)
                signals.append(np.stack([cold, hot, force], axis=1) + noise_k * rng.normal(size=(len(time_s), 3)))
                label.append(name)
                group.append(f"block {block} {name}")
    return TouchDataset(
        name="made", label=np.array(label), group=np.array(group), condition=np.full(len(label), condition),
        time_s=time_s, signals=np.array(signals), channels=np.array(["passive [degC]", "active [degC]", "force [N]"]),
    )  # fmt: skip


def joined(*sets):
    """Data sets of one time axis as one."""
    first = sets[0]
    return TouchDataset(
        name=first.name, label=np.concatenate([s.label for s in sets]), group=np.concatenate([s.group for s in sets]),
        condition=np.concatenate([s.condition for s in sets]), time_s=first.time_s, channels=first.channels,
        signals=np.concatenate([s.signals for s in sets]),
    )  # fmt: skip
