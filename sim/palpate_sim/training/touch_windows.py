"""Windows of press, slide and tap for many parts: the contact loops run for all at once, then one window per part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from palpate_agents.observation import Frame, Outcome, Primitive, ProbeExecution, ProbeGoal, ProbeWindows, TapBurst
from palpate_sim.batch.robot import BALL_ACCELERATION_M_S2, JOINT_PERIOD, PRESS_HOLD_S, ZERO_ERROR_N
from palpate_sim.batch.touch import TRUE_GRAVITY_M_S2
from palpate_sim.contact import (
    BURST_RATE_HZ,
    TIP_MASS_KG,
    law_force,
    press_law,
    slide_force,
    tap_burst,
)
from palpate_sim.kinematics import Chain
from palpate_sim.motion import PERIOD_S, MotionLimits
from palpate_sim.objects import PartBatch
from palpate_sim.planning import HOME, TOOL_POSTURE, Planner
from palpate_sim.report import reported_normal
from palpate_sim.surface import SurfaceMaps, spot_batch
from palpate_sim.training.contact_loops import GuardedLoop, Track
from palpate_sim.training.scene_of_part import Hit, PartScene

Array = NDArray[np.floating]

BEFORE_CONTACT = 400
TAP_WINDOW_S = 0.1
PAD_ACCELERATION_M_S2 = (2.0, 2.65)
"""As `BALL_ACCELERATION_M_S2`, with a pad."""
SLIDE_SETTLE_S, SLIDE_RATE_N_S = 0.15, 20.0
SLID_SHARE = 0.3
"""A slide that ended earlier has failed, as in primitives.py."""
FRICTION_STEPS = 16
"""Places along a slide at which the surface is looked at."""
BALL_SPOT_M = 0.5e-3
"""Radius of the ball's contact spot: below a cell of the surface maps."""


@dataclass(frozen=True)
class ToolGeometry:
    """What hangs on the sensor, and how the sensor is turned in the two postures that windows are cut in.

    Attributes:
        tool_mass_kg: hand and tool.
        touch_rotation, hand_rotation: (3, 3) sensor frame in the base frame with the ball, and with the hand, down.
        tip_jacobian: (3, 7) motion of the ball per joint, m/rad.
        limits: of the arm.
    """

    tool_mass_kg: float
    touch_rotation: Array
    hand_rotation: Array
    tip_jacobian: Array
    limits: MotionLimits

    @staticmethod
    def of(planner: Planner) -> ToolGeometry:
        """From the URDF, at the postures over the middle of the table."""
        tip = Chain(planner.model, Frame.BALL_TIP, Frame.BASE)
        sensor = Chain(planner.model, Frame.FORCE_TORQUE, Frame.BASE)
        return ToolGeometry(
            planner.tool_mass_kg,
            sensor.forward(TOOL_POSTURE)[:3, :3],
            sensor.forward(HOME)[:3, :3],
            tip.jacobian(TOOL_POSTURE)[1][:3],
            MotionLimits(),
        )

    def weight(self, rotation: Array, mass_kg: float) -> Array:
        """(3,) weight in the sensor frame, N."""
        return rotation.T @ np.array([0.0, 0.0, -TRUE_GRAVITY_M_S2 * mass_kg])


@dataclass(frozen=True)
class Contact:
    """One part's touch: what was wanted, and what was met."""

    scene: PartScene
    goal: ProbeGoal
    hit: Hit

    @property
    def approach(self) -> Array:
        """(3,) unit outward normal that was assumed."""
        return np.asarray(self.goal.normal, float)

    @property
    def direction(self) -> Array:
        """(3,) unit direction of a slide, in the assumed surface."""
        flat = np.array([np.cos(self.goal.slide_angle_rad), np.sin(self.goal.slide_angle_rad), 0.0])
        surface = Planner.surface_normal(np.asarray(self.goal.normal, float))
        along = flat - (flat @ surface) * surface
        return along / np.linalg.norm(along)


