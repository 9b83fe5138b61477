"""What a comparison says: its words, tables and sentences, the same in every output."""

from __future__ import annotations

from nsysan.compare.comparison import GBPS, NS, Bandwidth, ComparedRun, Comparison, FamilyOnSide, Figure
from nsysan.compare.headline import last_words, may_differ, short_name
from nsysan.compare.link_change import link_lines
from nsysan.compare.prediction_sentences import buying_lines, prediction_lines
from nsysan.compare.scaling_sentences import lost_sentence, replicas_sentence, widening_sentence
from nsysan.diagnosis.late_words import outermost, ranks_of, ranks_words, weight
from nsysan.metrics.change_rule import (
    ALPHA,
    LEAST_OF_PERIOD,
    SHARE_OF_FIGURE,
    SHARE_OF_PERIOD,
    TAIL_STEPS,
    WORDS,
    Change,
    ChangeVerdict,
)
from nsysan.report.tail_sentences import tail_words
from nsysan.styled import Style, label, styled
from nsysan.text import counted, duration, pct, pct_limit, plain, signed, size

#: Groups and kernels that an answer names.
_MOVED = 3
TITLES = {
    "step": "a step",
    "ledger": "ledger, µs a step",
    "compute": "compute by group, µs a step",
    "kernels": "kernels that differ most, µs a step",
    "collectives": "collectives, µs after the last arrival",
    "bandwidth": "collectives, GB/s as in nccl-tests",
    "skew": "skew, µs a step",
    "idle": "idle by cause, µs a step",
    "whatif": "what if, µs a step",
}
#: Columns of a table of figures for each side but the first.
COLUMNS_A_SIDE = 4
_OF_ONE = "medians over the steady steps and the ranks, means and tokens/s over the steps"
_LEGEND = (
    f"{_OF_ONE}; changed: p < {ALPHA:g} by the "
    f"spread over the steps (Mann-Whitney, corrected within each table), and {pct_limit(SHARE_OF_PERIOD)} of the "
    f"period, or {pct_limit(SHARE_OF_FIGURE)} of the figure and {pct_limit(LEAST_OF_PERIOD)} of the period, or of a "
    f"mean {pct_limit(SHARE_OF_FIGURE)} that lie in {TAIL_STEPS} long steps or more; small: p < {ALPHA:g}, but no "
    "more than two captures of one workload may differ by; noise: neither"
)


def legend(comparison: Comparison) -> str:
    """What the figures are, and what is said of differences where there are any."""
    return _LEGEND if len(comparison.sides) > 1 else _OF_ONE


def side_sentence(side: ComparedRun) -> str:
    """What a side is: name, ranks, GPUs, steps, verdict."""
    models = ", ".join(sorted({plain(rank.model or "unknown GPU", 40) for rank in side.report.ranks}))
    steps = side.report.steps
    diagnosis = side.report.diagnosis
    period = diagnosis.what_if.period if diagnosis.what_if is not None else 0
    late = outermost(diagnosis.late)
    who = "".join(
        f", {ranks_words(one.ranks)} late by {duration(weight(one, period).costs)} ({one.cause or 'cause unknown'})"
        for one in late[:2]
    )
    layout = side.report.replicas[side.report.replica].layout
    ranks = f"TP={side.ranks}" if layout.is_plain else layout.name
    return (
        f"{side.label}  {plain(side.name, 80)}: {ranks} on {models}, {side.batch_words}, "
        f"{counted(len(steps.steady), 'steady step')} by {plain(steps.source, 60)}; "
        f"{side.report.diagnosis.verdict.kind}{who}"
    )


def answers(comparison: Comparison) -> list[str]:
    """What came out, a line each: sides that are refused, the verdict, then what findings tells."""
    return [*refusals(comparison), *last_words(comparison).splitlines(), *findings(comparison)]


def refusals(comparison: Comparison) -> list[str]:
    """Sides that are not of one model and population with the first, and what differs: before anything else."""
    first = comparison.sides[0].label
    return [f"{label(f'{side} vs {first}')}refused: {why}" for side, why in comparison.refused.items()]


