"""The page that tells every indicator, kept equal to the registry by a test."""

from .facts import COUNTS
from .indicators import INDICATORS, Better, Sum
from .scores import USUAL_BANDS, USUAL_GRADES, USUAL_PARTS

_ARROWS = {Better.HIGHER: "↑", Better.LOWER: "↓"}

HEAD = """# Indicators

Written by `manage.py describe_indicators`; a test keeps it equal to `insight/indicators.py`. A period is made of
local days of the district. What a count takes in stands in `insight/facts.py`; how it is told apart from what changes
later in [decision 22](adr/0022-figures-from-histories.md). ↑ more is better, ↓ less is better. Where there are several
denominators the first holds unless the district chose another.

| indicator | code | meaning | numerator | denominator |
|---|---|---|---|---|
"""

SCORES = """
## Scores

The weighted mean of the parts that have something to judge, of 100; one that is better lower counts as what is
missing to 100 %. Weights are shares of their sum. A district's own rows (`/admin/`) replace these:

"""


def describe() -> str:
    """Markdown, in English with the Chinese names."""
    rows = [
        f"| {one.label} {_ARROWS[one.better]} | `{code}` | {one.describes} | {_told(one.numerator)} "
        f"| {' or '.join(_told(below) for below in one.denominators.values())} |\n"
        for code, one in INDICATORS.items()
    ]
    return HEAD + "".join(rows) + _scores()


def _scores() -> str:
    """What scores weigh where a district has no rows of its own."""
    told = SCORES
    for subject, parts in USUAL_PARTS.items():
        weighed = ", ".join(f"`{code}` {weight:g}" for code, weight in parts.items())
        told += f"- {subject.label}: {weighed}\n"
    bands = ", ".join(f"≤ {at_most}: {points}" for at_most, points in USUAL_BANDS)
    grades = ", ".join(f"{name} ≥ {at:g} {colour}" for at, name, colour in USUAL_GRADES)
    return told + f"- volume, by cases to handle: {bands}, else 0\n- grades: {grades}\n"


def _told(counts: Sum) -> str:
    return " + ".join(
        ("" if weight == 1 else f"{weight:g} × ") + str(COUNTS[code].label).lower()
        for code, weight in counts.weights.items()
    )
