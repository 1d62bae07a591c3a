"""Benchmarks that need the simulation."""
