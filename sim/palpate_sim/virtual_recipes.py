"""How each kind of virtual formulation differs from its base: blends, fillers, softeners, recyclates, other grades.

Every function takes ordinary parts of the bases and gives them with the recipe's changes; what follows from density,
conductivity and heat capacity is left to `virtual_formulations`. All random numbers belong to the parts' keys.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from palpate_agents.materials import MATERIALS, material
from palpate_sim import keyed
from palpate_sim import randomisation as rand
from palpate_sim.appearance import TEXTURE_PITCH_M, TEXTURES
from palpate_sim.backend import ndtri
from palpate_sim.micromechanics import FILLERS, Matrix, Texture, filled, filler_table
from palpate_sim.objects import draw_parts
from palpate_sim.part_batch import BANDS, CONDITIONS, PartBatch
from palpate_sim.part_tables import BLEND_OF, FILLER, tables
from palpate_sim.randomisation import Distribution
from palpate_sim.sensors.nir_physics import body_q, kubelka_munk, saunderson

Array = NDArray[np.float64]
Index = NDArray[np.int64]

POLYMERS = tuple(name for name in MATERIALS if material(name).family == "polymer")
FILLED_OF = {"PP-GF30": ("PP", "glass"), "PP-T20": ("PP", "talc"), "PA66-GF30": ("PA6", "glass")}
"""Filled classes, their matrix (PA66 is near PA6) and filler. PP itself gets neither glass nor talc: that is theirs."""
_SHARE = "share by mass"
RECIPE: dict[str, Distribution] = {
    "second_share": Distribution("uniform", 0.20, 0.50, "1", f"assumed: {_SHARE}; the base is the larger one"),
    "filler_share": Distribution("uniform", 0.05, 0.45, "1", f"assumed: {_SHARE}; grades are sold from 10 to 50 %"),
    "alignment": Distribution("uniform", 0.4, 1.0, "1", "assumed: 3/8 is random in a plane, 1 along the flow"),
    "filler_damping": Distribution("uniform", 0.0, 0.25, "1", "restitution lost per share; catalogue 0.07 to 0.17"),
    "talc_band": Distribution("lognormal", 1.75, 0.2, "1", "depth over share: PP-T20 has 0.35 at 0.2"),
    "drop": Distribution("loguniform", 3.0, 300.0, "1", "assumed: toughened to plasticised"),
    "additive_share": Distribution("uniform", 0.10, 0.40, "1", f"assumed: {_SHARE}"),
    "damping": Distribution("uniform", 0.05, 0.35, "1", "assumed: restitution lost"),
    "recyclate_second": Distribution("uniform", 0.10, 0.35, "1", f"assumed: {_SHARE}"),
    "recyclate_third": Distribution("uniform", 0.05, 0.20, "1", f"assumed: {_SHARE}"),
    "recyclate_filler": Distribution("uniform", 0.0, 0.10, "1", f"assumed: {_SHARE}, calcium carbonate"),
    "deviations": Distribution("uniform", 2.0, 8.0, "1", "standard deviations within the class"),
}
"""Distributions of recipes."""
OTHER_SHARE = 0.06
"""Filler that a filled class with another share has more or less of at least: four standard deviations of the class."""
BONDING = 0.85
"""Yield stress of a blend over the rule of mixtures: phases do not bond; assumed."""
DARK_SHARE = 0.7
"""Recyclates that are coloured with carbon black; assumed."""
MORE_MOVES = 0.3
"""Chance of each further property of a perturbed part to move; assumed."""
SOFTEST_PA, RUBBERY_PA = 1e6, 50e6
"""No plastic is made softer; below the second, friction depends on load as that of rubber does. Assumed."""
TALC_NM, TALC_WIDTH_NM = 1392.0, 8.0
"""First overtone of the Mg3-OH stretch, as in the catalogue's PP-T20."""
ADDITIVES = {"plasticiser": (985.0, 0.15, 1900.0), "rubber": (870.0, 0.25, 2100.0)}
"""Density, conductivity, heat capacity; di-alkyl ester and gum of ethylene-propylene rubber, from memory."""
ADDITIVE_BANDS = {
    "plasticiser": ((1194.0, 0.35, 50.0), (1213.0, 0.70, 50.0), (1415.0, 0.40, 70.0), (1726.0, 1.0, 50.0),
                    (1764.0, 0.70, 65.0)),
    "rubber": tuple((b.centre_nm, b.relative_depth, b.fwhm_nm) for b in material("EPDM").nir_bands[:5]),
}  # fmt: skip
"""C-H overtones of long alkyl chains (near those of polyethylene, CH3 at 1194; assumed) and of the catalogue's EPDM."""
ADDITIVE_SCATTER_NM = 2.0
"""Standard deviation of where the additive's bands lie, all together; assumed."""

