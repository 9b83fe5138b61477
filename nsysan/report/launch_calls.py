"""The launch calls of operations in steps, each once, numbered in its step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nsysan.columns.codes import coded
from nsysan.columns.in_order import changes, in_order
from nsysan.columns.intervals import I64
from nsysan.report.in_steps import WorkInSteps


@dataclass(frozen=True)
class Calls:
    """Launch calls by group and start.

    group, begin, end, number (in the step), name (a row of names) of each; of: for each operation the number of its
    call, -1 where none is recorded.
    """

    group: I64
    begin: I64
    end: I64
    number: npt.NDArray[np.int32]
    name: I64
    names: list[str]
    of: npt.NDArray[np.int32]


def launch_calls(work: WorkInSteps, ranks: int) -> Calls:
    """Those of these operations; ranks: groups of a step."""
    which, distinct = coded(work.callers.select("launch"))
    recorded = np.flatnonzero(work.rows["launch_start"].is_not_null().to_numpy())
    own = work.rows.select("group", "launch_start", "launch_end", "caller")
    columns = (column.fill_null(0).to_numpy() if column.null_count() else column.to_numpy() for column in own)
    group, begin, end, caller = (column if len(recorded) == len(column) else column[recorded] for column in columns)
    keys = [group, begin, end, which.to_numpy()[caller]]
    # A graph's operations have one call, one after the other.
    runs = np.flatnonzero(changes(keys))
    order, keys = in_order(*(key[runs] for key in keys))
    fresh = changes(keys)
    group, begin, end, name = (key[fresh].astype(np.int64) for key in keys)
    step = group // ranks
    first = np.flatnonzero(changes([step]))
    number = (np.arange(len(step)) - np.repeat(first, np.diff(first, append=len(step)))).astype(np.int32)
    of_run = np.empty(len(runs), dtype=np.int32)
    of_run[order] = number[np.cumsum(fresh) - 1]
    of = np.full(len(work.rows), -1, dtype=np.int32)
    of[recorded] = np.repeat(of_run, np.diff(runs, append=len(recorded)))
    return Calls(group, begin, end, number, name, ["?" if n is None else n for n in distinct["launch"]], of)
