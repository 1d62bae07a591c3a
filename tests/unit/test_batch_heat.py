"""The batched warm touch against the full cell's curves, and against what the encoder makes of raw windows."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from palpate_agents.encoders.context import PartContext
from palpate_agents.encoders.thermal import NAMES, extract_thermal
from palpate_agents.materials import MATERIALS
from palpate_agents.observation import Primitive, ProbeGoal
from palpate_sim.backend import to_numpy
from palpate_sim.batch import dwell_columns, heat
from palpate_sim.batch.heat_curves import fall_and_heat, rise_after, touch_curves
from palpate_sim.batch.pad_memory import PadMemory
from palpate_sim.cameras import thermal_camera
from palpate_sim.devices import DeviceBatch, draw_device_batch
from palpate_sim.keyed import keys_of
from palpate_sim.objects import PartBatch, draw_parts
from palpate_sim.planning import Planner
from palpate_sim.sensors import heat_contact, thermal
from palpate_sim.sensors.encoders import JointNoise
from palpate_sim.sensors.heated_tip import HeatedTip
from palpate_sim.sensors.rgbd import pixel_emissivity
from palpate_sim.sensors.wrench import WrenchNoise
from palpate_sim.surface import draw_surface_maps, spot_batch
from palpate_sim.training.dwell_windows import dwell_window
from palpate_sim.training.touch_windows import Contact, ToolGeometry

C = {name: k for k, name in enumerate(NAMES)}
AMBIENT_C = 22.0


def parts_of(count, **arrays):
    batch = draw_parts(keys_of(11, np.arange(count)))
    return batch.replace(**arrays)


def quiet(count):
    return DeviceBatch.nominal(count).replace(netd_k=np.zeros(count))


def dwells(batch, devices, keys, pad=1, start=None, ambient=AMBIENT_C, seconds=2.0, memory=None, uv=None):
    n = len(batch)
    pads = np.full(n, pad)
    memory = PadMemory.fresh(n) if memory is None else memory
    return heat.dwell(batch, devices, pads, np.full(n, seconds), start, ambient, memory, keys, uv)


def column(features, name):
    return features.values[:, C[name]]


def test_curves_agree_with_the_full_cells():
    batch, devices = parts_of(120), draw_device_batch(keys_of(2, np.arange(120)))
    pads = np.arange(120) % 2
    dwell = np.random.default_rng(0).uniform(1.0, 4.0, 120)
    curves = touch_curves(batch, devices, pads, dwell)
    ages = dwell[:, None] * np.array([[0.02, 0.1, 0.3, 0.7, 1.0]])
    step = 70.0 - batch.temperature_c[:, None]
    both = fall_and_heat(curves, ages)
    face = heat_contact.pad_face_temperature(batch, devices, ages, 70.0, pads)
    assert both[..., 0] == pytest.approx((70.0 - face) / step, abs=1e-3)
    heat_j = heat_contact.pad_heat_j_m2(batch, devices, ages, 70.0, pads)
    assert both[..., 1] * step == pytest.approx(heat_j, rel=0.01)
    after = np.tile([0.4, 0.6, 1.0, 1.5], (120, 1))
    surface = heat_contact.surface_temperature(batch, dwell[:, None] + after, dwell, 70.0, devices, pads)
    rise = (surface - batch.temperature_c[:, None]) / step
    assert rise_after(curves, after) == pytest.approx(rise, rel=0.01, abs=2e-3)


def test_dip_of_the_pad_is_that_of_the_closed_form():
    """Thick plastics, perfect contact, no noise: two half-spaces."""
    n = 40
    batch = parts_of(
        n, wall_thickness_m=np.full(n, 1.0), contact_conductance_w_m2k=np.full(n, 1e7), temperature_c=np.full(n, 22.0),
        diffusivity_m2_s=np.full(n, 1.2e-7), effusivity_w_s05_m2k=np.linspace(300.0, 900.0, n),
        contact_resistance_m2k_w=np.zeros(n), emissivity=np.ones(n),
    )  # fmt: skip
    batch = batch.replace(conductivity_w_mk=batch.effusivity_w_s05_m2k * np.sqrt(1.2e-7))
    features, _ = dwells(batch, quiet(n), keys_of(0, np.arange(n)))
    eo = batch.effusivity_w_s05_m2k
    assert column(features, "pad_dip_1s_fraction") == pytest.approx(eo / (1000.0 + eo), rel=0.03)
    assert column(features, "pad_step_k") == pytest.approx(48.0, abs=0.1)


def test_two_pads_tell_the_parts_own_temperature():
    """The camera is wrong by its emissivity and offset; both pads together are not."""
    n = 60
    own = np.full(n, 32.0)
    batch = parts_of(n, temperature_c=own, emissivity=np.full(n, 0.9))
    first, memory = dwells(batch, quiet(n), keys_of(0, np.arange(n)), pad=1)
    second, _ = dwells(batch, quiet(n), keys_of(1, np.arange(n)), pad=0, memory=memory.after(30.0))
    seen = 0.9 * own + 0.1 * AMBIENT_C
    dip = column(second, "pad_dip_1s_fraction")
    clear = dip > 0.2
    error = (column(second, "pair_part_minus_apparent_k") + seen - own)[clear]
    assert np.median(np.abs(error)) < 0.3
    assert np.isnan(column(first, "pair_log10_effusivity_ratio")).all()
    pair, one = (column(second, f"{name}_log10_effusivity_ratio") for name in ("pair", "pad"))
    assert np.median(np.abs(pair - column(first, "pad_log10_effusivity_ratio"))[clear]) < 0.02
    # one pad alone mistakes a part that is 10 K off if the camera cannot see its temperature
    shiny = batch.replace(emissivity=np.full(n, 0.05))
    blind, _ = dwells(shiny, quiet(n), keys_of(1, np.arange(n)), pad=0, memory=memory.after(30.0))
    shift = column(blind, "pad_log10_effusivity_ratio") - one
    assert np.all(shift[clear] < -0.1)
    same = column(blind, "pair_log10_effusivity_ratio")
    assert same == pytest.approx(pair, abs=0.02, nan_ok=True)


def test_warm_spot_is_seen_through_the_emissivity():
    n = 2
    batch = parts_of(n).rows([0, 0]).replace(emissivity=np.array([0.95, 0.19]), temperature_c=np.full(n, AMBIENT_C))
    features, _ = dwells(batch, quiet(n), np.full(2, 5))
    rise = column(features, "spot_rise_1s_fraction")
    assert rise[1] == pytest.approx(rise[0] * 0.2, rel=1e-3)


def test_thin_wall_keeps_its_warmth():
    n = 3
    batch = parts_of(n).rows([0, 0, 0])
    batch = batch.replace(wall_thickness_m=np.array([5e-4, 1e-3, 1.0]), conductivity_w_mk=np.full(3, 0.2),
                          diffusivity_m2_s=np.full(3, 1.2e-7), effusivity_w_s05_m2k=np.full(3, 0.2 / 1.2e-7**0.5),
                          emissivity=np.full(3, 0.95))  # fmt: skip
    features, _ = dwells(batch, quiet(n), np.full(3, 5))
    rise, dip = column(features, "spot_rise_1s_fraction"), column(features, "pad_dip_2s_fraction")
    decay = column(features, "spot_decay_fraction")
    assert rise[0] > rise[1] > rise[2] > 0.1
    assert decay[0] < decay[2]
    assert np.all(np.diff(dip) > 0.0) or np.isnan(dip).any()


def test_an_earlier_touch_nearby_is_felt_and_seen():
    n = 50
    batch = parts_of(n, emissivity=np.full(n, 0.95))
    here, keys = np.zeros((n, 2)), keys_of(1, np.arange(n))
    _, memory = dwells(batch, quiet(n), keys_of(0, np.arange(n)), pad=1, uv=here)
    memory = memory.after(5.0)
    again, away = (dwells(batch, quiet(n), keys, pad=0, memory=memory, uv=uv)[0] for uv in (here, here + 0.03))
    insulators = batch.effusivity_w_s05_m2k < 700.0
    assert np.all(column(again, "pad_dip_1s_fraction")[insulators] < column(away, "pad_dip_1s_fraction")[insulators])
    spots = thermal.WarmSpot((0.0, 0.0, 0.0), 0.0, 2.02, 70.0)
    for row in np.flatnonzero(insulators)[:5]:
        one = batch.rows([row])
        warmth = thermal.warmth_at(np.zeros(3), one, [spots], 7.02, quiet(1).draw(0))
        told = memory.warmth_k(batch, here[:, :1], here[:, 1:])[row, 0, 0]
        assert told == pytest.approx(warmth, rel=0.15)


def test_pads_come_back_to_their_temperature():
    n = 4
    batch = parts_of(n)
    _, memory = dwells(batch, quiet(n), np.arange(n), pad=1)
    pads = np.ones(n, int)
    at_once, later, rested = (memory.after(s).pad_start_c(pads) for s in (0.0, 3.0, 60.0))
    assert np.all(at_once < later)
    assert np.all(later < rested)
    assert rested == pytest.approx(70.0, abs=1e-3)
    assert memory.pad_start_c(np.zeros(n, int)) == pytest.approx(45.0)
    # as the heater of the full cell does it
    tip = HeatedTip()
    tip.face_c[1] -= 10.0
    tip.block_c[1] -= 1.0
    drop = np.zeros((1, 2)) + np.array([0.0, 10.0])
    told = PadMemory.fresh(1)._replace(face_drop_k=drop, block_drop_k=0.1 * drop)
    for _ in range(25):
        tip.advance(0.1, AMBIENT_C)
    assert told.after(2.5).pad_start_c(np.ones(1, int))[0] == pytest.approx(tip.face_c[1], abs=0.1)


def test_look_mixes_with_the_room():
    n = 400
    batch = parts_of(n).rows(np.zeros(n, int))
    batch = batch.replace(temperature_c=np.full(n, 32.0), emissivity=np.linspace(0.05, 0.95, n))
    features = heat.look(batch, DeviceBatch.nominal(n), AMBIENT_C, keys_of(0, np.arange(n)))
    assert column(features, "part_minus_ambient_k") == pytest.approx(10.0 * batch.emissivity, abs=0.12)
    assert np.isnan(features.values[:, 2:]).all()


def test_look_shows_the_spots_of_earlier_touches():
    """Spread over the part's pixels against a picture of the same spots."""
    n = 12
    batch = parts_of(n, temperature_c=np.full(n, AMBIENT_C), emissivity=np.full(n, 0.95))
    _, memory = dwells(batch, quiet(n), keys_of(0, np.arange(n)), pad=1, uv=np.zeros((n, 2)))
    memory = memory.after(10.0)
    told = column(heat.look(batch, quiet(n), AMBIENT_C, keys_of(1, np.arange(n)), memory), "part_spread_k")
    for row in range(n):
        one, (x, y, _) = batch.rows([row]), batch.dimensions_m[row]
        grid = np.stack(np.meshgrid(np.linspace(-x / 2, x / 2, 40), np.linspace(-y / 2, y / 2, 40)), axis=-1)
        points = np.concatenate([grid, np.zeros((40, 40, 1))], axis=-1)
        spot = thermal.WarmSpot((0.0, 0.0, 0.0), 0.0, 2.02, 70.0)
        seen = 0.95 * np.std(thermal.spot_rise(points, one, spot, 12.02, quiet(1).draw(0)))
        assert told[row] == pytest.approx(seen, rel=0.5, abs=0.05)


