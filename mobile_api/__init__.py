"""ASK: the HTTP API of field devices."""
