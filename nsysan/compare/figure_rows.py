"""What a comparison compares: a row a figure, with each side's value or the reason why it has none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from nsysan.compare.comparison import (
    GBPS,
    NS,
    PERCENT,
    TOKENS,
    Bandwidth,
    ComparedRun,
    Family,
    FamilyOnSide,
    Measured,
)
from nsysan.diagnosis.caused import caused_by
from nsysan.metrics.causes import GapCause
from nsysan.metrics.lines import BESIDE, COMMUNICATION_LINES, LINES, ROW, Kind, Line
from nsysan.metrics.scenarios import SCENARIOS, Scenario
from nsysan.text import plain

_COMMUNICATION = (*COMMUNICATION_LINES, "transfer", "comm")
#: Lines that one call or another may be in, by the kernel that does it and by what can be told of it.
_MOVING = tuple(line for line in COMMUNICATION_LINES if ROW[line].kind == Kind.BUSY)
_OF_FEW = (Scenario.NO_BUBBLE, Scenario.UNTRACED, Scenario.GRAPHS)
_LABEL = {"transfer": f"{Line.WIRE} + {Line.FUSED}", "comm": "comm resident"}
_SPEEDS: dict[str, tuple[str, str, Callable[[Bandwidth], Measured]]] = {
    "algbw": ("algbw", GBPS, lambda found: found.algbw),
    "busbw": ("busbw", GBPS, lambda found: found.busbw),
    "peak_share": ("busbw, % of the link's peak", PERCENT, lambda found: found.peak),
}


@dataclass(frozen=True)
class Row:
    """A figure before it is tested. reasons: why a side's cannot be compared, None where it can. by_period: a share
    of the period tells whether its change is large. of_mean: it is from the mean, in which few long steps count."""

    id: str
    name: str
    unit: str
    sides: list[Measured | None]
    reasons: list[str | None]
    by_period: bool = True
    of_mean: bool = False


def find_rows(sides: list[ComparedRun], families: list[Family]) -> dict[str, list[Row]]:
    """Rows by group: those of a group are tested together."""
    return {
        "step": _step_rows(sides),
        "ledger": _ledger_rows(sides),
        "collectives": [row for n, family in enumerate(families) for row in _family_rows(n, family, sides)],
        "bandwidth": [row for n, family in enumerate(families) for row in _bandwidth_rows(n, family, sides)],
        "skew": [_caused_row(sides)],
        "idle": _idle_rows(sides),
        "whatif": [
            _row(sides, f"whatif.{scenario}", row.title)
            for scenario, row in SCENARIOS.items()
            # Only a pipeline has a bubble, only an eager run wants graphs, and only a user tells the step without nsys.
            if scenario not in _OF_FEW or any(f"whatif.{scenario}" in side.figures for side in sides)
        ],
    }


def _step_rows(sides: list[ComparedRun]) -> list[Row]:
    """Median and mean period, and tokens a second, which is another way to say the mean."""
    none = [None if side.decodes else f"{side.label} {side.workload.words}" for side in sides]
    speeds: list[Measured | None] = [
        Measured(side.tokens_per_second, side.sequences * 1e9 / side.figures["throughput.mean"].steps)
        if side.decodes
        else None
        for side in sides
    ]
    per_gpu = [
        None if speed is None else Measured(side.tokens_per_second / side.ranks, speed.steps / side.ranks)
        for side, speed in zip(sides, speeds, strict=True)
    ]
    of_each = ", a token of each sequence" if any(side.decodes for side in sides) else ""
    return [
        _row(sides, "ledger.period", f"period{of_each}"),
        replace(_row(sides, "throughput.mean", "the same, mean"), of_mean=True),
        Row("throughput.tokens", "tokens/s", TOKENS, speeds, none, by_period=False, of_mean=True),
        Row("throughput.tokens_per_gpu", "tokens/s a GPU", TOKENS, per_gpu, none, by_period=False, of_mean=True),
    ]


def _ledger_rows(sides: list[ComparedRun]) -> list[Row]:
    fused = any(side.value("ledger.fused") for side in sides)
    names = [*LINES, *(["transfer"] if fused else []), *BESIDE]
    shown = [name for name in names if any(side.value(f"ledger.{name}") for side in sides)]
    return [_row(sides, f"ledger.{name}", _LABEL.get(name, name)) for name in shown]


def _caused_row(sides: list[ComparedRun]) -> Row:
    """What late ranks cost, of the mean where that is where they are late."""
    late = [told for side in sides if (told := caused_by(side.report.diagnosis)) is not None and told.ranks]
    where = ", in the mean" if late and all(told.mean for told in late) else ""
    row = _row(sides, "skew.caused", f"caused by late ranks{where}")
    return replace(row, of_mean=any(told.mean for told in late))


def _idle_rows(sides: list[ComparedRun]) -> list[Row]:
    shown = [cause for cause in GapCause if any(side.value(f"idle.{cause}") for side in sides)]
    return [_row(sides, f"idle.{cause}", cause.words) for cause in shown]


def _row(sides: list[ComparedRun], id_: str, name: str) -> Row:
    measured = [_measured(side, id_) for side in sides]
    return Row(id_, name, NS, measured, [_why_not(side, id_, sides) for side in sides])


def _measured(side: ComparedRun, id_: str) -> Measured | None:
    if id_ in side.figures:
        return side.figures[id_]
    # A cause that no idle interval has took no time.
    return Measured(0.0, 0 * side.figures["ledger.period"].steps) if id_.startswith("idle.") else None


def _why_not(side: ComparedRun, id_: str, sides: list[ComparedRun]) -> str | None:
    """Why a side's figure cannot be held against the others', None where it can."""
    measured = _measured(side, id_)
    if measured is None or measured.value is None:
        return f"not measured in {side.label}: {side.why_null(id_)}"
    line = id_.removeprefix("ledger.")
    if line in (Line.IDLE, Line.GRAPH) or id_.startswith("idle."):
        hidden = side.value("ledger.graph") and not all(other.value("ledger.graph") for other in sides)
        return f"in {side.label} graph replays are blocks, which hide idle time" if hidden else None
    if line not in _COMMUNICATION or measured.value or not any(other.value(id_) for other in sides):
        return None
    elsewhere = [name for name in _MOVING if side.value(f"ledger.{name}")]
    if line in _MOVING and elsewhere:
        return f"in {side.label} communication is in the line {' and '.join(elsewhere)}"
    if side.ranks > 1 and not side.value("ledger.comm"):
        names = ", ".join(plain(k.name, 60) for k in side.report.lookalikes[:3])
        like = f"; named like one: {names}" if names else ""
        return f"no communication kernel of the catalogue runs in {side.label}, which has {side.ranks} ranks{like}"
    return None


def _family_rows(number: int, family: Family, sides: list[ComparedRun]) -> list[Row]:
    reasons = [_why_no_part(part, side, family) for part, side in zip(family.parts, sides, strict=True)]
    per_call = [None if part is None else part.per_call for part in family.parts]
    per_step = [None if part is None else part.per_step for part in family.parts]
    where = f"collective.{number}"
    return [
        Row(f"{where}.per_call", f"{family.title}: wire a call", NS, per_call, reasons, by_period=False),
        Row(f"{where}.per_step", f"{family.title}: wire a step", NS, per_step, reasons),
    ]


def _why_no_part(part: FamilyOnSide | None, side: ComparedRun, family: Family) -> str | None:
    if part is None and side.value("ledger.comm") is not None:
        return f"{side.label} has no such {plain(family.kind, 40)}"
    if part is None or part.per_call.value is None:
        return f"not measured in {side.label}: {side.why_null('collective.wire')}"
    return None


def _bandwidth_rows(number: int, family: Family, sides: list[ComparedRun]) -> list[Row]:
    """Where two sides have a bandwidth at least: one alone is held against nothing."""
    rows = []
    for name, (words, unit, of) in _SPEEDS.items():
        told = [None if part is None else of(part.speed) for part in family.parts]
        if sum(one is not None and one.value is not None for one in told) < 2:
            continue
        reasons = [_why_no_speed(part, side, family, of) for part, side in zip(family.parts, sides, strict=True)]
        id_ = f"collective.{number}.{name}"
        rows.append(Row(id_, f"{family.title}: {words}", unit, told, reasons, by_period=False))
    return rows


def _why_no_speed(
    part: FamilyOnSide | None, side: ComparedRun, family: Family, of: Callable[[Bandwidth], Measured]
) -> str | None:
    missing = _why_no_part(part, side, family)
    if missing or part is None or of(part.speed).value is not None:
        return missing
    return f"no bandwidth in {side.label}: {part.speed.reason or 'the link has no known peak, or messages are small'}"
