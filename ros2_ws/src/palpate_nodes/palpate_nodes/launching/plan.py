"""From a launch file and its arguments to the list of processes to start. Nothing starts before all of it stands."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from palpate_nodes.launching import packages, parameters
from palpate_nodes.launching.context import ROS_NAMESPACE, Context, truth
from palpate_nodes.launching.errors import LaunchError, known_names
from palpate_nodes.launching.grammar import parse
from palpate_nodes.launching.loading import Element, load

MAX_INCLUDES = 20
OUTPUTS = ("screen", "log", "both", "own_log", "full")
_NODE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NAMESPACE = re.compile(r"/|(/[A-Za-z_][A-Za-z0-9_]*)+")


@dataclass(frozen=True)
class Argument:
    """A declared launch argument.

    Attributes:
        name: as given on the command line.
        default: text with substitutions still in it; None if the argument must be given.
        description: for people.
        choices: allowed values, empty for any.
    """

    name: str
    default: str | None
    description: str
    choices: tuple[str, ...]


@dataclass(frozen=True)
class Process:
    """One process to run.

    Attributes:
        name: label, unique in the launch (`probing_node-2`, as ROS's launch numbers them).
        head: command up to the ROS arguments that name files.
        parameter_files: handed over as `--params-file`, in this order.
        tail: rest of the command (remappings).
        environment: complete environment.
        cwd: folder to run in, None for the launcher's.
        output: one of `OUTPUTS`.
        required: its end, whatever the reason, ends the launch (`on_exit: shutdown`).
        respawn: start it again when it ends.
        respawn_delay_s: seconds to wait before that.
        respawn_max_retries: how often at most; negative for no limit.
        sigterm_timeout_s: seconds from SIGINT to SIGTERM.
        sigkill_timeout_s: seconds from SIGTERM to SIGKILL.
    """

    name: str
    head: tuple[str, ...]
    parameter_files: tuple[parameters.ParameterFile, ...]
    tail: tuple[str, ...]
    environment: Mapping[str, str]
    cwd: str | None
    output: str
    required: bool
    respawn: bool
    respawn_delay_s: float
    respawn_max_retries: int
    sigterm_timeout_s: float
    sigkill_timeout_s: float

    def command(self, folder: Path) -> list[str]:
        """The command line; parameter files of our own are written into `folder`."""
        files = [str(file.materialise(folder)) for file in self.parameter_files]
        return [*self.head, *(word for file in files for word in ("--params-file", file)), *self.tail]


@dataclass
class Plan:
    """What a launch file comes to with given arguments.

    Attributes:
        file: the launch file.
        arguments: every argument it declares, includes and groups included.
        values: final value of each launch configuration.
        processes: in the order in which they are started.
        messages: texts of `log` elements.
    """

    file: Path
    arguments: list[Argument] = field(default_factory=list)
    values: dict[str, str] = field(default_factory=dict)
    processes: list[Process] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)


def declared_arguments(elements: Sequence[Element]) -> list[Argument]:
    """Arguments that the elements declare, in order, without evaluating anything."""
    found: dict[str, Argument] = {}
    for top in elements:
        for element in top.walk():
            if element.kind == "arg":
                given = element.attributes
                choices = tuple(choice["value"] for choice in given.get("choice", ()))
                argument = Argument(given["name"], given.get("default"), given.get("description", ""), choices)
                found.setdefault(argument.name, argument)
    return list(found.values())


def parse_assignments(words: Sequence[str]) -> dict[str, str]:
    """`name:=value` words of a command line as a dictionary; the last of several for one name wins, as in ROS.

    Raises:
        LaunchError: a word of another form.
    """
    values = {}
    for word in words:
        name, mark, value = word.partition(":=")
        if not mark or not name or not value:
            raise LaunchError(
                f"'{word}' is not a launch argument: write name:=value, without spaces (a value cannot be empty)"
            )
        values[name] = value
    return values


def make_plan(file: Path, given: Mapping[str, str], environment: Mapping[str, str] | None = None) -> Plan:
    """Evaluate a launch file.

    Args:
        file: the launch file.
        given: launch arguments from the command line.
        environment: what processes inherit; None for this process's environment.

    Returns:
        the plan; all its executables and parameter files exist.

    Raises:
        LaunchError: anything wrong with file, arguments or values; nothing has been started.
    """
    environment = dict(os.environ if environment is None else environment)
    if not environment.get("AMENT_PREFIX_PATH"):
        environment["AMENT_PREFIX_PATH"] = sys.prefix
    elements = load(file)
    if not any(element.kind == "include" for top in elements for element in top.walk()):
        _refuse_unknown(given, declared_arguments(elements), file)  # before a misspelt argument is missed as another
    planner = _Planner(Plan(file), Context(environment, file, dict(given)))
    planner.run_file(file, elements)
    _refuse_unknown(given, planner.plan.arguments, file)
    planner.plan.values = dict(planner.context.configurations)
    return planner.plan


def _refuse_unknown(given: Mapping[str, str], declared: Sequence[Argument], file: Path) -> None:
    known = [argument.name for argument in declared]
    for name in given:
        if name not in known:
            raise LaunchError(f"{file.name} has no launch argument '{name}'; {known_names(name, known)}")


class _Planner:
    """Goes through the elements once, from top to bottom."""

    def __init__(self, plan: Plan, context: Context) -> None:
        self.plan = plan
        self.context = context
        self.depth = 0
        self.visitors: dict[str, Callable[[Element], None]] = {
            "arg": self.argument,
            "let": self.let,
            "set_env": self.set_environment,
            "unset_env": self.unset_environment,
            "log": self.log,
            "include": self.include,
            "group": self.group,
            "push_ros_namespace": self.push_namespace,
            "push-ros-namespace": self.push_namespace,
            "executable": self.executable,
            "node": self.node,
        }

    def run_file(self, file: Path, elements: Sequence[Element]) -> None:
        known = {argument.name for argument in self.plan.arguments}
        self.plan.arguments += [found for found in declared_arguments(elements) if found.name not in known]
        with self.context.within(file):
            self.run(elements)

    def run(self, elements: Sequence[Element]) -> None:
        for element in elements:
            try:
                if self.wanted(element):
                    self.visitors[element.kind](element)
            except LaunchError as error:
                raise element.locate(error) from error

    def wanted(self, element: Element) -> bool:
        given = element.attributes
        if "if" in given:
            return truth(self.context.text(given["if"]))
        return "unless" not in given or not truth(self.context.text(given["unless"]))

    def text(self, element: Element, attribute: str) -> str:
        return self.context.text(element.attributes[attribute])

    def argument(self, element: Element) -> None:
        declared = declared_arguments([element])[0]
        configurations = self.context.configurations
        if declared.name not in configurations:
            if declared.default is None:
                raise LaunchError(
                    f"the argument '{declared.name}' must be given: {declared.name}:=... ({declared.description})"
                )
            configurations[declared.name] = self.context.text(declared.default)
        value = configurations[declared.name]
        if declared.choices and value not in declared.choices:
            raise LaunchError(
                f"{declared.name}:={value} is not one of its choices; {known_names(value, declared.choices)}"
            )

    def let(self, element: Element) -> None:
        self.context.configurations[self.text(element, "name")] = self.text(element, "value")

    def set_environment(self, element: Element) -> None:
        self.context.environment[self.text(element, "name")] = self.text(element, "value")

    def unset_environment(self, element: Element) -> None:
        self.context.environment.pop(self.text(element, "name"), None)

    def log(self, element: Element) -> None:
        self.plan.messages.append(self.text(element, "message"))

    def include(self, element: Element) -> None:
        if self.depth >= MAX_INCLUDES:
            raise LaunchError(f"more than {MAX_INCLUDES} includes within each other; does the file include itself?")
        file = Path(self.text(element, "file")).resolve()
        # As in ROS, what an include passes stays set afterwards; a group around it ends that.
        for item in element.attributes.get("arg", ()):
            self.context.configurations[self.context.text(item["name"])] = self.context.text(item["value"])
        self.depth += 1
        self.run_file(file, load(file))
        self.depth -= 1

    def group(self, element: Element) -> None:
        if not element.attributes.get("scoped", True):
            self.run(element.children)
            return
        with self.context.scope():
            self.run(element.children)

    def push_namespace(self, element: Element) -> None:
        self.context.configurations[ROS_NAMESPACE] = self.namespace(self.text(element, "namespace"))

    def namespace(self, name: str) -> str:
        """A namespace below the pushed one, or an absolute one."""
        base = self.context.configurations.get(ROS_NAMESPACE, "")
        full = name if name.startswith("/") else f"{base.rstrip('/')}/{name}"
        full = full.rstrip("/") or "/"
        if not _NAMESPACE.fullmatch(full):
            raise LaunchError(f"'{full}' is not a ROS namespace (letters, digits and _ between slashes)")
        return full

    def executable(self, element: Element) -> None:
        command = self.words(element.attributes["cmd"])
        if not command:
            raise LaunchError("'cmd' is empty")
        label = self.text(element, "name") if "name" in element.attributes else Path(command[0]).name
        self.add(element, label, command, (), ())

    def node(self, element: Element) -> None:
        given = element.attributes
        path = packages.executable(self.text(element, "pkg"), self.text(element, "exec"), self.context.environment)
        command = [str(path), *self.words(given.get("args", ""))]
        if "ros_args" in given:
            command += ["--ros-args", *self.words(given["ros_args"])]
        command += ["--ros-args"]
        name = self.text(element, "name") if "name" in given else None
        if name is not None:
            if not _NODE_NAME.fullmatch(name):
                raise LaunchError(f"'{name}' is not a node name (letters, digits and _)")
            command += ["-r", f"__node:={name}"]
        namespace = self.context.configurations.get(ROS_NAMESPACE)
        if "namespace" in given:
            namespace = self.namespace(self.text(element, "namespace"))
        if namespace is not None:
            command += ["-r", f"__ns:={namespace}"]
        full_name = f"{namespace.rstrip('/')}/{name}" if name is not None and namespace is not None else None
        files = parameters.collect(given.get("param", []), full_name, self.context)
        remaps = [f"{self.context.text(one['from'])}:={self.context.text(one['to'])}" for one in given.get("remap", ())]
        label = self.text(element, "exec_name") if "exec_name" in given else path.name
        self.add(element, label, command, tuple(files), tuple(word for rule in remaps for word in ("-r", rule)))

    def add(
        self,
        element: Element,
        label: str,
        command: list[str],
        files: tuple[parameters.ParameterFile, ...],
        tail: tuple[str, ...],
    ) -> None:
        """Append a process with the attributes that nodes and executables share."""
        given = element.attributes
        output = self.context.environment.get("OVERRIDE_LAUNCH_PROCESS_OUTPUT") or self.context.text(
            given.get("output", "log")
        )
        if output not in OUTPUTS:
            raise LaunchError(f"output '{output}' is unknown; {known_names(output, OUTPUTS)}")
        if given.get("on_exit", "shutdown") != "shutdown":
            raise LaunchError(f"'on_exit' can only be 'shutdown', not '{given['on_exit']}'")
        for name in ("respawn_delay", "sigterm_timeout", "sigkill_timeout"):
            if given.get(name, 0.0) < 0.0:
                raise LaunchError(f"'{name}' is {given[name]} s, below 0 s")
        environment = dict(self.context.environment)
        for item in given.get("env", ()):
            environment[self.context.text(item["name"])] = self.context.text(item["value"])
        prefix = shlex.split(self.text(element, "launch-prefix")) if "launch-prefix" in given else []
        self.plan.processes.append(
            Process(
                name=f"{label}-{len(self.plan.processes) + 1}",
                head=(*prefix, *command),
                parameter_files=files,
                tail=tail,
                environment=environment,
                cwd=self.text(element, "cwd") if "cwd" in given else None,
                output=output,
                required="on_exit" in given,
                respawn=truth(self.context.text(given.get("respawn", "false"))),
                respawn_delay_s=given.get("respawn_delay", 0.0),
                respawn_max_retries=given.get("respawn_max_retries", -1),
                sigterm_timeout_s=given.get("sigterm_timeout", 5.0),
                sigkill_timeout_s=given.get("sigkill_timeout", 5.0),
            )
        )

    def words(self, text: str) -> list[str]:
        """A command line: text is split as a shell does, the result of a substitution is never split."""
        words: list[str] = []
        pending: list[str] = []

        def flush() -> None:
            if pending:
                words.append("".join(pending))
                pending.clear()

        for part in parse(text):
            if not isinstance(part, str):
                pending.append(self.context.perform((part,)))
                continue
            try:
                tokens = shlex.split(part)
            except ValueError as error:
                raise LaunchError(f"in '{text}': {error}; a quote cannot go around a substitution") from error
            if part[0].isspace():
                flush()
            for index, token in enumerate(tokens):
                if index:
                    flush()
                pending.append(token)
            if part[-1].isspace():
                flush()
        flush()
        return words
