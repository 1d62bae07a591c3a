"""The batched cell: same alone and among many, outcomes, memory of surfaces and arms, seconds like the full cell's."""

from __future__ import annotations

import numpy as np
import pytest
from flat_library import flat_library, goals_at

from palpate_agents.encoders import contact_change
from palpate_agents.encoders.thermal import NAMES
from palpate_agents.observation import Modality, Outcome, Primitive, ProbeGoal
from palpate_agents.probing.decoder import GoalArrays, decode, encode
from palpate_agents.samples import Execution
from palpate_sim.batch.cell import BatchConfig, BatchedCell
from palpate_sim.batch.timing import REFUSED_S, ArmState, Places, joint_move_s, probe_seconds, profile_s
from palpate_sim.cell import CellConfig, SimCell
from palpate_sim.kinematics import UrdfModel
from palpate_sim.objects import draw_parts
from palpate_sim.part_geometry import geometry_ids_of_shape
from palpate_sim.planning import HOME, Planner
from palpate_sim.trajectory import JointMove, Profile

N = 24
UNTOUCHED = -len(contact_change.NAMES)
"""Visual columns before this one are there without a touch."""


@pytest.fixture(scope="module")
def library():
    return flat_library()


def probe(cell, primitive, point=(0.0, 0.0), **given):
    return cell.probe(decode(encode(np.full(cell.cells, primitive), point, cell.extent_m, **given), cell.seen))


MEASURES = {
    Primitive.LOOK: {Modality.VISUAL, Modality.SPECTRAL, Modality.THERMAL},
    Primitive.PRESS: {Modality.TACTILE},
    Primitive.TAP: {Modality.TACTILE},
    Primitive.SLIDE: {Modality.TACTILE},
    Primitive.DWELL: {Modality.THERMAL},
    Primitive.LIFT: {Modality.TACTILE},
    Primitive.WIPE: set(),
    Primitive.SCRATCH: set(),
}


@pytest.mark.parametrize("primitive", list(MEASURES))
def test_every_primitive_measures_what_it_should(library, primitive):
    cell = BatchedCell(N, 1, library=library)
    result = probe(cell, primitive, dwell_s=1.5)
    worked = result.outcome == 0
    assert worked.mean() > (0.3 if primitive is Primitive.LIFT else 0.9)
    for modality, features in result.features.items():
        some = np.isfinite(features.values).any(axis=1)
        if modality in MEASURES[primitive]:
            assert some[worked].mean() > 0.85  # soft foam gives some taps no pulse
        else:
            assert not some.any()
        assert ((features.reliability >= 0) & (features.reliability <= 1)).all()
        assert (features.reliability[~some] == 0).all()
    assert ((result.seconds > 0.5) & (result.seconds < 12))[worked].all()
    assert (result.max_force_n <= 8.0).all()


def test_alone_as_among_many(library):
    rng = np.random.default_rng(0)
    actions = rng.uniform(-1, 1, (5, N, 7))
    many = BatchedCell(N, 7, library=library)
    few = {k: BatchedCell(1, 7, BatchConfig(first_cell=k), library) for k in (0, 11, N - 1)}
    for step in actions:
        whole = many.probe(decode(step, many.seen))
        for k, one in few.items():
            alone = one.probe(decode(step[k : k + 1], one.seen))
            for modality, features in alone.features.items():
                np.testing.assert_allclose(features.values[0], whole.features[modality].values[k], rtol=1e-5, atol=1e-6)
            assert alone.outcome[0] == whole.outcome[k]
            assert alone.seconds[0] == pytest.approx(whole.seconds[k])
            assert alone.damage[0] == pytest.approx(whole.damage[k])


