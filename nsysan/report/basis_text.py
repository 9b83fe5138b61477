"""What answers are of: the step as it runs without nsys, where its time was given; several populations."""

from __future__ import annotations

from collections.abc import Sequence

from nsysan.report.report import Report
from nsysan.styled import heading, label, styled
from nsysan.text import table, us


def basis_of(report: Report) -> list[tuple[str, str]]:
    """Of what the answers are, where that is not the median step of one population: a word and a sentence each."""
    told = report.diagnosis
    named = (("untraced", told.untraced.sentence if told.untraced else ""), ("summed", told.summed_sentence))
    return [(name, sentence) for name, sentence in named if sentence]


def basis_lines(report: Report) -> list[str]:
    """The same for a summary."""
    return [f"{label(name)}{sentence}" for name, sentence in basis_of(report)]


def untraced_rows(report: Report, columns: Sequence[str]) -> list[list[str]]:
    """Its ledger by replay: these figures of each rank, in us."""
    without = report.diagnosis.untraced
    if without is None:
        return []
    rows = without.per_rank.iter_rows(named=True)
    return [[str(row["rank"]), *(us(row[f"{column}_ns"]) for column in columns)] for row in rows]


def untraced_table(report: Report, columns: Sequence[str], width: int | None = None) -> list[str]:
    """The same for a terminal, with a heading; nothing where no time was given."""
    rows = untraced_rows(report, columns)
    header = ["rank", *(styled(name, name) for name in columns)]
    return [heading("the same without nsys, by replay"), *table(header, rows, width=width)] if rows else []
