"""Spectral encoder and training on measured spectra: invariances, balance, leakage, the online path."""

import numpy as np
import pytest
import torch

from palpate_agents.data import SpectraDataset
from palpate_agents.encoders.features import PartContext, extract
from palpate_agents.encoders.spectral import SpectralEncoder, derivative_filters, fill_gaps
from palpate_agents.errors import ConfigError, DataError
from palpate_agents.model_io import load_model, save_model
from palpate_agents.observation import Outcome, Primitive, ProbeExecution, ProbeWindows, SpectrumSample
from palpate_agents.signature import compute_belief
from palpate_agents.spectra_training import (
    Disturbance,
    SpectraTraining,
    feature_config,
    item_belief,
    leave_item_out,
    predict,
    train_spectral_model,
    training_record,
)

GRID = np.linspace(1500.0, 1900.0, 101)
BANDS = {"PP": (1600.0, 1720.0), "PET": (1660.0, 1800.0), "PS": (1640.0, 1680.0)}


def reflectance(label, rng, colour=0.0, depth=1.0):
    """Two absorption bands on a sloping background; colour and depth belong to an object."""
    out = 0.8 + colour * (GRID - 1700.0) / 400.0
    for centre in BANDS[label]:
        out = out - 0.2 * depth * np.exp(-(((GRID - centre) / 18.0) ** 2))
    return out + 0.002 * rng.standard_normal(len(GRID))


@pytest.fixture(scope="module")
def dataset():
    """Three polymers, three objects each that differ more in colour than the polymers do, four spectra each."""
    rng = np.random.default_rng(1)
    rows = []
    for label in BANDS:
        for item in range(3):
            colour, depth = rng.uniform(-1, 1), rng.uniform(0.3, 1.0)
            rows += [(label, f"{label} {item}", reflectance(label, rng, colour, depth)) for _ in range(4)]
    labels, groups, values = zip(*rows, strict=True)
    return SpectraDataset(
        name="made", label=np.array(labels), group=np.array(groups), condition=np.full(len(rows), ""),
        wavelength_nm=GRID, values=np.stack(values),
    )  # fmt: skip


QUICK = SpectraTraining(steps=50, batch=32)


@pytest.fixture(scope="module")
def network(dataset):
    return train_spectral_model(dataset, seed=0, options=QUICK)


class TestEncoder:
    def encode(self, values):
        torch.manual_seed(0)
        return SpectralEncoder(GRID).eval()(torch.as_tensor(np.atleast_2d(values), dtype=torch.float32))

    def test_gain_and_offset_change_nothing(self):
        spectrum = reflectance("PP", np.random.default_rng(0))
        np.testing.assert_allclose(
            self.encode(65535 * spectrum - 900).detach(), self.encode(spectrum).detach(), atol=2e-3
        )

    def test_a_small_axis_error_moves_it_less_than_another_material(self):
        clean = {
            label: 0.8 - sum(0.2 * np.exp(-(((GRID - c) / 18.0) ** 2)) for c in centres)
            for label, centres in BANDS.items()
        }
        here = self.encode(clean["PP"])
        moved = self.encode(np.interp(GRID + 8.0, GRID, clean["PP"]))
        others = [torch.dist(here, self.encode(clean[label])) for label in ("PET", "PS")]
        assert torch.dist(here, moved) < 0.5 * min(others)

    def test_derivatives_are_derivatives(self):
        filters = derivative_filters(2.0)[:, 0]
        x = np.arange(filters.shape[1]) - filters.shape[1] // 2
        constant, slope, curve = filters.sum(axis=1), filters @ x, filters @ x**2
        np.testing.assert_allclose(constant, 0.0, atol=1e-12)
        assert np.all(slope[0::2] > 0)
        assert np.all(curve[1::2] > 0)
        np.testing.assert_allclose(np.r_[slope[1::2], curve[0::2]], 0.0, atol=1e-12)

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    def test_a_gap_hardly_matters(self, bad):
        spectrum = reflectance("PET", np.random.default_rng(0))
        holed = spectrum.copy()
        holed[[0, 40, 41, 100]] = bad
        whole, other = self.encode(spectrum), self.encode(reflectance("PP", np.random.default_rng(0)))
        assert torch.dist(whole, self.encode(holed)) < 0.25 * torch.dist(whole, other)

    def test_mostly_missing_is_zero_and_touches_no_neighbour(self):
        spectrum = reflectance("PP", np.random.default_rng(0))
        dead, half = np.full(101, np.nan), np.where(np.arange(101) % 2, np.nan, spectrum)
        out = self.encode(np.stack([spectrum, dead, half]))
        assert torch.equal(out[1:], torch.zeros(2, 256))
        np.testing.assert_allclose(out[0].detach(), self.encode(spectrum)[0].detach(), atol=1e-5)

    def test_flat_and_huge_spectra_stay_finite(self):
        values = np.stack([np.zeros(101), np.full(101, 65535.0), np.linspace(0, 1e30, 101), np.full(101, 1e-20)])
        assert torch.isfinite(self.encode(values)).all()

    def test_gaps_are_filled_on_the_line_between_neighbours(self):
        nan = float("nan")
        filled = fill_gaps(torch.tensor([[nan, 1.0, nan, nan, 4.0, nan], [nan] * 6]))
        assert filled.tolist() == [[1.0, 1.0, 2.0, 3.0, 4.0, 4.0], [0.0] * 6]

    @pytest.mark.parametrize(
        ("grid", "message"),
        [
            (GRID[:10], "at least 16 channels"),
            (GRID[::-1], "finite and ascending"),
            (np.r_[GRID[:-1], np.nan], "finite and ascending"),
            (np.geomspace(900, 2500, 100) ** 3, "resample them to an even grid"),
        ],
    )
    def test_bad_grid(self, grid, message):
        with pytest.raises(DataError, match=message):
            SpectralEncoder(grid)

    def test_wrong_length(self):
        with pytest.raises(DataError, match=r"takes \(batch, 101\) spectra, got \(1, 100\); resample"):
            self.encode(np.ones(100))


