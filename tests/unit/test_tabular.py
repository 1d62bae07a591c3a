"""The tabular encoder and its training: rows apart, scales, ties, gaps, what it learns, how the stack is weighted."""

import numpy as np
import pytest
import torch

from palpate_agents.encoders.tabular import KNOTS, TabularEncoder
from palpate_agents.errors import ConfigError, DataError, ModelError
from palpate_agents.table_training import (
    TableStack,
    TableTraining,
    mixture_weights,
    network_belief,
    stratified_folds,
    train_table_network,
    trees_part,
)

SMALL = TableTraining(steps=150, epochs=1, width=32, out_dim=32, members=2)


def table(rows=60, seed=0):
    """Columns of a process: even, heavy-tailed, tied to a few steps, far from zero."""
    rng = np.random.default_rng(seed)
    return np.stack(
        [
            rng.normal(size=rows),
            np.exp(3 * rng.normal(size=rows)),
            rng.integers(0, 3, rows) * 0.052 + 6.084,
            1.6e9 + rng.uniform(0, 10, rows),
        ],
        axis=1,
    )


def encoder(values, **sizes):
    torch.manual_seed(0)
    return TabularEncoder(values.shape[1], **sizes).fit(values).eval()


def test_features_are_512_and_depend_on_every_column():
    values = torch.from_numpy(table())
    model = encoder(values.numpy(), members=3)
    features = model(values)
    assert features.shape == (60, 512)
    assert model.members_features(values).shape == (60, 3, 512)
    for column in range(4):
        moved = values.clone()
        moved[:, column] = values[:, column].flip(0)
        changed = (model(moved) - features).abs().amax(dim=1) > 1e-5
        assert torch.equal(changed, moved[:, column] != values[:, column])


@pytest.mark.parametrize("training", [True, False])
def test_a_row_never_changes_another(training):
    values = torch.from_numpy(table())
    model = encoder(values.numpy(), dropout=0.0).train(training)
    moved = values.clone()
    moved[7] = torch.tensor([50.0, torch.nan, -3.0, 0.0])
    difference = (model(moved) - model(values)).abs().amax(dim=1)
    assert difference[7] > 1e-3
    others = torch.arange(60) != 7
    assert difference[others].max() < 1e-6
    assert torch.allclose(model(values[3:4]), model(values)[3:4], atol=1e-5)


def test_levels_are_ranks_whatever_the_scale():
    values = table(rows=400)
    model = encoder(values)
    level, known = model.levels(torch.from_numpy(values))
    assert bool(known.all())
    for column in (0, 1, 3):
        rank = values[:, column].argsort().argsort() / 399
        assert np.abs(level[:, column].numpy() - rank).max() < 1.5 / KNOTS
    # Any increasing change of units leaves the levels where they were.
    celsius = 1.8 * values + 32
    again, _ = encoder(celsius).levels(torch.from_numpy(celsius))
    assert torch.allclose(level, again, atol=1e-5)


def test_ties_stand_in_the_middle_of_their_levels():
    column = np.repeat([1.0, 2.0, 3.0], [200, 100, 100])[:, None]
    level, _ = encoder(column).levels(torch.tensor([[1.0], [2.0], [3.0], [0.0], [9.0]], dtype=torch.float64))
    assert level[:, 0].numpy() == pytest.approx([0.25, 0.625, 0.875, 0.0, 1.0], abs=0.01)


def test_a_constant_column_has_one_level():
    level, _ = encoder(np.full((20, 1), 5.0)).levels(torch.tensor([[5.0]], dtype=torch.float64))
    assert level.item() == pytest.approx(0.5)


def test_missing_numbers_give_finite_features_of_their_own():
    values = table()
    values[:, 1] = np.nan  # never measured in training
    model = encoder(values)
    rows = torch.from_numpy(table()[:4])
    rows[1, 0], rows[2, 3], rows[3] = torch.nan, torch.inf, torch.nan
    features = model(rows)
    assert bool(torch.isfinite(features).all())
    replaced = rows.clone()
    replaced[1, 0] = float(np.median(values[:, 0]))
    assert (model(replaced)[1] - features[1]).abs().max() > 1e-3  # a gap is not an average value
    infinite = rows.clone()
    infinite[2, 3] = torch.nan
    assert torch.equal(model(infinite)[2], features[2])


def test_quantiles_travel_with_the_weights():
    values = table()
    trained = encoder(values)
    loaded = TabularEncoder(4)
    loaded.load_state_dict(trained.state_dict())
    rows = torch.from_numpy(values)
    assert torch.equal(loaded.eval()(rows), trained(rows))


def test_wrong_use_is_refused():
    with pytest.raises(ConfigError, match="members = 0"):
        TabularEncoder(3, members=0)
    with pytest.raises(ModelError, match="call fit"):
        TabularEncoder(3)(torch.zeros(1, 3))
    with pytest.raises(DataError, match=r"\(rows, 3\).*\(5, 4\)"):
        TabularEncoder(3).fit(np.zeros((5, 4)))
    with pytest.raises(DataError, match=r"\(rows, 4\).*\(5, 3\)"):
        encoder(table())(torch.zeros(5, 3))


