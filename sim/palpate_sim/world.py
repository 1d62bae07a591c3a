"""The physics world: one PyBullet client with fixtures, arm and at most two parts, stepped at 1 kHz.

The world is built once and never reset. It knows no sensors' noise and no goals: it takes the arm's command, steps,
and says what is true. Contact between tool and parts is computed beside PyBullet (touch.py) and fed back as a force.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pybullet
from numpy.typing import NDArray

from palpate_agents.observation import Frame
from palpate_sim.arm import FINGER_LINKS, GRAVITY_M_S2, TOOL_LINKS, ArmReading, SimArm, tool_tips
from palpate_sim.geometry import cross, pose_matrix, quaternion_matrix, ray_distance, yaw_quaternion
from palpate_sim.kinematics import UrdfModel
from palpate_sim.marks import ContactTrack, marked
from palpate_sim.motion import PERIOD_S, ArmCommand
from palpate_sim.objects import Part
from palpate_sim.scene import PartShapes, Quaternion, add_part, load_fixtures
from palpate_sim.shapes import Point, center_of_mass_m
from palpate_sim.surface import SurfaceMaps
from palpate_sim.touch import Touch, TouchModel

Array = NDArray[np.float64]

MAT_FRICTION = 1.0
"""The table has a silicone mat: the part's friction against silicone is the pair's."""
WATER_ON_SILICONE = 0.75
CLOSING_SPEED_M_S = 3.0
"""No tip and part come nearer to each other than that fast."""
REST_GAP_M = 2e-5
MIDDLE = (0.0, 0.0, 0.0)
TOUCHED_MASS_KG, HELD_MASS_KG = 1.0, 0.1


@dataclass
class PartBody:
    """A part that lies in the world.

    Attributes:
        part: its properties.
        body: id in PyBullet.
        touch: its contact laws.
        position, orientation: newest pose of the part's frame (quaternion x, y, z, w).
        center_m: (3,) centre of mass in the part's frame.
        tracks: ways of the frames that touch it.
        damage_m: deepest mark on its body so far.
        look_again: per tool frame, the step at which it may touch at the earliest.
        mass_kg: the mass that it has in PyBullet now (`World._scale_masses`).
    """

    part: Part
    body: int
    touch: TouchModel
    position: tuple[float, float, float]
    orientation: Quaternion
    look_again: list[int]
    mass_kg: float
    center_m: Point = MIDDLE
    tracks: dict[Frame, ContactTrack] = field(default_factory=dict)
    damage_m: float = 0.0

    @property
    def maps(self) -> SurfaceMaps:
        """Its surface as it is now, N = 1."""
        return self.touch.maps

    @property
    def center(self) -> Array:
        """(3,) centre of mass, m, base frame."""
        return quaternion_matrix(self.orientation) @ self.center_m + self.position

    @property
    def pose(self) -> Array:
        """(4, 4) pose of the part's frame in the base frame."""
        return pose_matrix(self.position, self.orientation)


class ToolView(NamedTuple):
    """What lies before a tool frame.

    Attributes:
        body: part, None for the table.
        distance_m: along the frame's axis, 0 in contact.
        angle_rad: between axis and the surface's normal.
        point: (3,) m, part's frame, None for the table.
    """

    body: PartBody | None
    distance_m: float
    angle_rad: float
    point: Array | None


@dataclass
class WorldState:
    """What is true after a step.

    Attributes:
        arm: joints and the wrench of the arm's own bodies.
        wrench: (6,) true wrench at the sensor, contacts of the tool included, N and N m, sensor frame.
        rotation, origin: sensor frame in the base frame.
        touches: tool frames that touch a part.
    """

    arm: ArmReading
    wrench: Array
    rotation: Array
    origin: Array
    touches: list[Touch] = field(default_factory=list)


