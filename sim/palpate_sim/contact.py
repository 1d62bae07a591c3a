"""Contact of the tool with a part: press, pad, slide and tap, for N spots at once.

The arm's position control cannot resolve hard contacts and PyBullet cannot resolve a tap of 150 us; both are computed
here beside the scene: `elastic` (Hertz, walls, yielding), `friction` and `impact`. All take batches of spots: parts
with what a tool meets at one point of them (`surface.spot_batch`). See `docs/physics.md`.
"""

from __future__ import annotations

from palpate_sim.backend import Array
from palpate_sim.elastic import (
    ARM_STIFFNESS_N_M,
    BALL_MODULUS_PA,
    BALL_POISSON,
    BALL_RADIUS_M,
    PAD_SIDE_M,
    PAD_STIFFNESS_N_M,
    PressLaw,
    dent_depth_m,
    effective_modulus_pa,
    hertz_stiffness,
    law_dent,
    law_displacement,
    law_force,
    pad_force,
    pad_stiffness_n_m,
    press_displacement,
    press_force,
    press_law,
    series_force,
    series_force_scalar,
    wall_stiffness_n_m,
    yield_force_n,
)
from palpate_sim.friction import FrictionLaw, friction_coefficient, slide_force, stribeck_rise
from palpate_sim.impact import (
    BURST_DURATION_S,
    BURST_PREROLL_S,
    BURST_RANGE_M_S2,
    BURST_RATE_HZ,
    SUPPORT_MASS_KG,
    TIP_MASS_KG,
    Pulses,
    damping_number,
    hertz_contact_time_s,
    hertz_peak_force_n,
    impact,
    integrate_impact,
    max_tap_speed,
    pulses,
    received_until,
    reduced_mass_kg,
    tap_burst,
)

__all__ = [
    "ARM_STIFFNESS_N_M", "BALL_MODULUS_PA", "BALL_POISSON", "BALL_RADIUS_M", "BURST_DURATION_S", "BURST_PREROLL_S",
    "BURST_RANGE_M_S2", "BURST_RATE_HZ", "PAD_SIDE_M", "PAD_STIFFNESS_N_M", "SUPPORT_MASS_KG", "TIP_MASS_KG", "Array",
    "FrictionLaw", "PressLaw", "Pulses", "damping_number", "dent_depth_m", "effective_modulus_pa",
    "friction_coefficient", "hertz_contact_time_s", "hertz_peak_force_n", "hertz_stiffness", "impact",
    "integrate_impact", "law_dent", "law_displacement", "law_force", "max_tap_speed", "pad_force",
    "pad_stiffness_n_m", "press_displacement", "press_force", "press_law", "pulses", "received_until",
    "reduced_mass_kg", "series_force", "series_force_scalar", "slide_force", "stribeck_rise", "tap_burst",
    "wall_stiffness_n_m", "yield_force_n",
]  # fmt: skip
