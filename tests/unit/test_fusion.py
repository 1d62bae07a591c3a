"""The fusion network: masks, gating, rows that do not mix, learning."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from palpate_agents.encoders.features import FEATURE_NAMES, FeatureConfig, feature_names
from palpate_agents.errors import ConfigError
from palpate_agents.fusion import FusionConfig, MultimodalFusionNetwork, Pictures, TokenBatch
from palpate_agents.observation import Modality, Primitive, ProbeFeatures

LABELS = ("a", "b", "c")
NAMES = [m.value for m in Modality]


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return MultimodalFusionNetwork(FusionConfig(LABELS, modalities=tuple(NAMES))).eval()


def random_batch(parts=5, probes=4, seed=0) -> TokenBatch:
    rng = np.random.default_rng(seed)
    size = (parts, probes)
    values, reliability = {}, {}
    for m in Modality:
        v = rng.normal(size=(*size, len(FEATURE_NAMES[m]))).astype(np.float32)
        v[rng.random(v.shape) < 0.2] = np.nan
        values[m.value] = torch.from_numpy(v)
        r = rng.random(size).astype(np.float32) * (rng.random(size) < 0.7)
        reliability[m.value] = torch.from_numpy(r.astype(np.float32))
    return TokenBatch(torch.from_numpy(rng.integers(0, 6, size)), values, reliability)


def outputs(network, batch):
    with torch.inference_mode():
        out = network(batch)
    rest = [out.property_mean, out.property_std, out.condition_logit, out.novelty_logit[:, None], out.state]
    return torch.cat([out.log_probabilities, out.gate, *rest], dim=1)


def test_shapes_and_probabilities(network):
    batch = random_batch()
    with torch.inference_mode():
        out = network(batch)
    assert out.log_probabilities.shape == (5, 3)
    assert out.state.shape == (5, 512)
    assert out.property_mean.shape == out.property_std.shape == (5, 6)
    assert out.condition_logit.shape == (5, 4)
    assert out.novelty_logit.shape == (5,)
    assert torch.allclose(out.log_probabilities.exp().sum(1), torch.ones(5), atol=1e-5)
    assert torch.allclose(out.gate.sum(1), torch.ones(5), atol=1e-5)
    assert (out.property_std > 0).all()


def test_one_row_does_not_influence_another(network):
    batch = random_batch()
    before = outputs(network, batch)
    other = random_batch(seed=1)
    for m in NAMES:
        batch.values[m][2] = 100 * other.values[m][2]
        batch.reliability[m][2] = other.reliability[m][2]
    after = outputs(network, batch)
    keep = torch.arange(5) != 2
    assert torch.allclose(before[keep], after[keep], atol=1e-5)
    assert not torch.allclose(before[2], after[2], atol=1e-3)


def test_a_row_gives_the_same_alone_and_in_a_batch(network):
    batch = random_batch()
    together = outputs(network, batch)
    for row in range(5):
        assert torch.allclose(outputs(network, batch.rows(torch.tensor([row])))[0], together[row], atol=1e-5)


@pytest.mark.parametrize("modality", NAMES)
@pytest.mark.parametrize("garbage", [float("nan"), float("inf"), -1e30, 7.0])
def test_garbage_of_an_unusable_modality_changes_nothing(network, modality, garbage):
    batch = random_batch()
    batch.reliability[modality][:] = 0.0
    before = outputs(network, batch)
    batch.values[modality][:] = garbage
    assert torch.equal(before, outputs(network, batch))


@pytest.mark.parametrize("garbage", [float("nan"), float("inf"), -1e30])
def test_garbage_of_a_usable_modality_stays_finite(network, garbage):
    batch = random_batch()
    for m in NAMES:
        batch.values[m][0, :2] = garbage
        batch.reliability[m][0] = 1.0
    assert torch.isfinite(outputs(network, batch)).all()


@pytest.mark.parametrize("modality", NAMES)
def test_every_modality_matters(network, modality):
    batch = random_batch()
    batch.reliability[modality][:] = 1.0
    before = outputs(network, batch)
    batch.values[modality] = batch.values[modality] + 1.0
    assert (before - outputs(network, batch)).abs().max() > 1e-4


def test_no_probes_give_the_same_prior_for_everyone(network):
    empty = TokenBatch.of([[], [], []], network.config)
    prior = outputs(network, empty)
    assert torch.isfinite(prior).all()
    assert torch.allclose(prior[0], prior[1], atol=1e-6)
    masked = random_batch().masked(torch.zeros(5, 4))
    assert torch.allclose(outputs(network, masked)[0], prior[0], atol=1e-6)


def test_a_less_reliable_token_pulls_less(network):
    batch = random_batch(parts=1, probes=1, seed=3)
    prior = outputs(network, batch.masked(torch.zeros(1, 1)))[:, -512:]
    shifts = []
    for reliability in (0.001, 0.05, 1.0):
        for m in NAMES:
            batch.reliability[m][:] = reliability
        pooled, _ = network.pools["tactile"](batch)
        none, _ = network.pools["tactile"](batch.masked(torch.zeros(1, 1)))
        shifts.append(float((pooled - none).detach().norm()))
    assert shifts[0] < shifts[1] < shifts[2]
    assert shifts[0] < 0.05 * shifts[2]
    assert torch.isfinite(prior).all()


def test_order_of_probes_does_not_matter(network):
    batch = random_batch()
    order = torch.tensor([2, 0, 3, 1])
    shuffled = TokenBatch(
        batch.primitive[:, order],
        {m: v[:, order] for m, v in batch.values.items()},
        {m: r[:, order] for m, r in batch.reliability.items()},
    )
    assert torch.allclose(outputs(network, batch), outputs(network, shuffled), atol=1e-5)


def test_padding_does_not_matter(network):
    batch = random_batch(probes=3)
    padded = TokenBatch(
        torch.nn.functional.pad(batch.primitive, (0, 2)),
        {m: torch.nn.functional.pad(v, (0, 0, 0, 2), value=9.0) for m, v in batch.values.items()},
        {m: torch.nn.functional.pad(r, (0, 2)) for m, r in batch.reliability.items()},
    )
    assert torch.allclose(outputs(network, batch), outputs(network, padded), atol=1e-5)


def test_temperature_flattens_the_belief(network):
    batch = random_batch()
    with torch.inference_mode():
        cold = network(batch).log_probabilities.max(1).values
        network.log_temperature.fill_(1.0)
        warm = network(batch).log_probabilities.max(1).values
        network.log_temperature.fill_(0.0)
    assert (warm < cold).all()


def probe(values: dict[Modality, np.ndarray], reliability: float = 1.0) -> ProbeFeatures:
    return ProbeFeatures(Primitive.LOOK, values, dict.fromkeys(values, reliability))


def test_batch_of_features_keeps_what_is_reliable(network):
    good = np.ones(len(FEATURE_NAMES[Modality.TACTILE]), np.float32)
    parts = [[probe({Modality.TACTILE: good})], [], [probe({Modality.TACTILE: good}, 0.0)]]
    batch = TokenBatch.of(parts, network.config)
    assert batch.reliability["tactile"][:, 0].tolist() == [1.0, 0.0, 0.0]
    assert torch.isnan(batch.values["tactile"][2]).all()
    nan_reliability = TokenBatch.of([[probe({Modality.TACTILE: good}, float("nan"))]], network.config)
    assert nan_reliability.reliability["tactile"].item() == 0.0


def test_features_of_another_length_are_refused(network):
    with pytest.raises(ConfigError, match="tactile features have shape"):
        TokenBatch.of([[probe({Modality.TACTILE: np.ones(3, np.float32)})]], network.config)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"labels": ("a",)}, "at least 2"),
        ({"labels": ("a", "a")}, "different"),
        ({"labels": LABELS, "modalities": ("smell",)}, "smell"),
        ({"labels": LABELS, "modalities": ("visual",), "experts": (("tactile",),)}, "expert"),
        ({"labels": LABELS, "feature_dims": {"visual": 2050}}, "multiple of the 4 queries"),
    ],
)
def test_impossible_configurations_are_refused(options, word):
    with pytest.raises(ConfigError, match=word):
        FusionConfig(**options)


def test_configuration_goes_through_plain_values():
    config = FusionConfig(LABELS, features=FeatureConfig(1000.0, 1600.0, 5.0), hidden=64)
    assert FusionConfig.from_dict(config.to_dict()) == config


def test_the_same_class_serves_spectra_with_labels_of_their_own():
    torch.manual_seed(0)
    config = FusionConfig.single(Modality.SPECTRAL, ("PLA", "PETG", "TPU"), "polymers", features=FeatureConfig())
    network = MultimodalFusionNetwork(config)
    rng = np.random.default_rng(0)
    grid = config.features.wavelength_nm
    labels = np.arange(60) % 3
    centres = np.array([1000.0, 1200.0, 1400.0])[labels]
    spectra = 0.5 - 0.2 * np.exp(-0.5 * ((grid - centres[:, None]) / 25) ** 2) + rng.normal(size=(60, len(grid))) / 300
    size = len(feature_names(config.features)[Modality.SPECTRAL])
    values = np.full((60, 1, size), np.nan, np.float32)
    values[:, 0, -len(grid) :] = spectra
    batch = TokenBatch(
        torch.zeros(60, 1, dtype=torch.int64), {"spectral": torch.from_numpy(values)}, {"spectral": torch.ones(60, 1)}
    )
    accuracy = train(network, batch.rows(torch.arange(30)), labels[:30], batch.rows(torch.arange(30, 60)), labels[30:])
    assert accuracy > 0.9


def train(network, batch, labels, test, test_labels, rate=3e-3, steps=40) -> float:
    network.set_normalisation(batch)
    optimiser = torch.optim.Adam(network.parameters(), rate)
    target = torch.from_numpy(np.asarray(labels))
    for _ in range(steps):
        loss = torch.nn.functional.nll_loss(network(batch).log_probabilities, target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    network.eval()
    with torch.inference_mode():
        return float((network(test).log_probabilities.argmax(1).numpy() == test_labels).mean())


def test_fusion_learns_what_no_single_modality_knows():
    """The label is the exclusive or of a tactile and a thermal sign: each alone is at chance."""
    rng = np.random.default_rng(0)
    count = 400
    signs = rng.integers(0, 2, (count, 2))
    labels = signs[:, 0] ^ signs[:, 1]
    modalities = ("tactile", "thermal")
    config = FusionConfig(("same", "other"), modalities=modalities, experts=(modalities,), properties=())
    values = {m: np.full((count, 2, len(FEATURE_NAMES[Modality(m)])), np.nan, np.float32) for m in modalities}
    reliability = {m: np.zeros((count, 2), np.float32) for m in modalities}
    for i, m in enumerate(modalities):
        values[m][:, i, 0] = 2 * signs[:, i] - 1 + 0.3 * rng.normal(size=count)
        reliability[m][:, i] = 1.0
    batch = TokenBatch(
        torch.tensor([[1, 4]]).repeat(count, 1),
        {m: torch.from_numpy(v) for m, v in values.items()},
        {m: torch.from_numpy(r) for m, r in reliability.items()},
    )
    torch.manual_seed(0)
    network = MultimodalFusionNetwork(config)
    train_rows, test_rows = torch.arange(200), torch.arange(200, 400)
    accuracy = train(
        network, batch.rows(train_rows), labels[:200], batch.rows(test_rows), labels[200:], rate=1e-3, steps=120
    )
    assert accuracy > 0.9
    one = batch.masked({"tactile": torch.ones(count, 2), "thermal": torch.zeros(count, 2)})
    with torch.inference_mode():
        alone = float((network(one).log_probabilities.argmax(1).numpy() == labels).mean())
    assert alone < 0.65


def test_normalisation_comes_from_reliable_finite_values_only(network):
    config = FusionConfig(LABELS)
    fresh = MultimodalFusionNetwork(config)
    batch = random_batch(parts=200)
    batch.values["tactile"] = 5.0 + 3.0 * batch.values["tactile"]
    bad = batch.reliability["tactile"] == 0
    batch.values["tactile"][bad] = 1e9
    targets = torch.randn(200, 6) * 2 + 1
    targets[::3, 0] = float("nan")
    fresh.set_normalisation(batch, targets)
    assert fresh.pools["tactile"].mean == pytest.approx(torch.full_like(fresh.pools["tactile"].mean, 5.0), abs=0.8)
    assert fresh.pools["tactile"].std == pytest.approx(torch.full_like(fresh.pools["tactile"].std, 3.0), abs=0.8)
    assert fresh.property_mean == pytest.approx(torch.ones(6), abs=0.6)
    assert fresh.property_std == pytest.approx(torch.full((6,), 2.0), abs=0.5)


def test_every_modality_is_encoded_in_its_documented_size(network):
    sizes = {m: features.shape for m, features in network.encode(random_batch()).items()}
    expected = {"visual": 2048, "tactile": 128, "spectral": 256, "thermal": 64, "inductive": 16}
    assert sizes == {m: (5, size) for m, size in expected.items()}
    assert sum(p.numel() for p in network.pools["visual"].parameters()) < 5e6


def with_pictures(batch: TokenBatch, seed: int = 0) -> TokenBatch:
    rng = np.random.default_rng(seed)
    maps = torch.from_numpy(rng.uniform(0, 1.5, (6, 8, 8, 8)).astype(np.float32))
    crops = torch.from_numpy(rng.integers(0, 256, (6, 64, 64, 4)).astype(np.uint8))
    index = torch.full(batch.primitive.shape, -1)
    index[:, 0] = torch.arange(len(batch))
    batch.reliability["visual"][:, 0] = 1.0
    return replace(batch, surface=Pictures(maps, index), crop=Pictures(crops, index.clone()))


@pytest.mark.parametrize("kind", ["surface", "crop"])
def test_pictures_matter_where_they_belong_and_nowhere_else(network, kind):
    batch = with_pictures(random_batch())
    before = outputs(network, batch)
    store = getattr(batch, kind).store.clone()
    store[2] = store[5]
    changed = replace(batch, **{kind: Pictures(store, getattr(batch, kind).index)})
    after = outputs(network, changed)
    keep = torch.arange(5) != 2
    assert torch.allclose(before[keep], after[keep], atol=1e-5)
    assert (before[2] - after[2]).abs().max() > 1e-4
    batch.reliability["visual"][:] = 0.0
    assert torch.equal(outputs(network, batch), outputs(network, replace(batch, surface=None, crop=None)))


def test_pictures_follow_their_parts(network):
    batch = with_pictures(random_batch())
    together = outputs(network, batch)
    order = torch.tensor([3, 1])
    assert torch.allclose(outputs(network, batch.rows(order)), together[order], atol=1e-5)


def test_a_map_that_is_not_finite_is_no_disaster(network):
    batch = with_pictures(random_batch())
    batch.surface.store[1] = float("nan")
    assert torch.isfinite(outputs(network, batch)).all()


def test_a_network_that_is_told_facts_needs_and_uses_them():
    torch.manual_seed(0)
    network = MultimodalFusionNetwork(FusionConfig(LABELS, modalities=tuple(NAMES), told=2)).eval()
    batch = random_batch()
    with pytest.raises(ValueError, match="told 2 facts"):
        network(batch)
    one = outputs(network, replace(batch, told=torch.zeros(5, 2)))
    other = outputs(network, replace(batch, told=torch.ones(5, 2)))
    assert (one - other).abs().max() > 1e-4
