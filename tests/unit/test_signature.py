"""Belief and signature: decisions, abstention, determinism."""

from __future__ import annotations

import numpy as np
import pytest
import synthetic_windows as syn
import torch

from palpate_agents.encoders.features import FEATURE_VERSION, PartContext, extract
from palpate_agents.fusion import PROPERTIES, FusionConfig, MultimodalFusionNetwork
from palpate_agents.observation import Modality, Primitive, ProbeWindows
from palpate_agents.signature import Belief, compute_belief, compute_signature

LABELS = ("PP", "ABS", "Cu")


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(1)
    return MultimodalFusionNetwork(FusionConfig(LABELS))


def belief(probabilities, probes=3, reliability=0.9) -> Belief:
    return Belief(
        LABELS, np.array(probabilities, np.float32), "catalogue", probes, dict.fromkeys(Modality, reliability),
        PROPERTIES, np.zeros(5, np.float32), np.ones(5, np.float32), np.arange(512, dtype=np.float32),
        np.array([0.5, 0.5], np.float32),
    )  # fmt: skip


def probes():
    context = PartContext()
    found = []
    for execution, windows in (syn.look(), syn.tap(), syn.press(), syn.dwell()):
        context = context.after(execution, windows)
        found.append(extract(execution, windows, context))
    return found


def test_a_sure_belief_gives_its_material(network):
    signature = compute_signature(network, belief([0.1, 0.85, 0.05]))
    assert signature.material == "ABS"
    assert not signature.abstained
    assert signature.reason == ""
    assert signature.feature_version == FEATURE_VERSION
    assert np.array_equal(signature.embedding, signature.belief.state)


def test_an_unsure_belief_abstains_and_names_the_rivals(network):
    signature = compute_signature(network, belief([0.45, 0.15, 0.40]))
    assert signature.abstained
    assert signature.material == ""
    assert "PP 0.45 or Cu 0.40" in signature.reason
    assert not compute_signature(network, belief([0.45, 0.15, 0.40]), abstain_below=0.4).abstained


def test_a_problem_voids_any_answer(network):
    signature = compute_signature(network, belief([0.0, 1.0, 0.0]), "2 parts in the region")
    assert signature.abstained
    assert signature.reason == "2 parts in the region"


@pytest.mark.parametrize(("count", "reliability"), [(0, 0.0), (4, 0.01)])
def test_without_evidence_it_abstains_however_sure_the_prior(network, count, reliability):
    signature = compute_signature(network, belief([0.0, 1.0, 0.0], count, reliability))
    assert signature.abstained
    assert "no sensor" in signature.reason


def test_belief_figures():
    b = belief([0.5, 0.25, 0.25])
    assert b.material == "PP"
    assert b.confidence == pytest.approx(0.5)
    assert b.entropy_nats == pytest.approx(1.5 * np.log(2))
    assert b.ranking(2) == [("PP", 0.5), ("ABS", 0.25)]
    assert belief([1.0, 0.0, 0.0]).entropy_nats == pytest.approx(0.0)


def test_a_belief_is_deterministic_and_complete(network):
    first, second = compute_belief(network, probes()), compute_belief(network, probes())
    assert np.array_equal(first.probabilities, second.probabilities)
    assert np.array_equal(first.state, second.state)
    assert first.probabilities.sum() == pytest.approx(1.0, abs=1e-6)
    assert first.probabilities.dtype == np.float32
    assert first.probes == 4
    assert first.property_names == PROPERTIES
    assert (first.property_std > 0).all()
    assert first.reliabilities[Modality.TACTILE] > 0.9


def test_the_prior_needs_no_probe(network):
    prior = compute_belief(network, [])
    assert prior.probes == 0
    assert np.isfinite(prior.probabilities).all()
    assert max(prior.reliabilities.values()) == 0.0


def test_a_dead_sensor_never_poisons_the_belief(network):
    context = PartContext()
    execution, windows = syn.look()
    context = context.after(execution, windows)
    before = compute_belief(network, [extract(execution, windows, context)])
    dead = extract(syn.execution(Primitive.TAP), ProbeWindows(), context)
    after = compute_belief(network, [extract(execution, windows, context), dead])
    assert np.allclose(before.probabilities, after.probabilities, atol=1e-6)
    assert after.reliabilities[Modality.TACTILE] == 0.0
