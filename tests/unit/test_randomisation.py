import json
from importlib.resources import files

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palpate_sim import randomisation as rand
from palpate_sim.randomisation import Distribution

KINDS = {"uniform": (1.0, 3.0), "loguniform": (0.1, 10.0), "normal": (2.0, 0.5), "lognormal": (2.0, 0.5)}


@pytest.mark.parametrize("kind", KINDS)
def test_values_at_quantiles(kind):
    a, b = KINDS[kind]
    entry = Distribution(kind, a, b, "1", "test")
    low, middle, high = entry.at(np.array([1e-9, 0.5, 1.0 - 1e-9]))
    expected = {
        "uniform": (1.0, 2.0, 3.0),
        "loguniform": (0.1, 1.0, 10.0),
        "normal": (0.5, 2.0, 3.5),
        "lognormal": (2.0 * np.exp(-1.5), 2.0, 2.0 * np.exp(1.5)),
    }[kind]
    assert (low, middle, high) == pytest.approx(expected, rel=1e-6)


@given(kind=st.sampled_from(sorted(KINDS)), u=st.lists(st.floats(1e-12, 1.0 - 1e-12), min_size=2, max_size=9))
def test_values_rise_with_the_uniform_number_and_one_is_as_many(kind, u):
    entry = Distribution(kind, *KINDS[kind], "1", "test")
    numbers = np.sort(np.array(u))
    values = entry.at(numbers)
    assert np.all(np.diff(values) >= 0.0)
    assert np.array_equal(values, [entry.at(number) for number in numbers])
    row = rand.Table({"other": Distribution("uniform", 0.0, 1.0, "1", "test"), "this": entry}).at(
        np.stack([numbers, numbers])
    )[1]
    assert row == pytest.approx(values, rel=1e-12)


def test_uniform_numbers_give_the_mean_and_the_spread():
    rng = np.random.default_rng(0)
    entry = Distribution("normal", 2.0, 0.5, "1", "test")
    drawn = entry.at(rng.random(4000))
    assert np.mean(drawn) == pytest.approx(2.0, abs=0.03)
    assert np.std(drawn) == pytest.approx(0.5, rel=0.05)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("triangular", 0.0, 1.0), "'triangular' is not one of uniform, loguniform, normal, lognormal"),
        (("uniform", 2.0, 1.0), r"uniform\(2.0, 1.0\): a must not be above b"),
        (("loguniform", 0.0, 1.0), "a must be above 0"),
        (("loguniform", 2.0, 1.0), "a must not be above b"),
        (("normal", 0.0, -1.0), "must not be negative"),
        (("lognormal", -1.0, 1.0), "a must be above 0"),
        (("uniform", 0.0, float("inf")), "must be finite"),
        (("normal", float("nan"), 1.0), "must be finite"),
    ],
)
def test_impossible_distributions_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Distribution(*arguments, "1", "test")


def test_every_distribution_has_unit_and_source():
    for table in (rand.PART, rand.GEOMETRY, rand.DEVICE):
        for name, entry in table.items():
            assert entry.unit, name
            assert len(entry.source) >= 5, name
    for mix in rand.CONDITION_MIX.values():
        assert sum(mix.values()) == pytest.approx(1.0)
    assert sum(rand.LOT_VARIANCE.values()) == pytest.approx(1.0)


def test_the_committed_model_was_trained_on_these_distributions():
    """Frozen before models are trained: who changes a distribution trains anew and says why in docs/decisions.md."""
    card = json.loads((files("palpate_agents") / "models" / "cell29" / "card.json").read_text())
    assert card["training"]["data"]["randomisation_hash"] == rand.randomisation_hash()