def test_torch_gives_the_same_as_numpy():
    n = 30
    batch, devices, keys = parts_of(n), draw_device_batch(keys_of(2, np.arange(n))), keys_of(3, np.arange(n))
    rng = np.random.default_rng(1)
    pads, seconds, uv = rng.integers(0, 2, n), rng.uniform(1.0, 4.0, n), rng.uniform(-0.01, 0.01, (n, 2))
    there = batch.to(torch), devices.to(torch)
    first, memory = heat.dwell(batch, devices, pads, seconds, None, AMBIENT_C, PadMemory.fresh(n), keys, uv)
    second, _ = heat.dwell(batch, devices, 1 - pads, seconds, None, AMBIENT_C, memory.after(4.0), keys + 1, uv)
    kept, tensors = memory, [torch.asarray(a) for a in (pads, seconds, keys, uv)]
    fresh = PadMemory.fresh(n, tensors[1])
    one, memory = heat.dwell(*there, tensors[0], tensors[1], None, AMBIENT_C, fresh, tensors[2], tensors[3])
    two, _ = heat.dwell(
        *there, 1 - tensors[0], tensors[1], None, AMBIENT_C, memory.after(4.0), tensors[2] + 1, tensors[3]
    )
    look = heat.look(batch, devices, AMBIENT_C, keys, kept), heat.look(*there, AMBIENT_C, tensors[2], memory)
    for plain, tensor in ((first, one), (second, two), look):
        assert to_numpy(tensor.values) == pytest.approx(plain.values, rel=1e-6, abs=1e-8, nan_ok=True)
        assert to_numpy(tensor.reliability) == pytest.approx(plain.reliability, rel=1e-6)


