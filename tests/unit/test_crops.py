"""Rendered crops of a batched data set: they show its parts, and an interrupted run goes on."""

from __future__ import annotations

import json

import numpy as np
import pytest
from flat_library import flat_library

from palpate_agents.encoders.surface_map import CELLS
from palpate_agents.errors import ConfigError
from palpate_sim.training import crops as rendering
from palpate_sim.training.batched import Draw, cell_of
from palpate_sim.training.crops import Piece, overview_crops, read_piece, render_crops

PARTS = 24
DRAW = Draw(outlines=(0, 24, 40, 60))


@pytest.fixture(scope="module")
def library():
    return flat_library()


@pytest.fixture
def few_at_a_time(monkeypatch):
    monkeypatch.setattr(rendering, "CHUNK", 4)


@pytest.fixture
def counted(monkeypatch):
    """Numbers of the first parts of the pieces that were rendered."""
    rendered, real = [], rendering.overview_crops

    def render(cell, seed):
        rendered.append(seed[-1])
        return real(cell, seed)

    monkeypatch.setattr(rendering, "overview_crops", render)
    return rendered


@pytest.fixture(scope="module")
def cell(library):
    return cell_of(0, PARTS, 3, library, DRAW)


@pytest.fixture(scope="module")
def shown(cell):
    return overview_crops(cell, [3])


def test_crops_show_the_parts_of_the_batched_cell(cell, shown):
    assert shown.found.mean() > 0.9
    over = shown.crop[..., :3].astype(float) / (256.0 - shown.crop[..., :3])
    middle = slice(27, 37)
    ours = over[:, middle, middle].mean(axis=(1, 2))
    near = slice(CELLS // 2 - 1, CELLS // 2 + 1)
    theirs = cell.view[:, near, near, 1:4].mean(axis=(1, 2))
    good = shown.found & ~np.isin(cell.parts.words("shape"), ("tube", "bracket"))  # which are not flat in the middle
    assert np.median(np.abs(ours - theirs)[good]) < 0.1
    assert np.corrcoef(ours[good].ravel(), theirs[good].ravel())[0, 1] > 0.95
    # A crop of another part shows something else.
    assert np.corrcoef(np.roll(ours, 1, axis=0)[good].ravel(), theirs[good].ravel())[0, 1] < 0.8


def test_the_corners_are_table_and_the_noise_follows_the_seed(cell, shown):
    corners = shown.crop[shown.found][:, (0, 0, -1, -1), (0, -1, 0, -1), :3].astype(float)
    assert np.median(np.abs(corners - 128.0)) < 5.0
    assert np.array_equal(overview_crops(cell, [3]).crop, shown.crop)
    other = overview_crops(cell, [4]).crop[shown.found]
    difference = np.abs(other.astype(float) - shown.crop[shown.found])
    assert 0.0 < np.median(difference[..., :3].mean(axis=(1, 2, 3))) < 12.0


def test_a_part_does_not_depend_on_how_many_there_are(library, few_at_a_time):
    many, few = (render_crops(count, 3, draw=DRAW, library=library, jobs=1) for count in (8, 4))
    assert np.array_equal(many.crop[:4], few.crop)
    assert not np.array_equal(many.crop[4:], few.crop)


def test_two_processes_make_the_same(library, few_at_a_time, tmp_path):
    alone = render_crops(8, 3, draw=DRAW, library=library, jobs=1)
    together = render_crops(8, 3, tmp_path, DRAW, library, jobs=2)
    assert np.array_equal(alone.crop, together.crop)
    assert np.array_equal(alone.found, together.found)
    assert len(list(tmp_path.iterdir())) == 2


def test_an_interrupted_run_goes_on_and_bad_chunks_are_made_anew(library, few_at_a_time, counted, tmp_path):
    told = []

    def render(**given):
        counted.clear()
        told.clear()
        return render_crops(
            **({"count": 12, "seed": 3, "folder": tmp_path, "draw": DRAW, "library": library, "jobs": 1} | given),
            progress=lambda *numbers: told.append(numbers),
        )

    first = render()
    assert counted == [0, 4, 8]
    assert told == [(4, 12), (8, 12), (12, 12)]
    files = sorted(tmp_path.iterdir())
    assert len(files) == 3
    again = render()
    assert counted == []
    assert np.array_equal(first.crop, again.crop)
    assert np.array_equal(first.found, again.found)

    files[0].write_bytes(files[0].read_bytes()[:-200])  # damaged
    files[1].unlink()  # never made
    with np.load(files[2]) as stored:
        content = dict(stored)
    content["header"] = np.array(json.dumps(json.loads(str(content["header"])) | {"seed": 4}))  # foreign
    np.savez(files[2], **content)
    assert np.array_equal(render().crop, first.crop)
    assert sorted(counted) == [0, 4, 8]
    middle = bytearray(files[0].read_bytes())
    middle[len(middle) // 2] ^= 0xFF
    files[0].write_bytes(middle)
    assert np.array_equal(render().crop, first.crop)
    assert counted == [0]
    assert not np.array_equal(render(draw=Draw(outlines=(0, 24), condition="black")).crop, first.crop)
    assert counted == [0, 4, 8]
    assert len(list(tmp_path.iterdir())) == 3


def test_stored_arrays_of_a_wrong_form_do_not_count(tmp_path):
    piece = Piece(3, 0, 4, DRAW)
    path, found = tmp_path / piece.file, np.ones(4, bool)
    for crop, seen in ((np.zeros((3, 64, 64, 4), np.uint8), found), (np.zeros((4, 64, 64, 4)), found),
                       (np.zeros((4, 64, 64, 4), np.uint8), found[:2])):  # fmt: skip
        np.savez(path, header=np.array(json.dumps(piece.header)), crop=crop, found=seen)
        assert read_piece(path, piece) is None
    np.savez(path, header=np.array(json.dumps(piece.header)), crop=np.zeros((4, 64, 64, 4), np.uint8), found=found)
    assert read_piece(path, piece) is not None
    path.write_text("nothing")
    assert read_piece(path, piece) is None


def test_a_part_that_is_not_found_has_no_crop(cell, monkeypatch):
    real, seen = rendering.segment, []

    def blind_once(windows, height_m, region):
        view = real(windows, height_m, region)
        seen.append(view)
        return rendering.replace(view, found=False, reason="gone") if len(seen) == 2 else view

    monkeypatch.setattr(rendering, "segment", blind_once)
    crops = overview_crops(cell, [3])
    assert not crops.found[1]
    assert not crops.crop[1].any()
    assert crops.crop[0].any()


@pytest.mark.parametrize("given", [{"count": 0}, {"count": 4, "jobs": 0}])
def test_nothing_to_do_is_refused(given):
    with pytest.raises(ConfigError, match="at least 1"):
        render_crops(seed=1, **given)
