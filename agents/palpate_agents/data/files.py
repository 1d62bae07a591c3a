"""Reading and writing the documented layouts: `spectra.npz|csv`, `touches.npz`, `table.csv`.

Files come from anywhere, so nothing in them is executed (no pickles) and no name in them becomes a path.
"""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palpate_agents.data.layout import (
    REFLECTANCE_CEILING,
    SpectraDataset,
    Strings,
    TableDataset,
    TouchDataset,
)
from palpate_agents.errors import DataError

Dataset = SpectraDataset | TouchDataset | TableDataset
_META_COLUMNS = ("label", "group", "condition")
_TARGET = "target_"


def load_folder(folder: Path) -> Dataset:
    """Loads a folder in the documented layout.

    Raises:
        DataError: the folder is missing, holds none of the files, or what it holds is malformed.
    """
    folder = require_folder(folder)
    for filename, load in _LOADERS.items():
        if (folder / filename).is_file():
            return load(folder / filename)
    raise DataError(
        f"{folder} is no data folder: it holds none of {', '.join(_LOADERS)} and is no raw folder that can be imported"
    )


def require_folder(folder: Path) -> Path:
    """`folder` if it is an existing folder.

    Raises:
        DataError: it is missing, or a file.
    """
    if not folder.exists():
        raise DataError(f"the data folder {folder} does not exist")
    if not folder.is_dir():
        raise DataError(f"{folder} is a file; give the folder that holds it")
    return folder