def findings(comparison: Comparison) -> list[str]:
    """Every side that is not refused against the first, a link that changed, what more GPUs bought or would buy."""
    sides = enumerate(comparison.sides)
    told = [number for number, side in sides if number and side.label not in comparison.refused]
    lines = [line for number in told for line in _told(comparison, number)]
    lines += [*link_lines(comparison.sides), *prediction_lines(comparison)]
    if comparison.scaling is None:
        return lines
    if not comparison.scaling.steps:
        return [*lines, *buying_lines(comparison)]
    widths = ", ".join(
        f"TP={w.ranks} {duration(w.period)} ({w.speed_up:.2f}x, {pct(w.efficiency)})" for w in comparison.scaling.widths
    )
    lines.append(f"{label('scaling')}{widths}")
    for step in comparison.scaling.steps:
        lines += [
            f"{label('bought')}TP={step.narrow.ranks} to {step.wide.ranks}: {widening_sentence(step)}",
            f"{label('lost')}{lost_sentence(step)}",
            f"{label('replicas')}{replicas_sentence(step)}",
        ]
    return [*lines, *buying_lines(comparison)]


def _told(comparison: Comparison, number: int) -> list[str]:
    """The answer for a side, and the groups and kernels that changed most."""
    parts = [words for name in ("compute", "kernels") if (words := _moved(comparison, name, number))]
    return [_answer(comparison, number), *([f"{label('kernels')}{'; by name '.join(parts)}"] if parts else [])]


def _moved(comparison: Comparison, name: str, number: int) -> str:
    changes = [(figure.name, figure.changes[number - 1]) for figure in comparison.group(name)]
    moved = [(what, c.difference) for what, c in changes if c.verdict == ChangeVerdict.CHANGED and c.difference]
    moved.sort(key=lambda item: -abs(item[1]))
    return ", ".join(f"{what} {signed(ns)}" for what, ns in moved[:_MOVED])


def _answer(comparison: Comparison, number: int) -> str:
    first, side = comparison.sides[0], comparison.sides[number]
    change = comparison.figure("ledger.period").changes[number - 1]
    mean = comparison.figure("throughput.mean").changes[number - 1]
    went = (
        f"{duration(first.period)} to {duration(side.period)} {side.made} "
        f"({percent(change)}){_mean(first, side, change, mean)}"
    )
    head = label(f"{side.label} vs {first.label}")
    if change.verdict == ChangeVerdict.FEW_STEPS:
        return f"{head}{went}: {change.reason}, so nothing is told from noise"
    moved = [
        (figure.name, figure.changes[number - 1].difference or 0.0)
        for figure in comparison.group("ledger")
        if figure.changes[number - 1].verdict == ChangeVerdict.CHANGED
        and figure.id not in ("ledger.comm", "ledger.transfer")
    ]
    listed = ", ".join(f"{name} {signed(ns)}" for name, ns in sorted(moved, key=lambda item: -abs(item[1])))
    if ChangeVerdict.CHANGED in (change.verdict, mean.verdict):
        of = side.mean - first.mean if mean.verdict == ChangeVerdict.CHANGED else side.period - first.period
        word = "faster" if of < 0 else "slower"
        if change.verdict != ChangeVerdict.CHANGED:
            median = f"the median step is {duration(first.period)} and {duration(side.period)}"
            return f"{head}{word} in the mean, {_tail(first, side)}; {median}"
        return f"{head}{word}, {went}, beyond noise{': ' + listed if listed else ''}"
    rest = f"; within the step {listed}" if listed else ", and nothing in the step differs beyond noise"
    if not listed and any(figure.changes[number - 1].verdict == ChangeVerdict.CHANGED for figure in comparison.figures):
        # Ranks may have changed places, which no median over them tells.
        rest = ", and no line of the ledger differs beyond noise: what does stands below"
    late = [ranks_of(one.report.diagnosis.late) for one in (first, side)]
    if late[0] != late[1]:
        was, now = (ranks_words(own) if own else "nobody" for own in late)
        rest += f"; late now {now}, before {was}"
    unknown = [
        figure.name
        for figure in comparison.group("ledger")
        if figure.changes[number - 1].verdict == ChangeVerdict.NOT_COMPARABLE
    ]
    but = f" ({', '.join(unknown)}: not comparable)" if unknown else ""
    alike = "not told from chance" if may_differ(first, side) else "the same within noise"
    return f"{head}{alike}, {went}{rest}{but}"


