"""`modalities`: how much each sensor alone, and sets of them, can tell of 29 materials, per condition of the part.

A well-tuned plain classifier is trained on the mix of conditions and measured on new parts of one condition each. It
says whether the simulated sensors see what physics lets them see: a figure that is too good is a leak, one that is too
bad is a sensor that is broken. Parts of `aged` and spectrometers shifted by 8 nm are never trained on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palpate_agents.benchmarks.spectra import interval_over_objects
from palpate_agents.encoders.features import FeatureConfig, feature_names
from palpate_agents.encoders.reflectance import LEVEL_NAMES
from palpate_agents.materials import MATERIALS, material
from palpate_agents.observation import Modality
from palpate_sim.benchmarks.classifiers import fit_tuned, spectral_shape
from palpate_sim.benchmarks.probed_parts import NEW_LOTS, ProbedParts, probe_parts
from palpate_sim.library import PartLibrary

Array = NDArray[np.floating]

CONDITIONS = ("clean", "black", "wet", "painted", "aged", "shifted_8nm")
SHIFT_NM = 8.0
SIZE_COLUMNS = ("length_mm", "width_mm", "height_mm", "log10_volume_mm3", "fill_fraction")
"""What a picture says of the shape; left out of `vision`, since shape and material go together by habit only."""


@dataclass(frozen=True)
class Sensor:
    """Columns that a classifier may use.

    Attributes:
        probes: names of probes in `ProbedParts.features`.
        drop: columns left out.
    """

    probes: tuple[str, ...]
    drop: tuple[str, ...] = ()


SENSORS: dict[str, Sensor] = {
    "press": Sensor(("press",)),
    "tap": Sensor(("tap",)),
    "slide": Sensor(("slide",)),
    "density": Sensor(("lift",)),
    "heat": Sensor(("dwell_hot", "dwell_warm")),
    "nir": Sensor(("nir",)),
    "vision": Sensor(("vision",), SIZE_COLUMNS),
    "inductive": Sensor(("inductive",)),
    "touch": Sensor(("press", "tap", "slide", "lift")),
    "tactile_heat": Sensor(("press", "tap", "slide", "dwell_hot", "dwell_warm")),
    "touch_heat": Sensor(("press", "tap", "slide", "lift", "dwell_hot", "dwell_warm")),
    "all": Sensor(("press", "tap", "slide", "lift", "dwell_hot", "dwell_warm", "nir", "vision"), SIZE_COLUMNS),
    "all_inductive": Sensor(
        ("press", "tap", "slide", "lift", "dwell_hot", "dwell_warm", "nir", "vision", "inductive"), SIZE_COLUMNS
    ),
}
"""Each sensor alone, and sets. `tactile_heat` is everything that touches except weighing."""

BANDS: dict[str, tuple[float, float]] = {
    "press_mix": (0.15, 0.30),
    "tap_mix": (0.40, 0.65),
    "tactile_heat_mix": (0.55, 0.80),
    "nir_clean_polymers": (0.90, 1.0),
    "nir_black_polymers": (0.0, 0.25),
}
"""Expected from the physics; a figure outside is explained in docs/physics.md."""


PREFIXES: dict[str, tuple[Modality, tuple[str, ...]]] = {
    "press": (Modality.TACTILE, ("press_",)),
    "tap": (Modality.TACTILE, ("tap_",)),
    "slide": (Modality.TACTILE, ("slide_",)),
    "lift": (Modality.TACTILE, ("lift_",)),
    "dwell_hot": (Modality.THERMAL, ("pad_", "heater_", "spot_")),
    "dwell_warm": (Modality.THERMAL, ("pad_", "heater_", "pair_", "spot_")),
    "thermal_look": (Modality.THERMAL, ("part_",)),
    "vision": (Modality.VISUAL, ("",)),
}
"""Which columns a probe measures; the first of two warm touches has no pair."""


def columns_of(parts: ProbedParts, sensor: Sensor) -> Array:
    """(N, F) features of a sensor; spectra as chemometrics prepares them."""
    names = feature_names(FeatureConfig())
    blocks = []
    for probe in sensor.probes:
        values = parts.features[probe]
        if probe == "nir":
            levels = len(LEVEL_NAMES)
            values = np.column_stack([values[:, :levels], spectral_shape(values[:, levels:])])
        elif probe in PREFIXES:
            modality, prefixes = PREFIXES[probe]
            columns = [n.startswith(prefixes) and n not in sensor.drop for n in names[modality]]
            values = values[:, columns]
        blocks.append(values)
    return np.column_stack(blocks)


def bench_modalities(
    library: PartLibrary, seeds: Sequence[int], parts: int = 12_000, parts_per_condition: int = 1_500, jobs: int = 2,
    progress: Callable[[str], None] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Accuracy of every sensor and set on every condition.

    Args:
        library: geometry of the parts.
        seeds: one training and one set of new parts each.
        parts: training parts per seed.
        parts_per_condition: new parts of each condition and of the mix, per seed.
        jobs: threads of the classifiers.
        progress: called with one line per finished step.

    Returns:
        content of the result file; intervals by bootstrap over parts.
    """
    say = progress or (lambda _line: None)
    began = time.perf_counter()
    right: dict[str, list[Array]] = {}
    chosen: dict[str, list[str]] = {}
    for seed in seeds:
        train = probe_parts(library, seed, range(parts))
        tests = test_sets(library, seed, parts, parts_per_condition)
        say(f"seed {seed}: {len(train)} training parts and {sum(map(len, tests.values()))} new parts probed")
        for name, sensor in SENSORS.items():
            model = fit_tuned(columns_of(train, sensor), train.material, seed, jobs)
            chosen.setdefault(name, []).append(model.name)
            line = []
            for condition, new in tests.items():
                hit = (model.predict(columns_of(new, sensor)) == new.material).astype(float)
                right.setdefault(f"{name}_{condition}", []).append(hit)
                line.append(f"{condition} {hit.mean():.3f}")
            if name == "nir":
                _polymers(right, model, tests, sensor)
            say(f"seed {seed} {name}: {', '.join(line)} ({model.name})")
    metrics = {name: _interval(hits) for name, hits in right.items()}
    for name, (low, high) in BANDS.items():
        if not low <= metrics[name]["value"] <= high:
            say(f"{name} is {metrics[name]['value']:.3f}, expected {low:g} to {high:g}")
    chance = float(np.mean([np.bincount(t.material).max() / len(t) for t in tests.values()]))
    return {
        "benchmark": "modalities",
        "seeds": list(seeds),
        "metrics": metrics,
        "baselines": {"most_frequent": {"accuracy": {"value": chance, "low": chance, "high": chance, "n": len(seeds)}}},
        "bands": {name: {"low": low, "high": high} for name, (low, high) in BANDS.items()},
        "classifiers": chosen,
        "training_parts": parts,
        "wall_s": round(time.perf_counter() - began, 1),
    }


