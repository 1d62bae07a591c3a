"""From a launch file to processes: elements, attributes, scopes, parameters, packages."""

import shutil
import sys
from pathlib import Path

import pytest
from launching_planner import Planner, parameters, words

from palpate_nodes.launching import packages
from palpate_nodes.launching.errors import LaunchError


@pytest.fixture
def plan(tmp_path: Path) -> Planner:
    return Planner(tmp_path)


# Elements and attributes.


def test_a_node_becomes_a_command(plan: Planner) -> None:
    made = plan(
        """
        launch:
        - node:
            pkg: tools
            exec: talker
            name: t
            namespace: cell
            args: --fast "two words" $(var n) x$(var n)y
            ros_args: --log-level debug
            remap: [{from: chatter, to: /c$(var n)}, {from: a, to: b}]
            env: [{name: A, value: "$(var n)"}]
        """.replace("launch:", "launch:\n        - arg: {name: n, default: a b}")
    )
    assert words(made) == [
        *("talker", "--fast", "two words", "a b", "xa by", "--ros-args", "--log-level", "debug", "--ros-args"),
        *("-r", "__node:=t", "-r", "__ns:=/cell", "-r", "chatter:=/ca b", "-r", "a:=b"),
    ]
    process = made.processes[0]
    assert process.name == "talker-1"
    assert process.environment["A"] == "a b"
    assert process.environment["SET"] == "by the user"
    assert (process.output, process.required, process.respawn, process.respawn_max_retries) == ("log", False, False, -1)
    assert (process.sigterm_timeout_s, process.sigkill_timeout_s, process.cwd) == (5.0, 5.0, None)


def test_attributes_of_a_process(plan: Planner) -> None:
    made = plan(
        """
        launch:
        - executable:
            cmd: /bin/echo a
            name: echo
            output: full
            cwd: /tmp
            on_exit: shutdown
            respawn: "True"
            respawn_delay: 0.5
            respawn_max_retries: 3
            sigterm_timeout: 1.0
            sigkill_timeout: 2.0
            launch-prefix: nice -n 5
        """
    )
    process = made.processes[0]
    assert process.head == ("nice", "-n", "5", "/bin/echo", "a")
    assert (process.name, process.output, process.cwd) == ("echo-1", "full", "/tmp")
    assert (process.required, process.respawn, process.respawn_delay_s, process.respawn_max_retries) == (
        True,
        True,
        0.5,
        3,
    )
    assert (process.sigterm_timeout_s, process.sigkill_timeout_s) == (1.0, 2.0)


def test_conditions(plan: Planner) -> None:
    text = """
        launch:
        - arg: {name: x, default: "false"}
        - node: {pkg: tools, exec: talker, if: $(var x)}
        - node: {pkg: tools, exec: listener, unless: $(var x)}
        - group:
            if: $(var x)
            children:
            - node: {pkg: tools, exec: listener}
        """
    assert [process.name for process in plan(text).processes] == ["listener-1"]
    assert [process.name for process in plan(text, x="1").processes] == ["talker-1", "listener-2"]


def test_a_scoped_group_gives_back_what_it_changed(plan: Planner) -> None:
    node = "- node: {pkg: tools, exec: talker, args: $(var v none), env: [{name: SEEN, value: $(env E none)}]}"
    made = plan(
        f"""
        launch:
        - group:
          - push_ros_namespace: {{namespace: a}}
          - push-ros-namespace: {{namespace: b}}
          - let: {{name: v, value: inner}}
          - set_env: {{name: E, value: inner}}
          - unset_env: {{name: SET}}
          {node}
        {node}
        - group:
            scoped: false
            children:
            - let: {{name: v, value: kept}}
        {node}
        """
    )
    assert [words(made, index)[1] for index in range(3)] == ["inner", "none", "kept"]
    assert [process.environment["SEEN"] for process in made.processes] == ["inner", "none", "none"]
    assert ["SET" in process.environment for process in made.processes] == [False, True, True]
    assert "__ns:=/a/b" in words(made, 0)
    assert not any("__ns" in word for word in words(made, 1))


def test_namespaces_are_joined_unless_absolute(plan: Planner) -> None:
    made = plan(
        """
        launch:
        - push_ros_namespace: {namespace: /a/}
        - node: {pkg: tools, exec: talker}
        - node: {pkg: tools, exec: talker, namespace: b}
        - node: {pkg: tools, exec: talker, namespace: /b}
        - node: {pkg: tools, exec: talker, namespace: /}
        """
    )
    assert [words(made, index)[3] for index in range(4)] == ["__ns:=/a", "__ns:=/a/b", "__ns:=/b", "__ns:=/"]


def test_set_env_with_a_default_keeps_what_the_user_has_set(plan: Planner) -> None:
    made = plan(
        """
        launch:
        - set_env: {name: SET, value: $(env SET ours)}
        - set_env: {name: UNSET, value: $(env UNSET ours)}
        - executable: {cmd: /bin/true}
        """
    )
    environment = made.processes[0].environment
    assert (environment["SET"], environment["UNSET"]) == ("by the user", "ours")


