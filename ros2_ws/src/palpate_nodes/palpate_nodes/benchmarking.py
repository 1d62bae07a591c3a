"""The result file of every benchmark, and intervals by bootstrap over objects."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 10_000


@dataclass(frozen=True)
class Metric:
    """A figure with its 95 % interval over `n` objects."""

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        """Value and interval, for tables."""
        return f"{self.value:.4g} [{self.low:.4g}, {self.high:.4g}]"


def grouped_mean(values: NDArray[np.floating], groups: Sequence[str], seed: int = 0) -> Metric:
    """Mean over rows, with a bootstrap that draws whole objects.

    Args:
        values: (N,) figure per row.
        groups: (N,) the object that each row belongs to.
        seed: of the bootstrap.
    """
    names, index = np.unique(np.asarray(groups), return_inverse=True)
    sums = np.bincount(index, weights=values)
    counts = np.bincount(index).astype(float)
    draws = np.random.default_rng(seed).integers(0, len(names), (RESAMPLES, len(names)))
    means = sums[draws].sum(axis=1) / counts[draws].sum(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return Metric(float(np.mean(values)), float(low), float(high), len(names))


@dataclass
class BenchmarkResult:
    """What a benchmark measured, as it is printed and written.

    Attributes:
        benchmark: name.
        seeds: that were run.
        metrics: ours.
        baselines: baseline -> metrics.
        wall_s: wall time in seconds.
        quick: the small version.
    """

    benchmark: str
    seeds: list[int]
    metrics: dict[str, Metric] = field(default_factory=dict)
    baselines: dict[str, dict[str, Metric]] = field(default_factory=dict)
    wall_s: float = 0.0
    quick: bool = False

    def as_dict(self) -> dict[str, Any]:
        """The documented layout (docs/benchmarks.md)."""
        return {
            "benchmark": self.benchmark,
            "version": version("palpate"),
            "quick": self.quick,
            "seeds": self.seeds,
            "metrics": {name: vars(metric) for name, metric in self.metrics.items()},
            "baselines": {
                name: {key: vars(metric) for key, metric in metrics.items()} for name, metrics in self.baselines.items()
            },
            "wall_s": round(self.wall_s, 1),
            "machine": machine(),
        }

    def write(self, path: Path) -> None:
        """Write the result file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(self.as_dict(), indent=1) + "\n")


def machine() -> dict[str, Any]:
    """Processor, cores, GPU and versions."""
    import torch

    cpu = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else ""
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "gpu": gpu,
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
