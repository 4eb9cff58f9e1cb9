"""What the centre learns from its cases: indicators, each with the cases it was counted from."""
