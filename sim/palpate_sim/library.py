"""What only the scene knows of a part, computed once per geometry and cached: pose, surface, sight, reach.

The surface state (coat, water, dirt) is not in it. One row per geometry class and number; a geometry always lies in the
same place here, so that a part of the batched cell can be laid into the full cell. Building needs PyBullet
(library_build.py), loading does not.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from palpate_agents import segmentation
from palpate_agents.errors import ConfigError
from palpate_sim.backend import Array, to_numpy
from palpate_sim.files import replacing
from palpate_sim.fixtures import PLACE_X_M, PLACE_Y_M
from palpate_sim.keyed import combine, keys_of, uniform
from palpate_sim.kinematics import CELL_URDF
from palpate_sim.objects import PartBatch
from palpate_sim.part_geometry import GEOMETRIES_PER_CLASS, GEOMETRY_CLASSES, geometry_of
from palpate_sim.surface_maps import GRID

PHYSICS_VERSION = 1
"""To be raised when a row would come out differently for a reason that `library_hash` cannot see."""
TOOLS = ("ball", "pad", "scraper", "fibre")
"""Order of the last axis of `reach`."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class LibraryRows:
    """What the scene knows of n parts.

    Grid cell `[i, j]` is that of the surface maps: its centre lies at `((i + 0.5) / 16 - 0.5) * dimensions_m[0]` along
    x and likewise along y in the part's frame.

    Attributes:
        position_m: (n, 2) where the part lies, base frame, m.
        yaw_rad: (n,) turn of its frame about z.
        seen_center_m: (n, 2) middle of the seen oriented box, part's frame, m.
        seen_yaw_rad: (n,) direction of the seen length in the part's frame; added to `yaw_rad` it is the picture's.
        seen_extent_m: (n, 3) seen length, width and height, m.
        seen_volume_m3: (n,) between seen surface and table.
        height_m: (n, 16, 16) of the surface over the table, m; NaN beside the part.
        normal: (n, 16, 16, 3) outward, part's frame; zeros beside the part.
        visible: (n, 16, 16) bool, the colour camera sees it.
        shade: (n, 16, 16) light that a white part returns to the camera, 0..1; 0 where it is not visible.
        reach: (n, 16, 16, 4) bool, each of TOOLS gets there.
        graspable: (n,) bool, the hand gets a hold across the narrow side.
    """

    position_m: Array
    yaw_rad: Array
    seen_center_m: Array
    seen_yaw_rad: Array
    seen_extent_m: Array
    seen_volume_m3: Array
    height_m: Array
    normal: Array
    visible: Array
    shade: Array
    reach: Array
    graspable: Array

    def __len__(self) -> int:
        return len(self.yaw_rad)

    def rows(self, index: Any) -> LibraryRows:
        """Some of them; `index` is an array of numbers or booleans."""
        return LibraryRows(*(getattr(self, field.name)[index] for field in fields(self)))

    def assign(self, index: Any, other: LibraryRows) -> None:
        """Overwrite the rows `index` in place: a thousand cells are not copied for the few that have a new part."""
        for field in fields(self):
            getattr(self, field.name)[index] = getattr(other, field.name)

    def to(self, xp: Any, device: Any = None) -> LibraryRows:
        """Copy in another array library (`numpy`, `torch`).

        Args:
            xp: module with `asarray`.
            device: of the library; None for its default.
        """
        place = {} if device is None else {"device": device}
        return LibraryRows(*(xp.asarray(getattr(self, field.name), **place) for field in fields(self)))

    @staticmethod
    def stacked(rows: Sequence[LibraryRows]) -> LibraryRows:
        """All rows of several, NumPy."""
        return LibraryRows(*(np.concatenate([getattr(one, f.name) for one in rows]) for f in fields(LibraryRows)))


