"""The stages of a pipeline: when each works, and what waits for one that does (DEFINITIONS.md, section 8)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import polars as pl

from nsysan.columns.intervals import I64, Covered
from nsysan.metrics.causes import GapCause
from nsysan.model.matches import Match

#: An idle interval is for want of a stage if one works, until it hands over, for more than this share of it.
MOST = 0.5
#: So many stages are at work at once in a step if they are for this share of its time.
AT_ONCE = 0.1
_CALL = ["family", "step", "call"]


@dataclass(frozen=True)
class StageWork:
    """When the stages of a pipeline work. stage_of: number of each rank's stage, the first to work is 0.

    working: when any rank of the stage is at work on a step, by stage: from the first of its operations to the last,
    calls between stages and the waiting at them aside (ns on the run's clock). ended: stage, end: when the last rank
    of the stage ended a step so, ascending. arrived: row, at: of an operation of a call between stages, when the last
    of the other stages came to it. waits, transfers: as waits_for_stages and transfers_from_stages give them.
    """

    stage_of: Mapping[int, int]
    working: Mapping[int, Covered]
    ended: pl.DataFrame
    arrived: pl.DataFrame
    waits: pl.DataFrame
    transfers: pl.DataFrame

    @classmethod
    def of(cls, stage_of: Mapping[int, int], spans: pl.DataFrame, between: pl.DataFrame) -> StageWork:
        """spans: rank, step, begin, end of its operations but for the calls between stages; between: those calls."""
        waits = waits_for_stages(between)
        pieces: dict[int, list[Covered]] = {stage: [] for stage in sorted(set(stage_of.values()))}
        for (rank,), own in spans.partition_by("rank", as_dict=True, maintain_order=True).items():
            waiting = Covered.of(waits.filter(pl.col("rank") == rank))
            pieces[stage_of[int(str(rank))]].append(Covered.of(own).without(waiting))
        ended = spans.group_by(_stage(stage_of), "step").agg(pl.max("end")).select("stage", "end").sort("end")
        return cls(
            stage_of,
            {stage: Covered.all_of(own) for stage, own in pieces.items()},
            ended,
            between.select("row", "at").sort("row"),
            waits,
            transfers_from_stages(between),
        )

    def wanting(self, rank: int, dry: I64, begun: I64, rows: npt.NDArray[np.integer]) -> npt.NDArray[np.bool_]:
        """Whether each idle interval of the rank is for want of another stage that works meanwhile.

        dry, begun: where the intervals begin and end, rows: of the operations that end them. Another stage hands over
        where it comes to the call between stages that ends the interval, else where it ends a step inside of it.
        """
        covered, ends = self._others[self.stage_of[rank]]
        handed = dry
        if len(ends):
            latest = np.searchsorted(ends, begun, side="right") - 1
            handed = np.where(latest >= 0, ends[np.maximum(latest, 0)], dry)
        known, at = (self.arrived[name].to_numpy() for name in ("row", "at"))
        if len(known):
            place = np.minimum(np.searchsorted(known, rows), len(known) - 1)
            handed = np.where(known[place] == rows, at[place], handed)
        handed = np.clip(handed, dry, begun)
        return np.asarray(covered.between(dry, handed) > MOST * (begun - dry))

    @cached_property
    def _others(self) -> dict[int, tuple[Covered, I64]]:
        """By stage: the time in which another one works, and when the others end their steps, ascending."""
        return {
            stage: (
                Covered.all_of([own for other, own in self.working.items() if other != stage]),
                self.ended.filter(pl.col("stage") != stage)["end"].to_numpy(),
            )
            for stage in self.working
        }

    def at_once(self, ledger: pl.DataFrame) -> int:
        """Most stages that are at work at one time for AT_ONCE of the steady steps.

        1 where one batch is in flight, which each stage has in turn.
        """
        steady = ledger.filter(pl.col("steady"))
        start = steady["start_ns"].to_numpy()
        within = Covered.by(start, start + steady["period_ns"].to_numpy())
        begins, ends = Covered.joined(list(self.working.values()))
        times = np.concatenate((begins, ends))
        order = np.argsort(times, kind="stable")
        working = np.cumsum(np.repeat((1, -1), len(begins))[order])[:-1]
        lasting = within.between(times[order][:-1], times[order][1:])
        least = AT_ONCE * max(int((within.ends - within.begins).sum()), 1)
        return next((n for n in range(len(self.working), 1, -1) if lasting[working >= n].sum() >= least), 1)


def number_stages(stages: Sequence[Sequence[int]]) -> dict[int, int]:
    """Number of each rank's stage; stages: each by its ranks."""
    return {rank: number for number, ranks in enumerate(stages) for rank in ranks}


def between_stages(collectives: pl.DataFrame, stage_of: Mapping[int, int]) -> pl.DataFrame:
    """The matched calls whose ranks are of several stages, a row a rank.

    With stage, and `at`: when the last rank of another stage came to the call.
    """
    calls = collectives.filter(pl.col("verdict") == Match.MATCHED).with_columns(_stage(stage_of))
    calls = calls.filter(pl.n_unique("stage").over(_CALL) > 1)
    per_stage = calls.group_by(*_CALL, "stage").agg(came=pl.max("begin"))
    others = calls.select("row", *_CALL, "stage").join(per_stage, on=_CALL, suffix="_other")
    at = others.filter(pl.col("stage") != pl.col("stage_other")).group_by("row").agg(at=pl.max("came"))
    return calls.join(at, on="row", how="left", maintain_order="left")


def waits_for_stages(between: pl.DataFrame) -> pl.DataFrame:
    """rank, begin, end: where a rank waits at a call for one of another stage. between: as between_stages gives it."""
    waits = between.select("rank", "begin", end=pl.min_horizontal("last", "at"))
    return waits.filter(pl.col("end") > pl.col("begin"))


def transfers_from_stages(between: pl.DataFrame) -> pl.DataFrame:
    """rank, begin, end: where a receive waits for the send of another stage to end, which has come to it.

    For the ledger that is waiting. To a stage it is work: what it waits for has been handed over, and data moves.
    """
    moves = between.select("rank", begin=pl.max_horizontal("begin", "at"), end="last")
    return moves.filter(pl.col("end") > pl.col("begin"))


def waited(ledger: pl.DataFrame, waits: pl.DataFrame, name: str = "pipeline") -> pl.DataFrame:
    """step, rank, and as `name` the ns of the line wait that are in `waits` (rank, begin, end)."""
    rows = ledger.select("rank", "step", "start_ns", "period_ns", pl.col("wait_ns").fill_null(0))
    parts = [rows.head(0).select("step", "rank", pl.col("wait_ns").alias(name))]
    for (rank,), own in rows.partition_by("rank", as_dict=True, maintain_order=True).items():
        covered = Covered.of(waits.filter(pl.col("rank") == rank))
        begin, period = own["start_ns"].to_numpy(), own["period_ns"].fill_null(0).to_numpy()
        inside = pl.Series("inside", covered.between(begin, begin + period))
        parts.append(own.select("step", "rank", pl.min_horizontal(inside, "wait_ns").alias(name)))
    return pl.concat(parts)


def bubbles(ledger: pl.DataFrame, stages: StageWork, gaps: pl.DataFrame) -> pl.DataFrame:
    """step, rank, period, bubble, waits, idles, work: of the steady steps, ns.

    bubble: for want of another stage, waiting at a call (`waits`) or idle (`idles`). work: neither idle nor
    waiting for anybody.
    """
    steady = ledger.filter(pl.col("steady"))
    idle = gaps.filter(pl.col("cause") == GapCause.STAGE).group_by("step", "rank").agg(idle=pl.sum("ns"))
    rows = steady.join(waited(steady, stages.waits), on=["step", "rank"], how="left")
    rows = rows.join(waited(steady, stages.transfers, "moved"), on=["step", "rank"], how="left")
    rows = rows.join(idle, on=["step", "rank"], how="left").with_columns(pl.col("idle").fill_null(0))
    busy = pl.col("period_ns") - pl.col("idle_ns") - pl.col("wait_ns").fill_null(0) + pl.col("moved")
    bubble = pl.col("pipeline") + pl.col("idle")
    return rows.select(
        "step", "rank", period="period_ns", bubble=bubble, waits="pipeline", idles="idle", work=busy
    ).sort("step", "rank")


def _stage(stage_of: Mapping[int, int]) -> pl.Expr:
    return pl.col("rank").replace_strict(dict(stage_of), return_dtype=pl.Int64).alias("stage")
