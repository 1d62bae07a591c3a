"""NIR reflectance of a spot on a part: Kubelka-Munk bulk, clear parts, covers, surface, water film.

Order of the light: substrate (scattering bulk, clear bulk or metal), its surface (Saunderson) or a coat on it, label
and dirt over them by their share of the spot, water film. Black parts are blind because `K/S` of carbon black (20 to
50) leaves no light. All functions are pure and run on NumPy and torch. See `docs/physics.md`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from palpate_sim.backend import Array, constant, interpolate, is_torch, kept, limited, namespace

RESOLUTION_NM = 10.0  # full width of the slit function
TABLE_REFLECTANCE = 0.6  # inside, of what lies behind a clear part; assumed
REFRACTIVE_INDEX = 1.5
SURFACE_EXTERNAL = ((REFRACTIVE_INDEX - 1.0) / (REFRACTIVE_INDEX + 1.0)) ** 2
"""Fresnel reflection of collimated light from outside, 0.04 (Saunderson's k1)."""
SURFACE_INTERNAL = 0.596
"""Reflection of diffuse light from inside at n = 1.5 (Saunderson's k2; Orchard 1969)."""
MIRROR_RAD = 0.1
"""Tilt at which a mirror has turned most of its light away from the fibre, assumed."""
MATT_SHARE = 0.1
"""Share of the outer reflection that a fibre collects off the mirror direction, assumed."""
CLEAR_BASE_PER_MM = 1e-3
CLEAR_CERAMIC_FACTOR = 0.05  # iron in soda-lime glass absorbs about 0.01 per mm at 1050 nm, assumed
COAT_BANDS = ((1190.0, 0.45, 50.0), (1410.0, 0.35, 60.0), (1690.0, 1.0, 50.0))
"""Binder of a paint (acrylic, alkyd): C-H bands near those of PMMA, assumed."""
LABEL_BANDS = (
    (1205.0, 0.30, 80.0), (1440.0, 0.60, 90.0), (1475.0, 1.00, 120.0), (1580.0, 0.65, 90.0), (1690.0, 0.35, 70.0),
    (1730.0, 0.30, 60.0), (1930.0, 0.80, 90.0), (2100.0, 1.10, 130.0),
)  # fmt: skip
"""Paper: cellulose as in the catalogue's cardboard; the O-H combinations at 1930 and 2100 nm after Workman and Weyer
(Practical Guide to Interpretive Near-Infrared Spectroscopy, 2007), their depths assumed."""
LABEL_BAND_STRENGTH = 0.25  # K/S of paper at 1475 nm, assumed: printing paper reflects about 0.55 there and 0.8 beside
DIRT_REFLECTANCE = (0.20, 0.35)
"""Dry soil and dust at 900 and at 1700 nm: Stoner and Baumgardner (Soil Sci. Soc. Am. J. 45:1161, 1981), rounded."""
DIRT_BANDS = ((1412.0, 1.0, 40.0), (1910.0, 3.0, 60.0))
DIRT_BAND_STRENGTH = 0.15  # hydroxyl and water of clay, assumed

WATER_NM = np.array(
    [850, 900, 925, 950, 970, 1000, 1050, 1100, 1130, 1160, 1190, 1230, 1260, 1300, 1340, 1380,
     1400, 1420, 1450, 1480, 1510, 1550, 1600, 1650, 1700, 1750, 1800, 1850, 1880, 1900, 1920,
     1940, 1960, 1980, 2000, 2050, 2100, 2150, 2200]
)  # fmt: skip
WATER_PER_CM = np.array(
    [0.043, 0.068, 0.144, 0.39, 0.46, 0.36, 0.14, 0.19, 0.36, 0.98, 1.2, 1.05, 0.95, 1.15, 2.1, 6.5,
     12.4, 20.5, 28.6, 25.0, 16.5, 9.9, 6.7, 5.5, 5.6, 6.6, 8.0, 10.5, 30.0, 65.0, 105.0,
     120.0, 105.0, 86.0, 69.0, 42.0, 27.0, 20.0, 16.5]
)  # fmt: skip
"""Napierian absorption of water (Hale and Querry 1973; Kou, Labrie and Chylek 1993 above 1100 nm), rounded."""
WATER_PATH = 2.2
"""Path through a film over its thickness: twice, and a little for oblique light."""
_WATER_STEP_NM = 1.0
FEW = 8
"""Parts below which it is quicker to sum all slots of bands at once."""
_GAUSS = 2.0 * float(np.sqrt(np.log(2.0)))


@lru_cache(maxsize=1)
def _water_table() -> np.ndarray:
    """Absorption (per cm) on an even grid from the first to the last entry of `WATER_NM`, log-linear between them."""
    grid = np.arange(WATER_NM[0], WATER_NM[-1] + 0.5 * _WATER_STEP_NM, _WATER_STEP_NM)
    return np.exp(np.interp(grid, WATER_NM, np.log(WATER_PER_CM)))


def kubelka_munk(q: Array) -> Array:
    """Reflectance of an opaque scattering body, `1 + q - sqrt(q^2 + 2 q)`, `q = K/S`; stable for large q."""
    return 1.0 / (1.0 + q + namespace(q).sqrt(q * (q + 2.0)))


def kubelka_munk_inverse(reflectance: Array) -> Array:
    """`K/S = (1-R)^2 / (2 R)`."""
    return (1.0 - reflectance) ** 2 / (2.0 * reflectance)


def saunderson(internal: Array) -> Array:
    """Diffuse reflectance seen from outside of an internal one: Fresnel losses on the way in and on the way out."""
    return (1.0 - SURFACE_EXTERNAL) * (1.0 - SURFACE_INTERNAL) * internal / (1.0 - SURFACE_INTERNAL * internal)


def saunderson_inverse(measured: Array) -> Array:
    """Internal reflectance of one that was measured without its mirror reflection (the catalogue's, a paint's)."""
    return measured / ((1.0 - SURFACE_EXTERNAL) * (1.0 - SURFACE_INTERNAL) + SURFACE_INTERNAL * measured)


def body_q(measured: Array) -> Array:
    """`K/S` inside a body whose measured reflectance is given."""
    return kubelka_munk_inverse(saunderson_inverse(measured))


def band_sum(bands: Array, wavelength_nm: Array) -> Array:
    """Sum of the bands as seen through the slit.

    Args:
        bands: (..., B, 3) centre nm, relative depth, full width nm.
        wavelength_nm: (C,) or (..., C) true wavelength.

    Returns:
        (..., C); a band narrower than the slit loses height, not area.
    """
    xp = namespace(wavelength_nm)
    width = xp.sqrt(bands[..., 2] ** 2 + RESOLUTION_NM**2)
    height = bands[..., 1] * bands[..., 2] / width
    exponent = wavelength_nm[..., None, :] - bands[..., 0, None]
    exponent *= exponent  # in place: the largest arrays of a spectrum, which would else leave the processor's cache
    exponent *= -((_GAUSS / width[..., None]) ** 2)
    return xp.einsum("...b,...bc->...c", height, xp.exp(exponent, out=exponent))


def _part_bands(bands: Array, wavelength_nm: Array) -> Array:
    """(N, C) sum of each part's bands; `bands` (N, B, 3) is padded for the material with the most, a third is used."""
    xp = namespace(wavelength_nm)
    there = bands[..., 1] > 0.0
    if bands.shape[0] < FEW:
        return band_sum(bands[:, xp.any(there, axis=0)], wavelength_nm)
    total = 0.0 * bands[:, 0, :1] + 0.0 * wavelength_nm
    for slot in range(bands.shape[1]):
        for rows in _some(there[:, slot]):
            total[rows] += band_sum(bands[rows, slot : slot + 1], _of(wavelength_nm, rows))
    return total


def water_transmission(film_um: Array, wavelength_nm: Array) -> Array:
    """(N, C) share of light that comes back through a film, `exp(-mu 2.2 d)`.

    Args:
        film_um: (N,) thickness, micrometres.
        wavelength_nm: (C,) or (N, C).
    """
    table = kept("water", _water_table(), wavelength_nm)
    absorption = interpolate(wavelength_nm, float(WATER_NM[0]), _WATER_STEP_NM, table)
    return namespace(film_um).exp((-WATER_PATH * 1e-4) * film_um[:, None] * absorption)


def substrate_reflectance(batch: Any, wavelength_nm: Array) -> Array:
    """(N, C) internal reflectance of the uncoated body: scattering, clear, or metal."""
    shape = _part_bands(batch.nir_bands, wavelength_nm)
    q = body_q(batch.base_reflectance) + batch.carbon_black_q
    result = kubelka_munk(q[:, None] + batch.band_strength[:, None] * shape)
    clear = _bare(batch, "transparency")
    for rows in _some(clear > 0.0):
        share = clear[rows][:, None]
        result[rows] = share * _clear(batch, rows, shape[rows]) + (1.0 - share) * result[rows]
    for rows in _some(batch.metal > 0):
        result[rows] = batch.base_reflectance[rows][:, None] * limited(1.0 - shape[rows], 0.0, 1.0)
    return result


def _clear(batch: Any, rows: Array, shape: Array) -> Array:
    """Clear parts: Beer-Lambert twice through the material (both walls of a shell), the table behind."""
    xp = namespace(shape)
    wall = xp.minimum(2.0 * batch.wall_thickness_m[rows], batch.dimensions_m[rows][:, 2])
    factor = xp.where(batch.ceramic[rows] > 0, CLEAR_CERAMIC_FACTOR, 1.0) * batch.clear_absorption_per_mm[rows]
    absorption = CLEAR_BASE_PER_MM + factor[:, None] * shape
    return TABLE_REFLECTANCE * xp.exp(-2e3 * wall[:, None] * absorption)


def _some(mask: Array) -> tuple[Array, ...]:
    """The rows of a mask, to loop over: nothing when none is set, so that rare cases cost nothing."""
    rows = namespace(mask).nonzero(mask)[0] if is_torch(mask) else mask.nonzero()[0]
    return (rows,) if rows.shape[0] else ()


def coated_reflectance(
    transmission: Array, base: Array, strength: Array, substrate: Array, wavelength_nm: Array
) -> Array:
    """(N, C) inside of an intact coat on a substrate, `R0 + t Rg / (1 - R0 Rg)`.

    `t` is the share of the substrate's light that returns through the coat (both ways); the coat itself reflects what
    its one-way transmission `sqrt(t)` leaves of an opaque coat. An uncoated part has t = 1 and R0 = 0.

    Args:
        transmission: (N,) `t`.
        base: (N,) reflectance of the opaque coat between its bands.
        strength: (N,) K/S of its strongest band.
        substrate: (N, C) internal reflectance behind it.
        wavelength_nm: (C,) or (N, C).
    """
    xp = namespace(substrate)
    share = transmission[:, None]
    bands = band_sum(constant(COAT_BANDS, substrate), wavelength_nm)
    opaque = kubelka_munk(body_q(base)[:, None] + strength[:, None] * bands)
    coat = (1.0 - xp.sqrt(share)) * opaque
    return coat + share * substrate / (1.0 - coat * substrate)


def surface_reflectance(internal: Array, specular_share: Array) -> Array:
    """Saunderson: what a fibre sees of an internal reflectance through the surface of a polymer or glass.

    Args:
        internal: (N, C).
        specular_share: (N,) share of the mirror reflection that the fibre collects.
    """
    return SURFACE_EXTERNAL * specular_share[:, None] + saunderson(internal)


def label_reflectance(base: Array, wavelength_nm: Array) -> Array:
    """(N, C) of paper labels, opaque; `base` (N,) is their reflectance between the bands."""
    bands = band_sum(constant(LABEL_BANDS, base), wavelength_nm)
    internal = kubelka_munk(body_q(base)[:, None] + LABEL_BAND_STRENGTH * bands)
    return SURFACE_EXTERNAL * MATT_SHARE + saunderson(internal)


def dirt_reflectance(wavelength_nm: Array) -> Array:
    """(C,) or (N, C) of dry soil and dust, matt."""
    low, high = DIRT_REFLECTANCE
    base = low + (high - low) * limited((wavelength_nm - 900.0) / 800.0, 0.0, 1.2)
    bands = band_sum(constant(DIRT_BANDS, wavelength_nm), wavelength_nm)
    return kubelka_munk(kubelka_munk_inverse(base) + DIRT_BAND_STRENGTH * bands)


def reflectance(
    batch: Any, wavelength_nm: Array, angle_rad: Array | float = 0.0, internal: Array | None = None
) -> Array:
    """(N, C) noiseless reflectance over a white tile at true wavelengths, before geometry and device.

    Args:
        batch: N parts, or the spots of a sensor on N parts (`surface.spot_batch`); a batch of parts is seen with its
            coat intact, its film everywhere, and without label and dirt.
        wavelength_nm: (C,) or (N, C).
        angle_rad: tilt of the fibre against the normal, one or (N,).
        internal: `substrate_reflectance(batch, wavelength_nm)` if it is known: it does not depend on the spot.
    """
    xp = namespace(batch.base_reflectance)
    internal = substrate_reflectance(batch, wavelength_nm) if internal is None else internal
    angle = constant(angle_rad, batch.base_reflectance)
    square = xp.exp(-((angle / MIRROR_RAD) ** 2))  # 1 when the fibre is square to the surface
    gloss = _bare(batch, "gloss")
    mirror = gloss * square
    seen = surface_reflectance(internal, MATT_SHARE + (1.0 - MATT_SHARE) * mirror)
    for rows in _some(batch.metal > 0):
        # A bare metal is its own surface: rough metal scatters to the fibre, a mirror does so only when square to it.
        seen[rows] = internal[rows] * (1.0 - 0.7 * gloss[rows] + 0.7 * mirror[rows])[:, None]
    coat = xp.where(batch.paint_transmission < 1.0, _cover(batch, "coat_cover", 1.0), 0.0)
    for rows in _some(coat > 0.0):
        inside = coated_reflectance(
            batch.paint_transmission[rows], batch.coat_reflectance[rows], batch.coat_band_strength[rows],
            internal[rows], _of(wavelength_nm, rows),
        )  # fmt: skip
        shiny = getattr(batch, "coat_gloss", gloss) * square
        coated = surface_reflectance(inside, MATT_SHARE + (1.0 - MATT_SHARE) * shiny[rows])
        _mix(seen, rows, coat[rows], coated)
    label, dirt = _cover(batch, "label_cover", 0.0), _cover(batch, "dirt_cover", 0.0)
    for rows in _some(label > 0.0):
        _mix(seen, rows, label[rows], label_reflectance(batch.label_reflectance[rows], _of(wavelength_nm, rows)))
    for rows in _some(dirt > 0.0):
        _mix(seen, rows, dirt[rows], dirt_reflectance(_of(wavelength_nm, rows)))
    for rows in _some(batch.film_um > 0.0):
        through = water_transmission(batch.film_um[rows], _of(wavelength_nm, rows))
        seen[rows] = seen[rows] * (1.0 - _cover(batch, "film_cover", 1.0)[rows][:, None] * (1.0 - through))
    return seen


def _bare(batch: Any, name: str) -> Array:
    """(N,) property of the uncovered body: a spot batch has that of body and covers together under the plain name."""
    bare = getattr(batch, f"bare_{name}", None)
    return getattr(batch, name) if bare is None else bare


def _cover(batch: Any, name: str, without: float) -> Array:
    """(N,) share of the spot under a cover; `without` for a batch of whole parts, which has no spots."""
    found = getattr(batch, name, None)
    return namespace(batch.base_reflectance).zeros_like(batch.base_reflectance) + without if found is None else found


def _of(wavelength_nm: Array, rows: Array) -> Array:
    return wavelength_nm[rows] if wavelength_nm.ndim == 2 else wavelength_nm


def _mix(seen: Array, rows: Array, share: Array, cover: Array) -> None:
    """Area mixing in place: light from both shares of the spot reaches the fibre."""
    seen[rows] = seen[rows] + share[:, None] * (cover - seen[rows])