def test_one_alone_is_one_of_many():
    n = 20
    batch, devices, keys = parts_of(n), draw_device_batch(keys_of(2, np.arange(n))), keys_of(3, np.arange(n))
    many, _ = dwells(batch, devices, keys)
    for row in (0, 7):
        one, _ = dwells(batch.rows([row]), devices.rows([row]), keys[[row]])
        assert one.values[0] == pytest.approx(many.values[row], rel=1e-9, nan_ok=True)


def test_nothing_but_heat_is_felt():
    """All materials with equal thermal properties: neither look nor touch knows which is which."""
    n = len(MATERIALS)
    batch = draw_parts(keys_of(5, np.arange(n)), materials=list(MATERIALS))
    same = batch.replace(
        **{
            name: np.repeat(getattr(batch, name)[:1], n, axis=0)
            for name in (
                "conductivity_w_mk", "diffusivity_m2_s", "effusivity_w_s05_m2k", "contact_conductance_w_m2k",
                "contact_resistance_m2k_w", "temperature_c", "wall_thickness_m", "dimensions_m", "emissivity",
            )
        }
    )  # fmt: skip
    keys = np.full(n, 77)
    for features in (dwells(same, quiet(n), keys)[0], heat.look(same, quiet(n), AMBIENT_C, keys)):
        assert np.nan_to_num(np.ptp(features.values, axis=0)).max() < 1e-9