class PartLibrary:
    """Rows of geometry classes and numbers."""

    def __init__(self, table: LibraryRows, places: dict[tuple[str, int], int]):
        """Use `load_or_build` or `of`.

        Args:
            table: NumPy rows.
            places: class and number -> row.
        """
        self.table = table
        self._places = places
        self._index = np.full((len(GEOMETRY_CLASSES), 1 + max(number for _, number in places)), -1, np.int64)
        for (name, number), row in places.items():
            self._index[GEOMETRY_CLASSES.index(name), number] = row

    def __len__(self) -> int:
        return len(self._places)

    @staticmethod
    def load_or_build(cache_dir: Path | None = None, progress: Progress | None = None) -> PartLibrary:
        """The whole library: from the cache if shapes, cell and physics are still the same, else built anew.

        Args:
            cache_dir: folder of the cache; None: the user's (`$XDG_CACHE_HOME/palpate` or `~/.cache/palpate`).
            progress: called with geometries done and geometries in all.
        """
        folder = user_cache_dir() if cache_dir is None else cache_dir
        path = folder / f"parts-{library_hash()}.npz"
        names = [(name, number) for name in GEOMETRY_CLASSES for number in range(GEOMETRIES_PER_CLASS)]
        places = {name: row for row, name in enumerate(names)}
        table = _load(path, len(names))
        if table is None:
            table = _build(names, progress)
            _store(path, table)
        return PartLibrary(table, places)

    @staticmethod
    def of(classes: Sequence[str], ids: Sequence[int], progress: Progress | None = None) -> PartLibrary:
        """A library of a few geometries, built without a cache.

        Args:
            classes: geometry class of each.
            ids: number of each.
            progress: as for `load_or_build`.
        """
        names = list(dict.fromkeys(zip(classes, ids, strict=True)))
        return PartLibrary(_build(names, progress), {name: row for row, name in enumerate(names)})

    def index(self, classes: Array, ids: Array) -> NDArray[np.int64]:
        """(n,) rows.

        Args:
            classes: (n,) index into GEOMETRY_CLASSES.
            ids: (n,) number.

        Raises:
            ConfigError: a geometry is not in the library.
        """
        kind, number = to_numpy(classes).astype(np.int64), to_numpy(ids).astype(np.int64)
        known = (number >= 0) & (number < self._index.shape[1]) & (kind >= 0) & (kind < len(GEOMETRY_CLASSES))
        row = np.where(known, self._index[np.where(known, kind, 0), np.where(known, number, 0)], -1)
        if np.any(row < 0):
            k = int(np.argmax(row < 0))
            raise ConfigError(
                f"geometry {int(number[k])} of class {int(kind[k])} is not among the {len(self)} of the part library"
            )
        return row

    def row(self, class_name: str, geometry_id: int) -> LibraryRows:
        """One geometry, n = 1.

        Raises:
            ConfigError: it is not in the library.
        """
        if (class_name, geometry_id) not in self._places:
            raise ConfigError(f"geometry {geometry_id} of class {class_name!r} is not in the part library")
        return self.table.rows(np.array([self._places[class_name, geometry_id]]))

    def rows_of(self, batch: PartBatch) -> LibraryRows:
        """(n,) rows of the parts of a batch, NumPy.

        Raises:
            ConfigError: a part's geometry is not in the library.
        """
        return self.table.rows(self.index(batch.geometry_class, batch.geometry_id))


def placement(class_name: str, geometry_id: int) -> tuple[float, float, float]:
    """Where a geometry lies: x, y (m) and yaw (rad), base frame."""
    key = combine(keys_of(0, geometry_id), "placement", class_name)
    u, v, w = (float(value) for value in uniform(key, "place", (3,))[0])
    x = PLACE_X_M[0] + u * (PLACE_X_M[1] - PLACE_X_M[0])
    y = PLACE_Y_M[0] + v * (PLACE_Y_M[1] - PLACE_Y_M[0])
    return x, y, float(np.pi * (2.0 * w - 1.0))


def library_hash() -> str:
    """16 hexadecimal digits over everything that the rows follow from: geometries, cell, physics, how it looks."""
    digest = hashlib.sha256(f"{PHYSICS_VERSION} {GRID} {TOOLS}".encode())
    for name in GEOMETRY_CLASSES:
        for number in range(GEOMETRIES_PER_CLASS):
            geometry = geometry_of(name, number)
            digest.update(repr((geometry.shape, geometry.dimensions_m, placement(name, number))).encode())
    digest.update(CELL_URDF.read_bytes())
    folder = Path(__file__).parent
    for name in (
        "shapes.py",
        "geometry.py",
        "cameras.py",
        "clearance.py",
        "planning.py",
        "scene.py",
        "rendering.py",
        "kinematics.py",
        "arm.py",
        "library_build.py",
    ):
        digest.update((folder / name).read_bytes())
    digest.update(Path(segmentation.__file__).read_bytes())
    return digest.hexdigest()[:16]


def user_cache_dir() -> Path:
    """Folder of the user's caches for this program."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(given) if given else Path.home() / ".cache") / "palpate"


def _build(names: Sequence[tuple[str, int]], progress: Progress | None) -> LibraryRows:
    from palpate_sim.library_build import LibraryBuilder  # PyBullet is needed for this only

    rows = []
    with LibraryBuilder() as builder:
        for name, number in names:
            rows.append(builder.row(geometry_of(name, number), placement(name, number)))
            if progress is not None:
                progress(len(rows), len(names))
    return LibraryRows.stacked(rows)


def _load(path: Path, count: int) -> LibraryRows | None:
    """Cached rows; None when there are none, or they are damaged."""
    try:
        with np.load(path) as stored:
            table = LibraryRows(*(stored[field.name] for field in fields(LibraryRows)))
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        return None
    return table if len(table) == count else None


def _store(path: Path, table: LibraryRows) -> None:
    """Write the cache; a folder that cannot be written costs the next start its time, no more."""
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            np.savez(file, **{field.name: getattr(table, field.name) for field in fields(table)})
