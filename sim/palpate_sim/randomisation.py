"""Every distribution that parts and devices are drawn from, with its unit and source, in one place; and a hash of all.

The hash is stored with every data set and model: figures are comparable only when it is the same.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from palpate_sim.backend import ndtri

PHYSICS = "docs/physics.md"
KINDS = ("uniform", "loguniform", "normal", "lognormal")
CUT = 3.0
"""Standard deviations at which normal distributions are cut."""


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

    def __post_init__(self) -> None:
        """Refuses what cannot be drawn.

        Raises:
            ValueError: unknown kind, parameters that are not finite, a > b, logarithms of numbers that are not above 0,
                or a negative standard deviation.
        """
        text = f"{self.kind}({self.a}, {self.b})"
        if self.kind not in KINDS:
            raise ValueError(f"distribution kind {self.kind!r} is not one of {', '.join(KINDS)}")
        if not (math.isfinite(self.a) and math.isfinite(self.b)):
            raise ValueError(f"{text}: the parameters must be finite")
        if self.kind.startswith("log") and self.a <= 0.0:
            raise ValueError(f"{text}: a must be above 0")
        if self.kind.endswith("uniform") and self.a > self.b:
            raise ValueError(f"{text}: a must not be above b")
        if self.kind.endswith("normal") and self.b < 0.0:
            raise ValueError(f"{text}: the standard deviation b must not be negative")

    def at(self, u: NDArray[np.float64]) -> NDArray[np.float64]:
        """Its values at uniform numbers in (0, 1), any shape."""
        if self.kind == "uniform":
            return self.a + (self.b - self.a) * u
        if self.kind == "loguniform":
            return self.a * np.exp(math.log(self.b / self.a) * u)
        deviate = self.b * np.clip(ndtri(u), -CUT, CUT)
        return self.a + deviate if self.kind == "normal" else self.a * np.exp(deviate)


class Table:
    """Many distributions at once."""

    def __init__(self, distributions: Mapping[str, Distribution]) -> None:
        self.names = tuple(distributions)
        entries = list(distributions.values())
        self._rows = [np.array([k for k, e in enumerate(entries) if e.kind == kind], int) for kind in KINDS]
        self._a = np.array([e.a for e in entries])[:, None]
        self._b = np.array([e.b for e in entries])[:, None]

    def at(self, u: NDArray[np.float64]) -> NDArray[np.float64]:
        """(K, N) values at uniform numbers (K, N), row by row."""
        out = np.empty_like(u)
        uniform, loguniform, normal, lognormal = self._rows
        a, b = self._a, self._b
        out[uniform] = a[uniform] + (b - a)[uniform] * u[uniform]
        out[loguniform] = a[loguniform] * np.exp(np.log(b[loguniform] / a[loguniform]) * u[loguniform])
        out[normal] = a[normal] + b[normal] * np.clip(ndtri(u[normal]), -CUT, CUT)
        out[lognormal] = a[lognormal] * np.exp(b[lognormal] * np.clip(ndtri(u[lognormal]), -CUT, CUT))
        return out


CONDITION_MIX: dict[str, dict[str, float]] = {
    "mix": {"clean": 0.55, "black": 0.25, "wet": 0.12, "painted": 0.08, "aged": 0.0},
    "hard": {"clean": 0.25, "black": 0.25, "wet": 0.25, "painted": 0.25, "aged": 0.0},
}
"""Shares of the conditions over all parts; within a material they follow the rules of `objects.condition_shares`."""

BLACKABLE_FAMILIES = ("polymer", "blend", "composite", "rubber")
"""Families in which carbon black is compounded."""
BLACK_BY_NATURE = ("EPDM", "CFRP")
"""Materials that are black whatever their maker wants: carbon black as filler, carbon fibre."""

OPAQUE_COAT_SHARE = 0.5
SHARED_GEOMETRY_SHARE = 0.5
"""Parts of any material that have one of the small geometries: otherwise size alone would tell what a part is made of.
Heavy materials have no others. Assumed."""
HOLLOW_SHARE = {"light": 0.3, "heavy": 0.3, "sheet": 0.0, "soft": 0.0}
"""Share of shells among the blocks of a geometry class. Assumed."""
RIBBED_SHARE = 0.8
"""Share of housings that have ribs. Assumed."""
LABEL_SHARE = 0.10
"""Share of parts with a label, in every condition. Assumed."""
DIRT_SHARE = 0.15
"""Share of dirty parts, in every condition. Assumed."""
LOTS = 40
"""Lots of each material; the number counts up with time."""
LOT_VARIANCE = {"lot": 0.5, "drift": 0.2, "part": 0.3}
"""How the variance of a property of the lot is shared out: between lots, a drift that is linear in the number of the
lot (in either direction), and the parts of one lot. Assumed."""
ANODISED_SHARE = {"Al6061": 0.25}
"""Share of bare parts with a clear anodised skin. Assumed; it fools the thermal camera as paint does."""
OFF_AMBIENT_SHARE = 0.2
"""Share of parts that have not come to the temperature of the room."""

LOT_PROPERTIES: dict[str, Distribution] = {
    "density_factor": Distribution("normal", 1.0, 0.01, "1", "assumed: lot scatter of solid materials"),
    "density_factor_foam": Distribution("lognormal", 1.0, 0.2, "1", "assumed: 25 to 80 kg/m3 are sold as seat foam"),
    "density_factor_fibre": Distribution("normal", 1.0, 0.06, "1", "assumed: wood and paper board"),
    "modulus_factor": Distribution("lognormal", 1.0, 0.15, "1", "assumed: grades; ABS is quoted 1.8 to 3.2 GPa"),
    "modulus_factor_metal": Distribution("lognormal", 1.0, 0.02, "1", "assumed: alloys of one metal"),
    "modulus_factor_soft": Distribution("lognormal", 1.0, 0.25, "1", "assumed: foam and rubber come in hardnesses"),
    "modulus_factor_PA6": Distribution("lognormal", 0.95, 0.2, "1", "catalogue: conditioned 1.2 to 1.8, dry 2.9 GPa"),
    "conductivity_factor": Distribution("uniform", 0.75, 1.25, "1", "sources differ: PE-HD 0.25 against 0.42-0.52"),
    "heat_capacity_factor": Distribution("normal", 1.0, 0.05, "1", "sources differ: PP 1700 to 2000 J/(kg K)"),
    "poisson_shift": Distribution("normal", 0.0, 0.01, "1", "assumed"),
    "restitution_shift": Distribution("normal", 0.0, 0.06, "1", "assumed"),
    "yield_factor": Distribution("lognormal", 1.0, 0.12, "1", "assumed: grades and tempers"),
    "electrical_factor": Distribution("lognormal", 1.0, 0.06, "1", "assumed: alloy and temper; 6061 T4 23, T6 25 MS/m"),
    "filler_shift": Distribution("normal", 0.0, 0.015, "1", "assumed: mass share, usual tolerance +-2 to 3 points"),
    "blend_fraction": Distribution("uniform", 0.4, 0.8, "1", "assumed: share of PC in PC/ABS grades"),
    "clear_absorption": Distribution("lognormal", 0.25, 0.25, "1/mm", "assumed: Napierian, strongest band"),
    "carbon_black_q": Distribution("uniform", 20.0, 50.0, "1", "K/S of carbon-black compounds in practice"),
    **{f"band_depth_{k}": Distribution("lognormal", 1.0, 0.06, "1", "assumed: each band, grades") for k in range(14)},
    **{f"band_shift_{k}": Distribution("normal", 0.0, 1.0, "nm", "assumed: each band, grades") for k in range(14)},
}
"""Properties that the parts of a lot share, apart from a small scatter (LOT_VARIANCE); shares of a material's value."""

