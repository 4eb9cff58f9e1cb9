"""SERVE: map tiles and OGC API - Features, for the live map, for GIS on a desk, and for whoever holds a post."""