def test_includes_get_arguments_and_their_own_dirname(plan: Planner, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    inner = "launch:\n- arg: {name: a}\n- arg: {name: b, default: B}\n- log: {message: $(var a) $(var b) $(dirname)}\n"
    (tmp_path / "sub/inner.launch.yaml").write_text(inner)
    text = """
        launch:
        - include:
            file: $(dirname)/sub/inner.launch.yaml
            arg: [{name: a, value: "1"}]
        - log: {message: after $(dirname)}
        """
    assert plan(text).messages == [f"1 B {tmp_path}/sub", f"after {tmp_path}"]
    made = plan(text, b="2")
    assert made.messages[0] == f"1 2 {tmp_path}/sub"
    assert [argument.name for argument in made.arguments] == ["a", "b"]
    assert "did you mean 'b'" in plan.fails(text, bb="2")


def test_an_include_of_itself_ends(plan: Planner) -> None:
    assert "include itself" in plan.fails("launch:\n- include: {file: $(filename)}\n")


def test_default_of_an_argument_is_evaluated_once(plan: Planner) -> None:
    made = plan(
        """
        launch:
        - arg: {name: id, default: "$(eval 'time.time()' time)"}
        - log: {message: $(var id)}
        - log: {message: $(var id)}
        """
    )
    assert made.messages[0] == made.messages[1] == made.values["id"]
    assert float(made.values["id"]) > 1e9


# Parameters.


def test_parameters_have_the_types_that_ros_gives_them(plan: Planner) -> None:
    made = plan(
        """
        launch:
        - arg: {name: six, default: "6"}
        - arg: {name: list, default: "[1, 2]"}
        - node:
            pkg: tools
            exec: talker
            param:
            - {name: literal, value: 6}
            - {name: text, value: "6"}
            - {name: inferred, value: $(var six)}
            - {name: forced, value: $(var six), type: str}
            - {name: real, value: $(var six), type: float}
            - {name: empty, value: ""}
            - {name: truth, value: $(var yes true)}
            - {name: one, value: $(var yes 1), type: bool}
            - {name: inferred_list, value: $(var list)}
            - {name: texts, value: [a, $(var six)], type: list_of_str}
            - {name: outer, param: [{name: a, value: 1.5}, {name: in, param: [{name: b, value: [1, 2]}]}]}
        """
    )
    found = [file["/**"]["ros__parameters"] for file in parameters(made)]
    assert found == [
        *(
            {"literal": 6},
            {"text": "6"},
            {"inferred": 6},
            {"forced": "6"},
            {"real": 6.0},
            {"empty": ""},
            {"truth": True},
        ),
        *({"one": True}, {"inferred_list": [1, 2]}, {"texts": ["a", "6"]}, {"outer.a": 1.5, "outer.in.b": [1, 2]}),
    ]
    assert isinstance(found[4]["real"], float)


def test_in_line_parameters_go_to_the_node_where_it_is_known(plan: Planner) -> None:
    node = "pkg: tools, exec: talker, param: [{name: p, value: 1}]"
    made = plan(
        f"launch:\n- node: {{{node}, name: t, namespace: n}}\n- node: {{{node}, name: t}}\n- node: {{{node}}}\n"
    )
    assert [next(iter(parameters(made, index)[0])) for index in range(3)] == ["/n/t", "/**", "/**"]


def test_parameter_files_with_substitutions_become_files_of_our_own(plan: Planner, tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("/$(var ns)/t: {ros__parameters: {seed: $(var seed), id: '$(var seed)'}}\n")
    (tmp_path / "q.yaml").write_text("/n/t: {ros__parameters: {a: 1}}\n")
    made = plan(
        """
        launch:
        - arg: {name: ns, default: n}
        - arg: {name: seed, default: "3"}
        - node:
            pkg: tools
            exec: talker
            param: [{from: $(dirname)/p.yaml, allow_substs: true}, {from: $(dirname)/q.yaml}]
        """
    )
    assert parameters(made)[0] == {"/n/t": {"ros__parameters": {"seed": 3, "id": "3"}}}
    command = made.processes[0].command(tmp_path)
    first, second = (Path(command[index + 1]) for index, word in enumerate(command) if word == "--params-file")
    assert second == tmp_path / "q.yaml"
    assert first.parent == tmp_path
    assert "seed: 3" in first.read_text()
    assert "$(var seed)" in (tmp_path / "p.yaml").read_text(), "the user's file is never written to"


# Packages and files.


def test_launch_files_are_found_by_name_and_by_path(
    plan: Planner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = plan.prefix
    environment = {"AMENT_PREFIX_PATH": f"/nowhere:{prefix}"}
    expected = prefix / "share/tools/launch/demo.launch.yaml"
    for name in ("demo", "demo.launch.yaml", str(expected)):
        assert packages.launch_file(name, "tools", environment) == expected
    with pytest.raises(LaunchError, match="did you mean 'demo'"):
        packages.launch_file("dmo", "tools", environment)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo").mkdir()
    assert packages.launch_file("demo", "tools", environment) == expected, "a folder of that name is not the file"


def test_the_first_prefix_with_the_package_wins(plan: Planner, tmp_path: Path) -> None:
    prefix, other = plan.prefix, tmp_path / "overlay"
    shutil.copytree(prefix, other)
    assert packages.package_prefix("tools", {"AMENT_PREFIX_PATH": f"{other}:{prefix}"}) == other
    assert packages.prefixes({"AMENT_PREFIX_PATH": ""}) == [Path(sys.prefix)]