def test_reset_of_some_leaves_the_others(library):
    cell = BatchedCell(N, 3, library=library)
    probe(cell, Primitive.SCRATCH)
    before = {name: array.copy() for name, array in cell.parts.arrays.items()}
    coat, seconds = cell.maps.coat.copy(), cell.elapsed_s.copy()
    mask = np.arange(N) % 3 == 0
    result = cell.reset(mask)
    assert (cell.parts.key[mask] != before["key"][mask]).all()
    for name, array in before.items():
        np.testing.assert_array_equal(getattr(cell.parts, name)[~mask], array[~mask])
    np.testing.assert_array_equal(cell.maps.coat[~mask], coat[~mask])
    assert (cell.probes == np.where(mask, 0, 1)).all()
    assert (cell.elapsed_s[~mask] == seconds[~mask]).all()
    assert np.isfinite(result.features[Modality.VISUAL].values[mask][:, :UNTOUCHED]).all()
    assert (result.features[Modality.SPECTRAL].reliability == 0).all()


def test_given_parts_lie_in_the_cell(library):
    source, cell = BatchedCell(N, 5, library=library), BatchedCell(N, 6, library=library)
    cell.reset(parts=source.parts, devices=source.devices)
    np.testing.assert_array_equal(cell.parts.material, source.parts.material)
    np.testing.assert_array_equal(cell.maps.film_um, source.maps.film_um)


def test_scratch_bares_and_costs_and_shows(library):
    cell = BatchedCell(64, 2, BatchConfig(condition="painted"), library)
    before = probe(cell, Primitive.LOOK).features[Modality.SPECTRAL].values
    done = probe(cell, Primitive.SCRATCH, slide_m=0.015, force_n=6.0)
    good = done.outcome == 0
    assert good.mean() > 0.9
    assert done.damage[good].mean() > 0.3
    after = probe(cell, Primitive.LOOK).features[Modality.SPECTRAL].values
    again = probe(cell, Primitive.LOOK).features[Modality.SPECTRAL].values
    change, noise = np.abs(after - before).mean(axis=1)[good], np.abs(again - after).mean(axis=1)[good]
    assert np.median(change) > 3 * np.median(noise)


def test_wipe_dries(library):
    cell = BatchedCell(64, 2, BatchConfig(condition="wet"), library)
    film = cell.maps.film_um.mean(axis=(1, 2))
    done = probe(cell, Primitive.WIPE, slide_m=0.015, force_n=6.0)
    good = done.outcome == 0
    assert (cell.maps.film_um.mean(axis=(1, 2))[good] < film[good]).all()
    assert (done.damage == 0.0).all()
    assert not np.signbit(done.damage).any()


def test_damage_is_never_negative(library):
    """Scrapes of what is half bare and half labelled: rounding is no gain."""
    cell, rng = BatchedCell(64, 2, BatchConfig(condition="clean"), library), np.random.default_rng(0)
    cell.maps.coat[:], cell.maps.label[:] = rng.uniform(0.0, 1.0, (2, *cell.maps.coat.shape))
    result = probe(cell, Primitive.LOOK)
    cell._changed(np.arange(64), cell.maps.copy(), np.zeros(64), result)
    assert (result.damage >= 0.0).all()


def test_held_part_cannot_be_touched(library):
    cell = BatchedCell(N, 4, library=library)
    lifted = probe(cell, Primitive.LIFT).outcome
    held = lifted == 0
    assert held.any()
    assert (lifted[~held] == Outcome.GRASP_FAILED).all()
    after = probe(cell, Primitive.TAP)
    assert (after.outcome[held] == Outcome.ABORTED).all()
    assert (after.seconds[held] == REFUSED_S).all()
    assert not np.isfinite(after.features[Modality.TACTILE].values[held]).any()
    assert (probe(cell, Primitive.LIFT).outcome[held] == Outcome.ABORTED).all()
    cell.reset()
    assert not cell.held.any()


