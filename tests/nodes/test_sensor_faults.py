"""A dead, frozen or NaN sensor: its reliability falls, the belief widens, diagnostics say so and clear again."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray

from palpate_agents import samples
from palpate_agents.model_io import save_model
from palpate_interfaces.action import CharacterizeMaterial
from palpate_nodes import convert, messages, topics
from palpate_nodes.node_base import OK, WARN, PalpateNode
from palpate_nodes.probing_node import ProbingNode

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
import faulty_parts as parts
from faulty_parts import SENSORS, H, S, T, V

FAULTS = ("lost", "nan", "frozen")
TRUTHS = (0, 1, 2, 3, 4, 0)


@pytest.fixture(scope="module")
def trained():
    return parts.trained_network()


@pytest.fixture(scope="module")
def healthy_parts():
    """One part that comes before the fault, and some after it."""
    rng = np.random.default_rng(9)
    first = list(parts.probes_of(1, 0, rng))
    return first, [list(parts.probes_of(label, n + 1, rng)) for n, label in enumerate(TRUTHS)]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Folder of a small model: untrained, for diagnostics only."""
    folder = tmp_path_factory.mktemp("models") / "small"
    save_model(parts.small_network(), folder, "small")
    return folder


def broken(windows, sensor, fault, before):
    if fault == "lost":
        return parts.lost(windows, sensor)
    if fault == "nan":
        return parts.not_a_number(windows, sensor)
    return parts.frozen(windows, sensor, before)


def characterise(network, healthy_parts, sensor=None, fault=""):
    """Reliability of the sensor, entropy and number of right answers, over all parts after the fault."""
    first, rest = healthy_parts
    agent = parts.agent_of(network)
    for probe in first:
        agent.observe(*probe)
    entropy, reliability, right = [], [], 0
    for label, probes in zip(TRUTHS, rest, strict=True):
        agent.reset()
        for execution, windows in probes:
            before = [w for _, w in first]
            agent.observe(execution, broken(windows, sensor, fault, before) if sensor is not None else windows)
        entropy.append(agent.belief.entropy_nats)
        reliability.append(agent.belief.reliabilities[sensor or V])
        right += agent.belief.material == parts.LABELS[label]
    return np.mean(reliability), np.mean(entropy), right


def test_a_sensor_that_fails_is_not_relied_on_and_widens_the_belief(trained, healthy_parts):
    reliability, healthy, right = characterise(trained, healthy_parts)
    assert reliability == 1.0
    assert right == len(TRUTHS), "the network knows the materials while every sensor works"
    for sensor in SENSORS:
        for fault in FAULTS:
            reliability, entropy, _ = characterise(trained, healthy_parts, sensor, fault)
            assert reliability == 0.0, (sensor, fault)
            assert entropy > healthy + 0.05, (sensor, fault, entropy, healthy)


class Cell:
    """A probing node that is fed by hand, and what its diagnostics say."""

    def __init__(self, ros, model):
        self.node = ros.add(ProbingNode(context=ros.context, overrides={"model": str(model)}))
        assert self.node.autostart()
        listener = ros.add(PalpateNode("listener", context=ros.context))
        self.heard: list[DiagnosticArray] = []
        listener.subscription(topics.DIAGNOSTICS, self.heard.append)
        self.ros = ros

    def observe(self, probes):
        agent = self.node.agent
        agent.reset()
        for index, (execution, windows) in enumerate(probes):
            agent.observe(execution, windows)
            sample = samples.Execution(execution.window_end_ns, "s", "part", index, execution)
            self.node._publish_observation(convert.execution_message(sample))

    def states(self):
        """Sensor -> (level, message) of the newest diagnostics of the node."""
        found = {what: status[:2] for what, status in self.node._status.items()}
        return {what.removeprefix("sensor "): status for what, status in found.items() if what.startswith("sensor ")}

    def published(self, what, level):
        return any(s.name == f"/cell/probing: {what}" and s.level == level for a in self.heard for s in a.status)


@pytest.fixture
def cell(ros, model):
    return Cell(ros, model)


def test_healthy_sensors_are_ok(cell, healthy_parts):
    first, rest = healthy_parts
    assert cell.states() == {}, "nothing is said of a sensor that no probe has used"
    for probes in (first, *rest[:2]):
        cell.observe(probes)
        assert cell.states() == {m.value: (OK, "reliable") for m in SENSORS}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("sensor", SENSORS)
def test_diagnostics_show_the_fault_and_clear_it(cell, healthy_parts, sensor, fault):
    first, rest = healthy_parts
    cell.observe(first)
    cell.observe([(e, broken(w, sensor, fault, [w for _, w in first])) for e, w in rest[0]])
    states = cell.states()
    level, text = states.pop(sensor.value)
    assert level == WARN
    words = {"lost": ("missing",), "nan": ("NaN", "usable", "finite"), "frozen": ("stale",)}[fault]
    assert any(word in text for word in words), text
    if sensor is V:  # without a picture nobody knows where the part is, whose temperature a look reads
        assert states.pop("thermal") == (WARN, "look: no part in the colour picture")
    assert set(states.values()) == {(OK, "reliable")}
    cell.ros.spin_until(lambda: cell.published(f"sensor {sensor}", WARN))
    cell.observe(rest[1])
    assert cell.states()[sensor.value] == (OK, "reliable")
    cell.ros.spin_until(lambda: cell.published(f"sensor {sensor}", OK))


