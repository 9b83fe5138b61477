"""Slices of steps in few bytes, as numbers, and the frame that is made of them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from nsysan.metrics.lines import CLAIMED

LAUNCH = "launch"
RANGE = "nvtx"
#: What hosts do by their calls into the operating system.
WAIT, SLEEP = "host_wait", "host_sleep"
#: The lines of slices by their numbers.
LINE_ORDER = {str(line): number for number, line in enumerate((*CLAIMED, LAUNCH, RANGE, WAIT, SLEEP))}
#: What is told of single operations: null where not recorded, and for calls and ranges.
FACTS = {
    "stream": pl.Int64(),
    "demangled": pl.Categorical(),
    "bytes": pl.Int64(),
    "grid": pl.Categorical(),
    "block": pl.Categorical(),
}
#: Columns of the tables that the numbers of slices are rows of.
LANE = {"rank": pl.Int64(), "lane": pl.String()}
KIND = {"name": pl.Categorical(), **FACTS}
ROW = {
    "at": pl.UInt32(),
    "line": pl.UInt8(),
    "begin": pl.Int64(),
    "end": pl.Int64(),
    "kind": pl.UInt32(),
    "launch": pl.Int32(),
    "call": pl.Int32(),
}
_LINES = pl.Series("line", list(LINE_ORDER))


@dataclass(frozen=True)
class Slices:
    """Slices by lane and begin: what a page has two million of, and shows one step at a time.

    rows: at (row of lanes), line (see LINE_ORDER), begin, end (ns after the step's origin), kind (row of kinds), launch
    (number of the launch call), call (of the matched collective that begins with it); -1 for none. lanes: rank, lane.
    kinds: name and FACTS; the same for many steps.
    """

    rows: pl.DataFrame
    lanes: pl.DataFrame
    kinds: pl.DataFrame

    def __len__(self) -> int:
        return len(self.rows)

    @classmethod
    def of(cls, frame: pl.DataFrame) -> Slices:
        """Those of a frame as `frame` makes it, which need not have call and FACTS."""
        blank = {"call": pl.Int64(), **FACTS}
        absent = [pl.lit(None, dtype=dtype).alias(name) for name, dtype in blank.items() if name not in frame.columns]
        whole = frame.with_columns(absent).cast(pl.Schema({**KIND, **LANE, "launch": pl.Int64()}))
        lanes, kinds = (whole.select(list(names)).unique(maintain_order=True) for names in (LANE, KIND))
        numbered = whole.join(lanes.with_row_index("at"), on=list(LANE), maintain_order="left")
        numbered = numbered.join(
            kinds.with_row_index("kind"), on=list(KIND), nulls_equal=True, how="left", maintain_order="left"
        )
        rows = numbered.with_columns(
            pl.col("line").cast(pl.String).replace_strict(LINE_ORDER, return_dtype=pl.UInt8),
            pl.col("launch", "call").fill_null(-1),
        )
        return cls(rows.select(list(ROW)).cast(pl.Schema(ROW)), lanes, kinds)

    def frame(self) -> pl.DataFrame:
        """rank, lane, line, begin, end, name, launch, call and FACTS of each; null for none."""
        told = self.kinds.with_columns(pl.col("name").cast(pl.String)).select(pl.all().gather(self.rows["kind"]))
        call = (pl.when(pl.col(name) >= 0).then(name).cast(pl.Int64) for name in ("launch", "call"))
        own = self.rows.select("begin", "end", *call)
        return pl.DataFrame(
            [
                *self.lanes.select(pl.all().gather(self.rows["at"])),
                _LINES.gather(self.rows["line"]),
                own["begin"],
                own["end"],
                told["name"],
                own["launch"],
                own["call"],
                *told.drop("name"),
            ]
        )

    def where(self, chosen: pl.Series) -> Slices:
        """Those for which `chosen` holds."""
        return replace(self, rows=self.rows.filter(chosen))

    def are(self, *lines: str) -> pl.Series:
        """Whether each is of one of these lines."""
        wanted = np.isin(np.arange(len(LINE_ORDER)), [LINE_ORDER[line] for line in lines])
        return pl.Series(wanted[self.rows["line"].to_numpy()])

    def of_lanes(self, lanes: pl.Series) -> pl.Series:
        """Whether each is in one of the lanes for which `lanes` holds."""
        return lanes.gather(self.rows["at"])