def read_npz(path: Path, required: tuple[str, ...]) -> dict[str, NDArray]:
    """All arrays of an .npz file, without unpickling.

    Raises:
        DataError: the file is missing, truncated or foreign, lacks a key, or holds pickled objects.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist") from error
    except ValueError as error:
        if "allow_pickle" in str(error):
            raise DataError(
                f"{path} holds pickled Python objects, which are never loaded; save text as numpy strings"
            ) from error
        raise DataError(f"{path} is no .npz file: {error}") from error
    except (OSError, zipfile.BadZipFile, EOFError, AttributeError, TypeError) as error:
        raise DataError(f"{path} is truncated or no .npz file: {error}") from error
    missing = [key for key in required if key not in arrays]
    if missing:
        raise DataError(f"{path} lacks {', '.join(missing)}; it holds {', '.join(sorted(arrays)) or 'nothing'}")
    return arrays


def load_spectra_npz(path: Path) -> SpectraDataset:
    """Loads `spectra.npz`: wavelength_nm (W,), values (N, W), label, group, optional condition, unit, target_*."""
    arrays = read_npz(path, ("wavelength_nm", "values", "label", "group"))
    values = _numbers(path, "values", arrays["values"])
    unit = str(arrays["unit"]) if "unit" in arrays else _guess_unit(values)
    if unit not in ("reflectance", "counts"):
        raise DataError(f"{path}: 'unit' must be 'reflectance' or 'counts', got {unit!r}")
    return SpectraDataset(
        **_rows(path, arrays, len(values)),
        wavelength_nm=_numbers(path, "wavelength_nm", arrays["wavelength_nm"]),
        values=values,
        is_reflectance=unit == "reflectance",
    )


def load_spectra_csv(path: Path) -> SpectraDataset:
    """Loads `spectra.csv`: columns label, group, optional condition and target_*; all others are wavelengths."""
    header, columns = _read_csv(path, ("label", "group"))
    channels = [name for name in header if name not in _META_COLUMNS and not name.startswith(_TARGET)]
    try:
        wavelengths = np.array([float(name) for name in channels])
    except ValueError as error:
        raise DataError(
            f"{path}: columns other than {', '.join(_META_COLUMNS)} and target_* must be named by their wavelength "
            f"in nm ({error})"
        ) from error
    values = (
        np.stack([_column(path, name, columns[name]) for name in channels], axis=1) if channels else np.zeros((0, 0))
    )
    return SpectraDataset(
        **_rows(path, columns, len(columns["label"])),
        wavelength_nm=wavelengths,
        values=values,
        is_reflectance=_guess_unit(values) == "reflectance",
    )


def load_touches_npz(path: Path) -> TouchDataset:
    """Loads `touches.npz`: time_s (T,), signals (N, T, C), channels (C,), label, group, optional condition."""
    arrays = read_npz(path, ("time_s", "signals", "channels", "label", "group"))
    signals = _numbers(path, "signals", arrays["signals"])
    return TouchDataset(
        **_rows(path, arrays, len(signals)),
        time_s=_numbers(path, "time_s", arrays["time_s"]),
        signals=signals,
        channels=_text(path, "channels", arrays["channels"]),
    )


def load_table_csv(path: Path) -> TableDataset:
    """Loads `table.csv`: a label or target_* column, optional group and condition; every other column is a number.

    Without a group column every row is an object of its own; without a label column every label is "row".
    """
    header, columns = _read_csv(path, ())
    if "label" not in header and not any(name.startswith(_TARGET) for name in header):
        raise DataError(f"{path} needs a 'label' or a 'target_*' column; it has {', '.join(header)}")
    n_rows = len(columns[header[0]])
    columns.setdefault("label", ["row"] * n_rows)
    columns.setdefault("group", [f"row {row}" for row in range(n_rows)])
    names = [name for name in header if name not in _META_COLUMNS and not name.startswith(_TARGET)]
    values = (
        np.stack([_column(path, name, columns[name]) for name in names], axis=1) if names else np.zeros((n_rows, 0))
    )
    return TableDataset(**_rows(path, columns, n_rows), columns=np.array(names, np.str_), values=values)


def save_dataset(dataset: Dataset, folder: Path) -> Path:
    """Writes a data set in the documented layout and returns the file; values are kept to the last bit.

    Raises:
        DataError: the folder already holds a data set.
    """
    folder.mkdir(parents=True, exist_ok=True)
    taken = [name for name in _LOADERS if (folder / name).exists()]
    if taken:
        raise DataError(f"{folder} already holds {taken[0]}; give another folder")
    rows: dict[str, Any] = {"label": dataset.label, "group": dataset.group, "condition": dataset.condition}
    rows |= {_TARGET + name: values for name, values in dataset.targets.items()}
    if isinstance(dataset, TableDataset):
        path = folder / "table.csv"
        table = dict(zip(map(str, dataset.columns), dataset.values.T, strict=True)) | rows
        with path.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream)
            writer.writerow(table)
            writer.writerows(zip(*(column.tolist() for column in table.values()), strict=True))
    elif isinstance(dataset, TouchDataset):
        path = folder / "touches.npz"
        rows |= {"time_s": dataset.time_s, "signals": dataset.signals, "channels": dataset.channels}
        np.savez_compressed(path, **rows)
    else:
        path = folder / "spectra.npz"
        unit = np.array("reflectance" if dataset.is_reflectance else "counts")
        rows |= {"wavelength_nm": dataset.wavelength_nm, "values": dataset.values, "unit": unit}
        np.savez_compressed(path, **rows)
    return path


_LOADERS: dict[str, Callable[[Path], Dataset]] = {
    "spectra.npz": load_spectra_npz,
    "spectra.csv": load_spectra_csv,
    "touches.npz": load_touches_npz,
    "table.csv": load_table_csv,
}


def _guess_unit(values: NDArray[np.floating]) -> str:
    finite = values[np.isfinite(values)]
    return "counts" if len(finite) and finite.max() > REFLECTANCE_CEILING else "reflectance"


def _rows(path: Path, columns: Mapping[str, NDArray | list[str]], n_rows: int) -> dict:
    condition = columns.get("condition", np.full(n_rows, "", np.str_))
    return {
        "name": path.parent.name,
        "label": _text(path, "label", columns["label"]),
        "group": _text(path, "group", columns["group"]),
        "condition": _text(path, "condition", condition),
        "targets": {
            key.removeprefix(_TARGET): _column(path, key, values, empty_is_nan=True)
            for key, values in columns.items()
            if key.startswith(_TARGET)
        },
    }


def _text(path: Path, key: str, values: NDArray | list[str]) -> Strings:
    array = np.asarray(values)
    if array.dtype.kind not in "USiu":
        raise DataError(f"{path}: {key!r} must be text, got {array.dtype}")
    return array.astype(np.str_)


def _numbers(path: Path, key: str, values: NDArray) -> NDArray[np.float64]:
    if values.dtype.kind not in "fiu":
        raise DataError(f"{path}: {key!r} must be numbers, got {values.dtype}")
    return values.astype(np.float64)


def _column(path: Path, key: str, values: NDArray | list[str], empty_is_nan: bool = False) -> NDArray[np.float64]:
    if isinstance(values, np.ndarray):
        return _numbers(path, key, values)
    numbers = np.empty(len(values))
    for row, text in enumerate(values):
        try:
            numbers[row] = np.nan if empty_is_nan and not text.strip() else float(text)
        except ValueError as error:
            raise DataError(f"{path}: row {row}, column {key!r}: {text!r} is no number") from error
    return numbers


def _read_csv(path: Path, required: tuple[str, ...]) -> tuple[list[str], dict[str, NDArray | list[str]]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            rows = [row for row in csv.reader(stream) if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} is no readable CSV file (UTF-8, comma): {error}") from error
    if not rows:
        raise DataError(f"{path} is empty; it needs a header line")
    header = [name.strip() for name in rows[0]]
    missing = [name for name in required if name not in header]
    if missing:
        raise DataError(f"{path} lacks the column {', '.join(missing)}; the header starts {', '.join(header[:6])}")
    if len(set(header)) != len(header):
        raise DataError(f"{path} names a column twice: {next(n for n in header if header.count(n) > 1)!r}")
    body = rows[1:]
    if not body:
        raise DataError(f"{path} has a header but no rows")
    for number, row in enumerate(body):
        if len(row) != len(header):
            raise DataError(f"{path}: row {number} has {len(row)} cells, the header has {len(header)}")
    return header, {name: [row[index] for row in body] for index, name in enumerate(header)}
