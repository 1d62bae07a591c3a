"""Where to touch: flat spots, apart from each other, away from warm ones, with room for the tool."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from palpate_agents.observation import Primitive, ProbeExecution, ProbeGoal
from palpate_agents.segmentation import PartView, Spot

PAD_CLEARANCE_M = 0.0085
"""Half the diagonal of a 12 mm square pad."""
WARM_RADIUS_M = 0.014
"""Half a pad's diagonal and the way that heat spreads in the seconds between two probes."""
USED_RADIUS_M = 0.006
"""A ball contact marks less than a millimetre; this is the error of reaching a spot."""
MAX_SLIDE_M = 0.02
MIN_SLIDE_M = 0.008
SLIDE_MARGIN_M = 0.005


class SpotChooser:
    """Turns a primitive into a goal on the part that is seen, given what was already touched.

    Args:
        view: the part.
        history: executions so far on this part.
        goals: what was asked for each of them (a probe that touched nothing leaves no contact point).
    """

    def __init__(
        self, view: PartView, history: Sequence[ProbeExecution] = (), goals: Sequence[ProbeGoal | None] = ()
    ) -> None:
        self.view = view
        contacts = [e for e in history if e.contact_time_ns > 0]
        self.warm = _points([e.contact_point_m for e in contacts if e.primitive is Primitive.DWELL])
        self.used = _points([e.contact_point_m for e in contacts if e.primitive in (Primitive.PRESS, Primitive.TAP)])
        missed = [g for e, g in zip(history, goals, strict=False) if g is not None and e.contact_time_ns == 0]
        self.failed = _points([g.target_m for g in missed if g.primitive not in (Primitive.LOOK, Primitive.LIFT)])

    def goal(self, primitive: Primitive, pad_index: int = 0) -> ProbeGoal | None:
        """Goal for one primitive; None when the part offers no place for it."""
        if not self.view.found:
            return None
        if primitive is Primitive.LOOK:
            spot = self.view.spots[0]
            return ProbeGoal(primitive, spot.point_m, spot.normal)
        if primitive is Primitive.LIFT:
            return self.grasp(primitive) if self.view.graspable else None
        if primitive is Primitive.SLIDE:
            return self._slide()
        spot = self._spot(need_room=primitive is Primitive.DWELL)
        return ProbeGoal(primitive, spot.point_m, spot.normal, pad_index=pad_index)

    def grasp(self, primitive: Primitive, bin_name: str = "") -> ProbeGoal:
        """Goal that grasps the part across its narrow side (LIFT, PLACE)."""
        view = self.view
        return ProbeGoal(
            primitive, view.centroid_m, (0.0, 0.0, 1.0), grasp_width_m=view.grasp_width_m,
            grasp_angle_rad=view.grasp_angle_rad, bin=bin_name,
        )  # fmt: skip

    def _spot(self, need_room: bool) -> Spot:
        """Best spot: earlier in the view's order is better, nearness to used, warm or failed points is worse."""
        costs = []
        for rank, spot in enumerate(self.view.spots):
            xy = np.array(spot.point_m[:2])
            cost = 0.1 * rank + 5.0 * _near(xy, self.warm, WARM_RADIUS_M)
            cost += 1.0 * _near(xy, self.used, USED_RADIUS_M) + 2.0 * _near(xy, self.failed, USED_RADIUS_M)
            if need_room:
                cost += 3.0 * max(0.0, 1.0 - spot.clearance_m / PAD_CLEARANCE_M)
                cost += 0.5 * _near(xy, self.used, PAD_CLEARANCE_M)
            costs.append(cost)
        return self.view.spots[int(np.argmin(costs))]

    def _slide(self) -> ProbeGoal | None:
        """A slide along the part's length that begins before the best spot and stays on the flat area."""
        spot = self._spot(need_room=False)
        length, angle = self.view.extent_m[0], self.view.yaw_rad
        distance = float(np.clip(length - 2 * SLIDE_MARGIN_M, 0.0, MAX_SLIDE_M))
        if distance < MIN_SLIDE_M:
            return None
        along = np.array([np.cos(angle), np.sin(angle)])
        middle = float((np.array(spot.point_m[:2]) - np.array(self.view.centroid_m[:2])) @ along)
        room = length / 2 - SLIDE_MARGIN_M - distance / 2
        shift = float(np.clip(middle, -room, room)) - middle - distance / 2
        start = np.array(spot.point_m)
        start[:2] += shift * along
        # The surface at the start is on the tangent plane of the spot.
        normal = np.array(spot.normal)
        start[2] -= float(normal[:2] @ (shift * along)) / normal[2]
        point = (float(start[0]), float(start[1]), float(start[2]))
        return ProbeGoal(Primitive.SLIDE, point, spot.normal, slide_distance_m=distance, slide_angle_rad=float(angle))


def _points(places: Sequence[tuple[float, float, float]]) -> np.ndarray:
    return np.array([place[:2] for place in places]).reshape(-1, 2)


def _near(xy: np.ndarray, points: np.ndarray, radius_m: float) -> float:
    """1 on one of the points, falling to 0 at the radius."""
    if not len(points):
        return 0.0
    return float(max(0.0, 1.0 - np.linalg.norm(points - xy, axis=1).min() / radius_m))
