"""The `recorded` backend over a folder of measured spectra: every spectrum is one part that is looked at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from palpate_agents import samples
from palpate_agents.data import SpectraDataset, open_spectra
from palpate_agents.observation import Outcome, Primitive, ProbeExecution
from palpate_nodes.devices.cell import Part
from palpate_nodes.devices.recorded import PartArrival

Timeline = Iterator[tuple[int, samples.Sample]]

# A folder of spectra has no time of its own: one spectrum a second.
SPECTRUM_PERIOD_NS = 1_000_000_000
SPECTRUM_AFTER_NS = 200_000_000
WINDOW_NS = 300_000_000


def spectra_timeline(folder: Path, item: str | None = None) -> Timeline:
    """A folder of measured spectra as a recorded session: every spectrum is one part that is looked at once.

    Args:
        folder: documented layout, or a known raw data set.
        item: only the spectra of this physical object.

    Raises:
        DataError: the folder cannot be read, or has no such item.
    """
    dataset = open_spectra(folder)
    if item is not None:
        dataset = dataset.only_group(item)
    return _play_spectra(dataset)


def _play_spectra(dataset: SpectraDataset) -> Timeline:
    start_ns = SPECTRUM_PERIOD_NS
    # Item by item, so that a model is changed once per item.
    for position, row in enumerate(np.argsort(dataset.group, kind="stable")):
        at = start_ns + position * SPECTRUM_PERIOD_NS
        part_id = f"spectrum-{row:05d}"
        truth = {
            "material": str(dataset.label[row]),
            "group": str(dataset.group[row]),
            "condition": str(dataset.condition[row]),
        }
        yield at, PartArrival(at, Part(part_id, (0.0, 0.0, 0.0), truth))
        measured_ns = at + SPECTRUM_AFTER_NS
        yield measured_ns, samples.Spectrum(measured_ns, dataset.spectrum(row), device_serial=dataset.name)
        look = ProbeExecution(Primitive.LOOK, Outcome.SUCCEEDED, at, at + WINDOW_NS)
        yield at + WINDOW_NS, samples.Execution(at + WINDOW_NS, "", part_id, 0, look)
