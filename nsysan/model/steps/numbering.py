"""Decode steps of a run: the same step on every rank, and which of them the headline figures describe.

DEFINITIONS.md, section 4.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from nsysan.columns.asof import join_nearest
from nsysan.model.operations import is_communication
from nsysan.model.steps.step_windows import WINDOWS, StepWindows

_SIMILAR = 0.1
#: Kernels that are named where a step differs, and letters of a name.
_SHOWN = 2
_NAME = 60
_STARTUP = 1.5
#: Why the first step of a capture is left out.
FIRST = "start-up: first of the capture"
_MIN_STEPS_FOR_STARTUP = 4


@dataclass(frozen=True)
class Steps:
    """The steps of a run.

    windows: step, rank_key, begin, finish, label, excluded (null: a steady decode step; else why it is not).
    membership: row, step of each call that belongs to one; passing: the same of those that no range claims.
    method: nvtx, graph, period or window; source: the same in words, for people.
    """

    method: str
    source: str
    windows: pl.DataFrame
    membership: pl.DataFrame
    passing: pl.DataFrame
    notes: list[str] = field(default_factory=list)


def combine_steps(found: Sequence[StepWindows], calls: pl.DataFrame, counts: pl.DataFrame) -> Steps:
    """One set of steps from what was found in each trace, on one clock.

    calls, counts: of all traces, as in model.loaded.TraceSummary.
    """
    first = found[0]
    windows = _number_across_ranks(pl.concat([part.windows for part in found], how="diagonal"))
    opened = windows.select("rank_key", "begin", "step")
    membership = (
        calls.select("row", "rank_key", begin="member").join(opened, on=["rank_key", "begin"]).select("row", "step")
    )
    passing = _in_passing(calls, windows, membership)
    membership = pl.concat([membership, passing])
    numbered = calls.join(membership, on="row", maintain_order="left")
    counts = counts.join(opened, on=["rank_key", "begin"]).drop("begin")
    windows = _exclude(
        windows, pl.concat([counts, *_counted(numbered, passing)], how="diagonal"), numbered, first.method
    )
    sources = list(dict.fromkeys(part.source for part in found))
    notes = list(dict.fromkeys(note for part in found for note in part.notes))
    return Steps(first.method, "; ".join(sources), windows, membership, passing, notes)


def _counted(calls: pl.DataFrame, passing: pl.DataFrame) -> list[pl.DataFrame]:
    """Counts, as in model.loaded.TraceSummary, of the calls that no range claims."""
    if passing.is_empty():
        return []
    rest = calls.join(passing.select("row"), on="row", how="semi")
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


def _number_across_ranks(windows: pl.DataFrame) -> pl.DataFrame:
    """Add `step`: the same number on every rank for the same step of the run."""
    windows = windows.sort("rank_key", "begin")
    named = windows.select(pl.struct("rank_key", "label").is_unique().all()).item() and _shared_labels(windows)
    if named and windows["rank_key"].n_unique() > 1:
        order = windows.group_by("label").agg(pl.median("begin")).sort("begin").with_row_index("step")
        windows = windows.join(order.select("label", "step"), on="label", maintain_order="left")
    else:
        ordered = windows.with_columns(step=pl.int_range(pl.len()).over("rank_key"))
        windows = ordered if _all_at_once(ordered) else _nearest_in_time(windows)
    return windows.with_columns(pl.col("step").cast(pl.Int64)).sort("step", "rank_key")


def _shared_labels(windows: pl.DataFrame) -> bool:
    """Whether ranks name a step alike: a label that holds the rank's own number does not tell which step it is."""
    most = windows.group_by("rank_key").len()["len"].max()
    return bool(windows["label"].n_unique() < 1.5 * most)  # type: ignore[operator]


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
    numbered = [
        part.with_columns(step=pl.Series(np.searchsorted(middles, part["begin"].to_numpy()))) for part in by_rank
    ]
    return pl.concat(numbered).unique(["rank_key", "step"], keep="first", maintain_order=True)