def test_look_with_a_part_in_the_hand_sees_the_table(library):
    """As in the full cell: it succeeds, no picture shows a part, and the fibre sees grey."""
    cell = BatchedCell(N, 4, library=library)
    held = (probe(cell, Primitive.LIFT).outcome == 0) & (np.arange(N) % 3 > 0)
    assert held.any()
    cell.held[:] = held
    view = cell.view.copy()
    look = probe(cell, Primitive.LOOK, standoff_m=0.02)
    assert (look.outcome == 0).all()
    assert (look.seconds > 1.0).all()
    for modality in (Modality.VISUAL, Modality.THERMAL):
        some = np.isfinite(look.features[modality].values).any(axis=1)
        assert (some == ~held).all()
        assert (look.features[modality].reliability[held] == 0.0).all()
    spectra = look.features[Modality.SPECTRAL].values
    assert np.isfinite(spectra).all()
    assert np.std(spectra[held, 7:], axis=1).max() < 0.01  # the table has no bands
    np.testing.assert_array_equal(cell.view[held], view[held])
    assert (cell.view[~held] != view[~held]).any()


def test_look_beside_the_part_sees_the_table(library):
    cell = BatchedCell(4, 4, library=library)
    cell.rows.height_m[:, 0, 0] = np.nan
    cell.rows.height_m[:, -1, -1] = np.nan
    cell.rows.height_m[:, 0, -1] = np.nan
    cell.rows.height_m[:, -1, 0] = np.nan
    look = cell.probe(goals_at(cell, Primitive.LOOK, (-0.2, -0.2), standoff_m=0.02))
    assert (look.outcome == 0).all()
    assert np.isfinite(look.features[Modality.VISUAL].values[:, :UNTOUCHED]).all()
    assert np.std(look.features[Modality.SPECTRAL].values[:, 7:], axis=1).max() < 0.01


def test_what_cannot_be_reached_costs_the_time_of_planning(library):
    cell = BatchedCell(4, 4, library=library)
    probe(cell, Primitive.TAP)
    corner = cell.probe(goals_at(cell, Primitive.TAP, (-0.2, -0.2), speed_m_s=0.03))
    assert (corner.outcome == Outcome.UNREACHABLE).all()
    assert (corner.seconds == REFUSED_S).all()
    first, second = (cell.probe(goals_at(cell, Primitive.LOOK, (-0.2, -0.2), standoff_m=0.02)) for _ in range(2))
    assert (first.outcome == Outcome.UNREACHABLE).all()
    assert (first.seconds > 0.3 + REFUSED_S).all()  # the arm goes home before it plans
    assert second.seconds == pytest.approx(np.full(4, REFUSED_S), abs=1e-3)


def test_fibre_sees_the_spot_that_the_full_cells_sees(library, monkeypatch):
    from palpate_sim.batch import cell as module
    from palpate_sim.sensors.spectrum import spot_radius_m

    asked, spot_batch = [], module.spot_batch

    def spy(batch, maps, uv_m, radius_m, **more):
        asked.append(np.array(radius_m))
        return spot_batch(batch, maps, uv_m, radius_m, **more)

    monkeypatch.setattr(module, "spot_batch", spy)
    cell = BatchedCell(N, 3, library=library)
    probe(cell, Primitive.LOOK, standoff_m=0.08)
    assert asked[0] == pytest.approx(np.full(N, float(spot_radius_m(0.08))), rel=1e-4)


def test_dwell_shows_the_surface_anew(library):
    cell = BatchedCell(N, 3, library=library)
    probe(cell, Primitive.SCRATCH)
    view, extent = cell.view.copy(), cell.extent_m.copy()
    probe(cell, Primitive.PRESS)
    np.testing.assert_array_equal(cell.view, view)
    done = probe(cell, Primitive.DWELL, dwell_s=1.0).outcome == 0
    assert (cell.view[done] != view[done]).any(axis=(1, 2, 3)).all()
    np.testing.assert_array_equal(cell.extent_m, extent)


