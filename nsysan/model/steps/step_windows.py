"""What a way of finding steps finds: windows of time, and the operations in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import polars as pl

from nsysan.model.steps.step_kind import StepMethod

if TYPE_CHECKING:
    from nsysan.model.operations import Operations

WINDOWS = {"rank_key": pl.Int64(), "begin": pl.Int64(), "finish": pl.Int64(), "label": pl.String()}
_I64 = npt.NDArray[np.int64]
Members = npt.NDArray[np.int32]


@dataclass(frozen=True)
class StepWindows:
    """What one way of finding steps came up with.

    windows: the columns of WINDOWS, by rank_key and begin, kind, batch where ranges tell, extent (see extents), and
    graphs, graph, eager_ns where graphs are replayed (see graphs). member: for each operation the row of the window
    that it is of, -1 for none. source: the method for people.
    """

    method: StepMethod
    source: str
    windows: pl.DataFrame
    member: Members
    notes: tuple[str, ...] = ()


class Membership:
    """Windows of one owner after the other, and the operations in them."""

    def __init__(self, work: Operations) -> None:
        self._work = work
        self._parts = [pl.DataFrame(schema=WINDOWS)]
        self._count = 0
        self.member: Members = np.full(len(work), -1, dtype=np.int32)

    def add(self, windows: pl.DataFrame, key: int, window: npt.NDArray[np.integer]) -> None:
        """Windows of an owner, by begin; window: for each of its operations which of them it is of, -1 for none."""
        first, last = self._work.rows(key)
        self.member[first:last] = np.where(window >= 0, window + self._count, -1)
        self._parts.append(windows)
        self._count += len(windows)

    @property
    def windows(self) -> pl.DataFrame:
        """All windows."""
        return pl.concat(self._parts, how="diagonal")


def frame(rank_key: object, starts: _I64, ends: _I64, label: str) -> pl.DataFrame:
    """Windows of one rank, with the columns of WINDOWS."""
    columns = {"rank_key": np.full(len(starts), rank_key), "begin": starts, "finish": ends}
    return pl.DataFrame(columns).with_columns(label=pl.lit(label)).cast(pl.Schema(WINDOWS))
