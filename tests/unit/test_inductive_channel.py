"""The inductive channel: a coil in the warm pads, in the batched cell, in the full cell, and as features of streams."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from flat_library import flat_library, goals_at
from synthetic_windows import execution

from palpate_agents.encoders.context import PartContext
from palpate_agents.encoders.features import NOT_MEASURED, extract
from palpate_agents.encoders.inductive import NAMES
from palpate_agents.observation import Modality, Outcome, Primitive, ProbeGoal, ProbeWindows
from palpate_agents.samples import Execution, HeatedTipState, Inductive
from palpate_sim.batch import light
from palpate_sim.batch.cell import BatchConfig, BatchedCell
from palpate_sim.cell import CellConfig, SimCell
from palpate_sim.devices import DeviceBatch
from palpate_sim.full_cell import WindowMaker
from palpate_sim.keyed import keys_of
from palpate_sim.kinematics import UrdfModel
from palpate_sim.objects import draw_parts, part_from_seed
from palpate_sim.point_sensors import PadCoils
from palpate_sim.sensors import inductive
from palpate_sim.shapes import top_height_m
from palpate_sim.surface import spot_batch
from palpate_sim.world import ToolView

N = 16
PARTS = (
    ("brass", "clean"), ("Cu", "clean"), ("mild-steel", "clean"), ("SS304", "clean"), ("AlSi-cast", "clean"),
    ("Al6061", "clean"), ("ABS", "clean"), ("Cu", "painted"), ("mild-steel", "painted"), ("Al6061", "painted"),
)  # fmt: skip


@pytest.fixture(scope="module")
def library():
    return flat_library()


def cells(library, count=N, **config):
    return BatchedCell(count, 3, BatchConfig(**config), library)


def touched(cell, primitive=Primitive.DWELL, point=(0.0, 0.0)):
    return cell.probe(goals_at(cell, primitive, point, dwell_s=1.5))


def test_a_warm_touch_of_the_batched_cell_reads_the_coil(library):
    metals = ("Cu", "brass", "Al6061", "mild-steel")
    cell = cells(library, inductive=True, materials=metals, condition="clean")
    result = touched(cell)
    worked = result.outcome == 0
    assert worked.mean() > 0.9
    values, reliability = result.features[Modality.INDUCTIVE]
    assert (reliability == worked).all()
    assert np.isfinite(values[worked]).all()
    assert np.isnan(values[~worked]).all()
    iron = cell.parts.ferromagnetic > 0
    assert (values[worked & iron, 0] > 0.1).all()
    assert (values[worked & ~iron, 0] < -0.1).all()
    assert np.isnan(touched(cell, Primitive.PRESS).features[Modality.INDUCTIVE].values).all()


def test_an_unreached_touch_reads_nothing(library):
    result = touched(cells(library, inductive=True), point=(0.3, 0.3))
    assert (result.outcome != 0).all()
    assert (result.features[Modality.INDUCTIVE].reliability == 0).all()
    assert np.isnan(result.features[Modality.INDUCTIVE].values).all()


def test_without_the_coil_nothing_else_changes(library):
    plain, fitted = cells(library), cells(library, inductive=True)
    for primitive in (Primitive.DWELL, Primitive.LOOK, Primitive.DWELL, Primitive.SLIDE):
        without, with_coil = touched(plain, primitive), touched(fitted, primitive)
        assert np.isnan(without.features[Modality.INDUCTIVE].values).all()
        assert (without.features[Modality.INDUCTIVE].reliability == 0).all()
        for modality in set(Modality) - {Modality.INDUCTIVE}:
            for mine, other in zip(without.features[modality], with_coil.features[modality], strict=True):
                np.testing.assert_array_equal(mine, other)
        np.testing.assert_array_equal(without.seconds, with_coil.seconds)
        np.testing.assert_array_equal(plain.view, fitted.view)


def test_a_cell_alone_reads_what_it_reads_among_many(library):
    whole = touched(cells(library, inductive=True, mix="hard")).features[Modality.INDUCTIVE].values
    for k in (0, 5, N - 1):
        cell = BatchedCell(1, 3, BatchConfig(first_cell=k, inductive=True, mix="hard"), library)
        np.testing.assert_allclose(touched(cell).features[Modality.INDUCTIVE].values[0], whole[k], rtol=1e-6)


def test_paint_is_lift_off_and_a_scratch_takes_it_away(library):
    keys = keys_of(5, np.arange(N))
    parts = draw_parts(keys, materials=["Cu"] * N, conditions=["painted"] * N)
    parts = parts.replace(coat_um=np.full(N, 150.0), label_um=np.zeros(N), wall_thickness_m=np.full(N, np.inf))
    bare = parts.replace(coat_um=np.zeros(N))
    read = []
    for batch, scratched in ((parts, False), (parts, True), (bare, False)):
        cell = BatchedCell(N, 3, BatchConfig(inductive=True), library, parts=batch)
        if scratched:
            for y in (-0.003, 0.0, 0.003):
                cell.probe(goals_at(cell, Primitive.SCRATCH, (-0.01, y), force_n=5.0, slide_m=0.02))
        read.append(np.nanmean(touched(cell).features[Modality.INDUCTIVE].values[:, 0]))
    assert read[0] - read[2] > 10 * inductive.NOISE  # less negative under paint
    assert 0.3 < (read[0] - read[1]) / (read[0] - read[2]) < 1.1


# Full cell.


def dwell(cell, part, pad):
    """Samples, execution, windows and noise-free reading of a warm touch."""
    cell.present_part("session", 0, part=part)
    body = cell.world.parts[0]
    x, y, _ = body.position
    top = (x, y, float(top_height_m(part.shape, part.dimensions_m, 0.0, 0.0)))
    turn, place = body.pose[:3, :3].copy(), body.pose[:3, 3].copy()
    maps, batch = body.maps, body.touch.batch
    cell.start_probe(ProbeGoal(Primitive.DWELL, top, pad_index=pad), "session", part.part_id, 0)
    samples = []
    for _ in range(3000):
        samples += cell.advance(10_000_000)
        ended = [s for s in samples[-50:] if isinstance(s, Execution)]
        if ended:
            done = ended[0].execution
            break
    uv = (turn.T @ (np.array(done.contact_point_m) - place))[:2]
    spot = spot_batch(batch, maps, uv[None], inductive.FOOTPRINT_M, optics=False, stiffness=False)
    batched = light.inductive_touch(batch, maps, uv[None], DeviceBatch.nominal(1), keys_of(9, [part.seed]))
    windows = WindowMaker(UrdfModel()).cut(samples, done)
    return SimpleNamespace(
        samples=samples, execution=done, windows=windows, batched=batched,
        expected=inductive.response(spot, np.zeros(1))[0],
    )  # fmt: skip


@pytest.fixture(scope="module")
def touches():
    """A warm touch of each of PARTS, with either pad in turn."""
    cell = SimCell(CellConfig(render=False, inductive=True), seed=4)
    found = []
    for k, (material, condition) in enumerate(PARTS):
        part = part_from_seed(70 + k, k, material, condition, "block")
        found.append(dwell(cell, part, k % 2))
    cell.close()
    return found


def features_of(touch, **changes):
    windows = ProbeWindows(**{**touch.windows.__dict__, **changes})
    found = extract(touch.execution, windows, PartContext())
    return found.values[Modality.INDUCTIVE], found.reliability[Modality.INDUCTIVE], found.reasons[Modality.INDUCTIVE]


def test_the_stream_has_its_rate_and_no_gap(touches):
    for touch in touches:
        stamps = [s.stamp_ns for s in touch.samples if isinstance(s, Inductive)]
        assert len(stamps) > 200
        assert set(np.diff(stamps)) == {10_000_000}
        assert {s.frequency_hz for s in touch.samples if isinstance(s, Inductive)} == {inductive.FREQUENCY_HZ}


def test_full_cell_reads_what_the_batched_cell_reads(touches):
    """Within 4 standard deviations of the batched reading's noise; the seat's scatter goes with the reading's slope."""
    for name, touch in zip(PARTS, touches, strict=True):
        assert touch.execution.outcome == Outcome.SUCCEEDED
        values, reliability, reason = features_of(touch)
        assert (reliability, reason) == (1.0, ""), name
        seat = inductive.LIFT_SCATTER_M * np.abs(touch.expected) * 2.0 / inductive.INNER_M
        spread = np.hypot(inductive.NOISE, seat)
        assert (np.abs(values - touch.expected) < 4.0 * spread).all(), (name, values)
        assert (np.abs(values - touch.batched.values[0]) < 4.0 * np.sqrt(2.0) * spread).all(), (name, values)