class TestDisturbance:
    def draws(self, **options):
        calm = {"mix": 0.0, "transfer": 0.0, "background": 0.0, "axis_nm": 0.0, "noise": 0.0} | options
        # Class 0 has one object of 90 spectra, class 1 objects of 9 and 1; a spectrum is a spike that names its object.
        group = np.array(["a"] * 90 + ["b"] * 9 + ["c"])
        spectra = np.eye(16)[np.repeat([0, 1, 2], [90, 9, 1])]
        label = np.repeat([0, 1, 1], [90, 9, 1])
        return Disturbance(spectra, label, group, 4.0, SpectraTraining(**calm), np.random.default_rng(0))

    def test_classes_then_objects_are_balanced_whatever_their_number_of_spectra(self):
        x, label = self.draws().batch(4000)
        spike = x.argmax(dim=1)
        share = [float((spike == k).float().mean()) for k in range(3)]
        assert share == pytest.approx([0.5, 0.25, 0.25], abs=0.03)
        assert torch.equal(label, (spike > 0).long())

    def test_mixing_stays_within_the_class(self):
        x, label = self.draws(mix=1.0).batch(500)
        first, second = x[label == 0], x[label == 1]
        np.testing.assert_allclose(first - first[:1], 0.0, atol=1e-5)
        assert (second[:, 0] < 0).all()
        assert ((second[:, 1] > 0) & (second[:, 2] > 0)).any()

    def test_transfer_adds_what_differs_within_a_class_to_any_class(self):
        draws = self.draws(transfer=1.0)
        x, label = draws.batch(500)
        difference = x[label == 0].numpy() - draws.spectra[0]
        # Objects b and c differ in channels 1 and 2, with opposite signs, and nowhere else.
        np.testing.assert_allclose(difference[:, 1], -difference[:, 2], atol=1e-5)
        assert difference[:, 1].std() > 1.0
        assert np.abs(difference[:, 3:]).max() < 1e-5

    def test_axis_error_is_bounded_and_two_sided(self):
        ramp = np.tile(np.linspace(0, 1, 101), (2, 1))
        options = SpectraTraining(mix=0, transfer=0, background=0, noise=0, axis_nm=4.0)
        draws = Disturbance(ramp, np.array([0, 1]), np.array(["a", "b"]), 4.0, options, np.random.default_rng(0))
        x, _ = draws.batch(400)
        channels = (x[:, 50] - draws.spectra[0][50]) / (draws.spectra[0][51] - draws.spectra[0][50])
        assert -1.0 - 1e-5 < channels.min() < -0.9
        assert 0.9 < channels.max() < 1.0 + 1e-5


