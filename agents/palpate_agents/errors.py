"""One tree of exceptions. Everything a user or a device can cause derives from `PalpateError`.

A message is one sentence that names the value, the limit and its unit, and the way out. The command line prints it
without a traceback and exits with `exit_code`.
"""

from __future__ import annotations


class PalpateError(Exception):
    """A problem that a person can understand and mend."""

    exit_code = 2


class ConfigError(PalpateError):
    """A parameter, launch argument or configuration file is wrong."""


class DataError(PalpateError):
    """A data folder, table, spectrum or bag is missing, malformed or foreign."""


class ModelError(PalpateError):
    """A model file is missing, altered, or of another version or layout."""


class DeviceError(PalpateError):
    """A device is missing, lost, stale, or answers nonsense."""

    exit_code = 3


class CellError(DeviceError):
    """The cell (arm, part, bins) cannot do what was asked."""