def test_patches_spread_the_warmth_that_is_seen(library):
    """A hot, half-bare metal part: paint radiates, metal does not."""
    parts = draw_parts(np.arange(N), "SS304", "painted", ambient_c=22.0)
    parts = parts.replace(temperature_c=np.full(N, 40.0), anodised=np.zeros(N, bool))
    cell, spread = BatchedCell(N, 3, library=library, parts=parts), NAMES.index("part_spread_k")
    cell.maps.coat[:, :8] = 0.0
    cell._stale[:] = True
    uneven = probe(cell, Primitive.LOOK).features[Modality.THERMAL].values[:, spread]
    cell.maps.coat[:] = 1.0
    cell._stale[:] = True
    even = probe(cell, Primitive.LOOK).features[Modality.THERMAL].values[:, spread]
    assert np.median(uneven) > 1.5 * np.median(even)


def test_seeds_of_each_cell(library):
    cell = BatchedCell(3, [5, 6, 5], library=library)
    assert cell.key[0] == cell.key[2] != cell.key[1]
    assert cell.key[1] == BatchedCell(1, 6, library=library).key[0]


def test_outlines_and_rooms_of_the_configuration(library):
    config = BatchConfig(geometries=(48, 64), ambient_c=(10.0, 30.0))
    cell = BatchedCell(200, 3, config, library)
    assert cell.parts.geometry_id.min() >= 48
    assert len(set(cell.parts.geometry_id.tolist())) == 16
    assert 10.0 <= cell.ambient_c.min() < 13.0
    assert 27.0 < cell.ambient_c.max() <= 30.0
    assert np.corrcoef(cell.ambient_c, cell.parts.temperature_c)[0, 1] > 0.5
    rooms = cell.ambient_c.copy()
    alone = BatchedCell(1, 3, BatchConfig(geometries=(48, 64), ambient_c=(10.0, 30.0), first_cell=7), library)
    assert alone.ambient_c[0] == rooms[7]
    mask = np.arange(200) < 3
    cell.reset(mask)
    assert (cell.ambient_c[mask] != rooms[mask]).all()
    np.testing.assert_array_equal(cell.ambient_c[~mask], rooms[~mask])
    probe(cell, Primitive.DWELL)
    default = BatchedCell(20, 3, library=library)
    assert (default.ambient_c == 22.0).all()


def test_unreachable_and_beside_the_part(library):
    cell = BatchedCell(N, 4, library=library)
    corner = cell.probe(goals_at(cell, Primitive.TAP, (-0.2, -0.2), speed_m_s=0.03))
    assert (corner.outcome == Outcome.UNREACHABLE).all()  # the rim of the flat library cannot be reached
    cell.rows.height_m[:, 0, 0] = np.nan
    cell.rows.height_m[:, -1, -1] = np.nan
    cell.rows.height_m[:, 0, -1] = np.nan
    cell.rows.height_m[:, -1, 0] = np.nan
    beside = cell.probe(goals_at(cell, Primitive.TAP, (-0.2, -0.2), speed_m_s=0.03))
    assert (beside.outcome == Outcome.NO_CONTACT).all()
    assert (beside.seconds > 0.5).all()
    assert not np.isfinite(beside.features[Modality.TACTILE].values).any()


def test_slide_stops_at_a_step(library):
    cell = BatchedCell(4, 4, library=library)
    cell.rows.height_m[:] += 0.01
    cell.rows.height_m[:, 7:9, 7:9] -= 0.01
    start = goals_at(cell, Primitive.SLIDE, (0.0, 0.0), slide_m=0.02, speed_m_s=0.02, force_n=2.0)
    stopped = cell.probe(start)
    assert (stopped.outcome == Outcome.NO_CONTACT).all()
    assert (stopped.seconds > 0.5).all()


def test_pads_cool_and_recover(library):
    cell = BatchedCell(N, 9, library=library)
    first = cell._memory.pad_start_c(np.ones(N, np.int64)).copy()
    probe(cell, Primitive.DWELL, dwell_s=4.0, pad_index=1)
    used = cell._memory.pad_start_c(np.ones(N, np.int64))
    assert (used <= first + 1e-9).all()
    for _ in range(6):
        probe(cell, Primitive.LOOK)
    assert (cell._memory.pad_start_c(np.ones(N, np.int64)) >= used - 1e-9).all()


