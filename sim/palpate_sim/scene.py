"""Bodies of the cell in a PyBullet client: fixtures, arm, parts. The physics world and the renderer build the same.

Only this module, arm.py, world.py, rendering.py, mirror.py and library_build.py import PyBullet.
"""

from __future__ import annotations

import math
import tempfile
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pybullet
import pybullet_data
from numpy.typing import NDArray

from palpate_sim.fixtures import ARM_ROOT_LINK, fixture_boxes
from palpate_sim.kinematics import UrdfModel
from palpate_sim.shapes import Point, Solid, solids_of

Array = NDArray[np.float64]
Quaternion = tuple[float, float, float, float]

AXIS_QUATERNIONS = {
    -1: [0.0, 0.0, 0.0, 1.0],
    0: [0.0, math.sqrt(0.5), 0.0, math.sqrt(0.5)],
    1: [math.sqrt(0.5), 0.0, 0.0, math.sqrt(0.5)],
    2: [0.0, 0.0, 0.0, 1.0],
}
"""Turn of a PyBullet cylinder, which stands along z, onto an axis."""
CYLINDER_SIDES = 48
MESH_PREFIX = "package://pybullet_data"
MASSLESS = '<inertial><mass value="0"/><inertia ixx="0" ixy="0" ixz="0" iyy="0" iyz="0" izz="0"/></inertial>'
"""PyBullet gives a link without inertia 1 kg."""


def arm_urdf_text(model: UrdfModel) -> str:
    """The arm's part of the cell's URDF, with the paths of the meshes on this machine."""
    root = ET.fromstring(ET.tostring(model.root))
    keep = {
        link
        for link in model.links
        if link == ARM_ROOT_LINK or any(joint.parent == ARM_ROOT_LINK for joint in model.path_to(link))
    }
    for link in root.findall("link"):
        if link.get("name") not in keep:
            root.remove(link)
        elif link.find("inertial") is None:
            link.append(ET.fromstring(MASSLESS))
    for joint in root.findall("joint"):
        if model.joints[str(joint.get("name"))].parent not in keep:
            root.remove(joint)
    for mesh in root.iter("mesh"):
        mesh.set("filename", str(mesh.get("filename")).replace(MESH_PREFIX, pybullet_data.getDataPath()))
    return ET.tostring(root, encoding="unicode")


