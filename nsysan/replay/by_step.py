"""What a rank takes longer in some steps only: by the sum over all places of each (METRICS section 7)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from nsysan.columns.codes import codes
from nsysan.replay.engine import I64

F64 = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
#: In so few steps none is told from the others.
_STEPS = 8
#: Of normal noise: the standard deviation by half the length of the shortest interval that has half of the values.
_BY_HALF = 1.4826


@dataclass(frozen=True)
class Cells:
    """A rank's rows of one step: of each row which it is; of each cell its rank and stage."""

    of: npt.NDArray[np.int64]
    rank: I64
    stage: I64

    @classmethod
    def of_rows(cls, rows: pl.DataFrame) -> Cells:
        """By stretch, step, rank, stage."""
        of, distinct = codes(rows.select("stretch", "step", "rank", "stage").get_columns())
        return cls(of.astype(np.int64), distinct["rank"].to_numpy(), distinct["stage"].fill_null(-1).to_numpy())

    def sums(self, values: F64) -> F64:
        """Of each cell the sum of its rows' values."""
        return np.bincount(self.of, weights=values, minlength=len(self.rank)).astype(np.float64)


def in_steps(cells: Cells, right: F64, ns: F64, then: F64, deviations: float, excess: int, alike: float = 1.0) -> F64:
    """What rows take on a rank that is right, where so far each place was looked at by itself.

    right: what each takes by that; ns: as measured; then: what its place takes in that step elsewhere (lower median);
    nan for all three where a row tells nothing. Of a step in which a rank takes longer than it usually does beside the
    others, by so many standard deviations and the excess, that is taken off; where it has been given too much for what
    it mostly takes longer, that is given back.
    """
    told = np.isfinite(right)
    have, as_it_was, elsewhere = (cells.sums(np.where(told, one, 0.0)) for one in (right, ns, then))
    beyond = have - elsewhere
    limit, centre = np.full(len(beyond), np.inf), np.zeros(len(beyond))
    for stage in np.unique(cells.stage):
        ranks = np.unique(cells.rank[cells.stage == stage])
        own = {rank: beyond[(cells.rank == rank) & (cells.stage == stage)] for rank in ranks}
        if len(own) < 2 or min(map(len, own.values())) < _STEPS:
            continue
        shortest = {rank: _shortest_half(values) for rank, values in own.items()}
        middle, half = (_lower_median([one[i] for one in shortest.values()]) for i in range(2))
        most = max(deviations * _BY_HALF * half, excess)
        for rank in ranks:
            at = (cells.rank == rank) & (cells.stage == stage)
            limit[at] = most
            # What most steps take longer beyond noise is no usual step of that rank.
            noise = max(most, (alike - 1) * float(np.median(elsewhere[at])))
            centre[at] = shortest[rank][0] if abs(shortest[rank][0] - middle) <= noise else middle
    more = np.where(beyond - centre > limit, beyond - centre, 0.0)
    share = 1 - more / np.maximum(have, 1.0)
    taken = as_it_was - have
    back = np.where((centre - beyond > limit) & (taken > 0), np.minimum(centre - beyond, taken), 0.0)
    given = back / np.maximum(taken, 1.0)
    found = right * share[cells.of] + (ns - right) * given[cells.of]
    return np.where(told, found, right)


def _shortest_half(values: F64) -> tuple[float, float]:
    """The middle of the shortest interval that has half of the values, and half its length."""
    ordered = np.sort(values)
    most = (len(ordered) - 1) // 2
    lengths = ordered[most:] - ordered[: len(ordered) - most]
    at = int(np.argmin(lengths))
    return float(ordered[at] + ordered[at + most]) / 2, float(lengths[at]) / 2


def _lower_median(values: list[float]) -> float:
    return sorted(values)[(len(values) - 1) // 2]
