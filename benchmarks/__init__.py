"""Measurements, each a command: `scripts/bench NAME`."""
