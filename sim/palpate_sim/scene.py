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
) -> int:
    """One part: box, or upright cylinder; `pybullet.removeBody` takes it away (and leaks 4 kB, measured).

    Returns:
        body id.
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
        solid = pybullet.createCollisionShape(pybullet.GEOM_CYLINDER, radius=0.5 * x, height=z, physicsClientId=client)
    elif collision:
        solid = pybullet.createCollisionShape(
            pybullet.GEOM_BOX, halfExtents=[0.5 * x, 0.5 * y, 0.5 * z], physicsClientId=client
        )
    body = pybullet.createMultiBody(mass_kg, solid, visual, position, orientation, physicsClientId=client)
    return int(body)