def _mean(first: ComparedRun, side: ComparedRun, change: Change, mean: Change) -> str:
    """The means, where they tell something else than the medians."""
    if change.percent is None or mean.percent is None or abs(change.percent - mean.percent) < 100 * SHARE_OF_PERIOD:
        return ""
    return f", in the mean {duration(first.mean)} to {duration(side.mean)} ({percent(mean)})"


def _tail(first: ComparedRun, side: ComparedRun) -> str:
    """What long steps add to the mean of each side."""
    more = side.mean / first.mean - 1
    tokens = side.tokens_per_second / first.tokens_per_second - 1
    whose = side if side.mean > first.mean else first
    rows = "; ".join(tail_words(row) for row in whose.report.diagnosis.tail[:2])
    made = f" in {whose.label}: {rows}" if rows else ""
    grew = f"{100 * more:+.1f} %{f', tokens/s {100 * tokens:+.1f} %' if side.decodes else ''}"
    return f"{duration(first.mean)} to {duration(side.mean)} {side.made} ({grew}){made}"


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
    columns = [title, short_name(first)]
    for side in others:
        columns += [short_name(side), f"{side.label}-{first.label}", "%", ""]
    return columns


def cells(figure: Figure) -> list[str]:
    """A figure's row: the first side, then value, difference, per cent and verdict of each other."""
    row = [styled(figure.name, figure.name), value(figure.values[0], figure)]
    for number, change in zip(figure.values[1:], figure.changes, strict=True):
        difference = value(change.difference, figure)
        signed = f"+{difference}" if change.difference is not None and change.difference > 0 else difference
        row += [value(number, figure), signed, percent(change), _word(change.verdict)]
    return row


def _word(verdict: ChangeVerdict) -> str:
    weighty = verdict in (ChangeVerdict.CHANGED, ChangeVerdict.NOT_COMPARABLE)
    return styled(Style.WEIGHTY if weighty else Style.FAINT, WORDS[verdict])


def reasons(comparison: Comparison) -> list[str]:
    """Why figures are not comparable, each reason once with the figures that it keeps from it."""
    found: dict[str, list[str]] = {}
    for figure in comparison.figures:
        for change in figure.changes:
            if change.verdict == ChangeVerdict.NOT_COMPARABLE and change.reason:
                names = found.setdefault(change.reason, [])
                if figure.name not in names:
                    names.append(figure.name)
    return [f"{', '.join(names)}: {plain(reason, 400)}" for reason, names in found.items()]


def population_lines(comparison: Comparison) -> list[str]:
    """Kinds of steps that several sides have, a line each; none where every side has one kind."""
    if all(len(side.report.replicas[side.report.replica].populations) < 2 for side in comparison.sides):
        return []
    lines = []
    for pair in comparison.populations:
        told = [
            f"{label} none steady"
            if row.period is None
            else f"{label} {duration(row.period.p50)} (mean {duration(row.period.mean)}, {counted(row.steady, 'step')})"
            for label, row in pair.sides.items()
        ]
        means = [row.period.mean for row in pair.sides.values() if row.period is not None]
        went = f": {100 * (means[-1] / means[0] - 1):+.1f} % in the mean" if len(means) == 2 else ""
        lines.append(f"{pair.name}  {', '.join(told)}{went}")
    return lines


def part_sentence(part: FamilyOnSide | None) -> str:
    """A family on one side: calls a step, size, ranks, speed, kernels."""
    if part is None:
        return "none"
    sizes = ", ".join(size(n) for n in part.sizes[:4]) + (" ..." if len(part.sizes) > 4 else "")
    over = ", ".join(counted(n, "rank") for n in part.ranks) or "an unknown number of ranks"
    names = ", ".join(plain(name, 60) for name in part.kernels[:3]) + (" ..." if len(part.kernels) > 3 else "")
    return f"{part.calls:g} a step, {sizes}, over {over}{_speed_words(part.speed)} [{names}]"


def _speed_words(found: Bandwidth) -> str:
    if found.algbw.value is None or found.busbw.value is None:
        return ""
    share = "" if found.peak.value is None else f" ({found.peak.value:.1f} % of peak)"
    return f", algbw {found.algbw.value:.3g} busbw {found.busbw.value:.3g} GB/s{share}"