LIGHTEST_KG_M3, INSULATING_W_MK, CONDUCTING_W_MK = 15.0, 0.025, 430.0
"""No foam is lighter; still air and silver: what would leave these moves the other way."""
MOVES = ("density", "modulus", "conductivity", "restitution", "band_shift", "band_depth")
_SCALED = ("density_kg_m3", "youngs_modulus_pa", "conductivity_w_mk", "heat_capacity_j_kgk")
_BLENDED = ("youngs_modulus_pa", "indentation_modulus_pa", "poisson", "restitution", "conductivity_w_mk",
            "heat_capacity_j_kgk", "yield_pa", "emissivity", "friction")  # fmt: skip
_DARK = ("rgb", "transparency", "carbon_black_q")


class Asked(NamedTuple):
    """What the caller asks of all parts: range of lots, and whether the conditions are not to be changed."""

    lots: tuple[int, int]
    conditions_given: bool


def _drawn(keys: Index, *names: str) -> list[Array]:
    """(N,) values of RECIPE."""
    u = keyed.uniforms(keys, tuple(f"virtual.{name}" for name in names))
    return [RECIPE[name].at(row) for name, row in zip(names, u, strict=True)]


def _chosen(keys: Index, name: str, count: Any) -> Index:
    """(N,) whole numbers below `count`."""
    return (keyed.uniform(keys, f"virtual.{name}") * count).astype(np.int64)


@lru_cache(maxsize=1)
def _partners() -> tuple[Index, Index]:
    """(M, P) polymers that can be mixed with each material, and (M,) how many; those of the catalogue's blend never."""
    lists = [
        [MATERIALS.index(p) for p in POLYMERS if p != name and {p, name} != set(BLEND_OF)] if name in POLYMERS else []
        for name in MATERIALS
    ]
    most = max(len(row) for row in lists)
    return np.array([(row + [0] * most)[:most] for row in lists]), np.array([len(row) for row in lists])


def _partner(own: PartBatch, name: str, asked: Asked) -> PartBatch:
    """Another polymer for each part, with a lot and a scatter of its own."""
    table, count = _partners()
    second = table[own.material, _chosen(own.key, name, count[own.material])]
    return draw_parts(keyed.combine(own.key, f"virtual.{name}"), second, own.condition, lots=asked.lots)


def _mixed(first: PartBatch, second: PartBatch, share: Array) -> PartBatch:
    """Rule of mixtures by mass, density by volume, K/S by mass (equal scattering); phases make it opaque."""
    keep = 1.0 - share
    mixed = {name: keep * first.arrays[name] + share * second.arrays[name] for name in _BLENDED}
    mixed["yield_pa"] *= BONDING
    q = keep * body_q(first.base_reflectance) + share * body_q(second.base_reflectance)
    bands = np.concatenate([_diluted(first.nir_bands, keep), _diluted(second.nir_bands, share)], axis=1)
    return first.replace(
        density_kg_m3=1.0 / (keep / first.density_kg_m3 + share / second.density_kg_m3),
        base_reflectance=saunderson(kubelka_munk(q)),
        nir_bands=_strongest(bands),
        transparency=0.0 * keep,
        **mixed,
    )


def _diluted(bands: Array, factor: Array) -> Array:
    """Bands with their depths times (N,) a factor."""
    out = bands.copy()
    out[:, :, 1] *= factor[:, None]
    return out


def _strongest(bands: Array) -> Array:
    """(N, 16, 3) of (N, B, 3), in the order of their depths."""
    order = np.argsort(-bands[:, :, 1], axis=1, kind="stable")[:, :BANDS]
    return np.take_along_axis(bands, order[:, :, None], axis=1)