def _exclude(windows: pl.DataFrame, counts: pl.DataFrame, calls: pl.DataFrame, method: str) -> pl.DataFrame:
    """Add `excluded`: why a step is not one of the steady decode steps that the headline figures describe.

    counts: rank_key, step, name, n, collectives. calls: step, message_bytes of each call.
    """
    reasons: dict[int, str] = {}
    steps = windows["step"].unique().sort().to_list()
    ranks = windows["rank_key"].n_unique()
    seen = dict(windows.group_by("step").len().iter_rows())
    for step in steps:
        if seen[step] < ranks:
            reasons[step] = f"seen on {seen[step]} of {ranks} ranks"
    for step in _before_a_gap(windows):
        reasons.setdefault(step, "a rank misses the step after it, so its end there is not known")
    if "prefill" in windows.columns:
        prefill = windows.filter(pl.col("prefill"))["step"].unique()
        reasons.update(dict.fromkeys(prefill, "prefill"))
    if method != "window":
        candidates = [step for step in steps if step not in reasons]
        reasons.update(_unlike_the_rest(counts, _message_sizes(calls), candidates))
        reasons.update(_startup(windows, [step for step in steps if step not in reasons]))
    excluded = pl.col("step").replace_strict(reasons, default=None, return_dtype=pl.String)
    return windows.with_columns(excluded=excluded).select("step", *WINDOWS, "excluded")


def _before_a_gap(windows: pl.DataFrame) -> list[int]:
    """Steps whose successor is missing on some rank, where their window would run on over the gap."""
    successor = pl.col("step").shift(-1).over("rank_key", order_by="step")
    found: list[int] = windows.filter(successor > pl.col("step") + 1)["step"].unique().sort().to_list()
    return found


def _unlike_the_rest(counts: pl.DataFrame, sizes: dict[int, list[int]], candidates: list[int]) -> dict[int, str]:
    """Steps whose kernels differ from those of the most frequent kind of step on any rank."""
    counts = counts.filter(pl.col("step").is_in(candidates))
    counts = counts.group_by("rank_key", "step", "name").agg(pl.sum("n", "collectives"))
    per_rank = counts.group_by("rank_key", "step").agg(hash=pl.struct("name", "n").hash().sum())
    signatures = per_rank.group_by("step").agg(signature=pl.struct("rank_key", "hash").hash().sum())
    if signatures.is_empty():
        return {}
    common = (
        signatures.group_by("signature")
        .agg(n=pl.len(), step=pl.min("step"))
        .sort("n", "step", descending=[True, False])
    )
    model = counts.filter(pl.col("step") == common["step"][0]).drop("step")
    every = signatures.select("step").join(model, how="cross")
    compared = every.join(counts, on=["rank_key", "step", "name"], how="full", coalesce=True, suffix="_here")
    compared = compared.fill_null(0)
    distance = compared.group_by("step").agg(
        differ=(pl.col("n") - pl.col("n_here")).abs().sum(),
        total=pl.sum("n"),
        here=pl.sum("n_here"),
        collectives=pl.sum("collectives") - pl.sum("collectives_here"),
    )
    unlike = distance.filter((pl.col("differ") > _SIMILAR * pl.col("total")) | (pl.col("collectives") != 0))
    usual = sizes.get(common["step"][0], [])
    reasons = {}
    for step, here, total in unlike.sort("step").select("step", "here", "total").iter_rows():
        told = [f"{here} operations (usually {total})"] if here != total else []
        told += _other_kernels(compared.filter(pl.col("step") == step))
        own = sizes.get(step, [])
        told += [f"messages of {_listed(own)} (usually {_listed(usual)})"] if own != usual and own and usual else []
        reasons[step] = f"different work: {', '.join(told)}"
    return reasons


def _other_kernels(compared: pl.DataFrame) -> list[str]:
    """The kernels that one step has more or fewer of, on the rank where they differ most; the largest two."""
    apart = compared.with_columns(apart=(pl.col("n") - pl.col("n_here")).abs()).filter(pl.col("apart") > 0)
    largest = apart.sort("apart", "name", "rank_key", descending=[True, False, False]).unique(
        "name", keep="first", maintain_order=True
    )
    shown = largest.head(_SHOWN).select("name", "n_here", "n").iter_rows()
    told = [f"{here} of {_short(name)} (usually {usual})" for name, here, usual in shown]
    more = len(largest) - len(told)
    return told + ([f"and {more} more {'kernel' if more == 1 else 'kernels'}"] if more else [])


def _short(name: str) -> str:
    """A kernel's name without its parameters."""
    bare = re.split(r"[<(]", name, maxsplit=1)[0].strip() or name
    return bare if len(bare) <= _NAME else f"{bare[: _NAME - 3]}..."


def _message_sizes(calls: pl.DataFrame) -> dict[int, list[int]]:
    """The sizes of the messages of each step, bytes, ascending."""
    known = calls.filter(pl.col("message_bytes").is_not_null())
    return dict(known.group_by("step").agg(pl.col("message_bytes").unique().sort()).iter_rows())


def _listed(sizes: list[int]) -> str:
    return f"{sizes[0]} bytes" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]} bytes"


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
