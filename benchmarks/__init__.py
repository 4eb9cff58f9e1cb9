"""Measurements, each a module that prints a table and one JSON line; run by `scripts/bench NAME`."""
