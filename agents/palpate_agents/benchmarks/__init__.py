"""Measurements against baselines, one module per benchmark; each returns the content of its result file."""
