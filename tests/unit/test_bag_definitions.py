import pytest
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from palpate_agents.errors import DataError
from palpate_nodes.bag.definitions import definition, nested_types, split_name, type_hash

TYPES = [
    *(f"palpate_interfaces/msg/{name}" for name in (
        "ContactBurst", "DesignFeedback", "HeatedTip", "Inductive", "KnowledgeUpdate", "MaterialBelief",
        "MaterialSignature", "PartPresented", "PartTruth", "ProbeExecution", "ProbeObservation", "Spectrum",
    )),
    *(f"sensor_msgs/msg/{name}" for name in ("Image", "CameraInfo", "JointState")),
    "geometry_msgs/msg/WrenchStamped", "trajectory_msgs/msg/JointTrajectory", "diagnostic_msgs/msg/DiagnosticArray",
]  # fmt: skip


@pytest.mark.parametrize("name", TYPES)
def test_definition_is_complete_and_hash_follows_from_it(name):
    """rosbags computes RIHS01 from our text alone: it agrees with what ROS's generator installed."""
    store = get_typestore(Stores.EMPTY)
    store.register(get_types_from_msg(definition(name), name))
    assert store.hash_rihs01(name) == type_hash(name)


def test_nested_types_come_once_each_behind_a_separator():
    text = definition("palpate_interfaces/msg/ProbeObservation")
    parts = text.split("=" * 80 + "\n")
    heads = [part.splitlines()[0] for part in parts[1:]]
    assert heads == [
        "MSG: std_msgs/Header",
        "MSG: palpate_interfaces/ProbeExecution",
        "MSG: builtin_interfaces/Time",
        "MSG: geometry_msgs/Point",
        "MSG: geometry_msgs/Vector3",
    ]


def test_fields_are_told_from_constants_comments_and_bounds():
    text = """
    # Fake comment
    uint8 KIND=1
    Own KIND_TOO=3
    string<=10 name "default"  # other/Comment c
    float32[<=4] values
    other_msgs/Thing[3] things
    Own[] mine
    Own again
    """
    assert nested_types("pkg", text) == [("other_msgs", "Thing"), ("pkg", "Own")]


def test_missing_and_impossible_types_are_named():
    with pytest.raises(DataError, match=r"no definition of palpate_interfaces/msg/Nothing .*AMENT_PREFIX_PATH"):
        definition("palpate_interfaces/msg/Nothing")
    with pytest.raises(DataError, match="'a/b/c/d' is no message type"):
        split_name("a/b/c/d")
    assert type_hash("palpate_interfaces/msg/Nothing") == ""