def ring(rows=400, seed=0):
    """Class 1 is a ring in columns of very different scale: no threshold on one column tells it."""
    rng = np.random.default_rng(seed)
    point = rng.uniform(-1, 1, (rows, 2))
    values = np.stack([900 + 40 * point[:, 0], 0.01 * point[:, 1], rng.normal(size=rows)], axis=1)
    return values, (np.hypot(*point.T) > 0.8).astype(int)


def test_network_learns_what_no_single_column_tells():
    values, target = ring()
    network = train_table_network(values, target, 2, seed=0, options=SMALL)
    unseen, truth = ring(seed=1)
    belief = network_belief(network, unseen)
    assert np.allclose(belief.sum(axis=1), 1)
    assert (belief.argmax(axis=1) == truth).mean() > 0.9
    gaps = unseen.copy()
    gaps[:, 2] = np.nan  # carries nothing about the class
    assert (network_belief(network, gaps).argmax(axis=1) == truth).mean() > 0.85


def test_training_is_reproducible_and_leaves_the_chance_of_others_alone():
    values, target = ring(100)
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    options = TableTraining(steps=5, epochs=1, width=16, out_dim=16, members=2)
    first, second, other = (train_table_network(values, target, 2, seed, options) for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert np.array_equal(network_belief(first, values), network_belief(second, values))
    assert not np.allclose(network_belief(first, values), network_belief(other, values))


def test_training_refuses_classes_it_cannot_name():
    with pytest.raises(DataError, match="0 to 1, got 0 to 2"):
        train_table_network(np.zeros((3, 2)), np.array([0, 1, 2]), 2, 0)
    with pytest.raises(ConfigError, match="two or more"):
        train_table_network(np.zeros((3, 2)), np.zeros(3, int), 1, 0)
    with pytest.raises(DataError, match="one class per row"):
        train_table_network(np.zeros((3, 2)), np.zeros(4, int), 2, 0)


def test_folds_keep_groups_whole_and_classes_even():
    target = np.repeat([0, 1], 50)
    own = np.array([f"row {i}" for i in range(100)])
    for train, test in stratified_folds(target, own, 5, 0):
        assert np.bincount(target[test]).tolist() == [10, 10]
        assert not set(train) & set(test)
    shared = np.array([f"part {i // 5}" for i in range(100)])
    seen = []
    for train, test in stratified_folds(target, shared, 5, 0):
        assert not set(shared[train]) & set(shared[test])
        seen += list(test)
    assert sorted(seen) == list(range(100))
    with pytest.raises(DataError, match="at least 5 rows or groups, got 2"):
        stratified_folds(target[:10], np.repeat(["a", "b"], 5), 5, 0)


def test_mixture_weights_find_the_better_part():
    rng = np.random.default_rng(0)
    good, poor = rng.uniform(0.6, 1.0, 500), rng.uniform(0.1, 0.5, 500)
    assert mixture_weights(np.stack([good, poor])) == pytest.approx([1.0, 0.0], abs=0.01)
    # Two parts that are right on different halves: both are needed, in equal shares.
    half = np.where(np.arange(500) < 250, 0.9, 0.01)
    assert mixture_weights(np.stack([half, half[::-1]])) == pytest.approx([0.5, 0.5], abs=0.01)
    # Nothing is infinitely wrong: one belief of 0 does not exclude a part for good.
    spoilt = np.r_[0.0, np.full(499, 0.9)]
    assert mixture_weights(np.stack([spoilt, np.full(500, 0.7)]))[0] > 0.9


def test_stack_weighs_by_rows_that_no_part_saw():
    class Memory:
        """Knows every row it was given by heart, and guesses else."""

        def fit(self, values, target):
            self.known, self.classes_ = {tuple(v): t for v, t in zip(values, target, strict=True)}, np.arange(2)
            return self

        def predict_proba(self, values):
            answer = np.array([self.known.get(tuple(v), -1) for v in values])
            return np.where(answer[:, None] == -1, 0.5, answer[:, None] == self.classes_)

    class Rule:
        """True of the class, and not sure of it."""

        def fit(self, values, target):
            self.classes_ = np.arange(2)
            return self

        def predict_proba(self, values):
            high = 0.2 + 0.6 * (values[:, 0] > 0)
            return np.stack([1 - high, high], axis=1)

    values = table(rows=90)
    target = (values[:, 0] > 0).astype(int)
    group = np.array([f"row {i}" for i in range(90)])
    parts = {"memory": trees_part(lambda _seed: Memory()), "rule": trees_part(lambda _seed: Rule())}
    stack = TableStack(parts).fit(values, target, group, 2, 0)
    assert stack.weights["rule"] > 0.95
    unseen = table(rows=50, seed=3)
    belief = stack.mix(stack.part_beliefs(unseen))
    assert np.array_equal(belief.argmax(axis=1), unseen[:, 0] > 0)


def test_a_part_may_lack_a_class():
    from sklearn.tree import DecisionTreeClassifier

    belief = trees_part(lambda seed: DecisionTreeClassifier(random_state=seed))(table(10), np.repeat([0, 2], 5), 3, 0)
    assert belief(table(4)).shape == (4, 3)
    assert np.allclose(belief(table(4))[:, 1], 0)
