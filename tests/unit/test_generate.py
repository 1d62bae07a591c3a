from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from palpate_agents.encoders.features import FEATURE_NAMES
from palpate_agents.observation import Frame, Modality, Outcome, Primitive, ProbeGoal
from palpate_sim.contact import friction_coefficient, hertz_contact_time_s, press_force
from palpate_sim.keyed import keys_of
from palpate_sim.library import placement
from palpate_sim.motion import PERIOD_S, ArmState, Motion, MotionLimits
from palpate_sim.objects import PartBatch, draw_device_batch, draw_parts, part_from_seed
from palpate_sim.primitives import Report, press, slide
from palpate_sim.surface import SurfaceMaps, draw_surface_maps
from palpate_sim.training import generate as generator
from palpate_sim.training.contact_loops import GuardedLoop
from palpate_sim.training.generate import SEQUENCE, WindowMaker, draw_set, part_of
from palpate_sim.training.touch_windows import ForceTables
from palpate_sim.trajectory import ToolLine

NAMES = {modality: {name: k for k, name in enumerate(names)} for modality, names in FEATURE_NAMES.items()}
DOWN = np.array([0.0, 0.0, -1.0])


# --- the contact loops against the real controller -------------------------------------------------------------------


@dataclass
class StraightChain:
    """Joint 1 is the distance down, joint 2 the distance sideways."""

    def forward(self, q):
        pose = np.diag([1.0, -1.0, -1.0, 1.0])
        pose[:3, 3] = (q[1], 0.0, -q[0])
        return pose

    def jacobian(self, q):
        columns = np.zeros((6, 7))
        columns[2, 0], columns[0, 1] = -1.0, 1.0
        return self.forward(q), columns


@dataclass
class StraightPlanner:
    """What `Motion` needs of a planner, for an arm with two straight axes."""

    tool_mass_kg: float = 0.0
    velocity: np.ndarray = field(default_factory=lambda: np.full(7, 1e6))

    def __post_init__(self):
        self.tool_in_sensor = {Frame.BALL_TIP: np.eye(4)}
        solver = type("Solver", (), {"chain": StraightChain()})()
        self.ik = {Frame.BALL_TIP: solver}
        self.sensor_chain = solver.chain

    def path(self, start, goal, payload_m=0.0):
        return [goal]

    def tool_line(self, frame, point, normal, above_m, below_m):
        return self._line(DOWN, -above_m, below_m, 0)

    def room_m(self, frame, q, up, others=()):
        return np.inf

    def surface_normal(self, approach):
        return approach

    def retreat(self, line, frame, q, distance_m):
        return None

    def slide(self, line, frame, q, direction, length_m):
        return self._line(np.asarray(direction), 0.0, length_m, 1)

    @staticmethod
    def _line(direction, start_m, end_m, joint):
        positions = np.zeros((max(2, int((end_m - start_m) / 0.005) + 1), 7))
        positions[:, joint] = np.linspace(start_m, end_m, len(positions))
        return ToolLine(np.zeros(3), direction, start_m, end_m, positions)


def run_real(primitive, goal, batch, friction=0.0):
    """Runs a primitive of the arm against a part whose surface lies at distance 0; returns its report and its track."""
    motion = Motion(StraightPlanner(), MotionLimits())
    report = Report(goal)
    ticks = primitive(motion, report)
    command, time_ns, last, rows = next(ticks), 0, 0.0, []
    while True:
        time_ns += round(PERIOD_S * 1e9)
        travel, along = float(command.q[0]), float(command.q[1])
        normal = float(press_force(batch, travel)[0])
        tangential = friction * normal * (along - last > 1e-6)
        last = along
        rows.append((time_ns, travel, normal, along))
        wrench = np.array([-tangential, 0.0, -normal, 0.0, 0.0, 0.0])
        try:
            command = ticks.send(ArmState(time_ns, command.q.copy(), wrench, 0.08))
        except StopIteration:
            return report, np.array(rows)