class TestTraining:
    def test_recognises_objects_it_never_saw(self, dataset):
        log_belief = leave_item_out(dataset, 0, QUICK)
        right = np.array(dataset.labels)[log_belief.argmax(axis=1)] == dataset.label
        assert right.mean() > 0.9
        np.testing.assert_allclose(np.exp(log_belief).sum(axis=1), 1.0, rtol=1e-5)

    def test_the_left_out_object_has_no_influence(self, dataset, monkeypatch):
        from palpate_agents import spectra_training

        seen = {}

        def spy(training, seed, options, labels):
            seen[len(seen)] = training.groups
            return train_spectral_model(training, seed, SpectraTraining(steps=1), labels)

        monkeypatch.setattr(spectra_training, "train_spectral_model", spy)
        recognised = []
        leave_item_out(dataset, 0, QUICK, recognised.append)
        assert recognised == list(dataset.groups)
        for number, group in enumerate(dataset.groups):
            assert set(seen[number]) == set(dataset.groups) - {group}

    def test_shuffled_labels_give_chance(self, dataset):
        # Objects keep one label each, but at random: what is left is 1 in 3 or less.
        rng = np.random.default_rng(5)
        shuffled = dict(zip(dataset.groups, rng.permutation([g.split()[0] for g in dataset.groups]), strict=True))
        label = np.array([shuffled[g] for g in dataset.group])
        other = SpectraDataset(
            name="shuffled", label=label, group=dataset.group, condition=dataset.condition,
            wavelength_nm=GRID, values=dataset.values,
        )  # fmt: skip
        log_belief = leave_item_out(other, 0, QUICK)
        assert (np.array(other.labels)[log_belief.argmax(axis=1)] == label).mean() < 0.6

    def test_same_seed_same_model(self, dataset, network):
        again = train_spectral_model(dataset, seed=0, options=QUICK)
        for one, other in zip(network.state_dict().values(), again.state_dict().values(), strict=True):
            assert torch.equal(one, other)
        before = torch.get_rng_state()
        different = train_spectral_model(dataset, seed=1, options=QUICK)
        assert torch.equal(before, torch.get_rng_state())
        assert not np.allclose(predict(different, dataset), predict(network, dataset))

    def test_level_and_slope_do_not_matter(self, dataset, network):
        part = dataset.take(np.arange(4))
        dark = SpectraDataset(
            name="dark", label=part.label, group=part.group, condition=part.condition, wavelength_nm=GRID,
            values=0.1 * part.values + 0.02,
        )  # fmt: skip
        np.testing.assert_allclose(predict(network, dark), predict(network, part), atol=2e-2)

    def test_label_set_larger_than_the_training_set(self, dataset):
        model = train_spectral_model(dataset, 0, SpectraTraining(steps=1), ("PET", "PLA", "PP", "PS"))
        assert model.config.labels == ("PET", "PLA", "PP", "PS")
        with pytest.raises(DataError, match="label 'PET' is not in the label set PP, PS"):
            train_spectral_model(dataset, 0, QUICK, ("PP", "PS"))
        with pytest.raises(ConfigError, match="at least 2"):
            train_spectral_model(dataset.take(dataset.label == "PP"), 0, QUICK)

    def test_grid_of_a_long_uneven_axis(self, dataset):
        wavelengths = 1e7 / np.linspace(12000, 4000, 4149)
        values = np.tile(np.linspace(0.2, 0.8, 4149), (2, 1))
        data = SpectraDataset(name="n", label=np.array(["a", "b"]), group=np.array(["a", "b"]),
                              condition=np.array(["", ""]), wavelength_nm=wavelengths, values=values)  # fmt: skip
        grid = feature_config(data).wavelength_nm
        assert len(grid) == 256
        assert (grid[0], grid[-1]) == pytest.approx((wavelengths[0], wavelengths[-1]))
        assert not feature_config(data).accept_counts

    def test_item_belief_is_the_normalised_geometric_mean(self):
        belief = item_belief(np.log([[0.8, 0.2], [0.2, 0.8], [0.5, 0.5]]))
        np.testing.assert_allclose(belief, [0.5, 0.5])
        repeated = item_belief(np.log([[0.8, 0.2]] * 20))
        np.testing.assert_allclose(repeated, [0.8, 0.2])  # 20 scans of one spot are no more than one


def test_saved_model_gives_online_what_was_measured_offline(dataset, network, tmp_path):
    """Message precision (float32), the stack's feature function and a model from disk: the same belief."""
    save_model(network, tmp_path, "made", training_record(dataset, 0, QUICK))
    loaded = load_model(tmp_path)
    assert loaded.card["training"]["groups"] == list(dataset.groups)
    offline = predict(network, dataset)
    for row in (0, 17, 35):
        sample = SpectrumSample(
            GRID.astype(np.float32).astype(float), dataset.values[row].astype(np.float32).astype(float)
        )
        windows = ProbeWindows(spectra=[sample])
        context = PartContext(config=loaded.config.features)
        probe = extract(ProbeExecution(Primitive.LOOK, Outcome.SUCCEEDED, 0, 1), windows, context)
        belief = compute_belief(loaded, [probe])
        np.testing.assert_allclose(belief.probabilities, np.exp(offline[row]), atol=2e-4)
        assert belief.label_set == "made"
