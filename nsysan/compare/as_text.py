"""A comparison as text for a terminal, and as Markdown for a ticket."""

from __future__ import annotations

from nsysan.compare.compared_run import ComparedRun
from nsysan.compare.comparison import (
    ALPHA,
    CHANGED,
    FEW,
    INCOMPARABLE,
    LEAST_OF_PERIOD,
    NOISE,
    SHARE_OF_FIGURE,
    SHARE_OF_PERIOD,
    SMALL,
    Change,
    Comparison,
    Figure,
)
from nsysan.compare.families import part_sentence
from nsysan.compare.figure_rows import GBPS, NS
from nsysan.compare.link_change import link_lines
from nsysan.compare.scaling import lost_sentence, replicas_sentence, widening_sentence
from nsysan.text import counted, ms, plain, table

TITLES = {
    "step": "a step",
    "ledger": "ledger, us a step",
    "collectives": "collectives, us after the last arrival",
    "bandwidth": "collectives, GB/s as in nccl-tests",
    "skew": "skew, us a step",
    "idle": "idle by cause, us a step",
    "whatif": "what if, us a step",
}
WORDS = {CHANGED: "changed", SMALL: "small", NOISE: "noise", FEW: "too few steps", INCOMPARABLE: "not comparable"}
LEGEND = (
    f"medians over the steady steps and the ranks; changed: p < {ALPHA:g} by the spread over the steps (Mann-Whitney, "
    f"corrected within each table), and {SHARE_OF_PERIOD:.0%} of the period, or {SHARE_OF_FIGURE:.0%} of the figure "
    f"and {LEAST_OF_PERIOD:.2%} of the period; small: p < {ALPHA:g}, but no more than two captures of one workload may "
    f"differ by; noise: neither"
)


def to_text(comparison: Comparison) -> str:
    """The comparison as plain text: the answer first."""
    parts = ["\n".join(side_sentence(side) for side in comparison.sides), "\n".join(answers(comparison))]
    parts += [_group(comparison, name) for name in TITLES]
    parts.append(_kernels(comparison))
    parts.append("\n".join(f"not comparable  {text}" for text in reasons(comparison)))
    parts.append("\n".join(f"note  {plain(text, 400)}" for text in comparison.notes))
    return "\n\n".join(part for part in parts if part) + f"\n\n{LEGEND}\n"


def side_sentence(side: ComparedRun) -> str:
    """What a side is: name, ranks, GPUs, steps, verdict."""
    models = ", ".join(sorted({plain(rank.model or "unknown GPU", 40) for rank in side.report.ranks}))
    steps = side.report.steps
    late = side.report.diagnosis.straggler
    who = f", rank {late.rank} late by {ms(late.caused)} ({late.cause or 'cause unknown'})" if late else ""
    return (
        f"{side.label}  {plain(side.name, 80)}: TP={side.ranks} on {models}, batch {side.batch}, "
        f"{counted(len(steps.steady), 'steady step')} by {plain(steps.source, 60)}; "
        f"{side.report.diagnosis.verdict.kind}{who}"
    )


def answers(comparison: Comparison) -> list[str]:
    """What came out, a line each: every side against the first, a link that changed, what more GPUs bought."""
    lines = [_answer(comparison, number) for number in range(1, len(comparison.sides))]
    lines += link_lines(comparison.sides)
    if comparison.scaling is None:
        return lines
    widths = ", ".join(
        f"TP={w.ranks} {ms(w.period)} ({w.speed_up:.2f}x, {w.efficiency:.0%})" for w in comparison.scaling.widths
    )
    lines.append(f"scaling   {widths}")
    for step in comparison.scaling.steps:
        lines += [
            f"bought    TP={step.narrow.ranks} to {step.wide.ranks}: {widening_sentence(step)}",
            f"lost      {lost_sentence(step)}",
            f"replicas  {replicas_sentence(step)}",
        ]
    return lines


def _answer(comparison: Comparison, number: int) -> str:
    first, side = comparison.sides[0], comparison.sides[number]
    change = comparison.figure("ledger.period").changes[number - 1]
    went = f"{ms(first.period)} to {ms(side.period)} a token ({percent(change)})"
    head = f"{side.label} vs {first.label}    "
    if change.verdict == FEW:
        return f"{head}{went}: {change.reason}, so nothing is told from noise"
    moved = [
        (figure.name, figure.changes[number - 1].difference or 0.0)
        for figure in comparison.group("ledger")
        if figure.changes[number - 1].verdict == CHANGED and figure.id not in ("ledger.comm", "ledger.transfer")
    ]
    listed = ", ".join(f"{name} {ns / 1e3:+,.1f} us" for name, ns in sorted(moved, key=lambda item: -abs(item[1])))
    if change.verdict == CHANGED:
        word = "faster" if side.period < first.period else "slower"
        return f"{head}{word}, {went}, beyond noise{': ' + listed if listed else ''}"
    rest = f"; within the step {listed}" if listed else ", and nothing in the step differs beyond noise"
    unknown = [
        figure.name for figure in comparison.group("ledger") if figure.changes[number - 1].verdict == INCOMPARABLE
    ]
    but = f" ({', '.join(unknown)}: not comparable)" if unknown else ""
    return f"{head}the same within noise, {went}{rest}{but}"


def percent(change: Change) -> str:
    """A change as a per cent of the first side, signed."""
    return "-" if change.percent is None else f"{change.percent:+.1f} %"


def value(number: float | None, figure: Figure) -> str:
    """A figure's value in the unit that people read: us, tokens/s, GB/s or per cent."""
    if number is None:
        return "-"
    if figure.unit == GBPS:
        return f"{number:,.2f}"
    return f"{number / 1e3:,.1f}" if figure.unit == NS else f"{number:,.1f}"


def header(comparison: Comparison, title: str) -> list[str]:
    """Columns of a table of figures."""
    first, *others = comparison.sides
    columns = [title, first.label]
    for side in others:
        columns += [side.label, f"{side.label}-{first.label}", "%", ""]
    return columns


def cells(figure: Figure) -> list[str]:
    """A figure's row: the first side, then value, difference, per cent and verdict of each other."""
    row = [figure.name, value(figure.values[0], figure)]
    for number, change in zip(figure.values[1:], figure.changes, strict=True):
        difference = value(change.difference, figure)
        signed = f"+{difference}" if change.difference is not None and change.difference > 0 else difference
        row += [value(number, figure), signed, percent(change), WORDS[change.verdict]]
    return row


def reasons(comparison: Comparison) -> list[str]:
    """Why figures are not comparable, each reason once with the figures that it keeps from it."""
    found: dict[str, list[str]] = {}
    for figure in comparison.figures:
        for change in figure.changes:
            if change.verdict == INCOMPARABLE and change.reason:
                names = found.setdefault(change.reason, [])
                if figure.name not in names:
                    names.append(figure.name)
    return [f"{', '.join(names)}: {plain(reason, 400)}" for reason, names in found.items()]


def _group(comparison: Comparison, name: str) -> str:
    figures = comparison.group(name)
    if not figures:
        return ""
    title = "us a step, tokens/s" if name == "step" else TITLES[name]
    return "\n".join(table(header(comparison, title), [cells(figure) for figure in figures]))


def _kernels(comparison: Comparison) -> str:
    lines = []
    for family in comparison.families:
        lines.append(family.title)
        lines += [
            f"  {side.label}  {part_sentence(part)}" for side, part in zip(comparison.sides, family.parts, strict=True)
        ]
    return "\n".join(lines)


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
