"""The static parts of the cell as boxes, read from the URDF: what the arm must not hit and what the cameras see."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from palpate_agents.errors import ConfigError
from palpate_sim.kinematics import UrdfModel, origin_transform

ROOT_LINK = "cell"
ARM_ROOT_LINK = "panda_link0"
BIN_PREFIX = "bin_"
PLACE_X_M, PLACE_Y_M = (0.44, 0.56), (-0.08, 0.08)
"""Where the middle of a part comes to lie, base frame."""


@dataclass(frozen=True)
class FixtureBox:
    """One axis-aligned box of a fixture, base frame.

    Attributes:
        link: name of its link.
        center_m, half_m: (3,) m.
        rgba: (4,) colour 0..1.
    """

    link: str
    center_m: NDArray[np.float64]
    half_m: NDArray[np.float64]
    rgba: tuple[float, float, float, float]


def fixture_boxes(model: UrdfModel) -> list[FixtureBox]:
    """Every box of every link that hangs directly below the cell's root.

    Raises:
        ConfigError: a fixture holds another shape than a box, or is turned.
    """
    colours = {
        str(m.get("name")): tuple(float(v) for v in str(c.get("rgba")).split())
        for m in model.root.findall("material")
        if (c := m.find("color")) is not None
    }
    boxes = []
    for link in model.root.findall("link"):
        name = str(link.get("name"))
        joint = model.parent_joint.get(name)
        if joint is None or joint.parent != ROOT_LINK or name == ARM_ROOT_LINK:
            continue
        for visual in link.findall("visual"):
            pose = joint.origin @ origin_transform(visual.find("origin"))
            shape = visual.find("geometry/box")
            if shape is None or not np.allclose(pose[:3, :3], np.eye(3)):
                raise ConfigError(f"fixture {name!r} in {model.path.name} is not a box along the base's axes")
            half = np.array([0.5 * float(v) for v in str(shape.get("size")).split()])
            material = visual.find("material")
            colour = colours.get("" if material is None else str(material.get("name")), (0.5, 0.5, 0.5, 1.0))
            boxes.append(FixtureBox(name, pose[:3, 3], half, (colour[0], colour[1], colour[2], colour[3])))
    return boxes


def bin_positions(model: UrdfModel) -> dict[str, NDArray[np.float64]]:
    """Name of each bin (without prefix) -> (3,) centre of its floor, m."""
    return {
        link.removeprefix(BIN_PREFIX): model.fixed_transform(link)[:3, 3]
        for link in model.links
        if link.startswith(BIN_PREFIX)
    }


def bin_rim_m(model: UrdfModel) -> float:
    """Height of the highest bin wall, m."""
    return max(float(b.center_m[2] + b.half_m[2]) for b in fixture_boxes(model) if b.link.startswith(BIN_PREFIX))
