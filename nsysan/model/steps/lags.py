"""Which step of one rank is which of another, where it begins long after it (DEFINITIONS.md, section 4).

A window opens and closes in the middle of steps. Stages of a pipeline begin a step one after the other: which is the
first that a rank shows of it, and so which of its steps is which, neither order nor nearness in time tells.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl

from nsysan.model.classes import WorkClass
from nsysan.model.matches import RECEIVES, SENDS
from nsysan.model.operations import is_communication

#: Ranks whose steps begin so much of a step apart may be another step apart.
_APART = 0.2
#: Calls end together that end no further apart than this share of the longer of them.
_TOGETHER = 0.4
#: And so much nearer to one another than with any other lag.
_NEARER = 0.25
#: So many steps have such calls.
_MOST = 0.5


class _Counted(NamedTuple):
    """Of a rank its windows in their order, and its communication, as _calls gives it."""

    windows: pl.DataFrame
    calls: pl.DataFrame


def in_step(windows: pl.DataFrame, calls: pl.DataFrame) -> pl.DataFrame:
    """The windows with `step` right where a rank is a step ahead or behind by that: by the names of the ranges, or by
    calls that end together.

    windows: rank_key, begin, label, step, by rank and time. calls: as model.loaded.TraceSummary has them.
    """
    by_rank = windows.partition_by("rank_key", maintain_order=True)
    first = max(range(len(by_rank)), key=lambda at: len(by_rank[at]))
    behind = [at for at, own in enumerate(by_rank) if _begins_apart(own, by_rank[first])]
    if not behind:
        return windows
    told = calls.filter(is_communication())
    ranks = [_Counted(own, _calls(own, told.filter(rank_key=own["rank_key"][0]))) for own in by_rank]
    more = {at: 0 for at in range(len(by_rank)) if at not in behind}
    # What meets none of these meets those of a rank of which it is told then.
    while found := {
        at: lag for at in behind if (lag := _first(_more(ranks[at], ranks[o], n) for o, n in more.items())) is not None
    }:
        more |= found
        behind = [at for at in behind if at not in found]
    right = [own.with_columns(pl.col("step") + more.get(at, 0)) for at, own in enumerate(by_rank)]
    return pl.concat(right).with_columns(pl.col("step") - pl.col("step").min())


def _calls(windows: pl.DataFrame, calls: pl.DataFrame) -> pl.DataFrame:
    """at, half, begin, end of what communicates in the windows of a rank: launched in them, or else begun in them; or,
    received from another stage before a step's work begins, ended before them. half: null for what is no message.
    """
    begins = windows["begin"].to_numpy()
    at = np.searchsorted(begins, calls.select(pl.coalesce("member", "begin")).to_series().to_numpy(), side="right") - 1
    after = np.searchsorted(begins, calls["end"].to_numpy())
    message = pl.col("cls") == WorkClass.P2P.value
    told = calls.with_columns(half=pl.when(message).then(pl.col("half").fill_null("")), at=pl.Series(at))
    received = (pl.col("half") == RECEIVES) & pl.col("member").is_null()
    told = told.with_columns(at=pl.when(received).then(pl.Series(after)).otherwise("at"))
    return told.select("at", "half", "begin", "end").filter(pl.col("at").is_between(0, len(begins) - 1))


def _first(told: Iterable[int | None]) -> int | None:
    return next((one for one in told if one is not None), None)


def _begins_apart(own: pl.DataFrame, other: pl.DataFrame) -> bool:
    """Whether the steps of a rank, which it has without a gap, begin long after those of another, or before."""
    both = own.join(other, on="step", suffix="_of")
    apart, usual = both.select(
        (pl.col("begin") - pl.col("begin_of")).abs().median(), period=pl.col("begin_of").diff().median()
    ).row(0)
    whole = own.select((pl.col("step").diff().drop_nulls() == 1).all()).item()
    return bool(whole and usual and apart > _APART * usual)


def _more(own: _Counted, other: _Counted, lag: int) -> int | None:
    """How much more a rank's steps are to be, beside one whose steps are to be `lag` more; None where nothing tells."""
    ahead = int(own.windows["step"][0]) - int(other.windows["step"][0])
    near = range(ahead - 1, ahead + 2)
    told = lag_by_names(own.windows["label"].to_list(), other.windows["label"].to_list(), near)
    if told is None:
        told = lag_by_calls(own.calls, other.calls, near)
    return None if told is None else told - ahead + lag


def lag_by_names(own: Sequence[str], other: Sequence[str], lags: Iterable[int]) -> int | None:
    """The one lag with which the names of all steps that both have are the same: own[i] is other[i + lag].

    None where several do, as names do not differ, or none does.
    """
    told = [lag for lag in lags if _same(own, other, lag)]
    return told[0] if len(told) == 1 else None


def _same(own: Sequence[str], other: Sequence[str], lag: int) -> bool:
    first, end = max(0, -lag), min(len(own), len(other) - lag)
    pairs = [(own[i], other[i + lag]) for i in range(first, end)]
    return len({name for name, _ in pairs}) > 1 and all(one == two for one, two in pairs)


def lag_by_calls(own: pl.DataFrame, other: pl.DataFrame, lags: Iterable[int]) -> int | None:
    """The lag with which calls of two ranks, as _calls gives them, end together; None where none is told.

    What stages send each other tells before what all do: a token may come back in the step after its own.
    """
    pairs = ((SENDS, RECEIVES), (RECEIVES, SENDS), (None, None))
    lags = list(lags)
    for one, two in pairs:
        mine, theirs = (calls.filter(pl.col("half").eq_missing(half)) for calls, half in ((own, one), (other, two)))
        if mine.is_empty() or theirs.is_empty():
            continue
        (least, together, lag), *others = sorted((*_ends_apart(mine, theirs, lag), lag) for lag in lags)
        if together and all(least < _NEARER * apart for apart, *_ in others):
            return lag
    return None


def _ends_apart(own: pl.DataFrame, other: pl.DataFrame, lag: int) -> tuple[float, bool]:
    """How far calls end from the nearest in the other's step, median; and whether that is together."""
    (own_at, own_end), (other_at, other_end) = (
        (frame["at"].to_numpy().astype(np.int64), frame["end"].to_numpy()) for frame in (own, other)
    )
    base = min(int(own_end.min()), int(other_end.min()))
    # A step's ends by one number, further from those of any other step than from each other.
    span = 2 * (max(int(own_end.max()), int(other_end.max())) - base + 1)
    keys = other_at * span + (other_end - base)
    order = np.argsort(keys, kind="stable")
    wanted = (own_at + lag) * span + (own_end - base)
    found = np.searchsorted(keys[order], wanted)
    near = np.stack([order[np.clip(found + beside, 0, len(order) - 1)] for beside in (-1, 0)])
    apart = np.where(other_at[near] == own_at + lag, np.abs(keys[near] - wanted), span)
    nearest = np.argmin(apart, axis=0)
    least, whose = (np.take_along_axis(rows, nearest[None], axis=0)[0] for rows in (apart, near))
    paired = least < span
    if len(np.unique(own_at[paired])) < _MOST * len(np.unique(own_at)):
        return float("inf"), False
    took, took_other = (frame["end"].to_numpy() - frame["begin"].to_numpy() for frame in (own, other))
    longer = np.maximum(took[paired], took_other[whose[paired]])
    return float(np.median(least[paired])), bool(np.median(least[paired] / np.maximum(longer, 1)) <= _TOGETHER)
