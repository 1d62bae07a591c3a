"""Opening a data folder, raw or documented, and importing raw folders into a cache keyed by their content."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from palpate_agents.data.convert import CONVERTER_VERSION, RAW_KINDS, convert_raw, detect_raw
from palpate_agents.data.files import Dataset, load_folder, require_folder, save_dataset
from palpate_agents.data.layout import SpectraDataset
from palpate_agents.errors import DataError


def cache_directory() -> Path:
    """Where imported data sets are kept: `PALPATE_CACHE_DIR`, or `palpate` in the user's cache directory."""
    if own := os.environ.get("PALPATE_CACHE_DIR"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "palpate"


def import_folder(kind: str, folder: Path, out: Path) -> list[tuple[Path, Dataset]]:
    """Imports a folder into the documented layout, all of it or nothing.

    Args:
        kind: name of a raw data set, or "spectra", "touches", "table" to check and take over a documented folder.
        folder: what to import; it is only read.
        out: new or empty folder to write to.

    Returns:
        (file written, data set) for each data set in the folder.

    Raises:
        DataError: the kind is unknown, the folder malformed, or `out` not empty or not writable.
    """
    converted = convert_raw(kind, Path(folder))
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out} exists and is not an empty folder; give a new one")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        # Written beside the goal and moved there at the end: a full disk or a crash leaves no half data set behind.
        with tempfile.TemporaryDirectory(prefix=".import-", dir=out.parent) as scratch:
            staged = Path(scratch) / "data"
            written = [(save_dataset(dataset, staged / sub).relative_to(staged), dataset) for sub, dataset in converted]
            if out.exists():
                out.rmdir()
            shutil.move(staged, out)
    except OSError as error:
        raise DataError(f"cannot write the imported data to {out}: {error.strerror or error}") from error
    return [(out / path, dataset) for path, dataset in written]


def open_dataset(folder: Path, cache: Path | None = None) -> Dataset:
    """Opens a data folder: the documented layout, or a known raw folder (imported into the cache first).

    Args:
        folder: the folder; it is only read.
        cache: where imported folders are kept; `cache_directory()` by default.

    Raises:
        DataError: the folder is missing, unknown, or malformed.
    """
    folder = require_folder(Path(folder))
    kind = detect_raw(folder)
    if kind is None or _is_documented(folder):
        return replace(load_folder(folder), name=folder.resolve().name)
    if kind == "netsem_degradation":
        raise DataError(f"{folder} holds several tables; run 'palpate import {kind}' and open one of its folders")
    cached = (cache or cache_directory()) / "datasets" / f"{kind}-{_content_hash(kind, folder)[:16]}"
    try:
        return replace(load_folder(cached), name=kind)
    except DataError:  # not imported yet, or damaged since
        shutil.rmtree(cached, ignore_errors=True)
    return import_folder(kind, folder, cached)[0][1]


def open_spectra(folder: Path, cache: Path | None = None) -> SpectraDataset:
    """`open_dataset` for spectra that can be classified with one item held out.

    Raises:
        DataError: as `open_dataset`; the folder holds no spectra; or a label has fewer than two groups.
    """
    dataset = open_dataset(folder, cache)
    if not isinstance(dataset, SpectraDataset):
        raise DataError(f"{folder} holds no spectra (spectra.npz or spectra.csv)")
    dataset.require_groups_per_label(2)
    return dataset


def _is_documented(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ("spectra.npz", "spectra.csv", "touches.npz", "table.csv"))


def _content_hash(kind: str, folder: Path) -> str:
    digest = hashlib.sha256(f"{kind} {CONVERTER_VERSION}".encode())
    for name in RAW_KINDS[kind].files:
        with (folder / name).open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()
