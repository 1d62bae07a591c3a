"""The probing node: characterises the part in the cell, probe by probe, and has it put into its bin."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from palpate_agents.errors import DeviceError, PalpateError
from palpate_agents.observation import Outcome, ProbeExecution, ProbeGoal
from palpate_agents.probing import AgentSettings, MaterialCharacterizationAgent, make_strategy
from palpate_interfaces.action import CharacterizeMaterial, Probe
from palpate_sim.kinematics import UrdfModel
from rclpy.action import ActionClient, ActionServer, CancelResponse, GoalResponse
from rclpy.clock import Clock, ClockType
from rclpy.task import Future

from palpate_nodes import convert, messages, topics
from palpate_nodes.gate import Gate
from palpate_nodes.lockstep import LockstepConsumer
from palpate_nodes.node_base import ERROR, OK, WARN, PalpateNode, run
from palpate_nodes.params import Param
from palpate_nodes.windows import WINDOW_TOPICS, WindowCutter


class Characterization:
    """What is known of the goal that runs."""

    def __init__(self, handle: Any, agent: MaterialCharacterizationAgent) -> None:
        self.handle = handle
        self.goal: CharacterizeMaterial.Goal = handle.request
        self.agent = agent
        self.index = 0
        self.last_end_ns = 0
        self.start_ns = 0


class ProbingNode(PalpateNode):
    """Action server `characterize_material`, client of the arm's `probe`."""

    PARAMETERS = (
        Param("strategy", "fixed", "How probes are chosen.", choices=("fixed",)),
        Param("sequence", ["look", "tap", "press", "slide", "dwell", "lift"], "Order of the fixed strategy."),
        Param("model", "cell29", "Name of a committed model, or the path of a model folder."),
        Param("confidence", 0.97, "Stop probing when the belief exceeds this.", "", 0.0, 1.0),
        Param("abstain_below", 0.5, "Abstain when the belief stays below this.", "", 0.0, 1.0),
        Param("max_probes", 10, "Most probes on one part.", low=1, high=10),
        Param("probe_timeout", 120.0, "Wall time after which a probe without an answer is given up.", "s", 1.0, 3600.0),
        Param("table_height", 0.0, "Height of the table in the base frame.", "m", -2.0, 2.0),
    )

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("probing", **kwargs)
        self._cutter = WindowCutter(UrdfModel())
        self._consumer = LockstepConsumer(self, WINDOW_TOPICS, on_tick=lambda _: self._gate.check())
        for topic in WINDOW_TOPICS:
            self.subscription(topic, self._keep(topic), raw=True)
        self._gate = Gate(self, self._cutter, self._consumer, self.values["probe_timeout"])
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="inference")
        self._observations = self.publisher(topics.PROBE_OBSERVATION)
        self._beliefs = self.publisher(topics.BELIEF)
        self._signatures = self.publisher(topics.SIGNATURE)
        self._probe = ActionClient(self, Probe, topics.PROBE_ACTION)
        self._part_positions: dict[str, tuple[float, float, float]] = {}
        self.subscription(topics.PART_PRESENTED, self._on_part)
        self._model: Any = None
        self._running: Characterization | None = None
        self._probe_handle: Any = None
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._server = ActionServer(
            self,
            CharacterizeMaterial,
            topics.CHARACTERIZE_ACTION,
            execute_callback=self._execute,
            goal_callback=self._on_goal,
            cancel_callback=self._on_cancel,
        )

    # Set-up.
    def setup(self) -> None:
        """Load the model; again after a change of the parameter."""
        from palpate_agents.model_io import load_model, model_path

        import torch

        torch.set_num_threads(1)
        self._model = load_model(model_path(self.values["model"]))
        make_strategy(self.values["strategy"], self.values["sequence"])
        self.report("model", OK, f"{Path(self.values['model']).name}", hash=self._model.hash)

    def stop(self) -> None:
        """Cancel the probe that runs; the arm retreats."""
        if self._probe_handle is not None:
            self._probe_handle.cancel_goal_async()

    def teardown(self) -> None:
        """Forget the model."""
        self._model = None
        self._consumer.leave()

    def _keep(self, topic: topics.Topic) -> Any:
        add = self._cutter.add(topic)
        name = topics.resolve(topic.name, self.get_namespace())

        def keep(data: bytes) -> None:
            self._consumer.note(name, add(data))

        return keep

    def _on_part(self, message: Any) -> None:
        position = message.position
        self._part_positions[message.part_id] = (position.x, position.y, position.z)

    # The action.
    def _on_goal(self, goal: CharacterizeMaterial.Goal) -> GoalResponse:
        reason = ""
        if not self.active:
            reason = "the node is not active"
        elif self._running is not None:
            reason = f"part {self._running.goal.part_id} is being characterised"
        elif goal.max_probes > 10:
            reason = f"max_probes is {goal.max_probes}, allowed are 1 to 10 (0: the node's parameter)"
        elif not np.isfinite(goal.time_budget_s) or goal.time_budget_s < 0:
            reason = f"time_budget_s is {goal.time_budget_s}, it must be 0 (none) or a positive number of seconds"
        if reason:
            self.get_logger().warning(f"goal refused: {reason}")
            self.report("goal", WARN, f"refused: {reason}")
            return GoalResponse.REJECT
        return GoalResponse.ACCEPT

    def _on_cancel(self, _: Any) -> CancelResponse:
        self.stop()
        return CancelResponse.ACCEPT

    async def _execute(self, handle: Any) -> CharacterizeMaterial.Result:
        run_ = Characterization(handle, self._make_agent(handle.request))
        self._running = run_
        result = CharacterizeMaterial.Result()
        run_.start_ns = self.get_clock().now().nanoseconds
        try:
            self._publish_belief(run_, "prior")
            await self._probe_until_sure(run_)
            if handle.is_cancel_requested:
                result.message = "cancelled; the arm has retreated"
                handle.canceled()
                return result
            result.signature = self._publish_signature(run_)
            if run_.goal.sort:
                await self._sort(run_, result)
            result.success = True
            handle.succeed()
            self.report("part", OK, f"{run_.goal.part_id}: {result.signature.material or 'abstained'}")
        except PalpateError as error:
            self.get_logger().error(str(error))
            self.report("part", ERROR, f"{run_.goal.part_id}: {error}")
            result.message = str(error)
            handle.abort()
        finally:
            result.duration_s = (self.get_clock().now().nanoseconds - run_.start_ns) / 1e9
            self._running = None
        return result

    def _make_agent(self, goal: CharacterizeMaterial.Goal) -> MaterialCharacterizationAgent:
        settings = AgentSettings(
            confidence=self.values["confidence"],
            abstain_below=self.values["abstain_below"],
            max_probes=goal.max_probes or self.values["max_probes"],
            table_height_m=self.values["table_height"],
        )
        strategy = make_strategy(self.values["strategy"], self.values["sequence"])
        position = self._part_positions.get(goal.part_id)
        return MaterialCharacterizationAgent(self._model, strategy, settings, nominal_position_m=position)

    async def _probe_until_sure(self, run_: Characterization) -> None:
        while not run_.handle.is_cancel_requested:
            elapsed_s = (self.get_clock().now().nanoseconds - run_.start_ns) / 1e9
            if 0 < run_.goal.time_budget_s < elapsed_s:
                return
            goal = run_.agent.next_goal()
            if goal is None:
                return
            execution = await self._execute_probe(run_, goal)
            if execution.outcome in (Outcome.ABORTED, Outcome.CANCELLED):
                if run_.handle.is_cancel_requested:
                    return
                raise DeviceError(f"probe {run_.index - 1} on {run_.goal.part_id} ended: {execution.message}")
            await self._gate.passed(execution.window_end_ns)
            windows = self._cutter.cut(execution)
            await self._in_worker(run_.agent.observe, execution, windows)
            run_.last_end_ns = execution.window_end_ns
            self._publish_observation(run_, execution)
            self._publish_belief(run_, execution.primitive.name.lower())

    async def _execute_probe(self, run_: Characterization, goal: ProbeGoal) -> ProbeExecution:
        name = f"probe {run_.index} ({goal.primitive.name}) on {run_.goal.part_id}"
        if not self._probe.server_is_ready():
            raise DeviceError(f"{name}: the arm's action '{topics.PROBE_ACTION}' is not there: is the arm node running?")
        message = convert.goal_message(goal, run_.goal.session_id, run_.goal.part_id, run_.index)
        handle = await self._deadline(self._probe.send_goal_async(message), f"{name}: no answer from the arm")
        if not handle.accepted:
            raise DeviceError(f"{name}: refused by the arm (see its log and /diagnostics)")
        self._probe_handle = handle
        try:
            response = await self._deadline(handle.get_result_async(), f"{name}: no result from the arm")
        finally:
            self._probe_handle = None
        run_.index += 1
        return convert.execution_of(response.result.execution)

    async def _sort(self, run_: Characterization, result: CharacterizeMaterial.Result) -> None:
        goal = run_.agent.place_goal()
        execution = await self._execute_probe(run_, goal)
        result.sort_outcome = int(execution.outcome)
        if execution.outcome == Outcome.SUCCEEDED:
            result.bin = goal.bin
        else:
            result.message = execution.message
            self.report("sort", WARN, f"{run_.goal.part_id} not sorted: {execution.message}")

    # Publishing.
    def _publish_observation(self, run_: Characterization, execution: ProbeExecution) -> None:
        message = messages.observation(run_.agent.observations[-1], run_.goal, run_.index - 1, execution)
        self._observations.publish(message)
        bad = {m.value: r for m, r in run_.agent.observations[-1].reasons.items() if r}
        level = WARN if any("dead" in reason or "stale" in reason for reason in bad.values()) else OK
        self.report("sensors", level, "; ".join(f"{m}: {r}" for m, r in bad.items()) or "all reliable", **bad)

    def _publish_belief(self, run_: Characterization, phase: str) -> None:
        belief = run_.agent.belief
        message = messages.belief(belief, run_.goal, run_.last_end_ns or run_.start_ns)
        self._beliefs.publish(message)
        run_.handle.publish_feedback(CharacterizeMaterial.Feedback(phase=phase, belief=message))

    def _publish_signature(self, run_: Characterization) -> Any:
        message = messages.signature(run_.agent.signature(), run_.goal, run_.last_end_ns or run_.start_ns)
        self._signatures.publish(message)
        return message

    # Waiting.
    async def _deadline(self, future: Future, what: str) -> Any:
        """The future's result, or DeviceError after `probe_timeout` wall seconds."""
        seconds = self.values["probe_timeout"]
        expired = Future(executor=self.executor)
        timer = self.create_timer(seconds, lambda: expired.done() or expired.set_result(False), clock=self._steady)
        future.add_done_callback(lambda _: expired.done() or expired.set_result(True))
        try:
            if not await expired:
                raise DeviceError(f"{what} within {seconds:g} s")
            return future.result()
        finally:
            timer.cancel()
            self.destroy_timer(timer)

    async def _in_worker(self, function: Any, *args: Any) -> Any:
        """Run in the worker thread, so that no callback waits for inference."""
        future = Future(executor=self.executor)

        def work() -> None:
            try:
                future.set_result(function(*args))
            except BaseException as error:
                future.set_exception(error)

        self._worker.submit(work)
        return await future


def make() -> list[PalpateNode]:
    """The nodes of this process."""
    return [ProbingNode()]


def main() -> int:
    """Run the probing node."""
    return run(make)


if __name__ == "__main__":
    sys.exit(main())
