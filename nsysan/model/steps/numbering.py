"""Decode steps of a run: the same step on every rank, and which of them the headline figures describe.

DEFINITIONS.md, section 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import polars as pl

from nsysan.columns.asof import join_nearest
from nsysan.model.classes import WorkClass
from nsysan.model.operations import is_communication
from nsysan.model.steps.extents import clipped
from nsysan.model.steps.lags import in_step
from nsysan.model.steps.populations import DEFAULT, Choice, Population, find_populations
from nsysan.model.steps.step_kind import StepKind, StepMethod
from nsysan.model.steps.step_windows import WINDOWS, StepWindows

_STARTUP = 1.5
#: Why the first step of a capture is left out.
FIRST = "start-up: first of the capture"
_MIN_STEPS_FOR_STARTUP = 4
#: A rank is as many steps behind as it is in most of so many steps before and after.
_BESIDE = 3


@dataclass(frozen=True)
class Steps:
    """The steps of a run.

    windows: step, rank_key, begin, finish, label, extent (ns in which its work runs), population (id), left_out (null:
    a steady step of its population; else why it is not), excluded (the same of the headline population). populations:
    the headline first.
    membership: row, step of each call that belongs to one; passing: the same of those that no range claims.
    source: the method in words, for people. asked: whether the user chose the headline.
    """

    method: StepMethod
    source: str
    windows: pl.DataFrame
    membership: pl.DataFrame
    passing: pl.DataFrame
    notes: list[str] = field(default_factory=list)
    populations: list[Population] = field(default_factory=list)
    asked: bool = False


def combine_steps(
    found: Sequence[StepWindows], calls: pl.DataFrame, counts: pl.DataFrame, choice: Choice = DEFAULT
) -> Steps:
    """One set of steps from what was found in each trace, on one clock.

    calls, counts: of all traces, as in model.loaded.TraceSummary. choice: the population to head with.
    """
    first = found[0]
    windows = clipped(_number_across_ranks(pl.concat([part.windows for part in found], how="diagonal"), calls))
    opened = windows.select("rank_key", "begin", "step")
    membership = (
        calls.select("row", "rank_key", begin="member").join(opened, on=["rank_key", "begin"]).select("row", "step")
    )
    passing = _in_passing(calls, windows, membership)
    membership = pl.concat([membership, passing])
    told = calls.select("row", "rank_key", "name", "cls", "message_bytes")
    numbered = told.join(membership, on="row", maintain_order="left")
    counts = counts.join(opened, on=["rank_key", "begin"]).drop("begin")
    counts = pl.concat([counts, *_counted(numbered, passing)], how="diagonal").with_columns(pl.col("ns").fill_null(0))
    windows, populations = _exclude(windows, counts, numbered, first.method, choice)
    sources = list(dict.fromkeys(part.source for part in found))
    notes = list(dict.fromkeys(note for part in found for note in part.notes))
    return Steps(first.method, "; ".join(sources), windows, membership, passing, notes, populations, choice != DEFAULT)


def _counted(calls: pl.DataFrame, passing: pl.DataFrame) -> list[pl.DataFrame]:
    """Counts, as in model.loaded.TraceSummary, of the calls that no range claims, but for sends and receives.

    A receive is launched when its host has time, before the step whose data it waits for or in it.
    """
    if passing.is_empty():
        return []
    rest = calls.join(passing.select("row"), on="row", how="semi").filter(pl.col("cls") != WorkClass.P2P)
    one = pl.lit(1, dtype=pl.Int64)
    return [rest.select("rank_key", "name", "step", n=one, collectives=one)]


# ---- the same step on every rank, and which steps count


def _in_passing(work: pl.DataFrame, windows: pl.DataFrame, membership: pl.DataFrame) -> pl.DataFrame:
    """row, step of communication that no range claims but that begins inside a step's window.

    It is not the step's work, but its time is in the step's ledger, so it has to be matched over the ranks.
    """
    columns = work.select("row", "rank_key", "begin", "cls")
    communication = columns.filter(is_communication()).drop("cls")
    rest = communication.join(membership, on="row", how="anti")
    opened = windows.select("rank_key", "step", "finish", opened="begin")
    found = join_nearest(rest, opened, left_on="begin", right_on="opened", by="rank_key")
    return found.filter(pl.col("begin") < pl.col("finish")).select("row", "step")


def _number_across_ranks(windows: pl.DataFrame, calls: pl.DataFrame) -> pl.DataFrame:
    """Add `step`: the same number on every rank for the same step of the run."""
    windows = windows.sort("rank_key", "begin")
    named = windows.select(pl.struct("rank_key", "label").is_unique().all()).item() and _shared_labels(windows)
    if named and windows["rank_key"].n_unique() > 1:
        order = windows.group_by("label").agg(pl.median("begin")).sort("begin").with_row_index("step")
        windows = windows.join(order.select("label", "step"), on="label", maintain_order="left")
    else:
        windows = windows.with_columns(step=pl.int_range(pl.len()).over("rank_key"))
        if not _named_alike(windows):
            windows = windows if _all_at_once(windows) else _nearest_in_time(windows)
            windows = in_step(windows, calls)
    return windows.with_columns(pl.col("step").cast(pl.Int64)).sort("step", "rank_key")


def _shared_labels(windows: pl.DataFrame) -> bool:
    """Whether ranks name a step alike: a label that holds the rank's own number does not tell which step it is."""
    most = windows.group_by("rank_key").len()["len"].max()
    return bool(windows["label"].n_unique() < 1.5 * most)  # type: ignore[operator]


