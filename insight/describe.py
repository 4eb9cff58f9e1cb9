"""The page that tells every indicator, kept equal to the registry by a test."""

from .facts import COUNTS
from .indicators import INDICATORS, Better, Sum

_ARROWS = {Better.HIGHER: "↑", Better.LOWER: "↓"}

HEAD = """# Indicators

Written by `manage.py describe_indicators`; a test keeps it equal to `insight/indicators.py`. A period is made of
local days of the district. What a count takes in stands in `insight/facts.py`; how it is told apart from what changes
later in [decision 22](adr/0022-figures-from-histories.md). ↑ more is better, ↓ less is better. Where there are several
denominators the first holds unless the district chose another.

| indicator | code | meaning | numerator | denominator |
|---|---|---|---|---|
"""


def describe() -> str:
    """Markdown, in English with the Chinese names."""
    rows = [
        f"| {one.label} {_ARROWS[one.better]} | `{code}` | {one.describes} | {_told(one.numerator)} "
        f"| {' or '.join(_told(below) for below in one.denominators.values())} |\n"
        for code, one in INDICATORS.items()
    ]
    return HEAD + "".join(rows)


def _told(counts: Sum) -> str:
    return " + ".join(
        ("" if weight == 1 else f"{weight:g} × ") + str(COUNTS[code].label).lower()
        for code, weight in counts.weights.items()
    )
