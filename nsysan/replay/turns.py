"""What the first stage of a pipeline waits for before its next step: the last stage's work (inferred, METRICS 7)."""

from __future__ import annotations

import numpy as np
import polars as pl

from nsysan.replay.engine import I64
from nsysan.replay.links import Link, Part, part
from nsysan.replay.meetings import from_last_to_first

#: So many steps of the first stage begin after the same number of steps of the last has ended, or nothing is inferred.
_MOSTLY = 0.9


def turns(work: pl.DataFrame, hosts: pl.DataFrame, starts: I64, stages: list[tuple[int, ...]]) -> list[Part]:
    """Edges from the end of the last stage's step to the first stage's host, and to its GPU, when they begin the next;
    and to the hosts of the stages between.

    No table tells which work of the last stage a step of the first is made of. With so many batches in flight it is
    that of as many steps before: the last one that has always ended by then. Nothing is inferred where a call of the
    trace makes the first stage wait for the last.
    """
    if len(stages) < 2 or from_last_to_first(work, stages):
        return []
    numbered = work.select("stretch", "rank", "step", "begin", "end", "message", "launch_start", node=pl.Series(starts))
    numbered = numbered.drop_nulls("step")
    # What comes for the next step may be waited for in this one, and what this one sends may move in the next.
    messages = numbered.filter("message").select("stretch", "rank", start="launch_start")
    numbered = numbered.filter(~pl.col("message"))
    ends = numbered.filter(pl.col("rank").is_in(list(stages[-1]))).sort("end", "node")
    ends = ends.group_by("stretch", "step").agg(pl.last("end", "node")).sort("stretch", "step")
    first, middle = (
        pl.col("rank").is_in([rank for one in chosen for rank in one]) for chosen in (stages[:1], stages[1:-1])
    )
    key = ("stretch", "rank", "step")
    calls = hosts.filter(~pl.col("waits")).drop_nulls("step").sort("start", maintain_order=True)
    own_calls = calls.filter(first).join(messages, on=["stretch", "rank", "start"], how="anti", maintain_order="left")
    of_first, between = (
        of.group_by(key, maintain_order=True).agg(at=pl.first("start"), target=2 * pl.first("number"))
        for of in (own_calls, calls.filter(middle))
    )
    work_of = numbered.filter(first).sort("begin", "node").group_by(key, maintain_order=True)
    begun = work_of.agg(at=pl.first("begin"), target=pl.first("node"))
    found = []
    for (stretch,), own in of_first.partition_by("stretch", as_dict=True, maintain_order=True).items():
        of_stretch = pl.col("stretch") == stretch
        ended = ends.filter(of_stretch)
        lag = _lag(own, ended)
        if lag is None:
            continue
        found += [_after(ended, began, lag) for began in (own, begun.filter(of_stretch))]
        # Hosts of the stages between are told of the next step as those of the first are.
        for began in between.filter(of_stretch).partition_by("rank", maintain_order=True):
            lag = _lag(began, ended)
            found += [] if lag is None else [_after(ended, began, lag)]
    return found


def _after(ended: pl.DataFrame, began: pl.DataFrame, lag: int) -> Part:
    """Edges to what begins each step from the end of the last stage's, so many steps before."""
    of = _place(ended, began) - lag
    known = of >= 0
    source, target = ended["node"].to_numpy()[of[known]] + 1, began["target"].to_numpy()[known]
    return part(source, target.astype(np.int64), Link.TURN)


def _place(ended: pl.DataFrame, began: pl.DataFrame) -> I64:
    """The places of the steps among those of the last stage."""
    return np.searchsorted(ended["step"].to_numpy(), began["step"].to_numpy()).astype(np.int64)


def _lag(began: pl.DataFrame, ended: pl.DataFrame) -> int | None:
    """How many steps before its own the last stage has always ended when the other begins one; None if it has not.

    None before, where steps are numbered so that the last stage ends one that the first begins after it.
    """
    if ended.is_empty() or began.is_empty():
        return None
    # Steps of a pipeline end in their order.
    by_then = np.searchsorted(np.maximum.accumulate(ended["end"].to_numpy()), began["at"].to_numpy(), side="right") - 1
    lags = (_place(ended, began) - by_then)[by_then >= 0]
    if not len(lags):
        return None
    lag = int(np.quantile(lags, _MOSTLY, method="higher"))
    return lag if lag >= 0 else None
