"""One analysed run: its model, and the figures that are made of all its operations, report by report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from functools import cached_property, reduce
from operator import add
from pathlib import Path

import polars as pl

from nsysan.metrics.gaps import AROUND_GAPS, TIMES, rank_gaps, summed
from nsysan.metrics.ledger import build_ledger
from nsysan.metrics.skew import against_reference, boundaries, no_time, spent
from nsysan.metrics.tally import TALLIED, Tally, tally
from nsysan.model.selection import WHOLE, Narrow
from nsysan.run.model import Model, build_model
from nsysan.run.placed import Part, Parts
from nsysan.trace.export import Trace


class Run(Model):
    """The model of a run (see there for its frames), with the figures that all others rest on."""

    @cached_property
    def ledger(self) -> pl.DataFrame:
        """The ledger per step and rank (see metrics.ledger.build_ledger)."""
        return _together(self.ask(_ledger)).sort("step", "rank")

    @cached_property
    def gaps(self) -> pl.DataFrame:
        """Idle time inside the steps: rank, step, cause, host, ns (see metrics.gaps.find_gaps), summed."""
        return _together(self.ask(_gaps))

    @cached_property
    def tally(self) -> Tally:
        """What is counted of all operations."""
        return reduce(add, self.ask(_tally))

    def late(self, arrived: pl.DataFrame) -> pl.DataFrame:
        """skew.late_calls of these calls."""
        told = boundaries(arrived)
        found = self.ask_each(_spent, self.by_report(told.select("row", "rank", "family", "wanted")))
        return against_reference(arrived, _together([no_time(told), *found]))


def analyze(
    traces: Trace | Path | Sequence[Trace | Path],
    steps: str | None = None,
    *,
    use_nvtx: bool = True,
    narrow: Narrow = WHOLE,
    parts: Parts | None = None,
) -> Run:
    """Analyse a run from its report, or from its reports; arguments and errors are those of build_model."""
    model = build_model(traces, steps, use_nvtx=use_nvtx, narrow=narrow, parts=parts)
    return Run(**{field.name: getattr(model, field.name) for field in fields(model)})


def _ledger(part: Part) -> pl.DataFrame | None:
    names = ("rank", "begin", "end", "trimmed", "cls", "step", "last")
    return _of_ranks(part, part.windows, lambda rank, windows: build_ledger(part.frame(names, rank), windows))


def _gaps(part: Part) -> pl.DataFrame | None:
    calls = part.synchronise_calls
    _ = part.host_clocks

    def of_rank(rank: int, windows: pl.DataFrame) -> pl.DataFrame:
        gaps = rank_gaps(
            part.frame(TIMES, rank), lambda at: part.clocked(AROUND_GAPS, rank, at), windows.sort("begin"), calls
        )
        number = pl.lit(rank, dtype=pl.Int64).alias("rank")
        return summed(pl.concat(summed(some.with_columns(number)) for some in gaps))

    return _of_ranks(part, part.windows, of_rank)


def _spent(part: Part, calls: pl.DataFrame) -> pl.DataFrame | None:
    def of_rank(rank: int, own: pl.DataFrame) -> pl.DataFrame:
        work = part.frame(("row", "rank", "begin", "end", "cls"), rank)
        # Its times the report knows itself.
        timed = work.select("row", "begin", "end").join(own, on="row", maintain_order="right")
        return spent(timed, work)

    return _of_ranks(part, calls, of_rank)


def _tally(part: Part) -> Tally:
    return reduce(add, part.each(lambda rank: tally(part.frame(TALLIED, rank))))


def _of_ranks(
    part: Part, told: pl.DataFrame, figures: Callable[[int, pl.DataFrame], pl.DataFrame]
) -> pl.DataFrame | None:
    """The figures of each rank of which something is told, by that; None where there is none of them."""
    own = {int(str(rank)): rows for (rank,), rows in told.partition_by("rank", as_dict=True).items()}
    ranks = [rank for rank in part.ranks if rank in own]
    if not ranks:
        return None
    return pl.concat(part.each(lambda rank: figures(rank, own[rank]), ranks))


def _together(found: Sequence[pl.DataFrame | None]) -> pl.DataFrame:
    return pl.concat(frame for frame in found if frame is not None)
