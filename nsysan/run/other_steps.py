"""A run whose figures are of another population."""

from __future__ import annotations

from dataclasses import dataclass, replace

import polars as pl

from nsysan.model.steps.step_kind import StepKind
from nsysan.run.all_decode import typical_period, with_figures_of
from nsysan.run.run import Run

#: Other kinds of decode steps are looked into that take so much of the time of all, in so many steady steps; so many.
MUCH, FEW, MOST = 0.1, 5, 3


@dataclass(frozen=True)
class Kind:
    """Decode steps of one kind. steps: how many; part: of all decode steps, share: of the time of these; period: ns of
    the median one; mean: of the mean one of all.
    """

    id: str
    steps: int
    part: float
    share: float
    period: int
    mean: int


def other_kinds(run: Run) -> list[tuple[Kind, Run]]:
    """The decode populations of one replica besides its headline that take much of the time, most time first, each with
    the run whose figures are of it; none where the user has asked for one.
    """
    if len(run.steps_of) > 1 or run.steps.asked or not run.steps.populations:
        return []
    decode = [one.id for one in run.steps.populations if one.kind is StepKind.DECODE]
    of_kind = run.windows.filter(pl.col("population").is_in(decode)).group_by("population", "step")
    period = (pl.col("finish") - pl.col("begin")).median()
    time = of_kind.agg(pl.median("extent"), period=period, steady=pl.col("left_out").is_null().all())
    mean = round(time["period"].mean() or 0)  # type: ignore[arg-type]
    kinds = time.group_by("population").agg(pl.sum("extent", "steady"), steps=pl.len())
    kinds = kinds.with_columns(share=pl.col("extent") / pl.col("extent").sum())
    told = pl.col("share").ge(MUCH) & pl.col("steady").ge(FEW) & (pl.col("population") != run.steps.populations[0].id)
    found = []
    for one in kinds.filter(told).sort("share", "population", descending=[True, False]).head(MOST).to_dicts():
        headed = headed_by(run, one["population"])
        usual = typical_period(headed.ledger.filter("steady"))
        part = one["steps"] / len(time)
        found.append((Kind(one["population"], one["steps"], part, one["share"], usual, mean), headed))
    return found


def headed_by(run: Run, population: str) -> Run:
    """The run of one replica, with the steady steps of another of its populations as those that figures are of."""
    (ranks, steps), *_ = run.steps_of.items()
    excluded = pl.when(pl.col("population") == population).then("left_out").otherwise(pl.lit("other work"))
    ordered = sorted(steps.populations, key=lambda one: one.id != population)
    other = replace(
        run,
        windows=run.windows.with_columns(excluded=excluded),
        steps_of={ranks: replace(steps, populations=ordered, asked=True)},
    )
    return with_figures_of(run, other)
