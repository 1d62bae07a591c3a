"""Converters: raw folders of published measurements -> the documented layout. Facts about each are in `docs/data.md`.

A raw folder is recognised by the files that it holds, never by its name. A converter drops what a study left out
(and says so), but never changes a value beyond its unit.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from palpate_agents.data.files import Dataset, load_folder, read_npz, require_folder
from palpate_agents.data.layout import SpectraDataset, TableDataset, TouchDataset
from palpate_agents.errors import DataError

CONVERTER_VERSION = 1
"""Part of the cache key: raise it when a converter's result changes."""

QUALITY_CLASSES = {1: "waste", 2: "acceptable", 3: "target", 4: "inefficient"}

# netSEM: table -> the response that its authors model; the stressor (time, dose) stays a column.
_AGEING_TARGETS = {"acrylic": "YI", "pet": "YI", "backsheet": "YI", "crack": "dAvgNorm", "metal": "Hardness"}


@dataclass(frozen=True)
class RawKind:
    """One published data set.

    Attributes:
        files: names of the raw files, all needed; `marker` (the first) is what the folder is recognised by.
        convert: folder -> (subfolder or "", data set) pairs.
        note: what was left out and why, for the person who imports.
    """

    files: tuple[str, ...]
    convert: Callable[[Path], Iterable[tuple[str, Dataset]]]
    note: str

    @property
    def marker(self) -> str:
        """The file that a folder of this kind is recognised by."""
        return self.files[0]


def detect_raw(folder: Path) -> str | None:
    """The kind of a raw folder, or None."""
    return next((name for name, kind in RAW_KINDS.items() if (folder / kind.marker).is_file()), None)


def convert_raw(kind: str, folder: Path) -> list[tuple[str, Dataset]]:
    """Converts a raw folder, or checks a folder that is in the documented layout already.

    Args:
        kind: a key of `RAW_KINDS`, or "spectra", "touches", "table" for the documented layout.
        folder: the folder.

    Returns:
        (subfolder or "", data set) pairs; one pair but for folders that hold several tables.

    Raises:
        DataError: unknown kind, missing folder or files, or malformed content.
    """
    folder = require_folder(Path(folder))
    if kind in LAYOUT_KINDS:
        dataset = load_folder(folder)
        if not isinstance(dataset, LAYOUT_KINDS[kind]):
            raise DataError(f"{folder} holds no {kind}, but {_layout_name(dataset)}")
        return [("", dataset)]
    if kind not in RAW_KINDS:
        raise DataError(f"unknown kind {kind!r}; known are {', '.join([*RAW_KINDS, *LAYOUT_KINDS])}")
    missing = [name for name in RAW_KINDS[kind].files if not (folder / name).is_file()]
    if missing:
        raise DataError(f"{folder} is no {kind} folder: it lacks {', '.join(missing)}")
    return list(RAW_KINDS[kind].convert(folder))


def convert_plastell(folder: Path) -> Iterable[tuple[str, SpectraDataset]]:
    """Plastell spectra (1550-1950 nm, counts): the polymers of which at least two items were measured.

    The item is the text of the comment. Reference spectra of the same file carry no item and are left out, so nothing
    that they could tell reaches training. Condition is "black" for black items, else "clean".
    """
    raw = read_npz(folder / "plastell_nir.npz", ("wavelength_nm", "spectra", "polymer", "source", "comment", "colour"))
    spectra, polymer, item = raw["spectra"].astype(np.float64), raw["polymer"], raw["comment"]
    measured = (raw["source"] == "plastell") & np.isfinite(spectra).all(axis=1) & (np.char.strip(item) != "")
    n_items = {name: len(set(item[measured & (polymer == name)])) for name in set(polymer)}
    keep = measured & np.array([n_items[name] >= 2 for name in polymer])
    yield (
        "",
        SpectraDataset(
            name="imperial_plastell_nir",
            label=polymer[keep],
            group=item[keep],
            condition=np.where(raw["colour"][keep] == "black", "black", "clean"),
            wavelength_nm=raw["wavelength_nm"],
            values=spectra[keep],
            is_reflectance=False,
        ),
    )


def convert_nist(folder: Path) -> Iterable[tuple[str, SpectraDataset]]:
    """NIST polyolefins (833-2500 nm): percent to reflectance, wavenumber to wavelength, nothing resampled."""
    keys = ("wavenumber_cm1", "reflectance_percent", "sample", "polyolefin_class")
    targets = ("density_g_cm3", "crystallinity", "scb_ch3_per_1000c")
    raw = read_npz(folder / "polyolefin_nir.npz", keys + targets)
    order = np.argsort(raw["wavenumber_cm1"])[::-1]
    yield (
        "",
        SpectraDataset(
            name="nist_polyolefin_nir",
            label=raw["polyolefin_class"],
            group=raw["sample"],
            condition=np.full(len(raw["sample"]), "clean"),
            targets={name: raw[name].astype(np.float64) for name in targets},
            wavelength_nm=1e7 / raw["wavenumber_cm1"][order],
            values=raw["reflectance_percent"].astype(np.float64)[:, order] / 100.0,
        ),
    )


