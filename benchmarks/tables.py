"""Figures as Markdown: tables, medians, least and most, ratios."""

import statistics
from collections.abc import Iterator, Sequence
from typing import Any

Row = dict[str, Any]
"""What one round of a section measured."""


def table(head: Sequence[str], *rows: Sequence[str]) -> Iterator[str]:
    """A table, as one block of text."""
    lines = (head, ["---"] * len(head), *rows)
    yield "\n".join(f"| {' | '.join(line)} |" for line in lines)


def spread(values: Sequence[float], form: str) -> tuple[str, str, str]:
    """Median, least and most."""
    found = (statistics.median(values), min(values), max(values))
    return form.format(found[0]), form.format(found[1]), form.format(found[2])


def cell(values: Sequence[float], form: str) -> str:
    """Median, with least and most behind it where they can differ."""
    median, least, most = spread(values, form)
    return median if len(values) == 1 else f"{median} ({least} to {most})"


def ratios(some: Sequence[float], others: Sequence[float]) -> list[float]:
    """Round by round: what was measured in turn is compared."""
    return [one / other for one, other in zip(some, others, strict=True)]
