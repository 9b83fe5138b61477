"""A comparison as Markdown for a ticket."""

from __future__ import annotations

from nsysan.compare import prediction_rows
from nsysan.compare.comparison import Comparison
from nsysan.compare.headline import grounds, headline
from nsysan.compare.prediction_sentences import basis_lines
from nsysan.compare.wording import (
    TITLES,
    cells,
    findings,
    header,
    legend,
    population_lines,
    reasons,
    refusals,
    side_sentence,
)
from nsysan.report.markup import escaped, rows


def to_markdown(comparison: Comparison) -> str:
    """The comparison as Markdown that GitHub and GitLab render."""
    lines = [f"### nsysan: {escaped(' against '.join(side.name for side in comparison.sides))}", ""]
    refused = [f"- **{escaped(' '.join(line.split()))}**" for line in refusals(comparison)]
    lines += [*refused, *([""] if refused else [])]
    lines += [f"**{escaped(headline(comparison))}**", "", f"- how sure: {escaped(grounds(comparison))}"]
    lines += [f"- {escaped(side_sentence(side))}" for side in comparison.sides]
    lines += ["", *(f"- {escaped(' '.join(line.split()))}" for line in findings(comparison)), ""]
    if comparison.predictions and (told := prediction_rows.rows(comparison)):
        basis = [f"- {escaped(' '.join(line.split()))}" for line in basis_lines(comparison)]
        lines += [*rows(list(prediction_rows.COLUMNS), told), "", *basis, ""]
    kinds = population_lines(comparison)
    lines += [*(f"- {escaped(line)}" for line in kinds), *([""] if kinds else []), *_table(comparison)]
    lines += ["", *(f"- not comparable: {escaped(text)}" for text in reasons(comparison))]
    lines += [f"- {escaped(text)}" for text in comparison.notes]
    return "\n".join(
        [*lines, "", f"<sub>nsysan {escaped(comparison.version)}; {escaped(legend(comparison))}</sub>", ""]
    )


def _table(comparison: Comparison) -> list[str]:
    """All figures in one table, with a row for the title of each group but the first."""
    columns = ["µs a step", *(escaped(name) or "verdict" for name in header(comparison, "")[1:])]
    body: list[list[str]] = []
    for group, title in TITLES.items():
        figures = comparison.group(group)
        if figures and group != "step":
            body.append([f"**{title}**", *[""] * (len(columns) - 1)])
        for name, *values in map(cells, figures):
            body.append([escaped(name), *values])
    return rows(columns, body)
