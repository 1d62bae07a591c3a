"""The simulated sorting cell: physics, motion, sensors and pictures behind one clock.

`SimCell.advance` steps the physics at 1 kHz and returns what every sensor acquired, stamped with the cell's clock. All
randomness comes from the seed and all decisions from simulated time, so that the same calls give the same samples.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from palpate_agents.errors import CellError, ConfigError
from palpate_agents.observation import ProbeExecution, ProbeGoal
from palpate_agents.samples import (
    Burst,
    Execution,
    HeatedTipState,
    Inductive,
    JointPath,
    Joints,
    Sample,
    Spectrum,
    Wrench,
)
from palpate_sim.contact import tap_burst
from palpate_sim.devices import DeviceDraw, draw_devices
from palpate_sim.executor import Executor
from palpate_sim.feeder import Feeder, Pose, PresentedPart
from palpate_sim.imaging import Imaging
from palpate_sim.kinematics import ARM_JOINTS, FINGER_JOINTS
from palpate_sim.mirror import check_display
from palpate_sim.motion import ArmState, Motion, MotionLimits
from palpate_sim.objects import Part, PartBatch, draw_part
from palpate_sim.planning import Planner
from palpate_sim.point_sensors import PadCoils, burst_of_tap, scan
from palpate_sim.rendering import PartPose
from palpate_sim.sensors import inductive as coil
from palpate_sim.sensors.encoders import JointNoise
from palpate_sim.sensors.thermal import pad_course
from palpate_sim.spectators import film, window
from palpate_sim.video import check_video_path
from palpate_sim.warm_pads import WarmPads, touches_ball
from palpate_sim.world import PartBody, World, WorldState
from palpate_sim.wrench_stream import WrenchStream

STEP_NS = 1_000_000
JOINT_NAMES = (*ARM_JOINTS, *FINGER_JOINTS)
COLLISION_PERIOD = 10
TOUCH_N = 0.3
SPECTROMETER_SERIAL = "simulated-nir-228"


@dataclass(frozen=True)
class CellConfig:
    """How the cell is set up.

    Attributes:
        force_limit_n: the arm's own quasi-static force limit.
        color_period_s, thermal_period_s: time between pictures (10 and 5 Hz).
        joint_period_s, heater_period_s: of the joint and heater states (100 and 10 Hz); the wrench has 1 kHz.
        inductive: the warm pads have eddy-current coils; inductive_period_s: between their readings (100 Hz).
        camera_latency_s: from exposure to arrival of a picture.
        ambient_c: room temperature.
        touching_probability: how often a second part touches the first.
        nominal_devices: devices without individual errors instead of drawn ones.
        render: False gives no pictures at all and needs no second process.
        start_time_ns: stamp at the start; must not be 0 where ROS time is used.
        video: MP4 file to film the cell into; empty: none.
        gui: show the cell in a window.
    """

    force_limit_n: float = 8.0
    color_period_s: float = 0.1
    thermal_period_s: float = 0.2
    joint_period_s: float = 0.01
    heater_period_s: float = 0.1
    inductive: bool = False
    inductive_period_s: float = 1.0 / coil.RATE_HZ
    camera_latency_s: float = 0.05
    ambient_c: float = 22.0
    touching_probability: float = 0.0
    nominal_devices: bool = False
    render: bool = True
    start_time_ns: int = 1_000_000_000
    video: str = ""
    gui: bool = False

    def __post_init__(self) -> None:
        if not 0.5 <= self.force_limit_n <= 20.0:
            raise ConfigError(f"force_limit_n is {self.force_limit_n:g} N, allowed are 0.5 to 20 N")
        if not 0.0 <= self.touching_probability <= 1.0:
            raise ConfigError(f"touching_probability is {self.touching_probability:g}, allowed are 0 to 1")
        for name in ("color_period_s", "thermal_period_s", "joint_period_s", "heater_period_s", "inductive_period_s"):
            if steps(getattr(self, name)) < 1:
                raise ConfigError(f"{name} is {getattr(self, name):g} s, at least 0.001 s is needed")
        if (self.video or self.gui) and not self.render:
            raise ConfigError("a film or a window of the cell needs its pictures: render must not be False")
        if self.video:
            check_video_path(Path(self.video))
        if self.gui:
            check_display()


def steps(seconds: float) -> int:
    """Physics steps in a time."""
    return round(seconds * 1e9 / STEP_NS)


def _fill_tables(devices: DeviceDraw) -> None:
    """Compute what the first tap and the first warm touch would compute in the middle of a probe, 0.3 s each."""
    rng = np.random.default_rng(0)
    some = PartBatch.of([draw_part(rng, 0)])
    tap_burst(some, 0.04, rng, devices)
    pad_course(some, devices, 0.1, 20.0, 0, 1e-4)


class SimCell:
    """The cell. Not thread-safe; close it (it owns a process)."""

    def __init__(self, config: CellConfig, seed: int):
        self.config, self.seed = config, seed
        self.ambient_c = config.ambient_c
        planner = Planner()
        drawn = draw_devices(np.random.default_rng([seed, 1]))
        self.devices = DeviceDraw.nominal() if config.nominal_devices else drawn
        self.motion = Motion(planner, MotionLimits(force_limit_n=config.force_limit_n))
        self.executor = Executor(self.motion)
        self.world = World(planner.model)
        self._feeder = Feeder(seed, config.touching_probability, config.ambient_c)
        self._wrench = WrenchStream(self.devices, np.random.default_rng([seed, 2]))
        self._rng = np.random.default_rng([seed, 3])
        self._joint_noise = JointNoise(np.random.default_rng([seed, 4]))
        self.pads = WarmPads(self.devices, config.ambient_c)
        _fill_tables(self.devices)
        self._imaging: Imaging | None = None
        if config.render:
            periods = steps(config.color_period_s), steps(config.thermal_period_s)
            latency = steps(config.camera_latency_s)
            spectators = [film(Path(config.video))] if config.video else []
            spectators += [window()] if config.gui else []
            self._imaging = Imaging(planner.model, seed, self.devices, periods, latency, spectators)
        self._joint_period, self._heater_period = steps(config.joint_period_s), steps(config.heater_period_s)
        self._coils = PadCoils(np.random.default_rng([seed, 6])) if config.inductive else None
        self._coil_period = steps(config.inductive_period_s)
        self._integration = steps(self.motion.limits.integration_s)
        self._step = 0
        self._owed_ns = 0
        self._spectra_due: deque[int] = deque()
        self._bursts: deque[tuple[int, Burst]] = deque()
        self._ended: deque[Execution] = deque()
        self._probe: tuple[str, str, int] = ("", "", 0)
        self._touching = self._tapped = self._closed = False

    @property
    def time_ns(self) -> int:
        """The cell's clock."""
        return self.config.start_time_ns + self._step * STEP_NS

    @property
    def probe_phase(self) -> str:
        """What the arm is doing; `idle` when no probe runs."""
        return self.motion.phase if self.executor.busy else "idle"

    @property
    def contact_force_n(self) -> float:
        """Norm of the measured contact force of the running probe, N."""
        return self.executor.contact_force_n

    @property
    def render_pid(self) -> int:
        """Process id of the cameras' process, 0 without one."""
        return 0 if self._imaging is None else self._imaging.pid

    def close(self) -> None:
        """End the physics and the cameras' process; safe to call twice."""
        if not self._closed:
            self._closed = True
            self.world.close()
            if self._imaging is not None:
                self._imaging.close()

    def present_part(
        self,
        session_id: str,
        index: int,
        material: str | None = None,
        *,
        part: Part | None = None,
        pose: Pose | None = None,
    ) -> PresentedPart:
        """Take away what lies in the cell or in the hand, and lay the next part on the table. No time passes.

        Args:
            session_id: of the caller (parts do not depend on it).
            index: number of the part; the same seed and index give the same part.
            material: this material instead of a drawn one.
            part: this very part instead of a drawn one.
            pose: x, y (m) and yaw (rad) where it lies, instead of a drawn place; see `library.placement`.

        Raises:
            CellError: a probe is running.
            ConfigError: the place is not one where parts lie.
            MaterialError: unknown material.
        """
        self._check_open()
        if self.executor.busy:
            raise CellError("a probe is running; parts are exchanged between probes")
        presented = self._feeder.present(self.world, index, material, part=part, pose=pose)
        self.motion.release()
        self.pads.new_part()
        if self._imaging is not None:
            bodies = self.world.parts
            self._imaging.set_parts([body.part for body in bodies], [body.maps for body in bodies])
        return presented

    def start_probe(self, goal: ProbeGoal, session_id: str, part_id: str, index: int) -> None:
        """Begin a probe; its `Execution` arrives from `advance`.

        Raises:
            CellError: one is running, or the goal names what does not exist.
        """
        self._check_open()
        self.executor.start(goal)
        self._probe = session_id, part_id, index

    def cancel_probe(self) -> None:
        """Retreat and end the running probe with CANCELLED; nothing happens when there is none."""
        self.executor.cancel()

    def measure_spectrum(self) -> None:
        """Take a spectrum of what is before the fibre; it arrives from `advance` after its integration."""
        self._spectra_due.append(self._step + self._integration)

    def zero_wrench(self) -> None:
        """Take the present wrench as zero.

        Raises:
            CellError: the tool touches something or the hand holds a part.
        """
        if self.motion.holding or self.contact_force_n > TOUCH_N or self._touching:
            raise CellError("the tool is in contact; zero the force/torque sensor only when it is free")
        self._wrench.zero()
        self.motion.free_offset_n = None

    def advance(self, duration_ns: int) -> list[Sample]:
        """Let time pass.

        Args:
            duration_ns: nanoseconds; what is less than a physics step is kept for the next call.

        Returns:
            everything that arrived, in stamp order. A picture arrives `camera_latency_s` after its stamp, and an
            `Execution` not before the pictures of its window.

        Raises:
            CellError: the cell is closed, or the cameras' process died.
        """
        self._check_open()
        self._owed_ns += max(0, int(duration_ns))
        count, self._owed_ns = divmod(self._owed_ns, STEP_NS)
        out: list[Sample] = []
        for _ in range(count):
            self._advance_step(out)
        out.sort(key=lambda sample: sample.stamp_ns)
        return out

    def _check_open(self) -> None:
        if self._closed:
            raise CellError("the cell is closed")

    def _advance_step(self, out: list[Sample]) -> None:
        motion = self.motion
        self.world.tips_released = motion.tips_released
        state = self.world.step(motion.command)
        self._step += 1
        step, now = self._step, self.time_ns
        self._touching = bool(state.touches)
        wrench = self._wrench.sample(state.wrench, step)
        out.append(Wrench(now, wrench))
        self.pads.update(self._seconds, state.touches, self._part, state.rotation)
        tapped = self._tap(state)
        if step % COLLISION_PERIOD == 0 and self.executor.busy:
            hit = self.world.collision()
            if hit:
                self.executor.abort(f"collision: {hit}")
        self.executor.tick(
            ArmState(now, np.array(state.arm.q), wrench, state.arm.fingers[0] + state.arm.fingers[1], tapped)
        )
        if motion.spectrum_wanted:
            motion.spectrum_wanted = False
            self.measure_spectrum()
        if motion.sent:
            out.extend(JointPath(p.stamp_ns, ARM_JOINTS, p.positions, p.times_s) for p in motion.sent)
            motion.sent.clear()
        self._slow_sensors(state, out)
        if self._imaging is not None:
            self._show_marks()
            self._pictures(state, out)
        if self.executor.finished is not None:
            self._finish(self.executor.finished)
        while self._ended and (self._imaging is None or not self._imaging.pending_until(self._ended[0].stamp_ns)):
            out.append(self._ended.popleft())

    @property
    def _seconds(self) -> float:
        return self._step * STEP_NS * 1e-9

    @property
    def _part(self) -> PartBody | None:
        return self.world.parts[0] if self.world.parts else None

    def _tap(self, state: WorldState) -> bool:
        """The accelerometer triggers on the first touch of a tap; its burst arrives when it is complete."""
        if not self.motion.tap_armed:
            self._tapped = False
            return False
        touch = touches_ball(state.touches)
        if touch is None or self._tapped:
            return False
        self._tapped = True
        burst, before_s, after_s = burst_of_tap(touch, self._rng, self.devices)
        stamp_ns = self.time_ns - round(before_s * 1e9)
        self._bursts.append((self._step + steps(after_s), Burst(stamp_ns, burst)))
        return True

    def _slow_sensors(self, state: WorldState, out: list[Sample]) -> None:
        step, now, arm = self._step, self.time_ns, state.arm
        if step % self._joint_period == 0:
            read = self._joint_noise.apply(np.asarray(arm.q), self._seconds)
            out.append(
                Joints(
                    now, JOINT_NAMES, np.array([*read, *arm.fingers]),
                    np.array([*arm.velocity, *arm.finger_velocity]), np.array([*arm.effort, *arm.finger_effort]),
                )
            )  # fmt: skip
        if step % self._heater_period == 0:
            self.pads.advance(self.config.heater_period_s, self._seconds, self._part)
            heater = self.pads.heater
            out.append(
                HeatedTipState(
                    now, heater.setpoint_c.copy(), heater.read(self.devices, self._rng), heater.power_w.copy(),
                    heater.cut_off.copy(),
                )
            )  # fmt: skip
        if self._coils is not None and step % self._coil_period == 0:
            read = self._coils.read(self.world, state, self.config.inductive_period_s)
            out.append(Inductive(now, coil.FREQUENCY_HZ, read[:, 0], read[:, 1]))
        if self._spectra_due and self._spectra_due[0] <= step:
            self._spectra_due.popleft()
            sample = scan(self.world, state, self.devices, self._rng)
            out.append(Spectrum(now, sample, SPECTROMETER_SERIAL, self.motion.limits.integration_s, 1))
        if self._bursts and self._bursts[0][0] <= step:
            out.append(self._bursts.popleft()[1])

    def _show_marks(self) -> None:
        """Pictures show what a touch has changed from now on."""
        assert self._imaging is not None
        if self.world.changed:
            self.world.changed = False
            for index, body in enumerate(self.world.parts):
                self._imaging.set_surface(index, body.maps)

    def _pictures(self, state: WorldState, out: list[Sample]) -> None:
        assert self._imaging is not None
        if self._imaging.due(self._step):
            poses = tuple(PartPose(body.position, body.orientation) for body in self.world.parts)
            part = self._part
            spots = () if part is None else self.pads.spots(self._seconds, part)
            joints = tuple(round(value, 6) for value in (*state.arm.q, *state.arm.fingers))
            self._imaging.expose(
                self._step, self.time_ns, poses, joints, spots, self._seconds, self.ambient_c, self._caption()
            )
        out.extend(self._imaging.arrived(self._step))

    def _caption(self) -> tuple[str, ...]:
        """What goes on, for people who watch."""
        if self._part is None:
            return (f"{self._seconds:.1f} s",)
        _, part_id, index = self._probe
        part = self._part.part
        doing = f"{part_id} probe {index + 1}: {self.probe_phase}" if self.executor.busy else self.probe_phase
        return (f"{part.material}, {part.condition} {part.shape}", f"{self._seconds:6.1f} s   {doing}")

    def _finish(self, execution: ProbeExecution) -> None:
        session_id, part_id, index = self._probe
        self._ended.append(Execution(self.time_ns, session_id, part_id, index, execution))