PART: dict[str, Distribution] = {
    **LOT_PROPERTIES,
    # surface
    "friction_place": Distribution("uniform", 0.0, 1.0, "1", "catalogue: place in the range of friction against steel"),
    "emissivity_shift": Distribution("normal", 0.0, 0.01, "1", "spread between the emissivity tables"),
    "emissivity_finish": Distribution("uniform", 0.0, 1.0, "1", "place in METAL_EMISSIVITY, logarithmic"),
    "emissivity_anodised": Distribution("uniform", 0.92, 0.97, "1", "paint and anodising 0.95-0.97"),
    "contact_conductance": Distribution("loguniform", 500.0, 5000.0, "W/(m2 K)", "dry contacts"),
    "wet_conductance": Distribution("uniform", 5e3, 2e4, "W/(m2 K)", "assumed: 0.6 W/(m K) across 30 to 120 um gaps"),
    "evaporation": Distribution("uniform", -3.0, -0.5, "K", "assumed: a wet surface is below the room's temperature"),
    "stribeck_share": Distribution("uniform", 0.05, 0.25, "1", "assumed: static above kinetic friction"),
    "stribeck_speed": Distribution("loguniform", 0.003, 0.02, "m/s", "assumed"),
    "film_um": Distribution("uniform", 10.0, 200.0, "um", "wet parts are reported for films of 0 to 200 um"),
    "wet_friction_factor": Distribution("uniform", 0.5, 0.7, "1", "water as lubricant"),
    "ripple": Distribution("loguniform", 0.01, 0.08, "1", "assumed: relative height of the texture's friction peak"),
    # near infrared
    "band_strength": Distribution("loguniform", 0.1, 0.5, "1", "pigmented parts, about 0.1 to 0.5"),
    "base_reflectance_factor": Distribution("normal", 1.0, 0.15, "1", "assumed: pigments and surface"),
    # coat, label, dirt
    "coat_transmission": Distribution("uniform", 0.25, 0.6, "1", "coats thinner than 50 to 100 um"),
    "coat_thickness_thin_um": Distribution("uniform", 20.0, 60.0, "um", "thinner than hides"),
    "coat_thickness_opaque_um": Distribution("uniform", 80.0, 200.0, "um", "thick enough to hide"),
    "coat_reflectance": Distribution("uniform", 0.35, 0.85, "1", "assumed: pigmented paints"),
    "coat_band_strength": Distribution("loguniform", 0.05, 0.25, "1", "assumed: binder is a third of a paint"),
    "coat_gloss": Distribution("uniform", 0.2, 0.9, "1", "assumed: matt to high gloss"),
    "coat_emissivity": Distribution("uniform", 0.92, 0.97, "1", "paint 0.95-0.97"),
    "label_um": Distribution("uniform", 60.0, 200.0, "um", "assumed: paper and film with glue"),
    "label_reflectance": Distribution("uniform", 0.55, 0.85, "1", "assumed: printed paper and film"),
    "dirt_level": Distribution("uniform", 0.1, 0.6, "1", "assumed: share of the area that is covered"),
    # ageing, see `part_properties`
    "age": Distribution("uniform", 0.1, 1.0, "1", "assumed: of aged parts, 1 is the end of use"),
    "oh_depth": Distribution("lognormal", 0.45, 0.2, "1", "assumed: O-H overtone over the strongest band, at age 1"),
    "carbonyl_depth": Distribution("lognormal", 0.12, 0.2, "1", "assumed: C=O fourth overtone, at age 1"),
    "oh_shift": Distribution("normal", 0.0, 3.0, "nm", "assumed"),
    "carbonyl_shift": Distribution("normal", 0.0, 2.0, "nm", "assumed"),
    "yellowing": Distribution("uniform", 0.15, 0.5, "1", "assumed: loss of blue at age 1"),
    # looks
    "colour_scale": Distribution("normal", 1.0, 0.06, "1", "assumed"),
    "colour_r": Distribution("normal", 0.0, 0.015, "1", "assumed"),
    "colour_g": Distribution("normal", 0.0, 0.015, "1", "assumed"),
    "colour_b": Distribution("normal", 0.0, 0.015, "1", "assumed"),
    "coat_colour_scale": Distribution("normal", 1.0, 0.06, "1", "assumed"),
    "gloss_place": Distribution("uniform", 0.0, 1.0, "1", "place in the range of appearance.LOOKS"),
    "clearness_place": Distribution("uniform", 0.0, 1.0, "1", "place in the range of appearance.LOOKS"),
    "pitch_place": Distribution("uniform", 0.0, 1.0, "1", "place in appearance.TEXTURE_PITCH_M, logarithmic"),
    "texture_factor": Distribution("lognormal", 1.0, 0.4, "1", "assumed: moulds and finishes of one material differ"),
    # temperature
    "temperature_near": Distribution("normal", 0.0, 0.7, "K", "assumed: stored in the room"),
    "temperature_far": Distribution("uniform", -10.0, 10.0, "K", "parts straight from a process or from outdoors"),
}