def loop_like(rows, report, batch):
    """The array version, begun where the real one was 400 periods before its touch."""
    touch = int(np.argmax(rows[:, 0] == report.contact_time_ns))

    def force(travel, along):
        return press_force(batch, travel)

    loop = GuardedLoop(force, (np.ones(1), np.zeros(1)), MotionLimits(), lambda: np.zeros(1), 5e4, np.array([4.0]))
    loop.travel = rows[touch, 1] - 400 * loop.approach_m_s * PERIOD_S
    loop.approach()
    return loop, touch


@pytest.mark.parametrize("name", ["mild-steel", "ABS", "PE-LD", "EPDM", "PUR-foam"])
def test_press_loop_is_the_real_controller(name):
    batch = PartBatch.of([part_from_seed(3, 0, name, "clean", "block")])
    limits = MotionLimits()
    report, rows = run_real(press, ProbeGoal(Primitive.PRESS), batch)
    assert report.outcome is Outcome.SUCCEEDED
    loop, touch = loop_like(rows, report, batch)
    loop.hold(limits.press_share * limits.force_limit_n, 0.2, limits.press_rate_n_s, limits.press_depth_m)
    track = loop.track(loop.unload(1.5 * limits.press_rate_n_s))
    count = round((report.window_end_ns - report.contact_time_ns) * 1e-9 / PERIOD_S)
    start = int(track.touched[0])
    assert track.ended[0] - start == pytest.approx(count, abs=2)
    length = min(count, len(track.travel_m) - start) - 2
    real, ours = rows[touch : touch + length], slice(start, start + length)
    assert track.travel_m[ours, 0] == pytest.approx(real[:, 1], abs=2e-6)
    assert track.normal_n[ours, 0] == pytest.approx(real[:, 2], abs=0.05)
    assert not track.limited[0]


def test_slide_loop_is_the_real_controller():
    batch = PartBatch.of([part_from_seed(3, 0, "ABS", "clean", "block")])
    limits, goal = MotionLimits(), ProbeGoal(Primitive.SLIDE, slide_distance_m=0.012)
    report, rows = run_real(slide, goal, batch, friction=0.3)
    assert report.slide_distance_m == pytest.approx(0.012, abs=1e-6)
    loop, touch = loop_like(rows, report, batch)
    loop.hold(limits.slide_force_n, 0.15, 20.0, limits.press_depth_m)
    ended = loop.slide(
        np.array([0.012]), limits.slide_speed_m_s, limits.slide_force_n, lambda n, v, t: 0.3 * n * (v > 1e-3)
    )
    track = loop.track(ended)
    count = round((report.window_end_ns - report.contact_time_ns) * 1e-9 / PERIOD_S)
    assert track.ended[0] - track.touched[0] == pytest.approx(count, abs=2)
    start, length = int(track.touched[0]), count - 3
    assert track.along_m[start : start + length, 0] == pytest.approx(rows[touch : touch + length, 3], abs=5e-5)
    assert track.normal_n[start : start + length, 0] == pytest.approx(rows[touch : touch + length, 2], abs=0.05)


def test_force_limit_ends_a_press():
    batch = PartBatch.of([part_from_seed(3, 0, "mild-steel", "clean", "block")])
    loop = GuardedLoop(
        lambda travel, along: press_force(batch, travel), (np.ones(1), np.zeros(1)),
        MotionLimits(force_limit_n=2.0, press_share=1.5), lambda: np.zeros(1), 5e4, np.array([4.0]),
    )  # fmt: skip
    loop.approach()
    track = loop.track(loop.hold(3.0, 0.2, 8.0, 0.008))
    assert track.limited[0]
    assert track.normal_n.max() < 2.2