class World:
    """Owns the client; close it."""

    def __init__(self, model: UrdfModel):
        self.client = pybullet.connect(pybullet.DIRECT)
        pybullet.setTimeStep(PERIOD_S, physicsClientId=self.client)
        pybullet.setGravity(0.0, 0.0, -GRAVITY_M_S2, physicsClientId=self.client)
        pybullet.setPhysicsEngineParameter(
            numSolverIterations=50, deterministicOverlappingPairs=1, physicsClientId=self.client
        )
        self._shapes = PartShapes(self.client)
        self.fixtures = load_fixtures(self.client, model, collision=True)
        for bodies in self.fixtures.values():
            for body in bodies:
                pybullet.changeDynamics(body, -1, lateralFriction=MAT_FRICTION, physicsClientId=self.client)
        self.arm = SimArm(self.client, model)
        self.parts: list[PartBody] = []
        self.tips_released = False
        self.changed = False
        """A touch has changed the surface of a part since somebody reset this."""
        tips = tool_tips(model)
        self._frames = tuple(tips)
        self._tips = [tip for tip, _ in tips.values()]
        self._axes = [axis for _, axis in tips.values()]
        self._last_pose: tuple[Array, Array] | None = None
        self._contacts: tuple[tuple, ...] = ()
        self._count = 0
        self._fixture_names = {body: name for name, bodies in self.fixtures.items() for body in bodies}

    def close(self) -> None:
        """Disconnect; safe to call twice."""
        if self.client >= 0:
            pybullet.disconnect(physicsClientId=self.client)
            self.client = -1

    def add(self, part: Part, x: float, y: float, yaw_rad: float, rng: np.random.Generator) -> PartBody:
        """Lay a part flat on the table; it is at rest there, so no time passes."""
        position = (x, y, 0.5 * part.dimensions_m[2] + REST_GAP_M)
        orientation = yaw_quaternion(yaw_rad)
        center = center_of_mass_m(part.shape, part.dimensions_m)
        body = add_part(
            self.client, part.shape, part.dimensions_m, part.mass_kg, part.rgb, position, orientation,
            visual=False, center_m=center, shapes=self._shapes,
        )  # fmt: skip
        friction = material_friction(part)
        pybullet.changeDynamics(
            body, -1, lateralFriction=friction, spinningFriction=0.002, linearDamping=0.02, angularDamping=0.02,
            restitution=0.0, physicsClientId=self.client,
        )  # fmt: skip
        for link in TOOL_LINKS if not self.parts else ():  # the second part is an obstacle for the tool's body
            pybullet.setCollisionFilterPair(
                self.arm.body, body, self.arm.links[link], -1, 0, physicsClientId=self.client
            )
        entry = PartBody(
            part, body, TouchModel(part, rng), position, orientation, [0] * len(self._frames), part.mass_kg, center
        )
        self.parts.append(entry)
        return entry

    def clear(self) -> None:
        """Take all parts away."""
        for entry in self.parts:
            pybullet.removeBody(entry.body, physicsClientId=self.client)
        self.parts.clear()
        self.changed = False

    def step(self, command: ArmCommand) -> WorldState:
        """One millisecond."""
        self.arm.command(command)
        pybullet.stepSimulation(physicsClientId=self.client)
        reading = self.arm.read()
        self._contacts = reading.contacts
        state = WorldState(reading, reading.wrench, reading.rotation, reading.origin)
        for entry in self.parts:
            place, entry.orientation = pybullet.getBasePositionAndOrientation(entry.body, physicsClientId=self.client)
            if entry.center_m != MIDDLE:  # PyBullet's pose is that of the centre of mass
                x, y, z = (place - quaternion_matrix(entry.orientation) @ entry.center_m).tolist()
                place = (x, y, z)
            entry.position = place
        self._touch(state)
        self._scale_masses(state)
        for entry in self.parts:
            if entry.tracks:
                self._leave(entry, state.touches)
        return state

    def _leave(self, entry: PartBody, touches: list[Touch]) -> None:
        """End the ways of the frames that no longer touch a part, and mark its surface."""
        still = [touch.frame for touch in touches if touch.model is entry.touch]
        for frame in [frame for frame in entry.tracks if frame not in still]:
            maps, depth = marked(entry.tracks.pop(frame))
            entry.damage_m = max(entry.damage_m, depth)
            if maps is not None:
                entry.touch.maps = maps
                self.changed = True

    def _touch(self, state: WorldState) -> None:
        """Add the forces between tool and parts to the wrench, and push the parts.

        A tip that is far from a part is looked at again only when it could have got there.
        """
        self._count += 1
        last, self._last_pose = self._last_pose, (state.rotation, state.origin)
        for entry in self.parts:
            for k, frame in enumerate(self._frames):
                if self._count < entry.look_again[k]:
                    continue
                tip = state.rotation @ self._tips[k] + state.origin
                turn = quaternion_matrix(entry.orientation)
                axis = turn.T @ (state.rotation @ self._axes[k])
                place = turn.T @ (tip - entry.position)
                gap, local_normal = entry.touch.gap(frame, place, axis)
                if gap >= 0.0:
                    entry.look_again[k] = self._count + 1 + int(gap / (CLOSING_SPEED_M_S * PERIOD_S))
                    continue
                before = tip if last is None else last[0] @ self._tips[k] + last[1]
                normal = turn @ np.array(local_normal)
                self._press(state, entry, frame, -gap, tip, normal, (tip - before) / PERIOD_S)
                self._follow(entry, frame, place[:2], state.touches[-1].normal_n)

    def _follow(self, entry: PartBody, frame: Frame, uv: Array, force_n: float) -> None:
        track = entry.tracks.get(frame)
        if track is None:
            track = entry.tracks[frame] = ContactTrack(frame, entry.touch, uv, uv)
        track.go_on(uv, force_n, clamped=not self.tips_released)

    def _scale_masses(self, state: WorldState) -> None:
        """Give a light part more inertia, but no more weight, while tool or fingers touch it.

        The force of a contact as stiff as the arm is explicit in the part's motion, and fingers press with ten thousand
        times the weight of a piece of foam: at 1 kHz both would be unstable. Presses, slides and weighing are
        quasi-static, so the part's own inertia tells nothing there; free parts fall with their own.
        """
        for entry in self.parts:
            if any(touch.model is entry.touch for touch in state.touches):
                mass = max(entry.part.mass_kg, TOUCHED_MASS_KG)
            else:
                entry.touch.free()
                held = any(contact[2] == entry.body for contact in self._contacts)
                mass = max(entry.part.mass_kg, HELD_MASS_KG) if held else entry.part.mass_kg
            if mass != entry.mass_kg:
                entry.mass_kg = mass
                pybullet.changeDynamics(entry.body, -1, mass=mass, physicsClientId=self.client)
            if mass > entry.part.mass_kg:
                lift = (0.0, 0.0, (mass - entry.part.mass_kg) * GRAVITY_M_S2)
                pybullet.applyExternalForce(
                    entry.body, -1, lift, entry.center.tolist(), pybullet.WORLD_FRAME, physicsClientId=self.client
                )

    def _press(
        self, state: WorldState, entry: PartBody, frame: Frame, depth: float, tip: Array, normal: Array, velocity: Array
    ) -> None:
        pressed = entry.touch.normal_force(frame, depth, released=self.tips_released)
        surface = self._surface_velocity(entry, tip)
        closing = float((surface - velocity) @ normal)
        force = pressed * normal + entry.touch.friction(frame, pressed, velocity, surface, normal, PERIOD_S)
        pybullet.applyExternalForce(
            entry.body, -1, (-force).tolist(), tip.tolist(), pybullet.WORLD_FRAME, physicsClientId=self.client
        )
        local, arm = state.rotation.T @ force, state.rotation.T @ (tip - state.origin)
        state.wrench = state.wrench + np.concatenate([local, cross(arm, local)])
        state.touches.append(Touch(frame, entry.touch, depth, pressed, closing, tip, normal))

    def _surface_velocity(self, entry: PartBody, point: Array) -> Array:
        linear, angular = pybullet.getBaseVelocity(entry.body, physicsClientId=self.client)
        return np.array(linear) + cross(angular, point - entry.center)

    def collision(self) -> str:
        """What the arm hits that it must not: a fixture, or a part with something else than the fingers; else empty."""
        parts = {entry.body for entry in self.parts}
        for contact in self._contacts:
            other, link = contact[2], contact[3]
            if contact[8] > 0.0 or other == self.arm.body:
                continue
            if other in parts and self._is_finger(link):
                continue
            name = self._fixture_names.get(other, "the part")
            return f"{self._link_name(link)} hit {name}"
        return ""

    def _is_finger(self, link: int) -> bool:
        return any(self.arm.links[name] == link for name in FINGER_LINKS)

    def _link_name(self, link: int) -> str:
        return next((name for name, index in self.arm.links.items() if index == link), "the arm's base")

    def tool_view(self, frame: Frame, state: WorldState, reach_m: float = 0.3) -> ToolView:
        """What a tool frame points at.

        Args:
            frame: of the tool.
            state: of the world now.
            reach_m: parts further away are not seen.
        """
        k = self._frames.index(frame)
        origin = state.rotation @ self._tips[k] + state.origin
        axis = state.rotation @ self._axes[k]
        table = origin[2] / max(-float(axis[2]), 1e-6)
        found = ToolView(None, float(table), float(np.arccos(np.clip(-axis[2], -1.0, 1.0))), None)
        for entry in self.parts:
            turn = quaternion_matrix(entry.orientation)
            local, direction = turn.T @ (origin - np.array(entry.position)), turn.T @ axis
            distance = ray_distance(entry.part.shape, entry.part.dimensions_m, local, direction, reach_m)
            if distance is not None and distance < found.distance_m:
                hit = local + distance * direction
                _, normal = entry.touch.gap(Frame.FIBRE, hit + 1e-4 * -direction, direction)
                angle = float(np.arccos(np.clip(-np.dot(normal, direction), -1.0, 1.0)))
                found = ToolView(entry, distance, angle, hit)
        return found


def material_friction(part: Part) -> float:
    """Friction of the part against silicone (catalogue), less with a water film."""
    from palpate_agents.materials import material

    return material(part.material).friction_silicone * (WATER_ON_SILICONE if part.film_um > 0.0 else 1.0)
