"""What touches do to a part's surface in the data generator: as marks.py does it in the full cell."""

from __future__ import annotations

import numpy as np

from palpate_agents.observation import Outcome, Primitive, ProbeExecution, ProbeWindows
from palpate_sim.contact import dent_depth_m
from palpate_sim.motion import PERIOD_S
from palpate_sim.surface import dent, scrape, wipe
from palpate_sim.training.touch_windows import (
    BALL_SPOT_M,
    BEFORE_CONTACT,
    Contact,
    ToolGeometry,
    add_joints,
    execution_of,
    slide_speed_m_s,
)

SURFACE_PRIMITIVES = (Primitive.WIPE, Primitive.SCRATCH)


def surface_window(contact: Contact, geometry: ToolGeometry) -> tuple[ProbeExecution, ProbeWindows]:
    """A wipe or a scratch: the free wrench before it, and the tip's way; nothing else is read."""
    scene, goal, limits = contact.scene, contact.goal, geometry.limits
    scene.time_s += 2.0
    rows = np.arange(-BEFORE_CONTACT, 0)
    times = rows * PERIOD_S
    wrench = np.zeros((len(rows), 6))
    wrench[:, :3] = geometry.weight(geometry.touch_rotation, geometry.tool_mass_kg)
    windows = ProbeWindows(wrench_times_s=times, wrench=scene.wrench_noise.apply_series(wrench, scene.time_s + times))
    speed, length = slide_speed_m_s(goal, limits), goal.slide_distance_m or limits.slide_m
    rows = np.arange(-BEFORE_CONTACT, round(length / speed / PERIOD_S) + 1)
    covered = (rows * PERIOD_S * speed)[:, None]
    tip = contact.hit.point + np.where(covered < 0.0, -covered * contact.approach, covered * contact.direction)
    add_joints(windows, np.arange(len(rows)), rows * PERIOD_S, tip, scene, geometry, geometry.touch_rotation)
    default = limits.wipe_force_n if goal.primitive is Primitive.WIPE else limits.scratch_force_n
    force = min(goal.force_n or default, limits.slide_share * limits.force_limit_n)
    x, y, z = (float(v) for v in contact.hit.point)
    execution = execution_of(
        goal, Outcome.SUCCEEDED, scene.time_s + times[0], scene.time_s + length / speed,
        contact_time_ns=round(scene.time_s * 1e9), contact_point_m=(x, y, z), speed_m_s=speed,
        slide_distance_m=length, max_force_n=force,
    )  # fmt: skip
    scene.time_s += length / speed + 1.0
    return execution, windows


def leave_marks(contact: Contact, execution: ProbeExecution) -> None:
    """Changes the scene's surface maps by what a touch did."""
    scene, hit = contact.scene, contact.hit
    force = np.array([execution.max_force_n])
    end = hit.point + execution.slide_distance_m * contact.direction
    if execution.primitive in SURFACE_PRIMITIVES:
        act = wipe if execution.primitive is Primitive.WIPE else scrape
        scene.maps, _ = act(
            scene.batch, scene.maps, scene.place(hit.point)[None], scene.place(end)[None], force_n=force
        )
    elif execution.primitive in (Primitive.PRESS, Primitive.SLIDE) and execution.max_force_n > 0.0:
        depth = dent_depth_m(scene.spot(end, BALL_SPOT_M), force)
        if depth[0] > 0.0:
            scene.maps, _ = dent(scene.batch, scene.maps, scene.place(end)[None], depth)
