"""When the results of a step are known to somebody who may tell the hosts to begin the next (METRICS section 7)."""

from __future__ import annotations

import numpy as np
import polars as pl

from nsysan.replay.engine import I64
from nsysan.replay.links import Link, Part
from nsysan.replay.unseen import SEEN, busiest, waiting
from nsysan.replay.waits import held_calls, waits_of

#: They are known in so many of the steps.
_MOST = 0.8


def told_to_thread(work: pl.DataFrame, beside: pl.DataFrame, orders: pl.DataFrame) -> pl.DataFrame:
    """stretch, step, node (the last work of the step that a call beside waits for, its number), end (of that call).

    work: as with_places has it. beside: calls that wait of threads that launch nothing, as Activity has them.
    """
    calls = beside.filter(~pl.col("name").str.contains("Query")).with_row_index("number")
    calls = calls.with_columns(launch="name", place=pl.lit(0, dtype=pl.Int64), asked=pl.lit(1, dtype=pl.UInt32))
    return _last(work, calls, *_shown(waits_of(work, calls, orders, 2 * np.arange(len(work)))))


def told_to_host(work: pl.DataFrame, hosts: pl.DataFrame, waits: list[Part]) -> tuple[pl.DataFrame, int]:
    """The same of calls of the one host among several that is seen to wait; and its rank, -1 where none is alone.

    waits: of all hosts, as waits.host_waits has them.
    """
    calls = hosts.rename({"traced": "number"})
    nodes, numbers = _shown(waits)
    until = (
        pl.DataFrame({"number": numbers, "until": work["end"].to_numpy()[nodes]})
        .group_by("number")
        .agg(pl.max("until"))
    )
    held = calls.with_columns(pl.col("number").cast(pl.Int64)).join(until, on="number", how="left")
    waited = (pl.min_horizontal("until", "end") - pl.col("start")).clip(0).fill_null(0)
    shares = waiting(busiest(held.with_columns(waited=waited)))
    seen = shares.filter(pl.col("share") >= SEEN)["rank"].to_list()
    if len(seen) != 1 or len(shares) < 2:
        return work.head(0).select("stretch", "step", "end", node=pl.lit(0)), -1
    return _last(work.with_columns(home=pl.when(rank=seen[0]).then("home")), calls, nodes, numbers), int(seen[0])


def never_wait(work: pl.DataFrame, hosts: pl.DataFrame) -> bool:
    """Whether no call of the hosts waits or asks, and the driver holds none."""
    calls = hosts.with_columns(number="traced")
    return not hosts["waits"].any() and not held_calls(work, calls, 2 * np.arange(len(work)))


def when_done(work: pl.DataFrame) -> pl.DataFrame:
    """The same of the last work of each step, as it ends."""
    found = work.select("stretch", "end", step="home", node=pl.int_range(pl.len())).drop_nulls("step")
    last = found.sort("stretch", "step", "end").unique(["stretch", "step"], keep="last", maintain_order=True)
    return last.select("stretch", "step", "node", "end")


def _shown(parts: list[Part]) -> tuple[I64, I64]:
    """The work and the calls that wait for it, of edges from the one to the other, by number."""
    source, target, link = (np.concatenate([np.zeros(0, dtype=np.int64), *(one[i] for one in parts)]) for i in range(3))
    kept = link == Link.SYNC
    return (source[kept] - 1) // 2, (target[kept] - 1) // 2


def _last(work: pl.DataFrame, calls: pl.DataFrame, nodes: I64, numbers: I64) -> pl.DataFrame:
    found = work.select("stretch", "rank", "home", ended="end")[nodes].with_columns(
        calls[numbers]["end"], node=pl.Series(nodes)
    )
    found = found.drop_nulls("home").sort("ended", "end")
    told = found.group_by("stretch", "home", "rank", maintain_order=True).agg(pl.last("node", "end"))
    told = told.rename({"home": "step"})
    # Of each step of a rank of which it is told in most.
    steps = work.group_by("rank").agg(steps=pl.struct("stretch", "home").n_unique())
    often = told.group_by("rank").len().join(steps, on="rank").filter(pl.col("len") >= _MOST * pl.col("steps"))
    told = told.join(often, on="rank", how="semi").sort("stretch", "step", "end")
    return told.unique(["stretch", "step"], keep="last", maintain_order=True).select("stretch", "step", "node", "end")
