"""Whether a run launches its kernels one by one."""

from __future__ import annotations

import polars as pl

from nsysan.run.run import Run
from nsysan.trace.graph_mode import GraphMode

#: Kernels launched one by one from this share on: a step that is half in graphs is not eager.
EAGER_SHARE = 0.5


def is_eager(run: Run) -> bool:
    """Whether kernels are launched one by one, so that tracing each launch weighs on the host."""
    if run.graph_mode == GraphMode.GRAPH:
        return False
    steady = run.tally.by_step.filter(pl.col("step").is_in(run.steady_steps))
    alone, kernels = steady.select(pl.sum("alone", "kernels")).row(0)
    return bool(kernels) and alone >= EAGER_SHARE * kernels