def _blend(own: PartBatch, asked: Asked) -> PartBatch:
    (share,) = _drawn(own.key, "second_share")
    return _mixed(own, _partner(own, "second", asked), share)


def _filled(own: PartBatch, asked: Asked) -> PartBatch:
    """Filler in an unfilled polymer, or another share of it in a filled class."""
    del asked
    table, names = tables(), tuple(FILLERS)
    before, matrix = np.zeros(len(own)), _matrix(own)
    filler = _chosen(own.key, "filler", len(names))
    filler[own.material == MATERIALS.index("PP")] = names.index("mineral")
    for name, (polymer, kind) in FILLED_OF.items():
        rows = own.material == MATERIALS.index(name)
        before[rows], filler[rows] = FILLER[name], names.index(kind)
        for field in _SCALED:
            getattr(matrix, field)[rows] = table[field][MATERIALS.index(polymer)]
    return _with_filler(own, matrix, filler, before, _other_share(own.key, before))


def _matrix(own: PartBatch) -> Matrix:
    return Matrix(*(own.arrays[name].copy() for name in _SCALED))


def _other_share(keys: Index, before: Array) -> Array:
    """(N,) shares of a filler; away from the one that the class has."""
    entry = RECIPE["filler_share"]
    u = keyed.uniform(keys, "virtual.filler_share")
    gap_low = np.where(before > 0.0, before - OTHER_SHARE, entry.a)
    gap_high = np.where(before > 0.0, before + OTHER_SHARE, entry.a)
    share = entry.a + u * (entry.b - entry.a - (gap_high - gap_low))
    return share + np.where(share > gap_low, gap_high - gap_low, 0.0)


def _with_filler(own: PartBatch, matrix: Matrix, filler: Index, before: Array, share: Array) -> PartBatch:
    """Parts whose filler goes from one share to another, by the ratio that the model of their matrix gives."""
    alignment, damping, depth = _drawn(own.key, "alignment", "filler_damping", "talc_band")
    u = keyed.uniforms(own.key, ("virtual.aspect", "virtual.heat_shape"))
    table = filler_table()
    aspect, shape = (
        low + (high - low) * place for (low, high), place in zip((table[n][filler].T for n in ("aspect", "heat_shape")),
                                                               u, strict=True)
    )  # fmt: skip
    texture = Texture(aspect, alignment, shape)
    new, old = (filled(matrix, filler, amount, texture) for amount in (share, before))
    ratio = {name: getattr(new, name) / getattr(old, name) for name in _SCALED}
    loss, gain = table["reflectance_loss"][filler], table["yield_gain"][filler]
    more = share - before
    scaled = {name: own.arrays[name] * ratio[name] for name in _SCALED}
    talc = np.where(filler == tuple(FILLERS).index("talc"), share, 0.0)
    reflectance = own.base_reflectance * (1.0 - loss * share) / (1.0 - loss * before)
    return own.replace(
        indentation_modulus_pa=own.indentation_modulus_pa * ratio["youngs_modulus_pa"],
        restitution=own.restitution - damping * more,
        poisson=own.poisson - 0.1 * more,  # PP to PP-GF30
        yield_pa=own.yield_pa * (1.0 + gain * share) / (1.0 + gain * before),
        filler=own.filler + more,
        base_reflectance=np.clip(reflectance, 0.02, 0.97),
        nir_bands=_with_talc(own.nir_bands, (1.0 - share) / (1.0 - before), talc, before, depth),
        **scaled,
        **_filled_looks(own, filler, before),
    )


def _with_talc(bands: Array, dilution: Array, talc: Array, before: Array, depth: Array) -> Array:
    """Bands of the diluted matrix, and the O-H band of talc: a new one, or the one that is there at its new share."""
    out = _diluted(bands, dilution)
    there = (np.abs(bands[:, :, 0] - TALC_NM) < 5.0) & (bands[:, :, 2] == TALC_WIDTH_NM)
    grown = (talc > 0.0) & (before > 0.0)
    out[:, :, 1] *= np.where(
        there & grown[:, None], (talc / dilution / np.where(before > 0.0, before, 1.0))[:, None], 1.0
    )
    fresh = np.zeros((len(out), 1, 3))
    fresh[:, 0] = np.stack(
        [np.full(len(out), TALC_NM), depth * talc * ~grown, np.full(len(out), TALC_WIDTH_NM)], axis=1
    )
    return _strongest(np.concatenate([out, fresh], axis=1))


