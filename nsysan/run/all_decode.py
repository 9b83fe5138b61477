"""All decode steps of a replica of which no population is half (DEFINITIONS.md, section 4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import polars as pl

from nsysan.model.steps.extents import PAUSE
from nsysan.model.steps.step_kind import StepKind
from nsysan.run.run import OF_ALL_STEPS, Run

#: A population whose work has so much of the decode time heads alone.
_HALF = 0.5


class Summed(NamedTuple):
    """A population that answers are a sum over. steps: how many it has, which is its weight.

    period: ns of a step, median; share: of the time of all decode steps.
    """

    id: str
    steps: int
    period: int
    share: float


def of_all_decode(run: Run) -> Run:
    """The run of a replica, with the steady steps of all its decode populations as those that answers are of.

    Itself where a decode population has half of the decode time, and its steps are not beside others in a pipeline, or
    the user has asked for one.
    """
    steps = run.steps
    if len(run.steps_of) > 1 or steps.asked or run.summed:
        return run
    decode = [one.id for one in steps.populations if one.kind is StepKind.DECODE]
    # By extent: a pause without requests is in the period of the step before it, whatever its kind.
    period = (pl.col("finish") - pl.col("begin")).median()
    steps_of = run.windows.filter(pl.col("population").is_in(decode)).group_by("population", "step")
    own = steps_of.agg(pl.median("extent"), period=period)
    time = dict(own.group_by("population").agg(pl.sum("extent")).iter_rows())
    whole = sum(time.values())
    # The headline need not be the one that takes most time.
    if not whole or (max(time.values()) >= _HALF * whole and not (len(time) > 1 and _side_by_side(run))):
        return run
    # The last step ends with its own last work: what a kind takes that has no other is not known.
    told = pl.col("left_out").is_null() & (pl.col("step") < pl.max("step"))
    kept = run.windows.filter(pl.col("population").is_in(decode) & told)
    own = own.with_columns(after=pl.col("period") - pl.col("extent"), usual=pl.median("period"))
    after = own.group_by("population").agg(pl.median("after"), pl.first("usual"))
    pauses = set(after.filter(pl.col("after") > PAUSE * pl.col("usual"))["population"])
    summed = tuple(one for one in decode if one in set(kept["population"]) - pauses)
    if not summed:
        return run
    excluded = pl.when(pl.col("population").is_in(summed)).then("left_out").otherwise(pl.lit("other work"))
    other = replace(run, windows=run.windows.with_columns(excluded=excluded), summed=summed)
    return with_figures_of(run, other)


def _side_by_side(run: Run) -> bool:
    """Whether several batches are in a pipeline at one time: how long a step of one kind takes hangs on the others."""
    return run.stage_work is not None and run.stage_work.at_once(run.ledger) > 1


def with_figures_of(run: Run, other: Run) -> Run:
    """The other, the same run with other steady steps: its traces need not be asked again of all steps."""
    steady = pl.col("step").is_in(other.steady_steps)
    known = {"ledger": run.ledger.with_columns(steady=steady)}
    vars(other).update(known | {name: getattr(run, name) for name in OF_ALL_STEPS})
    return other


def of_one_population(run: Run) -> Run:
    """The run, with its headline as what the user has asked for: for what is held against others."""
    if all(steps.asked for steps in run.steps_of.values()):
        return run
    return replace(run, steps_of={ranks: replace(steps, asked=True) for ranks, steps in run.steps_of.items()})


def weights_of(run: Run) -> dict[str, int]:
    """How many steps the populations have that answers are a sum over, by id; nothing where they are of one."""
    counts = run.windows.unique("step").group_by("population").len()
    return {one: n for one, n in counts.iter_rows() if one in run.summed}


def weighed(of_each: Mapping[str, float], weights: Mapping[str, int]) -> float:
    """The mean over populations, each as often as it has steps."""
    told = {one: weights[one] for one in of_each}
    return sum(of_each[one] * n for one, n in told.items()) / sum(told.values())


def typical_periods(run: Run) -> dict[str, float]:
    """Median period of a step of each population that answers are a sum over: of each rank, then over the ranks."""
    return dict(_by_rank(run, "period_ns").group_by("population").agg(pl.median("period_ns")).drop_nulls().iter_rows())


def typical_period(steady: pl.DataFrame) -> int:
    """Median over the ranks of each one's median step, ns; 0 without any. steady: rows of the ledger."""
    return round(steady.group_by("rank").agg(pl.median("period_ns"))["period_ns"].median() or 0)  # type: ignore[arg-type]


def usual_period(run: Run) -> int:
    """The median step, which savings are taken off; where answers are a sum over populations, the mean of theirs over
    all steps.
    """
    if run.summed and (each := typical_periods(run)):
        return round(weighed(each, weights_of(run)))
    return typical_period(run.ledger.filter("steady"))


def longest(run: Run, column: str) -> float:
    """Of the median of a figure of the ledger over the steady steps of each rank the largest; of a mean step where
    answers are a sum over populations.
    """
    if not run.summed:
        return float(run.per_rank[column].max() or 0)  # type: ignore[arg-type]
    each = dict(_by_rank(run, column).group_by("population").agg(pl.max(column)).drop_nulls().iter_rows())
    return weighed(each, weights_of(run)) if each else 0.0


def _by_rank(run: Run, column: str) -> pl.DataFrame:
    populations = run.windows.select("step", "population").unique("step")
    steady = run.ledger.filter("steady").join(populations, on="step")
    # A step that nothing follows says what its kind takes only where that has no other.
    cut = pl.col("step").is_in(run.open_steps)
    steady = steady.filter(~cut | cut.all().over("population"))
    return steady.group_by("population", "rank").agg(pl.median(column))


def summed_over(run: Run) -> Sequence[Summed]:
    """What the answers are a sum over, most time first; nothing where they are of one population."""
    weights, periods = weights_of(run), typical_periods(run) if run.summed else {}
    whole = sum(weights[one] * period for one, period in periods.items())
    found = [Summed(one, weights[one], round(ns), weights[one] * ns / whole) for one, ns in periods.items()]
    return sorted(found, key=lambda one: (-one.share, one.id))
