"""The arm: executes `Probe` goals with guarded contact, one at a time, and publishes joint states.

The force limit is the arm's own: a goal may ask for less, never for more. Cancelling stops the motion and retreats.
"""

from __future__ import annotations

from typing import Any

from rclpy.action import CancelResponse, GoalResponse
from rclpy.task import Future

from palpate_agents.errors import PalpateError
from palpate_agents.samples import Execution, JointPath, Joints
from palpate_interfaces.action import Probe
from palpate_nodes import convert, topics
from palpate_nodes.device_node import DeviceNode
from palpate_nodes.devices.cell import ArmDevice
from palpate_nodes.node_base import ERROR, OK, WARN
from palpate_nodes.routines import action_server, wait


class ArmNode(DeviceNode):
    """Action server `probe` over an arm device."""

    device: ArmDevice

    def __init__(self, name: str, device: ArmDevice, **kwargs: Any) -> None:
        super().__init__(name, device, **kwargs)
        self._running: tuple[str, int] | None = None
        self._done: Future | None = None
        self._goal_handle: Any = None
        self._last_phase = ""
        self._server = action_server(
            self, Probe, topics.PROBE_ACTION, execute=self._execute, on_goal=self._on_goal, on_cancel=self._on_cancel
        )

    def streams(self) -> tuple[topics.Topic, ...]:
        """Joint states, trajectories sent, executed probes."""
        return topics.JOINT_STATES, topics.JOINT_TRAJECTORY, topics.PROBE_EXECUTION

    def publish_sample(self, sample: Any) -> None:
        """A joint state, a trajectory, or the end of a probe."""
        if isinstance(sample, Joints):
            self.send(topics.JOINT_STATES, convert.joint_message(sample))
        elif isinstance(sample, JointPath):
            self.send(topics.JOINT_TRAJECTORY, convert.path_message(sample))
        elif isinstance(sample, Execution):
            message = convert.execution_message(sample)
            self.send(topics.PROBE_EXECUTION, message)
            if self._done is not None and self._running == (sample.part_id, sample.index):
                self._done.set_result(message)

    def publish_pending(self) -> None:
        """Publish, and give feedback to the goal that runs."""
        super().publish_pending()
        phase = self.device.phase
        if self._goal_handle is not None and phase != self._last_phase:
            self._last_phase = phase
            self._goal_handle.publish_feedback(Probe.Feedback(phase=phase, force_n=float(self.device.contact_force_n)))

    def stop(self) -> None:
        """Deactivating stops the motion."""
        if self._running is not None:
            self.device.cancel()

    def fail(self, reason: str) -> None:
        """End the running goal: the device cannot finish it."""
        if self._done is not None and not self._done.done():
            self._done.set_exception(PalpateError(reason))

    def _on_goal(self, goal: Probe.Goal) -> GoalResponse:
        reason = ""
        if not self.active:
            reason = "the arm is not active"
        elif self._running is not None:
            reason = f"probe {self._running[1]} on {self._running[0]} is running"
        else:
            try:
                convert.goal_of(goal)
            except PalpateError as error:
                reason = str(error)
        if reason:
            self.get_logger().warning(f"goal refused: {reason}")
            self.report("goal", WARN, f"refused: {reason}")
            return GoalResponse.REJECT
        self._running = (goal.part_id, goal.index)
        return GoalResponse.ACCEPT

    def _on_cancel(self, _: Any) -> CancelResponse:
        self.device.cancel()
        return CancelResponse.ACCEPT

    async def _execute(self, handle: Any) -> tuple[str, Probe.Result]:
        goal = handle.request
        result = Probe.Result()
        self._done = Future(executor=self.executor)
        self._goal_handle, self._last_phase = handle, ""
        try:
            self.device.start_probe(convert.goal_of(goal), goal.session_id, goal.part_id, goal.index)
            result.execution = await wait(self._done)
            result.success = result.execution.outcome == result.execution.OUTCOME_SUCCEEDED
            level = OK if result.success else WARN
            self.report("goal", level, result.execution.message or "last probe succeeded")
            return "canceled" if handle.is_cancel_requested else "succeed", result
        except PalpateError as error:
            self.get_logger().error(str(error))
            self.report("goal", ERROR, str(error))
            result.execution.session_id, result.execution.part_id = goal.session_id, goal.part_id
            result.execution.index, result.execution.primitive = goal.index, goal.primitive
            result.execution.outcome = result.execution.OUTCOME_ABORTED
            result.execution.message = str(error)
            return "abort", result
        finally:
            self._running = self._done = self._goal_handle = None