def execution_of(goal: ProbeGoal, outcome: Outcome, start_s: float, end_s: float, **fields: object) -> ProbeExecution:
    """The arm's report, with stamps from the part's clock."""
    return ProbeExecution(
        goal.primitive, outcome, round(start_s * 1e9), round(end_s * 1e9),
        contact_normal=reported_normal(goal), pad_index=goal.pad_index, **fields,  # type: ignore[arg-type]
    )  # fmt: skip


def missed(scene: PartScene, goal: ProbeGoal) -> tuple[ProbeExecution, ProbeWindows]:
    """A descent that touched nothing."""
    scene.time_s += 2.0
    execution = execution_of(goal, Outcome.NO_CONTACT, scene.time_s - 1.0, scene.time_s, contact_point_m=goal.target_m)
    return execution, ProbeWindows()


class ForceTables:
    """`press_force` of N spots over depth, tabulated: a look-up per control period."""

    rows, deepest_m = 512, 0.03

    def __init__(self, batch: PartBatch) -> None:
        self._depth = self.deepest_m * np.linspace(0.0, 1.0, self.rows) ** 2
        self._force = law_force(press_law(batch).column(), np.tile(self._depth, (len(batch), 1)))
        self._parts = np.arange(len(batch))

    def at(self, depth_m: Array) -> Array:
        """(N,) force N at (N,) depth m; 0 without contact."""
        share = np.sqrt(np.clip(depth_m / self.deepest_m, 0.0, 1.0)) * (self.rows - 1)
        low = np.minimum(share.astype(int), self.rows - 2)
        start, end = self._depth[low], self._depth[low + 1]
        weight = (np.minimum(np.maximum(depth_m, 0.0), self.deepest_m) - start) / (end - start)
        first, second = self._force[self._parts, low], self._force[self._parts, low + 1]
        return first + weight * (second - first)


def spots_of(contacts: Sequence[Contact], along_m: Array | float = 0.0) -> PartBatch:
    """What the ball meets at the touches, or after it has slid on by a distance, as a batch of spots."""
    batch = PartBatch.of([c.scene.part for c in contacts])
    slid = np.broadcast_to(np.asarray(along_m, float), (len(contacts),))
    states = [(c.scene.maps.coat, c.scene.maps.label, c.scene.maps.film_um, c.scene.maps.dirt) for c in contacts]
    maps = SurfaceMaps(*(np.concatenate(layer) for layer in zip(*states, strict=True)))
    places = [c.scene.place(c.hit.point + d * c.direction) for c, d in zip(contacts, slid, strict=True)]
    return spot_batch(batch, maps, np.stack(places), BALL_SPOT_M)


def _loop(contacts: Sequence[Contact], batch: PartBatch, limits: MotionLimits, rng: np.random.Generator) -> GuardedLoop:
    cosine = np.array([c.approach @ c.hit.normal for c in contacts])
    rise = np.array([c.direction @ c.hit.normal for c in contacts])

    law = ForceTables(batch)

    def force(travel: Array, along: Array) -> Array:
        return law.at(travel * cosine - along * rise)

    sigma = np.array([c.scene.devices.force_noise_n for c in contacts])
    acceleration = np.minimum(rng.uniform(*BALL_ACCELERATION_M_S2, len(contacts)), limits.line_acceleration_m_s2)

    zero = rng.uniform(*ZERO_ERROR_N, len(contacts))

    def noise() -> Array:
        return zero + sigma * rng.standard_normal(len(contacts))

    return GuardedLoop(force, (cosine, rise), limits, noise, limits.arm_stiffness_n_m, acceleration)


def press_tracks(contacts: Sequence[Contact], geometry: ToolGeometry, rng: np.random.Generator) -> Track:
    """All presses: load, hold, unload."""
    limits = geometry.limits
    loop = _loop(contacts, spots_of(contacts), limits, rng)
    loop.approach()
    top = limits.press_share * limits.force_limit_n
    force = np.array([min(c.goal.force_n, top) if c.goal.force_n > 0.0 else top for c in contacts])
    seconds = np.array([c.goal.dwell_s or PRESS_HOLD_S for c in contacts])
    loop.hold(force, seconds, limits.press_rate_n_s, limits.press_depth_m)
    return loop.track(loop.unload(1.5 * limits.press_rate_n_s))


