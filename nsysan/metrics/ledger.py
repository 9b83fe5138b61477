"""The ledger of a step: every nanosecond of every step on every rank, in exactly one line.

DEFINITIONS.md, section 5.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from nsysan.columns.grouped import summed
from nsysan.columns.intervals import I64, atoms, line_of_mask
from nsysan.columns.rows import kept
from nsysan.columns.threads import each_of
from nsysan.metrics.cut import NUMBER, cut_at_arrival
from nsysan.metrics.lines import CLAIMED, COMMUNICATION_LINES, LINES, Line
from nsysan.model.operations import is_communication

#: Columns of the ledger that hold durations, as the JSON document names them.
FIGURES = (
    "period_ns",
    *(line.column for line in LINES),
    "comm_ns",
    "overlap_ns",
    "pdl_trimmed_ns",
)
_HIDDEN_BY_REPLAYS = tuple(line.column for line in CLAIMED if line != Line.GRAPH)


def build_ledger(work: pl.DataFrame, windows: pl.DataFrame) -> pl.DataFrame:
    """The ledger, one row per step and rank.

    work: rank, begin, end, trimmed, cls, step (null outside steps) and last (last arrival at a matched
    collective, null for any other). windows: step, rank, begin, finish, excluded.

    Columns: step, rank, steady, start_ns, FIGURES, collectives (calls launched in the step). In a step with
    replays of graph-level tracing, what is inside them is unknown: graph_ns holds all busy time, and the lines
    that they may hide are null. wait and wire are null where no collective of the step could be split.
    """
    return closed(open_ledger(work, windows))


def open_ledger(work: pl.DataFrame, windows: pl.DataFrame) -> pl.DataFrame:
    """The same as it adds up, of some of the ranks: with split (matched calls), and nothing withheld."""
    claims = cut_at_arrival(work).parts(work, ("rank",))
    groups = windows.sort("rank", "begin").partition_by("rank")
    parts = each_of(lambda own: _rank_ledger(_of_rank(claims, own["rank"][0]), own), groups, len(work))
    counted = summed(
        work.select("step", "rank"),
        {
            "pdl_trimmed_ns": work["trimmed"].to_numpy(),
            "collectives": work.select(is_communication()).to_series().to_numpy(),
            "split": work["last"].is_not_null().to_numpy(),
        },
    ).drop_nulls("step")
    return pl.concat(parts).join(counted, on=["step", "rank"], how="left", maintain_order="left")


def closed(ledger: pl.DataFrame) -> pl.DataFrame:
    """The ledger by step and rank, when its lines have been held against the periods; ledger: open_ledger of all."""
    ledger = ledger.sort("step", "rank").with_columns(pl.col("pdl_trimmed_ns", "collectives", "split").fill_null(0))
    _check(ledger)
    return _withhold(ledger).select("step", "rank", "steady", "start_ns", *FIGURES, "collectives")


def _of_rank(claims: pl.DataFrame, rank: int) -> pl.DataFrame:
    return kept(claims, pl.col("rank") == rank)


def _rank_ledger(claims: pl.DataFrame, windows: pl.DataFrame) -> pl.DataFrame:
    begins, finishes = windows["begin"].to_numpy(), windows["finish"].to_numpy()
    table = atoms(
        claims["begin"].to_numpy(),
        claims["end"].to_numpy(),
        claims["line"].to_numpy(),
        (begins, finishes),
        len(CLAIMED),
    )
    owner = line_of_mask(len(CLAIMED))
    lines = {line.column: table[:, owner == i].sum(axis=1) for i, line in enumerate(LINES)}
    masks, compute = np.arange(table.shape[1]), 1 << NUMBER[Line.COMPUTE]
    return windows.select("step", "rank", steady=pl.col("excluded").is_null(), start_ns="begin").with_columns(
        pl.Series("period_ns", finishes - begins),
        *(pl.Series(name, values) for name, values in lines.items()),
        pl.Series("comm_ns", _where(table, masks, COMMUNICATION_LINES)),
        pl.Series("overlap_ns", _where(table, np.where(masks & compute, masks, 0), COMMUNICATION_LINES)),
    )


def _where(table: I64, masks: I64, lines: tuple[Line, ...]) -> I64:
    """Time for which any of the lines is active, over the given masks."""
    bits = sum(1 << NUMBER[line] for line in lines)
    return np.asarray(table[:, masks & bits != 0].sum(axis=1))


def _check(ledger: pl.DataFrame) -> None:
    """The lines sum to the period in every row; anything else is a bug, not a property of a trace."""
    lines = [line.column for line in LINES]
    open_rows = ledger.filter(pl.sum_horizontal(lines) != pl.col("period_ns"))
    if len(open_rows):
        raise AssertionError(f"ledger does not close in {len(open_rows)} rows: {open_rows.head(1).to_dicts()}")


def _withhold(ledger: pl.DataFrame) -> pl.DataFrame:
    """Null what graph-level replays may hide, and the split of communication that was never matched."""
    hidden = pl.col("graph_ns") > 0
    columns = (*_HIDDEN_BY_REPLAYS, "comm_ns", "overlap_ns", "pdl_trimmed_ns", "collectives")
    split_lines = ("wait_ns", "fused_ns", "wire_ns")
    # A matched call of the step before may reach into this one: what is known stays, or the lines would not sum.
    none_known = pl.sum_horizontal(split_lines) == 0
    communicates = (pl.col("collectives") > 0) | (pl.col("comm_unsplit_ns") > 0)
    unsplit = communicates & (pl.col("split") == 0) & none_known
    busy = pl.col("period_ns") - pl.col("idle_ns")
    return ledger.with_columns(pl.when(~unsplit).then(pl.col(c)).alias(c) for c in split_lines).with_columns(
        # What runs beside a replay is visible, but not how much more of its kind runs inside.
        pl.when(hidden).then(busy).otherwise("graph_ns").alias("graph_ns"),
        *(pl.when(~hidden).then(pl.col(c)).alias(c) for c in columns),
    )


def rank_medians(ledger: pl.DataFrame) -> pl.DataFrame:
    """rank, FIGURES, collectives: the median of each over the rank's steady steps; null where none of them has it."""
    figures = [*FIGURES, "collectives"]
    steady = ledger.filter(pl.col("steady"))
    return (
        steady.group_by("rank")
        .agg(pl.col(figures).median().round().cast(pl.Int64))
        .sort("rank")
        .select("rank", *figures)
    )
