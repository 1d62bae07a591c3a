"""Builds the rows of the part library: PyBullet settles the part, rays and a picture look, the arm reaches.

Only the library needs this module; a row takes 0.15 s, one with an uneven top 0.6 s.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Self, cast

import numpy as np
import pybullet
from numpy.typing import NDArray

from palpate_agents.errors import ConfigError
from palpate_agents.observation import Frame, ProbeWindows
from palpate_agents.segmentation import PartView, project, region_around, segment
from palpate_sim.arm import GRAVITY_M_S2, TOOL_LINKS, SimArm
from palpate_sim.geometry import quaternion_matrix, ray_distance, signed_distance, yaw_quaternion
from palpate_sim.kinematics import IkTarget, UrdfModel
from palpate_sim.library import LibraryRows
from palpate_sim.motion import MotionLimits
from palpate_sim.objects import Part
from palpate_sim.part_geometry import Geometry
from palpate_sim.planning import FINGERTIP_BELOW_GRASP_M, MAX_TILT_RAD, Planner, Unreachable
from palpate_sim.rendering import FIRST_PART, CellRenderer, PartPose
from palpate_sim.scene import Quaternion, add_part, load_fixtures
from palpate_sim.shapes import Point, center_of_mass_m, solids_of
from palpate_sim.surface_maps import GRID

Array = NDArray[np.float64]

DROP_M, SETTLE_STEPS, SETTLE_STEP_S = 5e-4, 240, 1.0 / 480.0
MAX_SHIFT_M, MAX_TILT = 2e-3, 5e-3
"""How far a part may move while it settles (m) and stand askew (rad): all lie on a flat face."""
ABOVE_M = 0.3
SEEN_GAP_M = 3e-3
"""A ray from the camera that ends so near a place sees it; PyBullet's rays end up to 1 mm early on slanted faces."""
REACH_FRAMES = (Frame.BALL_TIP, Frame.WARM_PAD_0, Frame.SCRAPER_TIP, Frame.FIBRE)
REACH_POINTS, UNEVEN_REACH_POINTS = 5, 10
"""So many points along each side, and what lies between them interpolated; reach over one flat top changes slowly."""
TOUCH_GAP_M = 0.0015
"""The tool's body keeps this distance from the part; the tip's own stem ends 3.5 mm behind the tip."""
FINGER_HALF_SPAN_M, GRASP_TOLERANCE_M = 0.007, 0.012
"""Where the finger pads certainly hold, around the grasp's height, and how much narrower the part may be there."""


class Settled(NamedTuple):
    """Pose of the part's frame: position (3,) m, quaternion x, y, z, w, and rotation (3, 3)."""

    position: Array
    orientation: Quaternion
    turn: Array


