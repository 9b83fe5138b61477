"""A run whose figures are of another population."""

from __future__ import annotations

from dataclasses import replace

import polars as pl

from nsysan.run.all_decode import with_figures_of
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
    return with_figures_of(run, other)
