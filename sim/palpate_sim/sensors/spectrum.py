"""NIR reflectance, 900 to 1700 nm: Kubelka-Munk bulk, coat, surface, water film, and a DLP spectrometer.

Order of the light: substrate (scattering bulk, clear bulk or metal), coat, surface (Saunderson), water film, geometry,
device. Black parts are blind because `K/S` of carbon black (20 to 50) leaves no light. See `docs/physics.md`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from palpate_sim.contact import Array
from palpate_sim.devices import DeviceDraw
from palpate_sim.objects import PartBatch

WAVELENGTH_NM: NDArray[np.float64] = np.linspace(900.0, 1700.0, 228)
"""Reported axis: 228 channels of a DLP NIR scanner."""

NOMINAL_STANDOFF_M = 0.010
RANGE_M = 0.06
"""A collimating head on the fibre: a quarter of the light is left at 0.1 m; assumed."""
RESOLUTION_NM = 10.0  # full width of the slit function
TABLE_REFLECTANCE = 0.6  # inside, of what lies behind a clear part; assumed
REFRACTIVE_INDEX = 1.5
SURFACE_EXTERNAL = ((REFRACTIVE_INDEX - 1.0) / (REFRACTIVE_INDEX + 1.0)) ** 2
"""Fresnel reflection of collimated light from outside, 0.04 (Saunderson's k1)."""
SURFACE_INTERNAL = 0.596
"""Reflection of diffuse light from inside at n = 1.5 (Saunderson's k2; Orchard 1969)."""
CLEAR_BASE_PER_MM = 1e-3
CLEAR_CERAMIC_FACTOR = 0.05  # iron in soda-lime glass absorbs about 0.01 per mm at 1050 nm, assumed
COAT_BANDS = np.array([[1190.0, 0.45, 50.0], [1410.0, 0.35, 60.0], [1690.0, 1.0, 50.0]])
"""Binder of a paint (acrylic, alkyd): C-H bands near those of PMMA, assumed."""

WATER_NM = np.array(
    [850, 900, 925, 950, 970, 1000, 1050, 1100, 1130, 1160, 1190, 1230, 1260, 1300, 1340, 1380,
     1400, 1420, 1450, 1480, 1510, 1550, 1600, 1650, 1700, 1750]
)  # fmt: skip
WATER_PER_CM = np.array(
    [0.043, 0.068, 0.144, 0.39, 0.46, 0.36, 0.14, 0.19, 0.36, 0.98, 1.2, 1.05, 0.95, 1.15, 2.1, 6.5,
     12.4, 20.5, 28.6, 25.0, 16.5, 9.9, 6.7, 5.5, 5.6, 6.6]
)  # fmt: skip
"""Napierian absorption of water (Hale and Querry 1973; Kou, Labrie and Chylek 1993 above 1100 nm), rounded."""
WATER_PATH = 2.2
"""Path through a film over its thickness: twice, and a little for oblique light."""


def kubelka_munk(q: Array) -> Array:
    """Reflectance of an opaque scattering body, `1 + q - sqrt(q^2 + 2 q)`, `q = K/S`; stable for large q."""
    return 1.0 / (1.0 + q + np.sqrt(q * q + 2.0 * q))


def kubelka_munk_inverse(reflectance: Array | float) -> Array:
    """`K/S = (1-R)^2 / (2 R)`."""
    r = np.asarray(reflectance, float)
    return (1.0 - r) ** 2 / (2.0 * r)


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
        wavelength_nm: (C,) true wavelength.

    Returns:
        (..., C); a band narrower than the slit loses height, not area.
    """
    width = np.hypot(bands[..., 2], RESOLUTION_NM)
    height = bands[..., 1] * bands[..., 2] / width
    offset = (wavelength_nm - bands[..., 0, None]) / width[..., None]
    return np.einsum("...b,...bc->...c", height, np.exp(-4.0 * np.log(2.0) * offset**2))


def water_transmission(film_um: Array, wavelength_nm: Array) -> Array:
    """(N, C) share of light that comes back through a film, `exp(-mu 2.2 d)`.

    Args:
        film_um: (N,) thickness, micrometres.
        wavelength_nm: (C,).
    """
    absorption = np.exp(np.interp(wavelength_nm, WATER_NM, np.log(WATER_PER_CM)))
    return np.exp(-WATER_PATH * 1e-4 * film_um[:, None] * absorption)


def substrate_reflectance(batch: PartBatch, wavelength_nm: Array) -> Array:
    """(N, C) internal reflectance of the uncoated body: scattering, clear, or metal."""
    shape = band_sum(batch.nir_bands, wavelength_nm)
    metal = batch.base_reflectance[:, None] * np.maximum(1.0 - shape, 0.0)
    q = body_q(batch.base_reflectance)[:, None] + batch.carbon_black_q[:, None]
    scattering = kubelka_munk(q + batch.band_strength[:, None] * shape)
    return np.where(batch.metal[:, None], metal, _mix_clear(batch, shape, scattering))


def _mix_clear(batch: PartBatch, shape: Array, scattering: Array) -> Array:
    """Clear parts: Beer-Lambert twice through the material, the table behind; translucent ones in between."""
    wall = np.minimum(2.0 * batch.wall_thickness_m, batch.dimensions_m[:, 2])
    scale = np.where(batch.ceramic, CLEAR_CERAMIC_FACTOR, 1.0) * batch.clear_absorption_per_mm
    absorption = CLEAR_BASE_PER_MM + scale[:, None] * shape
    clear = TABLE_REFLECTANCE * np.exp(-2.0 * absorption * 1e3 * wall[:, None])
    share = batch.transparency[:, None]
    return share * clear + (1.0 - share) * scattering


def coated_reflectance(batch: PartBatch, substrate: Array, wavelength_nm: Array) -> Array:
    """(N, C) of a coat on a substrate, `R0 + t Rg / (1 - R0 Rg)`.

    `t` is the share of the substrate's light that returns through the coat (both ways); the coat itself reflects what
    its one-way transmission `sqrt(t)` leaves of an opaque coat. An uncoated part has t = 1 and R0 = 0.
    """
    share = batch.paint_transmission[:, None]
    q = body_q(batch.coat_reflectance)[:, None]
    opaque = kubelka_munk(q + batch.coat_band_strength[:, None] * band_sum(COAT_BANDS, wavelength_nm)[None])
    coat = (1.0 - np.sqrt(share)) * opaque
    return coat + share * substrate / (1.0 - coat * substrate)


def surface_reflectance(internal: Array, specular_share: Array) -> Array:
    """Saunderson: what a fibre sees of an internal reflectance through the surface of a polymer or glass.

    Args:
        internal: (N, C).
        specular_share: (N,) share of the mirror reflection that the fibre collects.
    """
    return SURFACE_EXTERNAL * specular_share[:, None] + saunderson(internal)


def reflectance(batch: PartBatch, wavelength_nm: Array, angle_rad: Array | float = 0.0) -> Array:
    """(N, C) noiseless reflectance over a white tile at true wavelengths, before geometry and device."""
    internal = coated_reflectance(batch, substrate_reflectance(batch, wavelength_nm), wavelength_nm)
    mirror = batch.gloss * np.exp(-((np.asarray(angle_rad) / 0.1) ** 2))
    bare_metal = batch.metal & (batch.paint_transmission >= 1.0)
    # A bare metal is its own surface: rough metal scatters to the fibre, a mirror does so only when square to it.
    metal = internal * (1.0 - 0.7 * batch.gloss + 0.7 * mirror)[:, None]
    seen = np.where(bare_metal[:, None], metal, surface_reflectance(internal, 0.1 + 0.9 * mirror))
    return seen * water_transmission(batch.film_um, wavelength_nm)


def noise_shape(wavelength_nm: Array) -> Array:
    """(C,) noise over that at mid range: an InGaAs detector and its lamp fade towards both ends; assumed."""
    edge = np.clip(np.maximum((1000.0 - wavelength_nm) / 100.0, (wavelength_nm - 1600.0) / 100.0), 0.0, 1.0)
    return 1.0 + 1.5 * edge**2


def measure(
    batch: PartBatch,
    devices: DeviceDraw,
    standoff_m: Array | float,
    angle_rad: Array | float,
    rng: np.random.Generator,
) -> Array:
    """One scan of each part.

    Args:
        batch: N parts.
        devices: wavelength shift, gain and noise of the spectrometer.
        standoff_m: distance of the fibre, one or (N,), m; light falls off over `RANGE_M`.
        angle_rad: tilt of the fibre against the normal, one or (N,).
        rng: noise.

    Returns:
        (N, C) reflectance on the reported axis `WAVELENGTH_NM`, 1 = white tile at the nominal stand-off.
    """
    seen = reflectance(batch, WAVELENGTH_NM + devices.wavelength_shift_nm, angle_rad)
    return _scan(seen, devices, standoff_m, angle_rad, rng)


def measure_table(
    devices: DeviceDraw, standoff_m: float, angle_rad: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """(C,) one scan of the grey table, which has no bands; arguments as for `measure`."""
    seen = np.full((1, len(WAVELENGTH_NM)), saunderson(np.array(TABLE_REFLECTANCE)))
    return _scan(seen, devices, standoff_m, angle_rad, rng)[0]


def _scan(
    seen: Array, devices: DeviceDraw, standoff_m: Array | float, angle_rad: Array | float, rng: np.random.Generator
) -> Array:
    """(N, C) what a spectrometer reports of a noiseless reflectance: geometry, small tilt of the level, noise, gain."""
    count = len(seen)
    distance = np.broadcast_to(np.asarray(standoff_m, float), (count,))
    falloff = (1.0 + (NOMINAL_STANDOFF_M / RANGE_M) ** 2) / (1.0 + (distance / RANGE_M) ** 2)
    geometry = falloff * np.cos(np.broadcast_to(np.asarray(angle_rad, float), (count,)))
    placed = geometry * (1.0 + 0.02 * rng.standard_normal(count))
    tilt = 1.0 + 0.01 * rng.standard_normal(count)[:, None] * (WAVELENGTH_NM - 1300.0) / 400.0
    noise = noise_shape(WAVELENGTH_NM) / devices.spectral_snr * rng.standard_normal(seen.shape)
    return devices.spectral_gain * (placed[:, None] * tilt * seen + noise)