def test_full_cell_tells_the_metals_that_other_senses_confuse(touches):
    values = {name: features_of(touch)[0] for name, touch in zip(PARTS, touches, strict=True)}
    for one, other in (("brass", "Cu"), ("SS304", "mild-steel"), ("AlSi-cast", "Al6061")):
        assert np.linalg.norm(values[one, "clean"] - values[other, "clean"]) > 5.0 * inductive.NOISE
    assert np.abs(values["ABS", "clean"]).max() < 5.0 * inductive.NOISE


def test_a_cell_without_the_coil_has_no_reading_and_the_same_other_streams():
    part = part_from_seed(71, 1, "Cu", "clean", "block")
    runs = []
    for fitted in (False, True):
        cell = SimCell(CellConfig(render=False, inductive=fitted), seed=4)
        runs.append(dwell(cell, part, 0))
        cell.close()
    without, fitted = runs
    assert not [s for s in without.samples if isinstance(s, Inductive)]
    values, reliability, reason = features_of(without)
    assert np.isnan(values).all()
    assert (reliability, reason) == (0.0, NOT_MEASURED)
    np.testing.assert_array_equal(without.windows.wrench, fitted.windows.wrench)
    pads = [[s.temperature_c for s in run.samples if isinstance(s, HeatedTipState)] for run in runs]
    np.testing.assert_array_equal(*pads)