def test_a_probe_that_missed_leaves_the_state_of_the_sensor(cell, healthy_parts):
    first, rest = healthy_parts
    cell.observe(first)
    (look, tap, *_) = rest[0]
    missed = replace(tap[0], outcome=tap[0].outcome.NO_CONTACT, contact_time_ns=0)
    cell.observe([look, (missed, parts.lost(tap[1], T))])
    assert cell.states()["tactile"] == (OK, "reliable")


@pytest.mark.parametrize(
    ("change", "sensor", "says"),
    [
        (
            lambda w: replace(w, burst=w.burst and replace(w.burst, sample_rate_hz=8000.0)),
            T,
            "tap: wrong sample rate: the tap burst has 8000 Hz, at least 50000 Hz",
        ),
        (
            lambda w: replace(w, wrench=w.wrench[::8], wrench_times_s=w.wrench_times_s[::8]),
            T,
            "press: wrong sample rate: the wrench has 125 Hz",
        ),
        (
            lambda w: replace(w, spectra=[replace(w.spectra[0], wavelength_nm=w.spectra[0].wavelength_nm - 500.0)]),
            S,
            "wavelengths 400-1200 nm cover 39% of the model's 900-1700 nm",
        ),
        (
            lambda w: replace(w, spectra=[replace(w.spectra[0], is_reflectance=False)]),
            S,
            "raw counts: the model needs reflectance (take a dark and a white reference)",
        ),
    ],
)
def test_a_sensor_that_is_set_up_wrongly_is_named_in_one_sentence(cell, healthy_parts, change, sensor, says, capfd):
    _, rest = healthy_parts

    def wrong(windows):
        has = windows.burst is not None or len(windows.wrench) if sensor is T else windows.spectra
        return change(windows) if has else windows

    for probes in rest[:2]:
        cell.observe([(e, wrong(w)) for e, w in probes])
    level, text = cell.states()[sensor.value]
    assert level == WARN
    assert says in text
    assert capfd.readouterr().err.count(f"{sensor} cannot be used") == 1, "said once, not with every probe"


def test_belief_and_signature_say_all_of_it(cell, healthy_parts):
    first, rest = healthy_parts
    agent, goal = cell.node.agent, CharacterizeMaterial.Goal(session_id="s", part_id="part")
    prior = messages.belief(agent.reset(), agent.reasons, agent.network, goal, 5)
    assert list(prior.modality_reliabilities) == [0.0] * 4
    assert set(prior.modality_reliability_reasons) == {"no probe has measured it so far"}
    assert list(prior.modality_contributions) == [0.0] * 4
    cell.observe(first)
    cell.observe([(e, parts.lost(w, H)) for e, w in rest[0]])
    belief = messages.belief(agent.belief, agent.reasons, agent.network, goal, 7)
    assert belief.modalities == ["visual", "tactile", "spectral", "thermal"]
    assert list(belief.modality_reliabilities) == pytest.approx([1.0, 1.0, 1.0, 0.0], abs=0.01)
    assert list(belief.modality_reliability_reasons[:3]) == ["", "", ""]
    assert "missing" in belief.modality_reliability_reasons[3]
    assert belief.modality_contributions[3] == pytest.approx(0.0, abs=1e-5), "a dead sensor contributes nothing"
    assert any(abs(nats) > 1e-4 for nats in belief.modality_contributions[:3])
    assert list(belief.condition_names) == ["black", "painted", "wet", "aged"]
    assert all(0.0 < p < 1.0 for p in belief.condition_probabilities)
    assert 0.0 < belief.novelty < 1.0
    assert belief.novelty_limit == 1.0
    assert list(belief.property_names) == list(agent.network.config.properties)
    assert len(belief.property_values) == len(belief.property_std) == len(belief.property_names)
    signature = messages.signature(agent.signature(), agent.network, goal, 7)
    for name in ("condition_probabilities", "modality_reliabilities", "modality_contributions", "property_values"):
        assert list(getattr(signature, name)) == list(getattr(belief, name)), name
    assert signature.novelty == belief.novelty


def test_a_part_unlike_all_known_is_not_decided_unless_told_to(ros, model, healthy_parts):
    first, _ = healthy_parts
    reasons = {}
    for novel in (True, False):
        overrides = {"model": str(model), "abstain_novel": novel, "abstain_below": 0.0, "autostart": False}
        node = ros.add(ProbingNode(context=ros.context, overrides=overrides))
        node.setup()
        node.agent.network.novelty_limit.fill_(1e-6)  # any part exceeds it
        for probe in first:
            node.agent.observe(*probe)
        signature = node.agent.signature()
        reasons[novel] = signature.reason
        assert signature.abstained == novel
    assert "unlike every known material (novelty" in reasons[True]
    assert reasons[False] == ""
