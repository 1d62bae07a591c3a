"""The contact loops of the training windows against the arm's real controller, and where they stop."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from palpate_agents.observation import Frame, Outcome, Primitive, ProbeGoal
from palpate_sim.contact import press_force
from palpate_sim.motion import PERIOD_S, ArmState, Motion, MotionLimits
from palpate_sim.objects import PartBatch, part_from_seed
from palpate_sim.primitives import Report, press, slide
from palpate_sim.training.contact_loops import GuardedLoop
from palpate_sim.training.touch_windows import ForceTables
from palpate_sim.trajectory import ToolLine

DOWN = np.array([0.0, 0.0, -1.0])


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


def loop_over(rise_n_m, count=1):
    """A loop whose surface rises under the slide by so much force per metre."""

    def force(travel, along):
        return np.maximum(3e4 * travel + rise_n_m * along, 0.0)

    tilt = np.ones(count), np.zeros(count)
    loop = GuardedLoop(force, tilt, MotionLimits(), lambda: np.zeros(count), 5e4, np.full(count, 2.5))
    loop.approach()
    loop.hold(2.0, 0.15, 20.0, 8e-3)
    return loop


def test_a_slide_climbs_with_a_tilted_surface():
    # 3e4 N/m * tan(3 degrees)
    loop = loop_over(1600.0)
    track = loop.track(loop.slide(np.array([0.015]), 0.02, 2.0, lambda n, v, t: 0.0 * n))
    end = int(track.ended[0])
    assert track.along_m[end - 1, 0] == pytest.approx(0.015, abs=1e-5)
    assert track.normal_n[end - 250 : end - 100, 0].mean() == pytest.approx(2.0, abs=0.12)  # 3.6 without the integral


def test_a_slide_stops_where_the_tip_catches():
    loop = loop_over(np.array([0.0, 1e5]), count=2)
    track = loop.track(loop.slide(np.array([0.015, 0.015]), 0.02, 2.0, lambda n, v, t: 0.0 * n))
    last = [float(track.along_m[min(track.ended[k], len(track.along_m)) - 1, k]) for k in range(2)]
    assert last[0] == pytest.approx(0.015, abs=1e-5)
    assert last[1] < 0.005


def test_parts_do_not_wait_for_each_other():
    force = [lambda travel, along: np.maximum(3e4 * travel, 0.0), lambda travel, along: np.maximum(
        np.array([3e4, 2e2]) * travel, 0.0
    )]  # fmt: skip
    ended = []
    for count, law in zip((1, 2), force, strict=True):
        loop = GuardedLoop(
            law, (np.ones(count), np.zeros(count)), MotionLimits(), lambda count=count: np.zeros(count), 5e4,
            np.full(count, 2.5),
        )  # fmt: skip
        loop.approach()
        loop.hold(6.4, 0.2, 8.0, 8e-3)
        track = loop.track(loop.unload(12.0))
        start, end = int(track.touched[0]), int(track.ended[0])
        ended.append(track.normal_n[start:end, 0])
    assert len(ended[0]) == len(ended[1])
    np.testing.assert_allclose(ended[1], ended[0])
