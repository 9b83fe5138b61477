"""What a summary says of the step as it runs without nsys, where its time was given."""

from __future__ import annotations

from collections.abc import Sequence

from nsysan.report.report import Report
from nsysan.text import table, us


def untraced_lines(report: Report) -> list[str]:
    """That the answers are of that step, and what is not."""
    without = report.diagnosis.untraced
    return [] if without is None else [f"untraced  {without.sentence}"]


def untraced_rows(report: Report, columns: Sequence[str]) -> list[list[str]]:
    """Its ledger by replay: these figures of each rank, in us."""
    without = report.diagnosis.untraced
    if without is None:
        return []
    rows = without.per_rank.iter_rows(named=True)
    return [[str(row["rank"]), *(us(row[f"{column}_ns"]) for column in columns)] for row in rows]


def untraced_table(report: Report, columns: Sequence[str]) -> list[str]:
    """The same for a terminal, with a heading; nothing where no time was given."""
    rows = untraced_rows(report, columns)
    return ["the same without nsys, by replay", *table(["rank", *columns], rows)] if rows else []