def convert_thermal(folder: Path) -> Iterable[tuple[str, TouchDataset]]:
    """Contact touches of metal and wood; group is the block of 9 trials; cooled wood has condition "cold".

    The third thermistor is left out: its place is not documented.
    """
    raw = read_npz(folder / "thermal_contact.npz", ("signals", "material", "block"))
    signals = raw["signals"].astype(np.float64)
    codes = {"M": ("metal", "room"), "W": ("wood", "room"), "CW": ("wood", "cold")}
    unknown = set(raw["material"]) - set(codes)
    if unknown:
        raise DataError(f"{folder}: unknown material code {sorted(unknown)[0]!r}; known are M, W, CW")
    label = np.array([codes[code][0] for code in raw["material"]])
    yield (
        "",
        TouchDataset(
            name="thermal_ambiguity_toh",
            label=label,
            # One block holds three touches of each material: the object is the material's specimen in that block.
            group=np.array([f"block {block} {name}" for block, name in zip(raw["block"], label, strict=True)]),
            condition=np.array([codes[code][1] for code in raw["material"]]),
            time_s=signals[0, :, 0],
            signals=signals[:, :, [1, 2, 4]],
            channels=np.array(["passive [degC]", "active [degC]", "force [N]"]),
        ),
    )


def convert_moulding(folder: Path) -> Iterable[tuple[str, TableDataset]]:
    """Injection moulding: 13 process parameters and the quality class; the rows carry no day or object."""
    header, rows = _numeric_csv(folder / "data.csv")
    if header[-1] != "quality":
        raise DataError(f"{folder / 'data.csv'}: the last column must be 'quality', got {header[-1]!r}")
    quality = rows[:, -1]
    unknown = set(quality) - set(QUALITY_CLASSES)
    if unknown:
        raise DataError(f"{folder / 'data.csv'}: quality must be 1 to 4, got {sorted(unknown)[0]:g}")
    yield (
        "",
        _table("injection_moulding_road_lens", header[:-1], rows[:, :-1], [QUALITY_CLASSES[int(q)] for q in quality]),
    )


def convert_ageing(folder: Path) -> Iterable[tuple[str, TableDataset]]:
    """netSEM: one table per ageing study, its response as target; the rows carry no sample."""
    for name, target in _AGEING_TARGETS.items():
        header, rows = _numeric_csv(folder / f"{name}.csv")
        if target not in header:
            raise DataError(f"{folder / name}.csv lacks the column {target!r}")
        column = header.index(target)
        others = [index for index in range(len(header)) if index != column]
        table = _table(f"netsem_{name}", [header[i] for i in others], rows[:, others], [name] * len(rows))
        yield name, replace(table, targets={target: rows[:, column]})


RAW_KINDS: dict[str, RawKind] = {
    "imperial_plastell_nir": RawKind(
        ("plastell_nir.npz",),
        convert_plastell,
        "polymers with one item and the reference spectra without item were left out: an item cannot be held out there",
    ),
    "nist_polyolefin_nir": RawKind(
        ("polyolefin_nir.npz",), convert_nist, "crystallinity of the blends is unknown (NaN)"
    ),
    "thermal_ambiguity_toh": RawKind(
        ("thermal_contact.npz",), convert_thermal, "the third thermistor was left out: its place is not documented"
    ),
    "injection_moulding_road_lens": RawKind(
        ("data.csv",), convert_moulding, "rows have no day, so every row is a group of its own"
    ),
    "netsem_degradation": RawKind(
        tuple(f"{name}.csv" for name in _AGEING_TARGETS),
        convert_ageing,
        "tables without a modelled response (PVmodule, IVfeature) were left out; rows carry no sample name",
    ),
}

LAYOUT_KINDS: dict[str, type] = {"spectra": SpectraDataset, "touches": TouchDataset, "table": TableDataset}


def _layout_name(dataset: Dataset) -> str:
    return next(name for name, layout in LAYOUT_KINDS.items() if isinstance(dataset, layout))


def _table(name: str, columns: list[str], values: np.ndarray, label: list[str]) -> TableDataset:
    return TableDataset(
        name=name,
        label=np.array(label),
        group=np.array([f"row {row}" for row in range(len(values))]),
        condition=np.full(len(values), "", np.str_),
        columns=np.array(columns),
        values=values,
    )


def _numeric_csv(path: Path) -> tuple[list[str], np.ndarray]:
    with path.open(newline="", encoding="utf-8-sig") as stream:
        rows = [row for row in csv.reader(stream) if row]
    try:
        values = np.array(rows[1:], np.float64)
    except ValueError as error:
        raise DataError(f"{path}: {error}") from error
    if values.ndim != 2 or values.shape[1] != len(rows[0]):
        raise DataError(f"{path}: every row needs {len(rows[0]) if rows else 1} numbers")
    return [name.strip() for name in rows[0]], values
