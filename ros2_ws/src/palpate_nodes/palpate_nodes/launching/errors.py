"""Errors of launch files and launch arguments."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from palpate_agents.errors import ConfigError


class LaunchError(ConfigError):
    """A launch file, an element of it, a substitution, or a launch argument is wrong."""


def known_names(name: object, known: Iterable[str]) -> str:
    """End of an error message: the closest known name if there is one, then all of them."""
    names = sorted(known)
    by_lower = {known_name.lower(): known_name for known_name in names}
    close = difflib.get_close_matches(str(name).lower(), by_lower, n=1)
    hint = f"did you mean '{by_lower[close[0]]}'? " if close else ""
    return f"{hint}known: {', '.join(names) or 'none'}"
