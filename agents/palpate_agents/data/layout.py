"""The documented layouts of measured data, in memory: spectra, contact traces, tables. Every check is here.

A data set is refused rather than mended: the message names the file, the row and the way out. Rows are counted from 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from palpate_agents.errors import DataError
from palpate_agents.observation import SpectrumSample

MIN_CHANNELS = 16
MAX_NAME_LENGTH = 120
WAVELENGTH_LIMITS_NM = (150.0, 30_000.0)
"""Ultraviolet to mid infrared. Outside, the column is surely not in nanometres (micrometres, wavenumbers)."""

REFLECTANCE_CEILING = 4.0
"""Above this largest value a spectrum is taken for detector counts: no diffuse reflector returns four times white."""

Strings = NDArray[np.str_]
AnyDataset = TypeVar("AnyDataset", bound="_Dataset")


@dataclass(frozen=True)
class _Dataset:
    """What all layouts share.

    Attributes:
        name: for people; where the data came from.
        label: (N,) the material or class as the data set spells it.
        group: (N,) the physical object; rows of one group are never split between training and test.
        condition: (N,) for example "clean" or "black"; empty strings where it was not given.
        targets: name -> (N,) numbers for regression, NaN where not measured.
    """

    name: str
    label: Strings
    group: Strings
    condition: Strings
    targets: dict[str, NDArray[np.float64]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.label)

    @property
    def labels(self) -> tuple[str, ...]:
        """The data set's own label set, sorted."""
        return tuple(sorted({str(label) for label in self.label}))

    @property
    def groups(self) -> tuple[str, ...]:
        """The physical objects, sorted."""
        return tuple(sorted({str(group) for group in self.group}))

    def take(self: AnyDataset, rows: NDArray[np.bool_] | NDArray[np.integer]) -> AnyDataset:
        """The rows of a boolean mask or of indices, as a data set of the same kind."""
        per_row: dict[str, Any] = {
            item.name: value[rows]
            for item in fields(self)
            if isinstance(value := getattr(self, item.name), np.ndarray) and item.name not in self._per_set()
        }
        return replace(self, **per_row, targets={name: values[rows] for name, values in self.targets.items()})

    def without_group(self: AnyDataset, group: str) -> AnyDataset:
        """All rows but those of one object."""
        return self.take(self.group != group)

    def only_group(self: AnyDataset, group: str) -> AnyDataset:
        """The rows of one object."""
        return self.take(self.group == group)

    def require_groups_per_label(self, minimum: int = 2) -> None:
        """Checks that leaving one object out leaves something to learn its label from.

        Raises:
            DataError: a label has fewer than `minimum` groups, or there is only one label.
        """
        if len(self.labels) < 2:
            raise DataError(f"{self.name}: there is one label only ({self.labels[0]!r}); classification needs two")
        counts = {label: len(set(self.group[self.label == label])) for label in self.labels}
        short = {label: count for label, count in counts.items() if count < minimum}
        if short:
            listed = ", ".join(f"{label} ({count})" for label, count in short.items())
            raise DataError(
                f"{self.name}: leave-item-out needs at least {minimum} groups for every label, but these have fewer: "
                f"{listed}; add objects or leave these labels out"
            )

    def _per_set(self) -> frozenset[str]:
        """Names of arrays that belong to the set, not to a row."""
        return frozenset()

    def _check_rows(self, n_rows: int) -> None:
        if n_rows == 0:
            raise DataError(f"{self.name}: the data set is empty")
        for key in ("label", "group", "condition"):
            values = getattr(self, key)
            if values.shape != (n_rows,):
                raise DataError(
                    f"{self.name}: {key!r} must have one entry per row ({n_rows}), got shape {values.shape}"
                )
        for key in ("label", "group"):
            _check_names(self.name, key, getattr(self, key))
        for key, target in self.targets.items():
            if target.shape != (n_rows,):
                raise DataError(f"{self.name}: 'target_{key}' must have {n_rows} entries, got shape {target.shape}")
        owners: dict[str, str] = {}
        for row, (group, label) in enumerate(zip(self.group, self.label, strict=True)):
            if owners.setdefault(str(group), str(label)) != label:
                raise DataError(
                    f"{self.name}: row {row}: group {str(group)!r} has two labels ({owners[str(group)]!r} and "
                    f"{str(label)!r}); a group is one physical object, so give each object a name of its own"
                )


@dataclass(frozen=True)
class SpectraDataset(_Dataset):
    """Spectra on one wavelength axis.

    Attributes:
        wavelength_nm: (W,) ascending, nm.
        values: (N, W) reflectance (1 = white reference) or detector counts.
        is_reflectance: False for detector counts.
    """

    wavelength_nm: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    values: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 0)))
    is_reflectance: bool = True

    def __post_init__(self) -> None:
        check_wavelengths(self.name, self.wavelength_nm)
        if self.values.ndim != 2 or self.values.shape[1] != len(self.wavelength_nm):
            raise DataError(
                f"{self.name}: 'values' must be (spectra, {len(self.wavelength_nm)}) to fit 'wavelength_nm', "
                f"got shape {self.values.shape}"
            )
        self._check_rows(len(self.values))
        _check_finite(self.name, "spectrum", self.values)

    def _per_set(self) -> frozenset[str]:
        return frozenset({"wavelength_nm"})

    def spectrum(self, row: int) -> SpectrumSample:
        """Row `row` as a device would deliver it."""
        return SpectrumSample(self.wavelength_nm, self.values[row], is_reflectance=self.is_reflectance)


