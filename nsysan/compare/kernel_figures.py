"""What the compute of a comparison's sides is: by group, and the kernels that differ most."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from nsysan.compare.comparison import NS, ComparedRun, Measured
from nsysan.compare.figure_rows import Row
from nsysan.metrics.change_rule import SHARE_OF_PERIOD
from nsysan.model.kernel_groups import KernelGroup
from nsysan.run.kernel_questions import kernels_by_step_of
from nsysan.run.run import Run
from nsysan.text import plain, shortened

#: Kernels that are compared by name: those that differ most.
_MOST = 12
#: Letters of a name.
_NAME = 70
#: By a group's figure or a kernel's name, and rank.
OfRanks = dict[tuple[str, int], Measured]


def kernel_figures(run: Run, steady: pl.DataFrame) -> tuple[dict[str, Measured], dict[str, Measured], OfRanks]:
    """ns of a step by group (as figures, compute.GROUP) and by kernel, and both of each rank alone.

    steady: rows of the ledger.
    """
    known = steady.filter(pl.col("compute_ns").is_not_null()).select("step", "rank")
    if known.is_empty():
        return {}, {}, {}
    found = pl.concat(run.ask(kernels_by_step_of, run.steady_steps))
    found = found.with_columns(group=pl.lit("compute.") + pl.col("group").cast(pl.String))
    groups, of_groups = _measured(found, "group", known)
    names, of_names = _measured(found, "name", known)
    return groups, names, of_groups | of_names


def _measured(found: pl.DataFrame, key: str, known: pl.DataFrame) -> tuple[dict[str, Measured], OfRanks]:
    """By each value of a column, over the ranks and of each; a step that does not run it spends nothing in it."""
    summed = found.drop_nulls(key).group_by("step", "rank", key).agg(pl.sum("ns"))
    over: dict[str, Measured] = {}
    of_ranks: OfRanks = {}
    for (value,), rows in summed.partition_by(key, as_dict=True).items():
        filled = known.join(rows, on=["step", "rank"], how="left").with_columns(pl.col("ns").fill_null(0))
        over[str(value)] = Measured.over_ranks(filled, "ns")
        for (rank,), own in filled.partition_by("rank", as_dict=True).items():
            of_ranks[str(value), int(str(rank))] = Measured.over_ranks(own, "ns")
    return over, of_ranks


def group_rows(sides: list[ComparedRun]) -> list[Row]:
    """A row a group that some side has, and behind it one a rank that stands out in it."""
    rows = []
    for group in KernelGroup:
        id_ = f"compute.{group}"
        told = [side.figures.get(id_) for side in sides]
        ranks = _standing_out(sides, id_, told)
        if ranks or any(one is not None and one.value for one in told):
            rows.append(_row(sides, id_, group.value, told))
        rows += [
            _row(sides, f"{id_}.rank_{rank}", f"{group.value} on rank {rank}", _of_rank(sides, id_, rank, told))
            for rank in ranks
        ]
    return rows


def kernel_rows(sides: list[ComparedRun]) -> list[Row]:
    """A row a kernel, or a kernel of a rank that stands out in it: those that differ most from the first side.

    None where a side does not show its kernels.
    """
    if not all(side.kernels for side in sides):
        return []
    found: list[tuple[str, list[Measured | None]]] = []
    for name in sorted({name for side in sides for name in side.kernels}):
        told = [side.kernels.get(name) for side in sides]
        shown = plain(shortened(name, _NAME), _NAME)
        found.append((shown, told))
        found += [
            (f"{shown} on rank {rank}", _of_rank(sides, name, rank, told)) for rank in _standing_out(sides, name, told)
        ]

    def most(row: tuple[str, list[Measured | None]]) -> float:
        values = [0.0 if one is None else one.value or 0.0 for one in row[1]]
        return max(abs(value - values[0]) for value in values)

    chosen = [row for row in sorted(found, key=most, reverse=True)[:_MOST] if most(row) > 0]
    return [_row(sides, f"kernel.{number}", name, told) for number, (name, told) in enumerate(chosen)]


def _standing_out(sides: list[ComparedRun], key: str, told: Sequence[Measured | None]) -> list[int]:
    """Ranks that on some side take so much more or less of it than the median rank that a period would have changed:
    the median hides what one rank does."""
    found = set()
    for side, over in zip(sides, told, strict=True):
        usual, least = 0.0 if over is None else over.value or 0.0, SHARE_OF_PERIOD * side.period
        own = {rank.rank for rank in side.report.ranks}
        found |= {
            rank
            for rank in own
            if (one := side.kernels_of_ranks.get((key, rank))) is not None and abs((one.value or 0.0) - usual) >= least
        }
    return sorted(found)


def _of_rank(sides: list[ComparedRun], key: str, rank: int, told: Sequence[Measured | None]) -> list[Measured | None]:
    """That of the rank, in whichever replica it is; of a side without such a rank that over the compared ranks."""

    def of(side: ComparedRun, over: Measured | None) -> Measured | None:
        if not any(rank == own.rank for replica in side.report.replicas for own in replica.ranks):
            return over
        if any(rank == shown for _, shown in side.kernels_of_ranks):
            return side.kernels_of_ranks.get((key, rank))
        return Measured(None, np.zeros(0))

    return [of(side, over) for side, over in zip(sides, told, strict=True)]


def _row(sides: list[ComparedRun], id_: str, name: str, found: list[Measured | None]) -> Row:
    """What a side does not run that shows its kernels takes nothing there."""
    told = [
        Measured(0.0, 0 * side.figures["ledger.period"].steps) if one is None and side.kernels else one
        for side, one in zip(sides, found, strict=True)
    ]
    reasons = [
        None if one is not None and one.value is not None else f"not measured in {side.label}: {side.why_null(id_)}"
        for side, one in zip(sides, told, strict=True)
    ]
    return Row(id_, name, NS, told, reasons)
