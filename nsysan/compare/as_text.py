"""A comparison as text for a terminal."""

from __future__ import annotations

from nsysan.compare.comparison import Comparison
from nsysan.compare.headline import last_words
from nsysan.compare.prediction_rows import COLUMNS, rows
from nsysan.compare.prediction_sentences import basis_lines
from nsysan.compare.wording import (
    COLUMNS_A_SIDE,
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
from nsysan.styled import heading, label
from nsysan.text import plain, table

#: Tables of a brief answer.
_BRIEF = ("step", "ledger")
_MORE = "-v tells of groups, kernels, collectives, skew, idle time and what-ifs, and what changed, small and noise are"


def to_text(comparison: Comparison, width: int | None = None, *, brief: bool = False) -> str:
    """The comparison as plain text: the answer first. width: of its tables at most; brief: with those that decide."""
    parts = ["\n".join(refusals(comparison)), last_words(comparison)]
    parts.append("\n".join(side_sentence(side) for side in comparison.sides))
    parts.append("\n".join(findings(comparison)))
    parts.append("\n".join(population_lines(comparison)))
    parts += [
        _predicted(comparison, width),
        *(_group(comparison, name, width) for name in (_BRIEF if brief else TITLES)),
    ]
    parts.append("" if brief else _kernels(comparison))
    parts.append("\n".join(f"{label('not comparable')}{text}" for text in reasons(comparison)))
    parts.append("\n".join(f"{heading('note')}  {plain(text, 400)}" for text in comparison.notes))
    return "\n\n".join(part for part in parts if part) + f"\n\n{_MORE if brief else legend(comparison)}\n"


def _group(comparison: Comparison, name: str, width: int | None) -> str:
    figures = comparison.group(name)
    if not figures:
        return ""
    title = "µs a step, tokens/s" if name == "step" else TITLES[name]
    shown = [cells(figure) for figure in figures]
    head, *sides = header(comparison, title)
    return "\n".join(table([heading(head), *sides], shown, width=width, together=COLUMNS_A_SIDE))


def _predicted(comparison: Comparison, width: int | None) -> str:
    shown = rows(comparison) if comparison.predictions else []
    return "\n".join([*table(list(COLUMNS), shown, width=width), *basis_lines(comparison)]) if shown else ""


def _kernels(comparison: Comparison) -> str:
    lines = []
    for family in comparison.families:
        lines.append(family.title)
        lines += [
            f"  {side.label}  {part_sentence(part)}" for side, part in zip(comparison.sides, family.parts, strict=True)
        ]
    return "\n".join(lines)
