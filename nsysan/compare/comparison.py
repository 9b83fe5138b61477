"""Two runs or more, like for like on their steady decode steps: what differs, and what is only noise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from nsysan.compare.compared_run import ComparedRun
from nsysan.compare.families import Family, FamilyOnSide, match_families
from nsysan.compare.figure_rows import TOKENS, Row, find_rows
from nsysan.compare.link_change import link_notes
from nsysan.compare.scaling import Scaling, scaling
from nsysan.compare.significance import holm, mann_whitney
from nsysan.diagnosis.quality import OK
from nsysan.text import counted, plain

CHANGED, SMALL, NOISE, FEW, INCOMPARABLE = "changed", "small", "noise", "few_steps", "not_comparable"

#: A difference counts if chance gives it less often than this, by the spread over the steps ...
ALPHA = 0.01
#: ... and it is this share of the period, or this share of the figure and still so much of the period. Steps of
#: one capture are alike in ways that those of another are not (clocks, placement), which no test on steps can
#: see: two captures of one workload (4 x H200, 23 steps each) differ at p < 0.01 in waiting by 15 % of itself and
#: 0.27 % of the period, and in what late ranks cause by 29 % and 0.47 %; the least is 1.5 times that.
SHARE_OF_PERIOD = 0.01
SHARE_OF_FIGURE = 0.03
LEAST_OF_PERIOD = 0.0075
#: With fewer steady steps on a side even steps that do not overlap at all may be chance.
FEWEST_STEPS = 8

THRESHOLDS = {
    "alpha": ALPHA,
    "share_of_period": SHARE_OF_PERIOD,
    "share_of_figure": SHARE_OF_FIGURE,
    "least_share_of_period": LEAST_OF_PERIOD,
    "fewest_steps": FEWEST_STEPS,
}
#: Quality rows that bear on every figure of a side.
_SLOWED = ("host_time", "events", "cpu_gpu_clock", "missing_ranks")
_GRAPHS = {"node": "traced by node", "graph": "traced as blocks", "none": "none"}


@dataclass(frozen=True)
class Change:
    """One side against the first. verdict: changed, small (no chance of steps, but within what captures of one
    workload differ by), noise, few_steps or not_comparable (then with the reason).

    percent: of the first side's figure, None where that is 0. p: corrected for the figures tested together.
    """

    difference: float | None
    percent: float | None
    p: float | None
    verdict: str
    reason: str | None = None


@dataclass(frozen=True)
class Figure:
    """One figure on all sides. values: one a side; changes: one for each side but the first."""

    id: str
    group: str
    name: str
    unit: str
    values: list[float | None]
    changes: list[Change]


@dataclass(frozen=True)
class Comparison:
    """Everything that a comparison shows. notes: what keeps it from being like for like."""

    version: str
    sides: list[ComparedRun]
    figures: list[Figure]
    families: list[Family]
    scaling: Scaling | None
    notes: list[str]

    def figure(self, id_: str) -> Figure:
        """The figure of that id, such as ledger.period."""
        return next(figure for figure in self.figures if figure.id == id_)

    def group(self, name: str) -> list[Figure]:
        """Figures that are tested together: step, ledger, collectives, bandwidth, skew, idle or whatif."""
        return [figure for figure in self.figures if figure.group == name]


def compare(sides: list[ComparedRun], version: str) -> Comparison:
    """The Comparison of sides, each against the first."""
    families = match_families(sides)
    period = sides[0].period
    return Comparison(
        version=version,
        sides=sides,
        figures=[figure for name, rows in find_rows(sides, families).items() for figure in _tested(name, rows, period)],
        families=families,
        scaling=scaling(sides),
        notes=_notes(sides, families),
    )


def _tested(group: str, rows: list[Row], period: float) -> list[Figure]:
    """Figures with their changes; probabilities are corrected over the group, side by side."""
    sides = len(rows[0].sides) if rows else 0
    changes: list[list[Change]] = [[] for _ in rows]
    for side in range(1, sides):
        chances = [_chance(row, side) for row in rows]
        told = [p for p in chances if p is not None]
        # The figures of a step are one figure in other units.
        corrected = iter(told if group == "step" else holm(told))
        for row, own, chance in zip(rows, changes, chances, strict=True):
            own.append(_change(row, side, None if chance is None else next(corrected), period))
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


def _chance(row: Row, side: int) -> float | None:
    first, other = row.sides[0], row.sides[side]
    if first is None or other is None or first.value is None or other.value is None:
        return None
    if row.reasons[0] or row.reasons[side]:
        return None
    return mann_whitney(first.steps, other.steps)


def _change(row: Row, side: int, p: float | None, period: float) -> Change:
    first, other = row.sides[0], row.sides[side]
    if p is None or first is None or other is None or first.value is None or other.value is None:
        reason = "; ".join(dict.fromkeys(why for why in (row.reasons[0], row.reasons[side]) if why))
        return Change(None, None, None, INCOMPARABLE, reason or "it was not measured")
    difference = other.value - first.value
    percent = 100 * difference / first.value if first.value else None
    if min(len(first.steps), len(other.steps)) < FEWEST_STEPS:
        return Change(difference, percent, p, FEW, f"fewer than {FEWEST_STEPS} steady steps")
    large = abs(difference) >= SHARE_OF_FIGURE * abs(first.value)
    if row.by_period:
        size = abs(difference) / period
        large = size >= SHARE_OF_PERIOD or (large and size >= LEAST_OF_PERIOD)
    elif row.unit == TOKENS:
        large = abs(difference) >= SHARE_OF_PERIOD * abs(first.value)
    return Change(difference, percent, p, NOISE if p >= ALPHA else CHANGED if large else SMALL)


def _notes(sides: list[ComparedRun], families: list[Family]) -> list[str]:
    """What the sides do not have in common beside what is compared."""
    notes = []
    told = {
        "GPU": [", ".join(sorted({rank.model or "unknown" for rank in side.report.ranks})) for side in sides],
        "CUDA graphs": [_GRAPHS[side.report.inputs[0].graph_trace] for side in sides],
        "way to find steps": [side.report.steps.method for side in sides],
        "batch": [str(side.batch) for side in sides],
    }
    for what, values in told.items():
        if len(set(values)) > 1:
            listed = ", ".join(f"{side.label} {plain(value, 60)}" for side, value in zip(sides, values, strict=True))
            notes.append(f"not the same {what}: {listed}")
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
            if row.id in _SLOWED and row.status != OK:
                by_reason.setdefault(row.reason, []).append(side.label)
    notes += [f"{', '.join(labels)}: {reason}" for reason, labels in by_reason.items()]
    return notes


def _of_each(family: Family, sides: list[ComparedRun], tell: Callable[[FamilyOnSide], str]) -> str:
    shown = [f"{side.label} {tell(part)}" for side, part in zip(sides, family.parts, strict=True) if part is not None]
    return f"{family.title}: {', '.join(shown)}"
