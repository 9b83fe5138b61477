"""A comparison as text for a terminal."""

from __future__ import annotations

from nsysan.compare.comparison import Comparison
from nsysan.compare.prediction_rows import COLUMNS, rows
from nsysan.compare.prediction_sentences import basis_lines
from nsysan.compare.wording import (
    TITLES,
    cells,
    findings,
    header,
    legend,
    part_sentence,
    population_lines,
    reasons,
    refusals,
    side_sentence,
)
from nsysan.text import plain, table


def to_text(comparison: Comparison) -> str:
    """The comparison as plain text: the answer first."""
    parts = ["\n".join(refusals(comparison)), "\n".join(side_sentence(side) for side in comparison.sides)]
    parts.append("\n".join(findings(comparison)))
    parts.append("\n".join(population_lines(comparison)))
    parts += [_predicted(comparison), *(_group(comparison, name) for name in TITLES)]
    parts.append(_kernels(comparison))
    parts.append("\n".join(f"not comparable  {text}" for text in reasons(comparison)))
    parts.append("\n".join(f"note  {plain(text, 400)}" for text in comparison.notes))
    return "\n\n".join(part for part in parts if part) + f"\n\n{legend(comparison)}\n"


def _group(comparison: Comparison, name: str) -> str:
    figures = comparison.group(name)
    if not figures:
        return ""
    title = "µs a step, tokens/s" if name == "step" else TITLES[name]
    return "\n".join(table(header(comparison, title), [cells(figure) for figure in figures]))


def _predicted(comparison: Comparison) -> str:
    shown = rows(comparison) if comparison.predictions else []
    return "\n".join([*table(list(COLUMNS), shown), *basis_lines(comparison)]) if shown else ""


def _kernels(comparison: Comparison) -> str:
    lines = []
    for family in comparison.families:
        lines.append(family.title)
        lines += [
            f"  {side.label}  {part_sentence(part)}" for side, part in zip(comparison.sides, family.parts, strict=True)
        ]
    return "\n".join(lines)