def test_force_tables_are_the_law():
    batch = PartBatch.of([part_from_seed(seed, 0, name) for seed, name in enumerate(["ABS", "PUR-foam", "SS304"])])
    tables = ForceTables(batch)
    for depth in (0.0, 3e-6, 8e-5, 1.3e-4, 4e-3):
        exact = press_force(batch, depth)
        assert tables.at(np.full(3, depth)) == pytest.approx(exact, rel=0.01, abs=5e-3)
    assert np.all(tables.at(np.full(3, -1e-3)) == 0.0)


# --- what the windows say ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def maker():
    with WindowMaker() as made:
        yield made


@pytest.fixture(scope="module")
def done(maker):
    return maker.probe(5, 0, 16)


def column(done, modality, name, number):
    """(n,) values of one column of probe `number`, NaN where a part has no such probe."""
    values = np.full(len(done), np.nan)
    for row, one in enumerate(done):
        if number in one.numbers:
            values[row] = one.features[one.numbers.index(number)].values[modality][NAMES[modality][name]]
    return values


def probe_number(primitive, pad=0):
    return SEQUENCE.index((primitive, pad))


def test_parts_are_those_of_the_batched_cell(done):
    batch, devices, ambient_c = draw_set(5, range(16))
    again = draw_parts(keys_of(5, np.arange(16)), ambient_c=ambient_c)
    maps = draw_surface_maps(again)
    for row, one in enumerate(done):
        assert one.scene.part == batch.part(row, row) == again.part(row, row) == part_of(5, row)[0]
        assert one.scene.devices == devices.draw(row)
        fresh = SurfaceMaps.of_part(one.scene.part)
        assert np.array_equal(fresh.dirt[0], maps.dirt[row])
        assert np.array_equal(fresh.coat[0], maps.coat[row])


def test_a_settled_part_lies_where_the_library_has_it(maker):
    scene = maker.probe(5, 3, 1, settled=True)[0].scene
    x, y, _ = placement(scene.part.geometry_class, scene.part.geometry_id)
    assert scene.pose.position[:2] == pytest.approx((x, y))
    assert maker.probe(5, 3, 1)[0].scene.pose.position[:2] != pytest.approx((x, y))


def test_features_agree_with_what_the_parts_are(done):
    batch = PartBatch.of([one.scene.part for one in done])
    taps = column(done, Modality.TACTILE, "tap_log10_contact_time_s", probe_number(Primitive.TAP))
    solid = np.isinf(batch.wall_thickness_m) & np.isfinite(taps)
    assert solid.sum() >= 5
    expected = np.log10(hertz_contact_time_s(batch, 0.04))
    # Damping skews the pulse, and a half-height width reads it up to a factor of three too short (cardboard).
    assert taps[solid] == pytest.approx(expected[solid], abs=0.5)
    assert np.corrcoef(taps[solid], expected[solid])[0, 1] > 0.95
    mass = 10.0 ** column(done, Modality.TACTILE, "lift_log10_mass_kg", probe_number(Primitive.LIFT))
    weighed = np.isfinite(mass)
    assert weighed.sum() >= 8
    assert mass[weighed] == pytest.approx(batch.mass_kg[weighed], abs=0.004)
    force = column(done, Modality.TACTILE, "press_max_force_n", probe_number(Primitive.PRESS))
    assert np.nanmedian(force) == pytest.approx(6.34, abs=0.12)
    friction = column(done, Modality.TACTILE, "slide_friction", probe_number(Primitive.SLIDE))
    slid = np.isfinite(friction)
    truth = friction_coefficient(batch, np.full(16, 2.0), 0.02)
    assert np.median(np.abs(friction[slid] / truth[slid] - 1.0)) < 0.1
    dip = column(done, Modality.THERMAL, "pad_dip_1s_fraction", probe_number(Primitive.DWELL, 1))
    felt = np.isfinite(dip)
    order = np.corrcoef(np.argsort(np.argsort(dip[felt])), np.argsort(np.argsort(batch.effusivity_w_s05_m2k[felt])))
    assert order[0, 1] > 0.6
    height = column(done, Modality.VISUAL, "height_mm", 0)
    assert np.nanmedian(np.abs(height - 1e3 * batch.dimensions_m[:, 2])) < 3.0


