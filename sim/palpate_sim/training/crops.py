"""Pictures of the parts of a batched data set, drawn by the cell's renderer: what the batched cell itself cannot give.

Crop k is what the camera, the segmentation and `encoders.crop` make of part k as it lies at its overview. Chunks are
made by several processes and kept in a folder, so that an interrupted run goes on.

    crops, found = render_crops(12_000, seed=1, folder=Path("crops"))
"""

from __future__ import annotations

import json
import zipfile
import zlib
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from palpate_agents.encoders.crop import SIZE, crop_of
from palpate_agents.encoders.features import FEATURE_VERSION
from palpate_agents.encoders.reading import Unusable
from palpate_agents.errors import ConfigError
from palpate_agents.observation import CameraGeometry, ProbeWindows
from palpate_agents.segmentation import MAX_HEIGHT_M, project, region_around, segment
from palpate_sim.batch.cell import BatchedCell
from palpate_sim.files import replacing
from palpate_sim.library import PartLibrary, Progress
from palpate_sim.randomisation import randomisation_hash
from palpate_sim.rendering import FIRST_PART, CellRenderer, part_places, resting_pose
from palpate_sim.sensors import rgbd
from palpate_sim.training.batched import Draw, cell_of
from palpate_sim.training.pieces import all_pieces

CROPS_VERSION = 1
"""Raised with every change of what a crop is."""
CHUNK = 250
AROUND_M = 0.1
"""`region_around` reaches so far to each side."""


class Crops(NamedTuple):
    """Crops of K parts: (K, 64, 64, 4) uint8 and (K,) bool, the part was found in its picture; zeros where not."""

    crop: NDArray[np.uint8]
    found: NDArray[np.bool_]


@dataclass(frozen=True)
class Piece:
    """One piece of work: parts `first` to `first + count - 1` of a draw."""

    seed: int
    first: int
    count: int
    draw: Draw

    @property
    def header(self) -> dict[str, object]:
        """What stored crops must have been made of, as JSON values."""
        made_of = {
            "seed": self.seed, "first": self.first, "count": self.count, "draw": asdict(self.draw),
            "crops_version": CROPS_VERSION, "feature_version": FEATURE_VERSION,
            "randomisation_hash": randomisation_hash(),
        }  # fmt: skip
        plain: dict[str, object] = json.loads(json.dumps(made_of))
        return plain

    @property
    def file(self) -> str:
        """Its name in the folder."""
        return f"crops_seed{self.seed}_part{self.draw.first + self.first:09d}_{self.count}.npz"


def render_crops(
    count: int, seed: int, folder: Path | None = None, draw: Draw | None = None, library: PartLibrary | None = None,
    jobs: int = 2, progress: Progress | None = None,
) -> Crops:  # fmt: skip
    """Draws the overviews of the first parts that `generate_batched` makes with the same seed and draw.

    Args:
        count: number of parts.
        seed: of the data set.
        folder: where chunks of 250 parts are kept; None: nowhere. Those of another seed, draw or version, and damaged
            ones, are made anew.
        draw: of the data set. Of virtual formulations `generate_batched` drops some, crops are there of all.
        library: None: the cached one.
        jobs: processes.
        progress: called with parts done and parts in all.

    Raises:
        ConfigError: no part, or no process.
    """
    if count < 1 or jobs < 1:
        raise ConfigError(f"{count} parts in {jobs} processes: at least 1 of each is needed")
    pieces = [Piece(seed, first, min(CHUNK, count - first), draw or Draw()) for first in range(0, count, CHUNK)]
    crops = Crops(np.zeros((count, SIZE, SIZE, 4), np.uint8), np.zeros(count, bool))
    for number, made in all_pieces(pieces, folder, read_piece, _make, library, jobs, progress):
        rows = slice(pieces[number].first, pieces[number].first + pieces[number].count)
        crops.crop[rows], crops.found[rows] = made
    return crops


