import math

import pytest

from palpate_agents.errors import ConfigError
from palpate_nodes.params import Param, check_all

TABLE = (
    Param("rate", 1.0, "Multiple of real time.", "", 0.0, 10.0),
    Param("parts", 3, "How many.", low=0, high=100),
    Param("strategy", "fixed", "Which.", choices=("fixed", "greedy")),
    Param("record", True, "Whether."),
    Param("names", ["a"], "Some."),
)


def test_defaults_fill_what_is_not_given():
    values = check_all(TABLE, {"parts": 7}, "cell")
    assert values == {"rate": 1.0, "parts": 7, "strategy": "fixed", "record": True, "names": ["a"]}


def test_a_whole_number_is_a_number():
    assert check_all(TABLE, {"rate": 2}, "cell")["rate"] == 2.0


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"ratte": 1.0}, "did you mean 'rate'"),
        ({"rate": 11.0}, "above the largest allowed value 10"),
        ({"rate": -1.0}, "below the smallest"),
        ({"rate": math.nan}, "finite"),
        ({"rate": "fast"}, "must be a float"),
        ({"parts": 2.5}, "must be a int"),
        ({"parts": True}, "must be a int"),
        ({"strategy": "greed"}, "did you mean 'greedy'"),
        ({"record": "yes"}, "must be a bool"),
    ],
)
def test_a_wrong_value_is_one_clear_sentence(given, says):
    with pytest.raises(ConfigError, match=says) as caught:
        check_all(TABLE, given, "cell")
    assert "cell" in str(caught.value)


def test_parameters_of_ros_itself_are_let_through():
    assert "use_sim_time" not in check_all(TABLE, {"use_sim_time": True, "qos_overrides./x": 1}, "cell")


def test_descriptor_has_unit_and_range():
    descriptor = Param("force", 8.0, "Limit.", "N", 0.5, 50.0).descriptor()
    assert descriptor.description == "Limit. [N]"
    assert (descriptor.floating_point_range[0].from_value, descriptor.floating_point_range[0].to_value) == (0.5, 50.0)
