"""Probes that are encoded once give the belief that all of them together give."""

import pytest
import synthetic_windows as syn
import torch

from palpate_agents.encoders.features import PartContext, extract
from palpate_agents.fusion import FusionConfig, MultimodalFusionNetwork, TokenBatch
from palpate_agents.fusion_memory import FusionMemory
from palpate_agents.signature import ONLY, belief_of, compute_belief

MAKERS = (syn.look, syn.tap, syn.press, syn.slide, syn.dwell, syn.look)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return MultimodalFusionNetwork(FusionConfig(("PP", "ABS", "PLA"))).eval()


@pytest.fixture(scope="module")
def probes(network):
    context, found = PartContext(config=network.config.features), []
    for make in MAKERS:
        execution, windows = make()
        context = context.after(execution, windows)
        found.append(extract(execution, windows, context))
    return found


def tokens(network, *parts):
    return TokenBatch.of(list(parts), network.config)


@pytest.mark.parametrize("count", range(len(MAKERS) + 1))
def test_the_belief_is_that_of_all_probes_together(network, probes, count):
    memory = FusionMemory(network, 1)
    for probe in probes[:count]:
        memory.add(tokens(network, [probe]), ONLY)
    with torch.inference_mode():
        whole = network(tokens(network, probes[:count]))
        kept = network.decide(memory.read(ONLY))
    assert torch.allclose(kept.log_probabilities, whole.log_probabilities, atol=1e-5)
    assert torch.allclose(kept.state, whole.state, atol=1e-4)
    belief, again = belief_of(memory, probes[:count]), compute_belief(network, probes[:count])
    assert (belief.probabilities == again.probabilities).all()
    assert belief.contributions == again.contributions


def test_parts_are_kept_apart_and_forgotten(network, probes):
    memory = FusionMemory(network, 3)
    memory.add(tokens(network, probes[:1], probes[1:2]), torch.tensor([0, 2]))
    memory.add(tokens(network, probes[2:3]), torch.tensor([2]))
    assert memory.count.tolist() == [1, 0, 2]
    alone = FusionMemory(network, 1)
    alone.add(tokens(network, probes[1:2]), ONLY)
    alone.add(tokens(network, probes[2:3]), ONLY)
    for name, value in memory.read(torch.tensor([2])).items():
        assert torch.allclose(value, alone.read(ONLY)[name], atol=1e-5)
    memory.forget(torch.tensor([2]))
    for name, value in memory.read(torch.tensor([2])).items():
        assert torch.allclose(value, memory.nothing[name], atol=1e-6)


def test_more_probes_than_are_kept_are_refused(network, probes):
    memory = FusionMemory(network, 1, 2)
    for probe in probes[:2]:
        memory.add(tokens(network, [probe]), ONLY)
    with pytest.raises(ValueError, match="2 probes"):
        memory.add(tokens(network, [probes[2]]), ONLY)
