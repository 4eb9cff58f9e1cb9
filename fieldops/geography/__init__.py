"""Boundaries and layers change with the cases in them: layouts in force, files brought in."""
