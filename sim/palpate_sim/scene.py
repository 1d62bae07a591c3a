"""Bodies of the cell in a PyBullet client: fixtures, arm, parts. The physics world and the renderer build the same.

Only this module, arm.py, world.py and rendering.py import PyBullet.
"""

from __future__ import annotations

import tempfile
import xml.etree.ElementTree as ET
from pathlib import Path

import pybullet
import pybullet_data

from palpate_sim.fixtures import ARM_ROOT_LINK, fixture_boxes
from palpate_sim.geometry import ROUND_SHAPES, Point
from palpate_sim.kinematics import UrdfModel

Quaternion = tuple[float, float, float, float]

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


def load_fixtures(client: int, model: UrdfModel, *, collision: bool = True) -> dict[str, list[int]]:
    """Static boxes of the cell; name of the fixture -> body ids."""
    bodies: dict[str, list[int]] = {}
    for box in fixture_boxes(model):
        half = [float(v) for v in box.half_m]
        visual = pybullet.createVisualShape(
            pybullet.GEOM_BOX, halfExtents=half, rgbaColor=box.rgba, physicsClientId=client
        )
        shape = -1
        if collision:
            shape = pybullet.createCollisionShape(pybullet.GEOM_BOX, halfExtents=half, physicsClientId=client)
        body = pybullet.createMultiBody(0.0, shape, visual, [float(v) for v in box.center_m], physicsClientId=client)
        bodies.setdefault(box.link, []).append(int(body))
    return bodies


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
) -> tuple[int, int]:
    """One part: box, or upright cylinder.

    Returns:
        body id and collision shape id (-1 without), both for `remove_part`.
    """
    x, y, z = dimensions_m
    colour = [*rgb, 1.0]
    if shape in ROUND_SHAPES:
        visual = pybullet.createVisualShape(
            pybullet.GEOM_CYLINDER, radius=0.5 * x, length=z, rgbaColor=colour, physicsClientId=client
        )
    else:
        visual = pybullet.createVisualShape(
            pybullet.GEOM_BOX, halfExtents=[0.5 * x, 0.5 * y, 0.5 * z], rgbaColor=colour, physicsClientId=client
        )
    solid = -1
    if collision and shape in ROUND_SHAPES:
        solid = pybullet.createCollisionShape(
            pybullet.GEOM_CYLINDER, radius=0.5 * x, height=z, physicsClientId=client
        )
    elif collision:
        solid = pybullet.createCollisionShape(
            pybullet.GEOM_BOX, halfExtents=[0.5 * x, 0.5 * y, 0.5 * z], physicsClientId=client
        )
    body = pybullet.createMultiBody(mass_kg, solid, visual, position, orientation, physicsClientId=client)
    return int(body), int(solid)


def remove_part(client: int, body: int, shape: int) -> None:
    """Take a part away, with its collision shape (removing the body alone would leak it)."""
    pybullet.removeBody(body, physicsClientId=client)
    if shape >= 0:
        pybullet.removeCollisionShape(shape, physicsClientId=client)