GEOMETRY: dict[str, Distribution] = {
    "wall_m": Distribution("loguniform", 0.8e-3, 4.0e-3, "m", "assumed: moulded and sheet parts"),
    "wall_bottle_m": Distribution("loguniform", 0.4e-3, 1.6e-3, "m", "assumed: blow-moulded bottles and flasks"),
    "wall_housing_m": Distribution("loguniform", 1.2e-3, 4.0e-3, "m", "assumed: injection moulding and die casting"),
    "rib_pitch_m": Distribution("uniform", 12e-3, 30e-3, "m", "assumed"),
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
    "reference_place": Distribution("uniform", 0.0, 1.0, "1", "which noise the dark and the white reference have"),
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


_NUMBERS = (int, float, tuple)


def randomisation_hash() -> str:
    """SHA-256 over every distribution, share and table that parts and devices are drawn from, 16 hexadecimal digits."""
    # Here, because these modules read this one.
    from palpate_agents.materials import catalogue
    from palpate_sim import appearance, part_geometry, part_properties, part_tables, surface, surface_maps

    layers = {**vars(surface_maps), **vars(surface)}
    content = {
        "mix": CONDITION_MIX,
        "black": [BLACKABLE_FAMILIES, BLACK_BY_NATURE],
        "shares": [OPAQUE_COAT_SHARE, HOLLOW_SHARE, RIBBED_SHARE, ANODISED_SHARE, OFF_AMBIENT_SHARE],
        "surface": [LABEL_SHARE, DIRT_SHARE],
        "maps": {name: value for name, value in layers.items() if name.isupper() and isinstance(value, _NUMBERS)},
        "lots": [LOTS, LOT_VARIANCE, sorted(LOT_PROPERTIES)],
        "part": {name: asdict(entry) for name, entry in PART.items()},
        "shared": SHARED_GEOMETRY_SHARE,
        "geometry": [{name: asdict(entry) for name, entry in GEOMETRY.items()}, part_geometry.constants()],
        "emissivity": METAL_EMISSIVITY,
        "looks": appearance.constants(),
        "bulk": [part_tables.constants(), part_properties.constants()],
        "catalogue": {name: asdict(entry) for name, entry in catalogue().items()},
        "device": {name: asdict(entry) for name, entry in DEVICE.items()},
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
