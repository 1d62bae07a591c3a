"""What a touch changed under it: through pictures, and in the batched cell by the same rule."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import synthetic_windows as syn
from flat_library import flat_library
from synthetic_windows import V, column, looked

from palpate_agents.encoders.contact_change import NAMES, look_under, touches
from palpate_agents.encoders.context import PartContext
from palpate_agents.encoders.features import extract
from palpate_agents.encoders.surface_map import CELLS, CHANNELS
from palpate_agents.observation import Modality, Outcome, Primitive, ProbeWindows
from palpate_agents.probing.decoder import decode, encode
from palpate_sim.batch.cell import BatchConfig, BatchedCell

GREY, LIGHT = (60, 60, 60), (230, 230, 230)
TABLE = np.array((77.0, 92.0, 84.0))
LIGHTNESS = NAMES[0]
HALF_M = np.array([0.012, 0.006])
"""Half of the patch that a touch leaves in these tests, along x and y."""


def maps(**channels):
    """(1, 8, 8, C) map of a grey part that was seen everywhere; channels by name."""
    values = np.zeros((1, CELLS, CELLS, len(CHANNELS)))
    for name, value in ({"valid_share": 1.0, "red_over_table": 1.0, "green_over_table": 1.0, "blue_over_table": 1.0,
                         "height_fraction": 1.0} | channels).items():  # fmt: skip
        values[..., CHANNELS.index(name)] = value
    return values


def under(views, place, way=(0.0, 0.0), height_m=0.03):
    return dict(zip(NAMES, look_under(views, np.array([height_m]), np.array([place]), np.array([way]))[0], strict=True))


def picture(patch=None, colour=LIGHT, seed=0, **options):
    """A LOOK at a grey part, with a patch of another colour around a place (x, y)."""
    execution, windows = syn.look(np.random.default_rng(seed), rgb=GREY, **options)
    if patch is not None:
        view = PartContext().after(execution, windows).view
        mask = np.zeros(view.mask.shape, bool)
        mask[view.mask] = (np.abs(view.pixels_m[:, :2] - patch) < HALF_M).all(axis=1)
        windows.color[mask] = colour
    return execution, windows


def touch(primitive=Primitive.SCRATCH, place=syn.CENTRE, way=(0.0, 0.0), **fields):
    """A window whose tip goes a way (x, y) from a place, m."""
    length = float(np.hypot(*way))
    given = {"contact_point_m": (*place, syn.SIZE_M[2]), "slide_distance_m": length}
    times = np.arange(-0.3, 0.5, 0.01)
    share = np.clip(times / 0.4, 0.0, 1.0)[:, None]
    tip = np.column_stack([np.asarray(place) + share * np.asarray(way), np.full(len(times), syn.SIZE_M[2])])
    windows = ProbeWindows(joint_times_s=times, joint_positions=np.zeros((len(times), 7)), tip_positions_m=tip)
    return syn.execution(primitive, Outcome.SUCCEEDED, **given | fields), windows


def changes(*probes, context=None):
    """The four columns of the last probe."""
    context = context or PartContext()
    for probe in probes:
        context = context.after(*probe)
    features = extract(*probes[-1], context)
    return {name: column(features, V, name) for name in NAMES}


def test_a_place_is_read_between_the_middles_of_its_cells():
    views = maps()
    views[0, 2, 5, 1:4] = (2.0, 1.0, 0.5)
    views[0, 2, 5, 7] = 0.5
    there = under(views, ((2.5 / CELLS) - 0.5, (5.5 / CELLS) - 0.5))
    lightness = 0.299 * 2.0 + 0.587 + 0.114 * 0.5
    assert there[NAMES[0]] == pytest.approx(lightness)
    assert there[NAMES[1]] == pytest.approx(1.0 / lightness)
    assert there[NAMES[2]] == pytest.approx(1.0 / lightness)
    assert there[NAMES[3]] == pytest.approx(15.0)
    assert under(views, ((2.0 / CELLS) - 0.5, (5.5 / CELLS) - 0.5))[NAMES[0]] == pytest.approx((1.0 + lightness) / 2.0)
    assert under(views, ((3.6 / CELLS) - 0.5, (5.5 / CELLS) - 0.5))[NAMES[0]] == pytest.approx(1.0)
    # Half of the way along the length, from the cell on.
    along = under(views, ((2.5 / CELLS) - 0.5, (5.5 / CELLS) - 0.5), (4.0 / CELLS, 0.0))
    assert along[NAMES[0]] == pytest.approx((4.0 + lightness) / 5.0)
    assert under(views, (-0.9, 3.0))[NAMES[3]] == pytest.approx(30.0)  # beyond the box: its edge


def test_what_was_not_seen_has_no_say_and_nothing_seen_is_unknown():
    views = maps(red_over_table=2.0)
    views[0, :4, :, 0] = 0.0
    views[0, :4, :, 1] = 50.0
    assert under(views, (0.0, 0.0))[NAMES[1]] == pytest.approx(1.0 / (0.299 * 2.0 + 0.701))
    assert all(np.isnan(value) for value in under(views, (-0.4, 0.0)).values())


def test_torch_reads_the_same():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    given = (rng.uniform(0.0, 1.0, (9, CELLS, CELLS, len(CHANNELS))), rng.uniform(0.01, 0.05, 9),
             rng.uniform(-0.5, 0.5, (9, 2)), rng.uniform(-0.3, 0.3, (9, 2)))  # fmt: skip
    theirs = look_under(*(torch.from_numpy(array) for array in given))
    np.testing.assert_allclose(theirs.numpy(), look_under(*given), rtol=1e-9)


@pytest.mark.parametrize("primitive", [Primitive.PRESS, Primitive.TAP, Primitive.SLIDE, Primitive.WIPE,
                                       Primitive.SCRATCH])  # fmt: skip
@pytest.mark.parametrize("yaw", [-1.2, 0.0, 0.3])
def test_the_next_look_tells_what_a_touch_changed_under_it(primitive, yaw):
    place = np.add(syn.CENTRE, (0.006, -0.004))
    found = changes(picture(yaw=yaw), touch(primitive, place), picture(place, yaw=yaw, seed=1))
    expected = (np.array((0.299, 0.587, 0.114)) * (np.array(LIGHT) - GREY) / TABLE).sum()
    assert found[LIGHTNESS] == pytest.approx(expected, rel=0.25)  # the cells are not much smaller than the patch
    elsewhere = changes(picture(yaw=yaw), touch(primitive, place - 0.022), picture(place, yaw=yaw, seed=1))
    assert abs(elsewhere[LIGHTNESS]) < 0.1 * expected


def test_colour_and_height_have_their_signs():
    red = changes(picture(), touch(), picture(syn.CENTRE, (150, 40, 40), seed=1))
    assert red["contact_red_green_change_fraction"] > 0.5
    yellow = changes(picture(), touch(), picture(syn.CENTRE, (200, 200, 20), seed=1))
    assert yellow["contact_yellow_blue_change_fraction"] > 0.5
    execution, windows = picture(seed=1)
    view = PartContext().after(execution, windows).view
    dent = np.zeros(view.mask.shape, bool)
    dent[view.mask] = (np.abs(view.pixels_m[:, :2] - syn.CENTRE) < 0.01).all(axis=1)
    windows.depth_m[dent] += 0.006
    assert changes(picture(), touch(), (execution, windows))["contact_height_change_mm"] == pytest.approx(-6.0, abs=1.5)


def test_a_drawn_tool_is_followed_along_its_way():
    start = np.subtract(syn.CENTRE, (0.02, 0.0))
    far, straight = np.add(syn.CENTRE, (0.004, 0.0)), {"yaw": 0.0}
    followed = changes(picture(**straight), touch(way=(0.024, 0.0), place=start), picture(far, seed=1, **straight))
    assert followed[LIGHTNESS] > 0.3
    execution, windows = touch(way=(0.024, 0.0), place=start)
    blind = (execution, replace(windows, tip_positions_m=np.zeros((0, 3))))
    assert abs(changes(picture(**straight), blind, picture(far, seed=1, **straight))[LIGHTNESS]) < 0.1


def test_without_a_touch_or_a_map_nothing_is_known():
    def unknown(*probes):
        return all(np.isnan(value) for value in changes(*probes).values())

    after = picture(syn.CENTRE, seed=1)
    assert unknown(picture())
    assert unknown(picture(), after)
    assert unknown(touch(), after)  # no picture of before
    assert unknown(picture(), touch(contact_time_ns=0), after)  # a miss
    for primitive in (Primitive.DWELL, Primitive.LIFT):
        assert unknown(picture(), touch(primitive), after)
        assert not touches(syn.execution(primitive))
    assert unknown(picture(), touch(), after, picture(syn.CENTRE, seed=2))  # seen already


def test_a_look_without_a_picture_leaves_the_touch_to_the_next():
    context = looked(rgb=GREY).after(*touch())
    execution, windows = picture(syn.CENTRE, seed=1)
    context = context.after(execution, replace(windows, color=None))
    assert changes((execution, windows), context=context)[LIGHTNESS] > 0.5


def test_the_picture_at_the_end_of_the_touch_itself_is_not_from_before():
    execution, windows = touch()
    _, later = picture(syn.CENTRE, seed=3)
    seen = replace(windows, color=later.color, depth_m=later.depth_m, camera=later.camera)
    assert changes(picture(), (execution, seen), picture(syn.CENTRE, seed=1))[LIGHTNESS] > 0.5


def test_of_two_touches_the_newest_counts_and_what_it_met_is_seen_after_the_first():
    first, second = np.subtract(syn.CENTRE, (0.016, 0.008)), np.add(syn.CENTRE, (0.016, 0.008))
    both = changes(picture(yaw=0.0), touch(place=first), touch(place=second), picture(first, seed=1, yaw=0.0))
    assert abs(both[LIGHTNESS]) < 0.1
    # The window of the first touch ends with a picture: the second is compared with that.
    execution, windows = touch(place=first)
    _, later = picture(second, seed=3, yaw=0.0)
    seen = replace(windows, color=later.color, depth_m=later.depth_m, camera=later.camera)
    again = changes(picture(yaw=0.0), (execution, seen), touch(place=second), picture(second, seed=1, yaw=0.0))
    assert abs(again[LIGHTNESS]) < 0.1


@pytest.fixture(scope="module")
def library():
    return flat_library()


def probe(cell, primitive, point=(0.0, 0.0), **given):
    return cell.probe(decode(encode(np.full(cell.cells, primitive), point, cell.extent_m, **given), cell.seen))


def batched_change(result):
    return result.features[Modality.VISUAL].values[:, -len(NAMES) :]


@pytest.mark.parametrize("cells", [1, 30])
def test_the_batched_cell_tells_it_after_a_scratch_and_once(library, cells):
    cell = BatchedCell(cells, 5, BatchConfig(condition="painted"), library)
    assert np.isnan(batched_change(cell.overview)).all()
    before, box_m = cell.view.astype(float), cell.extent_m.copy()
    goals = decode(encode(np.full(cells, Primitive.SCRATCH), (0.0, 0.0), box_m, slide_m=0.02), cell.seen)
    assert (cell.probe(goals).outcome == 0).all()
    look = probe(cell, Primitive.LOOK)
    found = batched_change(look)
    way = goals.slide_m[:, None] * np.stack([np.cos(goals.slide_angle_rad), np.sin(goals.slide_angle_rad)], axis=1)
    place, way = goals.point_m / box_m[:, :2], way / box_m[:, :2]
    views = cell.view.astype(float)
    expected = look_under(views, cell.extent_m[:, 2], place, way) - look_under(before, box_m[:, 2], place, way)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
    if cells > 1:
        paint = np.abs(found[:, 0])
        assert np.median(paint) > 0.05
    assert np.isnan(batched_change(probe(cell, Primitive.LOOK))).all()


def test_cells_that_touch_and_cells_that_do_not_keep_apart(library):
    cell = BatchedCell(20, 6, BatchConfig(condition="painted"), library)
    kinds = np.where(np.arange(20) % 2 == 0, Primitive.SCRATCH, Primitive.DWELL)
    cell.probe(decode(encode(kinds, (0.0, 0.0), cell.extent_m, slide_m=0.012), cell.seen))
    known = np.isfinite(batched_change(probe(cell, Primitive.LOOK))).all(axis=1)
    assert np.array_equal(known, kinds == Primitive.SCRATCH)
    probe(cell, Primitive.PRESS)
    cell.reset(np.arange(20) < 10)
    known = np.isfinite(batched_change(probe(cell, Primitive.LOOK))).all(axis=1)
    assert np.array_equal(known, np.arange(20) >= 10)


def test_alone_as_among_many(library):
    many, alone = (BatchedCell(n, [7] * n, library=library) for n in (12, 1))
    for cell in (many, alone):
        probe(cell, Primitive.WIPE, slide_m=0.012)
    first, second = (batched_change(probe(cell, Primitive.LOOK)) for cell in (many, alone))
    np.testing.assert_allclose(first[0], second[0], rtol=1e-4, atol=1e-5)