def _named_alike(windows: pl.DataFrame) -> bool:
    """Whether every rank has the same steps by the names of their ranges, which differ over the steps.

    The stages of a pipeline are in one step one after the other.
    """
    steps = windows.group_by("step").agg(seen=pl.len(), names=pl.n_unique("label"))
    alike = bool(((steps["seen"] == windows["rank_key"].n_unique()) & (steps["names"] == 1)).all())
    return alike and windows["label"].n_unique() > 1


def _all_at_once(windows: pl.DataFrame) -> bool:
    """Whether every step is seen on every rank, and at one time: ranks may miss different ends of the capture."""
    ranks = windows["rank_key"].n_unique()
    steps = windows.group_by("step").agg(
        seen=pl.len(), together=pl.min("finish") > pl.max("begin"), same=pl.n_unique("begin") == 1
    )
    return bool(((steps["seen"] == ranks) & (steps["together"] | steps["same"])).all())


def _nearest_in_time(windows: pl.DataFrame) -> pl.DataFrame:
    """Number by the rank that has most steps: collectives keep ranks within a step of each other."""
    by_rank = windows.partition_by("rank_key", maintain_order=True)
    reference = max(by_rank, key=len)["begin"].to_numpy()
    middles = (reference[1:] + reference[:-1]) // 2

    def numbers(begins: npt.NDArray[np.int64]) -> npt.NDArray[np.intp]:
        # A stage that begins half a step after the first is no nearer to the one than to the other.
        apart = begins - reference[np.searchsorted(middles, begins)]
        nearest = np.searchsorted(middles, begins - round(float(np.median(apart))))
        # Steps follow one another: one that begins late, as its host paused, is not the next one.
        order = np.arange(len(begins), dtype=np.intp)
        return order + _smoothed(nearest - order)

    numbered = [part.with_columns(step=pl.Series(numbers(part["begin"].to_numpy()))) for part in by_rank]
    return pl.concat(numbered).unique(["rank_key", "step"], keep="first", maintain_order=True)