def test_every_modality_is_measured_by_its_primitives(done):
    where = {
        Modality.VISUAL: {Primitive.LOOK},
        Modality.SPECTRAL: {Primitive.LOOK},
        Modality.TACTILE: {Primitive.TAP, Primitive.PRESS, Primitive.SLIDE, Primitive.LIFT},
        Modality.THERMAL: {Primitive.LOOK, Primitive.DWELL},
    }
    for modality, primitives in where.items():
        for number, (primitive, _) in enumerate(SEQUENCE):
            found = [one.features[one.numbers.index(number)] for one in done if number in one.numbers]
            reliable = np.array([features.reliability[modality] > 0 for features in found])
            if primitive in primitives:
                assert reliable.mean() > 0.6, (modality, primitive)
            else:
                assert not reliable.any(), (modality, primitive)


def fixed_parts(monkeypatch, parts):
    """The generator makes these parts, whatever it is asked for."""

    def drawn(seed, indices, mix="mix"):
        batch = PartBatch.of(parts)
        return batch, draw_device_batch(np.arange(len(parts))), np.full(len(parts), 22.0)

    monkeypatch.setattr(generator, "draw_set", drawn)


def test_black_parts_are_blind_to_nir_and_white_ones_are_not(maker, monkeypatch):
    bare = {"wall_thickness_m": float("inf"), "label_um": 0.0, "dirt_level": 0.0}
    parts = [part_from_seed(100 + k, k, "PE-HD", ("clean", "black")[k % 2], "block") for k in range(8)]
    fixed_parts(monkeypatch, [replace(part, **bare) for part in parts])
    monkeypatch.setattr(generator, "SEQUENCE", ((Primitive.LOOK, 0), (Primitive.LOOK, 0)))
    ratio = column(maker.probe(6, 0, 8), Modality.SPECTRAL, "log10_structure_over_noise", 1)
    assert np.nanmedian(ratio[0::2]) > 1.0
    assert np.nanmax(ratio[1::2]) < 1.0


def test_a_scratch_bares_what_the_next_spectrum_sees(maker, monkeypatch):
    thick = {"coat_um": 60.0, "paint_transmission": 0.0, "label_um": 0.0, "dirt_level": 0.0, "transparency": 0.0}
    parts = [part_from_seed(40 + k, k, "PE-HD", "painted", "block") for k in range(5)]
    fixed_parts(monkeypatch, [replace(part, **thick) for part in parts])
    looks = [k for k, (primitive, _) in enumerate(SEQUENCE) if primitive is Primitive.LOOK]
    whole = [one for one in maker.probe(6, 0, 5, settled=True) if len(one.numbers) == len(SEQUENCE)]
    assert len(whole) >= 2
    for one in whole:
        assert one.scene.maps.coat.sum() < SurfaceMaps.of_part(one.scene.part).coat.sum() - 0.5
        wiped, scratched = (one.features[k].values[Modality.SPECTRAL][6:] for k in looks[2:])
        assert np.abs(scratched - wiped).mean() > 0.01
        scratch = one.numbers.index(probe_number(Primitive.SCRATCH))
        assert one.scene.spot(one.hits[scratch].point, 0.002).coat_cover[0] < 0.75


def test_same_seed_same_data_whatever_came_before(maker):
    first, again, other = (maker.probe(seed, 4, 2) for seed in (8, 8, 9))
    for one, two, three in zip(first, again, other, strict=True):
        for a, b in zip(one.features, two.features, strict=True):
            for modality in Modality:
                assert np.array_equal(a.values[modality], b.values[modality], equal_nan=True)
        assert not np.array_equal(
            one.features[0].values[Modality.SPECTRAL], three.features[0].values[Modality.SPECTRAL], equal_nan=True
        )
