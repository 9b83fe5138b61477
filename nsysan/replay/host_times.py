"""How hosts spend a step, as their calls into the operating system tell (DEFINITIONS.md, section 7)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from nsysan.columns.intervals import atoms
from nsysan.columns.times import in_any
from nsysan.replay.engine import I64
from nsysan.replay.os_waits import waiting
from nsysan.replay.results import HostTime
from nsysan.replay.shape import Graph
from nsysan.replay.unseen import launching
from nsysan.trace.os_calls import Waits

_CUDA, _WAITS, _SLEEPS, _TOLD = range(4)


def host_times(graph: Graph, os_calls: pl.DataFrame, counted: pl.DataFrame) -> list[HostTime]:
    """What the thread that launches most does, of each rank of which that is traced.

    os_calls: as Activity has them. counted: stretch, rank, start, finish of the steps (ns, on the clock of the graph).
    """
    if os_calls.is_empty():
        return []
    calls = launching(graph.calls)
    threads = calls.select("stretch", "rank", "thread").unique()
    asked = os_calls.drop("rank").join(threads, on=["stretch", "thread"], how="inner")
    asked = asked.sort("stretch", "thread", "start", "end")
    found = []
    for rank in sorted(asked["rank"].unique()):
        parts = [_of_stretch(calls, asked, steps) for steps in _stretches(counted, rank)]
        ns, steps = np.sum([part for part, _ in parts], axis=0), sum(count for _, count in parts)
        if steps:
            found.append(_host_time(rank, ns // steps, int(ns.sum()) // steps, _longest(calls, asked, rank)))
    return found


def _stretches(counted: pl.DataFrame, rank: int) -> list[pl.DataFrame]:
    own = counted.filter(pl.col("rank") == rank).sort("stretch", "start")
    return own.partition_by("stretch", maintain_order=True)


def _of_stretch(calls: pl.DataFrame, asked: pl.DataFrame, steps: pl.DataFrame) -> tuple[I64, int]:
    """ns by set of the four classes, and the number of steps; none where no call into the system is traced."""
    stretch, rank = steps["stretch"][0], steps["rank"][0]
    own, told = (one.filter(pl.col("stretch") == stretch, pl.col("rank") == rank) for one in (calls, asked))
    if told.is_empty():
        return np.zeros(1 << 4, dtype=np.int64), 0
    cuda = own.filter(~pl.col("reply")).sort("start")
    waits = waiting(told, cuda["start"].to_numpy())
    pieces = (
        (cuda, _CUDA),
        (waits, _WAITS),
        (told.filter(pl.col("waits") == Waits.SLEEPS), _SLEEPS),
        (own.filter("reply"), _TOLD),
    )
    starts, ends = (np.concatenate([one[name].to_numpy() for one, _ in pieces]) for name in ("start", "end"))
    classes = np.concatenate([np.full(len(one), number, dtype=np.int64) for one, number in pieces])
    windows = steps["start"].to_numpy(), steps["finish"].to_numpy()
    return atoms(starts, ends, classes, windows, len(pieces)).sum(axis=0), len(steps)


def _longest(calls: pl.DataFrame, asked: pl.DataFrame, rank: int) -> str:
    """Name of the calls in which the host of a rank waits or sleeps longest between its CUDA calls, "" of none."""
    cuda = calls.filter(pl.col("rank") == rank, ~pl.col("reply")).select("start", "end")
    own = asked.filter(pl.col("rank") == rank).drop_nulls("waits")
    within = in_any(own["start"].to_numpy(), own["end"].to_numpy(), (cuda["start"].to_numpy(), cuda["end"].to_numpy()))
    told = own.filter(~within).group_by("name").agg(ns=(pl.col("end") - pl.col("start")).sum())
    return next(iter(told.sort(["ns", "name"], descending=[True, False])["name"]), "")


def _host_time(rank: int, ns: I64, whole: int, longest: str) -> HostTime:
    """ns: of a step, by set of classes; whole: all of them, of which the rest of each goes to what it works."""

    def of(one: int, *others: int) -> npt.NDArray[np.bool_]:
        sets = np.arange(len(ns))
        found: npt.NDArray[np.bool_] = (sets >> one) & 1 == 1
        for other in others:
            found &= (sets >> other) & 1 == 0
        return found

    cuda, waits = int(ns[of(_CUDA)].sum()), int(ns[of(_WAITS, _CUDA)].sum())
    sleeps, untold = int(ns[of(_SLEEPS, _CUDA, _WAITS)].sum()), int(ns[of(_WAITS, _CUDA, _TOLD)].sum())
    return HostTime(rank, cuda, whole - cuda - waits - sleeps, waits, sleeps, untold, longest)