def _filled_looks(own: PartBatch, filler: Index, before: Array) -> dict[str, NDArray[Any]]:
    """Opaque and duller; glass fibres show. What was filled before looks as before."""
    new = before == 0.0
    fibre = new & (filler == tuple(FILLERS).index("glass"))
    u, n = keyed.uniforms(own.key, ("virtual.pitch", "virtual.contrast"))
    low, high = TEXTURE_PITCH_M["fibre"]
    contrast = 0.05 * rand.PART["texture_factor"].at(n)  # of PA66-GF30 and PP-GF30
    return {
        "transparency": np.where(new, 0.0, own.transparency),
        "gloss": own.gloss * np.where(new, np.where(fibre, 0.5, 0.7), 1.0),
        "texture": np.where(fibre, TEXTURES.index("fibre"), own.texture),
        "texture_contrast": np.where(fibre, contrast, own.texture_contrast),
        "texture_pitch_m": np.where(fibre, low * (high / low) ** u, own.texture_pitch_m),
    }


def _softened(own: PartBatch, asked: Asked) -> PartBatch:
    """A plasticiser or a rubber: far less stiff, duller to a tap, C-H bands of its own."""
    del asked
    drop, share, damping = _drawn(own.key, "drop", "additive_share", "damping")
    drop = np.maximum(np.minimum(drop, own.youngs_modulus_pa / SOFTEST_PA), 1.0)
    which = _chosen(own.key, "additive", len(ADDITIVES))
    density, conductivity, capacity = np.array(list(ADDITIVES.values()))[which].T
    keep = 1.0 - share
    bands = np.array(list(ADDITIVE_BANDS.values()))[which]
    bands[:, :, 0] += ADDITIVE_SCATTER_NM * ndtri(keyed.uniform(own.key, "virtual.additive_shift"))[:, None]
    both = np.concatenate([_diluted(own.nir_bands, keep), _diluted(bands, share)], axis=1)
    softness = np.log(drop) / math.log(RECIPE["drop"].b)
    modulus = own.youngs_modulus_pa / drop
    return own.replace(
        density_kg_m3=1.0 / (keep / own.density_kg_m3 + share / density),
        youngs_modulus_pa=modulus,
        indentation_modulus_pa=own.indentation_modulus_pa / drop,
        poisson=0.499 - (0.499 - own.poisson) * (1.0 - softness),
        restitution=np.maximum(own.restitution - damping, 0.1),
        yield_pa=own.yield_pa * drop**-0.3,  # EPDM yields at 30 MPa, at a hundredth of a plastic's modulus
        conductivity_w_mk=keep * own.conductivity_w_mk + share * conductivity,
        heat_capacity_j_kgk=keep * own.heat_capacity_j_kgk + share * capacity,
        friction=own.friction * (1.0 + 0.6 * softness),  # towards the 0.9 of EPDM
        friction_exponent=np.where(modulus < RUBBERY_PA, -1.0 / 3.0, own.friction_exponent),
        filler=keep * own.filler,
        nir_bands=_strongest(both),
    )


def _recyclate(own: PartBatch, asked: Asked) -> PartBatch:
    """Three polymers with a little chalk, most of them dark."""
    second, third, chalk = _drawn(own.key, "recyclate_second", "recyclate_third", "recyclate_filler")
    mixed = _mixed(own, _partner(own, "second", asked), second)
    mixed = _mixed(mixed, _partner(own, "third", asked), third)
    filler = np.full(len(own), tuple(FILLERS).index("mineral"))
    mixed = _with_filler(mixed, _matrix(mixed), filler, 0.0 * chalk, chalk)
    return _darkened(mixed, keyed.uniform(own.key, "virtual.dark") < DARK_SHARE, asked)


def _dyed(own: PartBatch, asked: Asked) -> PartBatch:
    return _darkened(own, np.ones(len(own), bool), asked)


