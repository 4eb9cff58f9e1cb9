"""SEE: the operators' pages and their API."""
