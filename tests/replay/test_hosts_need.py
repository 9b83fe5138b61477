"""On a real eager run: no what-if is shorter than what the hosts that it leaves in place need (METRICS section 7)."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

from nsysan.replay.pace import pace_of
from nsysan.replay.prepared import prepare
from nsysan.run.run import Run


def test_tp4_eager(analyzed: Callable[[str], Run]) -> None:
    """Hosts run ahead, in steps of 10.8 or of 17 ms: those of ranks 1 and 2 need 10.6 by the mean, rank 0 18.6."""
    ready = prepare(analyzed("tp4_eager"))
    assert ready is not None
    first = ready.basis.graph.first_operation
    own = ready.basis.delays.lane[:first]
    calls = ready.basis.graph.calls.with_columns(ns=pl.Series(own[0::2] + own[1::2]))
    steps = calls.join(ready.counted, on=["rank", "stretch", "step"], how="semi")
    means = dict(steps.group_by("rank").agg(pl.sum("ns") / pl.struct("stretch", "step").n_unique()).iter_rows())
    assert {rank: round(ns / 1e6, 1) for rank, ns in sorted(means.items())} == {0: 18.6, 1: 10.5, 2: 10.7, 3: 8.5}
    pace = pace_of(ready)
    now, right = pace.period, pace.ranks[0]
    # All but rank 0's, which is put right.
    assert right.mean >= 0.999 * means[2]
    assert right.median >= 0.999 * means[2] * now.median / now.mean
    assert pace.scenarios["floor_wire"].median >= 0.95 * means[0] * now.median / now.mean
    late = {one.ranks: one for one in pace.late}[0,]
    assert (late.cause, late.saves) == ("host", now.median - right.median)
