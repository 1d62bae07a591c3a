"""What a user can get wrong in a launch file: the message names file, line, element and the way out."""

from pathlib import Path

import pytest
from launching_planner import Planner

from palpate_nodes.launching.errors import LaunchError
from palpate_nodes.launching.plan import parse_assignments


@pytest.fixture
def plan(tmp_path: Path) -> Planner:
    return Planner(tmp_path)


NODE = "launch:\n- node: {pkg: tools, exec: talker"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "launch:\n- nod: {pkg: tools}",
            ("line 2", "unknown element 'nod'", "did you mean 'node'", "push_ros_namespace"),
        ),
        ("launch:\n- node_container: {pkg: tools}", ("unknown element 'node_container'",)),
        (f"{NODE}, respwan: 'true'}}", ("line 2", "'node'", "'respwan'", "did you mean 'respawn'")),
        (f"{NODE}, emulate_tty: true}}", ("unknown attribute 'emulate_tty'",)),
        (f"{NODE}, respawn: true}}", ("'respawn' must be text", 'write "True" in quotes')),
        (f"{NODE}, respawn: 'yes'}}", ("not a condition",)),
        (f"{NODE}, respawn_delay: 1}}", ("'respawn_delay' must be number, not 1", "write 1.0")),
        (f"{NODE}, respawn_delay: -1.0}}", ("-1.0 s", "below 0 s")),
        (f"{NODE}, on_exit: restart}}", ("can only be 'shutdown'",)),
        (f"{NODE}, output: srceen}}", ("did you mean 'screen'",)),
        (f"{NODE}, if: 'true', unless: 'true'}}", ("both 'if' and 'unless'",)),
        (f"{NODE}, if: maybe}}", ("'maybe' is not a condition",)),
        (f"{NODE}, if: true}}", ("'if' must be text",)),
        (f"{NODE}, name: a-b}}", ("'a-b' is not a node name",)),
        (f"{NODE}, namespace: a-b}}", ("'/a-b' is not a ROS namespace",)),
        (f"{NODE}, args: \"'$(var x y)'\"}}", ("quote cannot go around",)),
        (f"{NODE}, remap: [{{from: a}}]}}", ("needs the attribute 'to'",)),
        (f"{NODE}, remap: []}}", ("empty list",)),
        (f"{NODE}, env: [{{name: a, value: b, c: d}}]}}", ("unknown attribute 'c'",)),
        (f"{NODE}, param: [a]}}", ("'param' is a list of entries",)),
        (f"{NODE}, param: [{{value: 1}}]}}", ("either 'name' or 'from'",)),
        (f"{NODE}, param: [{{name: a, from: b}}]}}", ("either 'name' or 'from'",)),
        (f"{NODE}, param: [{{from: /none.yaml, value: 1}}]}}", ("cannot have 'value'",)),
        (f"{NODE}, param: [{{name: a}}]}}", ("either a 'value' or nested 'param'",)),
        (f"{NODE}, param: [{{name: a, value: 1, allow_substs: true}}]}}", ("goes with 'from' only",)),
        (f"{NODE}, param: [{{name: a, value: 1, type: integer}}]}}", ("unknown type 'integer'", "int")),
        (f"{NODE}, param: [{{name: a, value: 1, type: float}}]}}", ("must be float, not 1",)),
        (f"{NODE}, param: [{{name: a, value: '1', type: int}}]}}", ("leave out the quotes",)),
        (f"{NODE}, param: [{{name: a, value: '$(var x 1.5)', type: int}}]}}", ("must be int, not '1.5'",)),
        (f"{NODE}, param: [{{name: a, value: '$(var x 2026-01-01)'}}]}}", ("give it 'type: str'",)),
        (f"{NODE}, param: [{{name: a, value: '$(var x [)'}}]}}", ("is not YAML",)),
        (f"{NODE}, param: [{{name: a, value: [1, b]}}]}}", ("must have one type",)),
        (f"{NODE}, param: [{{name: a, value: {{b: 1}}}}]}}", ("nested names are written",)),
        (f"{NODE}, param: [{{from: /none.yaml}}]}}", ("there is no parameter file /none.yaml",)),
        ("launch:\n- node: {pkg: tools}", ("needs the attribute 'exec'",)),
        ("launch:\n- node: {pkg: tolos, exec: talker}", ("package 'tolos' is not installed", "did you mean 'tools'")),
        ("launch:\n- node: {pkg: tools, exec: tlaker}", ("no executable 'tlaker'", "did you mean 'talker'")),
        ("launch:\n- node: {pkg: tools, exec: data.txt}", ("no executable 'data.txt'", "known: listener, talker")),
        ("launch:\n- node: text", ("needs attributes, not 'text'",)),
        ("launch:\n- executable: {cmd: ''}", ("'cmd' is empty",)),
        ("launch:\n- executable: {cmd: a, args: b}", ("unknown attribute 'args'",)),
        ("launch:\n- arg: {name: a, default: 6}", ("'default' must be text, not 6", 'write "6" in quotes')),
        ("launch:\n- arg: {name: a, description: d}", ("'a' must be given", "a:=... (d)")),
        ("launch:\n- arg: {name: a, default: x, choice: [{value: yes_}]}", ("a:=x is not one of its choices", "yes_")),
        ("launch:\n- group: {scoped: 'false', children: []}", ("'scoped' must be true or false",)),
        ("launch:\n- group: {scoped: false}", ("needs the attribute 'children'",)),
        ("launch:\n- group: {forwarding: false, children: []}", ("unknown attribute 'forwarding'",)),
        ("launch:\n- group:\n  - log: {message: a}\n  - log: {mesage: a}", ("line 4", "did you mean 'message'")),
        ("launch:\n- include: {file: /none.launch.yaml}", ("cannot read the launch file /none.launch.yaml",)),
        ("launch:\n- include: {file: /none.launch.py}", ("only YAML launch files",)),
        ("launch:\n- log: {message: a, message: b}", ("line 2", "'message' is given twice")),
        ("launch:\n- log: {message: a}\n  let: {name: a, value: b}", ("line 2", "one element")),
        ("launch: {children: []}", ("one key 'launch' with a list",)),
        ("lunch: []", ("one key 'launch' with a list",)),
        ("", ("one key 'launch' with a list",)),
        ("launch: [", ("is not YAML",)),
    ],
)
def test_a_mistake_is_explained(plan: Planner, text: str, says: tuple[str, ...]) -> None:
    message = plan.fails(text)
    for part in (*says, ".launch."):
        assert part in message


def test_the_innermost_element_is_named(plan: Planner) -> None:
    message = plan.fails("launch:\n- group:\n  - group:\n    - node: {pkg: tools, exec: tlaker}\n")
    assert "line 4: 'node'" in message
    assert "'group'" not in message


def test_a_misspelt_argument_is_named_before_the_one_that_is_missing_for_it(plan: Planner) -> None:
    text = "launch:\n- arg: {name: bag}\n"
    assert "did you mean 'bag'" in plan.fails(text, bga="x")
    assert "must be given" in plan.fails(text)


@pytest.mark.parametrize("word", ["parts=2", "parts:=", ":=2", "parts"])
def test_launch_arguments_are_assignments(word: str) -> None:
    with pytest.raises(LaunchError, match="name:=value"):
        parse_assignments([word])


def test_the_last_of_two_assignments_wins() -> None:
    assert parse_assignments(["a:=1", "b:=x:=y", "a:=2"]) == {"a": "2", "b": "x:=y"}
