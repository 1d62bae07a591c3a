"""What a signature says reaches the results whole, and a comparison of two signatures misses no number."""

from __future__ import annotations

import numpy as np
import pytest

from palpate_interfaces.action import CharacterizeMaterial
from palpate_interfaces.msg import MaterialSignature
from palpate_nodes.bag.compare import NUMBERS, largest_difference
from palpate_nodes.results import read_csv, read_results
from palpate_nodes.session_log import SessionLog


def signature(**changes) -> MaterialSignature:
    fields = {
        "material": "PP", "confidence": 0.75, "labels": ["PP", "PS"], "probabilities": [0.75, 0.25],
        "property_names": ["friction"], "property_values": [0.3], "property_std": [0.05],
        "condition_names": ["painted", "wet"], "condition_probabilities": [0.875, 0.125], "novelty": 0.25,
        "novelty_limit": 0.5, "modalities": ["visual", "spectral"], "modality_reliabilities": [1.0, 0.5],
        "modality_contributions": [1.5, -0.25], "embedding": [1.0, 2.0], "probes": 1, "model_name": "m",
        "model_hash": "ab" * 32,
    }  # fmt: skip
    return MaterialSignature(**(fields | changes))


def numeric_fields() -> list[str]:
    kinds = MaterialSignature.get_fields_and_field_types()
    return [name for name, kind in kinds.items() if "float" in kind or "double" in kind]


def test_every_number_of_a_signature_is_compared():
    assert set(NUMBERS) == set(numeric_fields())


@pytest.mark.parametrize("name", NUMBERS)
def test_a_change_of_any_number_is_found(name):
    first = signature()
    before = getattr(first, name)
    changed = before + 0.01 if isinstance(before, float) else [value + 0.01 for value in before]
    assert largest_difference(first, signature()) == 0.0
    assert largest_difference(first, signature(**{name: changed})) == pytest.approx(0.01, abs=1e-6)


@pytest.mark.parametrize(
    "name", [name for name in NUMBERS if not isinstance(getattr(MaterialSignature(), name), float)]
)
def test_other_sizes_are_infinitely_different(name):
    assert largest_difference(signature(), signature(**{name: [0.5] * 7})) == np.inf


@pytest.mark.parametrize(("value", "limit", "told"), [(0.25, 0.5, True), (0.0, 1.0, False), (0.0, 0.0, False)])
def test_condition_novelty_and_contributions_are_in_json_and_csv(tmp_path, value, limit, told):
    log = SessionLog(tmp_path, "s", "sim")
    result = CharacterizeMaterial.Result(success=True, signature=signature(novelty=value, novelty_limit=limit))
    log.add(0, "part_0", result, None, (), 1.0)
    part = read_results(tmp_path).parts[0]
    assert part.condition_probabilities == {"painted": 0.875, "wet": 0.125}
    assert part.contributions == {"visual": 1.5, "spectral": -0.25}
    assert (part.novelty, part.novelty_limit) == ((value, limit) if told else (None, None))
    assert read_csv(tmp_path)[0] == part
    assert "condition_probabilities" in (tmp_path / "results.csv").read_text().splitlines()[0]


def test_a_part_that_failed_has_no_conclusions(tmp_path):
    log = SessionLog(tmp_path, "s", "sim")
    log.add(0, "part_0", CharacterizeMaterial.Result(message="dropped"), None, (), 1.0)
    part = read_results(tmp_path).parts[0]
    assert part.error == "dropped"
    assert part.condition_probabilities == part.contributions == {}
    assert part.novelty is None
