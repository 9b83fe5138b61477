"""Each run against the first, like for like on their steady decode steps: what differs, and what is only noise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from nsysan.compare.comparison import F64, TOKENS, ComparedRun, Comparison, Family, FamilyOnSide, Figure, Measured
from nsysan.compare.families import match_families
from nsysan.compare.figure_rows import Row, find_rows
from nsysan.compare.kernel_figures import group_rows, kernel_rows
from nsysan.compare.likeness import in_one_unit, populations_of, refusal
from nsysan.compare.link_change import link_notes
from nsysan.compare.predicting import predictions
from nsysan.compare.scaling import scaling, why_no_degrees
from nsysan.diagnosis.evidence import Aspect, Status
from nsysan.metrics.change_rule import FEWEST_STEPS, SHARE_OF_FIGURE, SHARE_OF_PERIOD, Change, ChangeVerdict, judged
from nsysan.metrics.significance import holm, mann_whitney
from nsysan.text import counted, numbered, plain
from nsysan.trace.graph_mode import GraphMode

#: Quality rows that bear on every figure of a side.
_SLOWED = (Aspect.HOST_TIME, Aspect.EVENTS, Aspect.CPU_GPU_CLOCK, Aspect.MISSING_RANKS)
_GRAPHS = {GraphMode.NODE: "traced by node", GraphMode.GRAPH: "traced as blocks", GraphMode.NONE: "none"}


def compare(sides: list[ComparedRun], version: str, predict: Sequence[int] = ()) -> Comparison:
    """The Comparison of sides, each against the first. predict: numbers of ranks of which predictions are wanted."""
    sides = in_one_unit(sides)
    families = match_families(sides)
    refused = {side.label: why for side in sides[1:] if (why := refusal(sides[0], side))}
    period = sides[0].period
    comparison = Comparison(
        version=version,
        sides=sides,
        figures=[figure for name, rows in _rows(sides, families).items() for figure in _tested(name, rows, period)],
        families=families,
        scaling=None if refused else scaling(sides, predicting=bool(predict)),
        notes=_notes(sides, families),
        refused=refused,
        populations=populations_of(sides),
        predictions=predictions(sides, refused, predict) if predict else [],
    )
    return replace(comparison, figures=[_refused(figure, comparison) for figure in comparison.figures])


def _rows(sides: list[ComparedRun], families: list[Family]) -> dict[str, list[Row]]:
    """Rows by group, those of kernels behind the ledger's line that they are."""
    return find_rows(sides, families) | {"compute": group_rows(sides), "kernels": kernel_rows(sides)}


def _refused(figure: Figure, comparison: Comparison) -> Figure:
    """The figure, not comparable with sides that are not of one model with the first."""
    changes = [
        Change(None, None, None, ChangeVerdict.NOT_COMPARABLE, one.reason or comparison.refused[side.label])
        if side.label in comparison.refused
        else one
        for side, one in zip(comparison.sides[1:], figure.changes, strict=True)
    ]
    return replace(figure, changes=changes)


def _tested(group: str, rows: list[Row], period: float) -> list[Figure]:
    """Figures with their changes; probabilities are corrected over the group, side by side."""
    sides = len(rows[0].sides) if rows else 0
    changes: list[list[Change]] = [[] for _ in rows]
    for side in range(1, sides):
        chances = [chance(row, side) for row in rows]
        told = [p for p in chances if p is not None]
        # The figures of a step are one figure in other units.
        corrected = iter(told if group == "step" else holm(told))
        for row, own, p in zip(rows, changes, chances, strict=True):
            own.append(change(row, side, None if p is None else next(corrected), period))
    return [
        Figure(
            row.id,
            group,
            row.name,
            row.unit,
            [None if one is None else one.value for one in row.sides],
            changes[number],
        )
        for number, row in enumerate(rows)
    ]


def chance(row: Row, side: int) -> float | None:
    """By which chance the steps of a side lie so far from those of the first; None where they cannot be held so."""
    first, other = row.sides[0], row.sides[side]
    if first is None or other is None or first.value is None or other.value is None:
        return None
    if row.reasons[0] or row.reasons[side]:
        return None
    return mann_whitney(first.steps, other.steps)


