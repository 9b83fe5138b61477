"""A comparison as Markdown for a ticket."""

from __future__ import annotations

from nsysan.compare.comparison import Comparison
from nsysan.compare.wording import LEGEND, TITLES, answers, cells, header, reasons, side_sentence
from nsysan.text import plain


def to_markdown(comparison: Comparison) -> str:
    """The comparison as Markdown that GitHub and GitLab render."""
    columns = header(comparison, "")
    columns = [name or "verdict" for name in columns]
    columns[0] = "us a step"
    lines = [f"### nsysan: {_escaped(' against '.join(side.name for side in comparison.sides))}", ""]
    lines += [f"- {_escaped(side_sentence(side))}" for side in comparison.sides]
    lines += ["", *(f"- {_escaped(' '.join(line.split()))}" for line in answers(comparison)), ""]
    lines += [_line(columns), _line(["---", *["---:"] * (len(columns) - 1)])]
    for name, title in TITLES.items():
        figures = comparison.group(name)
        if figures and name != "step":
            lines.append(_line([f"**{title}**", *[""] * (len(columns) - 1)]))
        lines += [_line([_escaped(cell) for cell in cells(figure)]) for figure in figures]
    lines += ["", *(f"- not comparable: {_escaped(text)}" for text in reasons(comparison))]
    lines += [f"- {_escaped(text)}" for text in comparison.notes]
    return "\n".join([*lines, "", f"<sub>nsysan {comparison.version}; {_escaped(LEGEND)}</sub>", ""])


def _line(cells_: list[str]) -> str:
    return f"| {' | '.join(cells_)} |"


_MARKUP = str.maketrans({c: f"\\{c}" for c in "\\`*_[]|#~$@"} | {"<": "&lt;", ">": "&gt;", "&": "&amp;"})


def _escaped(text: str) -> str:
    """Text that Markdown shows as it is: names in a trace may hold its marks, links and HTML."""
    return plain(text, 2_000).translate(_MARKUP)
