"""Calls that are no barriers: messages between two ranks, and exchanges that are a send and a receive of one name.

DEFINITIONS.md, section 6.
"""

from __future__ import annotations

import math

import numpy as np
import polars as pl

from nsysan.columns.intervals import I64
from nsysan.model.classes import WorkClass
from nsysan.model.matches import RECEIVES, SENDS

#: Of the calls of an exchange that is one kernel so many at least pass the gate.
_WHOLE_SHARE = 0.9
#: So many messages between two ranks may be missing at the beginning of a capture.
_MISSED = 16
#: Fewer messages than this show no offset between two clocks, and what it steadies it steadies so many times.
_TELLING = 8
_STEADIER = 3.0
_OFFSETS = range(-_MISSED, _MISSED + 1)


def in_sequence(calls: pl.DataFrame) -> pl.DataFrame:
    """Number the messages between two ranks through the capture: a receive may be launched a step before its send.

    Both are of the later of their steps.
    """
    numbered = []
    pairs = calls.filter((pl.col("cls") == WorkClass.P2P) & (pl.col("members") == 2) & pl.col("group").is_not_null())
    for _, own in pairs.sort("begin").partition_by("family", as_dict=True, maintain_order=True).items():
        one, other = own.partition_by("rank", maintain_order=True)
        numbered.append(_paired_off(one, other))
    if not numbered:
        return calls
    found = pl.concat(numbered).with_columns(_step=pl.max("step").over("_family", "_call"))
    found = found.select("row", "_step", "_call")
    return (
        calls.join(found, on="row", how="left", maintain_order="left")
        .with_columns(step=pl.coalesce("_step", "step"), call=pl.coalesce("_call", "call"))
        .drop("_step", "_call")
    )


def _paired_off(one: pl.DataFrame, other: pl.DataFrame) -> pl.DataFrame:
    """row, step, _family, _call of the messages of two ranks, in order: from that first one on that both have.

    That is where their ends are nearest to one another, of those pairs of which none is received before it is sent: a
    send that waits for nobody may have ended nearer to the receive before its own. Of ranks in two traces, whose clocks
    may differ, it is where their ends are steadily apart, if that shows.
    """
    ends, other_ends = one["end"].to_numpy(), other["end"].to_numpy()

    begins, other_begins = one["begin"].to_numpy(), other["begin"].to_numpy()
    sends, other_sends = ((own["half"] == SENDS).fill_null(value=False).to_numpy() for own in (one, other))
    takes, other_takes = ((own["half"] == RECEIVES).fill_null(value=False).to_numpy() for own in (one, other))

    def apart(offset: int) -> tuple[bool, float]:
        first, second = max(0, -offset), max(0, offset)
        count = min(len(ends) - first, len(other_ends) - second)
        if count <= 0:
            return True, float("inf")
        mine, theirs = slice(first, first + count), slice(second, second + count)
        early = sends[mine] & other_takes[theirs] & (other_ends[theirs] < begins[mine])
        early |= takes[mine] & other_sends[theirs] & (ends[mine] < other_begins[theirs])
        return bool(np.median(early) > 0), float(np.median(np.abs(ends[mine] - other_ends[theirs])))

    steady = None
    if "trace" in one.columns and one["trace"][0] != other["trace"][0]:
        steady = _steadily_apart(ends, other_ends)
    nearest = min(_OFFSETS, key=lambda offset: (*apart(offset), abs(offset)))
    offset = nearest if steady is None else steady
    columns = ("row", "step", pl.col("family").alias("_family"))
    numbers = (np.arange(len(one)) + max(0, offset), np.arange(len(other)) + max(0, -offset))
    return pl.concat(
        own.select(*columns, pl.Series("_call", number)) for own, number in zip((one, other), numbers, strict=True)
    )


def _steadily_apart(ends: I64, other_ends: I64) -> int | None:
    """The offset in number at which the ends of two ranks stay equally far apart, whatever their clocks say.

    From one message to the next, so that a drift does not count. None where no offset is by far the best: steps that
    all take the same time look alike at each.
    """

    def unsteady(offset: int) -> float:
        mine, theirs = ends[max(0, -offset) :], other_ends[max(0, offset) :]
        count = min(len(mine), len(theirs))
        if count < _TELLING:
            return math.inf
        return float(np.median(np.abs(np.diff(mine[:count] - theirs[:count]))))

    best, second = sorted((unsteady(offset), abs(offset), offset) for offset in _OFFSETS)[:2]
    return best[-1] if best[0] * _STEADIER < second[0] else None


def halves(calls: pl.DataFrame) -> pl.DataFrame:
    """The calls with half (SENDS, RECEIVES; null for a whole call) and _sent (latest end of the sends to a receive).

    half is told of messages between two ranks, and kept where one of them sends and the other receives. An exchange
    among experts that is no barrier may be two kernels of one name, of which the first only sends and the second waits
    for what was sent. It is, where calls of a family often end before all ranks have come.
    """
    group = ["family", "step", "call"]
    if calls["half"].null_count() == len(calls):
        calls = calls.with_columns(_sent=pl.lit(None, dtype=calls["end"].dtype))
    else:
        pair = (pl.col("half") == SENDS).sum().over(group) == 1
        pair &= ((pl.col("half") == RECEIVES).sum().over(group) == 1) & (pl.len().over(group) == 2)
        ended = pl.col("end").filter(pl.col("half") == SENDS).max().over(group)
        calls = calls.with_columns(
            half=pl.when(pair).then("half"), _sent=pl.when(pair & (pl.col("half") == RECEIVES)).then(ended)
        )
    exchange = calls.filter((pl.col("kind") == "all_to_all") & ~pl.col("barrier"))
    if exchange.is_empty():
        return calls
    whole = exchange.group_by(*group).agg(passes=pl.min("end") >= pl.max("begin"), name=pl.first("name"))
    shares = whole.group_by("family", "name").agg(share=pl.mean("passes"))
    # What is dispatched in halves is combined in halves.
    split = exchange.join(shares.filter(pl.col("share") < _WHOLE_SHARE), on="family", how="semi")
    # In a family of several kernels each has halves of its own.
    nth = pl.col("call").rank("dense").over("family", "step", "name").cast(pl.Int64) - 1
    split = split.with_columns(half=pl.when(nth % 2 == 0).then(pl.lit(SENDS)).otherwise(pl.lit(RECEIVES)), _nth=nth)
    sends = split.filter(pl.col("half") == SENDS).group_by("family", "step", "name", pl.col("_nth") + 1)
    sent = sends.agg(_sent=pl.max("end"))
    split = split.drop("_sent").join(sent, on=["family", "step", "name", "_nth"], how="left")
    told = split.select("row", _half="half", _before="_sent")
    calls = calls.join(told, on="row", how="left", maintain_order="left")
    both = calls.with_columns(half=pl.coalesce("_half", "half"), _sent=pl.coalesce("_before", "_sent"))
    return both.drop("_half", "_before")