def test_shutter_repeats_the_picture_before():
    n = 20_000
    draw = dwell_columns.Chance.of(keys_of(0, np.arange(n)), 22, np.zeros(n))
    times = 0.5 + 0.2 * draw.even[:, 3:4] + 0.2 * np.arange(5)
    shown, hidden = dwell_columns._shutter(times, draw)
    changed = np.any(shown != times, axis=1)
    assert np.mean(changed) == pytest.approx(1.3 / 180.0, rel=0.25)
    assert np.all(times - shown < 0.75)
    assert 0 < np.count_nonzero(hidden) < np.count_nonzero(changed)


def test_short_touches_and_cold_pads_say_so():
    n = 10
    batch = parts_of(n, temperature_c=np.full(n, AMBIENT_C), emissivity=np.full(n, 0.95))
    features, memory = dwells(batch, quiet(n), np.arange(n), seconds=0.2)
    assert np.all(features.reliability == 0.0)
    assert np.isnan(features.values).all()
    assert np.isnan(memory.start_c).all()
    features, _ = dwells(batch, quiet(n), np.arange(n), start=np.full(n, AMBIENT_C + 6.0))
    assert features.reliability == pytest.approx(6.0 / 15.0, abs=0.02)


@pytest.fixture(scope="module")
def windows():
    """Two warm touches on a flat top in raw windows, read by the encoder."""
    n, planner = 40, Planner()
    geometry, camera = ToolGeometry.of(planner), thermal_camera(planner.model)
    batch = draw_parts(keys_of(21, np.arange(n)), ambient_c=AMBIENT_C)
    devices = draw_device_batch(keys_of(22, np.arange(n)))
    values, places = np.zeros((2, n, len(NAMES))), np.zeros((2, n, 2))
    for row in range(n):
        values[:, row], places[:, row] = touched(batch.part(row), devices.draw(row), camera, geometry, row)
    return batch, devices, values, places