def change(row: Row, side: int, p: float | None, period: float) -> Change:
    """A side against the first, by the rule; p: as `chance`, corrected. period: ns, of the first side."""
    first, other = row.sides[0], row.sides[side]
    if p is None or first is None or other is None or first.value is None or other.value is None:
        reason = "; ".join(dict.fromkeys(why for why in (row.reasons[0], row.reasons[side]) if why))
        return Change(None, None, None, ChangeVerdict.NOT_COMPARABLE, reason or "it was not measured")
    return judged(
        (first.value, other.value),
        (_times(row, first), _times(row, other)),
        p,
        period=None if row.unit == TOKENS or not row.by_period else period,
        least=SHARE_OF_PERIOD if row.unit == TOKENS else SHARE_OF_FIGURE,
        of_mean=row.of_mean,
    )


def _times(row: Row, measured: Measured) -> F64:
    """What its steps take, in some unit."""
    return 1 / measured.steps if row.unit == TOKENS else measured.steps


def _degree_notes(sides: list[ComparedRun]) -> list[str]:
    why = why_no_degrees(sides) if len({side.ranks for side in sides}) > 1 else None
    return [f"what more GPUs buy is not told: {why}"] if why else []


def _batch_notes(sides: list[ComparedRun]) -> list[str]:
    labels = " and ".join(side.label for side in sides if side.batch_source == "assumed" and side.decodes)
    return [f"nothing tells the batch of {labels}: tokens/s are of one sequence; give --batch"] if labels else []


def _replica_notes(sides: list[ComparedRun]) -> list[str]:
    """Which replica a side is of that has several."""
    return [
        f"{side.label} has {len(own.replicas)} replicas: replica {own.replica} "
        f"({numbered('rank', [rank.rank for rank in own.ranks], most=8)}) is compared"
        for side in sides
        if len((own := side.report).replicas) > 1
    ]


def _notes(sides: list[ComparedRun], families: list[Family]) -> list[str]:
    """What the sides do not have in common beside what is compared."""
    notes = []
    told: dict[str, list[str]] = {
        "GPU": [side.gpus for side in sides],
        "CUDA graphs": [_GRAPHS[side.report.inputs[0].graph_trace] for side in sides],
        "way to find steps": [str(side.report.steps.method) for side in sides],
        "batch": [side.batch_told for side in sides],
    }
    for what, values in told.items():
        if len(set(values)) > 1:
            listed = ", ".join(f"{side.label} {plain(value, 60)}" for side, value in zip(sides, values, strict=True))
            notes.append(f"not the same {what}: {listed}")
    notes += [*_degree_notes(sides), *_batch_notes(sides), *_replica_notes(sides)]
    for side in sides:
        if side.units > 1:
            notes.append(f"a step of {side.label} does the work of {side.units} of the others: its figures are by such")
    notes += link_notes(sides)
    for family in families:
        parts = [part for part in family.parts if part is not None]
        if len({round(part.calls) for part in parts}) > 1:
            notes.append(f"calls a step differ: {_of_each(family, sides, lambda part: f'{part.calls:g}')}")
        known = [part.sizes for part in parts if None not in part.sizes]
        if not family.same and len(known) == len(parts) > 1:
            notes.append(f"sizes differ, so these are not like for like: {family.title}")
    for side in sides:
        few = len(side.report.steps.steady)
        if few < FEWEST_STEPS:
            notes.append(f"{side.label} has {counted(few, 'steady step')}: too few to tell a difference from noise")
    by_reason: dict[str, list[str]] = {}
    for side in sides:
        for row in side.report.quality:
            if row.id in _SLOWED and row.status != Status.OK:
                by_reason.setdefault(row.reason, []).append(side.label)
    notes += [f"{', '.join(labels)}: {reason}" for reason, labels in by_reason.items()]
    return notes


def _of_each(family: Family, sides: list[ComparedRun], tell: Callable[[FamilyOnSide], str]) -> str:
    shown = [f"{side.label} {tell(part)}" for side, part in zip(sides, family.parts, strict=True) if part is not None]
    return f"{family.title}: {', '.join(shown)}"