def _darkened(own: PartBatch, dark: NDArray[np.bool_], asked: Asked) -> PartBatch:
    """Those of a mask with the carbon black that the part of their key has when it is black."""
    black = draw_parts(own.key, own.material, "black", lots=asked.lots)
    changed = {name: own.arrays[name].copy() for name in (*_DARK, "condition")}
    for name in _DARK:
        changed[name][dark] = black.arrays[name][dark]
    if not asked.conditions_given:
        changed["condition"][dark & (own.condition == CONDITIONS.index("clean"))] = CONDITIONS.index("black")
    return own.replace(**changed)


def _perturbed(own: PartBatch, asked: Asked) -> PartBatch:
    """Some of MOVES by several standard deviations of the class, either way: other alloys, glasses, woods, grades."""
    del asked
    z = _moves(own) * _several(own.key, "deviations", (len(MOVES),))
    zb = _several(own.key, "band_deviations", (BANDS, 2))
    deviation = {name: _deviation(entry) for name, entry in rand.LOT_PROPERTIES.items()}
    of_row = np.array(list(deviation.values()))
    table, kind = tables(), own.material
    density = _inside(own.density_kg_m3, z[:, 0] * of_row[table["density_row"][kind]], LIGHTEST_KG_M3, np.inf)
    modulus = np.exp(z[:, 1] * of_row[table["modulus_row"][kind]])
    conductivity = _inside(
        own.conductivity_w_mk, z[:, 2] * deviation["conductivity_factor"], INSULATING_W_MK, CONDUCTING_W_MK
    )
    shift = z[:, 3] * deviation["restitution_shift"]
    outside = np.abs(own.restitution + shift - 0.5) > 0.42
    bands = own.nir_bands.copy()
    bands[:, :, 0] += (z[:, 4, None] != 0.0) * zb[:, :, 0] * deviation["band_shift_0"]
    bands[:, :, 1] *= np.exp((z[:, 5, None] != 0.0) * zb[:, :, 1] * deviation["band_depth_0"])
    return own.replace(
        density_kg_m3=own.density_kg_m3 * density,
        youngs_modulus_pa=own.youngs_modulus_pa * modulus,
        indentation_modulus_pa=own.indentation_modulus_pa * modulus,
        conductivity_w_mk=own.conductivity_w_mk * conductivity,
        # Wiedemann and Franz: what conducts heat in a metal conducts current
        electrical_conductivity_s_m=own.electrical_conductivity_s_m * np.where(own.metal, conductivity, 1.0),
        restitution=own.restitution + np.where(outside, -shift, shift),
        nir_bands=bands,
    )


def _several(keys: Index, name: str, shape: tuple[int, ...]) -> Array:
    """(N, *shape) deviations of RECIPE with a sign."""
    u = keyed.uniform(keys, f"virtual.{name}", (*shape, 2))
    return RECIPE["deviations"].at(u[..., 0]) * np.where(u[..., 1] < 0.5, -1.0, 1.0)


def _inside(value: Array, logarithm: Array, low: float, high: float) -> Array:
    """(N,) factors that keep a value within its limits: the other way where it would leave them."""
    moved = value * np.exp(logarithm)
    return np.exp(np.where((moved < low) | (moved > high), -logarithm, logarithm))


def _moves(own: PartBatch) -> NDArray[np.bool_]:
    """(N, 6) which of MOVES: one at least; bands only where there are some to be seen."""
    table = tables()
    seen = table["organic"][own.material] & (table["black"][own.material] < 2)
    first = _chosen(own.key, "move", np.where(seen, len(MOVES), len(MOVES) - 2))
    more = keyed.uniform(own.key, "virtual.more_moves", (len(MOVES),)) < MORE_MOVES
    more[:, -2:] &= seen[:, None]
    return more | (np.arange(len(MOVES)) == first[:, None])


def _deviation(entry: Distribution) -> float:
    """Standard deviation of a property of LOT_PROPERTIES, of its logarithm if it is a factor."""
    if entry.kind == "uniform":
        return (entry.b - entry.a) / math.sqrt(12.0)
    return entry.b


RECIPES: dict[str, Callable[[PartBatch, Asked], PartBatch]] = {
    "blend": _blend, "filled": _filled, "softened": _softened, "recyclate": _recyclate, "dyed": _dyed,
    "perturbed": _perturbed,
}  # fmt: skip
"""The function of each kind."""