def slide_speed_m_s(goal: ProbeGoal, limits: MotionLimits) -> float:
    """Speed of a slide as the arm does it."""
    return min(goal.speed_m_s or limits.slide_speed_m_s, 3.0 * limits.slide_speed_m_s)


def slide_tracks(contacts: Sequence[Contact], geometry: ToolGeometry, rng: np.random.Generator) -> Track:
    """All slides: light touch, then along the surface; friction follows what lies on it."""
    limits = geometry.limits
    batch = spots_of(contacts)
    loop = _loop(contacts, batch, limits, rng)
    loop.approach()
    most = limits.slide_share * limits.force_limit_n
    force = np.array([min(c.goal.force_n or limits.slide_force_n, most) for c in contacts])
    loop.hold(force, SLIDE_SETTLE_S, SLIDE_RATE_N_S, limits.press_depth_m)
    length = np.array([c.goal.slide_distance_m or limits.slide_m for c in contacts])
    speed = np.array([slide_speed_m_s(c.goal, limits) for c in contacts])
    steps = np.linspace(0.0, 1.0, FRICTION_STEPS)
    factors = np.stack([spots_of(contacts, share * length).friction_factor for share in steps])
    rows = np.arange(len(contacts))

    def friction(normal: Array, velocity: Array, time_s: float) -> Array:
        place = np.rint(loop.along / length * (FRICTION_STEPS - 1)).astype(int)
        here = batch.replace(friction_factor=factors[place, rows])
        return slide_force(here, normal, speed, time_s, rng) * (velocity > 1e-3)

    return loop.track(loop.slide(length, speed, force, friction))


def window_of(
    contact: Contact, track: Track, index: int, geometry: ToolGeometry
) -> tuple[ProbeExecution, ProbeWindows]:
    """Cuts one part's window out of the tracks, with everything that its sensors add."""
    scene, goal = contact.scene, contact.goal
    touched, ended = int(track.touched[index]), int(track.ended[index])
    if touched < 0:
        return missed(scene, goal)
    # The tap before has told the height of the surface: the slow part of the approach, and so the window, is short.
    speed = float(track.travel_m[1, index] - track.travel_m[0, index]) / PERIOD_S
    free = round(geometry.limits.known_above_m / speed / PERIOD_S) + int(scene.rng.integers(-10, 11))
    rows = np.arange(touched - min(free, BEFORE_CONTACT, touched), min(ended + 1, len(track.travel_m)))
    times = (rows - touched) * PERIOD_S
    approach, along = contact.approach, contact.direction
    rotation = geometry.touch_rotation
    slid = along - (along @ contact.hit.normal) * contact.hit.normal
    force = track.normal_n[rows, index, None] * contact.hit.normal - track.tangential_n[rows, index, None] * slid
    # What hangs on the sensor resists acceleration: seen when the arm brakes and when a slide begins.
    travel, length = track.travel_m[:, index], track.along_m[:, index]
    motion = -travel[:, None] * approach + length[:, None] * along
    acceleration = np.diff(motion, n=2, axis=0, prepend=motion[:1] - (motion[1:2] - motion[:1]), append=motion[-1:])
    force = force - geometry.tool_mass_kg * acceleration[rows] / PERIOD_S**2
    scene.time_s += 2.0
    wrench = np.zeros((len(rows), 6))
    wrench[:, :3] = force @ rotation + geometry.weight(rotation, geometry.tool_mass_kg)
    reported = scene.wrench_noise.apply_series(wrench, scene.time_s + times)
    point = contact.hit.point - travel[touched] * approach
    windows = ProbeWindows(wrench_times_s=times, wrench=reported)
    add_joints(windows, rows, times, point + motion - motion[touched], scene, geometry, rotation)
    execution = execution_of(
        goal,
        _outcome(contact, track, index, geometry.limits),
        scene.time_s + times[0],
        scene.time_s + times[-1],
        contact_time_ns=round(scene.time_s * 1e9),
        contact_point_m=(float(point[0]), float(point[1]), float(point[2])),
        speed_m_s=slide_speed_m_s(goal, geometry.limits) if goal.primitive is Primitive.SLIDE else speed,
        slide_distance_m=float(length[rows[-1]]),
        max_force_n=float(track.normal_n[rows, index].max()),
    )
    scene.time_s += float(times[-1]) + 1.0
    return execution, windows


