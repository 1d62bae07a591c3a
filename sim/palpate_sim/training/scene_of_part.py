"""One part on the table for the data generator: where it lies, what a tool that comes down meets, and its pictures."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from palpate_agents.encoders.features import FeatureConfig, PartContext
from palpate_agents.observation import ProbeExecution, ProbeGoal
from palpate_agents.segmentation import region_around
from palpate_sim.devices import DeviceDraw
from palpate_sim.feeder import NOMINAL_ERROR_M
from palpate_sim.fixtures import PLACE_X_M, PLACE_Y_M
from palpate_sim.geometry import quaternion_matrix, ray_distance, signed_distance
from palpate_sim.objects import Part, PartBatch
from palpate_sim.rendering import PartPictures, PartPose, PartRenderer, resting_pose
from palpate_sim.sensors.encoders import JointNoise
from palpate_sim.sensors.heated_tip import HeatedTip
from palpate_sim.sensors.thermal import WarmSpot
from palpate_sim.sensors.wrench import WrenchNoise
from palpate_sim.surface import SurfaceMaps, draw_surface_maps, spot_batch

Array = NDArray[np.float64]

SEARCH_ABOVE_M, SEARCH_BELOW_M = 0.03, 0.012
MAX_SURFACE_TILT_RAD = np.deg2rad(60.0)


@dataclass(frozen=True)
class Hit:
    """Where a tool meets the part: (3,) point and outward normal, base frame, m."""

    point: Array
    normal: Array


@dataclass
class PartScene:
    """A part with its devices, and everything that goes on from probe to probe.

    Attributes:
        part, batch: the part, alone and as a batch of one.
        pose: where it lies.
        pictures: noiseless pictures without the arm.
        nominal_m: (3,) where the feeder believes it to lie.
        devices, ambient_c: of the cell.
        rng: noise of this part's probes.
        context: what features know so far.
        history: executions so far.
        spots: warm touches so far, on the part's clock.
        time_s: the part's clock.
        maps: its surface.
    """

    part: Part
    batch: PartBatch
    pose: PartPose
    pictures: PartPictures
    nominal_m: tuple[float, float, float]
    devices: DeviceDraw
    ambient_c: float
    rng: np.random.Generator
    context: PartContext
    history: list[ProbeExecution] = field(default_factory=list)
    spots: list[WarmSpot] = field(default_factory=list)
    time_s: float = 10.0
    maps: SurfaceMaps = field(init=False)

    def __post_init__(self) -> None:
        self.maps = draw_surface_maps(self.batch)
        self.wrench_noise = WrenchNoise(self.devices, self.rng)
        self.joint_noise = JointNoise(self.rng)
        self.heater = HeatedTip()
        for _ in range(10):  # a controller that has held its temperatures for a while
            self.heater.advance(0.5, self.ambient_c)
        self._turn = quaternion_matrix(self.pose.orientation)

    @staticmethod
    def of(
        part: Part, devices: DeviceDraw, ambient_c: float, renderer: PartRenderer, rng: np.random.Generator,
        config: FeatureConfig, place: tuple[float, float, float] | None = None,
    ) -> PartScene:  # fmt: skip
        """Lays a part where the feeder lays parts, or at a `place`: x, y in m and yaw in rad."""
        x, y, yaw = rng.uniform(*PLACE_X_M), rng.uniform(*PLACE_Y_M), rng.uniform(-np.pi, np.pi)
        if place is not None:
            x, y, yaw = place
        pose = resting_pose(part, x, y, yaw)
        error = rng.uniform(-NOMINAL_ERROR_M, NOMINAL_ERROR_M, 2)
        nominal = (float(x + error[0]), float(y + error[1]), 0.0)
        context = PartContext(config=config, region=region_around(nominal))
        pictures = renderer.render(part, pose)
        return PartScene(part, PartBatch.of([part]), pose, pictures, nominal, devices, ambient_c, rng, context)

    def place(self, point: Array) -> Array:
        """(2,) x and y in the part's frame of a point (3,) in the base frame, m."""
        return (self._turn.T @ (np.asarray(point, float) - np.asarray(self.pose.position)))[:2]

    def spot(self, point: Array, radius_m: float) -> PartBatch:
        """What a sensor with that footprint meets at a point (3,) of the surface, base frame, m."""
        return spot_batch(self.batch, self.maps, self.place(point)[None], radius_m)

    def ray(self, origin: Array, direction: Array, reach_m: float) -> tuple[float, Hit] | None:
        """Distance to the part along a ray, and what is met there; None beyond `reach_m`."""
        local = self._turn.T @ (origin - np.asarray(self.pose.position))
        along = self._turn.T @ direction
        distance = ray_distance(self.part.shape, self.part.dimensions_m, local, along, reach_m)
        if distance is None:
            return None
        x, y, z = (float(v) for v in local + distance * along - 1e-4 * along)
        _, normal = signed_distance(self.part.shape, self.part.dimensions_m, x, y, z)
        return distance, Hit(origin + distance * direction, self._turn @ np.asarray(normal))

    def meet(self, goal: ProbeGoal) -> Hit | None:
        """What a guarded descent to a goal touches; None when it goes past the part."""
        normal = np.asarray(goal.normal, float)
        origin = np.asarray(goal.target_m, float) + SEARCH_ABOVE_M * normal
        found = self.ray(origin, -normal, SEARCH_ABOVE_M + SEARCH_BELOW_M)
        if found is None or found[1].normal @ normal < np.cos(MAX_SURFACE_TILT_RAD):
            return None
        return found[1]