def read_piece(path: Path, piece: Piece) -> Crops | None:
    """Stored crops; None when there are none, or damaged ones, or those of something else."""
    try:
        with np.load(path, allow_pickle=False) as file:
            if json.loads(str(file["header"])) != piece.header:
                return None
            crops = Crops(file["crop"], file["found"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        return None
    fits = crops.crop.shape == (piece.count, SIZE, SIZE, 4) and crops.crop.dtype == np.uint8
    return crops if fits and crops.found.shape == (piece.count,) and crops.found.dtype == bool else None


def _make(piece: Piece, path: Path | None, library: PartLibrary | None) -> Crops:
    first = piece.draw.first + piece.first
    crops = overview_crops(cell_of(first, piece.count, piece.seed, library, piece.draw), [piece.seed, 7, first])
    if path is not None:
        with replacing(path) as file:
            np.savez_compressed(file, header=np.array(json.dumps(piece.header)), **crops._asdict())
    return crops


def overview_crops(cell: BatchedCell, seed: list[int]) -> Crops:
    """Crops of the parts of a batched cell as they lie now.

    Args:
        cell: with N parts.
        seed: of the noise of the pictures.
    """
    crops = Crops(np.zeros((cell.cells, SIZE, SIZE, 4), np.uint8), np.zeros(cell.cells, bool))
    renderer = CellRenderer(arm=False)
    try:
        for row in range(cell.cells):
            rng = np.random.default_rng([*seed, row])
            windows = picture_of(cell, row, renderer, rng)
            x, y = (float(v) for v in cell.rows.position_m[row])
            try:
                crops.crop[row] = crop_of(segment(windows, 0.0, region_around((x, y, 0.0))), windows)
            except Unusable:
                continue
            crops.found[row] = True
    finally:
        renderer.close()
    return crops


def picture_of(cell: BatchedCell, row: int, renderer: CellRenderer, rng: np.random.Generator) -> ProbeWindows:
    """Colour and depth around one part of a batched cell, with the noise of its devices.

    Args:
        cell: with N parts.
        row: which of them.
        renderer: without arm.
        rng: noise.
    """
    part, devices, camera = cell.parts.part(row), cell.devices.draw(row), renderer.color_camera
    x, y = (float(v) for v in cell.rows.position_m[row])
    pose = resting_pose(part, x, y, float(cell.rows.yaw_rad[row]))
    renderer.set_parts([part])
    picture = renderer.picture(camera, [pose], None)
    whole = picture.label == FIRST_PART
    places = part_places(camera.points_at(picture.depth_m, whole), pose)
    box, geometry = _around(x, y, camera.geometry, whole.shape)
    mask, true_depth_m = whole[box], picture.depth_m[box]
    looks = [rgbd.pixel_look(part, cell.maps.rows(slice(row, row + 1)), mask, places)]
    depth = rgbd.depth_picture(true_depth_m, looks, devices, rng)
    return ProbeWindows(
        color=rgbd.color_picture(rgbd.dress(picture.color[box], looks), devices, rng),
        depth_m=depth.astype(np.float32) / 1000.0,
        camera=geometry,
    )


def _around(
    x: float, y: float, camera: CameraGeometry, shape: tuple[int, ...]
) -> tuple[tuple[slice, slice], CameraGeometry]:
    """The third of a picture that the segmentation looks at, around a place on the table, and a camera that sees it."""
    corners = np.array([[x + dx, y + dy, z] for dx in (-AROUND_M, AROUND_M) for dy in (-AROUND_M, AROUND_M)
                        for z in (0.0, MAX_HEIGHT_M)])  # fmt: skip
    uv, _ = project(corners, camera)
    left, top = np.maximum(np.floor(uv.min(axis=0)).astype(int), 0)
    right, bottom = np.minimum(np.ceil(uv.max(axis=0)).astype(int) + 1, (shape[1], shape[0]))
    return (slice(top, bottom), slice(left, right)), replace(camera, cx=camera.cx - left, cy=camera.cy - top)
