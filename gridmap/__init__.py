"""WHERE: the five-level organisation, its geography, cells, and coordinate systems."""
