"""A run whose figures are of another population."""

from __future__ import annotations

from dataclasses import replace

import polars as pl

from nsysan.run.run import Run


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
    # What is asked of all steps is the same.
    steady = pl.col("step").is_in(other.steady_steps)
    known = {"ledger": run.ledger.with_columns(steady=steady)}
    known |= {name: getattr(run, name) for name in ("gaps", "extents", "tally")}
    vars(other).update(known)
    return other