def load_arm(client: int, model: UrdfModel) -> int:
    """Body id of the arm."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "arm.urdf"
        path.write_text(arm_urdf_text(model))
        flags = pybullet.URDF_USE_INERTIA_FROM_FILE
        return int(pybullet.loadURDF(str(path), useFixedBase=True, flags=flags, physicsClientId=client))


def load_fixtures(client: int, model: UrdfModel, *, collision: bool) -> dict[str, list[int]]:
    """Static boxes of the cell; name of the fixture -> body ids.

    Args:
        client: where to.
        model: the cell.
        collision: one body per fixture with all its boxes and no pictures (few bodies make a fast step); otherwise one
            visible body per box, without collisions.
    """
    boxes = fixture_boxes(model)
    bodies: dict[str, list[int]] = {}
    if collision:
        for name in dict.fromkeys(box.link for box in boxes):
            own = [box for box in boxes if box.link == name]
            shape = pybullet.createCollisionShapeArray(
                shapeTypes=[pybullet.GEOM_BOX] * len(own),
                halfExtents=[box.half_m.tolist() for box in own],
                collisionFramePositions=[box.center_m.tolist() for box in own],
                physicsClientId=client,
            )
            bodies[name] = [int(pybullet.createMultiBody(0.0, shape, -1, (0.0, 0.0, 0.0), physicsClientId=client))]
        return bodies
    for box in boxes:
        visual = pybullet.createVisualShape(
            pybullet.GEOM_BOX, halfExtents=box.half_m.tolist(), rgbaColor=box.rgba, physicsClientId=client
        )
        body = pybullet.createMultiBody(0.0, -1, visual, box.center_m.tolist(), physicsClientId=client)
        bodies.setdefault(box.link, []).append(int(body))
    return bodies


class PartShapes:
    """Collision and visual shapes of one client by geometry, used again for every part that has it.

    PyBullet keeps 8 kB of every part with shapes of its own, 1.3 kB with these (measured).
    """

    def __init__(self, client: int):
        self.client = client
        self._known: dict[tuple[str, Point, bool], int] = {}

    def get(self, shape: str, dimensions_m: Point, *, collision: bool) -> int:
        """Id of the shape.

        Raises:
            ValueError: see `shapes.solids_of`.
        """
        key = shape, dimensions_m, collision
        if key not in self._known:
            self._known[key] = _part_shape(self.client, shape, dimensions_m, collision=collision)
        return self._known[key]


def _part_shape(client: int, shape: str, dimensions_m: Point, *, collision: bool) -> int:
    solids = solids_of(shape, dimensions_m)
    kinds = [pybullet.GEOM_BOX if solid.axis < 0 else pybullet.GEOM_CYLINDER for solid in solids]
    lengths = [2.0 * solid.half[max(solid.axis, 0)] for solid in solids]
    radii = [solid.half[(solid.axis + 1) % 3] for solid in solids]
    halves, places = [list(solid.half) for solid in solids], [list(solid.center) for solid in solids]
    turns = [AXIS_QUATERNIONS[solid.axis] for solid in solids]
    if collision:
        if len(solids) == 1:  # a compound of one would be slower
            size = {"halfExtents": halves[0]} if solids[0].axis < 0 else {"radius": radii[0], "height": lengths[0]}
            return int(pybullet.createCollisionShape(kinds[0], physicsClientId=client, **size))
        return int(
            pybullet.createCollisionShapeArray(
                shapeTypes=kinds, halfExtents=halves, radii=radii, lengths=lengths, collisionFramePositions=places,
                collisionFrameOrientations=turns, physicsClientId=client,
            )
        )  # fmt: skip
    if len(solids) == 1 and solids[0].axis < 0:
        return int(pybullet.createVisualShape(kinds[0], halfExtents=halves[0], physicsClientId=client))
    vertices, normals, indices = solid_mesh(solids)
    return int(
        pybullet.createVisualShape(
            pybullet.GEOM_MESH, vertices=vertices.tolist(), normals=normals.tolist(), indices=indices.tolist(),
            physicsClientId=client,
        )
    )  # fmt: skip


def solid_mesh(solids: tuple[Solid, ...]) -> tuple[Array, Array, NDArray[np.int64]]:
    """Mesh of a union for pictures.

    PyBullet's own cylinders are 0.9 mm too large in pictures and shaded like balls.

    Returns:
        vertices (V, 3) m and their normals (V, 3), part's frame, and triangles as indices (3 T,).
    """
    places, normals, triangles = [], [], []
    count = 0
    for solid in solids:
        corners, outward, faces = _box_mesh() if solid.axis < 0 else _cylinder_mesh(solid.axis)
        places.append(corners * solid.half + solid.center)
        normals.append(outward)
        triangles.append(faces + count)
        count += len(corners)
    return np.concatenate(places), np.concatenate(normals), np.concatenate(triangles).ravel()


def _box_mesh() -> tuple[Array, Array, NDArray[np.int64]]:
    """Of half extents 1."""
    square = np.array([(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)])
    corners: list[Array] = []
    outward: list[Array] = []
    faces: list[NDArray[np.int64]] = []
    for axis in range(3):
        for side in (1.0, -1.0):
            corner = np.insert(square, 0, side, axis=1)
            corners.append(np.roll(corner, axis, axis=1))
            outward.append(np.tile(side * np.eye(3)[axis], (4, 1)))
            order = np.array([(0, 1, 2), (0, 2, 3)]) if side > 0 else np.array([(0, 2, 1), (0, 3, 2)])
            faces.append(order + 4 * len(faces))
    return np.concatenate(corners), np.concatenate(outward), np.concatenate(faces)


def _cylinder_mesh(axis: int) -> tuple[Array, Array, NDArray[np.int64]]:
    """Of radius 1 and half length 1 along an axis; side and ends have vertices of their own for sharp edges."""
    n = CYLINDER_SIDES
    angle = 2.0 * np.pi * np.arange(n) / n
    ring = np.stack([np.cos(angle), np.sin(angle), np.zeros(n)], axis=1)
    up = np.array([0.0, 0.0, 1.0])
    corners = np.concatenate([ring + up, ring - up, ring + up, ring - up])
    outward = np.concatenate([ring, ring, np.tile(up, (n, 1)), np.tile(-up, (n, 1))])
    k, after = np.arange(n), (np.arange(n) + 1) % n
    side = np.concatenate([np.stack([k, k + n, after], 1), np.stack([after, k + n, after + n], 1)])
    fan = np.stack([np.zeros(n - 2, int), k[1:-1], after[1:-1]], 1)
    faces = np.concatenate([side, fan + 2 * n, fan[:, [0, 2, 1]] + 3 * n])
    return np.roll(corners, axis - 2, axis=1), np.roll(outward, axis - 2, axis=1), faces


def add_part(
    client: int,
    shape: str,
    dimensions_m: Point,
    mass_kg: float,
    rgb: Point,
    position: Point,
    orientation: Quaternion,
    *,
    collision: bool = True,
    visual: bool = True,
    center_m: Point = (0.0, 0.0, 0.0),
    shapes: PartShapes | None = None,
) -> int:
    """One part; `pybullet.removeBody` takes it away.

    Args:
        client: where to.
        shape: one of `shapes.SHAPES`.
        dimensions_m: full extents, m.
        mass_kg: 0: it never moves.
        rgb: colour, 0..1.
        position: (3,) of the part's frame, m, base frame.
        orientation: quaternion x, y, z, w.
        collision: it meets other bodies.
        visual: cameras see it.
        center_m: (3,) centre of mass in the part's frame. PyBullet reports and sets the pose of that point.
        shapes: of this client, to be used again; without it shapes are made anew.

    Returns:
        body id.

    Raises:
        ValueError: see `shapes.solids_of`.
    """
    known = shapes or PartShapes(client)
    seen = known.get(shape, dimensions_m, collision=False) if visual else -1
    solid = known.get(shape, dimensions_m, collision=True) if collision else -1
    body = pybullet.createMultiBody(
        mass_kg, solid, seen, position, orientation, baseInertialFramePosition=center_m, physicsClientId=client
    )
    if visual:
        pybullet.changeVisualShape(body, -1, rgbaColor=[*rgb, 1.0], physicsClientId=client)
    return int(body)