def _outcome(contact: Contact, track: Track, index: int, limits: MotionLimits) -> Outcome:
    if track.limited[index]:
        return Outcome.FORCE_LIMIT
    wanted = contact.goal.slide_distance_m or limits.slide_m
    slid = float(track.along_m[min(int(track.ended[index]), len(track.along_m) - 1), index])
    if contact.goal.primitive is Primitive.SLIDE and slid < SLID_SHARE * wanted:
        return Outcome.NO_CONTACT
    return Outcome.SUCCEEDED


def add_joints(
    windows: ProbeWindows, rows: NDArray[np.int64], times: Array, tip: Array, scene: PartScene,
    geometry: ToolGeometry, rotation: Array,
) -> None:  # fmt: skip
    """Joint states at 100 Hz with encoder noise: tip positions (all rows of the track) seen through it."""
    phase = int(scene.rng.integers(JOINT_PERIOD))
    chosen = np.arange(phase, len(rows), JOINT_PERIOD)
    windows.joint_times_s = times[chosen]
    error = scene.joint_noise.apply_series(np.zeros((len(chosen), 7)), scene.time_s + times[chosen])
    windows.joint_positions = TOOL_POSTURE + error
    windows.tip_positions_m = tip[rows[chosen]] + error @ geometry.tip_jacobian.T
    windows.sensor_rotation = np.repeat(rotation[None], len(chosen), axis=0)


def tap_speed_m_s(goal: ProbeGoal, limits: MotionLimits) -> float:
    """Speed of a tap as the arm does it."""
    return min(goal.speed_m_s or limits.tap_speed_m_s, limits.tap_speed_max_m_s)


def taps(contacts: Sequence[Contact], geometry: ToolGeometry, rng: np.random.Generator) -> list[TapBurst]:
    """Bursts of all taps."""
    speed = np.array([tap_speed_m_s(c.goal, geometry.limits) * (c.approach @ c.hit.normal) for c in contacts])
    bursts = tap_burst(spots_of(contacts), speed, rng, [c.scene.devices for c in contacts])
    return [
        TapBurst(float(BURST_RATE_HZ), burst, TIP_MASS_KG, float(v)) for burst, v in zip(bursts, speed, strict=True)
    ]


def tap_window(contact: Contact, burst: TapBurst, geometry: ToolGeometry) -> tuple[ProbeExecution, ProbeWindows]:
    """Window of a tap: the burst, and the free wrench before it."""
    scene, goal, point = contact.scene, contact.goal, contact.hit.point
    scene.time_s += 2.0
    rows = np.arange(-BEFORE_CONTACT, 0)
    times = rows * PERIOD_S
    wrench = np.zeros((len(rows), 6))
    wrench[:, :3] = geometry.weight(geometry.touch_rotation, geometry.tool_mass_kg)
    windows = ProbeWindows(
        wrench_times_s=times, wrench=scene.wrench_noise.apply_series(wrench, scene.time_s + times), burst=burst
    )
    tip = point - (rows * PERIOD_S * burst.impact_speed_m_s)[:, None] * contact.approach
    add_joints(windows, np.arange(len(rows)), times, tip, scene, geometry, geometry.touch_rotation)
    execution = execution_of(
        goal, Outcome.SUCCEEDED, scene.time_s + times[0], scene.time_s + TAP_WINDOW_S,
        contact_time_ns=round(scene.time_s * 1e9), contact_point_m=(float(point[0]), float(point[1]), float(point[2])),
        speed_m_s=tap_speed_m_s(goal, geometry.limits),
    )  # fmt: skip
    scene.time_s += 1.0
    return execution, windows
