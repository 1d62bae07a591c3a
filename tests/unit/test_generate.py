from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from palpate_agents.encoders.features import FEATURE_NAMES
from palpate_agents.errors import ConfigError
from palpate_agents.observation import Frame, Modality, Outcome, Primitive, ProbeGoal
from palpate_sim.contact import friction_coefficient, hertz_contact_time_s, press_force
from palpate_sim.motion import PERIOD_S, ArmState, Motion, MotionLimits
from palpate_sim.objects import PartBatch, draw_devices, part_from_seed
from palpate_sim.primitives import Report, press, slide
from palpate_sim.training import generate as generator
from palpate_sim.training.contact_loops import GuardedLoop
from palpate_sim.training.generate import PROPERTY_NAMES, SEQUENCE, ShardJob, ShardMaker, part_of, truth_of
from palpate_sim.training.perception_data import PerceptionData
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

    def path(self, start, goal, payload_m=0.0):
        return [goal]

    def tool_line(self, frame, point, normal, above_m, below_m):
        return self._line(DOWN, -above_m, below_m, 0)

    def room_m(self, frame, q, up):
        return np.inf

    def surface_normal(self, approach):
        return approach

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


# --- what the generator writes ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def maker():
    made = ShardMaker()
    yield made
    made.close()


@pytest.fixture(scope="module")
def shard(maker):
    return maker.make(ShardJob(5, 0, 16, "mix", Path("unused")))


def column(data, modality, name, probe):
    return data.values[modality][:, probe, NAMES[modality][name]]


def probe_number(primitive, pad=0):
    return SEQUENCE.index((primitive, pad))


def test_shape_labels_and_truth(shard):
    assert shard.primitive.shape == (16, len(SEQUENCE))
    for index in range(16):
        part, _ = part_of(5, index)
        assert (shard.material[index], shard.condition[index]) == (part.material, part.condition)
        assert shard.properties[index] == pytest.approx(truth_of(part), rel=1e-5)
    assert len(set(shard.part_id)) == 16
    assert shard.origin["randomisation_hash"] == generator.randomisation_hash()


def test_names_of_the_properties_are_those_of_the_fusion_model():
    from palpate_agents.fusion import PROPERTIES

    assert PROPERTY_NAMES == PROPERTIES


def test_features_agree_with_what_the_parts_are(shard):
    parts = [part_of(5, index)[0] for index in range(16)]
    batch = PartBatch.of(parts)
    taps = column(shard, Modality.TACTILE, "tap_log10_contact_time_s", probe_number(Primitive.TAP))
    solid = np.isinf(batch.wall_thickness_m) & np.isfinite(taps)
    assert solid.sum() >= 5
    expected = np.log10(hertz_contact_time_s(batch, 0.04))
    # Damping skews the pulse, and a half-height width reads it up to a factor of three too short (cardboard).
    assert taps[solid] == pytest.approx(expected[solid], abs=0.5)
    assert np.corrcoef(taps[solid], expected[solid])[0, 1] > 0.95
    mass = 10.0 ** column(shard, Modality.TACTILE, "lift_log10_mass_kg", probe_number(Primitive.LIFT))
    weighed = np.isfinite(mass)
    assert weighed.sum() >= 8
    assert mass[weighed] == pytest.approx(batch.mass_kg[weighed], abs=0.004)
    force = column(shard, Modality.TACTILE, "press_max_force_n", probe_number(Primitive.PRESS))
    assert np.nanmedian(force) == pytest.approx(6.34, abs=0.12)
    friction = column(shard, Modality.TACTILE, "slide_friction", probe_number(Primitive.SLIDE))
    slid = np.isfinite(friction)
    truth = friction_coefficient(batch, np.full(16, 2.0), 0.02)
    assert np.median(np.abs(friction[slid] / truth[slid] - 1.0)) < 0.1
    dip = column(shard, Modality.THERMAL, "pad_dip_1s_fraction", probe_number(Primitive.DWELL, 1))
    felt = np.isfinite(dip)
    order = np.corrcoef(np.argsort(np.argsort(dip[felt])), np.argsort(np.argsort(batch.effusivity_w_s05_m2k[felt])))
    assert order[0, 1] > 0.6
    width = column(shard, Modality.VISUAL, "height_mm", 0)
    assert np.nanmedian(np.abs(width - 1e3 * batch.dimensions_m[:, 2])) < 3.0


