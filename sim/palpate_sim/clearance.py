"""Does a posture of the arm keep clear of table, bins and gantry? Spheres around the links against the fixtures' boxes.

Conservative and fast (about 0.2 ms per posture), without a simulator, so that a real arm is planned the same way. A
test checks that the spheres enclose the meshes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from palpate_agents.observation import Frame
from palpate_sim.fixtures import fixture_boxes
from palpate_sim.kinematics import Chain, UrdfModel

Array = NDArray[np.float64]

# x, y, z, radius in metres in the link's frame.
LINK_SPHERES: dict[str, tuple[tuple[float, float, float, float], ...]] = {
    "panda_link4": (
        (0.007, 0.000, 0.016, 0.070), (-0.083, 0.092, 0.001, 0.070), (-0.010, 0.007, 0.073, 0.068),
        (-0.070, 0.031, 0.018, 0.070), (-0.038, 0.080, 0.026, 0.071),
    ),
    "panda_link5": (
        (0.002, 0.000, -0.218, 0.072), (-0.005, 0.016, -0.029, 0.072), (0.002, 0.010, -0.127, 0.072),
        (0.003, 0.075, -0.083, 0.073), (-0.002, 0.065, 0.004, 0.073), (-0.003, 0.054, -0.174, 0.070),
    ),
    "panda_link6": (
        (0.082, 0.038, -0.004, 0.059), (0.083, -0.023, 0.002, 0.059), (0.034, 0.011, 0.017, 0.058),
        (0.000, 0.000, 0.009, 0.058),
    ),
    "panda_link7": ((0.034, 0.034, 0.074, 0.054), (-0.002, -0.001, 0.079, 0.054)),
    # Sensor, hand and the tool's body, all in the sensor's frame (the hand's is the same).
    "force_torque_sensor": (
        (0.000, 0.000, -0.015, 0.041),
        (-0.001, -0.003, 0.054, 0.043), (-0.002, 0.028, 0.010, 0.041), (-0.002, 0.066, 0.047, 0.041),
        (0.000, -0.068, 0.039, 0.042), (0.005, 0.071, 0.011, 0.041), (0.000, -0.071, -0.002, 0.041),
        (0.003, -0.018, 0.011, 0.042),
        (0.070, 0.000, 0.012, 0.040), (0.110, 0.000, 0.020, 0.024),
    ),
}  # fmt: skip
TOOL_SPHERES: tuple[tuple[float, float, float, float], ...] = (
    (0.135, 0.000, 0.030, 0.036),
    (0.138, -0.024, 0.012, 0.020),
    (0.000, 0.000, 0.088, 0.026),
    (0.000, 0.032, 0.080, 0.034),
    (0.000, -0.032, 0.080, 0.034),
)
"""Tips of the probe tool and fingers: they are meant to come close to parts, so only moves in free space check them."""
WORK_AREA = ((0.30, 0.70), (-0.25, 0.25), 0.070)
"""Where a part may lie: x and y ranges and height, m. Moves in free space stay above it, whatever lies there."""


class Clearance:
    """Distance of the arm's moving bodies from the fixtures."""

    margin_m = 0.008

    def __init__(self, model: UrdfModel):
        boxes = fixture_boxes(model)
        self._center = np.stack([b.center_m for b in boxes])
        self._half = np.stack([b.half_m for b in boxes])
        self._names = [b.link for b in boxes]
        (x0, x1), (y0, y1), height = WORK_AREA
        self._area_center = np.array([0.5 * (x0 + x1), 0.5 * (y0 + y1), 0.5 * height])
        self._area_half = np.array([0.5 * (x1 - x0), 0.5 * (y1 - y0), 0.5 * height])
        self._chain = Chain(model, Frame.FORCE_TORQUE)
        groups = list(LINK_SPHERES.items())
        self._radii = np.array([s[3] for _, spheres in groups for s in spheres] + [s[3] for s in TOOL_SPHERES])
        self._local = [
            (int(name[-1]) - 1 if name.startswith("panda_link") else 7, np.array([s[:3] for s in spheres]))
            for name, spheres in groups
        ]
        self._local.append((7, np.array([s[:3] for s in TOOL_SPHERES])))
        self._grasp = model.fixed_transform(Frame.GRASP, Frame.FORCE_TORQUE)[:3, 3]

    def distance(self, q: Array, *, tool: bool = True, payload_m: float = 0.0) -> tuple[float, str]:
        """Smallest distance to a fixture, m (negative: overlap), and the fixture's link name.

        Args:
            q: (7,) joint positions, rad.
            tool: include the tips of probe tool and fingers.
            payload_m: radius of a part in the fingers, 0 for none.
        """
        at, radii = self._at(self._chain.frames(q), tool=tool, payload_m=payload_m)
        outside = np.abs(at[:, None] - self._center) - self._half
        gap = _box_distance(outside) - radii[:, None]
        worst = int(np.argmin(gap))
        distance, name = float(gap.flat[worst]), self._names[worst % len(self._names)]
        if tool:
            count = len(self._radii)  # a part in the hand was lifted out of the area already
            area = _box_distance(np.abs(at[:count] - self._area_center) - self._area_half) - self._radii
            if area.min() < distance:
                distance, name = float(area.min()), "work area"
        return distance, name

    def spheres(self, q: Array) -> tuple[Array, Array]:
        """Centres (N, 3) in the base frame and radii (N,) of all spheres, m."""
        return self._at(self._chain.frames(q), tool=True, payload_m=0.0)

    def _at(self, frames: list[Array], *, tool: bool, payload_m: float) -> tuple[Array, Array]:
        points = [frames[index][:3, :3] @ local.T + frames[index][:3, 3:] for index, local in self._local]
        radii = self._radii
        if not tool:
            points, radii = points[:-1], radii[: -len(TOOL_SPHERES)]
        if payload_m > 0.0:
            points.append(frames[7][:3, :3] @ self._grasp[:, None] + frames[7][:3, 3:])
            radii = np.append(radii, payload_m)
        return np.concatenate(points, axis=1).T, radii

    def free(self, q: Array, *, tool: bool = True, payload_m: float = 0.0) -> bool:
        """True if the posture keeps the margin."""
        return self.distance(q, tool=tool, payload_m=payload_m)[0] >= self.margin_m

    def path_free(self, start: Array, goal: Array, *, payload_m: float = 0.0, steps: int = 16) -> bool:
        """True if the straight joint-space path keeps the margin at `steps` points."""
        return all(self.free(start + (goal - start) * k / steps, payload_m=payload_m) for k in range(steps + 1))

    def path_leaves(self, start: Array, goal: Array, *, payload_m: float = 0.0, steps: int = 16) -> bool:
        """True if the straight joint-space path from a posture that is too near only gains distance till it is free."""
        reached = self.distance(start, payload_m=payload_m)[0]
        for k in range(1, steps + 1):
            now = self.distance(start + (goal - start) * k / steps, payload_m=payload_m)[0]
            if now < min(reached, self.margin_m):
                return False
            reached = max(now, reached)
        return reached >= self.margin_m


def _box_distance(outside: Array) -> Array:
    """Signed distance from |point - centre| - half extents (..., 3)."""
    return np.linalg.norm(np.maximum(outside, 0.0), axis=-1) + np.minimum(outside.max(axis=-1), 0.0)
