"""The session node: has part after part presented and characterised, and writes down what came of it."""

from __future__ import annotations

import json
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from rclpy.action import ActionClient

from palpate_agents.errors import ConfigError, DeviceError, PalpateError
from palpate_interfaces.action import CharacterizeMaterial
from palpate_interfaces.msg import PartTruth, ProbeExecution
from palpate_interfaces.srv import PresentPart
from palpate_nodes import topics
from palpate_nodes.asking import Goal, call
from palpate_nodes.model_switch import ModelSwitch
from palpate_nodes.node_base import ERROR, OK, PalpateNode, run
from palpate_nodes.params import Param
from palpate_nodes.routines import Routine, sleep
from palpate_nodes.session_log import SessionLog


class SessionNode(PalpateNode):
    """Client of `present_part` and `characterize_material`; writes results.json after every part."""

    PARAMETERS = (
        Param("parts", 6, "How many parts; 0: until there are no more.", low=0, high=1_000_000),
        Param("material", "", "Ask for this material every time (simulation); empty: drawn from the mix."),
        Param("session_id", "session", "Name of the session."),
        Param("kind", "sim", "What kind of session it is.", choices=("sim", "cell", "replay", "identify")),
        Param("session_dir", "", "Folder of the session; empty: the working directory."),
        Param("max_probes", 0, "Most probes on a part; 0: the probing node's own.", low=0, high=10),
        Param("sort", True, "Put each part into a bin."),
        Param("models", "", "JSON file {item: model folder}: load an item's model before its parts (leave one out)."),
        Param("exit_when_done", False, "End after the last part."),
        Param("start_timeout", 90.0, "Wall time to wait for the cell and the probing node.", "s", 1.0, 3600.0),
        Param("silence_timeout", 600.0, "Wall time without a new belief after which to give up.", "s", 1.0, 1e5),
    )

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("session", **kwargs)
        self._present: Any = self.create_client(PresentPart, topics.PRESENT_PART_SERVICE)
        self._characterize: ActionClient[Any, Any, Any] = ActionClient(
            self, CharacterizeMaterial, topics.CHARACTERIZE_ACTION
        )
        self._switch = ModelSwitch(self)
        self._truth: dict[str, PartTruth] = {}
        self._executions: dict[str, list[ProbeExecution]] = {}
        self.subscription(topics.PART_TRUTH, self._on_truth)
        self.subscription(topics.PROBE_EXECUTION, self._on_execution)
        self._log: SessionLog | None = None
        self._models: dict[str, str] = {}
        self._model = ""
        self._goal: Goal | None = None
        self._started = False
        self.exit_code: int | None = None

    def setup(self) -> None:
        """Open the session's folder."""
        self._log = SessionLog(Path(self.values["session_dir"] or "."), self.values["session_id"], self.values["kind"])
        if self.values["models"]:
            path = Path(self.values["models"])
            try:
                self._models = {str(item): str(folder) for item, folder in json.loads(path.read_text()).items()}
            except (OSError, ValueError, AttributeError) as error:
                raise ConfigError(f"parameter 'models': {path} is not a JSON file of item: folder ({error})") from None

    def start(self) -> None:
        """Begin, once."""
        if not self._started:
            self._started = True
            Routine(self.executor, self._session())

    def stop(self) -> None:
        """Cancel the part that runs; what is done is written already."""
        if self._goal is not None:
            self._goal.cancel()

    def _on_truth(self, message: PartTruth) -> None:
        self._truth[message.part_id] = message

    def _on_execution(self, message: ProbeExecution) -> None:
        self._executions.setdefault(message.part_id, []).append(message)

    async def _session(self) -> None:
        code = 0
        try:
            await self._wait_for_servers()
            count = self.values["parts"]
            index = 0
            while (count == 0 or index < count) and await self._one_part(index):
                index += 1
            self.get_logger().info(f"session done: {index} parts")
            self.report("session", OK, f"done: {index} parts")
        except PalpateError as error:
            code = error.exit_code
            self.get_logger().error(str(error))
            self.report("session", ERROR, str(error))
        except Exception as error:
            code = 1
            self.get_logger().error(f"session failed:\n{traceback.format_exc()}")
            self.report("session", ERROR, repr(error))
        finally:
            if self._log is not None:
                self._log.finish()
        if code or self.values["exit_when_done"]:
            self.exit_code = code

    async def _wait_for_servers(self) -> None:
        deadline = time.monotonic() + self.values["start_timeout"]
        while not (
            self._present.service_is_ready()
            and self._characterize.server_is_ready()
            and (not self._models or self._switch.ready())
        ):
            if time.monotonic() > deadline:
                raise DeviceError(
                    f"cell or probing node not there after {self.values['start_timeout']:g} s: see their logs, and "
                    "check that all use the same ROS_DOMAIN_ID and namespace"
                )
            await sleep(self, 0.1)

    async def _one_part(self, index: int) -> bool:
        """Present and characterise one part; False when there are no more."""
        request = PresentPart.Request(
            session_id=self.values["session_id"], index=index, material=self.values["material"]
        )
        what = f"presenting part {index}"
        response: Any = await call(self, self._present, request, what)
        while response.retry:
            await sleep(self, 0.02)
            response = await call(self, self._present, request, what)
        if response.exhausted:
            return False
        if not response.success:
            raise DeviceError(f"part {index} was not presented: {response.message}")
        part_id = response.part.part_id
        await self._use_model(part_id)
        began = time.monotonic()
        result = await self._characterise(part_id)
        assert self._log is not None
        row = self._log.add(
            index,
            part_id,
            result,
            self._truth.get(part_id),
            self._executions.pop(part_id, []),
            time.monotonic() - began,
        )
        of = f"/{self.values['parts']}" if self.values["parts"] else ""
        self.get_logger().info(f"part {index + 1}{of}  {row}")
        return True

    async def _use_model(self, part_id: str) -> None:
        if not self._models:
            return
        # The truth of a part is latched and published before the part; it may arrive a moment later.
        for _ in range(100):
            if part_id in self._truth:
                break
            await sleep(self, 0.02)
        item = self._truth[part_id].group if part_id in self._truth else ""
        if item not in self._models:
            raise ConfigError(f"parameter 'models' names no model for item '{item}' of {part_id}")
        if self._models[item] != self._model:
            self._model = self._models[item]
            await self._switch.load(self._model)

    async def _characterise(self, part_id: str) -> CharacterizeMaterial.Result:
        goal = CharacterizeMaterial.Goal(
            session_id=self.values["session_id"],
            part_id=part_id,
            max_probes=self.values["max_probes"],
            sort=self.values["sort"],
        )
        what = f"characterising {part_id}"
        deadline = time.monotonic() + self.values["start_timeout"]
        try:
            while True:
                self._goal = Goal(self, self._characterize, CharacterizeMaterial, goal, what)
                response = await self._goal.run(self.values["silence_timeout"], feedback=True)
                if response is not None:
                    return response.result
                # The node may still be on its way to ACTIVE.
                if time.monotonic() > deadline:
                    raise DeviceError(
                        f"the probing node refuses to characterise {part_id}: see its log and /diagnostics"
                    )
                await sleep(self, 0.2)
        finally:
            self._goal = None


def make() -> list[PalpateNode]:
    """The nodes of this process."""
    return [SessionNode()]


def main() -> int:
    """Run the session."""
    return run(make, done=lambda nodes: nodes[0].exit_code)  # type: ignore[attr-defined]


if __name__ == "__main__":
    sys.exit(main())