def test_noise_of_the_stream_gives_the_noise_of_the_batched_cell():
    rng = np.random.default_rng(3)
    nothing = SimpleNamespace(tool_view=lambda frame, state, reach: ToolView(None, 1.0, 0.0, None))
    done = execution(Primitive.DWELL, dwell_s=1.0)
    times = np.arange(0.005, 2.4, 0.01)
    found = []
    for _ in range(150):
        coils = PadCoils(rng)
        readings = np.array([coils.read(nothing, None, 0.01) for _ in times])
        for pad in (0, 1):
            windows = ProbeWindows(inductive_times_s=times, inductive=readings[:, pad])
            found.append(extract(done, windows, PartContext()).values[Modality.INDUCTIVE])
    assert np.std(found) == pytest.approx(inductive.NOISE, rel=0.15)
    assert abs(np.mean(found)) < 4.0 * inductive.NOISE / np.sqrt(len(found))


def test_a_coil_that_comes_near_reads_more():
    part = part_from_seed(72, 0, "Cu", "clean", "block")
    cell = SimCell(CellConfig(render=False, inductive=True), seed=2)
    cell.present_part("session", 0, part=part)
    body = cell.world.parts[0]
    norms = []
    for distance in (0.03, 0.01, 0.003, 0.0):
        view = ToolView(body, distance, 0.0, np.zeros(3))
        world = SimpleNamespace(tool_view=lambda frame, state, reach, seen=view: seen)
        norms.append(np.linalg.norm(PadCoils(np.random.default_rng(0))._change(0, world, None)))
    cell.close()
    assert np.all(np.diff(norms) > 0.0)
    assert norms[0] < 0.1 * inductive.NOISE
    assert norms[-1] > 100 * inductive.NOISE


# Malformed data.


def changed(touch, change):
    """Readings after `change(times, values, touching)`."""
    times, values = touch.windows.inductive_times_s.copy(), touch.windows.inductive.copy()
    change(times, values, (times > 0.0) & (times < touch.execution.dwell_s))
    return features_of(touch, inductive_times_s=times, inductive=values)


