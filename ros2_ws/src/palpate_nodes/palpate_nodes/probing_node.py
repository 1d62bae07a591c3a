"""The probing node: characterises the part in the cell, probe by probe, and has it put into its bin."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rclpy.action import ActionClient, CancelResponse, GoalResponse
from rclpy.task import Future

from palpate_agents.errors import DeviceError, PalpateError
from palpate_agents.observation import Modality, Outcome, Primitive, ProbeGoal
from palpate_agents.probing import AgentSettings, MaterialCharacterizationAgent
from palpate_agents.probing.choosing import DEADLINE_S, DEFAULT_POLICY, STRATEGIES, make_strategy
from palpate_agents.probing.sensor_watch import SensorState, sensor_states
from palpate_agents.probing.strategy import DEFAULT_SEQUENCE, RecordedStrategy, Strategy
from palpate_interfaces.action import CharacterizeMaterial, Probe
from palpate_interfaces.msg import MaterialSignature
from palpate_interfaces.msg import ProbeExecution as ProbeExecutionMessage
from palpate_nodes import convert, messages, topics
from palpate_nodes.asking import Goal
from palpate_nodes.bag_playback import recorded_probes
from palpate_nodes.gate import Gate
from palpate_nodes.lockstep import LockstepConsumer
from palpate_nodes.long_lived import freeze_long_lived
from palpate_nodes.node_base import ERROR, OK, WARN, PalpateNode, run
from palpate_nodes.params import Param
from palpate_nodes.routines import action_server, sleep, wait
from palpate_nodes.windows import WINDOW_TOPICS, WindowCutter
from palpate_sim.kinematics import UrdfModel

if TYPE_CHECKING:
    from palpate_agents.fusion import MultimodalFusionNetwork

SERVER_TIMEOUT_S = 10.0


class Characterization:
    """What is known of the goal that runs."""

    def __init__(self, handle: Any, start_ns: int) -> None:
        self.handle = handle
        self.goal: CharacterizeMaterial.Goal = handle.request
        self.index = 0
        self.start_ns = start_ns
        self.last_end_ns = start_ns


class ProbingNode(PalpateNode):
    """Action server `characterize_material`, client of the arm's `probe`."""

    PARAMETERS = (
        Param("strategy", "fixed", "How probes are chosen.", choices=STRATEGIES),
        Param("sequence", list(DEFAULT_SEQUENCE), "Order of the fixed strategy."),
        Param("policy", DEFAULT_POLICY, "Name of a committed policy, or the path of its folder (strategy: policy)."),
        Param("bag", "", "Recording whose probes are asked for again, whatever chose them; empty: the strategy's own."),
        Param("deadline", DEADLINE_S, "Cell time after which all but fixed give a part up.", "s", 1.0, 3600.0),
        Param("model", "cell29", "Name of a committed model, or the path of a model folder."),
        Param("confidence", 0.97, "Stop probing when the belief reaches this; 1: never early.", "", 0.0, 1.0),
        Param("abstain_below", 0.5, "Abstain when the belief stays below this.", "", 0.0, 1.0),
        Param("abstain_novel", True, "Abstain when the part is unlike every material that the model knows."),
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
        self._probe: ActionClient[Any, Any, Any] = ActionClient(self, Probe, topics.PROBE_ACTION)
        self._part_positions: dict[str, tuple[float, float, float]] = {}
        self.subscription(topics.PART_PRESENTED, self._on_part)
        self._agent: MaterialCharacterizationAgent | None = None
        self._running: Characterization | None = None
        self._probe_goal: Goal | None = None
        self._sensors: dict[Modality, dict[Primitive, SensorState]] = {}
        self._server = action_server(
            self,
            CharacterizeMaterial,
            topics.CHARACTERIZE_ACTION,
            execute=self._execute,
            on_goal=self._on_goal,
            on_cancel=self._on_cancel,
        )

    # Set-up.
    def setup(self) -> None:
        """Load the model; again after a change of the parameter."""
        import torch

        from palpate_agents.model_io import load_model

        torch.set_num_threads(1)  # two threads on two busy cores are a hundred times slower than one
        network = load_model(self.values["model"])
        settings = AgentSettings(
            confidence=self.values["confidence"],
            max_probes=self.values["max_probes"],
            abstain_below=self.values["abstain_below"],
            abstain_novel=self.values["abstain_novel"],
            table_height_m=self.values["table_height"],
        )
        strategy = self._strategy(network)
        self._agent = MaterialCharacterizationAgent(network, strategy, settings)
        freeze_long_lived()
        self.report("model", OK, network.name, hash=network.hash)

    def _strategy(self, network: MultimodalFusionNetwork) -> Strategy:
        values = self.values
        if values["bag"]:
            return RecordedStrategy(recorded_probes(Path(values["bag"])))
        return make_strategy(values["strategy"], values["sequence"], network, values["policy"], values["deadline"])

    def stop(self) -> None:
        """Cancel the probe that runs; the arm retreats."""
        if self._probe_goal is not None:
            self._probe_goal.cancel()

    def teardown(self) -> None:
        """Forget the model."""
        self._agent = None

    def end(self) -> None:
        """Nobody needs to wait for this node any more."""
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

    @property
    def agent(self) -> MaterialCharacterizationAgent:
        """The agent; only while configured."""
        if self._agent is None:
            raise PalpateError("the probing node is not configured: activate it first")
        return self._agent

    async def _execute(self, handle: Any) -> tuple[str, CharacterizeMaterial.Result]:
        run_ = Characterization(handle, 0)
        self._running = run_
        result = CharacterizeMaterial.Result()
        ending = "abort"
        try:
            await self._wait_for(lambda: self.get_clock().now().nanoseconds > 0, "the cell's clock does not run")
            run_.start_ns = run_.last_end_ns = self.get_clock().now().nanoseconds
            self.agent.reset(self._part_positions.get(run_.goal.part_id), run_.goal.part_id)
            self._publish_belief(run_, "prior")
            await self._probe_until_sure(run_)
            if handle.is_cancel_requested:
                result.message = "cancelled; the arm has retreated"
                return "canceled", result
            result.signature = self._publish_signature(run_)
            if run_.goal.sort:
                await self._sort(run_, result)
            result.success = True
            ending = "succeed"
            self.report("part", OK, f"{run_.goal.part_id}: {result.signature.material or 'abstained'}")
        except PalpateError as error:
            self.get_logger().error(str(error))
            self.report("part", ERROR, f"{run_.goal.part_id}: {error}")
            result.message = str(error)
        except Exception as error:
            self.get_logger().error(f"characterisation failed:\n{traceback.format_exc()}")
            self.report("part", ERROR, f"{run_.goal.part_id}: {error!r}")
            result.message = f"internal error: {error!r}"
        finally:
            result.duration_s = (self.get_clock().now().nanoseconds - run_.start_ns) / 1e9
            self._running = None
        return ending, result

    async def _probe_until_sure(self, run_: Characterization) -> None:
        while not run_.handle.is_cancel_requested:
            elapsed_s = (self.get_clock().now().nanoseconds - run_.start_ns) / 1e9
            too_long = 0 < run_.goal.time_budget_s <= elapsed_s
            too_many = 0 < run_.goal.max_probes <= len(self.agent.observations)
            goal = None if too_long or too_many else self.agent.next_goal(elapsed_s)
            if goal is None:
                return
            message = await self._execute_probe(run_, goal)
            execution = convert.execution_of(message)
            if execution.outcome in (Outcome.ABORTED, Outcome.CANCELLED):
                if run_.handle.is_cancel_requested:
                    return
                raise DeviceError(f"probe {run_.index - 1} on {run_.goal.part_id} ended: {execution.message}")
            await self._gate.passed(execution.window_end_ns)
            windows = self._cutter.cut(execution)
            await self._in_worker(self.agent.observe, execution, windows)
            run_.last_end_ns = execution.window_end_ns
            self._publish_observation(message)
            self._publish_belief(run_, execution.primitive.name.lower())

    async def _execute_probe(self, run_: Characterization, goal: ProbeGoal) -> ProbeExecutionMessage:
        name = f"probe {run_.index} ({goal.primitive.name}) on {run_.goal.part_id}"
        await self._wait_for(self._probe.server_is_ready, f"{name}: is the arm node running? no action server")
        message = convert.goal_message(goal, run_.goal.session_id, run_.goal.part_id, run_.index)
        self._probe_goal = Goal(self, self._probe, Probe, message, name)
        try:
            response = await self._probe_goal.run(self.values["probe_timeout"])
        finally:
            self._probe_goal = None
        if response is None:
            raise DeviceError(f"{name}: refused by the arm (see its log and /diagnostics)")
        run_.index += 1
        return response.result.execution

    async def _sort(self, run_: Characterization, result: CharacterizeMaterial.Result) -> None:
        goal = self.agent.place_goal()
        execution = await self._execute_probe(run_, goal)
        result.sort_outcome = execution.outcome
        if execution.outcome == Outcome.SUCCEEDED:
            result.bin = goal.bin
        else:
            result.message = execution.message
            self.report("sort", WARN, f"{run_.goal.part_id} not sorted: {execution.message}")

    # Publishing.
    def _publish_observation(self, execution: ProbeExecutionMessage) -> None:
        features = self.agent.observations[-1]
        self._observations.publish(messages.observation(features, execution, self.agent.network.config.features))
        self._report_sensors(sensor_states(features), features.primitive, f"{execution.part_id}/{execution.index}")

    def _report_sensors(self, states: dict[Modality, SensorState], primitive: Primitive, probe: str) -> None:
        """A line per modality: the worst that the newest probe of any kind found that should have measured it."""
        for modality, state in states.items():
            if modality not in self.agent.network.config.modalities:
                continue
            # By kind of probe: a tap reads the accelerometer and a press the force sensor, and both are touch.
            known = self._sensors.setdefault(modality, {})
            before, known[primitive] = known.get(primitive, (1.0, "")), state
            if state[0] == 0.0 and before[0] > 0.0:  # said once, not with every probe
                self.get_logger().warning(f"{modality} cannot be used: {state[1]}")
            worst = min(known, key=lambda kind: (known[kind][0], not known[kind][1]))
            reliability, reason = known[worst]
            text = f"{worst.name.lower()}: {reason}" if reason else "reliable"
            level = WARN if reason else OK
            self.report(f"sensor {modality}", level, text, reliability=f"{reliability:.2f}", probe=probe)

    def _publish_belief(self, run_: Characterization, phase: str) -> None:
        agent = self.agent
        message = messages.belief(agent.belief, agent.reasons, agent.network, run_.goal, run_.last_end_ns)
        self._beliefs.publish(message)
        run_.handle.publish_feedback(CharacterizeMaterial.Feedback(phase=phase, belief=message))

    def _publish_signature(self, run_: Characterization) -> MaterialSignature:
        message = messages.signature(self.agent.signature(), self.agent.network, run_.goal, run_.last_end_ns)
        self._signatures.publish(message)
        return message

    # Waiting.
    async def _wait_for(self, ready: Callable[[], bool], otherwise: str) -> None:
        waited_s = 0.0
        while not ready():
            if waited_s >= SERVER_TIMEOUT_S:
                raise DeviceError(f"{otherwise} after {SERVER_TIMEOUT_S:g} s")
            await sleep(self, 0.02)
            waited_s += 0.02

    async def _in_worker(self, function: Any, *args: Any) -> Any:
        """Run in the worker thread, so that no callback waits for inference."""
        future: Future[Any] = Future(executor=self.executor)

        def work() -> None:
            try:
                future.set_result(function(*args))
            except Exception as error:
                future.set_exception(error)

        self._worker.submit(work)
        return await wait(future)


def make() -> list[PalpateNode]:
    """The nodes of this process."""
    return [ProbingNode()]


def main() -> int:
    """Run the probing node."""
    return run(make)


if __name__ == "__main__":
    sys.exit(main())