def test_sets(library: PartLibrary, seed: int, first: int, count: int) -> dict[str, ProbedParts]:
    """New parts: mix, each condition, a shifted spectrometer, later lots, and equally painted and shaped ones."""
    sets = {"mix": probe_parts(library, seed, range(first, first + count))}
    for number, condition in enumerate(CONDITIONS[:-1], start=1):
        start = first + number * count
        sets[condition] = probe_parts(library, seed, range(start, start + count), condition=condition)
    start = first + len(CONDITIONS) * count
    sets["shifted_8nm"] = probe_parts(library, seed, range(start, start + count), shift_nm=SHIFT_NM)
    start += count
    sets["new_lots"] = probe_parts(library, seed, range(start, start + count), lots=NEW_LOTS)
    start += count
    sets["painted_same_shapes"] = probe_parts(
        library, seed, range(start, start + count), condition="painted", intact_paint=True
    )
    return sets


def _polymers(right: dict[str, list[Array]], model: Any, tests: dict[str, ProbedParts], sensor: Sensor) -> None:
    """NIR on polymers alone: what it is made for, and what carbon black takes from it."""
    polymer = np.array([material(name).family in ("polymer", "blend") for name in MATERIALS])
    for condition in ("clean", "black"):
        new = tests[condition].rows(polymer[tests[condition].material])
        hit = (model.predict(columns_of(new, sensor)) == new.material).astype(float)
        right.setdefault(f"nir_{condition}_polymers", []).append(hit)


def _interval(hits: list[Array]) -> dict[str, float | int]:
    values = np.concatenate(hits)
    return interval_over_objects(values, np.arange(len(values)).astype(str))