def touched(part, devices, camera, geometry, row):
    rng = np.random.default_rng([5, row])
    x, _, z = part.dimensions_m
    scene = scene_of(part, devices, camera, rng)
    points, mask = scene.pictures.thermal_points_m, scene.pictures.thermal_mask
    first = thermal.frame(
        points, mask, np.zeros_like(mask), scene.batch, [], 0.0, devices, AMBIENT_C, rng,
        emissivity=scene_emissivity(scene),
    )  # fmt: skip
    context = PartContext(thermal_c=first.astype(float), thermal_camera=camera.geometry)
    values, places = [], []
    for pad in (1, 0):
        place = np.array([(2 * pad - 1) * min(0.009, 0.5 * x - 0.007), 0.0]) + rng.uniform(-1e-3, 1e-3, 2)
        point = np.array([*place, 0.5 * z]) + np.asarray(scene.pose.position)
        goal = ProbeGoal(Primitive.DWELL, tuple(point), (0.0, 0.0, 1.0), pad_index=pad)
        hit = SimpleNamespace(point=point, normal=np.array([0.0, 0.0, 1.0]))
        execution, raw = dwell_window(Contact(scene, goal, hit), geometry)
        context = context.after(execution, raw)
        values.append(extract_thermal(execution, raw, context).values)
        places.append(place)
    return np.array(values), np.array(places)


def scene_of(part, devices, camera, rng):
    """A box with the part's outline, without a renderer."""
    pose = SimpleNamespace(position=(0.5, -0.05, 0.5 * part.dimensions_m[2]), orientation=(0.0, 0.0, 0.0, 1.0))
    depth = np.full((camera.height, camera.width), 0.7 - part.dimensions_m[2])
    points = camera.points(depth)
    local = points[..., :2] - np.array(pose.position[:2])
    mask = (np.abs(local) < 0.5 * np.array(part.dimensions_m[:2])).all(axis=-1)
    pictures = SimpleNamespace(
        thermal_points_m=points, thermal_mask=mask, thermal_places_m=local[mask], thermal_camera=camera.geometry
    )
    heater = HeatedTip()
    for _ in range(10):
        heater.advance(0.5, AMBIENT_C)
    batch = PartBatch.of([part])
    maps = draw_surface_maps(batch)
    return SimpleNamespace(
        spot=lambda point, radius: spot_batch(batch, maps, (point - np.array(pose.position))[None, :2], radius),
        part=part, batch=batch, maps=maps, pose=pose, pictures=pictures, devices=devices, ambient_c=AMBIENT_C,
        rng=rng, spots=[], time_s=10.0, heater=heater, wrench_noise=WrenchNoise(devices, rng),
        joint_noise=JointNoise(rng),
    )  # fmt: skip


def scene_emissivity(scene):
    return pixel_emissivity(scene.part, scene.maps, scene.pictures.thermal_places_m)


@pytest.mark.parametrize("touch", [0, 1])
def test_features_agree_with_those_of_raw_windows(windows, touch):
    batch, devices, values, places = windows
    n, repeats = len(batch), 24
    maps = draw_surface_maps(batch)
    spots = [spot_batch(batch, maps, uv, heat_contact.PAD_RADIUS_M) for uv in places]
    drawn = []
    for repeat in range(repeats):
        keys = keys_of(100 + repeat, np.arange(n))
        features, memory = dwells(spots[0], devices, keys, pad=1, uv=places[0])
        if touch:
            memory = memory.after(1.5 + 1.0 + 2.5)
            features, _ = dwells(spots[1], devices, keys + 1, pad=0, memory=memory, uv=places[1])
        drawn.append(features.values)
    drawn = np.array(drawn)
    raw = values[touch]
    assert np.isnan(raw).mean(axis=0) == pytest.approx(np.isnan(drawn).mean(axis=(0, 1)), abs=0.15)
    for name, k in C.items():
        if np.isnan(raw[:, k]).all() or np.isnan(drawn[:, :, k]).all() or name == "pad_index":
            continue
        both = np.isfinite(raw[:, k]) & np.isfinite(drawn[:, :, k]).any(axis=0)
        difference = raw[both, k] - np.nanmean(drawn[:, both, k], axis=0)
        z = difference / (np.nanstd(drawn[:, both, k], axis=0) + 0.02 * np.nanstd(raw[:, k]))
        assert abs(np.median(z)) < (1.0 if name == "spot_blur_fraction" else 0.7), (name, np.median(z))
        assert 1.48 * np.median(np.abs(z - np.median(z))) < 2.0, name
