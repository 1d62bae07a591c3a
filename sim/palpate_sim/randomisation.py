"""Every distribution that parts and devices are drawn from, with its unit and source, in one place; and a hash of all.

The hash is stored with every data set and model: figures are comparable only when it is the same.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

import numpy as np

PHYSICS = "docs/physics.md"


@dataclass(frozen=True)
class Distribution:
    """One documented distribution.

    Attributes:
        kind: `uniform` (a to b), `loguniform` (a to b), `normal` (mean a, standard deviation b) or `lognormal`
            (median a, standard deviation b of the logarithm); the last two are cut at three standard deviations.
        a, b: its parameters.
        unit: unit of what it gives.
        source: where the numbers come from; `assumed` marks an engineering judgement.
    """

    kind: str
    a: float
    b: float
    unit: str
    source: str

    def draw(self, rng: np.random.Generator) -> float:
        """One value."""
        if self.kind == "uniform":
            return float(rng.uniform(self.a, self.b))
        if self.kind == "loguniform":
            return float(np.exp(rng.uniform(np.log(self.a), np.log(self.b))))
        deviate = float(np.clip(rng.standard_normal(), -3.0, 3.0))
        if self.kind == "normal":
            return self.a + self.b * deviate
        if self.kind == "lognormal":
            return float(self.a * np.exp(self.b * deviate))
        raise ValueError(f"distribution kind {self.kind!r} is not uniform, loguniform, normal or lognormal")


CONDITION_MIX: dict[str, dict[str, float]] = {
    "mix": {"clean": 0.55, "black": 0.25, "wet": 0.12, "painted": 0.08},
    "hard": {"clean": 0.25, "black": 0.25, "wet": 0.25, "painted": 0.25},
}
"""Shares of the conditions over all parts; within a material they follow the rules of `objects.condition_shares`."""

BLACKABLE_FAMILIES = ("polymer", "blend", "composite", "rubber")
"""Families in which carbon black is compounded."""
BLACK_BY_NATURE = ("EPDM", "CFRP")
"""Materials that are black whatever their maker wants: carbon black as filler, carbon fibre."""

OPAQUE_COAT_SHARE = 0.5
HOLLOW_SHARE = {"polymer": 0.3, "blend": 0.3, "composite": 0.3, "metal": 0.3, "ceramic": 0.3, "rubber": 0.1}
"""Share of shells among the parts of a family; foam, wood and paper are solid. Assumed."""
ANODISED_SHARE = {"Al6061": 0.25}
"""Share of bare parts with a clear anodised skin. Assumed; it fools the thermal camera as paint does."""
OFF_AMBIENT_SHARE = 0.2
"""Share of parts that have not come to the temperature of the room."""

PART: dict[str, Distribution] = {
    # scatter of a material between lots and grades
    "density_factor": Distribution("normal", 1.0, 0.01, "1", "assumed: lot scatter of solid materials"),
    "density_factor_foam": Distribution("lognormal", 1.0, 0.2, "1", "assumed: 25 to 80 kg/m3 are sold as seat foam"),
    "density_factor_fibre": Distribution("normal", 1.0, 0.06, "1", "assumed: wood and paper board"),
    "modulus_factor": Distribution("lognormal", 1.0, 0.12, "1", "assumed: grades; ABS is quoted 1.8 to 3.2 GPa"),
    "modulus_factor_metal": Distribution("lognormal", 1.0, 0.02, "1", "assumed: alloys of one metal"),
    "modulus_factor_soft": Distribution("lognormal", 1.0, 0.25, "1", "assumed: foam and rubber come in hardnesses"),
    "modulus_factor_PA6": Distribution("lognormal", 0.95, 0.2, "1", "catalogue: conditioned 1.2 to 1.8, dry 2.9 GPa"),
    "conductivity_factor": Distribution("uniform", 0.75, 1.25, "1", "sources differ: PE-HD 0.25 against 0.42-0.52"),
    "heat_capacity_factor": Distribution("normal", 1.0, 0.05, "1", "sources differ: PP 1700 to 2000 J/(kg K)"),
    "poisson_shift": Distribution("normal", 0.0, 0.01, "1", "assumed"),
    "restitution_shift": Distribution("normal", 0.0, 0.04, "1", "assumed"),
    "emissivity_shift": Distribution("normal", 0.0, 0.01, "1", "spread between the emissivity tables"),
    "emissivity_coat": Distribution("uniform", 0.92, 0.97, "1", "paint and anodising 0.95-0.97"),
    # surface
    "contact_conductance": Distribution("loguniform", 500.0, 5000.0, "W/(m2 K)", "dry contacts"),
    "wet_conductance": Distribution("uniform", 5e3, 2e4, "W/(m2 K)", "assumed: 0.6 W/(m K) across 30 to 120 um gaps"),
    "evaporation": Distribution("uniform", -3.0, -0.5, "K", "assumed: a wet surface is below the room's temperature"),
    "stribeck_share": Distribution("uniform", 0.05, 0.25, "1", "assumed: static above kinetic friction"),
    "stribeck_speed": Distribution("loguniform", 0.003, 0.02, "m/s", "assumed"),
    "film_um": Distribution("uniform", 10.0, 200.0, "um", "wet parts are reported for films of 0 to 200 um"),
    "wet_friction_factor": Distribution("uniform", 0.5, 0.7, "1", "water as lubricant"),
    "ripple": Distribution("loguniform", 0.01, 0.08, "1", "assumed: relative height of the texture's friction peak"),
    # near infrared
    "carbon_black_q": Distribution("uniform", 20.0, 50.0, "1", "K/S of carbon-black compounds in practice"),
    "band_strength": Distribution("loguniform", 0.1, 0.5, "1", "pigmented parts, about 0.1 to 0.5"),
    "band_depth_factor": Distribution("lognormal", 1.0, 0.06, "1", "assumed: each band, between grades"),
    "band_shift": Distribution("normal", 0.0, 1.0, "nm", "assumed: each band, between grades"),
    "base_reflectance_factor": Distribution("normal", 1.0, 0.08, "1", "assumed: pigments and surface"),
    "coat_transmission": Distribution("uniform", 0.25, 0.6, "1", "coats thinner than 50 to 100 um"),
    "coat_thickness_thin_um": Distribution("uniform", 20.0, 60.0, "um", "thinner than hides"),
    "coat_thickness_opaque_um": Distribution("uniform", 80.0, 200.0, "um", "thick enough to hide"),
    "coat_reflectance": Distribution("uniform", 0.35, 0.85, "1", "assumed: pigmented paints"),
    "coat_band_strength": Distribution("loguniform", 0.05, 0.25, "1", "assumed: binder is a third of a paint"),
    "clear_absorption": Distribution("lognormal", 0.25, 0.25, "1/mm", "assumed: Napierian, strongest band"),
    # geometry and temperature
    "wall_m": Distribution("loguniform", 0.8e-3, 4.0e-3, "m", "assumed: moulded and sheet parts"),
    "temperature_near": Distribution("normal", 0.0, 0.7, "K", "assumed: stored in the room"),
    "temperature_far": Distribution("uniform", -10.0, 10.0, "K", "parts straight from a process or from outdoors"),
}

METAL_EMISSIVITY: dict[str, tuple[float, float, str]] = {
    "Al6061": (0.03, 0.10, "FLIR: sheet LW 0.03-0.06; light oxide"),
    "AlSi-cast": (0.06, 0.46, "FLIR: sheet 0.06, cast and blasted LW 0.46"),
    "mild-steel": (0.07, 0.85, "IDEAL polished 0.07, TESTO cold rolled 0.75-0.85"),
    "SS304": (0.12, 0.35, "IDEAL 0.16; rolled and pickled assumed up to 0.35"),
    "Cu": (0.03, 0.76, "TESTO polished 0.03, oxidised 0.76"),
    "brass": (0.05, 0.61, "FLIR tarnished 0.22, oxidised 0.61"),
    "Zn-diecast": (0.05, 0.30, "assumed around 0.15"),
}
"""Emissivity of bare metal depends on its finish: low, high (log-uniform), source."""

DEVICE: dict[str, Distribution] = {
    "wavelength_shift_nm": Distribution("uniform", -10.0, 10.0, "nm", "devices differ by 5 to 10 nm"),
    "spectral_gain": Distribution("loguniform", 0.43, 1.58, "1", "devices differ by 0.43 to 1.58 in gain"),
    "spectral_snr": Distribution("uniform", 1200.0, 1500.0, "1", "DLP NIR spectrometer, one scan"),
    "thermal_offset_k": Distribution("uniform", -5.0, 5.0, "K", "Lepton class: +-5 K absolute"),
    "depth_scale": Distribution("normal", 1.0, 0.004, "1", "assumed: calibration of a stereo camera below 1 %"),
    "depth_noise_per_m": Distribution("uniform", 3.4e-3, 4.2e-3, "1/m", "D435: 0.9 mm at 0.5 m, 3.8 mm at 1 m"),
    "white_balance": Distribution("normal", 1.0, 0.03, "1", "assumed"),
    "exposure": Distribution("lognormal", 1.0, 0.06, "1", "assumed"),
    "color_noise": Distribution("uniform", 1.0, 2.5, "grey levels", "assumed"),
    "force_bias_n": Distribution("uniform", -0.5, 0.5, "N", "assumed: after switching on"),
    "torque_bias_nm": Distribution("uniform", -0.02, 0.02, "N m", "assumed: after switching on"),
    "force_gain": Distribution("normal", 1.0, 0.005, "1", "assumed: calibration"),
    "burst_gain": Distribution("normal", 1.0, 0.02, "1", "assumed: calibration of the accelerometer"),
    "pad_effusivity": Distribution("uniform", 600.0, 1500.0, "W s0.5/(m2 K)", "compliant pads, loaded elastomer"),
    "pad_offset_k": Distribution("uniform", -0.3, 0.3, "K", "assumed: thermistor tolerance"),
}


def randomisation_hash() -> str:
    """SHA-256 over every distribution and share above, 16 hexadecimal digits."""
    content = {
        "mix": CONDITION_MIX,
        "black": [BLACKABLE_FAMILIES, BLACK_BY_NATURE],
        "shares": [OPAQUE_COAT_SHARE, HOLLOW_SHARE, ANODISED_SHARE, OFF_AMBIENT_SHARE],
        "part": {name: asdict(entry) for name, entry in PART.items()},
        "emissivity": METAL_EMISSIVITY,
        "device": {name: asdict(entry) for name, entry in DEVICE.items()},
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