def test_every_modality_is_measured_by_its_primitives(shard):
    where = {
        Modality.VISUAL: {Primitive.LOOK},
        Modality.SPECTRAL: {Primitive.LOOK},
        Modality.TACTILE: {Primitive.TAP, Primitive.PRESS, Primitive.SLIDE, Primitive.LIFT},
        Modality.THERMAL: {Primitive.LOOK, Primitive.DWELL},
    }
    for modality, primitives in where.items():
        for number, (primitive, _) in enumerate(SEQUENCE):
            there = shard.primitive[:, number] >= 0
            reliable = shard.reliability[modality][there, number] > 0
            if primitive in primitives:
                assert reliable.mean() > 0.6, (modality, primitive)
            else:
                assert not reliable.any(), (modality, primitive)


def test_black_parts_are_blind_to_nir_and_clear_white_ones_are_not(maker, monkeypatch):
    def fixed(seed, index, mix="mix"):
        part = part_from_seed(100 + index, index, "PE-HD", ("clean", "black")[index % 2], "block")
        return replace(part, wall_thickness_m=float("inf")), 22.0

    monkeypatch.setattr(generator, "part_of", fixed)
    monkeypatch.setattr(generator, "SEQUENCE", ((Primitive.LOOK, 0),))
    data = maker.make(ShardJob(6, 0, 8, "mix", Path("unused")))
    ratio = column(data, Modality.SPECTRAL, "log10_structure_over_noise", 0)
    assert np.nanmedian(ratio[0::2]) > 1.0
    assert np.nanmax(ratio[1::2]) < 1.0


def test_same_seed_same_data_whatever_came_before(maker):
    first = maker.make(ShardJob(8, 4, 3, "mix", Path("unused")))
    again = maker.make(ShardJob(8, 4, 3, "mix", Path("unused")))
    other = maker.make(ShardJob(9, 4, 3, "mix", Path("unused")))
    for modality in Modality:
        assert np.array_equal(first.values[modality], again.values[modality], equal_nan=True)
    assert not np.array_equal(first.values[Modality.SPECTRAL], other.values[Modality.SPECTRAL], equal_nan=True)


def test_file_progress_and_going_on_after_a_stop(tmp_path, monkeypatch):
    monkeypatch.setattr(generator, "SHARD_PARTS", 2)
    out, calls, made = tmp_path / "data.npz", [], []
    work = generator._work

    def stops_after_one(job):
        if made:
            raise KeyboardInterrupt
        made.append(job.first)
        return work(job)

    monkeypatch.setattr(generator, "_work", stops_after_one)
    with pytest.raises(KeyboardInterrupt):
        generator.generate(5, 3, workers=1, out=out, progress=False)
    assert not out.exists()

    def counts(job):
        made.append(job.first)
        return work(job)

    monkeypatch.setattr(generator, "_work", counts)
    data = generator.generate(5, 3, workers=1, out=out, progress=lambda done, total: calls.append((done, total)))
    assert made == [0, 2, 4]
    assert calls == [(2, 5), (4, 5), (5, 5)]
    assert [path.name for path in tmp_path.iterdir()] == ["data.npz"]
    read = PerceptionData.load(out)
    assert list(read.part_id) == [f"3_part_{index:06d}" for index in range(5)]
    for modality in Modality:
        assert np.array_equal(read.values[modality], data.values[modality], equal_nan=True)


def test_shards_of_another_origin_are_made_again(tmp_path, maker):
    job = ShardJob(3, 0, 1, "mix", tmp_path / "shard.npz")
    maker.make(job).save(job.path)
    assert generator._complete(job)
    assert not generator._complete(replace(job, seed=4))
    assert not generator._complete(replace(job, count=2))
    job.path.write_bytes(b"not an archive")
    assert not generator._complete(job)


def test_wrong_wishes_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="at least 1"):
        generator.generate(0, 1, out=tmp_path / "x.npz")
    with pytest.raises(ConfigError, match="mix, hard"):
        generator.generate(1, 1, out=tmp_path / "x.npz", mix="odd")


def test_devices_are_shared_by_a_few_parts(maker):
    job = ShardJob(11, 0, 5, "mix", Path("unused"))
    scenes = [maker._scene(job, index) for index in range(5)]
    assert scenes[0].devices == scenes[3].devices == draw_devices(np.random.default_rng([11, 3, 0]))
    assert scenes[4].devices != scenes[3].devices