def test_a_window_of_other_shape_is_malformed(touches):
    values, reliability, reason = features_of(touches[1], inductive_times_s=touches[1].windows.inductive_times_s[:-1])
    assert reliability == 0.0
    assert "malformed" in reason
    assert np.isnan(values).all()
    values, reliability, reason = features_of(touches[1], inductive=touches[1].windows.inductive[:, :1])
    assert reliability == 0.0


def test_readings_that_never_change_are_stale(touches):
    def stuck(times, values, touching):
        values[:] = values[0]

    _, reliability, reason = changed(touches[1], stuck)
    assert reliability == 0.0
    assert "stale" in reason


def test_readings_at_full_scale_are_saturated(touches):
    def clipped(times, values, touching):
        values[touching, 0] = -1.0

    def sometimes(times, values, touching):
        values[np.flatnonzero(touching)[::10], 0] = -1.0

    _, reliability, reason = changed(touches[1], clipped)
    assert reliability == 0.0
    assert "saturated" in reason
    values, reliability, reason = changed(touches[1], sometimes)
    assert 0.8 < reliability < 1.0
    assert "saturated" in reason
    assert np.abs(values - touches[1].expected).max() < 8.0 * inductive.NOISE


def test_nan_costs_reliability(touches):
    def some(times, values, touching):
        values[::3] = np.nan

    def nearly_all(times, values, touching):
        values[touching] = np.nan

    values, reliability, reason = changed(touches[1], some)
    assert 0.5 < reliability < 0.8
    assert "NaN" in reason
    assert np.abs(values - touches[1].expected).max() < 8.0 * inductive.NOISE
    values, reliability, reason = changed(touches[1], nearly_all)
    assert reliability == 0.0
    assert "NaN" in reason
    assert np.isnan(values).all()


def test_without_air_or_contact_there_is_nothing_to_compare(touches):
    touch = touches[1]
    times = touch.windows.inductive_times_s
    for kept in (times < touch.execution.dwell_s, times > touch.execution.dwell_s, times < -10.0):
        _, reliability, reason = features_of(
            touch, inductive_times_s=times[kept], inductive=touch.windows.inductive[kept]
        )
        assert reliability == 0.0
        assert "missing" in reason or reason == NOT_MEASURED


def test_air_before_the_contact_will_do_where_the_window_begins_far_away():
    times = np.arange(-1.0, 1.0, 0.01)
    height = np.where(times < -0.2, 0.05, np.where(times < 0.0, 0.004, 0.0))
    tips = np.stack([0.0 * height, 0.0 * height, height], axis=1)
    rng = np.random.default_rng(0)
    values = 0.01 + 1e-4 * rng.standard_normal((len(times), 2)) + np.where(height < 1e-3, -0.3, 0.0)[:, None]
    values[(times > -0.2) & (times < 0.0)] -= 0.05  # near the part already
    windows = ProbeWindows(
        inductive_times_s=times, inductive=values, joint_times_s=times, tip_positions_m=tips,
        joint_positions=np.zeros((len(times), 7)), sensor_rotation=np.tile(np.eye(3), (len(times), 1, 1)),
    )  # fmt: skip
    found = extract(execution(Primitive.DWELL, dwell_s=1.0), windows, PartContext())
    assert found.reliability[Modality.INDUCTIVE] == 1.0
    assert found.values[Modality.INDUCTIVE] == pytest.approx([-0.3, -0.3], abs=2e-4)


def test_a_pad_that_slips_is_unsteady(touches):
    def slipped(times, values, touching):
        values[touching & (times > 0.8), 0] += 0.1

    _, reliability, reason = changed(touches[1], slipped)
    assert 0.0 < reliability < 0.3
    assert "unsteady" in reason


def test_only_a_warm_touch_that_worked_measures(touches):
    windows = touches[1].windows
    for done, word in (
        (execution(Primitive.PRESS, dwell_s=1.0), NOT_MEASURED),
        (execution(Primitive.DWELL, Outcome.NO_CONTACT, dwell_s=1.0), "no_contact"),
    ):
        found = extract(done, windows, PartContext())
        assert found.reliability[Modality.INDUCTIVE] == 0.0
        assert word in found.reasons[Modality.INDUCTIVE]
        assert len(found.values[Modality.INDUCTIVE]) == len(NAMES)
