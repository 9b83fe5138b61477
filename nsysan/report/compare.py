"""Two runs or more, like for like on their steady decode steps: what differs, and what is only noise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from nsysan.metrics.gaps import MEANING
from nsysan.metrics.ledger import IDLE, LINES
from nsysan.metrics.significance import holm, mann_whitney
from nsysan.report.quality import OK
from nsysan.report.scaling import Scaling, scaling
from nsysan.report.side import Measured, Side
from nsysan.report.side_families import Family, Part, match_families
from nsysan.report.text import counted, plain

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
_COMMUNICATION = ("wait", "fused", "wire", "comm_unsplit", "transfer", "comm")
_LABEL = {"comm_unsplit": "unsplit", "transfer": "wire + fused", "comm": "comm resident"}
#: Quality rows that bear on every figure of a side.
_SLOWED = ("host_time", "events", "cpu_gpu_clock", "missing_ranks")
_GRAPHS = {"node": "traced by node", "graph": "traced as blocks", "none": "none"}
_WHAT_IF = {
    "no_skew": "without skew",
    "floor_wire": "with the wire at its floor",
    "no_host_late": "without late hosts",
    "all": "with all three",
}


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
    sides: list[Side]
    figures: list[Figure]
    families: list[Family]
    scaling: Scaling | None
    notes: list[str]

    def figure(self, id_: str) -> Figure:
        """The figure of that id, such as ledger.period."""
        return next(figure for figure in self.figures if figure.id == id_)

    def group(self, name: str) -> list[Figure]:
        """Figures that are tested together: step, ledger, collectives, skew, idle or whatif."""
        return [figure for figure in self.figures if figure.group == name]


@dataclass(frozen=True)
class _Row:
    """A figure before it is tested. reasons: why a side's cannot be compared; by_period: a share of the period tells
    whether its change is large."""

    id: str
    name: str
    unit: str
    sides: list[Measured | None]
    reasons: list[str | None]
    by_period: bool = True


def compare(sides: list[Side], version: str) -> Comparison:
    """The Comparison of sides, each against the first."""
    families = match_families(sides)
    period = sides[0].period
    groups = {
        "step": _step_rows(sides),
        "ledger": _ledger_rows(sides),
        "collectives": [row for n, family in enumerate(families) for row in _family_rows(n, family, sides)],
        "skew": [_row(sides, "skew.caused", "caused by late ranks")],
        "idle": _idle_rows(sides),
        "whatif": [_row(sides, f"whatif.{name}", words) for name, words in _WHAT_IF.items()],
    }
    return Comparison(
        version=version,
        sides=sides,
        figures=[figure for name, rows in groups.items() for figure in _tested(name, rows, period)],
        families=families,
        scaling=scaling(sides),
        notes=_notes(sides, families),
    )


def _step_rows(sides: list[Side]) -> list[_Row]:
    """Period, and tokens a second, which is another way to say it."""
    none: list[str | None] = [None] * len(sides)
    speeds: list[Measured | None] = [
        Measured(side.tokens_per_second, side.batch * 1e9 / side.figures["ledger.period"].steps) for side in sides
    ]
    per_gpu: list[Measured | None] = [
        Measured(side.tokens_per_second / side.ranks, speed.steps / side.ranks)
        for side, speed in zip(sides, speeds, strict=True)
        if speed is not None
    ]
    return [
        _row(sides, "ledger.period", "period, a token of each sequence"),
        _Row("throughput.tokens", "tokens/s", "tokens/s", speeds, none, by_period=False),
        _Row("throughput.tokens_per_gpu", "tokens/s a GPU", "tokens/s", per_gpu, none, by_period=False),
    ]


def _ledger_rows(sides: list[Side]) -> list[_Row]:
    fused = any(side.value("ledger.fused") for side in sides)
    names = [*LINES, IDLE, *(["transfer"] if fused else []), "comm", "overlap"]
    shown = [name for name in names if any(side.value(f"ledger.{name}") for side in sides)]
    return [_row(sides, f"ledger.{name}", _LABEL.get(name, name)) for name in shown]


def _idle_rows(sides: list[Side]) -> list[_Row]:
    shown = [cause for cause in MEANING if any(side.value(f"idle.{cause}") for side in sides)]
    return [_row(sides, f"idle.{cause}", cause.replace("_", " ")) for cause in shown]


def _row(sides: list[Side], id_: str, name: str) -> _Row:
    measured = [_measured(side, id_) for side in sides]
    return _Row(id_, name, "ns", measured, [_why_not(side, id_, sides) for side in sides])


def _measured(side: Side, id_: str) -> Measured | None:
    if id_ in side.figures:
        return side.figures[id_]
    # A cause that no idle interval has took no time.
    return Measured(0.0, 0 * side.figures["ledger.period"].steps) if id_.startswith("idle.") else None


def _why_not(side: Side, id_: str, sides: list[Side]) -> str | None:
    """Why a side's figure cannot be held against the others', None where it can."""
    measured = _measured(side, id_)
    if measured is None or measured.value is None:
        return f"not measured in {side.label}: {side.why_null(id_)}"
    line = id_.removeprefix("ledger.")
    if line in ("idle", "graph") or id_.startswith("idle."):
        hidden = side.value("ledger.graph") and not all(other.value("ledger.graph") for other in sides)
        return f"in {side.label} graph replays are blocks, which hide idle time" if hidden else None
    if line not in _COMMUNICATION or measured.value or not any(other.value(id_) for other in sides):
        return None
    elsewhere = [_LABEL.get(name, name) for name in _COMMUNICATION[1:4] if side.value(f"ledger.{name}")]
    if line in _COMMUNICATION[1:4] and elsewhere:
        return f"in {side.label} communication is in the line {' and '.join(elsewhere)}"
    if side.ranks > 1 and not side.value("ledger.comm"):
        names = ", ".join(plain(k.name, 60) for k in side.report.lookalikes[:3])
        like = f"; named like one: {names}" if names else ""
        return f"no communication kernel of the catalogue runs in {side.label}, which has {side.ranks} ranks{like}"
    return None


def _family_rows(number: int, family: Family, sides: list[Side]) -> list[_Row]:
    reasons = [_why_no_part(part, side, family) for part, side in zip(family.parts, sides, strict=True)]
    per_call = [None if part is None else part.per_call for part in family.parts]
    per_step = [None if part is None else part.per_step for part in family.parts]
    where = f"collective.{number}"
    return [
        _Row(f"{where}.per_call", f"{family.title}: wire a call", "ns", per_call, reasons, by_period=False),
        _Row(f"{where}.per_step", f"{family.title}: wire a step", "ns", per_step, reasons),
    ]


def _why_no_part(part: Part | None, side: Side, family: Family) -> str | None:
    if part is None and side.value("ledger.comm") is not None:
        return f"{side.label} has no such {plain(family.kind, 40)}"
    if part is None or part.per_call.value is None:
        return f"not measured in {side.label}: {side.why_null('collective.wire')}"
    return None


def _tested(group: str, rows: list[_Row], period: float) -> list[Figure]:
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


def _chance(row: _Row, side: int) -> float | None:
    first, other = row.sides[0], row.sides[side]
    if first is None or other is None or first.value is None or other.value is None:
        return None
    if row.reasons[0] or row.reasons[side]:
        return None
    return mann_whitney(first.steps, other.steps)


def _change(row: _Row, side: int, p: float | None, period: float) -> Change:
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
    elif row.unit != "ns":
        large = abs(difference) >= SHARE_OF_PERIOD * abs(first.value)
    return Change(difference, percent, p, NOISE if p >= ALPHA else CHANGED if large else SMALL)


def _notes(sides: list[Side], families: list[Family]) -> list[str]:
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


def _of_each(family: Family, sides: list[Side], tell: Callable[[Part], str]) -> str:
    shown = [f"{side.label} {tell(part)}" for side, part in zip(sides, family.parts, strict=True) if part is not None]
    return f"{family.title}: {', '.join(shown)}"