class LibraryBuilder:
    """Owns its clients; use it as a context."""

    def __init__(self) -> None:
        self.model = UrdfModel()
        self.planner = Planner(self.model)
        self._limits = MotionLimits()
        self._table = pybullet.connect(pybullet.DIRECT)
        pybullet.setGravity(0.0, 0.0, -GRAVITY_M_S2, physicsClientId=self._table)
        pybullet.setTimeStep(SETTLE_STEP_S, physicsClientId=self._table)
        pybullet.setPhysicsEngineParameter(deterministicOverlappingPairs=1, physicsClientId=self._table)
        load_fixtures(self._table, self.model, collision=True)
        self._touching = pybullet.connect(pybullet.DIRECT)
        self._arm = SimArm(self._touching, self.model)
        self._renderer = CellRenderer(self.model, arm=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the clients."""
        for client in (self._table, self._touching):
            pybullet.disconnect(physicsClientId=client)
        self._renderer.close()

    def row(self, geometry: Geometry, place: tuple[float, float, float]) -> LibraryRows:
        """One row.

        Args:
            geometry: shape and measures.
            place: x, y (m) and yaw (rad) where it is laid down.

        Raises:
            ConfigError: it does not come to lie on its flat face, or no picture shows it.
        """
        shape, dimensions = geometry.shape, geometry.dimensions_m
        body = self._lay(shape, dimensions, place)
        pose = self._settled(body, shape, dimensions, place)
        height, normal = self._surface(geometry, pose)
        points = self._points(dimensions, pose, height)
        visible = self._visible(body, points) & np.isfinite(height)
        pybullet.removeBody(body, physicsClientId=self._table)
        view, shade = self._look(geometry, pose, np.where(np.isfinite(points), points, 0.0))
        yaw = float(np.arctan2(pose.turn[1, 0], pose.turn[0, 0]))
        center = pose.turn.T @ (np.array([*view.centroid_m[:2], 0.0]) - pose.position)
        reach = self._reach(geometry, pose, points, normal)
        return LibraryRows(
            position_m=pose.position[None, :2],
            yaw_rad=np.array([yaw]),
            seen_center_m=center[None, :2],
            seen_yaw_rad=np.array([(view.yaw_rad - yaw + np.pi) % (2.0 * np.pi) - np.pi]),
            seen_extent_m=np.array([view.extent_m]),
            seen_volume_m3=np.array([view.volume_m3]),
            height_m=height[None].astype(np.float32),
            normal=normal[None].astype(np.float32),
            visible=visible[None],
            shade=np.where(visible, shade, 0.0)[None].astype(np.float32),
            reach=reach[None] & np.isfinite(height)[None, ..., None],
            graspable=np.array([self._graspable(geometry, pose, view)]),
        )

    def _lay(self, shape: str, dimensions: Point, place: tuple[float, float, float]) -> int:
        x, y, yaw = place
        return add_part(
            self._table, shape, dimensions, 0.1, (1.0, 1.0, 1.0), (x, y, 0.5 * dimensions[2] + DROP_M),
            yaw_quaternion(yaw), visual=False, center_m=center_of_mass_m(shape, dimensions),
        )  # fmt: skip

    def _settled(self, body: int, shape: str, dimensions: Point, place: tuple[float, float, float]) -> Settled:
        pybullet.changeDynamics(body, -1, lateralFriction=1.0, restitution=0.0, physicsClientId=self._table)
        for _ in range(SETTLE_STEPS):
            pybullet.stepSimulation(physicsClientId=self._table)
        at, orientation = pybullet.getBasePositionAndOrientation(body, physicsClientId=self._table)
        turn = quaternion_matrix(orientation)
        position = np.array(at) - turn @ center_of_mass_m(shape, dimensions)
        shift = float(np.hypot(position[0] - place[0], position[1] - place[1]))
        if turn[2, 2] < np.cos(MAX_TILT) or shift > MAX_SHIFT_M:
            raise ConfigError(
                f"a {shape} of {dimensions} m does not lie on its flat face: it moved {shift * 1e3:.1f} mm"
            )
        return Settled(position, orientation, turn)

    def _points(self, dimensions: Point, pose: Settled, height: Array) -> Array:
        """(16, 16, 3) points of the surface at the cells' centres, base frame; NaN beside the part."""
        steps = (np.arange(GRID) + 0.5) / GRID - 0.5
        u, v = np.meshgrid(steps * dimensions[0], steps * dimensions[1], indexing="ij")
        points = np.stack([u, v, np.zeros_like(u)], axis=-1) @ pose.turn.T + pose.position
        points[..., 2] = height
        return points

    def _surface(self, geometry: Geometry, pose: Settled) -> tuple[Array, Array]:
        """Height (16, 16) over the table and normals (16, 16, 3) in the part's frame, along rays from above.

        From the exact geometry: PyBullet's own rays are up to 1 mm off on round faces and give rims slanted normals.
        """
        shape, dimensions = geometry.shape, geometry.dimensions_m
        tops = self._points(dimensions, pose, np.full((GRID, GRID), ABOVE_M)).reshape(-1, 3)
        local, down = (tops - pose.position) @ pose.turn, -pose.turn[2]
        height, normal = np.full(GRID * GRID, np.nan), np.zeros((GRID * GRID, 3))
        for k, origin in enumerate(local):
            distance = ray_distance(shape, dimensions, origin, down, 2.0 * ABOVE_M)
            if distance is not None:
                x, y, z = (float(value) for value in origin + (distance - 1e-5) * down)
                height[k], normal[k] = ABOVE_M - distance, signed_distance(shape, dimensions, x, y, z)[1]
        return height.reshape(GRID, GRID), normal.reshape(GRID, GRID, 3)

    def _visible(self, body: int, points: Array) -> NDArray[np.bool_]:
        """(16, 16) whether a ray from the colour camera ends at the place."""
        eye = np.asarray(self._renderer.color_camera.geometry.pose)[:3, 3]
        flat = np.nan_to_num(points.reshape(-1, 3))
        beyond = flat + 0.02 * (flat - eye)
        hits = pybullet.rayTestBatch([eye.tolist()] * len(flat), beyond.tolist(), physicsClientId=self._table)
        seen = [hit[0] == body and np.linalg.norm(hit[3] - at) < SEEN_GAP_M for hit, at in zip(hits, flat, strict=True)]
        return np.array(seen).reshape(GRID, GRID)

    def _look(self, geometry: Geometry, pose: Settled, points: Array) -> tuple[PartView, Array]:
        """What segmentation makes of a picture without noise, and the shade (16, 16) of the white part in it."""
        cell, camera = self._renderer, self._renderer.color_camera
        cell.set_parts([cast(Part, geometry)])  # of a part it draws nothing but the geometry
        x, y, z = (float(value) for value in pose.position)
        picture = cell.picture(camera, [PartPose((x, y, z), pose.orientation)], None)
        windows = ProbeWindows(color=picture.color, depth_m=picture.depth_m, camera=camera.geometry)
        view = segment(windows, 0.0, region_around((x, y, 0.0)))
        if not view.found:
            raise ConfigError(f"no picture shows a {geometry.shape} of {geometry.dimensions_m} m: {view.reason}")
        pixels, _ = project(points.reshape(-1, 3), camera.geometry)
        columns, lines = np.clip(np.rint(pixels).astype(int), 0, (camera.width - 1, camera.height - 1)).T
        shade = picture.color[lines, columns].mean(axis=-1) / 255.0
        on = picture.label[lines, columns] == FIRST_PART
        usual = float(np.median(shade[on])) if on.any() else 0.0
        return view, np.where(on, shade, usual).reshape(GRID, GRID)

    def _reach(self, geometry: Geometry, pose: Settled, points: Array, normal: Array) -> NDArray[np.bool_]:
        """(16, 16, 4) whether each tool gets to a cell, straight against its normal."""
        uneven = len(solids_of(geometry.shape, geometry.dimensions_m)) > 1
        body = self._obstacle(geometry, pose) if uneven else -1
        top = np.nan_to_num(points, nan=float(np.nanmax(points[..., 2])))
        top[..., :2] = self._points(geometry.dimensions_m, pose, np.zeros((GRID, GRID)))[..., :2]
        outward = np.where(np.any(normal, axis=-1, keepdims=True), normal, (0.0, 0.0, 1.0)) @ pose.turn.T
        count = UNEVEN_REACH_POINTS if uneven else REACH_POINTS
        at = np.rint(np.linspace(0, GRID - 1, count)).astype(int)
        out = np.zeros((GRID, GRID, len(REACH_FRAMES)), bool)
        for k, frame in enumerate(REACH_FRAMES):
            near: Array | None = None
            free = np.zeros((count, count))
            for i in range(count):
                for j in range(count)[:: 1 if i % 2 == 0 else -1]:
                    found = self._posture(frame, top[at[i], at[j]], outward[at[i], at[j]], near, body)
                    near = near if found is None else found
                    free[i, j] = found is not None
            out[..., k] = _between(free, at)
        if uneven:
            pybullet.removeBody(body, physicsClientId=self._touching)
        return out

    def _obstacle(self, geometry: Geometry, pose: Settled) -> int:
        x, y, z = (float(value) for value in pose.position)
        return add_part(
            self._touching, geometry.shape, geometry.dimensions_m, 0.0, (1.0, 1.0, 1.0), (x, y, z), pose.orientation,
            visual=False,
        )  # fmt: skip

    def _posture(self, frame: Frame, point: Array, normal: Array, near: Array | None, body: int) -> Array | None:
        """Free joint positions with a tool frame at a point, and free ones above it; None if there are none."""
        if normal[2] < np.cos(MAX_TILT_RAD):
            return None
        planner, limits = self.planner, self._limits
        if frame is Frame.FIBRE:  # it looks and does not touch
            point = point + normal * limits.spectrum_standoff_m
        ik, target = planner.ik[frame], IkTarget(point, -normal)

        def free(q: Array) -> bool:
            return planner.clearance.free(q, tool=False)

        q = None if near is None else ik.refine(near, target)
        if q is None or not free(q):
            q = ik.solve(target, planner.tool_seeds(frame), free)
        if q is None:
            return None
        above = max(limits.hover_m, limits.hover_height_m - float(point[2]))
        start = ik.refine(q, IkTarget(point + normal * above, -normal, ik.chain.forward(q)[:3, 0]))
        if start is None or not free(start) or not free(0.5 * (q + start)):
            return None
        return None if body >= 0 and self._hits(q, body) else q

    def _hits(self, q: Array, body: int) -> bool:
        """Whether the tool's body, hand or fingers come into the part with the tip on its surface."""
        self._arm.place(q, 0.04)
        own = {self._arm.links[name] for name in TOOL_LINKS if name != "probe_tool"}
        contacts: Any = pybullet.getClosestPoints(self._arm.body, body, TOUCH_GAP_M, physicsClientId=self._touching)
        return any(contact[3] not in own for contact in contacts)

    def _graspable(self, geometry: Geometry, pose: Settled, view: PartView) -> bool:
        """Whether the fingers get to both sides and find them where the picture says."""
        if not view.graspable:
            return False
        point, angle = np.array(view.centroid_m), view.grasp_angle_rad
        try:
            self.planner.grasp_line(point, angle, max(self._limits.lift_m, self._limits.hover_height_m - point[2]))
        except Unreachable:
            return False
        closing = np.array([np.cos(angle), np.sin(angle), 0.0])
        low = max(point[2], FINGERTIP_BELOW_GRASP_M + 0.0015) - FINGER_HALF_SPAN_M
        local = pose.turn.T @ (np.array([point[0], point[1], low]) - pose.position)
        along, half = pose.turn.T @ closing, 0.06
        gaps = [
            ray_distance(geometry.shape, geometry.dimensions_m, local - side * half * along, side * along, half)
            for side in (1.0, -1.0)
        ]
        width = sum(half - gap for gap in gaps if gap is not None)
        return None not in gaps and width > view.grasp_width_m - GRASP_TOLERANCE_M


def _between(free: Array, at: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(16, 16) what is nearer to reached than to not reached points, bilinear between points (n, n) at cells (n,)."""
    cells = np.arange(GRID)
    rows = np.stack([np.interp(cells, at, column) for column in free.T], axis=1)
    return np.stack([np.interp(cells, at, row) for row in rows]) > 0.5