def test_profiles_and_joint_moves_take_the_arms_time():
    distance = np.array([0.001, 0.05, 0.3])
    wanted = [Profile.over(d, 0.4, 3.0).duration_s for d in distance]
    assert profile_s(distance, 0.4, 3.0) == pytest.approx(np.array(wanted))
    velocity = Planner(UrdfModel()).velocity
    rng = np.random.default_rng(0)
    goals = HOME + rng.uniform(-0.8, 0.8, (20, 7))
    wanted = [JointMove(HOME, goal, velocity).duration_s for goal in goals]
    assert joint_move_s(np.repeat(HOME[None], 20, axis=0), goals, velocity) == pytest.approx(np.array(wanted))


def test_seconds_are_those_of_the_full_cell():
    cell = SimCell(CellConfig(render=False), seed=2)
    part = draw_parts(np.array([5]), "ABS", "clean", geometry_ids_of_shape("light", "block")[:1]).part(0)
    cell.present_part("s", 0, part=part)
    x, y, z = (float(v) for v in cell.world.parts[0].position)
    top = z + 0.5 * part.dimensions_m[2]
    kinds = (Primitive.LOOK, Primitive.TAP, Primitive.SLIDE, Primitive.DWELL, Primitive.PRESS, Primitive.WIPE)
    arm, spent, true = ArmState.home(1), [], []
    for kind in kinds:
        slides = kind in (Primitive.SLIDE, Primitive.WIPE)
        goal = ProbeGoal(
            kind, (x, y, top), force_n=0.0 if kind in (Primitive.LOOK, Primitive.TAP) else 3.0,
            standoff_m=0.03 if kind is Primitive.LOOK else 0.0, slide_distance_m=0.01 if slides else 0.0,
            speed_m_s=0.02 if slides else 0.04 if kind is Primitive.TAP else 0.0,
            dwell_s={Primitive.DWELL: 1.5, Primitive.PRESS: 0.4}.get(kind, 0.0),
        )  # fmt: skip
        cell.start_probe(goal, "s", "p", 0)
        began, ended = cell.time_ns, None
        while ended is None:
            ended = next((s for s in cell.advance(10_000_000) if isinstance(s, Execution)), None)
        assert ended.execution.outcome == Outcome.SUCCEEDED
        true.append((ended.stamp_ns - began) * 1e-9)
        names = ("standoff_m", "slide_distance_m", "speed_m_s", "dwell_s", "force_n")
        stand, way, speed, hold, force = (np.array([getattr(goal, name)]) for name in names)
        zero = np.zeros(1)
        goals = GoalArrays(
            np.array([int(kind)]), np.zeros((1, 2)), stand, zero, way, zero, speed, hold, force, np.array([0])
        )
        step = probe_seconds(goals, Places(*(np.array([v]) for v in (x, y, top, 0.04, 0.0))), arm, np.array([True]))
        arm = step.arm
        spent.append(float(step.total_s[0]))
    cell.close()
    assert np.array(spent) == pytest.approx(np.array(true), rel=0.1)
    assert sum(spent) == pytest.approx(sum(true), rel=0.04)


def test_no_time_without_a_motion():
    goals = GoalArrays(
        np.array([2]), np.zeros((1, 2)), *(np.zeros(1) for _ in range(4)), np.array([0.03]), np.zeros(1), np.zeros(1),
        np.array([0]),
    )  # fmt: skip
    places = Places(*(np.array([v]) for v in (0.5, 0.0, 0.02, 0.04, 0.0)))
    still = probe_seconds(goals, places, ArmState.home(1), np.array([False]))
    assert still.total_s[0] == REFUSED_S
    moved = probe_seconds(goals, places, ArmState.home(1), np.array([True]))
    assert 1.0 < moved.total_s[0] < 4.0
    again = probe_seconds(goals, places, moved.arm, np.array([True]))
    assert again.total_s[0] < moved.total_s[0]  # the arm is there already, and knows the height
