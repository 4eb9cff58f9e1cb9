"""WHAT: from a report to a closed case."""