def _smoothed(lags: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """The median of each value and those beside it."""
    padded = np.pad(lags, _BESIDE, mode="edge")
    around = np.lib.stride_tricks.sliding_window_view(padded, 2 * _BESIDE + 1)
    smoothed: npt.NDArray[np.intp] = np.median(around, axis=1).astype(np.intp)
    return smoothed


def _exclude(
    windows: pl.DataFrame, counts: pl.DataFrame, calls: pl.DataFrame, method: StepMethod, choice: Choice
) -> tuple[pl.DataFrame, list[Population]]:
    """The windows with `population` (id, null for none), `left_out` and `excluded`, and the populations.

    left_out: why a step is not one of the steady steps of its own population; excluded: why it is not one of those
    that the headline figures describe. counts: rank_key, step, name, n, collectives, ns. calls: step, message_bytes of
    each call.
    """
    left_out: dict[int, str] = {}
    steps = windows["step"].unique().sort().to_list()
    ranks = windows["rank_key"].n_unique()
    seen = dict(windows.group_by("step").len().iter_rows())
    for step in steps:
        if seen[step] < ranks:
            left_out[step] = f"seen on {seen[step]} of {ranks} ranks"
    for step in _before_a_gap(windows):
        left_out.setdefault(step, "a rank misses the step after it, so its end there is not known")
    for step in windows.filter("stopped")["step"].unique() if "stopped" in windows.columns else ():
        # Where it stops one that is to launch the next step, the others wait for that in that one.
        for one in {step, step + 1} & seen.keys():
            left_out.setdefault(one, "nsys stopped a host in it, or before it, for its buffers")
    candidates = [step for step in steps if step not in left_out]
    populations = []
    if method != StepMethod.WINDOW:
        populations = find_populations(windows, counts, _message_sizes(calls), candidates, choice)
    if begun := _first_decoding(populations):
        left_out.update(_startup(windows, list(begun.steps)))
    others = {step: one.why for one in populations[1:] for step in one.steps}
    mapped = {
        "population": {step: one.id for one in populations for step in one.steps},
        "left_out": left_out,
        "excluded": left_out | others,
    }
    columns = {
        name: pl.col("step").replace_strict(of, default=None, return_dtype=pl.String) for name, of in mapped.items()
    }
    return windows.with_columns(**columns).select("step", *WINDOWS, "extent", *columns), populations


def _first_decoding(populations: Sequence[Population]) -> Population | None:
    """The population with which decoding begins: where ranges tell batches the earliest, else the headline."""
    told = [one for one in populations if one.kind is StepKind.DECODE and one.batch is not None]
    return min(told, key=lambda one: one.steps[0]) if told else next(iter(populations), None)


def _before_a_gap(windows: pl.DataFrame) -> list[int]:
    """Steps whose successor is missing on some rank, where their window would run on over the gap."""
    successor = pl.col("step").shift(-1).over("rank_key", order_by="step")
    found: list[int] = windows.filter(successor > pl.col("step") + 1)["step"].unique().sort().to_list()
    return found


def _message_sizes(calls: pl.DataFrame) -> dict[int, list[int]]:
    """The sizes of the messages of each step, bytes, ascending."""
    known = calls.filter(pl.col("message_bytes").is_not_null())
    return dict(known.group_by("step").agg(pl.col("message_bytes").unique().sort()).iter_rows())


def _startup(windows: pl.DataFrame, candidates: list[int]) -> dict[int, str]:
    """The first step, and those after it that are still far slower than the rest: caches, clocks, the profiler."""
    if len(candidates) < _MIN_STEPS_FOR_STARTUP:
        return {}
    periods = (
        windows.filter(pl.col("step").is_in(candidates))
        .group_by("step")
        .agg(period=(pl.col("finish") - pl.col("begin")).max())
        .sort("step")["period"]
        .to_numpy()
    )
    slow = periods > _STARTUP * np.median(periods)
    slow[0] = True
    steady_from = int(np.argmin(slow))
    if steady_from > len(candidates) // 2:
        steady_from = 1
    return {
        step: FIRST if i == 0 else "start-up: still slow after the first"
        for i, step in enumerate(candidates[:steady_from])
    }
