"""Measured data from outside: loaders of the documented layout, converters, aliases of labels. No torch, no ROS."""

from palpate_agents.data.convert import RAW_KINDS, convert_raw, detect_raw
from palpate_agents.data.files import Dataset, load_folder, save_dataset
from palpate_agents.data.labels import catalogue_id
from palpate_agents.data.layout import SpectraDataset, TableDataset, TouchDataset
from palpate_agents.data.store import cache_directory, import_folder, open_dataset, open_spectra

__all__ = [
    "RAW_KINDS",
    "Dataset",
    "SpectraDataset",
    "TableDataset",
    "TouchDataset",
    "cache_directory",
    "catalogue_id",
    "convert_raw",
    "detect_raw",
    "import_folder",
    "load_folder",
    "open_dataset",
    "open_spectra",
    "save_dataset",
]