@dataclass(frozen=True)
class TouchDataset(_Dataset):
    """Contact traces on one time axis.

    Attributes:
        time_s: (T,) ascending, seconds; 0 is the contact.
        signals: (N, T, C).
        channels: (C,) names with units, for example "active [degC]".
    """

    time_s: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    signals: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 0, 0)))
    channels: Strings = field(default_factory=lambda: np.zeros(0, np.str_))

    def __post_init__(self) -> None:
        if self.time_s.ndim != 1 or len(self.time_s) < 2 or not np.all(np.diff(self.time_s) > 0):
            raise DataError(f"{self.name}: 'time_s' must be at least two ascending, finite times in seconds")
        expected = (len(self.time_s), len(self.channels))
        if self.signals.ndim != 3 or self.signals.shape[1:] != expected:
            raise DataError(
                f"{self.name}: 'signals' must be (touches, {expected[0]}, {expected[1]}), "
                f"got shape {self.signals.shape}"
            )
        self._check_rows(len(self.signals))
        _check_names(self.name, "channels", self.channels)
        _check_finite(self.name, "touch", self.signals.reshape(len(self.signals), -1))

    def _per_set(self) -> frozenset[str]:
        return frozenset({"time_s", "channels"})

    def channel(self, name: str) -> NDArray[np.float64]:
        """(N, T) one channel, by its full name or by the part before the unit."""
        for index, channel in enumerate(self.channels):
            if name in (channel, str(channel).split(" [", maxsplit=1)[0]):
                return self.signals[:, :, index]
        raise DataError(f"{self.name}: no channel {name!r}; there are {', '.join(self.channels)}")


@dataclass(frozen=True)
class TableDataset(_Dataset):
    """A table of numbers: process parameters, ageing tests.

    Attributes:
        columns: (P,) names of the parameters.
        values: (N, P).
    """

    columns: Strings = field(default_factory=lambda: np.zeros(0, np.str_))
    values: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 0)))

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or self.values.shape[1] != len(self.columns) or not len(self.columns):
            raise DataError(f"{self.name}: 'values' must be (rows, {len(self.columns)}), got shape {self.values.shape}")
        self._check_rows(len(self.values))
        _check_finite(self.name, "row", self.values)

    def _per_set(self) -> frozenset[str]:
        return frozenset({"columns"})


def check_wavelengths(name: str, grid: NDArray[np.floating]) -> None:
    """Checks a wavelength axis.

    Raises:
        DataError: too few channels, not finite, not ascending, or not in nanometres.
    """
    if grid.ndim != 1 or len(grid) < MIN_CHANNELS:
        raise DataError(f"{name}: 'wavelength_nm' must hold at least {MIN_CHANNELS} channels, got shape {grid.shape}")
    if not np.all(np.isfinite(grid)):
        raise DataError(f"{name}: 'wavelength_nm' is not finite at channel {int(np.argmin(np.isfinite(grid)))}")
    steps = np.diff(grid)
    if np.any(steps <= 0):
        channel = int(np.argmax(steps <= 0)) + 1
        raise DataError(
            f"{name}: 'wavelength_nm' must ascend, but channel {channel} ({grid[channel]:g} nm) is not above "
            f"channel {channel - 1} ({grid[channel - 1]:g} nm); sort the channels"
        )
    low, high = WAVELENGTH_LIMITS_NM
    if grid[0] < low or grid[-1] > high:
        raise DataError(
            f"{name}: wavelengths run from {grid[0]:g} to {grid[-1]:g}, outside {low:g} to {high:g} nm; "
            "give them in nanometres (1 um = 1000 nm; nm = 1e7 / wavenumber in 1/cm)"
        )


def _check_names(name: str, key: str, values: Sequence[str] | Strings) -> None:
    for row, value in enumerate(values):
        text = str(value)
        if not text.strip():
            raise DataError(f"{name}: row {row}: {key!r} is empty")
        if len(text) > MAX_NAME_LENGTH or not text.isprintable():
            raise DataError(
                f"{name}: row {row}: {key!r} must be printable text of at most {MAX_NAME_LENGTH} characters"
            )


def _check_finite(name: str, what: str, values: NDArray[np.floating]) -> None:
    bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if len(bad):
        shown = ", ".join(str(row) for row in bad[:5]) + (", ..." if len(bad) > 5 else "")
        raise DataError(
            f"{name}: {len(bad)} of {len(values)} rows hold NaN or infinite values ({what} {shown}, counted from 0); "
            "remove these rows or measure them again"
        )
