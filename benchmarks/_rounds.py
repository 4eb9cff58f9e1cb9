"""What measurements share: sides in turn, medians with their spread, bars, and a line for machines at the end."""

import json
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

ROUNDS = 9


def interleaved(sides: Sequence[str], rounds: int = ROUNDS) -> Iterator[tuple[int, str]]:
    """Every side in every round, each time beginning with another, so that none profits from its place."""
    for number in range(rounds):
        begin = number % len(sides)
        for side in (*sides[begin:], *sides[:begin]):
            yield number, side


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """The 25th, 50th and 75th percentile."""
    if len(values) == 1:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which this share lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


@dataclass(frozen=True)
class Bar:
    """What has to hold, judged on the median of the values of the rounds."""

    name: str
    values: Sequence[float]
    bar: float
    at_least: bool = True

    @property
    def value(self) -> float:
        """The median."""
        return quartiles(self.values)[1]

    @property
    def holds(self) -> bool | str:
        """Undecided where the middle half of the rounds lies on both sides of the bar."""
        low, middle, high = quartiles(self.values)
        if len(self.values) > 1 and low < self.bar < high:
            return "undecided"
        return middle >= self.bar if self.at_least else middle <= self.bar


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print rows in columns; the first column to the left, the others to the right."""
    cells = [[str(cell) for cell in row] for row in (head, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    for row in cells:
        rest = "  ".join(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
        print(f"{row[0].ljust(widths[0])}  {rest}", flush=True)
    print(flush=True)


def spread(values: Sequence[float], digits: int = 0) -> str:
    """Median and quartiles, for a table."""
    low, middle, high = quartiles(values)
    return f"{middle:,.{digits}f} ({low:,.{digits}f}–{high:,.{digits}f})"


def report(bench: str, bars: Sequence[Bar]) -> None:
    """Print the bars, and one JSON line as the last."""
    rows = [
        (
            bar.name,
            spread(bar.values, 2),
            f"{'≥' if bar.at_least else '≤'} {bar.bar:g}",
            str(bar.holds).lower(),
        )
        for bar in bars
    ]
    table(["bar", "median (quartiles)", "wanted", "holds"], rows)
    judged = [
        {"name": bar.name, "value": round(bar.value, 3), "bar": bar.bar, "holds": bar.holds} for bar in bars
    ]
    print(json.dumps({"bench": bench, "bars": judged}, ensure_ascii=False), flush=True)
