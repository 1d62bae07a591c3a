import io

import pytest
from rich.console import Console

from palpate_agents.errors import ConfigError
from palpate_nodes.commands.running import Screen, run_session, session_name


def shown(*lines):
    stream = io.StringIO()
    screen = Screen(Console(file=stream, width=200, highlight=False))
    for process, line in lines:
        screen(process, line)
    return stream.getvalue()


def test_the_screen_shows_the_session_and_what_goes_wrong():
    text = shown(
        ("session_node-5", "[INFO] [1795516802.5] [cell.session]: part 1/3  PP: PP (0.99)"),
        ("probing_node-3", "[INFO] [1795516802.5] [cell.probing]: nobody needs this"),
        ("cell_node-4", "[WARN] [1795516802.5] [cell.arm]: goal refused"),
        ("cell_node-4", "[ERROR] [1795516802.5] [cell.cell]: gave up"),
        ("cell_node-4", "pybullet build time"),
        ("cell_node-4", "error: node 'cell' has no parameter 'ratte'"),
        ("launch", "recorder_node-1 failed: ended by SIGKILL; its last lines:"),
        ("launch", "recorder_node-1 started (pid 1)"),
    )
    assert text.splitlines() == [
        "part 1/3  PP: PP (0.99)",
        "arm: goal refused",
        "cell: gave up",
        "cell_node-4: error: node 'cell' has no parameter 'ratte'",
        "recorder_node-1 failed: ended by SIGKILL; its last lines:",
    ]


def test_names_of_sessions_are_names_of_folders():
    assert session_name("sim", "mine-1") == "mine-1"
    assert session_name("sim", "").startswith("sim-2")
    for bad in ("../x", "a b", ".hidden", "x" * 101):
        with pytest.raises(ConfigError, match="must be 1 to 100"):
            session_name("sim", bad)


def test_a_session_never_writes_over_another(tmp_path):
    (tmp_path / "results.json").write_text("{}")
    with pytest.raises(ConfigError, match="not empty"):
        run_session("sim", {}, tmp_path, Console(file=io.StringIO()))
